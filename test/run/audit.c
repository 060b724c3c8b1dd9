/* SPDX-License-Identifier: MIT */
/* The least that LD_AUDIT takes. */
#include <link.h>

unsigned int la_version(unsigned int version)
{
	return version;
}

/* SPDX-License-Identifier: MIT */
/*
 * Last include of every file of the preload: nothing in the traced process may use the heap,
 * stdio, the environment or the locale behind the program's back.
 */
#ifndef VMTRACE_NO_HEAP_H
#define VMTRACE_NO_HEAP_H

#pragma GCC poison malloc calloc realloc free strdup strndup asprintf vasprintf
#pragma GCC poison printf fprintf vfprintf sprintf snprintf vsnprintf puts fputs fopen fwrite
#pragma GCC poison getenv setenv putenv strerror setlocale abort exit assert

#endif

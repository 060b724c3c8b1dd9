/* SPDX-License-Identifier: MIT */
/*
 * Calls of one library's functions led through hooks, without symbols of our own for them.
 *
 * Interposing such a name by exporting it would be seen: programs ask whether a weak `mallocx` is
 * there, and a plugin's operator new would be bound to ours though no other one is in its reach.
 */
#ifndef VMTRACE_BIND_H
#define VMTRACE_BIND_H

#include <stdbool.h>
#include <stddef.h>

struct bind {
	const char *name;
	void *hook;	/* NULL: what we export has that name; only the library's own calls matter */
	void **next;	/* gets the function itself before the first call; NULL: not bound */
};

/**
 * bind_hooks() - From now on whoever calls one of these functions calls its hook.
 * @companion: which library: the first one behind ours that defines this symbol and one of @binds.
 *
 *     library's symbol table   value of the symbol: hook     later dlopen(), dlsym()
 *     other modules' tables    slots that hold it:  hook     calls bound already
 *     library's own tables     slots of its calls:   itself  so that they stay its own
 *
 * Were the library's own calls hooked, an operator made of others would be recorded with them.
 * A name that is bound to another module's function is left alone. Written through
 * /proc/self/mem, as tables are read-only by then.
 *
 * Context: startup, before the first snapshot and before any other constructor.
 * Return: false if the tables can't be written; then nothing is changed.
 */
bool bind_hooks(const char *companion, const struct bind *binds, size_t nr);

#endif

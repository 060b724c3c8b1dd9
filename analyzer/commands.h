/* SPDX-License-Identifier: MIT */
/*
 * Commands that work on several traces at once and have options of their own. argv[0] is the
 * command's name. Return: the exit status.
 */
#ifndef VMTRACE_ANALYZER_COMMANDS_H
#define VMTRACE_ANALYZER_COMMANDS_H

enum { EXIT_OK = 0, EXIT_REGRESSION = 1, EXIT_UNUSABLE = 2 };

int cmd_layout(int argc, char **argv);
int cmd_diff(int argc, char **argv);
int cmd_check(int argc, char **argv);

struct layout;

/* layout_add_file() with its messages told. Return: the exit status. */
int command_add_file(struct layout *layout, const char *path, unsigned int flags);

/* What getopt_long() did not understand, in one line. Return: EXIT_UNUSABLE. */
int command_misused(int c, char **argv);

#endif

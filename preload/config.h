/* SPDX-License-Identifier: MIT */
/* What the VMTRACE_* variables say, read once at start. */
#ifndef VMTRACE_CONFIG_H
#define VMTRACE_CONFIG_H

#include <stdbool.h>
#include <stdint.h>

#define CONFIG_PATH_MAX 4096
#define CONFIG_STACKS_MAX 256	/* frames */

enum config_tier { TIER_SYMBOLS, TIER_LIBC, TIER_ALL };
enum config_verify { VERIFY_OFF, VERIFY_FINAL, VERIFY_CHECKPOINT, VERIFY_EVERY };
/* Of the lines on stderr: all; those without which nobody would know that it is not as asked; none. */
enum config_quiet { QUIET_NOT, QUIET_ERRORS, QUIET_ALL };
enum config_frames { FRAMES_OFF, FRAMES_FINAL, FRAMES_CHECKPOINT };

struct config {
	char out[CONFIG_PATH_MAX];	/* VMTRACE_OUT, unexpanded */
	enum config_tier tier;		/* VMTRACE_CAPTURE: as asked, not as reached */
	enum config_verify verify;
	bool verify_default;		/* nothing was asked: what the kernel can do decides */
	uint32_t verify_every;		/* VERIFY_EVERY: check each n-th event */
	bool maps_text;			/* VMTRACE_PROCMAP=text: don't use PROCMAP_QUERY */
	bool heap;
	uint32_t heap_sample;		/* bytes between recorded points, on average; 0: every block */
	uint32_t stacks;		/* frames, 0: off */
	enum config_frames frames;
	uint32_t checkpoint_seconds;	/* 0: none */
	int checkpoint_signal;		/* 0: none */
	bool follow;
	enum config_quiet quiet;
	int handshake_fd;		/* VMTRACE_HANDSHAKE, the launcher's pipe; -1: none */
};

/**
 * config_read() - Parse the environment; a bad value is one line on stderr and the default.
 * @envp: the process' environment block.
 *
 * Context: startup.
 */
void config_read(struct config *ret_config, char **envp);

const char *config_tier_name(enum config_tier tier);

/*
 * "vmtrace: ", the words given (NULL ends them), a newline: one write to stderr. An error is no trace, or
 * a setting that is not obeyed; a warning stands in the trace, too.
 */
void config_say(enum config_quiet silent_from, const char *word, ...);
#define config_error(...) config_say(QUIET_ALL, __VA_ARGS__)
#define config_warn(...) config_say(QUIET_ERRORS, __VA_ARGS__)

extern struct config config;

#endif

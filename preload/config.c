/* SPDX-License-Identifier: MIT */
/* One table of variables, one parser each; what can't be understood is said once. */
#include "config.h"

#include <signal.h>
#include <stdarg.h>
#include <string.h>

#include "sys.h"

#include "no_heap.h"

struct config config;

void config_say(enum config_quiet silent_from, const char *word, ...)
{
	char line[1024] = "vmtrace: ";
	size_t len = strlen(line), n;
	va_list ap;

	if (config.quiet >= silent_from)
		return;
	va_start(ap, word);
	for (; word; word = va_arg(ap, const char *)) {
		n = strlen(word);
		if (n > sizeof(line) - 1 - len)
			n = sizeof(line) - 1 - len;
		memcpy(line + len, word, n);
		len += n;
	}
	va_end(ap);
	line[len++] = '\n';
	(void)sys_write(2, line, len);
}

/* A whole decimal number in [min, max]. */
static bool parse_number(const char *s, uint32_t min, uint32_t max, uint32_t *ret_value)
{
	uint64_t v = 0;

	if (!*s)
		return false;
	for (; *s; s++) {
		if (*s < '0' || *s > '9')
			return false;
		v = v * 10 + (uint64_t)(*s - '0');
		if (v > max)
			return false;
	}
	if (v < min)
		return false;
	*ret_value = (uint32_t)v;
	return true;
}

static bool set_out(struct config *c, const char *value)
{
	size_t len = strlen(value);

	if (!len || len >= sizeof(c->out) || !strcmp(value, "-"))
		return false;
	memcpy(c->out, value, len + 1);
	return true;
}

const char *config_tier_name(enum config_tier tier)
{
	static const char *const names[] = { "symbols", "libc", "all" };

	return names[tier];
}

static bool set_capture(struct config *c, const char *value)
{
	int i;

	for (i = TIER_SYMBOLS; i <= TIER_ALL; i++) {
		if (!strcmp(value, config_tier_name((enum config_tier)i))) {
			c->tier = (enum config_tier)i;
			return true;
		}
	}
	return false;
}

static bool set_verify(struct config *c, const char *value)
{
	uint32_t n;

	if (!strcmp(value, "off"))
		c->verify = VERIFY_OFF;
	else if (!strcmp(value, "final"))
		c->verify = VERIFY_FINAL;
	else if (!strcmp(value, "checkpoint"))
		c->verify = VERIFY_CHECKPOINT;
	else if (!strcmp(value, "event"))
		c->verify_every = 1, c->verify = VERIFY_EVERY;
	else if (parse_number(value, 1, 1000000000, &n))
		c->verify_every = n, c->verify = VERIFY_EVERY;
	else
		return false;
	c->verify_default = false;
	return true;
}

static bool set_procmap(struct config *c, const char *value)
{
	c->maps_text = !strcmp(value, "text");
	return c->maps_text || !strcmp(value, "query");
}

static bool set_heap(struct config *c, const char *value)
{
	static const char sample[] = "sample:";

	if (!strncmp(value, sample, sizeof(sample) - 1)) {
		c->heap = true;
		return parse_number(value + sizeof(sample) - 1, 1, 1u << 30, &c->heap_sample);
	}
	c->heap_sample = 0;
	c->heap = strcmp(value, "off") != 0;
	return !c->heap || !strcmp(value, "all");
}

static bool set_stacks(struct config *c, const char *value)
{
	if (!strcmp(value, "off")) {
		c->stacks = 0;
		return true;
	}
	return parse_number(value, 1, CONFIG_STACKS_MAX, &c->stacks);
}

static bool set_frames(struct config *c, const char *value)
{
	if (!strcmp(value, "off"))
		c->frames = FRAMES_OFF;
	else if (!strcmp(value, "final"))
		c->frames = FRAMES_FINAL;
	else if (!strcmp(value, "checkpoint"))
		c->frames = FRAMES_CHECKPOINT;
	else
		return false;
	return true;
}

static bool set_checkpoint(struct config *c, const char *value)
{
	if (!strcmp(value, "SIGUSR1"))
		c->checkpoint_signal = SIGUSR1;
	else if (!strcmp(value, "SIGUSR2"))
		c->checkpoint_signal = SIGUSR2;
	else
		return parse_number(value, 1, 1000000, &c->checkpoint_seconds);
	return true;
}

static bool set_follow(struct config *c, const char *value)
{
	c->follow = strcmp(value, "none") != 0;
	return !c->follow || !strcmp(value, "all");
}

static bool set_quiet(struct config *c, const char *value)
{
	c->quiet = !strcmp(value, "1") ? QUIET_ALL :
		   !strcmp(value, "errors") ? QUIET_ERRORS : QUIET_NOT;
	return c->quiet != QUIET_NOT || !strcmp(value, "0");
}

static bool set_handshake(struct config *c, const char *value)
{
	uint32_t fd;

	if (strncmp(value, "fd:", 3) || !parse_number(value + 3, 3, 1 << 20, &fd))
		return false;
	c->handshake_fd = (int)fd;
	return true;
}

static const struct variable {
	const char *name;
	bool (*set)(struct config *c, const char *value);
	const char *wants;
} variables[] = {
	{ "VMTRACE_OUT", set_out, "a file name, fd:N or unix:PATH" },
	{ "VMTRACE_CAPTURE", set_capture, "symbols, libc or all" },
	{ "VMTRACE_VERIFY", set_verify, "event, a number, checkpoint, final or off" },
	{ "VMTRACE_PROCMAP", set_procmap, "query or text" },
	{ "VMTRACE_HEAP", set_heap, "all, sample:BYTES or off" },
	{ "VMTRACE_STACKS", set_stacks, "a depth from 1 to 256, or off" },
	{ "VMTRACE_FRAMES", set_frames, "off, final or checkpoint" },
	{ "VMTRACE_CHECKPOINT", set_checkpoint, "seconds, SIGUSR1 or SIGUSR2" },
	{ "VMTRACE_FOLLOW", set_follow, "all or none" },
	{ "VMTRACE_QUIET", set_quiet, "0, errors or 1" },
	{ "VMTRACE_HANDSHAKE", set_handshake, "fd:N" },
};

static void read_variable(struct config *c, const char *entry)
{
	const char *value = strchr(entry, '=');
	char name[64] = "";
	size_t i, len;

	if (!value || value[1] == '\0')
		return;
	len = (size_t)(value - entry);
	for (i = 0; i < sizeof(variables) / sizeof(variables[0]); i++) {
		if (strlen(variables[i].name) != len || strncmp(variables[i].name, entry, len))
			continue;
		if (!variables[i].set(c, value + 1))
			config_error(variables[i].name, "='", value + 1, "': not ",
				     variables[i].wants, "; the default is used", NULL);
		return;
	}
	memcpy(name, entry, len < sizeof(name) - 1 ? len : sizeof(name) - 1);
	config_error(name, ": no such setting; ignored", NULL);
}

void config_read(struct config *c, char **envp)
{
	size_t i;

	*c = (struct config){
		.out = "vmtrace.%e.%p.json",
		.tier = TIER_LIBC,
		.verify = VERIFY_EVERY,
		.verify_every = 1,
		.verify_default = true,
		.heap = true,
		.stacks = 256,
		.frames = FRAMES_FINAL,
		.follow = true,
		.handshake_fd = -1,
	};
	/* Quiet first: it decides whether the others may speak. */
	for (i = 0; envp && envp[i]; i++) {
		if (!strncmp(envp[i], "VMTRACE_QUIET=", 14))
			(void)set_quiet(c, envp[i] + 14);
	}
	for (i = 0; envp && envp[i]; i++) {
		if (!strncmp(envp[i], "VMTRACE_", 8))
			read_variable(c, envp[i]);
	}
}

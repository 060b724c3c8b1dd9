/* SPDX-License-Identifier: MIT */
/*
 * The shadow against the live kernel.
 *
 *   step ──▶ system call ──▶ mm_apply() ──▶ uncertain? ask the kernel, mm_resolve()
 *                                  │
 *                                  ▼
 *              the model's lines == /proc/self/maps, and mm_check(), after every step
 *
 * A run happens in a child, whose map nothing else changes: all memory is static, there is no
 * heap and no stdio. As root there is a second run as nobody. Failures are reproducible by
 * --seed, and cut down to few steps by --minimise.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "calls.h"
#include "kernel.h"
#include "kmaps.h"
#include "rules.h"

#define ARENA_BYTES (16u << 20)
#define STEPS_MAX 2000000u
#define NEARBY_MAX 256
#define NOBODY 65534
#define ERRNO_MAX 134

struct results {
	uint64_t calls[MM_OP_COUNT], failed[MM_OP_COUNT], by_errno[ERRNO_MAX];
	uint64_t steps, touches, forks, grown, uncertain, guess_wrong, replaced;
	uint64_t predicted, predicted_right;
	uint64_t failed_step;		/* first step that differed, +1 */
};

struct options {
	uint64_t seed, nr_seeds, ops;
	bool no_query, minimise, trace, unprivileged;
};

static char arena[ARENA_BYTES];
static size_t arena_used;
static struct mm mm;
static struct options opt = { .seed = 1, .nr_seeds = 1, .ops = 10000 };
static struct results *results;
static unsigned char *skip;		/* steps to leave out, one byte each */
static struct kernel_vma nearby[NEARBY_MAX];
static char model_text[8 << 20];
static uint32_t rules;
static uint64_t task_size;
static bool quiet, locks_in_doubt;

static void say(const char *format, ...)
{
	char buf[8192];
	va_list ap;
	int n;

	va_start(ap, format);
	n = vsnprintf(buf, sizeof(buf), format, ap);
	va_end(ap);
	if (n > (int)sizeof(buf) - 1)
		n = sizeof(buf) - 1;
	if (n > 0 && !quiet && write(STDERR_FILENO, buf, n) < 0)
		quiet = true;
}

static void *arena_alloc(void *ctx, size_t bytes)
{
	void *p = arena + arena_used;

	(void)ctx;
	bytes = (bytes + 15) & ~15ull;
	if (bytes > ARENA_BYTES - arena_used)
		return NULL;
	arena_used += bytes;
	return p;
}

static const struct mm_alloc mem = { .alloc = arena_alloc };

static size_t format_model(void)
{
	struct vma_desc desc;
	size_t n = 0;

	for (const struct vma *vma = mm.first; vma; vma = vma->vm_next) {
		vma_describe(&mm, vma, &desc);
		n += maps_format_line(&desc, model_text + n, sizeof(model_text) - n);
	}
	return n;
}

/* A few lines from @text around @at. */
static void show_lines(const char *title, const char *text, size_t len, size_t at)
{
	size_t from = at, to = at;

	for (int lines = 0; from && lines < 6;)
		if (text[--from] == '\n')
			lines++;
	if (from)
		from++;
	for (int lines = 0; to < len && lines < 6;)
		if (text[to++] == '\n')
			lines++;
	say("%s:\n%.*s", title, (int)(to - from), text + from);
}

static bool same_as_kernel(bool show)
{
	size_t len, n = format_model(), at = 0;
	const char *text = kernel_maps(&len);

	if (n == len && !memcmp(text, model_text, n))
		return true;
	if (!show)
		return false;
	while (at < n && at < len && text[at] == model_text[at])
		at++;
	show_lines("kernel", text, len, at);
	show_lines("model", model_text, n, at);
	return false;
}

/* Of private /dev/zero, moved: its offset is the one field besides bounds that can be in doubt. */
static bool same_offset(const struct vma_desc *desc)
{
	struct vma *vma = vma_lookup(&mm, desc->vm_start);
	struct vma_desc mine;

	if (!vma)
		return false;
	vma_describe(&mm, vma, &mine);
	return mine.offset == desc->offset;
}

/* Ask for all vmas in and next to [start, end), and make the model agree with the answers. */
static void ask_kernel(uint64_t start, uint64_t end, bool may_differ)
{
	static struct vma_desc desc[NEARBY_MAX];
	uint64_t addr = start ? start - 1 : 0;
	size_t nr = 0;
	bool reached = true;

	while (nr < NEARBY_MAX && !kernel_next(addr, !opt.no_query, &nearby[nr]) &&
	       nearby[nr].desc.vm_start <= end) {
		desc[nr] = nearby[nr].desc;
		desc[nr].name = nearby[nr].name;
		addr = desc[nr].vm_end;
		if (strcmp(nearby[nr].name, "[vsyscall]"))
			nr++;
	}
	for (size_t i = 0; i < nr && !may_differ; i++)
		reached &= mm_resolve(&mm, desc[i].vm_start, desc[i].vm_end) == 0 &&
			   same_offset(&desc[i]);
	if (reached && !may_differ)
		return;
	results->replaced++;
	if (nr && desc[0].vm_start < start)
		start = desc[0].vm_start;
	if (nr && desc[nr - 1].vm_end > end)
		end = desc[nr - 1].vm_end;
	mm_replace(&mm, start, end, desc, nr, 0);
}

static void say_step(const struct step *s, uint64_t nr)
{
	const struct mm_call *c = &s->call;

	if (s->kind != STEP_CALL) {
		say("%5lu %s\n", nr, s->kind == STEP_FORK ? "fork" : "touch");
		return;
	}
	say("%5lu %s(%#lx, %#lx, %#lx, %#lx, %#lx, %#lx) = %#lx%s\n", nr, calls_op_name(c->op),
	    c->arg[0], c->arg[1], c->arg[2], c->arg[3], c->arg[4], c->arg[5], (long)c->ret,
	    c->ret < 0 && c->ret > -4096 ? " (failed)" : "");
}

static void find_file(struct step *s)
{
	static struct kernel_vma vma;

	if (!s->wants_file || kernel_next(s->call.op == MM_IO_SETUP ? s->call.arg[2] :
					  (uint64_t)s->call.ret, !opt.no_query, &vma))
		return;
	s->file.dev_major = vma.desc.dev_major;
	s->file.dev_minor = vma.desc.dev_minor;
	s->file.inode = vma.desc.inode;
	s->file.name = vma.name;
	s->file.is_hugetlb = strstr(vma.name, "anon_hugepage");
	s->call.file = &s->file;
	if (s->call.op == MM_IO_SETUP)
		s->call.len = vma.desc.vm_end - vma.desc.vm_start;
}

static void count_call(const struct step *s)
{
	results->calls[s->call.op]++;
	if (s->call.ret >= 0 || s->call.ret <= -4096)
		return;
	results->failed[s->call.op]++;
	if (-s->call.ret < ERRNO_MAX)
		results->by_errno[-s->call.ret]++;
}

static bool apply(struct step *s)
{
	struct mm_effect effect;

	find_file(s);
	count_call(s);
	if (mm_apply(&mm, &s->call, &effect)) {
		say("mm_apply: no memory\n");
		return false;
	}
	results->predicted += effect.predicted != 0;
	if (opt.trace && effect.predicted && (int64_t)effect.predicted != s->call.ret)
		say("      predicted %#lx\n", effect.predicted);
	results->predicted_right += effect.predicted && (int64_t)effect.predicted == s->call.ret;
	if (effect.uncertain) {
		results->uncertain++;
		results->guess_wrong += !same_as_kernel(false);
		ask_kernel(effect.start, effect.end, false);
	}
	return true;
}

static bool counters_match(void)
{
	struct kernel_status k;

	if (kernel_status(&k))
		return true;
	/* After a move in doubt nobody can tell which vma has kept its locks. */
	for (const struct vma *vma = mm.first; vma; vma = vma->vm_next)
		locks_in_doubt |= vma->vm_flags_unknown & VM_LOCKED;
	if (k.size == mm.total_vm && k.data == mm.data_vm && k.stack == mm.stack_vm &&
	    (k.locked == mm.locked_vm || locks_in_doubt) && k.exe + k.lib == mm.exec_vm && k.peak == mm.hiwater_vm)
		return true;
	say("counters     kernel    model\n"
	    "VmSize   %10lu %10lu\nVmPeak   %10lu %10lu\nVmLck    %10lu %10lu\n"
	    "VmData   %10lu %10lu\nVmStk    %10lu %10lu\nVmExe+Lib%10lu %10lu\n",
	    k.size, mm.total_vm, k.peak, mm.hiwater_vm, k.locked, mm.locked_vm, k.data, mm.data_vm,
	    k.stack, mm.stack_vm, k.exe + k.lib, mm.exec_vm);
	return false;
}

/* What the model believes about things that no line shows. */
static void show_hidden(uint64_t around)
{
	struct vma *vma = find_vma(&mm, around);

	for (int i = 0; i < 2 && vma && vma->vm_prev; i++)
		vma = vma->vm_prev;
	for (int i = 0; i < 6 && vma; i++, vma = vma->vm_next)
		say("  %lx-%lx flags %lx, unknown %lx, pgoff %lx/%d, file %lu, policy %lx, "
		    "anon_vma %d/%u%s%s\n", vma->vm_start, vma->vm_end, vma->vm_flags,
		    vma->vm_flags_unknown, vma->vm_pgoff, vma->pgoff_state, vma->file_id,
		    vma->policy_id, vma->anon_vma, vma->anon_vma_id,
		    vma->anon_vma_forked ? " forked" : "", vma->uncertain ? ", uncertain" : "");
}

static bool verify(const struct step *s, uint64_t nr)
{
	const char *broken = mm_check(&mm);
	bool same = same_as_kernel(false);

	if (!broken && same && (nr % 16 || counters_match()))
		return true;
	results->failed_step = nr + 1;
	say("difference: seed %lu, step %lu%s%s\n", opt.seed, nr, broken ? ", mm_check: " : "",
	    broken ? broken : "");
	say_step(s, nr);
	if (!same)
		same_as_kernel(true);
	if (s->kind == STEP_CALL)
		show_hidden(s->call.ret > 0 ? (uint64_t)s->call.ret : s->call.arg[0]);
	return false;
}

/* The child goes on, the parent hands its verdict up. */
static void go_on_in_child(void)
{
	pid_t pid = fork();
	int status;

	if (pid > 0) {
		while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
			;
		if (WIFSIGNALED(status))
			say("a forked child was killed by signal %d\n", WTERMSIG(status));
		_exit(WIFEXITED(status) ? WEXITSTATUS(status) : 2);
	}
	if (pid < 0)
		return;
	results->forks++;
	kernel_open();
	mm_fork_child(&mm);
}

static void drop_privileges(void)
{
	if (setgid(NOBODY) || setuid(NOBODY))
		_exit(77);
	/* Otherwise /proc/self belongs to root. */
	prctl(PR_SET_DUMPABLE, 1);
}

/* Grow the stack before the map is read, to have no growth later. */
static __attribute__((noinline)) void use_stack(void)
{
	volatile char room[512 << 10];

	for (size_t i = 0; i < sizeof(room); i += 4096)
		room[sizeof(room) - 1 - i] = 0;
}

/* A touch may make a mapping grow downwards, which no call tells the model. */
static bool has_stack(uint64_t start, uint64_t end)
{
	struct vma *vma = find_vma(&mm, start);

	for (; vma && vma->vm_start < end; vma = vma->vm_next)
		if (vma->vm_flags & VM_GROWSDOWN)
			return true;
	return false;
}

static int run(void)
{
	static struct step s;

	mm_fork_child(&mm);
	if (opt.unprivileged) {
		drop_privileges();
		mm.rlimit_memlock = kernel_memlock_limit();
	}
	if (kernel_open())
		return 77;
	if (!same_as_kernel(true)) {
		say("the snapshot itself differs\n");
		return 1;
	}
	for (uint64_t nr = 0; nr < opt.ops; nr++) {
		if (skip[nr])
			continue;
		calls_step(opt.seed, nr, true, &mm, &s);
		results->steps++;
		if (opt.trace)
			say_step(&s, nr);
		if (s.kind == STEP_CALL && !apply(&s))
			return 1;
		results->touches += s.kind == STEP_TOUCH;
		if (s.kind == STEP_TOUCH && has_stack(s.start, s.end) && !same_as_kernel(false)) {
			results->grown++;
			ask_kernel(s.start, s.end, true);
		}
		if (s.kind == STEP_FORK)
			go_on_in_child();
		if (!verify(&s, nr))
			return 1;
	}
	return 0;
}

static int run_in_child(void)
{
	pid_t pid;
	int status;

	/* The snapshot is the parent's: of a child's vmas nobody could tell that they are forked. */
	use_stack();
	memset(arena, 0, arena_used);
	arena_used = 0;
	mm_init(&mm, &mem);
	if (kernel_open() || kernel_snapshot(&mm))
		return 77;
	mm.rules = rules;
	mm.task_size = task_size;
	pid = fork();
	if (!pid)
		_exit(run());
	while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	if (WIFSIGNALED(status)) {
		say("killed by signal %d\n", WTERMSIG(status));
		return 2;
	}
	return WEXITSTATUS(status);
}

/* Leave out ever smaller runs of steps as long as it still fails. */
static void minimise(void)
{
	uint64_t nr = results->failed_step;

	if (!nr)
		return;
	opt.ops = nr;
	quiet = true;
	for (uint64_t chunk = nr / 2; chunk; chunk /= 2) {
		for (uint64_t from = 0; from < nr; from += chunk) {
			uint64_t n = from + chunk < nr ? chunk : nr - from;
			static unsigned char saved[STEPS_MAX];

			memcpy(saved, skip + from, n);
			memset(skip + from, 1, n);
			if (run_in_child() != 1)
				memcpy(skip + from, saved, n);
		}
	}
	quiet = false;
	opt.trace = true;
	say("minimised:\n");
	run_in_child();
}

static void print_results(const char *who)
{
	const struct results *r = results;
	uint64_t calls = 0;

	for (int i = 0; i < MM_OP_COUNT; i++)
		calls += r->calls[i];
	printf("%s, rules %#x: %lu steps: %lu calls, %lu touches, %lu forks, %lu stack growths\n", who,
	       rules, r->steps, calls, r->touches, r->forks, r->grown);
	for (int i = 0; i < MM_OP_COUNT; i++)
		if (r->calls[i])
			printf("  %-24s %8lu, failed %8lu\n", calls_op_name(i), r->calls[i],
			       r->failed[i]);
	printf("  failed with:");
	for (int i = 0; i < ERRNO_MAX; i++)
		if (r->by_errno[i])
			printf(" %s %lu", strerrorname_np(i), r->by_errno[i]);
	printf("\n  hinged on unseen state: %lu (%.2f %%), guessed wrong: %lu, out of reach: %lu\n",
	       r->uncertain, calls ? 100.0 * r->uncertain / calls : 0, r->guess_wrong,
	       r->replaced);
	printf("  mmap addresses predicted: %lu, right: %lu (%.2f %%)\n", r->predicted,
	       r->predicted_right, r->predicted ? 100.0 * r->predicted_right / r->predicted : 0);
	fflush(stdout);
}

static uint64_t number(const char *arg)
{
	char *end;
	uint64_t value = strtoull(arg, &end, 0);

	if (!*arg || *end) {
		fprintf(stderr, "shadow: not a number: %s\n", arg);
		exit(2);
	}
	return value;
}

static void parse_options(int argc, char **argv)
{
	for (int i = 1; i < argc; i++) {
		const char *arg = argv[i];

		if (!strcmp(arg, "--no-query"))
			opt.no_query = true;
		else if (!strcmp(arg, "--minimise"))
			opt.minimise = true;
		else if (!strcmp(arg, "--trace"))
			opt.trace = true;
		else if (!strcmp(arg, "--unprivileged"))
			opt.unprivileged = true;
		else if (!strcmp(arg, "--seed") && i + 1 < argc)
			opt.seed = number(argv[++i]);
		else if (!strcmp(arg, "--seeds") && i + 1 < argc)
			opt.nr_seeds = number(argv[++i]);
		else if (!strcmp(arg, "--ops") && i + 1 < argc)
			opt.ops = number(argv[++i]);
		else {
			fprintf(stderr, "usage: shadow [--seed N] [--seeds N] [--ops N] "
				"[--no-query] [--unprivileged] [--minimise] [--trace]\n");
			exit(2);
		}
	}
	if (opt.ops > STEPS_MAX)
		opt.ops = STEPS_MAX;
}

static int run_seeds(const char *who)
{
	uint64_t first = opt.seed, ops = opt.ops;
	int status = 0;

	memset(results, 0, sizeof(*results));
	for (uint64_t i = 0; i < opt.nr_seeds && !status; i++) {
		opt.seed = first + i;
		opt.ops = ops;
		status = run_in_child();
		if (status == 1 && opt.minimise)
			minimise();
	}
	opt.seed = first;
	opt.ops = ops;
	print_results(who);
	return status;
}

int main(int argc, char **argv)
{
	bool root = geteuid() == 0;
	int status, err;

	parse_options(argc, argv);
	results = mmap(NULL, sizeof(*results), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS,
		       -1, 0);
	skip = mmap(NULL, STEPS_MAX, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (results == MAP_FAILED || skip == MAP_FAILED)
		return 77;
	if (kernel_open()) {
		printf("skip: /proc/self/maps can't be opened\n");
		return 77;
	}
	if (!kernel_has_query())
		opt.no_query = true;
	if (kmaps_init(opt.no_query)) {
		printf("skip: /proc/self/maps can't be opened\n");
		return 77;
	}
	rules = rules_probe() | rules_settings();
	task_size = rules_task_size();
	err = calls_init();
	if (err) {
		printf("skip: no scratch files here: %s\n", strerror(-err));
		return 77;
	}
	status = run_seeds(root && !opt.unprivileged ? "root" : "unprivileged");
	if (!status && root && !opt.unprivileged) {
		opt.unprivileged = true;
		status = run_seeds("unprivileged");
	}
	calls_fini();
	return status;
}

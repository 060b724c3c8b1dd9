/* SPDX-License-Identifier: MIT */
/* One seed, in a child: see shadow.h. */
#include "shadow.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "kernel.h"
#include "steps.h"

#define ARENA_BYTES (48u << 20)		/* a map filled to its limit takes some 20 MiB */
#define NEARBY_MAX 256
#define NOBODY 65534
#define CROWD_STEP 1500

static char arena[ARENA_BYTES];
static size_t arena_used;
static struct mm mm;
static struct generator generator;
static struct kernel_vma nearby[NEARBY_MAX];
static char model_text[8 << 20];
static bool locks_in_doubt;

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

/* At most NEARBY_MAX vmas that end above @addr and start at or below @end. */
static size_t ask_some(uint64_t addr, uint64_t end, struct vma_desc desc[NEARBY_MAX])
{
	size_t nr = 0;

	while (nr < NEARBY_MAX && !kernel_next(addr, !opt.no_query, &nearby[nr]) &&
	       nearby[nr].desc.vm_start <= end) {
		desc[nr] = nearby[nr].desc;
		desc[nr].name = nearby[nr].name;
		addr = desc[nr].vm_end;
		if (strcmp(nearby[nr].name, "[vsyscall]"))
			nr++;
	}
	return nr;
}

static bool resolve(const struct vma_desc *desc, size_t nr)
{
	bool reached = true;

	for (size_t i = 0; i < nr; i++)
		reached &= mm_resolve(&mm, desc[i].vm_start, desc[i].vm_end) == 0 &&
			   same_offset(&desc[i]);
	return reached;
}

/* Ask for all vmas in and next to [start, end), and make the model agree with the answers. */
static void ask_kernel(uint64_t start, uint64_t end, bool may_differ)
{
	static struct vma_desc desc[NEARBY_MAX];
	uint64_t from = start, until;
	bool reached = !may_differ;
	size_t nr;

	for (uint64_t at = start; reached && at <= end; at = desc[nr - 1].vm_end) {
		nr = ask_some(at ? at - 1 : 0, end, desc);
		reached &= resolve(desc, nr);
		if (nr < NEARBY_MAX)
			break;
	}
	/* Where nothing is mapped there was no answer that could be taken over. */
	if (reached && same_as_kernel(false))
		return;
	results->replaced++;
	do {
		nr = ask_some(from == start && from ? from - 1 : from, end, desc);
		if (nr && desc[0].vm_start < from)
			from = desc[0].vm_start;
		until = nr && (nr == NEARBY_MAX || desc[nr - 1].vm_end > end) ?
			desc[nr - 1].vm_end : end;
		mm_replace(&mm, from, until, desc, nr, 0);
		from = until;
	} while (nr == NEARBY_MAX && from < end);
}

static void say_step(const struct step *s, uint64_t nr)
{
	char text[STEP_TEXT_MAX];

	if (s->kind != STEP_OTHER || s->what)
		say("%5lu %s;\n", nr, step_text(s, text));
}

static void find_file(struct step *s)
{
	static struct kernel_vma vma;

	/* Of a failed call the descriptor tells at least this. */
	if (s->call.op == MM_MMAP && s->call.ret < 0 && s->file.is_hugetlb)
		s->call.file = &s->file;
	if (!s->wants_file || kernel_next(s->call.op == MM_IO_SETUP ? s->call.arg[2] :
					  (uint64_t)s->call.ret, !opt.no_query, &vma))
		return;
	s->file.dev_major = vma.desc.dev_major;
	s->file.dev_minor = vma.desc.dev_minor;
	s->file.inode = vma.desc.inode;
	s->file.name = vma.name;
	s->file.is_hugetlb |= !strncmp(vma.name, "/anon_hugepage", 14);
	s->call.file = &s->file;
	if (s->call.op == MM_IO_SETUP)
		s->call.len = vma.desc.vm_end - vma.desc.vm_start;
}

/* Where a call that failed half-way has stopped. */
static void ask_where_stopped(struct mm_call *call)
{
	static struct kernel_vma vma;
	uint64_t addr;

	while ((addr = mm_ask(&mm, call)))
		mm_answer(call, addr, kernel_next(addr, !opt.no_query, &vma) ||
			  vma.desc.vm_start > addr ? NULL : &vma.desc);
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
	ask_where_stopped(&s->call);
	if (mm_apply(&mm, &s->call, &effect)) {
		say("mm_apply: no memory\n");
		return false;
	}
	results->predicted += effect.predicted != 0;
	if (opt.trace && effect.predicted && (int64_t)effect.predicted != s->call.ret)
		say("      /* predicted %#lx */\n", effect.predicted);
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
		show_hidden(s->call.op == MM_IOCTL ? s->call.arg[3] :
			    s->call.ret > 0 ? (uint64_t)s->call.ret : s->call.arg[0]);
	return false;
}

static void go_on_in_child(pid_t pid)
{
	int status;

	if (!pid) {
		results->forks++;
		kernel_open();
		objects_forked();
		mm_fork_child(&mm);
		return;
	}
	while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	if (WIFSIGNALED(status))
		say("a forked child was killed by signal %d\n", WTERMSIG(status));
	_exit(WIFEXITED(status) ? WEXITSTATUS(status) : RUN_KILLED);
}

/* The child is gone at once, or keeps its copy until we are gone. */
static void go_on_in_parent(pid_t pid, bool stays)
{
	if (pid) {
		results->forks++;
		if (!stays)
			waitpid(pid, NULL, 0);
		return;
	}
	if (stays && !prctl(PR_SET_PDEATHSIG, SIGKILL))
		pause();
	_exit(0);
}

/* Either side of a fork goes on; the verdict is handed up. */
static void run_fork(uint64_t nr)
{
	bool in_child = nr % 2, stays = nr % 4 > 1;
	pid_t pid = fork();

	if (pid < 0)
		return;
	if (in_child)
		go_on_in_child(pid);
	else
		go_on_in_parent(pid, stays);
}

static void set_limit(const struct step *s)
{
	uint64_t limit = s->limit == RLIM_INFINITY ? ~0ull : s->limit;

	results->limits++;
	if (s->resource == RLIMIT_AS)
		mm.rlimit_as = limit;
	else if (s->resource == RLIMIT_DATA)
		mm.rlimit_data = limit;
	else if (s->resource == RLIMIT_STACK)
		mm.rlimit_stack = limit;
	else
		mm.rlimit_memlock = kernel_memlock_limit();
}

static void drop_privileges(void)
{
	if (setgid(NOBODY) || setuid(NOBODY))
		_exit(RUN_SKIPPED);
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

static long make_raw(struct generator *g, enum mm_op op, long nr, const uint64_t arg[6])
{
	register long r10 __asm__("r10") = arg[3];
	register long r8 __asm__("r8") = arg[4];
	register long r9 __asm__("r9") = arg[5];
	long ret;

	(void)g;
	(void)op;
	__asm__ volatile("syscall"
			 : "=a"(ret)
			 : "a"(nr), "D"(arg[0]), "S"(arg[1]), "d"(arg[2]), "r"(r10), "r"(r8),
			   "r"(r9)
			 : "rcx", "r11", "memory");
	return ret;
}

/* Of thousands of calls in a row only the last is compared. */
static void see_bulk(struct generator *g, struct step *s)
{
	(void)g;
	count_call(s);
	mm_apply(&mm, &s->call, NULL);
}

/* Written in spite of permissions, which the model takes for what can't be written. */
static void learn_written(const struct step *s)
{
	static struct kernel_vma k;

	for (unsigned int i = 0; i < s->nr_touches; i++) {
		uint64_t addr = s->touch[i].addr;

		if (s->touch[i].how != TOUCH_MEM || s->touch[i].failed ||
		    kernel_next(addr, !opt.no_query, &k) || k.desc.vm_start > addr ||
		    (k.desc.vm_flags & (VM_WRITE | VM_MAYSHARE)))
			continue;
		k.desc.anon_vma = true;
		mm_replace(&mm, k.desc.vm_start, k.desc.vm_end, &k.desc, 1, 0);
	}
}

static void learn_grown(const struct step *s)
{
	if (has_stack(s->start, s->end) && !same_as_kernel(false)) {
		results->grown++;
		ask_kernel(s->start, s->end, true);
	}
	/* Floating mappings may have been stacks before they were moved. */
	for (unsigned int i = 0; i < s->nr_touches; i++) {
		uint64_t addr = s->touch[i].addr & ~(PAGE - 1);
		struct vma *vma = find_vma(&mm, addr);

		if (!vma || vma->vm_start <= addr || !(vma->vm_flags & VM_GROWSDOWN) ||
		    same_as_kernel(false))
			continue;
		results->grown++;
		ask_kernel(addr, vma->vm_end, true);
	}
}

/* Return: false to give up. */
static bool run_step(struct step *s, uint64_t nr)
{
	switch (s->kind) {
	case STEP_CALL:
		return apply(s);
	case STEP_TOUCH:
		results->touches += s->nr_touches;
		learn_written(s);
		learn_grown(s);
		return true;
	case STEP_FORK:
		run_fork(nr);
		return true;
	case STEP_LIMIT:
		set_limit(s);
		return true;
	default:
		return true;
	}
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
		return RUN_SKIPPED;
	objects_forked();
	if (!same_as_kernel(true)) {
		say("the snapshot itself differs\n");
		return RUN_DIFFERENT;
	}
	generator_init(&generator, opt.seed, 0);
	generator.make = make_raw;
	generator.bulk = see_bulk;
	generator.crowd_step = CROWD_STEP;
	generator.is_main = generator.forks = generator.limits = true;
	for (uint64_t nr = 0; nr < opt.ops; nr++) {
		if (skip[nr])
			continue;
		generator_step(&generator, nr, &s);
		results->steps++;
		if (opt.trace)
			say_step(&s, nr);
		if (!run_step(&s, nr) || !verify(&s, nr))
			return RUN_DIFFERENT;
	}
	return RUN_SAME;
}

int shadow_run(void)
{
	pid_t pid;
	int status;

	/* The snapshot is the parent's: of a child's vmas nobody could tell that they are forked. */
	use_stack();
	memset(arena, 0, arena_used);
	arena_used = 0;
	mm_init(&mm, &mem);
	if (kernel_open() || kernel_snapshot(&mm))
		return RUN_SKIPPED;
	mm.rules = rules;
	mm.task_size = task_size;
	pid = fork();
	if (!pid)
		_exit(run());
	while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	if (WIFSIGNALED(status)) {
		say("killed by signal %d\n", WTERMSIG(status));
		return RUN_KILLED;
	}
	return WEXITSTATUS(status);
}

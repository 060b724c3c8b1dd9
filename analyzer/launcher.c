/* SPDX-License-Identifier: MIT */
/*
 * vmtrace: runs a program with libvmtrace.so preloaded.
 *
 *     vmtrace ──fork, exec──▶ program with libvmtrace.so
 *        ▲                        │ "vmtrace PID FILE" through a pipe, once, at start
 *        └────────────────────────┘
 *
 * It turns options into VMTRACE_* variables, refuses what can't work before anything runs, and
 * afterwards knows from the pipe whether the library was there. It stays out of the program's way:
 * the same process group, terminal and descriptors, its signals passed on, its exit status kept.
 */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <limits.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "launcher_check.h"
#include "target.h"

#define EXIT_REFUSED 2
#define EXIT_UNTRACED 125
/* The pipe's write end in the program: far above what programs use and expect. */
#define HANDSHAKE_FD 500

/* One option that becomes one variable. */
static const struct setting {
	const char *option, *variable, *values, *help;
} settings[] = {
	{"output", "VMTRACE_OUT", "FILE", "where the trace goes; %p pid, %e program, %t time"},
	{"capture", "VMTRACE_CAPTURE", "symbols|libc|all", "how calls are captured"},
	{"verify", "VMTRACE_VERIFY", "event|N|checkpoint|final|off", "when to ask the kernel"},
	{"heap", "VMTRACE_HEAP", "all|sample:BYTES|off", "record malloc and its family, or a sample"},
	{"stacks", "VMTRACE_STACKS", "DEPTH|off", "greatest depth of call stacks"},
	{"frames", "VMTRACE_FRAMES", "off|final|checkpoint", "record physical frames"},
	{"checkpoint", "VMTRACE_CHECKPOINT", "SECONDS|SIGUSR1|SIGUSR2", "check and count while it runs"},
	{"follow", "VMTRACE_FOLLOW", "all|none", "trace child processes"},
};
#define NR_SETTINGS (sizeof(settings) / sizeof(settings[0]))

enum option_value {
	OPTION_SETTING = 256,
	OPTION_REPORT = 512,
	OPTION_LIBRARY,
	OPTION_CHECK = 1024,
};

struct options {
	const char *library; /* NULL: find it */
	const char *view;    /* of the report */
	bool report;
	struct check check;
	char **argv; /* the program's */
};

/* What came through the pipe. */
struct handshake {
	bool is_loaded;
	bool is_untraced;	/* loaded, but it could not make a trace */
	int exec_errno; /* not 0: execvp() failed */
	pid_t pid;
	char file[PATH_MAX]; /* empty: nothing is written, or not to a file */
};

static volatile sig_atomic_t program_pid;

static void usage(FILE *out)
{
	fprintf(out, "Usage: vmtrace [OPTION…] [--] PROGRAM [ARGUMENT…]\n"
		     "       vmtrace check [OPTION…] -- PROGRAM [ARGUMENT…]\n"
		     "Runs PROGRAM and records what it does to its address space.\n\n");
	for (size_t i = 0; i < NR_SETTINGS; i++)
		fprintf(out, "  %s--%s=%s\n\t\t%s (%s)\n", i == 0 ? "-o, " : "    ",
			settings[i].option, settings[i].values, settings[i].help,
			settings[i].variable);
	fprintf(out, "  -q, --quiet\n\t\tonly errors, no line at start and end (VMTRACE_QUIET=errors)\n"
		     "      --report[=VIEW]\n\t\trun vmtrace-report on the trace afterwards\n"
		     "      --library=FILE\n\t\tthe libvmtrace.so to preload\n"
		     "  -h, --help\n  -V, --version\n\n"
		     "Exit status: the program's, or 128 and the number of the signal it died of;\n"
		     "2 if it can't be traced (it was not started), 125 if it ran without being "
		     "traced.\n");
}

static void build_long_options(struct option *ret_options, bool is_check)
{
	static const struct option others[] = {
		{"quiet", no_argument, NULL, 'q'},
		{"report", optional_argument, NULL, OPTION_REPORT},
		{"library", required_argument, NULL, OPTION_LIBRARY},
		{"help", no_argument, NULL, 'h'},
		{"version", no_argument, NULL, 'V'},
		{NULL, 0, NULL, 0},
	};

	for (size_t i = 0; i < NR_SETTINGS; i++)
		*ret_options++ = (struct option){settings[i].option, required_argument, NULL,
						 OPTION_SETTING + (int)i};
	for (size_t i = 0; is_check && i < CHECK_NR_OPTIONS; i++) {
		*ret_options = check_options[i];
		ret_options++->val += OPTION_CHECK;
	}
	memcpy(ret_options, others, sizeof(others));
}

/* An option of --help and of the like, or one that becomes a variable. Return: false: unusable. */
static bool take_setting(struct options *options, int value)
{
	const struct setting *setting = &settings[value - OPTION_SETTING];

	if (options->check.is_wanted && setting == &settings[0]) {
		fprintf(stderr, "vmtrace: check records into a temporary file; it has no --output\n");
		return false;
	}
	if (setting == &settings[0] && strcmp(optarg, "-") == 0) {
		fprintf(stderr, "vmtrace: --output: standard output is the program's; fd:N is a descriptor, "
				"./- a file\n");
		return false;
	}
	return setenv(setting->variable, optarg, 1) == 0;
}

/* Leaves the process for --help, --version and bad usage. */
static struct options parse_options(int argc, char **argv)
{
	struct option long_options[NR_SETTINGS + CHECK_NR_OPTIONS + 6];
	struct options options = {.check = {.regression = 1}};
	bool good = true;
	int value;

	if (argc > 1 && strcmp(argv[1], "check") == 0) {
		options.check.is_wanted = true;
		argv++;
		argc--;
		argv[0] = (char *)"vmtrace check";	/* for getopt's messages */
	}
	build_long_options(long_options, options.check.is_wanted);
	while (good && (value = getopt_long(argc, argv, "+o:qhV", long_options, NULL)) != -1) {
		switch (value) {
		case 'o':
			good = take_setting(&options, OPTION_SETTING);
			break;
		case 'q':
			setenv("VMTRACE_QUIET", "errors", 1);
			break;
		case OPTION_REPORT:
			options.report = true;
			options.view = optarg;
			if (options.check.is_wanted) {
				fprintf(stderr, "vmtrace: check removes its trace; it has no --report\n");
				good = false;
			}
			break;
		case OPTION_LIBRARY:
			options.library = optarg;
			break;
		case 'h':
			if (options.check.is_wanted)
				fputs(check_help, stdout);
			else
				usage(stdout);
			exit(EXIT_SUCCESS);
		case 'V':
			puts("vmtrace " VMTRACE_VERSION);
			exit(EXIT_SUCCESS);
		case '?':
			fprintf(stderr, "vmtrace: try 'vmtrace %s--help'\n",
				options.check.is_wanted ? "check " : "");
			exit(EXIT_REFUSED);
		default:
			good = value >= OPTION_CHECK ?
				       check_take(&options.check, value - OPTION_CHECK, optarg) :
				       take_setting(&options, value);
		}
	}
	if (!good)
		exit(EXIT_REFUSED);
	if (optind == argc) {
		fprintf(stderr, "vmtrace: no program given; try 'vmtrace --help'\n");
		exit(EXIT_REFUSED);
	}
	options.argv = argv + optind;
	return options;
}

/* The path of a file that lies at @relative seen from the folder of this executable. */
static bool beside_launcher(const char *relative, char *ret_path)
{
	char self[PATH_MAX], file[2 * PATH_MAX];
	ssize_t length = readlink("/proc/self/exe", self, sizeof(self) - 1);

	if (length < 0)
		return false;
	self[length] = '\0';
	*(strrchr(self, '/') + 1) = '\0';
	(void)snprintf(file, sizeof(file), "%s%s", self, relative);
	return realpath(file, ret_path) != NULL;
}

static int find_library(const char *asked, char *ret_path)
{
	if (asked) {
		if (!realpath(asked, ret_path)) {
			fprintf(stderr, "vmtrace: %s: %s\n", asked, strerror(errno));
			return -ENOENT;
		}
	} else if (!beside_launcher("../preload/libvmtrace.so", ret_path) &&
		   !realpath(VMTRACE_LIBRARY, ret_path) &&
		   !beside_launcher(VMTRACE_LIBRARY_RELATIVE, ret_path)) {
		fprintf(stderr,
			"vmtrace: libvmtrace.so is neither at %s nor beside the launcher; "
			"name it with --library\n",
			VMTRACE_LIBRARY);
		return -ENOENT;
	}
	if (strpbrk(ret_path, ": ")) {
		fprintf(stderr,
			"vmtrace: %s: a path with a space or a colon can't stand in "
			"LD_PRELOAD\n",
			ret_path);
		return -EINVAL;
	}
	return 0;
}

/* First in the list, so that what others preload is traced too. */
static void set_preload(const char *library)
{
	const char *before = getenv("LD_PRELOAD");
	char *list;

	if (!before || !*before) {
		setenv("LD_PRELOAD", library, 1);
	} else if (asprintf(&list, "%s:%s", library, before) > 0) {
		setenv("LD_PRELOAD", list, 1);
		free(list);
	}
}

/* Makes the pipe; the write end gets a high number and stays open across exec. */
static int handshake_open(int ret_ends[2])
{
	struct rlimit limit = {0};
	int low[2], high;

	if (pipe2(low, O_CLOEXEC) < 0)
		return -errno;
	(void)getrlimit(RLIMIT_NOFILE, &limit);
	high = limit.rlim_cur > HANDSHAKE_FD ? HANDSHAKE_FD : (int)limit.rlim_cur - 1;
	ret_ends[0] = low[0];
	ret_ends[1] = fcntl(low[1], F_DUPFD, high);
	if (ret_ends[1] < 0)
		return -errno;
	close(low[1]);
	return fcntl(low[0], F_SETFL, O_NONBLOCK) < 0 ? -errno : 0;
}

/*
 * Reads what is in the pipe once the program has ended. Descendants may still hold the write end
 * if the library wasn't there to close it, so the end of the pipe is not waited for.
 */
static struct handshake handshake_read(int fd)
{
	struct handshake shake = {0};
	char line[PATH_MAX + 64], *newline;
	ssize_t length = read(fd, line, sizeof(line) - 1);
	int pid, at = 0;

	line[length < 0 ? 0 : length] = '\0';
	if (sscanf(line, "exec %d", &shake.exec_errno) == 1)
		return shake;
	shake.is_untraced = strncmp(line, "untraced ", 9) == 0;
	newline = strchr(line, '\n');
	if (!newline || sscanf(line, "vmtrace %d%n", &pid, &at) != 1)
		return shake;
	*newline = '\0';
	shake.is_loaded = true;
	shake.pid = pid;
	if (line[at] == ' ' && strlen(line + at + 1) < sizeof(shake.file))
		strcpy(shake.file, line + at + 1);
	return shake;
}

/*
 * A signal from the terminal reaches the program by itself, being in the same process group. One
 * that was sent to the launcher alone is passed on.
 */
static void on_signal(int signal, siginfo_t *info, void *context)
{
	(void)context;
	if (info->si_code <= 0 && program_pid > 0)
		kill((pid_t)program_pid, signal);
}

static void pass_signals_on(void)
{
	static const int passed[] = {SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGUSR1, SIGUSR2};
	struct sigaction action = {.sa_sigaction = on_signal, .sa_flags = SA_SIGINFO | SA_RESTART};
	struct sigaction before;

	for (size_t i = 0; i < sizeof(passed) / sizeof(passed[0]); i++)
		if (sigaction(passed[i], NULL, &before) == 0 && before.sa_handler != SIG_IGN)
			sigaction(passed[i], &action, NULL);
}

/*
 * A relative name counts from where we are now, wherever the program or its children go: all
 * traces of a run lie together. '%' in the folder's own name is doubled, as the pattern wants it.
 */
static void settle_output(void)
{
	const char *out = getenv("VMTRACE_OUT");
	char *folder, *path, *to;
	size_t length;

	if (!out || !*out)
		out = "vmtrace.%e.%p.json";
	if (*out == '/' || strncmp(out, "fd:", 3) == 0 || strncmp(out, "unix:", 5) == 0)
		return;
	folder = getcwd(NULL, 0);
	length = folder ? strlen(folder) : 0;
	path = folder ? malloc(2 * length + strlen(out) + 2) : NULL;
	if (path) {
		to = path;
		for (size_t i = 0; i < length; i++) {
			if (folder[i] == '%')
				*to++ = '%';
			*to++ = folder[i];
		}
		*to++ = '/';
		strcpy(to, out);
		setenv("VMTRACE_OUT", path, 1);
	}
	free(path);
	free(folder);
}

/* Becomes the program; if that fails the pipe tells why. */
_Noreturn static void run_program(char **argv, const char *library, int fd)
{
	char where[32];

	(void)snprintf(where, sizeof(where), "fd:%d", fd);
	setenv("VMTRACE_HANDSHAKE", where, 1);
	set_preload(library);
	settle_output();
	execvp(argv[0], argv);
	dprintf(fd, "exec %d\n", errno);
	_exit(EXIT_REFUSED);
}

/* Runs the program to its end. Return: 0 with the results written, or -errno. */
static int run(char **argv, const char *library, pid_t *ret_pid, int *ret_status,
	       struct handshake *ret_shake)
{
	struct sigaction child_default = {.sa_handler = SIG_DFL}, child_before;
	sigset_t all, before;
	int ends[2] = {-1, -1}, error = handshake_open(ends);
	pid_t pid;

	if (error < 0)
		return error;
	/* No signal between fork and the handlers; no handler in the program. */
	sigfillset(&all);
	sigprocmask(SIG_SETMASK, &all, &before);
	sigaction(SIGCHLD, &child_default, &child_before);
	pid = fork();
	if (pid < 0)
		return -errno;
	if (pid == 0) {
		sigaction(SIGCHLD, &child_before, NULL);
		sigprocmask(SIG_SETMASK, &before, NULL);
		run_program(argv, library, ends[1]);
	}
	close(ends[1]);
	program_pid = pid;
	pass_signals_on();
	sigprocmask(SIG_SETMASK, &before, NULL);
	while (waitpid(pid, ret_status, 0) < 0)
		if (errno != EINTR)
			return -errno;
	/* Its number may be another's by now. */
	program_pid = 0;
	*ret_pid = pid;
	*ret_shake = handshake_read(ends[0]);
	close(ends[0]);
	return 0;
}

static long long monotonic_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * 1000000000LL + now.tv_nsec;
}

/* Finds the clock's start in the header. Return: false if this is no trace or it has an end. */
static bool trace_lacks_end(FILE *trace, long long *ret_start_ns)
{
	static const char key[] = "\"start_ns\":", end[] = "{\"ev\":\"end\"";
	bool lacks_end = false;
	char *line = NULL, *start;
	size_t size = 0;

	if (getline(&line, &size, trace) < 0)
		goto out_free;
	start = strstr(line, key);
	if (!start)
		goto out_free;
	*ret_start_ns = strtoll(start + strlen(key), NULL, 10);
	lacks_end = true;
	while (lacks_end && getline(&line, &size, trace) >= 0)
		lacks_end = strncmp(line, end, strlen(end)) != 0;
out_free:
	free(line);
	return lacks_end;
}

/*
 * Adds the end that a killed program could not write. The record begins with a newline: the last
 * one of the program may be unfinished.
 */
static void trace_add_end(const char *file, int signal, long long now_ns)
{
	int fd = open(file, O_RDWR | O_APPEND | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	FILE *trace = fd < 0 ? NULL : fdopen(fd, "r");
	long long start_ns;
	struct stat st;

	if (!trace)
		return;
	if (fstat(fd, &st) == 0 && S_ISREG(st.st_mode) && trace_lacks_end(trace, &start_ns))
		dprintf(fd, "\n{\"ev\":\"end\",\"t\":%lld,\"how\":\"signal\",\"status\":%d}\n",
			now_ns - start_ns, signal);
	fclose(trace);
}

static void find_report(char *ret_path)
{
	if (!beside_launcher("vmtrace-report", ret_path))
		(void)snprintf(ret_path, PATH_MAX, "%s", VMTRACE_REPORT);
}

static void report(const char *file, const char *view)
{
	char path[PATH_MAX];
	pid_t pid;
	int status;

	find_report(path);
	fflush(NULL);
	pid = fork();
	if (pid == 0) {
		execl(path, "vmtrace-report", view ? view : "summary", "--", file, (char *)NULL);
		fprintf(stderr, "vmtrace: %s: %s\n", path, strerror(errno));
		_exit(EXIT_REFUSED);
	}
	while (pid > 0 && waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
}

/* Run the program and see to its trace. Return: its status as a shell tells it, or our own. */
static int record(const struct options *options, const char *library)
{
	struct handshake shake = {0};
	pid_t pid = 0;
	int status = 0, error = run(options->argv, library, &pid, &status, &shake);
	long long ended_ns = monotonic_ns();

	if (error < 0 || shake.exec_errno) {
		fprintf(stderr, "vmtrace: %s: %s\n", options->argv[0],
			strerror(error < 0 ? -error : shake.exec_errno));
		return EXIT_REFUSED;
	}
	if (shake.is_untraced) {
		fprintf(stderr, "vmtrace: %s ran untraced: nothing was recorded\n", options->argv[0]);
		return EXIT_UNTRACED;
	}
	if (!shake.is_loaded) {
		fprintf(stderr, "vmtrace: %s ran without %s: nothing was recorded\n",
			options->argv[0], library);
		return EXIT_UNTRACED;
	}
	if (WIFSIGNALED(status) && *shake.file && shake.pid == pid)
		trace_add_end(shake.file, WTERMSIG(status), ended_ns);
	if (options->report && *shake.file)
		report(shake.file, options->view);
	else if (options->report)
		fprintf(stderr, "vmtrace: no trace file to report on\n");
	return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
}

/* The same, and judge it. */
static int record_and_check(struct options *options, const char *library)
{
	char path[PATH_MAX];
	int status;

	find_report(path);
	if (check_begin(&options->check) < 0)
		return EXIT_REFUSED;
	status = record(options, library);
	if (status)
		fprintf(stderr, "vmtrace: %s: exit status %d; its layout was not checked\n",
			options->argv[0], status);
	else
		status = check_finish(&options->check, path, &program_pid);
	return status;
}

static int start(struct options *options)
{
	char library[PATH_MAX], why[2 * PATH_MAX];

	if (find_library(options->library, library) < 0)
		return EXIT_REFUSED;
	if (target_check(options->argv[0], why, sizeof(why)) < 0) {
		fprintf(stderr, "vmtrace: %s\n", why);
		return EXIT_REFUSED;
	}
	return options->check.is_wanted ? record_and_check(options, library) :
					  record(options, library);
}

int main(int argc, char **argv)
{
	struct options options = parse_options(argc, argv);
	int status = start(&options);

	check_end(&options.check);
	return status;
}

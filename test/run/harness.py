# SPDX-License-Identifier: MIT
"""
What the end-to-end tests share: run a program natively and traced, compare the two, and put the
traces through the validator and every view of vmtrace-report.

A test file holds functions decorated with @case and ends with harness.main(). Meson starts it once
for each case and hands in the built files. Every case gets a temporary folder of its own:

    TMP/work    working directory of the program, emptied between the native and the traced run
    TMP/traces  what VMTRACE_OUT points to
    TMP/bin     with --unprivileged: copies of the built files, because the build tree may be closed
"""
import argparse
import atexit
import contextlib
import json
import mmap
import os
import pathlib
import shutil
import signal
import struct
import subprocess
import sys
import tempfile

VIEWS = ("summary", "maps", "events", "mm", "heap", "leaks", "frames", "verify")
NOBODY = 65534
PAGE = mmap.PAGESIZE
SKIPPED = 77
# A guard against programs that hang, far above what any takes; nothing waits for it to pass.
TIMEOUT_S = 300

CASES = {}


def case(function):
    CASES[function.__name__.replace("_", "-")] = function
    return function


class Skip(Exception):
    """The test can't run here; the text says why."""


def expect(condition, what):
    if not condition:
        raise AssertionError(what)


def expect_equal(got, wanted, what):
    if got != wanted:
        raise AssertionError(f"{what}:\n  got    {shorten(got)}\n  wanted {shorten(wanted)}")


def shorten(value, limit=3000):
    text = repr(value)
    return text if len(text) <= limit else f"{text[:limit // 2]} … {text[-limit // 2:]}"


class Result:
    """What a program left behind: status as subprocess has it (negative: a signal)."""

    def __init__(self, status, stdout, stderr, files):
        self.status, self.stdout, self.files = status, stdout, files
        lines = stderr.splitlines(keepends=True)
        self.ours = [line for line in lines if line.startswith(b"vmtrace: ")]
        self.stderr = b"".join(line for line in lines if line not in self.ours)

    def facts(self):
        return {"status": self.status, "stdout": self.stdout, "stderr": self.stderr,
                "files": self.files}


def kill_all(process):
    """With its descendants, if it was started with a session of its own."""
    if os.getpgid(process.pid) == process.pid:
        os.killpg(process.pid, signal.SIGKILL)
    process.kill()
    process.wait()


class Bench:
    """The built files, and the folder that the case works in."""

    def __init__(self, args, tmp):
        self.tmp = tmp
        self.work, self.traces, self.bin = tmp / "work", tmp / "traces", tmp / "bin"
        self.unprivileged, self.compressed = args.unprivileged, args.compressed
        for folder in (tmp, self.work, self.traces, self.bin):
            folder.mkdir(exist_ok=True)
            folder.chmod(0o755)
            self.give(folder)
        self.library = self.reachable(args.library)
        self.launcher = self.reachable(args.launcher)
        self.program = self.reachable(args.program)
        self.beside = {path.name.split(".")[0]: self.reachable(path) for path in args.beside}
        self.report_program, self.validator = args.report, args.validator
        self.arguments = args.arguments

    def give(self, path):
        """Makes the user who runs the programs the owner of a file."""
        if self.unprivileged:
            os.chown(path, NOBODY, NOBODY)

    def reachable(self, path):
        if not path or not self.unprivileged:
            return path and str(path)
        copy = self.bin / path.name
        if not copy.exists():
            shutil.copy(path, copy)
            copy.chmod(0o755)
        return str(copy)

    def user(self):
        if not self.unprivileged:
            return {}
        return {"user": NOBODY, "group": NOBODY, "extra_groups": []}

    @staticmethod
    def environment(extra=None):
        """A small fixed one: nothing of the caller's changes a result."""
        env = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "HOME": "/nonexistent", "LANG": "C.UTF-8",
               "TMPDIR": "."}
        env.update(extra or {})
        return env

    def preload(self, **settings):
        """Environment of a traced run: preload(heap="off") sets VMTRACE_HEAP."""
        name = "%e.%p.%t.json.zst" if self.compressed else "%e.%p.%t.json"
        env = {"LD_PRELOAD": self.library, "VMTRACE_OUT": str(self.traces / name)}
        env.update({"VMTRACE_" + name.upper(): str(value) for name, value in settings.items()})
        return env

    def empty_work(self):
        for path in self.work.iterdir():
            shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()

    def files(self):
        return {str(path.relative_to(self.work)): path.read_bytes()
                for path in sorted(self.work.rglob("*")) if path.is_file()}

    def start(self, argv, env=None, **options):
        return subprocess.Popen([str(word) for word in argv], cwd=self.work,
                                env=self.environment(env), **self.user(), **options)

    def run(self, argv, env=None, stdin=b"", **options):
        """Runs a program in an emptied working directory."""
        self.empty_work()
        process = self.start(argv, env, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                             stderr=subprocess.PIPE, **options)
        try:
            stdout, stderr = process.communicate(stdin, timeout=TIMEOUT_S)
        except subprocess.TimeoutExpired:
            kill_all(process)
            raise AssertionError(f"{argv[0]} hangs")
        return Result(process.returncode, stdout, stderr, self.files())

    def run_both(self, argv, stdin=b"", env=None, settings=None):
        """Native, then traced: they must not differ. Returns the traced run's result."""
        native = self.run(argv, env, stdin)
        traced = self.run(argv, {**(env or {}), **self.preload(**(settings or {}))}, stdin)
        expect_equal(traced.facts(), native.facts(), f"{argv[0]} traced differs from native")
        return traced

    def trace_files(self):
        for path in self.traces.glob("*.zst") if self.compressed else ():
            unpack(path)
        return sorted(self.traces.iterdir())

    def only_trace(self):
        files = self.trace_files()
        expect_equal(len(files), 1, f"one trace, not {[path.name for path in files]}")
        return files[0]

    def report(self, *argv, status=0):
        done = subprocess.run([self.report_program, *map(str, argv)], capture_output=True,
                              timeout=TIMEOUT_S, env=self.environment())
        expect_equal(done.returncode, status,
                     f"vmtrace-report {' '.join(map(str, argv))}: {done.stderr.decode()}")
        return done.stdout

    def report_json(self, view, trace, *argv):
        return json.loads(self.report(view, "--json", *argv, trace))

    def validate(self, *traces):
        done = subprocess.run([sys.executable, self.validator, *map(str, traces)],
                              capture_output=True, timeout=TIMEOUT_S)
        expect_equal(done.returncode, 0,
                     f"validator: {shorten((done.stdout + done.stderr).decode())}")

    def read_by_views(self, trace, lost):
        """One trace: read by every view, complete and explained. Returns its summary."""
        for view in VIEWS:
            expect(self.report(view, trace), f"view {view} prints nothing")
            if view != "summary":
                self.report_json(view, trace)
        summary = self.report_json("summary", trace)
        expect_equal(summary["verify"]["unexplained"], 0, f"unexplained in {trace.name}")
        expect_equal(summary["verify"]["replay"]["diverged"], 0, f"diverged in {trace.name}")
        if lost is not None:
            expect_equal(summary["capture"]["lost"], lost, f"lost in {trace.name}")
        return summary

    def check(self, trace, lost=0):
        """One trace: valid too. @lost: how much of it is, None if that is not known."""
        self.validate(trace)
        return self.read_by_views(trace, lost)

    def check_all(self):
        """All traces that the case has made so far."""
        files = self.trace_files()
        expect(files, "there is no trace")
        self.validate(*files)
        return [self.read_by_views(path, 0) for path in files]


@contextlib.contextmanager
def small_disk(bench, kib):
    place = bench.tmp / f"disk{kib}"
    place.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={kib}k,mode=777", "tmpfs", place]
    if os.geteuid() != 0 or subprocess.run(mount, capture_output=True).returncode != 0:
        raise Skip("mounting a small tmpfs needs root")
    try:
        yield place
    finally:
        subprocess.run(["umount", "-l", place], check=True)


def zstd_frames(data):
    """(frame, its blocks) one after the other; skippable ones have none (RFC 8878, 3.1)."""
    at = 0
    while at < len(data):
        start, blocks = at, []
        if data[at] & 0xf0 == 0x50:
            at += 8 + int.from_bytes(data[at + 4:at + 8], "little")
        else:
            flags = data[at + 4]
            single = flags >> 5 & 1
            at += 6 - single + (0, 1, 2, 4)[flags & 3] + (single, 2, 4, 8)[flags >> 6]
            last = 0
            while not last:
                head = int.from_bytes(data[at:at + 3], "little")
                last, kind, size = head & 1, head >> 1 & 3, head >> 3
                at += 3 + (1 if kind == 1 else size)
                blocks.append((kind, data[at - size:at]))
            at += 4 * (flags >> 2 & 1)
        yield data[start:at], blocks


def zstd_cat(data):
    done = subprocess.run(["zstd", "-dcq"], input=data, capture_output=True, timeout=TIMEOUT_S)
    expect_equal((done.returncode, done.stderr), (0, b""), "zstd -dc")
    return done.stdout


def without_double(data):
    """After a kill the last compressed chunk may stand behind itself, as it was before, too."""
    frames = list(zstd_frames(data))
    raw = [blocks[0][1].rstrip(b"\n") if len(blocks) == 1 and not blocks[0][0] else None
           for _, blocks in frames]
    packed = [i for i, (_, blocks) in enumerate(frames) if blocks and raw[i] is None]
    double = zstd_cat(frames[packed[-1]][0]).rstrip(b"\n") if packed else b""
    return b"".join(frame for i, (frame, _) in enumerate(frames) if not double or raw[i] != double)


def unpack(path):
    """Puts what it holds in the place of a compressed trace. Returns that, and the old size."""
    data, plain = path.read_bytes(), path.with_suffix("")
    plain.write_bytes(zstd_cat(without_double(data)))
    path.unlink()
    return plain, len(data)


def records(trace):
    """The records of a trace; remains of a killed process are left out, as TRACE.md says."""
    with open(trace, "rb") as lines:
        return [json.loads(line) for line in lines
                if line.startswith(b"{") and line.endswith(b"}\n")]


def header(trace):
    first = records(trace)[0]
    expect_equal(first["ev"], "header", "first record")
    return first


def count_calls(trace, name, pages):
    """Successful calls of one kind with this many pages."""
    return sum(1 for record in records(trace)
               if record["ev"] == "call" and record["call"] == name and "ret" in record
               and record["args"].get("length") == pages * PAGE)


def with_time(op):
    """A heap operation of the form that begins with a time: it may have been left out."""
    return [0, *op] if len(op) in (1, 3) else op


def count_allocations(trace, size):
    return sum(1 for record in records(trace) if record["ev"] == "heap"
               for op in map(with_time, record["ops"]) if len(op) > 2 and op[2] == size)


def kill_and_check(bench, argv, is_enough, size, threads=1):
    """Kill a program that counts its mappings, and its blocks of @size, once they are enough: all of
    them are in the trace."""
    def counted():
        return struct.unpack_from("QQ", counters.read_bytes())

    counters = bench.tmp / "counters"
    counters.write_bytes(bytes(PAGE))
    bench.give(counters)
    process = bench.start([*argv, counters], bench.preload(), stdout=subprocess.DEVNULL,
                          stderr=subprocess.PIPE)
    while process.poll() is None and not is_enough(*counted()):
        pass
    process.kill()
    errors = process.communicate(timeout=TIMEOUT_S)[1]
    expect_equal(process.returncode, -9, f"status; {errors.decode()}")
    mapped, allocated = counted()
    trace = bench.only_trace()
    summary = bench.check(trace, lost=None)
    expect_equal(summary["process"]["end"]["how"], "killed", "how it ended")
    for what, got, want, more in (("mmap", count_calls(trace, "mmap", 7), mapped, 1),
                                  ("malloc", count_allocations(trace, size), allocated, threads)):
        # One step of each thread may have been done and not counted yet.
        expect(want <= got <= want + more, f"{what}: {got} in the trace, {want} counted")
    return trace


def last_end(trace):
    ends = [record for record in records(trace) if record["ev"] == "end"]
    return ends[-1] if ends else None


def parse_arguments():
    parser = argparse.ArgumentParser()
    for name in ("library", "launcher", "program", "report", "validator"):
        parser.add_argument("--" + name, type=lambda path: pathlib.Path(path).resolve())
    parser.add_argument("--beside", action="append", default=[],
                        type=lambda path: pathlib.Path(path).resolve(),
                        help="another built file: bench.beside[its name up to the first dot]")
    parser.add_argument("--unprivileged", action="store_true",
                        help="run the programs as another user; needs root")
    parser.add_argument("--compressed", action="store_true",
                        help="programs write compressed traces, and tests read what they hold")
    parser.add_argument("case", choices=CASES)
    parser.add_argument("arguments", nargs="*")
    return parser.parse_args()


def main():
    args = parse_arguments()
    os.umask(0o022)
    if args.compressed and not shutil.which("zstd"):
        print("skipped: there is no zstd(1) to read compressed traces with")
        sys.exit(SKIPPED)
    if args.unprivileged and os.geteuid() != 0:
        print("skipped: not root; the other test of this name ran unprivileged")
        sys.exit(SKIPPED)
    tmp = pathlib.Path(tempfile.mkdtemp(prefix="vmtrace-test-"))
    atexit.register(shutil.rmtree, tmp, ignore_errors=True)
    # Started in the background, a shell has them ignored; no program could handle them then.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGHUP, signal.SIG_DFL)
    signal.signal(signal.SIGQUIT, signal.SIG_DFL)
    # Meson ends a test that takes too long this way; the folder must go even then.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    try:
        CASES[args.case](Bench(args, tmp))
    except Skip as why:
        print(f"skipped: {why}")
        sys.exit(SKIPPED)
    except AssertionError as failure:
        print(f"FAILED {args.case}: {failure}")
        sys.exit(1)

# SPDX-License-Identifier: MIT
"""Where a trace goes and what happens when it can't: the traced program must not notice."""
import contextlib
import json
import os
import pathlib
import re
import resource
import signal
import socket
import subprocess
import threading

import harness
from harness import case, count_calls, expect, expect_equal, header, last_end

ROUNDS = 1000


def native(bench, *arguments):
    result = bench.run([bench.program, *arguments])
    expect_equal(result.status, 3, "status of the native run")
    return result


def run_traced(bench, settings, *arguments, out=None, **options):
    """A traced run that must do what the native one does."""
    env = bench.preload(**settings)
    if out is not None:
        env["VMTRACE_OUT"] = str(out)
    traced = bench.run([bench.program, *arguments], env, **options)
    wanted = native(bench, *arguments)
    expect_equal((traced.status, traced.stdout, traced.stderr),
                 (wanted.status, wanted.stdout, wanted.stderr), "the traced run differs")
    return traced


def expect_complete(trace, rounds=ROUNDS):
    for call in "mmap", "munmap":
        expect_equal(count_calls(trace, call, 5), rounds, f"{call} records")


def expect_one_line(traced, *words):
    """One line of ours on stderr, which names what is wrong."""
    lines = [line for line in traced.ours if all(word.encode() in line for word in words)]
    expect_equal(len(lines), 1, f"lines with {words} among {traced.ours}")


@case
def quiet(bench):
    traced = run_traced(bench, {"quiet": "1", "heap": "nonsense", "nothing": "1"})
    expect_equal(traced.ours, [], "lines on stderr")
    traced = run_traced(bench, {"quiet": "errors", "heap": "nonsense", "nothing": "1"})
    expect_equal(len(traced.ours), 2, f"settings that are not obeyed: {traced.ours}")
    bench.check_all()


@case
def verify_modes(bench):
    for asked, mode in (("event", "event"), ("7", 7), ("checkpoint", "checkpoint"),
                        ("final", "final"), ("off", "off")):
        run_traced(bench, {"verify": asked})
        trace = bench.only_trace()
        expect_equal(header(trace)["verify"]["mode"], mode, f"mode with VMTRACE_VERIFY={asked}")
        bench.check(trace)
        expect_complete(trace)
        trace.unlink()


@case
def verify_by_text(bench):
    run_traced(bench, {"procmap": "text", "verify": "final"})
    trace = bench.only_trace()
    expect_equal(header(trace)["verify"]["source"], "text", "source")
    bench.check(trace)


@case
def clock(bench):
    """By which clock it was, and that it goes as CLOCK_MONOTONIC does."""
    bench.run([bench.program], bench.preload())
    trace = bench.only_trace()
    lines = [json.loads(line) for line in trace.read_text().splitlines() if line.startswith("{")]
    source = pathlib.Path("/sys/devices/system/clocksource/clocksource0/current_clocksource")
    is_tsc = source.read_text() == "tsc\n" and " nonstop_tsc" in pathlib.Path("/proc/cpuinfo").read_text()
    expect_equal(lines[0]["clock"]["source"], "tsc" if is_tsc else "monotonic", "source")
    checkpoints = [line for line in lines if line["ev"] == "checkpoint"]
    for line in checkpoints:
        # The rate was measured for some hundred microseconds, with errors of tens of nanoseconds.
        expect(abs(line["drift_ns"]) < 20000 + line["t"] // 200, f"drift: {line}")
    expect(len(checkpoints) >= 2, "checkpoints")


@case
def heap_off(bench):
    run_traced(bench, {"heap": "off"})
    trace = bench.only_trace()
    bench.check(trace)
    expect_equal(header(trace)["heap"], "off", "heap")
    expect(not [r for r in harness.records(trace) if r["ev"] == "heap"], "there are heap records")
    expect_complete(trace)


@case
def stacks_off(bench):
    run_traced(bench, {"stacks": "off"})
    trace = bench.only_trace()
    bench.check(trace)
    expect_equal(header(trace)["stacks"], 0, "stacks")
    expect(not [r for r in harness.records(trace) if r["ev"] == "stack"], "there are stacks")


@case
def stacks_depth(bench):
    run_traced(bench, {"stacks": "2"})
    trace = bench.only_trace()
    bench.check(trace)
    expect_equal(header(trace)["stacks"], 2, "stacks")


@case
def frames(bench):
    for mode in "off", "final", "checkpoint":
        run_traced(bench, {"frames": mode})
        trace = bench.only_trace()
        bench.check(trace)
        expect_equal(header(trace)["frames"], mode, "frames")
        found = [r for r in harness.records(trace) if r["ev"] == "frames"]
        expect_equal(bool(found), mode != "off", "frames records")
        trace.unlink()


@case
def bad_values(bench):
    """A value that can't be understood: one line that says so, and the default."""
    run_traced(bench, {})
    usual = header(bench.only_trace())
    bench.only_trace().unlink()
    for name in "capture", "verify", "heap", "stacks", "frames", "checkpoint", "follow":
        traced = run_traced(bench, {name: "nonsense"})
        expect_one_line(traced, "VMTRACE_" + name.upper(), "nonsense")
        trace = bench.only_trace()
        bench.check(trace)
        expect_equal(header(trace)["capture"]["tier"], usual["capture"]["tier"],
                     f"tier with a bad {name}")
        for member in "verify", "heap", "stacks", "frames":
            expect_equal(header(trace)[member], usual[member], f"{member} with a bad {name}")
        trace.unlink()
    expect_one_line(run_traced(bench, {"nothing": "1"}), "VMTRACE_NOTHING")
    traced = bench.run(["/bin/true"], {**bench.preload(), "VMTRACE_OUT": "-"})
    expect_one_line(traced, "VMTRACE_OUT='-'")
    expect_equal([name.split(".")[:2] for name in traced.files], [["vmtrace", "true"]], "files")


@case
def capture_tiers(bench):
    """What was asked for and what was given stand in the header."""
    for asked in "symbols", "libc", "all":
        run_traced(bench, {"capture": asked})
        trace = bench.only_trace()
        bench.check(trace)
        expect_equal(header(trace)["capture"]["asked"], asked, "asked")
        expect_equal(header(trace)["capture"]["tier"], asked, "tier")
        expect_complete(trace)
        trace.unlink()


@case
def checkpoint_signal(bench):
    """After the signal the next recorded call makes a checkpoint."""
    script = ("import mmap, sys\n"
              "for line in sys.stdin:\n"
              "    print(len(mmap.mmap(-1, 5 * mmap.PAGESIZE)), flush=True)\n")
    process = bench.start(["/usr/bin/python3", "-c", script], bench.preload(checkpoint="SIGUSR1"),
                          stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    for number in signal.SIGUSR1, None:
        process.stdin.write(b"map\n")
        process.stdin.flush()
        expect_equal(process.stdout.readline(), b"%d\n" % (5 * harness.PAGE), "answer")
        if number:
            process.send_signal(number)
    process.communicate(timeout=harness.TIMEOUT_S)
    expect_equal(process.returncode, 0, "status")
    trace = bench.only_trace()
    bench.check(trace)
    whys = [r["why"] for r in harness.records(trace) if r["ev"] == "checkpoint"]
    expect_equal(whys.count("signal"), 1, f"checkpoints by signal among {whys}")


@case
def follow_none(bench):
    env = bench.preload(follow="none")
    traced = bench.run(["/bin/sh", "-c", "/bin/true; (exit 4); exit 5"], env)
    expect_equal(traced.status, 5, "status")
    bench.check(bench.only_trace())


@case
def patterns(bench):
    """%p, %e, %t and %% in VMTRACE_OUT; the default name."""
    traced = run_traced(bench, {}, out="a %% of %e at %t by %p.json")
    names = list(traced.files)
    expect_equal(len(names), 1, f"files {names}")
    match = re.fullmatch(r"a % of busy at (\d+) by (\d+)\.json", names[0])
    expect(match, f"name {names[0]!r}")
    trace = bench.traces / "kept.json"
    trace.write_bytes(traced.files[names[0]])
    bench.check(trace)
    expect_equal(header(trace)["pid"], int(match[2]), "pid in the name")
    env = bench.preload()
    del env["VMTRACE_OUT"]
    names = list(bench.run([bench.program], env).files)
    expect(len(names) == 1 and re.fullmatch(r"vmtrace\.busy\.\d+\.json", names[0]),
           f"default names {names}")


@case
def file_mode(bench):
    run_traced(bench, {})
    expect_equal(bench.only_trace().stat().st_mode & 0o7777, 0o600, "mode of the trace")


@case
def not_creatable(bench):
    """No folder, a file in the way, a link in the way, a folder that can't be written."""
    bench.empty_work()
    exists = bench.traces / "exists.json"
    exists.write_text("kept\n")
    link = bench.traces / "link.json"
    link.symlink_to(bench.tmp / "elsewhere.json")
    closed = bench.tmp / "closed"
    closed.mkdir(mode=0o555)
    places = [bench.tmp / "no such folder" / "trace.json", exists, link]
    if os.geteuid() != 0 or bench.unprivileged:
        places.append(closed / "trace.json")
    for place in places:
        traced = run_traced(bench, {}, out=place)
        expect_one_line(traced, str(place))
    expect_equal(exists.read_text(), "kept\n", "the file in the way")
    expect(not (bench.tmp / "elsewhere.json").exists(), "a link was followed")
    expect_equal(list(closed.iterdir()), [], "the closed folder")


@case
def one_name(bench):
    """A name without %p is the first process's; its descendants put their pid into it."""
    env = {**bench.preload(), "VMTRACE_OUT": str(bench.traces / "one.json")}
    traced = bench.run(["/bin/sh", "-c", "/bin/true; /bin/true; exit 6"], env)
    expect_equal((traced.status, traced.stdout, traced.stderr), (6, b"", b""), "the traced run")
    bench.check_all()
    for trace in bench.trace_files():
        first = header(trace)
        is_first = first["reason"] == "start" and first["exe"].endswith("sh")
        expect(trace.name == "one.json" if is_first else f".{first['pid']}." in trace.name,
               f"{trace.name} is the trace of {first['exe']}, {first['pid']}")


@case
def file_size_limit(bench):
    """RLIMIT_FSIZE: no death by SIGXFSZ; what is lost is counted."""
    for kib in 0, 4, 64, 512:
        traced = run_traced(bench, {}, preexec_fn=lambda kib=kib: resource.setrlimit(
            resource.RLIMIT_FSIZE, (kib * 1024, kib * 1024)))
        expect_equal(traced.status, 3, "status")
        for trace in bench.trace_files():
            expect(trace.stat().st_size <= kib * 1024, "larger than the limit")
            if trace.stat().st_size and kib >= 64:
                summary = bench.check(trace, lost=None)
                expect(summary["capture"]["lost"] > 0, f"nothing counted as lost at {kib} KiB")
            trace.unlink()


@case
def few_descriptors(bench):
    """RLIMIT_NOFILE below the numbers that the library would like for its own."""
    for limit in 8, 64:
        run_traced(bench, {}, preexec_fn=lambda limit=limit: resource.setrlimit(
            resource.RLIMIT_NOFILE, (limit, limit)))
        for trace in bench.trace_files():
            bench.check(trace)
            expect_complete(trace)
            trace.unlink()


@case
def little_address_space(bench):
    for mib in 32, 256:
        run_traced(bench, {}, preexec_fn=lambda mib=mib: resource.setrlimit(
            resource.RLIMIT_AS, (mib << 20, mib << 20)))
        for trace in bench.trace_files():
            bench.check(trace, lost=None)
            trace.unlink()


@case
def closed_streams(bench):
    """The library takes none of the numbers 0, 1 and 2 when they are free."""
    env = bench.preload()
    argv = ["/bin/sh", "-c", 'exec 0<&- 1>&- 2>&-; exec "$0"', bench.program]
    expect_equal(bench.run(argv, env).status, 3, "status")
    traces = [path for path in bench.trace_files() if path.name.startswith("busy.")]
    expect_equal(len(traces), 1, "traces of the program")
    bench.check(traces[0])
    expect_complete(traces[0])


@case
def disk_full(bench):
    for kib in 4, 64, 512:
        with harness.small_disk(bench, kib) as disk:
            run_traced(bench, {}, out=disk / "trace.json")
            for trace in disk.iterdir():
                if trace.stat().st_size and kib >= 64:
                    summary = bench.check(trace, lost=None)
                    expect(summary["capture"]["lost"] > 0, f"nothing lost at {kib} KiB")


def run_with_descriptor(bench, descriptor):
    """VMTRACE_OUT=fd:N with a descriptor of ours, which is closed afterwards."""
    try:
        return run_traced(bench, {}, out=f"fd:{descriptor}", pass_fds=[descriptor])
    finally:
        with contextlib.suppress(OSError):
            os.close(descriptor)


@case
def dev_full(bench):
    run_with_descriptor(bench, os.open("/dev/full", os.O_WRONLY))


@case
def bad_descriptor(bench):
    for out in "fd:77", "fd:nonsense", "fd:-1":
        expect_one_line(run_traced(bench, {}, out=out), out)


class Reader(threading.Thread):
    """Copies what comes through a descriptor to a file, at most @limit bytes of it."""

    def __init__(self, open_descriptor, path, limit=None):
        super().__init__(daemon=True)
        self.open_descriptor, self.path, self.limit = open_descriptor, path, limit
        self.start()

    def run(self):
        descriptor = self.open_descriptor()
        copied = 0
        with open(self.path, "wb") as out:
            while self.limit is None or copied < self.limit:
                data = os.read(descriptor, 65536)
                if not data:
                    break
                copied += out.write(data)
        os.close(descriptor)

    def finish(self):
        self.join(harness.TIMEOUT_S)
        expect(not self.is_alive(), "the trace's other end stays open")


@case
def pipe(bench):
    trace = bench.traces / "pipe.json"
    reading, writing = os.pipe()
    reader = Reader(lambda: reading, trace)
    run_with_descriptor(bench, writing)
    reader.finish()
    bench.check(trace)
    expect_complete(trace)


@case
def pipe_closed(bench):
    """A reader that goes away at once, or after some data: no SIGPIPE."""
    reading, writing = os.pipe()
    os.close(reading)
    run_with_descriptor(bench, writing)
    reading, writing = os.pipe()
    reader = Reader(lambda: reading, bench.traces / "part.json", limit=20000)
    run_with_descriptor(bench, writing)
    reader.finish()


@case
def inherited_file(bench):
    trace = bench.traces / "inherited.json"
    run_with_descriptor(bench, os.open(trace, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666))
    bench.check(trace)


@case
def fifo(bench):
    path, trace = bench.tmp / "fifo", bench.traces / "fifo.json"
    os.mkfifo(path)
    reader = Reader(lambda: os.open(path, os.O_RDONLY), trace)
    run_with_descriptor(bench, os.open(path, os.O_WRONLY))
    reader.finish()
    bench.check(trace)
    expect_complete(trace)


@case
def unix_socket(bench):
    trace = bench.traces / "socket.json"
    # Relative: socket addresses are short, folders may not be.
    path = bench.tmp / "s"
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        bench.give(path)
        listener.listen()
        reader = Reader(lambda: listener.accept()[0].detach(), trace)
        traced = bench.run([bench.program], {**bench.preload(), "VMTRACE_OUT": f"unix:{path}"})
        expect_equal(traced.status, 3, f"status; {traced.ours}")
        # As with the FIFO: nobody hangs if the library did not connect.
        with socket.socket(socket.AF_UNIX) as other:
            other.connect(str(path))
        reader.finish()
    bench.check(trace)
    expect_complete(trace)


@case
def unix_socket_absent(bench):
    out = f"unix:{bench.tmp / 'nobody'}"
    expect_one_line(run_traced(bench, {}, out=out), out)


@case
def large(bench):
    """More than the file's first chunks hold."""
    run_traced(bench, {}, "6000")
    trace = bench.only_trace()
    bench.check(trace)
    expect_complete(trace, 6000)
    expect_equal(last_end(trace)["how"], "exit", "how it ended")


harness.main()

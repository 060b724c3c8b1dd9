# SPDX-License-Identifier: MIT
"""
Is every call there? Each case runs a program under strace with libvmtrace preloaded, and compares
strace's list of calls with the traces (truth.py). Argument of a case: the tier to be held to.

    symbols   what is recorded is true: nothing invented, nothing wrong, nothing lost
    libc      and complete, but for system call instructions outside libc and the loader
    all       and complete
"""
import copy
import functools
import json
import os
import re
import shutil
import subprocess

import harness
import truth
from harness import Skip, case, expect, expect_equal
from workloads import NODE, PERL, PYTHON, c_source, program, redis_session, sql

FAULTS_SHOWN = 20
# Where a stack that was unwound to its end begins.
OUTERMOST = re.compile(r"(_start|_dl_start_user|_dl_start|main|__libc_start_main.*|"
                       r"__libc_start_call_main|start_thread|(__)?clone3?|"
                       r"runtime\.(rt0_go|mstart|goexit)(\.abi0)?)$")

ENTRY_BYTES = 64
# libc and the loader have these places also where they are stripped; what follows the call there:
# clone's _exit of a thread whose function came back, _dl_start_user's jump to the program's entry.
THREAD_START = b"\x48\x89\xc7\xb8\x3c\x00\x00\x00\x0f\x05"
LOADER_START = b"\x41\xff\xe4"


class Totals:
    """Sums over the processes of one case."""

    def __init__(self):
        self.count = dict.fromkeys(("truth", "own", "in trace", "matched", "missing", "raw",
                                    "extra", "mismatched", "disordered", "in flight", "lost",
                                    "not_captured", "unexplained", "stacks", "complete",
                                    "predictions", "right"), 0)
        self.origins, self.places, self.bottoms, self.faults = {}, {}, {}, []

    def add(self, name, number):
        self.count[name] += number

    def print(self, nr_traces):
        count = self.count
        print(f"{nr_traces} traces, {count['truth']} calls, {count['matched']} of them in the trace "
              f"({percent(count['matched'], count['truth'])})")
        print("    " + ", ".join(f"{what} {number}" for what, number in count.items()))
        print(f"    by origin: {self.origins}")
        print(f"    complete stacks {percent(count['complete'], count['stacks'])}, addresses "
              f"foretold {percent(count['right'], count['predictions'])}")
        for what, places in ("missing", self.places), ("stack begins", self.bottoms):
            for place, number in most(places):
                print(f"    {what}: {number} at {place}")
        for fault in self.faults[:FAULTS_SHOWN]:
            print("    " + fault)


@functools.lru_cache(maxsize=1000)
def code(module, offset):
    """What the file has at a link-time address; in libc and the loader that is the file offset."""
    with open(module, "rb") as file:
        file.seek(offset)
        return file.read(ENTRY_BYTES)


def is_start(frame, entry):
    """Is the frame where a program or one of its threads begins?"""
    if OUTERMOST.match(frame.get("function", "")):
        return True
    # A stripped program has no name for its entry point.
    if 0 < int(frame.get("ip", "0"), 16) - entry <= ENTRY_BYTES:
        return True
    module = frame.get("module", "")
    if os.path.basename(module).startswith("libc."):
        return code(module, int(frame["offset"], 16)).startswith(THREAD_START)
    return os.path.basename(module).startswith("ld-") and \
        LOADER_START in code(module, int(frame["offset"], 16))


def tally(counts, key):
    counts[key] = counts.get(key, 0) + 1


def most(counts):
    return sorted(counts.items(), key=lambda item: -item[1])[:FAULTS_SHOWN]


def percent(part, whole):
    return f"{100 * part / whole:.2f} %" if whole else "none"


def strace(bench):
    """The words in front of a program's command line: strace, and the library for the program."""
    log = bench.tmp / "strace"
    log.mkdir(exist_ok=True)
    bench.give(log)
    bench.log = log / "log"
    words = [program("/usr/bin/strace"), *truth.strace_options(bench.log)]
    for option in ["--seccomp-bpf"], []:
        # Also tells whether this user may trace at all.
        done = subprocess.run([*words, *option, "/usr/bin/true"], capture_output=True,
                              env=bench.environment(), **bench.user())
        if not done.returncode and not done.stderr:
            break
    else:
        raise Skip(f"strace can't trace here: {done.stderr.decode().strip()}")
    preload = bench.preload(capture=bench.arguments[0], quiet=1)
    return words + option + [word for name, value in preload.items()
                             for word in ("-E", f"{name}={value}")]


def compare_image(bench, space, path, totals):
    """One process image: strace's calls, the trace's, and what the trace says about itself."""
    trace = truth.Trace(path)
    found = truth.Comparison(space, trace)
    tier = bench.arguments[0]
    expect_equal(trace.header["capture"]["tier"], tier, f"tier of {path.name}")
    totals.add("truth", len(space.calls) - len(found.own))
    for name, calls in (("own", found.own), ("in trace", trace.calls),
                        ("matched", found.pairs), ("missing", found.missing),
                        ("extra", found.extra), ("mismatched", found.mismatched),
                        ("disordered", found.disordered), ("in flight", found.in_flight)):
        totals.add(name, len(calls))
    for call in trace.calls:
        tally(totals.origins, call.origin)
    exe = os.path.basename(trace.header["exe"])
    for call in found.missing:
        tally(totals.places, f"{trace.place(call.ip)} {call.name} in {exe}")
        totals.add("raw", trace.is_raw(call.ip))
    for call in found.extra:
        totals.faults.append(f"extra: {exe}, event {call.begin}: {truth.show(call)}")
    for what, pairs in ("mismatched", found.mismatched), ("disordered", found.disordered):
        totals.faults += [f"{what}: {exe}, line {true.begin}, event {call.begin}: "
                          f"{truth.show(true)}, in the trace {truth.show(call)}"
                          for true, call in pairs]
    read_report(bench, path, int(trace.header["auxv"]["AT_ENTRY"], 16), totals)


def read_report(bench, path, entry, totals):
    summary = bench.report_json("summary", path)
    expect_equal(summary["verify"]["replay"]["diverged"], 0, f"diverged in {path.name}")
    totals.add("lost", summary["capture"]["lost"])
    for name in "not_captured", "unexplained":
        totals.add(name, summary["verify"][name])
    totals.add("predictions", summary["mm"]["mmap_predictions"])
    totals.add("right", summary["mm"]["mmap_predictions_right"])
    for call in json.loads(bench.report("events", "--stacks", "--json", path))["events"]:
        if call["origin"] == "self":
            continue
        outermost = call["stack"][-1] if call["stack"] else {}
        is_complete = is_start(outermost, entry)
        totals.add("stacks", 1)
        totals.add("complete", is_complete)
        if not is_complete:
            tally(totals.bottoms, f"{outermost.get('function', '?')} in "
                                  f"{outermost.get('module', 'no module')}")


def compare(bench, may_be_raw=False, whole_stacks=99):
    """The log and the traces of the run that has just been made. @whole_stacks: %, at least."""
    traces = {}
    for path in bench.trace_files():
        with open(path, "rb") as lines:
            first = json.loads(next(lines))
        traces.setdefault(first["pid"], []).append((first["clock"]["start_ns"], path))
    spaces = truth.read_log(bench.log)
    expect_equal({pid: len(of_pid) for pid, of_pid in sorted(traces.items())},
                 {pid: len(of_pid) for pid, of_pid in sorted(spaces.items())},
                 "traces of each process, and address spaces where the library was")
    totals = Totals()
    for pid, of_pid in spaces.items():
        for space, (_, path) in zip(of_pid, sorted(traces[pid])):
            compare_image(bench, space, path, totals)
    totals.print(len(bench.trace_files()))
    judge(totals.count, bench.arguments[0], may_be_raw)
    expect(100 * totals.count["complete"] >= whole_stacks * totals.count["stacks"],
           "too few stacks are complete")


def judge(count, tier, may_be_raw):
    wrong = ["extra", "mismatched", "disordered", "lost"]
    # A change that was not captured may fall into the range of a call beside it.
    if not count["missing"]:
        wrong.append("unexplained")
    if tier != "symbols":
        wrong.append("missing")
        if tier == "all" or not may_be_raw:
            wrong.append("not_captured")
        else:
            count["missing"] -= count["raw"]
    expect_equal({name: count[name] for name in wrong}, dict.fromkeys(wrong, 0), "faults")
    expect(count["truth"], "strace saw no call at all")


def run(bench, argv, stdin=b"", env=None, **allowed):
    """Natively, then under strace and traced: nothing differs, and nothing is missing."""
    native = bench.run(argv, env, stdin)
    # Programs that strace leaves behind can make no call that it was to see.
    traced = bench.run(strace(bench) + argv, env, stdin, start_new_session=True)
    expect_equal(traced.facts(), native.facts(), f"{argv[0]} traced differs from native")
    compare(bench, **allowed)


@case
def sqlite(bench):
    """A file that it maps, and maps anew as it grows."""
    script = ["PRAGMA mmap_size=33554432;", *sql(3000)]
    run(bench, [program("/usr/bin/sqlite3"), "data"], "\n".join(script).encode())


@case
def python(bench):
    run(bench, [program("/usr/bin/python3"), "-c", PYTHON])


@case
def python_malloc(bench):
    run(bench, [program("/usr/bin/python3"), "-c", PYTHON], env={"PYTHONMALLOC": "malloc"})


@case
def gcc(bench):
    source = bench.tmp / "small.c"
    source.write_text("".join(c_source(40)))
    run(bench, [program("/usr/bin/gcc"), "-O1", str(source), "-o", "small"])


@case
def redis(bench):
    native = redis_session(bench, None, requests=2000)
    traced = redis_session(bench, None, strace(bench), requests=2000)
    expect_equal(traced, native, "status and data of redis-server")
    compare(bench)


BASH = """
for i in 1 2 3; do echo $i | (read a; echo $((a * 2))) | cat; done
x=$(ls / | sort -r | head -n 3 | wc -l); echo "$x"
(cd /; (pwd; exit 4); echo $?)
a=(); for i in {1..2000}; do a+=("item $i"); done; echo ${#a[@]}
while read -r line; do echo "<$line>"; done < <(printf 'a\\nb\\n')
wait
"""


@case
def bash(bench):
    run(bench, [program("/usr/bin/bash"), "-c", BASH])


@case
def perl(bench):
    run(bench, [program("/usr/bin/perl"), "-e", PERL])


@case
def node(bench):
    run(bench, [program("/usr/bin/node"), "-e", NODE])


@case
def java(bench):
    """Compiled in memory by the same virtual machine."""
    source = bench.tmp / "Allocate.java"
    shutil.copy(bench.program, source)
    run(bench, [program("/usr/bin/java"), "-XX:+UseSerialGC", "-Xmx64m", str(source)])


@case
def go(bench):
    """
    With libc, so that the library can be preloaded; the runtime makes system calls itself, and
    calls libc on stacks of its own.
    """
    tool = program("/usr/bin/go")
    binary = bench.tmp / "allocate"
    subprocess.run([tool, "build", "-o", binary, bench.program], check=True, cwd=bench.tmp,
                   capture_output=True, timeout=harness.TIMEOUT_S,
                   env=bench.environment({"GOCACHE": str(bench.tmp / "cache"),
                                          "GO111MODULE": "off", "CGO_ENABLED": "1"}))
    run(bench, [str(binary)], may_be_raw=True)


@case
def threads64(bench):
    run(bench, [bench.program])


@case
def brief(bench):
    run(bench, [bench.program])


@case
def cut_short(bench):
    run(bench, [bench.program])


@case
def spawns(bench):
    run(bench, [bench.program])


@case
def inline_syscall(bench):
    run(bench, [bench.program], may_be_raw=True)


@case
def inline_syscall_mixed(bench):
    """One kind of calls on mappings that the other kind made."""
    run(bench, [bench.program, "mixed"], may_be_raw=True)


@case
def tasks(bench):
    """All the ways of test_behaviour.py's case of that name."""
    for way in ("fork deep threads vfork vfork-maps spawn system exec exec-bare exit-in-thread "
                "main-thread-first syscall-fork raw-fork clone abort crash quick-exit").split():
        print(f"tasks {way}:")
        run(bench, [bench.program, way])
        for path in bench.trace_files():
            path.unlink()


def next_of_thread(calls, i):
    """The thread's first call after its @i-th of all that is another one; None: there is none."""
    return next((j for j in range(i + 1, len(calls)) if calls[j].tid == calls[i].tid and
                 calls[j].key() != calls[i].key()), None)


def tampered_with(calls, i):
    """The list with a fault in its @i-th call, in each way there is."""
    def changed(**members):
        call = copy.copy(calls[i])
        call.__dict__.update(members)
        return calls[:i] + [call] + calls[i + 1:]

    first, *rest = calls[i].args
    yield "invented", calls[:i] + [calls[i]] + calls[i:]
    yield "argument", changed(args=(first ^ 1 << 40, *rest))
    yield "result", changed(result=(1, None))
    yield "errno", changed(result=(None, "EINTR"))
    yield "name", changed(name="mlock")
    yield "thread", changed(tid=1)
    yield "order among threads", changed(begin=len(calls) + 2)
    j = next_of_thread(calls, i)
    yield "order", calls[:i] + [calls[j]] + calls[i + 1:j] + [calls[i]] + calls[j + 1:]


@case
def tampered(bench):
    """The comparison itself: it finds what is wrong with a trace that was tampered with."""
    bench.run(strace(bench) + [bench.program])
    spaces = truth.read_log(bench.log)
    trace = max(map(truth.Trace, bench.trace_files()), key=lambda trace: len(trace.calls))
    space = spaces[trace.header["pid"]][0]
    good = truth.Comparison(space, trace)
    expect(not good.has_faults() and good.pairs, "the trace was not in order")
    calls = trace.calls
    for start in 0, len(calls) // 3, len(calls) // 2:
        # Which call stands there depends on how the threads ran: it may be the last one of its own.
        i = next(i for i in range(start, len(calls)) if next_of_thread(calls, i))
        for what, trace.calls in tampered_with(calls, i):
            expect(truth.Comparison(space, trace).has_faults(), f"{what} at {i} is not noticed")
        trace.calls = calls[:i] + calls[i + 1:]
        expect_equal(len(truth.Comparison(space, trace).missing), len(good.missing) + 1, "missing")


harness.main()

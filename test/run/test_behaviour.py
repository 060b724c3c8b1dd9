# SPDX-License-Identifier: MIT
"""The C programs beside this file: what their traces must hold, and that they notice nothing."""
import collections
import json
import os
import pathlib
import random
import struct

import harness
from harness import (case, count_allocations, count_calls, expect, expect_equal, header, last_end,
                     records)


def maps50_run(bench, **settings):
    """Compares the map at the end with the copy that the program made of its own."""
    native = bench.run([bench.program, "maps50.maps"])
    traced = bench.run([bench.program, "maps50.maps"], bench.preload(**settings))
    for result in native, traced:
        expect_equal(result.status, 7, f"status; {result.stdout.decode()}")
    expect_equal((traced.stdout, traced.stderr), (native.stdout, native.stderr), "output")
    trace = bench.only_trace()
    bench.check(trace)
    lines = bench.report("maps", "--at", "end", "--own", trace).splitlines()
    kernel = traced.files["maps50.maps"].splitlines()
    expect_equal([line for line in lines if line not in kernel], [], "only in the report")
    expect_equal([line for line in kernel if line not in lines], [], "only in the kernel's")
    expect_equal(lines, kernel, "order of the lines")
    expect_equal(last_end(trace)["how"], "_exit", "how it ended")
    expect_equal(last_end(trace)["status"], 7, "status in the trace")
    return trace


@case
def maps50(bench):
    maps50_run(bench)


@case
def maps50_text(bench):
    """Without PROCMAP_QUERY, as on kernels before 6.11."""
    trace = maps50_run(bench, procmap="text")
    expect_equal(header(trace)["verify"]["source"], "text", "source")


@case
def maps50_every_event_by_text(bench):
    maps50_run(bench, procmap="text", verify="event")


@case
def sigkill(bench):
    """Killed at a random moment: all is there but the record being written."""
    enough = random.randrange(100, 5000)
    harness.kill_and_check(bench, [bench.program],
                           lambda mapped, allocated: mapped >= enough and allocated >= enough, 4321)


@case
def signals(bench):
    bench.run_both([bench.program])
    trace = bench.only_trace()
    bench.check(trace)
    expect_equal(count_calls(trace, "mmap", 13), 100, "calls after the signals")


@case
def signals_jump(bench):
    bench.run_both([bench.program, "jump"])
    trace = bench.only_trace()
    bench.check(trace, lost=None)
    expect_equal(count_calls(trace, "mmap", 13), 100, "calls after the jumps")


@case
def threads(bench):
    bench.run_both([bench.program])
    trace = bench.only_trace()
    bench.check(trace)
    # 12 generations of six threads and the main one, 20 calls each.
    expect_equal(count_calls(trace, "mmap", 11), 12 * 7 * 20, "calls")
    tids = {record["tid"] for record in records(trace)
            if record["ev"] == "thread" and record["op"] == "start"}
    ended = [record for record in records(trace)
             if record["ev"] == "thread" and record["op"] == "end"]
    expect(tids, "no thread was seen to start")
    expect_equal(len(ended), 12 * 6, "threads that ended")


@case
def threads_no_stacks(bench):
    """Where a call came from is still known."""
    bench.run_both([bench.program], settings={"stacks": "off"})
    trace = bench.only_trace()
    bench.check(trace)
    calls = [record for record in records(trace) if record["ev"] == "call" and record["call"] == "mmap"]
    ours = [call for call in calls if call["args"]["length"] == 11 * harness.PAGE]
    expect_equal((len(ours), {call["origin"] for call in ours}), (12 * 7 * 20, {"app"}), "calls")
    expect("libc" in {call["origin"] for call in calls}, "stacks of threads and arenas")


@case
def errnos(bench):
    bench.run_both([bench.program])
    bench.check_all()


@case
def early(bench):
    bench.run_both([bench.program])
    trace = bench.only_trace()
    bench.check(trace)
    for pages in range(21, 27):
        expect_equal(count_calls(trace, "mmap", pages), 1, f"mmap of {pages} pages")
        expect_equal(count_allocations(trace, 10 * pages), 1, f"malloc of {10 * pages} bytes")
        expect_equal(count_allocations(trace, 1000 * pages), 1, f"realloc to {1000 * pages}")
    expect_equal(count_allocations(trace, 77), 1, "the thread's own data")


@case
def descriptors(bench):
    bench.run_both([bench.program])
    trace = bench.only_trace()
    bench.check(trace)
    expect_equal(count_calls(trace, "mmap", 23), 6 * 600, "calls")


@case
def sysv(bench):
    bench.run_both([bench.program])
    for summary in bench.check_all():
        expect_equal(summary["verify"]["not_captured"], 0, "not captured")


@case
def unseen(bench):
    """A change that nobody captured is not the fault of the call that comes upon it."""
    bench.run_both([bench.program, bench.arguments[0]], settings={"capture": "libc"})
    trace = bench.only_trace()
    summary = bench.check(trace)
    expect(summary["verify"]["not_captured"] >= 3, "three changes were found")


@case
def grown(bench):
    """Nothing that page faults, limits and flags in doubt lead to is unexplained."""
    way = bench.arguments[0]
    if bench.run([bench.program, way]).status == 77:
        raise harness.Skip("no mseal(2) here")
    bench.run_both([bench.program, way])
    for summary in bench.check_all():
        expect_equal(summary["verify"]["not_captured"], 0, "not captured")
        expect_equal(summary["verify"]["replay"]["diverged"], 0, "diverged")
    seen = {record["ev"] for path in bench.traces.iterdir() for record in records(path)}
    if way == "limit" and not bench.unprivileged and not os.geteuid():
        return  # who may lock everything has no limit
    expect_equal("limits" in seen, way == "limit", "a changed limit")


@case
def sandbox(bench):
    """A sandbox that kills for calls it does not know is not provoked; what is lost is counted."""
    way, tier = bench.arguments
    if bench.run([bench.program, way]).status == 77:
        raise harness.Skip("no seccomp here")
    bench.run_both([bench.program, way], settings={"capture": tier})
    trace = bench.only_trace()
    bench.validate(trace)
    summary = bench.check(trace, lost=None)
    ends = way in ("strict", "clock")
    expect(summary["capture"]["lost"] >= 1 or ends, "nothing says that checks ended")
    made = count_calls(trace, "mmap", 3)
    expect(ends or made > 50, f"only {made} calls are in the trace")


@case
def sandboxed_exec(bench):
    """
    Sandboxes that kill for one system call, each in turn: a program executed there runs as it does natively,
    without the library where that would be killed.
    """
    argv = [bench.program, "exec", *bench.arguments]
    native = bench.run(argv)
    if f" {77 << 8}\n" in native.stdout.decode():
        raise harness.Skip("no seccomp here")
    traced = bench.run(argv, bench.preload(frames="off"))
    expect_equal((traced.status, traced.stdout), (native.status, native.stdout), "status by system call")
    images = collections.Counter(record["image"] for path in bench.traces.iterdir()
                                 for record in records(path) if record["ev"] == "exec" and "image" in record)
    expect(images["sandboxed"] and images["dynamic"], f"images: {images}")


@case
def locked(bench):
    """mlockall() cuts our reserves short; they grow again, and the trace says so."""
    if bench.unprivileged or bench.run([bench.program]).status == 77:
        raise harness.Skip("not so much memory can be locked here")
    traced = bench.run([bench.program], bench.preload())
    expect_equal((traced.status, traced.stdout), (0, b"done\n"), "status and output")
    trace = bench.only_trace()
    expect(trace.stat().st_size > 18 << 20, "more than the room that was left")
    # One view only: it is a large trace.
    summary = bench.report_json("summary", trace)
    for name in "not_captured", "unexplained":
        expect_equal(summary["verify"][name], 0, name)
    expect_equal(summary["verify"]["replay"]["diverged"], 0, "diverged")
    expect_equal(summary["capture"]["lost"], 0, "lost")
    own = [int(record["args"]["old_addr"], 16) >> 40 for record in records(trace)
           if record["ev"] == "call" and record["origin"] == "self" and record["call"] == "mremap"]
    expect(len(set(own)) == 2, "window and memory grew, and the trace says so")


# way: (traces of the program itself, mmap calls of 17 pages in children, of 19 pages after)
TASKS = {
    "fork": (4, 3, 1),
    "deep": (3, 2, 0),
    "threads": (1 + 24, 24, 24),
    "vfork": (1, 0, 3),
    "vfork-maps": (1, 1, 1),
    "spawn": (1, 0, 2),
    "system": (1, 0, 1),
    "exec": (2, 2, 1),
    "exec-bare": (2, 1, 1),
    "daemon": (2, 1, 1),
    "exit-in-thread": (1, 0, 1),
    "main-thread-first": (1, 0, 1),
    "syscall-fork": (2, 1, 1),
    "raw-fork": (1, 0, 1),
    "clone": (2, 1, 1),
    "clone-sharing": (1, 9 * 200, 1),
    "abort": (1, 0, 1),
    "crash": (1, 0, 1),
    "quick-exit": (1, 0, 1),
}


@case
def tasks(bench):
    way = bench.arguments[0]
    bench.run_both([bench.program, way])
    bench.check_all()
    own = [path for path in bench.trace_files() if header(path)["exe"].endswith("/tasks")]
    traces, in_children, after = TASKS[way]
    expect_equal(len(own), traces, "traces of the program")
    expect_equal(sum(count_calls(path, "mmap", 17) for path in own), in_children, "in children")
    expect_equal(sum(count_calls(path, "mmap", 19) for path in own), after, "afterwards")
    pids = {header(path)["pid"]: header(path) for path in own}
    for path in own:
        first = header(path)
        if first["reason"] == "fork":
            expect(first["parent"]["pid"] in pids, f"parent of {path.name}")


# way: functions of the program on the stack of its last page, innermost first; then whether a frame
# may be missing, by the trace, before which of them
NO_UNWIND_INFO = {
    "switch": (["map_page", "on_other_stack", "in_frame", "main"], None),
    "gap": (["map_page", "on_other_stack", "main"], "main"),
    "follow": (["map_page", "follow", "main"], None),
}


@case
def no_unwind_info(bench):
    """Stacks go on where unwind information ends, and nothing is read that isn't there."""
    way = bench.arguments[0]
    bench.run_both([bench.program, way])
    trace = bench.only_trace()
    bench.check(trace)
    calls = [call for call in json.loads(bench.report("events", "--stacks", "--json", trace))["events"]
             if call["call"] == "mmap" and call["args"]["length"] == 4096 and call["stack"]]
    pages = [call["stack"] for call in calls
             if "map_page" in [frame.get("function") for frame in call["stack"]]]
    if way == "wild":
        expect_equal(len(pages), 20, "pages")
        return
    wanted, behind_gap = NO_UNWIND_INFO[way]
    expect_equal(len(pages), 1, "pages")
    own = [frame for frame in pages[0] if "no_unwind_info" in frame.get("module", "")]
    expect_equal([frame.get("function") for frame in own][:len(wanted)], wanted, "stack")
    expect_equal(own[-1].get("function"), "_start", "outermost")
    expect_equal([frame["function"] for frame in pages[0] if frame.get("gap")],
                 [behind_gap] if behind_gap else [], "gaps")


@case
def raw_tasks(bench):
    """Instructions outside libc, at tier all: the program sees no difference, vmtrace sees all."""
    bench.run_both([bench.program, bench.arguments[0]], settings={"capture": "all"})
    bench.check_all()
    for trace in bench.trace_files():
        capture = header(trace)["capture"]
        expect_equal(capture["tier"], "all", "tier")
        expect(all(capture["self_test_raw"].values()), "self-test")
        expect_equal([record["cause"] for record in records(trace) if record["ev"] == "diff"], [],
                     "differences")
    expect(any(record.get("origin") == "raw" for trace in bench.trace_files()
               for record in records(trace)), "raw calls")


def unwind_info(data):
    """Where .eh_frame_hdr lies, and its table: offsets of (function's entry, its FDE, that one's CIE)."""
    nr = struct.unpack_from("<H", data, 56)[0]
    first = struct.unpack_from("<Q", data, 32)[0]
    for at in range(first, first + nr * 56, 56):
        kind, _, header = struct.unpack_from("<IIQ", data, at)
        if kind == 0x6474e550:
            break
    entries = []
    for at in range(header + 12, header + 12 + 8 * struct.unpack_from("<I", data, header + 8)[0], 8):
        fde = header + struct.unpack_from("<ii", data, at)[1]
        entries.append((at, fde, fde + 4 - struct.unpack_from("<I", data, fde + 4)[0]))
    return header, entries


@case
def damaged_info(bench):
    """Unwind information that leads anywhere: the unwinder is not let near it."""
    whole = pathlib.Path(bench.arguments[0]).read_bytes()
    header, entries = unwind_info(whole)
    damages = {
        "none": [],
        "count": [(header + 8, 0x10000000)],
        "table encoding": [(header, 0x0b03ff01)],
        "FDE beyond": [(at + 4, 0x7fffff00) for at, _, _ in entries],
        "FDE before": [(at + 4, 0x80000100) for at, _, _ in entries],
        "FDE length": [(fde, 0x7ffffff0) for _, fde, _ in entries],
        "CIE beyond": [(fde + 4, 0x80000000) for _, fde, _ in entries],
        "CIE before": [(fde + 4, 0x7ffffff0) for _, fde, _ in entries],
        "CIE length": [(cie, 0x7ffffff0) for _, _, cie in entries],
        # "zR" becomes "zP": the encoding of a personality, which is no pointer to anything.
        "personality": [(cie + 8, 0x00507a01) for _, _, cie in entries],
    }
    for name, words in damages.items():
        data = bytearray(whole)
        for at, word in words:
            struct.pack_into("<I", data, at, word)
        library = bench.tmp / "damaged.so"
        library.unlink(missing_ok=True)
        library.write_bytes(data)
        library.chmod(0o755)
        bench.give(library)
        result = bench.run([bench.program, library], bench.preload())
        expect_equal(result.status, 0, f"{name}: exit status; {result.stderr.decode()}")
        trace = bench.only_trace()
        expect_equal(count_allocations(trace, 100), 100, f"{name}: allocations")
        trace.unlink()


harness.main()

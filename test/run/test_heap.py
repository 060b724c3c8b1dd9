# SPDX-License-Identifier: MIT
"""
The heap operations in a trace beside what the program says it did (heap_list.h): each one, its
address, size and alignment, once and in its order.
"""
import itertools
import json
import os
import pathlib
import resource

import harness
from harness import Skip, case, expect, expect_equal, header, records

MARK = 7000000
MARKS = 1000
LIBRARIES = pathlib.Path("/usr/lib/x86_64-linux-gnu")


def timed(record):
    """(time, base, address from there, the rest) of a heap line's operations."""
    now, base = record["t0"], int(record["base"], 16)
    for dt, addr, *rest in map(harness.with_time, record["ops"]):
        now += dt
        yield now, base, addr, rest


def heap_lines(trace):
    return (record for record in records(trace) if record["ev"] == "heap")


def operations(trace):
    """All of a trace in the order of time, in the words of the list."""
    found = [(now, describe(base, addr, rest)) for record in heap_lines(trace)
             for now, base, addr, rest in timed(record)]
    # Stable: what one thread did at the same time stays in its order.
    return [text for _, text in sorted(found, key=lambda one: one[0])]


def describe(base, addr, rest):
    if not rest:
        return f"free {base + addr}"
    if addr is None:
        return f"fail {rest[0]}"
    if len(rest) == 4:
        return f"realloc {base + addr} {rest[0]} {base + rest[2]}"
    return f"alloc {base + addr} {rest[0]} {rest[2] if len(rest) == 3 else 0}"


def sections_of_trace(trace):
    """Lists of operations between marks; the marks are left out."""
    sections, mark = [], None
    for text in operations(trace):
        word, number, *sizes = text.split()
        if word == "alloc" and MARK <= int(sizes[0]) < MARK + MARKS:
            sections.append([])
            mark = f"free {number}"
        elif text == mark:
            mark = None
        elif sections:
            sections[-1].append(text)
    return sections


def sections_of_list(text):
    sections = []
    for line in text.splitlines():
        if line.startswith("section "):
            sections.append((*line.split()[1:], []))
        else:
            sections[-1][2].append(line)
    return sections


def is_among(wanted, got):
    rest = iter(got)
    return all(line in rest for line in wanted)


def compare(listed, trace):
    wanted, got = sections_of_list(listed.decode()), sections_of_trace(trace)
    expect_equal(len(got), len(wanted), "sections in the trace")
    for (name, how, lines), found in zip(wanted, got):
        if how == "exact":
            expect_equal(found, lines, f"operations of section {name}")
        else:
            expect(is_among(lines, found),
                   f"section {name}: {lines} are not all in {harness.shorten(found)}")


def traces_by_reason(bench):
    return {header(trace)["reason"]: trace for trace in bench.trace_files()}


def allocator(name):
    """The library of another allocator."""
    path = LIBRARIES / name
    if not path.exists():
        raise Skip(f"{path} is not installed")
    return str(path)


def run_both(bench, argv, *, behind=None, before=None):
    """
    Natively and traced, with another allocator preloaded in both. Returns the traced run's result.
    @behind: where it belongs, behind our library, @before: in front of it.
    """
    native_env, env = {}, bench.preload()
    other = behind or before
    if other:
        native_env["LD_PRELOAD"] = other
        env["LD_PRELOAD"] = " ".join(filter(None, (before, env["LD_PRELOAD"], behind)))
    native, traced = bench.run(argv, native_env), bench.run(argv, env)
    expect_equal((traced.status, traced.stdout, traced.stderr),
                 (native.status, native.stdout, native.stderr), "traced and native")
    expect_equal((native.status, native.stderr), (0, b""), "the native run")
    expect_equal(traced.ours, [], "lines of ours")
    bench.check_all()
    return traced


def without(allocator_path, **names):
    """Arguments that leave out what the program can't do on this allocator, even natively."""
    return [word for name, word in names.items() if name in (allocator_path or "")]


def compare_semantics(bench, behind=None):
    argv = [bench.program, *without(behind, jemalloc="without-libc")]
    traced = run_both(bench, argv, behind=behind)
    traces = traces_by_reason(bench)
    compare(traced.files["heap.list"], traces["start"])
    compare(traced.files["child.list"], traces["fork"])
    heap = bench.report_json("heap", traces["fork"], "--no-symbols")
    expect_equal(heap["unknown_frees"], 5, "releases of blocks from before the fork")


@case
def semantics(bench):
    compare_semantics(bench)


@case
def semantics_behind(bench):
    compare_semantics(bench, allocator(bench.arguments[0]))


@case
def before(bench):
    """Preloaded in front of us it gets the calls. There is little to see, but nothing breaks."""
    other = allocator(bench.arguments[0])
    words = without(other, jemalloc="without-libc", mimalloc="without-failures")
    run_both(bench, [bench.program, *words], before=other)
    for trace in bench.trace_files():
        heap = bench.report_json("heap", trace, "--no-symbols")
        expect_equal((heap["allocations"], heap["frees"]), (0, 0), "seen behind another allocator")


@case
def linked(bench):
    """The program is linked to the allocator, or to none: the loader's order is the same."""
    traced = run_both(bench, [bench.program, *without(bench.program, mimalloc="without-failures")])
    compare(traced.files["heap.list"], bench.only_trace())


@case
def behind(bench):
    other = allocator(bench.arguments[0])
    traced = run_both(bench, [bench.program, *without(other, mimalloc="without-failures")],
                      behind=other)
    compare(traced.files["heap.list"], bench.only_trace())


@case
def names(bench):
    """Functions of names of their own."""
    other = allocator(bench.arguments[0])
    traced = run_both(bench, [bench.program], behind=other)
    expect(any(traced.stdout.startswith(name) and name.decode() in other
               for name in (b"jemalloc", b"tcmalloc", b"mimalloc")), f"found {traced.stdout}")
    compare(traced.files["heap.list"], bench.only_trace())


@case
def wrong(bench):
    """Blocks freed twice, and what is no block: recorded as it was called, and nothing goes wrong."""
    traced = run_both(bench, [bench.program], behind=bench.beside["careless_heap"])
    trace = bench.only_trace()
    compare(traced.files["heap.list"], trace)
    heap = bench.report_json("heap", trace, "--no-symbols")
    # The second one, the one inside, and the one on the stack.
    expect_equal((heap["double_frees"], heap["invalid_frees"], heap["unknown_frees"]), (1, 1, 1),
                 "releases of what is no live block")


def hands(trace):
    """(time, address, is it handed out?) of all operations; a resized block is given back, and handed out."""
    for record in heap_lines(trace):
        for now, base, addr, rest in timed(record):
            if len(rest) == 4:
                yield now - rest[3], base + rest[2], False
            yield now, base + addr, bool(rest)


@case
def exchange(bench):
    """
    Threads whose blocks change hands: by the times in the trace, no block is handed out before it was given
    back, or given back before it was handed out.
    """
    environment = bench.preload(frames="off")
    if bench.arguments == ["one-arena"]:
        environment["GLIBC_TUNABLES"] = "glibc.malloc.arena_max=1:glibc.malloc.tcache_count=0"
    elif bench.arguments:
        environment["LD_PRELOAD"] += " " + allocator(bench.arguments[0])
    done = bench.run([bench.program], environment)
    expect_equal((done.status, done.ours), (0, []), "status, lines of ours")
    allocs, frees = map(int, done.stdout.split())
    trace, live = bench.only_trace(), set()
    for _, addr, is_out in sorted(hands(trace), key=lambda one: one[0]):
        expect((addr in live) != is_out, f"{addr:#x} is {'handed out' if is_out else 'given back'} twice")
        (live.add if is_out else live.remove)(addr)
    heap = bench.report_json("heap", trace, "--no-symbols")
    expect_equal([heap[f"{kind}_frees"] for kind in ("double", "invalid", "unknown")], [0, 0, 0],
                 "releases of what is no live block")
    expect(heap["allocations"] >= allocs and heap["frees"] >= frees,
           f"{heap['allocations']} allocations and {heap['frees']} releases, at least {allocs} and {frees}")
    if header(trace)["clock"]["source"] == "tsc":
        untimed = sum(len(op) in (1, 3) for record in heap_lines(trace) for op in record["ops"])
        print(f"{untimed} of {allocs + frees} operations have the time of the one before")
        expect(untimed > (allocs + frees) // 10, "some take the time of the one before")


def moments(trace):
    """(kind, address, CLOCK_MONOTONIC) of the operations and of mmap, in the order of the file."""
    start = header(trace)["clock"]["start_ns"]
    for record in records(trace):
        if record["ev"] == "call" and record["call"] == "mmap":
            yield "mmap", int(record["ret"], 16), start + record["t"]
        elif record["ev"] == "heap":
            for now, base, addr, rest in timed(record):
                yield "alloc" if rest else "free", base + addr, start + now


@case
def times(bench):
    """
    Times beside what the program saw on the clock: in the calls' order, too early by no more than to the kernel's
    last tick (which may be late itself, in a virtual machine by some ticks), and no more than 16 in a row are
    the same.
    """
    done = bench.run([bench.program, *bench.arguments], bench.preload(frames="off"))
    expect_equal(done.status, 0, "status")
    calls = done.stdout.decode().splitlines()
    trace = bench.only_trace()
    found = sorted(moments(trace), key=lambda one: one[2])
    start = header(trace)["clock"]["start_ns"]
    expect(len(calls) > 100, "there are calls")
    at = 0
    for call in calls:
        name, addr, ticked, before, behind = (int(word) if word.isdigit() else word for word in call.split())
        while found[at][:2] != (name, addr):
            at += 1
            expect(at < len(found), f"{call} is not in the trace, or not in its order")
        now = found[at][2]
        # The rate of the counter was measured in a short time only.
        off = 20000 + (behind - start) // 200
        expect((before if name == "mmap" else ticked) - off <= now <= behind + off,
               f"{call} has {now}, {now - before} behind its begin")
    for _, group in itertools.groupby(found, key=lambda one: one[2]):
        expect(len(list(group)) <= 16, "operations at the same time")


def operations_lost(trace):
    """Operations in the trace, and those that it owns up to have lost."""
    found = lost = 0
    for record in records(trace):
        if record["ev"] == "heap":
            found += len(record["ops"])
        elif record["ev"] == "lost" and record["what"] == "heap":
            lost += record["count"]
    return found, lost


def stress_once(bench, heap, words, generations):
    """
    @words: the program's, and tier=TIER for us.
    Returns operations recorded and lost, over all traces, and how many of these there were.
    """
    counts = bench.tmp / "counts"
    counts.mkdir()
    bench.give(counts)
    tiers = [word[len("tier="):] for word in words if word.startswith("tier=")]
    env = bench.preload(frames="off", capture=tiers[0] if tiers else "libc")
    env["LD_PRELOAD"] += " " + bench.beside[heap]
    env["COUNT_HEAP_OUT"] = str(counts / "of")
    argv = [bench.program, bench.beside["heap_stress_library"], generations,
            *(word for word in words if "=" not in word)]
    done = bench.run(argv, env)
    expect_equal((done.status, done.stdout), (0, b"0 failures\n"), "the stress")
    jumps = int(done.stderr.split()[-2])
    sums = [0, 0, 0]
    for trace in bench.trace_files():
        recorded, lost = operations_lost(trace)
        path = counts / f"of.{header(trace)['pid']}"
        counted = json.loads(path.read_text())["operations"]
        # A handler that jumps out of a hook takes what the hook would have recorded with it.
        expect(counted - jumps <= recorded + lost <= counted,
               f"{counted} operations, {recorded} recorded, {lost} lost, {jumps} jumps")
        sums = [sums[0] + recorded, sums[1] + lost, sums[2] + 1]
    return sums


@case
def full(bench):
    """
    Two threads, and a file that may not grow on (and has grown ahead of them): what is missing is counted, and
    whole lines stay.
    """
    env = bench.preload(frames="off")
    env["LD_PRELOAD"] += " " + bench.beside["count_heap"]
    env["COUNT_HEAP_OUT"] = str(bench.traces / "of")
    limit = 3 << 20
    done = bench.run([bench.program, 2, 200000], env,
                     preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit)))
    expect_equal((done.status, done.stderr), (0, b""), "the program")
    counts, = bench.traces.glob("of.*")
    counted = json.loads(counts.read_text())["operations"]
    counts.unlink()
    trace = bench.only_trace()
    recorded = sum(len(record["ops"]) for record in heap_lines(trace))
    lost = sum(record["count"] for record in records(trace) if record["ev"] == "lost")
    expect(limit * 9 // 10 < trace.stat().st_size <= limit, f"{trace.stat().st_size} bytes")
    # The mapping events that found no room are counted with them.
    expect(counted <= recorded + lost <= counted + 1000, f"{counted} operations, {recorded} recorded, {lost} lost")
    bench.validate(trace)


@case
def stress(bench):
    """heap_stress.c for a few seconds: what is missing in the trace is in its `lost`."""
    heap, *words = bench.arguments
    stress_once(bench, heap, words, 5)
    bench.validate(*bench.trace_files())
    # The program's own; those of its children are as many as it forked.
    bench.read_by_views(max(bench.trace_files(), key=lambda trace: trace.stat().st_size), lost=None)


if __name__ == "__main__":
    harness.main()

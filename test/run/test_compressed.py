# SPDX-License-Identifier: MIT
"""Compressed traces: whole at every moment, small in the end, the same as the others inside."""
import os
import random
import resource

import harness
from harness import case, count_allocations, expect, expect_equal, header, last_end

PAIRS = 1000000
BYTES = 4321
THREADS = 4
KILLS = 6
RAW_CHUNK = 65536


def traced(bench, *argv, out=None, status=0, **options):
    env = bench.preload()
    if out is not None:
        env["VMTRACE_OUT"] = str(out)
    result = bench.run(argv, env, **options)
    expect_equal(result.status, status, f"status; {result.ours}")
    return result


def only_compressed(bench):
    files = sorted(bench.traces.glob("*.json.zst"))
    expect_equal(len(files), 1, f"one compressed trace, not {[path.name for path in files]}")
    return files[0]


@case
def sigkill(bench):
    """At any moment, with threads that fill chunks: whole, and nothing is missing."""
    for _ in range(KILLS):
        enough = random.randrange(1, 60000)
        harness.kill_and_check(bench, [bench.program, THREADS],
                               lambda mapped, allocated: allocated >= enough, BYTES, THREADS).unlink()


@case
def pairs(bench):
    """A million operations: none is missing, the file holds no gaps, and it is small."""
    traced(bench, bench.program, PAIRS)
    trace, size = harness.unpack(only_compressed(bench))
    bench.check(trace)
    expect_equal(count_allocations(trace, BYTES), PAIRS, "allocations")
    expect(size * 3 < trace.stat().st_size, f"{size} bytes of {trace.stat().st_size}")
    expect_equal(last_end(trace)["how"], "exit", "how it ended")


@case
def small(bench):
    """Of a program that does little nothing remains but what is compressed."""
    traced(bench, "/bin/ls", "/")
    trace, size = harness.unpack(only_compressed(bench))
    bench.check(trace)
    expect(size * 3 < trace.stat().st_size, f"{size} bytes of {trace.stat().st_size}")


@case
def many_threads(bench):
    native = bench.run([bench.program])
    result = bench.run([bench.program], bench.preload())
    expect_equal(result.facts(), native.facts(), "the traced run differs")
    trace, size = harness.unpack(only_compressed(bench))
    bench.check(trace)
    expect(size * 2 < trace.stat().st_size, f"{size} bytes of {trace.stat().st_size}")


@case
def running_threads(bench):
    """Those that run when the process ends: what those have that wait is compressed, too."""
    traced(bench, bench.program)
    trace, size = harness.unpack(only_compressed(bench))
    bench.check(trace, lost=None)
    expect_equal(count_allocations(trace, BYTES), 40000, "allocations")
    expect(size * 2 < trace.stat().st_size, f"{size} bytes of {trace.stat().st_size}")


@case
def disk_full(bench):
    for kib in 4, 64, 256:
        with harness.small_disk(bench, kib) as disk:
            traced(bench, bench.program, 30000, out=disk / "trace.json.zst", status=3)
            packed = disk / "trace.json.zst"
            if kib < 64:
                continue
            copy = bench.traces / "trace.json.zst"
            copy.write_bytes(packed.read_bytes())
            trace, _ = harness.unpack(copy)
            summary = bench.check(trace, lost=None)
            expect(summary["capture"]["lost"] > 0, f"nothing lost at {kib} KiB")
            trace.unlink()


@case
def file_size_limit(bench):
    """RLIMIT_FSIZE, also one that is no multiple of pages."""
    for limit in 0, 4096, 65536 + 1000, 262144 + 4:
        traced(bench, bench.program, 30000, status=3,
               preexec_fn=lambda limit=limit: resource.setrlimit(resource.RLIMIT_FSIZE,
                                                                 (limit, limit)))
        for path in list(bench.traces.iterdir()):
            expect(path.stat().st_size <= limit, "larger than the limit")
            trace, size = harness.unpack(path)
            if size and limit >= 65536:
                summary = bench.check(trace, lost=None)
                expect(summary["capture"]["lost"] > 0, f"nothing counted as lost at {limit}")
            trace.unlink()


@case
def one_name(bench):
    """A name without %p is the first process's; the pid of others stands before .json.zst."""
    traced(bench, "/bin/sh", "-c", "/bin/true; (exit 3); /bin/true; exec /bin/ls /",
           out=bench.traces / "one.json.zst")
    bench.check_all()
    names = {path.name: header(path) for path in bench.trace_files()}
    expect(len(names) >= 4, f"traces {sorted(names)}")
    for name, first in names.items():
        expect(name == "one.json" or name.startswith(f"one.{first['pid']}."),
               f"{name} is the trace of {first['exe']}, {first['pid']}")


@case
def long_record(bench):
    """One that no chunk holds: the whole map, told after calls for which the file had no room."""
    # Enough of them to fill what room the file has left.
    script = ("import mmap, os, resource\n"
              "def map_some(nr):\n"
              "    return [mmap.mmap(-1, 4096, prot=1 + 2 * (i % 2)) for i in range(nr)]\n"
              "some = map_some(2000)\n"
              "soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)\n"
              "resource.setrlimit(resource.RLIMIT_FSIZE, (4096, hard))\n"
              "some += map_some(20000)\n"
              "resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))\n"
              "some += map_some(100)\n"
              "os._exit(0)\n")
    traced(bench, "/usr/bin/python3", "-c", script)
    trace = bench.only_trace()
    bench.check(trace, lost=None)
    longest = max(len(line) for line in trace.read_bytes().splitlines())
    expect(longest > RAW_CHUNK, f"the longest record has {longest} bytes")
    order = [record["seq"] for record in harness.records(trace) if record["ev"] == "call"]
    expect_equal(order, sorted(order), "order of calls")


harness.main()

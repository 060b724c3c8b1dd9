# SPDX-License-Identifier: MIT
"""
The heap in the trace against a second count of the same run: that of count_heap.c, which is preloaded
behind libvmtrace.so. All sums must be equal, not about equal; that file says why they can be.
"""
import json

import harness
from harness import case, expect, expect_equal
from workloads import PYTHON, program, redis_session, sql


def preload(bench, **settings):
    """Both libraries, in this order."""
    env = bench.preload(**settings)
    env["LD_PRELOAD"] += " " + bench.beside["count_heap"]
    env["COUNT_HEAP_OUT"] = str(bench.traces.with_name("count"))
    return env


def compare(bench, at_least):
    """The one trace beside the counts. @at_least: allocations, or the case has gone wrong."""
    trace = bench.only_trace()
    bench.check(trace)
    heap = bench.report_json("heap", trace, "--no-symbols")
    pid = harness.header(trace)["pid"]
    count = json.loads(bench.traces.with_name(f"count.{pid}").read_text())
    # What the others add up to, with a stress in mind: test/stress.
    del count["operations"]
    expect_equal({name: heap[name] for name in count}, count, "the trace and the count")
    expect(count["allocations"] >= at_least, f"only {count['allocations']} allocations")


@case
def malloc_pairs(bench):
    """Blocks that threads allocate and free without a pause."""
    threads, pairs = int(bench.arguments[0]), 30000
    done = bench.run([bench.program, threads, pairs], preload(bench))
    expect_equal((done.status, done.stderr), (0, b""), "malloc_pairs")
    compare(bench, threads * pairs)


@case
def sqlite(bench):
    script = "\n".join(sql(3000)).encode()
    done = bench.run([program("/usr/bin/sqlite3"), ":memory:"], preload(bench), stdin=script)
    expect_equal((done.status, done.stderr), (0, b""), "sqlite3")
    compare(bench, 10000)


@case
def python(bench):
    env = {**preload(bench), "PYTHONMALLOC": "malloc"}
    done = bench.run([program("/usr/bin/python3"), "-c", PYTHON], env)
    expect_equal((done.status, done.stderr), (0, b""), "python3")
    compare(bench, 100000)


@case
def no_stacks(bench):
    """The unwinder has no part in it: the same without."""
    script = "\n".join(sql(300)).encode()
    done = bench.run([program("/usr/bin/sqlite3"), ":memory:"], preload(bench, stacks="off"),
                     stdin=script)
    expect_equal((done.status, done.stderr), (0, b""), "sqlite3")
    compare(bench, 1000)


@case
def redis(bench):
    """An allocator of its own, jemalloc, behind both libraries; threads beside the main one."""
    status, _ = redis_session(bench, preload(bench))
    expect_equal(status, 0, "status of redis-server")
    compare(bench, 10000)


harness.main()

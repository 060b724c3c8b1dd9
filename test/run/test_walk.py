# SPDX-License-Identifier: MIT
"""
Stacks taken by the walk that reuses what is proved unchanged are those of unw_backtrace(), frame by
frame, at each allocation of real programs. The library under test is preloaded as part of another one
(walk_check.c) that takes each stack both ways.
"""
import pathlib

import harness
from harness import case, expect, expect_equal
from workloads import NODE, PERL, PYTHON, c_source, program, redis_session, sql


def compare(bench, argv, least, stdin=b"", env=None, given_up=0.0):
    """@least: samples; @given_up: the share of stacks for which there may be no proof."""
    result = bench.run(argv, {**(env or {}), **preload(bench)}, stdin)
    expect_equal(result.status, 0, f"exit status; {result.stderr.decode()[-2000:]}")
    judge(bench, argv[0], least, given_up, result.stderr)


def preload(bench):
    counts = bench.tmp / "counts"
    counts.unlink(missing_ok=True)
    counts.touch()
    bench.give(counts)
    return {"LD_PRELOAD": bench.program, "WALK_CHECK": str(counts)}


def judge(bench, name, least, given_up=0.0, stderr=b""):
    counts = bench.tmp / "counts"
    rows = [[int(word) for word in line.split()] for line in counts.read_text().splitlines()]
    samples, reused, gave_up, differences = (sum(row[i] for row in rows) for i in range(1, 5))
    print(f"{name}: {len(rows)} processes, {samples} samples, {reused} reused, {gave_up} given up")
    expect_equal(differences, 0, f"differences; {stderr.decode()[-4000:]}")
    expect(samples >= least, f"only {samples} samples")
    expect(reused > 0.9 * samples - len(rows) * 8, f"only {reused} of {samples} reused anything")
    expect(gave_up <= given_up * (samples + gave_up), f"{gave_up} given up beside {samples}")


@case
def kinds(bench):
    """Frames by rbp, recursion, jumps, signals, threads, contexts, libraries that come and go."""
    # Signal frames are left to the unwinder.
    files = [bench.reachable(pathlib.Path(word).resolve()) for word in bench.arguments]
    compare(bench, files, 20000, given_up=0.05)


@case
def sqlite(bench):
    compare(bench, [program("/usr/bin/sqlite3"), ":memory:"], 100000, "\n".join(sql(10000)).encode())


@case
def python(bench):
    compare(bench, [program("/usr/bin/python3"), "-c", PYTHON], 100000, env={"PYTHONMALLOC": "malloc"})


@case
def python_json(bench):
    """Over a million."""
    script = ("import json\nfor i in range(6):\n"
              " o=[{'id': i, 'name': 'user%d' % i, 'v': [i*0.5, None, str(i)]} for i in range(9000)]\n"
              " json.loads(json.dumps(o))\n")
    compare(bench, [program("/usr/bin/python3"), "-c", script], 1000000, env={"PYTHONMALLOC": "malloc"})


@case
def perl(bench):
    compare(bench, [program("/usr/bin/perl"), "-e", PERL], 5000)


@case
def gcc(bench):
    (bench.tmp / "big.c").write_text("".join(c_source(60)))
    compare(bench, [program("/usr/bin/gcc"), "-O1", "-c", "-o", bench.tmp / "big.o", bench.tmp / "big.c"],
            50000)


@case
def node(bench):
    compare(bench, [program("/usr/bin/node"), "-e", NODE], 10000, given_up=0.5)


@case
def bash(bench):
    compare(bench, [program("/usr/bin/bash"), "-c", "for i in $(seq 50); do x=$(echo $i | tr 1 2); done"],
            50000)


@case
def redis(bench):
    redis_session(bench, preload(bench))
    judge(bench, "redis-server", 50000)


harness.main()

# SPDX-License-Identifier: MIT
"""Real programs of the distribution: traced they do what they do natively, and nothing is lost."""
import harness
from harness import case, expect, expect_equal
from workloads import NODE, PERL, PYTHON, c_source, program, redis_session, sql


@case
def ls(bench):
    bench.run_both([program("/usr/bin/ls"), "-l", "/usr"])
    bench.check_all()


@case
def bash(bench):
    script = 'for i in 1 2 3; do date +%s >/dev/null; done; echo "$(echo nested | tr a-z A-Z)"'
    bench.run_both([program("/usr/bin/bash"), "-c", script])
    summaries = bench.check_all()
    # bash itself, three dates, the substitution, and tr.
    expect(len(summaries) >= 6, f"only {len(summaries)} traces")


@case
def sqlite(bench):
    script = "\n".join(sql(10000)).encode()
    bench.run_both([program("/usr/bin/sqlite3"), ":memory:"], stdin=script)
    bench.check_all()


@case
def python(bench):
    bench.run_both([program("/usr/bin/python3"), "-c", PYTHON], env={"PYTHONMALLOC": "malloc"})
    bench.check_all()


@case
def python_threads(bench):
    """Python's own allocator, threads and child processes."""
    script = ("import threading, subprocess\n"
              "def work(): [bytearray(1 << 16) for _ in range(200)]\n"
              "threads = [threading.Thread(target=work) for _ in range(8)]\n"
              "[t.start() for t in threads]; [t.join() for t in threads]\n"
              "print(subprocess.run(['/bin/sh', '-c', 'exit 5']).returncode)\n")
    bench.run_both([program("/usr/bin/python3"), "-c", script])
    bench.check_all()


@case
def perl(bench):
    bench.run_both([program("/usr/bin/perl"), "-e", PERL])
    expect_equal(len(bench.check_all()), 4, "traces")


@case
def node(bench):
    bench.run_both([program("/usr/bin/node"), "-e", NODE])
    bench.check_all()


@case
def gcc(bench):
    """A tree of processes: the driver, cc1, as, collect2, ld."""
    source = bench.tmp / "big.c"
    source.write_text("".join(c_source(220)))
    expect(source.read_text().count("\n") >= 5000, "the program is too short")
    bench.run_both([program("/usr/bin/gcc"), "-O1", source, "-o", "big"])
    expect_equal(len(bench.check_all()), 5, "traces")


@case
def redis(bench):
    native = redis_session(bench, None)
    expect_equal(redis_session(bench, bench.preload()), native, "status and data of redis-server")
    bench.check_all()


harness.main()

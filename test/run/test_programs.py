# SPDX-License-Identifier: MIT
"""Real programs of the distribution: traced they do what they do natively, and nothing is lost."""
import os
import random
import socket
import subprocess
import time

import harness
from harness import Skip, case, expect, expect_equal


def program(path):
    if not os.access(path, os.X_OK):
        raise Skip(f"{path} is not installed")
    return path


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


def sql(rows):
    numbers = random.Random(1)
    yield "CREATE TABLE t1(a INTEGER PRIMARY KEY, b INTEGER, c TEXT); BEGIN;"
    for i in range(rows):
        yield f"INSERT INTO t1 VALUES({i},{numbers.randrange(10**9)},'item {i} of {rows}');"
    yield "COMMIT; CREATE INDEX i1b ON t1(b); CREATE INDEX i1c ON t1(c);"
    for i in range(rows // 100):
        yield f"SELECT count(*), avg(b) FROM t1 WHERE b BETWEEN {i * 1000} AND {i * 10**7};"
    yield "DELETE FROM t1 WHERE b % 3 = 0; SELECT count(*) FROM t1;"


@case
def sqlite(bench):
    script = "\n".join(sql(10000)).encode()
    bench.run_both([program("/usr/bin/sqlite3"), ":memory:"], stdin=script)
    bench.check_all()


PYTHON = """
import json
total = 0
for turn in range(3):
    objects = [{"id": i, "name": "user%d" % i, "tags": ["a%d" % (i % 17)], "v": [i * 0.5, None],
                "sub": {"k": str(i), "l": list(range(i % 9))}} for i in range(2000)]
    groups = {}
    for o in json.loads(json.dumps(objects)):
        groups.setdefault(o["name"][-2:], []).append(o)
    for key in list(groups):
        total += sum(o["id"] for o in groups.pop(key))
print(total)
"""


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


PERL = """
for my $n (1 .. 3) {
    my $pid = fork;
    if (!$pid) { my @a = map { $_ x 100 } 1 .. 2000; exit $n; }
    waitpid $pid, 0;
    print $? >> 8, "\\n";
}
my %h = map { $_ => [1 .. $_ % 10] } 1 .. 5000;
print scalar(keys %h), "\\n";
"""


@case
def perl(bench):
    bench.run_both([program("/usr/bin/perl"), "-e", PERL])
    expect_equal(len(bench.check_all()), 4, "traces")


NODE = """
const all = [];
for (let i = 0; i < 20000; i++) all.push({id: i, text: 'n' + i, list: [i, i * 2]});
console.log(JSON.parse(JSON.stringify(all)).reduce((sum, o) => sum + o.list[1], 0));
"""


@case
def node(bench):
    bench.run_both([program("/usr/bin/node"), "-e", NODE])
    bench.check_all()


def c_source(functions):
    numbers = random.Random(2)
    yield "#include <stdio.h>\n#include <stdlib.h>\n#include <string.h>\n"
    for f in range(functions):
        a, b, c, d = (numbers.randrange(1, 90) for _ in range(4))
        yield (f"static int fn{f}(int a, int b, int *v)\n{{\n\tint s = a;\n\tdouble x;\n\n"
               f"\tfor (int i = 0; i < b; i++) {{\n\t\ts += v[i * {a} & 63];\n"
               f"\t\tif (s > {b}000)\n\t\t\ts -= i * {c};\n\t}}\n"
               f"\tswitch (s % 7) {{\n\tcase 0: s ^= {d}; break;\n\tcase 1: s += b; break;\n"
               "\tcase 3: s = s * 31 + a; break;\n\tdefault: s--;\n\t}\n"
               f"\tx = s * {c}.5;\n\tif (x > 1e6)\n\t\tx /= 3.0;\n\tv[s & 63] = (int)x;\n"
               "\treturn s;\n}\n")
    yield "int main(void)\n{\n\tint v[64] = { 0 }, s = 0;\n"
    for f in range(functions):
        yield f"\ts += fn{f}(s & 7, {f % 50}, v);\n"
    yield '\tprintf("%d\\n", s);\n\treturn 0;\n}\n'


@case
def gcc(bench):
    """A tree of processes: the driver, cc1, as, collect2, ld."""
    source = bench.tmp / "big.c"
    source.write_text("".join(c_source(220)))
    expect(source.read_text().count("\n") >= 5000, "the program is too short")
    bench.run_both([program("/usr/bin/gcc"), "-O1", source, "-o", "big"])
    expect_equal(len(bench.check_all()), 5, "traces")


def redis_wait(path, server):
    """Until the server answers; what ends the wait is the server, never a clock alone."""
    started = time.monotonic()
    while time.monotonic() - started < harness.TIMEOUT_S:
        expect(server.poll() is None, "redis-server ended")
        with socket.socket(socket.AF_UNIX) as client:
            try:
                client.connect(str(path))
                client.sendall(b"PING\r\n")
                if client.recv(100) == b"+PONG\r\n":
                    return
            except (ConnectionError, FileNotFoundError):
                pass
        time.sleep(0.05)
    raise AssertionError("redis-server does not answer")


def redis_session(bench, env):
    """Runs the server under load. Returns its exit status and what it holds in the end."""
    path = bench.work / "socket"
    bench.empty_work()
    server = bench.start([program("/usr/bin/redis-server"), "--port", "0", "--unixsocket", path,
                          "--save", "", "--appendonly", "no"], env,
                         stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                         stderr=subprocess.DEVNULL)
    try:
        redis_wait(path, server)
        client = bench.environment()
        subprocess.run([program("/usr/bin/redis-benchmark"), "-s", path, "-n", "20000", "-P", "16",
                        "-t", "set,get,lpush,lpop", "-q"], check=True, env=client,
                       stdout=subprocess.DEVNULL, timeout=harness.TIMEOUT_S)
        kept = subprocess.run([program("/usr/bin/redis-cli"), "-s", path], env=client, check=True,
                              input=b"dbsize\nllen mylist\nget key:__rand_int__\nshutdown nosave\n",
                              capture_output=True, timeout=harness.TIMEOUT_S).stdout
        return server.wait(harness.TIMEOUT_S), kept
    finally:
        if server.poll() is None:
            server.kill()
            server.wait()


@case
def redis(bench):
    native = redis_session(bench, None)
    expect_equal(redis_session(bench, bench.preload()), native, "status and data of redis-server")
    bench.check_all()


harness.main()

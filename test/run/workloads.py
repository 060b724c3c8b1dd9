# SPDX-License-Identifier: MIT
"""What the programs of the distribution are given to do, by more than one test."""
import os
import random
import socket
import subprocess
import time

import harness
from harness import Skip, expect


def program(path):
    if not os.access(path, os.X_OK):
        raise Skip(f"{path} is not installed")
    return path


def sql(rows):
    numbers = random.Random(1)
    yield "CREATE TABLE t1(a INTEGER PRIMARY KEY, b INTEGER, c TEXT); BEGIN;"
    for i in range(rows):
        yield f"INSERT INTO t1 VALUES({i},{numbers.randrange(10**9)},'item {i} of {rows}');"
    yield "COMMIT; CREATE INDEX i1b ON t1(b); CREATE INDEX i1c ON t1(c);"
    for i in range(rows // 100):
        yield f"SELECT count(*), avg(b) FROM t1 WHERE b BETWEEN {i * 1000} AND {i * 10**7};"
    yield "DELETE FROM t1 WHERE b % 3 = 0; SELECT count(*) FROM t1;"


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

NODE = """
const all = [];
for (let i = 0; i < 20000; i++) all.push({id: i, text: 'n' + i, list: [i, i * 2]});
console.log(JSON.parse(JSON.stringify(all)).reduce((sum, o) => sum + o.list[1], 0));
"""


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


def redis_session(bench, env, prefix=(), requests=20000):
    """
    Runs the server under load. Returns its exit status and what it holds in the end.
    @prefix: words in front of its command line.
    """
    path = bench.work / "socket"
    bench.empty_work()
    server = bench.start([*prefix, program("/usr/bin/redis-server"), "--port", "0",
                          "--unixsocket", path, "--save", "", "--appendonly", "no"], env,
                         stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                         stderr=subprocess.DEVNULL, start_new_session=True)
    try:
        redis_wait(path, server)
        client = bench.environment()
        subprocess.run([program("/usr/bin/redis-benchmark"), "-s", path, "-n", str(requests),
                        "-P", "16", "-t", "set,get,lpush,lpop", "-q"], check=True, env=client,
                       stdout=subprocess.DEVNULL, timeout=harness.TIMEOUT_S)
        kept = subprocess.run([program("/usr/bin/redis-cli"), "-s", path], env=client, check=True,
                              input=b"dbsize\nllen mylist\nget key:__rand_int__\nshutdown nosave\n",
                              capture_output=True, timeout=harness.TIMEOUT_S).stdout
        return server.wait(harness.TIMEOUT_S), kept
    finally:
        if server.poll() is None:
            harness.kill_all(server)

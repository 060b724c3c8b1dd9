#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Compressed traces: read by every command as if they were plain, by name, as standard input, through
a pipe; and what is said of those that are damaged.

Usage: test_packed.py REPORT DATA
"""
import gzip
import json
import os
import pathlib
import resource
import shutil
import signal
import subprocess
import sys
import tempfile

from expect import expect_equal, status

VIEWS = ("summary", "maps", "events", "mm", "heap", "leaks", "fragmentation", "frames", "verify")
SKIPPABLE = b"\x5a\x2a\x4d\x18\x03\0\0\0abc"
# A frame header that asks for a window of 2 GiB.
WIDE_WINDOW = b"\x28\xb5\x2f\xfd\x00" + bytes([21 << 3]) + b"\x01\0\0"


def zstd(data, *options):
    return subprocess.run(["zstd", "-q", "-c", *options], input=data, capture_output=True,
                          check=True).stdout


class Report:
    def __init__(self, program, folder):
        self.program, self.folder = program, folder

    def run(self, *argv, **how):
        if "input" not in how:
            how.setdefault("stdin", subprocess.DEVNULL)
        return subprocess.run([self.program, *argv], capture_output=True, cwd=self.folder,
                              timeout=120, check=False, **how)


def forms(plain):
    """Ways to compress @plain that are one stream for a reader."""
    half = len(plain) // 2
    first, second = plain[:half], plain[half:]
    return {
        "gzip": gzip.compress(plain),
        "gzip members": gzip.compress(first) + gzip.compress(b"") + gzip.compress(second),
        "gzip, padded": gzip.compress(plain) + bytes(700),
        "zstd": zstd(plain),
        "zstd -19 --long": zstd(plain, "-19", "--long=27", "--check"),
        "zstd frames": zstd(first) + SKIPPABLE + zstd(second),
        "zstd, skippable first": SKIPPABLE + zstd(plain) + SKIPPABLE,
    }


def ways(report, what, packed, plain, *argv):
    """@argv with the trace as its last word must print the same for @packed as for @plain."""
    path = report.folder / "trace"
    path.write_bytes(plain)
    want = report.run(*argv, "trace")
    want_stdin = report.run(*argv, "-", input=plain)
    path.write_bytes(packed)
    got = {"by name": report.run(*argv, "trace")}
    with open(path, "rb") as file:
        got["standard input"] = report.run(*argv, "-", stdin=file)
    got["pipe"] = report.run(*argv, "-", input=packed)
    for way, done in got.items():
        like = want if way == "by name" else want_stdin
        expect_equal((done.returncode, done.stdout, done.stderr),
                     (like.returncode, like.stdout, like.stderr), f"{what} {argv} {way}")


def test_same(report, data):
    for name in ("small.json", "threads.json"):
        plain = (data / name).read_bytes()
        for what, packed in forms(plain).items():
            # Every view of the common forms; of the others one that reads once, one that reads twice.
            for view in VIEWS if what in ("gzip", "zstd") else ("events", "heap"):
                ways(report, f"{name} {what}", packed, plain, view, "--no-symbols", "--json")
            ways(report, f"{name} {what}", packed, plain, "maps", "--at", "peak")
            ways(report, f"{name} {what}", packed, plain, "layout", "--no-symbols")
            ways(report, f"{name} {what}", packed, plain, "check", "--no-symbols")
            (report.folder / "plain").write_bytes(plain)
            (report.folder / "packed").write_bytes(packed)
            diff = report.run("diff", "--no-symbols", "plain", "packed")
            expect_equal((diff.returncode, diff.stderr), (0, b""), f"{name} {what}: diff")
            tree = report.run("--no-symbols", "plain", "packed").stdout
            expect_equal(tree.count(b"demo  packed\n"), 1, f"{name} {what}: tree")
            os.remove(report.folder / "plain")
    # A name says nothing, and a FIFO can't be asked twice.
    fifo = report.folder / "fifo"
    os.mkfifo(fifo)
    (report.folder / "wrong.gz").write_bytes(zstd((data / "small.json").read_bytes()))
    for view in ("events", "heap"):
        with subprocess.Popen([shutil.which("cp"), report.folder / "wrong.gz", fifo]):
            expect_equal(report.run(view, "--no-symbols", "fifo").returncode, 0, f"a FIFO {view}")


def long_trace(data):
    """A trace of many blocks: the header and threads that start."""
    header = (data / "minimal.json").read_bytes().splitlines()[0]
    lines = (b'{"ev":"thread","t":%d,"tid":%d,"op":"start"}' % (i, i * 7919 % 100003)
             for i in range(100000))
    return b"\n".join([header, *lines]) + b"\n"


def damaged(report, packed, want, least):
    """Status 2 and one line, which names the file; at least @least threads are told before it."""
    path = report.folder / "trace.x"
    path.write_bytes(packed)
    for view in ("summary", "events"):
        done = report.run(view, "--no-symbols", "--json", "trace.x")
        lines = done.stderr.decode().splitlines()
        expect_equal((done.returncode, len(lines)), (2, 1), f"{want}: status, lines")
        expect_equal(lines[0].startswith("vmtrace-report: trace.x:") and want in lines[0], True,
                     f"{want} {view}: {lines}")
    partial = report.run("--no-symbols", "--json", "--partial", "trace.x")
    expect_equal(partial.returncode, 0 if least else 2, f"{want}: --partial")
    if least:
        told = json.loads(partial.stdout)
        threads = told["process"]["threads"]
        expect_equal(threads >= least, True, f"{want}: {threads} threads")
        expect_equal("damaged" in [f["kind"] for f in told["findings"]], True, f"{want}: finding")


def flip(data, at):
    return data[:at] + bytes([data[at] ^ 0x55]) + data[at + 1:]


def test_damaged(report, data):
    plain = long_trace(data)
    for packed, name in ((gzip.compress(plain), "gzip"), (zstd(plain, "--check"), "zstd")):
        cut = packed[:len(packed) * 3 // 4]
        damaged(report, cut, f"the {name} data is cut off here", 60000)
        damaged(report, packed[:-1], f"the {name} data is cut off here", 95000)
        damaged(report, packed[:3] if name == "gzip" else packed[:4],
                f"the {name} data is cut off here", 0)
        damaged(report, packed + b"rest of something", f"the {name} data is damaged here", 100000)
        damaged(report, flip(packed, len(packed) - 2), f"the {name} data is damaged here", 95000)
    packed = zstd(plain, "--check")
    # gzip has nothing but a sum at the end: before it a changed byte is only found by the reader.
    damaged(report, flip(packed, len(packed) // 2), "the zstd data is damaged here", 30000)
    damaged(report, WIDE_WINDOW, "the zstd data needs more than 128 MiB of memory", 0)


def skip(size):
    return b"\x56\x2a\x4d\x18" + (size - 8).to_bytes(4, "little") + b"\0" * (size - 8)


def raw(text, size):
    """A frame with one raw block, filled up with newlines: a chunk that was being filled."""
    block = (1 | size << 3).to_bytes(3, "little")
    return b"\x28\xb5\x2f\xfd\xe0" + size.to_bytes(8, "little") + block + text.ljust(size, b"\n")


def recorded(*frames):
    """A trace that was compressed while it was recorded."""
    mark = b'vmtrace "pid":4711'
    return (b"\x28\xb5\x2f\xfd\x20\0\x01\0\0\x56\x2a\x4d\x18" + len(mark).to_bytes(4, "little") +
            mark + b"".join(frames))


def test_killed(report, data):
    """A kill may leave a chunk twice: compressed, as the last, and in the frame where it was filled."""
    header = (data / "minimal.json").read_bytes().splitlines()[0] + b"\n"
    first, second, third = (b'{"ev":"heap","tid":%d,"t0":%d,"base":"0x0","ops":[[0,%d,8,0]]}\n'
                            % (i, i, 16 * i) for i in (1, 2, 3))
    thread = b'{"ev":"thread","t":1,"tid":9,"op":"start"}\n'
    long = b"".join(b'{"ev":"thread","t":1,"tid":%d,"op":"start"}\n' % i for i in range(3000))
    start = header + thread
    cases = {
        "none twice": (recorded(zstd(start), zstd(first), skip(5000), raw(second, 4000),
                                skip(64), raw(third, 65520)), start, first, second, third),
        "the copy behind": (recorded(zstd(start), zstd(first), skip(5000), raw(second, 4000),
                                     raw(first, 4000), skip(20)), start, first, second),
        "the copy in front": (recorded(zstd(start), raw(first, 4000), zstd(second), zstd(first),
                                       skip(16)), start, first, second),
        "only the last": (recorded(zstd(start), zstd(first), zstd(second), raw(second, 4000),
                                   raw(b"", 4000)), start, first, second),
        "the same is compressed twice": (recorded(zstd(start), zstd(long), zstd(first),
                                                  zstd(long)), start, long, first, long),
        "a long frame": (recorded(zstd(start), zstd(long), raw(first, 100), zstd(second)),
                         start, long, first, second),
    }
    for what, (packed, *plain) in cases.items():
        (report.folder / "packed").write_bytes(packed)
        (report.folder / "plain").write_bytes(b"".join(plain))
        for view, *options in (["heap"], ["summary"], ["events"]):
            want = report.run(view, *options, "--json", "--no-symbols", "plain")
            got = report.run(view, *options, "--json", "--no-symbols", "packed")
            expect_equal((got.returncode, got.stderr, got.stdout.replace(b'"packed"', b'"plain"')),
                         (want.returncode, want.stderr, want.stdout), f"{what}: {view}")
    whole = recorded(zstd(start), zstd(first), raw(second, 4000))
    damaged(report, whole[:-3500], "the zstd data is cut off here", 1)


def limit_files():
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (65536, 65536))


def test_temporary_file(report, data):
    (report.folder / "big.zst").write_bytes(zstd(long_trace(data)))
    for how, want in (({"env": {"TMPDIR": "/absent"}},
                       "big.zst: temporary file in /absent: No such file or directory"),
                      ({"preexec_fn": limit_files, "env": {"TMPDIR": str(report.folder)}},
                       f"big.zst: temporary file in {report.folder}: File too large")):
        done = report.run("heap", "big.zst", **how)
        expect_equal((done.returncode, done.stdout, done.stderr.decode()),
                     (2, b"", f"vmtrace-report: {want}\n"), "temporary file")
    # What is read once needs none.
    done = report.run("events", "big.zst", env={"TMPDIR": "/absent"})
    expect_equal((done.returncode, done.stderr), (0, b""), "events without a temporary file")
    expect_equal(sorted(p.name for p in report.folder.iterdir() if "vmtrace" in p.name), [], "rests")


def main():
    if not shutil.which("zstd"):
        print("skip: there is no zstd here")
        return 77
    program, data = os.path.abspath(sys.argv[1]), pathlib.Path(sys.argv[2]).resolve() / "valid"
    for test in (test_same, test_damaged, test_killed, test_temporary_file):
        with tempfile.TemporaryDirectory() as folder:
            test(Report(program, pathlib.Path(folder)), data)
    return status()


if __name__ == "__main__":
    sys.exit(main())

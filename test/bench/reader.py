#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""
How fast vmtrace-report reads a heap, and how much memory that takes: operations a second of CPU time
(the best of the rounds) and peak resident bytes of `vmtrace-report heap --json --no-symbols`; the
latter are at least this script's own.

The trace is recorded here, or any other that is given. With --operations its heap lines are repeated
at later times until there are as many, in a file beside the recorded one (about 19 bytes each).
"""
import argparse
import json
import multiprocessing
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
import time

HEAD = re.compile(rb'(\{"ev":"heap","tid":-?\d+,"t0":)(\d+)(,.*)', re.DOTALL)


def record(library, program, pairs, folder):
    """The trace of one thread that makes @pairs of malloc and free."""
    subprocess.run([os.path.abspath(program), "1", str(pairs)], cwd=folder, check=True, stdout=subprocess.DEVNULL,
                   stderr=subprocess.DEVNULL,
                   env={**os.environ, "LD_PRELOAD": os.path.abspath(library), "VMTRACE_QUIET": "1"})
    return next(folder.glob("vmtrace.*.json"))


def measure(command, stdin=None, stderr=None):
    """Seconds, of these on a CPU, peak resident bytes, and what @command says."""
    start = time.monotonic()
    with subprocess.Popen(command, stdin=stdin, stdout=subprocess.PIPE, stderr=stderr) as process:
        out = process.stdout.read()
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    took = time.monotonic() - start
    if process.returncode:
        sys.exit(f"{command[0]} ended with {process.returncode}")
    return took, usage.ru_utime + usage.ru_stime, usage.ru_maxrss * 1024, out


def read(report, trace):
    """The same of the report on the heap, parsed."""
    *cost, out = measure([report, "heap", "--json", "--no-symbols", str(trace)])
    return *cost, json.loads(out)


def operations(heap):
    """A realloc is one of them, though it counts as an allocation and as a free."""
    return heap["allocations"] + heap["frees"] + heap["unknown_frees"] - heap["reallocations"]


def repeat(trace, times, target):
    """Copy @trace, its heap lines @times times, each time later than all before."""
    heap, last = [], 0
    with open(trace, "rb") as source, open(target, "wb") as out:
        for line in source:
            match = HEAD.fullmatch(line)
            if match:
                heap.append((match[1], int(match[2]), match[3]))
                last = max(last, int(match[2]))
            else:
                out.write(line)
        for i in range(times):
            shift = i * (last + 10 ** 9)
            out.writelines(b"%s%d%s" % (head, t0 + shift, rest) for head, t0, rest in heap)


def enlarge(trace, heap, wanted, folder):
    """@trace repeated to @wanted operations, or to what three quarters of the disk hold."""
    times = max(1, wanted // max(1, operations(heap)))
    fits = shutil.disk_usage(folder).free * 3 // 4 // trace.stat().st_size
    if times > fits:
        print(f"the disk has room for {fits} of {times} repetitions")
        times = max(1, fits)
    target = folder / "repeated.json"
    # Another process: what it takes in memory would count for those started later.
    copy = multiprocessing.Process(target=repeat, args=(trace, times, target))
    copy.start()
    copy.join()
    if copy.exitcode:
        sys.exit("the trace could not be repeated")
    return target


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--report", required=True)
    parser.add_argument("--library")
    parser.add_argument("--mallocs")
    parser.add_argument("--pairs", type=int, default=3_000_000)
    parser.add_argument("--trace", type=pathlib.Path, help="read this one instead of recording one")
    parser.add_argument("--operations", type=int, default=0, help="repeat the trace to so many")
    parser.add_argument("--rounds", type=int, default=3)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=os.environ.get("TMPDIR", ".")) as name:
        folder = pathlib.Path(name)
        trace = args.trace or record(args.library, args.mallocs, args.pairs, folder)
        if args.operations:
            *_, heap = read(args.report, trace)
            trace = enlarge(trace, heap, args.operations, folder)
        rounds = [read(args.report, trace) for _ in range(args.rounds)]
        took, cpu, resident, heap = min(rounds, key=lambda one: one[1])
        count = operations(heap)
        print(f"{count} operations, {trace.stat().st_size / count:.1f} bytes each:"
              f" {took:.2f} s, {cpu:.2f} s of CPU, {count / cpu / 1e6:.1f} M operations/s of CPU,"
              f" {resident / 2 ** 20:.0f} MiB resident,"
              f" {heap['peak_blocks']} blocks at the peak")


if __name__ == "__main__":
    main()

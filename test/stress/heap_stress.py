#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""
heap_stress.py --build BUILD [--minutes N]: heap_stress.c again and again, in every way it has.

Each run must end, with nothing failed in it, and each operation that reached the allocator must be in
the traces or among what they say is lost. A line for each run; the exit status is 1 if one was wrong.
"""
import argparse
import pathlib
import shutil
import sys
import tempfile
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.with_name("run")))

import harness  # noqa: E402
import test_heap  # noqa: E402

WAYS = (("count_heap", "load"), ("count_heap", "fork"), ("count_heap", "load", "fork"),
        ("toy_heap", "load", "anywhere"), ("toy_heap", "load", "anywhere", "jump"),
        ("toy_heap", "fork", "anywhere"), ("toy_heap", "load", "fork", "anywhere"),
        ("toy_heap", "load", "fork", "anywhere", "jump"),
        ("count_heap", "load", "fork", "tier=symbols"), ("count_heap", "load", "fork", "tier=all"))
GENERATIONS = 40


def bench_of(build, tmp):
    files = {"library": build / "preload/libvmtrace.so", "launcher": build / "analyzer/vmtrace",
             "report": build / "analyzer/vmtrace-report", "program": build / "test/stress/heap_stress",
             "validator": pathlib.Path(harness.__file__).with_name("validate_trace.py")}
    beside = [build / "test/run/count_heap.so", build / "test/stress/toy_heap.so",
              build / "test/stress/heap_stress_library.so"]
    return harness.Bench(argparse.Namespace(**files, beside=beside, unprivileged=False, compressed=False,
                                            arguments=[]), tmp)


def run(build, heap, *words):
    """Return: did it go well?"""
    tmp = pathlib.Path(tempfile.mkdtemp(prefix="vmtrace-stress-"))
    try:
        recorded, lost, traces = test_heap.stress_once(bench_of(build, tmp), heap, words, GENERATIONS)
        print(f"{heap} {' '.join(words)}: {recorded} recorded, {lost} lost, {traces} traces",
              flush=True)
        return True
    except AssertionError as failure:
        print(f"{heap} {' '.join(words)}: FAILED: {failure}", flush=True)
        return False
    finally:
        shutil.rmtree(tmp, ignore_errors=True)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--build", required=True, type=lambda path: pathlib.Path(path).resolve())
    parser.add_argument("--minutes", type=float, default=10)
    args = parser.parse_args()
    end, failures = time.monotonic() + 60 * args.minutes, 0
    while True:
        for way in WAYS:
            failures += not run(args.build, *way)
            if time.monotonic() > end:
                sys.exit(failures > 0)


main()

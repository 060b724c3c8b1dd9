#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""
What vmtrace costs a mapping call, beside what its peers cost, in one run: each round times every tool
once, and each figure is the median of the rounds' differences to the native run of the same round.
heap.py does that for the heap.
"""
import argparse
import os
import pathlib
import shutil
import statistics
import subprocess
import tempfile


def tools(library):
    """Name, command in front of the program, environment."""
    def vmtrace(**settings):
        return {"LD_PRELOAD": library, "VMTRACE_QUIET": "1",
                **{"VMTRACE_" + key: value for key, value in settings.items()}}

    yield "vmtrace", [], vmtrace()
    yield "vmtrace, verify at checkpoints", [], vmtrace(VERIFY="checkpoint")
    yield "vmtrace, no stacks", [], vmtrace(STACKS="off")
    yield "vmtrace, heap off", [], vmtrace(HEAP="off")
    if shutil.which("strace"):
        yield "strace -f", ["strace", "-f", "-o", "strace.out", "-e", "trace=%memory"], {}


def run(command, environment):
    """Nanoseconds as the program printed them, and bytes written."""
    with tempfile.TemporaryDirectory() as folder:
        out = subprocess.run(command, cwd=folder, env={**os.environ, **environment}, check=True,
                             stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True).stdout
        written = sum(path.stat().st_size for path in pathlib.Path(folder).iterdir())
    return next(float(line) for line in out.splitlines() if line.replace(".", "").isdigit()), written


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--library", required=True)
    parser.add_argument("--maps", required=True)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--many", required=True)
    args = parser.parse_args()
    works = [("mapping call", [args.maps, "30000"], 90000),
             ("mapping call, 1,000 vmas", [args.many, "1000", "90000"], 91000),
             ("mapping call, 30,000 vmas", [args.many, "30000", "90000"], 120000)]
    for title, program, operations in works:
        native, added, ratio, size = [], {}, {}, {}
        for _ in range(args.rounds):
            base, _ = run(program, {})
            native.append(base)
            for name, prefix, environment in tools(args.library):
                took, written = run(prefix + program, environment)
                added.setdefault(name, []).append(took - base)
                ratio.setdefault(name, []).append(took / base)
                size[name] = written / operations
        print(f"{title}: native {statistics.median(native):.0f} ns")
        for name, values in added.items():
            print(f"  {name:32} +{statistics.median(values):8.0f} ns"
                  f"  {statistics.median(ratio[name]):7.2f} times"
                  f"  {size[name]:7.1f} bytes each")


main()

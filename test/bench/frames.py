#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""
What frames add to a checkpoint: nanoseconds of CPU time for each resident page, for a TiB with three
pages, and bytes of trace. The least of the rounds; what a checkpoint without frames takes, what the rest
of the process has, and the kernel's own sum of PSS (smaps_rollup) are subtracted.

As root three times: PFNs with flags and counts, PFNs alone (CAP_SYS_ADMIN, but not root's files), and
PFNs hidden. The limits are those of the project's budget; they are printed, not enforced.
"""
import argparse
import json
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile

PAGE = 4096
NOBODY = "65534"
AS_NOBODY = ["setpriv", "--reuid", NOBODY, "--regid", NOBODY, "--clear-groups"]
USERS = {"flags and counts": [],
         "PFNs alone": AS_NOBODY + ["--inh-caps", "+sys_admin", "--ambient-caps", "+sys_admin"],
         "PFNs hidden": AS_NOBODY}
LIMITS = {"flags and counts": 60, "PFNs alone": 30, "PFNs hidden": 30}
# Memory that is left to the machine.
SPARE = 1 << 30


def free_pages():
    for line in pathlib.Path("/proc/meminfo").read_text().splitlines():
        if line.startswith("MemAvailable:"):
            return max(0, int(line.split()[1]) * 1024 - SPARE) // PAGE
    return 0


class Run:
    """One process: what a checkpoint takes, and the lines of its last one by signal."""

    def __init__(self, args, user, kind, pages, frames):
        with tempfile.TemporaryDirectory(prefix="vmtrace-bench-") as folder:
            os.chmod(folder, 0o777)
            files = [shutil.copy(path, folder) for path in (args.library, args.program)]
            trace = pathlib.Path(folder, "trace.json")
            env = {**os.environ, "VMTRACE_QUIET": "1", "VMTRACE_FRAMES": frames, "VMTRACE_HEAP": "off",
                   "VMTRACE_CHECKPOINT": "SIGUSR1", "VMTRACE_OUT": str(trace)}
            done = subprocess.run([*USERS[user], "env", "LD_PRELOAD=" + files[0], files[1], kind, str(pages),
                                   str(args.rounds)], env=env, cwd=folder, stdout=subprocess.PIPE, text=True)
            if done.returncode:
                sys.exit(f"{kind} {pages} ended with {done.returncode}")
            self.bare, self.flags, self.rollup, self.checkpoint = map(int, done.stdout.split())
            self.bytes, self.runs, self.resident = read(trace)


def read(trace):
    """Bytes, runs and pages of the last checkpoint by signal."""
    found, size, runs, why = (0, 0, 0), 0, 0, None
    with open(trace, "rb") as file:
        for line in file:
            kind = line[7:line.find(b'"', 7)]
            if kind == b"checkpoint":
                why, size, runs = json.loads(line)["why"], 0, 0
            elif kind in (b"frames", b"page_class", b"topology"):
                size += len(line)
                runs += line.count(b"],[") + 1 if kind == b"frames" else 0
            elif kind == b"frames_end" and why == "signal":
                found = size, runs, json.loads(line)["resident"]
    return found


class Cost:
    """Of frames alone, in ns, and their bytes and runs."""

    def __init__(self, args, user, kind, pages):
        run = Run(args, user, kind, pages, "checkpoint")
        without = Run(args, user, kind, pages, "final")
        self.ns = run.checkpoint - without.checkpoint - run.rollup
        self.bare, self.flags, self.rollup = run.bare, run.flags, run.rollup
        self.bytes, self.runs, self.resident = run.bytes, run.runs, run.resident


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--library", required=True)
    parser.add_argument("--program", required=True)
    parser.add_argument("--pages", type=int, default=1 << 20)
    parser.add_argument("--rounds", type=int, default=3)
    args = parser.parse_args()
    users = USERS if not os.geteuid() and shutil.which("setpriv") else ["PFNs hidden"]
    if len(users) == 1:
        USERS["PFNs hidden"] = []
    pages = min(args.pages, free_pages() // 512 * 512)
    if pages < args.pages:
        print(f"memory for {pages} pages only")
    for user in users:
        print(user)
        base = Cost(args, user, "small", 0)
        for kind in "small", "huge":
            cost = Cost(args, user, kind, pages)
            size, runs = cost.bytes - base.bytes, cost.runs - base.runs
            print(f"  {kind:5}  {cost.resident} pages: {(cost.ns - base.ns) / pages:.1f} ns a page of "
                  f"{LIMITS[user]} (bare reads: pagemap {cost.bare / pages:.1f}, kpageflags "
                  f"{cost.flags / pages:.1f}, PSS {cost.rollup / pages:.1f}); "
                  f"trace {size} bytes, {runs} runs, {size / max(runs, 1):.1f} bytes a run")
        hole = Cost(args, user, "hole", 0)
        print(f"  a TiB with three pages: {(hole.ns - base.ns) / 1e6:.3f} ms of 1")


main()

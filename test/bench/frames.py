#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""
What a checkpoint with frames costs: nanoseconds for each resident page (the best of the rounds, what
the rest of the process takes subtracted), for a TiB with three pages, and bytes of trace.

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
    """One process: its checkpoints' frames_end lines, and the bytes of their lines."""

    def __init__(self, args, user, kind, pages):
        with tempfile.TemporaryDirectory(prefix="vmtrace-bench-") as folder:
            os.chmod(folder, 0o777)
            files = [shutil.copy(path, folder) for path in (args.library, args.program)]
            trace = pathlib.Path(folder, "trace.json")
            env = {**os.environ, "VMTRACE_QUIET": "1", "VMTRACE_FRAMES": "checkpoint", "VMTRACE_HEAP": "off",
                   "VMTRACE_CHECKPOINT": "SIGUSR1", "VMTRACE_OUT": str(trace)}
            set_env = ["env", "LD_PRELOAD=" + files[0]]
            done = subprocess.run([*USERS[user], *set_env, files[1], kind, str(pages), str(args.rounds)], env=env,
                                  cwd=folder, stdout=subprocess.PIPE, text=True)
            if done.returncode:
                sys.exit(f"{kind} {pages} ended with {done.returncode}")
            self.bare = float(done.stdout)
            self.read(trace)

    def read(self, trace):
        ends, size, runs, lines = [], 0, 0, []
        why = None
        with open(trace, "rb") as file:
            for line in file:
                if not line.startswith(b'{"ev":"'):
                    continue
                kind = line[7:line.index(b'"', 7)]
                if kind == b"checkpoint":
                    why, size, runs = json.loads(line)["why"], 0, 0
                elif kind in (b"frames", b"page_class", b"topology"):
                    size += len(line)
                    runs += line.count(b"],[") + 1 if kind == b"frames" else 0
                elif kind == b"frames_end" and why == "signal":
                    ends.append(json.loads(line))
                    lines.append((size, runs))
        self.best = min(ends, key=lambda end: end["ns"])
        self.bytes, self.runs = lines[-1]


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
        base = Run(args, user, "small", 0)
        for kind in "small", "huge":
            run = Run(args, user, kind, pages)
            cost = (run.best["ns"] - base.best["ns"]) / pages
            size, runs = run.bytes - base.bytes, run.runs - base.runs
            print(f"  {kind:5}  {run.best['resident']} pages: {cost:.1f} ns a page of {LIMITS[user]} "
                  f"(bare pagemap {run.bare:.1f}); trace {size} bytes, {runs} runs, "
                  f"{size / max(runs, 1):.1f} bytes a run, {size * 2 ** 30 / pages / PAGE / 2 ** 20 * 4:.2f} "
                  f"MiB for 4 GiB")
        hole = Run(args, user, "hole", 0)
        print(f"  a TiB with three pages: {(hole.best['ns'] - base.best['ns']) / 1e6:.3f} ms of 1")


main()

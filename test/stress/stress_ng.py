#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""
Every stressor of stress-ng that works on memory, natively and traced: same verdict, every
difference explained, no hang, every trace readable. Not part of the test suites: it takes
minutes, gigabytes of disk for a moment, and all the memory that some stressors ask for.

    test/stress/stress_ng.py --build build [--workers 1,4] [--tier libc] [STRESSOR...]

One line a stressor: verdict of each run, what the traces hold, and how much less work was done in
the same time. Exit status 1 if a line has a fault. The traces of one run are removed before the
next, with --keep those of runs with faults stay.
"""
import argparse
import json
import os
import pathlib
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time

CLASSES = ("vm", "memory")
# They act on the machine: switch swap or the watchdog timer on, fill the disk.
EXCLUDED = {"swap", "watchdog", "resources"}
SIZES = {"vm": ["--vm-bytes", "64m"], "mmap": ["--mmap-bytes", "64m"],
         "malloc": ["--malloc-bytes", "64k"], "mremap": ["--mremap-bytes", "16m"],
         "msync": ["--msync-bytes", "16m"], "memfd": ["--memfd-bytes", "64m"],
         "memrate": ["--memrate-bytes", "64m"], "shm": ["--shm-bytes", "2m"],
         "shm-sysv": ["--shm-sysv-bytes", "2m"], "vm-rw": ["--vm-rw-bytes", "16m"],
         "vm-splice": ["--vm-splice-bytes", "64k"], "pagemove": ["--pagemove-bytes", "16m"]}
TIMEOUT_S = 150
REPORT_TIMEOUT_S = 300
# What stress-ng says about a run, without what differs from one to the next.
VERDICT = re.compile(rb"stress-ng: (fail|error|warn|info|skip):? +\[\d+\] (.*)")
REMARKABLE = re.compile(rb"fail|error|terminated|killed|skip|unsuccessful|successful run|verif", re.I)
BOGO = re.compile(rb"metrc?: \[\d+\] ([a-z][\w-]*) +(\d+) +([\d.]+) ")


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--build", type=pathlib.Path, default=pathlib.Path("build"))
    parser.add_argument("--workers", default="1,4", type=lambda text: list(map(int, text.split(","))))
    parser.add_argument("--seconds", type=int, default=2)
    parser.add_argument("--tier", default="symbols", choices=("symbols", "libc", "all"))
    parser.add_argument("--tmp", type=pathlib.Path, help="folder for traces, on a disk")
    parser.add_argument("--keep", action="store_true", help="keep traces that have a fault")
    parser.add_argument("stressors", nargs="*")
    return parser.parse_args()


def stressors():
    names = set()
    for name in CLASSES:
        done = subprocess.run(["stress-ng", "--class", name + "?"], capture_output=True, text=True)
        names |= set((done.stdout + done.stderr).partition("stressors: ")[2].split())
    return sorted(names - EXCLUDED)


class Run:
    """One run of stress-ng: its verdict, how long it took, how much was done."""

    def __init__(self, name, workers, seconds, work, env=None):
        argv = ["stress-ng", "--" + name, str(workers), "--verify", "-t", str(seconds),
                "--metrics-brief", "--no-oom-adjust", *SIZES.get(name, [])]
        started = time.monotonic()
        process = subprocess.Popen(argv, cwd=work, stdin=subprocess.DEVNULL,
                                   stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                                   env={**os.environ, **(env or {})}, start_new_session=True,
                                   preexec_fn=be_the_first_to_go)
        self.hung = False
        try:
            output = process.communicate(timeout=TIMEOUT_S)[0]
        except subprocess.TimeoutExpired:
            self.hung = True
            os.killpg(process.pid, signal.SIGKILL)
            output = process.communicate()[0]
        self.took = time.monotonic() - started
        self.status = "hangs" if self.hung else process.returncode
        self.output = output.decode(errors="replace")
        self.verdict = sorted({normalise(match) for match in VERDICT.finditer(output)
                               if REMARKABLE.search(match[0])})
        bogo = BOGO.search(output)
        self.rate = float(bogo[2]) / max(float(bogo[3]), 0.01) if bogo else 0

    def result(self):
        return self.status, self.verdict


def normalise(match):
    text = (match[1] + b": " + match[2]).decode(errors="replace")
    return re.sub(r"0x[0-9a-f]+|\d+(\.\d+)?", "N", text)


def be_the_first_to_go():
    """Should memory run out, the stressor goes, and nothing else."""
    pathlib.Path("/proc/self/oom_score_adj").write_text("1000")


class Traces:
    """What the traces of a run say about themselves."""

    def __init__(self, report, folder):
        self.count = self.bytes = self.calls = self.lost = 0
        self.unexplained = self.not_captured = self.diverged = self.empty = 0
        self.faults, self.losses = [], {}
        for path in sorted(folder.iterdir()):
            self.count += 1
            self.bytes += path.stat().st_size
            # Empty: killed between its creation and its first line.
            if path.stat().st_size:
                self.read(report, path)
            else:
                self.empty += 1

    def read(self, report, path):
        try:
            done = subprocess.run([report, "summary", "--json", "--no-symbols", path],
                                  capture_output=True, timeout=REPORT_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            self.faults.append(f"{path.name}: vmtrace-report takes too long")
            return
        if done.returncode:
            self.faults.append(f"{path.name}: {done.stderr.decode().strip()}")
            return
        summary = json.loads(done.stdout)
        capture, verify = summary["capture"], summary["verify"]
        self.calls += capture["events"]
        self.lost += capture["lost"]
        self.unexplained += verify["unexplained"]
        self.not_captured += verify["not_captured"]
        self.diverged += verify["replay"]["diverged"]
        for what in "unexplained", "diverged":
            number = verify["replay"]["diverged"] if what == "diverged" else verify[what]
            if number:
                self.faults.append(f"{path.name}: {what} {number}")
        if capture["lost"]:
            self.find_losses(path)

    def find_losses(self, path):
        with open(path, "rb") as lines:
            for line in lines:
                if line.startswith(b'{"ev":"lost"'):
                    record = json.loads(line)
                    key = f"{record['what']} {record['why']}"
                    self.losses[key] = self.losses.get(key, 0) + record["count"]


def compare(args, name, workers, tmp):
    """Return: true if there is nothing to complain about."""
    work, folder = tmp / "work", tmp / "traces"
    for path in work, folder:
        shutil.rmtree(path, ignore_errors=True)
        path.mkdir()
        path.chmod(0o777)
    native = Run(name, workers, args.seconds, work)
    shutil.rmtree(work)
    work.mkdir()
    traced = Run(name, workers, args.seconds, work,
                 {"LD_PRELOAD": str(args.build.resolve() / "preload/libvmtrace.so"),
                  "VMTRACE_OUT": f"{folder}/%e.%p.json", "VMTRACE_QUIET": "1",
                  "VMTRACE_CAPTURE": args.tier})
    traces = Traces(args.build / "analyzer/vmtrace-report", folder)
    faults = list(traces.faults)
    if native.result() != traced.result():
        faults.append(f"native: {native.status} {native.verdict}")
        faults.append(f"traced: {traced.status} {traced.verdict}")
    work_ratio = f"{native.rate / traced.rate:.1f}" if native.rate and traced.rate else "-"
    print(f"{name:14} {workers} {native.status!s:>6} {traced.status!s:>6} {traces.count:6} "
          f"{traces.bytes >> 20:6} {traces.calls:8} {traces.unexplained:5} "
          f"{traces.not_captured:6} {traces.lost:6} {traced.took / native.took:6.2f} "
          f"{work_ratio:>8}", *(f"{why}:{count}" for why, count in traces.losses.items()))
    if traces.empty:
        print(f"    {traces.empty} empty traces of killed processes")
    if native.status:
        print(f"    not run: {native.verdict}")
    for fault in faults:
        print(f"    {fault}")
    if faults and args.keep:
        shutil.copytree(folder, args.tmp / f"{name}.{workers}", dirs_exist_ok=True)
        (args.tmp / f"{name}.{workers}.out").write_text(native.output + traced.output)
    sys.stdout.flush()
    return not faults


def main():
    args = parse_arguments()
    os.umask(0o022)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    tmp = pathlib.Path(tempfile.mkdtemp(prefix="vmtrace-stress-", dir=args.tmp))
    tmp.chmod(0o755)
    print("stressor     workers native traced traces    MiB    calls unexp uncapt   lost   time"
          "     work")
    try:
        good = [compare(args, name, workers, tmp) for workers in args.workers
                for name in args.stressors or stressors()]
    finally:
        shutil.rmtree(tmp, ignore_errors=True)
    print(f"{good.count(True)} of {len(good)} without a fault")
    return not all(good)


if __name__ == "__main__":
    sys.exit(main())

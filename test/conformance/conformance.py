#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""
Runs generated programs natively and traced, and checks each trace against the program's own log.

  - no difference without a cause (options make other causes count, too)
  - every call the log has is in the trace: same thread, same order, arguments and result
  - nothing was lost, and the program ended as it does natively
  - a program of one thread and without limits gets the same results natively, call by call

A program that fails is cut down to few steps and printed as lines of C.
"""
import argparse
import collections
import json
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
import time

NOBODY = 65534
SKIPPED = 77
TIMEOUT_S = 60
MINIMISE_S = 120
MINIMISED_MAX = 3
MASK = (1 << 64) - 1

Entry = collections.namedtuple("Entry", "name args ret step determined text")


class Figures(collections.Counter):
    """Sums over all seeds."""

    def show(self, seeds, failures, causes):
        calls = self["calls"] or 1
        print(f"operations {self['operations']}, seeds {seeds}, processes {self['traces']}, "
              f"threads {self['threads']}, failed {failures}")
        print("  differences: " + (", ".join(f"{name} {n}" for name, n in sorted(causes.items()))
                                   or "none"))
        print(f"  calls in the traces {self['calls']} ({self['failed']} failed), hinged on unseen "
              f"state {self['uncertain']} ({100 * self['uncertain'] / calls:.2f} %), "
              f"of these settled by a query {self['resolved']}")
        predicted = self["predicted"] or 1
        print(f"  mmap addresses predicted {self['predicted']}, right {self['right']} "
              f"({100 * self['right'] / predicted:.2f} %)")


def read_log(path):
    """{(pid, tid): (path, [Entry])}, calls only, and all lines for people."""
    threads, texts = {}, []
    for line in path.read_text().splitlines():
        head, _, text = line.partition("\t")
        pid, tid, where, step, name, *values, determined = head.split()
        texts.append(f"{where:>12} {step:>6}  {text};")
        _, calls = threads.setdefault((int(pid), int(tid)), (where, []))
        if name == "-":
            continue
        values = [int(value, 16) for value in values]
        calls.append(Entry(name, values[:6], values[6], int(step), determined == "1", text))
    return threads, texts


def result_of(record):
    if "errno_nr" in record:
        return -record["errno_nr"] & MASK
    value = record.get("ret", 0)
    return int(value, 16) if isinstance(value, str) else value & MASK


def args_of(record):
    return [int(value, 16) if isinstance(value, str) else value & MASK
            for value in record["args"].values()]


class Trace:
    """What one trace says."""

    def __init__(self, path, figures, causes):
        self.pid, self.lost, self.diffs = None, 0, []
        self.threads = collections.defaultdict(list)
        uncertain = 0
        for line in path.open("rb"):
            if not line.startswith(b"{"):
                continue
            record = json.loads(line)
            kind = record["ev"]
            if kind == "header":
                self.pid = record["pid"]
            elif kind == "call":
                self.call(record, figures)
            elif kind == "diff":
                self.diffs.append(record)
                causes[record["cause"]] += 1
            elif kind == "lost":
                self.lost += record["count"]
            elif kind == "mm":
                uncertain = record["shadow"]["uncertain"]
        figures["uncertain"] += uncertain
        figures["traces"] += 1
        figures["threads"] += len(self.threads)

    def call(self, record, figures):
        figures["calls"] += 1
        figures["failed"] += "errno" in record
        figures["resolved"] += "resolved" in record
        if "predicted" in record:
            figures["predicted"] += 1
            figures["right"] += record["predicted"] == record.get("ret")
        if record["origin"] in ("app", "raw"):
            self.threads[record["tid"]].append(record)


def compare_calls(logged, recorded):
    """What is wrong with one thread's calls, or None."""
    for entry, record in zip(logged, recorded):
        args = args_of(record)
        if (entry.name, entry.args[:len(args)]) != (record["call"], args):
            return f"step {entry.step}: made {entry.text}, recorded {record}"
        if entry.ret != result_of(record):
            return f"step {entry.step}: {entry.text}: another result is recorded: {record}"
    if len(logged) != len(recorded):
        return f"{len(logged)} calls made, {len(recorded)} recorded"
    return None


def outcomes(threads, is_root):
    """
    What must be the same natively: {path: [(step, name, failed with)]}. Whether a user may lock all
    memory depends on how much the library has: what comes after that is left out.
    """
    found = {}
    for where, calls in threads.values():
        found[where] = []
        for entry in calls:
            if entry.name == "mlockall" and not is_root:
                break
            if entry.determined:
                failed = entry.ret if entry.ret > MASK - 4096 else 0
                found[where].append((entry.step, entry.name, failed))
    return found


class Bench:
    def __init__(self, args, tmp):
        self.args, self.tmp = args, tmp
        self.work, self.traces = tmp / "work", tmp / "traces"
        self.library, self.program = str(args.library.resolve()), str(args.program.resolve())
        self.user = {}
        for folder in (tmp, self.work, self.traces):
            folder.mkdir(exist_ok=True)
            folder.chmod(0o755)
        if args.unprivileged:
            self.become_nobody()

    def become_nobody(self):
        self.user = {"user": NOBODY, "group": NOBODY, "extra_groups": []}
        for folder in (self.work, self.traces):
            os.chown(folder, NOBODY, NOBODY)
        self.library = shutil.copy(self.library, self.tmp)
        self.program = shutil.copy(self.program, self.tmp)
        for path in (self.library, self.program):
            os.chmod(path, 0o755)

    def options(self, seed):
        threads = self.args.threads or 1 + seed % 4
        shared = self.args.share and threads > 1 and seed % 3 == 0
        # What a limit lets through depends on what the library itself has mapped.
        limits = threads > 1 or seed // 4 % 2
        return ["--seed", str(seed), "--ops", str(self.args.ops), "--threads", str(threads),
                *(["--shared"] if shared else []), *(["--limits"] if limits else [])]

    def run(self, seed, only, traced):
        """One run. Returns (status, log)."""
        for path in [*self.work.iterdir(), *(self.traces.iterdir() if traced else [])]:
            path.unlink()
        log = self.work / "log"
        env = {"PATH": "/usr/bin:/bin"}
        if traced:
            env.update({"LD_PRELOAD": self.library, "VMTRACE_OUT": f"{self.traces}/%p.json",
                        "VMTRACE_VERIFY": "event", "VMTRACE_QUIET": "1", "VMTRACE_FRAMES": "off",
                        "VMTRACE_STACKS": "off", "VMTRACE_HEAP": "off"})
        argv = [self.program, *self.options(seed), "--log", str(log)]
        if only is not None:
            argv += ["--only", ",".join(map(str, only))]
        process = subprocess.Popen(argv, cwd=self.work, env=env, start_new_session=True,
                                   stdin=subprocess.DEVNULL, **self.user)
        try:
            status = process.wait(TIMEOUT_S)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, 9)
            process.wait()
            status = "hangs"
        return status, read_log(log) if log.exists() else ({}, [])

    def check(self, seed, only=None, figures=None, causes=None):
        """Returns (kind of failure, what) or None, and the log."""
        figures = Figures() if figures is None else figures
        own_causes = collections.Counter()
        status, (threads, texts) = self.run(seed, only, traced=True)
        if status == SKIPPED:
            return "skipped", texts
        figures["operations"] += len(texts)
        traces = [Trace(path, figures, own_causes) for path in sorted(self.traces.iterdir())]
        if causes is not None:
            causes.update(own_causes)
        return self.judge(seed, only, status, threads, traces), texts

    def judge(self, seed, only, status, threads, traces):
        if status:
            return "status", f"ended with {status}"
        for trace in traces:
            for diff in trace.diffs:
                if diff["cause"] in self.args.fail_on:
                    return diff["cause"], json.dumps(diff)
            if trace.lost:
                return "lost", f"{trace.lost} records"
        recorded = {(trace.pid, tid): calls for trace in traces
                    for tid, calls in trace.threads.items()}
        for key, (where, calls) in threads.items():
            wrong = compare_calls(calls, recorded.pop(key, []))
            if wrong:
                return "calls", f"thread {where}: {wrong}"
        if recorded:
            return "calls", f"nobody made the calls of {list(recorded)}"
        return self.judge_native(seed, only, threads)

    def judge_native(self, seed, only, threads):
        status, (native, _) = self.run(seed, only, traced=False)
        if status:
            return "native", f"ends with {status} natively"
        if "--limits" in self.options(seed):
            return None
        is_root = not self.user and not os.geteuid()
        traced, native = outcomes(threads, is_root), outcomes(native, is_root)
        if not is_root and any(entry.name == "mlockall" for _, calls in threads.values()
                               for entry in calls):
            traced, native = {"0": traced["0"]}, {"0": native["0"]}
        for where in sorted(traced.keys() | native.keys()):
            for pair in zip(traced.get(where, []), native.get(where, [])):
                if pair[0] != pair[1]:
                    return "native", f"{where}: traced {pair[0]}, natively {pair[1]}"
            if len(traced.get(where, [])) != len(native.get(where, [])):
                return "native", f"{where}: another number of calls"
        return None

    def minimise(self, seed, kind):
        """Leave out ever smaller runs of steps as long as it fails in the same way."""
        steps, deadline = list(range(self.args.ops)), time.monotonic() + MINIMISE_S
        chunk = len(steps) // 2
        while chunk and time.monotonic() < deadline:
            at, before = 0, len(steps)
            while at < len(steps) and time.monotonic() < deadline:
                rest = steps[:at] + steps[at + chunk:]
                verdict, _ = self.check(seed, rest)
                if verdict and verdict[0] == kind:
                    steps = rest
                else:
                    at += chunk
            if chunk > 1 or len(steps) == before:
                chunk //= 2
        return steps

    def explain(self, seed, verdict):
        kind, what = verdict
        print(f"seed {seed}: {kind}: {what[:3000]}")
        steps = self.minimise(seed, kind)
        again, texts = self.check(seed, steps)
        print(f"minimised program (again: {again}):", *texts[:100], sep="\n")
        print("run it again: conformance.py", "--seed", seed, "--ops", self.args.ops, "--only",
              ",".join(map(str, steps)), "\n", flush=True)


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[1])
    parser.add_argument("--library", type=pathlib.Path, required=True)
    parser.add_argument("--program", type=pathlib.Path, required=True)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--ops", type=int, default=2000)
    parser.add_argument("--threads", type=int, help="default: one to four, by seed")
    parser.add_argument("--share", action="store_true",
                        help="every third program's threads work on the same addresses")
    parser.add_argument("--only", help="steps of --seed to run, as a minimised program prints them")
    parser.add_argument("--fail-on", default="unexplained",
                        type=lambda text: text.split(","), help="causes that count as failures")
    parser.add_argument("--no-minimise", action="store_true")
    parser.add_argument("--unprivileged", action="store_true")
    return parser.parse_args()


def main():
    args = parse_arguments()
    figures, causes, failures = Figures(), collections.Counter(), 0
    if args.unprivileged and os.geteuid():
        print("skipped: needs root to become another user")
        return SKIPPED
    with tempfile.TemporaryDirectory(prefix="vmtrace-conformance.") as tmp:
        bench = Bench(args, pathlib.Path(tmp))
        only = args.only and [int(step) for step in args.only.split(",")]
        for seed in range(args.seed, args.seed + args.seeds):
            verdict, texts = bench.check(seed, only, figures, causes)
            if verdict == "skipped":
                print("skipped: no scratch files here")
                return SKIPPED
            if not verdict:
                continue
            failures += 1
            if args.no_minimise or only or failures > MINIMISED_MAX:
                print(f"seed {seed}: {verdict[0]}: {verdict[1][:3000]}", flush=True)
                if only:
                    print(*texts, sep="\n")
            else:
                bench.explain(seed, verdict)
        figures.show(args.seeds, failures, causes)
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())

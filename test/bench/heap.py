#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""
What tracing the heap costs, beside what the heap profilers of the distribution cost, and how fast
the trace is read. Each round runs every program natively and under every tool once; a figure is the
median of the rounds, each compared with the native run of its own round. Slow tools do a tenth of
the work, in the first round only. All that belongs to a run is pinned to one processor (two threads,
or a server and its clients: two), helper processes of the tool included.

Traces go to a tmpfs where there is one with room, and are deleted after each run.
"""
import argparse
import json
import os
import pathlib
import platform
import re
import shutil
import subprocess
import sys
import tempfile

import reader
import results
import tools
import workloads

ROOM = 4 << 30
TRACE_MOST = 1 << 30
STACK = re.compile(rb'\{"ev":"stack","id":(\d+),"parent":\d+,"ips":\[([^\]]*)\]')
RESIDENT = re.compile(rb'"resident_bytes":(\d+)')


def progress(text):
    if sys.stderr.isatty():
        sys.stderr.write(f"\r\x1b[K{text}")
        sys.stderr.flush()


def lines_with(trace, word):
    """Lines of @trace with @word, without reading the others into Python."""
    command = ["grep", "-a", "-F", word, str(trace)]
    if trace.suffix == ".zst":
        command[0] = "zstdgrep"
        if not shutil.which("zstdgrep"):
            return b""
    return subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, check=False).stdout


def frames(trace):
    """Nodes of the stack tree: ids are given out one by one."""
    last = 0
    for match in STACK.finditer(lines_with(trace, '"ev":"stack"')):
        last = max(last, int(match[1]) + match[2].count(b","))
    return last


def own_memory(trace):
    return max(map(int, RESIDENT.findall(lines_with(trace, '"ev":"end"'))), default=0)


def folder_for(args):
    """Where traces go, and what that is."""
    if args.folder:
        return args.folder
    for candidate in ("/dev/shm", os.environ.get("TMPDIR", "/tmp")):
        kind = subprocess.run(["stat", "-f", "-c", "%T", candidate], stdout=subprocess.PIPE,
                              stderr=subprocess.DEVNULL, text=True, check=False).stdout.strip()
        if kind == "tmpfs" and os.access(candidate, os.W_OK) and shutil.disk_usage(candidate).free > ROOM:
            return candidate
    return "."


def file_system(folder):
    return subprocess.run(["stat", "-f", "-c", "%T", folder], stdout=subprocess.PIPE, text=True,
                          check=False).stdout.strip()


def warm(folder, size):
    """Memory that a virtual machine has not used yet is slow the first time: use it now."""
    with tempfile.TemporaryFile(dir=folder) as file:
        for _ in range(size >> 20):
            file.write(bytes(1 << 20))


def machine(report):
    cpu = re.search(r"model name\s*: (.*)", pathlib.Path("/proc/cpuinfo").read_text(encoding="utf-8"))
    governor = pathlib.Path("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor")
    return {"cpu": cpu[1] if cpu else platform.machine(), "processors": os.cpu_count(),
            "kernel": platform.release(),
            "governor": governor.read_text(encoding="ascii").strip() if governor.exists() else None,
            "load": os.getloadavg()[0], "versions": tools.versions(report)}


class Bench:
    """One run of everything: what to run, and what came out."""

    def __init__(self, args, base, inputs):
        self.args, self.base = args, base
        everything, self.absent = tools.all_tools(os.path.abspath(args.library))
        self.tools = [tool for tool in everything if re.search(args.tools, tool.name)]
        self.cpus = sorted(os.sched_getaffinity(0))
        self.works = []
        for work in workloads.all_workloads(args.mallocs, inputs):
            if not re.search(args.workloads, work.key):
                continue
            if work.missing():
                self.absent.append(f"{work.missing()} is not installed: {work.key} left out")
            elif work.cpus > len(self.cpus):
                self.absent.append(f"{work.key} wants {work.cpus} processors: left out")
            else:
                self.works.append(work)
        self.results = results.Results(self.works, self.tools)

    def run(self, work, tool, folder=None, scale=None, keep=None):
        """One run in a folder of its own; @keep sees the files before they go."""
        with tempfile.TemporaryDirectory(dir=folder or self.base) as name:
            here = pathlib.Path(name).resolve()
            run = work.run(tool, here, self.cpus[-work.cpus:], scale or self.args.scale)
            files = [path for path in here.iterdir() if path.is_file()]
            run.written = sum(path.stat().st_size for path in files)
            if tool.name != tools.NATIVE and not files:
                raise workloads.Failed("nothing was recorded")
            if keep:
                keep(files)
        return run

    def look_at(self, work, tool):
        """What to keep of the files of a mode's first run."""
        def keep(traces):
            found = {"frames": max(map(frames, traces)), "own_bytes": max(map(own_memory, traces))}
            if tool.name == tools.DEFAULT:
                found["operations"] = sum(reader.operations(reader.read(self.args.report, trace)[3])
                                          for trace in traces)
            self.results.note(work, tool, found)
        return keep if tool.traces else None

    def compare(self, work, number):
        """Every tool once, beside a native run of the same amount of work."""
        native = {False: self.run(work, tools.Tool(tools.NATIVE))}
        self.results.add_native(work, native[False])
        for tool in self.tools:
            if number and (tool.slow or self.results.failed(work, tool)):
                continue
            progress(f"round {number + 1} of {self.args.rounds}: {work.key} {tool.name}")
            try:
                if tool.slow not in native:
                    native[True] = self.run(work, tools.Tool(tools.NATIVE, slow=True))
                run = self.run(work, tool, keep=None if number else self.look_at(work, tool))
            except workloads.Failed as error:
                if tool.traces:
                    raise workloads.Failed(f"{work.key} {tool.name}: {error}") from error
                self.results.add_failure(work, tool, str(error))
                continue
            self.results.add(work, tool, native[tool.slow], run)

    def on_disk(self):
        """The cost of the default mode where the trace goes to a disk, for sqlite3."""
        work = next((work for work in self.works if work.key == "W4"), None)
        tool = next((tool for tool in self.tools if tool.name == tools.DEFAULT), None)
        if not work or not tool:
            return
        progress("disk")
        base = self.run(work, tools.Tool(tools.NATIVE))
        run = self.run(work, tool, folder=self.args.disk_folder)
        self.results.disk = {"file_system": file_system(self.args.disk_folder), "workload": work.key,
                             "ratio": run.wall / base.wall, "bytes_per_second": run.written / run.wall}

    def analysis(self):
        """The readers on their traces of the same program."""
        work = next((work for work in self.works if work.key == "W5"), None)
        if not work:
            return
        for tool in self.tools:
            if tool.name in (tools.DEFAULT, tools.RAW_PEER, "heaptrack"):
                progress(f"reading a trace of {tool.name}")
                try:
                    self.run(work, tool, keep=lambda files, tool=tool: self.read(tool, files))
                except workloads.Failed as error:
                    self.absent.append(f"reading a trace of {tool.name}: {error}")

    def read(self, tool, files):
        trace = max(files, key=lambda path: path.stat().st_size)
        report = self.args.report
        interpreter = "/usr/lib/heaptrack/libexec/heaptrack_interpret"
        if tool.name == tools.DEFAULT:
            heap = reader.read(report, trace)[3]
            self.results.analysed_operations = reader.operations(heap)
            self.time("vmtrace-report heap --no-symbols", [report, "heap", "--no-symbols", str(trace)])
            self.time("vmtrace-report heap", [report, "heap", str(trace)])
            self.time("vmtrace-report leaks", [report, "leaks", str(trace)])
        elif tool.name == "heaptrack" and shutil.which("heaptrack_print"):
            self.time("heaptrack_print", ["heaptrack_print", "-f", str(trace)])
        elif tool.name == tools.RAW_PEER and os.access(interpreter, os.X_OK):
            raw = trace.with_suffix("")
            subprocess.run(["zstd", "-qdf", str(trace), "-o", str(raw)], check=True)
            with open(raw, "rb") as stdin:
                self.time("heaptrack_interpret", [interpreter], stdin)

    def time(self, name, command, stdin=None):
        """The best of three, on one processor."""
        best = None
        for _ in range(3 if self.args.rounds > 1 else 1):
            if stdin:
                stdin.seek(0)
            with workloads.pinned(self.cpus[-1:]):
                took, cpu, resident, _ = reader.measure(command, stdin, subprocess.DEVNULL)
            if not best or cpu < best["cpu"]:
                best = {"wall": took, "cpu": cpu, "resident": resident}
        self.results.analysis[name] = best


def arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--library", required=True, help="libvmtrace.so")
    parser.add_argument("--report", required=True, help="vmtrace-report")
    parser.add_argument("--mallocs", required=True, help="the program malloc_pairs")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--scale", type=float, default=1.0, help="share of the work to do, default 1")
    parser.add_argument("--workloads", default="", metavar="REGEX", help="only these of W1, W2, W4 to W7")
    parser.add_argument("--tools", default="", metavar="REGEX", help="only these, by name")
    parser.add_argument("--folder", help="where traces go; default: a tmpfs with 4 GiB of room, or .")
    parser.add_argument("--disk-folder", default=".", help="for one run on a disk; default .")
    parser.add_argument("--json", metavar="FILE", help="write all figures there")
    parser.add_argument("--markdown", metavar="FILE", help="write the tables there, as in the README")
    parser.add_argument("--limits", nargs="?", const="", metavar="NAME=VALUE,…",
                        help="exit with 1 if a figure misses its limit; values in place of the defaults: "
                             + ", ".join(f"{name}={limit.value:g}" for name, limit in results.LIMITS.items()))
    return parser.parse_args()


def measure(args, base, inputs):
    """Everything, in its order."""
    bench = Bench(args, base, inputs)
    bench.results.machine = machine(args.report)
    bench.results.traces = {"folder": base, "file_system": file_system(base)}
    progress("warming up")
    warm(base, int(args.scale * TRACE_MOST))
    try:
        for number in range(args.rounds):
            for work in bench.works:
                progress(f"round {number + 1} of {args.rounds}: {work.key} native")
                bench.compare(work, number)
        bench.on_disk()
        bench.analysis()
    except KeyboardInterrupt:
        bench.absent.append("interrupted: the rest was not measured")
    progress("")
    bench.results.absent = bench.absent
    return bench.results


def main():
    args = arguments()
    limits = results.parse_limits(args.limits)
    base = folder_for(args)
    with tempfile.TemporaryDirectory(dir=base) as inputs:
        try:
            found = measure(args, base, pathlib.Path(inputs).resolve())
        except workloads.Failed as error:
            sys.exit(f"heap.py: {error}")
    tables, missed = found.tables(), found.missed(limits)
    print(results.as_text(tables))
    if args.markdown:
        pathlib.Path(args.markdown).write_text(results.as_markdown(tables), encoding="utf-8")
    if args.json:
        pathlib.Path(args.json).write_text(json.dumps(found.as_json(missed), indent=1) + "\n", encoding="utf-8")
    if args.limits is None:
        return 0
    print("\n".join(missed) if missed else "all limits are kept")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())

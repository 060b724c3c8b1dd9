# SPDX-License-Identifier: MIT
"""
The programs that heap.py runs with and without a tool. A run yields figures, each a time for a unit
of work (so that more is worse), and what the run left behind.
"""
import contextlib
import dataclasses
import os
import pathlib
import re
import resource
import shutil
import signal
import socket
import subprocess
import sys
import time

import feed

# A profiler that takes more is broken, and must not take the machine with it.
PEER_LIMIT = 6 << 30
TIMEOUT = 900
SLOW = 10


class Failed(Exception):
    """A run that yielded no figure, and why."""


@dataclasses.dataclass
class Run:
    figures: dict
    # Of the whole command, its helpers included.
    wall: float
    cpu: float
    # Peak resident bytes of the program, or of the largest process where there are several; None if
    # that is less than this script's own, which the kernel counts for what it starts.
    resident: int | None
    written: int = 0


@contextlib.contextmanager
def pinned(cpus):
    """What is started within stays on @cpus; all of them if there are none to choose from."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, cpus or before)
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


@contextlib.contextmanager
def bounded(tool):
    """Peers get a limit on their address space."""
    before = resource.getrlimit(resource.RLIMIT_AS)
    if not tool.traces:
        resource.setrlimit(resource.RLIMIT_AS, (PEER_LIMIT, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, before)


def start(tool, command, folder, cpus, **streams):
    with pinned(cpus), bounded(tool):
        return subprocess.Popen(tool.prefix(folder) + command, cwd=folder, stderr=subprocess.DEVNULL,
                                start_new_session=True, env={**os.environ, **tool.environment(folder)}, **streams)


def wait(process, since):
    """Wall and processor seconds, peak resident bytes."""
    _, status, usage = os.wait4(process.pid, 0)
    took = time.monotonic() - since
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise Failed(f"ended with {process.returncode}")
    own = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    resident = usage.ru_maxrss * 1024 if usage.ru_maxrss > own else None
    return took, usage.ru_utime + usage.ru_stime, resident


def whole(name, tool, command, folder, cpus, stdin=subprocess.DEVNULL):
    """A program whose wall time is the figure."""
    since = time.monotonic()
    process = start(tool, command, folder, cpus, stdin=stdin, stdout=subprocess.DEVNULL)
    took, cpu, resident = wait(process, since)
    return Run({name: took}, took, cpu, resident)


class Workload:
    """@key names it in limits and results; @work is its amount; @inputs is a folder for what it reads."""
    cpus = 1
    unit = "times"

    def __init__(self, key, title, work, inputs):
        self.key, self.title, self.work, self.inputs = key, title, work, inputs

    def amount(self, tool, scale):
        return max(1, int(self.work * scale / (SLOW if tool.slow else 1)))

    def figures(self):
        return {self.key: self.title}

    def missing(self):
        """The program that is not installed, if there is one."""
        return None


class Pairs(Workload):
    unit = "ns"

    def __init__(self, key, title, work, program, threads):
        super().__init__(key, title, work, None)
        self.program, self.threads, self.cpus = os.path.abspath(program), threads, threads

    def run(self, tool, folder, cpus, scale):
        command = [self.program, str(self.threads), str(self.amount(tool, scale)), str(tool.grain)]
        since = time.monotonic()
        process = start(tool, command, folder, cpus, stdout=subprocess.PIPE)
        out = process.stdout.read().decode()
        process.stdout.close()
        took, cpu, _ = wait(process, since)
        said = dict(re.findall(r"^(ns|resident) ([\d.]+)$", out, re.MULTILINE))
        if len(said) != 2:
            raise Failed("the program printed no figures")
        return Run({self.key: float(said["ns"])}, took, cpu, int(said["resident"]) * 1024)


class Sqlite(Workload):
    def missing(self):
        return None if shutil.which("sqlite3") else "sqlite3"

    def run(self, tool, folder, cpus, scale):
        rows = self.amount(tool, scale)
        script = self.inputs / f"script{rows}.sql"
        if not script.exists():
            feed.write_sql(script, rows)
        with open(script, "rb") as stdin:
            return whole(self.key, tool, ["sqlite3", ":memory:"], folder, cpus, stdin)


class Python(Workload):
    def run(self, tool, folder, cpus, scale):
        rounds = self.amount(tool, scale)
        churn = pathlib.Path(__file__).resolve().parent / "churn.py"
        environment = tool.environment
        with_malloc = dataclasses.replace(
            tool, environment=lambda folder: {**environment(folder), "PYTHONMALLOC": "malloc"})
        python = "/usr/bin/python3" if os.access("/usr/bin/python3", os.X_OK) else sys.executable
        return whole(self.key, with_malloc, [python, str(churn), str(rounds)], folder, cpus)


class Gcc(Workload):
    def missing(self):
        return None if shutil.which("gcc") else "gcc"

    def run(self, tool, folder, cpus, scale):
        functions = self.amount(tool, scale)
        source = self.inputs / f"program{functions}.c"
        if not source.exists():
            feed.write_c(source, functions)
        target = self.inputs / "program"
        return whole(self.key, tool, ["gcc", "-O1", "-o", str(target), str(source)], folder, cpus)


def free_port():
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return sock.getsockname()[1]


class Redis(Workload):
    """The server on one processor, its clients on the other."""
    cpus = 2

    def figures(self):
        return {self.key + verb: f"{self.title} {verb.upper()}" for verb in ("set", "get")}

    def missing(self):
        return next((name for name in ("redis-server", "redis-benchmark", "redis-cli") if not shutil.which(name)),
                    None)

    def run(self, tool, folder, cpus, scale):
        port, cpus = str(free_port()), sorted(cpus)
        since = time.monotonic()
        server = start(tool, ["redis-server", "--port", port, "--bind", "127.0.0.1", "--save", "",
                              "--appendonly", "no"], folder, {cpus[0]}, stdout=subprocess.DEVNULL)
        try:
            pid = self.ask(port, "info", "server", find=r"process_id:(\d+)")
            requests = str(self.amount(tool, scale))
            with pinned({cpus[-1]}):
                out = subprocess.run(["redis-benchmark", "-p", port, "-P", "16", "-n", requests, "-t", "set,get",
                                      "--csv"], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
                                     check=True, timeout=TIMEOUT).stdout
            status = pathlib.Path(f"/proc/{pid}/status").read_text(encoding="ascii")
            self.ask(port, "shutdown", "nosave")
            took, cpu, _ = wait(server, since)
        except (OSError, subprocess.SubprocessError) as error:
            raise Failed(str(error)) from error
        finally:
            if server.returncode is None:
                os.killpg(server.pid, signal.SIGKILL)
                server.wait()
        per_second = {verb.lower(): float(rate) for verb, rate in re.findall(r'^"(SET|GET)","([\d.]+)"', out,
                                                                              re.MULTILINE)}
        if len(per_second) != 2:
            raise Failed("redis-benchmark printed no figures")
        return Run({self.key + verb: 1e9 / rate for verb, rate in per_second.items()}, took, cpu,
                   int(re.search(r"VmHWM:\s+(\d+)", status)[1]) * 1024)

    @staticmethod
    def ask(port, *words, find=""):
        """Ask until the server answers so."""
        for _ in range(400):
            out = subprocess.run(["redis-cli", "-p", port, *words], stdout=subprocess.PIPE,
                                 stderr=subprocess.DEVNULL, text=True, check=False, timeout=TIMEOUT).stdout
            match = re.search(find, out)
            if match:
                return match[1] if match.groups() else ""
            time.sleep(0.05)
        raise Failed("the server does not answer")


def all_workloads(pairs_program, inputs):
    return [Pairs("W1", "malloc+free pair", 3_000_000, pairs_program, 1),
            Pairs("W2", "pair, two threads", 3_000_000, pairs_program, 2),
            Sqlite("W4", "sqlite3", 300_000, inputs),
            Python("W5", "python3", 17, inputs),
            Gcc("W6", "gcc", 500, inputs),
            Redis("W7", "redis", 1_000_000, inputs)]

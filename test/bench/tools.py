# SPDX-License-Identifier: MIT
"""
What heap.py compares: vmtrace in its modes and the heap profilers of the distribution, each as what
stands in front of a program and what is put into its environment.
"""
import ctypes.util
import dataclasses
import shutil
import subprocess
from typing import Callable

NATIVE = "native"
DEFAULT = "vmtrace"
RAW_PEER = "heaptrack -r"
PACKAGES = ["heaptrack", "libgoogle-perftools4", "libjemalloc2", "sqlite3", "python3", "gcc", "redis-server",
            "libc6", "libunwind8"]


@dataclasses.dataclass
class Tool:
    """@prefix and @environment are functions of the folder that takes the output."""
    name: str
    prefix: Callable = lambda folder: []
    environment: Callable = lambda folder: {}
    # Tens of times slower than the program: a tenth of the work, in the first round only.
    slow: bool = False
    # Sizes that are multiples of this in W1 and W2.
    grain: int = 1
    traces: bool = False
    note: str = ""


def vmtrace(name, library, out="trace.%p.%e.json", **settings):
    def environment(folder):
        return {"LD_PRELOAD": library, "VMTRACE_QUIET": "1", "VMTRACE_OUT": f"{folder}/{out}",
                **{"VMTRACE_" + key: value for key, value in settings.items()}}
    return Tool(name, environment=environment, traces=True)


def heaptrack():
    yield Tool(RAW_PEER, prefix=lambda folder: ["heaptrack", "-r", "-o", f"{folder}/heaptrack"],
               note="W6: the driver only, no children; bytes are compressed")
    # Its helper's memory grows without bounds on sizes of all kinds.
    yield Tool("heaptrack", prefix=lambda folder: ["heaptrack", "-o", f"{folder}/heaptrack"], grain=16,
               note="W1, W2: sizes rounded to 16; W6: the driver only; bytes are compressed and summed up")


def jemalloc(library):
    def settings(sample):
        return lambda folder: {"LD_PRELOAD": library,
                               "MALLOC_CONF": f"prof:true,lg_prof_sample:{sample},prof_final:true,"
                                              f"prof_prefix:{folder}/jeprof"}
    yield Tool("jemalloc, 512 KiB", environment=settings(19), note="another allocator; samples; sums, no trace")
    yield Tool("jemalloc, all", environment=settings(0), slow=True, note="another allocator; sums, no trace")


def gperftools(library):
    yield Tool("gperftools", slow=True, note="another allocator; sums, no trace",
               environment=lambda folder: {"LD_PRELOAD": library, "HEAPPROFILE": f"{folder}/heap"})


def all_tools(library):
    """The tools, and a line for each that is absent."""
    tools = [vmtrace(DEFAULT, library),
             vmtrace("vmtrace, no stacks", library, STACKS="off"),
             vmtrace("vmtrace, 512 KiB", library, HEAP="sample:524288"),
             vmtrace("vmtrace, heap off", library, HEAP="off"),
             vmtrace("vmtrace, .zst", library, out="trace.%p.%e.json.zst")]
    absent = []
    if shutil.which("heaptrack"):
        tools += heaptrack()
    else:
        absent.append("heaptrack is not installed: left out")
    for name, make, package in (("jemalloc", jemalloc, "libjemalloc2"),
                                ("tcmalloc", gperftools, "libgoogle-perftools4")):
        found = ctypes.util.find_library(name)
        if found:
            tools += make(found)
        else:
            absent.append(f"lib{name}.so ({package}) is not installed: left out")
    return tools, absent


def versions(report):
    """Of vmtrace and, where dpkg knows them, of the rest."""
    own = subprocess.run([report, "--version"], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
                         check=False).stdout.strip()
    found = {"vmtrace": own.split()[-1] if own else "unknown"}
    if shutil.which("dpkg-query"):
        out = subprocess.run(["dpkg-query", "-W", "-f", "${Package} ${Version}\n", *PACKAGES],
                             stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, check=False).stdout
        found.update(line.split() for line in out.splitlines() if len(line.split()) == 2)
    return found

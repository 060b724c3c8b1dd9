# SPDX-License-Identifier: MIT
"""Small traces put together line by line, and vmtrace-report over them: what tests of frames share."""
import json
import subprocess

from expect import expect_equal

PAGE = 4096
PRESENT, SWAPPED, FILE, GUARD = 1 << 63, 1 << 62, 1 << 61, 1 << 58
ANON, SWAPBACKED, HEAD, TAIL, HUGETLB, KSM, THP, ZERO, RESERVED = (
    1 << bit for bit in (12, 14, 15, 16, 17, 21, 22, 24, 32))


class Trace:
    """t counts up by itself, a microsecond a line."""

    def __init__(self, heap="off", **header):
        self.t, self.seq, self.classes, self.nr_stacks = 0, 0, {}, 0
        self.lines = []
        self.add("header", version=1, pid=100, ppid=1, tid=100, exe="/usr/bin/demo", argv=["demo"],
                 page_size=PAGE, clock={"source": "monotonic", "start_ns": 0, "realtime_ns": 0},
                 capture={"tier": "libc"}, verify={"mode": "off"}, heap=heap, frames="checkpoint",
                 rules=127, **{"mm": {"start_brk": "0x555555558000", "brk": "0x555555558000",
                                     "start_stack": "0x7ffffffe0000"}} | header)

    def add(self, event, **members):
        self.lines.append({"ev": event} | members)

    def timed(self, event, **members):
        self.t += 1000
        self.add(event, t=self.t, **members)

    def vma(self, start, end, perms, name="", inode=0, **members):
        self.add("vma", start=hex(start), end=hex(end), perms=perms, offset=0, inode=inode, name=name,
                 dev="fe:00" if inode else "00:00", **members)

    def module(self, path, start, end):
        self.timed("module", op="load", path=path, base=hex(start),
                   segments=[[hex(start), hex(end), "r-x"]])

    def stack(self, *ips):
        """From the outermost inwards. Return: its id."""
        self.add("stack", id=self.nr_stacks + 1, parent=0, ips=[hex(ip) for ip in ips])
        self.nr_stacks += len(ips)
        return self.nr_stacks

    def call(self, name, ret, stack, tid=100, origin="app", **args):
        self.seq += 1
        args = {key: hex(value) if key in ("addr", "old_addr", "new_addr") else value
                for key, value in args.items()}
        self.timed("call", seq=self.seq, tid=tid, call=name, args=args, origin=origin, stack=stack,
                   ret=hex(ret) if name != "munmap" and name != "madvise" else ret)

    def mmap(self, start, size, stack, prot=3, flags=0x22, **members):
        self.call("mmap", start, stack, addr=0, length=size, prot=prot, flags=flags, fd=-1, offset=0,
                  **members)

    def page_class(self, pagemap=PRESENT, kpageflags=ANON | SWAPBACKED, mapcount=1, huge=False):
        """Return: its id."""
        members = {"pagemap": hex(pagemap)}
        if kpageflags is not None:
            members["kpageflags"] = hex(kpageflags)
        if mapcount is not None:
            members["mapcount"] = mapcount
        if huge is not None:
            members["huge"] = huge
        key = json.dumps(members)
        if key not in self.classes:
            self.classes[key] = len(self.classes) + 1
            self.timed("page_class", id=self.classes[key], **members)
        return self.classes[key]

    def checkpoint(self, why="end", slab=None, unreadable=None, **kernel):
        self.timed("checkpoint", why=why)
        if kernel:
            self.timed("mm", shadow={}, kernel=kernel)
        topology = {"zones": [], "nodes": []}
        if slab is not None:
            topology["slab"] = slab
        if unreadable is not None:
            topology["unreadable"] = unreadable
        self.timed("topology", **topology)
        self.resident = self.swapped = 0

    def frames(self, start, end, *runs, own=False):
        """runs: (address, pages, class); frames lie where the pages do."""
        self.timed("frames", pfn="visible", start=hex(start), end=hex(end), **self.runs(start, runs),
                   **({"own": True} if own else {}))

    def runs(self, start, runs):
        at, coded, resident, swapped = start, [], 0, 0
        pagemaps = {number: int(json.loads(key)["pagemap"], 16)
                    for key, number in self.classes.items()}
        for address, pages, number in runs:
            gap = (address - at) // PAGE
            coded.append([gap, gap if coded else address // PAGE, pages, number])
            at = address + pages * PAGE
            pagemap = pagemaps.get(number, PRESENT)
            resident += pages if pagemap & PRESENT else 0
            swapped += pages if pagemap & (SWAPPED | GUARD) == SWAPPED else 0
        self.resident += resident
        self.swapped += swapped
        return {"resident": resident, "swapped": swapped, "runs": coded}

    def frames_end(self):
        self.timed("frames_end", resident=self.resident, swapped=self.swapped)

    def text(self):
        return "".join(json.dumps(line) + "\n" for line in self.lines).encode()


class Report:
    def __init__(self, program):
        self.program = program

    def run(self, trace, view, *argv):
        data = trace if isinstance(trace, bytes) else trace.text()
        return subprocess.run([self.program, view, "--no-symbols", *argv, "-"], input=data,
                              capture_output=True, timeout=120, check=False)

    def text(self, trace, view, *argv):
        done = self.run(trace, view, *argv)
        expect_equal((done.stderr, done.returncode), (b"", 0), f"{view} {argv}")
        return done.stdout.decode()

    def json(self, trace, view, *argv):
        return json.loads(self.text(trace, view, "--json", *argv))

#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""frames: what it says of pages that are known one by one, and what it makes of broken traces.

Usage: test_frames_view.py REPORT MANPAGE

Traces are composed here from a dictionary of pages. What the view should say is worked out page by
page, the slow way, and for one process by hand:

    64 MiB of anonymous memory, 60 of it huge, then a huge page that was split, 1 MiB in small pages
    that run on in the same frames, pages in swap, zero pages, guard pages; on two nodes.
"""
import json
import os
import pathlib
import random
import re
import subprocess
import sys
import tempfile

from expect import expect_equal, status

PAGE, HUGE = 4096, 512
PRESENT, SWAP, FILE, GUARD, EXCLUSIVE = 1 << 63, 1 << 62, 1 << 61, 1 << 58, 1 << 56
FLAGS = {"dirty": 4, "anon": 12, "swapbacked": 14, "hugetlb": 17, "nopage": 20, "ksm": 21,
         "thp": 22, "zero": 24, "mlocked": 33, "mmap": 11, "reserved": 32}
CHURNS = ["faulted_in", "gone", "moved", "swapped_out", "swapped_in", "swap_freed"]


def kpf(*names):
    return sum(1 << FLAGS[name] for name in names)


class Class:
    """What pages have in common; None: not told."""

    def __init__(self, pagemap, flags=None, mapcount=None, huge=None, swap_type=None):
        self.pagemap, self.flags, self.mapcount = pagemap, flags, mapcount
        self.huge, self.swap_type = huge, swap_type

    def line(self, number):
        told = {"ev": "page_class", "t": 0, "id": number, "pagemap": hex(self.pagemap)}
        if self.flags is not None:
            told["kpageflags"] = hex(self.flags)
        for key in ("mapcount", "huge", "swap_type"):
            if getattr(self, key) is not None:
                told[key] = getattr(self, key)
        return told

    def has(self, *names):
        return bool((self.flags or 0) & kpf(*names))

    @property
    def is_zero(self):
        """All pages have one frame; the huge zero page has many."""
        return self.has("zero") and not self.has("thp")

    @property
    def kind(self):
        if self.pagemap & GUARD:
            return "guard"
        if not self.pagemap & PRESENT:
            return "swap"
        if self.flags is None:
            return "file" if self.pagemap & FILE else "anon"
        for name, flag in (("zero", "zero"), ("special", "nopage"), ("special", "reserved"),
                           ("hugetlb", "hugetlb"), ("ksm", "ksm"), ("anon", "anon")):
            if self.has(flag):
                return name
        if not self.pagemap & FILE:
            return "anon"
        return "shmem" if self.has("swapbacked") else "file"


class Vma:
    def __init__(self, start, end, name="", perms="rw-p", own=False, nohuge=False):
        self.start, self.end, self.name, self.perms = start, end, name, perms
        self.own, self.nohuge = own, nohuge


def runs_of(start, pages, numbers):
    """[[gap, step, pages, class]…] of [(va, class, pfn)…]"""
    joined = []
    for va, cls, pfn in pages:
        if joined:
            last = joined[-1]
            step = 0 if cls.is_zero or not pfn else last[2]
            if last[0] + last[2] * PAGE == va and last[3] is cls and last[1] + step == pfn:
                last[2] += 1
                continue
        joined.append([va, pfn, 1, cls])
    runs, at, frame, number = [], start, 0, 0
    for va, pfn, count, cls in joined:
        run = [(va - at) // PAGE, pfn - frame, count, numbers[cls]]
        at, frame = va + count * PAGE, pfn + count
        if run[3] == number:
            run = run[:3] if run[2] != 1 else run[:2] if run[1] else run[:1]
        number = numbers[cls]
        runs.append(run)
    return runs


class Trace:
    def __init__(self, vmas, rules=127):
        self.vmas, self.numbers, self.seq = vmas, {}, 0
        self.lines = [{
            "ev": "header", "version": 1, "pid": 4711, "ppid": 1, "exe": "/usr/bin/demo",
            "argv": ["demo"], "page_size": 4096, "frames": "checkpoint", "rules": rules,
            "clock": {"source": "monotonic", "start_ns": 0, "realtime_ns": 0},
            "capture": {"tier": "libc"}, "verify": {"mode": "off"}, "heap": "off",
            "mm": {"start_brk": "0x555555558000", "brk": "0x555555578000"},
            "own": [[hex(v.start), hex(v.end), "region"] for v in vmas if v.own]}]
        for v in vmas:
            self.lines.append({"ev": "vma", "start": hex(v.start), "end": hex(v.end),
                               "perms": v.perms, "offset": 0, "dev": "00:00", "inode": 0,
                               "name": v.name, **({"own": True} if v.own else {})})
        for v in vmas:
            if v.nohuge:
                self.seq += 1
                self.lines.append({
                    "ev": "call", "seq": self.seq, "t": 1, "tid": 4711, "call": "madvise",
                    "args": {"addr": hex(v.start), "length": v.end - v.start, "advice": 15},
                    "ret": 0, "origin": "app", "stack": 0})

    def checkpoint(self, pages, why="timer", t=1000, visible=True, zones=(), nodes=(), kernel=None,
                   diffs=(), end=True, parts=1, **topology):
        """pages: {va: (class, pfn)}"""
        self.lines.append({"ev": "checkpoint", "t": t, "why": why})
        if kernel:
            self.lines.append({"ev": "mm", "t": t, "shadow": {}, "kernel": kernel})
        self.lines.append({"ev": "topology", "t": t, "zones": list(zones), "nodes": list(nodes),
                           **topology})
        ordered = sorted((va, *page) for va, page in pages.items())
        for _, cls, _ in ordered:
            if cls not in self.numbers:
                self.numbers[cls] = len(self.numbers) + 1
                self.lines.append(cls.line(self.numbers[cls]))
        for v in self.vmas:
            cut = [v.start + (v.end - v.start) // PAGE * i // parts * PAGE
                   for i in range(parts)] + [v.end]
            if any(v.start <= va < v.end for va, _, _ in ordered):
                for start, stop in zip(cut, cut[1:]):
                    self.frames(start, stop, [p for p in ordered if start <= p[0] < stop], t,
                                visible, v.own)
        self.lines += diffs
        if end:
            counted = {"resident": sum(bool(c.pagemap & PRESENT) for _, c, _ in ordered),
                       "swapped": sum(c.kind == "swap" for _, c, _ in ordered)}
            self.lines.append({"ev": "frames_end", "t": t, **counted,
                               **(end if isinstance(end, dict) else {})})
        return self

    def frames(self, start, end, pages, t, visible, own):
        self.lines.append({
            "ev": "frames", "t": t, "pfn": "visible" if visible else "hidden", "start": hex(start),
            "end": hex(end), **({"own": True} if own else {}),
            "resident": sum(bool(c.pagemap & PRESENT) for _, c, _ in pages),
            "swapped": sum(c.kind == "swap" for _, c, _ in pages),
            "runs": runs_of(start, pages, self.numbers)})


def not_huge(vma, va, cls, rules):
    if cls.kind not in ("anon", "shmem") or not cls.pagemap & PRESENT or cls.huge or vma.own:
        return None
    block = va & ~(HUGE * PAGE - 1)
    if vma.end - vma.start < HUGE * PAGE:
        return "too_small"
    if block < vma.start or block + HUGE * PAGE > vma.end:
        return "alignment"
    if vma.nohuge:
        return "nohugepage"
    if cls.huge is None:
        return "unknown"
    if cls.has("thp"):
        return "split"
    if cls.kind == "shmem":
        return "shmem"
    return "not_advised" if rules & 512 else "not_collapsed"


def sums(pages, vmas, rules):
    """What the view says of pages, but for contiguity."""
    told = {"resident_bytes": 0, "rss_bytes": 0, "swapped_bytes": 0, "pss_bytes": 0,
            "uss_bytes": 0, "huge_bytes": 0, "not_huge_bytes": {}, "kinds": {}}
    for va, (cls, _) in pages.items():
        kind = told["kinds"].setdefault(cls.kind, 0)
        told["kinds"][cls.kind] = kind + PAGE
        told["swapped_bytes"] += PAGE * (cls.kind == "swap")
        if not cls.pagemap & PRESENT:
            continue
        told["resident_bytes"] += PAGE
        if cls.huge is None:
            told["huge_bytes"] = None
        elif told["huge_bytes"] is not None:
            told["huge_bytes"] += PAGE * (cls.huge and cls.kind != "zero")
        why = not_huge(next(v for v in vmas if v.start <= va < v.end), va, cls, rules)
        if why:
            told["not_huge_bytes"][why] = told["not_huge_bytes"].get(why, 0) + PAGE
        if cls.kind in ("zero", "hugetlb") or (cls.kind == "special" and not cls.has("mmap")):
            continue
        told["rss_bytes"] += PAGE
        if cls.mapcount is None:
            told["pss_bytes"] = None
            told["uss_bytes"] += PAGE * bool(cls.pagemap & EXCLUSIVE)
        else:
            if told["pss_bytes"] is not None:
                told["pss_bytes"] += PAGE / max(cls.mapcount, 1)
            told["uss_bytes"] += PAGE * (cls.mapcount <= 1)
    return told


def contiguous(pages, vmas):
    """[[va, pfn, pages]…]"""
    runs = []
    for vma in vmas:
        last = None
        for va, (cls, pfn) in sorted(pages.items()):
            if not vma.start <= va < vma.end or not cls.pagemap & PRESENT or \
                    cls.kind in ("zero", "special"):
                continue
            if last and last[0] + last[2] * PAGE == va and last[1] + last[2] == pfn:
                last[2] += 1
            else:
                last = [va, pfn, 1]
                runs.append(last)
    return runs


def churn(before, now, visible):
    told = dict.fromkeys(CHURNS, 0)
    if not visible:
        told["moved"] = None
    for va in before.keys() | now.keys():
        old, new = ((None, 0) if page is None or page[0].kind == "zero" else page
                    for page in (before.get(va), now.get(va)))
        was, now_is = (page[0].kind if page[0] else None for page in (old, new))
        here = [kind not in (None, "swap", "guard") for kind in (was, now_is)]
        if all(here):
            if was != now_is and {was, now_is} != {"anon", "ksm"}:
                what = ["gone", "faulted_in"]
            else:
                what = ["moved"] if visible and old[1] != new[1] else []
        elif here[1]:
            what = ["swapped_in" if was == "swap" else "faulted_in"]
        elif now_is == "swap":
            what = ["swapped_out"] if was != "swap" else []
        else:
            what = ["gone"] if here[0] else ["swap_freed"] if was == "swap" else []
        for name in what:
            told[name] += PAGE
    return told


class Report:
    def __init__(self, program, folder):
        self.program, self.folder = program, pathlib.Path(folder)

    def run(self, trace, *argv):
        path = self.folder / "trace.json"
        path.write_text("".join(json.dumps(line, separators=(",", ":")) + "\n"
                                if not isinstance(line, str) else line + "\n"
                                for line in (trace.lines if isinstance(trace, Trace) else trace)))
        return subprocess.run([self.program, *argv, "trace.json"], capture_output=True, text=True,
                              cwd=self.folder, timeout=60, check=False)

    def json(self, trace, *argv):
        done = self.run(trace, "frames", "--json", *argv)
        expect_equal((done.returncode, done.stderr), (0, ""), "status")
        return json.loads(done.stdout)


def expect_sums(got, want, what):
    for key, value in want.items():
        if key == "kinds":
            expect_equal({kind: of["bytes"] for kind, of in got[key].items()}, value,
                         f"{what}: {key}")
        elif key == "pss_bytes" and value is not None:
            # Of each run less than a byte may be cut off.
            expect_equal(-4096 < got[key] - value <= 0.01, True, f"{what}: PSS {got[key]} ~ {value}")
        else:
            expect_equal(got[key], value, f"{what}: {key}")


def expect_contiguity(got, runs, what):
    orders = {}
    for _, _, pages in runs:
        order = min(pages.bit_length() - 1, 10)
        nr, size = orders.get(order, (0, 0))
        orders[order] = (nr + 1, size + pages * PAGE)
    expect_equal({o["order"]: (o["runs"], o["bytes"]) for o in got["orders"]}, orders,
                 f"{what}: orders")
    largest = sorted(runs, key=lambda run: (-run[2], run[0]))[:5]
    expect_equal([[int(r["va"], 16), int(r["pfn"], 16), r["pages"]] for r in got["largest"]],
                 largest, f"{what}: largest")
    expect_equal((got["runs"], got["bytes"]),
                 (len(runs), sum(run[2] for run in runs) * PAGE), f"{what}: runs")


def inside(pages, vma):
    return {va: page for va, page in pages.items() if vma.start <= va < vma.end}


def expect_map(got, pages, vmas, rules, visible, what):
    expect_sums(got, sums(pages, vmas, rules), what)
    told = [v for v in vmas if inside(pages, v)]
    expect_equal([int(v["start"], 16) for v in got["vmas"]], [v.start for v in told],
                 f"{what}: vmas")
    for vma, of in zip(told, got["vmas"]):
        expect_sums(of, sums(inside(pages, vma), [vma], rules), f"{what}: {vma.name}")
        if visible:
            expect_contiguity(of["contiguity"], contiguous(inside(pages, vma), [vma]),
                              f"{what}: {vma.name}")
        else:
            expect_equal(of["contiguity"], None, f"{what}: contiguity")
    if visible:
        expect_contiguity(got["contiguity"], contiguous(pages, vmas), what)


def zone(node, name, start, spanned, **more):
    return {"node": node, "zone": name, "start_pfn": start, "spanned": spanned, "present": spanned,
            "managed": spanned, "free": spanned // 2, "min": 10, "low": 20, "high": 30, **more}


# Node 1's memory lies in a hole of node 0's.
ZONES = [zone(1, "Normal", 0x500000, 0x100000), zone(0, "DMA32", 0, 0x100000),
         zone(0, "Normal", 0x100000, 0x700000)]
NODES = [{"node": 0, "cpus": "0-1", "total_bytes": 1 << 34, "free_bytes": 1 << 33},
         {"node": 1, "total_bytes": 1 << 33, "free_bytes": 1 << 32}]
ANON = PRESENT | EXCLUSIVE
SMALL = Class(ANON, kpf("anon", "swapbacked"), 1, False)
DIRTY = Class(ANON, kpf("anon", "swapbacked", "dirty", "mlocked"), 1, False)
BIG = Class(ANON, kpf("anon", "thp"), 1, True)
SPLIT = Class(ANON, kpf("anon", "thp"), 1, False)
ZERO = Class(PRESENT, kpf("zero"), 0, False)
SHARED = Class(PRESENT | FILE, kpf(), 8, False)
FORKED = Class(PRESENT, kpf("anon"), 2, False)
SWAPPED = Class(SWAP, swap_type=1)
GUARDS = Class(GUARD)
ALL = [SMALL, DIRTY, BIG, SPLIT, ZERO, SHARED, FORKED, SWAPPED, GUARDS,
       Class(PRESENT, kpf("anon", "ksm"), 3, False),
       Class(PRESENT | FILE, kpf("swapbacked"), 0, False),
       Class(PRESENT, kpf("nopage"), 0, False), Class(PRESENT, kpf("reserved", "mmap"), 9, False),
       Class(PRESENT, kpf("reserved"), 0, False), Class(PRESENT, kpf("hugetlb"), 1, True),
       Class(ANON, kpf("anon"), 7, None), Class(PRESENT, kpf("zero", "thp"), 0, True)]

MAIN = Vma(0x7f0000000000, 0x7f0004000000)
VMAS = [Vma(0x555555558000, 0x555555578000, "[heap]"), MAIN,
        Vma(0x7f1000000000, 0x7f1000010000, "/usr/lib/libc.so.6", "r-xp"),
        Vma(0x7f2000001000, 0x7f2000601000, nohuge=True),
        Vma(0x100000000000, 0x100000100000, own=True)]
VMAS.sort(key=lambda v: v.start)


def fill(pages, va, nr, cls, pfn=0):
    """The address behind them."""
    for i in range(nr):
        pages[va + i * PAGE] = (cls, pfn if cls is ZERO or not pfn else pfn + i)
    return va + nr * PAGE


def demo():
    pages = {}
    at = fill(pages, MAIN.start, 30 * HUGE, BIG, 0x200000)
    at = fill(pages, at, HUGE, SPLIT, 0x500200)
    at = fill(pages, at, 128, SMALL, 0x500400)
    at = fill(pages, at, 128, DIRTY, 0x500480)
    at = fill(pages, at, 100, SWAPPED, 7)
    at = fill(pages, at, 4, ZERO, 0x1234)
    fill(pages, at, 2, GUARDS)
    fill(pages, 0x555555558000, 10, FORKED, 0x3000)
    fill(pages, 0x7f1000000000, 16, SHARED, 0x9000000)  # in no zone
    fill(pages, 0x7f2000001000, 0x600, SMALL, 0x300001)
    fill(pages, 0x100000000000, 5, SMALL, 0x4000)
    return pages


MIB = 1 << 20
KERNEL = {"rss_bytes": 70 * MIB, "swap_bytes": 100 * PAGE, "pss_bytes": 69 * MIB,
          "uss_bytes": 68 * MIB}


def by_hand(report):
    """The process of the opening comment."""
    pages = demo()
    trace = Trace(VMAS).checkpoint(
        pages, why="end", t=2104331000, zones=ZONES, nodes=NODES, kernel=KERNEL,
        unreadable={"slabinfo": "EACCES"},
        diffs=[{"ev": "frame_diff", "t": 0, "cause": "outside", "start": "0x7f3000000000",
                "end": "0x7f3000002000", "pages": 2}],
        end={"rss_before": 17000, "rss_after": 17003, "faults": 3, "ns": 1312000})
    got = report.json(trace)
    expect_map(got, pages, VMAS, 127, True, "demo")
    for key, want in {"recorded": True, "t": 2104331000, "why": "end", "pfn": "visible",
                      "complete": True, "own_bytes": 5 * PAGE, "kernel": KERNEL,
                      "unreadable": {"slabinfo": "EACCES"}, "churn": None, "lines_left_out": 0,
                      "outside_zones_bytes": 16 * PAGE, "rss_bytes": 17695 * PAGE,
                      "scan": {"ns": 1312000, "faults": 3, "rss_before_pages": 17000,
                               "rss_after_pages": 17003, "resident_pages": 17699,
                               "swapped_pages": 100},
                      "differences": [{"cause": "outside", "start": "0x7f3000000000",
                                       "end": "0x7f3000002000", "pages": 2}],
                      "not_huge_bytes": {"too_small": 10 * PAGE, "alignment": 512 * PAGE,
                                         "nohugepage": 1024 * PAGE, "split": 512 * PAGE,
                                         "not_collapsed": 256 * PAGE}}.items():
        expect_equal(got[key], want, key)
    expect_equal([(z["node"], z["zone"], z["bytes"] // PAGE, z["low_bytes"]) for z in got["zones"]],
                 [(1, "Normal", 768, 20 * PAGE), (0, "DMA32", 10 + 5, 20 * PAGE),
                  (0, "Normal", 30 * HUGE + 0x600, 20 * PAGE)], "zones")
    expect_equal([(n["node"], n["cpus"], n["bytes"] // PAGE) for n in got["nodes"]],
                 [(0, "0-1", 30 * HUGE + 0x600 + 15), (1, None, 768)], "nodes")
    main = next(v for v in got["vmas"] if v["start"] == hex(MAIN.start))
    expect_equal([(z["node"], z["zone"], z["bytes"] // PAGE) for z in main["zones"]],
                 [(1, "Normal", 768), (0, "Normal", 30 * HUGE)], "zones of a vma")
    expect_equal({key: main["flag_bytes"][key] // PAGE for key in ("dirty", "mlocked", "thp")},
                 {"dirty": 128, "mlocked": 128, "thp": 31 * HUGE}, "flags of a vma")
    expect_equal([int(v["start"], 16) for v in report.json(trace, "--limit", "2")["vmas"]],
                 [MAIN.start, 0x7f2000001000], "--limit 2")
    expect_equal([report.json(trace, *limit)["left_out"]
                  for limit in ([], ["--limit", "2"], ["--limit", "0"])], [0, 3, 0], "left_out")
    by_hand_text(report, trace)


def by_hand_text(report, trace):
    text = report.run(trace, "frames").stdout
    lines = text.splitlines()
    for want in [
            'frames at 2.104331 s, checkpoint "end" after event 1',
            "page frame numbers visible",
            "resident      69.1 MiB    70.0 MiB  17699 pages; 16.0 KiB is no RSS: zero page, "
            "hugetlb, special",
            "swapped      400.0 KiB   400.0 KiB",
            "scan       1.312 ms, 3 page faults; RSS 66.4 MiB before, 66.4 MiB after it (+3 pages)",
            "unreadable slabinfo (EACCES)",
            "7f0000000000-7f0004000000 rw-p   63.0 MiB   63.0 MiB   63.0 MiB   60.0 MiB  "
            "(anonymous)",
            "    anon 63.0 MiB, zero 16.0 KiB, swap 400.0 KiB, guard 8.0 KiB; dirty 512.0 KiB;",
            "    mlocked 512.0 KiB; node 1 Normal 3.0 MiB; node 0 Normal 60.0 MiB;",
            "    in 2 runs of frames, largest 60.0 MiB, by order 9:1 10:1; not huge (split) 2.0 MiB;",
            "    not huge (not_collapsed) 1.0 MiB",
            "   1 Normal      3.0 MiB  0.1 %    4.0 GiB    2.0 GiB   40.0 KiB   80.0 KiB  "
            "120.0 KiB",
            "7f3000000000-7f3000002000  outside: 2 pages where the model has no mapping"]:
        expect_equal(want in lines, True, f"text: {want}\n{text}")
    expect_equal([line for line in lines if len(line) > 100], [], "lines of more than 100 columns")
    # vmtrace's own mapping.
    shown = [report.run(trace, "frames", *how).stdout.count("(vmtrace)")
             for how in ([], ["--own"])]
    expect_equal(shown, [0, 1], "own mappings shown")
    expect_equal("1 of vmtrace's (--own shows them)" in lines, True, "own mappings left out")
    summary = json.loads(report.run(trace, "summary", "--json").stdout)
    expect_equal([(f["kind"], f.get("count")) for f in summary["findings"]
                  if f["kind"].startswith("frames")], [("frames_outside", 2)], "finding")
    verify = report.run(trace, "verify")
    expect_equal("outside in 7f3000000000-7f3000002000: 2 pages where the model has no mapping" in
                 verify.stdout, True, f"verify: {verify.stdout}")
    expect_equal(json.loads(report.run(trace, "verify", "--json").stdout)["frame_differences"],
                 {"outside": 1}, "verify --json")


def hidden(report):
    """Without CAP_SYS_ADMIN: pagemap's bits, and no frame."""
    plain, huge = Class(ANON, huge=False), Class(ANON, huge=True)
    both, swapped = Class(PRESENT | FILE, huge=False), Class(SWAP, swap_type=0)
    pages = {}
    at = fill(pages, MAIN.start, HUGE, huge)
    at = fill(pages, at, 300, plain)
    fill(pages, at, 20, swapped)
    fill(pages, 0x7f1000000000, 16, both)
    before = dict(list(pages.items())[:600])
    fill(before, 0x7f1000000000, 3, both)
    fill(before, 0x555555558000, 4, plain)
    trace = Trace(VMAS, rules=127 | 512).checkpoint(before, visible=False, t=500)
    trace.checkpoint(pages, visible=False, kernel=KERNEL, why="end", zones=ZONES, nodes=NODES,
                     unreadable={"kpageflags": "EPERM"})
    got = report.json(trace)
    expect_map(got, pages, VMAS, 127 | 512, False, "hidden")
    expect_equal((got["pfn"], got["pss_bytes"], got["kernel"]["pss_bytes"], got["uss_bytes"]),
                 ("hidden", None, 69 * MIB, 812 * PAGE), "hidden PSS")
    expect_equal(got["churn"]["bytes"], churn(before, pages, False), "hidden churn")
    expect_equal([of["bytes"] for of in got["zones"] + got["nodes"]] + [got["outside_zones_bytes"]],
                 [None] * 6, "places of hidden frames")
    expect_equal((got["churn"]["bytes"]["faulted_in"], got["churn"]["bytes"]["gone"]),
                 (225 * PAGE, 4 * PAGE), "hidden churn by hand")
    expect_equal([v["name"] for v in got["churn"]["vmas"]],
                 ["[heap]", "", "/usr/lib/libc.so.6"], "vmas with churn")
    text = report.run(trace, "frames").stdout
    for want in ("page frame numbers hidden: CAP_SYS_ADMIN shows them",
                 "PSS                  -    69.0 MiB  mapcounts are not known",
                 "828 pages; the zero page, which is no RSS, is among them",
                 "not_advised: no MADV_HUGEPAGE"):
        expect_equal(want in text, True, f"hidden: {want}\n{text}")
    expect_equal([line for line in text.splitlines() if len(line) > 100], [], "hidden: columns")


def mutate(rng, pages):
    now = {}
    for va, (cls, pfn) in pages.items():
        dice = rng.random()
        if dice < 0.7:
            now[va] = (cls, pfn)
        elif dice < 0.8:
            now[va] = (cls, pfn + 0x10 if pfn else pfn)
        elif dice < 0.9:
            now[va] = (rng.choice(ALL), rng.randrange(1, 0x900000))
    return {va: (cls, 0x1234 if cls.is_zero else 0 if cls.kind == "guard" else pfn)
            for va, (cls, pfn) in now.items()}


def at_random(report):
    rng = random.Random(42)
    for turn in range(12):
        pages, base = {}, 0x7f0000000000
        vmas = []
        for i in range(rng.randrange(1, 6)):
            base += rng.randrange(0, 3 * HUGE) * PAGE
            size = rng.choice((5, 100, 600, 2000))
            vmas.append(Vma(base, base + size * PAGE, f"[v{i}]", nohuge=rng.random() < 0.2))
            base += size * PAGE
            at = 0
            while at < size:
                nr, cls = min(rng.choice((1, 1, 2, 7, 64, 512)), size - at), rng.choice(ALL)
                pfn = 0 if cls.kind == "guard" else rng.randrange(1, 0x900000)
                if rng.random() < 0.8:
                    for k in range(nr):
                        # Neighbours of another class often go on in the next frame.
                        last = pages.get(vmas[-1].start + (at + k - 1) * PAGE)
                        if last and rng.random() < 0.9 and last[1] and cls.kind != "guard":
                            pfn = last[1] + 1
                        pages[vmas[-1].start + (at + k) * PAGE] = (
                            cls, 0x1234 if cls.is_zero else pfn)
                at += nr
        rules, now = rng.choice((127, 127 | 512)), mutate(rng, pages)
        trace = Trace(vmas, rules).checkpoint(pages, zones=ZONES, parts=rng.choice((1, 3)))
        trace.checkpoint(now, t=2000, zones=ZONES, parts=rng.choice((1, 4)))
        got = report.json(trace)
        expect_map(got, now, vmas, rules, True, f"turn {turn}")
        if got["churn"]:
            expect_equal(got["churn"]["bytes"], churn(pages, now, True), f"turn {turn}: churn")
            total = dict.fromkeys(CHURNS, 0)
            for vma in got["churn"]["vmas"]:
                for key in CHURNS:
                    total[key] += vma["bytes"][key]
            expect_equal(total, got["churn"]["bytes"], f"turn {turn}: churn by vma")


def hostile(report):
    trace = Trace(VMAS).checkpoint(demo(), zones=ZONES)
    last = trace.lines.pop()
    line = {"ev": "frames", "t": 1000, "pfn": "visible", "start": hex(MAIN.start),
            "end": hex(MAIN.end), "resident": 2, "runs": [[0, 1, 2, 1]]}

    def with_lines(*more):
        return trace.lines + [json.loads(json.dumps({**line, **m})) for m in more] + [last]

    def fine(what, *more):
        done = report.run(with_lines(*more), "frames", "--json")
        expect_equal((done.returncode, done.stderr), (0, ""), what)
        text = report.run(with_lines(*more), "frames")
        expect_equal((text.returncode, text.stderr), (0, ""), f"{what}: text")
        return json.loads(done.stdout), text.stdout

    got, text = fine("a line twice", {})
    expect_equal((got["lines_left_out"], got["complete"]), (1, True), "a line twice")
    expect_equal("damaged    1 lines out of order were left out" in text, True, "left out: text")
    got, text = fine("classes", {"start": "0x7fff00000000", "end": "0x7fff00010000",
                                 "runs": [[0, 5, 3, 0], [0, 0, 2, 4294967295]]})
    expect_equal((got["pages_of_unknown_class"], got["complete"]), (5, False), "unknown classes")
    expect_equal("untold     5 pages" in text, True, "unknown classes: text")
    top = {"start": "0x7fff00000000", "end": "0xfffffffffffff000"}
    nr = (0xfffffffffffff000 - 0x7fff00000000) // PAGE
    got, _ = fine("nearly all of the address space", {**top, "resident": nr,
                                                      "runs": [[0, 2**63 - 1, nr, 2]]})
    expect_equal(got["vmas"][-1]["resident_bytes"], min(nr * PAGE, 2**63 - 1),
                 "nearly all")
    fine("a step below 0", {**top, "resident": 3, "runs": [[0, -2**63, 1, 2], [0, -2**63, 1], [5]]})
    for counts in {"resident": 1}, {"resident": 3}, {"swapped": 1}, {"resident": 2**63 - 1}:
        done = report.run(with_lines(counts), "frames", "--json")
        expect_equal((done.returncode, done.stderr), (
            2, f"vmtrace-report: trace.json:{len(trace.lines) + 1}: frames: "
               "resident and swapped are not what the runs add up to\n"), f"{counts}")
    for counts in {"resident": 0}, {"resident": 2, "swapped": 3}, {"swapped": 5, "resident": 0}:
        fine("of a class that was not told", {**top, **counts, "runs": [[0, 5, 5, 0]]})
    for what, runs in {"past the end": [[0x3fff, 1, 2, 1]], "empty": [[0, 1, 0, 1]],
                       "overflow": [[2**63 - 1, 1, 1, 1]], "too many pages": [[0, 0, 2**63 - 1, 1]],
                       "fraction": [[0, 1.5]], "nothing": [[]], "too much": [[0, 1, 1, 1, 1]],
                       "a class beyond": [[0, 1, 1, 2**32]]}.items():
        done = report.run(with_lines({"runs": runs}), "frames", "--partial")
        errors = done.stderr.splitlines()
        expect_equal((done.returncode, len(errors)), (0, 1), f"{what}: {errors}")
        expect_equal(errors and errors[0].startswith(
            f"vmtrace-report: trace.json:{len(trace.lines) + 1}: frames: runs[0] is not [gap, step"),
            True, f"{what}: {errors}")
        expect_equal("scan       has no end" in done.stdout, True, f"{what}: {done.stdout[:900]}")
        expect_equal(report.run(with_lines({"runs": runs}), "frames").returncode, 2, what)
    topology_is_hostile(report)


def topology_is_hostile(report):
    huge = zone(0, "\x1b[31m" + "N" * 300, 0, 2**63 - 1, present=2**63 - 1, min=2**63 - 1)
    trace = Trace(VMAS).checkpoint(demo(), zones=[huge, zone(7, "", 2**63 - 1, 2**63 - 1), huge],
                                   nodes=[{"node": 0, "total_bytes": 2**63 - 1, "free_bytes": 0}],
                                   end={"rss_before": 2**63 - 1, "ns": 2**63 - 1})
    expect_equal(report.json(trace)["complete"], True, "vast zones")
    text = report.run(trace, "frames").stdout
    expect_equal("\x1b" in text, False, "an escape character")
    many = Trace(VMAS).checkpoint(demo(), zones=[zone(0, "x", i, 1) for i in range(5000)])
    done = report.run(many, "frames")
    expect_equal((done.returncode, "topology: more than 4096 zones" in done.stderr), (2, True),
                 "too many zones")
    empty = Trace(VMAS).checkpoint({}, zones=ZONES)
    expect_equal(report.json(empty)["resident_pages"], 0, "no pages")
    expect_equal(report.run(empty, "frames").returncode, 0, "no pages: text")
    none = Trace(VMAS)
    expect_equal((report.json(none)["recorded"], report.run(none, "frames").stdout[:9]),
                 (False, "no frames"), "no frames")


def members(value, into):
    if isinstance(value, list):
        for one in value:
            members(one, into)
    elif isinstance(value, dict):
        for name, one in value.items():
            into.add(name)
            # What names these are is said elsewhere.
            if name not in ("kernel", "unreadable", "flag_bytes", "not_huge_bytes"):
                members(one, into)
    return into


def manual(report, page):
    """Each member is described, and nothing is described that there is not."""
    text = pathlib.Path(page).read_text()
    text = text[text.index(".Sh JSON OF FRAMES"):]
    text = text[:text.index("\n.Sh ", 1)]
    described = set(re.findall(r"^\.(?:It )?Va ([\w-]+)", text, re.M))
    trace = Trace(VMAS).checkpoint(demo(), zones=ZONES, nodes=NODES).checkpoint(
        demo(), zones=ZONES, nodes=NODES, kernel=KERNEL,
        diffs=[{"ev": "frame_diff", "t": 0, "cause": "outside", "start": "0x1000", "end": "0x2000",
                "pages": 1}])
    got = members(report.json(trace), set())
    kinds = {"ksm", "shmem", "hugetlb", "special"}  # of which the demo has none
    expect_equal(sorted(got - described), [], "not in the manual")
    expect_equal(sorted(described - got - kinds - {"soft_dirty", "uffd_wp"}), [],
                 "in the manual only")
    reasons = re.findall(r"^\.It Cm (too_small|alignment|nohugepage|unknown|split|shmem|"
                         r"not_advised|not_collapsed)$", pathlib.Path(page).read_text(), re.M)
    expect_equal(len(reasons), 8, "reasons in the manual")


def main():
    with tempfile.TemporaryDirectory() as folder:
        report = Report(os.path.abspath(sys.argv[1]), folder)
        by_hand(report)
        hidden(report)
        at_random(report)
        hostile(report)
        manual(report, sys.argv[2])
    return status()


if __name__ == "__main__":
    sys.exit(main())

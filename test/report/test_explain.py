#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""The view explain over traces composed here.

Usage: test_explain.py REPORT SYMBOLS_TARGET MANUAL
"""
import json
import pathlib
import re
import subprocess
import sys

from expect import expect_equal, expect_members, status

MS = 1000000
PAGE = 4096
PRESENT, SWAPPED, FILE, GUARD, EXCLUSIVE, SOFT_DIRTY = (1 << 63, 1 << 62, 1 << 61, 1 << 58, 1 << 56,
                                                        1 << 55)
ANON = 1 << 12 | 1 << 14 | 1 << 5 | 1 << 3      # anon, swapbacked, lru, uptodate
seen = set()              # members of all objects that were printed


def note_members(value):
    if isinstance(value, dict):
        for key, member in value.items():
            seen.add(key)
            # Those of calls are in TRACE.md.
            if key != "args":
                note_members(member)
    elif isinstance(value, list):
        for member in value:
            note_members(member)


def header(**more):
    return {"ev": "header", "version": 1, "pid": 100, "ppid": 1, "tid": 100, "exe": "/usr/bin/demo",
            "argv": ["demo"], "page_size": PAGE, "clock": {"start_ns": 0, "realtime_ns": 0},
            "capture": {"tier": "libc"}, "verify": {"mode": "off"}, "heap": "off", "rules": 127,
            "mm": {"task_size": "0x7ffffffff000"}, **more}


def vma(start, end, perms="rw-p", name=None, inode=0, offset=0, **more):
    line = {"ev": "vma", "start": hex(start), "end": hex(end), "perms": perms, "offset": offset,
            "dev": "fe:00" if inode else "00:00", "inode": inode, **more}
    return {**line, "name": name} if name else line


def call(seq, name, args, ret, t=None, **more):
    line = {"ev": "call", "seq": seq, "t": t or seq * MS, "tid": 100, "call": name, "args": args,
            "origin": "app", "stack": 0, **more}
    return line if ret is None else {**line, "ret": ret}


def mmap(seq, addr, length, prot=3, flags=0x32, **more):
    return call(seq, "mmap", {"addr": hex(addr), "length": length, "prot": prot, "flags": flags,
                              "fd": -1, "offset": 0}, hex(addr), **more)


def counted(classes, runs):
    """What a line of these runs counts, @classes by number."""
    counts = {"resident": 0, "swapped": 0}
    for _, _, pages, number in runs:
        pagemap = int(classes.get(number, {"pagemap": "0x0"})["pagemap"], 16)
        if pagemap & PRESENT:
            counts["resident"] += pages
        elif pagemap & SWAPPED:
            counts["swapped"] += pages
    return counts


def checkpoint(t, why, classes, frames):
    """@frames: (start, end, runs)"""
    classes = dict(classes)
    return [{"ev": "checkpoint", "t": t, "why": why},
            {"ev": "topology", "t": t, "zones": [
                {"node": 1, "zone": "Normal", "start_pfn": 0x1000, "spanned": 0x100000}]},
            *({"ev": "page_class", "t": t, "id": i, **c} for i, c in classes.items()),
            *({"ev": "frames", "t": t, "start": hex(start), "end": hex(end), "runs": runs,
               "pfn": "visible", **counted(classes, runs)} for start, end, runs in frames),
            {"ev": "frames_end", "t": t, "resident": 0, "swapped": 0}]


class Report:
    def __init__(self, program):
        self.program = program

    def run(self, lines, *argv, form=("--json", "--no-symbols")):
        data = "".join(json.dumps(line) + "\n" for line in lines).encode()
        return self.run_bytes(data, *argv, form=form)

    def run_bytes(self, data, *argv, form=("--json", "--no-symbols")):
        at = argv.index("-")
        return subprocess.run([self.program, "explain", *form, *argv[:at + 1],
                               *(hex(a) if isinstance(a, int) else a for a in argv[at + 1:])],
                              input=data, capture_output=True, timeout=120, check=False)

    def json(self, lines, *addresses, at="end", options=()):
        done = self.run(lines, "--at", at, *options, "-", *addresses)
        expect_equal((done.returncode, done.stderr), (0, b""), f"explain {addresses}")
        text = self.run(lines, "--at", at, *options, "-", *addresses, form=("--no-symbols",))
        expect_equal((text.returncode, text.stderr), (0, b""), f"explain {addresses} as text")
        found = json.loads(done.stdout)
        note_members(found)
        return found, text.stdout.decode()

    def one(self, lines, address, at="end", options=()):
        found, text = self.json(lines, address, at=at, options=options)
        return found["addresses"][0], text


def test_address(report):
    lines = [header(vsyscall="--xp"), vma(0x400000, 0x402000, "r-xp", "/usr/bin/demo", 1)]
    unknown = [header(mm={}, vsyscall="--xp"), *lines[1:]]
    five = [header(mm={"task_size": "0xfffffffffff000"}), *lines[1:]]
    user = {"levels": 4, "half": "user", "canonical": {"4": True, "5": True}, "regions": []}
    for text in ("0x400123", "400123", "0X400123", "0000000000000000400123"):
        one, _ = report.one(lines, text)
        expect_members(one, {**user, "address": "0x400123", "indices": {
            "pgd": 0, "p4d": None, "pud": 0, "pmd": 2, "pte": 0, "offset": 0x123}}, text)
        expect_members(one["vma"], {"start": "0x400000", "perms": "r-xp", "name": "/usr/bin/demo",
                                    "file_offset": 0x123}, text)
    one, text = report.one(lines, 1 << 60)
    expect_members(one, {"half": None, "indices": None, "canonical": {"4": False, "5": False},
                         "vma": None, "hole": None, "page": None}, "non-canonical")
    expect_equal("not canonical" in text, True, text)

    high = 5 << 48 | 4 << 39 | 3 << 30 | 2 << 21 | 1 << 12 | 7
    one, text = report.one(lines, high)
    expect_members(one, {"half": None, "levels": 4, "canonical": {"4": False, "5": True}}, "high, 4")
    indices = {"pgd": 5, "p4d": 4, "pud": 3, "pmd": 2, "pte": 1, "offset": 7}
    for trace, say in (unknown, True), (five, False):
        one, text = report.one(trace, high)
        expect_members(one, {"half": "user", "levels": 5, "indices": indices}, "high, 5")
        expect_equal("the trace does not say" in text, say, text)
    found, _ = report.json(five, 0x400000)
    expect_equal((found["levels"], found["addresses"][0]["levels"]), (5, 5), "5 levels")

    direct, kasan = "direct mapping of all physical memory", "KASAN shadow memory"
    for trace, want in ((unknown, [(4, direct, True), (5, kasan, False)]), (lines, [(4, direct, True)]),
                        (five, [(5, kasan, False)])):
        one, text = report.one(trace, 0xffff888000001000)
        expect_equal([(r["levels"], r["name"], r["randomized"]) for r in one["regions"]], want, "kernel")
        expect_members(one, {"half": "kernel", "vma": None, "hole": None, "page": None, "heap": None},
                       "kernel")
        expect_equal("KASLR" in text, want[0][2], text)
    one, text = report.one(lines, 0xffffffffff600010)
    expect_equal([r["name"] for r in one["regions"]], ["vsyscall page"], "vsyscall")
    expect_members(one["vma"], {"name": "[vsyscall]", "perms": "--xp"}, "vsyscall")
    found, text = report.json(lines, 0x400000, 0xffffffffffffffff, 0)
    expect_equal([one["address"] for one in found["addresses"]],
                 ["0x400000", "0xffffffffffffffff", "0x0"], "several")


A, B, C = 0x10000000, 0x20000000, 0x30000000


def history_trace():
    """
    1 mmap       A A A A A A A A            6 mremap   A' hole, B B B B B B
    2 mprotect   A A r r A A A A            7 mprotect fails
    3 mprotect   A A A A A A A A            8 mmap     B f B B B B
    4 madvise on pages 0 to 3               9, 10 mmap C C, then C C C
    5 munmap     A A A A A A . .            a difference: C C .
    """
    def protect(seq, at, length, prot, **more):
        return call(seq, "mprotect", {"addr": hex(at), "length": length, "prot": prot},
                    None if more else 0, **more)

    return [
        header(), vma(0x400000, 0x402000, "r-xp", "/usr/bin/demo", 1),
        {"ev": "module", "t": 1, "op": "load", "path": "/usr/bin/demo", "base": "0x400000",
         "segments": [["0x400000", "0x402000", "r-x"]]},
        {"ev": "stack", "id": 1, "parent": 0, "ips": ["0x400100"]},
        mmap(1, A, 8 * PAGE, stack=1), protect(2, A + 2 * PAGE, 2 * PAGE, 1),
        protect(3, A + 2 * PAGE, 2 * PAGE, 3),
        call(4, "madvise", {"addr": hex(A), "length": 4 * PAGE, "advice": 4}, 0),
        call(5, "munmap", {"addr": hex(A + 6 * PAGE), "length": 2 * PAGE}, 0),
        call(6, "mremap", {"old_addr": hex(A), "old_size": 6 * PAGE, "new_size": 6 * PAGE, "flags": 3,
                           "new_addr": hex(B)}, hex(B), stack=1),
        protect(7, B, 2 * PAGE, 7, errno="EACCES", errno_nr=13),
        mmap(8, B + PAGE, PAGE, 1, file={"dev": "fe:00", "inode": 5, "name": "/a\u001bb"}, flags=0x12,
             fd=3),
        mmap(9, C, 2 * PAGE), mmap(10, C + 2 * PAGE, PAGE),
        {"ev": "diff", "t": 11 * MS, "seq": 10, "cause": "not_captured", "fields": ["mapped"],
         "start": hex(C + 2 * PAGE), "end": hex(C + 3 * PAGE), "shadow": [], "kernel": []},
    ]


def changes(one):
    return [(e["seq"], *e["changes"]) for e in one["history"]["list"]]


def test_history(report):
    lines = history_trace()
    one, text = report.one(lines, A + 3 * PAGE + 5, options=("--stacks",))
    expect_equal(changes(one), [(1, "mapped"), (2, "split", "perms"), (3, "merged", "perms"), (4,),
                                (5, "shrunk"), (6, "unmapped")], "A")
    expect_members(one, {"vma": None, "mapped_by": None}, "A")
    expect_members(one["unmapped_by"], {"seq": 6, "call": "mremap", "origin": "app", "tid": 100,
                                        "moved_to": hex(B + 3 * PAGE + 5), "t": 6 * MS}, "A")
    expect_equal(one["unmapped_by"]["stack"][0]["offset"], "0x100", "stack")
    expect_equal(one["history"]["list"][0]["stack"][0]["offset"], "0x100", "stack of the history")
    expect_equal(one["history"]["list"][1]["vma"], [hex(A + 2 * PAGE), hex(A + 4 * PAGE)], "after 2")
    expect_members(one["hole"], {"start": "0x402000", "end": hex(B)}, "hole")
    expect_members(one["hole"]["below"], {"start": "0x400000", "distance": A + 3 * PAGE + 5 - 0x402000},
                   "below")
    expect_members(one["hole"]["above"], {"start": hex(B), "distance": B - A - 3 * PAGE - 5}, "above")
    expect_equal("unmapped by  call 6" in text and "moved to" in text, True, text)

    one, _ = report.one(lines, A)
    expect_equal(changes(one), [(1, "mapped"), (2, "split"), (3, "merged"), (4,), (5, "shrunk"),
                                (6, "unmapped")], "A's first page")
    expect_equal(any("stack" in e for e in one["history"]["list"]), False, "stacks not asked for")

    for at, want in {"start": [], "0": [], "1": [1], "2": [1, 2], "3500us": [1, 2, 3],
                     "5": [1, 2, 3, 4, 5]}.items():
        one, _ = report.one(lines, A + 3 * PAGE, at=at)
        expect_equal([e["seq"] for e in one["history"]["list"]], want, f"--at {at}")
        expect_equal(one["vma"] is not None, bool(want), f"--at {at}: vma")
        if want:
            expect_equal((one["mapped_by"]["seq"], one["unmapped_by"]), (1, None), f"--at {at}")
    one, _ = report.one(lines, C, at="peak")
    expect_equal(changes(one), [(9, "mapped"), (10, "grown"), (10, "shrunk")],
                 "--at peak, which is call 10 and what was found after it")
    one, _ = report.one(lines, A + 3 * PAGE, at="2")
    expect_members(one["vma"], {"start": hex(A + 2 * PAGE), "perms": "r--p"}, "--at 2")
    expect_equal("rd mr mw me" in one["vma"]["flags"], True, one["vma"]["flags"])

    one, text = report.one(lines, A + 3 * PAGE, options=("--limit", "2"))
    expect_equal(changes(one), [(5, "shrunk"), (6, "unmapped")], "--limit 2")
    expect_members(one["history"], {"events": 6, "left_out": 4}, "--limit 2")
    expect_equal("4 more before these" in text, True, text)

    one, _ = report.one(lines, B)
    expect_equal(changes(one), [(6, "mapped"), (7,), (8, "split")], "B")
    expect_equal((one["mapped_by"]["moved_from"], one["history"]["list"][1]["errno"]),
                 (hex(A), "EACCES"), "B")
    one, text = report.one(lines, B + PAGE)
    expect_equal(changes(one), [(6, "mapped"), (7,), (8, "replaced")], "B's second page")
    expect_members(one["mapped_by"], {"seq": 8}, "B's second page")
    expect_equal(("\x1b" in text, "/a\\x1bb" in text), (False, True), f"name in {text}")

    one, _ = report.one(lines, C)
    expect_equal(changes(one), [(9, "mapped"), (10, "grown"), (10, "shrunk")], "C")
    expect_equal(one["history"]["list"][2]["cause"], "not_captured", "cause")
    one, text = report.one(lines, C + 2 * PAGE)
    expect_equal(changes(one), [(10, "mapped"), (10, "unmapped")], "C's third page")
    expect_members(one["unmapped_by"], {"cause": "not_captured"}, "C's third page")
    expect_equal("a difference from the kernel after call 10" in text, True, text)
    one, text = report.one(lines, 0x400000)
    expect_members(one, {"mapped_by": None, "history": {"events": 0, "left_out": 0, "list": []}}, "text")
    expect_equal("before the trace began" in text, True, text)
    one, text = report.one(lines, 0x7ffffffff000)
    expect_equal(([r["name"] for r in one["regions"]], "beyond the end" in text),
                 (["guard page at the end of user space"], True), "guard page")


def test_changes(report):
    """What each call does to the first page of a vma."""
    def about(name, **args):
        return call(3, name, {"addr": hex(A), "length": 4 * PAGE, **args}, 0)

    cases = [
        (about("madvise", advice=14), ["split", "flags"]),     # MADV_HUGEPAGE
        (about("madvise", advice=4), []), (about("mlock"), ["split", "flags"]),
        (about("mseal", flags=0), ["split", "flags"]), (about("munlock"), []),
        (about("mbind", mode=0, nodemask="0x0", maxnode=0, flags=0), []),
        (about("munmap"), ["unmapped"]), (about("mprotect", prot=0), ["split", "perms"]),
        (mmap(3, A, 4 * PAGE, 1), ["replaced"]), (mmap(3, A + 4 * PAGE, 2 * PAGE, 1), ["split"]),
        (mmap(3, A + 64 * PAGE, PAGE), None), (call(3, "mlockall", {"flags": 1}, 0), ["flags"]),
        (call(3, "mmap", {"addr": hex(A), "length": PAGE, "prot": 3, "flags": 0x100032, "fd": -1,
                          "offset": 0}, None, errno="EEXIST", errno_nr=17), []),
        ({**call(3, "prctl", {"option": 0x53564d41, "arg2": "0x0", "arg3": hex(A), "arg4": hex(4 * PAGE),
                              "arg5": "0x1"}, 0), "name": "x"}, ["split", "name"]),
        (call(3, "process_madvise", {"pidfd": 5, "iov": "0x1", "vlen": 1, "advice": 4, "flags": 0},
              PAGE, ranges=[[hex(A), hex(A + PAGE)]]), []),
        (call(3, "process_madvise", {"pidfd": 5, "iov": "0x1", "vlen": 1, "advice": 4, "flags": 0},
              PAGE, ranges=[[hex(A + PAGE), hex(A + 2 * PAGE)]]), None),
        (call(3, "mremap", {"old_addr": hex(A), "old_size": 16 * PAGE, "new_size": 20 * PAGE, "flags": 0,
                            "new_addr": "0x0"}, hex(A)), ["grown"]),
        (call(3, "mremap", {"old_addr": hex(A), "old_size": 16 * PAGE, "new_size": 8 * PAGE, "flags": 0,
                            "new_addr": "0x0"}, hex(A)), ["shrunk"]),
        (call(3, "mremap", {"old_addr": hex(B), "old_size": PAGE, "new_size": PAGE, "flags": 3,
                            "new_addr": hex(A)}, hex(A)), ["replaced"]),
    ]
    for what, want in cases:
        lines = [header(rules=127 | 256), mmap(1, A, 16 * PAGE), mmap(2, B, PAGE), what]
        one, _ = report.one(lines, A)
        got = [e["changes"] for e in one["history"]["list"] if e["seq"] == 3]
        expect_equal(got, [] if want is None else [want], f"{what['call']} {what['args']}")
    shm = [call(1, "shmat", {"shmid": 1, "addr": "0x0", "flags": 0}, hex(A), len=2 * PAGE,
                file={"dev": "00:01", "inode": 1, "name": "/SYSV00000000 (deleted)", "close": True}),
           call(2, "shmdt", {"addr": hex(A)}, 0)]
    one, _ = report.one([header(), *shm], A + PAGE)
    expect_equal(changes(one), [(1, "mapped"), (2, "unmapped")], "shmat, shmdt")
    brk = [call(i, "brk", {"addr": hex(to)}, hex(to)) for i, to in
           enumerate((A + PAGE, A + 3 * PAGE, A + PAGE), 1)]
    brk_mm = {"task_size": "0x7ffffffff000", "start_brk": hex(A), "brk": hex(A)}
    one, _ = report.one([header(mm=brk_mm), *brk], A)
    expect_equal(changes(one), [(1, "mapped"), (2, "grown"), (3, "shrunk")], "brk")
    expect_equal(one["vma"]["name"], "[heap]", "brk")
    one, _ = report.one([header(mm=brk_mm), *brk], A + PAGE)
    expect_equal(changes(one), [(2, "mapped"), (3, "unmapped")], "brk, next page")


def page_classes(visible):
    classes = [(PRESENT | EXCLUSIVE | SOFT_DIRTY, ANON | 1 << 34, 1, False),
               (PRESENT | EXCLUSIVE, ANON | 1 << 22 | 1 << 15 | 1 << 62, 1, True),
               (SWAPPED | SOFT_DIRTY, None, None, False), (GUARD, None, None, False),
               (PRESENT, 1 << 24, None, False), (PRESENT | FILE, 1 << 5 | 1 << 3 | 1 << 11, 7, None)]
    for i, (pagemap, flags, mapcount, huge) in enumerate(classes, 1):
        c = {"pagemap": hex(pagemap)}
        if visible and flags is not None:
            c["kpageflags"] = hex(flags)
        if visible and mapcount is not None:
            c["mapcount"] = mapcount
        if huge is not None:
            c["huge"] = huge
        if pagemap & SWAPPED:
            c["swap_type"] = 1
        yield i, c


def frames_trace():
    """
    page    0-3   4-5   6   7-9   10-11  12-14  15       C + 2 MiB
    class   1     6         3     4      5      0        2
    frame   4096  4100      4107         9               0x80000
    """
    runs = [[0, 0x1000, 4, 1], [0, 0, 2, 6], [1, 5, 3, 3], [0, -0x100e, 2, 4], [0, 7, 3, 5],
            [0, 0, 1, 0]]
    return [
        header(), vma(0x400000, 0x402000, "r-xp", "/usr/bin/demo", 1), mmap(1, C, 64 * PAGE),
        *checkpoint(2 * MS, "timer", [], [(0x400000, 0x402000, [[0, 0x3000, 1, 0]])]),
        mmap(3, C + (2 << 20), 2 << 20),
        *checkpoint(4 * MS, "SIGUSR1", page_classes(True),
                    [(C, C + 64 * PAGE, runs), (C + (2 << 20), C + (4 << 20), [[0, 0x80000, 512, 2]])]),
        call(5, "madvise", {"addr": hex(C), "length": PAGE, "advice": 4}, 0),
        call(6, "madvise", {"addr": hex(C + PAGE), "length": PAGE, "advice": 4}, 0),
    ]


def test_frames(report):
    lines = frames_trace()
    present = {"entry": "present", "kind": "anon", "pfn": 0x1003, "physical": "0x1003abc",
               "zone": "Normal", "node": 1, "mapped_by": "pte", "exclusive": True,
               "soft_dirty": True, "file": False, "mapcount": 1,
               "flags": ["uptodate", "lru", "anon", "swapbacked", "owner_2"],
               "run": {"start": hex(C), "pages": 6}}
    wants = {
        C + 3 * PAGE + 0xabc: present,
        C + 5 * PAGE: {"entry": "present", "kind": "file", "pfn": 0x1005, "mapped_by": None,
                       "exclusive": False, "file": True, "mapcount": 7, "soft_dirty": False,
                       "run": {"start": hex(C), "pages": 6}},
        C + 6 * PAGE: {"entry": "none", "pfn": "(absent)"},
        C + 8 * PAGE: {"entry": "swapped", "swap": {"type": 1, "offset": 0x100c}, "soft_dirty": True,
                       "pfn": "(absent)"},
        C + 11 * PAGE: {"entry": "guard", "pfn": "(absent)", "soft_dirty": False},
        C + 14 * PAGE: {"entry": "present", "kind": "zero", "pfn": 9, "zone": None, "node": None,
                        "mapcount": None, "run": {"start": hex(C + 14 * PAGE), "pages": 1}},
        C + 15 * PAGE: {"entry": "untold"},
        C + 16 * PAGE: {"entry": "none"},
        C + (3 << 20) + 1: {"entry": "present", "mapped_by": "pmd", "pfn": 0x80100,
                            "physical": "0x80100001", "run": {"start": hex(C + (2 << 20)), "pages": 512},
                            "flags": ["uptodate", "lru", "anon", "swapbacked", "compound_head", "thp",
                                      "bit62"]},
    }
    found, text = report.json(lines, *wants)
    for one, (address, want) in zip(found["addresses"], wants.items()):
        expect_members(one["page"], want, hex(address))
        expect_members(one["page"], {"checkpoint": {"why": "SIGUSR1", "t": 4 * MS, "event": 3},
                                     "event_since": None, "pfns": "visible"}, hex(address))
    for words in ("entry of the PMD", "entry of the PTE", "physical address 0x1003abc", "node 1",
                  "in swap area 1 at offset 4108", "a guard page", "no entry", "mapped only here",
                  "3 calls before the moment"):
        expect_equal(words in text, True, f"{words} in {text}")

    one, text = report.one(lines, C + PAGE + 1)
    expect_equal((one["page"]["entry"], one["page"]["event_since"]), ("present", 6), "touched since")
    expect_equal("call 6 has touched it since" in text, True, text)
    one, _ = report.one(lines, C + PAGE + 1, at="5")
    expect_equal((one["page"]["entry"], one["page"]["event_since"]), ("present", None), "--at 5")
    one, _ = report.one(lines, C + PAGE + 1, at="1")
    expect_members(one["page"], {"checkpoint": {"why": "timer", "t": 2 * MS, "event": 1},
                                 "entry": "none"}, "--at 1: the checkpoint behind the call")
    for at, event in ("3500us", 1), ("4ms", 3):
        one, _ = report.one(lines, C + PAGE + 1, at=at)
        expect_equal(one["page"]["checkpoint"]["event"], event, f"--at {at}")
    one, text = report.one(lines, C, at="0")
    expect_equal((one["page"], "no frames in the trace up to then" in text), (None, True), "--at 0")

    outside = {"ev": "frame_diff", "t": 4 * MS, "cause": "outside", "start": hex(C + (8 << 20)),
               "end": hex(C + (8 << 20) + 2 * PAGE), "pages": 1}
    at_end = [line["ev"] for line in lines].index("frames_end", 10)
    found, text = report.json([*lines[:at_end], outside, *lines[at_end:]], C + (8 << 20) + PAGE,
                              C + (8 << 20) + 2 * PAGE)
    expect_equal([one["page"].get("unaccounted") for one in found["addresses"]], ["outside", None], "diff")
    expect_equal("can't account for (outside)" in text, True, text)

    hidden = [dict(line) for line in lines]
    classes = dict(page_classes(False))
    for line in hidden:
        if line["ev"] == "frames":
            line["pfn"] = "hidden"
        elif line["ev"] == "page_class":
            for key in ("kpageflags", "mapcount"):
                line.pop(key, None)
            expect_equal(line.keys() >= classes[line["id"]].keys(), True, "class")
    one, text = report.one(hidden, C + 3 * PAGE + 0xabc)
    expect_members(one["page"], {"pfns": "hidden", "entry": "present", "kind": "anon", "flags": None,
                                 "mapcount": None, "pfn": "(absent)", "physical": "(absent)",
                                 "run": "(absent)", "soft_dirty": True, "exclusive": True}, "hidden")
    expect_equal("frame hidden" in text, True, text)


H = 0x50000000


def heap_trace():
    """
    H         H+0x100  H+0x200   H+0x300         C, alone
    100 B     0 B      64 B      realloc to …    32 B, outside all mappings
    """
    def ops(tid, t0, *operations):
        return {"ev": "heap", "tid": tid, "t0": t0, "base": hex(H), "ops": list(operations)}

    return [
        header(heap="all"), vma(0x400000, 0x402000, "r-xp", "/usr/bin/demo", 1),
        {"ev": "module", "t": 1, "op": "load", "path": "/usr/bin/demo", "base": "0x400000",
         "segments": [["0x400000", "0x402000", "r-x"]]},
        {"ev": "stack", "id": 1, "parent": 0, "ips": ["0x400100"]},
        {"ev": "stack", "id": 2, "parent": 0, "ips": ["0x400200"]}, mmap(1, H, 1 << 20, t=10),
        mmap(2, H + (1 << 20), PAGE, t=5 * MS),
        # 1 ms: H; 2: 0x100, no bytes; 3: 0x200; 6: H freed by the other thread; 8: H again, shorter
        ops(100, MS, [0, 0, 100, 1], [MS, 0x100, 0, 1], [MS, 0x200, 64, 1], [5 * MS, 0, 16, 2]),
        # 9 ms: 0x200 becomes 0x300
        ops(101, 6 * MS, [0, 0], [3 * MS, 0x300, 128, 2, 0x200, 1000], [MS, C - H, 32, 1]),
        {"ev": "end", "t": 20 * MS, "how": "exit", "status": 0},
    ]


def test_heap(report):
    lines = heap_trace()
    first = {"addr": hex(H), "size": 100, "allocated_t": MS, "allocated_tid": 100, "blocks": 1}
    cases = [
        (H + 50, "2", {**first, "offset": 50, "state": "live", "freed_t": "(absent)"}),
        (H + 99, "2", {**first, "offset": 99, "state": "live"}), (H + 100, "2", None),
        (H + 50, "7ms", {**first, "state": "freed", "freed_t": 6 * MS, "freed_tid": 101}),
        (H + 50, "end", {**first, "state": "freed", "freed_t": 6 * MS}),
        (H + 5, "end", {"addr": hex(H), "size": 16, "state": "live", "allocated_t": 8 * MS, "blocks": 2}),
        (H + 0x100, "end", {"size": 0, "offset": 0, "state": "live"}), (H + 0x101, "end", None),
        (H + 0x210, "end", {"addr": hex(H + 0x200), "state": "freed", "freed_t": 9 * MS - 1000,
                            "freed_tid": 101}),
        (H + 0x310, "end", {"addr": hex(H + 0x300), "size": 128, "state": "live", "allocated_tid": 101}),
        (H + 50, "start", None), (H + 50, "1", None),
        (H + 0x210, "peak", {"state": "live", "size": 64}),
    ]
    for address, at, want in cases:
        one, _ = report.one(lines, address, at=at)
        expect_equal(one["heap"]["mode"], "all", "mode")
        if want is None:
            expect_equal(one["heap"]["block"], None, f"{address:#x} --at {at}")
        else:
            expect_members(one["heap"]["block"], want, f"{address:#x} --at {at}")
    one, text = report.one(lines, H + 50)
    expect_equal(one["heap"]["block"]["stack"][0]["offset"], "0x100", "who allocated")
    expect_members(one["heap"]["below"], {"addr": hex(H), "size": 16, "distance": 34}, "below")
    expect_members(one["heap"]["above"], {"addr": hex(H + 0x100), "distance": 0x100 - 50}, "above")
    for words in ("50 bytes into a freed block of 100 bytes", "freed at 0.006000 s by thread 101",
                  "34 bytes behind the end of a live block of 16 bytes",
                  "206 bytes before a live block of 0 bytes"):
        expect_equal(words in text, True, f"{words} in {text}")
    one, _ = report.one(lines, H + 100, at="4ms")
    expect_members(one["heap"]["below"], {"addr": hex(H), "distance": 0}, "right behind")
    one, _ = report.one(lines, H + 0x80000)
    expect_equal((one["heap"]["below"]["addr"], one["heap"]["above"]), (hex(H + 0x300), None), "same vma")
    one, _ = report.one(lines, 0x400000)
    expect_equal((one["heap"]["below"], one["heap"]["above"]), (None, None), "far off")
    one, _ = report.one(lines, C + 40)
    expect_equal((one["heap"]["below"]["addr"], one["vma"]), (hex(C), None), "outside")
    # A lost free: the address is given out again, and no longer reaches so far.
    lost = [line for line in lines if line.get("tid") != 101]
    one, text = report.one(lost, H + 50)
    expect_members(one["heap"]["block"], {"state": "reused", "size": 100}, "lost")
    expect_equal("given out again" in text, True, text)
    one, text = report.one([header(heap="sample", heap_sample=1000), *lines[1:]], H + 120)
    expect_equal((one["heap"]["mode"], one["heap"]["block"]), ("sample", None), "sample")
    for words in "only a sample of the blocks was recorded", "in no block that the trace knows":
        expect_equal(words in text, True, f"{words} in {text}")
    one, _ = report.one([header(), *lines[1:]], H + 5)
    expect_equal(one["heap"], None, "heap off")


def test_symbols(report, target):
    trace = subprocess.run([target, target], capture_output=True, check=True).stdout
    records = [json.loads(line) for line in trace.splitlines()]
    stack, = [r for r in records if r["ev"] == "stack"]
    outer = int(stack["ips"][1], 16) - 1
    done = report.run_bytes(trace, "-", outer, form=("--json",))
    module = json.loads(done.stdout)["addresses"][0]["module"]
    expect_members(module, {"path": target, "section": ".text", "section_flags": "AX", "relro": False},
                   "module")
    expect_equal(module["symbol"]["name"], "outer_frame(int)", "symbol")
    expect_equal([f["function"] for f in module["frames"]], ["inlined_middle", "outer_frame(int)"], "code")
    names = subprocess.run(["nm", target], capture_output=True, check=True, text=True).stdout
    ips, = [int(line.split()[0], 16) for line in names.splitlines() if line.endswith(" ips")]
    base = int([r for r in records if r["ev"] == "module"][0]["base"], 16)
    done = report.run_bytes(trace, "-", base + ips + 9, form=("--json",))
    module = json.loads(done.stdout)["addresses"][0]["module"]
    expect_members(module, {"section": ".bss", "section_flags": "WA", "offset": hex(ips + 9),
                            "symbol": {"name": "ips", "offset": 9, "size": 16}}, "data")
    text = report.run_bytes(trace, "-", outer, base + ips, form=()).stdout.decode()
    for words in ("section .text (AX)", "symbol       outer_frame(int)+0x", "symbol       ips+0x0 of 0x10",
                  "symbols_target.c:"):
        expect_equal(words in text, True, f"{words} in {text}")
    done = report.run_bytes(trace, "-", outer)
    module = json.loads(done.stdout)["addresses"][0]["module"]
    expect_equal(("section" in module, "symbol" in module, module["path"]), (False, False, target),
                 "--no-symbols")


def test_hostile(report):
    top = (1 << 64) - 1
    lines = [
        header(heap="all", mm={"task_size": hex(top), "mmap_base": hex(top)}),
        {"ev": "module", "t": 1, "op": "load", "path": "/x\u001b[31m", "base": hex(top),
         "build_id": "\u001b", "segments": [["0x0", hex(top), "rwx"]]},
        mmap(1, A, PAGE, stack=77),
        call(2, "mprotect", {"addr": hex(top - 1), "length": -1, "prot": 1}, None, errno="E\u001b",
             errno_nr=1),
        call(3, "mremap", {"old_addr": hex(A), "old_size": top >> 1, "new_size": top >> 1, "flags": 1,
                           "new_addr": hex(top)}, hex((top >> 1) - PAGE + 1)),
        call(4, "munmap", {"addr": "0x0", "length": top >> 1}, 0),
        {"ev": "heap", "tid": 1, "t0": 5, "base": "0x0", "ops": [
            [0, 16, top >> 1, 99], [0, A, 5, 0], [0, -16, 1 << 40, 4000000000]]},
        *checkpoint(6 * MS, "\u001b[2Jlonger than sixteen", [(7, {"pagemap": hex(PRESENT)})],
                    [(A, A + PAGE, [[0, top >> 1, 1, 7]]), (A, A + PAGE, [[0, -5, 1, 4294967295]])]),
    ]
    addresses = (0, A, A + PAGE - 1, 15, 16, top, top - 1, 1 << 47, 1 << 56, (1 << 63) - 1, 1 << 63)
    for at in ("end", "start", "3", "peak"):
        for form in ((), ("--json",)):
            done = report.run(lines, "--at", at, "--stacks", "-", *addresses, form=form)
            expect_equal((done.returncode, done.stderr), (0, b""), f"hostile, --at {at} {form}")
            expect_equal(b"\x1b" in done.stdout, False, f"escape character, --at {at} {form}")
            if form:
                expect_equal(len(json.loads(done.stdout)["addresses"]), len(addresses), "addresses")
    bad = report.run([*lines, {"ev": "frames", "t": 1}], "-", A)
    expect_equal((bad.returncode, bad.stderr[:20]), (2, b"vmtrace-report: -:14"[:20]), "damaged")
    expect_equal(json.loads(bad.stdout)["event"], 4, "what comes before the damage")


def test_usage(report):
    lines = [header()]
    for word in ("zz", "0x", "", "-", "1 ", "10000000000000000", "0x123456789abcdef01", "trace.json",
                 "\u001b", "4k"):
        done = report.run(lines, "-", "400000", word)
        expect_equal((done.returncode, done.stdout, done.stderr.count(b"\n"), b"\x1b" in done.stderr),
                     (2, b"", 1, False), f"address {word!r}")
        expect_equal(b"is no address" in done.stderr, True, done.stderr)
    done = report.run(lines, "-")
    expect_equal((done.returncode, done.stdout, done.stderr.count(b"\n")), (2, b"", 1), "no address")
    for options in (["--at", "x"], ["--limit", "-1"], ["--why"], ["--by", "stack"]):
        done = report.run(lines, *options, "-", "1")
        expect_equal((done.returncode, done.stdout, done.stderr.count(b"\n")), (2, b"", 1), options)
    done = subprocess.run([report.program, "explain", "--help"], capture_output=True, check=False)
    expect_equal((done.returncode, b"TRACE ADDRESS..." in done.stdout), (0, True), "--help")
    done = subprocess.run([report.program, "explain", "/nonexistent/trace", "1"], capture_output=True,
                          check=False)
    expect_equal((done.returncode, done.stderr.count(b"\n")), (2, 1), "no trace")


def test_manual(manual):
    """Each member stands in the manual page, or is one of maps, events or heap."""
    text = manual.read_text().split(".Sh JSON OF EXPLAIN")[1].split(".Sh ")[0]
    said = set(re.findall(r"\w+", " ".join(re.findall(r"Va (.*)", text))))
    elsewhere = set("4 5 pgd p4d pud pmd pte offset last name randomized perms dev inode seq t tid call args "
                    "errno ret origin stack why event type pages start end addr size mode allocated_t "
                    "allocated_tid freed_t freed_tid blocks ip function line levels address".split())
    expect_equal(seen - said - elsewhere, set(), "members that the manual lacks")


def main():
    report, target = Report(sys.argv[1]), str(pathlib.Path(sys.argv[2]).resolve())
    for test in (test_address, test_history, test_changes, test_frames, test_heap, test_hostile,
                 test_usage):
        test(report)
    test_symbols(report, target)
    test_manual(pathlib.Path(sys.argv[3]))
    sys.exit(status())


if __name__ == "__main__":
    main()

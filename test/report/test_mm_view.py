#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""mm over composed traces: page tables, RSS counters and the kernel's objects behind the vmas.

Usage: test_mm_view.py REPORT
"""
import random
import sys

from composed import (ANON, FILE, GUARD, HEAD, HUGETLB, KSM, PAGE, PRESENT, RESERVED, SWAPBACKED, SWAPPED,
                      TAIL, THP, ZERO, Report, Trace)
from expect import expect_equal, expect_members, status

MIB2, GIB, GIB512 = 1 << 21, 1 << 30, 1 << 39
MMAP = 1 << 11
SLAB = {name: {"object_bytes": size, "active": 10, "total": 20} for name, size in
        {"vm_area_struct": 192, "mm_struct": 1600, "anon_vma": 104, "anon_vma_chain": 64,
         "maple_node": 256}.items()}


def pages_of(report, trace):
    return report.json(trace, "mm")["pages"]


def tables_of(report, trace):
    return pages_of(report, trace)["page_tables"]


def simple(*runs, kernel=None, vma=None, pagemap=PRESENT, **members):
    """One vma around the runs (address, pages), all of one class."""
    trace = Trace()
    start, end = vma or (runs[0][0], runs[-1][0] + runs[-1][1] * PAGE)
    trace.vma(start, end, "rw-p", **({"flags": members.pop("flags")} if "flags" in members else {}))
    trace.checkpoint(**({"pgtables_bytes": kernel * PAGE} if kernel is not None else {}))
    number = trace.page_class(pagemap, **members)
    trace.frames(start, end, *((address, pages, number) for address, pages in runs))
    trace.frames_end()
    return trace


def expect_tables(got, pte, pmd, pud, kept, what):
    expect_members(got["needed"], {"pte": pte, "pmd": pmd, "pud": pud, "pgd": 1}, what)
    expect_members(got, {"kept_with_huge_pages": kept, "counted_bytes": (pte + pmd + pud + kept) * PAGE},
                   what)


def test_levels(report):
    base = 0x100000000000
    expect_tables(tables_of(report, simple((base, 1))), 1, 1, 1, 0, "a page")
    for pagemap, what in (SWAPPED, "in swap"), (SWAPPED | GUARD, "guarded"):
        expect_tables(tables_of(report, simple((base, 1), pagemap=pagemap, kpageflags=None,
                                               mapcount=None)), 1, 1, 1, 0, what)
    # Two pages on each side of a boundary of each level.
    for step, pte, pmd, pud in (MIB2, 2, 1, 1), (GIB, 2, 2, 1), (GIB512, 2, 2, 2):
        expect_tables(tables_of(report, simple((base + step - PAGE, 2))), pte, pmd, pud, 0, f"at {step:#x}")
    # Sparse: one page each GiB over 600 GiB.
    got = tables_of(report, simple(*((base + i * GIB, 1) for i in range(600))))
    expect_tables(got, 600, 600, 2, 0, "sparse")
    expect_members(got["if_filled"], {"pte": 599 * 512 + 1, "pmd": 600, "pud": 2}, "filled")
    expect_equal((got["five_levels"], got["needed"]["p4d"], got["kernel_bytes"]), (False, 0, None), "p4d")
    # Addresses of five levels: 256 TiB to a P4D entry's table of 512 PUDs.
    got = tables_of(report, simple((base, 1), ((3 << 48) - PAGE, 2), vma=(base, (3 << 48) + PAGE)))
    expect_tables(got, 3, 3, 3, 0, "five levels")
    expect_members(got, {"five_levels": True}, "five levels")
    expect_equal(got["needed"]["p4d"], 3, "five levels")


def test_huge(report):
    base = 0x100000000000
    thp = {"kpageflags": ANON | SWAPBACKED | THP, "huge": True}
    expect_tables(tables_of(report, simple((base, 1024), **thp)), 0, 1, 1, 2, "anonymous")
    expect_tables(tables_of(report, simple((base, 512), kpageflags=ZERO | THP, mapcount=0, huge=True)),
                  0, 1, 1, 1, "the huge zero page")
    shmem = {"pagemap": PRESENT | FILE, "kpageflags": SWAPBACKED | THP, "huge": True}
    expect_tables(tables_of(report, simple((base, 512), **shmem)), 0, 1, 1, 0, "shared")
    # PFNs hidden: the bits of pagemap and the kernel's word for huge still tell.
    expect_tables(tables_of(report, simple((base, 512), kpageflags=None, mapcount=None, huge=True)),
                  0, 1, 1, 1, "hidden")
    # Before Linux 6.7 there is no such word; a table is there either way.
    got = tables_of(report, simple((base, 512), kpageflags=ANON | THP, huge=None))
    expect_tables(got, 1, 1, 1, 0, "unknown")
    expect_equal(got["huge_known"], False, "unknown")
    # A page of a huge one that was split off for itself.
    trace = Trace()
    trace.vma(base, base + 2 * MIB2, "rw-p")
    trace.checkpoint()
    huge, small = trace.page_class(**thp), trace.page_class()
    trace.frames(base, base + 2 * MIB2, (base, 512, huge), (base + MIB2 + PAGE, 3, small))
    trace.frames_end()
    expect_tables(tables_of(report, trace), 1, 1, 1, 1, "beside")
    # hugetlb, of 2 MiB and of 1 GiB: a head and its tails.
    for pages, pmd in (512, 1), (GIB // PAGE, 0):
        trace = Trace()
        trace.vma(base, base + pages * PAGE, "rw-p", flags=hex(0x400073))
        trace.checkpoint()
        head = trace.page_class(kpageflags=ANON | HUGETLB | HEAD, huge=True)
        tail = trace.page_class(kpageflags=ANON | HUGETLB | TAIL, huge=True)
        trace.frames(base, base + pages * PAGE, (base, 1, head), (base + PAGE, pages - 1, tail))
        trace.frames_end()
        expect_tables(tables_of(report, trace), 0, pmd, 1, 0, f"hugetlb {pages}")


def test_kernel(report):
    """The kernel's count beside ours, and why it may be greater."""
    base = 0x100000000000
    trace = simple((base, 1), kernel=3)
    expect_members(tables_of(report, trace), {"kernel_bytes": 3 * PAGE, "counted_bytes": 3 * PAGE}, "equal")
    expect_equal("12.0 KiB  equal\n" in report.text(trace, "mm"), True, "equal")
    # 8 MiB were written; half was given back, and the rest of what is in the way of a table unmapped.
    trace = Trace()
    trace.vma(base, base + 4 * MIB2, "rw-p")
    trace.call("madvise", 0, 0, addr=base + MIB2 + PAGE, length=2 * MIB2, advice=4)
    trace.call("madvise", 0, 0, addr=base, length=MIB2, advice=3)
    trace.call("munmap", 0, 0, addr=base + MIB2 - PAGE, length=PAGE)
    trace.checkpoint(pgtables_bytes=7 * PAGE)
    number = trace.page_class()
    trace.frames(base, base + MIB2 - PAGE, (base, 1, number))
    trace.frames_end()
    got = tables_of(report, trace)
    expect_tables(got, 1, 1, 1, 0, "emptied")
    expect_equal(got["emptied_at_most"], {"pte": 3, "pmd": 0, "pud": 0}, "emptied")
    expect_equal(got["emptied_by_vmtrace"], {"pte": 0, "pmd": 0, "pud": 0}, "emptied")
    text = report.text(trace, "mm")
    for want in "4 tables more than these pages need", "up to 3 under pages taken away", \
                "1 for other reasons":
        expect_equal(want in text, True, want)
    # A fork's child has the parent's tables, though not the calls that emptied them.
    child = Trace(parent={"pid": 99, "trace": None, "event": 1}, reason="fork")
    child.checkpoint(pgtables_bytes=9 * PAGE)
    child.frames_end()
    expect_equal("fork copied" in report.text(child, "mm"), True, "fork")
    expect_equal(tables_of(report, child)["copied_by_fork"], True, "fork")
    # What is unmapped takes its tables along.
    trace.lines.insert(-4, {"ev": "call", "seq": 4, "t": trace.t, "tid": 100, "call": "munmap", "ret": 0,
                            "args": {"addr": hex(base + MIB2), "length": 3 * MIB2}, "origin": "app",
                            "stack": 0})
    expect_equal(tables_of(report, trace)["emptied_at_most"], {"pte": 0, "pmd": 0, "pud": 0}, "unmapped")


def test_random(report):
    """Tables counted by sets of their numbers."""
    rng = random.Random(3)
    for _ in range(20):
        trace = Trace()
        base, calls = 0x100000000000, []
        vmas, at = [], base
        for _ in range(rng.randrange(1, 6)):
            at += rng.randrange(5) * rng.choice([PAGE, MIB2, GIB])
            size = rng.randrange(1, 9) * rng.choice([PAGE, 100 * PAGE, MIB2, GIB])
            vmas.append((at, at + size))
            trace.vma(at, at + size, "rw-p")
            at += size + PAGE
        for _ in range(rng.randrange(5)):
            start = rng.randrange(base, at) & -PAGE
            calls.append((start, rng.randrange(1, 2000) * PAGE))
            trace.call("madvise", 0, 0, addr=start, length=calls[-1][1], advice=4, origin="self")
        trace.checkpoint()
        number, used = trace.page_class(), set()
        for start, end in vmas:
            runs, page = [], start
            while (page := page + rng.randrange(800) * PAGE) < end and len(runs) < 300:
                pages = min(rng.randrange(1, 300), (end - page) // PAGE)
                runs.append((page, pages, number))
                used |= {page // PAGE + i for i in range(pages)}
                page += pages * PAGE
            if runs:
                trace.frames(start, end, *runs)
        trace.frames_end()
        got = tables_of(report, trace)
        emptied = {table for start, size in calls
                   for table in range(start // MIB2, (start + size - 1) // MIB2 + 1)
                   if any(a // MIB2 <= table <= (b - 1) // MIB2 for a, b in vmas)}
        for level, shift in ("pte", 9), ("pmd", 18), ("pud", 27):
            have = {page >> shift for page in used}
            expect_equal(got["needed"][level], len(have), f"random {level}")
            more = {table << 9 >> shift for table in emptied} - have
            expect_equal(got["emptied_at_most"][level], len(more), f"random emptied {level}")
        expect_equal(got["emptied_by_vmtrace"], got["emptied_at_most"], "random emptied by vmtrace")


def test_rss(report):
    base = 0x100000000000
    trace = Trace()
    trace.vma(base, base + 64 * PAGE, "rw-p")
    trace.checkpoint(rss_anon_bytes=7 * PAGE, rss_file_bytes=5 * PAGE, rss_shmem_bytes=PAGE)
    kinds = [(5, trace.page_class()), (2, trace.page_class(kpageflags=ANON | KSM)),
             (3, trace.page_class(PRESENT | FILE, 0)), (1, trace.page_class(PRESENT | FILE, SWAPBACKED)),
             (4, trace.page_class(kpageflags=ZERO, mapcount=0)),
             (6, trace.page_class(kpageflags=RESERVED, mapcount=0)),
             (1, trace.page_class(PRESENT | FILE, RESERVED | MMAP, 9)),
             (7, trace.page_class(kpageflags=ANON | HUGETLB | TAIL)),
             (2, trace.page_class(SWAPPED, None, None)), (3, trace.page_class(SWAPPED | GUARD, None, None))]
    at, runs = base, []
    for pages, number in kinds:
        runs.append((at, pages, number))
        at += pages * PAGE
    trace.frames(base, base + 64 * PAGE, *runs)
    trace.timed("frames_end", resident=trace.resident, swapped=2, rss_before=12, rss_after=13, faults=1)
    rss = pages_of(report, trace)["rss"]
    expect_equal(rss["kinds_pages"], {"anon": 5, "file": 3, "shmem": 1, "ksm": 2, "zero": 4, "hugetlb": 7,
                                      "special": 7, "swap": 2, "guard": 3}, "kinds")
    for name, pages, kernel in ("anon", 7, 7), ("file", 4, 5), ("shmem", 1, 1):
        expect_equal(rss[name], {"bytes": pages * PAGE, "kernel_bytes": kernel * PAGE}, name)
    expect_members(rss, {"bytes": 12 * PAGE, "uncounted_bytes": 17 * PAGE, "kinds_known": True,
                         "kernel_bytes_before": 12 * PAGE}, "rss")
    hidden = simple((base, 3), kpageflags=None, mapcount=None)
    expect_equal(pages_of(report, hidden)["rss"]["kinds_known"], False, "hidden")
    expect_equal("without /proc/kpageflags" in report.text(hidden, "mm"), True, "hidden")


def test_objects(report):
    base = 0x100000000000
    trace = Trace()
    for i in range(100):
        trace.vma(base + 2 * i * PAGE, base + (2 * i + 1) * PAGE, "rw-p",
                  **({"anon_vma": True} if i < 3 else {}))
    trace.checkpoint(slab=SLAB)
    number = trace.page_class()
    for i in 0, 5, 6:
        trace.frames(base + 2 * i * PAGE, base + (2 * i + 1) * PAGE, (base + 2 * i * PAGE, 1, number))
    trace.frames_end()
    got = pages_of(report, trace)["kernel_memory"]
    wants = {"vm_area_struct": (100, 192, "exact"), "mm_struct": (1, 1600, "exact"),
             "anon_vma": (5, 104, "estimate"), "anon_vma_chain": (5, 64, "at_least"),
             "maple_node": (13 + 2 + 1, 256, "estimate")}	# 201 ranges
    for name, (nr, size, sure) in wants.items():
        expect_equal(got["objects"][name], {"objects": nr, "sureness": sure, "object_bytes": size,
                                            "bytes": nr * size}, name)
    expect_members(got, {"objects_bytes": sum(nr * size for nr, size, _ in wants.values()),
                         "slabinfo_error": None}, "objects")
    trace = Trace()
    trace.checkpoint(unreadable={"slabinfo": "EACCES"})
    trace.frames_end()
    got = pages_of(report, trace)["kernel_memory"]
    expect_equal((got["slabinfo_error"], got["objects"]["mm_struct"]["bytes"]), ("EACCES", None), "EACCES")
    text = report.text(trace, "mm")
    expect_equal("not readable: /proc/slabinfo (EACCES)" in text, True, text)


def test_hostile(report):
    """Ranges of nearly all addresses; a checkpoint that was cut short; none at all."""
    got = tables_of(report, simple((PAGE, (1 << 52) - 3)))
    expect_equal(got["needed"]["pte"], 1 << 43, "enormous")
    trace = simple((PAGE, (1 << 52) - 3), kernel=(1 << 63) // PAGE - 1, huge=True)
    trace.lines[2:2] = [{"ev": "call", "seq": seq, "t": 1, "tid": 1, "call": "madvise", "ret": 0,
                         "stack": 0, "origin": "app", "args": {"addr": "0xfffffffffffff000",
                                                               "length": size, "advice": 4}}
                        for seq, size in enumerate((1, 1 << 62), 1)]
    report.text(trace, "mm")
    report.json(trace, "mm")
    trace = simple((0x1000, 1))
    del trace.lines[-1]
    expect_equal("pages" in report.json(trace, "mm"), False, "cut short")
    expect_equal("pages" in report.json(Trace(), "mm"), False, "none")
    # Another checkpoint without frames leaves the figures of the one that had them.
    trace = simple((0x1000, 1), kernel=3)
    trace.timed("checkpoint", why="end")
    trace.timed("mm", shadow={}, kernel={"pgtables_bytes": 0})
    expect_equal(tables_of(report, trace)["kernel_bytes"], 3 * PAGE, "a later one")


def main():
    report = Report(sys.argv[1])
    for test in (test_levels, test_huge, test_kernel, test_random, test_rss, test_objects, test_hostile):
        test(report)
    return status()


if __name__ == "__main__":
    sys.exit(main())

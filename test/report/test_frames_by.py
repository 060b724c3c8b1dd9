#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""frames --by over composed traces: who owns which resident bytes.

Usage: test_frames_by.py REPORT
"""
import random
import sys

from composed import (ANON, GUARD, PAGE, SWAPBACKED, SWAPPED, THP, ZERO, Report, Trace)
from expect import expect_equal, expect_members, status

HEAP = 0x555555558000
AREA = 0x7f4000000000


def demo(heap="off"):
    """Return: the trace, and its stacks by name: demo calls libapp, which maps or allocates."""
    trace = Trace(heap)
    trace.vma(0x400000, 0x402000, "r-xp", "/usr/bin/demo", 1)
    trace.vma(0x7f2000000000, 0x7f2000002000, "r-xp", "/usr/lib/libapp.so", 4)
    trace.vma(0x7ffffffde000, 0x7ffffffff000, "rw-p", "[stack]", flags="0x173")
    trace.module("/usr/bin/demo", 0x400000, 0x402000)
    trace.module("/usr/lib/libapp.so", 0x7f2000000000, 0x7f2000002000)
    return trace, {"demo": trace.stack(0x400100, 0x400200), "app": trace.stack(0x400100, 0x7f2000000100),
                   "other": trace.stack(0x400100, 0x7f2000000900)}


def owners(got):
    """{(how, what): row}; what: the offset of the innermost frame, a name, or a thread."""
    rows = {}
    for row in got["top"]:
        stack = row.get("stack")
        what = row.get("name", row.get("tid", stack[0]["offset"] if stack else None))
        expect_equal((row["how"], what) in rows, False, f"{row['how']} {what} twice")
        rows[row["how"], what] = row
    return rows


def expect_sums(report, trace, what):
    """However it is summed up, the rows add up to what is resident."""
    for by in "stack", "module", "function", "thread":
        got = report.json(trace, "frames", "--by", by, "--limit", "0")
        expect_equal(got["groups"], len(got["top"]), f"{what}: groups by {by}")
        for key in "resident_bytes", "swapped_bytes":
            expect_equal(sum(row[key] for row in got["top"]), got[key], f"{what}: {key} by {by}")
        expect_equal(got["resident_bytes"], trace.resident * PAGE, f"{what}: resident by {by}")


def test_mapped(report):
    trace, stacks = demo()
    trace.mmap(AREA, 16 * PAGE, stacks["demo"])
    trace.mmap(AREA + 16 * PAGE, 16 * PAGE, stacks["app"], tid=101)
    # It moves, and grows; then grows where it is.
    trace.call("mremap", AREA + (1 << 30), stacks["other"], old_addr=AREA + 8 * PAGE, old_size=8 * PAGE,
               new_size=12 * PAGE, flags=1, new_addr=0)
    trace.call("mremap", AREA + (1 << 30), stacks["app"], old_addr=AREA + (1 << 30), old_size=12 * PAGE,
               new_size=14 * PAGE, flags=1, new_addr=0)
    trace.call("brk", HEAP + 8 * PAGE, stacks["demo"], addr=HEAP + 8 * PAGE)
    trace.call("brk", HEAP + 12 * PAGE - 5, stacks["app"], addr=HEAP + 12 * PAGE - 5)
    trace.checkpoint()
    anon, twice = trace.page_class(), trace.page_class(mapcount=2)
    swap = trace.page_class(SWAPPED, None, None)
    guard = trace.page_class(SWAPPED | GUARD, None, None)
    huge = trace.page_class(kpageflags=ANON | SWAPBACKED | THP, huge=True)
    trace.frames(0x400000, 0x402000, (0x400000, 2, twice))
    trace.frames(HEAP, HEAP + 12 * PAGE, (HEAP, 12, anon))
    trace.frames(AREA, AREA + 8 * PAGE, (AREA, 3, anon), (AREA + 4 * PAGE, 2, swap),
                 (AREA + 6 * PAGE, 1, guard))
    trace.frames(AREA + 16 * PAGE, AREA + 32 * PAGE, (AREA + 16 * PAGE, 16, huge))
    trace.frames(AREA + (1 << 30), AREA + (1 << 30) + 14 * PAGE, (AREA + (1 << 30) + 10 * PAGE, 4, anon))
    trace.frames(0x7ffffffde000, 0x7ffffffff000, (0x7fffffffe000, 1, anon))
    trace.frames_end()
    # What comes after the checkpoint does not count.
    trace.call("munmap", 0, stacks["demo"], addr=AREA, length=16 * PAGE)
    trace.mmap(AREA, 16 * PAGE, stacks["other"])
    expect_sums(report, trace, "mapped")
    got = report.json(trace, "frames", "--by", "stack")
    expect_members(got, {"pss_bytes": 37 * PAGE, "huge_bytes": 16 * PAGE, "event": 6, "complete": True,
                         "swapped_bytes": 2 * PAGE, "pages": 40, "blocks": False}, "mapped")
    rows = owners(got)
    expect_equal({key: (row["resident_bytes"] // PAGE, row["pages"]) for key, row in rows.items()},
                 {("mapped", "0x200"): (8 + 3, 13), ("mapped", "0x100"): (4 + 16 + 2, 22),
                  ("mapped", "0x900"): (2, 2), ("start", "/usr/bin/demo"): (2, 2),
                  ("start", "[stack]"): (1, 1)}, "mapped")
    expect_members(rows["mapped", "0x100"], {"huge_bytes": 16 * PAGE, "pss_bytes": 22 * PAGE}, "huge")
    expect_members(rows["start", "/usr/bin/demo"], {"pss_bytes": PAGE}, "shared")
    expect_members(owners(report.json(trace, "frames", "--by", "module"))["mapped", "libapp.so"],
                   {"resident_bytes": 24 * PAGE, "stacks": 2}, "module")
    expect_members(owners(report.json(trace, "frames", "--by", "thread"))["mapped", 101],
                   {"resident_bytes": 16 * PAGE}, "thread")


def test_fixed(report):
    """What was mapped over an older mapping is the newer one's, and the rest stays."""
    trace, stacks = demo()
    trace.mmap(AREA, 8 * PAGE, stacks["demo"])
    trace.mmap(AREA + 2 * PAGE, 2 * PAGE, stacks["app"], flags=0x32)
    trace.checkpoint()
    trace.frames(AREA, AREA + 8 * PAGE, (AREA, 8, trace.page_class()))
    trace.frames_end()
    expect_sums(report, trace, "fixed")
    rows = owners(report.json(trace, "frames", "--by", "stack"))
    expect_equal({key: row["resident_bytes"] // PAGE for key, row in rows.items()},
                 {("mapped", "0x200"): 6, ("mapped", "0x100"): 2}, "fixed")


def heap_line(trace, t0, base, *blocks):
    """blocks: (address, size, stack)"""
    trace.add("heap", tid=100, t0=t0, base=hex(base),
              ops=[[0, address - base, size, stack] for address, size, stack in blocks])


def test_blocks(report):
    trace, stacks = demo("all")
    trace.call("brk", HEAP + 8 * PAGE, stacks["other"], addr=HEAP + 8 * PAGE)
    heap_line(trace, trace.t, HEAP,
              (HEAP + 16, 1000, stacks["demo"]),		# two on one page
              (HEAP + 1040, 2000, stacks["app"]),
              (HEAP + 2 * PAGE - 96, 2 * PAGE, stacks["app"]),	# on three pages, one is not there
              (HEAP + 7 * PAGE - 10, 0, stacks["demo"]))	# without bytes
    trace.checkpoint()
    anon, swap = trace.page_class(), trace.page_class(SWAPPED, None, None)
    trace.frames(HEAP, HEAP + 8 * PAGE, (HEAP, 2, anon), (HEAP + 3 * PAGE, 1, swap),
                 (HEAP + 6 * PAGE, 2, anon))
    trace.frames_end()
    # Allocated after the checkpoint.
    heap_line(trace, trace.t + 1000, HEAP, (HEAP + 6 * PAGE, PAGE, stacks["demo"]))
    expect_sums(report, trace, "blocks")
    rows = owners(report.json(trace, "frames", "--by", "stack"))
    expect_equal({key: (row["resident_bytes"], row["swapped_bytes"], row["pages"])
                  for key, row in rows.items()},
                 {("heap", "0x200"): (1000, 0, 1), ("heap", "0x100"): (2096, PAGE - 96, 3),
                  ("heap_free", "0x900"): (4 * PAGE - 3096, 96, 5)}, "blocks")
    text = report.text(trace, "frames", "--by", "stack")
    expect_equal("heap, allocated by\n" in text and "free heap memory, mapped by\n" in text, True, text)
    text = report.text(trace, "frames", "--by", "thread", "--limit", "1")
    expect_equal("and 1 more (--limit 0 shows all)" in text, True, text)


def test_areas(report):
    """An arena is a heap; what else libc maps is not; another allocator's is where its blocks are."""
    trace, stacks = demo("all")
    arena = 0x7f5800000000
    trace.mmap(arena, 64 << 20, stacks["demo"], prot=0, flags=0x4022, origin="libc")
    trace.mmap(AREA, 4 * PAGE, stacks["app"], origin="libc")
    trace.mmap(AREA + (1 << 30), 4 * PAGE, stacks["other"])
    heap_line(trace, trace.t, arena, *((at + 16, 100, stacks["other"])
                                       for at in (arena, AREA, AREA + (1 << 30))))
    trace.checkpoint("timer")
    anon, zero = trace.page_class(), trace.page_class(kpageflags=ZERO, mapcount=0)
    for start, pages in (AREA, 4), (AREA + (1 << 30), 4), (arena, 3):
        trace.frames(start, start + pages * PAGE, (start, pages, anon if pages == 4 else zero))
    trace.frames(0x7f6000000000, 0x7f6000001000, (0x7f6000000000, 1, 0), own=True)
    expect_sums(report, trace, "areas")
    got = report.json(trace, "frames", "--by", "stack")
    expect_equal((got["complete"], got["why"], got["pss_bytes"]), (False, "timer", None), "cut short")
    expect_equal({key: (row["resident_bytes"], row["pages"]) for key, row in owners(got).items()},
                 {("mapped", "0x100"): (4 * PAGE, 4), ("heap", "0x900"): (200, 2),
                  ("mapped", "0x900"): (4 * PAGE - 100, 4), ("heap_free", "0x200"): (3 * PAGE - 100, 3),
                  ("own", ""): (PAGE, 1)}, "areas")


def test_unseen(report):
    trace, stacks = demo()
    trace.mmap(AREA, 4 * PAGE, stacks["demo"])
    trace.timed("diff", seq=1, cause="not_captured", fields=["mapped"], start=hex(AREA + 2 * PAGE),
                end=hex(AREA + 6 * PAGE), shadow=[[hex(AREA), hex(AREA + 4 * PAGE), "rw-p", 0, "00:00", 0, ""]],
                kernel=[[hex(AREA), hex(AREA + 6 * PAGE), "rw-p", 0, "00:00", 0, ""]])
    trace.checkpoint()
    anon = trace.page_class()
    trace.frames(AREA, AREA + 6 * PAGE, (AREA, 6, anon))
    # The first checkpoint is replaced by a second one, which has fewer pages.
    trace.checkpoint()
    trace.frames(AREA, AREA + 6 * PAGE, (AREA + PAGE, 5, anon))
    trace.frames_end()
    expect_sums(report, trace, "unseen")
    expect_equal(report.json(trace, "frames", "--by", "stack")["complete"], True, "unseen")
    trace.lines[-1]["resident"] += 1
    expect_equal(report.json(trace, "frames", "--by", "stack")["complete"], False, "a page is missing")
    rows = owners(report.json(trace, "frames", "--by", "stack"))
    expect_equal({key: row["resident_bytes"] // PAGE for key, row in rows.items()},
                 {("mapped", "0x200"): 1, ("unseen", ""): 4}, "unseen")


def test_random(report):
    """Blocks, some of which overlap, on runs that begin and end anywhere."""
    rng = random.Random(5)
    for _ in range(20):
        trace, stacks = demo("all")
        trace.call("brk", HEAP + 64 * PAGE, stacks["other"], addr=HEAP + 64 * PAGE)
        blocks = [(HEAP + rng.randrange(64 * PAGE), rng.choice([0, 24, 500, PAGE, 9 * PAGE]),
                   stacks[rng.choice(["demo", "app"])]) for _ in range(rng.randrange(80))]
        heap_line(trace, trace.t, HEAP, *blocks)
        trace.checkpoint()
        classes = [trace.page_class(), trace.page_class(SWAPPED, None, None), 0]
        at, runs = HEAP, []
        while (at := at + rng.randrange(3) * PAGE) < HEAP + 64 * PAGE:
            pages = rng.randrange(1, (HEAP + 64 * PAGE - at) // PAGE + 1) if rng.random() < .2 else 1
            runs.append((at, pages, rng.choice(classes)))
            at += pages * PAGE
        trace.frames(HEAP, HEAP + 64 * PAGE, *runs)
        trace.frames_end()
        expect_sums(report, trace, "random")
        # The same by hand, page for page and byte for byte.
        owner = {}
        for start, size, stack in sorted(blocks, key=lambda b: (b[0], b[0] + b[1])):
            for byte in range(start, start + size):
                owner.setdefault(byte, stack)
        wants = {}
        for address, pages, number in runs:
            if number != classes[1]:
                for byte in range(address, address + pages * PAGE):
                    wants[owner.get(byte, 0)] = wants.get(owner.get(byte, 0), 0) + 1
        rows = owners(report.json(trace, "frames", "--by", "stack"))
        keys = {0: ("heap_free", "0x900"), stacks["demo"]: ("heap", "0x200"),
                stacks["app"]: ("heap", "0x100")}
        expect_equal({key: row["resident_bytes"] for key, row in rows.items() if row["resident_bytes"]},
                     {keys[stack]: size for stack, size in wants.items()}, "random")


def test_hostile(report):
    """Ranges beyond all memory, lines out of order, blocks at the end of everything."""
    trace, stacks = demo("all")
    trace.mmap(AREA, 1 << 46, stacks["demo"])
    heap_line(trace, trace.t, 0, (AREA + 5, (1 << 63) - 1, stacks["app"]),
              ((1 << 63) - 1, 1 << 62, stacks["app"]))
    trace.checkpoint()
    anon = trace.page_class()
    trace.frames(PAGE, 1 << 62, (PAGE, (1 << 50) - 1, anon))
    trace.resident -= (1 << 50) - 1
    trace.resident += 1
    trace.lines.pop()
    trace.frames(AREA, 1 << 62, (AREA, 1, 99))
    trace.frames(PAGE, 2 * PAGE, (PAGE, 1, anon))
    trace.resident -= 1
    trace.frames_end()
    trace.resident -= 1
    expect_sums(report, trace, "hostile")
    trace, stacks = demo()
    trace.checkpoint()
    trace.frames(PAGE, 1 << 62, (PAGE, (1 << 50) - 1, trace.page_class()))
    expect_sums(report, trace, "enormous")
    trace = demo()[0]
    got = report.json(trace, "frames", "--by", "stack")
    expect_members(got, {"resident_bytes": 0, "groups": 0, "top": []}, "nothing")
    expect_equal("no frames in this trace" in report.text(trace, "frames", "--by", "module"), True, "none")
    for argv, want in (("--by", "size"), b"the view 'frames' has no '--by size'"), \
                      (("--by", "colour"), b"--by: 'colour' is no valid value"), \
                      (("--by", "stack", "--sort", "live"), b"the view 'frames' has no option '--sort'"):
        done = report.run(trace, "frames", *argv)
        expect_equal((want in done.stderr, done.stderr.count(b"\n"), done.returncode), (True, 1, 2),
                     f"{argv}: {done.stderr}")


def main():
    report = Report(sys.argv[1])
    for test in (test_mapped, test_fixed, test_blocks, test_areas, test_unseen, test_random, test_hostile):
        test(report)
    return status()


if __name__ == "__main__":
    sys.exit(main())

# SPDX-License-Identifier: MIT
"""
The pages and frames of a trace against what a program has read of itself, page by page, and against
the kernel's own sums.

The runs are decoded here, from TRACE.md, not by vmtrace-report.
"""
import contextlib
import fcntl
import json
import os
import pathlib
import re

import harness
import workloads
from harness import case, expect, expect_equal

PAGE_BITS = 12
PM_BITS = ((1 << 64) - 1) ^ ((1 << 55) - 1)
PRESENT, SWAP, FILE, GUARD, EXCLUSIVE = (1 << bit for bit in (63, 62, 61, 58, 56))
FLAG_ZERO, FLAG_THP, FLAG_NOPAGE = 1 << 24, 1 << 22, 1 << 20
# Set and cleared by reclaim and by batches that drain: locked, referenced, lru, active, writeback,
# reclaim, unevictable, idle, mlocked.
UNSTEADY = sum(1 << bit for bit in (0, 2, 5, 6, 8, 9, 18, 25, 33))
MOVED_MAX = 16
# Pages: what the recorder lets go of together, and a chunk.
RETIRED_MAX = (512 + 64 << 10) // harness.PAGE
TRIES = 10
NR_HUGEPAGES = pathlib.Path("/proc/sys/vm/nr_hugepages")


class Page:
    def __init__(self, number, cls):
        self.number, self.cls = number, cls


def one_frame(cls):
    return int(cls.get("kpageflags", "0x0"), 16) & (FLAG_ZERO | FLAG_THP) == FLAG_ZERO


def decode(line, classes):
    """A frames line -> pages by address."""
    pages, at, number, cls = {}, int(line["start"], 16), 0, 0
    hidden = line["pfn"] == "hidden"
    for run in line["runs"]:
        gap, step, count, cls = (run + [0, 1, cls][len(run) - 1:])[:4]
        expect(not hidden or not step, f"a frame is claimed at {at:x}")
        at += gap << PAGE_BITS
        number += step
        for i in range(count):
            expect(at not in pages, f"two pages at {at:x}")
            pages[at] = Page(number if one_frame(classes[cls]) else number + i, classes[cls])
            at += 1 << PAGE_BITS
        number += count
    expect(at <= int(line["end"], 16), f"runs end at {at:x}, beyond {line['end']}")
    return pages


def counted(pages, line):
    """The line's sums are those of its runs."""
    bits = [int(page.cls["pagemap"], 16) for page in pages.values()]
    sums = {"resident": sum(bool(b & PRESENT) for b in bits),
            "swapped": sum(b & (SWAP | GUARD) == SWAP for b in bits)}
    for name, value in sums.items():
        expect_equal(line[name], value, f"{name} of the line at {line['start']}")


class Checkpoint:
    """The lines of one checkpoint."""

    def __init__(self, why):
        self.why, self.pages, self.diffs, self.lines = why, {}, [], []
        self.topology = self.end = self.mm = None
        self.written = 0  # bytes, while the pages were read


def checkpoints(trace):
    found, classes = [], {}
    for record in harness.records(trace):
        kind = record["ev"]
        if kind == "checkpoint":
            found.append(Checkpoint(record["why"]))
        elif kind == "mm":
            found[-1].mm = record
        elif kind == "topology":
            found[-1].topology = record
        elif kind == "page_class":
            expect_equal(record["id"], len(classes) + 1, "ids count up")
            classes[record["id"]] = record
        elif kind == "frames":
            pages = decode(record, classes)
            counted(pages, record)
            expect(not set(pages) & set(found[-1].pages), "lines overlap")
            found[-1].pages.update(pages)
            found[-1].lines.append(record)
        elif kind == "frame_diff":
            found[-1].diffs.append(record)
        if kind in ("page_class", "frames", "frame_diff"):
            found[-1].written += len(json.dumps(record, separators=(",", ":"))) + 1
        if kind == "frames_end":
            found[-1].end = record
    for one in found:
        if one.end:
            expect_equal(sum(line["resident"] for line in one.lines), one.end["resident"], "resident")
            expect_equal(sum(line["swapped"] for line in one.lines), one.end["swapped"], "swapped")
    return found


def read_shapes(path):
    shapes, pages, moved = {}, {}, set()
    for line in path.read_text().splitlines():
        word, name, *rest = line.split(" ")
        if word == "shape":
            start = int(rest[0], 16)
            shapes[name] = start, start + (int(rest[1]) << PAGE_BITS)
        elif word == "page":
            pages[int(rest[0], 16)] = name, *(int(value, 16) for value in rest[1:])
        elif word == "moved":
            moved.add(int(rest[0], 16))
        else:
            print(f"shape {name} skipped: {' '.join(rest)}")
    return shapes, pages, moved


@contextlib.contextmanager
def a_huge_page(bench):
    """For the time of the test, if it is ours to give."""
    if bench.unprivileged or os.geteuid():
        yield
        return
    if not NR_HUGEPAGES.exists():
        yield
        return
    # One test at a time: who comes second would take the first one's pages for the system's.
    with open(__file__) as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        old = NR_HUGEPAGES.read_text()
        try:
            NR_HUGEPAGES.write_text(str(int(old) + 2))
            yield
        finally:
            NR_HUGEPAGES.write_text(old)


def compare_page(at, page, wanted, visible):
    name, entry, flags, count, huge = wanted
    where = f"{name} at {at:x}"
    bits = int(page.cls["pagemap"], 16)
    expect_equal(bits, entry & PM_BITS, f"pagemap bits of {where}")
    if "huge" in page.cls:
        expect_equal(page.cls["huge"], bool(huge), f"huge of {where}")
    if not visible:
        claims = set(page.cls) & {"kpageflags", "mapcount", "swap_type"}
        expect(not claims, f"{claims} of {where} with PFNs hidden")
    elif entry & PRESENT:
        expect_equal(page.number, entry & ~PM_BITS, f"frame of {where}")
        differ = (int(page.cls["kpageflags"], 16) ^ flags) & ~UNSTEADY
        expect(not differ, f"flags of {where}: {page.cls['kpageflags']}, not {flags:#x}")
        expect_equal(page.cls["mapcount"], count, f"mappings of {where}")
    elif entry & SWAP and not entry & GUARD:
        expect_equal(page.number, (entry & ~PM_BITS) >> 5, f"slot of {where}")
        expect_equal(page.cls["swap_type"], entry & 31, f"swap area of {where}")


def compare(found, shapes, wanted, moved, visible):
    """All pages of the shapes, but those that moved while the program looked at them."""
    expect(len(moved) <= MOVED_MAX, f"{len(moved)} of {len(wanted)} pages have moved")
    for start, end in shapes.values():
        there = {at for at in found.pages if start <= at < end}
        expect_equal(sorted(there), sorted(at for at in wanted if start <= at < end), "pages that are there")
    for at, page in wanted.items():
        if at not in moved:
            compare_page(at, found.pages[at], page, visible)


def run_shapes(bench, *words):
    told = bench.work / "told"
    with a_huge_page(bench):
        bench.empty_work()
        process = bench.start([bench.program, told, *words], bench.preload(
            checkpoint="SIGUSR1", frames="checkpoint", follow="none"))
        expect_equal(process.wait(timeout=harness.TIMEOUT_S), 0, "status")
    trace = bench.only_trace()
    bench.check(trace)
    found = checkpoints(trace)
    visible = harness.records(trace)[0]["privileges"]["pfn"] == "visible"
    expect_equal(visible, not bench.unprivileged and not os.geteuid(), "PFNs are visible")
    places, wanted, moved = read_shapes(told)
    by_signal = [one for one in found if one.why == "signal"]
    expect_equal(len(by_signal), 1, "checkpoints by signal")
    compare(by_signal[0], places, wanted, moved, visible)
    for one in found:
        expect_equal(one.diffs, [], f"pages out of account at {one.why}")
    there = {at for at in found[-1].pages for start, end in places.values() if start <= at < end}
    expect_equal(there, set(wanted), "pages at the end")
    print(f"{len(wanted)} pages of {len(places)} shapes are as the program saw them, {len(moved)} moved")
    return by_signal[0]


@case
def shapes(bench):
    run_shapes(bench)


@case
def no_scan(bench):
    """As on a kernel before 6.7: each vma is read through."""
    run_shapes(bench, "no-scan")


@case
def unseen(bench):
    """Pages that the shadow knows nothing of, or something else."""
    told = bench.work / "told"
    bench.empty_work()
    process = bench.start([bench.program, told, "unseen"],
                          bench.preload(verify="off", capture="symbols", frames="final"))
    expect_equal(process.wait(timeout=harness.TIMEOUT_S), 0, "status")
    places, _, _ = read_shapes(told)
    trace = bench.only_trace()
    bench.validate(trace)
    diffs = checkpoints(trace)[-1].diffs
    got = {diff["cause"]: (int(diff["start"], 16), int(diff["end"], 16), diff["pages"]) for diff in diffs}
    outside, shared = places["outside"][0], places["anon_shared"][0]
    size = harness.PAGE
    expect_equal(got, {"outside": (outside, outside + 5 * size, 3),
                       "anon_shared": (shared + 3 * size, shared + 5 * size, 2)}, "frame_diff lines")


PROGRAMS = {
    "sqlite": ["/usr/bin/sqlite3", ":memory:", "create table t(a, b); with recursive n(i) as (select 1 union all "
               "select i + 1 from n where i < 20000) insert into t select i, hex(i) from n; "
               "select count(*), sum(length(b)) from t;"],
    "python": ["/usr/bin/python3", "-c", "import json, decimal, email; print(len([str(i) for i in range(50000)]))"],
    "perl": ["/usr/bin/perl", "-e", "my %h; $h{$_} = 'x' x $_ for 1 .. 2000; print scalar(keys %h), qq(\\n)"],
    "node": ["/usr/bin/node", "-e", workloads.NODE],
}


def run_program(bench, name):
    env = bench.preload(frames="final")
    if name == "redis":
        return workloads.redis_session(bench, env, requests=2000)[0]
    return bench.run([workloads.program(PROGRAMS[name][0]), *PROGRAMS[name][1:]], env).status


@case
def sums(bench):
    """What is resident is what the kernel counts; PSS by the classes is the kernel's; so are page tables."""
    name, = bench.arguments
    for _ in range(TRIES):
        expect_equal(run_program(bench, name), 0, f"status of {name}")
        trace = bench.only_trace()
        bench.check(trace)
        last = checkpoints(trace)[-1]
        check_sums(name, last)
        check_topology(last)
        check_page_tables(bench, name, trace, last)
        trace.unlink()
        pss, kernel, slack = both_pss(last)
        if abs(pss - kernel) <= slack:
            break
    expect(abs(pss - kernel) <= slack, f"{name}: PSS {pss}, smaps {kernel}, {TRIES} times")
    print(f"{name}: PSS {pss / 1024:.0f} KiB, smaps_rollup {kernel / 1024:.0f}")


@case
def children(bench):
    """A child's trace tells its classes itself."""
    script = "(cd / && exec /bin/ls -a) >/dev/null; (:); echo $(:)"
    expect_equal(bench.run(["/bin/bash", "-c", script], bench.preload(frames="checkpoint")).status, 0, "status")
    traces = bench.trace_files()
    expect(len(traces) >= 4, f"{len(traces)} traces")
    for trace in traces:
        bench.check(trace)
        for one in checkpoints(trace):
            expect(one.end, f"no frames at {one.why} in {trace.name}")
            check_sums(f"{trace.name} at {one.why}", one)


def kernel_lag():
    """Pages by which statm may lag behind: 32 for each CPU and counter before 6.17, which adds them up."""
    version = tuple(int(word) for word in re.match(r"(\d+)\.(\d+)", os.uname().release).groups())
    return 64 * os.cpu_count() if version < (6, 17) else 0


def in_no_counter(pages):
    """How many of them RSS leaves out at least, and at most: the zero page, and special mappings."""
    if all("kpageflags" in page.cls for page in pages):
        sure = sum(int(page.cls["kpageflags"], 16) & (FLAG_ZERO | FLAG_NOPAGE) != 0 for page in pages)
        return sure, sure
    return 0, sum(not int(page.cls["pagemap"], 16) & (FILE | EXCLUSIVE) for page in pages)


def check_sums(name, last):
    end = last.end
    present = [page for page in last.pages.values() if int(page.cls["pagemap"], 16) & PRESENT]
    low, high = sorted((end["rss_before"], end["rss_after"]))
    slack = high - low + end["faults"] + kernel_lag()
    # The trace went on in another chunk of its file, for which chunks that are full are let go.
    left = RETIRED_MAX if end["faults"] else 0
    least, most = in_no_counter(present)
    expect(low - slack - left <= end["resident"] - least and end["resident"] - most <= high + slack,
           f"{name}: {end['resident']} pages, {least} to {most} in no counter; statm {low} to {high}")
    expect_equal(last.diffs, [], f"pages out of account in {name}")
    # The scan touches what it writes, and nothing else.
    expect(end["faults"] <= last.written / harness.PAGE + 1,
           f"{name}: {end['faults']} faults while {last.written} bytes were written")
    print(f"{name}: {end['resident'] - least} pages, statm {low} to {high}, {end['faults']} faults")


def needed_tables(pages):
    """PTE, PMD and PUD tables above the pages, by the level that maps each."""
    huge = {at >> 21 for at, page in pages.items() if page.cls.get("huge")}
    small = {at >> 21 for at, page in pages.items() if not page.cls.get("huge")}
    return {"pte": len(small), "pmd": len({at >> 9 for at in small | huge}),
            "pud": len({at >> 18 for at in small | huge})}


def check_page_tables(bench, name, trace, last):
    """Those that the pages need are in VmPTE. What is more there was emptied by a call of the program."""
    found = bench.report_json("mm", trace)["pages"]["page_tables"]
    for level, number in needed_tables(last.pages).items():
        expect_equal(found["needed"][level], number, f"{level} tables of {name}")
    more = (found["kernel_bytes"] - found["counted_bytes"]) // harness.PAGE
    emptied = sum(found["emptied_at_most"].values())
    # VmPTE is read before the pages are.
    expect(-last.end["faults"] <= more <= emptied,
           f"{name}: VmPTE has {more} tables more than the pages need, {emptied} of them emptied at most")
    print(f"{name}: {more} page tables more than needed, {emptied} emptied at most")


def both_pss(last):
    """PSS by the classes and by the kernel, and how far they may be apart. Each is taken at a moment
    of its own: where a process that maps the same files begins or ends in between, they differ."""
    if last.lines[0]["pfn"] != "visible":
        return 0, 0, 0
    counts = [page.cls["mapcount"] for page in last.pages.values()
              if int(page.cls["pagemap"], 16) & PRESENT and page.cls["mapcount"]]
    kernel = last.mm["kernel"]["pss_bytes"]
    moved = abs(last.end["rss_after"] - last.end["rss_before"]) + last.end["faults"]
    return sum(harness.PAGE / count for count in counts), kernel, 0.01 * kernel + moved * harness.PAGE


def kernel_zones():
    """(node, zone) -> the figures that don't change."""
    zones, head = {}, None
    for line in pathlib.Path("/proc/zoneinfo").read_text().splitlines():
        match = re.match(r"Node (\d+), zone +(\S+)", line)
        if match:
            head = int(match[1]), match[2]
            zones[head] = {}
        match = re.match(r" +(spanned|present|managed) +(\d+)| +(start_pfn): +(\d+)", line)
        if match:
            zones[head].setdefault(match[1] or match[3], int(match[2] or match[4]))
    return {name: zone for name, zone in zones.items() if zone.get("start_pfn")}


def check_slabs(slabs):
    """Those that the kernel lists, too; what is active in them changes."""
    expect(slabs["vm_area_struct"]["object_bytes"] > 100, f"slabs {slabs}")
    expect_equal([name for name, slab in slabs.items() if not slab["active"] <= slab["total"]], [],
                 "slabs with more objects than there are")
    if os.geteuid():
        return
    lines = [line.split() for line in pathlib.Path("/proc/slabinfo").read_text().splitlines()]
    listed = {words[0]: int(words[3]) for words in lines if words[0] in
              ("vm_area_struct", "mm_struct", "anon_vma", "anon_vma_chain", "maple_node")}
    expect_equal({name: slabs[name]["object_bytes"] for name in listed}, listed, "sizes of slabs' objects")


def check_topology(last):
    top = last.topology
    zones = {(zone["node"], zone["zone"]): zone for zone in top["zones"]}
    wanted = kernel_zones()
    expect_equal(sorted(zones), sorted(wanted), "zones")
    for name, zone in wanted.items():
        expect_equal({key: zones[name][key] for key in zone}, zone, f"zone {name}")
        expect(zones[name]["min"] <= zones[name]["low"] <= zones[name]["high"], f"watermarks of {zones[name]}")
        expect(len(zones[name]["buddy"]) > 8 or "buddyinfo" in top["unreadable"], "free blocks")
    folder = pathlib.Path("/sys/devices/system/node")
    nodes = {int(path.name[4:]): (path / "cpulist").read_text().strip() for path in folder.glob("node[0-9]*")}
    expect_equal({node["node"]: node["cpus"] for node in top["nodes"]}, nodes, "nodes and their CPUs")
    for node in top["nodes"]:
        expect(0 < node["free_bytes"] < node["total_bytes"], f"memory of {node}")
    if "slabinfo" in top["unreadable"]:
        expect_equal(top["unreadable"]["slabinfo"], "EACCES", "why there are no slabs")
    else:
        check_slabs(top["slab"])


harness.main()

# SPDX-License-Identifier: MIT
"""
Views over the pages of real programs: owners' rows add up to what is resident, page tables to the
kernel's count of them, and RSS to its counters.
"""
import os

import harness
from harness import PAGE, case, expect, expect_equal, records
from workloads import PYTHON, program, sql

MIB = 1 << 20
# CPUs keep some of what they count to themselves.
UNCERTAIN_PAGES = 64 * os.cpu_count()

HUGE = f"""
import mmap, os
def fill(size, advice):
    m = mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    try:
        m.madvise(advice)
    except OSError:
        pass    # a kernel without huge pages
    for at in range(0, size, {PAGE}):
        m[at] = 1
    return m
huge = fill(32 * {MIB}, mmap.MADV_HUGEPAGE)
small = fill(32 * {MIB}, mmap.MADV_NOHUGEPAGE)
for at in range(0, 16 * {MIB}, {MIB}):
    small.madvise(mmap.MADV_DONTNEED, at, {MIB})
kept = [str(i) * 10 for i in range(20000)]
os._exit(0)
"""


def check_owners(bench, trace):
    lines = {line["ev"]: line for line in records(trace) if line["ev"] in ("frames", "frames_end")}
    end = lines["frames_end"]
    for by in "stack", "module", "function", "thread":
        got = bench.report_json("frames", trace, "--by", by, "--limit", "0")
        expect_equal(got["resident_bytes"], end["resident"] * PAGE, f"resident by {by}")
        expect(got["complete"], "pages are missing")
        for key in "resident_bytes", "swapped_bytes":
            expect_equal(sum(row[key] for row in got["top"]), got[key], f"{key} by {by}")
    expect_equal(got["pfn"], lines["frames"]["pfn"], "PFNs")
    return bench.report_json("frames", trace, "--by", "module", "--limit", "0")


def check_tables(tables):
    """The kernel has what the pages need, and at most as many more as calls may have left empty."""
    more = tables["kernel_bytes"] - tables["counted_bytes"]
    at_most = sum(tables["emptied_at_most"].values()) * PAGE
    expect(0 <= more <= at_most, f"{more} bytes of page tables more than needed: {tables}")
    return more // PAGE


def check_rss(rss):
    if not rss["kinds_known"]:
        return
    apart = abs(rss["bytes"] - rss["kernel_bytes_before"]) // PAGE
    expect(apart <= UNCERTAIN_PAGES, f"{apart} pages apart from statm: {rss}")


def check(bench, argv, stdin=b"", env=None):
    bench.run_both(argv, stdin, env)
    trace = bench.only_trace()
    bench.check(trace)
    pages = bench.report_json("mm", trace)["pages"]
    check_rss(pages["rss"])
    return check_owners(bench, trace), check_tables(pages["page_tables"]), pages


@case
def sqlite(bench):
    _, _, pages = check(bench, [program("/usr/bin/sqlite3"), ":memory:"],
                        "\n".join(sql(10000)).encode())
    memory = pages["kernel_memory"]
    expect(memory["slabinfo_error"] or memory["objects"]["vm_area_struct"]["bytes"] > 0, str(memory))


@case
def python(bench):
    check(bench, [program("/usr/bin/python3"), "-c", PYTHON])


@case
def huge(bench):
    """32 MiB with huge pages, if there are any; 32 without, of which half are given back in parts;
    at the end they are still there."""
    owners, more, pages = check(bench, [program("/usr/bin/python3"), "-c", HUGE],
                                env={"PYTHONMALLOC": "malloc"})
    blocks = sum(row["resident_bytes"] for row in owners["top"] if row["how"] == "heap")
    expect(owners["blocks"] and blocks >= MIB, f"{blocks} in blocks")
    mapped = sum(row["resident_bytes"] for row in owners["top"] if row["how"] == "mapped")
    expect(mapped >= 48 * MIB, f"{mapped} mapped")
    tables = pages["page_tables"]
    if owners["huge_bytes"]:
        expect_equal(tables["kept_with_huge_pages"], owners["huge_bytes"] // (2 * MIB), "kept")
    expect(more >= 7, f"only {more} tables are empty")


if __name__ == "__main__":
    harness.main()

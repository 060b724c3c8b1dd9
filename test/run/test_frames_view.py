# SPDX-License-Identifier: MIT
"""
vmtrace-report frames over programs as they are: its sums are those that the kernel told at the same time.
"""
import os

import harness
from harness import case, expect, expect_equal

PYTHON = ["/usr/bin/python3", "-c",
          "import mmap, os; m = mmap.mmap(-1, 64 << 20, mmap.MAP_PRIVATE)\n"
          "m.madvise(mmap.MADV_HUGEPAGE)\n"
          "for i in range(0, 64 << 20, 4096): m[i] = 1\n"
          "m.madvise(mmap.MADV_DONTNEED, 8 << 20, 4 << 20)\n"
          "os._exit(0)"]  # before m is unmapped


@case
def kernel(bench):
    """RSS, PSS and USS; and whoever asks finds the 60 MiB first."""
    expect_equal(bench.run(PYTHON, bench.preload(frames="final")).status, 0, "status")
    trace = bench.only_trace()
    bench.check(trace)
    got = bench.report_json("frames", trace)
    expect((got["recorded"], got["complete"], got["lines_left_out"]) == (True, True, 0),
           "all that was scanned is there")
    scan, told = got["scan"], got["kernel"]
    slack = (abs(scan["rss_after_pages"] - scan["rss_before_pages"]) + scan["faults"] +
             64 * os.cpu_count()) * harness.PAGE
    rss = scan["rss_before_pages"] * harness.PAGE
    uncounted = 0 if got["pfn"] == "visible" else 1 << 20  # zero pages can't be told apart
    expect(-slack <= got["rss_bytes"] - rss <= slack + uncounted, f"RSS {got['rss_bytes']}, {rss}")
    for key in ("pss_bytes", "uss_bytes"):
        if got[key] is not None and key in told:
            expect(abs(got[key] - told[key]) <= told[key] / 50 + slack,
                   f"{key} {got[key]}, the kernel {told[key]}")
    expect_equal(got["pss_bytes"] is None, got["pfn"] == "hidden", "PSS is known")
    largest = max(got["vmas"], key=lambda vma: vma["resident_bytes"])
    expect(60 << 20 <= largest["resident_bytes"] < 72 << 20, f"the largest mapping: {largest}")
    small = sum(largest["not_huge_bytes"].values())
    if largest["huge_bytes"] is not None:
        expect_equal(largest["huge_bytes"] + small, largest["resident_bytes"], "huge or not")
    expect_equal(got["differences"], [], "pages out of account")
    text = bench.report("frames", trace).decode()
    expect([line for line in text.splitlines() if len(line) > 100] == [], f"too wide:\n{text}")


harness.main()

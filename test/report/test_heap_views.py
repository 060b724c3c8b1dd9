#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""heap, leaks and fragmentation over small traces whose figures were worked out by hand.

Usage: test_heap_views.py REPORT DATA TARGET MANPAGE

TARGET writes a trace about itself, so that there are functions and source files.

What happens in heap.json (thread 100 unless said otherwise; stack 2 is demo's, 3 is operator new for
demo, 4 is libapp's, 5 is strdup for libapp):

  ms   1.0   2.0   2.5          3.0     4.0   5.0     5.9/6.0      7.0       8.0        9.0
       A     B     E by 101     free A  C     free C  B becomes D  inside E  F by 101   free C
       1000  200   4000                 300           500          (101)     50         again
       st 3  st 5  st 4                 st 3          st 5                   st 2
live   1000  1200  5200 = peak  4200    4500  4200    4000 4500    4500      4550       4550
"""
import json
import math
import os
import pathlib
import re
import subprocess
import sys
import tempfile

from expect import expect_equal, status

MS = 1000000


def expect_members(got, want, what):
    for key, value in want.items():
        if isinstance(value, float):
            expect_equal(math.isclose(got[key], value, rel_tol=1e-9), True,
                         f"{what}.{key} {got[key]} ~ {value}")
        else:
            expect_equal(got[key], value, f"{what}.{key}")


class Report:
    def __init__(self, program, folder):
        self.program, self.folder = program, folder

    def run(self, *argv, data=None):
        how = {"input": data} if data is not None else {"stdin": subprocess.DEVNULL}
        return subprocess.run([self.program, *argv], capture_output=True, cwd=self.folder,
                              timeout=120, check=False, **how)

    def json(self, view, *argv):
        done = self.run(view, "--no-symbols", "--json", *argv)
        expect_equal(done.stderr, b"", f"{view} {argv}")
        return json.loads(done.stdout)


def figures(allocations, byte, peak, live, temporary):
    """peak, live: (blocks, bytes)"""
    return {"allocations": allocations, "bytes": byte, "peak_blocks": peak[0],
            "peak_bytes": peak[1], "live_blocks": live[0], "live_bytes": live[1],
            "temporary": temporary}


def innermost(group):
    return pathlib.Path(group["stack"][0]["module"]).name, group["stack"][0]["offset"]


def test_heap(report):
    heap = report.json("heap", "heap.json")
    expect_members(heap, figures(6, 6050, (3, 5200), (3, 4550), 1), "heap")
    expect_members(heap, {"mode": "all", "t": 10 * MS, "frees": 3, "reallocations": 1, "failed": 0,
                          "unknown_frees": 0, "double_frees": 1, "invalid_frees": 1,
                          "peak_t": 2500000, "sites": 4, "by": "stack", "sort": "peak",
                          "groups": 4}, "heap")
    wants = [("libapp.so", "0x100", figures(1, 4000, (1, 4000), (1, 4000), 0), 4000 / 5200),
             ("libstdc++.so.6", "0x100", figures(2, 1300, (1, 1000), (0, 0), 1), 1000 / 5200),
             ("libc.so.6", "0x200", figures(2, 700, (1, 200), (1, 500), 0), 200 / 5200),
             ("demo", "0x200", figures(1, 50, (0, 0), (1, 50), 0), 0.0)]
    expect_equal(len(heap["top"]), len(wants), "stacks")
    for got, (module, offset, want, share) in zip(heap["top"], wants):
        expect_equal(innermost(got), (module, offset), "innermost")
        expect_members(got, {**want, "peak_share": share}, module)
    free, double = heap["findings"]
    expect_members(free, {"kind": "invalid_free", "t": 7 * MS, "tid": 101, "addr": "0x20010"}, "free")
    expect_members(free["block"], {"addr": "0x20000", "size": 4000, "allocated_t": 2500000,
                                   "allocated_tid": 101}, "block")
    expect_equal(innermost(free["block"]), ("libapp.so", "0x100"), "who allocated")
    expect_members(double, {"kind": "double_free", "t": 9 * MS, "tid": 100, "addr": "0x12000"},
                   "double")
    expect_members(double["block"], {"addr": "0x12000", "size": 300, "freed_t": 5 * MS,
                                     "freed_tid": 100}, "block")
    summary = report.json("summary", "heap.json")
    kinds = {f["kind"]: f for f in summary["findings"]}
    expect_members(kinds["double_free"], {"severity": "error", "t": 9 * MS, "tid": 100,
                                          "addr": "0x12000"}, "finding")
    expect_members(kinds["invalid_free"], {"severity": "error", "tid": 101}, "finding")
    expect_members(summary["heap"], {"double_frees": 1, "invalid_frees": 1, "temporary": 1}, "summary")
    expect_equal(b"double frees 1, invalid frees 1" in report.run("heap", "heap.json").stdout, True,
                 "text of findings")


def groups(report, by, key, *argv):
    top = report.json("heap", "--by", by, *argv, "heap.json")["top"]
    return [group[key] for group in top], top


def test_groups(report):
    names, modules = groups(report, "module", "name")
    expect_equal(names, ["libapp.so", "demo"], "modules")
    expect_members(modules[0], figures(3, 4700, (2, 4200), (2, 4500), 0) | {"stacks": 2}, "libapp")
    expect_members(modules[1], figures(3, 1350, (1, 1000), (1, 50), 1) | {"stacks": 2}, "demo")
    tids, threads = groups(report, "thread", "tid")
    expect_equal((tids, [t["name"] for t in threads]), ([101, 100], ["worker", "demo"]), "threads")
    expect_members(threads[0], {"allocations": 2, "bytes": 4050, "live_bytes": 4050,
                                "peak_bytes": 4050}, "thread 101")
    expect_members(threads[1], {"allocations": 4, "bytes": 2000, "live_bytes": 500,
                                "peak_bytes": 1200, "temporary": 1}, "thread 100")
    sizes, classes = groups(report, "size", "up_to", "--sort", "bytes")
    expect_equal(sizes, [4095, 1023, 511, 255, 63], "sizes")
    expect_members(classes[2], figures(2, 800, (0, 0), (1, 500), 1), "up to 511")
    for sort, want in {"live": ["libapp.so", "demo"], "temporary": ["demo", "libapp.so"],
                       "allocations": ["libapp.so", "demo"]}.items():
        expect_equal(groups(report, "module", "name", "--sort", sort)[0], want, f"by {sort}")
    one = report.json("heap", "--by", "size", "--limit", "1", "heap.json")
    expect_equal((one["groups"], len(one["top"])), (5, 1), "--limit")
    text = report.run("heap", "--by", "thread", "--no-symbols", "heap.json").stdout.decode()
    expect_equal("  101 worker\n" in text and "own peak" in text, True, f"threads: {text}")


def test_moments(report):
    for at, t, blocks, live, allocations in [
            ("start", 0, 0, 0, 0), ("2ms", 2 * MS, 2, 1200, 2), ("peak", 2500000, 3, 5200, 3),
            ("1", 4500000, 3, 4500, 4), ("5950us", 5950000, 1, 4000, 4), ("1s", 1000 * MS, 3, 4550, 6),
            ("0", 0, 0, 0, 0), ("7", 10 * MS, 3, 4550, 6)]:
        heap = report.json("heap", "--at", at, "heap.json")
        expect_members(heap, {"t": t, "live_blocks": blocks, "live_bytes": live,
                              "allocations": allocations, "sort": "live"}, f"--at {at}")
    series = report.json("heap", "--timeline", "heap.json")["timeline"]
    width, buckets = series["width_ns"], series["buckets"]
    expect_equal([b["t"] for b in buckets], [i * width for i in range(len(buckets))], "times")
    at_peak = buckets[2500000 // width]
    expect_members(at_peak, {"max_live_bytes": 5200, "live_bytes": 5200, "live_blocks": 3,
                             "allocations": 1, "bytes": 4000}, "bucket of the peak")
    expect_equal((sum(b["allocations"] for b in buckets), sum(b["bytes"] for b in buckets)),
                 (6, 6050), "all buckets")
    expect_equal(buckets[-1]["live_bytes"], 4550, "last bucket")
    text = report.run("heap", "--timeline", "--no-symbols", "heap.json").stdout
    expect_equal(b"then live" in text, True, "timeline as text")


def test_sample(report):
    """A block of n bytes was recorded with p = 1 - exp(-n / 1000): it stands for 1/p blocks."""
    def estimate(*sizes):
        p = [-math.expm1(-n / 1000) for n in sizes]
        return (sum(1 / q for q in p), math.sqrt(sum((1 - q) / q ** 2 for q in p)),
                sum(n / q for n, q in zip(sizes, p)),
                math.sqrt(sum((1 - q) / q ** 2 * n * n for n, q in zip(sizes, p))))

    heap = report.json("heap", "heap-sample.json")
    expect_members(heap, {"mode": "sample", "sample_bytes": 1000, "allocations": 3,
                          "live_bytes": 5010, "temporary": None}, "sample")
    for (blocks, byte), sizes in {("allocations", "bytes"): (1000, 5000, 10),
                                  ("live_blocks", "live_bytes"): (5000, 10),
                                  ("peak_blocks", "peak_bytes"): (1000, 5000)}.items():
        n, n_error, total, total_error = estimate(*sizes)
        expect_members(heap["estimate"][blocks], {"value": n, "error": n_error}, blocks)
        expect_members(heap["estimate"][byte], {"value": total, "error": total_error}, byte)
    demo = report.json("heap", "--by", "module", "heap-sample.json")["top"][1]
    n, n_error, *_ = estimate(1000, 10)
    expect_members(demo["estimate"]["allocations"], {"value": n, "error": n_error}, "demo")
    leaks = report.json("leaks", "heap-sample.json")
    n, n_error, total, total_error = estimate(5000, 10)
    expect_members(leaks["estimate"]["live_bytes"], {"value": total, "error": total_error}, "leaks")
    for view in ("heap", "leaks", "summary"):
        text = report.run(view, "--no-symbols", "heap-sample.json").stdout.decode()
        expect_equal(" ± " in text and "for about 1000 B was recorded" in text, True, f"{view}: {text}")
    program = report.json("layout", "heap-sample.json")["programs"][0]
    expect_equal(program["heap"], [], "layout of a sample")
    expect_equal([name for name in program["totals"] if "heap" in name], [], "totals of a sample")
    text = report.run("fragmentation", "heap-sample.json").stdout
    expect_equal(b"only a sample of the blocks" in text, True, "fragmentation of a sample")


def test_leaks(report, target, folder):
    leaks = report.json("leaks", "heap.json")
    expect_members(leaks, {"stacks": 3, "live_blocks": 3, "live_bytes": 4550}, "leaks")
    expect_equal([leak["live_bytes"] for leak in leaks["leaks"]], [4000, 500, 50], "order")
    expect_equal(report.run("leaks", "heap.json").returncode, 0, "leaks without --fail")
    expect_equal(report.run("leaks", "--fail", "heap.json").returncode, 1, "leaks --fail")

    supp = folder / "supp"
    supp.write_text("# known\nleak:never\nleak:libapp\n  leak:libapp.so$  \n")
    left = report.json("leaks", "--suppressions", supp, "heap.json")
    expect_members(left, {"stacks": 1, "live_blocks": 1, "live_bytes": 50}, "left")
    expect_equal(left["suppressed"], {
        "stacks": 2, "live_blocks": 2, "live_bytes": 4500, "patterns": [
            {"pattern": "never", "stacks": 0, "live_blocks": 0, "live_bytes": 0},
            {"pattern": "libapp", "stacks": 2, "live_blocks": 2, "live_bytes": 4500},
            {"pattern": "libapp.so$", "stacks": 0, "live_blocks": 0, "live_bytes": 0}]}, "suppressed")
    text = report.run("leaks", "--suppressions", supp, "--no-symbols", "heap.json").stdout.decode()
    expect_equal("         2       4500  libapp\n" in text, True, f"table: {text}")
    two = report.json("leaks", "--suppressions", supp, "heap.json", "heap.json")["traces"]
    expect_equal([one["suppressed"]["live_bytes"] for one in two], [4500, 4500], "counts by trace")
    expect_equal(report.run("leaks", "--fail", "--suppressions", supp, "heap.json").returncode, 1,
                 "some left")
    other = folder / "other"
    other.write_text("leak:^/usr/bin/demo$\n")
    done = report.run("leaks", "--fail", "--suppressions", supp, "--suppressions", other, "heap.json")
    expect_equal((done.returncode, done.stderr), (0, b""), "none left")

    trace = subprocess.run([target, target], capture_output=True, check=True).stdout
    for pattern, status in {"outer_frame(int)": 0, "inlined_middle": 0, "symbols_target.c": 0,
                            "^main$": 0, "^outer$": 1, "frame*int": 0}.items():
        supp.write_text(f"leak:{pattern}\n")
        done = report.run("leaks", "--fail", "--suppressions", supp, "-", data=trace)
        expect_equal((done.returncode, done.stderr), (status, b""), pattern)

    supp.write_text("leak:foo\n\nrace:bar\n")
    done = report.run("leaks", "--suppressions", supp, "heap.json")
    expect_equal((done.returncode, done.stderr.decode()),
                 (2, f"vmtrace-report: {supp}:3: 'race:bar' does not begin with 'leak:'\n"), "bad line")
    # A check that can't find anything does not pass.
    off = (report.folder / "heap.json").read_bytes().replace(b'"heap":"all"', b'"heap":"off"')
    done = report.run("leaks", "--fail", "-", data=off)
    expect_equal((done.returncode, done.stderr.decode()),
                 (2, "vmtrace-report: -:1: the heap was not recorded: leaks can't be told\n"), "off")


def test_function(report, target):
    trace = subprocess.run([target, target], capture_output=True, check=True).stdout
    done = report.run("heap", "--json", "--by", "function", "-", data=trace)
    names = [group["name"] for group in json.loads(done.stdout)["top"]]
    expect_equal(names, [f"outer_frame(int) ({pathlib.Path(target).name})"], "--by function")


def held(areas, byte, resident, blocks, live):
    return {"areas": areas, "held_bytes": byte, "resident_bytes": resident, "live_blocks": blocks,
            "live_bytes": live, "live_share": live / byte if byte else None}


def test_fragmentation(report):
    """
    page of the brk heap  0    1-3          4            5     6     7
    blocks                16   12288        1000, 1500   2000  3500
    stack                 1    2            1, 2         1     3
    An arena of 4 pages with 64 bytes of stack 1; 1 MiB mapped for itself and a page; 100 bytes in
    the program's own mapping; 7 bytes in no memory at all.
    """
    f = report.json("fragmentation", "fragmentation.json")
    expect_equal(f["kinds"], {"brk": held(1, 32768, 24576, 6, 20304),
                              "arena": held(1, 16384, 8192, 1, 64),
                              "mapped": held(1, 1052672, 1048576, 1, 1048576),
                              "other": held(1, 8192, 0, 1, 100)}, "kinds")
    expect_equal(f["all"], held(4, 1110016, 1081344, 9, 1069044), "all")
    expect_members(f, {"outside_blocks": 1, "outside_bytes": 7, "t": 6 * MS}, "fragmentation")
    expect_equal(f["pages"], {"0": 4, "1-25": 2, "26-50": 1, "51-75": 1, "76-99": 1, "100": 3}, "pages")
    expect_equal([(k["pages"], k["live_bytes"], *innermost(k)) for k in f["keepers"]],
                 [(3, 2080, "demo", "0x100"), (1, 3500, "libstdc++.so.6", "0x100")], "keepers")
    expect_members(f["break"], {"end": "0x555555560000", "free_above": 4676, "free_below": 7788},
                   "break")
    expect_members(f["break"]["block"], {"addr": "0x55555555e010", "size": 3500,
                                         "allocated_t": MS + 50, "allocated_tid": 100}, "top block")
    early = report.json("fragmentation", "--at", "1500us", "fragmentation.json")
    expect_equal(early["all"], held(1, 32768, None, 6, 20304), "--at 1500us")
    expect_equal(early["kinds"]["arena"], held(0, 0, None, 0, 0), "no arena yet")
    call = report.json("fragmentation", "--at", "3", "fragmentation.json")
    expect_equal(call["kinds"]["arena"], held(1, 16384, None, 0, 0), "an empty arena")
    peak = report.json("fragmentation", "--at", "peak", "fragmentation.json")
    expect_equal((peak["t"], peak["all"]["live_blocks"]), (4 * MS + 30, 9), "--at peak")
    one = report.json("fragmentation", "--limit", "1", "fragmentation.json")
    expect_equal(len(one["keepers"]), 1, "--limit")


def members(value, into):
    """Names of all members below @value, but for those of frames, which the man page has apart."""
    if isinstance(value, list):
        for one in value:
            members(one, into)
    elif isinstance(value, dict):
        for name, one in value.items():
            into.add(name)
            members(one, into)
    return into


def test_manual(report, page):
    """Each member is described, and nothing is described that there is not."""
    text = page.read_text()
    text = text[text.index(".Sh JSON OF THE HEAP"):]
    text = text[:text.index("\n.Sh ", 1)]
    described = set(re.findall(r"^\.(?:It )?Va ([\w-]+)", text, re.M))
    got = set()
    for argv in (["heap", "--timeline", "heap.json"], ["heap", "--by", "module", "heap.json"],
                 ["heap", "--by", "thread", "heap.json"], ["heap", "--by", "size", "heap.json"],
                 ["heap", "heap-sample.json"], ["leaks", "heap.json"],
                 ["leaks", "heap-sample.json"], ["fragmentation", "fragmentation.json"]):
        members(report.json(*argv), got)
    supp = report.json("leaks", "--suppressions", "/dev/null", "heap.json")
    members(supp, got)
    got |= {"pattern", "function", "file", "line", "inlined", "gap"}
    expect_equal(sorted(got - described), [], "not in the manual")
    expect_equal(sorted(described - got), [], "in the manual only")


def main():
    program, data, target, page = (os.path.abspath(arg) for arg in sys.argv[1:])
    report = Report(program, pathlib.Path(data) / "valid")
    test_heap(report)
    test_groups(report)
    test_moments(report)
    test_sample(report)
    test_function(report, target)
    test_fragmentation(report)
    with tempfile.TemporaryDirectory() as folder:
        test_leaks(report, target, pathlib.Path(folder))
    test_manual(report, pathlib.Path(page))
    return status()


if __name__ == "__main__":
    sys.exit(main())

# SPDX-License-Identifier: MIT
"""The view explain against what a program has read of itself, for an address of each kind of memory."""
import json
import os
import pathlib
import re

import harness
from harness import case, expect, expect_equal

PFN = (1 << 55) - 1
PRESENT, SWAP, FILE, GUARD, WRITE_PROTECTED, EXCLUSIVE, SOFT_DIRTY = (
    1 << bit for bit in (63, 62, 61, 58, 57, 56, 55))
# Set and cleared by reclaim, and by batches that drain.
UNSTEADY = {"locked", "referenced", "lru", "active", "writeback", "reclaim", "unevictable", "idle",
            "mlocked"}
FLAGS = {0: "locked", 1: "error", 2: "referenced", 3: "uptodate", 4: "dirty", 5: "lru", 6: "active",
         7: "slab", 8: "writeback", 9: "reclaim", 10: "buddy", 11: "mmap", 12: "anon", 13: "swapcache",
         14: "swapbacked", 15: "compound_head", 16: "compound_tail", 17: "huge", 18: "unevictable",
         19: "hwpoison", 20: "nopage", 21: "ksm", 22: "thp", 23: "offline", 24: "zero", 25: "idle",
         26: "pgtable", 32: "reserved", 33: "mlocked", 34: "owner_2", 35: "private", 36: "private_2",
         37: "owner_private", 38: "arch", 39: "uncached", 40: "softdirty", 41: "arch_2", 42: "arch_3"}
KINDS = {"text": "file", "constants": "file", "data": "anon", "bss": "anon", "heap-live": "anon",
         "touched": "anon", "huge": "anon", "file-shared": "file", "file-private": "file",
         "file-copied": "anon", "memfd": "shmem", "shared-anonymous": "shmem", "stack": "anon",
         "zero": "zero", "hugetlb": "hugetlb"}
MOVED_MAX = 4
SAMPLE = 40             # pages of a shape that are asked for


def read_told(path):
    """-> {name: (address, entry, flags, count)}, names of those that moved"""
    places, moved = {}, set()
    for line in path.read_text().splitlines():
        name, *rest = line.split()
        if name == "moved":
            moved.add(rest[0])
        elif name == "skip":
            print(f"{rest[0]} skipped: the kernel does not give it")
        else:
            places[name] = [int(word, 16) for word in rest]
    return places, moved


def moment(trace):
    """The checkpoint by signal: the last call before it, when it began, and when it was complete."""
    seq, t = 0, None
    for record in harness.records(trace):
        if record["ev"] == "call":
            seq = record["seq"]
        elif record["ev"] == "checkpoint":
            t = record["t"] if record["why"] == "signal" else None
        elif record["ev"] == "frames_end" and t is not None:
            return seq, t, record["t"]
    raise AssertionError("no checkpoint by signal")


def compare_map(name, address, one, lines):
    held = [re.match(r"(\w+)-(\w+) (\S+) (\w+) (\S+) (\d+)\s*(.*)", line).groups() for line in lines]
    held = [line for line in held if int(line[0], 16) <= address < int(line[1], 16)]
    vma = one["vma"]
    if not held:
        expect_equal(vma, None, f"mapping of {name}")
        return
    (start, end, perms, offset, device, inode, path), = held
    expect_equal((vma["start"], vma["end"], vma["perms"], vma["offset"], vma["dev"], vma["inode"],
                  vma.get("name", "")),
                 (hex(int(start, 16)), hex(int(end, 16)), perms, int(offset, 16), device, int(inode),
                  path), f"mapping of {name}")


def compare_frame(name, address, page, told, visible):
    _, entry, flags, count = told
    expect_equal(page["file"], bool(entry & FILE), f"file bit of {name}")
    expect_equal(page["exclusive"], bool(entry & EXCLUSIVE), f"mapped only here: {name}")
    if not visible:
        expect_equal((page["flags"], page["mapcount"], "pfn" in page, "physical" in page),
                     (None, None, False, False), f"hidden: {name}")
        return
    expect_equal(page["pfn"], entry & PFN, f"frame of {name}")
    expect_equal(page["physical"], hex((entry & PFN) * harness.PAGE + address % harness.PAGE),
                 f"physical address of {name}")
    names = {FLAGS.get(bit, f"bit{bit}") for bit in range(64) if flags >> bit & 1}
    expect_equal(set(page["flags"]) - UNSTEADY, names - UNSTEADY, f"flags of {name}")
    expect_equal(page["mapcount"], count, f"map count of {name}")
    expect(page["run"]["pages"] >= 1 and int(page["run"]["start"], 16) <= address, f"run of {name}")
    if name in KINDS:
        expect_equal(page["kind"], KINDS[name], f"kind of {name}")
    if page["kind"] not in ("special", "zero"):
        expect(page["zone"] and page["node"] is not None, f"zone of {name}: {page['zone']}")


def compare_page(name, address, page, told, visible):
    _, entry, *_ = told
    state = ("guard" if entry & GUARD else "present" if entry & PRESENT else
             "swapped" if entry & SWAP else "none")
    expect_equal(page["entry"], state, f"entry of {name}, {entry:#x}")
    if state == "none":
        return
    expect_equal((page["soft_dirty"], page["uffd_wp"]),
                 (bool(entry & SOFT_DIRTY), bool(entry & WRITE_PROTECTED)), f"bits of {name}")
    if state == "present":
        compare_frame(name, address, page, told, visible)
        thp = "thp" in (page["flags"] or ()) and name == "huge"
        if page["mapped_by"] and (thp or name in ("touched", "hugetlb")):
            expect_equal(page["mapped_by"], "pte" if name == "touched" else "pmd", f"entry of {name}")


def check_program(found, program):
    for name, section, flags, symbol, offset in (
            ("text", ".text", "AX", "text_function", 0),
            ("constants", ".rodata", "A", "constant_words", harness.PAGE),
            ("data", ".data", "WA", "data_words", 56),
            ("bss", ".bss", "WA", "bss_words", 16 * harness.PAGE)):
        module = found[name]["module"]
        expect_equal(pathlib.Path(module["path"]).name, pathlib.Path(program).name, f"module of {name}")
        expect_equal((module["section"], module["section_flags"], module["symbol"]["name"],
                      module["symbol"]["offset"]), (section, flags, symbol, offset), f"module of {name}")


def check_heap(found):
    live, freed, overrun = (found[f"heap-{what}"]["heap"] for what in ("live", "freed", "overrun"))
    expect_equal([live["block"][key] for key in ("size", "offset", "state")], [1234, 10, "live"], "live")
    expect_equal([freed["block"][key] for key in ("size", "offset", "state")], [3000, 2000, "freed"],
                 "freed")
    expect(freed["block"]["freed_t"] >= freed["block"]["allocated_t"], "freed after it was allocated")
    expect(freed["below"] and freed["above"], f"neighbours {freed}")
    expect_equal((overrun["block"], overrun["below"]["addr"], overrun["below"]["distance"]),
                 (None, live["block"]["addr"], 0), "behind a block")
    for stack in live["block"]["stack"], freed["block"]["stack"]:
        expect("add_heap" in [frame.get("function") for frame in stack], f"stack {stack}")


def check_history(found):
    expect_equal(found["unmapped"]["unmapped_by"]["call"], "munmap", "unmapped")
    expect_equal(found["unmapped"]["hole"]["start"],
                 found["unmapped"]["hole"]["below"]["end"], "hole")
    away, here = found["moved-away"], found["moved-here"]
    expect_equal((away["unmapped_by"]["call"], away["unmapped_by"]["moved_to"]),
                 ("mremap", here["address"]), "moved away")
    expect_equal((here["mapped_by"]["call"], here["mapped_by"]["moved_from"]),
                 ("mremap", away["address"]), "moved here")
    changes = [event["changes"] for event in found["protected"]["history"]["list"]]
    expect(["split", "perms"] in changes, f"protected: {changes}")
    last = found["given-back"]["history"]["list"][-1]
    expect_equal((last["call"], last["changes"]), ("madvise", []), "given back")
    expect_equal([found[name]["mapped_by"] for name in ("text", "stack", "vdso")], [None] * 3,
                 "mapped before the trace began")


def ask(bench, trace, addresses):
    """explain, as of the checkpoint by signal. Returns one answer an address."""
    seq, t, end = moment(trace)
    words = [trace, *map(hex, addresses)]
    bench.report("explain", "--at", f"{end}ns", "--stacks", *words)
    answers = json.loads(bench.report("explain", "--json", "--at", f"{end}ns", *words))["addresses"]
    expect_equal([one["address"] for one in answers], words[1:], "addresses")
    for one in answers:
        expect_equal(one["page"]["checkpoint"], {"why": "signal", "t": t, "event": seq}, "checkpoint")
        expect_equal(one["page"]["pfns"], "visible" if is_visible(bench) else "hidden", "PFNs")
    return answers


def is_visible(bench):
    return not bench.unprivileged and not os.geteuid()


def run_told(bench, **settings):
    told = bench.work / "told"
    bench.empty_work()
    process = bench.start([bench.program, told], bench.preload(
        checkpoint="SIGUSR1", frames="checkpoint", **settings))
    expect_equal(process.wait(timeout=harness.TIMEOUT_S), 0, "status")
    return told, bench.only_trace()


@case
def shapes(bench):
    """Some pages of each shape: in swap, merged, shared, guarded, of files, of huge pages, and none."""
    told, trace = run_told(bench, follow="none")
    places, pages, moved = {}, {}, set()
    for line in told.read_text().splitlines():
        word, name, *rest = line.split()
        if word == "shape":
            start = int(rest[0], 16)
            places[name] = range(start, start + int(rest[1]) * harness.PAGE, harness.PAGE)
        elif word == "page":
            at, *words = (int(value, 16) for value in rest)
            pages[at] = at, *words
        elif word == "moved":
            moved.add(int(rest[0], 16))
    wanted = {}
    for name, place in places.items():
        there = [at for at in pages if at in place]
        empty = [at for at in place[::max(1, len(place) // SAMPLE)] if at not in pages][:SAMPLE // 4]
        some = [*there[::max(1, len(there) // SAMPLE)], *empty]
        wanted.update({at: name for at in some if at not in moved})
    for (at, name), one in zip(wanted.items(), ask(bench, trace, wanted)):
        at, entry, flags, count, huge = pages.get(at, (at, 0, 0, 0, 0))
        compare_page(f"{name}-{at:x}", at, one["page"], (at, entry, flags, count), is_visible(bench))
        if one["page"].get("mapped_by"):
            expect_equal(one["page"]["mapped_by"], "pmd" if huge else "pte", f"entry of {name} {at:x}")
    print(f"{len(wanted)} pages of {len(places)} shapes are as the program saw them: {' '.join(places)}")


@case
def one_of_each(bench):
    told, trace = run_told(bench)
    bench.check(trace)
    places, moved = read_told(told)
    expect(len(moved) <= MOVED_MAX, f"pages have moved: {moved}")
    found = dict(zip(places, ask(bench, trace, [place[0] for place in places.values()])))
    lines = told.with_name("told.maps").read_text().splitlines()
    for name, place in places.items():
        compare_map(name, place[0], found[name], lines)
        if name not in moved:
            compare_page(name, place[0], found[name]["page"], place, is_visible(bench))
    check_program(found, bench.program)
    check_heap(found)
    check_history(found)
    print(f"{len(places)} addresses are as the program saw them, but for {sorted(moved)}")


harness.main()

#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Check traces against trace.schema.json and the rules that hold between lines.

Usage: validate_trace.py [--schema FILE] TRACE...

Prints `TRACE:LINE: what` for the first faults of each trace and exits 1 if there was one. A line
that does not begin with a brace is the rest of a killed record: allowed, and counted.

The schema chooses by `ev`; here a validator is built once for each kind, so that a line is tried
against its own kind only.
"""
import argparse
import collections
import json
import pathlib
import sys

import jsonschema

FAULTS_MAX = 20
SCHEMA = pathlib.Path(__file__).resolve().parents[2] / "include/vmtrace/trace.schema.json"


def load_validators(path):
    """A validator for each kind of line."""
    schema = json.loads(path.read_text())
    jsonschema.Draft202012Validator.check_schema(schema)
    prefix = "ev_"
    return {name[len(prefix):]: jsonschema.Draft202012Validator(
                {"$schema": schema["$schema"], "$ref": f"#/$defs/{name}", "$defs": schema["$defs"]})
            for name in schema["$defs"] if name.startswith(prefix)}


def reject_constant(text):
    raise ValueError(f"{text} is no JSON")


def bounded(text):
    number = int(text)
    if not -2**63 <= number < 2**63:
        raise ValueError(f"{text} is out of range")
    return number


def unique(pairs):
    members = dict(pairs)
    if len(members) != len(pairs):
        raise ValueError("a member appears twice")
    return members


# VM_* bits of include/vmtrace/mm.h by their letter in maps.
VISIBLE_FLAGS = {0x1: "r", 0x2: "w", 0x4: "x", 0x80: "s"}


def flags_fit(flags, perms):
    return all((letter in perms) == bool(flags & bit) for bit, letter in VISIBLE_FLAGS.items())


def entry_of(pagemap):
    """By the bits of /proc/self/pagemap, 58 for a guard page; None: the class was not told."""
    if pagemap is None:
        return "untold"
    if pagemap >> 63:
        return "resident"
    return "swapped" if pagemap >> 62 and not pagemap >> 58 & 1 else "guard"


class Trace:
    """The rules between the lines of one trace."""

    def __init__(self):
        self.line = self.records = self.torn = 0
        self.seq = self.stacks = 0
        self.gaps = []
        self.is_lossy = False
        self.last_vma_end = 0
        self.last_t = 0
        self.heap_stacks = {}
        self.heap_times = {}
        self.verify_checks = 0
        self.pagemaps = {}

    def header(self, record):
        if self.records != 1:
            yield "a second header"

    def vma(self, record):
        start, end = int(record["start"], 16), int(record["end"], 16)
        if start >= end or start % 4096 or end % 4096:
            yield "not a range of pages"
        if start < self.last_vma_end:
            yield "not in address order"
        if self.seq:
            yield "a line of the first map behind a call"
        self.last_vma_end = end
        if "flags" in record and not flags_fit(int(record["flags"], 16), record["perms"]):
            yield "flags and perms contradict each other"

    def stack(self, record):
        if record["id"] != self.stacks + 1:
            yield f"id {record['id']} follows {self.stacks}"
        if record["parent"] > self.stacks:
            yield f"parent {record['parent']} is unknown"
        self.stacks = record["id"] + len(record["ips"]) - 1

    def call(self, record):
        if record["seq"] > self.seq + 1:
            self.gaps.append((self.line, self.seq))
        if record["seq"] <= self.seq:
            yield f"seq {record['seq']} follows {self.seq}"
        self.seq = record["seq"]
        if "errno" in record and record["call"] == "brk":
            yield "brk has no failure of its own"
        for start, end in [*record.get("resolved", []), record.get("vma", ["0x0", "0x1000"])]:
            if int(start, 16) >= int(end, 16):
                yield "an empty range"

    def heap(self, record):
        tid, t = record["tid"], record["t0"]
        if t < self.heap_times.get(tid, 0):
            yield f"t0 {t} lies before the last operation of thread {tid}"
        for op in map(with_time, record["ops"]):
            t += op[0]
            if len(op) > 3 and op[3] > self.stacks:
                self.heap_stacks.setdefault(op[3], self.line)
            if len(op) == 6 and op[5] > t:
                yield "a realloc took longer than the process ran"
        if t >= 2**64:
            yield "a time beyond all bounds"
        self.heap_times[tid] = t

    def lost(self, _):
        self.is_lossy = True
        return ()

    def end(self, record):
        self.is_lossy |= record.get("lost", 0) > 0
        return ()

    def verify(self, record):
        if record["checks"] < self.verify_checks:
            yield "checks went down"
        self.verify_checks = record["checks"]

    def diff(self, record):
        # The last call before it may be among those that were lost.
        if record["seq"] > self.seq and record["cause"] != "lost":
            yield f"seq {record['seq']} is still to come"
        if int(record["start"], 16) >= int(record["end"], 16):
            yield "an empty range"
        for side in ("shadow", "kernel"):
            ends = [int(bound, 16) for vma in record[side] for bound in vma[:2]]
            if ends != sorted(ends):
                yield f"{side} is not in address order"

    def page_class(self, record):
        self.pagemaps[record["id"]] = int(record["pagemap"], 16)
        return ()

    def frames(self, record):
        pages, number = collections.Counter(), 0
        for run in record["runs"]:
            number = run[3] if len(run) > 3 else number
            pages[entry_of(self.pagemaps.get(number))] += run[2] if len(run) > 2 else 1
        more = [record.get(entry, 0) - pages[entry] for entry in ("resident", "swapped")]
        if min(more) < 0 or sum(more) > pages["untold"]:
            yield "resident and swapped are not what the runs add up to"

    def take(self, record):
        """Faults of a record that fits the schema."""
        self.records += 1
        if self.records == 1 and record["ev"] != "header":
            yield "the first line is no header"
        stack = record.get("stack", 0)
        if isinstance(stack, int) and stack > self.stacks:
            yield f"stack {stack} is unknown"
        yield from getattr(self, record["ev"], lambda _: ())(record)

    def finish(self):
        """A heap line may stand before its stacks, but they must come; a gap must be owned up to."""
        if not self.records:
            yield 1, "empty file"
        for line, seq in self.gaps if not self.is_lossy else ():
            yield line, f"calls after {seq} are missing, and none are lost"
        for stack, line in self.heap_stacks.items():
            if stack > self.stacks:
                yield line, f"stack {stack} is unknown"


def with_time(op):
    """An operation of the form that begins with a time: it may have been left out."""
    return [0, *op] if len(op) in (1, 3) else op


def is_heap_op(op):
    """What the schema says about an operation, many times faster."""
    if type(op) is not list or not 1 <= len(op) <= 6 or (len(op) == 3 and op[0] is None):
        return False
    dt, addr, *rest = with_time(op)
    if addr is None:
        addr = 0 if len(op) == 4 else None
    if {type(dt), type(addr), *map(type, rest)} != {int} or dt < 0:
        return False
    if len(op) == 6:
        del rest[2]     # the old block's address may be negative
    return all(number >= 0 for number in rest) and (not rest or rest[1] < 2**32)


def schema_errors(validator, record):
    """Only one in many thousands of heap operations is worth the schema's time: a wrong one."""
    ops = record.get("ops")
    if record["ev"] == "heap" and type(ops) is list and all(map(is_heap_op, ops)):
        record = {**record, "ops": []}
    return validator.iter_errors(record)


def check_line(trace, text, validators):
    try:
        record = json.loads(text.decode(), parse_int=bounded, parse_constant=reject_constant,
                            object_pairs_hook=unique)
    except (ValueError, RecursionError) as error:
        yield str(error)
        return
    kind = record.get("ev")
    if not isinstance(kind, str) or kind not in validators:
        yield f"ev {kind!r} is unknown"
        return
    faults = [f"{kind}: {error.json_path}: {error.message[:200]}"
              for error in schema_errors(validators[kind], record)]
    yield from faults
    if not faults:
        for fault in trace.take(record):
            yield f"{kind}: {fault}"


def check_trace(path, validators):
    """Yield (line, fault)."""
    trace = Trace()
    with open(path, "rb") as lines:
        for trace.line, raw in enumerate(lines, 1):
            text = raw.strip(b"\0\n")
            if not text:
                continue
            if not text.startswith(b"{"):
                trace.torn += 1
                continue
            for fault in check_line(trace, text, validators):
                yield trace.line, fault
    yield from trace.finish()
    if trace.torn:
        print(f"{path}: {trace.torn} torn lines")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--schema", type=pathlib.Path, default=SCHEMA)
    parser.add_argument("traces", nargs="+")
    args = parser.parse_args()
    validators = load_validators(args.schema)
    status = 0
    for path in args.traces:
        for number, (line, fault) in enumerate(check_trace(path, validators)):
            status = 1
            if number == FAULTS_MAX:
                print(f"{path}: more faults", file=sys.stderr)
                break
            print(f"{path}:{line}: {fault}", file=sys.stderr)
    return status


if __name__ == "__main__":
    sys.exit(main())

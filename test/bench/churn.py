#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""
churn.py [ROUNDS]: what a service in Python does to the heap, with PYTHONMALLOC=malloc about 1.2
million allocations a round: records are made, written as JSON, read back, grouped and dropped, and
a window slides over many small tuples.
"""
import json
import sys

RECORDS = 7500
WINDOW = 4000


def record(i):
    return {"key": i, "title": f"record {i}", "labels": [f"group{i % 13}", f"shard{i % 7}"],
            "readings": [i / 3, i + 1, False, None], "nested": {"text": str(i * 7), "steps": list(range(i % 10))}}


def groups(records):
    """Sum of the keys, by taking the records apart into groups."""
    by_end = {}
    for one in records:
        by_end.setdefault(one["title"][-2:], []).append(one)
    return sum(sum(one["key"] for one in by_end.pop(end)) for end in list(by_end))


def window():
    kept = []
    for i in range(130_000):
        kept.append((str(i), i))
        if len(kept) > WINDOW:
            kept = kept[WINDOW // 2:]
    return len(kept)


def main():
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 17
    total = 0
    for _ in range(rounds):
        # Kept until the next round has its own: the collector has much to look through.
        records = [record(i) for i in range(RECORDS)]
        back = json.loads(json.dumps(records))
        total += groups(back) + window() + len(records)
    print(total)


main()

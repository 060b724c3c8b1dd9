# SPDX-License-Identifier: MIT
"""
The figures of heap.py: collected by workload and tool, held against limits, and laid out as tables,
as text or as Markdown.
"""
import dataclasses
import statistics
import sys

import tools

MIB = 2 ** 20
# Own memory that the design allows: a base, and so much for each frame of the stack tree.
BASE_BYTES = 8 * MIB
FRAME_BYTES = 64


@dataclasses.dataclass
class Limit:
    value: float
    at_least: bool
    what: str


LIMITS = {
    "W1": Limit(100, False, "ns added to a pair, one thread"),
    "W1-peer": Limit(4, True, f"times less than {tools.RAW_PEER} adds"),
    "W2": Limit(1.2, False, "times what one thread's pair costs more, with two threads"),
    "W4": Limit(1.3, False, "times native, sqlite3"),
    "W5": Limit(2.0, False, "times native, python3"),
    "W6": Limit(1.3, False, "times native, gcc"),
    "W7": Limit(1.6, False, "times native, redis"),
    "bytes": Limit(20, False, "bytes an operation"),
    "memory": Limit(1, False, "times the memory allowed, 8 MiB and 64 bytes per frame"),
    "reading": Limit(20, True, "million operations read a second"),
}


def parse_limits(text):
    """The limits, with the values that @text gives instead."""
    limits = dict(LIMITS)
    for item in filter(None, (text or "").split(",")):
        name, _, value = item.partition("=")
        try:
            limits[name] = dataclasses.replace(limits[name], value=float(value))
        except (KeyError, ValueError):
            sys.exit(f"heap.py: --limits: {item}: not NAME=VALUE, where NAME is one of {', '.join(LIMITS)}")
    return limits


@dataclasses.dataclass
class Table:
    title: str
    head: list
    rows: list


def allowed_bytes(found):
    return BASE_BYTES + FRAME_BYTES * found["frames"]


def median(values):
    return statistics.median(values)


def spread(values, form):
    """The median and, if there are several, the extremes."""
    text = form(median(values))
    return text if len(values) == 1 else f"{text} ({form(min(values)).lstrip('+')}–{form(max(values)).lstrip('+')})"


class Results:
    def __init__(self, works, compared):
        self.works, self.tools = works, compared
        self.native, self.samples, self.notes, self.failures = {}, {}, {}, {}
        self.analysis, self.analysed_operations = {}, 0
        self.disk, self.machine, self.traces, self.absent = None, {}, {}, []

    def add_native(self, work, run):
        for figure, value in run.figures.items():
            self.native.setdefault(figure, []).append(value)

    def add(self, work, tool, native, run):
        resident = run.resident - native.resident if run.resident and native.resident else None
        for figure, value in run.figures.items():
            base = native.figures[figure]
            self.samples.setdefault((figure, tool.name), []).append(
                {"native": base, "value": value, "added": value - base, "ratio": value / base,
                 "wall": run.wall, "cpu": run.cpu, "native_wall": native.wall, "native_cpu": native.cpu,
                 "written": run.written, "resident_added": resident})

    def add_failure(self, work, tool, why):
        self.failures[(work.key, tool.name)] = why

    def failed(self, work, tool):
        return (work.key, tool.name) in self.failures

    def note(self, work, tool, found):
        self.notes[(work.key, tool.name)] = found

    def values(self, figure, tool, member):
        return [sample[member] for sample in self.samples.get((figure, tool), [])]

    def first_figure(self, work):
        return next(iter(work.figures()))

    def bytes_per_operation(self, work, tool):
        """Of the program's operations, recorded or not; None where they were not counted."""
        count = self.notes.get((work.key, tools.DEFAULT), {}).get("operations")
        written = self.values(self.first_figure(work), tool.name, "written")
        return median(written) / count if count and written and not tool.slow else None

    # Tables

    def cost_cell(self, work, figure, tool):
        if self.failed(work, tool):
            return "failed"
        values = self.values(figure, tool.name, "added" if work.unit == "ns" else "ratio")
        if not values:
            return "–"
        return spread(values, lambda value: f"{value:+.0f}" if work.unit == "ns" else f"{value:.2f}")

    def native_cell(self, work, figure):
        value = median(self.native[figure])
        if work.unit == "ns":
            return f"{value:.0f} ns"
        return f"{1e6 / value:.0f} k/s" if work.key == "W7" else f"{value:.2f} s"

    def cost_table(self):
        columns = [(work, figure, title) for work in self.works for figure, title in work.figures().items()]
        head = [""] + [f"{title}, {'ns added' if work.unit == 'ns' else 'times'}" for work, _, title in columns]
        rows = [[tools.NATIVE] + [self.native_cell(work, figure) for work, figure, _ in columns]]
        rows += [[tool.name] + [self.cost_cell(work, figure, tool) for work, figure, _ in columns]
                 for tool in self.tools]
        return Table("Time", head, rows)

    def trace_cell(self, work, tool):
        each = self.bytes_per_operation(work, tool)
        if each is None:
            return "–"
        figure = self.first_figure(work)
        rate = median([sample["written"] / sample["wall"] for sample in self.samples[(figure, tool.name)]])
        return f"{each:.1f}, {rate / 1e6:.0f}"

    def trace_table(self):
        return Table("Trace: bytes per operation of the program, MB written per second",
                     [""] + [work.title for work in self.works],
                     [[tool.name] + [self.trace_cell(work, tool) for work in self.works]
                      for tool in self.tools if not tool.slow])

    def memory_cell(self, work, tool):
        values = self.values(self.first_figure(work), tool.name, "resident_added")
        values = [value for value in values if value is not None]
        if not values:
            return "–"
        text = f"{median(values) / MIB:+.1f}"
        found = self.notes.get((work.key, tool.name))
        if found:
            text += f" of {allowed_bytes(found) / MIB:.1f}; {found['own_bytes'] / MIB:.1f}; {found['frames']}"
        return text

    def memory_table(self):
        return Table("Resident memory at its peak: MiB more than native, of 8 MiB and 64 bytes per frame;"
                     " MiB of vmtrace's own region; frames",
                     [""] + [work.title for work in self.works],
                     [[tool.name] + [self.memory_cell(work, tool) for work in self.works] for tool in self.tools])

    def analysis_table(self):
        rows = [[name, f"{self.analysed_operations / one['cpu'] / 1e6:.1f}" if self.analysed_operations else "–",
                 f"{one['wall']:.2f}", f"{one['cpu']:.2f}", f"{one['resident'] / MIB:.0f}"]
                for name, one in self.analysis.items()]
        return Table(f"Reading the trace of python3, {self.analysed_operations / 1e6:.1f} M operations",
                     ["", "M operations per s of CPU", "s", "s of CPU", "MiB resident"], rows)

    def remarks(self):
        """What has to be known beside the tables."""
        known = self.machine
        versions = ", ".join(f"{name} {version}" for name, version in known["versions"].items())
        governor = f", governor {known['governor']}" if known["governor"] else ""
        yield (f"{known['cpu']}, {known['processors']} processors{governor}, Linux {known['kernel']},"
               f" load {known['load']:.1f} at the start")
        yield versions
        yield f"traces in {self.traces['folder']} ({self.traces['file_system']})"
        yield from (f"{tool.name}: {tool.note}" for tool in self.tools if tool.note)
        if any(tool.slow for tool in self.tools):
            slow = " and ".join(tool.name for tool in self.tools if tool.slow)
            yield f"{slow}: a tenth of the work, one round"
        yield from (f"{tool} failed on {work}: {why}" for (work, tool), why in self.failures.items())
        yield from self.absent
        if self.disk:
            yield (f"with the trace on {self.disk['file_system']}: {self.disk['workload']} {self.disk['ratio']:.2f}"
                   f" times, {self.disk['bytes_per_second'] / 1e6:.0f} MB/s (one run)")

    def tables(self):
        made = [self.cost_table(), self.trace_table(), self.memory_table()]
        if self.analysis:
            made.append(self.analysis_table())
        return made, list(self.remarks())

    # Limits

    def share_of_memory(self, work, tool):
        """Of the memory that is allowed; None if it is not known."""
        values = [value for value in self.values(self.first_figure(work), tool.name, "resident_added")
                  if value is not None]
        found = self.notes.get((work.key, tool.name))
        return median(values) / allowed_bytes(found) if values and found else None

    def missed(self, limits):
        """A line for each limit that is not kept. What was not measured misses none."""
        def line(name, value, where=""):
            limit = limits[name]
            if (value >= limit.value) == limit.at_least or value == limit.value:
                return None
            side = "less" if limit.at_least else "more"
            return f"missed {name}{where}: {value:.4g} is {side} than {limit.value:g} {limit.what}"

        def added(figure, tool):
            values = self.values(figure, tool, "added")
            return median(values) if values else None

        one, two, peer = added("W1", tools.DEFAULT), added("W2", tools.DEFAULT), added("W1", tools.RAW_PEER)
        lines = []
        if one:
            lines.append(line("W1", one))
            lines.append(line("W1-peer", peer / one) if peer else None)
            lines.append(line("W2", two / one) if two else None)
        mode = next((tool for tool in self.tools if tool.name == tools.DEFAULT), None)
        for work in self.works if mode else []:
            for figure in work.figures() if work.unit != "ns" else ():
                lines.append(line(work.key, median(self.values(figure, mode.name, "ratio")), f" ({figure})"))
            each = self.bytes_per_operation(work, mode)
            lines.append(line("bytes", each, f" ({work.key})") if each else None)
            share = self.share_of_memory(work, mode)
            lines.append(line("memory", share, f" ({work.key})") if share else None)
        reading = self.analysis.get("vmtrace-report heap --no-symbols")
        if reading:
            lines.append(line("reading", self.analysed_operations / reading["cpu"] / 1e6))
        return [text for text in lines if text]

    def as_json(self, missed):
        return {"machine": self.machine, "traces": self.traces, "native": self.native,
                "runs": [{"figure": figure, "tool": tool, "samples": samples}
                         for (figure, tool), samples in self.samples.items()],
                "found": [{"workload": work, "tool": tool, **found}
                          for (work, tool), found in self.notes.items()],
                "failed": [{"workload": work, "tool": tool, "why": why}
                           for (work, tool), why in self.failures.items()],
                "analysis": self.analysis, "analysed_operations": self.analysed_operations,
                "disk": self.disk, "absent": self.absent, "missed": missed}


def as_text(made):
    lines = []
    for table in made[0]:
        rows = [table.head] + table.rows
        widths = [max(len(row[i]) for row in rows) for i in range(len(table.head))]
        lines.append(table.title)
        for row in rows:
            cells = [row[0].ljust(widths[0])] + [cell.rjust(width) for cell, width in zip(row[1:], widths[1:])]
            lines.append("  " + "  ".join(cells).rstrip())
        lines.append("")
    return "\n".join(lines + made[1])


def as_markdown(made):
    lines = []
    for table in made[0]:
        lines += [f"{table.title}:", "", "| " + " | ".join(table.head) + " |", "|---" * len(table.head) + "|"]
        lines += ["| " + " | ".join(row) + " |" for row in table.rows] + [""]
    return "\n".join(lines + [f"- {remark}" for remark in made[1]]) + "\n"

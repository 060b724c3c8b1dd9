#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""vmtrace-report check: its files against their schemas, its exit status, and what it leaves alone.

Usage: test_gate.py REPORT SOURCE
"""
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile

import jsonschema

from expect import expect_equal, status

HOSTILE = "/tmp/\x1b[31m<&\">]]>%0A,:\n::error::x"



def fnv(frames):
    """The id of a site."""
    hash = 0xCBF29CE484222325
    for byte in "".join(frame + "\n" for frame in frames).encode():
        hash = (hash ^ byte) * 0x100000001B3 % (1 << 64)
    return f"{hash:016x}"


def program(name="app"):
    frames = ["worker (app)", "main (app)"]
    site = fnv(frames)
    totals = dict.fromkeys(
        ["vmas", "vmas_peak", "mapped_bytes", "mapped_peak_bytes", "resident_anon_bytes",
         "resident_file_bytes", "huge_bytes", "page_table_bytes", "heap_peak_bytes",
         "heap_thread_peaks_bytes",
         "heap_live_bytes", "heap_live_blocks", "threads", "unexplained", "not_captured", "lost"],
        0)
    totals.update(vmas=2, vmas_peak=[2, 4], mapped_bytes=1 << 21, max_map_count=65530)
    return {
        "name": name, "machine": "x86_64", "page_size": 4096, "tier": "libc", "traces": 1,
        "totals": totals, "sites": {site: frames},
        "regions": [
            {"role": "program", "section": "text", "perms": "r-xp", "bytes": 1 << 20},
            {"role": "anonymous", "perms": "rw-p", "origin": "app", "bytes": 1 << 20,
             "site": site}],
        "facts": [], "heap": [], "threads": []}


class Gate:
    def __init__(self, report, source, folder):
        self.report, self.folder = os.path.abspath(report), pathlib.Path(folder)
        self.data = pathlib.Path(source) / "test/data"
        self.schemas = pathlib.Path(source) / "include/vmtrace"

    def run(self, *argv):
        return subprocess.run([self.report, *argv], capture_output=True, text=True, timeout=60,
                              cwd=self.folder, env={**os.environ, "NO_COLOR": "1"})

    def write(self, name, value):
        text = value if isinstance(value, str) else json.dumps(value)
        (self.folder / name).write_text(text)
        return name

    def layout(self, name, *programs):
        return self.write(name, {"layout": 1, "programs": list(programs)})

    def validator(self, path):
        schema = json.loads(path.read_text())
        jsonschema.Draft202012Validator.check_schema(schema)
        return jsonschema.Draft202012Validator(schema)

    def expect_valid(self, path, document, what):
        errors = [error.message for error in self.validator(path).iter_errors(document)]
        expect_equal(errors[:3], [], f"{what} against {path.name}")


def changed():
    """A program with findings of several kinds."""
    after = program()
    site = next(iter(after["sites"]))
    after["regions"].append({"role": "file", "name": HOSTILE, "perms": "rw-s", "bytes": 4096})
    after["regions"].append({"role": "library", "section": "text", "name": "libz.so.1",
                             "perms": "r-xp", "bytes": 4096})
    after["facts"].append({"fact": "writable-executable", "role": "anonymous", "site": site})
    after["totals"].update(vmas=100, huge_bytes=0)
    return after


def formats(gate):
    gate.layout("base.json", program(), program("gone"))
    gate.layout("now.json", changed(), program("new"))
    done = gate.run("check", "--baseline", "base.json", "--json", "--junit", "junit.xml",
                    "--sarif", "out.sarif", "now.json")
    expect_equal((done.returncode, done.stderr), (1, ""), "a regression")
    found = json.loads(done.stdout)
    expect_equal([(f["rule"], f["severity"]) for f in found["findings"]],
                 [("writable-executable", "error"), ("library-added", "error"),
                  ("region-added", "error"), ("vmas", "error"), ("program-added", "warning"),
                  ("program-removed", "note")], "findings")
    sarif = json.loads((gate.folder / "out.sarif").read_text())
    gate.expect_valid(gate.data / "check/sarif.schema.json", sarif, "SARIF")
    rules = sarif["runs"][0]["tool"]["driver"]["rules"]
    for result in sarif["runs"][0]["results"]:
        expect_equal(rules[result["ruleIndex"]]["id"], result["ruleId"], "ruleIndex")
    xmllint = shutil.which("xmllint")
    if xmllint:
        lint = subprocess.run([xmllint, "--noout", "--schema", gate.data / "check/junit.xsd",
                               gate.folder / "junit.xml"], capture_output=True, text=True)
        expect_equal(lint.returncode, 0, f"JUnit against junit.xsd: {lint.stderr}")
    else:
        print("no xmllint: JUnit's XML was not validated")
    github = gate.run("check", "--baseline", "base.json", "--github", "now.json").stdout
    lines = [line for line in github.splitlines() if line.startswith("::")]
    expect_equal([line.split()[0] for line in lines],
                 ["::error"] * 4 + ["::warning", "::notice"], "annotations")
    strict = gate.run("check", "--strict", "--baseline", "base.json", gate.layout(
        "more.json", program(), program("new"), program("gone")))
    expect_equal(strict.returncode, 1, "--strict")
    expect_equal(gate.run("check", "--baseline", "base.json", "more.json").returncode, 0,
                 "a warning")


def printed(gate):
    """A file of "-" is standard output, where one thing is printed."""
    gate.layout("base.json", program())
    gate.layout("now.json", changed())
    told = ["check", "--baseline", "base.json", "now.json"]
    done = gate.run(*told, "--junit", "out.xml", "--sarif", "out.sarif")
    expect_equal(done.returncode, 1, "a regression")
    for option, name in ("--junit", "out.xml"), ("--sarif", "out.sarif"):
        done = gate.run(*told, option, "-")
        # JUnit's XML has the time in it.
        texts = [re.sub(r'timestamp="[^"]*"', "", text) for text in
                 (done.stdout, (gate.folder / name).read_text())]
        expect_equal((done.returncode, done.stderr, texts[0]), (1, "", texts[1]), f"{option} -")
        done = gate.run(*told, option, "-", "--partial", "--strict", "--github")
        expect_equal((done.returncode, done.stdout, len(done.stderr.splitlines())), (2, "", 1),
                     f"{option} - and --github")
    for argv in (["--junit", "-", "--sarif", "-"], ["--junit", "-", "--json"],
                 ["--json", "--github"]):
        done = gate.run(*told, *argv)
        expect_equal((done.returncode, done.stdout, done.stderr),
                     (2, "", "vmtrace-report: check: --json, --github, --junit - and --sarif - all "
                      "want the output: one of them can have it\n"), f"{argv}")
    done = gate.run("check", "--baseline", "-", "--update", "now.json")
    expect_equal((done.returncode, done.stdout, done.stderr[:51]),
                 (2, "", "vmtrace-report: check: --update can't write to stan"), "--update of -")
    expect_equal((gate.folder / "-").exists(), False, "a file named -")
    done = gate.run(*told, "--junit", "./-")
    expect_equal((done.returncode, (gate.folder / "-").exists()), (1, True), "a file named -")


def schemas(gate):
    layout, rules = gate.schemas / "layout.schema.json", gate.schemas / "rules.schema.json"
    for path in sorted((gate.data / "valid").glob("*.json")):
        done = gate.run("layout", "--no-symbols", str(path))
        if done.returncode == 0:
            gate.expect_valid(layout, json.loads(done.stdout), path.name)
    gate.expect_valid(layout, {"layout": 1, "programs": [changed()]}, "a layout made by hand")
    for name in ("default", "hardening"):
        text = gate.run("check", "--print-rules", name).stdout
        gate.expect_valid(rules, json.loads(text), name)
        expect_equal(gate.run("check", "--rules", gate.write("set.json", text), gate.layout(
            "one.json", program())).returncode, 0, f"{name} from a file")
    # The schema knows the rules that the program knows.
    known = [line.split()[0] for line in gate.run("check", "--list-rules").stdout.splitlines()]
    schema = json.loads(rules.read_text())
    expect_equal(schema["$defs"]["rule"]["properties"]["rule"]["enum"], known, "names of rules")
    validator = gate.validator(rules)
    for entry in ({"rule": "flags", "tolerance": "1%"}, {"rule": "vmsa", "max": 1},
                  {"rule": "vmas", "allow": []}, {"rule": "flags", "allow": [{}]}):
        document = {"rules_version": 1, "rules": [entry]}
        expect_equal(validator.is_valid(document), False, f"{entry} by the schema")
        expect_equal(gate.run("check", "--rules", gate.write("bad.json", document),
                              "one.json").returncode, 2 if entry.get("allow") != [] else 2,
                     f"{entry}")


def unusable(gate):
    gate.layout("base.json", program())
    gate.layout("now.json", program())
    other = {}
    for key, value in {"machine": "riscv64", "page_size": 16384, "tier": "all",
                       "name": "other"}.items():
        other[key] = {**program(), key: value}
    cases = {
        "baseline of a machine": (["--baseline", gate.layout("m.json", other["machine"])],
                                  "m.json: app was traced on riscv64, now on x86_64"),
        "page size": (["--baseline", gate.layout("p.json", other["page_size"])],
                      "p.json: "),
        "tier": (["--baseline", gate.layout("t.json", other["tier"])],
                 "t.json: app was traced at tier all, now at libc"),
        "program": (["--baseline", gate.layout("n.json", other["name"])],
                    "n.json: a baseline of other, not of app"),
        "version": (["--baseline", gate.write("v.json", {"layout": 2, "programs": []})], "v.json"),
        "malformed": (["--baseline", gate.write("x.json", '{"layout": 1,\n')], "x.json:"),
        "traces": (["--baseline", gate.layout("s.json", {**program(), "traces": 2**63 - 1})],
                   "s.json: programs[0]: traces is out of range"),
        "flags": (["--baseline", gate.layout("f.json", {**program(), "regions": [
            {"role": "heap", "perms": "rw-p", "bytes": 1, "flags": "lo x"}]})],
            "f.json: programs[0].regions[0]: flags is no list"),
        "missing": (["--baseline", "missing.json"], "missing.json: "),
        "empty trace": ([gate.write("empty.json", "")], "empty.json"),
        "rules": (["--rules", gate.write("r.json", '{"rules_version": 1,\n}')], "r.json:2: "),
        "rule": (["--rules", gate.write("r2.json", {"rules_version": 1, "rules": [
            {"rule": "vmas"}, {"rule": "flgs"}]})],
            "r2.json: rules[1]: unknown rule 'flgs'; did you mean 'flags'?"),
        "tolerance": (["--tolerance", "x"], "check: --tolerance wants a percentage"),
        "update alone": (["--update"], "check: --update wants a --baseline"),
    }
    for what, (argv, want) in cases.items():
        done = gate.run("check", *argv, "--junit", "no.xml", "--sarif", "no.sarif", "now.json")
        lines = done.stderr.splitlines()
        expect_equal((done.returncode, len(lines), done.stdout), (2, 1, ""), f"{what}: {lines}")
        expect_equal(lines and lines[0].startswith(f"vmtrace-report: {want}"), True,
                     f"{what}: {lines}")
    for name in ("no.xml", "no.sarif"):
        expect_equal((gate.folder / name).exists(), False, f"{name} was written")
    for argv in (["--bsaeline"], [], ["--print-rules", "defautl"]):
        done = gate.run("check", *argv)
        expect_equal((done.returncode, len(done.stderr.splitlines())), (2, 1), f"check {argv}")


def update(gate):
    gate.layout("now.json", program())
    path = gate.folder / "new.json"
    done = gate.run("check", "--baseline", "new.json", "--update", "now.json")
    expect_equal((done.returncode, done.stderr), (0, ""), "--update of nothing")
    first = path.read_bytes()
    path.chmod(0o640)
    link = gate.folder / "link.json"
    link.symlink_to("new.json")
    gate.layout("now.json", changed())
    expect_equal(gate.run("check", "--baseline", "link.json", "now.json").returncode, 1, "a change")
    expect_equal(path.read_bytes(), first, "a check leaves the baseline alone")
    expect_equal(gate.run("check", "--baseline", "link.json", "--update", "now.json").returncode, 0,
                 "--update")
    expect_equal((link.is_symlink(), path.stat().st_mode & 0o777, path.read_bytes() != first),
                 (True, 0o640, True), "what --update keeps")
    expect_equal(gate.run("check", "--baseline", "new.json", "now.json").returncode, 0,
                 "after --update")
    expect_equal(gate.run("check", "--rules", "hardening", "--baseline", "new.json", "--update",
                          "now.json").returncode, 1, "--update accepts nothing that is forbidden")
    second = path.read_bytes()
    gate.write("bad.json", "{")
    expect_equal(gate.run("check", "--baseline", "new.json", "--update", "now.json",
                          "bad.json").returncode, 2, "--update with a bad trace")
    expect_equal(path.read_bytes(), second, "the baseline after that")
    foreign = gate.write("notes.txt", "important\n")
    expect_equal(gate.run("check", "--baseline", foreign, "--update", "now.json").returncode, 2,
                 "--update over another file")
    expect_equal((gate.folder / foreign).read_text(), "important\n", "the other file")
    expect_equal(sorted(p.name for p in gate.folder.iterdir() if p.name.count(".") > 1), [],
                 "temporary files")


def accept(gate):
    """What a finding proposes lets it pass."""
    gate.layout("base.json", program())
    gate.layout("now.json", changed())
    found = json.loads(gate.run("check", "--baseline", "base.json", "--json", "now.json").stdout)
    entries = []
    for finding in found["findings"]:
        entries.append(json.loads(finding["accept"].split("add to the rules: ", 1)[1]))
    rules = {"rules_version": 1, "rules": entries}
    gate.expect_valid(gate.schemas / "rules.schema.json", rules, "proposed rules")
    done = gate.run("check", "--baseline", "base.json", "--rules", gate.write("r.json", rules),
                    "now.json")
    expect_equal((done.returncode, done.stderr), (0, ""), f"with what was proposed: {done.stdout}")


def kernels(gate):
    """What a newer kernel maps by itself is no finding."""
    gate.layout("base.json", program())
    newer = program()
    newer["regions"].append({"role": "vdso", "name": "[vvar_vclock]", "perms": "r--p",
                             "flags": "dd", "bytes": 8192})
    newer["totals"]["vmas"] += 1
    done = gate.run("check", "--baseline", "base.json", gate.layout("now.json", newer))
    expect_equal((done.returncode, done.stderr), (0, ""), f"a newer kernel: {done.stdout}")


def inputs(gate):
    """Pipes, standard input, folders, and what can't be written to."""
    base = gate.folder / gate.layout("base.json", program())
    text = base.read_bytes()

    def pipe(*argv):
        return subprocess.run([gate.report, *argv], input=text, capture_output=True, timeout=60,
                              cwd=gate.folder)

    expect_equal(pipe("diff", "base.json", "-").stdout, b"app: equal\n", "a layout from a pipe")
    expect_equal(pipe("diff", "base.json", "/dev/stdin").returncode, 0, "/dev/stdin")
    expect_equal(pipe("check", "--baseline", "-", "base.json").returncode, 0, "--baseline -")
    trace = (gate.data / "valid/small.json").read_bytes()
    text = trace
    expect_equal(pipe("layout", "-").stdout,
                 gate.run("layout", str(gate.data / "valid/small.json")).stdout.encode(),
                 "a trace from a pipe")
    for argv in (["layout", "."], ["check", "."], ["check", "--rules", ".", "base.json"],
                 ["check", "--baseline", ".", "base.json"],
                 ["check", "--baseline", ".", "--update", "base.json"]):
        done = gate.run(*argv)
        expect_equal((done.returncode, done.stderr), (2, "vmtrace-report: .: Is a directory\n"),
                     f"a folder: {argv}")
    for argv in (["layout", "base.json"], ["diff", "base.json", "base.json"],
                 ["check", "base.json"], ["check", "--json", "base.json"], ["layout", "--help"]):
        with open("/dev/full", "w") as full:
            status = subprocess.run([gate.report, *argv], stdout=full, stderr=subprocess.DEVNULL,
                                    cwd=gate.folder).returncode
        expect_equal(status, 2, f"a full disk: {argv}")
    expect_equal(gate.run("check", "--sarif", "/dev/full", "base.json").returncode, 2, "--sarif")
    expect_equal(gate.run("check", "-gx", "base.json").stderr,
                 "vmtrace-report check: -g is no option of it (see --help)\n", "a letter")
    other = gate.layout("other.json", {**program(), "tier": "all"})
    done = gate.run("layout", "base.json", other)
    expect_equal((done.returncode, done.stderr),
                 (2, "vmtrace-report: other.json: app at tier all on x86_64, other traces of it at "
                     "tier libc on x86_64\n"), "layouts of two tiers")


def incomplete(gate):
    """Damaged traces, and those that were never compared with the kernel."""
    lines = (gate.data / "valid/small.json").read_text().splitlines()
    gate.write("good.json", "\n".join(lines) + "\n")
    gate.write("bad.json", "\n".join(lines[:-2]) + '\n{"ev":"call"}\n')
    gate.write("headless.json", '{"ev":"call"}\n')
    header = json.loads(lines[0])
    header["verify"] = {"mode": "off"}
    gate.write("off.json", "\n".join([json.dumps(header), *lines[1:]]) + "\n")
    gate.write("none.json", {"rules_version": 1, "extends": [], "rules": []})
    for command, some in (("layout", []), ("check", ["--rules", "none.json"])):
        done = gate.run(command, "bad.json")
        expect_equal((done.returncode, done.stdout), (2, ""), f"{command} of a damaged trace")
        done = gate.run(command, *some, "--partial", "bad.json")
        expect_equal((done.returncode, done.stderr.count("\n")), (0, 1), f"{command} --partial")
        done = gate.run(command, "--partial", "headless.json")
        expect_equal((done.returncode, done.stdout), (2, ""), f"{command} without a header")
    expect_equal(gate.run("check", *some, "--partial", "headless.json", "bad.json").returncode, 0,
                 "one that can be used")

    def missing(*names):
        done = json.loads(gate.run("check", "--rules", "hardening", "--json", "--partial",
                                   "--require-complete", *names).stdout)
        return [f["after"] for f in done["findings"] if f["rule"] == "incomplete"]

    expect_equal(missing("good.json"), [], "a complete trace")
    expect_equal(missing("bad.json"), ["lost: unknown"], "a damaged trace")
    never = ["unexplained: unknown, not captured: unknown"]
    expect_equal(missing("off.json"), never, "verify off")
    expect_equal(missing("good.json", "off.json"), never, "verify off in one of two")
    expect_equal(missing("off.json", "good.json"), never, "verify off in the other")


def shared(gate):
    """A vma that two callers share: what is resident belongs to who mapped it there."""
    lines = (gate.data / "valid/small.json").read_text().splitlines()
    at = max(i for i, line in enumerate(lines) if '"ev":"call"' in line) + 1
    start, half = 0x7ffff0000000, 0x400000
    calls = [json.dumps({"ev": "call", "seq": int(json.loads(lines[at - 1])["seq"]) + 1 + i,
                         "t": 6000 + i, "tid": 4711, "call": "mmap",
                         "args": {"addr": "0x0", "length": half, "prot": 3, "flags": 34, "fd": -1,
                                  "offset": 0},
                         "ret": hex(start + i * half), "origin": origin, "stack": 2})
             for i, origin in enumerate(("app", "raw"))]
    last = max(i for i, line in enumerate(lines) if '"ev":"frames"' in line)

    classes = [{"pagemap": "0x8000000000000000", "huge": False},  # anonymous
               {"pagemap": "0x8000000000000000", "huge": True},
               {"pagemap": "0x4000000000000000", "swap_type": 0},
               {"pagemap": "0x0400000000000000"},  # a guard page
               {"pagemap": "0xa000000000000000"}]  # a file's

    anon, huge, swap, guard, file = range(3, 8)

    def resident(*lines_of_runs, known=classes):
        told = [{"ev": "page_class", "t": 7003, "id": 3 + i, **c} for i, c in enumerate(known)]
        at_line = start
        for size, runs in lines_of_runs:
            told.append({"ev": "frames", "t": 7003, "pfn": "hidden", "start": hex(at_line),
                         "end": hex(at_line + size), "runs": runs,
                         "resident": sum(run[2] for run in runs if run[3] in (anon, huge, file)),
                         "swapped": sum(run[2] for run in runs if run[3] == swap)})
            at_line += size
        gate.write("trace.json", "\n".join([*lines[:at], *calls, *lines[at:last],
                                            *map(json.dumps, told), *lines[last:]]) + "\n")
        done = gate.run("layout", "--no-symbols", "--partial", "trace.json")
        regions = json.loads(done.stdout)["programs"][0]["regions"]
        return [(r["origin"], r.get("resident", 0) // 4096, r.get("huge", 0) // 4096)
                for r in regions if r["bytes"] == half]

    runs = [[1, 0x77, 80, anon], [943, 0x329, 512, huge], [0, 0, 8, anon]]
    expect_equal(resident((2 * half, runs)), [("app", 80, 0), ("raw", 520, 512)], "with frames")
    expect_equal(resident((half, runs[:1]), (half, [[0, 0, 8, anon]])),
                 [("app", 80, 0), ("raw", 8, 0)], "a vma of two lines")
    expect_equal(resident((2 * half, [[1, 0, 80, anon], [0, 0, 9, swap], [1000, 0, 3, guard],
                                      [0, 0, 5, file]])),
                 [("app", 80, 0), ("raw", 0, 0)], "swap, guard pages and files")
    expect_equal(resident((2 * half, [[1023, 0, 2, huge]])), [("app", 1, 1), ("raw", 1, 1)],
                 "a run that both have")
    old = [{"pagemap": c["pagemap"], **({"kpageflags": "0x400000"} if c.get("huge") else {})}
           for c in classes]
    expect_equal(resident((2 * half, runs), known=old), [("app", 80, 0), ("raw", 520, 512)],
                 "huge by kpageflags")
    expect_equal(resident((2 * half, [[0, 0, 2, 4000000000]])), [("app", 2, 0), ("raw", 0, 0)],
                 "a class that was not told")
    expect_equal(resident((2 * half, runs), (-half, [])), [("app", 80, 0), ("raw", 520, 512)],
                 "a line that is none")
    expect_equal(resident((2 * half, [[0, 1, 2**63 - 1, anon]])), [("app", 0, 0), ("raw", 0, 0)],
                 "a run too long")


def many(gate):
    """10,000 regions of which 5,000 are others: far from the seconds of a loop within a loop."""
    def layout(name, tag):
        after = program()
        for i in range(10000):
            frames = [f"{tag if i < 5000 else 'f'}{i} (app)", "main (app)"]
            after["sites"][fnv(frames)] = frames
            after["regions"].append({"role": "anonymous", "perms": "rw-p", "origin": "raw",
                                     "bytes": 4096, "site": fnv(frames)})
            after["facts"].append({"fact": "deleted-file", "role": "file", "name": f"/{tag}{i}"})
        return gate.layout(name, after)

    layout("base.json", "a"), layout("now.json", "b")
    expect_equal(gate.run("check", "--baseline", "base.json", "now.json").returncode, 1, "many")


def main():
    report, source = sys.argv[1:]
    for test in (formats, printed, schemas, unusable, update, accept, kernels, inputs, incomplete,
                 shared, many):
        with tempfile.TemporaryDirectory() as folder:
            test(Gate(report, source, folder))
    return status()


if __name__ == "__main__":
    sys.exit(main())

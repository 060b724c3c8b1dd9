# SPDX-License-Identifier: MIT
"""
Layouts as a gate: silent on a program that did not change, and on one that did, one finding that
says what, where and by whom. See layout_app.c for the faults.
"""
import json
import os
import pathlib
import shutil
import signal
import subprocess

import jsonschema

import harness
from harness import Skip, case, expect, expect_equal, shorten
from workloads import PYTHON, c_source, program, redis_session, sql

BASELINE_RUNS = 3

# What a check says about each fault: rule, role, name, and who did it.
FAULTS = {
    "THREAD": ("thread-added", "thread-stack", "", "start_threads (app)"),
    "WX": ("writable-executable", "jit", "", "map_code (app)"),
    "TEXT": ("writable-text", "program", "", "patch_text (app)"),
    "EXECSTACK": ("executable-stack", "stack", "", None),
    "NORELRO": ("missing-relro", "program", "", None),
    "NOGUARD": ("missing-guard", "thread-stack", "", "start_threads (app)"),
    "LEAK": ("heap-site", "heap", "", "leak (app)"),
    "ARENA": ("resident", "malloc-arena", "", "work (app)"),
    "VMAS": ("region-split", "anonymous", "", "map_buffer (app)"),
    "RESIDENT": ("resident", "anonymous", "", "map_buffer (app)"),
    "NOHUGE": ("flags", "anonymous", "", "map_huge (app)"),
    "LIBRARY": ("library-added", "library", "libm.so.6", None),
    "DELETED": ("deleted-file", "file", "/tmp/*", "map_file (app)"),
    "RAW": ("mapping-raw", "anonymous", "", "map_raw (app)"),
}


def record(bench, run):
    """The traces of one run."""
    for path in bench.trace_files():
        path.unlink()
    run()
    return bench.trace_files()


def baseline(bench, run, name="layout.json"):
    """From some runs, by way of a layout of each."""
    path, parts = bench.tmp / name, []
    for number in range(BASELINE_RUNS):
        parts.append(bench.tmp / f"part.{number}.json")
        parts[-1].write_bytes(bench.report("layout", *record(bench, run)))
    path.write_bytes(bench.report("layout", *parts))
    return path


def check(bench, layout, traces, *options, status=None):
    done = subprocess.run([bench.report_program, "check", "--baseline", layout, "--json", *options,
                           *traces], capture_output=True, timeout=harness.TIMEOUT_S,
                          env=bench.environment())
    expect(done.returncode in (0, 1), f"check: {done.stderr.decode()}")
    if status is not None:
        expect_equal(done.returncode, status, "status of the check")
    return json.loads(done.stdout)["findings"]


def build_of(bench, fault):
    """A build of layout_app.c under the one name that all of them go by."""
    path = bench.bin / "app"
    build = pathlib.Path(bench.report_program).resolve().parent.parent
    shutil.copy(build / "test/run" / f"layout_app_{fault}", path)
    path.chmod(0o755)
    return path


def app(bench, fault):
    path = build_of(bench, fault)
    return lambda: expect_equal(bench.run([path], bench.preload(capture="all")).stdout, b"done\n",
                                "output")


@case
def fault(bench):
    """One fault is one finding: the right rule, region and site."""
    name = bench.arguments[0]
    layout = baseline(bench, app(bench, "BASE"))
    expect_equal(check(bench, layout, record(bench, app(bench, "BASE")), status=0), [],
                 "findings without a fault")
    findings = check(bench, layout, record(bench, app(bench, name)), status=1)
    rule, role, what, site = FAULTS[name]
    expect_equal([finding["rule"] for finding in findings], [rule], "rules of the findings")
    found = findings[0]
    region = found["region"]
    expect_equal((found["program"], region["role"], region.get("name", "")), ("app", role, what),
                 "region")
    if site:
        expect(site in found["site"]["frames"], f"{site} is not in {found['site']}")


def run_program(bench, argv, stdin=b"", **settings):
    return lambda: bench.run(argv, bench.preload(**settings), stdin)


def gcc_run(bench):
    source = bench.tmp / "big.c"
    source.write_text("".join(c_source(60)))
    return run_program(bench, [program("/usr/bin/gcc"), "-O1", source, "-o", "big"])


STABLE = {
    "sqlite": lambda bench: run_program(bench, [program("/usr/bin/sqlite3"), ":memory:"],
                                        "\n".join(sql(3000)).encode()),
    "python": lambda bench: run_program(bench, [program("/usr/bin/python3"), "-c", PYTHON]),
    "gcc": gcc_run,
    "redis": lambda bench: lambda: redis_session(bench, bench.preload()),
    "threads": lambda bench: run_program(bench, [bench.program]),
}


@case
def stable(bench):
    """The same program again: nothing to tell."""
    name, runs = bench.arguments[0], int(bench.arguments[1])
    run = STABLE[name](bench)
    layout = baseline(bench, run)
    alarms = []
    for _ in range(runs):
        alarms += check(bench, layout, record(bench, run))
    print(f"{runs} runs, {len(alarms)} findings")
    for alarm in alarms[:10]:
        print("   ", json.dumps(alarm)[:400])
    expect_equal(len(alarms), 0, "false alarms")


REGRESSION, UNUSABLE = 1, 2
SOURCE = pathlib.Path(__file__).resolve().parents[2]


def gate(bench, options, *argv):
    """vmtrace check; its temporary files must be gone afterwards, however it ends."""
    bench.reachable(bench.report_program)
    temp = bench.tmp / "temp"
    temp.mkdir(exist_ok=True)
    bench.give(temp)
    result = bench.run([bench.launcher, "check", "--library", bench.library, *options, *argv],
                       {"TMPDIR": str(temp), "NO_COLOR": "1"})
    expect_equal(list(temp.iterdir()), [], "temporary files")
    return result


def expect_valid(path, document):
    schema = json.loads(path.read_text())
    errors = [error.message for error in
              jsonschema.Draft202012Validator(schema).iter_errors(document)]
    expect_equal([shorten(error, 300) for error in errors[:3]], [], f"against {path.name}")


def layout_schema():
    return SOURCE / "include/vmtrace/layout.schema.json"


@case
def gate_statuses(bench):
    """A baseline, the same again, a regression, and the status it is to have."""
    path = bench.tmp / "layout.json"
    result = gate(bench, ["--baseline", path, "--update"], "--", build_of(bench, "BASE"))
    expect_equal((result.status, result.stderr), (0, b""), "--update")
    before = path.read_bytes()
    expect_valid(layout_schema(), json.loads(before))
    result = gate(bench, ["--baseline", path], "--", bench.bin / "app")
    expect_equal(result.status, 0, f"the same again: {result.stdout.decode()}")
    lines = result.stdout.decode().splitlines()
    expect_equal((lines[0], lines[1].split(":")[:2]), ("done", ["check", " clean"]), "output")
    build_of(bench, "LEAK")
    for options, status in ([], REGRESSION), (["--exit-status=7"], 7):
        result = gate(bench, ["--baseline", path, *options], "--", bench.bin / "app")
        expect_equal(result.status, status, f"a leak with {options}")
        expect(b"error heap-site  heap\n" in result.stdout, "the finding is told")
    expect_equal(path.read_bytes(), before, "the baseline")
    rules = bench.tmp / "rules.json"
    rules.write_text(json.dumps({"rules_version": 1, "rules": [
        {"rule": "heap-site", "allow": [{"site": "leak"}]}]}))
    result = gate(bench, ["--baseline", path, "--rules", rules], "--", bench.bin / "app")
    expect_equal(result.status, 0, f"with an exemption: {result.stdout.decode()}")
    result = gate(bench, ["--baseline", path, "--update"], "--", bench.bin / "app")
    expect_equal((result.status, path.read_bytes() != before), (0, True), "--update with the leak")
    expect_equal(gate(bench, ["--baseline", path], "--", bench.bin / "app").status, 0,
                 "after --update")


@case
def gate_own(bench):
    """The rules that vmtrace-report is held to find what they are for."""
    rules = SOURCE / "test/data/check/self.json"
    for name in "WX", "EXECSTACK", "NORELRO", "NOGUARD", "LEAK":
        result = gate(bench, ["--rules", rules, "--json"], "--", build_of(bench, name))
        expect_equal(result.status, REGRESSION, name)
        found = json.loads(result.stdout.partition(b"\n")[2])["findings"]
        expect(FAULTS[name][0] in [finding["rule"] for finding in found],
               f"{name}: {[finding['message'] for finding in found]}")


@case
def gate_fails(bench):
    """A program that fails keeps its status, and nothing is checked or written."""
    for script, status in (("exit 3", 3), ("exit 1", 1), ("kill -KILL $$", 128 + signal.SIGKILL),
                           ("kill -TERM $$", 128 + signal.SIGTERM)):
        written = [bench.tmp / name for name in ("layout.json", "junit.xml", "out.sarif")]
        result = gate(bench, ["--baseline", written[0], "--update", "--junit", written[1],
                              "--sarif", written[2], "--exit-status=7"],
                      "--", "/bin/sh", "-c", script)
        expect_equal((result.status, result.stdout, result.stderr), (status, b"", b""), script)
        expect_equal(result.ours, [f"vmtrace: /bin/sh: exit status {status}; its layout was not "
                                   "checked\n".encode()], f"lines after {script}")
        expect_equal([path.name for path in written if path.exists()], [], "written files")


@case
def gate_formats(bench):
    path = bench.tmp / "layout.json"
    app = build_of(bench, "BASE")
    gate(bench, ["--baseline", path, "--update", "-q"], "--", app)
    build_of(bench, "WX")
    junit, sarif = bench.tmp / "junit.xml", bench.tmp / "out.sarif"
    result = gate(bench, ["--baseline", path, "--json", "--junit", junit, "--sarif", sarif],
                  "--", app)
    expect_equal((result.status, result.stderr), (REGRESSION, b""), "a regression")
    said, _, document = result.stdout.partition(b"\n")
    expect_equal(said, b"done", "the program's output")
    findings = json.loads(document)["findings"]
    expect_equal([found["rule"] for found in findings], ["writable-executable"], "findings")
    expect_valid(SOURCE / "test/data/check/sarif.schema.json", json.loads(sarif.read_text()))
    lint = shutil.which("xmllint")
    if lint:
        done = subprocess.run([lint, "--noout", "--schema", SOURCE / "test/data/check/junit.xsd",
                               junit], capture_output=True, text=True)
        expect_equal(done.returncode, 0, f"JUnit against junit.xsd: {done.stderr}")
    result = gate(bench, ["--baseline", path, "--github"], "--", app)
    notes = [line for line in result.stdout.decode().splitlines() if line.startswith("::")]
    expect_equal([note.split()[0] for note in notes], ["::error"], "annotations")
    expect("map_code (app)" in notes[0], f"the site is not in {notes[0]}")


def spoiled(layout, **members):
    document = json.loads(layout)
    document["programs"][0].update(members)
    return json.dumps(document)


@case
def gate_unusable(bench):
    """One line, status 2, nothing written."""
    good, app = bench.tmp / "good.json", build_of(bench, "BASE")
    gate(bench, ["--baseline", good, "--update", "-q"], "--", app)
    text = good.read_text()
    bad = bench.tmp / "bad.json"
    outputs = [bench.tmp / "junit.xml", bench.tmp / "out.sarif"]
    writing = ["--junit", outputs[0], "--sarif", outputs[1]]
    for content, what in ((text[:len(text) // 2], "bad.json:"), ("", "bad.json:1: empty file"),
                          ("[]\n", "bad.json:"),
                          (spoiled(text, machine="riscv64"),
                           "bad.json: app was traced on riscv64, now on x86_64"),
                          (spoiled(text, page_size=16384),
                           "bad.json: programs[0]: page_size is not 4096"),
                          (spoiled(text, tier="all"),
                           "bad.json: app was traced at tier all, now at libc"),
                          (spoiled(text, name="other"), "bad.json: a baseline of other, not of app"),
                          (None, "bad.json: No such file or directory")):
        bad.unlink(missing_ok=True)
        if content is not None:
            bad.write_text(content)
        result = gate(bench, ["--baseline", bad, *writing], "--", app)
        lines = result.stderr.decode().splitlines()
        expect_equal((result.status, len(lines), result.stdout), (UNUSABLE, 1, b"done\n"),
                     f"{what}: {lines}")
        expect(what in lines[0] and lines[0].startswith("vmtrace-report: "), f"{what}: {lines}")
        expect_equal(bad.read_text() if bad.exists() else None, content, f"{what}: the baseline")
    for options in (["--bsaeline", good], ["--baseline"], ["-o", "x"], ["--report"],
                    ["--exit-status=0"], ["--exit-status=256"], ["--exit-status=x"]):
        result = gate(bench, [*options, *writing], "--", app)
        expect_equal((result.status, result.stdout), (UNUSABLE, b""), f"{options}")
        expect(result.ours or result.stderr, f"{options}: nothing is said")
    result = gate(bench, ["--rules", "default", *writing], "--", "/nonexistent")
    expect_equal((result.status, result.stdout, len(result.ours)), (UNUSABLE, b"", 1), "no program")
    expect_equal([path.name for path in outputs if path.exists()], [], "written files")


@case
def gate_atomic(bench):
    """A baseline that can't be replaced stays as it was."""
    if not bench.unprivileged and os.geteuid() == 0:
        raise Skip("root may write to any folder")
    folder, app = bench.tmp / "closed", build_of(bench, "BASE")
    folder.mkdir()
    bench.give(folder)
    path = folder / "layout.json"
    gate(bench, ["--baseline", path, "--update"], "--", app)
    before = path.read_bytes()
    folder.chmod(0o555)
    build_of(bench, "LEAK")
    result = gate(bench, ["--baseline", path, "--update"], "--", app)
    folder.chmod(0o755)
    expect_equal((result.status, len(result.stderr.splitlines())), (UNUSABLE, 1),
                 f"--update in a closed folder: {result.stderr.decode()}")
    expect_equal((path.read_bytes(), [entry.name for entry in folder.iterdir()]),
                 (before, ["layout.json"]), "the folder")


@case
def gate_tree(bench):
    """Each program of a tree has a layout; rules speak of one by its name."""
    path, script = bench.tmp / "layout.json", "/usr/bin/env true; /usr/bin/env true"
    tree = ["--", "/bin/sh", "-c", script]
    expect_equal(gate(bench, ["--baseline", path, "--update"], *tree).status, 0, "--update")
    layout = json.loads(path.read_text())
    expect_valid(layout_schema(), layout)
    names = [program["name"] for program in layout["programs"]]
    expect("env" in names and "true" in names, f"programs {names}")
    expect_equal(gate(bench, ["--baseline", path], *tree).status, 0, "the same again")
    rules = bench.tmp / "rules.json"
    for name, status in ("tr*", REGRESSION), ("nothing", 0):
        rules.write_text(json.dumps({"rules_version": 1, "rules": [
            {"rule": "mapped-bytes", "program": name, "max": "4 KiB"}]}))
        result = gate(bench, ["--baseline", path, "--rules", rules, "--json"], *tree)
        expect_equal(result.status, status, f"a budget of {name}")
        expect_equal({found["program"] for found in json.loads(result.stdout)["findings"]},
                     {"true"} if status else set(), "whose budget")


@case
def gate_partial(bench):
    """A damaged trace of the tree is left out, if that is asked for."""
    spoil = "echo '{\"ev\":\"call\"}' >$(echo $TMPDIR/vmtrace-check.*)/0.json"
    for options, status in ([], UNUSABLE), (["--partial"], 0):
        result = gate(bench, options, "--", "/bin/sh", "-c", spoil)
        lines = result.stderr.decode().splitlines()
        expect_equal((result.status, len(lines)), (status, 1), f"with {options}: {lines}")
        expect("/0.json:1: " in lines[0], f"the trace that is damaged: {lines}")


@case
def schemas(bench):
    """Layouts of real programs, and the built-in rules, are what the schemas say."""
    for name in "python", "gcc":
        traces = record(bench, STABLE[name](bench))
        expect_valid(layout_schema(), json.loads(bench.report("layout", *traces)))
    for name in "default", "hardening":
        expect_valid(SOURCE / "include/vmtrace/rules.schema.json",
                     json.loads(bench.report("check", "--print-rules", name)))


@case
def same_bytes(bench):
    """The same traces, read again: by a process whose memory, time zone and folder are others."""
    for name in "sqlite", "gcc":
        traces = record(bench, STABLE[name](bench))
        first = bench.report("layout", *traces)
        for extra in ({}, {"MALLOC_PERTURB_": "85"}, {"MALLOC_PERTURB_": "170", "TZ": "Asia/Tokyo", "LANG": "C"},
                      {"MALLOC_MMAP_THRESHOLD_": "1", "MALLOC_TOP_PAD_": "1"}):
            done = subprocess.run([bench.report_program, "layout", *traces], capture_output=True, check=True,
                                  timeout=harness.TIMEOUT_S, env=bench.environment(extra), cwd="/")
            expect_equal(done.stdout, first, f"layout of {name} with {extra}")
        layout = bench.tmp / "layout.json"
        layout.write_bytes(first)
        expect_equal(bench.report("layout", layout), first, f"a layout of the layout of {name}")
        backwards = json.loads(bench.report("layout", *reversed(traces)))
        expect_equal([one["name"] for one in backwards["programs"]],
                     [one["name"] for one in json.loads(first)["programs"]], "programs, by name")


def is_fine(bench, trace):
    """A layout, or one line and status 2: never a crash, never control characters."""
    done = subprocess.run([bench.report_program, "layout", "--no-symbols", trace],
                          capture_output=True, timeout=harness.TIMEOUT_S, env=bench.environment())
    expect(done.returncode in (0, UNUSABLE), f"status {done.returncode}: {done.stderr}")
    expect(b"\x1b" not in done.stdout + done.stderr, "a control character comes through")
    if done.returncode:
        expect_equal((len(done.stderr.splitlines()), done.stdout), (1, b""), "one line, no layout")
    else:
        expect_valid(layout_schema(), json.loads(done.stdout))
    return done.returncode == 0


@case
def damaged(bench):
    app(bench, "BASE")()
    good = bench.only_trace().read_bytes().splitlines(keepends=True)
    bad = bench.tmp / "bad.json"

    def layout_of(lines):
        bad.write_bytes(b"".join(lines))
        return is_fine(bench, bad)

    expect(layout_of(good), "the trace itself")
    expect(not layout_of([]), "an empty trace")
    expect(not layout_of(good[1:]), "a trace without header")
    expect(not layout_of([*good[:5], b"{nonsense\n", *good[5:]]), "a line of nonsense")
    named = next(i for i, line in enumerate(good) if b'"name":"[heap]"' in line or
                 (b'"ev":"vma"' in line and b'"name":"/' in line))
    record_of = json.loads(good[named])
    for change in ({"name": "/\x1b[31m\n\"]}"}, {"name": "x" * 100000}, {"start": "0xfffffffffffff000"},
                   {"end": "0x0"}, {"offset": 2**64}, {"offset": -1}, {"perms": "rwxq"},
                   {"name": None}, {"start": 1}):
        line = json.dumps({**record_of, **change}).encode() + b"\n"
        layout_of([*good[:named], line, *good[named + 1:]])
    for part in range(1, 40):
        whole = b"".join(good)
        layout_of([whole[:len(whole) * part // 40]])


if __name__ == "__main__":
    harness.main()

# SPDX-License-Identifier: MIT
"""
Layouts as a gate: silent on a program that did not change, and on one that did, one finding that
says what, where and by whom. See layout_app.c for the faults.
"""
import json
import pathlib
import shutil
import subprocess

import harness
from harness import case, expect, expect_equal
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


def app(bench, fault):
    """A build of layout_app.c under the one name that all of them go by."""
    path = bench.bin / "app"
    build = pathlib.Path(bench.report_program).resolve().parent.parent
    shutil.copy(build / "test/run" / f"layout_app_{fault}", path)
    path.chmod(0o755)
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


if __name__ == "__main__":
    harness.main()

#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""vmtrace-report over the traces of test/data, and its command line.

Usage: test_report.py REPORT DATA valid|invalid|cli|schema|symbols [TARGET]

A valid trace must pass through every view, as text and as JSON, without a word on stderr. An invalid
one, CASE.json, must end with status 2 and the first line of CASE.error, or what that line begins
with: the rest of a JSON parser's message differs between its versions.
"""
import importlib.util
import json
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
import time

from expect import expect_equal, fault, status

VIEWS = ("summary", "maps", "events", "mm", "heap", "leaks", "fragmentation", "frames", "verify")


class Report:
    def __init__(self, program, folder):
        self.program, self.folder = program, folder

    def run(self, *argv, stdin=subprocess.DEVNULL, data=None):
        how = {"input": data} if data is not None else {"stdin": stdin}
        return subprocess.run([self.program, *argv], capture_output=True, cwd=self.folder,
                              timeout=120, **how)

    def json(self, *argv):
        view = [argv[0]] if argv[0] in VIEWS else []
        return json.loads(self.run(*view, "--no-symbols", "--json", *argv[len(view):]).stdout)


def views_of_valid(report, name):
    data = (report.folder / name).read_bytes()
    for view in VIEWS:
        for form in ([], ["--json"]):
            done = report.run(view, "--no-symbols", *form, name)
            what = f"{name} {view} {' '.join(form)}"
            expect_equal((done.returncode, done.stderr), (0, b""), what)
            if form:
                json.loads(done.stdout)
            expect_equal(b"\x1b" in done.stdout, False, f"{what}: raw escape character")
            piped = report.run(view, "--no-symbols", *form, "-", data=data)
            same = done.stdout.replace(f'"{name}"'.encode(), b'"-"')
            expect_equal(piped.stdout, same, f"{what} through a pipe")


def valid(report):
    names = sorted(path.name for path in report.folder.glob("*.json"))
    for name in names:
        # The name that tests escaping is exact in the kernel's own text, and only there.
        if name != "names.json":
            views_of_valid(report, name)
    small = report.json("small.json")
    expect_equal(small["process"]["end"], {"how": "exit", "status": 3}, "end")
    expect_equal(small["capture"]["by_call"], {"mmap": 1, "munmap": 2, "mprotect": 1, "brk": 1},
                 "by_call")
    expect_equal(small["capture"]["by_origin"], {"app": 3, "libc": 1, "raw": 1}, "by_origin")
    expect_equal(small["capture"]["failed_calls"], 1, "failed_calls")
    expect_equal(small["verify"]["differences"], {"stack_growth": 1}, "differences")
    expect_equal(small["verify"]["replay"], {"checks": 5, "diverged": 0, "unresolved": 0}, "replay")
    expect_equal(small["mm"]["map_count"], small["mm"]["kernel"]["map_count"], "map_count")
    expect_equal(small["frames"], {"resident_pages": 8, "swapped_pages": 1, "pfn": "hidden"},
                 "frames")
    for key, want in {"allocations": 3, "frees": 2, "reallocations": 1, "live_blocks": 1,
                      "live_bytes": 300, "peak_bytes": 300}.items():
        expect_equal(small["heap"][key], want, f"heap.{key}")
    for name, want in {"killed.json": ("killed", None), "exec.json": ("exec", None),
                       "torn.json": ("killed", None), "threads.json": ("signal", 11)}.items():
        end = report.json(name)["process"]["end"]
        expect_equal((end["how"], end["status"]), want, f"{name}: end")
    torn = report.json("torn.json")["capture"]
    expect_equal((torn["torn_lines"], torn["events"]), (2, 4), "torn lines")
    threads = report.json("heap", "threads.json")
    for key, want in {"allocations": 6, "frees": 2, "reallocations": 1, "failed": 1,
                      "unknown_frees": 1, "live_blocks": 4, "live_bytes": 1298,
                      "peak_bytes": 1298}.items():
        expect_equal(threads[key], want, f"threads.json: {key}")


def maps(report):
    for moment in ("start", "1", "2", "4", "end", "peak", "3500ns"):
        want = (report.folder / f"small.maps.{moment}").read_bytes()
        got = report.run("maps", "--own", "--at", moment, "small.json").stdout
        expect_equal(got, want, f"maps --at {moment}")
    exact = report.run("maps", "names.json").stdout
    expect_equal(b"/tmp/\xff\x1b[31mred\xe2\n" in exact, True, "exact bytes of a name")
    why = report.run("maps", "--why", "--no-symbols", "names.json").stdout
    expect_equal(b"#0  " in why, True, "a stack with --why")


def invalid(report):
    for path in sorted(report.folder.glob("*.json")):
        want = path.with_suffix(".error").read_text().splitlines()[0]
        done = report.run("--no-symbols", path.name)
        lines = done.stderr.decode().splitlines()
        expect_equal((done.returncode, len(lines)), (2, 1), f"{path.name}: status, lines")
        if not lines[0].startswith(want):
            fault(f"{path.name}: {lines[0]!r}, not {want!r}")
        partial = report.run("--no-symbols", "--json", "--partial", path.name)
        expect_equal(partial.returncode, 0 if done.stdout else 2, f"{path.name} --partial")
        if done.stdout:
            kinds = [found["kind"] for found in json.loads(partial.stdout)["findings"]]
            expect_equal("damaged" in kinds, True, f"{path.name}: finding")


def command_line(report):
    for argv, status, err in [
            ([], 2, "no trace was given"),
            (["sumary", "small.json"], 2, "did you mean 'summary'?"),
            (["--jsn", "small.json"], 2, "did you mean '--json'?"),
            (["maps", "--at"], 2, "option '--at' wants a value"),
            (["maps", "--at", "noon", "small.json"], 2, "'noon' is no valid value"),
            (["maps", "--at", "5 s", "small.json"], 2, "'5 s' is no valid value"),
            (["maps", "--at", "99999999999999999999", "small.json"], 2, "is no valid value"),
            (["events", "--call", "open", "small.json"], 2, "'open' is no valid value"),
            (["heap", "--limit", "-1", "small.json"], 2, "'-1' is no valid value"),
            (["heap", "--by", "colour", "small.json"], 2, "--by: 'colour' is no valid value"),
            (["heap", "--sort", "colour", "small.json"], 2, "--sort: 'colour' is no valid value"),
            (["leaks", "--suppressions", "/absent", "small.json"], 2, "/absent: No such file"),
            (["summary", "--fail", "small.json"], 2, "the view 'summary' has no option '--fail'"),
            (["heap", "--why", "small.json"], 2, "the view 'heap' has no option '--why'"),
            (["absent.json"], 2, "absent.json: No such file or directory"),
            (["."], 2, ".: Is a directory"),
            (["--help"], 0, ""), (["maps", "--help"], 0, ""), (["--version"], 0, "")]:
        done = report.run(*argv)
        expect_equal(done.returncode, status, f"{argv}: status")
        expect_equal(err in done.stderr.decode(), True, f"{argv}: {done.stderr.decode()!r}")
        expect_equal(bool(done.stdout), status == 0, f"{argv}: output")
    lines = report.run("events", "--call", "munmap", "--limit", "1", "small.json").stdout
    expect_equal(lines.count(b"\n"), 1, "events --limit 1")
    several = report.run("--no-symbols", "small.json", "child.json").stdout.decode()
    expect_equal("4711 demo  small.json\n  4712 demo  child.json\n" in several, True, "tree")
    both = report.json("small.json", "child.json")
    expect_equal([one["process"]["pid"] for one in both["traces"]], [4711, 4712], "two traces")
    both = report.json("events", "small.json", "child.json")
    expect_equal([len(one["events"]) for one in both["traces"]], [5, 3], "two traces' events")
    full = subprocess.run([report.program, "small.json"], cwd=report.folder,
                          stdout=open("/dev/full", "wb"), stderr=subprocess.PIPE, check=False)
    expect_equal(full.returncode, 2, "a full disk")
    with tempfile.TemporaryDirectory() as folder:
        fifo = pathlib.Path(folder) / "fifo"
        os.mkfifo(fifo)
        with subprocess.Popen([shutil.which("cp"), report.folder / "small.json", fifo]):
            expect_equal(report.run("--no-symbols", str(fifo)).returncode, 0, "a FIFO")


def symbols(report, target):
    def leak(path, *options):
        trace = subprocess.run([target, path], capture_output=True, check=True).stdout
        return report.run("leaks", *options, "-", data=trace).stdout

    stack = json.loads(leak(target, "--json"))["leaks"][0]["stack"]
    expect_equal([(frame.get("function"), frame.get("inlined", False)) for frame in stack],
                 [("inlined_middle", True), ("outer_frame(int)", False), ("main", False)], "frames")
    expect_equal({pathlib.Path(frame["file"]).name for frame in stack}, {"symbols_target.c"}, "file")
    source = pathlib.Path(__file__).with_name("symbols_target.c").read_text().splitlines()
    for frame, call in zip(stack, ("innermost();", "inlined_middle();", "outer(argc);")):
        expect_equal(source[frame["line"] - 1].strip(), call, f"line of {frame['function']}")
    for path, note in {report.program: b"the file has another build id now",
                       "/absent": b"the file can't be opened", "/dev/zero": b"can't be opened",
                       str(pathlib.Path(__file__)): b"not a usable ELF file"}.items():
        text = leak(path)
        expect_equal(note in text, True, f"{path}: {text!r}")
        expect_equal(b"outer_frame" in text, False, f"{path}: symbols of another file")


def live_process(report):
    """The map of a process of now, written as a trace, must come out as the kernel printed it."""
    with subprocess.Popen(["/bin/sleep", "60"]) as process:
        try:
            proc = pathlib.Path(f"/proc/{process.pid}")
            while b"sleep" not in (proc / "cmdline").read_bytes() or not (proc / "maps").read_text():
                pass
            # The program may still be loading libraries: take a map that does not change.
            before = None
            while before != (before := (proc / "maps").read_bytes()):
                time.sleep(0.1)
            stat = (proc / "stat").read_text().rpartition(")")[2].split()
        finally:
            process.kill()
    header = json.loads((report.folder / "small.json").read_text().splitlines()[0])
    # Fields of proc(5), counted from the third: startstack and start_brk; brk is not among them.
    header["mm"] = {"start_stack": hex(int(stat[25])), "start_brk": hex(int(stat[44]))}
    lines, header["vsyscall"] = [], None
    for text in before.decode("utf-8", "surrogateescape").splitlines():
        place, perms, offset, dev, inode, *name = text.split(None, 5)
        start, end = place.split("-")
        if name == ["[vsyscall]"]:
            header["vsyscall"] = perms
            continue
        if name == ["[heap]"]:
            header["mm"]["brk"] = "0x" + end
        line = {"ev": "vma", "start": "0x" + start, "end": "0x" + end, "perms": perms,
                "offset": int(offset, 16), "dev": dev, "inode": int(inode)}
        if name:
            line["name"] = name[0]
        lines.append(line)
    trace = "\n".join(json.dumps(line) for line in [header, *lines]).encode()
    for moment in ("start", "end", "peak"):
        done = report.run("maps", "--own", "--at", moment, "-", data=trace)
        expect_equal(done.stdout, before, f"live map at {moment}")


def schema(folder):
    """The schema and the reader agree about what is a trace."""
    path = pathlib.Path(__file__).resolve().parents[1] / "run/validate_trace.py"
    spec = importlib.util.spec_from_file_location("validate_trace", path)
    validate = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(validate)
    validators = validate.load_validators(validate.SCHEMA)
    for path in sorted(folder.glob("*/*.json")):
        faults = list(validate.check_trace(path, validators))
        # Kinds that a reader has to pass over are unknown to the schema.
        good = path.parent.name == "valid" and path.name != "unknown-kind.json"
        expect_equal(not faults, good, f"{path.name}: {faults[:3]}")


def main():
    program, data, what, *more = sys.argv[1:]
    folder = pathlib.Path(data).resolve() / ("invalid" if what == "invalid" else "valid")
    report = Report(os.path.abspath(program), folder)
    if what == "valid":
        valid(report)
        maps(report)
        live_process(report)
    elif what == "invalid":
        invalid(report)
    elif what == "schema":
        schema(folder.parent)
    elif what == "symbols":
        symbols(report, os.path.abspath(more[0]))
    else:
        command_line(report)
    return status()


if __name__ == "__main__":
    sys.exit(main())

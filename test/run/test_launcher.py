# SPDX-License-Identifier: MIT
"""The launcher: what it sets, refuses, passes on and reports."""
import os
import shutil
import signal
import struct
import subprocess

import harness
from harness import Skip, case, expect, expect_equal, last_end, records

REFUSED = 2
UNTRACED = 125
TRUE = "/usr/bin/true"
LIBM = "/lib/x86_64-linux-gnu/libm.so.6"


def launch(bench, *argv, env=None, stdin=b""):
    """Runs `vmtrace --library … -o TRACE argv…`."""
    out = bench.traces / "%e.%p.%t.json"
    return bench.run([bench.launcher, "--library", bench.library, "-o", out, *argv], env, stdin)


def sh(script):
    return ["--", "/bin/sh", "-c", script]


@case
def statuses(bench):
    for script, status in (("exit 0", 0), ("exit 3", 3), ("exit 255", 255),
                           ("kill -KILL $$", 128 + signal.SIGKILL),
                           ("kill -SEGV $$", 128 + signal.SIGSEGV),
                           ("kill -TERM $$", 128 + signal.SIGTERM)):
        result = launch(bench, *sh(script))
        expect_equal((result.status, result.stdout, result.stderr), (status, b"", b""), script)
    bench.check_all()


@case
def end_by_signal(bench):
    """The launcher writes the end that a killed program can't, and only then."""
    launch(bench, *sh("kill -KILL $$"))
    trace = bench.only_trace()
    end = last_end(trace)
    expect_equal((end["how"], end["status"]), ("signal", signal.SIGKILL), "end")
    expect(end["t"] >= max(r["t"] for r in records(trace) if "t" in r and r["ev"] != "end"),
           "the end comes before other records")
    expect_equal(bench.check(trace)["process"]["end"]["how"], "signal", "end in the summary")
    trace.unlink()
    launch(bench, *sh("exit 1"))
    ends = [r["how"] for r in records(bench.only_trace()) if r["ev"] == "end"]
    expect("signal" not in ends, f"ends {ends}")


@case
def settings(bench):
    """Each option becomes its variable; the others stay as they are."""
    options = {"capture": "symbols", "verify": "final", "heap": "off", "stacks": "9",
               "frames": "final", "checkpoint": "100", "follow": "all"}
    argv = [word for name, value in options.items() for word in ("--" + name, value)]
    result = launch(bench, *argv, "-q", "--", "/usr/bin/env", env={"LEFT": "alone"})
    got = dict(line.split("=", 1) for line in result.stdout.decode().splitlines())
    wanted = {"VMTRACE_" + name.upper(): value for name, value in options.items()}
    wanted |= {"VMTRACE_OUT": str(bench.traces / "%e.%p.%t.json"), "VMTRACE_QUIET": "errors",
               "LEFT": "alone", "LD_PRELOAD": bench.library}
    expect_equal({name: got.get(name) for name in wanted}, wanted, "environment")
    expect_equal(result.ours, [], "lines of ours with --quiet")


@case
def preload_kept(bench):
    result = launch(bench, "--", "/usr/bin/printenv", "LD_PRELOAD", env={"LD_PRELOAD": LIBM})
    expect_equal(result.stdout.decode().strip(), f"{bench.library}:{LIBM}", "LD_PRELOAD")


@case
def output(bench):
    """Standard streams go through, arguments after the program are the program's."""
    result = launch(bench, "/bin/cat", "-", stdin=b"through\0it\n")
    expect_equal(result.stdout, b"through\0it\n", "stdout of cat")
    result = launch(bench, *sh("echo out; echo err >&2"))
    expect_equal((result.stdout, result.stderr), (b"out\n", b"err\n"), "streams")
    result = launch(bench, "/bin/echo", "--version-of", "-o", "x", "--", "y")
    expect_equal(result.stdout, b"--version-of -o x -- y\n", "arguments")


@case
def found_library(bench):
    """Without --library the build tree's is found beside the launcher."""
    if bench.unprivileged:
        raise Skip("the launcher is a copy outside the build tree")
    result = bench.run([bench.launcher, "-o", bench.traces / "t.json", "/usr/bin/printenv",
                        "LD_PRELOAD"])
    expect_equal(result.stdout.decode().strip(), os.path.realpath(bench.library), "LD_PRELOAD")
    bench.check_all()


@case
def usage(bench):
    for argv, status, word in (([], REFUSED, b"no program"), (["--nonsense"], REFUSED, b"nonsense"),
                               (["-o", "-", TRUE], REFUSED, b"standard output"),
                               (["--library", "/nonexistent.so", TRUE], REFUSED, b"nonexistent")):
        result = bench.run([bench.launcher, *argv])
        expect_equal((result.status, result.stdout), (status, b""), f"vmtrace {argv}")
        expect(any(word in line for line in result.ours) or word in result.stderr,
               f"vmtrace {argv} says {result.ours}")
    for option, word in ("--help", b"VMTRACE_CHECKPOINT"), ("--version", b"vmtrace 0."):
        result = bench.run([bench.launcher, option])
        expect_equal((result.status, result.stderr), (0, b""), option)
        expect(word in result.stdout, f"{option} says {result.stdout}")


def patched(bench, name, change):
    """A copy of true(1) with other bytes."""
    image = bytearray(open(TRUE, "rb").read())
    change(image)
    path = bench.bin / name
    path.write_bytes(image)
    path.chmod(0o755)
    return path


def set_class(image):
    image[4] = 1


def set_machine(image):
    struct.pack_into("<H", image, 18, 183)


def segments(image):
    start, = struct.unpack_from("<Q", image, 32)
    size, count = struct.unpack_from("<HH", image, 54)
    return [start + i * size for i in range(count)]


def drop_loader(image):
    for at in segments(image):
        if struct.unpack_from("<I", image, at)[0] == 3:
            struct.pack_into("<I", image, at, 0)


def set_musl(image):
    for at in segments(image):
        if struct.unpack_from("<I", image, at)[0] == 3:
            offset, = struct.unpack_from("<Q", image, at + 8)
            size, = struct.unpack_from("<Q", image, at + 32)
            image[offset:offset + size] = b"/lib/ld-musl-x86_64.so.1".ljust(size, b"\0")


def script(bench, name, first_line, mode=0o755):
    path = bench.bin / name
    path.write_text(first_line)
    path.chmod(mode)
    return path


def expect_refused(bench, program, *words):
    result = launch(bench, "--", program)
    expect_equal((result.status, result.stdout), (REFUSED, b""), f"{program} should be refused")
    expect_equal(len(result.ours), 1, f"lines about {program}: {result.ours} {result.stderr}")
    for word in words:
        expect(word.encode() in result.ours[0], f"{word!r} in {result.ours[0]}")
    expect_equal(bench.trace_files(), [], "traces")


@case
def refusals(bench):
    static = patched(bench, "static", drop_loader)
    plain = script(bench, "plain", "data\n", 0o644)
    expect_refused(bench, "no-such-program-anywhere", "not found")
    expect_refused(bench, "/nonexistent/program", "No such file")
    expect_refused(bench, "/tmp", "directory")
    expect_refused(bench, "", "empty")
    expect_refused(bench, plain, "not executable")
    expect_refused(bench, static, "statically linked")
    expect_refused(bench, patched(bench, "class32", set_class), "32-bit")
    expect_refused(bench, patched(bench, "aarch64", set_machine), "another architecture")
    expect_refused(bench, patched(bench, "musl", set_musl), "ld-musl-x86_64.so.1")
    expect_refused(bench, script(bench, "script", f"#! {static} -x\n"), "statically linked")
    nested = script(bench, "nested", f"#!{bench.bin / 'script'}\n")
    expect_refused(bench, nested, "statically linked")
    expect_refused(bench, script(bench, "orphan", "#!/nonexistent/sh\n"), "/nonexistent/sh")
    expect_refused(bench, script(bench, "empty-line", "#!\n"), "no interpreter")
    endless = bench.bin / "endless"
    expect_refused(bench, script(bench, "endless", f"#!{endless}\n"), "too deep")


@case
def scripts(bench):
    for name, text, status in (("with", "#!/bin/sh\nexit 5\n", 5), ("without", "exit 6\n", 6),
                               ("env", "#!/usr/bin/env sh\nexit 7\n", 7)):
        result = launch(bench, script(bench, name, text))
        expect_equal(result.status, status, f"script {name}; {result.ours}")
    bench.check_all()


@case
def privileged(bench):
    """A program that gains privileges is refused; one that would not is traced."""
    if os.geteuid() != 0:
        raise Skip("making a setuid program of another user needs root")
    if os.statvfs(bench.bin).f_flag & os.ST_NOSUID:
        raise Skip("the temporary folder is mounted nosuid")
    runner, other = (harness.NOBODY, 0) if bench.unprivileged else (0, harness.NOBODY)
    program = shutil.copy(TRUE, bench.bin / "true")
    os.chown(program, other, other)
    os.chmod(program, 0o4755)
    expect_refused(bench, program, "setuid")
    os.chmod(program, 0o2755)
    expect_refused(bench, program, "setgid")
    os.chown(program, runner, runner)
    os.chmod(program, 0o6755)
    expect_equal(launch(bench, program).status, 0, "setuid to the same user")
    bench.check_all()
    if not bench.unprivileged:
        return
    for trace in bench.trace_files():
        trace.unlink()
    os.chmod(program, 0o755)
    # struct vfs_cap_data, revision 2 with the effective bit: CAP_NET_RAW.
    os.setxattr(program, "security.capability", struct.pack("<IIIII", 0x02000001, 1 << 13, 0, 0, 0))
    expect_refused(bench, program, "capabilities")


@case
def untraced(bench):
    """Why there is no trace is told with --quiet, too; VMTRACE_QUIET=1 leaves that to the launcher."""
    place = bench.tmp / "no such folder" / "t.json"
    why = f"vmtrace: can't create {place}: ENOENT; the program runs untraced\n".encode()
    end = b"vmtrace: /bin/sh ran untraced: nothing was recorded\n"
    for options, env, lines in (([], {}, [why, end]), (["-q"], {}, [why, end]),
                                (["-q"], {"VMTRACE_QUIET": "1"}, [why, end]),
                                ([], {"VMTRACE_QUIET": "1"}, [end])):
        result = bench.run([bench.launcher, "--library", bench.library, *options, "-o", place,
                            *sh("echo ran; exit 3")], env)
        expect_equal((result.status, result.stdout, result.stderr), (UNTRACED, b"ran\n", b""),
                     f"{options} {env}")
        expect_equal(result.ours, lines, f"lines with {options} {env}")
    result = launch(bench, "-q", "--heap=nonsense", "--", TRUE)
    expect_equal((result.status, len(result.ours)), (0, 1), f"a setting: {result.ours}")
    expect(b"VMTRACE_HEAP='nonsense'" in result.ours[0], f"a setting: {result.ours}")


@case
def not_loaded(bench):
    result = bench.run([bench.launcher, "--library", LIBM, "/bin/sh", "-c", "echo ran; exit 3"])
    expect_equal((result.status, result.stdout), (UNTRACED, b"ran\n"), "status and output")
    expect_equal(len(result.ours), 1, f"lines {result.ours}")
    expect(b"nothing was recorded" in result.ours[0], f"line {result.ours}")


@case
def handshake_once(bench):
    """The pipe is the first process's: what a descendant has at its number is left alone."""
    script = 'exec 500>victim; /usr/bin/true; echo kept >&500'
    result = launch(bench, "--", "/usr/bin/bash", "-c", script)
    expect_equal((result.status, result.files), (0, {"victim": b"kept\n"}), "status and file")


@case
def signals(bench):
    """A signal sent to the launcher alone reaches the program; an ignored one stays ignored."""
    program = ('trap "echo got; exit 9" HUP INT QUIT TERM USR1 USR2; echo ready;'
               'while :; do /bin/sleep 0.05; done')
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT, signal.SIGUSR1):
        process = bench.start([bench.launcher, "--library", bench.library, "-q", "-o",
                               bench.traces / "%e.%p.%t.json", "--follow", "none", *sh(program)],
                              stdin=subprocess.DEVNULL, stdout=subprocess.PIPE)
        expect_equal(process.stdout.readline(), b"ready\n", "first line")
        process.send_signal(number)
        expect_equal(process.communicate(timeout=harness.TIMEOUT_S)[0], b"got\n", f"{number!r}")
        expect_equal(process.returncode, 9, f"status after {number!r}")
    result = launch(bench, *sh("grep SigIgn /proc/self/status"))
    plain = bench.run(["/bin/sh", "-c", "grep SigIgn /proc/self/status"])
    expect_equal(result.stdout, plain.stdout, "signals ignored in the program")


@case
def report(bench):
    out = bench.traces / "t.json"
    common = [bench.launcher, "--library", bench.library, "-q", "-o", out]
    if bench.unprivileged:
        shutil.copy(bench.report_program, bench.bin / "vmtrace-report")
    result = bench.run([*common, "--report", *sh("echo first; exit 4")])
    expect_equal((result.status, result.stderr), (4, b""), "status and stderr")
    expect_equal(result.stdout, b"first\n" + bench.report("summary", out), "output and report")
    out.unlink()
    result = bench.run([*common, "--report=maps", *sh("exit 4")])
    expect_equal(result.stdout, bench.report("maps", out), "report=maps")


harness.main()

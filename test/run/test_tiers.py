# SPDX-License-Identifier: MIT
"""Tier libc where its sites are not as usual: other code, other copies, no leave to write there."""
import os
import shutil

import harness
from harness import case, count_calls, expect, expect_equal, header, records

# mmap, mprotect, munmap, brk, mremap, madvise: without one of them the tier is not what it says.
NEEDED = [9, 10, 11, 12, 25, 28]
LOADER, LIBC = "ld-linux-x86-64.so.2", "libc.so.6"
SCRIPT = 'my @a = map { "x" x $_ } 1 .. 2000; my $p = fork; exit 3 unless $p; waitpid $p, 0; ' \
         'print length(join "", @a), " ", $? >> 8, "\\n"'
PERL = ["/usr/bin/perl", "-e", SCRIPT]


def site(number):
    """mov $number,%eax; syscall"""
    return b"\xb8" + number.to_bytes(4, "little") + b"\x0f\x05"


def other_site(number):
    """push $number; pop %rax; nop; nop; syscall"""
    return bytes([0x6a, number, 0x58, 0x90, 0x90, 0x0f, 0x05])


def copies(bench, numbers):
    """A folder with libc and the loader, in which these calls' sites look different."""
    folder = bench.tmp / "altered"
    folder.mkdir()
    folder.chmod(0o755)
    for name in LIBC, LOADER:
        found = [path for path in (f"/lib/x86_64-linux-gnu/{name}", f"/lib64/{name}")
                 if os.path.exists(path)]
        if not found:
            raise harness.Skip(f"there is no {name} where it is expected")
        shutil.copy(os.path.realpath(found[0]), folder / name)
        code = (folder / name).read_bytes()
        for number in numbers:
            code = code.replace(site(number), other_site(number))
        (folder / name).write_bytes(code)
        (folder / name).chmod(0o755)
    return folder


def run_altered(bench, numbers):
    folder = copies(bench, numbers)
    words = [folder / LOADER, "--library-path", f"{folder}:/lib/x86_64-linux-gnu"]
    native = bench.run([*words, *PERL])
    env = bench.preload()
    library = env.pop("LD_PRELOAD")
    traced = bench.run([*words, "--preload", library, *PERL], env)
    expect_equal(traced.facts(), native.facts(), "altered libc traced differs from native")
    return traced


def lines_with(result, words):
    return [line for line in result.ours if words in line]


@case
def one_site_altered(bench):
    traced = run_altered(bench, [9])
    expect_equal(len(lines_with(traced, b"libc.so.6: mmap")), 1, "lines on stderr about it")
    expect_equal(len(traced.ours), 1, "lines on stderr")
    for trace in bench.trace_files():
        capture = header(trace)["capture"]
        expect_equal(capture["tier"], "libc", "tier")
        expect("libc.so.6: mmap" in capture["missing"], f"missing: {capture['missing']}")
    bench.check_all()


@case
def all_sites_altered(bench):
    traced = run_altered(bench, NEEDED)
    # The fork child has nothing new to say.
    expect_equal(len(lines_with(traced, b"can't be patched")), 1, "lines on stderr about it")
    expect_equal(len(traced.ours), 1, "lines on stderr")
    for trace in bench.trace_files():
        expect_equal(header(trace)["capture"]["tier"], "symbols", "tier")
    bench.check_all()


@case
def write_refused(bench):
    native = bench.run(PERL)
    traced = bench.run([bench.program, *PERL], bench.preload())
    expect_equal(traced.facts(), native.facts(), "traced differs from native")
    expect(lines_with(traced, b"can't be patched"), f"a line on stderr: {traced.ours}")
    tiers = {header(trace)["capture"]["tier"] for trace in bench.trace_files()
             if header(trace)["exe"].endswith("perl")}
    expect_equal(tiers, {"symbols"}, "tier")
    bench.check_all()


@case
def namespace(bench):
    """A second libc, loaded, unloaded and loaded again."""
    bench.run_both([bench.program])
    trace = bench.only_trace()
    summary = bench.check(trace)
    expect_equal(summary["verify"]["not_captured"], 0, "not captured")
    expect_equal(count_calls(trace, "mmap", 5), 6, "calls inside the copy")


@case
def out_of_reach(bench):
    traced = bench.run([bench.program, "far"], bench.preload())
    expect_equal((traced.status, traced.stdout), (0, b"done\n"), "status and output")
    expect_equal(len(lines_with(traced, b"no system call to patch in libc.so.6")), 1, "lines")
    trace = bench.only_trace()
    bench.check(trace, lost=6)
    lost = {record["why"] for record in records(trace) if record["ev"] == "lost"}
    expect_equal(lost, {"mmap", "munmap", "mprotect", "brk", "mremap", "madvise"}, "lost")


@case
def overwritten(bench):
    traced = bench.run([bench.program], bench.preload())
    if traced.status == 77:
        raise harness.Skip("/proc/self/mem can't be opened")
    expect_equal((traced.status, traced.stdout), (5, b"done\n"), "status and output")
    expect_equal(len(lines_with(traced, b"libc.so.6: mmap")), 1, f"lines: {traced.ours}")
    trace = bench.only_trace()
    bench.validate(trace)
    lost = [(record["what"], record["why"], record["count"]) for record in records(trace)
            if record["ev"] == "lost"]
    expect_equal(lost, [("site", "mmap", 1)], "lost")


def run_with(bench, env):
    bench.run_both(PERL, env=env)
    for summary in bench.check_all():
        expect_equal(summary["verify"]["not_captured"], 0, "not captured")
    for trace in bench.trace_files():
        expect_equal(header(trace)["capture"]["tier"], "libc", "tier")


@case
def audit(bench):
    run_with(bench, {"LD_AUDIT": bench.program})


@case
def bind_now(bench):
    run_with(bench, {"LD_BIND_NOW": "1"})


@case
def tunables(bench):
    run_with(bench, {"GLIBC_TUNABLES": bench.arguments[0]})


harness.main()

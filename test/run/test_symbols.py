# SPDX-License-Identifier: MIT
"""
libvmtrace.so calls and exports nothing but what the lists beside this file allow.

A new name in undefined.allow needs a reason: everything there runs inside hooks, where locks, heap
and signals are the traced program's.
"""
import argparse
import pathlib
import subprocess
import sys


def symbols(library, option):
    """Names without their version."""
    lines = subprocess.run(["nm", "-D", "--format=posix", option, library], check=True,
                           capture_output=True, text=True).stdout.splitlines()
    return {line.split()[0].split("@")[0] for line in lines}


def allowed(path):
    """One name a line; from # to the end of the line is a comment."""
    lines = (line.split("#")[0].strip() for line in path.read_text().splitlines())
    return {line for line in lines if line}


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--library", required=True)
    parser.add_argument("kind", choices=("undefined", "exported"))
    args = parser.parse_args()
    listed = allowed(pathlib.Path(__file__).with_name(args.kind + ".allow"))
    option = {"undefined": "--undefined-only", "exported": "--defined-only"}[args.kind]
    found = symbols(args.library, option)
    # Which of the compiler's helpers are called differs from compiler to compiler.
    missing = listed - found if args.kind == "exported" else set()
    for name in sorted(found - listed):
        print(f"{args.kind} but not listed: {name}")
    for name in sorted(missing):
        print(f"listed but not {args.kind}: {name}")
    sys.exit(bool(found - listed or missing))


main()

# SPDX-License-Identifier: MIT
"""Every variable and every option stands in README.md and in the manual page, and no other does."""
import argparse
import pathlib
import re
import subprocess
import sys


def variables(text):
    """Each name that stands alone: a part of a longer one, as in a message, does not count."""
    return set(re.findall(r"\bVMTRACE_[A-Z]+\b", text))


def options(text):
    return set(re.findall(r"(?<![\w-])--[a-z]+\b", text))


def main():
    parser = argparse.ArgumentParser()
    for name in "library", "launcher", "readme", "manual":
        parser.add_argument("--" + name, type=pathlib.Path, required=True)
    args = parser.parse_args()
    help_text = subprocess.run([args.launcher, "--help"], check=True, capture_output=True,
                               text=True).stdout
    readme = args.readme.read_text()
    manual = args.manual.read_text().replace("\\-", "-")
    known = variables(args.library.read_bytes().decode("latin-1"))
    # What the launcher and the library say to each other is nobody else's.
    known_to_users = known - {"VMTRACE_HANDSHAKE"}
    known_options = options(help_text)
    wrong = [
        ("variables of the library, not in the manual", known - variables(manual)),
        ("variables of the manual, not in the library", variables(manual) - known),
        ("variables of the library, not in README", known_to_users - variables(readme)),
        ("variables of README, not in the library", variables(readme) - known_to_users),
        ("variables of --help, not in the library", variables(help_text) - known),
        ("options of --help, not in the manual", known_options - options(manual)),
        ("options of the manual, not in --help", options(manual) - known_options),
    ]
    for what, names in wrong:
        if names:
            print(f"{what}: {', '.join(sorted(names))}")
    sys.exit(any(names for what, names in wrong))


main()

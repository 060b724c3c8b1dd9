# SPDX-License-Identifier: MIT
"""
Every variable and every option stands in README.md and in the manual pages, and no other does; the
manual's table of rules is what the built-in set says.
"""
import argparse
import json
import pathlib
import re
import subprocess
import sys


def variables(text):
    """Each name that stands alone: a part of a longer one, as in a message, does not count."""
    return set(re.findall(r"\bVMTRACE_[A-Z]+\b", text))


def options(text):
    return set(re.findall(r"(?<![\w-])--[a-z][a-z-]*[a-z]\b", text))


def output(*argv):
    return subprocess.run(argv, check=True, capture_output=True, text=True).stdout


def limits(rule):
    """What a rule of the set says besides its severity, as the manual puts it."""
    slack = rule.get("tolerance", {})
    parts = [f"{slack['percent']}%"] if "percent" in slack else []
    parts += [str(slack["absolute"])] if "absolute" in slack else []
    return [f"at most {rule['max']}"] if "max" in rule else [" + ".join(parts)] if parts else []


# Options of vmtrace-report check that need no traces.
PRINTING = {"--print-rules", "--list-rules"}


def rules_of(report):
    """{name: "error, 10% + 8"} of the set `default`, and the texts."""
    rules = {rule["rule"]: rule for rule in
             json.loads(output(report, "check", "--print-rules", "default"))["rules"]}
    texts = dict(line.split(None, 1) for line in output(report, "check", "--list-rules").splitlines())
    said = {name: ", ".join([rules[name].get("severity", "error"),
                             *limits(rules[name])]) if name in rules else "off"
            for name in texts}
    return {(name, said[name], texts[name].strip() + ".") for name in texts}


def report_faults(report, manual):
    """The same of vmtrace-report and its manual page, which is written in mdoc."""
    views = re.findall(r"^\.It Cm (\w+)(?: Ar .*)?$", manual.split(".Ss General options")[0], re.M)
    views = [view for view in views if view != "start"]
    known = options("".join(output(report, *view, "--help") for view in
                            [[], *([view] for view in views)]))
    said = {"--" + word for word in re.findall(r"\bFl -([a-z-]*[a-z])\b", manual)}
    table = set(re.findall(r"^\.It Cm ([a-z-]+) Pq (.+)\n(.+)$", manual, re.M))
    rules = rules_of(report)
    return [
        ("options of vmtrace-report --help, not in its manual", known - said),
        ("options of vmtrace-report's manual, not in --help", said - known),
        ("rules that the manual lacks or tells otherwise", {" ".join(one) for one in rules - table}),
        ("rules of the manual that are none, or otherwise", {" ".join(one) for one in table - rules}),
    ]


def main():
    parser = argparse.ArgumentParser()
    for name in "library", "launcher", "report", "readme", "manual", "report-manual":
        parser.add_argument("--" + name, type=pathlib.Path, required=True)
    args = parser.parse_args()
    help_text = output(args.launcher, "--help") + output(args.launcher, "check", "--help")
    readme = args.readme.read_text()
    manual = args.manual.read_text().replace("\\-", "-")
    known = variables(args.library.read_bytes().decode("latin-1"))
    # What the launcher and the library say to each other is nobody else's.
    known_to_users = known - {"VMTRACE_HANDSHAKE"}
    known_options = options(help_text)
    passed_on = options(output(args.launcher, "check", "--help"))
    of_check = options(output(args.report, "check", "--help")) - PRINTING
    wrong = [
        ("variables of the library, not in the manual", known - variables(manual)),
        ("variables of the manual, not in the library", variables(manual) - known),
        ("variables of the library, not in README", known_to_users - variables(readme)),
        ("variables of README, not in the library", variables(readme) - known_to_users),
        ("variables of --help, not in the library", variables(help_text) - known),
        ("options of --help, not in the manual", known_options - options(manual)),
        ("options of the manual, not in --help", options(manual) - known_options),
        ("options of vmtrace-report check that vmtrace check lacks", of_check - passed_on - {"--help"}),
    ] + report_faults(args.report, args.report_manual.read_text())
    for what, names in wrong:
        if names:
            print(f"{what}: {', '.join(sorted(names))}")
    sys.exit(any(names for what, names in wrong))


main()

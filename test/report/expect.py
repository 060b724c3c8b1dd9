# SPDX-License-Identifier: MIT
"""What tests of vmtrace-report expect: a fault is printed and counted, and the test goes on."""
nr_faults = 0


def fault(text):
    global nr_faults
    nr_faults += 1
    print(text)


def expect_equal(got, want, what):
    if got != want:
        fault(f"{what}: {got!r}, not {want!r}")


def expect_members(got, want, what):
    for key, value in want.items():
        expect_equal((got or {}).get(key, "(absent)"), value, f"{what}.{key}")


def status():
    """The test's exit status."""
    return 1 if nr_faults else 0

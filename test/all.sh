#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# Builds with gcc, with clang, and with gcc's sanitizers, and runs the tests of each build. Ends
# with one line, "N passed, N failed, N skipped", and fails if anything failed.
set -euo pipefail
cd "$(dirname "$0")/.."

passed=0 failed=0 skipped=0

# count RESULT… LOG: lines of meson's log with one of these results.
count() {
    grep -cE "\"result\": \"($1)\"" "$2" || true
}

# run_tests BUILD [OPTION…]: the tests of one build; meson's own status is contained in the counts.
run_tests() {
    local build=$1 log=$1/meson-logs/testlog
    shift
    rm -f "$log.json" "$log.txt"
    meson test -C "$build" --no-rebuild --print-errorlogs "$@" || true
    passed=$((passed + $(count 'OK|EXPECTEDFAIL' "$log.json")))
    skipped=$((skipped + $(count 'SKIP' "$log.json")))
    failed=$((failed + $(count 'FAIL|ERROR|TIMEOUT|INTERRUPT|UNEXPECTEDPASS' "$log.json")))
    echo "Skipped in $build:"
    grep -h '^skipped: ' "$log.txt" | sort | uniq -c || echo "      nothing"
}

# build DIRECTORY [OPTION…]: configures what is not yet configured, and compiles.
build() {
    local build=$1
    shift
    [ -f "$build/build.ninja" ] || meson setup "$build" "$@"
    meson compile -C "$build"
}

build build
run_tests build
# Another compiler, the same user: what a user may do does not depend on it, nor what zstd makes of it.
CC=clang build build-clang
run_tests build-clang --no-suite run-unprivileged --no-suite run-compressed
# Sanitizers never enter libvmtrace.so, and must come first in a process: no traced programs here.
build build-sanitize -Db_sanitize=address,undefined
run_tests build-sanitize --no-suite run --no-suite run-unprivileged --no-suite run-compressed

echo "$passed passed, $failed failed, $skipped skipped"
[ "$failed" -eq 0 ] && [ "$passed" -gt 0 ]

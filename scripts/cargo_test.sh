#!/usr/bin/env bash
# The Rust tests.
#
#   cargo_test.sh FOLDER [ARGUMENT...]    what the tests print goes to FOLDER/rust, too
#
# As with the Python tests (pytest.sh), a few that failed run a second time, one after the other; `make test` names at
# its end what passed only then. More than FEW failures are no accident, nor is a program that ended without a result.
set -uo pipefail
folder=$1
shift
FEW=5
tests() {
    cargo test --locked --quiet --no-fail-fast "$@" | tee -a "$folder/rust"
}

. scripts/cargo-env.sh
# Those of brokers and clients mostly wait.
export RUST_TEST_THREADS=${RUST_TEST_THREADS:-8}
rm -f "$folder/rust" "$folder/rust.alone"
tests "$@"
code=$?
[ "$code" != 0 ] || exit 0
[ "$(grep -c '^running [0-9]* test' "$folder/rust")" = "$(grep -c '^test result: ' "$folder/rust")" ] || exit "$code"
# The names stand by themselves below the second "failures:" of a program.
mapfile -t failed < <(awk '/^failures:$/ { names = 1; next } names && /^    [^ ]+$/ { print $1; next } { names = names && /^$/ }' \
    "$folder/rust" | sort -u)
[ "${#failed[@]}" -gt 0 ] && [ "${#failed[@]}" -le "$FEW" ] || exit "$code"
scripts/section.sh "Once more, one after the other: ${failed[*]}"
tests "$@" -- --exact --test-threads=1 "${failed[@]}" || exit $?
printf '%s\n' "${failed[@]}" >"$folder/rust.alone"

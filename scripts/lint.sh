#!/usr/bin/env bash
# What `make lint` does. Runs every check, then fails if any did; changes nothing.
set -uo pipefail
cd "$(dirname "$0")/.."
failed=()

check() { # NAME COMMAND...
    local name=$1
    shift
    scripts/section.sh "$name"
    "$@" || failed+=("$name")
}

. scripts/cargo-env.sh
# As maturin builds it: an extension that is not linked to an interpreter.
export PYO3_BUILD_EXTENSION_MODULE=1
check "rustfmt" cargo fmt --check
check "clippy" cargo clippy --locked --quiet --all-targets -- -D warnings
check "clippy, feature python" cargo clippy --locked --quiet --lib --features python -- -D warnings
check "ruff check" .venv/bin/ruff check .
check "ruff format" .venv/bin/ruff format --check .
check "mypy" .venv/bin/mypy
check "stub of the extension" .venv/bin/python -m mypy.stubtest turbine._native --allowlist scripts/stubtest.allow
check "file sizes" .venv/bin/python scripts/check_sizes.py
check "crates and licences" .venv/bin/python scripts/check_crates.py

if [ ${#failed[@]} -gt 0 ]; then
    scripts/section.sh "lint failed"
    printf '  %s\n' "${failed[@]}"
    exit 1
fi
scripts/section.sh "lint passed"

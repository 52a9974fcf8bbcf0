#!/usr/bin/env bash
# What `make build` does: the optimised extension into turbine/, and the package, editable, into .venv.
# One build of a target folder at a time: two clones may share it.
set -euo pipefail
cd "$(dirname "$0")/.."
export VIRTUAL_ENV=$PWD/.venv PIP_DISABLE_PIP_VERSION_CHECK=1
CARGO_TARGET_DIR=${CARGO_TARGET_DIR:-$(scripts/target-dir.sh)}
mkdir -p "$CARGO_TARGET_DIR"
if command -v flock >/dev/null; then
    exec 9>"$CARGO_TARGET_DIR/.building"
    flock 9
fi
. scripts/cargo-env.sh --build
.venv/bin/maturin develop --release --locked
touch turbine/_native.abi3.so
.venv/bin/turbine --version

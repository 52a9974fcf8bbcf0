#!/usr/bin/env bash
# What `make build` does: the optimised extension into turbine/, and the package, editable, into .venv.
# One build of a target folder at a time: two clones may share it.
set -euo pipefail
cd "$(dirname "$0")/.."
export CARGO_TARGET_DIR=${CARGO_TARGET_DIR:-$(scripts/target-dir.sh)}
# The extension is built for the stable ABI: no interpreter is asked, none can cause a rebuild.
export VIRTUAL_ENV=$PWD/.venv PIP_DISABLE_PIP_VERSION_CHECK=1 PYO3_NO_PYTHON=1
mkdir -p "$CARGO_TARGET_DIR"
build=(.venv/bin/maturin develop --release --locked)
if command -v flock >/dev/null; then
    flock "$CARGO_TARGET_DIR/.building" "${build[@]}"
else
    "${build[@]}"
fi
touch turbine/_native.abi3.so
.venv/bin/turbine --version

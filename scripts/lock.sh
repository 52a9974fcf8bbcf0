#!/usr/bin/env bash
# Rewrites the two locks from pyproject.toml and bench/peers/requirements.in: names, versions, hashes.
# uv resolves for every platform at once; it is fetched into a throw-away environment.
set -euo pipefail
cd "$(dirname "$0")/.."

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
"${PYTHON:-python3}" -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet uv

compile() { # SOURCE OUTPUT ARGS...
    local source=$1 output=$2
    shift 2
    echo "# Written by scripts/lock.sh from $source; install with pip --require-hashes." >"$work/lock"
    "$work/venv/bin/uv" pip compile --quiet --generate-hashes --no-header --no-annotate \
        --no-emit-index-url --no-emit-find-links --python-version 3.11 "$@" "$source" >>"$work/lock"
    cp "$work/lock" "$output"
}

compile pyproject.toml requirements.lock --universal --extra dev --no-emit-package turbine-stream
if [ -f bench/peers/requirements.in ]; then
    compile bench/peers/requirements.in bench/peers/requirements.lock
fi

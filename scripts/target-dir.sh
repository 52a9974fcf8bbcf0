#!/usr/bin/env bash
# Prints the folder for cargo's output; with --prune also deletes folders that nobody used for 14 days.
#
# The folder lives outside the clone, so that a second clone compiles one crate instead of three hundred. Its name
# has the compiler and the locked crates in it: neither an update of one nor of the other mixes with the old one.
# A clone without a writable cache uses its own ./target.
set -euo pipefail
root=$(cd "$(dirname "$0")/.." && pwd)
cache=${TURBINE_CACHE:-${HOME:-/nonexistent}/.cache/turbine}

if ! command -v rustc >/dev/null || ! mkdir -p "$cache" 2>/dev/null || [ ! -w "$cache" ]; then
    echo "$root/target"
    exit
fi
hash=$( (cd "$root" && rustc -V && cat Cargo.lock) | cksum | tr -d ' ')
target=$cache/target-$hash
if ! mkdir -p "$target" 2>/dev/null || ! touch "$target/.used" 2>/dev/null; then
    echo "$root/target"
    exit
fi
if [ "${1:-}" = --prune ]; then
    find "$cache" -mindepth 2 -maxdepth 2 -path '*/target-*/.used' -mtime +14 -printf '%h\n' 2>/dev/null |
        while read -r old; do rm -rf "$old"; done
fi
echo "$target"

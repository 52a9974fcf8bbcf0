#!/usr/bin/env bash
# Prints the folder for cargo's output. With --prepare also creates it and deletes those that nobody needs any more.
#
# The folder lives outside the clone, so that a second clone compiles one crate instead of two hundred. Its name has the
# compiler and the locked crates in it, so that neither an update of one nor of the other disturbs a clone that has not
# got it yet; a new folder starts as a copy of the latest one of the same compiler, and cargo builds the difference.
# Where the cache cannot be written, it is ./target.
set -euo pipefail
root=$(cd "$(dirname "$0")/.." && pwd)
cache=${TURBINE_CACHE:-${HOME:+$HOME/.cache/turbine}}
days=14 keep=3

sum() { cksum | cut -d' ' -f1; }

if [ -z "$cache" ] || ! command -v rustc >/dev/null || ! mkdir -p "$cache" 2>/dev/null || [ ! -w "$cache" ]; then
    echo "$root/target"
    exit
fi
compiler=$(rustc -V | sum)
target=$cache/target-$compiler-$(sum <"$root/Cargo.lock")
if [ -e "$target" ] && [ ! -w "$target" ]; then
    echo "$root/target"
    exit
fi

newest_first() { # PATTERN
    find "$cache" -mindepth 2 -maxdepth 2 -path "$cache/$1/.used" -printf '%T@ %h\n' 2>/dev/null | sort -rn | cut -d' ' -f2-
}
if [ "${1:-}" = --prepare ]; then
    if [ ! -d "$target" ]; then
        latest=$(newest_first "target-$compiler-*" | head -1)
        if [ -n "$latest" ]; then
            copy=$(mktemp -d "$cache/new-XXXXXX")
            # Somebody may build in there right now: cargo checks every file of the copy anyway.
            cp -a "$latest/." "$copy" 2>/dev/null || true
            mv -T "$copy" "$target" 2>/dev/null || rm -rf "$copy"
        fi
        mkdir -p "$target"
    fi
    touch "$target/.used"
    { newest_first 'target-*' | tail -n +$((keep + 1))
      find "$cache" -mindepth 2 -maxdepth 2 -path "$cache/target-*/.used" -mtime +$days -printf '%h\n'; } |
        while read -r old; do rm -rf "$old"; done
    find "$cache" -mindepth 1 -maxdepth 1 -name 'new-??????' -mmin +60 -exec rm -rf {} +
fi
echo "$target"

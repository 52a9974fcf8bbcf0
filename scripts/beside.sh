#!/usr/bin/env bash
# Two targets of the Makefile at the same time, because one of them mostly waits.
#
#   beside.sh FIRST SECOND    what SECOND prints comes when both are through; fails if one of them does
set -uo pipefail
log=$(mktemp)
${MAKE:-make} "$2" >"$log" 2>&1 &
second=$!
trap 'kill "$second" 2>/dev/null; rm -f "$log"' EXIT
trap 'exit 130' INT TERM
failed=0
${MAKE:-make} "$1" || failed=$?
wait "$second" || failed=$?
cat "$log"
exit "$failed"

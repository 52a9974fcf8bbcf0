#!/usr/bin/env bash
# Targets of the Makefile at the same time, because tests mostly wait.
#
#   beside.sh 'FIRST...' 'SECOND...'    each a list of targets, one after the other; what those of SECOND print comes
#                                       when all are through; fails if one of them does
set -uo pipefail
read -ra first <<<"$1"
read -ra second <<<"$2"
log=$(mktemp)
${MAKE:-make} "${second[@]}" >"$log" 2>&1 &
other=$!
trap 'kill "$other" 2>/dev/null; rm -f "$log"' EXIT
trap 'exit 130' INT TERM
failed=0
${MAKE:-make} "${first[@]}" || failed=$?
wait "$other" || failed=$?
cat "$log"
exit "$failed"

#!/usr/bin/env bash
# A heading that is easy to find in a long log.
printf '\n=== %s  (%s)\n' "$1" "$(date -u +%H:%M:%S)"

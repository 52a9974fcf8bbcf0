#!/usr/bin/env bash
# The Python tests on one broker, several processes at a time.
#
#   pytest.sh BROKER FOLDER [ARGUMENT...]    reports go to FOLDER
#
# On a machine that does ten things at once a deadline passes now and then. So a few tests that failed run a second
# time, one after the other; `make test` names at its end what passed only then. More than FEW failures are no accident.
set -uo pipefail
broker=$1 folder=$2
shift 2
FEW=5
pytest() {
    .venv/bin/python -m pytest --broker="$broker" ${CI:+--randomly-seed=1} -o cache_dir="$folder/$broker.cache" "$@"
}

rm -rf "$folder/$broker.cache"
pytest --junitxml="$folder/$broker.xml" "$@"
code=$?
last=$folder/$broker.cache/v/cache/lastfailed
[ "$code" = 1 ] && [ -e "$last" ] || exit "$code"
# Behind an @ stands the group that pytest-xdist kept together.
mapfile -t failed < <(.venv/bin/python -c 'import json, sys; print("\n".join(json.load(open(sys.argv[1]))))' "$last" |
    sed 's/@[A-Za-z0-9_-]*$//')
[ "${#failed[@]}" -le "$FEW" ] || exit "$code"
scripts/section.sh "Once more, one after the other: ${failed[*]}"
pytest -n 0 -v "${failed[@]}" || exit $?
printf '%s\n' "${failed[@]}" >"$folder/$broker.alone"

#!/usr/bin/env bash
# librdkafka's own integration tests, built once from the sources in the crate rdkafka-sys and run against a broker.
#
#   librdkafka_tests.sh [ARGS of librdkafka_tests.py]      on the embedded broker
#   librdkafka_tests.sh --broker HOST:PORT                 on an Apache Kafka that runs
#
# The build takes about a minute of two cores; it is kept in $TURBINE_CACHE (~/.cache/turbine), or in ./target.
set -euo pipefail
cd "$(dirname "$0")/.."
python=${PYTHON:-.venv/bin/python}

sources() { # The directory of the locked rdkafka-sys.
    cargo metadata --format-version 1 --locked --offline 2>/dev/null || cargo metadata --format-version 1 --locked
}
manifest=$(sources | "$python" -c '
import json, sys
[found] = [p for p in json.load(sys.stdin)["packages"] if p["name"] == "rdkafka-sys"]
print(found["version"], found["manifest_path"])')
version=${manifest%% *}
from=$(dirname "${manifest#* }")/librdkafka

cache=${TURBINE_CACHE:-${HOME:+$HOME/.cache/turbine}}
if [ -z "$cache" ] || ! mkdir -p "$cache" 2>/dev/null || [ ! -w "$cache" ]; then
    cache=$PWD/target
    mkdir -p "$cache"
fi
built=$cache/librdkafka-tests-$version
if [ ! -x "$built/tests/test-runner" ]; then
    echo "librdkafka_tests.sh: building the tests of $version"
    new=$(mktemp -d "$built.new-XXXXXX")
    cp -r "$from/." "$new"
    # Without TLS and OAuth: the broker listens in the clear. Their tests are left out by themselves.
    if ! (cd "$new" && ./configure --disable-ssl --disable-gssapi --disable-curl &&
        make -j"$(nproc)" libs && make -j"$(nproc)" -C tests build) >"$new.log" 2>&1; then
        echo "librdkafka_tests.sh: it did not build; the end of $new.log:" >&2
        tail -20 "$new.log" >&2
        exit 1
    fi
    # Complete or not there at all; whoever comes second throws his copy away.
    mv -T "$new" "$built" 2>/dev/null || rm -rf "$new"
    rm -f "$new.log"
fi
exec "$python" scripts/librdkafka_tests.py "$built/tests/test-runner" "$@"

#!/usr/bin/env bash
# Kafka's own verifier of exactly-once (StreamsEosTest) with Turbine as the system under test, on a Kafka of its own.
# Arguments are those of bench/eos_verifier.py: --seconds 60 --kills 15 --workers 3 --simple
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
export KAFKA_PORT=${KAFKA_PORT:-19392} KAFKA_DIR=${KAFKA_DIR:-$(mktemp -d)} KAFKA_AUTO_CREATE=${KAFKA_AUTO_CREATE:-true}
kafka=$here/../scripts/kafka.sh
address=$("$kafka" start)
trap '"$kafka" stop' EXIT
"${PYTHON:-$here/../.venv/bin/python}" "$here/eos_verifier.py" --kafka "$address" "$@"

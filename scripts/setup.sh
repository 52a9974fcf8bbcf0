#!/usr/bin/env bash
# What `make setup` does: system packages, then .venv with exactly what requirements.lock says.
# Quick when there is nothing to do. Installs packages with apt as root, otherwise prints the command.
set -euo pipefail
cd "$(dirname "$0")/.."

die() {
    printf 'setup: %s\n' "$@" >&2
    exit 1
}

# --- system packages ---------------------------------------------------------------------------

is_apt_root() { [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; }
apt_install() {
    echo "setup: apt-get install $*"
    export DEBIAN_FRONTEND=noninteractive
    apt-get update -qq && apt-get install -y --no-install-recommends "$@" >/dev/null
}

# A JVM counts only if it starts and is 17 or later, as Kafka asks for.
has_java() {
    command -v java >/dev/null &&
        java -version 2>&1 | grep -qE 'version "(1[7-9]|[2-9][0-9])'
}
missing=()
for need in "g++:g++" "make:make" "perl:perl"; do
    command -v "${need%%:*}" >/dev/null || missing+=("${need##*:}")
done
# RocksDB's bindings are made from its headers. libclang without the compiler's own headers would not do.
has_libclang() {
    [ -n "${LIBCLANG_PATH:-}" ] || [ "$(uname)" = Darwin ] ||
        compgen -G '/usr/lib/llvm-*/lib/libclang.so*' >/dev/null || compgen -G '/usr/lib*/libclang.so*' >/dev/null
}
has_libclang || missing+=("libclang-dev")
optional=()
if [ "${TURBINE_NO_KAFKA:-0}" != 1 ]; then
    has_java || optional+=("openjdk-17-jre-headless")
    command -v mvn >/dev/null || optional+=("maven")
fi

install=("${missing[@]}" "${optional[@]}")
if [ ${#install[@]} -gt 0 ]; then
    command="apt-get install -y --no-install-recommends ${install[*]}"
    if is_apt_root; then
        if ! apt_install "${install[@]}"; then
            [ ${#missing[@]} -eq 0 ] || die "apt could not install: ${missing[*]}"
            echo "setup: no ${optional[*]}: 'make test' cannot start a real Kafka" >&2
        fi
    elif [ ${#missing[@]} -gt 0 ]; then
        die "the build needs ${missing[*]}; run" "  sudo $command" "(or what your system calls these packages)"
    else
        printf 'setup: %s\n' "no ${optional[*]}: 'make test' cannot start a real Kafka; to have it run" \
            "  sudo $command" >&2
    fi
fi

# --- Rust --------------------------------------------------------------------------------------

wanted=$(sed -n 's/^rust-version = "\(.*\)"/\1/p' Cargo.toml)
command -v cargo >/dev/null || die "the build needs Rust $wanted or later; install it (rustup is the usual way), then run make again"
found=$(rustc --version | cut -d' ' -f2)
[ "$(printf '%s\n' "$wanted" "$found" | sort -V | head -1)" = "$wanted" ] ||
    die "Rust $found is too old, $wanted is needed; run" "  rustup update stable"

# --- Python ------------------------------------------------------------------------------------

suits='import sys, venv, ensurepip; sys.exit(not (3, 11) <= sys.version_info < (3, 15))'
find_python() {
    local candidate
    for candidate in ${PYTHON:-python3.11 python3.12 python3.13 python3.14 python3}; do
        if "$candidate" -c "$suits" >/dev/null 2>&1; then
            echo "$candidate"
            return
        fi
    done
}
python=$(find_python)
if [ -z "$python" ] && [ -z "${PYTHON:-}" ] && is_apt_root; then
    apt_install python3 python3-venv || true
    python=$(find_python)
fi
[ -n "$python" ] || die "no Python from 3.11 to 3.14 with venv and pip; install one (Debian: python3-venv)," \
    "or name it with" "  make setup PYTHON=/path/to/python3.11"

# An environment that was copied or moved with its folder still points at the old one.
if ! head -1 .venv/bin/pip 2>/dev/null | grep -qF "$PWD/.venv/" || ! .venv/bin/python -c "$suits" 2>/dev/null; then
    "$python" -m venv --clear .venv
fi
if ! cmp -s requirements.lock .venv/locked; then
    echo "setup: Python packages"
    rm -f .venv/locked
    .venv/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock
    cp requirements.lock .venv/locked
fi

scripts/target-dir.sh --prepare >/dev/null

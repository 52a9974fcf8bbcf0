# To be sourced by what calls cargo: the folder for its output, and where RocksDB is compiled already.
#
#   . scripts/cargo-env.sh            uses a compiled RocksDB if there is one
#   . scripts/cargo-env.sh --build    compiles it first
#
# RocksDB is the longest part of a build. cargo would compile it once for each profile and each folder; kept
# beside the folders, under its version and the compiler's, it is compiled once. Where the cache cannot be written,
# cargo does as it always does.

CARGO_TARGET_DIR=${CARGO_TARGET_DIR:-$(scripts/target-dir.sh)}
# The extension is built for the stable ABI: no interpreter is asked, none can cause a rebuild.
export CARGO_TARGET_DIR PYO3_NO_PYTHON=1

turbine_rocksdb() { # [--build]
    local cache version compiler folder archive part
    [ -z "${ROCKSDB_LIB_DIR:-}" ] || return 0
    cache=${TURBINE_CACHE:-${HOME:+$HOME/.cache/turbine}}
    [ -n "$cache" ] && mkdir -p "$cache" 2>/dev/null && [ -w "$cache" ] || return 0
    version=$(sed -n '/^name = "librocksdb-sys"$/{n;s/^version = "\(.*\)"/\1/p;}' Cargo.lock)
    compiler=$("${CXX:-c++}" --version | cksum | cut -d' ' -f1)
    folder=$cache/rocksdb-$version-$compiler
    if [ ! -e "$folder/librocksdb.a" ]; then
        [ "${1:-}" = --build ] || return 0
        echo "compiling RocksDB $version, once for this machine; some minutes" >&2
        cargo build --release --locked -p librocksdb-sys || return 1
        archive=$(find "$CARGO_TARGET_DIR/release/build" -path '*/librocksdb-sys-*/out/librocksdb.a' -printf '%T@ %p\n' |
            sort -rn | head -1 | cut -d' ' -f2-)
        [ -n "$archive" ] || return 0
        part=$(mktemp -d "$cache/new-XXXXXX")
        cp "$archive" "$part/" && mkdir -p "$folder" && mv "$part/librocksdb.a" "$folder/"
        rm -rf "$part"
    fi
    export ROCKSDB_LIB_DIR=$folder ROCKSDB_STATIC=1
}
turbine_rocksdb "${1:-}"

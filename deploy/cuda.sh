#!/bin/sh
# cuda.sh: brings the CUDA 13.0 toolkit that the CUDA backend is built with, and prints its folder.
#
#   cuda.sh            fetch it into the cache folder when it is not there (then no network is used), print the path
#   cuda.sh --path     print the path, exit 1 when it is not there
#
# No GPU, no driver and no installer are needed: the toolkit is NVIDIA's own packages from the Python package index,
# each pinned by its digest in cuda.txt, about 530 MB. The cache folder is $SKINSIGHT_CACHE_DIR, else
# ~/.cache/skinsight. PYTHON names the Python whose pip fetches.
set -eu

cache=${SKINSIGHT_CACHE_DIR:-${XDG_CACHE_HOME:-${HOME:?is not set; SKINSIGHT_CACHE_DIR can stand in}/.cache}/skinsight}
folder=$cache/cuda-13.0
root=$folder/nvidia/cu13
packages=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd)/cuda.txt

fail() {
    echo "cuda.sh: $*" >&2
    exit 1
}

# What the packages leave out of a toolkit's tree: names without a version, lib64, a folder of stubs.
mend() { # ROOT
    for library in "$1"/lib/lib*.so.*; do
        name=$(basename "$library")
        [ -e "$1/lib/${name%%.so.*}.so" ] || ln -s "$name" "$1/lib/${name%%.so.*}.so"
    done
    [ -e "$1/lib64" ] || ln -s lib "$1/lib64"
    mkdir -p "$1/lib/stubs"
}

fetch() {
    python=${PYTHON:-python3}
    mkdir -p "$cache"
    partial=$(mktemp -d "$cache/cuda-13.0.XXXXXX")
    trap 'rm -rf "$partial"' EXIT
    if ! "$python" -m pip --version >/dev/null 2>&1; then
        "$python" -m venv "$partial/python" || fail "$python has neither pip nor venv; install python3-venv or set PYTHON"
        python=$partial/python/bin/python
    fi
    echo "fetching the CUDA 13.0 toolkit into $folder" >&2
    "$python" -m pip install -q --disable-pip-version-check --root-user-action=ignore --no-deps \
        --require-hashes --target "$partial/tree" -r "$packages" >&2 || fail "pip could not fetch the toolkit"
    mend "$partial/tree/nvidia/cu13"
    "$partial/tree/nvidia/cu13/bin/nvcc" --version >/dev/null || fail "the nvcc that was fetched does not run"
    # Another cuda.sh may have been faster; its tree is as good.
    [ -x "$root/bin/nvcc" ] || mv -T "$partial/tree" "$folder" || [ -x "$root/bin/nvcc" ] ||
        fail "$folder is in the way"
}

case ${1:-} in
'') [ -x "$root/bin/nvcc" ] || fetch ;;
--path) [ -x "$root/bin/nvcc" ] || exit 1 ;;
*) fail "unknown argument $1; it takes --path or nothing" ;;
esac
echo "$root"

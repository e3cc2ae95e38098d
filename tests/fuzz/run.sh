#!/bin/sh
# Builds every fuzz target with clang into build/fuzz and runs each for some seconds (20, or the first argument),
# starting from the seeds in tests/fuzz/corpus/<target>. What was found is kept in build/fuzz: inputs that
# reach new code in corpus/, inputs that failed in failures/. Exit 1 when any target failed.
# Further arguments name the targets to run instead of all.
set -eu

seconds=${1:-20}
[ $# -gt 0 ] && shift
root=$(cd "$(dirname "$0")/../.." && pwd)
build=$root/build/fuzz
mkdir -p "$build"

cmake -S "$root" -B "$build" -G Ninja -DCMAKE_C_COMPILER=clang -DCMAKE_CXX_COMPILER=clang++ \
    -DCMAKE_BUILD_TYPE=Debug \
    -DCMAKE_C_FLAGS_DEBUG="-O1 -g" -DSKINSIGHT_FUZZ=ON >"$build/build.log" 2>&1 || { cat "$build/build.log" >&2; exit 1; }
[ $# -gt 0 ] || set -- fuzzers
cmake --build "$build" --target "$@" >"$build/build.log" 2>&1 || { cat "$build/build.log" >&2; exit 1; }

if [ "$1" = fuzzers ]; then
    shift
    for source in "$root"/tests/fuzz/fuzz_*.c; do
        set -- "$@" "$(basename "$source" .c)"
    done
fi

failed=""
mkdir -p "$build/failures"
for target in "$@"; do
    seeds=$root/tests/fuzz/corpus/$target
    mkdir -p "$build/corpus/$target"
    [ -d "$seeds" ] || seeds=
    if "$build/bin/$target" -max_total_time="$seconds" -timeout=10 -rss_limit_mb=2048 -print_final_stats=1 \
        -artifact_prefix="$build/failures/$target-" "$build/corpus/$target" ${seeds:+"$seeds"} \
        >"$build/$target.log" 2>&1; then
        runs=$(sed -n 's/^stat::number_of_executed_units: *//p' "$build/$target.log")
        echo "$target: nothing found in $runs inputs, $seconds s"
    else
        echo "$target: FAILED, see $build/$target.log"
        tail -n 30 "$build/$target.log" >&2
        failed="$failed $target"
    fi
done
[ -z "$failed" ]

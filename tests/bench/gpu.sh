#!/usr/bin/env bash
# gpu.sh: checks and times the CUDA backend on a machine with a GPU, in two parts of seven minutes each at most: what
# would begin later is left out, and what runs then is ended.
#
#   gpu.sh pack DIR [BUILD]     on a machine with the build (no GPU needed): copies all that the other machine has to
#                               be given into DIR: this script, bench_gpu, the operations' tests, the backend's library,
#                               the few system libraries they need (about 35 MB). BUILD is build/cuda, made by
#                               `cmake --preset cuda && cmake --build --preset cuda`.
#   gpu.sh checks DIR [OUT]     on the machine with the GPU: every check, with the library's products, with our own and
#                               with tuned ones; then compute-sanitizer where it is there (racecheck, synccheck,
#                               memcheck). Exit 1 when a check fails or finds no time.
#   gpu.sh times DIR [OUT]      there too: batch 1 to 256 in each precision, untuned, tuned, own products; then PyTorch,
#                               where it is there, in what time is left. Exit 1 when a program of ours fails.
#
# The machine with the GPU needs no network and no compiler: a driver of version 580 or newer, and cuBLASLt of CUDA 13
# (found where it was built with, in a toolkit, or beside PyTorch). Each part leaves its logs, the card's state, its
# clocks and power meanwhile and a summary in OUT (default DIR/out), and all that lies there in OUT.tar.gz: after both
# parts, in any order, the one archive of both. Exit 77 without a GPU.
set -uo pipefail
deadline=420 # seconds from the start
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)

usage() {
    sed -n '2,/^[^#]/s/^# \{0,1\}//p' "$0" >&2
    exit 2
}

pack() { # DIR BUILD
    local to=$1 build=$2 file
    mkdir -p "$to/lib"
    cp "$here/gpu.sh" "$here/gpu_peers.py" "$to/" || exit 1
    for file in bench_gpu gpu_test_ops gpu_test_products gpu_test_maps gpu_test_nan libskinsight_cuda.so; do
        cp "$build/bin/$file" "$to/" || exit 1
        strip --strip-debug "$to/$file"
    done
    for file in "$to"/bench_gpu "$to"/gpu_test_* "$to/libskinsight_cuda.so"; do
        ldd "$file" | awk '$2 == "=>" && $3 ~ /^\// { print $3 }'
    done | sort -u | grep -Ev '/(libc|libm|libdl|librt|libpthread|libgcc_s|ld-linux[^/]*|libcublasLt)\.so' |
        xargs -r cp -L -t "$to/lib"
    du -sh "$to"
}

find_cublas() { # prints the folder of libcublasLt.so.13
    local python=${PYTHON:-python3} folder
    for folder in "${SKINSIGHT_CUDA_ROOT:-/nonexistent}/lib64" \
        "$(ldd "$from/libskinsight_cuda.so" | sed -n 's|.*=> \(/.*\)/libcublasLt.*|\1|p')" \
        /usr/local/cuda/lib64 /usr/local/cuda-13*/lib64 \
        "$("$python" -c 'import nvidia.cu13 as m; print(list(m.__path__)[0] + "/lib")' 2>/dev/null)" \
        "$("$python" -c 'import nvidia.cublas as m; print(list(m.__path__)[0] + "/lib")' 2>/dev/null)"; do
        if [ -e "$folder/libcublasLt.so.13" ]; then
            echo "$folder"
            return
        fi
    done
    echo "gpu.sh: no libcublasLt.so.13 is found here: set SKINSIGHT_CUDA_ROOT to a toolkit of CUDA 13" >&2
}

step() { # NAME SECONDS COMMAND...: runs it with its output in a log too, 124 when there is no time left
    local name=$1 limit=$2 left=$((deadline - SECONDS))
    shift 2
    rm -f "$out/$name.log"
    [ "$limit" -le "$left" ] || limit=$left
    if [ "$limit" -lt 5 ]; then
        echo "== $name: left out, $SECONDS s are gone"
        return 124
    fi
    echo "== $name"
    timeout "$limit" "$@" 2>&1 | tee "$out/$name.log"
    local code=${PIPESTATUS[0]}
    echo "== $name: exit $code, $SECONDS s so far"
    return "$code"
}

# Both run a program of ours, after the variables it gets. A check has to end well; a time may be cut short.
ours() { # NAME SECONDS COMMAND...
    local name=$1 limit=$2
    shift 2
    step "$name" "$limit" env LD_LIBRARY_PATH="$libraries" SKINSIGHT_CUDA_PLUGIN="$from/libskinsight_cuda.so" \
        SKINSIGHT_CUDA_TUNING="$out/untuned.txt" "$@"
}
check() {
    ours "$@" || failures+=" $1"
}
timed() {
    ours "$@" || [ $? -eq 124 ] || failures+=" $1"
}

checks() {
    check ops 30 "$from/gpu_test_ops"
    check products 60 "$from/gpu_test_products"
    check maps 60 "$from/gpu_test_maps"
    check nan 30 "$from/gpu_test_nan"
    check check 90 "$from/bench_gpu" check
    check check-own 90 SKINSIGHT_CUDA_PRODUCTS=own "$from/bench_gpu" check
    rm -f "$out/checked.txt" # else nothing is tuned
    check check-tuned 90 SKINSIGHT_CUDA_TUNE=1 SKINSIGHT_CUDA_TUNING="$out/checked.txt" "$from/bench_gpu" check
    sanitizer
}

times() {
    local precision network vit="$from/bench_gpu time vit_base_patch16_224"
    rm -f "$out/tuned.txt"
    # shellcheck disable=SC2086
    for precision in $halves int8; do
        timed "time-$precision" 40 $vit $precision 1 2 4 8 16 32 64 128 256
    done
    # shellcheck disable=SC2086
    for precision in $halves; do
        timed "tune-$precision" 40 SKINSIGHT_CUDA_TUNE=1 SKINSIGHT_CUDA_TUNING="$out/tuned.txt" $vit $precision 1 8 64 256
        timed "own-$precision" 40 SKINSIGHT_CUDA_PRODUCTS=own $vit $precision 1 8 64 256
    done
    # shellcheck disable=SC2086
    timed time-fp32 20 $vit fp32 1 64
    for network in resnet18 efficientnet_b4; do
        for precision in $halves; do
            timed "time-$network-$precision" 15 "$from/bench_gpu" time $network "$precision" 1 8 64 256
        done
    done
    local left=$((deadline - SECONDS - 5)) # peers never fail the run
    step peers "$left" "${PYTHON:-python3}" "$here/gpu_peers.py" --seconds "$left"
}

# What the runtime answers is judged by the backend itself, and the runtime asks for functions that a driver may lack.
sanitize() { # NAME SECONDS TOOL COMMAND...
    check "$1" "$2" "$sanitizer" --tool "$3" --report-api-errors no --error-exitcode 1 "${@:4}"
}
sanitizer() {
    local network sanitizer
    sanitizer=$(command -v compute-sanitizer || command -v /usr/local/cuda/bin/compute-sanitizer)
    if [ -z "$sanitizer" ]; then
        echo "== sanitizer: left out, there is no compute-sanitizer here"
        return
    fi
    sanitize racecheck 90 racecheck "$from/gpu_test_products"
    sanitize racecheck-maps 40 racecheck "$from/gpu_test_maps"
    sanitize synccheck 40 synccheck "$from/gpu_test_products"
    for network in vit_tiny_patch16_224 resnet18; do
        sanitize "memcheck-$network" 40 memcheck "$from/bench_gpu" time $network fp16 3
    done
}

card() {
    nvidia-smi --query-gpu=name,driver_version,compute_cap,clocks.sm,clocks.max.sm,power.draw,power.limit,temperature.gpu --format=csv
    case $(nvidia-smi --query-gpu=compute_cap --format=csv,noheader | head -1) in
    7.*) halves=fp16 ;; # bf16 came with Ampere
    *) halves="bf16 fp16" ;;
    esac
    nvidia-smi --query-gpu=timestamp,clocks.sm,power.draw,temperature.gpu,utilization.gpu --format=csv -lms 500 \
        >"$out/clocks-$part.csv" 2>/dev/null &
    watcher=$!
    trap 'kill "$watcher" 2>/dev/null' EXIT
}

summary() {
    local column log
    kill "$watcher" 2>/dev/null
    echo "== clocks, power, temperature: least, median, most of $(wc -l <"$out/clocks-$part.csv") readings"
    for column in 2 3 4; do
        tail -n +2 "$out/clocks-$part.csv" | cut -d, -f$column | tr -dc '0-9.\n' | grep . | sort -n |
            awk '{ v[NR] = $1 } END { print v[1], v[int((NR + 1) / 2)], v[NR] }'
    done
    echo "== summary"
    for log in "$out"/time-*.log "$out"/tune-*.log "$out"/own-*.log "$out/peers.log"; do
        [ "$part" != times ] || [ ! -e "$log" ] ||
            grep -E 'batch +(1|8|64|256):' "$log" | sed "s|^|$(basename "$log" .log): |"
    done
    [ -z "$failures" ] && echo "all of $part passed in $SECONDS s" || echo "FAILED in $part:$failures"
}

run() { # PART DIR OUT
    part=$1 from=$2 out=$3 failures=
    mkdir -p "$out"
    chmod +x "$from"/bench_gpu "$from"/gpu_test_* # a copy may have lost that
    if ! nvidia-smi -q -d CLOCK,POWER,TEMPERATURE,ECC,PERFORMANCE >"$out/card-$part.log" 2>&1; then
        echo "gpu.sh: nvidia-smi finds no GPU here" >&2
        exit 77
    fi
    libraries=$from/lib:$(find_cublas)${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}
    card
    "$part"
    summary | tee "$out/summary-$part.log"
    tar -czf "$out.tar.gz" -C "$(dirname "$out")" "$(basename "$out")"
    [ -z "$failures" ]
}

[ $# -ge 2 ] || usage
case $1 in
pack) pack "$(realpath -m "$2")" "${3:-$here/../../build/cuda}" ;;
checks | times) run "$1" "$(realpath "$2")" "$(realpath -m "${3:-$2/out}")" ;;
*) usage ;;
esac

#!/usr/bin/env bash
# gpu.sh: checks and times the CUDA backend on a machine with a GPU, in eight minutes: what would begin later is left
# out, and what runs then is ended.
#
#   gpu.sh pack DIR [BUILD]   on a machine with the build (no GPU needed): copies what the other machine has to be given
#                             into DIR: bench_gpu, the operations' tests, the backend's library, the few system
#                             libraries they need (about 20 MB). BUILD is build/cuda, made by `cmake --preset cuda && cmake --build --preset cuda`.
#   gpu.sh run DIR [OUT]      on the machine with the GPU, which needs no network and no compiler: a driver of version
#                             580 or newer, cuBLASLt of CUDA 13 (found in the toolkit, or beside PyTorch), and for the
#                             peers PyTorch. Logs go to OUT (default DIR/out); a summary is printed last.
#
# What run does: the card's state; every check with the library's products and with our own; compute-sanitizer where it
# is there (memcheck, racecheck); the tuner; times at batch 1 to 256 in each precision, untuned, tuned and own;
# PyTorch; the card's clocks and power meanwhile. Exit 1 when a check fails or finds no time, 77 without a GPU.
set -uo pipefail
deadline=470 # seconds from the start
cd "$(dirname "$0")/../.." || exit 2

usage() {
    sed -n '2,16s/^# \{0,1\}//p' "$0" >&2
    exit 2
}

pack() { # DIR BUILD
    local to=$1 build=$2 file
    mkdir -p "$to/lib"
    for file in bench_gpu gpu_test_ops gpu_test_products gpu_test_maps libskinsight_cuda.so; do
        cp "$build/bin/$file" "$to/" || exit 1
        strip --strip-debug "$to/$file"
    done
    for file in "$to"/bench_gpu "$to"/gpu_test_* "$to/libskinsight_cuda.so"; do
        ldd "$file" | awk '$2 == "=>" && $3 ~ /^\// { print $3 }'
    done | sort -u | grep -Ev '/(libc|libm|libdl|librt|libpthread|ld-linux[^/]*|libcublasLt)\.so' |
        xargs -r cp -L -t "$to/lib"
    du -sh "$to"
}

find_cublas() { # prints the folder of libcublasLt.so.13
    local python=${PYTHON:-python3} folder
    for folder in "${SKINSIGHT_CUDA_ROOT:-/nonexistent}/lib" /usr/local/cuda/lib64 /usr/local/cuda-13*/lib64 \
        "$("$python" -c 'import nvidia.cu13 as m; print(list(m.__path__)[0] + "/lib")' 2>/dev/null)" \
        "$("$python" -c 'import nvidia.cublas as m; print(list(m.__path__)[0] + "/lib")' 2>/dev/null)"; do
        if [ -e "$folder/libcublasLt.so.13" ]; then
            echo "$folder"
            return
        fi
    done
}

step() { # NAME SECONDS COMMAND...: runs it with its output in a log too, 124 when there is no time left
    local name=$1 limit=$2 left=$((deadline - SECONDS))
    shift 2
    if [ "$left" -lt 5 ]; then
        echo "== $name: left out, $SECONDS s are gone"
        return 124
    fi
    [ "$limit" -le "$left" ] || limit=$left
    echo "== $name"
    timeout "$limit" "$@" 2>&1 | tee "$out/$name.log"
    local code=${PIPESTATUS[0]}
    echo "== $name: exit $code, $SECONDS s so far"
    return "$code"
}

run() { # DIR OUT
    local from=$1 batches="1 2 4 8 16 32 64 128 256" failed=0 precision network
    out=$2
    mkdir -p "$out"
    LD_LIBRARY_PATH=$(find_cublas):$from/lib${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}
    export LD_LIBRARY_PATH SKINSIGHT_CUDA_PLUGIN=$from/libskinsight_cuda.so
    export SKINSIGHT_CUDA_TUNING=$out/untuned.txt
    if ! nvidia-smi -q -d CLOCK,POWER,TEMPERATURE,ECC,PERFORMANCE >"$out/card.log" 2>&1; then
        echo "gpu.sh: nvidia-smi finds no GPU here" >&2
        exit 77
    fi
    nvidia-smi --query-gpu=name,driver_version,clocks.sm,clocks.max.sm,power.draw,power.limit,temperature.gpu --format=csv
    nvidia-smi --query-gpu=timestamp,clocks.sm,power.draw,temperature.gpu,utilization.gpu --format=csv -lms 500 \
        >"$out/clocks.csv" 2>/dev/null &
    local watcher=$!
    step ops 30 "$from/gpu_test_ops" || failed=1
    step products 60 "$from/gpu_test_products" || failed=1
    step maps 60 "$from/gpu_test_maps" || failed=1
    step check 90 "$from/bench_gpu" check || failed=1
    step check-own 90 env SKINSIGHT_CUDA_PRODUCTS=own "$from/bench_gpu" check || failed=1
    if command -v compute-sanitizer >/dev/null; then
        for network in vit_tiny_patch16_224 resnet18; do
            step "memcheck-$network" 40 compute-sanitizer --error-exitcode 1 "$from/bench_gpu" time $network fp16 3 || failed=1
        done
        step racecheck 90 compute-sanitizer --tool racecheck --error-exitcode 1 "$from/gpu_test_products" || failed=1
        step racecheck-maps 40 compute-sanitizer --tool racecheck --error-exitcode 1 "$from/gpu_test_maps" || failed=1
    fi
    for precision in bf16 fp16 int8; do
        # shellcheck disable=SC2086
        step "time-$precision" 40 "$from/bench_gpu" time vit_base_patch16_224 $precision $batches
    done
    step time-fp32 20 "$from/bench_gpu" time vit_base_patch16_224 fp32 1 64
    for network in resnet18 efficientnet_b4; do
        for precision in bf16 fp16; do
            step "time-$network-$precision" 15 "$from/bench_gpu" time $network $precision 1 8 64 256
        done
    done
    export SKINSIGHT_CUDA_TUNING=$out/tuned.txt
    for precision in bf16 fp16; do
        SKINSIGHT_CUDA_TUNE=1 step "tune-$precision" 40 "$from/bench_gpu" time vit_base_patch16_224 $precision 1 8 64 256
        SKINSIGHT_CUDA_PRODUCTS=own step "own-$precision" 40 "$from/bench_gpu" time vit_base_patch16_224 $precision 1 8 64 256
    done
    step peers "$deadline" "${PYTHON:-python3}" tests/bench/gpu_peers.py --seconds $((deadline - SECONDS - 40))
    kill "$watcher"
    echo "== clocks and power: least, median, most of $(wc -l <"$out/clocks.csv") readings"
    for column in 2 3 4; do
        tail -n +2 "$out/clocks.csv" | cut -d, -f$column | tr -dc '0-9.\n' | sort -n |
            awk '{ v[NR] = $1 } END { print v[1], v[int((NR + 1) / 2)], v[NR] }'
    done
    echo "== summary"
    cat "$out"/time-*.log "$out"/tune-*.log "$out"/own-*.log "$out"/peers.log | grep -E 'batch +(1|8|64|256):'
    [ "$failed" -eq 0 ] && echo "all checks passed in $SECONDS s" || echo "CHECKS FAILED"
    exit "$failed"
}

[ $# -ge 2 ] || usage
case $1 in
pack) pack "$(realpath -m "$2")" "${3:-build/cuda}" ;;
run) run "$(realpath "$2")" "$(realpath -m "${3:-$2/out}")" ;;
*) usage ;;
esac

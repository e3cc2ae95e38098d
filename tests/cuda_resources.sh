#!/usr/bin/env bash
# cuda_resources.sh: what the compiler made of the CUDA kernels, read from the library, without a GPU: no kernel spills
# registers or keeps a stack, each stays below the limits that the occupancy it was written for needs, and the
# matrix kernels of each target use its tensor cores.
#
#   cuda_resources.sh LIBRARY      prints a table; exit 1 on a violation, 77 when library or toolkit is missing
#
# The toolkit's cuobjdump is taken from $SKINSIGHT_CUDA_ROOT, else from where deploy/cuda.sh put it.
set -uo pipefail
cd "$(dirname "$0")/.." || exit 2

library=${1:-build/cuda/bin/libskinsight_cuda.so}
root=${SKINSIGHT_CUDA_ROOT:-$(sh deploy/cuda.sh --path)}
if [ ! -f "$library" ] || [ ! -x "$root/bin/cuobjdump" ]; then
    echo "cuda_resources.sh: $library or cuobjdump is missing: built without the CUDA backend" >&2
    exit 77
fi
PATH=$root/bin:$PATH

# Kernel, most registers, most bytes of static shared memory. 128 registers let two blocks of 256 threads share a
# multiprocessor; attention has 7 warps a block.
limits="product_kernel 128 0
float_kernel 64 8704
narrow_kernel 64 0
attention_kernel 128 0
plain_kernel 64 0
layernorm_kernel 80 0
patches_kernel 64 0
tokens_kernel 64 0
gelu_kernel 48 0
add_kernel 32 0
convert_kernel 48 0
quantise_kernel 64 0
weights_kernel 64 0
depthwise_kernel 72 0
max_pool_kernel 48 0
sum_rows_kernel 64 4096
scale_kernel 48 0
class_map_kernel 64 0"

# "sm function registers stack shared local", one kernel a line.
usage() {
    cuobjdump -res-usage "$library" 2>&1 | awk '
        /^Fatbin elf code/ { sm = "" }
        /^arch = / { sm = $3 }
        /^ *Function / { name = $2; sub(/:$/, "", name) }
        /REG:/ {
            for (i = 1; i <= NF; i++) { split($i, part, ":"); value[part[1]] = part[2] }
            print sm, name, value["REG"], value["STACK"], value["SHARED"], value["LOCAL"] }'
}

# Instructions of a kernel on one target: "sm function count" for the tensor cores' ones.
tensor_instructions() {
    cuobjdump -sass "$library" 2>/dev/null | awk '
        /^arch = / { sm = $3 }
        /Function : / { name = $3; seen[sm " " name] += 0 }
        /HMMA|IMMA|HGMMA|IGMMA/ { seen[sm " " name]++ }
        END { for (key in seen) print key, seen[key] }'
}

usage_file=$(mktemp)
tensor_file=$(mktemp)
trap 'rm -f "$usage_file" "$tensor_file"' EXIT
usage >"$usage_file"
tensor_instructions >"$tensor_file"

awk -v limits="$limits" '
    BEGIN {
        count = split(limits, lines, "\n")
        for (i = 1; i <= count; i++) { split(lines[i], part, " "); registers[part[1]] = part[2]; shared[part[1]] = part[3] }
    }
    FNR == NR { tensor[$1 " " $2] = $3; next }
    {
        kernel = ""
        for (name in registers) if (index($2, name) && length(name) > length(kernel)) kernel = name
        total++
        targets[$1] = 1
        empty = $3 <= 8 # made for another target only
        if (kernel == "") { print "no limit is set for " $2; bad++; next }
        if ($3 > registers[kernel]) { print $1 " " kernel ": " $3 " registers, the limit is " registers[kernel]; bad++ }
        if ($4 > 0 || $6 > 0) { print $1 " " $2 ": spills or keeps a stack (" $4 ", " $6 " bytes)"; bad++ }
        if ($5 > shared[kernel] + 1024) { print $1 " " kernel ": " $5 " bytes of shared memory"; bad++ }
        most[$1 " " kernel] = $3 > most[$1 " " kernel] ? $3 : most[$1 " " kernel]
        if ((kernel == "product_kernel" || kernel == "attention_kernel") && !empty) {
            if (tensor[$1 " " $2] == 0) { print $1 " " $2 ": no tensor-core instruction"; bad++ }
            cores[$1] += tensor[$1 " " $2]
        }
    }
    END {
        for (key in most) print key, most[key] " registers" | "sort"
        close("sort")
        for (target in targets) {
            printf "%s: %d tensor-core instructions\n", target, cores[target]
            if (cores[target] == 0) bad++
        }
        if (total == 0) { print "no kernel was found"; bad++ }
        printf "%d kernels, %d violations\n", total, bad
        exit bad > 0
    }' "$tensor_file" "$usage_file"

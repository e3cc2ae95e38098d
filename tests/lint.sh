#!/usr/bin/env bash
# lint.sh [CHECK...]: the rules of CONTRIBUTING.md that a program can check. One line per violation; exit 1 if there is any.
#
# A CHECK is one of: format functions file_lengths whitespace dependencies circles scripts
# names generated_pages; none means all.
# Looks at the files of the working tree that git knows or would add. The generated pages are compared with what
# skinsight-worker in $SKINSIGHT_BIN (default build/release/bin) prints.
set -uo pipefail
cd "$(dirname "$0")/.." || exit 2

max_function_lines=60
max_complexity=15
max_file_lines=500
violations=0

# Prints its standard input, one violation a line.
report() {
    local line
    while IFS= read -r line; do
        echo "$line"
        violations=$((violations + 1))
    done
}

files() { # files matching the patterns that exist, one a line
    local path
    git ls-files --cached --others --exclude-standard -- "$@" | while IFS= read -r path; do
        [ ! -f "$path" ] || echo "$path"
    done
}

# A page that names a metric or a file of the past sends its reader astray.
check_names() {
    report < <(files '*.md' | xargs -r grep -noE 'skinsight_[a-z]+_[a-z0-9_]+' /dev/null |
        sed -E 's/_(bucket|sum|count)$//' | while IFS=: read -r path line name; do
        grep -q "^| \`$name\`" docs/METRICS.md docs/GATEWAY_METRICS.md docs/MONITOR_METRICS.md || echo "$path:$line: there is no metric $name"
    done)
    report < <(files '*.md' | xargs -r grep -noE '`[a-z]+/[A-Za-z0-9_./-]+`' /dev/null | tr -d '\`' |
        while IFS=: read -r path line name; do
            [ ! -d "${name%%/*}" ] || [ -e "$name" ] || echo "$path:$line: there is no $name"
        done)
}

need() {
    command -v "$1" >/dev/null || {
        echo "lint: $1 is missing: run deploy/install.sh --tests" >&2
        exit 2
    }
}

check_format() {
    mapfile -t sources < <(files '*.c' '*.h' '*.cu' '*.cuh')
    [ ${#sources[@]} -gt 0 ] || return
    report < <(clang-format --dry-run -Werror "${sources[@]}" 2>&1 | sed -n 's/^\([^:]*\):[0-9]*:[0-9]*: error: .*/\1/p' |
        uniq | sed 's/$/: not formatted; clang-format -i mends it/')
}

check_functions() {
    mapfile -t sources < <(files '*.c' '*.cu')
    [ ${#sources[@]} -gt 0 ] || return
    # Columns: modified complexity (a switch counts once), complexity, statements, first line, lines, file(line): name
    report < <(pmccabe "${sources[@]}" 2>&1 | awk -v lines="$max_function_lines" -v complexity="$max_complexity" '
        !/^[0-9]/ { print "pmccabe: " $0; next }
        $5 > lines { print $6 " " $7 ": " $5 " lines, the limit is " lines }
        $1 > complexity { print $6 " " $7 ": complexity " $1 ", the limit is " complexity }')
}

check_file_lengths() {
    report < <(files '*.c' '*.h' '*.cu' '*.cuh' '*.cpp' '*.py' '*.sh' | xargs -r wc -l | awk -v limit="$max_file_lines" '
        $2 != "total" && $1 > limit { print $2 ": " $1 " lines, the limit is " limit }')
}

check_whitespace() {
    local text=('*.c' '*.h' '*.cu' '*.cuh' '*.sh' '*.py' '*.md' '*.json' '*.cmake' '*CMakeLists.txt' '.ci/run' ':!models/*.json')
    report < <(files "${text[@]}" | xargs -r grep -nP '\t' /dev/null | sed 's/^\([^:]*:[0-9]*\):.*/\1: a tab/')
    report < <(files "${text[@]}" | xargs -r grep -nE ' +$' /dev/null | sed 's/^\([^:]*:[0-9]*\):.*/\1: space at the end/')
}

# A folder is a layer, and knows those on its line alone, less what a "!" takes out. A longer path goes before a shorter one.
layers() {
    cat <<END
common/base         common/base
common/services     common/base common/services
common/records      common/base common/records
common/picture      common/base common/picture
common/statistics   common/base common/statistics
common/identity     common/base common/services common/program common/identity
common/audit        common/base common/services common/program common/identity common/audit
common/program      common/base common/services common/records common/program
kernels/network     common/base kernels/network
kernels/model       common/base common/records kernels/network kernels/image kernels/model
kernels/image       common/base common/picture kernels/image
kernels             common/base common/records kernels
worker/device       common kernels worker !worker/cache !worker/group !worker/stages !worker/commands
worker/cache        common kernels worker !worker/group !worker/stages !worker/commands
worker/group        common kernels worker !worker/cache !worker/stages !worker/commands
worker/stages       common kernels worker !worker/commands
worker              common kernels worker
producer            common kernels producer
trainer             common kernels trainer
monitor             common monitor
END
}

check_dependencies() {
    local folder allowed refused seen=$'^$'
    while read -r folder allowed; do
        refused=$(grep -oE '![^ ]+' <<<"$allowed" | tr -d '!' | paste -sd'|')
        allowed=$(sed -E 's/ ![^ ]+//g; s/ /|/g' <<<"$allowed")
        report < <(files "$folder/*.c" "$folder/*.h" "$folder/*.cu" "$folder/*.cuh" "$folder/*.cpp" |
            grep -vE "$seen" | xargs -r grep -nE '^ *# *include "' /dev/null |
            awk -v allowed="\"($allowed)/" -v refused="\"(${refused:-!})/" '$0 !~ allowed || $0 ~ refused' |
            sed "s,\$, -- $folder may only include from $allowed${refused:+ but not from $refused},")
        seen="$seen|^$folder/"
    done < <(layers | awk '{ print length($1), $0 }' | sort -rn | cut -d' ' -f2-)
}

check_circles() {
    report < <(files 'common/*' 'kernels/*' 'worker/*' 'producer/*' 'trainer/*' 'monitor/*' | grep -E '\.(c|h|cu|cuh|cpp)$' |
        xargs -r python3 tests/support/circles.py 2>&1)
}

check_scripts() {
    local script shell
    while IFS= read -r script; do
        case $(head -n 1 "$script") in
        *bash) shell="bash" ;;
        *) shell="sh" ;;
        esac
        report < <("$shell" -n "$script" 2>&1)
    done < <(files '*.sh' '.ci/run')
    report < <(files '*.sh' '.ci/run' | xargs -r shellcheck --severity=warning --format=gcc)
    report < <(files '*.py' | xargs -r python3 -c '
import sys
for path in sys.argv[1:]:
    try:
        compile(open(path, encoding="utf-8").read(), path, "exec")
    except SyntaxError as error:
        print(f"{path}:{error.lineno}: {error.msg}")')
}

check_generated_pages() {
    local worker=${SKINSIGHT_BIN:-build/release/bin}/skinsight-worker
    local producer=${SKINSIGHT_BIN:-build/release/bin}/skinsight-producer
    local monitor=${SKINSIGHT_BIN:-build/release/bin}/skinsight-monitor
    if [ ! -x "$worker" ]; then
        report <<<"$worker is not built, so docs/CONFIGURATION.md and docs/METRICS.md are not compared"
        return
    fi
    if ! "$worker" --print-documentation | cmp -s - docs/CONFIGURATION.md; then
        report <<<"docs/CONFIGURATION.md is stale: $worker --print-documentation >docs/CONFIGURATION.md"
    fi
    if ! "$worker" --print-metrics-documentation | cmp -s - docs/METRICS.md; then
        report <<<"docs/METRICS.md is stale: $worker --print-metrics-documentation >docs/METRICS.md"
    fi
    if [ ! -x "$producer" ]; then
        report <<<"$producer is not built, so docs/GATEWAY_METRICS.md is not compared"
    elif ! "$producer" --print-metrics-documentation | cmp -s - docs/GATEWAY_METRICS.md; then
        report <<<"docs/GATEWAY_METRICS.md is stale: $producer --print-metrics-documentation >docs/GATEWAY_METRICS.md"
    fi
    if [ ! -x "$monitor" ]; then
        report <<<"$monitor is not built, so docs/MONITOR_METRICS.md is not compared"
    elif ! "$monitor" --print-metrics-documentation | cmp -s - docs/MONITOR_METRICS.md; then
        report <<<"docs/MONITOR_METRICS.md is stale: $monitor --print-metrics-documentation >docs/MONITOR_METRICS.md"
    fi
}

git rev-parse --git-dir >/dev/null || exit 2 # it names the files
need python3
if [ $# -eq 0 ]; then
    need clang-format
    need pmccabe
    need shellcheck
    set -- format functions file_lengths whitespace dependencies circles scripts names generated_pages
fi
for check; do
    declare -F "check_$check" >/dev/null || {
        echo "lint: there is no check '$check'" >&2
        exit 2
    }
    "check_$check"
done
if [ "$violations" -gt 0 ]; then
    echo "lint: $violations violations"
    exit 1
fi
echo "lint: clean"

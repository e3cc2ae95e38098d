#!/bin/sh
# demo.sh: SkinSight end to end on this machine: real Kafka, real Redis, two workers, the gateway, a folder as object store.
#
#   sh deploy/demo.sh [--keep] [FILE or FOLDER...]    analyse these JPEG files, or the eight in tests/data
#   sh deploy/demo.sh --stop DIR                      stop what an earlier --keep left running
#   sh deploy/demo.sh --monitor                       twelve simulated weeks of a clinic in the monitor, and its page
#
# It installs and builds what is missing, works in a new folder under $TMPDIR (or /tmp), and stops all it started,
# also when it fails or is interrupted. Kafka is kept in the cache folder ($SKINSIGHT_CACHE_DIR, else
# ~/.cache/skinsight): a second run only starts, asks and stops. The model is models/demo.
set -eu

root=$(CDPATH='' cd -- "$(dirname -- "$0")/.." && pwd)
services=$root/deploy/services.sh
bin=$root/build/release/bin
model=$root/models/demo
labels=
keep=
of_monitor=
started="Kafka, Redis, the workers and the gateway are"
scratch=
child=

say() { # LINE...
    printf '%s\n' "$@"
}

fail() {
    echo "demo.sh: $*" >&2
    exit 1
}

say_what_the_model_is() {
    say "The model learnt from some 6,000 photographs of one clinic. $model/card.md says how well." \
        "It is NOT FOR CLINICAL USE."
}

# ---- interruptions ---------------------------------------------------------------------------------------

# Runs a command that may take long as a session of its own and waits for it. An interrupt then ends this script
# at once, and the command with all its children can be ended with it.
attend() {
    child=starting
    setsid "$@" &
    child=$!
    result=0
    wait "$child" || result=$?
    child=
    return $result
}

# Told again and again: what has only just been forked has no group yet, and may lose what it is told before its exec.
end_child() {
    [ -n "$child" ] || return 0
    [ "$child" != starting ] || child=${!:-}
    tries=100
    while kill -s TERM -- "-$child" 2>/dev/null || kill -s TERM "$child" 2>/dev/null; do
        tries=$((tries - 1))
        [ $tries -gt 0 ] || break
        sleep 0.1
    done
    kill -s KILL -- "-$child" 2>/dev/null || :
}

# Nobody may be reading any more what is said here.
clean_up() {
    result=$?
    trap '' INT TERM HUP PIPE
    end_child
    if [ -n "$scratch" ] && [ -f "$scratch/processes" ] && [ "$keep" != running ]; then
        if "$services" stop "$scratch"; then
            say "$started stopped." 2>/dev/null || :
        else
            result=1
        fi
    fi
    exit $result
}

# ---- steps -----------------------------------------------------------------------------------------------

build() { # TARGET...
    say "Building (build/release)"
    attend cmake -S "$root" --preset release >"$scratch/cmake.log" 2>&1 || {
        cat "$scratch/cmake.log" >&2
        fail "CMake could not configure the build"
    }
    attend cmake --build "$root/build/release" --target "$@"
}

start_worker() { # NAME; each computes on its share of the cores
    port=$("$services" free-port)
    cores=$(nproc)
    "$services" run "$scratch" "$1" "$bin/skinsight-worker" run --brokers "$KAFKA_BROKERS" --cache "$REDIS_URL" \
        --objects "$objects" --model "$model" --instance "$1" --http-address "127.0.0.1:$port" \
        --threads $(((cores + 1) / 2)) --drain-timeout-ms 10000
    echo "$port" >"$scratch/$1.port"
}

# With a key of the demo's own. 30 s: a worker that is busy on a small machine takes longer than a clinic should wait.
start_gateway() {
    gateway_port=$("$services" free-port)
    port=$("$services" free-port)
    (
        umask 077
        "$bin/skinsight-producer" keys --actor demo --site demo --role analyst --api-keys "$scratch/keys.json" \
            --store "$store" add >"$scratch/key" &&
            printf 'Authorization: Bearer %s\nContent-Type: application/json\n' "$(cat "$scratch/key")" >"$scratch/header"
    ) || fail "the gateway's key could not be made"
    "$services" run "$scratch" gateway "$bin/skinsight-producer" serve --brokers "$KAFKA_BROKERS" --objects "$objects" \
        --api-keys "$scratch/keys.json" --store "$store" --http-listen "127.0.0.1:$gateway_port" \
        --admin-address "127.0.0.1:$port" --public-url "http://127.0.0.1:$gateway_port" --answer-timeout-ms 30000
    echo "$port" >"$scratch/gateway.port"
}

wait_until_ready() { # NAME
    tries=600
    until curl -s -f -o /dev/null --max-time 2 "http://127.0.0.1:$(cat "$scratch/$1.port")/readyz"; do
        tries=$((tries - 1))
        if [ $tries -eq 0 ] || ! "$services" pid "$scratch" "$1" >/dev/null; then
            tail -n 20 "$scratch/$1.log" >&2
            fail "$1 did not get ready; its log is $scratch/$1.log"
        fi
        sleep 0.1
    done
}

start_everything() {
    say "Starting Kafka, Redis, two workers and the gateway in $scratch"
    attend "$services" start-kafka "$scratch"
    attend "$services" start-redis "$scratch"
    # shellcheck source=/dev/null
    . "$scratch/env"
    attend "$bin/skinsight-producer" topics --create --brokers "$KAFKA_BROKERS" >"$scratch/topics.log" 2>&1 || {
        cat "$scratch/topics.log" >&2
        fail "the topics could not be made"
    }
    start_worker worker-1
    start_worker worker-2
    start_gateway
    for name in worker-1 worker-2 gateway; do
        wait_until_ready "$name"
    done
}

# A map's name begins with its image's SHA-256.
show_map() { # IMAGE
    for map in "$scratch/objects/attention/$(sha256sum "$1" | cut -c1-64)"-*.png; do
        [ ! -f "$map" ] || printf '    %s\n        %s\n' "$1" "$map"
    done
}

show_results() { # FILE or FOLDER...
    say '' "Attention maps, one PNG per image:"
    find -L "$@" -type f | sort | while read -r image; do
        show_map "$image"
    done
    say "Logs:"
    say "$scratch"/*.log | sed 's/^/    /'
    say "All of it is in $scratch; remove the folder when you are done."
}

# Hills under a sky, drawn by a program.
show_no_lesion() {
    say '' "A picture that is no lesion, $root/deploy/no_lesion.jpg. A model can only name one of its eight classes:" \
        "what matters is whether it abstains. It is then referred to a physician, and never answered with 'monitor'."
    attend "$bin/skinsight-producer" submit --wait --brokers "$KAFKA_BROKERS" --objects "$objects" \
        "$root/deploy/no_lesion.jpg" || fail "the picture that is no lesion was not answered"
}

# The answer is one line of JSON; here it has one for each field and class.
show_gateway() {
    picture=$root/tests/data/ISIC_0000013.jpg
    say '' "The same over HTTP, with a key that the gateway has just been given:" \
        "    curl --header @header --data-binary @request.json http://127.0.0.1:$gateway_port/v2/analyze"
    printf '{"image": "%s", "metadata": {"patient_age": 54}}' "$(base64 -w 0 "$picture")" >"$scratch/request.json"
    attend curl --silent --show-error --fail-with-body --max-time 60 --header "@$scratch/header" \
        --data-binary "@$scratch/request.json" --output "$scratch/answer.json" \
        "http://127.0.0.1:$gateway_port/v2/analyze" || {
        cat "$scratch/answer.json" >&2 || :
        fail "the gateway did not answer; its log is $scratch/gateway.log"
    }
    sed 's/,\("[a-z_]*":\)/,\n\1/g; s/,\n\("probability":\)/,\1/g; s/},{/},\n{/g' "$scratch/answer.json" |
        sed 's/^/    /'
    say ''
}

show_kept() {
    keep=running
    say '' "Everything keeps running. Analyse more with" \
        "    '$bin/skinsight-producer' submit --wait --brokers $KAFKA_BROKERS --objects $objects FILE..."
    say "The page for physicians is at" "    http://127.0.0.1:$gateway_port/" \
        "The key that it asks for stands in $scratch/key." \
        "The workers and the gateway tell how they are at"
    for name in worker-1 worker-2 gateway; do
        say "    http://127.0.0.1:$(cat "$scratch/$name.port")/metrics, /readyz and /healthz"
    done
    say "Stop it with" "    sh '$root/deploy/demo.sh' --stop $scratch"
}

# ---- the monitor -----------------------------------------------------------------------------------------

monitor() { # COMMAND...
    attend "$bin/skinsight-monitor" "$@" --store "sqlite://$scratch/monitor.db" >>"$scratch/$1.log" 2>&1 || {
        tail -n 20 "$scratch/$1.log" >&2
        fail "skinsight-monitor $1 failed"
    }
}

# Eight weeks are the reference; in the middle of the four that follow, the largest site gets a new camera.
fill_monitor() {
    first=$(date -u -d '84 days ago' +%F)
    changed=$(date -u -d '28 days ago' +%F)
    say "Simulating a clinic's last twelve weeks, 200 images a day (docs/SIMULATION.md)"
    attend "$bin/skinsight-monitor" simulate --seed 7 --days 84 --start "$first" --plant camera --plant-day 70 \
        --out "$scratch/clinic" >"$scratch/simulate.log" || fail "the clinic could not be simulated"
    say "Importing its answers and labels"
    monitor import-predictions "$scratch/clinic/predictions.jsonl"
    monitor import-feedback "$scratch/clinic/feedback.jsonl"
    say "Making the reference of its first eight weeks, and its charts' limits for 12 false alarms a year"
    mkdir "$scratch/references"
    openssl genpkey -algorithm ed25519 -out "$scratch/reference.pem"
    monitor reference create first --from "$first" --to "$changed" --references "$scratch/references"
    monitor reference sign first --key "$scratch/reference.pem" --references "$scratch/references"
    for kind in drift performance; do
        monitor report --kind $kind --from "$changed" --references "$scratch/references" --out "$scratch/$kind.html"
    done
}

# Nothing comes from Kafka here: no broker is asked for.
start_monitor() {
    port=$("$services" free-port)
    page=http://127.0.0.1:$port
    "$services" run "$scratch" monitor "$bin/skinsight-monitor" run --brokers 127.0.0.1:1 \
        --store "sqlite://$scratch/monitor.db" --references "$scratch/references" --monitor-listen "127.0.0.1:$port"
    tries=600
    until curl -s -f -o "$scratch/alarms.json" --max-time 2 "$page/v1/alarms"; do
        tries=$((tries - 1))
        if [ $tries -eq 0 ] || ! "$services" pid "$scratch" monitor >/dev/null; then
            tail -n 20 "$scratch/monitor.log" >&2
            fail "the monitor did not show its alarms; its log is $scratch/monitor.log"
        fi
        sleep 0.1
    done
}

show_monitor() {
    say '' "The alarms of today (plain: a simple rule that runs beside the charts, however often it is wrong):"
    tr '{' '\n' <"$scratch/alarms.json" |
        sed -n 's/.*"name":"\([^"]*\)","state":"\(warning\|critical\)".*/    \2  \1/p'
    say '' "The reports of the last four weeks, each a file of its own:" \
        "    $scratch/drift.html" "    $scratch/performance.html" \
        "The monitor's page, until you press Ctrl-C:" "    $page/"
    while "$services" pid "$scratch" monitor >/dev/null; do
        attend sleep 1
    done
    fail "the monitor ended; its log is $scratch/monitor.log"
}

# ---- command line ----------------------------------------------------------------------------------------

case ${1:-} in
--help | -h)
    sed -n '2,10s/^# \{0,1\}//p' "$0"
    exit 0
    ;;
--stop)
    [ $# -eq 2 ] || fail "--stop takes the folder that --keep named"
    "$services" stop "$2"
    say "Stopped. The maps and logs are still in $2"
    exit 0
    ;;
--keep)
    keep=asked
    shift
    ;;
--monitor)
    [ $# -eq 1 ] || fail "--monitor takes nothing else"
    of_monitor=yes
    started="The monitor is"
    shift
    ;;
--*) fail "unknown option $1; try --help" ;;
esac
for path; do
    [ -r "$path" ] || fail "$path cannot be read"
done
if [ $# -eq 0 ]; then
    set -- "$root"/tests/data/*.jpg
    labels=$root/tests/data/labels.csv
fi

trap clean_up EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP
trap 'exit 141' PIPE
[ -n "$of_monitor" ] || say_what_the_model_is
"$root/deploy/install.sh"
[ -n "$of_monitor" ] || attend "$services" fetch-kafka >/dev/null
place=${TMPDIR:-/tmp}
case $place in
[!/]* | *[!A-Za-z0-9._/-]*) place=/tmp ;; # the URIs of the object store hold no other characters
esac
scratch=$(mktemp -d "$place/skinsight-demo.XXXXXX")
if [ -n "$of_monitor" ]; then
    build skinsight-monitor
    fill_monitor
    start_monitor
    show_monitor
fi
mkdir "$scratch/objects"
objects=file://$scratch/objects
store=sqlite://$scratch/gateway.db
build skinsight-producer skinsight-worker
start_everything
answered=0
attend "$bin/skinsight-producer" submit --wait --labels "$labels" --brokers "$KAFKA_BROKERS" --objects "$objects" "$@" ||
    answered=$?
show_results "$@"
say_what_the_model_is
[ "$answered" -eq 0 ] || fail "not every image was answered; the table and the logs say why"
show_no_lesion
show_gateway
[ "$keep" != asked ] || show_kept

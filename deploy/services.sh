#!/bin/sh
# services.sh: starts and stops Kafka, Redis and an S3 server on free ports of this machine, with all they keep
# in one folder. The demo and the integration tests use it; production has its own.
#
#   services.sh fetch-kafka | fetch-s3       bring the server into the cache folder (done already: no network) and
#                                            print where it is
#   services.sh archive-kafka                have Java keep the classes of Kafka as it loads them (some 15 s, once, 100 MB
#                                            beside the jars): each server then starts in half the time
#   services.sh start-kafka | start-redis | start-s3 DIR
#                                            start it and wait until it answers; started again in the same
#                                            folder it has the same port and the same data
#   services.sh kill-kafka | kill-redis | kill-s3 DIR      kill -9, the data stay
#   services.sh start-kafka DIR COUNT        Kafka with COUNT brokers, each of which has all topics
#   services.sh start-broker | kill-broker | stop-broker | pause-broker | continue-broker DIR NUMBER
#                                            one of them, counted from 1: start it again, kill -9, TERM, STOP, CONT
#   services.sh run DIR NAME COMMAND...      start any program the same way, not waiting for it
#   services.sh pid DIR NAME                 print the pid of what runs under that name, exit 1 if nothing does
#   services.sh free-port                    print a port nobody uses
#   services.sh stop DIR                     end all of it, last started first: TERM, after 15 s KILL; exit 1 if
#                                            something is left
#
# In DIR: env (NAME=value lines to read with `set -a; . DIR/env`), NAME.log, a folder NAME with the data, and
# `processes`, one line "NAME PID START-TIME" per start. A process is only ever signalled when its start time is
# still the one written down, so a pid that was given away again is safe. Each process is a session of its own:
# a Ctrl-C in the terminal does not reach it, and its user has to call stop.
# The cache folder is $SKINSIGHT_CACHE_DIR, else ~/.cache/skinsight. $SKINSIGHT_KAFKA_LIBS (a folder of jars) and
# $SKINSIGHT_VERSITYGW (a program) replace what would be fetched.
# $KAFKA_PROXY_PORT: start-kafka gives the broker one more listener, KAFKA_PROXIED in env, which sends its clients
# to that port, where a proxy stands that leads back to the listener.
# $KAFKA_SASL: the name of a user, whose password is "secret". start-kafka gives the one broker a listener of SASL PLAIN,
# KAFKA_SASL_BROKERS in env, which wants the user's password again after 5 s, and access lists: who comes through the
# other listeners may do everything, and the user what no list forbids.
set -eu

here=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd)
cache=${SKINSIGHT_CACHE_DIR:-${XDG_CACHE_HOME:-${HOME:?is not set; SKINSIGHT_CACHE_DIR can stand in}/.cache}/skinsight}
versitygw_version=$(sed -n 's,.*/versitygw \(v[0-9.]*\).*,\1,p' "$here/versitygw/go.mod")
versitygw=${SKINSIGHT_VERSITYGW:-$cache/bin/versitygw-$versitygw_version}
s3_bucket=skinsight
s3_access_key=skinsight-local
s3_secret_key=skinsight-local-secret
empty_sha256=e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855

fail() {
    echo "services.sh: $*" >&2
    exit 1
}

# ---- processes -------------------------------------------------------------------------------------------

# Sets start_time: nothing for a process that is gone or a zombie. An interrupt of the whole group cannot end this half
# way, as it would end another program or a subshell.
read_start_time() { # PID
    start_time=
    { read -r stat <"/proc/$1/stat"; } 2>/dev/null || return 0
    # The name in brackets may hold spaces: fields are counted after it.
    # shellcheck disable=SC2086
    set -- ${stat##*) }
    [ $# -lt 20 ] || [ "$1" = Z ] || start_time=${20}
}

# One that was gone before its start time could be read has none.
alive() { # PID START-TIME
    read_start_time "$1"
    [ -n "$2" ] && [ "$start_time" = "$2" ]
}

# Prints "PID START-TIME" of what runs under this name.
find_process() ( # DIR NAME; a subshell, so that its variables are its own
    [ -f "$1/processes" ] || exit 1
    while read -r name pid born; do
        if [ "$name" = "$2" ] && alive "$pid" "$born"; then
            echo "$pid $born"
            exit 0
        fi
    done <"$1/processes"
    exit 1
)

# From here until the line in `processes` stands, an interrupt is only noted: what was started must be known.
interrupted=
spawn() { # DIR NAME COMMAND...
    dir=$1 name=$2
    shift 2
    if find_process "$dir" "$name" >/dev/null; then
        fail "$name runs already in $dir"
    fi
    mkdir -p "$dir/$name"
    trap 'interrupted=yes' INT TERM HUP
    (cd "$dir/$name" && exec setsid "$@") </dev/null >>"$dir/$name.log" 2>&1 &
    read_start_time $!
    echo "$name $! $start_time" >>"$dir/processes"
    give_up_if_interrupted "$dir" "$name"
}

give_up_if_interrupted() { # DIR NAME
    [ -n "$interrupted" ] || return 0
    end_process "$1" "$2" KILL
    exit 143
}

# Calls a check until it succeeds; fails when the process ends before that or the time is up.
wait_until_ready() { # DIR NAME SECONDS CHECK...
    dir=$1 name=$2 tries=$(($3 * 20))
    shift 3
    until "$@"; do
        tries=$((tries - 1))
        give_up_if_interrupted "$dir" "$name"
        if ! find_process "$dir" "$name" >/dev/null; then
            tail -n 15 "$dir/$name.log" >&2
            fail "$name ended before it was ready; its log is $dir/$name.log"
        fi
        if [ $tries -le 0 ]; then
            end_process "$dir" "$name" KILL
            fail "$name was not ready in time; its log is $dir/$name.log"
        fi
        sleep 0.05 || :
    done
}

# Signals and waits until the process is gone: patience_s for TERM, then KILL.
patience_s=15
end_process() { # DIR NAME SIGNAL
    found=$(find_process "$1" "$2") || return 0
    pid=${found% *} born=${found#* } tries=$((patience_s * 20))
    kill -s "$3" "$pid" 2>/dev/null || :
    while alive "$pid" "$born"; do
        tries=$((tries - 1))
        if [ $tries -eq 0 ]; then
            echo "services.sh: $2 did not end in $patience_s s and is killed" >&2
            kill -s KILL "$pid" 2>/dev/null || :
        fi
        [ $tries -gt -100 ] || fail "$2 (pid $pid) cannot be ended"
        sleep 0.05 || :
    done
}

stop_all() { # DIR; one that cannot be ended does not keep the others
    [ -f "$1/processes" ] || fail "nothing was started in $1"
    sed '1!G;h;$!d' "$1/processes" | (
        result=0
        while read -r name _; do
            signal=TERM
            case $name in kafka*) ! several_brokers "$1" || signal=KILL ;; esac # the last one can hand over to nobody
            (end_process "$1" "$name" "$signal") || result=1
        done
        exit $result
    )
}

# ---- ports and settings ----------------------------------------------------------------------------------

# A port below the range the kernel gives to outgoing connections that no socket of this machine uses. What was given
# away may be bound minutes later, so for ten of them nobody else gets it.
free_port() {
    given=${TMPDIR:-/tmp}/skinsight-ports-$(id -u)
    mkdir -m 700 "$given" 2>/dev/null || : # it is there
    find "$given" -type f -mmin +10 -delete 2>/dev/null || : # another may delete too
    for _ in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16; do
        port=$(od -An -N2 -tu2 /dev/urandom)
        port=$((20000 + port % 12000))
        if (set -C && : >"$given/$port") 2>/dev/null &&
            ! cat /proc/net/tcp /proc/net/tcp6 2>/dev/null | grep -qi ":$(printf '%04x' $port) "; then
            echo $port
            return
        fi
    done
    fail "no free port found"
}

# The port a service of this folder had before, else a free one.
port_of() { # DIR NAME
    mkdir -p "$1/$2"
    [ -f "$1/$2.port" ] || free_port >"$1/$2.port"
    cat "$1/$2.port"
}

set_env() { # DIR NAME=value...
    env_file=$1/env
    shift
    touch "$env_file"
    for setting; do
        grep -qxF "$setting" "$env_file" || echo "$setting" >>"$env_file"
    done
}

# shellcheck source=deploy/kafka/kafka.sh
. "$here/kafka/kafka.sh"

# ---- Redis -----------------------------------------------------------------------------------------------

redis_answers() { # PORT
    [ "$(redis-cli -h 127.0.0.1 -p "$1" ping 2>/dev/null)" = PONG ]
}

start_redis() { # DIR
    command -v redis-server >/dev/null || fail "redis-server is missing: run deploy/install.sh"
    port=$(port_of "$1" redis)
    spawn "$1" redis redis-server --bind 127.0.0.1 --port "$port" --dir "$1/redis" --save '' --appendonly no \
        --maxmemory 256mb --maxmemory-policy allkeys-lru
    wait_until_ready "$1" redis 15 redis_answers "$port"
    set_env "$1" "REDIS_URL=redis://127.0.0.1:$port"
}

# ---- S3 --------------------------------------------------------------------------------------------------

fetch_s3() {
    [ ! -x "$versitygw" ] || return 0
    [ -z "${SKINSIGHT_VERSITYGW:-}" ] || fail "SKINSIGHT_VERSITYGW=$versitygw is no program"
    go=$("$here/install.sh" --print-go) || fail "Go 1.25 or newer is missing: run deploy/install.sh --tests"
    echo "building versitygw $versitygw_version into $versitygw" >&2
    mkdir -p "$cache/bin"
    part=$(mktemp -d "$cache/versitygw.XXXXXX")
    trap 'rm -rf "$part"' EXIT
    trap 'exit 143' INT TERM HUP
    # A module of our own, whose go.sum holds the digest of each module that goes into it; on a copy, so that nothing is
    # written beside the committed files.
    cp "$here/versitygw/go.mod" "$here/versitygw/go.sum" "$part"
    (cd "$part" && GOWORK=off "$go" build -mod=readonly -buildvcs=false github.com/versity/versitygw/cmd/versitygw) \
        >"$part/log" 2>&1 || {
        cat "$part/log" >&2
        fail "versitygw could not be built"
    }
    mv "$part/versitygw" "$versitygw"
}

make_bucket() { # PORT
    curl -sS -o /dev/null -f --max-time 5 -X PUT --aws-sigv4 aws:amz:us-east-1:s3 \
        --user "$s3_access_key:$s3_secret_key" -H "x-amz-content-sha256: $empty_sha256" "http://127.0.0.1:$1/$s3_bucket"
}

start_s3() { # DIR
    fetch_s3
    port=$(port_of "$1" s3)
    mkdir -p "$1/s3/objects" "$1/s3/attributes" "$1/s3/users"
    spawn "$1" s3 env "ROOT_ACCESS_KEY=$s3_access_key" "ROOT_SECRET_KEY=$s3_secret_key" \
        "$versitygw" --port "127.0.0.1:$port" --region us-east-1 --keep-alive --quiet \
        --health /_health --iam-dir "$1/s3/users" --access-log "$1/s3/access.log" \
        posix --sidecar "$1/s3/attributes" "$1/s3/objects"
    wait_until_ready "$1" s3 15 curl -s -o /dev/null -f --max-time 5 "http://127.0.0.1:$port/_health"
    [ -d "$1/s3/objects/$s3_bucket" ] || make_bucket "$port" || fail "the bucket could not be made"
    set_env "$1" "S3_ENDPOINT=http://127.0.0.1:$port" "S3_REGION=us-east-1" "S3_BUCKET=$s3_bucket" \
        "AWS_ACCESS_KEY_ID=$s3_access_key" "AWS_SECRET_ACCESS_KEY=$s3_secret_key"
}

# ---- command line ----------------------------------------------------------------------------------------

usage() {
    sed -n '5,21s/^# \{0,3\}//p' "$0" >&2
    exit 2
}

need_folder() { # makes DIR and prints it as an absolute path
    [ -n "${1:-}" ] || usage
    mkdir -p "$1"
    (CDPATH='' cd -- "$1" && pwd)
}

command=${1:-}
case $command in
fetch-kafka)
    fetch_kafka
    echo "$kafka_libs"
    ;;
archive-kafka) archive_kafka ;;
fetch-s3)
    fetch_s3
    echo "$versitygw"
    ;;
free-port) free_port ;;
start-kafka) start_kafka "$(need_folder "${2:-}")" "${3:-1}" ;;
start-redis | start-s3) "start_${command#start-}" "$(need_folder "${2:-}")" ;;
kill-kafka) take_broker_away "$(need_folder "${2:-}")" 1 end_process KILL ;;
*-broker)
    [ $# -eq 3 ] || usage
    dir=$(need_folder "$2")
    case $command in
    start-broker)
        spawn_broker "$dir" "$3"
        wait_for_broker "$dir" "$3" "$log_offset"
        ;;
    kill-broker) take_broker_away "$dir" "$3" end_process KILL ;;
    stop-broker) end_process "$dir" "$(broker_name "$3")" TERM ;;
    pause-broker) take_broker_away "$dir" "$3" signal_process STOP ;;
    continue-broker) signal_process "$dir" "$(broker_name "$3")" CONT ;;
    *) usage ;;
    esac
    ;;
kill-redis | kill-s3) end_process "$(need_folder "${2:-}")" "${command#kill-}" KILL ;;
run)
    [ $# -ge 4 ] || usage
    dir=$(need_folder "$2")
    shift 2
    spawn "$dir" "$@"
    ;;
pid)
    [ $# -eq 3 ] || usage
    found=$(find_process "$2" "$3") || exit 1
    echo "${found% *}"
    ;;
stop)
    [ $# -eq 2 ] || usage
    stop_all "$2"
    ;;
*) usage ;;
esac

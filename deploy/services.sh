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
kafka_libs=${SKINSIGHT_KAFKA_LIBS:-$cache/kafka-4.4.0}
class_archives=$kafka_libs.classes-$(stat -Lc %Y "$(command -v java)" 2>/dev/null || :)
archiving= # the folder that archives are written to
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

# ---- Kafka -----------------------------------------------------------------------------------------------

fetch_kafka() {
    [ ! -d "$kafka_libs" ] || return 0
    [ -z "${SKINSIGHT_KAFKA_LIBS:-}" ] || fail "SKINSIGHT_KAFKA_LIBS=$kafka_libs is no folder"
    command -v mvn >/dev/null || fail "Maven is missing: run deploy/install.sh"
    echo "fetching Kafka 4.4.0 (43 MB) into $kafka_libs" >&2
    mkdir -p "$cache"
    part=$(mktemp -d "$cache/kafka.XXXXXX")
    trap 'rm -rf "$part"' EXIT
    trap 'exit 143' INT TERM HUP
    # Run on a copy, so that nothing is written beside the committed file.
    cp "$here/kafka/pom.xml" "$part/pom.xml"
    mvn -B -q -f "$part/pom.xml" dependency:copy-dependencies -DincludeScope=runtime \
        -DoutputDirectory="$part/libs" >"$part/log" 2>&1 || {
        cat "$part/log" >&2
        fail "Maven could not fetch Kafka"
    }
    (cd "$part/libs" && sha256sum --quiet -c "$here/kafka/SHA256SUMS") >&2 || fail "a jar of Kafka is not the pinned one"
    # Java takes whatever lies there.
    [ "$(ls "$part/libs")" = "$(sed 's/^[^ ]*  //' "$here/kafka/SHA256SUMS" | sort)" ] || fail "Kafka came with other jars"
    # Whole or not at all; another fetch that was quicker is as good.
    mv -T "$part/libs" "$kafka_libs" 2>/dev/null || [ -d "$kafka_libs" ]
}

kafka_started() { # LOG OFFSET: a node says so once it serves requests
    tail -c "+$(($2 + 1))" "$1" | grep -q 'Kafka Server started'
}

# Java says which archive it was made for, and takes no other.
class_archive() { # NAME of a process: brokers share one
    case $1 in kafka-controller) echo "$class_archives/kafka-controller.jsa" ;; *) echo "$class_archives/kafka.jsa" ;; esac
}

# Sets class_option.
choose_class_archive() { # NAME
    archive=$(class_archive "$1")
    if [ -n "$archiving" ]; then
        class_option=-XX:ArchiveClassesAtExit=$archiving/${archive##*/}
    elif [ -f "$archive" ]; then
        class_option=-XX:SharedArchiveFile=$archive
    else
        class_option=-Xshare:auto
    fi
}

archive_kafka() {
    fetch_kafka
    [ ! -d "$class_archives" ] || return 0
    echo "archiving Kafka's classes in $class_archives" >&2
    archiving=$(mktemp -d "$kafka_libs.XXXXXX")
    trap '(stop_all "$archiving/run") || :; rm -rf "$archiving"' EXIT
    trap 'exit 143' INT TERM HUP
    patience_s=120 # an archive is written when the process ends
    start_kafka "$archiving/run" 1
    stop_all "$archiving/run"
    trap 'rm -rf "$archiving"' EXIT
    rm -rf "$archiving/run"
    mv -T "$archiving" "$class_archives" 2>/dev/null || [ -d "$class_archives" ]
}

run_kafka_tool() ( # DIR NAME CLASS ARGUMENTS...: its words go to NAME.log
    log=$1/$2.log
    [ -n "$archiving" ] || choose_class_archive "$2"
    shift 2
    # shellcheck disable=SC2086
    java -Xmx256m ${class_option:-} $java_options "$java_log_option" -cp "$kafka_libs/*" "$@" >>"$log" 2>&1
)

# Later lines of the file win over earlier ones.
add_listeners() { # DIR PORT
    listeners=PLAINTEXT://127.0.0.1:$2 advertised=PLAINTEXT://127.0.0.1:$2 protocols=PLAINTEXT:PLAINTEXT
    if [ -n "${KAFKA_PROXY_PORT:-}" ]; then
        port=$(port_of "$1" kafka-proxied)
        listeners=$listeners,PROXIED://127.0.0.1:$port advertised=$advertised,PROXIED://127.0.0.1:$KAFKA_PROXY_PORT
        protocols=$protocols,PROXIED:PLAINTEXT
        set_env "$1" "KAFKA_PROXIED=127.0.0.1:$port"
    fi
    if [ -n "${KAFKA_SASL:-}" ]; then
        port=$(port_of "$1" kafka-sasl)
        listeners=$listeners,SASL://127.0.0.1:$port advertised=$advertised,SASL://127.0.0.1:$port
        protocols=$protocols,SASL:SASL_PLAINTEXT
        set_env "$1" "KAFKA_SASL_BROKERS=127.0.0.1:$port"
        add_access_control "$1/kafka-controller/server.properties"
        add_access_control "$1/kafka/server.properties"
        cat >>"$1/kafka/server.properties" <<END
sasl.enabled.mechanisms=PLAIN
listener.name.sasl.plain.sasl.jaas.config=org.apache.kafka.common.security.plain.PlainLoginModule required user_$KAFKA_SASL="secret";
connections.max.reauth.ms=5000
END
    fi
    rmdir "$1/kafka-proxied" "$1/kafka-sasl" 2>/dev/null || :
    cat >>"$1/kafka/server.properties" <<END
listeners=$listeners
advertised.listeners=$advertised
listener.security.protocol.map=$protocols,CONTROLLER:PLAINTEXT
END
}

add_access_control() { # FILE
    cat >>"$1" <<END
authorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer
super.users=User:ANONYMOUS
allow.everyone.if.no.acl.found=true
END
}

# The first broker is called kafka, the others kafka-2, kafka-3, ...
broker_name() { # NUMBER
    if [ "$1" = 1 ]; then echo kafka; else echo "kafka-$1"; fi
}

several_brokers() { # DIR
    [ -d "$1/kafka-2" ]
}

configure_kafka() { # DIR NAME TEMPLATE NODE COUNT: of several brokers one may be missing
    mkdir -p "$1/$2"
    data=$(printf '%s' "$1/$2/data" | sed 's/[&|\\]/\\&/g') # as sed has to be told a text
    if [ "$5" = 1 ]; then in_sync=1 hand_over=false; else in_sync=2 hand_over=true; fi
    sed -e "s|@PORT@|$(port_of "$1" "$2")|g" -e "s|@CONTROLLER_PORT@|$(port_of "$1" kafka-controller)|g" \
        -e "s|@NODE@|$4|g" -e "s|@REPLICAS@|$5|g" -e "s|@IN_SYNC@|$in_sync|g" -e "s|@HAND_OVER@|$hand_over|g" \
        -e "s|@DATA@|$data|g" "$here/kafka/$3" >"$1/$2/server.properties"
}

format_controller() { # DIR
    [ ! -f "$1/kafka-controller/data/meta.properties" ] || return 0
    run_kafka_tool "$1" kafka-controller kafka.tools.StorageTool format --standalone -t $cluster_id \
        -c "$1/kafka-controller/server.properties" || fail "Kafka could not format its folder; see $1/kafka-controller.log"
}

# What the tool would write; the broker adds the folder's own id.
format_broker() { # DIR NUMBER
    meta=$1/$(broker_name "$2")/data/meta.properties
    [ ! -f "$meta" ] || return 0
    mkdir -p "${meta%/*}"
    printf '%s\n' version=1 cluster.id=$cluster_id node.id=$(($2 + 1)) >"$meta"
}

spawn_kafka() { # DIR NAME MEGABYTES
    choose_class_archive "$2"
    # shellcheck disable=SC2086
    spawn "$1" "$2" java "$class_option" "-Xms$3m" "-Xmx$3m" $java_options "$java_log_option" -cp "$kafka_libs/*" \
        kafka.Kafka "$1/$2/server.properties"
}

cluster_id=AAAAAAAAAAAAAAAAAAAAAQ
java_options="-XX:+UseSerialGC -XX:TieredStopAtLevel=1"
java_log_option=-Dlog4j2.configurationFile=$here/kafka/log4j2.properties

# Controller and brokers are processes of their own, as in any real cluster. A node that is broker and controller at
# once begins again with what it knew before it was killed, works as the leader that it no longer is, and may drop the
# end of a transaction that it has told its client is committed.
start_kafka() { # DIR COUNT
    fetch_kafka
    configure_kafka "$1" kafka-controller controller.properties.in 1 "$2"
    for number in $(seq "$2"); do
        configure_kafka "$1" "$(broker_name "$number")" broker.properties.in $((number + 1)) "$2"
    done
    [ -z "${KAFKA_PROXY_PORT:-}${KAFKA_SASL:-}" ] || add_listeners "$1" "$(port_of "$1" kafka)"
    if ! find_process "$1" kafka-controller >/dev/null; then
        format_controller "$1"
        spawn_kafka "$1" kafka-controller 256
    fi
    waits=
    addresses=
    for number in $(seq "$2"); do
        spawn_broker "$1" "$number"
        waits="$waits $number:$log_offset"
        addresses="$addresses,127.0.0.1:$(port_of "$1" "$(broker_name "$number")")"
    done
    for wait in $waits; do
        wait_for_broker "$1" "${wait%:*}" "${wait#*:}"
    done
    set_env "$1" "KAFKA_BROKERS=${addresses#,}"
}

# Sets log_offset: where in the broker's log the words of this start begin.
spawn_broker() { # DIR NUMBER
    broker=$(broker_name "$2")
    [ -f "$1/$broker/server.properties" ] || fail "start-kafka has configured no broker $2 in $1"
    touch "$1/$broker.log"
    format_broker "$1" "$2"
    log_offset=$(wc -c <"$1/$broker.log")
    megabytes=512
    ! several_brokers "$1" || megabytes=256
    spawn_kafka "$1" "$broker" $megabytes
}

wait_for_broker() { # DIR NUMBER LOG-OFFSET
    log=$1/$(broker_name "$2").log
    wait_until_ready "$1" "$(broker_name "$2")" 90 kafka_started "$log" "$3"
}

broker_fenced() { # LOG OFFSET NODE: the controller has taken its partitions from it
    tail -c "+$(($2 + 1))" "$1" | grep -q "BrokerRegistrationChangeRecord(brokerId=$3, .*fenced=1"
}

# Over only when the controller has noticed: a broker that is back before that begins as the leader it was.
take_broker_away() { # DIR NUMBER HOW SIGNAL: HOW is one of end_process, signal_process
    find_process "$1" "$(broker_name "$2")" >/dev/null || return 0
    offset=$(wc -c <"$1/kafka-controller.log")
    "$3" "$1" "$(broker_name "$2")" "$4"
    wait_until_ready "$1" kafka-controller 30 broker_fenced "$1/kafka-controller.log" "$offset" $(($2 + 1))
}

signal_process() { # DIR NAME SIGNAL
    found=$(find_process "$1" "$2") || fail "$2 does not run in $1"
    kill -s "$3" "${found% *}"
}

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

# shellcheck shell=sh
# kafka.sh: the part of deploy/services.sh that knows Kafka; services.sh reads it, and has the functions that it calls.
# shellcheck disable=SC2154 # set by services.sh, which also reads what is only set here
# shellcheck disable=SC2034

kafka_libs=${SKINSIGHT_KAFKA_LIBS:-$cache/kafka-4.4.0}
class_archives=$kafka_libs.classes-$(stat -Lc %Y "$(command -v java)" 2>/dev/null || :)
archiving= # the folder that archives are written to

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

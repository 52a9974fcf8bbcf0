#!/usr/bin/env bash
# A real Apache Kafka on loopback for tests and measurements: one node that is broker and controller.
#
#   kafka.sh start           fetch the jars if they are not there yet, start, wait until it serves, print host:port
#   kafka.sh stop            ask it to shut down, wait, delete its data
#   kafka.sh pause           ask it to shut down and keep the data; `start` goes on with them
#   kafka.sh kill            SIGKILL, data stay
#   kafka.sh pid             process id, nothing if it does not run
#   kafka.sh log             path of its log
#   kafka.sh tool CLASS ...  run a class of Kafka's jars, as org.apache.kafka.tools.TopicCommand
#   kafka.sh check           is everything here to start one?
#
# KAFKA_PORT   port of the broker (19092); several ports are several brokers
# KAFKA_CONTROLLER_PORT   port of the controller (the next one)
# KAFKA_DIR    where data and logs go, a folder a port ($TMPDIR/turbine-kafka-UID)
# KAFKA_HEAP   heap of the broker (1g)
# KAFKA_RETENTION_MS  how old records may get where their topic does not say (604800000); it looks twice a second
# KAFKA_AUTO_CREATE   false: topics are there only when somebody creates them (true)
# The jars are kept in $TURBINE_CACHE (~/.cache/turbine), or in ./target where that cannot be written.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
version=$(sed -n 's/.*<kafka.version>\(.*\)<.*/\1/p' "$here/kafka-pom.xml")
port=${KAFKA_PORT:-19092}
controller=${KAFKA_CONTROLLER_PORT:-$((port + 1))}
home=${KAFKA_DIR:-${TMPDIR:-/tmp}/turbine-kafka-$(id -u)}/$port
wait_s=60

say() { echo "kafka.sh: $*" >&2; }

check() {
    local found
    if ! command -v java >/dev/null || ! found=$(java -version 2>&1); then
        say "no Java; install one, for example: apt-get install -y openjdk-17-jre-headless (or set TURBINE_NO_KAFKA=1)"
        return 1
    fi
    if ! grep -qE 'version "(1[7-9]|[2-9][0-9])' <<<"$found"; then
        say "Kafka $version needs Java 17 or later, this is: $(head -1 <<<"$found")"
        return 1
    fi
    if [ ! -d "$(jar_dir)" ] && ! command -v mvn >/dev/null; then
        say "no Maven to fetch Kafka's jars with; install it: apt-get install -y maven (or set TURBINE_NO_KAFKA=1)"
        return 1
    fi
}

jar_dir() {
    local cache=${TURBINE_CACHE:-${HOME:+$HOME/.cache/turbine}}
    if [ -z "$cache" ] || ! mkdir -p "$cache" 2>/dev/null || [ ! -w "$cache" ]; then cache=$here/../target; fi
    echo "$cache/kafka-$version"
}

fetch() {
    check
    jars=$(jar_dir)
    if [ -d "$jars" ]; then return; fi
    say "fetching the jars of Kafka $version"
    mkdir -p "$(dirname "$jars")"
    local new
    new=$(mktemp -d "$jars.new-XXXXXX")
    # A copy: Maven writes beside the file it reads.
    cp "$here/kafka-pom.xml" "$new/pom.xml"
    if ! mvn -q -B -f "$new/pom.xml" dependency:copy-dependencies -DoutputDirectory="$new/lib" -DincludeScope=runtime >&2; then
        rm -rf "$new"
        say "Maven could not fetch the jars"
        return 1
    fi
    # Complete or not there at all; whoever comes second throws his copy away.
    mv -T "$new/lib" "$jars" 2>/dev/null || true
    rm -rf "$new"
}

# The quick compiler and an archive of loaded classes: a tool then costs a third of the time on the cores.
java_quiet() {
    local archive
    archive=$jars-java-$(stat -Lc %Y "$(command -v java)").jsa # another Java would not use it
    if [ ! -e "$archive" ]; then make_archive "$archive"; fi
    java_briefly "-XX:SharedArchiveFile=$archive" "$@"
}

java_briefly() {
    java -Xlog:disable -XX:+UseSerialGC -XX:TieredStopAtLevel=1 -Dorg.slf4j.simpleLogger.defaultLogLevel=error -cp "$jars/*" "$@"
}

make_archive() { # FILE; what one tool loads before it finds that nobody answers is most of what any of them loads
    local new
    new=$(mktemp -u "$1.new-XXXXXX")
    java_briefly "-XX:ArchiveClassesAtExit=$new" org.apache.kafka.tools.consumer.group.ConsumerGroupCommand \
        --bootstrap-server 127.0.0.1:1 --timeout 100 --list >/dev/null 2>&1 || true
    # Without one, everything works as well.
    mv -T "$new" "$1" 2>/dev/null || true
}

pid() {
    local id
    id=$(cat "$home/pid" 2>/dev/null) || return 0
    # The number may belong to somebody else by now.
    if grep -qzxF "$home/server.properties" "/proc/$id/cmdline" 2>/dev/null; then echo "$id"; fi
}

settings() {
    cat <<P
process.roles=broker,controller
node.id=1
listeners=PLAINTEXT://127.0.0.1:$port,CONTROLLER://127.0.0.1:$controller
advertised.listeners=PLAINTEXT://127.0.0.1:$port
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT
controller.listener.names=CONTROLLER
controller.quorum.voters=1@127.0.0.1:$controller
log.dirs=$home/data
num.partitions=4
auto.create.topics.enable=${KAFKA_AUTO_CREATE:-true}
offsets.topic.num.partitions=4
offsets.topic.replication.factor=1
transaction.state.log.num.partitions=4
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
log.initial.task.delay.ms=500
log.retention.check.interval.ms=500
log.retention.ms=${KAFKA_RETENTION_MS:-604800000}
log.cleaner.backoff.ms=500
group.initial.rebalance.delay.ms=0
group.min.session.timeout.ms=1000
group.consumer.min.heartbeat.interval.ms=200
group.consumer.heartbeat.interval.ms=200
group.consumer.min.session.timeout.ms=1000
group.consumer.session.timeout.ms=6000
P
}

start() {
    if [ -n "$(pid)" ]; then
        echo "127.0.0.1:$port"
        return
    fi
    fetch
    mkdir -p "$home"
    if (echo >"/dev/tcp/127.0.0.1/$port") 2>/dev/null; then
        say "port $port is taken by another program; give another one in KAFKA_PORT"
        return 1
    fi
    settings >"$home/server.properties"
    if [ ! -f "$home/data/meta.properties" ]; then
        java_quiet kafka.tools.StorageTool format -t "$(java_quiet kafka.tools.StorageTool random-uuid)" \
            -c "$home/server.properties" >"$home/format.log" 2>&1 || {
            say "could not prepare the data folder"
            cat "$home/format.log" >&2
            return 1
        }
    fi
    nohup java "-Xmx${KAFKA_HEAP:-1g}" -Xms256m -XX:+UseSerialGC -XX:TieredStopAtLevel=${KAFKA_JIT:-4} \
        -Dorg.slf4j.simpleLogger.defaultLogLevel=warn -Dorg.slf4j.simpleLogger.log.kafka.server.KafkaRaftServer=info \
        -cp "$jars/*" kafka.Kafka "$home/server.properties" >"$home/kafka.log" 2>&1 </dev/null &
    echo $! >"$home/pid"
    local ticks=0
    until grep -q 'Kafka Server started' "$home/kafka.log" 2>/dev/null; do
        if ! kill -0 "$(cat "$home/pid")" 2>/dev/null || [ $((ticks += 1)) -gt $((wait_s * 10)) ]; then
            say "the broker did not start; the end of its log:"
            tail -20 "$home/kafka.log" >&2
            end KILL
            return 1
        fi
        sleep 0.1
    done
    echo "127.0.0.1:$port"
}

end() { # SIGNAL
    local id ticks=0
    id=$(pid)
    [ -n "$id" ] || return 0
    kill "-$1" "$id" 2>/dev/null || true
    while kill -0 "$id" 2>/dev/null; do
        # A broker that does not end by itself has nothing left that a test could need.
        if [ $((ticks += 1)) -eq 200 ]; then kill -KILL "$id" 2>/dev/null || true; fi
        sleep 0.1
    done
    rm -f "$home/pid"
}

case "${1:-}" in
    start) start ;;
    stop)
        end TERM
        rm -rf "$home"
        ;;
    pause) end TERM ;;
    kill) end KILL ;;
    pid) pid ;;
    log) echo "$home/kafka.log" ;;
    check) check ;;
    tool)
        shift
        fetch
        java_quiet "$@"
        ;;
    *)
        sed -n '2,/^set/p' "$0" | sed -n 's/^# \{0,1\}//p' >&2
        exit 2
        ;;
esac

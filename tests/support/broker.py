"""broker.py: what a test writes to Kafka's topics, reads from them and asks a broker: by kcat or in Kafka's own protocol, never
by our own code.
"""
import collections
import re
import socket
import struct
import subprocess
import tempfile
import uuid

from conditions import WAIT_S, expect, expect_equal

Record = collections.namedtuple("Record", "topic partition offset key value headers")
Record.__doc__ = "One record of a topic; key is None for a null key, headers a dict of dead-letter headers."

DEAD_LETTER_HEADERS = ("error_code", "error_message", "source_topic", "source_partition", "source_offset",
                       "failed_at", "worker", "value_omitted", "key_omitted", "replayed")
HEADER_START = re.compile(rb"(?:^|,)(" + "|".join(DEAD_LETTER_HEADERS).encode() + rb")=")


def parse_headers(text):
    """kcat joins headers by commas, which a sentence may hold too: split where a known name begins."""
    parts = HEADER_START.split(text)
    return {name.decode(): value for name, value in zip(parts[1::2], parts[2::2])}


def parse_records(topic, stream, boundary):
    records, at = [], 0
    while at < len(stream):
        end = stream.index(b"\n", at)
        partition, offset, key_size, value_size = map(int, stream[at:end].split())
        key = stream[end + 1:end + 1 + max(key_size, 0)]
        value_at = end + 1 + len(key)
        value = stream[value_at:value_at + max(value_size, 0)]
        headers_at = value_at + len(value)
        headers_end = stream.index(boundary, headers_at)
        records.append(Record(topic, partition, offset, key if key_size >= 0 else None,
                              value if value_size >= 0 else None, parse_headers(stream[headers_at:headers_end])))
        at = headers_end + len(boundary)
    return records


def kcat(brokers, *arguments, timeout_s=WAIT_S):
    done = subprocess.run(["kcat", "-b", brokers, *arguments], capture_output=True, stdin=subprocess.DEVNULL,
                          timeout=timeout_s)
    expect(done.returncode == 0, f"kcat {' '.join(arguments)}: {done.stderr.decode(errors='replace')}")
    return done.stdout


def read_topic(brokers, topic):
    """Every committed record of a topic, whatever bytes it holds."""
    boundary = uuid.uuid4().hex
    stream = kcat(brokers, "-C", "-q", "-t", topic, "-o", "beginning", "-e", "-X", "isolation.level=read_committed",
                  "-X", "fetch.wait.max.ms=10", "-X", "check.crcs=true",
                  "-f", f"%p %o %K %S\\n%k%s%h{boundary}")
    records = parse_records(topic, stream, boundary.encode())
    return sorted(records, key=lambda record: (record.partition, record.offset))


def write_topic(brokers, topic, records, partition=0, transaction=None):
    """records: (key or None, value) as bytes, in order. transaction: the id of the one that they are."""
    end, middle = uuid.uuid4().hex, uuid.uuid4().hex
    with tempfile.NamedTemporaryFile() as file:
        for key, value in records:
            file.write((b"" if key is None else key + middle.encode()) + value + end.encode())
        file.flush()
        kcat(brokers, "-P", "-t", topic, "-p", str(partition), "-D", end, "-K", middle, "-l",
             "-X", "message.max.bytes=10485760", "-X", "enable.idempotence=true", "-X", "max.in.flight=1",
             *(["-X", f"transactional.id={transaction}"] if transaction else []), file.name)


def wire_text(value):
    return struct.pack(">h", len(value)) + value.encode()


def ask_broker(brokers, api, version, body):
    """One request in Kafka's own protocol to the first of them, for what neither kcat nor our programs can do; the
    reply's bytes."""
    request = struct.pack(">hhi", api, version, 1) + wire_text("tests") + body
    host, port = brokers.split(",")[0].split(":")
    with socket.create_connection((host, int(port)), 10) as connection:
        connection.sendall(struct.pack(">i", len(request)) + request)
        stream = connection.makefile("rb")
        return stream.read(struct.unpack(">i", stream.read(4))[0])


def create_topic(brokers, topic, partitions=1, **config):
    """CreateTopics version 2: with settings of the topic's own."""
    settings = b"".join(wire_text(name.replace("_", ".")) + wire_text(str(value)) for name, value in config.items())
    reply = ask_broker(brokers, 19, 2, struct.pack(">i", 1) + wire_text(topic) +
                       struct.pack(">ihii", partitions, 1, 0, len(config)) + settings + struct.pack(">i?", 30000, False))
    error = struct.unpack_from(">h", reply, 12 + 2 + len(topic))[0]
    expect_equal(error, 0, f"Kafka's error code for the new topic {topic}")

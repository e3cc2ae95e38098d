"""batches.py: record batches written by hand, sent to a broker as they are or put into its log: those that no client
can read.

A batch of version 2 is a header, a CRC-32C from the attributes on, and its records, which may be compressed. Brokers
unpack what they are sent as far as they need; what they would refuse is written over a sound batch of the same size.
"""
import pathlib
import random
import struct
import time
import zlib

import harness
from harness import expect

PLAIN, GZIP, SNAPPY, LZ4, ZSTD = range(5)
HEADER = struct.Struct(">qiibIhiqqqhii")  # base offset ... number of records
CRC_AT, CRC_FROM = 17, 21
INFLATED = 128 << 20  # over librdkafka's receive.message.max.bytes


def crc32c_table():
    for value in range(256):
        for _ in range(8):
            value = value >> 1 ^ (0x82F63B78 if value & 1 else 0)
        yield value


CRC_TABLE = list(crc32c_table())


def crc32c(data):
    crc = 0xFFFFFFFF
    for byte in data:
        crc = CRC_TABLE[(crc ^ byte) & 255] ^ crc >> 8
    return crc ^ 0xFFFFFFFF


def varint(number):
    number = number << 1 ^ number >> 63  # zigzag
    out = bytearray()
    while number > 127:
        out.append(number & 127 | 128)
        number >>= 7
    return bytes(out) + bytes([number])


def record(number, key, value):
    """One record of a batch, the number-th from 0."""
    body = b"\0" + varint(0) + varint(number) + varint(len(key)) + key + varint(len(value)) + value + varint(0)
    return varint(len(body)) + body


def plain(records):
    return b"".join(record(number, key, value) for number, (key, value) in enumerate(records))


def batch(body, count, codec=PLAIN, base=0):
    now = int(time.time() * 1000)
    header = HEADER.pack(base, HEADER.size - 12 + len(body), -1, 2, 0, codec, count - 1, now, now, -1, -1, -1, count)
    data = bytearray(header + body)
    data[CRC_AT:CRC_FROM] = struct.pack(">I", crc32c(data[CRC_FROM:]))
    return bytes(data)


def zstd_bomb():
    """About 4 KB that unpack to one sound record of INFLATED bytes: blocks that repeat a byte, and a last raw one."""
    blocks, block = 1024, INFLATED // 1024
    start = varint(-1)  # no key
    value_size = blocks * block
    head = b"\0" + varint(0) + varint(0) + start + varint(value_size)
    first = varint(len(head) + value_size + 1) + head
    last = varint(0)  # no headers

    def header(kind, size, is_last):
        return struct.pack("<I", is_last | kind << 1 | size << 3)[:3]
    body = header(0, len(first), 0) + first + (header(1, block, 0) + b"\0") * blocks + header(0, len(last), 1) + last
    size = len(first) + value_size + len(last)
    return b"\x28\xb5\x2f\xfd" + b"\xc0\x38" + struct.pack("<Q", size) + body  # a window of 128 KiB


def gzip_bomb():
    """A sound stream whose checksum at the end is another's."""
    packer = zlib.compressobj(wbits=31)
    data = packer.compress(plain([(b"key", bytes(100_000))])) + packer.flush()
    return data[:-8] + bytes(4) + data[-4:]


def snappy_bomb():
    """Says that it has almost 4 GiB, and has not."""
    return b"\xf0\xff\xff\xff\x0f" + b"\0a" * 100


def lz4_bomb():
    """A frame with a block of repeated bytes that reaches back before its start."""
    return b"\x04\x22\x4d\x18\x60\x40\x82" + struct.pack("<I", 8) + b"\x1fa\xff\xff\xff\xff\xff\x10" + bytes(4)


BOMBS = {GZIP: gzip_bomb, SNAPPY: snappy_bomb, LZ4: lz4_bomb, ZSTD: zstd_bomb}


def produce(brokers, topic, partition, data):
    """Sends a batch as it is (Produce version 7, acks of all). (Kafka's error code, base offset)"""
    body = (struct.pack(">hhii", -1, -1, 30000, 1) + harness.wire_text(topic) +
            struct.pack(">iii", 1, partition, len(data)) + data)
    reply = harness.ask_broker(brokers, 0, 7, body)
    return struct.unpack_from(">hq", reply, 4 + 4 + 2 + len(topic) + 4 + 4)


def send(brokers, topic, partition, records):
    """Sends (key, value) pairs as one batch; the offset of the first."""
    error, base = produce(brokers, topic, partition, batch(plain(records), len(records)))
    expect(error == 0, f"Kafka's error code for records of {topic} {partition}: {error}")
    return base


def segment(stack, topic, partition):
    return pathlib.Path(stack.folder) / f"kafka/data/{topic}-{partition}/{0:020d}.log"


def find(data, offset):
    """Where the batch with this base offset lies in a segment: (start, end)."""
    at = 0
    while at < len(data):
        base, length = struct.unpack_from(">qi", data, at)
        if base == offset:
            return at, at + 12 + length
        at += 12 + length
    raise harness.Failure(f"no batch at {offset}")


def overwrite(stack, topic, partition, offset, change):
    """Puts change(the batch at offset) into the broker's log in its place, the broker running: of the same size."""
    path = segment(stack, topic, partition)
    data = path.read_bytes()
    start, end = find(data, offset)
    changed = change(data[start:end])
    expect(len(changed) == end - start, "the batch has another size")
    with open(path, "r+b") as file:
        file.seek(start)
        file.write(changed)


def flip_a_byte(data):
    at = HEADER.size + 5
    return data[:at] + bytes([data[at] ^ 1]) + data[at + 1:]


def replace_by(codec, count):
    """What overwrite is given to put a bomb in place of a batch of count records."""
    def change(data):
        bomb = BOMBS[codec]()
        body = bomb + bytes(len(data) - HEADER.size - len(bomb))
        return batch(body, count, codec, base=struct.unpack_from(">q", data)[0])
    return change


def place(stack, topic, partition, codec, count, size=8192):
    """Puts a batch of count offsets at the end of the partition, a bomb or, PLAIN, with a byte turned over; the offset
    of its first."""
    filler = random.Random(codec).randbytes(size // count)
    base = send(stack.brokers, topic, partition, [(b"bad", filler)] * count)
    overwrite(stack, topic, partition, base, flip_a_byte if codec == PLAIN else replace_by(codec, count))
    return base

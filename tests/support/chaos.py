"""chaos.py: what the tests of tests/chaos share, on top of harness.py.

    main         command line of a chaos test: --seed N replays, --full runs the long form
    pictures     images whose right answer is known by arithmetic, for the simulated device
    Herd         workers that are started again when they die, as an orchestrator would
    Proxy        the fault proxy (tests/support/fault_proxy.c) in front of Kafka, Redis or S3
    history      what the group committed, record by record, out of Kafka's own offsets topic
    check        every invariant: those of harness.Fleet.check, the right logits, offsets that never go back

Every choice a test makes comes from stack.random, which is seeded; the seed is printed first and, after a
failure, in the command that repeats the run.
"""
import argparse
import base64
import collections
import hashlib
import json
import os
import pathlib
import random
import shutil
import signal
import socket
import struct
import subprocess
import sys
import time
import uuid

import cluster
import harness
from harness import expect, expect_equal, wait_until

FAULT_PROXY = harness.BIN / "fault_proxy"

# ---- pictures ----------------------------------------------------------------------------------------------

# The DC table of ITU-R T.81 Annex K, and an AC table whose only code ends the block.
DC_COUNTS = (0, 1, 5, 1, 1, 1, 1, 1, 1, 0, 0, 0, 0, 0, 0, 0)
DC_CODES = ["00", "010", "011", "100", "101", "110", "1110", "11110", "111110", "1111110", "11111110", "111111110"]
END_OF_BLOCK = "0"


def segment(marker, body):
    return bytes([0xff, marker]) + struct.pack(">H", len(body) + 2) + body


def dc_bits(difference):
    size = abs(difference).bit_length()
    value = difference if difference >= 0 else difference + (1 << size) - 1
    return DC_CODES[size] + (format(value, f"0{size}b") if size else "")


def solid_jpeg(ycc, size=8, comment=b""):
    """A baseline JPEG of one colour: every coefficient but the first block's DC is zero."""
    bits, blocks = "", (size + 7) // 8
    for block in range(blocks * blocks):
        for component in ycc:
            bits += dc_bits(8 * (component - 128) if block == 0 else 0) + END_OF_BLOCK
    bits += "1" * (-len(bits) % 8)
    data = int(bits, 2).to_bytes(len(bits) // 8, "big").replace(b"\xff", b"\xff\x00")
    components = b"".join(bytes([number, 0x11, 0]) for number in (1, 2, 3))
    return (b"\xff\xd8" + (segment(0xfe, comment) if comment else b"") + segment(0xdb, b"\0" + b"\1" * 64) +
            segment(0xc0, struct.pack(">BHHB", 8, size, size, 3) + components) +
            segment(0xc4, b"\x00" + bytes(DC_COUNTS) + bytes(range(12))) +
            segment(0xc4, b"\x10" + bytes([1] + [0] * 15) + b"\0") +
            segment(0xda, b"\3\1\0\2\0\3\0\0\x3f\0") + data + b"\xff\xd9")


def colour(index):
    """(Y, Cb, Cr) of picture number index, another one for each of 400,000, none of them near a limit of RGB."""
    return 60 + index % 128, 100 + index // 128 % 56, 100 + index // 7168 % 56


def rgb(ycc):
    """libjpeg's integer conversion (jdcolor.c)."""
    y, cb, cr = ycc[0], ycc[1] - 128, ycc[2] - 128
    half = 1 << 15
    return (y + (91881 * cr + half >> 16), y + (-22554 * cb - 46802 * cr + half >> 16), y + (116130 * cb + half >> 16))


def picture(index):
    return solid_jpeg(colour(index), comment=b"picture %d" % index)


def simulated_logits(index):
    """What the simulated device answers to picture number index (kernels/simulated.c)."""
    digest = hashlib.sha256(bytes(rgb(colour(index))) * (224 * 224)).digest()
    return [4 * byte / 255 - 2 for byte in digest[:8]]


def job(index, random_, **fields):
    """(key, value) of a job record about picture number index."""
    request_id = str(uuid.UUID(int=random_.getrandbits(128), version=4))
    now = int(time.time() * 1000)
    value = {"schema": "skinsight.job.v1", "request_id": request_id,
             "image": base64.b64encode(picture(index)).decode(), "submitted_at": now, **fields}
    return request_id.encode(), json.dumps({name: field for name, field in value.items() if field is not None}).encode()


# ---- what the group committed ------------------------------------------------------------------------------

Commit = collections.namedtuple("Commit", "first finished owner deaths alone_deaths")


def take_text(data, at):
    size = struct.unpack_from(">h", data, at)[0]
    return data[at + 2:at + 2 + size].decode(), at + 2 + size


def take_compact_text(data, at):
    size, shift = 0, 0
    while True:
        byte, at = data[at], at + 1
        size |= (byte & 127) << shift
        shift += 7
        if byte < 128:
            return data[at:at + size - 1].decode()


def parse_commit(value):
    """The offset and the metadata that worker/group/offsets.h describes."""
    version, offset = struct.unpack_from(">hq", value)
    at = 14 if version >= 3 else 10  # behind the leader's epoch, where there is one
    fields = (take_compact_text(value, at) if version >= 4 else take_text(value, at)[0]).split()
    expect(fields[0] in ("ss1", "ss2"), f"the metadata of a commit begin with {fields[0]!r}")
    owner = int(fields[1], 16)
    deaths, _, alone_deaths, _ = map(int, fields[2:6])
    bitmap = b"" if fields[6] == "-" else base64.b64decode(fields[6] + "=" * (-len(fields[6]) % 4))
    bits = int.from_bytes(bitmap, "little")
    finished = {offset + bit for bit in range(bits.bit_length()) if bits >> bit & 1}
    return Commit(offset, finished, owner, deaths, alone_deaths)


def history(stack, group):
    """{(topic, partition): [Commit, ...]} in the order of the commits, transactions that were aborted left out."""
    commits = collections.defaultdict(list)
    for record in harness.read_topic(stack.brokers, "__consumer_offsets"):
        if struct.unpack_from(">h", record.key)[0] > 1 or record.value is None:
            continue
        name, at = take_text(record.key, 2)
        topic, at = take_text(record.key, at)
        if name == group:
            commits[topic, struct.unpack_from(">i", record.key, at)[0]].append(parse_commit(record.value))
    return commits


def commit_from_outside(stack, group, topic, partition, offset, metadata=""):
    """Sets a group's offset as an operator's tool would: OffsetCommit version 2 without a member, which only an empty
    group takes. True: it did."""
    text = harness.wire_text
    keeper = cluster.address(stack, cluster.coordinator(stack, group, cluster.GROUP))
    reply = harness.ask_broker(keeper, 8, 2, text(group) + struct.pack(">i", -1) + text("") +
                               struct.pack(">qi", -1, 1) + text(topic) + struct.pack(">iiq", 1, partition, offset) +
                               text(metadata))
    return struct.unpack(">h", reply[-2:])[0] == 0


def delete_records(stack, topic, partition, offset):
    """Moves the start of a partition's log there, as retention does (DeleteRecords version 0). True: it did."""
    reply = harness.ask_broker(stack.brokers, 21, 0, struct.pack(">i", 1) + harness.wire_text(topic) +
                               struct.pack(">iiqi", 1, partition, offset, 10000))
    return struct.unpack(">h", reply[-2:])[0] == 0


def make_topic_anew(stack, fleet, topic, partitions):
    """Deletes it (DeleteTopics version 1) and makes it again."""
    reply = harness.ask_broker(stack.brokers, 20, 1, struct.pack(">i", 1) + harness.wire_text(topic) +
                               struct.pack(">i", 30000))
    harness.expect_equal(struct.unpack(">h", reply[-2:])[0], 0, f"Kafka's error code for deleting {topic}")
    # Until it is gone, the command would take the old one for the topic that it should make.
    harness.wait_until(lambda: b" with 0 partitions" in harness.kcat(stack.brokers, "-L", "-t", topic), "the topic is gone")
    arguments = ["topics", "--create", "--partitions", partitions, *harness.flags(fleet.producer_options)]
    harness.wait_until(lambda: harness.run("producer", *arguments).returncode == 0, "the topic is there again")


def add_partitions(stack, topic, count):
    """So that it has count of them (CreatePartitions version 0). True: it has."""
    reply = harness.ask_broker(stack.brokers, 37, 0, struct.pack(">i", 1) + harness.wire_text(topic) +
                               struct.pack(">iii?", count, -1, 30000, False))
    return struct.unpack_from(">h", reply, 12 + 2 + len(topic))[0] == 0


def forget_offset(stack, group, topic, partition):
    """Takes a group's offset of a partition away, as its expiry does (OffsetDelete version 0), which a broker does only
    where nobody is subscribed. True: it did."""
    text = harness.wire_text
    keeper = cluster.address(stack, cluster.coordinator(stack, group, cluster.GROUP))
    reply = harness.ask_broker(keeper, 47, 0, text(group) + struct.pack(">i", 1) + text(topic) +
                               struct.pack(">ii", 1, partition))
    return struct.unpack_from(">h", reply, 4)[0] == 0 and struct.unpack(">h", reply[-2:])[0] == 0


def history_complaints(commits):
    for place, entries in commits.items():
        for before, after in zip(entries, entries[1:]):
            if after.first < before.first:
                yield f"{place}: the committed offset went from {before.first} back to {after.first}"
            forgotten = [offset for offset in before.finished if offset >= after.first and offset not in after.finished]
            if forgotten:
                yield f"{place}: a commit at {after.first} forgets that {forgotten[:3]} are answered"


# ---- every invariant ---------------------------------------------------------------------------------------


def logits_complaints(records, answers, wanted):
    """Whether each prediction is about its own record's image: the digest, and the logits of that picture."""
    sources = {(record.topic, record.partition, record.offset): record for record in records}
    for answer in answers:
        value = json.loads(answer.value)
        provenance = value["provenance"]
        record = sources.get(tuple(provenance["source"].values()))
        if "prediction" not in value or record is None:
            continue
        image = base64.b64decode(json.loads(record.value)["image"] + "==")
        if provenance["image_bytes"] != len(image) or provenance["image_sha256"] != hashlib.sha256(image).hexdigest():
            yield f"{provenance['source']}: the answer is about another image"
        right = wanted.get(provenance["image_sha256"])
        if right and max(abs(a - b) for a, b in zip(right, provenance["logits"])) > 1e-6:
            yield f"{provenance['source']}: logits {provenance['logits']}, wanted {right}"


def check(fleet, jobs, wanted=None, history_too=True):
    """Fails with the first complaints; gives the answers. wanted: {image digest: logits}."""
    fleet.check(jobs=jobs)
    records, answers = fleet.jobs(), fleet.answers()
    complaints = list(logits_complaints(records, answers, wanted or {}))
    if history_too:
        complaints += history_complaints(history(fleet.stack, fleet.name))
    expect(not complaints, f"{len(complaints)} complaints:\n  " + "\n  ".join(complaints[:20]))
    return [json.loads(answer.value) for answer in answers]


def answers_of(fleet):
    return [json.loads(answer.value) for answer in fleet.answers()]


def wanted_logits(indices):
    return {hashlib.sha256(picture(index)).hexdigest(): simulated_logits(index) for index in indices}


def error_codes(answers):
    return collections.Counter(answer["error"]["code"] for answer in answers if "error" in answer)


# ---- workers that come back --------------------------------------------------------------------------------


class Herd:
    """count workers w0, w1, ... of a fleet; tend() starts those again that have died."""

    def __init__(self, fleet, count, simulated_us="2000,2000", environment=None, **options):
        self.fleet = fleet
        self.environment = {"SKINSIGHT_SIMULATED_US": simulated_us, **(environment or {})}
        self.options = {"backend": "simulated", "batch_max": 4, "drain_timeout_ms": 20000, **options}
        self.starts = 0
        self.workers = [self.launch(number) for number in range(count)]

    def launch(self, number):
        self.starts += 1
        options = dict(self.options)
        if "instance" not in options:
            options["instance"] = f"w{number}"
        elif not options["instance"]:
            del options["instance"]
        return self.fleet.start(f"w{number}", environment=self.environment, **options)

    def tend(self):
        """Returns how many had died."""
        dead = [number for number, worker in enumerate(self.workers) if not worker.alive()]
        for number in dead:
            if self.workers[number].process.returncode != -signal.SIGKILL:
                print(f"{self.workers[number].name} ended by itself: {self.workers[number].last_words()}", flush=True)
            self.workers[number] = self.launch(number)
        return len(dead)

    def wait_ready(self):
        for worker in self.workers:
            worker.wait_ready()
        return self

    def stop(self):
        """All at once, in good order."""
        for worker in self.workers:
            worker.terminate()
        for worker in self.workers:
            expect_equal(worker.wait_exit(), 0, f"exit code of {worker.name}")


def count_answers(fleet):
    """How many terminal records there are, as fast as can be told: kcat prints one letter for each."""
    stream = harness.kcat(fleet.stack.brokers, "-C", "-q", "-t", fleet.topics["predictions_topic"], "-o", "beginning",
                          "-e", "-X", "isolation.level=read_committed", "-X", "fetch.wait.max.ms=10", "-f", "x")
    return len(stream)


def write_pictures(fleet, count, partitions, start=0, urgent=False, **fields):
    """Writes count job records evenly over the partitions; returns the pictures' numbers."""
    random_ = fleet.stack.random
    records = [job(start + number, random_, **fields) for number in range(count)]
    for partition in range(partitions):
        if records[partition::partitions]:
            fleet.write_jobs(records[partition::partitions], urgent=urgent, partition=partition)
    return range(start, start + count)


def wait_all(fleet, herd, count, timeout_s, step=None):
    """Until there are count answers, doing step() meanwhile and tending the herd; gives the seconds."""
    started = time.monotonic()
    deadline = started + timeout_s
    next_look = 0
    while True:
        began = time.monotonic()
        if began > next_look:
            answered, looked = count_answers(fleet), time.monotonic()
            next_look = looked + min(4 * (looked - began), 1)  # a fifth of the time at most
            if answered >= count:
                return time.monotonic() - started
            expect(looked < deadline, f"{answered} of {count} answers after {timeout_s} s")
        if step:
            step()
        if herd:
            herd.tend()
        time.sleep(0.05)  # between two looks


def rss_kb(worker):
    """Resident memory of a worker; 0 when it is gone."""
    try:
        text = pathlib.Path(f"/proc/{worker.process.pid}/status").read_text()
    except OSError:
        return 0
    return int(text.split("VmRSS:")[1].split()[0]) if "VmRSS:" in text else 0


def slope_kb_per_minute(samples, number):
    """Least squares over [(seconds, [KB of each worker])]; the first third is warm-up."""
    points = [(seconds / 60, sizes[number]) for seconds, sizes in samples[len(samples) // 3:]]
    mean_x = sum(x for x, _ in points) / len(points)
    mean_y = sum(y for _, y in points) / len(points)
    spread = sum((x - mean_x) ** 2 for x, _ in points)
    return sum((x - mean_x) * (y - mean_y) for x, y in points) / spread


# ---- the fault proxy ---------------------------------------------------------------------------------------


class Proxy:
    """A fault proxy in front of a port. Its log is <name>.faults."""

    def __init__(self, stack, name, upstream, port=None, of_bytes=False):
        self.stack, self.name = stack, name
        self.port = port or stack.choose_port(name)
        self.control = str(stack.folder / f"{name}.control")
        self.path = stack.folder / f"{name}.faults"
        self.command = [str(FAULT_PROXY), "--listen", str(self.port), "--upstream", str(upstream), "--control",
                        self.control, "--log", str(self.path), *(["--bytes"] if of_bytes else [])]
        self.open()

    def open(self):
        with open(self.stack.folder / f"{self.name}.log", "ab") as log:
            self.process = subprocess.Popen(self.command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        self.stack.register(self.name, self.process.pid)
        wait_until(lambda: self.listens(), f"{self.name} listens")

    def listens(self):
        expect(self.process.poll() is None, f"{self.name} ended")
        try:
            socket.create_connection(("127.0.0.1", int(self.port)), 1).close()
            return True
        except OSError:
            return False

    def tell(self, *lines):
        """Adds rules (tests/support/fault_rules.h); they hold when this returns."""
        with socket.socket(socket.AF_UNIX) as connection:
            connection.connect(self.control)
            stream = connection.makefile("rw")
            for line in lines:
                stream.write(line + "\n")
                stream.flush()
                expect_equal(stream.readline(), "ok\n", f"the proxy's word to {line!r}")

    def done(self, what=None):
        """What it did, as objects; of one kind, or all."""
        lines = [json.loads(line) for line in self.path.read_text().splitlines()]
        return [line for line in lines if what in (None, line["did"])]

    def close(self):
        self.process.kill()
        self.process.wait()


# ---- a test script -----------------------------------------------------------------------------------------


class ChaosStack(harness.Stack):
    """A stack whose Kafka, where it is one broker, is also reached through a fault proxy: stack.proxied; stack.proxy is
    that proxy."""

    def __init__(self, *services, seed=0, full=False, brokers=1):
        super().__init__(*services, brokers=brokers)
        self.seed, self.full = seed, full
        self.random = random.Random(seed)
        self.proxy = None

    def _call(self, *arguments):
        if arguments[0] == "start-kafka" and self.broker_count == 1:
            os.environ["KAFKA_PROXY_PORT"] = self.choose_port("kafka-proxy")
        return super()._call(*arguments)

    def start(self, service):
        super().start(service)
        if service == "kafka" and self.broker_count == 1 and not self.proxy:
            upstream = self.env["KAFKA_PROXIED"].rsplit(":", 1)[1]
            self.proxy = Proxy(self, "kafka-proxy", upstream)

    @property
    def proxied(self):
        return f"127.0.0.1:{self.choose_port('kafka-proxy')}"

    def size(self, short, full):
        return full if self.full else short


def main(tests, *services, brokers=1):
    """Runs the tests, or those named, each from the same seed, and exits."""
    parser = argparse.ArgumentParser(description=sys.modules["__main__"].__doc__)
    parser.add_argument("--seed", type=int, default=None, help="repeats a run")
    parser.add_argument("--full", action="store_true", help="the long form")
    parser.add_argument("tests", nargs="*", help=", ".join(test.__name__ for test in tests))
    chosen = parser.parse_args()
    unknown = set(chosen.tests) - {test.__name__ for test in tests}
    expect(not unknown, f"no such test: {', '.join(sorted(unknown))}")
    harness.skip_without("kcat", "java", "redis-server", str(FAULT_PROXY))
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    seed = random.SystemRandom().randrange(1 << 32) if chosen.seed is None else chosen.seed
    script = os.path.relpath(sys.argv[0], harness.ROOT)
    print(f"seed {seed}", flush=True)
    with ChaosStack(*services, seed=seed, full=chosen.full, brokers=brokers) as stack:
        failures = []
        for test in tests:
            if chosen.tests and test.__name__ not in chosen.tests:
                continue
            stack.random.seed(seed)
            if not harness.run_test(test, stack):
                failures.append(test.__name__)
                print(f"repeat: {script} --seed {seed}{' --full' if stack.full else ''} {test.__name__}", flush=True)
    if failures:
        print(f"{len(failures)} failed; everything they wrote is in {stack.folder}")
        sys.exit(1)
    shutil.rmtree(stack.folder)

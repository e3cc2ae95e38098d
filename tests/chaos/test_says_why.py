#!/usr/bin/env python3
"""test_says_why.py: what a worker says when it can't read or write what it should. Each kind of trouble is named by
/readyz, by one line of the log and by a metric within 15 s, and so is its end.
"""
import mmap
import os
import pathlib
import re
import struct
import subprocess
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "support"))
import chaos
import harness
from harness import expect, expect_equal, wait_until, wire_text

TOLD_S = 15
SOON = {"instance": "", "session_timeout_ms": 2000}  # after which trouble is said
BLOCKED = "skinsight_partition_blocked"


def blocked(worker, label):
    lines = [line for line in worker.get("/metrics")[1].splitlines() if line.startswith(BLOCKED + "{")]
    return sum(float(line.rsplit(" ", 1)[1]) for line in lines if label in line)


def wait_said(worker, status, pattern, since):
    """Until /readyz has this status and says something like this, soon enough after the fault."""
    def says():
        got, said = worker.get("/readyz")
        return got == status and re.search(pattern, said)
    wait_until(says, f"/readyz: {status} {pattern}; it says {worker.get('/readyz')}", TOLD_S + 45)
    took = time.monotonic() - since
    expect(took < TOLD_S, f"said after {took:.1f} s")
    print(f"{worker.name}: {worker.get('/readyz')[1].strip()!r} after {took:.1f} s", flush=True)


class OpenTransaction:
    """Jobs in a transaction of another program that does not end by itself: kcat commits when its input ends. It sends
    what it has read by the kilobyte, so only most of the jobs are sent before."""
    JOBS = 100

    def __init__(self, fleet, partition, start):
        records = [chaos.job(start + number, fleet.stack.random) for number in range(self.JOBS)]
        self.process = subprocess.Popen(
            ["kcat", "-P", "-b", fleet.stack.brokers, "-t", fleet.topics["jobs_topic"], "-p", str(partition), "-K", "\t",
             "-X", f"transactional.id={fleet.name}-{partition}", "-l", "/dev/stdin"],
            stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        self.process.stdin.write(b"".join(key + b"\t" + value + b"\n" for key, value in records))
        self.process.stdin.flush()

    def commit(self):
        self.process.stdin.close()
        expect_equal(self.process.wait(30), 0, "kcat's exit code")


def wait_log(worker, pattern, count=1):
    """Until the log has a line like this; a trouble is told once."""
    wait_until(lambda: re.search(pattern, worker.log_text()), f"{worker.name}'s log: {pattern}", 30)
    expect_equal(len(re.findall(pattern, worker.log_text())), count, f"lines like {pattern}")


def test_hanging_transaction(stack):
    """In one of two partitions: an alarm, and the other one goes on. In the only one a worker has: it is not ready."""
    with stack.fleet("hangs", partitions=1) as fleet:
        worker = chaos.Herd(fleet, 1, **SOON).wait_ready().workers[0]
        chaos.write_pictures(fleet, 4, 1)
        chaos.wait_all(fleet, None, 4, 60)
        began = time.monotonic()
        transaction = OpenTransaction(fleet, 0, 100)
        wait_said(worker, 200, "running, but hangs.jobs partition 0: a transaction that began at offset 4 is open", began)
        expect_equal(blocked(worker, 'priority="routine",partition="0",cause="transaction_open"'), 1, "the metric")
        wait_log(worker, "event=partition_waits .*partition=0 .*a transaction")
        chaos.write_pictures(fleet, 1, 1, start=10, urgent=True)
        chaos.wait_all(fleet, None, 5, 60)
        transaction.commit()
        ended = time.monotonic()
        chaos.wait_all(fleet, None, 5 + transaction.JOBS, 60)
        wait_said(worker, 200, "^running$", ended)
        wait_log(worker, "event=partition_goes_on .*partition=0")
        expect_equal(blocked(worker, ""), 0, "blocked partitions in the end")
        chaos.check(fleet, 5 + transaction.JOBS)


def delete_topic(stack, topic):
    """DeleteTopics version 1."""
    reply = harness.ask_broker(stack.brokers, 20, 1, struct.pack(">i", 1) + wire_text(topic) + struct.pack(">i", 30000))
    expect_equal(struct.unpack(">h", reply[-2:])[0], 0, f"Kafka's error code for deleting {topic}")


def test_deleted_topic(stack):
    """The urgent jobs' topic goes: an alarm. Then that of the routine ones, all that was left: not ready."""
    with stack.fleet("deleted", partitions=1) as fleet:
        worker = chaos.Herd(fleet, 1, **SOON).wait_ready().workers[0]
        chaos.write_pictures(fleet, 2, 1)
        chaos.wait_all(fleet, None, 2, 60)
        delete_topic(stack, "deleted.urgent_jobs")
        wait_said(worker, 200, "running, but .*deleted.urgent_jobs partition 0.*Unknown topic", time.monotonic())
        expect_equal(blocked(worker, 'priority="urgent",partition="0"'), 1, "the metric")
        wait_log(worker, "event=partition_waits topic=deleted.urgent_jobs .*Unknown topic")
        chaos.write_pictures(fleet, 2, 1, start=2)
        chaos.wait_all(fleet, None, 4, 60)
        delete_topic(stack, "deleted.jobs")
        wait_said(worker, 503, "deleted.(urgent_)?jobs partition 0.*Unknown topic", time.monotonic())
        worker.kill()  # it can't commit for a topic that is not there


# ---- access ------------------------------------------------------------------------------------------------

USER = "worker"
TOPIC, READ, DESCRIBE, DENY, ALLOW = 2, 3, 8, 2, 3


def set_access(stack, topic, allowed):
    """Denies the worker's user to read a topic, or takes that back (CreateAcls, DeleteAcls version 1)."""
    rule = (bytes([TOPIC]) + wire_text(topic) + bytes([3]) + wire_text(f"User:{USER}") + wire_text("*") +
            bytes([READ, DENY]))
    reply = harness.ask_broker(stack.brokers, 31 if allowed else 30, 1, struct.pack(">i", 1) + rule)
    expect_equal(struct.unpack_from(">h", reply, 4 + 4 + 4)[0], 0, "Kafka's error code for an access rule")


def set_quota(stack, client, **rates):
    """Limits the bytes a second of a client id; None takes the limit away (AlterClientQuotas version 0)."""
    limits = b"".join(wire_text(name) + struct.pack(">d?", rate or 0, rate is None) for name, rate in rates.items())
    reply = harness.ask_broker(stack.brokers, 49, 0, struct.pack(">ii", 1, 1) + wire_text("client-id") +
                               wire_text(client) + struct.pack(">i", len(rates)) + limits + b"\0")
    expect_equal(struct.unpack_from(">h", reply, 4 + 4 + 4)[0], 0, "Kafka's error code for a quota")


def login(stack, password="secret"):
    """Options of a worker that comes by SASL."""
    return {**SOON, "backend": "simulated", "brokers": stack.env["KAFKA_SASL_BROKERS"],
            "kafka.security.protocol": "sasl_plaintext", "kafka.sasl.mechanism": "PLAIN", "kafka.sasl.username": USER,
            "kafka.sasl.password": password}


def test_access(stack):
    """Reading one topic is forbidden, and allowed again. Meanwhile the broker wants the password again after 5 s, which
    librdkafka 2.0 does not give: each connection is closed then and made again, and no job suffers. A worker with a wrong
    password says so."""
    with stack.fleet("access", partitions=1) as fleet:
        began, written = time.monotonic(), 0
        stranger = fleet.start("stranger", **login(stack, "wrong"))
        worker = chaos.Herd(fleet, 1, **login(stack)).wait_ready().workers[0]
        wait_said(stranger, 503, "Authentication failure", time.monotonic())
        set_access(stack, "access.urgent_jobs", False)
        wait_said(worker, 200, "running, but access.urgent_jobs.* can't be read: .*authorization failed", time.monotonic())
        set_access(stack, "access.urgent_jobs", True)
        wait_said(worker, 200, "^running$", time.monotonic())
        while (worker.metric("skinsight_producer_renewals_total") == 0 or
               not re.search(r"sasl_plaintext://.*Disconnected \(after \d+ms in state UP", worker.log_text())):
            expect(time.monotonic() - began < 90, "no connection was closed")
            chaos.write_pictures(fleet, 1, 1, start=written)
            written += 1
            chaos.wait_all(fleet, None, written, 60)
        expect_equal(worker.get("/readyz"), (200, "running\n"), "/readyz")
        chaos.check(fleet, written)


def test_throttled(stack):
    with stack.fleet("slowed", partitions=1) as fleet:
        worker = chaos.Herd(fleet, 1, **SOON, **{"kafka.client.id": "slowed"}).wait_ready().workers[0]
        set_quota(stack, "slowed", consumer_byte_rate=2000, producer_byte_rate=2000)
        began = time.monotonic()
        chaos.write_pictures(fleet, 40, 1)
        wait_said(worker, 200, "running, but a broker's quota makes requests wait", began)
        wait_log(worker, "event=throttled client=")
        wait_until(lambda: worker.metric("skinsight_kafka_throttle_seconds") > 0, "the metric")
        set_quota(stack, "slowed", consumer_byte_rate=None, producer_byte_rate=None)
        chaos.wait_all(fleet, None, 40, 90)


def step_clock(clock, seconds):
    clock[:] = struct.pack("=q", seconds)


def test_wrong_clock(stack):
    """Ten minutes ahead from the start, set right, stepped back and forth: the worker says so, is not ready, and refuses no
    deadline that is not over. With a right clock it refuses those that are."""
    file = stack.folder / "clock"
    file.write_bytes(bytes(8))
    with open(file, "r+b") as opened, mmap.mmap(opened.fileno(), 8) as clock, stack.fleet("clocks", partitions=1) as fleet:
        step_clock(clock, 600)
        environment = {"LD_PRELOAD": str(harness.BIN / "preload_faults.so"), "PRELOAD_CLOCK": str(file)}
        worker = chaos.Herd(fleet, 1, environment=environment, **SOON).wait_ready().workers[0]
        written = 0
        for seconds, status, said in ((600, 503, "the clock is (599|600).. s ahead of"), (0, 200, "^running$"),
                                      (600, 503, "(599|600).. s ahead of"), (-600, 503, "(599|600).. s behind"),
                                      (0, 200, "^running$")):
            step_clock(clock, seconds)
            chaos.write_pictures(fleet, 4, 1, start=written, deadline_at=int(time.time() * 1000) + 60000)
            written += 4
            chaos.wait_all(fleet, None, written, 20)  # in less than librdkafka's time-outs, also where it joins again first
            wait_said(worker, status, said, time.monotonic())
        expect_equal(chaos.error_codes(chaos.answers_of(fleet)), {}, "errors of jobs that were in time")
        chaos.write_pictures(fleet, 4, 1, start=written, deadline_at=int(time.time() * 1000) - 5000)
        chaos.wait_all(fleet, None, written + 4, 60)
        expect_equal(chaos.error_codes(chaos.answers_of(fleet)), {"deadline_exceeded": 4}, "errors in the end")
        expect("event=clock_wrong " in worker.log_text(), "the log does not say that the clock is wrong")
        expect("event=joins_again " in worker.log_text(), "the first refusals were not found wrong before their commit")


if __name__ == "__main__":
    os.environ["KAFKA_SASL"] = USER
    chaos.main([test_hanging_transaction, test_deleted_topic, test_access, test_throttled, test_wrong_clock], "kafka")

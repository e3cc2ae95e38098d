#!/usr/bin/env python3
"""test_topics_made_again.py: the jobs topic is deleted and made again while workers run and jobs are in flight. Each job of
the new topic has exactly one answer, whatever offsets of the old one are still committed.
"""
import collections
import pathlib
import struct
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "support"))
import chaos
import harness
from harness import expect, expect_equal, wait_until

SESSION_MS, PARTITIONS = 3000, 4


def delete_topic(stack, topic):
    """DeleteTopics version 1."""
    reply = harness.ask_broker(stack.brokers, 20, 1, struct.pack(">i", 1) + harness.wire_text(topic) +
                               struct.pack(">i", 30000))
    expect_equal(struct.unpack(">h", reply[-2:])[0], 0, f"Kafka's error code for deleting {topic}")


def make_topic(fleet):
    return harness.run("producer", "topics", "--create", "--partitions", PARTITIONS,
                       *harness.flags(fleet.producer_options)).returncode == 0


def write_some(fleet, first):
    """Jobs on every partition, more or fewer than last time; their keys."""
    random_, keys = fleet.stack.random, []
    for partition in range(PARTITIONS):
        records = [chaos.job(first + number, random_) for number in range(random_.randrange(4, 16))]
        keys += [key for key, _ in records]
        wait_until(lambda: write(fleet, records, partition), "the topic takes records")
    return keys


def write(fleet, records, partition):
    try:
        fleet.write_jobs(records, partition=partition)
        return True
    except harness.Failure:  # the broker took the old topic for there when it was to be made
        make_topic(fleet)
        return False


def answer_counts(fleet):
    return collections.Counter(answer.key for answer in fleet.answers())


def waiting(herd):
    return [line for worker in herd.workers for line in worker.log_text().splitlines() if "partition_waits" in line][-8:]


def test_made_again_under_load(stack):
    with stack.fleet("again", partitions=PARTITIONS) as fleet:
        topic = fleet.topics["jobs_topic"]
        herd = chaos.Herd(fleet, 2, simulated_us="0,20000", session_timeout_ms=SESSION_MS).wait_ready()
        slowest = 0
        for turn in range(stack.size(3, 20)):
            if turn > 0:
                delete_topic(stack, topic)
                wait_until(lambda: make_topic(fleet), "it is made again")
            keys, started = write_some(fleet, 100 * turn), time.monotonic()
            try:
                wait_until(lambda: all(answer_counts(fleet)[key] for key in keys[:len(keys) // 2 if turn % 2 else None]),
                           f"answers of topic {turn}", 60)
            except harness.Failure as failure:
                counts = answer_counts(fleet)
                raise harness.Failure(f"{failure}: {sum(not counts[key] for key in keys)} of {len(keys)} have none\n" +
                                      "\n".join(waiting(herd))) from None
            slowest = max(slowest, time.monotonic() - started)
            doubled = [key for key, count in answer_counts(fleet).items() if count > 1]
            expect(not doubled, f"topic {turn}: answered twice: {doubled[:5]}")
        print(f"answered {slowest:.1f} s after they were written at most")


if __name__ == "__main__":
    chaos.main([test_made_again_under_load], "kafka")

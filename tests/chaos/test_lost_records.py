#!/usr/bin/env python3
"""test_lost_records.py: brokers lose records that they had acknowledged. One partition gets a leader that never had its
last records (unclean election), of another one the only copy is cut short on the disk; a third one is well. Each loss is
named, with partition and range, and the partition waits; the third one goes on. New records take the lost offsets and pass
for nothing: once the group's offsets are set back, as the worker's sentence says, each has its answer.
"""
import collections
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "support"))
import chaos
import cluster
from harness import expect, expect_equal, wait_until

BEFORE, LOST, AFTER = 5, 4, 3
Place = collections.namedtuple("Place", "option partition")
UNCLEAN, WELL, CUT = Place("jobs_topic", 0), Place("jobs_topic", 1), Place("urgent_jobs_topic", 0)
SIMULATED = {"backend": "simulated", "environment": {"SKINSIGHT_SIMULATED_US": "0,1000"}}


def write(fleet, place, count):
    jobs = [chaos.job(number, fleet.stack.random) for number in range(count)]
    fleet.write_jobs(jobs, urgent=place.option == "urgent_jobs_topic", partition=place.partition)


def wait_answered(fleet, place, count):
    """count jobs of that partition."""
    def answered():
        sources = [answer["provenance"]["source"] for answer in chaos.answers_of(fleet)]
        return sum((source["topic"], source["partition"]) == (fleet.topics[place.option], place.partition)
                   for source in sources) >= count
    wait_until(answered, f"{count} answers to {place}")


def cut_short(stack, fleet):
    """Takes what is LOST off the log of broker 1, which is down, as a disk does that had not written it."""
    folder = stack.folder / "kafka/data" / f"{fleet.topics[CUT.option]}-{CUT.partition}"
    segment, = folder.glob("*.log")
    batches, at = segment.read_bytes(), 0
    while int.from_bytes(batches[at:at + 8], "big") < BEFORE:
        at += 12 + int.from_bytes(batches[at + 8:at + 12], "big")
    expect(0 < at < len(batches), "there is nothing to lose")
    segment.write_bytes(batches[:at])


def wait_named(fleet, worker, place):
    """The loss, and the offset that is to be set."""
    named = (f"{fleet.topics[place.option]} partition {place.partition} ends at offset {BEFORE}, but records before "
             f"{BEFORE + LOST} are committed")
    wait_until(lambda: named in worker.log_text(), named)


def lose(stack, fleet):
    """What broker 1 alone has: broker 2 never saw it, and broker 1 forgets it."""
    stack.broker("kill", 2)
    for place in (UNCLEAN, CUT):
        write(fleet, place, LOST)
        wait_answered(fleet, place, BEFORE + LOST)
    stack.broker("kill", 1)
    cut_short(stack, fleet)
    stack.broker("start", 2)
    stack.broker("start", 1)


def set_back(stack, fleet, place):
    topic = fleet.topics[place.option]
    wait_until(lambda: chaos.commit_from_outside(stack, fleet.name, topic, place.partition, BEFORE), "the offset is set")


def check(fleet):
    """Every job that is still there has one answer, and so have those that were lost."""
    there = {record.key for record in fleet.jobs()}
    expect_equal(len(there), 3 * (BEFORE + AFTER), "jobs that are still there")
    wait_until(lambda: there <= {record.key for record in fleet.answers()}, "every job that is there is answered")
    counts = collections.Counter(record.key for record in fleet.answers())
    expect_equal((len(counts), max(counts.values())), (len(there) + 2 * LOST, 1), "jobs answered, and how often")


def test_named_and_not_swallowed(stack):
    fleet = stack.fleet("lost", topics=False)
    config = {"min_insync_replicas": 1, "unclean_leader_election_enable": "true"}
    cluster.create_topic(stack, fleet.topics["jobs_topic"], [[1, 2], [3, 2]], **config)
    cluster.create_topic(stack, fleet.topics["urgent_jobs_topic"], [[1]], **config)
    with fleet:
        fleet.create_topics(2)
        worker = fleet.start("worker", **SIMULATED).wait_ready()
        for place in (UNCLEAN, WELL, CUT):
            write(fleet, place, BEFORE)
            wait_answered(fleet, place, BEFORE)
        lose(stack, fleet)
        write(fleet, WELL, AFTER)
        wait_answered(fleet, WELL, BEFORE + AFTER)
        for place in (UNCLEAN, CUT):
            wait_named(fleet, worker, place)
        worker.stop()
        for place in (UNCLEAN, CUT):
            set_back(stack, fleet, place)
            write(fleet, place, AFTER)
        fleet.start("worker", **SIMULATED)
        check(fleet)


if __name__ == "__main__":
    chaos.main([test_named_and_not_swallowed], "kafka", brokers=3)

#!/usr/bin/env python3
"""test_unreadable.py: batches of records that no client can read, in one of four partitions under load. No worker ends,
the other partitions go on, each offset of such a batch is answered once as unreadable, and its neighbours are answered
as ever. With unreadable_after_s=0 the partition waits until the batch can be read again.
"""
import pathlib
import random
import sys
import threading

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "support"))
import batches
import chaos
import harness
import invariants
from harness import expect, expect_equal, wait_until

PARTITIONS, BAD = 4, 0
BESIDE, ELSEWHERE = 1, (2, 3)  # of three workers the first gets partitions 0 and 1
PAUSE_MS = 2000  # the longest between two answers of the partition beside, on top of that of those elsewhere
LOAD_S = 0.1     # between two jobs of a partition


class Load(threading.Thread):
    """Writes jobs to the partitions, and keeps what it wrote as records."""

    def __init__(self, fleet, partitions):
        super().__init__(daemon=True)
        self.fleet, self.partitions = fleet, partitions
        self.random = random.Random(fleet.stack.random.random())
        self.written, self.ended = [], threading.Event()

    def write(self, partition, count=1):
        jobs = [chaos.job(len(self.written) + number, self.random) for number in range(count)]
        topic = self.fleet.topics["jobs_topic"]
        base = batches.send(self.fleet.stack.brokers, topic, partition, jobs)
        self.written += [harness.Record(topic, partition, base + number, *job, {}) for number, job in enumerate(jobs)]
        return base

    def run(self):
        while not self.ended.wait(LOAD_S):
            for partition in self.partitions:
                self.write(partition)

    def stop(self):
        self.ended.set()
        self.join()


def open_fleet(stack, name):
    """Its jobs' topic takes what clients send: `topics --create` would have the broker unpack it."""
    fleet = stack.fleet(name, topics=False)
    harness.create_topic(stack.brokers, fleet.topics["jobs_topic"], PARTITIONS)
    fleet.create_topics(PARTITIONS)
    return fleet


def check(fleet, written, unreadable):
    """Every invariant, from the records as they were written: no reader could give them all."""
    topic = fleet.topics["jobs_topic"]
    lost = [harness.Record(topic, BAD, offset, None, None, {}) for offset in unreadable]
    jobs, answers = written + lost, fleet.answers()
    complaints = invariants.check(jobs, answers, fleet.read("dead_letters_topic"), fleet.read_object,
                                  unreadable={(topic, BAD, offset) for offset in unreadable})
    complaints += chaos.logits_complaints(written, answers, chaos.wanted_logits(range(len(written))))
    complaints += chaos.history_complaints(chaos.history(fleet.stack, fleet.name))
    expect(not complaints, f"{len(complaints)} complaints:\n  " + "\n  ".join(complaints[:20]))


def longest_pause_ms(answers, partition):
    """Between two answers of a partition."""
    places = [answer["provenance"] for answer in answers]
    moments = sorted(place["timestamps"]["published"] for place in places if place["source"]["partition"] == partition)
    return max(after - before for before, after in zip(moments, moments[1:]))


def test_in_one_of_four_partitions(stack):
    """A bomb of each codec, a byte turned over on the disk, and one bomb that comes while the workers run."""
    with open_fleet(stack, "unreadable") as fleet:
        topic, unreadable = fleet.topics["jobs_topic"], []
        load = Load(fleet, (BESIDE, *ELSEWHERE))
        for kind in (batches.GZIP, batches.SNAPPY, batches.LZ4, batches.ZSTD, batches.PLAIN):
            load.write(BAD, 2)
            count = stack.random.randrange(1, 20)
            base = batches.place(stack, topic, BAD, kind, count)
            unreadable += range(base, base + count)
        load.write(BAD, 2)
        herd = chaos.Herd(fleet, 3, unreadable_after_s=1, session_timeout_ms=30000).wait_ready()
        load.start()
        error, base = batches.produce(stack.brokers, topic, BAD,
                                      batches.batch(batches.zstd_bomb(), 1, batches.ZSTD))
        expect_equal(error, 0, "Kafka's error code for a bomb")
        unreadable.append(base)
        load.write(BAD, 2)
        wait_until(lambda: sum(answer["provenance"]["source"]["partition"] == BAD
                               for answer in chaos.answers_of(fleet)) >= 14 + len(unreadable),
                   "the bad partition's answers", 240)
        load.stop()
        chaos.wait_all(fleet, None, len(load.written) + len(unreadable), 60)
        expect(all(worker.alive() for worker in herd.workers), "a worker has ended")
        answers = chaos.answers_of(fleet)
        beside, elsewhere = longest_pause_ms(answers, BESIDE), max(longest_pause_ms(answers, one) for one in ELSEWHERE)
        print(f"        {len(load.written)} jobs, {len(unreadable)} offsets that can't be read; longest pause of the "
              f"same worker's other partition {beside} ms, of other workers' {elsewhere} ms")
        check(fleet, load.written, unreadable)
        expect(beside <= PAUSE_MS + elsewhere, f"the partition beside had no answer for {beside} ms")


def test_until_it_can_be_read_again(stack):
    """With unreadable_after_s=0 nothing is given up; a broker that gives the right bytes again ends the wait."""
    with open_fleet(stack, "healed") as fleet:
        topic, load = fleet.topics["jobs_topic"], Load(fleet, [])
        load.write(BAD, 3)
        base = load.write(BAD, 3)
        load.write(BAD, 3)
        batches.overwrite(stack, topic, BAD, base, batches.flip_a_byte)
        worker, = chaos.Herd(fleet, 1, unreadable_after_s=0).wait_ready().workers
        wait_until(lambda: f"event=unreadable topic={topic} partition={BAD} offset={base}" in worker.log_text(),
                   "the log names the batch")
        for partition in (BESIDE, *ELSEWHERE):
            load.write(partition, 2)
        chaos.wait_all(fleet, None, 9, 60)
        batches.overwrite(stack, topic, BAD, base, batches.flip_a_byte)
        chaos.wait_all(fleet, None, 15, 60)
        check(fleet, load.written, [])


def test_brokers_refuse_bombs(stack):
    """In topics that `topics --create` made."""
    with stack.fleet("refused") as fleet:
        for topic in ("jobs_topic", "urgent_jobs_topic"):
            for codec, bomb in batches.BOMBS.items():
                error, _ = batches.produce(stack.brokers, fleet.topics[topic], 0, batches.batch(bomb(), 1, codec))
                expect(error != 0, f"the broker took a bomb of codec {codec}")


if __name__ == "__main__":
    chaos.main([test_until_it_can_be_read_again, test_in_one_of_four_partitions, test_brokers_refuse_bombs], "kafka")

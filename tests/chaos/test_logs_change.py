#!/usr/bin/env python3
"""test_logs_change.py: what operators and retention do to the job topic and the group while jobs are at work. Records are
deleted below and above the place that is read, partitions are added, the group's offsets expire. Each job has one answer,
but for those that were deleted before anybody took them, which the log names; only jobs whose offset is forgotten are
answered again, which it says too.
"""
import collections
import pathlib
import re
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "support"))
import chaos
from harness import expect, expect_equal, wait_until

SESSION_MS, OPEN, CHUNK = 3000, 8, 4  # OPEN jobs at a time; CHUNK of them are fetched at once
FEW = {"intake_limit_jobs": OPEN, "kafka.max.partition.fetch.bytes": 2000, "kafka.queued.min.messages": 1}


def answer_counts(fleet):
    """{(partition, offset): how many answers}"""
    return collections.Counter((source["partition"], source["offset"]) for source in
                               (answer["provenance"]["source"] for answer in chaos.answers_of(fleet)))


def expired_offsets(worker):
    """Those that it names, in order."""
    named = re.findall(r"records_expired.* from=(\d+) to=(\d+)", worker.log_text())
    return [offset for first, end in named for offset in range(int(first), int(end))]


class Deleted:
    """One partition, one worker, and records that are deleted while some of them are at work."""

    def __init__(self, stack, fleet):
        self.stack, self.fleet, self.topic = stack, fleet, fleet.topics["jobs_topic"]
        self.herd = chaos.Herd(fleet, 1, simulated_us="200000,0", session_timeout_ms=SESSION_MS, **FEW).wait_ready()
        self.worker, self.written, self.taken = self.herd.workers[0], 0, set()

    def write(self, count):
        for _ in range(count // CHUNK):
            chaos.write_pictures(self.fleet, CHUNK, 1, start=self.written)
            self.written += CHUNK

    def position(self):
        """Each offset before it was taken, or is named."""
        return int(self.worker.metric("skinsight_jobs_consumed_total")) + len(expired_offsets(self.worker))

    def busy(self):
        return self.worker.metric("skinsight_unfinished_jobs") >= CHUNK and self.position()

    def delete(self, beyond):
        """Up to that many records beyond the place that is read, or below it."""
        begin = self.written
        self.write(5 * CHUNK)
        wait_until(lambda: self.position() > begin, "the new jobs are begun")
        position = wait_until(self.busy, "jobs are open")
        self.taken |= set(range(position)) - set(expired_offsets(self.worker))
        start = min(position + beyond, self.written)
        expect(chaos.delete_records(self.stack, self.topic, 0, start), "the broker deletes no records")
        wait_until(lambda: self.position() == self.written and self.worker.metric("skinsight_unfinished_jobs") == 0,
                   f"each job is answered or named, with those before {start} deleted")

    def answered(self):
        return {offset for _, offset in answer_counts(self.fleet)}

    def check(self):
        counts = answer_counts(self.fleet)
        expect_equal([place for place, count in counts.items() if count > 1], [], "jobs with two answers")
        answered, expired = self.answered(), expired_offsets(self.worker)
        expect_equal(sorted(self.taken - answered), [], "jobs that were taken, and have no answer")
        expect_equal(sorted(set(range(self.written)) - answered), expired, "jobs without answer, and those named")
        expect(expired, "no record expired: nothing is shown")
        print(f"{self.written} jobs, {len(expired)} deleted before they were taken, {len(answered)} answered", flush=True)


def test_records_deleted_at_work(stack):
    with stack.fleet("deleted", partitions=1) as fleet:
        deleted = Deleted(stack, fleet)
        for beyond in (-3, 6, 100) * stack.size(1, 10):
            deleted.delete(beyond)
        deleted.check()


def test_partitions_added(stack):
    """Jobs are written into the new ones at once, before a worker knows them."""
    with stack.fleet("added", partitions=3) as fleet:
        herd = chaos.Herd(fleet, 2, simulated_us="0,5000", session_timeout_ms=SESSION_MS,
                          **{"kafka.topic.metadata.refresh.interval.ms": 1000}).wait_ready()
        chaos.write_pictures(fleet, 90, 3)
        wait_until(lambda: chaos.count_answers(fleet), "work is going on")
        expect(chaos.add_partitions(stack, fleet.topics["jobs_topic"], 6), "the broker adds no partitions")
        chaos.write_pictures(fleet, 90, 6, start=90)
        seconds = chaos.wait_all(fleet, None, 180, 60)
        expect_equal({partition for partition, _ in answer_counts(fleet)}, set(range(6)), "partitions answered")
        expect_equal([worker.alive() for worker in herd.workers], [True, True], "workers alive")
        chaos.check(fleet, 180, chaos.wanted_logits(range(180)))
        print(f"180 jobs, all answered {seconds:.1f} s after the partitions were added", flush=True)


def test_offsets_forgotten(stack):
    """Of one partition of two, of which retention has taken the first records: the rest is answered again, and named."""
    with stack.fleet("forgotten", partitions=2) as fleet:
        topic = fleet.topics["jobs_topic"]
        herd = chaos.Herd(fleet, 1, simulated_us="0,1000", session_timeout_ms=SESSION_MS).wait_ready()
        chaos.write_pictures(fleet, 20, 2)
        chaos.wait_all(fleet, None, 20, 60)
        herd.stop()
        expect(chaos.delete_records(stack, topic, 1, 4), "the broker deletes no records")
        wait_until(lambda: chaos.forget_offset(stack, fleet.name, topic, 1), "the group's offset is forgotten")
        chaos.write_pictures(fleet, 4, 2, start=20)
        worker = herd.launch(0)
        wanted = {(0, offset): 1 for offset in range(12)}
        wanted |= {(1, offset): 2 if 4 <= offset < 10 else 1 for offset in range(12)}
        chaos.wait_all(fleet, None, sum(wanted.values()), 60)
        expect_equal(dict(answer_counts(fleet)), wanted, "answers")
        told = re.findall(r"nothing_committed.* topic=(\S+) partition=(\d+) offset=(\d+)", worker.log_text())
        expect_equal(told, [(topic, "1", "4")], "what the log says of forgotten offsets")


if __name__ == "__main__":
    chaos.main([test_records_deleted_at_work, test_partitions_added, test_offsets_forgotten], "kafka")

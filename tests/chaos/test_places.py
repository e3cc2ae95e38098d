#!/usr/bin/env python3
"""test_places.py: a partition of which nobody knows where to begin: something is committed past its end, or it has no
leader. It is left out and named; the others are answered while workers come and go, and it is taken in by itself.
"""
import pathlib
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "support"))
import chaos
from harness import expect, wait_until

SESSION_MS, SERVED_S, PARTITIONS, BAD = 3000, 15, 4, 1
GOOD = [partition for partition in range(PARTITIONS) if partition != BAD]


def answered_of(fleet):
    """{partition: how many answers}"""
    counts = dict.fromkeys(range(PARTITIONS), 0)
    for answer in chaos.answers_of(fleet):
        counts[answer["provenance"]["source"]["partition"]] += 1
    return counts


class Written:
    """How many jobs each partition has got."""

    def __init__(self, fleet):
        self.fleet, self.counts, self.pictures = fleet, dict.fromkeys(range(PARTITIONS), 0), 0

    def write(self, partitions, count=3):
        for partition in partitions:
            records = [chaos.job(self.pictures + number, self.fleet.stack.random) for number in range(count)]
            self.fleet.write_jobs(records, partition=partition)
            self.counts[partition] += count
            self.pictures += count

    def wait_served(self, partitions, timeout_s):
        """Until every job in them is answered; gives the seconds."""
        started = time.monotonic()
        wanted = {partition: self.counts[partition] for partition in partitions}
        wait_until(lambda: all(answered_of(self.fleet)[partition] >= count for partition, count in wanted.items()),
                   f"answers of the partitions {list(partitions)}", timeout_s)
        return time.monotonic() - started


def restart_one_by_one(herd, written, rounds):
    """Others are answered after each restart, by any worker; gives the longest time that took."""
    slowest = 0
    for turn in range(rounds):
        number = turn % len(herd.workers)
        herd.workers[number].stop() if turn % 2 else herd.workers[number].kill()
        herd.workers[number] = herd.launch(number)
        written.write(GOOD)
        slowest = max(slowest, written.wait_served(GOOD, SERVED_S))
    return slowest


def named(herd, sentence):
    return any(sentence in worker.log_text() for worker in herd.workers)


def test_one_committed_past_the_end(stack):
    with stack.fleet("past", partitions=PARTITIONS) as fleet:
        topic, written = fleet.topics["jobs_topic"], Written(fleet)
        written.write(range(PARTITIONS))  # a new group begins with what is there
        herd = chaos.Herd(fleet, 1, simulated_us="0,1000", session_timeout_ms=SESSION_MS).wait_ready()
        written.wait_served(range(PARTITIONS), 60)
        herd.stop()
        wait_until(lambda: chaos.commit_from_outside(stack, fleet.name, topic, BAD, 9), "the group takes an offset")
        herd = chaos.Herd(fleet, 2, simulated_us="0,1000", session_timeout_ms=SESSION_MS)
        slowest = restart_one_by_one(herd, written, stack.size(4, 20))
        sentence = f"{topic} partition {BAD} ends at offset 3, but records before 9 are committed as answered"
        wait_until(lambda: named(herd, sentence), "a log names the partition")
        for worker in herd.workers:
            worker.wait_ready()  # it serves others
        print(f"the others are answered {slowest:.1f} s after a restart at most")
        written.write([BAD], 6 + 2)  # the first six pass for answered
        wait_until(lambda: answered_of(fleet)[BAD] >= 3 + 2, "the partition goes on once its log is as long")
        expect(answered_of(fleet)[BAD] == 5, f"answers of the partition: {answered_of(fleet)[BAD]}, wanted 5")


if __name__ == "__main__":
    chaos.main([test_one_committed_past_the_end], "kafka")

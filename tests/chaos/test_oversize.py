#!/usr/bin/env python3
"""test_oversize.py: records of 90, 120 and 280 MB, which their client has compressed to a thousandth, in front of a
worker that may have 256 MB. The two smaller ones are answered image_too_large without ever being copied. The largest
ends each process that reads it: within 10 lives it is convicted, and nobody else. Behind 90 others, where it also ends
those that only fetch ahead, within 12. Every other job is answered, those of the other partition while the worker still
dies.

The limit is a cgroup's, which kills. The long form, and the short one where no cgroup can be made, also sets it on the
address space, where an allocation fails.
"""
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "support"))
import chaos
import harness
import invariants
from harness import expect, expect_equal

MIB = 1 << 20
LIMIT = 256 * MIB
KILLER, LARGE = 280 * MIB, (90 * MIB, 120 * MIB)
# Stacks of 8 MB and an arena of malloc's for each thread would be most of the address space, unused.
SPARING = ["sh", "-c", f'ulimit -s 512; exec env MALLOC_ARENA_MAX=1 prlimit --as={LIMIT} "$@"', "sh"]


class Cgroup:
    """A memory cgroup, of version 1 or 2, that a worker's wrapper puts it into."""

    def __init__(self, name):
        old = pathlib.Path("/sys/fs/cgroup/memory")
        self.folder = (old if old.exists() else old.parent) / f"skinsight-{name}"
        self.wrapper = ["sh", "-c", f'echo $$ >{self.folder}/cgroup.procs && exec "$@"', "sh"]
        try:
            self.folder.mkdir()
            limit = "memory.limit_in_bytes" if old.exists() else "memory.max"
            (self.folder / limit).write_text(str(LIMIT))
        except OSError as error:
            raise harness.Skipped(f"no memory cgroup can be made here: {error.strerror}") from None

    def __enter__(self):
        return self.wrapper

    def __exit__(self, *_):
        self.folder.rmdir()


class Writer:
    """Writes jobs and remembers their records; of a giant without its value."""

    def __init__(self, fleet):
        self.fleet, self.records, self.giants, self.pictures = fleet, [], {}, 0

    def remember(self, key, value, urgent=False):
        topic = self.fleet.topics["urgent_jobs_topic" if urgent else "jobs_topic"]
        offset = sum(record.topic == topic for record in self.records)
        self.records.append(harness.Record(topic, 0, offset, key, value, {}))
        return offset

    def small(self, count, urgent=False):
        jobs = [chaos.job(self.pictures + number, self.fleet.stack.random) for number in range(count)]
        self.pictures += count
        self.fleet.write_jobs(jobs, urgent=urgent)
        for key, value in jobs:
            self.remember(key, value, urgent)

    def giant(self, size, killer=False):
        key, value = chaos.job(0, self.fleet.stack.random, image="A" * size)
        file = self.fleet.stack.folder / "giant"
        file.write_bytes(value)
        harness.kcat(self.fleet.stack.brokers, "-P", "-t", self.fleet.topics["jobs_topic"], "-p", "0", "-k", key.decode(),
                     "-z", "gzip", "-X", "compression.level=1", "-X", f"message.max.bytes={size + MIB}", str(file))
        file.unlink()
        self.giants[self.remember(None if killer else key, b"")] = "worker_killed" if killer else "image_too_large"


def check(fleet, writer):
    answers, topic = fleet.answers(), fleet.topics["jobs_topic"]
    omitted = {(topic, 0, offset) for offset in writer.giants}
    complaints = invariants.check(writer.records, answers, fleet.read("dead_letters_topic"), fleet.read_object, omitted)
    complaints += chaos.logits_complaints(writer.records, answers, chaos.wanted_logits(range(writer.pictures)))
    complaints += chaos.history_complaints(chaos.history(fleet.stack, fleet.name))
    expect(not complaints, f"{len(complaints)} complaints:\n  " + "\n  ".join(complaints[:20]))
    failed = {answer["provenance"]["source"]["offset"]: answer["error"]["code"]
              for answer in chaos.answers_of(fleet) if "error" in answer}
    expect_equal(failed, writer.giants, "errors by offset")


def run_giants(stack, name, wrapper, ahead, lives):
    with stack.fleet(name, topics=False) as fleet:
        # The topic keeps batches as their clients compress them.
        harness.create_topic(stack.brokers, fleet.topics["jobs_topic"], compression_type="producer")
        fleet.create_topics(1)
        writer = Writer(fleet)
        writer.small(ahead)
        writer.giant(KILLER, killer=True)
        for size in LARGE:
            writer.small(1)
            writer.giant(size)
        writer.small(2)
        writer.small(5, urgent=True)
        herd = chaos.Herd(fleet, 1, simulated_us="200000,0", session_timeout_ms=3000, wrapper=wrapper)
        seconds = chaos.wait_all(fleet, herd, len(writer.records), 300)
        check(fleet, writer)
        expect(herd.starts <= lives, f"the worker lived {herd.starts} times")
        print(f"{name}: {len(writer.records)} jobs, {herd.starts} lives, {seconds:.1f} s", flush=True)


def test_giants(stack):
    try:
        with Cgroup(stack.seed) as wrapper:
            run_giants(stack, "cgroup", wrapper, 2, 10)
            run_giants(stack, "cgroup-ahead", wrapper, 90, 12)
        if not stack.full:
            return
    except harness.Skipped as reason:
        harness.leave_out("the limit of a cgroup", reason)
    run_giants(stack, "space", SPARING, 2, 10)


if __name__ == "__main__":
    chaos.main([test_giants], "kafka")

#!/usr/bin/env python3
"""test_single_flight.py: two workers get jobs about the same image at the same moment. It is computed once; a worker that
dies while it computes holds the other one up no longer than an answer takes; and without Redis nothing is different but
that both compute.
"""
import pathlib
import subprocess
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "support"))
import chaos
from harness import expect, expect_equal, wait_until

IMAGE_US = 150000
MOST_MS = 2000  # worker/claim.c: what anybody waits at most
NOISE_MS = 1500  # what a loaded machine adds to an answer


class Pair:
    """Two workers, each with one of two partitions."""

    def __init__(self, stack, fleet):
        self.stack, self.fleet, self.written, self.pictures = stack, fleet, 0, set()
        self.port = stack.env["REDIS_URL"].rsplit(":", 1)[1]
        self.workers = [fleet.start(f"w{number}", backend="simulated", instance=f"w{number}", batch_delay_ms=0, commit_interval_ms=1,
                                    cache=stack.redis_url, cache_timeout_ms=1000,
                                    environment={"SKINSIGHT_SIMULATED_US": f"{IMAGE_US},0"}) for number in range(2)]
        for worker in self.workers:
            worker.wait_ready()
        wait_until(lambda: all(worker.metric("skinsight_assigned_partitions") == 2 for worker in self.workers),
                   "each has its partition")
        for number in range(4):  # each learns how long an answer takes
            self.ask(500 + number, [number % 2])

    def ask(self, picture, partitions, wait=True):
        """A job about the picture in each of the partitions; their answers."""
        self.pictures.add(picture)
        before = self.written
        for partition in partitions:
            self.fleet.write_jobs([chaos.job(picture, self.stack.random)], partition=partition)
            self.written += 1
        if not wait:
            self.written = before
            return []
        self.fleet.wait_answers(self.written)
        return sorted(chaos.answers_of(self.fleet), key=lambda a: a["provenance"]["timestamps"]["published"])[before:]

    def sum(self, metric, label=""):
        return sum(worker.metric(metric, label) for worker in self.workers)

    def redis(self, *words):
        return subprocess.run(["redis-cli", "-p", self.port, *words], capture_output=True, text=True, check=True).stdout.strip()

    def check(self):
        answers = chaos.check(self.fleet, self.written, chaos.wanted_logits(self.pictures))
        expect_equal(chaos.error_codes(answers), {}, "jobs answered with an error")


def test_computed_once(stack):
    """Once for each image; or twice, where a busy machine made the first one slower than the second cared to wait."""
    rounds = stack.size(10, 100)
    with stack.fleet("once", partitions=2) as fleet:
        pair = Pair(stack, fleet)
        computed = pair.sum("skinsight_batch_size_images_sum")
        for picture in range(rounds):
            answers = pair.ask(picture, [0, 1])
            expect_equal({answer["provenance"]["worker"] for answer in answers}, {"w0", "w1"}, "who answered")
        answered, timed_out = (pair.sum("skinsight_cache_waits_total", what) for what in ("answered", "timed_out"))
        expect_equal(pair.sum("skinsight_batch_size_images_sum") - computed, rounds + timed_out, "images computed")
        expect(timed_out <= rounds / 2 and answered >= rounds / 4, f"{answered} waits were answered, {timed_out} timed out")
        pair.check()
        print(f"{rounds} images asked of both at once: {answered:.0f} waits answered, {timed_out:.0f} timed out", flush=True)


def test_a_dead_holder(stack):
    """The one that claimed the image is killed while it computes: the other one waits no longer than an answer takes."""
    with stack.fleet("dead-holder", partitions=2) as fleet:
        pair = Pair(stack, fleet)
        victim, other = pair.workers
        partition = next(p for p in (0, 1) if pair.ask(900 + p, [p])[0]["provenance"]["worker"] == "w0")
        pair.ask(0, [partition], wait=False)
        wait_until(lambda: pair.redis("keys", "skinsight-claim:*"), "the image is claimed")
        victim.kill()
        answer, = pair.ask(0, [1 - partition])
        pair.workers = [other]
        stamps = answer["provenance"]["timestamps"]
        took_ms = stamps["published"] - stamps["consumed"]
        expect_equal((answer["provenance"]["worker"], answer["provenance"]["cache_hit"]), ("w1", False), "who computed it")
        expect(took_ms <= MOST_MS + IMAGE_US / 1000 + NOISE_MS, f"{took_ms} ms for an answer beside a dead worker's claim")
        fleet.wait_answers(pair.written + 1)
        pair.written += 1
        pair.check()
        waited = [what for what in ("taken_over", "timed_out") if other.metric("skinsight_cache_waits_total", what)]
        print(f"beside a dead worker's claim: {took_ms} ms, {waited}", flush=True)


def test_without_redis(stack):
    rounds = stack.size(3, 30)
    with stack.fleet("no-redis", partitions=2) as fleet:
        pair = Pair(stack, fleet)
        stack.kill("redis")
        computed, waits = pair.sum("skinsight_batch_size_images_sum"), pair.sum("skinsight_cache_waits_total")
        slowest = 0
        for picture in range(rounds):
            stamps = [answer["provenance"]["timestamps"] for answer in pair.ask(picture, [0, 1])]
            slowest = max(slowest, *(stamp["published"] - stamp["consumed"] for stamp in stamps))
        expect_equal(pair.sum("skinsight_batch_size_images_sum") - computed, 2 * rounds, "images computed")
        expect_equal(pair.sum("skinsight_cache_waits_total"), waits, "waits")
        expect(slowest <= IMAGE_US / 1000 + NOISE_MS, f"{slowest} ms for an answer")
        pair.check()
        stack.start("redis")
        print(f"without Redis: {rounds} images computed by both, {slowest} ms at most", flush=True)


if __name__ == "__main__":
    chaos.main([test_computed_once, test_a_dead_holder, test_without_redis], "kafka", "redis")

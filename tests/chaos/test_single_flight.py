#!/usr/bin/env python3
"""test_single_flight.py: two workers get jobs about the same image at the same moment. It is computed once; a worker that
dies while it computes holds the other one up no longer than an answer takes; and without Redis nothing is different but
that both compute.
"""
import concurrent.futures
import pathlib
import subprocess
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "support"))
import chaos
from harness import expect, expect_equal, wait_until

OUTCOMES = ("taken_over", "timed_out", "unavailable")  # of waits without an answer: the image is computed again
MOST_MS = 2000  # worker/cache/claim.c: what anybody waits at most
IMAGE_MS = 1000  # of the worker that dies: long enough to kill it in between
NOISE_MS = 1500  # what a loaded machine adds to an answer


class Pair:
    """Two workers, each with one of two partitions."""

    def __init__(self, stack, fleet, image_ms):
        self.stack, self.fleet, self.written, self.pictures = stack, fleet, 0, set()
        self.port = stack.env["REDIS_URL"].rsplit(":", 1)[1]
        self.workers = [fleet.start(f"w{number}", backend="simulated", instance=f"w{number}", batch_delay_ms=0, commit_interval_ms=1,
                                    cache=stack.redis_url, cache_timeout_ms=1000,
                                    environment={"SKINSIGHT_SIMULATED_US": f"{image_ms * 1000},0"}) for number in range(2)]
        for worker in self.workers:
            worker.wait_ready()
        wait_until(lambda: all(worker.metric("skinsight_assigned_partitions") == 2 for worker in self.workers),
                   "each has its partition")
        for number in range(4):  # each learns how long an answer takes
            self.ask(500 + number, [number % 2])

    def ask(self, picture, partitions, wait=True):
        """A job about the picture in each of the partitions, written at once; their answers."""
        self.pictures.add(picture)
        before = self.written
        with concurrent.futures.ThreadPoolExecutor() as pool:
            writes = [pool.submit(self.fleet.write_jobs, [chaos.job(picture, self.stack.random)], partition=partition)
                      for partition in partitions]
        for write in writes:
            write.result()
        if not wait:
            return []
        self.written += len(partitions)
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
    """Once for each image; or twice, where a busy machine made the first one slower than the second cared to wait. A job
    that comes so late that the other one is answered already is a hit and no wait."""
    rounds = stack.size(8, 80)
    with stack.fleet("once", partitions=2) as fleet:
        pair = Pair(stack, fleet, 500)
        computed = pair.sum("skinsight_batch_size_images_sum")
        before = {outcome: pair.sum("skinsight_cache_waits_total", outcome) for outcome in ("answered", *OUTCOMES)}
        for picture in range(rounds):
            answers = pair.ask(picture, [0, 1])
            expect_equal({answer["provenance"]["worker"] for answer in answers}, {"w0", "w1"}, "who answered")
        waits = {outcome: int(pair.sum("skinsight_cache_waits_total", outcome) - count) for outcome, count in before.items()}
        again = sum(waits[outcome] for outcome in OUTCOMES)
        expect_equal(pair.sum("skinsight_batch_size_images_sum") - computed, rounds + again, f"images computed, {waits}")
        expect(again <= rounds / 2 and waits["answered"] >= 1, f"waits {waits}")
        pair.check()
        print(f"{rounds} images asked of both at once: waits {waits}", flush=True)


def test_a_dead_holder(stack):
    """The one that claimed the image is killed while it computes: the other one waits, no longer than an answer takes."""
    with stack.fleet("dead-holder", partitions=2) as fleet:
        pair = Pair(stack, fleet, IMAGE_MS)
        victim, other = pair.workers
        partition = next(p for p in (0, 1) if pair.ask(900 + p, [p])[0]["provenance"]["worker"] == "w0")
        pair.redis("flushall")  # claims on earlier pictures
        pair.ask(0, [partition], wait=False)
        claim = wait_until(lambda: pair.redis("keys", "skinsight-claim:*"), "the image is claimed")
        victim.kill()
        expect_equal(pair.redis("keys", "skinsight:*"), "", "answers stored before the kill")
        expect(pair.redis("pttl", claim) != "-1", "the claim would stand for ever")
        expect_equal(pair.redis("pexpire", claim, "60000"), "1", "claims left, made to outlive this machine's delays")
        waits = {outcome: other.metric("skinsight_cache_waits_total", outcome) for outcome in OUTCOMES}
        answer, = pair.ask(0, [1 - partition])
        pair.workers = [other]
        stamps = answer["provenance"]["timestamps"]
        took_ms = stamps["published"] - stamps["consumed"]
        expect_equal((answer["provenance"]["worker"], answer["provenance"]["cache_hit"]), ("w1", False), "who computed it")
        expect(took_ms <= MOST_MS + IMAGE_MS + NOISE_MS, f"{took_ms} ms for an answer beside a dead worker's claim")
        waited = [what for what in OUTCOMES if other.metric("skinsight_cache_waits_total", what) > waits[what]]
        expect_equal(waited, ["timed_out"], "how the other one waited")
        fleet.wait_answers(pair.written + 1)
        pair.written += 1
        pair.check()
        print(f"beside a dead worker's claim: {took_ms} ms where the device takes {IMAGE_MS}, {waited}", flush=True)


def test_without_redis(stack):
    rounds = stack.size(3, 30)
    with stack.fleet("no-redis", partitions=2) as fleet:
        pair = Pair(stack, fleet, 150)
        stack.kill("redis")
        computed, waits = pair.sum("skinsight_batch_size_images_sum"), pair.sum("skinsight_cache_waits_total")
        slowest = 0
        for picture in range(rounds):
            stamps = [answer["provenance"]["timestamps"] for answer in pair.ask(picture, [0, 1])]
            slowest = max(slowest, *(stamp["published"] - stamp["consumed"] for stamp in stamps))
        expect_equal(pair.sum("skinsight_batch_size_images_sum") - computed, 2 * rounds, "images computed")
        expect_equal(pair.sum("skinsight_cache_waits_total"), waits, "waits")
        expect(slowest <= 150 + NOISE_MS, f"{slowest} ms for an answer")
        pair.check()
        stack.start("redis")
        print(f"without Redis: {rounds} images computed by both, {slowest} ms at most", flush=True)


if __name__ == "__main__":
    chaos.main([test_computed_once, test_a_dead_holder, test_without_redis], "kafka", "redis")

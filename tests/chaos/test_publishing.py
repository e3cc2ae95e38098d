#!/usr/bin/env python3
"""test_publishing.py: while no transaction can be made the worker is not ready and says why; meanwhile more failed jobs
gather than its Kafka client takes at once, and afterwards each has its answer and its dead letter. And brokers that
are far away: a worker does not take the distance for trouble and make a new producer each time. The long form prints
the table of round trips of docs/RELIABILITY.md.
"""
import base64
import json
import pathlib
import re
import statistics
import sys
import time
import uuid

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "support"))
import chaos
from harness import expect, expect_equal, wait_until

LARGE, LARGE_BYTES = 24, 3000000  # together more than the 64 MiB that the client queues
ROUND_TRIPS = 6  # from begin to commit, in the median: five requests, one after the other, and what the broker takes;
# where that is near, the latter is most of it


def large_job(index, random_):
    """A record whose deadline is over, of a picture made long by comments."""
    comments = chaos.segment(0xfe, b"%06d" % index + bytes(65000)) * (LARGE_BYTES * 3 // 4 // 65000)
    image = chaos.solid_jpeg(chaos.colour(index))
    value = {"schema": "skinsight.job.v1", "request_id": str(uuid.UUID(int=random_.getrandbits(128), version=4)),
             "image": base64.b64encode(image[:2] + comments + image[2:]).decode(),
             "deadline_at": int(time.time() * 1000) - 1}
    return value["request_id"].encode(), json.dumps(value).encode()


def test_large_failures_gather(stack):
    with stack.fleet("large", partitions=1) as fleet:
        herd = chaos.Herd(fleet, 1, simulated_us="0,1000", brokers=stack.proxied, **{"kafka.client.id": "w"}).wait_ready()
        worker = herd.workers[0]
        stack.proxy.tell("EndTxn every w cut", "InitProducerId every w cut")
        chaos.write_pictures(fleet, 1, 1)
        wait_until(lambda: stack.proxy.done("cut"), "an answer can't be published")
        fleet.write_jobs([large_job(index, stack.random) for index in range(1, LARGE + 1)])
        wait_until(lambda: worker.metric("skinsight_queue_jobs", '"publish"') == LARGE, "the failed jobs have gathered")
        expect_equal(chaos.count_answers(fleet), 0, "answers while none can be published")
        said = re.compile(r"answers have waited \d+ s to be published: (commit|init_transactions): ")
        wait_until(lambda: said.match(worker.get("/readyz")[1]), "/readyz says why nothing is published")
        expect_equal(worker.get("/readyz")[0], 503, "status of /readyz")
        stack.proxy.tell("clear")
        worker.wait_ready()
        chaos.wait_all(fleet, None, LARGE + 1, 90)
        answers = chaos.check(fleet, LARGE + 1, chaos.wanted_logits(range(1)))
        expect_equal(chaos.error_codes(answers), {"deadline_exceeded": LARGE}, "errors")
        expect("Queue full" not in worker.log_text(), "a group was larger than the client takes")


def transactions(requests, delay_ms):
    """Milliseconds of each transaction, from its first request to the end of its last."""
    begun, took = None, []
    for request in requests:
        if request["api"] == "AddPartitionsToTxn" and begun is None:
            begun = request["at"]
        elif request["api"] == "EndTxn" and begun is not None:
            took.append(request["at"] + delay_ms - begun)
            begun = None
    return took


def run_distance(stack, delay_ms, count):
    """count jobs, each in a transaction of its own; gives the row of the table."""
    with stack.fleet(f"far-{delay_ms}", partitions=1) as fleet:
        pace_us = (ROUND_TRIPS * delay_ms + 10) * 1000
        herd = chaos.Herd(fleet, 1, simulated_us=f"{pace_us},0", batch_max=1, instance="", brokers=stack.proxied,
                          **{"kafka.client.id": "far"}).wait_ready()
        worker = herd.workers[0]
        stack.proxy.tell("clear", f"* every far delay {delay_ms}")
        seen = len(stack.proxy.done("delay"))
        renewed = worker.metric("skinsight_producer_renewals_total")
        chaos.write_pictures(fleet, count, 1)
        chaos.wait_all(fleet, None, count, 60 + count * pace_us * 2 / 1e6)
        renewals = worker.metric("skinsight_producer_renewals_total") - renewed
        stack.proxy.tell("clear")
        took = transactions(stack.proxy.done("delay")[seen:], delay_ms)
        chaos.check(fleet, count, chaos.wanted_logits(range(count)))
        p50, p99 = statistics.median(took), sorted(took)[len(took) * 99 // 100]
        print(f"round trip {delay_ms} ms: {len(took)} transactions, p50 {p50:.0f} ms, p99 {p99:.0f} ms, "
              f"{renewals:.0f} renewals", flush=True)
        expect(renewals <= len(took) / 1000, f"{renewals:.0f} renewals in {len(took)} transactions")
        expect(delay_ms < 20 or p50 <= ROUND_TRIPS * delay_ms, f"the median transaction took {p50:.0f} ms")


def test_round_trips(stack):
    for delay_ms, count in stack.size([(60, 10)], [(2, 1000), (20, 1000), (60, 1000), (200, 200)]):
        run_distance(stack, delay_ms, count)


if __name__ == "__main__":
    chaos.main([test_large_failures_gather, test_round_trips], "kafka")

#!/usr/bin/env python3
"""test_publishing.py: while no transaction can be made the worker is not ready and says why; meanwhile more failed jobs
gather than its Kafka client takes at once, and afterwards each has its answer and its dead letter.
"""
import base64
import json
import pathlib
import re
import sys
import time
import uuid

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "support"))
import chaos
from harness import expect, expect_equal, wait_until

LARGE, LARGE_BYTES = 24, 3000000  # together more than the 64 MiB that the client queues


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


if __name__ == "__main__":
    chaos.main([test_large_failures_gather], "kafka")

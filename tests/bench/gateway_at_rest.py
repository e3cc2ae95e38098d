#!/usr/bin/env python3
"""gateway_at_rest.py [IMAGES [ARCHITECTURE]]: one photograph at a time through HTTP, Kafka, a worker that computes on the CPU
and back (30, vit_base_patch16_224 with random weights): the client's time beside that of the inference alone.

Prints, in ms: medians of both and of their difference, the longest difference, and the medians of the steps of the worker.
"""
import json
import pathlib
import statistics
import sys
import time
import uuid

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "support"))
import harness
from gateway import Gateway
from harness import expect_equal

STEPS = ("consumed", "fetched", "decoded", "batched", "inferred", "postprocessed", "published")


def ask_one_by_one(stack):
    with stack.fleet("rest", partitions=1) as fleet, Gateway(fleet) as gateway:
        fleet.start("worker", model=stack.model(architecture), backend="cpu").wait_ready()
        client = gateway.add_key("north")
        seconds = {}
        for picture in harness.make_images(stack.folder / "pictures", images + 2):
            request_id = str(uuid.uuid4())
            start = time.monotonic()
            answer = client.analyze(picture.read_bytes(), request_id=request_id)
            seconds[request_id] = (time.monotonic() - start) * 1000
            expect_equal(answer.status, 200, f"answer to {request_id}: {answer.body}")
        stamps = {record["request_id"]: [record["provenance"]["timestamps"][step] for step in STEPS]
                  for record in (json.loads(record.value) for record in fleet.answers())}
        measured = list(seconds)[2:]  # the first ones find everything cold
        inference = [stamps[name][4] - stamps[name][3] for name in measured]
        beside = [seconds[name] - spent for name, spent in zip(measured, inference)]
        print(f"HTTP in to out {statistics.median(seconds[name] for name in measured):.0f}, "
              f"inference {statistics.median(inference):.0f}, beside it {statistics.median(beside):.0f}, "
              f"at most {max(beside):.0f}")
        print("; ".join(f"{STEPS[i]} to {STEPS[i + 1]} {statistics.median(stamps[n][i + 1] - stamps[n][i] for n in measured):.1f}"
                        for i in range(len(STEPS) - 1)), flush=True)


if __name__ == "__main__":
    images = int((sys.argv[1:] or ["30"])[0])
    architecture = (sys.argv[2:] or ["vit_base_patch16_224"])[0]
    del sys.argv[1:]
    harness.main([ask_one_by_one], "kafka")

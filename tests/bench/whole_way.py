#!/usr/bin/env python3
"""whole_way.py: how long a job takes from `submit` to its answer, through a real worker.

    tests/bench/whole_way.py [rest] [cached] [restart] [--arch NAME] [--precision P] [--runs N]

rest      one image at a time at a worker that has nothing else to do, each new to it; what comes on top of inference
cached    a full queue of images whose answers are in Redis: answers a second
restart   a worker is killed with SIGKILL and started again at once; from its start to its next answer

A real Kafka broker and Redis on this machine, JPEGs made from those in tests/data, attention maps in files.
"""
import argparse
import json
import os
import pathlib
import signal
import statistics
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "support"))
import harness  # noqa: E402

CACHED_IMAGES, CACHED_JOBS = 40, 2000


def spread(values, unit="ms"):
    values = sorted(values)
    return (f"median {statistics.median(values):.1f}, least {values[0]:.1f}, greatest {values[-1]:.1f} {unit} "
            f"of {len(values)}")


def at_rest(fleet, arguments):
    fleet.start("only", threads=0, **arguments.options).wait_ready()
    whole, beside = [], []
    for image in harness.make_images(fleet.stack.folder / "new", arguments.runs):
        line, = fleet.submit("--wait", image)
        whole.append(line["elapsed_ms"])
        beside.append(line["elapsed_ms"] - line["answer"]["model_info"]["inference_time_ms"])
    print(f"rest: sent to answered: {spread(whole)}")
    print(f"rest: of that, beside inference: {spread(beside)}", flush=True)


def cached(fleet, arguments):
    options = {**arguments.options, "cache": fleet.stack.redis_url}
    images = harness.make_images(fleet.stack.folder / "known", CACHED_IMAGES)
    worker = fleet.start("fills", threads=0, **options).wait_ready()
    fleet.submit("--wait", *images)
    worker.stop()
    fleet.submit(*(images[i % CACHED_IMAGES] for i in range(CACHED_JOBS)))
    fleet.start("answers", threads=0, **options)
    answers = [json.loads(record.value) for record in fleet.wait_answers(CACHED_IMAGES + CACHED_JOBS, 300)]
    hits = [answer["provenance"] for answer in answers if answer["provenance"]["cache_hit"]]
    harness.expect(len(hits) == CACHED_JOBS, f"{len(hits)} answers of {CACHED_JOBS} came from the cache")
    stamps = sorted(hit["timestamps"]["published"] for hit in hits)
    later = [stamp for stamp in stamps if stamp > stamps[0]]
    print(f"cached: {len(later) / (later[-1] - stamps[0]) * 1000:.0f} answers a second", flush=True)


def restart(fleet, arguments):
    """The job is sent before the kill's successor starts: the session of a static member need not run out."""
    times = []
    worker = fleet.start("same", threads=0, instance="same", **arguments.options).wait_ready()
    for count, image in enumerate(harness.make_images(fleet.stack.folder / "after", arguments.runs), 1):
        worker.kill()
        fleet.submit(image)
        started = time.time()
        worker = fleet.start("same", threads=0, instance="same", **arguments.options)
        answer = max((json.loads(record.value) for record in fleet.wait_answers(count)),
                     key=lambda answer: answer["provenance"]["timestamps"]["published"])
        times.append(answer["provenance"]["timestamps"]["published"] - started * 1000)
    print(f"restart: from the start of the process to its first answer: {spread(times)}", flush=True)


def main():
    parts = {"rest": at_rest, "cached": cached, "restart": restart}
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("parts", nargs="*", metavar="PART", help="rest, cached, restart; all when none is named")
    parser.add_argument("--arch", default="vit_base_patch16_224")
    parser.add_argument("--precision", default="fp32")
    parser.add_argument("--runs", type=int, default=30)
    arguments = parser.parse_args()
    unknown = [name for name in arguments.parts if name not in parts]
    if unknown:
        parser.error(f"unknown part {unknown[0]}; there are {', '.join(parts)}")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    with harness.Stack("kafka", "redis") as stack:
        arguments.options = {"model": stack.model(arguments.arch), "precision": arguments.precision, "backend": "cpu"}
        print(f"load average {open('/proc/loadavg').read().split()[0]}, {os.cpu_count()} cores, {arguments.arch}, "
              f"{arguments.precision}", flush=True)
        for name in arguments.parts or parts:
            with stack.fleet(f"whole-{name}", partitions=2) as fleet:
                parts[name](fleet, arguments)


if __name__ == "__main__":
    main()

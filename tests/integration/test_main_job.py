#!/usr/bin/env python3
"""test_main_job.py: the main job end to end: 500 jobs, four partitions, two workers, a real Redis and S3.

Every job record has one terminal record and a sound attention map; the same images again are answered from the
cache without inference; and the numbers of an image do not depend on who computed them: two workers or one, in
whatever batch, with and without cache, on s3:// and file://, or `classify` without Kafka. How far an image lies from what
the model has learnt is one of them, and is what another program computes from the embedding.
"""
import hashlib
import json
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "support"))
import harness
from harness import expect, expect_equal
from reference import give_reference

JOBS = 500
MADE, REAL = 40, 100


def choose_images(stack):
    """40 images made from the committed ones, and 100 real ones where there is the data set."""
    folder = stack.folder / "pictures"
    made = sorted(folder.glob("*.jpg")) if folder.exists() else harness.make_images(folder, MADE)
    real = sorted(harness.HAM200.glob("*.jpg"))[:REAL]
    if not real:
        harness.leave_out("100 real images", "the dermoscopy folder is not there")
    return made + real


def numbers(answer):
    """What must not depend on who computed it."""
    prediction, provenance = answer["prediction"], answer["provenance"]
    return {"logits": provenance["logits"], "prediction": {name: value for name, value in prediction.items()
                                                           if name != "attention_map_url"},
            "features": provenance["features"], "ood": provenance["ood"], "model": provenance["model_sha256"]}


def by_image(answers):
    """{image digest: numbers}; the same image must have the same ones each time."""
    found = {}
    for answer in answers:
        digest = answer["provenance"]["image_sha256"]
        mine = numbers(answer)
        expect_equal(mine, found.setdefault(digest, mine), f"image {digest} another time")
    return found


def submit_all(fleet, images, **options):
    return [line["answer"] for line in fleet.submit("--wait", *images, **options)]


def batches(workers):
    return sum(worker.metric("skinsight_batches_total") for worker in workers)


def test_five_hundred_jobs(stack):
    """Two workers, cache and S3; then the same images again."""
    images = choose_images(stack)
    sent = [images[i % len(images)] for i in range(JOBS)]
    give_reference(stack.model())
    with stack.fleet("main", objects="s3://skinsight/main") as fleet:
        workers = [fleet.start(name, cache=stack.redis_url, cache_timeout_ms=5000).wait_ready() for name in ("one", "two")]
        harness.wait_until(lambda: all(worker.metric("skinsight_assigned_partitions") == 4 for worker in workers),
                           "each worker has half of the eight partitions")
        first = by_image(submit_all(fleet, sent))
        fleet.check(jobs=JOBS)
        expect_equal(len(first), len(images), "images answered")
        records = fleet.read("jobs_topic")
        expect_equal({record.partition for record in records}, {0, 1, 2, 3}, "partitions with jobs")
        for worker in workers:
            expect(worker.metric("skinsight_jobs_answered_total") > 50, f"{worker.name} had next to nothing to do")

        computed = batches(workers)
        again = submit_all(fleet, sent)
        expect(all(answer["provenance"]["cache_hit"] for answer in again), "an answer was not from the cache")
        expect(all(answer["model_info"]["inference_time_ms"] == 0 for answer in again), "a hit took inference time")
        expect_equal(batches(workers), computed, "batches computed after the second submission")
        expect_equal(by_image(again), first, "answers from the cache")
        fleet.check(jobs=2 * JOBS)
    stack.first_numbers = first


def test_one_worker_with_files_and_no_cache(stack):
    """The same numbers, on the other object store, computed by one worker alone in other batches."""
    images = choose_images(stack)
    with stack.fleet("plain") as fleet:
        worker = fleet.start("alone", batch_max=3, decode_threads=2)
        answers = submit_all(fleet, images)
        expect(not any(answer["provenance"]["cache_hit"] for answer in answers), "a hit without a cache")
        expect(all(answer["prediction"]["attention_map_url"].startswith("file:///") for answer in answers),
               "a map is not in the folder")
        expect_equal(by_image(answers), stack.first_numbers, "answers without cache")
        expect(worker.metric("skinsight_batches_total") >= len(images) / 3, "too few batches for their size")
        fleet.check(jobs=len(images))


def test_classify_gives_the_same(stack):
    images = choose_images(stack)
    maps = stack.folder / "maps"
    reference = give_reference(stack.model())
    done = harness.run("worker", "classify", "--model", stack.model(), "--attention", maps, "--embedding", *images,
                       check=True)
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    expect_equal([line["file"] for line in lines], list(map(str, images)), "files and their order")
    for image, line in zip(images, lines):
        served = stack.first_numbers[hashlib.sha256(image.read_bytes()).hexdigest()]
        prediction = served["prediction"]
        expect_equal(line["logits"], served["logits"], f"logits of {image.name}")
        expect_equal(line["ood"], served["ood"], f"place of {image.name}")
        distance = reference.distance(line["embedding"])
        expect(abs(line["ood"]["distance"] / distance - 1) < 1e-5, f"distance of {image.name}, not {distance}")
        quantile = reference.quantile(line["ood"]["distance"])
        expect(abs(line["ood"]["quantile"] - quantile) < 1e-5, f"quantile of {image.name}, not {quantile}")
        expect_equal("out_of_distribution" in prediction["abstain_reasons"], quantile > 0.99, f"abstention of {image.name}")
        expect_equal(sorted(line["probabilities"], reverse=True),
                     [entry["probability"] for entry in prediction["differential"]], f"shares of {image.name}")
        expect_equal(line["primary_diagnosis"], prediction["primary_diagnosis"], f"diagnosis of {image.name}")
        picture = hashlib.sha256((maps / f"{image.stem}.png").read_bytes()).hexdigest()
        expect_equal(picture, prediction["attention_map_sha256"], f"attention map of {image.name}")
        expect(len(line["attention"]) == 196 and min(line["attention"]) > 0, f"attention of {image.name}")


def test_urgent_jobs(stack):
    """The urgent topic is served, by the same worker and with the same numbers."""
    images = choose_images(stack)[:MADE]
    with stack.fleet("urgent", partitions=2) as fleet:
        fleet.start("worker")
        answers = submit_all(fleet, [*images[:20], "--urgent"]) + submit_all(fleet, images[20:])
        topics = [answer["provenance"]["source"]["topic"] for answer in answers]
        expect_equal(topics.count(fleet.topics["urgent_jobs_topic"]), 20, "answers to urgent jobs")
        for digest, mine in by_image(answers).items():
            expect_equal(mine, stack.first_numbers[digest], f"image {digest}")
        fleet.check(jobs=len(images))


def test_claim_check(stack):
    """Images over the inline limit go through the object store, and come to the same."""
    images = sorted(harness.DATA.glob("*.jpg"))
    for objects in ("s3://skinsight/claims", None):
        with stack.fleet("claims-files" if objects is None else "claims-s3", objects=objects) as fleet:
            fleet.start("worker")
            inline = submit_all(fleet, images)
            stored = submit_all(fleet, images, inline_limit_bytes=0)
            expect_equal(by_image(inline), by_image(stored), "numbers of stored images")
            values = [json.loads(record.value) for record in fleet.read("jobs_topic")]
            expect_equal(sum("image_uri" in value for value in values), len(images) + 1,
                         "records without their image (one image is over 256 KiB anyway)")
            fleet.check(jobs=2 * len(images))


if __name__ == "__main__":
    harness.main([test_five_hundred_jobs, test_one_worker_with_files_and_no_cache, test_classify_gives_the_same,
                  test_urgent_jobs, test_claim_check], "kafka", "redis", "s3")

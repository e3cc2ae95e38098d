#!/usr/bin/env python3
"""test_simulate.py: `skinsight-monitor simulate` gives the same bytes for the same seed, records that the schemas
take, and to Kafka the same as to files.
"""
import collections
import csv
import hashlib
import json
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "support"))
import harness
from harness import expect, expect_equal, flags, run
from schema import Schema

NAMES = ["predictions.jsonl", "feedback.jsonl", "truth.csv"]
OPTIONS = {"seed": 11, "days": 20, "images_per_day": 25, "plant": "swapped_channels", "plant_day": 10}
# Of these options. They say nothing of whether the records are right (tests/unit/test_simulate.c does), but that no
# build and no machine changes a bit: builds with -O1 and -O2, and a C library with and without FMA, gave the same.
DIGESTS = {"predictions.jsonl": "3a735263ea848f1e03641f102236afd77749365a574418e4f13c36bae5931cab",
           "feedback.jsonl": "14c3950d04e92078367858cf6e423498755d55540bf5841c82a0123ad9f9d7cb",
           "truth.csv": "14c958cae4952f4354025a35a21ed42ee5dd93c277853503a4b1367025b221b6"}


def simulate(folder, **options):
    done = run("monitor", "simulate", *flags({**OPTIONS, **options}), "--out", folder, check=True)
    return json.loads(done.stdout)


def lines(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_equal_seeds_give_equal_bytes(stack):
    told = simulate(stack.folder / "a")
    simulate(f"{stack.folder}/other//", seed=12)  # a folder may end in slashes
    digests = {name: hashlib.sha256((stack.folder / "a" / name).read_bytes()).hexdigest() for name in NAMES}
    expect_equal(digests, DIGESTS, "digests")
    expect_equal(sorted(path.name for path in (stack.folder / "a").iterdir()), sorted(NAMES), "files")
    expect_equal((told["predictions"], told["feedback"]),
                 tuple(len(lines(stack.folder / "a" / name)) for name in NAMES[:2]), "records told of")
    for name in NAMES:
        expect((stack.folder / "a" / name).read_bytes() != (stack.folder / "other" / name).read_bytes(),
               f"another seed gives the same {name}")


def test_records_and_truth_agree(stack):
    folder = stack.folder / "a"
    with open(folder / "truth.csv", newline="") as file:
        truth = {row["request_id"]: row for row in csv.DictReader(file)}
    for schema, name in (("prediction", NAMES[0]), ("feedback", NAMES[1])):
        for number, record in enumerate(lines(folder / name)):
            complaints = Schema(schema).complaints(record)
            expect(not complaints, f"line {number + 1} of {name}: {complaints}")
    answers = collections.defaultdict(list)
    for record in lines(folder / NAMES[0]):
        answers[record["request_id"]].append(record)
    expect_equal(answers.keys(), truth.keys(), "requests")
    for request, records in answers.items():
        *failed, last = records
        expect(len(failed) <= 1 and all("error" in record for record in failed), f"attempts of {request}")
        if "error" not in last:
            expect_equal(last["prediction"]["recommended_action"], truth[request]["action"], "action")
            expect_equal(last["provenance"]["image_sha256"], truth[request]["image_sha256"], "image")
    labelled = {row["request_id"]: row for row in truth.values() if row["labelled_at"]}
    images = {row["image_sha256"]: row for row in labelled.values()}
    feedback = lines(folder / NAMES[1])
    known = [labelled.get(record.get("request_id")) or images.get(record.get("image_sha256")) for record in feedback]
    expect(known.count(None) <= 2, f"{known.count(None)} of {len(feedback)} labels are of no request; 0.002 of them should be")
    for record, row in zip(feedback, known):
        if row and record["certainty"] != "clinician" and record["label"] not in ("OTHER", "UNGRADABLE"):
            expect_equal((record["label"], record["reviewed_at"]), (row["label"], int(row["labelled_at"])), "label")


def test_kafka_gets_what_files_get(stack):
    topics = {"predictions_topic": "simulated.predictions", "feedback_topic": "simulated.feedback"}
    others = {option: f"simulated.{option}" for option in ("jobs_topic", "urgent_jobs_topic", "dead_letters_topic",
                                                           "control_topic")}
    where = {"brokers": stack.brokers, **topics}
    done = run("monitor", "simulate", *flags({**OPTIONS, **where}))
    expect(done.returncode == 1 and "simulated.predictions" in done.stderr, f"without topics: {done.stderr}")
    run("producer", "topics", "--create", "--partitions", 3, *flags({**where, **others}), check=True)
    run("monitor", "simulate", *flags({**OPTIONS, **where}), check=True)
    for name, topic in zip(NAMES, topics.values()):
        records = harness.read_topic(stack.brokers, topic)
        expect_equal(sorted(record.value for record in records),
                     sorted((stack.folder / "a" / name).read_bytes().splitlines()), f"records of {topic}")
        for record in records:
            value = json.loads(record.value)
            expect_equal(record.key.decode(), value.get("request_id") or value["image_sha256"], "key")


def test_what_is_refused(stack):
    (stack.folder / "full").mkdir()
    for arguments, code, words in ((["--out", stack.folder / "full"], 1, "is there already"),
                                   (["--out", "/does/not/exist/x"], 1, "can't make"),
                                   (["--start", "2026-01-05T12:00"], 2, "no midnight"),
                                   (["--start", "yesterday"], 2, "is no time"),
                                   (["--days", "0"], 2, "days"),
                                   (["--plant", "ufo"], 2, "plant"),
                                   (["--brokers", "127.0.0.1:1"], 1, "127.0.0.1:1")):
        done = run("monitor", "simulate", *arguments)
        expect(done.returncode == code and words in done.stderr and done.stdout == "",
               f"{arguments}: exit {done.returncode}, {done.stderr}")


if __name__ == "__main__":
    harness.main([test_equal_seeds_give_equal_bytes, test_records_and_truth_agree, test_kafka_gets_what_files_get,
                  test_what_is_refused], "kafka")

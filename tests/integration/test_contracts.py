#!/usr/bin/env python3
"""test_contracts.py: what the programs write is what docs/schemas and docs/FORMATS.md say, field by field; and each
option of `submit` that goes into a job record arrives in the field that it is for.
"""
import hashlib
import json
import math
import pathlib
import re
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "support"))
import harness
from harness import expect, expect_equal
from schema import Schema

METADATA = {"patient_age": 54, "lesion_location": "upper_back", "fitzpatrick_type": 3,
            "capture_device": "iphone_15_pro", "dermatoscope_attached": True}
SITE, SUBJECT = "st.anna_2-b", hashlib.sha256(b"a patient").hexdigest()
CONTEXT = {"site": SITE, "subject": SUBJECT, "capture_device": "iphone_15_pro", "dermatoscope_attached": True,
           "fitzpatrick_type": 3, "lesion_location": "upper_back", "age_decade": 50}
DEADLINE_MS = 86_399_000
IMAGES = [harness.DATA / "ISIC_0000013.jpg", harness.DATA / "ISIC_0000384.jpg"]  # the second one over the inline limit


def expect_fits(schema, value, what):
    complaints = Schema(schema).complaints(value)
    expect(not complaints, f"{what} is not what {schema}.json says:\n  " + "\n  ".join(complaints))


def built_in_policy():
    """The text in the worker, out of its source."""
    source = (harness.ROOT / "worker/policy.c").read_text()
    literals = re.findall(r'"((?:[^"\\]|\\.)*)"', re.search(r"built_in\[\] =(.*?);\n", source, re.S)[1])
    return "".join(literals).replace('\\"', '"').replace("\\n", "\n")


def documented_policy():
    text = (harness.ROOT / "docs/FORMATS.md").read_text()
    return json.loads(re.search(r'\{"schema": "skinsight\.policy\.v2".*?"\}\n', text, re.S)[0])


def expect_energy(provenance):
    energy = -math.log(sum(math.exp(logit) for logit in provenance["logits"]))
    ood = provenance["ood"]
    expect(abs(ood["energy"] - energy) <= 1e-6 * max(1, abs(energy)), f"energy {ood['energy']}, not {energy}")
    expect_equal((ood["distance"], ood["quantile"]), (None, None), "what a model without a reference can't say")


def expect_abstention(prediction):
    policy, confidence = json.loads(built_in_policy()), prediction["confidence"]
    unsure = confidence < policy["abstain"]["confidence_below"]
    expect_equal((prediction["abstained"], prediction["abstain_reasons"]),
                 (unsure, ["low_confidence"] if unsure else []), "whether it abstains")
    reasons = ["low_confidence"] * (confidence < policy["review"]["confidence_below"]) + ["abstained"] * unsure
    expect_equal(prediction.get("review"), {"within_h": 48, "reasons": reasons} if reasons else None, "the review")


def test_job_and_answer(stack):
    """Every option of submit at once, an image inside and one in the object store."""
    metadata = stack.folder / "metadata.json"
    metadata.write_text(json.dumps(METADATA))
    manifest = json.loads((stack.model() / "manifest.json").read_text())
    expect_fits("manifest", manifest, "the manifest")
    with stack.fleet("contracts", partitions=1) as fleet:
        worker = fleet.start("worker")
        lines = fleet.submit("--wait", "--urgent", *IMAGES, metadata=metadata, deadline_ms=DEADLINE_MS,
                             model_version=manifest["model_version"], site=SITE, subject=SUBJECT, keep_images=True)
        expect_equal(fleet.read("jobs_topic"), [], "jobs that are not urgent")
        jobs = {record.key.decode(): json.loads(record.value) for record in fleet.read("urgent_jobs_topic")}
        expect_equal(len(jobs), len(IMAGES), "urgent jobs")
        for line in lines:
            job, answer = jobs[line["request_id"]], line["answer"]
            image = pathlib.Path(line["file"]).read_bytes()
            expect_fits("job", job, "the job")
            expect_fits("prediction", answer, "the answer")
            expect_equal((job["metadata"], job["model_version"], job["deadline_at"] - job["submitted_at"],
                          job["site"], job["subject"]),
                         (METADATA, manifest["model_version"], DEADLINE_MS, SITE, SUBJECT), "what the options became")
            expect_equal(answer["context"], CONTEXT, "the answer's context")
            expect_energy(answer["provenance"])
            expect_abstention(answer["prediction"])
            expect_equal(("image" in job, job["image_sha256"]),
                         (line["file"] == str(IMAGES[0]), hashlib.sha256(image).hexdigest()), "the image")
            expect_equal(fleet.read_object(f"{fleet.objects}/images/{job['image_sha256']}.jpg"), image, "the kept image")
            expect_equal(answer["provenance"]["timestamps"]["submitted"], job["submitted_at"], "submitted")
            expect_equal(answer["model_info"]["model_version"], manifest["model_version"], "the model that answered")
            expect_equal(answer["provenance"]["policy"]["sha256"],
                         hashlib.sha256(built_in_policy().encode()).hexdigest(), "digest of the built-in policy")
        expect("policy_not_applied limit=ood_quantile_above" in worker.log_text(), "a limit without a reference is not told of")
        fleet.check(jobs=len(IMAGES))


def test_policy(stack):
    policy = json.loads(built_in_policy())
    expect_fits("policy", policy, "the built-in policy")
    expect_equal(policy, documented_policy(), "the built-in policy and the one in docs/FORMATS.md")


def test_error_and_letter(stack):
    """A model that nobody has, and a deadline that passes before a worker comes."""
    with stack.fleet("refused", partitions=1) as fleet:
        fleet.submit(IMAGES[0], deadline_ms=1)
        fleet.submit(IMAGES[0], model_version="no-such-model-v9")
        late = json.loads(fleet.jobs()[0].value)
        expect_equal(late["deadline_at"] - late["submitted_at"], 1, "the shortest deadline")
        fleet.start("worker", instance="one")
        answers = [json.loads(record.value) for record in fleet.wait_answers(2)]
        fleet.check(jobs=2)
        letters = {int(letter.headers["source_offset"]): letter for letter in fleet.read("dead_letters_topic")}
        codes = {}
        for answer in answers:
            expect_fits("prediction", answer, "the answer")
            source, error = answer["provenance"]["source"], answer["error"]
            headers = {name: value.decode() for name, value in letters[source["offset"]].headers.items()}
            failed_at = int(headers.pop("failed_at"))
            expect(0 <= failed_at - answer["provenance"]["timestamps"]["consumed"] < 600_000, f"failed_at {failed_at}")
            expect_equal(headers, {"error_code": error["code"], "error_message": error["message"],
                                   "source_topic": source["topic"], "source_partition": str(source["partition"]),
                                   "source_offset": str(source["offset"]), "worker": "one"}, "the letter's headers")
            codes[source["offset"]] = error["code"]
        expect_equal(codes, {0: "deadline_exceeded", 1: "unknown_model"}, "codes")


def corpus(schema, name):
    return json.loads((harness.ROOT / f"tests/fuzz/corpus/fuzz_{schema}/{name}.json").read_text())


def test_the_readers_records(stack):
    """The records that the unit tests read and write in C, every field in them, are what the schemas say."""
    for name in ("every_field", "error_without_request"):
        expect_fits("prediction", corpus("answer", name), name)
    expect_fits("job", corpus("job", "every_field"), "every_field")
    for name in ("every_field", "least"):
        expect_fits("feedback", corpus("feedback", name), name)


def test_the_schemas_refuse(stack):
    """A checker that takes everything would find nothing."""
    answer = corpus("answer", "every_field")
    for wrong in ({"context": {"age_decade": 54}}, {"context": {"patient_age": 54}}, {"context": {"site": ""}},
                  {"prediction": {**answer["prediction"], "abstain_reasons": ["tired"]}},
                  {"provenance": {**answer["provenance"], "ood": {"energy": 1}}}):
        expect(Schema("prediction").complaints({**answer, **wrong}), f"an answer with {wrong} passes")
    job = {"schema": "skinsight.job.v1", "request_id": "24d11e45-fe27-4a8e-93da-a18f488a3502", "image": "/9j/"}
    expect_fits("job", job, "a small job")
    for wrong in ({"image": "a b"}, {"image_uri": "s3://x/y"}, {"metadata": {"patient_age": 131}},
                  {"metadata": {"patient_age": True}}, {"metadata": {"name": "x"}}, {"deadline_at": "soon"},
                  {"submitted_at": -1}, {"schema": "skinsight.job.v2"},
                  {"site": "St. Anna"}, {"subject": "patient-17"}, {"urgent": True}, {"model_version": ""}):
        expect(Schema("job").complaints({**job, **wrong}), f"a job with {wrong} passes")
    feedback = corpus("feedback", "every_field")
    for wrong in ({"feedback_id": "17"}, {"label": "melanoma"}, {"certainty": "guess"}, {"reviewed_at": 1.5},
                  {"reviewed_by": ""}, {"reviewed_by": "a\tb"}, {"lesion_id": "x" * 65}, {"subject": "patient-17"},
                  {"atypical": 1}, {"supersedes": None}, {"image_sha256": "AB"}, {"schema": "skinsight.feedback.v2"}):
        expect(Schema("feedback").complaints({**feedback, **wrong}), f"feedback with {wrong} passes")
    least = corpus("feedback", "least")
    for field in least:
        expect(Schema("feedback").complaints({name: least[name] for name in least if name != field}),
               f"feedback without {field} passes")
    policy = json.loads(built_in_policy())
    for wrong in ({"urgent": {"malignant": 0.5}}, {"routine": {"MEL": 2}}, {"version": ""}, {"abstain": {"confidence": 1}},
                  {"abstain": {"brightness": [0.5]}}, {"review": {"abstained": True}},
                  {"schema": "skinsight.policy.v1", "abstain": {}}, {"schema": "skinsight.policy.v3"},
                  {"schema": "skinsight.policy.v1"}, {"reviews": policy["review"]}):
        expect(Schema("policy").complaints({**policy, **wrong}), f"a policy with {wrong} passes")
    first = {name: policy[name] for name in policy if name != "review"}
    expect_fits("policy", {**first, "schema": "skinsight.policy.v1", "abstain": {"confidence_below": 0.5}}, "of version 1")
    expect_fits("policy", {**policy, "abstain": {}}, "a policy that never abstains")


if __name__ == "__main__":
    harness.main([test_the_schemas_refuse, test_the_readers_records, test_policy, test_job_and_answer, test_error_and_letter], "kafka")

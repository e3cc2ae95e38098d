#!/usr/bin/env python3
"""test_checker.py: the checker of invariants itself: silent on a sound run, and loud on each thing that can be wrong.

A run is made once, by a real worker; then a doubled answer is written by kcat, and copies of what was read are
spoilt one way at a time.
"""
import json
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "support"))
import harness
import invariants
from harness import expect


def changed(record, **fields):
    return record._replace(**fields)


def changed_answer(record, change):
    answer = json.loads(record.value)
    change(answer)
    return changed(record, value=json.dumps(answer).encode())


def rename_class(answer):
    answer["prediction"]["primary_diagnosis"] = "wart"


def spoil_digest(answer):
    answer["prediction"]["attention_map_sha256"] = "0" * 64


def drop_map(answer):
    answer["prediction"]["attention_map_url"] = None


def swap_patient(answer):
    answer["context"] = {"site": "another"}


def abstain(answer):
    answer["prediction"].update(abstained=True, abstain_reasons=[])


def ask_without_a_reason(answer):
    answer["prediction"]["review"] = {"within_h": 48, "reasons": []}


def give_up_reading(answer):
    answer["error"]["code"] = "record_unreadable"


def invent_code(answer):
    answer["error"]["code"] = "bad_luck"


def spoiled_runs(jobs, answers, letters):
    """(what is wrong, a word of the complaint, jobs, answers, letters)"""
    good = next(record for record in answers if b'"prediction":{' in record.value)
    bad = next(record for record in answers if b'"error":{' in record.value)
    others = [record for record in answers if record not in (good, bad)]
    letter = letters[0]
    yield "an answer is missing", "0 terminal", jobs, [bad, *others], letters
    yield "an answer stands there twice", "2 terminal", jobs, [good, *answers], letters
    yield "a job is not known", "no job record", jobs[1:], answers, letters
    yield "another key", "key", jobs, [changed(good, key=b"x"), bad, *others], letters
    yield "an empty key for a null one", "key", jobs, [good, changed(bad, key=b""), *others], letters
    yield "another diagnosis", "primary", jobs, [changed_answer(good, rename_class), bad, *others], letters
    yield "another patient", "context", jobs, [changed_answer(good, swap_patient), bad, *others], letters
    yield "no reason to abstain", "abstains", jobs, [changed_answer(good, abstain), bad, *others], letters
    yield "no reason for a look", "review", jobs, [changed_answer(good, ask_without_a_reason), bad, *others], letters
    yield "another digest", "digest", jobs, [changed_answer(good, spoil_digest), bad, *others], letters
    yield "no map, no reason", "no reason", jobs, [changed_answer(good, drop_map), bad, *others], letters
    yield "an unknown code", "contract", jobs, [good, changed_answer(bad, invent_code), *others], letters
    yield "given up, though it can be read", "can be read", jobs, [good, changed_answer(bad, give_up_reading), *others], letters
    yield "no dead letter", "0 dead letters", jobs, answers, []
    yield "two dead letters", "2 dead letters", jobs, answers, [letter, letter]
    yield "other bytes", "dead letter's key", jobs, answers, [changed(letter, value=letter.value + b" ")]
    headers = {**letter.headers, "value_omitted": b"true"}
    yield "no value though it fits", "dead letter's key", jobs, answers, [changed(letter, value=None, headers=headers)]
    headers = {**letter.headers, "error_code": b"internal"}
    yield "another reason", "dead letter says", jobs, answers, [changed(letter, headers=headers)]
    headers = {name: value for name, value in letter.headers.items() if name != "worker"}
    yield "a header is missing", "not whole", jobs, answers, [changed(letter, headers=headers)]


def expect_complaint(what, word, complaints):
    expect(any(word in sentence for sentence in complaints), f"{what}: the checker said {complaints}")


def test_spoiled_runs(stack):
    with stack.fleet("spoiled", partitions=2) as fleet:
        fleet.start("worker")
        fleet.submit("--wait", *harness.make_images(stack.folder / "pictures", 5))
        fleet.write_jobs([(None, b"no job")])
        fleet.wait_answers(6)
        fleet.check(jobs=6)
        jobs, answers, letters = fleet.jobs(), fleet.answers(), fleet.read("dead_letters_topic")
        for what, word, *spoiled in spoiled_runs(jobs, answers, letters):
            expect_complaint(what, word, invariants.check(*spoiled, fleet.read_object))
        for what, word, read_object in (
                ("no object", "does not exist", lambda uri: None),
                ("other bytes", "no PNG", lambda uri: b"other"),
                ("a bit turned", "checksum", lambda uri: fleet.read_object(uri).replace(b"IDAT", b"IDAU", 1)),
                ("cut off", "IEND", lambda uri: fleet.read_object(uri)[:-12])):
            expect_complaint(what, word, invariants.check(jobs, answers, letters, read_object))


def test_doubled_answer(stack):
    with stack.fleet("doubled", partitions=2) as fleet:
        fleet.start("worker")
        fleet.submit("--wait", *sorted(harness.DATA.glob("*.jpg")))
        fleet.check(jobs=8)
        answer = fleet.answers()[3]
        harness.write_topic(stack.brokers, fleet.topics["predictions_topic"], [(answer.key, answer.value)], 1)
        try:
            fleet.check()
        except harness.Failure as complaint:
            expect("2 terminal records" in str(complaint), f"the checker said {complaint}")
        else:
            raise harness.Failure("the checker did not see a doubled answer")


def test_arbitrary_bytes(stack):
    """What kcat writes and reads for us comes back byte for byte."""
    with stack.fleet("bytes", partitions=1) as fleet:
        records = [(None, b"{}"), (b"", b"x"), (b"key", b""), (bytes(range(256)), bytes(range(256)) * 3),
                   (b"a\nb", b"\n\n"), (b"large", b"\0" * 8_000_000)]
        fleet.write_jobs(records)
        got = [(record.key, record.value) for record in fleet.read("jobs_topic")]
        for number, (one, other) in enumerate(zip(got, records, strict=True)):
            expect(one == other, f"record {number} came back as {one[0]!r}: {one[1][:60]!r}")


if __name__ == "__main__":
    harness.main([test_arbitrary_bytes, test_spoiled_runs, test_doubled_answer], "kafka")

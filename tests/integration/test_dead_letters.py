#!/usr/bin/env python3
"""test_dead_letters.py: jobs that fail, their dead letters, and `dead-letters list|replay` once what was wrong is
mended.

What is replayed has the same bytes and goes to the topic it came from; its answer says that it was replayed; a replay
is told since when, and tells what the next one says to leave these out; jobs that killed their worker stay where they
are unless force is used; and what was not mended fails again.
"""
import hashlib
import json
import pathlib
import re
import sys
import time
import uuid

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "support"))
import harness
from harness import expect, expect_equal, flags

HOPELESS = [(b"no uuid", b"{"), (None, b"no JSON either"), (b"empty", b"")]


def dead_letters(fleet, *arguments, **options):
    return harness.run("producer", "dead-letters", *arguments, *flags({**fleet.producer_options, **options}),
                       env=fleet.env())


def read_lines(done):
    expect_equal(done.returncode, 0, f"exit code; it said {done.stderr}")
    return [json.loads(line) for line in done.stdout.splitlines()]


def letters(fleet, **options):
    return read_lines(dead_letters(fleet, "list", "--json", **options))


def replay(fleet, *arguments, **options):
    """The letters sent, and what was said on standard error. Of any time, unless the options say since when."""
    arguments = arguments if "since" in options else ("--all", *arguments)
    done = dead_letters(fleet, "replay", "--json", *arguments, **options)
    return read_lines(done), done.stderr


class StoredJob:
    """A job whose image is to be found in the object store, once put() was called."""

    def __init__(self, fleet, image):
        digest = hashlib.sha256(image).hexdigest()
        self.request_id = str(uuid.uuid4())
        self.image = image
        self.path = pathlib.Path(f"{fleet.objects}/images/{digest}.jpg".replace("file://", "", 1))
        fields = {"schema": "skinsight.job.v1", "request_id": self.request_id, "image_uri": f"file://{self.path}",
                  "image_sha256": digest}
        self.record = (self.request_id.encode(), json.dumps(fields).encode())

    def put(self):
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self.path.write_bytes(self.image)


def place(record):
    return record.topic, record.partition, record.offset


def answers_by_place(fleet):
    found = {}
    for record in fleet.answers():
        answer = json.loads(record.value)
        found[tuple(answer["provenance"]["source"].values())] = answer
    return found


def new_jobs(fleet, before):
    old = {place(record) for record in before}
    return [record for record in fleet.jobs() if place(record) not in old]


def record_headers(stack, record):
    return harness.kcat(stack.brokers, "-C", "-q", "-t", record.topic, "-p", str(record.partition), "-o",
                        str(record.offset), "-c", "1", "-e", "-f", "%h").decode()


def check_filters(fleet, every, between, urgent):
    """every: two letters from before `between`, the three hopeless ones after it. urgent: one of the first two."""
    expect_equal(letters(fleet, reason="invalid_json"), every[2:], "filter by reason")
    expect_equal(letters(fleet, since=between), every[2:], "filter by the first moment")
    expect_equal(letters(fleet, until=between), every[:2], "filter by the last moment")
    expect_equal(letters(fleet, since="2090-01-01"), [], "letters of the future")
    for options in ({"request_id": urgent.request_id.upper()}, {"topic": fleet.topics["urgent_jobs_topic"]}):
        expect_equal([letter["request_id"] for letter in letters(fleet, **options)], [urgent.request_id],
                     f"filter {options}")


def check_replayed_record(stack, record, line, job):
    """record: of a job topic; line: what replay said of it; job: what was sent at first."""
    expect_equal((record.key, record.value), job.record, "key and value of the replayed record")
    expect_equal(line["replayed_to"], {"topic": record.topic, "partition": record.partition, "offset": record.offset},
                 "where replay says it went")
    expect_equal(record.topic, line["source"]["topic"], "topic of the replayed record")
    expect_equal(record_headers(stack, record), f"replayed=true,replayed_from={line['partition']}/{line['offset']}",
                 "headers of the replayed record")


def check_table(fleet, request_id):
    table = dead_letters(fleet, "list").stdout
    expect(table.startswith("failed at") and request_id in table and table.endswith("\n5 letters\n"), table)
    dry = dead_letters(fleet, "replay", "--all", "--dry-run").stdout
    expect(request_id in dry and dry.endswith("\n5 of 5 letters would be sent\n"), dry)


def test_list_mend_and_replay(stack):
    """Two jobs, one of them urgent, whose image comes only later, and three that nothing can mend."""
    image = sorted(harness.DATA.glob("*.jpg"))[0].read_bytes()
    with stack.fleet("letters", partitions=2) as fleet:
        fleet.start("worker", job_budget_ms=300).wait_ready()
        routine, urgent = StoredJob(fleet, image), StoredJob(fleet, harness.with_comment(image, "urgent"))
        fleet.write_jobs([routine.record])
        fleet.write_jobs([urgent.record], urgent=True)
        fleet.wait_answers(2)
        between = int(time.time() * 1000) + 1
        harness.wait_until(lambda: time.time() * 1000 > between, "the next letters are younger")
        fleet.write_jobs(HOPELESS, partition=1)
        fleet.wait_answers(5)
        fleet.check(jobs=5)

        before, every = fleet.jobs(), letters(fleet)
        expect_equal([letter["error_code"] for letter in every], 2 * ["image_unavailable"] + 3 * ["invalid_json"],
                     "codes in the order of failing")
        expect_equal({letter["request_id"] for letter in every[:2]}, {routine.request_id, urgent.request_id}, "ids")
        expect_equal({tuple(letter["source"].values()) for letter in every}, {place(record) for record in before},
                     "sources")
        check_filters(fleet, every, between, urgent)
        check_table(fleet, routine.request_id)
        expect_equal(replay(fleet, "--dry-run", reason="image_unavailable")[0], every[:2], "a dry run")
        expect_equal(fleet.jobs(), before, "job records after dry runs")

        routine.put()
        urgent.put()
        sent, said = replay(fleet, reason="image_unavailable")
        lines = {line["request_id"]: line for line in sent}
        records = {record.key.decode(): record for record in new_jobs(fleet, before)}
        expect_equal(records.keys(), lines.keys(), "replayed jobs")
        since = re.search(r"--since (\S+) leaves out what was sent now", said)
        expect(since, f"it does not say since when the next letters are: {said}")
        expect_equal(replay(fleet, "--dry-run", since=since[1])[0], every[2:], "letters of a replay behind this one")
        for job in (routine, urgent):
            check_replayed_record(stack, records[job.request_id], lines[job.request_id], job)
        fleet.wait_answers(7)
        fleet.check(jobs=7)
        found = answers_by_place(fleet)
        expect(not any("replayed" in found[place(record)]["provenance"] for record in before), "replayed at first")
        for record in records.values():
            answer = found[place(record)]
            expect("prediction" in answer, f"the mended job failed: {answer.get('error')}")
            expect_equal(answer["provenance"].get("replayed"), True, "provenance.replayed")


def test_replayed_in_vain(stack):
    """Jobs that nothing can mend fail again, with the same bytes; of several letters of a job one is sent."""
    with stack.fleet("hopeless", partitions=1) as fleet:
        fleet.start("worker").wait_ready()
        fleet.write_jobs(HOPELESS)
        for round_ in (1, 2):
            fleet.wait_answers(3 * round_)
            fleet.check(jobs=3 * round_)
            marked = [letter for letter in fleet.read("dead_letters_topic") if letter.headers.get("replayed") == b"true"]
            expect_equal(len(marked), 3 * (round_ - 1), "letters that say they are of a replayed job")
            lines, said = replay(fleet, reason="invalid_json")
            expect_equal(len(lines), 3, "jobs replayed")
            expect_equal("not sent: a later letter holds the same job" in said, round_ == 2, f"it said {said}")
        fleet.wait_answers(9)
        fleet.check(jobs=9)
        sent = sorted(((record.key, record.value) for record in fleet.jobs()), key=repr)
        expect_equal(sent, sorted(3 * HOPELESS, key=repr), "keys and values, null and empty ones among them")


def convict(fleet, job):
    """Workers, one after the other, until one of them is not killed by the job."""
    for attempt in range(8):
        worker = fleet.start(f"victim{attempt}", instance="victim",
                             environment={"SKINSIGHT_TEST_ABORT_ON": hashlib.sha256(job.image).hexdigest()[:16]})
        harness.wait_until(lambda: not worker.alive() or fleet.answers(), "the worker dies or convicts the job")
        if worker.alive():
            worker.stop()
            return
    raise harness.Failure("the job was never convicted")


def test_killers_stay(stack):
    """A job that kills its workers is not replayed, but by force."""
    with stack.fleet("killers", partitions=1) as fleet:
        job = StoredJob(fleet, sorted(harness.DATA.glob("*.jpg"))[1].read_bytes())
        job.put()
        job.record = (job.request_id.upper().encode(), job.record[1])
        fleet.write_jobs([job.record])
        convict(fleet, job)
        expect_equal(json.loads(fleet.answers()[0].value)["request_id"], job.request_id, "request id, in lower case")
        expect_equal([letter["error_code"] for letter in letters(fleet)], ["worker_killed"], "letters")
        lines, said = replay(fleet)
        expect(not lines and "--force-killers" in said, f"without force: {lines}, {said}")
        expect_equal(len(fleet.jobs()), 1, "job records")
        fleet.start("mended").wait_ready()
        expect_equal([line["request_id"] for line in replay(fleet, "--force-killers")[0]], [job.request_id], "by force")
        fleet.wait_answers(2)
        fleet.check(jobs=2)
        answer = json.loads(fleet.answers()[-1].value)
        expect_equal((answer["provenance"].get("replayed"), "prediction" in answer), (True, True), "its answer")


def test_wrong_usage(stack):
    with stack.fleet("usage", topics=False) as fleet:
        for arguments in (["show"], ["list", "--dry-run"], ["list", "--reason", "nonsense"], ["list", "--since", "soon"],
                          ["replay", "--request-id", "7", "--all"], [], ["list", "--all"], ["replay", "--dry-run"],
                          ["replay", "--all", "--since", "2026-11-23"]):
            expect_equal(dead_letters(fleet, *arguments).returncode, 2, f"exit code of {' '.join(arguments)}")
        done = dead_letters(fleet, "list")
        expect_equal(done.returncode, 1, "exit code without a topic")
        expect("topics --create" in done.stderr, f"it said {done.stderr}")


if __name__ == "__main__":
    harness.main([test_list_mend_and_replay, test_replayed_in_vain, test_killers_stay, test_wrong_usage], "kafka")

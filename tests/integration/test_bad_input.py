#!/usr/bin/env python3
"""test_bad_input.py: whatever bytes come as a job, there is one answer with the right code and one dead letter.

The records are written by kcat. The checker compares each dead letter with its record byte for byte, key and
value and headers; here stand the inputs and the codes they must get. Behind all of them stands a good job, which
must be answered as ever.
"""
import base64
import hashlib
import json
import pathlib
import random
import sys
import time
import uuid

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "support"))
import harness
from harness import expect, expect_equal

IMAGE_LIMIT = 1_000_000
PIXEL_LIMIT = 1_000_000
PICTURE = (harness.DATA / "ISIC_0000548.jpg").read_bytes()
CMYK = (harness.ROOT / "tests/golden/jpeg/cmyk.jpg").read_bytes()
PROGRESSIVE = (harness.ROOT / "tests/golden/jpeg/progressive_grey.jpg").read_bytes()


def text64(data):
    return base64.b64encode(data).decode()


def now_ms():
    return int(time.time() * 1000)


def job(**fields):
    """A good job's fields, replaced by those given; None takes a field away."""
    record = {"schema": "skinsight.job.v1", "request_id": str(uuid.uuid4()), "image": text64(PICTURE),
              "submitted_at": now_ms(), **fields}
    return {name: value for name, value in record.items() if value is not None}


def encoded(record):
    return record if isinstance(record, bytes) else json.dumps(record).encode()


def stored(uri, digest="0" * 64, **fields):
    return job(image=None, image_uri=uri, image_sha256=digest, **fields)


def with_size(jpeg, width, height, frame=b"\xff\xc0"):
    """The same file, but its frame header claims another size."""
    at = jpeg.index(frame) + 5
    return jpeg[:at] + height.to_bytes(2, "big") + width.to_bytes(2, "big") + jpeg[at + 4:]


def with_scans(jpeg, count):
    """The same file, but its last scan comes so many times."""
    scan, end = jpeg.rindex(b"\xff\xda"), jpeg.rindex(b"\xff\xd9")
    return jpeg[:scan] + count * jpeg[scan:end] + jpeg[end:]


def with_frame(jpeg, marker=0xC0, bits=8):
    """The same file, but its frame header claims another process or another depth."""
    at = jpeg.index(b"\xff\xc0")
    return jpeg[:at + 1] + bytes([marker]) + jpeg[at + 2:at + 4] + bytes([bits]) + jpeg[at + 5:]


IMAGES = [
    ("truncated", job(image=text64(PICTURE[:len(PICTURE) // 2])), "image_undecodable"),
    ("cut in the header", job(image=text64(PICTURE[:100])), "image_undecodable"),
    ("text", job(image=text64(b"this is no picture")), "image_undecodable"),
    ("PNG signature", job(image=text64(b"\x89PNG\r\n\x1a\n" + bytes(100))), "image_undecodable"),
    ("0 bytes", job(image=""), "image_undecodable"),
    ("CMYK", job(image=text64(CMYK)), "image_undecodable"),
    ("20,000 x 20,000", job(image=text64(with_size(PICTURE, 20000, 20000))), "image_too_large"),
    ("490 scans of 1,000 x 1,000", job(image=text64(with_scans(with_size(PROGRESSIVE, 1000, 1000, b"\xff\xc2"), 490))),
     "image_too_large"),
    ("no pixels", job(image=text64(with_size(PICTURE, 0, 0))), "image_undecodable"),
    ("12 bits", job(image=text64(with_frame(PICTURE, 0xC1, 12))), "image_undecodable"),
    ("lossless", job(image=text64(with_frame(PICTURE, 0xC3))), "image_undecodable"),
    ("hierarchical", job(image=text64(with_frame(PICTURE, 0xC5))), "image_undecodable"),
    ("one byte over the limit", job(image=text64(PICTURE + bytes(IMAGE_LIMIT + 1 - len(PICTURE)))), "image_too_large"),
    ("over the limit", job(image=text64(PICTURE + bytes(IMAGE_LIMIT))), "image_too_large"),
    ("far over the limit", job(image=text64(bytes(6_000_000))), "image_too_large"),
    ("base64 with a space", job(image=text64(PICTURE)[:1000] + " " + text64(PICTURE)[1000:]), "invalid_field"),
    ("base64 with line breaks", job(image=base64.encodebytes(PICTURE).decode()), "invalid_field"),
    ("base64 of the URL alphabet", job(image="_-" * 40), "invalid_field"),
    ("base64 that ends early", job(image="AAAAA"), "invalid_field"),
    ("base64 with bits left over", job(image="/9h="), "invalid_field"),
    ("base64 after its padding", job(image="AA==AA=="), "invalid_field"),
    ("another digest", job(image_sha256="0" * 64), "image_digest_mismatch"),
]

RECORDS = [
    ("empty value", b"", "invalid_json"),
    ("no JSON", b"hello", "invalid_json"),
    ("cut JSON", encoded(job())[:-1], "invalid_json"),
    ("two objects", b"{} {}", "invalid_json"),
    ("an array", b"[1, 2]", "invalid_json"),
    ("zeros", bytes(64), "invalid_json"),
    ("no UTF-8", b'{"schema": "\xff\xfe"}', "invalid_json"),
    ("deep", b"[" * 100_000, "invalid_json"),
    ("8 MB of nothing", bytes(8_000_000), "invalid_json"),
    ("8 MB of text", b'"' + b"x" * 8_000_000 + b'"', "invalid_json"),
    ("a mark of the byte order", b"\xef\xbb\xbf" + encoded(job()), "invalid_json"),
    ("a NUL behind it", encoded(job()) + b"\0", "invalid_json"),
    ("NaN", encoded(job(submitted_at=float("nan"))), "invalid_json"),
    ("half a surrogate pair", encoded(job(other="\ud800")), "invalid_json"),
    ("no schema", job(schema=None), "unsupported_schema"),
    ("unknown schema", job(schema="skinsight.job.v9"), "unsupported_schema"),
    ("schema of another type", job(schema=1), "unsupported_schema"),
]

FIELDS = [
    ("no request id", job(request_id=None), "invalid_field"),
    ("request id no UUID", job(request_id="12345"), "invalid_field"),
    ("request id a number", job(request_id=7), "invalid_field"),
    ("no image", job(image=None), "invalid_field"),
    ("image and URI", stored("file:///x") | {"image": text64(PICTURE)}, "invalid_field"),
    ("image a number", job(image=5), "invalid_field"),
    ("image null", encoded(job()).replace(json.dumps(text64(PICTURE)).encode(), b"null"), "invalid_field"),
    ("URI without digest", stored("file:///x", digest=None), "invalid_field"),
    ("digest too short", job(image_sha256="abc"), "invalid_field"),
    ("digest in capitals", job(image_sha256=hashlib.sha256(PICTURE).hexdigest().upper()), "invalid_field"),
    ("metadata a list", job(metadata=[]), "invalid_field"),
    ("age below 0", job(metadata={"patient_age": -1}), "invalid_field"),
    ("age a text", job(metadata={"patient_age": "54"}), "invalid_field"),
    ("skin type 7", job(metadata={"fitzpatrick_type": 7}), "invalid_field"),
    ("location with a quote", job(metadata={"lesion_location": 'back"'}), "invalid_field"),
    ("location too long", job(metadata={"lesion_location": "x" * 65}), "invalid_field"),
    ("dermatoscope a number", job(metadata={"dermatoscope_attached": 1}), "invalid_field"),
    ("deadline a text", job(deadline_at="soon"), "invalid_field"),
    ("deadline a fraction", job(deadline_at=1.5), "invalid_field"),
    ("a field twice", encoded(job())[:-1] + b', "image": "AAAA"}', "invalid_field"),
    ("request id in braces", job(request_id=f"{{{uuid.uuid4()}}}"), "invalid_field"),
    ("trace of nothing", job(traceparent="00-x"), "invalid_field"),
    ("deadline below 0", job(deadline_at=-1), "invalid_field"),
    ("deadline too large", job(deadline_at=2**53), "invalid_field"),
    ("unknown model", job(model_version="vit-base-v9.9.9"), "unknown_model"),
    ("deadline long past", job(deadline_at=1), "deadline_exceeded"),
]


def run_cases(fleet, worker, cases):
    """Writes the cases, then a good job; each must get its code. cases: (name, key, value, code)"""
    good = job()
    fleet.write_jobs([(key, encoded(value)) for _, key, value, _ in cases])
    fleet.write_jobs([(b"good", encoded(good))])
    fleet.wait_answers(len(cases) + 1)
    answers = {}
    for record in fleet.answers():
        answer = json.loads(record.value)
        answers[answer["provenance"]["source"]["offset"]] = answer
    for offset, (name, _, value, code) in enumerate(cases):
        answer = answers[offset]
        expect_equal(answer.get("error", {}).get("code"), code, f"code of '{name}' ({answer.get('error')})")
        wanted = value.get("request_id") if isinstance(value, dict) else None
        if isinstance(wanted, str) and len(wanted) == 36 and code != "invalid_json":
            expect_equal(answer["request_id"], wanted, f"request id of '{name}'")
    expect("prediction" in answers[len(cases)], "the good job behind them was not answered by a prediction")
    expect(worker.alive(), "the worker is gone")
    fleet.check(jobs=len(cases) + 1)
    expect_equal(worker.metric("skinsight_dead_letters_total"), len(cases), "dead letters counted")


def start(fleet, **options):
    return fleet.start("worker", max_image_bytes=IMAGE_LIMIT, max_image_pixels=PIXEL_LIMIT, **options)


def test_records(stack):
    """Images, records and fields that are wrong, under a key each."""
    with stack.fleet("records", partitions=1) as fleet:
        cases = [(name, name.encode(), value, code) for name, value, code in IMAGES + RECORDS + FIELDS]
        run_cases(fleet, start(fleet), cases)
        answers = {answer["error"]["code"]: answer for answer in (json.loads(record.value) for record in fleet.answers()) if "error" in answer}
        model = answers["unknown_model"]
        expect("vit-tiny-v0.1.0" in model["error"]["message"], f"no loaded model in {model['error']}")
        expect_equal([answers[code]["provenance"].get("model_version") for code in ("unknown_model", "invalid_json", "image_undecodable")],
                     [None, None, "vit-tiny-v0.1.0"], "whose errors they are")


def test_keys(stack):
    """The answer has the record's key, and a dead letter too, whatever that is."""
    keys = [None, b"", b"\0", bytes(range(256)), b"\xff\xfe" * 500, b"line\nbreak", b"k" * 20_000]
    with stack.fleet("keys", partitions=1) as fleet:
        worker = start(fleet)
        run_cases(fleet, worker, [(f"key {key!r}"[:40], key, b"broken", "invalid_json") for key in keys])
        fleet.write_jobs([(key, encoded(job())) for key in keys])
        fleet.wait_answers(2 * len(keys) + 1)
        fleet.check(jobs=2 * len(keys) + 1)
        answers = [json.loads(record.value) for record in fleet.answers()]
        expect_equal(sum("prediction" in answer for answer in answers), len(keys) + 1, "good jobs answered")


def test_key_over_the_limit(stack):
    """64 KiB come back; a byte more is told of, and left out where the broker might refuse it."""
    with stack.fleet("long-key", partitions=1) as fleet:
        start(fleet)
        jobs = [(b"k" * 65536, encoded(job())), (b"k" * 65537, encoded(job()))]
        fleet.write_jobs(jobs)
        answers = [(json.loads(record.value), record.key) for record in fleet.wait_answers(2)]
        found = {answer["provenance"]["source"]["offset"]: (key, answer.get("error", {}).get("code"))
                 for answer, key in answers}
        expect_equal(found, {0: (jobs[0][0], None), 1: (None, "invalid_field")}, "keys and codes")
        letter, = fleet.read("dead_letters_topic")
        expect(letter.key is None and letter.value == jobs[1][1] and letter.headers.get("key_omitted") == b"true",
               f"the dead letter: key {letter.key!r}, headers {letter.headers}")


def test_letter_over_the_limit(stack):
    """Where the dead letters' topic takes only smaller records than the jobs', a letter comes without its value."""
    with stack.fleet("large-letter", topics=False) as fleet:
        harness.create_topic(stack.brokers, fleet.topics["dead_letters_topic"], max_message_bytes=1_000_000)
        fleet.create_topics(1)
        worker = fleet.start("worker")
        text = text64(random.Random(1).randbytes(2_000_000))  # which no compression makes small enough
        fleet.write_jobs([(b"large", encoded(job(image=text))), (b"small", b"{"), (b"good", encoded(job()))])
        fleet.wait_answers(3)
        fleet.check(jobs=3, omitted={(fleet.topics["jobs_topic"], 0, 0)})
        expect_equal(worker.metric("skinsight_job_errors_total", 'code="image_undecodable"'), 1, "the large job's code")


def test_null_value(stack):
    """A tombstone is a record like any other."""
    with stack.fleet("tombstone", partitions=1) as fleet:
        worker = start(fleet)
        line = stack.folder / "tombstone"
        line.write_text("gone:\n")
        harness.kcat(stack.brokers, "-P", "-t", fleet.topics["jobs_topic"], "-p", "0", "-K:", "-Z", "-l", str(line))
        expect_equal(fleet.jobs()[0].value, None, "value of the record")
        fleet.write_jobs([(b"good", encoded(job()))])
        answers = [json.loads(record.value) for record in fleet.wait_answers(2)]
        expect_equal(sorted(answer.get("error", {}).get("code", "") for answer in answers), ["", "invalid_json"],
                     "answers")
        fleet.check(jobs=2)
        expect(worker.alive(), "the worker is gone")


def store(fleet, name, data):
    """Puts an object behind the worker's back; its URI."""
    path = pathlib.Path(fleet.objects.removeprefix("file://")) / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    return f"{fleet.objects}/{name}"


def test_stored_images_in_files(stack):
    digest = hashlib.sha256(PICTURE).hexdigest()
    with stack.fleet("stored", partitions=1) as fleet:
        root = fleet.objects
        large, folder = bytes(IMAGE_LIMIT + 1), pathlib.Path(root.removeprefix("file://"))
        good_uri = store(fleet, "images/good.jpg", PICTURE)
        outside = stack.folder / "outside.jpg"
        outside.write_bytes(PICTURE)
        (folder / "images/link.jpg").symlink_to(outside)
        (folder / "linked").symlink_to(stack.folder)
        secret = hashlib.sha256(pathlib.Path("/etc/passwd").read_bytes()).hexdigest()
        worker = start(fleet)
        cases = [
            ("no such object", stored(f"{root}/images/none.jpg", digest), "image_unavailable"),
            ("another digest", stored(good_uri), "image_digest_mismatch"),
            ("an object of 0 bytes", stored(store(fleet, "images/0", b""), hashlib.sha256(b"").hexdigest()),
             "image_undecodable"),
            ("an object over the limit", stored(store(fleet, "images/large", large),
                                                hashlib.sha256(large).hexdigest()), "image_too_large"),
            ("a folder", stored(f"{root}/images", digest), "image_unavailable"),
            ("/etc/passwd", stored("file:///etc/passwd", secret), "invalid_field"),
            ("another root", stored(f"file://{outside}", digest), "invalid_field"),
            ("a root that begins alike", stored(f"{root}-other/good.jpg", digest), "invalid_field"),
            ("the root itself", stored(root, digest), "invalid_field"),
            ("dots", stored(f"{root}/images/../../outside.jpg", digest), "invalid_field"),
            ("dots that stay inside", stored(f"{root}/images/../images/good.jpg", digest), "invalid_field"),
            ("one dot", stored(f"{root}/images/./good.jpg", digest), "invalid_field"),
            ("two slashes", stored(f"{root}//images/good.jpg", digest), "invalid_field"),
            ("encoded dots", stored(f"{root}/images/%2e%2e/%2e%2e/outside.jpg", digest), "invalid_field"),
            ("an encoded letter", stored(f"{root}/images/g%6fod.jpg", digest), "invalid_field"),
            ("a NUL", stored(f"{good_uri}\0", digest), "invalid_json"),
            ("a query", stored(f"{good_uri}?x=1", digest), "invalid_field"),
            ("a link to a file outside", stored(f"{root}/images/link.jpg", digest), "image_unavailable"),
            ("a link to a folder outside", stored(f"{root}/linked/outside.jpg", digest), "image_unavailable"),
            ("another scheme", stored("http://127.0.0.1/x.jpg", digest), "invalid_field"),
            ("S3", stored("s3://skinsight/x.jpg", digest), "invalid_field"),
            ("a relative path", stored("images/good.jpg", digest), "invalid_field"),
            ("a URI of 5,000 characters", stored(f"{root}/{'x' * 5000}", digest), "invalid_field"),
        ]
        run_cases(fleet, worker, [(name, name.encode(), value, code) for name, value, code in cases])


def test_stored_images_in_s3(stack):
    digest = hashlib.sha256(PICTURE).hexdigest()
    with stack.fleet("kept", partitions=1, objects="s3://skinsight/kept") as fleet:
        fleet.submit(harness.DATA / "ISIC_0000548.jpg", inline_limit_bytes=0)
        uri = json.loads(fleet.jobs()[0].value)["image_uri"]
        fleet.start("first")
        fleet.wait_answers(1)
        fleet.workers[0].stop()
    bucket, large = stack.folder / "s3/objects/skinsight", bytes(IMAGE_LIMIT + 1)
    (bucket / "secret.jpg").write_bytes(PICTURE)
    (bucket / "other").mkdir()
    (bucket / "other/large.jpg").write_bytes(large)
    with stack.fleet("other", partitions=1, objects="s3://skinsight/other") as fleet:
        worker = start(fleet)
        cases = [
            ("no such object", stored("s3://skinsight/other/images/none.jpg", digest), "image_unavailable"),
            ("an object over the limit", stored("s3://skinsight/other/large.jpg", hashlib.sha256(large).hexdigest()),
             "image_too_large"),
            ("another prefix", stored(uri, digest), "invalid_field"),
            ("another bucket", stored("s3://elsewhere/other/x.jpg", digest), "invalid_field"),
            ("dots", stored("s3://skinsight/other/../secret.jpg", digest), "invalid_field"),
            ("encoded dots", stored("s3://skinsight/other/%2e%2e/secret.jpg", digest), "invalid_field"),
            ("a file", stored("file:///etc/passwd", digest), "invalid_field"),
            ("the server's own address", stored(f"{stack.env['S3_ENDPOINT']}/skinsight/other/x.jpg", digest),
             "invalid_field"),
        ]
        run_cases(fleet, worker, [(name, name.encode(), value, code) for name, value, code in cases])


if __name__ == "__main__":
    harness.main([test_records, test_keys, test_key_over_the_limit, test_letter_over_the_limit, test_null_value,
                  test_stored_images_in_files, test_stored_images_in_s3], "kafka", "s3")

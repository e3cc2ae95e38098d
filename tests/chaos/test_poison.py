#!/usr/bin/env python3
"""test_poison.py: bad images of 20 kinds among good ones, and one that ends the process that decodes it. The good ones
are answered, the bad ones by an error or by whatever a lenient decoder sees, and the killer is found within 6 deaths
and ends in the dead letters, convicted; nobody else is.

The long form: 10,000 jobs, 1 % of them bad, and 10 killers.
"""
import base64
import collections
import hashlib
import json
import pathlib
import re
import struct
import sys
import uuid

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "support"))
import chaos
from harness import expect, expect_equal

WORKERS, PARTITIONS, DEATHS = 2, 4, 6
GOOD = chaos.picture(1)
SCAN = GOOD.index(b"\xff\xda")


def with_frame(marker=0xc0, precision=8, height=8, width=8, components=3):
    """The good picture with another frame header."""
    at = GOOD.index(b"\xff\xc0")
    parts = b"".join(bytes([number, 0x11, 0]) for number in range(1, components + 1))
    frame = chaos.segment(marker, struct.pack(">BHHB", precision, height, width, components) + parts)
    return GOOD[:at] + frame + GOOD[at + 19:]


def without(marker):
    at = GOOD.index(bytes([0xff, marker]))
    return GOOD[:at] + GOOD[at + 2 + struct.unpack_from(">H", GOOD, at + 2)[0]:]


def poisons(random_):
    """{kind: bytes of an image}"""
    noise = bytes(random_.getrandbits(8) for _ in range(2000))
    return {"noise": noise, "only the start marker": b"\xff\xd8", "no image data": GOOD[:SCAN] + b"\xff\xd9",
            "cut in the frame header": GOOD[:GOOD.index(b"\xff\xc0") + 6], "cut in the scan": GOOD[:-4],
            "noise behind the scan header": GOOD[:SCAN + 14] + noise, "65535 x 65535": with_frame(height=65535, width=65535),
            "no width": with_frame(width=0), "no height": with_frame(height=0), "12 bits": with_frame(precision=12),
            "lossless": with_frame(marker=0xc3), "arithmetic coding": with_frame(marker=0xc9),
            "progressive in name only": with_frame(marker=0xc2), "4 components": with_frame(components=4),
            "255 components": with_frame(components=255), "no quantisation table": without(0xdb),
            "no Huffman table": without(0xc4), "segment longer than the file": GOOD[:4] + b"\xff\xff" + GOOD[6:],
            "a PNG": b"\x89PNG\r\n\x1a\n" + noise, "a web page": b"<html>" * 100}


def image_job(image, random_):
    request_id = str(uuid.UUID(int=random_.getrandbits(128), version=4))
    value = {"schema": "skinsight.job.v1", "request_id": request_id, "image": base64.b64encode(image).decode()}
    return request_id.encode(), json.dumps(value).encode()


def write(fleet, records):
    for partition in range(PARTITIONS):
        fleet.write_jobs(records[partition::PARTITIONS], partition=partition)


def test_poison_images(stack):
    random_ = stack.random
    jobs = stack.size(400, 10000)
    kinds = poisons(random_)
    expect_equal(len(kinds), 20, "kinds of poison")
    bad = [image_job(image, random_) for image in kinds.values()] * stack.size(1, 5)
    records = [chaos.job(number, random_) for number in range(jobs)] + bad
    random_.shuffle(records)
    with stack.fleet("poison", partitions=PARTITIONS) as fleet:
        herd = chaos.Herd(fleet, WORKERS, simulated_us="0,2000").wait_ready()
        write(fleet, records)
        chaos.wait_all(fleet, None, len(records), 200)
        expect(all(worker.alive() for worker in herd.workers), "an image ended a worker")
        answers = chaos.check(fleet, len(records), chaos.wanted_logits(range(jobs)))
        good = {chaos.picture(number) for number in range(jobs)}
        digests = {hashlib.sha256(image).hexdigest() for image in good}
        failed = [answer for answer in answers if "error" in answer]
        expect(not any(answer["provenance"].get("image_sha256") in digests for answer in failed), "a good image failed")
        codes = chaos.error_codes(answers)
        expect(set(codes) <= {"image_undecodable", "image_too_large", "invalid_field"}, f"errors {codes}")
        expect(len(failed) >= len(bad) * 14 // 20, f"only {len(failed)} of {len(bad)} bad images were refused")
        print(f"{len(records)} jobs, {len(bad)} bad images of {len(kinds)} kinds: {dict(codes)}", flush=True)


def deaths_by_job(fleet):
    """{(partition, offset): how many processes decoded it and ended}"""
    pattern = re.compile(r"event=ends_on_request topic=\d+ partition=(\d+) offset=(\d+)")
    return collections.Counter(place for worker in fleet.workers for place in pattern.findall(worker.log_text()))


def test_killers(stack):
    """One job in 1,000 aborts the process (in the short form one of 300)."""
    random_ = stack.random
    jobs, killers = stack.size(300, 10000), stack.size(1, 10)
    killer = chaos.solid_jpeg((100, 128, 128), comment=b"killer")
    records = [chaos.job(number, random_) for number in range(jobs)]
    for _ in range(killers):
        records.insert(random_.randrange(len(records)), image_job(killer, random_))
    with stack.fleet("killer", partitions=PARTITIONS) as fleet:
        herd = chaos.Herd(fleet, WORKERS, simulated_us="0,5000", session_timeout_ms=3000,
                          environment={"SKINSIGHT_TEST_ABORT_ON": hashlib.sha256(killer).hexdigest()}).wait_ready()
        write(fleet, records)
        chaos.wait_all(fleet, herd, len(records), 120 + 60 * killers)
        answers = chaos.check(fleet, len(records), chaos.wanted_logits(range(jobs)))
        deaths = herd.starts - WORKERS
        expect_equal(dict(chaos.error_codes(answers)), {"worker_killed": killers}, "errors")
        convicted = {letter.value for letter in fleet.read("dead_letters_topic")}
        expect(all(base64.b64encode(killer) in value for value in convicted), "an innocent was convicted")
        each = deaths_by_job(fleet)
        expect_equal(len(each), killers, "jobs that ended a process")
        expect(max(each.values()) <= DEATHS, f"deaths by job: {each}")
        print(f"{len(records)} jobs, {killers} killers: {deaths} deaths, {max(each.values())} at most for one job, all "
              f"convicted, nobody else", flush=True)


if __name__ == "__main__":
    chaos.main([test_poison_images, test_killers], "kafka")

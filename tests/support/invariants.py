"""invariants.py: what must hold between job records and their answers, checked from outside.

check() is given what an independent reader saw and returns one sentence per violation. It knows the contracts
and nothing of the worker: every job record has exactly one terminal record, under its own key; a prediction is
whole and its attention map exists, is named by its digest and is a sound PNG; an error has exactly one dead
letter with the record's bytes. Records are any objects with topic, partition, offset, key, value and headers.
"""
import collections
import hashlib
import json
import zlib

CODES = {"invalid_json", "unsupported_schema", "invalid_field", "image_too_large", "image_undecodable",
         "image_unavailable", "image_digest_mismatch", "unknown_model", "deadline_exceeded", "worker_killed",
         "record_unreadable", "internal"}
UNREADABLE = "record_unreadable"
ACTIONS = {"monitor", "routine_referral", "urgent_referral"}
REVIEW_REASONS = {"low_confidence", "abstained"}
REASONS = {"low_confidence", "out_of_distribution", "image_quality"}
MAP_SIZE = 224


def png_complaint(data, size=MAP_SIZE):
    """Why data is not a sound 8-bit RGB PNG of size x size; None when it is."""
    if data[:8] != b"\x89PNG\r\n\x1a\n":
        return "it is no PNG"
    at, kinds, pixels = 8, [], b""
    while at + 12 <= len(data):
        length = int.from_bytes(data[at:at + 4], "big")
        kind, body = data[at + 4:at + 8], data[at + 8:at + 8 + length]
        if zlib.crc32(kind + body).to_bytes(4, "big") != data[at + 8 + length:at + 12 + length]:
            return f"the checksum of chunk {kind!r} is wrong"
        if not kinds and (kind != b"IHDR" or body[:10] != size.to_bytes(4, "big") * 2 + b"\x08\x02"):
            return f"it is not {size}x{size} in 8-bit RGB"
        if kind == b"IDAT":
            pixels += body
        kinds.append(kind)
        at += 12 + length
    if at != len(data) or not kinds or kinds[-1] != b"IEND":
        return "it does not end with IEND"
    try:
        rows = zlib.decompress(pixels)
    except zlib.error as error:
        return f"its pixels can't be inflated: {error}"
    if len(rows) != size * (1 + 3 * size) or any(kind > 4 for kind in rows[::1 + 3 * size]):
        return "its rows are not what the header says"
    return None


def source_of(answer):
    source = answer["provenance"]["source"]
    return source["topic"], source["partition"], source["offset"]


def prediction_complaints(prediction):
    shares = [entry["probability"] for entry in prediction["differential"]]
    if len({entry["class"] for entry in prediction["differential"]}) != 8:
        yield "the differential does not hold 8 classes"
    if shares != sorted(shares, reverse=True) or abs(sum(shares) - 1) > 1e-5:
        yield f"the differential is not sorted or does not sum to 1: {shares}"
    if (prediction["primary_diagnosis"], prediction["confidence"]) != tuple(prediction["differential"][0].values()):
        yield "the primary diagnosis is not the first of the differential"
    abstained, reasons = prediction.get("abstained", False), prediction.get("abstain_reasons", [])  # of later builds
    if abstained != bool(reasons) or not set(reasons) <= REASONS:
        yield f"it abstains: {abstained}, for the reasons {reasons}"
    review = prediction.get("review", {"within_h": 1, "reasons": ["abstained"]})
    if review["within_h"] < 1 or not review["reasons"] or not set(review["reasons"]) <= REVIEW_REASONS:
        yield f"its review is {review}"
    if abstained and prediction["recommended_action"] == "monitor":
        yield "it abstains and asks for nobody's look"
    if prediction["recommended_action"] not in ACTIONS or not 0 <= prediction["risk_score"] <= 100:
        yield "the action or the risk score is not one that exists"


def attention_complaints(prediction, read_object, seen):
    """seen: objects already found sound, {uri: digest}."""
    uri = prediction["attention_map_url"]
    if uri is None:
        if not prediction.get("attention_map_error"):
            yield "there is no attention map and no reason"
        return
    digest = prediction["attention_map_sha256"]
    if uri not in seen:
        data = read_object(uri)
        if data is None:
            yield f"{uri} does not exist"
            return
        complaint = png_complaint(data)
        if complaint:
            yield f"{uri}: {complaint}"
        seen[uri] = hashlib.sha256(data).hexdigest()
    if seen[uri] != digest:
        yield f"{uri} has digest {seen[uri]}, the answer says {digest}"


def dead_letter_complaints(job, answer, letters, omitted):
    """omitted: the broker refuses a letter of that size, so it has to be without its value, and only then."""
    if len(letters) != 1:
        yield f"{len(letters)} dead letters instead of one"
        return
    letter, error = letters[0], answer["error"]
    if letter.key != job.key or letter.value != (None if omitted else job.value):
        yield "the dead letter's key or value is not the record's"
    if (letter.headers.get("value_omitted") == b"true") != omitted:
        yield f"the dead letter's value_omitted is {letter.headers.get('value_omitted')}"
    if letter.headers.get("error_code") != error["code"].encode():
        yield f"the dead letter says {letter.headers.get('error_code')}, the answer {error['code']}"
    if letter.headers.get("error_message") != error["message"].encode():
        yield "the dead letter's sentence is not the answer's"
    if not letter.headers.get("failed_at", b"").isdigit() or not letter.headers.get("worker"):
        yield f"the dead letter's headers are not whole: {letter.headers}"
    if error["code"] == UNREADABLE and letter.headers.get("key_omitted") != b"true":
        yield "the dead letter of a record that can't be read does not say that its key is left out"


def request_id_of(job):
    try:
        return json.loads(job.value)["request_id"].lower()
    except (ValueError, KeyError, TypeError, AttributeError):
        return None


def context_of(job):
    """What the answer may say about the patient, out of the job."""
    record = json.loads(job.value)
    metadata = record.get("metadata", {})
    said = {name: record.get(name) for name in ("site", "subject")}
    said |= {name: metadata.get(name) for name in ("capture_device", "dermatoscope_attached", "fitzpatrick_type",
                                                   "lesion_location")}
    if "patient_age" in metadata:
        said["age_decade"] = min(metadata["patient_age"] // 10 * 10, 90)
    return {name: value for name, value in said.items() if value not in (None, "")}


def answer_complaints(job, record, letters, omitted, read_object, seen):
    answer = json.loads(record.value)
    if record.key != job.key:
        yield f"the answer's key {record.key!r} is not the record's {job.key!r}"
    if answer["schema"] != "skinsight.prediction.v1" or ("error" in answer) == ("prediction" in answer):
        yield "the answer is neither a prediction nor an error"
        return
    if "error" in answer:
        if answer["error"]["code"] not in CODES or not answer["error"]["message"]:
            yield f"the error is not one of the contract: {answer['error']}"
        yield from dead_letter_complaints(job, answer, letters, omitted)
        return
    if answer["request_id"] != request_id_of(job):
        yield f"the answer is for request {answer['request_id']}"
    if answer.get("context", {}) != context_of(job):
        yield f"its context is {answer.get('context')}, the job's {context_of(job)}"
    if letters:
        yield "it has a dead letter and a prediction"
    yield from prediction_complaints(answer["prediction"])
    yield from attention_complaints(answer["prediction"], read_object, seen)


def letter_source(letter):
    headers = letter.headers
    return (headers["source_topic"].decode(), int(headers["source_partition"]), int(headers["source_offset"]))


def unreadable_complaints(record, unreadable):
    answer = json.loads(record.value)
    code = answer.get("error", {}).get("code")
    if (code == UNREADABLE) != unreadable:
        yield f"the error's code is {code}, and the record can{'not' if unreadable else ''} be read"
    if unreadable and answer["request_id"] is not None:
        yield f"nobody can know that its request is {answer['request_id']}"


def check(jobs, answers, dead_letters, read_object, omitted=(), unreadable=()):
    """One sentence per violation. read_object(uri) gives an object's bytes or None; omitted: the places of the jobs
    whose letters are too large for their topic; unreadable: of those that no client can read, which are given with
    neither key nor value."""
    complaints, seen = [], {}
    answers_of, letters_of = collections.defaultdict(list), collections.defaultdict(list)
    for record in answers:
        answers_of[source_of(json.loads(record.value))].append(record)
    for letter in dead_letters:
        letters_of[letter_source(letter)].append(letter)
    for job in jobs:
        place = (job.topic, job.partition, job.offset)
        own = answers_of.pop(place, [])
        letters = letters_of.pop(place, [])
        found = [f"{len(own)} terminal records instead of one"] if len(own) != 1 else []
        for record in own:
            without = place in omitted or place in unreadable
            found += answer_complaints(job, record, letters, without, read_object, seen)
            found += unreadable_complaints(record, place in unreadable)
        complaints += [f"{'/'.join(map(str, place))}: {sentence}" for sentence in found]
    complaints += [f"an answer to {place}, which is no job record" for place in answers_of]
    complaints += [f"a dead letter of {place}, which is no job record" for place in letters_of]
    return complaints

"""labels.py: answers and the labels that come back for them, as records for Kafka, and what listen has to make of them,
computed from the rules of docs/FORMATS.md by a program of its own: tables and sorting, no streams and no SQL.
"""
import collections
import csv
import hashlib
import io
import json
import time
import uuid

CODES = ["MEL", "NV", "BCC", "AK", "BKL", "DF", "VASC", "SCC"]
LABELS = CODES + ["OTHER", "UNGRADABLE"]
CERTAINTIES = ["histopathology", "confocal", "consensus", "follow_up", "clinician"]
REVIEWED_AT = 1_795_000_000_000
COLUMNS = ["file", "label", "lesion_id", "patient_id", "atypical", "certainty", "clinic"]


def picture(number):
    """An image's bytes: nobody decodes them."""
    return b"\xff\xd8 picture %d \xff\xd9" % number


def digest(data):
    return hashlib.sha256(data).hexdigest()


def new_uuid(random):
    return str(uuid.UUID(int=random.getrandbits(128), version=4))


def answer(request_id, image_sha256, site, subject, failed=False):
    result = ({"error": {"code": "image_undecodable", "message": "it is no JPEG"}} if failed else
              {"prediction": {"primary_diagnosis": "melanoma", "confidence": 0.5, "risk_score": 50,
                              "recommended_action": "monitor"}})
    context = {"context": {"site": site, "subject": subject}} if site else {}
    return {"schema": "skinsight.prediction.v1", "request_id": request_id, **result, **context,
            "provenance": {"source": {"topic": "jobs", "partition": 0, "offset": 7}, "image_sha256": image_sha256}}


def answer_record(request_id, image_sha256):
    return request_id.encode(), json.dumps(answer(request_id, image_sha256, "north", digest(request_id.encode()))).encode()


def plain_record(feedback_id, request_id, number):
    return request_id.encode(), json.dumps({
        "schema": "skinsight.feedback.v1", "feedback_id": feedback_id, "request_id": request_id, "label": CODES[number % 8],
        "certainty": CERTAINTIES[number % 5], "reviewed_at": REVIEWED_AT + number, "lesion_id": f"L{number // 2}"}).encode()


class World:
    """Records in order of arrival: self.answers and self.feedback are lists of (key, value) as bytes; self.pictures has the
    bytes of the images that the store is to have, by digest."""

    def __init__(self, random, labels, pictures):
        self.random = random
        self.answers, self.feedback, self.pictures = [], [], {}
        self.requests = []  # (request_id, digest)
        self.sent = {}      # feedback_id -> (request_id, digest): what it speaks for
        self.garbage = 0
        for number in range(pictures):
            self._add_request(number)
        for _ in range(labels):
            self._add_label()

    def _send(self, record):
        key = record.get("request_id") or record.get("image_sha256") or ""
        self.feedback.append((key.encode() or None, json.dumps(record).encode()))

    def _add_request(self, number):
        data, kind = picture(number), self.random.random()
        image, request_id = digest(data), new_uuid(self.random)
        site, subject = self.random.choice([("north", digest(b"patient %d" % (number // 3))), ("south", ""), ("", "")])
        if kind < 0.85:
            self.pictures[image] = data
        elif kind < 0.9:
            self.pictures[image] = data + b"!"  # not what its name says
        self.answers.append((request_id.encode(), json.dumps(answer(request_id, image, site, subject, kind > 0.98)).encode()))
        self.requests.append((request_id, image))
        if kind > 0.97:  # the same id for another image
            other = digest(picture(-number - 1))
            self.answers.append((request_id.encode(), json.dumps(answer(request_id, other, site, subject)).encode()))

    def _add_label(self):
        kind = self.random.random()
        if kind < 0.05:
            self._add_garbage()
        elif kind < 0.15 and self.feedback:
            self.feedback.append(self.random.choice(self.feedback))  # once more
        elif kind < 0.19 and self.sent:
            feedback_id = self.random.choice(list(self.sent))
            self._send(self._label(feedback_id, self._about(feedback_id)))  # most of the time something else under one id
        else:
            self._send(self._label(new_uuid(self.random), self.random.choice(self.requests)))

    def _about(self, feedback_id):
        """The request that this record speaks for, or another one."""
        return self.sent[feedback_id] if self.random.random() < 0.7 else self.random.choice(self.requests)

    def _label(self, feedback_id, request):
        random = self.random
        superseded = None
        if random.random() < 0.15:  # one that came, or one that will come
            superseded = random.choice(list(self.sent)) if self.sent and random.random() < 0.5 else new_uuid(random)
            request = self._about(superseded) if superseded in self.sent else request
        request_id, image = request
        if random.random() < 0.03:
            request_id = new_uuid(random)  # nobody's
        record = {"schema": "skinsight.feedback.v1", "feedback_id": feedback_id, "label": random.choice(LABELS),
                  "certainty": random.choice(CERTAINTIES), "reviewed_at": REVIEWED_AT + random.randrange(4)}
        named = random.random()
        if named < 0.8:
            record["request_id"] = request_id
        if named > 0.7:
            record["image_sha256"] = image if random.random() < 0.9 else random.choice(self.requests)[1]
        for name, value in (("reviewed_by", "reader, 7"), ("lesion_id", f'L"{image[:3]}", é'), ("atypical", True),
                            ("atypical", False), ("subject", digest(b"another"))):
            if random.random() < 0.3:
                record[name] = value
        if superseded and superseded != feedback_id:
            record["supersedes"] = superseded
        self.sent[feedback_id] = request
        if superseded and superseded not in self.sent and random.random() < 0.3:
            self._send(record)
            self.sent[superseded] = request  # what was withdrawn comes afterwards
            later = self._plain(superseded, self._about(superseded)[0])
            if random.random() < 0.3:
                later["supersedes"] = feedback_id  # and withdraws in turn
            return later
        return record

    def _plain(self, feedback_id, request_id):
        return {"schema": "skinsight.feedback.v1", "feedback_id": feedback_id, "label": self.random.choice(CODES),
                "certainty": self.random.choice(CERTAINTIES), "reviewed_at": REVIEWED_AT + self.random.randrange(4),
                "request_id": request_id}

    def _add_garbage(self):
        self.garbage += 1
        good = self._plain(new_uuid(self.random), self.random.choice(self.requests)[0])
        values = [b" ", b"{", b"\xff\x00", b"null", json.dumps({**good, "label": "melanoma"}).encode(),
                  json.dumps({**good, "reviewed_at": int((time.time() + 86400) * 1000)}).encode(),
                  json.dumps({**good, "supersedes": good["feedback_id"].upper()}).encode()]
        values += [json.dumps({name: value for name, value in good.items() if name != missing}).encode()
                   for missing in ("schema", "feedback_id", "label", "certainty", "reviewed_at", "request_id")]
        self.feedback.append((None, self.random.choice(values)))


def is_label(value):
    """Whether a record of World is one: its garbage is known."""
    try:
        record = json.loads(value)
        return (record.get("schema") == "skinsight.feedback.v1" and record["feedback_id"] != record.get("supersedes", "").lower() and
                record["label"] in LABELS and record["certainty"] in CERTAINTIES and record["reviewed_at"] < REVIEWED_AT + 1000 and
                bool(record.get("request_id") or record.get("image_sha256")))
    except (ValueError, KeyError, AttributeError):
        return False


class Expected:
    """rows of labels.csv, rows of left_out.csv, and the numbers of the index, of all records together."""

    def __init__(self, answers, feedback, stored):
        good = {image for image, data in stored.items() if digest(data) == image}
        records = [json.loads(value) for _, value in feedback if is_label(value)]
        texts = {json.dumps(record, sort_keys=True) for record in records}
        self.labels, self.repeated = len(texts), len(records) - len(texts)
        self.refused = len(feedback) - len(records)
        known, sites, subjects = collections.defaultdict(set), collections.defaultdict(set), collections.defaultdict(set)
        for _, value in answers:
            record = json.loads(value)
            image, context = record["provenance"]["image_sha256"], record.get("context", {})
            known[record["request_id"]].add(image)
            sites[image].add(context.get("site"))
            subjects[image].add(context.get("subject"))
        labels = [json.loads(text) for text in texts]
        images_of = lambda label: known[label["request_id"]] if "request_id" in label else set()
        picture_of = lambda label: label.get("image_sha256") or min(images_of(label), default="")
        withdrawn = {(label["supersedes"], picture_of(label)) for label in labels if "supersedes" in label}
        meanings = collections.Counter((label["feedback_id"], picture_of(label)) for label in labels)
        self.left_out, by_image = [], collections.defaultdict(list)
        for label in labels:
            images, image = images_of(label), picture_of(label)
            reason = ("unknown_request" if not image else
                      "withdrawn" if (label["feedback_id"], image) in withdrawn else
                      "contradictory" if meanings[label["feedback_id"], image] > 1 else
                      "image_disagrees" if "image_sha256" in label and images and image not in images else
                      "several_images" if "image_sha256" not in label and len(images) > 1 else None)
            if reason:
                self._leave_out(label, image, reason)
            else:
                by_image[image].append(label)
        self.rows = []
        for image in sorted(by_image):
            self._judge(image, by_image[image], sites[image], subjects[image], stored, good)
        self.left_out.sort()

    def _leave_out(self, label, image, reason):
        self.left_out.append([label["feedback_id"], label.get("request_id", ""), image, reason])

    def _judge(self, image, labels, sites, subjects, stored, good):
        rank = lambda label: (CERTAINTIES.index(label["certainty"]), -label["reviewed_at"])
        first = min(map(rank, labels))
        ties = sorted((label for label in labels if rank(label) == first), key=lambda label: label["feedback_id"])
        best, names = ties[0], {label["label"] for label in ties}
        reason = ("conflict" if len(names) > 1 else "other" if names == {"OTHER"} else
                  "ungradable" if names == {"UNGRADABLE"} else "image_absent" if image not in stored else
                  "image_differs" if image not in good else None)
        if reason:
            self._leave_out(best, image, reason)
            return
        least = lambda texts: min((text for text in texts if text), default="")
        site, lesion = least(sites), best.get("lesion_id", "")
        self.rows.append([f"{image}.jpg", best["label"], lesion and f"{site}/{lesion}", best.get("subject") or least(subjects),
                          {True: "1", False: "0", None: ""}[best.get("atypical")], best["certainty"], site])


def read_table(path):
    """The rows of a CSV: the first one, and the rest."""
    first, *rows = csv.reader(io.StringIO(path.read_text(encoding="utf-8"), newline=""))
    return first, rows

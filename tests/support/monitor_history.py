"""monitor_history.py: a simulated clinic's answers with labels of our own, so that a test knows what stands in the archive."""
import copy
import csv
import hashlib
import json
import math
import uuid

CODES = ["MEL", "NV", "BCC", "AK", "BKL", "DF", "VASC", "SCC"]
NAMES = ["melanoma", "melanocytic_nevus", "basal_cell_carcinoma", "actinic_keratosis", "benign_keratosis", "dermatofibroma",
         "vascular_lesion", "squamous_cell_carcinoma"]
DAY_MS = 24 * 3600 * 1000


def share(*texts):
    """A number from 0 to 1 that follows from the texts."""
    return int.from_bytes(hashlib.sha256("/".join(texts).encode()).digest()[:6], "big") / 2 ** 48


def probabilities(record):
    powers = [math.exp(logit / record["provenance"]["temperature"]) for logit in record["provenance"]["logits"]]
    return [power / sum(powers) for power in powers]


def advice(p):
    """The built-in policy, without abstaining."""
    if p[0] >= 0.30 or p[7] >= 0.50:
        return "urgent_referral"
    return "routine_referral" if p[0] + p[2] + p[7] >= 0.20 or p[3] >= 0.30 else "monitor"


def candidate(record):
    """What another model says of the same image: it leans towards melanoma."""
    other = copy.deepcopy(record)
    other["request_id"] = str(uuid.UUID(bytes=hashlib.sha256(record["request_id"].encode()).digest()[:16], version=4))
    other["model_info"]["model_version"] = "candidate-v2.0.0"
    logits = other["provenance"]["logits"]
    logits[0] += 0.5 + 2 * (share("noise", record["request_id"]) - 0.5)
    other["provenance"]["timestamps"]["published"] += 1 + int(20 * share("slower", record["request_id"]))
    p = probabilities(other)
    order = sorted(range(8), key=lambda lesion: -p[lesion])
    other["prediction"].update(primary_diagnosis=NAMES[order[0]], confidence=p[order[0]], recommended_action=advice(p),
                               abstained=False, abstain_reasons=[],
                               differential=[{"class": NAMES[lesion], "probability": p[lesion]} for lesion in order])
    other["provenance"]["features"].pop("entropy_nats", None)
    return other


def read_answers(folder):
    """The final answer to each request, in the order of time, failures left out."""
    final = {}
    for line in (folder / "predictions.jsonl").read_text().splitlines():
        record = json.loads(line)
        if "error" not in record or record["error"] is None:
            known = final.get(record["request_id"])
            if not known or known["provenance"]["timestamps"]["published"] <= record["provenance"]["timestamps"]["published"]:
                final[record["request_id"]] = record
    return sorted(final.values(), key=lambda record: record["provenance"]["timestamps"]["published"])


def make_labels(folder, answers, referred=0.8, monitored=0.3):
    """{request_id: (class, reviewed_at)}: who gets one depends on the answer."""
    truth = {row["request_id"]: row["label"] for row in csv.DictReader((folder / "truth.csv").open())}
    labels = {}
    for record in answers:
        chance = monitored if record["prediction"]["recommended_action"] == "monitor" else referred
        request = record["request_id"]
        if truth.get(request) in CODES and share("label", request) < chance:
            delay = int((1 + 40 * share("delay", request)) * DAY_MS)
            labels[request] = (CODES.index(truth[request]), record["provenance"]["timestamps"]["published"] + delay)
    return labels


def feedback_lines(labels):
    for request, (lesion, reviewed_at) in labels.items():
        yield json.dumps({"schema": "skinsight.feedback.v1",
                          "feedback_id": str(uuid.UUID(bytes=hashlib.sha256(b"f" + request.encode()).digest()[:16], version=4)),
                          "request_id": request, "label": CODES[lesion], "certainty": "histopathology",
                          "reviewed_by": "reader-1", "reviewed_at": reviewed_at,
                          "atypical": share("atypical", request) < 0.3})

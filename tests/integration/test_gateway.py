#!/usr/bin/env python3
"""test_gateway.py: `skinsight-producer serve` with a real broker and a worker: what a clinic's program sees.

An answer is the response of the API, field by field; the same request gives the same answer, another one of its id 409;
nobody sees another site's; large images go through the object store; what the fleet has not answered yet is 202.
"""
import base64
import hashlib
import http.client
import json
import os
import pathlib
import select
import socket
import subprocess
import sys
import uuid

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "support"))
import harness
from gateway import Answer, Gateway
from harness import expect, expect_equal, wait_until

IMAGES = sorted(harness.DATA.glob("*.jpg"))
METADATA = {"patient_age": 54, "lesion_location": "upper_back", "fitzpatrick_type": 3, "capture_device": "iphone_15_pro",
            "dermatoscope_attached": True}


def without_link(answer):
    """The reply but for its link, which is made anew at each reading."""
    reply = answer.json()
    reply["prediction"].pop("attention_map_url")
    return json.dumps(reply)


def check_reply(reply, request_id):
    expect_equal(list(reply), ["request_id", "prediction", "model_info", "regulatory"], "the reply's fields")
    expect_equal(reply["request_id"], request_id, "request_id")
    prediction = reply["prediction"]
    expect_equal(list(prediction)[:6], ["primary_diagnosis", "confidence", "differential", "risk_score",
                                        "recommended_action", "attention_map_url"], "the prediction's first fields")
    differential = prediction["differential"]
    expect_equal(len(differential), 8, "classes")
    probabilities = [entry["probability"] for entry in differential]
    expect_equal(probabilities, sorted(probabilities, reverse=True), "the most probable first")
    expect(abs(sum(probabilities) - 1) < 1e-5, f"probabilities sum to {sum(probabilities)}")
    expect_equal(differential[0], {"class": prediction["primary_diagnosis"], "probability": prediction["confidence"]},
                 "the first of the differential")
    expect(0 <= prediction["risk_score"] <= 100, f"risk score {prediction['risk_score']}")
    expect(prediction["recommended_action"] in ("monitor", "routine_referral", "urgent_referral"), "the action")
    expect_equal(list(reply["model_info"]), ["model_version", "trained", "inference_time_ms", "preprocessing_time_ms"],
                 "fields of model_info")
    expect_equal(list(reply["regulatory"]), ["disclaimer", "fda_clearance"], "fields of regulatory")


def job_of(fleet, request_id):
    return next(record for record in fleet.jobs() if record.key == request_id.encode())


def test_answers(stack):
    with stack.fleet("answers") as fleet, Gateway(fleet) as gateway:
        fleet.start("worker").wait_ready()
        client, reader = gateway.add_key("north"), gateway.add_key("north", "reader")
        other = gateway.add_key("south")
        image, request_id = IMAGES[0].read_bytes(), str(uuid.uuid4())
        first = client.analyze(image, request_id=request_id.upper(), metadata=METADATA, patient_ref="A 17")
        expect_equal(first.status, 200, f"status; {first.body}")
        check_reply(first.json(), request_id)
        check_link(gateway, fleet, first.json()["prediction"]["attention_map_url"], request_id)
        # the same again, by whichever way
        for again in (client.analyze(image, request_id=request_id, metadata=METADATA), reader.read(request_id),
                      reader.read(request_id.upper())):
            expect_equal((again.status, without_link(again)), (200, without_link(first)), "the same answer")
        expect_equal(len(fleet.jobs()), 1, "jobs")
        # something else of that id
        for changed in ({"metadata": {**METADATA, "patient_age": 55}}, {"metadata": METADATA, "model_version": "a"}, {}):
            answer = client.analyze(image, request_id=request_id, **changed)
            expect_equal((answer.status, answer.code()), (409, "conflict"), f"another content: {changed}")
        answer = other.analyze(image, request_id=request_id, metadata=METADATA)
        expect_equal((answer.status, answer.code()), (409, "conflict"), "another site's POST")
        expect_equal((other.read(request_id).status, other.read(str(uuid.uuid4())).status), (404, 404), "another site's GET")
        expect_equal(other.read(request_id).body, other.read(str(uuid.uuid4())).body, "which tells nothing")
        # without an id
        nameless = client.analyze(IMAGES[1].read_bytes())
        expect_equal(nameless.status, 200, "an id of the gateway's")
        check_reply(nameless.json(), nameless.json()["request_id"])
        # an error that is final
        hopeless, attempts = str(uuid.uuid4()), str(uuid.uuid4())
        undecodable = [client.analyze(b"no JPEG", request_id=hopeless) for _ in range(2)]
        expect_equal([(a.status, a.code()) for a in undecodable], [(422, "image_undecodable")] * 2, "no JPEG")
        expect_equal(undecodable[0].body, undecodable[1].body, "the same refusal")
        # one that is not
        unknown = [client.analyze(image, request_id=attempts, model_version="other") for _ in range(2)]
        expect_equal([(a.status, a.code()) for a in unknown], [(422, "unknown_model")] * 2, "another model")
        expect_equal(len([r for r in fleet.jobs() if r.key == attempts.encode()]), 2, "attempts")
        job = json.loads(job_of(fleet, request_id).value)
        expect_equal((job["site"], job["metadata"], "subject" in job, "patient_ref" in job),
                     ("north", METADATA, False, False), "the job without a subject_key")
        fleet.check()
        check_audit(gateway, request_id)


def check_audit(gateway, request_id):
    """Each POST and each reading has its entry, by whom; refusals come within a minute, or with the stop."""
    gateway.stop()
    done = harness.run("producer", "audit", "export", "--store", gateway.options["store"], check=True)
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    entries = [line["entry"] for line in lines if "entry" in line]
    of_request = [(e["action"], e["actor"], e["site"], e["outcome"]) for e in entries if e["request_id"] == request_id]
    expect_equal({entry: of_request.count(entry) for entry in of_request},
                 {("request", "dr-lee", "north", "ok"): 5, ("request", "dr-lee", "south", "ok"): 1,
                  ("answer_read", "dr-lee", "north", "ok"): 4, ("map_read", None, "north", "ok"): 1}, "entries")
    expect_equal({(e["actor"], e["outcome"]) for e in entries if e["action"] == "refused"},
                 {("address:127.0.0.1", "conflict:4"), ("address:127.0.0.1", "not_found:11")}, "refusals")


def check_link(gateway, fleet, url, request_id):
    """A picture by its link, and nothing by an altered one."""
    path, query = url.split("?")
    expect_equal(path, f"/attention/{request_id}.png", "the link, without public_url")
    picture = gateway.ask("GET", url)
    expect_equal((picture.status, picture.headers["Content-Type"]), (200, "image/png"), "the map")
    record = next(json.loads(r.value) for r in fleet.answers() if r.key == request_id.encode())
    expect_equal(hashlib.sha256(picture.body).hexdigest(), record["prediction"]["attention_map_sha256"], "its digest")
    expect("no-store" in picture.headers["Cache-Control"], "a map is not kept by caches")
    expires = int(query.split("&")[0].split("=")[1])
    for bad in (path, url[:-1], url.replace(str(expires), str(expires + 1)), url + "0", url.replace(request_id, str(uuid.uuid4())),
                f"{path}?expires={expires}", f"{path}?{query}&expires={expires}"):
        answer = gateway.ask("GET", bad)
        expect_equal((answer.status, answer.code()), (404, "not_found"), f"an altered link {bad}")


def documented_command():
    """The lines of the page behind the remark that they are run here."""
    page = (harness.ROOT / "docs/OPERATIONS.md").read_text().split("test_gateway.py runs this one -->\n")[1]
    lines = page.strip("\n").split("\n\n")[0].splitlines()
    expect(len(lines) == 3 and all(line.startswith("    ") for line in lines), f"the command is {lines}")
    return "\n".join(line[4:] for line in lines)


def test_documented_command(stack):
    with stack.fleet("documented") as fleet, Gateway(fleet) as gateway:
        fleet.start("worker").wait_ready()
        folder = stack.folder / "documented"
        folder.mkdir()
        (folder / "key").write_text(gateway.add_key("north").key)
        (folder / "tests").symlink_to(harness.ROOT / "tests")
        done = subprocess.run(["bash", "-euc", documented_command()], cwd=folder, text=True, capture_output=True,
                              env={**os.environ, "GATEWAY": f"http://127.0.0.1:{gateway.port}"}, timeout=harness.WAIT_S)
        expect_equal((done.returncode, done.stderr), (0, ""), "curl's end")
        check_reply(json.loads(done.stdout), json.loads(done.stdout)["request_id"])


def test_doctor(stack):
    """Each thing on a line; what is wrong has the way to mend it, and exit code 1."""
    with stack.fleet("doctor") as fleet:
        gateway = Gateway(fleet, feedback_topic=fleet.topics["feedback_topic"])
        names = ("store", "api_keys", "brokers", "objects", *fleet.topics)
        options = {name: value for name, value in gateway.options.items() if name in names}

        def ask(**more):
            done = harness.run("producer", "doctor", *harness.flags({**options, **more}), env=fleet.env())
            return done.returncode, [line for line in done.stdout.splitlines() if line.startswith("wrong")]

        expect_equal(ask()[1][0].split(" ", 1)[1].strip().split("  ")[0], "API keys", "no key yet")
        expect(not pathlib.Path(options["store"].removeprefix("sqlite://")).exists(), "the doctor made the store")
        gateway.add_key("north")
        expect_equal(ask(), (0, []), "all is well")
        code, wrong = ask(link_key=harness.ROOT / "README.md", store=f"sqlite://{stack.folder}/none/s.db", brokers="127.0.0.1:1",
                          audit_key=gateway.keys, subject_key="/none", objects="s3://none/none")
        expect_equal((code, len(wrong)), (1, 6), f"all is wrong: {wrong}")


def test_large_images(stack):
    with stack.fleet("large") as fleet, Gateway(fleet, inline_limit_bytes=1000, keep_images=True) as gateway:
        fleet.start("worker").wait_ready()
        client = gateway.add_key("north")
        image = IMAGES[0].read_bytes()
        digest = hashlib.sha256(image).hexdigest()
        answer = client.analyze(image)
        expect_equal(answer.status, 200, f"status; {answer.body}")
        job = json.loads(job_of(fleet, answer.json()["request_id"]).value)
        expect_equal((job["image_uri"], "image" in job), (f"{fleet.objects}/images/{digest}.jpg", False), "claim check")
        expect_equal(fleet.read_object(job["image_uri"]), image, "the stored image")
        small = b"\xff\xd8 no picture"
        expect_equal(client.analyze(small).code(), "image_undecodable", "a small one")
        kept = f"{fleet.objects}/images/{hashlib.sha256(small).hexdigest()}.jpg"
        wait_until(lambda: fleet.read_object(kept) == small, "small images are kept too")


def test_refusals(stack):
    with stack.fleet("refusals") as fleet, Gateway(fleet, max_image_bytes=50000, body_limit_bytes=100000) as gateway:
        client, reader = gateway.add_key("north"), gateway.add_key("north", "reader")
        image = base64.b64encode(b"x").decode()
        json_type = {"Content-Type": "application/json"}
        body = json.dumps({"image": image})
        cases = [
            (client, "POST", "/v2/analyze", "{", json_type, 400, "invalid_json"),
            (client, "POST", "/v2/analyze", "[]", json_type, 400, "invalid_json"),
            (client, "POST", "/v2/analyze", "{}", json_type, 422, "invalid_field"),
            (client, "POST", "/v2/analyze", json.dumps({"image": ""}), json_type, 422, "image_undecodable"),
            (client, "POST", "/v2/analyze", json.dumps({"image": "A" * 80000}), json_type, 413, "image_too_large"),
            (client, "POST", "/v2/analyze", json.dumps({"image": "A" * 120000}), json_type, 413, "body_too_large"),
            (client, "POST", "/v2/analyze", body, {"Content-Type": "text/plain"}, 415, "unsupported_media_type"),
            (client, "POST", "/v2/analyze", body, {**json_type, "Skinsight_Priority": "urgent"}, 403, "forbidden"),
            (client, "POST", "/v2/analyze", body, {**json_type, "Skinsight_Priority": "soon"}, 422, "invalid_field"),
            (reader, "POST", "/v2/analyze", body, json_type, 403, "forbidden"),
            (client, "PUT", "/v2/analyze", body, json_type, 405, "method"),
            (client, "GET", "/v2/analyze/no-uuid", None, {}, 404, "not_found"),
            (client, "GET", "/v2/other", None, {}, 404, "not_found"),
            (client, "POST", "/v2/analyze", body, {**json_type, "Authorization": "Bearer ssk_" + "A" * 43}, 401,
             "unauthorized"),
            (client, "GET", f"/v2/analyze/{uuid.uuid4()}", None, {"Authorization": "Basic QTpC"}, 401, "unauthorized"),
        ]
        for who, method, path, sent, headers, status, code in cases:
            answer = who.ask(method, path, sent, **headers)
            expect_equal((answer.status, answer.code()), (status, code), f"{method} {path} {str(sent)[:40]} {headers}")
        expect_equal(fleet.jobs(), [], "jobs of refused requests")


def test_reviews(stack):
    """What a policy wants looked at is listed for its site alone, until feedback on it has come."""
    policy = stack.folder / "policy.json"
    policy.write_text(json.dumps({"schema": "skinsight.policy.v2", "version": "2.0.0", "urgent": {}, "routine": {}, "abstain": {},
                                  "review": {"within_h": 48, "confidence_below": 1.0, "abstained": True},
                                  "fda_clearance": "none", "disclaimer": "For a test."}))
    with stack.fleet("reviews") as fleet:
        with Gateway(fleet, feedback_topic=fleet.topics["feedback_topic"]) as gateway:
            fleet.start("worker", policy=policy).wait_ready()
            client, other = gateway.add_key("north"), gateway.add_key("south")
            answers = [client.analyze(image.read_bytes()) for image in IMAGES[:3]]
            ids = [answer.json()["request_id"] for answer in answers]
            expect_equal(answers[0].json()["prediction"]["review"]["within_h"], 48, "the answer says so")
            reviews = client.ask("GET", "/v2/reviews").json()["reviews"]
            expect_equal([review["request_id"] for review in reviews], ids, "reviews, the most urgent first")
            expect_equal({(r["due_at"] - r["answered_at"], r["state"]) for r in reviews}, {(48 * 3600 * 1000, "open")}, "due")
            for path, who in (("/v2/reviews?state=overdue", client), ("/v2/reviews?state=open", other)):
                expect_equal(who.ask("GET", path).json(), {"reviews": []}, path)
            expect_equal(client.ask("GET", "/v2/reviews?state=all").code(), "invalid_field", "another state")
            check_feedback(fleet, client, other, ids)
            models = client.ask("GET", "/v2/models").json()["models"]
            expect_equal([(m["model_version"], m["trained"]) for m in models], [("vit-tiny-v0.1.0", False)], "models")
            record = json.loads(fleet.answers()[0].value)
            expect_equal(models[0]["weights_sha256"], record["provenance"]["model_sha256"], "its weights")


def check_feedback(fleet, client, other, ids):
    def report(request_id, **more):
        return {"schema": "skinsight.feedback.v1", "feedback_id": str(uuid.uuid4()), "request_id": request_id, "label": "NV",
                "certainty": "histopathology", "reviewed_at": 1795420685370, "reviewed_by": "dr-lee", **more}

    def post(who, body):
        return who.ask("POST", "/v2/feedback", json.dumps(body), Content_Type="application/json")

    for who, body in ((other, report(ids[0])), (client, report(str(uuid.uuid4()))), (client, [report(ids[0]), {}]),
                      (client, report(ids[0], label="X")), (client, report(ids[0], image_sha256="0" * 64)), (client, []),
                      (client, {**report(ids[0]), "request_id": None})):
        answer = post(who, body)
        expect_equal((answer.status, answer.code()), (422, "invalid_field"), f"refused: {body}")
    expect_equal(fleet.read("feedback_topic"), [], "records of refused feedback")
    one, two = report(ids[0]), [report(ids[1]), report(ids[1], label="MEL")]
    expect_equal((post(client, one).json(), post(client, two).json()), ({"taken": 1}, {"taken": 2}), "taken")
    records = [json.loads(record.value) for record in fleet.read("feedback_topic")]
    expect_equal({r["feedback_id"] for r in records}, {r["feedback_id"] for r in [one, *two]}, "records")
    digest = hashlib.sha256(IMAGES[0].read_bytes()).hexdigest()
    expect_equal([r["image_sha256"] for r in records if r["request_id"] == ids[0]], [digest], "the image's digest is added")
    reviews = client.ask("GET", "/v2/reviews").json()["reviews"]
    expect_equal([review["request_id"] for review in reviews], ids[2:], "what is left")


MARKERS = ("Erika-Mustermann", "mustermann-back.jpg", "ref-MUSTERMANN-17", "ssk_MUSTERMANN" + "a" * 33)


def test_markers(stack):
    """What says who a patient is, planted wherever a client may write something, is found nowhere behind the gateway."""
    with stack.fleet("markers") as fleet:
        key = fleet.stack.folder / "subject-key"
        key.write_text("a key of the clinic that has no name\n")
        key.chmod(0o600)
        gateway = Gateway(fleet, subject_key=key, inline_limit_bytes=60000, log_level="debug", keep_images=True)
        with gateway:
            fleet.start("worker", log_level="debug").wait_ready()
            client = gateway.add_key("north")
            name, file_name, reference, secret = MARKERS
            fields = {"metadata": {**METADATA, "name": name}, "file": file_name, "patient_ref": reference}
            ids = [answer.json()["request_id"] for image in IMAGES for answer in [client.analyze(image.read_bytes(), **fields)]]
            planted = [client.analyze(b"x", request_id=name), client.analyze(b"x", model_version=name + " "),
                       client.analyze(b"x", metadata={"lesion_location": name + " "}), client.read(name),
                       client.analyze(b"x", metadata={"patient_age": name}),
                       client.ask("GET", f"/attention/{name}.png?signature={file_name}&expires={reference}"),
                       client.ask("GET", f"/v2/other?name={name}", Authorization=f"Bearer {secret}"),
                       client.ask("POST", "/v2/analyze", "{}", Authorization=f"Bearer {secret}"),
                       client.analyze(b"x", headers={"Skinsight-Priority": name, "Prefer": file_name, "User-Agent": name})]
            expect(all(answer.status >= 400 for answer in planted), f"{[answer.status for answer in planted]}")
            sinks = {f"answer {i}": answer.body for i, answer in enumerate(planted)}
            sinks["metrics"] = gateway.admin("/metrics").body
            jobs = [json.loads(job.value) for job in fleet.jobs()]
        subjects = {job["subject"] for job in jobs if job["request_id"] in ids}
        expect(len(subjects) == 1 and all(len(subject) == 64 for subject in subjects), f"one subject: {subjects}")
        for topic in fleet.topics:
            for record in fleet.read(topic):
                sinks[f"{topic} {record.offset}"] = (record.key or b"") + (record.value or b"")
        for path in [*stack.folder.glob("markers*"), *stack.folder.glob("markers-objects/**/*")]:
            sinks[str(path)] = str(path).encode() + (path.read_bytes() if path.is_file() else b"")
        expect(any(name.endswith("markers.db") for name in sinks) and len(sinks) > 25, f"sinks: {list(sinks)}")
        found = [f"{marker} in {sink}" for sink, content in sinks.items() for marker in [*MARKERS, client.key]
                 if marker.encode() in content]
        expect(not found, f"{found}")


def begin_upload(client):
    """A POST whose body never comes; returns once the gateway has asked for it."""
    upload = socket.create_connection(("127.0.0.1", client.gateway.port), timeout=harness.WAIT_S)
    upload.sendall(f"POST /v2/analyze HTTP/1.1\r\nHost: gateway\r\nAuthorization: Bearer {client.key}\r\n"
                   "Content-Type: application/json\r\nContent-Length: 1000\r\nExpect: 100-continue\r\n\r\n".encode())
    expect(upload.recv(64).startswith(b"HTTP/1.1 100 "), "the gateway asks for the body")
    return upload


def test_limits(stack):
    """429 for a key that asks too often, 503 for what would wait too long; both say when to come back."""
    with stack.fleet("limits") as fleet:
        with Gateway(fleet, "slow", rate_per_s=1, rate_burst=3) as gateway:
            clients = [gateway.add_key("north"), gateway.add_key("north")]
            answers = [clients[0].read(str(uuid.uuid4())) for _ in range(8)]
            expect_equal([answer.status for answer in answers[:3]], [404] * 3, "the burst")
            limited = [answer for answer in answers[3:] if answer.status == 429]
            expect(limited and all(a.code() == "rate_limited" and int(a.headers["Retry-After"]) >= 1 for a in limited),
                   f"{[answer.status for answer in answers]}")
            expect_equal(clients[1].read(str(uuid.uuid4())).status, 404, "another key")
        with Gateway(fleet, "full", inflight_limit=2, answer_timeout_ms=200) as gateway:  # no worker is there
            client = gateway.add_key("north")
            ids = [str(uuid.uuid4()) for _ in range(4)]
            uploads = [begin_upload(client) for _ in range(3)]
            answers = [client.analyze(IMAGES[0].read_bytes(), request_id=request_id) for request_id in ids]
            expect_equal([answer.status for answer in answers], [202, 202, 503, 503], "two are let in, whoever uploads")
            for upload in uploads:
                upload.close()
            expect_equal((answers[2].code(), int(answers[2].headers["Retry-After"]) >= 1), ("overloaded", True), "refused")
            again = client.analyze(IMAGES[0].read_bytes(), request_id=ids[0])
            expect_equal((again.status, "GET /v2/analyze/<request_id>" in again.json()["detail"]), (503, True), "a repetition")
            expect_equal([client.read(request_id).status for request_id in ids], [202, 202, 404, 404], "what was accepted")
            metrics = gateway.admin("/metrics").body.decode()
            for line in ('skinsight_gateway_in_flight 2', 'skinsight_gateway_refused_total{reason="late"} 3',
                         'skinsight_gateway_responses_total{status="202"} 4', 'skinsight_gateway_ready 1'):
                expect(line in metrics, f"no line {line} in\n{metrics}")
        with Gateway(fleet, "shared", inflight_limit=4, answer_timeout_ms=200) as gateway:  # no worker either
            greedy, other = gateway.add_key("north"), gateway.add_key("harbour")
            image = IMAGES[0].read_bytes()
            answers = [client.analyze(image, request_id=str(uuid.uuid4())) for client in [greedy] * 5 + [other] * 2]
            expect_equal([answer.status for answer in answers], [202, 202, 202, 503, 503, 202, 503], "three of four, and then one")


def begin_post(client, image):
    """A whole POST whose answer is not waited for."""
    connection = http.client.HTTPConnection("127.0.0.1", client.gateway.port, timeout=harness.WAIT_S)
    connection.request("POST", "/v2/analyze", json.dumps({"image": base64.b64encode(image).decode()}),
                       {"Authorization": f"Bearer {client.key}", "Content-Type": "application/json"})
    return connection


def answered(connections):
    return select.select([connection.sock for connection in connections], [], [], 0)[0]


def test_one_key_leaves_room(stack):
    """The object store hangs, and one key sends large images until it gets no more: another one's are still taken."""
    most, more = 192, 5  # three quarters of errands.c's WAITING_MOST
    secrets = {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "testtest"}
    with stack.fleet("room") as fleet, socket.create_server(("127.0.0.1", 0)) as store:  # which accepts nobody
        gateway = Gateway(fleet, environment=secrets, inline_limit_bytes=1, objects="s3://images", object_timeout_ms=60000,
                          s3_endpoint=f"http://127.0.0.1:{store.getsockname()[1]}")
        with gateway:
            greedy, other = gateway.add_key("north"), gateway.add_key("north")
            uploads = [begin_post(greedy, b"large") for _ in range(most + more)]
            wait_until(lambda: len(answered(uploads)) == more, "what is too much is refused")
            others = begin_post(other, b"large")
            wait_until(lambda: 'errands_waiting 189' in gateway.admin("/metrics").body.decode(), "another key's waits with them")
            expect_equal((len(answered(uploads)), answered([others])), (more, []), "answers")
            refused = 'skinsight_gateway_refused_total{reason="uploads"} 5'
            expect(refused in gateway.admin("/metrics").body.decode(), f"no line {refused}")
            store.close()
            expect_equal(Answer(others.getresponse()).code(), "unavailable", "the store is away")
            codes = [Answer(upload.getresponse()).code() for upload in uploads]
            expect_equal({code: codes.count(code) for code in codes}, {"unavailable": most, "overloaded": more}, "codes")


def begin_large_upload(client):
    """A POST of which 60000 bytes come, and then no more."""
    upload = socket.create_connection(("127.0.0.1", client.gateway.port), timeout=harness.WAIT_S)
    upload.sendall(f"POST /v2/analyze HTTP/1.1\r\nHost: gateway\r\nAuthorization: Bearer {client.key}\r\n"
                   "Content-Type: application/json\r\nContent-Length: 70000\r\n\r\n".encode() + b'{"image":"' + b"A" * 60000)
    return upload


def test_refused_uploads_hold_nothing(stack):
    """One key's uploads fill its share; those that are refused stall as the others do, and another key's are still taken."""
    each, inside, refused = 65 << 10, 11, 21  # 64 KiB of image and 1 of the rest; three quarters of 1 MiB at most
    with stack.fleet("stalled") as fleet, Gateway(fleet, bodies_limit_bytes=1 << 20, max_image_bytes=1 << 16, answer_timeout_ms=200) as gateway:
        greedy, other = gateway.add_key("north"), gateway.add_key("north")
        stalled = []
        for number in range(1, inside + refused + 1):
            stalled.append(begin_large_upload(greedy))
            expected = (f"skinsight_gateway_bytes_inside {min(number, inside) * each}\n",
                        f'skinsight_gateway_refused_total{{reason="bytes"}} {max(number - inside, 0)}\n')
            wait_until(lambda: all(line in gateway.admin("/metrics").body.decode() for line in expected), f"upload {number} is counted")
        expect_equal(other.analyze(b"small").status, 202, "another key's")
        for upload in stalled:
            upload.close()


def test_waiting(stack):
    """No worker is there: 202 once the job is queued, and an answer when one comes."""
    with stack.fleet("waiting") as fleet, Gateway(fleet, answer_timeout_ms=300) as gateway:
        client = gateway.add_key("north", urgent=True)
        image, ids = IMAGES[0].read_bytes(), [str(uuid.uuid4()) for _ in range(3)]
        slow = client.analyze(image, request_id=ids[0])
        at_once = client.analyze(image, request_id=ids[1], headers={"Prefer": "wait=5, Respond-Async; x=1"})
        urgent = client.analyze(image, request_id=ids[2], headers={"Skinsight-Priority": "urgent"})
        for answer, request_id in zip((slow, at_once, urgent), ids):
            expect_equal((answer.status, answer.json()), (202, {"request_id": request_id, "status": "queued"}), "queued")
            expect_equal(answer.headers["Location"], f"/v2/analyze/{request_id}", "Location")
            expect(int(answer.headers["Retry-After"]) >= 1, "Retry-After")
        expect_equal({record.key.decode() for record in fleet.read("urgent_jobs_topic")}, {ids[2]}, "urgent jobs")
        expect_equal(client.read(ids[0], Prefer="respond-async").status, 202, "GET of a queued one")
        fleet.start("worker").wait_ready()
        for request_id in ids:
            reply = wait_until(lambda: (answer := client.read(request_id)).status == 200 and answer, "an answer")
            check_reply(reply.json(), request_id)
        expect_equal(len(fleet.jobs()), 3, "jobs")


if __name__ == "__main__":
    harness.main([test_answers, test_documented_command, test_doctor, test_large_images, test_refusals, test_markers, test_reviews, test_limits,
                  test_one_key_leaves_room, test_refused_uploads_hold_nothing, test_waiting], "kafka")

#!/usr/bin/env python3
"""test_s3_faults.py: an S3 server that answers 500 or 503, hangs, resets in the middle, cuts bodies short, crawls, or
refuses the clock. Every job is answered; an image that came damaged is never taken for whole; each answer without an
attention map says why there is none; and jobs whose image is in their record don't wait for those whose is in the store.
"""
import hashlib
import http.client
import http.server
import json
import pathlib
import sys
import threading
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "support"))
import chaos
from harness import expect, expect_equal, wait_until

IMAGES, IMAGES_LONG = 6, 30
SKEWED = b"<?xml version='1.0'?><Error><Code>RequestTimeTooSkewed</Code><Message>clock</Message></Error>"


class Gateway(http.server.ThreadingHTTPServer):
    """Passes requests on to the real server unchanged, or answers as mode says; left: how often it still does."""

    daemon_threads = True

    def __init__(self, upstream):
        super().__init__(("127.0.0.1", 0), Handler)
        self.upstream, self.mode, self.left, self.refused = upstream, None, 0, 0
        threading.Thread(target=self.serve_forever, daemon=True).start()

    def set(self, mode, times):
        self.mode, self.left, self.refused = mode, times, 0


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def answer(self, status, headers, body, cut=None):
        self.send_response_only(status)
        for name, value in headers:
            if name.lower() not in ("transfer-encoding", "content-length", "connection"):
                self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body[:cut])
        self.close_connection = cut is not None

    def pass_on(self, body):
        server = http.client.HTTPConnection("127.0.0.1", self.server.upstream, timeout=30)
        server.putrequest(self.command, self.path, skip_host=True, skip_accept_encoding=True)
        for name, value in self.headers.items():
            server.putheader(name, value)
        server.endheaders(body or None)
        reply = server.getresponse()
        return reply.status, reply.getheaders(), reply.read()

    def serve(self):
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        gateway = self.server
        broken = gateway.mode if gateway.left > 0 else None
        if broken:
            gateway.left -= 1
            gateway.refused += 1
        if broken in ("500", "503"):
            self.answer(int(broken), [], b"<Error><Code>InternalError</Code></Error>")
        elif broken == "skew":
            self.answer(403, [("Content-Type", "application/xml")], SKEWED)
        else:
            status, headers, reply = self.pass_on(body)
            self.answer(status, headers, reply, cut=len(reply) // 2 if broken == "truncate" and reply else None)

    do_GET = do_PUT = do_HEAD = do_DELETE = do_POST = serve


class Stored:
    """Jobs, of which every second has its image in the object store."""

    def __init__(self, stack, name):
        self.stack, self.name, self.number = stack, name, 0
        self.gateway = Gateway(int(stack.env["S3_ENDPOINT"].rsplit(":", 1)[1]))
        self.proxy = chaos.Proxy(stack, f"{name}-proxy", self.gateway.server_port, of_bytes=True)

    def jobs(self, count, stored=lambda number: number % 2 == 0):
        folder = self.stack.folder / "s3/objects/skinsight" / self.name / "images"
        folder.mkdir(parents=True, exist_ok=True)
        for number in range(count):
            if not stored(number):
                yield chaos.job(self.number, self.stack.random)
                self.number += 1
                continue
            image = chaos.picture(self.number)
            digest = hashlib.sha256(image).hexdigest()
            (folder / f"{digest}.jpg").write_bytes(image)
            yield chaos.job(self.number, self.stack.random, image=None, image_sha256=digest,
                            image_uri=f"s3://skinsight/{self.name}/images/{digest}.jpg")
            self.number += 1


def run_fault(stored, fleet, name, break_it, mend_it=None):
    """Returns how many maps are missing, and the errors."""
    before = stored.number
    stored.proxy.tell("clear")
    stored.gateway.set(None, 0)
    break_it()
    images = stored.stack.size(IMAGES, IMAGES_LONG)
    fleet.write_jobs(list(stored.jobs(images)))
    if mend_it:
        mend_it()
    chaos.wait_all(fleet, None, stored.number, stored.stack.size(90, 400))
    answers = [answer for answer in chaos.answers_of(fleet) if answer["provenance"]["source"]["offset"] >= before]
    missing = [answer["prediction"]["attention_map_error"] for answer in answers
               if "prediction" in answer and answer["prediction"]["attention_map_url"] is None]
    errors = dict(chaos.error_codes(answers))
    print(f"S3 {name}: {images} jobs, {len(missing)} maps missing ({missing[:1]}), errors {errors}", flush=True)
    return len(missing), errors


def test_s3_faults(stack):
    with stack.fleet("s3-faults", partitions=1, objects="s3://skinsight/s3-faults") as fleet:
        stored = Stored(stack, "s3-faults")
        fleet.start("worker", backend="simulated", environment={"SKINSIGHT_SIMULATED_US": "1000,1000"},
                    s3_endpoint=f"http://127.0.0.1:{stored.proxy.port}", object_timeout_ms=1000,
                    job_budget_ms=stack.size(8000, 30000)).wait_ready()
        tell, gateway = stored.proxy.tell, stored.gateway
        half = stack.size(IMAGES, IMAGES_LONG) // 2
        burst = stack.size(8, 10)  # with the breaker's pauses 7 and 17 s
        resets = len(stored.proxy.done("reset"))
        enough = lambda: wait_until(lambda: len(stored.proxy.done("reset")) >= resets + 3, "3 resets")
        healed = {"a burst of 500": (lambda: gateway.set("500", burst), None),
                  "a burst of 503": (lambda: gateway.set("503", burst), None),
                  "bodies cut short": (lambda: gateway.set("truncate", stack.size(4, 10)), None),
                  "resets at half": (lambda: tell("connection every * reset 120"), lambda: (enough(), tell("clear"))),
                  f"hangs for {stack.size(2, 10)} s": (lambda: tell("connection every * hang"), lambda: (time.sleep(stack.size(2, 10)), tell("clear"))),
                  "1 KB/s": (lambda: tell("connection every * slow 1000"), None)}
        for name, (break_it, mend_it) in healed.items():
            missing, errors = run_fault(stored, fleet, name, break_it, mend_it)
            expect_equal(errors, {}, f"{name}: errors, though the fault passes within the job's budget")
        for name, break_it in {"refuses the clock": lambda: gateway.set("skew", 10**6),
                               "hangs for good": lambda: tell("connection every * hang")}.items():
            missing, errors = run_fault(stored, fleet, name, break_it)
            expect_equal(errors, {"image_unavailable": half}, f"{name}: errors, one for each stored image")
            expect_equal(missing, half, f"{name}: maps missing, one for each inline image")
        tell("clear")
        gateway.set(None, 0)
        missing, errors = run_fault(stored, fleet, "well again", lambda: None)
        expect_equal(errors, {}, "errors once the server is well again")
        check(fleet, stored)


def hang(stack, fleet, **options):
    """The server hangs, and twelve jobs whose images lie there are on their way; the worker and their maker."""
    stored = Stored(stack, fleet.name)
    worker = fleet.start("waiting", backend="simulated", environment={"SKINSIGHT_SIMULATED_US": "1000,1000"},
                         s3_endpoint=f"http://127.0.0.1:{stored.proxy.port}", object_timeout_ms=300,
                         job_budget_ms=60000, **options).wait_ready()
    stored.proxy.tell("connection every * hang")
    fleet.write_jobs(list(stored.jobs(12, stored=lambda number: True)))
    return worker, stored


def test_inline_jobs_go_past(stack):
    """More stored images than threads to load them, and a server that hangs: jobs without are answered meanwhile."""
    with stack.fleet("s3-hangs", partitions=1, objects="s3://skinsight/s3-hangs") as fleet:
        worker, stored = hang(stack, fleet)
        wait_until(lambda: worker.metric("skinsight_object_retries_total", 'call="read"') >= 4, "every thread waits")
        for urgent in (True, False):
            fleet.write_jobs(list(stored.jobs(4, stored=lambda number: False)), urgent=urgent)
        answers = [json.loads(answer.value) for answer in fleet.wait_answers(8, timeout_s=45)]
        expect(all("prediction" in answer and answer["prediction"]["attention_map_error"] for answer in answers),
               "one of the first 8 answers is of a stored image")
        moments = [answer["provenance"]["timestamps"] for answer in answers]
        print(f"S3 hangs: inline jobs took {[at['published'] - at['consumed'] for at in moments]} ms", flush=True)
        stored.proxy.tell("clear")
        fleet.wait_answers(20)
        expect_equal(chaos.error_codes(chaos.answers_of(fleet)), {}, "errors")
        check(fleet, stored)


def test_urgent_jobs_go_past_a_full_intake(stack):
    """Stored images that a hanging server keeps in the pipeline never take all of its places."""
    with stack.fleet("s3-full", partitions=1, objects="s3://skinsight/s3-full") as fleet:
        worker, stored = hang(stack, fleet, intake_limit_jobs=8)
        wait_until(lambda: worker.metric("skinsight_unfinished_jobs") == 7, "routine jobs take what is theirs")
        fleet.write_jobs(list(stored.jobs(4, stored=lambda number: False)), urgent=True)
        answers = [json.loads(answer.value) for answer in fleet.wait_answers(4, timeout_s=45)]
        expect(all("prediction" in answer for answer in answers), "an urgent job waited for the store")
        stored.proxy.tell("clear")
        fleet.wait_answers(16)
        check(fleet, stored)


def check(fleet, stored):
    """The checker wants each missing map explained, and each map there to be what the answer says."""
    wanted = chaos.wanted_logits(range(stored.number))
    fleet.check(jobs=stored.number)
    for answer in chaos.answers_of(fleet):
        if "prediction" in answer:
            right = wanted[answer["provenance"]["image_sha256"]]
            expect(max(abs(a - b) for a, b in zip(right, answer["provenance"]["logits"])) < 1e-6, "wrong logits")


if __name__ == "__main__":
    chaos.main([test_s3_faults, test_inline_jobs_go_past, test_urgent_jobs_go_past_a_full_intake], "kafka", "s3")

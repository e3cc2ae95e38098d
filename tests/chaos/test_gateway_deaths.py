#!/usr/bin/env python3
"""test_gateway_deaths.py: a gateway killed at each point of accept -> queue -> answer, and gateways in the middle of load.

Whatever it leaves behind, the same POST gives one answer, always the same one, from whichever gateway; and what was said
to be queued is answered without another POST.
"""
import contextlib
import http.client
import json
import pathlib
import sqlite3
import sys
import threading
import time
import uuid

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "support"))
import chaos
import harness
from gateway import DEATHS, Gateway, Postgres
from harness import expect, expect_equal, wait_until

IMAGES = sorted(harness.DATA.glob("*.jpg"))


def reply_of(answer):
    reply = answer.json()
    reply["prediction"].pop("attention_map_url")
    return reply


def post_until_answered(client, image, request_id):
    """As a clinic's program does: the same POST again until it is 200."""
    def answered():
        answer = client.analyze(image, request_id=request_id)
        expect(answer.status in (200, 202, 503), f"status {answer.status}: {answer.body}")
        return answer.status == 200 and answer
    return wait_until(answered, f"an answer to {request_id}")


def test_each_point(stack):
    with stack.fleet("points") as fleet:
        fleet.start("worker").wait_ready()
        gateway = Gateway(fleet)
        client = gateway.add_key("north")
        for number, death in enumerate(DEATHS):
            image, request_id = IMAGES[number].read_bytes(), str(uuid.uuid4())
            gateway.start(environment={"SKINSIGHT_TEST_KILL_AT": death})
            try:
                answer = client.analyze(image, request_id=request_id)
                raise harness.Failure(f"killed at '{death}' it answered {answer.status}")
            except (http.client.HTTPException, ConnectionError):
                expect_equal(gateway.wait_exit(), -9, f"exit code, killed at '{death}'")
            gateway.start(environment={})
            first = reply_of(post_until_answered(client, image, request_id))
            for again in (client.analyze(image, request_id=request_id), client.read(request_id)):
                expect_equal((again.status, reply_of(again)), (200, first), f"the same answer after '{death}'")
            jobs = [record for record in fleet.jobs() if record.key == request_id.encode()]
            expect(len(jobs) <= 2, f"{len(jobs)} jobs after '{death}'")
            gateway.stop()


def test_queued_is_kept(stack):
    """202, then the gateway dies until long after the job's deadline, and finds no broker at first. A worker has answered: so does GET."""
    with stack.fleet("kept") as fleet:
        gateway = Gateway(fleet, answer_timeout_ms=200).start()
        client = gateway.add_key("north")
        request_id = str(uuid.uuid4())
        expect_equal(client.analyze(IMAGES[0].read_bytes(), request_id=request_id).status, 202, "no worker yet")
        gateway.kill()
        fleet.start("worker").wait_ready()
        fleet.wait_answers(1)
        with contextlib.closing(sqlite3.connect(gateway.options["store"].removeprefix("sqlite://"))) as store, store:
            expect_equal(store.execute("UPDATE requests SET deadline_at = 1").rowcount, 1, "requests long overdue")
        stack.kill("kafka")
        gateway.start(ready=False)
        wait_until(lambda: "event=kafka_away" in gateway.log_text(), "it has looked for the broker")
        stack.start("kafka")
        answer = wait_until(lambda: (a := client.read(request_id)).status == 200 and a, "the answer of before")
        expect_equal(answer.json()["request_id"], request_id, "its id")
        expect_equal(len(fleet.jobs()), 1, "jobs")
        gateway.stop()


@contextlib.contextmanager
def table_away(gateway):
    """The store of the gateway, in which nobody finds the requests until the end."""
    with contextlib.closing(sqlite3.connect(gateway.options["store"].removeprefix("sqlite://"), timeout=harness.WAIT_S)) as store:
        with store:
            store.execute("ALTER TABLE requests RENAME TO elsewhere")
        yield store
        with store:
            store.execute("ALTER TABLE elsewhere RENAME TO requests")


def test_leases_after_an_outage(stack):
    """A lease that ran out while the store was away may be a living gateway's, which gets the time to renew it: 8 s from
    when leases can be renewed."""
    with stack.fleet("leases") as fleet, Gateway(fleet, answer_timeout_ms=200) as gateway:
        request_id = str(uuid.uuid4())
        expect_equal(gateway.add_key("north").analyze(IMAGES[0].read_bytes(), request_id=request_id).status, 202, "no worker yet")
        with table_away(gateway) as store:
            wait_until(lambda: "event=store_away" in gateway.log_text(), "the store is away")
            with store:
                store.execute("UPDATE elsewhere SET owner = 'another', lease_until = 1")
            back_at = int(time.time() * 1000)
        with contextlib.closing(sqlite3.connect(gateway.options["store"].removeprefix("sqlite://"))) as store:
            lease_until, = wait_until(lambda: store.execute("SELECT lease_until FROM requests WHERE owner <> 'another'").fetchone(),
                                      "the row is adopted")
        waited_ms = lease_until - 8000 - back_at  # a lease lasts 8 s
        expect(waited_ms >= 8000, f"adopted {waited_ms} ms after the store was back")


def test_dead_producer(stack):
    """librdkafka gives up the producer while a job is on its way: the gateway makes another one."""
    with stack.fleet("producer") as fleet:
        fleet.start("worker").wait_ready()
        with Gateway(fleet, environment={"SKINSIGHT_TEST_FATAL": "1"}) as gateway:
            client = gateway.add_key("north")
            ids = [str(uuid.uuid4()) for _ in range(2)]
            replies = [reply_of(post_until_answered(client, IMAGES[i].read_bytes(), request_id))
                       for i, request_id in enumerate(ids)]
            expect("event=sender_dead" in gateway.log_text(), "the first producer died")
            expect_equal([reply_of(client.read(request_id)) for request_id in ids], replies, "the same answers")


def test_broker_away(stack):
    """The gateway says that it is not ready while no broker answers, and reads partitions that were added."""
    with stack.fleet("away", partitions=1) as fleet, Gateway(fleet) as gateway:
        client = gateway.add_key("north")
        stack.kill("kafka")
        wait_until(lambda: gateway.admin("/readyz").status == 503, "it is not ready")
        refused = client.analyze(IMAGES[0].read_bytes())
        expect_equal((refused.status, refused.code()), (503, "unavailable"), "a POST meanwhile")
        stack.start("kafka")
        wait_until(lambda: gateway.admin("/readyz").status == 200, "it is ready again")
        expect(chaos.add_partitions(stack, fleet.topics["predictions_topic"], 2), "the broker adds no partition")
        wait_until(lambda: "event=partitions_changed before=1 now=2" in gateway.log_text(), "it has seen the second partition")
        fleet.start("worker").wait_ready()
        for number in range(6):  # by their keys, into both
            post_until_answered(client, IMAGES[number].read_bytes(), str(uuid.UUID(int=number, version=4)))
        partitions = {record.partition for record in fleet.answers()}
        expect_equal(partitions, {0, 1}, "partitions with answers")


class Clinic(threading.Thread):
    """Sends requests one after the other, each again until it is answered, to whichever gateway is there."""

    def __init__(self, number, client, gateways, count):
        super().__init__()
        self.number, self.client, self.gateways, self.count = number, client, gateways, count
        self.replies, self.failure = {}, None

    def run(self):
        try:
            for i in range(self.count):
                image = harness.with_comment(IMAGES[i % len(IMAGES)].read_bytes(), f"clinic {self.number} {i}")
                request_id = str(uuid.uuid4())
                self.replies[request_id] = wait_until(lambda: self._ask(image, request_id), f"an answer to {request_id}")
        except Exception as failure:
            self.failure = failure

    def _ask(self, image, request_id):
        for gateway in self.gateways:
            try:
                answer = self.client.analyze(image, gateway, request_id=request_id)
            except (http.client.HTTPException, OSError):
                continue
            expect(answer.status in (200, 202, 503, 504), f"status {answer.status}: {answer.body}")
            if answer.status == 200:
                return reply_of(answer)
        return None


def test_kills_under_load(stack):
    """One of two gateways on one PostgreSQL is killed and comes back, again and again; and so is the database."""
    kills = stack.size(3, 20)
    with stack.fleet("load") as fleet, Postgres(stack) as postgres:
        fleet.start("worker", backend="simulated").wait_ready()
        gateways = [Gateway(fleet, f"gateway-{i}", store=postgres.url, answer_timeout_ms=6500).start() for i in range(2)]
        client = gateways[0].add_key("north")
        clinics = [Clinic(i, client, gateways[i % 2:] + gateways[:i % 2], 5 * kills) for i in range(4)]
        for clinic in clinics:
            clinic.start()
        for kill in range(kills):
            victim = gateways[kill % 2]
            wait_progress(clinics)
            victim.kill()
            if kill % 2 == 1:
                postgres.kill()
                postgres.start()
            victim.start()
        check_answers(fleet, clinics, gateways)
        for gateway in gateways:
            gateway.stop()


def test_kills_behind(stack):
    """A worker, Redis and the broker are killed and come back while clinics ask: each request is answered, and its answer stays.
    Most of the time goes into a broker's start and the session of a dead worker."""
    kills = 3 * stack.size(1, 10)
    with stack.fleet("behind") as fleet, Gateway(fleet, answer_timeout_ms=6500) as gateway:
        settings = {"backend": "simulated", "cache": stack.redis_url}
        workers = [fleet.start("worker", **settings).wait_ready() for _ in range(2)]
        client = gateway.add_key("north")
        clinics = [Clinic(i, client, [gateway], 5 * kills) for i in range(4)]
        for clinic in clinics:
            clinic.start()
        for kill in range(kills):
            wait_progress(clinics)
            if kill % 3 == 0:
                workers.pop(0).kill()
                workers.append(fleet.start("worker", **settings))
            else:
                service = ("redis", "kafka")[kill % 3 - 1]
                stack.kill(service)
                stack.start(service)
        check_answers(fleet, clinics, [gateway])


def wait_progress(clinics):
    expected = sum(len(clinic.replies) for clinic in clinics) + len(clinics)
    wait_until(lambda: sum(len(clinic.replies) for clinic in clinics) >= expected or not any(clinic.is_alive() for clinic in clinics),
               "the load goes on")


def check_answers(fleet, clinics, gateways):
    """Every request has an answer, its own, and the same one at each gateway."""
    for clinic in clinics:
        clinic.join()
        if clinic.failure:
            raise clinic.failure
    replies = {request_id: reply for clinic in clinics for request_id, reply in clinic.replies.items()}
    expect_equal(len(replies), sum(clinic.count for clinic in clinics), "answered requests")
    for gateway in gateways:
        for request_id, reply in replies.items():
            expect_equal(reply_of(clinics[0].client.read(request_id, gateway)), reply, "the same answer at each gateway")
    records = {}
    for record in fleet.answers():
        value = json.loads(record.value)
        records.setdefault(value["request_id"], []).append(value.get("prediction", {}).get("differential"))
    for request_id, reply in replies.items():
        expect(reply["prediction"]["differential"] in records[request_id], f"{request_id} has another's answer")


if __name__ == "__main__":
    chaos.main([test_each_point, test_queued_is_kept, test_leases_after_an_outage, test_dead_producer, test_broker_away, test_kills_under_load, test_kills_behind], "kafka", "redis")

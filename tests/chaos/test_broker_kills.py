#!/usr/bin/env python3
"""test_broker_kills.py: the broker is killed by SIGKILL under load and started again. No answer is lost or doubled, the
workers live through it, and 10 s after the broker is back answers come again. Once with dynamic members, once with static
ones whose session is shorter than the outage: librdkafka 2.0 may then be fenced by its own return, which is counted and
not demanded. An outage takes 3 s at least: services.sh says why.

The long form: 10 kills.
"""
import pathlib
import subprocess
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "support"))
import chaos
import harness
from harness import expect, expect_equal, wait_until

WORKERS, PARTITIONS, RECOVERY_S = 3, 4, 10


def kill_broker(stack, name, down_s, **options):
    kills, jobs_each = stack.size(2, 10), 600
    with stack.fleet(name, partitions=PARTITIONS) as fleet:
        herd = chaos.Herd(fleet, WORKERS, simulated_us="0,20000", **options,
                          **{"kafka.reconnect.backoff.max.ms": 500}).wait_ready()
        written, slowest_s = 0, 0
        for _ in range(kills):
            enough = chaos.count_answers(fleet) + stack.random.randrange(20, 100)
            chaos.write_pictures(fleet, jobs_each, PARTITIONS, start=written)
            written += jobs_each
            wait_until(lambda: chaos.count_answers(fleet) > enough, "work is going on")
            stack.kill("kafka")
            time.sleep(down_s)  # the outage itself
            stack.start("kafka")
            back = time.monotonic()
            before = chaos.count_answers(fleet)
            chaos.write_pictures(fleet, PARTITIONS, PARTITIONS, start=written)  # all others may be answered by now
            written += PARTITIONS
            wait_until(lambda: chaos.count_answers(fleet) > before, "answers come again", RECOVERY_S)
            slowest_s = max(slowest_s, time.monotonic() - back)
        chaos.wait_all(fleet, None, written, 120)
        expect_equal([worker.alive() for worker in herd.workers], [True] * WORKERS, "workers alive")
        answers = chaos.check(fleet, written, chaos.wanted_logits(range(written)))
        expect_equal(chaos.error_codes(answers), {}, "jobs answered with an error")
        joined_again = sum(worker.log_text().count("event=joins_again") for worker in herd.workers)
        print(f"{name}: {kills} kills of the broker, {written} jobs, answers again after {slowest_s:.1f} s at most, "
              f"{joined_again} workers fenced and joined again", flush=True)


def test_dynamic_members(stack):
    kill_broker(stack, "dynamic", 0, session_timeout_ms=30000, instance="")


def test_static_members(stack):
    kill_broker(stack, "static", 4, session_timeout_ms=6000)


def take_instance(stack, fleet, instance):
    """Joins the group under a worker's name and dies: the broker has that name for somebody else now."""
    command = ["kcat", "-b", stack.brokers, "-X", f"group.instance.id={instance}", "-X", "session.timeout.ms=6000",
               "-X", "partition.assignment.strategy=range", "-G", fleet.name,
               fleet.topics["jobs_topic"], fleet.topics["urgent_jobs_topic"]]
    log = stack.folder / f"{fleet.name}-thief.log"
    with open(log, "wb") as stream:
        thief = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=stream)
    stack.register("thief", thief.pid)
    wait_until(lambda: "assigned" in log.read_text(errors="replace"), "the name is taken")
    thief.kill()
    thief.wait()


def replace_worker(fleet, answered):
    """Another worker of the same name, on the direct way to the broker, answers everything and dies."""
    other = fleet.start("w0", backend="simulated", instance="w0", session_timeout_ms=6000,
                        environment={"SKINSIGHT_SIMULATED_US": "0,1000"})
    chaos.wait_all(fleet, None, answered, 60)
    other.kill()


def test_session_runs_out(stack):
    """Behind an outage longer than its session a worker is back in its group, fenced by its own return or not, and what
    it had in hand, which another has answered meanwhile, is dropped; without an outage the name is somebody else's, and it
    ends."""
    with stack.fleet("fenced", partitions=PARTITIONS) as fleet:
        herd = chaos.Herd(fleet, 1, simulated_us="0,700000", batch_max=1, session_timeout_ms=6000,
                          brokers=stack.proxied).wait_ready()
        worker = herd.workers[0]
        chaos.write_pictures(fleet, 24, PARTITIONS)
        wait_until(lambda: worker.metric("skinsight_unfinished_jobs") >= 12, "the worker has jobs in hand")
        stack.proxy.close()
        wait_until(lambda: "SESSTMOUT" in worker.log_text(), "the worker's session is over")
        replace_worker(fleet, 24)
        stack.proxy.open()
        assigned = 2 * PARTITIONS  # lines: each partition of both topics
        wait_until(lambda: worker.log_text().count("event=assigned") >= 2 * assigned, "the worker is back")
        chaos.write_pictures(fleet, 8, PARTITIONS, start=24)
        chaos.wait_all(fleet, None, 32, 60)
        wait_until(lambda: worker.metric("skinsight_unfinished_jobs") == 0, "it has ended what it had in hand")
        chaos.check(fleet, 32, chaos.wanted_logits(range(32)))
        take_instance(stack, fleet, "w0")
        expect_equal(worker.wait_exit(), 1, "exit code of a worker whose name another took")
        expect("Kafka ended this consumer" in worker.log_text(), "it ended without the reason")


def test_settings_of_the_broker(stack):
    """One that refuses long commit metadata is no place to serve at; one that forgets offsets before the jobs is named. The
    last test: the broker stays so."""
    with stack.fleet("settings", partitions=1) as fleet:
        options = {name: value for name, value in fleet.producer_options.items() if name not in ("feedback_topic", "keep_images")}
        def doctor():
            return harness.run("worker", "doctor", "--model", stack.model(), "--backend", "simulated", *harness.flags(options))
        sound = doctor()
        expect(sound.returncode == 0 and "offsets.retention" not in sound.stdout, f"doctor: {sound.stdout}{sound.stderr}")
        stack._call("stop-broker", stack.folder, 1)
        with open(stack.folder / "kafka/server.properties", "a") as properties:
            properties.write("\noffset.metadata.max.bytes=200\noffsets.retention.minutes=60\n")
        stack._call("start-broker", stack.folder, 1)
        sick = doctor()
        expect(sick.returncode == 1 and "offset.metadata.max.bytes is 200" in sick.stdout, f"doctor: {sick.stdout}{sick.stderr}")
        worker = fleet.start("refuses", backend="simulated")
        expect_equal(worker.wait_exit(), 1, "exit code of a worker whose commits would be refused")
        expect("offset.metadata.max.bytes is 200" in worker.log_text(), f"its last words: {worker.last_words()}")
        small = fleet.start("small", backend="simulated", window=64).wait_ready()
        expect("offsets.retention.minutes=60 is shorter than retention.ms=604800000" in small.log_text(), "nobody is told that "
               "offsets are forgotten too soon")
        chaos.write_pictures(fleet, 4, 1)
        chaos.wait_all(fleet, None, 4, 60)
        chaos.check(fleet, 4, chaos.wanted_logits(range(4)))


if __name__ == "__main__":
    chaos.main([test_dynamic_members, test_static_members, test_session_runs_out, test_settings_of_the_broker], "kafka")

#!/usr/bin/env python3
"""test_broker_kills.py: the broker is killed by SIGKILL under load and started again. No answer is lost or doubled, the
workers live through it, and 10 s after the broker is back answers come again. The workers are dynamic members: a static one
that a broker has lost from its group is fenced by its own return in librdkafka 2.0, ends, and is its supervisor's to start.

The long form: 10 kills.
"""
import pathlib
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "support"))
import chaos
from harness import expect_equal, wait_until

WORKERS, PARTITIONS, RECOVERY_S = 3, 4, 10


def test_broker_kills(stack):
    kills, jobs_each = stack.size(2, 10), 600
    with stack.fleet("broker", partitions=PARTITIONS) as fleet:
        herd = chaos.Herd(fleet, WORKERS, simulated_us="0,20000", session_timeout_ms=30000, instance="",
                          **{"kafka.reconnect.backoff.max.ms": 500}).wait_ready()
        written, slowest_s = 0, 0
        for _ in range(kills):
            chaos.write_pictures(fleet, jobs_each, PARTITIONS, start=written)
            written += jobs_each
            enough = chaos.count_answers(fleet) + stack.random.randrange(20, 100)
            wait_until(lambda: chaos.count_answers(fleet) > enough, "work is going on")
            stack.kill("kafka")
            stack.start("kafka")
            back = time.monotonic()
            before = chaos.count_answers(fleet)
            wait_until(lambda: chaos.count_answers(fleet) > before, "answers come again", RECOVERY_S)
            slowest_s = max(slowest_s, time.monotonic() - back)
        chaos.wait_all(fleet, None, written, 120)
        expect_equal([worker.alive() for worker in herd.workers], [True] * WORKERS, "workers alive")
        answers = chaos.check(fleet, written, chaos.wanted_logits(range(written)))
        expect_equal(chaos.error_codes(answers), {}, "jobs answered with an error")
        print(f"{kills} kills of the broker, {written} jobs, answers again after {slowest_s:.1f} s at most", flush=True)


if __name__ == "__main__":
    chaos.main([test_broker_kills], "kafka")

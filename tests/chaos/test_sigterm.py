#!/usr/bin/env python3
"""test_sigterm.py: workers stopped in good order under load, again and again. Each drains in time and exits 0, and no
job that it had finished is computed again. A second SIGTERM ends the worker at once, and nothing is lost by it.

The long form: 50 stops.
"""
import pathlib
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "support"))
import chaos
from harness import expect, expect_equal, wait_until

PARTITIONS, DRAIN_MS, IMAGE_US = 2, 8000, 20000


def worked(worker):
    return worker.metric("skinsight_jobs_answered_total") >= 4


def test_sigterm_drains(stack):
    """One worker at a time, so that whatever is computed twice shows in the sum of what all have computed."""
    stops = stack.size(6, 50)
    with stack.fleet("drain", partitions=PARTITIONS) as fleet:
        jobs = stops * 40
        chaos.write_pictures(fleet, jobs, PARTITIONS)
        slowest_s, computed = 0, 0
        for number in range(stops):
            worker = fleet.start(f"d{number}", backend="simulated", batch_max=4, drain_timeout_ms=DRAIN_MS, instance="d",
                                 environment={"SKINSIGHT_SIMULATED_US": f"0,{IMAGE_US}"}).wait_ready()
            wait_until(lambda: worked(worker) or chaos.count_answers(fleet) == jobs, f"{worker.name} works")
            begun = time.monotonic()
            worker.terminate()
            expect_equal(worker.wait_exit(DRAIN_MS / 1000 + 2), 0, f"exit code of {worker.name}")
            slowest_s = max(slowest_s, time.monotonic() - begun)
        last = fleet.start("last", backend="simulated", instance="d", environment={"SKINSIGHT_SIMULATED_US": "0,1000"})
        chaos.wait_all(fleet, None, jobs, 120)
        answers = chaos.check(fleet, jobs, chaos.wanted_logits(range(jobs)))
        expect(all(answer["provenance"]["attempt"] == 1 for answer in answers), "an orderly stop was taken for a death")
        expect("deaths=1" not in "".join(worker.log_text() for worker in fleet.workers), "a stop was taken for a death")
        last.stop()
        print(f"{stops} stops under load, {jobs} jobs, the slowest took {slowest_s:.1f} s", flush=True)


def test_second_sigterm(stack):
    """A worker with seconds of work in hand leaves at once when told twice."""
    with stack.fleet("twice", partitions=PARTITIONS) as fleet:
        jobs = 60
        chaos.write_pictures(fleet, jobs, PARTITIONS)
        worker = fleet.start("twice", backend="simulated", batch_max=8, instance="d", drain_timeout_ms=60000,
                             environment={"SKINSIGHT_SIMULATED_US": "0,500000"}).wait_ready()
        wait_until(lambda: worker.metric("skinsight_batches_total") >= 1, "the worker works")
        worker.terminate()
        wait_until(lambda: "event=stopping" in worker.log_text(), "the drain begins")
        begun = time.monotonic()
        worker.terminate()
        expect_equal(worker.wait_exit(3), 1, "exit code after the second SIGTERM")
        print(f"gone {time.monotonic() - begun:.2f} s after the second SIGTERM", flush=True)
        fleet.start("after", backend="simulated", instance="d", environment={"SKINSIGHT_SIMULATED_US": "0,1000"})
        chaos.wait_all(fleet, None, jobs, 60)
        chaos.check(fleet, jobs, chaos.wanted_logits(range(jobs)))


if __name__ == "__main__":
    chaos.main([test_sigterm_drains, test_second_sigterm], "kafka")

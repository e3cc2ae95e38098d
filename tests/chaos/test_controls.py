#!/usr/bin/env python3
"""test_controls.py: negative controls. Each rule is broken by a switch of the worker (worker/faults.h), and the checker
must say so; the same procedure without the switch must pass. Those of renewal and of leaks stand in test_late_requests.py
and soak.py.
"""
import pathlib
import re
import signal
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "support"))
import chaos
import harness
from harness import expect, wait_until

SESSION_MS = 1500


def complaints(fleet, written):
    """What the checker says once no worker runs any more."""
    for worker in fleet.workers:
        worker.kill()
    try:
        chaos.check(fleet, written, chaos.wanted_logits(range(written)))
    except harness.Failure as failure:
        return str(failure)
    return ""


def judge(stack, procedure, switch, word):
    """Runs it as it is and with the switch: no complaint, then one with that word."""
    name = procedure.__name__.replace("_", "-")
    for environment in (None, {switch: "1"}):
        label = f"{name}-{'broken' if environment else 'sound'}"
        with stack.fleet(label, partitions=1) as fleet:
            said = complaints(fleet, procedure(stack, fleet, environment))
        if environment:
            expect(word in said, f"{switch}: the fault did not show; the checker said: {said}")
            print(f"{switch}: {said.splitlines()[1].strip()}", flush=True)
        else:
            expect(not said, f"without {switch}: {said}")


def killed_before_publishing(stack, fleet, environment):
    """The worker dies while its answer is on the way to the broker."""
    herd = chaos.Herd(fleet, 1, simulated_us="1000,0", batch_max=1, commit_interval_ms=1, brokers=stack.proxied,
                      session_timeout_ms=SESSION_MS, environment=environment, **{"kafka.client.id": "control"}).wait_ready()
    chaos.write_pictures(fleet, 1, 1)
    chaos.wait_all(fleet, None, 1, 60)
    held = len(stack.proxy.done("hold"))
    stack.proxy.tell("clear", "Produce 1 control hold")
    chaos.write_pictures(fleet, 1, 1, start=1)
    wait_until(lambda: len(stack.proxy.done("hold")) > held, "the answer is held")
    herd.workers[0].kill()
    stack.proxy.tell("clear")
    herd.tend()
    chaos.write_pictures(fleet, 1, 1, start=2)
    last = fleet.jobs()[-1].offset
    wait_until(lambda: last in {answer["provenance"]["source"]["offset"] for answer in chaos.answers_of(fleet)},
               "the job after it is answered")
    if not environment:  # jobs overtake each other
        chaos.wait_all(fleet, None, 3, 60)
    return 3


def stopped_past_the_session(stack, fleet, environment):
    """A worker with jobs in hand is stopped until another has answered them, and goes on."""
    jobs = 12
    herd = chaos.Herd(fleet, 2, simulated_us="0,300000", batch_max=1, session_timeout_ms=SESSION_MS, commit_interval_ms=1,
                      environment=environment).wait_ready()
    first = herd.workers[0]  # the partition goes to the first by name, before and after
    both = re.compile(f"group {fleet.name} generation [0-9]+ with 2 members")
    wait_until(lambda: both.search((stack.folder / "kafka.log").read_text()), "both are members")
    wait_until(lambda: first.metric("skinsight_assigned_partitions") == 2, "the partitions are with the first")
    chaos.write_pictures(fleet, jobs, 1)
    wait_until(lambda: first.metric("skinsight_unfinished_jobs") >= 4, "it has jobs in hand")
    first.process.send_signal(signal.SIGSTOP)
    chaos.wait_all(fleet, None, jobs, 60)
    first.process.send_signal(signal.SIGCONT)
    wait_until(lambda: first.metric("skinsight_unfinished_jobs") == 0, "it has ended what it had")
    return jobs


def pictures_with_a_cache(stack, fleet, environment):
    chaos.Herd(fleet, 1, simulated_us="0,1000", cache=stack.env["REDIS_URL"], environment=environment).wait_ready()
    for jobs in (20, 40):  # the later ones find what the first ones left there
        chaos.write_pictures(fleet, 20, 1, start=jobs - 20)
        chaos.wait_all(fleet, None, jobs, 60)
    return 40


def test_commit_before_publishing(stack):
    judge(stack, killed_before_publishing, "SKINSIGHT_TEST_COMMIT_FIRST", "0 terminal records")


def test_stale_jobs_kept(stack):
    judge(stack, stopped_past_the_session, "SKINSIGHT_TEST_KEEP_STALE", "2 terminal records")


def test_short_cache_key(stack):
    judge(stack, pictures_with_a_cache, "SKINSIGHT_TEST_SHORT_KEY", "logits")


if __name__ == "__main__":
    chaos.main([test_commit_before_publishing, test_stale_jobs_kept, test_short_cache_key], "kafka", "redis")

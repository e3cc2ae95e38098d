#!/usr/bin/env python3
"""test_stops.py: zombies. Workers are stopped by SIGSTOP for longer than the group's session, so that others get
their partitions, and continued in the middle of whatever they were doing. Nothing they publish then may be seen.

The long form: 100 stops.
"""
import pathlib
import re
import signal
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "support"))
import chaos
from harness import Failure, expect, expect_equal, wait_until

WORKERS, PARTITIONS, SESSION_MS = 4, 8, 1500
REMOVAL_S = 30  # a broker removes a silent member after its session; this is for a machine that is busy


def is_member(broker_log, instance):
    """Whether the broker has said that an instance joined, and not since that it was removed."""
    changes = re.findall(rf"groupInstanceId={instance} .*joins|Member {instance}-\S+ .*has failed", broker_log)
    return bool(changes) and changes[-1].endswith("joins")


def holds_partitions(worker):
    try:
        return worker.metric("skinsight_assigned_partitions") > 0
    except (OSError, Failure):  # it ended meanwhile
        return False


class Stopper:
    """Stops one worker after the other, at most two at once: each while it holds partitions, until the broker has given
    them away and a while longer."""

    def __init__(self, stack, herd, stops):
        self.random, self.herd, self.left = stack.random, herd, stops
        self.broker_log = stack.folder / "kafka.log"
        self.stopped = {}  # by number: worker, since when, until when; None before the broker has removed it
        self.next = time.monotonic() + 1

    def step(self):
        now = time.monotonic()
        broker_log = self.broker_log.read_text(errors="replace")
        for number, (worker, since, until) in list(self.stopped.items()):
            if until is None and not is_member(broker_log, f"w{number}"):
                self.stopped[number] = worker, since, now + self.random.uniform(0, 2)
            elif until is None:
                expect(now - since < REMOVAL_S, f"{worker.name} has been stopped for {REMOVAL_S} s and is still a member")
            elif now >= until:
                worker.process.send_signal(signal.SIGCONT)
                del self.stopped[number]
        if self.left and now >= self.next and len(self.stopped) < 2:
            self.stop_one(now, broker_log)

    def stop_one(self, now, broker_log):
        number = self.random.randrange(WORKERS)
        worker = self.herd.workers[number]
        if number in self.stopped or not is_member(broker_log, f"w{number}") or not holds_partitions(worker):
            return
        worker.process.send_signal(signal.SIGSTOP)
        self.stopped[number] = worker, now, None
        self.left -= 1
        self.next = now + self.random.uniform(0.5, 2)


def test_stops(stack):
    """Jobs are written as they are answered, so that there is work until the last stop is over."""
    stops = stack.size(12, 100)
    with stack.fleet("stopped", partitions=PARTITIONS) as fleet:
        herd = chaos.Herd(fleet, WORKERS, simulated_us="0,20000", session_timeout_ms=SESSION_MS,
                          transaction_timeout_ms=5000).wait_ready()
        stopper = Stopper(stack, herd, stops)
        written, answered, looked = 0, 0, 0
        while stopper.left or stopper.stopped:
            if time.monotonic() - looked > 1:
                answered, looked = chaos.count_answers(fleet), time.monotonic()
            if written - answered < 200:
                chaos.write_pictures(fleet, 200, PARTITIONS, start=written)
                written += 200
            stopper.step()
            herd.tend()
            time.sleep(0.02)  # between two looks
        chaos.wait_all(fleet, herd, written, 120)
        answers = chaos.check(fleet, written, chaos.wanted_logits(range(written)))
        expect_equal(chaos.error_codes(answers), {}, "jobs answered with an error")
        lost = sum(worker.log_text().count("event=assignment_lost") for worker in fleet.workers)
        print(f"{stops} stops, each until the broker had given the partitions away; {lost} assignments lost, "
              f"{herd.starts - WORKERS} workers ended and were started again, {written} jobs, 0 stale answers", flush=True)


def test_offsets_gone_back(stack):
    """The broker gives an older offset than the worker has committed, as one that still reads its log may: it is not
    believed, nothing is answered twice, and once the offset is right the work goes on."""
    with stack.fleet("gone-back", partitions=1) as fleet:
        topic = fleet.topics["jobs_topic"]
        herd = chaos.Herd(fleet, 1, simulated_us="0,1000", session_timeout_ms=SESSION_MS).wait_ready()
        worker = herd.workers[0]
        chaos.write_pictures(fleet, 20, 1)
        chaos.wait_all(fleet, None, 20, 60)
        worker.process.send_signal(signal.SIGSTOP)
        wait_until(lambda: chaos.commit_from_outside(stack, fleet.name, topic, 0, 7), "the group is empty and takes an offset")
        worker.process.send_signal(signal.SIGCONT)
        wait_until(lambda: "committed past" in worker.log_text(), "the worker says why it waits")
        chaos.write_pictures(fleet, 5, 1, start=20)
        worker.process.send_signal(signal.SIGSTOP)
        wait_until(lambda: chaos.commit_from_outside(stack, fleet.name, topic, 0, 20), "the group takes the right offset")
        expect_equal(chaos.count_answers(fleet), 20, "answers while the offset was wrong")
        worker.process.send_signal(signal.SIGCONT)
        chaos.wait_all(fleet, None, 25, 60)
        expect_equal(herd.starts, 1, "starts of the worker")
        expect(worker.metric("skinsight_offsets_refused_total") >= 1, "offsets that were refused are not counted")
        chaos.check(fleet, 25, chaos.wanted_logits(range(25)), history_too=False)  # the test itself set it back


if __name__ == "__main__":
    chaos.main([test_stops, test_offsets_gone_back], "kafka")

#!/usr/bin/env python3
"""test_three_brokers.py: three brokers that keep everything, and what befalls them while three workers are at work. One
is killed, one is stopped for longer than its session, each is restarted in turn, and two are missing, so that nothing can
be written. The broker that is killed or stopped keeps the group and a worker's transactions, and leads partitions. No
answer is lost or doubled, no worker ends, and from each fault, or its end where nothing can be written before that, it
takes 15 s at most until a new job in each partition is answered; longer only on a machine with other work, in proportion.

The long form: 30 faults of these four kinds, in an order out of the seed.
"""
import os
import pathlib
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "support"))
import chaos
import cluster
import harness
from harness import expect, expect_equal, wait_until

WORKERS, PARTITIONS, BROKERS, RECOVERY_S = 3, 3, 3, 15
BACKLOG = 150  # routine jobs that are waiting when a fault comes


class Load:
    """A fleet at work, and how long it takes to recover."""

    def __init__(self, stack, fleet):
        self.stack, self.fleet = stack, fleet
        self.herd = chaos.Herd(fleet, WORKERS, simulated_us="0,50000", session_timeout_ms=6000).wait_ready()
        self.written, self.recoveries = 0, []

    def write(self, count, **how):
        chaos.write_pictures(self.fleet, count, PARTITIONS, start=self.written, **how)
        self.written += count

    def begin(self):
        """More work than is done before the fault."""
        answered = chaos.count_answers(self.fleet)
        self.write(BACKLOG)
        wait_until(lambda: chaos.count_answers(self.fleet) > answered + 10, "work is going on")

    def urgent_keys(self):
        return {record.key for record in self.fleet.read("urgent_jobs_topic")}

    def recovers(self, fault, since):
        """Urgent jobs, one in each partition, go past what is waiting."""
        before = self.urgent_keys()
        self.write(PARTITIONS, urgent=True)
        new = self.urgent_keys() - before
        expect_equal(len(new), PARTITIONS, "new urgent jobs")
        wait_until(lambda: new <= {record.key for record in self.fleet.answers()}, f"{fault}: each partition is answered")
        seconds, load = time.monotonic() - since, os.getloadavg()[0]
        self.recoveries.append((fault, seconds, max(1, load / (2 * os.cpu_count()))))
        print(f"{fault}: answers again after {seconds:.1f} s, load {load:.0f}", flush=True)

    def check(self):
        chaos.wait_all(self.fleet, None, self.written, 180)
        expect_equal([worker.alive() for worker in self.herd.workers], [True] * WORKERS, "workers alive")
        answers = chaos.check(self.fleet, self.written, chaos.wanted_logits(range(self.written)))
        expect_equal(chaos.error_codes(answers), {}, "jobs answered with an error")
        slow = [entry for entry in self.recoveries if entry[1] > RECOVERY_S * entry[2]]
        expect(not slow, f"recovery took longer than {RECOVERY_S} s, with the load's factor: {slow}")


# ---- the faults --------------------------------------------------------------------------------------------


def busiest(load):
    """The broker that keeps the group, and leads partitions."""
    return cluster.coordinator(load.stack, load.fleet.name, cluster.GROUP)


def kill(load):
    number = busiest(load)
    load.begin()
    began = time.monotonic()
    load.stack.broker("kill", number)
    load.recovers("killed", began)
    load.stack.broker("start", number)


def stop(load):
    number = busiest(load)
    load.begin()
    began = time.monotonic()
    load.stack.broker("pause", number)
    load.recovers("stopped", began)
    load.stack.broker("continue", number)


def restart_each(load):
    for number in range(1, BROKERS + 1):
        cluster.wait_whole(load.stack)
        load.begin()
        began = time.monotonic()
        load.stack.broker("stop", number)
        load.recovers("restarted", began)
        load.stack.broker("start", number)


def two_are_missing(load):
    """Writes are refused, the workers say so and wait."""
    left = busiest(load)
    killed, stopped = (number for number in range(1, BROKERS + 1) if number != left)
    load.begin()
    load.stack.broker("kill", killed)
    load.stack.broker("pause", stopped)
    for worker in load.herd.workers:
        reason = wait_until(lambda: (told := worker.get("/readyz"))[0] == 503 and told[1], f"{worker.name} is not ready")
        print(f"two are missing: {reason.strip()}", flush=True)
    answered = chaos.count_answers(load.fleet)
    began = time.monotonic()
    load.stack.broker("continue", stopped)
    load.recovers("two were missing", began)
    expect(answered < load.written, "everything was answered before")
    for worker in load.herd.workers:
        worker.wait_ready()
    load.stack.broker("start", killed)


FAULTS = (kill, stop, two_are_missing, restart_each)


def test_faults(stack):
    with stack.fleet("three", partitions=PARTITIONS) as fleet:
        load = Load(stack, fleet)
        faults = FAULTS if not stack.full else stack.random.choices(FAULTS, k=30)
        for fault in faults:
            cluster.wait_whole(stack)
            fault(load)
        load.check()
        fault, seconds, _ = max(load.recoveries, key=lambda entry: entry[1])
        print(f"{len(faults)} faults, {load.written} jobs, answers again after {seconds:.1f} s at most ({fault})",
              flush=True)


if __name__ == "__main__":
    chaos.main([test_faults], "kafka", brokers=BROKERS)

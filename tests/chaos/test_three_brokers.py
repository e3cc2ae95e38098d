#!/usr/bin/env python3
"""test_three_brokers.py: three brokers that keep everything, and what befalls them while three workers are at work. One
is killed, one is stopped for longer than its session, each is restarted in turn, and two are missing, so that nothing can
be written. The broker that is killed or stopped keeps the group and a worker's transactions, and leads partitions. No
answer is lost or doubled, no worker ends, and from each fault, or its end where nothing can be written before that, it
takes 15 s at most until a new job in each partition is answered; longer only on a machine with other work, in proportion.

Then one of four partitions has its only copy on a broker that is killed: the others are answered while workers restart.

The long form: 30 faults of these four kinds, in an order out of the seed; 20 restarts.
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


def factor():
    """By how much longer things may take on a machine with this much other work."""
    return max(1, os.getloadavg()[0] / (2 * os.cpu_count()))


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
        seconds = time.monotonic() - since
        self.recoveries.append((fault, seconds, factor()))
        print(f"{fault}: answers again after {seconds:.1f} s, load {os.getloadavg()[0]:.0f}", flush=True)

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


# ---- a partition without a leader --------------------------------------------------------------------------


def create_jobs_with_one_copy(stack, fleet, alone, keeper):
    """Of four partitions only that one has its copy at keeper."""
    others = [number + 1 for number in range(BROKERS) if number + 1 != keeper]
    replicas = [[keeper if partition == alone else others[partition % 2]] for partition in range(4)]
    cluster.create_topic(stack, fleet.topics["jobs_topic"], replicas, min_insync_replicas=1)
    fleet.create_topics(4)


def test_one_has_no_leader(stack):
    """The others are answered after each restart of a worker; once its broker is back, its jobs are as well."""
    with stack.fleet("leaderless", topics=False) as fleet:
        alone, keeper = stack.random.randrange(4), stack.random.randrange(BROKERS) + 1
        create_jobs_with_one_copy(stack, fleet, alone, keeper)
        herd = chaos.Herd(fleet, 2, simulated_us="0,5000", session_timeout_ms=3000).wait_ready()
        wait_new(fleet, range(4), time.monotonic())
        chaos.write_pictures(fleet, 20, 4)  # some of the partition's own are open
        stack.broker("kill", keeper)
        others = [partition for partition in range(4) if partition != alone]
        slowest = max(restart(fleet, herd, turn, others) for turn in range(stack.size(2, 20)))
        sentence = f"{fleet.topics['jobs_topic']} partition {alone} can't be read"
        expect(any(sentence in worker.log_text() for worker in herd.workers), "no log names the partition")
        stack.broker("start", keeper)
        cluster.wait_whole(stack)
        jobs = 12 + 20 + 9 * stack.size(2, 20)
        chaos.wait_all(fleet, None, jobs, 60)
        chaos.check(fleet, jobs)
        print(f"partition {alone} of broker {keeper}: the others are answered {slowest:.1f} s after a restart at most, "
              f"load {os.getloadavg()[0]:.0f}", flush=True)
        expect(slowest <= RECOVERY_S * factor(), f"that took {slowest:.1f} s")


def restart(fleet, herd, turn, partitions):
    """One worker, killed or in good order; gives the seconds until they are answered."""
    number = turn % len(herd.workers)
    herd.workers[number].stop() if number else herd.workers[number].kill()
    began = time.monotonic()
    herd.workers[number] = herd.launch(number)
    return wait_new(fleet, partitions, began)


def wait_new(fleet, partitions, since):
    """Three new jobs in each of them; gives the seconds until all have their answers."""
    new = {partition: [chaos.job(number, fleet.stack.random) for number in range(3)] for partition in partitions}
    for partition, jobs in new.items():
        fleet.write_jobs(jobs, partition=partition)
    keys = {key for jobs in new.values() for key, _ in jobs}
    wait_until(lambda: keys <= {record.key for record in fleet.answers()}, f"answers of the partitions {partitions}")
    return time.monotonic() - since


if __name__ == "__main__":
    chaos.main([test_faults, test_one_has_no_leader], "kafka", brokers=BROKERS)

#!/usr/bin/env python3
"""test_kills.py: workers killed by SIGKILL at random moments. Every job is answered once, rightly, and in at most twice
the time of an undisturbed run; no innocent job is convicted of killing its worker. With 20 kills chance may add half of
that time: where the last of them falls, and whether its partition waits for a session to end. Six short runs took 1.3 to
1.9 times, the long form 1.5.

The long form: 200 kills over 4 workers, 10,000 jobs.
"""
import pathlib
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "support"))
import chaos
from harness import expect, expect_equal

WORKERS, PARTITIONS = 4, 8


class Killer:
    """Kills a random worker whenever so many answers more are there, until all kills are done."""

    def __init__(self, stack, herd, kills, pause_s):
        self.stack, self.herd, self.left, self.pause_s = stack, herd, kills, pause_s
        self.next = time.monotonic() + pause_s

    def step(self):
        if self.left == 0 or time.monotonic() < self.next:
            return
        self.stack.random.choice(self.herd.workers).kill()
        self.left -= 1
        self.next = time.monotonic() + self.stack.random.uniform(0.5, 1.5) * self.pause_s


def run_jobs(stack, name, jobs, kills, undisturbed_s=None):
    """Returns the seconds from the first job to the last answer."""
    with stack.fleet(name, partitions=PARTITIONS) as fleet:
        herd = chaos.Herd(fleet, WORKERS, simulated_us=f"0,{stack.size(40000, 80000)}", session_timeout_ms=6000)
        herd.wait_ready()
        numbers = chaos.write_pictures(fleet, jobs, PARTITIONS)
        killer = Killer(stack, herd, kills, undisturbed_s / kills if kills else 0)
        seconds = chaos.wait_all(fleet, herd, jobs, 120 + 6 * jobs / 50, killer.step)
        answers = chaos.check(fleet, jobs, chaos.wanted_logits(numbers))
        expect_equal(killer.left, 0, "kills that did not come about")
        expect_equal(chaos.error_codes(answers), {}, "jobs answered with an error")
        attempts = sum(answer["provenance"]["attempt"] > 1 for answer in answers)
        print(f"{name}: {jobs} jobs, {kills} kills, {herd.starts} starts, {seconds:.1f} s, "
              f"{attempts} answers at a later attempt", flush=True)
        return seconds


def test_kills(stack):
    jobs, kills = stack.size(1500, 10000), stack.size(20, 200)
    undisturbed_s = run_jobs(stack, "undisturbed", jobs, 0)
    disturbed_s = run_jobs(stack, "killed", jobs, kills, undisturbed_s)
    expect(disturbed_s <= (2 if stack.full else 2.5) * undisturbed_s,
           f"{disturbed_s:.1f} s with kills, {undisturbed_s:.1f} s without")


if __name__ == "__main__":
    chaos.main([test_kills], "kafka")

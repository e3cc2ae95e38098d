#!/usr/bin/env python3
"""test_stops.py: zombies. Workers are stopped by SIGSTOP for longer than the group's session, so that others get
their partitions, and continued in the middle of whatever they were doing. Nothing they publish then may be seen.

The long form: 100 stops.
"""
import pathlib
import signal
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "support"))
import chaos
from harness import expect, expect_equal

WORKERS, PARTITIONS, SESSION_MS = 4, 8, 1500


class Stopper:
    """Stops one worker after the other, at most two at once, each for longer than the session."""

    def __init__(self, stack, herd, stops):
        self.random, self.herd, self.left = stack.random, herd, stops
        self.until = {}
        self.next = time.monotonic() + 1

    def step(self):
        now = time.monotonic()
        for worker in [worker for worker, until in self.until.items() if now >= until]:
            worker.process.send_signal(signal.SIGCONT)
            del self.until[worker]
        running = [worker for worker in self.herd.workers if worker not in self.until and worker.alive()]
        if self.left and now >= self.next and len(self.until) < 2 and len(running) > 1:
            worker = self.random.choice(running)
            worker.process.send_signal(signal.SIGSTOP)
            self.until[worker] = now + SESSION_MS / 1000 + self.random.uniform(0.5, 2.5)
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
        while stopper.left or stopper.until:
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
        expect(lost >= stops / 4, f"only {lost} of {stops} stopped workers lost their partitions")
        print(f"{stops} stops, {lost} assignments lost, {herd.starts - WORKERS} workers ended and were started again, "
              f"{written} jobs, 0 stale answers", flush=True)


if __name__ == "__main__":
    chaos.main([test_stops], "kafka")

#!/usr/bin/env python3
"""test_rebalance_storm.py: a worker joins, leaves in good order or is killed every 2 s, with 2 to 8 workers on 8
partitions. Every job is answered once and rightly, and little is computed for nothing.

The long form: 5 minutes.
"""
import pathlib
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "support"))
import chaos
from harness import Failure, expect, expect_equal

LEAST, MOST, PARTITIONS, PAUSE_S = 2, 8, 8, 2
WASTE_LIMIT = 0.10


class Storm:
    def __init__(self, stack, fleet):
        self.stack, self.fleet, self.random = stack, fleet, stack.random
        self.started = 0
        self.running, self.leaving = [], []
        self.computed = {}  # images that each worker's device has computed, as last seen
        self.events = {"join": 0, "leave": 0, "kill": 0}
        for _ in range(4):
            self.join()

    def join(self):
        static = {"instance": f"s{self.started}"} if self.started % 2 else {}
        worker = self.fleet.start(f"s{self.started}", backend="simulated", batch_max=4, session_timeout_ms=3000,
                                  environment={"SKINSIGHT_SIMULATED_US": "0,80000"}, **static)
        self.started += 1
        self.running.append(worker)

    def look(self):
        for worker in [*self.running, *self.leaving]:
            try:
                self.computed[worker.name] = worker.metric("skinsight_batch_size_images_sum")
            except (OSError, Failure):
                pass  # not up yet, or gone

    def step(self):
        """One join, leave or kill."""
        self.look()
        for worker in [worker for worker in self.leaving if not worker.alive()]:
            expect_equal(worker.process.returncode, 0, f"exit code of {worker.name}")
            self.leaving.remove(worker)
        kinds = ["join"] * (len(self.running) < MOST) + ["leave", "kill"] * (len(self.running) > LEAST)
        kind = self.random.choice(kinds)
        self.events[kind] += 1
        if kind == "join":
            self.join()
            return
        worker = self.running.pop(self.random.randrange(len(self.running)))
        if kind == "kill":
            worker.kill()
        else:
            worker.terminate()
            self.leaving.append(worker)


def test_rebalance_storm(stack):
    seconds = stack.size(24, 300)
    with stack.fleet("storm", partitions=PARTITIONS) as fleet:
        storm = Storm(stack, fleet)
        until, written, next_event, looked, answered = time.monotonic() + seconds, 0, 0, 0, 0
        while time.monotonic() < until:
            if time.monotonic() - looked > 1:
                answered, looked = chaos.count_answers(fleet), time.monotonic()
            if written - answered < 200:
                chaos.write_pictures(fleet, 200, PARTITIONS, start=written)
                written += 200
            if time.monotonic() > next_event:
                storm.step()
                next_event = time.monotonic() + PAUSE_S
            time.sleep(0.05)  # between two looks
        chaos.wait_all(fleet, None, written, 180)
        storm.look()
        answers = chaos.check(fleet, written, chaos.wanted_logits(range(written)))
        expect_equal(chaos.error_codes(answers), {}, "jobs answered with an error")
        waste = sum(storm.computed.values()) / written - 1
        print(f"{storm.events} in {seconds} s, {written} jobs, at least {max(waste, 0):.1%} computed for nothing", flush=True)
        expect(waste <= WASTE_LIMIT, f"{waste:.1%} of the images were computed for nothing")


if __name__ == "__main__":
    chaos.main([test_rebalance_storm], "kafka")

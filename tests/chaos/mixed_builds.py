#!/usr/bin/env python3
"""mixed_builds.py: two builds in one group, as in an upgrade and in a rollback. `--old-bin FOLDER` holds the programs of
the build before this one. Three workers under load are replaced one after the other by the other build, killed or stopped
in good order, and workers are killed while the group is mixed; first old ones by new ones, then the other way round. No
job is lost, answered twice or convicted, and no worker ends by itself. It is no part of the test run, as it needs a second
build; --jobs says how long it takes.
"""
import argparse
import pathlib
import random
import shutil
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "support"))
import chaos
import harness
from harness import expect, expect_equal, wait_until

WORKERS, PARTITIONS = 3, 4


class Mixed:
    """The herd, and which build each worker is of."""

    def __init__(self, stack, fleet, old_bin, jobs):
        self.stack, self.fleet, self.jobs, self.written, self.kills = stack, fleet, jobs, 0, 0
        old = {"program": (old_bin / "skinsight-worker").resolve()}
        described = harness.run("worker", "run", "--help").stdout
        new = {"metadata_format": "ss1"} if "--metadata-format" in described else {}
        common = {"backend": "simulated", "batch_max": 4, "session_timeout_ms": 6000, "cache": stack.redis_url}
        self.options = {"old": {**common, **old}, "new": {**common, **new}}
        self.herd = chaos.Herd(fleet, 0, simulated_us="0,20000")
        self.builds = ["old"] * WORKERS

    def launch(self, number):
        self.herd.options = self.options[self.builds[number]]
        return self.herd.launch(number)

    def start(self):
        self.herd.workers = [self.launch(number) for number in range(WORKERS)]
        self.herd.wait_ready()

    def end(self, number, how):
        worker = self.herd.workers[number]
        expect(worker.alive(), f"{worker.name} ended by itself: {worker.last_words()}")
        worker.stop() if how == "stop" else worker.kill()

    def work(self):
        """Another portion of jobs; over when a few of them are answered."""
        answered = chaos.count_answers(self.fleet)
        chaos.write_pictures(self.fleet, self.jobs, PARTITIONS, start=self.written)
        self.written += self.jobs
        wait_until(lambda: chaos.count_answers(self.fleet) > answered + 10, "work is going on")

    def replace_all(self, build):
        for number in range(WORKERS):
            self.work()
            self.end(number, self.stack.random.choice(("stop", "kill")))
            self.builds[number] = build
            self.herd.workers[number] = self.launch(number)
            self.work()
            victim = self.stack.random.randrange(WORKERS)
            self.end(victim, "kill")
            self.kills += 1
            self.herd.workers[victim] = self.launch(victim)


def test_both_ways(stack, old_bin, jobs):
    with stack.fleet("mixed", partitions=PARTITIONS) as fleet:
        mixed = Mixed(stack, fleet, old_bin, jobs)
        mixed.start()
        for build in ("new", "old"):
            mixed.replace_all(build)
            chaos.wait_all(fleet, None, mixed.written, 180)
            print(f"{build} workers only: {mixed.written} jobs answered", flush=True)
        expect_equal([worker.alive() for worker in mixed.herd.workers], [True] * WORKERS, "workers alive")
        answers = chaos.check(fleet, mixed.written, chaos.wanted_logits(range(mixed.written)))
        expect_equal(chaos.error_codes(answers), {}, "jobs answered with an error")
        makers = {answer["provenance"]["build"] for answer in answers}
        expect_equal(len(makers), 2, "builds that answered")
        print(f"{len(answers)} jobs, {mixed.kills} kills in a mixed group, builds {sorted(makers)}", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--old-bin", type=pathlib.Path, required=True, help="folder of the other build's programs")
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(1 << 32))
    parser.add_argument("--jobs", type=int, default=100, help="of a portion; there are 12")
    arguments = parser.parse_args()
    harness.skip_without("kcat", "java", "redis-server", str(arguments.old_bin / "skinsight-worker"))
    print(f"seed {arguments.seed}", flush=True)
    with chaos.ChaosStack("kafka", "redis", seed=arguments.seed) as stack:
        passed = harness.run_test(lambda stack: test_both_ways(stack, arguments.old_bin, arguments.jobs), stack)
    if not passed:
        sys.exit(1)
    shutil.rmtree(stack.folder)


if __name__ == "__main__":
    main()

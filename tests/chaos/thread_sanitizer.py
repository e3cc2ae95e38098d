#!/usr/bin/env python3
"""thread_sanitizer.py: the whole pipeline, on the simulated device, under the thread sanitizer: two workers with cache and
attention maps, equal images, urgent jobs, a failing check of the device, kills, joins and orderly stops. No data race may be
reported. tests/chaos/test_tsan.sh builds what it needs and runs it.
"""
import os
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "support"))
import chaos
import harness
from harness import expect, expect_equal, wait_until

PARTITIONS = 2
PRELOAD = harness.BIN / "tsan_threads.so"


def fleet_of(stack, name):
    os.environ["LD_PRELOAD"] = str(PRELOAD)  # for the producer, which makes the topics
    try:
        return stack.fleet(name, partitions=PARTITIONS)
    finally:
        del os.environ["LD_PRELOAD"]


def reports(stack):
    return [path.read_text(errors="replace") for path in stack.folder.glob("tsan.*")]


def herd_of(stack, fleet, count, faults=None, **options):
    suppressions = harness.ROOT / "tests/tsan.supp"
    sanitizer = f"log_path={stack.folder}/tsan exitcode=66 suppressions={suppressions}"
    return chaos.Herd(fleet, count, simulated_us="500,500", cache=stack.redis_url, cache_timeout_ms=2000,
                      environment={"TSAN_OPTIONS": sanitizer, "LD_PRELOAD": str(PRELOAD), **(faults or {})}, **options)


def expect_no_report(stack):
    found = reports(stack)
    expect(not found, f"{len(found)} processes reported races, the first:\n" + "".join(found)[:6000])


def test_pipeline(stack):
    """Equal images ride together, urgent jobs overtake, answers come from the cache; then orderly stops."""
    with fleet_of(stack, "races") as fleet:
        herd = herd_of(stack, fleet, 2, known_answer_batches=5).wait_ready()
        rounds, jobs = stack.size(3, 10), 100
        for round_ in range(rounds):
            chaos.write_pictures(fleet, jobs, PARTITIONS, start=round_ * jobs // 2)
            chaos.write_pictures(fleet, jobs, PARTITIONS, start=round_ * jobs // 2, urgent=True)
            for path in ("/metrics", "/readyz", "/healthz"):
                herd.workers[0].get(path)
        written = 2 * rounds * jobs
        chaos.wait_all(fleet, herd, written, 240)
        herd.stop()
        expect_equal(herd.starts, 2, "starts of the workers")
        chaos.check(fleet, written, chaos.wanted_logits(range((rounds + 1) * jobs)))
        expect_no_report(stack)
        print(f"pipeline: {written} jobs, 0 reports", flush=True)


def test_kills(stack):
    """Workers are killed and started again, so that partitions come and go while everything runs."""
    with fleet_of(stack, "killed") as fleet:
        herd = herd_of(stack, fleet, 2).wait_ready()
        kills, jobs, written = stack.size(3, 20), 60, 0
        for kill in range(kills):
            before = chaos.count_answers(fleet)  # of the jobs to come all may be answered before the next look
            chaos.write_pictures(fleet, jobs, PARTITIONS, start=written)
            written += jobs
            wait_until(lambda: chaos.count_answers(fleet) > before, "the jobs are begun")
            herd.workers[kill % 2].kill()
            herd.tend()
        chaos.wait_all(fleet, herd, written, 240)
        herd.stop()
        expect_equal(herd.starts, 2 + kills, "starts of the workers")
        chaos.check(fleet, written, chaos.wanted_logits(range(written)))
        expect_no_report(stack)
        print(f"kills: {kills}, {written} jobs, 0 reports", flush=True)


def test_wrong_device(stack):
    """A device computes wrong: its worker drops what it holds, deletes what it cached and ends; another one does the rest."""
    with fleet_of(stack, "wrong") as fleet:
        jobs = stack.size(100, 400)
        # The check behind 64 batches finds it. The 60 jobs in front are in the cache by then, 28 of them since the check before.
        first = 60
        broken = herd_of(stack, fleet, 1, {"SKINSIGHT_TEST_FLIP_AFTER": "62"}, known_answer_batches=32, batch_max=1).wait_ready()
        chaos.write_pictures(fleet, first, PARTITIONS)
        wait_until(lambda: chaos.count_answers(fleet) == first, "the first jobs are answered")
        chaos.write_pictures(fleet, jobs - first, PARTITIONS, start=first)
        code = broken.workers[0].wait_exit()
        expect_no_report(stack)
        expect_equal(code, 1, "exit code beside a wrong device")
        expect("event=cache_cleaned" in broken.workers[0].log_text(), "nothing was deleted from the cache")
        herd = herd_of(stack, fleet, 1).wait_ready()
        chaos.wait_all(fleet, herd, jobs, 240)
        herd.stop()
        chaos.check(fleet, jobs, chaos.wanted_logits(range(jobs)))
        expect_no_report(stack)
        print(f"wrong device: {jobs} jobs, 0 reports", flush=True)


if __name__ == "__main__":
    expect(PRELOAD.exists(), "this wants the programs of the build tsan: run tests/chaos/test_tsan.sh")
    chaos.main([test_pipeline, test_kills, test_wrong_device], "kafka", "redis")

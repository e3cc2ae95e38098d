#!/usr/bin/env python3
"""test_gateway_overload.py: clinics ask 1.5 and 3 times as fast as the fleet answers. Who is let in is answered in time,
99 of 100 at least; the others are told 503 at the door; nothing is lost or crossed.

The long form: 3 minutes for each rate; the short one: 12 s of the threefold.
"""
import json
import pathlib
import subprocess
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "support"))
import chaos
import harness
from gateway import Gateway
from harness import expect, expect_equal

IMAGE_MS, PICTURES = 50, 500
CAPACITY = 1000 / IMAGE_MS  # of the one worker, images a second
IN_TIME_MS = 3000


def make_pictures(folder):
    """Enough of them that equal ones, which are computed once, seldom meet."""
    folder.mkdir()
    images = sorted(harness.DATA.glob("*.jpg"))
    for number in range(PICTURES):
        image = images[number % len(images)].read_bytes()
        (folder / f"{number}.jpg").write_bytes(harness.with_comment(image, f"picture {number}"))
    return folder


def overload(stack, factor):
    seconds = stack.size(12, 180)
    with stack.fleet(f"gate-{factor}") as fleet, Gateway(fleet, answer_timeout_ms=IN_TIME_MS) as gateway:
        fleet.start("worker", backend="simulated", environment={"SKINSIGHT_SIMULATED_US": f"0,{IMAGE_MS * 1000}"}).wait_ready()
        key = stack.folder / f"key-{factor}"
        key.write_text(gateway.add_key("north").key)
        done = subprocess.run([harness.BIN / "bench_load", f"http://127.0.0.1:{gateway.port}", key, str(factor * CAPACITY),
                               str(seconds), make_pictures(stack.folder / f"pictures-{factor}")],
                              stdout=subprocess.PIPE, text=True)
        print(f"{factor} times {CAPACITY:.0f}/s: {done.stdout.strip()}", flush=True)
        expect_equal(done.returncode, 0, "bench_load's exit code: an answer was crossed or lost")
        figures = json.loads(done.stdout)
        expect(set(figures["refused"]) == {"503"}, f"refused: {figures['refused']}")
        in_time = (figures["answered"] - figures["queued"]) / figures["answered"]
        expect(in_time >= 0.99, f"{in_time:.1%} of those let in were answered in time")
        expect(figures["answered"] >= 0.8 * CAPACITY * seconds, f"only {figures['answered']} were let in")
        jobs, answers = fleet.jobs(), fleet.answers()
        expect_equal((len(jobs), len(answers)), (figures["answered"],) * 2, "jobs, and their answers")


def test_overload(stack):
    for factor in (1.5, 3) if stack.full else (3,):
        overload(stack, factor)


if __name__ == "__main__":
    chaos.main([test_overload], "kafka")

#!/usr/bin/env python3
"""test_intake.py: both topics hold more jobs than the intake lets in at once, and one of its limits binds: jobs, bytes, or
a partition's window of offsets. Urgent jobs still get their share of the device and no more, and the worker does as much
as one without that limit, which runs beside it.

The long form: ten times the jobs, and one worker after the other.
"""
import base64
import concurrent.futures
import contextlib
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "support"))
import chaos
from harness import expect

IMAGE_US = 80000
URGENT_SHARE = 0.80  # of the default
ENOUGH = 0.9  # of what is wanted
URGENT, ROUTINE, WARM_UP = 120, 60, 20  # the urgent ones end before the routine ones
COMMENT = 60000  # bytes of a large picture
LIMITS = {"none": {}, "jobs": {"intake_limit_jobs": 8}, "bytes": {"intake_limit_bytes": 1 << 20}, "window": {"window": 64}}


def large_picture(index):
    return base64.b64encode(chaos.solid_jpeg(chaos.colour(index), comment=b"%8d" % index + bytes(COMMENT - 8))).decode()


def measure(fleet, name, limits, jobs):
    """(answers a second, share of the urgent ones) while jobs of both topics wait."""
    chaos.Herd(fleet, 1, simulated_us=f"0,{IMAGE_US}", **limits)
    chaos.wait_all(fleet, None, jobs, 150)
    answers = chaos.check(fleet, jobs)
    moments = sorted((answer["provenance"]["timestamps"]["inferred"], "urgent" in answer["provenance"]["source"]["topic"])
                     for answer in answers)
    moments = moments[WARM_UP:max(number for number, (_, urgent) in enumerate(moments) if urgent)]
    rate = (len(moments) - 1) / (moments[-1][0] - moments[0][0]) * 1000
    share = sum(urgent for _, urgent in moments) / len(moments)
    print(f"limit of {name} {limits}: {rate:.1f}/s, {share:.0%} of them urgent, over {len(moments)} jobs", flush=True)
    return rate, share


def test_limits_that_bind(stack):
    factor = stack.size(1, 10)
    routine, urgent = ([chaos.job(number, stack.random, image=large_picture(number)) for number in range(first, end)]
                       for first, end in ((0, ROUTINE * factor), (ROUTINE * factor, (ROUTINE + URGENT) * factor)))
    stack.model()  # one for all
    with contextlib.ExitStack() as fleets, concurrent.futures.ThreadPoolExecutor(stack.size(len(LIMITS), 1)) as pool:
        pending = {}
        for name, limits in LIMITS.items():
            fleet = fleets.enter_context(stack.fleet(f"intake-{name}", partitions=1))
            fleet.write_jobs(routine)
            fleet.write_jobs(urgent, urgent=True)
            pending[name] = pool.submit(measure, fleet, name, limits, len(routine) + len(urgent))
        figures = {name: future.result() for name, future in pending.items()}
    for name, (rate, share) in figures.items():
        expect(share >= ENOUGH * URGENT_SHARE, f"limit of {name}: only {share:.0%} of the answers were urgent")
        expect(1 - share >= ENOUGH * (1 - URGENT_SHARE), f"limit of {name}: only {1 - share:.0%} were routine")
        expect(rate >= ENOUGH * figures["none"][0], f"limit of {name}: only {rate:.1f} answers a second")


if __name__ == "__main__":
    chaos.main([test_limits_that_bind], "kafka")

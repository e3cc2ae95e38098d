#!/usr/bin/env python3
"""test_intake.py: both topics hold more jobs than the intake lets in at once, and one of its limits binds: jobs, bytes, or
a partition's window of offsets. Urgent jobs still get their share of the device, routine ones don't starve, and the worker
does as much as one without that limit, which runs beside it. And pictures of 40 megapixels are decoded as memory allows.

The long form: ten times the jobs, and one worker after the other.
"""
import base64
import concurrent.futures
import contextlib
import pathlib
import re
import signal
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "support"))
import chaos
import harness
from harness import expect, expect_equal

IMAGE_US = 80000
URGENT_SHARE = 0.80  # of the default
ENOUGH = 0.9  # of what is wanted
UNDISTURBED = 0.95  # of the device's rate, without a limit; else the processors are the limit, and rates say nothing
URGENT, ROUTINE, WARM_UP = 100, 70, 12  # the urgent ones end before the routine ones
LARGE_SIDE = 6320
PICTURES_BYTES = 256 << 20  # two of these pictures
OTHER_MB = 64  # what librdkafka fetches ahead, and the held list
COMMENT = 60000  # bytes of a large picture
LIMITS = {"none": {}, "jobs": {"intake_limit_jobs": 8}, "bytes": {"intake_limit_bytes": 1 << 20}, "window": {"window": 64}}


def large_picture(index):
    return base64.b64encode(chaos.solid_jpeg(chaos.colour(index), comment=b"%8d" % index + bytes(COMMENT - 8))).decode()


def measure(fleet, name, limits, first, routine, urgent):
    """(answers a second, share of the urgent ones) while jobs of both topics wait."""
    worker = chaos.Herd(fleet, 1, simulated_us=f"0,{IMAGE_US}", **limits).workers[0]
    fleet.write_jobs([first])
    fleet.wait_answers(1)  # its producer is ready
    worker.process.send_signal(signal.SIGSTOP)  # until both topics are full
    fleet.write_jobs(routine)
    fleet.write_jobs(urgent, urgent=True)
    worker.process.send_signal(signal.SIGCONT)
    jobs = 1 + len(routine) + len(urgent)
    chaos.wait_all(fleet, None, jobs, 150)
    answers = chaos.check(fleet, jobs)
    moments = sorted((answer["provenance"]["timestamps"]["inferred"], "urgent" in answer["provenance"]["source"]["topic"])
                     for answer in answers)
    urgent_at = [number for number, (_, is_urgent) in enumerate(moments) if is_urgent]
    moments = moments[urgent_at[0] + WARM_UP:urgent_at[-1]]
    rate = (len(moments) - 1) / (moments[-1][0] - moments[0][0]) * 1000
    share = sum(is_urgent for _, is_urgent in moments) / len(moments)
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
            pending[name] = pool.submit(measure, fleet, name, limits, chaos.job(0, stack.random), routine, urgent)
        figures = {name: future.result() for name, future in pending.items()}
    unlimited = figures["none"][0]
    for name, (rate, share) in figures.items():
        expect(share >= ENOUGH * URGENT_SHARE, f"limit of {name}: only {share:.0%} of the answers were urgent")
        expect(1 - share >= (1 - URGENT_SHARE) / 2, f"limit of {name}: only {1 - share:.0%} were routine: they starve")
    if unlimited < UNDISTURBED * 1e6 / IMAGE_US:
        raise harness.Skipped(f"{unlimited:.1f} answers a second without a limit: others use the processors")
    for name, (rate, _) in figures.items():
        expect(rate >= ENOUGH * unlimited, f"limit of {name}: only {rate:.1f} answers a second")


def peak_kb(worker):
    return int(re.search(r"VmHWM:\s+(\d+)", pathlib.Path(f"/proc/{worker.process.pid}/status").read_text()).group(1))


def test_large_pictures(stack):
    """More decoding threads than there is memory for pictures of 40 megapixels: these wait for each other."""
    jobs = stack.size(8, 64)
    with stack.fleet("large", partitions=1) as fleet:
        herd = chaos.Herd(fleet, 1, simulated_us="0,1000", decode_threads=8, intake_limit_bytes=PICTURES_BYTES).wait_ready()
        worker = herd.workers[0]
        before = peak_kb(worker)
        image = chaos.solid_jpeg(chaos.colour(7), size=LARGE_SIDE)
        fleet.write_jobs([chaos.job(number, stack.random, image=base64.b64encode(harness.with_comment(image, str(number))).decode())
                          for number in range(jobs)])
        chaos.wait_all(fleet, None, jobs, 150)
        used_mb = (peak_kb(worker) - before) / 1024
        answers = chaos.check(fleet, jobs)
        expect_equal(chaos.error_codes(answers), {}, "jobs answered with an error")
    print(f"{jobs} pictures of {LARGE_SIDE}² pixels, {LARGE_SIDE**2 * 3 / 1e6:.0f} MB each when decoded, 8 threads, "
          f"{PICTURES_BYTES >> 20} MiB allowed: {used_mb:.0f} MiB at most", flush=True)
    expect(used_mb <= (PICTURES_BYTES >> 20) + OTHER_MB, f"{used_mb:.0f} MiB")


if __name__ == "__main__":
    chaos.main([test_limits_that_bind, test_large_pictures], "kafka")

#!/usr/bin/env python3
"""test_resources.py: too few descriptors, a full disk, large allocations that fail one at a time, and a wall clock that
jumps an hour ahead and back. Nothing is corrupted; what fails says so; and the worker, or the one that is started in its
place, goes on.
"""
import base64
import collections
import hashlib
import mmap
import pathlib
import re
import resource
import struct
import subprocess
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "support"))
import chaos
import harness
from harness import expect, expect_equal, wait_until

PRELOAD = harness.BIN / "preload_faults.so"
PARTITIONS, JOBS = 2, 40
LARGE = 100 * 1024  # smaller allocations abort by design
LARGE_JOBS = 12


def run_jobs(fleet, herd, written, timeout_s=90):
    chaos.write_pictures(fleet, JOBS, PARTITIONS, start=written)
    chaos.wait_all(fleet, herd, written + JOBS, timeout_s)
    return written + JOBS


def test_few_descriptors(stack):
    """With too few a worker ends at once, with a sentence that says how many it needs; and with those it serves."""
    limited = lambda limit: ["sh", "-c", f'ulimit -n {limit}; exec "$@"', "sh"]
    quick = {"backend": "simulated", "environment": {"SKINSIGHT_SIMULATED_US": "0,1000"}}
    with stack.fleet("descriptors", partitions=PARTITIONS) as fleet:
        for limit in stack.size((12, 32), range(10, 88, 6)):
            worker = fleet.start(f"fd{limit}", wrapper=limited(limit), **quick)
            expect_equal(worker.wait_exit(20), 1, f"exit code with {limit} descriptors")
            said = re.search(r"RLIMIT_NOFILE allows (\d+) open files and connections, (\d+) are needed", worker.log_text())
            expect(said, f"{worker.name} does not say what it lacks: {worker.last_words()}")
            expect_equal(int(said.group(1)), limit, "the limit it names")
        needed = int(said.group(2))
        worker = fleet.start("enough", wrapper=limited(needed), **quick)
        chaos.write_pictures(fleet, JOBS, PARTITIONS)
        chaos.wait_all(fleet, None, JOBS, 60)
        worker.stop()
        soft = fleet.start("soft", wrapper=["sh", "-c", 'ulimit -Sn 20; exec "$@"', "sh"], **quick)
        chaos.write_pictures(fleet, JOBS, PARTITIONS, start=JOBS)
        chaos.wait_all(fleet, None, 2 * JOBS, 60)
        soft.stop()
        chaos.check(fleet, 2 * JOBS, chaos.wanted_logits(range(2 * JOBS)))
        print(f"descriptors: {needed} are asked for, and with them it serves; {2 * JOBS} jobs", flush=True)


def test_descriptors_run_out(stack):
    """In service no file and no connection can be opened any more, and the broker dies meanwhile. The worker lives, answers
    without maps, and once there are descriptors again everything is as before.
    """
    with stack.fleet("emfile", partitions=PARTITIONS) as fleet:
        herd = chaos.Herd(fleet, 1, simulated_us="0,1000", instance="", job_budget_ms=200).wait_ready()
        worker = herd.workers[0]
        written = run_jobs(fleet, herd, 0)
        _, hard = resource.prlimit(worker.process.pid, resource.RLIMIT_NOFILE)
        resource.prlimit(worker.process.pid, resource.RLIMIT_NOFILE, (3, hard))
        written = run_jobs(fleet, herd, written)
        missing = missing_maps(fleet)
        expect_equal(len(missing), JOBS, "maps missing")
        expect(all(missing) and any("Too many open files" in reason for reason in missing), f"reasons {set(missing)}")
        stack.kill("kafka")
        stack.start("kafka")
        chaos.write_pictures(fleet, JOBS, PARTITIONS, start=written)
        written += JOBS
        wait_until(lambda: re.search("event=kafka .*Too many open files", worker.log_text()), "it finds that it can't connect", 60)
        began = time.monotonic()
        resource.prlimit(worker.process.pid, resource.RLIMIT_NOFILE, (hard, hard))
        chaos.wait_all(fleet, herd, written, 60)
        took = time.monotonic() - began
        wait_until(lambda: not still_missing(fleet, herd), "maps are stored again", 60)
        worker.wait_ready()
        expect_equal(herd.starts, 1, "starts of the worker")
        fleet.check()
        print(f"no descriptors in service: {len(missing)} maps missing and explained; {took:.1f} s after there were some "
              f"again all {written} jobs were answered", flush=True)


def test_full_disk(stack):
    """The object store is on a disk of 64 KB: maps that don't fit are reported, and come again when there is room."""
    disk = stack.folder / "disk"
    disk.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", disk], capture_output=True)
    if mounted.returncode != 0:
        raise harness.Skipped("a tmpfs can't be mounted here")
    try:
        with stack.fleet("full", partitions=PARTITIONS, objects=f"file://{disk}/objects") as fleet:
            herd = chaos.Herd(fleet, 1, simulated_us="0,1000", job_budget_ms=200).wait_ready()
            run_jobs(fleet, herd, 0)
            missing = missing_maps(fleet)
            expect(missing, "every map fitted on the disk")
            expect(all("No space left on device" in (reason or "") for reason in missing), f"reasons {set(missing)}")
            subprocess.run(["mount", "-o", "remount,size=64m", disk], check=True)
            wait_until(lambda: not still_missing(fleet, herd), "maps are stored again", 60)
            expect_equal(herd.starts, 1, "starts of the worker")
            fleet.check()
            print(f"full disk: {len(missing)} of {JOBS} maps missing ({missing[0]}); stored again with room", flush=True)
    finally:
        subprocess.run(["umount", "-l", disk], check=True)


def missing_maps(fleet):
    answers = chaos.answers_of(fleet)
    return [answer["prediction"].get("attention_map_error") for answer in answers
            if answer["prediction"]["attention_map_url"] is None]


def still_missing(fleet, herd):
    """Five jobs more: whether one of them lacks its map."""
    before = chaos.count_answers(fleet)
    fleet.write_jobs([chaos.job(10000 + before + number, fleet.stack.random) for number in range(5)])
    chaos.wait_all(fleet, herd, before + 5, 60)
    newest = sorted(chaos.answers_of(fleet), key=lambda answer: answer["provenance"]["timestamps"]["consumed"])[-5:]
    return any(answer["prediction"]["attention_map_url"] is None for answer in newest)


def large_job(index, random_):
    """A job record whose text, image, decoded picture and view are all large; and the image's digest."""
    image = chaos.solid_jpeg(chaos.colour(index), 512)
    for part in range(3):
        image = harness.with_comment(image, f"{index}.{part}" + "x" * 60000)
    return chaos.job(index, random_, image=base64.b64encode(image).decode()), hashlib.sha256(image).hexdigest()


def test_failing_allocations(stack):
    """The nth large allocation fails, for each n. A worker that is ready lives on: the job is answered, with an error or
    without its map. Only where a record can't even be copied does it end, in good order and with that sentence; and one
    that is not ready yet has no job to mark.
    """
    wanted, outcomes, reasons = {}, collections.Counter(), collections.Counter()
    with stack.fleet("memory", partitions=1) as fleet:
        written = 0
        for nth in stack.size((2, 5, 9, 13, 18, 24, 31), range(1, 80)):
            environment = {"LD_PRELOAD": str(PRELOAD), "PRELOAD_MALLOC": f"{LARGE},{nth}", "SKINSIGHT_SIMULATED_US": "0,1000"}
            worker = fleet.start(f"memory{nth}", backend="simulated", instance="m", environment=environment)
            records = []
            for index in range(written, written + LARGE_JOBS):
                record, digest = large_job(index, stack.random)
                records.append(record)
                wanted[digest] = chaos.simulated_logits(index)
            fleet.write_jobs(records)
            written += LARGE_JOBS
            wait_until(lambda: not worker.alive() or chaos.count_answers(fleet) >= written,
                       f"{worker.name} serves or ends", 60)
            if worker.alive():
                worker.stop()
                outcomes["lived"] += 1
                continue
            words = worker.log_text()
            early, copying = "event=assigned" not in words, "no memory for a record" in words
            expect("out of memory" in words if early else copying, f"{worker.name} ended: {worker.last_words()}")
            expect(early or worker.process.returncode == 1, f"{worker.name} did not end in good order: {worker.last_words()}")
            outcomes["ended before its first job" if early else "ended in good order over a record's copy"] += 1
            herd = chaos.Herd(fleet, 1, simulated_us="0,1000", instance="m")
            chaos.wait_all(fleet, herd, written, 60)
            herd.stop()
        answers = chaos.check(fleet, written, wanted)
        errors = dict(chaos.error_codes(answers))
        expect(set(errors) <= {"internal"}, f"errors {errors}: want of memory is no fault of a job")
        reasons.update(answer["error"]["message"].split(" of ")[0] for answer in answers if "error" in answer)
        reasons.update(answer["prediction"]["attention_map_error"] for answer in answers
                       if "prediction" in answer and answer["prediction"]["attention_map_url"] is None)
        failed = sum(outcomes.values()) - outcomes["lived"] + sum("memory" in reason for reason in reasons)
        expect(failed > 0, f"no allocation failed: workers {dict(outcomes)}, {dict(reasons)}")
        print(f"allocations: workers {dict(outcomes)}; {written} jobs, {dict(reasons)}", flush=True)


def test_clock_jumps(stack):
    """An hour ahead, an hour back: latencies, sessions and transactions do not hang on the wall clock."""
    file = stack.folder / "clock"
    file.write_bytes(struct.pack("=q", 0))
    with stack.fleet("clock", partitions=PARTITIONS) as fleet, open(file, "r+b") as opened:
        shared = mmap.mmap(opened.fileno(), 8)
        herd = chaos.Herd(fleet, 1, simulated_us="0,5000",
                          environment={"LD_PRELOAD": str(PRELOAD), "PRELOAD_CLOCK": str(file)}).wait_ready()
        written = run_jobs(fleet, herd, 0)
        for offset_s in (3600, -3600, 0):
            before = written  # all of them are answered
            chaos.write_pictures(fleet, JOBS, PARTITIONS, start=written)
            written += JOBS
            wait_until(lambda: chaos.count_answers(fleet) > before, "the jobs are begun")
            shared[:] = struct.pack("=q", offset_s)
            chaos.wait_all(fleet, herd, written, 30)
            written = run_jobs(fleet, herd, written, 30)
        expect_equal(herd.starts, 1, "starts of the worker")
        answers = chaos.check(fleet, written, chaos.wanted_logits(range(written)))
        expect_equal(chaos.error_codes(answers), {}, "jobs answered with an error")
        print(f"clock: +1 h, -1 h and back, {written} jobs", flush=True)


if __name__ == "__main__":
    chaos.main([test_few_descriptors, test_descriptors_run_out, test_full_disk, test_failing_allocations, test_clock_jumps], "kafka")

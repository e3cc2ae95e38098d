#!/usr/bin/env python3
"""host_cost.py: what a job costs a worker beside its network, in processor time, and what bounds its rate.

    tests/bench/host_cost.py [--bin FOLDER]... [--images FOLDER]... [--jobs N] [--rounds R] [--cached] [--table]
                             [--set NAME=VALUE]...

A worker with the simulated device, which takes 64 images in 7 ms, serves N jobs that wait in its topic: JPEGs in their
records, maps into a folder in memory. Every image has other bytes. Each round is one worker of each folder of
programs; a row is one worker's processor time for a job, by its threads' names, between its first answers and its
last. `infer` is left out of the sum: there the device hashes its images. Processor time says little about waiting, but
other work on the machine hardly changes it.

--cached: the images come a second time, with Redis, and the second time counts. --table: which stage would be full
first on 2 to 16 processors, if every thread could work all the time.
"""
import argparse
import os
import pathlib
import shutil
import signal
import statistics
import sys
import tempfile
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "support"))
import harness  # noqa: E402

DEVICE = "600,100"  # 64 images in 7 ms
FIRST = 64  # answers before which nothing is counted


SWITCHES = "turns"  # among the threads: how often any of them was given a processor


def cpu_by_thread(pid):
    """Milliseconds of processor time, by the threads' names."""
    times = {SWITCHES: 0}
    for task in pathlib.Path(f"/proc/{pid}/task").iterdir():
        head, _, rest = (task / "stat").read_text().rpartition(") ")
        name = head.split("(", 1)[1]
        name = "kafka" if name.startswith("rdk:") else name
        run_ns, _, turns = map(int, (task / "schedstat").read_text().split())
        times[name] = times.get(name, 0) + run_ns / 1e6
        times[SWITCHES] += turns
    return times


def serve(fleet, count, images, options):
    """Milliseconds of a job by thread, and jobs/s, of one worker that does what waits in the topic."""
    already = len(fleet.answers())  # of the images' first time
    fleet.submit(*images)
    worker = fleet.start("only", environment={"SKINSIGHT_SIMULATED_US": DEVICE}, **options).wait_ready()
    answered = lambda: worker.metric("skinsight_jobs_answered_total")
    harness.wait_until(lambda: answered() >= FIRST, "the first answers")
    begun, cpu, since = answered(), cpu_by_thread(worker.process.pid), time.monotonic()
    while (done := answered()) < count:
        harness.expect(worker.alive(), worker.last_words())
        time.sleep(0.1)  # asking costs it time as well
    after, until = cpu_by_thread(worker.process.pid), time.monotonic()
    worker.stop()
    answers = fleet.answers()
    harness.expect(not any(b'"error"' in record.value for record in answers), "an answer is an error")
    hits = sum(b'"cache_hit":true' in record.value for record in answers)
    if already and hits < count:
        print(f"only {hits} of {count} answers came from the cache", flush=True)
    return {name: (ms - cpu.get(name, 0)) / (done - begun) for name, ms in after.items()}, \
        (done - begun) / (until - since)


def measure(stack, name, folder, images, arguments):
    harness.BIN = folder
    memory = tempfile.mkdtemp(prefix="skinsight-host.", dir="/dev/shm")
    options = {"model": stack.model(), "backend": "simulated", "batch_max": 64,
               **dict(text.split("=", 1) for text in arguments.set)}
    if arguments.cached:
        options["cache"] = stack.redis_url
    try:
        with stack.fleet(name, partitions=4, objects=f"file://{memory}") as fleet:
            result = serve(fleet, len(images), images, options)
            return serve(fleet, len(images), images, options) if arguments.cached else result
    finally:
        shutil.rmtree(memory)


def choose_images(stack, folder, count):
    """Its smallest JPEGs with a comment each, so that no two files are alike."""
    harness.DATA = folder
    return harness.make_images(stack.folder / f"images-{folder.name}", count)


def first_to_saturate(cpu):
    """What each number of processors could do with the worker's defaults, were every step at full speed: jobs/s."""
    whole = sum(ms for name, ms in cpu.items() if name not in ("infer", SWITCHES))
    for processors in (2, 4, 8, 16):
        threads = {"decode": processors, "postprocess": processors, "fetch": min(processors, 4)}
        limits = {name: 1000 * threads.get(name, 1) / ms for name, ms in cpu.items()
                  if name in ("fetch", "decode", "batch", "postprocess", "publish", "consume", "kafka") and ms > 0}
        limits = {"processors": 1000 * processors / whole, "device": 1000 * 64 / 7, **limits}
        print(f"    {processors} processors: " + ", ".join(f"{name} {limit:.0f}" for name, limit in
                                                          sorted(limits.items(), key=lambda item: item[1])))


def report(label, rounds, table):
    sums = [sum(ms for name, ms in cpu.items() if name not in ("infer", SWITCHES)) for cpu, _ in rounds]
    middle = {name: statistics.median(cpu.get(name, 0) for cpu, _ in rounds) for name in rounds[0][0]}
    print(f"{label}: {statistics.median(sums):.3f} ms a job ({min(sums):.3f} to {max(sums):.3f}), "
          f"{max(rate for _, rate in rounds):.0f} jobs/s at most, {middle.pop(SWITCHES):.1f} turns of a thread\n    " +
          ", ".join(f"{name} {ms:.3f}" for name, ms in sorted(middle.items(), key=lambda item: -item[1]) if ms >= 0.001),
          flush=True)
    if table:
        first_to_saturate(middle)
    return statistics.median(sums)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--jobs", type=int, default=1500)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--bin", action="append", type=lambda text: pathlib.Path(text).resolve())
    parser.add_argument("--images", action="append", type=pathlib.Path)
    parser.add_argument("--cached", action="store_true")
    parser.add_argument("--table", action="store_true")
    parser.add_argument("--set", action="append", default=[], metavar="NAME=VALUE")
    arguments = parser.parse_args()
    folders = arguments.bin or [harness.BIN]
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    print(f"load average {open('/proc/loadavg').read().split()[0]}, {os.cpu_count()} cores", flush=True)
    with harness.Stack("kafka", *(["redis"] if arguments.cached else [])) as stack:
        harness.BIN = folders[-1]
        stack.model()
        for pictures in arguments.images or [harness.DATA]:
            images = choose_images(stack, pictures, arguments.jobs)
            rounds = {folder: [] for folder in folders}
            for number in range(arguments.rounds):
                for index, folder in enumerate(folders):
                    name = f"host-{pictures.name}-{number}-{index}"
                    rounds[folder].append(measure(stack, name, folder, images, arguments))
            medians = [report(f"{pictures.name}, {folder}", rounds[folder], arguments.table) for folder in folders]
            if len(medians) > 1:
                print(f"{pictures.name}: last over first {medians[-1] / medians[0]:.3f}", flush=True)
    shutil.rmtree(stack.folder)


if __name__ == "__main__":
    main()

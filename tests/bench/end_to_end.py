#!/usr/bin/env python3
"""end_to_end.py: what a worker on a full queue reaches of what `bench` gives on the same cores.

    tests/bench/end_to_end.py [--arch NAME] [--precision P]... [--jobs N] [--rounds R] [--bin FOLDER]... [--images FOLDER]

A real Kafka broker, no cache, the worker's own defaults otherwise: attention maps are drawn and written to the local
file store. The images are the JPEGs of at most 160 KB of a folder (default: tests/data), each job's with other bytes. A round is: bench, then one worker for each
folder of programs named with --bin (default: build/release/bin), each on N jobs that wait in its topic before it is started,
then bench again. The worker's rate is counted from its first transaction of answers to its last, so that start-up is
left out; bench's is the mean of its two neighbours, at the batch size that the worker uses. Since other work on the
machine takes more from whoever has fewer threads, the processor time of an image is compared too, and printed by thread.
"""
import argparse
import json
import os
import pathlib
import statistics
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "support"))
import harness  # noqa: E402

BATCH = 8
IMAGE_BYTES = 160000
BENCH_SECONDS = 6
TICKS_PER_MS = os.sysconf("SC_CLK_TCK") / 1000


def cpu_by_thread(pid):
    """Milliseconds of processor time, by the threads' names."""
    times = {}
    for task in pathlib.Path(f"/proc/{pid}/task").iterdir():
        head, _, rest = (task / "stat").read_text().rpartition(") ")
        name = head.split("(", 1)[1]
        name = "kafka" if name.startswith("rdk:") else name
        fields = rest.split()
        times[name] = times.get(name, 0) + (int(fields[11]) + int(fields[12])) / TICKS_PER_MS
    return times


def bench(model, precision):
    """(images/s, milliseconds of processor time of an image) from one run."""
    done = harness.run("worker", "bench", "--model", model, "--precision", precision, "--batch", BATCH, "--seconds",
                       BENCH_SECONDS, "--backend", "cpu", "--json", check=True)
    row = json.loads(done.stdout)["rows"][0]
    return row["images_per_s"], row["cpu_ms_per_image"]


def work(stack, name, images, options, folder):
    """The same of one worker on jobs that wait for it, and the processor time by thread."""
    harness.BIN = folder
    with stack.fleet(name, partitions=2) as fleet:
        fleet.submit(*images)
        worker = fleet.start("only", threads=0, batch_max=BATCH, **options).wait_ready()
        answered = lambda: worker.metric("skinsight_jobs_answered_total")
        harness.wait_until(lambda: answered() > 0, "the first answers")
        begun, cpu = answered(), cpu_by_thread(worker.process.pid)
        while answered() < len(images) and worker.alive():
            time.sleep(0.5)  # asking costs it time as well
        after = cpu_by_thread(worker.process.pid)
        answers = [json.loads(record.value) for record in fleet.answers()]
    errors = [answer["error"] for answer in answers if "error" in answer]
    harness.expect(len(answers) == len(images) and not errors, f"{len(answers)} answers, errors {errors[:3]}")
    stamps = sorted(answer["provenance"]["timestamps"]["published"] for answer in answers)
    later = [stamp for stamp in stamps if stamp > stamps[0]]
    rate = len(later) / (later[-1] - stamps[0]) * 1000
    count = len(images) - begun
    return rate, {name: (ms - cpu.get(name, 0)) / count for name, ms in after.items()}


def report(folder, precision, rounds):
    ratios = [rate / base for (rate, _), (base, _) in rounds]
    cpu_ratios = [base_cpu / sum(cpu.values()) for (_, cpu), (_, base_cpu) in rounds]
    print(f"{folder} {precision}: worker / bench: "
          f"{', '.join(f'{ratio:.2f}' for ratio in ratios)}; median {statistics.median(ratios):.3f}; "
          f"by processor time {statistics.median(cpu_ratios):.3f}")
    cpu = rounds[-1][0][1]
    print("    ms of processor time an image: " +
          ", ".join(f"{name} {ms:.2f}" for name, ms in sorted(cpu.items(), key=lambda item: -item[1]) if ms >= 0.01) +
          f"; bench {rounds[-1][1][1]:.2f}", flush=True)


def choose_images(stack, folder, count):
    originals = stack.folder / "originals"
    originals.mkdir()
    for path in folder.glob("*.jpg"):
        if path.stat().st_size <= IMAGE_BYTES:
            (originals / path.name).symlink_to(path.resolve())
    harness.DATA = originals
    return harness.make_images(stack.folder / "images", count)


def compare(stack, arguments, precision, folders, images):
    model = stack.model(arguments.arch)
    rounds = {folder: [] for folder in folders}
    before = bench(model, precision)
    for number in range(arguments.rounds):
        for index, folder in enumerate(folders):
            options = {"model": model, "precision": precision, "backend": "cpu"}
            worker = work(stack, f"e2e-{precision}-{number}-{index}", images, options, folder)
            harness.BIN = folders[0]
            after = bench(model, precision)
            rounds[folder].append((worker, [(a + b) / 2 for a, b in zip(before, after)]))
            print(f"{precision} round {number + 1}: {folder}: worker {worker[0]:.2f} images/s, bench {before[0]:.2f} "
                  f"and {after[0]:.2f}", flush=True)
            before = after
    for folder in folders:
        report(folder, precision, rounds[folder])


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--arch", default="vit_base_patch16_224")
    parser.add_argument("--precision", action="append")
    parser.add_argument("--jobs", type=int, default=200)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--bin", action="append", type=lambda text: pathlib.Path(text).resolve())
    parser.add_argument("--images", type=pathlib.Path, default=harness.DATA)
    arguments = parser.parse_args()
    folders = arguments.bin or [harness.BIN]
    print(f"load average {open('/proc/loadavg').read().split()[0]}, {os.cpu_count()} cores, {arguments.arch}", flush=True)
    with harness.Stack("kafka") as stack:
        images = choose_images(stack, arguments.images, arguments.jobs)
        for precision in arguments.precision or ["fp32"]:
            compare(stack, arguments, precision, folders, images)


if __name__ == "__main__":
    main()

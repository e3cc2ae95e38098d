#!/usr/bin/env python3
"""first_answer.py: time from a process's start to its first answer.

    tests/bench/first_answer.py MODEL-DIR [--rounds N] [--precision P] [--worker FILE]...

Each round starts `skinsight-worker classify` on one image once for every program named with --worker (default:
build/release/bin), in turns, so that a busy machine is busy for all of them. The clock runs from just before the
process is made until the first line of its output is read: loading libraries, opening and checking the model, packing,
decoding and the first inference. The weights file is read once before, so that it is cached; classify makes no
known-answer check. Prints best and median for each program, of the inference alone too, and each one's ratio to the first.
"""
import argparse
import json
import pathlib
import statistics
import subprocess
import sys
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]


def first_answer_ms(worker, arguments):
    begun = time.monotonic()
    command = [worker, "classify", "--model", arguments.model, "--backend", "cpu", "--precision", arguments.precision,
               "--threads", str(arguments.threads), arguments.image]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as process:
        line = process.stdout.readline()
        elapsed_ms = 1e3 * (time.monotonic() - begun)
    answer = json.loads(line or "{}")
    if "logits" not in answer:
        sys.exit(f"first_answer.py: {' '.join(command)} gave no answer: {answer}")
    return elapsed_ms, answer["timings_ms"]["inference"]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model")
    parser.add_argument("--worker", action="append")
    parser.add_argument("--image", default=str(ROOT / "tests/data/ISIC_0000013.jpg"))
    parser.add_argument("--precision", default="fp32")
    parser.add_argument("--threads", type=int, default=0)
    parser.add_argument("--rounds", type=int, default=10)
    arguments = parser.parse_args()
    workers = arguments.worker or [str(ROOT / "build/release/bin/skinsight-worker")]
    for path in pathlib.Path(arguments.model).iterdir():
        path.read_bytes()
    times = {worker: [] for worker in workers}
    for _ in range(arguments.rounds):
        for worker in workers:
            times[worker].append(first_answer_ms(worker, arguments))
    print(f"load average {open('/proc/loadavg').read().split()[0]}, {arguments.rounds} rounds")
    base = None
    for worker, rounds in times.items():
        whole, inference = zip(*rounds)
        best, median = min(whole), statistics.median(whole)
        base = base or (best, median)
        print(f"{worker}: best {best:.0f} ms, median {median:.0f} ms (inference {min(inference):.0f}, "
              f"{statistics.median(inference):.0f}); to the first: {best / base[0]:.2f}, {median / base[1]:.2f}")


if __name__ == "__main__":
    main()

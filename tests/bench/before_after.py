#!/usr/bin/env python3
"""Two builds' bench_vit in turns: is the newer one as fast as the older one?

    tests/bench/before_after.py BEFORE/bench_vit AFTER/bench_vit [--arch vit_base_patch16_224,resnet18]
                                [--precision fp32] [--batch 1,8] [--threads 2] [--pairs 21] [--processor-time]

A turn is as many batches as fill a third of a second, its time the fastest of them. A pair is a turn of each build,
who begins changes from pair to pair, and its ratio the older one's time divided by the newer one's: above 1 is faster
now. Both stay loaded all along, and the one whose turn it is not sleeps. With --processor-time it is one thread of
each, by the time that the processor gave it: what to look at on a machine with other work.
"""
import argparse
import os
import statistics
import time

from peers import PAUSE_S, Ours

TURN_S = 0.33


class ByProcessor(Ours):
    def spent(self):  # by its first thread, which is its only one
        with open(f"/proc/{self.child.pid}/schedstat") as file:
            return int(file.read().split()[0]) * 1e-9

    def run(self):
        begin = self.spent()
        super().run()
        return self.spent() - begin


def turn(build):
    times = []
    while not times or sum(times) < TURN_S:
        times.append(build.run())
    time.sleep(PAUSE_S)
    return min(times)


def pairs_of(before, after, count):
    ratios, best = [], [float("inf"), float("inf")]
    for number in range(count):
        if number % 2:
            new, old = turn(after), turn(before)
        else:
            old, new = turn(before), turn(after)
        ratios.append(old / new)
        best = [min(best[0], old), min(best[1], new)]
    return sorted(ratios), best


def compare(arguments, architecture, precision, batch):
    engine, threads = (ByProcessor, 1) if arguments.processor_time else (Ours, arguments.threads)
    builds = [engine(path, architecture, precision, batch, threads) for path in (arguments.before, arguments.after)]
    for build in builds:
        turn(build)
    ratios, best = pairs_of(*builds, arguments.pairs)
    for build in builds:
        build.close()
    quarter = len(ratios) // 4
    print(f"{architecture} {precision} batch {batch}: median of {len(ratios)} pairs {statistics.median(ratios):.3f} "
          f"(middle half {ratios[quarter]:.3f} to {ratios[-1 - quarter]:.3f}), best {best[0] * 1e3:.2f} and "
          f"{best[1] * 1e3:.2f} ms, load {open('/proc/loadavg').read().split()[0]}", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("before")
    parser.add_argument("after")
    parser.add_argument("--arch", default="vit_base_patch16_224,resnet18")
    parser.add_argument("--precision", default="fp32")
    parser.add_argument("--batch", default="1,8")
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--pairs", type=int, default=21)
    parser.add_argument("--processor-time", action="store_true")
    arguments = parser.parse_args()
    for architecture in arguments.arch.split(","):
        for precision in arguments.precision.split(","):
            for batch in map(int, arguments.batch.split(",")):
                compare(arguments, architecture, precision, batch)


if __name__ == "__main__":
    main()

#!/usr/bin/env python3
"""test_overload.py: jobs come 1.5 and 3 times as fast as they can be computed, a tenth of them urgent, each with a
deadline. The workers still do what they can: answers in time at 90 % of capacity or more; no expired job reaches a device;
urgent jobs keep their deadlines, and routine ones are served too; memory stays flat.

The long form: 5 minutes for each rate.
"""
import pathlib
import subprocess
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "support"))
import chaos
from harness import expect, wait_until

WORKERS, PARTITIONS, IMAGE_MS, DEADLINE_MS, URGENT_EVERY = 2, 4, 40, 3000, 10
CAPACITY = WORKERS * 1000 / IMAGE_MS  # images a second
TICK_S = 0.1


class Stream:
    """A kcat that writes each line it is given as a record at once."""

    def __init__(self, fleet, option):
        topic = fleet.topics[option]
        self.kcat = subprocess.Popen(["kcat", "-b", fleet.stack.brokers, "-P", "-t", topic, "-K", "\t", "-X", "linger.ms=5"],
                                     stdin=subprocess.PIPE)

    def write(self, record):
        self.kcat.stdin.write(record[0] + b"\t" + record[1] + b"\n")
        self.kcat.stdin.flush()

    def close(self):
        self.kcat.stdin.close()
        expect(self.kcat.wait(60) == 0, "kcat failed")


def run_load(stack, fleet, herd, rate, seconds):
    """Writes jobs at this rate; returns how many, and the memory of each worker over time."""
    routine, urgent = Stream(fleet, "jobs_topic"), Stream(fleet, "urgent_jobs_topic")
    started, written, memory = time.monotonic(), 0, []
    while (now := time.monotonic() - started) < seconds:
        while written < now * rate:
            deadline = int(time.time() * 1000) + DEADLINE_MS
            stream = urgent if written % URGENT_EVERY == 0 else routine
            stream.write(chaos.job(written, stack.random, deadline_at=deadline))
            written += 1
        memory.append((now, [chaos.rss_kb(worker) for worker in herd.workers]))
        time.sleep(TICK_S)  # the pace of the load
    routine.close()
    urgent.close()
    return written, memory


def goodput_of(in_time):
    """Answers in time as a share of capacity, once the queues are full and until the last job was written."""
    begun = min(answer["provenance"]["timestamps"]["submitted"] for answer in in_time) + DEADLINE_MS
    ended = max(answer["provenance"]["timestamps"]["submitted"] for answer in in_time)
    steady = [answer for answer in in_time if begun <= answer["provenance"]["timestamps"]["inferred"] < ended]
    return len(steady) / ((ended - begun) / 1000) / CAPACITY


def judge(stack, name, answers, memory):
    in_time = [answer for answer in answers if "prediction" in answer]
    expired = [answer for answer in answers if "error" in answer]
    goodput = goodput_of(in_time)
    computed = [answer for answer in expired if answer["provenance"]["timestamps"].get("inferred")]
    urgent = [answer for answer in answers if "urgent" in answer["provenance"]["source"]["topic"]]
    urgent_in_time = sum("prediction" in answer for answer in urgent) / len(urgent)
    routine_in_time = len(in_time) - sum("prediction" in answer for answer in urgent)
    slopes = [chaos.slope_kb_per_minute(memory, number) for number in range(WORKERS)]
    print(f"{name}: {len(answers)} jobs, goodput {goodput:.0%} of capacity, {len(expired)} expired, {len(computed)} of them "
          f"computed, urgent in time {urgent_in_time:.1%}, routine {routine_in_time}, memory "
          f"{', '.join(f'{slope:+.0f}' for slope in slopes)} KB/min", flush=True)
    expect(set(chaos.error_codes(answers)) <= {"deadline_exceeded"}, f"errors {chaos.error_codes(answers)}")
    expect(not computed, "an expired job reached the device")
    expect(goodput >= 0.9, f"goodput {goodput:.0%} of capacity")
    expect(urgent_in_time >= 0.95, f"only {urgent_in_time:.1%} of the urgent jobs were in time")
    expect(routine_in_time >= 0.1 * len(in_time), "routine jobs starve")
    if stack.full:
        expect(max(slopes) <= 1024, f"memory grows by {max(slopes):.0f} KB/min")


def overload(stack, factor):
    seconds = stack.size(12, 300)
    with stack.fleet(f"load-{factor}", partitions=PARTITIONS) as fleet:
        herd = chaos.Herd(fleet, WORKERS, simulated_us=f"0,{IMAGE_MS * 1000}").wait_ready()
        wait_until(lambda: all(worker.metric("skinsight_assigned_partitions") == PARTITIONS for worker in herd.workers),
                   "each worker has half of the partitions")
        written, memory = run_load(stack, fleet, herd, factor * CAPACITY, seconds)
        chaos.wait_all(fleet, None, written, 60)
        answers = chaos.check(fleet, written, chaos.wanted_logits(range(written)))
        judge(stack, f"{factor} times capacity ({CAPACITY:.0f}/s)", answers, memory)


def test_half_more(stack):
    overload(stack, 1.5)


def test_threefold(stack):
    overload(stack, 3)


if __name__ == "__main__":
    chaos.main([test_half_more, test_threefold], "kafka")

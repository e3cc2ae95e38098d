#!/usr/bin/env python3
"""test_log_ends.py: committed offsets outside of their partition's log. Behind its end, after a broker lost what it had
not written to its disk: the partition waits and is named, and goes on once an operator has set the
offset back. Before its start, after records expired: it goes on with the oldest that is left, and says so.
"""
import pathlib
import signal
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "support"))
import chaos
from harness import expect, expect_equal, wait_until

SESSION_MS, COMMITTED = 1500, 10
WITNESS = "ss2 00000000 0 0 0 0 - 9:0123456789abcdef"


def answered(fleet):
    return sorted(answer["provenance"]["source"]["offset"] for answer in chaos.answers_of(fleet))


def start_behind_the_end(stack, fleet):
    """Three jobs are answered, and then more is committed than was ever in the log. Gives the next worker."""
    topic = fleet.topics["jobs_topic"]
    herd = chaos.Herd(fleet, 1, simulated_us="0,1000", session_timeout_ms=SESSION_MS).wait_ready()
    chaos.write_pictures(fleet, 3, 1)
    chaos.wait_all(fleet, None, 3, 60)
    herd.stop()
    wait_until(lambda: chaos.commit_from_outside(stack, fleet.name, topic, 0, COMMITTED, WITNESS), "the group takes an offset")
    worker = herd.launch(0)
    sentence = f"{topic} partition 0 ends at offset 3, but records before {COMMITTED} are committed"
    wait_until(lambda: sentence in worker.log_text(), "the log says why the partition waits")
    expect(worker.metric("skinsight_offsets_refused_total") >= 1, "offsets that were refused are not counted")
    return worker


def wait_answered(fleet, offsets):
    wait_until(lambda: len(answered(fleet)) >= len(offsets), f"{len(offsets)} answers")
    expect_equal(answered(fleet), offsets, "offsets answered")


def test_until_the_offset_is_set_back(stack):
    """Also when the log is as long again: its new records are not those that were answered."""
    with stack.fleet("reset", partitions=1) as fleet:
        worker = start_behind_the_end(stack, fleet)
        chaos.write_pictures(fleet, 10, 1, start=3)
        topic = fleet.topics["jobs_topic"]
        wait_until(lambda: "partition 0 holds another record at offset 9" in worker.log_text(), "the log says so")
        wait_answered(fleet, [0, 1, 2])
        worker.process.send_signal(signal.SIGSTOP)
        wait_until(lambda: chaos.commit_from_outside(stack, fleet.name, topic, 0, 3), "the group is empty and takes an offset")
        worker.process.send_signal(signal.SIGCONT)
        wait_answered(fleet, list(range(13)))
        chaos.check(fleet, 13, chaos.wanted_logits(range(13)), history_too=False)  # the test itself set it back


def test_records_expired(stack):
    """While a worker runs, before it could read them, and while none does."""
    with stack.fleet("expired", partitions=1) as fleet:
        topic = fleet.topics["jobs_topic"]
        herd = chaos.Herd(fleet, 1, simulated_us="0,1000", session_timeout_ms=30000, **{"kafka.fetch.wait.max.ms": 1})
        worker = herd.wait_ready().workers[0]
        chaos.write_pictures(fleet, 2, 1)
        chaos.wait_all(fleet, None, 2, 60)
        for answers, start, how in ((3, 2, "running"), (4, 6, "stopped")):
            worker.process.send_signal(signal.SIGSTOP) if how == "running" else worker.stop()
            chaos.write_pictures(fleet, 4, 1, start=start)
            expect(chaos.delete_records(stack, topic, 0, start + 3), "the broker deletes no records")
            if how == "running":
                worker.process.send_signal(signal.SIGCONT)
            else:
                worker = herd.launch(0)
            chaos.wait_all(fleet, None, answers, 60)
            expect(f"from={start} to={start + 3}" in worker.log_text(), f"{how}: it does not say which records expired")
            expect_equal("partition_waits" in worker.log_text(), how == "running", f"{how}: it left the partition out")
        wait_answered(fleet, [0, 1, 5, 9])


if __name__ == "__main__":
    chaos.main([test_until_the_offset_is_set_back, test_records_expired], "kafka")

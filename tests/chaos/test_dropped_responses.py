#!/usr/bin/env python3
"""test_dropped_responses.py: the broker applies a request, and its reply is lost with the connection: Produce,
AddPartitionsToTxn, AddOffsetsToTxn, TxnOffsetCommit, EndTxn, InitProducerId, at the nth occurrence. Nothing is lost or
doubled.

The long form: each request at each occurrence from 1 to 20; the short one: at five of them.
"""
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "support"))
import chaos
from harness import expect_equal

REQUESTS = ("Produce", "AddPartitionsToTxn", "AddOffsetsToTxn", "TxnOffsetCommit", "EndTxn", "InitProducerId")
PARTITIONS, JOBS, ROUNDS, LAST = 2, 24, 5, 20


def drop_one(stack, fleet, herd, request, nth, written):
    """Writes jobs until the nth request's reply was dropped; a busy machine puts several jobs into a transaction."""
    before = len(stack.proxy.done("dropped"))
    stack.proxy.tell("clear", f"{request} {nth} w drop-response")
    for _ in range(ROUNDS):
        chaos.write_pictures(fleet, JOBS, PARTITIONS, start=written)
        written += JOBS
        chaos.wait_all(fleet, herd, written, 60)
        if len(stack.proxy.done("dropped")) > before:
            break
    return len(stack.proxy.done("dropped")) - before, written


def run_request(stack, request, occurrences):
    with stack.fleet(f"drop-{request.lower()}", partitions=PARTITIONS) as fleet:
        # Slow enough that each batch of one is a transaction of its own.
        herd = chaos.Herd(fleet, 1, simulated_us="25000,0", batch_max=1, commit_interval_ms=1, brokers=stack.proxied,
                          **{"kafka.client.id": "w"}).wait_ready()
        written = dropped = 0
        for nth in occurrences:
            count, written = drop_one(stack, fleet, herd, request, nth, written)
            dropped += count
        if request == "InitProducerId":  # only a new producer sends one, and only a lost EndTxn makes a new producer
            before = len(stack.proxy.done("dropped"))
            stack.proxy.tell("clear", "EndTxn 2 w drop-response", f"{request} 1 w drop-response")
            chaos.write_pictures(fleet, JOBS, PARTITIONS, start=written)
            written += JOBS
            chaos.wait_all(fleet, herd, written, 60)
            expect_equal(len(stack.proxy.done("dropped")) - before, 2, "replies dropped: of EndTxn and InitProducerId")
        stack.proxy.tell("clear")
        answers = chaos.check(fleet, written, chaos.wanted_logits(range(written)))
        expect_equal(chaos.error_codes(answers), {}, "jobs answered with an error")
        expect_equal(herd.starts, 1, "starts of the worker, which has to live through it")
        expect_equal(dropped, len(occurrences), "replies dropped")
        print(f"{request}: {dropped} replies dropped, {written} jobs, "
              f"{herd.workers[0].metric('skinsight_producer_renewals_total'):.0f} producers renewed", flush=True)


def test_dropped_responses(stack):
    occurrences = list(range(1, LAST + 1)) if stack.full else [1, 2, 3, 7, 20]
    for request in REQUESTS:
        run_request(stack, request, occurrences if request != "InitProducerId" else [])


if __name__ == "__main__":
    chaos.main([test_dropped_responses], "kafka")

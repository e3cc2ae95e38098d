#!/usr/bin/env python3
"""test_dropped_responses.py: the broker applies a request, and its reply is lost with the connection: Produce,
AddPartitionsToTxn, AddOffsetsToTxn, TxnOffsetCommit, EndTxn, InitProducerId, at the nth occurrence. Nothing is lost or
doubled. Each kind of request has a worker of its own; they run side by side, since recovering is mostly waiting.

The long form: each request at each occurrence from 1 to 20; the short one: at five of them.
"""
import concurrent.futures
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "support"))
import chaos
from harness import expect_equal

REQUESTS = ("Produce", "AddPartitionsToTxn", "AddOffsetsToTxn", "TxnOffsetCommit", "EndTxn", "InitProducerId")
PARTITIONS, JOBS, ROUNDS, LAST = 2, 24, 5, 20


class Dropper:
    """A fleet of one worker, which loses replies to one kind of request."""

    def __init__(self, stack, fleet, request):
        self.stack, self.fleet, self.request, self.client = stack, fleet, request, request.lower()
        # Slow enough that each batch of one is a transaction of its own.
        self.herd = chaos.Herd(fleet, 1, simulated_us="25000,0", batch_max=1, commit_interval_ms=1, brokers=stack.proxied,
                               **{"kafka.client.id": self.client}).wait_ready()
        self.written = 0

    def dropped(self):
        return sum(line["client"] == self.client for line in self.stack.proxy.done("dropped"))

    def answer_more(self):
        chaos.write_pictures(self.fleet, JOBS, PARTITIONS, start=self.written)
        self.written += JOBS
        chaos.wait_all(self.fleet, self.herd, self.written, 60)

    def drop(self, rules, count):
        """Writes jobs until so many replies were dropped; a busy machine puts several jobs into a transaction."""
        before = self.dropped()
        self.stack.proxy.tell(*rules)
        for _ in range(ROUNDS):
            self.answer_more()
            if self.dropped() == before + count:
                return
        expect_equal(self.dropped() - before, count, f"replies dropped by {rules}")

    def check(self):
        answers = chaos.check(self.fleet, self.written, chaos.wanted_logits(range(self.written)))
        expect_equal(chaos.error_codes(answers), {}, "jobs answered with an error")
        expect_equal(self.herd.starts, 1, "starts of the worker, which has to live through it")
        print(f"{self.request}: {self.dropped()} replies dropped, {self.written} jobs, "
              f"{self.herd.workers[0].metric('skinsight_producer_renewals_total'):.0f} producers renewed", flush=True)


def run_request(stack, request, occurrences):
    with stack.fleet(f"drop-{request.lower()}", partitions=PARTITIONS) as fleet:
        dropper = Dropper(stack, fleet, request)
        if request == "InitProducerId":  # only a new producer sends one, and only a lost EndTxn makes a new producer
            dropper.drop([f"EndTxn 2 {dropper.client} drop-response", f"{request} 1 {dropper.client} drop-response"], 2)
        else:
            for nth in occurrences:
                dropper.drop([f"{request} {nth} {dropper.client} drop-response"], 1)
        dropper.check()


def test_dropped_responses(stack):
    occurrences = list(range(1, LAST + 1)) if stack.full else [1, 2, 3, 7, 20]
    stack.model()  # one for all
    with concurrent.futures.ThreadPoolExecutor(len(REQUESTS)) as pool:
        for done in [pool.submit(run_request, stack, request, occurrences) for request in REQUESTS]:
            done.result()


if __name__ == "__main__":
    chaos.main([test_dropped_responses], "kafka")

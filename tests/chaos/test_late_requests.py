#!/usr/bin/env python3
"""test_late_requests.py: a transactional request that arrives in the middle of the next transaction. The proxy holds
one, closes the client's connection, lets the client's own retry pass, and releases the held one once the next
transaction has begun: EndTxn(commit), EndTxn(abort), TxnOffsetCommit. A new producer for every doubtful outcome makes
the broker refuse all of them.

Negative control: with renewal switched off (SKINSIGHT_TEST_NO_RENEWAL=1) the same three must show: an answer doubled,
a record lost, a committed offset going back. The long form: 1,000 held requests.
"""
import json
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "support"))
import chaos
import harness
from harness import expect, expect_equal, wait_until

CLIENT = "late"
FENCED = {"002f", "005a"}  # 47 INVALID_PRODUCER_EPOCH, 90 PRODUCER_FENCED
WINDOW_MS = 1500  # from the late request's effect to the reply the client waits for: time to kill the worker
UNKNOWN_MEMBER = 25  # said of a transaction's offsets, it has the transaction aborted
NO_RENEWAL = {"SKINSIGHT_TEST_NO_RENEWAL": "1"}


class Late:
    """A fleet with one worker behind the proxy, and one late request after the other."""

    def __init__(self, stack, fleet, environment=None):
        self.stack, self.fleet, self.proxy = stack, fleet, stack.proxy
        self.herd = chaos.Herd(fleet, 1, simulated_us="1000,0", batch_max=1, commit_interval_ms=1, instance="",
                               session_timeout_ms=2000, transaction_timeout_ms=5000, environment=environment,
                               brokers=stack.proxied, **{"kafka.client.id": CLIENT}).wait_ready()
        self.written = 0
        self.before = len(self.proxy.done("late-reply"))
        self.write()
        self.wait_written()

    def write(self):
        chaos.write_pictures(self.fleet, 1, 1, start=self.written)
        self.written += 1

    def done(self, what):
        return len(self.proxy.done(what))

    def wait_written(self):
        chaos.wait_all(self.fleet, None, self.written, 60)

    def hold(self, request, *rules):
        """Writes a job whose transaction has this request held."""
        held = self.done("hold")
        self.proxy.tell("clear", f"{request} 1 {CLIENT} hold", *rules)
        self.write()
        wait_until(lambda: self.done("hold") > held, f"{request} is held", 30)

    def release(self, rule, kill):
        """Writes a job in whose transaction the held request is let go; kill: the worker dies of it at once."""
        over = self.done("release-over")
        if rule:
            self.proxy.tell("clear", rule)
        self.write()
        wait_until(lambda: self.done("release-over") > over, "the held request is released", 30)
        if kill:
            self.herd.workers[0].kill()
            self.proxy.tell("clear")
            self.herd.tend()

    def one(self, kind, kill=False):
        """One request of this kind held, and released into a later transaction."""
        if kind == "offsets":  # the second is that of the next transaction; the first is the client's own retry
            self.hold("TxnOffsetCommit", f"TxnOffsetCommit 2 {CLIENT} release")
            rule = None
        else:
            if kind == "commit":
                self.hold("EndTxnCommit")
            else:
                self.hold("EndTxnAbort", f"TxnOffsetCommit 1 {CLIENT} error {UNKNOWN_MEMBER}")
            rule = f"Produce 1 {CLIENT} release {WINDOW_MS if kill else 0}"
        self.wait_written()
        self.release(rule, kill)

    def replies(self):
        """The error codes that the broker gave to the released requests, in hex."""
        return [error_of(reply) for reply in self.proxy.done("late-reply")[self.before:]]


def error_of(reply):
    """In EndTxn's reply it comes first, behind the time to wait; in TxnOffsetCommit's last: its one partition's. Both
    have lists of tags, all of them empty, from version 3 on."""
    flexible = reply["version"] >= 3
    if reply["api"] == "EndTxn":
        return reply["reply"][10:14] if flexible else reply["reply"][8:12]
    return reply["reply"][-10:-6] if flexible else reply["reply"][-4:]


def run_kind(stack, kind, count, kill_each):
    with stack.fleet(f"late-{kind}", partitions=1) as fleet:
        late = Late(stack, fleet)
        for number in range(count):
            late.one(kind, kill=kind == "commit" and number % kill_each == 0)
            late.wait_written()
        stack.proxy.tell("clear")
        chaos.check(fleet, late.written, chaos.wanted_logits(range(late.written)))
        replies = late.replies()
        expect_equal(len(replies), count, "late requests that the broker answered")
        expect(set(replies) <= FENCED, f"not each late request was refused: error codes {sorted(set(replies))}")
        print(f"{kind}: {count} late requests, all refused ({', '.join(sorted(set(replies)))} hex), {late.written} jobs",
              flush=True)


def test_late_requests(stack):
    run_kind(stack, "commit", stack.size(4, 450), stack.size(2, 20))
    run_kind(stack, "abort", stack.size(1, 100), 1)
    run_kind(stack, "offsets", stack.size(4, 450), 1)


def answered_offsets(fleet):
    return {json.loads(answer.value)["provenance"]["source"]["offset"] for answer in fleet.answers()}


def complaints_without_renewal(stack, kind, attempt):
    with stack.fleet(f"naive-{kind}-{attempt}", partitions=1) as fleet:
        late = Late(stack, fleet, NO_RENEWAL)
        late.one(kind, kill=kind == "commit")
        late.write()  # jobs are taken in order: once this one is answered, nothing more comes of those before it
        last = fleet.jobs()[-1].offset
        wait_until(lambda: last in answered_offsets(fleet), "the job after the torn transaction is answered", 30)
        stack.proxy.tell("clear")
        for worker in fleet.workers:
            worker.kill()
        try:
            chaos.check(fleet, late.written)
        except harness.Failure as failure:
            return str(failure)
        return ""


def test_naive_worker_is_torn(stack):
    """The negative control: every one of the three faults shows. Each needs a moment, so that it may take three tries."""
    for kind, word in (("commit", "2 terminal records"), ("abort", "0 terminal records"), ("offsets", "back to")):
        for attempt in range(3):
            said = complaints_without_renewal(stack, kind, attempt)
            if word in said:
                break
        expect(word in said, f"{kind}: the fault did not show; the checker said: {said}")
        print(f"{kind} without renewal: {said.splitlines()[1].strip()}", flush=True)


if __name__ == "__main__":
    chaos.main([test_late_requests, test_naive_worker_is_torn], "kafka")

#!/usr/bin/env python3
"""soak.py: half an hour at 0.8 of capacity with random faults: workers killed, stopped and told to leave, the broker
killed, Redis killed or hanging, Kafka requests delayed, cut, reset and their replies dropped. Not part of ctest.

    tests/chaos/soak.py [--seed N] [--minutes 30] [--leak] [--no-faults]

Every job is answered once and rightly, no committed offset goes back, and the memory of the first worker, which is the only
one never killed, stopped or told to leave, grows by at most 0.5 MB a minute after a third of the time. --leak is the negative
control: the workers leak 4 KiB a job, and the run must fail for it.
"""
import argparse
import pathlib
import shutil
import signal
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "support"))
import chaos
import harness
from harness import expect

WORKERS, PARTITIONS, IMAGE_MS, SESSION_MS = 3, 6, 60, 3000
RATE = 0.8 * WORKERS * 1000 / IMAGE_MS
SLOPE_LIMIT_KB = 512
JUDGED_MINUTES = 6  # a shorter run is all warm-up; its slope is only printed, except with --leak


class Weather:
    """One fault every few seconds; each ends by itself."""

    def __init__(self, stack, herd, redis_proxy):
        self.stack, self.herd, self.redis, self.random = stack, herd, redis_proxy, stack.random
        self.next, self.later, self.counts = time.monotonic() + 5, [], {}
        self.kinds = [self.kill, self.stop, self.leave, self.kafka_faults, self.redis_hangs, self.redis_dies]
        self.broker_at = time.monotonic() + 60

    def in_seconds(self, seconds, action):
        self.later.append((time.monotonic() + seconds, action))

    def kill(self):
        self.random.choice(self.herd.workers[1:]).kill()

    def leave(self):
        self.random.choice(self.herd.workers[1:]).terminate()

    def stop(self):
        worker = self.random.choice(self.herd.workers[1:])
        worker.process.send_signal(signal.SIGSTOP)
        self.in_seconds(SESSION_MS / 1000 + self.random.uniform(-1, 3), lambda: worker.process.send_signal(signal.SIGCONT))

    def kafka_faults(self):
        self.stack.proxy.tell(f"random {self.random.randrange(1 << 30)} 0.02 soak")
        self.in_seconds(5, lambda: self.stack.proxy.tell("clear"))

    def redis_hangs(self):
        self.redis.tell("connection every * hang")
        self.in_seconds(3, lambda: self.redis.tell("clear"))

    def redis_dies(self):
        self.stack.kill("redis")
        self.stack.start("redis")

    def broker_dies(self):
        self.stack.kill("kafka")
        self.stack.start("kafka")

    def count(self, fault):
        self.counts[fault.__name__] = self.counts.get(fault.__name__, 0) + 1
        fault()

    def step(self):
        now = time.monotonic()
        due = [action for at, action in self.later if at <= now]
        self.later = [(at, action) for at, action in self.later if at > now]
        for action in due:
            action()
        if now > self.broker_at:
            self.count(self.broker_dies)
            self.broker_at = now + 120
        elif now > self.next:
            self.count(self.random.choice(self.kinds))
            self.next = time.monotonic() + self.random.uniform(3, 8)

    def calm(self):
        for _, action in self.later:
            action()
        self.stack.proxy.tell("clear")
        self.redis.tell("clear")


def soak(stack, arguments):
    redis = chaos.Proxy(stack, "redis-proxy", stack.env["REDIS_URL"].rsplit(":", 1)[1], of_bytes=True)
    with stack.fleet("soak", partitions=PARTITIONS) as fleet:
        herd = chaos.Herd(fleet, WORKERS, simulated_us=f"0,{IMAGE_MS * 1000}", brokers=stack.proxied,
                          session_timeout_ms=SESSION_MS, cache=f"redis://127.0.0.1:{redis.port}",
                          environment={"SKINSIGHT_TEST_LEAK": "1"} if arguments.leak else None,
                          **{"kafka.client.id": "soak", "kafka.reconnect.backoff.max.ms": 500}).wait_ready()
        weather = Weather(stack, herd, redis)
        started, written, memory = time.monotonic(), 0, []
        while (now := time.monotonic() - started) < 60 * arguments.minutes:
            wanted = int(now * RATE)
            if wanted - written >= RATE * 2:
                chaos.write_pictures(fleet, wanted - written, PARTITIONS, start=written)
                written = wanted
            if not arguments.no_faults:
                weather.step()
            herd.tend()
            memory.append((now, [chaos.rss_kb(herd.workers[0])]))
            time.sleep(0.5)  # the pace of the load
        weather.calm()
        chaos.wait_all(fleet, herd, written, 300)
        answers = chaos.check(fleet, written, chaos.wanted_logits(range(written)))
        report(arguments, weather, herd, answers, memory)


def report(arguments, weather, herd, answers, memory):
    slope = chaos.slope_kb_per_minute(memory, 0)
    print(f"{arguments.minutes:g} min, {len(answers)} jobs at {RATE:.0f}/s, faults {weather.counts}, {herd.starts} starts, "
          f"errors {dict(chaos.error_codes(answers))}, memory of the first worker {slope:+.0f} KB/min", flush=True)
    expect(not chaos.error_codes(answers), "a job was answered with an error")
    expect(herd.workers[0].name.endswith("-0"), "the first worker did not live through it")
    if arguments.minutes >= JUDGED_MINUTES or arguments.leak:
        expect(slope <= SLOPE_LIMIT_KB, f"memory grows by {slope:.0f} KB/min")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seed", type=int, default=chaos.random.SystemRandom().randrange(1 << 32))
    parser.add_argument("--minutes", type=float, default=30)
    parser.add_argument("--leak", action="store_true")
    parser.add_argument("--no-faults", action="store_true")
    arguments = parser.parse_args()
    harness.skip_without("kcat", "java", "redis-server", str(chaos.FAULT_PROXY))
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    print(f"seed {arguments.seed}", flush=True)
    with chaos.ChaosStack("kafka", "redis", seed=arguments.seed) as stack:
        sound = harness.run_test(lambda stack: soak(stack, arguments), stack)
    if not sound:
        print(f"everything it wrote is in {stack.folder}")
        sys.exit(1)
    shutil.rmtree(stack.folder)


if __name__ == "__main__":
    main()

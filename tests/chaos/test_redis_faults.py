#!/usr/bin/env python3
"""test_redis_faults.py: a Redis that hangs, dies, resets in the middle of a reply, crawls, is full, is a replica, holds
values of a wrong type, cut short, or forged. No job fails for it, no answer is another image's, and an answer takes at
most a few of the cache's time-outs longer. A writer to Redis that does not know the workers' secret decides no
answer.
"""
import hashlib
import hmac
import pathlib
import struct
import subprocess
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "support"))
import chaos
from harness import expect, expect_equal, wait_until

TIMEOUT_MS, IMAGE_US = 50, 5000
# What a loaded machine adds to a single answer. The short form runs beside anything and looks for a wait on Redis
# itself, which hangs for seconds; the long form is for a machine that is left alone, and judges the 99th percentile too.
NOISE_MS, NOISE_SHORT_MS = 150, 1000

FOR_EACH_KEY = "for _, k in ipairs(redis.call('KEYS', 'skinsight:*')) do "
WRONG_TYPE = FOR_EACH_KEY + "redis.call('DEL', k) redis.call('LPUSH', k, 'x') end"
TRUNCATE = FOR_EACH_KEY + ("if redis.call('TYPE', k).ok == 'string' then "
                           "redis.call('SET', k, string.sub(redis.call('GET', k), 1, 200)) end end")
# Every key gets its neighbour's value: sound, but about another image.
FORGE = ("local keys, values = redis.call('KEYS', 'skinsight:*'), {} "
         "for i, k in ipairs(keys) do values[i] = redis.call('GET', k) end "
         "for i, k in ipairs(keys) do redis.call('SET', k, values[i % #keys + 1]) end")
FLIP = FOR_EACH_KEY + ("local v = redis.call('GET', k) local at = math.floor(#v / 2) "
                       "redis.call('SETRANGE', k, at, string.char((string.byte(v, at + 1) + 1) % 256)) end")


class Cached:
    def __init__(self, stack, fleet):
        self.stack, self.fleet = stack, fleet
        self.port = stack.env["REDIS_URL"].rsplit(":", 1)[1]
        self.proxy = chaos.Proxy(stack, "redis-proxy", self.port, of_bytes=True)
        self.worker = fleet.start("cached", backend="simulated", cache=f"redis://127.0.0.1:{self.proxy.port}",
                                  environment={"SKINSIGHT_SIMULATED_US": f"{IMAGE_US},0"}, commit_interval_ms=1,
                                  cache_timeout_ms=TIMEOUT_MS).wait_ready()
        self.written = 0
        self.pictures = set()

    def redis(self, *words):
        done = subprocess.run(["redis-cli", "-p", self.port, *words], capture_output=True, text=True, timeout=20)
        expect(done.returncode == 0 and not done.stdout.startswith("(error)"), f"redis-cli {words}: {done.stdout}")
        return done.stdout.strip()

    def ask(self, jobs, fresh):
        """Jobs one after the other, every second about a picture asked for before; their milliseconds."""
        before = self.written
        for number in range(jobs):
            picture = fresh + number if number % 2 else number % 8
            self.pictures.add(picture)
            chaos.write_pictures(self.fleet, 1, 1, start=picture)
            self.written += 1
        chaos.wait_all(self.fleet, None, self.written, 60)
        answers = [answer for answer in chaos.answers_of(self.fleet)
                   if answer["provenance"]["source"]["offset"] >= before]
        stamps = [answer["provenance"]["timestamps"] for answer in answers]
        return [stamp["published"] - stamp["consumed"] for stamp in stamps]


def percentile_99(sample):
    return sorted(sample)[len(sample) * 99 // 100]


def scenarios(cached, stack):
    """(name, break it, mend it)"""
    tell = cached.proxy.tell
    set_memory = lambda size: cached.redis("config", "set", "maxmemory", size)
    yield "hangs", lambda: tell("connection every * hang"), lambda: tell("clear")
    yield "resets in mid-reply", lambda: tell("connection every * reset 20"), lambda: tell("clear")
    yield "ends in mid-reply", lambda: tell("connection every * truncate 20"), lambda: tell("clear")
    yield "crawls at 20 bytes/s", lambda: tell("connection every * slow 20"), lambda: tell("clear")
    yield "wrong type", lambda: cached.redis("eval", WRONG_TYPE, "0"), lambda: cached.redis("flushall")
    yield "truncated values", lambda: cached.redis("eval", TRUNCATE, "0"), lambda: cached.redis("flushall")
    yield "values of other images", lambda: cached.redis("eval", FORGE, "0"), lambda: cached.redis("flushall")
    yield "values with a byte changed", lambda: cached.redis("eval", FLIP, "0"), lambda: cached.redis("flushall")
    yield "out of memory", lambda: (cached.redis("config", "set", "maxmemory-policy", "noeviction"), set_memory("1")), \
        lambda: set_memory("256mb")
    yield "read-only replica", lambda: cached.redis("replicaof", "127.0.0.1", "1"), \
        lambda: cached.redis("replicaof", "no", "one")
    yield "killed", lambda: stack.kill("redis"), lambda: stack.start("redis")


def test_redis_faults(stack):
    jobs = stack.size(12, 300)
    with stack.fleet("redis-faults", partitions=1) as fleet:
        cached = Cached(stack, fleet)
        cached.ask(8, 100)
        usual = cached.ask(jobs, 1000)
        fresh = 2000
        for name, break_it, mend_it in scenarios(cached, stack):
            break_it()
            took = cached.ask(jobs, fresh)
            mend_it()
            added = max(took) - max(usual)
            print(f"Redis {name}: slowest answer {max(took)} ms, {max(usual)} ms without the fault; 99th percentile "
                  f"{percentile_99(took)} ms, {percentile_99(usual)} ms", flush=True)
            noise_ms = stack.size(NOISE_SHORT_MS, NOISE_MS)
            expect(added <= TIMEOUT_MS + noise_ms, f"{name} added {added} ms: more than one time-out")
            if stack.full:
                added = percentile_99(took) - percentile_99(usual)
                expect(added <= TIMEOUT_MS, f"{name} added {added} ms to the 99th percentile")
            fresh += jobs
            cached.ask(4, fresh)  # the breaker may still be open: what it learns here is not measured
            fresh += 4
        wait_until(lambda: hit_again(cached), "the cache is used again after the last fault", 30)
        answers = chaos.check(fleet, cached.written, chaos.wanted_logits(sorted(cached.pictures)))
        expect_equal(chaos.error_codes(answers), {}, "jobs answered with an error")
        hits = sum(answer["provenance"]["cache_hit"] for answer in answers)
        print(f"{cached.written} jobs, {hits} from the cache, none failed, none wrong", flush=True)


def hit_again(cached):
    before = cached.worker.metric("skinsight_cache_lookups_total", 'result="hit"')
    cached.ask(2, 0)
    return cached.worker.metric("skinsight_cache_lookups_total", 'result="hit"') > before


# ---- forged values -----------------------------------------------------------------------------------------

SECRET = b"what only the workers know"
# struct cache_value of worker/cache/cache_value.h, as FORMATS.md describes it
MAGIC, SCOPE, IMAGE, LOGITS, DISTANCE, FEATURES, MAP_KEY, MAP, SEAL = 0, 8, 520, 552, 584, 592, 800, 1056, 1088
NAN = struct.pack("<f", float("nan"))
ANOTHER = struct.pack("<8f", 9, 0, 0, 0, 0, 0, 0, 0)  # logits of somebody who is to be told of a melanoma


def put(value, at, part):
    return value[:at] + part + value[at + len(part):]


def seal(value, secret):
    return put(value, SEAL, hmac.new(secret, value[:SEAL], "sha256").digest())


def old_version(value):
    """SSCACHE1, which had a checksum and no distance."""
    body = put(value[:DISTANCE] + value[FEATURES:SEAL], MAGIC, b"SSCACHE1")
    return body + hashlib.sha256(body).digest()


def wrong_content(at, part):
    """Sealed by somebody who has the secret and is out of his mind."""
    return lambda value, other: seal(put(value, at, part), SECRET)


# what is written in place of a value, given it and another image's; and the reason it is refused for
FORGERIES = {
    "logits changed": (lambda value, other: put(value, LOGITS, ANOTHER), "seal"),
    "sealed by a checksum": (lambda value, other: put(put(value, LOGITS, ANOTHER), SEAL, hashlib.sha256(
        put(value, LOGITS, ANOTHER)[:SEAL]).digest()), "seal"),
    "sealed without a secret": (lambda value, other: seal(put(value, LOGITS, ANOTHER), b""), "seal"),
    "sealed under another secret": (lambda value, other: seal(put(value, LOGITS, ANOTHER), b"what somebody guessed"), "seal"),
    "map of another image": (lambda value, other: put(put(value, MAP_KEY, other[MAP_KEY:MAP]), MAP, other[MAP:SEAL]), "seal"),
    "replayed from another key": (lambda value, other: other, "other_key"),
    "replayed under this image's digest": (lambda value, other: put(other, IMAGE, value[IMAGE:LOGITS]), "seal"),
    "cut short by a byte": (lambda value, other: value[:-1], "form"),
    "empty": (lambda value, other: b"", "form"),
    "a byte longer": (lambda value, other: value + b"\0", "form"),
    "a megabyte": (lambda value, other: value * 1000, "form"),
    "zeros": (lambda value, other: bytes(len(value)), "form"),
    "of the version before": (lambda value, other: old_version(put(value, LOGITS, ANOTHER)), "form"),
    "a list": (None, "form"),
    "sealed, a logit that is no number": (wrong_content(LOGITS, NAN), "content"),
    "sealed, a brightness of 2": (wrong_content(FEATURES, struct.pack("<f", 2)), "content"),
    "sealed, a histogram of nothing": (wrong_content(FEATURES + 16, bytes(64)), "content"),
    "sealed, another map": (wrong_content(MAP_KEY, b"images/of/a/patient.jpg\0"), "other_key"),
    "sealed, a distance without a reference": (wrong_content(DISTANCE, struct.pack("<f", 1)), "content"),
}


class Sealed(Cached):
    def __init__(self, stack, fleet):
        secret = stack.folder / "cache-secret"
        secret.write_bytes(SECRET + b"\n")
        secret.chmod(0o600)
        self.port = stack.env["REDIS_URL"].rsplit(":", 1)[1]
        self.stack, self.fleet, self.written, self.pictures = stack, fleet, 0, set()
        self.worker = fleet.start("sealed", backend="simulated", cache=stack.redis_url, cache_secret=secret, cache_timeout_ms=2000,
                                  environment={"SKINSIGHT_SIMULATED_US": f"{IMAGE_US},0"}, commit_interval_ms=1).wait_ready()

    def binary(self, *words, value=None):
        done = subprocess.run(["redis-cli", "-p", self.port, *(["-x"] if value is not None else []), *words], input=value,
                              capture_output=True, timeout=20)
        expect(done.returncode == 0 and not done.stdout.startswith(b"ERR"), f"redis-cli {words}: {done.stdout}")
        return done.stdout[:-1]

    def ask_for(self, pictures):
        """The answers to jobs about these pictures, one each."""
        before = self.written
        self.fleet.write_jobs([chaos.job(picture, self.stack.random) for picture in pictures])
        self.pictures.update(pictures)
        self.written += len(pictures)
        self.fleet.wait_answers(self.written)
        return [answer for answer in chaos.answers_of(self.fleet) if answer["provenance"]["source"]["offset"] >= before]

    def hits(self, answers):
        return sum(answer["provenance"]["cache_hit"] for answer in answers)

    def refused(self, reason=""):
        return int(self.worker.metric("skinsight_cache_refused_total", f'reason="{reason}' if reason else ""))


def key_of(picture, scope):
    return "skinsight:" + hashlib.sha256(hashlib.sha256(chaos.picture(picture)).digest() + scope).hexdigest()


def test_forged_values(stack):
    pictures = range(5000, 5000 + len(FORGERIES))
    with stack.fleet("forged", partitions=1) as fleet:
        sealed = Sealed(stack, fleet)
        sealed.redis("flushall")
        sealed.ask_for([4000, *pictures])
        other_key = next(line for line in sealed.binary("keys", "skinsight:*").decode().splitlines())
        scope = sealed.binary("get", other_key)[SCOPE:IMAGE].rstrip(b"\0")
        other = sealed.binary("get", key_of(4000, scope))
        expect_equal(other, seal(other, SECRET), "what a worker wrote, against its seal computed here")
        expect_equal(sealed.hits(sealed.ask_for([4000, *pictures])), 1 + len(pictures), "answers from the cache, before")
        for picture, (forge, _) in zip(pictures, FORGERIES.values()):
            key = key_of(picture, scope)
            value = sealed.binary("get", key)
            sealed.redis("del", key)
            if forge:
                sealed.binary("set", key, value=forge(value, other))
            else:
                sealed.redis("lpush", key, "x")
        accepted = sealed.hits(sealed.ask_for(pictures))
        expect_equal(accepted, 0, f"forged values accepted, of {len(FORGERIES)}")
        for reason in ("form", "seal", "other_key", "content"):
            expect_equal(sealed.refused(reason), [why for _, why in FORGERIES.values()].count(reason), f"refused for {reason}")
        expect_equal(sealed.hits(sealed.ask_for(pictures)), len(pictures), "answers from the cache once they were computed again")
        answers = chaos.check(fleet, sealed.written, chaos.wanted_logits(sorted(sealed.pictures)))
        expect_equal(chaos.error_codes(answers), {}, "jobs answered with an error")
        print(f"{len(FORGERIES)} kinds of forged values, {accepted} accepted", flush=True)


if __name__ == "__main__":
    chaos.main([test_redis_faults, test_forged_values], "kafka", "redis")

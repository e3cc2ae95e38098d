#!/usr/bin/env python3
"""test_collect.py: what `skinsight-monitor collect` has in PostgreSQL after kills of itself, of the broker and of the database is,
row for row, what an undisturbed run has in SQLite; a topic that was made anew is read from its start; what is wrong outside
is told once and waited for.

The long form: 50 kills.
"""
import contextlib
import hashlib
import json
import pathlib
import re
import shutil
import sqlite3
import subprocess
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "support"))
import chaos
import harness
from gateway import Postgres
from harness import expect, expect_equal, flags, wait_until

PARTITIONS = 3
GARBAGE = [b"", b"{", b"\xff\x00", b'{"schema": "skinsight.prediction.v9"}', b"null"]
TABLES = {"predictions": "log, part, place", "feedback": "log, part, place", "offsets": "log, part"}
OFFSETS = "log, part, next_place, refused, witness"  # the writer differs


class Collector:
    """A store, and the runs of collect that fill it."""

    def __init__(self, fleet, store, name):
        self.fleet, self.store, self.name, self.process = fleet, store, name, None
        self.options = {"store": store, "brokers": fleet.stack.brokers, "log_level": "info",
                        **{option: fleet.topics[option] for option in ("predictions_topic", "feedback_topic")}}

    def once(self, command="collect", *arguments):
        words = [command, *(["--once"] if command == "collect" else []), *flags(self.options), *arguments]
        done = harness.run("monitor", *words, env=self.fleet.env(), timeout_s=120)
        expect_equal(done.returncode, 0, f"exit code of {command}: {done.stderr}")
        return done.stdout

    def start(self):
        with open(self.log_path(), "ab") as log:
            self.process = subprocess.Popen([str(harness.BIN / "skinsight-monitor"), "collect", *flags(self.options)],
                                            env=self.fleet.env(), stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        self.fleet.stack.register(self.name, self.process.pid)

    def log_path(self):
        return self.fleet.stack.folder / f"{self.fleet.name}-{self.name}.log"

    def log_text(self):
        return self.log_path().read_text()

    def kill(self):
        self.process.kill()
        expect_equal(self.process.wait(), -9, f"how collect ended: it was killed; it said {self.log_text()[-2000:]}")

    def stop(self):
        self.process.terminate()
        expect_equal(self.process.wait(harness.WAIT_S), 0, f"exit code of collect; it said {self.log_text()[-2000:]}")

    def rows(self, table):
        """The rows as PostgreSQL's COPY writes them."""
        text = f"SELECT {OFFSETS if table == 'offsets' else '*'} FROM monitor_{table} ORDER BY {TABLES[table]}"
        if self.store.startswith("postgresql"):
            done = subprocess.run(["psql", "--no-psqlrc", "--quiet", self.store, "--command", f"COPY ({text}) TO STDOUT"],
                                  capture_output=True, text=True, stdin=subprocess.DEVNULL)
            expect_equal(done.returncode, 0, f"exit code of psql: {done.stderr}")
            return done.stdout.splitlines()
        with sqlite3.connect(f"file:{self.store.removeprefix('sqlite://')}?mode=ro", uri=True) as database:
            return ["\t".join(copy_text(value) for value in row) for row in database.execute(text)]


def copy_text(value):
    if value is None:
        return r"\N"
    return r"\\x" + value.hex() if isinstance(value, bytes) else str(value)


def sqlite(fleet, name):
    return Collector(fleet, f"sqlite://{fleet.stack.folder}/{fleet.name}-{name}.db", name)


def clinic(stack, days, images_per_day, seed=1):
    """Records of simulated weeks, with some that are none among them: (option, [(key, value)])."""
    folder = stack.folder / f"clinic-{days}-{images_per_day}-{seed}"
    if not folder.exists():
        harness.run("monitor", "simulate", "--seed", seed, "--days", days, "--images-per-day", images_per_day, "--start", "2020-01-06",
                    "--out", folder, check=True)
    found = {}
    for option, name in (("predictions_topic", "predictions.jsonl"), ("feedback_topic", "feedback.jsonl")):
        records = []
        for line in (folder / name).read_bytes().splitlines():
            value = json.loads(line)
            records.append(((value.get("request_id") or value["image_sha256"]).encode(), line))
        for value in GARBAGE:
            records.insert(stack.random.randrange(len(records)), (b"garbage", value))
        found[option] = records
    return found


def send(fleet, option, records):
    """Each partition gets its share."""
    for partition in range(PARTITIONS):
        share = records[partition::PARTITIONS]
        if share:
            harness.write_topic(fleet.stack.brokers, fleet.topics[option], share, partition)


def chunks(items, count):
    return [items[len(items) * i // count:len(items) * (i + 1) // count] for i in range(count)]


def expect_same(got, wanted, what):
    expect(got == wanted, f"{what}: {len(got)} rows, wanted {len(wanted)}; too many {sorted(set(got) - set(wanted))[:2]}, "
                          f"missing {sorted(set(wanted) - set(got))[:2]}")


def compare(one, other):
    for table in TABLES:
        expect_same(one.rows(table), other.rows(table), f"{table} in {one.name} and {other.name}")


def disturb(stack, postgres, collector, number):
    """What dies in this round; the rest goes on."""
    time.sleep(stack.random.uniform(0, 0.5))  # a kill comes at any moment
    if number % 5 == 2:
        postgres.kill()
        time.sleep(stack.random.uniform(0, 0.2))
        postgres.start()
    elif number % 5 == 4:
        stack.kill("kafka")
        stack.start("kafka")
    if number % 5 != 2 or stack.random.random() < 0.5:
        collector.kill()
        collector.start()


def test_kills(stack):
    harness.skip_without("psql")
    kills = stack.size(6, 50)
    records = clinic(stack, days=7, images_per_day=stack.size(60, 400))
    with stack.fleet("kills", partitions=PARTITIONS) as fleet, Postgres(stack) as postgres:
        disturbed, calm = Collector(fleet, postgres.url, "disturbed"), sqlite(fleet, "calm")
        postgres.kill()  # away at the start
        disturbed.start()
        wait_until(lambda: "collector_waits" in disturbed.log_text(), "it says that there is no database")
        postgres.start()
        wait_until(lambda: "collector_goes_on" in disturbed.log_text(), "it goes on")
        expect_equal(disturbed.log_text().count("collector_waits"), 1, "how often it was told")
        parts = zip(*(chunks(records[option], kills) for option in ("predictions_topic", "feedback_topic")))
        for number, (answers, feedback) in enumerate(parts):
            send(fleet, "feedback_topic", feedback)  # labels that come early too
            send(fleet, "predictions_topic", answers)
            disturb(stack, postgres, disturbed, number)
        said = calm.once()
        total = sum(len(some) for some in records.values())
        expect(f"{2 * len(GARBAGE)} new ones refused" in said, f"collect said {said}")
        wait_until(lambda: sum(int(row.split("\t")[2]) for row in disturbed.rows("offsets")) == total, "every record is in the archive",
                   60)
        disturbed.stop()
        compare(disturbed, calm)
        expect_equal(sum(len(calm.rows(table)) for table in ("predictions", "feedback")), total - 2 * len(GARBAGE), "rows")
        # All of it once more changes nothing, and brings back what is lost.
        calm_rows = {table: calm.rows(table) for table in TABLES}
        with sqlite3.connect(calm.store.removeprefix("sqlite://")) as database:
            database.execute("DELETE FROM monitor_predictions WHERE place % 3 = 1")
        expect(len(calm.rows("predictions")) < len(calm_rows["predictions"]), "nothing was deleted")
        calm.once("rebuild")
        for table in TABLES:
            expect_same(calm.rows(table), calm_rows[table], f"{table} after rebuild")
        print(f"{total} records, {kills} kills", flush=True)


def test_topic_made_anew(stack):
    """Shorter than what was read, and longer: its records come beside the old ones, under a log of their own."""
    old, new = (clinic(stack, days=2, images_per_day=30, seed=seed) for seed in (2, 3))
    for name, count in (("shorter", 20), ("longer", None)):
        with stack.fleet(name, partitions=PARTITIONS) as fleet:
            collector, topic = sqlite(fleet, name), fleet.topics["predictions_topic"]
            answers = [record for record in old["predictions_topic"] if record[0] != b"garbage"]
            later = [record for record in new["predictions_topic"] if record[0] != b"garbage"][:count]
            send(fleet, "predictions_topic", answers[:30])
            collector.once()
            chaos.make_topic_anew(stack, fleet, topic, PARTITIONS)
            send(fleet, "predictions_topic", later)
            collector.once()
            logs = [row.split("\t")[0] for row in collector.rows("predictions")]
            expect_equal(len(logs), 30 + len(later), f"predictions of a topic that is {name} now")
            expect_equal(sorted(set(logs)), ["1", "3"], "logs of predictions")  # 2 is the feedback's
            collector.once()
            expect_equal(len(collector.rows("predictions")), 30 + len(later), "predictions read again")


def test_a_mark_in_front(stack):
    """Where the last record that was read stood, the new topic has the mark of a transaction."""
    records = clinic(stack, days=2, images_per_day=30, seed=2)["predictions_topic"]
    answers = [record for record in records if record[0] != b"garbage"]
    with stack.fleet("mark", partitions=PARTITIONS) as fleet:
        collector, topic = sqlite(fleet, "mark"), fleet.topics["predictions_topic"]
        harness.write_topic(stack.brokers, topic, answers[:10], 0)
        collector.once()
        chaos.make_topic_anew(stack, fleet, topic, PARTITIONS)
        harness.write_topic(stack.brokers, topic, answers[10:19], 0, transaction="mark")
        harness.write_topic(stack.brokers, topic, answers[19:25], 0)
        collector.once()
        expect_equal(len(collector.rows("predictions")), 25, "predictions of both topics")


def test_two_monitors(stack):
    """The second one ends, with a sentence, and nothing is there twice."""
    records = clinic(stack, days=2, images_per_day=30, seed=2)
    with stack.fleet("two", partitions=PARTITIONS) as fleet:
        first, second = sqlite(fleet, "store"), sqlite(fleet, "store")
        second.name = "second"
        first.start()
        second.start()
        for part in chunks(records["predictions_topic"], 40):
            send(fleet, "predictions_topic", part)
            if second.process.poll() is not None or first.process.poll() is not None:
                break
        ended = [one for one in (first, second) if one.process.poll() is not None]
        expect_equal(len(ended), 1, "monitors that ended")
        expect_equal(ended[0].process.returncode, 1, "exit code of the one that lost")
        expect("another monitor" in ended[0].log_text(), f"it said {ended[0].log_text()}")
        for one in (first, second):
            if one not in ended:
                one.stop()
        places = [tuple(row.split("\t")[:3]) for row in first.rows("predictions")]
        expect_equal(len(places), len(set(places)), "rows")


def count_predictions(collector):
    try:
        return len(collector.rows("predictions"))
    except sqlite3.OperationalError:  # not made yet
        return -1


def read_on_behind(collector, value):
    """As if a monitor that was killed had written it, and the commit came late."""
    witness = int.from_bytes(hashlib.sha256(value).digest()[:8], "big") >> 1
    with sqlite3.connect(collector.store.removeprefix("sqlite://"), timeout=30) as database:
        database.execute("BEGIN IMMEDIATE")  # so that the collector commits behind it
        send(collector.fleet, "predictions_topic", [(b"late", value)])
        database.execute("UPDATE monitor_offsets SET next_place = next_place + 1, witness = ?, writer = 'late' "
                         "WHERE log = 1 AND part = 0", (witness,))


def test_a_commit_that_came_late(stack):
    """One is waited for, and no other monitor; two are one."""
    records = [value for value in clinic(stack, days=2, images_per_day=30, seed=2)["predictions_topic"] if value[0] != b"garbage"]
    with stack.fleet("late", partitions=PARTITIONS) as fleet:
        collector = sqlite(fleet, "late")
        collector.start()
        send(fleet, "predictions_topic", records[:6])
        wait_until(lambda: count_predictions(collector) == 6, "6 records are collected")
        read_on_behind(collector, records[6][1])
        wait_until(lambda: "collector_goes_on" in collector.log_text() or collector.process.poll() is not None, "it goes on")
        expect_equal(collector.process.poll(), None, f"exit code of collect; it said {collector.log_text()}")
        send(fleet, "predictions_topic", records[7:10])
        wait_until(lambda: count_predictions(collector) == 9, "what came later is collected")
        read_on_behind(collector, records[10][1])
        wait_until(lambda: collector.process.poll() is not None, "it ends")
        expect("another monitor" in collector.log_text().split("collector_ended")[1], f"it said {collector.log_text()}")


@contextlib.contextmanager
def small_disk(stack, size):
    """A file system of its own, and what makes it larger."""
    disk = stack.folder / f"disk-of-{size}"
    disk.mkdir()
    mount = lambda options: subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", disk], capture_output=True).returncode == 0
    if not mount(f"size={size}"):
        raise harness.Skipped("a tmpfs can't be mounted here")
    try:
        yield disk, lambda: expect(mount("remount,size=64m"), "the disk grows")
    finally:
        subprocess.run(["umount", "--lazy", disk], check=True)


def fill(fleet, records, store, grow, tries_are_seen=lambda: True):
    """Nothing is lost: what does not fit comes once there is room. It is told once, as long as there is none."""
    full, calm = Collector(fleet, store, "full"), sqlite(fleet, "calm")
    full.start()
    for option, some in records.items():
        send(fleet, option, some)
    wait_until(lambda: "collector_waits" in full.log_text(), "it says that the disk is full")
    expect(re.search("full|No space left", full.log_text().split("collector_waits")[1]), f"it said {full.log_text()}")
    wait_until(tries_are_seen, "it tries again and again")
    grow()
    calm.once()
    wait_until(lambda: full.rows("offsets") == calm.rows("offsets"), "every record is in the archive")
    wait_until(lambda: "collector_goes_on" in full.log_text(), "it says that it goes on")
    full.stop()
    told = [full.log_text().count(event) for event in ("collector_waits", "collector_goes_on", "record_refused")]
    expect_equal(told, [1, 1, 2 * len(GARBAGE)], "how often it was told")
    compare(full, calm)


def test_full_disk(stack):
    records = clinic(stack, days=7, images_per_day=stack.size(60, 400))
    with small_disk(stack, "400k") as (disk, grow), stack.fleet("full", partitions=PARTITIONS) as fleet:
        fill(fleet, records, f"sqlite://{disk}/archive.db", grow)


def test_full_disk_of_postgres(stack):
    harness.skip_without("psql")
    records = clinic(stack, days=7, images_per_day=stack.size(60, 400))
    with contextlib.ExitStack() as opened:
        postgres, fleet = opened.enter_context(Postgres(stack, "small")), opened.enter_context(stack.fleet("small", partitions=PARTITIONS))
        disk, grow = opened.enter_context(small_disk(stack, "480k"))
        if postgres.as_user:
            shutil.chown(disk, "postgres", "postgres")
        for text in (f"CREATE TABLESPACE small LOCATION '{disk}'", "ALTER ROLE skinsight SET default_tablespace = small"):
            subprocess.run(["psql", "--no-psqlrc", "--quiet", postgres.url, "--command", text], check=True, stdin=subprocess.DEVNULL)
        server_log = postgres.folder / "log"
        fill(fleet, records, postgres.url, grow, lambda: server_log.read_text().count("No space left on device") >= 4)


def test_trouble(stack):
    """No topic yet, and a database that does not answer: told once, and waited for."""
    with stack.fleet("trouble", topics=False) as fleet:
        collector = sqlite(fleet, "store")
        collector.start()
        wait_until(lambda: "collector_waits" in collector.log_text(), "it says that there is no topic")
        fleet.create_topics(PARTITIONS)
        wait_until(lambda: "collector_goes_on" in collector.log_text(), "it goes on")
        with sqlite3.connect(collector.store.removeprefix("sqlite://")) as database:
            database.execute("UPDATE sql_versions SET version = version + 1 WHERE part = 'monitor'")
        collector.stop()
        expect_equal(collector.log_text().count("collector_waits"), 1, "how often it was told")
        newer = harness.run("monitor", "collect", *flags(collector.options), env=fleet.env(), timeout_s=60)
        expect_equal(newer.returncode, 1, "exit code with the tables of a newer program")
        expect("older than the one that made them" in newer.stderr, f"it said {newer.stderr}")


if __name__ == "__main__":
    chaos.main([test_kills, test_topic_made_anew, test_a_mark_in_front, test_two_monitors, test_a_commit_that_came_late, test_full_disk,
                 test_full_disk_of_postgres, test_trouble], "kafka")

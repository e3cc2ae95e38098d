#!/usr/bin/env python3
"""test_listen.py: the data set that `skinsight-trainer listen` makes of labels that come back, compared with a calculation of
its own (tests/support/labels.py), whatever is killed when; and what it says of bad input.

The long form: 2,000 labels and 30 kills.
"""
import hashlib
import json
import pathlib
import sqlite3
import subprocess
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "support"))
import chaos
import harness
import labels
from conditions import open_paths
from harness import expect, expect_equal, flags, wait_until
from schema import Schema

PARTITIONS = 4


class Dataset:
    """A folder that listen keeps, and the runs that keep it."""

    def __init__(self, fleet, name="dataset"):
        self.fleet, self.stack = fleet, fleet.stack
        self.folder = fleet.stack.folder / f"{fleet.name}-{name}"
        self.options = {"dataset": self.folder, "brokers": fleet.stack.brokers, "objects": fleet.objects,
                        **{name: fleet.topics[name] for name in ("feedback_topic", "predictions_topic")}}
        if "s3_endpoint" in fleet.producer_options:
            self.options["s3_endpoint"] = fleet.producer_options["s3_endpoint"]
        self.process = None

    def once(self, *arguments, check=True, **options):
        done = harness.run("trainer", "listen", "--once", *flags({**self.options, **options}), *arguments,
                           env=self.fleet.env(), timeout_s=600)
        expect(not check or done.returncode == 0, f"listen --once gave {done.returncode}: {done.stdout}{done.stderr}")
        return done

    def start(self, *arguments, **options):
        options = {"settle_s": 0, "version_every_s": 0, "ask_again_s": 0, "log_level": "info", **self.options, **options}
        with open(self.stack.folder / f"{self.folder.name}.log", "ab") as log:
            self.process = subprocess.Popen([str(harness.BIN / "skinsight-trainer"), "listen", *flags(options), *arguments],
                                            env=self.fleet.env(), stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        self.stack.register(self.folder.name, self.process.pid)

    def log_text(self):
        return (self.stack.folder / f"{self.folder.name}.log").read_text()

    def kill(self):
        self.process.kill()
        expect_equal(self.process.wait(), -9, "how listen ended: it was killed")

    def stop(self):
        self.process.terminate()
        expect_equal(self.process.wait(harness.WAIT_S), 0, f"exit code of listen; it said {self.log_text()[-2000:]}")

    def versions(self):
        return sorted(path for path in self.folder.glob("[0-9]*") if path.is_dir())

    def numbers(self):
        with sqlite3.connect(f"file:{self.folder}/listen.db?mode=ro", uri=True) as database:
            return dict(database.execute("SELECT name, value FROM numbers"))

    def check_versions(self):
        """Each is whole, names the one before, and closed to others; nothing half written is left."""
        parent = None
        for version in self.versions():
            manifest = json.loads((version / "manifest.json").read_text())
            text = (version / "labels.csv").read_bytes()
            complaints = Schema("dataset").complaints(manifest)
            expect(not complaints, f"the manifest is not what dataset.json says: {complaints}")
            expect_equal({path.name for path in version.iterdir()}, {"manifest.json", "labels.csv"}, f"files of {version}")
            expect_equal((manifest["version"], manifest["parent"], manifest["labels_sha256"], manifest["images"]),
                         (version.name, parent, hashlib.sha256(text).hexdigest(),
                          len(labels.read_table(version / "labels.csv")[1])), "manifest")
            parent = version.name
        expect_equal([str(path) for path in self.folder.rglob("*partial*")], [], "half written files")
        expect_equal([path for path in open_paths(self.folder)], [], "paths that others may read")
        for image in (self.folder / "images").iterdir():
            expect_equal(image.name, labels.digest(image.read_bytes()) + ".jpg", "an image's name")

    def check(self, expected):
        """The newest version and what was left out are exactly what they have to be."""
        newest = self.versions()[-1]
        first, rows = labels.read_table(newest / "labels.csv")
        expect_equal(first, labels.COLUMNS, "columns")
        expect_same(rows, expected.rows, "labels.csv")
        expect_same(sorted(labels.read_table(self.folder / "left_out.csv")[1]), expected.left_out, "left_out.csv")
        images = {path.name for path in (self.folder / "images").iterdir()}
        missing = {row[0] for row in rows} - images
        expect(not missing, f"{len(missing)} images are not there")
        numbers = self.numbers()
        expect_equal([numbers.get(name, 0) for name in ("labels", "repeated", "refused")],
                     [expected.labels, expected.repeated, expected.refused], "labels, repeated and refused records, each read once")
        self.check_versions()


def expect_same(got, wanted, what):
    got_texts, wanted_texts = [",".join(row) for row in got], [",".join(row) for row in wanted]
    extra, missing = [row for row in got_texts if row not in wanted_texts], [row for row in wanted_texts if row not in got_texts]
    expect(got == wanted, f"{what}: {len(got)} rows, wanted {len(wanted)}; too many {extra[:3]}, missing {missing[:3]}")


def store(fleet, pictures):
    folder = pathlib.Path(fleet.objects.replace("file://", "", 1)) / "images"
    folder.mkdir(parents=True, exist_ok=True)
    for image, data in pictures.items():
        (folder / f"{image}.jpg").write_bytes(data)


def send(fleet, option, records):
    """Each partition gets its share."""
    for partition in range(PARTITIONS):
        share = records[partition::PARTITIONS]
        if share:
            harness.write_topic(fleet.stack.brokers, fleet.topics[option], share, partition)


def chunks(items, count):
    return [items[len(items) * i // count:len(items) * (i + 1) // count] for i in range(count)]


def test_kills(stack):
    kills = stack.size(5, 30)
    world = labels.World(stack.random, stack.size(400, 2000), stack.size(150, 600))
    with stack.fleet("kills", partitions=PARTITIONS) as fleet:
        dataset = Dataset(fleet)
        pictures = chunks(list(world.pictures.items()), kills)
        stack.random.shuffle(world.answers)
        for answers, feedback, some in zip(chunks(world.answers, kills), chunks(world.feedback, kills), pictures):
            dataset.start()
            send(fleet, "predictions_topic", answers)
            send(fleet, "feedback_topic", feedback)
            store(fleet, dict(some))
            time.sleep(stack.random.uniform(0, 0.5))  # a kill comes at any moment
            dataset.kill()
        expected = labels.Expected(world.answers, world.feedback, world.pictures)
        dataset.once(ask_again_s=0)
        dataset.check(expected)
        again = dataset.once()
        expect(": unchanged," in again.stdout, f"the second run said {again.stdout}")
        print(f"{len(world.feedback)} records, {len(expected.rows)} rows, {kills} kills, {len(dataset.versions())} versions", flush=True)
        at_once = Dataset(fleet, "at-once")
        at_once.once()
        at_once.check(expected)
        expect_equal(len(at_once.versions()), 1, "versions of one run")


if __name__ == "__main__":
    chaos.main([test_kills], "kafka")

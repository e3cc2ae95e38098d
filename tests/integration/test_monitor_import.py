#!/usr/bin/env python3
"""test_monitor_import.py: history that skinsight-monitor imports from files of JSON lines: each record once, bad lines told by
their numbers, an import that was killed goes on, and nothing of a record is quoted.
"""
import json
import pathlib
import re
import sqlite3
import subprocess
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "support"))
import harness
from harness import expect, expect_equal, flags, wait_until

KINDS = {"predictions": "import-predictions", "feedback": "import-feedback"}


class Archive:
    def __init__(self, stack, name):
        self.path = stack.folder / f"{name}.db"
        self.options = {"store": f"sqlite://{self.path}"}

    def run(self, kind, file, code=0):
        done = harness.run("monitor", KINDS[kind], file, *flags(self.options), timeout_s=120)
        expect_equal(done.returncode, code, f"exit code of {KINDS[kind]}: {done.stdout}{done.stderr}")
        return done

    def count(self, kind):
        try:
            with sqlite3.connect(f"file:{self.path}?mode=ro", uri=True) as database:
                return database.execute(f"SELECT count(*) FROM monitor_{kind}").fetchone()[0]
        except sqlite3.OperationalError:  # not made yet
            return 0

    def rows(self, kind):
        with sqlite3.connect(f"file:{self.path}?mode=ro", uri=True) as database:
            return database.execute(f"SELECT * FROM monitor_{kind} ORDER BY log, part, place").fetchall()

    def counted_tables(self):
        with sqlite3.connect(f"file:{self.path}?mode=ro", uri=True) as database:
            return {row[0] for row in database.execute("SELECT tbl FROM sqlite_stat1")}


def clinic(stack, days=10, images_per_day=150):
    folder = stack.folder / f"clinic-{days}"
    if not folder.exists():
        harness.run("monitor", "simulate", "--seed", 5, "--days", days, "--images-per-day", images_per_day, "--start", "2020-01-06",
                    "--out", folder, check=True)
    return folder


def different_lines(path):
    return len(set(path.read_bytes().splitlines()))


def test_once(stack):
    """The same file twice, and one that has the first half and more."""
    folder, archive = clinic(stack), Archive(stack, "once")
    half = stack.folder / "half.jsonl"
    for kind in KINDS:
        whole = folder / f"{kind}.jsonl"
        lines = whole.read_bytes().splitlines(keepends=True)
        half.write_bytes(b"".join(lines[:len(lines) // 2]))
        archive.run(kind, half)
        done = archive.run(kind, whole)
        expect(done.stdout.startswith(f"{len(lines)} lines: "), f"it said {done.stdout}")
        rows = archive.rows(kind)
        expect_equal(len(rows), different_lines(whole), f"rows of {kind}")
        done = archive.run(kind, whole)
        expect_equal(done.stdout, f"{len(lines)} lines: 0 imported, {len(lines)} known already, 0 refused\n", "the second import")
        expect_equal(archive.rows(kind), rows, f"rows of {kind} after the second import")
    # Else a database plans a report's queries as if a label named hundreds of answers.
    expect_equal(archive.counted_tables(), {"monitor_predictions", "monitor_feedback"}, "tables whose rows the database has counted")


def test_bad_lines(stack):
    folder, archive = clinic(stack), Archive(stack, "bad")
    lines = (folder / "predictions.jsonl").read_bytes().splitlines()[:40]
    late = json.loads(lines[7])
    late["provenance"]["timestamps"]["published"] = int((time.time() + 86400) * 1000)
    bad = {4: b"", 5: b"{", 9: b"secret \xff\xfe", 13: b"9" * (3 << 20), 21: json.dumps(late).encode(),
           30: lines[3].replace(b"skinsight.prediction.v1", b"skinsight.prediction.v9")}
    for place, line in bad.items():
        lines.insert(place - 1, line)
    file = stack.folder / "bad.jsonl"
    file.write_bytes(b"\r\n".join(lines))  # and no end behind the last one
    done = archive.run("predictions", file, code=1)
    expect_equal(done.stdout, "46 lines: 40 imported, 0 known already, 6 refused\n", "what it said")
    for place in bad:
        expect(f"line={place} " in done.stderr, f"line {place} is not named in {done.stderr}")
    expect("secret" not in done.stderr, f"it quotes: {done.stderr}")
    expect_equal(len(archive.rows("predictions")), 40, "rows")
    expect_equal(archive.run("predictions", stack.folder / "nowhere.jsonl", code=1).stdout, "", "what it said of no file")


def test_kills(stack):
    """A file of several transactions."""
    folder = clinic(stack, days=40, images_per_day=600)
    calm, killed = Archive(stack, "calm"), Archive(stack, "killed")
    file = folder / "predictions.jsonl"
    calm.run("predictions", file)
    seen = [0]
    for _ in range(3):
        process = subprocess.Popen([str(harness.BIN / "skinsight-monitor"), "import-predictions", file, *flags(killed.options)],
                                   stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, env=harness.clean_environment())
        wait_until(lambda: process.poll() is not None or killed.count("predictions") > seen[-1], "one more transaction")
        process.kill()
        process.wait()
        seen.append(killed.count("predictions"))
    expect(0 < seen[1] < len(calm.rows("predictions")), f"rows after the kills: {seen}")
    killed.run("predictions", file)
    # Offsets of what was known already stay unused, and the others are in the order of the file.
    without_place = lambda rows: [row[:2] + row[3:] for row in rows]
    expect(without_place(killed.rows("predictions")) == without_place(calm.rows("predictions")), "the rows differ")
    print(f"rows after the kills: {seen}", flush=True)


def named(line, name):
    for field in (b"site", b"capture_device"):
        line = re.sub(rb'"%s":"[^"]*"' % field, b'"%s":"%s"' % (field, name.encode()), line, count=1)
    return line


def nevus(record):
    return json.dumps({"schema": "skinsight.feedback.v1", "feedback_id": record["request_id"], "request_id": record["request_id"],
                       "label": "NV", "certainty": "histopathology",
                       "reviewed_at": 1579564800000})  # 2020-01-21: all at once, so that all of them count


def test_many_sites_and_devices(stack):
    """20,000 answers with a name of their own, and 60 names of which the larger ones have more and more: a report names the 50
    largest and `other`, whatever there is."""
    folder, archive, ordinary = clinic(stack, days=14, images_per_day=1800), Archive(stack, "many"), Archive(stack, "few")
    sizes = {f"site-{site:02}": 10 + site for site in range(60)}
    names = [f"clinic-{number:05}" for number in range(20000)] + [name for name, size in sizes.items() for _ in range(size)]
    lines = [line for line in (folder / "predictions.jsonl").read_bytes().splitlines() if b'"prediction":{' in line][:len(names)]
    expect_equal(len(lines), len(names), "answers")
    answers, labels, report = (stack.folder / f"many-{what}.jsonl" for what in ("answers", "labels", "report"))
    answers.write_bytes(b"".join(named(line, name) + b"\n" for line, name in zip(lines, names)))
    labels.write_text("".join(nevus(json.loads(line)) + "\n" for line in lines))
    archive.run("predictions", answers)
    archive.run("feedback", labels)
    ordinary.run("predictions", clinic(stack) / "predictions.jsonl")
    references = stack.folder / "references"
    references.mkdir()
    private = stack.folder / "many.pem"
    subprocess.run(["openssl", "genpkey", "-algorithm", "ed25519", "-out", private], check=True, capture_output=True)
    harness.run("monitor", "reference", "create", "few", "--from", "2020-01-06", "--to", "2020-01-13", "--references", references,
                *flags(ordinary.options), check=True)
    harness.run("monitor", "reference", "sign", "few", "--references", references, "--key", private, check=True)
    found = {}
    for kind in ("performance", "drift"):
        harness.run("monitor", "report", "--kind", kind, "--from", "2020-01-06", "--to", "2020-01-20", "--references", references,
                    "--json", report, *flags(archive.options), check=True)
        expect(report.stat().st_size < 1 << 20, f"the report on {kind} has {report.stat().st_size} bytes")
        found[kind] = json.loads(report.read_text())
    largest = dict(sorted(sizes.items(), key=lambda one: -one[1])[:50])
    wanted = {**largest, "other": len(names) - sum(largest.values())}
    for by in ("site", "device"):
        groups = {group["value"]: group["n"] for group in found["performance"]["subgroups"] if group["by"] == by}
        expect_equal(groups, wanted, f"labels by {by}")
    whole = max((row for row in found["drift"]["drift"] if row["stratum"] == "all" and row["feature"] == "site"),
                key=lambda row: row["n"])
    expect_equal((whole["n"], whole["unseen"]), (len(names), len(names)), "analyses that are compared, and those of unseen sites")
    known = {stratum["name"] for stratum in json.loads((references / "few.json").read_text())["strata"]}
    expect({row["name"] for row in found["drift"]["drift"]} <= known, "strata of names that the reference does not know")


if __name__ == "__main__":
    harness.main([test_once, test_bad_lines, test_kills, test_many_sites_and_devices])

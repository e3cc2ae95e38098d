#!/usr/bin/env python3
"""many_names.py: a site and a capture device of their own for each of a million answers, and 50 larger ones: what an import, a
reference and the reports of skinsight-monitor take beside the same answers of the simulated clinic's few. It judges nothing.

    tests/bench/many_names.py BIN-FOLDER SCRATCH [--records 1000000]

SCRATCH needs some 9 GB for a million.
"""
import argparse
import json
import pathlib
import re
import subprocess

from archive_import import timed

LARGE = 50


def name_of(number, records):
    if number < records:
        return b"clinic-%07d" % number
    number -= records
    for site in range(LARGE):
        if number < size_of(site):
            return b"site-%02d" % site
        number -= size_of(site)


def size_of(site):
    return 1000 + 10 * site


def rename(source, target, count, records):
    """Of `count` answers, errors left out. The large sites are spread over the weeks. A line at a time: what this process takes
    would count as the least that the programs take."""
    step, number = 7919, 0  # coprime to the count
    with source.open("rb") as lines, target.open("wb") as out:
        for line in lines:
            if number == count:
                break
            if b'"prediction":{' not in line:
                continue
            name = name_of(number * step % count, records)
            line = re.sub(rb'"site":"[^"]*"', b'"site":"%s"' % name, line, count=1)
            out.write(re.sub(rb'"capture_device":"[^"]*"', b'"capture_device":"%s"' % name, line, count=1))
            number += 1
    return number


def make(options, name, records):
    """A folder with the answers of four weeks, few.jsonl and many.jsonl, and their labels."""
    folder, count = options.scratch / name, records + sum(map(size_of, range(LARGE)))
    subprocess.run([options.bin / "skinsight-monitor", "simulate", "--days", "28", "--images-per-day", str(count * 102 // 100 // 28),
                    "--start", "2020-01-06", "--out", folder], check=True, stdout=subprocess.DEVNULL)
    (folder / "predictions.jsonl").rename(folder / "few.jsonl")
    print(f"{name}: {rename(folder / 'few.jsonl', folder / 'many.jsonl', count, records):,} answers", flush=True)
    return folder


def timed_step(options, what, name, *command):
    seconds, processor, memory = timed(options.bin / "skinsight-monitor", *command)
    print(f"{what:6} {name:12} {seconds:7.1f} s {processor:7.1f} s of processor time {memory:5} MiB", flush=True)


def measure(options, what, small, large):
    """The reference is of the small clinic's first week, the reports are of the large one's four."""
    references, key = options.scratch / f"references-{what}", options.scratch / f"{what}.pem"
    references.mkdir()
    subprocess.run(["openssl", "genpkey", "-algorithm", "ed25519", "-out", key], check=True, capture_output=True)
    step = lambda name, *command: timed_step(options, what, name, *command)
    stores = [("--store", f"sqlite://{folder}/{what}.db") for folder in (small, large)]
    step("small import", "import-predictions", small / f"{what}.jsonl", *stores[0])
    step("reference", "reference", "create", what, "--from", "2020-01-06", "--to", "2020-01-13", "--references", references, *stores[0])
    step("sign", "reference", "sign", what, "--references", references, "--key", key)
    step("import", "import-predictions", large / f"{what}.jsonl", *stores[1])
    step("labels", "import-feedback", large / "feedback.jsonl", *stores[1])
    sizes = []
    for kind, parts in (("drift", "drift"), ("performance", "subgroups")):
        report = options.scratch / f"{what}-{kind}.json"
        step(kind, "report", "--kind", kind, "--from", "2020-01-06", "--to", "2020-02-03", "--references", references, "--json", report,
             "--out", report.with_suffix(".html"), *stores[1])
        rows = {tuple(row.get(field) for field in ("stratum", "name", "by", "value")) for row in json.loads(report.read_text())[parts]}
        sizes.append(f"{kind}: {len(rows)} groups in {report.stat().st_size >> 10} KiB")
    print(f"{what:6} {'; '.join(sizes)}", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("bin", type=pathlib.Path)
    parser.add_argument("scratch", type=pathlib.Path)
    parser.add_argument("--records", type=int, default=1_000_000)
    options = parser.parse_args()
    options.scratch.mkdir(parents=True)
    options.scratch = options.scratch.resolve()
    small, large = make(options, "small", 20_000), make(options, "large", options.records)
    for what in ("few", "many"):
        measure(options, what, small, large)


if __name__ == "__main__":
    main()

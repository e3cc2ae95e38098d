#!/usr/bin/env python3
"""archive_import.py: skinsight-monitor's import of simulated terminal records (3 KB each) beside the bare database with the same
rows: a loop of prepared inserts (SQLite), COPY (PostgreSQL), with the same indexes. In turns; prints the medians. Then the
reports over 28 days of that year, of which one in twenty analyses has a label. It judges nothing.

    tests/bench/archive_import.py BIN-FOLDER SCRATCH [--records 1000000] [--rounds 3] [--only sqlite|postgres]

SCRATCH needs some 5 GB for a million records. PostgreSQL is started there as the user postgres where this is root.
"""
import argparse
import os
import pathlib
import re
import shutil
import socket
import statistics
import subprocess
import time

PERIOD_OF_REFERENCE = ("--from", "2020-06-01", "--to", "2020-07-27")
PERIOD = ("--from", "2020-11-02", "--to", "2020-11-30")  # labels of most are in
LABELLED_REFERRED = 16  # percent; with the 2 of those who wait, 50,000 of a million


def run(*command, **options):
    return subprocess.run([str(word) for word in command], check=True, text=True, capture_output=True, **options).stdout


def timed(*command):
    """Seconds, processor seconds, and most memory in MiB of one run of a program of ours."""
    start = time.monotonic()
    process = subprocess.Popen([str(word) for word in command], stdout=subprocess.DEVNULL)
    _, code, usage = os.wait4(process.pid, 0)
    if code:
        raise SystemExit(f"{command} failed")
    return time.monotonic() - start, usage.ru_utime + usage.ru_stime, usage.ru_maxrss // 1024


class Server:
    """PostgreSQL in a folder; flushes as it comes out of the box."""

    def __init__(self, folder):
        self.folder, self.programs = folder, sorted(pathlib.Path("/usr/lib/postgresql").glob("*/bin"))[-1]
        self.as_user = ["runuser", "-u", "postgres", "--"] if os.getuid() == 0 else []
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port = free.getsockname()[1]
        self.url = f"postgresql://skinsight@127.0.0.1:{self.port}/postgres"

    def __enter__(self):
        shutil.rmtree(self.folder, ignore_errors=True)
        self.folder.mkdir()
        if self.as_user:
            shutil.chown(self.folder, "postgres", "postgres")
        self.call("initdb", "-D", self.folder / "data", "-U", "skinsight", "--auth", "trust", "--no-sync")
        self.call("pg_ctl", "-D", self.folder / "data", "-w", "-l", self.folder / "log",
                  "-o", f"-p {self.port} -h 127.0.0.1 -k {self.folder}", "start")
        return self

    def __exit__(self, *_):
        self.call("pg_ctl", "-D", self.folder / "data", "-m", "fast", "stop")

    def call(self, program, *arguments):
        subprocess.run([*self.as_user, str(self.programs / program), *map(str, arguments)], check=True, cwd=self.folder,
                       stdout=subprocess.DEVNULL)

    def processor_s(self):
        """Of its processes that have ended, one for each connection."""
        pid = int((self.folder / "data" / "postmaster.pid").read_text().split()[0])
        fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
        return sum(int(fields[at]) for at in (13, 14)) / os.sysconf("SC_CLK_TCK")

    def timed(self, *command):
        before = self.processor_s()
        found = timed(*command)
        time.sleep(0.2)  # its process ends behind the connection
        return *found, self.processor_s() - before

    def sql(self, text):
        return run("psql", "-qAt", self.url, "-c", text)


def median(rows, what, records):
    """Of seconds, processor seconds, most memory and, where there is a server, its processor seconds."""
    seconds, processor, memory, *server = (statistics.median(column) for column in zip(*rows))
    print(f"{what:34} {seconds:7.1f} s {records / seconds:9,.0f}/s   {processor:6.1f} s of its processor time   {memory:5.0f} MiB"
          + "".join(f"   {used:6.1f} s of the server's" for used in server), flush=True)
    return seconds


def reports(options, scratch, store):
    """Times reports of the archive that was imported last. Labels come once, as an import ends with nothing to join them to."""
    monitor, folder = options.bin / "skinsight-monitor", scratch / "references"
    run(monitor, "import-feedback", scratch / f"clinic-{options.records}" / "feedback.jsonl", "--store", store)
    if not folder.exists():
        folder.mkdir()
        run("openssl", "genpkey", "-algorithm", "ed25519", "-out", scratch / "key.pem")
        run(monitor, "reference", "create", "spring", *PERIOD_OF_REFERENCE, "--references", folder, "--store", store)
        run(monitor, "reference", "sign", "spring", "--key", scratch / "key.pem", "--references", folder)
    for kind in ("drift", "performance"):
        rows = [timed(monitor, "report", "--kind", kind, *PERIOD, "--references", folder, "--store", store,
                      "--out", scratch / f"{kind}.html", "--json", scratch / f"{kind}.json") for _ in range(3)]
        seconds, processor, memory = (statistics.median(column) for column in zip(*rows))
        print(f"{'report, ' + kind:34} {seconds:7.2f} s {processor:6.2f} s of its processor time   {memory:5.0f} MiB", flush=True)


def sqlite(options, scratch, file, records):
    ours, bare = [], []
    for _ in range(options.rounds):
        for path in scratch.glob("*.db*"):
            path.unlink()
        ours.append(timed(options.bin / "skinsight-monitor", "import-predictions", file, "--store", f"sqlite://{scratch}/archive.db"))
        said = run(options.bin / "bench_archive", "inserts", scratch / "archive.db", scratch / "bare.db")
        seconds, processor = map(float, re.search(r"rows, ([\d.]+) s, ([\d.]+) s", said).groups())
        bare.append((seconds, processor, 0))
    mine, theirs = median(ours, "SQLite: import", records), median(bare, "SQLite: bare loop of inserts", records)
    print(f"{theirs / mine:.2f} of the bare loop")
    reports(options, scratch, f"sqlite://{scratch}/archive.db")


def postgres(options, scratch, file, records):
    ours, bare = [], []
    with Server(scratch / "postgres") as server:
        for _ in range(options.rounds):
            server.sql("DROP SCHEMA public CASCADE; CREATE SCHEMA public")
            ours.append(server.timed(options.bin / "skinsight-monitor", "import-predictions", file, "--store", server.url))
            server.sql(f"\\copy (SELECT * FROM monitor_predictions ORDER BY log, part, place) TO '{scratch}/rows' BINARY")
            server.sql("CREATE TABLE copied (LIKE monitor_predictions INCLUDING ALL)")
            bare.append(server.timed("psql", "-q", server.url, "-c", f"\\copy copied FROM '{scratch}/rows' BINARY"))
        mine, theirs = median(ours, "PostgreSQL: import", records), median(bare, "PostgreSQL: COPY", records)
        print(f"{theirs / mine:.2f} of COPY")
        reports(options, scratch, server.url)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("bin", type=pathlib.Path)
    parser.add_argument("scratch", type=pathlib.Path)
    parser.add_argument("--records", type=int, default=1_000_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", choices=["sqlite", "postgres"])
    options = parser.parse_args()
    scratch = options.scratch.resolve()
    scratch.mkdir(parents=True, exist_ok=True)
    scratch.chmod(0o755)
    clinic = scratch / f"clinic-{options.records}"
    if not clinic.exists():
        run(options.bin / "skinsight-monitor", "simulate", "--seed", 1, "--days", 365, "--images-per-day", options.records // 365,
            "--start", "2020-01-06", "--labelled-referred", LABELLED_REFERRED, "--out", clinic)
    file = clinic / "predictions.jsonl"
    records = int(run("wc", "-l", file).split()[0])
    print(f"{records:,} records of {file.stat().st_size / records:,.0f} bytes, medians of {options.rounds}, load {os.getloadavg()[0]:.1f}")
    for name, measure in (("sqlite", sqlite), ("postgres", postgres)):
        if options.only in (None, name):
            measure(options, scratch, file, records)
    print(f"load {os.getloadavg()[0]:.1f}")


if __name__ == "__main__":
    main()

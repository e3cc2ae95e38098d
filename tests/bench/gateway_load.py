#!/usr/bin/env python3
"""gateway_load.py RATE SECONDS [WORKERS]: bench_load against one gateway with a real broker and workers on the simulated
device: what the way through HTTP, SQL and Kafka costs, without a network of ours computing.

Prints bench_load's line, and the gateway's processor time and memory. Fails where an answer was crossed or lost.
"""
import os
import pathlib
import subprocess
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "support"))
import harness
from gateway import Gateway
from harness import expect_equal


def used(pid):
    """Seconds of processor time, and MiB at most."""
    fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    status = pathlib.Path(f"/proc/{pid}/status").read_text()
    peak = next(line for line in status.splitlines() if line.startswith("VmHWM"))
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK"), int(peak.split()[1]) // 1024


def run_load(stack):
    with stack.fleet("load", partitions=4) as fleet, Gateway(fleet) as gateway:
        for i in range(workers):
            fleet.start(f"worker-{i}", backend="simulated").wait_ready()
        key = stack.folder / "key"
        key.write_text(gateway.add_key("north").key)
        before, _ = used(gateway.process.pid)
        done = subprocess.run([harness.BIN / "bench_load", f"http://127.0.0.1:{gateway.port}", key, rate, seconds, harness.DATA],
                              stdout=subprocess.PIPE, text=True)
        after, peak_mib = used(gateway.process.pid)
        print(done.stdout.strip(), flush=True)
        print(f"gateway: {after - before:.2f} s of processor time, {peak_mib} MiB at most", flush=True)
        expect_equal(done.returncode, 0, "bench_load's exit code")


if __name__ == "__main__":
    if len(sys.argv) not in (3, 4):
        sys.exit(__doc__)
    rate, seconds, workers = sys.argv[1], sys.argv[2], int((sys.argv[3:] or ["1"])[0])
    del sys.argv[1:]
    harness.main([run_load], "kafka")

#!/usr/bin/env python3
"""gateway_clients.py [SECONDS [CLIENTS]]: clinics, each with a key and a site of its own, ask one gateway half as fast as
`submit` feeds the same fleet (600 seconds, 200 clients). Real broker, one worker on a simulated device of 10 ms an image.

Prints submit's rate, bench_load's line and the gateway's processor time. Fails where an answer was
crossed or lost, or where the topics don't hold a job and an answer for each request let in.
"""
import json
import os
import pathlib
import subprocess
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "support"))
import harness
from gateway import Gateway
from harness import expect, expect_equal

PICTURES, DEVICE_US = 500, 10_000


def submit_rate(fleet, folder):
    """Images a second; the second run, as the first finds everything cold."""
    for _ in range(2):
        start = time.monotonic()
        answers = fleet.submit("--wait", folder)
        seconds = time.monotonic() - start
        expect_equal(len(answers), PICTURES, "answers to submit")
    return PICTURES / seconds


def seconds_used(pid):
    fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def ask_at_once(stack):
    with stack.fleet("clients", partitions=4) as fleet, Gateway(fleet) as gateway:
        fleet.start("worker", backend="simulated",
                    environment={"SKINSIGHT_SIMULATED_US": f"0,{DEVICE_US}"}).wait_ready()
        pictures = stack.folder / "pictures"
        harness.make_images(pictures, PICTURES)
        rate = submit_rate(fleet, pictures)
        print(f"submit: {rate:.1f} images/s", flush=True)
        before = len(fleet.jobs())
        keys = stack.folder / "key"
        keys.write_text("\n".join(gateway.add_key(f"clinic-{i}").key for i in range(clients)))
        used = seconds_used(gateway.process.pid)
        done = subprocess.run([harness.BIN / "bench_load", f"http://127.0.0.1:{gateway.port}", keys, str(rate / 2),
                               str(seconds), pictures], stdout=subprocess.PIPE, text=True)
        print(done.stdout.strip(), flush=True)
        print(f"gateway: {seconds_used(gateway.process.pid) - used:.1f} s of processor time", flush=True)
        expect_equal(done.returncode, 0, "bench_load's exit code: an answer was crossed or lost")
        figures = json.loads(done.stdout)
        let_in = figures["answered"]
        expect(let_in + sum(figures["refused"].values()) == figures["sent"], "each request has an end")
        expect_equal((len(fleet.jobs()) - before, len(fleet.answers()) - before), (let_in, let_in), "jobs, and their answers")


if __name__ == "__main__":
    seconds, clients = (int(text) for text in (sys.argv[1:] + ["600", "200"][len(sys.argv) - 1:]))
    del sys.argv[1:]
    harness.main([ask_at_once], "kafka")

#!/usr/bin/env python3
"""test_deploy.py: services.sh where something goes wrong: a process that is gone at once, one that cannot be ended."""
import os
import pathlib
import shutil
import subprocess
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "support"))
import harness
from harness import Skipped, expect, expect_equal

NOBODY = 65534


def services(*arguments, script=harness.SERVICES, **options):
    return subprocess.run(["sh", script, *arguments], capture_output=True, text=True, stdin=subprocess.DEVNULL,
                          timeout=harness.WAIT_S, **options)


def written_down(name, process):
    """A line of `processes`."""
    start_time = pathlib.Path(f"/proc/{process.pid}/stat").read_text().rsplit(") ", 1)[1].split()[19]
    return f"{name} {process.pid} {start_time}\n"


def test_gone_at_once(stack):
    """What was gone before its start time could be read is not running, and nothing waits for its end."""
    folder = stack.folder / "gone"
    folder.mkdir()
    process = subprocess.Popen(["true"])
    process.wait()
    (folder / "processes").write_text(f"gone {process.pid} \n")
    expect_equal(services("pid", folder, "gone").returncode, 1, "exit code of pid")
    done = services("stop", folder)
    expect_equal((done.returncode, done.stderr), (0, ""), "stop")


def test_stop_goes_on(stack):
    """What cannot be ended makes stop fail, but all the rest is ended."""
    if os.getuid() != 0:
        raise Skipped("only root can start a process that the script may not signal")
    stack.folder.chmod(0o711)
    folder = stack.folder / "stubborn"
    folder.mkdir()
    script = shutil.copy(harness.SERVICES, folder)
    (folder / "sleep").write_text("#!/bin/sh\n")  # so that it gives up soon
    (folder / "sleep").chmod(0o755)
    mortal = subprocess.Popen(["sleep", "600"], user=NOBODY)
    immortal = subprocess.Popen(["sleep", "600"])
    try:
        (folder / "processes").write_text(written_down("mortal", mortal) + written_down("immortal", immortal))
        done = services("stop", folder, script=script, user=NOBODY,
                        env=harness.clean_environment(PATH=f"{folder}:{os.environ['PATH']}", HOME=str(folder)))
        expect("immortal" in done.stderr and "cannot be ended" in done.stderr, f"stop says {done.stderr!r}")
        expect_equal(done.returncode, 1, "exit code of stop")
        expect(immortal.poll() is None, "the process that may not be signalled has ended")
        expect(mortal.poll() is not None, "the other process still runs")
    finally:
        for process in (mortal, immortal):
            process.kill()
            process.wait()


if __name__ == "__main__":
    harness.main([test_gone_at_once, test_stop_goes_on])

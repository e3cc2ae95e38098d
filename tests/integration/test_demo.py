#!/usr/bin/env python3
"""test_demo.py: deploy/demo.sh as somebody runs it: the answers and maps, --keep, and what is left after an interruption.

Every demo works below the test's scratch folder, so a process that was left behind is known by its folder or its
command line.
"""
import contextlib
import json
import os
import pathlib
import re
import shutil
import signal
import subprocess
import sys
import urllib.request

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "support"))
import harness
from harness import expect, expect_equal, wait_until
from invariants import png_complaint

DEMO = harness.ROOT / "deploy/demo.sh"
KAFKA = subprocess.run(["sh", harness.SERVICES, "fetch-kafka"], capture_output=True, text=True).stdout.strip()
NOT_CLINICAL = "NOT FOR CLINICAL USE"
SIDE = 168  # of the pictures that the demo's model takes
DEMO_S = 300


class Demo:
    """A demo.sh that runs in folder; its standard output is read line by line, and kept in `said`."""

    def __init__(self, stack, folder, *arguments, programs="/usr/bin"):
        self.folder = folder
        folder.mkdir()
        env = harness.clean_environment(TMPDIR=str(folder), SKINSIGHT_CACHE_DIR=str(folder / "cache"), HOME=str(folder / "home"),
                                        SKINSIGHT_KAFKA_LIBS=KAFKA, PATH=f"{programs}:{os.environ['PATH']}")
        self.errors = folder / "errors.log"
        with open(self.errors, "wb") as errors:
            self.process = subprocess.Popen(["sh", DEMO, *arguments], env=env, stdin=subprocess.DEVNULL,
                                            stdout=subprocess.PIPE, stderr=errors, text=True)
        stack.register(folder.name, self.process.pid)
        self.said = ""

    def read_until(self, text):
        for line in self.process.stdout:
            self.said += line
            if text in line:
                return
        expect(False, f"the demo never says '{text}':\n{self.said}{self.errors.read_text()}")

    def finish(self, signal_number=None):
        """Reads the rest; the exit code."""
        if signal_number:
            self.process.send_signal(signal_number)
        self.said += self.process.communicate(timeout=DEMO_S)[0] or ""
        return self.process.returncode

    def scratch(self):
        return next(self.folder.glob("skinsight-demo.*"))

    def left_running(self):
        """What still runs and has something to do with this demo."""
        found = []
        for process in pathlib.Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError):
                command = (process / "cmdline").read_bytes().decode(errors="replace").replace("\0", " ")
                if str(self.folder) in command or self.folder in (process / "cwd").resolve().parents:
                    found.append(f"{process.name}: {command}")
        for line in "".join(path.read_text() for path in self.folder.glob("skinsight-demo.*/processes")).splitlines():
            name, pid, born = line.split(" ")
            with contextlib.suppress(OSError):
                fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(") ", 1)[1].split()
                if fields[0] != "Z" and fields[19] == born:
                    found.append(f"{pid}: {name}")
        return found

    def check_nothing_runs(self, when):
        wait_until(lambda: not self.left_running(), f"all is ended when {when}", 30)
        expect_equal(sorted(self.folder.glob("home/.cache/skinsight")), [], f"another cache folder when {when}")

    def check_answers(self, count):
        """The summary, the warning before and behind it, and a map for each image."""
        text = self.said
        expect(f"{count} of {count} sent, {count} answered" in text, f"not every image is answered:\n{text}")
        expect(text.index(NOT_CLINICAL) < text.index(" sent, ") < text.rindex(NOT_CLINICAL), "a warning is missing")
        expect("untrained" not in text, "the demo's model is untrained")
        row = re.search(r"^\S*/no_lesion\.jpg .*$", text, re.MULTILINE)
        expect(row and "abstains: " in row[0] and " monitor " not in row[0], f"the answer to what is no lesion:\n{text}")
        maps = re.findall(r"^ +(/\S+\.png)$", text, re.MULTILINE)
        expect_equal(len(set(maps)), count, "maps that are shown")
        for path in maps:
            complaint = png_complaint(pathlib.Path(path).read_bytes(), SIDE)
            expect(complaint is None, f"{path}: {complaint}")
        self.check_gateway()

    def check_gateway(self):
        """The answer over HTTP is shown, and is the one that came through Kafka where that is in the table."""
        answer = json.loads((self.scratch() / "answer.json").read_text())
        shown = self.said[self.said.index("/v2/analyze\n"):]
        expect(json.loads(shown[shown.index("{"):shown.rindex("}") + 1]) == answer, f"the gateway's answer is shown:\n{shown}")
        prediction = answer["prediction"]
        row = re.search(r"^\S*/ISIC_0000013\.jpg +(\S+) +(\S+) +(\d+)", self.said, re.MULTILINE)
        said = (prediction["primary_diagnosis"], f"{prediction['confidence']:.3f}", str(prediction["risk_score"]))
        expect(row is None or row.groups() == said, f"over HTTP {said}, in the table {row and row[0]}")
        expect_equal((self.scratch() / "key").stat().st_mode & 0o077, 0, "what others may do with the key")


def test_demo(stack):
    """The whole of it, as the README has it."""
    demo = Demo(stack, stack.folder / "demo")
    expect_equal(demo.finish(), 0, f"exit code of the demo, which said {demo.said}{demo.errors.read_text()}")
    demo.check_answers(8)
    expect("Kafka, Redis, the workers and the gateway are stopped." in demo.said, "the demo does not say that all is stopped")
    demo.check_nothing_runs("the demo is over")
    expect(re.search(r"^\d of 8 diagnoses are the known ones$", demo.said, re.MULTILINE), "the labels are not shown")


def command_after(text, sentence):
    """The command that stands in the line behind the sentence."""
    return text[text.index(sentence):].splitlines()[1].strip()


def shell(command):
    return subprocess.run(["sh", "-c", command], capture_output=True, text=True, stdin=subprocess.DEVNULL,
                          env=harness.clean_environment(), timeout=DEMO_S)


def test_keep(stack):
    """With --keep it stays, answers more, and goes when it is told so; links to images count as images."""
    images = harness.make_images(stack.folder / "images", 4)
    linked = stack.folder / "linked"
    linked.mkdir()
    for image in images[:3]:
        (linked / image.name).symlink_to(image)
    demo = Demo(stack, stack.folder / "keep", "--keep", linked)
    try:
        expect_equal(demo.finish(), 0, f"exit code of the demo, which said {demo.said}{demo.errors.read_text()}")
        demo.check_answers(3)
        for name in ("kafka-controller", "kafka", "redis", "worker-1", "worker-2", "gateway"):
            shell_name = f"sh '{harness.SERVICES}' pid '{demo.scratch()}' {name}"
            expect_equal(shell(shell_name).returncode, 0, f"{name} runs after --keep")
        more = command_after(demo.said, "Analyse more with")
        done = shell(more.replace("FILE...", f"'{images[3]}'"))
        expect("1 of 1 sent, 1 answered" in done.stdout, f"'{more}': {done.stdout}{done.stderr}")
        with urllib.request.urlopen(command_after(demo.said, "The page for physicians is at"), timeout=30) as page:
            expect(page.status == 200 and b"<title>SkinSight" in page.read(), "the page's address")
        stop = command_after(demo.said, "Stop it with")
        done = shell(stop)
        expect_equal(done.returncode, 0, f"exit code of '{stop}' ({done.stderr})")
        demo.check_nothing_runs("the kept demo was told to stop")
    finally:
        for scratch in demo.folder.glob("skinsight-demo.*"):
            subprocess.run(["sh", harness.SERVICES, "stop", scratch], check=False)


def test_interrupted(stack):
    """Ctrl-C at each step: exit code 130 and nothing runs."""
    for line in ("Building", "Starting Kafka", " diagnosis "):
        name = "interrupted-" + line.strip().split()[0]
        demo = Demo(stack, stack.folder / name)
        demo.read_until(line)
        expect_equal(demo.finish(signal.SIGINT), 130, f"exit code of {name} ({demo.errors.read_text()})")
        demo.check_nothing_runs(name)


# What a shell is told just after its fork is lost when the handlers that it came with take it.
DEAF_AT_FIRST = f"""#!/bin/sh
trap '' TERM
sleep 0.5
trap - TERM
exec {shutil.which("setsid")} "$@"
"""


def test_interrupted_at_fork(stack):
    """A child that does not hear the first signal is told again."""
    programs = stack.folder / "deaf"
    programs.mkdir()
    (programs / "setsid").write_text(DEAF_AT_FIRST)
    (programs / "setsid").chmod(0o755)
    demo = Demo(stack, stack.folder / "at-fork", programs=programs)
    demo.read_until("Starting Kafka")
    expect_equal(demo.finish(signal.SIGINT), 130, f"exit code ({demo.errors.read_text()})")
    demo.check_nothing_runs("it is interrupted at a fork")


def test_monitor(stack):
    """Twelve simulated weeks; the new camera is among the alarms, the page is there, and all ends when it is told so."""
    demo = Demo(stack, stack.folder / "monitor", "--monitor")
    demo.read_until("until you press Ctrl-C")
    page = demo.process.stdout.readline().strip()
    expect(re.search(r"^    critical  input_drift$", demo.said, re.MULTILINE), f"no alarm of the input:\n{demo.said}")
    for kind in ("drift", "performance"):
        html = (demo.scratch() / f"{kind}.html").read_text()
        expect(html.startswith("<!DOCTYPE html>") and "<svg" in html, f"the report {kind}: {html[:200]}")
    with urllib.request.urlopen(page, timeout=30) as answer:
        expect("SkinSight monitor" in answer.read().decode(), f"the page at {page}")
    expect_equal(demo.finish(signal.SIGINT), 130, f"exit code ({demo.errors.read_text()})")
    expect("The monitor is stopped." in demo.said, "the demo does not say that the monitor is stopped")
    demo.check_nothing_runs("the monitor's demo is interrupted")


def test_closed_pipe(stack):
    """`demo.sh | head`: nothing runs when nobody listens any more."""
    for line in (NOT_CLINICAL, "Starting Kafka", " diagnosis "):
        name = "closed-" + line.strip("* ").split()[0]
        demo = Demo(stack, stack.folder / name)
        demo.read_until(line)
        demo.process.stdout.close()
        expect(demo.process.wait(DEMO_S) > 0, f"{name} ended with {demo.process.returncode}")
        demo.check_nothing_runs(name)


if __name__ == "__main__":
    if harness.BIN.resolve() != harness.ROOT / "build/release/bin":
        print("skipped: the demo builds and runs build/release, whatever is tested", file=sys.stderr)
        sys.exit(harness.SKIPPED)
    harness.skip_without("dpkg-query", "curl", "mvn")
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell cannot trap a signal that it found ignored
    harness.main([test_demo, test_keep, test_interrupted, test_interrupted_at_fork, test_closed_pipe, test_monitor])

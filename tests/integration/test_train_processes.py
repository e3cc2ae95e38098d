#!/usr/bin/env python3
"""test_train_processes.py: processes that mpirun starts train one model, as one process does: gradients and losses, the
files, a stop, a death, and that what one of them can't do is one sentence. No services; pictures are made here.

    test_train_processes.py [--full] [TEST...]      --full trains ViT-Tiny and ResNet-18 at 224 pixels too
"""
import csv
import json
import os
import pathlib
import shutil
import signal
import subprocess
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "support"))
import harness
from conditions import expect, expect_equal, wait_until
from program_tests import run_tests
from test_train import command, make_data, place, train, weights_of

FULL = "--full" in sys.argv
BESIDE_ONE = harness.BIN / "train_processes"  # tests/support/train_processes.c
# Binding would leave both processes on one processor where only one is free.
MPIRUN = ["mpirun", "--allow-run-as-root", "--oversubscribe", "--bind-to", "none", "-q"]
SHORT = ["--epochs", "2", "--threads", "1"]
# Each process writes its number, as OUT.pid.RANK, and becomes the trainer.
NAMED = ["sh", "-c", 'echo $$ > "$0.pid.$OMPI_COMM_WORLD_RANK"; exec "$@"']


def mpirun(*arguments):
    return subprocess.run([*MPIRUN, *map(str, arguments)], capture_output=True, text=True, timeout=600 if FULL else 120,
                          stdin=subprocess.DEVNULL)


def train_two(scratch, out, *more):
    return mpirun("-n", "2", *command(scratch, out, *SHORT, *more))


def losses(scratch, out):
    with open(scratch / out / "history.csv", newline="") as file:
        return [[float(row[name]) for name in ("train_loss", "val_loss", "val_balanced_accuracy")]
                for row in csv.DictReader(file)]  # fmt: skip


def whole_run(scratch):
    """The undisturbed training by two processes, made once."""
    if not (scratch / "two/manifest.json").exists():
        done = train_two(scratch, "two")
        expect_equal(done.returncode, 0, done.stderr)
        expect_equal([line.split(":")[0] for line in done.stdout.splitlines()],
                     ["epoch 1 of 2", "epoch 2 of 2", str(scratch / "two")], "what the processes say")
    return weights_of(scratch, "two")


def test_beside_one_process(scratch):
    runs = [(2, "mini_vit", 0, 6, 20, "1e-4"), (2, "mini_resnet", 0, 6, 20, "1e-4"), (3, "mini_vit", 0, 7, 5, "1e-4"),
            (2, "mini_efficientnet", 0, 6, 20, "1e-4"), (3, "mini_resnet", 0, 2, 5, "1e-4")]  # one without an image
    if FULL:
        runs += [(2, "vit_tiny_patch16_224", 224, 8, 20, "1e-4"), (2, "resnet18", 224, 8, 20, "1e-4"),
                 (2, "resnet18", 96, 7, 5, "1e-4")]
    for processes, *arguments in runs:
        done = mpirun("-n", processes, BESIDE_ONE, *arguments)
        print(done.stdout, end="")
        expect_equal(done.returncode, 0, f"{arguments}: {done.stdout}{done.stderr}")


def test_a_training_makes_the_same_model(scratch):
    whole_run(scratch)
    done = train(scratch, "one", *SHORT)
    expect_equal(done.returncode, 0, done.stderr)
    one, two = losses(scratch, "one"), losses(scratch, "two")
    for a, b in zip(sum(one, []), sum(two, [])):
        expect(abs(a - b) <= 1e-5 * abs(a), f"one process {one}, two {two}")
    expect(one != two, "two processes have the bits of one: did both compute?")
    manifest = json.loads((scratch / "two/manifest.json").read_text())
    expect_equal(manifest["training"]["recipe"]["processes"], "2", "the recipe")
    expect("processes" not in json.loads((scratch / "one/manifest.json").read_text())["training"]["recipe"], "one process's")


def start_named(scratch, out):
    process = subprocess.Popen([*MPIRUN, "-n", "2", *NAMED, str(scratch / out), *command(scratch, out, *SHORT),
                                "--checkpoint-s", "0"], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                               stderr=subprocess.PIPE, text=True)  # fmt: skip
    wait_until(lambda: place(scratch, out) >= (0, 1) or process.poll() is not None, "a checkpoint", timeout_s=120)
    return process, int((scratch / f"{out}.pid.1").read_text())


def go_on(scratch, out):
    expect(not (scratch / out / "manifest.json").exists(), "it left a model")
    done = train_two(scratch, out, "--resume")
    expect_equal(done.returncode, 0, done.stderr)
    expect_equal(weights_of(scratch, out), whole_run(scratch), f"weights of {out}")


def test_one_is_asked_to_stop(scratch):
    process, second = start_named(scratch, "stopped")
    os.kill(second, signal.SIGTERM)
    _, said = process.communicate(timeout=120)
    expect(process.returncode == 1 and said.count("stopped and saved") == 1, f"{process.returncode}: {said}")
    done = train(scratch, "stopped", *SHORT, "--resume")
    expect(done.returncode == 1 and "made with processes=2, this run has none of it" in done.stderr, done.stderr)
    go_on(scratch, "stopped")


def test_one_is_killed(scratch):
    process, second = start_named(scratch, "killed")
    os.kill(second, signal.SIGKILL)
    process.communicate(timeout=120)
    expect(process.returncode != 0, "a training without one of its processes is well")
    go_on(scratch, "killed")


def test_what_one_cannot_do(scratch):
    def both(first, second):
        return mpirun("-n", "1", *command(scratch, "no", *SHORT, *first), ":", "-n", "1",
                      *command(scratch, "no", *SHORT, *second))

    for first, second, sentence in [([], ["--data", "/nowhere.csv"], "/nowhere.csv"), (["--init", "/nowhere"], [], "/nowhere"),
                                    ([], ["--seed", "4"], "the processes differ in build, options, data or checkpoint"),
                                    ([], ["--batch", "1"], "2 processes can't share a batch of 1 images")]:
        done = both(first, second)
        expect(done.returncode == 1 and done.stderr.count(sentence) == 1, f"{first} {second}: {done.returncode}, {done.stderr}")
        expect(not (scratch / "no").exists(), f"{first} {second} left a folder")


def test_a_picture_that_goes(scratch):
    make_data(scratch / "data2")
    process = subprocess.Popen([*MPIRUN, "-n", "2", *command(scratch, "gone", "--threads", "1", "--epochs", "9999"), "--data",
                                str(scratch / "data2/data.csv"), "--picture-cache", "0"], stdin=subprocess.DEVNULL,
                               stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)  # fmt: skip
    wait_until(lambda: place(scratch, "gone") >= (1, 0) or process.poll() is not None, "an epoch", timeout_s=120)
    (scratch / "data2/NV5.jpg").unlink()
    _, said = process.communicate(timeout=120)
    expect(process.returncode == 1 and said.count("NV5.jpg: ") == 1, f"{process.returncode}: {said}")


TESTS = [test_beside_one_process, test_a_training_makes_the_same_model, test_one_is_asked_to_stop, test_one_is_killed,
         test_what_one_cannot_do, test_a_picture_that_goes]


def main():
    if not shutil.which("mpirun") or not BESIDE_ONE.exists():
        print("skipped: Open MPI is missing here, or was when this was built: deploy/install.sh --mpi installs it", file=sys.stderr)
        sys.exit(harness.SKIPPED)
    run_tests(TESTS, "processes", make_data)


if __name__ == "__main__":
    main()

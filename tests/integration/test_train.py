#!/usr/bin/env python3
"""test_train.py: a training from the command line: what it writes, that it can be killed, stopped and gone on with bit
for bit, and that each bad input is a sentence with the way out. No services; pictures are made here.

    test_train.py [--full] [TEST...]      --full kills the training five times instead of two
"""
import csv
import hashlib
import json
import pathlib
import re
import resource
import signal
import subprocess
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "support"))
import chaos
import harness
from conditions import expect, expect_equal, open_paths, wait_until
from program_tests import run_tests
from schema import Schema

FULL = "--full" in sys.argv
KILLS = 5 if FULL else 2
CODES = ["MEL", "NV", "BCC", "AK"]
OPTIONS = ["--arch", "vit_tiny_patch16_224", "--image-size", "32", "--epochs", "3", "--warmup-epochs", "1", "--batch", "5",
           "--lr", "3e-4", "--seed", "3", "--average", "0.9"]  # fmt: skip
EACH_BATCH = ["--checkpoint-s", "0"]
COLOURS = {"MEL": 0, "NV": 40, "BCC": 80, "AK": 120}


def make_data(folder, per_class=7):
    """Solid pictures, a colour for each class; four lesions of each in training, one in validation, two in test."""
    folder.mkdir()
    rows = []
    for code in CODES:
        for number in range(per_class):
            name = f"{code}{number}.jpg"
            split = "validation" if number == 0 else "test" if number < 3 else "train"
            jpeg = chaos.solid_jpeg(chaos.colour(COLOURS[code] + 3 * number), size=40, comment=name.encode())
            (folder / name).write_bytes(jpeg)
            rows.append({"file": name, "label": code, "lesion_id": name, "split": split})
    with open(folder / "data.csv", "w", newline="") as file:
        writer = csv.DictWriter(file, fieldnames=list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return rows


def command(scratch, out, *more):
    return [str(harness.BIN / "skinsight-trainer"), "train", "--data", str(scratch / "data/data.csv"), "--out",
            str(scratch / out), *OPTIONS, *more]


def train(scratch, out, *more, **options):
    return subprocess.run(command(scratch, out, *more), capture_output=True, text=True, timeout=300,
                          stdin=subprocess.DEVNULL, umask=0, **options)


def weights_of(scratch, out):
    """Digests of the model, which is of the best epoch, and of the last step's parameters, moments and running mean."""
    blocks = [next((scratch / out / "checkpoint").glob(f"{part}-*.bin"))
              for part in ("parameters", "first_moments", "second_moments", "average")]  # fmt: skip
    return [hashlib.sha256(path.read_bytes()).hexdigest()
            for path in (scratch / out / "model.safetensors", *blocks)]


def place(scratch, out):
    """Epoch and batch of the checkpoint, (-1, 0) where there is none."""
    try:
        state = json.loads((scratch / out / "checkpoint/checkpoint.json").read_text())
    except FileNotFoundError:
        return -1, 0
    return state["epoch"], state["batch"]


def expect_fits(schema, path):
    complaints = Schema(schema).complaints(json.loads(path.read_text()))
    expect(not complaints, f"{path.name} is not what {schema}.json says:\n  " + "\n  ".join(complaints))


def whole_run(scratch):
    """The undisturbed training, made once."""
    if not (scratch / "whole/manifest.json").exists():
        done = train(scratch, "whole")
        expect_equal(done.returncode, 0, done.stderr)
    return weights_of(scratch, "whole")


def test_a_training_makes_a_model(scratch):
    whole_run(scratch)
    out = scratch / "whole"
    with open(out / "history.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    expect_equal([list(row) for row in rows],
                 [["epoch", "train_loss", "val_loss", "val_balanced_accuracy", "lr", "images_per_s"]] * 3, "history.csv")
    rates = [float(row["lr"]) for row in rows]
    for found, wanted in zip(rates, [3e-6, 3e-4, 1.5e-4]):
        expect(abs(found / wanted - 1) < 1e-9, f"learning rates {rates}")
    expect((out / "history.html").read_text().count("<svg") == 3, "history.html has no three charts")
    with open(out / "split.csv", newline="") as file:
        parts = [row["split"] for row in csv.DictReader(file)]
    expect_equal([parts.count(part) for part in ("train", "validation", "test")], [16, 4, 8], "split.csv")
    expect_fits("checkpoint", out / "checkpoint/checkpoint.json")
    expect_fits("manifest", out / "manifest.json")
    best = next((out / "checkpoint").glob("best-*.bin"))
    expect(best.read_bytes() != next((out / "checkpoint").glob("parameters-*.bin")).read_bytes(), "no mean is kept")
    manifest = json.loads((out / "manifest.json").read_text())
    best = max(range(3), key=lambda epoch: (float(rows[epoch]["val_balanced_accuracy"]), -epoch))
    expect_equal(manifest["training"]["best_epoch"], best, "the best epoch")
    expect_equal(manifest["training"]["recipe"]["lr"], "3e-4", "the recipe's rate")
    expect(manifest["trained"], "a trained model says that it is not")
    model = {"manifest.json", "model.safetensors", "known_answers.json", "card.md"}  # they say nothing of patients
    expect_equal([path for path in open_paths(out) if pathlib.Path(path).name not in model], [], "open to others")
    done = harness.run("worker", "classify", "--model", out, scratch / "data/MEL0.jpg", check=True)
    expect_equal(json.loads(done.stdout)["model_version"], "vit-tiny-v0.1.0", "classify")


def test_threads_and_cache_change_nothing(scratch):
    done = train(scratch, "other", "--threads", "1", "--picture-cache", "0")
    expect_equal(done.returncode, 0, done.stderr)
    expect_equal(weights_of(scratch, "other"), whole_run(scratch), "weights with one thread")


def test_killed_in_an_epoch(scratch):
    for kill in range(KILLS):
        wanted = divmod(2 + 8 * kill // (KILLS - 1), 4)  # 16 images in batches of 5: batches 0 to 3 of three epochs
        process = subprocess.Popen(command(scratch, "killed", *EACH_BATCH, *(["--resume"] if kill else [])), stdin=subprocess.DEVNULL,
                                   stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        try:
            wait_until(lambda: place(scratch, "killed") >= wanted or process.poll() is not None, f"batch {wanted}",
                       timeout_s=120)
            expect(process.poll() is None, f"ended by itself: {process.poll()}")
        finally:
            process.kill()
            process.communicate()
    expect(not (scratch / "killed/manifest.json").exists(), "a killed training left a model")
    done = train(scratch, "killed", "--resume")
    expect_equal(done.returncode, 0, done.stderr)
    expect_equal(weights_of(scratch, "killed"), whole_run(scratch), f"weights after {KILLS} kills")


def leave(scratch, out):
    """A training that was stopped by SIGINT in its first epochs."""
    process = subprocess.Popen(command(scratch, out, *EACH_BATCH), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                               stderr=subprocess.PIPE, text=True)
    wait_until(lambda: place(scratch, out) >= (0, 1) or process.poll() is not None, "a checkpoint", timeout_s=120)
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=120)
    return process.returncode, said


def limit_files():
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, resource.getrlimit(resource.RLIMIT_FSIZE)[1]))


def test_stopped_and_out_of_disk(scratch):
    whole_run(scratch)
    harness.run("trainer", "import", "--arch", "vit_tiny_patch16_224", "--random", "8", "--image-size", "32", "--out",
                scratch / "start", check=True)
    code, said = leave(scratch, "stopped")
    expect(code == 1 and "stopped and saved" in said and "--resume goes on" in said, f"{code}: {said}")
    before = place(scratch, "stopped")
    done = train(scratch, "stopped", *EACH_BATCH, "--resume", preexec_fn=limit_files)
    expect(done.returncode == 1 and "can't be written" in done.stderr and "the checkpoint before it holds" in done.stderr,
           f"a full disk: {done.returncode}: {done.stderr}")
    expect_equal(place(scratch, "stopped"), before, "the checkpoint after a full disk")
    done = train(scratch, "stopped")
    expect(done.returncode == 1 and "go on with --resume" in done.stderr, done.stderr)
    for more, sentence in [(["--lr", "1e-3"], "made with lr=3e-4, this run has lr=1e-3"),
                           (["--image-size", "48"], "images of 32 pixels a side, this run of 48"),
                           (["--arch", "vit_small_patch16_224"], "is of vit_tiny_patch16_224"),
                           (["--where", "label!=AK"], "another data set or split"),
                           (["--arch", "", "--init", str(scratch / "start")], "made with init=, this run has init="),
                           (["--teacher", str(scratch / "whole")], "made with teacher=, this run has teacher=")]:
        done = train(scratch, "stopped", "--resume", *more)
        expect(done.returncode == 1 and sentence in done.stderr, f"{more}: {done.stderr}")
    state = scratch / "stopped/checkpoint/checkpoint.json"
    ours = state.read_text()
    state.write_text(json.dumps({**json.loads(ours), "build": "0.0.1+abc"}))
    done = train(scratch, "stopped", "--resume")
    expect(done.returncode == 1 and "is of build 0.0.1+abc, this is" in done.stderr and "--any-build" in done.stderr,
           f"another build: {done.stderr}")
    state.write_text(ours)
    done = train(scratch, "stopped", "--resume")
    expect_equal(done.returncode, 0, done.stderr)
    expect_equal(weights_of(scratch, "stopped"), whole_run(scratch), "weights after a stop and a full disk")
    done = train(scratch, "stopped", "--resume")
    expect(done.returncode == 1 and "holds a model already" in done.stderr, done.stderr)


def test_a_loss_that_is_no_number(scratch):
    done = train(scratch, "wild", "--lr", "1e30", "--warmup-epochs", "0", *EACH_BATCH)
    expect(done.returncode == 1 and re.search(r"epoch \d+, batch \d+, step \d+: the (loss|gradients' norm) is", done.stderr),
           f"{done.returncode}: {done.stderr}")
    expect(place(scratch, "wild") >= (0, 1), "no checkpoint is left")
    expect(not (scratch / "wild/manifest.json").exists(), "a model is there")


def test_other_recipes(scratch):
    done = train(scratch, "early", "--epochs", "9", "--warmup-epochs", "0", "--lr", "1e-12", "--patience", "1",
                 "--sampler", "shuffle", "--class-weights", "inverse", "--augment", "none", "--decay", "all",
                 "--label-smoothing", "0.1", "--dropout", "0", "--diversity", "0")  # fmt: skip
    expect_equal(done.returncode, 0, done.stderr)
    rows = (scratch / "early/history.csv").read_text().splitlines()[1:]
    expect_equal(len(rows), 2, "epochs of a training that doesn't get better, with a patience of one")
    expect("model vit-tiny-v0.1.0 of epoch 1" in done.stdout, done.stdout)
    done = train(scratch, "alone", "--where", "split=train", "--split", "1,0,0", "--epochs", "1", "--warmup-epochs", "0")
    expect(done.returncode == 0 and "no validation part judged it" in done.stdout, done.stdout + done.stderr)


def test_a_start_from_a_model(scratch):
    whole_run(scratch)
    done = train(scratch, "tuned", "--arch", "", "--init", str(scratch / "whole"), "--image-size", "48", "--epochs", "1",
                 "--warmup-epochs", "0", "--freeze-blocks", "11", "--head-lr", "1e-2", "--teacher-weight", "0.25")
    expect_equal(done.returncode, 0, done.stderr)
    manifest = json.loads((scratch / "tuned/manifest.json").read_text())
    expect_equal(manifest["image_size"], 48, "image size")
    whole = json.loads((scratch / "whole/manifest.json").read_text())
    training = manifest["training"]
    expect_equal(training["recipe"]["init"], whole["weights"]["sha256"], "the recipe names weights, no path")
    expect(str(scratch) not in json.dumps(manifest), "a path in the manifest")
    expect_equal(training["init"], {**whole["training"], "weights_sha256": whole["weights"]["sha256"],
                                    "model_version": whole["model_version"]}, "the record of --init")
    expect_equal(training["learnt_from"], [whole["training"]["data_sha256"]], "data that --init has learnt from")
    expect("--init was trained on other data" not in done.stderr, f"of the same data: {done.stderr}")
    expect_fits("manifest", scratch / "tuned/manifest.json")
    done = train(scratch, "moved", "--arch", "", "--init", str(scratch / "tuned"), "--epochs", "1", "--warmup-epochs", "0",
                 "--where", "label!=AK")
    expect("--init was trained on other data" in done.stderr and done.returncode == 0, f"other data: {done.stderr}")
    moved = json.loads((scratch / "moved/manifest.json").read_text())["training"]
    expect_equal(moved["learnt_from"], [whole["training"]["data_sha256"]], "data of the line")
    expect("init" not in moved["init"], "an ancestor's ancestor is nested")
    harness.run("trainer", "import", "--arch", "vit_tiny_patch16_224", "--weights", scratch / "whole/model.safetensors",
                "--image-size", "32", "--out", scratch / "imported", check=True)
    done = train(scratch, "adopted", "--arch", "", "--init", str(scratch / "imported"), "--epochs", "1", "--warmup-epochs", "0")
    expect("--init was trained on other data" in done.stderr and done.returncode == 0, f"unknown data: {done.stderr}")
    adopted = json.loads((scratch / "adopted/manifest.json").read_text())["training"]
    expect_equal(adopted["learnt_from"], ["unknown"], "data that nothing is known of")
    for model, told in (("tuned", False), ("moved", True)):  # moved is judged on its own data, its ancestor had more
        done = harness.run("trainer", "evaluate", "--model", scratch / model, "--data", scratch / "data/data.csv",
                           "--where", "label!=AK" if told else "", "--out", scratch / f"judged-{model}", check=True)
        expect_equal("or one that it started or learnt from" in done.stderr, told, f"{model}: {done.stderr}")
    done = train(scratch, "taught", "--teacher", str(scratch / "whole"), "--epochs", "1", "--warmup-epochs", "0")
    expect_equal(done.returncode, 0, done.stderr)
    done = train(scratch, "no", "--teacher", str(scratch / "tuned"))
    expect(done.returncode == 1 and "48 pixels a side, the one it teaches at 32" in done.stderr, done.stderr)
    done = train(scratch, "no", "--init", str(scratch / "whole"), "--arch", "resnet18")
    expect(done.returncode == 1 and "is a vit_tiny_patch16_224, not a resnet18: leave --arch out" in done.stderr, done.stderr)
    harness.run("trainer", "import", "--arch", "vit_tiny_patch16_224", "--random", "7", "--image-size", "32", "--out",
                scratch / "raw", check=True)
    done = train(scratch, "no", "--teacher", str(scratch / "raw"))
    expect(done.returncode == 1 and "was never trained itself" in done.stderr, done.stderr)


def test_a_data_set_is_explored(scratch):
    out = scratch / "exploration"
    done = harness.run("trainer", "explore", "--data", scratch / "data/data.csv", "--out", out, check=True, umask=0)
    expect("no example of BKL, DF, VASC, SCC in the part train" in done.stderr, done.stderr)
    expect_equal(open_paths(out), [], "open to others")
    expect_fits("exploration", out / "explore.json")
    found = json.loads((out / "explore.json").read_text())
    expect_equal(found["data"]["images"], 28, "images")
    counts = {row["class"]: (row["images"], row["train"], row["malignant"]) for row in found["classes"]}
    expect_equal(counts, {code: (7 * (code in CODES), 4 * (code in CODES), code in ("MEL", "BCC", "AK", "SCC"))
                          for code in ("MEL", "NV", "BCC", "AK", "BKL", "DF", "VASC", "SCC")}, "classes")  # fmt: skip
    page = (out / "explore.html").read_text()
    expect_equal(page.count("data:image/jpeg;base64,"), 28, "pictures on the page")
    expect("<script" not in page and not re.search(r"(src|href)=.?https?:", page), "the page needs something beside it")
    done = harness.run("trainer", "explore", "--data", scratch / "data/data.csv", "--out", out)
    expect(done.returncode == 1 and "is there and not empty" in done.stderr, done.stderr)


def test_bad_input(scratch):
    for more, code, sentence in [
        (["--arch", ""], 2, "give --arch to start from nothing, or --init"),
        (["--epochs", "5", "--warmup-epochs", "5"], 2, "--epochs 5 is not above --warmup-epochs 5"),
        (["--lr", "fast"], 2, "is no number above 0"),
        (["--dropout", "1"], 2, "below 1"),
        (["--arch", "vit_huge"], 1, "vit_huge"),
        (["--image-size", "33"], 1, "33"),
        (["--init", "/nowhere"], 1, "/nowhere"),
        (["--resume"], 1, "holds no checkpoint"),
        (["--any-build"], 2, "--any-build is of use with --resume only"),
        (["--freeze-blocks", "13"], 1, "13 blocks can't be frozen"),
        (["--split", "0.5,0.5"], 2, "is no split"),
        (["--where", "label=XYZ"], 1, "has no rows with label=XYZ"),
        (["--where", "split=test"], 1, "has no image in the part train"),
        (["--data", "/nowhere.csv"], 1, "/nowhere.csv"),
    ]:  # fmt: skip
        done = train(scratch, "bad", *more)
        expect(done.returncode == code and sentence in done.stderr, f"{more}: {done.returncode}, {done.stderr}")
        expect(not (scratch / "bad").exists(), f"{more} left a folder")
    (scratch / "full").mkdir()
    (scratch / "full/something").write_text("")
    done = train(scratch, "full", "--data", "/nowhere.csv")  # before the data are read
    expect(done.returncode == 1 and "is there and not empty" in done.stderr, done.stderr)


TESTS = [test_a_data_set_is_explored, test_bad_input, test_a_training_makes_a_model,
         test_threads_and_cache_change_nothing, test_killed_in_an_epoch, test_stopped_and_out_of_disk,
         test_a_loss_that_is_no_number, test_other_recipes, test_a_start_from_a_model]


if __name__ == "__main__":
    run_tests(TESTS, "train", make_data)

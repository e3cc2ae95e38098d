#!/usr/bin/env python3
"""test_reference.py: what a model has learnt, from the command line: the reference that `train` and `reference` leave in
a model directory is that of the embeddings that `classify` tells, distances and quantiles in every precision are what
they give, and what can't be used is a sentence.

    test_reference.py [TEST...]
"""
import csv
import hashlib
import json
import math
import pathlib
import shutil
import subprocess
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "support"))
import chaos
import harness
from conditions import expect, expect_equal
from program_tests import run_tests
from reference import Reference
from schema import Schema

CODES = ["MEL", "NV", "BCC", "AK"]
ALL_CODES = ["MEL", "NV", "BCC", "AK", "BKL", "DF", "VASC", "SCC"]
PARTS = {"train": 5, "validation": 13, "test": 2}
# Embeddings are printed with nine digits, W has 24 bits: a distance of two hundred squares is as near as those.
NEAR = 1e-5
# How far a precision's distance and energy may lie from fp32's. Pictures of one colour differ in few directions; what
# rounding does in the others is whitened as well, so that these shares are larger than those of photographs. Without VNNI
# int8's weights have coarser scales, and an embedding that is 0.03 of its length away makes the least distance, 2.8, 3.6.
PRECISIONS = {"fp32": NEAR, "bf16": 0.05, "int8": 0.35}


def make_data(folder):
    """Pictures of one colour each; half of the classes have none."""
    folder.mkdir()
    rows = []
    for label, code in enumerate(CODES):
        for split, count in PARTS.items():
            for number in range(count):
                name = f"{code}_{split}_{number}.jpg"
                colour = chaos.colour(len(rows) * 3 + label)
                (folder / name).write_bytes(chaos.solid_jpeg(colour, size=40, comment=name.encode()))
                rows.append({"file": name, "label": code, "lesion_id": name, "split": split})
    with open(folder / "data.csv", "w", newline="") as file:
        writer = csv.DictWriter(file, fieldnames=list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)


def files_of(scratch, split):
    with open(scratch / "data/data.csv", newline="") as file:
        return [(row["label"], scratch / "data" / row["file"]) for row in csv.DictReader(file) if row["split"] == split]


def trainer(*arguments):
    return subprocess.run([str(harness.BIN / "skinsight-trainer"), *map(str, arguments)], capture_output=True, text=True,
                          timeout=300, stdin=subprocess.DEVNULL)


def make_reference(scratch, model, *more):
    return trainer("reference", "--model", model, "--data", scratch / "data/data.csv", *more)


def imported(scratch):
    model = scratch / "imported"
    if not model.exists():
        done = trainer("import", "--arch", "vit_tiny_patch16_224", "--image-size", 32, "--random", 3, "--out", model)
        expect_equal(done.returncode, 0, done.stderr)
        done = make_reference(scratch, model)
        expect_equal(done.returncode, 0, done.stderr)
        expect("reference of 20 images and 4 classes" in done.stdout, done.stdout)
        expect("not trained" in done.stderr, done.stderr)
    return model


def classify(model, files, precision="fp32"):
    """The lines; None where this processor lacks the precision."""
    done = harness.run("worker", "classify", "--model", model, "--precision", precision, "--embedding", *files)
    if done.returncode != 0 and "can't compute in" in done.stderr:
        return None
    expect_equal(done.returncode, 0, done.stderr)
    return [json.loads(line) for line in done.stdout.splitlines()]


def expect_near(found, wanted, share, what):
    expect(abs(found - wanted) <= share * max(1.0, abs(wanted)), f"{what}: {found}, not {wanted}")


def expect_place(line, reference, what):
    """The line's place, by another program from the line's embedding."""
    distance = reference.distance(line["embedding"])
    expect_near(line["ood"]["distance"], distance, NEAR, f"distance of {what}")
    expect_near(line["ood"]["quantile"], reference.quantile(line["ood"]["distance"]), NEAR, f"quantile of {what}")
    energy = -math.log(sum(math.exp(logit) for logit in line["logits"]))
    expect_near(line["ood"]["energy"], energy, 1e-6, f"energy of {what}")


def test_a_reference_is_that_of_the_embeddings(scratch):
    model = imported(scratch)
    manifest = json.loads((model / "manifest.json").read_text())
    complaints = Schema("manifest").complaints(manifest)
    expect(not complaints, f"the manifest is not what its schema says: {complaints}")
    file = model / manifest["reference"]["file"]
    expect_equal(hashlib.sha256(file.read_bytes()).hexdigest(), manifest["reference"]["sha256"], "its digest")
    reference = Reference(file)
    expect_equal(reference.counts, [PARTS["train"] if code in CODES else 0 for code in ALL_CODES], "images of the means")
    learnt = files_of(scratch, "train")
    lines = classify(model, [path for _, path in learnt])
    for label, code in enumerate(ALL_CODES):
        mine = [line["embedding"] for (of, _), line in zip(learnt, lines) if of == code]
        for i in range(reference.width):
            mean = sum(embedding[i] for embedding in mine) / len(mine) if mine else 0
            expect_near(reference.means[label][i], mean, NEAR, f"mean {i} of {code}")
    others = classify(model, [path for _, path in files_of(scratch, "validation")])
    distances = sorted(reference.distance(line["embedding"]) for line in others)
    for i, found in enumerate(reference.distances):
        place = (len(distances) - 1) * i / 100
        low, high = distances[int(place)], distances[min(int(place) + 1, len(distances) - 1)]
        expect_near(found, low + (place - int(place)) * (high - low), NEAR, f"quantile {i}")


def test_places_in_every_precision(scratch):
    model = imported(scratch)
    reference = Reference(model / "reference.safetensors")
    files = [path for _, path in files_of(scratch, "test")] + sorted(harness.DATA.glob("*.jpg"))[:2]
    exact = classify(model, files)
    for precision, share in PRECISIONS.items():
        lines = classify(model, files, precision)
        if lines is None:
            harness.leave_out(precision, "this processor can't compute in it")
            continue
        for path, line, wanted in zip(files, lines, exact):
            expect_place(line, reference, f"{path.name} in {precision}")
            expect_near(line["ood"]["distance"], wanted["ood"]["distance"], share, f"distance of {path.name} in {precision}")
            expect_near(line["ood"]["energy"], wanted["ood"]["energy"], share, f"energy of {path.name} in {precision}")


def test_without_a_reference(scratch):
    model = scratch / "none"
    done = trainer("import", "--arch", "vit_tiny_patch16_224", "--image-size", 32, "--random", 3, "--out", model)
    expect_equal(done.returncode, 0, done.stderr)
    with_reference, without = (classify(directory, sorted(harness.DATA.glob("*.jpg"))[:1])[0]
                               for directory in (imported(scratch), model))
    expect_equal((without["ood"]["distance"], without["ood"]["quantile"]), (None, None), "what can't be said")
    for field in ("logits", "embedding"):
        expect_equal(without[field], with_reference[field], field)


def test_a_training_leaves_the_same_reference(scratch):
    out = scratch / "trained"
    done = trainer("train", "--data", scratch / "data/data.csv", "--arch", "vit_tiny_patch16_224", "--image-size", 32,
                   "--epochs", 2, "--warmup-epochs", 1, "--batch", 8, "--seed", 3, "--out", out)  # fmt: skip
    expect_equal(done.returncode, 0, done.stderr)
    made = (out / "reference.safetensors").read_bytes()
    done = make_reference(scratch, out)
    expect_equal(done.returncode, 0, done.stderr)
    expect("trained on other data" not in done.stderr, done.stderr)
    expect_equal((out / "reference.safetensors").read_bytes(), made, "a reference of the same data made later")
    done = trainer("reference", "--model", out, "--data", scratch / "data/data.csv", "--where", "label!=AK")
    expect_equal(done.returncode, 1, "a part of 39 validation images")
    rare = scratch / "rare.csv"
    with open(rare, "w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["file", "label", "split"])
        for number, path in enumerate(sorted((scratch / "data").glob("*.jpg"))):  # 50 of 78 evenly: 0, 1, 3, 4, 6 ...
            writer.writerow([path.name, "SCC" if number == 2 else "NV", "train" if number < 78 else "validation"])
    done = trainer("reference", "--model", out, "--data", rare, "--images", scratch / "data", "--sample", 50)
    expect(done.returncode == 1 and "none is of the class SCC" in done.stderr, done.stderr)
    expect_equal((out / "reference.safetensors").read_bytes(), made, "the reference behind a refusal")
    expect(classify(out, [files_of(scratch, "test")[0][1]]), "the model opens no more")


def test_a_quantised_model_keeps_it(scratch):
    """What the head reads is not smoothed, so the reference is still that of the embeddings."""
    out = scratch / "quantised"
    done = trainer("quantise", "--model", imported(scratch), "--calibrate", scratch / "data", "--images", 64, "--out", out)
    expect_equal(done.returncode, 0, done.stderr)
    expect_equal((out / "reference.safetensors").read_bytes(),
                 (imported(scratch) / "reference.safetensors").read_bytes(), "the reference")
    before, after = (classify(model, sorted(harness.DATA.glob("*.jpg"))[:1])[0] for model in (imported(scratch), out))
    for field in ("embedding", "ood"):
        expect_equal(after[field], before[field], field)


def test_what_cannot_be_used_is_told(scratch):
    few = scratch / "few"
    done = trainer("train", "--data", scratch / "data/data.csv", "--where", "label!=AK", "--arch", "vit_tiny_patch16_224",
                   "--image-size", 32, "--epochs", 1, "--warmup-epochs", 0, "--batch", 8, "--out", few)  # fmt: skip
    expect_equal(done.returncode, 0, done.stderr)
    expect("the validation part has 39 images" in done.stderr and "has no reference" in done.stderr, done.stderr)
    expect(not (few / "reference.safetensors").exists(), "a reference of too few images")
    expect("reference" not in json.loads((few / "manifest.json").read_text()), "a reference in the manifest")
    spoilt = scratch / "spoilt"
    shutil.copytree(imported(scratch), spoilt)
    path = spoilt / "reference.safetensors"
    path.write_bytes(path.read_bytes()[:-4] + b"\0\0\0\0")
    done = harness.run("worker", "classify", "--model", spoilt, sorted(harness.DATA.glob("*.jpg"))[0])
    expect_equal(done.returncode, 1, "a reference that the manifest does not name")
    expect("reference.safetensors: it is not the file the manifest names" in done.stderr, done.stderr)


if __name__ == "__main__":
    run_tests([test_a_reference_is_that_of_the_embeddings, test_places_in_every_precision, test_without_a_reference,
               test_a_training_leaves_the_same_reference, test_a_quantised_model_keeps_it,
               test_what_cannot_be_used_is_told], "reference", make_data)

#!/usr/bin/env python3
"""test_evaluate.py: a model judged and compared from the command line: what is written, that nothing is chosen on the
part that is reported, what is stored in the model, and that each bad input is a sentence with the way out. No services;
pictures are made here.

    test_evaluate.py [TEST...]
"""
import csv
import json
import math
import pathlib
import shutil
import subprocess
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "support"))
import chaos
import harness
from assessment_numbers import complaints
from conditions import expect, expect_equal, open_paths
from program_tests import run_tests
from schema import Schema

CODES = ["MEL", "NV", "BCC", "AK"]
PARTS = {"train": 2, "validation": 15, "test": 15}


def make_data(folder):
    """Solid pictures of every colour, 15 of each class in the two parts that are looked at."""
    folder.mkdir()
    rows = []
    for label, code in enumerate(CODES):
        for split, count in PARTS.items():
            for number in range(count):
                name = f"{code}_{split}_{number}.jpg"
                colour = chaos.colour(len(rows) * 2 + label)
                (folder / name).write_bytes(chaos.solid_jpeg(colour, size=40, comment=name.encode()))
                rows.append({"file": name, "label": code, "lesion_id": name, "split": split, "sex": "female",
                             "age": 20 + number, "atypical": number % 2})
    with open(folder / "data.csv", "w", newline="") as file:
        writer = csv.DictWriter(file, fieldnames=list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)


def run(*arguments):
    """With a umask that leaves everything open: what says something of patients is closed all the same."""
    return subprocess.run([str(harness.BIN / "skinsight-trainer"), *map(str, arguments)], capture_output=True, text=True,
                          timeout=300, stdin=subprocess.DEVNULL, umask=0)


def make_model(scratch, seed):
    model = scratch / f"model{seed}"
    if not model.exists():
        done = run("import", "--arch", "vit_tiny_patch16_224", "--image-size", 32, "--random", seed, "--out", model)
        expect_equal(done.returncode, 0, done.stderr)
    return model


def evaluate(scratch, out, *more, seed=1):
    return run("evaluate", "--model", make_model(scratch, seed), "--data", scratch / "data/data.csv", "--out",
               scratch / out, *more)


def made(scratch, out, *more, seed=1):
    """The report of an evaluation, made where it is not there yet."""
    if not (scratch / out).exists():
        done = evaluate(scratch, out, *more, seed=seed)
        expect_equal(done.returncode, 0, done.stderr)
    return json.loads((scratch / out / "report.json").read_text())


def test_a_report_is_written(scratch):
    report = made(scratch, "a")
    rows = list(csv.DictReader(open(scratch / "a/predictions.csv", newline="")))
    expect_equal(len(rows), 4 * PARTS["test"], "rows of the part")
    expect_equal(Schema("evaluation").complaints(report), [], "the schema")
    for wrong in ({"atypical": {"n": 1}}, {"operating_point": {"threshold": None}}, {"more": 1}):
        expect(Schema("evaluation").complaints({**report, **wrong}), f"a report with {wrong} passes")
    expect_equal(report["data"]["images"], len(rows), "images")
    said = [max(CODES + ["BKL", "DF", "VASC", "SCC"], key=lambda code: float(row[f"p_{code}"])) for row in rows]
    right = sum(row["label"] == code for row, code in zip(rows, said))
    expect_equal(report["metrics"]["accuracy"]["estimate"], right / len(rows), "accuracy of the table")
    expect_equal([entry["n"] for entry in report["classes"]], [15] * 4 + [0] * 4, "images of each class")
    expect(report["operating_point"]["chosen_on"] == "validation", "the operating point")
    expect_equal(report["atypical"]["n"], 4 * 7, "atypical lesions")
    expect_equal(open_paths(scratch / "a"), [], "open to others")
    page = (scratch / "a/report.html").read_text()
    expect("<img" in page and "Gallery" in page and "not trained" in page, "the page")


def test_a_report_without_pictures(scratch):
    done = evaluate(scratch, "plain", "--no-pictures")
    expect_equal(done.returncode, 0, done.stderr)
    report = made(scratch, "plain")
    expect("not trained" in done.stderr, f"an untrained model is told of: {done.stderr!r}")
    at_end = abs(math.log(report["calibration"]["temperature"])) > 2.999
    expect_equal("end of what is searched" in done.stderr, at_end, f"the temperature's end: {done.stderr!r}")
    page = (scratch / "plain/report.html").read_text()
    expect("<img" not in page and ".jpg" not in page, "a page that may be published names and shows no image")
    expect_equal(report["metrics"], made(scratch, "a")["metrics"], "the same figures")


def test_nothing_is_chosen_on_the_test_part(scratch):
    """With other test images the temperature and the threshold stay."""
    whole = made(scratch, "a")
    part = made(scratch, "half", "--where", "sex=female,file!=MEL_test_0.jpg,file!=NV_test_1.jpg")
    expect_equal(part["data"]["images"], whole["data"]["images"] - 2, "images")
    expect_equal(part["calibration"]["temperature"], whole["calibration"]["temperature"], "temperature")
    expect_equal(part["operating_point"]["threshold"], whole["operating_point"]["threshold"], "threshold")


def test_a_model_keeps_what_was_found(scratch):
    report = made(scratch, "stored", "--store", seed=2)
    manifest = json.loads((scratch / "model2/manifest.json").read_text())
    expect(abs(manifest["temperature"] - report["calibration"]["temperature"]) < 1e-6, "the temperature")
    expect_equal(manifest["operating_point"]["threshold"], report["operating_point"]["threshold"], "the proposal")
    expect_equal(manifest["operating_point"]["chosen_on"], "validation", "where it was chosen")
    expect_equal(json.loads((scratch / "model2/evaluation.json").read_text()), report, "evaluation.json")
    expect("<img" not in (scratch / "model2/evaluation.html").read_text(), "no picture in a model's directory")
    done = run("assess", "--model", scratch / "model2")
    expect_equal((done.returncode, done.stderr), (0, ""), "documents made of it")
    for name in ("card.md", "ethics.md"):
        document = (scratch / "model2" / name).read_text()
        expect_equal(list(complaints(document, [report, manifest])), [], f"numbers of {name}")
    done = evaluate(scratch, "unchosen", "--where", "split!=validation", "--store", seed=2)
    expect_equal(done.returncode, 0, done.stderr)
    after = json.loads((scratch / "model2/manifest.json").read_text())
    for field in ("temperature", "operating_point"):
        expect_equal(after[field], manifest[field], f"{field} where nothing was chosen")
    again = made(scratch, "again", seed=2)  # the model still opens, and its new temperature changes nothing
    expect_equal(again["metrics"], report["metrics"], "the same figures")


def test_two_models_are_compared(scratch):
    made(scratch, "a")
    made(scratch, "b", seed=3)
    done = run("compare", "--a", scratch / "a", "--b", scratch / "b", "--out", scratch / "ab")
    expect_equal(done.returncode, 0, done.stderr)
    comparison = json.loads((scratch / "ab/comparison.json").read_text())
    expect_equal(Schema("comparison").complaints(comparison), [], "the schema")
    expect(Schema("comparison").complaints({**comparison, "verdict": "perhaps"}), "another verdict passes")
    expect_equal(comparison["n"], 4 * PARTS["test"], "images of both")
    expect(comparison["verdict"] in ("holds", "fails", "not_enough"), "one verdict")
    expect_equal(comparison["superiority_atypical"]["verdict"], "not_enough", "28 atypical images are too few")
    expect((scratch / "ab/comparison.html").stat().st_size > 4000, "the page")
    expect_equal(open_paths(scratch / "ab"), [], "open to others")


def test_bad_input(scratch):
    made(scratch, "a")
    (scratch / "damaged").mkdir()
    (scratch / "damaged/predictions.csv").write_text("file,label\nx,MEL\n")
    made(scratch, "chosen", "--part", "validation")
    (scratch / "nameless").mkdir()
    shutil.copy(scratch / "a/predictions.csv", scratch / "nameless")
    cases = [
        (run("compare", "--a", scratch / "a", "--b", scratch / "none", "--out", scratch / "c1"), 1, "predictions.csv"),
        (run("compare", "--a", scratch / "a", "--b", scratch / "damaged", "--out", scratch / "c2"), 1, "no column p_MEL"),
        (run("compare", "--a", scratch / "a", "--b", scratch / "a", "--out", scratch / "a"), 1, "is there and not empty"),
        (run("compare", "--a", scratch / "a", "--b", scratch / "a", "--margin", "x", "--out", scratch / "c3"), 2,
         "a number from 0"),
        (run("compare", "--a", scratch / "a", "--b", scratch / "chosen", "--out", scratch / "c4"), 1,
         "chosen/report.json: it is of the part 'validation'"),
        (run("compare", "--a", scratch / "nameless", "--b", scratch / "a", "--out", scratch / "c5"), 1, "nameless/report.json"),
        (evaluate(scratch, "b6", "--part", "validation", "--store"), 1, "give --part test"),
        (evaluate(scratch, "a"), 1, "is there and not empty"),
        (evaluate(scratch, "b1", "--where", "split=train"), 1, "no image in the part 'test': --part names another"),
        (evaluate(scratch, "b2", "--operating-point", "0.92"), 2, "sensitivity=SHARE"),
        (evaluate(scratch, "b3", "--operating-point", "sensitivity=1.5"), 2, "sensitivity=SHARE"),
        (run("evaluate", "--model", scratch / "none", "--data", scratch / "data/data.csv", "--out", scratch / "b4"), 1,
         "manifest.json"),
        (run("evaluate", "--model", scratch / "model1", "--data", scratch / "none.csv", "--out", scratch / "b5"), 1,
         "none.csv"),
    ]
    for done, code, sentence in cases:
        expect(done.returncode == code and sentence in done.stderr, f"{sentence!r}: {done.returncode} {done.stderr!r}")


TESTS = [test_a_report_is_written, test_two_models_are_compared, test_a_report_without_pictures, test_nothing_is_chosen_on_the_test_part,
         test_a_model_keeps_what_was_found, test_bad_input]


if __name__ == "__main__":
    run_tests(TESTS, "evaluate", make_data)

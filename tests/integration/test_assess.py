#!/usr/bin/env python3
"""test_assess.py: the two documents about a model. Every number in them stands in evaluation.json or manifest.json and
in the row where it belongs, what was not measured is said, and what others wrote stays text. No services.

    test_assess.py [TEST...]
"""
import json
import pathlib
import re
import subprocess
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "support"))
import harness
import synthetic_evaluation
from assessment_numbers import complaints
from conditions import expect, expect_equal
from program_tests import run_tests

DOCUMENTS = ("card.md", "ethics.md")


def run(*arguments):
    return subprocess.run([str(harness.BIN / "skinsight-trainer"), *map(str, arguments)], capture_output=True, text=True,
                          timeout=300, stdin=subprocess.DEVNULL)


def make_data(folder):
    """A model directory without an evaluation, whose record of a training has numbers of its own."""
    folder.mkdir()
    done = run("import", "--arch", "vit_tiny_patch16_224", "--image-size", 32, "--random", 1, "--out", folder / "model")
    expect_equal(done.returncode, 0, done.stderr)
    path = folder / "model/manifest.json"
    manifest = json.loads(path.read_text())
    temperature = synthetic_evaluation.evaluation()["calibration"]["temperature"]
    manifest.update(trained=True, licence="CC-BY-NC-4.0", temperature=temperature, training={
        "data_sha256": "ab" * 32, "epochs": 30017, "best_epoch": 30011, "split_seed": 30013,
        "images": {"train": 31001, "validation": 31002, "test": 31003},
        "init": {"model_version": "vit-tiny-v7.7.7", "weights_sha256": "cd" * 32},
        "recipe": {"lr": "1e-4", "batch": "32", "teacher": "", "aug|ment": "<isic>"}})
    path.write_text(json.dumps(manifest))


def manifest_of(scratch):
    return json.loads((scratch / "data/model/manifest.json").read_text())


def evaluation_of(scratch, **changes):
    """Of the model's weights; each change is a path of names joined by "/", and the value there."""
    evaluation = synthetic_evaluation.evaluation()
    evaluation["model"]["weights_sha256"] = manifest_of(scratch)["weights"]["sha256"]
    for place, value in changes.items():
        *path, name = place.split("/")
        at = evaluation
        for step in path:
            at = at[step]
        at[name] = value
    return evaluation


def documents(scratch, evaluation, *more):
    model = scratch / "data/model"
    (model / "evaluation.json").write_text(json.dumps(evaluation))
    for name in DOCUMENTS:
        (model / name).unlink(missing_ok=True)
    done = run("assess", "--model", model, *more)
    expect_equal((done.returncode, done.stderr), (0, ""), "assess")
    return [(model / name).read_text() for name in DOCUMENTS]


def rows(document, first):
    """The cells of each table row whose first cell it is."""
    found = [[cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]] for line in document.splitlines()
             if line.startswith("|")]
    return [cells[1:] for cells in found if cells[0] == first]


def cells(estimate):
    if estimate["estimate"] is None:
        return [f"not enough evidence: {estimate['reason']}", "", str(estimate["n"])]
    return [f"{estimate['estimate']:.3f}", f"{estimate['low']:.3f} to {estimate['high']:.3f}", str(estimate["n"])]


def test_every_number_stands_in_the_sources(scratch):
    evaluation = evaluation_of(scratch)
    for document in documents(scratch, evaluation):
        expect_equal(list(complaints(document, [evaluation, manifest_of(scratch)])), [], "numbers")
        other = list(complaints(document, [synthetic_evaluation.evaluation(start=5000)["data"], manifest_of(scratch)]))
        expect(len(other) > 50, f"the check finds {len(other)} numbers that have no source")


def test_each_number_stands_in_its_row(scratch):
    evaluation = evaluation_of(scratch)
    card, ethics = documents(scratch, evaluation)
    metrics, point = evaluation["metrics"], evaluation["operating_point"]
    for name, estimate in {"accuracy": metrics["accuracy"], "balanced accuracy": metrics["balanced_accuracy"],
                           "macro AUROC": metrics["macro_auroc"], "melanoma sensitivity": metrics["melanoma_sensitivity"],
                           "melanoma specificity": metrics["melanoma_specificity"],
                           "specificity (benign called benign)": metrics["specificity"],
                           "expected calibration error": metrics["ece"],
                           "calibration error, mean of the classes": evaluation["calibration"]["ece_classwise"],
                           "sensitivity on atypical lesions (mean of the classes)":
                               evaluation["atypical"]["balanced_accuracy"],
                           "melanoma sensitivity at the operating point": point["sensitivity"],
                           "melanoma specificity at the operating point": point["specificity"]}.items():
        for document in (card, ethics):
            found = [row[:3] for row in rows(document, name)]
            expect(found and all(row == cells(estimate) for row in found), f"{name}: {found}")
    for entry in evaluation["classes"]:
        row = [str(entry["n"]), *cells(entry["sensitivity"]), *cells(entry["auroc"])]
        found = [line for line in card.splitlines() if line.startswith(f"| {entry['class']}, ")]
        expect_equal([[cell.strip() for cell in line.split("|")[2:-1]] for line in found], [row], entry["class"])
    for group in evaluation["subgroups"]:
        row = [str(group["n"]), *cells(group["balanced_accuracy"]), *cells(group["melanoma_sensitivity"])]
        expect(row in rows(ethics, re.sub(r"([|<>])", r"\\\1", group["value"])), f"{group['by']} {group['value']}")
    errors = evaluation["errors"]
    expect(f"{errors['high']} with a confidence above 0.8, {errors['medium']} from 0.5 on, {errors['low']} below" in ethics,
           "errors by confidence")
    for count, what in ((31001, "Images to learn from"), (30011, "Best epoch, counted from zero")):
        expect(f"- {what}: {count}\n" in card, what)


def test_targets(scratch):
    """Above it with the whole interval, below it, and with the target inside."""
    def estimate(low, value, high):
        return {"estimate": value, "low": low, "high": high, "n": 2000, "method": "Wilson", "level": 0.95}
    for bounds, verdict in (((0.921, 0.95, 0.97), "met"), ((0.92, 0.95, 0.97), "not enough evidence"),
                            ((0.8, 0.91, 0.92), "not met"), ((0.8, 0.91, 0.93), "not enough evidence")):
        card, _ = documents(scratch, evaluation_of(scratch, **{"metrics/melanoma_sensitivity": estimate(*bounds)}))
        expect_equal(rows(card, "melanoma sensitivity")[1][3:], ["above 0.92", verdict], f"{bounds}")
    groups = [{"by": "skin_type", "value": value, "n": 300, "balanced_accuracy": estimate(0.7, 0.8, 0.9),
               "melanoma_sensitivity": estimate(*bounds)}
              for value, bounds in (("I", (0.90, 0.91, 0.93)), ("VI", (0.91, 0.92, 0.94)))]
    for change, verdict in (({}, "met"), ({"high": 0.96}, "not enough evidence")):
        groups[1]["melanoma_sensitivity"].update(change)
        _, ethics = documents(scratch, evaluation_of(scratch, subgroups=groups))
        expect(f"within 0.05 of each other: **{verdict}**" in ethics, f"the fairness gate: {verdict}")
    few = {"by": "skin_type", "value": "V", "n": 4, "balanced_accuracy": estimate(0.7, 0.8, 0.9),
           "melanoma_sensitivity": {"estimate": None, "n": 2, "reason": "fewer than 10 melanomas"}}
    groups[1]["melanoma_sensitivity"].update(high=0.94)
    _, ethics = documents(scratch, evaluation_of(scratch, subgroups=[*groups, few]))
    expect("within 0.05 of each other: **not enough evidence**" in ethics, "a skin type of which nothing is known")
    groups[1]["melanoma_sensitivity"].update(low=0.4, estimate=0.5, high=0.6)
    _, ethics = documents(scratch, evaluation_of(scratch, subgroups=groups))
    expect("within 0.05 of each other: **not met**" in ethics, "the fairness gate")
    expect('**The melanoma sensitivity of groups differs: the interval of "VI" lies below that of "I"**' in ethics, "who")


def test_what_was_not_measured_is_said(scratch):
    none = {"estimate": None, "n": 0, "reason": "the data do not say which lesions are atypical"}
    _, ethics = documents(scratch, evaluation_of(scratch, subgroups=[], **{"atypical/balanced_accuracy": none}))
    expect_equal(ethics.count("**Not measured**: the data do not say it of any image."), 5, "attributes of patients")
    expect(f"not enough evidence: {none['reason']}" in ethics, "atypical lesions")
    expect("the directory does not hold what the model has learnt" in ethics, "the reference")
    expect("Licence of the data: not stated." in ethics and "Origin of the data: not stated." in ethics, "origin")
    card, ethics = documents(scratch, evaluation_of(scratch, **{
        "operating_point": {"threshold": None, "reason": "the validation part has no melanoma"},
        "data/part": "validation"}))
    for document in (card, ethics):
        expect("No threshold for melanoma is proposed: the validation part has no melanoma." in document, "no threshold")
        expect("were chosen on these images" in document, "figures of the validation part are told of")
        expect("**Not for clinical use.**" in document, "the warning")
        expect_equal(rows(document, "melanoma sensitivity at the operating point")[0][0],
                     "not enough evidence: the validation part has no melanoma", "its figures")


def test_images_that_it_may_have_learnt_are_told(scratch):
    """Of other data than the training's, of an ancestor's, and of a model that doesn't say on what it was trained."""
    path = scratch / "data/model/manifest.json"
    before = path.read_text()
    training = json.loads(before)["training"]
    for data, part, changes, told in (("ab", "test", {}, False), ("da", "test", {}, True), ("da", "validation", {}, True),
                                      ("da", "train", {}, False), ("ab", "test", {"learnt_from": ["ab" * 32]}, False),
                                      ("ab", "test", {"learnt_from": ["ef" * 32]}, True),
                                      ("ab", "test", {"data_sha256": None}, True)):
        record = {name: value for name, value in {**training, **changes}.items() if value is not None}
        path.write_text(json.dumps({**json.loads(before), "training": record}))
        for document in documents(scratch, evaluation_of(scratch, **{"data/sha256": data * 32, "data/part": part})):
            expect_equal("\n\n**The model may have learnt these images:" in document, told, f"{data} {part} {changes}")
    path.write_text(before)


def test_classes_made_even_are_told(scratch):
    """Rare ones are answered more often than they are met: by the sampler, the loss's weights or what it allows for."""
    path = scratch / "data/model/manifest.json"
    before = path.read_text()
    training = json.loads(before)["training"]
    plain = {"sampler": "shuffle", "class_weights": "none", "logit_adjustment": "0"}
    for changes, told in (({}, False), ({"sampler": "weighted"}, True), ({"class_weights": "inverse"}, True),
                          ({"logit_adjustment": "0.5"}, True)):
        recipe = {**training["recipe"], **plain, **changes}
        path.write_text(json.dumps({**json.loads(before), "training": {**training, "recipe": recipe}}))
        for document in documents(scratch, evaluation_of(scratch)):
            expect_equal("**It was trained to favour no class" in document, told, f"{changes}")
    path.write_text(before)


def test_a_reference_is_told(scratch):
    path = scratch / "data/model/manifest.json"
    before = path.read_text()
    path.write_text(json.dumps({**json.loads(before), "reference": {"file": "reference.safetensors", "sha256": "ef" * 32}}))
    card, ethics = documents(scratch, evaluation_of(scratch))
    expect("The directory holds what the model has learnt" in card and "does not hold" not in card + ethics, "the reference")
    path.write_text(before)


def test_texts_of_others(scratch):
    """A value of a column, and the operator's words."""
    words = "ISIC 2019 # A heading | a cell <script>alert(1)</script> `code` [link](x)"
    for document in documents(scratch, evaluation_of(scratch), "--data-origin", words, "--data-licence", "x" * 1023):
        expect("<script>" not in document and "[link]" not in document, "markup")
        expect("\n> ISIC 2019 \\# A heading \\| a cell \\<script\\>" in document, "the words are there")
        expect("x" * 1000 + "...\n" in document and "x" * 1001 not in document, "long words are cut")
        expect("> CC-BY-NC-4.0" in document, "the licence")


def test_bad_input(scratch):
    model = scratch / "data/model"
    evaluation = evaluation_of(scratch)
    (model / "evaluation.json").unlink(missing_ok=True)
    expect("evaluation.json" in run("assess", "--model", model).stderr, "no evaluation")
    for wrong, sentence in ((evaluation | {"schema": "x"}, "its schema is not"), ({**evaluation, "atypical": 1}, "'n' is missing"),
                            (evaluation_of(scratch, **{"model/weights_sha256": "0" * 64}), "other weights than the model's"),
                            (evaluation_of(scratch, **{"calibration/temperature": 1.5}), "is at the temperature 1.5 and")):
        (model / "evaluation.json").write_text(json.dumps(wrong))
        before = {name: (model / name).read_bytes() for name in DOCUMENTS if (model / name).exists()}
        done = run("assess", "--model", model)
        expect(done.returncode == 1 and sentence in done.stderr, f"{sentence!r}: {done.returncode} {done.stderr!r}")
        expect_equal({name: (model / name).read_bytes() for name in before}, before, "the documents")
    done = run("assess", "--model", scratch / "none")
    expect(done.returncode == 1 and "manifest.json" in done.stderr, f"no model: {done.stderr!r}")
    folder = scratch / "evaluation"
    folder.mkdir()
    (folder / "report.json").write_text(json.dumps(evaluation))
    done = run("assess", "--model", model, "--evaluation", folder)
    expect_equal((done.returncode, done.stderr), (0, ""), "an evaluation that lies elsewhere")


def test_models_of_the_repository(scratch):
    for ethics in sorted(harness.ROOT.glob("models/*/ethics.md")):
        sources = [json.loads((ethics.parent / name).read_text()) for name in ("evaluation.json", "manifest.json")]
        for name in DOCUMENTS:
            expect_equal(list(complaints((ethics.parent / name).read_text(), sources)), [], f"{ethics.parent.name}/{name}")


TESTS = [test_every_number_stands_in_the_sources, test_each_number_stands_in_its_row, test_targets,
         test_what_was_not_measured_is_said, test_images_that_it_may_have_learnt_are_told, test_classes_made_even_are_told,
         test_a_reference_is_told, test_texts_of_others, test_bad_input, test_models_of_the_repository]


if __name__ == "__main__":
    run_tests(TESTS, "assess", make_data)

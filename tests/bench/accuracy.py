#!/usr/bin/env python3
"""Compares logits on real images: our fp32 with timm's, and our bf16 and int8 with our fp32.

    tests/bench/accuracy.py BIN DATA timm [--arch NAME[:SIZE],...] [--images 100] [--json FILE]
    tests/bench/accuracy.py BIN DATA precisions [--arch vit_base_patch16_224] [--images 400] [--json FILE]

BIN: folder of skinsight-worker and skinsight-trainer. DATA: a folder with images.csv (file, image_id, lesion_id,
label) and the dermoscopic images it names. Weights (--weights random,structured): random (random_weights.py),
structured (structured_weights.py), and pretrained (deploy/pretrained.sh, with a head that is fitted; for the two networks
that it knows).

timm: of each image the greatest difference of a logit as a share of the range of that image's own logits; over the
images its median and its greatest, and the same of PyTorch's and our float32 from PyTorch's float64; images whose first
class differs. Allowed is the greater of 2e-5 and 3 x the greatest of PyTorch's own. The pictures go through torchvision on Pillow there, through our decoder and resize here.

precisions: the model as imported and as skinsight-trainer quantise calibrates it on 128 other images, half of which it
sees. Of each image the
greatest difference of a probability; over the images its 50th and 99th percentile; how often the first class agrees
where fp32's two first probabilities differ by at least 0.02.

Prints figures and judges nothing. Needs torch, torchvision, timm, Pillow, numpy, safetensors. Images of the fit, of
calibration and of the comparison have no lesion in common.
"""
import argparse
import csv
import json
import os
import subprocess
import sys
import tempfile

import numpy as np
import safetensors.torch
import timm
import torch
from PIL import Image
from torchvision import transforms

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "golden"))
import random_weights  # noqa: E402
import structured_weights  # noqa: E402

CLASSES = ["MEL", "NV", "BCC", "AK", "BKL", "DF", "VASC", "SCC"]
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
TENSORFLOW = (0.5, 0.5, 0.5), (0.5, 0.5, 0.5)
ARCHITECTURES = ("vit_tiny_patch16_224,vit_small_patch16_224,vit_base_patch16_224,resnet18,efficientnet_b4:224,"
                 "efficientnet_b4:320,efficientnet_b4:380,vit_small_patch14_dinov2,tf_efficientnet_lite0")
PRETRAINED = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "deploy", "pretrained.sh")
SEED, MARGIN, CALIBRATION = 7, 0.02, 128


def choose(data, folders, count):
    """Rows of images.csv, each of another lesion, the same ones every time."""
    with open(os.path.join(data, "images.csv"), newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["file"].split("/")[0] in folders]
    seen, chosen = set(), []
    for index in np.random.default_rng(SEED).permutation(len(rows)):
        lesion = rows[index]["lesion_id"] or rows[index]["image_id"]
        if lesion not in seen and len(chosen) < count:
            seen.add(lesion)
            chosen.append(rows[index])
    return chosen


def load(data, rows, size, architecture):
    pipeline = transforms.Compose([transforms.Resize((size + 32, size + 32), antialias=True),
                                   transforms.CenterCrop(size), transforms.ToTensor(),
                                   transforms.Normalize(*(TENSORFLOW if architecture.startswith("tf_") else (MEAN, STD)))])
    return torch.stack([pipeline(Image.open(os.path.join(data, row["file"])).convert("RGB")) for row in rows])


def labels_of(rows):
    return torch.tensor([CLASSES.index(row["label"]) for row in rows])


def load_pretrained(model, architecture):
    path = subprocess.run(["sh", PRETRAINED, architecture], check=True, capture_output=True, text=True).stdout.strip()
    state = safetensors.torch.load_file(path)
    if "pos_embed" in state:
        state["pos_embed"] = timm.layers.resample_abs_pos_embed(state["pos_embed"], list(model.patch_embed.grid_size))
    state = {name: value for name, value in state.items() if not name.startswith(("classifier.", "head."))}
    missing, unexpected = model.load_state_dict(state, strict=False)
    assert not unexpected and all(name.startswith(("classifier.", "head.")) or name.endswith("num_batches_tracked")
                                  for name in missing), (missing, unexpected)


def make_model(options, architecture, size, kind, images, labels):
    torch.manual_seed(SEED)
    sized = {"img_size": size} if architecture.startswith("vit") else {}
    model = timm.create_model(architecture, num_classes=len(CLASSES), **sized).eval()
    if kind == "random":
        random_weights.fill(model, SEED)
    elif kind == "pretrained":
        load_pretrained(model, architecture)
        structured_weights.fit_head(model.get_classifier(), structured_weights.features_of(model, images), labels,
                                    options.components)
    else:
        accuracy = structured_weights.fill(model, images, labels, SEED, options.components)
        print(f"# {architecture}: the fitted head is right on {100 * accuracy:.0f} % of the images left out", flush=True)
    return model.eval()


def import_model(binaries, architecture, size, model, folder):
    weights, directory = os.path.join(folder, "weights.safetensors"), os.path.join(folder, "model")
    safetensors.torch.save_file({name: value.contiguous() for name, value in model.state_dict().items()}, weights)
    subprocess.run([os.path.join(binaries, "skinsight-trainer"), "import", "--arch", architecture, "--weights", weights,
                    "--image-size", str(size), "--out", directory], check=True, stdout=subprocess.DEVNULL)
    os.unlink(weights)
    return directory


def classify(binaries, directory, files, precision):
    run = subprocess.run([os.path.join(binaries, "skinsight-worker"), "classify", "--model", directory, "--backend", "cpu",
                          "--precision", precision, *files], capture_output=True, text=True)
    answers = [json.loads(line) for line in run.stdout.splitlines()]
    if run.returncode != 0 or len(answers) != len(files):
        raise RuntimeError(run.stderr.strip() or "classify failed")
    return np.array([answer["logits"] for answer in answers])


@torch.no_grad()
def infer(model, images, batch=4):
    return np.concatenate([model(part).double().numpy() for part in images.split(batch)])


def distance(found, expected, spreads):
    """Median and greatest over the images."""
    shares = abs(found - expected).max(1) / spreads
    return float(np.median(shares)), float(shares.max())


def compare_with_timm(options, architecture, size, kind):
    rows = choose(options.data, ("ham200", "ham224", "ham600_orig"), options.images + options.fit)
    fit, rows = rows[options.images:], rows[:options.images]
    fit_images = load(options.data, fit, size, architecture) if kind != "random" else None
    model = make_model(options, architecture, size, kind, fit_images, labels_of(fit))
    images = load(options.data, rows, size, architecture)
    with tempfile.TemporaryDirectory() as folder:
        directory = import_model(options.binaries, architecture, size, model, folder)
        ours = classify(options.binaries, directory, [os.path.join(options.data, row["file"]) for row in rows], "fp32")
    theirs = infer(model, images)
    exact = infer(model.double(), images.double(), 1)
    spreads = exact.max(1) - exact.min(1)
    result = {"architecture": architecture, "size": size, "weights": kind, "images": len(rows),
              "spread_least": spreads.min(), "spread_most": spreads.max(),
              "first_class_differs": int((ours.argmax(1) != theirs.argmax(1)).sum())}
    for name, found, expected in (("difference", ours, theirs), ("torch_from_float64", theirs, exact),
                                  ("ours_from_float64", ours, exact)):
        result[name + "_p50"], result[name + "_most"] = distance(found, expected, spreads)
    result["allowed"] = max(2e-5, 3 * result["torch_from_float64_most"])
    print("{architecture}:{size} {weights:<10} {images} images, ranges {spread_least:.3g} to {spread_most:.3g}: difference "
          "p50 {difference_p50:.2g} most {difference_most:.2g} (allowed {allowed:.2g}); from float64: timm p50 "
          "{torch_from_float64_p50:.2g} most {torch_from_float64_most:.2g}, ours p50 {ours_from_float64_p50:.2g} most "
          "{ours_from_float64_most:.2g}; other first class: {first_class_differs}".format(**result), flush=True)
    return result


def softmax(logits):
    powers = np.exp(logits - logits.max(1, keepdims=True))
    return powers / powers.sum(1, keepdims=True)


def agreement(reference, other):
    reference, other = softmax(reference), softmax(other)
    differences = abs(reference - other).max(1)
    ordered = np.sort(reference, 1)
    decided = ordered[:, -1] - ordered[:, -2] >= MARGIN
    same = reference.argmax(1) == other.argmax(1)
    return {"images": len(reference), "confidence": ordered[:, -1].mean(), "difference_p50": np.quantile(differences, 0.5),
            "difference_p99": np.quantile(differences, 0.99), "difference_most": differences.max(),
            "decided": int(decided.sum()), "agreement": same[decided].mean()}


def calibrate(options, directory, rows, folder):
    images, result = os.path.join(folder, "calibration"), os.path.join(folder, "calibrated")
    os.mkdir(images)
    for row in rows:
        os.symlink(os.path.abspath(os.path.join(options.data, row["file"])),
                   os.path.join(images, os.path.basename(row["file"])))
    subprocess.run([os.path.join(options.binaries, "skinsight-trainer"), "quantise", "--model", directory, "--calibrate",
                    images, "--out", result], check=True, stdout=subprocess.DEVNULL)
    return result


def compare_precisions(options, architecture, size, kind):
    rows = choose(options.data, ("ham224",), options.images + options.fit + CALIBRATION)
    calibration, rows = rows[:CALIBRATION], rows[CALIBRATION:]
    fit, rows = rows[options.images:], rows[:options.images]
    files = [os.path.join(options.data, row["file"]) for row in rows]
    fit_images = load(options.data, fit, size, architecture)
    model = make_model(options, architecture, size, kind, fit_images, labels_of(fit))
    if kind == "random":  # a random head has no margins
        structured_weights.fit_head(model.get_classifier(), structured_weights.features_of(model, fit_images),
                                    labels_of(fit), options.components)
    results = []
    with tempfile.TemporaryDirectory() as folder:
        directories = {"imported": import_model(options.binaries, architecture, size, model, folder)}
        directories["calibrated"] = calibrate(options, directories["imported"], calibration, folder)
        reference = classify(options.binaries, directories["imported"], files, "fp32")
        for name, directory in directories.items():
            for precision in ("bf16", "int8") if name == "imported" else ("int8",):  # bf16's bits are the same
                result = {"architecture": architecture, "weights": kind, "model": name, "precision": precision,
                          **agreement(reference, classify(options.binaries, directory, files, precision))}
                results.append(result)
                print("{architecture} {weights:<10} {model:<10} {precision}: {images} images, mean confidence "
                      "{confidence:.2f}; difference p50 {difference_p50:.4f} p99 {difference_p99:.4f} most "
                      "{difference_most:.4f}; first class agrees {agreement:.4f} of {decided}".format(**result), flush=True)
    return results


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("binaries")
    parser.add_argument("data")
    parser.add_argument("what", choices=["timm", "precisions"])
    parser.add_argument("--arch")
    parser.add_argument("--weights", default="random,structured")
    parser.add_argument("--images", type=int)
    parser.add_argument("--fit", type=int, default=200, help="images that the structured head is fitted to")
    parser.add_argument("--components", type=int, default=0,
                        help="directions of the features that the fitted head reads; 0: all")
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--json")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    options.images = options.images or (100 if options.what == "timm" else 400)
    names = options.arch or (ARCHITECTURES if options.what == "timm" else "vit_base_patch16_224")
    results = []
    for name in names.split(","):
        architecture, _, size = name.partition(":")
        for kind in options.weights.split(","):
            if options.what == "timm":
                results.append(compare_with_timm(options, architecture, int(size or 224), kind))
            else:
                results += compare_precisions(options, architecture, int(size or 224), kind)
    if options.json:
        with open(options.json, "w") as out:
            json.dump(results, out, indent=1)


if __name__ == "__main__":
    main()

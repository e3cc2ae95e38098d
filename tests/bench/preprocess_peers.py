#!/usr/bin/env python3
"""Compares bench_preprocess with torchvision on the JPEGs of a folder: time on one core, and bits.

    preprocess_peers.py BENCH_BINARY FOLDER [--limit N] [--rounds R] [--repeats K]

Both sides take the same files in turn within one run: the binary, torchvision, the binary, ... . A file's time
is the best over all rounds, in processor time: waiting for a core on a busy machine counts for neither; the
ratio is sum of ours / sum of theirs. The floats of every file are compared bit for bit. Prints figures and
judges nothing; needs torch, torchvision, Pillow and numpy.
"""
import argparse
import io
import pathlib
import subprocess
import tempfile
import time

import numpy
import PIL
import torch
import torchvision
from PIL import Image
from torchvision import transforms

FLOATS = 3 * 224 * 224
GROUP = 16  # files per turn


def torchvision_pipeline():
    return transforms.Compose(
        [
            transforms.Resize((256, 256), transforms.InterpolationMode.BILINEAR, antialias=True),
            transforms.CenterCrop(224),
            transforms.ToTensor(),
            transforms.Normalize((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
        ]
    )


def run_theirs(pipeline, files, repeats):
    times, floats = [], []
    for file in files:
        data = file.read_bytes()
        best = float("inf")
        for _ in range(repeats):
            start = time.thread_time()
            result = pipeline(Image.open(io.BytesIO(data)).convert("RGB"))
            best = min(best, time.thread_time() - start)
        times.append(best * 1e3)
        floats.append(result.numpy())
    return numpy.array(times), numpy.stack(floats)


def run_ours(binary, files, repeats):
    with tempfile.NamedTemporaryFile(suffix=".f32") as output:
        command = [binary, str(repeats), "--floats", output.name] + [str(file) for file in files]
        text = subprocess.run(command, check=True, capture_output=True, text=True)
        floats = numpy.fromfile(output.name, dtype="<f4").reshape(len(files), 3, 224, 224)
    rows = [[float(field) for field in line.split(" ", 4)[:4]] for line in text.stdout.splitlines()]
    return numpy.array(rows), floats, text.stderr.strip()


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("binary")
    parser.add_argument("folder", type=pathlib.Path)
    parser.add_argument("--limit", type=int, default=0, help="first N files only")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--repeats", type=int, default=3)
    arguments = parser.parse_args()
    files = sorted(arguments.folder.glob("*.jpg"))[: arguments.limit or None]
    torch.set_num_threads(1)
    pipeline = torchvision_pipeline()
    differing = 0
    ours, theirs = [], []
    kernels = ""
    for begin in range(0, len(files), GROUP):
        group = files[begin : begin + GROUP]
        best_ours = numpy.full((len(group), 4), numpy.inf)
        best_theirs = numpy.full(len(group), numpy.inf)
        for _ in range(arguments.rounds):
            rows, our_floats, kernels = run_ours(arguments.binary, group, arguments.repeats)
            times, their_floats = run_theirs(pipeline, group, arguments.repeats)
            best_ours = numpy.minimum(best_ours, rows)
            best_theirs = numpy.minimum(best_theirs, times)
        differing += int(numpy.count_nonzero(our_floats.view("<u4") != their_floats.view("<u4")))
        ours.append(best_ours)
        theirs.append(best_theirs)
    ours, theirs = numpy.concatenate(ours), numpy.concatenate(theirs)
    print(f"torchvision {torchvision.__version__}, Pillow {PIL.__version__}, {kernels}")
    print(f"files {len(files)}, floats {len(files) * FLOATS}, differing floats {differing}")
    decode, resize, normalise, total = ours.mean(axis=0)
    print(f"ours: decode {decode:.3f} + resize {resize:.3f} + normalise {normalise:.3f} = {total:.3f} ms an image")
    print(f"torchvision: {theirs.mean():.3f} ms an image")
    print(f"ratio {ours[:, 3].sum() / theirs.sum():.3f}, median ratio {numpy.median(ours[:, 3] / theirs):.3f}")


if __name__ == "__main__":
    main()

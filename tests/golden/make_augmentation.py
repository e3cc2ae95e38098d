#!/usr/bin/env python3
"""Writes tests/golden/augmentation.txt: what torchvision's training transforms make of pictures, step by step.

    make_augmentation.py                  from the repository's root; needs torch, torchvision, Pillow, numpy
    make_augmentation.py FOLDER COUNT OUT the same of COUNT photographs below FOLDER into another file, for
                                          SKINSIGHT_AUGMENTATION_GOLDEN=OUT test_augmentation

A line is a picture (noise WIDTH HEIGHT SEED -, as in preprocess.txt, or file 0 0 0 PATH), the network's side, the draws
of torchvision's get_params (crop top, left, height, width; flips; angle; order; factors of brightness, contrast,
saturation and hue; erased top, left, height, width) and the first 16 digits of the SHA-256 of the bytes after: resize,
crop, flips, rotation, each jitter in its order, and of the floats (row, column, channel) after normalising and erasing.
"""
import hashlib
import pathlib
import random
import sys

import numpy
import torch
from PIL import Image
from torchvision import transforms
from torchvision.transforms import functional as F

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
from make_preprocess import noise

SIZES = [(1, 1, 32), (7, 300, 32), (200, 150, 224), (224, 224, 224), (256, 256, 224), (600, 450, 224), (450, 600, 224),
         (150, 200, 128), (1022, 767, 128), (33, 65, 98), (64, 64, 32), (65, 65, 33)]  # fmt: skip


def digest(data):
    return hashlib.sha256(data).hexdigest()[:16]


def draw(size):
    side = size + 32
    blank = Image.new("RGB", (side, side))
    crop = transforms.RandomResizedCrop.get_params(blank, [0.8, 1.0], [3 / 4, 4 / 3])
    flips = [int(torch.rand(1) < 0.5) for _ in range(2)]
    angle = transforms.RandomRotation.get_params([0.0, 360.0])
    order, *factors = transforms.ColorJitter.get_params([0.8, 1.2], [0.8, 1.2], [0.8, 1.2], [-0.1, 0.1])
    erased = (0, 0, 0, 0)
    if torch.rand(1) < 0.5:
        top, left, height, width, _ = transforms.RandomErasing.get_params(
            torch.zeros(3, size, size), (0.02, 0.33), (0.3, 3.3), [0.0]
        )
        erased = (top, left, height, width)
    return crop, flips, angle, order.tolist(), factors, erased


def steps(image, size, drawn):
    crop, flips, angle, order, factors, erased = drawn
    image = F.resize(image, [size + 32, size + 32])
    yield digest(image.tobytes())
    image = F.resized_crop(image, *crop, [size, size])
    yield digest(image.tobytes())
    image = F.hflip(image) if flips[0] else image
    image = F.vflip(image) if flips[1] else image
    yield digest(image.tobytes())
    image = F.rotate(image, angle)
    yield digest(image.tobytes())
    adjust = [F.adjust_brightness, F.adjust_contrast, F.adjust_saturation, F.adjust_hue]
    for kind in order:
        image = adjust[kind](image, factors[kind])
        yield digest(image.tobytes())
    tensor = F.normalize(F.to_tensor(image), [0.485, 0.456, 0.406], [0.229, 0.224, 0.225])
    if erased[2]:
        tensor = F.erase(tensor, *erased, torch.zeros(1, 1, 1))
    yield digest(numpy.ascontiguousarray(tensor.numpy().transpose(1, 2, 0)).astype("<f4").tobytes())


def line(name, image, size, drawn):
    crop, flips, angle, order, factors, erased = drawn
    numbers = [size, *crop, *flips, float(angle).hex(), *order, *(float(f).hex() for f in factors), *erased]
    return " ".join(map(str, [name, *numbers, *steps(image, size, drawn)])) + "\n"


def pictures():
    torch.manual_seed(15)
    for seed, (width, height, size) in enumerate(SIZES):
        yield f"noise {width} {height} {seed} -", noise(width, height, seed), size, draw(size)
    straight = lambda angle: ((16, 16, 32, 32), [0, 0], angle, [3, 2, 1, 0], [1.0, 1.0, 1.0, 0.0], (0, 0, 0, 0))
    for angle in (0.0, 90.0, 180.0, 270.0, 360.0, 45.0):
        yield "noise 64 64 99 -", noise(64, 64, 99), 32, straight(angle)


def photographs(folder, count):
    torch.manual_seed(16)
    files = sorted(pathlib.Path(folder).resolve().rglob("*.jpg"))
    for path in random.Random(1).sample(files, count):
        yield f"file 0 0 0 {path}", Image.open(path).convert("RGB"), 224, draw(224)


if __name__ == "__main__":
    out = pathlib.Path(sys.argv[3] if len(sys.argv) > 1 else "tests/golden/augmentation.txt")
    source = photographs(sys.argv[1], int(sys.argv[2])) if len(sys.argv) > 1 else pictures()
    out.write_text("".join(line(*picture) for picture in source))

#!/usr/bin/env python3
"""make_resnet18.py: writes tests/golden/resnet18.txt, the gradients of timm's ResNet-18 by PyTorch in float64, 96 x 96
pixels and two images.

    python3 tests/golden/make_resnet18.py > tests/golden/resnet18.txt

Where rounding turns the sign of a value before a ReLU, or the greatest place of a max pooling, all gradients before it are off
by up to 1 %, whatever computes in fp32 (tests/bench/train_signs.py). So of 16 batches that one is taken whose nearest such
value is furthest away: GAP, over the deviation of its channel. An error of fp32 is some 3e-7 there.

    batch NUMBER GAP LOSS
    gradient NAME NORM PRODUCT * 8

Image i of the batch is number 2 * NUMBER + i, its label this number modulo 8. A gradient is given as in make_train.py.
"""
import math

import numpy as np
import timm
import torch
import torch.nn.functional as F

import random_weights

SIDE, BATCH, CLASSES, TRIED, DIRECTIONS = 96, 2, 8, 16, 8


def unit(seed, name, count):
    return torch.from_numpy(random_weights.unit(seed, name, count).astype(np.float64))


def batch_of(number):
    numbers = [BATCH * number + i for i in range(BATCH)]
    images = torch.stack([unit(n, "image", SIDE * SIDE * 3).reshape(SIDE, SIDE, 3).permute(2, 0, 1) for n in numbers])
    return images, torch.tensor([n % CLASSES for n in numbers])


class Gap:
    """The least distance from an edge, of all batches that ran since it was made."""

    def __init__(self, model):
        self.least = math.inf
        for module in model.modules():
            if isinstance(module, torch.nn.ReLU):
                module.inplace = False
                module.register_forward_hook(self.see_signs)
            elif isinstance(module, torch.nn.MaxPool2d):
                module.register_forward_hook(self.see_places)

    def take(self, distances, x):
        self.least = min(self.least, (distances / x.std((0, 2, 3))).min().item())

    def see_signs(self, _, inputs, __):
        self.take(inputs[0].abs().amin((0, 2, 3)), inputs[0])

    def see_places(self, _, inputs, __):
        x = inputs[0]  # behind a ReLU: an empty window has no gradient
        windows = F.unfold(F.pad(x, (1, 1, 1, 1)), 3, stride=2).reshape(len(x), x.shape[1], 9, -1)
        first, second = windows.topk(2, 2).values.unbind(2)
        self.take(torch.where(first > 0, first - second, math.inf).amin((0, 2)), x)


def main():
    model = timm.create_model("resnet18", num_classes=CLASSES)
    random_weights.fill(model, 1)
    model = model.double().train()
    gap, gaps = Gap(model), {}
    with torch.no_grad():
        for number in range(TRIED):
            gap.least = math.inf
            model(batch_of(number)[0])
            gaps[number] = gap.least
    number = max(gaps, key=gaps.get)
    images, labels = batch_of(number)
    loss = F.cross_entropy(model(images), labels)
    loss.backward()
    print(f"batch {number} {gaps[number]:.3g} {loss.item():.17g}")
    for name, value in model.named_parameters():
        products = [(value.grad.reshape(-1) * math.sqrt(3) * unit(100 + i, name, value.numel())).sum().item()
                    for i in range(DIRECTIONS)]
        print("gradient", name, f"{value.grad.norm().item():.17g}", *(f"{p:.17g}" for p in products))


main()

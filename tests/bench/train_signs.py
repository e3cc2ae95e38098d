#!/usr/bin/env python3
"""train_signs.py: where the gradients of ResNet-18 in fp32 are far from float64's, and why.

    tests/bench/train_signs.py BENCH_TRAIN [--size 224] [--level avx2|avx512|best] BATCH[/STEP]...

A ReLU passes a gradient or doesn't. Where rounding gives its input the other sign than float64 has, all gradients before
it are off, by far more than by rounding itself. For each batch, and for each of

    ours      bench_train
    PyTorch   in fp32 (oneDNN's direct convolutions: no Winograd)
    exact     PyTorch in float64 whose convolutions, normalisations and sums are rounded to fp32 where they are stored:
              no program that keeps its activations as floats can know them better

it prints how many values have the other sign (of the max pooling: another greatest place), how many tensors have
|g - g64| / |g64| beyond the larger of 1e-4 and twice PyTorch's, and how many have it when float64 takes those signs.
PyTorch's signs are read. Ours are found: the gradient by the bias of the normalisation before a ReLU differs in the channel
of the sign; in this channel it is the value next to zero, whose size over the channel's deviation is printed.

Needs torch, timm, numpy. Weights and images are those of train_peers.py.
"""
import argparse
import os
import subprocess
import sys
import tempfile

import numpy as np
import timm
import torch
import torch.nn.functional as F

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "golden"))
import random_weights

CLASSES, LIMIT, MOST_SIGNS = 8, 1e-4, 12


class Signs(torch.nn.Module):
    """A ReLU that tells the signs of its inputs, or takes those that it is given."""

    given = None

    def forward(self, x):
        self.input = x.detach()
        self.signs = x.detach() > 0
        return x * (self.signs if self.given is None else self.given)


class Places(torch.nn.Module):
    """The max pooling of the stem, with its places as Signs has its signs."""

    given = None

    def forward(self, x):
        y, self.signs = F.max_pool2d(x, 3, 2, 1, return_indices=True)
        return y if self.given is None else x.flatten(2).gather(2, self.given.flatten(2)).reshape(y.shape)


class Stored(torch.autograd.Function):
    @staticmethod
    def forward(_, x):
        return x.float().double()

    @staticmethod
    def backward(_, slope):
        return slope


class Network:
    def __init__(self, dtype, stored=False):
        self.model = timm.create_model("resnet18", pretrained=False, num_classes=CLASSES)
        random_weights.fill(self.model, 1)
        self.model.to(dtype).train()
        self.dtype, self.edges = dtype, {}
        for name, module in list(self.model.named_modules()):
            if isinstance(module, (torch.nn.ReLU, torch.nn.MaxPool2d)):
                parent, _, own = name.rpartition(".")
                edge = Signs() if isinstance(module, torch.nn.ReLU) else Places()
                setattr(self.model.get_submodule(parent), own, edge)
                self.edges[name] = edge
                if stored:  # of a residual: the sum
                    edge.register_forward_pre_hook(lambda _, inputs: (Stored.apply(inputs[0]),))
            elif stored and isinstance(module, (torch.nn.Conv2d, torch.nn.BatchNorm2d)):
                module.register_forward_hook(lambda _, inputs, output: Stored.apply(output))

    def gradients(self, images, labels, signs=None):
        for name, edge in self.edges.items():
            edge.given = signs and signs[name]
        self.model.zero_grad()
        F.cross_entropy(self.model(images.to(self.dtype)), labels).backward()
        return {name: p.grad.double() for name, p in self.model.named_parameters()}

    def signs(self):
        return {name: edge.signs for name, edge in self.edges.items()}


def images_of(count, size, step):
    numbers = range(step * count, (step + 1) * count)
    images = [random_weights.unit(i, "image", size * size * 3).reshape(size, size, 3) for i in numbers]
    return torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2).contiguous(), torch.tensor(numbers) % CLASSES


def gradients_of(options, count, step, shapes):
    with tempfile.NamedTemporaryFile() as file:
        done = subprocess.run([options.binary, f"resnet18:{options.size}", "fp32", str(count), "1", "0", options.level, file.name,
                               str(step)], stdout=subprocess.PIPE, text=True, check=True)
        flat, at, found = np.fromfile(file.name, dtype=np.float32), 0, {}
    for line in done.stdout.splitlines()[2:]:
        name, values = line.split()
        if name in shapes:
            found[name] = torch.from_numpy(flat[at:at + int(values)].astype(np.float64)).reshape(shapes[name])
        at += int(values)
    return found


def errors(found, wanted):
    return {name: ((found[name] - wanted[name]).norm() / wanted[name].norm()).item() for name in wanted}


def other_signs(exact, found, batch, wanted):
    """The signs that explain the gradients found, and how near to zero their values are."""
    signs, near = {name: value.clone() for name, value in exact.signs().items()}, []
    inputs = {name: edge.input for name, edge in exact.edges.items() if isinstance(edge, Signs)}
    taken = {name: torch.zeros_like(value, dtype=torch.bool) for name, value in inputs.items()}
    while len(near) < MOST_SIGNS:
        for name in reversed(inputs):  # the last one first: those behind it are right by then
            bias = name.replace("act", "bn") + ".bias"
            away = (found[bias] - wanted[bias]).abs()
            if away.norm() > 0.5 * LIMIT * wanted[bias].norm():
                break
        else:
            break
        channel = away.argmax().item()
        x = inputs[name][:, channel].clone()
        deviation = x.std().item()
        x[taken[name][:, channel]] = float("inf")
        place = x.abs().flatten().argmin()
        near.append(x.flatten()[place].abs().item() / deviation)
        where = (place // x[0].numel(), channel, place % x[0].numel() // x.shape[2], place % x.shape[2])
        taken[name][where] = True
        signs[name][where] ^= True
        wanted = exact.gradients(*batch, signs)
    return near, wanted


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("binary")
    parser.add_argument("batches", nargs="+")
    parser.add_argument("--size", type=int, default=224)
    parser.add_argument("--level", default="best", choices=("avx2", "avx512", "best"))
    options = parser.parse_args()
    torch.set_num_threads(1)
    exact, networks = Network(torch.float64), {"PyTorch": Network(torch.float32), "exact": Network(torch.float64, True)}
    for text in options.batches:
        count, step = map(int, (text + "/0").split("/")[:2])
        batch = images_of(count, options.size, step)
        wanted = exact.gradients(*batch)
        signs = exact.signs()
        ours = gradients_of(options, count, step, {name: value.shape for name, value in wanted.items()})
        near, explained = other_signs(exact, ours, batch, wanted)
        rows = {}
        for name, network in networks.items():
            found = network.gradients(*batch)
            other = network.signs()
            differing = sum((other[edge] != signs[edge]).sum().item() for edge in signs)
            rows[name] = (differing, errors(found, wanted),
                          errors(found, exact.gradients(*batch, other)) if differing else errors(found, wanted))
        rows["ours"] = (len(near), errors(ours, wanted), errors(ours, explained))
        limits = {name: max(LIMIT, 2 * own) for name, own in rows["PyTorch"][1].items()}
        for who, (differing, error, rest) in rows.items():
            print(f"{text} {who}: {differing} other signs; {sum(v > LIMIT for v in error.values())} of {len(error)} tensors beyond "
                  f"{LIMIT:g}, {sum(v > limits[name] for name, v in error.items())} beyond the limit, worst {max(error.values()):.1e}; "
                  f"with these signs worst {max(rest.values()):.1e}", flush=True)
        print(f"{text} ours: values over their deviation " + " ".join(f"{value:.1e}" for value in near), flush=True)


main()

#!/usr/bin/env python3
"""make_operations.py: writes tests/golden/operations.txt, each kind of operation alone at odd sizes.

    python3 tests/golden/make_operations.py > tests/golden/operations.txt

Inputs and weights come from random_weights.py with seed 11: input "<case>.input" and, for a sum,
"<case>.second" are the unit values times 2 (times scale, plus offset where given); weights are the tensors "<case>.weight" and "<case>.bias".
A line: case kind, key=value ..., "output" numbers ["attention" numbers]. Double precision throughout.
"""
import math

import torch
import torch.nn.functional as F
import timm

import random_weights

SEED = 11


def values(name, *shape):
    u = random_weights.unit(SEED, name, math.prod(shape)).reshape(shape)
    return torch.from_numpy(u).double() * 2


def weight(name, *shape):
    return torch.from_numpy(random_weights.tensor(SEED, name, shape)).double()


def line(case, kind, parameters, output, attention=None):
    text = f"{case} {kind} " + " ".join(f"{key}={value}" for key, value in parameters.items())
    for name, result in (("output", output), ("attention", attention)):
        if result is not None:
            text += f" {name} " + " ".join(f"{value:.9g}" for value in result.flatten().tolist())
    print(text)


def convolution(case, height, width, channels, outputs, kernel, stride, padding, groups, bias, end=None):
    """end: the padding below and to the right, where it is another."""
    x = values(f"{case}.input", height * width, channels)
    w = weight(f"{case}.weight", outputs, channels // groups, *kernel)
    b = weight(f"{case}.bias", outputs) if bias else None
    image = x.T.reshape(1, channels, height, width)
    end = padding if end is None else end
    y = F.conv2d(F.pad(image, (padding, end, padding, end)), w, b, stride=stride, groups=groups)
    parameters = dict(rows=height * width, columns=channels, output_rows=y.shape[2] * y.shape[3],
                      output_columns=outputs, height=height, width=width, kernel_height=kernel[0],
                      kernel_width=kernel[1], stride=stride, padding=padding, groups=groups, bias=int(bias),
                      output_width=y.shape[3])
    line(case, "convolution", parameters, y[0].reshape(outputs, -1).T)


def linear(case, rows, inputs, outputs):
    x = values(f"{case}.input", rows, inputs)
    y = F.linear(x, weight(f"{case}.weight", outputs, inputs), weight(f"{case}.bias", outputs))
    line(case, "linear", dict(rows=rows, columns=inputs, output_rows=rows, output_columns=outputs), y)


def layernorm(case, rows, columns, epsilon):
    x = values(f"{case}.input", rows, columns)
    y = F.layer_norm(x, (columns,), weight(f"{case}.weight", columns), weight(f"{case}.bias", columns), epsilon)
    line(case, "layernorm", dict(rows=rows, columns=columns, output_rows=rows, output_columns=columns,
                                 epsilon=epsilon), y)


def attention(case, tokens, heads, width):
    """timm's Attention without its projections, so that only the operation itself is left."""
    module = timm.layers.Attention(width, num_heads=heads, qkv_bias=False).double().eval()
    module.fused_attn = False
    maps = []
    module.attn_drop.register_forward_hook(lambda m, inputs, output: maps.append(inputs[0]))
    x = values(f"{case}.input", tokens, 3 * width)

    class Fused(torch.nn.Module):  # timm reads the shape of its input, which is a third as wide
        def forward(self, ignored):
            return x.unsqueeze(0)

    module.qkv, module.proj = Fused(), torch.nn.Identity()
    with torch.no_grad():
        y = module(torch.zeros(1, tokens, width, dtype=torch.float64))
    line(case, "attention", dict(rows=tokens, columns=3 * width, output_rows=tokens, output_columns=width,
                                 heads=heads), y, maps[0][0, :, 0, 1:])


def tokens(case, patches, width):
    x = values(f"{case}.input", patches, width)
    y = torch.cat([weight(f"{case}.weight", 1, 1, width)[0], x]) + weight(f"{case}.bias", 1, patches + 1, width)[0]
    line(case, "tokens", dict(rows=patches, columns=width, output_rows=patches + 1, output_columns=width), y)


def max_pool(case, height, width, channels, kernel, stride, padding):
    x = values(f"{case}.input", height * width, channels) - 2  # below zero, so that padding would win if it counted
    y = F.max_pool2d(x.T.reshape(1, channels, height, width), kernel, stride, padding)
    line(case, "max_pool", dict(rows=height * width, columns=channels, output_rows=y.shape[2] * y.shape[3],
                                output_columns=channels, height=height, width=width, kernel_height=kernel,
                                kernel_width=kernel, stride=stride, padding=padding, offset=-2,
                                output_width=y.shape[3]),
         y[0].reshape(channels, -1).T)


def main():
    print(f"# tests/golden/make_operations.py: PyTorch {torch.__version__.split('+')[0]}, timm {timm.__version__}")
    convolution("patches", 9, 12, 3, 5, (3, 3), 3, 0, 1, True)
    convolution("padded", 7, 5, 4, 6, (3, 3), 2, 1, 1, False)
    convolution("grouped", 5, 6, 6, 9, (3, 3), 1, 1, 3, True)
    convolution("depthwise", 6, 5, 7, 7, (5, 5), 2, 2, 7, True)
    convolution("oblong", 5, 7, 2, 3, (2, 4), 1, 1, 1, True)
    convolution("uneven", 6, 4, 3, 5, (3, 3), 2, 0, 1, True, end=1)
    linear("linear", 5, 37, 11)
    linear("row", 1, 9, 3)
    layernorm("layernorm", 3, 37, 1e-6)
    layernorm("epsilon", 2, 5, 0.5)
    attention("attention", 7, 3, 15)
    attention("head", 5, 1, 9)
    tokens("tokens", 6, 5)
    x = values("gelu.input", 3, 7) * 3
    line("gelu", "gelu", dict(rows=3, columns=7, output_rows=3, output_columns=7, scale=3), F.gelu(x))
    line("relu", "relu", dict(rows=3, columns=7, output_rows=3, output_columns=7),
         F.relu(values("relu.input", 3, 7)))
    x = values("relu6.input", 5, 7) * 5  # to where both ends count
    line("relu6", "relu6", dict(rows=5, columns=7, output_rows=5, output_columns=7, scale=5), F.relu6(x))
    x = values("silu.input", 5, 7) * 20  # to where exp is far from 1 on both sides
    line("silu", "silu", dict(rows=5, columns=7, output_rows=5, output_columns=7, scale=20), F.silu(x))
    x = values("sigmoid.input", 5, 7) * 20
    line("sigmoid", "sigmoid", dict(rows=5, columns=7, output_rows=5, output_columns=7, scale=20), torch.sigmoid(x))
    max_pool("pool", 7, 5, 3, 3, 2, 1)
    max_pool("pool_even", 6, 4, 2, 2, 2, 0)
    line("mean", "mean_rows", dict(rows=11, columns=5, output_rows=1, output_columns=5),
         values("mean.input", 11, 5).mean(0, keepdim=True))
    line("mean_one", "mean_rows", dict(rows=1, columns=3, output_rows=1, output_columns=3),
         values("mean_one.input", 1, 3))
    line("scale", "scale", dict(rows=4, columns=5, output_rows=4, output_columns=5),
         values("scale.input", 4, 5) * values("scale.second", 1, 5))
    line("sum", "add", dict(rows=3, columns=5, output_rows=3, output_columns=5),
         values("sum.input", 3, 5) + values("sum.second", 3, 5))
    line("first", "first_row", dict(rows=4, columns=5, output_rows=1, output_columns=5),
         values("first.input", 4, 5)[:1])


if __name__ == "__main__":
    main()

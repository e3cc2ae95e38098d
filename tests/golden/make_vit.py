#!/usr/bin/env python3
"""make_vit.py: writes tests/golden/vit.txt with PyTorch and timm.

    python3 tests/golden/make_vit.py > tests/golden/vit.txt

Weights and views come from random_weights.py. The values are PyTorch's in double precision, so that they do
not depend on the machine that made them; how far PyTorch's own float32 lies from them is printed on standard
error and stands in the file. Attention: last block, class token's row without its own column, mean over heads.
"""
import sys

import numpy as np
import timm
import torch

import random_weights

SEED, CLASSES, VIEWS = 7, 8, 3
NETWORKS = ["vit_tiny_patch16_224", "vit_small_patch16_224", "vit_base_patch16_224"]
MEAN = np.array([0.485, 0.456, 0.406], dtype=np.float32)
STD = np.array([0.229, 0.224, 0.225], dtype=np.float32)


def run(model, batch):
    maps = []
    attention = model.blocks[-1].attn
    attention.fused_attn = False
    hook = attention.attn_drop.register_forward_hook(lambda module, inputs, output: maps.append(inputs[0]))
    with torch.no_grad():
        logits = model(batch)
    hook.remove()
    return logits.double().numpy(), maps[0][:, :, 0, 1:].double().mean(1).numpy()


def numbers(values):
    return " ".join(f"{value:.9g}" for value in values)


def main():
    print(f"# tests/golden/make_vit.py: PyTorch {torch.__version__.split('+')[0]}, timm {timm.__version__}, double precision")
    views = np.stack([random_weights.view(SEED, i, 224) for i in range(VIEWS)])
    normalised = ((views.astype(np.float32) / np.float32(255)) - MEAN) / STD
    batch = torch.from_numpy(normalised).permute(0, 3, 1, 2).contiguous()
    for name in NETWORKS:
        model = timm.create_model(name, num_classes=CLASSES).eval()
        random_weights.fill(model, SEED)
        logits32, maps32 = run(model, batch)
        logits, maps = run(model.double(), batch.double())
        spread = logits.max() - logits.min()
        distance = abs(logits32 - logits).max() / spread
        text = f"float32 is {distance:.2g} of the logit range away, attention {abs(maps32 - maps).max():.2g}"
        print(f"# {text}")
        print(f"{name}: {text}; logits {logits.min():.3f} to {logits.max():.3f}, "
              f"attention {maps.min():.3g} to {maps.max():.3g}", file=sys.stderr)
        for i in range(VIEWS):
            print(f"{name} seed {SEED} classes {CLASSES} view {i} logits {numbers(logits[i])}")
            print(f"{name} seed {SEED} classes {CLASSES} view {i} attention {numbers(maps[i])}")


if __name__ == "__main__":
    main()

#!/usr/bin/env python3
"""make_cnn.py: writes tests/golden/cnn.txt with PyTorch and timm: convolutional networks, and what vision
transformers give at other image sizes and with attention rollout.

    python3 tests/golden/make_cnn.py > tests/golden/cnn.txt

Weights and views come from random_weights.py; view i has squares of BLOCKS[i] pixels, so that the views differ
in more than noise that pooling averages away. The values are PyTorch's in double precision; float32 stands for
the largest distance of PyTorch's own float32 from them, as a share of the logit range. A line:

    architecture image_size seed 7 classes 8 float32 D view I logits ... map ROWS COLUMNS ...

map: for a convolutional network the class-activation map (Zhou et al. 2016) of the class with the greatest
logit; for a vision transformer attention rollout (Abnar and Zuidema 2020, mean over heads), the class token's
row without its own column. A vision transformer of another size has the positions of one at 224 (DINOv2: at 518),
resampled by timm. DINOv2's LayerScale is random as well.
"""
import sys

import numpy as np
import timm
import torch
from timm.layers import resample_abs_pos_embed

import random_weights

SEED, CLASSES, BLOCKS = 7, 8, (1, 7, 32)
NETWORKS = [("resnet18", 224), ("resnet18", 97), ("efficientnet_b4", 224), ("efficientnet_b4", 320),
            ("efficientnet_lite0", 224), ("efficientnet_lite0", 97),
            ("tf_efficientnet_lite0", 224), ("tf_efficientnet_lite0", 97),
            ("vit_tiny_patch16_224", 224), ("vit_tiny_patch16_224", 160), ("vit_tiny_patch16_224", 320),
            ("vit_tiny_patch16_224", 384), ("vit_small_patch14_dinov2", 224), ("vit_small_patch14_dinov2", 98)]
MEAN = np.array([0.485, 0.456, 0.406], dtype=np.float32)
STD = np.array([0.229, 0.224, 0.225], dtype=np.float32)
TENSORFLOW = np.full(3, 0.5, dtype=np.float32)


def create(name, size):
    options = {"img_size": size} if name.startswith("vit") else {}
    model = timm.create_model(name, num_classes=CLASSES, **options).eval()
    random_weights.fill(model, SEED)
    if name.startswith("vit"):
        learnt = 37 if "dinov2" in name else 14
        shape = (1, 1 + learnt * learnt, model.embed_dim)
        original = torch.from_numpy(random_weights.tensor(SEED, "pos_embed", shape))
        model.pos_embed.data = resample_abs_pos_embed(original, list(model.patch_embed.grid_size))
    return model


def class_activation(model, batch, logits):
    features = model.forward_features(batch)
    weight = model.get_classifier().weight
    return torch.einsum("bc,bchw->bhw", weight[logits.argmax(1)], features)


def rollout(model, batch):
    maps = []
    for block in model.blocks:
        block.attn.fused_attn = False
        block.attn.attn_drop.register_forward_hook(lambda m, inputs, output: maps.append(inputs[0].mean(1)))
    model(batch)
    total = torch.eye(maps[0].shape[1], dtype=maps[0].dtype)
    for attention in maps:
        mixed = attention + torch.eye(attention.shape[1], dtype=attention.dtype)
        total = mixed / mixed.sum(-1, keepdim=True) @ total
    side = int((total.shape[1] - 1) ** 0.5)
    return total[:, 0, 1:].reshape(-1, side, side)


def numbers(values):
    return " ".join(f"{value:.9g}" for value in values.flatten().tolist())


@torch.no_grad()
def main():
    print(f"# tests/golden/make_cnn.py: PyTorch {torch.__version__.split('+')[0]}, timm {timm.__version__}, double precision")
    for name, size in NETWORKS:
        views = np.stack([random_weights.view(SEED, i, size, block) for i, block in enumerate(BLOCKS)])
        model = create(name, size)
        mean, std = (TENSORFLOW, TENSORFLOW) if name.startswith("tf_") else (MEAN, STD)
        normalised = ((views.astype(np.float32) / np.float32(255)) - mean) / std
        batch = torch.from_numpy(normalised).permute(0, 3, 1, 2).contiguous()
        logits32 = model(batch).double()
        model = model.double()
        logits = model(batch.double())
        spread = (logits.max() - logits.min()).item()
        distance = (logits32 - logits).abs().max().item() / spread
        is_vit = name.startswith("vit")
        maps = rollout(model, batch.double()) if is_vit else class_activation(model, batch.double(), logits)
        between = (logits - logits.mean(0)).abs().max().item() / spread
        print(f"{name} {size}: logit range {spread:.3g}, float32 {distance:.2g}, views differ by {between:.2g}, "
              f"map {maps.min():.3g} to {maps.max():.3g}", file=sys.stderr)
        for i in range(len(BLOCKS)):
            print(f"{name} {size} seed {SEED} classes {CLASSES} float32 {distance:.3g} view {i} logits "
                  f"{numbers(logits[i])} map {maps.shape[1]} {maps.shape[2]} {numbers(maps[i])}")


if __name__ == "__main__":
    main()

#!/usr/bin/env python3
"""make_embedding.py: writes tests/golden/embedding.txt with PyTorch and timm: what the head turns into logits.

    python3 tests/golden/make_embedding.py > tests/golden/embedding.txt

Networks, weights and views are those of make_cnn.py; of its views the last one alone. The values are PyTorch's in
double precision. A line:

    architecture image_size seed 7 embedding WIDTH ...
"""
import numpy as np
import timm
import torch

import make_cnn
import random_weights

NETWORKS = [("resnet18", 97), ("vit_tiny_patch16_224", 160)]


@torch.no_grad()
def main():
    print(f"# tests/golden/make_embedding.py: PyTorch {torch.__version__.split('+')[0]}, timm {timm.__version__}, "
          "double precision")
    for name, size in NETWORKS:
        view = random_weights.view(make_cnn.SEED, len(make_cnn.BLOCKS) - 1, size, make_cnn.BLOCKS[-1])
        normalised = (view.astype(np.float32) / np.float32(255) - make_cnn.MEAN) / make_cnn.STD
        batch = torch.from_numpy(normalised).permute(2, 0, 1)[None].double()
        model = make_cnn.create(name, size).double()
        embedding = model.forward_head(model.forward_features(batch), pre_logits=True)[0]
        print(f"{name} {size} seed {make_cnn.SEED} embedding {len(embedding)} "
              + " ".join(f"{value:.7g}" for value in embedding.tolist()))


if __name__ == "__main__":
    main()

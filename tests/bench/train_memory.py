#!/usr/bin/env python3
"""train_memory.py: the most memory that a training takes, ours without the picture cache beside PyTorch's.

    train_memory.py SKINSIGHT-TRAINER DATA.csv [--images DIR] [--arch NAME] [--batch N] [--size N] [--precision P]

DATA has at least two batches of labelled images. Ours runs an epoch with its validation and checkpoint; PyTorch makes
two steps of AdamW on random pictures, no data loader. Needs torch and timm. Judges nothing.
"""
import argparse
import pathlib
import resource
import shutil
import subprocess
import sys
import tempfile

PEER = """
import sys, torch, timm, resource
name, batch, size, precision = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), sys.argv[4]
model = timm.create_model(name, num_classes=8, img_size=size) if name.startswith("vit") else timm.create_model(name, num_classes=8)
optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4, weight_decay=0.05)
for _ in range(2):
    images, labels = torch.randn(batch, 3, size, size), torch.randint(0, 8, (batch,))
    with torch.autocast("cpu", torch.bfloat16, enabled=precision == "bf16"):
        loss = torch.nn.functional.cross_entropy(model(images), labels)
    optimizer.zero_grad(set_to_none=True)
    loss.backward()
    torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    optimizer.step()
"""


def peak_mib(command):
    """The command's largest resident set; it must succeed."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode != 0:
        sys.exit(f"{command[0]}: {done.stderr[-500:]}")
    after = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
    if after == before:
        sys.exit("a later run took less than an earlier one, and can't be told apart: swap the order")
    return after / 1024


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("trainer")
    parser.add_argument("data")
    parser.add_argument("--images", default="")
    parser.add_argument("--arch", default="vit_tiny_patch16_224")
    parser.add_argument("--batch", default="32")
    parser.add_argument("--size", default="224")
    parser.add_argument("--precision", default="fp32")
    options = parser.parse_args()
    scratch = pathlib.Path(tempfile.mkdtemp())
    ours = peak_mib([options.trainer, "train", "--data", options.data, "--images", options.images, "--out", scratch / "out",
                     "--arch", options.arch, "--image-size", options.size, "--batch", options.batch, "--epochs", "1",
                     "--warmup-epochs", "0", "--picture-cache", "0", "--precision", options.precision])  # fmt: skip
    shutil.rmtree(scratch)
    peer = peak_mib([sys.executable, "-c", PEER, options.arch, options.batch, options.size, options.precision])
    print(f"{options.arch}, {options.size} pixels, batch {options.batch}, {options.precision}: "
          f"ours {ours:.0f} MiB, PyTorch {peer:.0f} MiB, ratio {ours / peer:.2f}")


if __name__ == "__main__":
    main()

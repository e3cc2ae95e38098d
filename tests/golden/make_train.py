#!/usr/bin/env python3
"""make_train.py: writes tests/golden/train.txt with PyTorch in float64: loss and gradients of the network of
tests/support/mini_train.h, and the losses of 50 steps of AdamW.

    python3 tests/golden/make_train.py > tests/golden/train.txt

A gradient is given by its norm and by its products with eight random directions (of variance one), which tell the
norm of a difference: the mean square of the products' differences is its expected square.

    loss CLASSIFICATION DIVERSITY
    gradient NAME NORM PRODUCT * 8
    step NUMBER LOSS
    resnet18 NUMBER LOSS DISTANCE

resnet18: 50 steps of AdamW with timm's ResNet-18, 64 x 64 pixels, batches of 8, four of them in turn. Small batches of
noise make a chaotic run: where rounding turns a ReLU's sign, all gradients before it are off by up to 1 %, and what
differs grows from step to step. DISTANCE is how far PyTorch's own float32 has been from its float64 up to that step,
relative to the loss: the greatest of four runs that round differently (oneDNN or not, channels first or last).
"""
import math

import numpy as np
import timm
import torch
import torch.nn.functional as F

import random_weights

SEED, COUNT, CLASSES, SIDE = 0x123456789ABCDEF, 5, 4, 12
DROPOUT, SMOOTHING, DIVERSITY = 0.25, 0.1, 0.5
EPSILON, LAYER_EPSILON = float(np.float32(1e-3)), float(np.float32(1e-6))
CLASS_WEIGHTS = torch.tensor([0.5 + i for i in range(CLASSES)], dtype=torch.float64)
WIDTH, HEADS = 12, (2, 3)
STEPS = 50
RESNET_SIDE, RESNET_BATCH, RESNET_CLASSES = 64, 8, 8

SHAPES = {}
for _name, _filters in (("stem", (8, 3, 3, 3)), ("wide", (16, 8, 1, 1)), ("depth", (16, 1, 3, 3)),
                        ("narrow", (8, 16, 1, 1))):
    SHAPES[f"{_name}.conv.weight"] = _filters
    for _part in ("weight", "bias", "running_mean", "running_var"):
        SHAPES[f"{_name}.norm.{_part}"] = (_filters[0],)
for _name, _filters in (("gate.reduce", (4, 16, 1, 1)), ("gate.expand", (16, 4, 1, 1)), ("patch.conv", (12, 4, 3, 3))):
    SHAPES[f"{_name}.weight"] = _filters
    SHAPES[f"{_name}.bias"] = (_filters[0],)
SHAPES["cls_token"] = (1, 1, WIDTH)
SHAPES["pos_embed"] = (1, 10, WIDTH)
for _block in range(2):
    for _name, _shape in (("norm1", (WIDTH,)), ("attn.qkv", (3 * WIDTH, WIDTH)), ("attn.proj", (WIDTH, WIDTH)),
                          ("norm2", (WIDTH,)), ("mlp.fc1", (2 * WIDTH, WIDTH)), ("mlp.fc2", (WIDTH, 2 * WIDTH))):
        SHAPES[f"blocks.{_block}.{_name}.weight"] = _shape
        SHAPES[f"blocks.{_block}.{_name}.bias"] = _shape[:1]
SHAPES["norm.weight"] = SHAPES["norm.bias"] = (WIDTH,)
SHAPES["head.weight"] = (CLASSES, WIDTH)
SHAPES["head.bias"] = (CLASSES,)


def philox(counter, key):
    """Philox4x32-10 on arrays of counters: (4, n) of uint64 below 2^32."""
    x, k = [c.copy() for c in counter], list(key)
    for _ in range(10):
        a = x[0] * np.uint64(0xD2511F53)
        b = x[2] * np.uint64(0xCD9E8D57)
        low = np.uint64(0xFFFFFFFF)
        x = [(b >> np.uint64(32)) ^ x[1] ^ np.uint64(k[0]), b & low, (a >> np.uint64(32)) ^ x[3] ^ np.uint64(k[1]),
             a & low]
        k = [(k[0] + 0x9E3779B9) & 0xFFFFFFFF, (k[1] + 0xBB67AE85) & 0xFFFFFFFF]
    return x


def dropout_factors(operation, counter, count):
    """kernels/dropout.h: the factors of an image's elements."""
    groups = np.arange((count + 7) // 8, dtype=np.uint64)
    same = np.ones_like(groups)
    words = philox([groups, same * np.uint64(operation), same * np.uint64(counter & 0xFFFFFFFF),
                    same * np.uint64(counter >> 32)], (SEED & 0xFFFFFFFF, SEED >> 32))
    numbers = np.stack([part for word in words for part in (word & np.uint64(0xFFFF), word >> np.uint64(16))], 1)
    threshold = round(DROPOUT * 65536)
    keep = numbers.reshape(-1)[:count] >= threshold
    return torch.from_numpy(keep * np.float64(np.float32(65536 / (65536 - threshold))))


def unit(seed, name, count):
    return torch.from_numpy(random_weights.unit(seed, name, count).astype(np.float64))


def batch_of(step):
    numbers = [step * COUNT + i for i in range(COUNT)]
    images = torch.stack([unit(n, "image", SIDE * SIDE * 3).reshape(SIDE, SIDE, 3).permute(2, 0, 1) for n in numbers])
    labels = torch.tensor([int(random_weights.bits(n, "label", 1)[0]) >> 62 for n in numbers])
    return images, labels, [n + (7 << 32) for n in numbers]


class Network:
    """The operations in the order of mini_train.h: `operation` counts them for the dropout."""

    def __init__(self):
        self.p = {name: torch.from_numpy(random_weights.tensor(1, name, shape).astype(np.float64))
                  for name, shape in SHAPES.items()}
        for name, value in self.p.items():
            value.requires_grad_("running" not in name)

    def learnt(self):
        return [value for value in self.p.values() if value.requires_grad]

    def drop(self, x):
        count = x[0].numel()
        factors = [dropout_factors(self.operation, counter, count).reshape(x.shape[1:]) for counter in self.counters]
        self.operation += 1
        return x * torch.stack(factors)

    def norm(self, x, name):
        self.operation += 1
        p = self.p
        return F.batch_norm(x, p[f"{name}.running_mean"], p[f"{name}.running_var"], p[f"{name}.weight"],
                            p[f"{name}.bias"], True, 0.1, EPSILON)

    def conv(self, x, name, kernel, stride=1, groups=1):
        self.operation += 1
        if stride == 2 and groups == 1:  # TensorFlow's SAME: what is odd of the padding lies at the end
            before = (kernel - 2) // 2
            x, kernel = F.pad(x, (before, kernel - 2 - before, before, kernel - 2 - before)), 0
        return F.conv2d(x, self.p[f"{name}.weight"], self.p.get(f"{name}.bias"), stride, kernel // 2, 1, groups)

    def layernorm(self, x, name):
        self.operation += 1
        return F.layer_norm(x, (WIDTH,), self.p[f"{name}.weight"], self.p[f"{name}.bias"],
                            LAYER_EPSILON)

    def linear(self, x, name):
        self.operation += 1
        return F.linear(x, self.p[f"{name}.weight"], self.p[f"{name}.bias"])

    def attention(self, x, heads):
        self.operation += 1
        images, tokens, _ = x.shape
        q, k, v = x.reshape(images, tokens, 3, heads, WIDTH // heads).permute(2, 0, 3, 1, 4)
        weights = (q @ k.transpose(-2, -1) / math.sqrt(WIDTH // heads)).softmax(-1)
        first = weights[:, :, 0]
        self.diversity = (first * first.log()).sum(-1).mean()
        return (weights @ v).transpose(1, 2).reshape(images, tokens, WIDTH)

    def block(self, x, number, heads):
        name = f"blocks.{number}."
        y = self.attention(self.linear(self.layernorm(x, name + "norm1"), name + "attn.qkv"), heads)
        x = x + self.drop(self.linear(y, name + "attn.proj"))
        self.operation += 1
        y = F.gelu(self.linear(self.layernorm(x, name + "norm2"), name + "mlp.fc1"))
        self.operation += 1
        x = x + self.drop(self.linear(self.drop(y), name + "mlp.fc2"))
        self.operation += 1
        return x

    def logits(self, images, counters):
        self.operation, self.counters = 1, counters
        x = F.relu(self.norm(self.conv(images, "stem.conv", 3, 2), "stem.norm"))
        pooled = F.max_pool2d(x, 3, 1, 1)
        self.operation += 2
        x = F.silu(self.norm(self.conv(pooled, "wide.conv", 1), "wide.norm"))
        x = F.relu6(self.norm(self.conv(x, "depth.conv", 3, 1, 16), "depth.norm"))
        gate = x.mean((2, 3), keepdim=True)
        gate = self.conv(F.silu(self.conv(gate, "gate.reduce", 1)), "gate.expand", 1)
        x = x * gate.sigmoid()
        self.operation += 6
        x = self.norm(self.conv(x, "narrow.conv", 1), "narrow.norm") + pooled
        self.operation += 1
        x = self.conv(x, "patch.conv", 3, 2, 2).flatten(2).transpose(1, 2)
        x = torch.cat((self.p["cls_token"].expand(len(images), -1, -1), x), 1) + self.p["pos_embed"]
        self.operation += 1
        x = self.drop(x)
        for number, heads in enumerate(HEADS):
            x = self.block(x, number, heads)
        self.operation += 1
        return self.linear(self.drop(self.layernorm(x[:, 0], "norm")), "head")

    def loss(self, step):
        images, labels, counters = batch_of(step)
        each = F.cross_entropy(self.logits(images, counters), labels, reduction="none", label_smoothing=SMOOTHING)
        weights = CLASS_WEIGHTS[labels]
        return (weights * each).sum() / weights.sum()


def resnet18_losses(dtype, last=False):
    """last: channels last."""
    order = torch.channels_last if last else torch.contiguous_format
    model = timm.create_model("resnet18", num_classes=RESNET_CLASSES)
    random_weights.fill(model, 1)
    model = model.to(dtype).to(memory_format=order).train()
    matrices = [p for p in model.parameters() if p.dim() > 1]
    others = [p for p in model.parameters() if p.dim() == 1]
    optimiser = torch.optim.AdamW([{"params": matrices, "weight_decay": 0.05}, {"params": others, "weight_decay": 0}],
                                  lr=1e-4)
    losses = []
    for step in range(STEPS):
        numbers = [step % 4 * RESNET_BATCH + i for i in range(RESNET_BATCH)]
        images = torch.stack([unit(n, "image", RESNET_SIDE**2 * 3).reshape(RESNET_SIDE, RESNET_SIDE, 3).permute(2, 0, 1)
                              for n in numbers])
        optimiser.zero_grad()
        logits = model(images.to(dtype).contiguous(memory_format=order))
        loss = F.cross_entropy(logits, torch.tensor([n % RESNET_CLASSES for n in numbers]))
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimiser.step()
        losses.append(loss.item())
    return losses


def print_resnet18():
    exact, runs = resnet18_losses(torch.float64), []
    for last in (False, True):
        for library in (True, False):
            with torch.backends.mkldnn.flags(enabled=library):
                runs.append(resnet18_losses(torch.float32, last))
    distance = 0
    for step, loss in enumerate(exact):
        distance = max([distance] + [abs(run[step] - loss) / loss for run in runs])
        print(f"resnet18 {step} {loss:.17g} {distance:.3g}")


def main():
    network = Network()
    loss = network.loss(0)
    (loss + DIVERSITY * network.diversity).backward()
    print(f"loss {loss.item():.17g} {network.diversity.item():.17g}")
    for name, value in network.p.items():
        if not value.requires_grad:
            continue
        products = [(value.grad.reshape(-1) * math.sqrt(3) * unit(100 + i, name, value.numel())).sum().item()
                    for i in range(8)]
        print("gradient", name, f"{value.grad.norm().item():.17g}", *(f"{p:.17g}" for p in products))
    network = Network()
    matrices = [v for n, v in network.p.items() if v.requires_grad and v.dim() >= 2
                and n not in ("cls_token", "pos_embed")]
    others = [v for n, v in network.p.items() if v.requires_grad and not any(v is m for m in matrices)]
    optimiser = torch.optim.AdamW([{"params": matrices, "weight_decay": 0.05}, {"params": others, "weight_decay": 0}],
                                  lr=3e-3)
    for step in range(STEPS):
        optimiser.zero_grad()
        loss = network.loss(step % 4)
        total = loss + DIVERSITY * network.diversity
        total.backward()
        torch.nn.utils.clip_grad_norm_(network.learnt(), 1.0)
        optimiser.step()
        print(f"step {step} {total.item():.17g}")
    print_resnet18()


main()

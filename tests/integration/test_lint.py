#!/usr/bin/env python3
"""test_lint.py: tests/lint.sh on a small tree of its own: what each layer may include is clean, an include that the layer
must not have is refused, and so is a circle of modules. Needs no services.
"""
import pathlib
import shutil
import subprocess
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "support"))
import harness
from harness import expect, expect_equal

# A layer, another that it may include from, and some that it must not.
LAYERS = [
    ("common/base", "common/base", ["common/services", "common/program", "kernels", "worker"]),
    ("common/services", "common/base", ["common/records", "common/program", "worker/group"]),
    ("common/records", "common/base", ["common/services", "common/picture", "kernels/network"]),
    ("common/picture", "common/base", ["common/services", "common/records", "kernels/image"]),
    ("common/statistics", "common/base", ["common/records", "trainer"]),
    ("common/program", "common/services", ["common/picture", "kernels", "worker/commands"]),
    ("kernels/network", "common/base", ["kernels", "kernels/model", "kernels/cpu", "common/records"]),
    ("kernels/model", "kernels/network", ["kernels", "kernels/cpu", "common/services", "trainer"]),
    ("kernels/image", "common/picture", ["kernels", "kernels/network", "kernels/model", "common/records"]),
    ("kernels", "common/records", ["common/services", "common/program", "worker/device"]),
    ("kernels/cpu", "kernels/network", ["common/services", "worker"]),
    ("worker/device", "worker", ["worker/group", "worker/cache", "worker/stages", "producer"]),
    ("worker/cache", "worker/device", ["worker/group", "worker/stages", "worker/commands", "trainer"]),
    ("worker/group", "common/services", ["worker/cache", "worker/stages", "worker/commands", "producer"]),
    ("worker/stages", "worker/group", ["worker/commands", "producer"]),
    ("worker", "kernels/model", ["producer", "trainer", "tests/support"]),
    ("producer", "common/program", ["worker", "trainer", "monitor"]),
    ("trainer", "kernels", ["worker", "producer"]),
    ("common/identity", "common/services", ["common/records", "producer"]),
    ("common/audit", "common/identity", ["common/records", "producer", "monitor"]),
    ("monitor", "common/statistics", ["kernels", "producer", "trainer"]),
]


class Tree:
    """A repository with lint.sh and a few files."""

    def __init__(self, stack, name):
        self.folder = stack.folder / name
        (self.folder / "tests/support").mkdir(parents=True)
        shutil.copy(harness.ROOT / "tests/lint.sh", self.folder / "tests")
        shutil.copy(harness.ROOT / "tests/support/circles.py", self.folder / "tests/support")
        subprocess.run(["git", "init", "-q", self.folder], check=True)

    def write(self, path, *includes):
        file = self.folder / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text("".join(f'#include "{include}"\n' for include in includes))
        return file

    def lint(self, *checks):
        """(exit code, its lines)"""
        done = subprocess.run(["bash", self.folder / "tests/lint.sh", *checks], capture_output=True, text=True,
                              stdin=subprocess.DEVNULL)
        return done.returncode, done.stdout.splitlines() + done.stderr.splitlines()

    def expect_clean(self, *checks):
        expect_equal(self.lint(*checks), (0, ["lint: clean"]), f"lint {checks} of a sound tree")

    def expect_refused(self, what, *words, check):
        code, lines = self.lint(check)
        expect(code == 1 and len(lines) == 2 and all(word in lines[0] for word in words),
               f"{what} is not refused: {code}, {lines}")


def layers_of_lint():
    """The folders that have a line in lint.sh."""
    text = (harness.ROOT / "tests/lint.sh").read_text()
    table = text[text.index("layers() {"):]
    return {line.split()[0] for line in table[table.index("END\n") + 4:table.index("\nEND\n")].splitlines()}


def test_layers(stack):
    tree = Tree(stack, "layers")
    missing = layers_of_lint() - {folder for folder, _, _ in LAYERS}
    expect(not missing, f"no include is planted against {missing}")
    for folder, allowed, _ in LAYERS:
        tree.write(f"{folder}/sound.c", f"{folder}/sound.h", f"{allowed}/other.h")
        tree.write(f"{folder}/sound.h", f"{allowed}/other.h")
    tree.expect_clean("dependencies")
    planted = {}
    for folder, _, refused in LAYERS:
        for other in refused:
            for ending in ("h", "c"):
                name = f"{folder}/planted_{len(planted)}.{ending}"
                tree.write(name, f"{other}/it.h")
                planted[f'{name}:1:#include "{other}/it.h"'] = other
    code, lines = tree.lint("dependencies")
    expect_equal(code, 1, "exit code of lint with forbidden includes")
    found = {line.split(" -- ")[0] for line in lines[:-1]}
    expect_equal(sorted(set(planted) - found), [], "includes that are not refused")
    expect_equal(sorted(found - set(planted)), [], "others that are")
    print(f"{len(planted)} includes refused", flush=True)


def test_circles(stack):
    tree = Tree(stack, "circles")
    tree.write("kernels/a.h")
    tree.write("kernels/a.c", "kernels/a.h", "kernels/a_private.h")
    tree.write("kernels/a_private.h", "kernels/a.h")  # a module with its private header
    tree.write("kernels/a_rest.c", "kernels/a.h", "kernels/a_private.h")
    tree.write("kernels/b.h", "kernels/a.h")
    tree.write("kernels/c.h", "kernels/b.h")
    tree.write("worker/worker.h", "worker/part.h", "kernels/c.h")
    tree.write("worker/part.h")
    tree.write("worker/part.c", "worker/worker.h", "worker/part.h")
    tree.expect_clean("circles")
    for path, *includes in (("kernels/a.h", "kernels/c.h"),                    # of headers
                            ("kernels/a.c", "kernels/a.h", "kernels/b.h"),     # of modules
                            ("kernels/a_rest.c", "kernels/a_private.h", "kernels/c.h"),  # through what implements a.h
                            ("worker/part.h", "worker/gate.h")):
        kept = (tree.folder / path).read_text()
        tree.write("worker/gate.h", "worker/part.h")
        tree.write(path, *includes)
        tree.expect_refused(f"{path} with {includes}", "a circle of modules", path.split("_")[0].split(".")[0],
                            check="circles")
        (tree.folder / path).write_text(kept)


def test_unknown_check(stack):
    code, lines = Tree(stack, "unknown").lint("dependancies")
    expect_equal((code, lines), (2, ["lint: there is no check 'dependancies'"]), "a check that there is not")


if __name__ == "__main__":
    harness.main([test_layers, test_circles, test_unknown_check])

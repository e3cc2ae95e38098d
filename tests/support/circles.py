"""circles.py FILE...: prints each circle of modules among C sources, one a line; tests/lint.sh calls it.

A module is x.c and x.h. Its private headers, and what implements them, belong to it: a header whose name ends in _private or
_internal, or that only files of its folder include whose names begin with the same word. worker/worker.h is left out: it
says what the stages share, and names all that is shared.
"""
import collections
import os
import re
import sys

SHARED = "worker/worker.h"
INCLUDE = re.compile(r'^\s*#\s*include "([^"]+)"', re.MULTILINE)


def word(path):
    return re.split(r"[_.]", path)[0]  # with its folder


def is_private(header, includers):
    stem = os.path.splitext(header)[0]
    return stem.endswith(("_private", "_internal")) or all(word(includer) == word(header) for includer in includers)


def find_modules(includes):
    """{file: its module's name}"""
    includers = collections.defaultdict(set)
    for file, headers in includes.items():
        for header in headers:
            includers[header].add(file)
    module = {file: file if file == SHARED else os.path.splitext(file)[0] for file in includes}
    for header in sorted(set(includes) & set(includers)):
        outside = {file for file in includers[header] if module[file] != module[header]}
        if header.endswith(".h") and outside and is_private(header, outside):
            names = {module[file] for file in outside | {header}}
            module.update({file: min(names) for file, name in module.items() if name in names})
    return module


def find_circles(edges):
    """The modules of each circle, by Tarjan's algorithm."""
    number, lowest, stack, circles = {}, {}, [], []

    def visit(node):
        number[node] = lowest[node] = len(number)
        stack.append(node)
        for other in sorted(edges[node]):
            if other not in number:
                visit(other)
            if other in stack:
                lowest[node] = min(lowest[node], lowest[other])
        if lowest[node] == number[node]:
            at = stack.index(node)
            circles.append(stack[at:])
            del stack[at:]

    for node in sorted(edges):
        if node not in number:
            visit(node)
    return [circle for circle in circles if len(circle) > 1]


def main(files):
    includes = {}
    for file in files:
        with open(file, encoding="utf-8") as opened:
            includes[file] = set(INCLUDE.findall(opened.read()))
    module = find_modules(includes)
    edges = {name: set() for name in module.values()}
    for file, headers in includes.items():
        if file != SHARED:
            edges[module[file]] |= {module[header] for header in headers if header in module} - {module[file]}
    for circle in find_circles(edges):
        print(f"{circle[0]}: a circle of modules: {', '.join(circle)}")


if __name__ == "__main__":
    main(sys.argv[1:])

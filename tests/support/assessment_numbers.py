"""assessment_numbers.py: whether every number in card.md and ethics.md stands in evaluation.json or manifest.json.

    assessment_numbers.py MODEL-DIR [EVALUATION.json]

A number counts as standing there where it is a number of one of the files, rounded to as many decimals as the document
shows; or part of a text of theirs. Free of that are the targets and bounds that the documents compare with, the names
of laws and standards, and the operator's own words, which stand in lines that begin with ">".
"""
import json
import pathlib
import re
import sys

TARGETS = {"0.92", "0.85", "0.95", "0.82", "0.80", "500", "0.05"}  # of the clinic, and of the fairness gate
BOUNDS = {"0.8", "0.5"}  # between which evaluate counts errors
CITATIONS = ["FD&C Act section 520(o)", "Regulation (EU) 2017/745, rule 11", "Regulation (EU) 2024/1689", "ISO 14971",
             "IEC 62304", "45 CFR 164.312", "21 CFR part 11"]
NUMBER = re.compile(r"(?<![\w.])-?\d+(?:\.\d+)?(?:e-?\d+)?(?![\w])")


def values(document):
    """Every number and every text in a JSON value, names of fields included."""
    if isinstance(document, dict):
        for name, item in document.items():
            yield name
            yield from values(item)
    elif isinstance(document, list):
        for item in document:
            yield from values(item)
    elif document is not None and not isinstance(document, bool):
        yield document


def stands(text, number):
    decimals = len(text.partition(".")[2])
    return format(number, f".{decimals}f") == text or float(text) == number


def complaints(document, sources):
    """One sentence for each number of the document (text of a file) that stands in none of the sources (JSON values)."""
    found = [value for source in sources for value in values(source)]
    numbers = [value for value in found if not isinstance(value, str)]
    texts = {value for value in found if isinstance(value, str) and NUMBER.search(value)}
    alternatives = "|".join(re.escape(text) for text in sorted(texts | set(CITATIONS), key=len, reverse=True))
    known = re.compile(rf"(?<![\w.])(?:{alternatives})(?!\w|\.\d)")
    for line in document.splitlines():
        if line.startswith(">"):
            continue
        plain = known.sub(" ", re.sub(r"\\([^\w\s])", r"\1", line))  # escapes are Markdown's
        for text in NUMBER.findall(plain):
            if text not in TARGETS | BOUNDS and not any(stands(text, number) for number in numbers):
                yield f"{text} stands in no source: {line}"


def main():
    folder = pathlib.Path(sys.argv[1])
    evaluation = sys.argv[2] if len(sys.argv) > 2 else folder / "evaluation.json"
    sources = [json.loads(pathlib.Path(evaluation).read_text()), json.loads((folder / "manifest.json").read_text())]
    found = [f"{name}: {sentence}" for name in ("card.md", "ethics.md")
             for sentence in complaints((folder / name).read_text(), sources)]
    print("\n".join(found) or "every number stands in evaluation.json or manifest.json")
    sys.exit(bool(found))


if __name__ == "__main__":
    main()

#!/usr/bin/env python3
"""test_foreign_images.py: how well a trained model's distance tells images of other things from lesions, and how many
lesions that it has not learnt from it would abstain from. Needs the dermoscopy folder, Pillow, and a model with a
reference that was trained on its folder ham200 with the default split; skips without them.

    test_foreign_images.py [--model DIR] [--data DIR] [--images N] [--precision NAME]

N of each kind, 60; 0: all there are, and a hundred of those that are made. Kinds: photographs whose red and blue a
broken program has swapped (drift_swapped), noise, pages of text, and pictures of other things that are drawn here.
Prints AUROC of distance and energy against the lesions of the test part.
"""
import argparse
import csv
import hashlib
import json
import pathlib
import random
import sys
import tempfile

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "support"))
import harness
from conditions import expect

try:
    from PIL import Image, ImageDraw, ImageFilter
except ImportError:
    Image = None

SIZE, MADE = (200, 150), 100
# Of the lesions a hundredth is expected beyond the 99th percentile of others; the test part differs a little from the
# validation part, and of sixty some more may lie there by chance.
LEAST_AUROC, MOST_ABSTAINED, BY_CHANCE = 0.9, 0.02, 4


def lesions_of_the_test_part(data):
    """One image of each lesion in the test part, by the rule in docs/FORMATS.md."""
    seen = {}
    with open(data / "images.csv", newline="") as file:
        for row in csv.DictReader(file):
            if row["source"] == "ham200":
                digest = hashlib.sha256(f"0 lesion {row['lesion_id']}".encode()).digest()
                if (int.from_bytes(digest[:8], "big") >> 11) / 2**53 < 0.15:
                    seen.setdefault(row["lesion_id"], data / row["file"])
    return [seen[lesion] for lesion in sorted(seen)]


def noise(draw, number):
    image = Image.frombytes("RGB", SIZE, draw.randbytes(3 * SIZE[0] * SIZE[1]))
    return image.filter(ImageFilter.GaussianBlur(number % 4)) if number % 4 else image


def text(draw, number):
    page = Image.new("RGB", SIZE, (255 - number % 30,) * 3)
    pen = ImageDraw.Draw(page)
    for line in range(4, SIZE[1] - 8, 12):
        words = ["".join(draw.choices("abcdefghilmnoprstuv", k=draw.randint(2, 9))) for _ in range(6)]
        pen.text((6, line), " ".join(words), fill=(draw.randint(0, 60),) * 3)
    return page


def random_colour(draw):
    return tuple(draw.randint(0, 255) for _ in range(3))


def drawn(draw, number):
    """Bars of a chart, a landscape, squares, or plates on a table."""
    image = Image.new("RGB", SIZE, random_colour(draw))
    pen = ImageDraw.Draw(image)
    if number % 4 == 0:
        for x in range(10, SIZE[0] - 10, 18):
            pen.rectangle((x, draw.randint(10, 140), x + 12, 145), fill=random_colour(draw))
    elif number % 4 == 1:
        for y in range(SIZE[1]):
            pen.line((0, y, SIZE[0], y), fill=(90 + y // 2, 140 + y // 3, 235 - y // 2))
        pen.polygon([(0, 150), (draw.randint(30, 90), draw.randint(50, 90)), (200, 150)], fill=(40, draw.randint(70, 130), 50))
        pen.ellipse((150, 15, 180, 45), fill=(250, 230, 120))
    elif number % 4 == 2:
        side = draw.randint(8, 30)
        for x in range(0, SIZE[0], side):
            for y in range(0, SIZE[1], side):
                if (x + y) // side % 2:
                    pen.rectangle((x, y, x + side, y + side), fill=random_colour(draw))
    else:
        for _ in range(6):
            x, y, radius = draw.randint(0, 200), draw.randint(0, 150), draw.randint(10, 45)
            pen.ellipse((x - radius, y - radius, x + radius, y + radius), fill=random_colour(draw), outline=(255,) * 3, width=4)
    return image


def make_pictures(folder, count):
    kinds = {}
    for kind in (noise, text, drawn):
        draw = random.Random(kind.__name__)
        kinds[kind.__name__] = []
        for number in range(count):
            path = folder / f"{kind.__name__}_{number}.jpg"
            kind(draw, number).save(path, quality=85)
            kinds[kind.__name__].append(path)
    return kinds


def classify(model, precision, files):
    done = harness.run("worker", "classify", "--model", model, "--precision", precision, *files, check=True, timeout_s=3600)
    return [json.loads(line)["ood"] for line in done.stdout.splitlines()]


def auroc(positives, negatives):
    """How often a positive lies above a negative; a tie counts half."""
    ranked = sorted([(value, 1) for value in positives] + [(value, 0) for value in negatives])
    below, wins, i = 0, 0.0, 0
    while i < len(ranked):
        end = i
        while end < len(ranked) and ranked[end][0] == ranked[i][0]:
            end += 1
        here = sum(label for _, label in ranked[i:end])
        wins += here * (below + (end - i - here) / 2)
        below += end - i - here
        i = end
    return wins / (len(positives) * len(negatives))


def evenly(files, count):
    return [files[i * len(files) // count] for i in range(count)] if 0 < count < len(files) else files


def reason_to_skip(model, data):
    if not data.is_dir():
        return "the dermoscopy folder is not there"
    if Image is None:
        return "Pillow is not there"
    manifest = model / "manifest.json"
    if not manifest.exists() or "reference" not in json.loads(manifest.read_text()):
        return f"{model} is no model with a reference"
    return None


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--model", type=pathlib.Path, default=harness.ROOT / "models/demo")
    parser.add_argument("--data", type=pathlib.Path, default=harness.HAM200.parent)
    parser.add_argument("--images", type=int, default=60)
    parser.add_argument("--precision", default="fp32")
    options = parser.parse_args()
    reason = reason_to_skip(options.model, options.data)
    if reason:
        print(f"skipped: {reason}", file=sys.stderr)
        sys.exit(harness.SKIPPED)
    with tempfile.TemporaryDirectory(prefix="skinsight-foreign-") as folder:
        kinds = {"swapped": sorted((options.data / "drift_swapped").glob("*.jpg")),
                 **make_pictures(pathlib.Path(folder), options.images or MADE)}
        lesions = evenly(lesions_of_the_test_part(options.data), options.images)
        known = classify(options.model, options.precision, lesions)
        abstained = sum(place["quantile"] > 0.99 for place in known)
        print(f"{len(known)} lesions of the test part: {abstained} ({abstained / len(known):.1%}) beyond the 99th percentile")
        for kind, files in kinds.items():
            others = classify(options.model, options.precision, evenly(files, options.images))
            areas = {field: auroc([place[field] for place in others], [place[field] for place in known])
                     for field in ("distance", "energy")}
            share = sum(place["quantile"] > 0.99 for place in others) / len(others)
            print(f"{kind}: {len(others)} images, AUROC of the distance {areas['distance']:.3f}, of the energy "
                  f"{areas['energy']:.3f}; {share:.0%} beyond the 99th percentile", flush=True)
            expect(areas["distance"] >= LEAST_AUROC, f"{kind} are not told from lesions")
    expect(abstained <= MOST_ABSTAINED * len(known) + BY_CHANCE, "too many lesions are beyond the 99th percentile")


if __name__ == "__main__":
    main()

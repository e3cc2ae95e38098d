#!/usr/bin/env python3
"""Writes tests/golden/preprocess.txt and tests/golden/jpeg/*.jpg: what torchvision and Pillow make of pictures.

    make_preprocess.py          from the repository's root; needs torch, torchvision, Pillow, numpy

Lines of preprocess.txt:
    rgb WIDTH HEIGHT SEED SHA256            of the floats made from the picture whose byte i is the low byte of
                                            splitmix64(SEED + i)
    jpeg NAME WIDTH HEIGHT SHA256 SHA256    of Pillow's RGB bytes and of the floats
    refused NAME                            Pillow raises an error, or the file is CMYK
Floats are little-endian float32 in the order channel, row, column.
"""
import hashlib
import io
import pathlib

import numpy
import PIL
import torchvision
from PIL import Image, features
from torchvision import transforms

SIDES = (1, 2, 3, 5, 16, 223, 224, 255, 256, 257, 500)
SIZES = [(width, height) for width in (1, 3, 224, 256, 500) for height in SIDES] + [
    (256, 1), (255, 257), (257, 255), (512, 512), (511, 513), (600, 450), (450, 600), (200, 150), (150, 200),
    (640, 480), (1022, 767), (767, 1022), (1023, 1024), (1920, 1080), (1080, 1920), (2313, 1985), (4000, 7),
    (7, 4000), (65500, 2), (2, 65500), (3872, 2592),
]  # fmt: skip

PIPELINE = transforms.Compose(
    [
        transforms.Resize((256, 256), transforms.InterpolationMode.BILINEAR, antialias=True),
        transforms.CenterCrop(224),
        transforms.ToTensor(),
        transforms.Normalize((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
    ]
)


def splitmix_bytes(seed, count):
    z = numpy.arange(seed, seed + count, dtype=numpy.uint64) + numpy.uint64(0x9E3779B97F4A7C15)
    z = (z ^ (z >> numpy.uint64(30))) * numpy.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> numpy.uint64(27))) * numpy.uint64(0x94D049BB133111EB)
    return (z ^ (z >> numpy.uint64(31))).astype(numpy.uint8)


def noise(width, height, seed):
    return Image.fromarray(splitmix_bytes(seed, width * height * 3).reshape(height, width, 3))


def lesion(width, height, seed):
    """A brown disc on skin with a little noise: small as a JPEG, with edges and colour."""
    y, x = numpy.mgrid[0:height, 0:width]
    distance = numpy.hypot((x - width * 0.45) / max(width, 1), (y - height * 0.55) / max(height, 1))
    inside = numpy.clip((0.3 - distance) * 20, 0, 1)[..., None]
    colour = numpy.array((224, 178, 160)) * (1 - inside) + numpy.array((92, 48, 40)) * inside
    grain = splitmix_bytes(seed, width * height * 3).reshape(height, width, 3) % 16
    return Image.fromarray(numpy.clip(colour + grain, 0, 255).astype(numpy.uint8))


def sha256(array):
    return hashlib.sha256(numpy.ascontiguousarray(array).tobytes()).hexdigest()


def floats_sha256(image):
    return sha256(PIPELINE(image).numpy().astype("<f4"))


def encode(image, **options):
    output = io.BytesIO()
    image.save(output, "JPEG", **options)
    return output.getvalue()


def with_byte_flipped(data, share):
    damaged = bytearray(data)
    damaged[int(len(data) * share)] ^= 0x55
    return bytes(damaged)


def jpegs():
    picture = lesion(131, 97, 7)
    s420 = encode(picture, quality=85, subsampling="4:2:0")
    progressive = encode(picture, quality=85, progressive=True)
    exif = Image.Exif()
    exif[0x0112] = 6
    return {
        "s420": s420,
        "s422": encode(picture, quality=85, subsampling="4:2:2"),
        "s444": encode(picture, quality=90, subsampling="4:4:4"),
        "grey": encode(picture.convert("L"), quality=85),
        "progressive": progressive,
        "progressive_grey": encode(picture.convert("L"), quality=80, progressive=True),
        "restart": encode(picture, quality=80, restart_marker_blocks=3),
        "adobe_rgb": encode(picture, quality=80, keep_rgb=True),
        "orientation_6": encode(picture, quality=80, exif=exif),
        "one_pixel": encode(lesion(1, 1, 1), quality=85),
        "narrow": encode(lesion(3, 300, 2), quality=85),
        "wide": encode(lesion(300, 3, 3), quality=85),
        "odd_420": encode(lesion(33, 17, 4), quality=85, subsampling="4:2:0"),
        "cmyk": encode(picture.convert("CMYK"), quality=80),
        "bytes_after_end": s420 + b"more bytes after the end of the image",
        "damaged_baseline": with_byte_flipped(s420, 0.6),
        "damaged_progressive": with_byte_flipped(progressive, 0.5),
        "damaged_restart": with_byte_flipped(encode(picture, quality=80, restart_marker_blocks=3), 0.7),
        "without_end": s420[:-2],
        "truncated": s420[: len(s420) * 2 // 3],
        "truncated_progressive": progressive[: len(progressive) * 2 // 3],
        "truncated_header": s420[:200],
    }


def jpeg_line(name, data):
    try:
        image = Image.open(io.BytesIO(data))
        if image.mode == "CMYK":
            return f"refused {name}"
        rgb = image.convert("RGB")
    except (OSError, SyntaxError):
        return f"refused {name}"
    return f"jpeg {name} {rgb.width} {rgb.height} {sha256(numpy.asarray(rgb))} {floats_sha256(rgb)}"


def main():
    folder = pathlib.Path("tests/golden")
    (folder / "jpeg").mkdir(exist_ok=True)
    lines = [
        f"# torchvision {torchvision.__version__.split('+')[0]}, Pillow {PIL.__version__} with libjpeg-turbo "
        f"{features.version('libjpeg_turbo')}; written by make_preprocess.py, which says what the lines mean"
    ]
    for seed, (width, height) in enumerate(SIZES, start=1):
        lines.append(f"rgb {width} {height} {seed} {floats_sha256(noise(width, height, seed))}")
    for name, data in jpegs().items():
        (folder / "jpeg" / f"{name}.jpg").write_bytes(data)
        lines.append(jpeg_line(name, data))
    (folder / "preprocess.txt").write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()

#!/usr/bin/env python3
"""make_reference.py: writes tests/golden/reference.txt with NumPy and scikit-learn: what a model has learnt
(kernels/model/reference_fit.h), and how far other images lie from it.

    python3 tests/golden/make_reference.py > tests/golden/reference.txt

Embeddings are made from a seed by both sides: value j of image i of a part with the class c is
    unit("<part>", i * WIDTH + j) * (1 + j % 3) + (unit("class", c * WIDTH + j) if the part has classes else 1 / 4)
with unit of random_weights.py. The last feature is always 0, as one that a ReLU has switched off. Image i has the
class (i * i) % 7: 0, 1, 2 or 4; the others have no images. Lines:

    shrinkage S
    quantiles 101 numbers
    image I distance D quantile Q
"""
import numpy as np
import sklearn
from sklearn.covariance import LedoitWolf

import random_weights

SEED, WIDTH, CLASSES, TRAINING, VALIDATION, OTHERS = 11, 12, 8, 90, 61, 6


def embeddings(part, images, labels):
    noise = random_weights.unit(SEED, part, images * WIDTH).reshape(images, WIDTH).astype(np.float64)
    centres = random_weights.unit(SEED, "class", CLASSES * WIDTH).reshape(CLASSES, WIDTH).astype(np.float64)
    values = noise * (1 + np.arange(WIDTH) % 3) + (0.25 if labels is None else centres[labels])
    values[:, -1] = 0
    return values.astype(np.float32).astype(np.float64)


def labels_of(images):
    return np.arange(images) ** 2 % 7


def main():
    labels = labels_of(TRAINING)
    training = embeddings("training", TRAINING, labels)
    classes = np.unique(labels)
    means = np.stack([training[labels == c].mean(0) for c in classes])
    residuals = training - means[np.searchsorted(classes, labels)]
    fit = LedoitWolf(assume_centered=True).fit(residuals)
    inverse = np.linalg.inv(fit.covariance_)

    def distance(values):
        to_means = values[:, None, :] - means[None]
        return np.sqrt(np.einsum("ncd,de,nce->nc", to_means, inverse, to_means).min(1))

    quantiles = np.quantile(distance(embeddings("validation", VALIDATION, labels_of(VALIDATION))), np.linspace(0, 1, 101))
    others = distance(embeddings("others", OTHERS, None))
    print(f"# tests/golden/make_reference.py: NumPy {np.__version__}, scikit-learn {sklearn.__version__}, double precision")
    print(f"shrinkage {fit.shrinkage_:.12g}")
    print("quantiles " + " ".join(f"{value:.9g}" for value in quantiles))
    for i, value in enumerate(others):
        print(f"image {i} distance {value:.9g} quantile {np.interp(value, quantiles, np.linspace(0, 1, 101)):.9g}")


if __name__ == "__main__":
    main()

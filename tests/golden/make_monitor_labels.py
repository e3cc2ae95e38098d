#!/usr/bin/env python3
"""make_monitor_labels.py: what scikit-learn says of the lesions of tests/unit/test_monitor_labels.c, which follow from a
formula; prints the lines of its table. Needs NumPy and scikit-learn."""
import numpy as np
from sklearn.metrics import balanced_accuracy_score, roc_auc_score

COUNT, CLASSES, BINS = 400, 8, 15


def lesions():
    truth = np.array([i * 7 % CLASSES for i in range(COUNT)])
    logits = np.array([[((i * 37 + c * 91 + 13 * (i * i % 101)) % 97) / 24 + (1.5 if c == truth[i] else 0)
                        for c in range(CLASSES)] for i in range(COUNT)])
    p = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    return truth, p.astype(np.float32).astype(np.float64)


def ece_of(confidence, right):
    order = np.argsort(confidence, kind="stable")
    return sum(abs(confidence[part].sum() - right[part].sum()) for part in np.array_split(order, BINS)) / len(order)


truth, p = lesions()
said = p.argmax(axis=1)
confidence = p.max(axis=1)
one_hot = np.eye(CLASSES)[truth]
aurocs = [roc_auc_score(truth == c, p[:, c]) for c in range(CLASSES)]
# The area that the probabilities let expect: each lesion is a positive with weight p and a negative with 1 - p.
expected = [roc_auc_score(np.r_[np.ones(COUNT), np.zeros(COUNT)], np.r_[p[:, c], p[:, c]],
                          sample_weight=np.r_[p[:, c], 1 - p[:, c]]) for c in range(CLASSES)]
for name, value in {
    "accuracy": (said == truth).mean(),
    "balanced_accuracy": balanced_accuracy_score(truth, said),
    "macro_auroc": np.mean(aurocs),
    "ece": ece_of(confidence, said == truth),
    "brier": ((p - one_hot) ** 2).sum(axis=1).mean(),
    "accuracy_gap": (said == truth).mean() - confidence.mean(),
    "auroc_gap": np.mean(aurocs) - np.mean(expected),
}.items():
    print(f"    [JUDGED_{name.upper()}] = {value:.12g},")
print("    auroc of MEL:", f"{aurocs[0]:.12g}")

# Patients drawn again, by NumPy's generator: intervals to compare with loosely.
generator = np.random.default_rng(1)
draws = []
for _ in range(2000):
    patients = generator.integers(0, COUNT // 2, COUNT // 2)
    rows = np.r_[2 * patients, 2 * patients + 1]
    draws.append((np.mean([roc_auc_score(truth[rows] == c, p[rows, c]) for c in range(CLASSES)]),
                  (said[rows] == truth[rows]).mean()))
print("    macro_auroc, accuracy:", np.quantile(draws, [0.025, 0.975], axis=0).T.round(4).tolist())

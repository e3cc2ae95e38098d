#!/usr/bin/env python3
"""make_evaluation.py: writes tests/golden/evaluation with scikit-learn and SciPy: two models' predictions of the same
images, what a report of the first must say, and what a comparison of the two must say.

    python3 tests/golden/make_evaluation.py

a/predictions.csv, b/predictions.csv: 240 images of seven classes (no VASC, seven DF) and 190 lesions, some images
without one; probabilities in thousandths, so that scores tie, but each image's greatest one differs from all others.
report.json, comparison.json: the closed forms alone; a bootstrap's interval depends on the draws. The operating point
is chosen on b. DeLong by its definition, pair by pair.
"""
import csv
import hashlib
import json
import os

import numpy as np
from scipy import stats
from sklearn import metrics

CLASSES = ["MEL", "NV", "BCC", "AK", "BKL", "DF", "VASC", "SCC"]
COUNTS = [40, 90, 35, 20, 30, 7, 0, 18]
BENIGN = [1, 4, 5, 6]
FOLDER = os.path.join(os.path.dirname(os.path.abspath(__file__)), "evaluation")
LEAST_POSITIVES, BINS, WANTED = 10, 15, 0.92


# ---- predictions ----

def probabilities(rng, labels, skill):
    scores = rng.gumbel(size=(len(labels), 8)) + skill * np.eye(8)[labels]
    shares = np.exp(scores) / np.exp(scores).sum(1, keepdims=True)
    thousandths = np.maximum(1, np.floor(shares * 1000)).astype(int)
    for i, row in enumerate(thousandths):
        row[row.argmax()] += 1000 - row.sum()
        others = np.argsort(row)
        if row[others[-1]] == row[others[-2]]:
            row[others[-1]] += 1
            row[others[-2]] -= 1
    result = thousandths / 1000
    for i, row in enumerate(result):
        top, second = np.argsort(row)[::-1][:2]
        row[top] = round(row[top] + i * 1e-6, 6)
        row[second] = round(row[second] - i * 1e-6, 6)
    return result


def write(name, labels, lesions, atypical, p):
    os.makedirs(os.path.join(FOLDER, name), exist_ok=True)
    with open(os.path.join(FOLDER, name, "predictions.csv"), "w", newline="") as file:
        table = csv.writer(file, lineterminator="\n")
        table.writerow(["file", "sha256", "lesion_id", "label"] + [f"p_{code}" for code in CLASSES] + ["atypical"])
        for i, label in enumerate(labels):
            table.writerow([f"image {i}, of {CLASSES[label]}.jpg", hashlib.sha256(str(i).encode()).hexdigest(),
                            lesions[i], CLASSES[label]] + [repr(float(value)) for value in p[i]] + [atypical[i]])


# ---- figures ----

def keys_of(lesions):
    """A number for each lesion; an image without one is a lesion of its own."""
    names = [lesion or f"image {i}" for i, lesion in enumerate(lesions)]
    return np.unique(names, return_inverse=True)[1]



def design_effect(won, keys):
    """Kish's, with the correlation within lesions from a one-way analysis of variance (Donner 1986)."""
    groups = [won[keys == key].astype(float) for key in np.unique(keys)]
    n, k = len(won), len(groups)
    sizes = np.array([len(group) for group in groups])
    mean_size = (sizes**2).sum() / n
    if n == k:
        return 1.0
    if k == 1 or won.all() or not won.any():
        return mean_size
    between = sum(len(group) * (group.mean() - won.mean())**2 for group in groups) / (k - 1)
    within = sum(((group - group.mean())**2).sum() for group in groups) / (n - k)
    size = (n - (sizes**2).sum() / n) / (k - 1)
    return 1 + (mean_size - 1) * np.clip((between - within) / (between + (size - 1) * within), 0, 1)


def share(won, among, keys):
    """Of the images `among`, those that are `won`: SciPy's Wilson where each is of a lesion of its own."""
    won, keys = won[among], keys[among]
    n, right = len(won), int(won.sum())
    if n == 0:
        return {"estimate": None, "n": 0}
    effect = design_effect(won, keys)
    p, trials, z = right / n, n / effect, stats.norm.ppf(0.975)
    centre, half = p + z * z / (2 * trials), z * np.sqrt(p * (1 - p) / trials + z * z / (4 * trials * trials))
    low, high = (centre - half) / (1 + z * z / trials), (centre + half) / (1 + z * z / trials)
    if effect == 1:
        interval = stats.binomtest(right, n).proportion_ci(0.95, "wilson")
        assert abs(low - interval.low) < 1e-12 and abs(high - interval.high) < 1e-12
        low, high = interval.low, interval.high
    return {"estimate": p, "low": low if right else 0.0, "high": high if right < n else 1.0, "n": n,
            "method": "Wilson" if effect == 1 else "Wilson, design effect of lesions"}


def components(scores, positive):
    """DeLong's components: for each positive the share of negatives below it, and the other way round."""
    wins = (scores[positive][:, None] > scores[~positive][None, :]) + 0.5 * (
        scores[positive][:, None] == scores[~positive][None, :])
    return wins.mean(1), wins.mean(0)


def area(scores, positive):
    v10, v01 = components(scores, positive)
    estimate = metrics.roc_auc_score(positive, scores)
    assert abs(estimate - v10.mean()) < 1e-12
    return estimate, v10, v01


def covariance(a, b, positive, keys):
    """Obuchowski 1997: of the areas a and b, by their sums over each lesion."""
    (theta_a, a10, a01), (theta_b, b10, b01) = a, b
    m, n, lesions = len(a10), len(a01), np.unique(keys)
    of, off = keys[positive], keys[~positive]
    x, y = ([(v[of == key] - theta).sum() for key in lesions] for v, theta in ((a10, theta_a), (b10, theta_b)))
    u, v = ([(w[off == key] - theta).sum() for key in lesions] for w, theta in ((a01, theta_a), (b01, theta_b)))
    i10, i01, i = len(np.unique(of)), len(np.unique(off)), len(lesions)
    result = (i10 / (i10 - 1) * np.dot(x, y) / m**2 + i01 / (i01 - 1) * np.dot(u, v) / n**2 +
              i / (i - 1) * (np.dot(x, v) + np.dot(y, u)) / (m * n))
    if i == len(keys):
        assert abs(result - np.cov(a10, b10)[0, 1] / m - np.cov(a01, b01)[0, 1] / n) < 1e-12  # DeLong's
    return result


def area_estimate(scores, positive, keys):
    found = area(scores, positive)
    estimate, variance = found[0], covariance(found, found, positive, keys)
    half = stats.norm.ppf(0.975) * np.sqrt(variance) / (estimate * (1 - estimate))
    logit = np.log(estimate / (1 - estimate))
    return {"estimate": estimate, "low": 1 / (1 + np.exp(half - logit)), "high": 1 / (1 + np.exp(-half - logit)),
            "n": len(scores)}


def classes_of(labels, said, p, keys):
    result = []
    for c, code in enumerate(CLASSES):
        truth, called = labels == c, said == c
        entry = {"class": code, "n": int(truth.sum()), "sensitivity": share(said == c, truth, keys),
                 "specificity": share(~called, ~truth, keys),
                 "precision": share(truth, called, keys)}
        if truth.any():
            assert entry["sensitivity"]["estimate"] == metrics.recall_score(truth, called)
            either = share(truth & called, truth | called, keys)
            entry["f1"] = {"estimate": metrics.f1_score(truth, called),
                           "low": 2 * either["low"] / (1 + either["low"]),
                           "high": 2 * either["high"] / (1 + either["high"]), "n": either["n"]}
        else:
            entry["f1"] = {"estimate": None}
        entry["auroc"] = area_estimate(p[:, c], truth, keys) if truth.sum() >= LEAST_POSITIVES else {"estimate": None}
        entry["ece"] = error_of(bins_of(p[:, c], truth))
        result.append(entry)
    return result


def bins_of(confidence, right):
    result = []
    for rows in np.array_split(np.argsort(confidence, kind="stable"), BINS):
        result.append({"low": confidence[rows].min(), "high": confidence[rows].max(), "n": len(rows),
                       "confidence": confidence[rows].mean(), "accuracy": right[rows].mean()})
    return result


def error_of(bins):
    return sum(abs(b["confidence"] - b["accuracy"]) * b["n"] for b in bins) / sum(b["n"] for b in bins)


def error_by_width(confidence, right):
    """Guo et al. 2017: bins (0, 1/15], (1/15, 2/15], ..."""
    place = np.ceil(confidence * BINS).astype(int)
    return sum(abs(confidence[place == i].mean() - right[place == i].mean()) * (place == i).mean()
               for i in np.unique(place))


def targets_of(metrics_, point):
    """Verdicts where the interval is a closed form."""
    def verdict(estimate, above):
        return "met" if estimate["low"] > above else "missed" if estimate["high"] <= above else "not_enough"

    return [{"figure": "metrics.balanced_accuracy", "above": 0.82}, {"figure": "metrics.macro_auroc", "above": 0.95},
            *({"figure": f"metrics.{name}", "above": above, "verdict": verdict(metrics_[name], above)}
              for name, above in (("melanoma_sensitivity", 0.92), ("specificity", 0.85))),
            {"figure": "atypical.balanced_accuracy", "above": 0.8},
            *({"figure": f"operating_point.{name}", "above": above, "verdict": verdict(point[name], above)}
              for name, above in (("sensitivity", 0.92), ("specificity", 0.85)))]


def operating_point(labels, p, on_labels, on_p, keys):
    _, rate, thresholds = metrics.roc_curve(on_labels == 0, on_p[:, 0], drop_intermediate=False)
    threshold = thresholds[np.argmax(rate >= WANTED)]
    called, truth = p[:, 0] >= threshold, labels == 0
    return {"threshold": threshold, "sensitivity": share(called, truth, keys),
            "specificity": share(~called, ~truth, keys), "chosen_on": "validation"}


def errors_of(labels, said, confidence):
    wrong = labels != said
    confusion = metrics.confusion_matrix(labels, said, labels=range(8))
    pairs = sorted(((-confusion[t, s], t, s) for t in range(8) for s in range(8) if t != s and confusion[t, s]))
    return {"high": int((wrong & (confidence > 0.8)).sum()),
            "medium": int((wrong & (confidence >= 0.5) & (confidence <= 0.8)).sum()),
            "low": int((wrong & (confidence < 0.5)).sum()),
            "pairs": [{"truth": CLASSES[t], "said": CLASSES[s], "n": int(-n)} for n, t, s in pairs]}


def group(labels, said, keys):
    melanoma = labels == 0
    return {"n": len(labels), "balanced_accuracy": {"estimate": metrics.balanced_accuracy_score(labels, said)},
            "melanoma_sensitivity": share(said == 0, melanoma, keys)}


def report(labels, lesions, atypical, p, other):
    said, confidence = p.argmax(1), p.max(1)
    right = said == labels
    keys = keys_of(lesions)
    classes = classes_of(labels, said, p, keys)
    bins = bins_of(confidence, right)
    benign, called_benign = np.isin(labels, BENIGN), np.isin(said, BENIGN)
    areas = [entry["auroc"]["estimate"] for entry in classes if entry["auroc"]["estimate"] is not None]
    named = [lesion for lesion in lesions if lesion]
    result = {
        "schema": "skinsight.evaluation.v1",
        "data": {"images": len(labels), "lesions": len(set(named)) + len(lesions) - len(named)},
        "metrics": {
            "accuracy": share(right, labels >= 0, keys),
            "balanced_accuracy": {"estimate": metrics.balanced_accuracy_score(labels, said), "n": len(labels)},
            "macro_auroc": {"estimate": np.mean(areas)},
            "melanoma_sensitivity": classes[0]["sensitivity"], "melanoma_specificity": classes[0]["specificity"],
            "specificity": share(called_benign, benign, keys),
            "ece": {"estimate": error_of(bins)},
            "brier": np.mean(((p - np.eye(8)[labels]) ** 2).sum(1)),
            "nll": metrics.log_loss(labels, p, labels=range(8))},
        "operating_point": operating_point(labels, p, labels, other, keys),
        "classes": classes,
        "confusion": metrics.confusion_matrix(labels, said, labels=range(8)).tolist(),
        "calibration": {"bins": bins, "ece_width": {"estimate": error_by_width(confidence, right)},
                        "ece_classwise": {"estimate": np.mean([entry["ece"] for entry in classes])}},
        "atypical": group(labels[atypical == 1], said[atypical == 1], keys[atypical == 1]),
        "errors": errors_of(labels, said, confidence)}
    result["targets"] = targets_of(result["metrics"], result["operating_point"])
    return result


# ---- comparison ----

def delong(labels, a, b, keys):
    result = []
    for c, code in enumerate(CLASSES):
        truth = labels == c
        if truth.sum() < LEAST_POSITIVES:
            continue
        one, two = area(a[:, c], truth), area(b[:, c], truth)
        variance = (covariance(one, one, truth, keys) + covariance(two, two, truth, keys) -
                    2 * covariance(one, two, truth, keys))
        z = (one[0] - two[0]) / np.sqrt(variance)
        result.append({"class": code, "auroc_a": one[0], "auroc_b": two[0], "z": z, "p": 2 * stats.norm.sf(abs(z))})
    return result


def mcnemar(right_a, right_b, keys):
    """Of lesions: which model is right about more of its images."""
    ahead = [(right_a[keys == key].astype(int) - right_b[keys == key]).sum() for key in np.unique(keys)]
    b, c = int((np.array(ahead) > 0).sum()), int((np.array(ahead) < 0).sum())
    return {"b": b, "c": c, "p": stats.binomtest(b, b + c).pvalue}


def few_lesions(labels, keys):
    return [code for c, code in enumerate(CLASSES) if 0 < len(np.unique(keys[labels == c])) < LEAST_POSITIVES]


def comparison(labels, lesions, atypical, a, b):
    said_a, said_b = a.argmax(1), b.argmax(1)
    keys = keys_of(lesions)
    few = few_lesions(labels[atypical == 1], keys[atypical == 1])
    rare = (atypical == 1) & ~np.isin(np.array(CLASSES)[labels], few)
    classes = []
    for c, code in enumerate(CLASSES):
        truth = labels == c
        entry = {"class": code, "n": int(truth.sum()), "sensitivity_a": None, "sensitivity_b": None,
                 "change_percent": None}
        if truth.any():
            one, two = (said_a[truth] == c).mean(), (said_b[truth] == c).mean()
            entry.update(sensitivity_a=one, sensitivity_b=two, change_percent=100 * (two - one) / one if one else None)
        classes.append(entry)

    def difference(rows):
        return (metrics.balanced_accuracy_score(labels[rows], said_b[rows]) -
                metrics.balanced_accuracy_score(labels[rows], said_a[rows]))

    return {"schema": "skinsight.comparison.v1", "n": len(labels),
            "mcnemar": mcnemar(said_a == labels, said_b == labels, keys), "delong": delong(labels, a, b, keys), "classes": classes,
            "non_inferiority": {"metric": "balanced_accuracy", "few_lesions": few_lesions(labels, keys), "difference": {"estimate": difference(labels >= 0)}},
            "superiority_atypical": {"metric": "balanced_accuracy", "n": int(rare.sum()), "few_lesions": few,
                                     "difference": {"estimate": difference(rare)},
                                     "mcnemar": mcnemar((said_a == labels)[rare], (said_b == labels)[rare], keys[rare])}}


def plain(value):
    """NumPy's numbers as Python's."""
    if isinstance(value, dict):
        return {key: plain(entry) for key, entry in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(entry) for entry in value]
    return value.item() if isinstance(value, np.generic) else value


def save(name, value):
    with open(os.path.join(FOLDER, name), "w") as file:
        json.dump(plain(value), file, indent=1)
        file.write("\n")


def main():
    rng = np.random.default_rng(11)
    labels = rng.permutation(np.repeat(np.arange(8), COUNTS))
    lesions = ["" if i % 17 == 0 else f"L{i // 2 if i % 5 == 0 else 1000 + i}" for i in range(len(labels))]
    lesions = [lesions[i - 1] if i % 6 == 1 and lesions[i - 1] and labels[i] == labels[i - 1] else lesions[i]
               for i in range(len(labels))]
    atypical = np.array([int(i % 3 == 0) for i in range(len(labels))])
    a, b = probabilities(rng, labels, 1.6), probabilities(rng, labels, 2.2)
    write("a", labels, lesions, atypical, a)
    write("b", labels, lesions, atypical, b)
    save("report.json", report(labels, lesions, atypical, a, b))
    save("comparison.json", comparison(labels, lesions, atypical, a, b))


if __name__ == "__main__":
    main()

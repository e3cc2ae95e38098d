"""synthetic_evaluation.py: an evaluation (skinsight.evaluation.v1) in which no two measured numbers are alike, so that a
number in a document shows where it comes from. As a program it prints one, as evaluation.c writes it: the seed of
tests/fuzz/corpus/fuzz_evaluation.
"""
import json

CLASSES = ["MEL", "NV", "BCC", "AK", "BKL", "DF", "VASC", "SCC"]
LEVEL = 0.95
# The synthetic figures are all far below.
TARGETS = [{"figure": figure, "above": above, "verdict": "missed"}
           for figure, above in (("metrics.balanced_accuracy", 0.82), ("metrics.macro_auroc", 0.95),
                                 ("metrics.melanoma_sensitivity", 0.92), ("metrics.specificity", 0.85),
                                 ("atypical.balanced_accuracy", 0.80), ("operating_point.sensitivity", 0.92),
                                 ("operating_point.specificity", 0.85))]
SHARES = 900  # shares lie 1/900 apart: different ones differ in their third decimal


class Numbers:
    """Each share and each count is handed out once."""

    def __init__(self, start):
        self.share, self.count = 0, 1000 + start

    def next_count(self):
        self.count += 1
        return self.count

    def next_share(self):
        self.share = (self.share + 7) % SHARES
        return (self.share + 50) / 1000

    def estimate(self):
        low, value, high = sorted(self.next_share() for _ in range(3))
        return {"estimate": value, "low": low, "high": high, "n": self.next_count(), "method": "Wilson", "level": LEVEL}

    def none(self, reason):
        return {"estimate": None, "n": self.next_count(), "reason": reason}


def group(numbers, thin=False):
    return {"n": numbers.next_count(), "balanced_accuracy": numbers.estimate(),
            "melanoma_sensitivity": numbers.none("fewer than 10 melanomas") if thin else numbers.estimate()}


def evaluation(start=0):
    numbers = Numbers(start)
    names = ["accuracy", "balanced_accuracy", "macro_auroc", "melanoma_sensitivity", "melanoma_specificity", "specificity",
             "ece"]
    return {
        "schema": "skinsight.evaluation.v1",
        "model": {"model_version": "vit-tiny-v0.1.0", "architecture": "vit_tiny_patch16_224", "weights_sha256": "5a" * 32,
                  "precision": "fp32", "trained": True},
        "data": {"sha256": "da" * 32, "images": numbers.next_count(), "lesions": numbers.next_count(), "part": "test"},
        "metrics": {**{name: numbers.estimate() for name in names}, "brier": numbers.next_share(),
                    "nll": numbers.next_share()},
        "operating_point": {"threshold": numbers.next_share(), "sensitivity": numbers.estimate(),
                            "specificity": numbers.estimate(), "chosen_on": "validation"},
        "targets": TARGETS,
        "classes": [{"class": code, "n": numbers.next_count(),
                     **{name: numbers.estimate() for name in ("sensitivity", "specificity", "precision", "f1", "auroc")},
                     "ece": numbers.next_share()}
                    for code in CLASSES],
        "confusion": [[numbers.next_count() for _ in CLASSES] for _ in CLASSES],
        "calibration": {"temperature": numbers.next_share(),
                        "bins": [{"low": 0.25, "high": 0.5, "n": numbers.next_count(), "confidence": numbers.next_share(),
                                  "accuracy": numbers.next_share()}],
                        "ece_null": numbers.next_share(), "ece_width": numbers.estimate(),
                        "ece_classwise": numbers.estimate()},
        "subgroups": [{"by": by, "value": value, **group(numbers, thin)}
                      for by, value, thin in (("age", "below 30", True), ("age", "30 to 49", False),
                                              ("age", "50 to 69", False), ("age", "unknown", False),
                                              ("sex", "female", False), ("sex", "male", False),
                                              ("lesion_location", "upper back | <b>", False))],
        "atypical": group(numbers),
        "errors": {"high": numbers.next_count(), "medium": numbers.next_count(), "low": numbers.next_count(),
                   "pairs": [{"truth": truth, "said": said, "n": numbers.next_count()}
                             for truth, said in (("MEL", "NV"), ("NV", "MEL"), ("BKL", "MEL"), ("MEL", "BKL"))]},
    }


def text(value):
    """JSON with floats of 17 significant digits and without blanks."""
    if isinstance(value, dict):
        return "{" + ",".join(f"{json.dumps(name)}:{text(item)}" for name, item in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ",".join(map(text, value)) + "]"
    return f"{value:.17g}" if isinstance(value, float) else json.dumps(value)


if __name__ == "__main__":
    print(text(evaluation()), end="")

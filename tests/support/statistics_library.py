"""statistics_library.py: common/statistics as Python calls it (tests/CMakeLists.txt builds it as a library of its own).

    Statistics(path).fisher_p(Share(3, 4), Share(1, 4), GREATER)

Arrays of doubles and counts are lists; NULL is None.
"""
import ctypes
from ctypes import POINTER, Structure, c_bool, c_double, c_int, c_int64, c_size_t, c_void_p

GREATER, LESS, TWO_SIDED = range(3)
SIDES = {"greater": GREATER, "less": LESS, "two-sided": TWO_SIDED}
CASE_MIX_MOST_CLASSES = 32


def _struct(name, **fields):
    return type(name, (Structure,), {"_fields_": list(fields.items())})


Interval = _struct("Interval", low=c_double, high=c_double)
Share = _struct("Share", successes=c_int64, trials=c_int64)
TrueShare = _struct("TrueShare", trials=c_int64, share=c_double)
McNemar = _struct("McNemar", b=c_int64, c=c_int64, p=c_double, mid_p=c_double, chi_square=c_double,
                  chi_square_corrected=c_double)
WeightedValues = _struct("WeightedValues", values=POINTER(c_double), weights=POINTER(c_double), count=c_size_t)
GTest = _struct("GTest", g=c_double, df=c_double, p=c_double)
ChiSquareTest = _struct("ChiSquareTest", statistic=c_double, df=c_double, p=c_double, merged=c_size_t)
Contingency = _struct("Contingency", counts=POINTER(c_int64), rows=c_size_t, columns=c_size_t)
Moments = _struct("Moments", n=c_double, mean=c_double, variance=c_double)
Welch = _struct("Welch", difference=c_double, t=c_double, df=c_double, p=c_double, p_greater=c_double, interval=Interval)
ComparisonPlan = _struct("ComparisonPlan", alpha=c_double, power=c_double, two_sided=c_bool, ratio=c_double)
SequentialPlan = _struct("SequentialPlan", spending=c_int, alpha=c_double, two_sided=c_bool,
                         information=POINTER(c_double), looks=c_int)
ConfidenceSequence = _struct("ConfidenceSequence", alpha=c_double, planned_n=c_double)
CaseMix = _struct("CaseMix", shares=c_double * CASE_MIX_MOST_CLASSES, errors=c_double * CASE_MIX_MOST_CLASSES,
                  condition=c_double, clipped=c_bool, remainder=c_double)
ExpectedPerformance = _struct("ExpectedPerformance", true_positives=c_double, false_positives=c_double,
                              false_negatives=c_double, true_negatives=c_double, sensitivity=c_double,
                              specificity=c_double, accuracy=c_double, auroc=c_double)
RankInterval = _struct("RankInterval", low=c_int64, high=c_int64)
ScoredImages = _struct("ScoredImages", is_positive=POINTER(c_bool), clusters=c_void_p, count=c_size_t)
Auroc = _struct("Auroc", estimate=c_double, variance=c_double, positives=c_size_t, negatives=c_size_t,
                positive_clusters=c_size_t, negative_clusters=c_size_t)
BernoulliCusum = _struct("BernoulliCusum", event=c_double, none=c_double)

DOUBLES, COUNTS = POINTER(c_double), POINTER(c_int64)
FUNCTIONS = {
    "interval_wilson": (Interval, Share, c_double),
    "interval_clopper_pearson": (Interval, Share, c_double),
    "mcnemar_test": (McNemar, c_int64, c_int64),
    "auroc_of": (Auroc, POINTER(ScoredImages), DOUBLES),
    **{f"divergence_{name}": (c_double, DOUBLES, DOUBLES, c_size_t)
       for name in ("kl", "js", "psi", "total_variation", "greatest", "hellinger")},
    "divergence_entropy": (c_double, DOUBLES, c_size_t),
    "divergence_wasserstein": (c_double, POINTER(WeightedValues), POINTER(WeightedValues)),
    "divergence_g_known": (GTest, COUNTS, DOUBLES, c_size_t),
    "divergence_g_two_samples": (GTest, COUNTS, COUNTS, c_size_t),
    "adjust_false_discovery_rate": (None, DOUBLES, c_size_t, DOUBLES),
    "adjust_holm": (None, DOUBLES, c_size_t, DOUBLES),
    "chi_square_fit": (ChiSquareTest, COUNTS, DOUBLES, c_size_t, c_double),
    "chi_square_independence": (ChiSquareTest, POINTER(Contingency)),
    "chi_square_residual": (c_double, POINTER(Contingency), c_size_t, c_size_t),
    "fisher_p": (c_double, Share, Share, c_int),
    "fisher_odds_ratio": (c_double, Share, Share),
    "boschloo_p": (c_double, Share, Share, c_int),
    "barnard_p": (c_double, Share, Share, c_int),
    "fisher_power": (c_double, TrueShare, TrueShare, c_double),
    "welch_test": (Welch, POINTER(Moments), POINTER(Moments), c_double),
    "moments_of": (Moments, DOUBLES, c_void_p, c_size_t),
    "power_for_means": (c_double, c_double, c_double, c_double, c_double, c_bool),
    "size_for_means": (c_double, POINTER(ComparisonPlan), c_double, c_double),
    "mcnemar_power": (c_double, c_int64, c_double, c_double, c_double),
    "e_process_log": (c_double, c_int64, c_int64),
    "e_process_log_two_sided": (c_double, c_int64, c_int64),
    "sequential_limits": (None, POINTER(SequentialPlan), DOUBLES),
    "conditional_power": (c_double, c_double, c_double, c_double, c_double),
    "confidence_sequence_at": (Interval, POINTER(ConfidenceSequence), c_double, c_double, c_double),
    "case_mix_estimate": (c_bool, DOUBLES, COUNTS, c_size_t, POINTER(CaseMix)),
    "performance_expected": (ExpectedPerformance, DOUBLES, c_size_t, c_double),
    "quantile_of_sorted": (c_double, DOUBLES, c_size_t, c_double),
    "quantile_ranks": (RankInterval, c_int64, c_double, c_double),
    "quantile_exceedances": (c_int64, c_int64, c_double, c_double),
    "bernoulli_cusum_for": (BernoulliCusum, c_double, c_double),
    "bernoulli_cusum_run_length": (c_double, POINTER(BernoulliCusum), c_double, c_double),
    "normal_cusum_run_length": (c_double, c_double, c_double, c_double),
    "normal_cusum_limit": (c_double, c_double, c_double),
}


def doubles(values):
    return (c_double * max(1, len(values)))(*map(float, values))


def counts(values):
    return (c_int64 * max(1, len(values)))(*map(int, values))


def flags(values):
    return (c_bool * max(1, len(values)))(*map(bool, values))


class Statistics:
    def __init__(self, path):
        library = ctypes.CDLL(str(path))
        for name, (result, *arguments) in FUNCTIONS.items():
            function = getattr(library, name)
            function.restype, function.argtypes = result, arguments
            setattr(self, name, function)

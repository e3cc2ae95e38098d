"""numerics.py: NumPy, SciPy and scikit-learn, for reference values: this Python's own, else fetched (packages.py)."""
import sys

import packages
from conditions import Skipped

REQUIREMENTS = """\
numpy==2.4.6 --hash=sha256:89cd468399cfd2504718f0ba50e410dca55a170b61a02ad92bb18c8a65186e93
scipy==1.17.1 --hash=sha256:43af8d1f3bea642559019edfe64e9b11192a8978efbd1539d7bc2aaa23d92de4
scikit-learn==1.9.1 --hash=sha256:52a0703bbc07ad27f560fa63fa68e4c54dd735bfbbf65b4dd3c225dc7547b6df
joblib==1.6.0 --hash=sha256:3dbbf9f6e4b592a2357b854608e980fe6390d131d7a82f011a377ef2ebef7aba
threadpoolctl==3.8.0 --hash=sha256:f1b49c82704d50f13ffae019c727b0fa4f6791a58f48f06a09c45face1be66da
narwhals==2.29.0 --hash=sha256:1c69b3dc30240f6e848c5a673cafc86affa44184ecce721e25b7194663ad10dc
"""


def why_missing():
    """Why they can't be imported; None: they can."""
    try:
        import sklearn  # noqa: F401: has the others
        from scipy import stats
        stats.false_discovery_control  # new in 1.11, as intervals of ttest_ind are
        return None
    except (ImportError, AttributeError):
        if "scipy" in sys.modules:
            return "this Python has a SciPy before 1.11"
    try:
        sys.path.insert(0, str(packages.modules(packages.fetch("scipy-1.17.1", REQUIREMENTS))))
    except Skipped as skipped:
        return str(skipped)
    return None

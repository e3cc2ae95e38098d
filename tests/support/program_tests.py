"""program_tests.py: tests of one program that need no service, each on data in a folder that they share."""
import pathlib
import shutil
import sys
import tempfile
import time

from conditions import Skipped


def run_tests(tests, name, make_data):
    """Runs those named on the command line, else all. make_data fills FOLDER/data first. The folder stays where one
    failed, and the process ends with an error."""
    chosen = [test for test in tests if test.__name__ in sys.argv[1:]] or tests
    folder = pathlib.Path(tempfile.mkdtemp(prefix=f"skinsight-{name}-"))
    failures = 0
    make_data(folder / "data")
    for test in chosen:
        start = time.monotonic()
        try:
            test(folder)
            print(f"ok {test.__name__} {time.monotonic() - start:.1f} s", flush=True)
        except Skipped as reason:
            print(f"skipped: {test.__name__}: {reason}", flush=True)
        except Exception as failure:  # noqa: BLE001 (any of them is a failed test)
            failures += 1
            print(f"FAILED {test.__name__}: {type(failure).__name__}: {failure}", flush=True)
    if failures:
        sys.exit(f"{failures} of {len(chosen)} failed; everything is in {folder}")
    shutil.rmtree(folder)

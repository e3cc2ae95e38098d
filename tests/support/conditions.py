"""conditions.py: what a test demands, and what it waits for. Nothing sleeps to synchronise: wait_until polls a condition and
fails at its deadline.
"""
import time

WAIT_S = 90  # for what takes a second or two on a machine that is not busy


class Failure(AssertionError):
    """A test's condition does not hold."""


class Skipped(Exception):
    """A test can't run here."""


def expect(condition, sentence):
    if not condition:
        raise Failure(sentence)


def expect_equal(got, wanted, what):
    expect(got == wanted, f"{what}: got {got!r}, wanted {wanted!r}")


def wait_until(condition, what, timeout_s=WAIT_S):
    """Returns the first true value of condition()."""
    deadline = time.monotonic() + timeout_s
    while True:
        value = condition()
        if value:
            return value
        expect(time.monotonic() < deadline, f"not within {timeout_s} s: {what}")
        time.sleep(0.05)  # between two looks


def open_paths(folder):
    """The folder and what lies in it, where others may read it, or others or the group may write it."""
    return [str(path) for path in [folder, *folder.rglob("*")] if path.stat().st_mode & 0o027]

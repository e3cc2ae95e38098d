"""packages.py: what a test wants from the Python package index, pinned by version and digest, fetched once into a folder of
its own in the cache."""
import os
import pathlib
import shutil
import subprocess
import sys

from conditions import Skipped


def _cache():
    default = pathlib.Path(os.environ.get("XDG_CACHE_HOME") or pathlib.Path.home() / ".cache") / "skinsight"
    return pathlib.Path(os.environ.get("SKINSIGHT_CACHE_DIR") or default)


def fetch(name, requirements):
    """The folder of a virtual environment with them, fetched whole or not at all; name says which version it is."""
    folder = _cache() / f"{name}-python-{sys.version_info.major}.{sys.version_info.minor}"
    if not folder.exists():
        fresh = folder.with_name(f"{folder.name}.{os.getpid()}")
        try:
            for command in ([sys.executable, "-m", "venv", fresh],
                            [fresh / "bin/python", "-m", "pip", "install", "-q", "--disable-pip-version-check", "--no-deps",
                             "--require-hashes", "--only-binary=:all:", "-r", "/dev/stdin"]):
                done = subprocess.run(command, input=requirements, capture_output=True, text=True, timeout=300)
                if done.returncode != 0:
                    raise Skipped(f"{name} could not be fetched: {(done.stderr or done.stdout).strip()[-200:]}")
            try:
                fresh.rename(folder)
            except OSError:
                if not folder.exists():  # else another test was faster
                    raise
        finally:
            shutil.rmtree(fresh, ignore_errors=True)
    return folder


def modules(folder):
    """Where its modules are."""
    return next(folder.glob("lib/python*/site-packages"))

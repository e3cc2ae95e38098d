"""browser.py: the system's Chromium, driven by Playwright, and axe-core's rules of accessibility.

What Python needs comes from the package index once, pinned by digest, into a folder of its own in the cache. Where it can't
be fetched, or there is no Chromium, the test is skipped.
"""
import contextlib
import os
import pathlib
import shutil
import subprocess
import sys

from conditions import Skipped, expect_equal

WAIT_MS = 20000
REQUIREMENTS = """\
playwright==1.65.2 --hash=sha256:58932d35f56767ab7ebcdd3d4a733bfb3e62a1a5bc43c08e28b9fa9b3e61cf33
axe-playwright-python==0.1.8 --hash=sha256:fdd263c998388f1a8e67cad02677e612d946248bd44d163be5e8650ea31f95f8
greenlet==3.5.6 --hash=sha256:1c20ea32a73d17b9b60e3371240e17b0068120c98a5ec01a224a7dd8c89733ba \
--hash=sha256:f98e8215e172f567ce80eeaed9107fb4d32b6c44f26983d9b8334658136a205a
"""


def cache_folder():
    default = pathlib.Path(os.environ.get("XDG_CACHE_HOME") or pathlib.Path.home() / ".cache") / "skinsight"
    return pathlib.Path(os.environ.get("SKINSIGHT_CACHE_DIR") or default)


def packages_folder():
    """Where Playwright and axe-core are; fetched whole or not at all."""
    folder = cache_folder() / f"browser-1.65.2-python-{sys.version_info.major}.{sys.version_info.minor}"
    if not folder.exists():
        fresh = folder.with_suffix(f".{os.getpid()}")
        try:
            for command in ([sys.executable, "-m", "venv", fresh],
                            [fresh / "bin/python", "-m", "pip", "install", "-q", "--disable-pip-version-check", "--no-deps",
                             "--require-hashes", "--only-binary=:all:", "-r", "/dev/stdin"]):
                done = subprocess.run(command, input=REQUIREMENTS, capture_output=True, text=True, timeout=300)
                if done.returncode != 0:
                    raise Skipped(f"Playwright could not be fetched: {(done.stderr or done.stdout).strip()[-200:]}")
            fresh.rename(folder)
        finally:
            shutil.rmtree(fresh, ignore_errors=True)
    return next(folder.glob("lib/python*/site-packages"))


@contextlib.contextmanager
def chromium():
    """A browser of its own for the test."""
    program = shutil.which("chromium")
    if not program:
        raise Skipped("there is no chromium; deploy/install.sh --tests installs it")
    sys.path.insert(0, str(packages_folder()))
    from playwright.sync_api import sync_playwright
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=["--no-sandbox"])
        try:
            yield browser
        finally:
            browser.close()


def serious_findings(page):
    """What axe-core finds serious or critical in the page as it stands, one line each."""
    # The page's own policy forbids foreign scripts, so that the test puts it in as the browser, not as the page.
    page.evaluate((packages_folder() / "axe_playwright_python/axe.min.js").read_text(encoding="utf-8") + "; 0")
    found = page.evaluate("axe.run()")["violations"]
    return [f"{one['id']}: {one['help']}: {one['nodes'][0]['html']}" for one in found
            if one["impact"] in ("serious", "critical")]


def expect_accessible(page, state):
    expect_equal(serious_findings(page), [], f"serious findings of axe-core, {state}")

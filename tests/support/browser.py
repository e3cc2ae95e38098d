"""browser.py: the system's Chromium, driven by Playwright, and axe-core's rules of accessibility.

Where there is no Chromium, or Playwright can't be fetched (packages.py), the test is skipped.
"""
import contextlib
import shutil
import sys

import packages
from conditions import Skipped, expect_equal

WAIT_MS = 20000
REQUIREMENTS = """\
playwright==1.65.2 --hash=sha256:58932d35f56767ab7ebcdd3d4a733bfb3e62a1a5bc43c08e28b9fa9b3e61cf33
axe-playwright-python==0.1.8 --hash=sha256:fdd263c998388f1a8e67cad02677e612d946248bd44d163be5e8650ea31f95f8
greenlet==3.5.6 --hash=sha256:1c20ea32a73d17b9b60e3371240e17b0068120c98a5ec01a224a7dd8c89733ba \
--hash=sha256:f98e8215e172f567ce80eeaed9107fb4d32b6c44f26983d9b8334658136a205a
"""


def packages_folder():
    return packages.modules(packages.fetch("playwright-1.65.2", REQUIREMENTS))


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

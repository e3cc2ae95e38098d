#!/usr/bin/env python3
"""test_api_shapes.py: requests that Schemathesis makes from the gateway's own description, valid ones and others, with all
its checks: no answer is undescribed, none has another shape, nothing is accepted that breaks a rule, no key is forgotten.

It takes minutes, so that only the long form runs.
"""
import pathlib
import re
import subprocess
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "support"))
import chaos
import packages
from gateway import Gateway
from harness import Skipped, expect, expect_equal

EXAMPLES, CASES_LEAST = 900, 5000
TIMEOUT_S = 3600
# A random text is no JPEG, and a random name is no model in service: 422 is right for requests of a valid shape. JSON's
# \u0000 is refused everywhere, which a schema can't say of fields that it does not name.
SETTINGS = """\
[checks]
positive_data_acceptance.expected-statuses = [200, 202, 401, 403, 404, 409, 422, 429]

[generation]
allow-x00 = false
"""


def test_shapes(stack):
    if not stack.full:
        raise Skipped("only with --full: it takes minutes")
    requirements = pathlib.Path(__file__).resolve().parents[1] / "support/schemathesis.txt"
    program = packages.fetch("schemathesis-4.32.5", requirements.read_text()) / "bin/python"
    with stack.fleet("shapes") as fleet, Gateway(fleet, answer_timeout_ms=2000) as gateway:
        fleet.start("worker").wait_ready()
        key = gateway.add_key("north", urgent=True).key
        (stack.folder / "schemathesis.toml").write_text(SETTINGS)
        done = subprocess.run([program, "-m", "schemathesis.cli", "--no-color", "run",
                               f"http://127.0.0.1:{gateway.port}/openapi.json", "--header", f"Authorization: Bearer {key}",
                               "--checks", "all", "--max-examples", str(EXAMPLES), "--seed", str(stack.seed),
                               "--continue-on-failure", "--request-timeout", "30"],
                              cwd=stack.folder, capture_output=True, text=True, timeout=TIMEOUT_S)
        expect_equal(done.returncode, 0, f"Schemathesis's exit code:\n{done.stdout[-6000:]}{done.stderr[-2000:]}")
        cases = int(re.search(r"(\d+) generated", done.stdout).group(1))
        print(f"        {cases} requests", flush=True)
        expect(cases >= CASES_LEAST, f"{cases} requests are too few")
        expect(gateway.alive(), "the gateway has ended")


if __name__ == "__main__":
    chaos.main([test_shapes], "kafka")

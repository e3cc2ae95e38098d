#!/usr/bin/env python3
"""test_dashboards.py: a real Prometheus scrapes a worker, a gateway and the monitor, takes the rules, and answers every
expression of deploy/grafana/*.json.
"""
import contextlib
import json
import pathlib
import shutil
import subprocess
import sys
import urllib.error
import urllib.parse
import urllib.request

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "support"))
import harness
from gateway import Gateway
from harness import ROOT, expect, expect_equal, make_images, wait_until
from monitor import Monitor

DASHBOARDS = sorted((ROOT / "deploy/grafana").glob("*.json"))
# What a fleet of one worker with twenty answers can't show.
EMPTY = {"State": "alarms need a reference and labels", "Value as": "as the states", "False alarms": "as the states",
         "P50": "worked out once a minute", "P95": "needs more answers", "P99": "needs more answers", "Age of": "the newest transaction may be before the start",
         **dict.fromkeys(("Features that", "Sites and", "Least adjusted", "Shares of", "Rates of", "Alarms seen"), "drift needs a reference"),
         **dict.fromkeys(("Referred lesions", "Answers whose", "Sensitivity", "Macro AUROC", "Expected and", "Melanomas by", "Calibration"),
                         "needs labels"), "Comparison": "none is registered"}


def panels(path):
    return [(panel["title"], target["expr"]) for panel in json.loads(path.read_text())["panels"] if panel["type"] != "row"
            for target in panel["targets"]]


@contextlib.contextmanager
def prometheus(stack, targets):
    """A server that scrapes them every second; its address."""
    program = shutil.which("prometheus")
    if not program:
        raise harness.Skipped("there is no prometheus; deploy/install.sh --tests installs it")
    port = stack.choose_port("prometheus")
    folder = stack.folder / "prometheus"
    folder.mkdir()
    (folder / "prometheus.yml").write_text(json.dumps({
        "global": {"scrape_interval": "1s", "evaluation_interval": "5s"}, "rule_files": [str(ROOT / "deploy/prometheus/rules.yml")],
        "scrape_configs": [{"job_name": "skinsight", "static_configs": [{"targets": targets}]}]}))
    with open(folder / "log", "wb") as log:
        process = subprocess.Popen([program, f"--config.file={folder}/prometheus.yml", f"--storage.tsdb.path={folder}/data",
                                    f"--web.listen-address=127.0.0.1:{port}"], stdin=subprocess.DEVNULL, stdout=log, stderr=log)
    stack.register("prometheus", process.pid)
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait(harness.WAIT_S)


def ask(address, path):
    try:
        with urllib.request.urlopen(address + path, timeout=10) as reply:
            return json.loads(reply.read())
    except (urllib.error.URLError, ConnectionError) as trouble:
        return {"status": str(trouble)}


def query(address, expression):
    """The result's series."""
    text = expression.replace("$__rate_interval", "30s")
    reply = ask(address, "/api/v1/query?" + urllib.parse.urlencode({"query": text}))
    expect_equal(reply["status"], "success", f"what Prometheus says of {text}")
    return reply["data"]["result"]


def test_dashboards(stack):
    expect_equal([path.stem for path in DASHBOARDS], ["clinical", "overview", "workers"], "dashboards")
    with stack.fleet("seen") as fleet, Gateway(fleet) as gateway:
        worker = fleet.start("worker", backend="simulated").wait_ready()
        with Monitor(fleet, workers_metrics=f"http://localhost:{worker._port}/metrics") as monitor:
            targets = [f"127.0.0.1:{port}" for port in (worker._port, gateway.admin_port, monitor.port)]
            with prometheus(stack, targets) as address:
                wait_until(lambda: len(ask(address, "/api/v1/query?query=up==1").get("data", {"result": []})["result"]) == 3,
                           "three targets are scraped")
                fleet.submit("--wait", *make_images(stack.folder / "images", 20))
                gateway.ask("GET", "/v2/models")
                for path in DASHBOARDS:
                    for title, expression in panels(path):
                        if not any(title.startswith(start) for start in EMPTY):
                            wait_until(lambda expression=expression: query(address, expression), f"{path.stem}, {title}: {expression}")
                        query(address, expression)
                rules = ask(address, "/api/v1/rules")["data"]["groups"]
                sick = [(rule["name"], rule["lastError"]) for group in rules for rule in group["rules"] if rule["health"] == "err"]
                expect_equal(sick, [], "rules that can't be evaluated")
                expect_equal(sum(len(group["rules"]) for group in rules), 31, "rules that are taken")


def test_dashboards_are_grafanas(stack):
    uids = set()
    for path in DASHBOARDS:
        board = json.loads(path.read_text())
        uids.add(board["uid"])
        ids = [panel["id"] for panel in board["panels"]]
        expect_equal(len(ids), len(set(ids)), f"{path.stem}: different panels")
        for panel in board["panels"]:
            expect(panel["type"] in ("row", "timeseries") and panel["title"], f"{path.stem}: {panel}")
            place = panel["gridPos"]
            expect(place["x"] + place["w"] <= 24, f"{path.stem}, {panel['title']}: outside of the grid")
            for target in panel.get("targets", []):
                expect(target["expr"].count("(") == target["expr"].count(")") and target["refId"], f"{path.stem}: {target}")
    expect_equal(len(uids), len(DASHBOARDS), "different dashboards")


if __name__ == "__main__":
    harness.main([test_dashboards_are_grafanas, test_dashboards], "kafka")

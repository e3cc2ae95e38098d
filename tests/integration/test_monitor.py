#!/usr/bin/env python3
"""test_monitor.py: `skinsight-monitor run` beside a broker and a worker: what it collects, shows and advises, who may ask
for it, and its pages in a browser.
"""
import contextlib
import json
import pathlib
import subprocess
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "support"))
import harness
from browser import chromium, expect_accessible
from harness import expect, expect_equal, make_images, run, wait_until
from monitor import Monitor
from monitor_history import CODES, read_answers
from schema import Schema

DAY_MS = 86400000
SCALE = {"desired_workers", "reason", "held", "arrival_per_s", "capacity_per_worker_per_s", "backlog", "time_to_drain_s",
         "p99_ms", "gpu_utilisation", "ready_workers", "gone_workers", "min", "max"}


def test_a_fleet_is_watched(stack):
    with stack.fleet("watched") as fleet:
        worker = fleet.start("worker", backend="simulated").wait_ready()
        worker.get("/metrics")
        targets = f"http://localhost:{worker._port}/metrics,http://127.0.0.1:{worker._port}"  # one worker
        folder = stack.folder / "reports"
        with Monitor(fleet, workers_metrics=targets, scale_min=1, report_folder=folder, report_folder_wait_s=0) as monitor:
            wait_until(lambda: monitor.ask("/readyz").status == 200, "the topics are followed")
            expect_equal(monitor.ask("/healthz").status, 200, "health")
            fleet.submit("--wait", *make_images(stack.folder / "images", 12))
            wait_until(lambda: monitor.metrics()['skinsight_monitor_records{kind="prediction"}'] == 12, "12 answers are collected")
            scale = wait_until(lambda: advice_at_rest(monitor), "the advice has its inputs, and nothing waits")
            expect_equal(set(scale), SCALE, "what the advice says")
            expect_equal([scale[name] for name in ("desired_workers", "ready_workers", "backlog", "min", "max", "gpu_utilisation")],
                         [1, 1, 0, 1, 8, None], "the advice at rest")
            report = monitor.ask("/v1/reports/performance").json()
            answered = next(series for series in report["series"] if series["name"] == "answered")
            expect_equal((sum(answered["y"]), report["id"], report["to"] - report["from"]), (12, None, 28 * DAY_MS),
                         "the live report")
            expect(report["to"] > time.time() * 1000, "today is part of it")
            old = monitor.ask("/v1/reports/performance?from=2026-01-01&to=2026-01-08").json()
            expect_equal((old["from"], old["to"]), (1767225600000, 1767830400000), "the days that were asked for")
            wait_until(lambda: monitor.ask("/v1/alarms").status == 200, "the alarms are worked out")
            expect(all(alarm["state"] in ("ok", "insufficient", "warning", "critical")
                       for alarm in monitor.ask("/v1/alarms").json()["alarms"]), "states")
            metrics = monitor.metrics()
            expect_equal((metrics["skinsight_desired_workers"], metrics["skinsight_ready_workers"],
                          metrics["skinsight_scale_held"]), (1, 1, 0), "metrics of the advice")
            check_refusals(monitor)
            check_unknown_worker(fleet, targets)
            wait_until((folder / "index.html").exists, "the day's reports are published")
            names = {path.name.split("-", 3)[-1] for path in folder.iterdir()}
            expect({"index.html", "drift.html", "drift.json", "performance.html", "performance.json"} == names, f"{names}")
            check_pages(monitor)
            worker.stop()
            wait_until(lambda: monitor.ask("/v1/scale").json()["held"], "without a worker the advice holds still")
            scale = monitor.ask("/v1/scale").json()
            expect_equal((scale["desired_workers"], scale["ready_workers"], scale["backlog"]), (1, None, None), "where it was")
            metrics = monitor.metrics()
            expect(not {"skinsight_ready_workers", "skinsight_backlog_jobs"} & set(metrics), "what nobody told is no number")
            expect_equal(metrics["skinsight_scale_held"], 1, "metric of the hold")


def advice_at_rest(monitor):
    reply = monitor.ask("/v1/scale")
    return reply.status == 200 and not reply.json()["held"] and reply.json()["backlog"] == 0 and reply.json()


def check_unknown_worker(fleet, targets):
    """Beside one that nobody answers at there is no advice: it may have partitions."""
    with Monitor(fleet, "unknown", workers_metrics=f"{targets},http://127.0.0.1:1") as monitor:
        detail = "held: 1 of 2 workers answer; not yet known, as they have never answered: 1"
        wait_until(lambda: monitor.ask("/v1/scale").json().get("detail") == detail, "who has never answered is told")
        expect_equal(monitor.ask("/v1/scale").status, 503, "status")


def check_refusals(monitor):
    for path, status, code in (("/v1/reports/weather", 404, "not_found"), ("/reports/incident", 403, "forbidden"),
                               ("/reports/drift?from=yesterday", 400, "invalid_request"),
                               ("/reports/drift?from=2026-02-01&to=2026-01-01", 422, "invalid_request"),
                               ("/reports/drift?from=2025-01-01&to=2026-01-03", 422, "invalid_request"),
                               ("/v1/reports/comparison", 422, "invalid_request"),
                               ("/reports/drift?site=" + "x" * 200, 400, "invalid_request")):
        reply = monitor.ask(path)
        expect_equal((reply.status, reply.json()["code"]), (status, code), path)


PAGES = (("/", "SkinSight monitor"), ("/reports/performance", "Performance report"), ("/reports/drift", "Drift report"))


def check_pages(monitor, pages=PAGES):
    with chromium() as browser:
        for path, title in pages:
            page = browser.new_page(viewport={"width": 390, "height": 800})
            trouble, foreign = [], []
            page.on("console", lambda message: trouble.append(message.text))
            page.on("request", lambda request: f":{monitor.port}/" in request.url or foreign.append(request.url))
            page.goto(f"http://127.0.0.1:{monitor.port}{path}")
            expect_equal(page.inner_text("h1"), title, f"the heading of {path}")
            expect_accessible(page, path)
            widths = page.evaluate("[document.documentElement.scrollWidth, document.documentElement.clientWidth]")
            expect(widths[0] <= widths[1], f"{path} is {widths[0]} wide, the window {widths[1]}")
            expect_equal((trouble, foreign), ([], []), f"{path}: words in the console, foreign requests")


def make_keys(folder, name):
    """A pair of Ed25519 keys as private and public PEM files."""
    private, public = folder / f"{name}.pem", folder / f"{name}.pub"
    subprocess.run(["openssl", "genpkey", "-algorithm", "ed25519", "-out", private], check=True, capture_output=True)
    subprocess.run(["openssl", "pkey", "-in", private, "-pubout", "-out", public], check=True, capture_output=True)
    return private, public


def references_of(stack, private):
    """A folder with the signed reference of a simulated clinic of four sites. It is made once."""
    folder, store = stack.folder / "references", f"sqlite://{stack.folder}/clinic.db"
    if not folder.exists():
        folder.mkdir()
        clinic = stack.folder / "clinic"
        run("monitor", "simulate", "--days", 14, "--images-per-day", 40, "--start", "2020-01-06", "--out", clinic, check=True)
        run("monitor", "import-predictions", clinic / "predictions.jsonl", "--store", store, check=True)
        run("monitor", "reference", "create", "clinic", "--from", "2020-01-06", "--to", "2020-01-20", "--references", folder,
            "--store", store, check=True)
    run("monitor", "reference", "sign", "clinic", "--references", folder, "--key", private, check=True)
    return folder


def test_references_of_another_key(stack):
    """Neither a live report nor a stored one that is made again believes a reference that another key has signed."""
    private, public = make_keys(stack.folder, "ours")
    foreign = make_keys(stack.folder, "foreign")[1]
    references = references_of(stack, private)
    run("monitor", "plan", "--n-a", "250", "--register", "spring", "--model", "simulated-v1.0.0", "--with", "candidate",
        "--store", f"sqlite://{stack.folder}/clinic.db", check=True)
    for key, status in ((public, 200), (foreign, 422)):
        with stack.fleet(f"signed-{status}") as fleet, Monitor(fleet, store=f"sqlite://{stack.folder}/clinic.db",
                                                               references=references, reference_key=key) as monitor:
            reply = monitor.ask("/v1/reports/drift")
            expect_equal(reply.status, status, f"a report with the key {key.name}")
            expect(status == 200 or "signed with another key" in reply.json()["detail"], f"{reply.body}")
            if status == 200:
                check_drift(monitor, read_answers(stack.folder / "clinic"))
            wait_until(lambda: monitor.ask("/v1/alarms").status == 200, "the alarms are worked out")
            wait_until(lambda: 'skinsight_experiment_state{experiment="spring"}' in monitor.metrics(), "the models are compared")
            check_gauges(monitor.metrics(), status == 200)
            alarms = monitor.ask("/v1/alarms").json()
            names = {alarm["name"] for alarm in alarms["alarms"]}
            expect_equal((alarms["stale"], "input_drift" in names, "labels_stalled" in names), (status != 200, status == 200, True),
                         "alarms of performance are there without those of drift")
    report = ("report", "--store", f"sqlite://{stack.folder}/clinic.db", "--references", references)
    stored = run("monitor", *report, "--kind", "drift", "--from", "2020-01-20", "--to", "2020-01-27", "--json",
                 stack.folder / "stored.json", "--reference-key", public, check=True).stdout.strip()
    for key, good in ((public, True), (foreign, False)):
        again = run("monitor", *report, "--as-of", stored, "--json", stack.folder / "again.json", "--reference-key", key)
        expect_equal(again.returncode == 0, good, f"made again with the key {key.name}: {again.stderr}")


def check_gauges(metrics, judged):
    """What the board's reports know of these days, in which nobody answered; what they don't know has no sample."""
    names = {name.split("{")[0] for name in metrics}
    expect_equal("skinsight_reference_age_seconds" in names, judged, "the age of the reference")
    expect_equal(metrics.get('skinsight_drift_state{feature="brightness",stratum="site",name="north",window="28d"}'),
                 1 if judged else None, "too few pictures of north")
    expect_equal(metrics.get('skinsight_alarms_seen{alarm="class_mix"}'), 0 if judged else None, "alarms seen")
    expect_equal(metrics['skinsight_cohort_answers{cohort_age="0w"}'], 0, "answers of this week")
    expect_equal(metrics['skinsight_experiment_state{experiment="spring"}'], 0, "the registered comparison, of nobody yet")
    planned = [name for name in metrics if name.startswith("skinsight_experiment_planned_melanomas")]
    expect_equal(planned, ['skinsight_experiment_planned_melanomas{experiment="spring",arm="a"}'], "what pairs plan")
    unknown = {"skinsight_experiment_srm_pvalue", "skinsight_experiment_effect", "skinsight_class_share_ratio",
               "skinsight_auroc_macro", "skinsight_verified_ratio", "skinsight_label_maturity_ratio"}
    expect_equal(unknown & names, set(), "metrics of what is not known")


def check_drift(monitor, answers):
    """The drift report of the reference's own days: all that the schema tells of, and a page that everybody can read."""
    days = "/reports/drift?from=2020-01-06&to=2020-01-20"
    document = monitor.ask("/v1" + days).json()
    expect_equal(Schema("report").complaints(document), [], "complaints")
    expect_equal(document["reference"]["id"], "clinic", "the reference")
    expect_equal({entry["stratum"] for entry in document["drift"]}, {"all", "site", "capture_device"}, "strata")
    said = {value["name"]: value for value in document["output"]["values"]}
    expect(abs(sum(said[code]["value"]["estimate"] for code in CODES) - 1) < 1e-9, f"shares of the classes: {said}")
    week = [answer["prediction"]["abstained"] for answer in answers
            if answer["provenance"]["timestamps"]["published"] >= 1578873600000]  # 2020-01-13
    expect_equal((said["abstained"]["value"]["n"], round(said["abstained"]["value"]["estimate"] * len(week))),
                 (len(week), sum(week)), "answers of the last seven days, and those that abstain")
    budget = {row["alarm"]: row for row in document["budget"]}
    expect(budget["missed_melanoma"]["seen"] is None and budget["class_mix"]["seen"] >= 0, f"{budget}")
    expect(abs(budget["class_mix"]["expected"] - budget["class_mix"]["false_alarms_a_year"] * 14 / 365) < 1e-9, f"{budget}")
    for wrong in ({"weather": 1}, {"reference": {}}, {"budget": [{"alarm": "x"}]}):
        expect(Schema("report").complaints({**document, **wrong}), f"a report with {wrong} passes")
    check_pages(monitor, [(days, "Drift report")])


def test_who_may_ask(stack):
    folder = stack.folder
    keys, store = folder / "keys.json", f"sqlite://{folder}/who.db"
    for arguments in (["0.0.0.0:0"], ["0.0.0.0:0", "--api-keys", keys]):
        done = run("monitor", "run", "--store", store, "--monitor-listen", *arguments)
        expect(done.returncode == 2 and "beyond this machine" in done.stderr, f"{done.returncode} {done.stderr}")
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2",
                    "-subj", "/CN=localhost", "-keyout", folder / "key.pem", "-out", folder / "cert.pem"],
                   check=True, capture_output=True)
    operator, reader, foreign = (
        run("producer", "keys", "add", "--actor", "dr-lee", "--site", site, "--role", role, "--api-keys", keys,
            "--store", f"sqlite://{folder}/keys.db", check=True).stdout.strip()
        for site, role in (("north", "operator"), ("north", "reader"), ("elsewhere", "reader")))
    private, public = make_keys(folder, "who")
    references = references_of(stack, private)
    with stack.fleet("who") as fleet, contextlib.ExitStack() as opened:
        worker = fleet.start("worker", backend="simulated").wait_ready()
        monitor = opened.enter_context(
            Monitor(fleet, api_keys=keys, monitor_listen="0.0.0.0:0", http_tls_cert=folder / "cert.pem",
                    http_tls_key=folder / "key.pem", references=references, audit_chain="reads", audit_key=private,
                    workers_metrics=f"http://localhost:{worker._port}/metrics"))
        expect_equal(monitor.ask("/healthz").status, 200, "probes need no key")
        for path in ("/", "/reports/drift", "/v1/reports/drift", "/v1/alarms", "/v1/scale", "/metrics"):
            expect_equal((monitor.ask(path).status, monitor.ask(path, "ssk_" + "A" * 43).status), (401, 401), path)
        expect_equal(monitor.ask("/v1/reports/drift", operator).json()["site"], None, "an operator sees all sites")
        expect_equal(monitor.ask("/v1/reports/drift", reader).json()["site"], "north", "others see their own")
        expect_equal(monitor.ask("/v1/reports/drift?site=south", reader).status, 403, "and no other")
        expect_equal(monitor.ask("/v1/reports/drift?site=south", operator).json()["site"], "south", "an operator any")
        check_sites_apart(monitor, operator, reader, foreign)
        check_scale_apart(monitor, operator, reader)
        check_lists(monitor, operator, reader)
    check_audit(folder, private, public)


def check_lists(monitor, operator, reader):
    """Lists of answers are for operators."""
    days = "from=2026-01-05&to=2026-01-06"
    for path in ("/reports/incident", "/v1/reports/incident"):
        expect_equal([monitor.ask(f"{path}?{days}&model=vit-2", who).status for who in (operator, reader, None)],
                     [200, 403, 401], path)
    expect("Refresh" not in monitor.ask(f"/reports/incident?{days}", operator).headers, "a page that reads itself again")


def check_audit(folder, private, public):
    """Of what check_lists did, once the monitor has ended and signed it."""
    export = folder / "read.jsonl"
    run("monitor", "audit", "export", "--store", f"sqlite://{folder}/who-monitor.db", "--output", export, "--chain", "reads-monitor", check=True)
    entries = [json.loads(line)["entry"] for line in export.read_text().splitlines() if '"entry"' in line]
    lists = [entry.pop("list") for entry in entries if entry["action"] == "incident_read"]
    expect_equal([(entry["actor"], entry["site"], entry["outcome"]) for entry in entries], 3 * [("dr-lee", "north", "ok")], "who read")
    expect_equal(lists, 2 * [{"answers": 0, "from": 1767571200000, "model": "vit-2", "site": None, "to": 1767657600000}]
                 + [{"answers": 0, "from": 1767571200000, "model": None, "site": None, "to": 1767657600000}], "what was read")
    for program in ("monitor", "producer"):
        done = run(program, "audit", "verify", export, "--public-key", public)
        expect(done.returncode == 0 and "entries 1 to 3, whole, signed up to 3" in done.stdout, f"{done.stdout} {done.stderr}")
    export.write_text(export.read_text().replace('"answers":0', '"answers":1', 1))
    done = run("monitor", "audit", "verify", export, "--public-key", public)
    expect(done.returncode == 1 and "entry 1 of chain reads-monitor, or its hash, was changed" in done.stdout, done.stdout)


def check_scale_apart(monitor, operator, reader):
    """How many workers are wanted is for every key, what that is made from for operators."""
    wait_until(lambda: monitor.ask("/v1/scale", operator).status == 200, "the advice is there")
    expect_equal((set(monitor.ask("/v1/scale", operator).json()), set(monitor.ask("/v1/scale", reader).json())),
                 (SCALE, {"desired_workers", "held", "min", "max"}), "an operator's advice, and a reader's")


def check_sites_apart(monitor, operator, reader, foreign):
    """Alarms of the site north are for its own people and for operators, alarms of all sites together for operators."""
    wait_until(lambda: monitor.ask("/v1/alarms", operator).status == 200, "the alarms are worked out")
    names = {who: [alarm["name"] for alarm in monitor.ask("/v1/alarms", who).json()["alarms"]]
             for who in (operator, reader, foreign)}
    expect({"input_drift", "input_drift site=north", "input_drift site=harbour"} < set(names[operator]), f"{names[operator]}")
    expect_equal((names[reader], names[foreign]), (["input_drift site=north"], []), "alarms of north, and of elsewhere")
    pages = [monitor.ask("/", who).body.decode() for who in (operator, reader, foreign)]
    expect_equal([(page.count("site=north"), page.count("site=harbour"), "answers and" in page) for page in pages],
                 [(1, 1, True), (1, 0, False), (0, 0, False)], "front pages: alarms of two sites, and what was collected")
    expect_equal([monitor.ask("/metrics", who).status for who in (operator, reader, foreign)], [200, 403, 403], "metrics")


if __name__ == "__main__":
    harness.main([test_a_fleet_is_watched, test_references_of_another_key, test_who_may_ask], "kafka")

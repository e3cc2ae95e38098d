#!/usr/bin/env python3
"""test_report.py: `skinsight-monitor report`: documents that their schema takes, pages that need nothing else and that
everybody can read, and published reports that are made again byte for byte when more labels have come.
"""
import hashlib
import json
import pathlib
import shutil
import subprocess
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "support"))
import harness
from browser import chromium, expect_accessible
from harness import expect, expect_equal, run
from schema import Schema

DAY_MS = 86400000
A4_PX = 718  # 210 mm less Chromium's margins of a centimetre
DAYS = {"from": "2026-01-05", "to": "2026-02-02"}  # all of what is simulated
PAGES = {"drift": {}, "performance": {}, "incident": {}, "comparison": {"model": "vit-base-v2.1.0", "with": "vit-base-v2.0.0"}}
PUBLISHED = [{"kind": kind, "from": f"2026-01-{day:02}", "to": f"2026-01-{day + 14}", **place}
             for kind, days in (("drift", range(5, 15)), ("performance", (5, 8, 12, 15, 16))) for day in days
             for place in ({}, {"site": "north"})]


def store(stack):
    return f"sqlite://{stack.folder}/monitor.db"


def report(stack, name, check=True, **options):
    """Its id, its document and its page."""
    page, document = stack.folder / f"{name}.html", stack.folder / f"{name}.json"
    done = run("monitor", "report", *harness.flags(options), "--store", store(stack), "--out", page, "--json", document,
               check=check)
    return (done.stdout.strip(), document.read_bytes(), page.read_bytes()) if check else done


def import_feedback(stack, name, lines):
    path = stack.folder / name
    path.write_text("".join(line + "\n" for line in lines))
    run("monitor", "import-feedback", path, "--store", store(stack), check=True)


def sign(stack, references, name):
    """Each with a key of its own. The public one."""
    private, public = stack.folder / f"{name}.pem", stack.folder / f"{name}.pub"
    subprocess.run(["openssl", "genpkey", "-algorithm", "ed25519", "-out", private], check=True, capture_output=True)
    subprocess.run(["openssl", "pkey", "-in", private, "-pubout", "-out", public], check=True, capture_output=True)
    run("monitor", "reference", "sign", name, "--references", references, "--key", private, check=True)
    return public


def make_reference(stack, references):
    """The first one, of a week. Its digest and key."""
    run("monitor", "reference", "create", "first", "--from", "2026-01-05", "--to", "2026-01-12", "--references", references,
        "--store", store(stack), check=True)
    key = sign(stack, references, "first")
    return hashlib.sha256((references / "first.json").read_bytes()).hexdigest(), key


def make_newer_reference(stack, references):
    """It ends later, so that a new report is compared with it."""
    newer = json.loads((references / "first.json").read_text())
    newer.update(id="newer", to=newer["to"] + DAY_MS)
    (references / "newer.json").write_text(json.dumps(newer))
    sign(stack, references, "newer")


def test_published_reports_are_made_again(stack):
    """Whatever has come since: labels, and references, also of reports that had none."""
    clinic, references = stack.folder / "clinic", stack.folder / "references"
    references.mkdir()
    run("monitor", "simulate", "--seed", "3", "--days", "28", "--images-per-day", "60", "--out", clinic, check=True)
    labels = (clinic / "feedback.jsonl").read_text().splitlines()
    run("monitor", "import-predictions", clinic / "predictions.jsonl", "--store", store(stack), check=True)
    import_feedback(stack, "early.jsonl", labels[:len(labels) // 2])
    wanted = [{**PUBLISHED[0], **folder} for folder in ({}, {"references": references})]  # in which there is none
    first = [report(stack, f"without{i}", **options) for i, options in enumerate(wanted)]
    digest, key = make_reference(stack, references)
    wanted += [{**options, "references": references} for options in PUBLISHED]
    first += [report(stack, f"first{i}", **options) for i, options in enumerate(wanted) if i >= len(first)]
    expect_equal(len({made[0] for made in first}), len(wanted), "different ids")
    import_feedback(stack, "late.jsonl", labels[len(labels) // 2:])
    make_newer_reference(stack, references)
    for i, (identifier, document, page) in enumerate(first):
        again = report(stack, f"again{i}", as_of=identifier, references=references, reference_key=key)
        expect_equal(again[0], identifier, "id")
        expect(again[1] == document and again[2] == page, f"report {wanted[i]} is another one now")
    used = [json.loads(document).get("reference") for _, document, _ in first]
    expect_equal([reference and reference["sha256"] for reference in used], [None] * 2 + [digest] * 20 + [None] * 10,
                 "the references of drift reports")
    newest = json.loads(report(stack, "newest", references=references, **PUBLISHED[0])[1])
    expect_equal(newest["reference"]["id"], "newer", "the reference of a new report")
    now = report(stack, "now", kind="performance", **DAYS)
    told = json.loads(now[1])["as_of"]["offsets"]
    expect(told != json.loads(first[-1][1])["as_of"]["offsets"], "a new report knows the late labels")
    for name, document in (("first", first[0][1]), ("now", now[1])):
        expect_equal(Schema("report").complaints(json.loads(document)), [], f"complaints about the {name} document")


def test_what_cannot_be_is_refused(stack):
    for options, said in (({"as_of": "0" * 32}, "there is no report of that id"), ({"from": "2026-02-03", "to": "2026-02-02"},
                          "a report ends after it begins"), ({"kind": "comparison", "model": "a", "with": "a"},
                          "a model is not compared with itself"), ({"from": "yesterday"}, "yesterday")):
        done = report(stack, "none", check=False, **options)
        expect(done.returncode == 1 and said in done.stderr, f"{options}: {done.returncode} {done.stderr}")
        expect(not (stack.folder / "none.html").exists(), "nothing is written")


CUT_TABLES = """[...document.querySelectorAll(".scroll")].filter(table => table.scrollWidth > table.clientWidth)
    .map(table => `${table.getAttribute("aria-label")}: ${table.scrollWidth} of ${table.clientWidth}`)"""


def expect_fits(page, what):
    widths = page.evaluate("[document.documentElement.scrollWidth, document.documentElement.clientWidth]")
    expect(widths[0] <= widths[1], f"{what}: the page is {widths[0]} wide, the window {widths[1]}")


def test_pages_are_for_everybody(stack):
    a_day = {"from": "2026-01-05", "to": "2026-01-06"}  # of an incident, each of whose answers is a row that axe looks at
    with chromium() as browser:
        for kind, of in PAGES.items():
            report(stack, kind, kind=kind, **of, **(a_day if kind == "incident" else DAYS))
            for options in ({"viewport": {"width": 390, "height": 800}}, {"color_scheme": "dark"}):
                page = browser.new_page(**options)
                foreign, trouble = [], []
                page.on("request", lambda request: request.url.startswith(("file:", "data:")) or foreign.append(request.url))
                page.on("console", lambda message: trouble.append(message.text))
                page.goto((stack.folder / f"{kind}.html").as_uri())
                expect_accessible(page, f"{kind} with {options}")
                expect_fits(page, f"{kind}, {options}")
                expect_equal((foreign, trouble), ([], []), "foreign requests, words in the console")
            page.emulate_media(media="print", color_scheme="light")
            page.set_viewport_size({"width": A4_PX, "height": 1000})
            expect_fits(page, f"{kind} on A4")
            cut = page.evaluate(CUT_TABLES)
            expect_equal(cut, [], f"{kind} on A4: tables wider than the paper, which can't be scrolled")
            expect_equal(page.evaluate("getComputedStyle(document.body).color"), "rgb(28, 30, 33)", "ink on paper")


def test_pages_are_valid(stack):
    if not shutil.which("tidy"):
        harness.leave_out("valid HTML", "there is no tidy; deploy/install.sh --tests installs it")
        return
    for kind, of in PAGES.items():
        report(stack, kind, kind=kind, **of, **DAYS)
        done = subprocess.run(["tidy", "-quiet", "-errors", "--drop-empty-elements", "no", stack.folder / f"{kind}.html"],
                              capture_output=True, text=True, check=False)
        expect_equal((done.returncode, done.stderr), (0, ""), f"what tidy says of {kind}")


if __name__ == "__main__":
    harness.main([test_published_reports_are_made_again, test_what_cannot_be_is_refused, test_pages_are_for_everybody,
                  test_pages_are_valid])

#!/usr/bin/env python3
"""test_monitor_reports.py: figures of performance reports and comparisons against SciPy and scikit-learn on the same rows,
the schema of reports, and what plan says.

    test_monitor_reports.py [TEST...]
"""
import json
import math
import os
import pathlib
import pwd
import subprocess
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "support"))
import harness
import numerics
from conditions import Skipped, expect, expect_equal
from harness import run
from monitor_history import (CODES, DAY_MS, candidate, feedback_lines, make_labels, probabilities, read_answers, share)
from program_tests import run_tests
from schema import Schema

missing = numerics.why_missing()
if not missing:
    import numpy as np
    from scipy import integrate, stats
    from sklearn import metrics

FIRST, LAST = "2026-01-05", "2026-02-16"
MONDAY = 1767571200000  # of FIRST
OLD, NEW = "simulated-v1.0.0", "candidate-v2.0.0"


def need_scipy():
    if missing:
        raise Skipped(missing)


def near(what, found, expected, tolerance=1e-6):
    expect(found is not None and abs(found - expected) <= tolerance * max(1e-3, abs(expected)),
           f"{what}: {found!r}, expected {expected!r}")


def monitor(*arguments, check=True):
    return run("monitor", *arguments, check=check)


def import_into(store, folder, records, labels):
    folder.mkdir()
    (folder / "predictions.jsonl").write_text("".join(json.dumps(record) + "\n" for record in records))
    (folder / "feedback.jsonl").write_text("".join(line + "\n" for line in feedback_lines(labels)))
    for what in ("predictions", "feedback"):
        said = monitor(f"import-{what}", folder / f"{what}.jsonl", "--store", store).stdout
        expect(" 0 refused" in said, said)


def make_data(folder):
    folder.mkdir()
    monitor("simulate", "--seed", "11", "--days", "42", "--images-per-day", "110", "--mix", "isic", "--start", FIRST,
            "--out", folder / "clinic")
    answers = read_answers(folder / "clinic")
    labels = make_labels(folder / "clinic", answers)
    both = answers + [candidate(record) for record in answers]
    import_into(f"sqlite://{folder}/paired.db", folder / "paired", both, labels)
    # Each patient is one model's; labels are of the request that was answered.
    split = [candidate(record) if arm_of(record) else record for record in answers]
    renamed = {given["request_id"]: labels[record["request_id"]] for given, record in zip(split, answers)
               if record["request_id"] in labels}
    import_into(f"sqlite://{folder}/split.db", folder / "split", split, renamed)


def arm_of(record):
    return share("arm", record["context"].get("subject") or record["request_id"]) < 0.5


def report(folder, kind, store, *more):
    out = folder / f"{kind}-{store}.json"
    monitor("report", "--kind", kind, "--from", FIRST, "--to", LAST, "--store", f"sqlite://{folder}/data/{store}.db",
            "--out", out.with_suffix(".html"), "--json", out, *more)
    document = json.loads(out.read_text())
    complaints = Schema("report").complaints(document)
    expect(not complaints, f"{kind}: {complaints[:3]}")
    return document


class Rows:
    """What the archive holds of one model, by columns."""

    def __init__(self, folder, only=lambda record: True):
        answers = [record for record in read_answers(folder / "data/clinic") if only(record)]
        labels = make_labels(folder / "data/clinic", read_answers(folder / "data/clinic"))
        self.answers = answers
        self.p = np.array([probabilities(record) for record in answers]).astype(np.float32).astype(float)
        self.said = self.p.argmax(axis=1)
        self.referred = np.array([record["prediction"]["recommended_action"] != "monitor" for record in answers])
        self.at = np.array([record["provenance"]["timestamps"]["published"] for record in answers])
        known = [labels.get(record["request_id"]) for record in answers]
        self.truth = np.array([label[0] if label else -1 for label in known])
        self.reviewed = np.array([label[1] if label else -1 for label in known])
        self.week = (self.at - MONDAY) // (7 * DAY_MS)


def counted(rows):
    """The labels that were there when their week was frozen."""
    counts = rows.truth >= 0
    for week in np.unique(rows.week):
        referred = (rows.week == week) & rows.referred
        reviews = np.sort(rows.reviewed[referred & (rows.truth >= 0)])
        needed = math.ceil(0.9 * referred.sum())
        frozen = MONDAY + (week * 7 + 127) * DAY_MS
        if len(reviews) >= needed:
            frozen = min(frozen, reviews[needed - 1])
        counts &= (rows.week != week) | (rows.reviewed <= frozen)
    return counts


def subject_of(record):
    return record["context"].get("subject") or record["request_id"]


def first_melanomas(rows):
    """Of each patient the melanoma that became known first, in the order of reviews."""
    found = {}
    for row in np.lexsort((rows.at, rows.reviewed)):
        if rows.truth[row] == 0:
            found.setdefault(subject_of(rows.answers[row]), row)
    return np.array(list(found.values()))


def ratio_mean(rows, latencies):
    """The mean of latencies, and its variance and their number where hours are drawn, not answers (Cochran 1977, 6.3)."""
    hours = {}
    for at, latency in zip(rows.at, latencies):
        if latency is not None:
            hours.setdefault(at // 3600000, []).append(latency)
    sums, sizes = np.array([sum(of) for of in hours.values()]), np.array([len(of) for of in hours.values()])
    mean = sums.sum() / sizes.sum()
    return mean, np.var(sums - mean * sizes, ddof=1) / len(hours) / sizes.mean() ** 2, len(hours)


def ece_of(confidence, right):
    order = np.argsort(confidence, kind="stable")
    return sum(abs(confidence[part].sum() - right[part].sum()) for part in np.array_split(order, 15)) / len(order)


def test_performance(folder):
    need_scipy()
    document = report(folder, "performance", "paired", "--model", OLD)
    performance, rows = document["performance"], Rows(folder)
    counts = counted(rows)
    expect_equal(performance["basis"], "frozen cohorts", "as the labels are long known")
    truth, p, said = rows.truth[counts], rows.p[counts], rows.said[counts]
    confidence, right = p[np.arange(len(p)), said], said == truth
    eligible = [lesion for lesion in range(8) if (truth == lesion).sum() >= 10]
    aurocs = {lesion: metrics.roc_auc_score(truth == lesion, p[:, lesion]) for lesion in eligible}
    near("macro AUROC", performance["macro_auroc"]["estimate"], np.mean(list(aurocs.values())))
    for lesion, area in aurocs.items():
        near(CODES[lesion], performance["auroc"][CODES[lesion]]["estimate"], area)
    expect_equal(performance["auroc_left_out"], [CODES[lesion] for lesion in range(8) if lesion not in eligible], "too few")
    near("accuracy", performance["accuracy"]["estimate"], metrics.accuracy_score(truth, said))
    recalls = metrics.recall_score(truth, said, labels=eligible, average="macro")
    near("balanced accuracy", performance["balanced_accuracy"]["estimate"], recalls)
    near("Brier", performance["brier"]["estimate"], ((p - np.eye(8)[truth]) ** 2).sum(axis=1).mean())
    near("ECE", performance["ece"]["estimate"], ece_of(confidence, right))
    near("gap", performance["accuracy_gap"]["estimate"], right.mean() - confidence.mean(), 1e-4)
    found, missed = [((truth == 0) & (rows.referred[counts] == called)).sum() for called in (True, False)]
    rate = performance["melanoma_sensitivity"]
    near("naive", rate["naive"]["estimate"], found / (found + missed))
    exact = stats.binomtest(int(found), int(found + missed)).proportion_ci(method="exact")
    near("low", rate["naive"]["low"], exact.low)
    positives, verified = rows.referred.sum(), (rows.referred & counts).sum()
    negatives, verified_negatives = (~rows.referred).sum(), (~rows.referred & counts).sum()
    ill, overlooked = positives * found / verified, negatives * missed / verified_negatives
    near("corrected", rate["corrected"]["estimate"], ill / (ill + overlooked))
    # Lost by chance alone: Begg and Greenes' interval holds the share among all melanomas, known or not.
    check_cohorts(document["cohorts"], rows, counts)
    check_missed(document, rows)


def check_cohorts(cohorts, rows, counts):
    expect_equal(len(cohorts), 6, "weeks")
    for week, cohort in enumerate(cohorts):
        of_week = rows.week == week
        expect_equal(cohort["n"], int(of_week.sum()), "answers of the week")
        expect_equal(cohort["labelled"], int((of_week & counts).sum()), "labels that count")
        expect_equal(cohort["labelled_later"], int((of_week & (rows.truth >= 0) & ~counts).sum()), "labels that came later")
        near("expected accuracy", cohort["expected"]["accuracy"], rows.p[of_week].max(axis=1).mean())


def label_ratio(rows, week):
    """Labels of those who were told to wait, and of the referred, in the weeks up to this one."""
    weeks = rows.week <= week
    shares = [(rows.truth[weeks & (rows.referred == called)] >= 0).mean() for called in (False, True)]
    expect((rows.truth[weeks & ~rows.referred] >= 0).sum() >= 10, "enough of those who wait have labels")
    return shares[0] / shares[1]


def check_missed(document, rows):
    melanomas = np.flatnonzero(rows.truth == 0)
    chart = 0
    [alarm] = [alarm for alarm in document["alarms"] if alarm["name"] == "missed_melanoma"]
    for row in melanomas[np.lexsort((melanomas, rows.reviewed[melanomas]))]:
        ratio = label_ratio(rows, rows.week[row])
        well, bad = (share * ratio / (share * ratio + 1 - share) for share in (0.1, 0.2))
        chart = max(0, chart + math.log((1 - bad) / (1 - well) if rows.referred[row] else bad / well))
        expect(chart < alarm["limit"], "the clinic misses no more than it should")
    near("CUSUM", alarm["value"], chart)
    ground = document["missed_melanomas"]
    expect_equal(ground["basis"], "frozen cohorts", "as the labels are long known")
    near("ratio", ground["label_ratio"], label_ratio(rows, rows.week.max()))


def test_paired(folder):
    need_scipy()
    comparison = report(folder, "comparison", "paired", "--model", OLD, "--with", NEW)["comparison"]
    rows = Rows(folder)
    other = np.array([probabilities(candidate(record)) for record in rows.answers])
    refers = np.array([candidate(record)["prediction"]["recommended_action"] != "monitor" for record in rows.answers])
    melanoma, labelled, first = rows.truth == 0, rows.truth >= 0, first_melanomas(rows)
    worse, better = int((rows.referred & ~refers)[first].sum()), int((refers & ~rows.referred)[first].sum())
    expect(len(first) < melanoma.sum(), "some patients have several melanomas")
    expect_equal(comparison["design"], "paired", "the design")
    expect_equal(comparison["n"], len(first), "patients with a melanoma")
    expect_equal([comparison["mcnemar"]["b"], comparison["mcnemar"]["c"]], [worse, better], "pairs that differ")
    near("McNemar", comparison["mcnemar"]["p"], stats.binomtest(worse, worse + better).pvalue)
    likelihood, _ = integrate.quad(lambda q: 2 * (2 * q) ** better * (2 * (1 - q)) ** worse, 0.5, 1)
    near("e-value", comparison["e_value"], likelihood)
    near("AUROC of a", comparison["delong"]["a"], metrics.roc_auc_score(melanoma[labelled], rows.p[labelled, 0]))
    near("AUROC of b", comparison["delong"]["b"],
         metrics.roc_auc_score(melanoma[labelled], other[labelled, 0].astype(np.float32)))
    expect_equal(comparison["srm"], None, "a ratio of pairs")
    bounds = [stats.binomtest(count, len(first)).proportion_ci(0.975, "exact") for count in (worse, better)]
    near("lowest difference", comparison["melanoma_sensitivity"]["difference"][0], bounds[1].low - bounds[0].high)


def test_split(folder):
    need_scipy()
    comparison = report(folder, "comparison", "split", "--model", OLD, "--with", NEW)["comparison"]
    expect_equal(comparison["design"], "ab", "the design")
    arms, latencies, means, seen = [], [], [], []
    for arm in (False, True):
        rows = Rows(folder, lambda record, arm=arm: arm_of(record) == arm)
        records = [candidate(record) for record in rows.answers] if arm else rows.answers
        referred = np.array([record["prediction"]["recommended_action"] != "monitor" for record in records])
        first = first_melanomas(rows)
        arms.append((int(referred[first].sum()), len(first)))
        moments = [None if record["provenance"]["cache_hit"] or record["provenance"].get("replayed")
                   else record["provenance"]["timestamps"] for record in records]
        latencies.append([moment and moment["published"] - moment["consumed"] for moment in moments])
        means.append(ratio_mean(rows, latencies[-1]))
        seen.append((rows.at, np.array([subject_of(record) for record in records])))
    (found_a, all_a), (found_b, all_b) = arms
    table = [[found_b, all_b - found_b], [found_a, all_a - found_a]]
    near("Fisher", comparison["fisher"]["p"], stats.fisher_exact(table, alternative="greater").pvalue)
    near("Boschloo", comparison["boschloo"]["p"],
         stats.boschloo_exact(np.transpose(table), alternative="greater", n=256).pvalue, 1e-3)
    (mean_a, variance_a, hours_a), (mean_b, variance_b, hours_b) = means
    welch = stats.ttest_ind_from_stats(mean_b, math.sqrt(variance_b * hours_b), hours_b, mean_a, math.sqrt(variance_a * hours_a),
                                       hours_a, equal_var=False)
    near("t", comparison["welch"]["t"], welch.statistic)
    near("p of t", comparison["welch"]["p"], welch.pvalue, 1e-5)
    # The split is judged while both models answer.
    first, last = max(at[0] for at, _ in seen), min(at[-1] for at, _ in seen)
    patients = [len(set(subjects[(at >= first) & (at <= last)])) for at, subjects in seen]
    near("sample ratio", comparison["srm"]["p"], stats.chisquare(patients).pvalue)
    expect_equal([comparison["srm"]["patients_a"], comparison["srm"]["patients_b"]], patients, "patients")
    [latency] = [guardrail for guardrail in comparison["guardrails"] if guardrail["name"] == "latency_p99_ms"]
    p99 = [np.quantile([value for value in values if value is not None], 0.99, method="inverted_cdf") for values in latencies]
    near("difference of the P99", latency["difference"], p99[1] - p99[0])


def test_registered(folder):
    """A plan counts for reports that are made after it, and changes none that was made before."""
    store = f"sqlite://{folder}/data/split.db"
    design = ("--kind", "ab", "--register", "spring", "--model", OLD, "--with", NEW, "--share", "0.25", "--store", store)
    before = folder / "before.json"
    published = monitor("report", "--kind", "comparison", "--from", FIRST, "--to", LAST, "--store", store, "--json", before,
                        "--model", OLD, "--with", NEW).stdout.strip()
    comparison = json.loads(before.read_text())["comparison"]
    expect_equal((comparison["plan"], comparison["plan_missing"], comparison["srm"]["registered"],
                  comparison["srm"]["planned_share_b"]), (None, "not registered", False, 0.5), "without a plan")
    done = monitor("plan", *design, "--n-a", "96", "--n-b", "12", check=False)
    expect("registered as" not in done.stdout and done.returncode == 1, f"what cannot decide is not registered: {done}")
    for bad in (["--alpha", "0.1"], ["--share", ""], ["--with", OLD], ["--store", ""]):
        expect_equal(monitor("plan", *design, "--n-a", "900", "--n-b", "300", *bad, check=False).returncode, 2, f"plan {bad}")
    receipt = json.loads(monitor("plan", *design, "--n-a", "900", "--n-b", "300", "--json").stdout)
    expect_equal(monitor("plan", *design, "--n-a", "900", "--n-b", "300", check=False).returncode, 1, "the same name again")
    document = report(folder, "comparison", "split", "--model", OLD, "--with", NEW)
    comparison, plan = document["comparison"], document["comparison"]["plan"]
    expect_equal((plan["name"], plan["id"], plan["share_b"], plan["n_a"], plan["n_b"], plan["looks"], plan["number"]),
                 ("spring", receipt["registered"], 0.25, 900, 300, 4, 1), "the plan in the report")
    expect_equal((plan["power"], plan["before_first_answer"]), (receipt["power"], False), "its receipt, and that it came late")
    expect_equal(plan["seen_a"] + plan["seen_b"], comparison["n"], "melanomas beside those that were planned")
    expect(comparison["srm"]["registered"] and comparison["srm"]["p"] < 0.001 and comparison["decision"] == "not_enough",
           f"half of the patients where a quarter was registered: {comparison['srm']}")
    expect(">spring<" in (folder / "comparison-split.html").read_text(), "the page shows the plan")
    again = folder / "again.json"
    monitor("report", "--as-of", published, "--store", store, "--json", again)
    expect_equal(again.read_bytes(), before.read_bytes(), "the report of before, made again")
    monitor("audit", "export", "--store", store, "--output", folder / "plans.jsonl")
    entries = [json.loads(line)["entry"] for line in (folder / "plans.jsonl").read_text().splitlines()[1:]]
    expect_equal([entry["action"] for entry in entries], ["plan_registered"] * 2 + ["audit_read"], "entries, of the second try too")
    expect_equal((entries[0]["actor"], entries[0]["outcome"]), (user_of_commands(), plan["id"]), "who registered what")
    subprocess.run(["openssl", "genpkey", "-algorithm", "ed25519", "-out", folder / "key.pem"], check=True)
    subprocess.run(["openssl", "pkey", "-in", folder / "key.pem", "-pubout", "-out", folder / "public.pem"], check=True)
    whole = monitor("audit", "verify", folder / "plans.jsonl", "--public-key", folder / "public.pem").stdout
    expect("entries 1 to 3, whole" in whole and "3 unanchored" in whole, f"the chain of registrations: {whole}")


def test_incident(folder):
    document = report(folder, "incident", "paired", "--model", NEW)
    answers = [candidate(record) for record in read_answers(folder / "data/clinic")]
    [table] = [table for table in document["tables"] if table["title"] == "Answers to look at again"]
    expect_equal({row[0] for row in table["rows"]}, {record["request_id"] for record in answers}, "requests")
    advised = [row[2] for row in table["rows"]]
    waiting = sum(record["prediction"]["recommended_action"] == "monitor" for record in answers)
    expect_equal(advised, sorted(advised, key=["monitor", "routine_referral", "urgent_referral"].index), "the order")
    expect_equal(document["incident"]["monitor"], waiting, "told to wait")
    check_reading(folder, document)


def user_of_commands():
    return f"command:{pwd.getpwuid(os.getuid()).pw_name}"


def check_reading(folder, document):
    """The list was read by who ran the command, and again with --as-of; the other reports are no entries."""
    store, export = f"sqlite://{folder}/data/paired.db", folder / "audit.jsonl"
    again = ("report", "--store", store, "--as-of", document["id"], "--json", folder / "again.json")
    monitor(*again)
    monitor("audit", "export", "--store", store, "--output", export)
    entries = [json.loads(line)["entry"] for line in export.read_text().splitlines()[1:]]
    user = user_of_commands()
    expect_equal([(entry["action"], entry["actor"], entry["outcome"]) for entry in entries],
                 [("incident_read", user, "ok")] * 2 + [("audit_read", user, "ok")], "entries")
    expect_equal(entries[1]["list"], {"answers": document["incident"]["n"], "from": MONDAY, "model": NEW, "site": None,
                                      "to": document["to"]}, "what was read")
    expect(entries[0]["chain"].endswith("-monitor"), entries[0]["chain"])
    (folder / "again.json").unlink()
    refused = monitor(*again, "--audit-chain", ".none", check=False)
    expect(refused.returncode == 1 and not (folder / "again.json").exists(), f"a list without an entry: {refused}")


def test_plan(folder):
    seed = monitor("plan", "--kind", "ab", "--p0", "0.90", "--p1", "0.95", "--n-a", "96", "--n-b", "12", check=False)
    expect_equal(seed.returncode, 1, "what cannot decide is refused")
    expect("power 0.00" in seed.stdout and "189 seen by both" in seed.stdout and "cannot decide" in seed.stderr, seed)
    enough = monitor("plan", "--kind", "paired", "--n-a", "250", "--json")
    said = json.loads(enough.stdout)
    near("power", said["power"], 0.911, 1e-3)
    expect(said["decides"], said)
    for bad in (["--p1", "0.9"], ["--p0", "1.5"], ["--p0", "x"], ["--alpha", "0"], ["--worse", "0.2"]):
        expect_equal(monitor("plan", *bad, check=False).returncode, 2, f"plan {bad}")


if __name__ == "__main__":
    if not (harness.BIN / "skinsight-monitor").exists():
        print("skipped: skinsight-monitor isn't built", file=sys.stderr)
        sys.exit(harness.SKIPPED)
    run_tests([test_performance, test_paired, test_split, test_registered, test_incident, test_plan], "monitor-reports", make_data)

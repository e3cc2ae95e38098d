#!/usr/bin/env python3
"""test_rules.py: Prometheus takes deploy/prometheus/rules.yml, each alert fires where it should and is silent where it should
not, each has its line in docs/OPERATIONS.md, and no expression asks for a metric that no program has; KEDA's object has
the fields that KEDA knows.
"""
import json
import pathlib
import re
import shutil
import subprocess
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "support"))
import harness
from harness import ROOT, expect, expect_equal

RULES = ROOT / "deploy/prometheus/rules.yml"
METRICS = [ROOT / "docs" / name for name in ("METRICS.md", "GATEWAY_METRICS.md", "MONITOR_METRICS.md")]

TOTAL = 'skinsight_stage_duration_seconds_{}{{stage="total"{}}}'
MANY = "0+{}x3000"  # a counter that rises by that much a minute


def latency(share_below_400, share_below_500):
    """Of 100 jobs a minute, how many were faster."""
    return {TOTAL.format("bucket", ',le="0.4"'): MANY.format(share_below_400), TOTAL.format("bucket", ',le="0.5"'): MANY.format(share_below_500),
            TOTAL.format("bucket", ',le="1"'): MANY.format(100), TOTAL.format("bucket", ',le="+Inf"'): MANY.format(100),
            TOTAL.format("count", ""): MANY.format(100)}


def answers(bad):
    return {'skinsight_gateway_responses_total{status="200"}': MANY.format(100 - bad),
            'skinsight_gateway_responses_total{status="5xx"}': MANY.format(bad)}


def gpu(busy):
    return {'skinsight_gpu_utilisation_ratio{instance="a"}': f"{busy}x3000",
            'skinsight_gpu_memory_bytes{kind="total",instance="a"}': "1e9x3000"}


def classes(melanoma, rate=100):
    return {'skinsight_predictions_total{class="melanoma"}': MANY.format(melanoma * rate / 100),
            'skinsight_predictions_total{class="melanocytic_nevus"}': MANY.format((100 - melanoma) * rate / 100)}


def confidence(low):
    return {**classes(10), 'skinsight_prediction_confidence_ratio_bucket{le="0.5"}': MANY.format(low),
            "skinsight_prediction_confidence_ratio_count": MANY.format(100)}


def referrals(urgent):
    return {**classes(10), 'skinsight_recommended_actions_total{action="urgent_referral"}': MANY.format(urgent),
            'skinsight_recommended_actions_total{action="monitor"}': MANY.format(100 - urgent)}


def alarm(name, state, rule="calibrated"):
    return {f'skinsight_alarm_state{{alarm="{name}",rule="{rule}"}}': f"{state}x3000"}


def gauge(name, value):
    return {name: f"{value}x9000"}


# Alert: series with which it fires, and several with which it must not.
CASES = {
    "LatencyHigh": (latency(98, 100), [latency(100, 100)]),
    "LatencyCritical": (latency(90, 98), [latency(90, 100)]),
    "ErrorsHigh": (answers(2), [answers(0.9), {}]),
    "ErrorsCritical": (answers(6), [answers(4)]),
    "GpuBusy": (gpu(0.85), [gpu(0.79), {**gpu(0.9), 'skinsight_gpu_memory_bytes{kind="total",instance="a"}': "0x3000"}]),
    "GpuSaturated": (gpu(0.96), [gpu(0.9)]),
    "GpuUnhealthy": (gauge('skinsight_gpu_temperature_celsius{instance="a"}', 90), [
        gauge('skinsight_gpu_temperature_celsius{instance="a"}', 80), {**gpu(0), 'skinsight_gpu_memory_bytes{kind="used",instance="a"}': "5e8x3000"}]),
    "KnownImageWrong": ({'skinsight_known_answer_checks_total{outcome="failed"}': MANY.format(1)},
                        [{'skinsight_known_answer_checks_total{outcome="passed"}': MANY.format(1)}]),
    "NobodyReads": (gauge("skinsight_assigned_partitions", 0), [gauge("skinsight_assigned_partitions", 4)]),
    "PartitionBlocked": (gauge('skinsight_partition_blocked{cause="unreadable"}', 1), [{}]),
    "BacklogGrows": ({**gauge("skinsight_backlog_jobs", 700), **gauge("skinsight_arrival_jobs_per_second", 10)}, [
        {**gauge("skinsight_backlog_jobs", 500), **gauge("skinsight_arrival_jobs_per_second", 10)}]),
    "BacklogCritical": ({**gauge("skinsight_backlog_jobs", 7000), **gauge("skinsight_arrival_jobs_per_second", 10)}, [
        {**gauge("skinsight_backlog_jobs", 700), **gauge("skinsight_arrival_jobs_per_second", 10)}]),
    "ReviewsOverdue": (gauge("skinsight_gateway_reviews_overdue", 1), [gauge("skinsight_gateway_reviews_overdue", 0)]),
    "MelanomaRateUnusual": (classes(16), [classes(10), classes(20, rate=0.2)]),
    "MelanomaRateCritical": (classes(0.5), [classes(2), classes(20)]),
    "ConfidenceLow": (confidence(31), [confidence(29)]),
    "ConfidenceCritical": (confidence(51), [confidence(40)]),
    "UrgentRateUnusual": (referrals(4), [referrals(7)]),
    "AurocLow": (alarm("auroc_low", 2), [alarm("auroc_low", 1), alarm("auroc_low", 3)]),
    "AurocCritical": (alarm("auroc_low", 3), [alarm("auroc_low", 2)]),
    "MelanomasMissed": (alarm("missed_melanoma", 3), [alarm("missed_melanoma", 1)]),
    "FairnessFail": (gauge("skinsight_fairness_state", 3), [gauge("skinsight_fairness_state", 1), {}]),
    "DriftWarning": (alarm("class_mix", 2), [alarm("class_mix", 1), alarm("kl", 2, "plain"), alarm("auroc_low", 2)]),
    "DriftCritical": (alarm("class_mix", 3), [alarm("class_mix", 2), alarm("kl", 3, "plain"), alarm("fairness", 3)]),
    "SplitNotAsPlanned": (gauge('skinsight_experiment_srm_pvalue{experiment="spring"}', 0.0005), [
        gauge('skinsight_experiment_srm_pvalue{experiment="spring"}', 0.5), {}]),
    "ReferenceOld": (gauge("skinsight_reference_age_seconds", 401 * 86400), [gauge("skinsight_reference_age_seconds", 399 * 86400)]),
    "MonitorDead": ({}, [gauge("skinsight_monitor_collects", 1)]),
    "MonitorDoesNotCollect": (gauge("skinsight_monitor_collects", 0), [gauge("skinsight_monitor_collects", 1)]),
    "AlarmsStale": (gauge("skinsight_monitor_board_timestamp_seconds", 0),
                    [{"skinsight_monitor_board_timestamp_seconds": "0+60x9000"}]),
    "LabelsStalled": (gauge('skinsight_monitor_records{kind="feedback"}', 7),
                      [{'skinsight_monitor_records{kind="feedback"}': "0+1x9000"}]),
    "ScaleHeld": (gauge("skinsight_scale_held", 1), [gauge("skinsight_scale_held", 0)]),
}


def eval_time(name):
    longest = re.findall(r"\[(\d[mhd])\]", alone(name))
    return "4400m" if "3d" in longest else "1500m" if "1d" in longest else "70m"


def alerts():
    return re.findall(r"- alert: (\w+)\n", RULES.read_text())


def need_promtool():
    if not shutil.which("promtool"):
        raise harness.Skipped("there is no promtool; deploy/install.sh --tests installs it")


def test_every_alert_fires_and_is_silent(stack):
    need_promtool()
    expect_equal(sorted(CASES), sorted(alerts()), "alerts with a case")
    subprocess.run(["promtool", "check", "rules", RULES], check=True, capture_output=True)
    firing = dict(re.findall(r"- alert: (\w+)\n.*?severity: (\w+)\n", RULES.read_text(), re.S))
    tests = []
    for name, (fires, silent) in CASES.items():
        for series, wanted in [(fires, True), *((one, False) for one in silent)]:
            tests.append({"interval": "1m", "name": f"{name} {wanted}",
                          "input_series": [{"series": key, "values": values} for key, values in series.items()],
                          "alert_rule_test": [{"eval_time": eval_time(name), "alertname": name}],
                          "wanted": wanted})
    silent_or_not(stack, tests, firing)


def silent_or_not(stack, tests, severities):
    """promtool compares whole alerts. That one is silent is told by no expectation; that one fires, by the failure of that."""
    for test in tests:
        wanted, name = test.pop("wanted"), test["alert_rule_test"][0]["alertname"]
        (stack.folder / "rules.yml").write_text(alone(name))
        path = stack.folder / "rules_test.json"
        path.write_text(json.dumps({"rule_files": ["rules.yml"], "evaluation_interval": "5m", "tests": [test]}))
        done = subprocess.run(["promtool", "test", "rules", path], capture_output=True, text=True, check=False)
        said = done.stdout + done.stderr
        expect(not re.search(r"parse error|cannot unmarshal|no such file", said), said)
        if wanted:
            fired = re.search(r"got:\[(.*)", said, re.S)
            expect(done.returncode == 1 and fired and f'severity="{severities[name]}"' in fired.group(1), f"{test['name']}: {said}")
        else:
            expect(done.returncode == 0, f"{test['name']}: {said}")


def alone(name):
    """A file of rules with this alert: the others would cost the test its time."""
    rule = re.search(rf"      - alert: {name}\n(?:        .*\n)+", RULES.read_text()).group(0)
    return f"groups:\n  - name: one\n    rules:\n{rule}"


def test_alerts_are_documented(stack):
    text = (ROOT / "docs/OPERATIONS.md").read_text()
    section = text.split("## Alerts\n")[1].split("\n## ")[0]
    expect_equal(re.findall(r"^\| `(\w+)` \|", section, re.M), alerts(), "alerts in the page, in the order of the rules")
    for name in alerts():
        expect(f"runbook: docs/OPERATIONS.md, Alerts, {name}\n" in RULES.read_text(), f"{name} names its line")


def known_metrics():
    names = set()
    for path in METRICS:
        names |= set(re.findall(r"^\| `(skinsight_\w+)` \|", path.read_text(), re.M))
    return names


def test_metrics_exist(stack):
    known = known_metrics()
    asked = {re.sub(r"_(bucket|sum|count)$", "", name) if re.sub(r"_(bucket|sum|count)$", "", name) in known else name
             for name in re.findall(r"\bskinsight_\w+", re.sub(r"#.*|name: .*", "", RULES.read_text()))}
    expect_equal(sorted(asked - known), [], "metrics that no program has")


# What KEDA 2's resource of that kind knows, as far as anyone would use it here. Values of metadata are texts. Both objects were
# also valid by KEDA's own definitions with no field besides (kedacore/keda 8b4f083, config/crd/bases, 20 August 2026).
KEDA = {"ScaledObject": {"scaleTargetRef", "pollingInterval", "cooldownPeriod", "minReplicaCount", "maxReplicaCount", "advanced",
                         "triggers", "fallback"},
        "TriggerAuthentication": {"secretTargetRef"}}
TRIGGER = {"type", "name", "metricType", "metadata", "authenticationRef"}
METRICS_API = {"url", "format", "valueLocation", "targetValue", "activationTargetValue", "authMode", "unsafeSsl"}


def test_keda_knows_its_object(stack):
    try:
        import yaml
    except ImportError:
        raise harness.Skipped("there is no python3-yaml; deploy/install.sh --tests installs it") from None
    objects = {one["kind"]: one for one in yaml.safe_load_all((ROOT / "deploy/kubernetes/keda.yaml").read_text())}
    expect_equal(sorted(objects), sorted(KEDA), "kinds")
    for kind, one in objects.items():
        expect_equal((one["apiVersion"], set(one["spec"]) - KEDA[kind]), ("keda.sh/v1alpha1", set()), f"{kind}'s version, foreign fields")
    spec = objects["ScaledObject"]["spec"]
    trigger, = spec["triggers"]
    metadata = trigger["metadata"]
    expect_equal((set(trigger) - TRIGGER, set(metadata) - METRICS_API), (set(), set()), "foreign fields of the trigger")
    expect_equal((trigger["type"], trigger["metricType"], metadata["valueLocation"], metadata["targetValue"]),
                 ("metrics-api", "AverageValue", "desired_workers", "1"), "the trigger")
    expect(all(isinstance(value, str) for value in metadata.values()), "values of metadata are texts")
    expect_equal(trigger["authenticationRef"]["name"], objects["TriggerAuthentication"]["metadata"]["name"], "whose key")
    options = (ROOT / "docs/CONFIGURATION.md").read_text()
    for option, field in (("scale_min", "minReplicaCount"), ("scale_max", "maxReplicaCount")):
        row = re.search(rf"^\| `{option}` \|.*", options, re.M).group(0)
        expect(f" {spec[field]} " in row.replace("`", " "), f"{field} {spec[field]} is not the initial value of {option}: {row}")


if __name__ == "__main__":
    harness.main([test_every_alert_fires_and_is_silent, test_alerts_are_documented, test_metrics_exist,
                  test_keda_knows_its_object])

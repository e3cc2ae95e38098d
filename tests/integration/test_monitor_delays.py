#!/usr/bin/env python3
"""test_monitor_delays.py: limits and delays that a reference of the simulated clinic declares, and the delays until the
charts see what is planted in it, are those that a second simulation of it, which knows nothing of the programs, finds
(docs/SIMULATION.md).
"""
import json
import pathlib
import subprocess
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "support"))
import harness
from harness import expect, expect_equal, run

# tests/bench/monitor_delays.py --seed 1 --streams 500 --parts output: the limit for 12 / 2 / 8 false alarms a year, and days
# until the declared shift is seen. Those with standard errors near 5 % of the days, and input_drift, are of 1600 streams
# that shared by seven, which moves both by some hundredths.
FOUND = {"class_mix": (23.81, 107.3), "entropy": (5.59, 12.7), "confidence": (5.65, 12.3), "urgent_referral": (5.45, 4.9),
         "low_confidence": (5.54, 6.9), "out_of_distribution": (5.35, 25.5), "input_drift": (1.15, 3.7)}
# The same program: days until what is planted is seen, where all streams see it soon.
PLANTED = {("class_mix", "prevalence"): 4.9, ("entropy", "prevalence"): 12.9, ("entropy", "camera"): 15.9,
           ("out_of_distribution", "camera"): 5.6, ("entropy", "swapped_channels"): 1.2,
           ("urgent_referral", "swapped_channels"): 3.4, ("low_confidence", "swapped_channels"): 2.2,
           ("out_of_distribution", "swapped_channels"): 1.2}
YEAR = 365.25


def test_declared_delays(stack):
    folder, store = stack.folder, f"sqlite://{stack.folder}/monitor.db"
    (folder / "references").mkdir()
    run("monitor", "simulate", "--seed", 5, "--days", 56, "--start", "2026-03-02", "--out", folder / "clinic", check=True)
    run("monitor", "import-predictions", folder / "clinic/predictions.jsonl", "--store", store, check=True)
    run("monitor", "reference", "create", "first", "--from", "2026-03-02", "--to", "2026-04-27",
        "--references", folder / "references", "--alarm-budget-per-year", 12, "--store", store, check=True,
        timeout_s=600)  # it simulates some thousand years
    charts = json.loads((folder / "references/first.json").read_text())["limits"]["charts"]
    expect_equal(charts.keys(), FOUND.keys(), "charts")
    for name, (limit, days) in FOUND.items():
        chart = charts[name]
        expect(abs(chart["arl0_days"] * 12 / 2 / 8 / YEAR - 1) < 0.01, f"{name}: a false alarm in {chart['arl0_days']} days")
        expect(abs(chart["limit"] / limit - 1) < 0.15, f"{name}: limit {chart['limit']}, the second simulation's {limit}")
        expect(abs(chart["delay_days"] / days - 1) < 0.15,
               f"{name}: {chart['delay_days']} days, the second simulation's {days}")


def test_planted_delays(_stack):
    """bench_monitor_charts with 300 streams of two months, and no whole clinic; its long form is in docs/SIMULATION.md."""
    done = subprocess.run([harness.BIN / "bench_monitor_charts", "300", "0", "200", "60"], capture_output=True, text=True,
                          timeout=600, check=True)
    lines = [line.split() for line in done.stdout.splitlines()[1:]]
    found = {(chart, plant): (float(days), float(error)) for chart, plant, _, _, _, days, error in lines}
    for (chart, plant), days in PLANTED.items():
        seen, error = found[chart, plant]
        expect(error / seen < 0.05, f"{chart}, {plant}: {seen} days, but the standard error is {error}")
        expect(abs(seen / days - 1) < 0.15, f"{chart}, {plant}: {seen} days, the second simulation's {days}")
    for chart in FOUND.keys() - {"input_drift"}:  # some 225 alarms: three standard errors are 20 %
        seen, _ = found[chart, "none"]
        expect(abs(YEAR / seen / (12 / 2 / 8) - 1) < 0.25, f"{chart}: a false alarm in {seen} days")


if __name__ == "__main__":
    harness.main([test_declared_delays, test_planted_delays])

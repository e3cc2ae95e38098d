#!/usr/bin/env python3
"""test_monitor_delays.py: limits and delays that a reference of the simulated clinic declares are those that a second
simulation of it, which knows nothing of the programs, finds (docs/SIMULATION.md).
"""
import json
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "support"))
import harness
from harness import expect, expect_equal, run

# tests/bench/monitor_delays.py --streams 1600 --seed 1: the limit for 12 / 2 / 7 false alarms a year, and days until the
# declared shift is seen. An eighth of the half, which each chart has now, moves both by some hundredths; the chart of
# confidence is that of entropy the other way round.
FOUND = {"class_mix": (23.81, 107.3), "entropy": (5.48, 12.2), "confidence": (5.48, 12.2), "urgent_referral": (5.45, 4.8),
         "low_confidence": (5.52, 6.7), "out_of_distribution": (5.34, 28.3), "input_drift": (1.15, 3.7)}
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


if __name__ == "__main__":
    harness.main([test_declared_delays])

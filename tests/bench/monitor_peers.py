#!/usr/bin/env python3
"""monitor_peers.py: the monitor's statistics beside Evidently and NannyML, on the same tables.

    python3 -m venv evidently && evidently/bin/pip install evidently==0.7.23 pandas==2.2.3
    python3 -m venv nannyml && nannyml/bin/pip install nannyml==0.13.1 statsmodels==0.14.6
    monitor_peers.py --evidently evidently/bin/python --nannyml nannyml/bin/python [--images-per-day N] [--rounds N]

Two simulated clinics, 56 days as reference and 28 in which a camera changes, go through tests/bench/bench_monitor_tables.c
and through each of the others, in turn. What is timed is processor time from tables in memory to figures: our own for each
of the 28 days; Evidently's for the 28 days as one, as it has no days; NannyML's for each day. Figures whose definitions
agree must agree (1e-9), and each one that does not is told with the reason that is known for it. It needs
SKINSIGHT_BIN, and the others' Pythons; which of them is not given is left out.
"""
import argparse
import contextlib
import json
import math
import os
import pathlib
import subprocess
import sys
import tempfile
import time
import warnings

NUMBERS = ["brightness", "contrast", "sharpness", "red", "green", "blue", "ood_distance", "image_bytes"]
CATEGORIES = ["site", "capture_device", "lesion_location", "fitzpatrick_type", "dermatoscope"]
TOLERANCE = 1e-9


# ---- in the others' Pythons --------------------------------------------------------------------------------


def read_tables(folder):
    import pandas
    tables = []
    for name, start in (("reference", "2026-01-05"), ("current", "2026-03-02")):
        table = pandas.read_csv(folder / f"{name}.csv", dtype={column: str for column in CATEGORIES})
        table["at"] = pandas.Timestamp(start) + pandas.to_timedelta(table.day, unit="D")
        table["melanoma_said"] = (table.p_melanoma >= 0.5).astype(int)
        tables.append(table)
    return tables


def ask_evidently(folder):
    from evidently import DataDefinition, Dataset, Report
    from evidently.presets import DataDriftPreset
    tables = read_tables(folder)
    columns = DataDefinition(numerical_columns=NUMBERS, categorical_columns=CATEGORIES)
    figures, took = {}, 0.0
    for method, categorical in (("psi", "psi"), ("kl_div", "kl_div"), ("jensenshannon", "jensenshannon"),
                                ("wasserstein", "chisquare")):  # its TVD permutes for minutes
        reference, current = (Dataset.from_pandas(table[NUMBERS + CATEGORIES], data_definition=columns)
                              for table in tables)
        start = time.process_time()
        result = Report([DataDriftPreset(num_method=method, cat_method=categorical)]).run(current, reference).dict()
        took += time.process_time() - start
        for metric in result["metrics"]:
            column = metric.get("config", {}).get("column")
            if column:
                used = method if column in NUMBERS else categorical
                figures.setdefault(column, {})[used] = float(metric["value"])
    return {"figures": figures, "took_s": took}


def nannyml_drift(tables, **options):
    import nannyml
    calculator = nannyml.UnivariateDriftCalculator(
        column_names=NUMBERS + CATEGORIES, treat_as_categorical=CATEGORIES,
        continuous_methods=["wasserstein", "jensen_shannon", "hellinger"],
        categorical_methods=["jensen_shannon", "l_infinity", "hellinger", "chi2"],
        **options)
    calculator.fit(tables[0])
    return calculator.calculate(tables[1]).filter(period="analysis").to_df(multilevel=True)


def ask_nannyml(folder):
    import nannyml
    from nannyml.performance_estimation.confidence_based.metrics import estimate_roc_auc
    tables = read_tables(folder)
    start = time.process_time()
    nannyml_drift(tables, timestamp_column_name="at", chunk_period="D")
    took = time.process_time() - start
    # By default it bins 10,000 numbers and more; 0.13.1 looks for the method beside the name, not under it.
    exact = {"wasserstein": {}, "calculation_method": "exact"}
    whole = nannyml_drift(tables, chunk_number=1, computation_params=exact)
    figures = {column: {method: float(whole[column][method]["value"].iloc[0]) for method in methods}
               for methods, columns in ((["wasserstein"], NUMBERS), (["jensen_shannon", "l_infinity", "hellinger"], CATEGORIES))
               for column in columns}
    realised = nannyml.PerformanceCalculator(metrics=["roc_auc"], y_true="melanoma", y_pred="melanoma_said",
                                             y_pred_proba="p_melanoma", problem_type="classification_binary",
                                             chunk_number=1)
    realised.fit(tables[0])
    result = realised.calculate(tables[1]).filter(period="analysis").to_df(multilevel=True)
    figures["auroc_melanoma"] = float(result["roc_auc"]["value"].iloc[0])
    figures["cbpe_auroc_melanoma"] = float(estimate_roc_auc(tables[1].p_melanoma, tables[1].p_melanoma))
    return {"figures": figures, "took_s": took}


PEERS = {"evidently": ask_evidently, "nannyml": ask_nannyml}


def answer_as(peer, folder):
    warnings.simplefilter("ignore")
    with contextlib.redirect_stdout(sys.stderr):
        answer = PEERS[peer](pathlib.Path(folder))
    json.dump(answer, sys.stdout)


# ---- comparing ---------------------------------------------------------------------------------------------

# Ours, theirs, and why they differ; no reason: they must not.
SAME = {
    "evidently": {"numbers": [("wasserstein_sd", "wasserstein", "")],
                  "categories": [("psi", "psi", ""), ("kl_reference_from_current", "kl_div", ""),
                                 ("js", "jensenshannon", "nats, not base 2: ours times sqrt(ln 2) is theirs")]},
    "nannyml": {"numbers": [("wasserstein", "wasserstein", "")],
                "categories": [("js", "jensen_shannon", ""), ("greatest", "l_infinity", ""), ("hellinger", "hellinger", "")]},
}
# Categories that one side of the tables lacks.
REASON_UNSEEN = {"psi": "a share of 0 counts as 0.0001 there, and makes ours infinite",
                 "kl_div": "a share of 0 counts as 0.0001 there, and as nothing here"}


def close(a, b):
    return math.isclose(a, b, rel_tol=TOLERANCE, abs_tol=TOLERANCE)


def compare(peer, ours, theirs):
    """Prints the differences; how many have no reason."""
    agree, unexplained = 0, 0
    rows = [(column, mine, other, reason) for kind, columns in (("numbers", NUMBERS), ("categories", CATEGORIES))
            for mine, other, reason in SAME[peer][kind] for column in columns]
    for column, mine, other, reason in rows:
        a, b = ours[column][mine], theirs[column][other]
        a = math.inf if a is None else a  # JSON has no infinity
        if other == "jensenshannon":
            a *= math.sqrt(math.log(2))
        elif not close(a, b):
            unseen = column in CATEGORIES and ours[column]["psi"] is None
            reason = REASON_UNSEEN.get(other, "") if unseen else reason
        if close(a, b):
            agree += 1
            continue
        unexplained += not reason
        print(f"  {peer} {column} {other}: ours {a:.9g}, theirs {b:.9g}: {reason or 'NO REASON IS KNOWN'}")
    for name in ("auroc_melanoma", "cbpe_auroc_melanoma") if peer == "nannyml" else ():
        a, b = ours[name], theirs[name]
        # They round the expected counts to 1e-5.
        good = math.isclose(a, b, rel_tol=1e-6 if name.startswith("cbpe") else TOLERANCE)
        agree, unexplained = agree + good, unexplained + (not good)
        print(f"  {peer} {name}: ours {a:.9g}, theirs {b:.9g}")
    print(f"  {peer}: {agree} figures agree")
    return unexplained


def program(name):
    return str(pathlib.Path(os.environ["SKINSIGHT_BIN"]) / name)


def simulate(folder, images_per_day, *arguments):
    subprocess.run([program("skinsight-monitor"), "simulate", "--images-per-day", str(images_per_day), "--out", folder,
                    *arguments], check=True, stdout=subprocess.DEVNULL)


def ask(command, folder):
    """The others tell their makers nothing from here."""
    silent = {**os.environ, "NML_DISABLE_USAGE_LOGGING": "1", "NML_DISABLE_USER_ANALYTICS": "1", "DO_NOT_TRACK": "1"}
    return json.loads(subprocess.run(command, cwd=folder, check=True, stdout=subprocess.PIPE, env=silent).stdout)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    for peer in PEERS:
        parser.add_argument(f"--{peer}", help=f"a Python that has it")
    parser.add_argument("--images-per-day", type=int, default=1000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--as-peer", nargs=2, metavar=("PEER", "FOLDER"), help="what the others' Pythons are started with")
    options = parser.parse_args()
    if options.as_peer:
        return answer_as(*options.as_peer)
    pythons = {peer: getattr(options, peer) for peer in PEERS if getattr(options, peer)}
    unexplained = 0
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        simulate(folder / "before", options.images_per_day, "--seed", "1", "--days", "56")
        simulate(folder / "after", options.images_per_day, "--seed", "2", "--days", "28", "--start", "2026-03-02",
                 "--plant", "camera", "--plant-day", "14")
        took = {"ours": []} | {peer: [] for peer in pythons}
        for number in range(options.rounds):
            ours = ask([program("bench_monitor_tables"), "before", "after"], folder)
            took["ours"].append(ours["days_s"])
            for peer, python in pythons.items():
                theirs = ask([python, __file__, "--as-peer", peer, folder], folder)
                took[peer].append(theirs["took_s"])
                if number == 0:
                    unexplained += compare(peer, ours["same"], theirs["figures"])
    print(f"{ours['reference_rows']} and {ours['current_rows']} rows, processor time, best of {options.rounds} in turn:")
    for name, times in took.items():
        print(f"  {name:10} {min(times):8.3f} s   {min(times) / min(took['ours']):8.1f} x")
    return 1 if unexplained else 0


if __name__ == "__main__":
    sys.exit(main())

#!/usr/bin/env python3
"""monitor_delays.py: how soon the monitor's charts see what is planted in the simulated clinic, and how often they and
the plain rules are wrong.

    monitor_delays.py [--images-per-day N] [--budget ALARMS] [--streams N] [--reference-days D] [--seed N] [--parts PARTS] [--json FILE]

Written from docs/SIMULATION.md and from what each chart is said to be, in NumPy, and not from the programs' sources, so
that both can be compared. It draws a large pool of images for each plant, of the same patients, so that pools differ by what is
planted and not by chance; a day's images are drawn from it. Each stream has a reference of its own, from as many days without a plant as the monitor's has: what a small reference does not know
is part of every figure. A chart's limit is the one whose false alarms, over streams without a plant, come at the rate
that the budget gives it: half of it is for these charts, an eighth for each. Delays are days from the midnight at which
the change begins to the end of the day of the alarm, where all was well in the week before. A plain rule's false alarms
are days in alarm. It prints figures and judges nothing; it needs NumPy and SciPy.
"""
import argparse
import json
import math
import pathlib
import sys

import numpy
import scipy.special
import scipy.stats

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "support"))
from second_clinic import BCC, MEL, PLANTS, PRIMARY, SCC, Pool, volumes

LABELLED_REFERRED, CANCER_DELAY_DAYS = 0.8, 10.5
CHARTS = 8  # that share half of the budget
NAMED = "declared"  # the shift by which the monitor declares a chart's delay


# ---- the charts --------------------------------------------------------------------------------------------
#
# A chart is what it makes of each stream's days (an array whose first axes are streams and days) and a function that
# counts alarms: run(limit) gives (streams, days) booleans. It begins anew after an alarm.


def rolling_chart(counts, shares):
    """Pearson's X2 of the last seven days; nothing is said before there are seven. shares: (streams, classes)."""
    def run(limit):
        streams, days, classes = counts.shape
        week = numpy.zeros((7, streams, classes))
        since = numpy.zeros(streams, int)
        alarms = numpy.zeros((streams, days), bool)
        for day in range(days):
            week[day % 7] = counts[:, day]
            since += 1
            alarms[:, day] = (since >= 7) & (pearson(week.sum(0), shares) >= limit)
            since[alarms[:, day]] = 0
            week[:, alarms[:, day]] = 0
        return alarms
    return run


def pearson(seen, shares):
    """Classes that expect fewer than five are one, with the smallest other where that is still fewer than five."""
    expected = seen.sum(1, keepdims=True) * shares
    small = expected < 5
    lacking = small.any(1) & ((expected * small).sum(1) < 5)
    smallest = numpy.where(small, numpy.inf, expected).argmin(1)
    small[numpy.flatnonzero(lacking), smallest[lacking]] = True
    alone = numpy.where(small, 0, (seen - expected) ** 2 / numpy.where(expected > 0, expected, 1)).sum(1)
    together = (expected * small).sum(1)
    difference = ((seen - expected) * small).sum(1)
    return alone + difference ** 2 / numpy.where(together > 0, together, 1)


def cusum_chart(up, down):
    """up, down: (streams, days) scores of both sides."""
    def run(limit):
        rise, fall = numpy.zeros(len(up)), numpy.zeros(len(up))
        alarms = numpy.zeros(up.shape, bool)
        for day in range(up.shape[1]):
            rise, fall = numpy.maximum(0, rise + up[:, day]), numpy.maximum(0, fall + down[:, day])
            alarms[:, day] = numpy.maximum(rise, fall) >= limit
            rise[alarms[:, day]] = fall[alarms[:, day]] = 0
        return alarms
    return run


def bernoulli_chart(events, trials, p0):
    """Likelihood ratios to odds that are 1.5 times as high, and as low."""
    scores = []
    for odds in (1.5, 1 / 1.5):
        p1 = odds * p0 / (1 - p0 + odds * p0)
        scores.append(events * numpy.log(p1 / p0)[:, None] + (trials - events) * numpy.log((1 - p1) / (1 - p0))[:, None])
    return cusum_chart(*scores)


def look_chart(figures):
    """Three of the last five looks reach the limit. figures: (streams, days), NaN where a day ends no look."""
    def run(limit):
        hits = numpy.zeros((5, len(figures)), bool)
        at = numpy.zeros(len(figures), int)
        alarms = numpy.zeros(figures.shape, bool)
        rows = numpy.arange(len(figures))
        for day in range(figures.shape[1]):
            looked = ~numpy.isnan(figures[:, day])
            hits[at[looked] % 5, rows[looked]] = figures[looked, day] >= limit
            at[looked] += 1
            alarms[:, day] = looked & (hits.sum(0) >= 3)
            hits[:, alarms[:, day]] = False
        return alarms
    return run


def rule(alarms):
    """A plain rule has no limit to choose, and no memory."""
    return lambda limit: alarms


def find_limit(run, rate_per_day, high):
    """The limit whose alarms come at the rate."""
    low = 0.0
    for _ in range(30):
        middle = (low + high) / 2
        low, high = (middle, high) if run(middle).mean() > rate_per_day else (low, middle)
    return high


# ---- streams -----------------------------------------------------------------------------------------------


def sum_by_day(values, counts, random):
    """For each stream and day the sum of that many values, drawn with repetition."""
    sums = numpy.empty(counts.shape)
    for day in range(counts.shape[1]):
        n = counts[:, day]
        drawn = numpy.concatenate([[0.0], values[random.integers(0, len(values), n.sum())].cumsum()])
        ends = n.cumsum()
        sums[:, day] = drawn[ends] - drawn[ends - n]
    return sums


class Reference:
    """What the streams' references hold of the daily output: an array for each figure, a row a stream."""

    def __init__(self, pool, streams, images, random):
        self.images, self.streams = images, streams
        shares = numpy.bincount(pool.said, minlength=8) / len(pool.said)
        counts = random.multinomial(images, shares, streams)
        self.shares = (counts + 0.5) / (images + 4)
        self.sds = {name: values.std() for name, values in pool.means.items()}
        self.means = {name: values.mean() + values.std() / math.sqrt(images) * random.standard_normal(streams)
                      for name, values in pool.means.items()}
        self.rates = {name: (random.binomial(images, events.mean(), streams) + 0.5) / (images + 1)
                      for name, events in pool.rates.items()}


class Days:
    """Streams of days: quiet ones without a plant, and then planted ones. named: what follows the quiet ones is instead
    the shift by which the monitor declares each chart's delay: a quarter more melanomas among the answers, a day's mean
    entropy higher and its mean confidence lower by one standard deviation, odds of the rates times 1.5."""

    def __init__(self, quiet, planted, counts, quiet_days, random, named=False):
        self.pools, self.counts, self.quiet_days, self.random = (quiet, planted), counts, quiet_days, random
        self.named = named

    def _parts(self):
        return ((self.pools[0], self.counts[:, :self.quiet_days]), (self.pools[1], self.counts[:, self.quiet_days:]))

    def classes(self):
        shares = [numpy.bincount(pool.said, minlength=8) / len(pool.said) for pool in self.pools]
        if self.named:
            shares[1] = shares[1] * (1 - 1.25 * shares[1][MEL]) / (1 - shares[1][MEL])
            shares[1][MEL] = 1 - shares[1].sum() + shares[1][MEL]
        return numpy.concatenate([self.random.multinomial(n, share) for share, (_, n) in zip(shares, self._parts())], axis=1)

    def events(self, name):
        rates = [pool.rates[name].mean() for pool in self.pools]
        if self.named:
            rates[1] = 1.5 * rates[1] / (1 + 0.5 * rates[1])
        return numpy.concatenate([self.random.binomial(n, rate) for rate, (_, n) in zip(rates, self._parts())], axis=1)

    def sums(self, name):
        sums = [sum_by_day(pool.means[name], n, self.random) for pool, n in self._parts()]
        if self.named:
            n, sign = self._parts()[1][1], {"entropy": 1, "confidence": -1}[name]
            sums[1] += sign * n * self.pools[1].means[name].std() / math.sqrt(self.counts.mean())
        return numpy.concatenate(sums, axis=1)


def mean_chart(days, reference, name):
    n = days.counts
    z = (days.sums(name) - n * reference.means[name][:, None]) / (reference.sds[name] * numpy.sqrt(numpy.maximum(n, 1)))
    z = numpy.where(n > 0, z, 0)
    return cusum_chart(z - 0.5, -z - 0.5)


def output_charts(days, reference):
    """Name, chart, greatest limit worth a look."""
    yield "class_mix", rolling_chart(days.classes(), reference.shares), 200
    for name in reference.means:
        yield name, mean_chart(days, reference, name), 60
    for name, p0 in reference.rates.items():
        yield name, bernoulli_chart(days.events(name), days.counts, p0), 60


def output_rules(days, reference):
    classes, n = days.classes(), numpy.maximum(days.counts, 1)
    week = numpy.stack([classes[:, max(0, day - 6):day + 1].sum(1) for day in range(classes.shape[1])], axis=1)
    total = week.sum(2, keepdims=True)
    shares = reference.shares[:, None, :]
    deviations = (week - total * shares) / numpy.sqrt(numpy.maximum(total * shares * (1 - shares), 1e-9))
    full = numpy.arange(classes.shape[1]) >= 6
    yield "plain_two_sd", rule((numpy.abs(deviations) > 2).any(2) & full)
    melanoma, urgent = classes[:, :, MEL] / n, days.events("urgent_referral") / n
    yield "plain_melanoma_rate", rule((melanoma < 0.03) | (melanoma > 0.15))
    yield "plain_low_confidence", rule(days.events("low_confidence") / n > 0.3)
    yield "plain_urgent_band", rule((urgent < 0.05) | (urgent > 0.10))


# ---- input -------------------------------------------------------------------------------------------------


def bins_of(pool, drawn, edges):
    """(features, images): the bin of each number, guards included, then of each category."""
    rows = [numpy.searchsorted(edges[name], values[drawn], side="right") for name, values in pool.numbers.items()]
    return numpy.stack(rows + [values[drawn] for values, _ in pool.categories.values()])


def greatest_kl(now, then, numbers):
    shares = [(counts + 0.5) / (counts.sum(1, keepdims=True) + counts.shape[1] / 2) for counts in (now[:numbers], then[:numbers])]
    return (shares[0] * numpy.log(shares[0] / shares[1])).sum(1).max()


def least_adjusted_p(now, then):
    """Of two-sample G tests of each feature, for their number (Benjamini and Hochberg)."""
    p = []
    for a, b in zip(now, then):
        both = a + b
        a, b, both = a[both > 0], b[both > 0], both[both > 0]
        small = both * a.sum() / both.sum() < 5
        if small.any():
            a, b = (numpy.append(x[~small], x[small].sum()) for x in (a, b))
            both = a + b
        g = 2 * sum(scipy.special.xlogy(x, x * both.sum() / (both * x.sum())).sum() for x in (a, b))
        p.append(scipy.special.chdtrc(max(len(both) - 1, 1), g))
    p = numpy.sort(p)
    return (p * len(p) / numpy.arange(1, len(p) + 1)).min()


def input_stream(pools, counts, quiet_days, images, random):
    """One stream: figures of its days (-log10 of the least adjusted p; NaN where a day ends no look), and each day's
    greatest KL."""
    quiet = pools[0]
    drawn = random.integers(0, len(quiet.said), images)
    edges = {name: numpy.quantile(values[drawn], numpy.linspace(0, 1, 11)) for name, values in quiet.numbers.items()}
    for values in edges.values():
        values[-1] = numpy.nextafter(values[-1], numpy.inf)
    width = 12
    histogram = lambda bins: numpy.stack([numpy.bincount(row, minlength=width) for row in bins])
    then = histogram(bins_of(quiet, drawn, edges))
    figures, kls = numpy.full(len(counts), numpy.nan), numpy.full(len(counts), numpy.nan)
    gathered = numpy.zeros_like(then)
    for day, n in enumerate(counts):
        pool = pools[day >= quiet_days]
        now = histogram(bins_of(pool, random.integers(0, len(pool.said), n), edges))
        kls[day] = greatest_kl(now, then, len(quiet.numbers)) if n >= 200 else numpy.nan
        gathered += now
        if gathered[0].sum() >= 200:
            figures[day] = -math.log10(max(least_adjusted_p(gathered, then), 1e-300))
            gathered[:] = 0
    return figures, kls


def input_charts(pools, counts, quiet_days, images, random):
    both = [input_stream(pools, row, quiet_days, images, random) for row in counts]
    return (look_chart(numpy.stack([figures for figures, _ in both])),
            rule(numpy.stack([kls for _, kls in both]) > 0.1))


# ---- labels ------------------------------------------------------------------------------------------------


def missed_stream(pools, options, quiet_days, days, monitored, random):
    """One stream of melanomas in the order in which they become known: their days, and the chart's scores, the likelihood
    ratio of 0.20 of all missed to 0.10 where misses become known that much more seldom. Missed: answered "monitor"."""
    counts = random.binomial(volumes(1, days, options.images_per_day, random)[0], PRIMARY[MEL])
    came = numpy.repeat(numpy.arange(days), counts) + random.random(counts.sum())
    shares = numpy.array([pool.monitored[pool.truth == MEL].mean() for pool in pools])
    missed = random.random(len(came)) < shares[(came >= quiet_days).astype(int)]
    known = random.random(len(came)) < numpy.where(missed, monitored, LABELLED_REFERRED)
    at = (came + random.exponential(CANCER_DELAY_DAYS, len(came)))[known]
    order = at.argsort()
    ratio = monitored / LABELLED_REFERRED
    well, bad = (share * ratio / (share * ratio + 1 - share) for share in (0.1, 0.2))
    return at[order], numpy.where(missed[known][order], math.log(bad / well), math.log((1 - bad) / (1 - well)))


def missed_alarms(stream, limit):
    score, alarms = 0.0, []
    for at, step in zip(*stream):
        score = max(0.0, score + step)
        if score >= limit:
            alarms.append(at)
            score = 0.0
    return numpy.array(alarms)


# ---- figures -----------------------------------------------------------------------------------------------


def delay_of(alarms, quiet_days, plain=False):
    """All days until the first alarm behind the change, or the end, over those alarms; and the share that had one. Of a
    chart only streams count that had no alarm before; a plain rule has had too many for that."""
    alarms = alarms[plain | ~alarms[:, :quiet_days].any(1), quiet_days:]
    came = alarms.any(1)
    days = numpy.where(came, alarms.argmax(1) + 1, alarms.shape[1])
    mean = days.sum() / came.sum() if came.any() else None
    error = float(numpy.sqrt(((days - mean * came) ** 2).sum()) / came.sum()) if came.any() else None
    return {"days": mean and float(mean), "error": error,
            "seen": float(came.mean()) if len(came) else None, "streams": len(alarms)}


def note_output(pools, options, figures, random):
    rate = options.budget / 2 / CHARTS / 365.25
    images, streams = options.reference_days * options.images_per_day, options.streams
    limits = {}
    reference = Reference(pools["none"], streams, images, random)
    null = Days(pools["none"], pools["none"], volumes(streams, 182, options.images_per_day, random), 0, random)
    for name, run, high in output_charts(null, reference):
        limits[name] = find_limit(run, rate, high)
        figures[name] = {"limit": limits[name], "alarms_a_year": float(run(limits[name]).mean() * 365.25)}
    for name, run in output_rules(null, reference):
        figures[name] = {"alarms_a_year": float(run(None).mean() * 365.25)}
    for plant in PLANTS[1:]:
        counts = volumes(streams, 7 + options.days, options.images_per_day, random)
        days = Days(pools["none"], pools[plant], counts, 7, random)
        for name, run, _ in output_charts(days, reference):
            figures[name][plant] = delay_of(run(limits[name]), 7)
        for name, run in output_rules(days, reference):
            figures[name][plant] = delay_of(run(None), 7, plain=True)
    # As a chart's run length is understood: it begins with the shift, though the week behind it is full.
    for quiet_days, names in ((6, ["class_mix"]), (0, [*reference.means, *reference.rates])):
        counts = volumes(streams, quiet_days + options.days, options.images_per_day, random)
        days = Days(pools["none"], pools["none"], counts, quiet_days, random, named=True)
        for name, run, _ in output_charts(days, reference):
            if name in names:
                figures[name][NAMED] = delay_of(run(limits[name]), quiet_days)


def note_input(pools, options, figures, random):
    rate = options.budget / 2 / CHARTS / 365.25
    images, streams = options.reference_days * options.images_per_day, max(options.streams // 8, 1)
    quiet = pools["none"]
    chart, kl = input_charts((quiet, quiet), volumes(streams, 182, options.images_per_day, random), 0, images, random)
    limit = find_limit(chart, rate, 50)
    figures["input_drift"] = {"limit": limit, "alarms_a_year": float(chart(limit).mean() * 365.25)}
    figures["plain_kl"] = {"alarms_a_year": float(kl(None).mean() * 365.25)}
    for plant in ("camera", "swapped_channels", NAMED):
        quiet_days = 0 if plant == NAMED else 7
        counts = volumes(streams, quiet_days + 28, options.images_per_day, random)
        chart, kl = input_charts((quiet, pools[plant]), counts, quiet_days, images, random)
        figures["input_drift"][plant] = delay_of(chart(limit), quiet_days)
        figures["plain_kl"][plant] = delay_of(kl(None), quiet_days, plain=True)


def note_labels(pools, options, figures, random):
    rate = options.budget / 2 / CHARTS / 365.25
    pair = (pools["none"], pools["missed_melanoma"])
    for name, monitored in (("missed_melanoma, 2 % of the monitored labelled", 0.02),
                            ("missed_melanoma, 80 % of the monitored labelled", 0.8)):
        null = [missed_stream((pair[0], pair[0]), options, 0, 730, monitored, random) for _ in range(200)]
        low, high = 0.0, 20.0
        for _ in range(20):
            middle = (low + high) / 2
            count = sum(len(missed_alarms(stream, middle)) for stream in null)
            low, high = (middle, high) if count > rate * 730 * len(null) else (low, middle)
        days, seen, streams = 0.0, 0, 0
        for _ in range(400):
            alarms = missed_alarms(missed_stream(pair, options, 60, 60 + options.days, monitored, random), high)
            if (alarms < 60).any():
                continue
            days += min(alarms[0] - 60 if len(alarms) else math.inf, options.days)
            seen, streams = seen + (len(alarms) > 0), streams + 1
        figures[name] = {"limit": high, "missed_melanoma": {"days": days / seen if seen else None,
                                                            "seen": seen / streams, "streams": streams}}


def macro_auroc(truth, probabilities):
    """Mean of the classes with ten positives at least; NaN without any."""
    areas = []
    for label in range(8):
        positive = truth == label
        n = positive.sum()
        if 10 <= n < len(truth):
            ranks = scipy.stats.rankdata(probabilities[:, label])
            areas.append((ranks[positive].sum() - n * (n + 1) / 2) / (n * (len(truth) - n)))
    return numpy.mean(areas) if areas else numpy.nan


def auroc_stream(pools, options, quiet_days, days, random):
    """Whether the macro AUROC of the labels that came in the last 28 days is below 0.93, for each day."""
    counts = volumes(1, days, options.images_per_day, random)[0]
    rows = []
    for planted, pool in enumerate(pools):
        day = numpy.repeat(numpy.arange(days), counts)
        day = day[(day >= quiet_days) == bool(planted)]
        drawn = random.integers(0, len(pool.said), len(day))
        known = random.random(len(day)) < numpy.where(pool.monitored[drawn], 0.02, LABELLED_REFERRED)
        day, drawn = day[known], drawn[known]
        cancer = numpy.isin(pool.truth[drawn], [MEL, BCC, SCC])
        at = day + random.random(len(day)) + random.exponential(numpy.where(cancer, CANCER_DELAY_DAYS, 42))
        rows.append((at, pool.truth[drawn], pool.probabilities[drawn]))
    at, truth, probabilities = (numpy.concatenate(parts) for parts in zip(*rows))
    below = numpy.zeros(days, bool)
    for day in range(days):
        window = (at > day - 27) & (at <= day + 1)
        below[day] = macro_auroc(truth[window], probabilities[window]) < 0.93
    return below


def note_auroc(pools, options, figures, random):
    """The streams begin with three months in which labels come in."""
    streams, before = max(options.streams // 40, 2), 91
    stream = lambda plant, days: numpy.stack([auroc_stream((pools["none"], pools[plant]), options, before, before + days,
                                                           random)[before - 7:] for _ in range(streams)])
    figures["plain_auroc"] = {"alarms_a_year": float(stream("none", 182)[:, 7:].mean() * 365.25)}
    for plant in PLANTS[1:]:
        figures["plain_auroc"][plant] = delay_of(stream(plant, 182), 7, plain=True)


def print_table(figures):
    print(f"{'chart or rule':48} {'limit':>7} {'false/y':>8}" + "".join(f"{plant:>17}" for plant in [*PLANTS[1:], NAMED]))
    for name, row in figures.items():
        cells = []
        for plant in [*PLANTS[1:], NAMED]:
            cell = row.get(plant)
            cells.append("" if not cell else "never" if cell["days"] is None else
                         f"{cell['days']:.1f}" + (f" ({cell['seen']:.0%})" if cell["seen"] < 0.995 else ""))
        limit = f"{row['limit']:.2f}" if "limit" in row else ""
        rate = f"{row['alarms_a_year']:.2f}" if "alarms_a_year" in row else ""
        print(f"{name:48} {limit:>7} {rate:>8}" + "".join(f"{cell:>17}" for cell in cells))


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images-per-day", type=int, default=200)
    parser.add_argument("--reference-days", type=int, default=56)
    parser.add_argument("--budget", type=float, default=12, help="false alarms a year, of all charts together")
    parser.add_argument("--streams", type=int, default=1600)
    parser.add_argument("--days", type=int, default=365, help="after the change")
    parser.add_argument("--pool", type=int, default=400000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--parts", default="output,input,labels,auroc", help="which charts and rules")
    parser.add_argument("--json", help="file for the figures")
    options = parser.parse_args()
    random = numpy.random.default_rng(options.seed)
    patients = lambda: numpy.random.default_rng((options.seed, 1))  # the same each time
    pools = {"none": Pool("none", options.pool, patients())}
    pools[NAMED] = Pool("none", options.pool, patients(), far=pools["none"].far_from)
    tenth = random.random(options.pool) < 0.1
    pools[NAMED].categories["capture_device"][0][tenth] = 4  # which the reference has never seen
    for plant in PLANTS[1:]:
        pools[plant] = Pool(plant, options.pool, patients(), far=pools["none"].far_from)
    figures = {}
    parts = {"output": note_output, "input": note_input, "labels": note_labels, "auroc": note_auroc}
    for name in options.parts.split(","):
        parts[name](pools, options, figures, random)
    print_table(figures)
    if options.json:
        with open(options.json, "w") as file:
            json.dump(figures, file, indent=1)
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""second_clinic.py: the simulated clinic once more, from docs/SIMULATION.md alone, with NumPy and SciPy.

    Pool(plant, size, random)      many images, what the model says of them and what the camera saw
    volumes(streams, days, ...)    how many come each day
"""
import numpy
import scipy.special

MEL, BCC, AK, SCC = 0, 2, 3, 7
PRIMARY = numpy.array([0.03, 0.62, 0.05, 0.07, 0.17, 0.02, 0.02, 0.02])
URGENT_FROM = 0.054266
SEPARATION, FAR_QUANTILE = 2.35, 0.99
WEEKDAYS = numpy.array([1.25, 1.2, 1.15, 1.15, 1.1, 0.7, 0.45])
VISIT = [0.75, 0.20, 0.05]
SITES = [0.4, 0.3, 0.2, 0.1]
SKIN = [0.12, 0.35, 0.30, 0.12, 0.07, 0.04]
#                     level  red   blue  contrast sharpness
CAMERAS = numpy.array([[0.58, 0.12, -0.06, 0.12, 0.0020],
                       [0.60, 0.10, -0.05, 0.13, 0.0026],
                       [0.64, 0.14, -0.03, 0.15, 0.0040],
                       [0.66, 0.13, -0.04, 0.16, 0.0050],
                       [0.74, 0.09, -0.02, 0.19, 0.0085]])
CAMERA_SHARES = numpy.array([[0.2, 0.1, 0.4, 0.3], [0.5, 0.3, 0.1, 0.1], [0.1, 0.4, 0.5, 0.0], [0.0, 0.0, 0.2, 0.8]])
DERMATOSCOPE = numpy.array([0.3, 0.3, 1, 1, 1])
PLACES = [0.20, 0.05, 0.22, 0.13, 0.12, 0.13, 0.10, 0.05]
PLANTS = ["none", "melanoma_share", "prevalence", "camera", "swapped_channels", "missed_melanoma"]


def planted_shares(plant):
    factor, grows = {"melanoma_share": (1.25, [MEL]), "prevalence": (1.5, [MEL, BCC, AK, SCC])}.get(plant, (1, []))
    shares = PRIMARY.copy()
    shares[grows] *= factor
    others = [i for i in range(8) if i not in grows]
    shares[others] *= (1 - shares[grows].sum()) / shares[others].sum()
    return shares


class Pool:
    """Many images of the clinic under one plant: what the model says of them, and what the camera saw."""

    def __init__(self, plant, size, random, far=None):
        truth = random.choice(8, size, p=planted_shares(plant))
        self.site = random.choice(4, size, p=SITES)
        camera = (random.random(size)[:, None] > CAMERA_SHARES.cumsum(1)[self.site]).sum(1).clip(max=3)
        if plant == "camera":
            camera[self.site == 0] = 4
        strange = camera == 4 if plant == "camera" else numpy.full(size, plant == "swapped_channels")
        clarity = numpy.where(strange, 0.9 if plant == "camera" else 0.7, 1)
        point = random.standard_normal((size, 8))
        point[numpy.arange(size), truth] += SEPARATION * clarity
        logits = numpy.log(PRIMARY) + SEPARATION * point
        if plant == "missed_melanoma":
            logits[(truth == MEL) & (random.random(size) < 1 / 9), MEL] -= 20
        self.truth, self.probabilities = truth, scipy.special.softmax(logits, axis=1)
        self._say(point, numpy.where(strange, 1.15 if plant == "camera" else 1.3, 1), far)
        self._see(camera, plant == "swapped_channels", random)

    def _say(self, point, strangeness, far):
        p = self.probabilities
        nearest = (point ** 2).sum(1) + SEPARATION ** 2 - 2 * SEPARATION * point.max(1)
        self.distance = numpy.sqrt(nearest.clip(min=0)) * strangeness
        self.far_from = numpy.quantile(self.distance, FAR_QUANTILE) if far is None else far
        self.said = p.argmax(1)
        self.means = {"entropy": -scipy.special.xlogy(p, p).sum(1), "confidence": p.max(1)}
        malignant = p[:, [MEL, BCC, SCC]].sum(1)
        self.monitored = ((p[:, MEL] < URGENT_FROM) & (malignant < 0.2) & (p[:, AK] < 0.3) & (p.max(1) >= 0.5) &
                          (self.distance <= self.far_from))
        self.rates = {"urgent_referral": p[:, MEL] >= URGENT_FROM, "low_confidence": p.max(1) < 0.5,
                      "out_of_distribution": self.distance > self.far_from}

    def _see(self, camera, swapped, random):
        size, (level, red, blue, contrast, sharpness) = len(camera), CAMERAS[camera].T
        skin = random.choice(6, size, p=SKIN) + 1
        green = (level - 0.03 * (skin - 2) + 0.06 * random.standard_normal(size)).clip(0.05, 0.85)
        red, blue = (green + blue, green + red) if swapped else (green + red, green + blue)
        place = numpy.where(random.random(size) < 0.02, 8, random.choice(8, size, p=PLACES))
        dermatoscope = random.random(size) < DERMATOSCOPE[camera]
        self.categories = {"site": (self.site, 4), "capture_device": (camera, 5), "lesion_location": (place, 9),
                           "fitzpatrick_type": (numpy.where(random.random(size) < 0.2, 0, skin), 7),
                           "dermatoscope": (dermatoscope.astype(int), 2)}
        self.numbers = {"brightness": 0.299 * red + 0.587 * green + 0.114 * blue,
                        "contrast": (contrast * numpy.exp(0.25 * random.standard_normal(size))).clip(0.02, 0.5),
                        "sharpness": sharpness * numpy.exp(0.5 * random.standard_normal(size)),
                        "red": red, "green": green, "blue": blue, "distance": self.distance}


def volumes(streams, days, per_day, random):
    """(streams, days) images; each stream begins on any day of the week."""
    mean = per_day / 1.3 * WEEKDAYS[(random.integers(0, 7, streams)[:, None] + numpy.arange(days)) % 7]
    visits = random.poisson(mean, (streams, days))
    three = random.binomial(visits, VISIT[2])
    two = random.binomial(visits - three, VISIT[1] / (1 - VISIT[2]))
    return visits + two + 2 * three

"""Architecture selection (Zeiler & Fergus, sec. 4.1, fig. 6): 11×11 filters at stride 4 against 7×7 at stride 2.

The paper saw in AlexNet's first layer very high and low frequencies with little between, and dead features, and in its
second layer aliasing, which smaller filters and a smaller stride removed. Here each is measured, on networks that differ in
the first layer alone, with and without the paper's filter renormalization, same seeds and budget for all.
"""

from dataclasses import dataclass

import numpy as np

from .. import checkpoint
from ..visualize.filters import colour_filters
from .jobs import NO_DROPOUT, SMALL, Job, Recipe, small_recipe, train_all
from .statistics import mean_deviation
from .study import Claim, Study, Table

# The root mean square that a filter is brought back to. The paper's 0.1 belongs to inputs of ±128 and weights that start at
# 0.01; here inputs are of ±4, first filters start at 0.02 to 0.03, and in a short training none would reach it.
RADIUS = 0.06
ARMS = {"11×11 stride 4": ("alexnet_mini", None), "11×11 stride 4, renormalized": ("alexnet_mini", RADIUS),
        "7×7 stride 2": ("zfnet_mini", None), "7×7 stride 2, renormalized": ("zfnet_mini", RADIUS)}
FIELD = 64                   # places a side that filters are padded to, so that their spectra compare
BANDS = {"low": (0, 0.1), "middle": (0.1, 0.25), "high": (0.25, 1)}         # cycles a pixel
SHIFTS = 4                   # pixels each way that pictures are shifted by: the larger of the strides
BORDER = 4                   # places at the edge of layer 2 that are left out: they see what comes into view
# Of each arm and seed, in the order of `measures`; the first three are shares.
MEASURES = ("low", "middle", "high", "dead in layer 1", "dead in layer 2", "weak filters", "held filters", "aliasing",
            "change by one pixel", "error")


@dataclass
class Architecture(Study):
    """The MEASURES, values (A, S, len(MEASURES)), of A arms (names in ARMS) and S seeds.

    filters {arm: (F, 3, KH, KW)}: the first seed's first layer. images: how many were trained and validated on.
    """

    settings: dict
    arms: list
    values: np.ndarray
    filters: dict
    images: tuple
    name = "architecture"
    title = "Architecture selection"
    source = "Zeiler & Fergus, sec. 4.1, fig. 6"

    def arrays(self):
        return super().arrays() | {f"filters_{k}": self.filters[arm] for k, arm in enumerate(self.arms)}

    def of(self, arm, measure):
        """Return a measure of an arm (S,)."""
        return self.values[self.arms.index(arm), :, MEASURES.index(measure)]

    def tables(self):
        shares = set(MEASURES) - {"aliasing", "change by one pixel"}
        rows = [[measure, *(mean_deviation(self.of(arm, measure), 1 if measure in shares else 3, measure in shares)
                            for arm in self.arms)] for measure in MEASURES]
        return [Table(f"Trained on {self.images[0]:,} pictures, validated on {self.images[1]:,}; mean ± deviation over "
                      f"{self.values.shape[1]} seeds; bands of the first layer's energy in cycles a pixel: low below 0.1, "
                      f"high from 0.25; weak: of less than a quarter of the median's length; held: at the radius {RADIUS:g}",
                      ["measure", *self.arms], rows)]

    def claims(self):
        large, _, small, _ = ARMS
        pairs = [(large, small), *([tuple(ARMS)[1::2]] if len(self.arms) == 4 else [])]

        def claim(says, measure, paper, better, percent=True, digits=1):
            texts = [f"{a} {mean_deviation(self.of(a, measure), digits, percent)}, {b} "
                     f"{mean_deviation(self.of(b, measure), digits, percent)}" for a, b in pairs]
            means = [(self.of(a, measure).mean(), self.of(b, measure).mean()) for a, b in pairs]
            told = any(a != b for a, b in means)
            return Claim(says, paper, "; ".join(texts), bool(all(better(a, b) for a, b in means)) if told else None)

        return [claim("The small first layer covers the middle frequencies better.", "middle", "seen, not counted",
                      lambda a, b: b > a),
                claim("It has fewer weak filters, near to dead.", "weak filters", "seen, not counted", lambda a, b: b <= a),
                claim("Layer 2 above it has fewer dead maps.", "dead in layer 2", "", lambda a, b: b <= a),
                claim("Layer 2 has less aliasing.", "aliasing", "seen, not counted", lambda a, b: b < a, False, 3),
                claim("The error is lower.", "error", "40.5 (AlexNet, replicated) against 38.4 % top-1", lambda a, b: b < a)]


def architecture(source, folder, ops, arms=None, seeds=2, epochs=8, seed=0, side_by_side=2, probed=200, settings=None,
                 say=print, **changes):
    """Train every arm with every seed, by jobs.train_all in `folder`, and measure them.

    Returns an Architecture, and {arm: the checkpoint of its first seed}. source: a jobs.Source. probed: validation pictures
    that dead maps and aliasing are measured on. changes: of the runs' settings, as jobs.small_recipe takes them.
    """
    arms = list(ARMS) if arms is None else list(arms)
    jobs = []
    for arm in arms:
        model, radius = ARMS[arm]
        for s in range(seeds):
            usual = small_recipe(epochs, seed + s, max_filter_rms=radius, **changes)
            name = f"{model}{'_renormalized' if radius else ''}_seed{seed + s}"
            jobs.append(Job(name, Recipe(model, SMALL | NO_DROPOUT, usual.settings, usual.input_scale), source))
    trained = train_all(jobs, folder, ops, side_by_side, say)
    train_set, val_set = source.open()
    values, filters = np.zeros((len(arms), seeds, len(MEASURES))), {}
    few = val_set.subset(np.arange(min(probed, len(val_set))))
    for k, each in enumerate(trained):
        a, s = divmod(k, seeds)
        net = checkpoint.load(each.path, ops)
        values[a, s] = [*measures(net, few), 1 - each.last["val_top1"]]
        if s == 0:
            filters[arms[a]] = colour_filters(net)
    study = Architecture(settings or {}, arms, values, filters, (len(train_set), len(val_set)))
    return study, {arm: trained[a * seeds].path for a, arm in enumerate(arms)}


def measures(net, part, batch=50):
    """Return MEASURES of a network but for the error, from a data set's pictures: a list."""
    weights = net.ops.to_numpy(net.params["conv1.weight"])
    lengths = np.sqrt((weights ** 2).mean(axis=(1, 2, 3)))
    fired, totals, changes = {"relu1": 0, "relu2": 0}, [], []
    for first in range(0, len(part), batch):
        rows = range(first, min(first + batch, len(part)))
        x = net.ops.to_numpy(net.prepare([part.image(i) for i in rows]))
        acts = net.activations(net.ops.asarray(x), ["relu1", "relu2"])
        for layer, y in acts.items():
            fired[layer] = fired[layer] | (net.ops.to_numpy(y).max(axis=(0, 2, 3)) > 0)
        each, change = shifted(net, x)
        totals.append(each)
        changes.append(change)
    return [*bands(weights).values(), *(float(1 - each.mean()) for each in fired.values()),
            float((lengths < np.median(lengths) / 4).mean()), float((lengths > 0.999 * RADIUS).mean()),
            aliasing(np.concatenate(totals, axis=1)), float(np.concatenate(changes).mean())]


def bands(filters):
    """Return {band: share of the energy of filters (F, C, KH, KW)}, by radial frequency, of BANDS, all filters together.

    Each filter's share counts alike, whatever its length. The spectrum is that of the filter padded to FIELD × FIELD.
    """
    energy = (np.abs(np.fft.fft2(filters.astype(np.float64), (FIELD, FIELD))) ** 2).sum(axis=1)          # (F, FIELD, FIELD)
    radius = np.hypot(*np.meshgrid(np.fft.fftfreq(FIELD), np.fft.fftfreq(FIELD)))
    energy /= np.maximum(energy.sum(axis=(1, 2), keepdims=True), 1e-30)
    return {name: float(energy[:, (radius >= low) & (radius < high)].sum(axis=1).mean())
            for name, (low, high) in BANDS.items()}


def shifted(net, x, layer="relu2"):
    """Return the spatial means (SHIFTS², N, C) of a layer's maps as pictures x (N, 3, H, W) are shifted, and the relative
    change (N,) of the maps by a shift of one pixel down. Borders are left out; what comes into view continues the edge.
    """
    wide = np.pad(x, ((0, 0), (0, 0), (SHIFTS, 0), (SHIFTS, 0)), mode="edge")
    H, W, means = *x.shape[2:], []
    for dy in range(SHIFTS):
        for dx in range(SHIFTS):
            moved = np.ascontiguousarray(wide[:, :, SHIFTS - dy:SHIFTS - dy + H, SHIFTS - dx:SHIFTS - dx + W])
            y = net.ops.to_numpy(net.activations(net.ops.asarray(moved), layer)[layer])
            y = y[:, :, BORDER:y.shape[2] - BORDER, BORDER:y.shape[3] - BORDER].astype(np.float64)
            means.append(y.mean(axis=(2, 3)))
            if (dy, dx) == (0, 0):
                still = y
            elif (dy, dx) == (1, 0):
                change = ((y - still) ** 2).sum(axis=(1, 2, 3)) / np.maximum((still ** 2).sum(axis=(1, 2, 3)), 1e-30)
    return np.stack(means), np.sqrt(change)


def aliasing(means):
    """Return how much spatial means (shifts, N, C) vary with the shift: their deviation over their mean, weighted by it.

    A layer without aliasing moves its maps with the picture and keeps their means: 0. One that samples them too coarsely
    shows other values at every phase of the stride.
    """
    return float(means.std(axis=0).sum() / max(means.mean(axis=0).sum(), 1e-30))

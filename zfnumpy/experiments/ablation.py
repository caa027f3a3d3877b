"""Ablation (Zeiler & Fergus, sec. 5.1, table 3): layers removed, widths changed, seeds and budget the same for all."""

import re
from dataclasses import dataclass

import numpy as np

from .. import checkpoint
from ..data import Loader
from ..evaluate import evaluate
from .jobs import SMALL, Job, small_recipe, train_all
from .statistics import mean_deviation
from .study import Claim, Study, Table

BASE = "as it stands"


def _half(widths):
    return tuple(n // 2 for n in widths)


def _double(widths):
    return tuple(2 * n for n in widths)


def _wide(conv):
    """Return widths with conv3 to conv5 in the paper's proportion, 512, 1024 and 512 for 384, 384 and 256."""
    return (*conv[:2], 4 * conv[2] // 3, 8 * conv[3] // 3, 2 * conv[4])


def _without34(conv):
    return (*conv[:2], 0, 0, conv[4])


# {name: (convolutions' widths, hidden layers' widths) as functions of the base's}, in the order of the paper's table.
VARIANTS = {
    BASE: (tuple, tuple),
    "without 3, 4": (_without34, tuple),
    "without 7": (tuple, lambda fc: fc[:-1]),
    "without 6, 7": (tuple, lambda fc: ()),
    "without 3, 4, 6, 7": (_without34, lambda fc: ()),
    "6, 7 half as wide": (tuple, _half),
    "6, 7 twice as wide": (tuple, _double),
    "3, 4, 5 wider": (_wide, tuple),
    "3, 4, 5 wider and 6, 7 twice as wide": (_wide, _double),
}
REMOVED = ("without 3, 4", "without 7", "without 6, 7", "without 3, 4, 6, 7")
# Top-1 error in per cent, (validation, training): removals on AlexNet's replication, 6, 7 at 2048 and 8192, and wider
# convolutions on ZFNet.
PAPER = {BASE: ("38.4 (replication 40.5)", "33.1 (35.1)"), "without 3, 4": ("45.4", "41.8"), "without 7": ("40.0", "27.4"),
         "without 6, 7": ("44.8", "27.4"), "without 3, 4, 6, 7": ("71.3", "71.1"), "6, 7 half as wide": ("40.2", "38.2"),
         "6, 7 twice as wide": ("38.8", "22.0"), "3, 4, 5 wider": ("37.5", "18.8"),
         "3, 4, 5 wider and 6, 7 twice as wide": ("38.3", "10.0")}


@dataclass
class Ablation(Study):
    """Top-1 errors (V, S) of V variants and S seeds, on the validation part and on the training part without dropout.

    parameters, multiplications (V,): weights, and products an image. images: how many were trained and validated on.
    """

    settings: dict
    variants: list
    error: np.ndarray
    training: np.ndarray
    parameters: np.ndarray
    multiplications: np.ndarray
    images: tuple
    name = "ablation"
    title = "Ablation"
    source = "Zeiler & Fergus, sec. 5.1, table 3"

    def of(self, variant):
        """Return a variant's validation errors (S,)."""
        return self.error[self.variants.index(variant)]

    def tables(self):
        rows = [[name, f"{p:,}", f"{m / 1e6:.1f}", mean_deviation(train, 1, percent=True),
                 mean_deviation(val, 1, percent=True), *PAPER[name][::-1]] for name, p, m, train, val in zip(
                     self.variants, self.parameters.tolist(), self.multiplications, self.training, self.error)]
        columns = ["variant", "parameters", "million products", "training", "validation", "paper: training",
                   "paper: validation"]
        return [Table(f"Top-1 error after training on {self.images[0]:,} pictures, validated on {self.images[1]:,}; mean ± "
                      f"deviation over {self.error.shape[1]} seeds", columns, rows)]

    def claims(self):
        known, found = set(self.variants), []
        worse = {name: self.of(name) - self.of(BASE) for name in self.variants if name != BASE}

        def said(*names):
            return "; ".join(f"{name} {signed(worse[name])}" for name in names)

        if set(REMOVED) <= known:
            all_four, pairs = worse[REMOVED[-1]].mean(), max(worse[name].mean() for name in REMOVED[:-1])
            found.append(Claim("Removing 3, 4, 6 and 7 is far worse than removing either pair: depth matters.",
                               "error +30.8 against +4.9, -0.5 and +4.3", said(*REMOVED),
                               bool(all_four > max(0, pairs))))
        if {"6, 7 half as wide", "6, 7 twice as wide"} <= known:
            found.append(Claim("The widths of the fully connected layers make little difference.", "+1.8 and +0.4",
                               said("6, 7 half as wide", "6, 7 twice as wide"), self._little("6, 7 half as wide",
                                                                                            "6, 7 twice as wide")))
        if "3, 4, 5 wider" in known:
            found.append(Claim("Wider middle convolutions help.", "-0.9", said("3, 4, 5 wider"),
                               bool(worse["3, 4, 5 wider"].mean() < 0)))
            gaps = {name: (self.of(name) - self.training[self.variants.index(name)]) for name in self.variants}
            both = "3, 4, 5 wider and 6, 7 twice as wide"
            if both in known:
                found.append(Claim("But with wider fully connected layers too they overfit.",
                                   "validation minus training error 28.3 against 5.3",
                                   f"{signed(gaps[both])} against {signed(gaps[BASE])}",
                                   bool(gaps[both].mean() > gaps[BASE].mean())))
        return found

    def _little(self, *names):
        """Tell whether variants are nearer to the base than the worst removal is, by half at least."""
        worst = max(abs((self.of(name) - self.of(BASE)).mean()) for name in self.variants)
        return bool(max(abs((self.of(name) - self.of(BASE)).mean()) for name in names) < worst / 2)


def signed(values):
    """Return "+1.8 ± 0.4 points" of differences of errors (S,)."""
    text = mean_deviation(values, 1, percent=True).removesuffix(" %")
    return f"{text if text.startswith('-') else '+' + text} points"


def ablation(source, folder, ops, variants=None, seeds=2, epochs=6, seed=0, side_by_side=2, dropout=0.0, settings=None,
             say=print, **changes):
    """Train every variant with every seed, by jobs.train_all in `folder`, and measure them: an Ablation.

    source: a jobs.Source. variants: names in VARIANTS (default: all). dropout: between hidden layers. changes: of the
    runs' settings, as jobs.small_recipe takes them. A run that was cut off goes on.
    """
    variants = list(VARIANTS) if variants is None else [BASE, *(name for name in variants if name != BASE)]
    jobs = []
    for name in variants:
        arguments, short = widths(name) | {"dropout": dropout}, re.sub(r"\W+", "_", name)
        jobs += [Job(f"{short}_seed{seed + s}", small_recipe(epochs, seed + s, arguments, **changes), source)
                 for s in range(seeds)]
    trained = train_all(jobs, folder, ops, side_by_side, say)
    train_set, val_set = source.open()
    found = np.zeros((3, len(variants), seeds))
    products = []
    for k, each in enumerate(trained):
        net = checkpoint.load(each.path, ops)
        v, s = divmod(k, seeds)
        loader = Loader(train_set, 64, net.preprocessing, feeder=net.ops.feeder())
        found[:, v, s] = 1 - each.last["val_top1"], 1 - evaluate(net, loader).top1, sum(w.size for w in net.params.values())
        if s == 0:
            products.append(multiplications(net))
    return Ablation(settings or {}, variants, found[0], found[1], found[2, :, 0].astype(np.int64), np.array(products),
                    (len(train_set), len(val_set)))


def widths(variant):
    """Return a variant's arguments of models.zfnet_mini."""
    conv, fc = VARIANTS[variant]
    return {"conv": list(conv(SMALL["conv"])), "fc": list(fc(SMALL["fc"]))}


def multiplications(net):
    """Return how many products of a weight and a value one image takes forward."""
    total = 0
    for name, node in net.nodes.items():
        if "weight" in node.layer.params:
            shape = net.shapes[name]
            total += node.layer.params["weight"].size * (int(np.prod(shape[1:])) if len(shape) == 3 else 1)
    return total

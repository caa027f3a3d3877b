"""Feature evolution (Zeiler & Fergus, sec. 4, fig. 4): what maps look for as training goes on, and when they settle.

At chosen epochs, the strongest activation of chosen maps over the training set, projected. "Lower layers converge first" is
measured: a map's responses are its strongest activations in each of a fixed set of pictures; how far they are from those of
the last epoch is one minus their correlation. An upper layer moves farther, since the layers below it move too, so layers
are compared by what is left of the way from the first snapshot. Weights are compared too, but say less: most of a filter is
the noise that it started from, which hardly moves and shapes nothing.
"""

from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from ..errors import CheckpointError, DataError
from ..graph import convolutions
from ..train import read_run
from ..visualize import find_strongest, project_strongest
from .statistics import mean_deviation, rank_correlation
from .study import Claim, Study, Table

PAPER = "lower layers within a few epochs, upper ones after 40 to 50 of 70"
SETTLED = 0.5                # the share of the way that is left, below which a layer is nearer to its end than to its start


@dataclass
class Evolution(Study):
    """T snapshots of a training, at `epochs` (T,), 0 before the first step, and what L convolutions do at each.

    to_last {layer: (T, C)}: one minus the correlation of each map's responses with those at the last epoch; NaN for a map
    that answers nothing. filters (L, T - 1): how far the weights of a layer moved since the snapshot before, over their
    length. accuracy (T,): top-1 on the validation part, NaN where nobody measured it. maps {layer: (M,)}: those that are
    shown; projections {layer: (M, T, 3, h, w)}, images {layer: (M, T)}: their strongest pictures, projected; -1 for none.
    """

    settings: dict
    layers: list
    epochs: np.ndarray
    to_last: dict
    filters: np.ndarray
    accuracy: np.ndarray
    maps: dict
    projections: dict
    images: dict
    pictures: int
    name = "evolution"
    title = "Feature evolution"
    source = "Zeiler & Fergus, sec. 4, fig. 4"

    def arrays(self):
        return super().arrays() | {f"{kind}_{layer}": each for kind in ("to_last", "maps", "projections", "images")
                                   for layer, each in getattr(self, kind).items()}

    def distance(self):
        """Return each layer's mean distance from its last state over its maps (L, T)."""
        return np.array([np.nanmean(self.to_last[layer], axis=1) for layer in self.layers])

    def left(self):
        """Return what is left of each layer's way from the first snapshot to the last (L, T): 1 at first, 0 at the end."""
        distance = self.distance()
        return distance / np.maximum(distance[:, :1], 1e-12)

    def area(self):
        """Return for each layer what was left of its maps' way on average over the training (trapezoids): a list of (C,)."""
        spans, found = np.diff(self.epochs), []
        for layer, first in zip(self.layers, self.distance()[:, 0]):
            each = self.to_last[layer]
            area = ((each[1:] + each[:-1]) / 2 * spans[:, None]).sum(axis=0) / spans.sum() / max(first, 1e-12)
            found.append(area[np.isfinite(area)])
        return found

    def settled(self):
        """Return the first snapshot's epoch (L,) from which on no more than SETTLED of a layer's way is left."""
        near = self.left() <= SETTLED                                           # the last snapshot always is
        return np.array([self.epochs[len(each) - int(np.logical_and.accumulate(each[::-1]).sum())] for each in near])

    def tables(self):
        epochs = [f"epoch {epoch}" for epoch in self.epochs]
        rows = [[layer, *(mean_deviation(each[np.isfinite(each)], 2) for each in self.to_last[layer]), settled]
                for layer, settled in zip(self.layers, self.settled())]
        accuracy = ["right, validation", *("" if np.isnan(p) else f"{p:.1%}" for p in self.accuracy), ""]
        return [Table(f"One minus the correlation of the maps' responses with those at the last epoch, over {self.pictures} "
                      f"pictures; mean ± deviation over maps; settled: no more than {SETTLED:.0%} of the way left",
                      ["layer", *epochs, "settled at"], [*rows, accuracy]),
                Table("What is left of each layer's way", ["layer", *epochs],
                      [[layer, *(f"{value:.0%}" for value in each)] for layer, each in zip(self.layers, self.left())]),
                Table("How far the filters moved since the snapshot before, over their length", ["layer", *epochs[1:]],
                      [[layer, *(f"{value:.3f}" for value in each)] for layer, each in zip(self.layers, self.filters)])]

    def claims(self):
        area, settled = self.area(), self.settled()
        rho = rank_correlation([each.mean() for each in area])
        said = ", ".join(f"{layer} {mean_deviation(each, 2)}" for layer, each in zip(self.layers, area))
        at = ", ".join(f"{layer} {epoch}" for layer, epoch in zip(self.layers, settled))
        return [Claim("Lower layers converge first.", PAPER,
                      f"share of the way left, on average over the training: {said}; rank correlation with depth {rho:+.2f}",
                      bool(rho > 0.5)),
                Claim("The top convolution settles later than the first.", PAPER,
                      f"no more than {SETTLED:.0%} of the way left from epoch: {at}", bool(settled[-1] > settled[0]))]


def shown_epochs(total, count=8):
    """Return about `count` epochs from 1 to `total`, close together at first, as in the paper (1, 2, 5, 10, …, 64)."""
    return sorted({round(e) for e in np.geomspace(1, total, min(count, total))})


def run_snapshots(folder, epochs=None):
    """Return {epoch: path} of a run that kept every epoch's checkpoint; CheckpointError for one that did not.

    epochs: which (default: `shown_epochs` of those that there are).
    """
    done = read_run(folder).extra["progress"]["epoch"]
    if done < 2:
        raise CheckpointError(f"{folder} has {done} epochs; an evolution needs two or more")
    epochs = shown_epochs(done) if epochs is None else sorted(set(epochs))
    paths = {epoch: folder / f"epoch_{epoch:03d}.safetensors" for epoch in epochs}
    missing = [epoch for epoch, path in paths.items() if not path.exists()]
    if missing:
        raise CheckpointError(f"{folder} has no checkpoint of epoch {missing[0]}, of {done}: train with --keep-all")
    return paths


def evolution(snapshots, dataset, layers=None, maps=6, probed=300, batch=64, seed=0, accuracy=None, settings=None,
              progress=iter):
    """Follow maps through a training: an Evolution.

    snapshots {epoch: function that returns the network}, called one after another. dataset: the training part, or some of
    it: it is searched for the strongest activations, and its first `probed` pictures' responses are compared.
    layers: default all convolutions; maps: how many of each are shown, drawn by `seed`. accuracy {epoch:
    top-1} of those known. `progress` wraps the list of epochs. DataError for fewer than two snapshots or three pictures.
    """
    epochs = sorted(snapshots)
    if len(epochs) < 2 or len(dataset) < 3:
        raise DataError("an evolution needs two snapshots and three pictures or more, got "
                        f"{len(epochs)} and {len(dataset)}")
    responses, weights, shown, rng = [], [], {}, np.random.default_rng(seed)
    for epoch in progress(epochs):
        net = snapshots[epoch]()
        if layers is None:
            layers = convolutions(net)
        if not shown:
            shown = {layer: np.sort(rng.permutation(net.shapes[layer][0])[:maps]) for layer in layers}
            tiles = {layer: [] for layer in layers}
        found, each = _searched(net, dataset, layers, min(probed, len(dataset)), batch)
        responses.append(each)
        weights.append({layer: net.ops.to_numpy(net.params[f"{layer}.weight"]).copy() for layer in layers})
        for layer in layers:
            tiles[layer].append(project_strongest(net, found[layer], dataset.image, shown[layer]))
    to_last = {layer: np.stack([unlike(each[layer], responses[-1][layer]) for each in responses]) for layer in layers}
    filters = np.array([[np.linalg.norm(b[layer] - a[layer]) / np.linalg.norm(b[layer])
                         for a, b in pairwise(weights)] for layer in layers])
    projections = {layer: np.stack([each.projections[:, 0] for each in tiles[layer]], axis=1) for layer in layers}
    images = {layer: np.stack([each.images[shown[layer], 0] for each in tiles[layer]], axis=1) for layer in layers}
    right = np.array([(accuracy or {}).get(epoch, np.nan) for epoch in epochs])
    return Evolution(settings or {}, list(layers), np.array(epochs), to_last, filters, right, shown, projections, images,
                     min(probed, len(dataset)))


def unlike(a, b):
    """Return one minus the correlation of the columns of a and b (P, C): (C,), NaN for a column of b that is constant.

    A column of a that is constant, a map that does not answer yet, has no correlation with anything: 1.
    """
    a, b = a - a.mean(axis=0), b - b.mean(axis=0)
    lengths = np.sqrt((a * a).sum(axis=0)), np.sqrt((b * b).sum(axis=0))
    r = (a * b).sum(axis=0) / np.maximum(lengths[0] * lengths[1], 1e-30)
    return np.where(lengths[1] > 0, 1 - r, np.nan)


def _searched(net, dataset, layers, probed, batch):
    """Return ({layer: Strongest} over a data set, {layer: responses (probed, C)} of its first pictures), in one pass."""
    found = {layer: np.zeros((probed, net.shapes[layer][0])) for layer in layers}

    def batches():
        for first in range(0, len(dataset), batch):
            rows = np.arange(first, min(first + batch, len(dataset)))
            x = net.prepare([dataset.image(int(i)) for i in rows])
            if first < probed:
                few = rows[rows < probed]
                values = net.activations(x[:len(few)], list(layers))
                for layer in layers:
                    strongest = net.ops.to_numpy(values[layer]).max(axis=(2, 3))
                    found[layer][few] = np.maximum(strongest, 0)
            yield x, rows

    return find_strongest(net, batches(), layers, 1), found

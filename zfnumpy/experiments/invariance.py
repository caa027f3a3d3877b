"""Feature invariance (Zeiler & Fergus, sec. 4.1, fig. 5): pictures moved, scaled and turned, and what the layers make of it.

How far the feature vectors of a picture and of the picture transformed lie apart, at the first layer and at the last hidden
one, and how likely the true class stays. So that layers can be compared, distances are also given in units of the mean
distance between different pictures at that layer.
"""

from dataclasses import dataclass

import numpy as np
from PIL import Image

from ..errors import DataError, NodeError, ShapeError
from ..evaluate import predict
from ..graph import convolutions
from ..layers import ReLU
from ..visualize.ends import last_hidden
from .statistics import mean_deviation
from .study import Claim, Study, Table

KINDS = ("translation", "scale", "rotation")
UNCHANGED = {"translation": 0.0, "scale": 1.0, "rotation": 0.0}
# The paper's ranges: ±60 of 224 pixels, scales from 1 to 1.8, all the way round.
STEPS = {"translation": np.linspace(-27, 27, 19), "scale": np.linspace(1, 1.8, 9), "rotation": np.arange(0, 360, 15.0)}
# A step so small that the picture looks much the same: two or three pixels of 64.
SMALL = {"translation": 3.0, "scale": 1.1, "rotation": 15.0}
FEW = 512                    # pairs of different pictures whose distances are the unit


@dataclass
class Effect:
    """What one transformation does: steps (S,), distances (2, N, S) at the two layers, probability (N, S) of the true class.

    relative (2, N, S): the distances in units of the mean distance between different pictures at the layer. unchanged: the
    number of the step that leaves pictures as they are.
    """

    steps: np.ndarray
    unchanged: int
    distances: np.ndarray
    relative: np.ndarray
    probability: np.ndarray

    def small(self, step):
        """Return the relative distances (2, N) at the step nearest to `step`, of those that change something."""
        apart = np.abs(self.steps - step)
        apart[self.unchanged] = np.inf
        return self.relative[:, :, apart.argmin()]

    def kept(self):
        """Return each picture's mean probability over all steps that change it, as a share of that unchanged (N,).

        NaN for a picture whose true class has no probability above a half to begin with: there is nothing to keep.
        """
        first = self.probability[:, self.unchanged]
        share = np.delete(self.probability, self.unchanged, axis=1).mean(axis=1) / np.maximum(first, 1e-12)
        return np.where(first > 0.5, share, np.nan)

    def right(self):
        """Return the share of transformed pictures whose true class keeps a probability above a half."""
        return float((np.delete(self.probability, self.unchanged, axis=1) > 0.5).mean())


@dataclass
class Invariance(Study):
    """The effects {way: {kind: Effect}} of transformations on N pictures.

    indices (N,): their rows in the data set; labels (N,): their classes. ways: "warped", the picture resampled, and where
    the data can be drawn anew, "drawn". layers: the two names. unit (2,): the mean distance between different pictures
    at each. skipped: how many pictures could not be read.
    """

    settings: dict
    layers: tuple
    indices: np.ndarray
    labels: np.ndarray
    classes: list
    unit: np.ndarray
    effects: dict
    skipped: int = 0
    name = "invariance"
    title = "Feature invariance"
    source = "Zeiler & Fergus, sec. 4.1, fig. 5"

    def arrays(self):
        found = super().arrays()
        for way, effects in self.effects.items():
            for kind, effect in effects.items():
                found |= {f"{way}_{kind}_{name}": value for name, value in vars(effect).items()}
        return found

    def tables(self):
        rows = []
        for way, effects in self.effects.items():
            for kind, effect in effects.items():
                low, high = (mean_deviation(each, 2) for each in effect.small(SMALL[kind]))
                rows.append([f"{kind}, {way}", f"{SMALL[kind]:g}", low, high,
                             *(mean_deviation(each.max(axis=1), 2) for each in effect.relative),
                             _told(effect.kept()), f"{effect.right():.0%}"])
        columns = ["transformation", "small step", f"there {self.layers[0]}", f"there {self.layers[1]}",
                   f"most {self.layers[0]}", f"most {self.layers[1]}", "probability kept", "more likely right than not"]
        return [Table("Distance from the picture as it was, in units of the distance between different pictures (mean ± "
                      f"deviation over {len(self.indices)} pictures)", columns, rows), *self._by_class()]

    def _by_class(self):
        """Return a table of what rotation leaves of the probability, class by class, where there are few classes."""
        effects, counts = next(iter(self.effects.values())), np.unique(self.labels)
        if "rotation" not in effects or not 1 < len(counts) <= 20:
            return []
        kept = effects["rotation"].kept()
        known = np.isfinite(kept)
        counts = [k for k in counts if known[self.labels == k].any()]
        order = sorted(counts, key=lambda k: -kept[known & (self.labels == k)].mean())
        return [Table("Probability kept under rotation, by class", ["class", "kept", "pictures"],
                      [[self.classes[k], _told(kept[self.labels == k]), int(known[self.labels == k].sum())]
                       for k in order])]

    def claims(self):
        found = []
        for way, effects in self.effects.items():
            small = {kind: effects[kind].small(SMALL[kind]) for kind in effects}
            low, high = (np.concatenate([each[k] for each in small.values()]) for k in (0, 1))
            texts = [f"{kind} by {SMALL[kind]:g}: {mean_deviation(each[0], 2)} against {mean_deviation(each[1], 2)}"
                     for kind, each in small.items()]
            found.append(Claim(f"Small transformations change the first layer dramatically, the top less ({way}).",
                               "curves only", f"{self.layers[0]} against {self.layers[1]}: " + "; ".join(texts),
                               bool(low.mean() > high.mean())))
            if set(KINDS) <= set(effects):
                kept = {kind: effects[kind].kept() for kind in KINDS}
                few = np.isfinite(kept["rotation"]).sum()
                found.append(Claim(f"The output withstands translation and scaling, and not rotation ({way}).",
                                   "curves only", f"probability kept by {few} pictures that were told right: " + "; ".join(
                                       f"{kind} {_told(kept[kind])}" for kind in KINDS),
                                   bool(min(map(np.nanmean, (kept["translation"], kept["scale"])))
                                        > np.nanmean(kept["rotation"])) if few else None))
        return found


def _told(shares):
    """Return mean and deviation of the shares that are known, in per cent."""
    shares = shares[np.isfinite(shares)]
    return mean_deviation(shares, 0, percent=True) if len(shares) else "–"


def invariance(net, dataset, rows, kinds=KINDS, steps=None, layers=None, batch=64, ways=None, settings=None, progress=iter):
    """Measure how two layers and the answer change as pictures are moved, scaled and turned: an Invariance.

    dataset: labelled as the network's classes; rows: which of its pictures. steps {kind: (S,)}: per cent of the height,
    times, degrees (default STEPS); the unchanged picture is added. layers: (first, last), by default the first
    convolution's ReLU and the last hidden layer. ways: "warped" and "drawn" (default: those that the data allows; sketches
    can be drawn anew). `progress` wraps the list of pictures. Pictures that cannot be read are counted in `skipped`;
    DataError where none can be.
    """
    layers = two_layers(net) if layers is None else tuple(net.node(layer).name for layer in layers)
    can = ("warped", "drawn") if hasattr(dataset, "redraw") else ("warped",)
    ways = can if ways is None else ways
    if not set(ways) <= set(can):
        raise DataError(f"these pictures can only be {' or '.join(can)}, not {', '.join(sorted(set(ways) - set(can)))}")
    steps = {kind: with_unchanged(kind, (steps or STEPS)[kind]) for kind in kinds}
    found, features, kept, skipped = {way: {kind: [] for kind in kinds} for way in ways}, [], [], 0
    for i in progress(list(rows)):
        try:
            picture = dataset.image(i)
        except DataError:
            skipped += 1
            continue
        kept.append(i)
        for way in ways:
            for kind in kinds:
                versions = [transformed(dataset, i, picture, kind, step, way) for step in steps[kind]]
                at = int(np.flatnonzero(steps[kind] == UNCHANGED[kind])[0])
                values, p = _through(net, versions, layers, batch)
                apart = [np.sqrt(((each - each[at]) ** 2).sum(axis=1)) for each in values]
                found[way][kind].append((np.stack(apart), p[:, dataset.labels[i]]))
        features.append([each[at] for each in values])
    if not kept:
        raise DataError(f"none of {skipped} pictures could be read")
    unit = np.array([_apart(np.stack([each[k] for each in features])) for k in (0, 1)])
    effects = {way: {kind: _effect(kind, steps[kind], parts, unit) for kind, parts in by_kind.items()}
               for way, by_kind in found.items()}
    return Invariance(settings or {}, layers, np.array(kept), np.asarray(dataset.labels)[kept], list(dataset.classes), unit,
                      effects, skipped=skipped)


def two_layers(net):
    """Return the names of the first convolution's ReLU, the convolution where none follows, and of the last hidden layer."""
    first = convolutions(net)
    if not first:
        raise NodeError(f"{net.name} has no convolution: name two layers; it has {', '.join(net.nodes)}")
    above = [node.name for node in net.nodes.values() if node.inputs == (first[0],) and isinstance(node.layer, ReLU)]
    return (above or first)[0], last_hidden(net)


def with_unchanged(kind, steps):
    """Return steps as a sorted array with the one that changes nothing among them."""
    steps = np.asarray(steps, np.float64)
    if not len(steps) or not np.isfinite(steps).all() or (kind == "scale" and steps.min() <= 0):
        raise ShapeError(f"{kind} takes one step or more, finite" + (", above 0" if kind == "scale" else "")
                         + f", got {steps.tolist()}")
    return np.unique(np.append(steps, UNCHANGED[kind]))


def transformed(dataset, i, picture, kind, step, way="warped"):
    """Return picture i, moved down by `step` per cent of its side, scaled, or turned counter-clockwise by degrees, uint8."""
    if way == "warped":
        return warp(picture, kind, step)
    _, y, scale, angle = dataset.poses[i]
    side = picture.shape[0]
    change = {"translation": {"y": y / side + step / 100}, "scale": {"scale": scale * step},
              "rotation": {"angle": angle + step}}[kind]
    return dataset.redraw(i, **change)[0]


def warp(picture, kind, step):
    """Return a picture uint8 (H, W, 3) moved down by `step` per cent of its height, enlarged `step` times about its centre,
    or turned about it by `step` degrees counter-clockwise.

    Bilinear; what comes into view continues the picture's edge.
    """
    H, W = picture.shape[:2]
    if step == UNCHANGED[kind]:
        return picture
    a, b, c, d, dy = 1.0, 0.0, 0.0, 1.0, 0.0
    if kind == "translation":
        dy = -step / 100 * H
    elif kind == "scale":
        a = d = 1 / step
    else:
        t = np.deg2rad(step)
        a, b, c, d = np.cos(t), -np.sin(t), np.sin(t), np.cos(t)
    cx, cy, margin = W / 2, H / 2, max(H, W)
    # Where pixel (x, y) of the result comes from, in the picture with its edges continued by `margin`.
    rows = (a, b, cx - a * cx - b * cy + margin, c, d, cy - c * cx - d * cy + dy + margin)
    wide = Image.fromarray(np.pad(picture, ((margin, margin), (margin, margin), (0, 0)), mode="edge"))
    return np.asarray(wide.transform((W, H), Image.Transform.AFFINE, rows, Image.Resampling.BILINEAR))


def _through(net, pictures, layers, batch):
    """Return ([features (S, D) of each layer], probabilities (S, K)) of some pictures."""
    values, p = [[] for _ in layers], []
    for first in range(0, len(pictures), batch):
        x = net.prepare(pictures[first:first + batch])
        acts = net.activations(x, list(layers))
        for k, layer in enumerate(layers):
            y = net.ops.to_numpy(acts[layer]).astype(np.float64)
            values[k].append(y.reshape(len(y), -1))
        p.append(predict(net, x))
    return [np.concatenate(each) for each in values], np.concatenate(p)


def _apart(features):
    """Return the mean distance between different rows of features (N, D), of at most FEW pairs; 1 for one row alone."""
    N = len(features)
    pairs = [(i, (i + k) % N) for k in range(1, N // 2 + 1) for i in range(N)][:FEW]
    return float(np.mean([np.sqrt(((features[i] - features[j]) ** 2).sum()) for i, j in pairs])) if pairs else 1.0


def _effect(kind, steps, parts, unit):
    unchanged = int(np.flatnonzero(steps == UNCHANGED[kind])[0])
    distances = np.stack([apart for apart, _ in parts], axis=1)
    return Effect(steps, unchanged, distances, distances / np.where(unit > 0, unit, 1)[:, None, None],
                  np.stack([p for _, p in parts]))

"""Correspondence analysis (Zeiler & Fergus, sec. 4.3, table 1): does a network relate the same part of different objects?

The same part is masked in each picture of a group; ε_i = x_i - x̃_i is how the features of picture i change, and
Δ = Σ_{i≠j} H(sign ε_i, sign ε_j) how differently, H the share of features whose signs (-, 0, +) differ, here averaged over
the pairs. A lower Δ than for random parts is a tighter correspondence.

Δ alone can mislead: after a ReLU most differences are 0, so a mask that changes more features has a larger Δ whatever it
hides. Beside Δ therefore stands the agreement beyond chance, Cohen's κ = 1 - H / H₀, H₀ being what two pictures would
differ by if their signs fell on the features at random: 0 is chance, 1 the same change. And beside random places on the
object (the paper's) stand places where another picture of the group has the part, which are spread over the picture as
the part is, and other parts of the same object.
"""

from dataclasses import dataclass

import numpy as np

from ..errors import DataError
from ..graph import last_maps
from ..visualize.ends import last_hidden
from ..visualize.pointing import disc, true_masks, true_parts
from ..visualize.sanity import randomize, weighted_layers
from .statistics import above, difference, mean_deviation
from .study import Claim, Study, Table

# Table 1: mean sign change at layer 5 and layer 7.
PAPER = {"right eye": ("0.067 ± 0.007", "0.069 ± 0.015"), "left eye": ("0.069 ± 0.007", "0.068 ± 0.013"),
         "nose": ("0.079 ± 0.017", "0.069 ± 0.011"), "random": ("0.107 ± 0.017", "0.073 ± 0.014")}
PART, RANDOM, ELSEWHERE, MIXED, AGAIN = ("the part", "random places", "others' places", "mixed parts", "mixed again")
TRAINED, UNTRAINED, REDRAWN = "trained", "random weights", "drawn without the part"
ZERO = 1e-5                  # of a layer's largest value: smaller differences are rounding


@dataclass
class Change:
    """How alike the features change in G groups, for P parts at L layers; W ways to mask, each array (W, L, P, G).

    delta: Δ. agreement: κ, the mean over the pairs. moved: the share of features that change at all. ways: PART; RANDOM, a
    place on the object, as large; ELSEWHERE, where another picture of the group has the part; MIXED, another part in each
    picture; AGAIN, the same, dealt out once more.
    """

    ways: tuple
    delta: np.ndarray
    agreement: np.ndarray
    moved: np.ndarray

    def of(self, way, name="delta"):
        """Return an array (L, P, G) of one way."""
        return getattr(self, name)[self.ways.index(way)]

    def gain(self, way=RANDOM):
        """Return Δ of another way minus that of the part (L, P, G): above 0 where the part is the tighter one."""
        return self.of(way) - self.of(PART)


@dataclass
class Correspondence(Study):
    """The changes {name: Change} of parts (P names) at layers (L names).

    TRAINED: of the network; UNTRAINED: of the same with weights drawn anew; REDRAWN, where the data can be drawn anew: of
    the network, the part left out instead of masked. groups (G, n): rows of the data set, no row twice. masked
    (P, 2, n, H, W, 3) uint8: the first group's pictures, with the part masked and with a random place.
    """

    settings: dict
    parts: list
    layers: tuple
    groups: np.ndarray
    changes: dict
    masked: np.ndarray
    name = "correspondence"
    title = "Correspondence analysis"
    source = "Zeiler & Fergus, sec. 4.3, table 1"

    def arrays(self):
        return super().arrays() | {f"{name}_{key}".replace(" ", "_"): value for name, change in self.changes.items()
                                   for key, value in vars(change).items()}

    def tables(self):
        tables = []
        for name, change in self.changes.items():
            for k, layer in enumerate(self.layers):
                other = change.ways[1]
                rows = [[part, mean_deviation(change.of(PART)[k, p]), mean_deviation(change.of(other)[k, p]),
                         difference(change.gain(other)[k, p]),
                         *(mean_deviation(each[k, p], 2) for each in change.agreement),
                         *(f"{change.of(way, 'moved')[k, p].mean():.3f}" for way in (PART, other))]
                        for p, part in enumerate(self.parts)]
                columns = ["part", "Δ", f"Δ {other}", "difference", *(f"κ {way}" for way in change.ways), "moved",
                           f"moved, {other}"]
                tables.append(Table(f"{name}, {layer}: mean ± deviation over {len(self.groups)} groups of "
                                    f"{self.groups.shape[1]} pictures; differences ± standard error", columns, rows))
        return tables

    def claims(self):
        trained = self.changes[TRAINED]
        gain, kappa = trained.gain(), trained.of(PART, "agreement") - trained.of(RANDOM, "agreement")
        said = [", ".join(f"{part} {difference(each)}" for part, each in zip(self.parts, gain[k])) for k in (0, -1)]
        share = [float(gain[k].mean() / max(trained.of(RANDOM)[k].mean(), 1e-12)) for k in (0, -1)]
        found = [
            Claim("At the last convolution, every part is tighter than random parts.",
                  f"Δ at layer 5: {', '.join(f'{part} {delta[0]}' for part, delta in PAPER.items())}",
                  f"Δ random - Δ part at {self.layers[0]}: {said[0]}", bool(all(above(each) for each in gain[0]))),
            Claim("So it is in agreement beyond chance, whatever share of the features a mask changes.", "",
                  f"κ part - κ random at {self.layers[0]}: "
                  + ", ".join(f"{part} {difference(each, 3)}" for part, each in zip(self.parts, kappa[0])),
                  bool(all(above(each) for each in kappa[0]))),
            Claim("At the last hidden layer parts and random parts differ less than at the last convolution.",
                  f"Δ at layer 7: {', '.join(f'{part} {delta[1]}' for part, delta in PAPER.items())}",
                  f"Δ random - Δ part at {self.layers[-1]}: {said[1]}; as a share of Δ random {share[1]:.0%}, at "
                  f"{self.layers[0]} {share[0]:.0%}", bool(abs(share[1]) < abs(share[0])))]
        if MIXED in trained.ways:
            found.append(_apart("The same part is tighter than other parts of the same object.", self, TRAINED, PART, MIXED))
        if UNTRAINED in self.changes:
            found.append(self._learned())
            for other, what in ((RANDOM, "random places"), (ELSEWHERE, "the places where other pictures have it")):
                found.append(_apart(f"Control, random weights: the part is no tighter than {what}.", self, UNTRAINED, PART,
                                    other, control=True))
        if AGAIN in trained.ways:
            found.append(_apart("Control, shuffled parts: mixed parts are no tighter than mixed again.", self, TRAINED,
                                MIXED, AGAIN, control=True))
        return found

    def _learned(self):
        """Return the claim that training has made parts alike, and not their pixels alone."""
        change = [self.changes[name] for name in (TRAINED, UNTRAINED)]
        gains = [(each.of(PART, "agreement") - each.of(ELSEWHERE, "agreement"))[-1].mean(axis=0) for each in change]
        return Claim("The trained network relates parts more than the same network with random weights.", "",
                     f"κ part - κ others' places at {self.layers[-1]}: trained {difference(gains[0], 3)}, random weights "
                     f"{difference(gains[1], 3)}", above(gains[0] - gains[1]))


def _apart(says, study, name, way, other, control=False):
    """Return the claim that κ of one way is above another's, or as a control that it is not apart from it."""
    change = study.changes[name]
    each = (change.of(way, "agreement") - change.of(other, "agreement")).mean(axis=1)              # (L, G)
    tells = [above(values) or (control and above(-values)) for values in each]
    return Claim(says, "", "; ".join(f"κ {way} - κ {other} {difference(values, 3)} at {layer}"
                                     for values, layer in zip(each, study.layers)),
                 bool(not any(tells) if control else tells[0]))


def alike(signs):
    """Return (Δ, κ) of the signs (n, D) of a group's differences, -1, 0 or 1: both means over the pairs.

    H is the share of features whose signs differ, H₀ = 1 - Σ_s p_i(s) p_j(s) what it would be at random, κ = 1 - H / H₀; of
    two pictures that are changed nowhere κ is 0.
    """
    n, shares = len(signs), np.stack([(signs == s).mean(axis=1) for s in (-1, 0, 1)], axis=1)
    apart, kappa = [], []
    for i in range(n):
        for j in range(i + 1, n):
            H, H0 = float((signs[i] != signs[j]).mean()), 1 - float(shares[i] @ shares[j])
            apart.append(H)
            kappa.append(1 - H / H0 if H0 > 1e-12 else 0.0)
    return float(np.mean(apart)), float(np.mean(kappa))


def signs_of(before, after):
    """Return the signs (N, D) int8 of before - after, two arrays (N, D); what is rounding counts as 0."""
    change = before - after
    change[np.abs(change) <= ZERO * np.abs(before).max()] = 0
    return np.sign(change).astype(np.int8)


def two_ends(net):
    """Return the names of the last layer that makes maps and of the last hidden layer.

    Where the scores themselves are averages of maps (SqueezeNet), these are its last hidden maps and the averages of them:
    (name, name + " averaged").
    """
    hidden = last_hidden(net)
    return (hidden, f"{hidden} averaged") if len(net.shapes[hidden]) == 3 else (last_maps(net), hidden)


def correspondence(net, dataset, parts, rows, size=5, layers=None, seed=0, controls=True, batch=32, settings=None,
                   progress=iter):
    """Mask parts in groups of pictures and compare how the features change with other masks: a Correspondence.

    dataset: with `parts(i)` and boxes or masks. parts: P names; rows: the pictures, all of which show every part; they are
    dealt out to groups of `size`, what is left over is not used. layers: (last convolution, last hidden layer) by default;
    "NAME averaged" is a layer's averages over its maps. controls: also with random weights and, where the data can be drawn
    anew, without the part. A mask is a disc of the mean colour. DataError where there are fewer pictures than two groups
    need.
    """
    rng = np.random.default_rng(seed)
    if size < 2 or len(rows) < 2 * size:
        raise DataError(f"two groups of {size} pictures (2 or more) need {2 * size} that show {', '.join(parts)}; there are "
                        f"{len(rows)}")
    rows = rng.permutation(np.asarray(rows))[:len(rows) // size * size]
    layers = two_ends(net) if layers is None else tuple(layers)
    for layer in layers:
        net.node(layer.removesuffix(" averaged"))
    x = net.ops.to_numpy(net.prepare([dataset.image(i) for i in rows]))
    masks = masks_of(dataset, rows, parts, net.preprocessing, size, rng)
    deals = [np.stack([rng.permutation(len(parts)) for _ in rows], axis=1) for _ in range(2)]            # (P, N) each
    networks = {TRAINED: net}
    if controls:
        networks[UNTRAINED] = net.copy()
        randomize(networks[UNTRAINED], weighted_layers(net), seed)
    signs = {name: {} for name in networks}
    before = {name: _features(each, x, layers, batch) for name, each in networks.items()}
    for name, p in progress([(name, p) for name in networks for p in range(len(parts))]):
        for way, mask in zip((PART, RANDOM, ELSEWHERE), masks[p]):
            after = _features(networks[name], np.where(mask[:, None], np.float32(0), x), layers, batch)
            signs[name].setdefault(way, []).append([signs_of(a, b) for a, b in zip(before[name], after)])
    if controls and hasattr(dataset, "redraw"):
        signs[REDRAWN] = {PART: [_redrawn(net, dataset, rows, part, before[TRAINED], layers, batch) for part in parts]}
    if len(parts) > 1:
        for each in signs.values():
            each |= {way: _dealt(each[PART], deal) for way, deal in zip((MIXED, AGAIN), deals)}
    changes = {name: _change(each, size) for name, each in signs.items() if len(each) > 1}
    masked = np.stack([np.stack([net.preprocessing.pixels(np.where(mask[:size, None], np.float32(0), x[:size]))
                                 for mask in each[:2]]) for each in masks])
    return Correspondence(settings or {}, list(parts), layers, rows.reshape(-1, size), changes, masked)


def showing(dataset, parts, rows):
    """Return those of some rows of a data set whose pictures show all the parts; DataError where it names no parts."""
    if not hasattr(dataset, "parts"):
        raise DataError("the data does not say where parts are: CUB-200-2011 does, and the sketches do")
    return np.array([i for i in rows if set(parts) <= set(dataset.parts(i))], np.int64)


def masks_of(dataset, rows, parts, preprocessing, size, rng):
    """Return for each part three masks (N, H, W) bool: over it, over a random place, and where another picture has it.

    All are discs of the part's radius. The others do not overlap the part where there is such a place: on the object, or
    among the parts of the `size` pictures in a row that are a group; else they are as far from it as can be.
    """
    places, objects = true_parts(dataset, rows, preprocessing), true_masks(dataset, rows, preprocessing)
    found = []
    for part in parts:
        masks = np.zeros((3, *objects.shape), bool)
        for n, mask in enumerate(objects):
            x, y, radius = places[n][part]
            ys, xs = np.nonzero(mask)
            if not len(ys):
                raise DataError(f"{dataset.name(rows[n])}: nothing of the object is in the crop")
            first = n // size * size
            others = [places[m][part][:2] for m in range(first, first + size) if m != n]
            for w, at in enumerate(((x, y), _far(np.stack([xs, ys], axis=1) + 0.5, x, y, 2 * radius, rng),
                                    _far(np.array(others), x, y, 2 * radius, rng))):
                masks[w, n] = disc((*at, radius), mask.shape)
        found.append(masks)
    return found


def _far(places, x, y, least, rng):
    """Return one of places (M, 2), drawn from those at least so far from (x, y), or from the farthest tenth of them."""
    apart = np.hypot(*(places - (x, y)).T)
    return tuple(places[rng.choice(np.flatnonzero(apart >= min(least, np.quantile(apart, 0.9))))])


def _dealt(signs, deal):
    """Return signs [P][L] (N, D) with another part in each picture: deal (P, N) says which."""
    parts, layers, pictures = len(signs), len(signs[0]), range(deal.shape[1])
    return [[np.stack([signs[deal[p, n]][k][n] for n in pictures]) for k in range(layers)] for p in range(parts)]


def _features(net, x, layers, batch):
    """Return the features [(N, D) float32] of prepared pictures x (N, 3, H, W) at some layers."""
    nodes, found = [layer.removesuffix(" averaged") for layer in layers], [[] for _ in layers]
    for first in range(0, len(x), batch):
        acts = net.activations(net.ops.asarray(x[first:first + batch]), list(dict.fromkeys(nodes)))
        for out, layer, node in zip(found, layers, nodes):
            y = net.ops.to_numpy(acts[node])
            y = y.mean(axis=(2, 3)) if layer != node else y
            out.append(y.reshape(len(y), -1))
    return [np.concatenate(each) for each in found]


def _redrawn(net, dataset, rows, part, before, layers, batch):
    """Return the signs [(N, D)] of how features change where a picture is drawn without a part that it has."""
    x = net.ops.to_numpy(net.prepare([dataset.redraw(i, without=(part,))[0] for i in rows]))
    return [signs_of(a, b) for a, b in zip(before, _features(net, x, layers, batch))]


def _change(signs, size):
    """Return the Change of signs {way: [P][L] (N, D)}, `size` rows after one another being a group."""
    found = np.array([[[[(*alike(group), float((group != 0).mean())) for group in layer.reshape(-1, size, layer.shape[1])]
                        for layer in part] for part in way] for way in signs.values()])               # (W, P, L, G, 3)
    return Change(tuple(signs), *np.moveaxis(found, -1, 0).swapaxes(2, 3))

"""Does a map depend on what the network has learnt? Redraw its weights, layer by layer, and compare the maps.

The model randomization test of Adebayo et al. (Sanity Checks for Saliency Maps, 1810.03292, sec. 3). A method whose map
stays when every weight is random does not show what the network has learnt: at best it shows the picture.
"""

from dataclasses import dataclass, field

import numpy as np

from ..errors import NodeError, ShapeError
from ..layers.base import initial_weight
from ..paths import save_result
from ..shapes import count
from .relevance import METHODS, relevance_maps
from .similarity import correlation_of_ranks, ranks, ssim
from .target import class_labels

# The verdict goes by the rank correlation after full randomization, the mean over the pictures. A method passes where it
# is at most PASSES_BELOW from zero: what maps that have nothing in common may reach by chance. Two maps of white noise on
# 64 × 64 pixels correlate by 0 ± 0.016; coarse ones by more, 4 × 4 numbers of noise enlarged by 0 ± 0.26, the mean of ten
# pictures by 0 ± 0.08. It fails from FAILS_FROM on, where two of three pairs of pixels keep their order (of unrelated maps
# one of two). Between them it passes partly: the map has changed, and the picture still shines through.
PASSES_BELOW, FAILS_FROM = 0.2, 0.5
# One random network may by chance look where the trained one does, in all pictures: the means of Grad-CAM's coarse maps
# scatter by 0.1 from one random network to the next. So the pictures are dealt out to several.
DRAWS = 5


@dataclass
class Randomization:
    """How alike each of M methods' maps of N pictures stay while the weights of L layers are redrawn, from the top down.

    correlation, ssim (M, L, N): Spearman's rank correlation and the structural similarity of the map after a step with the
    map of the trained network. cascading: a step redraws its layer and leaves those above it redrawn; else its layer alone.
    draws: how many random networks; picture n meets the one of number n modulo draws.
    others (M, N): the rank correlation of the trained network's map with that of the next picture, NaN for a single one:
    what maps of the method share whatever the picture, from the strides and borders of the layers, say.
    maps (M, 1 + L, H, W): those of picture `shown`, the trained network's first. labels (N,): the class explained. blank
    (M, L): how many maps are constant, and so have no order to compare. notes: why methods are missing.
    """

    methods: list
    layers: list
    labels: np.ndarray
    correlation: np.ndarray
    ssim: np.ndarray
    others: np.ndarray
    maps: np.ndarray
    blank: np.ndarray
    shown: int = 0
    cascading: bool = True
    seed: int = 0
    draws: int = 1
    notes: dict = field(default_factory=dict)

    def decisive(self, method):
        """Return the step that decides: the last, when all is random; of single layers the one that changes least."""
        means = self.correlation[self.methods.index(method)].mean(axis=-1)
        return len(means) - 1 if self.cascading else int(means.argmax())

    def similarity(self, method):
        """Return the mean rank correlation over the pictures after the step that decides."""
        return float(self.correlation[self.methods.index(method), self.decisive(method)].mean())

    def verdict(self, method):
        """Return whether a method's maps lose what they shared with the trained network's: "passes", "partly" or "fails"."""
        alike = abs(self.similarity(method))
        return "passes" if alike <= PASSES_BELOW else "partly" if alike < FAILS_FROM else "fails"

    def save(self, folder):
        """Write randomization.npz (arrays) and .json (settings, means and verdicts) into `folder`."""
        means = {method: {"verdict": self.verdict(method), "rank correlation": self.correlation[m].mean(axis=-1).tolist(),
                          "ssim": self.ssim[m].mean(axis=-1).tolist(), "blank maps": self.blank[m].tolist(),
                          "rank correlation with the next picture": _number(self.others[m].mean())}
                 for m, method in enumerate(self.methods)}
        about = {"methods": means, "layers": self.layers, "cascading": self.cascading, "seed": self.seed,
                 "random networks": self.draws, "pictures": len(self.labels), "shown": self.shown,
                 "passes below": PASSES_BELOW, "fails from": FAILS_FROM, "left out": self.notes}
        save_result(folder, "randomization",
                    {"correlation": self.correlation, "ssim": self.ssim, "others": self.others, "maps": self.maps,
                     "labels": self.labels}, about)


def weighted_layers(net, most=None):
    """Return the names of the layers with weights, the last first; at most `most` of them, evenly spread, both ends kept."""
    names = [name for name, node in net.nodes.items() if "weight" in node.layer.params][::-1]
    if most is None or len(names) <= most:
        return names
    return [names[i] for i in np.unique(np.linspace(0, len(names) - 1, most).round().astype(int))]


def randomize(net, layers, seed=0, draw=0):
    """Draw the weights of `layers` anew, from what the network's own `init` starts with; biases become zero. Changes net.

    A layer gets the same weights whenever it is drawn with this seed, whichever others are. draw: which of the networks
    that one seed gives.
    """
    order = list(net.nodes)
    for name in layers:
        layer = net.node(name).layer
        if "weight" not in layer.params:
            raise NodeError(f"{name} has no weights to randomize; {', '.join(weighted_layers(net))} have")
        shape = layer.params["weight"].shape
        rng = np.random.default_rng([seed, draw, order.index(name)])
        net.params[f"{name}.weight"] = initial_weight(shape, int(np.prod(shape[1:])), net.ops, net.dtype, rng, net.init)
        if "bias" in layer.params:
            layer.params["bias"][...] = 0


def randomization_test(net, x, methods=None, label=None, layers=None, cascading=True, seed=0, draws=DRAWS, shown=0,
                       progress=iter, trained=None):
    """Redraw the weights layer by layer from the top down, in a copy of net, and compare the maps of x (N, 3, H, W).

    methods: {name: function} (default: relevance.METHODS); label: None for the trained network's strongest class in each
    picture, an int, or N ints; the class stays while the network changes. layers: after which of them to look (default:
    every one with weights); those between are redrawn as well, and the last look is at a network all of whose weights
    are random. cascading False: each of `layers` by itself, all others as trained. draws: how many random networks the
    pictures are dealt out to. `shown`: which picture's maps to keep. `progress` wraps the list of steps of all of them.
    trained: what relevance_maps gave for net, x, methods and label, where that is known. Returns a Randomization.
    """
    N, weighted = x.shape[0], weighted_layers(net)
    draws = min(count(draws, "draws"), N)
    if layers is not None:
        wanted = _known(net, layers, weighted) | set(weighted[-1:] if cascading else ())
    layers = weighted if layers is None else [name for name in weighted if name in wanted]
    if not 0 <= shown < N:
        raise ShapeError(f"picture {shown} is to be shown, of {N}, 0 to {N - 1}")
    if not layers:
        raise NodeError(f"{net.name} has no layer with weights, so nothing can be drawn anew")
    labels = class_labels(net, net.scores(x), label)
    methods = METHODS if methods is None else methods
    before, notes = relevance_maps(net, x, methods, labels) if trained is None else trained
    methods = {name: methods[name] for name in before}
    ordered = {name: [ranks(abs(each)) for each in maps] for name, maps in before.items()}
    correlation, alike = (np.zeros((len(before), len(layers), N)) for _ in range(2))
    blank, L = np.zeros((len(before), len(layers)), np.int64), len(layers)
    kept = np.zeros((len(before), 1 + len(layers), *x.shape[2:]), next(iter(before.values())).dtype)
    kept[:, 0] = [maps[shown] for maps in before.values()]
    others = np.array([[correlation_of_ranks(a, b) if N > 1 else np.nan for a, b in zip(each, each[1:] + each[:1])]
                       for each in ordered.values()])
    for draw, step in progress([(draw, step) for draw in range(draws) for step in range(L)]):
        if step == 0:
            networks, dealt = _forgetting(net, layers, cascading, seed, draw), np.arange(draw, N, draws)
            some = x[net.ops.asarray(dealt)]
        after, _ = relevance_maps(next(networks), some, methods, labels[dealt])
        for m, name in enumerate(before):
            alike[m, step, dealt] = ssim(abs(before[name][dealt]), abs(after[name]))
            for n, each in zip(dealt, after[name]):
                correlation[m, step, n] = correlation_of_ranks(ordered[name][n], ranks(abs(each)))
                blank[m, step] += each.min() == each.max()
                if n == shown:
                    kept[m, 1 + step] = each
    return Randomization(list(before), layers, labels, correlation, alike, others, kept, blank, shown, cascading, seed,
                         draws, notes)


def _forgetting(net, layers, cascading, seed, draw):
    """Yield a copy of net after each step of the test; it is one network, which changes from step to step."""
    other, weighted, drawn = net.copy(), weighted_layers(net), 0
    for layer in layers:
        upto = weighted.index(layer) + 1
        if not cascading:
            drawn = upto - 1
            for name, value in net.params.items():
                other.params[name] = value
        randomize(other, weighted[drawn:upto], seed, draw)
        drawn = upto
        yield other


def _number(value):
    """Return a float for JSON, which has no NaN."""
    return float(value) if np.isfinite(value) else None


def _known(net, layers, weighted):
    for name in layers:
        if net.node(name).name not in weighted:
            raise NodeError(f"{name} has no weights to randomize; {', '.join(weighted)} have")
    return set(layers)

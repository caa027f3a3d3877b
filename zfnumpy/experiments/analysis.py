"""Feature analysis (Zeiler & Fergus, sec. 5.3, table 7): how much each layer's output is worth to a linear classifier.

A linear support vector machine and a softmax on every layer's features, on classes that the network was not trained on, with
as many training pictures a class at each layer. Controls: labels dealt out at random, and the features of random weights.
"""

from dataclasses import dataclass

import numpy as np

from ..graph import convolutions
from ..layers import Concatenate, GlobalAvgPool, Linear, MaxPool2d, ReLU
from ..visualize.ends import last_hidden
from . import transfer
from .features import GRID, layer_features, width
from .generalization import split_rows
from .linear import KINDS
from .statistics import mean_deviation, rank_correlation
from .study import Claim, Study, Table

PAPER = {"Caltech-101, 30 a class": {"SVM": (44.8, 66.2, 72.3, 76.6, 86.2, None, 85.5), "softmax": {5: 82.9, 7: 85.4}},
         "Caltech-256, 60 a class": {"SVM": (24.6, 39.6, 46.0, 51.3, 65.6, None, 71.7), "softmax": {5: 65.7, 7: 72.6}}}
RANDOM, SHUFFLED = "random weights, svm", "shuffled labels, svm"
LINES = (*KINDS, RANDOM, SHUFFLED)


@dataclass
class Analysis(Study):
    """Accuracy (len(LINES), L, S) of linear classifiers on L layers' features, over S splits; widths (L,): features a layer.

    LINES: the two kinds on the network's features; the support vector machine on those of random weights, and on labels
    dealt out at random. count: training pictures a class; tested: test pictures.
    """

    settings: dict
    layers: list
    classes: list
    widths: np.ndarray
    accuracy: np.ndarray
    count: int
    tested: int
    name = "analysis"
    title = "Feature analysis"
    source = "Zeiler & Fergus, sec. 5.3, table 7"

    def tables(self):
        rows = [[layer, int(self.widths[k]), *(mean_deviation(each[k], 1, percent=True) for each in self.accuracy)]
                for k, layer in enumerate(self.layers)]
        return [Table(f"Right answers on {self.tested} pictures of {len(self.classes)} new classes, {self.count} training "
                      f"pictures a class; mean ± deviation over {self.accuracy.shape[2]} splits; maps averaged to "
                      f"{GRID} × {GRID} places; chance {1 / len(self.classes):.1%}",
                      ["layer", "features", *LINES], rows)]

    def claims(self):
        svm = self.accuracy[LINES.index("svm")]
        mean, found = svm.mean(axis=1), []
        falls = [f"{a} {p:.1%} to {b} {q:.1%}" for a, b, p, q in zip(self.layers, self.layers[1:], mean, mean[1:])
                 if q < p]
        rho = rank_correlation(mean)
        said = (f"rank correlation of layer and accuracy {rho:+.2f}; {self.layers[0]} "
                f"{mean_deviation(svm[0], 1, percent=True)}, {self.layers[-1]} {mean_deviation(svm[-1], 1, percent=True)}; "
                + (f"it falls from {', '.join(falls)}" if falls else "it never falls"))
        paper = "; ".join(f"{name}: SVM " + ", ".join(f"{v} ({k})" for k, v in enumerate(each["SVM"], 1) if v)
                          for name, each in PAPER.items())
        found.append(Claim("The deeper the layer, the more its features are worth.", paper, said, bool(rho > 0.5)))
        best = int(mean.argmax())
        found.append(Claim("The top layers are the best.", "best: layer 5 (Caltech-101), layer 7 (Caltech-256)",
                           f"the best is {self.layers[best]}, {mean_deviation(svm[best], 1, percent=True)}: number "
                           f"{best + 1} of {len(self.layers)}", bool(best >= len(self.layers) - 3)))
        chance, values = 1 / len(self.classes), self.accuracy
        found.append(transfer.at_chance("over all layers", values[LINES.index(SHUFFLED)].mean(axis=0), chance, self.tested,
                                        "Control, shuffled labels: nothing is learned from them."))
        found.append(transfer.at_chance(f"at {self.layers[-1]}", values[LINES.index(RANDOM)][-1], chance, self.tested,
                                        "Control, random weights: the top layer's features are at chance."))
        return found


def analysis(net, train, test, layers=None, count=30, splits=5, seed=0, settings=None, progress=iter):
    """Measure linear classifiers on every layer's features: an Analysis.

    train, test: data sets of the same classes. layers: nodes from the image up (default: `main_layers`). count: training
    pictures a class; `progress` wraps the list of (layer, split). Features are computed once and come from the cache.
    """
    layers = main_layers(net) if layers is None else [net.node(layer).name for layer in layers]
    count = transfer.checked_counts([min(count, int(np.bincount(train.labels).max()))], train.labels)[0]
    random = transfer.with_random_weights(net, seed)
    known = {name: [layer_features(each, part, layers) for part in (train, test)]
             for name, each in (("trained", net), (RANDOM, random))}
    usable, tested = transfer.readable(*(part[layers[0]] for part in known["trained"]))
    found = np.full((len(LINES), len(layers), splits), np.nan)
    for k, split in progress([(k, split) for k in range(len(layers)) for split in range(splits)]):
        rows = split_rows(train.labels, usable, count, split, seed)
        labels = train.labels[rows]
        dealt = np.random.default_rng([seed, 1, split]).permutation(labels)
        for line, name in enumerate(LINES):
            a, b = (part[layers[k]] for part in known[RANDOM if name == RANDOM else "trained"])
            found[line, k, split] = transfer.accuracy(a[rows], dealt if name == SHUFFLED else labels, b[tested],
                                                      test.labels[tested], "softmax" if name == "softmax" else "svm", seed)
    return Analysis(settings or {}, layers, list(train.classes), np.array([width(net, layer) for layer in layers]), found,
                    count, int(tested.sum()))


def main_layers(net):
    """Return the layers that a network is spoken of by: each convolution's and hidden linear layer's ReLU, pooled if it is.

    Of networks with branches, what joins them (SqueezeNet's fire2 to fire9) instead of the convolutions inside.
    """
    joined = [name for name, node in net.nodes.items() if isinstance(node.layer, Concatenate)]
    if joined:
        first = [name for name, node in net.nodes.items() if node.inputs == (convolutions(net)[0],)]
        return [*(first or convolutions(net)[:1]), *joined]
    found, top = [], last_hidden(net)
    for name, node in net.nodes.items():
        below = net.nodes.get(node.inputs[0])
        if isinstance(node.layer, ReLU) and below is not None and below.layer.params:
            found.append(name)
        elif isinstance(node.layer, MaxPool2d) and found and node.inputs == (found[-1],):
            found[-1] = name
        if name == top and not isinstance(node.layer, (Linear, GlobalAvgPool)):
            break
    return found

"""Ensembles and ten crops (Zeiler & Fergus, sec. 5.1, table 2): several networks' probabilities averaged."""

import itertools
from dataclasses import dataclass

import numpy as np

from ..data import Loader
from ..evaluate import crops_of, predict, ranks
from .statistics import mean_deviation
from .study import Claim, Study, Table

PAPER = {"ZFNet, 1 convnet": (38.4, 16.5), "5 of them": (36.7, 15.3), "with 512, 1024, 512 maps": (37.5, 16.0),
         "all 6": (36.0, 14.7)}
MOST = 50                    # subsets of one size that are averaged


@dataclass
class Ensemble(Study):
    """Errors of M networks of one kind, and of one wider, alone and averaged, with one crop and with ten.

    single (2, M, 2): top-1 and top-5 error of each network, by crops (one, ten). sizes: for k = 1 … M networks the errors
    (subsets, 2) of the averages, {crops: [of k networks]}. wide (2, 2), together (2, 2): the wide network and all of them;
    NaN without one. classes: how many there are; tested: pictures.
    """

    settings: dict
    single: np.ndarray
    sizes: dict
    wide: np.ndarray
    together: np.ndarray
    classes: int
    tested: int
    name = "ensemble"
    title = "Ensembles and ten crops"
    source = "Zeiler & Fergus, sec. 5.1, table 2"

    def arrays(self):
        return super().arrays() | {f"of_{k}_{crops}_crops": each for crops, sizes in self.sizes.items()
                                   for k, each in enumerate(sizes, 1)}

    def tables(self):
        M = self.single.shape[1]
        rows = [["one network", *_cells(self.single)]]
        for k in range(2, M + 1):
            each = np.stack([self.sizes[crops][k - 1] for crops in (1, 10)])
            rows.append([f"{k} networks averaged", *_cells(each)])
        if np.isfinite(self.wide).all():
            rows += [["one with wider 3, 4, 5", *_cells(self.wide[:, None])],
                     [f"all {M + 1} averaged", *_cells(self.together[:, None])]]
        columns = ["", "top-1, one crop", "top-5, one crop", "top-1, ten crops", "top-5, ten crops"]
        return [Table(f"Error on {self.tested:,} pictures of {self.classes} classes; mean ± deviation over networks, and "
                      "over sets of networks", columns, rows)]

    def claims(self):
        one, M = self.single[0, :, 0], self.single.shape[1]
        all_of_them = self.sizes[1][-1][0, 0]
        found = [Claim(f"{M} networks averaged are better than one.", "top-1 error 38.4 against 36.7 (5 networks)",
                       f"{mean_deviation(one, 1, percent=True)} against {all_of_them:.1%}", bool(all_of_them < one.mean())),
                 Claim("Ten crops are better than one.", "",
                       f"{mean_deviation(one, 1, percent=True)} against "
                       f"{mean_deviation(self.single[1, :, 0], 1, percent=True)}",
                       bool(self.single[1, :, 0].mean() < one.mean()))]
        if np.isfinite(self.wide).all():
            found += [Claim("Wider convolutions 3, 4, 5 are better.", "38.4 against 37.5",
                            f"{mean_deviation(one, 1, percent=True)} against {self.wide[0, 0]:.1%} (one crop)",
                            bool(self.wide[0, 0] < one.mean())),
                      Claim(f"All {M + 1} together are the best.", "36.7 (5) against 36.0 (6)",
                            f"{all_of_them:.1%} ({M}) against {self.together[0, 0]:.1%} ({M + 1}), one crop",
                            bool(self.together[0, 0] <= all_of_them))]
        return found


def _cells(errors):
    """Return texts of errors (2 crops, N, 2): top-1 and top-5 with one crop, then with ten."""
    return [mean_deviation(each[:, top], 1, percent=True) for each in errors for top in (0, 1)]


def ensemble(networks, part, wide=None, batch=64, seed=0, settings=None, progress=iter):
    """Measure networks alone and averaged on a data set, with one crop and with ten: an Ensemble.

    networks: M of them, of the same classes as `part`; they are used one after another, and of each only its probabilities
    are kept, (N, K). wide: one more. Of more than MOST sets of k networks that many are drawn. `progress` wraps the list of
    (network, crops).
    """
    nets = [*networks, *([] if wide is None else [wide])]
    p = {}
    for k, crops in progress([(k, crops) for k in range(len(nets)) for crops in (1, 10)]):
        p[k, crops], labels = probabilities(nets[k], part, crops, batch)
    M = len(networks)
    single = np.stack([[errors(p[k, crops], labels) for k in range(M)] for crops in (1, 10)])
    sizes = {crops: [np.stack([errors(np.mean([p[k, crops] for k in chosen], axis=0), labels)
                               for chosen in subsets(M, size, seed)]) for size in range(1, M + 1)] for crops in (1, 10)}
    nothing = np.full((2, 2), np.nan)
    own = nothing if wide is None else np.stack([errors(p[M, crops], labels) for crops in (1, 10)])
    together = nothing if wide is None else np.stack([errors(np.mean([p[k, crops] for k in range(M + 1)], axis=0), labels)
                                                      for crops in (1, 10)])
    return Ensemble(settings or {}, single, sizes, own, together, len(part.classes), len(labels))


def probabilities(net, part, crops=1, batch=64):
    """Return (probabilities (N, K), labels (N,)) of the pictures that can be read, with one crop or averaged over ten."""
    loader = Loader(part, batch, net.preprocessing, feeder=net.ops.feeder())
    found, labels = zip(*((predict(net, x), each) for x, each in crops_of(loader, crops == 10)))
    return np.concatenate(found), np.concatenate(labels)


def errors(p, labels):
    """Return (top-1 error, top-5 error) of probabilities (N, K)."""
    above = ranks(p, labels)
    return np.array([(above >= 1).mean(), (above >= 5).mean()])


def subsets(count, size, seed=0):
    """Return the sets of `size` of `count` networks: all of them, or MOST drawn where there are more."""
    every = list(itertools.combinations(range(count), size))
    if len(every) <= MOST:
        return every
    return [every[k] for k in np.sort(np.random.default_rng(seed).permutation(len(every))[:MOST])]

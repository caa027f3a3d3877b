"""What the studies of features on new classes share: networks to take features from, splits, and controls."""

import numpy as np

from ..data import Loader
from ..data.voc import average_precision
from ..errors import DataError
from ..visualize.sanity import randomize, weighted_layers
from . import linear
from .features import averaged
from .jobs import Job, Source, small_recipe, train_all
from .statistics import mean_deviation, standard_error
from .study import Claim

PIXELS = "pixels"            # the yardstick: no network at all
SIDE = 16                    # places a side that pictures are averaged to for it


def half_trained(folder, name, ops, epochs=10, seed=0, say=print, classes=10):
    """Return (network, its classes, the others) of a small network trained on every other class of a data set.

    It is trained in `folder` by jobs.train_all, once. name: the data set, as data.open_named opens it; classes: how many it
    has.
    """
    known, new = tuple(range(0, classes, 2)), tuple(range(1, classes, 2))
    job = Job("half", small_recipe(epochs, seed), Source(str(name), classes=known))
    return train_all([job], folder, ops, 1, say)[0].network(ops), known, new


def with_random_weights(net, seed=0):
    """Return a copy of a network with all weights drawn anew."""
    other = net.copy()
    randomize(other, weighted_layers(net), seed)
    return other


def few_of_each(labels, count, rng):
    """Return rows, `count` drawn of every class (all of a class that has fewer), class by class."""
    labels = np.asarray(labels)
    return np.concatenate([rng.permutation(np.flatnonzero(labels == k))[:count] for k in np.unique(labels)])


def checked_counts(counts, labels):
    """Return counts of training pictures a class, sorted, no larger than the largest class; DataError where none is left."""
    most = int(np.bincount(labels).max())
    kept = sorted({int(c) for c in counts if 0 < c <= most})
    if not kept:
        raise DataError(f"the largest class has {most} training pictures; none of the counts {list(counts)} is possible")
    return kept


def accuracy(train, train_labels, test, test_labels, kind="softmax", seed=0, present=None):
    """Return the share of test rows that a linear classifier trained on other rows gets right.

    present (N, K): of pictures that show several classes (data.Voc2012), what each shows; then the mean average precision of
    the scores over the classes is returned. The classifier still gives one answer a picture, as in the paper.
    """
    model = linear.fit(train, train_labels, kind, seed=seed)
    if present is None:
        return float((model.predict(test) == test_labels).mean())
    scores = model.scores(test)
    return float(np.nanmean([average_precision(scores[:, k], present[:, c]) for k, c in enumerate(model.classes)]))


def readable(train, test):
    """Return which rows of two arrays of features could be computed: those that are not NaN."""
    return ~np.isnan(train[:, 0]), ~np.isnan(test[:, 0])


def pixel_features(part, preprocessing, batch=256):
    """Return a data set's pictures as the network sees them, averaged to SIDE × SIDE places: (N, 3·SIDE²) float32."""
    found = np.full((len(part), 3 * min(SIDE, preprocessing.crop) ** 2), np.nan, np.float32)
    for x, _, rows in Loader(part, batch, preprocessing).batches():
        found[rows] = averaged(x, SIDE).reshape(len(rows), -1)
    return found


def at_chance(what, values, chance, tested, says):
    """Return the claim that a control's accuracies (S,) do not differ from chance.

    The bound is two standard errors: of the mean over the splits, and of a share of `tested` pictures, the same in all.
    """
    values = np.asarray(values, np.float64).ravel()
    error = (standard_error(values) ** 2 + chance * (1 - chance) / tested) ** 0.5
    return Claim(says, "", f"{what} {mean_deviation(values, 1, percent=True)}, chance {chance:.1%}",
                 bool(abs(values.mean() - chance) <= 2 * error))

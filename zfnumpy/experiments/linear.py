"""Linear classifiers on features: support vector machine and softmax regression, by scikit-learn.

Features are centred and divided by one number, such that the training rows have length 1 on average (root mean square):
so a cost means the same at every layer and no feature is blown up. Both classifiers penalize the squared length of their
weights, so these lie in the span of the training rows (representer theorem): where there are fewer rows N than features D,
the rows are turned into that span first, N numbers instead of D, and the answer is the same.
"""

import warnings
from dataclasses import dataclass

import numpy as np

from ..errors import BackendError, DataError
from ..visualize.neighbours import blocks

KINDS = ("svm", "softmax")
COSTS = (0.1, 1.0, 10.0, 100.0)             # scikit-learn's C, that cross-validation chooses from
DEFAULT = 10.0                              # where there are too few rows of a class to choose
FOLDS = 3


@dataclass
class Classifier:
    """A linear classifier: scores = (x - mean) @ weight.T + bias, weight (K, D), of the classes `classes` (K,)."""

    classes: np.ndarray
    mean: np.ndarray
    weight: np.ndarray
    bias: np.ndarray
    cost: float

    def scores(self, x):
        """Return the scores (N, K) float64 of features x (N, D), a block of rows at a time."""
        found = np.empty((len(x), len(self.classes)))
        for rows in blocks(x):
            found[rows] = (np.asarray(x[rows], np.float64) - self.mean) @ self.weight.T + self.bias
        return found

    def predict(self, x):
        """Return the class (N,) with the highest score of features x (N, D)."""
        return self.classes[self.scores(x).argmax(axis=1)]


def fit(x, labels, kind="svm", costs=COSTS, seed=0):
    """Train a linear classifier on features x (N, D) with labels (N,): a Classifier.

    kind: "svm", one class against the others with squared hinge loss, or "softmax", all classes together. costs: from which
    stratified cross-validation on these rows chooses, where every class has FOLDS rows or more; else DEFAULT. The same seed
    gives the same classifier. BackendError without scikit-learn; DataError for fewer than two classes or features that are
    not finite.
    """
    if kind not in KINDS:
        raise DataError(f"there is no linear classifier {kind!r}; use {' or '.join(KINDS)}")
    x, labels = np.asarray(x, np.float64), np.asarray(labels)
    if x.ndim != 2 or labels.shape != (len(x),):
        raise DataError(f"features (N, D) and labels (N,) are needed, got {x.shape} and {labels.shape}")
    if not np.isfinite(x).all():
        raise DataError(f"the features of row {int(np.flatnonzero(~np.isfinite(x).all(axis=1))[0])} are not finite")
    classes, counts = np.unique(labels, return_counts=True)
    if len(classes) < 2:
        raise DataError("a classifier needs rows of two classes or more, got one")
    mean = x.mean(axis=0)
    centred = x - mean
    scale = float(np.sqrt((centred ** 2).sum(axis=1).mean())) or 1.0
    basis, rows = _span(centred / scale)
    cost = DEFAULT if counts.min() < FOLDS else _best(rows, labels, kind, costs, seed)
    weight, bias = _fit(rows, labels, kind, cost, seed)
    weight = (weight if basis is None else weight @ basis) / scale
    return Classifier(classes, mean, weight, bias, cost)


def _span(x):
    """Return (basis (R, D), x @ basis.T (N, R)) of rows x (N, D), N < D; (None, x) where there are no fewer rows."""
    if len(x) >= x.shape[1]:
        return None, x
    values, vectors = np.linalg.eigh(x @ x.T)
    kept = values > 1e-10 * values[-1]
    if values[-1] <= 0:                                          # all rows are alike: there is nothing to span
        return None, x
    roots = np.sqrt(values[kept])
    return (vectors[:, kept].T @ x) / roots[:, None], vectors[:, kept] * roots


def _fit(x, labels, kind, cost, seed):
    """Return weight (K, D) and bias (K,)."""
    try:
        from sklearn.exceptions import ConvergenceWarning
        from sklearn.linear_model import LogisticRegression
        from sklearn.svm import LinearSVC
        from threadpoolctl import threadpool_limits
    except ImportError as error:
        raise BackendError("linear classifiers need scikit-learn: pip install 'zfnumpy[analysis]'") from error
    model = (LinearSVC(C=cost, dual="auto", tol=1e-3, max_iter=2000, random_state=seed) if kind == "svm"
             else LogisticRegression(C=cost, max_iter=300, random_state=seed))
    # One thread: the products are small, and a pool that waits for its turn makes them fifty times slower.
    with warnings.catch_warnings(), threadpool_limits(1):
        warnings.simplefilter("ignore", ConvergenceWarning)              # close is good enough, and the costs vary widely
        model.fit(x, labels)
    weight, bias = model.coef_, np.atleast_1d(model.intercept_)
    return (np.concatenate([-weight, weight]), np.concatenate([-bias, bias])) if len(weight) == 1 else (weight, bias)


def _best(x, labels, kind, costs, seed):
    """Return the cost with the most right answers in cross-validation; of equal ones the smallest."""
    folds = _folds(labels, seed)
    right = []
    for cost in costs:
        right.append(0)
        for fold in range(FOLDS):
            inside = folds != fold
            weight, bias = _fit(x[inside], labels[inside], kind, cost, seed)
            classes = np.unique(labels[inside])
            right[-1] += int((classes[(x[~inside] @ weight.T + bias).argmax(axis=1)] == labels[~inside]).sum())
    return costs[int(np.argmax(right))]


def _folds(labels, seed):
    """Return a fold (N,) for every row, such that each class is spread evenly over the FOLDS."""
    rng, folds = np.random.default_rng(seed), np.empty(len(labels), np.int64)
    for label in np.unique(labels):
        rows = rng.permutation(np.flatnonzero(labels == label))
        folds[rows] = np.arange(len(rows)) % FOLDS
    return folds

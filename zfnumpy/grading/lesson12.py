"""The checks of lesson 12: neighbours, and principal components."""

import numpy as np

from .check import TaskCheck, case


def squared_distances(a, b):
    return ((a.astype(np.float64)[:, None] - b.astype(np.float64)) ** 2).sum(axis=2)


def nearest(d, k):
    d = d.copy()
    np.fill_diagonal(d, np.inf)
    return np.argsort(d, axis=1, kind="stable")[:, :k]


def share_of_same(labels, neighbours):
    return float((labels[neighbours] == labels[:, None]).mean())


def pca(x, dims):
    X = x.astype(np.float64) - x.mean(axis=0, dtype=np.float64)
    return _along(X, *np.linalg.svd(X, full_matrices=False)[1:], dims)


def _along(X, s, vt, dims):
    """Return points, components and shares from centred rows X and their decomposition, signs fixed."""
    signs = np.sign(vt[np.arange(dims), np.abs(vt[:dims]).argmax(axis=1)])
    components = vt[:dims] * signs[:, None]
    return X @ components.T, components, s[:dims] ** 2 / (s ** 2).sum()


def checks(rng):
    """Return {task: TaskCheck} of fresh cases."""
    return {"12.1": _distances(rng), "12.2": _nearest(rng), "12.3": _share(rng), "12.4": _pca(rng)}


def _distances(rng):
    def by(factor=-2, first=1, second=1, dtype=np.float64):
        def mistaken(a, b):
            a, b = a.astype(dtype), b.astype(dtype)
            return first * (a * a).sum(axis=1)[:, None] + factor * a @ b.T + second * (b * b).sum(axis=1)
        return mistaken

    def as_they_come(a, b):
        return ((a * a).sum(axis=1)[:, None] - 2.0 * (a @ b.T) + (b * b).sum(axis=1)).astype(np.float64)

    def wrapped(a, b):
        return ((a[:, None] - b) ** 2).sum(axis=2).astype(np.float64)

    def other_way(a, b):
        return squared_distances(b, a)

    mistakes = [("It looks as if the dtype that comes in is kept to compute with: uint8 overflows, and float32 loses a "
                 "small difference of large numbers. float64 first.", as_they_come),
                ("It looks as if bytes are subtracted: in uint8 3 - 5 is 254. float64 first.", wrapped),
                ("It looks as if float32 is computed with: a small difference of large numbers is lost. float64 first.",
                 lambda a, b: by(dtype=np.float32)(a, b).astype(np.float64)),
                ("It looks as if 2 a·b is added: it is taken off.", by(2)),
                ("It looks as if a·b is taken off once: twice.", by(-1)),
                ("It looks as if |b|² is missing.", by(second=0)), ("It looks as if |a|² is missing.", by(first=0)),
                ("It looks as if the root is taken: the squares are wanted.", lambda a, b: squared_distances(a, b) ** 0.5),
                ("It looks as if a and b are exchanged: rows are a's, columns b's.", other_way),
                ("It looks as if the mean over the dimensions is taken: their sum.",
                 lambda a, b: squared_distances(a, b) / a.shape[1])]

    def draw(N, M, D, offset=0.0, dtype=np.float64):
        return tuple((offset + rng.standard_normal((n, D))).astype(dtype) for n in (N, M))

    one = draw(6, 1, 3)[0]
    pixels = tuple(rng.integers(0, 256, (n, 12)).astype(np.uint8) for n in (4, 5))
    return TaskCheck([case("a few points", squared_distances, *draw(3, 4, 2), mistakes=mistakes),
                      case("the same points twice", squared_distances, one, one, mistakes=mistakes),
                      case("as many a's as b's", squared_distances, *draw(5, 5, 3), mistakes=mistakes),
                      case("one of each, one dimension", squared_distances, *draw(1, 1, 1), mistakes=mistakes),
                      case("bytes", squared_distances, *pixels, mistakes=mistakes),
                      case("float32, far from 0", squared_distances, *draw(4, 6, 20, 300.0, np.float32), mistakes=mistakes)],
                     ("First astype(np.float64). Then three parts: which shapes have |a|², a·b and |b|² for all pairs?",
                      "a @ b.T is (N, M); the squares' sums are (N,) and (M,), which stand for rows and for columns.",
                      "(a * a).sum(axis=1)[:, None] - 2 * a @ b.T + (b * b).sum(axis=1)"))


def _nearest(rng):
    def own(d, k):
        return np.argsort(d, axis=1, kind="stable")[:, :k]

    def first_left_out(d, k):
        return np.argsort(d, axis=1, kind="stable")[:, 1:k + 1]

    def barred(d):
        return np.where(np.eye(len(d), dtype=bool), np.inf, d)

    def last_first(d, k):
        return len(d) - 1 - np.argsort(barred(d)[:, ::-1], axis=1, kind="stable")[:, :k]

    def zeros_left_out(d, k):
        return np.argsort(np.where(d <= 0, np.inf, d), axis=1, kind="stable")[:, :k]

    def farthest(d, k):
        return np.argsort(np.where(np.eye(len(d), dtype=bool), np.inf, -d), axis=1, kind="stable")[:, :k]

    mistakes = [("It looks as if a point is its own neighbour.", own),
                ("It looks as if the first after sorting is left out: that is not the point itself where another lies "
                 "at the same place. Make the diagonal infinite instead.", first_left_out),
                ("It looks as if all at distance 0 are left out: another point at the same place is a neighbour.",
                 zeros_left_out),
                ("It looks as if equally far points come in any order: argsort with kind=\"stable\".",
                 lambda d, k: np.argsort(barred(d), axis=1)[:, :k]),
                ("It looks as if the later of equally far points comes first.", last_first),
                ("It looks as if the farthest are taken.", farthest),
                ("It looks as if they come in no order: argpartition finds the k nearest but does not sort them.",
                 lambda d, k: np.argpartition(barred(d), k - 1, axis=1)[:, :k]),
                ("It looks as if the nearest comes last.", lambda d, k: nearest(d, k)[:, ::-1]),
                ("It looks as if one too few is meant by k: the point itself does not count.",
                 lambda d, k: np.concatenate([np.arange(len(d))[:, None], nearest(d, k)[:, :-1]], axis=1))]

    def between(x):
        return squared_distances(x, x)

    grid = between(rng.integers(0, 4, (40, 2)))
    twice = rng.standard_normal((5, 3))
    twice = rng.permutation(np.concatenate([twice, twice, twice[:2]]))
    rounded = between(rng.standard_normal((8, 4)))
    np.fill_diagonal(rounded, 1e-13)
    rounded[2, 5] = rounded[5, 2] = 0
    return TaskCheck([case("ten points", nearest, between(rng.standard_normal((10, 3))), 4, mistakes=mistakes),
                      case("one neighbour", nearest, between(rng.standard_normal((6, 2))), 1, mistakes=mistakes),
                      case("points that are equally far", nearest, grid, 7, mistakes=mistakes),
                      case("points that are there twice", nearest, between(twice), 4, mistakes=mistakes),
                      case("a diagonal that is not quite zero", nearest, rounded, 3, mistakes=mistakes),
                      case("all others", nearest, between(rng.standard_normal((5, 2))), 4, mistakes=mistakes),
                      case("two points", nearest, between(rng.standard_normal((2, 2))), 1, mistakes=mistakes),
                      case("float32", nearest, between(rng.standard_normal((9, 3))).astype(np.float32), 3,
                           mistakes=mistakes)],
                     ("np.argsort along axis 1 gives the indices by distance. What keeps a point from finding itself?",
                      "An infinite diagonal, in a copy of d: np.fill_diagonal. And which kind of sort keeps ties in order?",
                      'np.argsort(d, axis=1, kind="stable")[:, :k]'))


def _share(rng):
    def same(labels, neighbours):
        return labels[neighbours] == labels[:, None]

    mistakes = [("It looks as if it is in per cent: from 0 to 1.", lambda *both: 100 * share_of_same(*both)),
                ("It looks as if they are counted: divide by how many there are.", lambda *both: float(same(*both).sum())),
                ("It looks as if they are counted a point: divide by k too.",
                 lambda *both: float(same(*both).sum(axis=1).mean())),
                ("It looks as if points count whose neighbours are all of their class: each neighbour counts.",
                 lambda *both: float(same(*both).all(axis=1).mean())),
                ("It looks as if points count that have one such neighbour: each neighbour counts.",
                 lambda *both: float(same(*both).any(axis=1).mean())),
                ("It looks as if only the nearest counts: all k.", lambda *both: float(same(*both)[:, 0].mean())),
                ("It looks as if neighbours of other classes are counted.", lambda *both: 1 - share_of_same(*both)),
                ("It looks as if numbers of points are compared with classes: a neighbour's class is labels[neighbour].",
                 lambda labels, neighbours: float((neighbours == labels[:, None]).mean()))]

    def draw(N, k, classes):
        return rng.integers(0, classes, N), np.stack([rng.permutation(N)[:k] for _ in range(N)])

    labels = np.array([0, 0, 1, 1, 2])
    return TaskCheck([case("five neighbours", share_of_same, *draw(20, 5, 3), mistakes=mistakes),
                      case("one neighbour", share_of_same, *draw(12, 1, 2), mistakes=mistakes),
                      case("a class with one point", share_of_same, labels, draw(5, 2, 3)[1], mistakes=mistakes),
                      case("one class", share_of_same, np.zeros(6, np.int64), draw(6, 3, 1)[1], mistakes=mistakes),
                      case("none of the same class", share_of_same, np.arange(4), (np.arange(4)[:, None] + [1, 2]) % 4,
                           mistakes=mistakes)],
                     ("labels[neighbours] are the neighbours' classes, (N, k).",
                      "Compare with labels[:, None], and take the mean."))


def _pca(rng):
    def decomposed(X, dims, change=lambda s, vt: (s, vt)):
        return _along(X, *change(*np.linalg.svd(X, full_matrices=False)[1:]), dims)

    def centred(x):
        return x.astype(np.float64) - x.mean(axis=0, dtype=np.float64)

    def raw_signs(x, dims):
        X = centred(x)
        _, s, vt = np.linalg.svd(X, full_matrices=False)
        return X @ vt[:dims].T, vt[:dims], s[:dims] ** 2 / (s ** 2).sum()

    def turned(x, dims):
        points, components, share = pca(x, dims)
        return -points, -components, share

    def first_positive(x, dims):
        points, components, share = pca(x, dims)
        signs = np.sign(components[:, 0])
        return points * signs, components * signs[:, None], share

    def share_of_roots(x, dims):
        s = np.linalg.svd(centred(x))[1]
        return *pca(x, dims)[:2], s[:dims] / s.sum()

    def share_of_kept(x, dims):
        points, components, share = pca(x, dims)
        return points, components, share / share.sum()

    def left_vectors(x, dims):
        points, components, share = pca(x, dims)
        return points / np.sqrt((points * points).sum(axis=0)), components, share

    def not_moved(x, dims):
        _, components, share = pca(x, dims)
        return x.astype(np.float64) @ components.T, components, share

    def least_first(x, dims):
        X = centred(x)
        values, vectors = np.linalg.eigh(X.T @ X)
        points, components, _ = _along(X, np.ones(dims), vectors.T, dims)
        return points, components, values[:dims] / values.sum()

    def variances(x, dims):
        return *pca(x, dims)[:2], np.linalg.svd(centred(x))[1][:dims] ** 2 / (len(x) - 1)

    def scaled(x, dims):
        return decomposed(centred(x) / x.std(axis=0, dtype=np.float64), dims)

    def rows_centred(x, dims):
        return decomposed(x - x.mean(axis=1, keepdims=True, dtype=np.float64), dims)

    mistakes = [("It looks as if x is not centred: take each column's mean off first.",
                 lambda x, dims: decomposed(x.astype(np.float64), dims)),
                ("It looks as if each row's mean is taken off: each column's, axis 0.", rows_centred),
                ("It looks as if columns are divided by their deviation: only their mean is taken off.", scaled),
                ("It looks as if signs are left as they come: the entry of largest magnitude is to be positive.", raw_signs),
                ("It looks as if signs are turned: the entry of largest magnitude is to be positive.", turned),
                ("It looks as if the first entry is made positive: the one of largest magnitude.", first_positive),
                ("It looks as if the share is that of the singular values: of their squares.", share_of_roots),
                ("It looks as if the share is of the directions kept: of the whole variance.", share_of_kept),
                ("It looks as if the share is the variance itself: divide by the sum over all directions.", variances),
                ("It looks as if U alone is returned for the points: times S.", left_vectors),
                ("It looks as if x is projected with its mean: the centred rows.", not_moved),
                ("It looks as if the directions of least variance are taken: eigh gives the smallest first.", least_first)]

    def draw(N, D, dtype=np.float64):
        turn = np.linalg.qr(rng.standard_normal((D, D)))[0]
        spread = 2.0 ** -np.arange(D) * 4                        # well apart, so that rounding exchanges no directions
        return (rng.standard_normal((N, D)) * spread @ turn + 3 * rng.standard_normal(D)).astype(dtype)

    return TaskCheck([case(about, pca, draw(*sizes), dims, mistakes=mistakes, tolerance=1e-5) for about, dims, *sizes in (
                          ("two directions of five", 2, 30, 5), ("one direction", 1, 12, 4), ("all directions", 3, 20, 3),
                          ("fewer points than dimensions", 3, 5, 9), ("two points", 1, 2, 6),
                          ("float32", 2, 15, 6, np.float32))],
                     ("Take the mean of each column off. Then np.linalg.svd(X, full_matrices=False) gives U, s and Vᵀ.",
                      "The first rows of Vᵀ are the components; turn those whose largest is below 0; X @ components.T.",
                      "signs = np.sign(c[np.arange(dims), np.abs(c).argmax(axis=1)]); share = s[:dims]**2 / (s**2).sum()."))

"""The checks of lesson 13: ranks and their correlation, the pointing game, the area under a deletion curve."""

import numpy as np

from .check import TaskCheck, case


def ranks(values):
    _, which, counts = np.unique(values.ravel(), return_inverse=True, return_counts=True)
    return (np.cumsum(counts) - (counts - 1) / 2)[which].reshape(values.shape)


def correlation(a, b):
    a, b = a - a.mean(), b - b.mean()
    if not a.any() or not b.any():
        return float(a.any() == b.any())
    return float((a * b).sum() / np.sqrt((a * a).sum() * (b * b).sum()))


def pointing(maps, masks):
    strongest = maps == maps.max(axis=(1, 2), keepdims=True)
    return (strongest & masks).sum(axis=(1, 2)) / strongest.sum(axis=(1, 2))


def deletion_area(shares, probabilities):
    return ((probabilities[:, 1:] + probabilities[:, :-1]) / 2 * np.diff(shares)).sum(axis=1)


def checks(rng):
    """Return {task: TaskCheck} of fresh cases."""
    return {"13.1": _ranks(rng), "13.2": _correlation(rng), "13.3": _pointing(rng), "13.4": _area(rng)}


def _ranks(rng):
    def by(place):
        """Return the ranks by place(counts of each distinct value, in ascending order)."""
        def ranked(values):
            _, which, counts = np.unique(values.ravel(), return_inverse=True, return_counts=True)
            return place(counts).astype(np.float64)[which].reshape(values.shape)
        return ranked

    def in_order(values):
        return (values.ravel().argsort(kind="stable").argsort() + 1.0).reshape(values.shape)

    def sorted_once(values):
        return (values.ravel().argsort(kind="stable") + 1.0).reshape(values.shape)

    def each_row(values):
        return np.stack([ranks(row) for row in values])

    mistakes = [("It looks as if argsort is taken once: that is where the k-th smallest lies, not how many are smaller.",
                 sorted_once),
                ("It looks as if argsort is taken once, and counts from 0.", lambda values: sorted_once(values) - 1),
                ("It looks as if equal values are put in an order: they share the mean of their places.", in_order),
                ("It looks as if equal values get the first of their places: the mean of them.",
                 by(lambda counts: np.cumsum(counts) - counts + 1)),
                ("It looks as if equal values get the last of their places: the mean of them.", by(np.cumsum)),
                ("It looks as if distinct values are counted: three that are equal take three places.",
                 by(lambda counts: np.arange(len(counts)) + 1)),
                ("It looks as if places count from 0: from 1.", lambda values: ranks(values) - 1),
                ("It looks as if the largest comes first: 1 is the smallest.", lambda values: ranks(-1.0 * values)),
                ("It looks as if magnitudes are ranked.", lambda values: ranks(abs(values))),
                ("It looks as if each row is ranked by itself: the whole array.", each_row)]
    few = rng.permutation(np.repeat([-1.0, 0.5, 2.0, 3.0], [3, 1, 2, 4]))
    cases = [("distinct values", rng.standard_normal(9)), ("a map", rng.standard_normal((4, 5))),
             ("values that are equal", few), ("a map of a few whole numbers", rng.integers(0, 4, (5, 4))),
             ("all equal", np.full((2, 3), 7.0)), ("one value", rng.standard_normal(1)),
             ("float32, three axes", rng.standard_normal((2, 3, 4)).astype(np.float32))]
    return TaskCheck([case(about, ranks, values, mistakes=mistakes) for about, values in cases],
                     ("Without equal values: np.argsort of np.argsort, plus 1. With them: np.unique finds which are equal.",
                      "np.unique(…, return_inverse=True, return_counts=True): counts.cumsum() is each value's last place.",
                      "The mean of its places is last - (count - 1) / 2; index that with the inverse, and reshape."))


def _correlation(rng):
    def not_centred(a, b):
        return float((a * b).sum() / np.sqrt((a * a).sum() * (b * b).sum()))

    def as_formula(a, b):
        n = a.size
        return float(1 - 6 * ((a - b) ** 2).sum() / max(1, n * (n * n - 1)))

    def deviations(a, b):
        return [np.sqrt(((each - each.mean()) ** 2).mean()) for each in (a, b)]

    def covariance(a, b):
        return float(((a - a.mean()) * (b - b.mean())).mean())

    def no_case(a, b):
        return covariance(a, b) / np.prod(deviations(a, b))

    def squared(a, b):
        return float(covariance(a, b) / np.prod(deviations(a, b)) ** 2)

    def unequal(a, b):
        sa, sb = deviations(a, b)
        return correlation(a, b) * a.size / (a.size - 1) if sa and sb else correlation(a, b)

    mistakes = [("It looks as if two constants have nothing in common: 1.0, they are alike.",
                 lambda a, b: correlation(a, b) if np.ptp(a) or np.ptp(b) else 0.0),
                ("It looks as if a constant is like everything: 0.0 where only one is constant.",
                 lambda a, b: correlation(a, b) if np.ptp(a) and np.ptp(b) else 1.0),
                ("It looks as if the means are not taken off.", not_centred),
                ("It looks as if 1 - 6 Σ d² / (n (n² - 1)) is taken: that is right only without equal ranks.", as_formula),
                ("It looks as if it is not divided by the deviations: that is the covariance.", covariance),
                ("It looks as if constant ranks are 0/0: 0.0 where one is constant, 1.0 where both are.", no_case),
                ("It looks as if the root is missing below the line.", squared),
                ("It looks as if one part divides by n and the other by n - 1.", unequal),
                ("It looks as if the sign is lost.", lambda a, b: abs(correlation(a, b))),
                ("It looks as if the correlation is squared.", lambda a, b: correlation(a, b) ** 2)]

    def ranked(shape, most=None):
        return ranks(rng.standard_normal(shape) if most is None else rng.integers(0, most, shape))

    a, flat = ranked(10), np.full((3, 4), 6.5)
    near = ranks(a + 4 * rng.standard_normal(10))
    cases = [("two rankings", a, near), ("two maps", ranked((5, 6)), ranked((5, 6))), ("the same twice", a, a),
             ("one turned round", a, 11 - a), ("one nearly turned round", a, 11 - near),
             ("maps with equal ranks", ranked((6, 5), 3), ranked((6, 5), 4)), ("one is constant", flat, ranked((3, 4))),
             ("the other is constant", ranked((3, 4)), flat), ("both are constant", flat, flat)]
    return TaskCheck([case(about, correlation, *pair, mistakes=mistakes, tolerance=1e-9) for about, *pair in cases],
                     ("Take each array's mean off first; what is left of a constant?",
                      "Above the line Σ ab, below it the root of Σ aa · Σ bb, all without their means.",
                      "After centring a constant is all zeros, with nothing to divide by: 1.0 if both are, else 0.0."))


def _pointing(rng):
    def strongest(maps):
        return maps == maps.max(axis=(1, 2), keepdims=True)

    def first(maps, masks):
        N = len(maps)
        return masks.reshape(N, -1)[np.arange(N), maps.reshape(N, -1).argmax(axis=1)].astype(np.float64)

    def of_all(maps, masks):
        found = maps == maps.max()
        return (found & masks).sum(axis=(1, 2)) / np.maximum(found.sum(axis=(1, 2)), 1)

    def energy(maps, masks):
        return (maps * masks).sum(axis=(1, 2)) / maps.sum(axis=(1, 2))

    def of_mask(maps, masks):
        return (strongest(maps) & masks).sum(axis=(1, 2)) / masks.sum(axis=(1, 2))

    mistakes = [("It looks as if the first of several equally strong pixels decides: the share of them in the mask.", first),
                ("It looks as if one equally strong pixel in the mask is enough: the share of them.",
                 lambda maps, masks: (strongest(maps) & masks).any(axis=(1, 2)).astype(np.float64)),
                ("It looks as if all equally strong pixels must be in the mask: the share of them.",
                 lambda maps, masks: (~strongest(maps) | masks).all(axis=(1, 2)).astype(np.float64)),
                ("It looks as if pixels are counted: divide by how many are equally strong.",
                 lambda maps, masks: (strongest(maps) & masks).sum(axis=(1, 2)) * 1.0),
                ("It looks as if one maximum is taken over all maps: each has its own.", of_all),
                ("It looks as if the map's energy in the mask is taken: only its strongest pixel.", energy),
                ("It looks as if it is divided by the mask's pixels: by the equally strong ones.", of_mask),
                ("It looks as if the mean over the maps is returned: one number a map.",
                 lambda maps, masks: float(pointing(maps, masks).mean())),
                ("It looks as if hits and misses are exchanged.", lambda maps, masks: 1 - pointing(maps, masks))]

    def draw(N, H, W, most=None, dtype=np.float64):
        maps = rng.random((N, H, W)) * rng.random((N, 1, 1)) if most is None else rng.integers(0, most, (N, H, W))
        maps, masks = maps.astype(dtype), rng.random((N, H, W)) < 0.4
        masks[:, 0, 0], masks[:, -1, -1] = True, False
        return maps, masks

    both = np.zeros((2, 4, 5))
    both[0, 1, 1:3] = both[1, 0, 0] = both[1, 3, 4] = 3
    inside = np.zeros((2, 4, 5), bool)
    inside[0, 1, 2:], inside[1, 3] = True, True
    return TaskCheck([case("one map", pointing, *draw(1, 4, 4), mistakes=mistakes),
                      case("eight maps, wider than high", pointing, *draw(8, 3, 6), mistakes=mistakes),
                      case("two equally strong pixels", pointing, both, inside, mistakes=mistakes),
                      case("many equally strong pixels", pointing, *draw(5, 6, 5, 3), mistakes=mistakes),
                      case("maps of zeros", pointing, np.zeros((3, 4, 4)), draw(3, 4, 4)[1], mistakes=mistakes),
                      case("maps below zero", pointing, -1 - draw(4, 3, 3)[0], draw(4, 3, 3)[1], mistakes=mistakes),
                      case("float32", pointing, *draw(6, 5, 4, None, np.float32), mistakes=mistakes)],
                     ("The maximum of each map is maps.max(axis=(1, 2), keepdims=True). Which pixels have it?",
                      "Of these, how many are in the mask too? Two arrays of bools meet with &.",
                      "(strongest & masks).sum(axis=(1, 2)) / strongest.sum(axis=(1, 2))"))


def _area(rng):
    def summed(shares, probabilities):
        return probabilities.sum(axis=1) * 1.0

    def steps(heights):
        return lambda shares, p: (heights(p) * np.diff(shares)).sum(axis=1)

    mistakes = [("It looks as if the mean of the probabilities is taken: steps differ, and the ends count half.",
                 lambda shares, p: p.mean(axis=1) * 1.0),
                ("It looks as if all steps were equally wide: multiply each mean height by its own width.",
                 lambda shares, p: ((p[:, 1:] + p[:, :-1]) / 2).mean(axis=1)),
                ("It looks as if each step has the height that it begins with: the mean of both ends.",
                 steps(lambda p: p[:, :-1])),
                ("It looks as if each step has the height that it ends with: the mean of both ends.",
                 steps(lambda p: p[:, 1:])),
                ("It looks as if the heights of both ends are added: their mean.", steps(lambda p: p[:, 1:] + p[:, :-1])),
                ("It looks as if the widths are missing.", summed),
                ("It looks as if the area above the curve is taken.", lambda shares, p: 1 - deletion_area(shares, p)),
                ("It looks as if the mean over the curves is taken: one number a curve.",
                 lambda shares, p: float(deletion_area(shares, p).mean()))]

    def draw(N, S, dtype=np.float64):
        shares = np.concatenate([[0], np.sort(rng.random(S - 1)), [1]])
        return shares, rng.random((N, S + 1)).astype(dtype)

    equal = np.linspace(0, 1, 9)
    return TaskCheck([case("one curve, steps of any width", deletion_area, *draw(1, 5), mistakes=mistakes, tolerance=1e-9),
                      case("five curves", deletion_area, *draw(5, 7), mistakes=mistakes, tolerance=1e-9),
                      case("equal steps", deletion_area, equal, rng.random((3, 9)), mistakes=mistakes, tolerance=1e-9),
                      case("a straight line", deletion_area, draw(1, 6)[0], 1 - draw(1, 6)[0][None], mistakes=mistakes,
                           tolerance=1e-9),
                      case("a single step", deletion_area, *draw(4, 1), mistakes=mistakes, tolerance=1e-9),
                      case("float32 probabilities", deletion_area, *draw(3, 6, np.float32), mistakes=mistakes,
                           tolerance=1e-5)],
                     ("Between two looks the curve is a straight line: what is the area below it?",
                      "Widths: np.diff(shares), S of them. Mean heights: probabilities[:, 1:] and [:, :-1].",
                      "((p[:, 1:] + p[:, :-1]) / 2 * np.diff(shares)).sum(axis=1)"))

"""The checks of lesson 10: places of a square, covering, the map of a score, and the window that a square changes."""

import numpy as np

from ._runner import Code
from .check import TaskCheck, case


def places(n, size, stride):
    m = -(-n // stride)
    return (n - ((m - 1) * stride + size)) // 2 + stride * np.arange(m)


def cover(x, top, left, size, fill=0.0):
    rows, columns = np.arange(x.shape[1])[:, None], np.arange(x.shape[2])
    covered = (rows >= top) & (rows < top + size) & (columns >= left) & (columns < left + size)
    return np.where(covered, np.asarray(fill, x.dtype), x)


def occlusion_map(score, x, tops, lefts, size, fill=0.0):
    return np.array([[score(cover(x, top, left, size, fill)) for left in lefts] for top in tops], np.float64)


def changed(first, last, size, stride, pad, outputs):
    seen = [u for u in range(outputs) if stride * u - pad < last and stride * u - pad + size > first]
    return (seen[0], seen[-1] + 1) if seen and first < last else (0, 0)


def checks(rng):
    """Return {task: TaskCheck} of fresh cases."""
    return {"10.1": _places(rng), "10.2": _cover(rng), "10.3": _map(rng), "10.4": _changed(rng)}


def _places(rng):
    def row(count=lambda n, k, s: -(-n // s), first=lambda n, k, s, m: (n - ((m - 1) * s + k)) // 2):
        def mistaken(n, size, stride):
            m = count(n, size, stride)
            return first(n, size, stride, m) + stride * np.arange(m)
        return mistaken

    mistakes = [("It looks as if half a pixel is rounded towards zero, which int() does: down, by //, below zero too.",
                 row(first=lambda n, k, s, m: int((n - ((m - 1) * s + k)) / 2))),
                ("It looks as if half a pixel is rounded to the right: down, which // does below zero too.",
                 row(first=lambda n, k, s, m: -(((m - 1) * s + k - n) // 2))),
                ("It looks as if the first square begins at 0: the row of squares lies in the middle and sticks out.",
                 row(first=lambda n, k, s, m: 0)),
                ("It looks as if only squares that fit are taken: ceil(n / stride) of them.",
                 row(lambda n, k, s: max((n - k) // s + 1, 0), lambda n, k, s, m: 0)),
                ("It looks as if only squares that fit are taken: ceil(n / stride) of them.",
                 row(lambda n, k, s: max((n - k) // s + 1, 0))),
                ("It looks as if n / stride is rounded down: up, -(-n // stride).", row(lambda n, k, s: n // s)),
                ("It looks as if there is one square too many: ceil(n / stride), not n // stride + 1.",
                 row(lambda n, k, s: n // s + 1)),
                ("It looks as if the row is taken to be m strides long: (m - 1) strides and one square.",
                 row(first=lambda n, k, s, m: (n - m * s) // 2)),
                ("It looks as if the row is taken to be m strides and a square long: (m - 1) strides and one square.",
                 row(first=lambda n, k, s, m: (n - (m * s + k)) // 2)),
                ("It looks as if the centres are returned: where the squares begin.",
                 lambda n, size, stride: places(n, size, stride) + size // 2)]
    given = [("64 pixels, a square of 9", 64, 9, 4), ("a square of an even side", 64, 8, 4), ("stride 1", 11, 3, 1),
             ("a stride that does not divide the side", 23, 5, 4), ("a stride larger than the square", 21, 2, 6),
             ("a square larger than the side", 7, 12, 3), ("a stride larger than the side", 5, 3, 8), ("one pixel", 1, 1, 1)]
    for about in ("another side", "and another"):
        size = int(rng.integers(2, 12))
        given.append((about, int(rng.integers(20, 90)), size, int(rng.integers(1, size + 2))))
    return TaskCheck([case(about, places, n, size, stride, mistakes=mistakes) for about, n, size, stride in given],
                     ("How long is a row of m squares whose beginnings are `stride` apart?",
                      "n less that length, halved and rounded down, is where the first begins: it may be below 0.",
                      "m = -(-n // stride), and (n - ((m - 1) * stride + size)) // 2 + stride * np.arange(m)"))


def _cover(rng):
    def sliced(x, top, left, size, fill=0.0):
        """Slice, and let negative numbers count from the end."""
        x = x.copy()
        x[:, top:top + size, left:left + size] = fill
        return x

    def half_sliced(x, top, left, size, fill=0.0):
        """Cut at 0 where the square begins, and let its end count from the end."""
        x = x.copy()
        x[:, max(top, 0):top + size, max(left, 0):left + size] = fill
        return x

    def moved_in(x, top, left, size, fill=0.0):
        _, H, W = x.shape
        return cover(x, min(max(top, 0), max(H - size, 0)), min(max(left, 0), max(W - size, 0)), size, fill)

    def whole_size(x, top, left, size, fill=0.0):
        """Begin at 0 and be `size` long all the same."""
        return cover(x, max(top, 0), max(left, 0), size, fill)

    def first_channel(x, top, left, size, fill=0.0):
        out = x.copy()
        out[0] = cover(x, top, left, size, fill)[0]
        return out

    def all_but(x, top, left, size, fill=0.0):
        return np.where(cover(np.zeros_like(x), top, left, size, 1.0) == 0, np.asarray(fill, x.dtype), x)

    mistakes = [("It looks as if negative numbers count from the end here: max(top, 0), and max(top + size, 0) for the end.",
                 sliced),
                ("It looks as if a square that ends below 0 counts from the end: max(top + size, 0) for the end too.",
                 half_sliced),
                ("It looks as if the square is moved into the image: it sticks out, and is cut.", moved_in),
                ("It looks as if a square that sticks out keeps its size: it still ends at top + size.", whole_size),
                ("It looks as if only the first channel is filled: all of them.", first_channel),
                ("It looks as if all but the square is filled.", all_but),
                ("It looks as if top and left are exchanged: rows first.",
                 lambda x, top, left, size, fill=0.0: cover(x, left, top, size, fill)),
                ("It looks as if the square is a pixel too large: up to, but not including, top + size.",
                 lambda x, top, left, size, fill=0.0: cover(x, top, left, size + 1, fill)),
                ("It looks as if (top, left) is taken for the centre: it is the first row and column.",
                 lambda x, top, left, size, fill=0.0: cover(x, top - size // 2, left - size // 2, size, fill)),
                ("It looks as if `fill` is not looked at: it is an argument.",
                 lambda x, top, left, size, fill=0.0: cover(x, top, left, size))]
    x = 1 + rng.random((3, 9, 11))
    where = [("wholly inside", 2, 5, 4), ("over the upper edge", -2, 3, 4), ("over the left edge", 4, -1, 3),
             ("over the lower right corner", 7, 8, 5), ("over the upper left corner", -3, -2, 5),
             ("outside, above", -5, 2, 4), ("outside, at the left", 3, -4, 3), ("outside, below", 9, 4, 3),
             ("larger than the image", -2, -3, 16), ("one pixel", 8, 10, 1)]
    cases = [case(about, cover, x, *at, mistakes=mistakes) for about, *at in where]
    cases += [case("another fill", cover, x, 1, -2, 5, fill=-0.5, mistakes=mistakes),
              case("one channel, float32", cover, (1 + rng.random((1, 6, 5))).astype(np.float32), 3, 2, 3, fill=7.0,
                   mistakes=mistakes)]
    return TaskCheck(cases, ("x must stay as it is. What does x[:, -2:3] give, in an array of 9 rows?",
                             "Rows max(top, 0) to max(top + size, 0): a slice may end beyond the image, but not below 0.",
                             "x = x.copy(); x[:, max(top, 0):max(top + size, 0), …] = fill, columns alike."))


def _map(rng):
    def piled_up(score, x, tops, lefts, size, fill=0.0):
        """Leave every square where it was laid."""
        out = np.zeros((len(tops), len(lefts)))
        for r, top in enumerate(tops):
            for s, left in enumerate(lefts):
                x = cover(x, top, left, size, fill)
                out[r, s] = score(x)
        return out

    def through(how):
        return lambda score, x, tops, lefts, size, fill=0.0: how(occlusion_map(score, x, tops, lefts, size, fill), score(x))

    def exchanged(score, x, tops, lefts, size, fill=0.0):
        """Take what is at the left for the top."""
        return np.array([[score(cover(x, left, top, size, fill)) for left in lefts] for top in tops], np.float64)

    def diagonal(score, x, tops, lefts, size, fill=0.0):
        return np.array([score(cover(x, top, left, size, fill)) for top, left in zip(tops, lefts)])

    def flat(score, x, tops, lefts, size, fill=0.0):
        return occlusion_map(score, x, tops, lefts, size, fill).ravel()

    mistakes = [("It looks as if squares pile up: each is laid on a fresh copy of x.", piled_up),
                ("It looks as if the drop is returned: what the score becomes.", through(lambda m, before: before - m)),
                ("It looks as if the change is returned: what the score becomes.", through(lambda m, before: m - before)),
                ("It looks as if the map is divided by the score of the image: what the score becomes.",
                 through(lambda m, before: m / before)),
                ("It looks as if the map lies on its side: entry [r, s] is of tops[r] and lefts[s].",
                 through(lambda m, before: m.T.copy())),
                ("It looks as if top and left are exchanged when the square is laid.", exchanged),
                ("It looks as if tops and lefts are taken in pairs: every top with every left.", diagonal),
                ("It looks as if the map is one row: (R, S).", flat),
                ("It looks as if `fill` is not handed on.",
                 lambda score, x, tops, lefts, size, fill=0.0: occlusion_map(score, x, tops, lefts, size)),
                ("It looks as if the square is not laid on x: every entry is the score of the image itself.",
                 lambda score, x, tops, lefts, size, fill=0.0: np.full((len(tops), len(lefts)), float(score(x))))]
    weighted = Code("def f(x): return float((x * np.arange(1, x.size + 1).reshape(x.shape)).sum())")
    squares = Code("def f(x): return float((x * x).sum() / (1 + np.abs(x).sum()))")
    corner = Code("def f(x): return float(x[0, 0, 0] - 2 * x[-1, -1, -1])")
    x = 1 + rng.random((3, 8, 8))
    tops = np.arange(-1, 8, 3)
    return TaskCheck([case("a score that weights every pixel", occlusion_map, weighted, x, tops, tops, 4, mistakes=mistakes),
                      case("more columns than rows", occlusion_map, weighted, 1 + rng.random((2, 5, 9)), np.array([0, 3]),
                           np.array([-2, 1, 4, 7]), 3, mistakes=mistakes),
                      case("a score that is not linear", occlusion_map, squares, x, tops, tops, 3, mistakes=mistakes),
                      case("a score of two pixels", occlusion_map, corner, x, tops, tops, 2, mistakes=mistakes),
                      case("another fill", occlusion_map, weighted, x, tops, tops, 2, fill=0.25, mistakes=mistakes),
                      case("one square", occlusion_map, squares, x, np.array([2]), np.array([5]), 3, mistakes=mistakes),
                      case("float32 images, a float64 map", occlusion_map, squares, x.astype(np.float32), tops, tops[:2], 3,
                           mistakes=mistakes, tolerance=1e-5)],
                     ("Two loops: every top with every left. What must x be before each square?",
                      "score(cover(x, top, left, size, fill)), and x itself is never assigned to.",
                      "np.array([[… for left in lefts] for top in tops], np.float64)"))


def _changed(rng):
    def limits(first=lambda f, k, s, p: -((k - 1 - p - f) // s), last=lambda e, k, s, p: -(-(e + p) // s), low=0, cut=True):
        def mistaken(f, e, size, stride, pad, outputs):
            a, b = first(f, size, stride, pad), last(e, size, stride, pad)
            a, b = (a if low is None else max(a, low)), (min(b, outputs) if cut else b)
            return (a, b) if a < b else (0, 0)
        return mistaken

    def inclusive(f, e, *layer):
        a, b = changed(f, e, *layer)
        return (a, b - 1) if b else (a, b)

    def inside_only(f, e, size, stride, pad, outputs):
        """Take windows that lie in the changed inputs altogether."""
        seen = [u for u in range(outputs) if stride * u - pad >= f and stride * u - pad + size <= e]
        return (seen[0], seen[-1] + 1) if seen else (0, 0)

    def begins_inside(f, e, size, stride, pad, outputs):
        seen = [u for u in range(outputs) if f <= stride * u - pad < e]
        return (seen[0], seen[-1] + 1) if seen else (0, 0)

    def no_none(f, e, size, stride, pad, outputs):
        return max(-((size - 1 - pad - f) // stride), 0), min(-(-(e + pad) // stride), outputs)

    mistakes = [("It looks as if only windows that lie wholly on changed inputs count: one changed input is enough.",
                 inside_only),
                ("It looks as if only windows that begin on a changed input count: those that end on one see it too.",
                 begins_inside),
                ("It looks as if the last output is included: u < last, as in a slice.", inclusive),
                ("It looks as if the padding is left out: window u begins at stride·u - pad.",
                 lambda f, e, k, s, p, n: changed(f, e, k, s, 0, n)),
                ("It looks as if the padding is taken off: it is added to first and to last.",
                 lambda f, e, k, s, p, n: changed(f - 2 * p, e - 2 * p, k, s, p, n)),
                ("It looks as if the stride is left out: window u begins at stride·u - pad.",
                 lambda f, e, k, s, p, n: changed(f, e, k, 1, p, n)),
                ("It looks as if the first is rounded down: the window before it ends too early, so up.",
                 limits(first=lambda f, k, s, p: (f + p - k + 1) // s)),
                ("It looks as if the last is rounded down: a window that begins before `last` still sees the end, so up.",
                 limits(last=lambda e, k, s, p: (e + p) // s)),
                ("It looks as if the last counts one too many: (last + pad) / stride rounded up, not down plus one.",
                 limits(last=lambda e, k, s, p: (e + p) // s + 1)),
                ("It looks as if a window were a pixel longer: it ends at stride·u - pad + size - 1.",
                 limits(first=lambda f, k, s, p: -((k - p - f) // s))),
                ("It looks as if outputs below 0 are counted: from 0 on.", limits(low=None)),
                ("It looks as if outputs beyond the last are counted: u < outputs.", limits(cut=False)),
                ("It looks as if no output gives another pair here: (0, 0) where no window sees a changed input.", no_none)]
    given = [("conv1 and a square of 9", 24, 33, 7, 2, 3, 32), ("the same a pixel further", 25, 34, 7, 2, 3, 32),
             ("at the left border", 0, 6, 7, 2, 3, 32), ("at the right border", 58, 64, 7, 2, 3, 32),
             ("stride 1", 5, 9, 3, 1, 1, 16), ("no padding", 10, 14, 5, 2, 0, 14),
             ("a pooling of 3 at stride 2", 11, 18, 3, 2, 1, 16),
             ("everything is changed", 0, 16, 3, 2, 1, 8), ("one input", 6, 7, 3, 2, 1, 8),
             ("one input that no window sees", 5, 6, 2, 3, 0, 4), ("inputs beyond the last window", 14, 15, 3, 3, 0, 4),
             ("windows of one", 3, 8, 1, 1, 0, 12), ("the first input alone", 0, 1, 4, 3, 2, 7)]
    for about in ("another layer", "and another", "and a third"):
        size = int(rng.integers(2, 8))
        stride, pad, n = int(rng.integers(1, size + 1)), int(rng.integers(0, size // 2 + 1)), int(rng.integers(20, 40))
        first = int(rng.integers(0, n - 5))
        given.append((about, first, first + int(rng.integers(1, 6)), size, stride, pad, (n + 2 * pad - size) // stride + 1))
    return TaskCheck([case(about, changed, *numbers, mistakes=mistakes) for about, *numbers in given],
                     ("Solve stride·u - pad < last, and stride·u - pad + size > first, for u. How is each rounded?",
                      "ceil((first + pad - size + 1) / stride) and ceil((last + pad) / stride), within 0 and outputs.",
                      "-(-a // b) rounds a / b up. max(…, 0), min(…, outputs), and (0, 0) if nothing is left."))

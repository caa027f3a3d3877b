"""The checks of lesson 4: max pooling, its switches, and unpooling."""

import numpy as np

from ..ops.reference import Ops
from .check import Case, TaskCheck, case

OPS = Ops()


def pool(x, size, stride, pad=0):
    return OPS.max_pool2d(x, size, stride, pad)


def read(x, switches):
    N, C = x.shape[:2]
    return np.take_along_axis(x.reshape(N, C, -1), switches.reshape(N, C, -1), axis=2).reshape(switches.shape)


def unpool(y, switches, x_shape):
    return OPS.max_unpool2d(y, switches, x_shape)


def checks(rng):
    """Return {task: TaskCheck} of fresh cases."""
    return {"4.1": _pool(rng), "4.2": _read(rng), "4.3": _unpool(rng)}


# What each case is about, and its N, C, (H, W), size, stride, pad, dtype.
SIZES = [("windows side by side", 1, 1, (4, 6), 2, 2, 0, np.float64),
         ("several maps and images", 2, 3, (4, 4), 2, 2, 0, np.float64),
         ("windows that overlap", 2, 2, (7, 9), 3, 2, 0, np.float64),
         ("padding 1, as ZFNet pools", 2, 2, (6, 5), 3, 2, 1, np.float64),
         ("stride 1, with pixels in nine windows", 1, 2, (5, 4), 3, 1, 1, np.float64),
         ("a stride larger than the window, and pixels in none", 2, 1, (8, 9), 2, 3, 0, np.float64),
         ("one pixel", 1, 2, (1, 1), 1, 1, 0, np.float64),
         ("float32", 2, 2, (5, 6), 3, 2, 1, np.float32)]


def _windows(x, size, stride, pad, fill):
    """Return every window's values (N, C, OH, OW, size²), and the rows and columns (OH, OW, size²) in x that they are at."""
    OH, OW = ((n + 2 * pad - size) // stride + 1 for n in x.shape[2:])
    padded = np.pad(x, ((0, 0), (0, 0), (pad, pad), (pad, pad)), constant_values=fill)
    i, j = (places.ravel() for places in np.mgrid[:size, :size])
    rows = np.broadcast_to(stride * np.arange(OH)[:, None, None] + i, (OH, OW, size * size))
    columns = np.broadcast_to(stride * np.arange(OW)[:, None] + j, (OH, OW, size * size))
    return padded[:, :, rows, columns], rows - pad, columns - pad


def _chosen(values, best, places):
    """Return the values at the indices `best` (N, C, OH, OW) of their windows, and what `places` (OH, OW, K) says there."""
    y = np.take_along_axis(values, best[..., None], axis=-1)[..., 0]
    switches = np.take_along_axis(np.broadcast_to(places, values.shape), best[..., None], axis=-1)[..., 0]
    return y, switches.astype(np.int32)


def _pool(rng):
    def last(x, size, stride, pad=0):
        values, rows, columns = _windows(x, size, stride, pad, -np.inf)
        best = values.shape[-1] - 1 - values[..., ::-1].argmax(axis=-1)
        return _chosen(values, best, rows * x.shape[3] + columns)

    def downwards(x, size, stride, pad=0):
        values, rows, columns = _windows(x, size, stride, pad, -np.inf)
        order = np.arange(size * size).reshape(size, size).T.ravel()
        return _chosen(values, order[values[..., order].argmax(axis=-1)], rows * x.shape[3] + columns)

    def placed(place, fill=-np.inf):
        def mistaken(x, size, stride, pad=0):
            values, rows, columns = _windows(x, size, stride, pad, fill)
            return _chosen(values, values.argmax(axis=-1), place(x, rows, columns, size, pad))
        return mistaken

    def right(x, rows, columns, size, pad):
        return rows * x.shape[3] + columns

    def in_window(x, rows, columns, size, pad):
        return np.broadcast_to(np.arange(size * size), rows.shape)

    def in_frame(x, rows, columns, size, pad):
        return (rows + pad) * (x.shape[3] + 2 * pad) + columns + pad

    def not_shifted(x, rows, columns, size, pad):
        return (rows + pad) * x.shape[3] + columns + pad

    def column_major(x, rows, columns, size, pad):
        return columns * x.shape[2] + rows

    def times_height(x, rows, columns, size, pad):
        return rows * x.shape[2] + columns

    def whole_tensor(x, size, stride, pad=0):
        y, switches = pool(x, size, stride, pad)
        planes = np.arange(x.shape[0] * x.shape[1], dtype=np.int32).reshape(*x.shape[:2], 1, 1)
        return y, switches + planes * np.int32(x.shape[2] * x.shape[3])

    def from_zero(x, size, stride, pad=0):
        y, switches = pool(x, size, stride, pad)
        return np.maximum(y, 0), np.where(y > 0, switches, 0).astype(np.int32)

    def side_by_side(x, size, stride, pad=0):
        return pool(x, size, size, pad)

    def only_values(x, size, stride, pad=0):
        return pool(x, size, stride, pad)[0]

    zero = "It looks as if zeros of the padding win over negative values: the frame is of -inf."
    mistakes = [("It looks as if the last of equal values is taken: the first in row-major order stays, so > and not >=.",
                 last),
                ("It looks as if equal values are searched column by column: row by row.", downwards),
                ("It looks as if the switch is the place in the window: it is row · W + column in the whole plane.",
                 placed(in_window)),
                ("It looks as if the switch counts through the padded plane: without the frame, and W is x's own.",
                 placed(in_frame)),
                ("It looks as if the padding is not taken off the switch's row and column.", placed(not_shifted)),
                ("It looks as if the switch counts column by column: row · W + column.", placed(column_major)),
                ("It looks as if the switch's row is multiplied by H: a row holds W pixels.", placed(times_height)),
                ("It looks as if the switch counts through all planes: every map of every image begins at 0.", whole_tensor),
                *((zero, placed(place, 0)) for place in (right, in_frame)),
                ("It looks as if the search starts from zero: with negative values, from the first or from -inf.",
                 from_zero),
                ("It looks as if the stride is left out: window u begins at stride·u.", side_by_side),
                ("It looks as if the switches are not returned: return y, switches.", only_values)]
    cases = []
    for about, N, C, size, *window, dtype in SIZES:
        x = rng.standard_normal((N, C, *size)).astype(dtype)
        cases.append(case(about, pool, x, *window, mistakes=mistakes))
    ties = rng.integers(0, 3, (2, 2, 7, 8)).astype(float)
    negative = -1 - rng.random((1, 2, 5, 6))
    return TaskCheck([*cases, case("values that tie", pool, ties, 3, 2, 1, mistakes=mistakes),
                      case("a map of zeros", pool, np.zeros((1, 1, 4, 5)), 3, 2, 1, mistakes=mistakes),
                      case("negative values only", pool, negative, 3, 2, 1, mistakes=mistakes)],
                     ("Go through the places (i, j) of the window in order, and keep the best so far and where it was.",
                      "Window (u, v) sees at (i, j) the pixel in row stride·u + i - pad, column stride·v + j - pad of x.",
                      "Pad with -np.inf; better = seen > y; np.where(better, …) for y and for row * W + column, in int32."))


def _read(rng):
    def first_plane(x, switches):
        return x[0, 0].ravel()[switches]

    def first_image(x, switches):
        return read(np.broadcast_to(x[:1], x.shape), switches)

    def column_major(x, switches):
        return read(x.swapaxes(2, 3), switches)

    def flat(x, switches):
        return read(x, switches).reshape(*x.shape[:2], -1)

    mistakes = [("It looks as if every map is read from the first plane, n = c = 0: a switch counts in its own.",
                 first_plane),
                ("It looks as if every image is read from the first.", first_image),
                ("It looks as if a switch is read as column · H + row: row · W + column.", column_major),
                ("It looks as if the result is left flat: it has the switches' shape.", flat)]
    cases = []
    for about, N, C, size, *window, dtype in SIZES:
        x, other = (rng.standard_normal((N, C, *size)).astype(dtype) for _ in range(2))
        cases.append(case(about, read, other, pool(x, *window)[1], mistakes=mistakes))
    return TaskCheck(cases, ("Lay every plane out flat: x.reshape(N, C, H * W). The switches too.",
                             "np.take_along_axis reads along an axis at indices that differ from plane to plane.",
                             "np.take_along_axis(x.reshape(N, C, -1), switches.reshape(N, C, -1), axis=2), and reshape."))


def _unpool(rng):
    def by(how):
        def mistaken(y, switches, x_shape):
            N, C, H, W = x_shape
            x = np.zeros((N, C, H * W), y.dtype)
            for n, c, k in np.ndindex(N, C, y[0, 0].size):
                p = switches[n, c].ravel()[k]
                x[n, c, p] = how(x[n, c, p], y[n, c].ravel()[k])
            return x.reshape(x_shape)
        return mistaken

    def first_plane(y, switches, x_shape):
        return unpool(y, np.broadcast_to(switches[:1, :1], switches.shape).copy(), x_shape)

    def column_major(y, switches, x_shape):
        N, C, H, W = x_shape
        return unpool(y, switches, (N, C, W, H)).swapaxes(2, 3)

    def averaged(y, switches, x_shape):
        return unpool(y, switches, x_shape) / np.maximum(unpool(np.ones_like(y), switches, x_shape), 1)

    def flat(y, switches, x_shape):
        return unpool(y, switches, x_shape).reshape(*x_shape[:2], -1)

    over = ("It looks as if one value overwrites another where windows overlap: they must add. (x[places] += y does not: of "
            "equal places NumPy keeps one.)")
    mistakes = [(over, by(lambda old, new: new)),
                ("It looks as if the largest stays where windows overlap: they must add.",
                 by(lambda old, new: max(old, new) if old else new)),
                ("It looks as if the mean is taken where windows overlap: they must add.", averaged),
                ("It looks as if the first map's switches serve for all: each has its own.", first_plane),
                ("It looks as if a switch is read as column · H + row: row · W + column.", column_major),
                ("It looks as if the planes are left flat: reshape to x_shape.", flat)]
    cases = []
    for about, N, C, size, *window, dtype in SIZES:
        y, switches = pool(rng.standard_normal((N, C, *size)).astype(dtype), *window)
        y = rng.standard_normal(y.shape).astype(dtype)
        cases.append(case(about, unpool, y, switches, (N, C, *size), mistakes=mistakes,
                          tolerance=1e-5 if dtype == np.float32 else 1e-9))
    x, d = rng.standard_normal((2, 2, 8, 7)), rng.standard_normal((2, 2, 8, 7))
    y, switches = pool(x, 3, 2, 1)
    y = rng.standard_normal(y.shape)
    cases.append(Case("adjoint test", (y, switches, x.shape), tolerance=1e-9,
                      dot=(d, float((read(d, switches) * y).sum()), "⟨read(x), y⟩ = ⟨x, unpool(y)⟩ does not hold")))
    return TaskCheck(cases, ("Every value goes to one place of its own plane. What if that place is taken already?",
                             "Loops will do: x[n, c, p] += y[n, c, u, v]. Without loops, += on index arrays loses values.",
                             "np.add.at(x, (planes, places), values) adds them all: x (N·C, H·W), planes (N·C, 1)."))

"""The checks of lesson 2: convolution as one product of matrices."""

import numpy as np

from ..ops.reference import Ops
from .check import Case, TaskCheck, case

OPS = Ops()


def im2col(x, size, stride=1, pad=0):
    return OPS.im2col(x, size, stride, pad)


def conv2d(x, w, stride=1, pad=0):
    return OPS.conv2d(x, w, stride=stride, pad=pad)


def col2im(cols, x_shape, size, stride=1, pad=0):
    return OPS.col2im(cols, x_shape, size, stride, pad)


def checks(rng):
    """Return {task: TaskCheck} of fresh cases."""
    return {"2.1": _im2col(rng), "2.2": _conv2d(rng), "2.3": _col2im(rng)}


# What each case is about, and its N, C, (H, W), (KH, KW), stride, pad, dtype.
SIZES = [("one channel, stride 1", 1, 1, (4, 4), (2, 2), 1, 0, np.float64),
         ("three channels", 1, 3, (4, 5), (2, 2), 1, 0, np.float64),
         ("windows higher than wide, an image wider than high", 2, 2, (5, 7), (3, 2), 1, 0, np.float64),
         ("stride 2", 2, 2, (7, 5), (3, 3), 2, 0, np.float64),
         ("padding 1", 1, 2, (4, 5), (3, 3), 1, 1, np.float64),
         ("stride 3 and padding 2, with pixels that no window reaches", 2, 2, (8, 9), (4, 3), 3, 2, np.float64),
         ("one window, as large as the image", 2, 2, (3, 4), (3, 4), 1, 0, np.float64),
         ("float32", 2, 2, (5, 4), (2, 3), 1, 1, np.float32)]


def _counts(x_shape, size, stride, pad):
    """Return C, KH, KW, OH, OW."""
    return (x_shape[1], *size, *((n + 2 * pad - k) // stride + 1 for n, k in zip(x_shape[2:], size)))


def _rows_as(order):
    """Return what reorders the rows of columns, (C, KH, KW) for 0, 1, 2: (1, 2, 0) has the channel last."""
    def reordered(cols, x_shape, size, stride=1, pad=0, back=False):
        sizes = _counts(x_shape, size, stride, pad)[:3]
        axes = tuple(np.argsort(order)) if back else order
        shape = [sizes[i] for i in order] if back else sizes
        return cols.reshape(len(cols), *shape, -1).transpose(0, *(1 + axis for axis in axes), 4).reshape(cols.shape)
    return reordered


CHANNEL_LAST, EXCHANGED = _rows_as((1, 2, 0)), _rows_as((0, 2, 1))


def _downwards(cols, x_shape, size, stride=1, pad=0, back=False):
    """Reorder columns: the windows column by column."""
    _, _, _, OH, OW = _counts(x_shape, size, stride, pad)
    shape = (OW, OH) if back else (OH, OW)
    return cols.reshape(*cols.shape[:2], *shape).swapaxes(2, 3).reshape(cols.shape)


ROWS_BY_CHANNEL = "It looks as if the channel runs fastest in a column: channel by channel, each row by row, as w is stored."
ROWS_EXCHANGED = "It looks as if a window is read column by column: row by row, j runs fastest."
WINDOWS_DOWN = "It looks as if the windows are numbered column by column: row by row, v runs fastest."


def _im2col(rng):
    def arranged(how):
        return lambda x, size, stride=1, pad=0: how(im2col(x, size, stride, pad), x.shape, size, stride, pad)

    def no_pad(x, size, stride=1, pad=0):
        return im2col(x, size, stride)

    def one_side(x, size, stride=1, pad=0):
        return im2col(np.pad(x, ((0, 0), (0, 0), (0, 2 * pad), (0, 2 * pad))), size, stride)

    def every_pixel(x, size, stride=1, pad=0):
        return im2col(x, size, 1, pad)

    def crowded(x, size, stride=1, pad=0):
        C, KH, KW, OH, OW = _counts(x.shape, size, stride, pad)
        cols = im2col(x, size, 1, pad).reshape(len(x), C * KH * KW, -1, x.shape[3] + 2 * pad - KW + 1)
        return cols[:, :, :OH, :OW].reshape(len(x), C * KH * KW, OH * OW)

    def upright(x, size, stride=1, pad=0):
        return im2col(x, size, stride, pad).swapaxes(1, 2)

    mistakes = [(ROWS_BY_CHANNEL, arranged(CHANNEL_LAST)), (ROWS_EXCHANGED, arranged(EXCHANGED)),
                (WINDOWS_DOWN, arranged(_downwards)),
                ("It looks as if the padding is left out.", no_pad),
                ("It looks as if zeros are added on one side only: they stand on all four.", one_side),
                ("It looks as if the stride is left out: window u begins at stride·u.", every_pixel),
                ("It looks as if the stride is left out: window u begins at stride·u.", crowded),
                ("It looks as if windows lie in rows: here a window is a column.", upright)]
    cases = []
    for about, N, C, size, kernel, stride, pad, dtype in SIZES:
        x = rng.standard_normal((N, C, *size)).astype(dtype)
        cases.append(case(about, im2col, x, kernel, stride=stride, pad=pad, mistakes=mistakes))
    return TaskCheck(cases, ("Pad the images first. Which pixels do all windows see at their place (i, j)?",
                             "x[:, :, i:i + stride * (OH - 1) + 1:stride, …], (N, C, OH, OW): one row for each channel.",
                             "Fill zeros of shape (N, C, KH, KW, OH, OW) at [:, :, i, j], and reshape at the end."))


def _conv2d(rng):
    def flipped(x, w, stride=1, pad=0):
        return conv2d(x, w[:, :, ::-1, ::-1], stride, pad)

    def channel_last(x, w, stride=1, pad=0):
        cols = im2col(x, w.shape[2:], stride, pad)
        y = conv2d(x, w, stride, pad)
        return (w.transpose(0, 2, 3, 1).reshape(len(w), -1) @ cols).reshape(y.shape)

    def not_reshaped(x, w, stride=1, pad=0):
        y = conv2d(x, w, stride, pad)
        return y.reshape(*y.shape[:2], -1)

    def exchanged(x, w, stride=1, pad=0):
        y = conv2d(x, w, stride, pad)
        return y.reshape(*y.shape[:2], y.shape[3], y.shape[2])

    def scrambled(x, w, stride=1, pad=0):
        cols = im2col(x, w.shape[2:], stride, pad)
        y = conv2d(x, w, stride, pad)
        return (w.reshape(len(w), -1) @ np.concatenate(list(cols), axis=1)).reshape(y.shape)

    def wrong_columns(x, w, stride=1, pad=0):
        y = conv2d(x, w, stride, pad)
        return (w.reshape(-1, len(w)).T @ im2col(x, w.shape[2:], stride, pad)).reshape(y.shape)

    mistakes = [("It looks as if the filter is flipped: weights meet the patch as they lie.", flipped),
                ("It looks as if the filters are read out in another order than the windows: w.reshape(F, -1).",
                 channel_last),
                ("It looks as if w is reshaped to (C·KH·KW, F) and transposed: that mixes filters; w.reshape(F, -1).",
                 wrong_columns),
                ("It looks as if y is left as (N, F, OH·OW): reshape it.", not_reshaped),
                ("It looks as if OH and OW are exchanged.", exchanged),
                ("It looks as if the columns of all images stand side by side: in the product the filters come first then.",
                 scrambled),
                ("It looks as if the padding is left out.", lambda x, w, stride=1, pad=0: conv2d(x, w, stride)),
                ("It looks as if the stride is left out.", lambda x, w, stride=1, pad=0: conv2d(x, w, 1, pad))]
    cases = []
    for about, N, C, size, kernel, stride, pad, dtype in SIZES:
        x, w = (rng.standard_normal(shape).astype(dtype) for shape in ((N, C, *size), (3, C, *kernel)))
        cases.append(case(about, conv2d, x, w, stride=stride, pad=pad, mistakes=mistakes,
                          tolerance=1e-5 if dtype == np.float32 else 1e-9))
    return TaskCheck(cases, ("Every filter, read out, is one row of a matrix; task 2.1 gives the columns.",
                             "(F, C·KH·KW) @ (N, C·KH·KW, OH·OW) is done for every image: (N, F, OH·OW).",
                             "(w.reshape(F, -1) @ im2col(x, (KH, KW), stride, pad)).reshape(N, F, OH, OW)"))


def _col2im(rng):
    def spread(cols, x_shape, size, stride, pad, how):
        """Put columns back by `how`(x, place, values), into the padded image."""
        C, KH, KW, OH, OW = _counts(x_shape, size, stride, pad)
        x = np.zeros((len(cols), C, x_shape[2] + 2 * pad, x_shape[3] + 2 * pad), cols.dtype)
        cols = cols.reshape(len(cols), C, KH, KW, OH, OW)
        for i, j in np.ndindex(KH, KW):
            how(x[:, :, i:i + stride * (OH - 1) + 1:stride, j:j + stride * (OW - 1) + 1:stride], cols[:, :, i, j])
        return x

    def add(x, values):
        x += values

    def put(x, values):
        x[...] = values

    def assigned(cols, x_shape, size, stride=1, pad=0):
        return spread(cols, x_shape, size, stride, pad, put)[:, :, pad:pad + x_shape[2], pad:pad + x_shape[3]]

    def framed(cols, x_shape, size, stride=1, pad=0):
        return spread(cols, x_shape, size, stride, pad, add)

    def corner(cols, x_shape, size, stride=1, pad=0):
        return framed(cols, x_shape, size, stride, pad)[:, :, :x_shape[2], :x_shape[3]]

    def averaged(cols, x_shape, size, stride=1, pad=0):
        seen = col2im(np.ones_like(cols), x_shape, size, stride, pad)
        return col2im(cols, x_shape, size, stride, pad) / np.maximum(seen, 1)

    def arranged(how):
        return lambda cols, x_shape, size, stride=1, pad=0: col2im(how(cols, x_shape, size, stride, pad, back=True),
                                                                  x_shape, size, stride, pad)

    def crowded(cols, x_shape, size, stride=1, pad=0):
        C, KH, KW, OH, OW = _counts(x_shape, size, stride, pad)
        near = col2im(cols, (len(cols), C, OH + KH - 1, OW + KW - 1), size)
        x = np.zeros((len(cols), C, x_shape[2] + 2 * pad, x_shape[3] + 2 * pad), cols.dtype)
        x[:, :, :near.shape[2], :near.shape[3]] = near
        return x[:, :, pad:pad + x_shape[2], pad:pad + x_shape[3]]

    mistakes = [("It looks as if values are assigned where windows overlap: they must add.", assigned),
                ("It looks as if the padding is not removed: cut [pad:pad + H, pad:pad + W] out at the end.", framed),
                ("It looks as if the frame is cut off at the far ends only: the image begins at (pad, pad).", corner),
                ("It looks as if the mean of a pixel's copies is taken: they add, or it is no transpose.", averaged),
                ("It looks as if the stride is left out: window u begins at stride·u.", crowded),
                (ROWS_BY_CHANNEL, arranged(CHANNEL_LAST)), (ROWS_EXCHANGED, arranged(EXCHANGED)),
                (WINDOWS_DOWN, arranged(_downwards))]
    cases = []
    for about, N, C, size, kernel, stride, pad, dtype in SIZES:
        C, KH, KW, OH, OW = _counts((N, C, *size), kernel, stride, pad)
        cols = rng.standard_normal((N, C * KH * KW, OH * OW)).astype(dtype)
        cases.append(case(about, col2im, cols, (N, C, *size), kernel, stride=stride, pad=pad, mistakes=mistakes,
                          tolerance=1e-5 if dtype == np.float32 else 1e-9))
    x = rng.standard_normal((2, 3, 6, 7))
    cols = rng.standard_normal(im2col(x, (3, 2), 2, 1).shape)
    cases.append(Case("adjoint test", (cols, x.shape, (3, 2)), {"stride": 2, "pad": 1}, tolerance=1e-9,
                      dot=(x, float((im2col(x, (3, 2), 2, 1) * cols).sum()), "⟨A x, y⟩ = ⟨x, Aᵀ y⟩ does not hold")))
    return TaskCheck(cases, ("It is im2col read backwards: the same slices, on the other side of the sign.",
                             "Begin with zeros as large as the *padded* image; a pixel in several windows gets the sum.",
                             "x[:, :, <the slice of im2col>] += cols[:, :, i, j], and cut the frame off at the end."))

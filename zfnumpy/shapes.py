"""Output sizes, and the checks every operation makes of its arguments before it touches an array."""

from typing import NamedTuple

import numpy as np

from .errors import DTypeError, ShapeError

FLOATS = ("float32", "float64")
_FLOATS = frozenset(map(np.dtype, FLOATS))          # looked up for every operation: the names would cost more than the rest


def pair(value, name, least=0):
    """Return an int or a (vertical, horizontal) pair as two ints of at least `least`; ShapeError otherwise."""
    values = tuple(value) if isinstance(value, (tuple, list)) else (value, value)
    if len(values) != 2 or not all(isinstance(v, (int, np.integer)) and not isinstance(v, bool) for v in values):
        raise ShapeError(f"{name} must be an int or a pair (vertical, horizontal) of ints, got {value!r}")
    if min(values) < least:
        raise ShapeError(f"{name} must be at least {least}, got {value!r}")
    return int(values[0]), int(values[1])


def count(value, name):
    """Return a number of things as an int; ShapeError for one below 1, or that is no int."""
    if not isinstance(value, (int, np.integer)) or isinstance(value, bool) or value < 1:
        raise ShapeError(f"{name} must be a whole number from 1, got {value!r}")
    return int(value)


def conv_output_size(size, kernel, stride, pad):
    """Return floor((size + 2 pad - kernel) / stride) + 1, the output size of a convolution along one axis."""
    return (size + 2 * pad - kernel) // stride + 1


def pool_output_size(size, kernel, stride, pad, ceil_mode=False):
    """Return the output size of a pooling along one axis.

    With `ceil_mode` a last window that runs past the edge counts, provided it starts inside the input or its left
    padding (PyTorch's rule, which keeps every window's maximum a real pixel).
    """
    over = size + 2 * pad - kernel
    out = (-(-over // stride) if ceil_mode else over // stride) + 1
    if ceil_mode and (out - 1) * stride >= size + pad:
        out -= 1
    return out


def check_floats(what, **arrays):
    """Refuse arrays that are not all float32 or all float64; None is passed over. Returns the common dtype."""
    dtypes = {}
    for name, array in arrays.items():
        if array is None:
            continue
        if not hasattr(array, "dtype"):
            raise DTypeError(f"{what}: {name} is a {type(array).__name__}, not an array")
        dtype = array.dtype
        if dtype not in _FLOATS:
            raise DTypeError(f"{what}: {name} is {dtype}; use {name}.astype('float32') (or float64 to check gradients)")
        dtypes.setdefault(dtype, name)
    if len(dtypes) > 1:
        (first, a), (second, b) = list(dtypes.items())[:2]
        raise DTypeError(f"{what}: {a} is {first} but {b} is {second}; convert one of them")
    return next(iter(dtypes))


def check_dims(what, array, name, layout):
    """Refuse an array whose number of axes is not that of `layout`, a text such as "N, C, H, W"."""
    if len(array.shape) != layout.count(",") + 1:
        raise ShapeError(f"{what}: {name} must be ({layout}), got shape {tuple(array.shape)}")
    return array.shape


def check_shape(what, array, name, expected):
    """Refuse an array of another shape than `expected`."""
    if tuple(array.shape) != tuple(expected):
        raise ShapeError(f"{what}: {name} must have shape {tuple(expected)}, got {tuple(array.shape)}")


class Window(NamedTuple):
    """The sizes of one sliding-window operation: everything a kernel needs beside the arrays."""

    N: int
    C: int
    H: int
    W: int
    KH: int
    KW: int
    SH: int          # stride
    SW: int
    PH: int          # pad
    PW: int
    OH: int
    OW: int

    @property
    def x_shape(self):
        return self.N, self.C, self.H, self.W


class Windows(NamedTuple):
    """P windows of one size, each cut from a map of one image; they may leave the map, and count as zero there.

    images (P,) and corners (P, 2), the first row and column of each window, are int64 arrays of NumPy on every backend.
    """

    images: np.ndarray
    corners: np.ndarray
    size: tuple          # h, w of each window
    plane: tuple         # H, W of the map

    def over(self, size, stride, pad, plane):
        """Return where in its output, a map of `plane`, a sliding window (size, stride, pad) sees any of these.

        All of one size, the largest that one needs, and inside the map, where these hold a pixel of theirs.
        """
        first = np.maximum(-((np.subtract(size, 1) - pad - self.corners) // stride), 0)
        last = np.minimum((self.corners + self.size - 1 + pad) // stride, np.subtract(plane, 1))
        sizes = np.clip((last - first + 1).max(axis=0, initial=1), 1, plane)
        return Windows(self.images, np.minimum(first, plane - sizes), tuple(map(int, sizes)), tuple(plane))

    def around(self, size, stride, pad, plane):
        """Return what a sliding window reads to make these, as `under` does, but all of it, padding and all.

        So a window without padding makes of it just these, wherever they lie.
        """
        sizes = tuple((n - 1) * s + k for n, k, s in zip(self.size, size, stride))
        return Windows(self.images, self.corners * stride - pad, sizes, tuple(plane))

    def under(self, size, stride, pad, plane):
        """Return what a sliding window (size, stride, pad) over a map of `plane` reads to make these windows of its output.

        Along an axis where that is as long as the map, it is just the map.
        """
        corners, sizes = self.corners * stride - pad, []
        for axis, (n, k, s, whole) in enumerate(zip(self.size, size, stride, plane)):
            sizes.append(min((n - 1) * s + k, whole))
            if sizes[-1] == whole:
                corners[:, axis] = 0
        return Windows(self.images, corners, tuple(sizes), tuple(plane))


def window(what, x_shape, size, stride, pad):
    """Return the Window of a convolution-like operation (floor mode) on (N, C, H, W)."""
    if len(x_shape) != 4:
        raise ShapeError(f"{what}: x must be (N, C, H, W), got shape {tuple(x_shape)}")
    N, C, H, W = (int(v) for v in x_shape)
    KH, KW = pair(size, f"{what}: the window's size", 1)
    SH, SW = pair(stride, f"{what}: stride", 1)
    PH, PW = pair(pad, f"{what}: pad")
    if KH > H + 2 * PH or KW > W + 2 * PW:
        raise ShapeError(f"{what}: the kernel {KH}×{KW} is larger than the padded image "
                         f"{H + 2 * PH}×{W + 2 * PW} ({H}×{W} with pad {PH}, {PW})")
    return Window(N, C, H, W, KH, KW, SH, SW, PH, PW,
                  conv_output_size(H, KH, SH, PH), conv_output_size(W, KW, SW, PW))


def conv_window(what, x_shape, w_shape, stride, pad, groups):
    """Return the Window of a convolution, after checking channels, filters and groups against each other."""
    if len(x_shape) != 4:
        raise ShapeError(f"{what}: x must be (N, C, H, W), got shape {tuple(x_shape)}")
    if len(w_shape) != 4:
        raise ShapeError(f"{what}: weight must be (F, C/groups, KH, KW), got shape {tuple(w_shape)}")
    C, (F, CG) = x_shape[1], w_shape[:2]
    if not isinstance(groups, (int, np.integer)) or groups < 1 or C % groups or F % groups:
        raise ShapeError(f"{what}: groups={groups} must divide both the {C} input channels and the {F} filters")
    if CG * groups != C:
        expects = f"{CG * groups} channels" + (f" ({groups} groups of {CG})" if groups > 1 else "")
        raise ShapeError(f"{what} expects {expects}, got {C}")
    if not C or not F:
        raise ShapeError(f"{what}: there must be at least one channel and one filter, got {C} and {F}")
    return window(what, x_shape, w_shape[2:], stride, pad)


def transpose_output_shape(what, x_shape, w_shape, stride, pad, output_pad, groups):
    """Return (N, C_out, OH, OW) of a transposed convolution of x (N, C_in, H, W) by weight (C_in, C_out/groups, KH, KW)."""
    if len(x_shape) != 4 or len(w_shape) != 4:
        raise ShapeError(f"{what}: x must be (N, C_in, H, W) and weight (C_in, C_out/groups, KH, KW), "
                         f"got shapes {tuple(x_shape)} and {tuple(w_shape)}")
    N, C, H, W = x_shape
    if w_shape[0] != C:
        raise ShapeError(f"{what} expects {w_shape[0]} channels, got {C}")
    if not isinstance(groups, (int, np.integer)) or groups < 1 or C % groups:
        raise ShapeError(f"{what}: groups={groups} must divide the {C} input channels")
    strides, pads = pair(stride, f"{what}: stride", 1), pair(pad, f"{what}: pad")
    extras = pair(output_pad, f"{what}: output_pad")
    sizes = []
    for size, kernel, s, p, extra in zip((H, W), w_shape[2:], strides, pads, extras):
        if extra >= s:
            raise ShapeError(f"{what}: output_pad {extra} must be smaller than the stride {s}")
        sizes.append((size - 1) * s - 2 * p + kernel + extra)
        if sizes[-1] < 1:
            raise ShapeError(f"{what}: a {H}×{W} input with pad {p} leaves an output of {sizes[-1]} pixels; lower the pad")
    return (N, w_shape[1] * groups, *sizes)


def pool_window(what, x_shape, size, stride, pad, ceil_mode=False):
    """Return the Window of a pooling; `stride` None means the window's size."""
    pool = window(what, x_shape, size, size if stride is None else stride, pad)
    if not pool.H or not pool.W:
        raise ShapeError(f"{what}: an image of {pool.H}×{pool.W} has no pixel to pool")
    if 2 * pool.PH > pool.KH or 2 * pool.PW > pool.KW:
        raise ShapeError(f"{what}: pad {pool.PH}, {pool.PW} must be at most half the window {pool.KH}×{pool.KW}, "
                         "or some windows would hold no pixel at all")
    return pool._replace(OH=pool_output_size(pool.H, pool.KH, pool.SH, pool.PH, ceil_mode),
                         OW=pool_output_size(pool.W, pool.KW, pool.SW, pool.PW, ceil_mode))

"""The operations as jit kernels: every hot loop compiled, the arithmetic of `reference` unchanged.

The kernels take flat contiguous arrays, sizes and a number of threads; here stands what comes before: making arrays
contiguous, the offset tables, the splits. To read them, begin with `_numba_gemm`, the matrix product that all rests on
(`_numba_vectors` writes its innermost loop), then `_numba_conv`, the convolutions as such products; `_numba_winograd`
makes most of them with fewer multiplications.
"""

import functools
import threading

import numba
import numpy as np

from ..errors import BackendError
from . import _numba_conv as conv
from . import _numba_gemm as product
from . import _numba_pointwise as pointwise
from . import _numba_pool as pooling
from . import _numba_unpooled as unpooled
from . import _numba_window as window
from ._numba_jit import plain
from .buffers import Buffers
from .reference import Ops
from .winograd import Winograd, tiling

PARTS = 16                # sums that a convolution's weight gradient is made of at most, where its weights are few:
FEW_WEIGHTS = 1 << 20     # together no more numbers than these
MOST_UNPOOLED = 64        # numbers of a window's row up to which its gradient comes straight from the switches
FEW = 4                   # images up to which a fully connected layer reads its weights straight, without packing

# Numba's workqueue threading layer aborts the process when two threads start parallel kernels at once.
_one_at_a_time = threading.Lock()


def _flat(array):
    return np.ascontiguousarray(array).reshape(-1)


def _places(windows):
    """Return what the kernels take of shapes.Windows: images, sizes (h, w, H, W) and corners."""
    sizes = (*windows.size, *windows.plane)
    return np.ascontiguousarray(windows.images, np.int64), sizes, np.ascontiguousarray(windows.corners, np.int64)


@functools.lru_cache(maxsize=256)
def _offsets(channels, win, phases):
    """Return (row_offset, pixel_offset) of `channels` padded channels, see _numba_conv; rows sorted into `phases`."""
    HP, stretch = win.H + 2 * win.PH, -(-(win.W + 2 * win.PW) // phases)
    c, i, j = np.ogrid[:channels, :win.KH, :win.KW]
    u, v = np.ogrid[:win.OH, :win.OW]
    row = stretch * phases
    return (((c * HP + i) * row + j % phases * stretch + j // phases).reshape(-1),
            (u * win.SH * row + v * win.SW // phases).reshape(-1))


class NumbaOps(Ops):
    """The operations on NumPy arrays, in numba kernels on up to `threads` cores (default: all that numba has)."""

    name = "numba"

    def __init__(self, threads=None):
        super().__init__(np)
        most = numba.config.NUMBA_NUM_THREADS
        if threads is not None and not (isinstance(threads, (int, np.integer)) and threads >= 1):
            raise BackendError(f"threads must be at least 1, got {threads!r}")
        self.threads = min(threads or numba.get_num_threads(), most)
        self._empty = Buffers().empty

    def _run(self, kernel, *args):
        with _one_at_a_time:
            kernel(*map(plain, args), plain(self.threads))

    def describe(self):
        return f"{self.threads} thread{'s' * (self.threads > 1)}, vectors of {product.VECTOR // 4} numbers in float32"

    def compile_kernels(self, dtypes=("float32",), progress=iter):
        from .compiling import compile_kernels  # only now: it takes every operation there is

        return str(compile_kernels(self, dtypes, progress))

    # ---- convolution ------------------------------------------------------------------------------------------------

    def _padded(self, x, win):
        """Return x padded and its rows sorted by the stride, flat, and the size of one plane of it."""
        plane = (win.H + 2 * win.PH) * win.SW * -(-(win.W + 2 * win.PW) // win.SW)
        if not (win.PH or win.PW) and win.SW == 1:
            return _flat(x), plane
        padded = self._empty(win.N * win.C * plane, x.dtype)
        self._run(conv.pad_images, _flat(x), win.N * win.C, win.H, win.W, win.PH, win.PW, win.SW, padded)
        return padded, plane

    def _im2col(self, x, win):
        cols = self._empty((win.N, win.C * win.KH * win.KW, win.OH * win.OW), x.dtype)
        self._run(conv.im2col, _flat(x), win.N * win.C, *win[2:], cols.reshape(-1))
        return cols

    def _col2im(self, cols, win):
        x = self._empty(win.x_shape, cols.dtype)
        self._run(conv.col2im, _flat(cols), win.N * win.C, *win[2:], x.reshape(-1))
        return x

    def _winograd(self, win, C, F, dtype):
        plan = tiling(win, C, F, dtype.itemsize)
        return plan and Winograd(plan, self._run, self._empty, dtype)

    @staticmethod
    def _groups(win, C, F, groups):
        """Yield where each group's channels begin in an image, where its maps in an output, and its filters."""
        F //= groups
        for g in range(groups):
            yield g * C * win.H * win.W, g * F * win.OH * win.OW, slice(g * F, (g + 1) * F)

    def _conv2d(self, x, weight, bias, win, groups, relu):
        F, C = weight.shape[0], win.C // groups
        y = self._empty((win.N, F, win.OH, win.OW), x.dtype)
        bias = np.zeros(F, x.dtype) if bias is None else _flat(bias)
        winograd = self._winograd(win, C, F // groups, x.dtype)
        if winograd:
            x, weight = np.ascontiguousarray(x), np.ascontiguousarray(weight)
            for xo, yo, filters in self._groups(win, C, F, groups):
                winograd.forward(x, xo, weight[filters], bias[filters], y, yo, relu)
            return y
        rows, pixels = _offsets(C, win, win.SW)
        padded, plane = self._padded(x, win)
        self._run(conv.conv_forward, padded, win.C * plane, C * plane, _flat(weight), bias,
                  y.reshape(-1), win.N, groups, F // groups, rows.size, pixels.size, rows, pixels, relu)
        return y

    def _conv2d_input_grad(self, dy, weight, win, groups):
        F, C = weight.shape[0], win.C // groups
        dx = self._empty(win.x_shape, dy.dtype)
        winograd = self._winograd(win, C, F // groups, dy.dtype)
        if winograd:
            dy, weight = np.ascontiguousarray(dy), np.ascontiguousarray(weight)
            for xo, yo, filters in self._groups(win, C, F, groups):
                winograd.input_grad(dy, yo, weight[filters], dx, xo)
            return dx
        rows, _ = _offsets(C, win, 1)
        turned = weight.reshape(groups, F // groups, rows.size).swapaxes(1, 2)
        # Slabs big enough for the product to pay, small enough that a single image keeps every thread busy.
        slab = max(1, min(C, -(-C * win.N * groups // (4 * self.threads)), 288 // (win.KH * win.KW)))
        self._run(conv.conv_input_grad, _flat(dy), _flat(turned), dx.reshape(-1), win.N, win.C, win.H, win.W, win.PH,
                  win.PW, win.SH, win.SW, groups, F // groups, rows.size, win.OH, win.OW, rows, slab)
        return dx

    def _conv2d_weight_grad(self, dy, x, win, F, groups):
        C = win.C // groups
        dw = (self._empty if win.N else np.zeros)((F, C, win.KH, win.KW), x.dtype)
        winograd = self._winograd(win, C, F // groups, dy.dtype)
        if winograd:
            dy, x = np.ascontiguousarray(dy), np.ascontiguousarray(x)
            for xo, yo, filters in self._groups(win, C, F, groups):
                winograd.weight_grad(dy, yo, x, xo, dw[filters])
            return dw
        rows, pixels = _offsets(C, win, win.SW)
        padded, plane = self._padded(x, win)
        # Few weights make few blocks: then the pixels are shared out as well, and the parts' sums added in order.
        parts = max(1, min(PARTS, -(-win.N * pixels.size // product.KC), dw.itemsize * FEW_WEIGHTS // max(dw.nbytes, 1)))
        sums = dw.reshape(1, -1) if parts == 1 else self._empty((parts, dw.size), dw.dtype)
        self._run(conv.conv_weight_grad, _flat(dy), padded, win.C * plane, C * plane, sums, win.N, groups, F // groups,
                  rows.size, pixels.size, rows, pixels)
        return dw if parts == 1 else sums.sum(axis=0).reshape(dw.shape)

    def _conv2d_weight_grad_unpooled(self, dy, switches, x, win, F, groups, pooling):
        length = win.KW * win.C                                    # of a window's row, channels last
        if groups > 1 or length > MOST_UNPOOLED or not dy.size:
            return super()._conv2d_weight_grad_unpooled(dy, switches, x, win, F, groups, pooling)
        blocks, spans, parts = -(-win.KH // unpooled.ROWS), -(-length // unpooled.STRETCH), min(PARTS, win.N)
        row, high = (win.W + 2 * win.PW) * win.C, win.H + 2 * win.PH
        frames = self._empty(win.N * high * row + unpooled.ROWS * (row + unpooled.STRETCH), x.dtype)
        frames[win.N * high * row:] = 0                            # the last window's vectors reach beyond it
        self._run(unpooled.channels_last, _flat(x), win.N, win.C, win.H, win.W, win.PH, win.PW, high, row, frames)
        shape = (parts, F, spans, blocks, unpooled.ROWS, unpooled.STRETCH)
        sums, outside = self._empty(shape, x.dtype), np.empty(self.threads, np.bool_)
        u, v = np.ogrid[:win.OH, :win.OW]
        corners = (u * win.SH * row + v * win.SW * win.C).reshape(-1)
        self._run(unpooled.unpooled_weight_grad, _flat(dy), _flat(switches), frames, high, row, sums.reshape(parts, -1),
                  win.N, F, dy.shape[2] * dy.shape[3], corners, blocks, spans, outside)
        if outside.any():
            return None
        dw = sums.sum(axis=0).transpose(0, 2, 3, 1, 4).reshape(F, blocks * unpooled.ROWS, spans * unpooled.STRETCH)
        return np.ascontiguousarray(dw[:, :win.KH, :length].reshape(F, win.KH, win.KW, win.C).transpose(0, 3, 1, 2))

    def _bias_grad(self, dy):
        N, F = dy.shape[:2]
        db = self._empty(F, dy.dtype)
        self._run(pointwise.bias_grad, _flat(dy), N, F, dy.size // (N * F) if dy.size else 0, db)
        return db

    # ---- fully connected --------------------------------------------------------------------------------------------

    def _gemm(self, a, b):
        """Return a (M, K) times b (K, N); either may be a transposed view of contiguous memory."""
        (a, ars, acs), (b, brs, bcs) = (self._strided(m) for m in (a, b))
        M, K, N = a.shape[0], a.shape[1], b.shape[1]
        c = (self._empty if K else np.zeros)((M, N), a.dtype)
        self._run(product.gemm, a.reshape(-1, order="A"), ars, acs, b.reshape(-1, order="A"), brs, bcs, M, N, K,
                  c.reshape(-1), *(product.THIN if M <= product.FEW_TILES else product.THICK))
        return c

    @staticmethod
    def _strided(m):
        if not (m.flags.c_contiguous or m.flags.f_contiguous):
            m = np.ascontiguousarray(m)
        return m, *((m.shape[1], 1) if m.flags.c_contiguous else (1, m.shape[0]))

    def _linear(self, x, weight, bias, relu):
        if x.shape[0] <= FEW:
            y = self._empty((x.shape[0], weight.shape[0]), x.dtype)
            self._run(product.few_rows, _flat(x), _flat(weight), y.reshape(-1), *x.shape, weight.shape[0])
        else:
            y = np.ascontiguousarray(self._gemm(weight, x.T).T)      # the weights, the larger side, are read unpacked
        if bias is not None:
            y += bias
        return self._relu(y) if relu else y

    def _linear_input_grad(self, dy, weight):
        return self._gemm(dy, weight)

    def _linear_weight_grad(self, dy, x):
        return self._gemm(dy.T, x)

    # ---- pooling ----------------------------------------------------------------------------------------------------

    def _max_pool2d(self, x, win):
        y = self._empty((win.N, win.C, win.OH, win.OW), x.dtype)
        switches = self._empty(y.shape, np.int32)
        self._run(pooling.max_pool, _flat(x), win.N * win.C, *win[2:], y.reshape(-1), switches.reshape(-1))
        return y, switches

    def _max_unpool2d(self, y, switches, x_shape, size, stride, pad):
        N, C, H, W = x_shape
        x, outside = self._empty(x_shape, y.dtype), np.empty(self.threads, np.bool_)
        self._run(pooling.max_unpool, _flat(y), _flat(switches), N * C, H * W, y.shape[2] * y.shape[3], x.reshape(-1),
                  outside)
        return None if outside.any() else x

    def _avg_pool2d(self, x, win):
        y = self._empty((win.N, win.C, win.OH, win.OW), x.dtype)
        self._run(pooling.avg_pool, _flat(x), win.N * win.C, *win[2:], y.reshape(-1))
        return y

    def _avg_pool2d_grad(self, dy, win):
        dx = self._empty(win.x_shape, dy.dtype)
        self._run(pooling.avg_pool_grad, _flat(dy), win.N * win.C, *win[2:], dx.reshape(-1))
        return dx

    # ---- ReLU and contrast normalization ----------------------------------------------------------------------------

    def _relu(self, x):
        y = self._empty(x.shape, x.dtype)
        self._run(pointwise.relu, _flat(x), y.reshape(-1))
        return y

    def _relu_backward(self, r, y, rectify):
        out = self._empty(r.shape, r.dtype)
        flat = _flat(r)
        self._run(pointwise.relu_backward, flat, flat if y is None else _flat(y), y is not None, rectify,
                  out.reshape(-1))
        return out

    def _normalize(self, kernel, x, out, before, size, alpha, beta, k):
        N, C, H, W = x.shape
        number = x.dtype.type
        self._run(kernel, *before, _flat(x), out.reshape(-1), N, C, H * W, size // 2, (size - 1) // 2,
                  number(alpha / size), number(beta), number(k), beta == 0.75)
        return out

    def _local_response_norm(self, x, size, alpha, beta, k):
        return self._normalize(pointwise.normalize, x, self._empty(x.shape, x.dtype), (), size, alpha, beta, k)

    def _local_response_norm_grad(self, dy, x, size, alpha, beta, k):
        return self._normalize(pointwise.normalize_grad, x, self._empty(x.shape, x.dtype), (_flat(dy),),
                               size, alpha, beta, k)

    # ---- training ---------------------------------------------------------------------------------------------------

    def _sgd_update(self, w, velocity, grad, lr, momentum, weight_decay):
        if not (w.flags.carray and velocity.flags.carray):
            super()._sgd_update(w, velocity, grad, lr, momentum, weight_decay)
            return
        number = w.dtype.type
        self._run(pointwise.sgd_update, w.reshape(-1), velocity.reshape(-1), _flat(grad), number(lr),
                  number(momentum), number(weight_decay))

    def _renormalize_filters(self, w, radius):
        if not w.flags.carray:
            super()._renormalize_filters(w, radius)
            return
        self._run(pointwise.renormalize_filters, w.reshape(-1), w.shape[0], w[0].size, w.dtype.type(radius))

    # ---- windows of maps --------------------------------------------------------------------------------------------

    def _cut_windows(self, x, windows):
        out = self._empty((len(windows.images), x.shape[1], *windows.size), x.dtype)
        self._run(window.cut_windows, _flat(x), out.shape[0] * out.shape[1], x.shape[1], *_places(windows),
                  out.reshape(-1))
        return out

    def _patch_windows(self, x, patches, at, windows, outside):
        P, C = patches.shape[:2]
        out = self._empty((P, C, *windows.size), x.dtype)
        self._run(window.patch_windows, _flat(x), _flat(patches), P * C, C, *_places(windows), *_places(at)[1:],
                  x.dtype.type(outside), out.reshape(-1))
        return out

    def _unpool_windows(self, r, switches, above, below, pool):
        P, C = r.shape[:2]
        out = self._empty((P, C, *below.size), r.dtype)
        self._run(window.unpool_windows, _flat(r), P * C, C, *_places(above), _flat(switches), *_places(below)[1:],
                  out.reshape(-1))
        return out

    def _transpose_windows(self, r, weight, above, below, win, groups, rectify, unpool):
        F, C, (KH, KW), (h, w) = weight.shape[0] // groups, weight.shape[1], weight.shape[2:], above.size
        row, vectors, slabs = window.slab_layout(C, KH, KW, r.itemsize)
        width, wide = vectors * window.VECTOR // r.itemsize, (w - 1) * win.SW + KW
        packed = self._empty(groups * slabs * F * width, r.dtype)
        self._run(window.pack_filters, _flat(weight), groups, F, C, KH, KW, row, width, slabs, packed)
        # Several samples share the way of the filters from memory, as many as their results stay near.
        size = -(-((h - 1) * win.SH + KH) * wide * C // width) * width + width
        most = max(1, min(window.NEAR // (size * r.itemsize), win.N * groups // self.threads))
        together = max(1, -(-win.N // max(1, -(-win.N // most))))
        # Where many values are not zero, it pays to go through them a few channels at a time, whose filters stay near.
        parts = 1 if unpool is not None else -(-F * width * r.itemsize // window.FIRST)
        block = -(-F // parts)
        work = self._empty(self.threads * together * size, r.dtype)
        switches, pool = (np.zeros(1, np.int32), above) if unpool is None else unpool[:2]
        out = self._empty((win.N, groups * C, *below.size), r.dtype)
        self._run(window.transpose_windows, _flat(r), (win.N, groups, F, C),
                  (KH, KW, win.SH, win.SW, win.PH, win.PW, vectors, slabs), *_places(above)[1:], *_places(below)[1:],
                  packed, window.slab_offsets(row, vectors, slabs, KH, wide * C, r.itemsize), rectify, unpool is not None,
                  *_places(pool), _flat(switches), block, together, size, work, out.reshape(-1))
        return out

"""Every operation in plain NumPy, written to be read: the truth that faster backends are tested against.

Nothing here names NumPy but the default of `xp`: on another array module with the same functions (CuPy) the same lines
run there. What each operation means stands in `face`.
"""

import numpy as np

from ..shapes import Windows
from .face import OpsFace


class Ops(OpsFace):
    """The operations on the array module `xp`."""

    name = "numpy"

    def __init__(self, xp=np):
        self.xp = xp

    # ---- pictures ---------------------------------------------------------------------------------------------------

    def _prepare(self, squares, corners, flips, mean, size, scale, bgr, dtype):
        xp = self.xp
        N, R, _, _ = squares.shape
        rows, columns = (corners[:, axis, None] + xp.arange(size) for axis in range(2))                # (N, size) each
        columns = xp.where(flips[:, None] != 0, columns[:, ::-1], columns)
        rows, columns = rows[:, None, :, None], columns[:, None, None, :]
        inside = (rows >= 0) & (rows < R) & (columns >= 0) & (columns < R)
        rows, columns = xp.clip(rows, 0, R - 1), xp.clip(columns, 0, R - 1)
        images, channels = xp.arange(N)[:, None, None, None], xp.arange(3)[:, None, None]
        values = squares[images, rows, columns, 2 - channels if bgr else channels].astype(xp.float32)  # (N, 3, size, size)
        values -= mean[:, None, None] if mean.ndim == 1 else mean[channels, rows, columns]
        return xp.where(inside, values.astype(dtype) * scale, 0)

    # ---- convolution: one matrix product over columns ---------------------------------------------------------------

    def _windows(self, win):
        """Yield (i, j, rows, columns) for each place in the window: the padded pixels that it visits."""
        for i in range(win.KH):
            for j in range(win.KW):
                yield (i, j, slice(i, i + (win.OH - 1) * win.SH + 1, win.SH),
                       slice(j, j + (win.OW - 1) * win.SW + 1, win.SW))

    def _padded(self, x, win, fill=0.0):
        """Copy x into a frame of `fill` that holds every window whole (ceil mode may look past the padding)."""
        height = max(win.H + 2 * win.PH, (win.OH - 1) * win.SH + win.KH)
        width = max(win.W + 2 * win.PW, (win.OW - 1) * win.SW + win.KW)
        padded = self.xp.full((win.N, win.C, height, width), fill, dtype=x.dtype)
        padded[:, :, win.PH:win.PH + win.H, win.PW:win.PW + win.W] = x
        return padded

    def _im2col(self, x, win):
        padded = self._padded(x, win)
        cols = self.xp.empty((win.N, win.C, win.KH, win.KW, win.OH, win.OW), dtype=x.dtype)
        for i, j, rows, columns in self._windows(win):
            cols[:, :, i, j] = padded[:, :, rows, columns]
        return cols.reshape(win.N, win.C * win.KH * win.KW, win.OH * win.OW)

    def _col2im(self, cols, win):
        cols = cols.reshape(win.N, win.C, win.KH, win.KW, win.OH, win.OW)
        padded = self.xp.zeros((win.N, win.C, win.H + 2 * win.PH, win.W + 2 * win.PW), dtype=cols.dtype)
        for i, j, rows, columns in self._windows(win):
            padded[:, :, rows, columns] += cols[:, :, i, j]
        return padded[:, :, win.PH:win.PH + win.H, win.PW:win.PW + win.W].copy()

    def _conv2d(self, x, weight, bias, win, groups, relu):
        F, rows, pixels = weight.shape[0], weight[0].size, win.OH * win.OW
        cols = self._im2col(x, win).reshape(win.N, groups, rows, pixels)               # a group's channels are adjacent
        y = self.xp.matmul(weight.reshape(groups, F // groups, rows), cols)            # (N, groups, F/groups, OH*OW)
        y = y.reshape(win.N, F, win.OH, win.OW)
        if bias is not None:
            y += bias[:, None, None]
        return self._relu(y) if relu else y

    def _conv2d_input_grad(self, dy, weight, win, groups):
        F, rows, pixels = weight.shape[0], weight[0].size, win.OH * win.OW
        dy = dy.reshape(win.N, groups, F // groups, pixels)
        cols = self.xp.matmul(weight.reshape(groups, F // groups, rows).swapaxes(1, 2), dy)
        return self._col2im(cols.reshape(win.N, groups * rows, pixels), win)

    def _conv2d_weight_grad(self, dy, x, win, F, groups):
        rows, pixels = win.C // groups * win.KH * win.KW, win.OH * win.OW
        dy = dy.reshape(win.N, groups, F // groups, pixels)
        cols = self._im2col(x, win).reshape(win.N, groups, rows, pixels)
        dw = self.xp.matmul(dy, cols.swapaxes(2, 3)).sum(axis=0)                       # (groups, F/groups, C/groups*KH*KW)
        return dw.reshape(F, win.C // groups, win.KH, win.KW)

    def _conv2d_weight_grad_unpooled(self, dy, switches, x, win, F, groups, pooling):
        dy = self._max_unpool2d(dy, switches, (win.N, F, win.OH, win.OW), *pooling)
        return None if dy is None else self._conv2d_weight_grad(dy, x, win, F, groups)

    def _bias_grad(self, dy):
        return dy.sum(axis=(0, *range(2, dy.ndim)))

    # ---- fully connected --------------------------------------------------------------------------------------------

    def _linear(self, x, weight, bias, relu):
        y = x @ weight.T
        if bias is not None:
            y += bias
        return self._relu(y) if relu else y

    def _linear_input_grad(self, dy, weight):
        return dy @ weight

    def _linear_weight_grad(self, dy, x):
        return dy.T @ x

    # ---- pooling ----------------------------------------------------------------------------------------------------

    def _max_pool2d(self, x, win):
        xp = self.xp
        padded = self._padded(x, win, -np.inf)
        pixels = xp.arange(win.H * win.W, dtype=xp.int32).reshape(1, 1, win.H, win.W)
        index = self._padded(pixels, win._replace(N=1, C=1), -1)                       # -1 marks padding
        values = xp.stack([padded[:, :, rows, columns] for _, _, rows, columns in self._windows(win)])
        places = xp.stack([index[:, :, rows, columns] for _, _, rows, columns in self._windows(win)])
        best = values.argmax(axis=0)[None]                                             # the first of equal values
        y = xp.take_along_axis(values, best, axis=0)[0]
        places = xp.broadcast_to(places, values.shape)
        switches = xp.take_along_axis(places, best, axis=0)[0]
        # A window that holds nothing but -inf may have named its padding: its first real pixel then.
        first = xp.take_along_axis(places, (places >= 0).argmax(axis=0)[None], axis=0)[0]
        return y, xp.where(switches >= 0, switches, first)

    def _max_unpool2d(self, y, switches, x_shape, size, stride, pad):
        xp = self.xp
        N, C, H, W = x_shape
        if switches.size and (int(switches.min()) < 0 or int(switches.max()) >= H * W):
            return None
        x = xp.zeros((N * C, H * W), dtype=y.dtype)
        planes = xp.arange(N * C)[:, None]
        xp.add.at(x, (planes, switches.reshape(N * C, y.shape[2] * y.shape[3])), y.reshape(N * C, y.shape[2] * y.shape[3]))
        return x.reshape(N, C, H, W)

    def _avg_pool2d(self, x, win):
        padded = self._padded(x, win)
        return sum(padded[:, :, rows, columns] for _, _, rows, columns in self._windows(win)) / (win.KH * win.KW)

    def _avg_pool2d_grad(self, dy, win):
        share = dy[:, :, None] / (win.KH * win.KW)
        cols = self.xp.broadcast_to(share, (win.N, win.C, win.KH * win.KW, win.OH, win.OW))
        return self._col2im(cols.reshape(win.N, win.C * win.KH * win.KW, win.OH * win.OW), win)

    # ---- ReLU and contrast normalization ----------------------------------------------------------------------------

    def _relu(self, x):
        return self.xp.maximum(x, 0)

    def _relu_backward(self, r, y, rectify):
        out = self.xp.maximum(r, 0) if rectify else r.copy()
        return out if y is None else self.xp.where(y > 0, out, 0)                      # 0 even for NaN and infinity

    def _channel_sums(self, x, before, after):
        """Sum x (N, C, H, W) over channels c - before ... c + after, for every c."""
        C = x.shape[1]
        padded = self.xp.pad(x, ((0, 0), (before, after), (0, 0), (0, 0)))
        return sum(padded[:, i:i + C] for i in range(before + after + 1))

    def _local_response_norm(self, x, size, alpha, beta, k):
        scale = k + alpha / size * self._channel_sums(x * x, size // 2, (size - 1) // 2)
        return x * scale ** -beta

    def _local_response_norm_grad(self, dy, x, size, alpha, beta, k):
        scale = k + alpha / size * self._channel_sums(x * x, size // 2, (size - 1) // 2)
        spread = self._channel_sums(dy * x * scale ** (-beta - 1), (size - 1) // 2, size // 2)   # the window, turned round
        return dy * scale ** -beta - 2 * beta * alpha / size * x * spread

    # ---- training ---------------------------------------------------------------------------------------------------

    def _dropout_mask(self, shape, p, rng, dtype):
        keep = rng.random(shape, dtype=np.float32) >= p
        return self.asarray(keep.astype(dtype) * np.dtype(dtype).type(1 / (1 - p)))

    def _sgd_update(self, w, velocity, grad, lr, momentum, weight_decay):
        velocity *= momentum
        velocity += grad
        velocity += weight_decay * w
        w -= lr * velocity

    def _renormalize_filters(self, w, radius):
        rms = self.xp.sqrt((w * w).mean(axis=tuple(range(1, w.ndim)), keepdims=True))
        w *= self.xp.where(rms > radius, radius / self.xp.where(rms > radius, rms, 1), 1)

    # ---- windows of maps --------------------------------------------------------------------------------------------

    def _places(self, windows):
        """Return rows (P, h, 1) and columns (P, 1, w) of the windows in their maps, and where they lie inside (P, h, w)."""
        corners, (h, w), (H, W) = self.xp.asarray(windows.corners), windows.size, windows.plane
        rows = corners[:, 0, None, None] + self.xp.arange(h)[:, None]
        columns = corners[:, 1, None, None] + self.xp.arange(w)
        return rows, columns, (rows >= 0) & (rows < H) & (columns >= 0) & (columns < W)

    def _cut_windows(self, x, windows):
        (H, W), (rows, columns, inside) = windows.plane, self._places(windows)
        images, channels = self.xp.asarray(windows.images)[:, None, None, None], self.xp.arange(x.shape[1])[:, None, None]
        rows, columns = self.xp.clip(rows, 0, H - 1)[:, None], self.xp.clip(columns, 0, W - 1)[:, None]
        return self.xp.where(inside[:, None], x[images, channels, rows, columns], 0)

    def _patch_windows(self, x, patches, at, windows, outside):
        own = Windows(np.arange(len(at.images)), windows.corners - at.corners, windows.size, at.size)
        patched = self._places(own)[2][:, None]                                        # where a window holds its patch
        values = self.xp.where(patched, self._cut_windows(patches, own), self._cut_windows(x, windows))
        return self.xp.where(self._places(windows)[2][:, None], values, self.xp.asarray(outside, dtype=x.dtype))

    def _unpool_windows(self, r, switches, above, below, pool):
        P, C, (h, w) = r.shape[0], r.shape[1], below.size
        switches, (_, _, inside) = self._cut_windows(switches, above), self._places(above)
        corners = self.xp.asarray(below.corners)[:, :, None, None, None]
        rows, columns = switches // below.plane[1] - corners[:, 0], switches % below.plane[1] - corners[:, 1]
        inside = inside[:, None] & (rows >= 0) & (rows < h) & (columns >= 0) & (columns < w)
        out, planes = self.xp.zeros((P * C, h * w), dtype=r.dtype), self.xp.arange(P * C)[:, None]
        places = self.xp.where(inside, rows * w + columns, 0).reshape(P * C, above.size[0] * above.size[1])
        self.xp.add.at(out, (planes, places), self.xp.where(inside, r, 0).reshape(places.shape))
        return out.reshape(P, C, h, w)

    def _transpose_windows(self, r, weight, above, below, win, groups, rectify, unpool):
        if unpool is not None:
            switches, pooled, pool = unpool
            r = self._unpool_windows(r, switches, pooled, above, pool)
        r = self.xp.where(self._places(above)[2][:, None], r, 0)
        if rectify:
            r = self._relu(r)
        own = win._replace(H=(above.size[0] - 1) * win.SH + win.KH, W=(above.size[1] - 1) * win.SW + win.KW, PH=0, PW=0,
                           OH=above.size[0], OW=above.size[1])
        x = self._conv2d_input_grad(r, weight, own, groups)
        corners = below.corners - above.corners * (win.SH, win.SW) + (win.PH, win.PW)
        x = self._cut_windows(x, below._replace(images=np.arange(own.N), corners=corners, plane=(own.H, own.W)))
        return self.xp.where(self._places(below)[2][:, None], x, 0)

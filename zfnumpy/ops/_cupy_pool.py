"""Columns of windows and pooling on a GPU: the kernels of `cuda/pool.cu`."""

from ..shapes import Window, pair
from ._cuda import Launcher

RUN = 8                # pixels below each other that one thread of max_unpool makes


class Pools(Launcher):
    """im2col, max and average pooling, and their adjoints."""

    def _over(self, name, shape, x, win, *more):
        """Run a kernel that makes each number of an array of `shape` from x and the window; return that array."""
        y = self.xp.empty(shape, dtype=x.dtype)
        self._each("pool", name, y.size, self._plain(x), y, *more, *win, dtype=x.dtype)
        return y

    def _im2col(self, x, win):
        return self._over("im2col", (win.N, win.C * win.KH * win.KW, win.OH * win.OW), x, win)

    def _col2im(self, cols, win):
        return self._over("col2im", win.x_shape, cols, win)

    def _max_pool2d(self, x, win):
        switches = self.xp.empty((win.N, win.C, win.OH, win.OW), dtype=self.xp.int32)
        self._own_switches[id(switches), win.H * win.W] = switches
        return self._over("max_pool", switches.shape, x, win, switches), switches

    def _max_unpool2d(self, y, switches, x_shape, size, stride, pad):
        """Gather where the window is told; else every plane has one thread, which is slow but adds in a fixed order.

        The host waits to hear whether a switch lies outside; not for switches that a pool here made for such planes.
        """
        (N, C, H, W), (OH, OW) = x_shape, y.shape[2:]
        own = size is not None and self._own_switches.get((id(switches), H * W)) is switches
        y, switches = self._plain(y), self._small(switches, H * W)
        if not own and self._any_outside(switches, H * W, y.dtype):
            return None
        if size is None:
            x = self.xp.zeros(x_shape, dtype=y.dtype)
            self._each("pool", "max_unpool_planes", N * C, y, switches, x, H * W, OH * OW, dtype=y.dtype)
            return x
        size, pad = pair(size, "max_unpool2d: the window's size", 1), pair(pad, "max_unpool2d: pad")
        stride = size if stride is None else pair(stride, "max_unpool2d: stride", 1)
        x, win = self.xp.empty(x_shape, dtype=y.dtype), Window(N, C, H, W, *size, *stride, *pad, OH, OW)
        self._each("pool", "max_unpool", N * C * -(-H // RUN) * W, y, switches, x, RUN, *win, dtype=y.dtype)
        return x

    def _any_outside(self, switches, pixels, dtype):
        outside = self.xp.zeros(1, dtype=self.xp.int32)
        self._each("pool", "find_outside", switches.size, switches, pixels, outside, dtype=dtype)
        return bool(outside[0])

    def _small(self, switches, pixels):
        """Return switches into planes of `pixels` as a contiguous int32 array; what lies outside a plane stays outside."""
        if switches.dtype.itemsize > 4:
            switches = self.xp.clip(switches, -1, pixels)
        return self._plain(switches.astype(self.xp.int32, copy=False))

    def _avg_pool2d(self, x, win):
        return self._over("avg_pool", (win.N, win.C, win.OH, win.OW), x, win)

    def _avg_pool2d_grad(self, dy, win):
        return self._over("avg_pool_grad", win.x_shape, dy, win)

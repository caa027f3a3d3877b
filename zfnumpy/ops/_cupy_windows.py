"""Windows of maps on a GPU: the kernels of `cuda/windows.cu`."""

import numpy as np

from ._cuda import Launcher


class WindowsOfMaps(Launcher):
    """Cutting windows out of maps, unpooling them, and carrying them back through a convolution."""

    def _sent(self, *columns):
        """Return columns (P,) or (P, n) of the host side by side as one int32 array of the device, (P, all of them)."""
        return self.xp.asarray(np.column_stack(columns).astype(np.int32))

    def _cut_at(self, x, images, corners, windows):
        """Cut windows out of x at `corners` in x, which may be another part of the plane than the windows' maps."""
        P, C, (h, w) = len(images), x.shape[1], windows.size
        out = self.xp.empty((P, C, h, w), dtype=x.dtype)
        places = self._sent(images, corners, windows.corners)
        self._each("windows", "cut_windows", out.size, self._plain(x), places, out, C, *x.shape[2:], h, w, *windows.plane,
                   dtype=x.dtype)
        return out

    def _cut_windows(self, x, windows):
        return self._cut_at(x, windows.images, windows.corners, windows)

    def _unpool_windows(self, r, switches, above, below, pool):
        return self._unpooled_windows(r, switches, above, below, pool, False)

    def _unpooled_windows(self, r, switches, above, below, pool, rectify):
        """Return what unpool_windows does, rectified if asked."""
        shape, (H, W), plane = (*r.shape[:2], *below.size), below.plane, switches.shape[2:]
        arrays = self._plain(r), self._small(switches, H * W), self._sent(above.images, above.corners, below.corners)
        if pool is None:
            out = self.xp.zeros(shape, dtype=r.dtype)
            self._each("windows", "unpool_windows_by_value", r.size, *arrays, out, r.shape[1], *plane, *above.size, H, W,
                       *below.size, rectify, dtype=r.dtype)
            return out
        out = self.xp.empty(shape, dtype=r.dtype)
        self._each("windows", "unpool_windows", out.size, *arrays, out, r.shape[1], *above.size, *below.size, rectify, H, W,
                   *sum(pool, ()), *plane, dtype=r.dtype)
        return out

    def _masked_windows(self, r, windows, rectify):
        """Return r, windows of maps, with zeros outside of the maps, rectified if asked."""
        out = self.xp.empty(r.shape, dtype=r.dtype)
        self._each("windows", "mask_windows", r.size, self._plain(r), self._sent(windows.corners), out, r.shape[1],
                   *windows.plane, *windows.size, rectify, dtype=r.dtype)
        return out

    def _transpose_windows(self, r, weight, above, below, win, groups, rectify, unpool):
        if not len(above.images):
            return self.xp.zeros((0, win.C, *below.size), dtype=r.dtype)
        if unpool is None:
            r = self._masked_windows(r, above, rectify)
        else:
            switches, pooled, pool = unpool
            r = self._unpooled_windows(r, switches, pooled, above, pool, rectify)
        own = win._replace(H=(above.size[0] - 1) * win.SH + win.KH, W=(above.size[1] - 1) * win.SW + win.KW, PH=0, PW=0,
                           OH=above.size[0], OW=above.size[1])           # of windows that are maps of their own
        x = self._conv2d_input_grad(r, weight, own, groups)
        return self._cut_at(x, np.arange(own.N), below.corners - above.corners * (win.SH, win.SW) + (win.PH, win.PW), below)

"""Patches: many versions of one image on their way up, each only where it can differ from the image itself.

A grey square changes 32 × 32 of an image's pixels and no others; so of the first layer's maps it changes 19 × 19 numbers,
and so on until, some layers up, what it can reach has grown to the whole map.
"""

import numpy as np

from ..shapes import Windows

WHOLE = 0.8               # the share of a map from which on its window is not worth cutting out


class Patches:
    """P versions of the maps base (1, C, H, W), alike but in the windows `at` (shapes.Windows), where they hold values.

    values (P, C, h, w). The windows lie inside the map. Patches are not changed: every method returns new ones.
    """

    def __init__(self, ops, base, values, at):
        self.ops, self.base, self.values, self.at = ops, base, values, at

    @property
    def dtype(self):
        return self.base.dtype

    @property
    def shape(self):
        """The shape (P, C, H, W) of the whole maps."""
        return len(self.values), *self.base.shape[1:]

    @property
    def ndim(self):
        return len(self.shape)

    def whole(self):
        """Return all of the maps (P, C, H, W)."""
        every = np.zeros(self.at.corners.shape, np.int64)
        return self.cut(self.at._replace(corners=every, size=self.at.plane))

    def cut(self, windows, outside=0.0):
        """Return the maps at other windows (P, C, *windows.size); where these leave the map, `outside`."""
        return self.ops.patch_windows(self.base, self.values, self.at, windows, outside)

    def gained(self):
        """Return what the sum over each map (P, C) has gained over the base's."""
        return self.values.sum(axis=(2, 3)) - self.ops.cut_windows(self.base, self.at).sum(axis=(2, 3))

    def replaced(self, function, base):
        """Return the patches of maps `base` of the same places, by a function of the values that takes each by itself."""
        return Patches(self.ops, base, function(self.values), self.at)

    def through(self, window, function, base, outside=0.0):
        """Return the patches of the maps `base` that a sliding window (size, stride, pad) makes of these.

        function maps what the window reads (P, C, …), its padding filled with `outside`, to what it makes without padding.
        None where it would make so much of the map that the whole is made as soon.
        """
        at = self.at.over(*window, base.shape[2:])
        if at.size[0] * at.size[1] > WHOLE * at.plane[0] * at.plane[1]:
            return None
        return Patches(self.ops, base, function(self.cut(at.around(*window, self.at.plane), outside)), at)

    @staticmethod
    def joined(parts, base):
        """Return the patches of maps that are stacked, in the smallest windows of one size that hold those of every part."""
        first = np.minimum.reduce([part.at.corners for part in parts])
        last = np.maximum.reduce([part.at.corners + part.at.size for part in parts])
        plane = parts[0].at.plane
        size = tuple(int(n) for n in (last - first).max(axis=0))
        at = Windows(parts[0].at.images, np.minimum(first, np.subtract(plane, size)), size, plane)
        xp = parts[0].ops.xp
        values = xp.concatenate([part.values if part.at.size == size else part.cut(at) for part in parts], axis=1)
        return Patches(parts[0].ops, base, values, at)

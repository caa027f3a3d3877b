"""Boxes: the reconstructions of many single units on their way down, each only where it can differ from zero.

A unit of conv5 is one number in its map; below conv5 it has become 3 × 3 numbers a map, and so on down to its receptive
field in the image. Rectification and unpooling may wait, so that the convolution below does them with its own work.
"""

import numpy as np

from ..shapes import Windows


class Boxes:
    """P reconstructions: windows (shapes.Windows) of maps, or features, of the images of one pass.

    stored (P, C, h, w) lies in the windows `at` and is zero outside the map; features (P, D) have no `at`. What has still
    to be done to it: `unpool` (switches, pooled, pool), when stored holds windows `pooled` of maps that were pooled by the
    window pool = (size, stride, pad), and then `rectify`.
    Boxes are not changed: every method returns new ones.
    """

    def __init__(self, ops, stored, images, at=None, rectify=False, unpool=None):
        self.ops, self.stored, self.images, self.at = ops, stored, images, at
        self.rectify, self.unpool = rectify, unpool

    def values(self):
        """Return the reconstructions (P, C, h, w) or (P, D) with nothing left to do."""
        values = self.stored
        if self.unpool is not None:
            switches, pooled, pool = self.unpool
            values = self.ops.unpool_windows(values, switches, pooled, self.at, pool)
        return self.ops.relu(values) if self.rectify else values

    def whole(self):
        """Return the reconstructions in whole maps (P, C, H, W), zero outside the windows."""
        if self.at.size == self.at.plane:
            return self.values()
        return self._cut(Windows(self.images, np.zeros_like(self.at.corners), self.at.plane, self.at.plane))

    def of(self, array):
        """Return what an array (N, C, H, W) or (N, D) of the pass holds at these boxes: shaped like the values."""
        return array[self.ops.asarray(self.images)] if self.at is None else self.ops.cut_windows(array, self.at)

    def holding(self, values):
        """Return boxes at the same places with other values."""
        return Boxes(self.ops, values, self.images, self.at)

    def rectified(self):
        """Return r·[r>0], to be done in passing."""
        return Boxes(self.ops, self.stored, self.images, self.at, True, self.unpool)

    def unpooled(self, r, switches, below, pool):
        """Return r, values at these places, unpooled by the switches (N, C, OH, OW) to the windows `below`, in passing."""
        return Boxes(self.ops, r, self.images, below, unpool=(switches, self.at, pool))

    def placed(self, values, at=None):
        """Return other values (P, C, h, w) at the windows `at`, or in whole maps, or features (P, D)."""
        if at is None and values.ndim == 4:
            corners = np.zeros((len(self.images), 2), np.int64)
            at = Windows(self.images, corners, tuple(values.shape[2:]), tuple(values.shape[2:]))
        return Boxes(self.ops, values, self.images, at)

    def __add__(self, other):
        """Return the sum, in the smallest windows of one size that hold both."""
        if self.at is None or (self.at.size == other.at.size and (self.at.corners == other.at.corners).all()):
            return self.holding(self.values() + other.values())
        first = np.minimum(self.at.corners, other.at.corners)
        last = np.maximum(self.at.corners + self.at.size, other.at.corners + other.at.size)
        size, plane = tuple(int(n) for n in (last - first).max(axis=0)), self.at.plane
        both = Windows(self.images, first, size, size).under((1, 1), (1, 1), (0, 0), plane)
        return self.placed(self._cut(both) + other._cut(both), both)

    def _cut(self, windows):
        """Return the values (P, C, h, w) at other windows of the same maps."""
        every, corners = np.arange(len(self.images)), windows.corners - self.at.corners
        return self.ops.cut_windows(self.values(), Windows(every, corners, windows.size, self.at.size))

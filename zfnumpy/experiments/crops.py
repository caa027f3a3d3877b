"""Data sets that show a part of each picture: cut out by a box, for networks that take squares."""

import numpy as np

from ..data.dataset import DataSet
from ..errors import DataError
from .features import fingerprint


class Cropped(DataSet):
    """Another data set's pictures, cut to boxes (N, 4) of whole pixels x0, y0, x1, y1, half-open.

    what: a word for how they are cut, part of `shown_as`, by which features of it are told from those of the whole
    pictures. A box that is NaN, or that holds no pixel, is a picture that cannot be read.
    """

    def __init__(self, inner, boxes, what):
        self._inner, self.boxes, self._what = inner, np.asarray(boxes, np.float64), what
        self.labels, self.classes, self.skipped = inner.labels, list(inner.classes), []
        if self.boxes.shape != (len(inner), 4):
            raise DataError(f"{len(inner)} pictures need boxes ({len(inner)}, 4), got {self.boxes.shape}")
        self.shown_as = f"{what} {fingerprint(self.boxes.tobytes())}"
        if hasattr(inner, "paths"):
            self.paths = inner.paths

    def image(self, i):
        picture, box = self._inner.image(i), self.boxes[i]
        if np.isfinite(box).all():
            x0, y0, x1, y1 = box.astype(int)
            picture = picture[max(y0, 0):max(y1, 0), max(x0, 0):max(x1, 0)]
        if not (np.isfinite(box).all() and picture.size):
            raise DataError(f"{self.name(i)} has no {self._what} with a pixel in it")
        return picture

    def name(self, i):
        return self._inner.name(i)

    def subset(self, indices):
        rows = np.arange(len(self))[indices]
        return Cropped(self._inner.subset(rows), self.boxes[rows], self._what)


def squares(boxes, sizes, preprocessing):
    """Return the squares (N, 4), whole pixels, to cut pictures to such that a network sees all of boxes (N, 4).

    sizes (N, 2): H, W of the pictures. A square's side is its box's longer side, larger by resize / crop, which the centre
    crop takes away again, and at most the picture's shorter side; its middle is the box's, moved where it would leave the
    picture. NaN stays NaN.
    """
    boxes, sizes = np.asarray(boxes, np.float64), np.asarray(sizes, np.float64)
    pairs, limits = boxes.reshape(-1, 2, 2), sizes[:, ::-1]
    side = (pairs[:, 1] - pairs[:, 0]).max(axis=1) * preprocessing.resize / preprocessing.crop
    side = np.round(np.clip(side, 1, limits.min(axis=1)))[:, None]
    low = np.round(np.clip((pairs.sum(axis=1) - side) / 2, 0, limits - side))
    return np.concatenate([low, low + side], axis=1)


def in_picture(boxes, size, preprocessing):
    """Carry boxes (..., 4) of a network's input back into the picture of `size` (H, W): what Preprocessing.to_crop undoes.

    float64, cut to the picture.
    """
    (H, W), boxes = size, np.asarray(boxes, np.float64)
    low, high = preprocessing.to_crop([[0, 0], [W, H]], size)
    pairs = (boxes.reshape(*boxes.shape[:-1], 2, 2) - low) / (high - low) * (W, H)
    return pairs.clip(0, (W, H)).reshape(boxes.shape)


def centred(share, sizes):
    """Return boxes (N, 4) in the middle of pictures of `sizes` (N, 2), `share` (2,) of their widths and heights."""
    limits = np.asarray(sizes, np.float64)[:, ::-1]
    half = limits * share / 2
    return np.concatenate([limits / 2 - half, limits / 2 + half], axis=1)

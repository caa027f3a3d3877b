"""What a data set is, and the plainest one: arrays in memory.

A data set is any object with `classes` (a list of names), `labels` ((N,) int64), `len()`, `image(i)` ((H, W, 3) uint8
RGB), `name(i)` (a str for messages) and `subset(indices)`. Nothing more is asked of one by the loader.
"""

import copy
import os
from pathlib import Path

import numpy as np

from ..errors import DataError
from .images import load_image

NO_PICTURE = "no picture, by its suffix"
NO_FILE = "listed, but no such file"


class DataSet:
    """What the data sets share. `_rows` names the attributes with one entry a picture, which a subset cuts."""

    _rows = ("labels",)

    def __len__(self):
        return len(self.labels)

    def subset(self, indices):
        """Return the pictures at `indices` (integers, a slice or a boolean mask) as a data set of the same classes.

        `skipped`, where there is one, stays with the whole set.
        """
        try:
            rows = np.atleast_1d(np.arange(len(self))[indices])
        except IndexError as error:
            raise DataError(f"indices that do not fit a data set of {len(self)} pictures: {error}") from error
        part = copy.copy(self)
        part.skipped = []
        for name in self._rows:
            whole = getattr(self, name)
            setattr(part, name, [whole[i] for i in rows] if isinstance(whole, list) else whole[rows])
        return part


class ImageArray(DataSet):
    """Pictures already in memory: `images` (N, H, W, 3) uint8, `labels` (N,) integers, `classes` their names."""

    _rows = ("labels", "images")

    def __init__(self, images, labels, classes):
        images = np.asanyarray(images)
        if images.dtype != np.uint8 or images.ndim != 4 or images.shape[3] != 3:
            raise DataError(f"images must be (N, H, W, 3) uint8, got {images.shape} {images.dtype}")
        self.images = images
        self.classes = list(classes)
        self.labels = _checked_labels(labels, len(images), len(self.classes))
        self.skipped = []

    def image(self, i):
        return self.images[i]

    def name(self, i):
        return f"picture {i}"


class Relabelled(DataSet):
    """Another data set's pictures under other labels (N,), which number `classes`; -1 leaves a picture out."""

    def __init__(self, inner, labels, classes):
        labels = np.asarray(labels, np.int64)
        kept = labels >= 0
        self._inner, self.labels, self.classes, self.skipped = inner.subset(kept), labels[kept], list(classes), []
        self.image, self.name = self._inner.image, self._inner.name
        self.class_numbers = None                    # those of the other data set number its classes, not these

    def subset(self, indices):
        rows = np.atleast_1d(np.arange(len(self))[indices])
        return Relabelled(self._inner.subset(rows), self.labels[rows], self.classes)

    def __getattr__(self, name):                     # boxes, masks, poses: what else the pictures are known by
        if name.startswith("_"):
            raise AttributeError(name)
        return getattr(self._inner, name)


class ImageFiles(DataSet):
    """Pictures read from `paths` when they are asked for."""

    _rows = ("labels", "paths")

    def image(self, i):
        """Read picture i: (H, W, 3) uint8 RGB. Raises DataError where the file cannot be read."""
        return load_image(self.paths[i])

    def name(self, i):
        return self.paths[i]


def files_below(folder):
    """List the visible files below `folder` as str, in an order that no file system changes."""

    def refuse(error):
        raise DataError(f"cannot open the folder {error.filename}: {error.strerror or error}") from error

    found = []
    for parent, folders, files in os.walk(folder, onerror=refuse):
        folders[:] = [name for name in folders if not hidden(name)]
        found += [os.path.join(parent, name) for name in files if not hidden(name)]
    return sorted(found)


def text_lines(path):
    """List (line number from 1, text) for the lines of a text file that are not blank."""
    try:
        text = Path(path).read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"cannot read {path}: {getattr(error, 'strerror', None) or error}") from error
    return [(number, line) for number, line in enumerate(text.splitlines(), 1) if line.strip()]


def table(path, columns):
    """Yield (line number, fields) for a list whose lines have `columns` fields between tabs or spaces."""
    for number, line in text_lines(path):
        fields = line.split()
        if len(fields) != columns:
            raise DataError(f"{path}, line {number}: expected {columns} columns, got {len(fields)}: {line.strip()!r}")
        yield number, fields


def hidden(name):
    return name.startswith(".") or name == "__MACOSX"


def _checked_labels(labels, n_images, n_classes):
    labels = np.asarray(labels)
    if labels.shape != (n_images,) or labels.dtype.kind not in "iu":
        raise DataError(f"labels must be ({n_images},) integers, got {labels.shape} {labels.dtype}")
    wrong = np.flatnonzero((labels < 0) | (labels >= n_classes))
    if len(wrong):
        raise DataError(f"label {labels[wrong[0]]} of picture {wrong[0]} lies outside 0..{n_classes - 1}")
    return labels.astype(np.int64)

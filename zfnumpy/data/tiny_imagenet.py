"""Tiny-ImageNet in its own layout on disk: lists of classes, names and boxes beside the pictures."""

import os
from pathlib import Path

import numpy as np

from ..errors import DataError
from .dataset import NO_FILE, NO_PICTURE, ImageFiles, files_below, table, text_lines
from .images import is_image_name


class TinyImageNet(ImageFiles):
    """Tiny-ImageNet's own layout below `root`: wnids.txt, words.txt, train/<wnid>/images and val/images.

    The order of the classes is that of wnids.txt; `wnids` keeps it, and `classes` are the first words of words.txt,
    with the wnid behind a word that two classes share. `boxes` (N, 4) float32 are x0, y0, x1, y1 in pixels, half-open, NaN
    where the set gives none (its own files name the last column and row inside the box, one less). Pictures that are
    listed but missing stand in `skipped`. Raises DataError, with file and line, for a list that cannot be read.
    """

    _rows = ("labels", "paths", "boxes")

    def __init__(self, root, split="train"):
        if split not in ("train", "val"):
            raise DataError(f"Tiny-ImageNet has the splits train and val, got {split!r}")
        root = Path(root)
        self.wnids = _read_wnids(root / "wnids.txt")
        self.classes = _read_names(root / "words.txt", self.wnids)
        self.skipped = []
        rows = self._train_rows(root / "train") if split == "train" else self._val_rows(root / "val")
        if not rows:
            raise DataError(f"{root / split}: none of the pictures listed is there ({len(self.skipped)} are missing)")
        paths, labels, boxes = zip(*rows)
        self.paths = list(paths)
        self.labels = np.array(labels, np.int64)
        self.boxes = np.array(boxes, np.float32)

    def _train_rows(self, folder):
        rows = []
        for label, wnid in enumerate(self.wnids):
            images = folder / wnid / "images"
            files = files_below(images)
            found = [path for path in files if is_image_name(path)]
            if not found:
                raise DataError(f"{images}: no pictures of the class {self.classes[label]!r} of wnids.txt")
            listed = folder / wnid / f"{wnid}_boxes.txt"
            boxes = {}
            if listed.exists():
                boxes = {name: _box(numbers, listed, line) for line, (name, *numbers) in table(listed, 5)}
            self.skipped += [(path, NO_PICTURE) for path in files if not is_image_name(path)]
            missing = boxes.keys() - {os.path.basename(path) for path in found}
            self.skipped += [(str(images / name), NO_FILE) for name in sorted(missing)]
            rows += [(path, label, boxes.get(os.path.basename(path), (np.nan,) * 4)) for path in found]
        return rows

    def _val_rows(self, folder):
        listed = folder / "val_annotations.txt"
        index = {wnid: label for label, wnid in enumerate(self.wnids)}
        present = set(files_below(folder / "images"))
        rows = []
        for line, (name, wnid, *numbers) in table(listed, 6):
            if wnid not in index:
                raise DataError(f"{listed}, line {line}: class {wnid!r} is not in wnids.txt")
            box = _box(numbers, listed, line)
            path = str(folder / "images" / name)
            if path in present:
                rows.append((path, index[wnid], box))
            else:
                self.skipped.append((path, NO_FILE))
        return rows


def _box(numbers, path, line):
    try:
        box = tuple(float(number) for number in numbers)
    except ValueError:
        box = (np.nan,)
    if not np.isfinite(box).all():
        raise DataError(f"{path}, line {line}: the box must be four numbers, got {' '.join(numbers)!r}")
    x0, y0, x1, y1 = box
    return x0, y0, x1 + 1, y1 + 1


def _read_wnids(path):
    wnids = {}
    for number, (wnid,) in table(path, 1):
        if wnid in wnids:
            raise DataError(f"{path}, line {number}: {wnid} stands there twice, first in line {wnids[wnid]}")
        wnids[wnid] = number
    if len(wnids) < 2:
        raise DataError(f"{path}: expected two classes or more, got {len(wnids)}")
    return list(wnids)


def _read_names(path, wnids):
    words = {}
    for number, line in text_lines(path):
        wnid, tab, names = line.partition("\t")
        first = names.split(",")[0].strip()
        if not tab or not first:
            raise DataError(f"{path}, line {number}: expected a wnid, a tab and its names, got {line.strip()!r}")
        words[wnid.strip()] = first
    names = [words.get(wnid, wnid) for wnid in wnids]
    return [f"{name} ({wnid})" if names.count(name) > 1 else name for name, wnid in zip(names, wnids)]

"""Folders of classes, and opening whichever layout a folder has."""

import os
from pathlib import Path

import numpy as np

from ..errors import DataError
from .cub import LABELS, Cub200
from .dataset import NO_PICTURE, ImageFiles, files_below, hidden
from .images import is_image_name
from .labelled import TABLE, LabelledFolder
from .tiny_imagenet import TinyImageNet

_VALIDATION_NAMES = ("val", "valid", "validation", "test")


class ImageFolder(ImageFiles):
    """The folder `root` with one subfolder a class: classes by folder name, sorted, pictures at any depth below.

    Hidden files and folders are ignored. A file without a picture's suffix is left out and stands in `skipped`, a list
    of (path, reason); a damaged picture is found only when it is read. Raises DataError for a folder that is missing,
    has fewer than two classes, or a class without pictures.
    """

    def __init__(self, root):
        folders = _class_folders(root)
        if len(folders) < 2:
            inside = f"only {folders[0].name}" if folders else "none"
            raise DataError(f"{root}: expected one subfolder a class, two or more of them; found {inside}")
        self.classes = [folder.name for folder in folders]
        self.paths, self.skipped = [], []
        counts = []
        for folder in folders:
            pictures = []
            for path in files_below(folder):
                if is_image_name(path):
                    pictures.append(path)
                else:
                    self.skipped.append((path, NO_PICTURE))
            counts.append(len(pictures))
            self.paths += pictures
        empty = [name for name, count in zip(self.classes, counts) if count == 0]
        if empty:
            few = _few(empty)
            raise DataError(f"{root}: no pictures in {len(empty)} of {len(counts)} class folders ({few}); remove them")
        self.labels = np.repeat(np.arange(len(counts)), counts).astype(np.int64)


def open_dataset(root, val_fraction=0.1, seed=0):
    """Open the pictures below `root` and return (train, val), two data sets of the same classes.

    Five layouts are known: Tiny-ImageNet's (it has a wnids.txt); CUB-200-2011's (it has an image_class_labels.txt; its test
    part is for validation); train/ beside val/ (or valid/, validation/, test/),
    both with one subfolder a class; one folder of classes, of which every class gives `val_fraction` of its
    pictures, drawn with `seed`, for validation: at least one where it has two; and pictures listed in a labels.tsv (see
    LabelledFolder), which are all for validation: the first set is empty. Raises DataError for anything else.
    """
    if not 0 < val_fraction < 1:
        raise DataError(f"val_fraction lies between 0 and 1, got {val_fraction}")
    names = [folder.name for folder in _class_folders(root)]
    root = Path(root)
    if (root / "wnids.txt").exists():
        return TinyImageNet(root, "train"), TinyImageNet(root, "val")
    if (root / LABELS).exists():
        return Cub200(root, "train"), Cub200(root, "test")
    if (root / TABLE).exists() and len(names) < 2:
        val = LabelledFolder(root)
        return val.subset([]), val
    if "train" in names:
        others = [name for name in _VALIDATION_NAMES if name in names]
        if others:
            train, val = ImageFolder(root / "train"), ImageFolder(root / others[0])
            _check_same_classes(root, train, val, others[0])
            return train, val
        if names == ["train"]:
            root = root / "train"
    whole = ImageFolder(root)
    if np.bincount(whole.labels).max() < 2:
        raise DataError(f"{root}: every class has only one picture, so none is left for validation")
    train_rows, val_rows = _split(whole.labels, val_fraction, np.random.default_rng(seed))
    train, val = whole.subset(train_rows), whole.subset(val_rows)
    train.skipped = whole.skipped
    return train, val


def _split(labels, val_fraction, rng):
    """Draw the sorted rows of training and of validation from every class in turn."""
    val = np.zeros(len(labels), bool)
    for label in np.unique(labels):
        rows = np.flatnonzero(labels == label)
        count = min(max(1, round(val_fraction * len(rows))), len(rows) - 1)
        val[rng.permutation(rows)[:count]] = True
    return np.flatnonzero(~val), np.flatnonzero(val)


def _check_same_classes(root, train, val, val_name):
    only_train = [name for name in train.classes if name not in set(val.classes)]
    only_val = [name for name in val.classes if name not in set(train.classes)]
    if only_train or only_val:
        raise DataError(
            f"{root}: train/ has {len(train.classes)} classes and {val_name}/ has {len(val.classes)}; "
            f"only in train/: {_few(only_train)}; only in {val_name}/: {_few(only_val)}"
        )


def _class_folders(root):
    """List the visible subfolders of `root`, sorted by name."""
    try:
        names = sorted(entry.name for entry in os.scandir(root) if entry.is_dir() and not hidden(entry.name))
    except OSError as error:
        raise DataError(f"cannot open the folder {root}: {error.strerror or error}") from error
    return [Path(root, name) for name in names]


def _few(names):
    shown = ", ".join(names[:5]) or "none"
    return shown if len(names) <= 5 else f"{shown} and {len(names) - 5} more"

"""Caltech-101 and Caltech-256 in their own layouts on disk: folders of classes, one of which is clutter and no class."""

import re
from pathlib import Path

import numpy as np

from ..errors import DataError
from .folders import ImageFolder

FOLDERS = {"101_ObjectCategories": "BACKGROUND_Google", "256_ObjectCategories": "257.clutter"}
WHERE = {"101_ObjectCategories": "https://data.caltech.edu/records/mzrjq-6wc02",
         "256_ObjectCategories": "https://data.caltech.edu/records/nyy15-4j048"}


class Caltech(ImageFolder):
    """Caltech-101 or Caltech-256 below `root`, the folder of their classes or the one that holds it.

    101_ObjectCategories/<class>/image_0001.jpg, or 256_ObjectCategories/001.ak47/001_0001.jpg. The clutter
    (BACKGROUND_Google, 257.clutter) is left out; `classes` have no numbers. DataError for a folder that is neither, with
    where to get them.
    """

    def __init__(self, root):
        root = caltech_folder(root)
        super().__init__(root)
        clutter = set(FOLDERS.values())
        kept = np.array([name not in clutter for name in self.classes])
        rows = np.flatnonzero(kept[self.labels])
        self.labels = (np.cumsum(kept) - 1)[self.labels[rows]]
        self.paths = [self.paths[i] for i in rows]
        self.classes = [re.sub(r"^\d{3}\.", "", name) for name, keep in zip(self.classes, kept) if keep]
        self.skipped = [(path, why) for path, why in self.skipped if not clutter & set(Path(path).parts)]
        if len(self.classes) < 2:
            raise DataError(f"{root}: expected two classes or more beside the clutter, got {len(self.classes)}")


def is_caltech(root):
    """Tell whether a folder is Caltech-101's or -256's classes, or holds them."""
    try:
        return bool(caltech_folder(root))
    except DataError:
        return False


def caltech_folder(root):
    """Return the folder of the classes: `root`, or what it holds; DataError where neither is there."""
    root = Path(root)
    for name, clutter in FOLDERS.items():
        if (root / name).is_dir():
            return root / name
        if (root / clutter).is_dir() or (root.name == name and root.is_dir()):
            return root
    raise DataError(f"{root} holds neither {' nor '.join(FOLDERS)}, a folder a class: get Caltech-101 from "
                    f"{WHERE['101_ObjectCategories']} or Caltech-256 from {WHERE['256_ObjectCategories']} and unpack it "
                    "there")

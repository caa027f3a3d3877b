"""Caltech-101 and Caltech-256 in their own layouts on disk: folders of classes, one of which is clutter and no class."""

import re
from pathlib import Path

from ..errors import DataError
from .folders import ImageFolder

FOLDERS = {"101_ObjectCategories": "BACKGROUND_Google", "256_ObjectCategories": "257.clutter"}
WHERE = {"101_ObjectCategories": "https://data.caltech.edu/records/mzrjq-6wc02",
         "256_ObjectCategories": "https://data.caltech.edu/records/nyy15-4j048"}


class Caltech(ImageFolder):
    """Caltech-101 or Caltech-256 below `root`, the folder of their classes or the one that holds it.

    101_ObjectCategories/<class>/image_0001.jpg, or 256_ObjectCategories/001.ak47/001_0001.jpg. The clutter
    (BACKGROUND_Google, 257.clutter) is left out; `classes` have no numbers. DataError for a folder that is neither, with
    where to get them; for one that holds both; and as ImageFolder.
    """

    def __init__(self, root):
        super().__init__(caltech_folder(root), set(FOLDERS.values()))
        self.classes = [re.sub(r"^\d{3}\.", "", name) for name in self.classes]


def is_caltech(root):
    """Tell whether a folder is Caltech-101's or -256's classes, or holds them."""
    return bool(_found(Path(root)))


def caltech_folder(root):
    """Return the folder of the classes: `root`, or what it holds; DataError where neither is there, or both are."""
    found = _found(Path(root))
    if len(found) > 1:
        raise DataError(f"{root} holds both {' and '.join(FOLDERS)}: name one of them")
    if not found:
        raise DataError(f"{root} holds neither {' nor '.join(FOLDERS)}, a folder a class: get Caltech-101 from "
                        f"{WHERE['101_ObjectCategories']} or Caltech-256 from {WHERE['256_ObjectCategories']} and unpack it "
                        "there")
    return found[0]


def _found(root):
    """List the folders of classes that a folder holds, or itself where it is one."""
    inside = [root / name for name in FOLDERS if (root / name).is_dir()]
    own = root.is_dir() and any(root.name == name or (root / clutter).is_dir() for name, clutter in FOLDERS.items())
    return inside or [root] * own

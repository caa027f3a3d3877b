"""Opening whichever layout a folder of pictures has, and telling where to get a set that is not there."""

from pathlib import Path

import numpy as np

from ..errors import DataError
from . import caltech, voc
from .caltech import Caltech, is_caltech
from .cub import LABELS, Cub200
from .folders import ImageFolder, class_folders, few
from .labelled import TABLE, LabelledFolder
from .tiny_imagenet import TinyImageNet
from .voc import Voc2012, is_voc

_VALIDATION_NAMES = ("val", "valid", "validation", "test")
_CALTECH = {k: (f"Caltech-{k}", caltech.WHERE[f"{k}_ObjectCategories"], f"{k}_ObjectCategories/{example}")
            for k, example in ((101, "<class>/image_0001.jpg"), (256, "001.ak47/001_0001.jpg"))}
# {words, all of which the name of a folder holds: (set, address, what its folder then holds)}.
_SETS = {
    ("caltech", "101"): _CALTECH[101], ("101_object",): _CALTECH[101],
    ("caltech", "256"): _CALTECH[256], ("256_object",): _CALTECH[256],
    ("voc",): ("PASCAL VOC 2012", voc.WHERE, "VOC2012/{JPEGImages,Annotations,ImageSets/Main}"),
    ("cub",): ("CUB-200-2011", "https://data.caltech.edu/records/65de6-vp158",
               "images.txt, image_class_labels.txt, images/ and parts/"),
    ("tiny", "imagenet"): ("Tiny-ImageNet", "http://cs231n.stanford.edu/tiny-imagenet-200.zip",
                           "wnids.txt, words.txt, train/ and val/"),
}


def open_dataset(root, val_fraction=0.1, seed=0):
    """Open the pictures below `root` and return (train, val), two data sets of the same classes.

    These layouts are known: Tiny-ImageNet's (it has a wnids.txt); CUB-200-2011's (an image_class_labels.txt; its test part
    is for validation); PASCAL VOC 2012's (ImageSets/Main); train/ beside val/ (or valid/, validation/, test/), both with one
    subfolder a class; one folder of classes, Caltech-101's and -256's without their clutter among them, of which every class
    gives `val_fraction` of its pictures, drawn with `seed`, for validation: at least one where it has two; and pictures
    listed in a labels.tsv (see LabelledFolder), which are all for validation: the first set is empty. Raises DataError for
    anything else; for a folder that is not there or holds no classes, with where to get the set that its name tells of.
    """
    if not 0 < val_fraction < 1:
        raise DataError(f"val_fraction lies between 0 and 1, got {val_fraction}")
    where = _where(root)
    if not Path(root).exists():
        raise DataError(f"cannot open the folder {root}: No such file or directory{where}")
    names = [folder.name for folder in class_folders(root)]
    root = Path(root)
    if (root / "wnids.txt").exists():
        return TinyImageNet(root, "train"), TinyImageNet(root, "val")
    if (root / LABELS).exists():
        return Cub200(root, "train"), Cub200(root, "test")
    if is_voc(root):
        return Voc2012(root, "train"), Voc2012(root, "val")
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
    if where and len(class_folders(root)) < (1 if is_caltech(root) else 2):
        raise DataError(f"{root} holds no data set in a layout that is known{where}")
    whole = Caltech(root) if is_caltech(root) else ImageFolder(root)
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
            f"only in train/: {few(only_train)}; only in {val_name}/: {few(only_val)}"
        )


def _where(root):
    """Return where to get the data set that a folder's name tells of, and how to lay it out; "" for any other."""
    name = Path(root).name.lower()
    for words, (title, address, layout) in _SETS.items():
        if all(word in name for word in words):
            return f"; get {title} from {address} and unpack it such that {root} holds {layout}"
    return ""

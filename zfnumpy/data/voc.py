"""PASCAL VOC 2012 in its own layout on disk: photographs with several classes each, their objects in XML."""

import os
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import numpy as np

from ..errors import DataError
from .dataset import NO_FILE, ImageFiles, text_lines

CLASSES = ("aeroplane", "bicycle", "bird", "boat", "bottle", "bus", "car", "cat", "chair", "cow", "diningtable", "dog",
           "horse", "motorbike", "person", "pottedplant", "sheep", "sofa", "train", "tvmonitor")
SPLITS = ("train", "val", "trainval", "test")
WHERE = "http://host.robots.ox.ac.uk/pascal/VOC/voc2012/"


class Voc2012(ImageFiles):
    """PASCAL VOC 2012 below `root`, the folder VOC2012 or one above it: JPEGImages, Annotations and ImageSets/Main.

    split: "train", "val" or "trainval" (or "test", where that is there). `present` (N, 20) int8 says of every class whether
    it is in the picture: 1, -1, or 0 where all its objects are marked as difficult, as the files <class>_<split>.txt do;
    where those are missing, from the XML. `boxes` (N, 4) float32, x0, y0, x1, y1, half-open, and `labels` are those of the
    largest object that is not difficult (of all, where there is none), for code that wants one class a picture. Pictures
    that are listed but missing stand in `skipped`. DataError, with file and line, for what cannot be read.
    """

    _rows = ("labels", "paths", "boxes", "present")

    def __init__(self, root, split="train"):
        if split not in SPLITS:
            raise DataError(f"PASCAL VOC has the splits {', '.join(SPLITS)}, got {split!r}")
        root = voc_folder(root)
        listed = root / "ImageSets" / "Main" / f"{split}.txt"
        names = list(_once(listed, ((line, text.split()[0], None) for line, text in text_lines(listed))))
        given = {k: _given(root, name, split, set(names)) for k, name in enumerate(CLASSES)}
        self.classes, self.paths, self.skipped = list(CLASSES), [], []
        labels, boxes, present = [], [], []
        for name in names:
            path = str(root / "JPEGImages" / f"{name}.jpg")
            if not os.path.exists(path):
                self.skipped.append((path, NO_FILE))
                continue
            objects = _objects(root / "Annotations" / f"{name}.xml")
            clear = [each for each in objects if not each[2]] or objects
            label, box, _ = max(clear, key=lambda each: (each[1][2] - each[1][0]) * (each[1][3] - each[1][1]))
            own = np.full(len(CLASSES), -1, np.int8)
            for k, _, difficult in objects:
                own[k] = max(own[k], 0 if difficult else 1)
            for k, answers in given.items():
                own[k] = own[k] if answers is None else answers[name]
            self.paths.append(path)
            labels.append(label)
            boxes.append(box)
            present.append(own)
        if not self.paths:
            raise DataError(f"{listed}: none of the {len(names)} pictures listed is there")
        self.labels, self.boxes = np.array(labels, np.int64), np.array(boxes, np.float32)
        self.present = np.array(present, np.int8)


def average_precision(scores, present):
    """Return the average precision of scores (N,) for one class, as VOC has computed it since 2010 (all points).

    present (N,): 1, -1, or 0 for pictures that do not count (difficult). The area under the precision that is reached at
    each recall or a higher one. Of equal scores the earlier picture comes first. NaN where nothing is present.
    """
    scores, present = np.asarray(scores, np.float64), np.asarray(present)
    counts = present != 0
    right = present[counts][np.argsort(-scores[counts], kind="stable")] > 0
    if not right.any():
        return float("nan")
    found = np.cumsum(right)
    precision = found / np.arange(1, len(right) + 1)
    best = np.maximum.accumulate(precision[::-1])[::-1]
    return float(best[right].sum() / found[-1])


def is_voc(root):
    """Tell whether a folder is VOC2012, or holds it."""
    try:
        return bool(voc_folder(root))
    except DataError:
        return False


def voc_folder(root):
    """Return the folder with JPEGImages, Annotations and ImageSets: `root`, or VOC2012 in it; DataError without one."""
    root = Path(root)
    for folder in (root, root / "VOC2012", root / "VOCdevkit" / "VOC2012"):
        if (folder / "ImageSets" / "Main").is_dir():
            return folder
    raise DataError(f"{root} holds no VOC2012 with ImageSets/Main, JPEGImages and Annotations: get PASCAL VOC 2012 from "
                    f"{WHERE} and unpack VOCtrainval_11-May-2012.tar there")


def _given(root, name, split, names):
    """Return {picture: 1, 0 or -1} of a class's own file, None where there is none."""
    path = root / "ImageSets" / "Main" / f"{name}_{split}.txt"
    if not path.exists():
        return None

    def answers():
        for line, text in text_lines(path):
            fields = text.split()
            if len(fields) != 2 or fields[1] not in ("1", "0", "-1"):
                raise DataError(f"{path}, line {line}: expected a picture and 1, 0 or -1, got {text.strip()!r}")
            yield line, fields[0], int(fields[1])

    found = _once(path, answers())
    missing = names - found.keys()
    if missing:
        raise DataError(f"{path}: {min(missing)} of {split}.txt is not in it")
    return found


def _once(path, rows):
    """Return {key: value} of (line, key, value); DataError for a key that stands there twice."""
    found, lines = {}, {}
    for line, key, value in rows:
        if key in lines:
            raise DataError(f"{path}, line {line}: {key} stands there twice, first in line {lines[key]}")
        found[key], lines[key] = value, line
    return found


def _objects(path):
    """Return (class, box, difficult) of every object of an annotation; the parts of a person are none.

    A document type is refused, which VOC's files do not have: entities of one could grow without end.
    """
    try:
        text = path.read_bytes()
        if b"<!DOCTYPE" in text:
            raise ValueError("it declares a document type, which no annotation of VOC does")
        tree = ElementTree.fromstring(text)
    except (OSError, ElementTree.ParseError, LookupError, ValueError) as error:     # the last two: an unknown encoding
        raise DataError(f"cannot read {path}: {getattr(error, 'strerror', None) or error}") from error
    found = []
    for each in tree.findall("object"):
        name = (each.findtext("name") or "").strip()
        if name not in CLASSES:
            raise DataError(f"{path}: {name!r} is none of VOC's 20 classes")
        box = each.find("bndbox")
        try:
            x0, y0, x1, y1 = corners = [float(box.findtext(side)) for side in ("xmin", "ymin", "xmax", "ymax")]
        except (AttributeError, TypeError, ValueError):
            corners = [np.nan]
        if not np.isfinite(corners).all():
            raise DataError(f"{path}: the {name} has no box of four numbers")
        if x0 > x1 or y0 > y1:
            raise DataError(f"{path}: the box of the {name} ends before it begins: {x0:g}, {y0:g}, {x1:g}, {y1:g}")
        difficult = (each.findtext("difficult") or "0").strip()
        if difficult not in ("0", "1"):
            raise DataError(f"{path}: whether the {name} is difficult must be 0 or 1, got {difficult!r}")
        found.append((CLASSES.index(name), (x0 - 1, y0 - 1, x1, y1), difficult == "1"))  # VOC counts pixels from 1
    if not found:
        raise DataError(f"{path}: there is no object in it")
    return found

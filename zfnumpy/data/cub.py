"""CUB-200-2011 in its own layout on disk: birds with a box and the places of their parts."""

import os
from pathlib import Path

import numpy as np

from ..errors import DataError
from .dataset import NO_FILE, NO_PICTURE, ImageFiles, table, text_lines
from .images import is_image_name

LABELS = "image_class_labels.txt"
PART_RADIUS = 1 / 12        # of the box's longer side: the set gives a part's middle alone


class Cub200(ImageFiles):
    """CUB-200-2011's own layout below `root`, or a part of it: images/, its text files and parts/.

    split: "train" or "test", as train_test_split.txt deals the pictures out. `classes` are those of classes.txt in its
    order, without the number in front ("001.Black_footed_Albatross"). `boxes` (N, 4) float32 are x0, y0, x1, y1 in pixels,
    half-open. Identifiers need not be without gaps. Pictures that are listed but missing stand in `skipped`. Raises
    DataError, with file and line, for a list that cannot be read or that does not fit the others.
    """

    _rows = ("labels", "paths", "boxes", "places")

    def __init__(self, root, split="train"):
        if split not in ("train", "test"):
            raise DataError(f"CUB-200-2011 has the splits train and test, got {split!r}")
        root = Path(root)
        files = _by_id(root / "images.txt", _name, spaces=True)
        numbers = _by_id(root / "classes.txt", _name, spaces=True)
        place = {number: k for k, number in enumerate(numbers)}
        self.classes = [_without_number(name) for name in numbers.values()]
        if len(self.classes) < 2:
            raise DataError(f"{root / 'classes.txt'}: expected two classes or more, got {len(self.classes)}")
        labels = _by_id(root / LABELS, lambda fields: _known(fields[0], place, "class", "classes.txt"), 1, files)
        training = _by_id(root / "train_test_split.txt", _flag, 1, files)
        boxes = _by_id(root / "bounding_boxes.txt", _box, 4, files)
        self.part_names = list(_by_id(root / "parts" / "parts.txt", _name, spaces=True).items())
        parts = _part_places(root / "parts" / "part_locs.txt", files, [key for key, _ in self.part_names])
        self.part_names = [name for _, name in self.part_names]
        self.skipped, self.paths, self.labels, self.boxes, self.places = [], [], [], [], []
        for key, file in files.items():
            if training[key] != (split == "train"):
                continue
            path = os.path.join(root, "images", file)
            if not is_image_name(path) or not os.path.exists(path):
                self.skipped.append((path, NO_FILE if is_image_name(path) else NO_PICTURE))
                continue
            self.paths.append(path)
            self.labels.append(labels[key])
            self.boxes.append(boxes[key])
            self.places.append(parts[key])
        if not self.paths:
            raise DataError(f"{root / 'images'}: none of the {split} pictures listed is there "
                            f"({len(self.skipped)} are missing)")
        self.labels = np.array(self.labels, np.int64)
        self.boxes = np.array(self.boxes, np.float32)
        self.places = np.array(self.places, np.float32)

    def parts(self, i):
        """Return {part: (x, y, radius)} of the parts that can be seen in picture i, in pixels.

        The set gives the middle of a part and no size: the radius is PART_RADIUS, a twelfth of the box's longer side.
        """
        x0, y0, x1, y1 = self.boxes[i].tolist()
        radius = PART_RADIUS * max(x1 - x0, y1 - y0)
        return {name: (x, y, radius) for name, (x, y) in zip(self.part_names, self.places[i].tolist()) if x == x}


def _by_id(path, read, columns=1, known=None, spaces=False):
    """Return {identifier: what `read` makes of the `columns` fields behind it}, in the file's order.

    known: the identifiers that there may be, and must be. spaces: one field, which may hold spaces. `read` raises ValueError
    with what is wrong.
    """
    found, first = {}, {}
    for line, (key, *fields) in _two_columns(path) if spaces else table(path, 1 + columns):
        if known is not None and key not in known:
            raise DataError(f"{path}, line {line}: there is no image {key!r} in images.txt")
        if key in found:
            raise DataError(f"{path}, line {line}: {key} stands there twice, first in line {first[key]}")
        first[key] = line
        try:
            found[key] = read(fields)
        except ValueError as error:
            raise DataError(f"{path}, line {line}: {error}") from None
    missing = [key for key in known or () if key not in found]
    if missing:
        raise DataError(f"{path}: image {missing[0]} of images.txt is not in it" + (
            f", nor are {len(missing) - 1} others" if len(missing) > 1 else ""))
    return found


def _two_columns(path):
    """Yield (line number, [identifier, all that follows])."""
    for number, line in text_lines(path):
        fields = line.split(maxsplit=1)
        if len(fields) != 2:
            raise DataError(f"{path}, line {number}: expected 2 columns, got {len(fields)}: {line.strip()!r}")
        yield number, (fields[0], fields[1].strip())


def _part_places(path, files, parts):
    """Return {image: places (P, 2)} of a list with a line an image and a part; NaN for a part that cannot be seen."""
    places = {key: np.full((len(parts), 2), np.nan, np.float32) for key in files}
    place, first = {part: k for k, part in enumerate(parts)}, {}
    for line, (key, part, *fields) in table(path, 5):
        if key not in files:
            raise DataError(f"{path}, line {line}: there is no image {key!r} in images.txt")
        try:
            k = _known(part, place, "part", "parts.txt")
            x, y = _numbers(fields[:2], "a part's place must be two numbers")
            seen = _flag(fields[2:])
        except ValueError as error:
            raise DataError(f"{path}, line {line}: {error}") from None
        if (key, k) in first:
            raise DataError(f"{path}, line {line}: part {part} of image {key} stands there twice, first in line "
                            f"{first[key, k]}")
        first[key, k] = line
        if seen:
            places[key][k] = x, y
    return places


def _name(fields):
    return fields[0]


def _without_number(name):
    number, dot, rest = name.partition(".")
    return rest if dot and rest and number.isdecimal() else name


def _known(key, place, what, file):
    if key not in place:
        raise ValueError(f"there is no {what} {key!r} in {file}")
    return place[key]


def _flag(fields):
    if fields[0] not in ("0", "1"):
        raise ValueError(f"expected 0 or 1, got {fields[0]!r}")
    return fields[0] == "1"


def _numbers(fields, rule):
    try:
        numbers = [float(field) for field in fields]
    except ValueError:
        numbers = [np.nan]
    if not np.isfinite(numbers).all():
        raise ValueError(f"{rule}, got {' '.join(fields)!r}")
    return numbers


def _box(fields):
    x, y, width, height = _numbers(fields, "the box must be four numbers")
    if width <= 0 or height <= 0:
        raise ValueError(f"the box must have a width and a height above 0, got {' '.join(fields)!r}")
    return x, y, x + width, y + height

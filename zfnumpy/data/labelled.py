"""Pictures in one folder, with a table beside them that says what each shows: labels.tsv."""

import os
from pathlib import Path

import numpy as np

from ..errors import DataError
from .dataset import NO_FILE, NO_PICTURE, ImageFiles, text_lines
from .images import is_image_name

TABLE = "labels.tsv"
FILES, NAMES = ("file", "filename", "path", "image"), ("name", "class", "label")       # what a header may call them


class LabelledFolder(ImageFiles):
    """The pictures that `root`/labels.tsv lists, a line each, its columns between tabs.

    A header names the columns: `file` (or filename, path, image; below `root`), and of `index` (or any name that ends in
    it: the class's number among the network's), `wnid` and `name` (or class, label) at least one; what else there is, is
    ignored. Without a header the columns are the file and its class. Names that are numbers throughout are numbers.

    `classes` are those of the table, by number where it gives one, else in order of appearance: by name, else wnid, else
    "class 7". `class_numbers` (len(classes),) holds their numbers, or is None. Pictures that are listed but missing, or
    without a picture's suffix, stand in `skipped`. DataError, with file and line, for a table that cannot be read, a file
    that stands there twice and a number that has two names.
    """

    _rows = ("labels", "paths")

    def __init__(self, root):
        table = Path(root, TABLE)
        rows = list(_rows_of(table))
        numbered = {number for _, _, number, _ in rows if number is not None}
        names = {}
        for line, _, number, name in rows:
            key = name if number is None else number
            if names.setdefault(key, name) != name:
                raise DataError(f"{table}, line {line}: class {number} is {name!r} here and {names[key]!r} before")
        keys = sorted(names) if numbered else list(names)
        self.classes = [names[key] if names[key] is not None else f"class {key}" for key in keys]
        self.class_numbers = np.array(keys, np.int64) if numbered else None
        place = {key: k for k, key in enumerate(keys)}
        self.paths, self.skipped, labels = [], [], []
        for _, file, number, name in rows:
            path = os.path.join(root, file)
            if not is_image_name(path) or not os.path.exists(path):
                self.skipped.append((path, NO_FILE if is_image_name(path) else NO_PICTURE))
                continue
            self.paths.append(path)
            labels.append(place[name if number is None else number])
        if not labels:
            raise DataError(f"{table}: none of the {len(rows)} pictures listed is there; the first: {self.skipped[0][0]}")
        self.labels = np.array(labels, np.int64)


def _rows_of(table):
    """Yield (line, file, number or None, name or None) for every picture of a table."""
    lines = [(number, [cell.strip() for cell in line.split("\t")]) for number, line in text_lines(table)]
    if not lines:
        raise DataError(f"{table}: the table is empty")
    columns, lines = _columns(table, lines)
    width, first = max(columns.values()) + 1, {}
    for line, cells in lines:
        if len(cells) < width or not all(cells[column] for column in columns.values()):
            raise DataError(f"{table}, line {line}: expected {', '.join(columns)} between tabs, got {' | '.join(cells)!r}")
        file, number = cells[columns["file"]], None
        before = first.setdefault(os.path.normpath(file), line)
        if before != line:
            raise DataError(f"{table}, line {line}: {file} stands there twice, first in line {before}")
        if "index" in columns:
            number = cells[columns["index"]]
            if not _whole(number):
                raise DataError(f"{table}, line {line}: a class's number is whole, from 0, got {number!r}")
            number = int(number)
        name = cells[columns["name"]] if "name" in columns else cells[columns["wnid"]] if "wnid" in columns else None
        yield line, file, number, name


def _columns(table, lines):
    """Return {what: column} of what a table tells, and its lines without the header."""
    header, columns = [cell.lower() for cell in lines[0][1]], {"file": 0, "name": 1}
    if set(header) & set(FILES):
        numbers = [cell for cell in header if cell.endswith("index")]
        known = {"file": FILES, "index": numbers, "wnid": ("wnid",), "name": NAMES}
        columns = {what: next(header.index(word) for word in words if word in header)
                   for what, words in known.items() if set(words) & set(header)}
        if len(columns) == 1:
            raise DataError(f"{table}, line {lines[0][0]}: no column tells the class: name one index, wnid or name")
        lines = lines[1:]
        if not lines:
            raise DataError(f"{table}: there is no picture below the header")
    name = columns.get("name")
    if name is not None and "index" not in columns and all(len(cells) > name and _whole(cells[name]) for _, cells in lines):
        columns["index"] = columns.pop("name")
    return columns, lines


def _whole(text):
    """Tell whether a text is a class's number."""
    return text.isascii() and text.isdecimal() and len(text) < 10

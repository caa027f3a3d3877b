"""Folders of classes, and opening whichever layout a folder has."""

import os
from pathlib import Path

import numpy as np

from ..errors import DataError
from .dataset import NO_PICTURE, ImageFiles, files_below, hidden
from .images import is_image_name


class ImageFolder(ImageFiles):
    """The folder `root` with one subfolder a class: classes by folder name, sorted, pictures at any depth below.

    Hidden files and folders are ignored. A file without a picture's suffix is left out and stands in `skipped`, a list
    of (path, reason); a damaged picture is found only when it is read. Raises DataError for a folder that is missing,
    has fewer than two classes, or a class without pictures. leave_out: names of subfolders that are no classes.
    """

    def __init__(self, root, leave_out=()):
        folders = [folder for folder in class_folders(root) if folder.name not in leave_out]
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
            some = few(empty)
            raise DataError(f"{root}: no pictures in {len(empty)} of {len(counts)} class folders ({some}); remove them")
        self.labels = np.repeat(np.arange(len(counts)), counts).astype(np.int64)


def class_folders(root):
    """List the visible subfolders of `root`, sorted by name."""
    try:
        names = sorted(entry.name for entry in os.scandir(root) if entry.is_dir() and not hidden(entry.name))
    except OSError as error:
        raise DataError(f"cannot open the folder {root}: {error.strerror or error}") from error
    return [Path(root, name) for name in names]


def few(names):
    shown = ", ".join(names[:5]) or "none"
    return shown if len(names) <= 5 else f"{shown} and {len(names) - 5} more"

"""Data sets by name: a folder on the disk in whichever layout it has, or drawn sketches."""

from pathlib import Path

from ..errors import DataError
from .layouts import open_dataset

SKETCHES = 7000                     # how many are drawn where nobody says


def open_named(name, val_fraction=0.1, seed=0):
    """Return (train, val) of a folder, or of drawn sketches: "sketches", or "sketches:20000" for as many.

    val_fraction and seed split a plain folder of classes; see `open_dataset`. Raises DataError for what is neither.
    """
    kind, _, count = str(name).partition(":")
    if kind != "sketches" or Path(kind).is_dir():
        return open_dataset(name, val_fraction, seed)
    if count and not count.isdecimal():
        raise DataError(f"sketches:N takes a number of images, got {count!r}")
    count = int(count) if count else SKETCHES
    if count < 2:
        raise DataError(f"sketches:N takes at least 2 images, one to train on and one to validate, got {count}")
    val = max(1, round(count / 7))
    from . import sketches  # only when asked for: a program that trains on photographs does not draw

    # Validation has a seed of its own: no count, smaller or larger, brings an image of one part into the other.
    return sketches.load(count - val, seed=0), sketches.load(val, seed=1)

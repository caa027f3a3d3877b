"""What a report is asked to show, and what its parts share while it is made."""

import os
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from .. import graph
from ..graph import convolutions


@dataclass(frozen=True)
class Settings:
    """What to show: see `zfnumpy report --help`.

    layers: those with a page. maps: how many of each (None: as many as the page has room for). pictures: how many
    pictures get a page, or `picked`: which. count: how many pictures of the data are searched. truth: whether to make the
    truth table, of `tested` pictures. top: how many units a map. command: the command line that made the report.
    """

    layers: tuple
    maps: int | None = None
    pictures: int = 6
    picked: tuple | None = None
    count: int | None = None
    truth: bool = True
    tested: int = 10
    top: int = 9
    batch: int = 32
    seed: int = 0
    command: tuple = ()


class Shown(NamedTuple):
    """A picture with a page: its name, its place in the data, its pixels as the network sees it (H, W, 3) uint8, the
    prepared x (1, 3, H, W), the true class of the network's (None: not one of its) and the true class's name; box: the
    true one, x0, y0, x1, y1 in pixels of the crop, or None."""

    name: str
    index: int
    pixels: np.ndarray
    x: np.ndarray
    label: int | None
    truth: str
    box: tuple | None


def plain(text):
    """Return a name as text that every file can hold, whatever bytes it came from."""
    return str(text).encode("utf-8", "backslashreplace").decode()


def readable(name):
    """Return the name of a picture without its folders."""
    return plain(os.path.basename(str(name)))


def class_names(net):
    """Return the network's class names as text for every file, "class 0", … where it has none."""
    return [plain(name) for name in graph.class_names(net)]


def some_layers(net, count=3):
    """Return up to `count` convolutions of a network, evenly spread, the last among them."""
    names = convolutions(net)
    places = sorted({round((k + 1) * len(names) / count) - 1 for k in range(count)}) if names else []
    return [names[place] for place in places if place >= 0]


def text_of_shape(shape):
    return " × ".join(map(str, shape))

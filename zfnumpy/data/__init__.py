"""Pictures, data sets, and the batches a network learns from; `sketches` draws a set that needs no download."""

import importlib

from .caltech import Caltech
from .cub import Cub200
from .dataset import ImageArray
from .folders import ImageFolder
from .images import is_image_name, load_image
from .labelled import LabelledFolder
from .layouts import open_dataset
from .loader import Loader
from .named import open_named
from .tiny_imagenet import TinyImageNet
from .transforms import Augment, Preprocessing, mean_colour, mean_image
from .voc import Voc2012

__all__ = [
    "Augment",
    "Caltech",
    "Cub200",
    "ImageArray",
    "ImageFolder",
    "LabelledFolder",
    "Loader",
    "Preprocessing",
    "TinyImageNet",
    "Voc2012",
    "is_image_name",
    "load_image",
    "mean_colour",
    "mean_image",
    "open_dataset",
    "open_named",
    "sketches",
]


def __getattr__(name):
    if name == "sketches":  # imported when asked for: a program that trains on photographs does not draw
        return importlib.import_module(".sketches", __name__)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")

"""What several architectures are made of, and how a network's inputs are scaled.

Two ways to start (`init`): "paper", weights from N(0, 1e-2²) for inputs of about ±128, trained with the filter
renormalization; "he", N(0, 2/fan_in) for inputs scaled to about ±1, without it. Each model takes preprocessing to match.
"""

from dataclasses import replace

import numpy as np

from ..checkpoint import read_arrays, set_params
from ..data.transforms import Preprocessing
from ..errors import ShapeError
from ..layers import Conv2d, Dropout, Flatten, Linear, ReLU

IMAGENET_MEAN = (122.68, 116.779, 103.939)         # red, green, blue, of 0 to 255


def preprocessing_of(resize, crop, init, mean=IMAGENET_MEAN):
    scale = 1.0 if init == "paper" else 1 / 128
    return Preprocessing(resize, crop, np.array(mean, np.float32), scale)


def classifier(maps, fc, num_classes, dropout):
    """Return the fully connected nodes from `maps`' number on: fc6, fc7, … with ReLU and dropout, then the scores."""
    nodes, index = [("flatten", Flatten())], maps + 1
    for width in fc:
        nodes += [(f"fc{index}", Linear(width)), (f"relu{index}", ReLU())]
        nodes += [(f"drop{index}", Dropout(dropout))] if dropout else []
        index += 1
    return [*nodes, (f"fc{index}", Linear(num_classes))]


def convs(widths, start, groups=None):
    """Return (name, layer) pairs of 3×3 convolutions with ReLU, numbered from `start`; a width of 0 leaves one out."""
    nodes = []
    for i, width in enumerate(widths, start):
        if width:
            nodes += [(f"conv{i}", Conv2d(width, 3, pad=1, groups=(groups or {}).get(i, 1))), (f"relu{i}", ReLU())]
    return nodes


def five(conv, name):
    if len(conv) != 5 or not conv[0] or not conv[1]:
        raise ShapeError(f"{name}: conv must give five widths, the first two above 0, got {tuple(conv)}")
    return conv


def rescale_input(net, factor):
    """Multiply a network's inputs by `factor` and divide its first filters by it: the same scores from the same images.

    What changes is training: the first layer then moves factor² times as far in proportion, and its filters outgrow the
    noise that they start from in a few epochs.
    """
    if not 0 < factor < float("inf"):
        raise ShapeError(f"the input's scale must be multiplied by a number above 0, got {factor}")
    first = next(iter(net.nodes))
    if f"{first}.weight" not in net.params or net.preprocessing is None:
        raise ShapeError(f"{net.name} needs a first layer with weights and a preprocessing to rescale its input")
    net.params[f"{first}.weight"][...] /= factor
    net.preprocessing = replace(net.preprocessing, scale=net.preprocessing.scale * factor)


def with_weights(net, path):
    if path is not None:
        set_params(net, read_arrays(path), path)
    return net

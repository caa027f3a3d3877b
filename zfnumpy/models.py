"""Architectures: each a list of nodes, with the input scale it expects.

Two ways to start (`init`): "paper", weights from N(0, 1e-2²) for inputs of about ±128, trained with the filter
renormalization; "he", N(0, 2/fan_in) for inputs scaled to about ±1, without it. Each model takes preprocessing to match.
"""

from dataclasses import replace

import numpy as np

from .checkpoint import read_arrays, set_params
from .data.transforms import Preprocessing
from .errors import ShapeError
from .layers import (
    Concatenate,
    Conv2d,
    Dropout,
    Flatten,
    GlobalAvgPool,
    Linear,
    LocalResponseNorm,
    MaxPool2d,
    ReLU,
)
from .network import Network

IMAGENET_MEAN = (122.68, 116.779, 103.939)         # red, green, blue, of 0 to 255


def _preprocessing(resize, crop, init, mean=IMAGENET_MEAN):
    scale = 1.0 if init == "paper" else 1 / 128
    return Preprocessing(resize, crop, np.array(mean, np.float32), scale)


def _classifier(maps, fc, num_classes, dropout):
    """Return the fully connected nodes from `maps`' number on: fc6, fc7, … with ReLU and dropout, then the scores."""
    nodes, index = [("flatten", Flatten())], maps + 1
    for width in fc:
        nodes += [(f"fc{index}", Linear(width)), (f"relu{index}", ReLU())]
        nodes += [(f"drop{index}", Dropout(dropout))] if dropout else []
        index += 1
    return [*nodes, (f"fc{index}", Linear(num_classes))]


def _convs(widths, start, groups=None):
    """Return (name, layer) pairs of 3×3 convolutions with ReLU, numbered from `start`; a width of 0 leaves one out."""
    nodes = []
    for i, width in enumerate(widths, start):
        if width:
            nodes += [(f"conv{i}", Conv2d(width, 3, pad=1, groups=(groups or {}).get(i, 1))), (f"relu{i}", ReLU())]
    return nodes


def _five(conv, name):
    if len(conv) != 5 or not conv[0] or not conv[1]:
        raise ShapeError(f"{name}: conv must give five widths, the first two above 0, got {tuple(conv)}")
    return conv


def zfnet(num_classes=1000, ops=None, seed=0, dtype="float32", init="he", conv=(96, 256, 384, 384, 256),
          fc=(4096, 4096), dropout=0.5):
    """Return the ZFNet of Zeiler & Fergus (sec. 2, fig. 3) for (N, 3, 224, 224).

    `conv` gives the maps of conv1 to conv5 (0 leaves one of the last three out) and `fc` the widths of the layers
    before the scores (() leaves them out): the paper's ablations. About 62 M parameters as it stands. Expects RGB minus
    the mean, of about ±128 with init="paper" and divided by 128 with "he".
    """
    c = _five(conv, "zfnet")
    nodes = [
        ("conv1", Conv2d(c[0], 7, stride=2, pad=1)), ("relu1", ReLU()), ("pool1", MaxPool2d(3, 2, 1)),
        ("norm1", LocalResponseNorm()),
        ("conv2", Conv2d(c[1], 5, stride=2)), ("relu2", ReLU()), ("pool2", MaxPool2d(3, 2, 1)),
        ("norm2", LocalResponseNorm()),
        *_convs(c[2:], 3),
        ("pool5", MaxPool2d(3, 2)),
        *_classifier(5, fc, num_classes, dropout),
    ]
    return Network(nodes, (3, 224, 224), ops, seed, dtype, init, "zfnet", _preprocessing(256, 224, init))


def alexnet(num_classes=1000, ops=None, seed=0, dtype="float32", init="he", conv=(96, 256, 384, 384, 256),
            fc=(4096, 4096), dropout=0.5, groups=2):
    """Return Krizhevsky's network, which the ZFNet paper starts from, for (N, 3, 227, 227).

    conv1 has 11×11 filters at stride 4; conv2, conv4 and conv5 see half of the maps each (`groups` 1: all, as the
    paper's replication). Contrast normalization comes before pooling. Inputs as for `zfnet`.
    """
    c = _five(conv, "alexnet")
    nodes = [
        ("conv1", Conv2d(c[0], 11, stride=4)), ("relu1", ReLU()), ("norm1", LocalResponseNorm()),
        ("pool1", MaxPool2d(3, 2)),
        ("conv2", Conv2d(c[1], 5, pad=2, groups=groups)), ("relu2", ReLU()), ("norm2", LocalResponseNorm()),
        ("pool2", MaxPool2d(3, 2)),
        *_convs(c[2:], 3, {4: groups, 5: groups}),
        ("pool5", MaxPool2d(3, 2)),
        *_classifier(5, fc, num_classes, dropout),
    ]
    return Network(nodes, (3, 227, 227), ops, seed, dtype, init, "alexnet", _preprocessing(256, 227, init))


def zfnet_mini(num_classes=10, ops=None, seed=0, dtype="float32", init="he", conv=(64, 128, 192, 192, 128),
               fc=(512, 512), dropout=0.5):
    """Return a ZFNet for 64×64 images: the same layers in the same order, over smaller maps.

    conv1 7×7 stride 2 to 32×32, pool1 to 16×16, conv2 5×5, pool2 to 8×8, conv3 to conv5 3×3, pool5 to 4×4. About
    2.3 M parameters. Inputs as for `zfnet`.
    """
    c = _five(conv, "zfnet_mini")
    nodes = [
        ("conv1", Conv2d(c[0], 7, stride=2, pad=3)), ("relu1", ReLU()), ("pool1", MaxPool2d(3, 2, 1)),
        ("norm1", LocalResponseNorm()),
        ("conv2", Conv2d(c[1], 5, pad=2)), ("relu2", ReLU()), ("pool2", MaxPool2d(3, 2, 1)),
        ("norm2", LocalResponseNorm()),
        *_convs(c[2:], 3),
        ("pool5", MaxPool2d(3, 2, 1)),
        *_classifier(5, fc, num_classes, dropout),
    ]
    return Network(nodes, (3, 64, 64), ops, seed, dtype, init, "zfnet_mini", _preprocessing(64, 64, init))


TINY_VGG_CLASSES = ("lifeboat", "ladybug", "pizza", "bell pepper", "school bus", "koala", "espresso", "red panda",
                    "orange", "sports car")


def tiny_vgg(num_classes=10, ops=None, seed=0, dtype="float32", init="he", weights=None):
    """Return CNN Explainer's Tiny VGG for (N, 3, 64, 64): twice (conv 3×3, ReLU) × 2 and a 2×2 max pool, then the scores.

    `weights`: its .npz or .safetensors file. Expects RGB divided by 255.
    """
    nodes = []
    for block in (1, 2):
        for i in (1, 2):
            nodes += [(f"conv{block}_{i}", Conv2d(10, 3)), (f"relu{block}_{i}", ReLU())]
        nodes.append((f"pool{block}", MaxPool2d(2)))
    nodes += [("flatten", Flatten()), ("fc", Linear(num_classes))]
    return _with_weights(
        Network(nodes, (3, 64, 64), ops, seed, dtype, init, "tiny_vgg",
                Preprocessing(64, 64, np.zeros(3, np.float32), 1 / 255),
                TINY_VGG_CLASSES if weights is not None and num_classes == 10 else None), weights)


def squeezenet1_1(num_classes=1000, ops=None, seed=0, dtype="float32", init="he", weights=None):
    """Return SqueezeNet v1.1 (Iandola et al., 1602.07360) for (N, 3, 227, 227): a graph with branches, eight Fire modules.

    `weights`: its .npz or .safetensors file. Expects BGR minus (103.939, 116.779, 123.68), of about ±128.
    """
    pool = {"size": 3, "stride": 2, "ceil_mode": True}
    nodes = [("conv1", Conv2d(64, 3, stride=2)), ("relu1", ReLU()), ("pool1", MaxPool2d(**pool))]
    for number, squeeze, expand in ((2, 16, 64), (3, 16, 64), (4, 32, 128), (5, 32, 128),
                                    (6, 48, 192), (7, 48, 192), (8, 64, 256), (9, 64, 256)):
        nodes += _fire(f"fire{number}", squeeze, expand)
        if number in (3, 5):
            nodes.append((f"pool{number}", MaxPool2d(**pool)))
    nodes += [("drop9", Dropout(0.5)), ("conv10", Conv2d(num_classes, 1)), ("relu10", ReLU()), ("pool10", GlobalAvgPool())]
    mean = np.array((103.939, 116.779, 123.68), np.float32)
    return _with_weights(
        Network(nodes, (3, 227, 227), ops, seed, dtype, init, "squeezenet1_1",
                Preprocessing(256, 227, mean, 1.0, "BGR")), weights)


def _fire(name, squeeze, expand):
    squeezed, small, large = f"{name}.relu_squeeze1x1", f"{name}.relu_expand1x1", f"{name}.relu_expand3x3"
    return [
        (f"{name}.squeeze1x1", Conv2d(squeeze, 1)), (squeezed, ReLU()),
        (f"{name}.expand1x1", Conv2d(expand, 1), squeezed), (small, ReLU()),
        (f"{name}.expand3x3", Conv2d(expand, 3, pad=1), squeezed), (large, ReLU()),
        (name, Concatenate(), (small, large)),
    ]


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


def _with_weights(net, path):
    if path is not None:
        set_params(net, read_arrays(path), path)
    return net

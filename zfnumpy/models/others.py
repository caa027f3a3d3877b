"""Networks whose trained weights can be had: Tiny VGG and SqueezeNet."""

import numpy as np

from ..data.transforms import Preprocessing
from ..layers import Concatenate, Conv2d, Dropout, Flatten, GlobalAvgPool, Linear, MaxPool2d, ReLU
from ..network import Network
from .parts import with_weights

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
    return with_weights(
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
    return with_weights(
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

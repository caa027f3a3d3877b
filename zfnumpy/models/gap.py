"""Networks that localize: global average pooling over their last maps, and one linear layer (Zhou et al., 1512.04150).

What stands between the maps and the scores is an average and a sum, so every place of the maps says how much it adds to
each score: the class activation map (visualize.cam). Layers above that would leave the maps few places are left out.
"""

from ..errors import NodeError
from ..graph import last_maps
from ..layers import (
    Concatenate,
    Conv2d,
    Dropout,
    GlobalAvgPool,
    Linear,
    LocalResponseNorm,
    MaxPool2d,
    ReLU,
)
from ..network import Network
from .parts import five, preprocessing_of
from .zeiler import alexnet_maps


def gap_nodes(num_classes, maps=None, dropout=0):
    """Return the nodes of a head: a 3×3 convolution with `maps` maps (None: none), the average of each, the scores."""
    nodes = [("cam_conv", Conv2d(maps, 3, pad=1)), ("cam_relu", ReLU())] if maps else []
    nodes.append(("gap", GlobalAvgPool()))
    nodes += [("cam_drop", Dropout(dropout))] if dropout else []
    return [*nodes, ("cam_fc", Linear(num_classes))]


def gap_head(net, num_classes, at=None, maps=None, dropout=0, freeze=False, seed=0, classes=None):
    """Return a new network: all that leads to the maps of the node `at` of `net`, weights copied, and a GAP head.

    at: by default the last maps (graph.last_maps), before a pool makes them small; a lower one has more places. maps:
    those of an extra 3×3 convolution with ReLU, as in the paper (1024 there). freeze: train the head alone. `seed` draws
    the head's weights. NodeError where `at` gives no maps.
    """
    at = last_maps(net) if at is None else net.node(at).name
    if len(net.shapes[at]) != 3:
        raise NodeError(f"a head for class activation maps stands on maps (C, H, W); {at} of {net.name} gives "
                        f"{net.shapes[at][0]} features, {last_maps(net)} gives maps")
    trunk = net.nodes_to(at)
    head = Network([*trunk, *gap_nodes(num_classes, maps, dropout)], net.input_shape, net.ops, seed, net.dtype, net.init,
                   f"{net.name.removesuffix('_gap')}_gap", net.preprocessing, classes)
    below = {name for name, _, _ in trunk}
    for name, value in net.params.items():
        if name.rpartition(".")[0] in below:
            head.params[name] = value
    if freeze:
        head.freeze([name for name, layer, _ in trunk if layer.params])
    return head


def alexnet_gap(num_classes=1000, ops=None, seed=0, dtype="float32", init="he", conv=(96, 256, 384, 384, 256),
                dropout=0, groups=2, maps=1024):
    """Return AlexNet-GAP (Zhou et al., sec. 3): `models.alexnet` to conv5, then a head over maps of 13×13 places.

    For (N, 3, 227, 227). maps: those of the 3×3 convolution of the head, None for none. dropout: before the scores.
    Inputs as for `zfnet`.
    """
    nodes = [*alexnet_maps(five(conv, "alexnet_gap"), groups), *gap_nodes(num_classes, maps, dropout)]
    return Network(nodes, (3, 227, 227), ops, seed, dtype, init, "alexnet_gap", preprocessing_of(256, 227, init))


def googlenet_gap(num_classes=1000, ops=None, seed=0, dtype="float32", init="he", dropout=0, maps=1024):
    """Return GoogLeNet-GAP (Zhou et al., sec. 3): GoogLeNet to inception 4e, then a head over maps of 14×14 places.

    For (N, 3, 224, 224). The layers are those of Szegedy et al. (1409.4842, table 1); pools round up, and contrast
    normalization has k 1 and alpha 1e-4, as in the model that its authors published, since the paper gives neither.
    maps, dropout: as for `alexnet_gap`. Inputs as for `zfnet`.
    """
    norm, pool = {"size": 5, "alpha": 1e-4, "k": 1.0}, {"size": 3, "stride": 2, "ceil_mode": True}
    nodes = [
        ("conv1", Conv2d(64, 7, stride=2, pad=3)), ("relu1", ReLU()), ("pool1", MaxPool2d(**pool)),
        ("norm1", LocalResponseNorm(**norm)),
        ("reduce2", Conv2d(64, 1)), ("relu_reduce2", ReLU()), ("conv2", Conv2d(192, 3, pad=1)), ("relu2", ReLU()),
        ("norm2", LocalResponseNorm(**norm)), ("pool2", MaxPool2d(**pool)),
        *_inception("inception3a", "pool2", 64, 96, 128, 16, 32, 32),
        *_inception("inception3b", "inception3a", 128, 128, 192, 32, 96, 64),
        ("pool3", MaxPool2d(**pool)),
        *_inception("inception4a", "pool3", 192, 96, 208, 16, 48, 64),
        *_inception("inception4b", "inception4a", 160, 112, 224, 24, 64, 64),
        *_inception("inception4c", "inception4b", 128, 128, 256, 24, 64, 64),
        *_inception("inception4d", "inception4c", 112, 144, 288, 32, 64, 64),
        *_inception("inception4e", "inception4d", 256, 160, 320, 32, 128, 128),
        *gap_nodes(num_classes, maps, dropout),
    ]
    return Network(nodes, (3, 224, 224), ops, seed, dtype, init, "googlenet_gap", preprocessing_of(256, 224, init))


def _inception(name, below, ones, reduce3, threes, reduce5, fives, pooled):
    """Return the nodes of an Inception module: four branches over the same maps, joined; widths as in the paper's table."""
    def conv(part, width, size, source):
        layer = Conv2d(width, size, pad=size // 2)
        return [(f"{name}.{part}", layer, source), (f"{name}.relu_{part}", ReLU())]

    return [
        *conv("conv1x1", ones, 1, below),
        *conv("reduce3x3", reduce3, 1, below), *conv("conv3x3", threes, 3, f"{name}.relu_reduce3x3"),
        *conv("reduce5x5", reduce5, 1, below), *conv("conv5x5", fives, 5, f"{name}.relu_reduce5x5"),
        (f"{name}.pool", MaxPool2d(3, 1, 1), below), *conv("pool_conv", pooled, 1, f"{name}.pool"),
        (name, Concatenate(), [f"{name}.relu_{part}" for part in ("conv1x1", "conv3x3", "conv5x5", "pool_conv")]),
    ]

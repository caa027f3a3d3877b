"""The networks of Zeiler & Fergus: theirs, the one they start from, and theirs for small images."""

from ..layers import Conv2d, LocalResponseNorm, MaxPool2d, ReLU
from ..network import Network
from .parts import classifier, convs, five, preprocessing_of


def zfnet(num_classes=1000, ops=None, seed=0, dtype="float32", init="he", conv=(96, 256, 384, 384, 256),
          fc=(4096, 4096), dropout=0.5):
    """Return the ZFNet of Zeiler & Fergus (sec. 2, fig. 3) for (N, 3, 224, 224).

    `conv` gives the maps of conv1 to conv5 (0 leaves one of the last three out) and `fc` the widths of the layers
    before the scores (() leaves them out): the paper's ablations. About 62 M parameters as it stands. Expects RGB minus
    the mean, of about ±128 with init="paper" and divided by 128 with "he".
    """
    c = five(conv, "zfnet")
    nodes = [
        ("conv1", Conv2d(c[0], 7, stride=2, pad=1)), ("relu1", ReLU()), ("pool1", MaxPool2d(3, 2, 1)),
        ("norm1", LocalResponseNorm()),
        ("conv2", Conv2d(c[1], 5, stride=2)), ("relu2", ReLU()), ("pool2", MaxPool2d(3, 2, 1)),
        ("norm2", LocalResponseNorm()),
        *convs(c[2:], 3),
        ("pool5", MaxPool2d(3, 2)),
        *classifier(5, fc, num_classes, dropout),
    ]
    return Network(nodes, (3, 224, 224), ops, seed, dtype, init, "zfnet", preprocessing_of(256, 224, init))


def alexnet(num_classes=1000, ops=None, seed=0, dtype="float32", init="he", conv=(96, 256, 384, 384, 256),
            fc=(4096, 4096), dropout=0.5, groups=2):
    """Return Krizhevsky's network, which the ZFNet paper starts from, for (N, 3, 227, 227).

    conv1 has 11×11 filters at stride 4; conv2, conv4 and conv5 see half of the maps each (`groups` 1: all, as the
    paper's replication). Contrast normalization comes before pooling. Inputs as for `zfnet`.
    """
    nodes = [*alexnet_maps(five(conv, "alexnet"), groups), ("pool5", MaxPool2d(3, 2)),
             *classifier(5, fc, num_classes, dropout)]
    return Network(nodes, (3, 227, 227), ops, seed, dtype, init, "alexnet", preprocessing_of(256, 227, init))


def zfnet_mini(num_classes=10, ops=None, seed=0, dtype="float32", init="he", conv=(64, 128, 192, 192, 128),
               fc=(512, 512), dropout=0.5):
    """Return a ZFNet for 64×64 images: the same layers in the same order, over smaller maps.

    conv1 7×7 stride 2 to 32×32, pool1 to 16×16, conv2 5×5, pool2 to 8×8, conv3 to conv5 3×3, pool5 to 4×4. About
    2.3 M parameters. Inputs as for `zfnet`.
    """
    five(conv, "zfnet_mini")
    return _mini("zfnet_mini", Conv2d(conv[0], 7, stride=2, pad=3), MaxPool2d(3, 2, 1), num_classes, ops, seed, dtype, init,
                 conv, fc, dropout)


def alexnet_mini(num_classes=10, ops=None, seed=0, dtype="float32", init="he", conv=(64, 128, 192, 192, 128),
                 fc=(512, 512), dropout=0.5):
    """Return `zfnet_mini` with the first layer of Krizhevsky's network: 11×11 filters at stride 4.

    conv1 gives 16×16 maps, and pool1 keeps that grid (stride 1), so that conv2 and all above it work on maps of the same
    sizes as in zfnet_mini: the two differ in the first layer alone. Inputs as for `zfnet`.
    """
    five(conv, "alexnet_mini")
    return _mini("alexnet_mini", Conv2d(conv[0], 11, stride=4, pad=5), MaxPool2d(3, 1, 1), num_classes, ops, seed, dtype,
                 init, conv, fc, dropout)


def _mini(name, first, pool, num_classes, ops, seed, dtype, init, conv, fc, dropout):
    """Return a network for 64×64 images from a first layer and its pool, which together give 16×16 maps."""
    nodes = [
        ("conv1", first), ("relu1", ReLU()), ("pool1", pool), ("norm1", LocalResponseNorm()),
        ("conv2", Conv2d(conv[1], 5, pad=2)), ("relu2", ReLU()), ("pool2", MaxPool2d(3, 2, 1)),
        ("norm2", LocalResponseNorm()),
        *convs(conv[2:], 3),
        ("pool5", MaxPool2d(3, 2, 1)),
        *classifier(5, fc, num_classes, dropout),
    ]
    return Network(nodes, (3, 64, 64), ops, seed, dtype, init, name, preprocessing_of(64, 64, init))


def alexnet_maps(conv, groups):
    """Return alexnet's nodes from the image to relu5, with five widths of convolutions."""
    return [("conv1", Conv2d(conv[0], 11, stride=4)), ("relu1", ReLU()), ("norm1", LocalResponseNorm()),
            ("pool1", MaxPool2d(3, 2)),
            ("conv2", Conv2d(conv[1], 5, pad=2, groups=groups)), ("relu2", ReLU()), ("norm2", LocalResponseNorm()),
            ("pool2", MaxPool2d(3, 2)),
            *convs(conv[2:], 3, {4: groups, 5: groups})]

"""Hand-made networks and pictures that several studies' tests share."""

import numpy as np

from zfnumpy import get_ops
from zfnumpy.data import ImageArray, Preprocessing
from zfnumpy.layers import Conv2d, GlobalAvgPool, Linear, ReLU
from zfnumpy.network import Network

NUMPY = get_ops("numpy")


def colours(side, first=((1, 0, 0), (0, 1, 0)), second=None, classes=2, stride=1):
    """A network of 1×1 convolutions: conv1 mixes colours by `first` (F, 3), conv2 its maps by `second`; averages, scores.

    Inputs are the pictures' values as they are, 0 to 255; biases are zero.
    """
    nodes = [("conv1", Conv2d(len(first), 1, stride=stride)), ("relu1", ReLU())]
    nodes += [("conv2", Conv2d(len(second), 1)), ("relu2", ReLU())] if second is not None else []
    net = Network([*nodes, ("gap", GlobalAvgPool()), ("fc", Linear(classes))], (3, side, side), NUMPY,
                  preprocessing=Preprocessing(side, side, np.zeros(3)), classes=[f"c{k}" for k in range(classes)])
    for name, weight in (("conv1", first), ("conv2", second)):
        if weight is not None:
            net.params[f"{name}.weight"] = np.array(weight, np.float32)[:, :, None, None]
    return net


def painted(values, side):
    """Pictures (N, side, side, 3), each of one colour of values (N, 3)."""
    return np.broadcast_to(np.array(values, np.uint8)[:, None, None], (len(values), side, side, 3)).copy()


def pictures(values, labels, side=4, classes=2):
    """A data set of pictures of one colour each."""
    return ImageArray(painted(values, side), np.array(labels), [f"c{k}" for k in range(classes)])

"""The first layer's filters as pictures."""

import numpy as np

from ..errors import NodeError
from ..layers import Conv2d


def filter_images(net, layer=None):
    """Return the filters of a convolution that sees colours (default: the first) as pictures, uint8 (F, KH, KW, 3).

    Each filter is scaled by its own largest magnitude, zero to middle grey, so that all of them show.
    """
    first = next(name for name, node in net.nodes.items() if isinstance(node.layer, Conv2d))
    name = layer or first
    weight = net.params.get(f"{net.node(name).name}.weight")
    if weight is None or weight.ndim != 4 or weight.shape[1] != 3:
        raise NodeError(f"{name} has no filters over three colours; {first} has")
    w = net.ops.to_numpy(weight)
    if net.preprocessing is not None and net.preprocessing.order == "BGR":
        w = w[:, ::-1]
    return signed_images(w)


def signed_images(r):
    """Map signed arrays (N, 3, H, W) to pictures uint8 (N, H, W, 3): zero is middle grey, each scaled by its own extreme."""
    extreme = np.abs(r).max(axis=(1, 2, 3), keepdims=True)
    unit = r / np.where(extreme > 0, extreme, 1)
    return (127.5 + 127.5 * unit).round().astype(np.uint8).transpose(0, 2, 3, 1)

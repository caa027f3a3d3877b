"""The first layer's filters."""

from ..errors import NodeError
from ..graph import convolutions


def colour_filters(net, layer=None):
    """Return the filters of a convolution that sees colours (default: the first), in RGB: (F, 3, KH, KW), NumPy."""
    first = next(iter(convolutions(net)), None)
    if first is None:
        raise NodeError(f"{net.name} has no convolution, and so no filters to show")
    name = net.node(layer or first).name
    weight = net.params.get(f"{name}.weight")
    if weight is None or weight.ndim != 4 or weight.shape[1] != 3:
        raise NodeError(f"{name} has no filters over three colours; {first} has")
    weight = net.ops.to_numpy(weight)
    return weight if net.preprocessing is None else net.preprocessing.in_rgb(weight)

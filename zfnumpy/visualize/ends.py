"""Where a network's upper end begins: the node that makes the class scores, and the last hidden layer below it."""

from ..errors import NodeError
from ..graph import INPUT
from ..layers import Dropout, Flatten, GlobalAvgPool, ReLU


def scores_node(net):
    """Return the name of the node that makes the class scores, before a ReLU and an average that may follow it.

    The last fully connected layer of most networks. Where a convolution's maps are rectified and averaged into the scores
    (SqueezeNet's conv10), it is that convolution: its maps have a gradient for a class that is nowhere in the image.
    """
    return _below(net, net.output, (ReLU, GlobalAvgPool))


def last_hidden(net):
    """Return the name of the layer whose values the scores are computed from, past dropout and flattening.

    ZFNet's relu7, SqueezeNet's fire9. NodeError where the scores are computed from the pixels.
    """
    name = scores_node(net)
    name = _below(net, net.nodes[name].inputs[0], (Dropout, Flatten)) if name in net.nodes else INPUT
    if name == INPUT:
        raise NodeError(f"{net.name} computes its scores from the pixels: it has no hidden layer; name a layer")
    return name


def averaged_above(net, layer):
    """Tell whether the maps of `layer` lead to a global average, so that where in the image something is does not count."""
    reached = {net.node(layer).name}
    for node in net.nodes.values():
        if reached & set(node.inputs):
            reached.add(node.name)
            if isinstance(node.layer, GlobalAvgPool):
                return True
    return False


def _below(net, name, kinds):
    """Go down from a node past layers of these kinds."""
    while name in net.nodes and isinstance(net.nodes[name].layer, kinds):
        name = net.nodes[name].inputs[0]
    return name

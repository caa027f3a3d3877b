"""What a network is made of beside its layers: named nodes in order, parameters by name, and the tape of a pass."""

from typing import NamedTuple

from .errors import NodeError, ShapeError
from .layers import Concatenate, Conv2d, Layer, ReLU

INPUT = "input"


class Node(NamedTuple):
    name: str
    layer: Layer
    inputs: tuple


class Tape:
    """What one forward pass left for the way back: each node's cache, and the node outputs that those caches hold."""

    def __init__(self, x):
        self.caches = {}
        self.values = {INPUT: x}

    def cache(self, name):
        """Return a node's cache; NodeError where the pass did not go that far."""
        if name not in self.caches:
            raise NodeError(f"this tape ends at {next(reversed(self.caches))}, below {name}; make one with net.forward(x)")
        return self.caches[name]

    def drop(self, name):
        """Forget a node's cache and output."""
        self.caches.pop(name, None)
        if name != INPUT:
            self.values.pop(name, None)

    @property
    def batch(self):
        """The number of images N of the pass."""
        return self.values[INPUT].shape[0]


class Parameters(dict):
    """{"conv1.weight": array, …}; assigning to a name writes into its array, which is the layer's own."""

    def __init__(self, ops):
        super().__init__()
        self._ops = ops

    def __setitem__(self, name, value):
        if name not in self:
            raise NodeError(f"there is no parameter {name!r}; there are {', '.join(self)}")
        value = self._ops.asarray(value, dtype=self[name].dtype)
        if value.shape != self[name].shape:
            raise ShapeError(f"{name} has shape {self[name].shape}, got {value.shape}")
        self[name][...] = value


def named_nodes(nodes):
    """Return {name: Node} of a list of (name, layer[, inputs]), each input being an earlier node."""
    found, before = {}, INPUT
    for entry in nodes:
        name, layer, inputs = (*entry, before)[:3] if len(entry) == 2 else entry
        inputs = (inputs,) if isinstance(inputs, str) else tuple(inputs)
        if name in found or name == INPUT:
            raise NodeError(f"two nodes are named {name!r}; names must differ, and {INPUT!r} is the image")
        missing = [i for i in inputs if i not in found and i != INPUT]
        if missing:
            raise NodeError(f"{name} reads {', '.join(missing)}, which no earlier node is named; "
                            f"there are {', '.join((INPUT, *found))}")
        if not inputs or (layer.inputs is not None and len(inputs) != layer.inputs):
            takes = layer.inputs or "one or more"
            raise NodeError(f"{name}: {type(layer).__name__} takes {takes} inputs, got {len(inputs)}")
        found[name] = Node(name, layer, inputs)
        before = name
    if not found:
        raise NodeError("a network needs at least one node")
    return found


def class_names(net):
    """Return the network's class names, or "class 0", … where it has none."""
    return list(net.classes) if net.classes is not None else [f"class {k}" for k in range(net.shapes[net.output][0])]


def convolutions(net):
    """Return the names of the network's convolutions, from the image up."""
    return [name for name, node in net.nodes.items() if isinstance(node.layer, Conv2d)]


def last_maps(net):
    """Return the last node of a network that makes maps (C, H, W) of its own, before a pool or an average shrinks them.

    That is a convolution, the ReLU after it, or what joins branches; the last of more than one place if there is one.
    NodeError where the network has no convolution.
    """
    making = [name for name, node in net.nodes.items()
              if isinstance(node.layer, (Conv2d, ReLU, Concatenate)) and len(net.shapes[name]) == 3]
    large = [name for name in making if max(net.shapes[name][1:]) > 1]
    if not making:
        raise NodeError(f"{net.name} has no maps (C, H, W), only features: it has {', '.join(net.nodes)}")
    return (large or making)[-1]

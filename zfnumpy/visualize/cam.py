"""Class activation maps: which places of the last maps speak for a class.

`cam` reads them off a network whose scores are averages over places (Zhou et al., 1512.04150). `gradcam` does so for any
network, weighing a layer's maps by the score's mean gradient (Selvaraju et al., 1610.02391); where cam applies, and at its
layer, that is cam over the number of places, rectified.
"""

from dataclasses import dataclass

import numpy as np

from ..errors import NodeError
from ..graph import INPUT, last_maps
from ..layers import Dropout, GlobalAvgPool, Linear
from ..paths import save_result
from .project import checked_tape
from .target import class_labels


@dataclass
class ClassMaps:
    """One map an image: how much each place of a layer speaks for a class.

    maps (N, h, w), NumPy, of the network's dtype; labels (N,) int64, the class asked about; layer: the node whose places
    these are; size: (H, W) of the image, in pixels; method: "cam", whose maps are signed, or "gradcam", which is not.
    """

    maps: np.ndarray
    labels: np.ndarray
    layer: str
    size: tuple
    method: str = "cam"

    def upsampled(self):
        """Return the maps at the image's size, (N, H, W): bilinear between the places' centres (see `resized`)."""
        return resized(self.maps, self.size)

    def save(self, folder):
        """Write <method>_<layer>.npz (maps, labels) and .json (method, layer, labels and sizes) into `folder`."""
        about = {"method": self.method, "layer": self.layer, "labels": self.labels, "size": list(self.size),
                 "places": list(self.maps.shape[1:])}
        return save_result(folder, f"{self.method}_{self.layer}", {"maps": self.maps, "labels": self.labels}, about)


def cam(net, x, label=None, tape=None):
    """Return the class activation maps of x (N, 3, H, W): ClassMaps (sec. 2).

    M_c(row, col) = Σ_k w_k^c f_k(row, col), f the maps that are averaged and w the weights of the class c: its mean over
    the places is the score, but for the bias. Where the averaged maps are the classes' own, one each (squeezenet1_1), M_c
    is that of c as it is averaged: relu10, not conv10.
    label: the class (default: each image's strongest); see target.class_labels. tape: of an earlier net.forward(x).
    NodeError for a network with anything else between its maps and its scores; `gradcam` takes any.
    """
    layer, linear = _averaged(net)
    tape = checked_tape(net, x, net.output, tape)
    labels = class_labels(net, net.value(net.output, tape), label)
    f, N = net.value(layer, tape), len(labels)
    if linear is None:
        maps = f[net.ops.xp.arange(N), net.ops.asarray(labels)]
    else:
        maps = _weighted(f, net.params[f"{linear}.weight"][net.ops.asarray(labels)])
    return ClassMaps(net.ops.to_numpy(maps), labels, layer, tuple(x.shape[2:]))


def gradcam(net, x, label=None, layer=None, tape=None):
    """Return the Grad-CAM maps of x (N, 3, H, W) at a layer: ClassMaps (Selvaraju et al., sec. 3, eq. 1 and 2).

    max(0, Σ_k a_k A_k), A the layer's maps and a_k the mean over the places of the score's gradient by A_k.
    label, tape: as for `cam`. layer: a node with maps (C, h, w); by default the last (graph.last_maps), a ReLU mostly.
    NodeError for a layer without maps.
    """
    layer = last_maps(net) if layer is None else net.node(layer).name
    if len(net.shapes[layer]) != 3:
        raise NodeError(f"Grad-CAM needs maps (C, H, W); {layer} of {net.name} has {net.shapes[layer][0]} features, "
                        f"{last_maps(net)} has maps")
    tape = checked_tape(net, x, net.output, tape)
    scores = net.value(net.output, tape)
    labels = class_labels(net, scores, label)
    one = net.ops.xp.zeros_like(scores)
    one[net.ops.xp.arange(len(labels)), net.ops.asarray(labels)] = 1
    gradient = net.project(net.output, one, tape, "gradient", end=layer)
    maps = _weighted(net.value(layer, tape), gradient.mean(axis=(2, 3)))
    return ClassMaps(net.ops.to_numpy(net.ops.relu(maps)), labels, layer, tuple(x.shape[2:]), "gradcam")


def has_cam(net):
    """Tell whether `cam` works on a network."""
    try:
        return bool(_averaged(net))
    except NodeError:
        return False


def resized(maps, size):
    """Resize maps (N, h, w) to `size` (H, W): bilinear, edges held beyond the outermost places' centres.

    A place's centre is its middle, as in PyTorch's interpolate(align_corners=False).
    """
    rows, columns = (_between(n, m).astype(maps.dtype) for n, m in zip(size, maps.shape[1:]))
    return rows @ maps @ columns.T


def _averaged(net):
    """Return (node whose maps are averaged, Linear over the averages or None); NodeError where scores are not made so."""
    node, linear = net.nodes[net.output], None
    if isinstance(node.layer, Linear):
        node, linear = net.nodes.get(node.inputs[0]), node.name
    while node is not None and isinstance(node.layer, Dropout):
        node = net.nodes.get(node.inputs[0])
    if node is None or not isinstance(node.layer, GlobalAvgPool):
        raise NodeError(f"class activation maps need scores that are averages of maps, or one Linear of such averages, and "
                        f"{linear or net.output} of {net.name} stands on {node.name if node else INPUT}: gradcam works on "
                        "any network, and models.gap_head gives this one a head that CAM can read")
    return node.inputs[0], linear


def _weighted(maps, weights):
    """Return Σ_k weights (N, C) maps (N, C, h, w): (N, h, w)."""
    N, C, h, w = maps.shape
    return (weights[:, None, :] @ maps.reshape(N, C, h * w)).reshape(N, h, w)


def _between(length, count):
    """Return the weights (length, count) by which `count` places are interpolated at `length` pixels' centres."""
    at = np.clip((np.arange(length) + 0.5) * count / length - 0.5, 0, count - 1)
    before = np.minimum(at.astype(int), max(count - 2, 0))
    weights, rows = np.zeros((length, count)), np.arange(length)
    weights[rows, before] = 1 - (at - before)
    weights[rows, np.minimum(before + 1, count - 1)] += at - before
    return weights

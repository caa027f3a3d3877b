"""Many forward passes of one image that differ in a square each, of which only what the squares change is computed."""

import numpy as np

from ..errors import DataError
from ..graph import INPUT
from ..layers import Conv2d
from ..layers.patches import Patches
from ..shapes import Windows

GREY = 128                # the paper's square


def carry(net, base, fill, tops, lefts, size, layer, chosen, batch, progress=iter):
    """Lay a square over one image at every position and run the network: scores (R * S, K) and activity (R * S,), float64.

    base {node: output}: what the image gave, with `layer` wanted. fill (3, H, W): what a square holds of it. tops (R,),
    lefts (S,): where it begins; size (h, w). activity: the sum of the map `chosen` of `layer`.
    """
    corners = np.stack(np.meshgrid(tops, lefts, indexing="ij"), axis=-1).reshape(-1, 2)
    scores, activity = np.empty((len(corners), *net.shapes[net.output])), np.empty(len(corners))
    for part in progress(_alike(_reach(net, base, corners, size), batch)):
        squares = Windows(np.zeros(len(part), np.int64), corners[part], tuple(size), tuple(base[INPUT].shape[2:]))
        for name, y in net.steps(_occluded(net, base[INPUT], fill, squares), want=(layer,), base=base):
            if name == layer:
                activity[part] = _activity(net, y, chosen)
        scores[part] = net.ops.to_numpy(y)
    return scores, activity


def filling(net, x, fill):
    """Return what a square holds, of the backend's arrays, in prepared inputs: (3, H, W). See `occlusion.occlude`."""
    shape = x.shape[1:]
    if isinstance(fill, str) and fill == "mean":
        return net.ops.xp.zeros(shape, dtype=x.dtype)
    colour = np.asarray(GREY if isinstance(fill, str) and fill == "grey" else fill)
    if (colour.dtype.kind not in "iu" or colour.shape not in ((), (3,)) or colour.min() < 0 or colour.max() > 255):
        raise DataError(f'a square is filled with "mean", "grey", a grey level or a colour (red, green, blue) of whole '
                        f"numbers from 0 to 255, got {fill!r}")
    if net.preprocessing is None:
        raise DataError(f"{net.name} has no preprocessing to tell what {fill!r} is in its inputs: fill with \"mean\"")
    side = net.preprocessing.resize
    prepared = net.preprocessing([np.broadcast_to(colour.astype(np.uint8), (side, side, 3))])[0]
    if prepared.shape != shape:                                  # an image of another size
        if net.preprocessing.has_mean_image:
            raise DataError(f"the mean image is of {side}×{side} pixels: images of {shape[1]}×{shape[2]} have none; "
                            'fill with "mean"')
        prepared = np.broadcast_to(prepared[:, :1, :1], shape)
    return net.ops.asarray(np.ascontiguousarray(prepared), dtype=x.dtype)


def _occluded(net, x, fill, squares):
    """Return the Patches of one image x in which a square (P of them, shapes.Windows) holds `fill`."""
    at = squares.over((1, 1), (1, 1), (0, 0), squares.plane)             # what of them lies in the image
    return Patches(net.ops, x, net.ops.patch_windows(x, net.ops.cut_windows(fill[None], squares), squares, at), at)


def _activity(net, y, chosen):
    """Return the sum of one map or feature of a node's output, an array or Patches, for every version: (P,)."""
    if isinstance(y, Patches):
        base, values = (each[:, chosen:chosen + 1] for each in (y.base, y.values))
        gained = Patches(y.ops, base, values, y.at).gained()[:, 0]
        return net.ops.to_numpy(base).sum(dtype=np.float64) + net.ops.to_numpy(gained)
    y = net.ops.to_numpy(y[:, chosen])
    return y.reshape(len(y), -1).sum(axis=1, dtype=np.float64)


def _reach(net, base, corners, size):
    """Return how far squares at `corners` (P, 2) reach, down and across: the sides of their windows, over all convolutions.

    At the image's border windows are cut; elsewhere their sizes depend on how a square lies to the layers' strides.
    """
    reach = np.zeros(corners.shape, np.int64)
    for name, node in net.nodes.items():
        field = net.receptive_field(name)
        if isinstance(node.layer, Conv2d) and all(field.jump):
            low = -((np.add(field.start, field.size) - 1 - corners) // field.jump)
            high = (corners + np.subtract(size, 1) - field.start) // field.jump
            reach += np.maximum(np.minimum(high + 1, base[name].shape[2:]) - np.maximum(low, 0), 0)
    return reach


def _alike(reach, batch, order=None):
    """Part positions with a reach (P, 2) into batches that reach about as far, as a batch is computed as far as its widest.

    Returns a list of index arrays.
    """
    order = np.arange(len(reach)) if order is None else order
    batches = -(-len(order) // batch)
    if batches <= 1:
        return [order]
    order = order[np.argsort(reach[order, np.ptp(reach[order], axis=0).argmax()], kind="stable")]
    half = batches // 2 * batch
    return [*_alike(reach, batch, order[:half]), *_alike(reach, batch, order[half:])]

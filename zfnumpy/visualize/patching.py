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
    x, image = base[INPUT], base[INPUT].shape[2:]
    spans = [_spans(first, n, whole) for first, n, whole in zip((tops, lefts), size, image)]
    places = np.stack(np.meshgrid(np.arange(len(tops)), np.arange(len(lefts)), indexing="ij"), axis=-1).reshape(-1, 2)
    scores, activity = np.empty((len(places), *net.shapes[net.output])), np.empty(len(places))
    order = _by_extent(net, base, spans)
    for part in progress([order[i:i + batch] for i in range(0, len(order), batch)]):
        first, last = (np.stack([span[which][places[part, axis]] for axis, span in enumerate(spans)], axis=1)
                       for which in (0, 1))
        for name, y in net.steps(_occluded(net, x, fill, first, last), want=(layer,), base=base):
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
    if prepared.shape != shape:                                  # an image of its own size: then the mean is a colour
        prepared = np.broadcast_to(prepared[:, :1, :1], shape)
    return net.ops.asarray(np.ascontiguousarray(prepared), dtype=x.dtype)


def _spans(first, size, n):
    """Return the first and the last pixel, exclusive, of squares along an axis of n pixels, cut at the border."""
    return np.maximum(first, 0), np.minimum(first + size, n)


def _occluded(net, x, fill, first, last):
    """Return the Patches of one image x with a square from `first` to `last` (P, 2) each."""
    plane = tuple(x.shape[2:])
    size = (last - first).max(axis=0)
    at = Windows(np.zeros(len(first), np.int64), np.minimum(first, plane - size), tuple(map(int, size)), plane)
    values = net.ops.cut_windows(x, at)
    for patch, corner, (top, left), (bottom, right) in zip(values, at.corners, first, last):
        square = (slice(None), slice(top - corner[0], bottom - corner[0]), slice(left - corner[1], right - corner[1]))
        patch[square] = fill[:, top:bottom, left:right]
    return Patches(net.ops, x, values, at)


def _activity(net, y, chosen):
    """Return the sum of one map or feature of a node's output, an array or Patches, for every version: (P,)."""
    if isinstance(y, Patches):
        whole = net.ops.to_numpy(y.base[0, chosen]).sum(dtype=np.float64)
        return whole + net.ops.to_numpy(y.gained()[:, chosen])
    y = net.ops.to_numpy(y[:, chosen])
    return y.reshape(len(y), -1).sum(axis=1, dtype=np.float64)


def _by_extent(net, base, spans):
    """Return the positions, those whose squares reach windows of like sizes side by side: a batch is as wide as its widest.

    At the image's border windows are cut; elsewhere their sizes depend on how a square lies to the layers' strides.
    """
    reach = [np.zeros(len(span[0]), np.int64) for span in spans]
    for name, node in net.nodes.items():
        field = net.receptive_field(name)
        if isinstance(node.layer, Conv2d) and all(field.jump):
            for axis, (first, last) in enumerate(spans):
                start, jump, n = field.start[axis], field.jump[axis], base[name].shape[2 + axis]
                low = np.maximum(-((start + field.size[axis] - 1 - first) // jump), 0)
                high = np.minimum((last - 1 - start) // jump, n - 1)
                reach[axis] += np.maximum(high - low + 1, 0)
    rows, columns = np.meshgrid(*reach, indexing="ij")
    return np.lexsort((columns.ravel(), rows.ravel()))

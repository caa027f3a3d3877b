"""Features of a whole data set at several layers, computed once and kept on disk: no study has to wait for them twice.

They are read where they lie (memory maps), so memory does not grow with the data set.
"""

import contextlib
import hashlib
import json
import math
import os

import numpy as np

from ..checkpoint import describe
from ..data import Loader
from ..errors import DataError
from ..paths import cache_folder, written_whole

GRID = 4                 # places a side that maps are averaged to


def layer_features(net, part, layers, grid=GRID, batch=64, cache=True, progress=iter):
    """Return {layer: features (N, D) float32} of a data set's N pictures, in its order; NaN for one that cannot be read.

    layers: nodes of the network. Maps (C, H, W) larger than grid × grid are averaged over as many equal areas, and then
    flattened: D = C·grid²; grid None keeps them as they are. What was computed before, with the same weights, layer,
    pictures and grid, is read from the user's cache folder (`paths.cache_folder`) and is a read-only memory map; cache=False
    computes in memory and keeps nothing. `progress` wraps the list of batches. DataError where no picture can be read.
    """
    layers = [net.node(layer).name for layer in layers]
    if not cache:
        found = {layer: np.full((len(part), width(net, layer, grid)), np.nan, np.float32) for layer in layers}
        _fill(net, part, found, grid, batch, progress)
        return found
    key = fingerprint(net_key(net), part_key(part), grid)
    paths = {layer: cache_folder("features") / f"{part_name(net, layer)}-{fingerprint(key, layer)}.npy" for layer in layers}
    missing = [layer for layer in layers if not paths[layer].exists()]
    if missing:
        with contextlib.ExitStack() as stack:
            found = {}
            for layer in missing:
                beside = stack.enter_context(written_whole(paths[layer]))
                found[layer] = np.lib.format.open_memmap(beside, "w+", np.float32, (len(part), width(net, layer, grid)))
                found[layer][...] = np.nan
            _fill(net, part, found, grid, batch, progress)
            for values in found.values():
                values.flush()
    return {layer: np.load(path, mmap_mode="r") for layer, path in paths.items()}


def width(net, layer, grid=GRID):
    """Return how many features a layer gives, its maps averaged over grid × grid areas."""
    shape = net.shapes[layer]
    return math.prod(shape) if grid is None or len(shape) == 1 else shape[0] * math.prod(min(n, grid) for n in shape[1:])


def averaged(maps, grid):
    """Average maps (N, C, H, W) over grid × grid areas whose edges are the nearest whole pixels; smaller ones stay.

    Area k of a side of n pixels reaches from floor(k·n/grid) to ceil((k+1)·n/grid), as PyTorch's adaptive pooling has it.
    """
    for axis in (2, 3):
        n = maps.shape[axis]
        if n > grid:
            areas = [(k * n // grid, -(-(k + 1) * n // grid)) for k in range(grid)]
            maps = np.stack([maps.take(range(a, b), axis).mean(axis) for a, b in areas], axis)
    return maps


def fingerprint(*texts):
    """Return a short hash of texts and bytes, for names of files that depend on them."""
    digest = hashlib.sha256()
    for text in texts:
        digest.update(text if isinstance(text, bytes) else str(text).encode("utf-8", "surrogateescape"))
        digest.update(b"\0")
    return digest.hexdigest()[:20]


def net_key(net):
    """Return a hash of all that a network's answers depend on: its nodes, its weights, how it prepares pictures."""
    about = describe(net)
    about = {name: about[name] for name in ("nodes", "input_shape", "dtype", "preprocessing")}
    mean = np.asarray(net.preprocessing.mean).tobytes()
    weights = [np.ascontiguousarray(net.ops.to_numpy(w)).tobytes() for w in net.params.values()]
    return fingerprint(json.dumps(about, sort_keys=True, default=str), mean, *weights)


def part_key(part):
    """Return a hash of a data set's pictures: of their files' names, sizes and times, else of their pixels.

    A data set that shows its pictures otherwise than they lie on the disk (cut out, masked) says so by `shown_as`, a text.
    """
    paths, shown = getattr(part, "paths", None), getattr(part, "shown_as", "")
    if paths is None:
        return fingerprint(shown, *(part.image(i).tobytes() for i in range(len(part))))
    found = []
    for path in paths:
        about = os.stat(path) if os.path.exists(path) else None
        found.append(f"{os.path.abspath(path)} {about and (about.st_size, about.st_mtime_ns)}")
    return fingerprint(shown, *found)


def part_name(net, layer):
    return "".join(c if c.isalnum() else "_" for c in f"{net.name}_{layer}")


def _fill(net, part, found, grid, batch, progress):
    """Write the features of a data set's pictures into the arrays {layer: (N, D)}."""
    loader = Loader(part, batch, net.preprocessing, dtype=str(net.dtype), feeder=net.ops.feeder())
    served = False
    for x, _, rows in progress(loader.batches()):
        values = net.activations(net.ops.asarray(x), list(found))
        for layer, out in found.items():
            y = net.ops.to_numpy(values[layer])
            y = averaged(y, grid) if grid is not None and y.ndim == 4 else y
            out[rows] = y.reshape(len(rows), -1)
        served = True
    if not served:
        raise DataError("none of the data set's pictures could be read")

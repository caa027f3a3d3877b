"""The paper's figure 2: for each map of a layer the strongest activations over a data set, projected and cropped.

One pass over the data finds them, holding only the best so far; a second pass over just the images found projects them.
"""

from dataclasses import dataclass, field

import numpy as np

from ..errors import DataError
from ..paths import arrays_of, save_result
from .project import lay, project_boxes, strongest_units


@dataclass
class Strongest:
    """The `top` strongest units of each of C maps of a layer, strongest first; figure 2 once they are projected.

    images (C, top): index into the data set, -1 where there are fewer images than `top`; rows, cols (C, top): the unit;
    values (C, top): its activation. After project_strongest also, for the maps in `maps`, patches
    (M, top, h, w, 3) uint8, projections (M, top, 3, h, w) float32 in RGB and inside (M, top, h, w) bool: h × w is the
    receptive field, at most the image, and `inside` is false where the field leaves the image.
    """

    layer: str
    images: np.ndarray
    rows: np.ndarray
    cols: np.ndarray
    values: np.ndarray
    maps: np.ndarray = field(default_factory=lambda: np.zeros(0, np.int64))
    patches: np.ndarray = None
    projections: np.ndarray = None
    inside: np.ndarray = None
    rule: str = "deconvnet"

    def save(self, folder):
        """Write strongest_<layer>.npz (arrays) and .json (layer, rule, and the units of every map) into `folder`."""
        about = {"layer": self.layer, "rule": self.rule,
                 "maps": [[{"image": int(i), "row": int(r), "col": int(c), "value": float(v)}
                           for i, r, c, v in zip(*each) if i >= 0]
                          for each in zip(self.images, self.rows, self.cols, self.values)]}
        save_result(folder, f"strongest_{self.layer}", arrays_of(self), about)


def find_strongest(net, batches, layers, top=9):
    """Find, in one pass over a data set, the `top` strongest activations of every map of several layers.

    batches: an iterable of (x (n, 3, H, W) prepared inputs, indices (n,)). Each image counts once a map, with its
    strongest position. Memory does not depend on the size of the data set. Returns {layer: Strongest}; ties go to the
    image that came first. DataError where there is not one image.
    """
    best = dict.fromkeys(layers)
    for x, indices in batches:
        acts = net.activations(net.ops.asarray(x, dtype=net.dtype), list(layers))
        for layer in layers:
            values, rows, cols = (net.ops.to_numpy(a) for a in strongest_units(acts[layer]))
            new = (values, np.broadcast_to(np.asarray(indices)[:, None], values.shape), rows, cols)
            if best[layer] is not None:
                new = tuple(np.concatenate(pair) for pair in zip(best[layer], new))
            order = np.argsort(-new[0], axis=0, kind="stable")[:top]
            best[layer] = tuple(np.take_along_axis(each, order, axis=0) for each in new)
    if any(found is None for found in best.values()):
        raise DataError("there is no image to look for strong activations in")
    results = {}
    for layer, found in best.items():
        values, images, rows, cols = (each.T for each in found)
        short = top - values.shape[1]
        images, rows, cols, values = (np.pad(each, ((0, 0), (0, short)), constant_values=fill)
                                      for each, fill in ((images, -1), (rows, 0), (cols, 0), (values, 0)))
        results[layer] = Strongest(layer, images, rows, cols, values)
    return results


def project_strongest(net, found, image, maps=None, rule="deconvnet", batch=32, progress=iter):
    """Project the units of a Strongest to pixels and crop each to its receptive field, beside its patch of the image.

    image: a function of a data set's index that gives the uint8 picture. maps: which maps (default: all).
    Projections are made `batch` at a time, images sorted, so that each image of a batch is decoded and passed forward once
    for all its units, and only what they can reach is computed on the way down. `progress`
    wraps the iterable of batches (tqdm, say). The deconvnet leaves units that did not fire (value at most 0) blank: it would
    show what holds them down. Returns a new Strongest.
    """
    maps = np.arange(len(found.images)) if maps is None else np.asarray(maps)
    field_, (H, W) = net.receptive_field(found.layer), net.input_shape[1:]
    h, w = min(field_.size[0], H), min(field_.size[1], W)
    top = found.images.shape[1]
    patches = np.full((len(maps), top, h, w, 3), 128, np.uint8)
    projections = np.zeros((len(maps), top, 3, h, w), np.float32)
    inside = np.zeros((len(maps), top, h, w), bool)
    work = [(int(found.images[c, k]), m, k) for m, c in enumerate(maps) for k in range(top) if found.images[c, k] >= 0]
    work.sort()
    for part in progress([work[i:i + batch] for i in range(0, len(work), batch)]):
        used = sorted({i for i, _, _ in part})
        prepared = net.ops.to_numpy(net.prepare([image(i) for i in used]))
        pictures = net.preprocessing.pixels(prepared)
        place = [used.index(i) for i, _, _ in part]
        units = [(maps[m], found.rows[maps[m], k], found.cols[maps[m], k]) for _, m, k in part]
        unit = tuple(np.array(each) for each in zip(*units))
        unit = unit if len(net.shapes[found.layer]) == 3 else unit[:1]
        tape = net.tape_to(found.layer, net.ops.asarray(prepared))
        boxes, corners = project_boxes(net, tape, found.layer, place, unit, rule)
        boxes = net.preprocessing.in_rgb(net.ops.to_numpy(boxes))
        for (_, m, k), (_, row, col), p, box, corner in zip(part, units, place, boxes, corners):
            y0, x0, _, _ = field_.box(row, col)
            y0, x0 = y0 if h < H else 0, x0 if w < W else 0          # a field that outgrows the image shows it whole
            i0, j0, i1, j1 = max(y0, 0), max(x0, 0), min(y0 + h, H), min(x0 + w, W)
            at = (m, k, slice(i0 - y0, i1 - y0), slice(j0 - x0, j1 - x0))
            patches[at] = pictures[p, i0:i1, j0:j1]
            inside[at] = True
            if rule != "deconvnet" or found.values[maps[m], k] > 0:
                lay(projections[m, k], (y0, x0), box, corner)
    return Strongest(found.layer, found.images, found.rows, found.cols, found.values, maps, patches, projections,
                     inside, rule)

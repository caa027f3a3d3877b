"""The data set as points: features of the last hidden layer in two dimensions."""

import math

import numpy as np

from .. import plots
from ..data import Loader
from ..errors import BackendError, NodeError
from ..visualize import gather, pca, tsne
from . import sprites
from .settings import plain, readable

POINTS = 600             # pictures that are shown as points
SIDE = 48                # pixels of a point's thumbnail


def features_part(net, book, settings, part, rows, progress):
    """Return the points, thumbnails and names of an evenly spread choice of the pictures `rows`, or why there are none."""
    rows = rows[np.unique(np.linspace(0, len(rows) - 1, min(POINTS, len(rows))).round().astype(np.int64))]
    few = part.subset(rows)
    loader = Loader(few, settings.batch, net.preprocessing, feeder=net.ops.feeder())
    batches = ((x, rows[i]) for x, _, i in progress(len(loader), "features")(loader.batches()))
    try:
        found = gather(net, batches, pictures=True)
    except NodeError as error:
        return {"why_none": str(error)}
    ways, why = [], None
    ways.append(_way(book, part, found, pca(found.values), "pca", "PCA", settings))
    try:
        for _ in progress(1, "t-SNE", "run")(range(1)):
            near = tsne(found.values, settings.seed)
        ways.append(_way(book, part, found, near, "tsne", "t-SNE", settings))
    except BackendError as error:
        why = str(error)
    labels = np.asarray(part.labels)[found.indices]
    kinds, places = np.unique(labels, return_inverse=True)
    columns = math.ceil(math.sqrt(len(labels)))
    thumbs = sprites.even(sprites.fit(found.pictures, SIDE))
    return {"layer": found.layer, "averaged": found.averaged, "size": found.values.shape[1], "ways": ways, "why": why,
            "total": len(few), "data": {
                "ways": [{"name": way["title"], "points": way["points"]} for way in ways],
                "classes": [plain(part.classes[k]) for k in kinds], "kind": places.tolist(),
                "names": [readable(part.name(int(i))) for i in found.indices],
                "sheet": sprites.photo(sprites.sheet(thumbs, columns)), "columns": columns,
                "rows": -(-len(labels) // columns)}}


def _way(book, part, found, laid, name, title, settings):
    """Enter one layout of the points and return it, each axis from 0 to 1, y upwards."""
    data = book.keep(f"embedding_{name}", {"points": laid.points, "indices": found.indices},
                     {"layer": found.layer, "method": laid.method, "seed": settings.seed})
    text = f"features of {found.layer}: {laid.describe()}"
    classes = [plain(each) for each in part.classes]
    book.enter(f"embedding_{name}", "features", text, data, {"layer": found.layer, "seed": settings.seed},
               lambda path: plots.save_scatter(path, laid.points, np.asarray(part.labels)[found.indices], classes, text))
    points = laid.points - laid.points.min(axis=0)
    return {"title": title, "text": laid.describe(),
            "points": np.round(points / np.maximum(points.max(axis=0), 1e-12), 4).tolist()}

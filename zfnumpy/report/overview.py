"""The overview: which network on which data, how good it is, and its layers as a table."""

import numpy as np

from .. import graph
from ..data import Loader
from ..errors import DataError
from ..evaluate import evaluate, matched
from ..graph import INPUT
from .settings import class_names, text_of_shape


def overview_part(net, part, about, accuracy):
    """Return what the first page tells; `about`: facts from the checkpoint, {text: value}."""
    rows = [{"node": INPUT, "layer": "", "shape": text_of_shape(net.input_shape), "count": 0, "field": ""}]
    for name, layer, inputs in net.nodes.values():
        text = layer.describe() + ("" if inputs == (rows[-1]["node"],) else f" of {', '.join(inputs)}")
        rows.append({"node": name, "layer": text, "shape": text_of_shape(net.shapes[name]),
                     "count": sum(int(p.size) for p in layer.params.values()), "field": str(net.receptive_field(name))})
    p = net.preprocessing
    mean = "the mean image" if p.has_mean_image else f"the mean {p.order} ({', '.join(f'{m:.1f}' for m in p.mean)})"
    facts = {"input": f"{net.input_shape[2]} × {net.input_shape[1]} pixels, {p.order} minus {mean}, times {p.scale:.4g}",
             "classes": f"{len(class_names(net)):,}", "parameters": f"{sum(int(p.size) for p in net.params.values()):,}",
             **about, "pictures searched": f"{len(part):,}"}
    return {"rows": rows, "facts": facts, "accuracy": accuracy, "most": max(row["count"] for row in rows)}


def measured(net, part, batch, progress):
    """Return {top1, top5, images, classes}, or {why} where the data's classes are none of the network's."""
    names = graph.class_names(net)
    try:
        part = matched(part, names, net.classes is not None)
    except DataError:
        return {"why": "none of the data's classes is known to be one of the network's, so no accuracy is known here"}
    loader = Loader(part, batch, net.preprocessing, feeder=net.ops.feeder())
    found = evaluate(net, loader, progress=progress(len(loader), "evaluating"))
    return {"top1": found.top1, "top5": found.top5, "images": found.count,
            "classes": len(np.unique(part.labels)), "chance": 1 / len(names)}

"""The pages of the layers: every map's strongest patches beside their projections."""

import math

import numpy as np

from .. import plots
from ..errors import NodeError
from ..visualize import colour_filters, project_strongest
from . import sprites
from .settings import convolutions, plain, readable, text_of_shape

ROOM = 60_000_000        # pixels of patches and projections that a page has room for: 10 to 18 MB
AT_ONCE = 2**27          # bytes of projections in memory


def layer_pages(net, book, settings, part, strongest, progress):
    """Return what the pages of the layers show, one dict a layer; `strongest` as visualize.find_strongest gives it."""
    limit, first = settings.maps or room_for(net, settings.layers, settings.top), _filters(net)
    pages = []
    for layer, found in strongest.items():
        C = len(found.images)
        chosen = np.sort(np.argsort(-found.values[:, 0], kind="stable")[:limit])
        data = book.save(found, f"strongest_{layer}")
        page = {"layer": layer, "about": net.node(layer).layer.describe(), "shape": text_of_shape(net.shapes[layer]),
                "field": str(net.receptive_field(layer)), "total": C, "count": len(chosen),
                "dead": int(np.sum(found.values[:, 0] <= 0)), "kind": "map" if len(net.shapes[layer]) == 3 else "feature"}
        page["maps"], page["sheets"] = _maps(net, book, part, found, chosen, data, settings, progress)
        if first and first[0] == layer:
            page["filters"] = _add_filters(book, page, layer, first[1])
        pages.append(page)
    return pages


def room_for(net, layers, top, room=ROOM):
    """Return how many maps of each layer a page has room for, when every layer shows as many, or all it has."""
    H, W = net.input_shape[1:]
    costs = []
    for layer in layers:
        h, w = (min(a, b) for a, b in zip(net.receptive_field(layer).size, (H, W)))
        scale = min(1, sprites.MOST / max(h, w))
        costs.append((net.shapes[layer][0], 2 * top * h * w * scale**2))
    low, high = 1, max(C for C, _ in costs)
    while low < high:
        middle = (low + high + 1) // 2
        if sum(min(C, middle) * cost for C, cost in costs) <= room:
            low = middle
        else:
            high = middle - 1
    return low


def _maps(net, book, part, found, chosen, data, settings, progress):
    """Return the maps' dicts and the two sheets of each map's strongest patch and projection."""
    H, W = net.input_shape[1:]
    h, w = (min(a, b) for a, b in zip(net.receptive_field(found.layer).size, (H, W)))
    size = max(1, AT_ONCE // (found.images.shape[1] * h * w * 16))
    parts = [chosen[i:i + size] for i in range(0, len(chosen), size)]
    total = sum(-(-len(each) * settings.top // settings.batch) for each in parts)
    bar, maps, first = _one_bar(progress, total, f"projecting {found.layer}"), [], ([], [])
    for number, each in enumerate(parts, 1):
        shown = project_strongest(net, found, part.image, each, batch=settings.batch, progress=bar)
        for m, index in enumerate(each):
            pair = [sprites.fit(sprites.see_through(pictures, shown.inside[m]))
                    for pictures in (shown.patches[m], plots.signed(shown.projections[m]))]
            columns = math.ceil(math.sqrt(settings.top))
            maps.append({"map": int(index), "units": _units(net, part, found, index),
                         "patches": sprites.tiles(pair[0], columns), "projections": sprites.tiles(pair[1], columns)})
            for kept, pictures in zip(first, pair):
                kept.append(_with_alpha(sprites.fit(pictures[:1], 64)[0]))
        suffix = f"_{number}" if len(parts) > 1 else ""
        book.enter_sheet(f"strongest_{found.layer}{suffix}", "layers",
                         f"{found.layer}: the {settings.top} strongest activations of maps {each[0]} to {each[-1]}",
                         data, {"rule": "deconvnet", "top": settings.top, "maps": each.tolist()},
                         lambda shown=shown: plots.strongest_sheet(shown))
    columns = math.ceil(math.sqrt(len(chosen)))
    tile = first[0][0].shape[:2]
    return maps, {"columns": columns, "rows": -(-len(chosen) // columns), "height": tile[0], "width": tile[1],
                  "top": settings.top,
                  "patches": sprites.tiles(_opaque(first[0]), columns),
                  "projections": sprites.tiles(_opaque(first[1]), columns)}


def _one_bar(progress, total, text):
    """Return a wrapper for the batches of one run after another, which all advance one bar of `total` steps."""
    steps = iter(progress(total, text)(range(total)))
    next(steps, None)

    def wrapped(batches):
        for batch in batches:
            yield batch
            next(steps, None)

    return wrapped


def _units(net, part, found, index):
    """Return a map's units, strongest first: value, picture and its class, place in the layer, box in the picture."""
    units, (H, W) = [], net.input_shape[1:]
    maps = len(net.shapes[found.layer]) == 3
    for i, row, col, value in zip(*(each[index] for each in (found.images, found.rows, found.cols, found.values))):
        if i < 0:
            break
        box = np.clip(net.receptive_field(found.layer).box(row, col), 0, (H, W, H, W))
        units.append({"value": float(f"{value:.4g}"), "name": readable(part.name(i)), "index": int(i),
                      "class": plain(part.classes[part.labels[i]]), "box": [int(edge) for edge in box],
                      "at": [int(row), int(col)] if maps else None})
    return units


def _filters(net):
    """Return (layer, filters (F, 3, KH, KW)) of a first layer that sees colours, None where it does not."""
    try:
        return convolutions(net)[0], colour_filters(net)
    except (IndexError, NodeError):
        return None


def _add_filters(book, page, layer, filters):
    """Enter the first layer's filters, give each map its own, and return the sheet of all."""
    pictures = plots.signed(filters, 100)
    data = book.keep(f"filters_{layer}", {"filters": filters}, {"layer": layer, "order": "RGB"})
    book.enter_sheet(f"filters_{layer}", "layers", f"{layer}: the first layer's filters", data,
                     sheet=lambda: plots.filter_sheet(filters))
    for entry in page["maps"]:
        entry["filter"] = sprites.exact(pictures[entry["map"]])
    columns = math.ceil(math.sqrt(2.4 * len(pictures)))
    framed = np.pad(np.stack([_with_alpha(picture) for picture in pictures]), ((0, 0), (0, 1), (0, 1), (0, 0)))
    laid = sprites.sheet(framed, columns)[:-1, :-1]
    return {"count": len(filters), "layer": layer, "size": text_of_shape(filters.shape[2:]),
            "picture": {"uri": sprites.exact(laid), "width": laid.shape[1], "height": laid.shape[0], "pixelated": True}}


def _with_alpha(picture):
    if picture.shape[-1] == 4:
        return picture
    return np.concatenate([picture, np.full((*picture.shape[:2], 1), 255, np.uint8)], axis=-1)


def _opaque(pictures):
    """Stack pictures (H, W, 4), without their alpha where none needs it."""
    stacked = np.stack(pictures)
    return stacked[..., :3] if (stacked[..., 3] == 255).all() else stacked

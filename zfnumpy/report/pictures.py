"""The pages of single pictures: what the network answers, and where in the picture that comes from."""

import numpy as np

from .. import plots
from ..layers import ReLU
from ..loss import softmax
from ..visualize import activation_maps, cam, gradcam, has_cam, iou, largest_box, occlude, saliency
from ..visualize.localize import METHODS
from ..visualize.target import class_labels
from . import sprites
from .settings import class_names, convolutions, some_layers

ACTIVE = 40              # activation maps shown of a layer
SIDE = 448               # pixels of the largest picture on a page


def picture_pages(net, book, pictures, progress):
    """Return what the pages of the pictures show, one dict a picture."""
    layer = rectified(net, some_layers(net)[-1]) if some_layers(net) else None
    pages = []
    for number, shown in enumerate(pictures):
        text = f"picture {number + 1} of {len(pictures)}"
        pages.append(_page(net, book, number, shown, layer, progress, text))
    return pages


def rectified(net, layer):
    """Return the ReLU that reads a layer alone, or the layer itself where there is none."""
    readers = [node.name for node in net.nodes.values() if node.inputs == (layer,)]
    return readers[0] if len(readers) == 1 and isinstance(net.node(readers[0]).layer, ReLU) else layer


def _page(net, book, number, shown, layer, progress, text):
    names = class_names(net)
    scores, tape = net.forward(shown.x)
    label = int(class_labels(net, scores)[0])
    p = net.ops.to_numpy(softmax(scores))[0].astype(np.float64)
    best = np.argsort(-p, kind="stable")[:5]
    top = [{"class": names[k], "p": float(p[k]), "true": k == shown.label} for k in best]
    if shown.label is not None and shown.label not in best:
        top.append({"class": names[shown.label], "p": float(p[shown.label]), "true": True})
    book.keep(f"picture_{number}", {"picture": shown.pixels, "probabilities": p},
              {"picture": shown.name, "index": shown.index, "true": shown.truth, "top": top})
    page = {"name": shown.name, "truth": shown.truth, "label": names[label], "right": label == shown.label,
            "known": shown.label is not None, "top": top, "picture": sprites.shown(shown.pixels, SIDE, 86),
            "thumb": sprites.shown(shown.pixels, 64), "size": list(shown.pixels.shape[:2])}
    page["occlusion"] = _occlusion(net, book, number, shown, label, names, progress, text)
    page["maps"] = _class_maps(net, book, number, shown, label, names, tape)
    page["activations"] = _activations(net, book, number, shown, layer)
    return page


def _occlusion(net, book, number, shown, label, names, progress, text):
    """Return where the square stood and what the network answered there, for the page to look up."""
    found = occlude(net, shown.x, label=label, layer=None if convolutions(net) else net.output,
                     progress=progress(None, f"occluding {text}"))
    data = book.save(found, "occlusion", f"picture_{number}")
    heated = plots.heat(found.probability)
    book.enter(f"occlusion_{number}", f"picture/{number}", f"{shown.name}: {names[label]} as a square covers a part", data,
               {"label": names[label], "size": found.size, "stride": found.stride},
               lambda path: plots.save_occlusion(path, found, shown.name))
    kinds, places = np.unique(found.labels, return_inverse=True)
    row, column = np.unravel_index(found.probability.argmin(), found.probability.shape)
    return {"label": names[label], "size": list(found.size), "stride": list(found.stride),
            "low": float(found.probability.min()), "high": float(found.probability.max()),
            "heat": {"uri": sprites.exact(heated), "width": len(found.lefts), "height": len(found.tops), "pixelated": True},
            "data": {"tops": found.tops.tolist(), "lefts": found.lefts.tolist(), "size": list(found.size),
                     "image": list(found.image), "label": names[label],
                     "p0": found.probability0, "at": [int(row), int(column)],
                     "label0": names[found.label0], "p": np.round(found.probability, 5).ravel().tolist(),
                     "kinds": [names[k] for k in kinds], "kind": places.ravel().tolist(), "columns": len(found.lefts)}}


def _class_maps(net, book, number, shown, label, names, tape):
    """Return the saliency map of the network's answer, and its class activation map with a box, where it has maps."""
    under = f"picture_{number}"
    values = saliency(net, shown.x, label, tape=tape)[0]
    data = book.keep(f"{under}/saliency", {"map": values}, {"label": names[label]})
    heated = plots.heat(values, 0, plots.brightest(values))
    book.enter_sheet(f"saliency_{number}", f"picture/{number}", f"{shown.name}: saliency of {names[label]}", data,
                     {"label": names[label]}, lambda: plots.enlarge(heated, 224))
    page = {"label": names[label], "saliency": sprites.shown(heated, SIDE, pixelated=len(values) < 128), "place": None}
    if not convolutions(net):
        return page
    found = (cam if has_cam(net) else gradcam)(net, shown.x, label, tape=tape)
    title, threshold = {"cam": "CAM", "gradcam": "Grad-CAM"}[found.method], METHODS[found.method]
    whole = np.maximum(found.upsampled()[0], 0)
    box = [int(edge) for edge in largest_box(whole, threshold)]
    boxes = {"found": box if box[2] > box[0] else None, "true": shown.box}
    agree = float(iou(np.array(box), np.array(shown.box))) if boxes["found"] and shown.box else None
    laid = plots.overlay(shown.pixels, whole)
    book.enter_sheet(f"{found.method}_{number}", f"picture/{number}", f"{shown.name}: {title} of {names[label]}",
                     book.save(found, f"{found.method}_{found.layer}", under),
                     {"label": names[label], "layer": found.layer, "threshold": threshold, "box": boxes["found"],
                      "true box": shown.box, "iou": agree}, lambda: plots.class_map_sheet([(
                          shown.name, shown.pixels, shown.box, [(title, whole, boxes["found"] and np.array(box))])],
                          f"{title} of {names[label]} at {found.layer}"))
    page["place"] = {"title": title, "layer": found.layer, "picture": sprites.shown(laid, SIDE), "boxes": boxes,
                     "iou": agree, "threshold": threshold}
    return page


def _activations(net, book, number, shown, layer):
    """Return the most active maps of a layer as tiles of one sheet."""
    if layer is None or len(net.shapes[layer]) != 3:
        return None
    found = activation_maps(net, shown.x, layer)
    activity = found.activity()[0]
    chosen = found.most_active(0, ACTIVE)
    data = book.keep(f"picture_{number}/activations", {"maps": found.maps[0, chosen], "chosen": chosen},
                     {"layer": layer, "activity": activity[chosen]})
    pictures = plots.heat(found.maps[0, chosen], 0, max(float(found.maps.max()), np.finfo(np.float32).tiny))
    columns = min(8, len(chosen))
    book.enter_sheet(f"activations_{number}", f"picture/{number}", f"{shown.name}: activation maps of {layer}", data,
                     {"layer": layer}, lambda: plots.activation_sheet(found.maps[0], layer, chosen, shown.pixels, "layer"))
    framed = np.pad(np.concatenate([pictures, np.full((*pictures.shape[:3], 1), 255, np.uint8)], axis=-1),
                    ((0, 0), (0, 1), (0, 1), (0, 0)))
    laid = sprites.sheet(framed, columns)[:-1, :-1]
    return {"layer": layer, "count": len(chosen), "total": len(activity), "silent": int((activity <= 0).sum()),
            "picture": {"uri": sprites.exact(laid), "width": laid.shape[1], "height": laid.shape[0], "pixelated": True}}

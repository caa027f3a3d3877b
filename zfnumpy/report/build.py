"""Puts a report together: computes its parts one after another and writes them as one page."""

import time
from dataclasses import replace

import numpy as np

from .. import __version__
from ..data import Loader
from ..errors import DataError, NodeError
from ..evaluate import class_places
from ..graph import class_names
from ..visualize import find_strongest
from ..visualize.localize import true_box
from .features import features_part
from .layers import layer_pages
from .overview import measured, overview_part
from .page import rendered
from .pictures import picture_pages
from .rules import rules_part
from .settings import Shown, plain, readable
from .truth import truth_part

SEARCHED = 5000          # pictures of a huge set that are searched where nobody says


def build(net, part, book, settings, about=None, progress=None, studies=()):
    """Make a report on a network from a data set's pictures: write it into `book`'s folder and return its path.

    about: facts for the first page, {text: value}. progress(total, text, unit) wraps an iterable of that many steps.
    studies: of `studies_part`, which get a page each.
    """
    progress = progress or (lambda total, text, unit="batch": iter)
    began = time.perf_counter()
    pictures = chosen_pictures(net, part, settings)
    rows = searched(part, settings.count)
    few = part.subset(rows)
    accuracy = measured(net, few, settings.batch, progress)
    loader = Loader(few, settings.batch, net.preprocessing, feeder=net.ops.feeder())
    batches = ((x, rows[i]) for x, _, i in progress(len(loader), "looking for the strongest")(loader.batches()))
    strongest = find_strongest(net, batches, settings.layers, settings.top)
    book.skipped += loader.skipped
    parts = {"layers": layer_pages(net, book, settings, part, strongest, progress),
             "rules": rules_part(net, book, pictures, progress),
             "pictures": picture_pages(net, book, pictures, progress),
             "features": features_part(net, book, settings, part, rows, progress),
             "truth": _truth(net, book, settings, part, progress) if settings.truth else None,
             "overview": overview_part(net, few, about or {}, accuracy),
             "studies": list(studies), "studies_route": "studies"}
    facts = {"network": net.name, "version": __version__, "command": list(settings.command), "seed": settings.seed,
             "shown": [{"name": shown.name, "index": shown.index} for shown in pictures],
             "skipped": [[plain(name), plain(why)] for name, why in book.skipped]}
    page = rendered(parts | facts | {"seconds": time.perf_counter() - began, "made": time.strftime("%Y-%m-%d")})
    return book.close(page, facts)


def searched(part, count):
    """Return the rows of the pictures that are searched, evenly spread: all of them unless there are too many."""
    count = min(len(part), count or SEARCHED)
    return np.unique(np.linspace(0, len(part) - 1, count).round().astype(np.int64))


def _truth(net, book, settings, part, progress):
    """Return the truth table of pictures of its own choice, or why there is none."""
    pictures = chosen_pictures(net, part, replace(settings, picked=None, pictures=settings.tested))
    try:
        return truth_part(net, book, settings, pictures, part, progress)
    except NodeError as error:
        return {"why": str(error)}


def chosen_pictures(net, part, settings):
    """Return the Shown pictures that get a page: those picked, or a few evenly spread, of as many classes as there are.

    DataError for a pick that the data does not have, or where none can be read.
    """
    picked = spread(part.labels, settings.pictures, settings.seed) if settings.picked is None else settings.picked
    places = class_places(part, class_names(net), net.classes is not None)
    found, why = [], None
    for i in picked:
        if not 0 <= i < len(part):
            raise DataError(f"--pick {i}: the data has {len(part)} pictures, 0 to {len(part) - 1}")
        try:
            picture = part.image(i)
            x = net.prepare([picture])
        except DataError as error:
            why = error
            continue
        label = int(places[part.labels[i]])
        found.append(Shown(readable(part.name(i)), int(i), net.preprocessing.pixels(net.ops.to_numpy(x))[0], x,
                           label if label >= 0 else None, plain(part.classes[part.labels[i]]),
                           _true_box(net.preprocessing, picture, part, i)))
    if not found and len(picked):
        raise DataError(f"none of {len(picked)} pictures could be read; the last reason: {why}")
    return found


def spread(labels, count, seed):
    """Return `count` rows, class by class in a drawn order, so that no class comes twice before all came once."""
    rng = np.random.default_rng(seed)
    order = rng.permutation(len(labels))
    turn = np.zeros(len(labels), np.int64)
    seen = {}
    for row in order:
        turn[row] = seen[labels[row]] = seen.get(labels[row], -1) + 1
    return [int(row) for row in order[np.argsort(turn[order], kind="stable")][:count]]


def _true_box(p, picture, part, i):
    """Return a picture's true box in pixels of its centre crop, None where the data has none or it lies outside."""
    box = true_box(part, i, p, picture.shape[:2])
    return tuple(box.tolist()) if box is not None and (box[2:] > box[:2]).all() else None

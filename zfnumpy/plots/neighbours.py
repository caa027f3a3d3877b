"""Nearest neighbours in feature space beside those in pixel space."""

import numpy as np
from PIL import Image

from .embedding import rgb
from .figures import BLUE, short
from .sheets import PAPER, enlarge, heading, label

EDGE = 5             # pixels of the frame around a neighbour of the query's class; others have none


def neighbours_sheet(found, picture, classes, title=None, least=64):
    """Draw a visualize.Neighbours: a row a query, then its neighbours in features, then those in pixels, nearest first.

    picture: a function of a data set's index that gives the picture (H, W, 3) uint8, all of one size. Neighbours of the
    query's class have a thick frame, the others none. least: pixels that a picture's side has at least; larger ones are
    made smaller, to at most twice that.
    """
    rows = []
    for q, k, mine, pixels, *same in zip(found.queries, found.labels, found.found, found.found_pixels, *found.same()):
        query = _row([q], [False], picture, least)
        query = np.pad(query, ((0, 0), (0, max(0, 150 - query.shape[1])), (0, 0)), constant_values=255)    # room for a name
        parts = [label(query, short(classes[k].split(",")[0]), height=20, size=13)]
        for name, indices, right in ((found.layer, mine, same[0]), ("pixels", pixels, same[1])):
            row = _row(indices, right, picture, least)
            if len(indices):
                parts += [np.full((row.shape[0] + 20, 26, 3), 255, np.uint8),
                          label(row, f"nearest in {name}", f"{right.sum()} of {len(indices)}", height=20, size=13)]
        rows.append(np.pad(np.concatenate(parts, axis=1), ((0, 8), (14, 14), (0, 0)), constant_values=255))
    k = found.found.shape[1]
    shares = f"{found.share:.0%} in {found.layer}, {found.share_pixels:.0%} in pixels, {found.chance:.0%} by chance"
    title = title or (f"{k} nearest neighbours, framed where they are of the query's class: of {found.counted} pictures' "
                      f"neighbours {shares}")
    return heading(np.concatenate(rows), title, 16)


def _row(indices, framed, picture, least):
    """Lay pictures out in a row, each on a tile with room for its frame."""
    tiles = []
    for i, frame in zip(indices, framed):
        pixels = enlarge(picture(i), least)
        H, W = (min(side, 2 * least) for side in pixels.shape[:2])
        if pixels.shape[:2] != (H, W):
            pixels = np.asarray(Image.fromarray(pixels).resize((W, H), Image.Resampling.BILINEAR))
        tile = np.empty((H + 2 * EDGE, W + 2 * EDGE, 3), np.uint8)
        tile[:] = rgb(BLUE) if frame else PAPER
        tile[EDGE:-EDGE, EDGE:-EDGE] = pixels
        tiles.append(np.pad(tile, ((2, 2), (2, 2), (0, 0)), constant_values=255))
    return np.concatenate(tiles, axis=1) if tiles else np.full((1, 1, 3), 255, np.uint8)

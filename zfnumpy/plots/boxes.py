"""Boxes on pictures, class maps over pictures, and how often the boxes are right."""

from itertools import pairwise

import numpy as np
from PIL import Image, ImageDraw

from .colour import overlay
from .figures import BLUE, ORANGE, figure_of, save_figure
from .sheets import PAPER, enlarge, heading, label, tile

FOUND = (255, 150, 30)          # a box that was found: orange, which no colour of the maps is
TRUE = (255, 255, 255)          # the true one: white, dashed
_EDGE = (20, 20, 30)            # beside both, so that they stand out on any ground
LEAST = 224                     # pixels of a tile's shorter side, at least
WIDTH = 2200                    # of a sheet, about

STYLES = ((BLUE, "-", "o"), (ORANGE, "--", "s"), ("#3f3f46", "-", "^"))       # cam and gradcam may be one line


def boxed(picture, boxes, least=LEAST):
    """Return a picture uint8 (H, W, 3), enlarged to `least`, with boxes on it.

    boxes: (box (4,) half-open in pixels of the picture, FOUND or TRUE) pairs; a box of NaN or without pixels is left out.
    """
    picture = np.asarray(picture)
    large = enlarge(picture, least)
    factor = large.shape[0] / picture.shape[0]
    image = Image.fromarray(large)
    draw = ImageDraw.Draw(image)
    for box, colour in boxes:
        if box is None or not (np.isfinite(box).all() and box[2] > box[0] and box[3] > box[1]):
            continue
        x0, y0, x1, y1 = (factor * v for v in box)
        corners = [(x0, y0), (x1 - 1, y0), (x1 - 1, y1 - 1), (x0, y1 - 1), (x0, y0)]
        draw.rectangle((x0, y0, x1 - 1, y1 - 1), outline=_EDGE, width=4)
        for a, b in pairwise(corners):
            _line(draw, a, b, colour, 8 if colour == TRUE else None)
    return np.asarray(image)


def _line(draw, a, b, colour, dash):
    """Draw a straight line of two pixels' width, in dashes of that length."""
    a, b = np.array(a), np.array(b)
    length = np.abs(b - a).max()
    step = (b - a) / max(length, 1)
    for start in np.arange(0, length, 2 * dash) if dash else [0]:
        end = min(start + dash, length) if dash else length
        draw.line([tuple(a + start * step), tuple(a + end * step)], fill=colour, width=2)


def class_map_sheet(rows, title):
    """Draw pictures, each followed by its maps, in rows: a sheet uint8 (H, W, 3).

    rows: (text, picture uint8 (H, W, 3), true box or None, [(text, map (H, W), box or None), …]); all pictures of one size.
    A map is laid over its picture in grey, from zero and below, dark, to its own maximum, bright.
    """
    groups = []
    for text, picture, truth, maps in rows:
        first = boxed(picture, [(truth, TRUE)] + [(box, FOUND) for _, _, box in maps[:1]])
        tiles = [label(first, text, height=20)]
        for name, map, box in maps:
            shown = overlay(picture, map, 0, max(float(np.max(map)), 0))
            tiles.append(label(boxed(shown, [(truth, TRUE), (box, FOUND)]), name, height=20))
        groups.append(tile(np.stack(tiles), len(tiles), 6, PAPER))
    width = max(group.shape[1] for group in groups)
    groups = [np.pad(group, ((0, 0), (0, width - group.shape[1]), (0, 0)), constant_values=255) for group in groups]
    columns = min(len(groups), max(1, WIDTH // width))
    return heading(tile(np.stack(groups), columns, 12, PAPER), title)


def save_localization(path, found):
    """Draw how often a visualize.Localization's boxes are right, by the threshold of the map, as PNG."""
    figure = figure_of(7, 4.5)
    axes = figure.subplots()
    baseline = found.rows()[-1]["known"]
    for method, known, own, (colour, line, marker) in zip(found.methods, found.known_by_threshold(), found.chosen, STYLES):
        at = found.thresholds.tolist().index(own)
        axes.plot(found.thresholds, 100 * known, color=colour, linestyle=line, marker=marker, markersize=4, label=method)
        axes.plot(own, 100 * known[at], color=colour, marker="o", markersize=10, fillstyle="none")
    axes.axhline(100 * baseline, color="0.45", linestyle=":", linewidth=1.5, label="best centred box")
    axes.set(xlabel="threshold, share of the map's maximum (ringed: the method's own)",
             ylabel="right boxes, %, the class given", xlim=(0, 1))
    axes.set_ylim(bottom=0)
    axes.grid(alpha=0.25)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False)
    axes.set_title(f"IoU above 0.5 with the true box, {len(found.labels)} pictures", fontsize=10)
    save_figure(figure, path)

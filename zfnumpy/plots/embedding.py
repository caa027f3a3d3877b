"""Embeddings: points coloured by class, pictures at their places in the plane, and pictures in a grid."""

import numpy as np
from PIL import Image, ImageDraw

from .figures import figure_of, letters, save_figure, short
from .sheets import FRAME, INK, PAPER, heading

# Okabe and Ito's colours without the yellow, which white paper swallows: told apart by every kind of colour vision.
CLASS_COLOURS = ("#0072B2", "#E69F00", "#009E73", "#D55E00", "#56B4E9", "#CC79A7", "#222222")
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "*", "<", ">", "p")          # with seven colours that makes 77 pairs


def save_scatter(path, points, labels, classes, title):
    """Draw points (N, 2) with a colour and a marker for each class that occurs, legend at the right, as PNG.

    labels (N,): indices into `classes`, the names.
    """
    points, labels = np.asarray(points), np.asarray(labels)
    seen = np.unique(labels)
    columns = -(-len(seen) // 28)
    figure = figure_of(8.2 + 2.2 * columns, 7.6)
    axes = figure.subplots()
    size = np.clip(16000 / max(1, len(points)), 12, 70)
    for i, k in enumerate(seen):                                         # the colours of thumbnails_sheet
        marker = MARKERS[i % len(MARKERS)]
        axes.scatter(*points[labels == k].T, s=size * (1.8 if marker == "*" else 1), marker=marker, color=class_colour(i),
                     alpha=0.85, linewidths=0.4, edgecolors="white", label=short(classes[k].split(",")[0]))
    axes.set(xticks=[], yticks=[])
    axes.margins(0.03)
    axes.set_title(title, fontsize=12, loc="left", parse_math=False)
    axes.spines[:].set_color("0.8")
    found = figure.legend(loc="outside right upper", frameon=False, ncols=columns, markerscale=max(1, (40 / size) ** 0.5))
    for text in found.get_texts():
        text.set_parse_math(False)                                       # a $ in a class name is a $
    save_figure(figure, path)


def class_colour(i):
    """Return the colour of the class that is number i of those that occur."""
    return CLASS_COLOURS[i % len(CLASS_COLOURS)]


def thumbnails_sheet(pictures, cells, shape, labels, classes, title, size=44):
    """Draw pictures (N, H, W, 3) uint8 in the cells (N, 2) of a grid of `shape` rows and columns: a sheet, uint8.

    The cells are those of visualize.nearest_cells, so that pictures lie where their points do, or of
    visualize.thumbnail_grid. size: pixels of a cell. Up to seven classes have frames of their colours, named below; of more
    the pictures must tell themselves.
    """
    (rows, columns), seen = shape, np.unique(labels)
    framed = len(seen) <= len(CLASS_COLOURS)
    edge, inner = (3, size - 8) if framed else (1, size - 4)
    sheet = np.full((rows * size, columns * size, 3), 255, np.uint8)
    for picture, (row, column), k in zip(pictures, cells, labels):
        small = Image.fromarray(picture).resize((inner, inner), Image.Resampling.BILINEAR)
        tile = np.empty((inner + 2 * edge, inner + 2 * edge, 3), np.uint8)
        tile[:] = rgb(class_colour(np.searchsorted(seen, k))) if framed else FRAME
        tile[edge:-edge, edge:-edge] = np.asarray(small)
        y, x = row * size + 1, column * size + 1
        sheet[y:y + len(tile), x:x + len(tile)] = tile
    sheet = np.pad(sheet, ((4, 12), (15, 15), (0, 0)), constant_values=255)
    if framed:
        sheet = _legend(sheet, [(short(classes[k].split(",")[0]), rgb(class_colour(i))) for i, k in enumerate(seen)])
    return heading(sheet, title)


def _legend(sheet, entries, height=26, size=13):
    """Return a sheet with names beside squares of their colours below it, in as many lines as they need."""
    font, places, x, y = letters(size), [], 16, 0
    for name, _ in entries:
        width = 20 + int(font.getlength(name)) + 22
        if x + width > sheet.shape[1] and x > 16:
            x, y = 16, y + height
        places.append((x, y))
        x += width
    strip = Image.new("RGB", (sheet.shape[1], y + height + 4), PAPER)
    draw = ImageDraw.Draw(strip)
    for (name, colour), (x, y) in zip(entries, places):
        draw.rectangle((x, y + 4, x + 13, y + 17), fill=colour)
        draw.text((x + 20, y + 16), name, fill=INK, font=font, anchor="ls")
    return np.concatenate([sheet, np.asarray(strip)])


def rgb(colour):
    """Return a colour "#rrggbb" as three numbers of 0 to 255."""
    return tuple(int(colour[i:i + 2], 16) for i in (1, 3, 5))

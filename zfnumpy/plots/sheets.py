"""Contact sheets, pixel by pixel.

Sheets take arrays, never networks. A reconstruction is shown with zero in middle grey, as the paper does, scaled by
its own 99.8th percentile of magnitude, so that one hot pixel does not leave the rest flat.
"""

import numpy as np
from PIL import Image, ImageDraw

from ..errors import ShapeError
from ..paths import written_whole
from .figures import letters, printable

PAPER = (255, 255, 255)
OUTSIDE = (238, 241, 246)        # where a receptive field leaves its image: neither white nor a reconstruction's grey
FRAME = (214, 218, 224)          # between tiles of one map
INK = (40, 44, 52)
MUTED = (110, 116, 126)


def signed(r, percentile=99.8):
    """Map reconstructions (..., 3, H, W) to pictures uint8 (..., H, W, 3): zero middle grey, each scaled by itself."""
    flat = np.abs(r).reshape(*r.shape[:-3], -1)
    extreme = np.percentile(flat, percentile, axis=-1)
    extreme = np.where(extreme > 0, extreme, flat.max(axis=-1))[..., None, None, None]       # sparse ones: their maximum
    unit = np.clip(r / np.where(extreme > 0, extreme, 1), -1, 1)
    return np.moveaxis((127.5 + 127.5 * unit).round().astype(np.uint8), -3, -1)


def enlarge(pictures, least):
    """Repeat pixels (..., H, W, 3) by the whole factor that brings the shorter side to `least` or above."""
    factor = max(1, -(-least // min(pictures.shape[-3:-1])))
    return pictures.repeat(factor, axis=-3).repeat(factor, axis=-2)


def tile(pictures, columns, gap=2, colour=FRAME):
    """Lay pictures (M, H, W, 3) out in rows of `columns`, `gap` pixels of `colour` between and around them."""
    M, H, W, _ = pictures.shape
    rows = -(-M // columns)
    sheet = np.empty((rows * (H + gap) + gap, columns * (W + gap) + gap, 3), np.uint8)
    sheet[:] = colour
    for i, picture in enumerate(pictures):
        y, x = gap + i // columns * (H + gap), gap + i % columns * (W + gap)
        sheet[y:y + H, x:x + W] = picture
    return sheet


def label(sheet, text, note="", height=16, size=12):
    """Return a sheet with a line of text above it, and a note in a muted colour at its right end."""
    text, note = printable(text), printable(note)
    size = _fitting(text, sheet.shape[1] - 2, size, 8)
    image = Image.new("RGB", (sheet.shape[1], sheet.shape[0] + height), PAPER)
    image.paste(Image.fromarray(sheet), (0, height))
    draw, font = ImageDraw.Draw(image), letters(size)
    draw.text((1, height - 3), text, fill=INK, font=font, anchor="ls")
    if note and draw.textlength(text, font) + draw.textlength(note, font) + 8 < sheet.shape[1]:
        draw.text((sheet.shape[1] - 1, height - 3), note, fill=MUTED, font=font, anchor="rs")
    return np.asarray(image)


def strongest_sheet(found, title=None, width=2000):
    """Draw figure 2 from a projected visualize.Strongest: a sheet, uint8 (H, W, 3), about `width` wide.

    A cell a map: its strongest activations' projections at the left, the patches of the images they came from at the
    right, strongest first in reading order; blank where a receptive field leaves its image.
    """
    if found.projections is None:
        raise ShapeError("these units are not projected yet: call visualize.project_strongest first")
    top = found.images.shape[1]
    columns = int(np.ceil(np.sqrt(top)))
    blank = np.array(OUTSIDE, np.uint8)
    left = np.where(found.inside[..., None], signed(found.projections), blank)
    right = np.where(found.inside[..., None], found.patches, blank)
    left, right = enlarge(left, 40), enlarge(right, 40)
    cells = []
    for m, index in enumerate(found.maps):
        both = [tile(side[m], columns) for side in (left, right)]
        dead = found.values[index, 0] <= 0
        space = np.full((both[0].shape[0], 4, 3), 255, np.uint8)
        cells.append(label(np.concatenate([both[0], space, both[1]], axis=1), f"{found.layer} · map {index}",
                           "never fires" if dead else f"up to {found.values[index, 0]:.3g}"))
    title = title or f"{found.layer}: the {top} strongest activations of each map, projected, and their image patches"
    columns = min(len(cells), max(1, width // (cells[0].shape[1] + 16)))
    return heading(tile(np.stack(cells), columns, 16, PAPER), title)


def heading(sheet, text, size=18):
    """Return a sheet with a title above it, in letters small enough for its width; at their smallest it grows wider."""
    text = printable(text)
    size = _fitting(text, sheet.shape[1] - 32, size, 9)
    width = max(sheet.shape[1], int(np.ceil(letters(size).getlength(text))) + 32)
    height = size + 18
    image = Image.new("RGB", (width, sheet.shape[0] + height), PAPER)
    image.paste(Image.fromarray(sheet), (0, height))
    ImageDraw.Draw(image).text((16, height - 6), text, fill=INK, font=letters(size), anchor="ls")
    return np.asarray(image)


def _fitting(text, width, size, least):
    """Return the largest size of letters up to `size` that brings `text` into `width` pixels, but no less than `least`."""
    while size > least and letters(size).getlength(text) > width:
        size -= 1
    return size


def filter_sheet(filters, title="first-layer filters, each scaled by its own largest weight"):
    """Draw filters over colours (F, 3, KH, KW), enlarged, in a grid wider than high."""
    pictures = signed(filters, 100)
    columns = int(np.ceil(np.sqrt(1.6 * len(pictures))))
    return heading(np.pad(tile(enlarge(pictures, 48), columns, 3, PAPER), ((0, 14), (13, 13), (0, 0)),
                          constant_values=255), title)


def projection_sheet(rows, title):
    """Draw rows of (text, picture uint8 (H, W, 3)) pairs, one row an image, all pictures of one size."""
    lines = [tile(np.stack([label(enlarge(picture, 192), text, height=20) for text, picture in row]), len(row), 12, PAPER)
             for row in rows]
    width = max(line.shape[1] for line in lines)
    lines = [np.pad(line, ((0, 0), (0, width - line.shape[1]), (0, 0)), constant_values=255) for line in lines]
    return heading(np.concatenate(lines), title)


def save_picture(path, picture):
    """Write a picture uint8 (H, W, 3) as PNG, whole or not at all."""
    with written_whole(path) as beside:
        Image.fromarray(picture).save(beside, format="PNG")

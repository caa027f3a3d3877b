"""Maps of one number a pixel: a layer's activations as grey pictures, saliency, seeds and what is cut out by them."""

import numpy as np
from PIL import Image, ImageDraw

from .colour import brightest, grey
from .figures import letters, printable
from .sheets import FRAME, INK, MUTED, PAPER, enlarge, heading, label, tile

STRIP = 64                        # features in a row
SCALES = ("each", "layer")        # a map goes up to its own maximum, or all to the layer's
OBJECT, REST = np.array((230, 120, 20)), np.array((30, 90, 180))        # told apart by every kind of colour vision


def faint(values, percentile=99.5):
    """Map maps (..., H, W), not negative, to grey pictures uint8 (..., H, W, 3): white from that percentile on.

    A few hot pixels then leave the rest visible. A map with less than that share of positive pixels goes up to its maximum.
    """
    values = np.maximum(np.asarray(values, np.float64), 0)
    return grey(np.minimum(values, brightest(values, percentile)[..., None, None]))


def activation_sheet(maps, layer, order=None, picture=None, scale="each", names=None):
    """Draw one image's activations, maps (C, h, w) or features (D,), beside its picture: a sheet, uint8 (H, W, 3).

    order: which maps, in what order (default: all as they come); of features, which the bars show. scale: "each" or
    "layer", up to whose maximum grey goes. names: of the features, for their bars. What is not positive is black.
    """
    order = np.arange(len(maps)) if order is None else np.asarray(order)
    draw = _map_grid if maps.ndim == 3 else _feature_strip
    sheet, title = draw(maps, layer, order, scale, names)
    if picture is not None:
        sheet = _beside(np.pad(enlarge(picture, 160), ((12, 0), (12, 4), (0, 0)), constant_values=255), sheet)
    return heading(sheet, title)


def _map_grid(maps, layer, order, scale, names):
    shown = np.maximum(maps[order], 0)
    highest = shown.max(axis=(1, 2))
    pictures = grey(shown)
    if scale == "layer" and highest.max() > 0:
        pictures = np.rint(pictures * (highest / highest.max())[:, None, None, None]).astype(np.uint8)
    pictures = enlarge(pictures, 48)
    cells = [label(framed, str(index), f"{value:.0f}" if 9.95 <= value < 1e5 else f"{value:.2g}", height=13, size=10)
             for index, value, framed in zip(order, highest, (np.pad(p, ((1, 1), (1, 1), (0, 0)), mode="constant",
                                                                      constant_values=FRAME[0]) for p in pictures))]
    columns = max(1, int(np.ceil(np.sqrt(1.5 * len(cells)))))
    count = f"{len(maps)} maps" if len(order) == len(maps) else f"the {len(order)} most active of {len(maps)} maps"
    upto = "its own" if scale == "each" else "the layer's"
    silent = int((maps.reshape(len(maps), -1).max(axis=1) <= 0).sum())
    return tile(np.stack(cells), columns, 6, PAPER), (
        f"{layer}: {count}, from 0, black, to {upto} maximum. A black one did not fire for this image ({silent} of them), "
        "and may for others")


def _feature_strip(features, layer, order, scale, names):
    D, columns = len(features), min(len(features), STRIP)
    rows = -(-D // columns)
    plane = np.pad(np.maximum(features, 0), (0, rows * columns - D)).reshape(rows, columns)
    side = max(8, 640 // columns) if rows > 1 else max(8, 960 // columns)
    cells = grey(plane).reshape(-1, 1, 1, 3)[:D].repeat(side, axis=1).repeat(side, axis=2)
    strip = tile(cells, columns, 1)
    font = letters(10)
    margin = np.full((strip.shape[0], 40, 3), 255, np.uint8)
    image = Image.fromarray(margin)
    for row in range(rows):
        ImageDraw.Draw(image).text((34, row * (side + 1) + 1 + side // 2), str(row * columns), fill=MUTED, font=font,
                                   anchor="rm")
    strip = np.concatenate([np.asarray(image), strip], axis=1)
    bars = _bars(features, order, names, strip.shape[1])
    silent = int((features <= 0).sum())
    return np.concatenate([np.pad(strip, ((12, 12), (0, 12), (0, 0)), constant_values=255),
                           np.pad(bars, ((0, 12), (0, 12), (0, 0)), constant_values=255)]), (
        f"{layer}: {D} features, {columns} in a row, from 0, black, to the largest, and the {len(order)} largest; "
        f"{silent} of {D} are not above 0")


def _bars(features, order, names, width, height=16):
    """Draw features as bars, one a line, with what each is called at the left and its value at the right."""
    image = Image.new("RGB", (width, max(1, len(order)) * height), PAPER)
    draw, font = ImageDraw.Draw(image), letters(11)
    texts = [str(i) if names is None else f"{printable(names[i])} ({i})" for i in order]
    left = 12 + max((int(draw.textlength(text, font)) for text in texts), default=0)
    left = min(left, width // 2)
    room = width - left - 70
    highest = max(np.abs(features[order]).max(initial=0), np.finfo(np.float32).tiny)
    for line, (i, text) in enumerate(zip(order, texts)):
        middle, length = line * height + height // 2, round(room * abs(float(features[i])) / float(highest))
        draw.text((left - 6, middle), text, fill=INK, font=font, anchor="rm")
        box = (left, middle - 5, left + length, middle + 5)
        draw.rectangle(box, fill=tuple(OBJECT) if features[i] > 0 else tuple(REST))
        draw.text((left + length + 6, middle), f"{features[i]:.3g}", fill=MUTED, font=font, anchor="lm")
    return np.asarray(image)


def _beside(left, right):
    """Return two sheets side by side, the shorter one filled with paper below."""
    height = max(left.shape[0], right.shape[0])
    both = [np.pad(s, ((0, height - s.shape[0]), (0, 0), (0, 0)), constant_values=255) for s in (left, right)]
    return np.concatenate(both, axis=1)


def seeded(picture, seeds):
    """Lay seeds (H, W), 1 the object, -1 the rest, over a picture uint8 (H, W, 3) in grey: orange and blue."""
    dim = np.repeat(picture.mean(axis=2, keepdims=True), 3, axis=2)
    for value, colour in ((1, OBJECT), (-1, REST)):
        dim = np.where((seeds == value)[..., None], 0.35 * dim + 0.65 * colour, dim)
    return np.rint(dim).astype(np.uint8)


def cut_out(picture, mask, box=None):
    """Show of a picture uint8 (H, W, 3) what lies in the mask (H, W) bool, the rest faded, and a box x0, y0, x1, y1."""
    faded = 0.25 * picture.mean(axis=2, keepdims=True) + 0.75 * 255
    out = Image.fromarray(np.where(mask[..., None], picture, np.rint(faded)).astype(np.uint8))
    if box is not None and box[2] > box[0]:
        x0, y0, x1, y1 = (int(b) for b in box)
        ImageDraw.Draw(out).rectangle((x0, y0, x1 - 1, y1 - 1), outline=tuple(int(c) for c in OBJECT))
    return np.asarray(out)

"""A pen that records an object as shapes with named parts, and the painter that puts it anywhere in an image.

Recording first and painting later is what makes the truth exact: the object is measured, moved to the origin and
scaled to side 1 before a single pixel is drawn, and its parts go through the same similarity as its outlines.
"""

import contextlib
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw

from .geometry import band, box, ellipse, grown, rotated, rotation


@dataclass
class Mark:
    """One area to paint, in a colour of the palette named by its role; part is the name of what it belongs to."""

    points: np.ndarray
    role: str
    part: str | None


@dataclass
class Sketch:
    """An object of side 1 about the origin: its marks in painting order, and {part: (x, y, radius)}."""

    marks: list
    parts: dict

    def reach(self, angle):
        """Return x0, y0, x1, y1 of the object turned by `angle` degrees, in object sides from its centre."""
        points = np.concatenate([mark.points for mark in self.marks]) @ rotation(angle)
        return (*points.min(axis=0), *points.max(axis=0))


class Pen:
    """Records shapes, strokes and lines in any unit; whatever is drawn in `with pen.part(name):` belongs to it.

    Colours are given by role ("main", "second", …), so the same drawing takes any palette.
    """

    def __init__(self, ink_width):
        self.ink_width = ink_width
        self._marks = []
        self._at = {}
        self._part = None

    @contextlib.contextmanager
    def part(self, name, at=None):
        """Name what is drawn inside the block. A part may be drawn in several blocks.

        `at` is the part's place; without it, the middle of its bounding box. Give it where that middle would miss
        the part, as for a ring or an arc.
        """
        self._part = name
        self._at[name] = at if at is not None else self._at.get(name)
        yield
        self._part = None

    def shape(self, *outlines, fill="main", ink=True):
        """Paint closed outlines as one area, with an ink line around all of them together."""
        if ink:
            for outline in outlines:
                self._mark(grown(np.asarray(outline, float), self.ink_width), "ink")
        for outline in outlines:
            self._mark(outline, fill)

    def stroke(self, points, width, fill="main", ink=True):
        """Paint a band of constant width with round ends along an open line, with an ink line around it."""
        for role, wide in (("ink", width + 2 * self.ink_width), (fill, width))[0 if ink else 1 :]:
            self._mark(band(points, wide), role)
            for x, y in (points[0], points[-1]):
                self._mark(ellipse(x, y, wide / 2, n=12), role)

    def line(self, points, width=None, role="ink"):
        """Paint a line, as wide as the ink's outlines unless `width` is given."""
        self._mark(band(points, width or 1.3 * self.ink_width), role)

    def _mark(self, points, role):
        self._marks.append(Mark(np.asarray(points, float), role, self._part))

    def finish(self, flip=False):
        """Return the drawing as a Sketch: centred, its longer side 1, seen in a mirror if `flip`."""
        low, high = _extent(self._marks)
        centre, side = (low + high) / 2, (high - low).max()
        unit = np.array([-1 if flip else 1, 1]) / side
        parts = {}
        for name, at in self._at.items():
            marks = [mark for mark in self._marks if mark.part == name]
            at = np.mean(_extent(marks), axis=0) if at is None else at
            radius = max(np.hypot(*(mark.points - at).T).max() for mark in marks)
            parts[name] = (*((at - centre) * unit), radius / side)
        return Sketch([Mark((mark.points - centre) * unit, mark.role, mark.part) for mark in self._marks], parts)


def paint(sketch, palette, size, x, y, scale, angle, without=()):
    """Paint a Sketch with its centre at (x, y) and its side `scale`, both in image sides, turned by `angle` degrees.

    Returns colour (size, size, 3) float32 in 0..255, lit, and coverage (size, size) float32 in 0..1. Parts named in
    `without` are left out. It is painted at several times the size and averaged down, which smooths the edges.
    """
    factor = supersampling(size)
    side = size * factor
    matrix = rotation(angle) * (scale * side)
    # Pillow's coordinates name pixels by their index, so their centres are half a pixel further.
    shift = np.array([x, y]) * side - 0.5
    image = Image.new("RGBA", (side, side), (0, 0, 0, 0))
    draw = ImageDraw.Draw(image)
    weave = None
    for mark in sketch.marks:
        if mark.part is not None and mark.part in without:
            continue
        points = np.rint(mark.points @ matrix + shift).ravel().tolist()
        if mark.role == "main" and palette.pattern:
            if weave is None:
                weave = _weave(palette, side, matrix, shift)
            stencil = Image.new("L", (side, side))
            ImageDraw.Draw(stencil).polygon(points, 255)
            image.paste(weave, mask=stencil)
        else:
            draw.polygon(points, palette.roles[mark.role])
    pixels = np.asarray(image.reduce(factor), np.float32)
    across = (np.arange(size, dtype=np.float32) + 0.5) / size
    light = palette.light[0] * (across - x)[None, :] + palette.light[1] * (across - y)[:, None]
    colour = pixels[..., :3] * (1 + light / scale)[..., None].clip(0.6, 1.4)
    return colour.clip(0, 255), pixels[..., 3] / 255


def supersampling(size):
    """Return how many times larger than `size` to paint: pixels that are large themselves need less of it."""
    return 4 if size <= 160 else 3 if size <= 320 else 2


def _weave(palette, side, matrix, shift):
    """Paint the object's pattern over a whole image, fixed to the object as if painted on it."""
    kind, turn, period = palette.pattern
    image = Image.new("RGBA", (side, side), palette.roles["main"])
    draw = ImageDraw.Draw(image)
    steps = np.arange(-0.75, 0.75, period)
    if kind == "stripes":
        areas = [box(step, -0.75, step + period / 2, 0.75) for step in steps]
    elif kind == "dots":
        areas = [ellipse(a + period / 2 * (row % 2), b, period / 4, n=10) for row, b in enumerate(steps) for a in steps]
    else:
        areas = [box(step, -0.75, step + period / 2, 0.75) for step in steps]
        areas += [box(-0.75, step, 0.75, step + period / 2) for step in steps]
    for area in areas:
        draw.polygon(np.rint(rotated(area, turn) @ matrix + shift).ravel().tolist(), palette.roles["weave"])
    return image


def _extent(marks):
    """Return the lowest and the highest (x, y) of everything the marks paint."""
    points = np.concatenate([mark.points for mark in marks])
    return points.min(axis=0), points.max(axis=0)

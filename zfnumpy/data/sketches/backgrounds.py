"""Cluttered, coloured backgrounds: a ground in one of six manners, strewn with shapes that also occur in objects."""

import numpy as np
from PIL import Image, ImageDraw

from .canvas import supersampling
from .geometry import arc, box, ellipse, rotated, smooth


def background(palette, rng, size):
    """Return a background (size, size, 3) float32 in 0..255, the same scene at every size."""
    side = size * supersampling(size)
    paint_ground = (_gradient, _blotches, _stripes, _tiles, _hills, _patches)[rng.integers(6)]
    image = paint_ground(palette, rng, side)
    draw = ImageDraw.Draw(image)
    for _ in range(rng.integers(4, 11)):
        _strew(draw, palette, rng, side)
    pixels = np.asarray(image.resize((size, size), Image.Resampling.BOX), np.float32)
    # Grain from a grid of fixed size, so that the scene does not depend on how large it is drawn.
    strength = rng.uniform(0, 5)
    grain = Image.fromarray(rng.standard_normal((64, 64), dtype=np.float32))
    grain = np.asarray(grain.resize((size, size), Image.Resampling.BICUBIC)) if size != 64 else np.asarray(grain)
    return np.clip(pixels + strength * grain[..., None], 0, 255)


def plain(palette, size):
    """Return a background (size, size, 3) float32 of the palette's ground colour alone."""
    return np.broadcast_to(np.array(palette.ground[0], np.float32), (size, size, 3))


def _spread(colours, side):
    """Return an image of `side` pixels from a small grid (h, w, 3) of colours, smoothly filled in."""
    grid = Image.fromarray(np.clip(colours, 0, 255).astype(np.uint8))
    return grid.resize((side, side), Image.Resampling.BICUBIC)


def _gradient(palette, rng, side):
    """Two or three colours running into one another along a line or out from a point."""
    steps = (np.arange(16) + 0.5) / 16
    if rng.uniform() < 0.5:
        turn = rng.uniform(0, 2 * np.pi)
        along = np.cos(turn) * (steps[None, :] - 0.5) + np.sin(turn) * (steps[:, None] - 0.5) + 0.5
    else:
        x, y = rng.uniform(0, 1, 2)
        along = 1.2 * np.hypot(steps[None, :] - x, steps[:, None] - y)
    stops = np.array(palette.ground[: rng.integers(2, 4)], float)
    at = np.linspace(0, 1, len(stops))
    return _spread(np.stack([np.interp(along, at, stops[:, c]) for c in range(3)], axis=-1), side)


def _blotches(palette, rng, side):
    """Soft patches of all the ground's colours."""
    n = rng.integers(3, 9)
    return _spread(np.array(palette.ground)[rng.integers(0, len(palette.ground), (n, n))], side)


def _stripes(palette, rng, side):
    """Parallel bands of two or three colours."""
    colours = palette.ground[: rng.integers(2, 4)]
    image = Image.new("RGB", (side, side), colours[0])
    draw = ImageDraw.Draw(image)
    turn, period = rng.uniform(0, 180), rng.uniform(0.06, 0.25)
    for k, x in enumerate(np.arange(-0.25, 1.25, period)):
        band = rotated(box(x, -0.25, x + period, 1.25), turn, about=(0.5, 0.5))
        draw.polygon(_pixels(band, side), colours[k % len(colours)])
    return image


def _tiles(palette, rng, side):
    """A chequered or bricked plane, turned."""
    image = Image.new("RGB", (side, side), palette.ground[0])
    draw = ImageDraw.Draw(image)
    turn, w, h = rng.uniform(0, 180), rng.uniform(0.1, 0.25), rng.uniform(0.08, 0.2)
    brick = rng.uniform() < 0.5
    for row, y in enumerate(np.arange(-0.25, 1.25, h)):
        start = -0.25 + (row % 2) * (w / 2 if brick else w)
        for x in np.arange(start, 1.25, w if brick else 2 * w):
            tile = box(x, y, x + w * (0.9 if brick else 1), y + h * (0.85 if brick else 1))
            colour = palette.ground[rng.integers(1, 4)] if brick else palette.ground[1]
            draw.polygon(_pixels(rotated(tile, turn, about=(0.5, 0.5)), side), colour)
    return image


def _hills(palette, rng, side):
    """A sky running into a horizon, and one or two rows of hills before it."""
    sky, haze = np.array(palette.ground[0], float), np.array(palette.ground[1], float)
    image = _spread(sky + (haze - sky) * np.linspace(0, 1, 8)[:, None, None] * np.ones((1, 8, 1)), side)
    draw = ImageDraw.Draw(image)
    x = np.linspace(0, 1, 24)
    for k in range(rng.integers(1, 3)):
        height, wave, phase = rng.uniform(0.45, 0.85), rng.uniform(3, 9), rng.uniform(0, 6.3)
        line = np.stack([x, height + rng.uniform(0.0, 0.08) * np.sin(wave * x + phase)], axis=1)
        draw.polygon(_pixels(np.concatenate([line, [(1, 1.1), (0, 1.1)]]), side), palette.ground[2 + k])
    return image


def _patches(palette, rng, side):
    """Large overlapping polygons, like torn paper."""
    image = Image.new("RGB", (side, side), palette.ground[0])
    draw = ImageDraw.Draw(image)
    for _ in range(rng.integers(6, 14)):
        corners = ellipse(*rng.uniform(0, 1, 2), *rng.uniform(0.1, 0.4, 2), n=rng.integers(3, 7))
        corners += rng.uniform(-0.08, 0.08, corners.shape)
        draw.polygon(_pixels(corners, side), palette.ground[rng.integers(4)])
    return image


def _strew(draw, palette, rng, side):
    """Add one thing that objects are made of: a disc, a ring, a box, a triangle, a line, two of a kind like eyes."""
    u = rng.uniform
    x, y = u(0, 1, 2)
    colour = palette.clutter[rng.integers(len(palette.clutter))]
    other = palette.clutter[rng.integers(len(palette.clutter))]
    r, turn, width = u(0.03, 0.14), u(0, 360), max(round(u(0.012, 0.035) * side), 1)
    outline = palette.roles["ink"] if u() < 0.25 else None
    kind = rng.integers(9)
    if kind == 0:
        areas = [ellipse(x, y, r, r * u(0.6, 1), turn)]
    elif kind == 1:
        areas = [rotated(box(x - r, y - r * u(0.3, 1), x + r, y + r * u(0.3, 1)), turn, about=(x, y))]
    elif kind == 2:
        areas = [ellipse(x, y, r, r * u(0.5, 1), turn, n=3)]
    elif kind == 3:
        areas = [ellipse(x, y, r, r * u(0.25, 0.5), turn, power=1.5)]
    elif kind == 4:
        step = rotated([(r * u(1.2, 2.2), 0)], turn)[0]
        areas = [ellipse(x, y, r * 0.6, n=20), ellipse(x + step[0], y + step[1], r * 0.6, n=20)]
    else:
        if kind == 5:
            line = arc(x, y, r, r, 0, 360, n=24)
        elif kind == 6:
            line = rotated(arc(x, y, r * 1.5, r, 20, u(90, 200)), turn, about=(x, y))
        elif kind == 7:
            line = smooth(u(-2 * r, 2 * r, (4, 2)) + (x, y), closed=False)
        else:
            line = rotated([(x - 2 * r, y), (x + 2 * r, y)], turn, about=(x, y))
        draw.line(_pixels(line, side), colour, width)
        return
    for area in areas:
        draw.polygon(_pixels(area, side), colour)
        if outline:
            draw.line(_pixels(np.concatenate([area, area[:1]]), side), outline, max(width // 2, 1))
    if kind in (0, 4) and u() < 0.5:  # a pupil or a hub
        for area in areas:
            middle = area.mean(axis=0)
            draw.polygon(_pixels((area - middle) * 0.5 + middle, side), other)


def _pixels(points, side):
    return np.rint(points * side - 0.5).ravel().tolist()

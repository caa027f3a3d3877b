"""Outlines: every function returns points (n, 2) float64, x to the right and y down, in any unit."""

import numpy as np

_TURNS = {}  # n -> the cosines and sines of n equal steps around the circle


def ellipse(x, y, rx, ry=None, turn=0.0, power=2.0, n=28):
    """Return the outline of an ellipse, turned counter-clockwise by `turn` degrees.

    A `power` above 2 makes it squarer (a superellipse), below 2 more like a diamond.
    """
    ry = rx if ry is None else ry
    if n not in _TURNS:
        angles = 2 * np.pi * np.arange(n) / n
        _TURNS[n] = np.stack([np.cos(angles), -np.sin(angles)], axis=1)
    unit = _TURNS[n]
    if power != 2.0:
        unit = np.sign(unit) * np.abs(unit) ** (2 / power)
    return rotated(unit * (rx, ry), turn) + (x, y)


def arc(x, y, rx, ry, start, stop, n=14):
    """Return the open curve from `start` to `stop` degrees, 0 to the right and 90 up, of an ellipse."""
    angles = np.radians(np.linspace(start, stop, n))
    return np.stack([x + rx * np.cos(angles), y - ry * np.sin(angles)], axis=1)


def box(x0, y0, x1, y1, corner=0.0):
    """Return the outline of a rectangle; `corner` is the radius its corners are rounded with."""
    if corner <= 0:
        return np.array([(x0, y0), (x1, y0), (x1, y1), (x0, y1)], float)
    a, b, c, d = x0 + corner, x1 - corner, y0 + corner, y1 - corner
    corners = [(b, c, 90, 0), (b, d, 0, -90), (a, d, -90, -180), (a, c, 180, 90)]
    return np.concatenate([arc(x, y, corner, corner, start, stop, 5) for x, y, start, stop in corners])


def smooth(points, closed=True, rounds=2):
    """Round the corners of a polygon or an open line by cutting them, `rounds` times (Chaikin's curve)."""
    points = np.asarray(points, float)
    for _ in range(rounds):
        after = np.roll(points, -1, axis=0) if closed else points[1:]
        before = points if closed else points[:-1]
        cut = np.empty((2 * len(before), 2))
        cut[0::2] = 0.75 * before + 0.25 * after
        cut[1::2] = 0.25 * before + 0.75 * after
        points = cut if closed else np.concatenate([points[:1], cut[1:-1], points[-1:]])
    return points


def grown(outline, by):
    """Push a closed outline outwards by `by` all around; sharp corners are cut rather than drawn out to spikes."""
    x, y = outline.T
    if np.dot(x, np.roll(y, -1)) < np.dot(y, np.roll(x, -1)):
        by = -by
    edges = np.roll(outline, -1, axis=0) - outline
    keep = (edges != 0).any(axis=1)
    outline, edges = outline[keep], edges[keep]
    after = _normals(edges)
    return outline + by * _mitre(np.roll(after, 1, axis=0), after)


def band(line, width):
    """Return the outline of an open line drawn `width` wide, its ends cut straight."""
    line = np.asarray(line, float)
    normals = _normals(np.diff(line, axis=0))
    side = width / 2 * _mitre(np.concatenate([normals[:1], normals]), np.concatenate([normals, normals[-1:]]))
    return np.concatenate([line + side, (line - side)[::-1]])


def _normals(edges):
    return edges[:, ::-1] * (1, -1) / np.hypot(*edges.T)[:, None]


def _mitre(before, after):
    """Return, for each corner between two unit normals, the step that moves both edges by 1, at most 1.8 long."""
    both = before + after
    return both / np.maximum(1 + (before * after).sum(axis=1), 0.6)[:, None]


def rotated(points, degrees, about=(0.0, 0.0)):
    """Turn points counter-clockwise, as one looks at the image, about a point."""
    if not degrees:
        return np.asarray(points, float)
    return (np.asarray(points, float) - about) @ rotation(degrees) + about


def rotation(degrees):
    """Return R (2, 2) such that `points @ R` are turned counter-clockwise as one looks at the image (y down)."""
    c, s = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    return np.array([[c, -s], [s, c]])

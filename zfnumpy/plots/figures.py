"""The one way to matplotlib: no pyplot, so no global state and no window; and the letters of sheets."""

import functools
import warnings

import numpy as np
from PIL import ImageFont

from ..paths import written_whole

BLUE, ORANGE = "#1f6fb4", "#d9681d"      # told apart by every kind of colour vision


def figure_of(width, height):
    """Return an empty matplotlib figure, width × height inches, that lays itself out."""
    from matplotlib.figure import Figure  # no pyplot: no global state, no window, and only when a figure is drawn

    return Figure(figsize=(width, height), layout="constrained")


def save_figure(figure, path):
    """Write a figure as PNG, whole or not at all."""
    with written_whole(path) as beside, warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph .* missing")                    # class names in other scripts show as boxes
        figure.savefig(beside, dpi=110)


def deviation(values, axis=0):
    """Return a sample's standard deviation (over N - 1) along an axis, as the studies' tables give it; 0 for one value.

    NaN values are left out.
    """
    count = np.isfinite(values).sum(axis)
    return np.nanstd(values, axis) * np.sqrt(count / np.maximum(count - 1, 1))


def printable(text):
    """Return a text on one line that can be drawn: names of files and of folders may hold what no letter is."""
    return "".join(c if c.isprintable() else " " if c.isspace() else "\ufffd" for c in text)


def short(name, longest=24):
    """Return a name, cut to so many letters, for a legend."""
    name = printable(name)
    return name if len(name) <= longest else name[:longest - 1] + "…"


@functools.lru_cache(maxsize=64)
def letters(size):
    """Return the font of sheets: matplotlib's DejaVu Sans, which has é, × and most alphabets, where Pillow's has ASCII."""
    import matplotlib

    return ImageFont.truetype(f"{matplotlib.get_data_path()}/fonts/ttf/DejaVuSans.ttf", round(0.9 * size))

"""What draws: contact sheets pixel by pixel, curves and matrices with matplotlib. Nothing here computes a result."""

from .colour import grey, heat, overlay
from .curves import save_confusion, save_curves
from .figures import BLUE, ORANGE
from .occlusion import save_occlusion
from .sheets import (
    FRAME,
    INK,
    MUTED,
    OUTSIDE,
    PAPER,
    enlarge,
    filter_sheet,
    heading,
    label,
    projection_sheet,
    save_picture,
    signed,
    strongest_sheet,
    tile,
)

__all__ = ["BLUE", "FRAME", "INK", "MUTED", "ORANGE", "OUTSIDE", "PAPER", "enlarge", "filter_sheet", "grey", "heading",
           "heat", "label", "overlay", "projection_sheet", "save_confusion", "save_curves", "save_occlusion",
           "save_picture", "signed", "strongest_sheet", "tile"]

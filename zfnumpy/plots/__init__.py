"""What draws: contact sheets pixel by pixel, curves and matrices with matplotlib. Nothing here computes a result."""

from .boxes import FOUND, TRUE, boxed, class_map_sheet, save_localization
from .colour import grey, heat, overlay
from .curves import save_confusion, save_curves
from .figures import BLUE, ORANGE
from .maps import SCALES, activation_sheet, cut_out, faint, seeded
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

__all__ = ["BLUE", "FOUND", "FRAME", "INK", "MUTED", "ORANGE", "OUTSIDE", "PAPER", "SCALES", "TRUE",
           "activation_sheet", "boxed", "class_map_sheet", "cut_out", "enlarge", "faint", "filter_sheet", "grey",
           "heading", "heat", "label", "overlay", "projection_sheet", "save_confusion", "save_curves",
           "save_localization", "save_picture", "seeded", "signed", "strongest_sheet", "tile"]

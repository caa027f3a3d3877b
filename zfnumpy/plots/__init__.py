"""What draws: contact sheets pixel by pixel, curves and matrices with matplotlib. Nothing here computes a result."""

from .colour import grey, heat, overlay
from .curves import save_confusion, save_curves
from .figures import BLUE, ORANGE
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
from .truth import randomization_sheet, save_perturbation, save_randomization, save_truth_table

__all__ = ["BLUE", "FRAME", "INK", "MUTED", "ORANGE", "OUTSIDE", "PAPER", "enlarge", "filter_sheet", "grey", "heading",
           "heat", "label", "overlay", "projection_sheet", "randomization_sheet", "save_confusion", "save_curves",
           "save_perturbation", "save_picture", "save_randomization", "save_truth_table", "signed", "strongest_sheet",
           "tile"]

"""What draws: contact sheets pixel by pixel, curves and matrices with matplotlib. Nothing here computes a result."""

from .ablation import save_ablation
from .architecture import save_architecture
from .ascent import ascent_sheet, fooled_sheet
from .boxes import FOUND, TRUE, boxed, class_map_sheet, save_localization
from .colour import brightest, grey, heat, overlay
from .correspondence import save_correspondence
from .curves import save_confusion, save_curves
from .embedding import save_scatter, thumbnails_sheet
from .ensemble import save_ensemble
from .evolution import save_evolution
from .figures import BLUE, ORANGE
from .invariance import save_invariance
from .localization import save_localization_study
from .maps import SCALES, activation_sheet, cut_out, faint, seeded
from .neighbours import neighbours_sheet
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
from .transfer import save_analysis, save_generalization
from .truth import randomization_sheet, save_perturbation, save_randomization, save_truth_table

__all__ = ["BLUE", "FOUND", "FRAME", "INK", "MUTED", "ORANGE", "OUTSIDE", "PAPER", "SCALES", "TRUE",
           "activation_sheet", "ascent_sheet", "boxed", "brightest", "class_map_sheet", "cut_out", "enlarge", "faint",
           "filter_sheet", "fooled_sheet", "grey", "heading", "heat", "label", "neighbours_sheet", "overlay",
           "projection_sheet", "randomization_sheet", "save_ablation", "save_analysis",
           "save_architecture", "save_confusion",
           "save_correspondence", "save_curves", "save_ensemble", "save_evolution", "save_generalization",
           "save_invariance", "save_localization", "save_localization_study", "save_occlusion", "save_perturbation",
           "save_picture", "save_randomization", "save_scatter", "save_truth_table", "seeded", "signed",
           "strongest_sheet", "thumbnails_sheet", "tile"]

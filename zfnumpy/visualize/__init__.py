"""Ways of seeing what a network looks for, one module each; none of them draws (see `plots`)."""

from .activations import ActivationMaps, activation_maps
from .ascent import Ascent, class_image, unit_image
from .boxes import best_centred_box, components, iou, largest_box
from .cam import ClassMaps, cam, gradcam, has_cam
from .deletion import PerturbationCurve, deletion, insertion
from .embedding import Pca, Tsne, nearest_cells, pca, thumbnail_grid, tsne
from .filters import colour_filters
from .fooling import Fooled, fool, framed
from .localize import Localization, class_maps, localization
from .neighbours import Features, Neighbours, features, gather, nearest, neighbours
from .occlusion import Occlusion, occlude
from .pointing import Pointing, pointing_game
from .project import project, project_boxes, project_units, strongest_units
from .relevance import METHODS, relevance_maps
from .rules import by_rules
from .saliency import saliency
from .sanity import Randomization, randomization_test
from .segment import Segmentation, segment
from .similarity import rank_correlation, ssim
from .strongest import Strongest, find_strongest, project_strongest
from .truth import TruthTable, truth_table

__all__ = [
           "METHODS",
           "ActivationMaps",
           "Ascent",
           "ClassMaps",
           "Features",
           "Fooled",
           "Localization",
           "Neighbours",
           "Occlusion",
           "Pca",
           "PerturbationCurve",
           "Pointing",
           "Randomization",
           "Segmentation",
           "Strongest",
           "TruthTable",
           "Tsne",
           "activation_maps",
           "best_centred_box",
           "by_rules",
           "cam",
           "class_image",
           "class_maps",
           "colour_filters",
           "components",
           "deletion",
           "features",
           "find_strongest",
           "fool",
           "framed",
           "gather",
           "gradcam",
           "has_cam",
           "insertion",
           "iou",
           "largest_box",
           "localization",
           "nearest",
           "nearest_cells",
           "neighbours",
           "occlude",
           "pca",
           "pointing_game",
           "project",
           "project_boxes",
           "project_strongest",
           "project_units",
           "randomization_test",
           "rank_correlation",
           "relevance_maps",
           "saliency",
           "segment",
           "ssim",
           "strongest_units",
           "thumbnail_grid",
           "truth_table",
           "tsne",
           "unit_image",
]

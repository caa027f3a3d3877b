"""Ways of seeing what a network looks for, one module each; none of them draws (see `plots`)."""

from .activations import ActivationMaps, activation_maps
from .ascent import Ascent, class_image, unit_image
from .boxes import best_centred_box, components, iou, largest_box
from .cam import ClassMaps, cam, gradcam, has_cam
from .embedding import Pca, Tsne, nearest_cells, pca, thumbnail_grid, tsne
from .filters import colour_filters
from .fooling import Fooled, fool, framed
from .localize import Localization, class_maps, localization
from .neighbours import Features, Neighbours, features, gather, nearest, neighbours
from .project import project, project_boxes, project_units, strongest_units
from .rules import by_rules
from .saliency import saliency
from .segment import Segmentation, segment
from .strongest import Strongest, find_strongest, project_strongest

__all__ = ["ActivationMaps", "Ascent", "ClassMaps", "Features", "Fooled", "Localization", "Neighbours", "Pca",
           "Segmentation", "Strongest", "Tsne", "activation_maps", "best_centred_box", "by_rules", "cam",
           "class_image", "class_maps", "colour_filters", "components", "features", "find_strongest", "fool",
           "framed", "gather", "gradcam", "has_cam", "iou", "largest_box", "localization", "nearest", "nearest_cells",
           "neighbours", "pca", "project", "project_boxes", "project_strongest", "project_units", "saliency",
           "segment", "strongest_units", "thumbnail_grid", "tsne", "unit_image"]

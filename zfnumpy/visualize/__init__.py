"""Ways of seeing what a network looks for, one module each; none of them draws (see `plots`)."""

from .boxes import best_centred_box, components, iou, largest_box
from .cam import ClassMaps, cam, gradcam, has_cam
from .activations import ActivationMaps, activation_maps
from .filters import colour_filters
from .localize import Localization, class_maps, localization
from .project import project, project_boxes, project_units, strongest_units
from .rules import by_rules
from .saliency import saliency
from .segment import Segmentation, segment
from .strongest import Strongest, find_strongest, project_strongest

__all__ = ["ActivationMaps", "ClassMaps", "Localization", "Segmentation", "Strongest", "activation_maps",
           "best_centred_box", "by_rules", "cam", "class_maps", "colour_filters", "components", "find_strongest",
           "gradcam", "has_cam", "iou", "largest_box", "localization", "project", "project_boxes",
           "project_strongest", "project_units", "saliency", "segment", "strongest_units"]

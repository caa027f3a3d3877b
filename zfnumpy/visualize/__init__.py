"""Ways of seeing what a network looks for, one module each; none of them draws (see `plots`)."""

from .boxes import best_centred_box, components, iou, largest_box
from .cam import ClassMaps, cam, gradcam, has_cam
from .filters import colour_filters
from .localize import Localization, class_maps, localization
from .project import project, project_boxes, project_units, strongest_units
from .strongest import Strongest, find_strongest, project_strongest

__all__ = ["ClassMaps", "Localization", "Strongest", "best_centred_box", "cam", "class_maps", "colour_filters",
           "components", "find_strongest", "gradcam", "has_cam", "iou", "largest_box", "localization", "project",
           "project_boxes", "project_strongest", "project_units", "strongest_units"]

"""Ways of seeing what a network looks for, one module each; none of them draws (see `plots`)."""

from .activations import ActivationMaps, activation_maps
from .filters import colour_filters
from .project import project, project_boxes, project_units, strongest_units
from .rules import by_rules
from .saliency import saliency
from .segment import Segmentation, segment
from .strongest import Strongest, find_strongest, project_strongest

__all__ = ["ActivationMaps", "Segmentation", "Strongest", "activation_maps", "by_rules", "colour_filters",
           "find_strongest", "project", "project_boxes", "project_strongest", "project_units", "saliency", "segment",
           "strongest_units"]

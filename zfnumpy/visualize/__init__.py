"""Ways of seeing what a network looks for, one module each; none of them draws (see `plots`)."""

from .filters import colour_filters
from .occlusion import Occlusion, occlude
from .project import project, project_boxes, project_units, strongest_units
from .strongest import Strongest, find_strongest, project_strongest

__all__ = ["Occlusion", "Strongest", "colour_filters", "find_strongest", "occlude", "project", "project_boxes",
           "project_strongest", "project_units", "strongest_units"]

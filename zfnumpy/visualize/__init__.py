"""Ways of seeing what a network looks for, one module each; none of them draws (see `plots`)."""

from .filters import filter_images
from .project import project, strongest_units
from .strongest import Strongest, find_strongest, project_strongest

__all__ = ["Strongest", "filter_images", "find_strongest", "project", "project_strongest", "strongest_units"]

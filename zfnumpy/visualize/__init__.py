"""Ways of seeing what a network looks for, one module each; none of them draws (see `plots`)."""

from .ascent import Ascent, class_image, unit_image
from .embedding import Pca, Tsne, nearest_cells, pca, thumbnail_grid, tsne
from .filters import colour_filters
from .fooling import Fooled, fool, framed
from .neighbours import Features, Neighbours, features, gather, nearest, neighbours
from .project import project, project_boxes, project_units, strongest_units
from .strongest import Strongest, find_strongest, project_strongest

__all__ = ["Ascent", "Features", "Fooled", "Neighbours", "Pca", "Strongest", "Tsne", "class_image", "colour_filters",
           "features", "find_strongest", "fool", "framed", "gather", "nearest", "nearest_cells", "neighbours", "pca",
           "project", "project_boxes", "project_strongest", "project_units", "strongest_units", "thumbnail_grid", "tsne",
           "unit_image"]

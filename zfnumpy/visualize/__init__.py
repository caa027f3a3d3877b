"""Ways of seeing what a network looks for, one module each; none of them draws (see `plots`)."""

from .deletion import PerturbationCurve, deletion, insertion
from .filters import colour_filters
from .pointing import Pointing, pointing_game
from .project import project, project_boxes, project_units, strongest_units
from .relevance import METHODS, relevance_maps
from .sanity import Randomization, randomization_test
from .similarity import rank_correlation, ssim
from .strongest import Strongest, find_strongest, project_strongest
from .truth import TruthTable, truth_table

__all__ = ["METHODS", "PerturbationCurve", "Pointing", "Randomization", "Strongest", "TruthTable", "colour_filters",
           "deletion", "find_strongest", "insertion", "pointing_game", "project", "project_boxes", "project_strongest",
           "project_units", "randomization_test", "rank_correlation", "relevance_maps", "ssim", "strongest_units",
           "truth_table"]

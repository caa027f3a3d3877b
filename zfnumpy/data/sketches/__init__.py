"""Sketches: ten classes of drawn objects made of named parts, with their whole truth; no download."""

from .dataset import SketchSet, load
from .scene import CLASSES, PARTS, Truth, draw

__all__ = ["CLASSES", "PARTS", "SketchSet", "Truth", "draw", "load"]

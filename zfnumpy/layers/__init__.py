"""Layers: settings, parameters and three maps each; no layer remembers a call."""

from .base import Layer
from .conv import Conv2d
from .dropout import Dropout
from .linear import Flatten, Linear
from .merge import Concatenate
from .norm import LocalResponseNorm
from .pool import AvgPool2d, GlobalAvgPool, MaxPool2d
from .relu import ReLU

__all__ = ["AvgPool2d", "Concatenate", "Conv2d", "Dropout", "Flatten", "GlobalAvgPool", "Layer", "Linear",
           "LocalResponseNorm", "MaxPool2d", "ReLU"]

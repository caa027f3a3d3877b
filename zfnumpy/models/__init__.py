"""Architectures: each a list of nodes, with the input scale it expects; and networks that are trained already."""

from .gap import alexnet_gap, gap_head, googlenet_gap
from .others import TINY_VGG_CLASSES, squeezenet1_1, tiny_vgg
from .parts import IMAGENET_MEAN, rescale_input
from .trained import EMBEDDED, embedded, sketches_gap, sketches_zfnet
from .zeiler import alexnet, alexnet_mini, zfnet, zfnet_mini

__all__ = ["EMBEDDED", "IMAGENET_MEAN", "TINY_VGG_CLASSES", "alexnet", "alexnet_gap", "alexnet_mini", "embedded", "gap_head",
           "googlenet_gap", "rescale_input", "sketches_gap", "sketches_zfnet", "squeezenet1_1", "tiny_vgg", "zfnet",
           "zfnet_mini"]

"""A small network and sketches whose names a careless page would trip over."""

import numpy as np

import zfnumpy as zf
from zfnumpy.data import ImageArray

CLASSES = ["<script>alert('class')</script>", 'a "quoted" & \'named\' class', "猫 (cat)", "</style>{{ 7 * 6 }}", "plain",
           "a class whose name is longer than any table has room for without breaking its lines", "x\u2028y", "-->", "été",
           "10"]


class Awkward(ImageArray):
    """Sketches with boxes, whose files are named as no file should be."""

    _rows = ("labels", "images", "boxes", "numbers")

    def __init__(self, drawn):
        super().__init__(drawn.images, drawn.labels, CLASSES)
        self.boxes, self.numbers = drawn.boxes, np.arange(len(drawn))

    def name(self, i):
        return f"/a folder/\"><img src=x onerror='alert({self.numbers[i]})'>\udcff.png"


def small_network(ops="numba"):
    """A ZFNet of few maps for ten classes, with the name of none."""
    net = zf.models.zfnet_mini(10, zf.get_ops(ops), seed=0, conv=(8, 12, 12, 12, 10), fc=(24, 24))
    net.classes = CLASSES
    return net

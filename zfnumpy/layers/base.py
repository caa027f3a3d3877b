"""What every layer is: settings and parameters, and three maps that keep nothing between calls."""

import numpy as np

from ..errors import ShapeError

INITS = ("he", "paper")
DRAWN = 1 << 14          # weights drawn at a time


class Layer:
    """One node's work. A subclass names its settings and writes `output_shape`, `forward`, `backward` and `project`.

    forward(*inputs) -> (y, cache): cache is what backward needs, nothing else is kept.
    backward(dy, cache) -> (dx, grads): the gradient of the input and of each parameter; `dx` a tuple for several inputs.
    project(r, cache, rule) -> r: carry a reconstruction down; the same as backward's dx but where a rule says otherwise.
    project_boxes(boxes, cache, rule) -> boxes: the same for windows of many units (see layers.boxes).

    forward_patches(*patches, base) -> y: `forward` of many versions of one image, where they differ (see layers.patches).

    `keeps` says which array a cache holds on to, so that a network knows what its tape already stores: "input",
    "output" or None.
    """

    settings = ()            # names of the constructor's arguments, which are attributes too: what a checkpoint stores
    keeps = None
    inputs = 1               # how many inputs it takes; None: any number

    def __init__(self):
        self.ops = None
        self.params = {}

    def build(self, ops, shapes, dtype, rng, init):
        """Take the backend, make the parameters for inputs of `shapes` (without N) and return the output's shape."""
        self.ops = ops
        return self.output_shape(*shapes)

    def output_shape(self, shape):
        """Return the output's shape for an input of `shape`, both without N."""
        return shape

    def forward(self, x, train=False, rng=None):
        raise NotImplementedError

    def backward(self, dy, cache, need_dx=True, need_grads=True):
        raise NotImplementedError

    def project(self, r, cache, rule):
        """Carry r down; a linear layer does as its gradient does."""
        return self.backward(r, cache, need_grads=False)[0]

    def project_boxes(self, boxes, cache, rule):
        """Carry down the reconstructions of many units, each in its window of its image: the same as `project` of each.

        What stands here is for a layer that maps every place by itself, with a cache of None or one array like its input.
        """
        return boxes.holding(self.project(boxes.values(), None if cache is None else boxes.of(cache), rule))

    def forward_patches(self, *patches, base, **how):
        """Return what `forward` makes of patches (layers.patches), as Patches of the output `base`, or as whole outputs.

        base (1, ...) is the output for the unchanged image; `how` goes to `forward`. What stands here makes whole outputs.
        """
        return self.forward(*(each.whole() for each in patches), **how)[0]

    def replay(self, cache, *inputs):
        """Return the output again from the same inputs and what the first pass left in its cache."""
        return self.forward(*inputs)[0]

    def window(self):
        """Return (size, stride, pad) as pairs where the layer looks through a window, else None."""
        return

    def fresh(self):
        """Return a new layer of the same settings, for another network: without parameters."""
        return type(self)(**{name: getattr(self, name) for name in self.settings})

    def describe(self):
        """Return the layer and its settings as one would write them."""
        values = {name: getattr(self, name) for name in self.settings}
        values = {name: v[0] if isinstance(v, tuple) and v[0] == v[1] else v for name, v in values.items()}  # 3, not (3, 3)
        return f"{type(self).__name__}({', '.join(f'{name}={v!r}' for name, v in values.items())})"


def initial_weight(shape, fan_in, ops, dtype, rng, init):
    """Draw a weight: "he" N(0, 2/fan_in), for inputs of about ±1; "paper" N(0, 1e-2²), for inputs of about ±128."""
    if init not in INITS:
        raise ShapeError(f"there is no initialization {init!r}; use one of {', '.join(INITS)}")
    std = np.sqrt(2 / fan_in) if init == "he" else 1e-2
    weight = np.empty(shape, dtype)
    flat, drawn = weight.reshape(-1), np.empty(min(weight.size, DRAWN), np.float32)
    for start in range(0, weight.size, DRAWN):           # a stretch stays in the cache between drawing and scaling
        part = flat[start:start + DRAWN]
        part[...] = std * rng.standard_normal(out=drawn[:part.size], dtype=np.float32)
    return ops.asarray(weight)


def feature_maps(shape, layer):
    """Return (C, H, W), or refuse an input that has been flattened already."""
    if len(shape) != 3:
        raise ShapeError(f"{type(layer).__name__} needs feature maps (C, H, W), got an input of shape {tuple(shape)}")
    return shape

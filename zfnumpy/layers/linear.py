"""The fully connected layer, and the flattening before it."""

import math

from ..errors import ShapeError
from ..shapes import count
from .base import Layer, initial_weight


class Linear(Layer):
    """x weightᵀ + bias, from however many features come in to `features`."""

    settings = ("features",)
    keeps = "input"

    def __init__(self, features):
        super().__init__()
        self.features = count(features, "features")

    def output_shape(self, shape):
        if len(shape) != 1:
            raise ShapeError(f"Linear needs features (D,), got an input of shape {tuple(shape)}: put a Flatten before it")
        return (self.features,)

    def build(self, ops, shapes, dtype, rng, init):
        y_shape = super().build(ops, shapes, dtype, rng, init)
        weight = initial_weight((self.features, shapes[0][0]), shapes[0][0], ops, dtype, rng, init)
        self.params = {"weight": weight, "bias": ops.xp.zeros(self.features, dtype=dtype)}
        return y_shape

    def forward(self, x, train=False, rng=None, relu=False):
        """Map x (N, in) to y (N, out), rectified in the same pass if `relu`; the cache is x."""
        return self.ops.linear(x, self.params["weight"], self.params["bias"], relu), x

    def backward(self, dy, x, need_dx=True, need_grads=True):
        ops, grads = self.ops, {}
        if need_grads:
            grads = {"weight": ops.linear_weight_grad(dy, x), "bias": ops.bias_grad(dy)}
        return ops.linear_input_grad(dy, self.params["weight"]) if need_dx else None, grads

    def project_boxes(self, boxes, x, rule):
        return boxes.holding(self.project(boxes.values(), None, rule))


class Flatten(Layer):
    """Lay maps (C, H, W) out as one row of features, channel by channel."""

    def output_shape(self, shape):
        return (math.prod(shape),)

    def forward(self, x, train=False, rng=None):
        return x.reshape(x.shape[0], math.prod(x.shape[1:])), x.shape

    def backward(self, dy, x_shape, need_dx=True, need_grads=True):
        return dy.reshape(x_shape), {}

    def project_boxes(self, boxes, x_shape, rule):
        return boxes.placed(self.project(boxes.values(), (len(boxes.images), *x_shape[1:]), rule))

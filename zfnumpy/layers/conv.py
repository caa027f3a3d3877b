"""Convolution."""

from ..errors import ShapeError
from ..shapes import conv_output_size, count, pair
from .base import Layer, feature_maps, initial_weight


class Conv2d(Layer):
    """`filters` filters of `size` over all maps of the input (or over a group's), plus a bias each."""

    settings = ("filters", "size", "stride", "pad", "groups")
    keeps = "input"

    def __init__(self, filters, size, stride=1, pad=0, groups=1):
        super().__init__()
        self.filters, self.groups = count(filters, "filters"), count(groups, "groups")
        self.size, self.stride, self.pad = pair(size, "size", 1), pair(stride, "stride", 1), pair(pad, "pad")

    def window(self):
        return self.size, self.stride, self.pad

    def output_shape(self, shape):
        C, H, W = feature_maps(shape, self)
        if C % self.groups or self.filters % self.groups:
            raise ShapeError(f"groups={self.groups} must divide both the {C} input channels and the {self.filters} filters")
        (KH, KW), (SH, SW), (PH, PW) = self.window()
        if KH > H + 2 * PH or KW > W + 2 * PW:
            raise ShapeError(f"the kernel {KH}×{KW} is larger than the padded image {H + 2 * PH}×{W + 2 * PW}")
        return self.filters, conv_output_size(H, KH, SH, PH), conv_output_size(W, KW, SW, PW)

    def build(self, ops, shapes, dtype, rng, init):
        y_shape = super().build(ops, shapes, dtype, rng, init)
        channels = shapes[0][0] // self.groups
        fan_in = channels * self.size[0] * self.size[1]
        weight = initial_weight((self.filters, channels, *self.size), fan_in, ops, dtype, rng, init)
        self.params = {"weight": weight, "bias": ops.xp.zeros(self.filters, dtype=dtype)}
        return y_shape

    def forward(self, x, train=False, rng=None, relu=False):
        """Map x (N, C, H, W) to y (N, F, OH, OW), rectified in the same pass if `relu`; the cache is x."""
        y = self.ops.conv2d(x, self.params["weight"], self.params["bias"], self.stride, self.pad, self.groups, relu)
        return y, x

    def forward_patches(self, patches, base, relu=False, **how):
        def correlate(x):
            return self.ops.conv2d(x, self.params["weight"], self.params["bias"], self.stride, 0, self.groups, relu)

        return patches.through(self.window(), correlate, base) or super().forward_patches(patches, base=base, relu=relu)

    def backward(self, dy, x, need_dx=True, need_grads=True):
        ops, weight, grads, dx = self.ops, self.params["weight"], {}, None
        if need_grads:
            grads["weight"] = ops.conv2d_weight_grad(dy, x, weight.shape, self.stride, self.pad, self.groups)
            grads["bias"] = ops.bias_grad(dy)
        if need_dx:
            dx = ops.conv2d_input_grad(dy, weight, x.shape, self.stride, self.pad, self.groups)
        return dx, grads

    def backward_unpooled(self, dy, switches, pooling, x):
        """Return the gradients of a first layer below a max pool with the window `pooling` (size, stride, pad).

        dy (N, F, PH, PW) is the pool's gradient, its switches say where in this layer's output each value belongs.
        """
        dw = self.ops.conv2d_weight_grad_unpooled(dy, switches, x, self.params["weight"].shape, self.stride, self.pad,
                                                  self.groups, *pooling)
        return {"weight": dw, "bias": self.ops.bias_grad(dy)}

    # `project` is backward's dx: the transposed filters, no bias (paper, sec. 2.1, step 3).

    def project_boxes(self, boxes, x, rule):
        below = boxes.at.under(self.size, self.stride, self.pad, x.shape[2:])
        return boxes.placed(self.ops.transpose_windows(boxes.stored, self.params["weight"], boxes.at, below, self.stride,
                                                       self.pad, self.groups, boxes.rectify, boxes.unpool), below)

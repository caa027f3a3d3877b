"""Max pooling with switches, average pooling, global average pooling."""

import numpy as np

from ..errors import ShapeError
from ..shapes import pair, pool_output_size
from .base import Layer, feature_maps


class _Pool(Layer):
    ceil_mode = False

    def __init__(self, size, stride=None, pad=0):
        super().__init__()
        self.size = pair(size, "size", 1)
        self.stride = self.size if stride is None else pair(stride, "stride", 1)
        self.pad = pair(pad, "pad")
        if any(2 * p > s for p, s in zip(self.pad, self.size)):
            raise ShapeError(f"pad {self.pad} must be at most half the window {self.size}")

    def window(self):
        return self.size, self.stride, self.pad

    def output_shape(self, shape):
        C, H, W = feature_maps(shape, self)
        if any(k > n + 2 * p for k, n, p in zip(self.size, (H, W), self.pad)):
            raise ShapeError(f"the window {self.size} is larger than the padded map of {H}×{W} with pad {self.pad}")
        return C, *(pool_output_size(n, k, s, p, self.ceil_mode)
                    for n, k, s, p in zip((H, W), self.size, self.stride, self.pad))


class MaxPool2d(_Pool):
    """The maximum of each window, and in the cache the switches: where each maximum came from."""

    settings = ("size", "stride", "pad", "ceil_mode")

    def __init__(self, size, stride=None, pad=0, ceil_mode=False):
        super().__init__(size, stride, pad)
        self.ceil_mode = bool(ceil_mode)

    def forward(self, x, train=False, rng=None, rectified=False):
        """Return y and (switches, x.shape, mask). `rectified` says x is a ReLU's output that nothing else needs.

        Then y is kept as the mask of that ReLU: a value that reached y was positive before the ReLU just when y is,
        so the mask can be applied up here, on a quarter of the pixels, and the ReLU's own output need not be stored.
        """
        y, switches = self.ops.max_pool2d(x, self.size, self.stride, self.pad, self.ceil_mode)
        return y, (switches, x.shape, y if rectified else None)

    def forward_patches(self, patches, base, **how):
        def pool(x):                                     # to whole windows: what padding or ceil mode adds is there already
            return self.ops.max_pool2d(x, self.size, self.stride)[0]

        return (patches.through(self.window(), pool, base, outside=-np.inf)
                or super().forward_patches(patches, base=base, **how))

    def _unpool(self, r, cache):
        switches, x_shape, _ = cache
        return self.ops.max_unpool2d(r, switches, x_shape, self.size, self.stride, self.pad)

    def at_switches(self, dy, cache):
        """Return dy as it passes the ReLU below, if that is told here, and the switches: the gradient before unpooling."""
        switches, _, mask = cache
        return dy if mask is None else self.ops.relu_backward(dy, mask), switches

    def backward(self, dy, cache, need_dx=True, need_grads=True):
        return self._unpool(self.at_switches(dy, cache)[0], cache), {}

    def project(self, r, cache, rule):
        """Unpool by the switches; with a rectified input also apply [x>0] where the rule asks for it."""
        masked = cache[2] is not None and rule != "deconvnet"
        return self._unpool(self.ops.relu_backward(r, cache[2]) if masked else r, cache)

    def project_boxes(self, boxes, cache, rule):
        switches, x_shape, mask = cache
        r, below = boxes.values(), boxes.at.under(*self.window(), x_shape[2:])
        masked = mask is not None and rule != "deconvnet"
        return boxes.unpooled(self.ops.relu_backward(r, boxes.of(mask)) if masked else r, switches, below, self.window())


class AvgPool2d(_Pool):
    """The average of each window; padded zeros count."""

    settings = ("size", "stride", "pad")

    def forward(self, x, train=False, rng=None):
        return self.ops.avg_pool2d(x, self.size, self.stride, self.pad), x.shape

    def forward_patches(self, patches, base, **how):
        def pool(x):
            return self.ops.avg_pool2d(x, self.size, self.stride)

        return patches.through(self.window(), pool, base) or super().forward_patches(patches, base=base, **how)

    def backward(self, dy, x_shape, need_dx=True, need_grads=True):
        return self.ops.avg_pool2d_grad(dy, x_shape, self.size, self.stride, self.pad), {}

    def project_boxes(self, boxes, x_shape, rule):
        whole = self.project(boxes.whole(), (len(boxes.images), *x_shape[1:]), rule)
        below = boxes.at.under(self.size, self.stride, self.pad, x_shape[2:])
        return boxes.placed(self.ops.cut_windows(whole, below._replace(images=np.arange(len(boxes.images)))), below)


class GlobalAvgPool(Layer):
    """The average of each whole map: (C, H, W) to (C,)."""

    def output_shape(self, shape):
        return feature_maps(shape, self)[:1]

    def forward(self, x, train=False, rng=None):
        return x.mean(axis=(2, 3)), x.shape

    def forward_patches(self, patches, base, **how):
        return base + patches.gained() / (patches.shape[2] * patches.shape[3])

    def backward(self, dy, x_shape, need_dx=True, need_grads=True):
        share = dy[:, :, None, None] / (x_shape[2] * x_shape[3])
        return self.ops.xp.broadcast_to(share, x_shape).copy(), {}

    def project_boxes(self, boxes, x_shape, rule):
        return boxes.placed(self.project(boxes.values(), (len(boxes.images), *x_shape[1:]), rule))

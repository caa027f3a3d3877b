"""Local response normalization, the paper's contrast normalization across feature maps."""

from ..shapes import count
from .base import Layer, feature_maps


class LocalResponseNorm(Layer):
    """x / (k + alpha/size Σ x²)^beta over `size` neighbouring maps (AlexNet's constants)."""

    settings = ("size", "alpha", "beta", "k")
    keeps = "input"

    def __init__(self, size=5, alpha=5e-4, beta=0.75, k=2.0):
        super().__init__()
        self.size, self.alpha, self.beta, self.k = count(size, "size"), float(alpha), float(beta), float(k)

    def output_shape(self, shape):
        return feature_maps(shape, self)

    def forward(self, x, train=False, rng=None):
        return self.ops.local_response_norm(x, self.size, self.alpha, self.beta, self.k), x

    def forward_patches(self, patches, base, **how):
        return patches.replaced(lambda x: self.forward(x, **how)[0], base)

    def backward(self, dy, x, need_dx=True, need_grads=True):
        return self.ops.local_response_norm_grad(dy, x, self.size, self.alpha, self.beta, self.k), {}

    def project(self, r, x, rule):
        """The gradient goes through; the deconvnet and guided backpropagation pass the normalization by."""
        return self.backward(r, x)[0] if rule == "gradient" else r

    def project_boxes(self, boxes, x, rule):
        return super().project_boxes(boxes, x, rule) if rule == "gradient" else boxes

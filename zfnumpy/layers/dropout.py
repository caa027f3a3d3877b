"""Dropout."""

from ..errors import ShapeError
from .base import Layer


class Dropout(Layer):
    """In training, zero each value with probability p and scale the others by 1 / (1 - p); otherwise do nothing."""

    settings = ("p",)

    def __init__(self, p=0.5):
        super().__init__()
        if not 0 <= p < 1:
            raise ShapeError(f"dropout's p must lie in [0, 1), got {p}")
        self.p = float(p)

    def forward(self, x, train=False, rng=None):
        """Return x times a mask drawn from rng, and the mask; x itself and None when not training."""
        if not train or not self.p:
            return x, None
        mask = self.ops.dropout_mask(x.shape, self.p, rng, x.dtype)
        return x * mask, mask

    def forward_patches(self, patches, base, **how):
        return patches.replaced(lambda x: self.forward(x, **how)[0], base)

    def backward(self, dy, mask, need_dx=True, need_grads=True):
        return (dy if mask is None else dy * mask), {}

    def replay(self, mask, x):
        return x if mask is None else x * mask

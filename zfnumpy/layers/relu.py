"""ReLU, the one layer where the three ways of looking inside a network differ."""

from .base import Layer


class ReLU(Layer):
    """max(x, 0). The mask [x > 0] is read from the output, which the next layer mostly keeps anyway."""

    keeps = "output"

    def forward(self, x, train=False, rng=None):
        y = self.ops.relu(x)
        return y, y

    def forward_patches(self, patches, base, **how):
        return patches.replaced(lambda x: self.forward(x, **how)[0], base)

    def backward(self, dy, y, need_dx=True, need_grads=True):
        """Return dy·[x>0]. A cache of None says that a max pool above has applied the mask already."""
        return (dy if y is None else self.ops.relu_backward(dy, y)), {}

    def project(self, r, y, rule):
        """Carry r down by the rule: gradient r·[x>0], deconvnet r·[r>0], guided r·[x>0]·[r>0] (paper, sec. 2.1)."""
        return r if y is None and rule == "gradient" else self.ops.relu_backward(r, y, rule)

    def project_boxes(self, boxes, y, rule):
        if rule == "deconvnet" or y is None:
            return boxes if rule == "gradient" else boxes.rectified()
        return super().project_boxes(boxes, y, rule)

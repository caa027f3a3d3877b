"""Stochastic gradient descent with momentum."""

from .errors import CheckpointError, ShapeError
from .layers import Conv2d


class SGD:
    """v ← momentum v + grad + weight_decay w; w ← w - lr v, for every parameter that has a gradient (PyTorch's form).

    `max_filter_rms` (the paper: 0.1) scales every convolution filter whose RMS exceeds it back to it after each step,
    which belongs with inputs of about ±128 and weights that start at 1e-2; None leaves filters alone. `lr` may be
    changed between steps. Weight decay counts for biases too.
    """

    def __init__(self, net, lr=0.01, momentum=0.9, weight_decay=0.0, max_filter_rms=None):
        if not lr > 0 or not 0 <= momentum < 1 or not weight_decay >= 0:
            raise ShapeError(f"SGD needs lr > 0, momentum in [0, 1) and weight_decay >= 0, "
                             f"got {lr}, {momentum}, {weight_decay}")
        self.net, self.lr, self.momentum, self.weight_decay = net, lr, momentum, weight_decay
        self.max_filter_rms = max_filter_rms
        self.velocity = {name: net.ops.xp.zeros(w.shape, dtype=w.dtype) for name, w in net.params.items()}
        self._filters = [f"{name}.weight" for name, node in net.nodes.items() if isinstance(node.layer, Conv2d)]

    def step(self, grads):
        """Take one step along {"conv1.weight": gradient, …}; parameters that are not named stay as they are."""
        unknown = [name for name in grads if name not in self.velocity]
        if unknown:
            raise ShapeError(f"SGD: there is no parameter {', '.join(unknown)}; there are {', '.join(self.velocity)}")
        ops, params = self.net.ops, self.net.params
        for name, grad in grads.items():
            ops.sgd_update(params[name], self.velocity[name], grad, self.lr, self.momentum, self.weight_decay)
        if self.max_filter_rms:
            for name in self._filters:
                if name in grads:
                    ops.renormalize_filters(params[name], self.max_filter_rms)

    def restore(self, velocity):
        """Set the velocities from {"conv1.weight": array, …}, as a checkpoint holds them."""
        for name, v in self.velocity.items():
            if name not in velocity or tuple(velocity[name].shape) != tuple(v.shape):
                raise CheckpointError(f"the checkpoint holds no velocity of shape {tuple(v.shape)} for {name}")
        for name, v in self.velocity.items():
            v[...] = self.net.ops.asarray(velocity[name], dtype=v.dtype)

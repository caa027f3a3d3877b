"""Joining branches."""

from ..errors import ShapeError
from .base import Layer, feature_maps
from .patches import Patches


class Concatenate(Layer):
    """Stack the maps of several inputs of the same height and width, in the order they are named."""

    inputs = None

    def output_shape(self, *shapes):
        planes = {feature_maps(shape, self)[1:] for shape in shapes}
        if len(planes) > 1:
            raise ShapeError(f"Concatenate needs inputs of one height and width, got {', '.join(map(str, shapes))}")
        return (sum(shape[0] for shape in shapes), *shapes[0][1:])

    def forward(self, *xs, train=False, rng=None):
        """Join xs (N, C_i, H, W) to (N, ΣC_i, H, W); the cache is the C_i."""
        return self.ops.xp.concatenate(xs, axis=1), [x.shape[1] for x in xs]

    def forward_patches(self, *patches, base, **how):
        return Patches.joined(patches, base)

    def backward(self, dy, channels, need_dx=True, need_grads=True):
        parts, start = [], 0
        for count in channels:
            parts.append(dy[:, start:start + count])
            start += count
        return tuple(parts), {}

    def project_boxes(self, boxes, channels, rule):
        return tuple(boxes.holding(part) for part in self.project(boxes.values(), channels, rule))

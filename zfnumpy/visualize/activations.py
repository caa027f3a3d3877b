"""A layer's activations as they are: a map a filter, or one number a feature."""

from dataclasses import dataclass

import numpy as np

from ..paths import save_result


@dataclass
class ActivationMaps:
    """The outputs of `layer` for N images: maps (N, C, h, w), or (N, D) where the layer has features, NumPy."""

    layer: str
    maps: np.ndarray

    def activity(self):
        """Return how much each map or feature fired in each image: the mean of what is positive in it, (N, C) or (N, D)."""
        fired = np.maximum(self.maps, 0)
        return fired.mean(axis=(2, 3)) if fired.ndim == 4 else fired

    def most_active(self, image=0, top=None):
        """Return the `top` most active maps, or largest features, of one image (default: all), the first first: (top,)."""
        strength = self.activity() if self.maps.ndim == 4 else self.maps
        return np.argsort(-strength[image], kind="stable")[:top]

    def save(self, folder, **about):
        """Write activations_<layer>.npz (maps) and .json (layer, shape, silent maps an image, what `about` adds)."""
        silent = (self.activity() <= 0).sum(axis=1)
        save_result(folder, f"activations_{self.layer}", {"maps": self.maps},
                    {"layer": self.layer, "shape": self.maps.shape, "silent": silent, **about})


def activation_maps(net, x, layer):
    """Run x (N, 3, H, W) up to `layer` and return its ActivationMaps.

    "conv5" is the filter output, negative values and all; "relu5" the same after rectification. NodeError for a layer that
    the network does not have.
    """
    return ActivationMaps(layer, net.ops.to_numpy(net.activations(x, layer)[layer]))

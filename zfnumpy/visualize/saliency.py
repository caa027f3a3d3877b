"""Saliency: which pixels a class score answers to (Simonyan et al., 1312.6034), plain or averaged over noise."""

import numpy as np

from ..errors import ShapeError
from ..shapes import count
from .project import checked_tape, project
from .target import class_labels, magnitude


def saliency(net, x, label=None, tape=None, noise=0.0, samples=16, seed=0):
    """Return how strongly each pixel of x (N, 3, H, W) moves a class score, (N, H, W) of NumPy, from 0 on.

    The largest magnitude over the colours of the gradient of the score, before softmax, by the pixel (1312.6034, sec. 3).
    label: None for each image's strongest class, an int, or N ints. tape: of an earlier net.forward(x), which saves that
    pass. A score that no pixel moves, one that is 0 because none of its rectified maps fired for one, gives a map of
    zeros.

    noise: above 0, SmoothGrad (1706.03825): the gradient is averaged over `samples` copies of the image with Gaussian
    noise added, its standard deviation `noise` times the image's range from darkest to brightest (the authors take 0.1 to
    0.2), drawn from `seed`, an int or a Generator; the class is that of the clean image. Costs as many passes as samples.
    """
    samples = count(samples, "samples")
    if not 0 <= noise < float("inf"):
        raise ShapeError(f"noise is a share of the image's range, 0 or more, got {noise}")
    tape = checked_tape(net, x, net.output, tape)
    labels = class_labels(net, net.value(net.output, tape), label)
    if not noise:
        return net.ops.to_numpy(magnitude(project(net, x, net.output, labels, "gradient", tape)))
    rng, ranges = np.random.default_rng(seed), x.max(axis=(1, 2, 3)) - x.min(axis=(1, 2, 3))
    sigma = float(noise) * ranges[:, None, None, None]
    total = net.ops.xp.zeros_like(x)
    for _ in range(samples):
        noisy = x + sigma * net.ops.asarray(rng.standard_normal(x.shape), dtype=x.dtype)
        total += project(net, noisy, net.output, labels, "gradient")
    return net.ops.to_numpy(magnitude(total / samples))

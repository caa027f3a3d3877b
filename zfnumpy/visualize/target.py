"""Which class is asked about, and a reconstruction as one number a pixel: what most ways of seeing begin and end with."""

import numpy as np

from ..errors import NodeError


def class_labels(net, scores, label=None):
    """Return the class that is asked about in each image, (N,) int64 of NumPy.

    scores (N, K): those of the images. label: None for each image's strongest class, an int, or N ints. NodeError for a
    class that the network does not have.
    """
    N, K = scores.shape
    if label is None:
        return net.ops.to_numpy(scores.argmax(axis=1)).astype(np.int64)
    labels = np.asarray(net.ops.to_numpy(label))
    if labels.dtype.kind not in "iu" or labels.shape not in ((), (N,)):
        raise NodeError(f"a class is an int, or {N} ints for {N} images, got {labels.dtype} of shape {labels.shape}")
    if labels.size and (labels.min() < 0 or labels.max() >= K):
        wrong = int(labels.max() if labels.max() >= K else labels.min())
        raise NodeError(f"there is no class {wrong}: {net.name} tells {K} apart, 0 to {K - 1}")
    return np.broadcast_to(labels, (N,)).astype(np.int64)


def magnitude(r):
    """Reduce reconstructions (N, 3, H, W) to (N, H, W): the largest magnitude over the colours (Simonyan's saliency)."""
    return abs(r).max(axis=1)

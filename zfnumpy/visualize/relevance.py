"""Which pixels matter for a class, by every method: maps to be tested beside one another.

Three of them know nothing of the network. They are there to be beaten: what an explanation shares with the edges of the
picture, or with its middle, it need not have from the network.
"""

import zlib

import numpy as np

from ..errors import NodeError
from .cam import cam, gradcam
from .occlusion import occlude, positions
from .project import checked_tape, project
from .saliency import saliency
from .target import class_labels, magnitude

BATCH = 16                       # pictures whose tape is held at once


def gradient_input(net, x, label=None, tape=None):
    """The magnitude of gradient × input, summed over the colours: what each pixel adds to the score or takes from it."""
    return net.ops.to_numpy(abs((_from_one(net, x, label, tape, "gradient") * x).sum(axis=1)))


def guided(net, x, label=None, tape=None):
    """Guided backpropagation (Springenberg et al., 1412.6806) from the class score: its magnitude, as for the gradient."""
    return net.ops.to_numpy(magnitude(_from_one(net, x, label, tape, "guided")))


def deconvnet(net, x, label=None, tape=None):
    """The deconvnet (Zeiler & Fergus, sec. 2.1) from the class score: its largest magnitude over the colours.

    It starts from one instead of from the score. A score above zero only scales what the deconvnet shows; from one below
    zero it would show what holds the class down, and a random network's scores are below zero every other time.
    """
    return net.ops.to_numpy(magnitude(_from_one(net, x, label, tape, "deconvnet")))


def class_map(net, x, label=None, tape=None):
    """Grad-CAM (Selvaraju et al., 1610.02391) of the last maps, at the picture's size."""
    return gradcam(net, x, label, tape=tape).upsampled()


def activation_map(net, x, label=None, tape=None):
    """What speaks for the class in its activation map (Zhou et al., 1512.04150), at the picture's size."""
    return np.maximum(cam(net, x, label, tape).upsampled(), 0)


def occlusion(net, x, label=None, tape=None):
    """How much the class's score falls when a square covers the pixel (Zeiler & Fergus, sec. 4.2); where it rises, 0.

    Squares are a seventh of the side, as `occlude` has them, and half of that apart.
    """
    labels = class_labels(net, net.scores(x) if tape is None else net.value(net.output, tape), label)
    _, _, size, _ = positions(x.shape[2:])
    stride = tuple(max(1, side // 2) for side in size)
    maps = [occlude(net, x[n:n + 1], size, stride, label=int(k), layer=net.output).relevance("score")
            for n, k in enumerate(labels)]
    return np.maximum(np.array(maps), 0).astype(str(x.dtype)).reshape(len(labels), *x.shape[2:])


def edges(net, x, label=None, tape=None):
    """The picture's own edges: how steep it is at each pixel, the largest over the colours. Ignores the network."""
    padded = np.pad(net.ops.to_numpy(x), ((0, 0), (0, 0), (1, 1), (1, 1)), mode="edge")
    down, across = padded[:, :, 2:, 1:-1] - padded[:, :, :-2, 1:-1], padded[:, :, 1:-1, 2:] - padded[:, :, 1:-1, :-2]
    return np.hypot(down, across).max(axis=1) / 2


def centre(net, x, label=None, tape=None):
    """A Gaussian in the middle of the picture, a quarter of its side wide. Ignores network and picture."""
    N, _, H, W = x.shape
    down, across = (((np.arange(size) - (size - 1) / 2) / (size / 4)) ** 2 / 2 for size in (H, W))
    return np.repeat(np.exp(-down[:, None] - across).astype(str(x.dtype))[None], N, axis=0)


def noise(net, x, label=None, tape=None):
    """White noise, the same for the same picture. Ignores the network."""
    pictures = np.ascontiguousarray(net.ops.to_numpy(x))
    maps = [np.random.default_rng(zlib.crc32(picture)).random(picture.shape[1:]) for picture in pictures]
    return np.array(maps, x.dtype).reshape(len(pictures), *pictures.shape[2:])


METHODS = {"gradient": saliency, "gradient-x-input": gradient_input, "guided": guided, "deconvnet": deconvnet,
           "gradcam": class_map, "cam": activation_map, "occlusion": occlusion, "edges": edges, "centre": centre,
           "noise": noise}
MODEL_FREE = ("edges", "centre", "noise")


def relevance_maps(net, x, methods=None, label=None, batch=BATCH, progress=iter):
    """Return ({method: relevance (N, H, W) NumPy, 0 or more}, {method: why the network cannot have it}) for x (N, 3, H, W).

    methods: {name: function(net, x, label, tape)} (default: METHODS). label: None for each picture's strongest class, an
    int, or N ints. All methods share one forward pass of each `batch` pictures; `progress` wraps these batches. NodeError
    where no method is left.
    """
    methods, notes = METHODS if methods is None else methods, {}
    if np.ndim(label) and len(label) != x.shape[0]:
        raise NodeError(f"{x.shape[0]} pictures need {x.shape[0]} classes, got {len(label)}")
    parts = {name: [] for name in methods}
    for first in progress(range(0, x.shape[0], batch)):
        some = x[first:first + batch]
        scores, tape = net.forward(some)
        labels = class_labels(net, scores, label if np.ndim(label) == 0 else label[first:first + batch])
        for name, method in methods.items():
            if name not in notes:
                try:
                    parts[name].append(method(net, some, labels, tape))
                except NodeError as error:
                    notes[name] = str(error)
    left = {name: np.concatenate(maps) for name, maps in parts.items() if name not in notes and maps}
    if not left:
        raise NodeError(f"none of {len(methods)} methods has a map of {x.shape[0]} pictures"
                        + "".join(f"; {name}: {why}" for name, why in notes.items()))
    return left, notes


def chosen(names):
    """Return the METHODS of these names, in the order of METHODS; NodeError for one that there is not."""
    for name in names:
        if name not in METHODS:
            raise NodeError(f"there is no method {name!r}; there are {', '.join(METHODS)}")
    return {name: method for name, method in METHODS.items() if name in names}


def _from_one(net, x, label, tape, rule):
    """Carry one from the class's score down to the pixels by a rule: (N, 3, H, W)."""
    tape = checked_tape(net, x, net.output, tape)
    labels = class_labels(net, net.value(net.output, tape), label)
    return project(net, x, net.output, labels, rule, tape, start=1)

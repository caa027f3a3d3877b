"""Images made by gradient ascent: what a class, a map or a unit would most like to see (Simonyan et al., 1312.6034, sec. 2).

Nothing but the score's gradient by the pixels is followed; what makes the result a picture rather than noise are the
regularizers, each a step of the loop in `_ascend`: the image is shifted and resized a little before each look, so that no
pattern can rely on single pixels; the gradient is spread to coarser scales; pixels decay towards the mean (l2), are
blurred every few steps (Yosinski et al., 1506.06579), and stay within 0 to 255 (Mahendran and Vedaldi, 1512.02017).
"""

from dataclasses import dataclass

import numpy as np

from ..errors import ShapeError
from ..paths import arrays_of, save_result
from ..shapes import count, pair
from .ends import scores_node
from .project import unit_index
from .target import class_labels

# The covariance of red, green and blue over photographs (from the square root given by Olah et al., Feature Visualization).
COLOURS = np.array([[0.0761, 0.0692, 0.0627], [0.0692, 0.0754, 0.0714], [0.0627, 0.0714, 0.0819]])


@dataclass
class Ascent:
    """Images that a unit each answers to, made from noise.

    images (N, 3, H, W): prepared inputs, NumPy. pictures (N, H, W, 3) uint8 RGB: the same to look at. units (N, 1 or 3):
    channel, or channel, row and column, of `layer`; starts (N,): the number of the noise each began with. values
    (steps + 1, N): the unit's value, of a map its average, before each step as the network saw the shifted image, and in the
    last row of the finished image. settings: everything else it was made with.
    """

    layer: str
    units: np.ndarray
    starts: np.ndarray
    images: np.ndarray
    pictures: np.ndarray
    values: np.ndarray
    settings: dict

    def save(self, folder, name="ascent"):
        """Write the arrays as .npz and the settings as .json into `folder`."""
        about = {"layer": self.layer, "units": self.units, "values": self.values[-1], "settings": self.settings}
        return save_result(folder, name, arrays_of(self), about)


def class_image(net, label, **settings):
    """Make an image that has a high score, before softmax, for each class of `label` (an int or a list): Ascent.

    All are made in one batch, from the same noise: what differs is the class. The score is followed at the node that makes
    it, before a ReLU (`ends.scores_node`): a class that is nowhere in the noise has a gradient too. settings: of
    `unit_image`.
    """
    labels = np.atleast_1d(np.asarray(net.ops.to_numpy(label)))
    class_labels(net, np.empty((len(labels), *net.shapes[net.output])), labels)
    return unit_image(net, scores_node(net), (labels,), **settings)


def unit_image(net, layer, unit, steps=200, lr=2.0, l2=0.01, blur=0.0, every=4, jitter=None, zoom=0.1, spread=1.0,
               muted=0.25, noise=10.0, starts=1, size=None, seed=0, progress=iter):
    """Make an image that a unit of `layer` answers to strongly, by gradient ascent from noise: Ascent.

    unit: (channel,), for a map the average of all its positions, or (channel, row, col); each part may be an array, for
    several images at once. steps, and lr: the root mean square of the first step, in pixel units of 0 to 255; steps shrink
    to nothing in even parts. l2: the share of its distance from middle grey that the image loses in the first. blur: a
    Gaussian of that many pixels, `every` so many steps. jitter: the largest shift in pixels (default: a sixteenth of the
    shorter side), zoom: the largest share by which the image is enlarged or made smaller, both drawn anew each step. spread:
    the gradient at frequency f is divided by f to this power, muted: its colours are multiplied by the covariance that they
    have in photographs to this power; 0 leaves it. noise: the start's standard deviation about middle grey in pixel units.
    starts: images for each unit, from different noise. size (H, W): of the images, where the network takes others than its
    own. seed, or a Generator: decides all that is drawn, the same for every image of the batch. `progress` wraps an iterable
    of the steps (tqdm, say).
    """
    if net.preprocessing is None:
        raise ShapeError(f"{net.name} has no preprocessing, which says what a pixel's range is: set net.preprocessing")
    steps, starts, every = count(steps, "steps"), count(starts, "starts"), count(every, "every")
    H, W = net.input_shape[1:] if size is None else pair(size, "size", 1)
    jitter = min(H, W) // 16 if jitter is None else jitter
    for name, value in (("lr", lr), ("l2", l2), ("blur", blur), ("jitter", jitter), ("zoom", zoom), ("spread", spread),
                        ("muted", muted), ("noise", noise)):
        if not 0 <= value < (1 if name in ("l2", "zoom") else np.inf):
            raise ShapeError(f"{name} must be a number from 0" + (" to below 1" if name in ("l2", "zoom") else "")
                             + f", got {value}")
    settings = {"steps": steps, "lr": lr, "l2": l2, "blur": blur, "every": every, "jitter": jitter, "zoom": zoom,
                "spread": spread, "muted": muted, "noise": noise, "size": (H, W),
                "seed": seed if isinstance(seed, int) else None}
    rng, limits = np.random.default_rng(seed), pixel_range(net, (H, W))
    drawn = rng.standard_normal((starts, 3, H, W)) * (noise * net.preprocessing.scale)
    x = net.ops.xp.clip(sum(limits) / 2 + net.ops.asarray(drawn, dtype=net.dtype), *limits)
    units = _units(net, layer, unit, x[:1])
    x, numbers = net.ops.xp.tile(x, (len(units), 1, 1, 1)), np.tile(np.arange(starts), len(units))
    units = np.repeat(units, starts, axis=0)
    x, values = _ascend(net, layer, units, x, limits, settings, rng, progress)
    images = net.ops.to_numpy(x)
    return Ascent(layer, units, numbers, images, net.preprocessing.pixels(images), values, settings)


def _ascend(net, layer, units, x, limits, use, rng, progress):
    """Return x (N, 3, H, W) after all steps, and the values of its units at each."""
    xp, (H, W), unit_of_pixels, grey = net.ops.xp, x.shape[2:], net.preprocessing.scale, sum(limits) / 2
    mix = net.ops.asarray(_natural(use["muted"], net.preprocessing.order), dtype=net.dtype)
    steps, values = use["steps"], []
    soft = [net.ops.asarray(gaussian(n, use["blur"]), dtype=net.dtype) for n in (H, W)] if use["blur"] else None
    *waves, weights = (net.ops.asarray(each, dtype=net.dtype) for each in _spreading(H, W, use["spread"]))
    for step in progress(range(steps)):
        view = [net.ops.asarray(each, dtype=net.dtype) for each in _view(H, W, use["jitter"], use["zoom"], rng)]
        value, g = value_and_gradient(net, layer, units, apart(view, x))
        g = apart([each.T for each in view], g)
        values.append(net.ops.to_numpy(value))
        if use["spread"]:
            g = apart([each.T for each in waves], apart(waves, g) * weights)
        if use["muted"]:
            g = (mix @ g.reshape(len(g), 3, H * W)).reshape(g.shape)
        length = xp.sqrt((g * g).mean(axis=(1, 2, 3), keepdims=True))
        g = g * (use["lr"] * unit_of_pixels) / xp.where(length > 0, length, 1)
        x = x + (1 - step / steps) * (g + use["l2"] * (grey - x))
        if soft and step % use["every"] == use["every"] - 1 and step < steps - 1:
            x = apart(soft, x)
        x = xp.clip(x, *limits).astype(net.dtype)
    values.append(net.ops.to_numpy(value_and_gradient(net, layer, units, x)[0]))
    return x, np.array(values)


def value_and_gradient(net, layer, units, x):
    """Return the values (N,) of a unit of `layer` each, and their gradients by x (N, 3, H, W).

    units (N, 1 or 3): channel, or channel, row and column; of a map's channel the average over its positions.
    """
    xp, tape = net.ops.xp, net.tape_to(layer, x)
    y = net.value(layer, tape)
    r = xp.zeros_like(y)
    at = (xp.arange(len(units)), *(xp.asarray(part) for part in units.T))
    r[at] = 1 if y.ndim == units.shape[1] + 1 else 1 / (y.shape[2] * y.shape[3])
    return (y * r).sum(axis=tuple(range(1, y.ndim))), net.project(layer, r, tape, "gradient")


def pixel_range(net, size):
    """Return what black and white are in the network's inputs of `size` (H, W): two arrays, (3, 1, 1), or (3, H, W) where a
    mean image is subtracted.
    """
    use = net.preprocessing
    mean = use.mean[:, None, None]
    if use.has_mean_image:
        if tuple(size) != (use.crop, use.crop):
            raise ShapeError(f"the mean image is of {use.crop}×{use.crop} pixels: images of {size[0]}×{size[1]} have none")
        mean = use.mean[:, use.inner:use.inner + use.crop, use.inner:use.inner + use.crop]
    return tuple(net.ops.asarray((value - mean) * use.scale, dtype=net.dtype) for value in (0, 255))


def gaussian(n, sigma):
    """Return the matrix (n, n) that blurs a line of n pixels by a Gaussian; at the ends the last pixel goes on."""
    at = np.arange(n)
    reach = int(np.ceil(4 * sigma))
    found = np.zeros((n, n))
    for shift in range(-reach, reach + 1):
        np.add.at(found, (at, np.clip(at + shift, 0, n - 1)), np.exp(-0.5 * (shift / sigma) ** 2))
    return found / found.sum(axis=1, keepdims=True)


def apart(matrices, x):
    """Apply one matrix to the columns and one to the rows of x (N, C, H, W): what is separable, as a blur or a resize."""
    down, across = matrices
    return down @ x @ across.T


def _view(H, W, jitter, zoom, rng):
    """Return two matrices that shift an image by whole pixels up to `jitter`, and enlarge it by up to a share of `zoom`."""
    factor = 1 + rng.uniform(-zoom, zoom)
    shifts = rng.integers(-int(jitter), int(jitter) + 1, 2)
    return [_resampling(n, factor, shift) for n, shift in zip((H, W), shifts)]


def _resampling(n, factor, shift):
    """Return the matrix (n, n) that enlarges a line of n pixels about its middle and shifts it, between pixels linearly."""
    at = np.clip((np.arange(n) - (n - 1) / 2) / factor + (n - 1) / 2 - shift, 0, n - 1)
    left = np.floor(at).astype(int)
    found = np.zeros((n, n))
    np.add.at(found, (np.arange(n), left), 1 - (at - left))
    np.add.at(found, (np.arange(n), np.minimum(left + 1, n - 1)), at - left)
    return found


def _spreading(H, W, spread):
    """Return what divides an image's cosine frequencies f by f^spread: two matrices into them, and weights (H, W).

    Cosines and not Fourier's waves, so that what leaves the image at one side does not come in at the other.
    """
    f = np.hypot(np.arange(H)[:, None] / (2 * H), np.arange(W) / (2 * W))
    return _cosines(H), _cosines(W), np.maximum(f, 1 / max(H, W)) ** -float(spread)


def _natural(power, order):
    """Return the covariance of a photograph's colours to a power (3, 3), its largest eigenvalue one: grey before any hue."""
    values, vectors = np.linalg.eigh(COLOURS)
    found = vectors * (values / values[-1]) ** power @ vectors.T
    return found[::-1, ::-1] if order == "BGR" else found


def _cosines(n):
    """Return the orthonormal matrix (n, n) of the discrete cosine transform: row k holds frequency k/2n."""
    found = np.cos(np.pi / n * np.arange(n)[:, None] * (np.arange(n) + 0.5)) * np.sqrt(2 / n)
    found[0] /= np.sqrt(2)
    return found


def _units(net, layer, unit, x):
    """Return units as (U, 1 or 3) int64, after refusing what the layer does not have for one image x (1, 3, H, W)."""
    y = net.activations(x, net.node(layer).name)[layer]
    parts = [np.asarray(net.ops.to_numpy(part)) for part in (unit if isinstance(unit, (tuple, list)) else (unit,))]
    U = max((part.size for part in parts), default=0)
    parts = [part.reshape(()) if part.size == 1 else part for part in parts]
    unit_index(net, layer, net.ops.xp.zeros((U, *y.shape[1:]), y.dtype), tuple(parts))
    return np.stack([np.broadcast_to(part, (U,)) for part in parts], axis=1).astype(np.int64)

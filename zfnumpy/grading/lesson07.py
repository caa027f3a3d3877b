"""The checks of lesson 7: picking a unit, the deconvnet's step, and a projection through several layers.

What a student's functions call (unpool, filter_down, go_up) comes from the lesson; the references use the package's.
"""

import numpy as np

from ..ops.reference import Ops
from .check import TaskCheck, case

OPS = Ops()


def checks(rng):
    """Return {task: TaskCheck} of fresh cases."""
    return {"7.1": _pick(rng), "7.2": _step(rng), "7.3": _project(rng)}


# ---- the lesson's way up and down, by the package --------------------------------------------------------------------


def go_up(x, layers):
    left = []
    for layer in layers:
        y = np.maximum(OPS.conv2d(x, layer["weight"], layer["bias"], stride=layer["stride"], pad=layer["pad"]), 0)
        pooled, switches = OPS.max_pool2d(y, layer["size"], layer["pool_stride"], layer["pool_pad"])
        left.append({"x_shape": x.shape, "y": y, "pooled": pooled, "switches": switches.astype(np.int64)})
        x = pooled
    return left


def unpool(r, left):
    return OPS.max_unpool2d(r, left["switches"].astype(np.int32), left["y"].shape)


def filter_down(r, layer, left):
    return OPS.conv2d_input_grad(r, layer["weight"], left["x_shape"], stride=layer["stride"], pad=layer["pad"])


def pick_unit(maps, channel):
    N, _, H, W = maps.shape
    best = maps[:, channel].reshape(N, H * W).argmax(axis=1)
    where = np.arange(N), channel, best // W, best % W
    picked = np.zeros_like(maps)
    picked[where] = maps[where]
    return picked


def deconv_step(r, layer, left):
    return filter_down(np.maximum(unpool(r, left), 0), layer, left)


def project(x, layers, channel, step=deconv_step, pick=pick_unit):
    left = go_up(x, layers)
    r = pick(left[-1]["pooled"], channel)
    for layer, of_layer in zip(reversed(layers), reversed(left)):
        r = step(r, layer, of_layer)
    return r


# ---- what goes wrong in a step ---------------------------------------------------------------------------------------


def forward_mask(r, layer, left):
    return filter_down(unpool(r, left) * (left["y"] > 0), layer, left)


def not_rectified(r, layer, left):
    return filter_down(unpool(r, left), layer, left)


def both_masks(r, layer, left):
    return filter_down(np.maximum(unpool(r, left), 0) * (left["y"] > 0), layer, left)


def rectified_first(r, layer, left):
    return filter_down(unpool(np.maximum(r, 0), left), layer, left)


def rectified_last(r, layer, left):
    return np.maximum(filter_down(unpool(r, left), layer, left), 0)


def flipped(r, layer, left):
    return deconv_step(r, {**layer, "weight": layer["weight"][:, :, ::-1, ::-1]}, left)


def with_bias(r, layer, left):
    return filter_down(np.maximum(unpool(r, left) - layer["bias"][:, None, None], 0), layer, left)


def other_image(r, layer, left):
    return deconv_step(r, layer, {**left, "switches": np.broadcast_to(left["switches"][:1], left["switches"].shape).copy()})


STEP_MISTAKES = [
    ("It looks as if the ReLU asks where the forward maps were positive: that is the gradient. The deconvnet rectifies what "
     "comes down.", forward_mask),
    ("It looks as if nothing is rectified between unpooling and filtering.", not_rectified),
    ("It looks as if the forward mask is applied beside the rectification: that is guided backpropagation.", both_masks),
    ("It looks as if it is rectified before it is unpooled: where two windows name one pixel, their sum is what counts.",
     rectified_first),
    ("It looks as if it is rectified after filtering: the order is unpool, rectify, filter.", rectified_last),
    ("It looks as if the filters are flipped and then handed back, which flips them twice: filter_down does the flip.",
     flipped),
    ("It looks as if the bias is subtracted on the way down: it takes no part, since it belongs to no pixel.", with_bias),
    ("It looks as if every image is unpooled by the first image's switches: each has its own.", other_image)]


# Channels of the input and of each layer, kernel, stride, pad, pool size, stride and pad.
LAYERS = {"plain": ((5, 5), 1, 0, 2, 2, 0), "overlapping windows": ((3, 3), 1, 1, 3, 2, 1),
          "stride 2, as conv1": ((5, 5), 2, 2, 3, 2, 1), "a filter higher than wide": ((4, 2), 1, 0, 2, 1, 0)}


def _layer(rng, kind, C, F, dtype=np.float64):
    kernel, stride, pad, size, pool_stride, pool_pad = LAYERS[kind]
    weight = rng.standard_normal((F, C, *kernel)) / np.sqrt(C * kernel[0] * kernel[1] / 2)
    return {"weight": weight.astype(dtype), "bias": (0.3 * rng.standard_normal(F)).astype(dtype), "stride": stride,
            "pad": pad, "size": size, "pool_stride": pool_stride, "pool_pad": pool_pad}


def _pick(rng):
    def whole_map(maps, channel):
        picked = np.zeros_like(maps)
        picked[:, channel] = maps[:, channel]
        return picked

    def a_one(maps, channel):
        return (pick_unit(maps, channel) != 0).astype(maps.dtype)

    def all_channels(maps, channel):
        N, _, H, W = maps.shape
        best = maps[:, channel].reshape(N, H * W).argmax(axis=1)
        picked = np.zeros_like(maps)
        for n in range(N):
            picked[n, :, best[n] // W, best[n] % W] = maps[n, :, best[n] // W, best[n] % W]
        return picked

    def one_place(maps, channel):
        W = maps.shape[3]
        best = maps[0, channel].argmax()
        picked = np.zeros_like(maps)
        picked[:, channel, best // W, best % W] = maps[:, channel, best // W, best % W]
        return picked

    def one_image(maps, channel):
        best = np.unravel_index(maps[:, channel].argmax(), maps[:, channel].shape)
        picked = np.zeros_like(maps)
        picked[best[0], channel, best[1], best[2]] = maps[best[0], channel, best[1], best[2]]
        return picked

    def every_tie(maps, channel):
        picked = whole_map(maps, channel)
        return np.where(picked == maps[:, channel].max(axis=(1, 2))[:, None, None, None], picked, 0).astype(maps.dtype)

    def strongest_of_all(maps, channel):
        N = len(maps)
        best, picked = maps.reshape(N, -1).argmax(axis=1), np.zeros_like(maps)
        picked.reshape(N, -1)[np.arange(N), best] = maps.reshape(N, -1)[np.arange(N), best]
        return picked

    def by_magnitude(maps, channel):
        where = np.nonzero(pick_unit(np.abs(maps), channel))
        picked = np.zeros_like(maps)
        picked[where] = maps[where]
        return picked

    mistakes = [("It looks as if the whole map stays: all of it but one value is to be zero.", whole_map),
                ("It looks as if the unit is set to one: it keeps its own value.", a_one),
                ("It looks as if all maps stay at that place: only map `channel` does.", all_channels),
                ("It looks as if the first image's place is taken in every image: each has its own.", one_place),
                ("It looks as if one value of the whole batch stays: one in each image.", one_image),
                ("It looks as if all equal largest values stay: only the first, row by row.", every_tie),
                ("It looks as if the strongest of all maps stays: the strongest of map `channel` is asked for.",
                 strongest_of_all),
                ("It looks as if the largest magnitude is taken: a very negative value is no strong activation.",
                 by_magnitude)]

    def made(about, maps, channel):
        return case(about, pick_unit, maps, channel, mistakes=mistakes)

    ties = rng.uniform(0.1, 1, (2, 2, 3, 4))
    ties[0, 1, 1, 2] = ties[0, 1, 2, 0] = ties[0, 1, 1, 3] = 2.5
    ties[1, 1, 2, 1] = ties[1, 1, 0, 3] = 1.5
    return TaskCheck([made("a batch of 3", rng.standard_normal((3, 4, 5, 6)), 2),
                      made("rectified maps", np.maximum(rng.standard_normal((2, 3, 4, 4)), 0), 0),
                      made("ties", ties, 1),
                      made("a map that is negative everywhere", -1 - np.abs(rng.standard_normal((2, 3, 4, 5))), 1),
                      made("float32, the last map", rng.standard_normal((2, 3, 6, 3)).astype(np.float32), 2),
                      made("maps of one value", rng.standard_normal((3, 2, 1, 1)), 1)],
                     ("A new array of zeros, and one value a image is copied into it.",
                      "reshape a map to (N, H·W) and argmax tells the place in each image; // W and % W make a row and a "
                      "column of it.",
                      "where = np.arange(N), channel, best // W, best % W; then picked[where] = maps[where]."))


def _step(rng):
    def made(about, kind, N, C, F, size, dtype=np.float64):
        layer = _layer(rng, kind, C, F, dtype)
        left, = go_up(rng.standard_normal((N, C, *size)).astype(dtype), [layer])
        r = rng.standard_normal(left["pooled"].shape).astype(dtype)
        return case(about, deconv_step, r, layer, left, mistakes=STEP_MISTAKES,
                    tolerance=1e-5 if dtype == np.float32 else 1e-9)

    return TaskCheck([made("windows that do not overlap", "plain", 2, 2, 3, (9, 10)),
                      made("windows that overlap", "overlapping windows", 3, 2, 3, (9, 8)),
                      made("stride 2 and padding", "stride 2, as conv1", 2, 3, 4, (15, 13)),
                      made("a filter higher than wide", "a filter higher than wide", 2, 1, 2, (8, 7)),
                      made("one image, one map", "plain", 1, 1, 1, (6, 6)),
                      made("float32", "overlapping windows", 2, 2, 3, (7, 9), np.float32)],
                     ("Three lines, in the order of the step's name; the lesson has a function for the first and the last.",
                      'unpool by left["switches"] to the shape of left["y"]; filter_down to left["x_shape"], with the '
                      "layer's stride and pad.",
                      "Between the two: np.maximum(r, 0), which asks only about r."))


def _project(rng):
    def with_step(step):
        return lambda x, layers, channel: project(x, layers, channel, step)

    def from_one(x, layers, channel):
        return project(x, layers, channel, pick=lambda maps, channel: (pick_unit(maps, channel) != 0).astype(maps.dtype))

    def whole_map(x, layers, channel):
        def keep(maps, channel):
            return maps * (np.arange(maps.shape[1]) == channel)[:, None, None]

        return project(x, layers, channel, pick=keep)

    def nothing_picked(x, layers, channel):
        return project(x, layers, channel, pick=lambda maps, channel: maps.copy())

    def last_layer_only(x, layers, channel):
        left = go_up(x, layers)
        return deconv_step(pick_unit(left[-1]["pooled"], channel), layers[-1], left[-1])

    mistakes = [("It looks as if the way down starts from one: the deconvnet starts from the unit's own value.", from_one),
                ("It looks as if the whole map goes down: only its strongest unit is asked about.", whole_map),
                ("It looks as if no unit is picked: everything goes down at once.", nothing_picked),
                ("It looks as if only the last layer is gone through: what it leaves lies in the pixels of the maps below.",
                 last_layer_only),
                *((line, with_step(step)) for line, step in STEP_MISTAKES)]

    def made(about, kinds, widths, N, size, dtype=np.float64):
        layers, C = [], 3
        for kind, F in zip(kinds, widths):
            layers.append(_layer(rng, kind, C, F, dtype))
            C = F
        x = rng.standard_normal((N, 3, *size)).astype(dtype)
        tops = go_up(x, layers)[-1]["pooled"].max(axis=(2, 3)).min(axis=0)
        return case(about, project, x, layers, int(tops.argmax()), mistakes=mistakes,
                    tolerance=1e-4 if dtype == np.float32 else 1e-9)

    over, strided = "overlapping windows", "stride 2, as conv1"
    return TaskCheck([made("one layer", ["plain"], [4], 2, (12, 10)),
                      made("two layers", [over, over], [5, 6], 3, (14, 13)),
                      made("two layers, the first of stride 2", [strided, over], [5, 6], 2, (24, 21)),
                      made("three layers", [over, "plain", over], [4, 5, 6], 2, (26, 24)),
                      made("one image", [strided, over], [4, 5], 1, (20, 20)),
                      made("float32", [over, over], [4, 5], 2, (13, 12), np.float32)],
                     ("go_up leaves one dict a layer; the unit is in the last one's pooled maps.",
                      "The way down takes the layers and what they left from the last to the first: reversed(…).",
                      "r = pick_unit(…), and then r = deconv_step(r, layer, of_layer) for each pair of the two reversed "
                      "lists."))

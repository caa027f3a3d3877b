"""Figure 7's passes: an image under a square at every position, against full passes of zfnumpy itself and of PyTorch."""

import numpy as np

from zfnumpy.visualize import occlude
from zfnumpy.visualize.occlusion import positions

from . import checks, clock
from . import peer as torchs
from .report import result

FULL_BATCH = 64          # images of a full pass, of both sides


def occlusion(torch, net, rounds):
    """Time all positions of a square, a seventh of the image's side, at strides of half of it: one result.

    Besides PyTorch's sides it tells "full", the seconds of zfnumpy's own full passes, and "full_ratio", the median of the
    rounds' ratios of these to ours. The sides make their occluded images as they go.
    """
    x, _ = checks.batch_of(net, 1)
    own = net.ops.asarray(x)
    tops, lefts, size, _ = positions(net.input_shape[1:])
    stride = tuple(max(1, n // 2) for n in size)
    tops, lefts, size, stride = positions(net.input_shape[1:], size, stride)
    corners = [(top, left) for top in tops for left in lefts]

    def ours():
        return occlude(net, own, size, stride, label=0).score.ravel()

    def by_full_passes(scores):
        def every():
            parts = (corners[i:i + FULL_BATCH] for i in range(0, len(corners), FULL_BATCH))
            return np.concatenate([scores(occluded(x, part, size))[:, 0] for part in parts])

        return every

    sides = {"zfnumpy": ours, "full": by_full_passes(lambda xs: net.ops.to_numpy(net.scores(net.ops.asarray(xs))))}
    for layout in torchs.LAYOUTS if torch else ():
        sides[layout] = by_full_passes(_torch_scores(torch, net, layout))
    right = sides["full"]()
    for side, scores in sides.items():
        error = checks.relative(scores(), right)
        if not error <= checks.TOLERANCE:
            raise checks.Wrong(f"{side}: scores under a square are {error:.1e} off, more than {checks.TOLERANCE:g}: nothing "
                               "is timed; run the tests to see what is wrong")
    times = clock.turns(sides, rounds)
    full = times.pop("full")
    ratio = float(np.median(np.divide(full, times["zfnumpy"])))
    what = f"{net.name}, {len(corners)} squares of {size[0]}×{size[1]}, {ratio:.2f} times its full passes"
    return result("occlusion", what, "s" if np.median(times["zfnumpy"]) >= 1 else "ms", times, model=net.name,
                  rounds=rounds, positions=len(corners), full=float(np.median(full)), full_ratio=ratio)


def occluded(x, corners, size):
    """Return an image x (1, 3, H, W) once for each corner, with zeros in the square there: (P, 3, H, W)."""
    xs = np.repeat(x, len(corners), axis=0)
    for each, (top, left) in zip(xs, corners):
        each[:, max(top, 0):max(top + size[0], 0), max(left, 0):max(left + size[1], 0)] = 0
    return xs


def _torch_scores(torch, net, layout):
    """Return a function of images, an array, that gives their scores by PyTorch."""
    forward = torchs.graph_in_torch(torch, net, layout)

    def scores(xs):
        with torch.inference_mode():
            return forward(torchs.tensor(torch, xs, layout)).numpy()

    return scores

"""Figure 2's projections: 64 maps of a layer in nine images each, the forward pass made beforehand on both sides."""

import numpy as np

from zfnumpy import visualize

from . import checks, clock
from . import peer as torchs
from .report import result

LAYER = "relu5"
IMAGES = 9
PIECE = 144            # units that our side takes at once: their full-size pictures are 83 MiB at 224×224
BATCHES = (1, 2, 4, 8, 16, 32)       # of PyTorch's, the best of which counts; a card may want CARD_BATCHES
CARD_BATCHES = (32, 96, 192, 576)
UNEQUAL = 0.01         # the share of pictures that may differ: where rounding decided a pool's tie otherwise


def units_of(net, tape, maps):
    """Return (images, units) of the strongest positions of the first maps in every image: arrays (P,) and three of (P,)."""
    _, *found = visualize.strongest_units(net.value(LAYER, tape))
    rows, cols = (net.ops.to_numpy(each).astype(np.int64) for each in found)
    maps = min(maps, rows.shape[1])
    images, channels = np.tile(np.arange(len(rows)), maps), np.repeat(np.arange(maps), len(rows))
    return images, (channels, rows[images, channels], cols[images, channels])


def ours(net, tape, images, units):
    """Return a function that makes all projections."""
    def project(at):
        return visualize.project_units(net, tape, LAYER, images[at], tuple(each[at] for each in units), batch=PIECE)

    return _all(project, len(images), PIECE, net.ops.to_numpy)


def _all(project, count, size, to_numpy):
    """Return a function that projects `count` units, `size` at a time, and appends the pictures to a list if given one."""
    pieces = [slice(i, min(i + size, count)) for i in range(0, count, size)]

    def make(keep=None):
        for at in pieces:
            r = project(at)
            if keep is not None:
                keep.append(to_numpy(r))

    return make


def pictures(make):
    """Return all the projections that one side makes: (P, 3, H, W)."""
    kept = []
    make(kept)
    return np.concatenate(kept)


def unequal(found, right):
    """Return the share of pictures (P, 3, H, W) that are further than checks.TOLERANCE from the right ones."""
    return float(np.mean([checks.relative(a, b) > checks.TOLERANCE for a, b in zip(found, right)]))


def projection(torch, net, rounds, maps=64, device="cpu", wait=None, refused=True):
    """Time the projections of `maps` maps in IMAGES images from a given forward pass: one result, seconds for all.

    refused: whether it is Wrong that many pictures differ from PyTorch's, which they do where the sides round otherwise;
    the result tells their share, "unequal". wait() waits for the devices of both sides.
    """
    x, _ = checks.batch_of(net, IMAGES)
    tape = net.tape_to(LAYER, net.ops.asarray(x))
    images, units = units_of(net, tape, maps)
    sides, sizes, shares = {"zfnumpy": ours(net, tape, images, units)}, {}, {}
    if torch:
        right = pictures(sides["zfnumpy"])
        for layout in torchs.LAYOUTS:
            deconvnet = torchs.Deconvnet(torch, net, x, LAYER, layout, device)

            def project(at, deconvnet=deconvnet):
                return deconvnet(images[at], [each[at] for each in units])

            sizes[layout] = _best_size(project, len(images), wait, device)
            sides[layout] = _all(project, len(images), sizes[layout], lambda r: r.cpu().numpy())
            share = shares[layout] = unequal(pictures(sides[layout]), right)
            if refused and share > UNEQUAL:
                raise checks.Wrong(f"{share:.0%} of {len(images)} projections of PyTorch, {layout}, differ from ours by "
                                   f"over {checks.TOLERANCE:g}: nothing is timed; run the tests to see what is wrong")
    times = clock.turns(sides, rounds, wait)
    median = float(np.median(times["zfnumpy"]))
    return result("projection", f"{net.name}, {len(images)} units of {LAYER}", "s" if median >= 1 else "ms", times,
                  model=net.name, projections=len(images), rounds=rounds, peer_batch=sizes, unequal=shares,
                  projections_per_second=len(images) / median)


def _best_size(project, count, wait, device):
    """Return the batch size at which PyTorch makes most projections a second, tried on two batches or more of each."""
    rates = {}
    sizes = [size for size in (BATCHES if device == "cpu" else CARD_BATCHES) if size <= count] or [count]
    for size in sizes:
        tried = min(count, max(2 * size, 8))
        try:
            times = clock.turns({size: _all(project, tried, size, None)}, 1, wait)
        except RuntimeError:                       # a card has no room for so many
            if not rates:
                raise
            break
        rates[size] = tried / times[size][0]
    return max(rates, key=rates.get)

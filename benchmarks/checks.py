"""The answers of both sides, compared before anything is timed."""

import numpy as np

import zfnumpy as zf

from . import peer as torchs

TOLERANCE = 1e-4       # largest error, relative to the norm of the right answer, at which a side is still timed
IMAGES = 2             # of the batch that is compared
DRAWS = 3


class Wrong(Exception):
    """A side's answers are too far off for its times to mean anything."""


def relative(found, right):
    """Return |found - right| / |right|, the norms over all entries."""
    return float(np.linalg.norm(found - right) / max(np.linalg.norm(right), np.finfo("float32").tiny))


def of_largest(found, right):
    """Return the largest |found - right|, relative to the largest |right|."""
    return float(np.abs(found - right).max() / max(np.abs(right).max(), np.finfo("float32").tiny))


def batch_of(net, count, seed=0):
    """Return `count` images of noise (count, 3, H, W) and labels (count,)."""
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((count, *net.input_shape)).astype(net.dtype)
    return x, rng.integers(0, net.shapes[net.output][0], count)


def exact(net, x, labels):
    """Return (scores, gradients) of a network by the NumPy reference in float64, with the same weights."""
    nodes = [(name, type(layer)(*(getattr(layer, key) for key in layer.settings)), inputs)
             for name, layer, inputs in net.nodes.values()]
    twin = zf.Network(nodes, net.input_shape, zf.get_ops("numpy"), dtype="float64")
    for name, value in net.params.items():
        twin.params[name] = net.ops.to_numpy(value)
    scores, tape = twin.forward(x.astype("float64"))
    return scores, twin.backward(zf.loss.softmax_cross_entropy(scores, labels)[1], tape)


def ours(net, x, labels):
    """Return (scores, gradients) by zfnumpy, as NumPy arrays."""
    ops = net.ops
    scores, tape = net.forward(ops.asarray(x))
    grads = net.backward(zf.loss.softmax_cross_entropy(scores, labels)[1], tape)
    return ops.to_numpy(scores), {name: ops.to_numpy(grad) for name, grad in grads.items()}


def theirs(torch, net, x, labels, layout, device="cpu"):
    """Return (scores, gradients) by PyTorch on a device, in a layout, as NumPy arrays."""
    peer = torchs.in_torch(torch, net, layout, device)
    scores = peer(torchs.tensor(torch, x, layout, device))
    torch.nn.functional.cross_entropy(scores, torch.from_numpy(labels).to(device)).backward()
    grads = {f"{name}.{key}": value.grad.cpu().numpy() for name, module in zip(net.nodes, peer)
             for key, value in module.named_parameters()}
    return scores.detach().cpu().numpy(), grads


def compare(torch, net):
    """Return {side: {"scores": error, "conv1.weight": error, …}} against float64; Wrong where one exceeds TOLERANCE."""
    errors = measure(torch, net)
    refuse(errors)
    return errors


def measure(torch, net, device="cpu", images=IMAGES, enough=TOLERANCE, distance=relative, draws=DRAWS):
    """Return {side: {"scores": error, "conv1.weight": error, …}} against float64, for PyTorch on a device.

    Rounding may pick the other of two pixels that are all but equal, which moves a gradient by 1e-3 and is nobody's
    mistake. So where an error is above `enough`, new images are drawn, `draws` times in all; the smallest error counts.
    """
    errors = {}
    for draw in range(draws):
        for side, each in _errors(torch, net, *batch_of(net, images, draw), device, distance).items():
            before = errors.setdefault(side, each)
            errors[side] = {name: min(error, before[name]) for name, error in each.items()}
        if all(error <= enough for each in errors.values() for error in each.values()):
            break
    return errors


def _errors(torch, net, x, labels, device, distance):
    right_scores, right = exact(net, x, labels)
    sides = {"zfnumpy": ours(net, x, labels)}
    if torch:
        sides |= {f"PyTorch, {layout}": theirs(torch, net, x, labels, layout, device) for layout in torchs.LAYOUTS}
    return {side: {"scores": distance(scores, right_scores),
                   **{name: distance(grads[name], right[name]) for name in right}}
            for side, (scores, grads) in sides.items()}


def refuse(errors):
    """Raise Wrong where an error {side: {answer: error}} is too large, or no number."""
    for side, each in errors.items():
        for name, error in each.items():
            if not error <= TOLERANCE:
                raise Wrong(f"{side}: {name} is {error:.1e} off, more than {TOLERANCE:g}: nothing is timed; "
                            "run the tests to see what is wrong")

"""A layer and a direction at a time, against the same operations of PyTorch in the better of its layouts."""

from functools import partial
from typing import NamedTuple

import numpy as np

import zfnumpy as zf
from zfnumpy.layers import Conv2d, Linear, LocalResponseNorm, MaxPool2d, ReLU

from . import checks, clock
from . import peer as torchs
from .report import result


def layers(torch, net, batch, rounds, device="cpu", turns=clock.turns):
    """Time every convolution, fully connected layer, pooling and normalization, ReLU's way back and the update: results.

    Convolutions and fully connected layers come rectified where a ReLU follows, on both sides; the weight gradient
    holds the bias's. Each carries the operations a second of ours ("flops") where it multiplies matrices, and the bytes
    a second ("bandwidth") if it reads what it needs and writes what it makes once, and whether a training step does it
    so ("in_step"): a first convolution below a pool gets its weight gradient from the pool's switches, in a row of its
    own. `turns` takes the times, as clock.turns does; `device` is PyTorch's.
    """
    x = image = net.ops.asarray(checks.batch_of(net, batch)[0])
    found, names, straight = [], list(net.nodes), net._straight
    for place, (name, node) in enumerate(net.nodes.items()):
        follows = net.nodes[names[place + 1]] if place + 1 < len(names) else None
        relu = follows is not None and type(follows.layer).__name__ == "ReLU"
        make = ROWS.get(type(node.layer)) if name not in net._masked_above else None
        if make is not None:
            y, cache = node.layer.forward(x)
            dy = net.ops.asarray(np.random.default_rng(place).standard_normal(y.shape, "float32").astype(net.dtype))
            case = Case(torch, device, net.ops, node.layer, x, y, dy, cache, relu, place > 0)
            for direction, (moved, sides) in make(case).items():
                spared = name in (straight if direction == "backward" else straight.values()) and direction != "forward"
                work = clock.layer_arithmetic(net, name) * batch
                found.append(_row(name, direction, turns(sides, rounds), work, moved, not spared))
            if name in straight:
                conv, switches = net.nodes[straight[name]].layer, cache[0]
                sides = {"zfnumpy": partial(conv.backward_unpooled, dy, switches, node.layer.window(), image)}
                found.append(_row(straight[name], "weight gradient, pooled", turns(sides, rounds),
                                  clock.layer_arithmetic(net, straight[name]) * batch, _bytes(dy, switches, image)))
            x = y
        else:
            x = node.layer.forward(x)[0]
    weights = sum(w.nbytes for w in net.params.values())              # read with velocity and gradient, two written
    found.append(_row("all", "update", turns(_update(torch, net, device), rounds), 0, 5 * weights))
    return found


class Case(NamedTuple):
    """A layer to time: its input, output, gradient and cache, on our device; the same arrays for PyTorch by `theirs`."""

    torch: object
    device: str
    ops: object
    layer: object
    x: object
    y: object
    dy: object
    cache: object
    relu: bool              # whether a ReLU follows
    below: bool             # whether anything below needs a gradient

    @property
    def layouts(self):
        return torchs.LAYOUTS if self.torch else ()

    def theirs(self, array, layout="contiguous"):
        """Return an array of ours as a tensor."""
        return torchs.tensor(self.torch, self.ops.to_numpy(array), layout, self.device)

    def quiet(self, function):
        """Return the function called without a record for autograd, with cuDNN's best algorithm where there is a card."""
        def call():
            with self.torch.no_grad():
                return function()

        return torchs.tuned(self.torch, call, self.device != "cpu")


def _row(layer, direction, times, work, moved, in_step=True):
    row = result("layer", f"{layer} {direction}", "ms", times, layer=layer, direction=direction, in_step=in_step)
    return {**row, **({"flops": work / row["zfnumpy"]} if work else {}), "bandwidth": moved / row["zfnumpy"]}


def _bytes(*arrays):
    return sum(each.nbytes for each in arrays)


def _conv(case):
    torch, ops, layer, x, dy = case.torch, case.ops, case.layer, case.x, case.dy
    weight, bias = layer.params["weight"], layer.params["bias"]
    how = (layer.stride, layer.pad, layer.groups)
    forward = {"zfnumpy": lambda: layer.forward(x, relu=case.relu)}
    inputs = {"zfnumpy": lambda: ops.conv2d_input_grad(dy, weight, x.shape, *how)}
    weights = {"zfnumpy": lambda: (ops.conv2d_weight_grad(dy, x, weight.shape, *how), ops.bias_grad(dy))}
    for layout in case.layouts:
        tx, tdy, tw = (case.theirs(each, layout) for each in (x, dy, weight))
        tb = case.theirs(bias)

        def ahead(tx=tx, tw=tw, tb=tb):
            y = torch.nn.functional.conv2d(tx, tw, tb, layer.stride, layer.pad, groups=layer.groups)
            return y.relu_() if case.relu else y

        def back(mask, tx=tx, tdy=tdy, tw=tw, tb=tb):
            return lambda: torch.ops.aten.convolution_backward(tdy, tx, tw, list(tb.shape), layer.stride, layer.pad, (1, 1),
                                                               False, (0, 0), layer.groups, mask)

        forward[layout] = case.quiet(ahead)
        inputs[layout] = case.quiet(back([True, False, False]))
        weights[layout] = case.quiet(back([False, True, True]))
    moved = _bytes(x, weight, dy)
    rows = {"forward": (moved, forward), "input gradient": (moved, inputs), "weight gradient": (moved, weights)}
    return rows if case.below else {name: row for name, row in rows.items() if name != "input gradient"}


def _linear(case):
    torch, ops, layer, x, dy = case.torch, case.ops, case.layer, case.x, case.dy
    weight, bias = layer.params["weight"], layer.params["bias"]
    forward = {"zfnumpy": lambda: layer.forward(x, relu=case.relu)}
    inputs = {"zfnumpy": lambda: ops.linear_input_grad(dy, weight)}
    weights = {"zfnumpy": lambda: (ops.linear_weight_grad(dy, x), ops.bias_grad(dy))}
    if torch:
        tx, tdy, tw, tb = (case.theirs(each) for each in (x, dy, weight, bias))

        def ahead():
            y = torch.nn.functional.linear(tx, tw, tb)
            return y.relu_() if case.relu else y

        forward["contiguous"] = case.quiet(ahead)
        inputs["contiguous"] = case.quiet(lambda: tdy @ tw)
        weights["contiguous"] = case.quiet(lambda: (tdy.T @ tx, tdy.sum(0)))
    moved = _bytes(x, weight, dy)
    return {"forward": (moved, forward), "input gradient": (moved, inputs), "weight gradient": (moved, weights)}


def _pool(case):
    torch, layer, x, dy = case.torch, case.layer, case.x, case.dy
    forward = {"zfnumpy": lambda: layer.forward(x)}
    backward = {"zfnumpy": lambda: layer.backward(dy, case.cache)}
    for layout in case.layouts:
        tx, tdy = case.theirs(x, layout), case.theirs(dy, layout)

        def ahead(tx=tx):
            return torch.ops.aten.max_pool2d_with_indices(tx, layer.size, layer.stride, layer.pad, (1, 1), layer.ceil_mode)

        switches = ahead()[1]

        def back(tx=tx, tdy=tdy, switches=switches):
            return torch.ops.aten.max_pool2d_with_indices_backward(tdy, tx, layer.size, layer.stride, layer.pad, (1, 1),
                                                                   layer.ceil_mode, switches)

        forward[layout], backward[layout] = case.quiet(ahead), case.quiet(back)
    moved = _bytes(x, dy, case.cache[0])
    return {"forward": (moved, forward), "backward": (moved, backward)}


def _norm(case):
    torch, layer, x, dy = case.torch, case.layer, case.x, case.dy
    forward = {"zfnumpy": lambda: layer.forward(x)}
    backward = {"zfnumpy": lambda: layer.backward(dy, case.cache)}
    for layout in case.layouts:
        tx, tdy = case.theirs(x, layout).requires_grad_(), case.theirs(dy, layout)

        def ahead(tx=tx):
            return torch.nn.functional.local_response_norm(tx, layer.size, layer.alpha, layer.beta, layer.k)

        y = ahead()

        def back(tx=tx, tdy=tdy, y=y):
            return torch.autograd.grad(y, tx, tdy, retain_graph=True)

        forward[layout], backward[layout] = case.quiet(ahead), back
    return {"forward": (_bytes(x, dy), forward), "backward": (_bytes(x, dy, x), backward)}


def _relu(case):
    """Only the way back: the way forward is done with the convolution below."""
    torch, y, dy = case.torch, case.y, case.dy
    backward = {"zfnumpy": lambda: case.layer.backward(dy, y)}
    for layout in case.layouts:
        ty, tdy = case.theirs(y, layout), case.theirs(dy, layout)
        backward[layout] = case.quiet(lambda ty=ty, tdy=tdy: torch.ops.aten.threshold_backward(tdy, ty, 0))
    return {"backward": (_bytes(y, dy, dy), backward)}


def _update(torch, net, device):
    optimizer = zf.optim.SGD(net, 1e-9, 0.9)
    grads = {name: net.ops.xp.ones_like(w) for name, w in net.params.items()}
    sides = {"zfnumpy": lambda: optimizer.step(grads)}
    if torch:
        parameters = [torch.nn.Parameter(torchs.tensor(torch, net.ops.to_numpy(w), "contiguous", device).clone())
                      for w in net.params.values()]
        for parameter in parameters:
            parameter.grad = torch.ones_like(parameter)
        for way in (torchs.Way("contiguous"), torchs.Way("contiguous", fused=True))[:1 if device == "cpu" else 2]:
            sides[str(way)] = torch.optim.SGD(parameters, 1e-9, 0.9, fused=way.fused or None).step
    return sides


ROWS = {Conv2d: _conv, Linear: _linear, MaxPool2d: _pool, LocalResponseNorm: _norm, ReLU: _relu}

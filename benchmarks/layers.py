"""A layer and a direction at a time, against the same operations of PyTorch in the better of its layouts."""

import numpy as np

import zfnumpy as zf
from zfnumpy.layers import Conv2d, Linear, LocalResponseNorm, MaxPool2d

from . import checks, clock
from . import peer as torchs
from .report import result


def layers(torch, net, batch, rounds):
    """Time every convolution, fully connected layer, pooling and normalization, and the update: a result each.

    Convolutions and fully connected layers come rectified where a ReLU follows, on both sides; the weight gradient
    holds the bias's. Each carries the operations a second of ours ("flops") where it multiplies matrices.
    """
    x, _ = checks.batch_of(net, batch)
    found, names = [], list(net.nodes)
    for place, (name, node) in enumerate(net.nodes.items()):
        follows = net.nodes[names[place + 1]] if place + 1 < len(names) else None
        relu = follows is not None and type(follows.layer).__name__ == "ReLU"
        make = next((make for kind, make in ROWS.items() if type(node.layer) is kind), None)
        if make is not None:
            y, cache = node.layer.forward(x)
            dy = np.random.default_rng(place).standard_normal(y.shape).astype(y.dtype)
            for direction, sides in make(torch, node.layer, x, dy, cache, relu, place > 0).items():
                found.append(_row(name, direction, sides, rounds, clock.layer_arithmetic(net, name) * batch))
            x = y
        else:
            x = node.layer.forward(x)[0]
    found.append(_row("all", "update", _update(torch, net), rounds, 0))
    return found


def _row(layer, direction, sides, rounds, work):
    row = result("layer", f"{layer} {direction}", "ms", clock.turns(sides, rounds), layer=layer, direction=direction)
    return {**row, "flops": work / row["zfnumpy"]} if work else row


def _conv(torch, layer, x, dy, cache, relu, below):
    ops, weight, bias = layer.ops, layer.params["weight"], layer.params["bias"]
    how = (layer.stride, layer.pad, layer.groups)
    rows = {"forward": {"zfnumpy": lambda: layer.forward(x, relu=relu)},
            "input gradient": {"zfnumpy": lambda: ops.conv2d_input_grad(dy, weight, x.shape, *how)},
            "weight gradient": {"zfnumpy": lambda: (ops.conv2d_weight_grad(dy, x, weight.shape, *how), ops.bias_grad(dy))}}
    for layout in torchs.LAYOUTS if torch else ():
        tx, tdy, tw = (torchs.tensor(torch, each, layout) for each in (x, dy, weight))
        tb = torch.from_numpy(bias)

        def forward(tx=tx, tw=tw, tb=tb):
            y = torch.nn.functional.conv2d(tx, tw, tb, layer.stride, layer.pad, groups=layer.groups)
            return y.relu_() if relu else y

        def backward(mask, tx=tx, tdy=tdy, tw=tw, tb=tb):
            return lambda: torch.ops.aten.convolution_backward(tdy, tx, tw, list(tb.shape), layer.stride, layer.pad, (1, 1),
                                                               False, (0, 0), layer.groups, mask)

        rows["forward"][layout] = _quiet(torch, forward)
        rows["input gradient"][layout] = _quiet(torch, backward([True, False, False]))
        rows["weight gradient"][layout] = _quiet(torch, backward([False, True, True]))
    return rows if below else {name: row for name, row in rows.items() if name != "input gradient"}


def _linear(torch, layer, x, dy, cache, relu, below):
    ops, weight, bias = layer.ops, layer.params["weight"], layer.params["bias"]
    rows = {"forward": {"zfnumpy": lambda: layer.forward(x, relu=relu)},
            "input gradient": {"zfnumpy": lambda: ops.linear_input_grad(dy, weight)},
            "weight gradient": {"zfnumpy": lambda: (ops.linear_weight_grad(dy, x), ops.bias_grad(dy))}}
    if torch:
        tx, tdy, tw, tb = (torch.from_numpy(each) for each in (x, dy, weight, bias))

        def forward():
            y = torch.nn.functional.linear(tx, tw, tb)
            return y.relu_() if relu else y

        rows["forward"]["contiguous"] = _quiet(torch, forward)
        rows["input gradient"]["contiguous"] = _quiet(torch, lambda: tdy @ tw)
        rows["weight gradient"]["contiguous"] = _quiet(torch, lambda: (tdy.T @ tx, tdy.sum(0)))
    return rows


def _pool(torch, layer, x, dy, cache, relu, below):
    rows = {"forward": {"zfnumpy": lambda: layer.forward(x)}, "backward": {"zfnumpy": lambda: layer.backward(dy, cache)}}
    for layout in torchs.LAYOUTS if torch else ():
        tx, tdy = torchs.tensor(torch, x, layout), torchs.tensor(torch, dy, layout)

        def forward(tx=tx):
            return torch.ops.aten.max_pool2d_with_indices(tx, layer.size, layer.stride, layer.pad, (1, 1), layer.ceil_mode)

        switches = forward()[1]

        def backward(tx=tx, tdy=tdy, switches=switches):
            return torch.ops.aten.max_pool2d_with_indices_backward(tdy, tx, layer.size, layer.stride, layer.pad, (1, 1),
                                                                   layer.ceil_mode, switches)

        rows["forward"][layout], rows["backward"][layout] = _quiet(torch, forward), _quiet(torch, backward)
    return rows


def _norm(torch, layer, x, dy, cache, relu, below):
    rows = {"forward": {"zfnumpy": lambda: layer.forward(x)}, "backward": {"zfnumpy": lambda: layer.backward(dy, cache)}}
    for layout in torchs.LAYOUTS if torch else ():
        tx, tdy = torchs.tensor(torch, x, layout).requires_grad_(), torchs.tensor(torch, dy, layout)

        def forward(tx=tx):
            return torch.nn.functional.local_response_norm(tx, layer.size, layer.alpha, layer.beta, layer.k)

        y = forward()

        def backward(tx=tx, tdy=tdy, y=y):
            return torch.autograd.grad(y, tx, tdy, retain_graph=True)

        rows["forward"][layout], rows["backward"][layout] = _quiet(torch, forward), backward
    return rows


def _update(torch, net):
    optimizer = zf.optim.SGD(net, 1e-9, 0.9)
    grads = {name: np.ones_like(w) for name, w in net.params.items()}
    sides = {"zfnumpy": lambda: optimizer.step(grads)}
    if torch:
        parameters = [torch.nn.Parameter(torch.from_numpy(w.copy())) for w in net.params.values()]
        for parameter in parameters:
            parameter.grad = torch.ones_like(parameter)
        sides["contiguous"] = torch.optim.SGD(parameters, 1e-9, 0.9).step
    return sides


def _quiet(torch, function):
    """Return the function called without a record for autograd."""
    def call():
        with torch.no_grad():
            return function()

    return call


ROWS = {Conv2d: _conv, Linear: _linear, MaxPool2d: _pool, LocalResponseNorm: _norm}

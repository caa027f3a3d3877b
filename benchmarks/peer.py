"""The side of PyTorch: the same network in its modules, in both of its memory layouts, and the deconvnet in its operations.

Nothing of zfnumpy is imported here: a process that measures PyTorch alone uses this module too.
"""

import importlib
import os
from typing import NamedTuple

ENVIRONMENT = dict(os.environ)      # before zfnumpy's kernels set how OpenMP's threads wait, which processes would inherit
LAYOUTS = ("contiguous", "channels-last")


class Way(NamedTuple):
    """One way to run PyTorch; which is best depends on the network, so all are timed and the best counts."""

    layout: str
    fused: bool = False     # the update of all parameters in one kernel
    tuned: bool = False     # cuDNN tries its algorithms on a first call and keeps the fastest

    def __str__(self):
        return ", ".join([self.layout, *["fused"] * self.fused, *["tuned"] * self.tuned])


PLAIN = tuple(Way(layout) for layout in LAYOUTS)
STEPS = tuple(Way(layout, fused, tuned) for layout in LAYOUTS for fused in (False, True) for tuned in (False, True))
PASSES = tuple(way for way in STEPS if not way.fused)
MAKE = {"Conv2d": lambda n, s: n.Conv2d(s["channels"], s["filters"], s["size"], s["stride"], s["pad"], groups=s["groups"]),
        "Linear": lambda n, s: n.Linear(s["channels"], s["features"]),
        "ReLU": lambda n, s: n.ReLU(inplace=True),
        "MaxPool2d": lambda n, s: n.MaxPool2d(s["size"], s["stride"], s["pad"], ceil_mode=s["ceil_mode"]),
        "LocalResponseNorm": lambda n, s: n.LocalResponseNorm(s["size"], s["alpha"], s["beta"], s["k"]),
        "Flatten": lambda n, s: n.Flatten()}


def find_torch(threads):
    """Return PyTorch, set to as many threads, or None where it is not installed.

    It must be imported before zfnumpy's kernels: these set how OpenMP's threads wait, which would make PyTorch slower.
    """
    try:
        torch = importlib.import_module("torch")
    except ImportError:
        return None
    if threads:
        torch.set_num_threads(threads)
    return torch


def describe(net):
    """Return a chain's layers as plain data: [{"kind": "Conv2d", "name": "conv1", "channels": 3, "filters": …}, …]."""
    return [_described(net, node) for node in net.nodes.values()]


def _described(net, node):
    name, layer, _ = node
    kind = type(layer).__name__
    if kind not in MAKE:
        raise SystemExit(f"the benchmarks have no PyTorch module for {name}, a {kind}; they know {', '.join(MAKE)}")
    each = {"kind": kind, "name": name, **{key: getattr(layer, key) for key in layer.settings}}
    if layer.params:
        each["channels"] = net.params[f"{name}.weight"].shape[1] * each.get("groups", 1)
    return each


def modules(torch, described):
    """Return described layers as PyTorch modules, with PyTorch's own weights."""
    return torch.nn.Sequential(*(MAKE[each["kind"]](torch.nn, each) for each in described))


def in_torch(torch, net, layout, device="cpu"):
    """Return a network as PyTorch modules with the same weights on a device, in one of LAYOUTS."""
    peer = modules(torch, describe(net))
    for name, module in zip(net.nodes, peer):
        _fill(torch, net, name, module)
    return peer.to(device).to(memory_format=memory_format(torch, layout))


def _fill(torch, net, name, module):
    with torch.no_grad():
        for key, value in module.named_parameters():
            value.copy_(torch.from_numpy(net.ops.to_numpy(net.params[f"{name}.{key}"])))


def graph_in_torch(torch, net, layout):
    """Return a function that runs a network, branches included, in PyTorch with the same weights: images to scores."""
    joins = {"Concatenate": lambda *xs: torch.cat(xs, 1), "GlobalAvgPool": lambda x: x.mean((2, 3)),
             "Dropout": lambda x: x}                                # of inference
    steps = []
    for node in net.nodes.values():
        run = joins.get(type(node.layer).__name__)
        if run is None:
            each = _described(net, node)
            run = MAKE[each["kind"]](torch.nn, each).to(memory_format=memory_format(torch, layout))
            _fill(torch, net, node.name, run)
        steps.append((node.name, run, node.inputs))

    def forward(x):
        values = {"input": x}
        for name, run, inputs in steps:
            values[name] = run(*(values[i] for i in inputs))
        return values[net.output]

    return forward


def memory_format(torch, layout):
    return torch.channels_last if layout == "channels-last" else torch.contiguous_format


def tensor(torch, array, layout, device="cpu"):
    """Return a NumPy array as a tensor on a device, images in the layout asked for."""
    found = torch.from_numpy(array).to(device)
    return found.contiguous(memory_format=memory_format(torch, layout)) if found.ndim == 4 else found


def training_step(torch, peer, x, labels, decay=0.0, fused=None):
    """Return a function that takes one training step: forward, loss, backward, SGD with momentum and weight decay."""
    optimizer = torch.optim.SGD(peer.parameters(), 0.001, 0.9, weight_decay=decay, fused=fused)

    def step():
        optimizer.zero_grad()
        torch.nn.functional.cross_entropy(peer(x), labels).backward()
        optimizer.step()

    return step


def tuned(torch, function, wanted=True):
    """Return the function called with cuDNN's trial of algorithms on; itself where that is not wanted."""
    def call():
        torch.backends.cudnn.benchmark = True
        try:
            return function()
        finally:
            torch.backends.cudnn.benchmark = False

    return call if wanted else function


class Deconvnet:
    """The deconvnet of a chain in PyTorch's dense operations, batched: what one would write to make figure 2 with it.

    x: the images (N, 3, H, W), passed forward up to `layer` when this is made, which keeps activations and switches.
    """

    def __init__(self, torch, net, x, layer, layout, device="cpu"):
        self.torch, self.layout, self.device = torch, layout, device
        names = list(net.nodes)
        names = names[:names.index(layer) + 1]
        self.steps, value = [], tensor(torch, x, layout, device)
        with torch.no_grad():
            for module, name in zip(in_torch(torch, net, layout, device), names):
                if isinstance(module, torch.nn.MaxPool2d):
                    kept, (value, switches) = value, torch.nn.functional.max_pool2d(
                        value, module.kernel_size, module.stride, module.padding, ceil_mode=module.ceil_mode,
                        return_indices=True)
                else:
                    kept, switches, value = value, None, module(value.clone())
                self.steps.append((name, module, tuple(kept.shape[1:]), switches))
        self.values = value

    def __call__(self, images, units):
        """Project units (channel, row, column), each (P,), of these rows of x: (P, 3, H, W).

        ReLU on the way down, transposed filters without bias, normalization passed by. Overlapping windows add up where
        they chose the same pixel, which max_unpool2d would overwrite: what scatters is the max pool's own backward.
        """
        torch, channels_last = self.torch, memory_format(self.torch, self.layout)
        with torch.inference_mode():
            images, *units = (torch.from_numpy(each).to(self.device) for each in (images, *units))
            rows = torch.arange(len(images), device=self.device)
            r = torch.zeros((len(images), *self.values.shape[1:]), device=self.device)
            r = r.contiguous(memory_format=channels_last)
            r[(rows, *units)] = self.values[(images, *units)]
            for _, module, shape, switches in reversed(self.steps):
                if isinstance(module, torch.nn.ReLU):
                    r = torch.relu_(r)
                elif isinstance(module, torch.nn.Conv2d):
                    extra = [n - ((o - 1) * s - 2 * p + k) for n, o, s, p, k in
                             zip(shape[1:], r.shape[2:], module.stride, module.padding, module.kernel_size)]
                    r = torch.nn.functional.conv_transpose2d(r, module.weight, None, module.stride, module.padding, extra,
                                                             module.groups)
                elif isinstance(module, torch.nn.MaxPool2d):
                    r = self._scatter(module, r, switches[images], shape)
            return r

    def _scatter(self, module, r, switches, shape):
        torch, channels_last = self.torch, memory_format(self.torch, self.layout)
        below = torch.empty((len(r), *shape), memory_format=channels_last, device=self.device)   # only its shape counts
        pairs = [(each, each) if isinstance(each, int) else each for each in (module.kernel_size, module.stride,
                                                                              module.padding)]
        return torch.ops.aten.max_pool2d_with_indices_backward(r, below, *pairs, (1, 1), module.ceil_mode,
                                                               switches.contiguous(memory_format=channels_last))

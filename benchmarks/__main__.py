"""Time training steps against PyTorch, turn by turn in one process: python -m benchmarks [--batch 16] [--model zfnet]

PyTorch runs in channels-last on as many threads. Without PyTorch only our side is timed. Prints a table of medians, each
side's images a second, the ratio, and the share of the machine's own matrix rate measured in the same run.
"""

import argparse
import resource
import time

import numpy as np

import zfnumpy as zf
from zfnumpy.layers import Conv2d, Linear

MAKE = {"Conv2d": lambda n, layer, w: n.Conv2d(w.shape[1] * layer.groups, layer.filters, layer.size, layer.stride, layer.pad,
                                               groups=layer.groups),
        "Linear": lambda n, layer, w: n.Linear(w.shape[1], layer.features),
        "ReLU": lambda n, layer, w: n.ReLU(inplace=True),
        "MaxPool2d": lambda n, layer, w: n.MaxPool2d(layer.size, layer.stride, layer.pad, ceil_mode=layer.ceil_mode),
        "LocalResponseNorm": lambda n, layer, w: n.LocalResponseNorm(layer.size, layer.alpha, layer.beta, layer.k),
        "Dropout": lambda n, layer, w: n.Dropout(layer.p),
        "Flatten": lambda n, layer, w: n.Flatten()}


def in_torch(torch, net):
    """Return a chain's network as PyTorch modules with the same weights."""
    modules = []
    for name, layer, _ in net.nodes.values():
        w = net.params.get(f"{name}.weight")
        module = MAKE[type(layer).__name__](torch.nn, layer, w)
        if w is not None:
            with torch.no_grad():
                module.weight.copy_(torch.from_numpy(w))
                module.bias.copy_(torch.from_numpy(net.params[f"{name}.bias"]))
        modules.append(module)
    return torch.nn.Sequential(*modules)


def arithmetic(net):
    """Return the floating-point operations of one image's training step by direct convolution: 3 × 2 × multiply-adds."""
    total = 0
    for name, layer, _ in net.nodes.values():
        if isinstance(layer, (Conv2d, Linear)):
            weight, pixels = net.params[f"{name}.weight"], int(np.prod(net.shapes[name][1:]))
            total += 2 * weight.size * pixels * (2 if name == next(iter(net.nodes)) else 3)
    return total


def matrix_rate():
    """Return the rate of a float32 matrix product, in operations a second."""
    a = np.random.default_rng(0).standard_normal((3000, 3000)).astype("float32")
    times = []
    for _ in range(4):
        begin = time.perf_counter()
        a @ a
        times.append(time.perf_counter() - begin)
    return 2 * 3000**3 / min(times[1:])


def main():
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--model", default="zfnet_mini", choices=("zfnet_mini", "zfnet", "alexnet"))
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--rounds", type=int, default=7)
    args = parser.parse_args()
    ops = zf.get_ops("numba")
    net = getattr(zf.models, args.model)(ops=ops, dropout=0)
    rng = np.random.default_rng(0)
    x = rng.standard_normal((args.batch, *net.input_shape)).astype("float32")
    labels = rng.integers(0, net.shapes[net.output][0], args.batch)
    optimizer = zf.optim.SGD(net, 0.001)

    def ours():
        scores, tape = net.forward(x, train=True)
        _, dscores = zf.loss.softmax_cross_entropy(scores, labels)
        optimizer.step(net.backward(dscores, tape))

    sides = {"zfnumpy": ours}
    try:
        import torch
    except ImportError:
        print("PyTorch is not installed: timing without the comparison")
    else:
        torch.set_num_threads(ops.threads)
        peer = in_torch(torch, net).to(memory_format=torch.channels_last)
        tx, tl = torch.from_numpy(x).contiguous(memory_format=torch.channels_last), torch.from_numpy(labels)
        error = np.abs(peer(tx).detach().numpy() - net.scores(x)).max()
        assert error < 1e-3, f"the two sides disagree by {error}: nothing is timed"
        peer_optimizer = torch.optim.SGD(peer.parameters(), 0.001, 0.9)

        def theirs():
            peer_optimizer.zero_grad()
            torch.nn.functional.cross_entropy(peer(tx), tl).backward()
            peer_optimizer.step()

        sides["PyTorch"] = theirs
    times = {name: [] for name in sides}
    for side in sides.values():
        side()
    for _ in range(args.rounds):
        for name, side in sides.items():
            begin = time.perf_counter()
            side()
            times[name].append(time.perf_counter() - begin)
    rate, work = matrix_rate(), arithmetic(net) * args.batch
    print(f"{args.model}, training step, batch {args.batch}, {ops.threads} threads; sgemm {rate / 1e9:.0f} GFLOP/s; "
          f"peak memory of this process {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20:.2f} GiB")
    for name, each in times.items():
        median = float(np.median(each))
        print(f"  {name:8s} {median * 1e3:7.0f} ms {args.batch / median:7.1f} images/s {work / median / rate:5.0%} of sgemm")
    if "PyTorch" in times:
        ratios = np.array(times["PyTorch"]) / np.array(times["zfnumpy"])
        print(f"  ratio, median of the rounds: {np.median(ratios):.2f} × PyTorch")


if __name__ == "__main__":
    main()

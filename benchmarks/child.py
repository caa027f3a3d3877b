"""One side in a process of its own: python -m benchmarks.child, with what to do as JSON on its standard input.

{"side": "zfnumpy", "contiguous" or "channels-last", "model": name, "described": peer.describe's list, "input": [3, H, W],
"classes": K, "batch": N, "threads": T, "steps": S} trains S steps on noise and prints a line of JSON: "import", "network"
and "step" (the first one) in seconds, "began" and "ended", the clock (time.time()) when the process's first line ran and
when the first step was done, and "peak", the most memory that the process ever held, in bytes.
"""

import time

BEGAN = time.time()

import json  # noqa: E402 — the clock is read before anything else is imported
import resource  # noqa: E402
import sys  # noqa: E402


def zfnumpy_step(asked):
    """Return a function of one training step by zfnumpy, and the seconds (import, network) it took to make."""
    begin = time.perf_counter()
    import numpy as np

    import zfnumpy as zf

    ops = zf.get_ops("numba", asked["threads"])
    make, train, loss = getattr(zf.models, asked["model"]), zf.optim.SGD, zf.loss.softmax_cross_entropy
    imported = time.perf_counter()
    net = make(ops=ops, dropout=0)
    optimizer = train(net, 0.001, 0.9)
    made = time.perf_counter()
    rng = np.random.default_rng(0)
    x = rng.standard_normal((asked["batch"], *asked["input"]), dtype="float32")
    labels = rng.integers(0, asked["classes"], asked["batch"])

    def step():
        scores, tape = net.forward(x, train=True)
        optimizer.step(net.backward(loss(scores, labels)[1], tape, keep_tape=False))

    return step, imported - begin, made - imported


def torch_step(asked):
    """Return a function of one training step by PyTorch in the layout of `side`, and the seconds it took to make."""
    begin = time.perf_counter()
    from . import peer

    torch = peer.find_torch(asked["threads"])
    imported = time.perf_counter()
    layout = asked["side"]
    net = peer.modules(torch, asked["described"]).to(memory_format=peer.memory_format(torch, layout))
    made = time.perf_counter()
    torch.manual_seed(0)
    x = torch.randn(asked["batch"], *asked["input"]).contiguous(memory_format=peer.memory_format(torch, layout))
    labels = torch.randint(0, asked["classes"], (asked["batch"],))
    return peer.training_step(torch, net, x, labels), imported - begin, made - imported


def peak_memory():
    """Return the most memory that this process ever held, in bytes.

    Linux counts into ru_maxrss what the process that started this one held, so there it is read from /proc.
    """
    try:
        with open("/proc/self/status", encoding="ascii") as file:
            return next(int(line.split()[1]) * 1024 for line in file if line.startswith("VmHWM"))
    except (OSError, StopIteration):
        most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return most if sys.platform == "darwin" else most * 1024


def main():
    asked = json.load(sys.stdin)
    step, importing, making = (zfnumpy_step if asked["side"] == "zfnumpy" else torch_step)(asked)
    begin = time.perf_counter()
    step()
    first, ended = time.perf_counter() - begin, time.time()
    for _ in range(asked["steps"] - 1):
        step()
    print(json.dumps({"began": BEGAN, "import": importing, "network": making, "step": first, "ended": ended,
                      "peak": peak_memory()}))


if __name__ == "__main__":
    main()

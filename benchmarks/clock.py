"""Taking times turn by turn, and what they are measured against: the machine's own matrix rate, a network's arithmetic."""

import math
import os
import platform
import time

import numpy as np

from zfnumpy.layers import Conv2d, Linear

WARM = 1.5             # seconds
MOST = 200             # calls of one turn
CALLS, TURN = 10, 0.02  # calls of one turn that a device times itself, and the seconds that they may take
MATRIX = 3000          # rows and columns of the matrices whose product gives the machine's rate


def turns(sides, rounds, wait=None, least=0):
    """Call {name: function} in turn, `rounds` times over after one untimed call each: {name: [seconds a call, …]}.

    What takes less than WARM seconds is called once untimed in each of its turns: the others' turns have emptied the
    caches, and in a virtual machine also sent memory away that lay idle, which is not what is to be measured.

    wait() is called before and after what is timed: it waits for devices that are still at work when a function returns.
    A function is called as often in a turn as fill `least` seconds, one call after the other without a wait.
    """
    def timed(side, calls=1):
        if wait:
            wait()
        begin = time.perf_counter()
        for _ in range(calls):
            side()
        if wait:
            wait()
        return (time.perf_counter() - begin) / calls

    times = {name: [timed(side)] for name, side in sides.items()}
    calls = {name: min(MOST, math.ceil(least / timed(side))) if least else 1 for name, side in sides.items()}
    for _ in range(rounds):
        for name, side in sides.items():
            if times[name][-1] < WARM:
                side()
            times[name].append(timed(side, calls[name]))
    return {name: taken[1:] for name, taken in times.items()}


def device_turns(sides, rounds, device_of):
    """Take times as `turns` does, but those that the devices themselves tell between two marks in their queues.

    A device is given other work first, so that it never waits for the host to queue the next call: the time is the
    device's alone, and that of no launch. device_of(name) is the device (benchmarks.devices) of a side.
    """
    times, calls = {name: [] for name in sides}, {}
    for name, side in sides.items():
        one = turns({name: side}, 1, device_of(name).synchronize)[name][0]
        calls[name] = max(1, min(CALLS, int(TURN / one)))
    for _ in range(rounds):
        for name, side in sides.items():
            device = device_of(name)
            device.synchronize()
            side()
            device.fill()
            begin = device.mark()
            for _ in range(calls[name]):
                side()
            times[name].append(device.between(begin, device.mark()) / calls[name])
    return times


def matrix_rate():
    """Return the rate of NumPy's float32 matrix product, in operations a second: the best of three after a first."""
    a = np.random.default_rng(0).standard_normal((MATRIX, MATRIX)).astype("float32")
    times = turns({"sgemm": lambda: a @ a}, 3)["sgemm"]
    return 2 * MATRIX**3 / min(times)


def layer_arithmetic(net, name):
    """Return the floating-point operations of one image's forward pass through a node, by direct convolution."""
    if not isinstance(net.nodes[name].layer, (Conv2d, Linear)):
        return 0
    return 2 * net.params[f"{name}.weight"].size * int(np.prod(net.shapes[name][1:]))


def arithmetic(net, training=True):
    """Return the floating-point operations of one image: of a forward pass, or of a training step's three products a layer.

    The first layer of a step needs no gradient of its input, which leaves it two.
    """
    first = next(iter(net.nodes))
    return sum(layer_arithmetic(net, name) * ((2 if name == first else 3) if training else 1) for name in net.nodes)


def machine(ops, torch):
    """Return what the numbers depend on: cores, threads, vectors, register tile, versions; sgemm in operations a second."""
    import numba

    from zfnumpy.ops import _numba_gemm

    vector, rows, across = (getattr(_numba_gemm, name, None) for name in ("VECTOR", "MR", "NV"))
    return {"cores": os.cpu_count(), "threads": ops.threads, "vector_bytes": vector,
            "tile": [rows, vector * across // 4] if vector and rows and across else None,
            "architecture": platform.machine(), "python": platform.python_version(), "numpy": np.__version__,
            "numba": numba.__version__, "torch": torch.__version__ if torch else None, "sgemm_flops": matrix_rate()}

"""Taking times turn by turn, and what they are measured against: the machine's own matrix rate, a network's arithmetic."""

import os
import platform
import time

import numpy as np

from zfnumpy.layers import Conv2d, Linear

WARM = 1.5             # seconds
MATRIX = 3000          # rows and columns of the matrices whose product gives the machine's rate


def turns(sides, rounds):
    """Call {name: function} in turn, `rounds` times over after one untimed call each: {name: [seconds, …]}.

    What takes less than WARM seconds is called once untimed in each of its turns: the others' turns have emptied the
    caches, and in a virtual machine also sent memory away that lay idle, which is not what is to be measured.
    """
    times = {}
    for name, side in sides.items():
        begin = time.perf_counter()
        side()
        times[name] = [time.perf_counter() - begin]
    for _ in range(rounds):
        for name, side in sides.items():
            if times[name][-1] < WARM:
                side()
            begin = time.perf_counter()
            side()
            times[name].append(time.perf_counter() - begin)
    return {name: taken[1:] for name, taken in times.items()}


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

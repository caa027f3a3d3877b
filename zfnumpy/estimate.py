"""What a training run will cost, before it starts: time, memory and disk."""

import time
from dataclasses import dataclass

import numpy as np

from .loss import softmax_cross_entropy

PROGRAM = 300 * 2**20          # Python, the libraries and the compiled kernels


@dataclass
class Estimate:
    """A run's cost: seconds of one step and of the whole run, bytes of memory and of disk."""

    step_seconds: float
    run_seconds: float
    memory_bytes: int
    disk_bytes: int

    def __str__(self):
        return (f"about {spoken_time(self.run_seconds)} ({self.step_seconds:.3g} s a step), "
                f"{self.memory_bytes / 2**30:.1f} GiB of memory, {self.disk_bytes / 2**20:.0f} MiB of disk")


def estimate(net, batch_size, epochs, images, val_images, keep_all=False):
    """Estimate a run by timing two steps on noise that change nothing: an Estimate.

    Memory counts parameters with velocities and gradients, the tape, the two largest gradients on the way back and four
    batches in the loader. The first step compiles what is not compiled yet and is not counted.
    """
    ops, state = net.ops, net.rng.bit_generator.state
    x = ops.asarray(np.random.default_rng(0).standard_normal((batch_size, *net.input_shape)).astype(net.dtype))
    labels = np.zeros(batch_size, np.int64)
    for _ in range(2):
        begin = time.perf_counter()
        scores, tape = net.forward(x, train=True)
        net.backward(softmax_cross_entropy(scores, labels)[1], tape)
        ops.synchronize()
        seconds = time.perf_counter() - begin
    net.rng.bit_generator.state = state
    weights = sum(w.nbytes for w in net.params.values())
    held = {id(a): a.nbytes for cache in (*tape.caches.values(), *tape.values.values())
            for a in (cache if isinstance(cache, tuple) else (cache,)) if hasattr(a, "nbytes")}
    sizes = sorted(int(np.prod(shape)) * batch_size * net.dtype.itemsize for shape in net.shapes.values())
    memory = PROGRAM + 3 * weights + sum(held.values()) + sum(sizes[-2:]) + 4 * x.nbytes
    steps = -(-images // batch_size)
    run = epochs * (steps * seconds + val_images * seconds / batch_size / 3)       # forward is a third of a step
    disk = 2 * weights * (epochs + 2 if keep_all else 3)                           # one more while a file is replaced
    return Estimate(seconds, run, memory, disk)


def spoken_time(seconds):
    """Return a duration as one would say it: "40 s", "12 min", "3.5 h", "12 days"."""
    for size, unit in ((86400, "days"), (3600, "h"), (60, "min")):
        if seconds >= 1.5 * size:
            value = seconds / size
            return f"{value:.0f} {unit}" if value >= 10 or unit == "min" else f"{value:.1f} {unit}"
    return f"{seconds:.0f} s"

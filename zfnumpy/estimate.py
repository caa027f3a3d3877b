"""What a training run will cost, before it starts: time, memory and disk; and what batch the memory has room for."""

import gc
import time
import traceback
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np

from .loss import softmax_cross_entropy

PROGRAM = 300 * 2**20          # Python, the libraries and the compiled kernels


@dataclass
class Estimate:
    """A run's cost: seconds of one step and of the whole run, bytes of memory (the device's where it has one) and disk."""

    step_seconds: float
    run_seconds: float
    memory_bytes: int
    disk_bytes: int
    on_device: bool = False

    def __str__(self):
        memory = "device memory" if self.on_device else "memory"
        return (f"about {spoken_time(self.run_seconds)} ({self.step_seconds:.3g} s a step), "
                f"{self.memory_bytes / 2**30:.1f} GiB of {memory}, {self.disk_bytes / 2**20:.0f} MiB of disk")


def estimate(net, batch_size, epochs, images, val_images, keep_all=False):
    """Estimate a run by timing two steps on noise that change nothing: an Estimate.

    Memory is what these steps reserved on the backend's device. On the processor it counts parameters with velocities and
    gradients, the tape, the two largest gradients on the way back and four batches in the loader. The first step compiles
    what is not compiled yet and is not counted. MemoryError where a step has no room.
    """
    net.ops.release_memory()
    with _nothing_drawn(net):
        seconds, tape_bytes = _two_steps(net, batch_size)
    weights, device = sum(w.nbytes for w in net.params.values()), net.ops.device_memory()
    sizes = sorted(_bytes(net, shape) * batch_size for shape in net.shapes.values())
    memory = PROGRAM + 3 * weights + tape_bytes + sum(sizes[-2:]) + 4 * _bytes(net, net.input_shape) * batch_size
    steps = -(-images // batch_size)
    run = epochs * (steps * seconds + val_images * seconds / batch_size / 3)       # forward is a third of a step
    disk = 2 * weights * (epochs + 2 if keep_all else 3)                           # one more while a file is replaced
    return Estimate(seconds, run, device[0] if device else memory, disk, bool(device))


def largest_batch(net, too_large):
    """Return the largest batch below `too_large` with which a training step fits into the device's memory.

    0 where not even one image fits, None where the backend cannot tell (on the processor). Found by taking steps: two
    small ones tell about what an image takes, and from there the batch goes up or down until it fits and a sixteenth more
    does not. Nothing of the network is changed. First free what a failed step holds (forget_arrays).
    """
    if net.ops.device_memory() is None:
        return None
    fits, fails, guess, known = 0, too_large, max(1, too_large // 32), []
    with _nothing_drawn(net):
        while fails - fits > max(1, fits // 16):
            guess = min(max(guess, fits + 1), fails - 1)
            reserved, most = _reserved_by(net, guess), net.ops.device_memory()[1]
            if reserved is None:
                fails = guess
                guess = guess - max(1, guess // 16) if len(known) > 1 else (fits + fails) // 2
                continue
            fits = guess
            known.append((guess, reserved))
            if len(known) == 2:
                (few, few_bytes), (more, more_bytes) = known
                guess = few + (most - few_bytes) * (more - few) // max(1, more_bytes - few_bytes)
            else:
                guess += guess if len(known) == 1 else max(1, guess // 16)
    net.ops.release_memory()
    return fits


def forget_arrays(error):
    """Take the traceback off an error, whose frames hold arrays, so that their memory is free; its text stays as a note."""
    while error is not None:
        error.add_note("".join(traceback.format_tb(error.__traceback__)))
        error.__traceback__ = None
        error = error.__context__
    gc.collect()


def _reserved_by(net, batch_size):
    """Return the bytes that the device's memory holds for training steps of a batch, None where it has no room for them."""
    net.ops.release_memory()
    try:
        _two_steps(net, batch_size)
        return net.ops.device_memory()[0]
    except MemoryError as error:
        forget_arrays(error)
        return None


def _two_steps(net, batch_size):
    """Take two training steps on noise that leave the weights as they are: (seconds, bytes of the tape) of the second.

    As in training the second step finds the tape of the first not yet gone, and each ends with an update: of the gradients
    themselves, which nobody needs.
    """
    ops, labels = net.ops, np.zeros(batch_size, np.int64)
    noise = np.random.default_rng(0).standard_normal((batch_size, *net.input_shape)).astype(net.dtype)
    on_their_way = ops.asarray(noise)             # about what a loader has of the next batches on the device
    for _ in range(2):
        begin = time.perf_counter()
        scores, tape = net.forward(ops.asarray(noise), train=True)
        held = {id(a): a.nbytes for cache in (*tape.caches.values(), *tape.values.values())
                for a in (cache if isinstance(cache, tuple) else (cache,)) if hasattr(a, "nbytes")}
        for grad in net.backward(softmax_cross_entropy(scores, labels)[1], tape, keep_tape=False).values():
            ops.sgd_update(grad, grad, grad, 0.0)
        ops.synchronize()
    del on_their_way
    return time.perf_counter() - begin, sum(held.values())


@contextmanager
def _nothing_drawn(net):
    """Put the network's generator back, which dropout draws from."""
    state = net.rng.bit_generator.state
    try:
        yield
    finally:
        net.rng.bit_generator.state = state


def _bytes(net, shape):
    return int(np.prod(shape)) * net.dtype.itemsize


def spoken_time(seconds):
    """Return a duration as one would say it: "40 s", "12 min", "3.5 h", "12 days"."""
    for size, unit in ((86400, "days"), (3600, "h"), (60, "min")):
        if seconds >= 1.5 * size:
            value = seconds / size
            return f"{value:.0f} {unit}" if value >= 10 or unit == "min" else f"{value:.1f} {unit}"
    return f"{seconds:.0f} s"

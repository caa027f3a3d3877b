"""What a benchmark needs of the device a side computes on: waiting, marks in its queue, memory. A class for each library.

On a card a call returns when its work is queued, not when it is done. So a time is taken between two waits, or between two
marks that the card itself passes. `Host` has the same methods where everything is done when the call returns.
"""

import gc
import time
import warnings

FILL = 0.01            # seconds of other work that are queued first, so that no gap between short calls is timed
SQUARE = 4096          # rows and columns of the matrices that are multiplied for that


class Host:
    """The processor."""

    name = "cpu"

    def synchronize(self):
        """Wait until everything asked for is done."""

    def mark(self):
        """Return a mark at this place in the queue."""
        return time.perf_counter()

    def between(self, first, second):
        """Return the seconds from one mark to another, after waiting for it."""
        return second - first

    def fill(self):
        """Queue work for at least FILL seconds: the device is busy while short calls are queued behind it."""

    def free(self):
        """Give back the memory that nothing uses."""
        gc.collect()

    def reserved(self):
        """Return the bytes of device memory that the library holds, free ones of its pool included; None if nobody knows."""

    def peak(self, work):
        """Return the most bytes that the library held while work() ran, with what was held before; None if nobody knows."""
        self.free()
        work()
        return self.reserved()


class Cupy(Host):
    """A card as the cupy backend uses it; `ops` are its operations."""

    name = "cuda"

    def __init__(self, ops):
        self.ops, self.filler = ops, None

    def synchronize(self):
        self.ops.synchronize()

    def mark(self):
        event = self.ops.xp.cuda.Event()
        event.record()
        return event

    def between(self, first, second):
        second.synchronize()
        return self.ops.xp.cuda.get_elapsed_time(first, second) / 1e3

    def fill(self):
        if self.filler is None:
            square = self.ops.xp.ones((SQUARE, SQUARE), dtype="float32")
            self.filler = _filler(self, lambda: self.ops.linear_input_grad(square, square))
        self.filler()

    def free(self):
        """Give back the pool's free blocks; a pool never shrinks by itself, so what it holds later is a peak."""
        self.filler = None
        gc.collect()
        self.synchronize()
        self.ops.xp.get_default_memory_pool().free_all_blocks()

    def reserved(self):
        return self.ops.xp.get_default_memory_pool().total_bytes()


class CudaTorch(Host):
    """A card as PyTorch uses it."""

    name = "cuda"

    def __init__(self, torch):
        self.torch, self.filler = torch, None

    def synchronize(self):
        self.torch.cuda.synchronize()

    def mark(self):
        event = self.torch.cuda.Event(enable_timing=True)
        event.record()
        return event

    def between(self, first, second):
        second.synchronize()
        return first.elapsed_time(second) / 1e3

    def fill(self):
        if self.filler is None:
            square = self.torch.ones((SQUARE, SQUARE), device=self.name)
            self.filler = _filler(self, lambda: square @ square)
        self.filler()

    def free(self):
        self.filler = None
        gc.collect()
        self.synchronize()
        self.torch.cuda.empty_cache()

    def peak(self, work):
        self.free()
        self.torch.cuda.reset_peak_memory_stats()
        work()
        self.synchronize()
        return self.torch.cuda.max_memory_reserved()


def _filler(device, product):
    """Return a function that queues products for FILL seconds."""
    product()
    begin = device.mark()
    product()
    count = int(FILL / max(device.between(begin, device.mark()), 1e-6)) + 1
    return lambda: [product() for _ in range(min(count, 100))] and None


def ours(ops):
    """Return the device that operations compute on."""
    return Cupy(ops) if ops.name == "cupy" else Host()


def theirs(torch, name):
    """Return the device of that name ("cpu", "cuda") as PyTorch uses it; Host without PyTorch."""
    return CudaTorch(torch) if torch and name != "cpu" else Host()


def precision(torch, tf32):
    """Let PyTorch's products and convolutions round their factors to TF32 on a card, or forbid it."""
    if torch:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")              # newer versions have another name for the same, and say so
            torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = tf32

"""Pictures on their way to the device: copied as bytes on a stream of their own, prepared where they are used."""

import math
import weakref

import numpy as np

from ..errors import BackendError
from ._cuda import Launcher

STAGES = 2           # batches on the device: one that is being read, one on its way


class Feeds(Launcher):
    """Preparing pictures on the device, and bringing them there."""

    def _prepare(self, squares, corners, flips, mean, size, scale, bgr, dtype):
        N, R, _, _ = squares.shape
        x = self.xp.empty((N, 3, size, size), dtype=dtype)
        self._each("prepare", "prepare", N * size * size, self._plain(squares), self._plain(corners),
                   self._plain(flips).view("uint8"), self._plain(mean), x, R, size, mean.ndim == 3, bgr, scale, dtype=dtype)
        return x

    def feeder(self):
        return Feeder(self)


class Feeder:
    """Brings batches of pictures to the device while the batch before is computed with.

    Pictures are written into pinned arrays (`empty`, from any thread), since only from pinned memory does the device copy
    by itself. `send` asks for the copy and returns at once; `prepared` makes x of what was sent. Both belong to the
    thread that computes; between the two of a batch at most one other may be sent.
    """

    def __init__(self, ops):
        self.ops, self.xp = ops, ops.xp
        self.stream = self.xp.cuda.Stream(non_blocking=True)        # waits for no other stream but where told to
        self.stages = [_Stage(self.xp) for _ in range(STAGES)]
        self.sent = 0
        weakref.finalize(self, _wait, self.stages)                  # memory that is still read must not be let go

    def asarray(self, array):
        """Return an array, a mean say, on the device."""
        return self.ops.asarray(array)

    def empty(self, shape, dtype="uint8"):
        """Return a new NumPy array in pinned memory."""
        dtype, count = np.dtype(dtype), math.prod(shape)
        memory = self.xp.cuda.alloc_pinned_memory(count * dtype.itemsize)
        return np.frombuffer(memory, dtype, count).reshape(shape)   # which keeps `memory` alive as long as itself

    def send(self, squares, corners, flips):
        """Ask for the copy of a batch, three arrays made by `empty` (see OpsFace.prepare), and return its ticket.

        Nobody may change the arrays afterwards; the feeder holds on to them until they are copied.
        """
        stage = self.stages[self.sent % STAGES]
        # The host waits for the copy that this stage held before: the pinned arrays are let go now, and the loader's
        # threads would fill them anew while the device still reads them. It was asked for two batches ago, and is over.
        stage.copied.synchronize()
        stage.host = squares, corners, flips
        # The copy waits for the kernel that reads what lies in this stage. The host does not: it only notes this down.
        self.stream.wait_event(stage.read)
        # CuPy gives freed memory out again on the stream that it was allocated on, where work goes by turns. From another
        # stream's memory this copy could overwrite an array that kernels of that stream have still to read.
        with self.stream:
            stage.buffers = [_room(self.xp, buffer, host) for buffer, host in zip(stage.buffers, stage.host)]
        stage.arrays = [buffer[:len(host)] for buffer, host in zip(stage.buffers, stage.host)]
        for array, host in zip(stage.arrays, stage.host):
            array.set(host, stream=self.stream)
        stage.copied.record(self.stream)
        self.sent += 1
        return self.sent - 1

    def prepared(self, ticket, mean, size, scale=1.0, order="RGB", dtype="float32"):
        """Return ops.prepare of the batch that was sent for this ticket."""
        if not self.sent - STAGES <= ticket < self.sent:
            raise BackendError(f"batch {ticket} is not on the device: {self.sent} were sent, and it holds the last {STAGES}")
        stage, current = self.stages[ticket % STAGES], self.xp.cuda.get_current_stream()
        current.wait_event(stage.copied)                            # the kernel waits for the copy, the host for neither
        x = self.ops.prepare(*stage.arrays, mean, size, scale, order, dtype)
        stage.read.record(current)                                  # for the copy that comes into this stage next
        return x


class _Stage:
    """Memory on the device for one batch, and how far its copy and its kernel are; a new event counts as over."""

    def __init__(self, xp):
        self.host, self.buffers, self.arrays = None, [None] * 3, None
        self.copied, self.read = (xp.cuda.Event(disable_timing=True) for _ in range(2))


def _wait(stages):
    """Wait until nothing reads the memory of the stages any more, on the host or on the device."""
    for stage in stages:
        stage.copied.synchronize()
        stage.read.synchronize()


def _room(xp, buffer, host):
    """Return the buffer where the host's array fits in, as an epoch's last, smaller batch does, and else a new one."""
    if buffer is not None and buffer.shape[1:] == host.shape[1:] and len(buffer) >= len(host):
        return buffer
    return xp.empty(host.shape, dtype=host.dtype)

"""Room for arrays that is used again: a training step takes the memory of the last one instead of asking the system anew.

Fresh memory costs a page fault every 4 KB, which is more time than many a kernel takes to fill it.
"""

import sys
import threading

import numpy as np

SMALLEST = 1 << 18        # bytes; below, the allocator keeps what it has anyway
ALIGNED = 64              # bytes: a cache line, so that no vector lies across two
SPARE = 1.25              # a block serves what takes at least 1/SPARE of it
PATIENCE = 2000           # arrays handed out after which a block that served none of them goes back to the system


class Buffers:
    """Hands out arrays on blocks of memory; a block is free again when no array on it is left.

    NumPy says when: every view of a block, and every view of a view, holds a reference to it.
    """

    def __init__(self):
        self._blocks = []                        # [block, when it last served], the smallest first
        self._served = 0
        self._lock = threading.Lock()
        self._unused = _references([np.empty(0, np.uint8)])

    def empty(self, shape, dtype):
        """Return an array of any content, as np.empty does."""
        dtype = np.dtype(dtype)
        count = int(np.prod(shape, dtype=np.int64))
        size = count * dtype.itemsize
        if size < SMALLEST:
            return np.empty(shape, dtype)
        with self._lock:
            block = self._free_block(size)
            if block is None:
                block = np.empty(size + ALIGNED, np.uint8)
                self._blocks.append([block, self._served])
                self._blocks.sort(key=lambda entry: entry[0].size)
            start = -block.ctypes.data % ALIGNED
            return block[start:start + size].view(dtype).reshape(shape)

    def _free_block(self, size):
        """Return the smallest free block that fits, None if there is none; give back those long unused."""
        self._served += 1
        found, kept = None, []
        for entry in self._blocks:
            free = _references(entry) == self._unused
            if free and found is None and size + ALIGNED <= entry[0].size <= SPARE * size + ALIGNED:
                found, entry[1] = entry[0], self._served
            if not free or self._served - entry[1] <= PATIENCE:
                kept.append(entry)
        self._blocks = kept
        return found

    def total(self):
        """Return the bytes of all blocks, free or not."""
        return sum(entry[0].size for entry in self._blocks)


def _references(entry):
    """Count the references to an entry's block, those of this call among them."""
    return sys.getrefcount(entry[0])

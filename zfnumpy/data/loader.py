"""Batches for training and evaluation, read and prepared in background threads a little ahead of their use."""

import collections
import itertools
import numbers
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing

import numpy as np

from ..errors import DataError, DTypeError

_THREAD_NAME = "zfnumpy-loader"


class Loader:
    """Serves a data set in batches, the same bits whatever the number of threads and wherever an epoch is resumed.

    dataset: any object with `labels`, `len()`, `image(i)` and `name(i)`. preprocessing: a Preprocessing. augment: an
    Augment for random crops and flips, or None for centre crops. shuffle: a new order each epoch, from `seed`.
    threads prepare a batch each, with at most `prefetch` batches prepared or in preparation beyond the one in use, so
    memory does not grow with the data set. drop_last leaves out a last batch of fewer pictures. dtype: float32 or
    float64. The threads use NumPy and Pillow alone, and no kernels of ours.

    feeder: what ops.feeder() gives, for a backend that prepares pictures on its device. The threads then only read,
    resize and cut squares, and each batch is sent while the one before it is in use, one more than `prefetch`. The
    batches are the same, with x on the device.

    Pictures that cannot be read (DataError) are left out of their batch and stand in `skipped`, a list of
    (name, reason), once each. Any other exception of the data set reaches the caller.

    `place` counts the epoch's batches up to the one in use, those passed over included: the `start` to go on with.
    """

    def __init__(self, dataset, batch_size, preprocessing, augment=None, shuffle=False, seed=0,
                 threads=2, prefetch=3, drop_last=False, dtype="float32", feeder=None):  # fmt: skip
        _check_whole("batch_size", batch_size, 1)
        _check_whole("seed", seed, 0)
        _check_whole("threads", threads, 1)
        _check_whole("prefetch", prefetch, 1)
        if np.dtype(dtype) not in (np.float32, np.float64):
            raise DTypeError(f"batches are float32 or float64, got {np.dtype(dtype)}")
        if preprocessing is None:
            raise DataError("the network has no preprocessing: set net.preprocessing = zf.data.Preprocessing(…)")
        if len(dataset) == 0:
            raise DataError("the data set has no pictures")
        if drop_last and len(dataset) < batch_size:
            raise DataError(f"{len(dataset)} pictures fill no batch of {batch_size}, and drop_last leaves out the rest")
        self.dataset, self.batch_size = dataset, int(batch_size)
        self.preprocessing, self.augment = preprocessing, augment
        self.shuffle, self.seed, self.drop_last = shuffle, seed, drop_last
        self.threads, self.prefetch, self.dtype = threads, prefetch, np.dtype(dtype)
        self.feeder = feeder
        self._labels = np.asarray(dataset.labels, np.int64)
        self.skipped, self.place = [], 0
        self._skipped_indices = set()

    def __len__(self):
        """Count the batches of an epoch."""
        whole, rest = divmod(len(self.dataset), self.batch_size)
        return whole + (rest > 0 and not self.drop_last)

    def batches(self, epoch=0, start=0):
        """Iterate over (x (n, 3, crop, crop), labels (n,) int64, indices (n,) int64) of an epoch, from batch `start`.

        The order depends on (seed, epoch) alone, a picture's augmentation on (seed, epoch, its index) alone. A batch
        none of whose pictures can be read is passed over; DataError where this holds for a whole epoch. Leaving the
        loop early ends the threads.
        """
        _check_whole("epoch", epoch, 0)
        _check_whole("start", start, 0)
        if start > len(self):
            raise DataError(f"cannot start at batch {start} of an epoch of {len(self)} batches")
        return self._batches(epoch, start)

    def _batches(self, epoch, start):
        served, failed = 0, []
        with closing(self._loaded(epoch, start)) as loaded:
            for place, (x, kept, unread) in enumerate(self._finished(loaded), start + 1):
                self.record(unread)
                failed += unread
                if len(kept):
                    served, self.place = served + 1, place
                    yield x, self._labels[kept], kept
        if start == 0 and not served:
            raise DataError(f"none of {len(failed)} pictures could be read; the first reason: {failed[0][1]}")

    def _finished(self, loaded):
        """Turn what was loaded into (x, indices kept, unread); a feeder's x is made on the device."""
        if self.feeder is None:
            for (x,), kept, unread in loaded:
                yield x, kept, unread
            return
        use, mean = self.preprocessing, self.feeder.asarray(self.preprocessing.mean)

        def prepared(ticket, kept, unread):
            x = self.feeder.prepared(ticket, mean, use.crop, use.scale, use.order, self.dtype) if len(kept) else None
            return x, kept, unread

        sent = None
        for arrays, kept, unread in loaded:
            ticket = self.feeder.send(*arrays) if len(kept) else None
            if sent:
                yield prepared(*sent)            # only now that the next one is on its way
            sent = ticket, kept, unread
        if sent:
            yield prepared(*sent)

    def _loaded(self, epoch, start):
        """Yield what `_load` returns for each batch in turn, from threads that end when this generator is closed."""
        order, draws = self._plan(epoch)
        rows = (order[b * self.batch_size : (b + 1) * self.batch_size] for b in range(start, len(self)))
        stop = threading.Event()
        pool = ThreadPoolExecutor(self.threads, thread_name_prefix=_THREAD_NAME)
        ahead = collections.deque()
        try:
            for indices in itertools.islice(rows, self.prefetch):
                ahead.append(pool.submit(self._load, indices, draws, stop))
            while ahead:
                batch = ahead.popleft().result()
                indices = next(rows, None)
                if indices is not None:
                    ahead.append(pool.submit(self._load, indices, draws, stop))
                yield batch
        finally:
            stop.set()
            pool.shutdown(wait=True, cancel_futures=True)

    def _plan(self, epoch):
        """Return the epoch's order of indices, and for every index the three numbers its augmentation is drawn from."""
        count = len(self.dataset)
        shuffling, augmenting = (np.random.default_rng([self.seed, epoch, use]) for use in range(2))
        order = shuffling.permutation(count) if self.shuffle else np.arange(count)
        return order, augmenting.random((count, 3)) if self.augment else None

    def _load(self, indices, draws, stop):
        """Load a batch in a background thread: (arrays, indices kept, [(index, reason)] of those that were not).

        The arrays are x alone, or with a feeder the squares, corners and flips of OpsFace.prepare.
        """
        count, size = len(indices), self.preprocessing.crop
        if self.feeder is None:
            arrays, write = [np.empty((count, 3, size, size), self.dtype)], self._write_x
        else:
            shape = (count, self.preprocessing.resize, self.preprocessing.resize, 3)
            arrays = [self.feeder.empty(shape), self.feeder.empty((count, 2), "int32"), self.feeder.empty((count,))]
            write = self._write_square
        kept, unread = [], []
        for i in indices.tolist():
            if stop.is_set():
                break
            try:
                write(self.dataset.image(i), None if draws is None else draws[i], arrays, len(kept))
                kept.append(i)
            except DataError as error:
                unread.append((i, str(error)))
        return [array[: len(kept)] for array in arrays], np.array(kept, np.int64), unread

    def _write_x(self, picture, draw, arrays, k):
        (x,) = arrays
        if self.augment is None:
            self.preprocessing.centre(picture, out=x[k])
        else:
            self.augment(picture, self.preprocessing, draw, out=x[k])

    def _write_square(self, picture, draw, arrays, k):
        squares, corners, flips = arrays
        if self.augment is None:
            corners[k], flips[k] = self.preprocessing.inner, False
        else:
            top, left, flips[k] = self.augment.place(self.preprocessing, draw)
            corners[k] = top, left
        squares[k] = self.preprocessing.square(picture)

    def record(self, unread):
        """Note pictures that could not be read, [(index, reason)], in `skipped`."""
        for i, reason in unread:
            if i not in self._skipped_indices:
                self._skipped_indices.add(i)
                self.skipped.append((self.dataset.name(i), reason))


def _check_whole(name, value, least):
    if not isinstance(value, numbers.Integral) or value < least:
        raise DataError(f"{name} must be a whole number from {least}, got {value!r}")

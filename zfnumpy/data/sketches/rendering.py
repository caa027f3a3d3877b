"""Many images at once: numbered images as records of fixed size, drawn here or by helper processes."""

import os
import subprocess
import sys

import numpy as np
from tqdm import tqdm

from ...paths import python_path
from .scene import CLASSES, PARTS, draw

MOST_PARTS = max(map(len, PARTS.values()))
_ENOUGH = 250  # images that make up for a helper's start


def record_type(size):
    """Return the dtype of one image with its truth; places are (x, y, radius) in the order of PARTS, nan beyond."""
    return np.dtype(
        [
            ("image", np.uint8, (size, size, 3)),
            ("mask", np.bool_, (size, size)),
            ("label", np.int64),
            ("box", np.float32, 4),
            ("pose", np.float32, 4),
            ("places", np.float32, (MOST_PARTS, 3)),
        ]
    )


def label_of(seed, number):
    """Return the class of image `number`: every ten images in a row hold each class once, in shuffled order."""
    block, place = divmod(number, len(CLASSES))
    return int(np.random.default_rng([seed, block, 1]).permutation(len(CLASSES))[place])


def draw_record(size, seed, number):
    """Draw image `number` of a seed as a record (one element of record_type(size))."""
    image, truth = draw(label_of(seed, number), size, (seed, number), None, None, None, None)
    places = np.full((MOST_PARTS, 3), np.nan, np.float32)
    places[: len(truth.parts)] = [truth.parts[name] for name in PARTS[CLASSES[truth.label]]]
    pose = (truth.x, truth.y, truth.scale, truth.angle)
    return np.array((image, truth.mask, truth.label, truth.box, pose, places), record_type(size))


def draw_records(count, size, seed, processes=None):
    """Return images 0 to count - 1 of a seed as {field of record_type: array (count, ...)}.

    processes: how many draw side by side; None takes one a core, and fewer where there is little to draw. The bits are
    the same for any number. A progress bar appears on a terminal when it takes long.
    """
    if processes is None:
        processes = min(_cores(), count // _ENOUGH)
    processes = max(min(processes, count), 1)
    dtype = record_type(size)
    arrays = {name: np.empty((count, *dtype[name].shape), dtype[name].base) for name in dtype.names}
    helpers = [_start_helper(size, seed, k, count, processes) for k in range(processes)] if processes > 1 else [None]
    buffer = bytearray(dtype.itemsize)
    try:
        # Helper k draws images k, k + processes, …, so reading them in turn keeps all of them busy.
        for i in tqdm(range(count), "drawing sketches", leave=False, disable=None, delay=1, unit=" images"):
            helper = helpers[i % processes]
            if helper is not None and helper.stdout.readinto(buffer) == len(buffer):
                record = np.frombuffer(buffer, dtype)[0]
            else:  # no helper, or one that could not start or has died: the same image, drawn here
                helpers[i % processes] = _stopped(helper)
                record = draw_record(size, seed, i)
            for name, array in arrays.items():
                array[i] = record[name]
    finally:
        for helper in helpers:
            _stopped(helper)
    return arrays


def _start_helper(size, seed, start, stop, step):
    """Start a Python that draws every step-th image and writes the records to its standard output.

    Not multiprocessing: its "fork" copies a process whose BLAS or OpenMP threads may hold a lock for ever, and its
    "spawn" imports the caller's main script again, which starts over where that has no `if __name__ == "__main__"`. A
    module of our own run by `python -m` is the same from a script, a notebook, a test or a thread.
    """
    # One thread each: the arrays are tiny, and a pool of BLAS threads for each helper takes long to start.
    env = os.environ | {"PYTHONPATH": python_path(), "OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1",
                        "MKL_NUM_THREADS": "1"}
    # -P: a random.py in the folder that the user happens to be in is not Python's.
    command = [sys.executable, "-P", "-m", f"{__package__}._worker", *map(str, (size, seed, start, stop, step))]
    try:
        # What a helper has to complain of is found again, with its traceback, when its images are drawn here.
        return subprocess.Popen(
            command, env=env, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
        )
    except OSError:
        return None


def _stopped(helper):
    if helper is not None:
        helper.stdout.close()
        helper.kill()
        helper.wait()


def _cores():
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1

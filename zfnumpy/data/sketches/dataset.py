"""SketchSet: many drawn images with their truth, kept on disk between runs."""

import contextlib
import hashlib
import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import PIL

from ...errors import DataError, ZFNumpyError
from ...paths import cache_folder, written_whole
from .rendering import draw_records, record_type
from .scene import CLASSES, PARTS, checked_seed, checked_size, draw, whole_number


@dataclass(repr=False, eq=False)
class SketchSet:
    """N drawn images with all that is known of them; lengths in pixels from the upper left corner, y down.

    images: (N, size, size, 3) uint8. labels: (N,) int64, indices into classes. masks: (N, size, size) bool, every pixel
    that the object touches. boxes: (N, 4) float32, x0, y0, x1, y1, half-open, tight around the mask. poses: (N, 4)
    float32: x, y of the object's centre, scale (its longer side over the image's), angle (degrees, counter-clockwise).
    places: (N, most parts, 3) float32, what parts(i) reads. numbers: (N,) int64, the images' numbers in the whole set.
    """

    images: np.ndarray
    labels: np.ndarray
    masks: np.ndarray
    boxes: np.ndarray
    poses: np.ndarray
    places: np.ndarray
    numbers: np.ndarray
    size: int
    seed: int

    def __len__(self):
        return len(self.labels)

    def __repr__(self):
        return f"SketchSet({len(self)} images, size={self.size}, seed={self.seed})"

    @property
    def classes(self):
        """The ten class names, in the order of the labels."""
        return list(CLASSES)

    def image(self, i):
        """Return image i, (size, size, 3) uint8."""
        return self.images[i]

    def name(self, i):
        """Return what to call image i, as "sketch 17 (face)"; a subset's images keep their numbers."""
        return f"sketch {self.numbers[i]} ({CLASSES[self.labels[i]]})"

    def parts(self, i):
        """Return {part: (x, y, radius)} of image i in pixels: the circle that holds the part."""
        return {name: tuple(map(float, place)) for name, place in zip(PARTS[CLASSES[self.labels[i]]], self.places[i])}

    def subset(self, indices):
        """Return the images at `indices` (a slice, integers or a bool mask) as a set of their own, in that order."""
        try:
            rows = np.atleast_1d(np.arange(len(self))[indices])
        except IndexError as error:
            raise DataError(f"indices that do not fit a set of {len(self)} sketches: {error}") from error
        arrays = (self.images, self.labels, self.masks, self.boxes, self.poses, self.places, self.numbers)
        return SketchSet(*(array[rows] for array in arrays), self.size, self.seed)

    def redraw(self, i, x=None, y=None, scale=None, angle=None, background=True, without=()):
        """Draw image i again with another pose; return its image and its Truth.

        The arguments are those of `draw`: x, y, scale in image sides (0..1), angle in degrees. What is None stays as it
        is in image i, so redraw(i) is image i, bit for bit.
        """
        seed = (self.seed, int(self.numbers[i]))
        return draw(int(self.labels[i]), self.size, seed, x, y, scale, angle, background, without)


def load(count=10000, size=64, seed=0, cache=True, processes=None):
    """Return a SketchSet of `count` images, from the cache where they have been drawn before.

    size: pixels a side, 16 or more. seed: a whole number from 0 upwards; image i depends on seed, i and size alone, and
    with another size it is the same scene. Every ten images in a row hold each class once. cache=False neither reads
    nor writes files. processes: how many draw side by side, None for one a core.

    Raises DataError for a count under 1, a size under 16, a negative seed or fewer than one process.
    """
    size, (seed,) = checked_size(size), checked_seed((seed,))
    count = _at_least_one(count, "a set has at least 1 sketch", "count")
    if processes is not None:
        processes = _at_least_one(processes, "drawing takes at least 1 process", "processes")
    path = _cache_path(count, size, seed)
    arrays = _read(path, count, size) if cache else None
    if arrays is None:
        arrays = draw_records(count, size, seed, processes)
        if cache:
            _write(path, arrays)
    fields = [arrays[name] for name in ("image", "label", "mask", "box", "pose", "places")]
    return SketchSet(*fields, np.arange(count), size, seed)


def _at_least_one(value, rule, name):
    value = whole_number(value, rule)
    if value < 1:
        raise DataError(f"{rule}, got {name}={value}")
    return value


def _cache_path(count, size, seed):
    """Return the set's file; its name changes with the code that draws and the libraries that it draws with."""
    digest = hashlib.sha256(f"{PIL.__version__} {np.__version__}".encode())
    for source in sorted(Path(__file__).parent.glob("*.py")):
        digest.update(source.read_bytes())
    return cache_folder("sketches") / f"{count}-of-{size}px-seed{seed}-{digest.hexdigest()[:12]}.npz"


def _read(path, count, size):
    """Return a file's arrays, or None where it is missing, damaged or of other shapes: then it is drawn again."""
    dtype = record_type(size)
    try:
        with open(path, "rb") as raw, np.load(raw) as file:  # a zip: reading an array tests its checksum
            arrays = {name: file[name] for name in dtype.names if name != "mask"}
            bits = np.unpackbits(file["mask"], axis=-1, count=size)
    except (OSError, EOFError, KeyError, ValueError, zipfile.BadZipFile, zlib.error):
        return None
    arrays["mask"] = bits.astype(bool)
    whole = all(a.shape == (count, *dtype[name].shape) and a.dtype == dtype[name].base for name, a in arrays.items())
    return arrays if whole else None


def _write(path, arrays):
    """Keep the arrays for the next time, in place of what an older version drew; without a cache all still works."""
    with contextlib.suppress(ZFNumpyError):
        with written_whole(path) as beside:
            np.savez(beside, **(arrays | {"mask": np.packbits(arrays["mask"], axis=-1)}))
        for older in path.parent.glob(f"{path.stem.rsplit('-', 1)[0]}-*.npz"):
            if older != path:
                with contextlib.suppress(OSError):
                    older.unlink()

"""From pictures (H, W, 3) uint8 to what a network reads (3, crop, crop) float32, and back."""

import json
import numbers
from dataclasses import dataclass

import numpy as np
from PIL import Image
from tqdm import tqdm

from ..errors import DataError, ShapeError

_MAX_PIXELS = 2**26  # of a resized picture; only one far longer than wide exceeds it, and would fill the memory


@dataclass(frozen=True, eq=False)
class Preprocessing:
    """How pictures of any size become a network's input: resize the shortest side, crop, subtract the mean, scale.

    resize, crop: pixels, crop <= resize. Pillow's BILINEAR resize (it antialiases) brings the shortest side to
    `resize`, the longer one to the nearest pixel; an odd margin leaves its extra pixel at the right and bottom of the crop.
    mean: float32 in the network's channel order and in pixel units 0..255: a colour (3,), or a mean image
    (3, resize, resize), of which each crop subtracts its own window.
    scale: multiplies after the mean is subtracted: 1 gives about -128..128, 1/128 about -1..1.
    order: the network's channels, "RGB" or "BGR"; pictures are always RGB.
    """

    resize: int
    crop: int
    mean: np.ndarray
    scale: float = 1.0
    order: str = "RGB"

    def __post_init__(self):
        for name in ("resize", "crop"):
            size = getattr(self, name)
            if not isinstance(size, numbers.Integral) or size < 1:
                raise DataError(f"{name} must be a whole number of pixels from 1, got {size!r}")
            object.__setattr__(self, name, int(size))
        if self.crop > self.resize:
            raise DataError(f"a crop of {self.crop} does not fit into pictures resized to {self.resize} pixels")
        if self.order not in ("RGB", "BGR"):
            raise DataError(f"the channel order is RGB or BGR, got {self.order!r}")
        if not isinstance(self.scale, numbers.Real) or not 0 < self.scale < np.inf:
            raise DataError(f"scale must be a number above 0, got {self.scale!r}")
        object.__setattr__(self, "scale", float(self.scale))
        mean = np.array(self.mean, np.float32)  # a copy: nobody changes it behind a frozen object's back
        image = (3, self.resize, self.resize)
        if mean.shape not in ((3,), image):
            raise DataError(f"the mean is a colour (3,) or a mean image {image}, got shape {mean.shape}")
        if not np.isfinite(mean).all():
            raise DataError("the mean holds values that are not finite")
        mean.setflags(write=False)
        object.__setattr__(self, "mean", mean)

    def __eq__(self, other):
        if not isinstance(other, Preprocessing):
            return NotImplemented
        return self.to_json() == other.to_json() and np.array_equal(self.mean, other.mean)

    __hash__ = None

    @property
    def has_mean_image(self):
        return self.mean.ndim == 3

    @property
    def inner(self):
        """The row and column at which the centre crop begins in the square."""
        return _centre(self.resize, self.crop)

    def __call__(self, images):
        """Prepare the centre crops of pictures, a list of any sizes or an array (N, H, W, 3): (N, 3, crop, crop)."""
        images = _listed(images)
        out = np.empty((len(images), 3, self.crop, self.crop), np.float32)
        for i, picture in enumerate(images):
            self.centre(picture, out[i], f"picture {i}")
        return out

    def centre(self, picture, out, name="the picture"):
        """Write the prepared centre crop of one picture (H, W, 3) uint8 into `out` (3, crop, crop) float32."""
        self.write(self.square(picture, name), self.inner, self.inner, out)

    def to_crop(self, places, size):
        """Carry places of a picture of `size` (H, W) into its centre crop: float64, not cut where they lie outside it.

        places (..., 2) x, y, or boxes (..., 4) x0, y0, x1, y1: lengths from the picture's upper left corner, in pixels, so
        that pixel i runs from i to i + 1. The same comes back, in pixels of the crop.
        """
        places = np.asarray(places, np.float64)
        if places.ndim < 1 or places.shape[-1] not in (2, 4) or min(size) < 1:
            raise DataError(f"expected points (..., 2) or boxes (..., 4) in a picture of (H, W) pixels, got {places.shape} "
                            f"in one of {tuple(size)}")
        (H, W), (rows, columns) = size, _resized(size, self.resize)
        pairs = places.reshape(*places.shape[:-1], -1, 2) * (columns / W, rows / H)
        return (pairs - (_centre(columns, self.crop), _centre(rows, self.crop))).reshape(places.shape)

    def ten_crop(self, images):
        """Prepare ten crops of each picture: (N, 10, 3, crop, crop) float32, for averaging predictions (sec. 3).

        Top left, top right, bottom left, bottom right and centre of the picture's central resize x resize square,
        then the flips of these five. A mean image flips with its picture.
        """
        images = _listed(images)
        out = np.empty((len(images), 10, 3, self.crop, self.crop), np.float32)
        end, inner = self.resize - self.crop, self.inner
        for i, picture in enumerate(images):
            square = self.square(picture, f"picture {i}")
            for k, corner in enumerate([(0, 0), (0, end), (end, 0), (end, end), (inner, inner)]):
                self.write(square, *corner, out[i, k])
                out[i, k + 5] = out[i, k, :, :, ::-1]
        return out

    def square(self, picture, name="the picture"):
        """Resize a picture (H, W, 3) uint8 and return its central square, (resize, resize, 3) uint8 RGB."""
        return _square(picture, self.resize, self.crop, name)

    def write(self, square, top, left, out, flip=False):
        """Write the prepared window of `square` with its corner at (top, left) into `out` (3, h, w) float32."""
        _, h, w = out.shape
        window = square[top : top + h, left : left + w].transpose(2, 0, 1)
        if self.order == "BGR":
            window = window[::-1]
        mean = self.mean[:, top : top + h, left : left + w] if self.has_mean_image else self.mean[:, None, None]
        if flip:
            window, mean = window[:, :, ::-1], mean[:, :, ::-1]
        np.subtract(window, mean, out=out)
        if self.scale != 1:
            out *= self.scale

    def pixels(self, x):
        """Turn prepared inputs (N, 3, H, W) back into pictures (N, H, W, 3) uint8 RGB, for showing them.

        The inverse of preparing the centre crop. With a mean image, H = W = crop and its central window is added;
        with a colour, any H and W will do. Values outside 0..255 are clipped.
        """
        x = np.asarray(x, np.float32)
        if x.ndim != 4 or x.shape[1] != 3 or (self.has_mean_image and x.shape[2:] != (self.crop, self.crop)):
            expected = f"(N, 3, {self.crop}, {self.crop})" if self.has_mean_image else "(N, 3, H, W)"
            raise DataError(f"expected prepared inputs {expected}, got {x.shape}")
        inner = slice(self.inner, self.inner + self.crop)
        mean = self.mean[:, inner, inner] if self.has_mean_image else self.mean[:, None, None]
        values = np.rint(x / np.float32(self.scale) + mean).clip(0, 255).astype(np.uint8)
        return np.ascontiguousarray(self.in_rgb(values).transpose(0, 2, 3, 1))

    def in_rgb(self, r):
        """Return what has the network's channels, r (N, 3, …), as reconstructions and first filters do, in RGB: a view."""
        return r[:, ::-1] if self.order == "BGR" else r

    def to_json(self):
        """Return the settings as a dict for JSON. A mean image travels beside it as a tensor, and `mean` is None."""
        mean = None if self.has_mean_image else self.mean.tolist()
        return {"resize": self.resize, "crop": self.crop, "mean": mean, "scale": self.scale, "order": self.order}

    @classmethod
    def from_json(cls, settings, mean=None):
        """Make a Preprocessing from what `to_json` gave; `mean` is the mean image where the settings hold none."""
        try:
            names = ("resize", "crop", "mean", "scale", "order")
            resize, crop, colour, scale, order = (settings[name] for name in names)
        except (KeyError, TypeError) as error:
            raise DataError(f"settings of a preprocessing lack {error}: {json.dumps(settings, default=str)}") from error
        if colour is None and mean is None:
            raise DataError("these settings belong to a mean image, and none was given: pass it as mean")
        return cls(resize, crop, mean if colour is None else colour, scale, order)


@dataclass(frozen=True)
class Augment:
    """A random crop and flip of a picture, for training.

    The crop is taken from the picture's central resize x resize square, widened on each side by `pad` pixels of the
    mean (0 after its subtraction): pad = 4 or so for small pictures, where resize == crop leaves no room. `flip`
    mirrors every other picture.
    """

    flip: bool = True
    pad: int = 0

    def __post_init__(self):
        if not isinstance(self.pad, numbers.Integral) or self.pad < 0:
            raise DataError(f"pad must be a whole number of pixels from 0, got {self.pad!r}")

    def place(self, preprocessing, draw):
        """Return the crop's corner in the square, (top, left), which may lie outside it by `pad`, and whether to flip."""
        crop, pad = preprocessing.crop, self.pad
        if pad >= crop:
            raise ShapeError(f"padding by {pad} pixels needs a larger crop than {crop}")
        positions = preprocessing.resize - crop + 2 * pad + 1
        return int(draw[0] * positions) - pad, int(draw[1] * positions) - pad, bool(self.flip and draw[2] < 0.5)

    def __call__(self, picture, preprocessing, draw, out=None):
        """Prepare one picture (H, W, 3) uint8 as (3, crop, crop) float32, in `out` where it is given.

        draw: three numbers in [0, 1) that choose row, column and flip; nothing else is random.
        """
        resize, crop = preprocessing.resize, preprocessing.crop
        top, left, flip = self.place(preprocessing, draw)
        if out is None:
            out = np.empty((3, crop, crop), np.float32)
        square = preprocessing.square(picture)
        if self.pad == 0:
            preprocessing.write(square, top, left, out, flip)
            return out
        out.fill(0)
        first_row, end_row = max(top, 0), min(top + crop, resize)
        first_col, end_col = max(left, 0), min(left + crop, resize)
        to = left + crop - end_col if flip else first_col - left  # where the part inside the picture starts
        inside = out[:, first_row - top : end_row - top, to : to + end_col - first_col]
        preprocessing.write(square, first_row, first_col, inside, flip)
        return out


def mean_image(dataset, resize, order="RGB", limit=None):
    """Average the central resize x resize squares of a data set in one pass: (3, resize, resize) float32 (sec. 3).

    Pixel units 0..255, channels in `order`. limit: take that many pictures, evenly spaced, instead of all. Pictures
    that cannot be read are left out; raises DataError where none can.
    """
    count = len(dataset) if limit is None else min(limit, len(dataset))
    rows = np.linspace(0, len(dataset) - 1, count).round().astype(int)
    total, read, why = np.zeros((resize, resize, 3)), 0, "the data set is empty"
    for i in tqdm(rows, desc="mean", unit=" pictures", disable=None, leave=False):
        try:
            total += _square(dataset.image(i), resize, resize, dataset.name(i))
            read += 1
        except DataError as error:
            why = error
    if read == 0:
        raise DataError(f"no mean: none of {count} pictures could be read; the last reason: {why}")
    mean = (total / read).astype(np.float32).transpose(2, 0, 1)
    return np.ascontiguousarray(mean[::-1] if order == "BGR" else mean)


def mean_colour(dataset, resize, order="RGB", limit=None):
    """Average the colour of a data set's central squares: (3,) float32 in `order`; for the rest see `mean_image`."""
    return mean_image(dataset, resize, order, limit).mean(axis=(1, 2), dtype=np.float64).astype(np.float32)


def _listed(images):
    if isinstance(images, np.ndarray) and images.ndim == 3:
        raise DataError(f"expected a list of pictures or (N, H, W, 3), got a single {images.shape}: put it in a list")
    return images


def _square(picture, resize, crop, name):
    """Resize a picture and cut the (resize, resize, 3) square whose central crop is the whole picture's."""
    picture = np.asarray(picture)
    if picture.dtype != np.uint8 or picture.ndim != 3 or picture.shape[2] != 3 or picture.size == 0:
        raise DataError(f"{name} is {picture.shape} {picture.dtype}; expected {_fix(picture)}")
    H, W = _resized(picture.shape[:2], resize)
    if picture.shape[:2] != (H, W):
        if H * W > _MAX_PIXELS:
            raise DataError(f"{name} of {picture.shape[:2]} pixels would be {(H, W)} once resized: too thin; cut it")
        picture = np.asarray(Image.fromarray(picture).resize((W, H), Image.Resampling.BILINEAR))
    if H == W == resize:
        return picture
    inner = _centre(resize, crop)
    top, left = _centre(H, crop) - inner, _centre(W, crop) - inner
    return picture[top : top + resize, left : left + resize]


def _resized(size, resize):
    """Return (H, W) of a picture of `size` once its shortest side is `resize` pixels long."""
    short = min(size)
    return tuple(side if short == resize else round(resize * side / short) for side in size)


def _centre(length, size):
    return (length - size) // 2


def _fix(picture):
    """Say what a picture should be, and how this one becomes so."""
    if picture.dtype.kind == "f":
        return "(H, W, 3) uint8 of 0..255: scale to 0..255, round, .astype(np.uint8)"
    if picture.ndim == 2:
        return "(H, W, 3) uint8: repeat the grey in three channels"
    if picture.ndim == 3 and picture.shape[0] == 3:
        return "(H, W, 3) uint8: channels go last, .transpose(1, 2, 0)"
    return "(H, W, 3) uint8 RGB; files are read by load_image"

"""Picture files into arrays, as a viewer shows them: the right way up, in RGB, eight bits a channel."""

import contextlib
import os
import threading
import warnings

import numpy as np
from PIL import Image

from ..errors import DataError

_FORMATS = ("JPEG", "PNG", "BMP", "GIF", "PPM", "TIFF", "WEBP")
_SUFFIXES = frozenset([".jpg", ".jpeg", ".png", ".bmp", ".gif", ".tif", ".tiff", ".webp", ".ppm", ".pgm"])
# EXIF orientation (tag 274) -> what turns the stored picture the right way up; 1 is upright already.
_UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_EXIF_ORIENTATION = 274


def is_image_name(path):
    """Tell whether a file's suffix, in either case, is one of a picture that `load_image` reads."""
    return os.path.splitext(os.fspath(path))[1].lower() in _SUFFIXES


def load_image(path):
    """Read a picture file into an (H, W, 3) uint8 RGB array, as a viewer shows it.

    The camera's orientation (EXIF) is applied; grey, palette, 1-bit, CMYK and 16-bit files become RGB; transparent
    pixels show white behind them; of an animation the first frame is taken. Sixteen bits are scaled from their full
    range. Colour profiles are not applied. Raises DataError, in one line with the path, for a file that is missing,
    empty, truncated or not a picture, and for one of more pixels than Pillow's `Image.MAX_IMAGE_PIXELS`.
    """
    path = os.fspath(path)
    try:
        with open(path, "rb") as file, _pillow_hushed():
            if os.fstat(file.fileno()).st_size == 0:
                raise DataError(f"cannot read the picture {path}: the file is empty")
            return _decode(file, path)
    except (DataError, MemoryError):
        raise
    except FileNotFoundError as error:
        raise DataError(f"cannot read the picture {path}: no such file") from error
    except IsADirectoryError as error:
        raise DataError(f"cannot read the picture {path}: it is a folder, not a file") from error
    except Image.UnidentifiedImageError as error:
        known = ", ".join(_FORMATS)
        raise DataError(f"cannot read the picture {path}: not a picture of a known format ({known})") from error
    except Image.DecompressionBombError as error:
        raise DataError(_too_large(path, "more than twice the limit")) from error
    except Exception as error:  # a damaged file can raise nearly anything: OSError, SyntaxError, struct.error, KeyError
        why = " ".join(str(getattr(error, "strerror", None) or error or type(error).__name__).split())
        raise DataError(f"cannot read the picture {path}: {why}") from error


def _decode(file, path):
    with Image.open(file, formats=_FORMATS) as picture:
        limit = Image.MAX_IMAGE_PIXELS
        if limit is not None and picture.width * picture.height > limit:
            raise DataError(_too_large(path, f"{picture.width} x {picture.height} pixels"))
        picture.load()
        turn = _UPRIGHT.get(_orientation(picture))  # after load(): only then does a TIFF file count as turned
        upright = picture if turn is None else picture.transpose(turn)
        return np.array(_rgb(upright, picture.format))


def _orientation(picture):
    try:
        return picture.getexif().get(_EXIF_ORIENTATION)
    except Exception:  # a broken EXIF block raises nearly anything, and the pixels are good without it
        return None


def _rgb(picture, file_format):
    """Turn a Pillow picture of any mode into one of mode RGB, on white where it is transparent."""
    if picture.mode.startswith(("I", "F")):
        return Image.fromarray(_eight_bits(np.asarray(picture), picture.mode, file_format)).convert("RGB")
    if picture.has_transparency_data:
        picture = picture.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", picture.size, "white"), picture).convert("RGB")
    return picture.convert("RGB")


def _eight_bits(grey, mode, file_format):
    """Scale grey values (H, W) of 16 or 32 bits, or floats, to uint8.

    Sixteen-bit files say their range. Others do not, so it is the smallest usual one that holds every value: 0..1 for
    floats, 0..255, 0..65535, and failing these the picture's own darkest to brightest.
    """
    grey = np.nan_to_num(grey.astype(np.float64), posinf=0, neginf=0)
    low, high = grey.min(), grey.max()
    if mode.startswith("I;16") or file_format == "PPM":  # Pillow scales deep PPM files to 16 bits, in mode I
        low, high = 0, 65535
    elif low >= 0 and high <= 65535:
        low, high = 0, 1 if mode == "F" and high <= 1 else 255 if high <= 255 else 65535
    return np.rint((grey - low) * (255 / max(high - low, np.finfo(float).tiny))).clip(0, 255).astype(np.uint8)


def _too_large(path, size):
    return (
        f"cannot read the picture {path}: {size}, and the limit is {Image.MAX_IMAGE_PIXELS} pixels; "
        "shrink it, or raise PIL.Image.MAX_IMAGE_PIXELS if you trust the file"
    )


class _Reading(threading.local):
    """Whether this thread is reading a picture; stands as the module pattern of the warning filter below."""

    now = False

    def match(self, module):
        return self.now


_reading = _Reading()
_filter = ("ignore", None, Warning, _reading, 0)
_filters_lock = threading.Lock()


@contextlib.contextmanager
def _pillow_hushed():
    """Silence Pillow's remarks on a file's broken metadata, in this thread and while the block runs.

    warnings.catch_warnings would not do: it swaps the filters of the whole process, and two threads that leave it in
    the wrong order leave the wrong ones behind. So one filter stays installed that matches only a reading thread.
    """
    filters = warnings.filters
    if not filters or filters[0] is not _filter:  # not there yet, or somebody's newer filter stands before it
        with _filters_lock:
            if _filter in filters:
                filters.remove(_filter)
            filters.insert(0, _filter)
    _reading.now = True
    try:
        yield
    finally:
        _reading.now = False

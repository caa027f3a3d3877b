"""Pictures for a page: shrunk, laid out in sheets without gaps, and written into it as data URIs."""

import base64
import io

import numpy as np
from PIL import Image

from .. import plots

MOST = 96                # pixels of a tile's longer side
SMALL = 16               # a tile below this is kept without loss: it is shown enlarged, pixel by pixel


def fit(pictures, most=MOST):
    """Shrink pictures uint8 (..., H, W, C) so that the longer side has at most `most` pixels; smaller ones stay."""
    *lead, H, W, C = pictures.shape
    if max(H, W) <= most:
        return pictures
    h, w = (max(1, round(side * most / max(H, W))) for side in (H, W))
    small = [np.asarray(Image.fromarray(picture).resize((w, h), Image.Resampling.BOX, reducing_gap=2.0))
             for picture in pictures.reshape(-1, H, W, C)]
    return np.stack(small).reshape(*lead, h, w, C) if small else np.zeros((*lead, h, w, C), np.uint8)


def even(pictures):
    """Repeat the last row and column of pictures (..., H, W, C) where their number is odd: WebP halves its colours."""
    H, W = pictures.shape[-3:-1]
    rows, columns = np.minimum(np.arange(H + H % 2), H - 1), np.minimum(np.arange(W + W % 2), W - 1)
    return pictures[..., rows[:, None], columns, :]


def sheet(pictures, columns):
    """Lay pictures (M, H, W, C) out in rows of `columns` without gaps; what is left of the last row is zero."""
    M, H, W, C = pictures.shape
    rows = max(1, -(-M // columns))
    laid = np.zeros((rows * columns, H, W, C), np.uint8)
    laid[:M] = pictures
    return laid.reshape(rows, columns, H, W, C).swapaxes(1, 2).reshape(rows * H, columns * W, C)


def see_through(pictures, inside):
    """Add to pictures (..., H, W, 3) an alpha that is zero where `inside` (..., H, W) is false; where it never is, none."""
    if inside.all():
        return pictures
    return np.concatenate([np.where(inside[..., None], pictures, 0), np.uint8(255) * inside[..., None]], axis=-1)


def photo(picture, quality=72):
    """Return a picture uint8 (H, W, 3 or 4) as a data URI: WebP, with the losses of a photograph."""
    return _uri(picture, "webp", quality=quality, method=2)


def exact(picture):
    """Return a picture uint8 (H, W, 3 or 4) as a data URI: PNG, without loss."""
    return _uri(picture, "png", optimize=True)


def tiles(pictures, columns):
    """Return pictures (M, H, W, C) as one sheet's data URI: small tiles exactly, larger ones as photographs."""
    if max(pictures.shape[1:3]) < SMALL:
        return exact(sheet(pictures, columns))
    return photo(sheet(even(pictures), columns))


def shown(picture, most=256, quality=80, pixelated=False):
    """Return one picture as {uri, width, height, pixelated} for a template's <img>, at most `most` pixels a side."""
    picture = fit(picture, most)
    H, W = picture.shape[:2]
    uri = exact(picture) if pixelated else photo(picture, quality)
    return {"uri": uri, "width": W, "height": H, "pixelated": pixelated}


def projected(r, most=256):
    """Return a reconstruction (3, H, W) as `shown` does, zero in middle grey."""
    return shown(plots.signed(r), most, pixelated=max(r.shape) < 128)


def _uri(picture, kind, **options):
    file = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(picture)).save(file, format=kind.upper(), **options)
    return uri_of(file.getvalue(), kind)


def uri_of(data, kind):
    """Return a picture's bytes, of a format such as "png", as a data URI."""
    return f"data:image/{kind};base64,{base64.b64encode(data).decode()}"

"""Does a map point at the object? Its strongest pixel and its energy against true masks, boxes and named parts.

The pointing game is that of Zhang et al. (1608.00507, sec. 4.1). It tests whether a network looks at the object, and a map
shows it: a map that is true to a network that looks elsewhere loses.
"""

from dataclasses import dataclass, field

import numpy as np

from ..errors import ShapeError


@dataclass
class Pointing:
    """Where the maps of N pictures point; NaN for a picture whose object is not known.

    hits (N,): 1 where the strongest pixel lies in the mask, else 0; where several are equally strong, the share of them that
    does. energy (N,): the share of the map's sum that lies in the mask. covered (N,): the share of pixels in the mask, which
    is what a map that knows nothing gets of both. parts {(class, part): (hits, pictures)}: how often the strongest
    pixel lies in that part's circle, of the pictures of the class; circles overlap.
    """

    hits: np.ndarray
    energy: np.ndarray
    covered: np.ndarray
    parts: dict = field(default_factory=dict)


def pointing_game(maps, masks, tolerance=0, parts=None, names=None):
    """Compare maps (N, H, W), 0 or more, with masks of the objects (N, H, W) bool: a Pointing.

    tolerance: a strongest pixel so many pixels beside the mask, along rows and columns, still hits. A mask without a pixel
    is not known. parts: for each picture {part: (x, y, radius)} in pixels; names: the N pictures' classes.
    A map of zeros is one of equal values: it gets what chance gets.
    """
    maps, masks = np.asarray(maps), np.asarray(masks)
    if maps.ndim != 3 or masks.shape != maps.shape or masks.dtype != bool:
        raise ShapeError(f"maps (N, H, W) are compared with bool masks of their shape, got maps {maps.shape} "
                         f"and masks {masks.shape} of {masks.dtype}")
    for what, each in (("parts", parts), ("names", names)):
        if each is not None and len(each) != len(maps):
            raise ShapeError(f"{len(maps)} maps need {len(maps)} {what}, got {len(each)}")
    if maps.size and not maps.min() >= 0:
        raise ShapeError(f"relevance is 0 or more, got {maps.min():.3g}")
    known = np.where(masks.any(axis=(1, 2)), 1, np.nan)
    strongest = (maps == maps.max(axis=(1, 2), keepdims=True)) / 1.0
    strongest /= strongest.sum(axis=(1, 2), keepdims=True)
    spread = np.where(maps.any(axis=(1, 2), keepdims=True), maps, 1).astype(np.float64)
    spread /= spread.sum(axis=(1, 2), keepdims=True)
    near = _grown(masks, tolerance)
    found = Pointing(*((each * inside).sum(axis=(1, 2)) * known
                       for each, inside in ((strongest, near), (spread, masks))), masks.mean(axis=(1, 2)) * known)
    for each, places, name in zip(strongest, parts or (), names if names is not None else [""] * len(maps)):
        for part, circle in places.items():
            hits, pictures = found.parts.get((name, part), (0, 0))
            found.parts[name, part] = hits + float((each * disc(circle, each.shape)).sum()), pictures + 1
    return found


def true_masks(dataset, rows, preprocessing):
    """Return the masks (N, crop, crop) bool of a data set's pictures `rows`, as the network sees them; None where none.

    From the data set's `masks`, else from its `boxes` (x0, y0, x1, y1, half-open, in the picture's pixels). A picture
    without a box has an empty mask.
    """
    if not hasattr(dataset, "masks") and not hasattr(dataset, "boxes"):
        return None
    found = np.zeros((len(rows), preprocessing.crop, preprocessing.crop), bool)
    for out, i in zip(found, rows):
        if hasattr(dataset, "masks"):
            mask = dataset.masks[i]
        elif np.isfinite(dataset.boxes[i]).all():
            mask = _box_mask(dataset.boxes[i], dataset.image(i).shape[:2])
        else:
            continue
        square = preprocessing.square(np.repeat(np.uint8(255) * mask[..., None], 3, axis=2))
        inner = slice(preprocessing.inner, preprocessing.inner + preprocessing.crop)
        out[...] = square[inner, inner, 0] > 127
    return found


def true_parts(dataset, rows, preprocessing):
    """Return [{part: (x, y, radius)}] of a data set's pictures `rows` in the network's pixels; None where it names none."""
    if not hasattr(dataset, "parts"):
        return None
    found = []
    for i in rows:
        H, W = dataset.image(i).shape[:2]
        scale = preprocessing.resize / min(H, W)
        found.append({part: (*preprocessing.to_crop((x, y), (H, W)).tolist(), scale * radius)
                      for part, (x, y, radius) in dataset.parts(i).items()})
    return found


def _box_mask(box, shape):
    """Return the mask (H, W) of a box, whole pixels that it touches."""
    (x0, y0), (x1, y1) = (np.floor(box[:2]).astype(int).clip(0), np.ceil(box[2:]).astype(int))
    mask = np.zeros(shape, bool)
    mask[y0:y1, x0:x1] = True
    return mask


def _grown(masks, tolerance):
    """Return masks (N, H, W) with every pixel at most `tolerance` rows and columns from one of theirs."""
    grown = masks.copy()
    for axis in (1, 2):
        wide = np.pad(grown, [(0, 0), *((tolerance, tolerance) if a == axis else (0, 0) for a in (1, 2))])
        size = masks.shape[axis]
        grown = np.any([np.take(wide, range(k, k + size), axis) for k in range(2 * tolerance + 1)], axis=0)
    return grown


def disc(circle, shape):
    """Return the mask (H, W) of the pixels whose middle lies in a circle (x, y, radius), its own pixel at least."""
    x, y, radius = circle
    rows, columns = np.ogrid[:shape[0], :shape[1]]
    return (rows + 0.5 - y) ** 2 + (columns + 0.5 - x) ** 2 <= max(radius, 0.5 * 2 ** 0.5) ** 2

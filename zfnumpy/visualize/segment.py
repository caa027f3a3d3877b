"""From a saliency map to the object's outline: GrabCut between what is surely salient and what surely is not."""

from dataclasses import dataclass

import numpy as np

from ..errors import BackendError, ShapeError
from ..paths import save_result
from .boxes import box_around, largest_part

FOREGROUND, BACKGROUND = 0.95, 0.30      # quantiles of the saliency (1312.6034, sec. 3.2)
SMOOTH = 0.02                            # of the picture's shorter side


@dataclass
class Segmentation:
    """An object cut out of a picture: mask (H, W) bool, box (4,) int64 and what it was grown from.

    box: x0, y0, x1, y1 of the mask, half-open; four zeros where it is empty. seeds (H, W) int8: 1 surely the object, -1
    surely not, 0 left to GrabCut.
    """

    mask: np.ndarray
    box: np.ndarray
    seeds: np.ndarray

    def save(self, folder, name="segment", **about):
        """Write <name>.npz (mask, box, seeds) and <name>.json (box, share of the picture, what `about` adds)."""
        save_result(folder, name, {"mask": self.mask, "box": self.box, "seeds": self.seeds},
                    {"box": self.box, "share": self.mask.mean(), **about})


def segment(picture, relevance, foreground=FOREGROUND, background=BACKGROUND, smooth=SMOOTH, seed=0):
    """Cut the object out of a picture (H, W, 3) uint8 by its relevance (H, W), a saliency map: a Segmentation.

    Simonyan's recipe (1312.6034, sec. 3.2): the colours of the object are learnt from the pixels above the `foreground`
    quantile of the relevance, those of the rest from the pixels below the `background` quantile; a graph cut gives each
    pixel in between to one of the two, seeds keep theirs; the largest connected piece is the object. smooth: first blur
    the relevance by a Gaussian of so many of the picture's shorter sides, 0 for not at all. (A gradient flickers from pixel
    to pixel: left as it is, many pixels right on the object are among the least salient.)

    The same arguments give the same mask. A relevance that is the same everywhere says nothing, and gives an empty mask.
    Needs OpenCV (pip install 'zfnumpy[segment]'); BackendError without. ShapeError where the shapes do not fit, or the
    relevance is not finite.
    """
    cv2 = _opencv()
    picture, relevance = np.ascontiguousarray(picture), np.asarray(relevance, np.float64)
    if picture.dtype != np.uint8 or picture.ndim != 3 or picture.shape[2] != 3 or not picture.size:
        raise ShapeError(f"a picture is (H, W, 3) uint8, got {picture.shape} {picture.dtype}")
    if relevance.shape != picture.shape[:2]:
        raise ShapeError(f"the relevance must be {picture.shape[:2]} as the picture is, got {relevance.shape}")
    if not np.isfinite(relevance).all():
        raise ShapeError("the relevance holds values that are not finite")
    if not 0 <= background < foreground <= 1:
        raise ShapeError(f"quantiles must be 0 ≤ background < foreground ≤ 1, got {background} and {foreground}")
    if not 0 <= smooth < np.inf:
        raise ShapeError(f"smooth is a share of the picture's shorter side, 0 or more, got {smooth}")
    mask, seeds = np.zeros(relevance.shape, bool), np.zeros(relevance.shape, np.int8)
    if relevance.min() < relevance.max():
        sigma = smooth * min(relevance.shape)
        seeds = _seeds(cv2.GaussianBlur(relevance, (0, 0), sigma) if sigma else relevance, foreground, background)
    if (seeds > 0).any():
        mask = largest_part(_cut(cv2, picture, seeds, seed))
    return Segmentation(mask, box_around(mask), seeds)


def _seeds(relevance, foreground, background):
    """Return 1 from the foreground quantile on, -1 up to the background's, 0 between: (H, W) int8.

    Ties count: where more than the background's share is exactly 0, all of it is background, and a map of 0 and 1 has its
    ones as foreground.
    """
    high, low = np.quantile(relevance, foreground), np.quantile(relevance, background)
    seeds = np.zeros(relevance.shape, np.int8)
    seeds[relevance >= high] = 1
    seeds[relevance <= low] = -1
    return seeds


def _cut(cv2, picture, seeds, seed):
    """Return the foreground (H, W) bool of a graph cut by the colours of the seeds."""
    cv2.setRNGSeed(seed)                                     # its k-means draws where the colours' clusters begin
    picture = picture[..., ::-1]
    models = np.zeros((1, 65)), np.zeros((1, 65))            # background, foreground: five Gaussians each
    sure = np.concatenate([picture[seeds < 0], picture[seeds > 0]])[None]          # a picture of nothing but seeds
    known = np.repeat(np.uint8([cv2.GC_BGD, cv2.GC_FGD]), [(seeds < 0).sum(), (seeds > 0).sum()])[None]
    cv2.grabCut(np.ascontiguousarray(sure), known, None, *models, 1, cv2.GC_INIT_WITH_MASK)
    labels = np.choose(seeds + 1, [cv2.GC_BGD, cv2.GC_PR_BGD, cv2.GC_FGD]).astype(np.uint8)
    cv2.grabCut(np.ascontiguousarray(picture), labels, None, *models, 1, cv2.GC_EVAL_FREEZE_MODEL)
    return (labels == cv2.GC_FGD) | (labels == cv2.GC_PR_FGD)


def _opencv():
    try:
        import cv2  # only here: nothing else needs it
    except ImportError as error:
        raise BackendError(f"segmentation needs OpenCV: pip install 'zfnumpy[segment]' ({error})") from error
    return cv2

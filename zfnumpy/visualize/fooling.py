"""Fooling a network: the smallest change of a picture's pixels, often too small to see, that makes it another class.

Steps are those of DeepFool (Moosavi-Dezfooli et al., 1511.04599) towards one class: where the scores are taken to be linear,
the shortest way to the border between two classes is along the gradient of their difference. Every step is measured from
the picture itself and not from where the last one ended, so that the change stays the shortest there is to that border.
"""

from dataclasses import dataclass

import numpy as np

from ..errors import ShapeError
from ..loss import softmax
from ..paths import arrays_of, save_result
from ..shapes import count
from .ascent import pixel_range
from .ends import scores_node
from .target import class_labels

MARGIN = 1e-3        # the lead of the wanted class that is aimed at, as a share of the lead that it had to overcome
SHARPNESS = 4        # of the maximum over the other classes, while gradients are followed
ROUNDING = 1e-4      # of the largest score, about what two ways to compute it differ by
STRIDE = 2.0         # the longest step, root mean square in pixel units: scores are linear for only so long
OVERSHOOT = 1.05     # of a step to the border, which the scores curve away from
HOME = 0.1           # the most of a step that starts at the picture and not at where the last one ended
BACK = 0.9           # of a change that fools is tried next
GROWTH, GROWTHS = 1.25, 30       # of a change that rounding has undone, until it fools again
HALVINGS = 8         # of the way between a change that fools and a smaller one that does not


@dataclass
class Fooled:
    """N pictures, changed so that a network calls them something else.

    original, pictures (N, H, W, 3) uint8 RGB: before and after. difference (N, H, W, 3) float32: after less before in pixel
    units, before any rounding that `whole` did not ask for. labels (N,): the classes wanted, first (N,) those before, last
    (N,) those after; fooled (N,) bool: whether the network calls the changed picture as wanted, as_saved (N,) bool: whether
    it still does when the picture is rounded to uint8, as a file holds it. before, after (N, K): probabilities. norm (N,):
    the change's Euclidean length in pixel units, largest (N,): the most that one colour of one pixel changes.
    """

    labels: np.ndarray
    first: np.ndarray
    last: np.ndarray
    original: np.ndarray
    pictures: np.ndarray
    difference: np.ndarray
    before: np.ndarray
    after: np.ndarray
    fooled: np.ndarray
    as_saved: np.ndarray
    whole: bool

    @property
    def norm(self):
        return np.sqrt((self.difference.astype(np.float64) ** 2).sum(axis=(1, 2, 3)))

    @property
    def largest(self):
        return np.abs(self.difference).max(axis=(1, 2, 3))

    @property
    def rms(self):
        """The root mean square of the change of a pixel's colour."""
        return np.sqrt((self.difference.astype(np.float64) ** 2).mean(axis=(1, 2, 3)))

    def save(self, folder, name="fooled"):
        """Write the arrays as .npz and a summary as .json into `folder`."""
        about = {"whole": self.whole, "pictures": [
            {"wanted": int(k), "before": int(a), "after": int(b), "probability_before": float(p[k]),
             "probability_after": float(q[k]), "norm": float(n), "rms": float(r), "largest": float(m), "fooled": bool(f),
             "fooled_as_saved": bool(s)}
            for k, a, b, p, q, n, r, m, f, s in zip(self.labels, self.first, self.last, self.before, self.after, self.norm,
                                                    self.rms, self.largest, self.fooled, self.as_saved)]}
        return save_result(folder, name, arrays_of(self), about)


def fool(net, x, label=None, steps=40, whole=True, confidence=None, progress=iter):
    """Change pictures x (N, 3, H, W) as little as can be found, so that the network calls each `label`: Fooled.

    label: the class wanted, an int or N ints (default: each picture's second likeliest). steps: gradients to follow at most.
    whole: pixels stay whole numbers of 0 to 255, so that a PNG holds exactly the picture that fools; otherwise they are any
    numbers between, which takes a smaller change. confidence: the probability that the wanted class must reach (default:
    that of all others one by one). The change is the smallest that was met, a local minimum, not proven the least. Where
    none was found in `steps`, the last one is returned, and `fooled` says False; a picture that is called so already stays
    as it is. `progress` wraps an iterable of the steps (tqdm, say).
    """
    if net.preprocessing is None:
        raise ShapeError(f"{net.name} has no preprocessing, which says what a pixel's range is: set net.preprocessing")
    if confidence is not None and not 0 < confidence < 1:
        raise ShapeError(f"confidence must be a probability between 0 and 1, got {confidence}")
    scores = net.scores(x)
    if scores.shape[1] < 2:
        raise ShapeError(f"{net.name} knows a single class: there is no other to take a picture for")
    first = net.ops.to_numpy(scores.argmax(axis=1)).astype(np.int64)
    labels = _second(net.ops.to_numpy(scores)) if label is None else class_labels(net, scores, label)
    search = _Search(net, x, labels, confidence)
    search.follow(count(steps, "steps"), progress)
    changed = search.shrunk(whole)
    scores_after = net.scores(changed)
    before, after = (net.ops.to_numpy(softmax(each)) for each in (scores, scores_after))
    fooled = _lead(net.ops.to_numpy(scores_after), labels, confidence) >= 0
    pictures = net.preprocessing.pixels(net.ops.to_numpy(changed))
    difference = net.preprocessing.in_rgb(net.ops.to_numpy((changed - x) / net.preprocessing.scale))
    difference = np.ascontiguousarray(np.moveaxis(difference, 1, -1))
    return Fooled(labels, first, after.argmax(axis=1), net.preprocessing.pixels(net.ops.to_numpy(x)), pictures, difference,
                  before, after, fooled, _as_saved(net, pictures, labels, confidence), whole)


class _Search:
    """The search for the least change of each picture; `best` (N, 3, H, W) holds what fools with the least, or the last."""

    def __init__(self, net, x, labels, confidence):
        self.net, self.x, self.labels, self.confidence = net, x, labels, confidence
        self.limits, self.best = pixel_range(net, x.shape[2:]), x.copy()
        self.least = np.full(len(labels), np.inf)                  # the length of the change in `best`, if it fools

    def keep(self, x, rows, leads):
        """Note the pictures x of `rows` that fool with a smaller change than was known, or any where none was."""
        change = self.net.ops.to_numpy(_dot(x - self.x[self._on(rows)], x - self.x[self._on(rows)])) ** 0.5
        better = np.where(leads >= 0, change < self.least[rows], np.isinf(self.least[rows]))
        if better.any():
            self.best[self._on(rows[better])] = x[self._on(np.flatnonzero(better))]
        won = better & (leads >= 0)
        self.least[rows[won]] = change[won]

    def follow(self, steps, progress):
        """Go from each picture to the border of its class, as a gradient shows it, and again from where that led.

        Once a picture fools, each step ends a little nearer to where it began, along the border, or straight back when it is
        beyond it (as Croce and Hein's FAB does, 1907.02044).
        """
        net, y, goal = self.net, self.x.copy(), None
        for _ in progress(range(steps)):
            rows = np.flatnonzero(self.least > 0)
            if not len(rows):
                break
            here, origin = y[self._on(rows)], self.x[self._on(rows)]
            scores, tape = net.forward(here)
            asked = net.ops.to_numpy(scores), self.labels[rows], self.confidence
            leads, (soft, dscores) = _sure_lead(*asked), _soft_lead(*asked)
            self.keep(here, rows, leads)
            goal = MARGIN * np.maximum(np.abs(soft), 1e-3) if goal is None else goal
            w = self._gradient(scores, dscores, tape, rows)
            moved = self._towards(here, origin, w, goal[rows] - soft, np.isfinite(self.least[rows]))
            won = _each(net.ops.asarray(leads >= 0))
            y[self._on(rows)] = net.ops.xp.clip(net.ops.xp.where(won, origin + BACK * (here - origin), moved), *self.limits)
        rows = np.arange(len(self.labels))
        self.keep(y, rows, self._leads(y, rows))

    def _towards(self, here, origin, w, missing, known):
        """Return the points near `here` at which a lead, linear with the gradient w, has risen by what is missing.

        Where a change is `known` that fools, they lie a little nearer to the origin.
        """
        xp, square = self.net.ops.xp, _dot(w, w)
        square = xp.where(square > 0, square, 1)
        missing = self.net.ops.asarray(missing, dtype=here.dtype)
        longest = STRIDE * self.net.preprocessing.scale * here[0].size ** 0.5 / xp.sqrt(square)
        on, off = xp.clip(missing / square, -longest, longest), (missing + _dot(w, here - origin)) / square
        share = xp.minimum(abs(on) / xp.where(on == 0, 1, abs(on) + abs(off)), HOME)
        share = share * self.net.ops.asarray(known, dtype=here.dtype)
        beyond = xp.where(on > 0, OVERSHOOT, 1).astype(here.dtype)
        near, far = here + _each(beyond * on) * w, origin + _each(beyond * off) * w
        return near + _each(share) * (far - near)

    def _on(self, rows):
        """Return row numbers on the device of the pictures."""
        return self.net.ops.xp.asarray(rows)

    def _leads(self, x, rows):
        """Return by how much the wanted classes lead in pictures x, those of `rows`: (n,)."""
        return _sure_lead(self.net.ops.to_numpy(self.net.scores(x)), self.labels[rows], self.confidence)

    def _gradient(self, scores, dscores, tape, rows):
        """Return the gradient of the leads by the pixels."""
        net, xp = self.net, self.net.ops.xp
        w = net.project(net.output, net.ops.asarray(dscores, dtype=net.dtype), tape, "gradient")
        node, labels = scores_node(net), self.labels[rows]
        dead = np.flatnonzero(net.ops.to_numpy(scores)[np.arange(len(rows)), labels] <= 0)
        if node != net.output and len(dead):           # a class whose whole map is rectified away has no gradient above that
            y = net.value(node, tape)
            r = xp.zeros_like(y)
            r[xp.asarray(dead), xp.asarray(labels[dead])] = 1 / (y.shape[2] * y.shape[3])
            w = w + net.project(node, r, tape, "gradient")
        return w

    def shrunk(self, whole):
        """Return the pictures with as small a part of their change as fools, in whole pixels or not.

        Rounding undoes some changes: these are grown first.
        """
        rows = np.arange(len(self.labels))
        low, high = np.zeros(len(rows)), np.where(self.least > 0, np.inf, 0)
        factors = np.ones(len(rows))

        def test(rows):
            good = self._leads(self._at(factors, rows, whole), rows) >= 0
            high[rows[good]], low[rows[~good]] = factors[rows[good]], factors[rows[~good]]

        for _ in range(GROWTHS):
            open_ = rows[np.isinf(high)]
            if not len(open_):
                break
            test(open_)
            factors[np.isinf(high)] *= GROWTH
        open_ = rows[np.isfinite(high) & (high > 0)]
        for _ in range(HALVINGS if len(open_) else 0):
            factors[open_] = (low + high)[open_] / 2
            test(open_)
        return self._at(np.where(np.isfinite(high), high, 1), rows, whole)

    def _at(self, factors, rows, whole):
        """Return the pictures of `rows` with `factors` of their change."""
        net, on = self.net, self._on(rows)
        x = self.x[on]
        x = x + _each(net.ops.asarray(factors[rows], dtype=net.dtype)) * (self.best[on] - x)
        if not whole:
            return net.ops.xp.clip(x, *self.limits)
        pictures = net.preprocessing.pixels(net.ops.to_numpy(x))
        return net.ops.asarray(inputs_of(net.preprocessing, pictures), dtype=net.dtype)


def framed(preprocessing, picture, square=None):
    """Return a picture that is prepared to the crop `picture` (crop, crop, 3) exactly, without being resized.

    Where a network looks at the middle of a larger square, that is the square with the crop in its middle: of `square`
    (resize, resize, 3), or grey around it.
    """
    size, inner, crop = preprocessing.resize, preprocessing.inner, preprocessing.crop
    whole = np.full((size, size, 3), 128, np.uint8) if square is None else square.copy()
    whole[inner:inner + crop, inner:inner + crop] = picture
    return whole


def inputs_of(preprocessing, pictures):
    """Return crops (N, H, W, 3) uint8 as prepared inputs (N, 3, H, W) float32, bit by bit those of the whole pictures."""
    out = np.empty((len(pictures), 3, *pictures.shape[1:3]), np.float32)
    for picture, x in zip(pictures, out):
        if preprocessing.has_mean_image:
            preprocessing.write(framed(preprocessing, picture), preprocessing.inner, preprocessing.inner, x)
        else:
            preprocessing.write(picture, 0, 0, x)
    return out


def _as_saved(net, pictures, labels, confidence):
    """Return whether pictures fool once they have been files and are prepared as any file is; False where that resizes."""
    use = net.preprocessing
    if pictures.shape[1:3] != (use.crop, use.crop):
        return np.zeros(len(pictures), bool)
    scores = net.ops.to_numpy(net.scores(net.prepare([framed(use, picture) for picture in pictures])))
    return _lead(scores, labels, confidence) >= 0


def _lead(scores, labels, confidence):
    """Return by how much each row of scores (N, K) favours its label over the next class; at 0 the label is the answer.

    With a confidence, by how much over what leaves it exactly that probability.
    """
    rows, scores = np.arange(len(labels)), scores.astype(np.float64)
    if confidence is not None:
        return _soft_lead(scores, labels, confidence)[0]
    others = scores.copy()
    others[rows, labels] = -np.inf
    best = others.argmax(axis=1)
    lead = scores[rows, labels] - others[rows, best]
    return np.where((lead == 0) & (best < labels), -np.finfo(np.float64).tiny, lead)            # of equals the first counts


def _sure_lead(scores, labels, confidence):
    """Return the lead less what rounding may take of it, when the same picture comes in another batch."""
    return _lead(scores, labels, confidence) - ROUNDING * np.abs(scores).max(axis=1)


def _soft_lead(scores, labels, confidence):
    """Return the lead over all other classes at once, and its gradient by the scores (N, K).

    The maximum over the others has an edge wherever two of them are equal, and steps go to and fro across it; the logarithm
    of the sum of their exponentials has none. Sharpened, it is at most a little above the maximum.
    """
    rows, sharp = np.arange(len(labels)), SHARPNESS if confidence is None else 1
    others = scores.astype(np.float64) * sharp
    own, others[rows, labels] = others[rows, labels] / sharp, -np.inf
    top = others.max(axis=1, keepdims=True)
    e = np.exp(others - top)
    total = e.sum(axis=1, keepdims=True)
    d = -e / total
    d[rows, labels] = 1
    odds = 0 if confidence is None else np.log(confidence / (1 - confidence))
    return own - (top + np.log(total))[:, 0] / sharp - odds, d


def _second(scores):
    """Return each row's second strongest class (N,)."""
    return np.argsort(-scores, axis=1, kind="stable")[:, 1].astype(np.int64)


def _each(values):
    return values[:, None, None, None]


def _dot(a, b):
    return (a * b).sum(axis=(1, 2, 3))

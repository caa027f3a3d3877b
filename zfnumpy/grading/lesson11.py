"""The checks of lesson 11: class activation maps, and boxes around what they mark."""

import numpy as np

from .check import TaskCheck, case


def class_map(f, weight, labels):
    return np.einsum("nk,nkuv->nuv", weight[labels], f)


def iou(a, b):
    width, height = max(min(a[2], b[2]) - max(a[0], b[0]), 0), max(min(a[3], b[3]) - max(a[1], b[1]), 0)
    union = _area(a) + _area(b) - width * height
    return float(width * height / union) if union else 0.0


def _area(box):
    return (box[2] - box[0]) * (box[3] - box[1])


def parts(marked, corners=True):
    """List the connected parts of marked (H, W) bool, each an array of (row, column), in row-major order of first pixels."""
    (H, W), left, found = marked.shape, marked.copy(), []
    steps = [(i, j) for i in (-1, 0, 1) for j in (-1, 0, 1) if corners or i * j == 0]
    for start in map(tuple, np.argwhere(marked)):
        if not left[start]:
            continue
        left[start], part = False, [start]
        for row, column in part:                             # it grows while it is read
            for i, j in steps:
                r, c = row + i, column + j
                if 0 <= r < H and 0 <= c < W and left[r, c]:
                    left[r, c] = False
                    part.append((r, c))
        found.append(np.array(part))
    return found


def _around(part):
    return np.array([part[:, 1].min(), part[:, 0].min(), part[:, 1].max() + 1, part[:, 0].max() + 1])


def largest_box(map, threshold=0.2):
    if map.max() <= 0:
        return np.zeros(4, np.int64)
    return _around(max(parts(map > threshold * map.max()), key=len))


def checks(rng):
    """Return {task: TaskCheck} of fresh cases."""
    return {"11.1": _class_map(rng), "11.2": _iou(rng), "11.3": _largest_box(rng)}


def _class_map(rng):
    mistakes = [("It looks as if the first image's class is used for all: each image has its own.",
                 lambda f, weight, labels: class_map(f, weight, np.full_like(labels, labels[0]))),
                ("It looks as if the maps are averaged over their number: add them up, the weights do the rest.",
                 lambda f, weight, labels: class_map(f, weight, labels) / f.shape[1]),
                ("It looks as if negative values are cut off: that is Grad-CAM; here they speak against the class.",
                 lambda f, weight, labels: np.maximum(class_map(f, weight, labels), 0)),
                ("It looks as if the maps are added without the weights.", lambda f, weight, labels: f.sum(axis=1)),
                ("It looks as if label n picks the weights of map n: a row of weight is a class, a column a map.",
                 lambda f, weight, labels: class_map(f, weight.T, labels)),
                ("It looks as if rows and columns of the map are exchanged.",
                 lambda f, weight, labels: class_map(f, weight, labels).swapaxes(1, 2)),
                ("It looks as if the places' values are divided by their number: their mean is the score, not their sum.",
                 lambda f, weight, labels: class_map(f, weight, labels) / (f.shape[2] * f.shape[3]))]

    def draw(N, K, C, size, dtype=np.float64):
        return (rng.standard_normal((N, K, *size)).astype(dtype), rng.standard_normal((C, K)).astype(dtype),
                rng.permutation(np.arange(N) % C))

    return TaskCheck([case(about, class_map, *draw(*sizes), mistakes=mistakes, tolerance=tolerance)
                      for about, sizes, tolerance in (
                          ("one image", (1, 4, 3, (3, 3)), 1e-9), ("a batch of 4", (4, 5, 5, (4, 4)), 1e-9),
                          ("more classes than maps, maps wider than high", (3, 2, 6, (2, 5)), 1e-9),
                          ("one place", (2, 6, 3, (1, 1)), 1e-9), ("float32", (3, 8, 4, (3, 4), np.float32), 1e-5))],
                     ("weight[labels] is (N, K): for each image its class's weights. What do they multiply?",
                      "Each map by one number, then the sum over k: (N, K, 1, 1) times (N, K, h, w), summed over axis 1.",
                      'np.einsum("nk,nkuv->nuv", weight[labels], f) does that sum.'))


def _iou(rng):
    def by(width=lambda w: max(w, 0), one=0, union=lambda a, b, both: a + b - both):
        def mistaken(a, b):
            both = (width(min(a[2], b[2]) - max(a[0], b[0]) + one) * width(min(a[3], b[3]) - max(a[1], b[1]) + one))
            area = [(box[2] - box[0] + one) * (box[3] - box[1] + one) for box in (a, b)]
            whole = union(*area, both)
            return float(both / whole) if whole else 0.0
        return mistaken

    def undivided(a, b):
        return float(np.float64(iou(a, b)) if _area(a) + _area(b) else np.nan)

    def around(a, b):
        outer = [min(a[0], b[0]), min(a[1], b[1]), max(a[2], b[2]), max(a[3], b[3])]
        shared = iou(a, b) * (_area(a) + _area(b)) / (1 + iou(a, b))
        return float(shared / _area(outer))

    def as_sizes(a, b):
        return iou([a[0], a[1], a[0] + a[2], a[1] + a[3]], [b[0], b[1], b[0] + b[2], b[1] + b[3]])

    mistakes = [("It looks as if two empty boxes are 0/0: they are 0.0.", undivided),
                ("It looks as if boxes that lie apart are given an area: a negative width is none, and two negatives "
                 "make no positive.", by(width=lambda w: w)),
                ("It looks as if the last pixel is counted in: half-open boxes are x1 - x0 wide.", by(one=1)),
                ("It looks as if what they share is counted twice below the line: take it off once.",
                 by(union=lambda a, b, both: a + b)),
                ("It looks as if it is divided by the smaller box: by what both cover together.",
                 by(union=lambda a, b, both: min(a, b))),
                ("It looks as if it is divided by the first box alone.", by(union=lambda a, b, both: a)),
                ("It looks as if it is divided by the second box alone.", by(union=lambda a, b, both: b)),
                ("It looks as if it is divided by the box around both: the union leaves out what neither covers.", around),
                ("It looks as if x1 and y1 are taken for a width and a height.", as_sizes)]

    def box(low=0, high=12):
        x, y = (rng.choice(np.arange(low, high + 1), 2, replace=False) for _ in range(2))
        return np.array([min(x), min(y), max(x), max(y)])

    a = box() + 3
    x0, y0, x1, y1 = a
    cases = [("a box and itself", a, a), ("two boxes that meet", np.array([2, 1, 9, 7]), np.array([5, 3, 14, 8])),
             ("one inside the other", np.array([x0 - 2, y0 - 1, x1 + 1, y1 + 3]), a),
             ("side by side, touching", a, np.array([x1, y0, x1 + 4, y1])),
             ("touching at a corner", a, np.array([x1, y1, x1 + 2, y1 + 3])),
             ("apart along both axes", a, np.array([x1 + 2, y1 + 3, x1 + 9, y1 + 8])),
             ("apart along one", a, np.array([x0, y1 + 4, x1, y1 + 9])),
             ("an empty box inside the other", a, np.array([x0, y0, x0, y1])),
             ("two empty boxes", np.array([x0, y0, x0, y1]), np.array([x0, y0, x0, y1])),
             ("fractions of pixels", a + rng.random() / 3, a - rng.random(4) / 4)]
    return TaskCheck([case(about, iou, *pair, mistakes=mistakes, tolerance=1e-9) for about, *pair in cases],
                     ("The part that they share is a box too: where does it begin and end, along x?",
                      "From the larger x0 to the smaller x1; where that is negative they share nothing.",
                      "shared = max(min(x1s) - max(x0s), 0) times the same in y; both areas less shared is the union."))


def _largest_box(rng):
    def by(mark=lambda map, t: map > t * map.max(), corners=True, choose=lambda found: max(found, key=len), box=_around):
        def mistaken(map, threshold=0.2):
            if map.max() <= 0:
                return np.zeros(4, np.int64)
            found = parts(mark(map, threshold), corners)
            return box(choose(found)) if found else np.zeros(4, np.int64)
        return mistaken

    def blank_is_all(map, threshold=0.2):
        return np.array([0, 0, map.shape[1], map.shape[0]]) if map.max() <= 0 else largest_box(map, threshold)

    def shared_range(map, t):
        return map > map.min() + t * (map.max() - map.min())

    def brightest(map, threshold=0.2):
        if map.max() <= 0:
            return np.zeros(4, np.int64)
        return _around(max(parts(map > threshold * map.max()), key=lambda part: map[tuple(part.T)].max()))

    mistakes = [("It looks as if all that is marked gets one box: only the largest part.", by(choose=np.concatenate)),
                ("It looks as if only sides connect: pixels that touch at a corner do too.", by(corners=False)),
                ("It looks as if the box ends at its last pixel: half-open, so one more.",
                 by(box=lambda part: _around(part) - (0, 0, 1, 1))),
                ("It looks as if x and y are exchanged: x counts columns, y rows.",
                 by(box=lambda part: _around(part)[[1, 0, 3, 2]])),
                ("It looks as if the threshold itself is marked: strictly above.",
                 by(mark=lambda map, t: map >= t * map.max())),
                ("It looks as if the threshold is taken as it is: it is a share of the map's maximum.",
                 by(mark=lambda map, t: map > t)),
                ("It looks as if the threshold counts from the map's minimum: it is a share of the maximum.",
                 by(mark=shared_range)),
                ("It looks as if magnitudes are taken: what is negative speaks against the class.",
                 by(mark=lambda map, t: abs(map) > t * map.max())),
                ("It looks as if the part with the brightest pixel is taken: the one with the most pixels.", brightest),
                ("It looks as if the part with the largest box is taken: the one with the most pixels.",
                 by(choose=lambda found: max(found, key=lambda part: _area(_around(part))))),
                ("It looks as if of equally large parts the last is taken: the first, row by row.",
                 by(choose=lambda found: max(found[::-1], key=len))),
                ("It looks as if the first part is taken, whatever its size.", by(choose=lambda found: found[0])),
                ("It looks as if a map without a value above 0 gets a box: (0, 0, 0, 0).", blank_is_all)]

    two = np.zeros((7, 11))
    two[1:3, 1:3], two[3:6, 5:10] = 9, rng.integers(5, 9, (3, 5))               # the smaller one is the brighter
    corner = np.zeros((6, 8))
    corner[1, 1:4], corner[2, 4], corner[3, 5], corner[5, 0:3] = 4, 4, 4, 4
    equal = np.zeros((6, 9))
    equal[4, 1:3], equal[0:2, 6] = 5, 5
    edge = rng.permutation(np.arange(3, 11))[None].repeat(5, axis=0).astype(float)
    edge[:, 0], edge[0], edge[2, 3] = 2, 2, 10                                  # 2 is a fifth of 10
    ring = np.zeros((9, 9))
    ring[0], ring[:, 0] = 1, 1                                                  # 17 pixels, a box of 81; below it 25
    ring[3:8, 3:8] = 2
    thin = np.zeros((8, 8))
    thin[0, :6], thin[:6, 0], thin[3:7, 3:7] = 3, 3, 5                         # 11 pixels in a box of 36, 16 in one of 16
    signed = np.where(np.arange(10) < 4, -8.0, 0) + np.zeros((5, 1))
    signed[1:4, 6:8] = rng.integers(3, 8, (3, 2))
    whole = 0.5 + rng.random((50, 60)) / 4
    cases = [("two parts", two, 0.2), ("a corner connects", corner, 0.2), ("two parts of one size", equal, 0.2),
             ("values at the threshold", edge, 0.2), ("a long part and a thick one", thin, 0.2),
             ("a frame and what it holds", ring, 0.3), ("negative values", signed, 0.2),
             ("one large part: no function may call itself for each pixel", whole, 0.5),
             ("a map below 0", -1 - rng.random((4, 5)), 0.2), ("one pixel", np.array([[rng.random() + 1]]), 0.2),
             ("float32, any threshold", rng.standard_normal((9, 12)).astype(np.float32), 0.4)]
    return TaskCheck([case(about, largest_box, map, threshold=t, mistakes=mistakes) for about, map, t in cases],
                     ("First the mask, map > threshold * map.max(). Then: which pixels belong to the part of this one?",
                      "A list of pixels to look at: take one, add its marked neighbours of eight, unmark them at once.",
                      "Keep a part with more pixels than the best so far; its box ends one beyond its last row and column."))

"""Features in two dimensions: PCA, t-SNE, and the cells of a grid that keep who is whose neighbour."""

import warnings
from dataclasses import dataclass, field

import numpy as np

from ..errors import BackendError, DataError
from ..paths import arrays_of, save_result
from ..shapes import count
from .neighbours import blocks, table


@dataclass
class Pca:
    """N points along the directions in which their features vary most, points (N, dims), in float64.

    mean (D,) and components (dims, D), orthonormal rows, give them: points = (features - mean) @ components.T. variance
    (dims,) is that of each coordinate (over N - 1), share (dims,) its share of the whole. Of directions in which the data
    do not vary at all there is no first: their components, points and variances are zero.
    """

    points: np.ndarray
    mean: np.ndarray
    components: np.ndarray
    variance: np.ndarray
    share: np.ndarray
    method: str = "pca"

    def describe(self):
        """Return in words what was done."""
        return f"PCA, {' and '.join(f'{share:.0%}' for share in self.share)} of the variance"

    def save(self, folder, name="embedding_pca"):
        """Write the arrays as .npz, method and shares as .json, into `folder`."""
        about = {"method": self.method, "share": self.share, "variance": self.variance}
        return save_result(folder, name, arrays_of(self), about)


@dataclass
class Tsne:
    """N points (N, 2) laid out by t-SNE: close together what is close in the features; distances afar mean little.

    divergence: Kullback and Leibler's, which it makes small; None for too few points, which PCA laid out.
    """

    points: np.ndarray
    perplexity: float
    seed: int
    dims: int
    divergence: float = None
    method: str = field(default="tsne")

    def describe(self):
        """Return in words what was done."""
        return f"t-SNE, perplexity {self.perplexity:g}"

    def save(self, folder, name="embedding_tsne"):
        """Write the points as .npz, the settings as .json, into `folder`."""
        about = {key: value for key, value in vars(self).items() if key != "points"}
        return save_result(folder, name, {"points": self.points}, about)


def pca(features, dims=2):
    """Project features (N, D) on the `dims` directions in which they vary most: Pca.

    From the eigenvectors of the covariance, or where N < D of the N × N products between the pictures, whichever is smaller;
    in float64, in blocks, so that memory is that of the smaller square. A component's sign is such that its entry of the
    largest magnitude is positive: the same data give the same picture. DataError for features that are not finite.
    """
    features, dims = table(features), count(dims, "dims")
    N, D = features.shape
    mean = np.zeros(D)
    for rows in blocks(features):
        mean += features[rows].sum(axis=0, dtype=np.float64)
    mean /= N
    products = _products(features, mean)
    values, vectors = np.linalg.eigh(products)
    values, vectors = values[::-1][:dims], vectors[:, ::-1][:, :dims]
    total, least = np.trace(products), max(values[0], 0) * max(N, D) * np.finfo(np.float64).eps * 4
    # What rounding leaves of equal rows is no direction: it is small beside the rows themselves.
    least = max(least, len(products) * (np.finfo(np.float64).eps * 8) ** 2 * N * float((mean * mean).sum()))
    kept = int((values > least).sum())
    components = np.zeros((dims, D))
    if kept:
        found = vectors[:, :kept].T if D <= N else _across(features, mean, vectors[:, :kept])
        found /= np.sqrt((found * found).sum(axis=1, keepdims=True))
        largest = np.abs(found).argmax(axis=1)
        components[:kept] = found * np.sign(found[np.arange(kept), largest])[:, None]
    points = np.empty((N, dims))
    for rows in blocks(features):
        points[rows] = (features[rows] - mean) @ components.T
    variance = np.zeros(dims)
    variance[:kept] = values[:kept] / max(1, N - 1)
    return Pca(points, mean, components, variance, variance * max(1, N - 1) / total if kept else np.zeros(dims))


def _products(features, mean):
    """Return the products of the centred features, (D, D) over the pictures or (N, N) over the features."""
    N, D = features.shape
    side = min(N, D)
    found = np.zeros((side, side))
    if D <= N:
        for rows in blocks(features):
            part = features[rows] - mean
            found += part.T @ part
    else:
        for columns in blocks(features.T):
            part = features[:, columns] - mean[columns]
            found += part @ part.T
    return found


def _across(features, mean, vectors):
    """Return the components (K, D) that belong to eigenvectors (N, K) of the products between pictures."""
    found = np.zeros((vectors.shape[1], features.shape[1]))
    for columns in blocks(features.T):
        found[:, columns] = vectors.T @ (features[:, columns] - mean[columns])
    return found


def tsne(features, seed=0, perplexity=30.0, dims=50):
    """Lay features (N, D) out in the plane by t-SNE (van der Maaten and Hinton, 2008), from scikit-learn: Tsne.

    PCA first brings them to `dims` dimensions, and its first two are where the points start. perplexity: about how many
    neighbours a point has; at most a third of the others, so that few points work. Fewer than four, or points that are all
    the same, are laid out by PCA. The same seed gives the same picture. BackendError where scikit-learn is missing.
    """
    features = table(features)
    if not 0 < perplexity < np.inf:
        raise DataError(f"perplexity must be a number above 0, got {perplexity}")
    N = len(features)
    found = pca(features, min(count(dims, "dims"), features.shape[1], N))
    start = np.zeros((N, 2))
    start[:, :found.points.shape[1]] = found.points[:, :2]
    spread = start[:, 0].std()
    if N < 4 or not spread:
        return Tsne(start, float(perplexity), seed, dims)
    perplexity = float(min(perplexity, (N - 1) / 3))
    try:
        from sklearn.manifold import TSNE
        from threadpoolctl import threadpool_limits  # which scikit-learn brings
    except ImportError:
        raise BackendError("t-SNE needs scikit-learn, which is not installed: pip install 'zfnumpy[embed]'; "
                           "PCA does without") from None
    model = TSNE(2, perplexity=perplexity, init=(start / spread * 1e-4).astype(np.float32), random_state=seed)
    with threadpool_limits(1), warnings.catch_warnings():     # sums over threads come out in any order, and t-SNE is chaotic
        warnings.simplefilter("ignore", FutureWarning)
        points = model.fit_transform(found.points.astype(np.float32))
    return Tsne(points.astype(np.float64), perplexity, seed, dims, float(model.kl_divergence_))


def thumbnail_grid(points, columns=None):
    """Give each of N points (N, 2) a cell of a grid of its own, neighbours near one another: (N, 2) int64, row and column.

    x grows to the right with the columns, y downwards with the rows. columns: how many (default: as many as rows, or one
    more); the rows are filled, but for the end of the last. First the plane is halved again and again, across the longer
    side of the cells that are left, each half taking its share of the points; then points change cells in pairs wherever
    that brings them nearer, in sum of squares, to where they lie. It takes about N log N steps, and of the eight nearest
    neighbours keeps adjacent nearly as many as the assignment of the least sum does (at least 95 of 100, which is tested).
    """
    points = _plane(points)
    N = len(points)
    columns = count(int(np.ceil(np.sqrt(N))) if columns is None else columns, "columns")
    cells, rows = np.empty((N, 2), np.int64), -(-N // columns)
    todo = [(np.arange(N), 0, 0, rows, min(columns, N))]
    while todo:
        inside, top, left, h, w = todo.pop()
        if len(inside) < 2:
            cells[inside] = top, left
            continue
        across = w >= h
        ha, wa = (h, w // 2) if across else (h // 2, w)
        taken = np.clip(N - (np.arange(top, top + ha) * columns + left), 0, wa).sum()           # the last row may be short
        order = inside[np.argsort(points[inside, 0 if across else 1], kind="stable")]
        todo.append((order[:taken], top, left, ha, wa))
        todo.append((order[taken:], top, left + wa, h, w - wa) if across else (order[taken:], top + ha, left, h - ha, w))
    return _exchanged(cells, points[:, ::-1] * (rows - 1, min(columns, N) - 1))


SHIFTS = ((0, 1), (1, 0), (1, 1), (1, -1), (0, 2), (2, 0), (0, 3), (3, 0), (2, 1), (1, 2), (2, -1), (1, -2),
          (0, 5), (5, 0), (0, 8), (8, 0))


def _exchanged(cells, wanted, rounds=100):
    """Exchange the cells of pairs of points, each pair a shift apart, while that lowers the squared distance to `wanted`."""
    rows, columns = cells.max(axis=0) + 1
    grid = np.full((rows, columns), -1)
    grid[tuple(cells.T)] = np.arange(len(cells))
    for _ in range(rounds):
        changed = False
        for down, right in SHIFTS:
            if down >= rows or abs(right) >= columns:
                continue
            one = grid[:rows - down, max(0, -right):columns - max(0, right)]
            other = grid[down:, max(0, right):columns + min(0, right)]
            gain = (wanted[one] - wanted[other]) @ (down, right)         # half of what the sum of squares would lose
            gain = np.where((one >= 0) & (other >= 0), gain, 0)
            r, c = np.nonzero(gain > 1e-9)
            order = np.argsort(-gain[r, c], kind="stable")
            free = np.ones(len(cells), bool)
            for at in zip(r[order].tolist(), c[order].tolist()):
                a, b = one[at], other[at]
                if free[a] and free[b]:
                    free[a] = free[b] = False
                    one[at], other[at] = b, a
                    changed = True
        if not changed:
            break
    places = np.nonzero(grid >= 0)
    cells = np.empty_like(cells)
    cells[grid[places]] = np.stack(places, axis=1)
    return cells


def nearest_cells(points, rows, columns):
    """Give each of N points (N, 2) the free cell of a rows × columns grid that is nearest to where it lies: (N, 2) int64.

    Unlike `thumbnail_grid` it keeps empty what is empty. The points first in order choose first. DataError for fewer cells
    than points.
    """
    points = _plane(points)
    if rows * columns < len(points):
        raise DataError(f"{len(points)} points do not fit into {rows} × {columns} cells: take more, or fewer points")
    wanted = points[:, ::-1] * (rows - 1, columns - 1)
    places = np.stack(np.divmod(np.arange(rows * columns), columns), axis=1).astype(np.float64)
    cells = np.empty((len(points), 2), np.int64)
    for i, place in enumerate(wanted):
        best = ((places - place) ** 2).sum(axis=1).argmin()
        cells[i] = divmod(best, columns)
        places[best] = np.inf
    return cells


def _plane(points):
    """Return points (N, 2) brought into the unit square, each axis by itself; one without extent lies in its middle."""
    points = table(points).astype(np.float64)
    if points.shape[1] != 2:
        raise DataError(f"points of the plane are (N, 2), got {points.shape}: take two dimensions")
    low, extent = points.min(axis=0), np.ptp(points, axis=0)
    return np.where(extent > 0, (points - low) / np.where(extent > 0, extent, 1), 0.5)

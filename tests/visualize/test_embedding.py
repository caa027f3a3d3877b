"""PCA against the covariance's eigenvectors, t-SNE, and who gets which cell of a grid."""

import importlib
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from zfnumpy.errors import BackendError, DataError, ShapeError
from zfnumpy.visualize import embedding, nearest_cells, pca, thumbnail_grid, tsne

blocks_live_here = importlib.import_module("zfnumpy.visualize.neighbours")


def table(N, D, seed=0, dtype=np.float32):
    rng = np.random.default_rng(seed)
    return (rng.standard_normal((N, D)) * rng.uniform(0.1, 3, D) + rng.uniform(-5, 5, D)).astype(dtype)


@pytest.mark.parametrize("block", [5, 1 << 22])
@pytest.mark.parametrize("shape", [(30, 6), (6, 30), (9, 9), (2, 3), (3, 2)])
def test_pca_is_the_covariances_eigenvectors(shape, block, monkeypatch):
    monkeypatch.setattr(blocks_live_here, "BLOCK", block)
    values = table(*shape)
    found = pca(values, 2)
    centred = values - values.mean(axis=0, dtype=np.float64)
    variances, vectors = np.linalg.eigh(centred.T @ centred / (len(values) - 1))
    rank = min(2, len(values) - 1)
    np.testing.assert_allclose(found.variance[:rank], variances[::-1][:rank], rtol=1e-9)
    np.testing.assert_allclose(found.share[:rank], (variances[::-1] / variances.sum())[:rank], rtol=1e-9)
    for k in range(rank):
        assert abs(found.components[k] @ vectors[:, -1 - k]) == pytest.approx(1, abs=1e-9)
        assert found.components[k, np.abs(found.components[k]).argmax()] > 0
    np.testing.assert_allclose(found.points, centred @ found.components.T, atol=1e-9)
    np.testing.assert_allclose(found.components[:rank] @ found.components[:rank].T, np.eye(rank), atol=1e-9)
    assert found.points.dtype == np.float64


@pytest.mark.parametrize("shape", [(40, 7), (7, 40)])
def test_pca_is_scikit_learns_but_for_signs(shape):
    decomposition = pytest.importorskip("sklearn.decomposition")
    values = table(*shape, dtype=np.float64)
    found, theirs = pca(values, 3), decomposition.PCA(3, svd_solver="full").fit(values)
    np.testing.assert_allclose(np.abs(found.points), np.abs(theirs.transform(values)), atol=1e-9)
    np.testing.assert_allclose(found.share, theirs.explained_variance_ratio_, rtol=1e-9)


def test_what_the_data_do_not_span_is_zero():
    same = [np.full((N, 9), 1e6 + 0.1 * N) for N in range(1, 30)]
    for values in (np.ones((1, 4)), np.full((5, 4), 0.1, np.float32), *same, *(each.T for each in same)):
        found = pca(values, 2)
        assert not found.points.any()
        assert not found.share.any()
    found = pca(np.array([[0, 0, 0], [3, 0, 4.0]]), 2)                     # two points span a line
    np.testing.assert_allclose(found.points, [[-2.5, 0], [2.5, 0]], atol=1e-12)
    np.testing.assert_allclose(found.share, [1, 0])
    assert not found.components[1].any()
    assert pca(np.arange(4.0)[:, None], 2).points.shape == (4, 2)          # one feature
    assert pca(table(3, 50), 5).share.sum() == pytest.approx(1)


@pytest.mark.parametrize("make", [pca, tsne])
def test_features_that_are_no_numbers_are_refused(make):
    values = table(6, 3)
    values[4, 1] = np.inf
    with pytest.raises(DataError, match="the features of row 4 are not finite"):
        make(values)
    with pytest.raises(ShapeError, match="dims"):
        make(values[:4], dims=0)


def test_saving_an_embedding(tmp_path):
    found = pca(table(9, 4))
    assert found.describe().startswith("PCA, ")
    arrays, _ = found.save(tmp_path)
    assert (np.load(arrays)["components"] == found.components).all()


def test_tsne_keeps_groups_together_and_its_seed():
    pytest.importorskip("sklearn")
    rng = np.random.default_rng(0)
    labels = np.repeat(np.arange(3), 20)
    values = rng.standard_normal((3, 60))[labels] * 8 + rng.standard_normal((60, 60))
    found = tsne(values, seed=3)
    assert found.points.shape == (60, 2)
    assert found.perplexity == pytest.approx(59 / 3)
    distances = ((found.points[:, None] - found.points) ** 2).sum(axis=-1) + np.diag(np.full(60, np.inf))
    assert (labels[distances.argmin(axis=1)] == labels).all()
    assert (tsne(values, seed=3).points == found.points).all()


@pytest.mark.parametrize("N", [1, 2, 3, 4, 5, 8])
def test_tsne_of_few_points_or_of_one_place(N):
    pytest.importorskip("sklearn")
    found = tsne(table(N, 6))
    assert found.points.shape == (N, 2)
    assert np.isfinite(found.points).all()
    assert (found.divergence is None) == (N < 4)
    assert not tsne(np.ones((N, 6))).points.any()
    with pytest.raises(DataError, match="perplexity must be a number above 0, got nan"):
        tsne(table(N, 6), perplexity=float("nan"))


def test_tsne_without_scikit_learn(monkeypatch):
    monkeypatch.setitem(sys.modules, "sklearn.manifold", None)
    with pytest.raises(BackendError, match=r"pip install 'zfnumpy\[embed\]'; PCA does without"):
        tsne(table(9, 4))


@given(st.integers(1, 60), st.integers(1, 12), st.integers(0, 10**6))
def test_every_point_has_a_cell_of_its_own(N, columns, seed):
    rng = np.random.default_rng(seed)
    for points in (rng.standard_normal((N, 2)), rng.integers(0, 2, (N, 2)), np.zeros((N, 2))):
        cells = thumbnail_grid(points, columns)
        numbers = cells[:, 0] * columns + cells[:, 1]
        assert sorted(numbers) == list(range(N))                         # full rows, and the last from the left
        assert (cells[:, 1] < columns).all()
        cells = nearest_cells(points, 8, 8)
        assert len(set(map(tuple, cells))) == N
        assert ((cells >= 0) & (cells < 8)).all()


@pytest.mark.parametrize(("rows", "columns"), [(1, 9), (9, 1), (6, 6), (7, 11)])
def test_points_that_lie_in_a_grid_keep_their_places(rows, columns):
    """x is the column, y the row; whatever the order they come in, and a little off their places."""
    rng = np.random.default_rng(0)
    cells = np.stack(np.divmod(rng.permutation(rows * columns), columns), axis=1)
    points = cells[:, ::-1] * (3.0, 0.5) + rng.uniform(-0.02, 0.02, cells.shape) * (np.array([columns, rows]) > 1)
    assert (thumbnail_grid(points, columns) == cells).all()
    assert (nearest_cells(points, rows, columns) == cells).all()


def kept(points, cells, k=8):
    """The share of a point's k nearest that lie in the cells around its own."""
    distances = ((points[:, None] - points) ** 2).sum(axis=-1) + np.diag(np.full(len(points), np.inf))
    around = np.abs(cells[:, None] - cells).max(axis=-1) <= 1
    return np.mean([around[i, near].mean() for i, near in enumerate(distances.argsort(axis=1)[:, :k])])


def test_a_grid_keeps_neighbours_nearly_as_the_best_assignment_does():
    """On points in clumps, far from any grid; before the exchanges it keeps less."""
    rng = np.random.default_rng(0)
    points = rng.standard_normal((12, 2))[np.arange(400) % 12] * 3 + rng.standard_normal((400, 2)) * 0.7
    found = kept(points, thumbnail_grid(points))
    chance = kept(points, np.stack(np.divmod(rng.permutation(400), 20), axis=1))
    assert found > 0.4 > 5 * chance
    optimize = pytest.importorskip("scipy.optimize")
    wanted = (points - points.min(axis=0)) / np.ptp(points, axis=0) * 19
    places = np.stack(np.divmod(np.arange(400), 20), axis=1)
    costs = ((wanted[:, None, ::-1] - places) ** 2).sum(axis=-1)
    best = places[optimize.linear_sum_assignment(costs)[1]]
    assert found > 0.95 * kept(points, best)
    cells = thumbnail_grid(points)
    total = costs[np.arange(400), cells[:, 0] * 20 + cells[:, 1]].sum()
    least = costs[np.arange(400), best[:, 0] * 20 + best[:, 1]].sum()
    assert total < 1.15 * least


def test_a_lone_point_stays_alone():
    points = np.concatenate([np.random.default_rng(0).uniform(0, 1, (30, 2)), [[10, 10]]])
    cells = nearest_cells(points, 10, 10)
    assert cells[-1].tolist() == [9, 9]
    assert cells[:-1].max() < 7


def test_what_grids_refuse():
    with pytest.raises(DataError, match="5 points do not fit into 2 × 2 cells"):
        nearest_cells(np.zeros((5, 2)), 2, 2)
    with pytest.raises(DataError, match=r"points of the plane are \(N, 2\), got \(5, 3\)"):
        thumbnail_grid(np.zeros((5, 3)))
    with pytest.raises(DataError, match="row 1 are not finite"):
        thumbnail_grid(np.array([[0, 0], [np.nan, 1]]))
    assert embedding._plane(np.array([[1, 5.0]])).tolist() == [[0.5, 0.5]]

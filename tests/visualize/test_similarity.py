"""Rank correlation and structural similarity, each against its definition written slowly."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from zfnumpy.errors import ShapeError
from zfnumpy.visualize import rank_correlation, ssim
from zfnumpy.visualize.similarity import ranks, smooth

RNG = np.random.default_rng(0)
SMALL = array_shapes(min_dims=2, max_dims=2, max_side=6)


def slow_ranks(values):
    """A value's rank: how many are smaller, and the middle of those that are equal."""
    flat = values.ravel()
    return np.array([(flat < v).sum() + ((flat == v).sum() + 1) / 2 for v in flat])


def slow_correlation(a, b):
    a, b = slow_ranks(a), slow_ranks(b)
    if np.std(a) == 0 or np.std(b) == 0:
        return float(np.std(a) == np.std(b) == 0)
    return np.mean((a - a.mean()) * (b - b.mean())) / np.std(a) / np.std(b)


def slow_ssim(a, b, sigma=1.5, reach=5):
    """Wang et al. 2004, eq. 13 with the statistics of eq. 14 to 16, pixel by pixel; windows cut at the borders."""
    a, b = (m / m.max() if m.max() > 0 else m for m in (a, b))
    found = []
    for i, j in np.ndindex(a.shape):
        at = [(k, m) for k in range(i - reach, i + reach + 1) for m in range(j - reach, j + reach + 1)
              if 0 <= k < a.shape[0] and 0 <= m < a.shape[1]]
        w = np.array([np.exp(-((k - i) ** 2 + (m - j) ** 2) / (2 * sigma ** 2)) for k, m in at])
        w /= w.sum()
        p, q = (np.array([each[place] for place in at]) for each in (a, b))
        mp, mq = w @ p, w @ q
        sp, sq, spq = w @ (p - mp) ** 2, w @ (q - mq) ** 2, w @ ((p - mp) * (q - mq))
        found.append((2 * mp * mq + 1e-4) * (2 * spq + 9e-4) / ((mp ** 2 + mq ** 2 + 1e-4) * (sp + sq + 9e-4)))
    return np.mean(found)


# ---- rank correlation -----------------------------------------------------------------------------------------------

def test_equal_values_share_their_mean_rank():
    assert ranks([30, 10, 10, 20, 10]).tolist() == [5, 2, 2, 4, 2]
    assert ranks(np.array([[1, 0], [0, 1]])).tolist() == [[3.5, 1.5], [1.5, 3.5]]


@pytest.mark.parametrize(("a", "b", "expected"), [
    ([1, 2, 3, 4], [10, 20, 30, 99], 1), ([1, 2, 3, 4], [4, 3, 2, 1], -1),
    ([1, 2, 3, 4, 5], [2, 1, 4, 3, 5], 0.8),              # 1 - 6 Σd² / (n (n² - 1)) = 1 - 6 · 4 / 120
    ([1, 2, 2, 3], [1, 2, 3, 4], 3 / 10 ** 0.5),          # ranks 1 2.5 2.5 4: 4.5 / √(4.5 · 5)
    ([0, 0, 0, 1], [0, 0, 1, 0], -1 / 3)])
def test_known_answers(a, b, expected):
    assert rank_correlation(np.array([a]), np.array([b])) == pytest.approx(expected, abs=1e-14)


@given(SMALL.flatmap(lambda s: st.tuples(*[arrays(np.int64, s, elements=st.integers(0, 4))] * 2)))
def test_rank_correlation_is_its_definition(maps):
    assert rank_correlation(*maps) == pytest.approx(slow_correlation(*maps), abs=1e-12)


def test_rank_correlation_is_scipy_s():
    stats = pytest.importorskip("scipy.stats")
    a, b = RNG.integers(0, 50, (2, 30, 40))
    assert rank_correlation(a, b) == pytest.approx(stats.spearmanr(a.ravel(), b.ravel()).statistic, abs=1e-12)


def test_what_is_the_same_correlates_by_one_exactly():
    for _ in range(20):
        a = RNG.random((23, 31)).astype(np.float32)
        assert rank_correlation(a, a.copy()) == 1


def test_a_constant_map_has_no_order():
    flat, other = np.zeros((4, 5)), np.arange(20.0).reshape(4, 5)
    assert (rank_correlation(flat, other), rank_correlation(other, flat + 3), rank_correlation(flat, flat + 3)) == (0, 0, 1)
    assert rank_correlation(np.ones((1, 1)), np.zeros((1, 1))) == 1


# ---- structural similarity ------------------------------------------------------------------------------------------

@pytest.mark.parametrize("shape", [(13, 17), (1, 1), (1, 9), (4, 3)])
def test_ssim_is_its_definition(shape):
    a, b = RNG.random((2, *shape))
    b = 0.6 * a + 0.4 * b
    np.testing.assert_allclose(ssim(a, b), slow_ssim(a, b), rtol=1e-10)


def test_ssim_of_many_maps_is_that_of_each():
    a, b = RNG.random((2, 2, 3, 9, 8))
    found = ssim(a, b)
    assert found.shape == (2, 3)
    np.testing.assert_allclose(found, [[ssim(p, q) for p, q in zip(*both)] for both in zip(a, b)], rtol=1e-12)


def test_ssim_knows_sameness_and_forms_only():
    a = RNG.random((3, 20, 20)).astype(np.float32)
    assert (ssim(a, a.copy()) == 1).all()
    np.testing.assert_allclose(ssim(a, 7 * a), 1, rtol=1e-6)
    assert (abs(ssim(a, RNG.random((3, 20, 20)))) < 0.35).all()


def test_blank_maps_give_numbers():
    a, zero = RNG.random((8, 8)), np.zeros((8, 8))
    assert ssim(zero, zero) == 1
    np.testing.assert_allclose(ssim(a, zero), slow_ssim(a, zero), rtol=1e-10)


@pytest.mark.parametrize("measure", [rank_correlation, ssim])
def test_maps_of_two_sizes_are_refused(measure):
    with pytest.raises(ShapeError, match=r"got shapes \(2, 3\) and \(3, 2\)"):
        measure(np.zeros((2, 3)), np.zeros((3, 2)))


# ---- blurring -------------------------------------------------------------------------------------------------------

def test_smooth_is_a_gaussian_mean():
    x = RNG.random((2, 7, 9))
    found = smooth(np, x, 1.3)
    at = np.arange(9)
    for i, j in ((0, 0), (3, 4), (6, 8)):
        rows, columns = (np.where(abs(at[:n] - k) <= 4, np.exp(-(at[:n] - k) ** 2 / (2 * 1.3 ** 2)), 0)
                         for n, k in ((7, i), (9, j)))
        weights = np.outer(rows, columns)
        np.testing.assert_allclose(found[:, i, j], (x * weights).sum(axis=(1, 2)) / weights.sum(), rtol=1e-12)


def test_smooth_keeps_constants_inputs_and_dtypes():
    x = np.full((1, 3, 5, 2), 2.5, np.float32)
    found = smooth(np, x, 4)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, 2.5, rtol=1e-6)
    assert (x == 2.5).all()
    assert smooth(np, np.ones((1, 1)), 3).tolist() == [[1]]

"""Softmax and cross-entropy: by hand, by central differences, and at scores that overflow."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from zfnumpy.errors import DataError, DTypeError, ShapeError
from zfnumpy.gradcheck import check_full
from zfnumpy.loss import softmax, softmax_cross_entropy


def test_worked_by_hand():
    scores = np.log([[1.0, 2, 5], [4, 4, 2]])
    np.testing.assert_allclose(softmax(scores), [[1 / 8, 2 / 8, 5 / 8], [4 / 10, 4 / 10, 2 / 10]], rtol=1e-14)
    loss, dscores = softmax_cross_entropy(scores, np.array([2, 0]))
    assert loss == pytest.approx((math.log(8 / 5) + math.log(10 / 4)) / 2, rel=1e-14)
    np.testing.assert_allclose(dscores, [[1 / 16, 2 / 16, -3 / 16], [-6 / 20, 4 / 20, 2 / 20]], rtol=1e-13)


@pytest.mark.parametrize("K", [1, 2, 10, 1000])
def test_a_network_that_knows_nothing_loses_log_k(K):
    loss, _ = softmax_cross_entropy(np.zeros((3, K), "float32"), np.zeros(3, int))
    assert loss == pytest.approx(math.log(K), abs=1e-6)


@given(N=st.integers(1, 5), K=st.integers(1, 6), seed=st.integers(0, 99), scale=st.sampled_from([0.1, 1, 5]))
def test_the_gradient_is_the_loss_s_derivative(N, K, seed, scale):
    rng = np.random.default_rng(seed)
    scores, labels = scale * rng.standard_normal((N, K)), rng.integers(0, K, N)
    _, dscores = softmax_cross_entropy(scores, labels)
    check = check_full(lambda: softmax_cross_entropy(scores, labels)[0], scores, dscores)
    assert check.error < 1e-6 or K == 1
    np.testing.assert_allclose(dscores.sum(axis=1), 0, atol=1e-15)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_scores_of_any_size_are_safe(dtype):
    scores = np.array([[1e4, 0, -1e4], [-1e30, -1e30, -1e30]], dtype)
    np.testing.assert_allclose(softmax(scores), [[1, 0, 0], [1 / 3] * 3], rtol=1e-6)
    loss, dscores = softmax_cross_entropy(scores, np.array([1, 2]))
    assert loss == pytest.approx((1e4 + math.log(3)) / 2)
    assert np.isfinite(dscores).all()


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_dtypes_and_inputs(dtype):
    scores, labels = np.random.default_rng(0).standard_normal((4, 3)).astype(dtype), np.array([0, 1, 2, 0], "uint8")
    before = scores.copy()
    loss, dscores = softmax_cross_entropy(scores, labels)
    assert type(loss) is float
    assert dscores.dtype == softmax(scores).dtype == dtype
    np.testing.assert_array_equal(scores, before)
    assert not np.may_share_memory(scores, dscores)
    as_list, again = softmax_cross_entropy(scores, [0, 1, 2, 0])
    assert as_list == loss
    np.testing.assert_array_equal(again, dscores)


def test_trouble_shows():
    scores = np.array([[np.nan, 0.0], [1, 2]])
    loss, dscores = softmax_cross_entropy(scores, np.array([0, 1]))
    assert math.isnan(loss)
    assert np.isnan(dscores[0]).all()
    assert np.isfinite(dscores[1]).all()


@pytest.mark.parametrize(("scores", "labels", "kind", "message"), [
    (np.zeros((2, 3)), [0, 3], DataError, "labels run from 0 to 3, but there are 3 classes, 0 to 2"),
    (np.zeros((2, 3)), [-1, 2], DataError, "labels run from -1 to 2, but there are 3 classes"),
    (np.zeros((2, 3)), [0.0, 1.0], DataError, "labels must be integers, got float64"),
    (np.zeros((2, 3)), [True, False], DataError, "labels must be integers, got bool"),
    (np.zeros((2, 3)), [0, 1, 2], ShapeError, r"labels must have shape \(2,\), got \(3,\)"),
    (np.zeros((2, 3)), [[0], [1]], ShapeError, r"labels must have shape \(2,\), got \(2, 1\)"),
    (np.zeros((0, 3)), np.zeros(0, int), ShapeError, "the mean over an empty batch does not exist"),
    (np.zeros(3), [0], ShapeError, r"scores must be \(N, K\), got shape \(3,\)"),
    (np.zeros((2, 3), int), [0, 1], DTypeError, "scores is int64; use scores.astype"),
    (np.zeros((2, 3), "float16"), [0, 1], DTypeError, "scores is float16"),
    ([[0.0, 1]], [0], DTypeError, "scores is a list, not an array"),
])
def test_what_is_refused(scores, labels, kind, message):
    with pytest.raises(kind, match=message) as error:
        softmax_cross_entropy(scores, labels)
    assert "\n" not in str(error.value)


def test_softmax_of_nothing_and_of_too_many_axes():
    assert softmax(np.zeros((0, 3))).shape == (0, 3)
    with pytest.raises(ShapeError, match=r"softmax: scores must be \(N, K\), got shape \(1, 2, 3\)"):
        softmax(np.zeros((1, 2, 3)))

"""The checks that the other tests lean on: right derivatives pass, and every wrong one is caught."""

import numpy as np
import pytest

from zfnumpy import gradcheck
from zfnumpy.errors import DTypeError, ShapeError

A = np.random.default_rng(0).standard_normal((4, 3))


def cubic(x):
    """A scalar function of x (3, 4) and its gradient."""
    return float(np.sum(x ** 3) + np.sum(x[0] * x[1])), 3 * x ** 2 + np.stack([x[1], x[0], np.zeros(4)])


@pytest.fixture
def x():
    return np.random.default_rng(1).standard_normal((3, 4))


def check_both(x, gradient):
    """Return the errors of both checks for a claimed gradient of `cubic`."""
    return (gradcheck.check_full(lambda: cubic(x)[0], x, gradient).error,
            gradcheck.check_projection(lambda: cubic(x)[0], x, gradient, np.random.default_rng(2)).error)


def test_a_right_gradient_passes_and_x_is_left_as_it_was(x):
    before = x.copy()
    assert max(check_both(x, cubic(x)[1])) < 1e-8
    np.testing.assert_array_equal(x, before)


@pytest.mark.parametrize("spoil", [
    lambda g: g * 1.001,
    lambda g: -g,
    lambda g: g + 1e-3 * (np.arange(12).reshape(3, 4) == 7),
    lambda g: g[::-1],
    lambda g: np.zeros_like(g),
    lambda g: np.where(np.arange(12).reshape(3, 4) == 5, np.nan, g),
], ids=["scaled", "wrong sign", "one entry", "turned round", "zero", "nan"])
def test_a_wrong_gradient_is_caught(x, spoil):
    assert not min(check_both(x, spoil(cubic(x)[1]))) < 1e-5


def test_both_numbers_are_there_to_be_shown(x):
    check = gradcheck.check_full(lambda: cubic(x)[0], x, 2 * cubic(x)[1])
    np.testing.assert_allclose(check.analytic, 2 * check.numeric, rtol=1e-6)
    assert check.error == pytest.approx(0.5, rel=1e-6)


def test_central_differences_worked_by_hand():
    x = np.array([2.0, -3.0])
    np.testing.assert_allclose(gradcheck.central_differences(lambda: x[0] ** 2 + x[0] * x[1], x), [1, 2], rtol=1e-8)
    scalar = np.array(3.0)
    np.testing.assert_allclose(gradcheck.central_differences(lambda: float(scalar) ** 2, scalar), 6, rtol=1e-8)
    strided = np.arange(6.0)[::2]
    np.testing.assert_allclose(gradcheck.central_differences(lambda: strided @ strided, strided), [0, 4, 8], atol=1e-8)


def test_float32_is_refused(x):
    for check in (gradcheck.central_differences, lambda f, x: gradcheck.check_projection(f, x, x, None)):
        with pytest.raises(DTypeError, match="central differences need float64, got float32"):
            check(lambda: 0.0, x.astype("float32"))


@pytest.mark.parametrize(("a", "b", "error"), [
    ([1, 2], [1, 2], 0), ([0, 0], [0, 0], 0), ([], [], 0), ([1, 2], [1, 4], 0.5), ([0, 0], [0, 1e-30], 1), (2, -2, 2)])
def test_relative_error(a, b, error):
    assert gradcheck.relative_error(a, b) == error


def test_nan_is_never_a_small_error():
    assert not gradcheck.relative_error([np.nan, 1], [1, 1]) < 1e9
    assert not gradcheck.relative_error([np.nan], [np.nan]) < 1e9


def test_shapes_that_would_broadcast_are_not_equal():
    with pytest.raises(ShapeError, match=r"shapes \(2, 1\) and \(2,\)"):
        gradcheck.relative_error(np.ones((2, 1)), np.ones(2))
    x = np.ones(2)
    with pytest.raises(ShapeError):
        gradcheck.check_full(lambda: x.sum(), x, np.ones((1, 2)))


def test_the_adjoint_of_a_matrix_is_its_transpose():
    rng = np.random.default_rng(3)
    x, y = rng.standard_normal(3), rng.standard_normal(4)
    check = gradcheck.check_adjoint(lambda x: A @ x, lambda y: A.T @ y, x, y)
    assert check.error < 1e-15
    assert float(check.analytic) == pytest.approx(y @ A @ x)
    for wrong in (lambda y: -A.T @ y, lambda y: 1.001 * A.T @ y, lambda y: A[:3].T @ y[:3], lambda y: np.zeros(3)):
        assert gradcheck.check_adjoint(lambda x: A @ x, wrong, x, y).error > 1e-5


def test_an_adjoint_test_of_zeros_is_exact():
    assert gradcheck.check_adjoint(lambda x: A @ x, lambda y: A.T @ y, np.zeros(3), np.zeros(4)).error == 0

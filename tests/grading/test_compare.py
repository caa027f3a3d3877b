"""How a difference is told."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from zfnumpy.grading._runner import Unknown
from zfnumpy.grading.compare import difference

A = np.arange(6.0).reshape(2, 3)


def changed(value, *index):
    a = A.copy()
    a[index] = value
    return a


@pytest.mark.parametrize(("got", "expected", "message"), [
    (changed(9, 1, 0), A, "the result[1, 0] should be 3, got 9; 1 of 6 values differ"),
    (A[:1], A, "the result should have shape (2, 3), got (1, 3)"),
    (A.astype(np.float32), A, "the result should be float64, got float32"),
    (changed(3.0000004, 1, 0), changed(3.00001, 1, 0), "the result[1, 0] should be 3.00001, got 3; 1 of 6 values differ"),
    (1.00000001, 1.00001, "the result should be 1.00001, got 1"), (2.0, 2.0000101, "the result should be 2.00001, got 2"),
    (None, A, "the result is None: the function returns nothing"),
    (changed(np.nan, 0, 2), A, "the result[0, 2] should be 2, got nan; 1 of 6 values differ"),
    (A, changed(np.inf, 0, 0), "the result[0, 0] should be inf, got 0; 1 of 6 values differ"),
    (Unknown("a function"), A, "the result should be an array of shape (2, 3), got a function"),
    (5, A, "the result should have shape (2, 3), got ()"),
    (A, 5.0, "the result should have shape (), got (2, 3)"),
    (4.0, 5.0, "the result should be 5, got 4"),
    (A, (A, A), "the result should be 2 values, got an array of shape (2, 3)"),
    ((A, A, A), (A, A), "the result should be 2 values, got 3"),
    ((A, A + 1), (A, A), "value 2 of the result[0, 0] should be 0, got 1; 6 of 6 values differ"),
    ({"a": A}, {"b": A}, "the result should be a dict of b, got a"),
    ({"b": A + 1}, {"b": A}, "the result['b'][0, 0] should be 0, got 1; 6 of 6 values differ"),
    ("same", "valid", "the result should be 'valid', got 'same'"), (1, True, "the result should be True, got 1"),
    ([[1], [2, 3]], A, "the result should be an array, got a list of unequal parts"),
    (np.array(["a"] * 3), np.zeros(3), "the result should be float64, got <U1")])
def test_what_differs_is_said_first(got, expected, message):
    assert difference(got, expected) == message


@pytest.mark.parametrize(("got", "expected"), [
    (A, A), (A + 1e-9, A), (A.tolist(), A), ([A, A], (A, A)), (5, 5.0), (np.float64(5), 5.0), (True, True), (None, None),
    (np.array([np.nan, np.inf, -np.inf]), np.array([np.nan, np.inf, -np.inf])), (np.zeros((0, 3)), np.zeros((0, 3)))])
def test_what_is_the_same(got, expected):
    assert difference(got, expected) is None


def test_numbers_that_differ_look_different():
    assert difference(changed(3.0000004, 1, 0), A, 0) == "the result[1, 0] should be 3, got 3.0000004; 1 of 6 values differ"
    assert difference(5.0, 5.0000001, 0) == "the result should be 5.0000001, got 5"


@given(arrays(np.float64, st.tuples(st.integers(1, 4), st.integers(1, 4)), elements=st.floats(-1e6, 1e6)), st.data())
def test_any_single_change_is_found_where_it_is(a, data):
    index = data.draw(st.tuples(*(st.integers(0, n - 1) for n in a.shape)))
    b = a.copy()
    b[index] += 1 + np.abs(a).max()
    assert f"[{index[0]}, {index[1]}]" in difference(b, a)
    assert difference(a, a) is None

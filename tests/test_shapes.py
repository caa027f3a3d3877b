"""Output sizes against windows counted one by one, and the checks that come before every operation."""

import definitions
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from zfnumpy import shapes
from zfnumpy.errors import DTypeError, ShapeError


@given(size=st.integers(1, 40), kernel=st.integers(1, 11), stride=st.integers(1, 6), pad=st.integers(0, 5))
def test_sizes_are_the_number_of_windows(size, kernel, stride, pad):
    if kernel > size + 2 * pad:
        return
    assert shapes.conv_output_size(size, kernel, stride, pad) == definitions.floor_size(size, kernel, stride, pad)
    assert shapes.pool_output_size(size, kernel, stride, pad) == definitions.floor_size(size, kernel, stride, pad)
    if 2 * pad <= kernel:
        assert shapes.pool_output_size(size, kernel, stride, pad, True) == definitions.ceil_size(size, kernel, stride, pad)


@pytest.mark.parametrize(("size", "kernel", "stride", "pad", "ceil_mode", "expected"), [
    (224, 7, 2, 1, False, 110), (110, 3, 2, 1, False, 55), (55, 5, 2, 0, False, 26), (26, 3, 2, 1, False, 13),
    (13, 3, 2, 0, False, 6),                                          # the paper's own column of sizes
    (113, 3, 2, 0, True, 56), (56, 3, 2, 0, True, 28), (6, 3, 2, 0, False, 2), (6, 3, 2, 0, True, 3),
    (2, 1, 2, 0, True, 1), (3, 2, 2, 1, True, 2),                     # a last window outside the image does not count
])
def test_sizes_worked_by_hand(size, kernel, stride, pad, ceil_mode, expected):
    assert shapes.pool_output_size(size, kernel, stride, pad, ceil_mode) == expected


@given(size=st.integers(1, 12), kernel=st.integers(1, 6), stride=st.integers(1, 4), pad=st.integers(0, 3),
       ceil_mode=st.booleans())
def test_every_pooling_window_holds_a_pixel(size, kernel, stride, pad, ceil_mode):
    if kernel > size + 2 * pad or 2 * pad > kernel:
        return
    for u in range(shapes.pool_window("pool", (1, 1, size, size), kernel, stride, pad, ceil_mode).OH):
        start = u * stride - pad
        assert max(start, 0) < min(start + kernel, size)


@pytest.mark.parametrize(("value", "expected"), [(3, (3, 3)), ((1, 2), (1, 2)), ([4, 5], (4, 5)), (np.int64(2), (2, 2))])
def test_pair(value, expected):
    found = shapes.pair(value, "stride", 1)
    assert found == expected
    assert all(type(v) is int for v in found)


@pytest.mark.parametrize("value", [0, -1, 1.0, "3", (1, 2, 3), (1,), (1, 2.5), None, True, (3, False)])
def test_pair_refuses(value):
    with pytest.raises(ShapeError, match=r"stride must be .* got") as error:
        shapes.pair(value, "stride", 1)
    assert repr(value) in str(error.value)


def test_window_holds_every_number():
    win = shapes.window("conv", (2, 3, 10, 12), (3, 5), (1, 2), (0, 1))
    assert win == (2, 3, 10, 12, 3, 5, 1, 2, 0, 1, 8, 5)
    assert win.x_shape == (2, 3, 10, 12)
    assert (win.SH, win.SW, win.PH, win.PW, win.OH, win.OW) == (1, 2, 0, 1, 8, 5)


def test_the_kernel_may_be_as_large_as_the_padded_image():
    win = shapes.window("conv", (1, 1, 4, 3), (6, 5), 1, 1)
    assert (win.OH, win.OW) == (1, 1)
    with pytest.raises(ShapeError, match=r"conv: the kernel 7×5 is larger than the padded image 6×5 \(4×3 with pad 1, 1\)"):
        shapes.window("conv", (1, 1, 4, 3), (7, 5), 1, 1)


@pytest.mark.parametrize(("x", "w", "groups", "message"), [
    ((1, 3, 8, 8), (8, 96, 3, 3), 1, "conv2 expects 96 channels, got 3"),
    ((1, 6, 8, 8), (8, 2, 3, 3), 2, r"conv2 expects 4 channels \(2 groups of 2\), got 6"),
    ((1, 6, 8, 8), (8, 3, 3, 3), 4, "conv2: groups=4 must divide both the 6 input channels and the 8 filters"),
    ((1, 6, 8, 8), (9, 3, 3, 3), 2, "groups=2 must divide both the 6 input channels and the 9 filters"),
    ((1, 6, 8, 8), (8, 6, 3, 3), 0, "groups=0 must divide"),
    ((1, 6, 8, 8), (8, 6, 3, 3), 1.0, "groups=1.0 must divide"),
    ((6, 8, 8), (8, 6, 3, 3), 1, r"x must be \(N, C, H, W\), got shape \(6, 8, 8\)"),
    ((1, 6, 8, 8), (8, 6, 3), 1, r"weight must be \(F, C/groups, KH, KW\), got shape \(8, 6, 3\)"),
    ((1, 0, 8, 8), (8, 0, 3, 3), 1, "at least one channel and one filter, got 0 and 8"),
    ((1, 6, 8, 8), (0, 6, 3, 3), 1, "at least one channel and one filter, got 6 and 0"),
])
def test_convolutions_that_do_not_fit(x, w, groups, message):
    with pytest.raises(ShapeError, match=message):
        shapes.conv_window("conv2", x, w, 1, 0, groups)


def test_an_output_pad_must_be_smaller_than_the_stride():
    assert shapes.transpose_output_shape("up", (2, 4, 5, 5), (4, 3, 3, 3), 2, 1, 1, 2) == (2, 6, 10, 10)
    with pytest.raises(ShapeError, match="up: output_pad 2 must be smaller than the stride 2"):
        shapes.transpose_output_shape("up", (2, 4, 5, 5), (4, 3, 3, 3), 2, 1, (0, 2), 1)
    with pytest.raises(ShapeError, match="a 1×5 input with pad 2 leaves an output of -1 pixels"):
        shapes.transpose_output_shape("up", (2, 4, 1, 5), (4, 3, 3, 3), 1, 2, 0, 1)
    with pytest.raises(ShapeError, match="up expects 4 channels, got 5"):
        shapes.transpose_output_shape("up", (2, 5, 1, 5), (4, 3, 3, 3), 1, 0, 0, 1)
    with pytest.raises(ShapeError, match="groups=3 must divide the 4 input channels"):
        shapes.transpose_output_shape("up", (2, 4, 1, 5), (4, 3, 3, 3), 1, 0, 0, 3)


def test_a_pooling_s_pad_is_at_most_half_its_window():
    assert shapes.pool_window("pool", (1, 1, 4, 4), (3, 2), None, 1).OH == 2
    with pytest.raises(ShapeError, match="pad 2, 1 must be at most half the window 3×3"):
        shapes.pool_window("pool", (1, 1, 4, 4), 3, 1, (2, 1))
    with pytest.raises(ShapeError, match="an image of 0×3 has no pixel to pool"):
        shapes.pool_window("pool", (1, 1, 0, 3), 2, 1, 1)


def test_dtypes():
    one, two = np.zeros(1, "float32"), np.zeros(1, "float64")
    assert shapes.check_floats("add", a=one, b=None, c=one) == np.float32
    assert shapes.check_floats("add", a=two) == np.float64
    with pytest.raises(DTypeError, match="add: a is float32 but b is float64; convert one of them"):
        shapes.check_floats("add", a=one, b=two)
    for dtype in ("float16", "int64", "uint8", "bool", "complex64", ">f4", "object"):
        with pytest.raises(DTypeError, match=rf"add: b is {np.dtype(dtype)}; use b\.astype\('float32'\)"):
            shapes.check_floats("add", a=one, b=np.zeros(1, dtype))
    with pytest.raises(DTypeError, match="add: b is a list, not an array"):
        shapes.check_floats("add", a=one, b=[1.0])


def test_dims_and_shapes():
    a = np.zeros((2, 3))
    assert shapes.check_dims("f", a, "a", "N, D") == (2, 3)
    with pytest.raises(ShapeError, match=r"f: a must be \(N, C, H, W\), got shape \(2, 3\)"):
        shapes.check_dims("f", a, "a", "N, C, H, W")
    shapes.check_shape("f", a, "a", [2, 3])
    with pytest.raises(ShapeError, match=r"f: a must have shape \(3, 2\), got \(2, 3\)"):
        shapes.check_shape("f", a, "a", (3, 2))

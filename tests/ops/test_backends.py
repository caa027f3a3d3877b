"""One suite for every backend: each operation against loops over its definition, and its promises about arrays."""

import definitions
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from zfnumpy import get_ops
from zfnumpy.ops.cupy_ops import gpu_answers
from zfnumpy.ops.face import RULES

LAYOUTS = ("contiguous", "channels last", "every other", "reversed")
TOLERANCE = {"float32": 1e-5, "float64": 1e-12}


def laid_out(array, layout, xp):
    """Copy an array to the array module xp, laid out in memory in one of several ways."""
    if layout == "channels last" and array.ndim > 1:
        return xp.moveaxis(xp.asarray(np.moveaxis(array, 1, -1).copy()), -1, 1)
    if layout == "every other":
        return xp.asarray(np.repeat(array, 2, axis=-1))[..., ::2]
    if layout == "reversed":
        return xp.asarray(array[..., ::-1].copy())[..., ::-1]
    return xp.asarray(array.copy())


def call(ops, name, *args, layout="contiguous", **kwargs):
    """Call an operation with NumPy arrays and return NumPy arrays, after checking what every operation promises.

    The result is of the backend's own array type and of the inputs' dtype, it shares no memory with them, and they are
    as they were. The arrays among the arguments are laid out as asked.
    """
    xp = ops.xp
    given_ = [laid_out(a, layout, xp) if isinstance(a, np.ndarray) else a for a in args]
    results = getattr(ops, name)(*given_, **kwargs)
    dtype = next(a.dtype for a in args if isinstance(a, np.ndarray) and a.dtype.kind == "f")
    several = results if isinstance(results, tuple) else (results,)
    for result in several:
        assert type(result) is xp.ndarray
        assert not any(xp.may_share_memory(result, a) for a in given_ if isinstance(a, xp.ndarray))
    assert several[0].dtype == dtype
    if len(several) == 2:
        assert not xp.may_share_memory(*several)
    for before, after in zip(args, given_):
        if isinstance(before, np.ndarray):
            np.testing.assert_array_equal(ops.to_numpy(after), before)
    several = tuple(ops.to_numpy(result) for result in several)
    return several if isinstance(results, tuple) else several[0]


def assert_close(actual, expected, terms=None):
    """Compare with a float64 oracle, relative to its largest magnitude, or to that of the sums of absolute terms."""
    assert actual.shape == expected.shape
    if not actual.size:
        return
    scale = np.abs(expected).max() if terms is None else terms.max()
    error = np.abs(actual - expected).max()
    assert error <= TOLERANCE[str(actual.dtype)] * scale, f"error {error:.3g} beside {scale:.3g}"


def normal(seed, shape, dtype):
    return np.random.default_rng(seed).standard_normal(shape).astype(dtype)


def whole(seed, shape, dtype, below=4):
    """Small whole numbers: their sums and products are exact, so results must agree to the bit."""
    return np.random.default_rng(seed).integers(-below, below + 1, shape).astype(dtype)


dtypes, layouts, seeds = st.sampled_from(["float32", "float64"]), st.sampled_from(LAYOUTS), st.integers(0, 99)


@st.composite
def windows(draw, least_pad=0, half_pad=False):
    """Draw (N, H, W, size, stride, pad), in half of the cases rectangular, the kernel at most the padded image."""
    square = draw(st.booleans())
    axes = []
    for _ in range(1 if square else 2):
        kernel, stride = draw(st.integers(1, 5)), draw(st.integers(1, 3))
        pad = draw(st.integers(least_pad, kernel // 2 if half_pad else 3))
        axes.append((draw(st.integers(max(1, kernel - 2 * pad), kernel + 7)), kernel, stride, pad))
    (H, KH, SH, PH), (W, KW, SW, PW) = axes[0], axes[-1]
    if square:
        return draw(st.integers(0, 3)), H, W, KH, SH, PH
    return draw(st.integers(0, 3)), H, W, (KH, KW), (SH, SW), (PH, PW)


@st.composite
def convolutions(draw):
    """Draw (x shape, weight shape, settings): up to 3 groups, filters beyond a register tile's rows."""
    N, H, W, size, stride, pad = draw(windows())
    groups = draw(st.sampled_from([1, 1, 2, 3]))
    channels, filters = draw(st.integers(1, 4)), draw(st.integers(1, 14))
    return ((N, channels * groups, H, W), (filters * groups, channels, *definitions.pair(size)),
            {"stride": stride, "pad": pad, "groups": groups})


@pytest.mark.gpu
def test_the_suite_runs_on_a_gpu_too():
    if not gpu_answers():
        pytest.skip("no GPU answers through CuPy: the cupy backend runs on the processor only (tests/fake_cupy.py)")


# ---- convolution ----------------------------------------------------------------------------------------------------

@given(case=convolutions(), dtype=dtypes, layout=layouts, seed=seeds, biased=st.booleans(), relu=st.booleans())
def test_conv2d(ops, case, dtype, layout, seed, biased, relu):
    x_shape, w_shape, settings = case
    for draw in (whole, normal):
        x, weight = draw(seed, x_shape, dtype), draw(seed + 1, w_shape, dtype)
        bias = draw(seed + 2, w_shape[:1], dtype) if biased else None
        y = call(ops, "conv2d", x, weight, bias, layout=layout, **settings, relu=relu)
        expected = definitions.conv2d(x, weight, bias, **settings)
        if relu:
            expected = np.maximum(expected, 0)
        if draw is whole:
            np.testing.assert_array_equal(y, expected)
        else:
            terms = definitions.conv2d(abs(x), abs(weight), None if bias is None else abs(bias), **settings)
            assert_close(y, expected, terms)


@given(case=convolutions(), dtype=dtypes, layout=layouts, seed=seeds)
def test_conv2d_gradients(ops, case, dtype, layout, seed):
    x_shape, w_shape, settings = case
    y_shape = definitions.conv2d(np.zeros(x_shape), np.zeros(w_shape), **settings).shape
    for draw in (whole, normal):
        x, weight, dy = draw(seed, x_shape, dtype), draw(seed + 1, w_shape, dtype), draw(seed + 2, y_shape, dtype)
        dx = call(ops, "conv2d_input_grad", dy, weight, x_shape, layout=layout, **settings)
        dw = call(ops, "conv2d_weight_grad", dy, x, w_shape, layout=layout, **settings)
        expected_dx = definitions.conv2d_input_grad(dy, weight, x_shape, **settings)
        expected_dw = definitions.conv2d_weight_grad(dy, x, w_shape, **settings)
        if draw is whole:
            np.testing.assert_array_equal(dx, expected_dx)
            np.testing.assert_array_equal(dw, expected_dw)
        else:
            assert_close(dx, expected_dx, definitions.conv2d_input_grad(abs(dy), abs(weight), x_shape, **settings))
            assert_close(dw, expected_dw, definitions.conv2d_weight_grad(abs(dy), abs(x), w_shape, **settings))


# What no small case reaches: sums longer than a packed panel, filters and pixels past several tiles, the paper's conv1.
LARGER = {
    "deep sums": ((2, 45, 9, 11), (25, 45, 3, 3), {"pad": 1}),
    "many filters and pixels": ((1, 5, 27, 31), (130, 5, 3, 3), {"pad": 1}),
    "groups of many": ((3, 64, 8, 8), (48, 32, 3, 3), {"pad": 1, "groups": 2}),
    "1×1": ((2, 300, 7, 5), (33, 300, 1, 1), {}),
    "conv1": ((2, 3, 62, 62), (96, 3, 7, 7), {"stride": 2, "pad": 1}),
    "whole image": ((5, 30, 6, 6), (20, 30, 6, 6), {}),
    "tall stride": ((2, 4, 40, 33), (9, 4, 5, 2), {"stride": (4, 1), "pad": (2, 0)}),
}


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("case", LARGER.values(), ids=LARGER)
def test_larger_convolutions_equal_the_reference(ops, case, dtype):
    x_shape, w_shape, settings = case
    reference = get_ops("numpy")
    x, weight, bias = whole(0, x_shape, dtype), whole(1, w_shape, dtype), whole(2, w_shape[:1], dtype)
    y = call(ops, "conv2d", x, weight, bias, **settings)
    wide = x.astype("float64"), weight.astype("float64"), bias.astype("float64")
    np.testing.assert_array_equal(y, reference.conv2d(*wide, **settings))
    dy = whole(3, y.shape, dtype)
    np.testing.assert_array_equal(call(ops, "conv2d_input_grad", dy, weight, x_shape, **settings),
                                  reference.conv2d_input_grad(dy.astype("float64"), wide[1], x_shape, **settings))
    np.testing.assert_array_equal(call(ops, "conv2d_weight_grad", dy, x, w_shape, **settings),
                                  reference.conv2d_weight_grad(dy.astype("float64"), wide[0], w_shape, **settings))


@st.composite
def transposed(draw):
    groups, outs, ins = draw(st.integers(1, 3)), draw(st.integers(1, 3)), draw(st.integers(1, 3))
    axes = []
    for _ in range(2):
        kernel, stride, size = draw(st.integers(1, 4)), draw(st.integers(1, 3)), draw(st.integers(1, 4))
        extra = draw(st.integers(0, stride - 1))
        most = min(2, ((size - 1) * stride + kernel + extra - 1) // 2)
        axes.append((size, kernel, stride, draw(st.integers(0, most)), extra))
    (H, KH, SH, PH, EH), (W, KW, SW, PW, EW) = axes
    return ((draw(st.integers(0, 2)), ins * groups, H, W), (ins * groups, outs, KH, KW),
            {"stride": (SH, SW), "pad": (PH, PW), "output_pad": (EH, EW), "groups": groups})


@given(case=transposed(), dtype=dtypes, layout=layouts, seed=seeds, biased=st.booleans())
def test_conv_transpose2d(ops, case, dtype, layout, seed, biased):
    x_shape, w_shape, settings = case
    x, weight = whole(seed, x_shape, dtype), whole(seed + 1, w_shape, dtype)
    bias = whole(seed + 2, (w_shape[1] * settings["groups"],), dtype) if biased else None
    y = call(ops, "conv_transpose2d", x, weight, bias, layout=layout, **settings)
    np.testing.assert_array_equal(y, definitions.conv_transpose2d(x, weight, bias, **settings))


@given(case=windows(), channels=st.integers(1, 3), dtype=dtypes, layout=layouts, seed=seeds)
def test_im2col_and_col2im(ops, case, channels, dtype, layout, seed):
    N, H, W, size, stride, pad = case
    x = normal(seed, (N, channels, H, W), dtype)
    cols = call(ops, "im2col", x, size, stride, pad, layout=layout)
    np.testing.assert_array_equal(cols, definitions.im2col(x, size, stride, pad))
    back = whole(seed, cols.shape, dtype)
    np.testing.assert_array_equal(call(ops, "col2im", back, x.shape, size, stride, pad, layout=layout),
                                  definitions.col2im(back, x.shape, size, stride, pad))


@given(shape=st.lists(st.integers(0, 6), min_size=2, max_size=4), dtype=dtypes, layout=layouts, seed=seeds)
def test_bias_grad(ops, shape, dtype, layout, seed):
    shape[1] += 1
    dy = normal(seed, shape, dtype)
    axes = (0, *range(2, dy.ndim))
    assert_close(call(ops, "bias_grad", dy, layout=layout), dy.astype("float64").sum(axes), abs(dy).sum(axes))


# ---- fully connected ------------------------------------------------------------------------------------------------

@given(sizes=st.tuples(st.integers(0, 20), st.integers(1, 40), st.integers(1, 40)), dtype=dtypes, layout=layouts,
       seed=seeds, biased=st.booleans(), relu=st.booleans())
def test_linear(ops, sizes, dtype, layout, seed, biased, relu):
    N, D, K = sizes
    for draw in (whole, normal):
        x, weight, dy = draw(seed, (N, D), dtype), draw(seed + 1, (K, D), dtype), draw(seed + 2, (N, K), dtype)
        bias = draw(seed + 3, (K,), dtype) if biased else None
        wide_x, wide_w, wide_dy = (a.astype("float64") for a in (x, weight, dy))
        expected = np.einsum("nd,kd->nk", wide_x, wide_w) + (0 if bias is None else bias.astype("float64"))
        expected = np.maximum(expected, 0) if relu else expected
        terms = np.einsum("nd,kd->nk", abs(wide_x), abs(wide_w)) + (0 if bias is None else abs(bias))
        assert_close(call(ops, "linear", x, weight, bias, relu=relu, layout=layout), expected, terms)
        assert_close(call(ops, "linear_input_grad", dy, weight, layout=layout), np.einsum("nk,kd->nd", wide_dy, wide_w),
                     np.einsum("nk,kd->nd", abs(wide_dy), abs(wide_w)))
        assert_close(call(ops, "linear_weight_grad", dy, x, layout=layout), np.einsum("nk,nd->kd", wide_dy, wide_x),
                     np.einsum("nk,nd->kd", abs(wide_dy), abs(wide_x)))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(("N", "D", "K"), [(1, 700, 150), (4, 257, 66), (5, 700, 150), (130, 300, 260), (33, 1, 1)])
def test_larger_linear_layers_are_exact(ops, N, D, K, dtype):
    x, weight, dy = whole(0, (N, D), dtype), whole(1, (K, D), dtype), whole(2, (N, K), dtype)
    wide_x, wide_w, wide_dy = (a.astype("float64") for a in (x, weight, dy))
    np.testing.assert_array_equal(call(ops, "linear", x, weight), wide_x @ wide_w.T)
    np.testing.assert_array_equal(call(ops, "linear_input_grad", dy, weight), wide_dy @ wide_w)
    np.testing.assert_array_equal(call(ops, "linear_weight_grad", dy, x), wide_dy.T @ wide_x)


# ---- pooling --------------------------------------------------------------------------------------------------------

def spoiled(x, seed):
    """Put NaN and both infinities into some places of x."""
    rng = np.random.default_rng(seed)
    for value in (np.nan, -np.inf, np.inf):
        x[rng.random(x.shape) < 0.15] = value
    return x


@given(case=windows(half_pad=True), ceil_mode=st.booleans(), dtype=dtypes, layout=layouts, seed=seeds,
       kind=st.sampled_from(["normal", "ties", "spoiled", "nothing but -inf"]))
def test_max_pool2d(ops, case, ceil_mode, dtype, layout, seed, kind):
    N, H, W, size, stride, pad = case
    x = normal(seed, (N, 2, H, W), dtype)
    if kind == "ties":
        x = whole(seed, x.shape, dtype, below=1)
    elif kind == "spoiled":
        x = spoiled(x, seed)
    elif kind == "nothing but -inf":
        x[...] = -np.inf
    y, switches = call(ops, "max_pool2d", x, size, stride, pad, ceil_mode, layout=layout)
    expected, places = definitions.max_pool2d(x, size, stride, pad, ceil_mode)
    np.testing.assert_array_equal(y, expected)
    np.testing.assert_array_equal(switches, places)
    assert switches.dtype == np.int32


@pytest.mark.parametrize("case", [((2, 2, 61, 58), 3, 2, 1), ((1, 1, 7, 640), (2, 5), (1, 1), (1, 2)),
                                  ((1, 2, 40, 97), 2, 3, 0), ((1, 1, 6, 1300), 3, (1, 2), 1),
                                  ((1, 1, 43, 33), 5, (2, 4), 2)])
@pytest.mark.parametrize("ceil_mode", [False, True])
def test_max_pool2d_of_large_maps(ops, case, ceil_mode):
    """More outputs than any block of a kernel, in one row or in many."""
    shape, *window = case
    x = spoiled(whole(0, shape, "float32", below=3), 1)
    y, switches = call(ops, "max_pool2d", x, *window, ceil_mode)
    expected, places = definitions.max_pool2d(x, *(w if isinstance(w, tuple) else (w, w) for w in window), ceil_mode)
    np.testing.assert_array_equal(y, expected)
    np.testing.assert_array_equal(switches, places)


def test_pooling_strides_by_its_window_unless_told(ops):
    x = normal(0, (1, 1, 6, 9), "float32")
    assert call(ops, "max_pool2d", x, (2, 3))[0].shape == (1, 1, 3, 3)
    assert call(ops, "avg_pool2d", x, (2, 3)).shape == (1, 1, 3, 3)
    assert call(ops, "avg_pool2d_grad", normal(1, (1, 1, 3, 3), "float32"), x.shape, (2, 3)).shape == x.shape


@given(case=windows(half_pad=True), ceil_mode=st.booleans(), dtype=dtypes, layout=layouts, seed=seeds, told=st.booleans())
def test_max_unpool2d(ops, case, ceil_mode, dtype, layout, seed, told):
    N, H, W, size, stride, pad = case
    _, places = definitions.max_pool2d(whole(seed, (N, 2, H, W), dtype), size, stride, pad, ceil_mode)
    switches, y = places.astype(np.int32), whole(seed + 1, places.shape, dtype)
    window = {"size": size, "stride": stride, "pad": pad} if told else {}
    x = call(ops, "max_unpool2d", y, switches, (N, 2, H, W), layout=layout, **window)
    np.testing.assert_array_equal(x, definitions.max_unpool2d(y, places, (N, 2, H, W)))


def test_max_unpool2d_adds_where_windows_overlap(ops):
    y = np.array([[[[1, 2], [3, 4]]]], "float32")
    switches = np.array([[[[4, 4], [4, 8]]]], np.int32)
    expected = np.array([[[[0, 0, 0], [0, 6, 0], [0, 0, 4]]]], "float32")
    np.testing.assert_array_equal(call(ops, "max_unpool2d", y, switches, (1, 1, 3, 3), 2, 1), expected)


@given(case=windows(half_pad=True), dtype=dtypes, layout=layouts, seed=seeds)
def test_avg_pool2d(ops, case, dtype, layout, seed):
    N, H, W, size, stride, pad = case
    x = normal(seed, (N, 3, H, W), dtype)
    y = call(ops, "avg_pool2d", x, size, stride, pad, layout=layout)
    assert_close(y, definitions.avg_pool2d(x, size, stride, pad), definitions.avg_pool2d(abs(x), size, stride, pad))
    dy = normal(seed + 1, y.shape, dtype)
    assert_close(call(ops, "avg_pool2d_grad", dy, x.shape, size, stride, pad, layout=layout),
                 definitions.avg_pool2d_grad(dy, x.shape, size, stride, pad),
                 definitions.avg_pool2d_grad(abs(dy), x.shape, size, stride, pad))


# ---- ReLU and contrast normalization --------------------------------------------------------------------------------

@given(shape=st.lists(st.integers(0, 5), min_size=1, max_size=4), dtype=dtypes, layout=layouts, seed=seeds)
def test_relu_keeps_nan_and_infinity(ops, shape, dtype, layout, seed):
    x = spoiled(normal(seed, shape, dtype), seed)
    expected = np.array([v if np.isnan(v) or v > 0 else 0 for v in x.reshape(-1)], dtype).reshape(shape)
    np.testing.assert_array_equal(call(ops, "relu", x, layout=layout), expected)


def test_relu_keeps_nan_when_fused(ops):
    x = np.array([[[[np.nan, -1.0, 2.0]]]], "float32")
    one = np.ones((1, 1, 1, 1), "float32")
    np.testing.assert_array_equal(call(ops, "conv2d", x, one, relu=True), [[[[np.nan, 0, 2]]]])
    for rows in (1, 9):
        y = call(ops, "linear", np.repeat([[np.nan], [-1.0], [2.0]], rows, axis=0).astype("float32"),
                 np.ones((1, 1), "float32"), relu=True)
        np.testing.assert_array_equal(y, np.repeat([[np.nan], [0], [2]], rows, axis=0))


@pytest.mark.parametrize("rule", RULES)
@given(shape=st.lists(st.integers(0, 5), min_size=1, max_size=4), dtype=dtypes, layout=layouts, seed=seeds)
def test_relu_backward(ops, rule, shape, dtype, layout, seed):
    x, r = whole(seed, shape, dtype, below=2), whole(seed + 1, shape, dtype, below=2)
    y = np.maximum(x, 0)
    np.testing.assert_array_equal(call(ops, "relu_backward", r, y, rule, layout=layout),
                                  definitions.relu_backward(r, x, rule))


@pytest.mark.parametrize(("rule", "expected"), [("gradient", [-1, 2]), ("deconvnet", [0, 2]), ("guided", [0, 2])])
def test_relu_backward_without_its_output(ops, rule, expected):
    """Where [x>0] is known to be applied already, what is left of a rule is [r>0], or nothing."""
    np.testing.assert_array_equal(call(ops, "relu_backward", np.array([-1.0, 2.0]), None, rule), expected)


@pytest.mark.parametrize("rule", ["gradient", "guided"])
def test_relu_backward_blocks_even_nan_where_the_unit_was_off(ops, rule):
    r, y = np.array([np.inf, np.nan, np.nan, 3.0]), np.array([0.0, 0.0, 1.0, 1.0])
    np.testing.assert_array_equal(call(ops, "relu_backward", r, y, rule), [0, 0, np.nan, 3])


NORMS = st.tuples(st.integers(1, 8), st.sampled_from([5e-4, 0.3]), st.sampled_from([0.75, 0.5, 1, 0.9]),
                  st.sampled_from([1.0, 2, 0.5]))


@given(shape=st.tuples(st.integers(0, 2), st.integers(1, 9), st.integers(1, 4), st.integers(1, 4)), constants=NORMS,
       dtype=dtypes, layout=layouts, seed=seeds)
def test_local_response_norm(ops, shape, constants, dtype, layout, seed):
    x, dy = 3 * normal(seed, shape, dtype), normal(seed + 1, shape, dtype)
    assert_close(call(ops, "local_response_norm", x, *constants, layout=layout),
                 definitions.local_response_norm(x, *constants))
    assert_close(call(ops, "local_response_norm_grad", dy, x, *constants, layout=layout),
                 definitions.local_response_norm_grad(dy, x, *constants))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_local_response_norm_of_large_maps(ops, dtype):
    """More pixels than any block of a kernel, at the paper's constants and inputs."""
    x, dy = 100 * normal(0, (2, 7, 33, 41), dtype), normal(1, (2, 7, 33, 41), dtype)
    assert_close(call(ops, "local_response_norm", x), definitions.local_response_norm(x))
    assert_close(call(ops, "local_response_norm_grad", dy, x), definitions.local_response_norm_grad(dy, x))


def test_numpy_scalars_as_constants_do_not_widen(ops):
    x, n = normal(0, (1, 3, 2, 2), "float32"), np.float64
    call(ops, "local_response_norm", x, 3, n(0.1), n(0.75), n(2))
    call(ops, "local_response_norm_grad", x, x, 3, n(0.1), n(0.75), n(2))


# ---- training -------------------------------------------------------------------------------------------------------

@given(shape=st.lists(st.integers(1, 6), min_size=1, max_size=4), dtype=dtypes, layout=layouts, seed=seeds,
       momentum=st.sampled_from([0, 0.9]), decay=st.sampled_from([0, 5e-4, 0.1]))
def test_sgd_update(ops, shape, dtype, layout, seed, momentum, decay):
    w, v, grad = (normal(seed + i, shape, dtype) for i in range(3))
    moved_w, moved_v, given_grad = (laid_out(a, layout, ops.xp) for a in (w, v, grad))
    assert ops.sgd_update(moved_w, moved_v, given_grad, np.float64(0.1), momentum, decay) is None
    expected_v = momentum * v.astype("float64") + grad + decay * w.astype("float64")
    assert_close(ops.to_numpy(moved_v), expected_v, 1 + abs(expected_v))
    assert_close(ops.to_numpy(moved_w), w - 0.1 * expected_v, 1 + abs(expected_v))
    np.testing.assert_array_equal(ops.to_numpy(given_grad), grad)


@given(shape=st.lists(st.integers(1, 6), min_size=2, max_size=4), dtype=dtypes, layout=layouts, seed=seeds)
def test_renormalize_filters(ops, shape, dtype, layout, seed):
    w = normal(seed, shape, dtype) * np.linspace(0, 1, shape[0]).reshape(-1, *[1] * (len(shape) - 1)).astype(dtype)
    moved = laid_out(w, layout, ops.xp)
    assert ops.renormalize_filters(moved, 0.4) is None
    expected = w.astype("float64")
    for one in expected:
        rms = np.sqrt((one ** 2).mean())
        one *= 0.4 / rms if rms > 0.4 else 1
    assert_close(ops.to_numpy(moved), expected)


def test_filters_within_the_radius_keep_their_bits(ops):
    w = np.full((2, 3, 2, 2), 0.1, "float32")
    w[1] = -0.25
    moved = ops.asarray(w.copy())
    ops.renormalize_filters(moved, 0.2)
    moved = ops.to_numpy(moved)
    np.testing.assert_array_equal(moved[0], w[0])
    np.testing.assert_allclose(moved[1], -0.2, rtol=1e-6)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_dropout_mask(ops, dtype):
    mask = ops.to_numpy(ops.dropout_mask((50, 40), 0.25, np.random.default_rng(3), np.dtype(dtype)))
    assert mask.dtype == dtype
    assert mask.shape == (50, 40)
    assert set(np.unique(mask)) == {0, np.dtype(dtype).type(1 / 0.75)}
    assert abs((mask == 0).mean() - 0.25) < 0.04                      # 4 standard deviations of 2000 draws
    again = ops.to_numpy(ops.dropout_mask((50, 40), 0.25, np.random.default_rng(3), np.dtype(dtype)))
    np.testing.assert_array_equal(again, mask)


def test_dropout_masks_are_the_same_draws_on_every_backend_of_the_processor(host_ops):
    mask = host_ops.dropout_mask((50, 40), 0.25, np.random.default_rng(3), "float32")
    np.testing.assert_array_equal(mask > 0, np.random.default_rng(3).random((50, 40), dtype=np.float32) >= 0.25)


# ---- arrays ---------------------------------------------------------------------------------------------------------

def test_arrays_go_to_the_backend_and_back(ops):
    a = np.arange(6, dtype="float32").reshape(2, 3)
    there = ops.asarray(a)
    assert type(there) is ops.xp.ndarray
    assert ops.asarray(there) is there
    assert ops.asarray(a, dtype="float64").dtype == np.float64
    back = ops.to_numpy(there)
    assert type(back) is np.ndarray
    np.testing.assert_array_equal(back, a)
    ops.synchronize()


def test_read_only_inputs_are_taken(ops):
    x, weight = normal(0, (1, 2, 5, 5), "float32"), normal(1, (3, 2, 3, 3), "float32")
    expected = ops.conv2d(ops.asarray(x), ops.asarray(weight))
    x.setflags(write=False)
    np.testing.assert_array_equal(ops.to_numpy(ops.conv2d(ops.asarray(x), ops.asarray(weight))), ops.to_numpy(expected))

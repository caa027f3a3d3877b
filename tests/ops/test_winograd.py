"""Winograd's tiles and the gradient from a pool's switches against the definitions, on every kind of shape they take."""

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from zfnumpy import get_ops
from zfnumpy.gradcheck import check_adjoint
from zfnumpy.ops import _numba_tiles as tiles
from zfnumpy.ops import winograd
from zfnumpy.shapes import conv_window

REFERENCE = get_ops("numpy")
CONV2 = ((2, 96, 55, 55), (256, 96, 5, 5), {"stride": 2})                # of ZFNet
CONV4 = ((5, 384, 13, 13), (384, 384, 3, 3), {"pad": 1})
MINI2 = ((9, 64, 16, 16), (128, 64, 5, 5), {"pad": 2})


@pytest.fixture
def ops():
    return get_ops("numba")


@pytest.fixture
def always(monkeypatch):
    """Take tiles wherever they are possible, whether they pay or not."""
    monkeypatch.setattr(winograd.Tiling, "pays", lambda self: True)
    winograd.tiling.cache_clear()
    yield
    winograd.tiling.cache_clear()


def normal(seed, shape, dtype="float64"):
    return np.random.default_rng(seed).standard_normal(shape).astype(dtype)


def error(actual, expected):
    """The largest difference relative to the largest value."""
    return np.abs(actual - expected).max() / np.abs(expected).max()


def results(ops, x, w, b, dy, settings):
    return {"conv2d": ops.conv2d(x, w, b, **settings, relu=True),
            "conv2d_input_grad": ops.conv2d_input_grad(dy, w, x.shape, **settings),
            "conv2d_weight_grad": ops.conv2d_weight_grad(dy, x, w.shape, **settings)}


@st.composite
def tileable_axes(draw):
    """Draw two axes (size, taps, stride, pad) along which a convolution can go by tiles."""
    axes = []
    for _ in range(2):
        taps, stride = draw(st.sampled_from([(3, 1), (4, 1), (5, 1), (6, 1), (5, 2), (6, 2)]))
        pad = draw(st.integers(0, 3))
        axes.append((draw(st.integers(max(1, taps - 2 * pad), 19)), taps, stride, pad))
    return axes


@st.composite
def convolutions(draw):
    """Draw (x shape, weight shape, settings) of convolutions that tiles can make: 3 to 6 taps, strides 1 and 2."""
    axes = draw(tileable_axes())
    if draw(st.booleans()):
        axes = [(max(axes[0][0], 3), 3, 1, draw(st.integers(0, 1)))] * 2      # the kinds whose images share a cell
    (H, KH, SH, PH), (W, KW, SW, PW) = axes
    groups, channels, filters = draw(st.sampled_from([1, 1, 2])), draw(st.integers(1, 40)), draw(st.integers(1, 40))
    return ((draw(st.integers(1, 9)), channels * groups, H, W), (filters * groups, channels, KH, KW),
            {"stride": (SH, SW), "pad": (PH, PW), "groups": groups})


@pytest.mark.usefixtures("always")
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_tiles_make_what_the_reference_makes(ops, dtype):
    limit = {"float32": 1e-5, "float64": 1e-12}[dtype]

    @given(case=convolutions(), seed=st.integers(0, 99))
    def check(case, seed):
        x_shape, w_shape, settings = case
        win = conv_window("test", x_shape, w_shape, settings["stride"], settings["pad"], settings["groups"])
        assume(winograd.possible(win))
        x, w, b = normal(seed, x_shape, dtype), normal(seed + 1, w_shape, dtype), normal(seed + 2, w_shape[0], dtype)
        dy = normal(seed + 3, (win.N, w_shape[0], win.OH, win.OW), dtype)
        expected = results(REFERENCE, *(a.astype("float64") for a in (x, w, b, dy)), settings)
        for name, result in results(ops, x, w, b, dy, settings).items():
            assert result.dtype == dtype
            if expected[name].any():
                assert error(result, expected[name]) < limit, name

    check()


@pytest.mark.parametrize(("x_shape", "w_shape", "settings"), [CONV2, CONV4, MINI2], ids=["conv2", "conv4", "5×5"])
def test_float32_errs_less_than_1e5_on_the_layers_of_zfnet(ops, x_shape, w_shape, settings):
    x, w = np.maximum(normal(0, x_shape), 0), normal(1, w_shape) * np.sqrt(2 / np.prod(w_shape[1:]))
    dy = normal(2, REFERENCE.conv2d(x, w, **settings).shape)
    expected = results(REFERENCE, x, w, None, dy, settings)
    win = conv_window("test", x_shape, w_shape, settings.get("stride", 1), settings.get("pad", 0), 1)
    assert winograd.tiling(win, w_shape[1], w_shape[0], 4) is not None
    for name, result in results(ops, *(a.astype("float32") for a in (x, w)), None, dy.astype("float32"), settings).items():
        assert error(result, expected[name]) < 1e-5, name


@pytest.mark.usefixtures("always")
def test_the_gradients_are_the_adjoints(ops):
    x_shape, w_shape, settings = (3, 4, 9, 8), (5, 4, 5, 3), {"stride": (2, 1), "pad": (2, 1)}
    x, w = normal(0, x_shape), normal(1, w_shape)
    y = ops.conv2d(x, w, **settings)
    dy = normal(2, y.shape)
    check_adjoint(lambda x: ops.conv2d(x, w, **settings),
                  lambda dy: ops.conv2d_input_grad(dy, w, x_shape, **settings), x, dy)
    check_adjoint(lambda w: ops.conv2d(x, w, **settings),
                  lambda dy: ops.conv2d_weight_grad(dy, x, w_shape, **settings), w, dy)


def test_six_points_make_four_outputs_of_three_taps():
    """Bᵀ, G and Aᵀ, put together from their factors, are a correlation: the identity that all rests on."""
    output = tiles._of_output @ tiles._pairs.T
    d, g = normal(0, 6), normal(1, 3)
    y = output @ ((tiles._pairs @ tiles._of_filter @ g) * (tiles._pairs @ tiles._of_input @ d))
    np.testing.assert_allclose(y, np.correlate(d, g, "valid"), rtol=1e-12)


def test_parts_are_the_taps_of_the_filter():
    for taps, stride in ((3, 1), (5, 1), (6, 1), (5, 2), (6, 2), (3, 2), (7, 2), (1, 1)):
        parts = winograd.axis_parts(taps, stride)
        assert sorted(o + stride * i for o, n in parts for i in range(n)) == list(range(taps))
        assert [n for _, n in parts] == sorted((n for _, n in parts), reverse=True)
    assert winograd.axis_parts(5, 2) == [(0, 3), (1, 2)]
    assert winograd.axis_parts(5, 1) == [(0, 3), (3, 2)]


def test_two_images_of_13_pixels_share_seven_tiles():
    plan = winograd.tiling(conv_window("test", (4, 384, 13, 13), (384, 384, 3, 3), 1, 1, 1), 384, 384, 4)
    assert (plan.rows.images, plan.rows.tiles) == (2, 7)
    assert plan.cells == 1
    plan = winograd.tiling(conv_window("test", (4, 96, 55, 55), (256, 96, 5, 5), 2, 0, 1), 96, 256, 4)
    assert int((plan.ks[:, 1] - plan.ks[:, 0]).sum()) == 121 * 96        # of 36 × 4 × 96: what is zero is left out


def test_images_that_share_a_cell_do_not_mix(ops):
    """The padding between two images is zero to both, whatever lies beyond it."""
    x, w = normal(0, (4, 64, 13, 13), "float32"), normal(1, (64, 64, 3, 3), "float32")
    alone = ops.conv2d(np.concatenate([x[:1], np.zeros_like(x[1:])]), w, pad=1)[0]
    assert error(ops.conv2d(x, w, pad=1)[0], alone) < 1e-5


# ---- the gradient from a pool's switches ----------------------------------------------------------------------------

@given(N=st.integers(0, 4), C=st.integers(1, 4), F=st.integers(1, 20), seed=st.integers(0, 99),
       taps=st.sampled_from([(7, 7), (3, 5), (1, 1), (11, 2)]), stride=st.integers(1, 4), pad=st.integers(0, 2),
       dtype=st.sampled_from(["float32", "float64"]), groups=st.sampled_from([1, 1, 2]))
def test_the_gradient_from_the_switches_is_that_of_the_unpooled_map(N, C, F, seed, taps, stride, pad, dtype, groups):
    settings = {"stride": stride, "pad": pad, "groups": groups}
    x, w_shape = normal(seed, (N, C * groups, 17, 19), dtype), (F * groups, C, *taps)
    y = REFERENCE.conv2d(x, np.zeros(w_shape, dtype), **settings) + normal(seed, ()).astype(dtype)
    y = (y + normal(seed + 1, y.shape, dtype)).astype(dtype)
    assume(min(y.shape[2:]) >= 2)
    pooled, switches = REFERENCE.max_pool2d(y, 2, 1)
    dy = np.where(pooled > 0, normal(seed + 2, pooled.shape, dtype), 0).astype(dtype)
    unpooled = REFERENCE.max_unpool2d(dy, switches, y.shape)
    expected = REFERENCE.conv2d_weight_grad(unpooled.astype("float64"), x.astype("float64"), w_shape, **settings)
    for ops in (get_ops("numba"), REFERENCE):
        dw = ops.conv2d_weight_grad_unpooled(dy, switches, x, w_shape, **settings)
        assert dw.shape == w_shape
        assert dw.dtype == dtype
        if expected.any():
            assert error(dw, expected) < {"float32": 1e-5, "float64": 1e-12}[dtype]


# ---- buffers --------------------------------------------------------------------------------------------------------

def test_memory_is_used_again_and_never_while_it_is_seen():
    from zfnumpy.ops.buffers import PATIENCE, Buffers

    buffers = Buffers()
    first = buffers.empty((300, 1000), np.float32)
    assert first.ctypes.data % 64 == 0
    place, view = first.ctypes.data, first[10:, ::2].T
    del first
    second = buffers.empty((300, 1000), np.float32)                      # a view still looks at the first
    assert second.ctypes.data != place
    assert not np.may_share_memory(second, view)
    del view
    third = buffers.empty((150, 1000), np.float64)
    assert third.ctypes.data == place
    total = buffers.total()
    del second, third
    for _ in range(PATIENCE + 1):
        buffers.empty(10 ** 5, np.float64)
    assert buffers.total() < total                                       # what nobody asks for goes back


def test_results_that_are_kept_stay_as_they_are(ops):
    x, w = normal(0, (4, 64, 28, 28), "float32"), normal(1, (64, 64, 3, 3), "float32")
    y = ops.conv2d(x, w, pad=1)
    before = y.copy()
    for _ in range(3):
        ops.relu(ops.conv2d(-x, w, pad=1))
    np.testing.assert_array_equal(y, before)

"""Winograd's tiles in CUDA: every kind of shape they take against the reference, which layers take them, and their bits."""

import itertools

import cuda_host
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from test_winograd import tileable_axes

from zfnumpy import get_ops
from zfnumpy.ops import _cupy_winograd as winograd
from zfnumpy.shapes import conv_window

REFERENCE = get_ops("numpy")
LIMITS = {"float32": 5e-6, "float64": 1e-12}               # of the largest value
SHAPES = {                                                 # x, weight, settings
    "no pad": ((2, 3, 9, 10), (5, 3, 3, 3), {}),
    "one image": ((1, 4, 13, 13), (3, 4, 3, 3), {"pad": 1}),
    "two images share": ((2, 4, 13, 13), (3, 4, 3, 3), {"pad": 1}),
    "five images share": ((5, 3, 13, 6), (4, 3, 3, 3), {"pad": 1}),
    "less than a tile": ((3, 2, 2, 3), (4, 2, 3, 3), {"pad": 1}),
    "wide pad": ((2, 3, 7, 5), (5, 3, 3, 3), {"pad": 2}),
    "5 taps": ((2, 4, 12, 13), (6, 4, 5, 5), {"pad": 2}),
    "5 taps, pad beyond": ((2, 3, 6, 9), (2, 3, 5, 5), {"pad": (4, 6)}),
    "stride 2": ((3, 4, 15, 16), (5, 4, 5, 5), {"stride": 2}),
    "stride 2, pad 1": ((3, 4, 13, 16), (5, 4, 5, 5), {"stride": 2, "pad": 1}),
    "stride 2, pad 2": ((2, 4, 12, 11), (5, 4, 5, 5), {"stride": 2, "pad": 2}),
    "one row, stride 2": ((2, 2, 1, 9), (3, 2, 5, 5), {"stride": 2, "pad": (2, 0)}),
    "4×3 taps": ((2, 3, 9, 8), (4, 3, 4, 3), {"pad": (1, 0)}),
    "each axis its own": ((2, 3, 10, 13), (4, 3, 5, 6), {"stride": (1, 2), "pad": (2, 1)}),
    "the other way": ((2, 3, 13, 10), (4, 3, 6, 5), {"stride": (2, 1), "pad": (3, 0)}),
    "groups": ((3, 6, 9, 9), (4, 3, 3, 3), {"pad": 1, "groups": 2}),
    "groups, stride 2": ((2, 4, 11, 12), (6, 2, 5, 5), {"stride": 2, "groups": 2}),
}
ZFNET = {                                                  # of 128 images
    "conv1": ((128, 3, 224, 224), (96, 3, 7, 7), {"stride": 2, "pad": 1}),
    "conv2": ((128, 96, 55, 55), (256, 96, 5, 5), {"stride": 2}),
    "conv3": ((128, 256, 13, 13), (384, 256, 3, 3), {"pad": 1}),
    "conv4": ((128, 384, 13, 13), (384, 384, 3, 3), {"pad": 1}),
    "conv5": ((128, 384, 13, 13), (256, 384, 3, 3), {"pad": 1}),
}


def normal(seed, shape, dtype="float64"):
    return np.random.default_rng(seed).standard_normal(shape).astype(dtype)


def inputs(shape, dtype):
    """Draw x, weight, bias and dy of a convolution."""
    x_shape, w_shape, settings = shape
    x, weight, bias = normal(0, x_shape, dtype), normal(1, w_shape, dtype), normal(2, w_shape[:1], dtype)
    return x, weight, bias, normal(3, REFERENCE.conv2d(x, weight, **settings).shape, dtype)


def results(ops, x, weight, bias, dy, settings):
    """Make everything a convolution makes, on the device and back."""
    x, weight, bias, dy = (ops.asarray(a) for a in (x, weight, bias, dy))
    made = {"forward": ops.conv2d(x, weight, **settings),
            "with bias and ReLU": ops.conv2d(x, weight, bias, **settings, relu=True),
            "input's gradient": ops.conv2d_input_grad(dy, weight, x.shape, **settings),
            "weight's gradient": ops.conv2d_weight_grad(dy, x, weight.shape, **settings)}
    return {name: ops.to_numpy(array) for name, array in made.items()}


def check(ops, shape, dtype):
    arrays = inputs(shape, dtype)
    expected = results(REFERENCE, *(a.astype("float64") for a in arrays), shape[2])
    for name, actual in results(ops, *arrays, shape[2]).items():
        assert actual.dtype == dtype
        assert np.abs(actual - expected[name]).max() <= LIMITS[dtype] * np.abs(expected[name]).max(), name


def plan(shape, backward=False, itemsize=4):
    x_shape, w_shape, settings = shape
    groups = settings.get("groups", 1)
    win = conv_window("test", x_shape, w_shape, settings.get("stride", 1), settings.get("pad", 0), groups)
    return winograd.tiling(win, w_shape[1], w_shape[0] // groups, itemsize, backward)


@pytest.fixture
def tiled(fake_cupy, monkeypatch):
    """The operations by tiles wherever these are possible, whether they pay or not."""
    ops = get_ops("cupy")
    monkeypatch.setattr(winograd.Tiling, "pays", lambda self, direct: True)
    monkeypatch.setattr(ops, "_tiling", lambda *_: pytest.fail("this convolution did not go by tiles"))
    winograd.tiling.cache_clear()
    yield ops
    winograd.tiling.cache_clear()


@pytest.mark.parametrize("dtype", LIMITS)
@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
def test_tiles_make_what_the_reference_makes(tiled, shape, dtype):
    check(tiled, shape, dtype)


@st.composite
def convolutions(draw):
    """Draw convolutions that tiles can make: 3 to 6 taps at stride 1, 5 and 6 at stride 2."""
    (H, KH, SH, PH), (W, KW, SW, PW) = draw(tileable_axes())
    groups, C, F = draw(st.sampled_from([1, 1, 2])), draw(st.integers(1, 5)), draw(st.integers(1, 5))
    return ((draw(st.integers(1, 5)), C * groups, H, W), (F * groups, C, KH, KW),
            {"stride": (SH, SW), "pad": (PH, PW), "groups": groups})


def test_tiles_make_it_for_any_shape(tiled):
    @given(convolutions())
    def any_shape(shape):
        check(tiled, shape, "float64")

    any_shape()


@pytest.mark.parametrize("name", ["five images share", "stride 2, pad 1", "groups"])
def test_work_is_cut_to_what_memory_may_be_used(tiled, monkeypatch, name):
    monkeypatch.setattr(winograd, "WORK", 1)
    shape = SHAPES[name][0][:2] + (29, 31), *SHAPES[name][1:]
    assert len(list(plan(shape).chunks())) > 1
    check(tiled, shape, "float32")


@pytest.mark.parametrize("relu", [False, True])
def test_nothing_hides_a_nan(tiled, relu):
    x, weight, bias, _ = inputs(SHAPES["stride 2"], "float32")
    x[1, 2, 7, 6] = np.nan
    expected = REFERENCE.conv2d(x, weight, bias, stride=2, relu=relu)
    actual = tiled.to_numpy(tiled.conv2d(*map(tiled.asarray, (x, weight, bias)), stride=2, relu=relu))
    assert np.isnan(expected[1]).any()
    assert np.isnan(actual)[np.isnan(expected)].all()                        # and some of the tiles around
    assert not np.isnan(actual[[0, 2]]).any()


@pytest.mark.parametrize("shape", [((2, 384, 13, 13), (64, 384, 3, 3), {"pad": 1}),
                                   ((1, 96, 29, 29), (64, 96, 5, 5), {"stride": 2})], ids=["conv4", "conv2"])
def test_float32_errs_as_little_where_sums_are_long(tiled, shape):
    check(tiled, shape, "float32")


@pytest.mark.parametrize("name", ["two images share", "stride 2", "5 taps"])
def test_the_order_of_threads_and_blocks_changes_no_bit(tiled, monkeypatch, name):
    arrays, found = inputs(SHAPES[name], "float32"), []
    for order in (1, 2, 3):
        monkeypatch.setattr(cuda_host.HostKernel, "order", order)
        found.append([array.tobytes() for array in results(tiled, *arrays, SHAPES[name][2]).values()])
    assert found[0] == found[1] == found[2]


def test_layers_of_zfnet_go_by_tiles_where_that_pays():
    for backward in (False, True):
        taken = {name for name, shape in ZFNET.items() if plan(shape, backward)}
        assert taken == {"conv2", "conv3", "conv4", "conv5"}
        assert not any(plan(shape, backward) for shape in SHAPES.values())
    x_shape, w_shape, settings = ZFNET["conv3"]
    assert plan(((1, *x_shape[1:]), w_shape, settings)) is None              # the filters alone take as long to transform
    assert plan(((128, 2, 64, 64), (64, 2, 3, 3), {"pad": 1})) is None       # 18 multiply-adds for each number of the output
    for maps, size, N in itertools.product((16, 64, 256, 1024), (4, 16, 64), (1, 8)):
        if N * size**2 * 9 * maps**2 < 10**7:                                # over before it pays
            assert plan(((N, maps, size, size), (maps, maps, 3, 3), {"pad": 1})) is None


def test_only_full_precision_goes_by_tiles(fake_cupy, monkeypatch):
    ops = get_ops("cupy")
    win = conv_window("test", *ZFNET["conv3"][:2], 1, 1, 1)
    assert ops._winograd_plan(win, 1, 384, np.dtype("float32"))
    monkeypatch.setattr(ops, "tf32", True)
    assert ops._winograd_plan(win, 1, 384, np.dtype("float32")) is None
    assert ops._winograd_plan(win, 1, 384, np.dtype("float64"))


@pytest.mark.parametrize("backward", [False, True])
def test_what_is_zero_is_not_multiplied(backward):
    assert plan(ZFNET["conv2"], backward).total == 128 * 7 * 7
    for pad in (0, 1, 2):
        conv2 = plan((*ZFNET["conv2"][:2], {"stride": 2, "pad": pad}), backward)
        assert conv2.products() == 121 * 96 * 256 * conv2.total              # of 144
        assert len(conv2.spans) == 4
    conv4 = plan(ZFNET["conv4"], backward)
    assert len(conv4.spans) == 1
    assert (conv4.images, conv4.total) == ((2, 2), 32 * 7 * 7)               # four images of 13 × 13 share 49 tiles, not 64


@pytest.mark.parametrize("backward", [False, True])
def test_work_stays_small(backward):
    for name in ("conv2", "conv3"):
        found = plan(ZFNET[name], backward)
        assert 36 * 4 * found.room * (found.K + found.rows) <= 1.02 * winograd.WORK
        assert sum(tiles for tiles, _ in found.chunks()) == found.total

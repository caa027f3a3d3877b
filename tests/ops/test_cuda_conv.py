"""The CUDA convolutions' own cases: every tile, sums cut into parts, tensor cores, and that no barrier is missing."""

import cuda_host
import numpy as np
import pytest

from zfnumpy import get_ops
from zfnumpy.ops._cupy_conv import TILES

SHAPES = {                                     # x, weight, settings: more rows and columns than a tile has, and fewer
    "past a tile": ((2, 9, 12, 13), (136, 9, 3, 3), {"pad": 1}),
    "stride": ((3, 5, 17, 14), (100, 5, 5, 4), {"stride": (2, 3), "pad": (1, 2)}),
    "groups": ((2, 12, 9, 8), (10, 6, 3, 2), {"groups": 2}),
    "rows of four": ((2, 6, 10, 10), (7, 6, 3, 3), {}),
    "stride beyond the window": ((2, 4, 11, 12), (6, 4, 2, 1), {"stride": 3}),
}
CUTS = [("full", name, "float64") for name in TILES["full"]]
CUTS += [(mode, name, "float32") for mode in TILES for name in TILES[mode]]


def to_tf32(array):
    """Round to 10 bits after the point, halves away from zero."""
    return ((array.view(np.uint32) + 0x1000) & ~np.uint32(0x1FFF)).view(np.float32)


def small_normal(seed, shape, dtype):
    """Draw numbers that TF32 holds exactly where they are float32, so that every tile has one right answer."""
    drawn = np.random.default_rng(seed).standard_normal(shape).astype(dtype)
    return to_tf32(drawn) if dtype == "float32" else drawn


@pytest.fixture
def cut(fake_cupy, monkeypatch):
    """Return a function that fixes the tile and the number of parts, and gives the operations."""
    def fix(mode, name, splits):
        ops = get_ops("cupy")
        monkeypatch.setattr(ops, "tf32", mode == "tf32")
        monkeypatch.setattr(ops, "_tiling", lambda *_: (name, splits))
        return ops

    return fix


@pytest.mark.parametrize("splits", [1, 3])
@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
@pytest.mark.parametrize(("mode", "name", "dtype"), CUTS)
def test_every_tile_equals_the_reference(cut, mode, name, dtype, shape, splits):
    ops, reference = cut(mode, name, splits), get_ops("numpy")
    x_shape, w_shape, settings = shape
    x, weight, bias = small_normal(0, x_shape, dtype), small_normal(1, w_shape, dtype), small_normal(2, w_shape[:1], dtype)
    x64, weight64, bias64 = (a.astype("float64") for a in (x, weight, bias))
    expected = reference.conv2d(x64, weight64, bias64, **settings, relu=True)
    dy = small_normal(3, expected.shape, dtype)
    dy64 = dy.astype("float64")
    x, weight, bias, dy = (ops.asarray(a) for a in (x, weight, bias, dy))
    pairs = [(ops.conv2d(x, weight, bias, **settings, relu=True), expected),
             (ops.conv2d_input_grad(dy, weight, x_shape, **settings),
              reference.conv2d_input_grad(dy64, weight64, x_shape, **settings)),
             (ops.conv2d_weight_grad(dy, x, w_shape, **settings),
              reference.conv2d_weight_grad(dy64, x64, w_shape, **settings))]
    allowed = 1e-12 if dtype == "float64" else 2e-6
    for actual, expected in pairs:
        assert np.abs(ops.to_numpy(actual) - expected).max() <= allowed * np.abs(expected).max()


def test_tensor_cores_round_their_operands_and_no_more(cut):
    ops = cut("tf32", "tf32_64", 2)
    rng = np.random.default_rng(0)
    x, weight = (rng.standard_normal(shape).astype("float32") for shape in ((2, 9, 12, 13), (20, 9, 3, 3)))
    y = ops.to_numpy(ops.conv2d(ops.asarray(x), ops.asarray(weight), pad=1))
    exact = get_ops("numpy").conv2d(x.astype("float64"), weight.astype("float64"), pad=1)
    rounded = get_ops("numpy").conv2d(to_tf32(x).astype("float64"), to_tf32(weight).astype("float64"), pad=1)
    assert np.abs(y - rounded).max() <= 2e-6 * np.abs(exact).max()
    assert 1e-5 <= np.abs(y - exact).max() / np.abs(exact).max() <= 2e-3


@pytest.mark.parametrize("mode", TILES)
def test_the_order_of_threads_and_blocks_changes_no_bit(cut, monkeypatch, mode):
    ops = cut(mode, list(TILES[mode])[-1], 3)
    x, weight = small_normal(0, (2, 9, 12, 13), "float32"), small_normal(1, (70, 9, 3, 3), "float32")
    found = []
    for order in (1, 2, 3):
        monkeypatch.setattr(cuda_host.HostKernel, "order", order)
        y = ops.conv2d(ops.asarray(x), ops.asarray(weight), pad=1)
        dw = ops.conv2d_weight_grad(y, ops.asarray(x), weight.shape, pad=1)
        dx = ops.conv2d_input_grad(y, ops.asarray(weight), x.shape, pad=1)
        found.append([ops.to_numpy(a).tobytes() for a in (y, dw, dx)])
    assert found[0] == found[1] == found[2]


def test_products_are_cut_so_that_all_multiprocessors_have_work(fake_cupy):
    ops = get_ops("cupy")
    ops.multiprocessors = 132
    assert ops._tiling("full", 384, 128 * 169, 1, 2304) == ("128", 1)              # conv3, 128 images
    assert ops._tiling("full", 96, 128 * 110 * 110, 1, 147) == ("96", 1)           # conv1: no row of its tiles is idle
    assert ops._tiling("full", 384, 2304, 1, 128 * 169) == ("128", 4)              # its weights: few tiles, a long sum
    assert ops._tiling("full", 256, 169, 1, 3456) == ("128", 54)                   # conv5, one image
    assert ops._tiling("full", 64, 169, 1, 200) == ("64", 3)                       # small all round
    assert ops._tiling("full", 2, 2, 1, 5) == ("64", 1)                            # too short to cut

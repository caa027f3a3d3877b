"""The CUDA kernels but the convolutions': what the suite for every backend does not see. They run on the processor here.

Every kernel against the reference, on arrays whose margins are looked at and with threads in several orders; sums of more
than one block; random numbers against their published values; switches of every kind.
"""

import fake_cupy as cp
import numpy as np
import pytest
from cuda_host import HostKernel, HostModule
from test_backends import normal, whole

import zfnumpy as zf
from zfnumpy import get_ops
from zfnumpy.errors import ShapeError
from zfnumpy.layers import Conv2d, Flatten, Linear, MaxPool2d, ReLU
from zfnumpy.ops import _cuda, _cupy_pointwise
from zfnumpy.ops.cupy_ops import CupyOps
from zfnumpy.shapes import Windows

dtypes = pytest.mark.parametrize("dtype", ["float32", "float64"])
NUMPY = get_ops("numpy")


@pytest.fixture(params=[12345, 7, 1000])
def order(request, monkeypatch):
    """Threads and blocks take their turns in another order."""
    monkeypatch.setattr(HostKernel, "order", request.param)


def on_device(value):
    return cp.asarray(value) if isinstance(value, np.ndarray) else value


def probe(file, kernel, *args, dtype="float32"):
    """Run one thread of a kernel made for a test, written behind the sources of `file`."""
    name = kernel.partition("(")[0].split()[-1]
    module = HostModule(f'{_cuda.source(file)}\nextern "C" __global__ {kernel}\n', _cuda.options(dtype))
    module.get_function(name)((1,), (1,), args)


# ---- every kernel against the reference -----------------------------------------------------------------------------

X, POOLING = (3, 5, 11, 9), (3, 2, 1)


def cases(dtype):
    """Return {case: (operation, its arguments)} on odd sizes: no kernel has as many numbers as its threads."""
    x, y = normal(0, X, dtype), normal(1, X, dtype)
    pooled, switches = NUMPY.max_pool2d(x, *POOLING)
    deep, two = 3 * normal(2, (2, 70, 5, 7), dtype), normal(3, (2, 70, 5, 7), dtype)
    above = Windows(np.array([2, 0, 1, 2]), np.array([[-1, 2], [0, 0], [4, 3], [9, -7]]), (3, 2), switches.shape[2:])
    below = above.under((3, 3), (2, 2), (1, 1), X[2:])
    lower = below.under((3, 3), (2, 2), (1, 1), (21, 17))
    r, weight = normal(4, (4, 5, 3, 2), dtype), normal(5, (5, 4, 3, 3), dtype)
    return {
        "im2col": ("im2col", x, (3, 2), (2, 1), (1, 0)),
        "col2im": ("col2im", normal(6, (3, 30, 25), dtype), X, (3, 2), (2, 2), (0, 1)),
        "max pool": ("max_pool2d", x, *POOLING), "ceil mode": ("max_pool2d", x, 3, 3, 0, True),
        "max unpool": ("max_unpool2d", pooled, switches, X, *POOLING),
        "max unpool by planes": ("max_unpool2d", pooled, switches, X),
        "avg pool": ("avg_pool2d", x, (2, 3), (3, 2), 1), "avg pool grad": ("avg_pool2d_grad", pooled, X, *POOLING),
        "relu": ("relu", x), "gradient": ("relu_backward", x, y), "deconvnet": ("relu_backward", x, y, "deconvnet"),
        "guided": ("relu_backward", x, y, "guided"), "without y": ("relu_backward", x, None, "guided"),
        "bias": ("bias_grad", x), "bias in parts": ("bias_grad", normal(7, (4, 3, 31, 47), dtype)),
        "bias of rows": ("bias_grad", normal(8, (300, 5), dtype)),
        **{f"norm of {size}": ("local_response_norm", deep, size, 0.1, beta)
           for size, beta in [(5, 0.75), (4, 0.6), (200, 1)]},
        **{f"norm grad of {size}": ("local_response_norm_grad", two, deep, size, 0.1, beta)
           for size, beta in [(5, 0.75), (8, 0.75), (1, 0.75), (4, 0.6), (9, 0.75), (200, 0.75)]},
        "cut": ("cut_windows", x, below), "unpool windows": ("unpool_windows", r, switches, above, below),
        "narrower": ("unpool_windows", r, switches, above, below._replace(size=(2, 3), corners=below.corners + 1)),
        "transpose windows": ("transpose_windows", normal(9, (4, 5, *below.size), dtype), weight, below, lower, 2, 1),
        "rectified": ("transpose_windows", r, weight, below, lower, 2, 1, 1, True, (switches, above, None)),
        "told": ("unpool_windows", r, switches, above, below, ((3, 3), (2, 2), (1, 1))),
    }


@dtypes
@pytest.mark.parametrize("case", cases("float32"))
def test_kernels_equal_the_reference_and_keep_within_their_arrays(device_ops, order, case, dtype):
    name, *args = cases(dtype)[case]
    wide = [a.astype("float64") if isinstance(a, np.ndarray) and a.dtype.kind == "f" else a for a in args]
    sent = [(on_device(a[0]), *a[1:]) if type(a) is tuple and isinstance(a[0], np.ndarray) else on_device(a) for a in args]
    found, expected = getattr(device_ops, name)(*sent), getattr(NUMPY, name)(*wide)
    for one, other in zip(*((each if isinstance(each, tuple) else (each,)) for each in (found, expected))):
        cp.check_margins(one)
        one = cp.asnumpy(one)
        assert one.dtype == (dtype if one.dtype.kind == "f" else np.int32)
        tolerance = 1e-5 if dtype == "float32" else 1e-13
        np.testing.assert_allclose(one, other, rtol=tolerance, atol=tolerance * max(1, abs(other).max()))


@dtypes
def test_updates_keep_within_their_arrays(device_ops, order, dtype):
    w, v, grad = (normal(seed, (7, 5, 11), dtype) for seed in range(3))
    w[:3] *= 0.01
    moved = [cp.asarray(a) for a in (w, v, grad)]
    device_ops.sgd_update(*moved, 0.1, 0.9, 0.01)
    NUMPY.sgd_update(w, v, grad, 0.1, 0.9, 0.01)
    device_ops.renormalize_filters(moved[0], 0.3)
    NUMPY.renormalize_filters(w, 0.3)
    cp.check_margins(*moved)
    for one, other in zip(moved, (w, v, grad)):
        np.testing.assert_allclose(cp.asnumpy(one), other, rtol=1e-5, atol=1e-6)


def test_a_batch_of_none_launches_nothing(device_ops, monkeypatch):
    monkeypatch.setattr(device_ops, "_launch", None)
    x, y, none = cp.zeros((0, 3, 6, 6), "float32"), cp.zeros((0, 3, 3, 3), "float32"), np.zeros(0, np.int64)
    switches = cp.zeros((0, 3, 3, 3), "int32")
    above, below = (Windows(none, np.zeros((0, 2), np.int64), size, size) for size in ((3, 3), (6, 6)))
    assert device_ops.im2col(x, 2, 2).shape == (0, 12, 9)
    assert device_ops.col2im(cp.zeros((0, 12, 9), "float32"), x.shape, 2, 2).shape == x.shape
    assert [a.shape for a in device_ops.max_pool2d(x, 2)] == [y.shape, y.shape]
    for window in ((2,), ()):
        assert device_ops.max_unpool2d(y, switches, x.shape, *window).shape == x.shape
    assert device_ops.avg_pool2d(x, 2).shape == y.shape
    assert device_ops.avg_pool2d_grad(y, x.shape, 2).shape == x.shape
    assert device_ops.relu_backward(device_ops.relu(x), x).shape == x.shape
    assert device_ops.local_response_norm_grad(device_ops.local_response_norm(x), x).shape == x.shape
    np.testing.assert_array_equal(cp.asnumpy(device_ops.bias_grad(x)), np.zeros(3, "float32"))
    assert device_ops.dropout_mask((0, 4), 0.5, np.random.default_rng(0), "float32").shape == (0, 4)
    device_ops.sgd_update(x, x.copy(), x.copy(), 0.1)
    device_ops.renormalize_filters(x)
    assert device_ops.cut_windows(x, below).shape == (0, 3, 6, 6)
    assert device_ops.unpool_windows(y, switches, above, below).shape == (0, 3, 6, 6)
    weight = cp.zeros((3, 2, 2, 2), "float32")
    assert device_ops.transpose_windows(y, weight, above, below, 2).shape == (0, 2, 6, 6)


def test_no_family_of_operations_hides_a_helper_of_another():
    seen = {}
    for family in CupyOps.__mro__[1:CupyOps.__mro__.index(_cuda.Launcher)]:
        for name in vars(family):
            assert name.startswith("__") or seen.setdefault(name, family) is family, f"{family}.{name} is {seen[name]}'s too"


def test_what_kernels_and_python_must_agree_on():
    text = _cuda.source("pointwise")
    assert f"#define THREADS {_cuda.THREADS} " in text
    assert f"#define RING {_cupy_pointwise.RING} " in text


@pytest.mark.parametrize("i", [0, 41, 42, 2**31 - 1, 2**32 - 1, 2**32, 2**33 + 12345, 2**50 + 1])
def test_places_beyond_32_bits(i):
    at, found = cp.asarray(np.array([i])), cp.zeros(3, "int64")
    probe("pool", "void where(const long long *at, int H, int W, long long *found) {"
          "Pixel p = pixel_of(at[0], H, W); found[0] = p.plane; found[1] = p.row; found[2] = p.col; }",
          at, np.int32(6), np.int32(7), found)
    assert tuple(cp.asnumpy(found)) == (i // 42, i % 42 // 7, i % 7)


# ---- sums and bias --------------------------------------------------------------------------------------------------

@dtypes
@pytest.mark.parametrize("shape", [(40, 3, 35, 3), (5, 2, 4099), (9000, 2), (2, 2, 256, 16), (1, 1, 4096), (1, 1, 4097),
                                   (700, 3, 7)])
def test_bias_gradients_of_many_blocks_are_exact(device_ops, order, shape, dtype):
    dy = whole(0, shape, dtype)
    db = device_ops.bias_grad(cp.asarray(dy))
    cp.check_margins(db)
    np.testing.assert_array_equal(cp.asnumpy(db), dy.sum((0, *range(2, dy.ndim))))


def test_blocks_that_share_a_filter_are_no_more_than_promised(device_ops, monkeypatch):
    monkeypatch.setattr(_cupy_pointwise, "NUMBERS", 8)
    monkeypatch.setattr(_cupy_pointwise, "PARTS", 5)
    for pixels in (8, 9, 39, 40, 41, 100):
        dy = whole(0, (1, 2, pixels), "float32")
        np.testing.assert_array_equal(cp.asnumpy(device_ops.bias_grad(cp.asarray(dy))), dy.sum((0, 2)))


@dtypes
@pytest.mark.parametrize("shape", [(2, 5, 3, 7), (300, 4)])
def test_bias_and_relu_in_place(device_ops, shape, dtype):
    y, bias = normal(0, shape, dtype), normal(1, shape[1:2], dtype)
    y.flat[5] = np.nan
    spread = bias.reshape(-1, *[1] * (len(shape) - 2))
    for given, relu, expected in ((bias, False, y + spread), (bias, True, np.maximum(y + spread, 0)),
                                  (None, True, np.maximum(y, 0)), (None, False, y)):
        there = cp.asarray(y)
        found = device_ops._bias_relu(there, None if given is None else cp.asarray(given), relu)
        assert found is there
        cp.check_margins(there)
        np.testing.assert_array_equal(cp.asnumpy(there), expected)


def test_threads_and_blocks_in_another_order_give_the_same_bits(device_ops, monkeypatch):
    dy, w = normal(0, (9, 3, 31, 41), "float32"), normal(1, (4, 3, 11, 11), "float32")
    found = []
    for each in (1, 2, 3):
        monkeypatch.setattr(HostKernel, "order", each)
        moved = cp.asarray(w)
        device_ops.renormalize_filters(moved, 0.1)
        found.append((cp.asnumpy(device_ops.bias_grad(cp.asarray(dy))), cp.asnumpy(moved)))
    for again in found[1:]:
        np.testing.assert_array_equal(again[0], found[0][0])
        np.testing.assert_array_equal(again[1], found[0][1])


def test_nothing_passes_where_the_unit_is_not_a_number(device_ops):
    r, y = np.array([1.0, 2.0]), np.array([np.nan, 1.0])
    for rule in ("gradient", "guided"):
        np.testing.assert_array_equal(cp.asnumpy(device_ops.relu_backward(cp.asarray(r), cp.asarray(y), rule)), [0, 2])
        np.testing.assert_array_equal(NUMPY.relu_backward(r, y, rule), [0, 2])


# ---- switches -------------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("window", [(3, 2, 1), ()])
@pytest.mark.parametrize("kind", ["int16", "int32", "int64"])
def test_switches_of_every_width(device_ops, window, kind):
    pooled, switches = NUMPY.max_pool2d(normal(0, X, "float32"), 3, 2, 1)
    y = cp.asarray(pooled)
    x = device_ops.max_unpool2d(y, cp.asarray(switches.astype(kind)), X, *window)
    np.testing.assert_array_equal(cp.asnumpy(x), NUMPY.max_unpool2d(pooled, switches, X))
    for wrong in (-1, 99, *((2**32, 2**32 + 3, -2**32) if kind == "int64" else ())):
        spoiled = switches.astype(kind)
        spoiled[2, 4, -1, -1] = wrong
        with pytest.raises(ShapeError, match=r"max_unpool2d: switches run from -?[0-9]+ to [0-9]+, outside a plane of 11×9"):
            device_ops.max_unpool2d(y, cp.asarray(spoiled), X, *window)


def test_a_pools_own_switches_are_not_looked_through(device_ops, monkeypatch):
    """The host would wait for the device; it must where the switches come from elsewhere, or the plane is another."""
    launched, launch = [], device_ops._launch

    def noted(file, name, *args, **more):
        launched.append(name)
        launch(file, name, *args, **more)

    y, switches = device_ops.max_pool2d(cp.asarray(normal(0, X, "float32")), *POOLING)
    monkeypatch.setattr(device_ops, "_launch", noted)
    for given, shape, window, looked in ((switches, X, POOLING, False), (switches.copy(), X, POOLING, True),
                                         (switches, (3, 5, 11, 10), POOLING, True), (switches, X, (), True)):
        launched.clear()
        device_ops.max_unpool2d(y, given, shape, *window)
        assert ("find_outside" in launched) == looked
    with pytest.raises(ShapeError, match="outside a plane of 5×5"):
        device_ops.max_unpool2d(y, switches, (3, 5, 5, 5), *POOLING)


def test_a_window_past_the_edge_gives_its_value_back(device_ops):
    x = normal(0, (2, 3, 8, 10), "float32")
    for window in ((3, 2, 0), (2, 3, 1), ((4, 3), (3, 2), (2, 1))):
        y, switches = NUMPY.max_pool2d(x, *window, ceil_mode=True)
        found = device_ops.max_unpool2d(cp.asarray(y), cp.asarray(switches), x.shape, *window)
        np.testing.assert_array_equal(cp.asnumpy(found), NUMPY.max_unpool2d(y, switches, x.shape))


def test_values_add_in_row_major_order(device_ops):
    """1 + 1e8 - 1e8 + 2 is 2 in float32, and something else in most other orders."""
    y, switches = np.array([[[[1, 1e8], [-1e8, 2]]]], "float32"), np.full((1, 1, 2, 2), 4, np.int32)
    at = Windows(np.array([0]), np.array([[0, 0]]), (2, 2), (2, 2))
    below = Windows(np.array([0]), np.array([[0, 0]]), (3, 3), (3, 3))
    for found in (device_ops.max_unpool2d(cp.asarray(y), cp.asarray(switches), (1, 1, 3, 3), 2, 1),
                  device_ops.max_unpool2d(cp.asarray(y), cp.asarray(switches), (1, 1, 3, 3)),
                  device_ops.unpool_windows(cp.asarray(y), cp.asarray(switches), at, below)):
        np.testing.assert_array_equal(cp.asnumpy(found).ravel(), [0, 0, 0, 0, 2, 0, 0, 0, 0])


def test_windows_pass_over_switches_of_other_maps(device_ops):
    r, weight = cp.ones((4, 5, 2, 2), "float32"), cp.ones((5, 3, 3, 3), "float32")
    corners = np.array([[-1, -1], [-1, -1], [4, 4], [4, 4]])                # they leave the map, where -1 and 40 would lie
    above = Windows(np.zeros(4, np.int64), corners, (3, 3), (6, 6))
    pooled = Windows(np.zeros(4, np.int64), np.zeros((4, 2), np.int64), (2, 2), (3, 3))
    for wrong in (-1, -7, 36, 40, 10**9, 2**32, -2**32 + 1):
        switches = cp.asarray(np.full((2, 5, 3, 3), wrong, np.int32 if abs(wrong) < 2**31 else np.int64))
        found = device_ops.unpool_windows(r, switches, pooled, above)
        cp.check_margins(found)
        assert not cp.asnumpy(found).any()
        below = Windows(pooled.images, np.zeros((4, 2), np.int64), (8, 8), (8, 8))
        assert not cp.asnumpy(device_ops.transpose_windows(r, weight, above, below, unpool=(switches, pooled, None))).any()


def test_what_a_window_holds_outside_of_its_map_does_not_count(device_ops):
    """Nor does it where the switches beside the map, in memory, name the same pixel."""
    switches = np.full((3, 2, 2, 2), 4, np.int32)
    corners = np.array([(0, 0), (-1, 0), (1, 0), (0, -1), (0, 1), (-1, -1), (1, 1), (2, 0), (0, -2)])
    above = Windows(np.ones(9, np.int64), corners, (2, 2), (2, 2))
    below = above._replace(corners=np.zeros((9, 2), np.int64), size=(3, 3), plane=(3, 3))
    r = 10.0 ** np.arange(8).reshape(1, 2, 2, 2) * np.ones((9, 1, 1, 1))
    found = device_ops.unpool_windows(cp.asarray(r), cp.asarray(switches), above, below)
    np.testing.assert_array_equal(cp.asnumpy(found), NUMPY.unpool_windows(r, switches, above, below))
    assert cp.asnumpy(found)[:, 0, 1, 1].tolist() == [1111, 1100, 11, 1010, 101, 1000, 1, 0, 0]


def test_rectifying_keeps_nan_and_comes_after_the_sum(device_ops):
    """Two values under one switch: 3 - 5 leaves nothing, 5 - 3 leaves 2, NaN stays."""
    r = np.array([[[[3.0, -5.0]]], [[[5.0, -3.0]]], [[[np.nan, 1.0]]]], "float32")
    switches, images = np.array([[[[1, 1]]]], np.int32), np.zeros(3, np.int64)
    pooled, above = (Windows(images, np.zeros((3, 2), np.int64), size, size) for size in ((1, 2), (1, 3)))
    found = device_ops.transpose_windows(cp.asarray(r), cp.ones((1, 1, 1, 1), "float32"), above, above, rectify=True,
                                         unpool=(cp.asarray(switches), pooled, None))
    np.testing.assert_array_equal(cp.asnumpy(found)[:, 0, 0], [[0, 0, 0], [0, 2, 0], [0, np.nan, 0]])


# ---- the gradient of a first layer below a pool ---------------------------------------------------------------------

@dtypes
def test_the_gradient_from_the_switches_is_the_same_where_the_window_is_told(ops, dtype):
    x, dy = whole(0, (2, 3, 12, 10), dtype), whole(1, (2, 6, 3, 2), dtype)
    _, switches = NUMPY.max_pool2d(normal(2, (2, 6, 6, 5), dtype), (3, 2), (2, 3), (1, 0))
    given = [ops.asarray(a) for a in (dy, switches, x)]
    settings = {"stride": 2, "pad": (1, 1)}
    expected = NUMPY.conv2d_weight_grad_unpooled(dy, switches, x, (6, 3, 3, 3), **settings)
    for window in ({}, {"size": (3, 2), "pool_stride": (2, 3), "pool_pad": (1, 0)}):
        dw = ops.conv2d_weight_grad_unpooled(*given, (6, 3, 3, 3), **settings, **window)
        np.testing.assert_array_equal(ops.to_numpy(dw), expected)


def test_a_network_tells_the_window():
    net = zf.Network([("conv1", Conv2d(4, 3)), ("relu1", ReLU()), ("pool1", MaxPool2d(3, 2, 1)), ("flat", Flatten()),
                      ("fc", Linear(3))], (2, 9, 9), get_ops("numpy"), seed=0)
    _, tape = net.forward(normal(0, (2, 2, 9, 9), "float32"))
    seen, plain = [], net.ops._max_unpool2d
    net.ops._max_unpool2d = lambda y, switches, shape, *window: seen.append(window) or plain(y, switches, shape, *window)
    net.backward(normal(1, (2, 3), "float32"), tape)
    assert seen == [((3, 3), (2, 2), (1, 1))]


# ---- random numbers -------------------------------------------------------------------------------------------------

def philox(counter, key):
    """Philox 4x32-10 by its definition (Salmon et al. 2011, sec. 3.3): ten rounds of two products, keys bumped between."""
    words, keys = list(counter), list(key)
    for step in range(10):
        if step:
            keys = [(k + weyl) % 2**32 for k, weyl in zip(keys, (0x9E3779B9, 0xBB67AE85))]
        (high0, low0), (high1, low1) = (divmod(m * w, 2**32) for m, w in ((0xD2511F53, words[0]), (0xCD9E8D57, words[2])))
        words = [high1 ^ words[1] ^ keys[0], low1, high0 ^ words[3] ^ keys[1], low0]
    return words


# Counter, key and result, as the authors' own library (Random123) publishes them for tests.
KNOWN = {
    "zeros": ((0,) * 4, (0,) * 2, (0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8)),
    "ones": ((2**32 - 1,) * 4, (2**32 - 1,) * 2, (0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD)),
    "pi": ((0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344), (0xA4093822, 0x299F31D0),
           (0xD16CFE09, 0x94FDCCEB, 0x5001E420, 0x24126EA1)),
}


@pytest.mark.parametrize("case", KNOWN)
def test_philox_gives_the_published_words(case):
    counter, key, expected = KNOWN[case]
    assert tuple(philox(counter, key)) == expected
    words = cp.asarray(np.array(counter, np.uint32))
    probe("pointwise", "void words_of(unsigned *words, unsigned low, unsigned high) { philox(words, low, high); }",
          words, *(np.uint32(k) for k in key))
    assert tuple(cp.asnumpy(words)) == expected


@dtypes
def test_a_dropout_mask_is_philox_of_a_key_from_the_generator(device_ops, order, dtype):
    mask = device_ops.dropout_mask((3, 7), 0.4, np.random.default_rng(5), dtype)
    cp.check_margins(mask)
    key = int(np.random.default_rng(5).integers(2**64, dtype=np.uint64))
    words = [word for q in range(6) for word in philox((q, 0, 0, 0), (key % 2**32, key >> 32))][:21]
    kept = np.array(words).reshape(3, 7) >= 0.4 * 2**32
    np.testing.assert_array_equal(cp.asnumpy(mask), np.where(kept, np.dtype(dtype).type(1 / 0.6), 0))


@pytest.mark.parametrize("p", [0, 0.1, 0.5, 0.9])
def test_as_many_numbers_are_dropped_as_told(device_ops, p):
    """Within 5 standard deviations, of all numbers and of the pairs of neighbours."""
    dropped = cp.asnumpy(device_ops.dropout_mask((200, 400), p, np.random.default_rng(1), "float32")).ravel() == 0
    assert abs(dropped.mean() - p) <= 5 * np.sqrt(p * (1 - p) / dropped.size)
    both = (dropped[::2] & dropped[1::2]).mean()
    assert abs(both - p * p) <= 5 * np.sqrt(p * p * (1 - p * p) / (dropped.size / 2))


def test_each_mask_is_drawn_anew(device_ops):
    rng = np.random.default_rng(0)
    masks = [cp.asnumpy(device_ops.dropout_mask((40, 5), 0.5, rng, "float32")) for _ in range(2)]
    assert 60 < (masks[0] != masks[1]).sum() < 140
    rng = np.random.default_rng(0)
    np.testing.assert_array_equal(cp.asnumpy(device_ops.dropout_mask((40, 5), 0.5, rng, "float32")), masks[0])
    almost_all = device_ops.dropout_mask((100,), 1 - 1e-12, rng, "float64")          # a threshold past the last word
    assert (cp.asnumpy(almost_all) == 0).all()


@pytest.mark.parametrize("value", [2**31, -2**31])
def test_a_number_too_large_for_a_kernel_is_refused(device_ops, value):
    with pytest.raises(OverflowError, match=f"{value} does not fit into the 32 bits"):
        device_ops._launch("pointwise", "relu", 1, 1, value, dtype="float32")

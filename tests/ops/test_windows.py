"""Windows of maps: each operation is the dense one, cut to the windows; whatever leaves a map counts as zero."""

import itertools

import definitions
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from test_backends import assert_close, call, convolutions, dtypes, layouts, normal, seeds, whole

from zfnumpy.errors import ShapeError
from zfnumpy.gradcheck import check_adjoint
from zfnumpy.shapes import Windows, pool_output_size


def cut(maps, windows):
    """Cut windows out of maps (P, C, H, W), pixel by pixel."""
    P, (h, w) = len(windows.images), windows.size
    out = np.zeros((P, maps.shape[1], h, w))
    for p, i, j in itertools.product(range(P), range(h), range(w)):
        row, col = windows.corners[p] + (i, j)
        if 0 <= row < windows.plane[0] and 0 <= col < windows.plane[1]:
            out[p, :, i, j] = maps[p, :, row, col]
    return out


def laid(values, windows):
    """Lay windows (P, C, h, w) into maps of zeros (P, C, H, W), pixel by pixel: the adjoint of `cut`."""
    P, C, h, w = values.shape
    maps = np.zeros((P, C, *windows.plane))
    for p, i, j in itertools.product(range(P), range(h), range(w)):
        row, col = windows.corners[p] + (i, j)
        if 0 <= row < windows.plane[0] and 0 <= col < windows.plane[1]:
            maps[p, :, row, col] = values[p, :, i, j]
    return maps


def some_windows(seed, P, N, plane):
    """Windows of some size up to 5 whose corners lie anywhere near the map, outside of it too."""
    rng = np.random.default_rng(seed)
    size = tuple(int(n) for n in rng.integers(1, np.minimum(5, plane) + 1))
    corners = np.stack([rng.integers(-n - 1, m + 2, P) for n, m in zip(size, plane)], axis=1)
    return Windows(rng.integers(0, N, P), corners, size, tuple(plane))


def switched(seed, N, C, plane, pad=1):
    """Return switches of a pooling of random maps of a plane, and its window (size, stride, pad): 3×3 at stride 2."""
    _, switches = definitions.max_pool2d(normal(seed, (N, C, *plane), "float32"), 3, 2, pad)
    return switches.astype(np.int32), ((3, 3), (2, 2), (pad, pad))


# ---- what windows there are -----------------------------------------------------------------------------------------

@pytest.mark.parametrize(("size", "corner", "expected_size", "expected_corner"), [
    ((1, 1), (2, 0), (3, 2), (3, -1)), ((2, 3), (-1, 4), (5, 4), (-3, 3)), ((9, 1), (0, 1), (19, 2), (-1, 0)),
    ((10, 1), (3, 1), (20, 2), (0, 0)), ((1, 30), (3, -5), (3, 30), (5, 0)),
])
def test_what_a_window_reads(size, corner, expected_size, expected_corner):
    """3 × 2 at stride 2 × 1 and pad 1 × 1 over 20 × 30 pixels; as long as the map means the whole map."""
    windows = Windows(np.array([7]), np.array([corner]), size, (10, 31))
    below = windows.under((3, 2), (2, 1), (1, 1), (20, 30))
    assert (below.size, below.plane) == (expected_size, (20, 30))
    np.testing.assert_array_equal(below.corners, [expected_corner])
    np.testing.assert_array_equal(below.images, [7])
    np.testing.assert_array_equal(windows.corners, [corner])         # and is not changed


@given(W=st.integers(1, 20), size=st.integers(1, 5), stride=st.integers(1, 4), pad=st.integers(0, 2),
       ceil=st.booleans(), spans=st.lists(st.tuples(st.integers(-3, 19), st.integers(1, 9)), min_size=1, max_size=4))
def test_where_a_window_sees_pixels(W, size, stride, pad, ceil, spans):
    """`over` holds every output that sees one of them and is no larger than the widest needs; `around` is what it reads."""
    if 2 * pad > size or size > W + 2 * pad:
        return
    n, out = spans[0][1], pool_output_size(W, size, stride, pad, ceil)
    corners = np.array([(0, first) for first, _ in spans])
    over = Windows(np.arange(len(spans)), corners, (1, n), (1, W)).over((1, size), (1, stride), (0, pad), (1, out))
    seeing = [[o for o in range(out) if o * stride - pad < first + n and o * stride - pad + size > first]
              for first, _ in spans]
    assert over.plane == (1, out)
    assert over.size == (1, max(1, *map(len, seeing), 1))
    for corner, seen in zip(over.corners[:, 1], seeing):
        assert 0 <= corner <= out - over.size[1]
        assert all(corner <= o < corner + over.size[1] for o in seen)
    around = over.around((1, size), (1, stride), (0, pad), (1, W))
    assert (around.size[1], around.plane) == ((over.size[1] - 1) * stride + size, (1, W))
    np.testing.assert_array_equal(around.corners, over.corners * (1, stride) - (0, pad))


# ---- against the dense operations -----------------------------------------------------------------------------------

@given(N=st.integers(1, 3), C=st.integers(1, 4), H=st.integers(1, 7), W=st.integers(1, 7), P=st.integers(0, 5),
       dtype=dtypes, layout=layouts, seed=seeds)
def test_cut_windows(ops, N, C, H, W, P, dtype, layout, seed):
    x, windows = normal(seed, (N, C, H, W), dtype), some_windows(seed, P, N, (H, W))
    np.testing.assert_array_equal(call(ops, "cut_windows", x, windows, layout=layout), cut(x[windows.images], windows))


@given(N=st.integers(1, 3), C=st.integers(1, 4), H=st.integers(1, 7), W=st.integers(1, 7), P=st.integers(0, 5),
       outside=st.sampled_from([0.0, -np.inf, 2.5]), dtype=dtypes, layout=layouts, seed=seeds)
def test_patch_windows(ops, N, C, H, W, P, outside, dtype, layout, seed):
    x, windows = normal(seed, (N, C, H, W), dtype), some_windows(seed, P, N, (H, W))
    at = some_windows(seed + 1, P, N, (H, W))._replace(images=windows.images)
    patches = normal(seed + 2, (P, C, *at.size), dtype)
    maps = x[windows.images].astype("float64")
    covered = laid(np.ones_like(patches), at) > 0
    maps[covered] = laid(patches, at)[covered]
    inside = cut(np.ones_like(maps), windows) > 0
    np.testing.assert_array_equal(call(ops, "patch_windows", x, patches, at, windows, outside, layout=layout),
                                  np.where(inside, cut(maps, windows), outside).astype(dtype))


@given(N=st.integers(1, 3), C=st.integers(1, 4), H=st.integers(1, 9), W=st.integers(1, 9), P=st.integers(0, 5),
       told=st.booleans(), dtype=dtypes, layout=layouts, seed=seeds)
def test_unpool_windows(ops, N, C, H, W, P, told, dtype, layout, seed):
    switches, pool = switched(seed, N, C, (H, W))
    above = some_windows(seed, P, N, switches.shape[2:])
    r, below = whole(seed, (P, C, *above.size), dtype), above.under(*pool, (H, W))
    expected = cut(definitions.max_unpool2d(laid(r, above), switches[above.images], (P, C, H, W)), below)
    np.testing.assert_array_equal(call(ops, "unpool_windows", r, switches, above, below, pool if told else None,
                                       layout=layout), expected)


@given(case=convolutions(), P=st.integers(0, 6), pooled=st.sampled_from(["", "told", "untold"]), rectify=st.booleans(),
       everywhere=st.booleans(), dtype=dtypes, layout=layouts, seed=seeds)
def test_transpose_windows(ops, case, P, pooled, rectify, everywhere, dtype, layout, seed):
    (N, C, H, W), w_shape, settings = case
    N, F, stride, pad = N + 1, w_shape[0], settings["stride"], settings["pad"]
    plane = definitions.conv2d(np.zeros((1, C, H, W)), np.zeros(w_shape), **settings).shape[2:]
    pairs = [definitions.pair(each) for each in (w_shape[2:], stride, pad)]
    unpool = switches = None
    if pooled:
        switches, pool = switched(seed, N, F, plane)
        unpool = (switches, some_windows(seed, P, N, switches.shape[2:]), pool if pooled == "told" else None)
        above = unpool[1].under(*pool, plane)
    else:
        above = some_windows(seed, P, N, plane)
    below = above.under(*pairs, (H, W))
    if everywhere:                                                   # any window of the input may be asked for
        below = some_windows(seed + 5, P, N, (H, W))._replace(images=above.images)
    for draw in (whole, normal):
        r, weight = draw(seed, (P, F, *(unpool[1] if pooled else above).size), dtype), draw(seed + 1, w_shape, dtype)

        def dense(r, weight, rectify=rectify):
            maps = laid(r, unpool[1] if pooled else above)
            if pooled:
                maps = definitions.max_unpool2d(maps, switches[above.images], (P, F, *plane))
            maps = np.maximum(maps, 0) if rectify else maps
            return cut(definitions.conv2d_input_grad(maps, weight, (P, C, H, W), **settings), below)

        found = call(ops, "transpose_windows", r, weight, above, below, stride, pad, settings["groups"], rectify,
                     (ops.asarray(switches), *unpool[1:]) if pooled else None, layout=layout)
        if draw is whole:
            np.testing.assert_array_equal(found, dense(r, weight))
        else:
            assert_close(found, dense(r, weight), 1e-30 + dense(abs(r), abs(weight), False))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_transposing_filters_of_many_slabs(host_ops, dtype):
    """More filters and columns than a slab holds, more samples than one piece of work."""
    r, weight = normal(0, (11, 40, 3, 2), dtype), normal(1, (40, 70, 5, 3), dtype)
    above = Windows(np.arange(11), np.random.default_rng(2).integers(-1, 5, (11, 2)), (3, 2), (6, 6))
    below = above.under((5, 3), (2, 2), (1, 0), (14, 14))
    found = host_ops.transpose_windows(r, weight, above, below, 2, (1, 0))
    expected = [cut(definitions.conv2d_input_grad(laid(a, above), b, (11, 70, 14, 14), 2, (1, 0)), below)
                for a, b in ((r, weight), (abs(r), abs(weight)))]
    assert_close(found, *expected)


# ---- linear operations and their adjoints ---------------------------------------------------------------------------

def test_the_adjoints(host_ops):
    """Cutting is the adjoint of laying out; unpooling windows and transposing them are adjoint to what goes up."""
    x, weight = normal(0, (2, 4, 9, 10), "float64"), normal(1, (6, 2, 3, 2), "float64")
    settings = {"stride": (2, 1), "pad": 1, "groups": 2}
    y = definitions.conv2d(x, weight, **settings)
    above = Windows(np.array([1, 0, 1]), np.array([[-1, 0], [2, 9], [0, 3]]), (3, 4), y.shape[2:])
    below = above.under((3, 2), (2, 1), (1, 1), x.shape[2:])
    every = np.arange(3)

    def up(part):
        maps = definitions.conv2d(laid(part, below), weight, **settings)
        return host_ops.cut_windows(maps, above._replace(images=every))

    def down(r):
        return host_ops.transpose_windows(r, weight, above, below, **settings)

    part, r = normal(2, (3, 4, *below.size), "float64"), normal(3, (3, 6, 3, 4), "float64")
    assert check_adjoint(up, down, part, r).error < 1e-12
    maps = normal(4, (3, 6, *y.shape[2:]), "float64")
    assert check_adjoint(lambda maps: host_ops.cut_windows(maps, above._replace(images=every)), lambda r: laid(r, above),
                         maps, r).error < 1e-12


@pytest.mark.parametrize("left", [-9, -3, 0, 4, 5, 6, 40])
def test_a_result_beside_its_window_is_written_nowhere(left):
    """2 channels of 4 × 3 pixels into a window of 3 × 5, at its left, inside, and at its right."""
    from zfnumpy.ops._numba_window import write_out

    result, out = np.arange(1.0, 25), np.full(2 * 3 * 5 + 200, 7.0)
    write_out(result, 0, 2, 3, 0, left, 0, max(left, 0), 3, min(left + 3, 5), out, 100, 3, 5)
    expected = np.zeros((2, 3, 15 + 100))
    expected[:, :, 50 + left:53 + left] = result.reshape(4, 3, 2).transpose(2, 0, 1)[:, :3]
    np.testing.assert_array_equal(out[100:130].reshape(2, 3, 5), expected[:, :, 50:55])
    assert (out[:100] == 7).all()
    assert (out[130:] == 7).all()


# ---- bits -----------------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_no_window_changes_the_bits_of_another(dtype):
    from zfnumpy import get_ops

    ops = get_ops("numba")
    switches, pool = switched(0, 3, 40, (17, 15))
    rng = np.random.default_rng(1)
    pooled = Windows(rng.integers(0, 3, 9), rng.integers(-1, 7, (9, 2)), (3, 3), switches.shape[2:])
    r, weight = normal(2, (9, 40, 3, 3), dtype), normal(3, (40, 90, 5, 5), dtype)

    def transposed(which):
        part = pooled._replace(images=pooled.images[which], corners=pooled.corners[which])
        above = part.under(*pool, (17, 15))
        below = above.under((5, 5), (2, 2), (0, 0), (37, 33))
        return ops.transpose_windows(r[which], weight, above, below, 2, 0, 1, True, (switches, part, pool))

    together = transposed(np.arange(9))
    for which in ([4], [8, 0], [3, 2, 7, 1, 5]):
        np.testing.assert_array_equal(transposed(np.array(which)), together[which])


# ---- refusals -------------------------------------------------------------------------------------------------------

X, R, WEIGHT = (np.ones(shape, "float32") for shape in ((2, 3, 8, 8), (4, 5, 2, 2), (5, 3, 3, 3)))
ABOVE = Windows(np.zeros(4, np.int64), np.zeros((4, 2), np.int64), (2, 2), (6, 6))
BELOW = ABOVE.under((3, 3), (1, 1), (0, 0), (8, 8))
SWITCHES = np.zeros((2, 5, 3, 3), np.int32)
POOLED = ABOVE._replace(plane=(3, 3))


@pytest.mark.parametrize(("name", "args", "message"), [
    ("cut_windows", (X, ABOVE), "cut_windows: the windows are of maps of 6×6, but the maps are 8×8"),
    ("cut_windows", (X, BELOW._replace(images=np.array([0, 1, 2, 0]))),
     "cut_windows: images run from 0 to 2, but there are 2"),
    ("cut_windows", (X, BELOW._replace(corners=np.zeros((3, 2), np.int64))),
     "cut_windows: the windows' corners must have shape (4, 2), got (3, 2)"),
    ("cut_windows", (X, BELOW._replace(corners=np.zeros((4, 2)))),
     "cut_windows: the windows' corners must be int64, got float64"),
    ("cut_windows", (X, BELOW._replace(size=(0, 3))), "cut_windows: a window must have a pixel at least, got 0×3"),
    ("cut_windows", (X[0], BELOW), "cut_windows: x must be (N, C, H, W), got shape (3, 8, 8)"),
    ("patch_windows", (X, X[:1], BELOW, BELOW), "patch_windows: patches must have shape (4, 3, 4, 4), got (1, 3, 8, 8)"),
    ("patch_windows", (X, np.ones((4, 3, 2, 2), "float32"), ABOVE, BELOW),
     "patch_windows: the windows are of maps of 6×6, but the maps are 8×8"),
    ("patch_windows", (X, np.ones((4, 3, 4, 4), "float32"), BELOW, BELOW._replace(images=BELOW.images + 1)),
     "patch_windows: the windows must be of the same images as the patches"),
    ("unpool_windows", (R, SWITCHES[:, :4], POOLED, ABOVE),
     "unpool_windows: switches must have shape (2, 5, 3, 3), got (2, 4, 3, 3)"),
    ("unpool_windows", (R, SWITCHES, ABOVE, ABOVE),
     "unpool_windows: the windows are of maps of 6×6, but the maps are 3×3"),
    ("unpool_windows", (R[:3], SWITCHES, POOLED, ABOVE), "unpool_windows: r must have shape (4, 5, 2, 2), got (3, 5, 2, 2)"),
    ("unpool_windows", (R, R, POOLED, ABOVE), "unpool_windows: switches must be int32 indices into the plane, got float32"),
    ("transpose_windows", (R, WEIGHT, ABOVE, BELOW._replace(plane=(9, 8))),
     "transpose_windows: a map of 9×8 makes one of 7×6, not 6×6"),
    ("transpose_windows", (R[:, :4], WEIGHT, ABOVE, BELOW),
     "transpose_windows: r must have shape (4, 5, 2, 2), got (4, 4, 2, 2)"),
    ("transpose_windows", (R, WEIGHT[0], ABOVE, BELOW),
     "transpose_windows: weight must be (F, C/groups, KH, KW), got shape (3, 3, 3)"),
    ("transpose_windows", (R, WEIGHT, ABOVE, BELOW._replace(images=BELOW.images[:3], corners=BELOW.corners[:3])),
     "transpose_windows: 4 windows above, but 3 below"),
])
def test_windows_that_do_not_fit(ops, name, args, message):
    with pytest.raises(ShapeError) as error:
        getattr(ops, name)(*(ops.asarray(a) if isinstance(a, np.ndarray) else a for a in args))
    assert str(error.value) == message


def test_switches_of_other_maps_write_nowhere(host_ops):
    """Switches that point outside the window are passed over: nothing outside an array is written."""
    switches = np.full((2, 5, 3, 3), 10 ** 9, np.int32)
    assert not host_ops.unpool_windows(R, switches, POOLED, ABOVE).any()
    found = host_ops.transpose_windows(R, WEIGHT, ABOVE, BELOW, unpool=(-switches, POOLED, None))
    assert not found.any()

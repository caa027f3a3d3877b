"""Pictures become a network's input on every backend with the bits of the host's path, and reach a device in time."""

import ctypes
import gc
import weakref

import fake_cuda
import fake_cupy as stand_in
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from zfnumpy import get_ops
from zfnumpy.data import Augment, Preprocessing
from zfnumpy.errors import BackendError, DTypeError, ShapeError

pytestmark = pytest.mark.usefixtures("quick_collections")
RNG = np.random.default_rng(0)
SQUARES = RNG.integers(0, 256, (3, 6, 6, 3), dtype=np.uint8)
CORNERS = np.array([(0, 0), (1, 2), (2, 1)], np.int32)
FLIPS = np.array([False, True, False])
MEAN = np.float32([120.5, 110.25, 99.9])


def prepare(ops, squares, corners, flips, mean, *settings, **more):
    """Call ops.prepare with NumPy arrays and return one."""
    x = ops.prepare(*map(ops.asarray, (squares, corners, flips, mean)), *settings, **more)
    assert type(x) is ops.xp.ndarray
    return ops.to_numpy(x)


# ---- the operation --------------------------------------------------------------------------------------------------

@st.composite
def cases(draw):
    """Return (Preprocessing, Augment, pictures, draws) of small sizes."""
    resize = draw(st.integers(1, 9))
    crop = draw(st.integers(1, resize))
    rng = np.random.default_rng(draw(st.integers(0, 99)))
    mean = rng.uniform(0, 255, (3, resize, resize) if draw(st.booleans()) else 3)
    scale = draw(st.sampled_from([1.0, 1 / 128, 0.017, 3]))
    preprocessing = Preprocessing(resize, crop, mean, scale, draw(st.sampled_from(["RGB", "BGR"])))
    augment = Augment(flip=draw(st.booleans()), pad=draw(st.integers(0, crop - 1)))
    count = draw(st.integers(1, 4))
    return preprocessing, augment, rng.integers(0, 256, (count, resize, resize, 3), dtype=np.uint8), rng.random((count, 3))


@given(case=cases(), dtype=st.sampled_from(["float32", "float64"]), as_bytes=st.booleans())
def test_the_bits_of_the_host_path(ops, case, dtype, as_bytes):
    preprocessing, augment, squares, draws = case
    use, shape = preprocessing, (3, preprocessing.crop, preprocessing.crop)
    places = [augment.place(use, draw) for draw in draws]
    corners, flips = np.array([p[:2] for p in places], np.int32), np.array([p[2] for p in places])
    x = prepare(ops, squares, corners, flips.astype("uint8") if as_bytes else flips, use.mean, use.crop, use.scale,
                use.order, dtype)
    expected = np.stack([augment(picture, use, draw, out=np.empty(shape, dtype)) for picture, draw in zip(squares, draws)])
    assert x.dtype == dtype
    assert x.tobytes() == expected.tobytes()


def test_one_pixel_by_hand(ops):
    mean = RNG.uniform(0, 255, (3, 6, 6)).astype("float32")
    x = prepare(ops, SQUARES, CORNERS, FLIPS, mean, 4, 0.5, "BGR")
    assert x.shape == (3, 3, 4, 4)
    assert x[0, 0, 1, 2] == (np.float32(SQUARES[0, 1, 2, 2]) - mean[0, 1, 2]) / 2          # blue comes first
    assert x[1, 2, 3, 0] == (np.float32(SQUARES[1, 4, 5, 0]) - mean[2, 4, 5]) / 2          # the flip begins at the right


@pytest.mark.parametrize("corner", [(-4, 0), (6, 0), (0, -4), (0, 6), (-2**31, 2**31 - 1)])
def test_a_crop_wholly_outside_is_zero(ops, corner):
    x = prepare(ops, SQUARES[:1], np.array([corner], np.int32), FLIPS[:1], MEAN, 4)
    np.testing.assert_array_equal(x, np.zeros((1, 3, 4, 4)))


def test_a_crop_larger_than_its_square_and_no_picture(ops):
    x = prepare(ops, SQUARES[:1], np.array([(-1, -2)], np.int32), FLIPS[:1], MEAN, 9)
    assert (x != 0).sum() <= 3 * 36
    np.testing.assert_array_equal(x[0, :, 1:7, 2:8], SQUARES[0].transpose(2, 0, 1) - MEAN[:, None, None])
    assert prepare(ops, SQUARES[:0], CORNERS[:0], FLIPS[:0], MEAN, 4).shape == (0, 3, 4, 4)


def test_arrays_that_are_not_contiguous(ops):
    xp = ops.xp
    wide = [ops.asarray(np.repeat(a, 2, axis=-1))[..., ::2] for a in (SQUARES, CORNERS, FLIPS, MEAN)]
    expected = prepare(ops, SQUARES, CORNERS, FLIPS, MEAN, 4)
    np.testing.assert_array_equal(ops.to_numpy(ops.prepare(*wide, 4)), expected)
    backwards = [xp.flip(ops.asarray(a[::-1].copy()), 0) for a in (SQUARES, CORNERS, FLIPS, MEAN)]
    np.testing.assert_array_equal(ops.to_numpy(ops.prepare(*backwards, 4)), expected)


@pytest.mark.parametrize(("change", "kind", "expected"), [
    ({"squares": SQUARES.astype("float32")}, DTypeError, "squares must be uint8, got float32"),
    ({"corners": CORNERS.astype("int64")}, DTypeError, "corners must be int32, got int64"),
    ({"flips": FLIPS.astype("int32")}, DTypeError, "flips must be bool or uint8, got int32"),
    ({"mean": MEAN.astype("float64")}, DTypeError, "mean must be float32, got float64"),
    ({"squares": SQUARES[0]}, ShapeError, r"squares must be \(N, R, R, 3\), got shape \(6, 6, 3\)"),
    ({"squares": SQUARES[:, :5]}, ShapeError, r"squares must have shape \(3, 5, 5, 3\), got \(3, 5, 6, 3\)"),
    ({"squares": SQUARES[:, :0, :0]}, ShapeError, "the squares' side must be a whole number from 1, got 0"),
    ({"corners": CORNERS[:2]}, ShapeError, r"corners must have shape \(3, 2\), got \(2, 2\)"),
    ({"flips": FLIPS[:1]}, ShapeError, r"flips must have shape \(3,\), got \(1,\)"),
    ({"mean": np.zeros((3, 5, 5), "float32")}, ShapeError, r"\(3, 6, 6\), got \(3, 5, 5\)"),
    ({"size": 0}, ShapeError, "size must be a whole number from 1, got 0"),
    ({"order": "GBR"}, ShapeError, "RGB or BGR, got 'GBR'"),
    ({"dtype": "float16"}, DTypeError, "float32 or float64, not float16"),
])
def test_what_prepare_refuses(ops, change, kind, expected):
    arguments = {"squares": SQUARES, "corners": CORNERS, "flips": FLIPS, "mean": MEAN, "size": 4, **change}
    with pytest.raises(kind, match=f"^prepare: .*{expected}$"):
        prepare(ops, **arguments)


# ---- on the way to the device ---------------------------------------------------------------------------------------

def test_host_backends_are_fed_with_finished_arrays(host_ops):
    assert host_ops.feeder() is None


@pytest.fixture
def strict_copies(monkeypatch):
    """Pinned memory as CuPy's pool and the device see it: spoiled and given out anew once dropped, read by its address.

    Dropping an array whose copy is not over is an error in itself, told at the end.
    """
    pools, pending, wrong = {}, set(), []

    def alloc(size):
        free = pools.setdefault(size, [])
        store = free.pop() if free else bytearray(size + 40)         # CuPy rounds up too
        block = (ctypes.c_ubyte * len(store)).from_buffer(store)
        weakref.finalize(block, release, free, store, ctypes.addressof(block))
        return block

    def release(free, store, address):
        wrong.extend({address} & pending)
        store[:] = b"\xee" * len(store)
        free.append(store)

    def set_(self, arr, stream=None):
        address, nbytes, target = arr.ctypes.data, arr.nbytes, self._host
        assert arr.flags.c_contiguous
        assert (arr.dtype, arr.shape) == (self.dtype, self.shape)
        pending.add(address)

        def copy():
            ctypes.memmove(target.ctypes.data, address, nbytes)
            pending.discard(address)

        stream.ask(copy)

    monkeypatch.setattr(fake_cuda.cuda, "alloc_pinned_memory", alloc)
    monkeypatch.setattr(stand_in.ndarray, "set", set_)
    yield
    assert not wrong, "pinned arrays were let go while the device had still to read them"


@pytest.fixture(scope="module")
def reference_ops():
    return get_ops("numpy")


def pinned(feeder, *arrays):
    """Copy arrays into memory of the feeder."""
    made = [feeder.empty(a.shape, a.dtype) for a in arrays]
    for one, a in zip(made, arrays):
        one[...] = a
    return made


def batches(count=7, size=3, side=6):
    rng = np.random.default_rng(5)
    sizes = [size] * (count - 1) + [1]
    return [(rng.integers(0, 256, (n, side, side, 3), dtype=np.uint8), rng.integers(-2, 4, (n, 2), dtype=np.int32),
             rng.integers(0, 2, n, dtype=np.uint8)) for n in sizes]


def fed(ops, feeder, given, size=4, **settings):
    """Send batches one ahead of their use, dropping and forgetting the arrays at once; return what came of them."""
    mean, made, before = feeder.asarray(MEAN), [], None
    for arrays in [*given, None]:
        ticket = None if arrays is None else feeder.send(*pinned(feeder, *arrays))
        gc.collect()
        if before is not None:
            made.append(feeder.prepared(before, mean, size, **settings))
        before = ticket
    return [ops.to_numpy(x) for x in made]


def assert_right(made, given, reference, size=4, **settings):
    assert len(made) == len(given)
    for x, arrays in zip(made, given):
        np.testing.assert_array_equal(x, reference.prepare(*arrays, MEAN, size, **settings))


def test_pinned_arrays(device_ops):
    feeder = device_ops.feeder()
    for shape, dtype in (((3, 5, 5, 3), "uint8"), ((7, 2), "int32"), ((1,), "uint8")):
        array = feeder.empty(shape, dtype)
        array[...] = 1
        assert type(array) is np.ndarray
        assert (array.shape, array.dtype) == (shape, dtype)
        assert array.flags.c_contiguous
        assert array.flags.writeable


@pytest.mark.parametrize("settings", [{}, {"dtype": "float64", "scale": 0.1}, {"order": "BGR"}])
def test_every_batch_arrives_whole(device_ops, reference_ops, strict_copies, settings):
    given = [*batches(), *batches(3, 5), *batches(2, 2, side=9), *batches(2)]      # larger, other squares, as before
    assert_right(fed(device_ops, device_ops.feeder(), given, **settings), given, reference_ops, **settings)


def test_a_compute_stream_of_ones_own(device_ops, reference_ops, strict_copies):
    with fake_cuda.Stream(non_blocking=True):
        given = batches()
        assert_right(fed(device_ops, device_ops.feeder(), given), given, reference_ops)


def test_batches_that_nobody_asks_for(device_ops, reference_ops, strict_copies):
    """An epoch that is left early leaves batches behind that were sent; the next one is whole."""
    feeder, given = device_ops.feeder(), batches()
    for left in range(4):
        for arrays in given[:left]:
            feeder.send(*pinned(feeder, *arrays))
        assert_right(fed(device_ops, feeder, given), given, reference_ops)


def test_a_feeder_that_is_dropped_waits_for_its_copies(device_ops, strict_copies):
    feeder = device_ops.feeder()
    for arrays in batches()[:2]:
        feeder.send(*pinned(feeder, *arrays))
    dropped = weakref.ref(feeder)
    del feeder
    assert dropped() is None


def test_nothing_is_copied_before_somebody_waits(device_ops):
    """The host does not wait for a copy that it has just asked for, and `prepared` waits for its own alone."""
    feeder = device_ops.feeder()
    first, second = (feeder.send(*pinned(feeder, *arrays)) for arrays in batches()[:2])
    assert [stage.copied.done for stage in feeder.stages] == [False, False]
    feeder.prepared(first, feeder.asarray(MEAN), 4)
    assert [stage.copied.done for stage in feeder.stages] == [True, False]
    feeder.prepared(second, feeder.asarray(MEAN), 4)
    assert feeder.stream.done


def test_the_copy_waits_for_the_kernel_that_reads_the_stage(device_ops, monkeypatch):
    """What the stand-in's default stream, which is never late, would not show: the copy's stream is told to wait."""
    log, feeder = [], device_ops.feeder()
    kernel, wait, set_ = stand_in._Kernel.__call__, fake_cuda.Stream.wait_event, stand_in.ndarray.set
    record = fake_cuda.Event.record
    monkeypatch.setattr(stand_in._Kernel, "__call__", lambda *a, **k: (log.append(("kernel",)), kernel(*a, **k))[1])
    monkeypatch.setattr(fake_cuda.Stream, "wait_event", lambda s, e: (log.append(("wait", s, e)), wait(s, e))[1])
    monkeypatch.setattr(fake_cuda.Event, "record", lambda e, s: (log.append(("record", s, e)), record(e, s))[1])
    monkeypatch.setattr(stand_in.ndarray, "set",
                        lambda a, h, stream: (log.append(("set", a.data.ptr)), set_(a, h, stream))[1])
    fed(device_ops, feeder, batches(4))
    kernels = [i for i, entry in enumerate(log) if entry == ("kernel",)]
    assert len(kernels) == 4
    copies = [i for i, entry in enumerate(log) if entry[0] == "set"][::3]                  # the squares of each batch
    assert log[copies[0]] == log[copies[2]] != log[copies[1]] == log[copies[3]]            # two stages, by turns
    for batch in (0, 1):
        (read,) = [entry[2] for entry in log[kernels[batch]:copies[batch + 2]]
                   if entry[0] == "record" and entry[1] is fake_cuda.Stream.null]
        assert ("wait", feeder.stream, read) in log[kernels[batch]:copies[batch + 2]]


def test_pinned_memory_is_let_go(device_ops):
    feeder = device_ops.feeder()
    held = []
    for arrays in batches():
        made = pinned(feeder, *arrays)
        held.append(weakref.ref(made[0].base))
        feeder.prepared(feeder.send(*made), feeder.asarray(MEAN), 4)
        del made
    gc.collect()
    assert [ref() is None for ref in held] == [True] * 5 + [False] * 2


def test_the_stages_memory_is_used_again(device_ops):
    feeder, seen = device_ops.feeder(), set()
    for arrays in batches():
        ticket = feeder.send(*pinned(feeder, *arrays))
        seen.add(feeder.stages[ticket % 2].arrays[0].data.ptr)
    assert len(seen) == 2


def test_a_batch_that_was_overwritten_is_refused(device_ops):
    feeder = device_ops.feeder()
    tickets = [feeder.send(*pinned(feeder, *arrays)) for arrays in batches()[:3]]
    with pytest.raises(BackendError, match="batch 0 is not on the device: 3 were sent"):
        feeder.prepared(tickets[0], feeder.asarray(MEAN), 4)
    with pytest.raises(BackendError, match="batch 3 is not"):
        feeder.prepared(3, feeder.asarray(MEAN), 4)

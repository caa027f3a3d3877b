"""The stand-in for CuPy refuses what a device would, and sees what a device would not forgive."""

import sys
from types import SimpleNamespace

import cuda_host
import numpy as np
import pytest

from zfnumpy import get_ops

HERE = np.arange(6.0).reshape(2, 3)


@pytest.fixture
def there(fake_cupy):
    return fake_cupy.asarray(HERE)


def test_it_is_cupy_for_a_while_only(fake_cupy):
    import cupy
    from cupy.cuda import cublas

    assert cupy is fake_cupy
    assert cublas is fake_cupy.cuda.cublas
    with fake_cupy.installed():
        pass
    assert sys.modules["cupy"] is fake_cupy
    assert get_ops("auto").name == "cupy"


# ---- crossing -------------------------------------------------------------------------------------------------------

CROSSINGS = {
    "np.asarray": lambda xp, a: np.asarray(a), "np.array of a list": lambda xp, a: np.array([a, a]),
    "a function of NumPy": lambda xp, a: np.sum(a), "a ufunc of NumPy": lambda xp, a: np.exp(a),
    "NumPy on the left": lambda xp, a: HERE + a, "NumPy on the right": lambda xp, a: a + HERE,
    "in place": lambda xp, a: a.__iadd__(HERE), "compared": lambda xp, a: a == HERE, "a list": lambda xp, a: a + [1, 2, 3],
    "into NumPy": lambda xp, a: HERE.copy().__setitem__(0, a[0]), "as an index of NumPy": lambda xp, a: HERE[a.astype(int)],
    "indexed": lambda xp, a: a[np.array([0])], "indexed by a list": lambda xp, a: a[[0, 1]],
    "indexed in a tuple": lambda xp, a: a[:, np.array([0])], "a mask": lambda xp, a: a[HERE > 2],
    "set": lambda xp, a: a.__setitem__(0, HERE[0]), "set where": lambda xp, a: a.__setitem__(np.array([0]), 1),
    "a function": lambda xp, a: xp.maximum(a, HERE), "a function's list": lambda xp, a: xp.stack([a, HERE]),
    "a method": lambda xp, a: a.dot(HERE.T), "matmul": lambda xp, a: a @ HERE.T, "add.at": lambda xp, a:
    xp.add.at(a, (np.array([0]), xp.asarray(np.array([0]))), 1), "an index of Python's": lambda xp, a: [1, 2][xp.argmax(a)],
    "a slice": lambda xp, a: a[:a.argmax()], "a list on the device": lambda xp, a: xp.asarray([a, a]),
}


@pytest.mark.parametrize("crossing", CROSSINGS.values(), ids=CROSSINGS)
def test_nothing_crosses_in_silence(fake_cupy, there, crossing):
    with pytest.raises(TypeError):
        crossing(fake_cupy, there)
    np.testing.assert_array_equal(there.get(), HERE)


@pytest.mark.parametrize("name", ["errstate", "unstack", "vecdot", "nditer", "insert", "linalg", "no_such_function"])
def test_names_that_cupy_does_not_have(fake_cupy, name):
    assert not hasattr(fake_cupy, name)


def test_what_is_refused_of_functions_and_methods(fake_cupy, there):
    for name in ("ctypes", "setflags", "__array_interface__", "__index__", "__imatmul__"):
        assert not hasattr(there, name)
    with pytest.raises(TypeError, match="where"):
        there.sum(where=there > 0)
    with pytest.raises(TypeError, match="initial"):
        fake_cupy.max(there, initial=0)


def test_numbers_cross_where_one_asks_for_them(fake_cupy, there):
    assert (float(there.sum()), int(there.argmax()), bool((there >= 0).all()), f"{there.mean():.1f}") == (15, 5, True, "2.5")
    assert there.item(4) == 4
    assert there.tolist() == HERE.tolist()
    with pytest.raises((TypeError, ValueError)):
        bool(there)
    back = fake_cupy.asnumpy(there.T)
    assert type(back) is np.ndarray
    assert back.flags.c_contiguous
    np.testing.assert_array_equal(back, HERE.T)


def test_whatever_is_made_is_on_the_device(fake_cupy, there):
    xp = fake_cupy
    made = [there.sum(), there.max(axis=0), there[0, 0], there[None, :, ::-1], there.T, there + 1, 1 - there, -there,
            there > 2, np.float64(2) * there, there ** 2, there @ there.T, xp.where(there > 2, there, 0), xp.zeros(3),
            xp.arange(4), xp.broadcast_to(there, (4, 2, 3)), xp.take_along_axis(there, there.argmax(axis=0)[None], axis=0),
            *there, there[xp.asarray(np.array([1, 0]))], there[there > 2], *xp.split(there, 3, axis=1), xp.empty_like(there)]
    assert all(type(each) is xp.ndarray for each in made)
    assert sys.modules[xp.ndarray.__module__] is xp


def test_views_are_views(fake_cupy, there):
    there[0, 0][...] = 7
    row = there[1]
    row += 1
    there.T[2, 0] = 9
    there[:, 1:].reshape(4)[0] = 100                                 # a copy
    np.testing.assert_array_equal(there.get(), [[7, 1, 9], [4, 5, 6]])
    assert row.base is there
    assert (there + 1).base is None
    assert there[1].data.ptr == there.data.ptr + 24
    assert fake_cupy.may_share_memory(row, there)
    assert fake_cupy.ascontiguousarray(there) is there
    assert not there.T.flags.c_contiguous
    assert there.T.flags["F_CONTIGUOUS"]


def test_arithmetic_does_not_warn(fake_cupy, there):
    assert bool(fake_cupy.isnan((there / 0)[0, 0]))                  # NumPy's warnings are errors in these tests
    assert bool(fake_cupy.isinf(fake_cupy.exp(there * 1000)).any())


# ---- memory ---------------------------------------------------------------------------------------------------------

@pytest.mark.parametrize(("index", "message"), [
    (-1, r"1 bytes before the 48 bytes of an array \(3,\) of float64"), (48, "1 bytes after the 48 bytes"),
    (-1024, "1024 bytes before"), (200, "153 bytes after")])
def test_margins_tell_of_a_stray_write(fake_cupy, there, index, message):
    import ctypes

    fake_cupy.check_margins(there, there[0], fake_cupy.zeros(0))
    ctypes.c_ubyte.from_address(there.data.ptr + index).value = 0
    with pytest.raises(AssertionError, match=message):
        fake_cupy.check_margins(there[1])


def test_empty_is_poisoned(fake_cupy):
    assert bool(fake_cupy.isnan(fake_cupy.empty((2, 2), dtype="float32")).all())
    assert int(fake_cupy.empty(3, dtype=np.int32).min()) == 2**31 - 1
    assert bool(fake_cupy.isnan(fake_cupy.empty_like(fake_cupy.zeros(2))).all())
    assert not bool(fake_cupy.zeros(5).any())


def test_the_pool_counts_what_lives(fake_cupy):
    pool = fake_cupy.get_default_memory_pool()
    before = pool.used_bytes()
    array = fake_cupy.empty(1000, dtype="float32")
    view = array[10:]
    assert pool.used_bytes() - before == 4096
    del array
    assert pool.used_bytes() - before == 4096
    del view
    assert pool.used_bytes() == before
    assert pool.total_bytes() >= before + 4096
    pool.free_all_blocks()
    assert pool.total_bytes() == before
    pool.set_limit(size=before + 5000)
    try:
        kept = fake_cupy.zeros(1000, dtype="float32")
        with pytest.raises(fake_cupy.cuda.memory.OutOfMemoryError, match=r"Out of memory allocating 4,096 bytes"):
            kept + 1
    finally:
        pool.set_limit(size=0)
    assert pool.get_limit() == 0


# ---- streams --------------------------------------------------------------------------------------------------------

def waits(xp, stream, event):
    return {"an event waited for by the current stream": lambda: xp.cuda.get_current_stream().wait_event(event),
            "an event": event.synchronize, "the stream": stream.synchronize, "the device": xp.cuda.Device().synchronize}


@pytest.mark.parametrize("how", ["an event waited for by the current stream", "an event", "the stream", "the device"])
def test_a_copy_waits_until_somebody_waits_for_it(fake_cupy, how):
    stream, array, given = fake_cupy.cuda.Stream(non_blocking=True), fake_cupy.empty((2, 3)), HERE.copy()
    array.set(given, stream=stream)
    event = stream.record(fake_cupy.cuda.Event(disable_timing=True))
    assert not event.done
    assert bool(fake_cupy.isnan(array).all())                        # too early
    given[...] = 5                                                   # too early too
    waits(fake_cupy, stream, event)[how]()
    assert event.done
    assert bool((array == 5).all())


def test_an_event_is_waited_for_no_further_than_it_stands(fake_cupy):
    stream, arrays = fake_cupy.cuda.Stream(non_blocking=True), [fake_cupy.empty((2, 3)) for _ in range(2)]
    arrays[0].set(HERE, stream=stream)
    event = stream.record()
    arrays[1].set(HERE, stream=stream)
    fake_cupy.cuda.get_current_stream().wait_event(event)
    assert [bool(fake_cupy.isnan(a).any()) for a in arrays] == [False, True]


def test_a_stream_is_current_inside_its_with(fake_cupy):
    stream, array = fake_cupy.cuda.Stream(non_blocking=True), fake_cupy.empty((2, 3))
    with stream:
        assert fake_cupy.cuda.get_current_stream() is stream
        array.set(HERE)
        assert float(array.sum()) == 15                              # in the stream's order
        array.set(HERE + 1)
    assert fake_cupy.cuda.get_current_stream() is fake_cupy.cuda.Stream.null
    assert float(array.sum()) == 15                                  # nobody waited
    other = fake_cupy.cuda.Stream(non_blocking=True)
    other.wait_event(stream.record())
    other.synchronize()
    assert float(array.sum()) == 21


def test_set_is_particular(fake_cupy, there):
    there.set(HERE + 1)                                              # on the current stream: at once
    np.testing.assert_array_equal(there.get(), HERE + 1)
    for wrong in (HERE.astype("float32"), HERE[0], HERE.tolist()):
        with pytest.raises((TypeError, ValueError)):
            there.set(wrong)
    with pytest.raises(RuntimeError, match="non-contiguous"):
        there[:, ::2].set(HERE[:, ::2])


def test_pinned_memory_is_longer_than_asked_for(fake_cupy):
    memory = fake_cupy.cuda.alloc_pinned_memory(48)
    array = np.frombuffer(memory, np.float64, 6).reshape(2, 3)
    array[...] = HERE
    assert array.ctypes.data == memory.ptr
    assert len(memory) == 512


# ---- cuBLAS ---------------------------------------------------------------------------------------------------------

@pytest.mark.parametrize(("dtype", "prefix"), [("float32", "s"), ("float64", "d")])
@pytest.mark.parametrize("transa", [0, 1])
@pytest.mark.parametrize("transb", [0, 1])
@pytest.mark.parametrize("beta", [0, 2])
def test_products(fake_cupy, dtype, prefix, transa, transb, beta):
    """Column-major, with leading dimensions beyond the rows, three times in a batch and alone."""
    cublas, m, n, k, rng = fake_cupy.cuda.cublas, 3, 4, 5, np.random.default_rng(0)

    def stored(rows, columns, ld):
        held = rng.integers(-4, 5, (3, columns, ld)).astype(dtype)
        return fake_cupy.asarray(held), held[:, :, :rows].swapaxes(1, 2)

    A, a = stored(*((k, m) if transa else (m, k)), 6)
    B, b = stored(*((n, k) if transb else (k, n)), 7)
    C, c = stored(m, n, 8)
    scalars = [np.array(value, dtype) for value in (3, beta, 0)]
    expected = 3 * (a.swapaxes(1, 2) if transa else a) @ (b.swapaxes(1, 2) if transb else b) + beta * c
    sizes = (transa, transb, m, n, k, scalars[0].ctypes.data)
    if not beta:
        C[...] = np.nan                                              # which nobody reads then
    getattr(cublas, f"{prefix}gemmStridedBatched")(
        fake_cupy.cuda.device.get_cublas_handle(), *sizes, A.data.ptr, 6, 6 * A.shape[1], B.data.ptr, 7, 7 * B.shape[1],
        scalars[1].ctypes.data, C.data.ptr, 8, 8 * n, 3)
    np.testing.assert_array_equal(C.get()[:, :, :m].swapaxes(1, 2), expected)
    getattr(cublas, f"{prefix}gemm")(1, *sizes, A[1].data.ptr, 6, B[1].data.ptr, 7, scalars[2].ctypes.data,
                                     C[0].data.ptr, 8)
    np.testing.assert_array_equal(C.get()[0, :, :m].T, (expected - beta * c)[1])


def test_products_refuse_what_does_not_fit(fake_cupy, there):
    cublas, one = fake_cupy.cuda.cublas, np.ones(())
    pointer, scalar, room = there.data.ptr, one.ctypes.data, fake_cupy.zeros(4)
    cublas.dgemm(1, 0, 0, 2, 2, 3, scalar, pointer, 2, pointer, 3, scalar, room.data.ptr, 2)
    with pytest.raises(AssertionError, match="cuBLAS's C does not point into any living array"):
        cublas.dgemm(1, 0, 0, 2, 2, 3, scalar, pointer, 2, pointer, 3, scalar, fake_cupy.zeros(4).data.ptr, 2)
    with pytest.raises(cublas.CUBLASError, match="a leading dimension of 1 below 2 rows"):
        cublas.dgemm(1, 0, 0, 2, 2, 3, scalar, pointer, 1, pointer, 3, scalar, pointer, 2)
    with pytest.raises(AssertionError, match="cuBLAS's A reaches 16 bytes past the end"):
        cublas.dgemm(1, 0, 0, 2, 2, 4, scalar, pointer, 2, pointer, 4, scalar, pointer, 2)


def test_tf32_keeps_ten_bits(fake_cupy):
    cublas, one, zero = fake_cupy.cuda.cublas, np.ones((), "float32"), np.zeros((), "float32")
    x, unit, y = (fake_cupy.asarray(np.array([[value]], "float32")) for value in (1 + 2**-10 + 2**-12, 1, 0))
    results = []
    for mode in (cublas.CUBLAS_DEFAULT_MATH, cublas.CUBLAS_TF32_TENSOR_OP_MATH):
        cublas.setMathMode(1, mode)
        cublas.sgemm(1, 0, 0, 1, 1, 1, one.ctypes.data, x.data.ptr, 1, unit.data.ptr, 1, zero.ctypes.data, y.data.ptr, 1)
        results.append(float(y))
    cublas.setMathMode(1, cublas.CUBLAS_DEFAULT_MATH)
    assert results == [1 + 2**-10 + 2**-12, 1 + 2**-10]


# ---- kernels --------------------------------------------------------------------------------------------------------

@pytest.fixture
def kernel(fake_cupy, monkeypatch):
    """A kernel whose work is a function of the test's: kernel(work, grid, block, args)."""
    def call(work, grid=(1,), block=(32,), args=()):
        module = SimpleNamespace(HostModule=lambda code, options: SimpleNamespace(get_function=lambda name: work))
        monkeypatch.setitem(sys.modules, "cuda_host", module)
        fake_cupy.RawModule(code="source", options=("-DREAL=float",)).get_function("scale")(grid, block, args)

    return call


def test_a_launch_is_looked_at(fake_cupy, there, kernel):
    import ctypes

    seen = []
    kernel(lambda *given: seen.append(given), args=(there, np.int32(3)))
    assert seen == [((1,), (32,), (there, np.int32(3)))]

    def stray(grid, block, args):
        ctypes.c_double.from_address(args[0].data.ptr + 48).value = 1.0

    with pytest.raises(AssertionError, match="1 bytes after the 48 bytes"):
        kernel(stray, args=(there,))


@pytest.mark.parametrize(("grid", "block", "message"), [
    ((0,), (32,), "the grid"), ((1, 70000), (32,), "the grid"), (1, (32,), "the grid"), ((1,), (2048,), "the block"),
    ((1,), (32, 64), "1024 threads")])
def test_launches_that_no_device_takes(there, kernel, grid, block, message):
    with pytest.raises(ValueError, match=message):
        kernel(lambda *_: None, grid, block, (there,))


def test_arguments_that_a_kernel_does_not_take(there, kernel):
    for wrong, message in ((there.T, "is not contiguous"), (3, "<class 'int'>"), (HERE, "<class 'numpy.ndarray'>")):
        with pytest.raises(TypeError, match=message):
            kernel(lambda *_: None, args=(there, wrong))


def test_options_are_a_tuple_of_texts(fake_cupy):
    with pytest.raises(TypeError, match="options must be a tuple of texts"):
        fake_cupy.RawModule(code="", options=["-DREAL=float"])


TURNS = """
extern "C" __global__ void kernel(float *seen, int *turns, int waiting, int apart) {
    __shared__ float shared[96];
    int i = threadIdx.x;
    seen[i] = shared[(i + 1) % 96];
    shared[i] = i;
    turns[1 + turns[0]++] = i;
    if (i % 3 >= waiting) return;
    if (i % 2 && apart) __syncwarp();
    else __syncthreads();
    seen[i] = shared[(i + 1) % 96];
}
"""


@pytest.mark.skipif(cuda_host.COMPILER is None, reason="no C++ compiler")
def test_threads_take_their_turns(fake_cupy):
    """Some end, some wait for all, in a mixed order; what shared memory held before is lost."""
    kernel = fake_cupy.RawModule(code=TURNS).get_function("kernel")

    def run(waiting, apart=0):
        seen, turns = fake_cupy.zeros(96, "float32"), fake_cupy.zeros(97, "int32")
        kernel((1,), (96,), (seen, turns, np.int32(waiting), np.int32(apart)))
        order = turns.get()[1:].tolist()
        assert sorted(order) == list(range(96)) != order
        return seen.get(), np.array([order.index(i) > order.index((i + 1) % 96) for i in range(96)])

    after = np.roll(np.arange(96.0), -1)
    for waiting in (0, 1, 2, 3, 1, 0):
        seen, written = run(waiting)
        waits = np.arange(96) % 3 < waiting
        np.testing.assert_array_equal(seen, np.where(waits | written, after, np.nan))
    with pytest.raises(RuntimeError, match="kernel: some threads wait at a barrier that others never reach"):
        run(2, apart=1)
    np.testing.assert_array_equal(run(3)[0], after)

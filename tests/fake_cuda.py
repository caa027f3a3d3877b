"""The lower half of the stand-in for CuPy (fake_cupy): device memory, streams and cuBLAS, as `cupy.cuda` names them.

Memory is the host's, but every allocation lies between two margins, which `check_margins` finds changed when somebody
wrote past an end. Streams other than the default one are lazy: what is asked of them is done only when somebody waits
for it, so code that forgets to wait reads poison, and code that fills a pinned buffer again too early copies wrong bytes.
"""

import collections
import ctypes
import threading
import time
import weakref
from types import SimpleNamespace

import numpy as np

MARGIN = 1024            # bytes of 0xFF before and after every allocation: NaN as floats, -1 as ints
ALIGNED = 256            # where CUDA lets an allocation begin
UNIT = 512               # CuPy's pools hand out multiples of this
TOTAL = 8 * 2**30        # bytes of memory the device claims to have


# ---- memory ---------------------------------------------------------------------------------------------------------

class OutOfMemoryError(MemoryError):
    """What CuPy raises beyond the pool's limit."""


class MemoryPool:
    """Counts the bytes of living arrays; `total` stays as high as they ever were until the free blocks are given back."""

    def __init__(self):
        self._limit = self._used = self._total = 0
        self._lock = threading.RLock()        # the collector may free an array in the middle of it

    def set_limit(self, size=None, fraction=None):
        self._limit = int(fraction * TOTAL) if size is None else int(size)

    def get_limit(self):
        return self._limit

    def used_bytes(self):
        return self._used

    def total_bytes(self):
        return self._total

    def free_bytes(self):
        return self._total - self._used

    def free_all_blocks(self, stream=None):
        self._total = self._used

    def _take(self, size):
        with self._lock:
            if size > 0 and self._used + size > (self._limit or TOTAL):
                raise OutOfMemoryError(f"Out of memory allocating {size:,} bytes (allocated so far: {self._used:,} bytes, "
                                       f"limit set to: {self._limit:,} bytes).")
            self._used += size
            self._total = max(self._total, self._used)


pool = MemoryPool()
_living = {}             # id of the buffer of each allocation → (a weak reference to it, where in it the data begin, their
                         # bytes, their address)


def allocate(nbytes):
    """Return the buffer (uint8) of a new allocation, 0xFF everywhere, and where in it the data begin."""
    size = -(-nbytes // UNIT) * UNIT
    pool._take(size)
    buffer = np.full(nbytes + 2 * MARGIN + ALIGNED, 0xFF, np.uint8)
    start = MARGIN - (buffer.ctypes.data + MARGIN) % -ALIGNED
    _living[id(buffer)] = weakref.ref(buffer), start, nbytes, buffer.ctypes.data + start
    weakref.finalize(buffer, _free, id(buffer), size)
    return buffer, start


def _free(key, size):
    del _living[key]
    pool._take(-size)


def buffer_of(array):
    """Return the allocation that a NumPy array lies in, None where it lies in none of ours."""
    while array is not None and id(array) not in _living:
        array = getattr(array, "base", None)
    return array


def check_buffer(buffer, what="an array"):
    """Raise AssertionError where the margins of an allocation were written to."""
    _, start, nbytes, _ = _living[id(buffer)]
    for where, margin in (("before", buffer[:start]), ("after", buffer[start + nbytes:])):
        wrong = np.flatnonzero(margin != 0xFF)
        if wrong.size:
            at = start - wrong[-1] if where == "before" else wrong[0] + 1
            raise AssertionError(f"something was written {at} bytes {where} the {nbytes} bytes of {what}")


def _at(pointer, dtype, shape, strides, what):
    """Return the array at an address, after checking that all of it lies inside one allocation."""
    if 0 in shape:
        return np.zeros(shape, dtype)
    last = sum((n - 1) * step for n, step in zip(shape, strides)) + dtype.itemsize
    for reference, start, nbytes, address in list(_living.values()):
        offset = pointer - address
        if 0 <= offset < nbytes and (buffer := reference()) is not None:
            assert offset + last <= nbytes, f"{what} reaches {offset + last - nbytes} bytes past the end of its array"
            return np.ndarray(shape, dtype, buffer, start + offset, strides)
    raise AssertionError(f"{what} does not point into any living array")


class PinnedMemory(bytearray):
    """Page-locked host memory; longer than asked for, as CuPy's pool gives it."""

    def __init__(self, size):
        super().__init__(b"\xff" * (-(-size // UNIT) * UNIT))

    @property
    def ptr(self):
        return ctypes.addressof(ctypes.c_char.from_buffer(self))


# ---- streams --------------------------------------------------------------------------------------------------------

_streams = weakref.WeakSet()
_thread = threading.local()


class Stream:
    """A queue of work; the default stream (`Stream.null`) does at once what is asked of it, the others when waited for."""

    def __init__(self, null=False, non_blocking=False, ptds=False, priority=None):
        self._work, self._asked, self._done = collections.deque(), 0, 0
        self._lock = threading.RLock()
        self.ptr, self.is_non_blocking = 0 if null else id(self), non_blocking
        _streams.add(self)

    def ask(self, work):
        with self._lock:
            self._asked += 1
            self._work.append(work)
        if not self.ptr:
            self.synchronize()

    def _run(self, until):
        with self._lock:
            while self._done < until:
                self._work.popleft()()
                self._done += 1

    def synchronize(self):
        self._run(self._asked)

    @property
    def done(self):
        return self._done == self._asked

    def record(self, event=None):
        event = Event() if event is None else event
        event.record(self)
        return event

    def wait_event(self, event):
        stream, until = event._stream, event._until          # as it was recorded last: a later record does not count
        if stream is not None and stream is not self:
            self.ask(lambda: stream._run(until))

    def use(self):
        _thread.stream = self
        return self

    def __enter__(self):
        self._before = [*getattr(self, "_before", []), get_current_stream()]
        return self.use()

    def __exit__(self, *_):
        self._before.pop().use()


Stream.null = Stream(null=True)


class Event:
    """A place in a stream's queue."""

    def __init__(self, block=False, disable_timing=False, interprocess=False):
        self._stream, self._until, self._timed = None, 0, not disable_timing

    def record(self, stream=None):
        self._stream = get_current_stream() if stream is None else stream
        self._until, self._time = self._stream._asked, time.perf_counter()

    def synchronize(self):
        if self._stream is not None:
            self._stream._run(self._until)

    @property
    def done(self):
        return self._stream is None or self._stream._done >= self._until


def get_current_stream(device_id=None):
    return getattr(_thread, "stream", Stream.null)


def get_elapsed_time(start, end):
    if not (start._timed and end._timed):
        raise CUDARuntimeError("cudaErrorInvalidResourceHandle: an event with disable_timing=True tells no time")
    return 1000 * (end._time - start._time)


def settle():
    """Do what was asked of the current stream: everything but copies runs there at once, after what came before."""
    get_current_stream().synchronize()


# ---- the device -----------------------------------------------------------------------------------------------------

class CUDARuntimeError(RuntimeError):
    """What CuPy raises for an error of the CUDA runtime."""


class Device:
    """The one device."""

    compute_capability = "90"

    def __init__(self, device=None):
        if device not in (None, 0):
            raise CUDARuntimeError("cudaErrorInvalidDevice: invalid device ordinal")
        self.id = 0

    @property
    def attributes(self):
        return {"MultiProcessorCount": 4, "MaxSharedMemoryPerBlock": 48 << 10, "MaxSharedMemoryPerBlockOptin": 227 << 10,
                "MaxThreadsPerBlock": 1024, "WarpSize": 32, "ComputeCapabilityMajor": 9, "ComputeCapabilityMinor": 0}

    @property
    def mem_info(self):
        return TOTAL - pool.total_bytes(), TOTAL

    def synchronize(self):
        for stream in list(_streams):
            stream.synchronize()

    def use(self):
        return self

    def __enter__(self):
        return self

    def __exit__(self, *_):
        pass

    def __int__(self):
        return self.id

    def __eq__(self, other):
        return isinstance(other, Device)

    __hash__ = None


runtime = SimpleNamespace(
    CUDARuntimeError=CUDARuntimeError,
    getDeviceCount=lambda: 1,
    getDevice=lambda: 0,
    getDeviceProperties=lambda device: {
        "name": b"Stand-in", "major": 9, "minor": 0, "multiProcessorCount": 4, "totalGlobalMem": TOTAL, "warpSize": 32,
        "maxThreadsPerBlock": 1024, "sharedMemPerBlock": 48 << 10, "sharedMemPerBlockOptin": 227 << 10,
        "l2CacheSize": 50 << 20, "clockRate": 1_980_000, "memoryClockRate": 2_619_000, "memoryBusWidth": 5120},
    memGetInfo=lambda: Device().mem_info,
    driverGetVersion=lambda: 13000,
    runtimeGetVersion=lambda: 12090,
    deviceSynchronize=lambda: Device().synchronize(),
)


# ---- cuBLAS ---------------------------------------------------------------------------------------------------------

class CUBLASError(RuntimeError):
    """What CuPy raises for a status other than success."""


_math_mode = {}          # handle → mode
_pointer_mode = {}


def get_cublas_handle():
    return 1


def _tf32(a):
    """Round float32 to ten bits of mantissa, halves away from zero, as the tensor cores read it."""
    bits = a.view(np.uint32)
    rounded = ((bits + np.uint32(0x1000)) & np.uint32(0xFFFFE000)).view(np.float32)
    return np.where(np.isfinite(a), rounded, a)


def _gemm(kind):
    """Return gemm and gemmStridedBatched of one dtype, over column-major matrices at addresses of device memory."""
    dtype = np.dtype(kind)
    size, scalar = dtype.itemsize, {4: ctypes.c_float, 8: ctypes.c_double}[dtype.itemsize]

    def batched(handle, transa, transb, m, n, k, alpha, A, lda, strideA, B, ldb, strideB, beta, C, ldc, strideC,
                batchCount):  # fmt: skip
        if _pointer_mode.get(handle, 0) != cublas.CUBLAS_POINTER_MODE_HOST:
            raise CUBLASError("the stand-in reads alpha and beta on the host: CUBLAS_POINTER_MODE_HOST")
        sides = [(m, k), (k, n)]
        sides = [side[::-1] if trans else side for side, trans in zip(sides, (transa, transb))]
        for rows, ld in zip((sides[0][0], sides[1][0], m), (lda, ldb, ldc)):
            if ld < max(1, rows):
                raise CUBLASError(f"CUBLAS_STATUS_INVALID_VALUE: a leading dimension of {ld} below {rows} rows")
        if min(m, n, k, batchCount) < 0 or max(m, n, k, lda, ldb, ldc, batchCount) >= 2**31:
            raise CUBLASError("CUBLAS_STATUS_INVALID_VALUE: sizes are C ints from 0")
        if not {transa, transb} <= {0, 1}:
            raise CUBLASError("CUBLAS_STATUS_INVALID_VALUE: the stand-in knows CUBLAS_OP_N and CUBLAS_OP_T")
        settle()
        alpha, beta = (dtype.type(scalar.from_address(p).value) for p in (alpha, beta))
        for i in range(batchCount):
            a, b, c = (_at(p + i * stride * size, dtype, shape, (size, ld * size), f"cuBLAS's {name}")
                       for p, stride, ld, shape, name in ((A, strideA, lda, sides[0], "A"), (B, strideB, ldb, sides[1], "B"),
                                                          (C, strideC, ldc, (m, n), "C")))
            a, b = a.T if transa else a, b.T if transb else b
            if size == 4 and _math_mode.get(handle, 0) == cublas.CUBLAS_TF32_TENSOR_OP_MATH:
                a, b = (_tf32(np.ascontiguousarray(each)) for each in (a, b))
            with np.errstate(all="ignore"):
                c[...] = alpha * (a @ b) + (beta * c if beta else 0)          # beta 0 does not read C: it may hold NaN

    def single(handle, transa, transb, m, n, k, alpha, A, lda, B, ldb, beta, C, ldc):
        batched(handle, transa, transb, m, n, k, alpha, A, lda, 0, B, ldb, 0, beta, C, ldc, 0, 1)

    return single, batched


cublas = SimpleNamespace(
    CUBLAS_OP_N=0, CUBLAS_OP_T=1, CUBLAS_POINTER_MODE_HOST=0, CUBLAS_POINTER_MODE_DEVICE=1,
    CUBLAS_DEFAULT_MATH=0, CUBLAS_TF32_TENSOR_OP_MATH=3, CUBLASError=CUBLASError,
    setMathMode=_math_mode.__setitem__, getMathMode=lambda handle: _math_mode.get(handle, 0),
    setPointerMode=_pointer_mode.__setitem__, getPointerMode=lambda handle: _pointer_mode.get(handle, 0),
    setStream=lambda handle, stream: None,
)
cublas.sgemm, cublas.sgemmStridedBatched = _gemm("float32")
cublas.dgemm, cublas.dgemmStridedBatched = _gemm("float64")

cuda = SimpleNamespace(
    Device=Device, Event=Event, MemoryPool=MemoryPool, Stream=Stream, cublas=cublas, runtime=runtime,
    alloc_pinned_memory=PinnedMemory, get_cublas_handle=get_cublas_handle, get_current_stream=get_current_stream,
    nvrtc=SimpleNamespace(getVersion=lambda: (12, 9)),
    get_elapsed_time=get_elapsed_time, is_available=lambda: True,
    device=SimpleNamespace(Device=Device, get_cublas_handle=get_cublas_handle),
    memory=SimpleNamespace(OutOfMemoryError=OutOfMemoryError, MemoryPool=MemoryPool),
    stream=SimpleNamespace(Stream=Stream, Event=Event, get_current_stream=get_current_stream),
)

"""A strict stand-in for the module `cupy`, on the processor: NumPy underneath, and the rules of a device above.

Its arrays refuse whatever would carry data between host and device in silence: they turn into no NumPy array (no
`np.asarray`, no NumPy function), and take none, nor a list, as an operand, index or value. The ways across are explicit:
`asarray`, `array` and `ndarray.set` in, `asnumpy` and `ndarray.get` out, and float(), int(), bool() of one value.
Reductions give device arrays, never NumPy's scalars. Names that CuPy does not have are missing here too.

Memory, streams and cuBLAS are those of fake_cuda: allocations have margins that `check_margins` looks at, `empty` is
poisoned, and copies on a stream of their own wait until somebody waits for them. `RawModule` compiles CUDA for the host.
Code that runs here makes no promise for a real device's timing or rounding; but what it forgets, it forgets loudly.
"""

import contextlib
import operator
import sys

import fake_cuda
import numpy as np
from fake_cuda import settle

cuda = fake_cuda.cuda

__version__ = "14.0.0 (a stand-in on the host)"

# Public names of NumPy that CuPy 14 does not have, those that one might reach for.
MISSING = """
    asmatrix block bmat busday_count busday_offset char ctypeslib datetime64 einsum_path errstate frompyfunc geomspace
    getbufsize geterr histogram_bin_edges insert isnat longdouble ma matrix matvec memmap nanpercentile nanquantile
    ndenumerate nditer nested_iters polydiv polyint rec recarray seterr spacing strings timedelta64 unstack vecdot vecmat
    void"""
MISSING_METHODS = "byteswap ctypes flat getfield newbyteorder resize setfield setflags to_device"
UNKNOWN_ARGUMENTS = frozenset(("where", "initial", "like", "device", "subok"))     # of NumPy's functions, not of CuPy's
SCALARS = (bool, int, float, complex, np.generic)
MODULES = ("cupy", "cupy.cuda", "cupy.cuda.cublas", "cupy.cuda.device", "cupy.cuda.memory", "cupy.cuda.runtime",
           "cupy.cuda.stream")


@contextlib.contextmanager
def installed():
    """Be what `import cupy` finds, until the end of the with statement."""
    before = {name: sys.modules.pop(name) for name in list(sys.modules) if name.partition(".")[0] == "cupy"}
    for name in MODULES:
        found = sys.modules[__name__]
        for part in name.split(".")[1:]:
            found = getattr(found, part)
        sys.modules[name] = found
    try:
        yield sys.modules[__name__]
    finally:
        for name in MODULES:
            del sys.modules[name]
        sys.modules.update(before)


def check_margins(*arrays):
    """Raise AssertionError where something was written before or after the memory of one of the arrays."""
    for array in arrays:
        fake_cuda.check_buffer(fake_cuda.buffer_of(array._host), f"an array {array.shape} of {array.dtype}")


# ---- between wrapped and plain arrays -------------------------------------------------------------------------------

def _placed(like, poison=False):
    """Return a NumPy array in memory of the device, of the shape, dtype and order of `like`; its values, or poison."""
    buffer, start = fake_cuda.allocate(like.nbytes)
    strides = like.strides
    if like.size and not (like.flags.c_contiguous or like.flags.f_contiguous):
        strides = np.empty_like(like).strides                        # dense, axes in the same order
    host = np.ndarray(like.shape, like.dtype, buffer, start, strides)
    if not poison:
        host[...] = like
    elif like.dtype.kind in "fc":
        host[...] = np.nan
    elif like.dtype.kind in "iu":
        host[...] = np.iinfo(like.dtype).max                         # odd, and far outside any array
    return host


def _wrapped(result, given=()):
    """Return what NumPy made as device arrays; `given` are the device arrays that it was made from."""
    if type(result) in (tuple, list):
        return type(result)(_wrapped(each, given) for each in result)
    if not isinstance(result, (np.ndarray, np.generic)):
        return result
    for each in given:
        if each._host is result:
            return each
    result = np.asarray(result)
    buffer = fake_cuda.buffer_of(result)
    if buffer is None:
        return _array(_placed(result))
    owner = next((each for each in given if fake_cuda.buffer_of(each._host) is buffer), None)
    return _array(result, owner if owner is None or owner.base is None else owner.base)


def _array(host, base=None):
    array = object.__new__(ndarray)
    array._host, array.base = host, base
    return array


def _plain(value, given):
    """Return an argument for NumPy, noting the device arrays in it; refuse arrays of NumPy."""
    if isinstance(value, ndarray):
        given.append(value)
        return value._host
    if isinstance(value, np.ndarray):
        raise TypeError(f"Unsupported type {type(value)}: an array of NumPy, {value.shape}, beside arrays of the device")
    if type(value) in (tuple, list):
        return type(value)(_plain(each, given) for each in value)
    return value


def _called(function, args, kwargs):
    """Call a function of NumPy with device arrays, and wrap what it returns."""
    unknown = UNKNOWN_ARGUMENTS & kwargs.keys()
    if unknown:
        raise TypeError(f"{function.__name__}() got an unexpected keyword argument {', '.join(unknown)!r}: CuPy has none")
    settle()
    given = []
    args, kwargs = [_plain(a, given) for a in args], {name: _plain(a, given) for name, a in kwargs.items()}
    with np.errstate(all="ignore"):                                  # a device does not warn
        return _wrapped(function(*args, **kwargs), given)


def _operand(value):
    if isinstance(value, ndarray):
        return value._host
    if isinstance(value, SCALARS):
        return value
    raise TypeError(f"Unsupported type {type(value)}: an operand is an array of the device or a number")


def _index(index):
    """Return an index for NumPy, refusing what lies on the host; the Ellipsis at its end makes of a number a 0-d view."""
    parts = index if isinstance(index, tuple) else (index,)
    for part in parts:
        numbers = (part.start, part.stop, part.step) if isinstance(part, slice) else (part,)
        on_host = not all(n is None or n is Ellipsis or type(n) is int or isinstance(n, np.integer) for n in numbers)
        if on_host and not isinstance(part, ndarray):
            raise TypeError(f"an index is made of ints, slices, None, ... and arrays of the device, got {part!r}")
    plain = tuple(part._host if isinstance(part, ndarray) else part for part in parts)
    return plain if any(part is Ellipsis for part in plain) else (*plain, ...)


# ---- arrays ---------------------------------------------------------------------------------------------------------

class MemoryPointer:
    """Where an array begins."""

    def __init__(self, host):
        self.ptr, self._host = host.ctypes.data, host


class Flags:
    """The flags that CuPy's arrays have."""

    def __init__(self, flags):
        self.c_contiguous, self.f_contiguous, self.owndata = flags.c_contiguous, flags.f_contiguous, flags.owndata

    def __getitem__(self, name):
        return getattr(self, name.lower())


class ndarray:
    """An array on the device; see the module."""

    __array_ufunc__ = None
    __hash__ = None

    def __init__(self, shape, dtype=float, memptr=None, strides=None, order="C"):
        if memptr is not None or strides is not None:
            raise NotImplementedError("the stand-in makes arrays by empty, zeros, asarray, ...")
        self._host, self.base = _placed(np.empty(shape, dtype, order), poison=True), None

    def __array__(self, dtype=None, copy=None):
        raise TypeError("Implicit conversion to a NumPy array is not allowed. Please use `.get()`.")

    def __array_function__(self, func, types, args, kwargs):
        raise TypeError(f"np.{func.__name__} was given an array of the device: use the function of its own module")

    def __getattr__(self, name):
        if name.startswith("_") or name in MISSING_METHODS.split():
            raise AttributeError(f"cupy.ndarray has no {name}")
        found = getattr(self._host, name)                            # AttributeError where NumPy has none either
        if callable(found):
            return lambda *args, **kwargs: self._method(found, args, kwargs)
        return _wrapped(found, [self])

    def _method(self, method, args, kwargs):
        def function(_, *args, **kwargs):
            return method(*args, **kwargs)

        function.__name__ = method.__name__
        return _called(function, (self, *args), kwargs)

    @property
    def data(self):
        return MemoryPointer(self._host)

    @property
    def flags(self):
        return Flags(self._host.flags)

    @property
    def device(self):
        return fake_cuda.Device()

    def get(self, stream=None, order="C", out=None, blocking=True):
        return asnumpy(self, stream, order, out)

    def set(self, arr, stream=None):
        """Copy an array of NumPy here, on a stream: at once, or when somebody waits for it."""
        if not isinstance(arr, np.ndarray):
            raise TypeError("Only numpy.ndarray can be set to cupy.ndarray")
        if arr.dtype != self.dtype:
            raise TypeError(f"{arr.dtype} array cannot be set to {self.dtype} array")
        if arr.shape != self.shape:
            raise ValueError(f"Shape mismatch. Old shape: {self.shape}, new shape: {arr.shape}")
        if not (self.flags.c_contiguous or self.flags.f_contiguous):
            raise RuntimeError("Cannot set to non-contiguous array")
        (fake_cuda.get_current_stream() if stream is None else stream).ask(lambda: np.copyto(self._host, arr))

    def item(self, *args):
        settle()
        return self._host.item(*args)

    def tolist(self):
        settle()
        return self._host.tolist()

    def copy(self, order="C"):
        settle()
        return _array(_placed(np.copy(self._host, order)))

    __copy__ = copy

    def __deepcopy__(self, memo):
        return self.copy()

    def __getitem__(self, index):
        settle()
        return _wrapped(self._host[_index(index)], [self])

    def __setitem__(self, index, value):
        settle()
        with np.errstate(all="ignore"):
            self._host[_index(index)] = _operand(value)

    def __len__(self):
        return len(self._host)

    def __iter__(self):
        return (self[i] for i in range(len(self)))

    def __float__(self):
        return float(self.item())

    def __int__(self):
        return int(self.item())

    def __bool__(self):
        return bool(self.item())

    def __complex__(self):
        return complex(self.item())

    def __format__(self, form):
        return format(self.item(), form)

    def __repr__(self):
        settle()
        return f"device {self._host!r}"


def _operators():
    """Give ndarray its operators; those in place write into the same memory."""
    def ordinary(function, swapped=False):
        def method(self, other):
            settle()
            left, right = self._host, _operand(other)
            with np.errstate(all="ignore"):
                return _wrapped(function(right, left) if swapped else function(left, right), [self])

        return method

    def in_place(function):
        def method(self, other):
            settle()
            with np.errstate(all="ignore"):
                function(self._host, _operand(other))
            return self

        return method

    for name in ("add", "sub", "mul", "truediv", "floordiv", "mod", "pow", "matmul", "and", "or", "xor", "lshift", "rshift"):
        function = getattr(operator, f"__{name}__")
        setattr(ndarray, f"__{name}__", ordinary(function))
        setattr(ndarray, f"__r{name}__", ordinary(function, swapped=True))
        if name != "matmul":                                         # CuPy has no __imatmul__
            setattr(ndarray, f"__i{name}__", in_place(getattr(operator, f"__i{name}__")))
    for name in ("eq", "ne", "lt", "le", "gt", "ge"):
        setattr(ndarray, f"__{name}__", ordinary(getattr(operator, f"__{name}__")))
    for name in ("neg", "pos", "abs", "invert"):
        function = getattr(operator, f"__{name}__")
        setattr(ndarray, f"__{name}__", lambda self, function=function: _called(function, (self,), {}))


_operators()


# ---- functions ------------------------------------------------------------------------------------------------------

def array(obj, dtype=None, copy=True, order="K", subok=False, ndmin=0, *, blocking=False):
    """Copy an array of NumPy, of the device, numbers or lists of them to the device: with `asarray` the way in."""
    settle()
    return _array(_placed(np.array(obj._host if isinstance(obj, ndarray) else obj, dtype, order=order, ndmin=ndmin)))


def asarray(a, dtype=None, order=None, *, copy=None, blocking=False):
    if isinstance(a, ndarray) and not copy and dtype in (None, a.dtype) and order in (None, "K", "A"):
        return a
    return array(a, dtype, order=order or "K")


def asnumpy(a, stream=None, order="C", out=None, *, blocking=True):
    """Copy an array of the device to NumPy: the way out."""
    settle()
    if not isinstance(a, ndarray):
        return np.asarray(a)
    if stream is not None:
        stream.synchronize()
    if out is not None:
        out[...] = a._host
        return out
    return np.array(a._host, order=order)


def empty(shape, dtype=float, order="C"):
    return ndarray(shape, dtype, order=order)


def empty_like(prototype, dtype=None, order="K", subok=None, shape=None):
    return _array(_placed(np.empty_like(_operand(prototype), dtype, order, shape=shape), poison=True))


def get_default_memory_pool():
    return fake_cuda.pool


class _Function:
    """A function of NumPy on arrays of the device."""

    def __init__(self, function):
        self._function, self.__name__ = function, function.__name__

    def __call__(self, *args, **kwargs):
        return _called(self._function, args, kwargs)

    def at(self, a, indices, b=None):
        _called(self._function.at, (a, indices) if b is None else (a, indices, b), {})

    def reduce(self, *args, **kwargs):
        return _called(self._function.reduce, args, kwargs)

    def accumulate(self, *args, **kwargs):
        return _called(self._function.accumulate, args, kwargs)

    def outer(self, *args, **kwargs):
        return _called(self._function.outer, args, kwargs)


def __getattr__(name):
    """Return what NumPy has of that name: functions made to work here, dtypes and constants as they are."""
    if name.startswith("_") or name in MISSING.split() or not hasattr(np, name):
        raise AttributeError(f"module 'cupy' has no attribute {name!r}")
    found = getattr(np, name)
    if isinstance(found, (type, float, type(None), np.dtype)):
        return found
    if not callable(found):
        raise AttributeError(f"the stand-in has no {name}: write what you need of it into {__name__}")
    return _Function(found)


# ---- kernels --------------------------------------------------------------------------------------------------------

class RawModule:
    """CUDA source compiled for the host (cuda_host)."""

    def __init__(self, code=None, *, path=None, options=(), backend="nvrtc", translate_cucomplex=False,
                 enable_cooperative_groups=False, name_expressions=None, jitify=None):  # fmt: skip
        if not isinstance(options, tuple) or not all(isinstance(option, str) for option in options):
            raise TypeError(f"options must be a tuple of texts, got {options!r}")
        if backend not in ("nvrtc", "nvcc"):
            raise ValueError(f"Invalid backend {backend!r}")
        from cuda_host import HostModule

        self._module = HostModule(code, options)

    def compile(self, log_stream=None):
        """Compile, which was done when this was made."""

    def get_function(self, name):
        return _Kernel(self._module.get_function(name), name)


class _Kernel:
    """A kernel that looks at its arguments before a launch and at the margins of their memory after it."""

    def __init__(self, function, name):
        self._function, self.name = function, name

    def __call__(self, grid, block, args, *, shared_mem=0):
        for what, size, most in (("grid", grid, (2**31 - 1, 65535, 65535)), ("block", block, (1024, 1024, 64))):
            if not isinstance(size, tuple) or not 1 <= len(size) <= 3 or not all(1 <= n <= m for n, m in zip(size, most)):
                raise ValueError(f"{self.name}: the {what} is a tuple of up to 3 sizes from 1 to {most}, got {size}")
        if np.prod(block) > 1024:
            raise ValueError(f"{self.name}: a block has 1024 threads at most, got {block}")
        arrays = [a for a in args if isinstance(a, ndarray)]
        for i, a in enumerate(args):
            if isinstance(a, ndarray):
                if not a.flags.c_contiguous:
                    raise TypeError(f"{self.name}: argument {i}, {a.shape} with strides {a.strides}, is not contiguous")
            elif not isinstance(a, np.generic):
                raise TypeError(f"{self.name}: argument {i} is a {type(a)}: pass arrays of the device and NumPy's scalars, "
                                "whose C types are told")
        settle()
        self._function(grid, block, args)
        check_margins(*arrays)

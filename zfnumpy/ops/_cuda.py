"""CUDA kernels: where their sources lie, how they are compiled, and how one is launched.

A file of kernels is compiled by CuPy (NVRTC) when its first kernel is launched, once for each dtype, and stays in CuPy's
cache on disk. The sources are plain CUDA C++ with `REAL` for the number type.
"""

import re
from functools import cache
from importlib.resources import files

import numpy as np

FILES = ("conv", "pointwise", "pool", "prepare", "windows", "winograd")    # every file of kernels, by its name without .cu
REALS = {"float32": "float", "float64": "double"}
TYPES = {np.dtype(name): (name, np.dtype(name).type) for name in REALS}     # str(dtype) takes longer than a launch
THREADS = 256                                                     # of a block, where a kernel goes over single elements
INT_MAX = 2**31 - 1


@cache
def source(file):
    """Return the CUDA source of a file of kernels, with the files that it includes in their places."""
    def text(name):
        found = (files(__package__) / "cuda" / name).read_text(encoding="utf-8")
        return re.sub(r'^#include "(.*)"$', lambda line: text(line[1]), found, flags=re.MULTILINE)

    return text(f"{file}.cu")


def options(dtype):
    """Return the compiler's options for kernels on arrays of a dtype."""
    real = REALS[str(np.dtype(dtype))]
    return "-std=c++17", f"-DREAL={real}", f"-DREAL_IS_{real.upper()}"


class Launcher:
    """What the families of CUDA operations share: launching a kernel on arrays of `self.xp`."""

    def _launch(self, file, name, grid, block, *args, dtype):
        """Launch a kernel: `grid` blocks of `block` threads, each an int or up to three; `dtype` is what REAL stands for.

        Arrays go as pointers and must be contiguous, ints as C's int, numpy.int64 as long long, floats as REAL.
        """
        (dtype, real), array_type = TYPES[np.dtype(dtype)], self.xp.ndarray
        args = tuple([_argument(a, real, array_type, name) for a in args])
        self._kernel(file, name, dtype)(_triple(grid), _triple(block), args)

    def _each(self, file, name, count, *args, dtype):
        """Launch a kernel that goes over `count` elements, a number that it takes first; nothing happens for none."""
        if count:
            blocks = min(-(-count // THREADS), INT_MAX)
            self._launch(file, name, blocks, THREADS, np.int64(count), *args, dtype=dtype)

    def _kernel(self, file, name, dtype):
        """Return a compiled kernel; they are kept, since looking one up is what a launch would spend most time on."""
        key = file, name, dtype
        if key not in self._kernels:
            module = file, dtype
            if module not in self._modules:
                self._modules[module] = self.xp.RawModule(code=source(file), options=options(dtype))
            self._kernels[key] = self._modules[module].get_function(name)
        return self._kernels[key]

    def _plain(self, array):
        """Return the array contiguous in memory, itself where it is so already."""
        return self.xp.ascontiguousarray(array)


def _triple(size):
    return (size,) if isinstance(size, int) else tuple(size)


class _Ints(dict):
    """C's ints by their values: looking one up takes a fraction of making it, and a launch takes some twenty."""

    def __missing__(self, value):
        if not -INT_MAX <= value <= INT_MAX:
            raise OverflowError(f"{value} does not fit into the 32 bits of a kernel's argument")
        if len(self) >= 4096:
            self.clear()
        self[value] = np.int32(value)
        return self[value]


_INTS = _Ints()


def _argument(value, real, array_type, name):
    """Return a kernel's argument as CuPy passes it with the width that the kernel reads."""
    kind = type(value)
    if kind is int or kind is bool:
        return _INTS[value]
    if isinstance(value, array_type):
        if not value.flags.c_contiguous:
            raise ValueError(f"{name}: an array of shape {value.shape} is not contiguous")
        return value
    return real(value) if kind is float else value

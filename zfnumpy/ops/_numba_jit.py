"""The `kernel` decorator: numba's jit with a disk cache that any edit of any kernel file invalidates.

Numba's own cache looks at the file a kernel stands in and not at the files of the functions it calls, so a stale kernel
could pass the tests; here the cache folder's name is a hash of all kernel sources. It lies in the user's cache folder,
so a read-only installation caches too. A cache folder named by NUMBA_CACHE_DIR is respected.

A kernel is compiled when it is first called with arguments of some types, and a line says so, once a process; `plain`
keeps those types few. `compiling` calls every kernel ahead of time.
"""

import atexit
import functools
import hashlib
import logging
import os
import shutil
import tempfile
from pathlib import Path

import numba
import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils, config, event
from numba.extending import intrinsic

from ..errors import ZFNumpyError
from ..paths import cache_folder, writable_folder

# OpenMP's threads else spin between kernels, which takes the cores from the loader's threads and from whatever else runs:
# a step took up to twice as long. It is read when numba starts its threads; who sets it otherwise is heeded.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")

# Sums may be reordered and multiply-adds fused, but NaN and infinity keep their meaning: training relies on seeing them.
# No "arcp": vectors would divide by approximate reciprocals and single values exactly, and which of the two versions of
# a loop runs depends on where the arrays lie in memory, so that the same call would give other bits another time.
FASTMATH = {"reassoc", "contract", "nsz"}

NONE, ONE = np.int64(0), np.int64(1)     # between kernels: for a literal 0 or 1 numba would compile a variant of its own
COMPILING = "compiling kernels for this processor"       # how the line begins that says so
TEMPORARY = "zfnumpy-kernels-"
KERNELS = []                                             # every kernel, in the order in which they are defined


@functools.cache
def kernel_cache():
    """Return the folder of compiled kernels, named by a hash of every kernel source beside this file.

    Where the user's cache folder cannot be written, a temporary one: then every process compiles anew, and works.
    """
    digest = hashlib.sha256()
    for path in sorted(Path(__file__).parent.glob("_numba_*.py")):
        digest.update(path.read_bytes())
    root = config.CACHE_DIR or cache_folder("kernels")
    try:
        return writable_folder(Path(root) / digest.hexdigest()[:16])
    except ZFNumpyError:
        folder = tempfile.mkdtemp(prefix=TEMPORARY)
        atexit.register(shutil.rmtree, folder, ignore_errors=True)
        return Path(folder)


def kernel(parallel=False):
    """Compile a function of plain loops with numba: cached on disk, without the interpreter's lock, numpy's error model."""

    def compiled(function):
        before, config.CACHE_DIR = config.CACHE_DIR, str(kernel_cache())     # read when the cache is made, which is now
        try:
            made = numba.njit(function, cache=True, nogil=True, parallel=parallel, fastmath=FASTMATH, error_model="numpy")
        finally:
            config.CACHE_DIR = before
        KERNELS.append(made)
        return made

    return compiled


class _Teller(event.Listener):
    """Logs a warning, which without a handler goes to standard error, when the first kernel is compiled, not loaded."""

    said = False

    def on_start(self, event):
        if not self.said and event.data["dispatcher"].py_func.__module__.startswith(f"{__package__}."):
            self.said = True
            folder = kernel_cache()
            often = (f"in this process only: the cache folder cannot be written, so they go to {folder}"
                     if folder.name.startswith(TEMPORARY) else "once")
            logging.getLogger("zfnumpy").warning("%s, %s (up to a minute) …", COMPILING, often)

    def on_end(self, event):
        pass


teller = _Teller()
event.register("numba:compile", teller)                  # not sent for what is loaded from the cache


class _Writable:
    """A read-only array's memory, as an array that NumPy takes to be writable; keeps the memory alive."""

    def __init__(self, array):
        interface = array.__array_interface__
        self.array, self.__array_interface__ = array, {**interface, "data": (interface["data"][0], False)}


def plain(value):
    """Return a kernel's argument in the one type that kernels are compiled for.

    To numba a read-only array has another type than a writable one, and an int32 scalar than an int: each kernel would be
    compiled again. A kernel writes only to arrays that were made for it, or that were found writable before.
    """
    if isinstance(value, np.ndarray):
        value = value if value.flags.aligned else value.copy()
        return value if value.flags.writeable else np.asarray(_Writable(value))
    if isinstance(value, tuple):
        return tuple(map(plain, value))
    return int(value) if isinstance(value, np.integer) else value


@intrinsic
def _pointer(typing, array):
    """The address of a contiguous array's first element, as a C pointer."""

    def codegen(context, builder, signature, args):
        return context.make_array(signature.args[0])(context, builder, args[0]).data

    return types.CPointer(array.dtype)(array), codegen


@intrinsic
def _prefetch(typing, start, i):
    """Ask for the cache line of start[i], a pointer's, before it is needed; any address will do."""

    def codegen(context, builder, signature, args):
        byte, number = ir.IntType(8).as_pointer(), ir.IntType(32)
        ask = cgutils.get_or_insert_function(
            builder.module, ir.FunctionType(ir.VoidType(), [byte, number, number, number]), "llvm.prefetch.p0i8")
        to_read, into_second_level, data = (ir.Constant(number, value) for value in (0, 2, 1))
        builder.call(ask, [builder.bitcast(builder.gep(args[0], [args[1]]), byte), to_read, into_second_level, data])
        return context.get_dummy_value()

    return types.void(start, types.intp), codegen


def _itself(array):
    return array


def _nothing(start, i):
    pass


# x = pointer(x) inside a kernel: from there x[i] is one load. Indexing an array also asks whether i is below 0, as Python's
# indices may be, and where the compiler cannot rule that out, x[start + i] is not vectorized: five times slower. A pointer
# knows neither shape nor dtype, so what needs these stands before it; without compiling, it is the array.
pointer = _itself if config.DISABLE_JIT else _pointer
prefetch = _nothing if config.DISABLE_JIT else _prefetch

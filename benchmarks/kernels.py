"""Building the CUDA kernels: the seconds it takes, and what each kernel takes of the card."""

import contextlib
import os
import re
import tempfile
import time

from zfnumpy.ops import _cuda

KERNEL = re.compile(r'extern "C" __global__ void (?:__launch_bounds__\([^)]*\) )?(\w+)\(')
FLOAT_ONLY = re.compile(r"^#ifdef REAL_IS_FLOAT$.*?^#(endif|else)", re.DOTALL | re.MULTILINE)
TAKEN = {"registers": "num_regs", "local": "local_size_bytes", "shared": "shared_size_bytes"}


@contextlib.contextmanager
def empty_cache(wanted=True):
    """Let a CuPy that is imported in here keep its compiled kernels in a folder that is empty now, and gone in the end.

    CuPy asks for the place of its cache once, when it is imported: later than that this does nothing.
    """
    before = os.environ.get("CUPY_CACHE_DIR")
    with tempfile.TemporaryDirectory(prefix="zfnumpy-cold-") as folder:
        if wanted:
            os.environ["CUPY_CACHE_DIR"] = folder
        try:
            yield
        finally:
            if wanted:
                os.environ.pop("CUPY_CACHE_DIR")
                os.environ.update({} if before is None else {"CUPY_CACHE_DIR": before})


def build(ops, cold=False):
    """Compile every kernel, in both number types: {"cold", "seconds": {"conv float32": …}, "kernels": [{…}, …]}.

    A kernel tells its registers, and the bytes of local memory a thread (above 0: it spills, or holds an array that it
    indexes by a variable) and of shared memory a block. `cold` is what is told of CuPy's cache: see empty_cache.
    """
    seconds, found = {}, []
    for file in _cuda.FILES:
        for dtype in _cuda.REALS:
            begin = time.perf_counter()
            for name in names(file, dtype):
                kernel = ops._kernel(file, name, dtype)
                found.append({"file": file, "name": name, "dtype": dtype,
                              **{key: getattr(kernel, attribute, None) for key, attribute in TAKEN.items()}})
            seconds[f"{file} {dtype}"] = round(time.perf_counter() - begin, 3)
    return {"cold": cold, "seconds": seconds, "kernels": found}


def names(file, dtype):
    """Return the names of the kernels that a file has for a number type."""
    source = _cuda.source(file)
    return KERNEL.findall(source if dtype == "float32" else FLOAT_ONLY.sub("", source))

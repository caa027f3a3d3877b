"""Compiles CUDA kernels for the processor and runs them there, thread by thread: their arithmetic without a GPU.

What stands in for CUDA is `cuda_host.h`. `HostModule` takes the place of CuPy's RawModule: same source, same options,
same launches. It is strict where a GPU would silently read something else: every argument must have the type that the
kernel declares.
"""

import ctypes
import hashlib
import os
import re
import shutil
import subprocess
import tempfile
from functools import cache
from pathlib import Path

import numpy as np

COMPILER = os.environ.get("CXX") or shutil.which("g++") or shutil.which("clang++")
FLAGS = ("-O2", "-fPIC", "-shared", "-w", "-fno-strict-aliasing")
HEADER = Path(__file__).with_name("cuda_host.h")
KERNEL = re.compile(r'extern\s+"C"\s+__global__\s+void\s+(?:__launch_bounds__\s*\([^)]*\)\s+)?(\w+)\s*\(([^)]*)\)')
TYPES = {"int": np.int32, "long long": np.int64, "index_t": np.int64, "unsigned": np.uint32, "unsigned int": np.uint32,
         "unsigned long long": np.uint64, "unsigned char": np.uint8, "float": np.float32, "double": np.float64}


class HostModule:
    """The kernels of a CUDA source, compiled for the processor. Its kernels take (grid, block, args) as CuPy's do."""

    def __init__(self, code, options=()):
        if COMPILER is None:
            raise RuntimeError("no C++ compiler: install g++ or clang++, or name one in $CXX")
        kernels = KERNEL.findall(_preprocessed(code, tuple(options)))
        self.parameters = {name: [_kind(p) for p in declared.split(",")] for name, declared in kernels}
        self.library = ctypes.CDLL(_compiled(code, tuple(options), tuple(self.parameters)))

    def get_function(self, name):
        return HostKernel(name, getattr(self.library, f"host_{name}"), self.parameters[name])


class HostKernel:
    """One kernel. `order` seeds the order in which threads and blocks take their turns."""

    order = 12345

    def __init__(self, name, function, parameters):
        self.name, self.function, self.parameters = name, function, parameters
        function.restype = ctypes.c_char_p
        function.argtypes = [ctypes.c_void_p, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_ulonglong]

    def __call__(self, grid, block, args):
        if len(args) != len(self.parameters):
            raise TypeError(f"{self.name} takes {len(self.parameters)} arguments, got {len(args)}")
        grid, block = (tuple(size) + (1,) * (3 - len(size)) for size in (grid, block))
        limits = (2**31 - 1, 65535, 65535)
        if not all(1 <= n <= most for n, most in zip(grid, limits)) or not 1 <= np.prod(block) <= 1024 or block[2] > 64:
            raise ValueError(f"{self.name}: CUDA takes no grid of {grid} blocks of {block} threads")
        cells = [_cell(self.name, i, value, kind) for i, (value, kind) in enumerate(zip(args, self.parameters))]
        pointers = (ctypes.c_void_p * len(cells))(*(cell.ctypes.data for cell in cells))
        sizes = [np.array(size, np.uint32) for size in (grid, block)]
        trouble = self.function(*(size.ctypes.data for size in sizes), ctypes.addressof(pointers), self.order)
        if trouble:
            raise RuntimeError(f"{self.name}: {trouble.decode()}")


def _kind(parameter):
    """Return the NumPy type of a kernel's parameter: its own, or what it points to, and whether it is a pointer."""
    text = " ".join(re.sub(r"\bconst\b|__restrict__|\*", " ", parameter).split()[:-1])
    return TYPES[text], "*" in parameter


def _cell(name, i, value, kind):
    """Return the memory that holds an argument, after checking it against what the kernel declares."""
    dtype, pointer = kind
    found = value.dtype if hasattr(value, "dtype") else type(value).__name__
    if pointer != hasattr(getattr(value, "data", None), "ptr") or found != dtype:      # NumPy scalars have a `data` too
        raise TypeError(f"{name}: argument {i} must be {np.dtype(dtype)}{' array' * pointer}, "
                        f"got {type(value).__name__} {found}")
    return np.array([value.data.ptr], np.uint64) if pointer else np.array([value], dtype)


@cache
def _preprocessed(code, options):
    """Return the source with its macros spelled out and without comments, as the compiler reads it."""
    return _run([COMPILER, "-E", "-P", "-x", "c++", *options, "-"], code)


def _run(command, text=None):
    done = subprocess.run(command, input=text, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"the kernels do not compile for the processor:\n{done.stderr[:4000]}")
    return done.stdout


@cache
def _compiled(code, options, names):
    """Compile a source for the processor, once for all runs of the tests, and return the library's path."""
    text = f'#include "{HEADER.name}"\n{code}\n' + "".join(f"HOST_KERNEL({name})\n" for name in names)
    version = _run([COMPILER, "--version"])
    key = hashlib.sha256("\0".join([text, HEADER.read_text(), version, *FLAGS, *options]).encode()).hexdigest()[:24]
    folder = Path(tempfile.gettempdir()) / f"zfnumpy-cuda-on-host-{os.getuid()}"
    folder.mkdir(mode=0o700, exist_ok=True)
    path = folder / f"{key}.so"
    if not path.exists():
        with tempfile.TemporaryDirectory() as work:
            unit, made = Path(work, "kernels.cpp"), Path(work, "kernels.so")
            unit.write_text(text)
            _run([COMPILER, *FLAGS, *options, f"-I{HEADER.parent}", str(unit), "-o", str(made)])
            shutil.copy(made, path.with_suffix(f".{os.getpid()}"))
            path.with_suffix(f".{os.getpid()}").rename(path)
    return str(path)

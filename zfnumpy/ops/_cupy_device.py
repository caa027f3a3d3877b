"""The GPU itself, asked through CuPy: whether it can be used, what it is, and its memory."""

import re

from ..errors import BackendError

PACKAGE = "'cupy-cuda{}x[ctk]'"         # with [ctk] come cuBLAS, NVRTC and CUDA's headers
INSTALL = f"pip install {PACKAGE.format(12)} (nvidia-smi says CUDA 12) or {PACKAGE.format(13)} (CUDA 13)"
UNITS = {"K": 2**10, "M": 2**20, "G": 2**30}
TF32_FROM = 8, 0                       # the compute capability of the first cards that have it


def refuse_missing(error):
    """Raise the BackendError of an `import cupy` that failed: not installed, or installed and broken."""
    if isinstance(error, ModuleNotFoundError) and error.name == "cupy":
        raise BackendError(f"the cupy backend needs CuPy, which is not installed: {INSTALL}") from error
    raise BackendError(f"CuPy is here but cannot be imported ({_line(error)}): pip uninstall it, then {INSTALL}") from error


def check_device(cupy):
    """Raise a BackendError that says what to do where there is no driver, an old one, no GPU or a library missing."""
    runtime = cupy.cuda.runtime
    try:
        devices, trouble = runtime.getDeviceCount(), None
    except Exception as error:              # CuPy has an error class of its own for each library
        devices, trouble = 0, error
    if not devices:
        _refuse_no_device(cupy, trouble)
    made_for = runtime.runtimeGetVersion() // 1000
    for name, ask in (("cuBLAS", lambda: cupy.cuda.cublas), ("NVRTC", lambda: cupy.cuda.nvrtc.getVersion())):
        try:
            ask()                           # the first use loads the library; CuPy may find that of another CUDA first
        except Exception as error:
            raise BackendError(f"CuPy {cupy.__version__} finds a GPU but not CUDA's library {name} ({_line(error)}): "
                               f"pip install {PACKAGE.format(made_for)}, or the CuPy for the CUDA of a PyTorch that is "
                               "installed here: the two must have the same") from error


def _refuse_no_device(cupy, trouble):
    """Raise the BackendError of a machine where CuPy finds no device; `trouble` is what CUDA said, if anything."""
    runtime, what = cupy.cuda.runtime, f"CuPy {cupy.__version__}"
    try:
        driver, made_for = runtime.driverGetVersion(), runtime.runtimeGetVersion()
    except Exception:
        driver = made_for = None
    said = f" ({_line(trouble)})" if trouble else ""
    if driver == 0:
        text = f"{what} is installed, but there is no NVIDIA driver: install it, until nvidia-smi shows the card"
    elif driver is not None and driver // 1000 < made_for // 1000:
        text = f"the NVIDIA driver knows CUDA {_version(driver)}, {what} needs {_version(made_for)}: update the driver"
        if driver // 1000 == 12:
            text += f", or pip uninstall CuPy and pip install {PACKAGE.format(12)}"
    else:
        text = f"{what} finds no GPU{said}; look whether nvidia-smi shows one, and at CUDA_VISIBLE_DEVICES"
    raise BackendError(text) from trouble


def memory_bytes(memory):
    """Return a bound of memory in bytes: from a whole number of bytes, or from text as "8G", "1.5G", "512M", "4096K"."""
    found = re.fullmatch(r"(\d+(?:\.\d+)?)([KMG])", memory.strip().upper()) if isinstance(memory, str) else None
    size = int(float(found[1]) * UNITS[found[2]]) if found else memory
    if not isinstance(size, int) or isinstance(size, bool) or size < 1:
        raise BackendError(f"a GPU's memory is bounded by a number of bytes or by text as 8G or 512M, got {memory!r}")
    return size


class Device:
    """What CupyOps tells of its device; `self.xp` is CuPy."""

    @property
    def _properties(self):
        runtime = self.xp.cuda.runtime
        return runtime.getDeviceProperties(runtime.getDevice())

    @property
    def _name(self):
        name = self._properties["name"]
        return name.decode(errors="replace") if isinstance(name, bytes) else name

    def _bound_memory(self, memory):
        """Let the process's arrays take so much of the card's memory and no more; None leaves the bound as it is."""
        if memory is None:
            return
        size, total = memory_bytes(memory), self.xp.cuda.runtime.memGetInfo()[1]
        if size > total:
            raise BackendError(f"the GPU's memory cannot be bounded at {_gib(size)}: {self._name} has {_gib(total)}")
        self.xp.get_default_memory_pool().set_limit(size=size)

    def _check_tf32(self):
        """Refuse TF32 on a card that does not have it."""
        found = self._properties["major"], self._properties["minor"]
        if found < TF32_FROM:
            raise BackendError(f"TF32 needs compute capability {_dotted(TF32_FROM)}, and {self._name} has {_dotted(found)}; "
                               "leave it out")

    def describe(self):
        runtime, facts = self.xp.cuda.runtime, self._properties
        (free, total), limit = runtime.memGetInfo(), self.xp.get_default_memory_pool().get_limit()
        return "\n".join([
            self._name,
            f"compute capability {facts['major']}.{facts['minor']}, {facts['multiProcessorCount']} multiprocessors"
            + (", matrix products in TF32" if self.tf32 else ""),
            f"memory {_gib(free)} free of {_gib(total)}, " + (f"bounded at {_gib(limit)}" if limit else "not bounded"),
            f"CuPy {self.xp.__version__}, CUDA {_version(runtime.runtimeGetVersion())}, "
            f"driver for CUDA {_version(runtime.driverGetVersion())}"])

    def device_memory(self):
        pool = self.xp.get_default_memory_pool()
        reserved = pool.total_bytes()
        most = reserved + self.xp.cuda.runtime.memGetInfo()[0]
        return reserved, min(most, pool.get_limit() or most)

    def release_memory(self):
        self.synchronize()
        self.xp.get_default_memory_pool().free_all_blocks()


def _line(error):
    """Return the first line of what a library said."""
    return str(error).strip().partition("\n")[0] or type(error).__name__


def _gib(size):
    return f"{size / 2**30:.1f} GiB" if size >= 2**30 else f"{size / 2**20:.1f} MiB"


def _version(number):
    """Return CUDA's number 12090 as it is written, "12.9"."""
    return f"{number // 1000}.{number % 1000 // 10}"


def _dotted(pair):
    return ".".join(map(str, pair))

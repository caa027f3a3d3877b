"""The operations on a GPU through CuPy: a family of kernels a module, and the reference for what needs none."""

import weakref

from ._cuda import FILES, options, source
from ._cupy_conv import Convolutions
from ._cupy_device import Device, check_device, refuse_missing
from ._cupy_feed import Feeds
from ._cupy_linear import Products
from ._cupy_pointwise import Pointwise
from ._cupy_pool import Pools
from ._cupy_windows import WindowsOfMaps
from .reference import Ops


def gpu_answers():
    """Tell whether CuPy is installed and finds a device."""
    try:
        import cupy

        return cupy.cuda.runtime.getDeviceCount() > 0
    except Exception:    # CuPy raises its own errors for a missing driver: whatever it is, there is no device to use
        return False


class CupyOps(Device, Convolutions, Feeds, Products, Pools, Pointwise, WindowsOfMaps, Ops):
    """The operations on CuPy arrays.

    memory bounds the bytes of the device that arrays take (a number, or text as "8G"), for the whole process. tf32 lets
    matrix products in float32 round their inputs to TF32's 10 bits of mantissa, for speed. BackendError, in one line that
    says what to do, where CuPy, the driver, the GPU or a library is missing.
    """

    name = "cupy"

    def __init__(self, memory=None, tf32=False):
        try:
            import cupy
        except Exception as error:           # a broken installation raises more than ImportError
            refuse_missing(error)
        check_device(cupy)
        super().__init__(cupy)
        self._modules, self._kernels, self._tables = {}, {}, {}
        self._own_switches = weakref.WeakValueDictionary()           # (id, pixels of a plane) → switches of our max pools
        self.tf32, self.multiprocessors = bool(tf32), self._properties["multiProcessorCount"]
        if self.tf32:
            self._check_tf32()
        self._bound_memory(memory)

    def to_numpy(self, array):
        return self.xp.asnumpy(array)

    def synchronize(self):
        self.xp.cuda.get_current_stream().synchronize()

    def compile_kernels(self, dtypes=("float32",), progress=iter):
        for file, dtype in progress([(file, dtype) for dtype in dtypes for file in FILES]):
            self.xp.RawModule(code=source(file), options=options(dtype)).compile()
        return f"{len(FILES)} files of kernels are compiled, kept in CuPy's cache"

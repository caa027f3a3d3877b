"""The operations on a GPU through CuPy: the reference on CuPy's arrays."""

from ..errors import BackendError
from ._cupy_conv import Convolutions
from ._cupy_feed import Feeds
from ._cupy_linear import Products
from ._cupy_pointwise import Pointwise
from ._cupy_pool import Pools
from ._cupy_windows import WindowsOfMaps
from .reference import Ops

NO_GPU = "CuPy {} finds no GPU; check the driver with nvidia-smi"
INSTALL = "pip install cupy-cuda12x (CUDA 12) or cupy-cuda13x (CUDA 13)"


def gpu_answers():
    """Tell whether CuPy is installed and finds a device."""
    try:
        import cupy

        return cupy.cuda.runtime.getDeviceCount() > 0
    except Exception:    # CuPy raises its own errors for a missing driver: whatever it is, there is no device to use
        return False


class CupyOps(Convolutions, Feeds, Products, Pools, Pointwise, WindowsOfMaps, Ops):
    """The reference's operations on CuPy arrays."""

    name = "cupy"

    def __init__(self, tf32=False):
        try:
            import cupy
        except ImportError as error:
            raise BackendError(f"the cupy backend needs CuPy, which is not installed: {INSTALL}") from error
        try:
            devices = cupy.cuda.runtime.getDeviceCount()
        except Exception as error:
            raise BackendError(f"{NO_GPU.format(cupy.__version__)} ({error})") from error
        if not devices:
            raise BackendError(NO_GPU.format(cupy.__version__))
        super().__init__(cupy)
        self._modules, self._kernels, self._tables = {}, {}, {}
        self.tf32, self.multiprocessors = tf32, cupy.cuda.Device().attributes["MultiProcessorCount"]

    def to_numpy(self, array):
        return self.xp.asnumpy(array)

    def synchronize(self):
        self.xp.cuda.get_current_stream().synchronize()

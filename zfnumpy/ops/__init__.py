"""Arrays in, arrays out: the operations of a convolutional network, one class a backend.

`get_ops(name)` imports a backend only when it is asked for by name.
"""

from ..errors import BackendError

BACKENDS = ("numpy", "numba", "cupy", "auto")


def get_ops(name="auto", threads=None):
    """Return the operations of a backend: "numpy" (the readable reference), "numba", "cupy" or "auto".

    "auto" takes CuPy where a GPU answers, else numba. `threads` bounds the cores that numba's kernels use (default:
    all, or NUMBA_NUM_THREADS); numba's results have the same bits for every number. Raises BackendError, with the
    install command, where the backend asked for is missing: there is no silent fallback.
    """
    if name == "numpy":
        from .reference import Ops

        return Ops()
    if name == "numba":
        try:
            from .numba_ops import NumbaOps
        except ImportError as error:
            raise BackendError(f"the numba backend needs numba ({error}): pip install numba") from error
        return NumbaOps(threads)
    if name == "cupy":
        from .cupy_ops import CupyOps

        return CupyOps()
    if name == "auto":
        from .cupy_ops import gpu_answers

        return get_ops("cupy" if gpu_answers() else "numba", threads)
    raise BackendError(f"there is no backend {name!r}; use one of {', '.join(BACKENDS)}")

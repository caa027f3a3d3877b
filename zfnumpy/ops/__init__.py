"""Arrays in, arrays out: the operations of a convolutional network, one class a backend.

`get_ops(name)` imports a backend only when it is asked for by name.
"""

from ..errors import BackendError

BACKENDS = ("numpy", "numba", "cupy", "auto")


def get_ops(name="auto", threads=None, memory=None, tf32=False):
    """Return the operations of a backend: "numpy" (the readable reference), "numba", "cupy" or "auto".

    "auto" takes CuPy where a GPU answers, else numba. `threads` bounds the cores that numba's kernels use (default:
    all, or NUMBA_NUM_THREADS); numba's results have the same bits for every number. `memory` bounds what cupy's arrays
    take of the GPU (bytes, or text as "8G" or "512M"), and `tf32` lets its matrix products round their inputs to TF32;
    other backends refuse them. Raises BackendError, with the install command, where the backend asked for is missing:
    there is no silent fallback.
    """
    if name == "auto":
        from .cupy_ops import gpu_answers

        name = "cupy" if gpu_answers() else "numba"
    if name == "cupy":
        from .cupy_ops import CupyOps

        return CupyOps(memory, tf32)
    if name in BACKENDS and (memory is not None or tf32):
        given = " and ".join(what for what, there in (("memory (--gpu-memory)", memory is not None),
                                                      ("tf32 (--tf32)", tf32)) if there)
        raise BackendError(f"{given} can be set on a GPU only, and here the {name} backend computes on the processor; "
                           "leave it out, or ask for the cupy backend to learn why there is no GPU")
    if name == "numpy":
        from .reference import Ops

        return Ops()
    if name == "numba":
        try:
            from .numba_ops import NumbaOps
        except ImportError as error:
            raise BackendError(f"the numba backend needs numba ({error}): pip install numba") from error
        return NumbaOps(threads)
    raise BackendError(f"there is no backend {name!r}; use one of {', '.join(BACKENDS)}")

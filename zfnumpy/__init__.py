"""ZFNet and the deconvnet of Zeiler & Fergus in NumPy, with a numba core and an optional CuPy backend.

Submodules are imported when they are first asked for, so that `import zfnumpy` costs little more than `import numpy`.
"""

import importlib

__version__ = "0.1.0"

_HOME = {"get_ops": "ops", "Network": "network", "ZFNumpyError": "errors"}
_MODULES = ("checkpoint", "data", "errors", "estimate", "evaluate", "gradcheck", "graph", "layers", "loss", "models",
            "network", "ops", "optim", "plots", "receptive", "shapes", "train", "visualize")

__all__ = ["__version__", *_HOME, *_MODULES]


def __getattr__(name):
    if name in _HOME:
        value = getattr(importlib.import_module(f".{_HOME[name]}", __name__), name)
    elif name in _MODULES:
        value = importlib.import_module(f".{name}", __name__)
    else:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    globals()[name] = value
    return value


def __dir__():
    return sorted(__all__)

"""The exceptions: one clear line each, with what was wrong, where, both numbers, and what to do."""


class ZFNumpyError(Exception):
    """Anything that zfnumpy refuses; the command line shows its message as one line and exits with code 2."""


class ShapeError(ZFNumpyError, ValueError):
    """Array shapes or settings that do not fit one another."""


class DTypeError(ZFNumpyError, TypeError):
    """An array of another dtype than float32 or float64, or two dtypes in one operation."""


class BackendError(ZFNumpyError, RuntimeError):
    """A backend that does not exist, or that is not installed or has no device."""


class NodeError(ZFNumpyError, ValueError):
    """A node, layer or unit that the network does not have."""


class DataError(ZFNumpyError, ValueError):
    """Images, folders or labels that cannot be read or used."""


class CheckpointError(ZFNumpyError, ValueError):
    """A weight file that is truncated, of another architecture, or not a checkpoint of ours."""


class TrainingError(ZFNumpyError, ArithmeticError):
    """Training that cannot go on: a loss that is not finite, for one."""


class OutOfMemory(ZFNumpyError, MemoryError):
    """Work that has no room in the memory there is."""

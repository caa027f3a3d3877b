"""What a backend is beside its operations: where its arrays lie, how they get there and back, and its device."""

from ..errors import BackendError


class Backend:
    """Arrays and device of a backend; `xp` is its array module and `name` what get_ops calls it."""

    name = None
    xp = None

    # ---- arrays -----------------------------------------------------------------------------------------------------

    def asarray(self, array, dtype=None):
        """Return `array` as an array of this backend, copying only where it must."""
        return self.xp.asarray(array, dtype=dtype)

    def to_numpy(self, array):
        """Return an array of this backend as a NumPy array: the one place where results come back to the host."""
        return array

    def synchronize(self):
        """Wait until everything asked of the device is done (a no-op on the processor)."""

    def feeder(self):
        """Return what brings uint8 pictures to the device ahead of their use, or None where the host prepares batches."""

    # ---- the device -------------------------------------------------------------------------------------------------

    def describe(self):
        """Return what this backend computes on, a line or several."""
        return "the processor, in plain NumPy"

    def device_memory(self):
        """Return the bytes of the device's memory that arrays have reserved, and the most they may; None on the processor.

        What is reserved does not shrink when arrays go, until release_memory: it is the most that was needed since.
        """

    def release_memory(self):
        """Give back the device's memory that is reserved and holds no array (a no-op on the processor)."""

    def compile_kernels(self, dtypes=("float32",), progress=iter):
        """Compile ahead what operations on arrays of these dtypes need, and return in a line what was done.

        `progress` wraps the list of what is to be done (tqdm, say). BackendError where there is nothing to compile.
        """
        raise BackendError(f"the {self.name} backend has no kernels of ours to compile; leave out --backend")

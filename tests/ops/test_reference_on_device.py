"""The reference names no array module but its own: the same lines give the same bits on a device's arrays."""

import numpy as np
import pytest
from test_refusals import GOOD
from test_windows import ABOVE, BELOW, POOLED, SWITCHES, WEIGHT, R, X, switched

from zfnumpy import get_ops

WINDOWED = {
    "cut_windows": (X, BELOW), "patch_windows": (X, np.ones((4, 3, 2, 3), "float32"), BELOW._replace(size=(2, 3)), BELOW),
    "unpool_windows": (R, switched(0, 2, 5, (6, 6))[0], POOLED, ABOVE),
    "transpose_windows": (R, WEIGHT, ABOVE, BELOW), "transpose_windows, rectified": (R, WEIGHT, ABOVE, BELOW, 1, 0, 1, True),
    "transpose_windows, unpooled": (R, WEIGHT, ABOVE, BELOW, 1, 0, 1, True, (SWITCHES, POOLED, None)),
}
DENSE = {**GOOD, "dropout_mask": ((4, 5), 0.5, None, "float32"), "conv2d, strided": (*GOOD["conv2d"], 2, 1, 1, True),
         "conv2d_weight_grad_unpooled": (GOOD["conv2d_input_grad"][0][:, :, ::2, ::2], np.zeros((2, 3, 2, 2), np.int32),
                                         *GOOD["conv2d_weight_grad"][1:])}


def moved(xp, args):
    """Return arguments with their arrays on the device, where xp is the device's module, else copied."""
    place = np.array if xp is np else xp.asarray

    def there(value):
        if type(value) is tuple:                             # as `unpool` is one
            return tuple(there(each) for each in value)
        return place(value) if isinstance(value, np.ndarray) else value

    return [there(value) for value in args]


@pytest.mark.parametrize("case", [*DENSE, *WINDOWED])
def test_the_same_bits(reference_on_device, case):
    name, rng = case.partition(",")[0], np.random.default_rng(0)
    args = [rng.standard_normal(a.shape).astype(a.dtype) if isinstance(a, np.ndarray) and a.dtype.kind == "f" else a
            for a in {**DENSE, **WINDOWED}[case]]
    found = []
    for ops in (reference_on_device, get_ops("numpy")):
        given = moved(ops.xp, args)
        if name == "dropout_mask":
            given[2] = np.random.default_rng(1)
        results = getattr(ops, name)(*given)
        results = given if results is None else results if isinstance(results, tuple) else (results,)
        found.append([np.array(r) if ops.xp is np else r.get() for r in results if hasattr(r, "shape")])
    assert len(found[0]) == len(found[1]) > 0
    for one, other in zip(*found):
        assert one.dtype == other.dtype
        np.testing.assert_array_equal(one, other)

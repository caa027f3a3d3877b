"""Compile every kernel ahead of time: call each operation once on small arrays, and see what that compiled."""

import inspect
import time
from typing import NamedTuple

import numpy as np

from ..errors import BackendError
from ..shapes import Windows
from . import _numba_jit
from .face import RULES


class Compiled(NamedTuple):
    """How many kernels are ready, how many of them had to be compiled in what time, and the folder that keeps them."""

    ready: int
    new: int
    folder: str
    seconds: float

    def __str__(self):
        if not self.new:
            return f"all {self.ready} kernels were there, in {self.folder}"
        of = "" if self.new == self.ready else f"of {self.ready} "
        return f"compiled {self.new} {of}kernel{'s' * (self.ready > 1)} in {self.seconds:.0f} s, kept in {self.folder}"


def calls(ops, dtype):
    """Return functions that between them call every kernel there is with the types of arrays of `dtype`."""
    def a(*shape):
        return np.ones(shape, dtype)

    x, weight, features = a(2, 4, 9, 9), a(6, 4, 3, 3), a(5, 8)
    y, (pooled, switches) = a(2, 6, 9, 9), (a(2, 4, 5, 5), np.zeros((2, 4, 5, 5), np.int32))
    # Two windows of 2×2 pooled pixels, of what these were pooled from, and of the input of the convolution below.
    pooled_at = Windows(np.zeros(2, np.int64), np.zeros((2, 2), np.int64), (2, 2), (5, 5))
    above = pooled_at.under((3, 3), (2, 2), (1, 1), (9, 9))
    below = above.under((3, 3), (1, 1), (1, 1), (9, 9))
    rule_calls = [lambda rule=rule: ops.relu_backward(x, x, rule) for rule in RULES]
    return [
        lambda: ops.im2col(x, 3, 2, 1), lambda: ops.col2im(a(2, 36, 25), x.shape, 3, 2, 1),
        lambda: ops.conv2d(x, weight, a(6), pad=1, relu=True), lambda: ops.conv2d(x, a(6, 2, 3, 3), stride=2, groups=2),
        lambda: ops.conv2d_weight_grad(y, x, weight.shape, pad=1),
        lambda: ops.conv2d_weight_grad(a(2, 6, 4, 4), x, weight.shape, 2),
        lambda: ops.conv2d_input_grad(y, weight, x.shape, pad=1),
        lambda: ops.conv2d_input_grad(a(2, 6, 4, 4), weight, x.shape, 2),
        lambda: ops.conv_transpose2d(y, weight, a(4), 2, 1, 1),
        lambda: ops.conv2d_weight_grad_unpooled(a(2, 6, 5, 5), np.zeros((2, 6, 5, 5), np.int32), x, weight.shape, 2, 1),
        # Maps deep enough to go by Winograd's tiles.
        lambda: ops.conv2d(a(8, 64, 14, 14), a(64, 64, 3, 3), pad=1),
        lambda: ops.conv2d_input_grad(a(8, 64, 14, 14), a(64, 64, 3, 3), (8, 64, 14, 14), pad=1),
        lambda: ops.conv2d_weight_grad(a(8, 64, 14, 14), a(8, 64, 14, 14), (64, 64, 3, 3), pad=1),
        lambda: ops.bias_grad(y), lambda: ops.bias_grad(features),
        lambda: ops.linear(features, a(7, 8), a(7), relu=True), lambda: ops.linear(features[:1], a(7, 8)),
        lambda: ops.linear_input_grad(a(5, 7), a(7, 8)), lambda: ops.linear_weight_grad(a(5, 7), features),
        lambda: ops.max_pool2d(x, 3, 2, 1), lambda: ops.max_unpool2d(pooled, switches, x.shape, 3, 2, 1),
        lambda: ops.avg_pool2d(x, 3, 2, 1), lambda: ops.avg_pool2d_grad(pooled, x.shape, 3, 2, 1),
        lambda: ops.relu(x), *rule_calls, lambda: ops.relu_backward(x, None, "guided"),
        lambda: ops.local_response_norm(x), lambda: ops.local_response_norm_grad(x, x),
        lambda: ops.cut_windows(x, above), lambda: ops.patch_windows(x, a(2, 4, *above.size), above, above),
        lambda: ops.unpool_windows(a(2, 4, 2, 2), switches, pooled_at, above),
        lambda: ops.transpose_windows(a(2, 6, *above.size), weight, above, below, pad=1, rectify=True),
        lambda: ops.transpose_windows(a(2, 6, 2, 2), weight, above, below, pad=1,
                                      unpool=(np.zeros((2, 6, 5, 5), np.int32), pooled_at, None)),
        lambda: ops.sgd_update(a(9), a(9), a(9), 0.1, 0.9, 1e-4), lambda: ops.renormalize_filters(a(6, 4)),
    ]


def compile_kernels(ops, dtypes=("float32",), progress=iter):
    """Compile, or find compiled, what the operations of NumbaOps need for arrays of these dtypes: a Compiled.

    `progress` wraps the list of calls (tqdm, say). What is said of compiling otherwise is not said here. BackendError
    where the folder of compiled kernels cannot be written: nothing would be kept.
    """
    if _numba_jit.kernel_cache().name.startswith(_numba_jit.TEMPORARY):
        raise BackendError("compiled kernels cannot be kept: their folder cannot be written; set NUMBA_CACHE_DIR")
    begin = time.perf_counter()
    said, _numba_jit.teller.said = _numba_jit.teller.said, True
    try:
        before = {kernel: sum(kernel.stats.cache_misses.values()) for kernel in called()}
        for call in progress([call for dtype in dtypes for call in calls(ops, dtype)]):
            call()
    finally:
        _numba_jit.teller.said = said
    new = sum(sum(kernel.stats.cache_misses.values()) - count for kernel, count in before.items())
    return Compiled(sum(len(kernel.overloads) for kernel in before), new, str(_numba_jit.kernel_cache()),
                    time.perf_counter() - begin)


def called():
    """Return the kernels that operations call, and not only other kernels: those that take `threads`; none without jit."""
    found = [kernel for kernel in _numba_jit.KERNELS if hasattr(kernel, "py_func")]
    return [kernel for kernel in found if "threads" in inspect.signature(kernel.py_func).parameters]

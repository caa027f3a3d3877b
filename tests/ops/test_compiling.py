"""What `zfnumpy compile` calls is every kernel in every type that a network needs, and no kernel is compiled twice."""

import numba
import numpy as np
import pytest

from zfnumpy import Network, get_ops, models, visualize
from zfnumpy.layers import AvgPool2d, Concatenate, Conv2d, Dropout, GlobalAvgPool, Linear, LocalResponseNorm, MaxPool2d, ReLU
from zfnumpy.loss import softmax_cross_entropy
from zfnumpy.ops._numba_jit import plain
from zfnumpy.ops.compiling import called, calls, compile_kernels
from zfnumpy.ops.numba_ops import NumbaOps
from zfnumpy.optim import SGD

RULES = ("deconvnet", "guided", "gradient")


@pytest.fixture(scope="module")
def ops():
    return get_ops("numba")


@pytest.fixture
def seen(monkeypatch):
    """The kernels that are run from here on, each with the types of its arguments."""
    found, run = set(), NumbaOps._run

    def watched(self, kernel, *args):
        found.add((kernel, tuple(numba.typeof(plain(a)) for a in args)))
        return run(self, kernel, *args)

    monkeypatch.setattr(NumbaOps, "_run", watched)
    return found


def use(ops, dtype):
    """Train and project networks of every layer, in a batch and a single image."""
    small = {"conv": (6, 8, 8, 8, 6), "fc": (9,)}
    branches = Network([
        ("conv1", Conv2d(6, 3, stride=2, pad=1)), ("relu1", ReLU()), ("norm1", LocalResponseNorm(beta=0.6)),
        ("pool1", MaxPool2d(3, 2, ceil_mode=True)), ("left", Conv2d(4, 1), "pool1"),
        ("right", Conv2d(4, 3, pad=1, groups=2), "pool1"),
        ("both", Concatenate(), ["left", "right"]), ("relu2", ReLU()), ("pool2", AvgPool2d(2)), ("drop", Dropout(0.5)),
        ("gap", GlobalAvgPool()), ("fc", Linear(10)),
    ], (3, 64, 64), ops, dtype=dtype)
    for net in (models.zfnet_mini(10, ops, dtype=dtype, **small), branches):
        for N in (1, 5):
            x = np.random.default_rng(0).standard_normal((N, 3, 64, 64)).astype(dtype)
            scores, tape = net.forward(x, train=True)
            _, dscores = softmax_cross_entropy(scores, np.zeros(N, int))
            SGD(net, 0.01, max_filter_rms=0.1).step(net.backward(dscores, tape))
            net.scores(x)
            for rule in RULES:
                visualize.project(net, x, "relu2", (1,), rule, tape)
                some = np.arange(N)
                visualize.project_units(net, tape, "relu2", some, (some % 3, some % 2, some % 3), rule)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_every_kernel_is_compiled_ahead(ops, seen, dtype):
    for call in calls(ops, dtype):
        call()
    names = {kernel.py_func.__name__ for kernel in called()}
    assert names
    assert names == {kernel.py_func.__name__ for kernel, _ in seen}, "add a call of its operation to compiling.calls"


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_network_needs_nothing_else(ops, seen, dtype):
    for call in calls(ops, dtype):
        call()
    ahead = set(seen)
    use(ops, dtype)
    assert not {(kernel.py_func.__name__, types) for kernel, types in seen - ahead}


def test_no_kernel_is_ahead_in_two_types(ops, seen):
    """A kernel and dtype, one signature: else something is compiled for nothing."""
    for call in calls(ops, "float32"):
        call()
    assert len(seen) == len(called())


def test_what_is_there_is_not_compiled_again(ops):
    compile_kernels(ops)
    found = compile_kernels(ops)
    assert found.new == 0
    assert found.ready >= len(called())


def test_arguments_of_another_kind_compile_nothing(ops):
    """Read-only and unaligned arrays, NumPy's ints and bools."""
    compile_kernels(ops)
    before = {kernel: len(kernel.overloads) for kernel in called()}
    rng = np.random.default_rng(0)
    x, weight, bias = (rng.standard_normal(shape).astype("float32") for shape in ((2, 3, 9, 9), (4, 3, 3, 3), 4))
    expected = ops.conv2d(x, weight, bias, 2, 1, relu=True)
    raw = np.zeros(4 * x.size + 1, np.uint8)
    unaligned = raw[1:].view("float32").reshape(x.shape)
    unaligned[...] = x
    assert not unaligned.flags.aligned
    for array in (x, weight, bias):
        array.setflags(write=False)
    for image in (x, unaligned):
        y = ops.conv2d(image, weight, bias, np.int32(2), (np.int16(1), np.uint8(1)), np.int64(1), np.True_)
        np.testing.assert_array_equal(y, expected)
    few = NumbaOps(np.int32(1))
    np.testing.assert_array_equal(few.conv2d(x, weight, bias, 2, 1, 1, True), expected)
    features, wide = rng.standard_normal((2, 5, 8)).astype("float32"), rng.standard_normal((7, 8)).astype("float32")
    features.setflags(write=False)
    ops.linear(features[0], wide)
    ops.linear_weight_grad(features[1].T.copy().T, features[0])
    ops.local_response_norm(x, np.int8(5), np.float64(1e-4), np.float32(0.75), 2)
    ops.sgd_update(wide, wide.copy(), wide.copy(), np.float64(0.1), 1, np.float32(0))
    assert {kernel.py_func.__name__: len(kernel.overloads) - count for kernel, count in before.items()
            if len(kernel.overloads) != count} == {}


def test_tuples_become_plain_too():
    w = np.ones(3)
    w.setflags(write=False)
    number, (inner, array) = plain((np.int16(4), (True, w)))
    assert (type(number), number, inner, array.flags.writeable) == (int, 4, True, True)


def test_what_is_read_only_is_never_written(ops):
    w = np.ones((2, 3), "float32")
    w.setflags(write=False)
    with pytest.raises(ValueError, match="read-only"):
        ops.sgd_update(w, np.zeros_like(w), np.ones_like(w), 0.1)
    with pytest.raises(ValueError, match="read-only"):
        ops.renormalize_filters(w, 0.1)
    assert (w == 1).all()
    held = plain(w)
    del w
    assert held.flags.writeable                          # the memory lives as long as what stands for it
    assert (held == 1).all()

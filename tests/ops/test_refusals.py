"""Arguments that an operation refuses: one line, with the numbers, on every backend alike."""

import sys

import numpy as np
import pytest

from zfnumpy import get_ops
from zfnumpy.errors import BackendError, DTypeError, ShapeError, ZFNumpyError

X, W, B = np.ones((2, 4, 6, 6), "float32"), np.ones((3, 4, 3, 3), "float32"), np.ones(3, "float32")
Y = np.ones((2, 3, 4, 4), "float32")
P, S = np.ones((2, 4, 3, 3), "float32"), np.zeros((2, 4, 3, 3), "int32")
R, V = np.ones((2, 5), "float32"), np.ones((3, 5), "float32")

# Every operation on arrays of floats, with arguments it takes.
GOOD = {
    "im2col": (X, 3), "col2im": (np.ones((2, 36, 16), "float32"), X.shape, 3),
    "conv2d": (X, W, B), "conv2d_input_grad": (Y, W, X.shape), "conv2d_weight_grad": (Y, X, W.shape),
    "conv_transpose2d": (Y, W, np.ones(4, "float32")), "bias_grad": (Y,),
    "linear": (R, V, B), "linear_input_grad": (np.ones((2, 3), "float32"), V),
    "linear_weight_grad": (np.ones((2, 3), "float32"), R),
    "max_pool2d": (X, 2), "max_unpool2d": (P, S, X.shape), "avg_pool2d": (X, 2), "avg_pool2d_grad": (P, X.shape, 2),
    "relu": (X,), "relu_backward": (X, X, "guided"), "local_response_norm": (X,), "local_response_norm_grad": (X, X),
    "sgd_update": (X.copy(), X.copy(), X, 0.1), "renormalize_filters": (W.copy(),),
}
PLACES = [(name, i) for name, args in GOOD.items() for i, a in enumerate(args)
          if isinstance(a, np.ndarray) and a.dtype.kind == "f"]


def refusal(ops, kind, name, *args, **kwargs):
    """Return the message with which an operation refuses arguments, after checking that it is one line."""
    with pytest.raises(kind) as error:
        getattr(ops, name)(*(ops.asarray(a) if isinstance(a, np.ndarray) else a for a in args), **kwargs)
    assert isinstance(error.value, ZFNumpyError)
    assert "\n" not in str(error.value)
    return str(error.value)


@pytest.mark.parametrize("name", GOOD)
def test_the_arguments_to_be_spoiled_are_good(ops, name):
    getattr(ops, name)(*(ops.asarray(a) if isinstance(a, np.ndarray) else a for a in GOOD[name]))


@pytest.mark.parametrize(("name", "place"), PLACES)
@pytest.mark.parametrize("dtype", ["int64", "float16"])
def test_other_dtypes(ops, name, place, dtype):
    args = list(GOOD[name])
    args[place] = args[place].astype(dtype)
    message = refusal(ops, DTypeError, name, *args)
    assert message.startswith(f"{name}: ")
    assert f"is {dtype}; use " in message
    assert ".astype('float32')" in message


@pytest.mark.parametrize(("name", "place"), [(name, i) for name, i in PLACES if i])
def test_two_dtypes_in_one_call(ops, name, place):
    args = list(GOOD[name])
    args[place] = args[place].astype("float64")
    message = refusal(ops, DTypeError, name, *args)
    assert "is float32 but" in message
    assert "is float64; convert one of them" in message


@pytest.mark.parametrize(("name", "place"), PLACES)
def test_lists_are_not_arrays(ops, name, place):
    args = list(GOOD[name])
    args[place] = args[place].tolist()
    assert "is a list, not an array" in refusal(ops, DTypeError, name, *args)


@pytest.mark.parametrize(("name", "args", "kwargs", "message"), [
    ("conv2d", (X, np.ones((3, 5, 3, 3), "float32")), {}, "conv2d expects 5 channels, got 4"),
    ("conv2d", (X, np.ones((4, 1, 3, 3), "float32")), {"groups": 2}, "conv2d expects 2 channels (2 groups of 1), got 4"),
    ("conv2d", (X, W), {"groups": 3}, "conv2d: groups=3 must divide both the 4 input channels and the 3 filters"),
    ("conv2d", (X, np.ones((3, 4, 7, 3), "float32")), {},
     "conv2d: the kernel 7×3 is larger than the padded image 6×6 (6×6 with pad 0, 0)"),
    ("conv2d", (X, np.ones((3, 4, 3, 9), "float32")), {"pad": 1},
     "conv2d: the kernel 3×9 is larger than the padded image 8×8 (6×6 with pad 1, 1)"),
    ("conv2d", (X[0], W), {}, "conv2d: x must be (N, C, H, W), got shape (4, 6, 6)"),
    ("conv2d", (X, W[0]), {}, "conv2d: weight must be (F, C/groups, KH, KW), got shape (4, 3, 3)"),
    ("conv2d", (X, W, np.ones(4, "float32")), {}, "conv2d: bias must have shape (3,), got (4,)"),
    ("conv2d", (X, W), {"stride": 0}, "conv2d: stride must be at least 1, got 0"),
    ("conv2d", (X, W), {"pad": (0, -1)}, "conv2d: pad must be at least 0, got (0, -1)"),
    ("conv2d", (X, W), {"stride": 1.5}, "conv2d: stride must be an int or a pair (vertical, horizontal) of ints, got 1.5"),
    ("conv2d_input_grad", (Y, W, (2, 4, 7, 6)), {},
     "conv2d_input_grad: dy must have shape (2, 3, 5, 4), got (2, 3, 4, 4)"),
    ("conv2d_input_grad", (Y, W, (2, 5, 6, 6)), {}, "conv2d_input_grad expects 4 channels, got 5"),
    ("conv2d_weight_grad", (Y, X, (3, 4, 2, 3)), {},
     "conv2d_weight_grad: dy must have shape (2, 3, 5, 4), got (2, 3, 4, 4)"),
    ("conv_transpose2d", (X, W), {}, "conv_transpose2d expects 3 channels, got 4"),
    ("conv_transpose2d", (Y, W, B), {}, "conv_transpose2d: bias must have shape (4,), got (3,)"),
    ("im2col", (X, 7), {}, "im2col: the kernel 7×7 is larger than the padded image 6×6 (6×6 with pad 0, 0)"),
    ("im2col", (X, 0), {}, "im2col: the window's size must be at least 1, got 0"),
    ("col2im", (np.ones((2, 36, 15), "float32"), X.shape, 3), {},
     "col2im: cols must have shape (2, 36, 16), got (2, 36, 15)"),
    ("bias_grad", (B,), {}, "bias_grad: dy must be (N, F, ...), got shape (3,)"),
    ("linear", (R, np.ones((3, 6), "float32")), {}, "linear expects 6 features, got 5"),
    ("linear", (X, V), {}, "linear: x must be (N, in), got shape (2, 4, 6, 6)"),
    ("linear", (R, V, np.ones(5, "float32")), {}, "linear: bias must have shape (3,), got (5,)"),
    ("linear_input_grad", (R, V), {}, "linear_input_grad expects 3 features, got 5"),
    ("linear_weight_grad", (R, np.ones((3, 5), "float32")), {},
     "linear_weight_grad: x must have shape (2, 5), got (3, 5)"),
    ("max_pool2d", (X, 7), {}, "max_pool2d: the kernel 7×7 is larger than the padded image 6×6 (6×6 with pad 0, 0)"),
    ("max_pool2d", (X, 3), {"pad": 2},
     "max_pool2d: pad 2, 2 must be at most half the window 3×3, or some windows would hold no pixel at all"),
    ("max_pool2d", (np.ones((1, 1, 0, 3), "float32"), 2), {"pad": 1},
     "max_pool2d: an image of 0×3 has no pixel to pool"),
    ("max_unpool2d", (P, S[:, :2], X.shape), {}, "max_unpool2d: switches must have shape (2, 4, 3, 3), got (2, 2, 3, 3)"),
    ("max_unpool2d", (P, S, (2, 3, 6, 6)), {},
     "max_unpool2d: x_shape must be (N, C, H, W) with N, C = (2, 4), got (2, 3, 6, 6)"),
    ("max_unpool2d", (P, S + 36, X.shape), {},
     "max_unpool2d: switches run from 36 to 36, outside a plane of 6×6 = 36 pixels"),
    ("max_unpool2d", (P, S - 1, X.shape), {},
     "max_unpool2d: switches run from -1 to -1, outside a plane of 6×6 = 36 pixels"),
    ("max_unpool2d", (P, P, X.shape), {}, "max_unpool2d: switches must be int32 indices into the plane, got float32"),
    ("avg_pool2d", (X, 7), {}, "avg_pool2d: the kernel 7×7 is larger than the padded image 6×6 (6×6 with pad 0, 0)"),
    ("avg_pool2d_grad", (P, (2, 4, 9, 6), 2), {},
     "avg_pool2d_grad: dy must have shape (2, 4, 4, 3), got (2, 4, 3, 3)"),
    ("relu_backward", (X, P), {}, "relu_backward: y must have shape (2, 4, 6, 6), got (2, 4, 3, 3)"),
    ("relu_backward", (X, X, "saliency"), {},
     "the rule 'saliency' does not exist; use one of gradient, deconvnet, guided"),
    ("local_response_norm", (R,), {}, "local_response_norm: x must be (N, C, H, W), got shape (2, 5)"),
    ("local_response_norm", (X,), {"size": 0},
     "local_response_norm: size must be a whole number from 1, got 0"),
    ("local_response_norm", (X,), {"size": (5, 5)},
     "local_response_norm: size must be a whole number from 1, got (5, 5)"),
    ("local_response_norm_grad", (P, X), {}, "local_response_norm_grad: dy must have shape (2, 4, 6, 6), got (2, 4, 3, 3)"),
    ("sgd_update", (X, X, P, 0.1), {}, "sgd_update: grad must have shape (2, 4, 6, 6), got (2, 4, 3, 3)"),
    ("sgd_update", (X, P, X, 0.1), {}, "sgd_update: velocity must have shape (2, 4, 6, 6), got (2, 4, 3, 3)"),
    ("dropout_mask", ((2, 3), 1.0, None, "float32"), {}, "dropout_mask: p must lie in [0, 1), got 1.0"),
])
def test_arguments_that_do_not_fit(ops, name, args, kwargs, message):
    assert refusal(ops, ShapeError, name, *args, **kwargs) == message


def test_a_refused_update_changes_nothing():
    w = np.ones(3, "float32")
    with pytest.raises(ShapeError):
        get_ops("numpy").sgd_update(w, w.copy(), np.ones((1, 3), "float32"), 0.1)
    np.testing.assert_array_equal(w, 1)


def test_backends_that_do_not_exist():
    with pytest.raises(BackendError, match="there is no backend 'torch'; use one of numpy, numba, cupy, auto"):
        get_ops("torch")
    for threads in (0, -1, 1.5):
        with pytest.raises(BackendError, match=f"threads must be at least 1, got {threads}"):
            get_ops("numba", threads=threads)


def test_a_missing_backend_names_the_install_command(monkeypatch):
    monkeypatch.delitem(sys.modules, "zfnumpy.ops.numba_ops", raising=False)
    monkeypatch.setitem(sys.modules, "numba", None)
    with pytest.raises(BackendError, match=r"the numba backend needs numba .*: pip install numba"):
        get_ops("numba")

"""The checks of lesson 3: gradients of a convolution, and checking gradients."""

import numpy as np

from ..ops.reference import Ops
from ._runner import Code
from .check import Case, TaskCheck, case

OPS = Ops()


def weight_grad(dy, x, w_shape, stride=1):
    return OPS.conv2d_weight_grad(dy, x, w_shape, stride)


def input_grad(dy, w, x_shape, stride=1):
    return OPS.conv2d_input_grad(dy, w, x_shape, stride)


def checks(rng):
    """Return {task: TaskCheck} of fresh cases."""
    return {"3.1": _weight_grad(rng), "3.2": _input_grad(rng), "3.3": _numerical(rng), "3.4": _relative(rng)}


def _arrays(rng, N, C, F, size, kernel, stride, dtype=np.float64):
    """Return x, w and a dy that fits them."""
    x, w = rng.standard_normal((N, C, *size)).astype(dtype), rng.standard_normal((F, C, *kernel)).astype(dtype)
    dy = rng.standard_normal(OPS.conv2d(x, w, stride=stride).shape).astype(dtype)
    return x, w, dy


# What each case is about, and its N, C, F, (H, W), (KH, KW), stride, dtype.
SIZES = [("one image, stride 1", 1, 2, 3, (6, 6), (3, 3), 1, np.float64),
         ("a batch of 3", 3, 2, 2, (5, 6), (3, 3), 1, np.float64),
         ("a filter higher than wide, an image wider than high", 2, 3, 2, (5, 8), (3, 2), 1, np.float64),
         ("stride 2", 2, 2, 3, (7, 9), (3, 3), 2, np.float64),
         ("stride 3, with pixels that no window reaches", 2, 1, 2, (9, 10), (2, 2), 3, np.float64),
         ("float32", 2, 2, 2, (6, 5), (3, 3), 1, np.float32)]


def _weight_grad(rng):
    def first_image(dy, x, w_shape, stride=1):
        return weight_grad(dy[:1], x[:1], w_shape, stride)

    def mean(dy, x, w_shape, stride=1):
        return weight_grad(dy, x, w_shape, stride) / len(x)

    def flipped(dy, x, w_shape, stride=1):
        return weight_grad(dy, x, w_shape, stride)[:, :, ::-1, ::-1]

    def no_stride(dy, x, w_shape, stride=1):
        return weight_grad(dy, x[:, :, :dy.shape[2] + w_shape[2] - 1, :dy.shape[3] + w_shape[3] - 1], w_shape, 1)

    mistakes = [("It looks as if only the first image of the batch counts: sum over n too.", first_image),
                ("It looks as if the mean over the batch is taken: the loss's own mean is in dy already, so add.", mean),
                ("It looks as if the filter is flipped: a convolutional layer correlates, w[i, j] meets x[su + i, sv + j].",
                 flipped),
                ("It looks as if the stride is left out: output u saw the pixels from stride·u on.", no_stride)]
    cases = []
    for about, *sizes, dtype in SIZES:
        x, w, dy = _arrays(rng, *sizes, dtype)
        stride = sizes[-1]
        cases.append(case(about, weight_grad, dy, x, w.shape, stride=stride, mistakes=mistakes,
                          tolerance=1e-5 if dtype == np.float32 else 1e-9))
    x, w, dy = _arrays(rng, 2, 2, 3, (6, 7), (3, 3), 2)
    v = rng.standard_normal(w.shape)
    along = ((OPS.conv2d(x, w + 1e-5 * v, stride=2) - OPS.conv2d(x, w - 1e-5 * v, stride=2)) * dy).sum() / 2e-5
    cases.append(Case("gradient check", (dy, x, w.shape), {"stride": 2}, tolerance=1e-7,
                      dot=(v, float(along), "along a random direction of the weights the loss moves by another amount")))
    return TaskCheck(cases, ("For each place (i, j) in the filter, which pixels of x did it meet? A slice with the stride.",
                             "dw[f, c, i, j] is the sum over n, u and v of dy[n, f, u, v] times that slice at [n, c, u, v].",
                             'np.einsum("nfuv,ncuv->fc", dy, seen) does that sum.'))


def _input_grad(rng):
    def flipped(dy, w, x_shape, stride=1):
        return input_grad(dy, w[:, :, ::-1, ::-1], x_shape, stride)

    def assigned(dy, w, x_shape, stride=1):
        dx = np.zeros(x_shape, dy.dtype)
        OH, OW = dy.shape[2:]
        for i in range(w.shape[2]):
            for j in range(w.shape[3]):
                back = np.einsum("fc,nfuv->ncuv", w[:, :, i, j], dy)
                dx[:, :, i:i + stride * (OH - 1) + 1:stride, j:j + stride * (OW - 1) + 1:stride] = back
        return dx

    def no_stride(dy, w, x_shape, stride=1):
        dx = np.zeros(x_shape, dy.dtype)
        whole = input_grad(dy, w, (*x_shape[:2], dy.shape[2] + w.shape[2] - 1, dy.shape[3] + w.shape[3] - 1), 1)
        dx[:, :, :whole.shape[2], :whole.shape[3]] = whole
        return dx

    def one_filter(dy, w, x_shape, stride=1):
        return input_grad(dy[:, :1].copy(), w[:1], x_shape, stride)

    mistakes = [("It looks as if values are assigned where windows overlap: they must add.", assigned),
                ("It looks as if the filter is flipped: what went in by w[i, j] comes back by w[i, j].", flipped),
                ("It looks as if the stride is left out: output u hands back to the pixels from stride·u on.", no_stride),
                ("It looks as if only the first filter hands back: sum over f.", one_filter)]
    cases = []
    for about, *sizes, dtype in SIZES:
        x, w, dy = _arrays(rng, *sizes, dtype)
        cases.append(case(about, input_grad, dy, w, x.shape, stride=sizes[-1], mistakes=mistakes,
                          tolerance=1e-5 if dtype == np.float32 else 1e-9))
    x, w, dy = _arrays(rng, 2, 3, 2, (8, 7), (3, 2), 2)
    cases.append(Case("adjoint test", (dy, w, x.shape), {"stride": 2}, tolerance=1e-9,
                      dot=(x, float((OPS.conv2d(x, w, stride=2) * dy).sum()), "⟨A x, y⟩ = ⟨x, Aᵀ y⟩ does not hold")))
    return TaskCheck(cases, ("Start from zeros, and let every place (i, j) of the filter hand back into the slice it saw.",
                             "What comes back through (i, j) is Σ_f w[f, c, i, j] dy[n, f, u, v]: (N, C, OH, OW).",
                             "The slice is the one of conv2d, and += adds where windows overlap."))


def _numerical(rng):
    def central(loss, w, eps=1e-5, one_sided=False, doubled=False):
        grad = np.zeros_like(w)
        for k in np.ndindex(w.shape):
            up, down = w.copy(), w.copy()
            up[k] += eps
            down[k] -= 0 if one_sided else eps
            grad[k] = (loss(up) - loss(down)) / (eps if one_sided or doubled else 2 * eps)
        return grad

    def one_sided(loss, w, eps=1e-5):
        return central(loss, w, eps, one_sided=True)

    def not_halved(loss, w, eps=1e-5):
        return central(loss, w, eps, doubled=True)

    def not_put_back(loss, w, eps=1e-5):
        w, grad = w.copy(), np.zeros_like(w)
        for k in np.ndindex(w.shape):
            w[k] += eps
            above = loss(w)
            w[k] -= 2 * eps
            grad[k] = (above - loss(w)) / (2 * eps)
        return grad

    mistakes = [("It looks as if one side is left out: that errs by eps, central differences by its square.", one_sided),
                ("It looks as if the two steps are divided by one: they lie 2·eps apart.", not_halved),
                ("It looks as if a number is not put back before the next is moved.", not_put_back)]
    cubes = Code("def f(w): return float((w ** 3).sum())")
    mixed = Code("def f(w): return float(np.sin(w).sum() * (w * w).sum())")
    w = rng.standard_normal((3, 4))
    return TaskCheck([case("a sum of cubes, a step of 0.1", central, cubes, w, eps=0.1, mistakes=mistakes, tolerance=1e-9),
                      case("a loss in which numbers meet, a step of 0.01", central, mixed, rng.standard_normal((2, 2, 3)),
                           eps=0.01, mistakes=mistakes, tolerance=1e-9),
                      case("the usual step", central, mixed, w, mistakes=mistakes, tolerance=1e-6)],
                     ("np.ndindex(w.shape) runs over every index of an array of any shape.",
                      "Move w[k] up, ask the loss, move it down, ask again, and put it back.",
                      "The quotient is (L(w + eps) - L(w - eps)) / (2 eps)."))


def _relative(rng):
    def error(a, b):
        largest = max(np.abs(a).max(), np.abs(b).max())
        return float(np.abs(a - b).max() / largest) if largest else 0.0

    def absolute(a, b):
        return float(np.abs(a - b).max())

    def signed(a, b):
        return float((a - b).max() / max(a.max(), b.max()))

    def elementwise(a, b):
        return float((np.abs(a - b) / np.maximum(np.abs(a), np.abs(b))).max())

    def no_zero(a, b):
        return float(np.abs(a - b).max() / max(np.abs(a).max(), np.abs(b).max()))

    mistakes = [("It looks as if 0 is divided by 0: two arrays of zeros do not differ, so return 0.0.", no_zero),
                ("It looks as if nothing is divided by: a difference alone does not say whether it is large.", absolute),
                ("It looks as if signs are kept: take magnitudes.", signed),
                ("It looks as if each pair is divided by itself: then two tiny numbers, all rounding, outweigh the rest.",
                 elementwise)]
    a = rng.standard_normal((3, 4)) * 100
    near = a + rng.standard_normal((3, 4)) * 1e-3
    minus = -np.abs(rng.standard_normal(5)) - 1
    return TaskCheck([case("two arrays", error, a, near, mistakes=mistakes, tolerance=1e-9),
                      case("negative numbers", error, minus, minus * 1.5, mistakes=mistakes, tolerance=1e-9),
                      case("the same twice", error, a, a, mistakes=mistakes),
                      case("zeros", error, np.zeros(3), np.zeros(3), mistakes=mistakes)],
                     ("Magnitudes: np.abs. The largest: .max().", "Two arrays of zeros must not divide by zero."))

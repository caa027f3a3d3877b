"""The checks of lesson 5: ReLU, contrast normalization, dropout, softmax and cross-entropy."""

import numpy as np

from ..loss import softmax_cross_entropy
from ..ops.reference import Ops
from .check import Case, TaskCheck, case

OPS = Ops()


def relu_grad(dy, x):
    return np.where(x > 0, dy, 0)


def norm(x, size=5, alpha=5e-4, beta=0.75, k=2.0):
    return OPS.local_response_norm(x, size, alpha, beta, k)


def norm_grad(dy, x, size=5, alpha=5e-4, beta=0.75, k=2.0):
    return OPS.local_response_norm_grad(dy, x, size, alpha, beta, k)


def dropout(x, p, uniform):
    return np.where(uniform >= p, x / (1 - p), 0).astype(x.dtype)


def checks(rng):
    """Return {task: TaskCheck} of fresh cases."""
    return {"5.1": _relu(rng), "5.2": _norm(rng), "5.3": _norm_grad(rng), "5.4": _dropout(rng), "5.5": _loss(rng)}


def _relu(rng):
    mistakes = [("It looks as if x = 0 lets the gradient through: x > 0, not x >= 0.",
                 lambda dy, x: np.where(x >= 0, dy, 0)),
                ("It looks as if the sign of dy decides: that is the deconvnet's rule; a gradient asks x.",
                 lambda dy, x: np.where(dy > 0, dy, 0)),
                ("It looks as if negative gradients are stopped too: that is guided backpropagation.",
                 lambda dy, x: np.where((x > 0) & (dy > 0), dy, 0)),
                ("It looks as if relu(x) itself is in the result: dy passes where x > 0, unchanged.",
                 lambda dy, x: dy * np.maximum(x, 0)),
                ("It looks as if the slope alone is returned: dy times it.", lambda dy, x: (x > 0).astype(dy.dtype))]

    def draw(shape, dtype=np.float64):
        return rng.standard_normal(shape).astype(dtype), rng.standard_normal(shape).astype(dtype)

    dy, _ = draw((3, 8))
    zeros = rng.permutation(np.repeat([-1.0, 0.0, 1.0], 8)).reshape(3, 8)
    return TaskCheck([case("a vector", relu_grad, *draw(9), mistakes=mistakes),
                      case("a batch of maps", relu_grad, *draw((2, 3, 4, 5)), mistakes=mistakes),
                      case("x with zeros", relu_grad, dy, zeros, mistakes=mistakes),
                      case("float32", relu_grad, *draw((2, 7), np.float32), mistakes=mistakes)],
                     ("Where relu(x) is x, its slope is 1; where it is 0, the slope is 0.",
                      "Two cases by x, the input of the forward pass: np.where.", "np.where(x > 0, dy, 0)"))


# What each case is about, and its (N, C, H, W), its settings and dtype.
NORMS = [("five maps of seven", (2, 7, 3, 4), {}, np.float64),
         ("three maps, other constants", (2, 5, 2, 3), {"size": 3, "alpha": 0.02, "beta": 0.5, "k": 1.0}, np.float64),
         ("an even number of maps", (1, 7, 2, 2), {"size": 4, "alpha": 0.01}, np.float64),
         ("a window of one map", (2, 3, 2, 2), {"size": 1, "alpha": 0.01, "beta": 1.0}, np.float64),
         ("fewer maps than the window holds", (2, 3, 2, 2), {"alpha": 0.01}, np.float64),
         ("one map of one pixel", (1, 1, 1, 1), {"alpha": 0.01}, np.float64),
         ("float32", (2, 6, 3, 3), {"alpha": 0.01}, np.float32)]


def _sums(values, before, after):
    """Sum values (N, C, H, W) over maps c - before to c + after."""
    C = values.shape[1]
    padded = np.pad(values, ((0, 0), (before, after), (0, 0), (0, 0)))
    return sum(padded[:, i:i + C] for i in range(before + after + 1))


def _norm(rng):
    def by(sums, power=-1):
        """Return the normalization whose scale has sums(x, size) in it."""
        def normalized(x, size=5, alpha=5e-4, beta=0.75, k=2.0):
            return x * (k + alpha / size * sums(x, size)) ** (power * beta)
        return normalized

    def wrapped(x, size):
        return sum(np.roll(x * x, shift, axis=1) for shift in range(-((size - 1) // 2), size // 2 + 1))

    def mean_of_present(x, size):
        before, after = size // 2, (size - 1) // 2
        return size * _sums(x * x, before, after) / _sums(np.ones_like(x), before, after)

    def along_rows(x, size):
        return _sums((x * x).swapaxes(1, 3), size // 2, (size - 1) // 2).swapaxes(1, 3)

    def right(x, size):
        return _sums(x * x, size // 2, (size - 1) // 2)

    def no_k(x, size=5, alpha=5e-4, beta=0.75, k=2.0):
        return norm(x, size, alpha, beta, 0.0)

    def one(x, size=5, alpha=5e-4, beta=0.75, k=2.0):
        return norm(x, size, alpha, beta, 1.0)

    window = "It looks as if the window of maps is off by one: c - size // 2 to c + (size - 1) // 2, both included."
    mistakes = [("It looks as if alpha is not divided by size.", by(lambda x, size: size * right(x, size))),
                *((window, by(lambda x, size, b=before, a=after: _sums(x * x, size // 2 + b, (size - 1) // 2 + a)))
                  for before, after in ((0, -1), (-1, 0), (0, 1), (1, 0), (-1, -1), (1, 1))),
                ("It looks as if the window is turned round: the map that an even one has more lies before c.",
                 by(lambda x, size: _sums(x * x, (size - 1) // 2, size // 2))),
                ("It looks as if the values are summed as they are: their squares.",
                 by(lambda x, size: _sums(x, size // 2, (size - 1) // 2))),
                ("It looks as if alpha is divided by the number of maps that exist: by size, at the ends too.",
                 by(mean_of_present)),
                ("It looks as if the last maps are neighbours of the first: the window is cut at the ends.", by(wrapped)),
                ("It looks as if neighbouring pixels are summed: the neighbours are maps, axis 1.", by(along_rows)),
                ("It looks as if all maps are summed, not size of them.",
                 by(lambda x, size: (x * x).sum(axis=1, keepdims=True))),
                ("It looks as if x is multiplied by scale^beta: divided.", by(right, 1)),
                ("It looks as if k is left out.", no_k), ("It looks as if k is always 1.", one)]
    cases = [case(about, norm, 10 * rng.standard_normal(shape).astype(dtype), mistakes=mistakes, **settings,
                  tolerance=1e-5 if dtype == np.float32 else 1e-9) for about, shape, settings, dtype in NORMS]
    return TaskCheck(cases, ("Square first. Then sum over neighbouring maps: which maps are there for c = 0?",
                             "With zeros around axis 1, size // 2 before and (size - 1) // 2 after, all windows are whole.",
                             "s = sum(squares[:, i:i + C] for i in range(size)); then x * (k + alpha / size * s) ** -beta."))


def _norm_grad(rng):
    def by(turned=True, power=1, factor=2, divided=True, direct=True, squared=False):
        def mistaken(dy, x, size=5, alpha=5e-4, beta=0.75, k=2.0):
            before, after = size // 2, (size - 1) // 2
            scale = k + alpha / size * _sums(x * x, before, after)
            if turned:
                before, after = after, before
            others = _sums(dy * (1 if squared else x) * scale ** (-beta - power), before, after)
            through = factor * alpha * beta / (size if divided else 1) * (x * x if squared else x) * others
            return (dy * scale ** -beta if direct else 0) - through
        return mistaken

    mistakes = [("It looks as if only the map's own output counts: it is in its neighbours' scales too.", by(factor=0)),
                ("It looks as if the window is not turned round: an even one has its extra map after c.", by(turned=False)),
                ("It looks as if the 2 of the square is missing.", by(factor=1)),
                ("It looks as if the power is -beta in the second part: the derivative has -beta - 1.", by(power=0)),
                ("It looks as if alpha is not divided by size in the second part.", by(divided=False)),
                ("It looks as if the sign of the second part is wrong: a rival's growth makes y smaller.", by(factor=-2)),
                ("It looks as if the first part is missing.", by(direct=False)),
                ("It looks as if x_c² stands before the sum: x_c there, and x_c' inside.", by(squared=True))]
    cases = []
    for about, shape, settings, dtype in NORMS:
        dy, x = rng.standard_normal(shape).astype(dtype), 10 * rng.standard_normal(shape).astype(dtype)
        cases.append(case(about, norm_grad, dy, x, mistakes=mistakes, **settings,
                          tolerance=1e-5 if dtype == np.float32 else 1e-9))
    dy, x, d = rng.standard_normal((2, 7, 2, 3)), 10 * rng.standard_normal((2, 7, 2, 3)), rng.standard_normal((2, 7, 2, 3))
    along = ((norm(x + 1e-4 * d, alpha=0.01) - norm(x - 1e-4 * d, alpha=0.01)) * dy).sum() / 2e-4
    cases.append(Case("gradient check", (dy, x), {"alpha": 0.01}, tolerance=1e-7,
                      dot=(d, float(along), "along a random direction the loss moves by another amount")))
    return TaskCheck(cases, ("Two parts: y_c by x_c with its scale held, and every scale that x_c² is in.",
                             "Which c' have c in their window? The window of task 5.2, with before and after exchanged.",
                             "dy * s**-beta - 2 * alpha * beta / size * x * Σ, with Σ over dy * x * s**(-beta - 1)."))


def _dropout(rng):
    mistakes = [("It looks as if what stays is not rescaled: divide by 1 - p.",
                 lambda x, p, uniform: np.where(uniform >= p, x, 0)),
                ("It looks as if what stays is multiplied by 1 - p: divided, so that the mean stays.",
                 lambda x, p, uniform: np.where(uniform >= p, x * (1 - p), 0)),
                ("It looks as if it is divided by p: a share of 1 - p stays.",
                 lambda x, p, uniform: np.where(uniform >= p, x / p, 0)),
                ("It looks as if the wrong ones are dropped: those with uniform < p.",
                 lambda x, p, uniform: np.where(uniform < p, x / (1 - p), 0)),
                ("It looks as if p were the share that stays: p is the share that is dropped, those with uniform < p.",
                 lambda x, p, uniform: np.where(uniform < p, x / p, 0)),
                ("It looks as if a draw equal to p is dropped: uniform < p is.",
                 lambda x, p, uniform: np.where(uniform > p, x / (1 - p), 0))]

    def draw(shape, p, dtype=np.float64):
        return rng.standard_normal(shape).astype(dtype), p, rng.random(shape)

    x, p, uniform = draw(12, 0.25)
    uniform[::3] = p
    return TaskCheck([case("half are dropped", dropout, *draw((3, 8), 0.5), mistakes=mistakes),
                      case("p = 0.2", dropout, *draw((4, 9), 0.2), mistakes=mistakes),
                      case("maps, p = 0.7", dropout, *draw((2, 3, 4, 4), 0.7), mistakes=mistakes),
                      case("draws equal to p", dropout, x, p, uniform, mistakes=mistakes),
                      case("p = 0, where all stay", dropout, x, 0.0, np.where(uniform == p, 0, uniform), mistakes=mistakes),
                      case("float32", dropout, *draw((2, 9), 0.4, np.float32), mistakes=mistakes)],
                     ("The draws decide: which of them lie below p?", "A share of 1 - p stays; what brings the mean back?",
                      "np.where(uniform >= p, x / (1 - p), 0)"))


def _loss(rng):
    def one_hot(scores, labels):
        return np.eye(scores.shape[1], dtype=scores.dtype)[labels]

    def naive(scores, labels):
        e = np.exp(scores)
        q = e / e.sum(axis=1, keepdims=True)
        return _given(q, labels)

    def half_stable(scores, labels):
        e = np.exp(scores - scores.max(axis=1, keepdims=True))
        return _given(e / e.sum(axis=1, keepdims=True), labels)

    def one_maximum(scores, labels):
        return naive(scores - scores.max(), labels)

    def _given(q, labels):
        """Return loss and gradient from probabilities, as a formula says and a computer should not."""
        N = len(q)
        return float(np.mean(-np.log(q[np.arange(N), labels]))), (q - one_hot(q, labels)) / N

    def changed(loss=lambda loss, N: loss, gradient=lambda dscores, N, q, labels: dscores):
        def mistaken(scores, labels):
            right, dscores = softmax_cross_entropy(scores, labels)
            q = dscores * len(scores) + one_hot(scores, labels)
            return loss(right, len(scores)), gradient(dscores, len(scores), q, labels)
        return mistaken

    def every_row(dscores, N, q, labels):
        out = q.copy()
        out[:, labels] -= 1
        return out / N

    def over_batch(scores, labels):
        return _given(np.exp(scores) / np.exp(scores).sum(axis=0, keepdims=True), labels)

    mistakes = [("It looks as if exp overflows: take each row's largest score off first, nothing changes but that.", naive),
                ("It looks as if a probability underflows to 0, and its logarithm is infinite: the loss is "
                 "log Σ exp(z - max) - (z_t - max).", half_stable),
                ("It looks as if one maximum is taken off the whole batch: each row's own, or small rows underflow.",
                 one_maximum),
                ("It looks as if the gradient is not divided by N: the loss is a mean.",
                 changed(gradient=lambda dscores, N, q, labels: dscores * N)),
                ("It looks as if the losses are summed: their mean.", changed(lambda loss, N: loss * N)),
                ("It looks as if losses and gradient are summed: the mean, so divide both by N.",
                 changed(lambda loss, N: loss * N, lambda dscores, N, q, labels: dscores * N)),
                ("It looks as if 1 is not taken off at the labels.", changed(gradient=lambda d, N, q, labels: q / N)),
                ("It looks as if 1 is taken off in every row at every label: [rows, labels] with rows = np.arange(N).",
                 changed(gradient=every_row)),
                ("It looks as if the gradient's sign is wrong: the loss falls as the true class's score rises.",
                 changed(gradient=lambda dscores, N, q, labels: -dscores)),
                ("It looks as if the loss has lost its minus.", changed(lambda loss, N: -loss)),
                ("It looks as if softmax runs over the batch: over the classes, axis 1.", over_batch)]

    def draw(N, K, dtype=np.float64):
        return rng.standard_normal((N, K)).astype(dtype) * 2, rng.integers(0, K, N)

    large, labels = 1000.0 * rng.integers(-1, 2, (4, 5)), rng.integers(0, 5, 4)
    large[0], labels[0] = [1000, 0, -1000, 0, 0], 1          # a probability of e^-1000, and it is the true class's
    apart = draw(3, 4)[0] + np.array([[0.0], [-2000.0], [900.0]])
    return TaskCheck([case("a batch of 5", softmax_cross_entropy, *draw(5, 4), mistakes=mistakes, tolerance=1e-9),
                      case("one image", softmax_cross_entropy, *draw(1, 3), mistakes=mistakes, tolerance=1e-9),
                      case("equal scores", softmax_cross_entropy, np.zeros((3, 10)), np.array([0, 4, 9]), mistakes=mistakes,
                           tolerance=1e-9),
                      case("scores of 1000 and -1000", softmax_cross_entropy, large, labels, mistakes=mistakes,
                           tolerance=1e-9),
                      case("rows that lie far apart", softmax_cross_entropy, apart, np.array([1, 3, 0]), mistakes=mistakes,
                           tolerance=1e-9),
                      case("a label that comes twice", softmax_cross_entropy, draw(4, 6)[0], np.array([2, 5, 2, 0]),
                           mistakes=mistakes, tolerance=1e-9),
                      case("float32", softmax_cross_entropy, *draw(6, 3, np.float32), mistakes=mistakes, tolerance=1e-5)],
                     ("Take each row's largest score off first; what is the largest exp then, and the smallest sum?",
                      "The loss of a row is log Σ exp(z - max) - (z_t - max): no probability. Its gradient is q - [k = t].",
                      "z[np.arange(N), labels] picks every row's own label; mean the losses, divide the gradient by N."))

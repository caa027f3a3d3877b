"""The checks of lesson 8: a ReLU's three rules, the sweep through a chain, and the saliency map."""

import numpy as np

from .check import Case, TaskCheck, case

RULES = ("gradient", "deconvnet", "guided")


def relu_back(r, x, rule):
    passes = {"gradient": x > 0, "deconvnet": r > 0, "guided": (x > 0) & (r > 0)}[rule]
    return np.where(passes, r, 0)


def sweep(r, x, weights, rule, back=relu_back, forward=lambda a: np.maximum(a, 0), image=False, top=False):
    """Carry r down a chain; image, top: as well where no ReLU is, at the image or above the last matrix."""
    inputs, h = [], x
    for W in weights[:-1]:
        inputs.append(W @ h)
        h = forward(inputs[-1])
    r = weights[-1].T @ (back(r, weights[-1] @ h, rule) if top else r)
    for W, a in zip(weights[-2::-1], inputs[::-1]):
        r = W.T @ back(r, a, rule)
    return back(r, x, rule) if image else r


def saliency_map(dx):
    return np.abs(dx).max(axis=1)


def checks(rng):
    """Return {task: TaskCheck} of fresh cases."""
    return {"8.1": _relu_back(rng), "8.2": _sweep(rng), "8.3": _saliency(rng)}


def _masked(passes):
    """Return a rule's function that keeps r where passes(r, x, rule)."""
    return lambda r, x, rule: np.where(passes(r, x, rule), r, 0)


def _relu_back(rng):
    exchanged = {"gradient": "deconvnet", "deconvnet": "gradient", "guided": "guided"}
    mistakes = [("It looks as if two rules are exchanged: the gradient looks at x, the deconvnet at r.",
                 lambda r, x, rule: relu_back(r, x, exchanged[rule])),
                ("It looks as if guided backpropagation asks for x > 0 or r > 0: for both.",
                 _masked(lambda r, x, rule: (x > 0) | (r > 0))),
                ("It looks as if x is passed on: what goes down is r, x only says where.",
                 lambda r, x, rule: relu_back(r, x, rule) * 0 + np.where(relu_back(r, x, rule) != 0, x, 0)),
                ("It looks as if ones are passed on: r itself goes down, where it may.",
                 lambda r, x, rule: (relu_back(r, x, rule) != 0).astype(r.dtype)),
                ("It looks as if 0 counts as positive: at exactly 0 nothing passes, so > and not >=.",
                 _masked(lambda r, x, rule: {"gradient": x >= 0, "deconvnet": r >= 0, "guided": (x >= 0) & (r >= 0)}[rule])),
                ("It looks as if what is stopped is exchanged with what passes.",
                 lambda r, x, rule: r - relu_back(r, x, rule)),
                ("It looks as if magnitudes are passed on: the gradient's signs stay.",
                 lambda r, x, rule: np.abs(relu_back(r, x, rule))),
                ("It looks as if the rule is not looked at: this is the gradient's.",
                 lambda r, x, rule: relu_back(r, x, "gradient")),
                ("It looks as if the rule is not looked at: this is the deconvnet's.",
                 lambda r, x, rule: relu_back(r, x, "deconvnet"))]

    def draw(shape, dtype=np.float64):
        return rng.standard_normal((2, *shape)).astype(dtype)

    cases = [case(f"{rule}, {about}", relu_back, *draw(shape, dtype), rule, mistakes=mistakes)
             for about, shape, dtype in (("a row of numbers", (12,), np.float64), ("maps", (2, 3, 4, 3), np.float64),
                                         ("float32", (3, 7), np.float32)) for rule in RULES]
    zeros = rng.permuted(np.tile([-2.0, -1.0, 0.0, 0.0, 1.0, 3.0], (5, 1)), axis=1)
    ones = np.ones((5, 6))
    cases += [case("x with zeros", relu_back, ones, zeros, "gradient", mistakes=mistakes),
              case("x with zeros", relu_back, ones, zeros, "guided", mistakes=mistakes),
              case("one number", relu_back, -np.ones(1), np.ones(1), "gradient", mistakes=mistakes)]
    return TaskCheck(cases, ("Which of the two arrays does each rule ask whether it is positive?",
                             "A mask for each rule: x > 0, r > 0, and for guided both, (x > 0) & (r > 0).",
                             "np.where(mask, r, 0) keeps r where the mask is true, in r's dtype."))


def _sweep(rng):
    def changed(**how):
        return lambda r, x, weights, rule: sweep(r, x, weights, rule, **how)

    def last_first(r, x, weights, rule):
        """Ask the first ReLU's inputs last, as a list read in the wrong order gives."""
        inputs, h = [], x
        for W in weights[:-1]:
            inputs.append(W @ h)
            h = np.maximum(inputs[-1], 0)
        r = weights[-1].T @ r
        for W, a in zip(weights[-2::-1], inputs):
            r = W.T @ relu_back(r, a, rule)
        return r

    def up_again(r, x, weights, rule):
        """Go down by the matrices themselves, which fits where they are square."""
        inputs, h = [], x
        for W in weights[:-1]:
            inputs.append(W @ h)
            h = np.maximum(inputs[-1], 0)
        r = weights[-1] @ r
        for W, a in zip(weights[-2::-1], inputs[::-1]):
            r = W @ relu_back(r, a, rule)
        return r

    def after_matrix(r, x, weights, rule):
        """Take each ReLU after the matrix below it: by what stood at that matrix's input."""
        inputs, h = [x], x
        for W in weights[:-1]:
            h = np.maximum(W @ h, 0)
            inputs.append(h)
        for W, h in zip(weights[::-1], inputs[::-1]):
            r = W.T @ r
            r = relu_back(r, h, rule)
        return r

    mistakes = [("It looks as if there were no ReLU on the way up: the next layer sees max(a, 0), and so do the masks.",
                 changed(forward=lambda a: a)),
                ("It looks as if the rule were used at the image too: no ReLU stands below the first matrix.",
                 changed(image=True)),
                ("It looks as if the rule were used at the image too: no ReLU stands below the first matrix.", after_matrix),
                ("It looks as if the rule were used above the last matrix too: no ReLU stands there, r may be negative.",
                 changed(top=True)),
                ("It looks as if no rule is used on the way down: at every ReLU between two matrices.",
                 changed(back=lambda r, a, rule: r)),
                ("It looks as if the rule is not looked at: this is the gradient's.",
                 lambda r, x, weights, rule: sweep(r, x, weights, "gradient")),
                ("It looks as if the masks come in the wrong order: the last ReLU's is needed first.", last_first),
                ("It looks as if the matrices are not transposed: up by W, down by W.T.", up_again)]

    def draw(*sizes, dtype=np.float64):
        weights = [rng.standard_normal(shape).astype(dtype) for shape in zip(sizes[1:], sizes)]
        return rng.standard_normal(sizes[-1]).astype(dtype), rng.standard_normal(sizes[0]).astype(dtype), weights

    cases = [case(f"{rule}, {about}", sweep, *draw(*sizes), rule, mistakes=mistakes, tolerance=1e-9)
             for about, sizes in (("two matrices", (5, 9, 4)), ("square matrices", (8, 8, 8, 8)),
                                  ("four matrices", (4, 12, 11, 10, 3))) for rule in RULES]
    r, x, weights = draw(6, 9, 1)
    cases += [case("one matrix, and no ReLU", sweep, *draw(6, 4), "guided", mistakes=mistakes, tolerance=1e-9),
              case("a negative start", sweep, -np.abs(r), x, weights, "deconvnet", mistakes=mistakes, tolerance=1e-9),
              case("float32", sweep, *draw(6, 10, 8, 5, dtype=np.float32), "guided", mistakes=mistakes, tolerance=1e-5)]
    r, x, weights = draw(7, 10, 9, 4)
    d = rng.standard_normal(7)

    def answer(x):
        for W in weights[:-1]:
            x = np.maximum(W @ x, 0)
        return weights[-1] @ x @ r

    along = float(answer(x + 1e-7 * d) - answer(x - 1e-7 * d)) / 2e-7
    cases.append(Case("gradient check", (r, x, weights, "gradient"), tolerance=1e-5,
                      dot=(d, along, "along a random direction of the image the answer moves by another amount")))
    return TaskCheck(cases, ("Go up first and keep the input of every ReLU in a list; the way down needs them, last first.",
                             "Down: r = weights[-1].T @ r, then for each matrix below, the ReLU over it and its transpose.",
                             "for W, a in zip(weights[-2::-1], saw[::-1]): r = W.T @ relu_back(r, a, rule)"))


def _saliency(rng):
    mistakes = [("It looks as if signs are kept: a large negative gradient matters as much.", lambda dx: dx.max(axis=1)),
                ("It looks as if the magnitude is taken last: first of every colour, then the largest.",
                 lambda dx: np.abs(dx.max(axis=1))),
                ("It looks as if colours are added: the largest of them.", lambda dx: np.abs(dx).sum(axis=1)),
                ("It looks as if colours are added, and cancel: the largest magnitude of them.",
                 lambda dx: np.abs(dx.sum(axis=1))),
                ("It looks as if colours are averaged: the largest of them.", lambda dx: np.abs(dx).mean(axis=1)),
                ("It looks as if the colours' length is taken: the largest of them.",
                 lambda dx: np.sqrt((dx * dx).sum(axis=1))),
                ("It looks as if the largest is taken over the images: the colours are axis 1.",
                 lambda dx: np.abs(dx).max(axis=0)),
                ("It looks as if the largest is taken along the last axis: the colours are axis 1.",
                 lambda dx: np.abs(dx).max(axis=-1)),
                ("It looks as if the colours' axis is kept: (N, H, W).", lambda dx: np.abs(dx).max(axis=1, keepdims=True)),
                ("It looks as if the map is scaled to 1: what is asked for is the gradient's own size.",
                 lambda dx: np.abs(dx).max(axis=1) / np.abs(dx).max())]

    def draw(*shape, dtype=np.float64):
        return rng.standard_normal(shape).astype(dtype)

    return TaskCheck([case("three images", saliency_map, draw(3, 3, 5, 4), mistakes=mistakes),
                      case("one image of as many rows as colours", saliency_map, draw(1, 3, 3, 3), mistakes=mistakes),
                      case("all negative", saliency_map, -np.abs(draw(2, 3, 4, 6)), mistakes=mistakes),
                      case("one colour", saliency_map, draw(2, 1, 3, 5), mistakes=mistakes),
                      case("float32", saliency_map, draw(2, 3, 4, 4, dtype=np.float32), mistakes=mistakes),
                      case("a gradient of zeros", saliency_map, np.zeros((1, 3, 2, 2)), mistakes=mistakes)],
                     ("The sign says which way the score moves. Is that asked?", "Magnitudes by np.abs, of every number.",
                      "The colours are axis 1: .max(axis=1)."))

"""The checks of lesson 6: a step with momentum, the rate over time, accuracy, and the filters' renormalization."""

import numpy as np

from .check import TaskCheck, case


def checks(rng):
    """Return {task: TaskCheck} of fresh cases."""
    return {"6.1": _step(rng), "6.2": _rate(rng), "6.3": _accuracy(rng), "6.4": _renormalized(rng)}


def _step(rng):
    def step(w, grad, velocity, lr, momentum=0.9, weight_decay=0.0):
        velocity = momentum * velocity + grad + weight_decay * w
        return w - lr * velocity, velocity

    def uphill(w, grad, velocity, lr, momentum=0.9, weight_decay=0.0):
        velocity = momentum * velocity + grad + weight_decay * w
        return w + lr * velocity, velocity

    def forgetful(w, grad, velocity, lr, momentum=0.9, weight_decay=0.0):
        return step(w, grad, velocity, lr, 0.0, weight_decay)

    def not_kept(w, grad, velocity, lr, momentum=0.9, weight_decay=0.0):
        return step(w, grad, velocity, lr, momentum, weight_decay)[0], velocity

    def old_velocity(w, grad, velocity, lr, momentum=0.9, weight_decay=0.0):
        return w - lr * velocity, step(w, grad, velocity, lr, momentum, weight_decay)[1]

    def no_decay(w, grad, velocity, lr, momentum=0.9, weight_decay=0.0):
        return step(w, grad, velocity, lr, momentum, 0.0)

    def decay_beside(w, grad, velocity, lr, momentum=0.9, weight_decay=0.0):
        moved, velocity = step(w, grad, velocity, lr, momentum, 0.0)
        return moved - lr * weight_decay * w, velocity

    def decay_of_velocity(w, grad, velocity, lr, momentum=0.9, weight_decay=0.0):
        velocity = momentum * velocity + grad + weight_decay * velocity
        return w - lr * velocity, velocity

    def shrinks(w, grad, velocity, lr, momentum=0.9, weight_decay=0.0):
        velocity = momentum * velocity + grad - weight_decay * w
        return w - lr * velocity, velocity

    def rate_inside(w, grad, velocity, lr, momentum=0.9, weight_decay=0.0):
        velocity = momentum * velocity + lr * (grad + weight_decay * w)
        return w - velocity, velocity

    def average(w, grad, velocity, lr, momentum=0.9, weight_decay=0.0):
        velocity = momentum * velocity + (1 - momentum) * (grad + weight_decay * w)
        return w - lr * velocity, velocity

    mistakes = [("It looks as if the step goes uphill: the gradient points to where the loss rises, so subtract.", uphill),
                ("It looks as if the weights move, but the velocity that is returned is the old one: the next step forgets "
                 "this one.", not_kept),
                ("It looks as if the old velocity is left out of the new one: that is plain gradient descent.", forgetful),
                ("It looks as if the step is taken along the old velocity: first the velocity, then the step.",
                 old_velocity),
                ("It looks as if the weight decay is forgotten.", no_decay),
                ("It looks as if the weight decay goes past the velocity, straight to the weights (that is another method, "
                 "AdamW's): here λ w is part of the gradient.", decay_beside),
                ("It looks as if the weight decay is applied to the velocity: it is λ times the weights.",
                 decay_of_velocity),
                ("It looks as if the decay has the wrong sign: the velocity takes + λ w, and the step its minus.", shrinks),
                ("It looks as if the learning rate is in the velocity: here it only scales the step, w - lr·v.",
                 rate_inside),
                ("It looks as if the velocity is an average, with (1 - μ) before the gradient: here the gradient comes "
                 "whole.", average)]

    def made(about, shape, dtype=np.float64, still=False, **settings):
        w, grad, v = (rng.standard_normal(shape).astype(dtype) for _ in range(3))
        v = np.zeros_like(v) if still else v
        return case(about, step, w, grad, v, mistakes=mistakes, tolerance=1e-6 if dtype == np.float32 else 1e-12,
                    **settings)

    return TaskCheck([made("underway", (3, 4), lr=0.1),
                      made("the first step, from rest", (5,), lr=0.05, still=True),
                      made("with weight decay", (2, 3, 2, 2), lr=0.1, weight_decay=0.3),
                      made("another momentum and decay", (4, 3), lr=0.2, momentum=0.5, weight_decay=0.05),
                      made("no momentum", (6,), lr=0.3, momentum=0.0, weight_decay=0.1),
                      made("one weight", (1,), lr=1.0, momentum=0.99, weight_decay=0.2),
                      made("float32", (4, 5), np.float32, lr=0.1, weight_decay=0.1)],
                     ("Two lines, one for each arrow, and in that order.",
                      "The velocity: momentum times the old one, plus the gradient, plus weight_decay times w.",
                      "`velocity = momentum * velocity + …` makes a new array; `velocity *= momentum` changes the caller's. "
                      "Return w - lr * velocity and the velocity."))


def _rate(rng):
    def rate(step, lr, warmup=0, drops=(), factor=0.1):
        rising = min(1.0, (step + 1) / warmup) if warmup else 1.0
        return lr * rising * factor ** sum(step >= drop for drop in drops)

    def from_zero(step, lr, warmup=0, drops=(), factor=0.1):
        rising = min(1.0, step / warmup) if warmup else 1.0
        return lr * rising * factor ** sum(step >= drop for drop in drops)

    def goes_on(step, lr, warmup=0, drops=(), factor=0.1):
        rising = (step + 1) / warmup if warmup else 1.0
        return lr * rising * factor ** sum(step >= drop for drop in drops)

    def once(step, lr, warmup=0, drops=(), factor=0.1):
        return rate(step, lr, warmup) * (factor if any(step >= drop for drop in drops) else 1.0)

    def late(step, lr, warmup=0, drops=(), factor=0.1):
        return rate(step - 1, lr, 0, drops, factor) * min(1.0, (step + 1) / (warmup or 1))

    def only_then(step, lr, warmup=0, drops=(), factor=0.1):
        return rate(step, lr, warmup) * (factor if step in drops else 1.0)

    def no_warmup(step, lr, warmup=0, drops=(), factor=0.1):
        return rate(step, lr, 0, drops, factor)

    def always_a_tenth(step, lr, warmup=0, drops=(), factor=0.1):
        return rate(step, lr, warmup, drops)

    mistakes = [("It looks as if the warm-up begins at 0: then the first step stands still; step 0 has lr / warmup.",
                 from_zero),
                ("It looks as if the rate rises past lr: the warm-up ends at step warmup - 1.", goes_on),
                ("It looks as if the rate drops once, however many drops lie behind: each multiplies.", once),
                ("It looks as if the rate drops one step late: it is the lower one at the step of the drop already.", late),
                ("It looks as if the rate is lower at the step of the drop only, and comes back.", only_then),
                ("It looks as if the warm-up is left out.", no_warmup),
                ("It looks as if a drop is always to a tenth: multiply by factor.", always_a_tenth)]
    lr, warmup = float(rng.uniform(0.01, 0.1)), int(rng.integers(5, 20))
    first = warmup + int(rng.integers(5, 20))
    second = first + int(rng.integers(5, 20))

    def made(about, step, **settings):
        return case(about, rate, step, lr, mistakes=mistakes, tolerance=1e-9, **settings)

    return TaskCheck([made("no schedule", first),
                      made("the very first step of a warm-up", 0, warmup=warmup),
                      made("within the warm-up", warmup // 2, warmup=warmup, drops=(first,)),
                      made("the last step of the warm-up", warmup - 1, warmup=warmup),
                      made("after the warm-up", warmup + 3, warmup=warmup, drops=(first, second)),
                      made("at a drop", first, warmup=warmup, drops=(first, second)),
                      made("the step before a drop", first - 1, drops=(first, second), factor=0.5),
                      made("between two drops", first + 1, drops=(first, second)),
                      made("after two drops", second + 7, warmup=warmup, drops=(first, second), factor=0.3),
                      made("drops in no order", second + 1, drops=(second, first), factor=0.2)],
                     ("Two factors that do not know of one another: one for the warm-up, one for the drops.",
                      "The warm-up's is (step + 1) / warmup, at most 1; without a warm-up it is 1.",
                      "factor ** (how many drops the step has reached); sum() counts what is True."))


def _accuracy(rng):
    def accuracy(scores, labels):
        return float(np.mean(scores.argmax(axis=1) == labels))

    def percent(scores, labels):
        return 100 * accuracy(scores, labels)

    def count(scores, labels):
        return float(np.sum(scores.argmax(axis=1) == labels))

    def mean_score(scores, labels):
        return float(scores[np.arange(len(labels)), labels].mean())

    def wrong_ones(scores, labels):
        return 1 - accuracy(scores, labels)

    def smallest(scores, labels):
        return float(np.mean(scores.argmin(axis=1) == labels))

    def by_value(scores, labels):
        return float(np.mean(scores[np.arange(len(labels)), labels] == scores.max(axis=1)))

    mistakes = [("It looks as if it is in percent: a share lies between 0 and 1.", percent),
                ("It looks as if the right answers are counted and not divided by the number of rows.", count),
                ("It looks as if that is the share of wrong answers: the error, not the accuracy.", wrong_ones),
                ("It looks as if the label's score is averaged: ask where each row's largest score is.", mean_score),
                ("It looks as if the smallest score is taken.", smallest),
                ("It looks as if a tie always counts as right: only the first of equal scores is the answer.", by_value)]
    N, K = 12, 5
    scores, labels = rng.standard_normal((N, K)), rng.integers(0, K, N)
    labels[:5] = scores[:5].argmax(axis=1)
    ties = np.zeros((4, 3))
    ties[1, 1:] = 1.0
    wide = rng.standard_normal((1, 7)).astype(np.float32)
    return TaskCheck([case("twelve rows", accuracy, scores, labels, mistakes=mistakes),
                      case("ties", accuracy, ties, np.array([0, 2, 1, 0]), mistakes=mistakes),
                      case("all right", accuracy, scores, scores.argmax(axis=1), mistakes=mistakes),
                      case("one row, all wrong", accuracy, wide, wide.argmin(axis=1), mistakes=mistakes)],
                     ("argmax, along the axis of the classes.", "A comparison gives True and False, which count as 1 and 0.",
                      "np.mean(scores.argmax(axis=1) == labels)."))


def _renormalized(rng):
    def rms_of(w):
        return np.sqrt((w * w).mean(axis=tuple(range(1, w.ndim)), keepdims=True))

    def renormalized(w, radius=0.1):
        rms = rms_of(w)
        return np.where(rms > radius, w * (radius / np.where(rms > radius, rms, 1)), w).astype(w.dtype)

    def every(w, radius=0.1):
        return (w * (radius / rms_of(w))).astype(w.dtype)

    def bank(w, radius=0.1):
        rms = np.sqrt((w * w).mean())
        return (w * (radius / rms if rms > radius else 1)).astype(w.dtype)

    def norm(w, radius=0.1):
        length = np.sqrt((w * w).sum(axis=tuple(range(1, w.ndim)), keepdims=True))
        return np.where(length > radius, w * radius / np.maximum(length, 1e-30), w).astype(w.dtype)

    def of_each_channel(w, radius=0.1):
        rms = np.sqrt((w * w).mean(axis=tuple(range(2, w.ndim)), keepdims=True))
        return np.where(rms > radius, w * radius / np.maximum(rms, 1e-30), w).astype(w.dtype)

    def clipped(w, radius=0.1):
        return np.clip(w, -radius, radius)

    def spread(w, radius=0.1):
        std = w.std(axis=tuple(range(1, w.ndim)), keepdims=True)
        return np.where(std > radius, w * radius / np.maximum(std, 1e-30), w).astype(w.dtype)

    def mean_square(w, radius=0.1):
        square = rms_of(w) ** 2
        return np.where(square > radius, w * radius / np.maximum(square, 1e-30), w).astype(w.dtype)

    def divided(w, radius=0.1):
        rms = rms_of(w)
        return np.where(rms > radius, w / np.maximum(rms, 1e-30), w).astype(w.dtype)

    mistakes = [("It looks as if every filter is scaled to the radius: the small ones are to stay as they are.", every),
                ("It looks as if one RMS is taken of the whole bank: each filter w[f] has its own.", bank),
                ("It looks as if the square root of the sum is taken: RMS is the root of the mean.", norm),
                ("It looks as if each channel of a filter is scaled by itself: a filter is w[f], all channels together.",
                 of_each_channel),
                ("It looks as if single weights are clipped: the filter keeps its form, scaled as a whole.", clipped),
                ("It looks as if the standard deviation is taken, which subtracts the mean: RMS does not.", spread),
                ("It looks as if the root is forgotten: rms = sqrt(mean(w²)).", mean_square),
                ("It looks as if the large filters get an RMS of 1: it is to be the radius.", divided)]

    def bank_of(shape, sizes, dtype=np.float64):
        w = rng.standard_normal(shape) + 0.5
        return (w / rms_of(w) * np.resize(sizes, (shape[0], *[1] * (len(shape) - 1)))).astype(dtype)

    sizes = (0.05, 0.3, 0.02, 0.6, 0.09, 0.11)
    with_zero = bank_of((5, 3, 3, 3), sizes)
    with_zero[2] = 0
    return TaskCheck([case("large and small filters", renormalized, bank_of((6, 3, 5, 5), sizes), mistakes=mistakes,
                           tolerance=1e-9),
                      case("no filter above", renormalized, bank_of((4, 2, 3, 2), (0.03, 0.07, 0.0999)), mistakes=mistakes,
                           tolerance=1e-9),
                      case("another radius", renormalized, bank_of((5, 1, 2, 3), (1.0, 3.0, 2.5)), radius=2.0,
                           mistakes=mistakes, tolerance=1e-9),
                      case("a filter of zeros", renormalized, with_zero, mistakes=mistakes, tolerance=1e-9),
                      case("two dimensions", renormalized, bank_of((4, 7), sizes), mistakes=mistakes, tolerance=1e-9),
                      case("float32", renormalized, bank_of((6, 2, 3, 3), sizes, np.float32), mistakes=mistakes,
                           tolerance=1e-5),
                      case("one filter of one weight", renormalized, np.array([[-0.4]]), mistakes=mistakes, tolerance=1e-9)],
                     ("An RMS for each filter: a mean over every axis but the first; keepdims=True makes it fit w again.",
                      "w * (radius / rms) brings a filter to the radius; np.where(rms > radius, that, w) leaves the others.",
                      "A filter of zeros has RMS 0: divide by np.where(rms > radius, rms, 1)."))

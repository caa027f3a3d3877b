# %% [markdown]
# # Training
#
# **Which step makes a network better, and what keeps a few filters from taking over?** The gradient says which way the
# loss falls. How far to go, how to remember where one was going, and what to do about filters that grow and grow: that is
# training. We write the step of Zeiler & Fergus 2013, section 3, train a small ZFNet with it, and then look at their rule
# for the filters of the first layers, with it and without.

# %%
import os

import numpy as np

import zfnumpy as zf
from zfnumpy.layers import Conv2d, Flatten, Linear, LocalResponseNorm, MaxPool2d, ReLU

FAST = bool(os.environ.get("ZFNUMPY_FAST"))          # a few seconds instead of a minute: to see that everything runs
ops = zf.get_ops("numba")

# %% [markdown]
# ## One step
#
# A ball that rolls downhill keeps some of its velocity. With gradient g, velocity v, momentum μ, learning rate η and weight
# decay λ, a step is
#
# $$ v \leftarrow \mu v + g + \lambda w \qquad w \leftarrow w - \eta v $$
#
# λ w is the gradient of λ/2 · |w|²: every weight is pulled towards zero as if the loss asked for it, and it goes through the
# velocity like the rest of the gradient. (Other books put η into the velocity. Change the rate in the middle of a run and
# the two are no longer the same.)

# %%


def momentum_step(w, grad, velocity, lr, momentum=0.9, weight_decay=0.0):
    """Return (w, velocity) after one step: new arrays of w's shape and dtype; the arguments stay as they are.

    w, grad, velocity: arrays of one shape and dtype. The velocity comes first, and the step uses the new one.
    """
    # TASK 6.1 (4 points): the new velocity, and the weights one step along it
    velocity = momentum * velocity + grad + weight_decay * w
    return w - lr * velocity, velocity
    # END TASK


# %% [markdown]
# **Predict:** a gradient that is always 1, momentum 0.9, no decay. Where does the velocity end? (It stands still where
# v = 0.9 v + 1.) So what does momentum 0.9 do to the length of the steps?

# %%
w, v = np.zeros(1), np.zeros(1)
for _ in range(200):
    w, v = momentum_step(w, np.ones(1), v, lr=0.01)
print(f"the velocity ends at {v[0]:.4f}")
assert np.isclose(v[0], 1 / (1 - 0.9))

# %% [markdown]
# Ten times the gradient, so ten times the step. What for, if a larger rate would do the same? Because it does not. Take a
# valley: L = ½ a² + ½ · 50 b², flat along a and steep along b. The rate must stay below 2/50 or b is thrown from wall to
# wall, and then a hardly moves: each step takes it to (1 - η) of where it was.
#
# **Predict:** with η = 0.03, after how many steps is a down to a thousandth? (0.97ⁿ = 0.001.) With momentum 0.7 both
# directions shrink by √0.7 a step, if one works it out.

# %%


def steps_down_the_valley(momentum):
    """Count the steps until both coordinates stay below a thousandth of where they began."""
    w, v, far = np.ones(2), np.zeros(2), 0
    for step in range(1, 400):
        w, v = momentum_step(w, w * (1, 50), v, lr=0.03, momentum=momentum)
        far = step if np.abs(w).max() >= 1e-3 else far
    return far + 1


plain, rolling = steps_down_the_valley(0.0), steps_down_the_valley(0.7)
print(f"without momentum {plain} steps, with momentum 0.7 {rolling}; predicted {np.log(1e-3) / np.log(0.97):.1f} and about "
      f"{np.log(1e-3) / np.log(0.7 ** 0.5):.0f}")
assert plain == 227
assert rolling < plain / 4

# %% [markdown]
# ## The rate over time
#
# The first steps of a network with random weights are the wildest, so the rate begins small and rises in a straight line
# over the *warm-up*. Later the loss stops falling because every step jumps over the valley's floor: then the rate drops by
# a factor. (The paper lowers it by hand where the validation error stops falling.)

# %%


def learning_rate(step, lr, warmup=0, drops=(), factor=0.1):
    """Return the rate (a float) of step 0, 1, 2, …

    In the first `warmup` steps it rises in a straight line: step 0 has lr / warmup, step warmup - 1 the whole lr. It is
    multiplied by `factor` for every number of `drops` (in any order) that the step has reached: step >= drop.
    """
    # TASK 6.2 (2 points): the warm-up, and a factor for each drop that lies behind
    rising = min(1.0, (step + 1) / warmup) if warmup else 1.0
    return lr * rising * factor ** sum(step >= drop for drop in drops)
    # END TASK


# %% [markdown]
# And a number to look at that a person understands: how many of the images are told rightly.

# %%


def accuracy(scores, labels):
    """Return the share (a float, 0 to 1) of the rows of scores (N, K) whose largest score is at the label, labels (N,).

    Of equal scores the first counts as the largest.
    """
    # TASK 6.3 (1 point): the share of right answers
    return float(np.mean(scores.argmax(axis=1) == labels))
    # END TASK


# %% [markdown]
# ## The filters
#
# The last rule is this paper's own. Watching the first layer's filters during training, the authors saw that *a few of them
# dominate*. So after every step each filter whose RMS, the root of the mean of its squared weights,
#
# $$ \mathrm{rms}(w_f) = \sqrt{\tfrac{1}{C \cdot KH \cdot KW} \sum_{c,i,j} w[f, c, i, j]^2} $$
#
# exceeds a radius of 0.1 is scaled back to it. The others are left alone.

# %%


def rms_of_filters(w):
    """Return the RMS of each filter of w (F, ...): (F,)."""
    return np.sqrt((w * w).mean(axis=tuple(range(1, w.ndim))))


def renormalized(w, radius=0.1):
    """Return w (F, ...) with every filter whose RMS exceeds `radius` scaled back to that RMS; a new array, w's dtype.

    A filter is w[f], with all its channels. A filter of zeros stays one; w itself stays as it is. w may have two
    dimensions or more.
    """
    # TASK 6.4 (3 points): scale back what is too large, and only that
    rms = np.sqrt((w * w).mean(axis=tuple(range(1, w.ndim)), keepdims=True))
    return np.where(rms > radius, w * (radius / np.where(rms > radius, rms, 1)), w).astype(w.dtype)
    # END TASK


# %% [markdown]
# ## A network learns
#
# The whole loop is short. Each step takes the next 32 images of a shuffled set, some of them mirrored.

# %%


def train(net, x, labels, epochs, rate, batch=32, weight_decay=5e-4, radius=None, watch=None):
    """Train net on x (N, 3, H, W): a list of the loss and a list of watch(net), if it is given, of every step.

    rate(step) is the learning rate; radius renormalizes the convolutions' filters.
    """
    draw = np.random.default_rng(0)
    velocity = {name: np.zeros_like(w) for name, w in net.params.items()}
    losses, seen = [], []
    for _ in range(epochs):
        order = draw.permutation(len(x))
        for first in range(0, len(x), batch):
            rows = order[first:first + batch]
            images = x[rows]
            mirrored = draw.random(len(rows)) < 0.5
            images[mirrored] = images[mirrored, :, :, ::-1]
            scores, tape = net.forward(images, train=True)
            loss, dscores = zf.loss.softmax_cross_entropy(scores, labels[rows])
            lr = rate(len(losses))
            for name, grad in net.backward(dscores, tape).items():
                w, velocity[name] = momentum_step(net.params[name], grad, velocity[name], lr, 0.9, weight_decay)
                net.params[name] = renormalized(w, radius) if radius and w.ndim == 4 else w
            losses.append(loss)
            seen.append(watch(net) if watch else None)
    return losses, seen


# %%
drawn = zf.data.sketches.load(120 if FAST else 2800)
few = len(drawn) // 7
net = zf.models.zfnet_mini(num_classes=10, ops=ops, seed=0, conv=(16, 32, 48, 48, 32), fc=(128,), dropout=0.2)
x, labels = net.prepare(drawn.images), drawn.labels
epochs, steps = (1, 4) if FAST else (6, 75)                        # steps: of one epoch
rate = [learning_rate(step, 0.01, warmup=20, drops=(4 * steps,)) for step in range(epochs * steps)]
learned, _ = train(net, x[few:], labels[few:], epochs, lambda step: rate[step])
last = np.mean(learned[-steps:])
right = accuracy(np.concatenate([net.scores(x[i:min(i + 50, few)]) for i in range(0, few, 50)]), labels[:few])
print(f"loss {learned[0]:.2f} at first, {last:.2f} in the last epoch; {right:.0%} of {few} images that it has never seen")
assert FAST or (last < 0.7 and right > 0.7)

# %% [markdown]
# Is our step the package's? Two networks that begin alike, one trained by our functions, one by `zf.optim.SGD`, must stay
# alike to the last digits of float32.

# %%
ours, theirs = (zf.models.zfnet_mini(num_classes=10, ops=ops, seed=1, conv=(8, 8, 0, 0, 0), fc=(), dropout=0)
                for _ in range(2))
optimizer = zf.optim.SGD(theirs, lr=0.01, momentum=0.9, weight_decay=5e-4, max_filter_rms=0.1)
velocity = {name: np.zeros_like(w) for name, w in ours.params.items()}
for first in (0, 32, 64):
    for each in (ours, theirs):
        scores, tape = each.forward(x[first:first + 32])
        grads = each.backward(zf.loss.softmax_cross_entropy(scores, labels[first:first + 32])[1], tape)
        if each is theirs:
            optimizer.step(grads)
            continue
        for name, grad in grads.items():
            w, velocity[name] = momentum_step(each.params[name], grad, velocity[name], 0.01, 0.9, 5e-4)
            each.params[name] = renormalized(w) if w.ndim == 4 else w
assert all(np.allclose(ours.params[name], w, rtol=1e-4, atol=1e-6) for name, w in theirs.params.items())
print("three steps of ours and of zf.optim.SGD agree")

# %% [markdown]
# ## A few filters dominate
#
# The network above started as is usual today: inputs of about ±1, weights scaled to fit (He et al. 2015). The paper's has
# **inputs of about ±128 and all weights drawn at scale 0.01**. That looks like the same thing in other units, since x · w is
# what counts. It is not, for a step: with inputs 128 times as large the first layer's gradient is 128 times as large, and
# the weights it changes are a tenth of the size. In proportion the first layer moves a thousand times as far.
#
# To see it in seconds we give the first layer and only the first layer of ZFNet (filters, ReLU, pooling, contrast
# normalization) a softmax on top, start it the paper's way, and write down the RMS of each filter after every step.
#
# **Predict:** the RMS of each filter before the first step, and which of them the rule touches then.

# %%


def first_layer():
    """The first layer of a ZFNet under a classifier, as the paper starts it: inputs of ±128, weights of 0.01."""
    return zf.Network([("conv1", Conv2d(24, 7, stride=2, pad=3)), ("relu1", ReLU()), ("pool1", MaxPool2d(3, 2, 1)),
                       ("norm1", LocalResponseNorm()), ("flatten", Flatten()), ("fc2", Linear(10))],
                      input_shape=(3, 64, 64), ops=ops, seed=0, init="paper", name="one layer",
                      preprocessing=zf.data.Preprocessing(64, 64, mean=(123, 117, 104), scale=1))


start = rms_of_filters(first_layer().params["conv1.weight"])
print(f"before the first step: RMS {start.min():.4f} to {start.max():.4f}")
assert np.allclose(start, 0.01, atol=0.002)

# %%
images, names = (x * 128)[:120 if FAST else 1000], labels[:120 if FAST else 1000]
watched = {}
for radius in (None, 0.1):
    net = first_layer()
    _, seen = train(net, images, names, 20 if FAST else 5, lambda step: learning_rate(step, 5e-4, warmup=40), 16,
                         radius=radius, watch=lambda net: rms_of_filters(net.params["conv1.weight"]))
    maps = net.activations(images[:100], ["relu1"])["relu1"].mean(axis=(0, 2, 3))
    loud = np.sort(maps)[-3:].sum() / maps.sum()
    watched[radius] = np.array(seen)
    right = accuracy(net.scores(images), names)
    print(f"{'with   ' if radius else 'without'} the rule: RMS {seen[-1].min():.2f} to {seen[-1].max():.2f}; the three "
          f"loudest of 24 maps make {loud:.0%} of the layer's activity; {right:.0%} of its own images right")
assert watched[None].max() > 0.15 > 0.1001 > watched[0.1].max()

# %% [markdown]
# From the same start the filters part ways: some run far past the radius and end at several times the others' size, and
# three maps of 24 make a third of the layer's activity. With the rule the large ones stop at 0.1, the others catch up, and
# all are heard. That is all it does. It does not make a rate that is too high for this input a good one (look at the last
# number: one layer under a softmax learns little here, with the rule or without), and a network that starts at ±1 with
# weights to fit has no need of it. So `zf.models.zfnet(init="he")` is trained without the rule and `init="paper"` with it.

# %%
import matplotlib.pyplot as plt

figure, (left, *others) = plt.subplots(1, 3, figsize=(12.5, 4), layout="constrained")
left.plot(learned, color=zf.plots.BLUE, alpha=0.3)
span = min(20, len(learned))
left.plot(np.arange(span - 1, len(learned)), np.convolve(learned, np.ones(span) / span, "valid"), color=zf.plots.BLUE)
left.set(title="A small ZFNet learns", xlabel="step", ylabel="loss", ylim=(0, None))
scale = left.twinx()
scale.plot(rate, color=zf.plots.ORANGE)
scale.set(ylim=(0, 0.03), yticks=(0, 0.01))
scale.set_ylabel("learning rate", color=zf.plots.ORANGE, loc="bottom")
for axes, radius in zip(others, watched):
    axes.semilogy(watched[radius], color=zf.plots.BLUE, alpha=0.6, linewidth=1)
    axes.axhline(0.1, color=zf.plots.ORANGE, linestyle="--")
    axes.set(title=f"RMS of 24 first filters, {'with' if radius else 'without'} the rule", xlabel="step",
             ylim=(0.005, 1.2 * watched[None].max()))
others[1].text(0, 0.105, "the paper's radius, 0.1", color=zf.plots.ORANGE, va="bottom")
figure.savefig("training.png", dpi=110)
print("wrote training.png")

# %% [markdown]
# ## Exercises
#
# 1. Leave out the warm-up, and then double the rate. Which of the two does the loss forgive? Find the largest rate at which
#    this network learns, with momentum 0.9 and with none: how far apart are they, and did you predict the factor?
# 2. Start the whole `zfnet_mini` by `init="paper"`, with its inputs of ±128. For many steps the loss stays at 2.303. Why at
#    this number, and why so long? (Follow the size of the activations from layer to layer.)

# %% [markdown]
# # Between the filters, and at the end
#
# **Why is a network more than one large filter?** Because of what stands between its filters. Here are the four small
# functions that a ZFNet has beside convolution and pooling: the bend that makes layers count (ReLU), the rivalry of
# neighbouring maps (contrast normalization), the chance that keeps units from relying on one another (dropout), and the
# question at the end, "how surprised are we?" (softmax and cross-entropy). Each takes a few lines; nearly all mistakes in
# them run without an error. (Zeiler & Fergus 2013, section 2 and section 3.)

# %%
import os

import numpy as np

import zfnumpy as zf

FAST = bool(os.environ.get("ZFNUMPY_FAST"))          # a few seconds instead of more: to see that everything runs
rng = np.random.default_rng(5)
ops = zf.get_ops("numpy")

# %% [markdown]
# ## ReLU: the bend
#
# A filter after a filter is a filter again.
#
# **Predict:** 3×3 filters, and 3×3 filters over their maps, nothing between. One layer of which filter size does the same?

# %%
x = rng.standard_normal((1, 2, 12, 12))
first, second = rng.standard_normal((4, 2, 3, 3)), rng.standard_normal((3, 4, 3, 3))
both = ops.conv2d(ops.conv2d(x, first), second)
single = np.zeros((3, 2, 5, 5))
for i, j in np.ndindex(3, 3):                                         # (i, j) of the second over (k, l) of the first
    single[:, :, i:i + 3, j:j + 3] += np.einsum("gf,fckl->gckl", second[:, :, i, j], first)
assert np.allclose(ops.conv2d(x, single), both)
print("two layers of 3×3 do what one layer of", "×".join(map(str, single.shape[2:])), "does")

# %% [markdown]
# Eight layers without a bend would be one layer, written in a wasteful way. ReLU puts the bend in, relu(x) = max(x, 0).
# The simplest that there could be, and its gradient is simpler still: where x was positive the unit passed its input on, so
# it passes the gradient on; elsewhere nothing depended on x:
#
# $$ dx = dy \cdot [x > 0] $$
#
# At x = 0 there is a kink and no gradient; the convention is 0. (That is no detail: after pooling, padding or a ReLU,
# exact zeros are everywhere.)

# %%


def relu_grad(dy, x):
    """Return the gradient by x of relu(x) = max(x, 0) for dy, any shape: dy where x > 0, else 0, in dy's dtype."""
    # TASK 5.1 (1 point): what passes, and what is stopped?
    return np.where(x > 0, dy, 0)
    # END TASK


# %%
a = np.array([-2.0, -0.5, 0.0, 0.5, 2.0])
print("x", a, "\ndx for dy = -1:", relu_grad(-np.ones(5), a))
assert relu_grad(-np.ones(5), a).tolist() == [0, 0, 0, -1, -1]
assert np.array_equal(relu_grad(a, x.ravel()[:5]), ops.relu_backward(a, np.maximum(x.ravel()[:5], 0)))

# %% [markdown]
# Mark what the mask looks at: at x, the *input of the forward pass*, not at the sign of dy. The deconvnet looks at the
# other one: it keeps what is positive on its way back. Guided backpropagation asks for both. That one line is all in which
# three famous ways of looking inside differ.
#
# ## Contrast normalization: rivals
#
# A strong answer should count less where everybody shouts. Local response normalization divides each value by what its
# neighbours among the *maps*, at the same pixel, have to say:
#
# $$ s_c = k + \frac{\alpha}{n} \sum_{c'} x_{c'}^2 \qquad y_c = x_c \, s_c^{-\beta} $$
#
# The sum runs over n maps around c: from c - ⌊n/2⌋ to c + ⌊(n-1)/2⌋, as many as there are. (For n = 5 two on either side;
# for an even n one more before than after.) α is divided by n, also where some of the n maps do not exist.
#
# **Predict:** with the usual n = 5, α = 5e-4, β = 0.75, k = 2: a unit answers 100, and so do all maps around. What is left
# of it? (Images are about ±128, so 100 is no large number.) And if it answers alone?

# %%


def local_response_norm(x, size=5, alpha=5e-4, beta=0.75, k=2.0):
    """Divide x (N, C, H, W) by (k + alpha / size · Σ x²)^beta, in x's dtype.

    The sum for map c runs over maps c - size // 2 to c + (size - 1) // 2, both included, at the same pixel; maps that do
    not exist count as 0.
    """
    # TASK 5.2 (3 points): sum the squares of neighbouring maps, and divide
    C = x.shape[1]
    squares = np.pad(x * x, ((0, 0), (size // 2, (size - 1) // 2), (0, 0), (0, 0)))
    scale = k + alpha / size * sum(squares[:, i:i + C] for i in range(size))
    return x * scale ** -beta
    # END TASK


# %%
crowd, alone = np.full((1, 7, 1, 1), 100.0), np.zeros((1, 7, 1, 1))
alone[0, 3] = 100
for name, maps in (("all answer", crowd), ("alone", alone)):
    print(f"{name}: 100 becomes {local_response_norm(maps)[0, 3, 0, 0]:.1f}")
assert np.isclose(local_response_norm(crowd)[0, 3, 0, 0], 100 * 7 ** -0.75)
assert np.isclose(local_response_norm(alone)[0, 3, 0, 0], 100 * 3 ** -0.75)
x = 50 * rng.standard_normal((2, 7, 3, 4))
for size in (1, 4, 5):
    assert np.allclose(local_response_norm(x, size), ops.local_response_norm(x, size))

# %% [markdown]
# 100 · 7^-0.75 = 23.2 in the crowd, 100 · 3^-0.75 = 43.9 alone.
#
# ### Its gradient
#
# Map c reaches the loss in two ways: by its own output, and by the scale of every map c' that has c in *its* window:
#
# $$ dx_c = dy_c \, s_c^{-\beta} \;-\; \frac{2 \alpha \beta}{n} \, x_c
#    \sum_{c': \, c \in window(c')} dy_{c'} \, x_{c'} \, s_{c'}^{-\beta - 1} $$
#
# Work it out on paper once: the derivative of s_c'^-β by x_c is -β s^(-β-1) · 2α/n x_c. Then mind the window: c' has c in
# its window from c' - ⌊n/2⌋ to c' + ⌊(n-1)/2⌋. Seen from c that is the window *turned round*: from c - ⌊(n-1)/2⌋ to
# c + ⌊n/2⌋. For an odd n nobody notices.

# %%


def local_response_norm_grad(dy, x, size=5, alpha=5e-4, beta=0.75, k=2.0):
    """Return the gradient dx by x of local_response_norm(x, size, alpha, beta, k) for dy (N, C, H, W), in x's dtype."""
    # TASK 5.3 (4 points): its own output, and the scales that it took part in
    C, before, after = x.shape[1], size // 2, (size - 1) // 2

    def sums(values, before, after):
        padded = np.pad(values, ((0, 0), (before, after), (0, 0), (0, 0)))
        return sum(padded[:, i:i + C] for i in range(size))

    scale = k + alpha / size * sums(x * x, before, after)
    others = sums(dy * x * scale ** (-beta - 1), after, before)       # the window, turned round
    return dy * scale ** -beta - 2 * alpha * beta / size * x * others
    # END TASK


# %%
dy, d = rng.standard_normal(x.shape), rng.standard_normal(x.shape)
for size in (4, 5):
    dx = local_response_norm_grad(dy, x, size)
    up, down = local_response_norm(x + 1e-4 * d, size), local_response_norm(x - 1e-4 * d, size)
    print(f"n = {size}: {(dx * d).sum():.8f} by the formula, {((up - down) * dy).sum() / 2e-4:.8f} by central differences")
    assert np.isclose((dx * d).sum(), ((up - down) * dy).sum() / 2e-4)
    assert np.allclose(dx, ops.local_response_norm_grad(dy, x, size))

# %% [markdown]
# ## Dropout: not relying on anyone
#
# While it learns, the network loses each unit of fc6 and fc7 with probability p = 0.5, drawn anew for every image. No unit
# can count on another, so each must be of use by itself. When it is asked, all are there. Then twice as many answer as in
# training, and the next layer would see twice what it is used to; so in training, those that stay are made larger:
#
# $$ y = \begin{cases} x / (1 - p) & \text{where } u \ge p \\ 0 & \text{where } u < p \end{cases}
#    \qquad u \text{ uniform in } [0, 1) $$
#
# To test what chance does, one takes chance out: the draws u come in as an argument.
#
# **Predict:** 10000 ones, p = 0.8. What is the mean of the result, and what is its largest value?

# %%


def dropout(x, p, uniform):
    """Set x (any shape) to 0 where uniform < p and divide it by 1 - p elsewhere, in x's dtype.

    uniform: numbers in [0, 1) in x's shape; p in [0, 1), the share that is dropped.
    """
    # TASK 5.4 (2 points): who stays, and by how much larger?
    return np.where(uniform >= p, x / (1 - p), 0).astype(x.dtype)
    # END TASK


# %%
kept = dropout(np.ones(10000), 0.8, rng.random(10000))
print(f"mean {kept.mean():.3f}, largest {kept.max():.1f}, {np.mean(kept > 0):.1%} are left")
assert abs(kept.mean() - 1) < 0.1
assert np.isclose(kept.max(), 5)

# %% [markdown]
# The mean stays 1, which is what the next layer goes by. The gradient goes through the same units, with the same factor: it
# is dropout again, with the same draws.
#
# ## Softmax and cross-entropy: how surprised are we?
#
# The last layer gives a score for each of K classes, of any size and sign. Softmax makes probabilities of them, and the
# loss is the surprise at the true class t, in the mean over the N images of the batch:
#
# $$ q_{n,k} = \frac{e^{z_{n,k}}}{\sum_j e^{z_{n,j}}} \qquad L = \frac{1}{N} \sum_n -\log q_{n, t_n} \qquad
# \frac{\partial L}{\partial z_{n,k}} = \frac{q_{n,k} - [k = t_n]}{N} $$
#
# The gradient is what you would wish for: what was predicted less what is true. Two traps are in it. exp(1000) is infinite;
# but softmax does not change when the same number is taken off all scores of an image, so take off the largest. And then a
# small q can become exactly 0, whose logarithm is -∞; but you never need q for the loss:
# -log q_t = log Σ exp(z - max) - (z_t - max).
#
# **Predict:** what is the loss of a network of 10 classes that knows nothing and gives every class the same score? Of 1000
# classes? And what do the gradients of one image's scores sum to?

# %%


def softmax_cross_entropy(scores, labels):
    """Return the mean of -log softmax(scores)[label] over the batch, a float, and its gradient by the scores.

    scores (N, K), labels (N,) integers from 0 to K - 1. The gradient is (N, K), in the scores' dtype. Right, and finite,
    for scores of any size, 1000 and -1000 too.
    """
    # TASK 5.5 (4 points): the surprise, without an overflow, and its gradient
    N = len(scores)
    shifted = scores - scores.max(axis=1, keepdims=True)
    e = np.exp(shifted)
    total = e.sum(axis=1, keepdims=True)
    rows = np.arange(N)
    loss = (np.log(total)[:, 0] - shifted[rows, labels]).mean()
    dscores = e / total
    dscores[rows, labels] -= 1
    return float(loss), dscores / N
    # END TASK


# %%
for K in (10, 1000):
    loss, dscores = softmax_cross_entropy(np.zeros((4, K)), np.arange(4))
    print(f"{K} classes and no idea: loss {loss:.3f} = ln {K}; a row of the gradient sums to {abs(dscores[0].sum()):.0e}")
    assert np.isclose(loss, np.log(K))
    assert np.allclose(dscores.sum(axis=1), 0)

loss, dscores = softmax_cross_entropy(np.array([[1000.0, 0.0, -1000.0]]), np.array([2]))
print(f"scores of 1000, 0 and -1000, and the last is true: loss {loss:g}, gradient {dscores[0]}")
assert loss == 2000
scores, labels = rng.standard_normal((6, 10)), rng.integers(0, 10, 6)
for mine, theirs in zip(softmax_cross_entropy(scores, labels), zf.loss.softmax_cross_entropy(scores, labels)):
    assert np.allclose(mine, theirs)

# %% [markdown]
# ln 10 = 2.303 and ln 1000 = 6.908: the first thing to look at when a training starts. If the first loss is far above, the
# network is sure of nonsense; and if it stays there, it learns nothing.
#
# ## The picture
#
# One unit that answers 100 while its four neighbours answer more and more; and a score that rises while nine others stay
# at 0, if its class is the true one.

# %%
import matplotlib.pyplot as plt

levels = np.linspace(0, 400, 21 if FAST else 101)
rivals = np.zeros((len(levels), 5, 1, 1))
rivals[:, :, 0, 0] = levels[:, None]
rivals[:, 2] = 100
z = np.linspace(-8, 8, 33 if FAST else 161)
found = [softmax_cross_entropy(np.array([[score] + [0] * 9]), np.array([0])) for score in z]

figure, (left, right) = plt.subplots(1, 2, figsize=(10, 4), layout="constrained")
for beta, colour in ((0.75, zf.plots.BLUE), (0.5, zf.plots.ORANGE)):
    left.plot(levels, local_response_norm(rivals, beta=beta)[:, 2, 0, 0], color=colour, label=f"β = {beta}")
left.set(xlabel="what each of four neighbouring maps answers", ylabel="what is left of 100",
         title="Contrast normalization: rivals")
left.set_ylim(bottom=0)
right.plot(z, [loss for loss, _ in found], color=zf.plots.BLUE, label="loss")
right.plot(z, [-dscores[0, 0] for _, dscores in found], color=zf.plots.ORANGE, label="− gradient: how hard it pulls")
right.plot(0, np.log(10), "o", color=zf.plots.BLUE)
right.annotate("no idea: ln 10", (0, np.log(10)), (1, 3), color=zf.plots.BLUE)
right.set(xlabel="score of the true class, nine others at 0", title="Cross-entropy: surprise")
for axes in (left, right):
    axes.grid(alpha=0.3)
    axes.legend(frameon=False)
figure.savefig("rivals_and_surprise.png", dpi=110)
print("wrote rivals_and_surprise.png")

# %% [markdown]
# At the right: as long as the true class has a poor score the pull is 1, and the loss a straight line; once it is right the
# pull fades, and the network turns to other images.
#
# ## Exercises
#
# 1. Set `relu_grad`'s mask to look at dy instead of x, the deconvnet's rule, and check it against central differences. It
#    fails. Why do people use it all the same? (Section 2.1 says what it is for; it is not called a gradient there.)
# 2. Softmax with the scores divided by a temperature T. What becomes of the probabilities for T near 0, and for large T?
#    Add T to the loss and its gradient, and check it.

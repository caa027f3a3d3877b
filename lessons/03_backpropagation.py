# %% [markdown]
# # Backwards through a convolution
#
# **How does a filter find out which way to change?** A network learns by one number, the loss, and by one question asked of
# every weight: if I were a little larger, would the loss fall or rise? The answer is the gradient. Here we work out the
# gradient of a convolution by its filters and by its input, with loops that follow the formula, and then we do not believe
# ourselves: we check. (Zeiler & Fergus 2013, section 2: the network is trained by backpropagation and gradient descent.)

# %%
import os

import numpy as np

import zfnumpy as zf

FAST = bool(os.environ.get("ZFNUMPY_FAST"))          # a few seconds instead of more: to see that everything runs
rng = np.random.default_rng(3)

# %% [markdown]
# A convolution of images x (N, C, H, W) with filters w (F, C, KH, KW), stride s, no padding:
#
# $$ y[n, f, u, v] = \sum_{c, i, j} w[f, c, i, j] \; x[n, c, s u + i, s v + j] $$
#
# Every output is a sum of products, so one small change of w[f, c, i, j] changes y[n, f, u, v] by x[n, c, su + i, sv + j]
# times as much. The loss L hears of that through dy = ∂L/∂y, and the chain rule adds up all the ways:
#
# $$ dw[f, c, i, j] = \sum_{n, u, v} dy[n, f, u, v] \; x[n, c, s u + i, s v + j] $$
#
# Read it once more: where the sum runs over n, *every image of the batch* has its say.

# %%


def conv2d(x, w, stride=1):
    """Correlate x (N, C, H, W) with w (F, C, KH, KW): y (N, F, OH, OW), OH = (H - KH) // stride + 1."""
    N, C, H, W = x.shape
    F, _, KH, KW = w.shape
    OH, OW = (H - KH) // stride + 1, (W - KW) // stride + 1
    y = np.zeros((N, F, OH, OW), x.dtype)
    for i in range(KH):
        for j in range(KW):
            seen = x[:, :, i:i + stride * (OH - 1) + 1:stride, j:j + stride * (OW - 1) + 1:stride]   # (N, C, OH, OW)
            y += np.einsum("fc,ncuv->nfuv", w[:, :, i, j], seen)
    return y


def conv2d_weight_grad(dy, x, w_shape, stride=1):
    """Return dw of shape w_shape (F, C, KH, KW) for dy (N, F, OH, OW) and x (N, C, H, W), in their dtype."""
    # TASK 3.1 (4 points): add up what every output says about every weight
    F, C, KH, KW = w_shape
    N, _, OH, OW = dy.shape
    dw = np.zeros(w_shape, x.dtype)
    for i in range(KH):
        for j in range(KW):
            seen = x[:, :, i:i + stride * (OH - 1) + 1:stride, j:j + stride * (OW - 1) + 1:stride]
            dw[:, :, i, j] = np.einsum("nfuv,ncuv->fc", dy, seen)
    return dw
    # END TASK


# %% [markdown]
# The input's gradient answers the same question about every pixel. Pixel (p, q) took part in y[u, v] through the weight
# at (p - su, q - sv), if there is one. Instead of asking each pixel we let each output hand back what it took:
#
# $$ dx[n, c, s u + i, s v + j] \mathrel{+}= \sum_f w[f, c, i, j] \; dy[n, f, u, v] $$
#
# That is the *transposed* convolution, and the whole of the deconvnet's third step. Windows overlap, so it must add.

# %%


def conv2d_input_grad(dy, w, x_shape, stride=1):
    """Return dx of shape x_shape (N, C, H, W) for dy (N, F, OH, OW) and w (F, C, KH, KW), in their dtype."""
    # TASK 3.2 (4 points): let every output hand back to the pixels it saw, weighted as it saw them
    F, C, KH, KW = w.shape
    N, _, OH, OW = dy.shape
    dx = np.zeros(x_shape, dy.dtype)
    for i in range(KH):
        for j in range(KW):
            back = np.einsum("fc,nfuv->ncuv", w[:, :, i, j], dy)
            dx[:, :, i:i + stride * (OH - 1) + 1:stride, j:j + stride * (OW - 1) + 1:stride] += back
    return dx
    # END TASK


# %% [markdown]
# ## Do not believe it: check
#
# The definition of a derivative needs no cleverness. Move one weight up by ε and down by ε and see how far the loss moves:
#
# $$ \frac{\partial L}{\partial w_k} \approx \frac{L(w + \varepsilon e_k) - L(w - \varepsilon e_k)}{2 \varepsilon} $$
#
# Central differences err by about ε², one-sided ones by ε. But the smaller ε, the more of the difference of two nearly
# equal losses is rounding. float32 keeps 7 digits, float64 keeps 16.
#
# **Predict:** with ε = 1e-5, how many digits of the quotient survive in float32, if the loss is about 10? (The loss moves
# by about 1e-5, and float32 numbers near 10 lie 1e-6 apart.) And in float64?

# %%


def numerical_gradient(loss, w, eps=1e-5):
    """Return the central-difference gradient of loss(w), a function of an array that gives a float, in w's shape.

    w is left as it was.
    """
    # TASK 3.3 (3 points): move each number of w up and down by eps; work on a copy
    w, grad = w.copy(), np.zeros_like(w)
    for k in np.ndindex(w.shape):
        value = w[k]
        w[k] = value + eps
        above = loss(w)
        w[k] = value - eps
        below = loss(w)
        w[k] = value
        grad[k] = (above - below) / (2 * eps)
    return grad
    # END TASK


# %% [markdown]
# How far apart are two gradients? Their difference alone says nothing: 0.001 is much for a gradient of 0.01 and nothing
# for one of 1000. So we divide by the size of what is compared: |a - b| / max(|a|, |b|), with the largest magnitudes.

# %%


def relative_error(a, b):
    """Return max|a - b| / max(max|a|, max|b|) as a float; 0.0 where both are zero everywhere."""
    # TASK 3.4 (1 point): the largest difference over the largest magnitude
    largest = max(np.abs(a).max(), np.abs(b).max())
    return float(np.abs(a - b).max() / largest) if largest else 0.0
    # END TASK


# %%
x = rng.standard_normal((2, 3, 7, 8))
w = rng.standard_normal((4, 3, 3, 2))
v = rng.standard_normal(conv2d(x, w, 2).shape)            # a loss that weights every output: L = Σ v y, so that dy = v

errors = {}
for dtype in ("float32", "float64"):
    x_, w_, v_ = x.astype(dtype), w.astype(dtype), v.astype(dtype)
    exact = conv2d_weight_grad(v_, x_, w_.shape, 2)
    numerical = numerical_gradient(lambda w: (conv2d(x_, w, 2) * v_).sum(), w_)
    errors[dtype] = relative_error(exact, numerical)
    print(f"{dtype}: relative error {errors[dtype]:.1e}")
assert errors["float64"] < 1e-8 < 1e-4 < errors["float32"]

# %% [markdown]
# One digit or so in float32, ten in float64: the gradient was right both times, but only float64 could say so. Gradients
# are checked in float64, always.
#
# ## One number instead of many
#
# A million weights would need two million losses. Instead, take a random direction d and compare how the loss moves along
# it, (L(w + εd) - L(w - εd)) / 2ε, with Σ dw · d. A wrong gradient agrees with a random direction about never. The same
# trick checks that two linear maps are each other's transpose: ⟨A x, y⟩ = ⟨x, Aᵀ y⟩ for random x and y.

# %%
d = rng.standard_normal(w.shape)
along = ((conv2d(x, w + 1e-5 * d, 2) - conv2d(x, w - 1e-5 * d, 2)) * v).sum() / 2e-5
print(f"along a random direction: {along:.10f} by differences, {(conv2d_weight_grad(v, x, w.shape, 2) * d).sum():.10f}")
left, right = (conv2d(x, w, 2) * v).sum(), (x * conv2d_input_grad(v, w, x.shape, 2)).sum()
print(f"⟨A x, y⟩ = {left:.10f}, ⟨x, Aᵀ y⟩ = {right:.10f}")
assert np.isclose(left, right)

ops = zf.get_ops("numpy")                                 # and the package agrees
assert np.allclose(conv2d_weight_grad(v, x, w.shape, 2), ops.conv2d_weight_grad(v, x, w.shape, stride=2))
assert np.allclose(conv2d_input_grad(v, w, x.shape, 2), ops.conv2d_input_grad(v, w, x.shape, stride=2))

# %% [markdown]
# ## Which ε?
#
# **Predict the shape of the curve:** relative error against ε from 1 down to 1e-12, in both dtypes. L is linear in w, so
# central differences have no ε² error here; to see it we take L = Σ v y³ / 3 instead, whose dy is v y².

# %%
steps = 10.0 ** -np.arange(0, 9 if FAST else 13)
curves = {}
for dtype in ("float32", "float64"):
    x_, w_, v_ = x.astype(dtype), w.astype(dtype), v.astype(dtype)
    exact = conv2d_weight_grad(v_ * conv2d(x_, w_, 2) ** 2, x_, w_.shape, 2)

    def loss(w, x_=x_, v_=v_):
        return (conv2d(x_, w, 2) ** 3 / 3 * v_).sum()

    curves[dtype] = [relative_error(exact, numerical_gradient(loss, w_, eps)) for eps in steps]
    best = int(np.argmin(curves[dtype]))
    print(f"{dtype}: best ε 1e-{best}, relative error {curves[dtype][best]:.0e}")

# %%
import matplotlib.pyplot as plt

figure, axes = plt.subplots(figsize=(7, 4), layout="constrained")
for (dtype, errors), colour, marker in zip(curves.items(), (zf.plots.ORANGE, zf.plots.BLUE), "os"):
    axes.loglog(steps, errors, color=colour, marker=marker, label=dtype)
axes.invert_xaxis()
axes.set(xlabel="ε", ylabel="relative error of central differences", title="Too large a step bends, too small a step rounds")
axes.grid(alpha=0.3)
axes.legend(frameon=False)
figure.savefig("which_step.png", dpi=110)
print("wrote which_step.png")

# %% [markdown]
# Both curves fall with ε² while the step is too large and rise with 1/ε once rounding takes over; float64 gets ten orders
# of magnitude further down before it turns.
#
# ## Exercises
#
# 1. Give the weights' gradient a mistake: leave out one image of the batch. Which of the checks above notices? Which would
#    not, had the batch been of one image?
# 2. Add zero padding to all three functions. What must conv2d_input_grad do with what arrives in the frame of zeros?

# %% [markdown]
# # A filter over an image
#
# **What does a filter see?** A convolutional network is made of one small idea, repeated: lay a little grid of weights on
# a patch of the image, multiply what lies on top of one another, add it all up, write the sum down, move on. Here you do
# it with loops, look at what comes out, and then do it again for many images and filters at once. (Zeiler & Fergus 2013,
# section 2 and figure 3: the first layer of their network is 96 such grids, 7×7 pixels wide and three colours deep.)

# %%
import os
import time

import numpy as np

import zfnumpy as zf

FAST = bool(os.environ.get("ZFNUMPY_FAST"))          # a few seconds instead of more: to see that everything runs
rng = np.random.default_rng(1)

picture, _ = zf.data.sketches.draw("house", size=64, seed=4)          # (64, 64, 3), bytes from 0 to 255, colours last
image = picture.transpose(2, 0, 1) / 255.0                            # (3, 64, 64), numbers from 0 to 1, colours first
print("an image of C, H, W =", image.shape)

# %% [markdown]
# ## How many places are there?
#
# A filter K pixels wide on a line of H pixels: its left edge can stand on pixel 0, 1, … up to H - K. With stride s it only
# stops at every s-th of these. With padding p the line is first made longer by p zeros *at both ends*. So the answer has
#
# $$ OH = \left\lfloor \frac{H + 2p - K}{s} \right\rfloor + 1 $$
#
# numbers: the steps that fit, and the place where it begins. What is left over at the far end, no filter reaches.
#
# **Predict:** ZFNet's first layer takes 224 pixels with filters of 7, stride 2 and padding 1. How many numbers come out
# along an axis? And how many of our 64 pixels?

# %%


def output_size(size, kernel, stride=1, pad=0):
    """Return how many places a filter of `kernel` pixels takes along an axis of `size` pixels, as an int.

    The filter moves by `stride` pixels; `pad` zeros are added at both ends. It fits at least once.
    """
    # TASK 1.1 (1 point): count the places along one axis
    return (size + 2 * pad - kernel) // stride + 1
    # END TASK


# %%
print("224 pixels, 7 wide, stride 2, padding 1:", output_size(224, 7, 2, 1))
print(" 64 pixels, 7 wide, stride 2, padding 1:", output_size(64, 7, 2, 1))
assert (output_size(224, 7, 2, 1), output_size(64, 7, 2, 1)) == (110, 30)

# %% [markdown]
# ## Zeros around it
#
# Without padding every layer would cut the image's rim off. A frame of zeros keeps the size: with a 3×3 filter, stride 1
# and padding 1 as many numbers come out as pixels went in.

# %%


def zero_pad(x, pad):
    """Return x (..., H, W) in a frame of `pad` zeros: a new array (..., H + 2 pad, W + 2 pad) of the same dtype.

    Any number of axes may come before the last two, none also; only those two grow. pad is 0 or more.
    """
    # TASK 1.2 (1 point): put zeros on all four sides of the last two axes
    *before, H, W = x.shape
    padded = np.zeros((*before, H + 2 * pad, W + 2 * pad), x.dtype)
    padded[..., pad:pad + H, pad:pad + W] = x
    return padded
    # END TASK


# %% [markdown]
# ## The filter itself, number by number
#
# One image x (C, H, W), one filter w (C, KH, KW). The filter is as deep as the image: all channels are added up into one
# number. With x̂ the padded image,
#
# $$ y[u, v] = \sum_{c, i, j} w[c, i, j] \; \hat x[c, s u + i, s v + j] $$
#
# Read it aloud: output (u, v) looks at the patch whose upper left corner is (su, sv), and pixel (i, j) of the patch meets
# weight (i, j).

# %%


def correlate(x, w, stride=1, pad=0):
    """Lay one filter w (C, KH, KW) on every place of one image x (C, H, W): y (OH, OW), in x's dtype.

    `pad` zeros stand around the image; from place to place the filter moves by `stride`. No flipping.
    """
    # TASK 1.3 (4 points): fill y number by number, with loops
    _, H, W = x.shape
    _, KH, KW = w.shape
    x = zero_pad(x, pad)
    y = np.zeros((output_size(H, KH, stride, pad), output_size(W, KW, stride, pad)), x.dtype)
    for u in range(y.shape[0]):
        for v in range(y.shape[1]):
            patch = x[:, stride * u:stride * u + KH, stride * v:stride * v + KW]
            y[u, v] = (patch * w).sum()
    return y
    # END TASK


# %% [markdown]
# The smallest filter that says something has a single 1 in it. In the middle, with padding 1, it copies the image.
#
# **Predict:** the 1 stands in the upper left corner, w[0, 0, 0] = 1. Which way does the image move, and by how much?

# %%
grey = image.mean(axis=0, keepdims=True)                 # one channel: (1, 64, 64)
copy, corner = np.zeros((1, 3, 3)), np.zeros((1, 3, 3))
copy[0, 1, 1] = 1
corner[0, 0, 0] = 1
assert np.array_equal(correlate(grey, copy, pad=1), grey[0])
moved = correlate(grey, corner, pad=1)
assert np.array_equal(moved[1:, 1:], grey[0, :-1, :-1])  # what was at (0, 0) is now at (1, 1)
print("the image moves down and to the right by one pixel; its first row becomes", np.unique(moved[0]))

# %% [markdown]
# Every output looks up and to the left, so it shows what lies there, and the image moves the other way.
#
# **This is correlation.** In mathematics a *convolution* turns the filter by 180° first, so that the 1 in the upper left
# moves the image up and to the left, to where it stands itself. Networks learn their weights, and a learned filter does not
# care which way round it is stored; so the layer that everybody calls convolutional correlates. Remember it: the deconvnet
# has to turn the filters after all, on the way back.
#
# ## Edges
#
# Weights that sum to zero answer nothing where the image is even. Negative on the left and positive on the right, they
# answer where it gets brighter from left to right. These are Sobel's, used on all three colours alike.
#
# **Predict:** the image turned upside down in brightness (1 - x) gives which answer, away from the rim? And the same
# filter turned by 180°?

# %%
across = np.array([[-1, 0, 1], [-2, 0, 2], [-1, 0, 1]]) / 8
filters = np.stack([across, across.T, np.full((3, 3), 1 / 9)])       # left to right, top to bottom, the mean of a patch
filters = np.repeat(filters[:, None], 3, axis=1) / 3                 # (3 filters, 3 channels, 3, 3)

answers = np.stack([correlate(image, w) for w in filters])           # (3, 62, 62): no padding, and so no false edge
assert np.allclose(correlate(1 - image, filters[0]), -answers[0])
assert np.allclose(correlate(image, filters[0, :, ::-1, ::-1]), -answers[0])
even = correlate(np.ones((3, 64, 64)), filters[0], pad=1)
print(f"an even image: {np.abs(even[1:-1, 1:-1]).max():.3f} inside, {np.abs(even).max():.3f} at the rim of padded zeros")
assert np.allclose(even[1:-1, 1:-1], 0)
assert np.isclose(np.abs(even).max(), 0.5)

# %% [markdown]
# Both give minus the answer: black to white is now white to black. And see what padding does: zeros are black, so an even
# image has an edge all around it that is not in the scene. Networks live with that; when you look into one, know it.

# %%


def shown(values, most):
    """Draw values from -most (purple) over 0 (white) to most (orange)."""
    return zf.plots.heat(values, -most, most, "PuOr_r")


names = ("left to right", "top to bottom", "mean of a patch")
strength = np.hypot(answers[0], answers[1])
weights = [(f"filter: {name}", shown(w[0], filters.max()).repeat(21, 0).repeat(21, 1)[:62, :62])
           for name, w in zip(names, filters)]
drawn = [(f"answer: {name}", shown(a, np.abs(a).max())) for name, a in zip(names[:2], answers)]
drawn.append((f"answer: {names[2]}", zf.plots.grey(answers[2])))
zf.plots.save_picture("edges.png", zf.plots.projection_sheet(
    [[("the image", picture[1:-1, 1:-1]), *weights], [("strength of both edges", zf.plots.grey(strength)), *drawn]],
    "Three filters and what they answer (orange above zero, purple below)"))
print("wrote edges.png")

# %% [markdown]
# ## Many images, many filters, few loops
#
# A layer has N images x (N, C, H, W) and F filters w (F, C, KH, KW), and gives y (N, F, OH, OW). A loop over every output
# makes Python stop at each of them, for a handful of multiplications. Turn the loops inside out: there are only KH · KW
# places *in the filter*, and for each of them NumPy can do all outputs in one go. Weight (i, j) meets the pixels
# (su + i, sv + j): a slice of the image, with a step of s.
#
# $$ y[n, f, u, v] \mathrel{+}= \sum_c w[f, c, i, j] \; \hat x[n, c, s u + i, s v + j] \quad \text{for each } (i, j) $$

# %%


def conv2d(x, w, stride=1, pad=0):
    """Correlate every image of x (N, C, H, W) with every filter of w (F, C, KH, KW): y (N, F, OH, OW), in x's dtype.

    `pad` zeros stand around each image; the filters move by `stride`. Write it with loops over KH and KW only.
    """
    # TASK 1.4 (4 points): loop over the places in the filter, and let NumPy do all outputs at once
    N, C, H, W = x.shape
    F, _, KH, KW = w.shape
    OH, OW = output_size(H, KH, stride, pad), output_size(W, KW, stride, pad)
    x = zero_pad(x, pad)
    y = np.zeros((N, F, OH, OW), x.dtype)
    for i in range(KH):
        for j in range(KW):
            seen = x[:, :, i:i + stride * (OH - 1) + 1:stride, j:j + stride * (OW - 1) + 1:stride]   # (N, C, OH, OW)
            y += np.einsum("fc,ncuv->nfuv", w[:, :, i, j], seen)
    return y
    # END TASK


# %%
x, w = rng.standard_normal((3, 2, 9, 10)), rng.standard_normal((4, 2, 3, 2))
by_loops = np.stack([[correlate(one, f, stride=2, pad=1) for f in w] for one in x])
assert np.allclose(conv2d(x, w, stride=2, pad=1), by_loops)
ops = zf.get_ops("numpy")                                # and the package agrees with both
assert np.allclose(conv2d(x, w, stride=2, pad=1), ops.conv2d(x, w, stride=2, pad=1))
print("loops, NumPy and the package agree")

# %% [markdown]
# **Predict:** 8 filters of 3×5×5 on our image of 64×64, stride 1, padding 2. How many multiplications is that? (Every
# output needs 75.) And how many times faster is one way than the other?

# %%
w = rng.standard_normal((8, 3, 5, 5))
outputs = w.shape[0] * output_size(64, 5, 1, 2) ** 2
assert outputs * w[0].size == 2457600


def seconds(function, repeat):
    """Return the least time that function() took."""
    times = []
    for _ in range(repeat):
        start = time.perf_counter()
        function()
        times.append(time.perf_counter() - start)
    return min(times)


loops = seconds(lambda: [correlate(image, f, pad=2) for f in w], 1 if FAST else 3)
arrays = seconds(lambda: conv2d(image[None], w, pad=2), 3 if FAST else 10)
print(f"{outputs * w[0].size:,} multiplications: loops over outputs take {loops / arrays:.0f} times as long as loops over "
      "the filter's places")

# %% [markdown]
# Both multiply the same numbers. One asks Python 32768 times for 75 products, the other 25 times for a hundred thousand.
# ZFNet multiplies 1.2 thousand million times for one image; lesson 2 finds a way to do it in a single call.
#
# ## Exercises
#
# 1. Find a 3×3 filter that answers a thin bright line, one pixel wide, twice as strongly as an edge of the same height.
#    Can there be a filter that answers lines and no edges at all? (What is the difference of an edge and the same edge one
#    pixel further on?)
# 2. A layer also adds one number to each of its maps, the bias b (F,). Give it to `conv2d`. What does the edge filter with
#    a bias of -0.05 and negative numbers set to zero keep of the image?

# %% [markdown]
# # Convolution as one matrix product
#
# **How can a convolution be a single multiplication of two matrices?** Nothing on a computer has been made faster, over
# more years, than the product of two matrices. A convolution is sums of products as well, only its windows overlap. Write
# every window out as a column, overlap or not, and it *is* a matrix product. It costs memory, and it shows what a
# convolution is: one small matrix, applied to every patch. (Zeiler & Fergus 2013, section 2: the layers that are meant.)

# %%
import os
import time

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")    # one thread multiplies: times are compared below

import numpy as np

import zfnumpy as zf

FAST = bool(os.environ.get("ZFNUMPY_FAST"))          # a few seconds instead of more: to see that everything runs
rng = np.random.default_rng(2)
ops = zf.get_ops("numpy")

picture, _ = zf.data.sketches.draw("house", size=16, seed=8, background=False)
x = picture.transpose(2, 0, 1)[None] / 255.0                         # (1, 3, 16, 16)
print("one small image of N, C, H, W =", x.shape)

# %% [markdown]
# ## A patch becomes a column
#
# Lesson 1 laid a filter w (C, KH, KW) on a patch of the same size, multiplied and added up. Read both out as long vectors,
# in the same order, and that is a scalar product. The order is everybody's: channel by channel, in each the rows from top
# to bottom, in each row from left to right, which is the order NumPy stores w in. The windows are numbered the same way,
# row by row. With x̂ the image in its frame of zeros:
#
# $$ cols[n, \; (c \, KH + i) \, KW + j, \; u \, OW + v] = \hat x[n, c, s u + i, s v + j] $$
#
# **A column** is one patch. **A row** is one place in the filter, in all windows: a whole copy of channel c, shifted by
# (i, j) and read with a step of s. The first way to fill the matrix takes OH · OW small copies, the second only
# C · KH · KW, or KH · KW of all channels at once.

# %%


def im2col(x, size, stride=1, pad=0):
    """Write the windows of x (N, C, H, W) out as columns: (N, C·KH·KW, OH·OW), in x's dtype.

    size is (KH, KW). `pad` zeros stand around each image; windows move by `stride`, OH = (H + 2 pad - KH) // stride + 1.
    A column holds one window, channel by channel, each row by row; the columns run over the windows row by row.
    """
    # TASK 2.1 (4 points): for each place in the window, copy what all windows see there
    N, C, H, W = x.shape
    KH, KW = size
    OH, OW = (H + 2 * pad - KH) // stride + 1, (W + 2 * pad - KW) // stride + 1
    x = np.pad(x, ((0, 0), (0, 0), (pad, pad), (pad, pad)))
    cols = np.zeros((N, C, KH, KW, OH, OW), x.dtype)
    for i in range(KH):
        for j in range(KW):
            cols[:, :, i, j] = x[:, :, i:i + stride * (OH - 1) + 1:stride, j:j + stride * (OW - 1) + 1:stride]
    return cols.reshape(N, C * KH * KW, OH * OW)
    # END TASK


# %%
cols = im2col(x, (3, 3), stride=2, pad=1)
print("windows of 3×3 at stride 2, padding 1:", cols.shape, "= N, C·KH·KW, OH·OW")
patch = cols[0, :, 3 * 8 + 5].reshape(3, 3, 3)                       # the window at u = 3, v = 5: pixels 5 … 7 and 9 … 11
assert np.array_equal(patch, x[0, :, 5:8, 9:12])
assert np.array_equal(cols, ops.im2col(x, 3, stride=2, pad=1))

# %% [markdown]
# ## What it costs
#
# **Predict:** every pixel is written down once for each window that sees it. For windows of 3×3 at stride 1 with padding 1,
# how many times more numbers are in the columns than in the image? And roughly, for ZFNet's first layer: 7×7, stride 2?

# %%


def times_more(H, kernel, stride, pad):
    """Return the numbers in the columns of an H×H image over those in the image."""
    out = (H + 2 * pad - kernel) // stride + 1
    return (kernel * out) ** 2 / H ** 2


print(f"3×3, stride 1, padding 1: {times_more(13, 3, 1, 1):.1f} times; 7×7, stride 2: {times_more(224, 7, 2, 1):.1f} times")
assert times_more(13, 3, 1, 1) == 9.0
assert 11 < times_more(224, 7, 2, 1) < 49 / 4
print(f"ZFNet's conv1 for a batch of 128 in float32: {128 * 3 * 49 * 110 ** 2 * 4 / 2 ** 30:.2f} GiB of columns")

# %% [markdown]
# Every output has a column of KH · KW numbers a channel, and with stride s there is one output for about s² pixels:
# KH · KW / s², which is 9, and 12.25 less what the rim lacks. That is the price. (The package's faster backends never keep
# these columns: they lay out a strip at a time, just before it is multiplied.)
#
# ## One product
#
# The filters w (F, C, KH, KW), each read out as one row, make a matrix of F × (C·KH·KW). Row times column is filter times
# patch:
#
# $$ y[n, f, u \, OW + v] = \sum_r w[f, r] \; cols[n, r, u \, OW + v] \qquad \text{or} \qquad Y_n = W \, X_n $$

# %%


def conv2d(x, w, stride=1, pad=0):
    """Correlate x (N, C, H, W) with w (F, C, KH, KW) by one product of matrices an image: y (N, F, OH, OW).

    In the dtype of both; stride and pad as in im2col.
    """
    # TASK 2.2 (2 points): the filters as rows, the windows as columns, and their product
    N, C, H, W = x.shape
    F, _, KH, KW = w.shape
    OH, OW = (H + 2 * pad - KH) // stride + 1, (W + 2 * pad - KW) // stride + 1
    return (w.reshape(F, C * KH * KW) @ im2col(x, (KH, KW), stride, pad)).reshape(N, F, OH, OW)
    # END TASK


# %% [markdown]
# Is it right, and is it faster? Lesson 1 looped over the places of the filter, KH · KW sums over channels. Here all of it
# is one product, and NumPy hands products of matrices to a library (BLAS) that keeps the processor's arithmetic busy.
# To be fair, the loop below gets the same library: one product for each place.

# %%


def conv2d_by_places(x, w, stride=1, pad=0):
    """Lesson 1's convolution, a product of matrices for each place of the filter."""
    N, C, H, W = x.shape
    F, _, KH, KW = w.shape
    OH, OW = (H + 2 * pad - KH) // stride + 1, (W + 2 * pad - KW) // stride + 1
    x = np.pad(x, ((0, 0), (0, 0), (pad, pad), (pad, pad)))
    y = np.zeros((N, F, OH * OW), x.dtype)
    for i in range(KH):
        for j in range(KW):
            seen = x[:, :, i:i + stride * (OH - 1) + 1:stride, j:j + stride * (OW - 1) + 1:stride]
            y += w[:, :, i, j] @ seen.reshape(N, C, OH * OW)
    return y.reshape(N, F, OH, OW)


def seconds(function, repeat):
    """Return the least time that function() took."""
    times = []
    for _ in range(repeat):
        start = time.perf_counter()
        function()
        times.append(time.perf_counter() - start)
    return min(times)


side, N = (56, 2) if FAST else (112, 4)
for name, C, F, kernel, stride, pad in (("7×7 over 3 colours", 3, 96, 7, 2, 1), ("3×3 over 96 maps", 96, 64, 3, 1, 1)):
    images = rng.standard_normal((N, C, side // stride, side // stride)).astype("float32")
    w = rng.standard_normal((F, C, kernel, kernel)).astype("float32")
    y = conv2d(images, w, stride, pad)
    assert np.allclose(y, conv2d_by_places(images, w, stride, pad), rtol=1e-3, atol=1e-3)
    assert np.allclose(y, ops.conv2d(images, w, stride=stride, pad=pad), rtol=1e-3, atol=1e-3)
    ratio = (seconds(lambda: conv2d_by_places(images, w, stride, pad), 5)
             / seconds(lambda: conv2d(images, w, stride, pad), 5))
    print(f"{name}: a product for each place takes {ratio:.1f} times as long as one product of columns")

# %% [markdown]
# Where the image has three channels the products of single
# places are thin, 3 numbers for each sum, and the library cannot show what it can: one product of columns is several times
# faster. With 96 maps a single place has enough to do, and laying out columns pays little or nothing.
#
# ## The way back
#
# Learning needs the way back, and so does the deconvnet: given one number for every place of every window, what arrives at
# each pixel? Every entry of cols was a copy of one pixel, or of a padded zero. On the way back each pixel gets what all of
# its copies bring, **added up**; what was copied from the frame of zeros is dropped.
#
# $$ \hat x[n, c, s u + i, s v + j] \mathrel{+}= cols[n, (c \, KH + i) \, KW + j, u \, OW + v] $$

# %%


def col2im(cols, x_shape, size, stride=1, pad=0):
    """Add columns (N, C·KH·KW, OH·OW) back into the windows that im2col took them from: x of x_shape (N, C, H, W).

    In cols' dtype. Where windows overlap their values add; what falls on the padding is dropped; pixels in no window are 0.
    """
    # TASK 2.3 (4 points): for each place in the window, add what all windows bring back there
    N, C, H, W = x_shape
    KH, KW = size
    OH, OW = (H + 2 * pad - KH) // stride + 1, (W + 2 * pad - KW) // stride + 1
    cols = cols.reshape(N, C, KH, KW, OH, OW)
    x = np.zeros((N, C, H + 2 * pad, W + 2 * pad), cols.dtype)
    for i in range(KH):
        for j in range(KW):
            x[:, :, i:i + stride * (OH - 1) + 1:stride, j:j + stride * (OW - 1) + 1:stride] += cols[:, :, i, j]
    return x[:, :, pad:pad + H, pad:pad + W]
    # END TASK


# %% [markdown]
# **Predict:** columns of ones come back. With 3×3 windows, stride 1, padding 1: what arrives at a pixel in the middle, at
# one on the rim, and in a corner? And with stride 2, which different numbers are there at all?

# %%
for stride in (1, 2):
    ones = np.ones_like(im2col(x[:, :1], (3, 3), stride, 1))
    seen_by = col2im(ones, (1, 1, 16, 16), (3, 3), stride, 1)[0, 0].astype(int)
    print(f"stride {stride}: how many windows see each pixel, upper left corner\n{seen_by[:4, :4]}")
    if stride == 1:
        assert (seen_by[8, 8], seen_by[0, 8], seen_by[0, 0]) == (9, 6, 4)
assert set(np.unique(seen_by)) == {1, 2, 4}
assert np.allclose(col2im(cols, x.shape, (3, 3), 2, 1), x * seen_by)          # there and back: each pixel, times its copies

# %% [markdown]
# So col2im does not undo im2col. It is its **transpose**, and that can be seen whole. im2col is linear, so it is a matrix A:
# its k-th column is what im2col makes of an image with a single 1 at pixel k. Every row of A has at most one 1, since every
# entry of cols copies one pixel. Make the matrix B of col2im in the same way, and look:

# %%
shape, about = (1, 1, 4, 5), ((2, 3), 2, 1)                           # a small image; windows 2×3, stride 2, padding 1
pixels = np.eye(20).reshape(20, *shape)
A = np.stack([im2col(one, *about).ravel() for one in pixels], axis=1)
entries = np.eye(len(A)).reshape(len(A), *im2col(pixels[0], *about).shape)
B = np.stack([col2im(one, shape, *about).ravel() for one in entries], axis=1)
print("A has shape", A.shape, "and B", B.shape, "— B is A transposed:", np.array_equal(B, A.T))
assert np.array_equal(B, A.T)
assert set(A.sum(axis=1)) == {0, 1}

# %% [markdown]
# That is all it takes to carry anything back through a convolution: y = W · im2col(x) forward, and Wᵀ, then col2im, back.
# Two lines, and they are the transposed convolution of the deconvnet (section 2.1, "filtering"). Lesson 3 finds it again
# by another way, as the gradient.

# %%
w, dy = rng.standard_normal((4, 3, 3, 3)), rng.standard_normal((1, 4, 8, 8))
back = col2im(w.reshape(4, 27).T @ dy.reshape(1, 4, 64), x.shape, (3, 3), stride=2, pad=1)
assert np.allclose(back, ops.conv2d_input_grad(dy, w, x.shape, stride=2, pad=1))
print("transposed filters and col2im: the package's conv2d_input_grad")

# %% [markdown]
# ## The picture
#
# The image, its 64 windows where they were taken, and the matrix: a column for each window in order, a row for each place
# in the filter, in the colour of its channel. Rows of one channel are nearly the same, shifted by a pixel. Last, how many
# windows see each pixel.

# %%
tile, label, enlarge = zf.plots.tile, zf.plots.label, zf.plots.enlarge
patches = np.rint(cols[0].T.reshape(64, 3, 3, 3).transpose(0, 2, 3, 1) * 255).astype(np.uint8)
matrix = np.zeros((27, 64, 3), np.uint8)
for c in range(3):
    matrix[9 * c:9 * c + 9, :, c] = np.rint(cols[0, 9 * c:9 * c + 9] * 255)
windows = tile(enlarge(patches, 27), 8, 4, zf.plots.PAPER)[4:-4, 4:-4]                       # (244, 244, 3)
upper = [label(np.pad(enlarge(p, 240), ((2, 2), (2, 2), (0, 0)), constant_values=255), text, height=20)
         for text, p in (("the image, 16 x 16", picture),
                         ("seen by 1, 2 or 4 windows", zf.plots.heat(seen_by, 0, 4)))]
upper.insert(1, label(windows, "its 64 windows, 3 x 3 at stride 2", height=20))
upper = np.concatenate([np.pad(p, ((12, 12), (9, 9), (0, 0)), constant_values=255) for p in upper], axis=1)
lower = label(enlarge(matrix, 12 * 27), "the matrix: 64 columns, one a window; 27 rows, 9 a channel", height=20)
lower = np.pad(lower, ((0, 14), (9, upper.shape[1] - lower.shape[1] - 9), (0, 0)), constant_values=255)
zf.plots.save_picture("columns.png", zf.plots.heading(np.concatenate([upper, lower]), "An image written out as columns"))
print("wrote columns.png")

# %% [markdown]
# ## Exercises
#
# 1. Columns are patches, so they are data. Take the 7×7 windows of a few hundred sketches (`zf.data.sketches.load(300)`) at
#    stride 7, subtract the mean patch, and draw the first 16 eigenvectors of cols colsᵀ (`np.linalg.eigh`) as filters:
#    `zf.plots.filter_sheet`. Which of them would you call edges? What do they have in common with lesson 1's?
# 2. `np.lib.stride_tricks.sliding_window_view` gives all windows without copying one. Write im2col in one line with it.
#    Where is the copy made after all, and why must it be?

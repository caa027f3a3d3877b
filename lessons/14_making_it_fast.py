# %% [markdown]
# # Making a convolution fast
#
# **The same sums, many times faster: where does the time go?** Nothing in this lesson changes what is computed. First we
# count what there is to do, then predict what it must cost, then measure, and change one thing at a time: loops in NumPy,
# one matrix product, loops that are compiled, loops in a better order, a tile that stays in registers, and the package's
# own kernel. The layer is conv2 of Zeiler & Fergus 2013 (figure 3): 256 filters 5×5 over 96 maps, stride 2.

# %%
import os

# One core for everybody, so that code is compared with code. NumPy's matrix product reads this when it is imported.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
os.environ.setdefault("MKL_NUM_THREADS", "1")

import time

import numba
import numpy as np

import zfnumpy as zf

FAST = bool(os.environ.get("ZFNUMPY_FAST"))          # a few seconds instead of more: to see that everything runs

# %% [markdown]
# ## Count first
#
# Every output of a convolution is a sum of C · KH · KW products. A multiplication and an addition together are one
# *multiply-add*, and two operations; "FLOP" counts operations.
#
# $$ \text{multiply-adds} = N \cdot F \cdot OH \cdot OW \cdot \tfrac{C}{groups} \cdot KH \cdot KW $$

# %%


def multiply_adds(x_shape, w_shape, stride=1, pad=0, groups=1):
    """Return the multiply-adds (an int) of a convolution of x (N, C, H, W) with w (F, C/groups, KH, KW).

    OH = (H + 2 pad - KH) // stride + 1, OW likewise. w_shape is the weight's own: its second number is C/groups already.
    Products with padded zeros count like the others.
    """
    # TASK 14.1 (3 points): outputs, times products for each
    N, _, H, W = x_shape
    F, channels, KH, KW = w_shape
    OH, OW = (H + 2 * pad - KH) // stride + 1, (W + 2 * pad - KW) // stride + 1
    return N * F * OH * OW * channels * KH * KW
    # END TASK


# %% [markdown]
# **Predict:** conv2's, for one image: 256 filters, 26 · 26 places, 96 · 5 · 5 products at each. And which of ZFNet's layers
# has the most? The first with its large images, or the fully connected ones with nine tenths of the weights?

# %%
ZFNET = {   # x_shape, w_shape, stride, pad; a fully connected layer is a filter as large as its map
    "conv1": ((1, 3, 224, 224), (96, 3, 7, 7), 2, 1), "conv2": ((1, 96, 55, 55), (256, 96, 5, 5), 2, 0),
    "conv3": ((1, 256, 13, 13), (384, 256, 3, 3), 1, 1), "conv4": ((1, 384, 13, 13), (384, 384, 3, 3), 1, 1),
    "conv5": ((1, 384, 13, 13), (256, 384, 3, 3), 1, 1), "fc6": ((1, 256, 6, 6), (4096, 256, 6, 6), 1, 0),
    "fc7": ((1, 4096, 1, 1), (4096, 4096, 1, 1), 1, 0), "fc8": ((1, 4096, 1, 1), (1000, 4096, 1, 1), 1, 0)}
counts = {name: multiply_adds(*shapes) for name, shapes in ZFNET.items()}
print("conv2:", f"{counts['conv2']:,}", "multiply-adds; all of ZFNet:", f"{sum(counts.values()):,}")
assert counts["conv2"] == 256 * 26 * 26 * 96 * 5 * 5 == 415_334_400
assert round(sum(counts.values()) / 1e9, 2) == 1.17
assert max(counts, key=counts.get) == "conv2"

# %% [markdown]
# A number must also be *there* when it is multiplied. The least that has to move between memory and processor: the input and
# the weights once in, the output once out. Who lays the windows out as columns (im2col) also writes that matrix, which holds
# most pixels many times, and reads it again.

# %%


def bytes_moved(x_shape, w_shape, stride=1, pad=0, itemsize=4, columns=False):
    """Return the bytes (an int) that a convolution of x (N, C, H, W) with w (F, C, KH, KW) moves at least.

    x and w are read once, y is written once; with `columns` the column matrix, N of (C·KH·KW, OH·OW), is written once and
    read once besides. itemsize: bytes of a number. Padding is not read.
    """
    # TASK 14.2 (2 points): numbers in, numbers out, times their size
    N, C, H, W = x_shape
    F, _, KH, KW = w_shape
    OH, OW = (H + 2 * pad - KH) // stride + 1, (W + 2 * pad - KW) // stride + 1
    numbers = N * C * H * W + F * C * KH * KW + N * F * OH * OW
    if columns:
        numbers += 2 * N * C * KH * KW * OH * OW
    return numbers * itemsize
    # END TASK


# %% [markdown]
# With both counts we can say what is possible before we write a line. One core's rate of multiply-adds we take from NumPy's
# own matrix product, which others have tuned for decades; the memory's, from copying an array too large for any cache.
# (Whatever else runs on your machine makes these numbers smaller, and those below too.)

# %%


def best_of(function, rounds=3):
    """Return the shortest of a few calls' seconds, after one that does not count."""
    function()
    times = []
    for _ in range(rounds):
        begin = time.perf_counter()
        function()
        times.append(time.perf_counter() - begin)
    return min(times)


n = 256 if FAST else 1024
square, large = np.ones((n, n), np.float32), np.ones((1 if FAST else 16) << 22, np.float32)
copy = np.empty_like(large)
peak = 2 * n**3 / best_of(lambda: square @ square)
bandwidth = 2 * large.nbytes / best_of(lambda: np.copyto(copy, large))
print(f"one core: {peak / 1e9:.0f} GFLOP/s, memory {bandwidth / 1e9:.1f} GB/s")

x_shape, w_shape, stride, _ = ((1, 16, 27, 27), (32, 16, 5, 5), 2, 0) if FAST else ZFNET["conv2"]
flops = 2 * multiply_adds(x_shape, w_shape, stride)
print(f"the layer: {flops / 1e9:.3f} GFLOP, {1000 * flops / peak:.2f} ms at that rate")
for columns in (False, True):
    moved = bytes_moved(x_shape, w_shape, stride, columns=columns)
    print(f"  {'with   ' if columns else 'without'} a column matrix {moved / 1e6:5.1f} MB, "
          f"{1000 * moved / bandwidth:.2f} ms; {flops / moved:.0f} operations a byte")

# %% [markdown]
# So this layer is bound by arithmetic, not by memory, *if* every number is read once. Whoever fetches it again and again is
# in another world: a loop that reads all 2.5 MB of conv2's weights for each of its 676 windows moves 1.7 GB.
#
# ## In NumPy
#
# Three ways to write it. All of them take x (C, H, W) and w (F, C, KH, KW) to y (F, OH, OW).

# %%
rng = np.random.default_rng(14)
x, w = rng.standard_normal(x_shape[1:]).astype(np.float32), rng.standard_normal(w_shape).astype(np.float32)
(F, C, KH, KW), S = w.shape, stride
OH, OW = (x.shape[1] - KH) // S + 1, (x.shape[2] - KW) // S + 1


def a_window_at_a_time(x, w):
    y = np.empty((F, OH, OW), x.dtype)
    flat = w.reshape(F, -1)
    for u in range(OH):
        for v in range(OW):
            y[:, u, v] = flat @ x[:, S * u:S * u + KH, S * v:S * v + KW].ravel()
    return y


def a_place_at_a_time(x, w):
    y = np.zeros((F, OH * OW), x.dtype)
    for i in range(KH):
        for j in range(KW):
            y += w[:, :, i, j] @ x[:, i:i + S * (OH - 1) + 1:S, j:j + S * (OW - 1) + 1:S].reshape(C, -1)
    return y.reshape(F, OH, OW)


def columns_of(x):
    """Lay the windows out: (C·KH·KW, OH·OW)."""
    cols = np.empty((C, KH, KW, OH, OW), x.dtype)
    for i in range(KH):
        for j in range(KW):
            cols[:, i, j] = x[:, i:i + S * (OH - 1) + 1:S, j:j + S * (OW - 1) + 1:S]
    return cols.reshape(C * KH * KW, OH * OW)


def one_product(x, w):
    return (w.reshape(F, -1) @ columns_of(x)).reshape(F, OH, OW)


# %% [markdown]
# Before changing anything: *profile*. Where does the best of these spend its time?

# %%
whole, layout = best_of(lambda: one_product(x, w)), best_of(lambda: columns_of(x))
print(f"im2col and product: {1000 * whole:.2f} ms, of which the layout takes {layout / whole:.0%}")

# %% [markdown]
# ## Blocks
#
# Why is a matrix product fast at all? C = A B has M·N·K multiply-adds and only M·K + K·N numbers to read, but three plain
# loops read a row of A and a column of B for each number of C: 2·M·N·K reads. Unless a block of A and a block of B, small
# enough to stay in the cache, are used for all that they are good for before the next ones come:
#
# $$ C_{ij} = \sum_k A_{ik} B_{kj} $$
#
# with blocks of b × b in the place of numbers: about 2·M·N·K / b reads.

# %%


def blocked_product(a, b, block):
    """Multiply a (M, K) by b (K, N) block by block: return (c, loaded).

    c (M, N), in a's dtype. Rows, columns and depth are each cut into pieces of `block`, the last one shorter where they
    do not divide. For every triple of pieces the block of a is multiplied by the block of b (with @, say) and added to
    its block of c. loaded (an int): how many numbers of a and b these products read together, the sizes of both blocks
    added up over all triples.
    """
    # TASK 14.3 (5 points): three loops over blocks; add up the products, and what they read
    (M, K), N = a.shape, b.shape[1]
    c, loaded = np.zeros((M, N), a.dtype), 0
    for i in range(0, M, block):
        for j in range(0, N, block):
            for k in range(0, K, block):
                left, right = a[i:i + block, k:k + block], b[k:k + block, j:j + block]
                c[i:i + block, j:j + block] += left @ right
                loaded += left.size + right.size
    return c, loaded
    # END TASK


# %% [markdown]
# **Predict:** two matrices of 96×96 in blocks of 32. How many numbers are read? And in blocks of 1, which is the three plain
# loops?

# %%
a, b = rng.standard_normal((2, 96, 96))
c, loaded = blocked_product(a, b, 32)
print(f"blocks of 32 read {loaded:,} numbers, blocks of 1 would {2 * 96**3:,}")
assert loaded == 2 * 96**3 / 32
assert np.allclose(c, a @ b)
flat, cols = w.reshape(F, -1), columns_of(x)
for block in (32, 64, 128):
    c, loaded = blocked_product(flat, cols, block)
    print(f"our layer in blocks of {block:3d}: {loaded * 4 / 1e6:6.1f} MB")
    assert np.allclose(c, flat @ cols, rtol=1e-3, atol=1e-2)

# %% [markdown]
# ## Compiled loops
#
# Numba compiles a function of plain loops for this processor. First the loops of the definition, six for one image. Each
# output is a sum in the order in which it is written, and since floating-point sums may not be reordered unasked, the
# processor adds one number at a time, each waiting for the one before.

# %%


@numba.njit
def plain_loops(x, w, y, S):
    for f in range(y.shape[0]):
        for u in range(y.shape[1]):
            for v in range(y.shape[2]):
                total = x.dtype.type(0)
                for c in range(w.shape[1]):
                    for i in range(w.shape[2]):
                        for j in range(w.shape[3]):
                            total += w[f, c, i, j] * x[c, S * u + i, S * v + j]
                y[f, u, v] = total


# %% [markdown]
# The product over columns, with the loops in a good order: the innermost runs along a row of B and of C, so that eight
# or sixteen neighbours are handled by one instruction, and `fastmath` allows a multiply-add in one. (One reads a number of C
# and writes it back for every multiply-add.)

# %%


@numba.njit(fastmath=True)
def along_rows(a, b, c):
    for i in range(a.shape[0]):
        row = c[i]
        for k in range(a.shape[1]):
            scale, other = a[i, k], b[k]
            for j in range(len(row)):
                row[j] += scale * other[j]


# %% [markdown]
# And with what we know of blocks. A *register tile*: two rows of C and four rows of B at once. Eight multiply-adds then
# share four loads of B, two of C and two stores; the eight numbers of A stay in registers. Around it, blocks of B that stay
# in the cache. (It takes an even number of rows and a depth that four divides, as here; a kernel for everybody has to do
# with the rest too.)

# %%


@numba.njit(fastmath=True)
def tiled(a, b, c, deep, wide):
    M, K = a.shape
    N = b.shape[1]
    for k0 in range(0, K, deep):
        for j0 in range(0, N, wide):
            j1 = min(j0 + wide, N)
            for i in range(0, M, 2):
                c0, c1 = c[i, j0:j1], c[i + 1, j0:j1]
                for k in range(k0, min(k0 + deep, K), 4):
                    b0, b1, b2, b3 = b[k, j0:j1], b[k + 1, j0:j1], b[k + 2, j0:j1], b[k + 3, j0:j1]
                    p0, p1, p2, p3 = a[i, k], a[i, k + 1], a[i, k + 2], a[i, k + 3]
                    q0, q1, q2, q3 = a[i + 1, k], a[i + 1, k + 1], a[i + 1, k + 2], a[i + 1, k + 3]
                    for j in range(j1 - j0):
                        v0, v1, v2, v3 = b0[j], b1[j], b2[j], b3[j]
                        c0[j] += p0 * v0 + p1 * v1 + p2 * v2 + p3 * v3
                        c1[j] += q0 * v0 + q1 * v1 + q2 * v2 + q3 * v3


# %% [markdown]
# The package goes to the end of this road (`zfnumpy/ops/_numba_gemm.py`, to be read now): its micro-kernel keeps a tile of C
# itself in registers through the whole depth, so that C is read and written once; B is *packed* into panels that are read
# from end to end; and windows are laid out while packing, a block at a time, so that there is no column matrix at all.
#
# ## Turn by turn
#
# Times of one minute tell little about those of the next. So everyone has a turn in every round, and the best of each is
# taken.
#
# **Predict** the order before you run it. How far from NumPy's product will plain compiled loops be, and on which side?

# %%
ops = zf.get_ops("numba", threads=1)


def compiled(product, *settings):
    def convolve(x, w):
        y = np.zeros((F, OH * OW), x.dtype)
        product(w.reshape(F, -1), columns_of(x), y, *settings)
        return y.reshape(F, OH, OW)
    return convolve


def by_definition(x, w):
    y = np.empty((F, OH, OW), x.dtype)
    plain_loops(x, w, y, S)
    return y


ladder = {"NumPy, a window at a time": a_window_at_a_time, "NumPy, a place of the filter at a time": a_place_at_a_time,
          "NumPy, im2col and one product": one_product, "numba, the loops of the definition": by_definition,
          "numba, im2col, along rows": compiled(along_rows),
          "numba, im2col, blocks and a 2×4 tile": compiled(tiled, 240, 676),
          "zfnumpy": lambda x, w: ops.conv2d(x[None], w, stride=S)[0]}
right = one_product(x.astype(np.float64), w.astype(np.float64))
for name, convolve in ladder.items():                     # the first call also compiles
    assert np.abs(convolve(x, w) - right).max() < 1e-4 * np.abs(right).max(), name

seconds = dict.fromkeys(ladder, np.inf)
for _ in range(2 if FAST else 5):
    for name, convolve in ladder.items():
        convolve(x, w)                                    # the others have emptied the caches
        begin = time.perf_counter()
        convolve(x, w)
        seconds[name] = min(seconds[name], time.perf_counter() - begin)
    peak = max(peak, 2 * n**3 / best_of(lambda: square @ square, 1))
numpys = seconds["NumPy, im2col and one product"]
for name, took in seconds.items():
    print(f"{name:40} {1000 * took:9.2f} ms {flops / took / 1e9:7.1f} GFLOP/s   {numpys / took:6.2f} × NumPy's")

# %%
import matplotlib.pyplot as plt

figure, axes = plt.subplots(figsize=(9, 3.8), layout="constrained")
colours = [zf.plots.ORANGE if name.startswith("NumPy") else zf.plots.BLUE for name in seconds]
axes.barh(list(seconds), [flops / took / 1e9 for took in seconds.values()], color=colours)
for row, took in enumerate(seconds.values()):
    axes.text(1.02, row, f"{flops / took / 1e9:.1f}", transform=axes.get_yaxis_transform(), va="center")
    axes.text(1.10, row, f"{numpys / took:.2f} ×", transform=axes.get_yaxis_transform(), va="center", color="0.4")
axes.axvline(peak / 1e9, color="0.3", linestyle="--")
axes.text(peak / 1e9, -0.6, f"NumPy's {n}×{n} product ", ha="right", va="bottom", color="0.3")
axes.set(ylim=(6.6, -1.2), xlabel="GFLOP/s on one core (at the right also as a multiple of NumPy's im2col and product)",
         title=f"One convolution seven ways: {F} filters {KH}×{KW} over {C} maps")
axes.spines[["top", "right"]].set_visible(False)
figure.savefig("making_it_fast.png", dpi=110)
print("wrote making_it_fast.png")

# %% [markdown]
# All seven make the same numbers from the same multiply-adds. What differs is how often a number is fetched for each of
# them, how many go into one instruction, and how long each has to wait for the one before.
#
# ## Exercises
#
# 1. Compile `plain_loops` with `fastmath=True`, and then turn its loops so that the innermost runs along v. Which of the two
#    helps more? Predict by what the innermost loop adds up, and by where its numbers lie.
# 2. Try other blocks and tiles in `tiled`: 1×1, 4×4, a block of 64 columns. At which size does B's block stop fitting into
#    your processor's second-level cache (`lscpu` tells its size), and do you see it?

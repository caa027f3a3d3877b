# %% [markdown]
# # Pooling and its switches
#
# **What does a maximum forget, and can we get it back?** Pooling keeps the largest of a window's values and throws the
# others away, and with them the place that the largest came from. A network wants that: an eye is an eye, a pixel to the
# left or to the right. Who looks *into* a network wants the opposite. So the deconvnet writes down, while the image passes,
# where each maximum stood: its *switches*. (Zeiler & Fergus 2013, section 2.1, "unpooling", and figure 1.)

# %%
import os

import numpy as np

import zfnumpy as zf

FAST = bool(os.environ.get("ZFNUMPY_FAST"))          # a few seconds instead of more: to see that everything runs
rng = np.random.default_rng(4)
ops = zf.get_ops("numpy")

# %% [markdown]
# ## The largest of a window, and where it stood
#
# Windows of K×K pixels at stride s, padding p, on every map by itself:
#
# $$ y[n, c, u, v] = \max_{i, j} \; \hat x[n, c, s u + i, s v + j] $$
#
# x̂ is the map in a frame. Not of zeros: all values of a window might be negative, and a zero from the frame would beat
# them. The frame must never win, so it is of −∞. The switch is the place of the maximum *in the map*, counted row by row
# through the plane, row · W + column, without the frame. And if two values are equal? Somebody must decide, or two
# programs tell two stories: **the first in that order wins.**
#
# **Predict:** 2×2 windows at stride 2 over the map below. What are the four maxima, and the four switches?
#
# ```
#  3  1  0  0
#  2  3  0  0
# -4 -1  5  6
# -1 -2  7  7
# ```

# %%


def max_pool2d(x, size, stride, pad=0):
    """Take the maximum of every window of x (N, C, H, W): y (N, C, OH, OW) in x's dtype, and its switches, int32, alike.

    Windows are size × size pixels and move by `stride`, OH = (H + 2 pad - size) // stride + 1; pad is at most size // 2.
    A switch is row · W + column of the maximum in its own (H, W) plane. Of equal values the first in row-major order is
    taken. What stands in the padding is never the maximum.
    """
    # TASK 4.1 (5 points): the maximum of every window, and where in the plane it stood
    N, C, H, W = x.shape
    OH, OW = (H + 2 * pad - size) // stride + 1, (W + 2 * pad - size) // stride + 1
    padded = np.pad(x, ((0, 0), (0, 0), (pad, pad), (pad, pad)), constant_values=-np.inf)
    rows, columns = stride * np.arange(OH, dtype=np.int32)[:, None] - pad, stride * np.arange(OW, dtype=np.int32) - pad
    y, switches = np.full((N, C, OH, OW), -np.inf, x.dtype), np.zeros((N, C, OH, OW), np.int32)
    for i in range(size):
        for j in range(size):
            seen = padded[:, :, i:i + stride * (OH - 1) + 1:stride, j:j + stride * (OW - 1) + 1:stride]
            better = seen > y                                        # not >=: the first of equal values stays
            y = np.where(better, seen, y)
            switches = np.where(better, (rows + i) * W + columns + j, switches)
    return y, switches
    # END TASK


# %%
small = np.array([[3, 1, 0, 0], [2, 3, 0, 0], [-4, -1, 5, 6], [-1, -2, 7, 7]], float).reshape(1, 1, 4, 4)
y, switches = max_pool2d(small, 2, 2)
print("maxima  ", y.ravel(), "\nswitches", switches.ravel())
assert y.ravel().tolist() == [3, 0, -1, 7]
assert switches.ravel().tolist() == [0, 2, 9, 14]

negative = -np.ones((1, 1, 4, 4))                                     # and the frame never wins
assert max_pool2d(negative, 3, 2, 1)[0].max() == -1
x = rng.integers(-3, 4, (2, 3, 9, 8)).astype(float)                   # full of ties
for size, stride, pad in ((2, 2, 0), (3, 2, 0), (3, 2, 1)):
    mine, theirs = max_pool2d(x, size, stride, pad), ops.max_pool2d(x, size, stride, pad)
    assert np.array_equal(mine[0], theirs[0])
    assert np.array_equal(mine[1], theirs[1])
print("the package finds the same maxima and the same switches")

# %% [markdown]
# ## With the switches held, pooling only reads
#
# A maximum is not linear. But once the switches are written down, pooling is: y is x, read at the switches. Two images with
# the same switches could be added before or after, it would be the same. That is worth a function of its own, since what
# is linear has a transpose, and the transpose is the way back.

# %%


def read_switches(x, switches):
    """Read every plane of x (N, C, H, W) at its own switches (N, C, OH, OW), row · W + column: (N, C, OH, OW)."""
    # TASK 4.2 (2 points): what stands at the switches?
    N, C, H, W = x.shape
    flat = switches.reshape(N, C, -1)
    return np.take_along_axis(x.reshape(N, C, H * W), flat, axis=2).reshape(switches.shape)
    # END TASK


# %%
y, switches = max_pool2d(x, 3, 2, 1)
assert np.array_equal(read_switches(x, switches), y)
more = rng.standard_normal(x.shape)
assert np.allclose(read_switches(x + more, switches), y + read_switches(more, switches))
print("reading at the switches gives the maxima, and is linear")

# %% [markdown]
# ## Back: unpooling
#
# Start from zeros and put every value back to where its switch says. Where windows overlap, two of them may have taken the
# same pixel; then it gets both values, **added**. One might also think of writing one over the other, but only the sum is
# the transpose, ⟨read(x), y⟩ = ⟨x, unpool(y)⟩, and so the gradient: a pixel that is the maximum of four windows moves four
# outputs.
#
# $$ r[n, c, p] = \sum_{u, v: \; switch[n, c, u, v] = p} y[n, c, u, v] $$

# %%


def max_unpool2d(y, switches, x_shape):
    """Put every value of y (N, C, OH, OW) at its switch in zeros of x_shape (N, C, H, W), in y's dtype.

    A switch is row · W + column in its own plane. Where several switches name the same pixel their values add.
    """
    # TASK 4.3 (4 points): put the values back, and let them add
    N, C, H, W = x_shape
    x = np.zeros((N * C, H * W), y.dtype)
    np.add.at(x, (np.arange(N * C)[:, None], switches.reshape(N * C, -1)), y.reshape(N * C, -1))
    return x.reshape(N, C, H, W)
    # END TASK


# %% [markdown]
# **Predict:** a map of 5×5 zeros with a single 5 at (2, 2), pooled with windows of 3×3 at stride 2, and unpooled. What
# stands at (2, 2) then?

# %%
spot = np.zeros((1, 1, 5, 5))
spot[0, 0, 2, 2] = 5
y, switches = max_pool2d(spot, 3, 2)
again = max_unpool2d(y, switches, spot.shape)
print(f"{(y == 5).sum()} windows see it; what comes back is {again[0, 0, 2, 2]:g}")
assert again[0, 0, 2, 2] == 20

# %% [markdown]
# All four windows of the 2×2 outputs hold that pixel, and all four name it. Now the two checks of lesson 3: the transpose,
# and the gradient of a pooling by central differences. (Of x drawn at random: where two values tie, a maximum has a kink
# and no gradient.)

# %%
x = rng.standard_normal((2, 3, 9, 8))
y, switches = max_pool2d(x, 3, 2, 1)
dy, d = rng.standard_normal(y.shape), rng.standard_normal(x.shape)
dx = max_unpool2d(dy, switches, x.shape)
print(f"⟨read(d), dy⟩ = {(read_switches(d, switches) * dy).sum():.10f}, ⟨d, unpool(dy)⟩ = {(d * dx).sum():.10f}")
assert np.isclose((read_switches(d, switches) * dy).sum(), (d * dx).sum())
along = ((max_pool2d(x + 1e-6 * d, 3, 2, 1)[0] - max_pool2d(x - 1e-6 * d, 3, 2, 1)[0]) * dy).sum() / 2e-6
assert np.isclose(along, (d * dx).sum())
assert np.allclose(dx, ops.max_unpool2d(dy, switches, x.shape))

# %% [markdown]
# ## What is forgotten, on an image
#
# A map such as a network has: the strength of edges (lesson 1) in a drawn image. ZFNet pools 3×3 at stride 2 with padding 1,
# and further up again; so do we.
#
# **Predict:** how many of 64·64 pixels can be left, at most, after one pooling and unpooling? And after two?

# %%
picture, _ = zf.data.sketches.draw("cat", size=64, seed=7, scale=0.85, background=False)
grey = picture.mean(axis=2)[None, None] / 255.0                      # (1, 1, 64, 64)
across = np.array([[-1, 0, 1], [-2, 0, 2], [-1, 0, 1]]) / 8
answers = ops.conv2d(grey, np.stack([across, across.T])[:, None])     # (1, 2, 62, 62), from left to right and downwards
edges = np.pad(np.hypot(answers[:, :1], answers[:, 1:]), ((0, 0), (0, 0), (1, 1), (1, 1)))      # their strength


def pooled(x, times):
    """Return what `times` poolings, one after another, make of x, and the switches of each."""
    found = []
    for _ in range(times):
        x, switches = max_pool2d(x, 3, 2, 1)
        found.append(switches)
    return x, found


def unpooled(y, found, shape):
    """Carry y back through the poolings whose switches are `found`, down to an image of `shape`."""
    for k in reversed(range(len(found))):
        y = max_unpool2d(y, found[k], found[k - 1].shape if k else shape)
    return y


maps = {}
for times in (1, 2):
    y, found = pooled(edges, times)
    maps[times] = y, unpooled(y, found, edges.shape)
    share = (maps[times][1] > 0).mean()
    assert share <= 0.25 ** times
    print(f"{times} × pooled: {y.shape[2]}×{y.shape[3]} values, unpooled {share:.1%} of the pixels are not zero")

# %% [markdown]
# At most one pixel a window: a quarter, then a sixteenth; and fewer where windows name the same pixel. But those that are
# left are the strongest of their neighbourhood and stand where they stood. To see what the switches are worth, leave them
# out: put every value into the middle of its window instead.

# %%


def to_the_middle(y):
    """Put each value of y, pooled with 3×3 windows at stride 2 and padding 1, into the middle of its window."""
    x = np.zeros((*y.shape[:2], 2 * y.shape[2], 2 * y.shape[3]), y.dtype)
    x[:, :, ::2, ::2] = y
    return x


blind = {1: to_the_middle(maps[1][0]), 2: to_the_middle(to_the_middle(maps[2][0]))}


def on_edges(r):
    """Return how much of what is in r lies where the edges are strong, in the strongest tenth of their pixels."""
    return r[edges > np.quantile(edges, 0.9)].sum() / r.sum()


print(f"on the strongest edges: {on_edges(maps[2][1]):.0%} with switches, {on_edges(blind[2]):.0%} without")
assert on_edges(maps[2][1]) > on_edges(blind[2]) + 0.2

# %% [markdown]
# ## What it is good for
#
# Move the image by one pixel. The map before pooling moves with it, of course. The pooled values hardly notice; the
# switches do. So what a pooling forgets has gone into the switches: *what* into the values, *where* into the switches.

# %%
moved = np.roll(edges, 1, axis=3)


def change(a, b):
    """Return |a - b| / |a|."""
    return np.linalg.norm(a - b) / np.linalg.norm(a)


changes = [change(pooled(edges, times)[0], pooled(moved, times)[0]) for times in range(4)]
for times, value in enumerate(changes):
    print(f"after {times} poolings the map changes by {value:.0%} when the image moves by a pixel")
assert changes[0] > changes[1] > changes[2] > changes[3]

# %%
heat = zf.plots.heat
above = [("the image", picture), ("its edges", heat(edges[0, 0])), ("pooled, 32 x 32", heat(maps[1][0][0, 0])),
         ("pooled again, 16 x 16", heat(maps[2][0][0, 0]))]
below = []
for times, often in ((1, "once"), (2, "twice")):
    below += [(f"back {often} by the switches", heat(maps[times][1][0, 0], 0, edges.max())),
              (f"back {often} without them", heat(blind[times][0, 0], 0, edges.max()))]
zf.plots.save_picture("switches.png", zf.plots.projection_sheet(
    [above, below], "Pooled once and twice, and brought back: the switches know where the lines were"))
print("wrote switches.png")

# %% [markdown]
# Without switches the values know that there are edges, and roughly where; with them they find their lines again. What a
# deconvnet shows as fine lines comes from the image's own switches, so every projection belongs to one image. Keep that in
# mind when a projection looks sharp.
#
# ## Exercises
#
# 1. Pool by the mean instead of the maximum. It is linear from the start: what is its transpose, and which switches does it
#    need? What would the cat look like, unpooled?
# 2. Pool the edges of two images and unpool the values of one by the switches of the other. Whose outlines are they? Do
#    it with one pooling of 8×8 windows at stride 8, too.

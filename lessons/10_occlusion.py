# %% [markdown]
# # Occlusion
#
# **Where is the evidence?** A network says "cat", and is right. Did it look at the cat? There is a way to ask that needs no
# gradient, no deconvnet, nothing from inside: cover a part of the image, and see whether it still says so. Slide the square
# over the whole image, and you have a map of the evidence. It is slow, and hard to argue with. (Zeiler & Fergus 2013,
# section 4.2 and figure 7.)

# %%
import os
import time

import numpy as np

import zfnumpy as zf

FAST = bool(os.environ.get("ZFNUMPY_FAST"))          # a few seconds instead of more: to see that everything runs
net = zf.models.sketches_gap(zf.get_ops("numba"))    # trained, and comes with the package

# %% [markdown]
# ## Where the squares lie
#
# Squares of k pixels at stride s along a side of n pixels. Every pixel should be covered as often as any other, those at the
# border too; so the first and the last squares must stick out. Take m = ⌈n/s⌉ squares, and lay the whole row of them,
# (m - 1) s + k pixels long, into the middle: what sticks out on the left is what sticks out on the right, or one pixel more.
#
# $$ first = \left\lfloor \frac{n - ((m - 1) \, s + k)}{2} \right\rfloor \qquad place_i = first + i \, s $$
#
# **Predict:** n = 64, k = 9, s = 4. How many squares, and where do the first and the last begin? (⌊⌋ rounds down: to the
# left, below zero too. Python's // does that.)

# %%


def places(n, size, stride):
    """Return where squares of `size` pixels begin along a side of n, ints (m,) int64, m = ceil(n / stride).

    The row of squares, (m - 1) · stride + size pixels long, lies in the middle of the side; where that does not come out
    even it lies half a pixel further left.
    """
    # TASK 10.1 (2 points): how many, and where does the first begin?
    m = -(-n // stride)
    return (n - ((m - 1) * stride + size)) // 2 + stride * np.arange(m)
    # END TASK


# %%
tops = places(64, 9, 4)
print(len(tops), "squares, from", tops[0], "to", tops[-1])
assert (len(tops), tops[0], tops[-1]) == (16, -3, 57)

# %% [markdown]
# ## Covering, and looking again
#
# What should the square hold? There is no colour that says "nothing". The paper takes grey; we take 0 after preprocessing,
# which is the mean colour of the images that the network has learned from. Whatever it is, it has edges, and they are new.

# %%


def cover(x, top, left, size, fill=0.0):
    """Return a copy of an image x (C, H, W) with `fill` in a square of `size` pixels, its first at row `top`, column `left`.

    The square may stick out of the image on any side, or lie outside altogether: what of it lies in the image is filled.
    """
    # TASK 10.2 (2 points): mind the numbers below zero
    x = x.copy()
    x[:, max(top, 0):max(top + size, 0), max(left, 0):max(left + size, 0)] = fill
    return x
    # END TASK


# %% [markdown]
# And then ask the network again, for every place of the square. It may be any function that gives a number for an image:
# whatever is asked, this is all of the method.

# %%


def occlusion_map(score, x, tops, lefts, size, fill=0.0):
    """Return what score(x) becomes under a square at every place: (R, S) float64.

    score: a function of an image (C, H, W) that gives a float. tops (R,), lefts (S,): the square's first row and column; the
    map's entry [r, s] is of the square at (tops[r], lefts[s]). Squares are laid by `cover`.
    """
    # TASK 10.3 (3 points): every place by itself, on a fresh copy
    return np.array([[score(cover(x, top, left, size, fill)) for left in lefts] for top in tops], np.float64)
    # END TASK


# %%
drawn = zf.data.sketches.load(10 if FAST else 40, seed=10)             # the network has never seen these
x = net.prepare([drawn.image(i) for i in range(len(drawn))])
print(f"{np.mean(net.scores(x).argmax(axis=1) == drawn.labels):.0%} of {len(drawn)} are right")

SIZE, STRIDE = 9, 8 if FAST else 4
tops = lefts = places(64, SIZE, STRIDE)
label = int(drawn.labels[0])
start = time.perf_counter()
mine = occlusion_map(lambda x: net.probabilities(x[None])[0, label], x[0], tops, lefts, SIZE)
seconds = time.perf_counter() - start
zf.visualize.occlude(net, x[:1], SIZE, 32)                            # once before the clock runs: it compiles
start = time.perf_counter()
found = zf.visualize.occlude(net, x[:1], SIZE, STRIDE, label=label)
print(f"{mine.size} squares: {seconds:.2f} s one by one, {time.perf_counter() - start:.2f} s by the package")
assert np.array_equal(found.tops, tops)
assert np.allclose(mine, found.probability, atol=1e-4)

# %% [markdown]
# ## Why most of that work is wasted
#
# A square changes 81 of 4096 pixels. Everything that sees none of them comes out as it did before. Along a side, let pixels
# first ≤ p < last be changed, and let a layer have windows of k at stride s and padding p. Output u sees what lies from
# su - p to su - p + k - 1. It sees a changed one if it does not begin too late and does not end too early:
#
# $$ s u - p < last \qquad \text{and} \qquad s u - p + k - 1 \ge first $$
#
# **Predict:** a square over pixels 24 to 32 (24 ≤ p < 33), and conv1: windows of 7 at stride 2, padding 3. Which of its 32
# outputs along a side change? What share of its 32·32?

# %%


def changed(first, last, size, stride, pad, outputs):
    """Return (first, last), ints: the outputs u of a layer, first ≤ u < last, whose windows see a changed input.

    Inputs first ≤ p < last are changed, one or more. Window u begins at input stride · u - pad and is `size` long; there are
    `outputs` of them, from u = 0 on. Where no window sees a changed input: (0, 0).
    """
    # TASK 10.4 (4 points): solve both conditions for u, and stay within the outputs
    first = max(-((size - 1 - pad - first) // stride), 0)              # ceil((first + pad - size + 1) / stride)
    last = min(-(-(last + pad) // stride), outputs)                    # ceil((last + pad) / stride)
    return (first, last) if first < last else (0, 0)
    # END TASK


# %%
assert changed(24, 33, 7, 2, 3, 32) == (11, 18)
print(f"conv1: outputs 11 to 17, {7 * 7 / 32 ** 2:.1%} of its maps")

# %% [markdown]
# One layer's outputs are the next one's inputs, so the window goes up layer by layer. Does the network agree? Cover the
# square, and look where its maps change.

# %%
names = [name for name, node in net.nodes.items() if node.layer.window()]
before = net.activations(x[:1], names)
after = net.activations(cover(x[0], 24, 24, SIZE)[None], names)
span, work = (24, 33), []
for name in names:
    (k, _), (s, _), (p, _) = net.nodes[name].layer.window()
    outputs = before[name].shape[-1]
    span = changed(*span, k, s, p, outputs)
    moved = np.abs(after[name] - before[name])[0].max(axis=0) > 1e-4    # of any map
    rows = np.flatnonzero(moved.any(axis=1))
    assert span[0] <= rows.min()
    assert rows.max() < span[1]
    print(f"{name}: {span[1] - span[0]} of {outputs} along a side, {((span[1] - span[0]) / outputs) ** 2:.0%} of its maps")
    if isinstance(net.nodes[name].layer, zf.layers.Conv2d):
        every = net.nodes[name].layer.params["weight"].size * outputs ** 2     # multiplications for the whole maps
        work.append((every, every * ((span[1] - span[0]) / outputs) ** 2))
whole, window = np.sum(work, axis=0)
print(f"{window / whole:.0%} of the multiplications are enough")
assert window < 0.6 * whole

# %% [markdown]
# The lower layers, whose maps are large, cost little now; at the top everything sees everything. The package computes just
# these windows, many squares side by side, and gets what full passes get. The larger the image is beside the square, the
# more that saves.
#
# ## Does the network look at the object?
#
# Now the question that we came for. These images know where their object is. Take the square that does most harm, the one
# under which the true class is least probable. Does its centre lie on the object?
#
# **Predict:** an object covers about a quarter of its image. How many of 40 would somebody hit who throws darts with eyes
# closed? And how many will the network's worst squares hit?

# %%
every = [zf.visualize.occlude(net, x[i:i + 1], SIZE, STRIDE, label=int(drawn.labels[i])) for i in range(len(drawn))]
hits = np.array([drawn.masks[i][tuple(np.array(found.worst(), int))] for i, found in enumerate(every)])
blind = drawn.masks.mean()
print(f"the worst square lies on the object in {hits.sum()} of {len(hits)} images; blind, in {blind * len(hits):.0f}")
assert hits.mean() > 2 * blind

lowest = np.array([found.probability.min() for found in every])
turned = np.array([(found.labels != found.label).any() for found in every])
print(f"in {turned.sum()} of {len(turned)} images there is a square under which it says something else")

# %% [markdown]
# It looks at the object. But mark the second number as well: in most images no single square makes the network change its
# mind. There is evidence enough elsewhere, and occlusion sees only what *one* square takes away. A map that hardly moves
# does not say that nothing counts.
#
# ## Which part?
#
# The images know their parts too, each by a circle. Which part has its middle nearest to the worst square?

# %%
nearest = {}
for i, found in enumerate(every):
    row, column = found.worst()
    parts = drawn.parts(i)
    part = min(parts, key=lambda name: np.hypot(parts[name][0] - column, parts[name][1] - row))
    nearest.setdefault(net.classes[found.label], []).append(part)
for name, parts in sorted(nearest.items()):
    print(f"{name}: {', '.join(parts)}")

# %% [markdown]
# ## Figure 7
#
# Of the image whose answer suffers most: the square that does most harm; how the strongest of the top maps dwindles, and
# what that map responds to, here and in other images; the probability; and what the network says instead.

# %%
most = int(lowest.argmin())
others = [i for i in range(len(drawn)) if i != most and drawn.labels[i] == drawn.labels[most]][:3]
figure7 = zf.visualize.occlude(net, x[most:most + 1], SIZE, 4 if FAST else 2, label=int(drawn.labels[most]),
                               others=x[others] if others else None)
zf.plots.save_occlusion("occlusion.png", figure7, drawn.name(most))
print("wrote occlusion.png")

# %% [markdown]
# And several images at a glance: how much the *score* of the class drops, in the mean over the squares that cover a pixel.
# The score moves where the probability is still stuck at 1.

# %%
rows = []
for first in (0, 3):
    row = []
    for i in range(first, first + 3):
        drop = np.maximum(every[i].relevance("score"), 0)
        row += [(drawn.name(i), drawn.image(i)), ("where its score drops", zf.plots.overlay(drawn.image(i), drop))]
    rows.append(row)
zf.plots.save_picture("evidence.png", zf.plots.projection_sheet(rows, "Where the evidence is: yellow, where a square hurts"))
print("wrote evidence.png")

# %% [markdown]
# ## Exercises
#
# 1. Fill the squares with black, white and noise instead of the mean (`zf.visualize.occlude(net, x, fill=(0, 0, 0))`). How
#    many of the worst squares stay where they were? What did the network see in a square of another colour?
# 2. Turn the question round: cover everything *but* a square. How large must it be before the class is back? Compare with
#    `zf.visualize.insertion`.
# 3. `drawn.redraw(i, without="left_ear")` draws image i without a part. Does the score drop as far as under a square there?
#    What is the difference between a cat without an ear and a cat with a square over its ear?

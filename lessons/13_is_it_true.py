# %% [markdown]
# # Is the picture true?
#
# **Does the picture show what the network has learned, or only what is in the image?** A map of "what matters" that lies on
# the cat convinces everybody, and so does a drawing of the cat's outline, which any edge filter makes without a network. So
# a picture must be able to fail. Here are three tests: make the network forget, and the map must change; see whether the
# map points at the object; delete what the map calls important, and the class must fall. And in all three an edge filter
# takes part, which knows nothing of the network. (Adebayo et al. 2018, arXiv 1810.03292; Zhang et al. 2016, 1608.00507;
# Petsiuk et al. 2018, 1806.07421. The deconvnet is that of Zeiler & Fergus 2013, section 2.1.)

# %%
import os

import numpy as np

import zfnumpy as zf

FAST = bool(os.environ.get("ZFNUMPY_FAST"))          # a few seconds instead of more: to see that everything runs
rng = np.random.default_rng(13)
ops = zf.get_ops("numba")
net = zf.models.sketches_gap(ops)
drawn = zf.data.sketches.load(10 if FAST else 30, seed=13)            # drawings that it has not learned from
x = net.prepare([drawn.image(i) for i in range(len(drawn))])

# %% [markdown]
# Six ways to say how much each pixel matters for the class: three that go back through the network from the score
# (gradient, guided backpropagation, deconvnet), Grad-CAM, which weighs the last maps, and two that never ask it.

# %%


def gradcam(net, x, label, tape):
    """Return Grad-CAM's maps (N, H, W) at the images' size."""
    return zf.visualize.gradcam(net, x, label, tape=tape).upsampled()


methods = {name: zf.visualize.METHODS[name] for name in ("gradient", "guided", "deconvnet")}
methods |= {"grad-cam": gradcam} | {name: zf.visualize.METHODS[name] for name in ("edges", "noise")}
maps, _ = zf.visualize.relevance_maps(net, x, methods, drawn.labels)

# %% [markdown]
# ## How alike are two maps?
#
# The largest value of a gradient's map may be a hundred times its median; two maps compared by their values would be
# compared at three pixels. So we ask for the order only: which pixel matters more than which? Replace each value by its
# *rank*, 1 for the smallest. Values that are equal must not be put in an order that they do not have: they share the mean of
# the places that they take together. [3, 1, 3, 7] has the ranks [2.5, 1, 2.5, 4].

# %%


def ranks(values):
    """Return each value's place in ascending order, from 1, in float64, shaped like values (any shape).

    Equal values share the mean of their places.
    """
    # TASK 13.1 (3 points): places, and the mean place of what is equal
    _, which, counts = np.unique(values.ravel(), return_inverse=True, return_counts=True)
    last = np.cumsum(counts)                                          # the last place that each distinct value takes
    return (last - (counts - 1) / 2)[which].reshape(values.shape)
    # END TASK


# %% [markdown]
# Spearman's rank correlation is the usual correlation, of the ranks: with ā the mean of a,
#
# $$ \rho(a, b) = \frac{\sum_i (a_i - \bar a)(b_i - \bar b)}
#    {\sqrt{\sum_i (a_i - \bar a)^2} \sqrt{\sum_i (b_i - \bar b)^2}} $$
#
# (The formula with 1 - 6 Σ d² in it, which you may find, is right only where no two values are equal.) A constant map has no
# order, and the formula gives 0/0. We say: it has nothing in common with a map that has one, but is like another constant.

# %%


def correlation(a, b):
    """Return the correlation of two arrays of ranks of one shape, a float from -1 to 1.

    0.0 where one of them is constant, 1.0 where both are.
    """
    # TASK 13.2 (2 points): how do they vary together, compared with how each varies?
    a, b = a - a.mean(), b - b.mean()
    if not a.any() or not b.any():
        return float(a.any() == b.any())
    return float((a * b).sum() / np.sqrt((a * a).sum() * (b * b).sum()))
    # END TASK


# %% [markdown]
# **Predict:** the rank correlation of a map with its square; with its negative; and of two maps of noise, 64×64 pixels?

# %%
noise, other = rng.random((2, 64, 64))
for name, one in (("its square", noise ** 2), ("its negative", -noise), ("other noise", other)):
    print(f"a map of noise and {name}: {correlation(ranks(noise), ranks(one)):.3f}")
    assert np.isclose(correlation(ranks(noise), ranks(one)), zf.visualize.rank_correlation(noise, one))
assert np.isclose(correlation(ranks(noise), ranks(noise ** 2)), 1)

# %% [markdown]
# 1, -1 and about 0: of 4096 independent pixels it is rarely more than 2/√4096 = 0.03 from it.
#
# ## First test: the network forgets
#
# Draw the weights of the last layer anew, then those of the layer below it too, and so on, until all is random and the
# network knows nothing. A map of what it *has learned* must lose its order. One that stays was a picture of the image, or of
# how the network is built.
#
# **Predict:** what is the rank correlation for the edge filter when all weights are random? Put the other four in order.

# %%
tested = zf.visualize.randomization_test(net, x, methods, drawn.labels, layers=["cam_fc", "conv3", "conv1"],
                                         draws=2 if FAST else 5)
before_after = {}
for m, name in enumerate(methods):
    stays, others = tested.correlation[m].mean(axis=1), tested.others[m].mean()
    before_after[name] = stays[-1], others
    print(f"{name:>9}: {' → '.join(f'{value:.2f}' for value in [1, *stays])};  with the next drawing's map {others:.2f}")
    mine = correlation(ranks(tested.maps[m, 0]), ranks(tested.maps[m, -1]))
    assert np.isclose(mine, tested.correlation[m, -1, 0], atol=1e-6)
assert before_after["edges"][0] == 1

# %% [markdown]
# The last column is there because 0 is not what to expect of a map that has forgotten: two maps of one method are somewhat
# alike for *any* two drawings, objects lying about the middle. So read both. In our run guided backpropagation and the
# deconvnet stay above it; the gradient comes down to it; Grad-CAM falls below. What stays above it is there because of the
# image, and a network that knows nothing finds it too. In the picture below look at guided backpropagation under "conv3":
# all but the first two convolutions are random, and the outline is as sharp as ever. (Found with six methods, thirty
# drawings and one small network; Adebayo et al. found the same of guided backpropagation in large ones.) The words at the
# left are a verdict by bounds that somebody had to choose: a method passes up to 0.2 and fails from 0.5.

# %%
zf.plots.save_picture("maps_that_stay.png", zf.plots.randomization_sheet(tested, drawn.image(0)))
print("wrote maps_that_stay.png")

# %% [markdown]
# ## Second test: does it point at the object?
#
# The pointing game: take the strongest pixel of each map. Is it on the object? Our drawings know every pixel of theirs.
# Where several pixels are equally strong we count the share of them that is.
#
# **Predict:** how often does noise hit? And the edge filter, which knows nothing of the network?

# %%


def pointing(maps, masks):
    """Return for each map of maps (N, H, W) whether its strongest pixel lies in its mask (N, H, W) bool: (N,), float64.

    1 where it does, 0 where it does not; where several pixels are equally strong, the share of them that does.
    """
    # TASK 13.3 (3 points): find the strongest, of each map by itself, and see which of them are in the mask
    strongest = maps == maps.max(axis=(1, 2), keepdims=True)
    return (strongest & masks).sum(axis=(1, 2)) / strongest.sum(axis=(1, 2))
    # END TASK


# %%
hits = {name: pointing(each, drawn.masks) for name, each in maps.items()}
for name, each in hits.items():
    print(f"{name:>9} points at the object in {each.mean():.0%} of the drawings")
    assert np.allclose(each, zf.visualize.pointing_game(maps[name], drawn.masks).hits)
print(f"chance: the objects cover {drawn.masks.mean():.0%}")
assert hits["edges"].mean() > drawn.masks.mean() + 0.2

# %% [markdown]
# The edge filter is nearly as good as the rest. So hitting the object says that the object has the strongest edges, or that
# the network looks there, and cannot tell which. A test is worth what it refuses.
#
# ## Third test: delete what matters
#
# Ask the network itself. Grey out the pixels in the order of the map, the most relevant first, and watch the probability
# of the class. If the map is right about *this network*, it falls soon, and the area under the curve is small. Between two
# looks the curve is taken for a straight line:
#
# $$ A = \sum_i \frac{p_i + p_{i+1}}{2} \, (s_{i+1} - s_i) $$
#
# where s goes from 0, nothing deleted, to 1. **Predict:** what is the area for a probability that falls from 1 to 0 along a
# straight line? For noise? Who is best?

# %%


def deletion_area(shares, probabilities):
    """Return the area under each of N curves, probabilities (N, S + 1) over shares (S + 1,), by trapezia: (N,), float64.

    shares rise from 0 to 1, in steps that need not be equal.
    """
    # TASK 13.4 (2 points): mean height times width, step by step
    heights = (probabilities[:, 1:] + probabilities[:, :-1]) / 2
    return (heights * np.diff(shares)).sum(axis=1)
    # END TASK


# %%
areas = {}
for name, each in maps.items():
    curve = zf.visualize.deletion(net, x, each, drawn.labels, steps=8 if FAST else 24)
    areas[name] = deletion_area(curve.shares, curve.probabilities)
    assert np.allclose(areas[name], curve.area())
    if name in ("guided", "edges", "noise"):
        at = [np.interp(share, curve.shares, curve.probabilities.mean(axis=0)) for share in (0, 0.125, 0.25, 0.5)]
        print(f"{name:>9}: p = {', '.join(f'{p:.2f}' for p in at)} after 0, 12.5, 25 and 50 % of the pixels")
assert np.isclose(deletion_area(np.array([0, 0.25, 1]), np.array([[1, 0.75, 0]]))[0], 0.5)
assert areas["gradient"].mean() < areas["noise"].mean()

# %%
print("            forgotten  next drawing  pointing  deletion")
for name in methods:
    print(f"{name:>9}   {before_after[name][0]:9.2f}  {before_after[name][1]:12.2f}  {hits[name].mean():8.2f}  "
          f"{areas[name].mean():8.2f}")

# %% [markdown]
# Read the table by row. In our run Grad-CAM does well in all three tests and noise in none; the others differ from test to
# test. Guided backpropagation points at the object every time and has the smallest area under the curve, and yet of all
# methods that ask the network it keeps the most when the network knows nothing: finding the object's edges is not the same
# as showing why the network answers. The edge filter beats noise in two tests of three. So no single test would have done.
# And none is beyond doubt: deleting makes images that no network was trained on, and what falls may be its surprise.
#
# ## Exercises
#
# 1. Add the map "centre" of `zf.visualize.METHODS`, a blot in the middle that knows neither network nor image. Which tests
#    does it pass, and what does that say of the tests and of the drawings?
# 2. Randomize one layer at a time (`cascading=False`) instead of from the top down. Which single layer is missed most, and
#    by which method?

# %% [markdown]
# # The nine strongest
#
# **What does a map look for?** A unit answers with a number, and cannot be asked why. But you can show it everything you
# have and keep what it liked best: for one map, the nine images of a data set in which it answered most strongly, cut to
# the patch that the unit could see, and beside each the deconvnet's projection of what in it counted. That is figure 2 of
# the paper. (Zeiler & Fergus 2013, section 4, "Feature Visualization".)

# %%
import os

import numpy as np

import zfnumpy as zf

FAST = bool(os.environ.get("ZFNUMPY_FAST"))          # a few seconds instead of more: to see that everything runs
net = zf.models.sketches_gap(zf.get_ops("numba"))    # trained, and comes with the package

# %% [markdown]
# ## The best of a stream
#
# A data set does not fit into memory, and is read once. So whoever looks for the k largest keeps k, looks at the next batch,
# and keeps the k largest of both. The order of the images must not depend on chance: **where two are as strong, the one
# that came first stays first.** (NumPy's sort does not promise that unless it is asked to: `kind="stable"`.)
#
# **Predict:** three batches, one map, the two strongest: values 3, 5 · 5, 1 · 4, 5, of images 0, 1 · 2, 3 · 4, 5. Which two
# images are kept?

# %%


def keep_strongest(batches, k):
    """Return the k largest values of every map, strongest first, and the images they are from: two arrays (k, C).

    batches: an iterable, read once, of pairs: values (n, C) of n images and C maps, and the images' numbers (n,), int64.
    Values keep their dtype. Of equal values that of the image which came first is first. Fewer than k images in all give
    as many rows as there are images. No more than k values a map are held beside one batch.
    """
    # TASK 9.1 (4 points): put the next batch below the best so far, sort, and cut
    best = None
    for values, images in batches:
        images = np.broadcast_to(images[:, None], values.shape)
        if best is not None:
            values, images = np.concatenate([best[0], values]), np.concatenate([best[1], images])
        order = np.argsort(-values, axis=0, kind="stable")[:k]
        best = np.take_along_axis(values, order, axis=0), np.take_along_axis(images, order, axis=0)
    return best
    # END TASK


# %%
stream = [(np.array([[3.0], [5]]), np.array([0, 1])), (np.array([[5.0], [1]]), np.array([2, 3])),
          (np.array([[4.0], [5]]), np.array([4, 5]))]
values, images = keep_strongest(stream, 2)
print("the two strongest:", values[:, 0], "of images", images[:, 0])
assert images[:, 0].tolist() == [1, 2]

# %% [markdown]
# Images 1 and 2: number 5 is as strong, but late. (The best so far lie *above* the new batch, so that a stable sort finds
# them first.)
#
# Now for real: drawn images that the network has never seen, and of every map the strongest place in each image.

# %%
drawn = zf.data.sketches.load(120 if FAST else 600, seed=9)
LAYERS = ("relu1", "relu2", "relu3", "relu5")


def batches_of(layer, size=60):
    """Yield the strongest value of every map of a layer, image by image, and the images' numbers."""
    for first in range(0, len(drawn), size):
        indices = np.arange(first, min(first + size, len(drawn)))
        maps = net.activations(net.prepare([drawn.image(i) for i in indices]), layer)[layer]
        yield maps.max(axis=(2, 3)), indices


strongest = {layer: keep_strongest(batches_of(layer), 9) for layer in LAYERS}

# %% [markdown]
# ## What goes with depth
#
# The network was told the classes, but its middle maps were not. Do maps like images of one class?
#
# **Predict:** count for every map how many of its nine images belong to the class that is most frequent among them. Nine
# images by chance, of ten classes: about 2.6. How many in layer 1, and how many in layer 5?

# %%
rng = np.random.default_rng(9)


def of_one_class(images):
    """Return how many of each map's images (9, C) are of the class most frequent among them, (C,)."""
    labels = drawn.labels[images]
    return np.array([np.bincount(of_map, minlength=10).max() for of_map in labels.T])


chance = of_one_class(rng.integers(0, len(drawn), (9, 10000))).mean()
loyal = {layer: of_one_class(images[:, values[0] > 0]).mean() for layer, (values, images) in strongest.items()}
print(f"by chance: {chance:.1f} of 9")
for layer, mean in loyal.items():
    print(f"{layer}: {mean:.1f} of 9 are of one class")
assert 2 < chance < 3
assert chance < loyal["relu1"] < loyal["relu3"] < loyal["relu5"]

# %% [markdown]
# Every layer's maps are more loyal to a class than the one's below. The lowest already are to some degree: a class has its
# lines and colours.
#
# ## What a unit can see
#
# An image is too much to look at: a unit of relu2 sees only a patch of it. Along one side, unit u of a layer sees `size`
# pixels, from start + jump · u on. A pixel sees itself: size 1, jump 1, start 0. Windows of k units at stride s and
# padding p on top of that:
#
# $$ size' = size + (k - 1) \, jump \qquad start' = start - p \, jump \qquad jump' = jump \cdot s $$
#
# k neighbours lie `jump` pixels apart, so k - 1 jumps are added. The padding lets the first window begin p units, p · jump
# pixels, before the image. Then, one step of the window is s steps of the layer below.
#
# **Predict:** conv1 has windows of 7 at stride 2 and padding 3, pool1 of 3 at stride 2 and padding 1, conv2 of 5 at stride 1
# and padding 2. How many pixels does a unit of conv2 see along a side? Where does unit 0 begin?

# %%


def receptive_field(windows):
    """Return (size, jump, start), ints: unit u sees `size` pixels of a side, from start + jump · u on.

    windows: a list of (size, stride, pad), from the layer next to the image upwards; an empty one is the image itself,
    (1, 1, 0). A start below 0 lies in the padding.
    """
    # TASK 9.2 (3 points): what does one more window add?
    size, jump, start = 1, 1, 0
    for k, stride, pad in windows:
        size += (k - 1) * jump
        start -= pad * jump
        jump *= stride
    return size, jump, start
    # END TASK


# %%
windows, fields = [], {}
for name, node in net.nodes.items():
    if name == "gap":                                                 # from here on everything sees everything
        break
    if node.layer.window():                                           # ((k, k), (s, s), (p, p)); nothing for a ReLU
        windows.append(tuple(pair[0] for pair in node.layer.window()))
    fields[name] = receptive_field(windows)
    theirs = net.receptive_field(name)
    assert fields[name] == (theirs.size[0], theirs.jump[0], theirs.start[0])
for name in ("conv1", "pool1", "conv2", "pool2", "conv3", "conv5"):
    print(f"{name}: {fields[name][0]} pixels, from {fields[name][2]} + {fields[name][1]} u on")
assert fields["conv2"] == (27, 4, -13)

# %% [markdown]
# 7, then 7 + 2·2 = 11, then 11 + 4·4 = 27 pixels, from -13 on. (conv5 sees 67 of 64: more than there is.) Is it true? Change
# all pixels *outside* of one unit's field, and the unit must not notice.

# %%
size, jump, start = fields["relu2"]
top = left = start + jump * 8                                         # unit (8, 8) of 16 × 16
inside = np.zeros((64, 64), bool)
inside[top:top + size, left:left + size] = True
x = net.prepare([drawn.image(0)])
noise = rng.standard_normal(x.shape).astype(x.dtype)
before, outside, within = (net.activations(each, "relu2")["relu2"][0, :, 8, 8]
                           for each in (x, np.where(inside, x, noise), np.where(inside, noise, x)))
print(f"changed outside: {np.abs(outside - before).max():.1g}; changed inside: {np.abs(within - before).max():.2g}")
assert np.abs(outside - before).max() < 1e-4 < np.abs(within - before).max()

# %% [markdown]
# ## Cutting a patch out
#
# Units near the border see padding: their field leaves the image. Slices do not say so. They take a negative index to count
# from the end, and stop at the end without a word. So write the patch into a sheet of its own, and remember which of its
# pixels are real.
#
# **Predict:** a = np.arange(10). What are a[-2:3] and a[8:12]?

# %%
a = np.arange(10)
print("a[-2:3] is", a[-2:3], "and a[8:12] is", a[8:12])
assert (len(a[-2:3]), len(a[8:12])) == (0, 2)

# %%


def crop(picture, top, left, size, fill=128):
    """Cut size × size pixels out of a picture (H, W, 3), the first at row `top` and column `left`, which may lie outside.

    Returns the patch (size, size, 3) in the picture's dtype, `fill` where the picture does not reach, and where it does as
    bool (size, size). A patch may lie outside altogether.
    """
    # TASK 9.3 (3 points): what part of the patch does the picture reach, and what part of the picture is that?
    H, W, _ = picture.shape
    patch, inside = np.full((size, size, 3), fill, picture.dtype), np.zeros((size, size), bool)
    first, last = np.maximum((top, left), 0), np.minimum((top + size, left + size), (H, W))
    if (first < last).all():
        (i0, j0), (i1, j1) = first, last
        patch[i0 - top:i1 - top, j0 - left:j1 - left] = picture[i0:i1, j0:j1]
        inside[i0 - top:i1 - top, j0 - left:j1 - left] = True
    return patch, inside
    # END TASK


# %% [markdown]
# ## Figure 2
#
# `zf.visualize.find_strongest` does what you did, for several layers in one pass, and remembers the place too;
# `project_strongest` takes every unit it found down to the pixels by the deconvnet (lesson 8) and cuts out its field. Do
# they agree with you?

# %%
found = zf.visualize.find_strongest(
    net, ((net.prepare([drawn.image(i) for i in range(j, j + 60)]), np.arange(j, j + 60)) for j in range(0, len(drawn), 60)),
    LAYERS)
for layer, (values, images) in strongest.items():
    assert np.array_equal(found[layer].images, images.T)
    assert np.allclose(found[layer].values, values.T)

LAYER = "relu3"
loyalty = of_one_class(strongest[LAYER][1])
favourite = np.array([np.bincount(of_map, minlength=10).argmax() for of_map in drawn.labels[strongest[LAYER][1]].T])
maps = [int(np.flatnonzero(favourite == label)[loyalty[favourite == label].argmax()]) for label in np.unique(favourite)]
maps = sorted(maps, key=lambda m: -loyalty[m])[:6]                    # of six classes the most loyal map
projected = zf.visualize.project_strongest(net, found[LAYER], drawn.image, maps)

size, jump, start = fields[LAYER]
for m, index in enumerate(maps):
    for k in range(9):
        row, col = projected.rows[index, k], projected.cols[index, k]
        patch, inside = crop(drawn.image(projected.images[index, k]), start + jump * row, start + jump * col, size)
        assert np.array_equal(patch, projected.patches[m, k])
        assert np.array_equal(inside, projected.inside[m, k])
for m in maps:
    print(f"map {m}: {loyalty[m]} of 9 are of class {net.classes[favourite[m]]}")

# %%
zf.plots.save_picture("nine_strongest.png", zf.plots.strongest_sheet(
    projected, f"{LAYER}: what six maps like best of {len(drawn)} images", width=1200))
print("wrote nine_strongest.png")

# %% [markdown]
# Look at one cell at a time: what do nine patches have in common, and is it where the projection has its lines? The patch
# shows all that the unit *could* see; the projection what it did see. Where they disagree, believe the projection: a map
# with nine cats need not know cats, it may know a pointed ear.
#
# ## Exercises
#
# 1. Draw the same sheet for relu1 and relu2 (`zf.visualize.project_strongest(net, found["relu2"], drawn.image, maps)`). At
#    what depth do you first find a *part*, an eye or a wheel?
# 2. The nine strongest are the end of a long list. Find nine images in the middle of it for one map, whose value is about
#    half of the largest, and look at them beside the nine strongest. Is what you said about the map still true?

# %% [markdown]
# # Where is what it named?
#
# **Can a network that was only ever told names point at what it names?** Here is one that saw 6000 drawings and for each a
# word, "cat" or "boat", and never where the cat is. If its last layers are an average and a sum, and nothing else, we can
# take its answer apart again, place by place: the class activation map. Then we draw a box around what the map marks, and
# compare with the true box, which the drawings know and the network does not. (Zhou et al. 2016, arXiv 1512.04150,
# sections 2 and 3.)

# %%
import os

import numpy as np

import zfnumpy as zf

FAST = bool(os.environ.get("ZFNUMPY_FAST"))          # a few seconds instead of more: to see that everything runs
ops = zf.get_ops("numba")
net = zf.models.sketches_gap(ops)
drawn = zf.data.sketches.load(60 if FAST else 300, seed=11)           # another seed: drawings that it has not learned from
print(net)

# %% [markdown]
# Look at the end of the table. relu5 gives 96 maps f_k of 8×8 places. `gap` is *global average pooling*: it makes one
# number of each map, its mean. And cam_fc weighs these 96 means for each of ten classes:
#
# $$ S_c = b_c + \sum_k w_k^c \; \frac{1}{hw} \sum_{u, v} f_k(u, v) $$
#
# Two sums; and sums may change places:
#
# $$ S_c = b_c + \frac{1}{hw} \sum_{u, v} M_c(u, v) \qquad M_c(u, v) = \sum_k w_k^c \, f_k(u, v) $$
#
# M_c says how much each place adds to the score of class c. It is no estimate: it is the score, not yet added up.

# %%


def class_map(f, weight, labels):
    """Return the class activation maps (N, h, w) of maps f (N, K, h, w), in their dtype.

    weight (C, K): the weights of C classes for the means of the K maps. labels (N,): for each image the class asked about.
    """
    # TASK 11.1 (2 points): weigh the maps by what the class thinks of each, and add them up
    return np.einsum("nk,nkuv->nuv", weight[labels], f)
    # END TASK


# %%
x = net.prepare([drawn.image(i) for i in range(len(drawn))])
scores, tape = net.forward(x)
answers = ops.to_numpy(scores).argmax(axis=1)
print(f"{np.mean(answers == drawn.labels):.0%} of {len(drawn)} drawings that it has never seen are named rightly")

f = net.value("relu5", tape)
weight, bias = net.params["cam_fc.weight"], net.params["cam_fc.bias"]
maps = class_map(f, weight, drawn.labels)
assert np.allclose(maps, zf.visualize.cam(net, x, drawn.labels).maps, atol=1e-4)           # the package agrees

# %% [markdown]
# **Predict:** here are the mean and the largest value of the first drawing's map, and the class's bias. What is the score?

# %%
first = drawn.labels[0]
print(f"{drawn.name(0)}: mean of the map {maps[0].mean():.3f}, largest value {maps[0].max():.3f}, bias {bias[first]:.3f}")
print(f"score {scores[0, first]:.3f}")
assert np.isclose(scores[0, first], maps[0].mean() + bias[first], atol=1e-3)

# %% [markdown]
# The score is the mean of the map, and the bias. (A fully connected layer over the places has no such map: it may like
# a map's value at one place and dislike it at another. Had the network *max* pooled its maps, one place would have been
# enough for a good score; under a mean every part of the object that answers raises it.)
#
# ## How well do two boxes agree?
#
# A box is (x0, y0, x1, y1) in pixels, half-open: x0 belongs to it, x1 does not, so that x1 - x0 is its width. Intersection
# over union is the area that two boxes share over the area that they cover together:
#
# $$ IoU(A, B) = \frac{|A \cap B|}{|A \cup B|}, \qquad |A \cup B| = |A| + |B| - |A \cap B| $$
#
# **Predict:** two boxes of one size, one shifted by half its width. What is their IoU? (Not a half.) And what share of the
# width may it be shifted so that the IoU is still a half, which is what counts as right?

# %%


def iou(a, b):
    """Return the intersection over union of two boxes x0, y0, x1, y1, half-open, as a float.

    Boxes that do not meet, or touch only along an edge, share nothing: 0.0. A box with x0 = x1 or y0 = y1 is empty; the IoU
    of two empty boxes is 0.0 too, not 0/0.
    """
    # TASK 11.2 (3 points): what they share, over what they cover together
    width = max(min(a[2], b[2]) - max(a[0], b[0]), 0)
    height = max(min(a[3], b[3]) - max(a[1], b[1]), 0)
    shared = width * height
    both = (a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - shared
    return float(shared / both) if both else 0.0
    # END TASK


# %%
for shift in (0, 6, 8, 12, 24):
    print(f"24 pixels wide, shifted by {shift}: IoU {iou((0, 0, 24, 24), (shift, 0, 24 + shift, 24)):.3f}")
assert np.isclose(iou((0, 0, 24, 24), (12, 0, 36, 24)), 1 / 3)
assert np.isclose(iou((0, 0, 24, 24), (8, 0, 32, 24)), 1 / 2)
assert np.isclose(iou((0, 0, 24, 24), (6, 6, 30, 30)), zf.visualize.iou((0, 0, 24, 24), (6, 6, 30, 30)))

# %% [markdown]
# Shifted by half, the boxes share a half of each but cover one and a half: 1/3. A third of the width is the most.
#
# ## From a map to a box
#
# The paper's recipe (section 3.2): keep what is above 20 % of the map's maximum; of the connected parts that are left take
# the largest, counted in pixels; draw the box around it. Two pixels are connected here if they touch at a side or at a
# corner. To find a part, start at one of its pixels and let a flood run out: each wet pixel wets its dry neighbours that
# are marked. Keep the pixels that have yet to do so in a list (a stack); a function that calls itself for each pixel comes
# to Python's limit of a thousand calls within each other.

# %%


def largest_box(map, threshold=0.2):
    """Return the box (x0, y0, x1, y1), integers, half-open, around the largest part of map (H, W) above a threshold.

    Marked are the pixels strictly above threshold times the map's maximum; parts are connected at sides and corners; the
    largest has the most pixels, and of equally large ones it is the one met first when reading row by row. A map
    without a value above 0 has no box: (0, 0, 0, 0). x counts columns, y rows.
    """
    # TASK 11.3 (4 points): mark, flood each part, keep the largest, draw the box
    H, W = map.shape
    if map.max() <= 0:
        return 0, 0, 0, 0
    dry = map > threshold * map.max()
    largest = []
    for start in np.argwhere(dry).tolist():
        if not dry[tuple(start)]:                                     # wet from an earlier part
            continue
        part, todo = [], [start]
        dry[tuple(start)] = False
        while todo:
            row, column = todo.pop()
            part.append((row, column))
            for r in range(max(row - 1, 0), min(row + 2, H)):
                for c in range(max(column - 1, 0), min(column + 2, W)):
                    if dry[r, c]:
                        dry[r, c] = False
                        todo.append((r, c))
        if len(part) > len(largest):
            largest = part
    rows, columns = zip(*largest)
    return min(columns), min(rows), max(columns) + 1, max(rows) + 1
    # END TASK


# %% [markdown]
# The map has 8×8 places, the drawing 64×64 pixels, so first the map is enlarged, by straight lines between the places'
# middles. `ClassMaps.upsampled` does that.

# %%
large = zf.visualize.ClassMaps(maps, drawn.labels, "relu5", (64, 64)).upsampled()
boxes = np.array([largest_box(map) for map in large])
assert np.array_equal(boxes, [zf.visualize.largest_box(map) for map in large])
agree = np.array([iou(box, truth) for box, truth in zip(boxes, drawn.boxes)])

# %% [markdown]
# ## Is that any good?
#
# A number needs another beside it. Photographers put things in the middle, and so do drawers: what would *one* box get, in
# the middle of every picture, the very one that is right most often? It was chosen with the truth in hand, which the
# network never had.
#
# **Predict:** how many of a hundred drawings does the best centred box get right (IoU above 0.5)? And the class maps?

# %%
centred = zf.visualize.best_centred_box(drawn.boxes, (64, 64))
middle = np.array([iou(centred, truth) for truth in drawn.boxes])
found = {"class map": agree, "best centred box": middle}
for name, values in found.items():
    print(f"{name}: {np.mean(values > 0.5):.0%} right, mean IoU {values.mean():.2f}")
assert np.mean(agree > 0.5) > np.mean(middle > 0.5) + 0.1

named = zf.visualize.localization(net, drawn, ["cam"])
assert np.isclose(named.rows()[0]["known"], np.mean(agree > 0.5))
print(f"named rightly as well: {named.rows()[0]['localized']:.0%}")

# %% [markdown]
# ## The picture
#
# Dashed is the true box, orange the one that was drawn. At the right the map of a class that is not there, of the second
# best score: how much of it is the same? The last drawing is the one with the worst box of all.

# %%
worst = int(agree.argmin())
rows = [*(int(np.flatnonzero(drawn.labels == c)[0]) for c in (0, 3, 6, 7, 9)), worst]
ranking = ops.to_numpy(scores).argsort(axis=1)[:, ::-1]
second = np.where(ranking[:, 0] == drawn.labels, ranking[:, 1], ranking[:, 0])
other = zf.visualize.cam(net, x, second).upsampled()
sheet = zf.plots.class_map_sheet(
    [(drawn.name(i), drawn.image(i), drawn.boxes[i],
      [(f"{drawn.classes[drawn.labels[i]]}, IoU {agree[i]:.2f}", large[i], boxes[i]),
       (f"{drawn.classes[second[i]]}?", other[i], None)]) for i in rows],
    "Which places speak for the class, and the box around them")
zf.plots.save_picture("class_maps.png", sheet)
print("wrote class_maps.png")

# %% [markdown]
# A map of 8×8 places cannot draw an edge to the pixel, and each place sees 67×67 pixels, so what answers may lie beside
# what it answers to. Nor need a network look at all of an object to name it: a map that covers a cat's head alone gives a
# poor box and a right name. This network was trained on crops that cut objects off, with dropout before the scores, so that
# it could not rely on one part. On ImageNet the paper's GoogLeNet-GAP misses class or box, in five guesses, in 37.1 % of
# the test pictures, and an AlexNet that was trained on boxes in 34.2 %.
#
# ## Exercises
#
# 1. Draw the share of right boxes against the threshold, from 0.02 to 0.8. Which threshold is best here, and why would you
#    have to choose it on other drawings than those that you report? (`zf.plots.save_localization` draws it too.)
# 2. Where a map is negative, what does that place say? Set all negative values to zero and take the mean: by how much is
#    that more than the score, and for which class is the difference largest?

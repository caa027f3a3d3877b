# %% [markdown]
# # Pictures as points
#
# **What does a network think is alike?** Ask it which picture is most like this one. As pixels, two pictures are alike if
# their colours are, place by place, and a bird before a blue sky is most like a fish in blue water. A network's last
# layer makes 96 numbers of a picture; two pictures are alike there if the same units answer. Each picture is a point, in
# 12288 dimensions or in 96, and we look at who lies near whom, and then for a shadow of it all that fits on a page: by PCA,
# which is one line of linear algebra, and by t-SNE, which is not. (CS231n, lecture 12; van der Maaten & Hinton 2008.)

# %%
import os

import numpy as np

import zfnumpy as zf

FAST = bool(os.environ.get("ZFNUMPY_FAST"))          # a few seconds instead of more: to see that everything runs
ops = zf.get_ops("numba")
net = zf.models.sketches_gap(ops)
drawn = zf.data.sketches.load(100 if FAST else 400, seed=12)          # drawings that it has not learned from
N, k = len(drawn), 5

# %% [markdown]
# ## Distances, without a loop
#
# From each of N points to each of M: the differences would be an array of N · M · D numbers, and for 400 pictures and
# their pixels that is 16 GB. But multiply out:
#
# $$ |a - b|^2 = |a|^2 - 2 \, a \cdot b + |b|^2 $$
#
# and what is left to do for each pair is a · b, one product of two matrices. It has a price: three large numbers are to
# leave a small one, so it is done in float64. And pixels are bytes, in which 200 · 200 is 64.

# %%


def squared_distances(a, b):
    """Return the squared distances (N, M) between the rows of a (N, D) and of b (M, D), in float64.

    a and b are of any dtype, uint8 and float32 among them; all is computed in float64. Where a row meets itself, rounding
    may leave a little more or less than zero.
    """
    # TASK 12.1 (2 points): multiply the square out; no array may have N · M · D numbers
    a, b = a.astype(np.float64), b.astype(np.float64)
    return (a * a).sum(axis=1)[:, None] - 2 * a @ b.T + (b * b).sum(axis=1)
    # END TASK


# %% [markdown]
# The nearest to a point is itself; that is no neighbour. It would be tempting to sort, and to leave the first column
# out. **Predict:** when does that go wrong? (Think of a picture that is in the set twice, and of what rounding leaves.)

# %%


def nearest(d, k):
    """Return for each of N points its k nearest others, nearest first: indices (N, k), int64, k < N.

    d (N, N), float: the distances between them, or their squares. A point is never its own neighbour, whatever d says. Of
    points that are equally far the one with the lower index comes first. d is left as it was.
    """
    # TASK 12.2 (3 points): sort, never itself, ties by index
    d = d.copy()
    np.fill_diagonal(d, np.inf)
    return np.argsort(d, axis=1, kind="stable")[:, :k]
    # END TASK


def share_of_same(labels, neighbours):
    """Return the share of neighbours that are of their point's class, over all points, as a float from 0 to 1.

    labels (N,): each point's class; neighbours (N, k): each point's neighbours, as indices.
    """
    # TASK 12.3 (1 point): whose neighbours are of its own class?
    return float((labels[neighbours] == labels[:, None]).mean())
    # END TASK


# %% [markdown]
# ## Who is near whom?
#
# Ten classes, all equally frequent: neighbours taken at random are of one's own class in about 10 of 100 cases.
#
# **Predict:** how many of the 5 nearest are of the same class, in pixels? After the first pool, the second, the third
# convolution, and in the last 96 numbers? Write five numbers down.

# %%


def batches():
    """Yield the drawings, prepared, 50 at a time, and their numbers."""
    for start in range(0, N, 50):
        rows = np.arange(start, min(start + 50, N))
        yield net.prepare([drawn.image(i) for i in rows]), rows


spaces = {"pixels": drawn.images.reshape(N, -1)}
for layer in ("pool1", "pool2", "relu3", "gap"):
    spaces[layer] = zf.visualize.features(net, batches(), layer, average=False)
shares = {}
for name, points in spaces.items():
    found = nearest(squared_distances(points, points), k)
    shares[name] = share_of_same(drawn.labels, found)
    print(f"{name:>6}, {points.shape[1]:>5} dimensions: {shares[name]:.0%} of the {k} nearest are of the same class")
assert shares["pixels"] < 0.3 < 0.8 < shares["gap"]

features = spaces["gap"]
both = zf.visualize.nearest(features, np.arange(N), k)[0]
assert np.mean(both == nearest(squared_distances(features, features), k)) > 0.99           # the package agrees

# %% [markdown]
# Pixels are hardly better than chance: what they call alike has a background of the same colour. Layer by layer that
# changes, until what the network was told to tell apart is what counts. (Told by 6000 other drawings; these are new to it.)
# Look at the neighbours below: do they have more in common than their class? That, nobody told it.

# %%
queries = [int(np.flatnonzero(drawn.labels == c)[0]) for c in (0, 3, 4, 7, 8)]
gathered = zf.visualize.gather(net, batches(), "gap", pictures=True)
beside = zf.visualize.neighbours(gathered, drawn.labels, queries, k)
assert np.isclose(beside.share, shares["gap"], atol=0.005)
zf.plots.save_picture("nearest_sketches.png", zf.plots.neighbours_sheet(beside, drawn.image, drawn.classes))
print("wrote nearest_sketches.png")

# %% [markdown]
# ## A shadow on the wall: PCA
#
# Nobody can look at 96 dimensions. Which two directions should one look along so that the points spread out most? Take the
# mean off, X = x - mean, and take the singular value decomposition:
#
# $$ X = U \, S \, V^T \qquad \text{points} = X V_{1..d} = U_{1..d} \, S_{1..d}
#    \qquad \text{share}_i = \frac{s_i^2}{\sum_j s_j^2} $$
#
# The rows of Vᵀ are the directions, the best first; s² says how much of the variance lies along each. (V are the
# eigenvectors of the covariance XᵀX / (N - 1); but there the small ones drown in rounding, squared as they are.) Two things
# go wrong often. Without centring the first direction points at the mean, and says nothing about who differs from whom.
# And v and -v are equally good: fix the sign, or your picture is mirrored on another computer.

# %%


def pca(x, dims):
    """Project x (N, D) on the dims directions along which its rows vary most: points, components, share, all float64.

    points (N, dims); components (dims, D), rows of length one, the direction of most variance first, each with the sign that
    makes its entry of largest magnitude positive; share (dims,): of the whole variance, along each. x varies along at least
    dims directions.
    """
    # TASK 12.4 (4 points): centre, decompose, fix the signs, project
    X = x.astype(np.float64)
    X = X - X.mean(axis=0)
    _, s, vt = np.linalg.svd(X, full_matrices=False)
    components = vt[:dims]
    largest = np.abs(components).argmax(axis=1)
    components = components * np.sign(components[np.arange(dims), largest])[:, None]
    return X @ components.T, components, s[:dims] ** 2 / (s ** 2).sum()
    # END TASK


# %% [markdown]
# **Predict:** ten classes in 96 dimensions. If each class were a single point, how many directions would hold *all* the
# variance? (Two points lie on a line, three in a plane.) How much do so many hold of our features?

# %%
points, components, share = pca(features, 20)
mine = zf.visualize.pca(features, 20)
assert np.allclose(points, mine.points, atol=1e-3)
assert np.allclose(share, mine.share)
for dims in (1, 2, 5, 9, 20):
    left = share_of_same(drawn.labels, nearest(squared_distances(points[:, :dims], points[:, :dims]), k))
    print(f"{dims:>2} directions: {share[:dims].sum():.0%} of the variance; {left:.0%} of the nearest are of the same class")
assert share[:9].sum() > 0.9

# %% [markdown]
# Nine: ten points less the one that the mean takes away. And nine do nearly as well as 96. But two do not, and two is what
# fits on paper: classes lie over one another there that are well apart in the third direction or the fifth.
#
# ## t-SNE: neighbours first
#
# t-SNE gives up on distances. It asks only that who is near in 96 dimensions be near on paper, and pushes the others
# apart, step by step. What is close together on its map is close; how far apart two groups lie, and how large a group is,
# mean little: never read those. It starts from PCA's picture and is drawn from a seed.
#
# **Predict:** how many of the 5 nearest on its map are of the same class?

# %%
planes = {f"PCA: {share[:2].sum():.0%} of the variance": points[:, :2]}
try:
    laid_out = zf.visualize.tsne(features, seed=0, perplexity=20)
except zf.errors.BackendError as error:
    print(f"without t-SNE: {error}")
else:
    planes[laid_out.describe()] = laid_out.points
for name, plane in planes.items():
    left = share_of_same(drawn.labels, nearest(squared_distances(plane, plane), k))
    print(f"{name}: {left:.0%} of the nearest are of the same class")

# %%
some, side = np.arange(min(N, 200)), 22
sheets = [zf.plots.thumbnails_sheet(drawn.images[some], zf.visualize.nearest_cells(plane[some], side, side), (side, side),
                                    drawn.labels[some], drawn.classes, name, size=38) for name, plane in planes.items()]
zf.plots.save_picture("feature_plane.png", np.concatenate(sheets, axis=1))
print("wrote feature_plane.png")

# %% [markdown]
# Find two classes that lie among one another at the left and apart at the right. And find a picture that lies among another
# class: what in it made the same units answer?
#
# ## Exercises
#
# 1. Take `cosine` for the metric: divide each row of the features by its length first, and change nothing else. Why does
#    that do? (What is |a - b|² of two vectors of length one?) Does it help in pixels?
# 2. Draw t-SNE with perplexity 5, 20 and 80, and with three seeds each. What stays in all nine pictures?

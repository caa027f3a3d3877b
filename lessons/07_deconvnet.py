# %% [markdown]
# # The deconvnet by hand
#
# **Which pixels made this unit fire?** A unit deep in a network sees a patch of the image through many layers. To go back
# from it to the pixels, Zeiler & Fergus 2013 (section 2.1, figure 1) run the network's layers the other way round: **unpool,
# rectify, filter**. We write that way down in NumPy, train a small network, and see whether our pictures are those of
# `zf.visualize.project`.

# %%
import os

import numpy as np

import zfnumpy as zf
from zfnumpy.layers import Conv2d, Flatten, Linear, MaxPool2d, ReLU

FAST = bool(os.environ.get("ZFNUMPY_FAST"))          # a few seconds instead of a minute: to see that everything runs

# %% [markdown]
# ## The way up
#
# A layer here is a convolution, a ReLU and a max pooling. We know these from the lessons before; what is new is only that
# they take zero padding, and that going up leaves behind what coming down will need: the **switches**, which say for every
# pooled value where in the plane its maximum was (row · width + column), and the sizes.
#
# A layer is a dict with `weight` (F, C, KH, KW), `bias` (F,), `stride`, `pad` and the pooling's `size`, `pool_stride`,
# `pool_pad`.

# %%


def padded(x, pad, value=0.0):
    """Return x (N, C, H, W) in a frame of `pad` pixels of a value."""
    return np.pad(x, ((0, 0), (0, 0), (pad, pad), (pad, pad)), constant_values=value)


def window(i, j, stride, OH, OW):
    """Return the index of the pixels that all outputs (OH, OW) see at place (i, j) of their windows."""
    return np.s_[:, :, i:i + stride * (OH - 1) + 1:stride, j:j + stride * (OW - 1) + 1:stride]


def filter_up(x, weight, stride=1, pad=0):
    """Correlate x (N, C, H, W) with weight (F, C, KH, KW): (N, F, OH, OW)."""
    x, (F, _, KH, KW) = padded(x, pad), weight.shape
    OH, OW = (x.shape[2] - KH) // stride + 1, (x.shape[3] - KW) // stride + 1
    y = np.zeros((len(x), F, OH, OW), x.dtype)
    for i in range(KH):
        for j in range(KW):
            y += np.einsum("fc,ncuv->nfuv", weight[:, :, i, j], x[window(i, j, stride, OH, OW)])
    return y


def max_pool(y, size, stride, pad=0):
    """Return the maxima of y (N, F, H, W) over windows, (N, F, PH, PW), and their switches, ties to the first."""
    (H, W), padded_y = y.shape[2:], padded(y, pad, -np.inf)
    PH, PW = (H + 2 * pad - size) // stride + 1, (W + 2 * pad - size) // stride + 1
    best, switches = np.full((*y.shape[:2], PH, PW), -np.inf, y.dtype), np.zeros((*y.shape[:2], PH, PW), np.int64)
    rows, columns = stride * np.arange(PH)[:, None] - pad, stride * np.arange(PW) - pad
    for i in range(size):
        for j in range(size):
            seen = padded_y[window(i, j, stride, PH, PW)]
            switches = np.where(seen > best, (rows + i) * W + columns + j, switches)
            best = np.maximum(best, seen)
    return best, switches


def go_up(x, layers):
    """Run x (N, C, H, W) up through the layers: for each a dict of what it left.

    x_shape: its input's shape. y: its rectified maps (N, F, H, W). pooled: their maxima (N, F, PH, PW). switches: int64,
    of pooled's shape.
    """
    left = []
    for layer in layers:
        y = filter_up(x, layer["weight"], layer["stride"], layer["pad"]) + layer["bias"][:, None, None]
        y = np.maximum(y, 0)
        pooled, switches = max_pool(y, layer["size"], layer["pool_stride"], layer["pool_pad"])
        left.append({"x_shape": x.shape, "y": y, "pooled": pooled, "switches": switches})
        x = pooled
    return left


# %% [markdown]
# ## Pick the unit
#
# A network's map answers everywhere at once. To ask about *one* unit, every other activation is set to zero, its
# neighbours in the same map and all other maps; the unit keeps its own value.

# %%


def pick_unit(maps, channel):
    """Return maps (N, C, H, W) with all set to zero but one value in each image: the largest of map `channel`.

    Of equal largest values the first in row-major order (row by row) stays. A new array, in maps' dtype.
    """
    # TASK 7.1 (2 points): in each image, keep the strongest value of one map and nothing else
    N, _, H, W = maps.shape
    images, best = np.arange(N), maps[:, channel].reshape(N, H * W).argmax(axis=1)
    where = images, channel, best // W, best % W
    picked = np.zeros_like(maps)
    picked[where] = maps[where]
    return picked
    # END TASK


# %% [markdown]
# ## The way down
#
# The two linear steps have their way back from lessons 3 and 4. A filter hands back what it took; a pooling puts each value
# where its maximum came from, and adds where two windows named the same pixel.

# %%


def filter_down(r, weight, x_shape, stride=1, pad=0):
    """Carry r (N, F, OH, OW) back through filter_up: (N, C, H, W) = x_shape. What arrives in the padding is cut off."""
    N, C, H, W = x_shape
    _, _, KH, KW = weight.shape
    _, _, OH, OW = r.shape
    x = np.zeros((N, C, H + 2 * pad, W + 2 * pad), r.dtype)
    for i in range(KH):
        for j in range(KW):
            x[window(i, j, stride, OH, OW)] += np.einsum("fc,nfuv->ncuv", weight[:, :, i, j], r)
    return x[:, :, pad:pad + H, pad:pad + W]


def unpool(pooled, switches, y_shape):
    """Put pooled (N, F, PH, PW) back to where the maxima were, zero elsewhere: (N, F, H, W) = y_shape. Adds."""
    N, F, H, W = y_shape
    r = np.zeros((N * F, H * W), pooled.dtype)
    np.add.at(r, (np.arange(N * F)[:, None], switches.reshape(N * F, -1)), pooled.reshape(N * F, -1))
    return r.reshape(y_shape)


# %% [markdown]
# The step of the deconvnet puts them together, with one thing between: it *rectifies* the reconstruction, because the maps
# that the network made were positive, and so should be those on the way down:
#
# $$ r_{\text{below}} = W^{\mathsf T} \, \max(0, \; U_s \, r_{\text{above}}) $$
#
# with U_s the unpooling by the switches s. The ReLU looks at r, at what comes down. It does not ask where the forward pass
# was positive; that would be the gradient, another picture. The bias takes no part: it belongs to no pixel.
#
# The paper says "each filter flipped vertically and horizontally". Look at `filter_down` before you flip anything: it
# *hands back* by w[i, j] where it took by w[i, j]. Written as a correlation, that is the flip.

# %%


def deconv_step(r, layer, left):
    """Carry r, shaped as the layer's pooled maps (N, F, PH, PW), down to the layer's input: left["x_shape"].

    layer and left: the dicts of the layer and of what go_up left of it. A new array, in r's dtype.
    """
    # TASK 7.2 (4 points): unpool, rectify, filter
    r = unpool(r, left["switches"], left["y"].shape)
    r = np.maximum(r, 0)
    return filter_down(r, layer["weight"], left["x_shape"], layer["stride"], layer["pad"])
    # END TASK


def project(x, layers, channel):
    """Project the strongest unit of a map of the last layer's pooling to the pixels of each image: shaped as x.

    x (N, 3, H, W); layers: the dicts, from the image up; channel: the map of the last one.
    """
    # TASK 7.3 (4 points): up through all the layers, pick the unit, and down through all of them
    left = go_up(x, layers)
    r = pick_unit(left[-1]["pooled"], channel)
    for layer, of_layer in zip(reversed(layers), reversed(left)):
        r = deconv_step(r, layer, of_layer)
    return r
    # END TASK


# %% [markdown]
# ## One layer, to begin with
#
# **Predict:** one layer, one unit with the value 5. What is its projection, in terms of the layer's filter? Nothing overlaps
# and there is a single value to unpool.

# %%
rng = np.random.default_rng(7)
one = {"weight": rng.standard_normal((4, 3, 5, 5)), "bias": np.zeros(4), "stride": 1, "pad": 0,
       "size": 2, "pool_stride": 2, "pool_pad": 0}
noise = rng.standard_normal((1, 3, 12, 12))
value = go_up(noise, [one])[0]["pooled"][0, 2].max()
r = project(noise, [one], 2)
row, column = (int(axis.min()) for axis in np.nonzero(r[0].any(axis=0)))
print(f"the unit's value is {value:.2f}; what came down lies at rows {row} to {row + 4}, columns {column} to {column + 4}")
assert np.allclose(r[0, :, row:row + 5, column:column + 5], value * one["weight"][2])

# %% [markdown]
# The filter itself, times the unit's value, laid where the unit looked: what a unit of the first layer looks for is its
# filter. Only from the second layer on there is something to find out.
#
# ## A network that has learned something
#
# Three such layers, trained on drawings. First filters start as noise, and what the others learn goes back to the pixels
# through them, noise and all. So we let them learn faster than the rest: inputs times 8 and first filters divided by 8 give
# the same scores, and a first layer that moves 64 times as far in proportion. (Try without.)

# %%


def build(dtype, ops):
    """Three times convolution, ReLU, pooling, and a classifier: for images of 64×64."""
    nodes = []
    for number, conv in enumerate((Conv2d(16, 7, stride=2, pad=3), Conv2d(32, 5, pad=2), Conv2d(48, 3, pad=1)), 1):
        nodes += [(f"conv{number}", conv), (f"relu{number}", ReLU()), (f"pool{number}", MaxPool2d(3, 2, 1))]
    return zf.Network([*nodes, ("flatten", Flatten()), ("fc4", Linear(10))], (3, 64, 64), ops, seed=0, dtype=dtype,
                      preprocessing=zf.data.Preprocessing(64, 64, mean=(123, 117, 104), scale=1 / 128))


drawn = zf.data.sketches.load(120 if FAST else 2800)
few = len(drawn) // 7
val, train = drawn.subset(slice(0, few)), drawn.subset(slice(few, None))
net = build("float32", zf.get_ops("numba"))
loader = zf.data.Loader(train, 32, net.preprocessing, zf.data.Augment(flip=True), shuffle=True, seed=0)
zf.models.rescale_input(net, 8)
optimizer = zf.optim.SGD(net, lr=0.01, momentum=0.9, weight_decay=5e-4)
for epoch in range(1 if FAST else 6):
    for images, labels, _ in loader.batches(epoch):
        scores, tape = net.forward(images, train=True)
        optimizer.step(net.backward(zf.loss.softmax_cross_entropy(scores, labels)[1], tape))
x = net.prepare(val.images)
right = np.mean(np.concatenate([net.scores(x[i:i + 1]) for i in range(few)]).argmax(axis=1) == val.labels)
print(f"{right:.0%} of {few} images that it has never seen")

# %% [markdown]
# Now the same weights in float64, so that of two nearly equal values in a pooling window both our code and the package's
# choose the same: do the two agree?

# %%
exact = build("float64", zf.get_ops("numpy"))
for name, w in net.params.items():
    exact.params[name] = w
layers = [{"weight": exact.params[f"conv{n}.weight"], "bias": exact.params[f"conv{n}.bias"], "stride": stride, "pad": pad,
           "size": 3, "pool_stride": 2, "pool_pad": 1} for n, stride, pad in ((1, 2, 3), (2, 1, 2), (3, 1, 1))]
few_x = x[:4].astype(np.float64)
for depth, channel in ((1, 3), (2, 8), (3, 20)):
    ours = project(few_x, layers[:depth], channel)
    theirs = zf.visualize.project(exact, few_x, layer=f"pool{depth}", unit=(channel,), rule="deconvnet")
    apart = np.abs(ours - theirs).max() / max(np.abs(theirs).max(), 1e-12)
    print(f"pool{depth}, map {channel}: ours and zf.visualize.project differ by {apart:.0e} of the largest value")
    assert apart < 1e-9

# %% [markdown]
# ## Where can it lie?
#
# **Predict:** how many of the 64·64 pixels can a projection from pool2 reach at most? (conv1 sees 7×7, pool1 makes that 11
# with units 4 pixels apart, conv2 adds 4 · 4, pool2 2 · 4 more.)

# %%
size = 7 + 2 * 2 + 4 * 4 + 2 * 4
assert exact.receptive_field("pool2").size == (size, size)
reached = [(project(few_x, layers[:2], channel) != 0).any(axis=1).sum(axis=(1, 2)).max() for channel in range(8)]
print(f"at most {size} · {size} = {size * size} of 4096; we found up to {max(reached)}")
assert max(reached) <= size * size

# %% [markdown]
# ## The picture
#
# Of the maps of pool3 we take the eight that answered most strongly to some image, no image twice, and project each in its
# image. Zero is middle grey: where nothing came down.

# %%
tops = np.concatenate([net.activations(x[i:i + 50], ["pool3"])["pool3"].max(axis=(2, 3)) for i in range(0, few, 50)])
pairs, seen = [], set()
for channel in np.argsort(-tops.max(axis=0)):
    image = next(i for i in np.argsort(-tops[:, channel]) if i not in seen)
    seen.add(image)
    r = project(x[image:image + 1].astype(np.float64), layers, int(channel))
    pairs += [(val.name(image), val.image(image)), (f"pool3, map {channel}", zf.plots.signed(r)[0])]
    if len(seen) == 8:
        break
zf.plots.save_picture("deconvnet.png", zf.plots.projection_sheet(
    [pairs[i:i + 4] for i in range(0, 16, 4)], "Eight units of the third layer, each beside the image that excites it most"))
print("wrote deconvnet.png")

# %% [markdown]
# The projections show parts more than whole images: a mast, a mouth, steam, eyes and whiskers, in their place, and little of
# the background, though the unit's field covers that too. The places are the switches' doing, so they are this image's; the
# forms are the filters'. What comes down is no image that the unit would like best, but what of *this* image it used.
#
# ## Exercises
#
# 1. Change one line of `deconv_step` so that the way down is the gradient: let r pass where the forward map y was positive.
#    Start at one instead of the unit's value and compare with `rule="gradient"`. Which of the two pictures is cleaner?
# 2. Project a unit with the switches of another image. What stays, and what falls apart? And with all switches at the
#    windows' centres?

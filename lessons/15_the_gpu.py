# %% [markdown]
# # The GPU, by one argument
#
# **What changes when the numbers live on another card, and what would make it faster?** In this package one argument: a
# network is built with its operations, and these may be a GPU's. Why that is enough we look at first. Then we calculate,
# before any card is there, which of ZFNet's layers a card could make fast (Zeiler & Fergus 2013, section 3: twelve days on
# one GTX 580), and how many images fit into it. What can be measured here is measured at the end; where no GPU answers,
# that part says so and is skipped.

# %%
import os
import time

import numpy as np

import zfnumpy as zf

FAST = bool(os.environ.get("ZFNUMPY_FAST"))          # a few seconds instead of more: to see that everything runs

# %% [markdown]
# ## What a backend is
#
# `zf.get_ops(name)` returns an object that has every operation a network needs, arrays in and arrays out, and `xp`, the
# module its arrays come from: NumPy, or CuPy, which has NumPy's functions for arrays in a GPU's memory. Code that takes
# `ops` and asks nothing else runs on all of them. There is no *current* backend that some line far away may have set: who
# wants two has two, side by side.

# %%


def brightest_map(maps):
    """Return the index of the map with the largest sum in each image of maps (N, C, H, W), an array of any backend."""
    return maps.sum(axis=(2, 3)).argmax(axis=1)


pictures = zf.data.sketches.load(120).images[:4]
nets = {name: zf.models.zfnet_mini(num_classes=10, ops=zf.get_ops(name), seed=0, conv=(16, 32, 48, 48, 32), fc=(64,))
        for name in ("numpy", "numba")}
answers = {}
for name, net in nets.items():
    x = net.prepare(pictures)                              # here, and only here, pictures become arrays of the backend
    maps = net.activations(x, ["conv5"])["conv5"]
    answers[name] = net.ops.to_numpy(net.scores(x))        # and here they come back
    print(f"{name}: {net.ops.describe().splitlines()[0]}; brightest maps", net.ops.to_numpy(brightest_map(maps)))
assert np.allclose(answers["numpy"], answers["numba"], rtol=1e-3, atol=1e-4)

# %% [markdown]
# `asarray`, `prepare` and `to_numpy` are the only doors between the two memories, and nothing goes through them unasked:
# CuPy's arrays refuse to become NumPy's in silence. That is no fuss, since the way is narrow. A good card reads its own
# memory at 1000 GB/s and more; from the host there come some 25 GB/s (PCIe 4.0 with 16 lanes).
#
# **Predict:** a training step of ZFNet on 128 images. How many megabytes must go to the card for it, if pictures travel as
# bytes and become floats there? And if someone brought all 62 million weights home after each step to look at them?

# %%
HOST = 25e9
pictures_in, floats_in, weights_out = 128 * 3 * 224 * 224, 128 * 3 * 224 * 224 * 4, 62_357_608 * 4
step = 128 * 6.65e9                                        # operations: forward, and twice that on the way back
for what, size in (("pictures, as bytes", pictures_in), ("pictures, as floats", floats_in), ("all weights", weights_out)):
    print(f"{what:20} {size / 1e6:6.1f} MB, {1000 * size / HOST:5.1f} ms")
print(f"the step itself, at 20 TFLOP/s: {1000 * step / 20e12:.0f} ms")
assert round(pictures_in / 1e6) == 19

# %% [markdown]
# Bytes in and one number (the loss) out cost next to nothing, above all if the next batch travels while this one is computed
# (`ops.feeder()` does that). What must not happen is that an array goes home and back in the middle.
#
# ## Bound by what?
#
# A card has a peak rate P of operations and a bandwidth B of its memory. A layer has a number of operations and a number of
# bytes that must move at least. Their quotient, operations a byte, is its *arithmetic intensity* I:
#
# $$ I = \frac{2 \cdot \text{multiply-adds}}{\text{bytes of } x, w \text{ and } y} \qquad\quad \text{rate} \le \min(P, \; I
# \cdot B) $$

# %%


def intensity(x_shape, w_shape, stride=1, pad=0, itemsize=4):
    """Return the operations a byte (a float) of a convolution of x (N, C, H, W) with w (F, C, KH, KW).

    A multiply-add is two operations; products with padded zeros count too. x and w are read once and y (N, F, OH, OW)
    is written once, OH = (H + 2 pad - KH) // stride + 1 and OW likewise; itemsize is the bytes of a number. Padding is
    not read.
    """
    # TASK 15.1 (4 points): the operations, over the bytes
    N, C, H, W = x_shape
    F, _, KH, KW = w_shape
    OH, OW = (H + 2 * pad - KH) // stride + 1, (W + 2 * pad - KW) // stride + 1
    operations = 2 * N * F * OH * OW * C * KH * KW
    numbers = N * C * H * W + F * C * KH * KW + N * F * OH * OW
    return operations / (numbers * itemsize)
    # END TASK


def attainable(intensity, peak, bandwidth):
    """Return (rate, bound): the operations a second that a card can reach, and what holds it there.

    intensity: operations a byte. peak: operations a second. bandwidth: bytes a second. bound is "memory" where the memory
    delivers too slowly for the peak, else "compute" (also where the two are just equal).
    """
    # TASK 15.2 (3 points): the lower of two roofs, and its name
    fed = intensity * bandwidth
    return (fed, "memory") if fed < peak else (peak, "compute")
    # END TASK


# %% [markdown]
# **Predict:** fc6 has 9216 · 4096 weights. For one image every weight is read for a single multiply-add: how many operations
# a byte in float32? And for N images at once, about? From which N on is it worth a card whose P / B is 20?

# %%
CARDS = {   # float32 operations a second without tensor cores, bytes of memory a second, bytes of memory: from data sheets
    "GTX 580": (1.58e12, 192e9, 1.5e9), "RTX 3060": (12.7e12, 360e9, 12e9),
    "A100": (19.5e12, 1555e9, 40e9), "H100": (67e12, 3350e9, 80e9)}
ZFNET = {   # input without N, weight, stride, pad
    "conv1": ((3, 224, 224), (96, 3, 7, 7), 2, 1), "conv2": ((96, 55, 55), (256, 96, 5, 5), 2, 0),
    "conv3": ((256, 13, 13), (384, 256, 3, 3), 1, 1), "conv4": ((384, 13, 13), (384, 384, 3, 3), 1, 1),
    "conv5": ((384, 13, 13), (256, 384, 3, 3), 1, 1), "fc6": ((256, 6, 6), (4096, 256, 6, 6), 1, 0),
    "fc7": ((4096, 1, 1), (4096, 4096, 1, 1), 1, 0), "fc8": ((4096, 1, 1), (1000, 4096, 1, 1), 1, 0)}


def intensities(N):
    return {name: intensity((N, *x_shape), *rest) for name, (x_shape, *rest) in ZFNET.items()}


print("fc6:", ", ".join(f"{N} images {intensities(N)['fc6']:.1f}" for N in (1, 8, 40, 128)), "operations a byte")
assert round(intensities(1)["fc6"], 2) == 0.5
assert attainable(intensities(32)["fc6"], 20e12, 1e12)[1] == "memory"
assert attainable(intensities(48)["fc6"], 20e12, 1e12)[1] == "compute"
print(f"\n{'layer':7}{'operations a byte':>20}   what holds an H100 back")
for name in ZFNET:
    one, many = intensities(1)[name], intensities(128)[name]
    print(f"{name:7}{one:8.1f} … {many:8.1f}   {attainable(one, *CARDS['H100'][:2])[1]:8} for one image, "
          f"{attainable(many, *CARDS['H100'][:2])[1]} for 128")

# %% [markdown]
# Convolutions use each weight at many places, so they have work for any card even with one image. The fully connected layers
# use a weight once an image: for one image they are a walk through memory, and the batch is what gives them work. The layers
# that do hardly any arithmetic (ReLU, pooling, normalization) stay on the slope whatever the batch, which is why the
# package's kernels rectify on the way out of a convolution, and do not read the map once more.
#
# ## The roofline

# %%
import matplotlib.pyplot as plt

figure, axes = plt.subplots(figsize=(9.5, 5.2), layout="constrained")
reach = np.logspace(-1, 3.3, 200)
for grey, (name, (peak, bandwidth, _)) in zip(("0.6", "0.5", "0.35", "0.1"), CARDS.items()):
    axes.loglog(reach, [attainable(i, peak, bandwidth)[0] for i in reach], color=grey)
    axes.text(reach[-1], peak, f" {name}", color=grey, va="center")
peak, bandwidth, _ = CARDS["H100"]
named = {1: (("fc6-8", "fc7"), ("conv1, 3-5", "conv3"), ("conv2", "conv2")),
         128: (("fc6-8, conv1", "fc6"), ("conv2-5", "conv3"))}
for N, colour, marker, above in ((1, zf.plots.ORANGE, "o", True), (128, zf.plots.BLUE, "s", False)):
    found = intensities(N)
    axes.plot(list(found.values()), [attainable(i, peak, bandwidth)[0] for i in found.values()], marker, color=colour,
              label=f"ZFNet's layers on an H100, {N} image{'s' * (N > 1)}", zorder=3)
    for text, name in named[N]:
        axes.annotate(text, (found[name], attainable(found[name], peak, bandwidth)[0]), (0, 10 if above else -10),
                      textcoords="offset points", color=colour, ha="center", va="bottom" if above else "top")
axes.set(xlabel="arithmetic intensity: operations a byte (float32)", ylabel="operations a second, at most",
         xlim=(0.1, 2000), ylim=(1e10, 6e14), title="On the slope the memory decides, on the roof the arithmetic")
axes.grid(alpha=0.25)
axes.legend(frameon=False, loc="lower right")
figure.savefig("roofline.png", dpi=110)
print("wrote roofline.png")

# %% [markdown]
# A roofline is a bound, not a promise: what reaches half of it in all layers is well made.
#
# ## What fits
#
# A card's memory ends, and training needs more of it than running: the weights three times over (themselves, their
# gradients, their velocities), and of each image whatever the way back will ask for.

# %%


def batch_that_fits(memory, weight_bytes, image_bytes, copies=3):
    """Return how many images (an int) a step can take: copies · weight_bytes + images · image_bytes <= memory.

    All in whole bytes, image_bytes above 0. 0 where not even one image fits.
    """
    # TASK 15.3 (2 points): what is left beside the weights, in whole images
    return max(0, (memory - copies * weight_bytes) // image_bytes)
    # END TASK


# %% [markdown]
# **Predict:** the paper took 128 images a step on a card with 1.5 GB (or 3; it does not say). Could ZFNet's whole step have
# lain there?

# %%
weight_bytes = 62_357_608 * 4
outputs = {"conv1": (96, 110, 110), "pool1": (96, 55, 55), "norm1": (96, 55, 55), "conv2": (256, 26, 26),
           "pool2": (256, 13, 13), "norm2": (256, 13, 13), "conv3": (384, 13, 13), "conv4": (384, 13, 13),
           "conv5": (256, 13, 13), "pool5": (256, 6, 6), "fc6": (4096,), "fc7": (4096,), "fc8": (1000,)}
image_bytes = 4 * (3 * 224 * 224 + sum(int(np.prod(shape)) for shape in outputs.values()))
print(f"weights three times {3 * weight_bytes / 1e9:.2f} GB, and {image_bytes / 1e6:.1f} MB an image")
fits = {name: batch_that_fits(int(memory), weight_bytes, image_bytes) for name, (_, _, memory) in CARDS.items()}
print("\n".join(f"{name:8} {count:6} images" for name, count in fits.items()))
assert 64 < fits["GTX 580"] < 128

# %% [markdown]
# Not 128 in 1.5 GB, counted like this: on the smaller card one would take half a batch twice and add the gradients. And
# this counts only what is kept; gradients on their way down come on top. `zf.estimate.largest_batch(net, too_large)` finds
# the true number on a card by trying.
#
# ## Measured
#
# The one argument. Everything above the operations is the same code, and the same seed draws the same weights.

# %%
try:
    gpu = zf.get_ops("cupy")
except zf.errors.BackendError as error:
    gpu = None
    print(f"no GPU answers here, so this part is skipped: {error}")

# %% [markdown]
# A GPU works on while Python has gone on to the next line. A clock that is stopped without waiting (`synchronize`) has timed
# the asking, not the work.

# %%


def seconds_a_step(net, x, labels, rounds=5):
    """Return the shortest of some training steps' seconds, after one that does not count."""
    optimizer, times = zf.optim.SGD(net, lr=0.001), []
    for _ in range(rounds + 1):
        net.ops.synchronize()
        begin = time.perf_counter()
        scores, tape = net.forward(net.ops.asarray(x), train=True)
        optimizer.step(net.backward(zf.loss.softmax_cross_entropy(scores, labels)[1], tape))
        net.ops.synchronize()
        times.append(time.perf_counter() - begin)
    return min(times[1:])


if gpu:
    small = {"conv": (16, 32, 48, 48, 32), "fc": (64,)} if FAST else {}
    both = {"processor": zf.models.zfnet_mini(num_classes=10, ops=zf.get_ops("numba"), seed=0, **small),
            "GPU": zf.models.zfnet_mini(num_classes=10, ops=gpu, seed=0, **small)}
    x = both["processor"].prepare(pictures)
    scores = {name: net.ops.to_numpy(net.scores(net.ops.asarray(x))) for name, net in both.items()}
    assert np.allclose(scores["processor"], scores["GPU"], rtol=1e-3, atol=1e-3)
    print(gpu.describe())
    for N in (4,) if FAST else (1, 32, 128, 512):
        many, labels = np.resize(x, (N, *x.shape[1:])), np.arange(N) % 10
        took = {name: seconds_a_step(net, many, labels, 1 if FAST else 5) for name, net in both.items()}
        print(f"{N:4} images a step: processor {1000 * took['processor']:.1f} ms, GPU {1000 * took['GPU']:.1f} ms, "
              f"ratio {took['processor'] / took['GPU']:.1f}")
    print(f"{gpu.device_memory()[0] / 1e6:.0f} MB of the card's memory are reserved")

# %% [markdown]
# With one image a GPU mostly waits for Python to ask for the next kernel; with hundreds it has what it is made for.
#
# ## Exercises
#
# 1. `max_pool2d` with 3×3 windows at stride 2 compares nine numbers for each output. Count its intensity. On which side of
#    every card's ridge does it lie, and what does fusing it with the layer before save? 2. In float16 a number has two
# bytes, and tensor cores reach 990 TFLOP/s on an H100. Which layers' bounds change from compute    to memory, for one image
# and for 128? (Only P and itemsize change.)

# %% [markdown]
# # Look inside
#
# What does a network that I trained look for? We train a very small ZFNet for a minute, pick one of its units, and ask
# the deconvnet which pixels made it fire. (Zeiler & Fergus 2013, sections 2 and 4.)

# %%
import os

import numpy as np

import zfnumpy as zf
from zfnumpy.evaluate import evaluate

FAST = bool(os.environ.get("ZFNUMPY_FAST"))          # a few seconds instead of a minute: to see that everything runs
ops = zf.get_ops("numba")

# %% [markdown]
# Drawn images of ten kinds of things, 64×64 pixels. Every image knows where its object and the object's parts are.

# %%
drawn = zf.data.sketches.load(120 if FAST else 2800)
train, val = drawn.subset(slice(0, -len(drawn) // 7)), drawn.subset(slice(-len(drawn) // 7, None))
print(len(train), "images to learn from, classes:", ", ".join(drawn.classes))

# %% [markdown]
# The network is a list of named nodes; printed, it is a table. Before you look: conv1 has 7×7 filters at stride 2, and
# pool1 3×3 windows at stride 2 over them. How many pixels does one unit of pool1 see? (7 + 2 · 2 = 11 a side.)

# %%
net = zf.models.zfnet_mini(num_classes=10, ops=ops, seed=0, conv=(16, 32, 48, 48, 32), fc=(128,), dropout=0.2)
print(net)
assert net.receptive_field("pool1").size == (11, 11)

# %% [markdown]
# One training step, in four lines: scores, loss, gradients, update. `tape` holds what the forward pass left behind.

# %%
loader = zf.data.Loader(train, 32, net.preprocessing, zf.data.Augment(flip=True), shuffle=True, seed=0)
optimizer = zf.optim.SGD(net, lr=0.01, momentum=0.9, weight_decay=5e-4)
losses = []
for epoch in range(1 if FAST else 6):
    for x, labels, _ in loader.batches(epoch):
        scores, tape = net.forward(x, train=True)
        loss, dscores = zf.loss.softmax_cross_entropy(scores, labels)
        optimizer.step(net.backward(dscores, tape))
        losses.append(loss)
    print(f"epoch {epoch + 1}: loss {np.mean(losses[-len(loader):]):.2f}")

# %% [markdown]
# Guessing gets one in ten right. How many will this network?

# %%
found = evaluate(net, zf.data.Loader(val, 64, net.preprocessing))
print(f"{found.top1:.0%} of {found.count} images that it has never seen")

# %% [markdown]
# Now look inside. For one image we take the map of conv5 that answers most strongly, keep that one unit, set every other
# activation to zero, and pass it down: unpool by the switches, rectify, transposed filters. What arrives is an image of
# what that unit responded to, and it can only lie in the unit's receptive field.

# %%
picture = val.image(0)
x = net.prepare([picture])
scores, tape = net.forward(x)
maps = net.activations(x, ["conv5"])["conv5"][0]
strongest = int(maps.reshape(len(maps), -1).max(axis=1).argmax())
r = zf.visualize.project(net, x, layer="conv5", unit=(strongest,), rule="deconvnet", tape=tape)
print(f"{val.name(0)}: map {strongest} of conv5, projected to {r.shape}; {np.mean(r != 0):.0%} of the values are not zero")

# %%
zf.plots.save_picture("look_inside.png", zf.plots.projection_sheet(
    [[("the image", picture), (f"conv5, map {strongest}", zf.plots.signed(r)[0])]], "What one unit saw"))
print("wrote look_inside.png")

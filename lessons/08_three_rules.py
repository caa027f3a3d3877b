# %% [markdown]
# # Three rules, one sweep
#
# **Why do three pictures of one answer disagree, and which of them may you believe?** There are three famous ways to go
# from a unit down to its pixels: the gradient (saliency maps), the deconvnet of lesson 7, and guided backpropagation. Their
# pictures look as if they came from three different worlds. They are one and the same sweep, and differ in one line: what
# happens at a ReLU. Here you write that line, take all three down a trained network, and put them to a test. (Zeiler &
# Fergus 2013, section 2.1; Simonyan et al., 1312.6034; Springenberg et al., 1412.6806.)

# %%
import os

import numpy as np

import zfnumpy as zf

FAST = bool(os.environ.get("ZFNUMPY_FAST"))          # a few seconds instead of more: to see that everything runs
rng = np.random.default_rng(8)

# %% [markdown]
# ## At a ReLU
#
# On the way up the ReLU saw x and let through what was positive. On the way down a signal r arrives from above, of any
# sign. The three rules, for every number by itself:
#
# $$ \text{gradient: } r \, [x > 0] \qquad \text{deconvnet: } r \, [r > 0] \qquad \text{guided: } r \, [x > 0] \, [r > 0] $$
#
# The gradient looks at what was there on the way *up*: a unit that was silent moves nothing. The deconvnet looks at what is
# there on the way *down*: the maps were never negative, so their reconstruction should not be. Guided backpropagation asks
# for both. At exactly 0 nothing passes, as in lesson 5.
#
# **Predict:** x and r random, each positive half of the time and independently. What share of the numbers passes by each
# rule?

# %%


def relu_back(r, x, rule):
    """Carry r down through a ReLU whose input was x, by a rule: an array of their shape, in r's dtype.

    rule: "gradient" keeps r where x > 0, "deconvnet" where r > 0, "guided" where both are; elsewhere there is 0.
    """
    # TASK 8.1 (3 points): who may pass?
    passes = {"gradient": x > 0, "deconvnet": r > 0, "guided": (x > 0) & (r > 0)}[rule]
    return np.where(passes, r, 0)
    # END TASK


# %%
RULES = ("gradient", "deconvnet", "guided")
x, r = rng.standard_normal((2, 10000))
shares = {rule: np.mean(relu_back(r, x, rule) != 0) for rule in RULES}
for rule, share in shares.items():
    print(f"{rule}: {share:.0%} pass")
assert np.allclose([shares[rule] for rule in RULES], (0.5, 0.5, 0.25), atol=0.03)

# %% [markdown]
# ## Down a chain
#
# Everything else that stands in a network is linear once the switches are written down (lesson 4), and goes down by its
# transpose: a filter by the transposed filter (lesson 3), a pooling by unpooling. To have it all on one page, take matrices
# for layers. Up, with a ReLU after every layer but the last:
#
# $$ a_1 = W_1 x \qquad h_k = \max(a_k, 0) \qquad a_{k+1} = W_{k+1} h_k $$
#
# and down from the last layer's output, where r says which unit is asked about (zeros, but for that unit):
#
# $$ r \leftarrow W_{k+1}^\top r \qquad r \leftarrow \text{rule}(r, a_k) \qquad \ldots \qquad r \leftarrow W_1^\top r $$
#
# No bias is added on the way down, by any rule: it would be there without an image as well.
#
# **Predict, on paper:** an image of two pixels, x = (2, 1). Three units, W₁ = ((1, -1), (-1, 1), (1, 1)); one unit on top,
# W₂ = (4, 2, -1). What does the top unit answer? Start from 1 at the top and go down three times, by each rule. What
# arrives at the two pixels?

# %%


def sweep(r, x, weights, rule):
    """Carry r from the last layer's output of a chain down to its input x by a rule: an array of x's shape and dtype.

    x (D,). weights: a list of one or more matrices, the first (D1, D), the next (D2, D1) and so on, r (DK,) of the last's
    rows, all of one dtype. A ReLU stands after every matrix but the last: none above r, none below the first matrix.
    """
    # TASK 8.2 (4 points): up, to know what each ReLU saw; then down
    saw = []
    for W in weights[:-1]:
        saw.append(W @ x)
        x = np.maximum(saw[-1], 0)
    r = weights[-1].T @ r
    for W, a in zip(weights[-2::-1], saw[::-1]):
        r = W.T @ relu_back(r, a, rule)
    return r
    # END TASK


# %%
x, W1, W2 = np.array([2.0, 1.0]), np.array([[1.0, -1.0], [-1.0, 1.0], [1.0, 1.0]]), np.array([[4.0, 2.0, -1.0]])
y = W2 @ np.maximum(W1 @ x, 0)
arrived = {rule: sweep(np.ones(1), x, [W1, W2], rule) for rule in RULES}
print("the top unit answers", y)
for rule, r in arrived.items():
    print(f"{rule}: {r}, and Σ r·x = {r @ x:g}")
assert [list(arrived[rule]) for rule in RULES] == [[3, -5], [2, -2], [4, -4]]

# %% [markdown]
# One question, three answers. Only the first one is a derivative: raise the first pixel by a little, and the answer rises
# three times as much. (And as no bias stands in this network, Σ r·x gives the answer back, 1. The others do not.) Of the
# three units the second was silent: it has no part in the gradient, but the deconvnet, which does not look, counts it in.
# The third voted against: the deconvnet and guided backpropagation do not let that be said.
#
# The gradient can be checked, as ever, by moving the image along a random direction:

# %%
x, weights = rng.standard_normal(6), [rng.standard_normal(shape) for shape in ((9, 6), (8, 9), (5, 8))]
r, d = rng.standard_normal(5), rng.standard_normal(6)


def answer(x):
    """Return Σ r·y for the outputs y of the chain."""
    for W in weights[:-1]:
        x = np.maximum(W @ x, 0)
    return weights[-1] @ x @ r


along = (answer(x + 1e-6 * d) - answer(x - 1e-6 * d)) / 2e-6
for rule in RULES:
    print(f"{rule}: Σ dx·d = {sweep(r, x, weights, rule) @ d:.6f}; by central differences {along:.6f}")
assert np.isclose(sweep(r, x, weights, "gradient") @ d, along)

# %% [markdown]
# ## A map of one number a pixel
#
# What arrives at an image has three numbers a pixel, of either sign. Simonyan's *saliency map* of the gradient of a class
# score S (the score, before the softmax) asks only how much a pixel matters: whichever colour matters most, up or down.
#
# $$ M[n, p, q] = \max_c \; \left| \frac{\partial S}{\partial x[n, c, p, q]} \right| $$

# %%


def saliency_map(dx):
    """Reduce gradients dx (N, C, H, W) to (N, H, W), in their dtype: the largest magnitude over the colours."""
    # TASK 8.3 (2 points): magnitudes first, then the largest of the colours
    return np.abs(dx).max(axis=1)
    # END TASK


# %% [markdown]
# ## The trained network
#
# It comes with the package, and tells ten kinds of drawn things apart. Its layers know their own way down (lessons 3 and 4
# in fast form), so we put our own rule at its ReLUs and leave the rest to them. `tape` holds the switches of the pass up.

# %%
net = zf.models.sketches_gap(zf.get_ops("numba"))
drawn = zf.data.sketches.load(10 if FAST else 40, seed=8)               # the network has never seen these
x = net.prepare([drawn.image(i) for i in range(len(drawn))])
scores, tape = net.forward(x)
likeliest, second = np.argsort(-scores, axis=1)[:, :2].T
print(f"{np.mean(likeliest == drawn.labels):.0%} of {len(drawn)} are right")

saw = net.activations(x, [node.inputs[0] for node in net.nodes.values() if isinstance(node.layer, zf.layers.ReLU)])


def down(layer, r, rule):
    """Carry r, shaped like the output of `layer`, down to the pixels of x by our rule: (N, 3, H, W)."""
    def step(node, r):
        if isinstance(node.layer, zf.layers.ReLU):
            return relu_back(r, saw[node.inputs[0]], rule)
        return node.layer.project(r, tape.cache(node.name), rule)

    return net.sweep(layer, r, step)


def of_class(labels, rule):
    """Return what a class's score, one label an image, sends down to the pixels by a rule."""
    r = np.zeros_like(scores)
    r[np.arange(len(r)), labels] = 1
    return down(net.output, r, rule)


by_class = {rule: of_class(likeliest, rule) for rule in RULES}
for rule in RULES:                                                    # the package finds the same
    theirs = zf.visualize.project(net, x, net.output, (likeliest,), rule, start=1)
    assert np.allclose(by_class[rule], theirs, atol=1e-5 * np.abs(theirs).max())
assert np.allclose(saliency_map(by_class["gradient"]), zf.visualize.saliency(net, x), rtol=1e-4, atol=1e-6)

# %% [markdown]
# (One thing more is done for us: through contrast normalization the gradient goes by its own formula, lesson 5, and the
# other two pass it by unchanged, as the paper has it.)
#
# Now one unit in the middle: the map of relu3 that is strongest in the image, at its strongest place.

# %%
maps = net.activations(x, "relu3")["relu3"]
start = np.zeros_like(maps)
best = maps.reshape(len(maps), -1).argmax(axis=1)
start.reshape(len(maps), -1)[np.arange(len(maps)), best] = 1
by_unit = {rule: down("relu3", start, rule) for rule in RULES}

# %% [markdown]
# ## Which one to believe?
#
# These images know where their object is. How much of each picture, in magnitude, lies on the object? Spread evenly it
# would be the object's share of the image.

# %%


def on_object(r):
    """Return, in the mean over the images, the share of the magnitudes of r (N, 3, H, W) that lies on the objects."""
    m = np.abs(r).sum(axis=1)
    return np.mean((m * drawn.masks).sum(axis=(1, 2)) / m.sum(axis=(1, 2)))


on = {rule: on_object(by_class[rule]) for rule in RULES}
print(f"the objects are {drawn.masks.mean():.0%} of the images; on them lie", ", ".join(f"{on[k]:.0%} ({k})" for k in RULES))
assert on["guided"] > on["gradient"] > drawn.masks.mean()

# %% [markdown]
# Guided backpropagation wins by far, and it is the prettiest too. Before you use it for everything, ask one thing more. A
# picture that explains why the network said "cat" ought to change when we ask about something else.
#
# **Predict:** ask for the second likeliest class instead, in the same image, and compare the two pictures by their cosine:
# 1 where they are the same but for their brightness, 0 where they have nothing in common. What will it be by each rule?

# %%


def cosine(a, b):
    """Return the cosine between pictures a and b (N, 3, H, W), in the mean over the images."""
    a, b = a.reshape(len(a), -1), b.reshape(len(b), -1)
    return np.mean((a * b).sum(axis=1) / np.linalg.norm(a, axis=1) / np.linalg.norm(b, axis=1))


by_second = {rule: of_class(second, rule) for rule in RULES}
same = {rule: cosine(by_class[rule], by_second[rule]) for rule in RULES}
for rule in RULES:
    print(f"{rule}: cosine {same[rule]:.2f} between the likeliest class and the second")
assert same["guided"] > 0.9 > same["gradient"]

# %% [markdown]
# Guided backpropagation gives nearly the same picture whichever class it is asked about: it shows, beautifully, the lines
# that the image's active units saw. What speaks against the class is gone at the first ReLU under the score, and at every
# ReLU further down again; with it goes most of what told the two classes apart. The gradient is noisy, and it listens to
# the question.
#
# So: for "what did this unit see?", the deconvnet or guided backpropagation; for "what moves this score?", the gradient.
# A sharp picture is no proof.

# %%
i = int(np.flatnonzero((likeliest == drawn.labels) & (drawn.labels == net.classes.index("cat")))[0])
name, other = net.classes[likeliest[i]], net.classes[second[i]]
rows = []
for text, found in ((f"score of {name}", by_class), (f"score of {other}", by_second), ("one unit of relu3", by_unit)):
    pictures = [(f"{text}, {rule}", zf.plots.signed(found[rule][i])) for rule in RULES]
    saliency = zf.plots.faint(saliency_map(found["gradient"])[i])
    rows.append([("the image", drawn.image(i)), *pictures[:1], ("its largest magnitudes", saliency), *pictures[1:]])
zf.plots.save_picture("three_rules.png", zf.plots.projection_sheet(rows, "One sweep by three rules: two classes and a unit"))
print("wrote three_rules.png")

# %% [markdown]
# The first two rows ask different questions about one image. Look for the column that does not care.
#
# ## Exercises
#
# 1. The gradient's noise: average the saliency over copies of the image with noise added (1706.03825),
#    `zf.visualize.saliency(net, x, noise=0.15)`, and measure what share lies on the objects now.
# 2. Use guided backpropagation at the lowest ReLU only, and the gradient at all others. Does the picture still listen to the
#    question? At the highest only? And what becomes of the three pictures if the weights of the top layers are drawn at
#    random (1810.03292; `zf.visualize.randomization_test` does it layer by layer)?

"""Saliency and the rules side by side: their definitions, what they start from, and what they refuse."""

import numpy as np
import pytest
from test_project import built, images, walk_down

from zfnumpy import get_ops, models
from zfnumpy.errors import NodeError, ShapeError
from zfnumpy.gradcheck import central_differences
from zfnumpy.layers import Conv2d, Flatten, GlobalAvgPool, Linear, ReLU
from zfnumpy.network import Network
from zfnumpy.ops.face import RULES
from zfnumpy.visualize import by_rules, project, saliency

NUMPY = get_ops("numpy")


def linear(dtype="float64", ops=NUMPY):
    """Two classes of 2×2 pixels in three colours, the scores plain sums of pixels times weights."""
    net = Network([("flatten", Flatten()), ("fc", Linear(2))], (3, 2, 2), ops, dtype=dtype)
    weight = np.zeros((2, 3, 2, 2))
    weight[0, :, 0, 0], weight[0, 1, 1, 0], weight[1, :, 1, 1] = (1, -7, 3), 2, (-1, 0, 0.5)
    net.params["fc.weight"] = weight.reshape(2, 12)
    return net


def balanced(N):
    """The chain of small layers and N images, which it does not put into one class all."""
    net, x = built("chain"), images(N)
    net.params["fc7.bias"][...] -= net.scores(x).mean(axis=0)
    return net, x


# ---- saliency -------------------------------------------------------------------------------------------------------

def test_worked_by_hand(host_ops):
    net, x = linear(ops=host_ops), np.ones((2, 3, 2, 2))
    x[1] *= -1                                                       # scores (-1, -0.5) and (1, 0.5): class 1, class 0
    first, second = [[7.0, 0], [2, 0]], [[0.0, 0], [0, 1]]
    assert saliency(net, x, 0).tolist() == [first, first]
    assert saliency(net, x, [0, 1]).tolist() == [first, second]
    assert saliency(net, x).tolist() == [second, first]


@pytest.mark.parametrize("graph", ["chain", "branches"])
def test_the_largest_derivative_over_the_colours(graph):
    """Against central differences of the score, before any softmax."""
    net, x = built(graph), images(1)
    numeric = central_differences(lambda: float(net.scores(x)[0, 1]), x)
    np.testing.assert_allclose(saliency(net, x, 1), np.abs(numeric).max(axis=1), rtol=1e-5, atol=1e-8)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_dtype_kept_inputs_and_tape_left_alone(dtype):
    net, x = built("chain", dtype=dtype), images(3, dtype)
    before, (_, tape) = x.copy(), net.forward(x)
    found = saliency(net, x)
    assert (found.dtype, found.shape, type(found)) == (np.dtype(dtype), (3, 13, 11), np.ndarray)
    np.testing.assert_array_equal(saliency(net, x, tape=tape), found)
    np.testing.assert_array_equal(saliency(net, x, tape=tape, noise=0.1), saliency(net, x, noise=0.1))
    np.testing.assert_array_equal(x, before)


def test_smoothgrad_is_the_mean_gradient_over_noisy_copies():
    """Signed gradients are averaged, magnitudes taken of the mean (1706.03825); the class is the clean image's."""
    net, x = balanced(2)
    labels, rng, total = net.scores(x).argmax(axis=1), np.random.default_rng(5), 0
    assert len(set(labels)) == 2
    sigma = np.array([0.3 * (each.max() - each.min()) for each in x]).reshape(2, 1, 1, 1)
    for _ in range(4):
        total = total + project(net, x + sigma * rng.standard_normal(x.shape), "fc7", labels, "gradient")
    found = saliency(net, x, noise=0.3, samples=4, seed=5)
    np.testing.assert_allclose(found, np.abs(total / 4).max(axis=1), rtol=1e-12)
    assert np.abs(found - saliency(net, x)).max() > 0.01 * found.max()
    np.testing.assert_array_equal(saliency(net, x, noise=0.3, samples=4, seed=np.random.default_rng(5)), found)
    assert not np.array_equal(saliency(net, x, noise=0.3, samples=4, seed=6), found)


def test_smoothgrad_where_there_is_nothing_to_smooth():
    net = linear()
    for x in (np.ones((1, 3, 2, 2)), np.arange(12.0).reshape(1, 3, 2, 2)):           # a constant image has no range
        np.testing.assert_allclose(saliency(net, x, 0, noise=0.5), saliency(net, x, 0), rtol=1e-12)


def test_noise_of_numpy_s_own_float_keeps_the_dtype():
    net, x = models.tiny_vgg(ops=NUMPY), np.random.default_rng(0).random((1, 3, 64, 64), np.float32)
    np.testing.assert_array_equal(saliency(net, x, noise=np.float64(0.1), samples=2), saliency(net, x, noise=0.1, samples=2))


@pytest.mark.parametrize(("how", "error", "message"), [
    ({"label": 2}, NodeError, "there is no class 2: network tells 2 apart, 0 to 1"),
    ({"label": [0, 1]}, NodeError, "1 ints for 1 images"),
    ({"noise": -0.1}, ShapeError, "0 or more, got -0.1"), ({"noise": np.nan}, ShapeError, "got nan"),
    ({"noise": np.inf}, ShapeError, "got inf"), ({"samples": 0}, ShapeError, "samples must be a whole number from 1")])
def test_what_saliency_refuses(how, error, message):
    with pytest.raises(error, match=message):
        saliency(linear(), np.ones((1, 3, 2, 2)), **how)


def test_a_tape_of_other_images_is_refused():
    net = linear()
    _, tape = net.forward(np.zeros((1, 3, 2, 2)))
    for call in (lambda x: saliency(net, x, tape=tape), lambda x: by_rules(net, x, tape=tape)):
        with pytest.raises(ShapeError, match="other images than x"):
            call(np.ones((1, 3, 2, 2)))
        with pytest.raises(ShapeError, match=r"shape \(1, 3, 2, 2\), got x of shape \(2, 3, 2, 2\)"):
            call(np.ones((2, 3, 2, 2)))


def test_a_score_that_nothing_moves_gives_zeros():
    """A score that averages rectified maps, none of which fires: no pixel moves it, and no rule shows anything."""
    net = Network([("conv", Conv2d(2, 1)), ("relu", ReLU()), ("gap", GlobalAvgPool())], (3, 4, 4), NUMPY, dtype="float64")
    net.params["conv.bias"] = np.array([1.0, -100])
    x = np.random.default_rng(0).random((1, 3, 4, 4))
    assert not saliency(net, x, 1).any()
    assert not any(r.any() for r in by_rules(net, x, unit=1).values())
    assert saliency(net, x, 0).any()


def test_a_fully_convolutional_network_takes_other_sizes():
    net = models.squeezenet1_1(10, NUMPY)
    x = np.random.default_rng(0).standard_normal((1, 3, 40, 57)).astype(np.float32)
    assert saliency(net, x).shape == (1, 40, 57)


# ---- the rules side by side -----------------------------------------------------------------------------------------

@pytest.mark.parametrize(("layer", "unit"), [("conv2", (2,)), ("relu1", (1, 2, 3)), ("fc6", (4,)), ("conv3", None)])
def test_inside_every_rule_is_project(layer, unit):
    net, x = built("chain"), images()
    found = by_rules(net, x, layer, unit)
    assert tuple(found) == RULES
    if unit is None:
        unit = (net.activations(x, layer)[layer].max(axis=(2, 3)).argmax(axis=1),)
    for rule, r in found.items():
        np.testing.assert_array_equal(r, project(net, x, layer, unit, rule))
    assert list(by_rules(net, x, layer, unit, ("guided", "gradient"))) == ["guided", "gradient"]


def test_without_a_layer_the_class_that_is_strongest():
    net, x = balanced(4)
    scores, tape = net.forward(x)
    best = scores.argmax(axis=1)
    assert len(set(best.tolist())) > 1
    found = by_rules(net, x, tape=tape)
    for rule in ("gradient", "guided"):
        np.testing.assert_array_equal(found[rule], project(net, x, "fc7", best, rule))


def test_the_deconvnet_of_a_class_speaks_for_it_whatever_the_sign_of_its_score():
    """A score's magnitude, not its value: the same picture, up to scale, after a constant is added to all scores."""
    net, x = built("chain"), images(1)
    net.params["fc7.bias"][...] += 5 - net.scores(x).min()
    above = by_rules(net, x, unit=1)["deconvnet"]
    np.testing.assert_array_equal(above, project(net, x, "fc7", 1))
    np.testing.assert_allclose(above, walk_down(net, x, "fc7", (1,), "deconvnet"), rtol=1e-9)
    score = net.scores(x)[0, 1]
    net.params["fc7.bias"][...] -= 3 * score
    below = by_rules(net, x, unit=1)["deconvnet"]
    np.testing.assert_allclose(below, 2 * above, rtol=1e-9, atol=1e-12)
    assert np.abs(project(net, x, "fc7", 1) - below).max() > 0.1 * np.abs(below).max()


def test_project_starts_from_what_it_is_told():
    net, x = built("chain"), images(2)
    gradient = project(net, x, "conv2", (1, 1, 1), "gradient")
    np.testing.assert_allclose(project(net, x, "conv2", (1, 1, 1), "gradient", start=np.array([2.0, -3])),
                               gradient * np.array([2.0, -3])[:, None, None, None], rtol=1e-12)
    np.testing.assert_allclose(project(net, x, "conv2", (1, 1, 1), "gradient", start=4), 4 * gradient, rtol=1e-12)


@pytest.mark.parametrize(("layer", "unit", "message"), [
    ("conv9", 0, "no layer 'conv9'; it has conv1, relu1"), (None, 4, "no feature 4: its output is 4"),
    (None, (1, 2), r"a unit of fc7 is \(feature,\), got 2 numbers"), ("conv2", 5, "conv2 has no channel 5"),
    ("conv2", (0, 9, 0), "no row 9")])
def test_what_by_rules_refuses(layer, unit, message):
    with pytest.raises(NodeError, match=message):
        by_rules(built("chain"), images(), layer, unit)
    with pytest.raises(NodeError, match="the rule 'lrp' does not exist; use one of gradient, deconvnet, guided"):
        by_rules(built("chain"), images(), rules=("lrp",))


def test_on_the_device(device_ops):
    net, x = models.tiny_vgg(4, device_ops, seed=2), np.random.default_rng(1).random((2, 3, 64, 64), np.float32)
    host = models.tiny_vgg(4, NUMPY, seed=2)
    on_device = device_ops.asarray(x)
    for how in ({}, {"label": 1}, {"noise": 0.2, "samples": 2}):
        found, expected = saliency(net, on_device, **how), saliency(host, x, **how)
        assert isinstance(found, np.ndarray)
        assert np.linalg.norm(found - expected) < 1e-3 * np.linalg.norm(expected)
    for layer in ("fc", "conv2_1"):
        expected = by_rules(host, x, layer)
        for rule, r in by_rules(net, on_device, layer).items():
            assert np.linalg.norm(device_ops.to_numpy(r) - expected[rule]) < 1e-3 * np.linalg.norm(expected[rule])

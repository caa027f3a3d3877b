"""Many units projected at once, each in its window, against `project`, which takes whole maps down."""

import numpy as np
import pytest
from test_project import NODES, SHAPE, built

from zfnumpy import get_ops, models
from zfnumpy.errors import NodeError, ShapeError
from zfnumpy.layers import AvgPool2d, Concatenate, Conv2d, Dropout, Flatten, GlobalAvgPool, Linear, MaxPool2d, ReLU
from zfnumpy.layers.boxes import Boxes
from zfnumpy.network import Network
from zfnumpy.ops.face import RULES
from zfnumpy.shapes import Windows
from zfnumpy.visualize import project, project_boxes, project_units
from zfnumpy.visualize.project import lay

TOLERANCE = {"float64": 1e-12, "float32": 1e-5}


def narrow(model, ops, dtype):
    """A model of few maps and filters, and biases, so that not everything is positive at the borders."""
    widths = {"conv": (6, 8, 4, 6, 8), "fc": (9,)} if model in ("zfnet", "alexnet", "zfnet_mini") else {}
    net = getattr(models, model)(5, ops, seed=1, dtype=dtype, **widths)
    for i, (name, w) in enumerate(net.params.items()):
        if name.endswith("bias"):
            w[...] = 0.1 * np.random.default_rng(i).standard_normal(w.shape)
    return net


def pass_over(net, N=2, seed=0, **how):
    x = np.random.default_rng(seed).standard_normal((N, *net.input_shape)).astype(net.dtype)
    return x, net.forward(x, **how)[1]


def units_of(shape, seed=0):
    """Return six units: the four corners of a layer's map, a border and the middle, in random channels."""
    rng = np.random.default_rng(seed)
    if len(shape) == 1:
        return (rng.integers(0, shape[0], 6),)
    C, H, W = shape
    return (rng.integers(0, C, 6), np.array([0, 0, H - 1, H - 1, H // 2, 0]), np.array([0, W - 1, 0, W - 1, W // 2, W // 2]))


def assert_same(net, x, tape, layer, rule):
    """Compare six units in two images, image 1 first, with whole maps taken down one unit an image."""
    units, images = units_of(net.shapes[layer]), np.array([1, 0, 1, 0, 1, 0])
    found = project_units(net, tape, layer, images, units, rule, batch=4)
    assert found.dtype == x.dtype
    assert found.shape == (6, *x.shape[1:])
    for k in (0, 2, 4):
        expected = project(net, x, layer, tuple(part[[k + 1, k]] for part in units), rule, tape)
        for one, dense in zip(found[[k + 1, k]], expected):
            assert np.abs(one - dense).max() <= TOLERANCE[str(x.dtype)] * np.abs(dense).max(), f"{layer}, {rule}, unit {k}"


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize(("graph", "layer"), NODES)
def test_every_layer_of_small_graphs(host_ops, graph, layer, rule):
    net = built(graph, host_ops)
    assert_same(net, *pass_over(net), layer, rule)


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("model", ["zfnet_mini", "tiny_vgg"])
def test_every_layer_of_small_models(model, dtype):
    net = narrow(model, get_ops("numba"), dtype)
    x, tape = pass_over(net)
    for layer in net.nodes:
        for rule in RULES:
            assert_same(net, x, tape, layer, rule)


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize(("model", "layers"), [
    ("zfnet", ["relu1", "pool1", "norm1", "conv2", "pool2", "norm2", "relu3", "conv4", "relu5", "pool5", "fc7"]),
    ("alexnet", ["conv1", "norm1", "pool1", "relu2", "norm2", "relu4", "conv5", "pool5", "relu6"]),
    ("squeezenet1_1", ["relu1", "pool1", "fire2", "fire2.expand3x3", "fire3", "pool3", "fire4.relu_squeeze1x1", "fire5",
                       "pool5", "fire7"]),
])
def test_layers_of_large_models(model, layers, dtype):
    """Strides, pads, ceil mode, groups, contrast normalization before and after the pool, branches."""
    net = narrow(model, get_ops("numba"), dtype)
    x = np.random.default_rng(0).standard_normal((2, *net.input_shape)).astype(dtype)
    tape = net.tape_to(layers[-1], x)
    for layer in layers:
        for rule in RULES if net.input_shape[1] < 225 or layer in layers[1::4] else RULES[:2]:
            assert_same(net, x, tape, layer, rule)


def uneven(ops):
    """Branches that look differently far and meet, averages, one-sided windows, an end in two ways."""
    return Network([("stem", Conv2d(4, 2, pad=1)), ("relu0", ReLU()), ("wide", Conv2d(3, (5, 3), pad=(2, 1))),
                    ("narrow", Conv2d(2, 1), "relu0"), ("mean", AvgPool2d(3, 1, 1), "relu0"),
                    ("both", Concatenate(), ("wide", "narrow", "mean")), ("again", Conv2d(3, 2, stride=2)),
                    ("drop", Dropout(0.4)), ("other", AvgPool2d(2, 1), "both"), ("down", MaxPool2d(2, 2, ceil_mode=True)),
                    ("long", Conv2d(2, (1, 4), pad=(0, 2)), "down"), ("crop", AvgPool2d((1, 2), (1, 1)), "drop"),
                    ("gap", GlobalAvgPool(), "crop"), ("gap2", GlobalAvgPool(), "long"), ("one", Linear(3), "gap"),
                    ("relu1", ReLU()), ("two", Linear(3), "gap2"), ("flat", Flatten(), "two"), ("last", Linear(2)),
                    ("join", _Join(), ("last", "relu1"))], (2, 9, 12), ops, seed=5, dtype="float64")


class _Join(Concatenate):
    """Features side by side."""

    def output_shape(self, *shapes):
        return (sum(shape[0] for shape in shapes),)


@pytest.mark.parametrize("rule", RULES)
def test_branches_that_look_differently_far(host_ops, rule):
    net = uneven(host_ops)
    x, tape = pass_over(net, train=True)
    for layer in net.nodes:
        assert_same(net, x, tape, layer, rule)


# ---- windows --------------------------------------------------------------------------------------------------------

def test_a_box_is_the_receptive_field(host_ops):
    """Nothing outside it differs from zero, so nothing more is computed; where it outgrows the image it is the image."""
    net = narrow("zfnet_mini", host_ops, "float64")
    _, tape = pass_over(net)
    for layer in ("relu1", "conv2", "pool2", "conv4", "conv5", "pool5", "fc6"):
        units, images = units_of(net.shapes[layer]), np.array([1, 0, 1, 0, 1, 0])
        boxes, corners = project_boxes(net, tape, layer, images, units, "gradient")
        field = net.receptive_field(layer)
        assert boxes.shape == (6, 3, *np.minimum(field.size, 64))
        for k in range(6):
            row, col = (int(part[k]) for part in units[1:]) if len(units) == 3 else (0, 0)
            top, left, _, _ = field.box(row, col)
            assert list(corners[k]) == [top if field.size[0] < 64 else 0, left if field.size[1] < 64 else 0]
        whole = np.zeros((6, 3, 64, 64))
        for each in zip(whole, [(0, 0)] * 6, boxes, corners):
            lay(*each)
        np.testing.assert_array_equal(whole, project_units(net, tape, layer, images, units, "gradient"))


@pytest.mark.parametrize(("at", "corner", "shape"), [
    ((0, 0), (0, 0), (4, 5)), ((0, 0), (-1, 2), (3, 2)), ((2, -3), (3, -1), (9, 9)), ((0, 0), (7, 7), (2, 2)),
    ((5, 5), (0, 0), (3, 9)), ((-2, -2), (-1, -1), (1, 1)),
])
def test_laying_a_box_into_a_window(at, corner, shape):
    box, out = np.random.default_rng(0).standard_normal((2, *shape)), np.full((2, 4, 5), 7.0)
    expected = out.copy()
    for i, j in np.ndindex(*shape):
        row, col = corner[0] + i - at[0], corner[1] + j - at[1]
        if 0 <= row < 4 and 0 <= col < 5:
            expected[:, row, col] = box[:, i, j]
    lay(out, at, box, corner)
    np.testing.assert_array_equal(out, expected)


def test_boxes_are_not_changed(host_ops):
    net = built("chain", host_ops)
    _, tape = pass_over(net)
    at = Windows(np.array([0, 1]), np.array([[0, 1], [2, 0]]), (2, 2), net.shapes["conv3"][1:])
    r = np.random.default_rng(1).standard_normal((2, 4, 2, 2))
    kept = r.copy()
    boxes = Boxes(host_ops, r, at.images, at)
    first = net.project("conv3", boxes, tape, "guided").values()
    np.testing.assert_array_equal(net.project("conv3", boxes, tape, "guided").values(), first)
    np.testing.assert_array_equal(r, kept)
    assert not np.may_share_memory(boxes.rectified().values(), r)


# ---- bits -----------------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("rule", RULES)
def test_neither_threads_nor_other_units_change_the_bits(rule):
    results = []
    for threads, batch in ((1, 64), (2, 1), (3, 5), (7, 3)):
        ops = get_ops("numba", threads=1)
        ops.threads = threads
        net = narrow("zfnet_mini", ops, "float32")
        _, tape = pass_over(net, 3)
        rng = np.random.default_rng(2)
        units = [rng.integers(0, size, 13) for size in net.shapes["relu5"]]
        results.append(project_units(net, tape, "relu5", rng.integers(0, 3, 13), units, rule, batch))
    for result in results[1:]:
        np.testing.assert_array_equal(result, results[0])
    assert results[0].any()


# ---- units and tapes ------------------------------------------------------------------------------------------------

def test_a_map_s_strongest_unit_in_each_image(host_ops):
    net = built("chain", host_ops)
    x, tape = pass_over(net, 3)
    channel = int(net.value("conv3", tape).max(axis=(0, 2, 3)).argmax())
    found = project_units(net, tape, "conv3", [2, 0, 1], (channel,))
    expected = project(net, x, "conv3", (channel,), tape=tape)[[2, 0, 1]]
    assert expected.any()
    np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-12)


def test_no_units():
    net = built("chain")
    _, tape = pass_over(net)
    none = np.zeros(0, int)
    for layer, units in (("conv3", (none, none, none)), ("conv3", (1, 0, 0)), ("fc7", (none,))):
        for rule in RULES:
            assert project_units(net, tape, layer, none, units, rule).shape == (0, *SHAPE)


@pytest.mark.parametrize(("layer", "images", "units", "rule", "message"), [
    ("conv9", [0], (0, 0, 0), "guided", "network has no layer 'conv9'"),
    ("conv3", [0], (0, 0, 0), "saliency", "the rule 'saliency' does not exist; use one of gradient, deconvnet, guided"),
    ("conv3", [0, 2], (0, 0, 0), "guided", "conv3: the tape has no image 2: it is of 2, from 0 to 1"),
    ("conv3", [-1], (0, 0, 0), "guided", "conv3: the tape has no image -1: it is of 2, from 0 to 1"),
    ("conv3", [0.0], (0, 0, 0), "guided", r"conv3: images must be a list of ints, got float64 of shape \(1,\)"),
    ("conv3", 1, (0, 0, 0), "guided", r"conv3: images must be a list of ints, got int64 of shape \(\)"),
    ("conv3", [0, 1, 1], ([0, 4, 1], 0, 0), "guided",
     "conv3 has no channel 4: its output is 4 × 4 × 3, so channels run from 0 to 3"),
    ("conv3", [0, 1, 1], (0, [0, 1], 0), "guided",
     r"conv3: the row must be an int, or 3 ints for 3 units, got int64 of shape \(2,\)"),
    ("conv3", [0], (0, 0), "guided", r"a unit of conv3 is \(channel,\) or \(channel, row, col\), got 2 numbers"),
    ("fc7", [0], 4, "guided", "fc7 has no feature 4: its output is 4, so features run from 0 to 3"),
])
def test_what_does_not_exist(layer, images, units, rule, message):
    net = built("chain")
    _, tape = pass_over(net)
    for function in (project_units, project_boxes):
        with pytest.raises(NodeError, match=message) as error:
            function(net, tape, layer, images, units, rule)
        assert "\n" not in str(error.value)


def test_a_batch_of_nothing():
    net = built("chain")
    _, tape = pass_over(net)
    with pytest.raises(ShapeError, match="batch must be a whole number from 1, got 0"):
        project_units(net, tape, "conv3", [0], (0, 0, 0), batch=0)


def test_a_tape_that_ends_below():
    net = built("chain")
    x = np.random.default_rng(0).standard_normal((2, *SHAPE))
    with pytest.raises(NodeError, match="this tape ends at norm1, below conv3"):
        project_units(net, net.tape_to("norm1", x), "conv3", [0], (0, 0, 0))



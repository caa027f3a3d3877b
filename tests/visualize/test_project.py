"""The deconvnet, the gradient and guided backpropagation, each against its definition walked node by node."""

import json

import definitions
import numpy as np
import pytest

from zfnumpy import get_ops, models
from zfnumpy.data import Preprocessing
from zfnumpy.errors import DataError, NodeError, ShapeError
from zfnumpy.gradcheck import check_full
from zfnumpy.layers import (
    AvgPool2d,
    Concatenate,
    Conv2d,
    Dropout,
    Flatten,
    GlobalAvgPool,
    Linear,
    LocalResponseNorm,
    MaxPool2d,
    ReLU,
)
from zfnumpy.network import Network
from zfnumpy.ops.face import RULES
from zfnumpy.visualize import colour_filters, find_strongest, project, project_strongest, strongest_units

NUMPY = get_ops("numpy")


def chain():
    """The paper's kinds of layers in the paper's order; pools overlap."""
    return [("conv1", Conv2d(4, 3, stride=2, pad=1)), ("relu1", ReLU()), ("pool1", MaxPool2d(3, 2, 1)),
            ("norm1", LocalResponseNorm(3, alpha=1.5)), ("conv2", Conv2d(5, 2)), ("relu2", ReLU()),
            ("norm2", LocalResponseNorm(4, alpha=0.9)), ("conv3", Conv2d(4, 2, pad=1, groups=1)), ("relu3", ReLU()),
            ("pool3", MaxPool2d(2, 1)), ("flatten", Flatten()), ("fc6", Linear(9)), ("relu6", ReLU()), ("drop6", Dropout()),
            ("fc7", Linear(4))]


def branches():
    return [("stem", Conv2d(6, 3, stride=2, groups=3)), ("relu0", ReLU()), ("left", Conv2d(4, 1)), ("relu_l", ReLU()),
            ("right", Conv2d(3, 3, pad=1), "relu0"), ("relu_r", ReLU()), ("pooled", MaxPool2d(3, 1, 1), "relu0"),
            ("both", Concatenate(), ("relu_l", "relu_r", "pooled")), ("small", AvgPool2d(2)), ("relu_s", ReLU()),
            ("gap", GlobalAvgPool()), ("fc", Linear(3))]


GRAPHS = {"chain": chain, "branches": branches}
NODES = [(graph, name) for graph, nodes in GRAPHS.items() for name, *_ in nodes()]
SHAPE = (3, 13, 11)


def built(graph, ops=NUMPY, dtype="float64"):
    net = Network(GRAPHS[graph](), SHAPE, ops, seed=4, dtype=dtype)
    for i, (name, w) in enumerate(net.params.items()):
        if name.endswith("bias"):
            w[...] = 0.3 * np.random.default_rng(i).standard_normal(w.shape)
    return net


def images(N=2, dtype="float64", seed=0):
    return np.random.default_rng(seed).standard_normal((N, *SHAPE)).astype(dtype)


# ---- the definition, walked by hand ---------------------------------------------------------------------------------

def window_of(layer):
    return {"size": layer.size, "stride": layer.stride, "pad": layer.pad}


def walk_up(net, x):
    """Return {name: (inputs, output, switches or None)} of every node, from the loops over the definitions."""
    seen = {"input": (None, x, None)}
    for name, layer, sources in net.nodes.values():
        xs, switches = [seen[source][1] for source in sources], None
        a, p = xs[0], layer.params
        if isinstance(layer, Conv2d):
            y = definitions.conv2d(a, p["weight"], p["bias"], layer.stride, layer.pad, layer.groups)
        elif isinstance(layer, MaxPool2d):
            y, switches = definitions.max_pool2d(a, **window_of(layer))
        elif isinstance(layer, AvgPool2d):
            y = definitions.avg_pool2d(a, **window_of(layer))
        elif isinstance(layer, LocalResponseNorm):
            y = definitions.local_response_norm(a, layer.size, layer.alpha, layer.beta, layer.k)
        elif isinstance(layer, ReLU):
            y = np.where(a > 0, a, 0)
        elif isinstance(layer, Linear):
            y = np.einsum("nd,kd->nk", a, p["weight"]) + p["bias"]
        else:
            y = {Flatten: lambda a: a.reshape(len(a), -1), GlobalAvgPool: lambda a: a.mean(axis=(2, 3)),
                 Dropout: lambda a: a, Concatenate: lambda _, xs=xs: np.concatenate(xs, axis=1)}[type(layer)](a)
        seen[name] = (xs, y, switches)
    return seen


def walk_down(net, x, start, unit, rule):
    """Project by the definition (paper, sec. 2.1): one step a node, backwards; ways that meet add up."""
    seen, order = walk_up(net, x), list(net.nodes)
    r = np.zeros_like(seen[start][1])
    r[(slice(None), *unit)] = seen[start][1][(slice(None), *unit)] if rule == "deconvnet" else 1
    arriving = {start: r}
    for name in reversed(order[:order.index(start) + 1]):
        if name not in arriving:
            continue
        _, layer, sources = net.nodes[name]
        (a, *_), _, switches = seen[name]
        r = arriving.pop(name)
        if isinstance(layer, Conv2d):
            r = definitions.conv2d_input_grad(r, layer.params["weight"], a.shape, layer.stride, layer.pad, layer.groups)
        elif isinstance(layer, MaxPool2d):
            r = definitions.max_unpool2d(r, switches, a.shape)
        elif isinstance(layer, AvgPool2d):
            r = definitions.avg_pool2d_grad(r, a.shape, **window_of(layer))
        elif isinstance(layer, LocalResponseNorm) and rule == "gradient":
            r = definitions.local_response_norm_grad(r, a, layer.size, layer.alpha, layer.beta, layer.k)
        elif isinstance(layer, ReLU):
            r = definitions.relu_backward(r, a, rule)
        elif isinstance(layer, Linear):
            r = np.einsum("nk,kd->nd", r, layer.params["weight"])
        elif isinstance(layer, GlobalAvgPool):
            r = np.broadcast_to(r[:, :, None, None] / (a.shape[2] * a.shape[3]), a.shape)
        elif isinstance(layer, Flatten):
            r = r.reshape(a.shape)
        parts = np.split(r, np.cumsum([b.shape[1] for b in seen[name][0]])[:-1], axis=1) if len(sources) > 1 else [r]
        for source, part in zip(sources, parts):
            arriving[source] = arriving.get(source, 0) + part
    return arriving["input"]


def unit_of(net, layer):
    """Return some unit of a layer that is neither its first nor its last."""
    return tuple(size // 2 for size in net.shapes[layer])


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize(("graph", "layer"), NODES)
def test_every_rule_from_every_node_is_its_definition(host_ops, graph, layer, rule):
    net, x = built(graph, host_ops), images()
    unit = unit_of(net, layer)
    expected = walk_down(net, x, layer, unit, rule)
    found = project(net, x, layer, unit, rule)
    assert found.shape == x.shape
    assert found.dtype == x.dtype
    np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-12 * np.abs(expected).max())


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize(("graph", "layer"), NODES)
def test_so_is_the_projection_of_the_strongest_unit_which_is_not_dark(graph, layer, rule):
    net, x = built(graph), images(1)
    y = net.activations(x, layer)[layer]
    _, *unit = (int(u) for u in np.unravel_index(y.argmax(), y.shape))
    expected = walk_down(net, x, layer, unit, rule)
    assert np.abs(expected).max() > 1e-3
    np.testing.assert_allclose(project(net, x, layer, unit, rule), expected, rtol=1e-9, atol=1e-12 * np.abs(expected).max())


# ---- worked by hand -------------------------------------------------------------------------------------------------

def test_a_convolution_and_a_pool_worked_by_hand(host_ops):
    net = Network([("conv1", Conv2d(1, 2, stride=2)), ("relu1", ReLU()), ("pool1", MaxPool2d(2))], (1, 4, 4), host_ops,
                  dtype="float64")
    net.params["conv1.weight"][...] = [[[[1, -1], [2, 0]]]]
    x = np.array([[[[1.0, 2, 3, 4], [5, 6, 7, 8], [1, 0, 2, 1], [0, 3, 1, 1]]]])
    np.testing.assert_array_equal(net.activations(x, "conv1")["conv1"][0, 0], [[9, 13], [1, 3]])
    filter_there = np.zeros((4, 4))
    filter_there[:2, 2:] = [[1, -1], [2, 0]]                         # where the maximum came from
    np.testing.assert_array_equal(project(net, x, "pool1", (0, 0, 0), "deconvnet")[0, 0], 13 * filter_there)
    np.testing.assert_array_equal(project(net, x, "pool1", (0, 0, 0), "gradient")[0, 0], filter_there)
    np.testing.assert_array_equal(project(net, x, "pool1", (0, 0, 0), "guided")[0, 0], filter_there)


def test_the_three_rules_worked_by_hand(host_ops):
    """x = (3, -1) → z = (1, -4, 5) → h = (1, 0, 5) → y = 2·1 + 3·0 - 1·5 = -3."""
    net = Network([("flatten", Flatten()), ("fc1", Linear(3)), ("relu1", ReLU()), ("fc2", Linear(1))], (1, 1, 2), host_ops,
                  dtype="float64")
    net.params["fc1.weight"][...] = [[1, 2], [-1, 1], [2, 1]]
    net.params["fc2.weight"][...] = [[2, 3, -1]]
    x = np.array([[[[3.0, -1]]]])
    np.testing.assert_array_equal(net.scores(x), [[-3]])
    for rule, expected in {
        "gradient": [0, 3],          # (2, 3, -1) → z > 0: (2, 0, -1) → 2 (1, 2) - (2, 1)
        "deconvnet": [6, 3],         # -3 (2, 3, -1) = (-6, -9, 3) → r > 0: (0, 0, 3) → 3 (2, 1)
        "guided": [2, 4],            # (2, 3, -1) → both: (2, 0, 0) → 2 (1, 2)
    }.items():
        np.testing.assert_array_equal(project(net, x, "fc2", 0, rule)[0, 0, 0], expected)


def test_overlapping_windows_add(host_ops):
    """One bright pixel is the maximum of four windows; the deconvnet of a unit above all four adds what each brings."""
    net = Network([("pool1", MaxPool2d(3, 2, 1)), ("conv2", Conv2d(1, 2))], (1, 4, 4), host_ops, dtype="float64")
    net.params["conv2.weight"][...] = [[[[1, 2], [3, 4]]]]
    x = np.zeros((1, 1, 4, 4))
    x[0, 0, 1, 1] = 5
    expected = np.zeros((4, 4))
    expected[1, 1] = 1 + 2 + 3 + 4
    np.testing.assert_array_equal(project(net, x, "conv2", (0, 0, 0), "gradient")[0, 0], expected)
    np.testing.assert_array_equal(project(net, x, "conv2", (0, 0, 0), "deconvnet")[0, 0], 50 * expected)


# ---- what the rules share and where they part -----------------------------------------------------------------------

@pytest.mark.parametrize(("graph", "layer"), [("chain", "conv3"), ("chain", "relu1"), ("chain", "fc7"),
                                              ("branches", "both")])
def test_the_gradient_rule_is_the_derivative_of_the_unit_by_the_pixels(graph, layer):
    net, x = built(graph), images(1)
    y = net.activations(x, layer)[layer][0]
    unit = np.unravel_index(y.argmax(), y.shape)
    found = project(net, x, layer, tuple(int(u) for u in unit), "gradient")
    check = check_full(lambda: float(net.activations(x, layer)[layer][(0, *unit)]), x, found)
    assert check.error < 1e-6


def test_the_gradient_rule_is_what_backward_sends_down():
    """The class score's gradient by the input, once through the sweep of training."""
    net, x = built("chain"), images(3)
    scores, tape = net.forward(x)
    start = np.zeros_like(scores)
    start[:, 2] = 1
    below = net.sweep("fc7", start, lambda node, dy: node.layer.backward(dy, tape.caches[node.name])[0])
    np.testing.assert_array_equal(project(net, x, "fc7", 2, "gradient"), below)


def test_without_relu_there_is_one_rule(host_ops):
    """But for where they start: the deconvnet's projection is the gradient times the activation."""
    net = Network([("conv1", Conv2d(3, 3)), ("pool1", MaxPool2d(3, 2)), ("conv2", Conv2d(2, 2)), ("flatten", Flatten()),
                   ("fc", Linear(4))], SHAPE, host_ops, seed=3, dtype="float64")
    x = images()
    gradient = project(net, x, "fc", 1, "gradient")
    np.testing.assert_array_equal(project(net, x, "fc", 1, "guided"), gradient)
    y = net.scores(x)[:, 1]
    np.testing.assert_allclose(project(net, x, "fc", 1, "deconvnet"), y[:, None, None, None] * gradient, rtol=1e-12)


@pytest.mark.parametrize("rule", RULES)
def test_where_the_rules_start(rule):
    """The deconvnet from the unit's own activation (sec. 2.1), the others from one."""
    net = Network([("conv1", Conv2d(2, 1))], (1, 3, 3), NUMPY, dtype="float64")
    net.params["conv1.weight"][...] = [[[[2.0]]], [[[-1.0]]]]
    net.params["conv1.bias"][...] = [1, 0]
    x = np.arange(9.0).reshape(1, 1, 3, 3)
    for channel, weight, value in ((0, 2, 2 * 5 + 1), (1, -1, -5)):
        found = project(net, x, "conv1", (channel, 1, 2), rule)
        assert found[0, 0, 1, 2] == weight * (value if rule == "deconvnet" else 1)
        assert np.count_nonzero(found) == 1


def test_only_the_gradient_goes_through_the_normalization():
    net = Network([("norm", LocalResponseNorm(3, alpha=2.0))], (3, 2, 2), NUMPY, dtype="float64")
    x = images(1)[:, :, :2, :2]
    y = net.scores(x)
    for rule in ("deconvnet", "guided"):
        expected = np.zeros_like(x)
        expected[0, 1, 0, 1] = y[0, 1, 0, 1] if rule == "deconvnet" else 1
        np.testing.assert_array_equal(project(net, x, "norm", (1, 0, 1), rule), expected)
    assert np.count_nonzero(project(net, x, "norm", (1, 0, 1), "gradient")) == 3


def test_before_and_after_rectification():
    """Of a unit that is off, relu1 has nothing to show; conv1 has its negative activation."""
    net, x = built("chain"), images(1)
    y = net.activations(x, "conv1")["conv1"][0]
    unit = tuple(int(u) for u in np.unravel_index(y.argmin(), y.shape))
    assert y[unit] < 0
    for rule in RULES:
        assert not project(net, x, "relu1", unit, rule).any()
        assert project(net, x, "conv1", unit, rule).any()
    on = tuple(int(u) for u in np.unravel_index(y.argmax(), y.shape))
    for rule in RULES:
        np.testing.assert_array_equal(project(net, x, "relu1", on, rule), project(net, x, "conv1", on, rule))


# ---- units and tapes ------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize(("graph", "layer"), NODES)
def test_a_tape_gives_the_same_bits(host_ops, graph, layer, rule):
    net, x = built(graph, host_ops, "float32"), images(2, "float32")
    unit = unit_of(net, layer)
    _, tape = net.forward(x)
    fresh = project(net, x, layer, unit, rule)
    for _ in range(2):                                               # and is not used up
        assert project(net, x, layer, unit, rule, tape).tobytes() == fresh.tobytes()
    assert project(net, x, layer, unit, rule, net.tape_to(layer, x)).tobytes() == fresh.tobytes()


def test_a_tape_of_training_projects_through_its_dropout():
    net, x = built("chain"), images(2)
    scores, tape = net.forward(x, train=True)
    found = project(net, x, "fc7", 1, "deconvnet", tape)
    assert np.abs(found - project(net, x, "fc7", 1, "deconvnet")).max() > 1e-9
    dropped = tape.caches["drop6"]
    weight = net.params["fc7.weight"][1]
    r = scores[:, 1:2] * weight * dropped
    expected = net.project("relu6", r, tape, "deconvnet")
    np.testing.assert_allclose(found, expected, rtol=1e-12)


def test_a_tape_stops_at_its_node():
    net, x = built("chain"), images()
    tape = net.tape_to("norm1", x)
    assert set(tape.caches) == {"conv1", "relu1", "pool1", "norm1"}
    with pytest.raises(NodeError, match="no layer 'conv9'"):
        net.tape_to("conv9", x)


def test_images_are_projected_separately(host_ops):
    net, x = built("chain", host_ops), images(3)
    for rule in RULES:
        together = project(net, x, "conv3", (1, 2, 1), rule)
        for i in range(3):
            alone = project(net, x[i:i + 1], "conv3", (1, 2, 1), rule)
            np.testing.assert_allclose(together[i:i + 1], alone, rtol=1e-12, atol=1e-15)


def test_a_unit_for_each_image():
    net, x = built("chain"), images(3)
    channels, rows, cols = [2, 0, 3], np.array([1, 0, 2]), [0, 1, 1]
    found = project(net, x, "conv3", (np.array(channels), rows, np.array(cols)), "guided")
    features = project(net, x, "fc6", np.array([3, 0, 8]), "guided")
    mixed = project(net, x, "conv3", (1, rows, 0), "guided")
    for i in range(3):
        one = x[i:i + 1]
        unit = (channels[i], int(rows[i]), cols[i])
        for together, layer, alone in ((found, "conv3", unit), (features, "fc6", [3, 0, 8][i]),
                                       (mixed, "conv3", (1, int(rows[i]), 0))):
            expected = project(net, one, layer, alone, "guided")
            np.testing.assert_allclose(together[i:i + 1], expected, rtol=1e-12, atol=1e-15)


@pytest.mark.parametrize("layer", ["conv1", "relu1", "pool1", "norm2", "conv3"])
def test_a_map_s_strongest_unit_is_found_in_each_image(layer):
    net, x = built("chain"), images(4)
    y = net.activations(x, layer)[layer]
    channel = int(y.max(axis=(0, 2, 3)).argmax())
    places = [np.unravel_index(each[channel].argmax(), each[channel].shape) for each in y]
    assert len(set(places)) > 1
    rows, cols = (np.array(each) for each in zip(*places))
    np.testing.assert_array_equal(project(net, x, layer, (channel,)), project(net, x, layer, (channel, rows, cols)))
    np.testing.assert_array_equal(project(net, x, layer, channel), project(net, x, layer, (channel,)))


def test_no_images():
    net = built("chain")
    assert project(net, images(0), "conv3", (1,)).shape == (0, *SHAPE)
    assert project(net, images(0), "fc7", 1, "gradient").shape == (0, *SHAPE)


@pytest.mark.parametrize(("layer", "unit", "rule", "kind", "message"), [
    ("conv9", (0, 0, 0), "guided", NodeError, "network has no layer 'conv9'; it has conv1, relu1, pool1, norm1, conv2"),
    ("conv3", (0, 0, 0), "deconv", NodeError, "the rule 'deconv' does not exist; use one of gradient, deconvnet, guided"),
    ("conv3", (4, 0, 0), "guided", NodeError,
     "conv3 has no channel 4: its output is 4 × 4 × 3, so channels run from 0 to 3"),
    ("conv3", (0, 4, 0), "guided", NodeError, "conv3 has no row 4: its output is 4 × 4 × 3, so rows run from 0 to 3"),
    ("conv3", (0, 0, -1), "guided", NodeError, "conv3 has no column -1: .* so columns run from 0 to 2"),
    ("conv3", (4,), "guided", NodeError, "conv3 has no channel 4"),
    ("fc7", 4, "guided", NodeError, "fc7 has no feature 4: its output is 4, so features run from 0 to 3"),
    ("conv3", (0, 0), "guided", NodeError, r"a unit of conv3 is \(channel,\) or \(channel, row, col\), got 2 numbers"),
    ("fc7", (0, 0, 0), "guided", NodeError, r"a unit of fc7 is \(feature,\), got 3 numbers"),
    ("conv3", (0.5, 0, 0), "guided", NodeError, "conv3: the channel must be an int, or 2 ints for 2 images, got float64"),
    ("conv3", (0, [1, 2, 3], 0), "guided", NodeError, r"conv3: the row must be an int, or 2 ints for 2 images"),
])
def test_what_does_not_exist(layer, unit, rule, kind, message):
    with pytest.raises(kind, match=message) as error:
        project(built("chain"), images(), layer, unit, rule)
    assert "\n" not in str(error.value)


def test_a_tape_of_other_images():
    net = built("chain")
    _, tape = net.forward(images(3))
    with pytest.raises(ShapeError, match=r"the tape is of a pass over x of shape \(3, 3, 13, 11\), got x of shape \(2, 3,"):
        project(net, images(2), "conv3", (0,), tape=tape)


# ---- the strongest units of a data set ------------------------------------------------------------------------------

def test_strongest_units():
    y = np.zeros((2, 2, 2, 3))
    y[0, 0, 1, 2], y[0, 1, 0, 1], y[1, 0] = 5, 7, -1
    y[1, 0, 1, 0] = y[1, 0, 0, 2] = 4                                # a tie: the first in row-major order
    values, rows, cols = strongest_units(y)
    np.testing.assert_array_equal(values, [[5, 7], [4, 0]])
    np.testing.assert_array_equal(rows, [[1, 0], [0, 0]])
    np.testing.assert_array_equal(cols, [[2, 1], [2, 0]])
    features, rows, cols = strongest_units(np.array([[3.0, -2]]))
    np.testing.assert_array_equal(features, [[3, -2]])
    assert not rows.any()
    assert not cols.any()
    assert strongest_units(np.zeros((0, 4, 2, 2)))[0].shape == (0, 4)


def viewer(ops, order="RGB", dtype="float32"):
    """A small net of whole numbers, so that activations tie; its preprocessing leaves 16 × 16 pictures as they are."""
    net = Network([("conv1", Conv2d(3, 3, stride=2)), ("relu1", ReLU()), ("pool1", MaxPool2d(3, 2)), ("conv2", Conv2d(4, 2)),
                   ("relu2", ReLU()), ("flatten", Flatten()), ("fc", Linear(5))], (3, 16, 16), ops, dtype=dtype,
                  preprocessing=Preprocessing(16, 16, [100, 110, 120], order=order))
    for i, (name, w) in enumerate(net.params.items()):
        w[...] = np.random.default_rng(i).integers(-2, 3, w.shape) if name.endswith("weight") else 0
    return net


def pictures(count):
    return np.random.default_rng(7).integers(98, 103, (count, 16, 16, 3)).astype(np.uint8)


def batches(net, album, size, indices=None):
    indices = np.arange(len(album)) if indices is None else indices
    for start in range(0, len(album), size):
        yield net.prepare(album[start:start + size]), indices[start:start + size]


LAYERS = ["relu1", "conv2", "relu2", "fc"]


@pytest.mark.parametrize(("count", "top"), [(23, 5), (4, 9)])
def test_the_strongest_against_brute_force(host_ops, count, top):
    net, album = viewer(host_ops), pictures(count)
    album[3] = album[1]                                              # the same picture twice: ties everywhere
    acts = net.activations(net.prepare(album), LAYERS)
    for size in (1, 4, 23):
        found = find_strongest(net, batches(net, album, size), LAYERS, top)
        assert list(found) == LAYERS
        for layer, result in found.items():
            y = acts[layer].reshape(*acts[layer].shape[:2], -1)
            width = acts[layer].shape[-1] if acts[layer].ndim == 4 else 1
            assert result.layer == layer
            for channel in range(y.shape[1]):
                ranked = sorted((-y[i, channel].max(), i) for i in range(count))[:top]
                expected = [(i, y[i, channel].argmax() // width, y[i, channel].argmax() % width, -value)
                            for value, i in ranked] + [(-1, 0, 0, 0)] * (top - count)
                assert list(zip(result.images[channel], result.rows[channel], result.cols[channel],
                                result.values[channel])) == expected


def test_the_indices_are_the_data_set_s_own():
    net, album = viewer(NUMPY), pictures(6)
    found = find_strongest(net, batches(net, album, 2, np.array([10, 20, 30, 40, 50, 60])), ["conv2"], 2)["conv2"]
    plain = find_strongest(net, batches(net, album, 2), ["conv2"], 2)["conv2"]
    np.testing.assert_array_equal(found.images, 10 * (plain.images + 1))


def test_no_image_at_all():
    with pytest.raises(DataError, match="there is no image"):
        find_strongest(viewer(NUMPY), iter([]), ["conv2"])


@pytest.mark.parametrize("order", ["RGB", "BGR"])
@pytest.mark.parametrize("layer", ["relu1", "relu2", "fc"])
@pytest.mark.parametrize("rule", ["deconvnet", "gradient"])
def test_patches_and_projections(host_ops, layer, order, rule):
    net, album = viewer(host_ops, order), pictures(7)
    found = find_strongest(net, batches(net, album, 7), [layer], top=9)[layer]
    shown = project_strongest(net, found, album.__getitem__, rule=rule)
    C, size = net.shapes[layer][0], min(net.receptive_field(layer).size[0], 16)
    assert shown.patches.shape == (C, 9, size, size, 3)
    assert shown.projections.shape == (C, 9, 3, size, size)
    assert shown.inside.shape == (C, 9, size, size)
    assert shown.rule == rule
    for channel in range(C):
        for k in range(9):
            patch, projection, inside = (each[channel, k] for each in (shown.patches, shown.projections, shown.inside))
            if found.images[channel, k] < 0:
                assert k >= 7
                assert (patch == 128).all()
                assert not projection.any()
                assert not inside.any()
                continue
            picture = album[found.images[channel, k]]
            row, col = int(found.rows[channel, k]), int(found.cols[channel, k])
            top, left, bottom, right = net.receptive_field(layer).box(row, col)
            whole = project(net, net.prepare([picture]), layer,
                            (channel, row, col) if len(net.shapes[layer]) == 3 else channel, rule)[0]
            whole = whole[::-1] if order == "BGR" else whole
            if rule == "deconvnet" and found.values[channel, k] <= 0:
                whole = np.zeros_like(whole)                     # a unit that did not fire shows nothing
            np.testing.assert_array_equal(patch, picture[top:bottom, left:right])
            np.testing.assert_allclose(projection, whole[:, top:bottom, left:right], rtol=1e-5, atol=1e-4)
            assert inside.all()
            outside = whole.copy()
            outside[:, top:bottom, left:right] = 0
            assert not outside.any()


def test_a_field_that_leaves_the_image_is_cut_there(host_ops):
    net = Network([("conv1", Conv2d(2, 5, stride=3, pad=2)), ("relu1", ReLU())], (3, 16, 16), host_ops,
                  preprocessing=Preprocessing(16, 16, [100, 100, 100]))
    net.params["conv1.bias"][...] = 100
    album = pictures(3)
    found = find_strongest(net, batches(net, album, 3), ["relu1"], top=3)["relu1"]
    found.rows[0], found.cols[0] = [0, 2, 5], [0, 5, 1]              # a corner, an edge, another
    shown = project_strongest(net, found, album.__getitem__, maps=[0])
    assert shown.patches.shape == (1, 3, 5, 5, 3)
    for k in range(3):
        top, left = 3 * int(found.rows[0, k]) - 2, 3 * int(found.cols[0, k]) - 2
        for i, j in np.ndindex(5, 5):
            is_pixel = 0 <= top + i < 16 and 0 <= left + j < 16
            assert shown.inside[0, k, i, j] == is_pixel
            expected = album[found.images[0, k], top + i, left + j] if is_pixel else [128, 128, 128]
            np.testing.assert_array_equal(shown.patches[0, k, i, j], expected)
            assert shown.projections[0, k, :, i, j].any() == is_pixel


def test_some_maps_in_small_batches_are_the_same_as_all_at_once(host_ops):
    net, album = viewer(host_ops), pictures(12)
    found = find_strongest(net, batches(net, album, 5), ["relu2"], top=4)["relu2"]
    every = project_strongest(net, found, album.__getitem__)
    asked, parts = [], []
    some = project_strongest(net, found, lambda i: asked.append(i) or album[i], maps=[3, 1], batch=3,
                             progress=lambda work: parts.extend(map(len, work)) or iter(work))
    np.testing.assert_array_equal(some.maps, [3, 1])
    np.testing.assert_array_equal(some.patches, every.patches[[3, 1]])
    np.testing.assert_allclose(some.projections, every.projections[[3, 1]], rtol=1e-5, atol=1e-4)
    assert parts == [3, 3, 2]
    assert asked == sorted(asked)                                    # each picture is read where it is needed, in order


def test_strongest_saves_itself(tmp_path):
    net, album = viewer(NUMPY), pictures(3)
    found = find_strongest(net, batches(net, album, 2), ["relu2"], top=4)["relu2"]
    shown = project_strongest(net, found, album.__getitem__)
    shown.save(tmp_path / "new")
    with np.load(tmp_path / "new" / "strongest_relu2.npz") as file:
        for name in ("images", "rows", "cols", "values", "maps", "patches", "projections", "inside"):
            np.testing.assert_array_equal(file[name], getattr(shown, name))
    about = json.loads((tmp_path / "new" / "strongest_relu2.json").read_text())
    assert (about["layer"], about["rule"]) == ("relu2", "deconvnet")
    assert [len(units) for units in about["maps"]] == [3] * 4
    assert about["maps"][1][0] == {"image": int(found.images[1, 0]), "row": int(found.rows[1, 0]),
                                   "col": int(found.cols[1, 0]), "value": float(found.values[1, 0])}


# ---- filters --------------------------------------------------------------------------------------------------------

def test_colour_filters():
    net = viewer(NUMPY)
    np.testing.assert_array_equal(colour_filters(net), net.params["conv1.weight"])
    np.testing.assert_array_equal(colour_filters(net, "conv1"), net.params["conv1.weight"])
    np.testing.assert_array_equal(colour_filters(viewer(NUMPY, "BGR")), net.params["conv1.weight"][:, ::-1])
    with pytest.raises(NodeError, match="fc has no filters over three colours; conv1 has"):
        colour_filters(net, "fc")
    grey = Network([("conv1", Conv2d(2, 3)), ("conv2", Conv2d(3, 1)), ("conv3", Conv2d(1, 1))], (1, 5, 5), NUMPY)
    with pytest.raises(NodeError, match="conv1 has no filters over three colours"):
        colour_filters(grey)
    with pytest.raises(NodeError, match="no convolution"):
        colour_filters(Network([("flatten", Flatten()), ("fc", Linear(2))], (3, 5, 5), NUMPY))


def test_projection_through_a_whole_model(host_ops):
    """The face as it is used: an image, a layer of the paper's names, a map."""
    net = models.zfnet_mini(ops=host_ops, conv=(8, 8, 8, 8, 8), fc=(16,))
    x = net.prepare([np.random.default_rng(0).integers(0, 256, (80, 70, 3), dtype=np.uint8)])
    shown = project(net, x, layer="conv5", unit=(3,), rule="deconvnet")
    assert shown.shape == (1, 3, 64, 64)
    assert shown.any()


def test_a_tape_of_other_images_is_refused():
    net = viewer(NUMPY)
    x = net.prepare(pictures(2))
    _, tape = net.forward(x)
    project(net, x.copy(), "conv2", (0,), tape=tape)
    with pytest.raises(ShapeError, match="other images"):
        project(net, x[::-1].copy(), "conv2", (0,), tape=tape)

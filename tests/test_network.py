"""The graph of named nodes: its table, its sweeps, what the tape keeps, and what it refuses."""

import math

import numpy as np
import pytest

from zfnumpy import get_ops, models
from zfnumpy.errors import BackendError, DTypeError, NodeError, ShapeError
from zfnumpy.gradcheck import check_full, check_projection
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
from zfnumpy.loss import softmax_cross_entropy
from zfnumpy.network import Network

NUMPY = get_ops("numpy")


def fire():
    """A Fire module: squeeze, expand twice, join."""
    return [("squeeze", Conv2d(3, 1)), ("relu_s", ReLU()), ("left", Conv2d(4, 1), "relu_s"), ("relu_l", ReLU()),
            ("right", Conv2d(5, 3, pad=1), "relu_s"), ("relu_r", ReLU()), ("fire", Concatenate(), ("relu_l", "relu_r")),
            ("gap", GlobalAvgPool()), ("fc", Linear(3))]


def inception():
    """Four ways from one map, one of them a pool, one two convolutions deep; and a shortcut from the image."""
    return [("stem", Conv2d(4, 3, stride=2, pad=1)), ("relu0", ReLU()), ("norm0", LocalResponseNorm(3, alpha=0.5)),
            ("one", Conv2d(2, 1), "norm0"), ("relu_one", ReLU()),
            ("three_in", Conv2d(3, 1), "norm0"), ("relu_in", ReLU()), ("three", Conv2d(4, 3, pad=1)), ("relu_three", ReLU()),
            ("pool", MaxPool2d(3, 1, 1), "norm0"), ("pooled", Conv2d(2, 1)),
            ("thumbnail", AvgPool2d(2), "input"),
            ("mixed", Concatenate(), ["relu_one", "relu_three", "pooled", "thumbnail"]),
            ("maxed", MaxPool2d(2)), ("flat", Flatten()), ("drop", Dropout(0.3)), ("fc", Linear(3))]


def chain():
    return [("conv1", Conv2d(4, 3, stride=2, pad=1)), ("relu1", ReLU()), ("pool1", MaxPool2d(3, 2, 1)),
            ("norm1", LocalResponseNorm(3, alpha=0.5)), ("conv2", Conv2d(5, 3, pad=1)), ("relu2", ReLU()),
            ("flatten", Flatten()), ("fc6", Linear(7)), ("relu6", ReLU()), ("drop6", Dropout(0.5)), ("fc7", Linear(3))]


def twice():
    """Nodes whose output is read more than once: the image, a ReLU before a pool, and one node twice by one reader."""
    return [("conv1", Conv2d(3, 3, pad=1)), ("relu1", ReLU()), ("pool1", MaxPool2d(2)), ("avg1", AvgPool2d(2), "relu1"),
            ("both", Concatenate(), ("pool1", "pool1", "avg1")), ("conv2", Conv2d(4, 3)), ("flatten", Flatten()),
            ("fc", Linear(3))]


def pooled_early():
    """ReLUs where a mask cannot move up: after a pool, after a ReLU, before the scores."""
    return [("pool0", MaxPool2d(2)), ("relu0", ReLU()), ("conv1", Conv2d(3, 3)), ("pool1", MaxPool2d(2)), ("relu1", ReLU()),
            ("relu1b", ReLU()), ("flatten", Flatten()), ("fc", Linear(3)), ("relu", ReLU())]


GRAPHS = {"chain": chain, "fire": fire, "inception": inception, "twice": twice, "pooled early": pooled_early}
graphs = pytest.mark.parametrize("graph", GRAPHS.values(), ids=GRAPHS)
SHAPE = (2, 12, 12)


def built(graph, ops=NUMPY, dtype="float64", seed=1):
    """Build a graph with biases that are not zero."""
    net = Network(graph(), SHAPE, ops, seed=seed, dtype=dtype)
    for i, (name, w) in enumerate(net.params.items()):
        if name.endswith("bias"):
            w[...] = 0.2 * np.random.default_rng(i).standard_normal(w.shape)
    return net


def images(N=2, dtype="float64", seed=0):
    return np.random.default_rng(seed).standard_normal((N, *SHAPE)).astype(dtype)


# ---- the paper's network --------------------------------------------------------------------------------------------

@pytest.fixture(scope="module")
def zfnet():
    return models.zfnet(ops=NUMPY)


def test_zfnet_s_shapes_are_the_paper_s(zfnet):
    """Fig. 3, line by line."""
    table = {"input": (3, 224, 224), "conv1": (96, 110, 110), "pool1": (96, 55, 55), "norm1": (96, 55, 55),
             "conv2": (256, 26, 26), "pool2": (256, 13, 13), "norm2": (256, 13, 13), "conv3": (384, 13, 13),
             "conv4": (384, 13, 13), "conv5": (256, 13, 13), "pool5": (256, 6, 6), "flatten": (9216,), "fc6": (4096,),
             "fc7": (4096,), "fc8": (1000,)}
    assert {name: zfnet.shapes[name] for name in table} == table
    assert list(zfnet.nodes) == ["conv1", "relu1", "pool1", "norm1", "conv2", "relu2", "pool2", "norm2", "conv3", "relu3",
                                 "conv4", "relu4", "conv5", "relu5", "pool5", "flatten", "fc6", "relu6", "drop6", "fc7",
                                 "relu7", "drop7", "fc8"]


def test_zfnet_s_parameters_and_multiplications(zfnet):
    weights = {"conv1": (96, 3, 7, 7), "conv2": (256, 96, 5, 5), "conv3": (384, 256, 3, 3), "conv4": (384, 384, 3, 3),
               "conv5": (256, 384, 3, 3), "fc6": (4096, 9216), "fc7": (4096, 4096), "fc8": (1000, 4096)}
    assert {name: w.shape for name, w in zfnet.params.items()} == {
        f"{name}.{key}": value for name, shape in weights.items() for key, value in (("weight", shape), ("bias", shape[:1]))}
    # 14,208 + 614,656 + 885,120 + 1,327,488 + 884,992 in the convolutions, 37,752,832 + 16,781,312 + 4,097,000 above
    assert sum(w.size for w in zfnet.params.values()) == 62_357_608
    products = sum(math.prod(shape) * math.prod(zfnet.shapes[name][1:]) for name, shape in weights.items())
    assert products == pytest.approx(1.17e9, rel=0.005)


def test_zfnet_s_receptive_fields(zfnet):
    """By hand: size grows by (kernel - 1) × jump, the jump by the stride."""
    fields = {"conv1": (7, 2), "pool1": (11, 4), "conv2": (27, 8), "pool2": (43, 16), "conv3": (75, 16), "conv5": (139, 16),
              "relu5": (139, 16), "pool5": (171, 32)}
    for name, (size, jump) in fields.items():
        field = zfnet.receptive_field(name)
        assert (field.size, field.jump) == ((size, size), (jump, jump)), name
    assert zfnet.receptive_field("fc6").box() == (0, 0, 224, 224)
    assert zfnet.receptive_field("conv1").box(0, 3) == (-1, 5, 6, 12)


def test_the_table(zfnet):
    lines = str(zfnet).splitlines()
    assert lines[0] == "zfnet: 62,357,608 parameters, float32, on numpy"
    assert len(lines) == 3 + len(zfnet.nodes)
    rows = {line.split()[0]: line for line in lines[1:]}
    assert "Conv2d(filters=96, size=7, stride=2, pad=1, groups=1)" in rows["conv1"]
    assert "96 × 110 × 110" in rows["conv1"]
    assert "14,208" in rows["conv1"]
    assert rows["conv1"].endswith("7 × 7")
    assert rows["fc8"].endswith("224 × 224 (all)")
    assert "of " not in rows["conv2"]
    assert not any(line != line.rstrip() for line in lines)
    assert "of relu_l, relu_r" in str(built(fire))


# ---- forward --------------------------------------------------------------------------------------------------------

@graphs
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_what_runs_together_gives_the_same_bits(host_ops, graph, dtype):
    """Asking for every node by name runs each by itself; a forward pass fuses what it can."""
    net, x = built(graph, host_ops, dtype), images(3, dtype)
    apart = net.activations(x, list(net.nodes))
    scores, tape = net.forward(x)
    assert scores.dtype == dtype
    assert scores.tobytes() == apart[net.output].tobytes() == net.scores(x).tobytes()
    for name in net.nodes:
        assert net.value(name, tape).tobytes() == apart[name].tobytes(), name
        assert net.activations(x, name)[name].tobytes() == apart[name].tobytes(), name
        assert apart[name].shape == (3, *net.shapes[name])
    np.testing.assert_array_equal(net.value("input", tape), x)


@graphs
def test_every_node_is_its_layer_after_its_inputs(graph):
    """The loop over the nodes, once more and by itself."""
    net, x = built(graph), images()
    outputs = {"input": x}
    for name, layer, inputs in net.nodes.values():
        outputs[name] = layer.forward(*(outputs[i] for i in inputs))[0]
    for name, y in net.activations(x, list(net.nodes)).items():
        np.testing.assert_array_equal(y, outputs[name], err_msg=name)


def test_a_convolution_is_asked_for_before_its_relu():
    net, x = built(chain), images()
    acts = net.activations(x, ["relu1", "conv1", "relu1"])
    assert list(acts) == ["relu1", "conv1"]
    assert (acts["conv1"] < 0).any()
    np.testing.assert_array_equal(acts["relu1"], np.maximum(acts["conv1"], 0))


@graphs
def test_empty_batches_and_single_images(host_ops, graph):
    net = built(graph, host_ops)
    scores, tape = net.forward(images(0))
    assert scores.shape == (0, 3)
    for name, grad in net.backward(scores, tape).items():
        np.testing.assert_array_equal(grad, np.zeros_like(net.params[name]))
    x = images(4)
    np.testing.assert_allclose(np.concatenate([net.scores(x[i:i + 1]) for i in range(4)]), net.scores(x), rtol=1e-12)


def test_probabilities():
    net, x = built(chain), images(3)
    p = net.probabilities(x)
    np.testing.assert_allclose(p.sum(axis=1), 1)
    np.testing.assert_allclose(p, np.exp(net.scores(x)) / np.exp(net.scores(x)).sum(axis=1, keepdims=True))


def test_inputs_are_never_changed(host_ops):
    net, x = built(inception, host_ops), images()
    before = x.copy()
    scores, tape = net.forward(x, train=True)
    dscores = np.ones_like(scores)
    net.backward(dscores, tape)
    net.project("mixed", np.ones((2, 11, 6, 6)), tape, "guided")
    np.testing.assert_array_equal(x, before)
    np.testing.assert_array_equal(dscores, 1)


def test_a_network_without_flatten_takes_other_sizes():
    net = built(fire)
    x = np.random.default_rng(0).standard_normal((2, 2, 9, 17))
    scores, tape = net.forward(x)
    assert scores.shape == (2, 3)
    assert set(net.backward(scores, tape)) == set(net.params)


# ---- the tape -------------------------------------------------------------------------------------------------------

def arrays_of(tape):
    """Return {id: array} of all arrays that a tape holds on to."""
    held = list(tape.values.values())
    for cache in tape.caches.values():
        held += cache if isinstance(cache, tuple) else [cache]
    return {id(a): a for a in held if isinstance(a, np.ndarray)}


@pytest.mark.parametrize("train", [False, True])
def test_the_tape_is_lean(train):
    net = models.zfnet_mini(5, NUMPY, conv=(6, 7, 8, 9, 10), fc=(12, 11))
    _, tape = net.forward(np.ones((2, 3, 64, 64), np.float32), train=train)
    assert set(tape.values) == {"input", "pool1", "norm1", "pool2", "norm2", "relu3", "relu4", "pool5", "flatten",
                                "relu6", "drop6", "relu7", "drop7"}
    assert set(tape.caches) == set(net.nodes)
    assert tape.batch == 2
    shapes = {a.shape for a in arrays_of(tape).values()}
    assert (2, *net.shapes["relu1"]) not in shapes                   # 6 × 32 × 32: four times what pool1 takes
    assert (2, *net.shapes["relu2"]) not in shapes
    assert (2, *net.shapes["pool1"]) in shapes
    maps = {name: 2 * math.prod(net.shapes[name]) for name in net.shapes}
    floats = sum(a.size for a in arrays_of(tape).values() if a.dtype == np.float32 and a.base is None)
    switches = sum(a.size for a in arrays_of(tape).values() if a.dtype == np.int32)
    assert switches == maps["pool1"] + maps["pool2"] + maps["pool5"]
    dropout = 2 * (maps["drop6"] + maps["drop7"]) if train else 0    # the mask and the output
    assert floats <= sum(maps[name] for name in ("input", "pool1", "norm1", "pool2", "norm2", "relu3", "relu4", "pool5",
                                                 "relu6", "relu7")) + dropout


def test_a_relu_that_others_read_too_is_kept():
    """The mask moves up to a pool only where the pool is the ReLU's only reader."""
    _, tape = built(twice).forward(images())
    assert "relu1" in tape.values
    assert tape.caches["relu1"] is tape.values["relu1"]
    assert tape.caches["pool1"][2] is None


def test_value_in_training_replays_the_same_dropout():
    net, x = built(chain), images(3)
    scores, tape = net.forward(x, train=True)
    drop = net.value("drop6", tape)
    assert (drop == 0).any()
    np.testing.assert_array_equal(net.value("fc7", tape), scores)
    assert (net.forward(x, train=True)[0] != scores).any()


# ---- backward -------------------------------------------------------------------------------------------------------

@graphs
@pytest.mark.parametrize("train", [False, True])
def test_every_gradient_of_the_graph(host_ops, graph, train):
    net, x, labels = built(graph, host_ops), images(3), np.array([0, 2, 1])
    state = net.rng.bit_generator.state

    def forward():
        net.rng.bit_generator.state = state                          # the same dropout each time
        return net.forward(x, train=train)

    scores, tape = forward()
    grads = net.backward(softmax_cross_entropy(scores, labels)[1], tape)
    assert list(grads) == list(net.params)
    rng = np.random.default_rng(0)
    for name, w in net.params.items():
        check = check_projection(lambda: softmax_cross_entropy(forward()[0], labels)[0], w, grads[name], rng, 3, 1e-5)
        assert np.abs(grads[name]).max() > 0, name
        assert check.error < 1e-6, (name, check)


def test_a_small_network_entry_by_entry():
    net = Network([("conv1", Conv2d(2, 3, stride=2)), ("relu1", ReLU()), ("pool1", MaxPool2d(2, 1)), ("flatten", Flatten()),
                   ("fc", Linear(3))], (1, 7, 7), NUMPY, seed=2, dtype="float64")
    x = np.random.default_rng(0).standard_normal((2, 1, 7, 7))
    labels = np.array([2, 0])
    scores, tape = net.forward(x)
    for name, grad in net.backward(softmax_cross_entropy(scores, labels)[1], tape).items():
        check = check_full(lambda: softmax_cross_entropy(net.scores(x), labels)[0], net.params[name], grad)
        assert check.error < 1e-6, (name, check)


@graphs
def test_freezing(graph):
    """Frozen nodes get no gradient, the others get the same ones, and nothing is computed below the last that trains."""
    net, x = built(graph), images()
    scores, tape = net.forward(x)
    dscores, having = np.ones_like(scores), [name for name, node in net.nodes.items() if node.layer.params]
    full = net.backward(dscores, tape)
    for frozen in ([having[0]], having[:-1], having[1:], having):
        net.freeze(frozen)
        grads = net.backward(dscores, tape)
        assert {name.rpartition(".")[0] for name in grads} == set(having) - set(frozen)
        for name, grad in grads.items():
            np.testing.assert_array_equal(grad, full[name])
    net.freeze(having[0])
    assert net.frozen == {having[0]}
    net.freeze([])
    assert set(net.backward(dscores, tape)) == set(full)


def test_nothing_is_computed_below_the_lowest_node_that_trains(monkeypatch):
    net, x = built(chain), images()
    scores, tape = net.forward(x)
    net.freeze(["conv1", "conv2"])
    called = []
    for name, node in net.nodes.items():
        monkeypatch.setattr(node.layer, "backward", lambda *args, name=name, real=node.layer.backward, **kwargs:
                            called.append((name, kwargs["need_dx"])) or real(*args, **kwargs))
    net.backward(np.ones_like(scores), tape)
    assert called == [("fc7", True), ("drop6", True), ("relu6", True), ("fc6", False)]
    called.clear()
    net.freeze([])
    net.backward(np.ones_like(scores), tape)
    rest = list(net.nodes)[3:]                                       # conv1, relu1 and pool1 go in one step
    assert [name for name, _ in called] == list(reversed(rest))
    net._straight = {}
    called.clear()
    net.backward(np.ones_like(scores), tape)
    assert [name for name, _ in called] == list(reversed(net.nodes))
    assert called[-1] == ("conv1", False)                            # no gradient of the pixels is asked for


def test_a_first_convolution_below_a_pool_has_the_gradient_of_the_unpooled_map():
    net, x = built(chain), images()
    assert net._straight == {"pool1": "conv1"}
    scores, tape = net.forward(x)
    dscores = np.random.default_rng(4).standard_normal(scores.shape)
    straight = net.backward(dscores, tape)
    net._straight = {}
    for name, grad in net.backward(dscores, tape).items():
        np.testing.assert_allclose(straight[name], grad, rtol=1e-9, atol=1e-12, err_msg=name)
    for frozen in (["conv1"], ["conv2", "fc6", "fc7"]):
        net = built(chain)
        scores, tape = net.forward(x)
        net.freeze([name for name in frozen if name in net.nodes])
        assert ("conv1.weight" in net.backward(np.ones_like(scores), tape)) is ("conv1" not in frozen)


def test_a_tape_that_is_used_up_holds_nothing_any_more():
    net, x = built(chain), images()
    scores, tape = net.forward(x)
    kept = net.backward(np.ones_like(scores), tape)
    again = net.backward(np.ones_like(scores), tape, keep_tape=False)
    for name, grad in kept.items():
        np.testing.assert_array_equal(again[name], grad)
    assert set(tape.values) == {"input"}
    assert not [name for name in net.nodes if name in tape.caches and net.nodes[name].layer.params and name != "conv1"]


def test_a_sweep_adds_what_arrives_by_several_ways():
    net, x = built(twice), images()
    _, tape = net.forward(x)
    arrived = {}

    def step(node, r):
        arrived[node.name] = r
        return node.layer.project(r, tape.caches[node.name], "gradient")

    r = np.random.default_rng(0).standard_normal((2, 9, 6, 6))
    net.sweep("both", r, step)
    np.testing.assert_allclose(arrived["pool1"], r[:, :3] + r[:, 3:6])
    pool, avg = net.nodes["pool1"].layer, net.nodes["avg1"].layer
    expected = pool.backward(arrived["pool1"], tape.caches["pool1"])[0] + avg.backward(r[:, 6:], tape.caches["avg1"])[0]
    np.testing.assert_allclose(arrived["relu1"], expected)
    assert set(arrived) == {"both", "pool1", "avg1", "relu1", "conv1"}           # nothing above the start


# ---- parameters and seeds -------------------------------------------------------------------------------------------

def test_writing_into_a_parameter_is_seen_by_the_next_forward(host_ops):
    net, x = built(chain, host_ops), images()
    before = net.scores(x)
    for name in net.params:
        kept = net.params[name].copy()
        net.params[name][...] = 0.5
        assert (net.scores(x) != before).any(), name
        net.params[name][...] = kept
    np.testing.assert_array_equal(net.scores(x), before)


def test_the_names_and_shapes_of_parameters():
    net = built(chain)
    assert {name: w.shape for name, w in net.params.items()} == {
        "conv1.weight": (4, 2, 3, 3), "conv1.bias": (4,), "conv2.weight": (5, 4, 3, 3), "conv2.bias": (5,),
        "fc6.weight": (7, 45), "fc6.bias": (7,), "fc7.weight": (3, 7), "fc7.bias": (3,)}


def test_seeds():
    def weights(seed, ops=NUMPY):
        return Network(chain(), SHAPE, ops, seed=seed).params

    one, again, other = weights(1), weights(1, get_ops("numba")), weights(2)
    for name in one:
        np.testing.assert_array_equal(one[name], again[name])
        assert name.endswith("bias") or (one[name] != other[name]).any()


def test_dropout_follows_the_network_s_own_generator():
    def outputs(seed, ops):
        net = Network(chain(), SHAPE, ops, seed=seed)
        net.params["fc6.bias"][...] = 1
        return [net.forward(images(4, "float32"), train=True)[0] for _ in range(2)]

    first, second = outputs(1, NUMPY)
    assert (first != second).any()
    again, _ = outputs(1, NUMPY)
    np.testing.assert_array_equal(again, first)
    np.testing.assert_allclose(outputs(1, get_ops("numba"))[0], first, rtol=1e-4, atol=1e-6)
    net = Network(chain(), SHAPE, NUMPY, seed=1)
    state = net.rng.bit_generator.state
    net.forward(images(4, "float32"))
    net.scores(images(4, "float32"))
    assert net.rng.bit_generator.state == state                      # inference draws nothing


# ---- receptive fields -----------------------------------------------------------------------------------------------

FIELDS = {
    "zfnet's layers": lambda: [("conv1", Conv2d(2, 5, stride=2, pad=1)), ("relu1", ReLU()), ("pool1", MaxPool2d(3, 2, 1)),
                               ("norm1", LocalResponseNorm()), ("conv2", Conv2d(2, 3, pad=1)), ("drop", Dropout())],
    "rectangular": lambda: [("conv1", Conv2d(2, (3, 2), stride=(1, 2), pad=(1, 0))),
                            ("pool1", AvgPool2d((1, 3), (1, 2), (0, 1))), ("conv2", Conv2d(2, (2, 1), stride=(2, 1)))],
    "ceil mode": lambda: [("conv1", Conv2d(2, 3, stride=2)), ("pool1", MaxPool2d(3, 2, ceil_mode=True)),
                          ("conv2", Conv2d(2, 2))],
    "branches": lambda: [("conv1", Conv2d(2, 3, stride=2, pad=1)), ("left", Conv2d(2, 1), "conv1"),
                         ("right", Conv2d(2, (3, 5), pad=(1, 2)), "conv1"), ("both", Concatenate(), ("left", "right")),
                         ("pool", MaxPool2d(2))],
}


@pytest.mark.parametrize("nodes", FIELDS.values(), ids=FIELDS)
def test_receptive_fields_against_brute_force(nodes):
    """Light one pixel after another: the units that change are those whose field holds it. Nothing can cancel:
    all weights are positive and the image was dark."""
    H, W = 17, 19
    net = Network(nodes(), (1, H, W), NUMPY, dtype="float64")
    for name, w in net.params.items():
        w[...] = 0 if name.endswith("bias") else 1
    pixels, inside = np.zeros((H * W, 1, H, W)), 0
    pixels.reshape(H * W, H * W)[np.arange(H * W), np.arange(H * W)] = 1
    for name, y in net.activations(pixels, list(net.nodes)).items():
        field = net.receptive_field(name)
        for row, col in np.ndindex(*net.shapes[name][1:]):
            seen = np.zeros((H, W), bool)
            top, left, bottom, right = field.box(row, col)
            seen[max(top, 0):max(bottom, 0), max(left, 0):max(right, 0)] = True
            lit = (y[:, :, row, col] != 0).any(axis=1).reshape(H, W)
            if top >= 0 and left >= 0 and bottom <= H and right <= W:
                np.testing.assert_array_equal(lit, seen, err_msg=f"{name} ({row}, {col})")
                inside += 1
            else:                                            # where a map below is padded, a pixel or two may be missing
                assert lit.any()
                assert not (lit & ~seen).any(), f"{name} ({row}, {col})"
    assert inside > 50


def test_the_field_of_a_feature_is_the_image():
    net = built(chain)
    assert [str(net.receptive_field(name)) for name in ("conv1", "flatten", "fc6", "relu6", "fc7")] == \
        ["3 × 3", *["12 × 12 (all)"] * 4]
    assert net.receptive_field("fc7").box(0, 0) == (0, 0, 12, 12)
    assert str(built(fire).receptive_field("gap")) == "12 × 12 (all)"


# ---- what is refused ------------------------------------------------------------------------------------------------

@pytest.mark.parametrize(("nodes", "kind", "message"), [
    ([("conv1", Conv2d(2, 3)), ("side", Conv2d(2, 1)), ("fc", GlobalAvgPool(), "conv1")], NodeError,
     "nothing reads side; only the last node, fc, may be an end"),
    ([("conv1", Conv2d(2, 3)), ("conv1", ReLU())], NodeError, "two nodes are named 'conv1'"),
    ([("input", Conv2d(2, 3))], NodeError, "two nodes are named 'input'"),
    ([("conv1", Conv2d(2, 3)), ("relu1", ReLU(), "conv7")], NodeError,
     "relu1 reads conv7, which no earlier node is named; there are input, conv1"),
    ([("relu1", ReLU(), "conv1"), ("conv1", Conv2d(2, 3))], NodeError, "relu1 reads conv1, which no earlier node is named"),
    ([("relu1", ReLU(), ("input", "input"))], NodeError, "relu1: ReLU takes 1 inputs, got 2"),
    ([("join", Concatenate(), ())], NodeError, "join: Concatenate takes one or more inputs, got 0"),
    ([], NodeError, "a network needs at least one node"),
    ([("conv1", Conv2d(2, 13))], ShapeError, "conv1: the kernel 13×13 is larger than the padded image 12×12"),
    ([("conv1", Conv2d(2, 3, groups=2)), ("conv2", Conv2d(3, 3, groups=3))], ShapeError,
     "conv2: groups=3 must divide both the 2 input channels and the 3 filters"),
    ([("fc", Linear(3))], ShapeError, r"fc: Linear needs features \(D,\), got an input of shape \(2, 12, 12\)"),
    ([("a", Conv2d(2, 3)), ("b", Conv2d(2, 5), "input"), ("c", Concatenate(), ("a", "b"))], ShapeError,
     r"c: Concatenate needs inputs of one height and width, got \(2, 10, 10\), \(2, 8, 8\)"),
])
def test_graphs_that_do_not_fit_together(nodes, kind, message):
    for _, layer, *_ in nodes:
        layer.ops = None
    with pytest.raises(kind, match=message) as error:
        Network(nodes, SHAPE, NUMPY)
    assert "\n" not in str(error.value)


def test_a_layer_belongs_to_one_node():
    """Its parameters would otherwise be another node's, or another network's."""
    conv = Conv2d(2, 3, pad=1)
    with pytest.raises(NodeError, match="conv2: this Conv2d is in a network already; make a new one"):
        Network([("conv1", conv), ("conv2", conv)], SHAPE, NUMPY)
    nodes = chain()
    Network(nodes, SHAPE, NUMPY)
    with pytest.raises(NodeError, match="conv1: this Conv2d is in a network already"):
        Network(nodes, SHAPE, NUMPY)


def test_settings_of_a_network():
    with pytest.raises(DTypeError, match="a network is float32 or float64, got float16"):
        Network(chain(), SHAPE, NUMPY, dtype="float16")
    with pytest.raises(BackendError, match='pass ops=get_ops'):
        models.zfnet_mini()
    with pytest.raises(ShapeError, match="conv1: there is no initialization 'zero'; use one of he, paper"):
        Network(chain(), SHAPE, NUMPY, init="zero")


@pytest.mark.parametrize("forward", ["forward", "scores", "probabilities"])
@pytest.mark.parametrize(("x", "kind", "message"), [
    (np.ones((1, 1, 12, 12), "float32"), ShapeError, "conv1 expects 2 channels, got 1"),
    (np.ones((2, 12, 12), "float32"), ShapeError, r"conv1 expects x \(N, 2, 12, 12\), got shape \(2, 12, 12\)"),
    (np.ones((1, 2, 12, 13), "float32"), ShapeError, "conv1 expects images of 12×12 pixels, got 12×13"),
    (np.ones((1, 2, 12, 12)), DTypeError, r"conv1 expects float32, got float64; use net.prepare\(images\) or x.astype"),
    (np.ones((1, 2, 12, 12), "uint8"), DTypeError, "conv1 expects float32, got uint8"),
    ([[1.0]], DTypeError, "conv1 expects float32, got list"),
])
def test_inputs_that_do_not_fit(forward, x, kind, message):
    net = Network(chain(), SHAPE, NUMPY)
    with pytest.raises(kind, match=message):
        getattr(net, forward)(x)
    with pytest.raises(kind, match=message):
        net.activations(x, ["conv1"])


def test_a_list_is_no_array_of_float64_either():
    with pytest.raises(DTypeError, match="conv1 expects float64, got list"):
        built(chain).forward([[1.0]])


def test_names_that_do_not_exist():
    net, x = built(chain), images()
    for ask in (lambda: net.activations(x, ["conv1", "conv9"]), lambda: net.node("conv9"), lambda: net.freeze(["conv9"]),
                lambda: net.receptive_field("conv9")):
        with pytest.raises(NodeError, match="network has no layer 'conv9'; it has conv1, relu1, pool1, norm1, conv2"):
            ask()
    with pytest.raises(NodeError, match="relu1 has no parameters to freeze; conv1, conv2, fc6, fc7 have"):
        net.freeze(["conv1", "relu1"])
    assert net.frozen == frozenset()


def test_gradients_of_another_shape_or_dtype():
    net, x = built(chain), images()
    _, tape = net.forward(x)
    with pytest.raises(ShapeError, match=r"dscores must have shape \(2, 3\), got \(3, 2\)"):
        net.backward(np.ones((3, 2)), tape)
    with pytest.raises(DTypeError, match=r"is float32 but .* is float64"):
        net.backward(np.ones((2, 3), "float32"), tape)


def test_prepare_needs_preprocessing():
    with pytest.raises(ShapeError, match=r"network has no preprocessing: set net\.preprocessing"):
        built(chain).prepare([np.zeros((12, 12, 3), "uint8")])


def test_prepare(host_ops):
    net = models.tiny_vgg(ops=host_ops, dtype="float64")
    x = net.prepare([np.full((64, 64, 3), 255, "uint8"), np.zeros((70, 99, 3), "uint8")])
    assert x.dtype == np.float64
    np.testing.assert_allclose(x[0], 1, rtol=1e-6)
    np.testing.assert_array_equal(x[1], 0)


def test_a_generator_serves_as_a_seed():
    def weights(seed):
        return models.tiny_vgg(ops=get_ops("numpy"), seed=seed).params["conv1_1.weight"]

    np.testing.assert_array_equal(weights(np.random.default_rng(3)), weights(np.random.default_rng(3)))
    rng = np.random.default_rng(3)
    assert not np.array_equal(weights(rng), weights(rng))


def test_assigning_a_parameter_writes_into_the_layer_s_array():
    net = models.tiny_vgg(ops=get_ops("numpy"))
    x = np.ones((1, 3, 64, 64), np.float32)
    net.params["fc.weight"] = np.zeros((10, 1690), np.float32)
    net.params["fc.bias"] = np.arange(10, dtype=np.float32)
    np.testing.assert_array_equal(net.scores(x)[0], np.arange(10))
    with pytest.raises(ShapeError, match=r"fc.bias has shape \(10,\), got \(9,\)"):
        net.params["fc.bias"] = np.zeros(9)
    with pytest.raises(NodeError, match=r"no parameter 'fc9\.bias'"):
        net.params["fc9.bias"] = np.zeros(10)


def test_a_tape_that_ends_below_says_so():
    net = models.tiny_vgg(ops=get_ops("numpy"))
    tape = net.tape_to("conv1_2", np.ones((1, 3, 64, 64), np.float32))
    with pytest.raises(NodeError, match=r"this tape ends at .*, below fc"):
        net.backward(np.zeros((1, 10), np.float32), tape)


def test_a_copy_is_a_network_of_its_own():
    net = Network(inception(), (3, 12, 12), NUMPY, seed=1)
    net.freeze("stem")
    x = np.random.default_rng(0).standard_normal((2, 3, 12, 12)).astype(np.float32)
    other, scores = net.copy(), net.scores(x)
    np.testing.assert_array_equal(other.scores(x), scores)
    assert (list(other.nodes), other.frozen, str(other)) == (list(net.nodes), net.frozen, str(net))
    for name in other.params:
        other.params[name][...] = 0
    np.testing.assert_array_equal(net.scores(x), scores)
    assert not other.scores(x).any()


def test_the_nodes_that_lead_to_a_node_make_a_network_up_to_it():
    net = Network(inception(), (3, 12, 12), NUMPY, seed=1)
    nodes = net.nodes_to("relu_three")
    assert [name for name, _, _ in nodes] == ["stem", "relu0", "norm0", "three_in", "relu_in", "three", "relu_three"]
    assert all(layer is not net.nodes[name].layer and layer.describe() == net.nodes[name].layer.describe()
               for name, layer, _ in nodes)
    part = Network(nodes, (3, 12, 12), NUMPY)
    assert part.shapes["relu_three"] == net.shapes["relu_three"]
    with pytest.raises(NodeError, match="has no layer 'five'"):
        net.nodes_to("five")

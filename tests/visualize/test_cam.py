"""Class activation maps and Grad-CAM, against their definitions, central differences and PyTorch on trained weights."""

import json

import numpy as np
import pytest

from zfnumpy import get_ops, models
from zfnumpy.data import load_image
from zfnumpy.errors import NodeError, ShapeError
from zfnumpy.layers import (
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
from zfnumpy.visualize import cam, gradcam, has_cam
from zfnumpy.visualize.cam import ClassMaps, resized

NUMPY = get_ops("numpy")


def gap_net(ops=NUMPY, dtype="float64", dropout=0, shape=(3, 13, 11)):
    """Branches that join, a pool that applies its ReLU's mask, normalization, and a GAP head."""
    nodes = [("conv1", Conv2d(6, 3, stride=2)), ("relu1", ReLU()), ("pool1", MaxPool2d(3, 1, 1)),
             ("norm1", LocalResponseNorm(3)),
             ("left", Conv2d(4, 1)), ("relu_l", ReLU()), ("right", Conv2d(3, 3, pad=1), "norm1"), ("relu_r", ReLU()),
             ("both", Concatenate(), ["relu_l", "relu_r"]), *models.gap.gap_nodes(5, 4, dropout)]
    return with_biases(Network(nodes, shape, ops, seed=4, dtype=dtype))


def with_biases(net):
    for i, (name, w) in enumerate(net.params.items()):
        if name.endswith("bias"):
            w[...] = net.ops.asarray(0.2 * np.random.default_rng(i).standard_normal(w.shape), dtype=w.dtype)
    return net


def images(net, N=2, seed=0):
    return np.random.default_rng(seed).standard_normal((N, *net.input_shape)).astype(net.dtype)


def scores_with(net, x, name, y):
    """Return the scores when the node `name` puts out y, every node computed by itself."""
    values = {"input": x}
    for node in net.nodes.values():
        values[node.name] = y if node.name == name else node.layer.forward(*(values[i] for i in node.inputs))[0]
    return values[net.output]


def gradient_at(net, x, name, label, tape=None):
    tape = tape or net.forward(x)[1]
    one = np.zeros((len(x), *net.shapes[net.output]), net.dtype)
    one[:, label] = 1
    return net.project(net.output, one, tape, "gradient", end=name)


# ---- the gradient at a middle node ------------------------------------------------------------------------------------

@pytest.mark.parametrize("name", [name for name in gap_net().nodes if name != "cam_fc"])
def test_the_gradient_at_every_node_is_that_of_central_differences(name):
    net = gap_net()
    x = images(net, 1)
    y, h = net.activations(x, name)[name], 1e-6
    found = gradient_at(net, x, name, 2)
    assert found.shape == y.shape
    # Zeros of a ReLU below a pool are ties, where there is no derivative: the test below takes these.
    places = np.argwhere(y != 0) if name == "relu1" else np.argwhere(np.ones_like(y))
    for place in map(tuple, np.random.default_rng(1).permutation(places)[:40]):
        up, down = y.copy(), y.copy()
        up[place] += h
        down[place] -= h
        expected = (scores_with(net, x, name, up) - scores_with(net, x, name, down))[0, 2] / (2 * h)
        assert found[place] == pytest.approx(expected, rel=1e-6, abs=1e-9), place


def test_a_pool_s_mask_stays_above_the_relu_that_it_belongs_to():
    """The gradient by what a ReLU puts out is there where that is zero too; below the ReLU it is not."""
    net = Network([("conv1", Conv2d(1, 1)), ("relu1", ReLU()), ("pool1", MaxPool2d(2)), ("gap", GlobalAvgPool())], (1, 4, 4),
                  NUMPY, dtype="float64")
    net.params["conv1.weight"] = np.array([[[[-1.0]]]])
    x = np.ones((1, 1, 4, 4))
    expected = np.zeros((4, 4))
    expected[::2, ::2] = 1 / 4
    np.testing.assert_array_equal(gradient_at(net, x, "relu1", 0)[0, 0], expected)
    assert not gradient_at(net, x, "conv1", 0).any()
    assert not gradient_at(net, x, "relu1", 0, net.forward(-x)[1])[0, 0, 1::2].any()


def test_rules_stop_at_a_node_too():
    """What arrives at a ReLU's output, taken below it by the rule, is what arrives below it."""
    net = gap_net()
    x = images(net)
    _, tape = net.forward(x)
    r = np.random.default_rng(3).standard_normal((2, 5))
    for rule in ("gradient", "guided", "deconvnet"):
        for relu, conv in (("relu1", "conv1"), ("relu_l", "left"), ("cam_relu", "cam_conv")):
            at = net.project("cam_fc", r, tape, rule, end=relu)
            below = net.ops.relu_backward(at, net.value(relu, tape), rule)
            np.testing.assert_allclose(net.project("cam_fc", r, tape, rule, end=conv), below, atol=1e-14)
            assert at.any()
    np.testing.assert_array_equal(net.project("cam_fc", r, tape, "guided", end="cam_fc"), r)


def test_a_node_that_leads_nowhere():
    net = gap_net()
    _, tape = net.forward(images(net))
    r = net.value("left", tape)
    with pytest.raises(NodeError, match="right does not lead to left, so nothing comes down to it from there"):
        net.project("left", r, tape, end="right")
    with pytest.raises(NodeError, match="cam_fc does not lead to left"):
        net.project("left", r, tape, end="cam_fc")
    with pytest.raises(NodeError, match="has no layer 'conv9'"):
        net.project("left", r, tape, end="conv9")


@pytest.mark.parametrize(("make", "names"), [
    (lambda: models.squeezenet1_1(7, get_ops("numba"), dtype="float64"),
     ("pool1", "fire3", "fire4.relu_squeeze1x1", "fire8")),
    (lambda: models.googlenet_gap(5, get_ops("numba"), dtype="float64", maps=6),
     ("norm2", "inception3a", "inception3b.relu_reduce5x5", "inception4d"))], ids=["Fire", "Inception"])
def test_the_gradient_through_branches_tells_what_a_small_change_does(make, names):
    net = with_biases(make())
    x = np.random.default_rng(0).standard_normal((1, 3, 72, 65))
    _, tape = net.forward(x)
    for name in names:
        y = net.value(name, tape)
        change = 1e-7 * np.random.default_rng(1).standard_normal(y.shape) * (y != 0)
        both = [scores_with(net, x, name, y + sign * change)[0, 3] for sign in (1, -1)]
        expected = (both[0] - both[1]) / 2
        assert (gradient_at(net, x, name, 3, tape) * change).sum() == pytest.approx(expected, rel=1e-4), name


# ---- the maps from their definitions ----------------------------------------------------------------------------------

def test_cam_from_its_definition():
    net = gap_net()
    x = images(net, 3)
    found, f, w = cam(net, x, [4, 0, 4]), net.activations(x, "cam_relu")["cam_relu"], net.params["cam_fc.weight"]
    assert (found.layer, found.size, found.method, found.labels.tolist()) == ("cam_relu", (13, 11), "cam", [4, 0, 4])
    expected = np.zeros((3, *f.shape[2:]))
    for n, c in enumerate((4, 0, 4)):
        for k in range(f.shape[1]):
            expected[n] += w[c, k] * f[n, k]
    np.testing.assert_allclose(found.maps, expected, rtol=1e-12, atol=1e-14)
    scores = net.scores(x)[np.arange(3), [4, 0, 4]] - net.params["cam_fc.bias"][[4, 0, 4]]
    np.testing.assert_allclose(found.maps.mean(axis=(1, 2)), scores, rtol=1e-12)
    assert cam(net, x).labels.tolist() == net.scores(x).argmax(axis=1).tolist()


def test_gradcam_from_its_definition():
    net = gap_net()
    x = images(net, 3)
    for layer in ("relu1", "conv1", "left", "both", "cam_conv", "cam_relu"):
        found, y = gradcam(net, x, 1, layer), net.activations(x, layer)[layer]
        weights = gradient_at(net, x, layer, 1).mean(axis=(2, 3))
        expected = np.maximum(sum(weights[:, k, None, None] * y[:, k] for k in range(y.shape[1])), 0)
        np.testing.assert_allclose(found.maps, expected, rtol=1e-12, atol=1e-14)
        assert (found.layer, found.method) == (layer, "gradcam")
    assert gradcam(net, x).layer == "cam_relu"


def test_gradcam_is_cam_over_the_places_rectified_where_both_are_there():
    for net in (gap_net(), own_maps()):
        x = images(net, 3)
        mine, other = cam(net, x, 1), gradcam(net, x, 1)
        assert mine.layer == other.layer
        np.testing.assert_allclose(other.maps, np.maximum(mine.maps, 0) / mine.maps[0].size, rtol=1e-12, atol=1e-14)


def own_maps():
    """A network whose averaged maps are the classes' own, as squeezenet1_1."""
    return with_biases(Network([("conv1", Conv2d(4, 3)), ("relu1", ReLU()), ("drop1", Dropout()), ("conv2", Conv2d(3, 1)),
                                ("relu2", ReLU()), ("pool2", GlobalAvgPool())], (3, 9, 8), NUMPY, seed=1, dtype="float64"))


def test_maps_that_are_the_classes_own():
    net = own_maps()
    x = images(net, 2)
    found, maps = cam(net, x, [2, 0]), net.activations(x, "relu2")["relu2"]
    np.testing.assert_array_equal(found.maps, [maps[0, 2], maps[1, 0]])
    np.testing.assert_allclose(found.maps.mean(axis=(1, 2)), net.scores(x)[[0, 1], [2, 0]])
    assert found.layer == "relu2"


@pytest.mark.parametrize("make", [cam, gradcam])
def test_a_tape_saves_the_pass(make):
    net = gap_net()
    x = images(net)
    _, tape = net.forward(x)
    expected = make(net, x, 3)
    before = {name: w.copy() for name, w in net.params.items()}
    calls = []
    net.steps, steps = lambda *a, **k: calls.append(1) or steps(*a, **k), net.steps
    np.testing.assert_array_equal(make(net, x, 3, tape=tape).maps, expected.maps)
    assert not calls
    np.testing.assert_array_equal(make(net, x.copy(), 3, tape=tape).maps, expected.maps)        # equal images will do
    for name, w in net.params.items():
        np.testing.assert_array_equal(w, before[name])
    with pytest.raises(ShapeError, match="the tape is of a pass over other images than x"):
        make(net, x + 1, 3, tape=tape)
    with pytest.raises(ShapeError, match="over x of shape"):
        make(net, x[:1], 3, tape=tape)


def test_other_sizes_dtypes_and_a_dropout_below_the_scores():
    net = gap_net(dtype="float32", dropout=0.5)
    x = np.random.default_rng(0).standard_normal((2, 3, 31, 20)).astype(np.float32)
    for make in (cam, gradcam):
        found = make(net, x)
        assert (found.maps.dtype, found.maps.shape, found.size) == (np.float32, (2, 15, 9), (31, 20))
        assert found.upsampled().dtype == np.float32
        assert found.upsampled().shape == (2, 31, 20)


def test_networks_that_cam_cannot_read():
    x = np.zeros((1, 3, 64, 64), np.float32)
    net = models.zfnet_mini(4, NUMPY, conv=(2, 2, 2, 2, 2), fc=(3,))
    assert not has_cam(net)
    with pytest.raises(NodeError, match=r"averages of maps, or one Linear of such averages, and fc7 of zfnet_mini stands on "
                                        r"relu6: gradcam works on any network, and models.gap_head"):
        cam(net, x)
    assert gradcam(net, x).layer == "relu5"
    assert gradcam(models.tiny_vgg(4, NUMPY), x).layer == "relu2_2"
    assert has_cam(models.squeezenet1_1(2, NUMPY))
    nodes = [("conv1", Conv2d(2, 3)), ("gap", GlobalAvgPool()), ("fc1", Linear(3)), ("fc2", Linear(3))]
    two = Network(nodes, (3, 5, 5), NUMPY)
    with pytest.raises(NodeError, match="fc2 of network stands on fc1"):
        cam(two, x[:, :, :5, :5])
    flat = Network([("flatten", Flatten()), ("fc", Linear(3))], (3, 5, 5), NUMPY)
    assert not has_cam(flat)
    with pytest.raises(NodeError, match=r"network has no maps \(C, H, W\), only features: it has flatten, fc"):
        gradcam(flat, x[:, :, :5, :5])


def test_layers_and_classes_that_are_not_there():
    net = gap_net()
    x = images(net)
    with pytest.raises(NodeError, match="has no layer 'conv9'"):
        gradcam(net, x, layer="conv9")
    with pytest.raises(NodeError, match=r"needs maps \(C, H, W\); gap of network has 4 features, cam_relu has maps"):
        gradcam(net, x, layer="gap")
    for make in (cam, gradcam):
        with pytest.raises(NodeError, match="there is no class 5"):
            make(net, x, 5)


def test_the_last_maps_are_those_of_more_than_one_place():
    nodes = [("conv1", Conv2d(4, 3)), ("relu1", ReLU()), ("conv2", Conv2d(4, 3)), ("relu2", ReLU()), ("flatten", Flatten()),
             ("fc", Linear(2))]
    assert gradcam(Network(nodes, (1, 5, 5), NUMPY, dtype="float64"), np.ones((1, 1, 5, 5))).layer == "relu1"
    nodes = [(name, layer.fresh()) for name, layer in nodes]
    found = gradcam(Network(nodes, (1, 6, 6), NUMPY, dtype="float64"), np.ones((1, 1, 6, 6)))
    assert (found.layer, found.maps.shape) == ("relu2", (1, 2, 2))
    nodes = [("conv1", Conv2d(4, 5)), ("relu1", ReLU()), ("gap", GlobalAvgPool()), ("fc", Linear(2))]
    one = Network(nodes, (1, 5, 5), NUMPY)
    found = gradcam(one, np.ones((1, 1, 5, 5), np.float32))
    assert (found.layer, found.upsampled().shape) == ("relu1", (1, 5, 5))


@pytest.mark.parametrize("value", [0, 1, -1e4])
def test_blank_images_give_maps_without_a_nan(value):
    for net in (gap_net(), own_maps()):
        x = np.full((1, *net.input_shape), float(value))
        for make in (cam, gradcam):
            found = make(net, x)
            assert np.isfinite(found.maps).all()
            assert np.isfinite(found.upsampled()).all()


def test_no_images_at_all():
    net = gap_net()
    for make in (cam, gradcam):
        assert make(net, images(net, 0)).upsampled().shape == (0, 13, 11)


# ---- resizing ---------------------------------------------------------------------------------------------------------

def by_hand(map, size):
    """Bilinear interpolation between the places' middles, a pixel at a time."""
    (h, w), out = map.shape, np.empty(size)
    for i, j in np.ndindex(*size):
        y, x = max((i + 0.5) * h / size[0] - 0.5, 0), max((j + 0.5) * w / size[1] - 0.5, 0)
        r, c = int(y), int(x)
        r2, c2 = min(r + 1, h - 1), min(c + 1, w - 1)
        top = map[r, c] + (x - c) * (map[r, c2] - map[r, c])
        bottom = map[r2, c] + (x - c) * (map[r2, c2] - map[r2, c])
        out[i, j] = top + (y - r) * (bottom - top)
    return out


SIZES = [((4, 3), (13, 11)), ((1, 1), (5, 4)), ((1, 3), (6, 3)), ((5, 5), (5, 5)), ((7, 6), (3, 4)), ((14, 13), (57, 40)),
         ((2, 9), (1, 30))]


@pytest.mark.parametrize(("places", "size"), SIZES)
def test_upsampled_from_its_definition(places, size):
    maps = np.random.default_rng(0).standard_normal((2, *places))
    found = ClassMaps(maps, np.zeros(2, int), "relu", size).upsampled()
    np.testing.assert_allclose(found, [by_hand(map, size) for map in maps], atol=1e-12)


@pytest.mark.parametrize(("places", "size"), SIZES)
def test_upsampled_as_pytorch_does(places, size):
    torch = pytest.importorskip("torch")
    maps = np.random.default_rng(0).standard_normal((2, *places))
    expected = torch.nn.functional.interpolate(torch.tensor(maps)[:, None], size, mode="bilinear", align_corners=False)
    np.testing.assert_allclose(resized(maps, size), expected[:, 0].numpy(), atol=1e-12)


def test_saved(tmp_path):
    found = gradcam(gap_net(), images(gap_net()), 1)
    found.save(tmp_path)
    with np.load(tmp_path / "gradcam_cam_relu.npz") as file:
        np.testing.assert_array_equal(file["maps"], found.maps)
    about = json.loads((tmp_path / "gradcam_cam_relu.json").read_text())
    assert about == {"method": "gradcam", "layer": "cam_relu", "labels": [1, 1], "size": [13, 11], "places": [6, 5]}


# ---- backends ---------------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("make", [cam, gradcam])
def test_every_backend_says_the_same(ops, make):
    mine, other = gap_net(), gap_net(ops)
    x = images(mine)
    expected, found = make(mine, x), make(other, other.ops.asarray(x))
    assert isinstance(found.maps, np.ndarray)
    assert isinstance(found.labels, np.ndarray)
    np.testing.assert_allclose(found.maps, expected.maps, rtol=1e-9, atol=1e-12)
    assert found.labels.tolist() == expected.labels.tolist()


# ---- PyTorch on trained weights ---------------------------------------------------------------------------------------

def squeezenet_in_torch(torch, w, x, at):
    """SqueezeNet 1.1 from its paper and the weights: the scores, and the outputs named in `at`, which keep gradients."""
    F, kept = torch.nn.functional, {}

    def keep(name, y):
        if name in at:
            y.requires_grad_(True) if y.is_leaf else y.retain_grad()
            kept[name] = y
        return y

    def conv(name, y, **settings):
        return torch.relu(F.conv2d(y, w[f"{name}.weight"], w[f"{name}.bias"], **settings))

    def pool(y):
        return F.max_pool2d(y, 3, 2, ceil_mode=True)

    y = pool(keep("relu1", conv("conv1", x, stride=2)))
    for n in range(2, 10):
        s = keep(f"fire{n}.relu_squeeze1x1", conv(f"fire{n}.squeeze1x1", y))
        y = keep(f"fire{n}", torch.cat([conv(f"fire{n}.expand1x1", s), conv(f"fire{n}.expand3x3", s, padding=1)], 1))
        y = pool(y) if n in (3, 5) else y
    y = keep("relu10", conv("conv10", y))
    return y.mean((2, 3)), kept


def tiny_vgg_in_torch(torch, w, x, at):
    F, kept, y = torch.nn.functional, {}, x
    for block in (1, 2):
        for i in (1, 2):
            y = torch.relu(F.conv2d(y, w[f"conv{block}_{i}.weight"], w[f"conv{block}_{i}.bias"]))
            if f"relu{block}_{i}" in at:
                y.retain_grad()
                kept[f"relu{block}_{i}"] = y
        y = F.max_pool2d(y, 2)
    return F.linear(y.flatten(1), w["fc.weight"], w["fc.bias"]), kept


def photographs(real_data, net, count=2):
    paths = sorted((real_data / "imagenet-photos-250").glob("*.JPEG"))[10:10 + 60 * count:60]
    return net.prepare([load_image(path) for path in paths])


@pytest.mark.parametrize(("model", "weights", "in_torch", "layers"), [
    ("squeezenet1_1", "squeezenet1_1_imagenet.npz", squeezenet_in_torch,
     ("relu1", "fire4.relu_squeeze1x1", "fire5", "relu10")),
    ("tiny_vgg", "tiny_vgg_tinyimagenet10.npz", tiny_vgg_in_torch, ("relu1_1", "relu1_2", "relu2_1", "relu2_2"))])
def test_trained_networks_against_pytorch(real_data, model, weights, in_torch, layers):
    torch = pytest.importorskip("torch")
    net = getattr(models, model)(ops=get_ops("numba"), weights=real_data / "weights" / weights)
    x = photographs(real_data, net)
    w = {name: torch.tensor(value) for name, value in net.params.items()}
    for label in (None, 3):
        scores, kept = in_torch(torch, w, torch.tensor(x, requires_grad=True), layers)
        labels = scores.argmax(1) if label is None else torch.full((2,), label)
        scores[torch.arange(2), labels].sum().backward()
        _, tape = net.forward(x)
        for layer in layers:
            A, gradient = kept[layer], kept[layer].grad
            mine = gradient_at_labels(net, layer, labels.numpy(), tape)
            close(mine, gradient.numpy())
            expected = torch.relu((gradient.mean((2, 3), keepdim=True) * A).sum(1)).detach()
            found = gradcam(net, x, label, layer, tape)
            assert found.labels.tolist() == labels.tolist()
            close(found.maps, expected.numpy())
            up = torch.nn.functional.interpolate(expected[:, None], x.shape[2:], mode="bilinear", align_corners=False)
            close(found.upsampled(), up[:, 0].numpy())
        if model == "squeezenet1_1":
            close(cam(net, x, label, tape).maps, kept["relu10"][torch.arange(2), labels].detach().numpy())


def gradient_at_labels(net, layer, labels, tape):
    one = np.zeros((len(labels), *net.shapes[net.output]), net.dtype)
    one[np.arange(len(labels)), labels] = 1
    return net.project(net.output, one, tape, "gradient", end=layer)


def close(found, expected, limit=1e-4):
    scale = np.abs(expected).max()
    assert np.abs(found - expected).max() <= limit * scale if scale else not np.any(found)


def test_a_trained_gap_network_against_pytorch():
    """The sketches' network, with a linear layer over its averages."""
    torch = pytest.importorskip("torch")
    from zfnumpy.data import sketches

    net = models.sketches_gap(get_ops("numba"))
    x = net.prepare(sketches.load(10, seed=5, cache=False).images)
    F, w = torch.nn.functional, {name: torch.tensor(value) for name, value in net.params.items()}
    y = torch.relu(F.conv2d(torch.tensor(x), w["conv1.weight"], w["conv1.bias"], stride=2, padding=3))
    y = F.local_response_norm(F.max_pool2d(y, 3, 2, 1), 5, 5e-4, 0.75, 2.0)
    y = torch.relu(F.conv2d(y, w["conv2.weight"], w["conv2.bias"], padding=2))
    y = F.local_response_norm(F.max_pool2d(y, 3, 2, 1), 5, 5e-4, 0.75, 2.0)
    for i in (3, 5):
        y = torch.relu(F.conv2d(y, w[f"conv{i}.weight"], w[f"conv{i}.bias"], padding=1))
    labels = F.linear(y.mean((2, 3)), w["cam_fc.weight"], w["cam_fc.bias"]).argmax(1)
    expected = torch.einsum("nk,nkhw->nhw", w["cam_fc.weight"][labels], y)
    found = cam(net, x)
    assert found.labels.tolist() == labels.tolist()
    close(found.maps, expected.numpy())

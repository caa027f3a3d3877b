"""Occlusion: windows carried up give what whole passes give, for every kind of network, and the maps are as defined."""

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import zfnumpy as zf
from zfnumpy import get_ops, layers, models, visualize
from zfnumpy.data.transforms import Preprocessing
from zfnumpy.errors import DataError, NodeError, ShapeError
from zfnumpy.layers import patches
from zfnumpy.network import Network
from zfnumpy.visualize.occlusion import positions

NUMPY = get_ops("numpy")


def image(net, seed=0, size=None):
    shape = (1, *(net.input_shape if size is None else (3, *size)))
    return net.ops.asarray(np.random.default_rng(seed).standard_normal(shape).astype(net.dtype))


def begins(n, size, stride):
    """Where squares begin along an axis: their middles are those of cells of `stride`, which cover it and are centred."""
    cells = 0
    while cells * stride < n:
        cells += 1
    over = (cells * stride - n) / 2
    return [int(np.floor(i * stride - over + stride / 2 - size / 2)) for i in range(cells)]


def covered(x, size, stride, value=0.0):
    """The image once for every position, a square of it set to a value (3, 1, 1) or a number, pixel by pixel; and (R, S)."""
    H, W = x.shape[2:]
    rows, columns = begins(H, size[0], stride[0]), begins(W, size[1], stride[1])
    every = []
    for top in rows:
        for left in columns:
            each = x[0].copy()
            for i in range(top, top + size[0]):
                for j in range(left, left + size[1]):
                    if 0 <= i < H and 0 <= j < W:
                        each[:, i, j] = np.broadcast_to(value, (3, 1, 1))[:, 0, 0]
            every.append(each)
    return np.stack(every), (len(rows), len(columns))


def softmax(scores):
    e = np.exp(scores - scores.max(axis=1, keepdims=True))
    return e / e.sum(axis=1, keepdims=True)


def check(net, x, size, stride, tolerance=2e-5, **how):
    """Compare `occlude` with a whole pass for every position, on the backend's own operations."""
    found = visualize.occlude(net, x, size, stride, **how)
    pair = [(each, each) if isinstance(each, int) else each for each in (size, stride)]
    xs, grid = covered(net.ops.to_numpy(x), *pair)
    acts = net.activations(net.ops.asarray(xs), [found.layer, net.output])
    scores = net.ops.to_numpy(acts[net.output]).astype(np.float64)
    maps = net.ops.to_numpy(acts[found.layer]).astype(np.float64).reshape(len(xs), *acts[found.layer].shape[1:])
    activity = maps[:, found.map].reshape(len(xs), -1).sum(axis=1).reshape(grid)
    probability = softmax(scores)[:, found.label].reshape(grid)
    spread = max(1, np.abs(scores).max())
    assert found.probability.shape == grid
    assert np.abs(found.score - scores[:, found.label].reshape(grid)).max() <= tolerance * spread
    assert np.abs(found.probability - probability).max() <= tolerance * spread
    assert np.abs(found.activity - activity).max() <= 10 * tolerance * max(1, np.abs(maps[0]).sum())
    best = np.take_along_axis(scores, found.labels.reshape(-1, 1), axis=1)[:, 0]
    assert (best >= scores.max(axis=1) - 2 * tolerance * spread).all()
    return found


# ---- equal to whole passes ------------------------------------------------------------------------------------------

@st.composite
def networks(draw):
    """Draw the nodes of a small network and its input's size: chains and branches, all kinds of layers."""
    H, W = draw(st.integers(6, 17)), draw(st.integers(6, 17))
    nodes, size = [], (H, W)

    def add(layer, *inputs):
        nodes.append((f"n{len(nodes)}", layer, *([list(inputs)] if inputs else [])))
        return nodes[-1][0]

    def conv(size):
        k = draw(st.integers(1, min(4, *size)))
        settings = k, draw(st.integers(1, 3)), draw(st.integers(0, 2))
        return layers.Conv2d(4, *settings, groups=1 if not nodes else draw(st.sampled_from([1, 2]))), settings

    def after(size, k, s, p):
        return tuple((n + 2 * p - k) // s + 1 for n in size)

    first, settings_ = conv(size)
    before, size = add(first), after(size, *settings_)
    for kind in draw(st.lists(st.sampled_from(["conv", "relu", "norm", "max", "ceil", "avg", "fire", "drop"]), max_size=6)):
        k = draw(st.integers(1, 3))
        p = draw(st.integers(0, k // 2))
        if min(size) + 2 * p < k:
            continue
        if kind == "conv":
            layer, settings_ = conv(size)
            before, size = add(layer), after(size, *settings_)
        elif kind == "relu":
            before = add(layers.ReLU())
        elif kind == "norm":
            before = add(layers.LocalResponseNorm(3, 0.5))
        elif kind == "drop":
            before = add(layers.Dropout(0.5))
        elif kind == "fire":
            one, other = add(layers.Conv2d(2, 1), before), add(layers.Conv2d(2, 3, pad=1), before)
            before = add(layers.Concatenate(), add(layers.ReLU(), one), other)
        else:
            s = draw(st.integers(1, 3))
            layer = layers.AvgPool2d(k, s, p) if kind == "avg" else layers.MaxPool2d(k, s, p, ceil_mode=kind == "ceil")
            before, size = add(layer), layer.output_shape((4, *size))[1:]
    if draw(st.booleans()):
        add(layers.GlobalAvgPool())
    else:
        add(layers.Flatten())
        add(layers.Linear(5))
        add(layers.ReLU())
    add(layers.Linear(4))
    return nodes, (3, H, W)


@pytest.mark.parametrize("share", [patches.WHOLE, 9.0])
def test_any_small_network(host_ops, share, monkeypatch):
    """Squares of any size, from a pixel to more than the image, at any stride; `share` 9: windows even of whole maps."""
    monkeypatch.setattr(patches, "WHOLE", share)

    @settings(max_examples=60)
    @given(drawn=networks(), size=st.tuples(st.integers(1, 20), st.integers(1, 20)),
           stride=st.tuples(st.integers(2, 9), st.integers(2, 9)), batch=st.integers(1, 70), seed=st.integers(0, 99))
    def one(drawn, size, stride, batch, seed):
        net = Network([(name, layer.fresh(), *rest) for name, layer, *rest in drawn[0]], drawn[1], host_ops, seed, "float64")
        check(net, image(net, seed), size, stride, 1e-11, batch=batch)

    one()


@pytest.mark.parametrize("size", [(1, 1), (5, 4), (3, 40), (40, 40)])
def test_borders(host_ops, size, monkeypatch):
    """Values below zero beside the padding of every kind of pool, groups, strides that leave rows over, at all borders."""
    monkeypatch.setattr(patches, "WHOLE", 9.0)
    net = Network([("conv1", layers.Conv2d(4, 3, pad=2)), ("pool1", layers.MaxPool2d(3, 2, 1)),
                   ("conv2", layers.Conv2d(6, 3, 1, 1, groups=2)), ("pool2", layers.AvgPool2d(3, 2, 1)),
                   ("pool3", layers.MaxPool2d(3, 2, ceil_mode=True)), ("a", layers.Conv2d(4, 1)), ("norm", layers.ReLU()),
                   ("b", layers.Conv2d(4, 3, pad=1), "pool3"), ("both", layers.Concatenate(), ["norm", "b"]),
                   ("gap", layers.GlobalAvgPool())], (3, 21, 26), host_ops, dtype="float64")
    net.params["conv1.bias"] = np.full(4, -9.0)
    check(net, image(net), size, 3, 1e-11, batch=7)


MODELS = [("zfnet", {"conv": (6, 8, 6, 6, 8), "fc": (9,)}, None), ("alexnet", {"conv": (6, 8, 6, 6, 8), "fc": ()}, None),
          ("zfnet_mini", {"conv": (8, 8, 6, 6, 8), "fc": (9,)}, None), ("tiny_vgg", {}, None),
          ("squeezenet1_1", {"num_classes": 7}, (67, 84))]


@pytest.mark.parametrize(("name", "how", "size"), MODELS)
def test_every_model(host_ops, name, how, size):
    net = getattr(models, name)(ops=host_ops, **how)
    x = image(net, 3, size)
    stride = -(-min(x.shape[2:]) // 4) + 1
    found = check(net, x, min(x.shape[2:]) // 7, stride)
    assert found.layer == {"tiny_vgg": "relu2_2", "squeezenet1_1": "relu10"}.get(name, "relu5")


def test_layers_that_tiles_make(monkeypatch):
    """Maps deep enough for Winograd's tiles, whose windows share cells."""
    net = Network([("conv1", layers.Conv2d(64, 3, pad=1)), ("relu1", layers.ReLU()), ("conv2", layers.Conv2d(64, 3, pad=1)),
                   ("pool", layers.MaxPool2d(3, 2)), ("conv3", layers.Conv2d(64, 5, 2, 1)), ("gap", layers.GlobalAvgPool())],
                  (3, 29, 31), get_ops("numba"))
    check(net, image(net), 5, 6)


def test_on_a_device(device_ops):
    net = Network([("conv1", layers.Conv2d(4, 3, 2, 1)), ("relu1", layers.ReLU()),
                   ("pool", layers.MaxPool2d(2, ceil_mode=True)), ("norm", layers.LocalResponseNorm()),
                   ("a", layers.Conv2d(4, 1), "norm"), ("b", layers.Conv2d(4, 3, pad=1), "norm"),
                   ("both", layers.Concatenate(), ["a", "b"]),
                   ("gap", layers.GlobalAvgPool()), ("fc", layers.Linear(3))], (3, 23, 21), device_ops)
    found = check(net, image(net), 4, 7, others=net.ops.asarray(np.ones((2, 3, 23, 21), "float32")))
    assert all(type(value) is np.ndarray for key, value in vars(found).items() if hasattr(value, "dtype"))


@pytest.mark.parametrize("layer", ["conv1", "relu1", "pool1", "conv2", "relu5", "fc6", "fc7"])
def test_any_layer_can_be_followed(layer):
    net = models.zfnet_mini(4, NUMPY, dtype="float64", conv=(6, 8, 6, 6, 8), fc=(9,))
    found = check(net, image(net), 9, 13, 1e-11, layer=layer)
    assert found.layer == layer
    totals = net.activations(image(net), layer)[layer]
    totals = totals.reshape(totals.shape[1], -1).sum(axis=1)
    assert found.map == totals.argmax()
    assert found.activity0 == pytest.approx(totals.max())


def test_the_windows_are_used(monkeypatch):
    """Few numbers are carried up: of conv1's maps a window, not the whole."""
    net, seen = models.zfnet(3, NUMPY, conv=(4, 4, 4, 4, 4), fc=()), {}
    steps = net.steps

    def watched(x, **how):
        for name, y in steps(x, **how):
            seen.setdefault(name, y)
            if isinstance(x, patches.Patches):
                seen[name] = y
            yield name, y

    monkeypatch.setattr(net, "steps", watched)
    visualize.occlude(net, image(net), 32, 112, batch=1)
    assert {name: seen[name].at.size for name in ("conv1", "pool1", "conv2", "pool2")} == {
        "conv1": (19, 19), "pool1": (10, 10), "conv2": (7, 7), "pool2": (5, 5)}
    assert isinstance(seen["conv4"], patches.Patches)
    assert not isinstance(seen["fc6"], patches.Patches)


def test_a_layer_that_knows_nothing_of_patches_gets_whole_maps():
    class Doubled(layers.Layer):
        def forward(self, x, train=False, rng=None):
            return 2 * x, None

        def backward(self, dy, cache, need_dx=True, need_grads=True):
            return 2 * dy, {}

    net = Network([("conv1", layers.Conv2d(3, 3)), ("twice", Doubled()), ("conv2", layers.Conv2d(3, 3)),
                   ("gap", layers.GlobalAvgPool())], (3, 15, 15), NUMPY, dtype="float64")
    check(net, image(net), 3, 4, 1e-11)


# ---- what the squares hold ------------------------------------------------------------------------------------------

@pytest.mark.parametrize("order", ["RGB", "BGR"])
@pytest.mark.parametrize("mean", ["image", "colour"])
@pytest.mark.parametrize(("fill", "colour"), [("grey", (128, 128, 128)), (7, (7, 7, 7)), ((250, 10, 90), (250, 10, 90))])
def test_a_square_is_painted_in_pixels(order, mean, fill, colour):
    """The same as to paint the picture itself, before it is prepared."""
    rng = np.random.default_rng(0)
    mean = rng.uniform(60, 180, (3, 26, 26) if mean == "image" else 3).astype(np.float32)
    net = models.zfnet_mini(4, NUMPY, conv=(6, 8, 0, 0, 0), fc=())
    net.preprocessing = Preprocessing(66, 64, mean if mean.ndim == 1 else np.pad(mean, ((0, 0), (20, 20), (20, 20))), 1 / 64,
                                      order)
    picture = rng.integers(0, 256, (66, 66, 3), dtype=np.uint8)
    found = visualize.occlude(net, net.prepare([picture]), 11, 20, fill=fill)
    painted, (R, S) = [], found.probability.shape
    for top in begins(64, 11, 20):
        for left in begins(64, 11, 20):
            each = picture.copy()
            inner = each[1:65, 1:65]
            inner[max(top, 0):max(top + 11, 0), max(left, 0):max(left + 11, 0)] = colour
            painted.append(each)
    expected = net.scores(net.prepare(painted))[:, found.label].reshape(R, S)
    np.testing.assert_allclose(found.score, expected, rtol=1e-4, atol=1e-4)
    assert np.abs(found.score - found.score0).max() > 1e-3


def test_a_fill_on_an_image_of_its_own_size():
    net = models.squeezenet1_1(3, NUMPY)
    x = image(net, size=(40, 50))
    found = visualize.occlude(net, x, 9, 30, fill=(10, 20, 30))
    xs, grid = covered(x, (9, 9), (30, 30), (np.float32((30, 20, 10)) - net.preprocessing.mean)[:, None, None])
    np.testing.assert_allclose(found.score, net.scores(xs)[:, found.label].reshape(grid), rtol=1e-4)


@pytest.mark.parametrize("fill", ["pink", 256, -1, (1, 2), 0.5, [[1, 2, 3]], None])
def test_what_is_no_filling(fill):
    net = models.tiny_vgg(ops=NUMPY)
    with pytest.raises(DataError, match='a square is filled with "mean", "grey", a grey level or a colour'):
        visualize.occlude(net, image(net), fill=fill)


# ---- where the squares are, and what a pixel matters ----------------------------------------------------------------

@pytest.mark.parametrize(("n", "size", "stride"), [(224, 32, 8), (227, 32, 16), (5, 1, 1), (7, 9, 3), (3, 1, 7), (10, 3, 4),
                                                   (1, 1, 1), (1, 5, 2), (64, 9, 2), (11, 20, 30)])
def test_positions_cover_the_image(n, size, stride):
    tops, lefts, *pairs = positions((n, n), size, stride)
    assert tops.tolist() == lefts.tolist() == begins(n, size, stride)
    assert pairs == [(size, size), (stride, stride)]
    assert ((tops < n) & (tops + size > 0)).all()                     # every square holds a pixel
    if stride <= size:
        assert all(((tops <= i) & (i < tops + size)).any() for i in range(n))
    middle = tops + size / 2
    assert abs(middle[0] - (n - middle[-1])) <= 1                     # as far from one border as from the other


def test_default_sizes():
    assert positions((224, 224))[2:] == ((32, 32), (8, 8))
    assert positions((64, 100))[2:] == ((9, 9), (2, 2))
    assert positions((1, 3))[2:] == ((1, 1), (1, 1))


@pytest.mark.parametrize("of", ["probability", "score", "activity"])
@pytest.mark.parametrize(("size", "stride"), [((5, 3), (2, 3)), ((1, 1), (4, 5)), ((30, 30), (9, 9))])
def test_relevance_is_the_mean_drop_under_the_squares_over_a_pixel(of, size, stride):
    net = models.tiny_vgg(ops=NUMPY, dtype="float64")
    x = image(net)
    found = visualize.occlude(net, x, (size[0] * 4, size[1] * 4), (stride[0] * 4, stride[1] * 4))
    relevance = found.relevance(of)
    assert (relevance.shape, relevance.dtype) == ((64, 64), np.float64)
    for row, column in np.random.default_rng(0).integers(0, 64, (40, 2)):
        drops = [getattr(found, f"{of}0") - getattr(found, of)[i, j] for i, top in enumerate(found.tops)
                 for j, left in enumerate(found.lefts)
                 if top <= row < top + found.size[0] and left <= column < left + found.size[1]]
        assert relevance[row, column] == pytest.approx(np.mean(drops) if drops else 0, abs=1e-12)


def test_relevance_of_what_there_is_not():
    net = models.tiny_vgg(ops=NUMPY)
    with pytest.raises(NodeError, match="relevance is of probability, score or activity, not 'label'"):
        visualize.occlude(net, image(net), 9, 40).relevance("label")


def test_a_class_that_looks_at_one_corner_is_lost_there():
    """A network made by hand: its class 1 is the sum of the lower left quarter's pixels."""
    net = Network([("conv1", layers.Conv2d(1, 8, 8)), ("flatten", layers.Flatten()), ("fc", layers.Linear(2))],
                  (3, 16, 16), NUMPY)
    for name, value in {"conv1.weight": 1, "conv1.bias": 0, "fc.weight": [[0, 0, 0, 0], [0, 0, 0.01, 0]],
                        "fc.bias": [1, 0]}.items():
        net.params[name] = np.broadcast_to(np.float32(value), net.params[name].shape)
    found = visualize.occlude(net, np.ones((1, 3, 16, 16), "float32"), 4, 4, label=1)
    inside = np.zeros((16, 16), bool)
    inside[8:, :8] = True
    np.testing.assert_allclose(found.relevance("score"), 0.48 * inside, atol=1e-6)     # of 4 × 4 pixels in 3 colours
    row, column = found.worst()
    assert inside[int(row), int(column)]
    assert (found.labels == np.where(found.probability > 0.5, 1, 0)).all()
    assert found.probability0 > 0.7
    assert set(found.labels.ravel()) == {1}


# ---- the rest of figure 7 -------------------------------------------------------------------------------------------

def test_projections_are_those_of_the_map_in_rgb():
    net = models.squeezenet1_1(5, NUMPY)
    x, others = image(net, size=(50, 60)), np.concatenate([image(net, seed, (50, 60)) for seed in (1, 2)])
    found = visualize.occlude(net, x, 20, 40, others=others, layer="fire4")
    every = np.concatenate([x, others])
    expected = visualize.project(net, every, "fire4", (found.map,))[:, ::-1]
    np.testing.assert_allclose(found.projections, expected, atol=1e-5 * np.abs(expected).max())
    np.testing.assert_array_equal(found.pictures, net.preprocessing.pixels(every))
    y = net.activations(x, "fire4")["fire4"][0, found.map]
    assert found.unit == np.unravel_index(y.argmax(), y.shape)


def test_it_is_saved_whole(tmp_path):
    net = models.tiny_vgg(ops=NUMPY)
    net.classes = [f"k{i}" for i in range(10)]
    found = visualize.occlude(net, image(net), 9, 30, label=np.int64(3))
    arrays, about = found.save(tmp_path, "one")
    with np.load(arrays) as kept:
        assert set(kept) == {"tops", "lefts", "probability", "score", "labels", "activity", "projections", "pictures"}
        np.testing.assert_array_equal(kept["probability"], found.probability)
    about = json.loads(about.read_text())
    assert (about["class"], about["size"], about["fill"], about["layer"]) == ("k3", [9, 9], "mean", "relu2_2")
    assert about["worst"]["probability"] == found.probability.min()


def test_inputs_stay_and_results_repeat():
    net = models.zfnet_mini(4, get_ops("numba"), conv=(6, 8, 6, 6, 8), fc=(9,))
    x = image(net)
    before, seen = x.copy(), []

    def progress(steps):
        seen.append(len(steps))
        return iter(steps)

    one, other = (visualize.occlude(net, x, 9, 10, batch=8, progress=progress) for _ in range(2))
    np.testing.assert_array_equal(x, before)
    np.testing.assert_array_equal(one.probability, other.probability)
    assert seen == [-(-49 // 8)] * 2
    many = visualize.occlude(net, x, 9, 10, batch=1000)
    np.testing.assert_allclose(one.score, many.score, atol=1e-5)


def test_blank_images_and_single_pixels():
    for net, x in ((models.tiny_vgg(ops=NUMPY), np.zeros((1, 3, 64, 64), "float32")),
                   (models.zfnet_mini(3, NUMPY, conv=(2, 2, 0, 0, 0), fc=()), np.zeros((1, 3, 64, 64), "float32")),
                   (Network([("conv", layers.Conv2d(2, 1)), ("gap", layers.GlobalAvgPool())], (3, 1, 1), NUMPY),
                    np.ones((1, 3, 1, 1), "float32"))):
        found = visualize.occlude(net, x)
        assert np.isfinite(found.relevance()).all()
        if not x.any():
            assert np.abs(found.relevance("score")).max() < 1e-6       # a square of what is there changes nothing
            np.testing.assert_allclose(found.probability, found.probability0)


@pytest.mark.parametrize(("how", "error", "message"), [
    ({"label": 10}, NodeError, "there is no class 10: tiny_vgg tells 10 apart, 0 to 9"),
    ({"layer": "conv9"}, NodeError, "tiny_vgg has no layer 'conv9'"),
    ({"size": 0}, ShapeError, "occlude: size must be at least 1, got 0"),
    ({"stride": (3, 0)}, ShapeError, r"occlude: stride must be at least 1, got \(3, 0\)"),
    ({"batch": 0}, ShapeError, "occlude: batch must be a whole number from 1, got 0"),
    ({"others": np.zeros((2, 3, 60, 64), "float32")}, ShapeError,
     r"must be of the size of x, \(3, 64, 64\), got \(3, 60, 64\)"),
])
def test_refusals(how, error, message):
    net = models.tiny_vgg(ops=NUMPY)
    with pytest.raises(error, match=message):
        visualize.occlude(net, image(net), **how)


def test_what_is_no_image_or_network():
    net = models.tiny_vgg(ops=NUMPY)
    with pytest.raises(ShapeError, match=r"occlude takes one image x \(1, 3, H, W\), got shape \(2, 3, 64, 64\)"):
        visualize.occlude(net, np.zeros((2, 3, 64, 64), "float32"))
    plain = Network([("flatten", layers.Flatten()), ("fc", layers.Linear(2))], (3, 4, 4), NUMPY)
    with pytest.raises(NodeError, match=r"network has no maps \(C, H, W\), only features: it has flatten, fc"):
        visualize.occlude(plain, image(plain))
    assert check(plain, image(plain), 2, 2, layer="fc").unit == ()
    with pytest.raises(DataError, match="network has no preprocessing to tell what 'grey' is"):
        visualize.occlude(plain, image(plain), layer="fc", fill="grey")


# ---- trained weights ------------------------------------------------------------------------------------------------

def torch_scores(torch, net, x):
    """The network's scores, written in PyTorch from its nodes."""
    F, values = torch.nn.functional, {"input": torch.from_numpy(x)}
    w = {name: torch.from_numpy(value) for name, value in net.params.items()}

    def run(kind, name, layer, x, *more):
        return {"Conv2d": lambda: F.conv2d(x, w[f"{name}.weight"], w[f"{name}.bias"], layer.stride, layer.pad),
                "ReLU": lambda: F.relu(x), "Dropout": lambda: x, "GlobalAvgPool": lambda: x.mean((2, 3)),
                "MaxPool2d": lambda: F.max_pool2d(x, layer.size, layer.stride, layer.pad, ceil_mode=layer.ceil_mode),
                "Concatenate": lambda: torch.cat([x, *more], 1), "Flatten": lambda: x.flatten(1),
                "Linear": lambda: F.linear(x, w[f"{name}.weight"], w[f"{name}.bias"])}[kind]()

    with torch.no_grad():
        for name, layer, inputs in net.nodes.values():
            values[name] = run(type(layer).__name__, name, layer, *(values[i] for i in inputs))
    return values[net.output].numpy()


@pytest.mark.parametrize(("name", "file", "photo", "size", "stride"), [
    ("squeezenet1_1", "squeezenet1_1_imagenet.npz", "imagenet-photos-250/n02097047_miniature_schnauzer.JPEG", 32, 45),
    ("tiny_vgg", "tiny_vgg_tinyimagenet10.npz", "imagenet-photos-250/n02097047_miniature_schnauzer.JPEG", 9, 7)])
def test_a_trained_network_s_probabilities_are_pytorch_s(real_data, name, file, photo, size, stride):
    torch = pytest.importorskip("torch")
    net = getattr(models, name)(ops=get_ops("numba"), weights=real_data / "weights" / file)
    x = net.prepare([zf.data.load_image(real_data / photo)])
    found = visualize.occlude(net, x, size, stride)
    xs, grid = covered(x, (size, size), (stride, stride))
    right = softmax(np.concatenate([torch_scores(torch, net, xs[i:i + 6]) for i in range(0, len(xs), 6)]).astype(float))
    expected = right[:, found.label].reshape(grid)
    assert np.linalg.norm(found.probability - expected) <= 1e-4 * np.linalg.norm(expected)
    assert np.ptp(expected) > 0.05
    near = np.sort(right, axis=1)[:, -1] - np.sort(right, axis=1)[:, -2] > 1e-4
    np.testing.assert_array_equal(found.labels.ravel()[near], right.argmax(axis=1)[near])

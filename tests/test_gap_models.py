"""Networks with a GAP head: their shapes, their parts against PyTorch, and heads on other networks."""

import numpy as np
import pytest

from zfnumpy import checkpoint, get_ops, models
from zfnumpy.errors import CheckpointError, NodeError
from zfnumpy.layers import Conv2d, Linear
from zfnumpy.visualize import cam

NUMPY = get_ops("numpy")


def test_alexnet_gap():
    """Zhou et al., sec. 3: maps of 13×13, a 3×3 convolution with 1024 maps, their average, the scores."""
    net = models.alexnet_gap(ops=NUMPY)
    trunk = models.alexnet(ops=NUMPY, fc=())
    table = {"relu5": (256, 13, 13), "cam_conv": (1024, 13, 13), "gap": (1024,), "cam_fc": (1000,)}
    assert {name: net.shapes[name] for name in table} == table
    assert list(net.nodes)[-5:] == ["relu5", "cam_conv", "cam_relu", "gap", "cam_fc"]
    for name in ("conv1", "conv2", "conv5"):
        assert net.params[f"{name}.weight"].shape == trunk.params[f"{name}.weight"].shape


# Szegedy et al., table 1: input maps, #1×1, #3×3 reduce, #3×3, #5×5 reduce, #5×5, pool proj.
INCEPTIONS = [("3a", 192, 64, 96, 128, 16, 32, 32), ("3b", 256, 128, 128, 192, 32, 96, 64),
              ("4a", 480, 192, 96, 208, 16, 48, 64), ("4b", 512, 160, 112, 224, 24, 64, 64),
              ("4c", 512, 128, 128, 256, 24, 64, 64),
              ("4d", 512, 112, 144, 288, 32, 64, 64), ("4e", 528, 256, 160, 320, 32, 128, 128)]


def test_googlenet_gap():
    """Szegedy et al., table 1, to inception 4e, and Zhou et al.'s head: 14×14 maps of 224×224 pixels."""
    net = models.googlenet_gap(ops=NUMPY)
    table = {"conv1": (64, 112, 112), "pool1": (64, 56, 56), "conv2": (192, 56, 56), "pool2": (192, 28, 28),
             "inception3a": (256, 28, 28), "inception3b": (480, 28, 28), "pool3": (480, 14, 14),
             "inception4a": (512, 14, 14),
             "inception4b": (512, 14, 14), "inception4c": (512, 14, 14), "inception4d": (528, 14, 14),
             "inception4e": (832, 14, 14), "cam_conv": (1024, 14, 14), "gap": (1024,), "cam_fc": (1000,)}
    assert {name: net.shapes[name] for name in table} == table
    weights = {}
    for name, w in net.params.items():
        if name.endswith("weight"):
            part = name.partition(".")[0]
            weights[part] = weights.get(part, 0) + w.size
    for name, C, ones, reduce3, threes, reduce5, fives, pooled in INCEPTIONS:
        expected = C * (ones + reduce3 + reduce5 + pooled) + 9 * reduce3 * threes + 25 * reduce5 * fives
        assert weights[f"inception{name}"] == expected, name
    assert weights["conv1"] + weights["reduce2"] + weights["conv2"] == 9408 + 4096 + 110592


def googlenet_in_torch(torch, w, x):
    F = torch.nn.functional

    def conv(name, y, **settings):
        return torch.relu(F.conv2d(y, w[f"{name}.weight"], w[f"{name}.bias"], **settings))

    def norm(y):
        return F.local_response_norm(y, 5, 1e-4, 0.75, 1.0)

    def pool(y):
        return F.max_pool2d(y, 3, 2, ceil_mode=True)

    def inception(name, y):
        return torch.cat([conv(f"{name}.conv1x1", y),
                          conv(f"{name}.conv3x3", conv(f"{name}.reduce3x3", y), padding=1),
                          conv(f"{name}.conv5x5", conv(f"{name}.reduce5x5", y), padding=2),
                          conv(f"{name}.pool_conv", F.max_pool2d(y, 3, 1, 1))], 1)

    y = norm(pool(conv("conv1", x, stride=2, padding=3)))
    y = pool(norm(conv("conv2", conv("reduce2", y), padding=1)))
    y = pool(inception("inception3b", inception("inception3a", y)))
    for part in "abcde":
        y = inception(f"inception4{part}", y)
    y = conv("cam_conv", y, padding=1)
    return F.linear(y.mean((2, 3)), w["cam_fc.weight"], w["cam_fc.bias"]), y


def test_googlenet_gap_against_pytorch():
    torch = pytest.importorskip("torch")
    net = models.googlenet_gap(12, get_ops("numba"), maps=64)
    for i, (name, b) in enumerate(net.params.items()):
        if name.endswith("bias"):
            b[...] = 0.1 * np.random.default_rng(i).standard_normal(b.shape)
    x = 30 * np.random.default_rng(0).standard_normal((2, 3, 96, 117)).astype(np.float32)       # large: LRN matters
    scores, maps = googlenet_in_torch(torch, {name: torch.tensor(v) for name, v in net.params.items()}, torch.tensor(x))
    mine = net.scores(x)
    assert np.abs(mine - scores.numpy()).max() < 1e-4 * np.abs(mine).max()
    found = cam(net, x, 5)
    expected = torch.einsum("k,nkhw->nhw", torch.tensor(net.params["cam_fc.weight"][5]), maps).numpy()
    assert np.abs(found.maps - expected).max() < 1e-4 * np.abs(expected).max()


# ---- heads on other networks ------------------------------------------------------------------------------------------

def trained():
    """A network with weights and biases that nothing else has."""
    net = models.zfnet_mini(10, NUMPY, seed=8, conv=(4, 5, 6, 6, 7), fc=(5,))
    net.params["conv1.bias"] = np.arange(4.0)
    return net


def test_a_head_keeps_all_that_leads_to_its_maps():
    net = trained()
    head = models.gap_head(net, 3, seed=1, classes=["a", "b", "c"])
    assert list(head.nodes)[-3:] == ["relu5", "gap", "cam_fc"]
    assert (head.name, head.classes, head.preprocessing) == ("zfnet_mini_gap", ["a", "b", "c"], net.preprocessing)
    x = np.random.default_rng(0).standard_normal((2, 3, 64, 64)).astype(np.float32)
    np.testing.assert_array_equal(head.activations(x, "relu5")["relu5"], net.activations(x, "relu5")["relu5"])
    assert head.scores(x).shape == (2, 3)
    head.params["conv1.weight"][...] = 0
    assert net.params["conv1.weight"].all()                                       # each has its own
    again, other = (models.gap_head(net, 3, seed=seed).params["cam_fc.weight"] for seed in (1, 2))
    np.testing.assert_array_equal(again, head.params["cam_fc.weight"])
    assert (other != again).all()


def test_a_head_at_another_layer_with_a_convolution_and_a_fixed_trunk():
    net = trained()
    head = models.gap_head(net, 3, at="relu2", maps=9, dropout=0.5, freeze=True)
    assert list(head.nodes) == ["conv1", "relu1", "pool1", "norm1", "conv2", "relu2",
                                "cam_conv", "cam_relu", "gap", "cam_drop", "cam_fc"]
    assert head.shapes["cam_relu"] == (9, 16, 16)
    assert head.frozen == {"conv1", "conv2"}
    x = np.zeros((2, 3, 64, 64), np.float32)
    _, tape = head.forward(x)
    assert set(head.backward(np.ones((2, 3), np.float32), tape)) == {"cam_conv.weight", "cam_conv.bias", "cam_fc.weight",
                                                                     "cam_fc.bias"}
    assert models.gap_head(net, 3).frozen == frozenset()


def test_a_head_on_a_graph_and_on_a_head():
    net = models.squeezenet1_1(20, NUMPY, dtype="float64")
    head = models.gap_head(net, 4, at="fire9")
    assert (head.shapes["fire9"], head.dtype, head.preprocessing.order) == ((512, 14, 14), np.float64, "BGR")
    np.testing.assert_array_equal(head.params["fire9.expand3x3.weight"], net.params["fire9.expand3x3.weight"])
    again = models.gap_head(head, 2)
    assert (again.name, list(again.nodes)[-3:]) == ("squeezenet1_1_gap", ["fire9", "gap", "cam_fc"])
    assert models.gap_head(models.squeezenet1_1(20, NUMPY), 4).nodes["gap"].inputs == ("relu10",)


def test_heads_that_do_not_stand():
    with pytest.raises(NodeError, match=r"on maps \(C, H, W\); relu6 of zfnet_mini gives 5 features, relu5 gives maps"):
        models.gap_head(trained(), 3, at="relu6")
    with pytest.raises(NodeError, match="has no layer 'conv9'"):
        models.gap_head(trained(), 3, at="conv9")


def test_heads_reload(tmp_path):
    small = models.alexnet_gap(3, NUMPY, conv=(2, 2, 0, 2, 2), maps=3)
    for net in (small, models.gap_head(trained(), 3, maps=2, freeze=True)):
        checkpoint.save(tmp_path / "net.safetensors", net)
        back = checkpoint.load(tmp_path / "net.safetensors", NUMPY)
        x = np.ones((1, *net.input_shape), np.float32)
        np.testing.assert_array_equal(back.scores(x), net.scores(x))
        assert back.frozen == net.frozen


def test_a_step_trains_every_part_of_a_gap_network():
    net = models.googlenet_gap(3, get_ops("numba"), maps=4)
    x = np.random.default_rng(0).standard_normal((2, 3, 64, 64)).astype(np.float32)
    scores, tape = net.forward(x, train=True)
    grads = net.backward(scores * 0 + np.array([1, -1, 0.5], np.float32), tape)
    assert set(grads) == set(net.params)
    assert all(g.any() for g in grads.values())


# ---- the network that comes along -------------------------------------------------------------------------------------

def test_the_embedded_network():
    net = models.sketches_gap(NUMPY)
    assert net.input_shape == (3, 64, 64)
    assert len(net.classes) == net.shapes[net.output][0] == 10
    assert net.shapes[net.nodes["gap"].inputs[0]][1:] == (8, 8)
    path = models.embedded("sketches_gap")
    assert path.stat().st_size < 2**20 * 1.5
    found = checkpoint.read(path)
    assert not found.velocity
    assert {type(layer) for _, layer, _ in net.nodes.values() if layer.params} == {Conv2d, Linear}
    with pytest.raises(CheckpointError, match="no network 'resnet'; it carries sketches_gap, sketches_zfnet"):
        models.embedded("resnet")


def test_an_installed_package_has_it_too(monkeypatch, tmp_path):
    """Where there is no checkout around the package, its file lies in zfnumpy.embedded."""
    monkeypatch.setattr(models.trained, "__file__", str(tmp_path / "zfnumpy" / "models" / "trained.py"))
    monkeypatch.setattr(models.trained.resources, "files", lambda package: tmp_path / package)
    with pytest.raises(CheckpointError, match=r"sketches_gap.safetensors is missing, which the package carries"):
        models.embedded("sketches_gap")
    (tmp_path / "zfnumpy.embedded").mkdir()
    (tmp_path / "zfnumpy.embedded" / "sketches_gap.safetensors").touch()
    assert models.embedded("sketches_gap") == tmp_path / "zfnumpy.embedded" / "sketches_gap.safetensors"

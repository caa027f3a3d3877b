"""The architectures: what they are made of, how they start, and what trained weights make of real photographs."""

import math

import numpy as np
import pytest

from zfnumpy import get_ops, models
from zfnumpy.data import TinyImageNet, load_image
from zfnumpy.errors import CheckpointError, ShapeError
from zfnumpy.evaluate import ranks
from zfnumpy.layers import Conv2d, Linear, MaxPool2d

NUMPY = get_ops("numpy")


def parameters(net):
    return sum(w.size for w in net.params.values())


# ---- what they are made of ------------------------------------------------------------------------------------------

@pytest.fixture(scope="module")
def alexnet():
    return models.alexnet(ops=NUMPY)


def test_alexnet(alexnet):
    """Krizhevsky et al. 2012, sec. 3.5, with the two halves of conv2, conv4 and conv5 as groups."""
    table = {"conv1": (96, 55, 55), "pool1": (96, 27, 27), "conv2": (256, 27, 27), "pool2": (256, 13, 13),
             "conv3": (384, 13, 13), "conv4": (384, 13, 13), "conv5": (256, 13, 13), "pool5": (256, 6, 6), "fc6": (4096,),
             "fc7": (4096,), "fc8": (1000,)}
    assert {name: alexnet.shapes[name] for name in table} == table
    assert [alexnet.nodes[f"conv{i}"].layer.groups for i in range(1, 6)] == [1, 2, 1, 2, 2]
    order = list(alexnet.nodes)
    assert order[order.index("relu1"):order.index("conv2")] == ["relu1", "norm1", "pool1"]     # normalized before pooling
    assert parameters(alexnet) == 60_965_224


def test_alexnet_without_groups():
    net = models.alexnet(7, NUMPY, groups=1, conv=(4, 4, 4, 4, 4), fc=())
    assert {layer.groups for _, layer, _ in net.nodes.values() if isinstance(layer, Conv2d)} == {1}


def test_zfnet_mini():
    net = models.zfnet_mini(ops=NUMPY)
    table = {"conv1": (64, 32, 32), "pool1": (64, 16, 16), "conv2": (128, 16, 16), "pool2": (128, 8, 8),
             "conv3": (192, 8, 8), "conv4": (192, 8, 8), "conv5": (128, 8, 8), "pool5": (128, 4, 4), "fc6": (512,),
             "fc7": (512,), "fc8": (10,)}
    assert {name: net.shapes[name] for name in table} == table
    # 9,472 + 204,928 + 221,376 + 331,968 + 221,312 in the convolutions, 1,049,088 + 262,656 + 5,130 above
    assert parameters(net) == 2_305_930


def test_tiny_vgg():
    net = models.tiny_vgg(ops=NUMPY)
    assert net.shapes["pool2"] == (10, 13, 13)
    assert parameters(net) == 10 * 3 * 9 + 10 + 3 * (10 * 10 * 9 + 10) + 1690 * 10 + 10
    assert net.classes is None                            # the names belong to the trained weights
    assert models.tiny_vgg(3, NUMPY).classes is None


def test_squeezenet():
    """Iandola et al., table 1, in version 1.1: 1,235,496 parameters."""
    net = models.squeezenet1_1(ops=NUMPY)
    table = {"conv1": (64, 113, 113), "pool1": (64, 56, 56), "fire2": (128, 56, 56), "fire3": (128, 56, 56),
             "pool3": (128, 28, 28), "fire5": (256, 28, 28), "pool5": (256, 14, 14), "fire6": (384, 14, 14),
             "fire9": (512, 14, 14), "conv10": (1000, 14, 14), "pool10": (1000,)}
    assert {name: net.shapes[name] for name in table} == table
    assert parameters(net) == 1_235_496
    assert net.nodes["fire4"].inputs == ("fire4.relu_expand1x1", "fire4.relu_expand3x3")


@pytest.mark.parametrize(("model", "size"), [(models.zfnet, 224), (models.alexnet, 227), (models.zfnet_mini, 64)])
def test_any_widths(model, size):
    net = model(6, NUMPY, conv=(8, 6, 4, 2, 10), fc=(5,))
    assert [net.shapes[f"conv{i}"][0] for i in range(1, 6)] == [8, 6, 4, 2, 10]
    assert [name for name in net.nodes if name.startswith("fc")] == ["fc6", "fc7"]
    assert (net.shapes["fc6"], net.shapes["fc7"]) == ((5,), (6,))
    assert net.scores(np.zeros((1, 3, size, size), np.float32)).shape == (1, 6)


@pytest.mark.parametrize("model", [models.zfnet, models.alexnet, models.zfnet_mini])
def test_layers_left_out(model):
    """The paper's ablations (sec. 4.3, table 3): a width of 0 leaves a convolution out, () the layers before the scores."""
    net = model(6, NUMPY, conv=(4, 6, 0, 0, 8), fc=())
    assert [name for name in net.nodes if name.startswith("conv")] == ["conv1", "conv2", "conv5"]
    assert "relu3" not in net.nodes
    assert list(net.nodes)[-2:] == ["flatten", "fc6"]
    assert net.shapes["fc6"] == (6,)
    assert net.params["conv5.weight"].shape[1] * net.nodes["conv5"].layer.groups == 6
    bare = model(6, NUMPY, conv=(4, 6, 0, 0, 0), fc=(3, 3), dropout=0)
    assert [name for name in bare.nodes if name.startswith("conv")] == ["conv1", "conv2"]
    assert not any(name.startswith("drop") for name in bare.nodes)
    assert isinstance(bare.nodes["pool5"].layer, MaxPool2d)


@pytest.mark.parametrize("conv", [(1, 2, 3, 4), (0, 2, 3, 4, 5), (1, 0, 3, 4, 5), (1, 2, 3, 4, 5, 6)])
@pytest.mark.parametrize("model", [models.zfnet, models.alexnet, models.zfnet_mini])
def test_widths_that_make_no_network(model, conv):
    with pytest.raises(ShapeError, match="conv must give five widths, the first two above 0, got ") as error:
        model(ops=NUMPY, conv=conv)
    assert str(conv) in str(error.value)
    with pytest.raises(ShapeError, match="must be a whole number from 1, got -3"):
        model(ops=NUMPY, conv=(1, 2, -3, 4, 5))
    with pytest.raises(ShapeError, match="must be a whole number from 1, got 0"):
        model(0, NUMPY, conv=(1, 2, 3, 4, 5), fc=())


# ---- how they start -------------------------------------------------------------------------------------------------

def test_the_two_ways_to_start():
    for init in ("he", "paper"):
        net = models.zfnet_mini(10, NUMPY, seed=3, init=init)
        for name, w in net.params.items():
            if name.endswith("bias"):
                assert not w.any(), name
                continue
            layer = net.nodes[name.rpartition(".")[0]].layer
            assert isinstance(layer, (Conv2d, Linear))
            std = 1e-2 if init == "paper" else math.sqrt(2 / math.prod(w.shape[1:]))
            close = 5 / math.sqrt(2 * w.size)                        # five standard deviations of a sample's own
            assert w.std() == pytest.approx(std, rel=close), name
            assert abs(w.mean()) < 5 * std / math.sqrt(w.size), name
            assert abs((np.abs(w) < std).mean() - 0.6827) < 2.5 / math.sqrt(w.size), name      # and normal


def test_seeds_and_dtypes():
    settings = {"conv": (4, 4, 4, 4, 4), "fc": (4,)}
    one, again, other = (models.zfnet_mini(3, NUMPY, seed, **settings) for seed in (1, 1, 2))
    double = models.zfnet_mini(3, NUMPY, 1, "float64", **settings)
    for name, w in one.params.items():
        np.testing.assert_array_equal(again.params[name], w)
        np.testing.assert_array_equal(double.params[name].astype("float32"), w)
        assert w.dtype == np.float32
        assert double.params[name].dtype == np.float64
        assert name.endswith("bias") or (other.params[name] != w).all()


def test_the_paper_s_start_belongs_to_the_paper_s_scale():
    """Pixels of about ±128 with weights of 1e-2; about ±1 with He's, whose conv1 starts above the radius of 0.1."""
    for model, resize, crop in ((models.zfnet, 256, 224), (models.alexnet, 256, 227), (models.zfnet_mini, 64, 64)):
        for init, scale in (("he", 1 / 128), ("paper", 1)):
            settings = model(2, NUMPY, init=init, conv=(2, 2, 0, 0, 0), fc=()).preprocessing
            assert (settings.resize, settings.crop, settings.scale, settings.order) == (resize, crop, scale, "RGB")
            np.testing.assert_allclose(settings.mean, [122.68, 116.779, 103.939], rtol=1e-6)


def test_what_trained_networks_expect():
    vgg, squeezenet = models.tiny_vgg(ops=NUMPY).preprocessing, models.squeezenet1_1(2, NUMPY).preprocessing
    assert (vgg.resize, vgg.crop, vgg.scale, vgg.order) == (64, 64, 1 / 255, "RGB")
    np.testing.assert_array_equal(vgg.mean, 0)
    assert (squeezenet.resize, squeezenet.crop, squeezenet.scale, squeezenet.order) == (256, 227, 1, "BGR")
    np.testing.assert_allclose(squeezenet.mean, [103.939, 116.779, 123.68], rtol=1e-6)


def test_the_signal_survives_he_initialization():
    """Neither dies nor explodes on its way up, which is what sqrt(2 / fan_in) is for."""
    net = models.zfnet_mini(10, get_ops("numba"), seed=0)
    x = np.random.default_rng(0).standard_normal((8, 3, 64, 64)).astype(np.float32)
    for name, y in net.activations(x, [name for name in net.nodes if name.startswith("conv")]).items():
        assert 0.3 < y.std() < 5, name


# ---- trained weights on real photographs ----------------------------------------------------------------------------

def test_tiny_vgg_on_real_photographs(real_data):
    """244 of the 350 validation images of the seven classes that the two sets share, as measured with another framework."""
    net = models.tiny_vgg(ops=get_ops("numba"), weights=real_data / "weights" / "tiny_vgg_tinyimagenet10.npz")
    val = TinyImageNet(real_data / "tiny-imagenet-20", "val")
    shared = [i for i, label in enumerate(val.labels) if val.classes[label] in net.classes]
    assert len(shared) == 350
    labels = np.array([net.classes.index(val.classes[val.labels[i]]) for i in shared])
    scores = net.scores(net.prepare([val.image(i) for i in shared]))
    assert abs(int((scores.argmax(axis=1) == labels).sum()) - 244) <= 1


def test_squeezenet_on_real_photographs(real_data):
    """161 of 250 photographs top-1 and 214 top-5, as measured with another framework."""
    net = models.squeezenet1_1(ops=get_ops("numba"), weights=real_data / "weights" / "squeezenet1_1_imagenet.npz")
    folder = real_data / "imagenet-photos-250"
    rows = [line.split("\t") for line in (folder / "labels.tsv").read_text().splitlines()[1:]]
    found = []
    for start in range(0, len(rows), 50):
        part = rows[start:start + 50]
        scores = net.scores(net.prepare([load_image(folder / row[0]) for row in part]))
        found += ranks(scores, np.array([int(row[1]) for row in part])).tolist()
    assert len(found) == 250
    assert abs(sum(rank == 0 for rank in found) - 161) <= 1
    assert abs(sum(rank < 5 for rank in found) - 214) <= 1


def test_weights_that_are_another_model_s(real_data):
    with pytest.raises(CheckpointError, match=r"squeezenet1_1_imagenet\.npz has no conv1_1.weight"):
        models.tiny_vgg(ops=NUMPY, weights=real_data / "weights" / "squeezenet1_1_imagenet.npz")

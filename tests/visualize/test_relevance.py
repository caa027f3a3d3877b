"""Maps of what matters: the rules against their definition in another framework, and those that ignore the network."""

import numpy as np
import pytest

from zfnumpy import get_ops, models
from zfnumpy.data import load_image
from zfnumpy.errors import NodeError
from zfnumpy.gradcheck import relative_error
from zfnumpy.layers import Conv2d, Flatten, GlobalAvgPool, Linear, LocalResponseNorm, MaxPool2d, ReLU
from zfnumpy.network import Network
from zfnumpy.visualize import METHODS, project, relevance_maps
from zfnumpy.visualize.cam import cam, gradcam
from zfnumpy.visualize.occlusion import occlude
from zfnumpy.visualize.relevance import MODEL_FREE, chosen, deconvnet, noise
from zfnumpy.visualize.saliency import saliency

NUMPY = get_ops("numpy")
RNG = np.random.default_rng(0)


def network(ops=NUMPY, dtype="float64", seed=1):
    return Network([("conv1", Conv2d(4, 3, pad=1)), ("relu1", ReLU()), ("pool1", MaxPool2d(2)),
                    ("norm1", LocalResponseNorm()), ("conv2", Conv2d(5, 3, pad=1)), ("relu2", ReLU()),
                    ("flatten", Flatten()), ("fc3", Linear(3))],
                   (3, 10, 8), ops, seed=seed, dtype=dtype)


def pictures(N=3, dtype="float64"):
    return RNG.standard_normal((N, 3, 10, 8)).astype(dtype)


@pytest.mark.parametrize(("backend", "dtype"), [("numpy", "float32"), ("numpy", "float64"), ("numba", "float32")])
def test_every_map_has_the_picture_s_size_and_is_not_negative(backend, dtype):
    net, x = network(get_ops(backend), dtype), pictures(dtype=dtype)
    before = x.copy()
    maps, notes = relevance_maps(net, x)
    assert set(maps) | set(notes) == set(METHODS)
    for name, found in maps.items():
        assert type(found) is np.ndarray
        assert (found.shape, found.dtype) == ((3, 10, 8), np.dtype(dtype)), name
        assert 0 <= found.min() < found.max() < np.inf, name
    assert (x == before).all()


def test_rules_on_trained_weights_are_torch_s(real_data):
    """Tiny VGG written once more, its ReLU's way back exchanged for each rule."""
    torch = pytest.importorskip("torch")
    net = models.tiny_vgg(weights=real_data / "weights" / "tiny_vgg_tinyimagenet10.npz", ops=get_ops("numba"))
    files = sorted((real_data / "imagenet-photos-250").glob("*.JPEG"))[::130]
    x, label = net.prepare([load_image(path) for path in files]), 4

    class Rule(torch.autograd.Function):
        @staticmethod
        def forward(context, a, rule):
            context.save_for_backward(a)
            context.rule = rule
            return a.clamp(min=0)

        @staticmethod
        def backward(context, dy):
            a, = context.saved_tensors
            passes = {"gradient": a > 0, "deconvnet": dy > 0, "guided": (a > 0) & (dy > 0)}[context.rule]
            return torch.where(passes, dy, 0), None

    p = {name: torch.from_numpy(np.asarray(value, np.float64)) for name, value in net.params.items()}

    def downwards(rule):
        a = t = torch.from_numpy(x.astype(np.float64)).requires_grad_()
        for block in (1, 2):
            for i in (1, 2):
                a = Rule.apply(torch.nn.functional.conv2d(a, p[f"conv{block}_{i}.weight"], p[f"conv{block}_{i}.bias"]), rule)
            a = torch.nn.functional.max_pool2d(a, 2)
        scores = a.flatten(1) @ p["fc.weight"].T + p["fc.bias"]
        scores[:, label].sum().backward()
        return t.grad.numpy()

    maps, _ = relevance_maps(net, x, chosen(["gradient", "gradient-x-input", "guided", "deconvnet"]), label)
    for name, rule in (("gradient", "gradient"), ("guided", "guided"), ("deconvnet", "deconvnet")):
        assert relative_error(maps[name], abs(downwards(rule)).max(axis=1)) < 1e-4, name
    assert relative_error(maps["gradient-x-input"], abs((downwards("gradient") * x).sum(axis=1))) < 1e-4


def test_the_deconvnet_starts_from_one():
    """A score above zero only scales the map; from one below zero the paper's start would show what holds the class down."""
    net, x = network(), pictures(8)
    scores = net.scores(x)
    assert (scores.min(axis=0) < 0).any()
    for label in range(3):
        found = deconvnet(net, x, label)
        paper = abs(project(net, x, "fc3", label)).max(axis=1)
        above = scores[:, label] > 0
        np.testing.assert_allclose(found[above] * scores[above, label, None, None], paper[above], rtol=1e-9)
        if not above.all():
            assert not np.allclose(found[~above] * -scores[~above, label, None, None], paper[~above])


def test_a_tape_saves_the_pass_and_batches_change_nothing():
    net, x = network(), pictures(5)
    _, tape = net.forward(x)
    whole, _ = relevance_maps(net, x, label=[0, 1, 2, 0, 1])
    parts, _ = relevance_maps(net, x, label=[0, 1, 2, 0, 1], batch=2)
    for name, method in METHODS.items():
        if name in whole:
            np.testing.assert_allclose(parts[name], whole[name], rtol=1e-12, atol=1e-14, err_msg=name)
            np.testing.assert_allclose(method(net, x, [0, 1, 2, 0, 1], tape), whole[name], rtol=1e-12, atol=1e-14)


def averaging():
    """A network whose class activation maps are signed."""
    return Network([("conv1", Conv2d(6, 3, pad=1)), ("relu1", ReLU()), ("pool1", MaxPool2d(2)), ("gap", GlobalAvgPool()),
                    ("fc2", Linear(3))], (3, 10, 8), NUMPY, seed=3, dtype="float64")


def test_maps_of_places_are_enlarged_and_what_speaks_against_the_class_is_left_out():
    net, x, labels = averaging(), pictures(), [0, 2, 1]
    maps, notes = relevance_maps(net, x, label=labels)
    assert not notes
    assert (maps["gradcam"] == gradcam(net, x, labels).upsampled()).all()
    signed = cam(net, x, labels).upsampled()
    assert signed.min() < 0 < signed.max()
    assert (maps["cam"] == np.maximum(signed, 0)).all()


def test_occlusion_is_the_fall_of_the_score():
    net, x, labels = averaging(), pictures(), [0, 2, 1]
    found = METHODS["occlusion"](net, x, labels)
    for n, label in enumerate(labels):
        fall = occlude(net, x[n:n + 1], (1, 1), (1, 1), label=label).relevance("score")
        assert fall.min() < 0 < fall.max()
        np.testing.assert_allclose(found[n], np.maximum(fall, 0))    # a seventh of 8 pixels is one
    assert (METHODS["occlusion"](net, x) == METHODS["occlusion"](net, x, net.scores(x).argmax(axis=1))).all()


def test_occlusion_needs_no_maps():
    net = Network([("flatten", Flatten()), ("fc1", Linear(4)), ("relu1", ReLU()), ("fc2", Linear(3))], (3, 10, 8), NUMPY,
                  seed=1, dtype="float64")
    x = pictures(1)
    found = relevance_maps(net, x, chosen(["occlusion"]), 2)[0]["occlusion"]
    drop = occlude(net, x, 1, 1, label=2, layer="fc1").relevance("score")          # the square is 8/7 pixels, so one wide
    np.testing.assert_allclose(found[0], np.maximum(drop, 0), atol=1e-12)


def test_cam_is_left_out_where_there_is_no_average():
    maps, notes = relevance_maps(network(), pictures())
    assert set(maps) == set(METHODS) - {"cam"}
    assert "averages of maps" in notes["cam"]


def test_the_class_is_the_strongest_unless_it_is_named():
    net, x = network(), pictures()
    best = net.scores(x).argmax(axis=1)
    assert (saliency(net, x) == saliency(net, x, best)).all()
    assert not np.allclose(saliency(net, x, 0), saliency(net, x, 1))


def test_three_know_nothing_of_the_network():
    x = pictures()
    one, other = (relevance_maps(network(seed=seed), x, chosen(MODEL_FREE), 0)[0] for seed in (1, 2))
    for name in MODEL_FREE:
        assert (one[name] == other[name]).all()


def test_edges_are_the_slope_of_the_picture():
    x = np.zeros((2, 3, 5, 6))
    x[0, 1] = 3 * np.arange(6) + 4 * np.arange(5)[:, None]           # a ramp of slope 5, in one colour
    found = METHODS["edges"](network(), x)
    np.testing.assert_allclose(found[0, 1:-1, 1:-1], 5)
    assert not found[1].any()


def test_centre_and_noise():
    x = pictures(2)
    middle = METHODS["centre"](network(), x)
    np.testing.assert_allclose(middle, middle[:, ::-1, ::-1])
    assert middle[0].max() == middle[0, 4, 3] > middle[0, 0, 3] > middle[0, 0, 0]
    assert middle[0, 0, 3] == pytest.approx(np.exp(-0.5 * ((4.5 / 2.5) ** 2 + (0.5 / 2) ** 2)))
    speckle = noise(network(), x)
    assert (speckle == noise(network(), x[::-1])[::-1]).all()        # a picture's own, whatever its place
    assert not np.allclose(speckle[0], speckle[1])


@pytest.mark.parametrize("N", [1, 2])
def test_blank_pictures(N):
    maps, _ = relevance_maps(network(), np.zeros((N, 3, 10, 8)))
    assert all(np.isfinite(found).all() for found in maps.values())
    assert not maps["edges"].any()


def test_a_picture_of_one_pixel():
    net = Network([("conv1", Conv2d(2, 1)), ("relu1", ReLU()), ("flatten", Flatten()), ("fc", Linear(2))], (3, 1, 1), NUMPY,
                  dtype="float64")
    maps, _ = relevance_maps(net, np.ones((1, 3, 1, 1)), chosen(["gradient", "guided", "deconvnet", *MODEL_FREE]))
    assert all(np.isfinite(found).all() and found.shape == (1, 1, 1) for found in maps.values())


def test_a_method_that_the_network_cannot_have_is_noted():
    def never(net, x, label=None, tape=None):
        raise NodeError("not on this network")

    maps, notes = relevance_maps(network(), pictures(), {"never": never, "gradient": saliency}, batch=1)
    assert (list(maps), notes) == (["gradient"], {"never": "not on this network"})
    with pytest.raises(NodeError, match="none of 1 methods has a map of 3 pictures; never: not on this network"):
        relevance_maps(network(), pictures(), {"never": never})


def test_names_and_classes_that_are_not_there():
    assert list(chosen(["noise", "gradient"])) == ["gradient", "noise"]
    with pytest.raises(NodeError, match="there is no method 'gradients'; there are gradient, gradient-x-input, guided"):
        chosen(["gradients"])
    with pytest.raises(NodeError, match="there is no class 3"):
        relevance_maps(network(), pictures(), label=3)
    with pytest.raises(NodeError, match="3 pictures need 3 classes, got 4"):
        relevance_maps(network(), pictures(), label=[0, 1, 2, 0], batch=1)


def test_on_a_device(device_ops):
    x = pictures(2, "float32")
    host, device = network(dtype="float32"), network(device_ops, "float32")
    expected, _ = relevance_maps(host, x, label=[2, 0])
    found, _ = relevance_maps(device, device_ops.asarray(x), label=[2, 0])
    assert list(found) == list(expected)
    for name, maps in found.items():
        assert type(maps) is np.ndarray
        np.testing.assert_allclose(maps, expected[name], rtol=1e-4, atol=1e-5 * expected[name].max(), err_msg=name)

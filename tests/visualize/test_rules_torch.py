"""Gradient, guided backpropagation, deconvnet and saliency against PyTorch: its autograd, with hooks on every ReLU.

The architectures are written here again, and the trained weights read from their files. In float64: where two values of
a pooling window, or a value and zero, differ by less than rounding, two float32 libraries rightly choose differently. And
with a thousandth of a grey level added to the photographs: in their flat parts whole windows tie exactly, and which of the
equal values comes out the largest by a rounding error is again the library's affair.
"""

import numpy as np
import pytest

from zfnumpy import data, get_ops, models
from zfnumpy.ops.face import RULES
from zfnumpy.visualize import by_rules, project, saliency

torch = pytest.importorskip("torch")
F = torch.nn.functional


def relu(x, rule):
    """ReLU whose backward pass is gradient r·[x>0], guided r·[x>0]·[r>0] or deconvnet r·[r>0]."""
    layer = torch.nn.ReLU()
    if rule == "guided":
        layer.register_full_backward_hook(lambda _, below, above: (below[0].clamp(min=0),))
    if rule == "deconvnet":
        layer.register_full_backward_hook(lambda _, below, above: (above[0].clamp(min=0),))
    return layer(x)


def norm(x, rule):
    """Contrast normalization, which the deconvnet and guided backpropagation pass by on their way down."""
    y = F.local_response_norm(x, 5, alpha=5e-4, beta=0.75, k=2.0)
    return y if rule == "gradient" else x + (y - x).detach()


def tiny_vgg(x, w, rule):
    y = {}
    for block in (1, 2):
        for i in (1, 2):
            name = f"{block}_{i}"
            y[f"conv{name}"] = x = F.conv2d(x, w[f"conv{name}.weight"], w[f"conv{name}.bias"])
            y[f"relu{name}"] = x = relu(x, rule)
        y[f"pool{block}"] = x = F.max_pool2d(x, 2)
    y["fc"] = F.linear(x.flatten(1), w["fc.weight"], w["fc.bias"])
    return y


def squeezenet1_1(x, w, rule):
    def conv(name, x, **how):
        y[name] = F.conv2d(x, w[f"{name}.weight"], w[f"{name}.bias"], **how)
        return relu(y[name], rule)

    def pool(x):
        return F.max_pool2d(x, 3, 2, ceil_mode=True)

    y = {}
    y["relu1"] = x = conv("conv1", x, stride=2)
    y["pool1"] = x = pool(x)
    for number in range(2, 10):
        name = f"fire{number}"
        x = conv(f"{name}.squeeze1x1", x)
        y[name] = x = torch.cat([conv(f"{name}.expand1x1", x), conv(f"{name}.expand3x3", x, padding=1)], dim=1)
        x = pool(x) if number in (3, 5) else x
    y["relu10"] = x = conv("conv10", x)
    y["pool10"] = x.mean(dim=(2, 3))
    return y


def zfnet(x, w, rule, at_norm=None):
    y = {}
    for i, how in enumerate([{"stride": 2, "padding": 1}, {"stride": 2}, *[{"padding": 1}] * 3], 1):
        y[f"conv{i}"] = x = F.conv2d(x, w[f"conv{i}.weight"], w[f"conv{i}.bias"], **how)
        y[f"relu{i}"] = x = relu(x, rule)
        if i < 3:
            y[f"pool{i}"] = x = F.max_pool2d(x, 3, 2, 1)
            y[f"norm{i}"] = x = norm(x, at_norm or rule)
    x = F.max_pool2d(x, 3, 2).flatten(1)
    x = relu(F.linear(x, w["fc6.weight"], w["fc6.bias"]), rule)
    y["fc7"] = F.linear(x, w["fc7.weight"], w["fc7.bias"])
    return y


def trained(real_data, name, file):
    """A network with trained weights in float64, the same weights for PyTorch, and two photographs."""
    path = real_data / "weights" / file
    net = getattr(models, name)(weights=path, ops=get_ops("numba"), dtype="float64")
    with np.load(path) as arrays:
        weights = {key: torch.from_numpy(arrays[key].astype(np.float64)) for key in arrays}
    x = net.prepare([data.load_image(real_data / "imagenet-photos-250" / f"{photo}.JPEG")
                     for photo in ("n01560419_bulbul", "n02391049_zebra")])
    level = 1e-3 * net.preprocessing.scale
    return net, weights, x + level * np.random.default_rng(0).standard_normal(x.shape)


@pytest.fixture(scope="module")
def tiny(real_data):
    return (tiny_vgg, *trained(real_data, "tiny_vgg", "tiny_vgg_tinyimagenet10.npz"))


@pytest.fixture(scope="module")
def squeezed(real_data):
    net, weights, x = trained(real_data, "squeezenet1_1", "squeezenet1_1_imagenet.npz")
    return squeezenet1_1, net, weights, x[:1, :, 20:151, 50:181]       # the bird's head: the network takes any size


@pytest.fixture(scope="module")
def random():
    """A narrow ZFNet of random weights, on inputs so large that contrast normalization is felt."""
    net = models.zfnet(7, get_ops("numba"), seed=3, dtype="float64", conv=(8, 12, 8, 8, 8), fc=(16,))
    rng = np.random.default_rng(0)
    for name, w in net.params.items():
        if name.endswith("bias"):
            w[...] = rng.standard_normal(w.shape)
    weights = {name: torch.from_numpy(w.copy()) for name, w in net.params.items()}
    return zfnet, net, weights, 40 * rng.standard_normal((2, 3, 224, 224))


def by_torch(model, weights, x, units, rule):
    """For {layer: unit}, {layer: (each image's reconstruction of the unit (N, 3, H, W), what it started from (N,))}."""
    x = torch.from_numpy(x.copy()).requires_grad_()
    y, found = model(x, weights, rule), {}
    for layer, unit in units.items():
        picked = torch.stack([each[tuple(int(part[n]) for part in unit)] for n, each in enumerate(y[layer])])
        start = picked.detach() if rule == "deconvnet" else torch.ones_like(picked)
        if layer == list(y)[-1]:                              # a score's sign means nothing
            start = start.abs()
        below, = torch.autograd.grad(picked, x, start, retain_graph=True)
        found[layer] = below.numpy(), start.numpy()
    return found


def error(found, expected):
    return np.abs(found - expected).max() / np.abs(expected).max()


def strongest(net, x, layers):
    """For each layer the map with the strongest unit, and where that is in each image; of features each image's largest."""
    found = {}
    for layer, y in net.activations(x, layers).items():
        if y.ndim == 2:
            found[layer] = (y.argmax(axis=1),)
            continue
        best = int(y.max(axis=(0, 2, 3)).argmax())
        places = np.unravel_index(y[:, best].reshape(len(y), -1).argmax(axis=1), y.shape[2:])
        found[layer] = (np.full(len(y), best), *places)
    return found


def check(network, layers):
    model, net, weights, x = network
    units, tape = strongest(net, x, layers), net.forward(x)[1]
    for rule in RULES:
        for layer, (expected, _) in by_torch(model, weights, x, units, rule).items():
            assert np.abs(expected).max() > 0
            found = by_rules(net, x, layer, units[layer][:1], (rule,), tape)[rule]
            assert error(found, expected) < 1e-9, f"{net.name} {layer} {rule}"
            if (layer, rule) == (net.output, "gradient"):
                assert error(saliency(net, x, tape=tape), np.abs(expected).max(axis=1)) < 1e-9


def test_tiny_vgg_trained(tiny):
    check(tiny, ["conv1_1", "relu1_2", "pool1", "conv2_1", "relu2_2", "fc"])


def test_squeezenet_trained(squeezed):
    check(squeezed, ["conv1", "fire3", "fire9.squeeze1x1", "conv10", "pool10"])


def test_zfnet_with_contrast_normalization(random):
    check(random, ["pool1", "norm1", "conv2", "norm2", "relu4", "conv5", "fc7"])


def test_normalization_is_felt_here(random):
    """What the test above would not see, were the inputs small: below the normalization the gradient is another picture."""
    model, net, weights, x = random
    unit = strongest(net, x, ["conv5"])
    through, _ = by_torch(model, weights, x, unit, "gradient")["conv5"]
    past, _ = by_torch(lambda x, w, _: zfnet(x, w, "gradient", "guided"), weights, x, unit, "gradient")["conv5"]
    assert error(project(net, x, "conv5", unit["conv5"], "gradient"), through) < 1e-9
    assert error(past, through) > 0.05


def test_the_deconvnet_of_a_negative_score_shows_what_speaks_for_the_class(random):
    """`project` starts from the value, by_rules from its magnitude."""
    model, net, weights, x = random
    label = int(net.scores(x).sum(axis=0).argmin())
    scores = net.scores(x)[:, label]
    expected, start = by_torch(model, weights, x, {"fc7": (np.full(2, label),)}, "deconvnet")["fc7"]
    assert error(by_rules(net, x, unit=label)["deconvnet"], expected) < 1e-9
    np.testing.assert_allclose(start, np.abs(scores))
    assert (scores < 0).any()
    for n in np.flatnonzero(scores < 0):
        assert error(project(net, x[n:n + 1], "fc7", label), expected[n:n + 1]) > 0.1


def test_float32_differs_by_its_rounding(squeezed):
    """Some switches and signs are in doubt within rounding, and move a little of the picture: some 0.2 % of the whole."""
    model, net, weights, x = squeezed
    single = models.squeezenet1_1(ops=net.ops)
    for name, w in net.params.items():
        single.params[name] = w.astype(np.float32)
    unit = strongest(net, x, ["pool10"])
    found = by_rules(single, x.astype(np.float32), unit=unit["pool10"], rules=("gradient",))["gradient"]
    expected, _ = by_torch(model, weights, x, unit, "gradient")["pool10"]
    assert np.linalg.norm(found - expected) < 1e-2 * np.linalg.norm(expected)

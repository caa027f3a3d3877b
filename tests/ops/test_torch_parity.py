"""PyTorch as a second opinion: operations, the optimizer, and whole networks written down from the paper's table."""

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="PyTorch is not installed: parity is not tested here")

from zfnumpy import get_ops, models  # noqa: E402
from zfnumpy.layers import Conv2d, Flatten, Linear, MaxPool2d, ReLU  # noqa: E402
from zfnumpy.loss import softmax, softmax_cross_entropy  # noqa: E402
from zfnumpy.network import Network  # noqa: E402
from zfnumpy.optim import SGD  # noqa: E402

F = torch.nn.functional
TOLERANCE = {"float32": 1e-5, "float64": 1e-12}
dtypes = pytest.mark.parametrize("dtype", ["float32", "float64"])


def normal(seed, *shape, dtype="float64"):
    return np.random.default_rng(seed).standard_normal(shape).astype(dtype)


def leaf(array):
    return torch.tensor(array, requires_grad=True)


def assert_close(actual, expected, tolerance=None):
    expected = expected.detach().numpy() if isinstance(expected, torch.Tensor) else expected
    assert actual.dtype == expected.dtype
    assert actual.shape == expected.shape
    error = np.abs(actual - expected).max() / np.abs(expected).max()
    assert error <= (tolerance or TOLERANCE[str(actual.dtype)]), f"relative error {error:.3g}"


@dtypes
@pytest.mark.parametrize(("x_shape", "w_shape", "settings"), [
    ((3, 4, 9, 10), (6, 4, 3, 3), {"stride": 1, "pad": 1}),
    ((2, 6, 11, 8), (8, 3, 5, 2), {"stride": (2, 3), "pad": (2, 0), "groups": 2}),
    ((2, 3, 30, 30), (20, 3, 7, 7), {"stride": 2, "pad": 1}),
    ((5, 40, 7, 7), (70, 40, 3, 3), {"pad": 1}),
])
def test_conv2d_and_its_gradients(host_ops, dtype, x_shape, w_shape, settings):
    x, weight, bias = normal(0, *x_shape, dtype=dtype), normal(1, *w_shape, dtype=dtype), normal(2, w_shape[0], dtype=dtype)
    theirs = {"stride": settings.get("stride", 1), "padding": settings["pad"], "groups": settings.get("groups", 1)}
    tx, tw, tb = leaf(x), leaf(weight), leaf(bias)
    ty = F.conv2d(tx, tw, tb, **theirs)
    assert_close(host_ops.conv2d(x, weight, bias, **settings), ty)
    assert_close(host_ops.conv2d(x, weight, bias, **settings, relu=True), torch.relu(ty))
    dy = normal(3, *ty.shape, dtype=dtype)
    ty.backward(torch.tensor(dy))
    assert_close(host_ops.conv2d_input_grad(dy, weight, x_shape, **settings), tx.grad)
    assert_close(host_ops.conv2d_weight_grad(dy, x, w_shape, **settings), tw.grad)
    assert_close(host_ops.bias_grad(dy), tb.grad)


@dtypes
@pytest.mark.parametrize(("stride", "pad", "output_pad", "groups"), [
    (1, 0, 0, 1), (2, 1, 1, 1), ((3, 2), (0, 1), (2, 0), 2), (3, 2, (0, 2), 4)])
def test_conv_transpose2d(host_ops, dtype, stride, pad, output_pad, groups):
    x, weight = normal(0, 2, 4, 5, 6, dtype=dtype), normal(1, 4, 3, 4, 3, dtype=dtype)
    bias = normal(2, 3 * groups, dtype=dtype)
    expected = F.conv_transpose2d(*map(torch.tensor, (x, weight, bias)), stride, pad, output_pad, groups)
    assert_close(host_ops.conv_transpose2d(x, weight, bias, stride, pad, output_pad, groups), expected)


@dtypes
@pytest.mark.parametrize(("size", "stride", "pad", "ceil_mode"), [
    (2, None, 0, False), (3, 2, 1, False), (3, 2, 0, True), ((3, 2), (2, 3), (1, 1), True), (3, 2, 1, True),
    (2, 3, 1, True)])
@pytest.mark.parametrize("plane", [(11, 14), (6, 6), (7, 9)])
def test_max_pool2d_and_its_switches(host_ops, dtype, size, stride, pad, ceil_mode, plane):
    x = np.random.default_rng(0).integers(-3, 3, (2, 3, *plane)).astype(dtype)           # with many ties
    x[0, 0, 2, 2] = np.nan
    y, switches = host_ops.max_pool2d(x, size, stride, pad, ceil_mode)
    ty, places = F.max_pool2d(torch.tensor(x), size, stride, pad, 1, ceil_mode, return_indices=True)
    np.testing.assert_array_equal(y, ty.numpy())
    known = ~np.isnan(y)                                              # PyTorch names the last NaN, this package the first
    np.testing.assert_array_equal(switches[known], places.numpy()[known])


@dtypes
def test_max_unpool2d_and_the_gradient_of_max_pooling(host_ops, dtype):
    x = normal(0, 2, 3, 8, 6, dtype=dtype)
    y, switches = host_ops.max_pool2d(x, 2)
    expected = F.max_unpool2d(torch.tensor(y), torch.tensor(switches.astype("int64")), 2, output_size=(8, 6))
    assert_close(host_ops.max_unpool2d(y, switches, x.shape), expected)
    tx = leaf(x)
    overlapping = F.max_pool2d(tx, 3, 2, 1)
    dy = normal(1, *overlapping.shape, dtype=dtype)
    overlapping.backward(torch.tensor(dy))
    _, switches = host_ops.max_pool2d(x, 3, 2, 1)
    assert_close(host_ops.max_unpool2d(dy, switches, x.shape, 3, 2, 1), tx.grad)


@dtypes
@pytest.mark.parametrize(("size", "stride", "pad"), [(2, None, 0), (3, 2, 1), ((3, 4), (1, 2), (1, 2))])
def test_avg_pool2d(host_ops, dtype, size, stride, pad):
    x = normal(0, 2, 3, 9, 8, dtype=dtype)
    tx = leaf(x)
    ty = F.avg_pool2d(tx, size, stride, pad)
    assert_close(host_ops.avg_pool2d(x, size, stride, pad), ty)
    dy = normal(1, *ty.shape, dtype=dtype)
    ty.backward(torch.tensor(dy))
    assert_close(host_ops.avg_pool2d_grad(dy, x.shape, size, stride, pad), tx.grad)


@dtypes
@pytest.mark.parametrize(("size", "alpha", "beta", "k"), [(5, 5e-4, 0.75, 2.0), (4, 0.5, 0.75, 1.0), (3, 0.9, 0.5, 1.0)])
def test_local_response_norm(host_ops, dtype, size, alpha, beta, k):
    x, dy = 5 * normal(0, 2, 8, 5, 6, dtype=dtype), normal(1, 2, 8, 5, 6, dtype=dtype)
    tx = leaf(x)
    ty = F.local_response_norm(tx, size, alpha, beta, k)
    assert_close(host_ops.local_response_norm(x, size, alpha, beta, k), ty)
    ty.backward(torch.tensor(dy))
    assert_close(host_ops.local_response_norm_grad(dy, x, size, alpha, beta, k), tx.grad)


@dtypes
@pytest.mark.parametrize("N", [1, 4, 5, 33])
def test_linear(host_ops, dtype, N):
    x, weight, bias = normal(0, N, 70, dtype=dtype), normal(1, 40, 70, dtype=dtype), normal(2, 40, dtype=dtype)
    tx, tw, tb = leaf(x), leaf(weight), leaf(bias)
    ty = F.linear(tx, tw, tb)
    assert_close(host_ops.linear(x, weight, bias), ty)
    dy = normal(3, N, 40, dtype=dtype)
    ty.backward(torch.tensor(dy))
    assert_close(host_ops.linear_input_grad(dy, weight), tx.grad)
    assert_close(host_ops.linear_weight_grad(dy, x), tw.grad)
    assert_close(host_ops.bias_grad(dy), tb.grad)


@dtypes
def test_cross_entropy(dtype):
    scores, labels = 9 * normal(0, 7, 5, dtype=dtype), np.array([0, 4, 2, 2, 1, 3, 0])
    ts = leaf(scores)
    expected = F.cross_entropy(ts, torch.tensor(labels))
    expected.backward()
    loss, dscores = softmax_cross_entropy(scores, labels)
    assert loss == pytest.approx(float(expected.detach()), rel=TOLERANCE[dtype])
    assert_close(dscores, ts.grad)
    assert_close(softmax(scores), torch.softmax(ts, 1))


@dtypes
@pytest.mark.parametrize(("momentum", "decay"), [(0, 0), (0.9, 5e-4), (0.5, 0.1)])
def test_sgd_over_several_steps(host_ops, dtype, momentum, decay):
    net = Network([("conv1", Conv2d(4, 3)), ("relu1", ReLU()), ("pool1", MaxPool2d(2)), ("flatten", Flatten()),
                   ("fc", Linear(3))], (3, 8, 8), host_ops, seed=1, dtype=dtype)
    p = {name: leaf(w.copy()) for name, w in net.params.items()}
    ours = SGD(net, 0.05, momentum, decay)
    theirs = torch.optim.SGD(p.values(), 0.05, momentum=momentum, weight_decay=decay)
    x, labels = normal(0, 6, 3, 8, 8, dtype=dtype), np.array([0, 1, 2, 0, 1, 2])
    for step in range(6):
        ours.lr = theirs.param_groups[0]["lr"] = 0.05 if step < 3 else 0.01
        scores, tape = net.forward(x, train=True)
        ours.step(net.backward(softmax_cross_entropy(scores, labels)[1], tape))
        theirs.zero_grad()
        y = F.max_pool2d(torch.relu(F.conv2d(torch.tensor(x), p["conv1.weight"], p["conv1.bias"])), 2).flatten(1)
        F.cross_entropy(F.linear(y, p["fc.weight"], p["fc.bias"]), torch.tensor(labels)).backward()
        theirs.step()
    for name, w in net.params.items():
        assert_close(w, p[name])


# ---- whole networks, written down once more -------------------------------------------------------------------------

def conv(p, x, name, *args, **kwargs):
    return torch.relu(F.conv2d(x, p[f"{name}.weight"], p[f"{name}.bias"], *args, **kwargs))


def classifier(p, x):
    x = x.flatten(1)
    for name in ("fc6", "fc7"):
        x = torch.relu(F.linear(x, p[f"{name}.weight"], p[f"{name}.bias"]))
    return F.linear(x, p["fc8.weight"], p["fc8.bias"])


def norm(x):
    return F.local_response_norm(x, 5, 5e-4, 0.75, 2.0)


def zfnet(p, x, conv1_pad=1, conv2=(2, 0), pool5_pad=0):
    x = norm(F.max_pool2d(conv(p, x, "conv1", stride=2, padding=conv1_pad), 3, 2, 1))
    x = norm(F.max_pool2d(conv(p, x, "conv2", *conv2), 3, 2, 1))
    x = conv(p, conv(p, conv(p, x, "conv3", padding=1), "conv4", padding=1), "conv5", padding=1)
    return classifier(p, F.max_pool2d(x, 3, 2, pool5_pad))


def zfnet_mini(p, x):
    return zfnet(p, x, 3, (1, 2), 1)


def alexnet(p, x):
    x = F.max_pool2d(norm(conv(p, x, "conv1", stride=4)), 3, 2)
    x = F.max_pool2d(norm(conv(p, x, "conv2", padding=2, groups=2)), 3, 2)
    x = conv(p, x, "conv3", padding=1)
    x = conv(p, conv(p, x, "conv4", padding=1, groups=2), "conv5", padding=1, groups=2)
    return classifier(p, F.max_pool2d(x, 3, 2))


def tiny_vgg(p, x):
    for block in "12":
        x = F.max_pool2d(conv(p, conv(p, x, f"conv{block}_1"), f"conv{block}_2"), 2)
    return F.linear(x.flatten(1), p["fc.weight"], p["fc.bias"])


def squeezenet1_1(p, x):
    x = F.max_pool2d(conv(p, x, "conv1", stride=2), 3, 2, ceil_mode=True)
    for number in range(2, 10):
        x = conv(p, x, f"fire{number}.squeeze1x1")
        x = torch.cat([conv(p, x, f"fire{number}.expand1x1"), conv(p, x, f"fire{number}.expand3x3", padding=1)], 1)
        if number in (3, 5):
            x = F.max_pool2d(x, 3, 2, ceil_mode=True)
    return conv(p, x, "conv10").mean((2, 3))


@pytest.mark.parametrize(("model", "twin", "widths", "scale"), [
    (models.zfnet_mini, zfnet_mini, {"conv": (6, 8, 7, 9, 8), "fc": (12, 11)}, 1),
    (models.zfnet_mini, zfnet_mini, {"conv": (6, 8, 7, 9, 8), "fc": (12, 11)}, 50),          # inputs of about ±128
    (models.tiny_vgg, tiny_vgg, {}, 1),
], ids=["zfnet_mini", "zfnet_mini on pixels", "tiny_vgg"])
def test_scores_and_every_gradient_of_small_networks(host_ops, model, twin, widths, scale):
    net = model(5, host_ops, 1, "float64", **widths)
    x = scale * normal(0, 3, *net.input_shape)
    labels = np.array([1, 4, 0])
    for i, bias in enumerate(name for name in net.params if name.endswith("bias")):
        net.params[bias][...] = 0.1 * normal(i, *net.params[bias].shape)
    p, tx = {name: leaf(w) for name, w in net.params.items()}, leaf(x)
    expected = twin(p, tx)
    F.cross_entropy(expected, torch.tensor(labels)).backward()
    scores, tape = net.forward(x)
    assert_close(scores, expected, 1e-10)
    assert_close(net.scores(x), expected, 1e-10)
    grads = net.backward(softmax_cross_entropy(scores, labels)[1], tape)
    assert set(grads) == set(p)
    for key, grad in grads.items():
        assert_close(grad, p[key].grad, 1e-10)


def score_error(net, twin):
    """Return the largest error of a float32 network's scores for one image, relative to the largest score."""
    x = normal(0, 1, *net.input_shape, dtype="float32")
    with torch.no_grad():
        expected = twin({name: torch.from_numpy(w) for name, w in net.params.items()}, torch.from_numpy(x)).numpy()
    return np.abs(net.scores(x) - expected).max() / np.abs(expected).max()


@pytest.mark.parametrize(("model", "twin"), [(models.zfnet, zfnet), (models.alexnet, alexnet),
                                             (models.squeezenet1_1, squeezenet1_1)], ids=lambda f: f.__name__)
def test_scores_of_full_networks(model, twin):
    assert score_error(model(ops=get_ops("numba"), seed=3), twin) < 1e-4


def test_gradients_through_squeezenet_s_branches(host_ops):
    """The whole graph, on a picture just large enough for it, in float64."""
    net = models.squeezenet1_1(num_classes=4, ops=host_ops, seed=5, dtype="float64")
    x, labels = normal(0, 2, 3, 33, 33), np.array([3, 1])
    p = {name: leaf(w) for name, w in net.params.items()}
    expected = squeezenet1_1(p, torch.tensor(x))
    F.cross_entropy(expected, torch.tensor(labels)).backward()
    scores, tape = net.forward(x)
    assert_close(scores, expected, 1e-10)
    grads = net.backward(softmax_cross_entropy(scores, labels)[1], tape)
    for key in ("conv1.weight", "conv1.bias", "fire2.squeeze1x1.weight", "fire5.expand3x3.weight", "fire9.expand1x1.bias",
                "conv10.weight", "conv10.bias"):
        assert_close(grads[key], p[key].grad, 1e-10)

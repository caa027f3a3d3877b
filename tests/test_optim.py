"""SGD with momentum: steps by hand, filter renormalization, and going on from saved velocities."""

import numpy as np
import pytest

from zfnumpy import get_ops
from zfnumpy.errors import CheckpointError, DTypeError, ShapeError
from zfnumpy.layers import Conv2d, Flatten, Linear, ReLU
from zfnumpy.loss import softmax_cross_entropy
from zfnumpy.network import Network
from zfnumpy.optim import SGD


def built(ops=None, dtype="float64"):
    return Network([("conv1", Conv2d(4, 3)), ("relu1", ReLU()), ("flatten", Flatten()), ("fc", Linear(3))], (3, 6, 6),
                   ops or get_ops("numpy"), seed=1, dtype=dtype)


def gradients(net, seed):
    rng = np.random.default_rng(seed)
    return {name: rng.standard_normal(w.shape).astype(w.dtype) for name, w in net.params.items()}


@pytest.mark.parametrize(("momentum", "decay"), [(0, 0), (0.9, 0), (0.9, 5e-4), (0.5, 0.1)])
def test_steps_worked_by_hand(host_ops, momentum, decay):
    net = built(host_ops)
    opt = SGD(net, 0.1, momentum, decay)
    w = {name: value.copy() for name, value in net.params.items()}
    v = {name: np.zeros_like(value) for name, value in w.items()}
    for step in range(4):
        grads = gradients(net, step)
        kept = {name: grad.copy() for name, grad in grads.items()}
        opt.lr = lr = 0.1 / (1 + step)
        opt.step(grads)
        for name in w:
            v[name] = momentum * v[name] + grads[name] + decay * w[name]
            w[name] = w[name] - lr * v[name]
            np.testing.assert_allclose(net.params[name], w[name], rtol=1e-12, atol=1e-14)
            np.testing.assert_allclose(opt.velocity[name], v[name], rtol=1e-12, atol=1e-14)
            np.testing.assert_array_equal(grads[name], kept[name])


def test_the_network_s_own_arrays_are_updated(host_ops):
    net = built(host_ops)
    before = {name: id(w) for name, w in net.params.items()}
    SGD(net).step(gradients(net, 0))
    assert {name: id(w) for name, w in net.params.items()} == before
    assert net.nodes["conv1"].layer.params["weight"] is net.params["conv1.weight"]


def test_parameters_without_a_gradient_stay_as_they_are():
    net = built()
    opt = SGD(net, 0.1, 0.9, 0.1, max_filter_rms=1e-3)
    before = {name: w.copy() for name, w in net.params.items()}
    opt.step({"fc.bias": np.ones(3)})
    for name, w in net.params.items():
        assert (w != before[name]).any() == (name == "fc.bias"), name
        assert opt.velocity[name].any() == (name == "fc.bias"), name


def test_a_step_lowers_the_loss(host_ops):
    net = built(host_ops)
    opt = SGD(net, 0.05)
    x, labels = np.random.default_rng(0).standard_normal((6, 3, 6, 6)), np.array([0, 1, 2, 2, 1, 0])
    losses = []
    for _ in range(40):
        scores, tape = net.forward(x)
        loss, dscores = softmax_cross_entropy(scores, labels)
        losses.append(loss)
        opt.step(net.backward(dscores, tape))
    assert losses[-1] < 0.1 * losses[0]


# ---- the paper's renormalization ------------------------------------------------------------------------------------

def rms(w):
    return np.sqrt((w ** 2).mean(axis=tuple(range(1, w.ndim))))


def test_filters_beyond_the_radius_are_brought_back_to_it(host_ops):
    """Sec. 3: each convolution filter whose RMS exceeds 0.1 is scaled back to 0.1; no other parameter is."""
    net, free = built(host_ops), built(host_ops)
    for each in (net, free):
        each.params["conv1.weight"][...] *= np.array([0.01, 0.1, 1, 20]).reshape(-1, 1, 1, 1)
        each.params["fc.weight"][...] *= 50
    opt, plain = SGD(net, 0.01, 0.9, max_filter_rms=0.1), SGD(free, 0.01, 0.9)
    for step in range(3):
        grads = gradients(net, step)
        grads["conv1.weight"] *= 0.1
        before = net.params["conv1.weight"] - 0.01 * (0.9 * opt.velocity["conv1.weight"] + grads["conv1.weight"])
        opt.step(grads)
        plain.step(grads)
        after = net.params["conv1.weight"]
        for f in range(4):
            shrink = min(1, 0.1 / rms(before)[f])
            np.testing.assert_allclose(after[f], shrink * before[f], rtol=1e-10)
        assert (rms(after) <= 0.1 + 1e-12).all()
        assert rms(after)[3] == pytest.approx(0.1)
        assert rms(after)[0] < 0.02
    for name in ("conv1.bias", "fc.weight", "fc.bias"):
        np.testing.assert_array_equal(net.params[name], free.params[name])
    np.testing.assert_array_equal(opt.velocity["conv1.weight"], plain.velocity["conv1.weight"])
    assert rms(free.params["conv1.weight"])[3] > 1


# ---- velocities -----------------------------------------------------------------------------------------------------

def test_going_on_from_saved_velocities_gives_the_same_bits(host_ops):
    net, again = built(host_ops), built(host_ops)
    opt = SGD(net, 0.1, 0.9, 0.01)
    for step in range(2):
        opt.step(gradients(net, step))
    saved = {name: v.copy() for name, v in opt.velocity.items()}
    for name, w in again.params.items():
        w[...] = net.params[name]
    other = SGD(again, 0.1, 0.9, 0.01)
    other.restore(saved)
    for step in range(2, 4):
        opt.step(gradients(net, step))
        other.step(gradients(net, step))
    for name, w in net.params.items():
        assert again.params[name].tobytes() == w.tobytes()
        assert saved[name].tobytes() != opt.velocity[name].tobytes()          # the copy that was given is left alone


@pytest.mark.parametrize("spoil", [lambda v: v.pop("fc.bias"), lambda v: v.update({"fc.bias": np.zeros(4)})])
def test_velocities_of_another_network(spoil):
    net = built()
    velocity = {name: np.ones_like(w) for name, w in net.params.items()}
    spoil(velocity)
    opt = SGD(net)
    with pytest.raises(CheckpointError, match=r"the checkpoint holds no velocity of shape \(3,\) for fc.bias"):
        opt.restore(velocity)
    assert not any(v.any() for v in opt.velocity.values())                    # refused whole


# ---- what is refused ------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("settings", [
    {"lr": 0}, {"lr": -1}, {"lr": float("nan")}, {"momentum": 1}, {"momentum": -0.1}, {"momentum": float("nan")},
    {"weight_decay": -1e-4}, {"weight_decay": float("nan")}])
def test_settings_that_make_no_sense(settings):
    with pytest.raises(ShapeError, match=r"SGD needs lr > 0, momentum in \[0, 1\) and weight_decay >= 0, got "):
        SGD(built(), **settings)


def test_gradients_that_do_not_fit():
    net = built()
    opt = SGD(net)
    with pytest.raises(ShapeError, match=r"SGD: there is no parameter fc9.bias; there are conv1.weight, conv1.bias, fc"):
        opt.step({"fc9.bias": np.ones(3)})
    with pytest.raises(ShapeError, match=r"grad must have shape \(3,\), got \(1, 3\)"):
        opt.step({"fc.bias": np.ones((1, 3))})
    with pytest.raises(DTypeError, match="w is float64 but grad is float32"):
        opt.step({"fc.bias": np.ones(3, "float32")})

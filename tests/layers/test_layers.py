"""Every layer: its gradients against central differences, its way down by hand, and what it refuses."""

import numpy as np
import pytest

from zfnumpy import layers
from zfnumpy.errors import ShapeError
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
from zfnumpy.layers.base import initial_weight
from zfnumpy.ops.face import RULES

CASES = {
    "Conv2d": (lambda: Conv2d(4, 3, stride=2, pad=1), [(3, 5, 6)]),
    "Conv2d in groups": (lambda: Conv2d(4, (3, 2), stride=(1, 2), pad=(1, 0), groups=2), [(4, 4, 5)]),
    "Linear": (lambda: Linear(4), [(7,)]),
    "ReLU": (lambda: ReLU(), [(3, 4, 4)]),
    "MaxPool2d": (lambda: MaxPool2d(3, 2, 1), [(2, 5, 6)]),
    "MaxPool2d in ceil mode": (lambda: MaxPool2d(3, 2, ceil_mode=True), [(2, 6, 4)]),
    "AvgPool2d": (lambda: AvgPool2d(3, 2, 1), [(2, 5, 6)]),
    "GlobalAvgPool": (lambda: GlobalAvgPool(), [(3, 4, 5)]),
    "LocalResponseNorm": (lambda: LocalResponseNorm(4, alpha=0.7), [(6, 2, 3)]),
    "Flatten": (lambda: Flatten(), [(3, 2, 4)]),
    "Dropout": (lambda: Dropout(0.4), [(30,)]),
    "Concatenate": (lambda: Concatenate(), [(2, 3, 4), (1, 3, 4), (3, 3, 4)]),
}
LARGER = {
    "Conv2d": (lambda: Conv2d(20, 3, pad=1), [(30, 13, 11)]),
    "Linear": (lambda: Linear(70), [(290,)]),
    "MaxPool2d": (lambda: MaxPool2d(3, 2, 1), [(6, 27, 30)]),
    "AvgPool2d": (lambda: AvgPool2d(2), [(6, 26, 30)]),
    "LocalResponseNorm": (lambda: LocalResponseNorm(), [(20, 24, 25)]),
}
cases = pytest.mark.parametrize(("make", "shapes"), CASES.values(), ids=CASES)


def built(layer, ops, shapes, dtype="float64"):
    assert layer.build(ops, shapes, np.dtype(dtype), np.random.default_rng(0), "he") == layer.output_shape(*shapes)
    for i, value in enumerate(layer.params.values()):
        value[...] = np.random.default_rng(10 + i).standard_normal(value.shape)
    return layer


def distinct(seed, shape, N=2):
    """Values no two of which are closer than 0.01: no maximum and no ReLU changes sides within a step."""
    count = N * int(np.prod(shape))
    return (np.random.default_rng(seed).permutation(count) - count // 2 + 0.5).reshape(N, *shape) / 100


def run(layer, xs, train=True):
    """Run a layer with dropout drawn alike each time."""
    return layer.forward(*xs, train=train, rng=np.random.default_rng(5))


def derivatives(layer, xs, dy):
    """Return [(what, array, claimed gradient)] for every input and parameter of a layer."""
    _, cache = run(layer, xs)
    dx, grads = layer.backward(dy, cache)
    assert set(grads) == set(layer.params)
    dxs = dx if isinstance(dx, tuple) else (dx,)
    assert len(dxs) == len(xs)
    return [(f"input {i}", x, d) for i, (x, d) in enumerate(zip(xs, dxs))] + \
           [(name, layer.params[name], grad) for name, grad in grads.items()]


@cases
def test_every_gradient_entry_by_entry(host_ops, make, shapes):
    layer, xs = built(make(), host_ops, shapes), [distinct(i, shape) for i, shape in enumerate(shapes)]
    dy = np.random.default_rng(9).standard_normal((2, *layer.output_shape(*shapes)))
    for what, array, claimed in derivatives(layer, xs, dy):
        check = check_full(lambda: float(np.vdot(dy, run(layer, xs)[0])), array, claimed)
        assert check.error < 1e-6, (what, check)


@pytest.mark.parametrize(("make", "shapes"), LARGER.values(), ids=LARGER)
def test_every_gradient_along_random_directions(host_ops, make, shapes):
    layer, xs = built(make(), host_ops, shapes), [distinct(i, shape, 3) for i, shape in enumerate(shapes)]
    dy = np.random.default_rng(9).standard_normal((3, *layer.output_shape(*shapes)))
    for what, array, claimed in derivatives(layer, xs, dy):
        check = check_projection(lambda: float(np.vdot(dy, run(layer, xs)[0])), array, claimed,
                                 np.random.default_rng(1), step=1e-3)       # exact for the linear; far from any tie
        assert check.error < 1e-6, (what, check)


@cases
@pytest.mark.parametrize("N", [0, 1, 3])
def test_shapes_dtypes_and_inputs(host_ops, make, shapes, N):
    layer = built(make(), host_ops, shapes, "float32")
    xs = [distinct(i, shape, 3)[:N].astype("float32") for i, shape in enumerate(shapes)]
    kept = [x.copy() for x in xs]
    y, cache = run(layer, xs)
    assert y.dtype == np.float32
    assert y.shape == (N, *layer.output_shape(*shapes))
    dy = np.ones_like(y)
    dx, grads = layer.backward(dy, cache)
    for x, before, d in zip(xs, kept, dx if isinstance(dx, tuple) else (dx,)):
        np.testing.assert_array_equal(x, before)
        assert (d.shape, d.dtype) == (x.shape, x.dtype)
    for name, grad in grads.items():
        assert (grad.shape, grad.dtype) == (layer.params[name].shape, np.float32)
    np.testing.assert_array_equal(dy, 1)


@cases
def test_replay_gives_the_output_again(host_ops, make, shapes):
    layer, xs = built(make(), host_ops, shapes), [distinct(i, shape) for i, shape in enumerate(shapes)]
    for train in (True, False):
        y, cache = run(layer, xs, train)
        np.testing.assert_array_equal(layer.replay(cache, *xs), y)


@cases
def test_a_layer_keeps_nothing_between_calls(host_ops, make, shapes):
    layer, xs = built(make(), host_ops, shapes), [distinct(i, shape) for i, shape in enumerate(shapes)]
    before = dict(vars(layer))
    y, _ = run(layer, xs)
    run(layer, [-x for x in xs])
    first = derivatives(layer, xs, y)[0][2]
    np.testing.assert_array_equal(first, derivatives(layer, xs, y)[0][2])
    assert vars(layer) == before


@cases
def test_settings_make_the_same_layer_again(host_ops, make, shapes):
    """What a checkpoint stores of a layer is enough to build it."""
    layer = built(make(), host_ops, shapes)
    again = type(layer)(**{name: getattr(layer, name) for name in layer.settings})
    assert again.output_shape(*shapes) == layer.output_shape(*shapes)
    assert again.describe() == layer.describe()
    built(again, host_ops, shapes)
    xs = [distinct(i, shape) for i, shape in enumerate(shapes)]
    np.testing.assert_array_equal(run(again, xs)[0], run(layer, xs)[0])


@pytest.mark.parametrize("make", [CASES["Conv2d"], CASES["Linear"]], ids=["Conv2d", "Linear"])
def test_only_what_is_needed_is_computed(host_ops, make):
    layer, shapes = built(make[0](), host_ops, make[1]), make[1]
    y, cache = run(layer, [distinct(0, shapes[0])])
    dx, grads = layer.backward(y, cache)
    only_dx, none = layer.backward(y, cache, need_grads=False)
    nothing, only_grads = layer.backward(y, cache, need_dx=False)
    assert none == {}
    assert nothing is None
    np.testing.assert_array_equal(only_dx, dx)
    for name, grad in grads.items():
        np.testing.assert_array_equal(only_grads[name], grad)


@pytest.mark.parametrize("make", [CASES["Conv2d"], CASES["Linear"]], ids=["Conv2d", "Linear"])
def test_a_fused_relu_is_the_relu_after(host_ops, make):
    layer, shapes = built(make[0](), host_ops, make[1], "float32"), make[1]
    x = distinct(0, shapes[0]).astype("float32")
    y, cache = layer.forward(x)
    fused, fused_cache = layer.forward(x, relu=True)
    assert (y < 0).any()
    assert fused.tobytes() == host_ops.relu(y).tobytes()
    assert cache is fused_cache is x


# ---- the way down ---------------------------------------------------------------------------------------------------

def test_the_three_rules_worked_by_hand(host_ops):
    """Sec. 2.1 and Springenberg's figure 1: the forward input's sign, the signal's own, or both."""
    relu = built(ReLU(), host_ops, [(6,)])
    x, r = np.array([[1.0, -1, 5, -5, -3, 2]]), np.array([[-2.0, 3, -1, 6, -3, 1]])
    y, cache = relu.forward(x)
    np.testing.assert_array_equal(y, [[1, 0, 5, 0, 0, 2]])
    np.testing.assert_array_equal(relu.project(r, cache, "gradient"), [[-2, 0, -1, 0, 0, 1]])
    np.testing.assert_array_equal(relu.project(r, cache, "deconvnet"), [[0, 3, 0, 6, 0, 1]])
    np.testing.assert_array_equal(relu.project(r, cache, "guided"), [[0, 0, 0, 0, 0, 1]])
    np.testing.assert_array_equal(relu.backward(r, cache)[0], relu.project(r, cache, "gradient"))


def test_filters_go_down_transposed_without_the_bias(host_ops):
    conv = built(Conv2d(1, (2, 2)), host_ops, [(1, 3, 3)])
    conv.params["weight"][...] = [[[[1, 2], [3, 4]]]]
    conv.params["bias"][...] = 1000
    r = np.zeros((1, 1, 2, 2))
    r[0, 0, 0, 1] = 10
    _, cache = conv.forward(np.zeros((1, 1, 3, 3)))
    for rule in RULES:
        np.testing.assert_array_equal(conv.project(r, cache, rule)[0, 0], [[0, 10, 20], [0, 30, 40], [0, 0, 0]])


def test_unpooling_places_values_at_the_switches(host_ops):
    pool = built(MaxPool2d(2), host_ops, [(1, 2, 4)])
    y, cache = pool.forward(np.array([[[[1.0, 5, 2, 2], [3, 4, 2, 9]]]]))
    np.testing.assert_array_equal(y, [[[[5, 9]]]])
    for rule in RULES:
        np.testing.assert_array_equal(pool.project(np.array([[[[-7.0, 8]]]]), cache, rule)[0, 0],
                                      [[0, -7, 0, 0], [0, 0, 0, 8]])


def test_normalization_is_passed_by_but_for_the_gradient(host_ops):
    norm = built(LocalResponseNorm(3, alpha=1.0), host_ops, [(4, 2, 2)])
    x, r = distinct(0, (4, 2, 2)), distinct(1, (4, 2, 2))
    _, cache = norm.forward(x)
    np.testing.assert_array_equal(norm.project(r, cache, "deconvnet"), r)
    np.testing.assert_array_equal(norm.project(r, cache, "guided"), r)
    np.testing.assert_array_equal(norm.project(r, cache, "gradient"), norm.backward(r, cache)[0])
    assert np.abs(norm.project(r, cache, "gradient") - r).max() > 1e-3


LINEAR = [name for name in CASES if name not in ("ReLU", "LocalResponseNorm")]


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("name", LINEAR)
def test_every_other_layer_goes_down_as_its_gradient_does(host_ops, name, rule):
    make, shapes = CASES[name]
    layer, xs = built(make(), host_ops, shapes), [distinct(i, shape) for i, shape in enumerate(shapes)]
    y, cache = run(layer, xs)
    r = np.random.default_rng(3).standard_normal(y.shape)
    down, dx = layer.project(r, cache, rule), layer.backward(r, cache)[0]
    for a, b in zip(down, dx, strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("pool", [MaxPool2d(3, 2, 1), MaxPool2d(2), MaxPool2d(3, 1, 1), MaxPool2d(3, 2, ceil_mode=True)],
                         ids=lambda pool: pool.describe())
@pytest.mark.parametrize("ties", [False, True])
def test_a_mask_applied_above_the_pool_is_the_mask_below_it(host_ops, pool, ties):
    """The ReLU's own output need not be stored: exactly the same comes out, for every rule, where windows overlap too."""
    built(pool, host_ops, [(3, 8, 8)], "float32")
    relu = built(ReLU(), host_ops, [(3, 8, 8)], "float32")
    x = distinct(0, (3, 8, 8)).astype("float32")
    x = np.sign(x) * (np.abs(x) > 0.5) if ties else x - np.float32(0.7)            # whole windows off, and zeros
    rectified, mask = relu.forward(x)
    y, apart = pool.forward(rectified)
    fused_y, fused = pool.forward(rectified, rectified=True)
    np.testing.assert_array_equal(fused_y, y)
    assert (y == 0).any()
    r = np.random.default_rng(1).standard_normal(y.shape).astype("float32")
    np.testing.assert_array_equal(relu.backward(pool.backward(r, fused)[0], None)[0],
                                  relu.backward(pool.backward(r, apart)[0], mask)[0])
    for rule in RULES:
        np.testing.assert_array_equal(relu.project(pool.project(r, fused, rule), None, rule),
                                      relu.project(pool.project(r, apart, rule), mask, rule))


# ---- single layers --------------------------------------------------------------------------------------------------

def test_dropout(host_ops):
    drop = built(Dropout(0.25), host_ops, [(4000,)])
    x = np.full((3, 4000), 2.0)
    y, mask = drop.forward(x, train=True, rng=np.random.default_rng(0))
    assert set(np.unique(y)) == {0, 2 / 0.75}
    assert abs((y == 0).mean() - 0.25) < 0.02
    assert abs(y.mean() - 2) < 0.05
    dy = np.random.default_rng(1).standard_normal(x.shape)
    dx, _ = drop.backward(dy, mask)
    np.testing.assert_array_equal(dx == 0, y == 0)
    np.testing.assert_allclose(dx[y != 0], dy[y != 0] / 0.75, rtol=1e-15)
    np.testing.assert_array_equal(drop.replay(mask, x), y)
    other, _ = drop.forward(x, train=True, rng=np.random.default_rng(2))
    assert (other != y).any()


@pytest.mark.parametrize(("p", "train"), [(0.5, False), (0, True)])
def test_dropout_that_does_nothing_draws_nothing(host_ops, p, train):
    x, rng = np.ones((2, 5)), np.random.default_rng(0)
    y, cache = built(Dropout(p), host_ops, [(5,)]).forward(x, train=train, rng=rng)
    np.testing.assert_array_equal(y, x)
    assert cache is None
    assert rng.bit_generator.state == np.random.default_rng(0).bit_generator.state


@pytest.mark.parametrize("p", [-0.1, 1, 1.5, float("nan")])
def test_dropout_refuses(p):
    with pytest.raises(ShapeError, match=rf"p must lie in \[0, 1\), got {p}"):
        Dropout(p)


def test_concatenate_keeps_the_order_it_is_given(host_ops):
    join = built(Concatenate(), host_ops, [(1, 2, 2), (2, 2, 2)])
    a, b = np.full((1, 1, 2, 2), 1.0), np.full((1, 2, 2, 2), 2.0)
    y, cache = join.forward(a, b)
    np.testing.assert_array_equal(y[0, :, 0, 0], [1, 2, 2])
    down = join.project(np.arange(12.0).reshape(1, 3, 2, 2), cache, "deconvnet")
    np.testing.assert_array_equal(down[0], np.arange(4.0).reshape(1, 1, 2, 2))
    np.testing.assert_array_equal(down[1], np.arange(4.0, 12).reshape(1, 2, 2, 2))


def test_flatten_goes_channel_by_channel(host_ops):
    x = np.arange(24.0).reshape(1, 2, 3, 4)
    np.testing.assert_array_equal(built(Flatten(), host_ops, [(2, 3, 4)]).forward(x)[0], np.arange(24.0)[None])


def test_global_average(host_ops):
    x = distinct(0, (3, 4, 5))
    np.testing.assert_allclose(built(GlobalAvgPool(), host_ops, [(3, 4, 5)]).forward(x)[0], x.mean((2, 3)), rtol=1e-14)


@pytest.mark.parametrize(("init", "std"), [("he", np.sqrt(2 / 50)), ("paper", 1e-2)])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("shape", [(3, 20000), (2, 3, 7, 7), (0, 4)])
def test_initial_weights_are_one_draw(host_ops, init, std, shape, dtype):
    """However they are drawn, a seed gives the numbers of one draw, and leaves the generator where that does."""
    rng, whole = np.random.default_rng(3), np.random.default_rng(3)
    expected = (std * whole.standard_normal(shape, dtype=np.float32)).astype(dtype)
    found = initial_weight(shape, 50, host_ops, np.dtype(dtype), rng, init)
    assert found.dtype == expected.dtype
    np.testing.assert_array_equal(found, expected)
    assert rng.bit_generator.state == whole.bit_generator.state


@pytest.mark.parametrize("init", ["he", "paper"])
def test_initial_weights(host_ops, init):
    w = initial_weight((200, 300), 300, host_ops, np.dtype("float32"), np.random.default_rng(0), init)
    assert w.dtype == np.float32
    assert abs(w.mean()) < 5 * w.std() / 60000 ** 0.5
    assert w.std() == pytest.approx((2 / 300) ** 0.5 if init == "he" else 1e-2, rel=0.02)
    again = initial_weight((200, 300), 300, host_ops, np.dtype("float64"), np.random.default_rng(0), init)
    np.testing.assert_array_equal(again.astype("float32"), w)               # the same draws for either dtype


def test_initializations_that_do_not_exist(host_ops):
    with pytest.raises(ShapeError, match="there is no initialization 'xavier'; use one of he, paper"):
        Linear(3).build(host_ops, [(4,)], np.dtype("float32"), np.random.default_rng(0), "xavier")


@pytest.mark.parametrize(("make", "shapes", "message"), [
    (lambda: Conv2d(4, 3), [(12,)], r"Conv2d needs feature maps \(C, H, W\), got an input of shape \(12,\)"),
    (lambda: Conv2d(4, 3), [(3, 2, 5)], "the kernel 3×3 is larger than the padded image 2×5"),
    (lambda: Conv2d(4, (7, 3), pad=1), [(3, 4, 5)], "the kernel 7×3 is larger than the padded image 6×7"),
    (lambda: Conv2d(4, 3, groups=2), [(3, 5, 5)], "groups=2 must divide both the 3 input channels and the 4 filters"),
    (lambda: Conv2d(5, 3, groups=2), [(4, 5, 5)], "groups=2 must divide both the 4 input channels and the 5 filters"),
    (lambda: Linear(4), [(3, 2, 2)], r"Linear needs features \(D,\), got an input of shape \(3, 2, 2\): put a Flatten"),
    (lambda: MaxPool2d(3), [(12,)], "MaxPool2d needs feature maps"),
    (lambda: MaxPool2d(5), [(3, 4, 6)], r"the window \(5, 5\) is larger than the padded map of 4×6 with pad \(0, 0\)"),
    (lambda: AvgPool2d(5), [(3, 4, 6)], r"the window \(5, 5\) is larger than the padded map of 4×6"),
    (lambda: LocalResponseNorm(), [(12,)], "LocalResponseNorm needs feature maps"),
    (lambda: GlobalAvgPool(), [(12,)], "GlobalAvgPool needs feature maps"),
    (lambda: Concatenate(), [(2, 3, 4), (2, 4, 4)], r"one height and width, got \(2, 3, 4\), \(2, 4, 4\)"),
    (lambda: Concatenate(), [(2, 3, 4), (12,)], "Concatenate needs feature maps"),
])
def test_inputs_that_do_not_fit(host_ops, make, shapes, message):
    for ask in (lambda layer: layer.output_shape(*shapes),
                lambda layer: layer.build(host_ops, shapes, np.dtype("float32"), np.random.default_rng(0), "he")):
        with pytest.raises(ShapeError, match=message) as error:
            ask(make())
        assert "\n" not in str(error.value)


@pytest.mark.parametrize(("make", "message"), [
    (lambda: Conv2d(0, 3), "filters must be a whole number from 1, got 0"),
    (lambda: Conv2d(2.5, 3), "filters must be a whole number from 1, got 2.5"),
    (lambda: Conv2d(4, 3, groups=0), "groups must be a whole number from 1, got 0"),
    (lambda: Conv2d(4, 0), "size must be at least 1, got 0"),
    (lambda: Conv2d(4, 3, stride=0), "stride must be at least 1, got 0"),
    (lambda: Conv2d(4, 3, pad=-1), "pad must be at least 0, got -1"),
    (lambda: Linear(0), "features must be a whole number from 1, got 0"),
    (lambda: Linear("ten"), "features must be a whole number from 1, got 'ten'"),
    (lambda: MaxPool2d(3, pad=2), r"pad \(2, 2\) must be at most half the window \(3, 3\)"),
    (lambda: MaxPool2d((3, 1.5)), "size must be an int or a pair"),
])
def test_settings_that_make_no_sense(make, message):
    with pytest.raises(ShapeError, match=message):
        make()


def test_layers_say_what_they_are():
    assert Conv2d(96, 7, stride=2, pad=1).describe() == "Conv2d(filters=96, size=7, stride=2, pad=1, groups=1)"
    assert MaxPool2d((3, 2), 2).describe() == "MaxPool2d(size=(3, 2), stride=2, pad=0, ceil_mode=False)"
    assert ReLU().describe() == "ReLU()"


def test_windows():
    assert Conv2d(96, 7, stride=2, pad=(1, 0)).window() == ((7, 7), (2, 2), (1, 0))
    assert MaxPool2d(3).window() == ((3, 3), (3, 3), (0, 0))
    assert [layer().window() for layer in (ReLU, Flatten, LocalResponseNorm, Dropout, GlobalAvgPool)] == [None] * 5


def test_every_layer_is_tested_here():
    assert {type(make()).__name__ for make, _ in CASES.values()} == set(layers.__all__) - {"Boxes", "Layer"}

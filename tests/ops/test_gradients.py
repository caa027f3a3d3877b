"""Derivatives against central differences in float64, and linear operations against their adjoints."""

import numpy as np
import pytest

from zfnumpy.gradcheck import check_adjoint, check_full, check_projection

LIMIT = 1e-6

CONVOLUTIONS = {
    "plain": ((2, 3, 5, 6), (4, 3, 3, 3), {}),
    "strided and padded": ((2, 2, 6, 7), (3, 2, 3, 2), {"stride": (2, 3), "pad": (1, 0)}),
    "groups": ((1, 6, 5, 5), (4, 3, 3, 3), {"pad": 1, "groups": 2}),
    "depthwise": ((2, 3, 4, 4), (3, 1, 2, 2), {"groups": 3}),
    "pixels no window reaches": ((1, 2, 8, 8), (2, 2, 3, 3), {"stride": 4}),
    "pad wider than the kernel": ((1, 2, 3, 3), (2, 2, 2, 2), {"pad": 3}),
    "whole image": ((2, 2, 3, 3), (3, 2, 5, 5), {"pad": 1}),
}
POOLS = {
    "halves": ((2, 2, 6, 4), {"size": 2}),
    "overlapping": ((2, 2, 7, 7), {"size": 3, "stride": 2, "pad": 1}),
    "rectangular": ((1, 3, 6, 8), {"size": (3, 2), "stride": (1, 3), "pad": (1, 0)}),
    "every pixel": ((1, 2, 4, 4), {"size": 3, "stride": 1, "pad": 1}),
}
CEILED = {**POOLS, "ceil mode": ((1, 2, 6, 7), {"size": 3, "stride": 2, "ceil_mode": True}),
          "ceil mode, padded": ((1, 2, 6, 8), {"size": 3, "stride": 2, "pad": 1, "ceil_mode": True})}
cases = {name: pytest.mark.parametrize(("shape", "settings"), table.values(), ids=table)
         for name, table in (("pools", POOLS), ("ceiled", CEILED))}
convolutions = pytest.mark.parametrize(("x_shape", "w_shape", "settings"), CONVOLUTIONS.values(), ids=CONVOLUTIONS)


class Host:
    """A backend's operations on NumPy arrays in and out, so that the checks can change single entries."""

    def __init__(self, ops):
        self.ops = ops

    def __getattr__(self, name):
        def host(*args, **kwargs):
            args = [self.ops.asarray(a) if isinstance(a, np.ndarray) else a for a in args]
            result = getattr(self.ops, name)(*args, **kwargs)
            return tuple(map(self.ops.to_numpy, result)) if isinstance(result, tuple) else self.ops.to_numpy(result)

        return host


@pytest.fixture
def host(ops):
    return Host(ops)


def normal(seed, *shape):
    return np.random.default_rng(seed).standard_normal(shape)


def distinct(seed, *shape):
    """Values no two of which are closer than 0.01, so that no maximum and no ReLU changes sides within a step."""
    count = int(np.prod(shape))
    return (np.random.default_rng(seed).permutation(count) - count // 2 + 0.5).reshape(shape) / 100


def assert_gradient(f, x, gradient):
    check = check_full(f, x, gradient)
    assert check.error < LIMIT, f"claimed {check.analytic}, measured {check.numeric}"


@convolutions
def test_conv2d(host, x_shape, w_shape, settings):
    x, weight, bias = normal(0, *x_shape), normal(1, *w_shape), normal(2, w_shape[0])
    dy = normal(3, *host.conv2d(x, weight, bias, **settings).shape)

    def f():
        return float(np.vdot(dy, host.conv2d(x, weight, bias, **settings)))

    assert_gradient(f, x, host.conv2d_input_grad(dy, weight, x_shape, **settings))
    assert_gradient(f, weight, host.conv2d_weight_grad(dy, x, w_shape, **settings))
    assert_gradient(f, bias, host.bias_grad(dy))


@convolutions
def test_conv2d_s_gradients_are_its_adjoints(host, x_shape, w_shape, settings):
    x, weight = normal(0, *x_shape), normal(1, *w_shape)
    dy = normal(2, *host.conv2d(x, weight, **settings).shape)
    by_x = check_adjoint(lambda x: host.conv2d(x, weight, **settings),
                         lambda dy: host.conv2d_input_grad(dy, weight, x_shape, **settings), x, dy)
    by_w = check_adjoint(lambda w: host.conv2d(x, w, **settings),
                         lambda dy: host.conv2d_weight_grad(dy, x, w_shape, **settings), weight, dy)
    assert max(by_x.error, by_w.error) < 1e-14


@convolutions
def test_conv_transpose2d_is_the_adjoint_of_conv2d(host, x_shape, w_shape, settings):
    """With the very same weight: output_pad says which of the image sizes that give dy's size is meant."""
    x, weight = normal(0, *x_shape), normal(1, *w_shape)
    dy = normal(2, *host.conv2d(x, weight, **settings).shape)
    short = host.conv_transpose2d(dy, weight, **settings).shape[2:]
    extra = (x_shape[2] - short[0], x_shape[3] - short[1])
    check = check_adjoint(lambda x: host.conv2d(x, weight, **settings),
                          lambda dy: host.conv_transpose2d(dy, weight, output_pad=extra, **settings), x, dy)
    assert check.error < 1e-14


def test_conv_transpose2d(host):
    x, weight, bias = normal(0, 2, 4, 3, 4), normal(1, 4, 3, 3, 2), normal(2, 6)
    settings = {"stride": 2, "pad": (1, 0), "groups": 2}
    dy = normal(3, *host.conv_transpose2d(x, weight, bias, output_pad=1, **settings).shape)

    def f():
        return float(np.vdot(dy, host.conv_transpose2d(x, weight, bias, output_pad=1, **settings)))

    assert_gradient(f, x, host.conv2d(dy, weight, **settings))
    assert_gradient(f, weight, host.conv2d_weight_grad(x, dy, weight.shape, **settings))
    assert_gradient(f, bias, host.bias_grad(dy))


@pytest.mark.parametrize(("size", "stride", "pad"), [(3, 1, 0), ((2, 3), (2, 1), (1, 2)), (1, 3, 1), (4, 2, 3)])
def test_im2col_and_col2im_are_adjoints(host, size, stride, pad):
    x = normal(0, 2, 3, 5, 6)
    cols = normal(1, *host.im2col(x, size, stride, pad).shape)
    check = check_adjoint(lambda x: host.im2col(x, size, stride, pad),
                          lambda cols: host.col2im(cols, x.shape, size, stride, pad), x, cols)
    assert check.error < 1e-15
    assert_gradient(lambda: float(np.vdot(cols, host.im2col(x, size, stride, pad))), x,
                    host.col2im(cols, x.shape, size, stride, pad))


@pytest.mark.parametrize(("N", "D", "K"), [(3, 5, 4), (7, 4, 9), (1, 6, 1)])
def test_linear(host, N, D, K):
    x, weight, bias, dy = normal(0, N, D), normal(1, K, D), normal(2, K), normal(3, N, K)

    def f():
        return float(np.vdot(dy, host.linear(x, weight, bias)))

    assert_gradient(f, x, host.linear_input_grad(dy, weight))
    assert_gradient(f, weight, host.linear_weight_grad(dy, x))
    assert_gradient(f, bias, host.bias_grad(dy))
    by_x = check_adjoint(lambda x: host.linear(x, weight), lambda dy: host.linear_input_grad(dy, weight), x, dy)
    by_w = check_adjoint(lambda w: host.linear(x, w), lambda dy: host.linear_weight_grad(dy, x), weight, dy)
    assert max(by_x.error, by_w.error) < 1e-15


@cases["ceiled"]
def test_max_pool2d(host, shape, settings):
    x = distinct(0, *shape)
    y, switches = host.max_pool2d(x, **settings)
    dy = normal(1, *y.shape)
    window = {key: value for key, value in settings.items() if key != "ceil_mode"}
    assert_gradient(lambda: float(np.vdot(dy, host.max_pool2d(x, **settings)[0])), x,
                    host.max_unpool2d(dy, switches, shape, **window))


@cases["ceiled"]
def test_max_unpool2d_is_the_adjoint_of_reading_at_the_switches(host, shape, settings):
    x = normal(0, *shape)
    y, switches = host.max_pool2d(distinct(1, *shape), **settings)
    y = normal(2, *y.shape)

    def read(x):
        planes = x.reshape(*shape[:2], -1)
        return np.take_along_axis(planes, switches.reshape(*shape[:2], -1).astype(np.int64), axis=2).reshape(y.shape)

    assert check_adjoint(read, lambda y: host.max_unpool2d(y, switches, shape), x, y).error < 1e-15
    assert_gradient(lambda: float(np.vdot(x, host.max_unpool2d(y, switches, shape))), y, read(x))


@cases["pools"]
def test_avg_pool2d(host, shape, settings):
    x = normal(0, *shape)
    dy = normal(1, *host.avg_pool2d(x, **settings).shape)
    check = check_adjoint(lambda x: host.avg_pool2d(x, **settings),
                          lambda dy: host.avg_pool2d_grad(dy, shape, **settings), x, dy)
    assert check.error < 1e-15
    assert_gradient(lambda: float(np.vdot(dy, host.avg_pool2d(x, **settings))), x,
                    host.avg_pool2d_grad(dy, shape, **settings))


def test_relu(host):
    x, dy = distinct(0, 4, 5), normal(1, 4, 5)
    assert_gradient(lambda: float(np.vdot(dy, host.relu(x))), x, host.relu_backward(dy, host.relu(x)))


@pytest.mark.parametrize("size", [1, 2, 3, 4, 5, 9])
@pytest.mark.parametrize(("alpha", "beta", "k"), [(0.5, 0.75, 2.0), (1.5, 0.5, 1.0), (0.7, 1.2, 0.5)])
def test_local_response_norm(host, size, alpha, beta, k):
    """With a large alpha, so that the sum of squares matters beside k."""
    x, dy = normal(0, 2, 6, 2, 2), normal(1, 2, 6, 2, 2)
    assert_gradient(lambda: float(np.vdot(dy, host.local_response_norm(x, size, alpha, beta, k))), x,
                    host.local_response_norm_grad(dy, x, size, alpha, beta, k))


def test_local_response_norm_at_the_paper_s_constants(host):
    x, dy = 100 * normal(0, 2, 7, 3, 5), normal(1, 2, 7, 3, 5)
    check = check_projection(lambda: float(np.vdot(dy, host.local_response_norm(x))), x,
                             host.local_response_norm_grad(dy, x), np.random.default_rng(2), step=1e-3)
    assert check.error < LIMIT

"""Operations as loops over their definitions, slow and in float64: what fast code is compared with."""

import itertools

import numpy as np


def pair(value):
    return value if isinstance(value, tuple) else (value, value)


def floor_size(size, kernel, stride, pad):
    """Count the windows by walking them: how many start, `stride` apart, and end inside the padded length."""
    return sum(start + kernel <= size + 2 * pad for start in range(0, size + 2 * pad, stride))


def ceil_size(size, kernel, stride, pad):
    """The same, where the window that first runs past the end counts too if it starts inside the input or left padding."""
    count = floor_size(size, kernel, stride, pad)
    covered = (count - 1) * stride + kernel >= size + 2 * pad
    return count if covered or count * stride >= size + pad else count + 1


def taps(shape, size, stride, pad):
    """Yield (i, j, u, v, row, col): place in the window, output pixel, and the pixel of the image (H, W) they meet at."""
    (H, W), (KH, KW), (SH, SW), (PH, PW) = shape, pair(size), pair(stride), pair(pad)
    outputs = floor_size(H, KH, SH, PH), floor_size(W, KW, SW, PW)
    for i, j, u, v in itertools.product(range(KH), range(KW), *map(range, outputs)):
        row, col = u * SH + i - PH, v * SW + j - PW
        if 0 <= row < H and 0 <= col < W:
            yield i, j, u, v, row, col


def _halves(count, groups):
    return [slice(g * count // groups, (g + 1) * count // groups) for g in range(groups)]


def _output_shape(x_shape, w_shape, stride, pad):
    (SH, SW), (PH, PW) = pair(stride), pair(pad)
    return (x_shape[0], w_shape[0], floor_size(x_shape[2], w_shape[2], SH, PH),
            floor_size(x_shape[3], w_shape[3], SW, PW))


def conv2d(x, weight, bias=None, stride=1, pad=0, groups=1):
    x, weight = x.astype(np.float64), weight.astype(np.float64)
    y = np.zeros(_output_shape(x.shape, weight.shape, stride, pad))
    for i, j, u, v, row, col in taps(x.shape[2:], weight.shape[2:], stride, pad):
        for maps, filters in zip(_halves(x.shape[1], groups), _halves(weight.shape[0], groups)):
            y[:, filters, u, v] += x[:, maps, row, col] @ weight[filters, :, i, j].T
    return y if bias is None else y + bias.astype(np.float64)[:, None, None]


def conv2d_input_grad(dy, weight, x_shape, stride=1, pad=0, groups=1):
    dy, weight, dx = dy.astype(np.float64), weight.astype(np.float64), np.zeros(x_shape)
    for i, j, u, v, row, col in taps(x_shape[2:], weight.shape[2:], stride, pad):
        for maps, filters in zip(_halves(x_shape[1], groups), _halves(weight.shape[0], groups)):
            dx[:, maps, row, col] += dy[:, filters, u, v] @ weight[filters, :, i, j]
    return dx


def conv2d_weight_grad(dy, x, w_shape, stride=1, pad=0, groups=1):
    dy, x, dw = dy.astype(np.float64), x.astype(np.float64), np.zeros(w_shape)
    for i, j, u, v, row, col in taps(x.shape[2:], w_shape[2:], stride, pad):
        for maps, filters in zip(_halves(x.shape[1], groups), _halves(w_shape[0], groups)):
            dw[filters, :, i, j] += dy[:, filters, u, v].T @ x[:, maps, row, col]
    return dw


def conv_transpose2d(x, weight, bias=None, stride=1, pad=0, output_pad=0, groups=1):
    """Every input pixel stamps its filter onto a canvas, `stride` apart; `pad` is cut off, `output_pad` added at the end."""
    (N, C, H, W), (_, FG, KH, KW) = x.shape, weight.shape
    (SH, SW), (PH, PW), (EH, EW) = pair(stride), pair(pad), pair(output_pad)
    canvas = np.zeros((N, FG * groups, (H - 1) * SH + KH + EH, (W - 1) * SW + KW + EW))
    for n, c, u, v in np.ndindex(*x.shape):
        first = c // (C // groups) * FG
        canvas[n, first:first + FG, u * SH:u * SH + KH, v * SW:v * SW + KW] += float(x[n, c, u, v]) * weight[c]
    y = canvas[:, :, PH:canvas.shape[2] - PH, PW:canvas.shape[3] - PW]
    return y if bias is None else y + bias.astype(np.float64)[:, None, None]


def im2col(x, size, stride=1, pad=0):
    N, C, H, W = x.shape
    KH, KW = pair(size)
    _, _, OH, OW = _output_shape(x.shape, (1, C, KH, KW), stride, pad)
    cols = np.zeros((N, C, KH, KW, OH, OW))
    for i, j, u, v, row, col in taps((H, W), size, stride, pad):
        cols[:, :, i, j, u, v] = x[:, :, row, col]
    return cols.reshape(N, C * KH * KW, OH * OW)


def col2im(cols, x_shape, size, stride=1, pad=0):
    KH, KW = pair(size)
    _, _, OH, OW = _output_shape(x_shape, (1, 1, KH, KW), stride, pad)
    cols, x = cols.reshape(x_shape[0], x_shape[1], KH, KW, OH, OW), np.zeros(x_shape)
    for i, j, u, v, row, col in taps(x_shape[2:], size, stride, pad):
        x[:, :, row, col] += cols[:, :, i, j, u, v]
    return x


def max_pool2d(x, size, stride=None, pad=0, ceil_mode=False):
    """Read every window's real pixels in row-major order; the first NaN wins, else the first of the largest."""
    N, C, H, W = x.shape
    (KH, KW), (PH, PW) = pair(size), pair(pad)
    SH, SW = pair(size if stride is None else stride)
    count = ceil_size if ceil_mode else floor_size
    OH, OW = count(H, KH, SH, PH), count(W, KW, SW, PW)
    y, switches = np.zeros((N, C, OH, OW)), np.zeros((N, C, OH, OW), np.int64)
    for n, c, u, v in np.ndindex(N, C, OH, OW):
        best, where = None, None
        for i, j in itertools.product(range(KH), range(KW)):
            row, col = u * SH - PH + i, v * SW - PW + j
            if 0 <= row < H and 0 <= col < W:
                value = x[n, c, row, col]
                if best is None or (not np.isnan(best) and (np.isnan(value) or value > best)):
                    best, where = value, row * W + col
        y[n, c, u, v], switches[n, c, u, v] = best, where
    return y, switches


def max_unpool2d(y, switches, x_shape):
    N, C, H, W = x_shape
    x = np.zeros((N, C, H * W))
    for n, c, u, v in np.ndindex(*y.shape):
        x[n, c, switches[n, c, u, v]] += y[n, c, u, v]
    return x.reshape(x_shape)


def avg_pool2d(x, size, stride=None, pad=0):
    (KH, KW), stride = pair(size), size if stride is None else stride
    y = np.zeros(_output_shape(x.shape, (x.shape[1], 1, KH, KW), stride, pad))
    for _, _, u, v, row, col in taps(x.shape[2:], size, stride, pad):
        y[:, :, u, v] += x[:, :, row, col].astype(np.float64) / (KH * KW)
    return y


def avg_pool2d_grad(dy, x_shape, size, stride=None, pad=0):
    (KH, KW), stride = pair(size), size if stride is None else stride
    dx = np.zeros(x_shape)
    for _, _, u, v, row, col in taps(x_shape[2:], size, stride, pad):
        dx[:, :, row, col] += dy[:, :, u, v].astype(np.float64) / (KH * KW)
    return dx


def _neighbours(c, C, size):
    return [d for d in range(c - size // 2, c + (size - 1) // 2 + 1) if 0 <= d < C]


def _scale(x, size, alpha, k):
    scale = np.full(x.shape, float(k))
    for c in range(x.shape[1]):
        for d in _neighbours(c, x.shape[1], size):
            scale[:, c] += alpha / size * x[:, d] ** 2
    return scale


def local_response_norm(x, size=5, alpha=5e-4, beta=0.75, k=2.0):
    x = x.astype(np.float64)
    return x / _scale(x, size, alpha, k) ** beta


def local_response_norm_grad(dy, x, size=5, alpha=5e-4, beta=0.75, k=2.0):
    """Sum dy_d ∂y_d/∂x_c over d, by the quotient rule for y_d = x_d s_d^-beta."""
    dy, x = dy.astype(np.float64), x.astype(np.float64)
    scale, dx = _scale(x, size, alpha, k), np.zeros(x.shape)
    for d in range(x.shape[1]):
        dx[:, d] += dy[:, d] * scale[:, d] ** -beta
        for c in _neighbours(d, x.shape[1], size):
            ds = 2 * alpha / size * x[:, c]
            dx[:, c] += dy[:, d] * x[:, d] * -beta * scale[:, d] ** (-beta - 1) * ds
    return dx


def relu_backward(r, x, rule):
    """The three rules of sec. 2.1, a value at a time: x is what went into the ReLU."""
    out = np.zeros(r.shape)
    for at in np.ndindex(*r.shape):
        passes = {"gradient": x[at] > 0, "deconvnet": r[at] > 0, "guided": x[at] > 0 and r[at] > 0}[rule]
        out[at] = r[at] if passes else 0
    return out

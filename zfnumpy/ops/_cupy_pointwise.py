"""ReLU, bias, contrast normalization and the updates on a GPU: the kernels of `cuda/pointwise.cu`."""

from math import prod

import numpy as np

from ._cuda import THREADS, Launcher

STRETCH = 32           # channels of a pixel that one thread of the contrast normalization goes over
RING = 8               # widest window of channels that its gradient's kernel takes
NUMBERS = 4096         # that a block of the bias gradient adds, at least
PARTS = 64             # blocks that share a filter's bias gradient, at most


class Pointwise(Launcher):
    """What is done number by number or channel by channel."""

    def _relu(self, x):
        y = self.xp.empty(x.shape, dtype=x.dtype)
        self._each("pointwise", "relu", y.size, self._plain(x), y, dtype=x.dtype)
        return y

    def _relu_backward(self, r, y, rectify):
        out, r, masked = self.xp.empty(r.shape, dtype=r.dtype), self._plain(r), y is not None
        self._each("pointwise", "relu_backward", out.size, r, self._plain(y) if masked else r, out, masked, rectify,
                   dtype=r.dtype)
        return out

    def _bias_relu(self, y, bias, relu):
        """Add bias (F,), unless it is None, to contiguous y (N, F, ...) in place, rectify it if `relu`, and return it."""
        if bias is not None or relu:
            self._each("pointwise", "bias_relu", y.size, y, y if bias is None else self._plain(bias), y.shape[1],
                       prod(y.shape[2:]), bias is not None, relu, dtype=y.dtype)
        return y

    def _bias_grad(self, dy):
        F, pixels = dy.shape[1], prod(dy.shape[2:])
        length = dy.shape[0] * pixels                                    # numbers that a filter has
        if not length or not F:
            return self.xp.zeros(F, dtype=dy.dtype)
        count = min(-(-length // NUMBERS), PARTS)
        parts = self.xp.empty((count, F), dtype=dy.dtype)
        self._launch("pointwise", "bias_grad_parts", (F, count), THREADS, self._plain(dy), parts, F, pixels,
                     np.int64(length), np.int64(-(-length // count)), dtype=dy.dtype)
        if count == 1:
            return parts[0]
        db = self.xp.empty(F, dtype=dy.dtype)
        self._each("pointwise", "bias_grad", F, parts, count, db, dtype=dy.dtype)
        return db

    # ---- contrast normalization -------------------------------------------------------------------------------------

    def _norm(self, name, x, arrays, size, alpha, beta, k):
        N, C, H, W = x.shape
        y, stretches = self.xp.empty(x.shape, dtype=x.dtype), -(-C // STRETCH)
        before, after = min(size // 2, C), min((size - 1) // 2, C)       # wider windows have no more channels
        self._each("pointwise", name, N * stretches * H * W, *(self._plain(a) for a in arrays), y, C, H * W, stretches,
                   STRETCH, before, after, alpha / size, beta, k, dtype=x.dtype)
        return y

    def _local_response_norm(self, x, size, alpha, beta, k):
        return self._norm("local_response_norm", x, (x,), size, alpha, beta, k)

    def _local_response_norm_grad(self, dy, x, size, alpha, beta, k):
        if size > RING:
            return super()._local_response_norm_grad(dy, x, size, alpha, beta, k)
        return self._norm("local_response_norm_grad", x, (dy, x), size, alpha, beta, k)

    # ---- training ---------------------------------------------------------------------------------------------------

    def _dropout_mask(self, shape, p, rng, dtype):
        """Draw a key of 64 bits from rng; the kernel makes the mask of it and of each number's place."""
        p, mask, key = float(p), self.xp.empty(shape, dtype=dtype), rng.integers(2**64, dtype=np.uint64)
        threshold = np.uint32(min(round(p * 2**32), 2**32 - 1))          # of random words of 32 bits
        self._each("pointwise", "dropout_mask", -(-mask.size // 4), mask, np.int64(mask.size), key, threshold, 1 / (1 - p),
                   dtype=dtype)
        return mask

    def _sgd_update(self, w, velocity, grad, lr, momentum, weight_decay):
        plain_w, plain_v = self._plain(w), self._plain(velocity)
        self._each("pointwise", "sgd_update", w.size, plain_w, plain_v, self._plain(grad), float(lr), float(momentum),
                   float(weight_decay), dtype=w.dtype)
        self._write_back(plain_w, w)
        self._write_back(plain_v, velocity)

    def _renormalize_filters(self, w, radius):
        if w.size:
            plain = self._plain(w)
            self._launch("pointwise", "renormalize_filters", w.shape[0], THREADS, plain, np.int64(w.size // w.shape[0]),
                         float(radius), dtype=w.dtype)
            self._write_back(plain, w)

    def _write_back(self, plain, array):
        """Put a contiguous copy's new values where they belong; an array that is contiguous itself has them already."""
        if not array.flags.c_contiguous:
            array[...] = plain

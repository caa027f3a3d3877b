"""What every backend can do: the operations by name, what they take and give, and the checks of their arguments.

A method here says what an operation means, refuses arguments that do not fit, and hands over to the method of the same
name with an underscore, which a backend provides: plain NumPy in `reference`, jit kernels in `numba_ops`, a GPU in
`cupy_ops`. Linear operations stand beside their adjoints.

Shapes use N images, C channels, F filters, H×W pixels, KH×KW windows and OH×OW outputs. Arrays are float32 or float64,
all of one call alike, and come back in the same dtype; inputs are never changed in place, save by the two updates
that say so. `stride` and `pad` are ints or (vertical, horizontal) pairs. Wrong shapes raise ShapeError, wrong
dtypes DTypeError.
"""

import numpy as np

from ..errors import DTypeError, ShapeError
from ..shapes import (
    FLOATS,
    check_dims,
    check_floats,
    check_shape,
    conv_window,
    count,
    pool_window,
    transpose_output_shape,
    window,
)
from .backend import Backend
from .checks import (
    check_below,
    check_linear,
    check_pictures,
    check_switches,
    check_unpooling,
    check_windows,
    norm_settings,
    read_within,
)

RULES = ("gradient", "deconvnet", "guided")


class OpsFace(Backend):
    """The operations of a backend."""

    # ---- pictures ---------------------------------------------------------------------------------------------------

    def prepare(self, squares, corners, flips, mean, size, scale=1.0, order="RGB", dtype="float32"):
        """Cut size×size crops out of pictures and make of them what a network reads: x (N, 3, size, size) of `dtype`.

        squares (N, R, R, 3) uint8, RGB; corners (N, 2) int32, each crop's first row and column; flips (N,) bool or uint8,
        whether to mirror it. mean, float32, is subtracted: a colour (3,), or an image (3, R, R) whose window goes with the
        crop and its flip. Its channels are in `order`, "RGB" or "BGR", and so are those of x. Then `scale` multiplies.
        Where a crop leaves its picture x is 0. The bits are those of data.Preprocessing and data.Augment.
        """
        check_pictures("prepare", squares, corners, flips, mean)
        if order not in ("RGB", "BGR"):
            raise ShapeError(f"prepare: the channel order is RGB or BGR, got {order!r}")
        if str(np.dtype(dtype)) not in FLOATS:
            raise DTypeError(f"prepare: pictures become float32 or float64, not {np.dtype(dtype)}")
        size = count(size, "prepare: size")
        return self._prepare(squares, corners, flips, mean, size, float(scale), order == "BGR", np.dtype(dtype))

    # ---- convolution and its adjoints -------------------------------------------------------------------------------

    def im2col(self, x, size, stride=1, pad=0):
        """Lay the windows of x (N, C, H, W) out as columns (N, C*KH*KW, OH*OW), zero where a window leaves the image."""
        check_floats("im2col", x=x)
        return self._im2col(x, window("im2col", x.shape, size, stride, pad))

    def col2im(self, cols, x_shape, size, stride=1, pad=0):
        """Add columns (N, C*KH*KW, OH*OW) back into images of x_shape: the adjoint of im2col."""
        check_floats("col2im", cols=cols)
        win = window("col2im", x_shape, size, stride, pad)
        check_shape("col2im", cols, "cols", (win.N, win.C * win.KH * win.KW, win.OH * win.OW))
        return self._col2im(cols, win)

    def conv2d(self, x, weight, bias=None, stride=1, pad=0, groups=1, relu=False):
        """Correlate x (N, C, H, W) with weight (F, C/groups, KH, KW) and add bias (F,): y (N, F, OH, OW).

        OH = floor((H + 2 pad - KH) / stride) + 1. Group g sees its C/groups channels and makes its F/groups maps.
        `relu` rectifies y in the same pass.
        """
        check_floats("conv2d", x=x, weight=weight, bias=bias)
        win = conv_window("conv2d", x.shape, weight.shape, stride, pad, groups)
        if bias is not None:
            check_shape("conv2d", bias, "bias", (weight.shape[0],))
        return self._conv2d(x, weight, bias, win, groups, relu)

    def conv2d_input_grad(self, dy, weight, x_shape, stride=1, pad=0, groups=1):
        """Carry dy (N, F, OH, OW) back to the input of conv2d: dx of x_shape, the adjoint of conv2d in x."""
        check_floats("conv2d_input_grad", dy=dy, weight=weight)
        win = conv_window("conv2d_input_grad", x_shape, weight.shape, stride, pad, groups)
        check_shape("conv2d_input_grad", dy, "dy", (win.N, weight.shape[0], win.OH, win.OW))
        return self._conv2d_input_grad(dy, weight, win, groups)

    def conv2d_weight_grad(self, dy, x, w_shape, stride=1, pad=0, groups=1):
        """Return dw of w_shape (F, C/groups, KH, KW), summed over the batch: the adjoint of conv2d in the weights."""
        check_floats("conv2d_weight_grad", dy=dy, x=x)
        win = conv_window("conv2d_weight_grad", x.shape, w_shape, stride, pad, groups)
        check_shape("conv2d_weight_grad", dy, "dy", (win.N, w_shape[0], win.OH, win.OW))
        return self._conv2d_weight_grad(dy, x, win, w_shape[0], groups)

    def conv2d_weight_grad_unpooled(self, dy, switches, x, w_shape, stride=1, pad=0, groups=1, size=None, pool_stride=None,
                                    pool_pad=0):
        """Return conv2d_weight_grad(max_unpool2d(dy, switches), x): of a convolution right below a max pool.

        dy (N, F, PH, PW) is the pool's gradient and switches, int32, say where in conv2d's (OH, OW) output each value
        belongs; the pooling's window may be told, as to max_unpool2d. A backend may spare itself the unpooled array.
        """
        check_floats("conv2d_weight_grad_unpooled", dy=dy, x=x)
        win = conv_window("conv2d_weight_grad_unpooled", x.shape, w_shape, stride, pad, groups)
        check_dims("conv2d_weight_grad_unpooled", dy, "dy", "N, F, PH, PW")
        check_shape("conv2d_weight_grad_unpooled", dy, "dy", (win.N, w_shape[0], *dy.shape[2:]))
        check_switches("conv2d_weight_grad_unpooled", switches, dy)
        dw = self._conv2d_weight_grad_unpooled(dy, switches, x, win, w_shape[0], groups, (size, pool_stride, pool_pad))
        return read_within("conv2d_weight_grad_unpooled", dw, switches, win.OH, win.OW)

    def conv_transpose2d(self, x, weight, bias=None, stride=1, pad=0, output_pad=0, groups=1):
        """Convolve x (N, C_in, H, W) with the transposed filters weight (C_in, C_out/groups, KH, KW), plus bias (C_out,).

        y is (N, C_out, OH, OW) with OH = (H - 1) stride - 2 pad + KH + output_pad. It is conv2d's input gradient under
        another name; `output_pad` chooses among the input sizes that conv2d maps to the same output size.
        """
        check_floats("conv_transpose2d", x=x, weight=weight, bias=bias)
        y_shape = transpose_output_shape("conv_transpose2d", x.shape, weight.shape, stride, pad, output_pad, groups)
        win = conv_window("conv_transpose2d", y_shape, weight.shape, stride, pad, groups)
        y = self._conv2d_input_grad(x, weight, win, groups)
        if bias is not None:
            check_shape("conv_transpose2d", bias, "bias", (y_shape[1],))
            y += bias[:, None, None]
        return y

    def bias_grad(self, dy):
        """Sum dy (N, F, ...) over everything but its second axis: (F,)."""
        check_floats("bias_grad", dy=dy)
        if dy.ndim < 2:
            raise ShapeError(f"bias_grad: dy must be (N, F, ...), got shape {tuple(dy.shape)}")
        return self._bias_grad(dy)

    # ---- fully connected --------------------------------------------------------------------------------------------

    def linear(self, x, weight, bias=None, relu=False):
        """Map x (N, in) by weight (out, in) and bias (out,) to x weightᵀ + bias (N, out), rectified where `relu`."""
        check_floats("linear", x=x, weight=weight, bias=bias)
        check_linear("linear", x, weight, "x", 1)
        if bias is not None:
            check_shape("linear", bias, "bias", (weight.shape[0],))
        return self._linear(x, weight, bias, relu)

    def linear_input_grad(self, dy, weight):
        """Return dx = dy weight (N, in) for dy (N, out)."""
        check_floats("linear_input_grad", dy=dy, weight=weight)
        check_linear("linear_input_grad", dy, weight, "dy", 0)
        return self._linear_input_grad(dy, weight)

    def linear_weight_grad(self, dy, x):
        """Return dw = dyᵀ x (out, in) for dy (N, out) and x (N, in)."""
        check_floats("linear_weight_grad", dy=dy, x=x)
        check_dims("linear_weight_grad", dy, "dy", "N, out")
        check_shape("linear_weight_grad", x, "x", (dy.shape[0], *x.shape[1:2]))
        return self._linear_weight_grad(dy, x)

    # ---- pooling ----------------------------------------------------------------------------------------------------

    def max_pool2d(self, x, size, stride=None, pad=0, ceil_mode=False):
        """Take the maximum of every window of x (N, C, H, W): y (N, C, OH, OW), and its switches, int32, alike.

        A switch is the maximum's flat index into the (H, W) plane, as PyTorch's return_indices. Ties go to the first
        in row-major order; a NaN counts as the maximum. `stride` None means `size`. Padding is never chosen.
        """
        check_floats("max_pool2d", x=x)
        return self._max_pool2d(x, pool_window("max_pool2d", x.shape, size, stride, pad, ceil_mode))

    def max_unpool2d(self, y, switches, x_shape, size=None, stride=None, pad=0):
        """Place every y (N, C, OH, OW) at its switch in zeros of x_shape (N, C, H, W).

        Where overlapping windows name the same pixel their values add, which makes this the adjoint of reading x at
        the switches, and so the gradient of max_pool2d. The window (size, stride, pad) is the pooling's; a backend
        may use it to gather instead of scatter, and then pass over a switch that lies outside of its own window.
        """
        check_floats("max_unpool2d", y=y)
        check_dims("max_unpool2d", y, "y", "N, C, OH, OW")
        check_switches("max_unpool2d", switches, y)
        if len(x_shape) != 4 or tuple(x_shape[:2]) != tuple(y.shape[:2]):
            raise ShapeError(f"max_unpool2d: x_shape must be (N, C, H, W) with N, C = {tuple(y.shape[:2])}, "
                             f"got {tuple(x_shape)}")
        x = self._max_unpool2d(y, switches, tuple(x_shape), size, stride, pad)
        return read_within("max_unpool2d", x, switches, *x_shape[2:])

    def avg_pool2d(self, x, size, stride=None, pad=0):
        """Average every window of x (N, C, H, W): y (N, C, OH, OW); padded zeros count, so every window divides by KH*KW."""
        check_floats("avg_pool2d", x=x)
        return self._avg_pool2d(x, pool_window("avg_pool2d", x.shape, size, stride, pad))

    def avg_pool2d_grad(self, dy, x_shape, size, stride=None, pad=0):
        """Spread dy (N, C, OH, OW) evenly over its windows in x_shape: the adjoint of avg_pool2d."""
        check_floats("avg_pool2d_grad", dy=dy)
        win = pool_window("avg_pool2d_grad", x_shape, size, stride, pad)
        check_shape("avg_pool2d_grad", dy, "dy", (win.N, win.C, win.OH, win.OW))
        return self._avg_pool2d_grad(dy, win)

    # ---- ReLU and contrast normalization ----------------------------------------------------------------------------

    def relu(self, x):
        """Return max(x, 0), any shape; NaN stays NaN, so that trouble shows."""
        check_floats("relu", x=x)
        return self._relu(x)

    def relu_backward(self, r, y, rule="gradient"):
        """Carry r back through y = relu(x) by one of three rules, the only place where they differ.

        gradient r·[x>0] · deconvnet r·[r>0] · guided r·[x>0]·[r>0] (Springenberg et al., 1412.6806). x > 0 is read
        from y > 0; y may be None where the rule does not look at it, or where [x>0] is known to be applied already.
        """
        if rule not in RULES:
            raise ShapeError(f"the rule {rule!r} does not exist; use one of {', '.join(RULES)}")
        check_floats("relu_backward", r=r, y=y)
        if y is not None:
            check_shape("relu_backward", y, "y", r.shape)
        return self._relu_backward(r, None if rule == "deconvnet" else y, rule != "gradient")

    def local_response_norm(self, x, size=5, alpha=5e-4, beta=0.75, k=2.0):
        """Divide x (N, C, H, W) by (k + alpha/size Σ x²)^beta, the sum over `size` neighbouring channels.

        Krizhevsky et al. 2012, sec. 3.3; alpha is divided by size as in PyTorch. The window of channel c is
        c - size//2 ... c + (size-1)//2, cut at the ends.
        """
        check_floats("local_response_norm", x=x)
        check_dims("local_response_norm", x, "x", "N, C, H, W")
        return self._local_response_norm(x, *norm_settings(size, alpha, beta, k))

    def local_response_norm_grad(self, dy, x, size=5, alpha=5e-4, beta=0.75, k=2.0):
        """Return dx of local_response_norm at x for dy (N, C, H, W).

        With s = k + alpha/size Σ x²: dx_c = dy_c s_c^-beta - 2 beta alpha/size x_c Σ dy x s^(-beta-1), the sum over
        the channels whose windows hold c.
        """
        check_floats("local_response_norm_grad", dy=dy, x=x)
        check_dims("local_response_norm_grad", x, "x", "N, C, H, W")
        check_shape("local_response_norm_grad", dy, "dy", x.shape)
        return self._local_response_norm_grad(dy, x, *norm_settings(size, alpha, beta, k))

    # ---- training ---------------------------------------------------------------------------------------------------

    def dropout_mask(self, shape, p, rng, dtype):
        """Return a mask of zeros (probability p) and 1 / (1 - p), drawn from the NumPy Generator rng, or by a key of it."""
        if not 0 <= p < 1:
            raise ShapeError(f"dropout_mask: p must lie in [0, 1), got {p}")
        return self._dropout_mask(tuple(shape), p, rng, dtype)

    def sgd_update(self, w, velocity, grad, lr, momentum=0.9, weight_decay=0.0):
        """Change w and velocity in place: v ← momentum v + grad + weight_decay w; w ← w - lr v (PyTorch's form)."""
        check_floats("sgd_update", w=w, velocity=velocity, grad=grad)
        check_shape("sgd_update", velocity, "velocity", w.shape)
        check_shape("sgd_update", grad, "grad", w.shape)
        self._sgd_update(w, velocity, grad, lr, momentum, weight_decay)

    def renormalize_filters(self, w, radius=0.1):
        """Scale in place every filter of w (F, ...) whose RMS exceeds `radius` back to it (paper, sec. 3)."""
        check_floats("renormalize_filters", w=w)
        self._renormalize_filters(w, radius)

    # ---- windows of maps, for projections and patches ---------------------------------------------------------------

    def cut_windows(self, x, windows):
        """Cut windows (shapes.Windows) out of x (N, C, H, W): (P, C, h, w), zero where a window leaves the map."""
        check_floats("cut_windows", x=x)
        check_dims("cut_windows", x, "x", "N, C, H, W")
        check_windows("cut_windows", windows, x.shape)
        return self._cut_windows(x, windows)

    def patch_windows(self, x, patches, at, windows, outside=0.0):
        """Cut windows out of P versions of maps, which differ from those in x each by a patch: (P, C, *windows.size).

        x (N, C, H, W); patches (P, C, *at.size) stand in for what x holds in the windows `at`. `windows` are of the same
        images; where they leave the map they hold `outside`, and so they do where a patch lies outside of it.
        """
        what = "patch_windows"
        check_floats(what, x=x, patches=patches)
        check_dims(what, x, "x", "N, C, H, W")
        check_windows(what, at, x.shape)
        check_windows(what, windows, x.shape)
        check_shape(what, patches, "patches", (len(at.images), x.shape[1], *at.size))
        if not np.array_equal(at.images, windows.images):
            raise ShapeError(f"{what}: the windows must be of the same images as the patches")
        return self._patch_windows(x, patches, at, windows, float(outside))

    def unpool_windows(self, r, switches, above, below, pool=None):
        """Unpool r (P, C, *above.size), windows of pooled maps, by the switches (N, C, OH, OW): (P, C, *below.size).

        What max_unpool2d makes of r in zeros, cut to the windows `below`. `pool` is the pooling's (size, stride, pad), in
        pairs; a backend may use it to gather instead of scatter.
        """
        check_floats("unpool_windows", r=r)
        check_unpooling("unpool_windows", r, switches, above, below)
        return self._unpool_windows(r, switches, above, below, pool)

    def transpose_windows(self, r, weight, above, below, stride=1, pad=0, groups=1, rectify=False, unpool=None):
        """Carry r (P, F, *above.size), windows of maps of zeros, back through a convolution: (P, C, *below.size).

        What conv2d_input_grad makes of r in zeros, cut to the windows `below` of the convolution's input. What r holds
        outside its map does not count. `rectify` takes r·[r>0] of r first. With `unpool` (switches, pooled, pool), r
        holds windows `pooled` of pooled maps, which are unpooled to the windows `above` before anything else; pool is as
        for unpool_windows. The deconvnet's steps from pool to pool (paper, sec. 2.1) in one call; where few values of r
        are not zero it is quick.
        """
        what = "transpose_windows"
        check_floats(what, r=r, weight=weight)
        check_dims(what, weight, "weight", "F, C/groups, KH, KW")
        F, C = weight.shape[0], weight.shape[1] * groups
        win = conv_window(what, (len(above.images), C, *below.plane), weight.shape, stride, pad, groups)
        if tuple(above.plane) != (win.OH, win.OW):
            raise ShapeError(f"{what}: a map of {below.plane[0]}×{below.plane[1]} makes one of {win.OH}×{win.OW}, "
                             f"not {above.plane[0]}×{above.plane[1]}")
        if unpool is not None:
            check_unpooling(what, r, *unpool[:2], above)
            check_shape(what, unpool[0], "switches", (unpool[0].shape[0], F, *unpool[0].shape[2:]))
        else:
            check_shape(what, r, "r", (len(above.images), F, *above.size))
        check_windows(what, above)
        check_below(what, above, below)
        return self._transpose_windows(r, weight, above, below, win, groups, bool(rectify), unpool)

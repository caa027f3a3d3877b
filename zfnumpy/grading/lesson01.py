"""The checks of lesson 1: a filter over an image."""

import numpy as np

from ..ops.reference import Ops
from ..shapes import conv_output_size
from .check import Case, TaskCheck, case

OPS = Ops()


def size_of(size, kernel, stride=1, pad=0):
    return conv_output_size(size, kernel, stride, pad)


def padded(x, pad):
    return np.pad(x, [(0, 0)] * (x.ndim - 2) + [(pad, pad)] * 2)


def conv2d(x, w, stride=1, pad=0):
    return OPS.conv2d(x, w, stride=stride, pad=pad)


def correlate(x, w, stride=1, pad=0):
    return conv2d(x[None], w[None], stride, pad)[0, 0]


def checks(rng):
    """Return {task: TaskCheck} of fresh cases."""
    return {"1.1": _size(rng), "1.2": _pad(rng), "1.3": _correlate(rng), "1.4": _conv2d(rng)}


def _size(rng):
    def off_by_one(size, kernel, stride=1, pad=0):
        return (size + 2 * pad - kernel) // stride

    def one_side(size, kernel, stride=1, pad=0):
        return (size + pad - kernel) // stride + 1

    def rounded_up(size, kernel, stride=1, pad=0):
        return -((kernel - size - 2 * pad) // stride) + 1

    def divided(size, kernel, stride=1, pad=0):
        return (size + 2 * pad - kernel) / stride + 1

    def no_stride(size, kernel, stride=1, pad=0):
        return size + 2 * pad - kernel + 1

    def no_pad(size, kernel, stride=1, pad=0):
        return (size - kernel) // stride + 1

    mistakes = [("It looks as if the place where the filter begins is not counted: the steps, plus one.", off_by_one),
                ("It looks as if padding counts once: zeros stand at both ends.", one_side),
                ("It looks as if the padding is left out.", no_pad),
                ("It looks as if a last, incomplete step counts: the filter must fit, so round down.", rounded_up),
                ("It looks as if / divides: steps are whole, // rounds down.", divided),
                ("It looks as if the stride is left out.", no_stride)]
    size, kernel = int(rng.integers(20, 60)), int(rng.integers(2, 8))
    uneven = 3 * int(rng.integers(5, 15)) + 2 + kernel          # two pixels are left over
    return TaskCheck([case("stride 1, no padding", size_of, size, kernel, mistakes=mistakes),
                      case("padding 2", size_of, size, kernel, pad=2, mistakes=mistakes),
                      case("a stride that leaves pixels over", size_of, uneven, kernel, stride=3, mistakes=mistakes),
                      case("ZFNet's first layer", size_of, 224, 7, stride=2, pad=1, mistakes=mistakes),
                      case("a filter as wide as the image", size_of, kernel, kernel, stride=2, mistakes=mistakes)],
                     ("How far can the filter's left edge move, once it stands at the beginning?",
                      "size + 2·pad - kernel pixels are left to move in, by steps of stride; count the first place too.",
                      "(size + 2 * pad - kernel) // stride + 1"))


def _pad(rng):
    def one_side(x, pad):
        return np.pad(x, [(0, 0)] * (x.ndim - 2) + [(0, pad)] * 2)

    def before(x, pad):
        return np.pad(x, [(0, 0)] * (x.ndim - 2) + [(pad, 0)] * 2)

    def every_axis(x, pad):
        return np.pad(x, pad)

    def edge(x, pad):
        return np.pad(x, [(0, 0)] * (x.ndim - 2) + [(pad, pad)] * 2, mode="edge")

    def moved(x, pad):
        out = np.zeros_like(padded(x, pad))
        out[..., :x.shape[-2], :x.shape[-1]] = x
        return out

    mistakes = [("It looks as if zeros are added on one side only: they stand on all four.", one_side),
                ("It looks as if zeros are added on one side only: they stand on all four.", before),
                ("It looks as if other axes are padded too: images and channels keep their number.", every_axis),
                ("It looks as if the rim is repeated: the frame is of zeros.", edge),
                ("It looks as if the image lies in the frame's upper left corner: it begins at (pad, pad).", moved)]

    def draw(shape, dtype=np.float64):
        return rng.standard_normal(shape).astype(dtype) + 3

    return TaskCheck([case("a plane (H, W), padding 1", padded, draw((3, 4)), 1, mistakes=mistakes),
                      case("a colour image, padding 2", padded, draw((3, 5, 4)), 2, mistakes=mistakes),
                      case("a batch, padding 3", padded, draw((2, 2, 2, 5)), 3, mistakes=mistakes),
                      case("no padding", padded, draw((2, 3, 3)), 0, mistakes=mistakes),
                      case("float32", padded, draw((1, 3, 2), np.float32), 1, mistakes=mistakes)],
                     ("Begin with an array of zeros that is larger by 2·pad in its last two axes.",
                      "Then write the image into its middle: a slice that begins at pad and is H (or W) long.",
                      "padded[..., pad:pad + H, pad:pad + W] = x; and zeros of x.dtype, or float32 becomes float64."))


# What each case is about, and its N, C, F, (H, W), (KH, KW), stride, pad, dtype.
SIZES = [("one channel, stride 1", 1, 1, 1, (5, 5), (3, 3), 1, 0, np.float64),
         ("three channels", 1, 3, 2, (5, 6), (3, 3), 1, 0, np.float64),
         ("a filter higher than wide, an image wider than high", 2, 2, 3, (5, 8), (3, 2), 1, 0, np.float64),
         ("padding 1", 2, 2, 2, (4, 5), (3, 3), 1, 1, np.float64),
         ("stride 2, padding 1", 2, 2, 3, (7, 8), (3, 3), 2, 1, np.float64),
         ("stride 3, with pixels that no filter reaches", 2, 1, 2, (9, 10), (2, 2), 3, 0, np.float64),
         ("a filter of one pixel", 2, 3, 2, (4, 3), (1, 1), 1, 0, np.float64),
         ("float32", 2, 2, 2, (6, 5), (3, 3), 2, 1, np.float32)]
FLIPPED = "It looks as if the filter is flipped: that is a convolution; here w[i, j] meets x[su + i, sv + j]."
NO_PAD = "It looks as if the padding is left out, or the size is that of an image without it."
ONE_SIDE = "It looks as if zeros are added on one side only: they stand on all four."
NO_STRIDE = "It looks as if the stride is left out: output u sees the pixels from stride·u on."
SHORT = "It looks as if the last row and column are missing: count the first place too (task 1.1)."
TURNED = "It looks as if rows and columns of the filter are exchanged: i goes down, j to the right."


def _one_sided(x, w, stride=1, pad=0):
    return conv2d(np.pad(x, ((0, 0), (0, 0), (0, 2 * pad), (0, 2 * pad))), w, stride)


def _mistakes():
    """Return the mistakes that both tasks share, as functions of batches."""
    return [(FLIPPED, lambda x, w, stride=1, pad=0: conv2d(x, w[:, :, ::-1, ::-1], stride, pad)),
            (NO_PAD, lambda x, w, stride=1, pad=0: conv2d(x, w, stride)),
            (ONE_SIDE, _one_sided),
            (ONE_SIDE, lambda x, w, stride=1, pad=0: conv2d(np.pad(x, ((0, 0), (0, 0), (pad, 0), (pad, 0))), w, stride)),
            (NO_STRIDE, lambda x, w, stride=1, pad=0: conv2d(x, w, 1, pad)),
            (NO_STRIDE, _crowded),
            (SHORT, lambda x, w, stride=1, pad=0: conv2d(x, w, stride, pad)[:, :, :-1, :-1]),
            (TURNED, lambda x, w, stride=1, pad=0: conv2d(x, w.swapaxes(2, 3), stride, pad))]


def _crowded(x, w, stride=1, pad=0):
    """The right number of outputs, but of neighbouring places."""
    OH, OW = conv2d(x, w, stride, pad).shape[2:]
    return conv2d(x, w, 1, pad)[:, :, :OH, :OW]


def _of_one(function):
    """Turn a mistake with batches into one with a single image and filter."""
    return lambda x, w, stride=1, pad=0: function(x[None], w[None], stride, pad)[0, 0]


def _draw(rng, N, C, F, size, kernel, dtype):
    return rng.standard_normal((N, C, *size)).astype(dtype), rng.standard_normal((F, C, *kernel)).astype(dtype)


def _correlate(rng):
    def first_channel(x, w, stride=1, pad=0):
        return correlate(x[:1], w[:1], stride, pad)

    def each_channel(x, w, stride=1, pad=0):
        return np.stack([correlate(x[c:c + 1], w[c:c + 1], stride, pad) for c in range(len(x))])

    def averaged(x, w, stride=1, pad=0):
        return correlate(x, w, stride, pad) / w.size

    def last_channel(x, w, stride=1, pad=0):
        return correlate(x[-1:], w[-1:], stride, pad)

    mistakes = [*((line, _of_one(function)) for line, function in _mistakes()),
                ("It looks as if channels are not summed: a filter gives one map, whatever the number of channels.",
                 each_channel),
                ("It looks as if channels are not summed: only the first counts.", first_channel),
                ("It looks as if channels are not summed: each writes over the one before, += adds.", last_channel),
                ("It looks as if the mean is taken: a filter adds up.", averaged)]
    cases = []
    for about, _, C, _, *sizes, stride, pad, dtype in SIZES:
        x, w = _draw(rng, 1, C, 1, *sizes, dtype)
        cases.append(case(about, correlate, x[0], w[0], stride=stride, pad=pad, mistakes=mistakes,
                          tolerance=1e-5 if dtype == np.float32 else 1e-9))
    return TaskCheck(cases, ("Which patch of the padded image does output (u, v) see? Where is its upper left corner?",
                             "The patch is x[:, s·u:s·u + KH, s·v:s·v + KW]: as large as the filter, channels and all.",
                             "y[u, v] = (patch * w).sum(), in two loops over y's shape, which tasks 1.1 and 1.2 give."))


def _conv2d(rng):
    def first_image(x, w, stride=1, pad=0):
        return np.repeat(conv2d(x[:1], w, stride, pad), len(x), axis=0)

    def first_channel(x, w, stride=1, pad=0):
        return conv2d(x[:, :1], w[:, :1], stride, pad)

    def last_place(x, w, stride=1, pad=0):
        only = np.zeros_like(w)
        only[:, :, -1, -1] = w[:, :, -1, -1]
        return conv2d(x, only, stride, pad)

    def swapped(x, w, stride=1, pad=0):
        return conv2d(x, w, stride, pad).swapaxes(0, 1)

    mistakes = [*_mistakes(),
                ("It looks as if each place of the filter writes over the one before: += adds.", last_place),
                ("It looks as if channels are not summed: only the first counts.", first_channel),
                ("It looks as if every image gets the first one's answer: n runs through.", first_image),
                ("It looks as if images and filters are exchanged: y is (N, F, OH, OW).", swapped)]
    cases = []
    for about, N, C, F, *sizes, stride, pad, dtype in SIZES:
        x, w = _draw(rng, N, C, F, *sizes, dtype)
        cases.append(case(about, conv2d, x, w, stride=stride, pad=pad, mistakes=mistakes,
                          tolerance=1e-5 if dtype == np.float32 else 1e-9))
    x, w = _draw(rng, 3, 2, 2, (6, 7), (3, 2), np.float64)
    v = rng.standard_normal(conv2d(x, w, 2, 2).shape)
    seen = float((OPS.conv2d_input_grad(v, w, x.shape, 2, 2) * x).sum())
    cases.append(Case("a wide frame, stride 2", (x, w), {"stride": 2, "pad": 2}, tolerance=1e-9,
                      dot=(v, seen, "weighted and summed, the outputs give another number")))
    return TaskCheck(cases, ("For one place (i, j) of the filter: which pixels of the padded x does it meet?",
                             "x[:, :, i:i + stride * (OH - 1) + 1:stride, …]: it begins at i and has OH rows.",
                             'np.einsum("fc,ncuv->nfuv", w[:, :, i, j], seen) sums over channels; += gathers the places.'))

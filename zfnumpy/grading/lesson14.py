"""The checks of lesson 14: counting a convolution's multiply-adds and bytes, and a matrix product in blocks."""

import numpy as np

from .check import TaskCheck, case


def checks(rng):
    """Return {task: TaskCheck} of fresh cases."""
    return {"14.1": _multiply_adds(rng), "14.2": _bytes(rng), "14.3": _blocked(rng)}


def _out(x_shape, w_shape, stride, pad):
    return [(size + 2 * pad - k) // stride + 1 for size, k in zip(x_shape[2:], w_shape[2:])]


def _size(shape):
    """Return the product of whole numbers, exactly."""
    size = 1
    for part in shape:
        size *= int(part)
    return size


def multiply_adds(x_shape, w_shape, stride=1, pad=0, groups=1):
    return x_shape[0] * _size(_out(x_shape, w_shape, stride, pad)) * _size(w_shape)


def _shapes(rng, groups=1, kernel=None):
    """Return an x_shape and a w_shape of odd sizes, whose groups' channels are more than one."""
    channels = int(rng.integers(2, 6))
    kernel = kernel or (int(rng.integers(2, 5)), int(rng.integers(5, 7)))
    x_shape = (int(rng.integers(2, 5)), channels * groups, int(rng.integers(19, 30)), int(rng.integers(31, 40)))
    return x_shape, (groups * int(rng.integers(3, 7)), channels, *kernel)


def _multiply_adds(rng):
    def every_pixel(x_shape, w_shape, stride=1, pad=0, groups=1):
        return x_shape[0] * _size(x_shape[2:]) * _size(w_shape)

    def one_image(x_shape, w_shape, stride=1, pad=0, groups=1):
        return multiply_adds(x_shape, w_shape, stride, pad) // x_shape[0]

    def no_channels(x_shape, w_shape, stride=1, pad=0, groups=1):
        return multiply_adds(x_shape, w_shape, stride, pad) // w_shape[1]

    def operations(x_shape, w_shape, stride=1, pad=0, groups=1):
        return 2 * multiply_adds(x_shape, w_shape, stride, pad)

    def divided_again(x_shape, w_shape, stride=1, pad=0, groups=1):
        return multiply_adds(x_shape, w_shape, stride, pad) // groups

    def all_channels(x_shape, w_shape, stride=1, pad=0, groups=1):
        return multiply_adds(x_shape, w_shape, stride, pad) * groups

    def no_pad(x_shape, w_shape, stride=1, pad=0, groups=1):
        return multiply_adds(x_shape, w_shape, stride, 0)

    def pad_once(x_shape, w_shape, stride=1, pad=0, groups=1):
        padded = (*x_shape[:2], x_shape[2] + pad, x_shape[3] + pad)
        return multiply_adds(padded, w_shape, stride, 0)

    def no_plus_one(x_shape, w_shape, stride=1, pad=0, groups=1):
        return x_shape[0] * _size(n - 1 for n in _out(x_shape, w_shape, stride, pad)) * _size(w_shape)

    def no_stride(x_shape, w_shape, stride=1, pad=0, groups=1):
        return multiply_adds(x_shape, w_shape, 1, pad)

    mistakes = [("It looks as if every pixel of the input counts as an output: there are OH · OW.", every_pixel),
                ("It looks as if only one image of the batch is counted.", one_image),
                ("It looks as if the channels are left out: each output sums over all that its filter has.", no_channels),
                ("It looks as if operations are counted: a multiply-add is one here, and two operations.", operations),
                ("It looks as if the channels are divided by groups once more: w_shape holds C/groups already.",
                 divided_again),
                ("It looks as if every filter sees all channels: with groups it sees its own C/groups.", all_channels),
                ("It looks as if the padding is left out.", no_pad),
                ("It looks as if the padding is added once: there is a frame at both ends, 2 · pad.", pad_once),
                ("It looks as if the + 1 of the output's size is missing.", no_plus_one),
                ("It looks as if the stride is left out.", no_stride)]

    def made(about, groups=1, kernel=None, **settings):
        x_shape, w_shape = _shapes(rng, groups, kernel)
        if groups > 1:
            settings["groups"] = groups
        return case(about, multiply_adds, x_shape, w_shape, mistakes=mistakes, tolerance=0, **settings)

    return TaskCheck([made("stride 1"), made("stride 2", stride=2), made("padding", pad=2), made("groups", groups=3),
                      made("all at once", groups=2, stride=3, pad=1), made("filters of one pixel", kernel=(1, 1)),
                      case("a fully connected layer", multiply_adds, (7, 5, 1, 1), (11, 5, 1, 1), mistakes=mistakes,
                           tolerance=0)],
                     ("How many outputs are there in all? And how many products in each?",
                      "N · F · OH · OW outputs, each a sum over one filter: w_shape[1] · KH · KW products.",
                      "The stride and the padding count in OH and OW only, and groups in w_shape[1] already."))


def _bytes(rng):
    def numbers(x_shape, w_shape, stride=1, pad=0):
        """Return the numbers of x, w, y and the columns."""
        places = _size(_out(x_shape, w_shape, stride, pad))
        return (_size(x_shape), _size(w_shape), x_shape[0] * w_shape[0] * places,
                x_shape[0] * _size(w_shape[1:]) * places)

    def moved(x_shape, w_shape, stride=1, pad=0, itemsize=4, columns=False):
        x, w, y, cols = numbers(x_shape, w_shape, stride, pad)
        return (x + w + y + 2 * cols * columns) * itemsize

    def not_bytes(x_shape, w_shape, stride=1, pad=0, itemsize=4, columns=False):
        return moved(x_shape, w_shape, stride, pad, 1, columns)

    def always_four(x_shape, w_shape, stride=1, pad=0, itemsize=4, columns=False):
        return moved(x_shape, w_shape, stride, pad, 4, columns)

    def no_output(x_shape, w_shape, stride=1, pad=0, itemsize=4, columns=False):
        return moved(x_shape, w_shape, stride, pad, itemsize, columns) - numbers(x_shape, w_shape, stride, pad)[2] * itemsize

    def columns_once(x_shape, w_shape, stride=1, pad=0, itemsize=4, columns=False):
        return moved(x_shape, w_shape, stride, pad, itemsize, columns) - (
            numbers(x_shape, w_shape, stride, pad)[3] * itemsize * columns)

    def weights_each_image(x_shape, w_shape, stride=1, pad=0, itemsize=4, columns=False):
        return moved(x_shape, w_shape, stride, pad, itemsize, columns) + (x_shape[0] - 1) * _size(w_shape) * itemsize

    def padded(x_shape, w_shape, stride=1, pad=0, itemsize=4, columns=False):
        frame = (*x_shape[:2], x_shape[2] + 2 * pad, x_shape[3] + 2 * pad)
        return moved(frame, w_shape, stride, 0, itemsize, columns)

    def columns_of_one(x_shape, w_shape, stride=1, pad=0, itemsize=4, columns=False):
        return moved(x_shape, w_shape, stride, pad, itemsize) + (
            2 * numbers(x_shape, w_shape, stride, pad)[3] // x_shape[0] * itemsize * columns)

    mistakes = [("It looks as if numbers are counted and not bytes: each has itemsize of them.", not_bytes),
                ("It looks as if a number always has four bytes: it has itemsize.", always_four),
                ("It looks as if the output is forgotten: it must be written.", no_output),
                ("It looks as if the column matrix counts once: it is written and read again.", columns_once),
                ("It looks as if one image's columns are counted: there are N such matrices.", columns_of_one),
                ("It looks as if the weights are read for every image: once is the least.", weights_each_image),
                ("It looks as if the padding is read: zeros need not come from memory.", padded)]

    def made(about, **settings):
        return case(about, moved, *_shapes(rng), mistakes=mistakes, tolerance=0, **settings)

    return TaskCheck([made("the least"), made("stride and padding", stride=2, pad=2), made("float64", itemsize=8),
                      made("with columns", columns=True),
                      made("with columns, stride, padding, float16", columns=True, stride=3, pad=1, itemsize=2)],
                     ("Count numbers first, of x, of w and of y; bytes at the end.",
                      "x has N·C·H·W numbers, w F·C·KH·KW, y N·F·OH·OW.",
                      "The columns are N·C·KH·KW·OH·OW numbers, twice."))


def _blocked(rng):
    def product(a, b, block, add=True, whole=True, count=None):
        (M, K), N = a.shape, b.shape[1]
        c, loaded = np.zeros((M, N), a.dtype), 0
        ends = (M, N, K) if whole else [n // block * block for n in (M, N, K)]
        for i in range(0, ends[0], block):
            for j in range(0, ends[1], block):
                for k in range(0, ends[2], block):
                    left, right = a[i:i + block, k:k + block], b[k:k + block, j:j + block]
                    at = np.s_[i:i + block, j:j + block]
                    c[at] = left @ right + (c[at] if add else 0)
                    loaded += count(left, right) if count else left.size + right.size
        return c, loaded

    def at_once(a, b, block):
        return a @ b, a.size + b.size

    def plain_loops(a, b, block):
        return a @ b, 2 * a.shape[0] * b.size

    def assigned(a, b, block):
        return product(a, b, block, add=False)

    def whole_blocks_only(a, b, block):
        return product(a, b, block, whole=False)

    def full_blocks(a, b, block):
        return product(a, b, block, count=lambda left, right: 2 * block * block)

    def with_output(a, b, block):
        return product(a, b, block, count=lambda left, right: left.size + right.size + len(left) * right.shape[1])

    def blocks_counted(a, b, block):
        return product(a, b, block, count=lambda left, right: 2)

    def in_bytes(a, b, block):
        return product(a, b, block, count=lambda left, right: left.nbytes + right.nbytes)

    def only_left(a, b, block):
        return product(a, b, block, count=lambda left, right: left.size)

    mistakes = [("It looks as if the whole product is made at once: count what each pair of blocks reads.", at_once),
                ("It looks as if that counts the reads of plain loops over numbers: count whole blocks.", plain_loops),
                ("It looks as if a block of c is assigned for each piece of the depth: their products add up.", assigned),
                ("It looks as if the last, shorter pieces are left out: range(0, M, block) reaches them, and slices end "
                 "where the array does.", whole_blocks_only),
                ("It looks as if shorter pieces count as whole blocks: a block's size is what is in it.", full_blocks),
                ("It looks as if the blocks of c are counted too: only those of a and b.", with_output),
                ("It looks as if blocks are counted: count the numbers in them.", blocks_counted),
                ("It looks as if bytes are counted: count numbers.", in_bytes),
                ("It looks as if only the blocks of a are counted.", only_left)]

    def made(about, M, K, N, block, dtype=np.float64):
        a, b = rng.standard_normal((M, K)).astype(dtype), rng.standard_normal((K, N)).astype(dtype)
        return case(about, product, a, b, block, mistakes=mistakes, tolerance=1e-5 if dtype == np.float32 else 1e-9)

    return TaskCheck([made("blocks that divide all sides", 8, 12, 16, 4), made("blocks that divide none", 7, 11, 13, 4),
                      made("a long depth", 3, 40, 5, 8), made("blocks of 1", 4, 3, 5, 1),
                      made("a block larger than all", 5, 6, 4, 10), made("float32", 10, 9, 7, 3, np.float32),
                      made("one number", 1, 1, 1, 2)],
                     ("Three loops, range(0, M, block) and so on: rows, columns, depth.",
                      "The blocks are a[i:i + block, k:k + block] and b[k:k + block, j:j + block]; a slice past the end is "
                      "shorter, which is right.",
                      "c[i:i + block, j:j + block] += left @ right, and loaded += left.size + right.size."))

"""The checks of lesson 15: arithmetic intensity, the roofline, and the batch that fits into a card's memory."""

import math

from .check import TaskCheck, case


def checks(rng):
    """Return {task: TaskCheck} of fresh cases."""
    return {"15.1": _intensity(rng), "15.2": _attainable(rng), "15.3": _fits(rng)}


def _places(x_shape, w_shape, stride, pad):
    return math.prod((size + 2 * pad - k) // stride + 1 for size, k in zip(x_shape[2:], w_shape[2:]))


def _parts(x_shape, w_shape, stride, pad):
    """Return the multiply-adds and the numbers of x, w and y."""
    N, places = x_shape[0], _places(x_shape, w_shape, stride, pad)
    return N * places * math.prod(w_shape), math.prod(x_shape), math.prod(w_shape), N * w_shape[0] * places


def _intensity(rng):
    def intensity(x_shape, w_shape, stride=1, pad=0, itemsize=4):
        macs, x, w, y = _parts(x_shape, w_shape, stride, pad)
        return 2 * macs / ((x + w + y) * itemsize)

    def multiply_adds(x_shape, w_shape, stride=1, pad=0, itemsize=4):
        return intensity(x_shape, w_shape, stride, pad, itemsize) / 2

    def of_numbers(x_shape, w_shape, stride=1, pad=0, itemsize=4):
        return intensity(x_shape, w_shape, stride, pad, 1)

    def always_four(x_shape, w_shape, stride=1, pad=0, itemsize=4):
        return intensity(x_shape, w_shape, stride, pad, 4)

    def no_output(x_shape, w_shape, stride=1, pad=0, itemsize=4):
        macs, x, w, _ = _parts(x_shape, w_shape, stride, pad)
        return 2 * macs / ((x + w) * itemsize)

    def no_weights(x_shape, w_shape, stride=1, pad=0, itemsize=4):
        macs, x, _, y = _parts(x_shape, w_shape, stride, pad)
        return 2 * macs / ((x + y) * itemsize)

    def weights_each_image(x_shape, w_shape, stride=1, pad=0, itemsize=4):
        macs, x, w, y = _parts(x_shape, w_shape, stride, pad)
        return 2 * macs / ((x + x_shape[0] * w + y) * itemsize)

    def one_image(x_shape, w_shape, stride=1, pad=0, itemsize=4):
        macs, x, w, y = _parts(x_shape, w_shape, stride, pad)
        return 2 * macs / x_shape[0] / ((x + w + y) * itemsize)

    def upside_down(x_shape, w_shape, stride=1, pad=0, itemsize=4):
        return 1 / intensity(x_shape, w_shape, stride, pad, itemsize)

    def padded(x_shape, w_shape, stride=1, pad=0, itemsize=4):
        return intensity((*x_shape[:2], *(size + 2 * pad for size in x_shape[2:])), w_shape, stride, 0, itemsize)

    def every_pixel(x_shape, w_shape, stride=1, pad=0, itemsize=4):
        N, pixels = x_shape[0], math.prod(x_shape[2:])
        numbers = math.prod(x_shape) + math.prod(w_shape) + N * w_shape[0] * pixels
        return 2 * N * pixels * math.prod(w_shape) / (numbers * itemsize)

    mistakes = [("It looks as if multiply-adds are counted: each is two operations.", multiply_adds),
                ("It looks as if numbers are divided by, not bytes.", of_numbers),
                ("It looks as if a number always has four bytes: it has itemsize.", always_four),
                ("It looks as if the output is forgotten among the bytes: it must be written.", no_output),
                ("It looks as if the weights are forgotten among the bytes: they must be read.", no_weights),
                ("It looks as if the weights are read anew for every image: once for the batch.", weights_each_image),
                ("It looks as if one image's operations are divided by the batch's bytes.", one_image),
                ("It looks as if the quotient stands upside down: operations over bytes.", upside_down),
                ("It looks as if the padding is read: zeros need not come from memory.", padded),
                ("It looks as if y is taken to be as large as x: it has OH · OW places.", every_pixel)]

    def made(about, N=3, kernel=None, **settings):
        C, F = (int(n) for n in rng.integers(2, 9, 2))
        size, kernel = [int(n) for n in rng.integers(12, 40, 2)], kernel or [int(n) for n in rng.integers(2, 7, 2)]
        return case(about, intensity, (N, C, *size), (F, C, *kernel), mistakes=mistakes, tolerance=1e-9, **settings)

    return TaskCheck([made("stride 1"), made("stride and padding", stride=2, pad=3), made("float64", itemsize=8),
                      made("one image, float16", 1, itemsize=2), made("filters of one pixel", 5, [1, 1]),
                      case("a fully connected layer", intensity, (64, 300, 1, 1), (70, 300, 1, 1), mistakes=mistakes,
                           tolerance=1e-9)],
                     ("Two counts and a quotient: operations above, bytes below.",
                      "Above: 2 · N·F·OH·OW · C·KH·KW.",
                      "Below: (N·C·H·W + F·C·KH·KW + N·F·OH·OW) · itemsize."))


def _attainable(rng):
    def attainable(intensity, peak, bandwidth):
        fed = intensity * bandwidth
        return (fed, "memory") if fed < peak else (peak, "compute")

    def higher(intensity, peak, bandwidth):
        fed = intensity * bandwidth
        return (fed, "memory") if fed > peak else (peak, "compute")

    def swapped(intensity, peak, bandwidth):
        rate, bound = attainable(intensity, peak, bandwidth)
        return rate, "memory" if bound == "compute" else "compute"

    def tie_to_memory(intensity, peak, bandwidth):
        fed = intensity * bandwidth
        return (fed, "memory") if fed <= peak else (peak, "compute")

    def always_peak(intensity, peak, bandwidth):
        return peak, attainable(intensity, peak, bandwidth)[1]

    def ridge(intensity, peak, bandwidth):
        return peak / bandwidth, attainable(intensity, peak, bandwidth)[1]

    def divided(intensity, peak, bandwidth):
        fed = bandwidth / intensity
        return (fed, "memory") if fed < peak else (peak, "compute")

    mistakes = [("It looks as if the higher of the two roofs is taken: the lower one holds.", higher),
                ("It looks as if a tie goes to the memory: there it just suffices, so it is the arithmetic that holds.",
                 tie_to_memory),
                ("It looks as if the two names are swapped: where the memory delivers too slowly, it is the bound.",
                 swapped),
                ("It looks as if the rate is the peak in any case: on the slope it is intensity · bandwidth.", always_peak),
                ("It looks as if the ridge, peak / bandwidth, is returned: an intensity, no rate.", ridge),
                ("It looks as if the bandwidth is divided by the intensity: bytes a second times operations a byte.",
                 divided)]

    def made(about, intensity, peak, bandwidth):
        return case(about, attainable, intensity, peak, bandwidth, mistakes=mistakes, tolerance=1e-9)

    peak, bandwidth = float(rng.uniform(5, 50)) * 1e12, float(rng.uniform(0.2, 3)) * 1e12
    at = peak / bandwidth
    return TaskCheck([made("far on the slope", at * 0.03, peak, bandwidth),
                      made("just below the ridge", at * 0.99, peak, bandwidth),
                      made("just above the ridge", at * 1.01, peak, bandwidth),
                      made("far on the roof", at * 30, peak, bandwidth),
                      made("on the ridge itself", 16.0, 32.0, 2.0), made("no arithmetic at all", 0.0, peak, bandwidth)],
                     ("How many operations a second can the memory feed?",
                      "intensity · bandwidth, and the peak: the lower one.",
                      '(fed, "memory") if fed < peak else (peak, "compute").'))


def _fits(rng):
    def fits(memory, weight_bytes, image_bytes, copies=3):
        return max(0, (memory - copies * weight_bytes) // image_bytes)

    def one_copy(memory, weight_bytes, image_bytes, copies=3):
        return fits(memory, weight_bytes, image_bytes, 1)

    def always_three(memory, weight_bytes, image_bytes, copies=3):
        return fits(memory, weight_bytes, image_bytes)

    def no_weights(memory, weight_bytes, image_bytes, copies=3):
        return memory // image_bytes

    def rounded_up(memory, weight_bytes, image_bytes, copies=3):
        return max(0, -(-(memory - copies * weight_bytes) // image_bytes))

    def rounded(memory, weight_bytes, image_bytes, copies=3):
        return max(0, round((memory - copies * weight_bytes) / image_bytes))

    def negative(memory, weight_bytes, image_bytes, copies=3):
        return (memory - copies * weight_bytes) // image_bytes

    def fraction(memory, weight_bytes, image_bytes, copies=3):
        return max(0, (memory - copies * weight_bytes) / image_bytes)

    def copies_of_images(memory, weight_bytes, image_bytes, copies=3):
        return max(0, (memory - copies * weight_bytes) // (copies * image_bytes))

    def at_least_one(memory, weight_bytes, image_bytes, copies=3):
        return max(1, fits(memory, weight_bytes, image_bytes, copies))

    mistakes = [("It looks as if the weights count once: there are `copies` of them, with gradients and velocities.",
                 one_copy),
                ("It looks as if there are always three copies: there are `copies`.", always_three),
                ("It looks as if the weights take no room.", no_weights),
                ("It looks as if a part of an image counts as one: it does not fit, so round down.", rounded_up),
                ("It looks as if it is rounded to the nearest: half an image that fits is no image.", rounded),
                ("It looks as if less than nothing can fit: it is 0 then.", negative),
                ("It looks as if parts of an image count: whole ones only.", fraction),
                ("It looks as if images are copied too: only the weights are.", copies_of_images),
                ("It looks as if one image always fits: it may be 0.", at_least_one)]

    def made(about, memory, weights, image, **settings):
        return case(about, fits, memory, weights, image, mistakes=mistakes, tolerance=0, **settings)

    weights, image = (int(n) for n in rng.integers(10**6, 10**8, 2))
    images = int(rng.integers(10, 200))
    room = 3 * weights + images * image
    return TaskCheck([made("some room over", room + image // 2 + image // 4, weights, image),
                      made("not a byte over", room, weights, image), made("a byte short", room - 1, weights, image),
                      made("running only, without gradients", weights + 7 * image + 1, weights, image, copies=1),
                      made("no room for an image", 3 * weights + image // 3, weights, image),
                      made("no room for the weights", weights, weights, image)],
                     ("What is left when the weights have their room?", "Whole images: //, which rounds down.",
                      "max(0, (memory - copies * weight_bytes) // image_bytes)."))

"""Deletion and insertion curves, worked out by hand on networks whose answer is known, and against a slow loop."""

import numpy as np
import pytest

from zfnumpy import get_ops, models
from zfnumpy.data import Preprocessing, load_image
from zfnumpy.errors import DataError, NodeError, ShapeError
from zfnumpy.layers import Conv2d, Flatten, Linear, ReLU
from zfnumpy.network import Network
from zfnumpy.visualize import PerturbationCurve, deletion, insertion
from zfnumpy.visualize.deletion import BLUR, filled, places
from zfnumpy.visualize.similarity import smooth

NUMPY = get_ops("numpy")
RNG = np.random.default_rng(0)


def sigmoid(score):
    return 1 / (1 + np.exp(-score))


def first_pixel(size=4):
    """A network of two classes that sees one number, the first pixel's first colour: p of class 0 is its sigmoid."""
    net = Network([("flatten", Flatten()), ("fc", Linear(2))], (3, 1, size), NUMPY, dtype="float64")
    for value in net.params.values():
        value[...] = 0
    net.params["fc.weight"][0, 0] = 1
    return net


def convolutional(ops=NUMPY, dtype="float64"):
    return Network([("conv1", Conv2d(4, 3, pad=1)), ("relu1", ReLU()), ("flatten", Flatten()), ("fc2", Linear(3))],
                   (3, 6, 5), ops, seed=2, dtype=dtype)


X = np.zeros((1, 3, 1, 4))
X[0, 0, 0] = 4, 1, 1, 2
FIRST, LAST = np.array([[[4.0, 3, 2, 1]]]), np.array([[[0.0, 3, 2, 1]]])


# ---- by hand --------------------------------------------------------------------------------------------------------

def test_deleting_the_one_pixel_that_counts_first():
    found = deletion(first_pixel(), X, FIRST, 0, steps=4)
    assert found.shares.tolist() == [0, 0.25, 0.5, 0.75, 1]
    np.testing.assert_allclose(found.probabilities, [[sigmoid(4), *[sigmoid(0)] * 4]])
    np.testing.assert_allclose(found.area(), [(sigmoid(4) + 7 * 0.5) / 8])


def test_and_last():
    found = deletion(first_pixel(), X, LAST, 0, steps=4)
    np.testing.assert_allclose(found.probabilities, [[*[sigmoid(4)] * 4, 0.5]])
    np.testing.assert_allclose(found.area(), [(7 * sigmoid(4) + 0.5) / 8])


def test_inserting_it_first_and_last():
    blurred = np.exp(-0.5 * np.arange(4) ** 2)
    low = sigmoid(blurred @ (4, 1, 1, 2) / blurred.sum())            # its Gaussian is of one pixel
    first, last = (insertion(first_pixel(), X, order, 0, steps=4) for order in (FIRST, LAST))
    np.testing.assert_allclose(first.probabilities, [[low, *[sigmoid(4)] * 4]])
    np.testing.assert_allclose(last.probabilities, [[*[low] * 4, sigmoid(4)]])
    assert first.area() > last.area()
    assert (first.kind, first.fill, deletion(first_pixel(), X, FIRST, 0).fill) == ("insertion", "blur", "mean")


def test_steps_that_do_not_divide_the_pixels():
    found = deletion(first_pixel(), X, LAST, 0, steps=3)
    np.testing.assert_allclose(found.shares, [0, 0.25, 0.75, 1])     # 4/3 and 8/3 pixels, rounded
    np.testing.assert_allclose(found.area(), [0.75 * sigmoid(4) + 0.25 * (sigmoid(4) + 0.5) / 2])


def test_area_is_the_trapezia_s():
    curve = PerturbationCurve("deletion", np.array([0, 0.5, 1]), np.array([[1, 0.5, 0], [1, 1, 1]]), None, "mean")
    assert curve.area().tolist() == [0.5, 1]


# ---- by a slow loop -------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("fill", ["mean", "blur"])
@pytest.mark.parametrize("kind", [deletion, insertion])
def test_curves_are_their_definition(host_ops, kind, fill):
    net, x = convolutional(host_ops), RNG.standard_normal((3, 3, 6, 5))
    relevance, labels, before = RNG.random((3, 6, 5)), [0, 2, 1], x.copy()
    found = kind(net, x, relevance, labels, fill, steps=7, batch=5)
    assert (x == before).all()
    for n in range(3):
        other = np.zeros((3, 6, 5)) if fill == "mean" else \
            smooth(np, x[n], 1.0)
        frame, onto = (x[n].copy(), other) if kind is deletion else (other.copy(), x[n])
        order, done = np.argsort(-relevance[n].ravel()), 0
        for step in range(8):
            upto = round(30 * step / 7)
            for pixel in order[done:upto]:
                frame[:, pixel // 5, pixel % 5] = onto[:, pixel // 5, pixel % 5]
            done = upto
            p = net.probabilities(frame[None].astype(x.dtype))[0, labels[n]]
            assert found.probabilities[n, step] == pytest.approx(p, rel=1e-9), (n, step)
            assert found.shares[step] == upto / 30


def test_batches_change_nothing_and_progress_counts_them():
    net, x, relevance = convolutional(), RNG.standard_normal((2, 3, 6, 5)), RNG.random((2, 6, 5))
    counted = []
    one = deletion(net, x, relevance, steps=6, batch=1)
    many = deletion(net, x, relevance, steps=6, batch=9, progress=lambda steps: counted.append(len(steps)) or steps)
    np.testing.assert_allclose(one.probabilities, many.probabilities, rtol=1e-12)
    assert counted == [2]                                            # 14 frames, 9 at once
    assert (one.labels == net.scores(x).argmax(axis=1)).all()


def test_ties_are_drawn_and_the_same_for_the_same_seed():
    flat = np.zeros((2, 9, 9))
    order = places(flat)
    assert (order[0] == order[1]).all()                              # by a picture's map alone
    assert sorted(order[0].ravel()) == list(range(81))
    assert (order == places(flat)).all()
    assert (order != places(flat, seed=1)).any()
    assert abs(np.corrcoef(order[0].ravel(), np.arange(81))[0, 1]) < 0.3         # not from the top left on
    flat[1, 3:6, 3:6] = 1
    assert sorted(places(flat)[1, 3:6, 3:6].ravel()) == list(range(9))


def test_the_class_s_own_pixels_beat_noise_on_trained_weights(real_data):
    """A difference of occluding one pixel at a time would be the truth; the gradient comes near enough on Tiny VGG."""
    from zfnumpy.visualize.relevance import METHODS

    net = models.tiny_vgg(weights=real_data / "weights" / "tiny_vgg_tinyimagenet10.npz", ops=get_ops("numba"))
    files = sorted((real_data / "tiny-imagenet-20" / "train" / "n07873807" / "images").glob("*.JPEG"))[:6]
    x = net.prepare([load_image(path) for path in files])
    areas = {name: insertion(net, x, method(net, x, 2), 2, steps=16).area().mean()
             for name, method in METHODS.items() if name in ("gradient", "noise")}
    assert areas["gradient"] > areas["noise"] + 0.05


# ---- the edges of it ------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("kind", [deletion, insertion])
def test_blank_pictures_keep_their_probability(kind):
    net, x = convolutional(), np.zeros((1, 3, 6, 5))
    found = kind(net, x, RNG.random((1, 6, 5)), 1)
    np.testing.assert_allclose(found.probabilities, net.probabilities(x)[0, 1])


@pytest.mark.parametrize("kind", [deletion, insertion])
def test_no_pictures(kind):
    net = convolutional()
    found = kind(net, np.zeros((0, *net.input_shape), net.dtype), np.zeros((0, *net.input_shape[1:])), steps=3)
    assert found.probabilities.shape == (0, 4)
    assert found.area().shape == (0,)


def test_a_picture_of_one_pixel():
    net = first_pixel(1)
    found = deletion(net, np.ones((1, 3, 1, 1)), np.ones((1, 1, 1)), 0)
    assert (found.shares[[0, -1]].tolist(), found.shares.shape) == ([0, 1], (33,))
    np.testing.assert_allclose(found.probabilities[0, [0, -1]], [sigmoid(1), 0.5])


def test_the_blur_grows_with_the_picture_and_inputs_stay():
    x = RNG.standard_normal((1, 3, 48, 60))
    np.testing.assert_allclose(filled(convolutional(), x, "blur"), smooth(np, x, 48 * BLUR))
    assert not filled(convolutional(), x, "mean").any()
    net = convolutional()
    net.preprocessing = Preprocessing(48, 48, np.array((100, 110, 120), np.float32), 1 / 128)
    grey = filled(net, x, "grey")
    assert grey.shape == x.shape
    np.testing.assert_allclose(grey[0, :, 5, 9], np.array((28, 18, 8)) / 128, rtol=1e-6)
    net.preprocessing = Preprocessing(48, 48, np.full((3, 48, 48), 110, np.float32), 1 / 128)
    with pytest.raises(DataError, match="the mean image is of 48×48 pixels: images of 48×60 have none"):
        filled(net, x, "grey")                                       # it was the mean image's corner pixel


def test_wishes_that_cannot_be_granted():
    net, x, relevance = convolutional(), np.zeros((2, 3, 6, 5)), np.zeros((2, 6, 5))
    with pytest.raises(ShapeError, match=r"2 pictures of 6 × 5 pixels need relevances \(2, 6, 5\), got \(1, 6, 5\)"):
        deletion(net, x, relevance[:1])
    with pytest.raises(DataError, match="got 'green'"):
        deletion(net, x, relevance, fill="green")
    with pytest.raises(ShapeError, match="steps"):
        deletion(net, x, relevance, steps=0)
    with pytest.raises(NodeError, match="there is no class 3"):
        deletion(net, x, relevance, 3)
    with pytest.raises(ShapeError, match="a relevance that is not finite"):
        deletion(net, x, relevance + np.nan)


def test_on_a_device(device_ops):
    x = RNG.standard_normal((2, 3, 6, 5)).astype(np.float32)
    relevance = RNG.random((2, 6, 5))
    for kind in (deletion, insertion):
        expected = kind(convolutional(dtype="float32"), x, relevance, [0, 2], steps=5)
        found = kind(convolutional(device_ops, "float32"), device_ops.asarray(x), relevance, [0, 2], steps=5)
        np.testing.assert_allclose(found.probabilities, expected.probabilities, rtol=1e-4)

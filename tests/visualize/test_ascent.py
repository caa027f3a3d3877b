"""Images by gradient ascent: each step from its definition, and what the images must be."""

import json

import numpy as np
import pytest

from zfnumpy import get_ops, models
from zfnumpy.data import Preprocessing
from zfnumpy.errors import NodeError, ShapeError
from zfnumpy.layers import Conv2d, Flatten, GlobalAvgPool, Linear, MaxPool2d, ReLU
from zfnumpy.network import Network
from zfnumpy.visualize import ascent, class_image, unit_image

NUMPY = get_ops("numpy")
PLAIN = {"l2": 0, "blur": 0, "jitter": 0, "zoom": 0, "spread": 0, "muted": 0}


def small(ops=NUMPY, gap=False, order="RGB", dtype="float64", mean=(90, 100, 110), scale=1 / 64, size=12):
    top = [("conv2", Conv2d(4, 1)), ("relu2", ReLU()), ("pool2", GlobalAvgPool())] if gap else \
        [("flatten", Flatten()), ("fc", Linear(4))]
    use = Preprocessing(size, size, np.array(mean, np.float32), scale, order)
    return Network([("conv1", Conv2d(5, 3)), ("relu1", ReLU()), ("pool1", MaxPool2d(2)), *top], (3, size, size), ops,
                   dtype=dtype, preprocessing=use)


@pytest.mark.parametrize(("layer", "unit"), [("fc", (2,)), ("conv1", (3,)), ("relu1", (3,)), ("conv1", (3, 4, 5))])
def test_values_and_gradients_by_central_differences(layer, unit):
    net, rng = small(), np.random.default_rng(0)
    x, units = rng.standard_normal((2, 3, 12, 12)), np.array([unit, unit])
    y = net.activations(x, layer)[layer]
    value, g = ascent.value_and_gradient(net, layer, units, x)
    picked = y[(slice(None), *unit)]
    np.testing.assert_allclose(value, picked.reshape(2, -1).mean(axis=1))
    for at in map(tuple, rng.integers(0, (2, 3, 12, 12), (25, 4))):
        shift = np.zeros_like(x)
        shift[at] = 1e-6
        up, down = (ascent.value_and_gradient(net, layer, units, x + sign * shift)[0][at[0]] for sign in (1, -1))
        assert g[at] == pytest.approx((up - down) / 2e-6, rel=1e-4, abs=1e-9)


def test_the_plain_ascent_is_its_definition():
    """Three steps: along the gradient, its root mean square one, times a rate that falls; in the range of pixels."""
    net = small()
    found = class_image(net, 1, steps=3, lr=30, noise=40, seed=7, **PLAIN)
    mean, scale = np.array((90.0, 100, 110))[:, None, None], 1 / 64
    pixels = np.clip(127.5 + 40 * np.random.default_rng(7).standard_normal((3, 12, 12)), 0, 255)
    for step in range(3):
        x = (pixels - mean) * scale
        assert found.values[step, 0] == pytest.approx(net.scores(x[None])[0, 1])
        g = net.project("fc", np.eye(4)[[1]], net.forward(x[None])[1], "gradient")[0]
        pixels = np.clip(pixels + 30 * (1 - step / 3) * g / np.sqrt((g**2).mean()), 0, 255)
    np.testing.assert_allclose(found.images[0], (pixels - mean) * scale, atol=1e-9)
    assert (found.pictures[0] == np.rint(pixels).transpose(1, 2, 0)).all()
    assert found.values[3, 0] == pytest.approx(net.scores(found.images)[0, 1])


def test_decay_and_blur_are_their_definitions():
    net = small(dtype="float64")
    start = class_image(net, 1, steps=2, lr=0, noise=40, **PLAIN).images
    grey = (127.5 - np.array((90.0, 100, 110))[:, None, None]) / 64
    decayed = class_image(net, 1, steps=2, lr=0, noise=40, **PLAIN | {"l2": 0.25}).images
    np.testing.assert_allclose(decayed, grey + (start - grey) * 0.75 * 0.875, atol=1e-6)
    blurred = class_image(net, 1, steps=3, lr=0, noise=40, every=2, **PLAIN | {"blur": 1.5}).images
    weights = np.exp(-0.5 * (np.arange(-6, 7) / 1.5) ** 2)
    padded = np.pad(start[0], ((0, 0), (6, 6), (6, 6)), mode="edge")
    slow = np.zeros((3, 12, 12))
    for i, j in np.ndindex(12, 12):
        slow[:, i, j] = (padded[:, i:i + 13, j:j + 13] * np.outer(weights, weights)).sum(axis=(1, 2)) / weights.sum() ** 2
    np.testing.assert_allclose(blurred[0], slow, atol=1e-6)


def test_a_view_shifts_and_enlarges():
    x = np.arange(9.0)
    assert (ascent._resampling(9, 1, 2) @ x == [0, 0, 0, 1, 2, 3, 4, 5, 6]).all()
    np.testing.assert_allclose(ascent._resampling(9, 2, 0) @ x, 4 + (x - 4) / 2)
    np.testing.assert_allclose(ascent._resampling(9, 0.5, 0) @ x, np.clip(4 + (x - 4) * 2, 0, 8))
    assert ascent._resampling(1, 1.3, -1) == [[1]]
    for down, across in (ascent._view(7, 9, 3, 0.2, np.random.default_rng(seed)) for seed in range(9)):
        np.testing.assert_allclose(down.sum(axis=1), 1)
        assert across.shape == (9, 9)


def test_the_gradient_goes_back_through_the_view():
    """A step of a shifted and resized look is along the gradient of the value of that look, by central differences."""
    net, rng = small(), np.random.default_rng(7)
    how = PLAIN | {"jitter": 2, "zoom": 0.2, "noise": 20, "seed": 7, "steps": 1}
    start, moved = (class_image(net, 1, lr=lr, **how).images for lr in (0, 0.01))
    rng.standard_normal((1, 3, 12, 12))
    view = ascent._view(12, 12, 2, 0.2, rng)
    step, slopes = (moved - start).ravel(), []
    some = np.argsort(-np.abs(step))[:100:5]
    for at in some:
        shift = np.zeros(start.size)
        shift[at] = 1e-5
        up, down = (net.scores(ascent.apart(view, start + sign * shift.reshape(start.shape)))[0, 1] for sign in (1, -1))
        slopes.append((up - down) / 2e-5)
    np.testing.assert_allclose(step[some] / np.linalg.norm(step[some]), slopes / np.linalg.norm(slopes), atol=1e-4)


def test_spreading_divides_frequencies():
    """In the cosine basis the gradient's coefficients are divided by their frequency; power 0 changes nothing."""
    down, across, weights = ascent._spreading(6, 8, 1)
    np.testing.assert_allclose(down @ down.T, np.eye(6), atol=1e-12)
    np.testing.assert_allclose(across @ across.T, np.eye(8), atol=1e-12)
    wave = np.outer(np.cos(np.pi / 6 * 2 * (np.arange(6) + 0.5)), np.cos(np.pi / 8 * 3 * (np.arange(8) + 0.5)))
    spread = down.T @ (down @ wave @ across.T * weights) @ across
    np.testing.assert_allclose(spread, wave / np.hypot(2 / 12, 3 / 16), atol=1e-12)
    assert weights[0, 0] == 8
    assert (ascent._spreading(6, 8, 0)[2] == 1).all()


def test_muted_colours_favour_grey():
    mix = ascent._natural(1.0, "RGB")
    np.testing.assert_allclose(mix, ascent.COLOURS / np.linalg.eigvalsh(ascent.COLOURS)[-1], atol=1e-12)
    assert (ascent._natural(0.5, "BGR") == ascent._natural(0.5, "RGB")[::-1, ::-1]).all()
    np.testing.assert_allclose(ascent._natural(0.5, "RGB") @ ascent._natural(0.5, "RGB"), mix, atol=1e-12)
    np.testing.assert_allclose(ascent._natural(0, "RGB"), np.eye(3), atol=1e-12)


def test_a_batch_is_its_images_one_by_one():
    net, how = small(), {"steps": 12, "starts": 2, "seed": 5, "blur": 0.5}
    both = class_image(net, [2, 0], **how)
    assert both.units.tolist() == [[2], [2], [0], [0]]
    assert both.starts.tolist() == [0, 1, 0, 1]
    for i, label in ((0, 2), (2, 0)):
        alone = class_image(net, label, **how)
        np.testing.assert_allclose(both.images[i:i + 2], alone.images, atol=1e-6)
        np.testing.assert_allclose(both.values[:, i:i + 2], alone.values, atol=1e-6)
    assert (class_image(net, [2, 0], **how).images == both.images).all()
    assert np.abs(class_image(net, [2, 0], **how | {"seed": 6}).images - both.images).max() > 0.1
    assert np.abs(both.images[0] - both.images[1]).max() > 0.1


@pytest.mark.parametrize("order", ["RGB", "BGR"])
@pytest.mark.parametrize("gap", [False, True])
def test_the_score_rises_and_pixels_stay_pixels(gap, order):
    net = small(gap=gap, order=order, dtype="float32")
    found = class_image(net, [0, 1, 2, 3], steps=60, lr=8)
    assert (found.values[-1] > found.values[0] + 0.5).all()
    assert found.images.dtype == np.float32
    assert found.layer == ("conv2" if gap else "fc")
    low, high = ascent.pixel_range(net, (12, 12))
    assert (found.images >= low).all()
    assert (found.images <= high).all()
    assert (found.pictures == net.preprocessing.pixels(found.images)).all()


def test_a_class_that_noise_does_not_show_has_an_image_too():
    """Where a ReLU follows the class's map: all of it is below zero at first, and its score's own gradient is zero."""
    net = small(gap=True)
    net.params["conv2.bias"][...] = -5
    start = class_image(net, 0, steps=1, lr=0).images
    assert not net.scores(start).any()
    found = class_image(net, 0, steps=60, lr=10, **PLAIN)
    assert found.values[-1, 0] > found.values[0, 0] + 1


def test_images_of_other_sizes_and_of_a_mean_image():
    net = small(gap=True)
    assert unit_image(net, "conv1", (np.array([0, 4]), 2, 12), steps=2, size=(9, 17)).images.shape == (2, 3, 9, 17)
    with pytest.raises(NodeError, match="conv1 has no column 15"):
        unit_image(net, "conv1", (0, 2, 15), steps=2, size=(9, 17))
    mean = np.random.default_rng(0).uniform(0, 255, (3, 12, 12))
    found = class_image(small(mean=mean), 1, steps=3, lr=300)
    pixels = found.images * 64 + mean.astype(np.float32)
    assert pixels.min() > -0.01
    assert pixels.max() < 255.01
    with pytest.raises(ShapeError, match="the mean image is of 12×12 pixels: images of 16×16 have none"):
        class_image(small(gap=True, mean=mean), 1, size=16)
    with pytest.raises(ShapeError, match="expects images of 12×12 pixels, got 16×16"):
        class_image(small(), 1, size=16)


def test_a_unit_without_a_gradient_leaves_the_image_finite():
    net = small()
    net.params["conv1.weight"][...] = 0
    found = class_image(net, 1, steps=3)
    assert np.isfinite(found.images).all()


@pytest.mark.parametrize(("settings", "message"), [
    ({"lr": float("nan")}, "lr must be a number from 0, got nan"), ({"zoom": 1}, "zoom must be a number from 0 to below 1"),
    ({"l2": -0.1}, "l2 must be"), ({"steps": 0}, "steps"), ({"starts": 0}, "starts"), ({"jitter": -1}, "jitter must be")])
def test_settings_that_are_refused(settings, message):
    with pytest.raises(ShapeError, match=message):
        class_image(small(), 0, **settings)


def test_what_is_not_there_is_refused():
    net = small()
    with pytest.raises(NodeError, match="there is no class 4: network tells 4 apart, 0 to 3"):
        class_image(net, [0, 4])
    with pytest.raises(NodeError, match="conv1 has no channel 5"):
        unit_image(net, "conv1", (5,))
    with pytest.raises(NodeError, match="has no layer 'conv7'"):
        unit_image(net, "conv7", (0,))
    with pytest.raises(NodeError, match=r"a unit of conv1 is \(channel,\) or"):
        unit_image(net, "conv1", (0, 1))
    net.preprocessing = None
    with pytest.raises(ShapeError, match="network has no preprocessing"):
        class_image(net, 0)


def test_saving_an_ascent(tmp_path):
    found = class_image(small(), [0, 1], steps=2)
    arrays, about = found.save(tmp_path)
    assert (np.load(arrays)["images"] == found.images).all()
    assert json.loads(about.read_text())["settings"]["steps"] == 2


def test_ascent_on_a_device(device_ops):
    how = {"steps": 4, "blur": 0.5, "every": 2}
    there, here = class_image(small(device_ops, gap=True), [0, 3], **how), class_image(small(gap=True), [0, 3], **how)
    assert type(there.images) is np.ndarray
    np.testing.assert_allclose(there.images, here.images, atol=1e-4)
    np.testing.assert_allclose(there.values, here.values, atol=1e-4)


def test_gradients_of_trained_weights_against_torch(real_data):
    torch = pytest.importorskip("torch")
    F = torch.nn.functional
    net = models.tiny_vgg(ops=get_ops("numba"), weights=real_data / "weights" / "tiny_vgg_tinyimagenet10.npz")
    x = np.random.default_rng(0).uniform(0, 1, (2, 3, 64, 64)).astype(np.float32)
    w = {name: torch.from_numpy(np.array(value)) for name, value in net.params.items()}
    t = torch.from_numpy(x).requires_grad_()
    y = t
    for block in (1, 2):
        for i in (1, 2):
            y = F.relu(F.conv2d(y, w[f"conv{block}_{i}.weight"], w[f"conv{block}_{i}.bias"]))
        y = F.max_pool2d(y, 2)
    scores = F.linear(y.flatten(1), w["fc.weight"], w["fc.bias"])
    (scores[0, 3] + scores[1, 8]).backward()
    value, g = ascent.value_and_gradient(net, "fc", np.array([[3], [8]]), x)
    np.testing.assert_allclose(value, [scores[0, 3].item(), scores[1, 8].item()], rtol=1e-4)
    theirs = t.grad.numpy()
    assert np.abs(g - theirs).max() < 1e-4 * np.abs(theirs).max()
    found = class_image(net, [3, 8], steps=30)
    probabilities = net.probabilities(found.images)
    assert (probabilities[[0, 1], [3, 8]] > 0.9).all()

"""Fooling a network: the least change where it is known, and that what is called fooled really is."""

import json

import numpy as np
import pytest

from zfnumpy import data, get_ops, models, plots
from zfnumpy.data import Preprocessing
from zfnumpy.errors import NodeError, ShapeError
from zfnumpy.layers import Conv2d, Flatten, GlobalAvgPool, Linear, MaxPool2d, ReLU
from zfnumpy.network import Network
from zfnumpy.visualize import ascent, fool, fooling, framed

NUMPY = get_ops("numpy")


def linear(weight, bias=0, ops=NUMPY, dtype="float64", order="RGB"):
    """Scores that are linear in the pixels."""
    net = Network([("flatten", Flatten()), ("fc", Linear(len(weight)))], (3, 4, 4), ops, dtype=dtype,
                  preprocessing=Preprocessing(4, 4, np.array((100, 110, 120), np.float32), 1 / 32, order))
    net.params["fc.weight"], net.params["fc.bias"] = np.asarray(weight), np.broadcast_to(bias, len(weight))
    return net


def curved(ops=NUMPY, gap=False, dtype="float32", resize=12, mean=(100, 110, 120), order="BGR"):
    top = [("conv2", Conv2d(4, 1)), ("relu2", ReLU()), ("pool2", GlobalAvgPool())] if gap else \
        [("flatten", Flatten()), ("fc", Linear(4))]
    return Network([("conv1", Conv2d(8, 3)), ("relu1", ReLU()), ("pool1", MaxPool2d(2)), *top], (3, 12, 12), ops,
                   dtype=dtype, preprocessing=Preprocessing(resize, 12, np.array(mean, np.float32), 1 / 32, order))


def pictures(count=4, size=12, seed=0):
    return np.random.default_rng(seed).integers(60, 190, (count, size, size, 3), dtype=np.uint8)


def test_a_linear_network_is_fooled_by_the_shortest_way():
    """Between two classes the border is a plane: |lead| / |w| away, along w."""
    rng = np.random.default_rng(0)
    weight = rng.standard_normal((2, 48))
    net = linear(weight)
    x = net.prepare(pictures(6, 4))
    scores = net.scores(x)
    found = fool(net, x, whole=False)
    apart = weight[0] - weight[1]
    shortest = np.abs(scores[:, 0] - scores[:, 1]) / np.linalg.norm(apart) * 32                    # in pixel units
    np.testing.assert_allclose(found.norm, shortest, rtol=0.02)
    assert found.fooled.all()
    assert (found.last == 1 - found.first).all()
    direction = found.difference.transpose(0, 3, 1, 2).reshape(6, 48)
    along = np.abs(direction @ apart) / np.linalg.norm(apart) / found.norm
    np.testing.assert_allclose(along, 1, atol=1e-6)


def test_the_change_is_near_the_least_where_three_planes_meet():
    """Against a fine search over the mixtures of both borders' normals, which hold the least change."""
    rng = np.random.default_rng(1)
    weight = rng.standard_normal((3, 48))
    net = linear(weight)
    x = net.prepare(pictures(5, 4, seed=1))
    scores = net.scores(x)
    label = scores.argmin(axis=1)
    found = fool(net, x, label, steps=80, whole=False)
    for i in range(5):
        normals = np.array([weight[label[i]] - weight[k] for k in range(3) if k != label[i]])
        missing = np.array([scores[i, k] - scores[i, label[i]] for k in range(3) if k != label[i]])
        singles = [missing[k] / np.linalg.norm(normals[k]) for k in (0, 1)
                   if normals[1 - k] @ normals[k] * missing[k] / (normals[k] @ normals[k]) >= missing[1 - k]]
        both = np.linalg.norm(normals.T @ np.linalg.solve(normals @ normals.T, missing))
        assert found.norm[i] == pytest.approx(32 * min([*singles, both]), rel=0.06)


@pytest.mark.parametrize("whole", [False, True])
@pytest.mark.parametrize("gap", [False, True])
def test_what_is_called_fooled_is(gap, whole):
    net = curved(gap=gap)
    if gap:
        net.params["conv2.weight"][...] *= 3
    originals = pictures()
    x = net.prepare(originals)
    label = (net.scores(x).argmax(axis=1) + 1) % 4
    before = x.copy()
    found = fool(net, x, label, whole=whole)
    assert (x == before).all()
    assert found.fooled.all()
    assert (found.last == label).all()
    assert (found.original == originals).all()
    if whole:
        assert (found.difference == found.pictures.astype(np.float32) - originals).all()
        assert found.as_saved.all()
        again = net.probabilities(net.prepare(found.pictures))
        np.testing.assert_array_equal(again, found.after)
    else:
        assert (np.abs(found.difference - (found.pictures.astype(np.float32) - originals)) <= 0.51).all()
    np.testing.assert_allclose(found.norm, np.sqrt((found.difference.astype(float) ** 2).sum(axis=(1, 2, 3))))
    assert (found.largest == np.abs(found.difference).max(axis=(1, 2, 3))).all()


def test_a_step_ends_on_the_border_and_nearer_to_the_picture():
    """Where scores are linear. From beyond the border; from before it a little farther than the border."""
    rng = np.random.default_rng(0)
    net = linear(rng.standard_normal((2, 48)))
    origin, here, w = rng.standard_normal((3, 5, 3, 4, 4)) * 0.1
    search = fooling._Search(net, origin, np.zeros(5, int), None)
    for missing, beyond in ((np.full(5, -0.1), 1), (np.full(5, 0.1), fooling.OVERSHOOT)):
        straight, along = (search._towards(here, origin, w, missing, np.full(5, known)) for known in (False, True))
        np.testing.assert_allclose(((straight - here) * w).sum(axis=(1, 2, 3)), beyond * missing)
        far = ((along - here) * w).sum(axis=(1, 2, 3))
        if beyond == 1:
            np.testing.assert_allclose(far, missing)
        assert (((along - origin) ** 2).sum(axis=(1, 2, 3)) < ((straight - origin) ** 2).sum(axis=(1, 2, 3))).all()


def test_more_steps_find_less_to_change():
    net = curved()
    x = net.prepare(pictures(8))
    label = net.scores(x).argmin(axis=1)
    early, late = (fool(net, x, label, steps=steps, whole=False) for steps in (6, 40))
    assert early.fooled.all()
    assert (late.norm <= early.norm).all()
    assert late.norm.mean() < 0.99 * early.norm.mean()


def test_without_rounding_less_is_changed():
    net = curved()
    x = net.prepare(pictures())
    loose, whole = fool(net, x, whole=False), fool(net, x)
    assert (loose.norm <= whole.norm * 1.01).all()
    order = np.argsort(-net.scores(x), axis=1)
    assert (whole.labels == order[:, 1]).all()


def test_a_class_whose_map_is_dark_can_be_reached():
    net = curved(gap=True)
    x = net.prepare(pictures(2))
    net.params["conv2.bias"][2] = -net.activations(x, "conv2")["conv2"][:, 2].max() - 0.1
    assert not net.scores(x)[:, 2].any()
    scores, tape = net.forward(x)
    dscores = fooling._soft_lead(scores, np.array([2, 2]), None)[1].astype(np.float32)
    w = fooling._Search(net, x, np.array([2, 2]), None)._gradient(scores, dscores, tape, np.arange(2))
    up = ascent.value_and_gradient(net, "conv2", np.array([[2], [2]]), x)[1]
    assert up.any()
    np.testing.assert_allclose(w, net.project("pool2", dscores, tape, "gradient") + up, atol=1e-6)
    found = fool(net, x, 2, steps=60)
    assert found.fooled.all()
    assert (found.last == 2).all()


def test_a_confidence_is_reached():
    net = curved()
    x = net.prepare(pictures())
    found = fool(net, x, confidence=0.8)
    assert found.fooled.all()
    reached = found.after[np.arange(4), found.labels]
    assert (reached >= 0.8).all()
    assert (reached < 0.85).all()
    assert (found.norm > fool(net, x).norm).all()
    with pytest.raises(ShapeError, match="confidence must be a probability between 0 and 1, got 1"):
        fool(net, x, confidence=1)


def test_what_is_the_wanted_class_already_stays_as_it_is():
    net = curved()
    x = net.prepare(pictures())
    label = net.scores(x).argmax(axis=1)
    label[1] = (label[1] + 1) % 4
    found = fool(net, x, label)
    assert found.fooled.all()
    assert [bool(n) for n in found.norm] == [False, True, False, False]
    assert (found.pictures[[0, 2, 3]] == pictures()[[0, 2, 3]]).all()


def test_where_it_cannot_be_done_it_says_so():
    """No step helps a network that does not look; and pixels cannot leave their range."""
    blind = linear(np.zeros((2, 48)), (1, 0))
    found = fool(blind, blind.prepare(pictures(2, 4)), 1, steps=3)
    assert not found.fooled.any()
    assert not found.as_saved.any()
    assert np.isfinite(found.difference).all()
    stubborn = linear(np.stack([np.full(48, -1.0), np.full(48, 1.0)]), (1e4, 0), dtype="float32")
    found = fool(stubborn, stubborn.prepare(pictures(2, 4)), 1, steps=5)
    search = fooling._Search(stubborn, stubborn.prepare(pictures(2, 4)), np.array([1, 1]), None)
    search.follow(400, iter)
    assert (stubborn.preprocessing.pixels(search.best) == 255).any()
    assert (search.best <= search.limits[1]).all()
    assert not found.fooled.any()
    assert (found.last == 0).all()
    assert found.pictures.min() > 60


def test_of_two_equal_scores_the_first_counts():
    assert fooling._lead(np.array([[1.0, 1.0], [1.0, 1.0]]), np.array([0, 1]), None).tolist() == \
        [0, -np.finfo(np.float64).tiny]


@pytest.mark.parametrize("confidence", [None, 0.3])
def test_the_soft_leads_gradient_by_central_differences(confidence):
    rng = np.random.default_rng(0)
    scores, labels = rng.standard_normal((3, 5)), np.array([4, 0, 2])
    lead, d = fooling._soft_lead(scores, labels, confidence)
    assert (lead <= fooling._lead(scores, labels, confidence) + 1e-12).all()
    for k in range(5):
        up, down = scores.copy(), scores.copy()
        up[:, k] += 1e-6
        down[:, k] -= 1e-6
        slope = (fooling._soft_lead(up, labels, confidence)[0] - fooling._soft_lead(down, labels, confidence)[0]) / 2e-6
        np.testing.assert_allclose(d[:, k], slope, atol=1e-6)


@pytest.mark.parametrize("mean", [(100, 110, 120), np.random.default_rng(0).uniform(50, 200, (3, 17, 17))])
def test_a_crop_in_its_frame_is_prepared_to_itself(mean, tmp_path):
    """Where the network looks at the middle of a larger square; through a file, and with the picture around it."""
    net = curved(resize=17, mean=mean)
    originals = pictures(2, 17)
    x = net.prepare(originals)
    found = fool(net, x)
    assert found.as_saved.all()
    for picture, whole in zip(found.pictures, originals):
        square = framed(net.preprocessing, picture, whole)
        assert (square[:2] == whole[:2]).all()
        plots.save_picture(tmp_path / "fooled.png", square)
        again = net.prepare([data.load_image(tmp_path / "fooled.png"), framed(net.preprocessing, picture)])
        assert (again[0] == again[1]).all()
        assert (again[0] == fooling.inputs_of(net.preprocessing, picture[None])[0]).all()


def test_what_is_refused():
    net = curved()
    x = net.prepare(pictures(2))
    with pytest.raises(NodeError, match="there is no class 4"):
        fool(net, x, 4)
    with pytest.raises(ShapeError, match="steps"):
        fool(net, x, steps=0)
    one = linear(np.ones((1, 48)))
    with pytest.raises(ShapeError, match="network knows a single class"):
        fool(one, one.prepare(pictures(1, 4)))
    net.preprocessing = None
    with pytest.raises(ShapeError, match="network has no preprocessing"):
        fool(net, x)


def test_saving_what_fooled(tmp_path):
    net = curved()
    arrays, about = fool(net, net.prepare(pictures(2)), 1).save(tmp_path)
    assert np.load(arrays)["pictures"].shape == (2, 12, 12, 3)
    assert [line["wanted"] for line in json.loads(about.read_text())["pictures"]] == [1, 1]


@pytest.mark.parametrize("gap", [False, True])
def test_fooling_on_a_device(device_ops, gap):
    there, here = curved(device_ops, gap, "float64"), curved(gap=gap, dtype="float64")
    x = here.prepare(pictures(2))
    label = (here.scores(x).argmax(axis=1) + 1) % 4
    found, expected = (fool(net, net.prepare(pictures(2)), label, steps=10) for net in (there, here))
    assert type(found.difference) is np.ndarray
    assert (found.pictures == expected.pictures).mean() > 0.98
    np.testing.assert_allclose(found.norm, expected.norm, rtol=0.02)


def test_trained_networks_are_fooled(real_data):
    net = models.tiny_vgg(ops=get_ops("numba"), weights=real_data / "weights" / "tiny_vgg_tinyimagenet10.npz")
    part = data.open_dataset(real_data / "tiny-imagenet-20")[1]
    x = net.prepare([part.image(i) for i in range(4)])
    label = (net.scores(x).argmax(axis=1) + 3) % 10
    found = fool(net, x, label)
    assert found.as_saved.all()
    assert (net.scores(net.prepare(found.pictures)).argmax(axis=1) == label).all()
    assert np.median(found.rms) < 3

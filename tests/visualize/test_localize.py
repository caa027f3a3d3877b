"""Localization over a data set: the figures against boxes and maps that are known, on the sketches and on arrays."""

import csv
import json

import numpy as np
import pytest

from zfnumpy import get_ops, models
from zfnumpy.data import ImageArray, Preprocessing, sketches
from zfnumpy.errors import DataError, NodeError
from zfnumpy.layers import Conv2d, GlobalAvgPool, ReLU
from zfnumpy.network import Network
from zfnumpy.visualize import class_maps, iou, largest_box, localization, project
from zfnumpy.visualize.localize import METHODS

NUMPY = get_ops("numpy")
SIDE = 16


def red_and_blue():
    """A network that sees red at each pixel as class 0 and blue as class 1: its maps are the picture's own colours."""
    net = Network([("conv", Conv2d(2, 1)), ("relu", ReLU()), ("gap", GlobalAvgPool())], (3, SIDE, SIDE), NUMPY,
                  preprocessing=Preprocessing(SIDE, SIDE, np.zeros(3), 1 / 255), classes=["red", "blue"])
    net.params["conv.weight"] = np.array([[1, 0, 0], [0, 0, 1]]).reshape(2, 3, 1, 1)
    return net


class Boxed(ImageArray):
    _rows = ("labels", "images", "boxes")

    def __init__(self, images, labels, classes, boxes):
        super().__init__(images, labels, classes)
        self.boxes = np.array(boxes, np.float32)


BOXES = [(2, 3, 9, 11), (0, 0, 16, 16), (5, 5, 6, 6), (1, 8, 15, 14)]


def rectangles(truth=BOXES, labels=(0, 1, 1, 0), classes=("red", "blue"), seen=(0, 1, 1, 1)):
    """Rectangles in the colour of `seen`, which is another than their label's in the last."""
    images = np.zeros((len(BOXES), SIDE, SIDE, 3), np.uint8)
    for image, (x0, y0, x1, y1), colour in zip(images, BOXES, seen):
        image[y0:y1, x0:x1, 2 * colour] = 250
    return Boxed(images, np.array(labels), list(classes), truth)


def test_known_boxes_are_found():
    found = localization(red_and_blue(), rectangles(), ["cam", "gradcam"], batch=3)
    np.testing.assert_array_equal(found.truth, BOXES)
    for method in (0, 1):
        np.testing.assert_array_equal(found.boxes[method], [*BOXES[:3], (0, 0, 0, 0)])      # class 0 is nowhere in the last
    assert found.predicted.tolist() == [0, 1, 1, 1]
    assert found.indices.tolist() == [0, 1, 2, 3]
    cam, gradcam, centred = found.rows()
    assert (cam["localized"], cam["known"], cam["mean_iou"], cam["error"]) == (0.75, 0.75, 0.75, 0.25)
    assert (cam["method"], cam["threshold"], gradcam["threshold"]) == ("cam", 0.2, 0.15)
    assert centred["method"] == "centred box"
    assert centred["known"] == (iou(found.centred, BOXES) > 0.5).mean()
    assert found.overlaps.shape == (2, len(found.thresholds), 4)


def test_a_wrong_class_is_an_error_though_the_box_is_right():
    found = localization(red_and_blue(), rectangles(labels=(0, 1, 1, 1), seen=(0, 1, 1, 1)), ["cam"])
    assert found.rows()[0]["localized"] == 1
    net = red_and_blue()
    net.params["conv.bias"] = np.array([10, 0])                                              # sees red everywhere
    found = localization(net, rectangles(labels=(0, 1, 1, 1), seen=(0, 1, 1, 1)), ["cam"])
    row = found.rows()[0]
    assert (row["localized"], row["known"]) == (0, 0.75)


def test_half_of_a_box_is_not_right():
    """The intersection over union must be above 0.5: exactly a half is not."""
    truth = [(2, 3, 9, 19), (0, 0, 16, 16), (5, 5, 7, 6), (1, 8, 15, 14)]
    found = localization(red_and_blue(), rectangles(truth, seen=(0, 1, 1, 0)), ["cam"])
    assert found.overlap("cam")[2] == 0.5
    assert found.rows()[0]["known"] == 0.75
    assert found.truth[0].tolist() == [2, 3, 9, 16]                                          # cut to the crop


def test_thresholds():
    data = rectangles(seen=(0, 1, 1, 0))
    data.images[1, :, 8:, 2] = 100                                                           # 0.4 of the maximum
    found = localization(red_and_blue(), data, ["cam"], {"cam": 0.35})
    at = found.thresholds.tolist()
    assert at == sorted(at)
    assert 0.35 in at
    right = dict(zip(at, found.known_by_threshold()[0]))
    assert (right[0.35], right[0.5]) == (1, 0.75)
    assert found.rows()[0]["best_known"] == 1
    np.testing.assert_array_equal(found.localized_by_threshold(), found.known_by_threshold())


def test_pictures_without_a_box_and_boxes_outside_the_crop_are_left_out():
    net = red_and_blue()
    net.preprocessing = Preprocessing(2 * SIDE, SIDE, np.zeros(3), 1 / 255)
    truth = [(2, 3, 9, 11), (np.nan,) * 4, (0, 0, 2, 2), (1, 8, 15, 14)]
    found = localization(net, rectangles(truth, seen=(0, 1, 1, 0)), ["cam"])
    assert found.indices.tolist() == [0, 3]
    assert found.without_box == 2
    np.testing.assert_array_equal(found.truth, [(0, 0, 10, 14), (0, 8, 16, 16)])
    with pytest.raises(DataError, match="the data set has no true boxes to compare with"):
        localization(net, rectangles(np.full((4, 4), np.nan)))
    with pytest.raises(DataError, match="the data set has no true boxes to compare with"):
        localization(net, ImageArray(np.zeros((1, 9, 9, 3), np.uint8), [0], ["red", "blue"]))
    with pytest.raises(DataError, match="none of 4 pictures with a box could be used"):
        localization(net, rectangles([(0, 0, 1, 1)] * 4))


def test_pictures_that_cannot_be_read():
    data, net = rectangles(), red_and_blue()
    image = data.image

    def broken(i):
        if i == 1:
            raise DataError("torn")
        return image(i)

    data.image = broken
    found = localization(net, data, ["cam"], batch=2)
    assert found.indices.tolist() == [0, 2, 3]
    assert found.skipped == [("picture 1", "torn")]
    assert found.without_box == 0


def test_refusals():
    net = red_and_blue()
    with pytest.raises(NodeError, match="no way to localize named 'lime'; there are cam, gradcam, saliency"):
        localization(net, rectangles(), ["cam", "lime"])
    with pytest.raises(NodeError, match="no way to localize named 'nothing'"):
        localization(net, rectangles(), [])
    with pytest.raises(DataError, match="the network tells 2 classes apart, the data set has 3"):
        localization(net, rectangles(classes=("red", "blue", "green")))


def test_saliency_is_the_largest_magnitude_over_the_colours_smoothed():
    net = models.sketches_gap(get_ops("numba"))
    x = net.prepare(sketches.load(2, seed=9, cache=False).images)
    r = project(net, x, net.output, (np.array([3, 1]),), rule="gradient")
    found = class_maps(net, x, np.array([3, 1]), "saliency")
    plain = np.pad(np.abs(r).max(axis=1), ((0, 0), (8, 8), (8, 8)), mode="edge")             # a Gaussian of 64 / 32 pixels
    weights = np.exp(-(np.arange(-8, 9) ** 2) / 8)
    weights = np.outer(weights, weights) / weights.sum() ** 2
    for n, i, j in ((0, 0, 0), (0, 30, 41), (1, 63, 20), (1, 5, 62)):
        assert found[n, i, j] == pytest.approx((weights * plain[n, i:i + 17, j:j + 17]).sum(), rel=1e-4)


def test_saved(tmp_path):
    found = localization(red_and_blue(), rectangles())
    assert found.methods == tuple(METHODS)
    found.save(tmp_path)
    with np.load(tmp_path / "localization.npz") as file:
        np.testing.assert_array_equal(file["overlaps"], found.overlaps)
        np.testing.assert_array_equal(file["truth"], found.truth)
    about = json.loads((tmp_path / "localization.json").read_text())
    assert about["rows"] == json.loads(json.dumps(found.rows()))
    assert (about["images"], about["top1"], about["size"]) == (4, 0.75, [16, 16])
    assert about["by_threshold"]["cam"]["error"] == [1 - v for v in found.localized_by_threshold()[0]]
    rows = list(csv.DictReader((tmp_path / "localization.csv").read_text().splitlines()))
    assert [row["method"] for row in rows] == ["cam", "gradcam", "saliency", "centred box"]
    assert float(rows[0]["known"]) == 0.75


def test_a_network_without_cam_has_the_other_ways():
    net = models.zfnet_mini(2, NUMPY, conv=(2, 2, 2, 2, 2), fc=())
    found = localization(net, rectangles(), progress=lambda steps: (steps, [steps])[0])
    assert found.methods == ("gradcam", "saliency")
    assert np.isfinite(found.overlaps).all()


def test_every_backend_says_the_same(ops):
    mine, data = red_and_blue(), rectangles()
    other = Network(mine.nodes_to("gap"), mine.input_shape, ops, preprocessing=mine.preprocessing)
    for name, w in mine.params.items():
        other.params[name] = w
    found, expected = localization(other, data), localization(mine, data)
    np.testing.assert_array_equal(found.boxes, expected.boxes)
    np.testing.assert_array_equal(found.predicted, expected.predicted)


def test_the_embedded_network_beats_the_centred_box_on_sketches():
    """What it is for: boxes learnt from class names alone, in pictures whose objects stand off-centre."""
    net, data = models.sketches_gap(get_ops("numba")), sketches.load(200, seed=11, cache=False)
    cam, _, centred = localization(net, data, ["cam", "gradcam"]).rows()
    assert cam["known"] > centred["known"] + 0.15, (cam, centred)
    x = net.prepare(data.images)
    assert (net.ops.to_numpy(net.scores(x)).argmax(axis=1) == data.labels).mean() > 0.88
    assert largest_box(class_maps(net, x[:1], data.labels[:1], "cam")[0]).shape == (4,)

"""The localization study against pictures whose errors, crops and accuracies are worked out by hand."""

import numpy as np
import pytest

from zfnumpy import get_ops
from zfnumpy.data import ImageArray, Preprocessing
from zfnumpy.errors import DataError
from zfnumpy.experiments.crops import Cropped, centred, in_picture, squares
from zfnumpy.experiments.localization import CamStudy, first_guesses, shown_inputs, study_localization
from zfnumpy.layers import Conv2d, GlobalAvgPool, ReLU
from zfnumpy.network import Network
from zfnumpy.visualize import localization

NUMPY = get_ops("numpy")
SIDE = 16


class Boxed(ImageArray):
    _rows = ("labels", "images", "boxes")

    def __init__(self, images, labels, classes, boxes):
        super().__init__(images, labels, classes)
        self.boxes = np.array(boxes, np.float32)


def network(weight, hidden=False):
    """A network whose maps are colours of each pixel, mixed by `weight` (K, 3); `hidden`: over a layer of the colours."""
    below = [("conv1", Conv2d(3, 1)), ("relu1", ReLU())] if hidden else []
    net = Network([*below, ("conv", Conv2d(len(weight), 1)), ("relu", ReLU()), ("gap", GlobalAvgPool())], (3, SIDE, SIDE),
                  NUMPY, preprocessing=Preprocessing(SIDE, SIDE, np.zeros(3)), classes=[f"c{k}" for k in range(len(weight))])
    net.params["conv.weight"] = np.array(weight, np.float32).reshape(-1, 3, 1, 1)
    if hidden:
        net.params["conv1.weight"] = np.eye(3, dtype=np.float32).reshape(3, 3, 1, 1)
    return net


def painted(*rectangles):
    """A picture of rectangles (x0, y0, x1, y1, channel, value) on black."""
    picture = np.zeros((SIDE, SIDE, 3), np.uint8)
    for x0, y0, x1, y1, channel, value in rectangles:
        picture[y0:y1, x0:x1, channel] = value
    return picture


def test_top5_localization_error():
    """Of a red 4 × 4 square the seven classes' scores are as 3, 2, 0, 0.4, 0.3, 0.2, 0.1; of a blue one 1.5 for c2.

    A, red, is c0: likeliest, box right. B, red and blue, is c2, third behind c0 and c1: among five, and its own box is the
    blue square. C, red, is c6: five are likelier (c2's score is 0), so it is not among five, though its box is right. D,
    red, is c3, third, and its true box lies elsewhere. Top-1: A of four; top-5: A and B; the box alone: A, B and C.
    """
    net = network([(3, 0, 0), (2, 0, 0), (0, 0, 1.5), (0.4, 0, 0), (0.3, 0, 0), (0.2, 0, 0), (0.1, 0, 0)])
    red, blue = (2, 2, 6, 6), (9, 9, 13, 13)
    one, both = painted((*red, 0, 200)), painted((*red, 0, 200), (*blue, 2, 200))
    data = Boxed(np.stack([one, both, one, one]), [0, 2, 6, 3], net.classes, [red, blue, red, (8, 8, 16, 16)])
    found = localization(net, data, ["cam"])
    assert found.ranks.tolist() == [0, 2, 5, 2]
    assert found.localized("cam").tolist() == [True, False, False, False]
    assert found.localized("cam", 5).tolist() == [True, True, False, False]
    row = found.rows()[0]
    assert (row["error"], row["error_top5"], row["known"]) == (0.75, 0.5, 0.75)
    at = found.thresholds.tolist().index(0.2)
    assert (found.localized_by_threshold()[0, at], found.localized_by_threshold(5)[0, at]) == (0.25, 0.5)
    # True boxes of 16, 16, 16 and 64 pixels: the thirds are A and B, C, and D, whose box is wrong.
    study = CamStudy({}, found, False, "cam", np.zeros((4, 0)), np.zeros(4), np.zeros((4, 0)))
    assert study.known_by_size("cam") == [(100, 0), (100, 0), (0, 0)]
    assert study.tops() == (1, 5)
    assert [study.error("cam", top)[0] for top in (1, 5)] == [75, 50]
    boxes = found.boxes[0].tolist()
    assert (boxes[0], boxes[1]) == (list(red), list(blue))


def test_squares_show_the_whole_box():
    """resize / crop is 10 / 8: a side of 16 becomes 20, of which the centre crop shows the middle 16."""
    use = Preprocessing(10, 8, np.zeros(3))
    boxes = [(10, 20, 26, 28),           # middle 18, 24: from 8, 14
             (0, 0, 16, 8),              # middle 8, 4: -2, -6 would leave the picture
             (0, 0, 60, 90),             # 112.5 wide is more than the picture's 60; middle 30, 45
             (np.nan,) * 4]
    found = squares(boxes, [(100, 60)] * 4, use)
    np.testing.assert_array_equal(found, [(8, 14, 28, 34), (0, 0, 20, 20), (0, 15, 60, 75), (np.nan,) * 4])
    # The first box in the square's own pixels is 2, 6, 18, 14: halved by the resize, one pixel cut off at the left.
    np.testing.assert_allclose(use.to_crop((2, 6, 18, 14), (20, 20)), (0, 2, 8, 6))


def test_boxes_are_carried_back_into_the_picture():
    """A picture 20 high and 40 wide becomes 10 × 20; the crop of 8 begins at row 1, column 6. Back: (v + 6)·2, (v + 1)·2."""
    use = Preprocessing(10, 8, np.zeros(3))
    np.testing.assert_allclose(in_picture((0, 0, 8, 8), (20, 40), use), (12, 2, 28, 18))
    boxes = np.array([(1, 2, 3, 4), (-30, 0, 40, 8)])
    np.testing.assert_allclose(in_picture(boxes, (20, 40), use), [(14, 6, 18, 10), (0, 2, 40, 18)])
    np.testing.assert_allclose(use.to_crop(in_picture(boxes[0], (20, 40), use), (20, 40)), boxes[0])


def test_centred_boxes():
    """Half of 40 wide is 20, a quarter of 20 high is 5, both in the middle."""
    np.testing.assert_allclose(centred((0.5, 0.25), [(20, 40)]), [(10, 7.5, 30, 12.5)])


def test_cropped_pictures():
    images = np.arange(2 * 4 * 4 * 3, dtype=np.uint8).reshape(2, 4, 4, 3)
    data = ImageArray(images, [1, 0], ["a", "b"])
    part = Cropped(data, [(1, 0, 3, 4), (0, 2, 4, 3)], "box")
    np.testing.assert_array_equal(part.image(0), images[0, 0:4, 1:3])
    np.testing.assert_array_equal(part.image(1), images[1, 2:3])
    np.testing.assert_array_equal(part.subset([1]).image(0), images[1, 2:3])
    assert (part.labels.tolist(), part.name(1), len(part)) == ([1, 0], "picture 1", 2)
    assert part.shown_as != Cropped(data, [(1, 0, 3, 4), (0, 2, 4, 4)], "box").shown_as
    broken = Cropped(data, [(np.nan,) * 4, (2, 2, 2, 3)], "box")
    for i in range(2):
        with pytest.raises(DataError, match=f"picture {i} has no box"):
            broken.image(i)
    with pytest.raises(DataError, match=r"2 pictures need boxes \(2, 4\), got \(1, 4\)"):
        Cropped(data, [(0, 0, 1, 1)], "box")


CORNERS = [(0, 0, 8, 8), (8, 0, 16, 8), (0, 8, 8, 16), (8, 8, 16, 16)]


def corner_objects(repeats):
    """Objects of 8 × 8 in a corner, red 200: of class a green 96 on a ground of 0, of class b green 0 on a ground of 32.

    So a whole picture's mean green is 24 in both classes: 64·96 / 256 = 192·32 / 256. That of the centred box of that size,
    of which a quarter is the object, is (96 + 3·0) / 4 = (0 + 3·32) / 4 = 24 as well. (Multiples of 32, since a picture
    enlarged twofold mixes its pixels by sixteenths, and nothing is rounded.) In the object's box it is 96 or 0.
    """
    images, labels, boxes = [], [], []
    for label in (0, 1):
        for x0, y0, x1, y1 in CORNERS * repeats:
            picture = np.full((SIDE, SIDE, 3), (0, 32 * label, 0), np.uint8)
            picture[y0:y1, x0:x1] = (200, 96 * (1 - label), 0)
            images.append(picture)
            labels.append(label)
            boxes.append((x0, y0, x1, y1))
    return Boxed(np.array(images), labels, ["a", "b"], boxes)


@pytest.fixture
def colours(monkeypatch, tmp_path):
    """A network that takes everything red for c0, and gives its colours as features."""
    monkeypatch.setattr("zfnumpy.experiments.features.cache_folder", tmp_path.joinpath)
    return network([(1, 0, 0), (0, 0, 1)], hidden=True)


def test_the_study_by_hand(colours):
    """The map of the first guess, c0, is red alone: its box is the object's. Full and centred tell nothing, so a linear
    classifier gives every picture one class: half are right. The object's own green tells all."""
    pytest.importorskip("sklearn")
    train, test = corner_objects(3), corner_objects(1)
    guesses = first_guesses(colours, test)
    assert guesses.guessed.tolist() == [0] * 8
    np.testing.assert_allclose(guesses.boxes, test.boxes)
    study = study_localization(colours, train, test, per_class=4, draws=3)
    np.testing.assert_array_equal(study.accuracy, np.repeat([[0.5], [0.5], [1], [1]], 3, axis=1))
    np.testing.assert_array_equal(study.accuracy_all, [0.5, 0.5, 1, 1])
    # Of a centred box of 8 × 8 a quarter, 16 pixels, is the object's: 16 / (64 + 64 - 16). Of the picture it is a quarter.
    np.testing.assert_allclose(study.overlap, np.repeat([[1 / 4], [1 / 7], [1], [1]], 8, axis=1))
    assert study.guess
    assert study.tops() == (1,)
    assert study.settings["features"] == "relu1"
    assert study.error("cam") == (0, 0)
    assert study.error("centred box") == (100, 0)                # no centred box overlaps a corner's by a half
    # Not better than saliency, which marks the same red; and the map's box not below the true one, where both are 100 %.
    assert study.error("saliency") == (0, 0)
    assert [claim.agrees for claim in study.claims()] == [True, False, False, True]
    np.testing.assert_array_equal(study_localization(colours, train, test, per_class=4, draws=3).accuracy, study.accuracy)
    (first, *_), *_ = shown_inputs(colours, test, study)
    np.testing.assert_array_equal(first[1], test.image(0))


def test_a_wrong_class_is_an_error_where_the_classes_are_known(colours):
    """The same boxes under the network's own classes: all are taken for c0, so the four of c1 are errors, 50 %."""
    test = corner_objects(1)
    named = Boxed(test.images, test.labels, colours.classes, test.boxes)
    study = study_localization(colours, named.subset([]), named, named)
    assert not study.guess
    assert study.found.localized("cam").mean() == 0.5
    mean, error = study.error("cam")
    assert mean == 50
    assert error == pytest.approx(100 * (8 / 7 * 0.25 / 8) ** 0.5)          # of eight zeros and ones, half each
    assert study.accuracy.size == 0
    assert len(study.claims()) == 2


def test_what_is_refused(colours):
    test = corner_objects(1)
    without = ImageArray(test.images, test.labels, ["a", "b"])
    with pytest.raises(DataError, match="no true boxes"):
        study_localization(colours, without, without)
    with pytest.raises(DataError, match="a class has 4 training pictures with a box, and 9 are asked for"):
        study_localization(colours, test, test, per_class=9)


def test_pictures_that_cannot_be_read_are_left_out(colours, monkeypatch):
    test = corner_objects(1)
    broken = corner_objects(1)

    def image(i):
        if i == 2:
            raise DataError("broken")
        return broken.images[i]

    monkeypatch.setattr(broken, "image", image)
    guesses = first_guesses(colours, broken, batch=2)
    assert guesses.guessed.tolist() == [0, 0, -1, 0, 0, 0, 0, 0]
    assert np.isnan(guesses.boxes[2]).all()
    np.testing.assert_allclose(guesses.boxes[3:], test.boxes[3:])

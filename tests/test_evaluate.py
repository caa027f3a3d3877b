"""Measuring: every number against a loop over single images."""

import csv
import json

import numpy as np
import pytest

from zfnumpy.data import ImageArray, Loader, Preprocessing, sketches
from zfnumpy.errors import DataError
from zfnumpy.evaluate import Evaluation, class_places, evaluate, matched, predict, ranks
from zfnumpy.layers import Conv2d, Dropout, Flatten, GlobalAvgPool, Linear, MaxPool2d, ReLU
from zfnumpy.network import Network

K = 7
NAMES = list("abcdefg")
RNG = np.random.default_rng(0)
IMAGES = RNG.integers(0, 256, (23, 14, 15, 3), dtype=np.uint8)
LABELS = np.arange(23) * 3 % K
PREPARE = Preprocessing(12, 10, (120, 110, 100), 1 / 64)


class Broken(ImageArray):
    """Pictures of which some cannot be read."""

    failing = (0, 5, 6, 22)

    def image(self, i):
        if i in self.failing:
            raise DataError(f"cannot read picture {i}")
        return super().image(i)


def network(ops, classes=K, dtype="float32", preprocessing=PREPARE):
    return Network([("conv1", Conv2d(5, 3)), ("relu1", ReLU()), ("pool1", MaxPool2d(2)), ("flatten", Flatten()),
                    ("drop", Dropout(0.5)), ("fc", Linear(classes))], (3, 10, 10), ops, dtype=dtype, name="small",
                   preprocessing=preprocessing)


def one_by_one(net, images):
    """Class probabilities of each image alone, in double precision."""
    p = []
    for picture in images:
        scores = net.scores(net.prepare([picture]))[0].astype(np.float64)
        e = np.exp(scores - scores.max())
        p.append(e / e.sum())
    return np.array(p)


def expected(p, labels):
    """top-1, top-5, loss and confusion matrix by counting."""
    classes = p.shape[1]
    confusion = np.zeros((classes, classes), int)
    first = fifth = 0
    loss = 0.0
    for row, label in zip(p, labels):
        order = sorted(range(classes), key=lambda k: (-row[k], k))
        confusion[label, order[0]] += 1
        first += order[0] == label
        fifth += label in order[:5]
        loss -= np.log(row[label])
    return first / len(labels), fifth / len(labels), loss / len(labels), confusion


@pytest.mark.parametrize("batch_size", [1, 4, 64])
def test_against_one_image_at_a_time(host_ops, batch_size):
    net = network(host_ops)
    loader = Loader(ImageArray(IMAGES, LABELS, NAMES), batch_size, PREPARE)
    found = evaluate(net, loader)
    top1, top5, loss, confusion = expected(one_by_one(net, IMAGES), LABELS)
    assert 0 < top1 < top5 < 1                                        # or counting could not go wrong
    assert (found.top1, found.top5) == pytest.approx((top1, top5))
    assert found.loss == pytest.approx(loss, rel=1e-5)
    np.testing.assert_array_equal(found.confusion, confusion)
    assert (found.count, found.crops, found.skipped, found.classes) == (23, 1, [], NAMES)
    again = evaluate(net, loader)
    assert (again.loss, again.top5) == (found.loss, found.top5)       # nothing is left behind, and dropout is off


def test_in_double_precision(host_ops):
    net = network(host_ops, dtype="float64")
    found = evaluate(net, Loader(ImageArray(IMAGES, LABELS, NAMES), 8, PREPARE))
    p = one_by_one(net, IMAGES)
    assert found.loss == pytest.approx(expected(p, LABELS)[2], rel=1e-12)
    assert predict(net, net.prepare([IMAGES[0]])).dtype == np.float64


def test_class_accuracy():
    confusion = np.array([[3, 1, 0], [0, 0, 0], [1, 1, 2]])
    found = Evaluation(["x", "y", "z"], confusion, 1.0, 0.5)
    np.testing.assert_array_equal(found.class_accuracy(), [0.75, np.nan, 0.5])
    assert found.count == 8
    assert found.top1 == 5 / 8


def test_progress_wraps_the_batches(host_ops):
    seen = []

    def progress(batches):
        for batch in batches:
            seen.append(len(batch[1]))
            yield batch

    evaluate(network(host_ops), Loader(ImageArray(IMAGES, LABELS, NAMES), 10, PREPARE), progress=progress)
    assert seen == [10, 10, 3]


# ---- ranks ----------------------------------------------------------------------------------------------------------

def test_ranks_by_counting():
    scores = np.round(RNG.standard_normal((200, 9)), 1)               # rounded: many ties
    labels = RNG.integers(0, 9, 200)
    order = [sorted(range(9), key=lambda k, row=row: (-row[k], k)) for row in scores]
    np.testing.assert_array_equal(ranks(scores, labels), [o.index(label) for o, label in zip(order, labels)])
    assert (np.sort(scores, axis=1)[:, 1:] == np.sort(scores, axis=1)[:, :-1]).any(axis=1).sum() > 50


def test_ties_go_to_the_lower_class_as_argmax_has_them(host_ops):
    scores = np.array([[1, 5, 5, 0], [2, 2, 2, 2], [0, 1, 3, 3]])
    for k in range(4):
        rank = ranks(scores, np.full(3, k))
        np.testing.assert_array_equal(rank == 0, scores.argmax(axis=1) == k)
    np.testing.assert_array_equal(ranks(scores, np.array([2, 3, 3])), [1, 3, 1])
    net = network(host_ops)
    for w in net.params.values():
        w[...] = 0                                                    # every class is as likely: the first five are named
    found = evaluate(net, Loader(ImageArray(IMAGES, LABELS, NAMES), 8, PREPARE))
    assert found.top1 == (LABELS == 0).mean()
    assert found.top5 == (LABELS < 5).mean()
    assert found.loss == pytest.approx(np.log(K), rel=1e-6)


def test_a_score_that_is_no_number_is_never_right():
    scores = np.array([[np.nan, 1.0, 2.0], [np.nan] * 3, [0.5, np.nan, 0.1]])
    assert ranks(scores, np.array([0, 1, 0])).min() > 0
    assert ranks(scores, np.array([2, 0, 2])).min() > 0


@pytest.mark.parametrize("classes", [2, 3, 4, 5])
def test_up_to_five_classes_all_are_among_the_first_five(host_ops, classes):
    net = network(host_ops, classes)
    found = evaluate(net, Loader(ImageArray(IMAGES, np.arange(23) % classes, NAMES[:classes]), 8, PREPARE))
    assert found.top5 == 1.0
    assert found.top1 < 1
    assert found.confusion.shape == (classes, classes)


def test_a_sure_mistake_costs_as_much_as_it_is_sure(host_ops):
    net = network(host_ops)
    for w in net.params.values():
        w[...] = 0
    net.params["fc.bias"][1] = 1e4                                    # every other class underflows to nothing
    found = evaluate(net, Loader(ImageArray(IMAGES, LABELS, NAMES), 8, PREPARE))
    assert found.loss == pytest.approx(1e4 * (LABELS != 1).mean())
    assert found.top1 == (LABELS == 1).mean()


# ---- ten crops ------------------------------------------------------------------------------------------------------

def crops_by_hand(picture, mean, scale):
    """The four corners and the centre of a 12 × 12 square, then their mirror images, prepared one by one."""
    square = picture.astype(np.float32)
    found = []
    for top, left in [(0, 0), (0, 2), (2, 0), (2, 2), (1, 1)]:
        crop = ((square[top:top + 10, left:left + 10] - mean) * np.float32(scale)).transpose(2, 0, 1)
        found += [crop, crop[:, :, ::-1]]
    return np.stack(found)


@pytest.mark.parametrize("batch_size", [1, 25, 64])
def test_ten_crops_are_the_mean_of_ten_crops_made_by_hand(host_ops, batch_size):
    net = network(host_ops)
    images = IMAGES[:, :12, :12].copy()                               # already of the resized square: no resampling
    p = []
    for picture in images:
        scores = net.scores(host_ops.asarray(crops_by_hand(picture, PREPARE.mean, PREPARE.scale))).astype(np.float64)
        e = np.exp(scores - scores.max(axis=1, keepdims=True))
        p.append((e / e.sum(axis=1, keepdims=True)).mean(axis=0))
    data = ImageArray(images, LABELS, NAMES)
    found = evaluate(net, Loader(data, batch_size, PREPARE), ten_crop=True)
    top1, top5, loss, confusion = expected(np.array(p), LABELS)
    assert found.loss == pytest.approx(loss, rel=1e-5)
    assert (found.top1, found.top5, found.crops) == (pytest.approx(top1), pytest.approx(top5), 10)
    np.testing.assert_array_equal(found.confusion, confusion)
    assert found.loss != pytest.approx(evaluate(net, Loader(data, batch_size, PREPARE)).loss, rel=1e-4)


def test_predictions_of_crops_are_averaged(host_ops):
    net = network(host_ops)
    crops = PREPARE.ten_crop(list(IMAGES[:3]))
    each = np.stack([predict(net, crops[:, k]) for k in range(10)])
    np.testing.assert_allclose(predict(net, crops), each.mean(axis=0), rtol=1e-5)
    np.testing.assert_allclose(predict(net, crops).sum(axis=1), 1, rtol=1e-6)
    assert predict(net, crops).shape == (3, K)


# ---- pictures that cannot be read -----------------------------------------------------------------------------------

@pytest.mark.parametrize("ten_crop", [False, True])
@pytest.mark.parametrize("batch_size", [1, 2, 8])
def test_unreadable_pictures_are_passed_over_and_named_once(host_ops, ten_crop, batch_size):
    net = network(host_ops)
    loader = Loader(Broken(IMAGES, LABELS, NAMES), batch_size, PREPARE)
    readable = [i for i in range(23) if i not in Broken.failing]
    fine = Loader(ImageArray(IMAGES[readable], LABELS[readable], NAMES), batch_size, PREPARE)
    for _ in range(2):
        found, whole = evaluate(net, loader, ten_crop), evaluate(net, fine, ten_crop)
        np.testing.assert_array_equal(found.confusion, whole.confusion)
        assert found.loss == pytest.approx(whole.loss, rel=1e-6)
        assert found.count == 19
        assert found.skipped == [(f"picture {i}", f"cannot read picture {i}") for i in Broken.failing]
    evaluate(net, loader, not ten_crop)
    assert len(loader.skipped) == 4


@pytest.mark.parametrize("ten_crop", [False, True])
def test_a_picture_too_thin_to_resize_is_passed_over_too(host_ops, ten_crop):
    class Thin(ImageArray):
        def image(self, i):
            return np.zeros((1, 10 ** 7, 3), np.uint8) if i == 2 else super().image(i)

    found = evaluate(network(host_ops), Loader(Thin(IMAGES, LABELS, NAMES), 4, PREPARE), ten_crop)
    assert found.count == 22
    (name, reason), = found.skipped
    assert name == "picture 2"
    assert "too thin" in reason


@pytest.mark.parametrize("ten_crop", [False, True])
def test_without_one_readable_picture_there_is_nothing_to_measure(host_ops, ten_crop):
    class None_(ImageArray):
        def image(self, i):
            raise DataError("gone")

    with pytest.raises(DataError, match="could be read"):
        evaluate(network(host_ops), Loader(None_(IMAGES, LABELS, NAMES), 4, PREPARE), ten_crop)


def test_other_numbers_of_classes_are_refused(host_ops):
    with pytest.raises(DataError, match="tells 7 classes apart, the data set has 3"):
        evaluate(network(host_ops), Loader(ImageArray(IMAGES, LABELS % 3, "abc"), 4, PREPARE))


# ---- by name --------------------------------------------------------------------------------------------------------

def test_classes_matched_by_name(host_ops):
    """Of the data's four classes two are the network's, in another order; the others are left out."""
    data = ImageArray(IMAGES, np.arange(23) % 4, ["f", "z", "b", "y"])
    part = matched(data, NAMES)
    kept = [i for i in range(23) if i % 4 in (0, 2)]
    assert part.classes == NAMES
    assert len(part) == len(kept) == 12
    np.testing.assert_array_equal(part.labels, [5 if i % 4 == 0 else 1 for i in kept])
    for place, i in enumerate(kept):
        np.testing.assert_array_equal(part.image(place), IMAGES[i])
    net = network(host_ops)
    found = evaluate(net, Loader(part, 5, PREPARE))
    labels = np.array([5 if i % 4 == 0 else 1 for i in kept])
    top1, top5, loss, confusion = expected(one_by_one(net, IMAGES[kept]), labels)
    assert (found.top1, found.top5, found.loss) == pytest.approx((top1, top5, loss), rel=1e-5)
    np.testing.assert_array_equal(found.confusion, confusion)


def test_a_subset_of_matched_images_stays_matched():
    part = matched(ImageArray(IMAGES, np.arange(23) % 4, ["f", "z", "b", "y"]), NAMES)
    some = part.subset([3, 1])
    np.testing.assert_array_equal(some.labels, part.labels[[3, 1]])
    np.testing.assert_array_equal(some.image(0), part.image(3))
    assert (len(some), some.name(1), some.classes) == (2, part.name(1), NAMES)
    assert len(part.subset(slice(0, 5))) == 5


def test_data_without_one_of_the_classes_is_refused():
    with pytest.raises(DataError, match=r"none of the data's 3 classes \(x, …\) is among the network's 7 \(a, …\)"):
        matched(ImageArray(IMAGES, LABELS % 3, "xyz"), NAMES)


class Numbered(ImageArray):
    """A data set whose table numbers its classes."""

    def __init__(self, classes, numbers):
        super().__init__(IMAGES, np.arange(23) % len(classes), classes)
        self.class_numbers = np.array(numbers)


def test_of_two_classes_of_one_name_the_number_decides():
    """ImageNet has two cranes. A number that does not bear the name says nothing: the name decides, the first of two."""
    names = ["ant", "crane", "owl", "crane"]
    assert class_places(Numbered(["crane", "crane", "owl"], [1, 3, 2]), names).tolist() == [1, 3, 2]
    assert class_places(Numbered(["crane", "owl", "yak"], [3, 700, 1]), names).tolist() == [3, 2, -1]
    assert class_places(Numbered(["crane", "ant"], [0, 2]), names).tolist() == [1, 0]
    assert class_places(ImageArray(IMAGES, LABELS % 2, ["crane", "ant"]), names).tolist() == [1, 0]
    assert matched(Numbered(["crane", "owl"], [3, 2]), names).labels[:2].tolist() == [3, 2]


def test_the_numbers_of_sketches_are_those_of_pictures():
    """And not of classes: a subset whose numbers are out of order was taken for a table of classes."""
    drawn = sketches.load(12, seed=1).subset([11, 3, 0, 7])
    assert class_places(drawn, drawn.classes).tolist() == list(range(10))
    assert class_places(drawn, drawn.classes[::-1]).tolist() == list(range(10))[::-1]
    assert class_places(drawn, [f"class {k}" for k in range(10)], named=False).tolist() == [-1] * 10


def test_a_network_that_names_no_classes_goes_by_number():
    names = [f"class {k}" for k in range(4)]
    assert matched(Numbered(["crane", "owl"], [3, 1]), names, named=False).labels[:2].tolist() == [3, 1]
    with pytest.raises(DataError, match=r"numbers classes up to 4, the network tells 4 apart .* --classes"):
        matched(Numbered(["crane", "owl"], [4, 1]), names, named=False)
    with pytest.raises(DataError, match="none of the data's 2 classes"):
        matched(ImageArray(IMAGES, LABELS % 2, ["class 0", "class 1"]), names, named=False)


# ---- files ----------------------------------------------------------------------------------------------------------

def test_what_is_saved_is_what_was_found(host_ops, tmp_path):
    net = network(host_ops)
    names = ["a b", "c,d", 'say "e"', "caf\u00e9", "猫", "f", "never seen"]
    labels = np.arange(23) % 6
    found = evaluate(net, Loader(Broken(IMAGES, labels, names), 8, PREPARE), ten_crop=True)
    found.save(tmp_path / "deep" / "er")
    folder = tmp_path / "deep" / "er"
    assert sorted(path.name for path in folder.iterdir()) == ["classes.csv", "confusion.csv", "evaluation.json"]
    told = json.loads((folder / "evaluation.json").read_text())
    assert told == {"images": 19, "top1": found.top1, "top5": found.top5, "loss": found.loss, "crops": 10,
                    "skipped": [[f"picture {i}", f"cannot read picture {i}"] for i in Broken.failing]}
    with open(folder / "confusion.csv", newline="", encoding="utf-8") as file:
        head, *rows = csv.reader(file)
    assert head[1:] == names
    assert [row[0] for row in rows] == names
    np.testing.assert_array_equal([[int(n) for n in row[1:]] for row in rows], found.confusion)
    with open(folder / "classes.csv", newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [row["class"] for row in rows] == names
    for k, row in enumerate(rows[:-1]):
        total, right = int(found.confusion[k].sum()), int(found.confusion[k, k])
        assert (int(row["images"]), int(row["correct"])) == (total, right)
        assert float(row["accuracy"]) == pytest.approx(right / total, abs=5e-5)
    assert (rows[-1]["images"], rows[-1]["accuracy"]) == ("0", "nan")


def test_any_graph_is_measured(host_ops):
    """Scores may come from a pooling, and images of any size then."""
    net = Network([("conv1", Conv2d(3, 3)), ("relu1", ReLU()), ("gap", GlobalAvgPool())], (3, 10, 10), host_ops,
                  preprocessing=PREPARE)
    found = evaluate(net, Loader(ImageArray(IMAGES, LABELS % 3, "abc"), 8, PREPARE))
    top1, _, loss, _ = expected(one_by_one(net, IMAGES), LABELS % 3)
    assert (found.top1, found.loss) == pytest.approx((top1, loss), rel=1e-5)

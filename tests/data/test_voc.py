"""PASCAL VOC 2012 in its own layout on disk, whole and broken, and average precision worked out by hand."""

import math

import numpy as np
import pytest
from PIL import Image

from zfnumpy.cli import main
from zfnumpy.data import Voc2012, load_image, open_dataset
from zfnumpy.data.voc import CLASSES, average_precision
from zfnumpy.errors import DataError

CAT, DOG, PERSON = (CLASSES.index(name) for name in ("cat", "dog", "person"))
PART = "<part><name>head</name><bndbox><xmin>1</xmin><ymin>1</ymin><xmax>39</xmax><ymax>29</ymax></bndbox></part>"


def thing(name, box, difficult=0, part=""):
    """An object of an annotation, its tags in VOC's order."""
    x0, y0, x1, y1 = box
    return (f"\t<object>\n\t\t<name>{name}</name>\n\t\t<pose>Left</pose>\n\t\t<truncated>0</truncated>\n"
            f"\t\t<difficult>{difficult}</difficult>\n\t\t<bndbox>\n\t\t\t<xmin>{x0}</xmin>\n\t\t\t<ymin>{y0}</ymin>\n"
            f"\t\t\t<xmax>{x1}</xmax>\n\t\t\t<ymax>{y1}</ymax>\n\t\t</bndbox>\n{part}\t</object>\n")


def annotation(picture, *things):
    return (f"<annotation>\n\t<folder>VOC2012</folder>\n\t<filename>{picture}.jpg</filename>\n\t<size>\n"
            f"\t\t<width>40</width>\n\t\t<height>30</height>\n\t\t<depth>3</depth>\n\t</size>\n{''.join(things)}</annotation>\n")


# Picture 1: a cat and a larger dog. 2: a person, in whom a head is marked, and a larger dog that is difficult. 3: a
# difficult cat alone. 4: two cats, the larger of them difficult.
THINGS = {
    "2008_000001": [thing("cat", (1, 1, 10, 10)), thing("dog", (11, 6, 40, 30))],
    "2008_000002": [thing("person", (5, 5, 14, 24), part=PART), thing("dog", (1, 1, 40, 30), 1)],
    "2008_000003": [thing("cat", (3, 4, 3, 4), 1)],
    "2008_000004": [thing("cat", (1, 1, 40, 30), 1), thing("cat", (2.5, 2, 20, 20))],
}
SPLITS = {"train": ["2008_000001", "2008_000003"], "val": ["2008_000002", "2008_000004"]}
PRESENT = {"2008_000001": {CAT: 1, DOG: 1}, "2008_000002": {PERSON: 1, DOG: 0}, "2008_000003": {CAT: 0},
           "2008_000004": {CAT: 1}}


@pytest.fixture
def voc(tmp_path):
    """VOCdevkit/VOC2012 with four pictures, with the class files."""
    root = tmp_path / "VOCdevkit" / "VOC2012"
    for folder in ("JPEGImages", "Annotations", "ImageSets/Main", "ImageSets/Segmentation"):
        (root / folder).mkdir(parents=True)
    for k, (name, things) in enumerate(THINGS.items()):
        Image.new("RGB", (40, 30), (60 * k, 0, 0)).save(root / "JPEGImages" / f"{name}.jpg")
        (root / "Annotations" / f"{name}.xml").write_text(annotation(name, *things))
    for split, names in (SPLITS | {"trainval": [*SPLITS["train"], *SPLITS["val"]]}).items():
        (root / "ImageSets" / "Main" / f"{split}.txt").write_text("".join(f"{name}\n" for name in names))
        for k, title in enumerate(CLASSES):
            lines = [f"{name} {PRESENT[name].get(k, -1):2d}\n" for name in names]
            (root / "ImageSets" / "Main" / f"{title}_{split}.txt").write_text("".join(lines))
    return root


def without_class_files(root):
    for path in (root / "ImageSets" / "Main").glob("*_*.txt"):
        path.unlink()


def refusal(open_it, *arguments):
    with pytest.raises(DataError) as caught:
        open_it(*arguments)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize("listed", [True, False])
def test_what_the_pictures_show(voc, listed):
    """The class files and the objects say the same; a class all whose objects are difficult is neither there nor absent."""
    if not listed:
        without_class_files(voc)
    data = Voc2012(voc, "trainval")
    assert data.classes == list(CLASSES)
    assert data.present.dtype == np.int8
    wanted = np.full((4, 20), -1)
    for row, name in enumerate([*SPLITS["train"], *SPLITS["val"]]):
        for k, value in PRESENT[name].items():
            wanted[row, k] = value
    np.testing.assert_array_equal(data.present, wanted)


def test_boxes_and_labels(voc):
    """Of the largest object that is not difficult, a head being none; from 0, half-open: 11, 6, 40, 30 begins at 10, 5."""
    data = Voc2012(voc, "trainval")
    assert [data.classes[k] for k in data.labels] == ["dog", "cat", "person", "cat"]
    assert data.boxes.dtype == np.float32
    np.testing.assert_array_equal(data.boxes, [(10, 5, 40, 30), (2, 3, 3, 4), (4, 4, 14, 24), (1.5, 1, 20, 20)])
    np.testing.assert_array_equal(data.image(1), load_image(voc / "JPEGImages" / "2008_000003.jpg"))
    part = data.subset([2, 0])
    assert [part.classes[k] for k in part.labels] == ["person", "dog"]
    np.testing.assert_array_equal(part.present, data.present[[2, 0]])
    np.testing.assert_array_equal(part.boxes, data.boxes[[2, 0]])


def test_class_files_go_before_objects(voc):
    """Whose word it is where they differ; a class without a file goes by the objects."""
    (voc / "ImageSets/Main/sheep_train.txt").write_text("2008_000001  1\n2008_000003  0\n")
    (voc / "ImageSets/Main/dog_train.txt").unlink()
    data = Voc2012(voc, "train")
    assert data.present[:, CLASSES.index("sheep")].tolist() == [1, 0]
    assert data.present[:, DOG].tolist() == [1, -1]


def test_opened_by_its_folder_or_one_above(voc):
    for root in (voc, voc.parent, voc.parent.parent):
        train, val = open_dataset(root)
        assert isinstance(val, Voc2012)
        assert [path[-8:] for path in train.paths] == ["0001.jpg", "0003.jpg"]
        assert [path[-8:] for path in val.paths] == ["0002.jpg", "0004.jpg"]
    (voc / "ImageSets" / "Main").rename(voc / "ImageSets" / "Other")
    assert "http://host.robots.ox.ac.uk/pascal/VOC/voc2012/" in refusal(Voc2012, voc)
    assert "train, val, trainval, test, got 'minival'" in refusal(Voc2012, voc, "minival")


def test_pictures_listed_but_missing(voc):
    (voc / "JPEGImages" / "2008_000001.jpg").unlink()
    train = Voc2012(voc, "train")
    assert train.skipped == [(str(voc / "JPEGImages" / "2008_000001.jpg"), "listed, but no such file")]
    assert train.present[:, CAT].tolist() == [0]
    (voc / "JPEGImages" / "2008_000003.jpg").unlink()
    assert "train.txt: none of the 2 pictures listed is there" in refusal(open_dataset, voc)


@pytest.mark.parametrize(("file", "text", "expected"), [
    ("train", "2008_000001\n\n2008_000001\n", "train.txt, line 3: 2008_000001 stands there twice, first in line 1"),
    ("train", "", "none of the 0 pictures listed"),
    ("cat_train", "2008_000001 1\n2008_000003\n", "line 2: expected a picture and 1, 0 or -1, got '2008_000003'"),
    ("cat_train", "2008_000001 2\n2008_000003 1\n", "cat_train.txt, line 1: expected a picture and 1, 0 or -1"),
    ("cat_train", "2008_000001 1\n2008_000001 0\n", "cat_train.txt, line 2: 2008_000001 stands there twice, first"),
    ("cat_train", "2008_000001 1\n", "cat_train.txt: 2008_000003 of train.txt is not in it")])
def test_lists_that_are_wrong(voc, file, text, expected):
    (voc / "ImageSets" / "Main" / f"{file}.txt").write_text(text)
    assert expected in refusal(open_dataset, voc)


def test_lists_that_are_missing(voc):
    (voc / "ImageSets" / "Main" / "val.txt").unlink()
    assert "val.txt: No such file" in refusal(open_dataset, voc)


WHOLE = annotation("2008_000001", *THINGS["2008_000001"])


@pytest.mark.parametrize(("old", "new", "expected"), [
    # Eight lines are in front of the objects, each of which has twelve: the first ends in line 20, the file in line 34.
    ("</name>", "<name>", "mismatched tag: line 20"),
    ("</annotation>", "", "no element found: line 34"),
    (WHOLE, "", "no element found: line 1"),
    (WHOLE, "\x00\x01", "line 1"),
    ("<annotation>", "<?xml version='1.0' encoding='klingon'?><annotation>", "klingon"),
    ("<annotation>", "<!DOCTYPE a [<!ENTITY b 'bb'><!ENTITY c '&b;&b;'>]><annotation>&c;", "declares a document type"),
    ("<name>cat", "<name>unicorn", "'unicorn' is none of VOC's 20 classes"),
    ("<name>cat</name>", "", "'' is none of VOC's 20 classes"),
    ("<xmin>1</xmin>", "<xmin>one</xmin>", "the cat has no box of four numbers"),
    ("<xmin>1</xmin>", "", "the cat has no box of four numbers"),
    ("<xmin>1</xmin>", "<xmin>nan</xmin>", "the cat has no box of four numbers"),
    ("<xmax>10</xmax>", "<xmax>inf</xmax>", "the cat has no box of four numbers"),
    ("bndbox>", "box>", "the cat has no box of four numbers"),
    ("<xmin>1</xmin>", "<xmin>11</xmin>", "the box of the cat ends before it begins: 11, 1, 10, 10"),
    ("<difficult>0", "<difficult>perhaps", "whether the cat is difficult must be 0 or 1, got 'perhaps'"),
    ("object>", "thing>", "there is no object in it")])
def test_annotations_that_are_wrong(voc, old, new, expected):
    path = voc / "Annotations" / "2008_000001.xml"
    count = 4 if old in ("bndbox>", "object>") else 1
    path.write_text(path.read_text().replace(old, new, count))
    message = refusal(open_dataset, voc)
    assert "2008_000001.xml" in message
    assert expected in message


def test_annotations_that_are_missing(voc):
    (voc / "Annotations" / "2008_000003.xml").unlink()
    assert "2008_000003.xml: No such file" in refusal(open_dataset, voc)


def test_average_precision_by_hand():
    """Ranked there, not, there, not, there: precision 1, 1/2, 2/3, 1/2, 3/5; where recall rises it is 1, 2/3 and 3/5.

    None of a higher recall is larger, so the area is (1 + 2/3 + 3/5) / 3 = 34 / 45.
    """
    assert average_precision([0.9, 0.8, 0.7, 0.6, 0.5], [1, -1, 1, -1, 1]) == pytest.approx(34 / 45)
    # In any order of the pictures, and of any scores in that order.
    assert average_precision([-5, 30, 1, 2, 7], [1, 1, -1, 1, -1]) == pytest.approx(34 / 45)


def test_precision_is_the_best_at_this_recall_or_a_higher_one():
    """Ranked not, there, there: precision 0, 1/2, 2/3; the first half of recall gets 2/3 too, so it is not 7/12."""
    assert average_precision([3, 2, 1], [-1, 1, 1]) == pytest.approx(2 / 3)
    # Not by eleven points, as before 2010: of one found first and one found fourth that is (6·1 + 5·1/2) / 11, not 3/4.
    assert average_precision([4, 3, 2, 1], [1, -1, -1, 1]) == pytest.approx(3 / 4)


def test_difficult_pictures_do_not_count():
    """They are neither right nor wrong: with them at the top, in the middle and at the end it stays 34/45."""
    scores, present = [9, 0.9, 0.8, 0.75, 0.7, 0.6, 0.5, 0.1], [0, 1, -1, 0, 1, -1, 1, 0]
    assert average_precision(scores, present) == pytest.approx(34 / 45)


def test_the_best_the_worst_and_none():
    assert average_precision([4, 3, 2, 1], [1, 1, -1, -1]) == 1
    assert average_precision([4, 3, 2, 1], [-1, -1, -1, 1]) == 0.25
    assert average_precision([1, 1, 1], [-1, 1, -1]) == 0.5               # of equal scores the earlier picture is first
    assert math.isnan(average_precision([2, 1], [-1, 0]))


def test_it_can_be_trained_on(voc, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main(["train", "VOCdevkit", "--conv", "4,4,4,4,4", "--gap-head", "--epochs", "1", "--batch-size", "2",
                 "--no-estimate", "--out", "run"]) == 0

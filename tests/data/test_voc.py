"""PASCAL VOC 2012 in its real form on disk, whole and broken; average precision by hand."""

import numpy as np
import pytest
from PIL import Image

from zfnumpy.data import Voc2012, open_dataset
from zfnumpy.data.voc import CLASSES, average_precision
from zfnumpy.errors import DataError

# A picture's objects: class, difficult, xmin, ymin, xmax, ymax, counted from 1.
PICTURES = {"2008_000001": [("dog", 0, 1, 1, 10, 20), ("person", 0, 11, 5, 30, 30), ("chair", 1, 1, 1, 40, 40)],
            "2008_000002": [("cat", 1, 2, 3, 5, 6)], "2008_000003": [("dog", 0, 1, 1, 2, 2)]}
DOG, CAT, PERSON, CHAIR = (CLASSES.index(name) for name in ("dog", "cat", "person", "chair"))


def annotation(objects):
    return "<annotation><folder>VOC2012</folder>" + "".join(
        f"<object><name>{name}</name><pose>Left</pose><difficult>{difficult}</difficult><bndbox><xmin>{a}</xmin><ymin>{b}"
        f"</ymin><xmax>{c}</xmax><ymax>{d}</ymax></bndbox><part><name>head</name></part></object>"
        for name, difficult, a, b, c, d in objects) + "</annotation>"


@pytest.fixture
def voc(tmp_path):
    root = tmp_path / "VOCdevkit" / "VOC2012"
    for folder in ("JPEGImages", "Annotations", "ImageSets/Main"):
        (root / folder).mkdir(parents=True)
    for name, objects in PICTURES.items():
        Image.new("RGB", (50, 40), (1, 2, 3)).save(root / "JPEGImages" / f"{name}.jpg")
        (root / "Annotations" / f"{name}.xml").write_text(annotation(objects))
    main = root / "ImageSets" / "Main"
    (main / "train.txt").write_text("2008_000001\n2008_000002\n")
    (main / "val.txt").write_text("2008_000003\n2008_000099\n")
    (main / "dog_train.txt").write_text("2008_000001  1\n2008_000002 -1\n")
    (main / "cat_train.txt").write_text("2008_000001 -1\n2008_000002  0\n")
    return root


def test_the_set(voc):
    for root in (voc, voc.parent, voc.parent.parent):
        train = Voc2012(root)
        assert (len(train), len(train.classes)) == (2, 20)
        assert train.present.shape == (2, 20)
        assert train.present[0, [DOG, CAT, PERSON, CHAIR]].tolist() == [1, -1, 1, 0]     # person, chair: from the XML
        assert train.present[1, [DOG, CAT]].tolist() == [-1, 0]
        assert train.labels.tolist() == [PERSON, CAT]             # the largest that is not difficult; else of all
        assert train.boxes.tolist() == [[10, 4, 30, 30], [1, 2, 5, 6]]                   # half-open, from 0
    train, val = open_dataset(voc.parent)
    assert (len(val), val.labels.tolist()) == (1, [DOG])
    assert [path[-15:] for path, _ in val.skipped] == ["2008_000099.jpg"]
    assert train.subset([1]).present[0, CAT] == 0
    assert train.image(0).shape == (40, 50, 3)


@pytest.mark.parametrize(("break_it", "message"), [
    (lambda root: (root / "ImageSets/Main/dog_train.txt").write_text("2008_000001 1\n2008_000002 yes\n"),
     r"dog_train.txt, line 2: expected a picture and 1, 0 or -1, got '2008_000002 yes'"),
    (lambda root: (root / "ImageSets/Main/dog_train.txt").write_text("2008_000001 1\n"),
     r"dog_train.txt: 2008_000002 of train.txt is not in it"),
    (lambda root: (root / "ImageSets/Main/train.txt").write_text("2008_000001\n2008_000001\n"), "stands there twice"),
    (lambda root: (root / "ImageSets/Main/train.txt").unlink(), r"cannot read .*train.txt"),
    (lambda root: [path.unlink() for path in (root / "JPEGImages").iterdir()], "none of the 2 pictures listed is there"),
    (lambda root: (root / "Annotations/2008_000001.xml").write_text("<annotation><object>"), "cannot read .*000001.xml"),
    (lambda root: (root / "Annotations/2008_000001.xml").unlink(), "cannot read .*000001.xml: No such file"),
    (lambda root: (root / "Annotations/2008_000001.xml").write_text("<annotation/>"), "there is no object in it"),
    (lambda root: (root / "Annotations/2008_000001.xml").write_text(annotation([("unicorn", 0, 1, 1, 2, 2)])),
     "'unicorn' is none of VOC's 20 classes"),
    (lambda root: (root / "Annotations/2008_000001.xml").write_text(annotation([("dog", 0, "x", 1, 2, 2)])),
     "the dog has no box of four numbers"),
    (lambda root: (root / "Annotations/2008_000001.xml").write_text(annotation([("dog", 0, 9, 1, 2, 2)])),
     "the box of the dog ends before it begins: 9, 1, 2, 2"),
])
def test_malformed_sets(voc, break_it, message):
    break_it(voc)
    with pytest.raises(DataError, match=message) as caught:
        Voc2012(voc)
    assert "\n" not in str(caught.value)


def test_a_set_that_is_not_there_says_where_to_get_it(tmp_path, voc):
    with pytest.raises(DataError, match=r"holds no VOC2012 .* from http://host.robots.ox.ac.uk/pascal/VOC/voc2012/"):
        Voc2012(tmp_path / "elsewhere")
    with pytest.raises(DataError, match="the splits train, val, trainval, test, got 'dev'"):
        Voc2012(voc, "dev")


def test_average_precision_by_hand():
    """In the order of the scores: there, not there, difficult, there, not there. Precision is 1 at the first, and with the
    difficult one left out 2/3 at the second: (1 + 2/3) / 2. In the other order it is 1/2 at both.
    """
    scores, present = np.array([0.9, 0.8, 0.7, 0.6, 0.5]), np.array([1, -1, 0, 1, -1])
    assert average_precision(scores, present) == pytest.approx(5 / 6)
    assert average_precision(-scores, present) == pytest.approx(1 / 2)
    assert average_precision(scores, np.array([-1, 1, 1, 1, 1])) == pytest.approx((4 / 5) * 4 / 4)   # the best is the last
    assert average_precision(scores, np.ones(5)) == 1
    assert np.isnan(average_precision(scores, -np.ones(5)))

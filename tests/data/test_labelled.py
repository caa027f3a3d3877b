"""Pictures listed in a labels.tsv."""

import csv

import numpy as np
import pytest
from PIL import Image

from zfnumpy.data import LabelledFolder, load_image, open_dataset
from zfnumpy.errors import DataError

PICTURES = {"a.png": 10, "b.PNG": 60, "deep/c.png": 110, "d.png": 160}


@pytest.fixture
def folder(tmp_path):
    """A folder of grey pictures, each of a level of its own, as yet without a table."""
    for name, level in PICTURES.items():
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        Image.new("RGB", (5, 4), (level,) * 3).save(path)
    (tmp_path / "notes.txt").write_text("no picture")
    return tmp_path


def listed(folder, text, **how):
    (folder / "labels.tsv").write_text(text, **how)
    return LabelledFolder(folder)


def levels(part):
    return [int(part.image(i)[0, 0, 0]) for i in range(len(part))]


FULL = ("file\timagenet_index\twnid\tname\n"
        "d.png\t7\tn2\towl\na.png\t3\tn1\tcrane\ndeep/c.png\t5\tn3\tcrane\nb.PNG\t7\tn2\towl\n")


def test_a_full_table(folder):
    """Classes in the order of their numbers, two of one name kept apart; pictures in the order of the table."""
    part = listed(folder, FULL)
    assert part.classes == ["crane", "crane", "owl"]
    assert part.class_numbers.tolist() == [3, 5, 7]
    assert part.labels.tolist() == [2, 0, 1, 2]
    assert part.labels.dtype == np.int64
    assert levels(part) == [160, 10, 110, 60]
    assert part.skipped == []
    assert part.name(1) == str(folder / "a.png")


@pytest.mark.parametrize(("text", "classes", "numbers", "labels"), [
    ("file\tindex\na.png\t4\nd.png\t0\n", ["class 0", "class 4"], [0, 4], [1, 0]),
    ("file\twnid\na.png\tn9\nd.png\tn1\n", ["n9", "n1"], None, [0, 1]),
    ("wnid\tname\tfile\nn9\towl\ta.png\nn1\tant\td.png\n", ["owl", "ant"], None, [0, 1]),
    ("filename\tlabel\na.png\tant\nd.png\tbee\n", ["ant", "bee"], None, [0, 1]),
    ("Image\tClass\na.png\t2\nd.png\t1\n", ["class 1", "class 2"], [1, 2], [1, 0]),
    ("file\tlabel\na.png\t2\nd.png\tbee\n", ["2", "bee"], None, [0, 1]),
    ("a.png\tant\nd.png\tbee\n", ["ant", "bee"], None, [0, 1]),
    ("a.png\t11\nd.png\t2\n", ["class 2", "class 11"], [2, 11], [1, 0]),
    ("file\tindex\tname\tnote\r\n\r\na.png\t4\tx y\tany\r\n d.png \t4\tx y\t\r\n", ["x y"], [4], [0, 0]),
    ("\ufefffile\tname\na.png\tfüchse\n", ["füchse"], None, [0])])
def test_the_columns_there_may_be(folder, text, classes, numbers, labels):
    part = listed(folder, text, encoding="utf-8")
    assert part.classes == classes
    assert (part.class_numbers if numbers is None else part.class_numbers.tolist()) == numbers
    assert part.labels.tolist() == labels
    assert levels(part) == [10, 160][:len(labels)]


def test_what_is_missing_or_no_picture_is_passed_over(folder):
    part = listed(folder, "gone.png\tant\nnotes.txt\tant\na.png\tbee\n")
    assert part.classes == ["ant", "bee"]
    assert part.labels.tolist() == [1]
    assert part.skipped == [(str(folder / "gone.png"), "listed, but no such file"),
                            (str(folder / "notes.txt"), "no picture, by its suffix")]


@pytest.mark.parametrize(("text", "message"), [
    ("", "the table is empty"), ("\n  \n", "the table is empty"),
    ("file\tname\n", "there is no picture below the header"),
    ("file\tcolour\na.png\tred\n", "line 1: no column tells the class: name one index, wnid or name"),
    ("file\tname\na.png\tant\n\nb.PNG\n", r"line 4: expected file, name between tabs, got 'b.PNG'"),
    ("file\tname\na.png\t \n", r"line 2: expected file, name between tabs, got 'a.png \| '"),
    ("file\tname\n\tant\n", "line 2: expected file, name"), ("a.png ant\n", "line 1: expected file, name between tabs"),
    ("file\tindex\na.png\tone\n", "line 2: a class's number is whole, from 0, got 'one'"),
    ("file\tindex\na.png\t-1\n", "got '-1'"), ("file\tindex\na.png\t1.0\n", "got '1.0'"),
    ("file\tindex\na.png\t²\n", "got '²'"),
    ("file\tindex\na.png\t" + "9" * 30, "got '999"),
    ("file\tname\na.png\tant\nb.PNG\tant\na.png\tbee\n", "line 4: a.png stands there twice, first in line 2"),
    ("a.png\tant\n./a.png\tant\n", "line 2: ./a.png stands there twice, first in line 1"),
    ("file\tindex\tname\na.png\t1\tant\nd.png\t1\tbee\n", "line 3: class 1 is 'bee' here and 'ant' before"),
    ("x.png\tant\ny.png\tbee\n", "none of the 2 pictures listed is there; the first: .*x.png")])
def test_a_table_that_cannot_be_used(folder, text, message):
    with pytest.raises(DataError, match=message) as told:
        listed(folder, text, encoding="utf-8")
    assert str(folder / "labels.tsv") in str(told.value)
    assert "\n" not in str(told.value)


def test_no_table_no_text_no_folder(folder):
    with pytest.raises(DataError, match=r"cannot read .*labels.tsv: No such file"):
        LabelledFolder(folder)
    (folder / "labels.tsv").write_bytes(b"a.png\tcaf\xe9\n")
    with pytest.raises(DataError, match=r"cannot read .*labels.tsv: .*utf-8"):
        LabelledFolder(folder)


def test_it_opens_as_a_set_to_validate_on(folder):
    (folder / "labels.tsv").write_text(FULL)
    train, val = open_dataset(folder)
    assert len(train) == 0
    assert train.classes == val.classes == ["crane", "crane", "owl"]
    assert levels(val) == [160, 10, 110, 60]
    some = val.subset([3, 1])
    assert levels(some) == [60, 10]
    assert some.labels.tolist() == [2, 0]


def test_a_folder_of_classes_stays_one_whatever_lies_beside(folder):
    for name in ("ant", "bee"):
        (folder / name).mkdir()
        for i in range(2):
            Image.new("RGB", (5, 4)).save(folder / name / f"{i}.png")
    for path in folder.glob("deep/*"):
        path.unlink()
    (folder / "deep").rmdir()
    (folder / "labels.tsv").write_text(FULL)
    assert [len(part) for part in open_dataset(folder)] == [2, 2]


def test_the_photographs(real_data):
    part = LabelledFolder(real_data / "imagenet-photos-250")
    with open(real_data / "imagenet-photos-250" / "labels.tsv", newline="") as file:
        rows = list(csv.DictReader(file, delimiter="\t"))
    assert len(part) == len(part.classes) == 250
    assert part.class_numbers[part.labels].tolist() == [int(row["imagenet_index"]) for row in rows]
    assert [part.classes[label] for label in part.labels] == [row["name"] for row in rows]
    np.testing.assert_array_equal(part.image(7), load_image(real_data / "imagenet-photos-250" / rows[7]["file"]))

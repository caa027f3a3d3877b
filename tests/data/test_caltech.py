"""Caltech-101 and Caltech-256 in their own layouts on disk, whole and broken; and where to get a set that is not there."""

import numpy as np
import pytest
from PIL import Image
from refusing import refusal

from zfnumpy.cli import main
from zfnumpy.data import Caltech, load_image, open_dataset

SMALL_101 = {"Faces": 3, "BACKGROUND_Google": 4, "accordion": 2, "yin_yang": 2}
SMALL_256 = {"001.ak47": 2, "002.american-flag": 3, "257.clutter": 4, "256.toad": 2}


def written(root, classes, name):
    for k, (folder, count) in enumerate(classes.items()):
        (root / folder).mkdir(parents=True)
        for i in range(1, count + 1):
            Image.new("RGB", (20, 15), (40 * k, 10 * i, 0)).save(root / folder / name(folder, i))
    return root


@pytest.fixture
def objects(tmp_path):
    """Caltech-101 with three classes, beside its outlines."""
    (tmp_path / "caltech-101" / "Annotations").mkdir(parents=True)
    return written(tmp_path / "caltech-101" / "101_ObjectCategories", SMALL_101, lambda _, i: f"image_{i:04}.jpg")


@pytest.fixture
def more_objects(tmp_path):
    """Caltech-256 with three classes, and a file in one that is no picture, as the real one has."""
    root = written(tmp_path / "256_ObjectCategories", SMALL_256, lambda folder, i: f"{folder[:3]}_{i:04}.jpg")
    (root / "002.american-flag" / "RENAME2").touch()
    (root / "257.clutter" / "notes").touch()
    return root


def test_caltech_101(objects):
    """The clutter is no class: 3, 2 and 2 pictures are left, of which each class gives one for validation."""
    for root in (objects, objects.parent):
        data = Caltech(root)
        assert data.classes == ["Faces", "accordion", "yin_yang"]
        assert data.labels.tolist() == [0, 0, 0, 1, 1, 2, 2]
        assert data.labels.dtype == np.int64
        assert data.name(3) == str(objects / "accordion" / "image_0001.jpg")
        np.testing.assert_array_equal(data.image(6), load_image(objects / "yin_yang" / "image_0002.jpg"))
        assert data.skipped == []
        train, val = open_dataset(root, 0.1)
        assert train.classes == val.classes == data.classes
        assert (np.bincount(train.labels).tolist(), np.bincount(val.labels).tolist()) == ([2, 1, 1], [1, 1, 1])
        assert not any("BACKGROUND" in path for path in train.paths + val.paths)


def test_caltech_256(more_objects):
    for root in (more_objects, more_objects.parent):
        data = Caltech(root)
        assert data.classes == ["ak47", "american-flag", "toad"]
        assert np.bincount(data.labels).tolist() == [2, 3, 2]
        assert data.name(6) == str(more_objects / "256.toad" / "256_0002.jpg")
        assert [path for path, _ in data.skipped] == [str(more_objects / "002.american-flag" / "RENAME2")]
        assert open_dataset(root)[0].classes == data.classes


def test_the_folder_may_be_called_otherwise(objects, more_objects):
    """Then the clutter tells what it is; and no picture need be in that."""
    for root in (objects, more_objects):
        moved = root.rename(root.parent / "photographs")
        assert len(open_dataset(moved)[0].classes) == 3
        for clutter in ("BACKGROUND_Google", "257.clutter"):
            if (moved / clutter).exists():
                for path in (moved / clutter).iterdir():
                    path.unlink()
        assert len(open_dataset(moved)[0].classes) == 3


def test_one_of_two(objects, more_objects):
    more_objects.rename(objects.parent / more_objects.name)
    for open_it in (Caltech, open_dataset):
        assert "holds both 101_ObjectCategories and 256_ObjectCategories: name one" in refusal(open_it, objects.parent)
    assert Caltech(objects).classes[0] == "Faces"


def test_broken(objects, tmp_path):
    (objects / "yin_yang" / "image_0001.jpg").write_text("no picture")
    data = Caltech(objects)
    assert "image_0001.jpg" in refusal(data.image, 5)
    (objects / "buddha").mkdir()
    assert "no pictures in 1 of 4 class folders (buddha)" in refusal(open_dataset, objects.parent)
    one = written(tmp_path / "one" / "101_ObjectCategories", {"Faces": 2, "BACKGROUND_Google": 2}, lambda _, i: f"{i}.jpg")
    assert "two or more of them; found only Faces" in refusal(open_dataset, one.parent)


@pytest.mark.parametrize(("name", "address", "layout"), [
    ("caltech-101", "data.caltech.edu/records/mzrjq-6wc02", "101_ObjectCategories/<class>/image_0001.jpg"),
    ("101_ObjectCategories", "data.caltech.edu/records/mzrjq-6wc02", "101_ObjectCategories"),
    ("Caltech256", "data.caltech.edu/records/nyy15-4j048", "256_ObjectCategories/001.ak47/001_0001.jpg"),
    ("VOCdevkit", "host.robots.ox.ac.uk/pascal/VOC/voc2012", "ImageSets/Main"),
    ("CUB_200_2011", "data.caltech.edu/records/65de6-vp158", "image_class_labels.txt"),
    ("tiny-imagenet-200", "cs231n.stanford.edu", "wnids.txt")])
def test_where_to_get_what_is_not_there(tmp_path, name, address, layout):
    """Both where the folder is missing and where it is empty."""
    root = tmp_path / name
    for told in ("No such file or directory", "no data set in a layout that is known"):
        message = refusal(open_dataset, root)
        assert all(text in message for text in (told, str(root), address, layout)), message
        root.mkdir(exist_ok=True)


def test_other_folders_are_told_of_no_set(tmp_path):
    (tmp_path / "photos256").mkdir()
    assert "http" not in refusal(open_dataset, tmp_path / "photos256")
    assert "http" not in refusal(open_dataset, tmp_path / "photos101")
    message = refusal(Caltech, tmp_path)
    assert "mzrjq-6wc02" in message
    assert "nyy15-4j048" in message


def test_a_part_of_a_known_name_is_opened_all_the_same(tmp_path):
    """A folder of one's own whose name a set's lies in, with its classes below train/."""
    written(tmp_path / "vocal" / "train", {"alto": 2, "bass": 2}, lambda _, i: f"{i}.png")
    assert open_dataset(tmp_path / "vocal")[0].classes == ["alto", "bass"]


def test_it_can_be_trained_on(objects, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["train", str(objects.parent), "--conv", "4,4,4,4,4", "--gap-head", "--epochs", "1", "--batch-size", "2",
                 "--no-estimate", "--out", "run"]) == 0
    capsys.readouterr()
    assert main(["train", "caltech101", "--epochs", "1", "--out", "none"]) == 2
    told = capsys.readouterr().err
    assert "get Caltech-101 from https://" in told
    assert told.count("\n") == 1

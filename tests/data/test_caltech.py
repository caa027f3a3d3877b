"""Caltech-101 and -256 in their real form on disk, whole and broken."""

import pytest
from PIL import Image

from zfnumpy.data import Caltech, open_dataset
from zfnumpy.errors import DataError


def tree(root, folders):
    for folder, files in folders.items():
        (root / folder).mkdir(parents=True)
        for file in files:
            Image.new("RGB", (30, 20), (9, 9, 9)).save(root / folder / file)
    return root


@pytest.fixture
def caltech101(tmp_path):
    root = tree(tmp_path / "caltech-101" / "101_ObjectCategories", {
        "BACKGROUND_Google": ["image_0001.jpg", "image_0002.jpg"], "accordion": ["image_0001.jpg", "image_0002.jpg"],
        "Faces_easy": ["image_0001.jpg", "image_0002.jpg", "image_0003.jpg"]})
    (root / "BACKGROUND_Google" / "tmp").write_text("")
    return root


@pytest.fixture
def caltech256(tmp_path):
    return tree(tmp_path / "256_ObjectCategories", {
        "001.ak47": ["001_0001.jpg", "001_0002.jpg"], "002.american-flag": ["002_0001.jpg", "002_0002.jpg"],
        "257.clutter": ["257_0001.jpg"]})


def test_the_clutter_is_no_class(caltech101, caltech256):
    for root in (caltech101, caltech101.parent):
        found = Caltech(root)
        assert (found.classes, found.labels.tolist()) == (["Faces_easy", "accordion"], [0, 0, 0, 1, 1])
        assert found.skipped == []
        assert found.image(4).shape == (20, 30, 3)
    found = Caltech(caltech256)
    assert (found.classes, found.labels.tolist()) == (["ak47", "american-flag"], [0, 0, 1, 1])
    assert found.name(2).endswith("002_0001.jpg")


def test_training_opens_it(caltech101):
    train, val = open_dataset(caltech101.parent, 0.3)
    assert train.classes == val.classes == ["Faces_easy", "accordion"]
    assert (len(train), len(val)) == (3, 2)


def test_a_set_that_is_not_there_says_where_to_get_it(tmp_path):
    with pytest.raises(DataError, match=r"holds neither 101_ObjectCategories nor .*caltech.edu/records/mzrjq-6wc02"):
        Caltech(tmp_path)
    for name, where in (("caltech101", "mzrjq-6wc02.*101_ObjectCategories/<class>/image_0001.jpg"),
                        ("256_ObjectCategories", "nyy15-4j048.*001.ak47"), ("VOCdevkit", "voc2012/ .*ImageSets/Main"),
                        ("CUB_200_2011", "65de6-vp158.*image_class_labels.txt"), ("tiny-imagenet-200", "wnids.txt")):
        with pytest.raises(DataError, match=f"there is no folder .*{name}: get .* from .*{where}") as caught:
            open_dataset(tmp_path / name)
        assert "\n" not in str(caught.value)
    with pytest.raises(DataError, match=r"there is no folder .*photos$"):
        open_dataset(tmp_path / "photos")


def test_malformed_sets(tmp_path):
    only = tree(tmp_path / "a" / "256_ObjectCategories", {"001.ak47": ["001_0001.jpg"], "257.clutter": ["257_0001.jpg"]})
    with pytest.raises(DataError, match="two classes or more beside the clutter, got 1"):
        Caltech(only)
    empty = tree(tmp_path / "b" / "101_ObjectCategories", {"BACKGROUND_Google": ["image_0001.jpg"], "accordion": [],
                                                           "anchor": ["image_0001.jpg"]})
    with pytest.raises(DataError, match=r"no pictures in 1 of 3 class folders \(accordion\)"):
        Caltech(empty)

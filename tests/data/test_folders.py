"""The layouts on disk that data sets are opened from, whole and broken."""

import shutil

import numpy as np
import pytest
from PIL import Image
from refusing import refusal

from zfnumpy.data import ImageArray, ImageFolder, TinyImageNet, load_image, open_dataset


def picture(path, shade=100):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (8, 6), (shade, shade, shade)).save(path)


@pytest.fixture
def classes(tmp_path):
    """A folder of three classes with 5, 3 and 1 pictures, and some clutter."""
    root = tmp_path / "pets"
    for name, count in [("dog", 5), ("Cat", 3), ("ant", 1)]:
        for i in range(count):
            picture(root / name / f"{i}.png", shade=10 * i)
    picture(root / ".hidden" / "0.png")
    picture(root / "dog" / ".thumbs" / "0.png")
    picture(root / "dog" / "._0.png")
    (root / "README").touch()
    (root / "dog" / "notes.txt").touch()
    return root


@pytest.fixture
def tiny(tmp_path):
    """Tiny-ImageNet in small: three classes, of which two share their first word."""
    root = tmp_path / "tiny"
    wnids = ["n03", "n01", "n02"]
    root.mkdir()
    (root / "wnids.txt").write_text("\n".join(wnids) + "\n")
    (root / "words.txt").write_text("n01\tcrane\nn02\tcrane, a bird\nn03\tfish, Piscis\nn99\tunused\n")
    for k, wnid in enumerate(wnids):
        for i in range(3):
            picture(root / "train" / wnid / "images" / f"{wnid}_{i}.JPEG", shade=50 * k)
        boxes = f"{wnid}_0.JPEG\t1\t2\t3\t{k}\n{wnid}_1.JPEG\t0\t0\t7\t5\n"
        (root / "train" / wnid / f"{wnid}_boxes.txt").write_text(boxes)
    lines = [f"val_{i}.JPEG\t{wnids[i % 3]}\t{i}\t1\t6\t5\n" for i in range(6)]
    for i in range(6):
        picture(root / "val" / "images" / f"val_{i}.JPEG", shade=20 * i)
    (root / "val" / "val_annotations.txt").write_text("".join(lines))
    return root


def test_folder_of_classes(classes):
    data = ImageFolder(classes)
    assert data.classes == ["Cat", "ant", "dog"]
    assert len(data) == 9
    assert data.labels.tolist() == [0] * 3 + [1] + [2] * 5
    assert data.labels.dtype == np.int64
    assert data.name(4) == str(classes / "dog" / "0.png")
    np.testing.assert_array_equal(data.image(6), np.full((6, 8, 3), 20))
    assert [path for path, reason in data.skipped] == [str(classes / "dog" / "notes.txt")]


def test_pictures_are_found_at_any_depth(tmp_path):
    for wnid in ("n01", "n02"):
        picture(tmp_path / wnid / "images" / "a.JPEG")
        picture(tmp_path / wnid / "b.JPEG")
    assert ImageFolder(tmp_path).labels.tolist() == [0, 0, 1, 1]


def test_a_damaged_picture_is_found_when_it_is_read(classes):
    (classes / "ant" / "0.png").write_text("no picture")
    data = ImageFolder(classes)
    assert len(data) == 9
    assert "0.png" in refusal(data.image, 3)


def test_subset(classes):
    data = ImageFolder(classes)
    for indices in ([8, 0], np.array([8, 0]), slice(8, None, -8)):
        part = data.subset(indices)
        assert part.paths == [data.paths[8], data.paths[0]]
        assert part.labels.tolist() == [2, 0]
        assert part.classes == data.classes
    assert data.subset(data.labels == 2).paths == data.paths[4:]
    assert len(data.subset([])) == 0
    assert len(data) == 9
    assert "9 pictures" in refusal(data.subset, [9])


def test_folders_that_cannot_be_used(tmp_path, classes):
    assert "missing" in refusal(ImageFolder, tmp_path / "missing")
    assert "found none" in refusal(ImageFolder, classes / "ant")
    (classes / "empty").mkdir()
    (classes / "bare").mkdir()
    assert "2 of 5 class folders (bare, empty)" in refusal(ImageFolder, classes)
    for name in ("empty", "bare", "Cat", "ant"):
        shutil.rmtree(classes / name)
    assert "only dog" in refusal(ImageFolder, classes)
    assert "README" in refusal(open_dataset, classes / "README")


def test_open_splits_by_class(tmp_path, classes):
    train, val = open_dataset(classes, val_fraction=0.3, seed=1)
    assert train.classes == val.classes == ["Cat", "ant", "dog"]
    assert np.bincount(val.labels, minlength=3).tolist() == [1, 0, 2]
    assert sorted(train.paths + val.paths) == sorted(ImageFolder(classes).paths)
    assert len(train.skipped) == 1
    assert val.skipped == []
    again = open_dataset(classes, val_fraction=0.3, seed=1)
    assert (again[0].paths, again[1].paths) == (train.paths, val.paths)
    assert len({tuple(open_dataset(classes, 0.3, seed)[1].paths) for seed in range(8)}) > 1
    few = open_dataset(classes, val_fraction=0.01)[1]
    assert np.bincount(few.labels, minlength=3).tolist() == [1, 0, 1]
    most = open_dataset(classes, val_fraction=0.99)[0]
    assert np.bincount(most.labels, minlength=3).tolist() == [1, 1, 1]
    assert "got 1.5" in refusal(open_dataset, classes, 1.5)
    for name in "ab":
        picture(tmp_path / "single" / name / "0.png")
    assert "only one picture" in refusal(open_dataset, tmp_path / "single")


@pytest.mark.parametrize("val_name", ["val", "valid", "validation", "test"])
def test_open_train_beside_validation(tmp_path, classes, val_name):
    root = tmp_path / "both"
    shutil.copytree(classes, root / "train")
    shutil.copytree(classes, root / val_name)
    (root / val_name / "dog" / "0.png").unlink()
    train, val = open_dataset(root)
    assert (len(train), len(val)) == (9, 8)
    assert all(f"/{val_name}/" in path for path in val.paths)
    (root / val_name / "ant").rename(root / val_name / "bee")
    message = refusal(open_dataset, root)
    assert "only in train/: ant" in message
    assert f"only in {val_name}/: bee" in message


def test_open_train_alone_is_split(tmp_path, classes):
    shutil.copytree(classes, tmp_path / "alone" / "train")
    train, val = open_dataset(tmp_path / "alone")
    assert len(train) + len(val) == 9
    assert train.classes == ["Cat", "ant", "dog"]


def test_a_class_may_be_called_train(tmp_path):
    for name in ("bus", "train"):
        for i in range(2):
            picture(tmp_path / name / f"{i}.png")
    assert open_dataset(tmp_path)[0].classes == ["bus", "train"]


def test_tiny_imagenet(tiny):
    train, val = open_dataset(tiny)
    assert isinstance(train, TinyImageNet)
    assert train.wnids == ["n03", "n01", "n02"]
    assert train.classes == val.classes == ["fish", "crane (n01)", "crane (n02)"]
    assert train.labels.tolist() == [0] * 3 + [1] * 3 + [2] * 3
    assert train.boxes.dtype == np.float32
    np.testing.assert_array_equal(train.boxes[:3], [[1, 2, 4, 1], [0, 0, 8, 6], [np.nan] * 4])    # half-open
    assert val.labels.tolist() == [0, 1, 2, 0, 1, 2]
    np.testing.assert_array_equal(val.boxes[:, 0], np.arange(6))
    np.testing.assert_array_equal(val.image(5), load_image(tiny / "val/images/val_5.JPEG"))
    part = val.subset([4, 1])
    assert part.boxes[:, 0].tolist() == [4, 1]
    assert part.labels.tolist() == [1, 1]


def test_tiny_imagenet_with_pictures_missing(tiny):
    (tiny / "train/n03/images/n03_1.JPEG").unlink()
    (tiny / "train/n03/images/notes.txt").touch()
    (tiny / "train/n01/n01_boxes.txt").unlink()
    (tiny / "val/images/val_2.JPEG").unlink()
    train, val = open_dataset(tiny)
    assert [path.split("/")[-1] for path, reason in train.skipped] == ["notes.txt", "n03_1.JPEG"]
    assert len(train) == 8
    assert np.isnan(train.boxes[2:5]).all()
    assert val.skipped == [(str(tiny / "val/images/val_2.JPEG"), "listed, but no such file")]
    assert len(val) == 5


def appended(path, text):
    path.write_text(path.read_text() + text)


@pytest.mark.parametrize(
    ("file", "text", "expected"),
    [
        ("wnids.txt", "n01\n", "wnids.txt, line 4: n01 stands there twice, first in line 2"),
        ("wnids.txt", "n04 n05\n", "wnids.txt, line 4: expected 1 columns, got 2"),
        ("wnids.txt", "n04\n", "n04"),
        ("words.txt", "n05 no tab\n", "words.txt, line 5"),
        ("val/val_annotations.txt", "val_0.JPEG n01 0 0 1\n", "val_annotations.txt, line 7: expected 6 columns, got 5"),
        ("val/val_annotations.txt", "val_0.JPEG n09 0 0 1 1\n", "val_annotations.txt, line 7: class 'n09'"),
        ("val/val_annotations.txt", "val_0.JPEG n01 0 0 1 x\n", "val_annotations.txt, line 7: the box"),
        ("val/val_annotations.txt", "val_0.JPEG n01 0 0 1 inf\n", "val_annotations.txt, line 7: the box"),
        ("train/n01/n01_boxes.txt", "n01_2.JPEG 0 0 1\n", "n01_boxes.txt, line 3: expected 5 columns, got 4"),
    ],
)
def test_tiny_imagenet_with_malformed_lists(tiny, file, text, expected):
    appended(tiny / file, text)
    assert expected in refusal(open_dataset, tiny)


@pytest.mark.parametrize("file", ["words.txt", "val/val_annotations.txt", "val/images", "train/n01"])
def test_tiny_imagenet_with_parts_missing(tiny, file):
    (tiny / file).rename(tiny / "elsewhere")
    assert file in refusal(open_dataset, tiny)


def test_tiny_imagenet_lists_that_are_no_text(tiny):
    (tiny / "words.txt").write_bytes(b"n01\t\xff\xfe")
    assert "words.txt" in refusal(open_dataset, tiny)
    assert "'test'" in refusal(TinyImageNet, tiny, "test")


def test_arrays_in_memory():
    images = np.arange(4 * 2 * 2 * 3, dtype=np.uint8).reshape(4, 2, 2, 3)
    data = ImageArray(images, [0, 1, 1, 0], ["a", "b"])
    assert len(data) == 4
    assert data.labels.dtype == np.int64
    assert data.name(3) == "picture 3"
    np.testing.assert_array_equal(data.image(2), images[2])
    part = data.subset([3, 1])
    np.testing.assert_array_equal(part.images, images[[3, 1]])
    assert part.labels.tolist() == [0, 1]
    assert "float64" in refusal(ImageArray, images / 255, [0] * 4, ["a", "b"])
    assert "(2, 2, 3)" in refusal(ImageArray, images[0], [0], ["a", "b"])
    assert "label 2 of picture 1 lies outside 0..1" in refusal(ImageArray, images, [0, 2, 0, 0], ["a", "b"])
    assert "(4,) integers, got (3,)" in refusal(ImageArray, images, [0, 1, 0], ["a", "b"])
    assert "float64" in refusal(ImageArray, images, [0.0, 1, 0, 0], ["a", "b"])


def test_real_tiny_imagenet(real_data):
    train, val = open_dataset(real_data / "tiny-imagenet-20")
    assert (len(train), len(val)) == (20 * 500, 20 * 50)
    assert len(set(train.classes)) == 20
    assert "goldfish" in train.classes
    assert (train.skipped, val.skipped) == ([], [])
    for data in (train, val):
        assert (data.boxes >= 0).all()
        assert (data.boxes <= 64).all()
        assert len(set(np.bincount(data.labels))) == 1
        assert data.image(len(data) - 1).shape == (64, 64, 3)

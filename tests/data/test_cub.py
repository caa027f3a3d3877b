"""CUB-200-2011 in its own layout on disk, whole and broken."""

import numpy as np
import pytest
from PIL import Image
from refusing import refusal

from zfnumpy.cli import main
from zfnumpy.data import Cub200, load_image, open_dataset

# Identifiers with gaps, of images and of classes, as in a part of the set.
IMAGES = {1: "001.Crow/a b.jpg", 4: "001.Crow/c.jpg", 9: "007.Black_Tern/d.jpg", 12: "007.Black_Tern/e.jpg"}


def write(root, name, lines):
    (root / name).parent.mkdir(parents=True, exist_ok=True)
    (root / name).write_text("".join(f"{line}\n" for line in lines))


@pytest.fixture
def birds(tmp_path):
    """Two classes of two pictures of 40 × 30 pixels, one of each for training."""
    root = tmp_path / "birds"
    for k, file in enumerate(IMAGES.values()):
        (root / "images" / file).parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (40, 30), (50 * k, 0, 0)).save(root / "images" / file)
    write(root, "images.txt", [f"{key} {file}" for key, file in IMAGES.items()])
    write(root, "classes.txt", ["1 001.Crow", "7 007.Black_Tern"])
    write(root, "image_class_labels.txt", ["1 1", "4 1", "9 7", "12 7"])
    write(root, "train_test_split.txt", ["1 1", "4 0", "9 1", "12 0"])
    write(root, "bounding_boxes.txt", [f"{key} {k}.0 2.0 24.0 12.0" for k, key in enumerate(IMAGES)])
    write(root, "parts/parts.txt", ["1 back", "2 left eye"])
    write(root, "parts/part_locs.txt", [f"{key} {part} {10 * part + k}.5 6.0 {int(part == 1 or k < 2)}"
                                        for k, key in enumerate(IMAGES) for part in (1, 2)])
    return root


def test_the_set(birds):
    train, test = open_dataset(birds)
    assert isinstance(train, Cub200)
    assert train.classes == test.classes == ["Crow", "Black_Tern"]
    assert (train.labels.tolist(), test.labels.tolist()) == ([0, 1], [0, 1])
    assert [train.name(0), test.name(1)] == [str(birds / "images" / IMAGES[key]) for key in (1, 12)]
    np.testing.assert_array_equal(test.image(1), load_image(birds / "images" / IMAGES[12]))
    # x, y, width, height of 1, 2, 24, 12 reach from 1, 2 up to 25, 14.
    assert test.boxes.dtype == np.float32
    assert test.boxes.tolist() == [[1, 2, 25, 14], [3, 2, 27, 14]]
    # A twelfth of the longer side, 24 pixels, is 2; the second part of the last picture cannot be seen.
    assert test.parts(0) == {"back": (11.5, 6, 2), "left eye": (21.5, 6, 2)}
    assert test.parts(1) == {"back": (13.5, 6, 2)}
    part = test.subset([1])
    assert (part.boxes.tolist(), part.parts(0)) == ([[3, 2, 27, 14]], {"back": (13.5, 6, 2)})
    assert "splits train and test, got 'val'" in refusal(Cub200, birds, "val")


def test_pictures_listed_but_missing(birds):
    (birds / "images" / IMAGES[4]).unlink()
    train, test = open_dataset(birds)
    assert (len(train), train.skipped) == (2, [])
    assert test.skipped == [(str(birds / "images" / IMAGES[4]), "listed, but no such file")]
    assert test.boxes.tolist() == [[3, 2, 27, 14]]
    (birds / "images" / IMAGES[12]).unlink()
    assert "none of the test pictures listed is there (2 are missing)" in refusal(open_dataset, birds)


@pytest.mark.parametrize(("file", "line", "expected"), [
    ("images.txt", "4 d.jpg", "images.txt, line 5: 4 stands there twice, first in line 2"),
    ("images.txt", "20", "images.txt, line 5: expected 2 columns, got 1"),
    ("images.txt", "20 001.Crow/z.jpg", "image_class_labels.txt: image 20 of images.txt is not in it"),
    ("classes.txt", "7 again", "classes.txt, line 3: 7 stands there twice, first in line 2"),
    ("image_class_labels.txt", "20 1", "image_class_labels.txt, line 5: there is no image '20' in images.txt"),
    ("image_class_labels.txt", "9 1", "image_class_labels.txt, line 5: 9 stands there twice, first in line 3"),
    ("image_class_labels.txt", "9 1 1", "image_class_labels.txt, line 5: expected 2 columns, got 3"),
    ("train_test_split.txt", "20 1", "train_test_split.txt, line 5: there is no image '20'"),
    ("bounding_boxes.txt", "9 0 0 1", "bounding_boxes.txt, line 5: expected 5 columns, got 4"),
    ("parts/parts.txt", "3", "parts.txt, line 3: expected 2 columns, got 1"),
    ("parts/part_locs.txt", "9 3 0 0 0", "part_locs.txt, line 9: there is no part '3' in parts.txt"),
    ("parts/part_locs.txt", "20 1 0 0 0", "part_locs.txt, line 9: there is no image '20'"),
    ("parts/part_locs.txt", "9 1 0 0 0", "part_locs.txt, line 9: part 1 of image 9 stands there twice, first in line 5"),
    ("parts/part_locs.txt", "9 1 0 0", "part_locs.txt, line 9: expected 5 columns, got 4")])
def test_lists_that_do_not_fit(birds, file, line, expected):
    with open(birds / file, "a") as out:
        out.write(line + "\n")
    assert expected in refusal(open_dataset, birds)


@pytest.mark.parametrize(("file", "line", "expected"), [
    ("image_class_labels.txt", "1 3", "image_class_labels.txt, line 1: there is no class '3' in classes.txt"),
    ("train_test_split.txt", "1 2", "train_test_split.txt, line 1: expected 0 or 1, got '2'"),
    ("bounding_boxes.txt", "1 0 0 1 x", "bounding_boxes.txt, line 1: the box must be four numbers, got '0 0 1 x'"),
    ("bounding_boxes.txt", "1 0 nan 1 1", "bounding_boxes.txt, line 1: the box must be four numbers, got '0 nan 1 1'"),
    ("bounding_boxes.txt", "1 0 0 0 5", "bounding_boxes.txt, line 1: the box must have a width and a height above 0"),
    ("parts/part_locs.txt", "1 1 x 6 1", "part_locs.txt, line 1: a part's place must be two numbers, got 'x 6'"),
    ("parts/part_locs.txt", "1 1 5 6 2", "part_locs.txt, line 1: expected 0 or 1, got '2'")])
def test_lines_that_are_wrong(birds, file, line, expected):
    lines = (birds / file).read_text().splitlines()
    write(birds, file, [line, *lines[1:]])
    assert expected in refusal(open_dataset, birds)


@pytest.mark.parametrize("file", ["images.txt", "classes.txt", "train_test_split.txt", "bounding_boxes.txt",
                                  "parts/parts.txt", "parts/part_locs.txt"])
def test_lists_that_are_missing(birds, file):
    (birds / file).unlink()
    assert file in refusal(open_dataset, birds)


def test_commands_work_on_it(birds, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["train", "birds", "--conv", "4,4,4,4,4", "--gap-head", "--epochs", "1", "--batch-size", "2",
                 "--no-estimate", "--out", "run"]) == 0
    assert main(["evaluate", "run", "--data", "birds"]) == 0
    capsys.readouterr()
    assert main(["see", "localize", "run", "--data", "birds", "--out", "seen"]) == 0
    assert "2 pictures with a true box" in capsys.readouterr().out
    (birds / "bounding_boxes.txt").write_text("1 0 0\n")
    assert main(["evaluate", "run", "--data", "birds"]) == 2
    assert capsys.readouterr().err.count("\n") == 1


def test_the_real_ones(real_data):
    train, test = open_dataset(real_data / "cub-10")
    assert len(train) + len(test) == 543
    assert len(train.classes) == 10
    assert train.classes[0] == "Black_footed_Albatross"
    assert (train.skipped, test.skipped) == ([], [])
    assert len(train.part_names) == 15
    for part in (train, test):
        assert set(np.bincount(part.labels) > 10) == {True}
        for i in (0, len(part) - 1):
            H, W = part.image(i).shape[:2]
            assert (part.boxes[i] >= 0).all()
            assert (part.boxes[i] <= [W, H, W, H]).all()
            x0, y0, x1, y1 = part.boxes[i]
            assert part.parts(i)
            assert all(x0 - 5 <= x <= x1 + 5 and y0 - 5 <= y <= y1 + 5 for x, y, _ in part.parts(i).values())

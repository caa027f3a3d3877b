"""`zfnumpy see neighbours`, `embedding`, `class-image` and `fool`, as a user gives them."""

import json

import numpy as np
import pytest
from PIL import Image

from zfnumpy import checkpoint, get_ops, models
from zfnumpy.cli import main

CLASSES = ["blue", "green", "red"]


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    """Three classes of eight pictures each: noise with one channel raised."""
    folder, rng = tmp_path_factory.mktemp("data"), np.random.default_rng(0)
    for k, name in enumerate(CLASSES):
        (folder / name).mkdir()
        for i in range(8):
            pixels = rng.integers(0, 90, (66, 70, 3), dtype=np.uint8)
            pixels[:, :, 2 - k] += 160
            Image.fromarray(pixels).save(folder / name / f"{i}.png")
    return folder


@pytest.fixture(scope="module")
def network(tmp_path_factory):
    net = models.tiny_vgg(3, ops=get_ops("numpy"))
    net.classes = CLASSES
    path = tmp_path_factory.mktemp("net") / "net.safetensors"
    checkpoint.save(path, net)
    return path


@pytest.fixture
def see(capsys, network, tmp_path, monkeypatch):
    """Run `zfnumpy see WHAT NETWORK …` into tmp_path: (output, folder)."""
    monkeypatch.chdir(tmp_path)

    def call(what, *arguments, code=0):
        capsys.readouterr()
        found = main(["see", what, str(network), *map(str, arguments), "--backend", "numpy"])
        captured = capsys.readouterr()
        assert found == code, captured.err
        assert code or not captured.err
        return captured.err if code else captured.out

    return call


def opened(path):
    with Image.open(path) as picture:
        assert picture.format == "PNG"
        return np.asarray(picture.convert("RGB"))


def test_neighbours(see, photos, tmp_path):
    out = see("neighbours", "--data", photos, "--train-set", "--k", "3", "--pick", "0,9", "--metric", "cosine")
    assert "in pool2 (1690 features)" in out
    assert opened("neighbours_pool2.png").shape[1] > 600
    about = json.loads((tmp_path / "neighbours_pool2.json").read_text())
    assert [line["picture"] for line in about["queries"]] == [0, 9]
    assert about["share"] > about["chance"]
    see("neighbours", "--data", photos, "--train-set", "--layer", "conv1_1", "--average", "--count", "6", "--pick", "5")
    assert np.load("neighbours_conv1_1.npz")["queries"].tolist() == [5]
    see("neighbours", "--data", photos, "--train-set", "--out", "all")
    queries = json.loads((tmp_path / "all" / "neighbours_pool2.json").read_text())["queries"]
    assert len(queries) == 8


@pytest.mark.parametrize(("arguments", "message"), [
    (["--pick", "0,x"], "--pick takes whole numbers, as 0,5,9; got '0,x'"), (["--pick", "99"], "--pick 99:"),
    (["--layer", "conv7"], "tiny_vgg has no layer 'conv7'")])
def test_neighbours_that_are_not_there(see, photos, arguments, message):
    assert message in see("neighbours", "--data", photos, *arguments, code=2)


@pytest.mark.parametrize("method", ["pca", "tsne"])
def test_embedding(see, photos, tmp_path, method):
    if method == "tsne":
        pytest.importorskip("sklearn")
    out = see("embedding", "--data", photos, "--train-set", "--method", method, "--count", "12", "--out", method)
    assert "12 pictures by pool2" in out
    for name in ("scatter", "thumbnails", "grid"):
        assert opened(tmp_path / method / f"{name}.png").min() < 200
    assert np.load(tmp_path / method / f"embedding_{method}.npz")["points"].shape == (12, 2)


@pytest.mark.parametrize("count", [1, 2, 3])
def test_embedding_of_few_pictures(see, photos, count):
    for method in ("pca", "tsne"):
        see("embedding", "--data", photos, "--count", count, "--method", method)


def test_class_images(see, tmp_path):
    out = see("class-image", "--class", "red,0", "--steps", "3", "--starts", "2")
    assert out.splitlines()[0].startswith("red: ")
    assert out.count(": from ") == 4
    assert opened("class_images.png").shape[0] > 2 * 192
    assert np.load("class_images.npz")["images"].shape == (4, 3, 64, 64)
    see("class-image", "--steps", "2", "--out", "all")
    assert np.load(tmp_path / "all" / "class_images.npz")["units"].tolist() == [[0], [1], [2]]
    assert "conv1_2 map 4" in see("class-image", "--layer", "conv1_2", "--unit", "4,7", "--steps", "2")


@pytest.mark.parametrize(("arguments", "message"), [
    (["--class", "purple"], "has no class 'purple'"), (["--layer", "conv1_2"], "--layer and --unit go together"),
    (["--layer", "conv1_2", "--unit", "x"], "--unit takes whole numbers"), (["--lr", "nan"], "lr must be a number from 0"),
    (["--layer", "conv1_2", "--unit", "10"], "conv1_2 has no channel 10")])
def test_class_images_that_cannot_be(see, arguments, message):
    assert message in see("class-image", *arguments, code=2)


def test_fool(see, photos, tmp_path):
    """The PNG that is written is read again, and is what it is said to be."""
    out = see("fool", photos / "red" / "0.png", photos / "red" / "1.png", photos / "blue" / "0.png", "--steps", "6")
    lines = out.splitlines()
    assert len(lines) == 4
    assert opened("fooled.png").shape[1] > 3 * 192
    wanted = [line.split(" as read from ")[1] for line in lines[:3]]
    assert len({line.split(": ")[0] for line in wanted}) == 3
    about = json.loads((tmp_path / "fooled.json").read_text())["pictures"]
    for line, each in zip(wanted, about):
        path, said = line.split(": ")[:2]
        assert opened(path).shape == (64, 64, 3)
        assert each["fooled_as_saved"] == (said.split()[0] == CLASSES[each["wanted"]])
    out = see("fool", "--data", photos, "--pick", "0", "--class", "green", "--confidence", "0.5", "--steps", "3")
    assert "picture_0_as_green.png: " in out
    assert "has no class 'x'" in see("fool", photos / "red" / "0.png", "--class", "x", code=2)

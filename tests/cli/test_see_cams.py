"""`zfnumpy see cam`, `zfnumpy see localize`, and training networks with a GAP head."""

import json

import numpy as np
import pytest
from PIL import Image

import zfnumpy as zf
from zfnumpy import checkpoint
from zfnumpy.cli import main


@pytest.fixture(scope="module", autouse=True)
def drawn_elsewhere(tmp_path_factory):
    """Sketches are kept in a folder of the tests' own."""
    folder = tmp_path_factory.mktemp("cache")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("zfnumpy.data.sketches.dataset.cache_folder", folder.joinpath)
        yield folder


@pytest.fixture(autouse=True)
def elsewhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def run(capsys):
    """Run a command line: its standard output."""
    def call(*arguments, code=0, err=""):
        capsys.readouterr()
        found = main([str(argument) for argument in arguments])
        captured = capsys.readouterr()
        assert (found, captured.err == "" if not code else err in captured.err) == (code, True), captured.err
        return captured.out
    return call


def opened(path):
    with Image.open(path) as picture:
        return picture.size


DATA = ("--data", "sketches:70")


def test_see_cam_on_sketches(run, tmp_path):
    out = run("see", "cam", "sketches_gap", *DATA, "--pick", "0,3,7", "--top", 2, "--out", "seen")
    assert out.count(" with the true one") == 6
    assert min(opened(tmp_path / "seen" / "cam.png")) > 400
    about = json.loads((tmp_path / "seen" / "cam.json").read_text())
    assert (about["method"], about["threshold"], len(about["maps"])) == ("cam", 0.2, 6)
    assert all(0 <= each["iou"] <= 1 for each in about["maps"])
    with np.load(tmp_path / "seen" / "cam.npz") as file:
        assert file["maps"].shape == (6, 8, 8)
        assert file["boxes"].shape == (6, 4)
        assert file["labels"].shape == (6,)


def test_see_cam_on_files_and_other_networks(run, tmp_path):
    pixels = np.random.default_rng(0).integers(0, 255, (40, 90, 3), np.uint8)
    Image.fromarray(pixels).save("wide.png")
    Image.fromarray(pixels[:, :, 0]).save("grey.png")
    Image.new("RGB", (1, 1)).save("dot.png")
    net = zf.models.tiny_vgg(3, zf.get_ops("numba"))
    net.classes = ["a", "b", "c"]
    checkpoint.save("vgg.safetensors", net)
    out = run("see", "cam", "vgg.safetensors", "wide.png", "grey.png", "dot.png", "--class", "b")
    assert out.count(": b ") == 3
    assert json.loads((tmp_path / "gradcam.json").read_text())["layer"] == "relu2_2"
    run("see", "cam", "vgg.safetensors", "wide.png", "--layer", "relu1_1", "--threshold", 0.5)
    assert json.loads((tmp_path / "gradcam.json").read_text())["layer"] == "relu1_1"
    (tmp_path / "broken.png").write_bytes(b"no picture")
    assert "passed over 1 file" in run("see", "cam", "vgg.safetensors", "wide.png", "broken.png", code=2)


@pytest.mark.parametrize(("arguments", "message"), [
    (["--class", "b", "--top", "2"], "leave one of them out"),
    (["--method", "cam", "--layer", "relu1_1"], "cam has a layer of its own"),
    (["--method", "cam"], "class activation maps need scores that are averages of maps"),
    (["--class", "d"], "has no class 'd'"), (["--layer", "fc"], "Grad-CAM needs maps"),
    (["--threshold", "1"], "a share of the map's maximum"), (["--layer", "conv9"], "has no layer 'conv9'")])
def test_see_cam_refuses(run, arguments, message):
    Image.new("RGB", (70, 70)).save("a.png")
    net = zf.models.tiny_vgg(3, zf.get_ops("numba"))
    net.classes = ["a", "b", "c"]
    checkpoint.save("vgg.safetensors", net)
    run("see", "cam", "vgg.safetensors", "a.png", *arguments, code=2, err=message)


def test_see_localize(run, tmp_path):
    out = run("see", "localize", "sketches_gap", *DATA, "--out", "seen")
    assert "10 pictures with a true box, top-1" in out
    for word in ("cam ", "gradcam ", "saliency ", "centred box "):
        assert word in out
    about = json.loads((tmp_path / "seen" / "localization.json").read_text())
    assert [row["method"] for row in about["rows"]] == ["cam", "gradcam", "saliency", "centred box"]
    for name in ("localization.png", "examples.png"):
        assert min(opened(tmp_path / "seen" / name)) > 300
    assert (tmp_path / "seen" / "localization.csv").exists()
    out = run("see", "localize", "sketches_gap", *DATA, "--out", "seen", "--methods", "gradcam")
    assert "saliency" not in out


def test_see_localize_without_class_names_takes_them_in_order(run):
    """As evaluate does: a network that names no classes was told that the data's are not among its own."""
    net = zf.models.sketches_gap(zf.get_ops("numpy"))
    net.classes = None
    checkpoint.save("unnamed.safetensors", net)
    named, unnamed = (run("see", "localize", name, *DATA, "--methods", "cam").splitlines()[:3]
                      for name in ("sketches_gap", "unnamed.safetensors"))
    assert named == unnamed


def test_see_localize_refuses(run, tmp_path):
    run("see", "localize", "sketches_gap", *DATA, "--methods", "lime", code=2, err="no way to localize named 'lime'")
    for name in zf.models.sketches_gap(zf.get_ops("numpy")).classes[:2]:
        (tmp_path / "photos" / name).mkdir(parents=True)
        for i in range(2):
            Image.new("RGB", (9, 9)).save(tmp_path / "photos" / name / f"{i}.png")
    run("see", "localize", "sketches_gap", "--data", "photos", code=2, err="the data set has no true boxes")


# ---- training ---------------------------------------------------------------------------------------------------------

QUICK = ("sketches:70", "--epochs", 1, "--batch-size", 30, "--no-estimate", "--out", "run")


@pytest.mark.parametrize(("arguments", "places", "tail"), [
    (["--model", "zfnet_mini", "--conv", "4,4,4,4,4", "--gap-head"], (8, 8), ["relu5", "gap", "cam_fc"]),
    (["--model", "zfnet_mini", "--conv", "4,4,4,4,4", "--gap-head", "3", "--gap-at", "relu2", "--dropout", "0.5"], (16, 16),
     ["cam_relu", "gap", "cam_drop", "cam_fc"]),
    (["--init-from", "sketches_gap", "--gap-head", "5", "--gap-at", "relu3", "--freeze-trunk"], (8, 8),
     ["cam_relu", "gap", "cam_fc"])])
def test_train_with_a_gap_head(run, arguments, places, tail):
    run("train", *QUICK, *arguments)
    net = checkpoint.load("run/last.safetensors", zf.get_ops("numba"))
    assert net.shapes[net.nodes["gap"].inputs[0]][1:] == places
    assert list(net.nodes)[-len(tail):] == tail
    if "--freeze-trunk" in arguments:
        trunk = zf.models.sketches_gap(zf.get_ops("numba"))
        assert {"conv1", "conv2", "conv3"} == net.frozen
        np.testing.assert_array_equal(net.params["conv3.weight"], trunk.params["conv3.weight"])
        assert net.preprocessing == trunk.preprocessing
    about = run("info", "run")
    assert "gap" in about


def test_training_refuses(run):
    run("train", *QUICK, "--gap-at", "relu2", code=2, err="--gap-at belongs to a --gap-head")
    run("train", *QUICK, "--freeze-trunk", code=2, err="--freeze-trunk belongs to a --gap-head")
    run("train", *QUICK, "--gap-head", "--gap-at", "relu9", code=2, err="has no layer 'relu9'")
    run("train", *QUICK, "--model", "tiny_vgg", "--conv", "1,2,3,4,5", code=2, err="tiny_vgg takes no --conv")
    run("train", *QUICK, "--conv", "4,4", code=2, err="conv must give five widths")

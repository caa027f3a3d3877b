"""`zfnumpy see occlusion` as a user gives it."""

import json
import re

import numpy as np
import pytest
from PIL import Image

from zfnumpy import checkpoint, get_ops, models
from zfnumpy.cli import main
from zfnumpy.data.transforms import Preprocessing
from zfnumpy.visualize import occlude

NET = models.zfnet_mini(3, get_ops("numpy"), conv=(4, 6, 0, 0, 4), fc=(5,))
NET.classes = ["blue", "green", "red"]
NET.preprocessing = Preprocessing(64, 64, np.full(3, 120, np.float32), 1 / 128)


@pytest.fixture
def folder(tmp_path):
    """A checkpoint and three pictures, one of them grey, and a file that is none."""
    checkpoint.save(tmp_path / "net.safetensors", NET)
    rng = np.random.default_rng(0)
    for name in ("a.png", "b.png", "sub/a.png"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        Image.fromarray(rng.integers(0, 256, (70, 80, 3), dtype=np.uint8)).save(tmp_path / name)
    Image.fromarray(np.full((64, 64), 90, np.uint8)).save(tmp_path / "grey.png")
    (tmp_path / "not.png").write_text("no picture")
    return tmp_path


@pytest.fixture
def see(folder, capsys):
    def call(*arguments, code=0):
        capsys.readouterr()
        found = main(["see", "occlusion", str(folder / "net.safetensors"), *map(str, arguments), "--backend", "numpy",
                      "--out", str(folder / "out")])
        captured = capsys.readouterr()
        assert found == code, captured.err
        return captured.err if code and not captured.out else captured.out

    return call


def test_a_figure_an_image(folder, see):
    out = see(folder / "a.png", folder / "sub" / "a.png", folder / "grey.png", "--size", 16, "--stride", 20)
    names = sorted(path.name for path in (folder / "out").iterdir())
    assert names == sorted(f"occlusion_{name}.{kind}" for name in ("a", "a_2", "grey") for kind in ("json", "npz", "png"))
    lines = out.splitlines()
    assert len(lines) == 4
    assert re.fullmatch(r".*a\.png: (blue|green|red) \d+\.\d\d%; least, \d+\.\d\d%, "
                        r"with the square around row \d+, column \d+", lines[0])
    assert lines[-1].endswith("occlusion_*.png, .npz and .json, 3 each")
    x = NET.prepare([np.asarray(Image.open(folder / "a.png"))])
    found = occlude(NET, x, 16, 20)
    with np.load(folder / "out" / "occlusion_a.npz") as kept:
        np.testing.assert_allclose(kept["probability"], found.probability, atol=1e-6)
        assert len(kept["projections"]) == 3                              # the two others that were named, beside its own
    row, column = found.worst()
    assert f"least, {found.probability.min():.2%}, with the square around row {row:.0f}, column {column:.0f}" in lines[0]


def test_what_is_asked_for(folder, see):
    out = see(folder / "a.png", "--size", 10, "--stride", 30, "--fill", "grey", "--class", "green", "--layer", "relu2")
    about = json.loads((folder / "out" / "occlusion_a.json").read_text())
    assert (about["class"], about["fill"], about["layer"], about["size"], about["stride"]) == (
        "green", "grey", "relu2", [10, 10], [30, 30])
    assert "green" in out.splitlines()[0]
    if about["label0"] != 1:
        assert f"(likeliest: {NET.classes[about['label0']]})" in out


def test_pictures_of_a_data_set_have_their_own_class(folder, see):
    for name, colour in (("blue", 2), ("red", 0)):
        (folder / "data" / name).mkdir(parents=True)
        for i in range(3):
            pixels = np.full((64, 64, 3), 40 + i, np.uint8)
            pixels[20:40, 10:30, colour] = 250
            Image.fromarray(pixels).save(folder / "data" / name / f"{i}.png")
    out = see("--data", folder / "data", "--val-fraction", "0.5", "--pick", "0,1", "--size", 16, "--stride", 32,
              "--others", folder / "data")
    kept = [json.loads((folder / "out" / f"occlusion_{i}.json").read_text()) for i in (0, 1)]
    assert {each["class"] for each in kept} <= {"blue", "red"}
    for line, each in zip(out.splitlines(), kept):
        assert each["class"] in line.split(":")[0]                        # the class is the folder's name


@pytest.mark.parametrize(("arguments", "words"), [
    (["--class", "pink"], "no class 'pink'"), (["--layer", "conv9"], "no layer 'conv9'"),
    (["--others", "nowhere"], "nowhere")])
def test_mistakes_are_one_line(folder, see, arguments, words):
    err = see(folder / "a.png", *arguments, code=2)
    assert words in err
    assert err.count("\n") == 1


def test_what_cannot_be_read_is_told(folder, see):
    out = see(folder / "a.png", folder / "not.png", "--stride", 40, code=2)
    assert "passed over 1 file" in out
    assert (folder / "out" / "occlusion_a.png").exists()
    assert "none of 1 pictures could be read" in see(folder / "not.png", code=2)

"""`zfnumpy experiment localization`."""

import json

import numpy as np
import pytest
from PIL import Image

from zfnumpy.cli import main


@pytest.fixture(autouse=True)
def elsewhere(tmp_path, monkeypatch):
    """A folder of the test's own, also for what is kept between runs; but for the compiled kernels."""
    for module in ("data.sketches.dataset", "experiments.features"):
        monkeypatch.setattr(f"zfnumpy.{module}.cache_folder", (tmp_path / "cache").joinpath)
    monkeypatch.chdir(tmp_path)


def test_on_sketches(tmp_path, capsys):
    pytest.importorskip("sklearn")
    assert main(["experiment", "localization", "--data", "sketches:70", "--per-class", "3", "--draws", "2"]) == 0
    assert "Boxes of cam are right more often" in capsys.readouterr().out
    folder = tmp_path / "experiments" / "localization"
    about = json.loads((folder / "localization.json").read_text())
    assert len(about["claims"]) == 4
    assert about["settings"]["features"] == "relu2"
    for figure in about["figures"]:
        with Image.open(folder / figure["file"]) as picture:
            assert min(picture.size) > 200
    with np.load(folder / "localization.npz") as file:
        assert file["accuracy"].shape == (4, 2)
        assert file["overlaps"].shape[2] == 10


def test_data_without_boxes_is_refused(tmp_path, capsys):
    for name in ("face", "cat"):
        (tmp_path / "photos" / name).mkdir(parents=True)
        for i in range(2):
            Image.new("RGB", (9, 9)).save(tmp_path / "photos" / name / f"{i}.png")
    assert main(["experiment", "localization", "--data", "photos", "--checkpoint", "sketches_gap"]) == 2
    told = capsys.readouterr().err
    assert "no true boxes" in told
    assert told.count("\n") == 1

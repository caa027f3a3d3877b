"""The studies as a user runs them, on a few sketches and with networks of one epoch: what is told, drawn and left behind."""

import json

import numpy as np
import pytest
from PIL import Image

from zfnumpy.cli import main

FAST = ["--data", "sketches:70", "--out", "o"]
TRAINED = [*FAST, "--epochs", "1", "--jobs", "1"]


@pytest.fixture(autouse=True)
def elsewhere(tmp_path, monkeypatch):
    """A folder of the test's own, also for what is kept between runs; but for the compiled kernels."""
    for module in ("data.sketches.dataset", "experiments.features"):
        monkeypatch.setattr(f"zfnumpy.{module}.cache_folder", (tmp_path / "cache").joinpath)
    monkeypatch.setattr("zfnumpy.experiments.jobs.SMALL", {"conv": (4, 4, 4, 4, 4), "fc": (4, 4)})
    monkeypatch.setattr("zfnumpy.experiments.ablation.SMALL", {"conv": (3, 3, 3, 3, 3), "fc": (4, 4)})
    monkeypatch.setattr("zfnumpy.experiments.architecture.SMALL", {"conv": (4, 4, 4, 4, 4), "fc": (4, 4)})
    monkeypatch.setattr("zfnumpy.experiments.generalization.EPOCH", 20)
    monkeypatch.chdir(tmp_path)


def studied(tmp_path, capsys, name, *more):
    """Run a study and return what its JSON holds, after a look at all that it left."""
    assert main(["experiment", name, *more]) == 0, capsys.readouterr().err
    out = capsys.readouterr().out
    folder = tmp_path / "o" / name
    about = json.loads((folder / f"{name}.json").read_text())
    assert about["claims"]
    for claim in about["claims"]:
        assert claim["says"] in out
        assert "nan" not in claim["found"]
    assert about["figures"]
    for figure in about["figures"]:
        with Image.open(folder / figure["file"]) as picture:
            assert min(picture.size) > 150
            assert np.asarray(picture.convert("L")).std() > 5, "nothing is drawn"
        assert figure["caption"].endswith(".")
    with np.load(folder / f"{name}.npz") as arrays:
        assert arrays.files
    assert f"study/{name}" in (tmp_path / "o" / "index.html").read_text()
    return about


def test_evolution_of_its_own_training_and_of_a_run(tmp_path, capsys):
    about = studied(tmp_path, capsys, "evolution", *FAST, "--epochs", "3", "--shown", "1,3", "--maps", "2")
    assert about["tables"][0]["columns"] == ["layer", "epoch 0", "epoch 1", "epoch 3", "settled at"]
    run = tmp_path / "o" / "evolution" / "network"
    about = studied(tmp_path, capsys, "evolution", *FAST, "--run", str(run), "--shown", "1,2,3", "--searched", "20")
    assert about["tables"][0]["columns"][1:4] == ["epoch 1", "epoch 2", "epoch 3"]
    (run / "epoch_002.safetensors").unlink()
    assert main(["experiment", "evolution", *FAST, "--run", str(run), "--shown", "1,2"]) == 2
    assert "has no checkpoint of epoch 2, of 3: train with --keep-all" in capsys.readouterr().err


def test_invariance(tmp_path, capsys):
    about = studied(tmp_path, capsys, "invariance", *FAST, "--count", "2")
    assert len(about["claims"]) == 4
    assert about["settings"]["network"] == "zfnet_mini"


def test_correspondence(tmp_path, capsys):
    studied(tmp_path, capsys, "correspondence", "--data", "sketches:700", "--out", "o", "--group", "2", "--parts",
            "left_eye,nose", "--count", "4")
    assert main(["experiment", "correspondence", *FAST, "--class", "dog"]) == 2
    assert "has no class 'dog'" in capsys.readouterr().err
    assert main(["experiment", "correspondence", *FAST]) == 2
    assert "two groups of 5 pictures" in capsys.readouterr().err


def test_architecture(tmp_path, capsys):
    about = studied(tmp_path, capsys, "architecture", *TRAINED, "--seeds", "1")
    assert len(about["tables"][0]["columns"]) == 5


def test_ablation(tmp_path, capsys):
    about = studied(tmp_path, capsys, "ablation", *TRAINED, "--seeds", "1", "--count", "20", "--variants",
                    "3, 4, 5 wider; 3, 4, 5 wider and 6, 7 twice as wide; without 7")
    assert [row[0] for row in about["tables"][0]["rows"]] == ["as it stands", "3, 4, 5 wider",
                                                            "3, 4, 5 wider and 6, 7 twice as wide", "without 7"]
    assert main(["experiment", "ablation", *TRAINED, "--variants", "without 9"]) == 2
    assert "there is no variant 'without 9'; there are as it stands" in capsys.readouterr().err


def test_ensemble(tmp_path, capsys):
    studied(tmp_path, capsys, "ensemble", *TRAINED, "--networks", "2")
    networks = tmp_path / "o" / "ensemble" / "networks"
    about = studied(tmp_path, capsys, "ensemble", *FAST, "--checkpoints", str(networks / "seed0"), str(networks / "seed1"))
    assert len(about["claims"]) == 2, "without a wide one"


def test_generalization_and_analysis_share_a_network(tmp_path, capsys):
    pytest.importorskip("sklearn")
    about = studied(tmp_path, capsys, "generalization", *FAST, "--counts", "1,3", "--splits", "2", "--jobs", "1")
    assert about["tables"][0]["rows"][1][0] == "from scratch"
    trained = (tmp_path / "o" / "half" / "half" / "last.safetensors").stat().st_mtime_ns
    studied(tmp_path, capsys, "analysis", *FAST, "--count", "3", "--splits", "2", "--layers", "pool1,relu7")
    assert (tmp_path / "o" / "half" / "half" / "last.safetensors").stat().st_mtime_ns == trained


def test_photographs_need_a_network(tmp_path, capsys):
    for name in ("a", "b"):
        (tmp_path / "photos" / name).mkdir(parents=True)
        for i in range(2):
            Image.new("RGB", (9, 9)).save(tmp_path / "photos" / name / f"{i}.png")
    for study in ("invariance", "generalization", "analysis", "correspondence"):
        assert main(["experiment", study, "--data", "photos", "--out", "o"]) == 2
        assert "name a network with --checkpoint that was trained on photos" in capsys.readouterr().err
    assert main(["experiment", "correspondence", "--data", "photos", "--checkpoint", "sketches_zfnet", "--out", "o"]) == 2
    assert "does not say where parts are" in capsys.readouterr().err

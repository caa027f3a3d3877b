"""`zfnumpy see truth` as a user gives it."""

import csv
import json
from argparse import Namespace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import zfnumpy as zf
from zfnumpy import checkpoint
from zfnumpy.cli import main
from zfnumpy.cli.common import open_pictures
from zfnumpy.layers import Conv2d, Flatten, Linear, MaxPool2d, ReLU
from zfnumpy.network import Network

FILES = ["perturbation.png", "randomization.json", "randomization.npz", "randomization.png", "randomized_maps.png",
         "truth.csv", "truth.json", "truth.npz", "truth.png", "truth_parts.csv"]


@pytest.fixture(scope="module")
def net_file(tmp_path_factory):
    nodes = [("conv1", Conv2d(4, 5, stride=2)), ("relu1", ReLU()), ("pool1", MaxPool2d(4)), ("flatten", Flatten()),
             ("fc2", Linear(10))]
    net = Network(nodes, (3, 64, 64), zf.get_ops("numba"), seed=1, preprocessing=zf.data.Preprocessing(
        64, 64, np.full(3, 120, np.float32), 1 / 128), classes=list(zf.data.sketches.CLASSES))
    path = tmp_path_factory.mktemp("net") / "small.safetensors"
    checkpoint.save(path, net)
    return path


@pytest.fixture(scope="module", autouse=True)
def drawn_elsewhere(tmp_path_factory):
    """Sketches are kept in a folder of the tests' own."""
    folder = tmp_path_factory.mktemp("cache")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("zfnumpy.data.sketches.dataset.cache_folder", lambda *parts: Path(folder, *parts))
        yield


@pytest.fixture(autouse=True)
def elsewhere(tmp_path, monkeypatch):
    """Nothing is written beside the repository."""
    monkeypatch.chdir(tmp_path)


def run(capsys, *arguments):
    code = main(["see", "truth", *map(str, arguments)])
    captured = capsys.readouterr()
    return code, captured.out, captured.err


def rows_of(path):
    with open(path, newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_on_sketches(capsys, net_file):
    code, out, err = run(capsys, net_file, "--data", "sketches:70", "--count", "3", "--steps", "4", "--out", "t",
                         "--methods", "edges,gradient")
    assert (code, err) == (0, "")
    assert out.startswith("3 pictures; the network is right about ")
    assert [line.split()[0] for line in out.splitlines()[3:6]] == ["gradient", "edges", "(chance)"]
    assert sorted(path.name for path in Path("t").iterdir()) == FILES
    rows = rows_of("t/truth.csv")
    assert [row["sanity"] for row in rows][1] == "fails"
    assert all(0 < float(row["energy"]) < 1 for row in rows)
    about = json.loads(Path("t/truth.json").read_text())
    assert about["pictures"] == 3
    assert {part["part"] for part in about["parts"]["edges"]}
    for name in FILES:
        if name.endswith("png"):
            with Image.open(Path("t", name)) as picture:
                picture.load()


def test_the_pictures_are_drawn_from_all_of_them_and_the_same_every_time(net_file):
    net = checkpoint.load(net_file, ops=zf.get_ops("numpy"))
    args = Namespace(images=[], data="sketches:140", pick=None, val_fraction=None, seed=None)
    drawn = [[picture.index for picture in open_pictures(args, net, 8)[0]] for _ in range(2)]
    assert drawn[0] == drawn[1] == sorted(set(drawn[0]))
    assert len(drawn[0]) == 8
    assert max(drawn[0]) > 12                                        # not the first eight of twenty
    assert [picture.index for picture in open_pictures(args, net)[0]] == [0, 1, 2, 3, 4, 5]
    assert len(open_pictures(args, net, 1000)[0]) == 20
    args.pick = "7,3"
    assert [picture.index for picture in open_pictures(args, net, 8)[0]] == [7, 3]


def test_on_files(capsys, net_file):
    rng = np.random.default_rng(0)
    for k in range(2):
        Image.fromarray(rng.integers(0, 255, (80, 70, 3), np.uint8)).save(f"{k}.png")
    Path("no_picture.png").write_text("")
    code, out, err = run(capsys, net_file, "0.png", "1.png", "no_picture.png", "--layers", "fc2", "--independent",
                         "--steps", "2", "--methods", "guided,centre", "--fill", "blur")
    assert (code, err) == (2, "")                                     # as of every command that passed over a file
    assert out.splitlines()[0] == "2 pictures"                       # whose class nobody said
    about = json.loads(Path("randomization.json").read_text())
    assert (about["layers"], about["cascading"]) == (["fc2"], False)
    rows = rows_of("truth.csv")
    assert [row["pointing"] for row in rows] == ["", ""]


@pytest.mark.parametrize(("arguments", "message"), [
    (["--data", "sketches:70", "--methods", "gradients"], "there is no method 'gradients'; there are gradient, "),
    (["--data", "sketches:70", "--count", "2", "--layers", "relu1"], "relu1 has no weights to randomize; fc2, conv1 have"),
    ([], "name picture files, or a data set with --data")])
def test_mistakes_are_one_line(capsys, net_file, arguments, message):
    code, out, err = run(capsys, net_file, *arguments)
    assert (code, out) == (2, "")
    assert err.startswith(f"zfnumpy see truth: {message}")
    assert err.count("\n") == 1

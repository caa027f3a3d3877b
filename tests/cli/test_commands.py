"""Every command as a user gives it, in this process, on images small enough for seconds."""

import argparse
import csv
import json
import os
import re
import shlex
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from safetensors.numpy import save_file

import zfnumpy as zf
from zfnumpy import checkpoint
from zfnumpy.cli import main
from zfnumpy.cli.main import parser
from zfnumpy.cli.pictures import draw_figure2
from zfnumpy.data import Loader, open_dataset, open_named
from zfnumpy.evaluate import evaluate

CLASSES = ["blue", "green", "red"]
QUICK = ["--model", "tiny_vgg", "--batch-size", "8", "--lr", "0.01", "--no-estimate"]
COMMANDS = ["demo", "train", "evaluate", "predict", "project", "figure2", "info", "see", "experiment", "report", "lesson",
            "compile"]


def draw(folder, classes=CLASSES, count=8):
    """Write a folder of classes: noise with one channel raised; rgb from the class's place."""
    rng = np.random.default_rng(0)
    for k, name in enumerate(classes):
        (folder / name).mkdir(parents=True)
        for i in range(count):
            pixels = rng.integers(0, 90, (66, 70, 3), dtype=np.uint8)
            pixels[:, :, 2 - k % 3] += 160
            Image.fromarray(pixels).save(folder / name / f"{i}.png")
    return folder


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    return draw(tmp_path_factory.mktemp("data") / "photos")


@pytest.fixture(scope="module")
def run_folder(photos, tmp_path_factory):
    """The folder of a run of two epochs, its split other than the usual one."""
    out = tmp_path_factory.mktemp("runs") / "two epochs"
    split = ["--val-fraction", "0.4", "--seed", "3"]
    assert main(["train", str(photos), *QUICK, *split, "--epochs", "2", "--keep-all", "--out", str(out)]) == 0
    return out


@pytest.fixture(scope="module", autouse=True)
def drawn_elsewhere(tmp_path_factory):
    """Sketches are kept in a folder of the tests' own; compiled kernels stay where they are."""
    folder = tmp_path_factory.mktemp("cache")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("zfnumpy.data.sketches.dataset.cache_folder", lambda *parts: Path(folder, *parts))
        yield folder


@pytest.fixture(autouse=True)
def elsewhere(tmp_path, monkeypatch):
    """Nothing is written beside the repository."""
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def run(capsys):
    """Run a command line: (exit code, standard output), with nothing on standard error but what a test allows."""
    def call(*arguments, code=0, err=""):
        capsys.readouterr()
        found = main([str(argument) for argument in arguments])
        captured = capsys.readouterr()
        assert (found, captured.err) == (code, err), captured.out
        return captured.out

    return call


def opened(path):
    with Image.open(path) as picture:
        assert picture.format == "PNG"
        return np.asarray(picture.convert("RGB"))


def weights(path):
    return {name: a.tobytes() for name, a in checkpoint.read(path).arrays.items()}


def settings_of(folder):
    return checkpoint.read(Path(folder, "last.safetensors")).extra["settings"]


def names_in(folder):
    return sorted(path.name for path in Path(folder).iterdir())


def stopping(monkeypatch, place):
    """Have Ctrl-C come during a step of the first epoch of the next run."""
    batches = Loader.batches

    def watched(self, epoch=0, start=0):
        for batch in batches(self, epoch, start):
            if self.shuffle and (epoch, self.place) == (0, place):
                signal.raise_signal(signal.SIGINT)
            yield batch

    monkeypatch.setattr(Loader, "batches", watched)


# ---- train ----------------------------------------------------------------------------------------------------------

def test_train_on_a_folder(run, photos):
    text = run("train", photos, "--model", "zfnet_mini", "--epochs", 1, "--batch-size", 8, "--lr", 0.01, "--out", "a/run")
    first, timing, cost, epoch, best = text.splitlines()
    assert first == "21 training and 3 validation images of 3 classes"
    assert "timing two steps" in timing
    assert re.fullmatch(r"zfnet_mini, [\d,]+ parameters, on num\w+|zfnet_mini, .* on \w+: about \d+ \w+ \(.* s a step\), "
                        r"[\d.]+ GiB of memory, \d+ MiB of disk", cost)
    assert re.match(r"epoch   1  loss \d\.\d{3}  top-1 [\d.]+%  validation [\d.]+% \(loss [\d.]+\)  rate 0\.01  ", epoch)
    assert re.match(r"best validation top-1 [\d.]+% in epoch 1; .* are in a/run$", best)
    assert names_in("a/run") == ["best.safetensors", "curves.png", "last.safetensors", "log.jsonl"]
    Path("a/other").touch()
    assert {path.stat().st_mode for path in Path("a/run").iterdir()} == {Path("a/other").stat().st_mode}    # like any file
    found = checkpoint.read("a/run/last.safetensors")
    assert found.about["classes"] == CLASSES
    assert found.extra["about"]["data"] == str(photos)
    assert settings_of("a/run")["max_filter_rms"] is None
    train_set, _ = open_dataset(photos)
    mean = zf.checkpoint.load("a/run/last.safetensors", zf.get_ops("numpy")).preprocessing.mean
    np.testing.assert_array_equal(mean, zf.data.mean_colour(train_set, 64))


def test_train_learns(run, photos):
    run("train", photos, *QUICK, "--epochs", 6, "--out", "run")
    lines = [json.loads(line) for line in Path("run/log.jsonl").read_text().splitlines()]
    assert [line["epoch"] for line in lines] == [1, 2, 3, 4, 5, 6]
    assert lines[-1]["loss"] < 0.5 * lines[0]["loss"]
    assert max(line["val_top1"] for line in lines) == 1.0


def test_every_option_reaches_the_run(run, photos):
    """Zeros too: they are given, not missing."""
    run("train", photos, *QUICK, "--epochs", 1, "--momentum", 0, "--weight-decay", 0, "--augment-pad", 0, "--seed", 0,
        "--warmup", 0, "--no-flip", "--patience", 2, "--drop-at", "3,5", "--out", "zeros")
    found = settings_of("zeros")
    expected = {"epochs": 1, "batch_size": 8, "lr": 0.01, "momentum": 0.0, "weight_decay": 0.0, "augment_pad": 0, "seed": 0,
                "flip": False, "patience": 2, "drop_at": [3, 5], "keep_all": False, "warmup": 0}
    assert {name: found[name] for name in expected} == expected
    run("train", photos, *QUICK, "--epochs", 1, "--momentum", 0.5, "--weight-decay", 0.1, "--augment-pad", 3, "--seed", 7,
        "--warmup", 4, "--keep-all", "--out", "others")
    expected = {"momentum": 0.5, "weight_decay": 0.1, "augment_pad": 3, "seed": 7, "flip": True, "drop_at": [],
                "keep_all": True, "warmup": 4}
    found = settings_of("others")
    assert {name: found[name] for name in expected} == expected


def test_the_paper_s_recipe(run, photos):
    run("train", photos, "--model", "zfnet_mini", "--init", "paper", "--mean", "image", "--dropout", 0.25, "--epochs", 1,
        "--batch-size", 12, "--no-estimate", "--out", "paper")
    net = checkpoint.load("paper/last.safetensors", zf.get_ops("numpy"))
    assert settings_of("paper")["max_filter_rms"] == 0.1
    assert net.preprocessing.mean.shape == (3, 64, 64)
    assert (net.preprocessing.scale, net.init, net.nodes["drop6"].layer.p) == (1.0, "paper", 0.25)
    assert "minus the mean image" in run("info", "paper")


def test_train_on_sketches(run):
    text = run("train", "sketches:70", *QUICK, "--epochs", 1, "--out", "drawn")
    assert text.startswith("60 training and 10 validation images of 10 classes\n")
    assert checkpoint.read("drawn/last.safetensors").about["classes"] == list(zf.data.sketches.CLASSES)
    text = run("evaluate", "drawn", "--data", "sketches:70")
    assert re.match(r"top-1 [\d.]+% \(\d of 10\), ", text)


def test_without_out_a_run_goes_to_the_model_s_folder(run, photos):
    run("train", photos, *QUICK, "--epochs", 1)
    assert "last.safetensors" in names_in("runs/tiny_vgg")


def test_keep_all(run_folder):
    assert names_in(run_folder) == ["best.safetensors", "curves.png", "epoch_001.safetensors", "epoch_002.safetensors",
                                    "last.safetensors", "log.jsonl"]
    assert weights(run_folder / "epoch_002.safetensors") == weights(run_folder / "last.safetensors")


def test_resume_with_more_epochs_is_the_longer_run(run, photos, run_folder):
    run("train", photos, *QUICK, "--epochs", 1, "--val-fraction", 0.4, "--seed", 3, "--out", "one")
    text = run("train", "--resume", "one", "--epochs", 2, "--no-estimate")
    assert text.startswith("going on at epoch 2 of 2, batch 1\nepoch   2  loss ")
    assert weights("one/last.safetensors") == weights(run_folder / "last.safetensors")
    assert len(Path("one/log.jsonl").read_text().splitlines()) == 2
    text = run("train", "--resume", "one")
    assert text.startswith("all 2 epochs are done; --epochs 12 would go on\nbest validation top-1 ")
    assert "timing" not in text


def test_ctrl_c_tells_how_to_go_on(run, photos, run_folder, monkeypatch):
    with monkeypatch.context() as patch:
        stopping(patch, 1)
        text = run("train", photos, *QUICK, "--epochs", 2, "--val-fraction", 0.4, "--seed", 3, "--out", "a run", code=130,
                   err="\nstopping after this step; Ctrl-C again stops at once\n")
    told = text.splitlines()[-1]
    assert told == "stopped; to go on: zfnumpy train --resume 'a run'"
    _, *arguments = shlex.split(told.partition(": ")[2])
    text = run(*arguments, "--no-estimate")
    assert text.startswith("going on at epoch 1 of 2, batch 2\n")
    assert weights("a run/last.safetensors") == weights(run_folder / "last.safetensors")


def test_ctrl_c_elsewhere_is_one_line(run, run_folder, photos, monkeypatch):
    def interrupted(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr("zfnumpy.cli.training.evaluate", interrupted)
    run("evaluate", run_folder, "--data", photos, code=130, err="\nzfnumpy evaluate: interrupted\n")


def test_fine_tuning(run, run_folder, tmp_path):
    four = draw(tmp_path / "four", ["cyan", "lime", "pink", "teal"])
    text = run("train", four, *QUICK, "--epochs", 1, "--init-from", run_folder / "best.safetensors",
               "--freeze", "conv1_1,conv1_2", "--out", "fine")
    assert f"weights from {run_folder}/best.safetensors, but for fc.weight, fc.bias\n" in text
    before, after = checkpoint.read(run_folder / "best.safetensors").arrays, checkpoint.read("fine/last.safetensors").arrays
    for name in ("conv1_1.weight", "conv1_1.bias", "conv1_2.weight", "conv1_2.bias"):
        assert before[name].tobytes() == after[name].tobytes()
    for name in ("conv2_1.weight", "conv2_2.bias"):
        assert before[name].tobytes() != after[name].tobytes()
    assert after["fc.weight"].shape[0] == 4
    text = run("train", "--resume", "fine", "--epochs", 2, "--no-estimate")
    assert checkpoint.read("fine/last.safetensors").arrays["conv1_1.weight"].tobytes() == before["conv1_1.weight"].tobytes()
    text = run("train", four, *QUICK, "--epochs", 1, "--init-from", "fine/last.safetensors", "--out", "again")
    assert "weights from fine/last.safetensors\n" in text                # the same classes: all of them


def test_broken_pictures_are_told_and_passed_over(run, tmp_path):
    folder = draw(tmp_path / "some broken")
    (folder / "red" / "3.png").write_bytes((folder / "red" / "3.png").read_bytes()[:300])
    (folder / "red" / "notes.txt").write_text("no picture")
    text = run("train", folder, *QUICK, "--epochs", 1, "--out", "run")
    assert f"passed over 1 file that could not be used: {folder}/red/notes.txt (no picture, by its suffix)\n" in text
    assert f"passed over 1 file that could not be used: {folder}/red/3.png (cannot read the picture" in text
    line, = [json.loads(line) for line in Path("run/log.jsonl").read_text().splitlines()]
    assert line["skipped"] == 1


@pytest.mark.skipif(sys.platform != "linux", reason="file names are text here")
def test_names_of_folders_and_files_need_not_be_text(run, tmp_path):
    folder = draw(tmp_path / "latin", ["red", "green"])
    os.rename(os.fsencode(folder / "red"), os.fsencode(folder) + b"/caf\xe9")
    picture = os.fsdecode(os.fsencode(folder) + b"/caf\xe9/0.png")
    run("train", folder, *QUICK, "--epochs", 1, "--out", "run")
    text = run("predict", "run", picture)
    assert re.search(r"%  caf\\udce9\n", text)
    run("evaluate", "run", "--data", folder, "--out", "e")
    assert b"\ncaf\xe9," in Path("e/classes.csv").read_bytes()
    run("project", "run", picture)
    run("figure2", "run", "--data", folder, "--maps", 1, "--top", 1)
    run("train", "--resume", "run", "--epochs", 2, "--no-estimate")


# ---- evaluate -------------------------------------------------------------------------------------------------------

def measured(run_folder, part, ten_crop=False, name="best.safetensors"):
    net = checkpoint.load(run_folder / name, zf.get_ops("numba"))
    return evaluate(net, Loader(part, 64, net.preprocessing), ten_crop)


@pytest.mark.parametrize("ten_crop", [False, True])
def test_evaluate(run, run_folder, photos, ten_crop):
    """On the validation part of the split that it was trained with, which nobody says again."""
    train_part, val = open_dataset(photos, 0.4, 3)
    found = measured(run_folder, val, ten_crop)
    text = run("evaluate", run_folder, "--data", photos, "--out", "e", *["--ten-crop"] * ten_crop)
    head, files = text.splitlines()
    right = int(np.trace(found.confusion))
    assert head == (f"top-1 {found.top1:.2%} ({right} of 9), top-5 100.00%, loss {found.loss:.4f}"
                    + (", ten crops" if ten_crop else ""))
    assert files == "evaluation.json, confusion.csv, confusion.png and classes.csv are in e"
    assert names_in("e") == ["classes.csv", "confusion.csv", "confusion.png", "evaluation.json"]
    told = json.loads(Path("e/evaluation.json").read_text())
    assert (told["images"], told["loss"], told["crops"]) == (9, found.loss, 10 if ten_crop else 1)
    with open("e/confusion.csv", newline="") as file:
        assert next(csv.reader(file))[1:] == CLASSES
    assert opened("e/confusion.png").ndim == 3
    found = measured(run_folder, train_part)
    text = run("evaluate", run_folder, "--data", photos, "--train-set", "--batch-size", 4)
    assert text.startswith(f"top-1 {found.top1:.2%} ({np.trace(found.confusion)} of 15), ")


def test_evaluate_on_another_split_if_told(run, run_folder, photos):
    found = measured(run_folder, open_dataset(photos, 0.5, 1)[1], name="last.safetensors")
    text = run("evaluate", run_folder / "last.safetensors", "--data", photos, "--val-fraction", 0.5, "--seed", 1)
    assert text == f"top-1 {found.top1:.2%} ({np.trace(found.confusion)} of 12), top-5 100.00%, loss {found.loss:.4f}\n"


def test_evaluate_by_the_names_of_classes(run, run_folder, tmp_path):
    folder = draw(tmp_path / "others", ["zebra", "red", "blue"])
    text = run("evaluate", run_folder, "--data", folder, "--val-fraction", 0.5)
    assert text.startswith("2 of the network's 3 classes are in the data by name: 8 images\ntop-1 ")


# ---- predict --------------------------------------------------------------------------------------------------------

def test_predict(run, run_folder, photos):
    picture = photos / "red" / "0.png"
    net = checkpoint.load(run_folder / "best.safetensors", zf.get_ops("numba"))
    p = net.probabilities(net.prepare([zf.data.load_image(picture)]))[0]
    order = np.argsort(-p)
    text = run("predict", run_folder, picture)
    assert text.splitlines() == [str(picture), *(f"  {p[k]:6.1%}  {CLASSES[k]}" for k in order)]
    text = run("predict", run_folder, picture, photos / "blue" / "1.png", "--top", 1, "--backend", "numpy")
    assert [line.strip()[-4:].strip() for line in text.splitlines()][1] == CLASSES[order[0]][-4:]
    assert len(text.splitlines()) == 4
    crops = zf.evaluate.predict(net, net.preprocessing.ten_crop([zf.data.load_image(picture)]))[0]
    text = run("predict", run_folder, picture, "--ten-crop")
    assert text.splitlines()[1] == f"  {crops.max():6.1%}  {CLASSES[crops.argmax()]}"


def test_a_picture_that_cannot_be_read_does_not_stop_the_others(run, run_folder, photos, tmp_path):
    (tmp_path / "bad.png").write_text("no picture")
    for command in ("predict", "project"):
        text = run(command, run_folder, tmp_path / "bad.png", photos / "red" / "0.png", code=2)
        assert "passed over 1 file that could not be used:" in text
        assert "bad.png" in text
        assert str(photos / "red" / "0.png") in text


@pytest.mark.parametrize("suffix", [".npz", ".safetensors"])
def test_plain_weights_with_a_model_s_name(run, run_folder, photos, tmp_path, suffix):
    arrays = {name: a for name, a in checkpoint.read(run_folder / "best.safetensors").arrays.items() if "/" not in name}
    path = tmp_path / f"plain{suffix}"
    np.savez(path, **arrays) if suffix == ".npz" else save_file(arrays, path)
    table = [f"{k}\tname of {name}, and more" for k, name in enumerate(CLASSES)]
    (tmp_path / "names.txt").write_text("\n".join(["index\tname"] * (suffix == ".npz") + table) + "\n")     # and a header
    picture = photos / "green" / "1.png"
    named = run("predict", path, picture, "--model", "tiny_vgg", "--classes", tmp_path / "names.txt")
    assert named.replace("name of ", "") == run("predict", run_folder, picture)
    assert re.search(r"%  class [012]\n", run("predict", path, picture, "--model", "tiny_vgg"))


# ---- project --------------------------------------------------------------------------------------------------------

def test_project(run, run_folder, photos):
    pictures = [photos / "red" / "0.png", photos / "blue" / "2.png"]
    text = run("project", run_folder, *pictures)
    first, second, wrote = text.splitlines()
    assert re.fullmatch(rf"{pictures[0]}: conv2_2 map \d|{pictures[0]}: conv2_2.* \d", first)
    assert second.startswith(f"{pictures[1]}: conv2_2")
    assert wrote == "wrote projections.png"
    sheet = opened("projections.png")
    assert sheet.shape == (36 + 2 * (192 + 20 + 24), 4 * 204 + 12, 3)  # an image and three rules, twice
    assert (sheet == 128).mean() > 0.1                                # the grey where nothing was seen


@pytest.mark.parametrize("rule", ["deconvnet", "guided", "gradient"])
def test_project_one_unit_by_one_rule(run, run_folder, photos, rule):
    picture = photos / "red" / "0.png"
    text = run("project", run_folder, picture, "--layer", "conv1_2", "--unit", "3,10,20", "--rule", rule,
               "--out", "new/one.png")
    assert "3, 10, 20" in text
    assert "wrote new/one.png" in text
    net = checkpoint.load(run_folder / "best.safetensors", zf.get_ops("numba"))
    x = net.prepare([zf.data.load_image(picture)])
    r = zf.visualize.project(net, x, "conv1_2", (3, 10, 20), rule)
    shown = opened("new/one.png")[-12 - 192:-12, -12 - 192:-12]
    np.testing.assert_array_equal(shown[::3, ::3], zf.plots.signed(r)[0])


@pytest.mark.parametrize(("layer", "unit"), [("conv2_1", "4"), ("relu1_1", "0,0,0"), ("pool2", "9"), ("fc", "2"),
                                             ("fc", None)])
def test_project_any_layer(run, run_folder, photos, layer, unit):
    run("project", run_folder, photos / "red" / "0.png", "--layer", layer, *(["--unit", unit] if unit else []))
    assert opened("projections.png").shape[1] == 4 * 204 + 12


# ---- figure 2 -------------------------------------------------------------------------------------------------------

def test_figure2(run, run_folder, photos):
    text = run("figure2", run_folder, "--data", photos, "--layers", "conv1_1,conv2_2", "--maps", 4, "--top", 4,
               "--out", "sheets")
    assert text == "wrote sheets/strongest_conv1_1.png\nwrote sheets/strongest_conv2_2.png\n"
    assert names_in("sheets") == [f"strongest_{layer}.{suffix}" for layer in ("conv1_1", "conv2_2")
                                  for suffix in ("json", "npz", "png")]
    told = json.loads(Path("sheets/strongest_conv2_2.json").read_text())
    assert len(told["maps"]) == 10
    assert all(len(units) == 4 for units in told["maps"])
    assert max(unit["image"] for units in told["maps"] for unit in units) <= 8     # the nine of the validation part
    text = run("figure2", run_folder, "--data", photos, "--train-set", "--layers", "conv1_2", "--rule", "guided",
               "--maps", 1)
    assert text == "wrote strongest_conv1_2.png\n"
    found = np.load("strongest_conv1_2.npz")
    assert found["images"].max() > 8


def test_figure2_of_the_strongest_maps(run, run_folder, photos):
    """The two maps that answer most strongly, in their order among all."""
    run("figure2", run_folder, "--data", photos, "--layers", "conv1_2", "--maps", 2, "--top", 1)
    net = checkpoint.load(run_folder / "best.safetensors", zf.get_ops("numba"))
    val = open_dataset(photos, 0.4, 3)[1]
    x = net.prepare([val.image(i) for i in range(len(val))])
    found, = zf.visualize.find_strongest(net, [(x, np.arange(len(val)))], ["conv1_2"], 1).values()
    maps = np.sort(np.argsort(-found.values[:, 0])[:2])
    assert maps.tolist() != [0, 1]
    shown = zf.visualize.project_strongest(net, found, val.image, maps)
    np.testing.assert_array_equal(opened("strongest_conv1_2.png"), zf.plots.strongest_sheet(shown))


def test_figure2_of_every_convolution(run, run_folder, photos):
    run("figure2", run_folder, "--data", photos, "--maps", 1, "--top", 1)
    assert [name for name in names_in(".") if name.endswith(".png")] == [
        f"strongest_conv{i}_{j}.png" for i in (1, 2) for j in (1, 2)]


def test_many_maps_go_on_several_sheets(run_folder, photos, tmp_path):
    net = checkpoint.load(run_folder / "best.safetensors", zf.get_ops("numpy"))
    written = draw_figure2(net, open_dataset(photos)[1], ["conv1_1"], tmp_path, top=2, per_sheet=4)
    assert written == [tmp_path / f"strongest_conv1_1_{i}.png" for i in (1, 2, 3)]      # 4, 4 and 2 of its ten maps
    widths = [opened(path).shape[1] for path in written]
    assert widths[0] == widths[1] > widths[2]


# ---- info, demo -----------------------------------------------------------------------------------------------------

def test_info_of_a_run(run, run_folder, photos):
    text = run("info", run_folder)
    assert text.startswith("tiny_vgg: ")
    assert str(checkpoint.load(run_folder / "last.safetensors", zf.get_ops("numpy"))) in text
    assert "classes: blue, green, red\n" in text
    assert "inputs: shortest side to 64, crop 64, RGB minus mean RGB (0.0, 0.0, 0.0), times 0.003922\n" in text
    assert f"trained: 2 epochs and 0 batches, rate 0.01, data {photos}\n" in text
    assert re.search(r"last epoch: training loss \d\.\d{3}, validation top-1 [\d.]+%, best [\d.]+%\n$", text)


def test_info_without_a_checkpoint(run):
    text = run("info")
    assert text.startswith(f"zfnumpy {zf.__version__}, Python {sys.version.split()[0]}\n  numpy {np.__version__}\n")
    assert "backend numpy: works, on the processor, in plain NumPy\n" in text
    assert re.search(r"backend numba: works, on \d+ threads?, vectors of (4|8|16) numbers in float32\n", text)
    assert re.search(r"backend cupy: (works, on .*\n    compute capability|does not work here\n    .*CuPy)", text)
    assert re.search(r"\nbackend auto: takes (numba|cupy)\n$", text)


def test_info_of_one_backend(run, fake_cupy):
    text = run("info", "--backend", "numba", "--threads", "1")
    assert re.search(r"\nbackend numba: works, on 1 thread, vectors of", text)
    assert text.count("backend") == 1
    text = run("info", "--gpu-memory", "1G", "--tf32")                    # auto: what these are settings of
    fake_cupy.get_default_memory_pool().set_limit(size=0)
    assert text.count("backend") == 1
    assert "backend cupy: works, on Stand-in\n    compute capability 9.0" in text
    assert ", matrix products in TF32\n" in text
    assert "bounded at 1.0 GiB\n" in text


def test_demo(run):
    text = run("demo", "--count", 140, "--epochs", 1, "--out", "pictures")
    layers = [f"conv{i}" for i in range(1, 6)]
    pictures = ["confusion.png", "curves.png", "filters.png", "projections.png"]
    sheets = [name for name in names_in("pictures") if name.startswith("strongest") and name.endswith(".png")]
    assert {re.match(r"strongest_(conv\d)", name)[1] for name in sheets} == set(layers)
    assert set(names_in("pictures")) == {
        *pictures, *sheets, *(f"strongest_{layer}.{suffix}" for layer in layers for suffix in ("json", "npz")),
        "best.safetensors", "last.safetensors", "log.jsonl", "classes.csv", "confusion.csv", "evaluation.json"}
    for name in [*pictures, *sheets]:
        height, width, _ = opened(Path("pictures", name)).shape
        assert 200 < width < 2200, name
        assert height > 100, name
    assert text.startswith("drawing 140 sketches of ten classes")
    assert "look at pictures/: filters.png, strongest_conv1.png" in text
    for told in re.findall(r"\S+\.png", text.splitlines()[-1]):
        assert told.rstrip(",") in names_in("pictures")
    assert checkpoint.read("pictures/best.safetensors").about["classes"] == list(zf.data.sketches.CLASSES)


def test_a_demo_of_next_to_nothing(run, monkeypatch):
    monkeypatch.setattr("zfnumpy.cli.training.draw_figure2", lambda *_, **__: [])
    run("demo", "--count", 20, "--epochs", 1)
    assert opened("demo/projections.png").shape[0] == 36 + 3 * (192 + 20 + 24)     # three of validation are all there are


# ---- the command itself ---------------------------------------------------------------------------------------------

def python(*arguments, **more):
    root = str(Path(zf.__file__).parents[1])
    environment = {**os.environ, "PYTHONPATH": root, "PYTHONUNBUFFERED": ""}
    return subprocess.run([sys.executable, *arguments], capture_output=True, text=True, timeout=60, check=False,
                          env=environment, **more)


def test_as_a_module():
    done = python("-m", "zfnumpy", "--version")
    assert (done.returncode, done.stdout, done.stderr) == (0, f"zfnumpy {zf.__version__}\n", "")


def test_a_reader_that_has_gone_is_no_error():
    command = f"{shlex.quote(sys.executable)} -m zfnumpy info | true; exit ${{PIPESTATUS[0]}}"
    root = str(Path(zf.__file__).parents[1])
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, timeout=60, check=False,
                          env={**os.environ, "PYTHONPATH": root, "PYTHONUNBUFFERED": ""})
    assert (done.returncode, done.stderr) == (0, "")


def subparsers(of=None, before=""):
    """Every command's parser by name, those of a group as "see filters"."""
    found = {}
    for action in (of or parser())._actions:
        if isinstance(action, argparse._SubParsersAction):
            for name, sub in action.choices.items():
                found |= subparsers(sub, f"{before}{name} ") or {before + name: sub}
    return found


def test_all_commands_are_tested_here():
    assert list(dict.fromkeys(name.split()[0] for name in subparsers())) == COMMANDS


@pytest.mark.parametrize("command", list(subparsers()))
def test_help_has_an_example_that_can_be_typed(command, capsys):
    with pytest.raises(SystemExit) as ended:
        main([*command.split(), "--help"])
    assert ended.value.code == 0
    text = capsys.readouterr().out
    example = re.search(r"^example: zfnumpy (.*)$", text, re.MULTILINE)[1]
    assert parser().parse_args(shlex.split(example)).command == command
    assert "--debug" in text
    assert all(action.help for action in subparsers()[command]._actions if action.option_strings not in ([], ["--seed"]))


def test_the_readme_s_commands_parse():
    readme = Path(zf.__file__).parents[1] / "README.md"
    if not readme.exists():
        pytest.skip("the README is not beside an installed package")
    lines = [line.strip() for line in readme.read_text().splitlines() if line.startswith("    zfnumpy ")]
    assert len(lines) >= 7
    for line in lines:
        parser().parse_args(shlex.split(line, comments=True)[1:])
    inline = re.findall(r"`(zfnumpy [^`]+)`", readme.read_text())
    assert inline
    for line in inline:
        parser().parse_args(shlex.split(line)[1:])


def test_debug_shows_the_traceback():
    with pytest.raises(zf.ZFNumpyError, match="there is no checkpoint"):
        main(["info", "nowhere.safetensors", "--debug"])


def test_the_threads_asked_for_are_used(run, run_folder, photos, monkeypatch):
    seen = []
    monkeypatch.setattr("zfnumpy.cli.training.evaluate", lambda net, *a: seen.append(net.ops.threads) or evaluate(net, *a))
    run("evaluate", run_folder, "--data", photos, "--threads", 1, "--backend", "numba")
    assert seen == [1]


def test_sketches_to_validate_on_are_never_trained_on_whatever_the_count(monkeypatch, tmp_path):
    monkeypatch.setenv("ZFNUMPY_CACHE", str(tmp_path))
    parts = {count: open_named(f"sketches:{count}") for count in (14, 70)}
    val = {picture.tobytes() for _, part in parts.values() for picture in part.images}
    train = {picture.tobytes() for part, _ in parts.values() for picture in part.images}
    assert not val & train
    assert [tuple(map(len, pair)) for pair in parts.values()] == [(12, 2), (60, 10)]


def test_a_resume_notices_that_the_data_has_changed(tmp_path, capsys):
    rng = np.random.default_rng(0)
    for kind in ("ant", "bee"):
        (tmp_path / "photos" / kind).mkdir(parents=True)
        for i in range(6):
            Image.fromarray(rng.integers(0, 256, (64, 64, 3), np.uint8)).save(tmp_path / "photos" / kind / f"{i}.png")
    line = ["train", "--backend", "numpy", "--no-estimate"]
    new = ["--model", "tiny_vgg", "--epochs", "1", "--out", str(tmp_path / "run")]
    assert main([*line, str(tmp_path / "photos"), *new]) == 0
    (tmp_path / "photos" / "bee" / "5.png").rename(tmp_path / "photos" / "bee" / "7.png")
    Image.new("RGB", (64, 64)).save(tmp_path / "photos" / "bee" / "8.png")
    capsys.readouterr()
    assert main([*line, "--resume", str(tmp_path / "run"), "--epochs", "2"]) == 2
    assert "the data has changed: the run had 10 training and 2 validation images" in capsys.readouterr().err

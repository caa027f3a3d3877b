"""What a user gets wrong: one line that says what, where and what to do, exit code 2, and no file touched."""

import contextlib
import importlib.util
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from safetensors.numpy import save_file

from zfnumpy import checkpoint, get_ops, models
from zfnumpy.cli import main
from zfnumpy.layers import Conv2d, Flatten, GlobalAvgPool, Linear
from zfnumpy.network import Network


def picture(path):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (64, 64), (90, 120, 150)).save(path)


def folder(root, **classes):
    """Write a folder of classes, each with so many pictures."""
    root.mkdir()
    for name, count in classes.items():
        (root / name).mkdir()
        for i in range(count):
            picture(root / name / f"{i}.png")


@pytest.fixture(scope="module")
def workplace(tmp_path_factory):
    """A folder with everything that the bad command lines below name; each test works on a copy."""
    root = tmp_path_factory.mktemp("workplace")
    folder(root / "good", cat=4, dog=4)
    folder(root / "three", cat=4, dog=4, owl=4)
    folder(root / "apart", ant=3, bee=3)
    folder(root / "one", cat=4)
    folder(root / "none")
    folder(root / "gap", cat=4, dog=0)
    folder(root / "single", cat=1, dog=1)
    folder(root / "broken", cat=3, dog=3)
    for path in (root / "broken").rglob("*.png"):
        path.write_bytes(path.read_bytes()[:40])
    picture(root / "image.png")
    (root / "not_an_image.png").write_text("some text")
    (root / "file").write_text("a file, not a folder")
    (root / "names.txt").write_text("cat\ndog\nowl\n")
    ops = get_ops("numpy")
    net = models.tiny_vgg(2, ops)
    net.classes = ["cat", "dog"]
    checkpoint.save(root / "net.safetensors", net)
    data = (root / "net.safetensors").read_bytes()
    (root / "cut.safetensors").write_bytes(data[:len(data) // 2])
    (root / "text.safetensors").write_text("not a checkpoint at all\n" * 20)
    (root / "empty.safetensors").touch()
    save_file({"layer.weight": np.ones((3, 3), np.float32)}, root / "foreign.safetensors")
    save_file({"scale": np.float32([1])}, root / "no_weights.safetensors")
    save_file({"scale.weight": np.array(1, np.float32)}, root / "scalar.safetensors")
    np.savez(root / "plain.npz", **net.params)
    bare = Network([("conv1", Conv2d(2, 3)), ("gap", GlobalAvgPool())], (3, 64, 64), ops, name="bare")
    checkpoint.save(root / "bare.safetensors", bare)
    linear = Network([("flatten", Flatten()), ("fc", Linear(2))], (3, 64, 64), ops, name="linear",
                     preprocessing=net.preprocessing)
    checkpoint.save(root / "linear.safetensors", linear)
    (root / "empty_run").mkdir()
    with contextlib.chdir(root):
        assert main(["train", "good", "--model", "tiny_vgg", "--epochs", "1", "--batch-size", "4", "--no-estimate",
                     "--backend", "numpy", "--out", "run"]) == 0
    return root


def listing(root):
    """Every file and folder below root, with sizes."""
    return {str(path.relative_to(root)): path.stat().st_size if path.is_file() else None for path in root.rglob("*")}


TRAIN = "train good --model tiny_vgg --epochs 1 --no-estimate --batch-size 4 --backend numpy"

# command line → what its one line must tell
TABLE = {
    # layers and units
    "project net.safetensors image.png --layer conv9": ["conv9", "conv1_1", "conv2_2", "fc"],
    "project net.safetensors image.png --layer conv1_1 --unit 10": ["conv1_1", "no channel 10", "10 × 62 × 62", "0 to 9"],
    "project net.safetensors image.png --layer conv1_1 --unit 3,62,0": ["no row 62", "0 to 61"],
    "project net.safetensors image.png --layer conv1_1 --unit 3,0,-1": ["no column -1", "0 to 61"],
    "project net.safetensors image.png --layer fc --unit 2": ["fc", "no feature 2", "0 to 1"],
    "project net.safetensors image.png --layer fc --unit 0,1,1": ["fc", "(feature,)", "3 numbers"],
    "project net.safetensors image.png --layer conv1_1 --unit 1,2": ["conv1_1", "(channel, row, col)", "2 numbers"],
    "project net.safetensors image.png --unit one": ["--unit", "'one'"],
    "project net.safetensors image.png --unit 1,,2": ["--unit", "'1,,2'"],
    "project net.safetensors image.png --unit 1.5": ["--unit", "'1.5'"],
    "project net.safetensors image.png --rule backprop": ["--rule", "'backprop'", "deconvnet", "guided", "gradient"],
    "project linear.safetensors image.png": ["linear", "no convolution", "--layer"],
    "figure2 linear.safetensors --data good": ["linear", "no convolution", "--layers"],
    "figure2 net.safetensors --data good --layers conv1_1,conv7": ["conv7", "conv1_1"],
    "figure2 net.safetensors --data good --maps 0": ["--maps", "from 1", "'0'"],
    "figure2 net.safetensors --data good --top -1": ["--top", "from 1", "'-1'"],
    f"{TRAIN} --freeze conv9": ["conv9", "conv1_1", "fc"],
    f"{TRAIN} --freeze conv1_1,pool1": ["pool1", "no parameters", "conv1_1", "fc"],
    # models and backends
    "train good --model resnet": ["--model", "'resnet'", "zfnet_mini", "alexnet"],
    "predict plain.npz image.png --model lenet": ["--model", "'lenet'", "tiny_vgg", "squeezenet1_1"],
    "predict net.safetensors image.png --backend torch": ["--backend", "'torch'", "numba"],
    f"{TRAIN} --threads 0": ["--threads", "from 1", "'0'"],
    f"{TRAIN} --threads some": ["--threads", "'some'"],
    f"{TRAIN} --init xavier": ["--init", "'xavier'", "he", "paper"],
    # data
    "train nowhere --model tiny_vgg": ["nowhere", "No such file"],
    "train file --model tiny_vgg": ["file", "Not a directory"],
    "train one --model tiny_vgg": ["one", "two or more", "cat"],
    "train none --model tiny_vgg": ["none", "two or more", "found none"],
    "train gap --model tiny_vgg": ["gap", "no pictures in 1 of 2", "dog"],
    "train single --model tiny_vgg": ["single", "only one picture", "validation"],
    "train broken --model tiny_vgg --no-estimate": ["none of", "could be read", ".png"],
    "train broken --model zfnet_mini --no-estimate": ["none of", "could be read", ".png"],
    "train sketches:abc": ["sketches:N", "'abc'"],
    "train sketches:-5": ["sketches:N", "'-5'"],
    "train sketches:²": ["sketches:N", "'²'"],
    "train sketches:0": ["at least 2", "0"],
    "train": ["name the data", "sketches"],
    "evaluate net.safetensors --data nowhere": ["nowhere", "No such file"],
    "evaluate net.safetensors --data broken": ["none of", "could be read"],
    "evaluate net.safetensors --data apart": ["2 classes (ant, …)", "2 (cat, …)"],
    "evaluate net.safetensors": ["--data"],
    "figure2 net.safetensors --data broken": ["none of 2", "could be read"],
    "evaluate net.safetensors --data good --val-fraction 1": ["val_fraction", "1.0"],
    f"{TRAIN} --val-fraction 0": ["val_fraction", "0.0"],
    f"{TRAIN} --val-fraction -0.1": ["val_fraction", "-0.1"],
    f"{TRAIN} --val-fraction nan": ["val_fraction", "nan"],
    f"{TRAIN} --val-fraction half": ["--val-fraction", "'half'"],
    "predict net.safetensors absent.png": ["absent.png", "no such file"],
    "predict net.safetensors not_an_image.png": ["not_an_image.png", "not a picture"],
    "predict net.safetensors good": ["good", "folder"],
    "project net.safetensors absent.png": ["absent.png", "no such file"],
    "predict net.safetensors": ["IMAGE"],
    "predict net.safetensors image.png --classes names.txt": ["names.txt", "3 classes", "2"],
    "predict net.safetensors image.png --classes nofile.txt": ["nofile.txt", "No such file"],
    "predict net.safetensors image.png --classes good": ["good", "directory"],
    "predict net.safetensors image.png --classes image.png": ["image.png"],
    "predict net.safetensors image.png --top 0": ["--top", "from 1", "'0'"],
    # checkpoints
    "info nothing.safetensors": ["no checkpoint", "nothing.safetensors"],
    "info empty_run": ["no checkpoint", "empty_run/last.safetensors"],
    "predict empty_run image.png": ["no checkpoint", "empty_run/last.safetensors"],
    "predict cut.safetensors image.png": ["cut.safetensors", "truncated"],
    "info cut.safetensors": ["cut.safetensors", "truncated"],
    "info text.safetensors": ["text.safetensors", "not a safetensors file"],
    "info empty.safetensors": ["empty.safetensors", "truncated"],
    "info image.png": ["image.png", "not a safetensors file"],
    "predict foreign.safetensors image.png": ["foreign.safetensors", "not a network of zfnumpy", "weights="],
    "predict bare.safetensors image.png": ["bare.safetensors", "preprocessing"],
    "project bare.safetensors image.png": ["bare.safetensors", "preprocessing"],
    "figure2 bare.safetensors --data good": ["bare.safetensors", "preprocessing"],
    "predict foreign.safetensors image.png --model tiny_vgg": ["foreign.safetensors", "conv1_1.weight",
                                                               "another architecture"],
    "predict no_weights.safetensors image.png --model tiny_vgg": ["no_weights.safetensors", ".weight"],
    "predict scalar.safetensors image.png --model tiny_vgg": ["scalar.safetensors", "another architecture"],
    "predict plain.npz image.png --model alexnet": ["plain.npz", "alexnet", "another architecture"],
    "predict plain.npz image.png --model squeezenet1_1": ["plain.npz", "squeezenet1_1", "another architecture"],
    "predict plain.npz image.png": ["plain.npz", "safetensors"],
    "predict nothing.npz image.png --model tiny_vgg": ["no weight file", "nothing.npz"],
    "predict text.safetensors image.png --model tiny_vgg": ["text.safetensors", "not a weight file"],
    f"{TRAIN} --init-from nothing.safetensors": ["no weight file", "nothing.safetensors"],
    f"{TRAIN} --init-from cut.safetensors": ["cut.safetensors", "truncated"],
    f"{TRAIN} --init-from bare.safetensors": ["bare.safetensors", "another architecture"],
    "train three --model zfnet_mini --init-from net.safetensors": ["net.safetensors", "zfnet_mini", "another architecture"],
    # resuming
    "train --resume net.safetensors": ["net.safetensors", "no training to resume", "--init-from"],
    "train good --resume net.safetensors": ["net.safetensors", "no training to resume", "--init-from"],
    "train --resume empty_run": ["no checkpoint", "empty_run/last.safetensors"],
    "train --resume nowhere": ["no checkpoint", "nowhere"],
    "train --resume cut.safetensors": ["cut.safetensors", "truncated"],
    "train three --resume run --epochs 2": ["classes", "apart", "2", "3"],
    "train apart --resume run --epochs 2": ["was trained on the classes cat, dog", "ant, bee"],
    "train nowhere --resume run --epochs 2": ["nowhere", "No such file"],
    "train --resume run --freeze conv1_1": ["--resume", "--freeze"],
    "train --resume run --init-from net.safetensors": ["--resume", "--init-from"],
    "train --resume run --dropout 0.1 --model zfnet": ["--resume", "--dropout", "--model"],
    "train good --model tiny_vgg --no-estimate --out run": ["run holds a run already", "--resume run"],
    "predict net.safetensors image.png --model tiny_vgg": ["net.safetensors", "leave out --model"],
    "train --resume run --epochs 2 --lr -1": ["lr", "above 0", "-1.0"],
    # numbers
    f"{TRAIN} --epochs 0": ["--epochs", "from 1", "'0'"],
    f"{TRAIN} --epochs 1.5": ["--epochs", "'1.5'"],
    f"{TRAIN} --batch-size 0": ["--batch-size", "from 1", "'0'"],
    f"{TRAIN} --lr -1": ["lr", "above 0", "-1.0"],
    f"{TRAIN} --lr 0": ["lr", "above 0", "0.0"],
    f"{TRAIN} --lr nan": ["lr", "above 0", "nan"],
    f"{TRAIN} --lr fast": ["--lr", "'fast'"],
    f"{TRAIN} --momentum 1": ["momentum", "below 1", "1.0"],
    f"{TRAIN} --weight-decay -0.1": ["weight_decay", "-0.1"],
    f"{TRAIN} --patience 0": ["--patience", "from 1", "'0'"],
    f"{TRAIN} --warmup -1": ["--warmup", "from 0", "'-1'"],
    f"{TRAIN} --augment-pad -1": ["--augment-pad", "from 0", "'-1'"],
    f"{TRAIN} --augment-pad 64": ["augment_pad", "64 pixels", "got 64"],
    f"{TRAIN} --seed -1": ["--seed", "from 0", "'-1'"],
    f"{TRAIN} --seed x": ["--seed", "'x'"],
    f"{TRAIN} --drop-at soon": ["--drop-at", "13,17", "'soon'"],
    f"{TRAIN} --drop-at 3,,5": ["--drop-at", "''"],
    f"{TRAIN} --drop-at 0": ["--drop-at", "from 1", "'0'"],
    f"{TRAIN} --input-scale 0": ["input", "above 0", "0.0"],
    f"{TRAIN} --gpu-memory 8G": ["memory (--gpu-memory)", "on a GPU only", "numpy"],
    "predict net.safetensors image.png --tf32 --backend numba": ["tf32 (--tf32)", "on a GPU only", "numba"],
    "figure2 net.safetensors --data good --batch-size 0": ["--batch-size", "from 1", "'0'"],
    "train good --dropout 1": ["dropout", "1.0"],
    "train good --dropout -0.5": ["dropout", "-0.5"],
    "evaluate net.safetensors --data good --batch-size 0": ["--batch-size", "from 1", "'0'"],
    "evaluate net.safetensors --data good --seed -3": ["--seed", "from 0", "'-3'"],
    "demo --count 1": ["--count", "from 2", "'1'"],
    "demo --count many": ["--count", "'many'"],
    "demo --epochs 0": ["--epochs", "from 1", "'0'"],
    "demo --seed -1": ["--seed", "from 0", "'-1'"],
    # where nothing can be written
    f"{TRAIN} --out file/run": ["file/run", "Not a directory"],
    f"{TRAIN} --out file": ["file", "File exists"],
    "evaluate net.safetensors --data good --out file/e": ["file/e", "Not a directory"],
    "figure2 net.safetensors --data good --layers conv1_1 --out file/sheets": ["file/sheets", "Not a directory"],
    "project net.safetensors image.png --out file/p.png": ["file", "File exists"],
    "project net.safetensors image.png --out good": ["good", "directory"],
    "demo --count 2 --epochs 1 --out file/demo": ["file/demo", "Not a directory"],
    # the command line itself
    "": ["COMMAND"],
    "paint": ["'paint'", "figure2"],
    "train good --colour red": ["--colour"],
    "info net.safetensors extra": ["extra"],
}


@pytest.mark.parametrize("line", TABLE)
def test_one_line_and_nothing_touched(workplace, tmp_path, monkeypatch, capsys, line):
    here = tmp_path / "here"
    shutil.copytree(workplace, here)
    monkeypatch.chdir(here)
    before = listing(here)
    capsys.readouterr()
    try:
        code = main(line.split())
    except SystemExit as ended:
        code = ended.code
    err = capsys.readouterr().err
    assert code == 2
    assert err.endswith("\n")
    assert err.count("\n") == 1, err
    assert err.startswith("zfnumpy")
    for word in TABLE[line]:
        assert word in err, err
    assert "Traceback" not in err
    assert "invalid _" not in err                                     # a name out of the code
    after = listing(here)
    assert {name for name in after if name not in before} == left_by(line)
    assert {name: after[name] for name in before} == before


def left_by(line):
    """What a mistake that shows only once the run has begun leaves: the run's folder, with whatever is whole in it."""
    if line == "train broken --model tiny_vgg --no-estimate":
        return {"runs", "runs/tiny_vgg", "runs/tiny_vgg/last.safetensors"}
    if line == "train broken --model zfnet_mini --no-estimate":       # while it takes the mean of all pictures
        return {"runs", "runs/zfnet_mini"}
    return {"runs", "runs/tiny_vgg"} if line == f"{TRAIN} --augment-pad 64" else set()


@pytest.mark.skipif(importlib.util.find_spec("cupy") is not None, reason="CuPy is installed here")
@pytest.mark.parametrize("line", [TRAIN.replace("numpy", "cupy"), "predict net.safetensors image.png --backend cupy"])
def test_without_cupy_the_package_to_install_is_named(workplace, monkeypatch, capsys, line):
    monkeypatch.chdir(workplace)
    assert main(line.split()) == 2
    err = capsys.readouterr().err
    assert err.count("\n") == 1
    assert "CuPy" in err
    assert "pip install 'cupy-cuda12x[ctk]'" in err


def test_a_path_of_several_lines_stays_on_one(workplace, monkeypatch, capsys):
    monkeypatch.chdir(workplace)
    assert main(["info", "a\nb.safetensors"]) == 2
    assert capsys.readouterr().err == "zfnumpy info: there is no checkpoint a b.safetensors\n"


FAILING = {"predict": "predict net.safetensors image.png",
           "draw_figure2": "figure2 net.safetensors --data good --out sheets",
           "evaluate": "evaluate net.safetensors --data good --batch-size 7"}


@pytest.mark.parametrize(("what", "error", "told"), [
    ("looking.predict", MemoryError("allocating 9 bytes"), "not enough memory (allocating 9 bytes)"),
    ("looking.draw_figure2", MemoryError("no"), "not enough memory; try a smaller --batch-size than 32 (no)"),
    ("training.evaluate", MemoryError(), "not enough memory; try a smaller --batch-size than 7"),
    ("looking.predict", OSError(5, "Input/output error"), "Input/output error")])
def test_what_the_machine_refuses_is_one_line_too(workplace, monkeypatch, capsys, what, error, told):
    def fail(*_):
        raise error

    monkeypatch.chdir(workplace)
    monkeypatch.setattr(f"zfnumpy.cli.{what}", fail)
    assert main(FAILING[what.partition(".")[2]].split()) == 2
    err = capsys.readouterr().err
    assert err.count("\n") == 1
    assert err.endswith(f"{told}\n")


def test_without_memory_on_the_processor_a_training_names_its_batch(workplace, tmp_path, monkeypatch, capsys):
    def fail(*_, **__):
        raise MemoryError("Unable to allocate 9 TiB")

    monkeypatch.chdir(workplace)
    monkeypatch.setattr("zfnumpy.network.Network.forward", fail)
    assert main([*TRAIN.split(), "--out", str(tmp_path / "run")]) == 2
    assert capsys.readouterr().err == ("zfnumpy train: a step with 4 images has no room in memory; "
                                       "try a smaller --batch-size (Unable to allocate 9 TiB)\n")


def test_a_diverging_run_is_one_line_and_keeps_its_checkpoint(workplace, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(workplace)
    code = main([*TRAIN.split(), "--epochs", "3", "--lr", "1e30", "--out", str(tmp_path / "run")])
    err = capsys.readouterr().err
    assert code == 2
    assert err.count("\n") == 1
    assert "try a lower rate than 1e+30" in err
    net = checkpoint.load(Path(tmp_path, "run", "last.safetensors"), get_ops("numpy"))
    assert all(np.isfinite(w).all() for w in net.params.values())

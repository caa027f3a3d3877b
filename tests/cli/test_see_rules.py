"""`see rules`, `saliency`, `activations` and `segment` as a user gives them, on good pictures and bad."""

import json
import re
import shlex
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import zfnumpy as zf
from zfnumpy import checkpoint, plots
from zfnumpy.cli import main
from zfnumpy.data import Preprocessing
from zfnumpy.layers import Conv2d, GlobalAvgPool, MaxPool2d, ReLU
from zfnumpy.network import Network

OPS = zf.get_ops("numpy")
KINDS = ("rules", "saliency", "activations", "segment")
CLASSES = ["ant", "bee", "cat"]


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A folder with two networks, one of them on BGR, and pictures."""
    root, rng = tmp_path_factory.mktemp("place"), np.random.default_rng(0)
    net = zf.models.tiny_vgg(3, OPS, seed=1)
    net.classes = CLASSES
    checkpoint.save(root / "net.safetensors", net)
    swapped = Network([("conv1", Conv2d(6, 3)), ("relu1", ReLU()), ("pool1", MaxPool2d(3, 2)), ("conv2", Conv2d(3, 3)),
                       ("gap", GlobalAvgPool())], (3, 40, 40), OPS, seed=2, name="swapped",
                      preprocessing=Preprocessing(40, 40, (90, 100, 110), 1 / 64, "BGR"))
    checkpoint.save(root / "bgr.safetensors", swapped)
    for name, size in (("one", (80, 70)), ("two", (64, 64))):
        Image.fromarray(rng.integers(0, 256, (*size, 3), dtype=np.uint8)).save(root / f"{name}.png")
    Image.new("RGB", (64, 64), (200, 30, 90)).save(root / "blank.png")
    Image.new("RGB", (1, 1), (9, 200, 30)).save(root / "pixel.png")
    Image.fromarray(rng.integers(0, 256, (50, 60), dtype=np.uint8)).save(root / "grey.png")
    Image.fromarray(rng.integers(0, 65536, (50, 60)).astype(np.uint16)).save(root / "deep.png")
    Image.fromarray(rng.integers(0, 256, (4, 1200, 3), dtype=np.uint8)).save(root / "long.png")
    (root / "text.png").write_text("no picture")
    Image.new("1", (10_000, 10_000)).save(root / "huge.png")
    return root


@pytest.fixture(autouse=True)
def here(place, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for path in place.iterdir():
        Path(path.name).symlink_to(path)


@pytest.fixture
def run(capsys):
    """Run a command line of `see`: its standard output, after checking its exit code and that errors are empty."""
    def call(line, code=0):
        capsys.readouterr()
        found = main(["see", *shlex.split(line), "--backend", "numpy"])
        captured = capsys.readouterr()
        assert (found, captured.err) == (code, ""), captured.out
        return captured.out

    return call


def net_of(name):
    net = checkpoint.load(name, OPS)
    return net, lambda *paths: net.prepare([zf.data.load_image(path) for path in paths])


def opened(path):
    with Image.open(path) as picture:
        return np.asarray(picture.convert("RGB"))


def tile_of(sheet, row, column, size=192):
    """One picture of a projection sheet."""
    y, x = 36 + row * (size + 44) + 12 + 20, 12 + column * (size + 12)
    return sheet[y:y + size:size // 64, x:x + size:size // 64]


# ---- what is made ---------------------------------------------------------------------------------------------------

def test_rules_of_the_class(run):
    text = run("rules net.safetensors one.png two.png --out seen")
    net, prepare = net_of("net.safetensors")
    x = prepare("one.png", "two.png")
    best = net.scores(x).argmax(axis=1)
    assert re.fullmatch(rf"one.png: {CLASSES[best[0]]} \d+%; shown: {CLASSES[best[0]]}\n"
                        rf"two.png: {CLASSES[best[1]]} \d+%; shown: {CLASSES[best[1]]}\nwrote seen/rules.png\n", text)
    assert sorted(path.name for path in Path("seen").iterdir()) == ["rules.json", "rules.npz", "rules.png"]
    sheet, expected = opened("seen/rules.png"), zf.visualize.by_rules(net, x)
    assert sheet.shape == (36 + 2 * 236, 5 * 204 + 12, 3)              # picture, three rules, saliency
    with np.load("seen/rules.npz") as found:
        for column, rule in enumerate(("gradient", "guided", "deconvnet"), 1):
            np.testing.assert_allclose(found[rule], expected[rule], rtol=1e-4, atol=1e-6)
            for row in (0, 1):
                np.testing.assert_array_equal(tile_of(sheet, row, column), plots.signed(found[rule][row]))
        saliency = np.abs(found["gradient"]).max(axis=1)
    for row in (0, 1):
        np.testing.assert_array_equal(tile_of(sheet, row, 0), net.preprocessing.pixels(x)[row])
        np.testing.assert_array_equal(tile_of(sheet, row, 4), plots.faint(saliency[row]))
    told = json.loads(Path("seen/rules.json").read_text())
    assert (told["network"], told["layer"], told["channels"]) == ("tiny_vgg", "fc", "RGB")
    assert [each["unit"] for each in told["pictures"]] == [[int(k)] for k in best]


def test_rules_of_a_class_by_name_and_of_units(run):
    net, prepare = net_of("net.safetensors")
    x = prepare("one.png")
    strongest = int(net.activations(x, "conv2_2")["conv2_2"].max(axis=(2, 3)).argmax())
    for line, layer, unit, shown in [
            ("--class bee", "fc", (1,), "bee"), ("--class 2", "fc", (2,), "cat"),
            ("--layer conv1_2 --unit 3", "conv1_2", (3,), "conv1_2 map 3"),
            ("--layer pool1 --unit 3,4,5", "pool1", (3, 4, 5), "pool1 map 3, 4, 5"),
            ("--unit 7", "conv2_2", (7,), "conv2_2 map 7"), ("--layer conv2_2", "conv2_2", (strongest,), f"map {strongest}"),
            ("--layer fc --unit 1", "fc", (1,), "fc feature 1")]:
        assert shown in run(f"rules net.safetensors one.png {line}")
        with np.load("rules.npz") as found:
            for rule, r in zf.visualize.by_rules(net, x, layer, unit).items():
                np.testing.assert_allclose(found[rule], r, rtol=1e-4, atol=1e-6, err_msg=f"{line} {rule}")
        assert opened("rules.png").shape[1] == (5 if "--class" in line else 4) * 204 + 12


def test_pictures_may_stand_behind_options(run):
    before = run("saliency net.safetensors one.png two.png --class bee")
    assert run("saliency net.safetensors --class bee one.png two.png") == before
    assert run("saliency net.safetensors one.png --class bee two.png") == before


def test_colours_of_a_bgr_network_are_shown_as_rgb(run):
    run("rules bgr.safetensors one.png")
    net, prepare = net_of("bgr.safetensors")
    expected = zf.visualize.by_rules(net, prepare("one.png"))
    with np.load("rules.npz") as found:
        for rule, r in expected.items():
            np.testing.assert_allclose(found[rule], r[:, ::-1], rtol=1e-4, atol=1e-6)
        shown = opened("rules.png")[68:68 + 200:5, 12 + 212:12 + 212 + 200:5]
        np.testing.assert_array_equal(shown, plots.signed(found["gradient"][0]))


@pytest.mark.parametrize("noise", ["", "--noise 0.2 --samples 3 --seed 4"])
def test_saliency(run, noise):
    text = run(f"saliency net.safetensors one.png two.png --class cat {noise} --out seen")
    assert "shown: cat" in text
    net, prepare = net_of("net.safetensors")
    how = {"noise": 0.2, "samples": 3, "seed": 4} if noise else {}
    sheet = opened("seen/saliency.png")
    assert sheet.shape == (36 + 2 * 236, 3 * 204 + 12, 3)
    with np.load("seen/saliency.npz") as found:
        for row, path in enumerate(("one.png", "two.png")):
            expected = zf.visualize.saliency(net, prepare(path), 2, **how)
            np.testing.assert_allclose(found["maps"][row], expected[0], rtol=1e-4, atol=1e-7)
            np.testing.assert_array_equal(tile_of(sheet, row, 1), plots.faint(found["maps"][row]))
            shown = plots.overlay(net.preprocessing.pixels(prepare(path))[0], found["maps"][row], 0,
                                  np.percentile(found["maps"][row], 99.5))
            np.testing.assert_array_equal(tile_of(sheet, row, 2), shown)
    told = json.loads(Path("seen/saliency.json").read_text())
    assert [each["class"] for each in told["pictures"]] == ["cat", "cat"]
    assert told["noise"] == how.get("noise", 0)


def test_activations(run):
    text = run("activations net.safetensors one.png --layer conv1_1,relu2_1,fc --top 4 --scale layer --out seen")
    assert text == "".join(f"wrote seen/activations_{layer}.png\n" for layer in ("conv1_1", "relu2_1", "fc"))
    net, prepare = net_of("net.safetensors")
    x = prepare("one.png")
    for layer in ("conv1_1", "relu2_1", "fc"):
        found = zf.visualize.activation_maps(net, x, layer)
        with np.load(f"seen/activations_{layer}.npz") as file:
            np.testing.assert_allclose(file["maps"], found.maps, rtol=1e-4, atol=1e-6)
            sheet = plots.activation_sheet(file["maps"][0], layer, found.most_active(0, 4), net.preprocessing.pixels(x)[0],
                                           "layer", CLASSES if layer == "fc" else None)
        np.testing.assert_array_equal(opened(f"seen/activations_{layer}.png"), sheet)
        assert json.loads(Path(f"seen/activations_{layer}.json").read_text())["pictures"] == ["one.png"]


def test_activations_of_several_pictures_go_on_several_sheets(run):
    text = run("activations net.safetensors one.png two.png")
    assert text == "wrote activations_conv2_2_1.png\nwrote activations_conv2_2_2.png\n"
    assert not np.array_equal(opened("activations_conv2_2_1.png"), opened("activations_conv2_2_2.png"))
    with np.load("activations_conv2_2.npz") as file:
        assert file["maps"].shape == (2, 10, 26, 26)


def test_segment(run):
    pytest.importorskip("cv2")
    run("saliency net.safetensors one.png two.png")
    text = run("segment net.safetensors one.png two.png")
    net, prepare = net_of("net.safetensors")
    pictures, sheet = net.preprocessing.pixels(prepare("one.png", "two.png")), opened("segment.png")
    with np.load("segment.npz") as found, np.load("saliency.npz") as saliency:
        for row in (0, 1):
            expected = zf.visualize.segment(pictures[row], saliency["maps"][row])
            np.testing.assert_array_equal(found["mask"][row], expected.mask)
            np.testing.assert_array_equal(found["box"][row], expected.box)
            np.testing.assert_array_equal(tile_of(sheet, row, 2), plots.seeded(pictures[row], expected.seeds))
            np.testing.assert_array_equal(tile_of(sheet, row, 3), plots.cut_out(pictures[row], expected.mask, expected.box))
            assert f"box {', '.join(map(str, expected.box))}, " in text
    assert json.loads(Path("segment.json").read_text())["pictures"][1]["box"] == expected.box.tolist()


def test_pictures_of_a_data_set(run, tmp_path):
    for name in CLASSES:
        (tmp_path / "photos" / name).mkdir(parents=True)
        for i in range(4):
            Image.new("RGB", (64, 64), (60 * i, 90, 120)).save(tmp_path / "photos" / name / f"{i}.png")
    text = run("rules net.safetensors --data photos --val-fraction 0.5 --pick 0,5 --out seen")
    assert len(re.findall(r"photos/(?:ant|cat)/\d.png: ", text)) == 2


def test_project_is_what_it_was(run, tmp_path, capsys):
    """The same sheet code serves both: the column of a rule is the same picture."""
    run("rules net.safetensors one.png --layer conv2_1 --unit 4")
    assert main(["project", "net.safetensors", "one.png", "--layer", "conv2_1", "--unit", "4", "--backend", "numpy"]) == 0
    assert "one.png: conv2_1 map 4" in capsys.readouterr().out
    seen, projected = opened("rules.png"), opened("projections.png")
    for column, other in ((0, 0), (1, 3), (2, 2), (3, 1)):
        np.testing.assert_array_equal(tile_of(seen, 0, column), tile_of(projected, 0, other))


# ---- pictures of every kind -----------------------------------------------------------------------------------------

@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", ["net", "bgr"])
def test_blank_tiny_grey_deep_and_long_pictures(run, kind, name):
    if kind == "segment":
        pytest.importorskip("cv2")
    pictures = "blank.png pixel.png grey.png deep.png long.png"
    text = run(f"{kind} {name}.safetensors {pictures} --out seen")
    assert text.count("wrote") == (5 if kind == "activations" else 1)
    with np.load(next(Path("seen").glob("*.npz"))) as found:
        for array in found.values():
            assert len(array) == 5
            assert np.isfinite(array).all()
    for path in Path("seen").glob("*.png"):
        height, width, _ = opened(path).shape
        assert min(height, width) > 150


@pytest.mark.parametrize("kind", KINDS)
def test_what_cannot_be_read_is_told_and_the_rest_is_shown(run, kind):
    if kind == "segment":
        pytest.importorskip("cv2")
    text = run(f"{kind} net.safetensors text.png one.png huge.png absent.png", code=2)
    assert "passed over 3 files that could not be used: text.png (cannot read the picture text.png: not a picture" in text
    assert "huge.png: 10000 x 10000 pixels, and the limit is" in text
    assert "absent.png: no such file" in text
    assert "wrote" in text


@pytest.mark.parametrize(("line", "words"), [
    ("rules net.safetensors text.png", ["none of 1 pictures", "not a picture"]),
    ("saliency net.safetensors huge.png", ["none of 1 pictures", "10000 x 10000", "the limit is", "shrink it"]),
    ("rules net.safetensors", ["name picture files", "--data"]),
    ("rules net.safetensors one.png --class dog", ["no class 'dog'", "ant, bee, cat", "0 to 2"]),
    ("saliency net.safetensors one.png --class 3", ["no class '3'", "ant, bee, cat"]),
    ("segment net.safetensors one.png --class dog", ["no class 'dog'", "ant, bee, cat"]),
    ("rules net.safetensors one.png --layer conv9", ["no layer 'conv9'", "conv1_1", "fc"]),
    ("activations net.safetensors one.png --layer conv1_1,conv9", ["no layer 'conv9'", "conv1_1", "fc"]),
    ("rules net.safetensors one.png --layer conv1_1 --unit 10", ["no channel 10", "10 × 62 × 62", "0 to 9"]),
    ("rules net.safetensors one.png --layer conv1_1 --unit 1,70,0", ["no row 70", "0 to 61"]),
    ("rules net.safetensors one.png --layer fc --unit 3", ["no feature 3", "0 to 2"]),
    ("rules net.safetensors one.png --unit x", ["--unit", "'x'"]),
    ("rules net.safetensors one.png --layer conv1_1 --class bee", ["--class", "--layer", "one or the other"]),
    ("rules net.safetensors one.png --unit 1 --class bee", ["--class", "--unit", "one or the other"]),
    ("saliency net.safetensors one.png --noise -1", ["noise", "0 or more", "-1.0"]),
    ("segment net.safetensors one.png --noise nan", ["noise", "nan"]),
    ("saliency net.safetensors one.png --samples 0", ["--samples", "from 1", "'0'"]),
    ("activations net.safetensors one.png --top 0", ["--top", "from 1", "'0'"]),
    ("activations net.safetensors one.png --scale both", ["--scale", "'both'", "each", "layer"]),
    ("rules net.safetensors one.png --out text.png", ["text.png", "File exists"]),
    ("rules net.safetensors one.png --colour red", ["--colour"]),
    ("rules net.safetensors one.png --backend numpy two.png --colour red", ["--colour"])])
def test_mistakes_are_one_line_and_write_nothing(capsys, line, words):
    if "segment" in line:
        pytest.importorskip("cv2")
    before = sorted(Path().iterdir())
    try:
        code = main(["see", *line.split()])
    except SystemExit as ended:
        code = ended.code
    err = capsys.readouterr().err
    assert code == 2
    assert err.count("\n") == 1, err
    for word in words:
        assert word in err, err
    assert sorted(Path().iterdir()) == before


def test_without_opencv_the_package_is_named(monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "cv2", None)
    assert main(["see", "segment", "net.safetensors", "one.png", "--backend", "numpy"]) == 2
    err = capsys.readouterr().err
    assert err.count("\n") == 1
    assert "pip install 'zfnumpy[segment]'" in err
    assert not list(Path().glob("segment.*"))


# ---- a trained network ----------------------------------------------------------------------------------------------

def squeezenet(real_data):
    return ["--model", "squeezenet1_1", "--classes", str(real_data / "imagenet_classes.tsv")]


def test_squeezenet_on_250_photographs(real_data, capsys):
    """As the weights were measured with another framework: 161 of 250, and 214 among the first five."""
    weights, photos = real_data / "weights" / "squeezenet1_1_imagenet.npz", real_data / "imagenet-photos-250"
    assert main(["evaluate", str(weights), *squeezenet(real_data), "--data", str(photos)]) == 0
    text = capsys.readouterr().out
    assert "250 of the network's 1000 classes are in the data by name: 250 images\n" in text
    right, top5 = re.search(r"top-1 [\d.]+% \((\d+) of 250\), top-5 ([\d.]+)%", text).groups()
    assert int(right) == pytest.approx(161, abs=1)
    assert round(2.5 * float(top5)) == pytest.approx(214, abs=1)


def test_evaluate_by_number_and_what_has_no_training_part(place, tmp_path, capsys):
    net = checkpoint.load("net.safetensors", OPS)
    net.classes = None
    checkpoint.save(tmp_path / "nameless.safetensors", net)
    folder = tmp_path / "listed"
    folder.mkdir()
    for i in range(3):
        Image.new("RGB", (64, 64), (80 * i, 10, 20)).save(folder / f"{i}.png")
    (folder / "labels.tsv").write_text("file\tindex\tname\n0.png\t2\tcat\n1.png\t0\tant\n2.png\t0\tant\ngone.png\t1\tbee\n")

    def told(line, code=0):
        assert main([*line.split(), "--backend", "numpy"]) == code
        captured = capsys.readouterr()
        return captured.err if code else captured.out

    by_number, by_name = (told(f"evaluate {name}.safetensors --data listed") for name in ("nameless", "net"))
    assert "3 of the network's 3 classes" not in by_number
    assert "2 of the network's 3 classes are in the data by number: 3 images\n" in by_number
    assert "passed over 1 file that could not be used: listed/gone.png (listed, but no such file)\n" in by_number
    assert by_number.splitlines()[-1].startswith("top-1 ")
    assert " of 3), " in by_number
    assert by_number.splitlines()[-1] == told("evaluate net.safetensors --data listed").splitlines()[-1]
    assert "top-1" in by_name
    assert "listed has no training part" in told("evaluate net.safetensors --data listed --train-set", 2)
    assert "none to train on" in told("train listed --model tiny_vgg --out run", 2)
    (folder / "labels.tsv").write_text("0.png\t7\n")
    assert "numbers classes up to 7, the network tells 3 apart" in told("evaluate nameless.safetensors --data listed", 2)

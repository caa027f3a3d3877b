"""What a report holds, read without a browser."""

import base64
import hashlib
import json
import os
import re
from html.parser import HTMLParser

import numpy as np
import pytest
from awkward_data import CLASSES, Awkward, small_network
from PIL import Image

import zfnumpy as zf
from zfnumpy.cli import main
from zfnumpy.data import sketches
from zfnumpy.errors import BackendError, DataError, ZFNumpyError
from zfnumpy.layers import Flatten, Linear
from zfnumpy.report import features, sprites
from zfnumpy.report.book import Book
from zfnumpy.report.build import build, chosen_pictures, searched, spread
from zfnumpy.report.layers import room_for
from zfnumpy.report.page import as_json
from zfnumpy.report.rules import rules_part
from zfnumpy.report.settings import Settings


class Page(HTMLParser):
    """A page taken apart: its tags with their attributes, its text, and the content of its scripts and styles."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.text, self.raw, self.inside = [], [], [], None
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag in ("script", "style"):
            self.inside = (tag, dict(attrs).get("type"))

    def handle_endtag(self, tag):
        if tag in ("script", "style"):
            self.inside = None

    def handle_data(self, data):
        if self.inside:
            self.raw.append((*self.inside, data))
        else:
            self.text.append(data)

    def data(self):
        return [json.loads(text) for _, kind, text in self.raw if kind == "application/json"]


@pytest.fixture(scope="module")
def source(report):
    return (report / "index.html").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def page(source):
    return Page(source)


@pytest.fixture(scope="module")
def manifest(report):
    return json.loads((report / "manifest.json").read_text(encoding="utf-8"))


# ---- the manifest ---------------------------------------------------------------------------------------------------

def test_every_figure_is_there_with_its_data(report, manifest):
    figures = manifest["figures"]
    names = [each["name"] for each in figures]
    assert len(set(names)) == len(names)
    for each in figures:
        assert (report / each["data"]).is_file(), each
        with Image.open(report / each["figure"]) as picture:
            assert picture.format == "PNG"
    assert {path.name for path in (report / "figures").iterdir()} == {os.path.basename(each["figure"]) for each in figures}
    wanted = ["filters_conv1", "strongest_conv1", "strongest_conv5", "rules_0", "rules_1", "occlusion_1", "gradcam_1",
              "saliency_1", "activations_0", "embedding_pca", "truth"]
    assert not set(wanted) - set(names)
    assert not list(report.rglob(".*")), "something half-written is left"


def test_the_page_has_a_part_for_every_section(page, manifest):
    routes = {attrs["data-route"] for tag, attrs in page.tags if tag == "section"}
    assert {"", "rules", "features", "truth", "layer/conv3", "picture/1"} <= routes
    for each in manifest["figures"]:
        assert any(route.startswith(each["section"].removesuffix("s")) for route in routes), each


def test_strongest_units_are_those_of_the_results(report, page):
    data = next(each for each in page.data() if each.get("layer") == "conv4")
    found = np.load(report / "results" / "strongest_conv4.npz")
    assert len(data["maps"]) == 10
    for entry in data["maps"]:
        k = entry["map"]
        assert np.allclose([unit["value"] for unit in entry["units"]], found["values"][k], rtol=1e-3)
        assert [unit["index"] for unit in entry["units"]] == found["images"][k].tolist()
        assert [unit["at"] for unit in entry["units"]] == np.stack([found["rows"][k], found["cols"][k]], 1).tolist()
    assert data["maps"][0]["map"] < data["maps"][-1]["map"]


def test_occlusion_on_the_page_is_that_of_the_results(report, page):
    shown = [each for each in page.data() if "tops" in each]
    assert len(shown) == 2
    for number, each in enumerate(shown):
        found = np.load(report / "results" / f"picture_{number}" / "occlusion.npz")
        assert np.allclose(each["p"], found["probability"].ravel(), atol=6e-6)
        assert [each["kinds"][k] for k in each["kind"]] == [CLASSES[k] for k in found["labels"].ravel()]
        assert each["tops"] == found["tops"].tolist()


# ---- one file, that loads nothing and believes no name ------------------------------------------------------------------

def test_nothing_is_loaded_from_outside(source, page):
    for _, attrs in page.tags:
        for key in ("src", "href", "data", "poster", "action", "srcset"):
            assert attrs.get(key) is None or attrs[key].startswith(("#", "data:")), (key, attrs[key][:80])
    for _, _, text in page.raw:
        assert not re.search(r"https?://(?!www\.w3\.org/2000/svg)|@import|url\((?![\"']?(data:|\$))", text)
        assert "//cdn" not in text
    assert len(source.encode()) < 4e6


def test_the_policy_allows_only_this_style_and_this_script(page):
    policy = next(attrs["content"] for tag, attrs in page.tags if attrs.get("http-equiv") == "Content-Security-Policy")
    assert policy.startswith("default-src 'none'; img-src data:;")
    for kind in ("style", "script"):
        (text,) = [text for tag, type_, text in page.raw if tag == kind and type_ is None]
        assert f"{kind}-src 'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'" in policy
    assert "unsafe" not in policy
    assert not [attrs for _, attrs in page.tags if any(key == "style" or key.startswith("on") for key in attrs)]


def test_names_are_text(source, page):
    text = "".join(page.text)
    scripts = [attrs for tag, attrs in page.tags if tag == "script" and "type" not in attrs]
    assert len(scripts) == 1
    assert "<script>alert" not in source
    assert "<b>sketches</b>" in text
    assert "{{ 7 * 6 }}" in source
    assert "</style>{{ 7 * 6 }}" not in source
    shown = {name for each in page.data() if "kinds" in each for name in each["kinds"]}
    assert shown <= set(CLASSES)
    assert "onerror=" not in str([attrs.keys() for _, attrs in page.tags])
    assert "/a folder/" not in source, "a picture's folder is nobody's business"


def test_json_inside_a_script():
    nasty = "</script><!--<script>&\u2028\u2029'\""
    assert not set("<>&\u2028\u2029") & set(as_json([nasty]))
    assert json.loads(as_json([nasty])) == [nasty]


def test_every_picture_has_words(page):
    pictures = [attrs for tag, attrs in page.tags if tag == "img"]
    assert len(pictures) > 20
    missing = [attrs for attrs in pictures if not attrs.get("alt") and attrs["src"] != "data:,"]
    assert not missing
    assert all(attrs.get("width") and attrs.get("height") for attrs in pictures)


def test_every_part_has_one_title(source):
    for part in source.split("<section")[1:]:
        assert len(re.findall(r"<h1 ", part.split("</section>")[0])) == 1


def test_labels_and_ids_are_unique(page):
    ids = [attrs["id"] for _, attrs in page.tags if "id" in attrs]
    assert len(ids) == len(set(ids))
    for _, attrs in page.tags:
        for key in ("aria-labelledby", "aria-describedby"):
            assert attrs.get(key) is None or attrs[key] in ids


# ---- parts --------------------------------------------------------------------------------------------------------------

def test_sheets_lay_tiles_out_without_gaps():
    pictures = np.arange(5, dtype=np.uint8)[:, None, None, None] * np.ones((5, 2, 3, 3), np.uint8)
    laid = sprites.sheet(pictures, 2)
    assert laid.shape == (6, 6, 3)
    assert laid[::2, ::3, 0].tolist() == [[0, 1], [2, 3], [4, 0]]
    assert sprites.even(pictures).shape == (5, 2, 4, 3)
    assert sprites.fit(np.zeros((2, 200, 100, 4), np.uint8), 50).shape == (2, 50, 25, 4)
    assert sprites.fit(pictures, 3) is pictures
    inside = np.ones((2, 3), bool)
    assert sprites.see_through(pictures[0], inside).shape == (2, 3, 3)
    inside[1] = False
    assert sprites.see_through(pictures[4], inside)[:, 0].tolist() == [[4, 4, 4, 255], [0, 0, 0, 0]]


def test_as_many_maps_as_there_is_room_for():
    net = small_network("numpy")
    layers = ("conv1", "conv5")
    assert room_for(net, layers, 9) == 10
    one = 2 * 9 * 7 * 7
    five = 2 * 9 * 64 * 64
    assert room_for(net, layers, 9, room=4 * (one + five)) == 4
    assert room_for(net, layers, 9, room=8 * one + 9 * five) == 9
    assert room_for(net, layers, 9, room=0) == 1


def test_which_pictures():
    labels = np.repeat([0, 1, 2], [50, 3, 1])
    assert sorted(labels[spread(labels, 3, seed=0)]) == [0, 1, 2]
    assert sorted(labels[spread(labels, 5, seed=0)].tolist()) == [0, 0, 1, 1, 2]
    assert spread(labels, 5, seed=1) == spread(labels, 5, seed=1)
    part = Awkward(sketches.load(20, seed=5, cache=False, processes=1))
    assert searched(part, None).tolist() == list(range(20))
    assert searched(part, 3).tolist() == [0, 10, 19]
    net = small_network("numpy")
    shown = chosen_pictures(net, part, Settings((), picked=(3, 19)))
    assert [each.index for each in shown] == [3, 19]
    assert shown[0].label == part.labels[3]
    assert np.allclose(shown[0].box, part.boxes[3])
    with pytest.raises(DataError, match=r"--pick 20: the data has 20 pictures, 0 to 19"):
        chosen_pictures(net, part, Settings((), picked=(20,)))


def test_a_network_without_maps(tmp_path):
    """One fully connected layer over the pixels has no layers to show, no features and no class maps, but a report."""
    part = Awkward(sketches.load(10, seed=5, cache=False, processes=1))
    net = zf.Network([("flatten", Flatten()), ("fc1", Linear(10))], (3, 64, 64), zf.get_ops("numpy"), dtype="float64",
                     preprocessing=small_network("numpy").preprocessing)
    path = build(net, part, Book(tmp_path), Settings(("fc1",), pictures=1, tested=2))
    page = Page(path.read_text())
    assert "it has no hidden layer" in "".join(page.text)
    assert "Saliency of class" in str(page.tags)
    assert "Grad-CAM" not in "".join(page.text)


def test_rules_on_a_device(device_ops, tmp_path):
    net = zf.models.tiny_vgg(10, device_ops)
    part = Awkward(sketches.load(10, seed=5, cache=False, processes=1))
    shown = chosen_pictures(net, part, Settings((), pictures=1))
    found = rules_part(net, Book(tmp_path), shown, lambda *_: iter)
    assert [len(row["cells"]) for row in found["pictures"][0]["rows"]] == [4, 4, 4, 4]


def test_without_scikit_learn_the_page_says_how_to_get_it(monkeypatch, tmp_path):
    def missing(*_):
        raise BackendError("t-SNE needs scikit-learn: pip install 'zfnumpy[embed]'")

    monkeypatch.setattr(features, "tsne", missing)
    part = Awkward(sketches.load(10, seed=5, cache=False, processes=1))
    found = features.features_part(small_network("numpy"), Book(tmp_path), Settings(()), part, np.arange(10),
                                   lambda *_: iter)
    assert [way["title"] for way in found["ways"]] == ["PCA"]
    assert "zfnumpy[embed]" in found["why"]


# ---- the command --------------------------------------------------------------------------------------------------------

@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    path = tmp_path_factory.mktemp("weights") / "small.safetensors"
    net = small_network("numpy")
    net.classes = None
    zf.checkpoint.save(path, net)
    return path


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    folder, rng = tmp_path_factory.mktemp("photos"), np.random.default_rng(0)
    for name in ("blue", "a & b"):
        (folder / name).mkdir()
        for i in range(3):
            Image.fromarray(rng.integers(0, 255, (40, 90, 3), dtype=np.uint8)).save(folder / name / f"{i} ' \".png")
    (folder / "blue" / "9.png").write_bytes(b"no picture")
    return folder


def test_report_from_the_command_line(trained, photos, tmp_path, capsys):
    out = tmp_path / "report"
    code = main(["report", str(trained), "--data", str(photos), "--train-set", "--out", str(out), "--layers", "conv1,relu7",
                 "--maps", "2", "--images", "1", "--no-truth", "--backend", "numpy", "--batch-size", "4"])
    captured = capsys.readouterr()
    assert (code, captured.err) == (0, "")
    last = captured.out.splitlines()[-1]
    assert re.fullmatch(rf"wrote {re.escape(str(out))}/index\.html, [\d.]+ MB, in \d+ s; open it in a browser", last)
    page = Page((out / "index.html").read_text())
    assert "truth" not in {attrs.get("data-route") for _, attrs in page.tags}
    assert [len(each["maps"]) for each in page.data() if "maps" in each] == [2, 2]
    assert "--layers conv1 --maps 8" in "".join(page.text)
    assert not (out / "figures").exists()


@pytest.mark.parametrize(("more", "message"), [
    (["--layers", "conv9"], "zfnet_mini has no layer 'conv9'"),
    (["--pick", "1,x"], "--pick takes whole numbers"),
    (["--pick", "99"], "--pick 99: the data has"),
    (["--experiments", "."], ". holds no study; zfnumpy experiment all --out . makes them"),
])
def test_refusals_come_before_the_work(trained, photos, tmp_path, capsys, more, message):
    assert main(["report", str(trained), "--data", str(photos), "--out", str(tmp_path / "r"), *more]) == 2
    assert message in capsys.readouterr().err


def test_an_out_that_cannot_be_written_is_refused_first(trained, tmp_path, capsys, monkeypatch):
    (tmp_path / "file").touch()
    assert main(["report", str(trained), "--data", "nowhere", "--out", str(tmp_path / "file" / "r")]) == 2
    assert "cannot write to the folder" in capsys.readouterr().err
    with pytest.raises(ZFNumpyError, match="cannot write to the folder"):
        Book(tmp_path / "file" / "r")

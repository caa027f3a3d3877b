"""Neighbours, embeddings, ascents and fooled pictures, drawn."""

import numpy as np
import pytest
from PIL import Image

from zfnumpy import get_ops, plots
from zfnumpy.data import Preprocessing
from zfnumpy.layers import Flatten, Linear
from zfnumpy.network import Network
from zfnumpy.plots.embedding import CLASS_COLOURS, MARKERS, rgb
from zfnumpy.visualize import Neighbours, class_image, fool

BLUE = rgb(plots.BLUE)


def neighbours(k=3):
    rows = np.arange(1, k + 1)[None]
    right = np.array([[1, 0, 1, 1]])[:, :k]
    return Neighbours("fc7", "euclidean", np.array([0]), np.array([1]), rows, right, rows * 1.0, rows, 0 * rows, rows * 1.0,
                      0.5, 0.25, 0.1, 9)


@pytest.mark.parametrize("side", [20, 64, 300])
def test_neighbours_of_the_class_are_framed_and_only_these(side):
    sheet = plots.neighbours_sheet(neighbours(), lambda i: np.full((side, side, 3), 60 + 20 * i, np.uint8), ["a", "b$"])
    blue = (sheet == BLUE).all(axis=-1)
    columns = np.flatnonzero(blue.sum(axis=0) > 20)
    runs = np.split(columns, np.flatnonzero(np.diff(columns) > 1) + 1)
    assert len(runs) == 4                                    # two frames: a left edge and a right one each
    for i in (0, 1, 2, 3):
        assert (sheet == 60 + 20 * i).all(axis=-1).sum() >= 60 * 60
    left = [np.flatnonzero((sheet == 60 + 20 * i).all(axis=-1).any(axis=0))[0] for i in (0, 1, 2, 3)]
    edges = [run[0] for run in runs]
    assert left[0] < edges[0] < left[1] < edges[1] < left[2] < edges[2] < left[3] < edges[3]


def test_neighbours_where_there_are_none():
    sheet = plots.neighbours_sheet(neighbours(0), lambda i: np.zeros((8, 8, 3), np.uint8), ["a", "b"])
    assert (sheet == 0).all(axis=-1).sum() >= 64 * 64


def test_a_scatter_opens_and_shows_every_class(tmp_path):
    points = np.random.default_rng(0).standard_normal((60, 2))
    labels = np.arange(60) % 20
    names = [f"class ${k}$, also" for k in range(20)]
    plots.save_scatter(tmp_path / "s.png", points, labels, names, "20 classes, $5")
    with Image.open(tmp_path / "s.png") as picture:
        shown = np.asarray(picture.convert("RGB"))
    for colour in CLASS_COLOURS:
        assert (np.abs(shown.astype(int) - rgb(colour)).max(axis=-1) < 60).sum() > 30
    plots.save_scatter(tmp_path / "one.png", np.zeros((1, 2)), [3], names, "one point")
    plots.save_scatter(tmp_path / "two.png", points, np.where(labels < 9, 3, 10), names, "the colours of thumbnails_sheet")
    with Image.open(tmp_path / "two.png") as picture:
        shown = np.asarray(picture.convert("RGB"))
    for colour in CLASS_COLOURS[:2]:
        assert (np.abs(shown.astype(int) - rgb(colour)).max(axis=-1) < 60).sum() > 30


def test_classes_differ_in_colour_or_marker():
    pairs = {(CLASS_COLOURS[k % len(CLASS_COLOURS)], MARKERS[k % len(MARKERS)]) for k in range(77)}
    assert len(pairs) == 77


@pytest.mark.parametrize("classes", [2, 9])
def test_thumbnails_lie_in_their_cells(classes):
    pictures = np.stack([np.full((16, 16, 3), (10 * i, 0, 0), np.uint8) for i in range(1, 10)])
    cells = np.stack(np.divmod(np.random.default_rng(0).permutation(12)[:9], 4), axis=1)
    sheet = plots.thumbnails_sheet(pictures, cells, (3, 4), np.arange(9) % classes, "abcdefghi", "title", size=40)
    centres = {}
    for i in range(9):
        at = np.argwhere((sheet == (10 * (i + 1), 0, 0)).all(axis=-1))
        assert len(at) >= 30 * 30
        centres[i] = at.mean(axis=0)
    corner = centres[0] - cells[0] * 40
    for i in range(9):
        np.testing.assert_allclose(centres[i] - cells[i] * 40, corner)
    framed = (sheet == rgb(CLASS_COLOURS[0])).all(axis=-1).any()
    assert framed == (classes <= len(CLASS_COLOURS))


@pytest.fixture(scope="module")
def net():
    return Network([("flatten", Flatten()), ("fc", Linear(3))], (3, 8, 8), get_ops("numpy"),
                   preprocessing=Preprocessing(8, 8, np.full(3, 120, np.float32), 1 / 64))


def test_an_ascent_sheet_holds_every_image(net):
    found = class_image(net, [0, 2], starts=3, steps=3)
    sheet = plots.ascent_sheet(found, [f"image {i}" for i in range(6)], ["note"] * 6, least=16)
    assert sheet.dtype == np.uint8
    wide = plots.ascent_sheet(found, [f"image {i}" for i in range(6)], columns=6, least=16)
    assert sheet.shape[0] > wide.shape[0] - 30                # a row a class, a column a start
    assert wide.shape[1] > sheet.shape[1] or wide.shape[0] < sheet.shape[0]


def test_a_fooled_sheet_shows_the_change_about_grey(net):
    x = net.prepare(np.full((2, 8, 8, 3), 128, np.uint8))
    label = net.scores(x).argmax(axis=1)
    label[0] = (label[0] + 1) % 3
    found = fool(net, x, label)
    sheet = plots.fooled_sheet(found, ["a", "b", "c"], least=64)
    assert sheet.shape[1] >= 3 * 64
    assert (sheet == 128).all(axis=-1).sum() >= 4 * 64 * 64        # what did not change, and its difference

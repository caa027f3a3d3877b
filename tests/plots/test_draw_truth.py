"""The figures of the table of tests."""

import numpy as np
import pytest
from PIL import Image

from zfnumpy import get_ops, plots
from zfnumpy.layers import Conv2d, Flatten, Linear, ReLU
from zfnumpy.network import Network
from zfnumpy.plots.colour import heat
from zfnumpy.plots.truth import style
from zfnumpy.visualize import randomization_test, truth_table
from zfnumpy.visualize.relevance import chosen

NET = Network([("conv1", Conv2d(4, 3, pad=1)), ("relu1", ReLU()), ("flatten", Flatten()), ("fc2", Linear(3))], (3, 8, 9),
              get_ops("numpy"), seed=2)
X = np.random.default_rng(1).standard_normal((3, 3, 8, 9)).astype(np.float32)
METHODS = chosen(["gradient", "guided", "edges"])
PICTURE = np.full((8, 9, 3), (200, 30, 90), np.uint8)


@pytest.fixture(scope="module")
def table():
    masks = np.zeros((3, 8, 9), bool)
    masks[:, 2:5, 2:5] = True
    return truth_table(NET, X, METHODS, masks=masks, steps=4)


def opened(path):
    with Image.open(path) as picture:
        assert picture.format == "PNG"
        return np.asarray(picture.convert("RGB"))


def test_figures_open(table, tmp_path):
    plots.save_truth_table(tmp_path / "t.png", table)
    plots.save_randomization(tmp_path / "r.png", table.randomization)
    plots.save_perturbation(tmp_path / "p.png", table.curves)
    for name in "trp":
        assert opened(tmp_path / f"{name}.png").std() > 10


def test_figures_of_one_blank_picture_without_truth_and_of_single_layers(tmp_path):
    table = truth_table(NET, np.zeros((1, 3, 8, 9), np.float32), METHODS, cascading=False, steps=4)
    plots.save_truth_table(tmp_path / "t.png", table)
    plots.save_randomization(tmp_path / "r.png", table.randomization)
    plots.save_perturbation(tmp_path / "p.png", table.curves)
    assert plots.randomization_sheet(table.randomization, PICTURE).dtype == np.uint8


def test_the_bars_of_what_fails_are_not_those_of_what_passes(tmp_path):
    linear = Network([("flatten", Flatten()), ("fc", Linear(3))], (3, 16, 16), get_ops("numpy"), seed=1)
    x = np.random.default_rng(3).standard_normal((6, 3, 16, 16)).astype(np.float32)
    drawn = []
    for name, verdict in (("gradient", "passes"), ("noise", "fails")):
        table = truth_table(linear, x, chosen([name]), steps=2)
        assert table.randomization.verdict(name) == verdict
        plots.save_truth_table(tmp_path / "t.png", table)
        drawn.append(opened(tmp_path / "t.png"))
    shade = np.array((0xf1, 0xcb, 0xb0))
    assert [(picture == shade).all(axis=-1).any() for picture in drawn] == [False, True]


def test_the_sheet_has_a_row_a_method_and_a_column_a_step(table):
    found = table.randomization
    sheet = plots.randomization_sheet(found, PICTURE, side=16)
    maps = abs(found.maps)
    columns = []
    for m in range(3):
        for step in range(3):
            high = np.percentile(maps[m, step], 99.5)
            tile = heat(maps[m, step], 0, high).repeat(2, 0).repeat(2, 1)
            at = [(r, c) for r, c in np.argwhere((sheet[:, :, 0] == tile[0, 0, 0]) & (sheet[:, :, 1] == tile[0, 0, 1]))
                  if np.array_equal(sheet[r:r + 16, c:c + 18], tile)]
            assert len(at) >= 1, (m, step)
            columns.append((at[0][1], at[0][0]))
    assert len({column for column, _ in columns[:3]}) == 3           # steps beside each other
    assert columns[0][0] == columns[3][0]                            # trained above trained
    assert columns[0][1] < columns[3][1]
    assert (sheet == PICTURE[0, 0]).all(axis=-1).sum() == 3 * 16 * 18


def test_large_pictures_are_reduced_in_the_sheet():
    net = Network([("flatten", Flatten()), ("fc", Linear(2))], (3, 60, 80), get_ops("numpy"))
    found = randomization_test(net, np.zeros((1, 3, 60, 80), np.float32), METHODS)
    sheet = plots.randomization_sheet(found, np.zeros((60, 80, 3), np.uint8), side=30)
    assert (sheet == 0).all(axis=-1).sum() >= 3 * 30 * 40


def test_no_two_lines_are_alike_in_grey():
    assert len({(str(style(k)["linestyle"]), style(k)["marker"]) for k in range(12)}) == 12
    assert len({tuple(map(str, style(k).values())) for k in range(60)}) == 60

"""Boxes on pictures and sheets of class maps."""

import warnings

import numpy as np
import pytest
from PIL import Image

from zfnumpy import plots
from zfnumpy.plots.boxes import LEAST
from zfnumpy.visualize.localize import Localization


def test_a_box_is_drawn_where_it_is():
    picture = np.full((10, 14, 3), 200, np.uint8)
    factor = -(-LEAST // 10)
    drawn = plots.boxed(picture, [((2, 3, 9, 8), plots.FOUND)])
    assert drawn.shape == (10 * factor, 14 * factor, 3)
    rows, columns = np.nonzero((drawn == plots.FOUND).all(axis=2))
    for found, (first, last) in zip((columns, rows), ((2, 9), (3, 8))):
        assert abs(found.min() - first * factor) <= 1
        assert abs(found.max() + 1 - last * factor) <= 2
    inside = drawn[4 * factor:7 * factor, 3 * factor:8 * factor]
    assert (inside == 200).all()
    assert (picture == 200).all()


def test_true_boxes_are_dashed_and_others_not():
    picture = np.zeros((64, 64, 3), np.uint8)
    whole, dashed = (int((plots.boxed(picture, [((8, 8, 56, 56), colour)]) == colour).all(axis=2).sum())
                     for colour in (plots.FOUND, plots.TRUE))
    assert 0.4 * whole < dashed < 0.75 * whole


@pytest.mark.parametrize("box", [None, (0, 0, 0, 0), (np.nan,) * 4, (5, 5, 5, 9), (9, 9, 3, 3)])
def test_boxes_without_pixels_are_not_drawn(box):
    picture = np.random.default_rng(0).integers(0, 255, (12, 12, 3), np.uint8)
    np.testing.assert_array_equal(plots.boxed(picture, [(box, plots.FOUND)]), plots.enlarge(picture, LEAST))


def test_boxes_at_the_edges_and_of_one_pixel():
    picture = np.zeros((8, 8, 3), np.uint8)
    for box in ((0, 0, 8, 8), (7, 7, 8, 8), (0, 0, 1, 1)):
        assert (plots.boxed(picture, [(box, plots.FOUND)]) == plots.FOUND).all(axis=2).sum() > 40


def maps(count):
    map = np.zeros((16, 16))
    map[4:9, 5:12] = 1
    return [(f"class {k}", map * (k != 1), np.array([5, 4, 12, 9])) for k in range(count)]


@pytest.mark.parametrize("count", [1, 2, 4])
def test_a_sheet_holds_every_picture_and_map(count):
    pictures = np.random.default_rng(0).integers(0, 255, (5, 16, 16, 3), np.uint8)
    rows = [(f"picture {n}", picture, None if n else np.array([5, 4, 12, 9]), maps(count))
            for n, picture in enumerate(pictures)]
    sheet = plots.class_map_sheet(rows, "a title")
    assert sheet.dtype == np.uint8
    side = LEAST + 12
    assert sheet.shape[0] * sheet.shape[1] >= 5 * (count + 1) * side * side
    with_one = plots.class_map_sheet(rows[:1], "a title")
    assert with_one.shape[0] < sheet.shape[0] or with_one.shape[1] < sheet.shape[1]


def test_a_map_that_says_nothing_is_dark_all_over():
    picture = np.full((16, 16, 3), 128, np.uint8)
    for map in (np.zeros((16, 16)), -np.ones((16, 16))):
        sheet = plots.class_map_sheet([("p", picture, None, [("c", map, np.zeros(4))])], "t")
        assert (sheet == plots.overlay(picture[None], map[None], 0, 0)[0, 0, 0]).all(axis=2).sum() >= LEAST * LEAST


def test_localization_figure(tmp_path):
    thresholds = np.array([0.2, 0.5])
    overlaps = np.array([[[0.9, 0.2, 0.6], [0.4, 0.1, 0.7]]])
    found = Localization(("cam",), thresholds, np.array([0.2]), overlaps, np.zeros((1, 3, 4)), np.tile([0, 0, 4, 4], (3, 1)),
                         *np.zeros((3, 3), int), np.arange(3), np.array([0, 0, 4, 4]), (8, 8), ["a", "b"])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        plots.save_localization(tmp_path / "curve.png", found)
    with Image.open(tmp_path / "curve.png") as picture:
        assert picture.size[0] > 400

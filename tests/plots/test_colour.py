"""Numbers as colours."""

import numpy as np

from zfnumpy import plots


def luminance(colours):
    return colours.astype(float) @ (0.299, 0.587, 0.114)


def test_heat_gets_lighter_as_values_grow_and_keeps_its_ends():
    picture = plots.heat(np.linspace(0, 5, 40)[None])
    assert picture.shape == (1, 40, 3)
    assert picture.dtype == np.uint8
    assert (np.diff(luminance(picture[0])) > 0).all()
    assert (plots.heat(np.array([[1.0, 2]]), 0, 4)[0, 1] == plots.heat(np.array([[0.5]]), 0, 1)[0, 0]).all()


def test_heat_of_one_value_or_none_is_a_picture():
    assert (plots.heat(np.full((2, 2), 3.0)) == plots.heat(np.zeros((1, 1)))).all()
    broken = plots.heat(np.array([[np.nan, 0, 1, np.inf]]))
    assert (broken[0, [0, 3]] == 128).all()
    assert (broken[0, 2] == plots.heat(np.array([[0.0, 1]]))[0, 1]).all()
    assert (plots.heat(np.full((1, 2), np.nan)) == 128).all()


def test_an_overlay_shows_the_picture_below_in_grey():
    picture = np.zeros((4, 4, 3), np.uint8)
    picture[:2] = 200, 0, 0
    laid = plots.overlay(picture, np.zeros((4, 4)), alpha=0.5)
    below = np.rint((luminance(picture)[..., None] + plots.heat(np.zeros((4, 4)))) / 2)
    assert np.abs(laid - below).max() <= 1


def test_grey_maps_are_scaled_one_by_one_and_a_silent_one_is_black():
    maps = np.array([[[0, 2.0], [-1, 4]], [[0, 0], [0, 0]]])
    assert plots.grey(maps)[..., 0].tolist() == [[[0, 128], [0, 255]], [[0, 0], [0, 0]]]


def test_maps_are_drawn_up_to_their_brightest_pixels_but_the_hottest():
    maps = np.zeros((3, 20, 20))
    maps[0] = np.arange(400).reshape(20, 20)
    maps[1, 3, 4] = 7                                                # fewer than one pixel of two hundred
    np.testing.assert_allclose(plots.brightest(maps), [np.percentile(maps[0], 99.5), 7, 0])
    assert (plots.faint(maps)[1:].max(axis=(1, 2, 3)) == [255, 0]).all()

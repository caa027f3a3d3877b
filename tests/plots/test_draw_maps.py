"""Activation sheets, saliency in grey, seeds and cut-outs."""

import numpy as np
import pytest

from zfnumpy import plots
from zfnumpy.plots.maps import OBJECT, REST

RNG = np.random.default_rng(0)
SIDE, CELL = 48, 48 + 2 + 13                                          # of a small map, and with its frame and label


def maps_of(*maxima, size=3):
    """Maps that rise from 0 to these maxima along their rows; one below 0 throughout for a negative maximum."""
    ramp = np.tile(np.arange(size) / (size - 1), (size, 1))
    return np.stack([m * ramp if m > 0 else np.full((size, size), float(m)) for m in maxima])


def cell(sheet, place, columns):
    """The map in a place of a sheet without picture, as one value a pixel of the map (3, 3)."""
    top = sheet.shape[0] - (-(-4 // columns) * (CELL + 6) + 6)
    y, x = top + 6 + place // columns * (CELL + 6) + 13, 6 + place % columns * (SIDE + 2 + 6)
    assert (sheet[y, x:x + SIDE + 2] == plots.FRAME[0]).all()
    inner = sheet[y + 1:y + 1 + SIDE, x + 1:x + 1 + SIDE]
    assert (inner[..., 0] == inner[..., 2]).all()
    return inner[::16, ::16, 0]


def test_each_map_up_to_its_own_maximum_or_all_to_the_layers():
    maps = maps_of(4, 2, -1, 0)
    each = plots.activation_sheet(maps, "conv1")
    ramp = np.tile([0, 128, 255], (3, 1))
    for place, expected in enumerate([ramp, ramp, 0 * ramp, 0 * ramp]):
        np.testing.assert_array_equal(cell(each, place, 3), expected)
    alike = plots.activation_sheet(maps, "conv1", scale="layer")
    for place, expected in enumerate([ramp, np.tile([0, 64, 128], (3, 1)), 0 * ramp, 0 * ramp]):
        np.testing.assert_array_equal(cell(alike, place, 3), expected)


def test_the_title_tells_what_black_means_and_how_many_are(monkeypatch):
    titles = []
    monkeypatch.setattr("zfnumpy.plots.maps.heading", lambda sheet, text: titles.append(text) or sheet)
    plots.activation_sheet(maps_of(4, 2, -1, 0), "conv1")
    plots.activation_sheet(maps_of(4, 2, -1, 0), "conv1", [1, 0], scale="layer")
    plots.activation_sheet(np.array([3.0, 0, -1]), "fc6", [0])
    assert titles[0] == ("conv1: 4 maps, from 0, black, to its own maximum. A black one did not fire for this image "
                         "(2 of them), and may for others")
    assert "the 2 most active of 4 maps" in titles[1]
    assert "to the layer's maximum" in titles[1]
    assert titles[2].endswith("2 of 3 are not above 0")


def test_maps_in_the_order_that_is_asked_for_with_their_numbers():
    maps = maps_of(1, 2, 3, 4)
    maps[2] = maps[2][:, ::-1]
    sheet = plots.activation_sheet(maps, "conv1", [2, 3, 0, 1])
    assert cell(sheet, 0, 3)[0].tolist() == [255, 128, 0]
    assert cell(sheet, 1, 3)[0].tolist() == [0, 128, 255]
    labels = [plots.label(np.zeros((1, SIDE + 2, 3), np.uint8), str(i), str(m), height=13, size=10)[:13]
              for i, m in ((2, 3), (3, 4), (0, 1))]
    top = sheet.shape[0] - (2 * (CELL + 6) + 6) + 6
    for place, expected in enumerate(labels):
        np.testing.assert_array_equal(sheet[top:top + 13, 6 + place * 56:6 + place * 56 + SIDE + 2], expected)


def test_the_picture_stands_at_the_left():
    picture = RNG.integers(0, 256, (64, 64, 3), dtype=np.uint8)
    for maps in (maps_of(4, 2, -1, 0), np.arange(5.0)):
        sheet = plots.activation_sheet(maps, "a", picture=picture)
        found = [y for y in range(sheet.shape[0] - 191)
                 if np.array_equal(sheet[y:y + 192, 12:204], plots.enlarge(picture, 160))]
        assert len(found) == 1
        assert (sheet[found[0]:, :12] == 255).all()


@pytest.mark.parametrize("features", [np.array([0.0]), np.array([-3.0, -1]), np.arange(-5.0, 60), np.zeros(1000),
                                      RNG.standard_normal(4096)], ids=len)
def test_any_number_of_features(features):
    sheet = plots.activation_sheet(features.astype(np.float32), "fc", np.argsort(-features)[:10])
    height, width, _ = sheet.shape
    assert height < 1400
    assert width < 1400
    assert sheet.dtype == np.uint8


def test_features_are_squares_and_bars():
    features = np.array([0.0, 8, -4, 4])
    sheet = plots.activation_sheet(features, "fc", [1, 3, 2], names=["a", "b", "c", "d"])
    side = 960 // 4
    strip = sheet[-(3 * 16 + 12) - 12 - side // 2, 41::side + 1, 0][:4]
    assert strip.tolist() == [0, 255, 0, 128]
    for colour, lengths in ((OBJECT, [8, 4]), (REST, [4])):
        drawn = (sheet == colour).all(axis=2)
        runs = sorted({int(row.sum()) for row in drawn} - {0}, reverse=True)
        assert len(runs) == len(set(lengths))
        if len(runs) == 2:
            assert runs[0] / runs[1] == pytest.approx(2, rel=0.02)


@pytest.mark.parametrize("size", [(1, 1), (1, 30), (200, 2), (113, 113)])
def test_maps_of_any_size(size):
    sheet = plots.activation_sheet(RNG.random((3, *size)), "conv1", picture=np.zeros((1, 1, 3), np.uint8))
    assert sheet.ndim == 3


# ---- saliency, seeds, cut-outs --------------------------------------------------------------------------------------

def test_one_hot_pixel_leaves_the_rest_of_a_saliency_map_visible():
    values = np.full((2, 30, 30), 1.0)
    values[:, :, 15:] = 0.5
    values[0, 0, 0] = 1e6
    shown = plots.faint(values)
    np.testing.assert_array_equal(shown[0], shown[1])
    assert shown[1, 0, 0].tolist() == [255] * 3
    assert shown[1, 0, 20].tolist() == [128] * 3


def test_a_map_of_few_pixels_or_none():
    values = np.zeros((2, 30, 30))
    values[0, 3, 4] = 5
    shown = plots.faint(values)
    assert shown[0, 3, 4].tolist() == [255] * 3
    assert shown.sum() == 3 * 255
    assert plots.faint(-np.ones((3, 3))).sum() == 0


def test_seeds_in_two_colours_over_grey():
    picture = np.full((2, 3, 3), (30, 60, 90), np.uint8)
    shown = plots.seeded(picture, np.int8([[1, 0, -1], [0, 0, 0]]))
    assert shown[0, 1].tolist() == [60, 60, 60]
    assert shown[0, 0].tolist() == np.rint(0.35 * 60 + 0.65 * OBJECT).tolist()
    assert shown[0, 2].tolist() == np.rint(0.35 * 60 + 0.65 * REST).tolist()


def test_what_is_cut_out_keeps_its_pixels_and_the_rest_fades():
    picture, mask = RNG.integers(0, 256, (20, 30, 3), dtype=np.uint8), np.zeros((20, 30), bool)
    mask[5:10, 8:20] = True
    shown = plots.cut_out(picture, mask)
    np.testing.assert_array_equal(shown[mask], picture[mask])
    assert shown[~mask].min() >= 191
    boxed = plots.cut_out(picture, mask, np.array([8, 5, 20, 10]))
    edge = np.zeros_like(mask)
    edge[5:10, 8:20] = True
    edge[6:9, 9:19] = False
    assert (boxed[edge] == OBJECT).all()
    np.testing.assert_array_equal(boxed[~edge], shown[~edge])
    empty = plots.cut_out(picture, np.zeros((20, 30), bool), np.zeros(4, int))
    assert empty.min() >= 191

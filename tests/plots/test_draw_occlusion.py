"""Figure 7 drawn: panels of one size in a row, cells where their squares are, legends of class names."""

import numpy as np
import pytest
from PIL import Image

from zfnumpy import plots
from zfnumpy.plots import occlusion as drawing
from zfnumpy.visualize import Occlusion
from zfnumpy.visualize.occlusion import positions

RNG = np.random.default_rng(0)


def result(image=(40, 40), size=None, stride=None, others=3, labels=2, **more):
    tops, lefts, size, stride = positions(image, size, stride)
    grid = len(tops), len(lefts)
    values = {"probability": RNG.uniform(0, 1, grid), "score": RNG.standard_normal(grid),
              "activity": RNG.uniform(5, 9, grid), "labels": RNG.integers(0, labels, grid), "probability0": 0.8,
              "score0": 2.0, "label0": 1, "activity0": 8.0}
    pictures = RNG.integers(0, 256, (1 + others, *image, 3), dtype=np.uint8)
    return Occlusion(**{"tops": tops, "lefts": lefts, "size": size, "stride": stride, "image": image, "fill": "mean",
                        "label": 1, "layer": "relu5", "map": 3, "unit": (2, 2), "pictures": pictures,
                        "projections": RNG.standard_normal((1 + others, 3, *image)), **values, **more})


def opened(path):
    with Image.open(path) as picture:
        assert picture.format == "PNG"
        return np.asarray(picture.convert("RGB")).astype(int)


def has(picture, colour, near=3):
    """How many pixels are of a colour (red, green, blue)."""
    return int((np.abs(picture - np.array(colour)).max(axis=-1) <= near).sum())


def panel(picture, number):
    """One of the five panels of a square image."""
    beside = (drawing.MARGIN, drawing.BAR, drawing.MARGIN, drawing.BAR)[:number]
    left = round(110 * (drawing.MARGIN + number * drawing.SIDE + sum(beside)))
    bottom, side = picture.shape[0] - round(110 * drawing.MARGIN), round(110 * drawing.SIDE)
    return picture[bottom - side + 1:bottom - 1, left + 1:left + side - 1]


def rgb(text):
    return [int(text[i:i + 2], 16) for i in (1, 3, 5)]


@pytest.mark.parametrize("how", [{}, {"image": (30, 64)}, {"image": (64, 30)}, {"others": 0}, {"others": 1}, {"others": 9},
                                 {"pictures": None}, {"image": (1, 1)}, {"size": 70, "stride": 90}, {"labels": 40},
                                 {"unit": ()}, {"classes": ["$x_1$ of a very long name indeed, too long to be shown", "猫"]},
                                 {"activity": np.full((13, 13), 2.0), "size": 9, "stride": 3, "activity0": 2.0,
                                  "image": (37, 37)}])
def test_every_kind_is_a_picture(tmp_path, how):
    plots.save_occlusion(tmp_path / "seven.png", result(**how), "a picture of a name that is long enough to be cut.jpeg")
    picture = opened(tmp_path / "seven.png")
    height = drawing.SIDE * min(1, how.get("image", (1, 1))[0] / how.get("image", (1, 1))[1])
    assert abs(picture.shape[0] - 110 * (height + drawing.MARGIN + drawing.HEADER)) < 3
    assert np.isin(picture[:, -3:], 255).all()                                # nothing runs over the right edge


def test_labels_have_the_colours_of_the_legend(tmp_path):
    """The class asked about is first, whatever its share; beyond seven classes the rest is grey."""
    labels = np.repeat(np.arange(10), 10).reshape(10, 10)
    labels[9] = [0] * 6 + [9] * 4                                            # most of class 0, fewest of class 9
    for label in (9, 1, 55):
        found = result((40, 40), 4, 4, labels=1, label=label, classes=[f"class {k}" for k in range(60)])
        found.labels = labels
        plots.save_occlusion(tmp_path / "seven.png", found)
        picture = opened(tmp_path / "seven.png")
        cells = panel(picture, 4)
        area = (110 * drawing.SIDE / 10) ** 2
        mine = (labels == label).sum()
        assert has(cells, rgb(drawing.LABELS[0])) == pytest.approx(mine * area, rel=0.15, abs=3)
        first = 0 if label != 0 else 1
        assert has(cells, rgb(drawing.LABELS[1])) == pytest.approx((labels == first).sum() * area, rel=0.15)
        others = 10 - (label < 10) - 6
        assert has(cells, rgb(drawing.OTHER)) > 0.8 * others * 4 * area


def test_cells_lie_where_their_squares_do():
    """The middle of a cell is the middle of its square, and cells cover the picture."""
    for image, size, stride in (((40, 64), 9, 4), ((41, 63), 8, 5), ((224, 224), 32, 16), ((5, 7), 1, 3)):
        found = result(image, size, stride)
        left, right, bottom, top = drawing._extent(found)
        rows = top + (np.arange(len(found.tops)) + 0.5) * (bottom - top) / len(found.tops)
        columns = left + (np.arange(len(found.lefts)) + 0.5) * (right - left) / len(found.lefts)
        np.testing.assert_allclose(rows, found.tops + size / 2)
        np.testing.assert_allclose(columns, found.lefts + size / 2)
        assert top <= 0.5
        assert left <= 0.5
        assert bottom >= image[0] - 0.5
        assert right >= image[1] - 0.5


def test_probabilities_have_one_scale(tmp_path):
    """Of all images alike: yellow is certain, whatever the largest of this one."""
    import matplotlib

    certain, half = (np.array(matplotlib.colormaps[plots.colour.MAP](v)[:3]) * 255 for v in (1.0, 0.5))
    found = result((40, 40), 8, 8)
    found.probability[:], found.probability0 = 0.5, 0.5
    plots.save_occlusion(tmp_path / "seven.png", found)
    picture = opened(tmp_path / "seven.png")
    cells = panel(picture, 3)
    assert has(cells, half, 4) > 0.95 * cells[..., 0].size
    assert not has(cells, certain, 4)


def test_this_image_s_projection_is_framed():
    for others, shape in ((0, (40, 40, 3)), (3, (82, 82, 3))):
        sheet = drawing._projections(result(others=others))
        edge = sheet.shape[0] % 40 // 2 if others else 0
        assert sheet.shape[:2] == shape[:2] or others
        assert not sheet[edge, edge:edge + 40].any()
        assert sheet[edge + 3, edge + 20].any()
        if others:
            assert sheet[edge, -10].any()

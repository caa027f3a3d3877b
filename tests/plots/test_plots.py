"""Sheets pixel by pixel, and figures that open."""

import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from zfnumpy import plots
from zfnumpy.errors import ShapeError
from zfnumpy.evaluate import Evaluation
from zfnumpy.plots.figures import letters
from zfnumpy.visualize import Strongest

RNG = np.random.default_rng(0)
WHITE = np.array([255, 255, 255])


def painted(*colours, side=3):
    """Pictures (M, side, side, 3), each of one colour."""
    return np.array([np.full((side, side, 3), colour, np.uint8) for colour in colours])


def inked(picture):
    """The columns in which a picture is not white."""
    return np.flatnonzero((picture != 255).any(axis=(0, 2)))


def opened(path):
    with Image.open(path) as picture:
        assert picture.format == "PNG"
        return np.asarray(picture.convert("RGB"))


# ---- reconstructions ------------------------------------------------------------------------------------------------

def test_zero_is_middle_grey():
    assert np.unique(plots.signed(np.zeros((3, 5, 4)))).tolist() == [128]
    r = np.zeros((2, 3, 6, 6), np.float32)
    r[0, 1, 2, 2], r[1, 0, 0, 0] = 5, -0.1
    pictures = plots.signed(r)
    assert (pictures.shape, pictures.dtype) == ((2, 6, 6, 3), np.uint8)
    assert pictures[0, 2, 2].tolist() == [128, 255, 128]              # each is scaled by itself
    assert pictures[1, 0, 0].tolist() == [0, 128, 128]
    assert np.isin(pictures, (0, 127, 128, 255)).all()
    assert (pictures == 128).sum() == pictures.size - 2


def test_plus_and_minus_are_equally_far_from_grey():
    r = RNG.standard_normal((3, 40, 40)).astype(np.float32)
    up, down = plots.signed(r).astype(int), plots.signed(-r).astype(int)
    assert np.abs(up + down - 255).max() <= 1
    extreme = np.percentile(np.abs(r), 99.8)
    expected = np.clip(127.5 + 127.5 * r / extreme, 0, 255).transpose(1, 2, 0)
    assert np.abs(up - expected).max() <= 0.5 + 1e-4


def test_one_hot_pixel_does_not_flatten_the_rest():
    r = np.full((3, 40, 40), 1.0)
    r[0, 0, 0] = 1000
    assert (plots.signed(r) == 255).all()
    assert (plots.signed(r, percentile=100)[1:] == 128).all()


def test_the_input_of_signed_is_left_alone():
    r = RNG.standard_normal((2, 3, 8, 8))
    before = r.copy()
    plots.signed(r)
    np.testing.assert_array_equal(r, before)


# ---- geometry -------------------------------------------------------------------------------------------------------

def test_enlarged_by_a_whole_factor():
    pictures = RNG.integers(0, 256, (2, 3, 5, 3), dtype=np.uint8)
    large = plots.enlarge(pictures, 7)                                # 3 × 3 is the first above 7
    assert large.shape == (2, 9, 15, 3)
    for y, x in [(0, 0), (4, 7), (8, 14)]:
        np.testing.assert_array_equal(large[:, y, x], pictures[:, y // 3, x // 3])
    np.testing.assert_array_equal(plots.enlarge(pictures, 3), pictures)
    np.testing.assert_array_equal(plots.enlarge(pictures, 1), pictures)


def test_tiles_gaps_and_the_place_left_over():
    colours = [(10 * i, 100, 200 - i) for i in range(5)]
    sheet = plots.tile(painted(*colours), columns=2, gap=2, colour=(9, 8, 7))
    expected = np.empty((3 * 5 + 2, 2 * 5 + 2, 3), np.uint8)
    expected[:] = (9, 8, 7)
    for i, colour in enumerate(colours):
        y, x = 2 + 5 * (i // 2), 2 + 5 * (i % 2)
        expected[y:y + 3, x:x + 3] = colour
    np.testing.assert_array_equal(sheet, expected)                    # the sixth place stays of the gap's colour
    assert plots.tile(painted((1, 1, 1)), 1)[0, 0].tolist() == list(plots.FRAME)


def test_a_label_stands_above_and_changes_no_pixel():
    sheet = RNG.integers(0, 200, (30, 200, 3), dtype=np.uint8)
    labelled = plots.label(sheet, "conv5 · map 3", "up to 7.1")
    assert labelled.shape == (46, 200, 3)
    np.testing.assert_array_equal(labelled[16:], sheet)
    columns = inked(labelled[:16])
    assert columns.min() < 6
    assert columns.max() > 190                                        # the note ends at the right
    without = plots.label(sheet, "conv5 · map 3")
    assert inked(without[:16]).max() < 110
    np.testing.assert_array_equal(without[16:], sheet)


def test_a_note_that_would_touch_its_label_is_left_out():
    sheet = np.zeros((10, 90, 3), np.uint8)
    np.testing.assert_array_equal(plots.label(sheet, "conv5 · map 17", "up to 123"), plots.label(sheet, "conv5 · map 17"))


def test_a_long_label_is_written_smaller():
    sheet = np.zeros((10, 192, 3), np.uint8)
    text = "deconvnet: fire9.relu_expand3x3 255"
    assert letters(12).getlength(text) > 192
    assert 150 < inked(plots.label(sheet, text)[:16]).max() < 191     # whole: a cut word would touch the edge


@pytest.mark.parametrize("width", [60, 200, 600, 2000])
@pytest.mark.parametrize("text", ["conv1", "conv5: the 9 strongest activations of each map, projected, with their patches"])
def test_titles_fit_whatever_the_width(width, text):
    sheet = RNG.integers(0, 200, (20, width, 3), dtype=np.uint8)
    titled = plots.heading(sheet, text)
    space = titled.shape[0] - 20
    assert 27 <= space <= 36
    np.testing.assert_array_equal(titled[space:, :width], sheet)
    assert (titled[space:, width:] == 255).all()
    columns = inked(titled[:space])
    assert columns.min() >= 16
    assert columns.max() < titled.shape[1] - 8
    if letters(9).getlength(text) + 32 <= width:
        assert titled.shape[1] == width
    whole = plots.heading(np.zeros((20, 4000, 3), np.uint8), text, size=space - 18)
    assert np.ptp(inked(whole[:space])) == np.ptp(columns)            # the same word to its last letter


# ---- figure 2 -------------------------------------------------------------------------------------------------------

def strongest(maps, top=9, side=10, total=60, inside=None):
    """Made up units: the projection of map m is zero but for one pixel, its patches are of the colour (m, k, 0)."""
    maps = np.asarray(maps)
    values = np.tile(np.linspace(3, 1, top), (total, 1))
    values[7] = 0
    projections = np.zeros((len(maps), top, 3, side, side), np.float32)
    projections[:, :, 0, 4, 4] = 1
    patches = np.zeros((len(maps), top, side, side, 3), np.uint8)
    patches[..., 0], patches[..., 1] = maps[:, None, None, None], np.arange(top)[:, None, None]
    if inside is None:
        inside = np.ones((len(maps), top, side, side), bool)
    zeros = np.zeros((total, top), int)
    return Strongest("conv3", zeros, zeros, zeros, values, maps, patches, projections, inside)


def test_a_cell_is_projections_left_and_patches_right():
    inside = np.ones((1, 9, 10, 10), bool)
    inside[0, 0, :3] = False                                          # the strongest unit looks out over the top
    sheet = plots.strongest_sheet(strongest([12], inside=inside))
    tile = 3 * 42 + 2                                                 # three of 40 pixels (10 enlarged 4 times), gaps of 2
    width, height = 2 * tile + 4, tile + 16
    space = sheet.shape[0] - (height + 32)
    cell = sheet[space + 16:space + 16 + height, 16:16 + width]
    assert sheet.shape[1] >= width + 32
    left, right = cell[16:, :tile], cell[16:, tile + 4:]
    assert (cell[16:, tile:tile + 4] == 255).all()
    for part in (left, right):                                        # frames between all tiles and around them
        for at in (0, 1, 42, 43, 84, 85, 126, 127):
            assert (part[at] == plots.FRAME).all()
            assert (part[:, at] == plots.FRAME).all()
    for k in range(9):
        y, x = 2 + 42 * (k // 3), 2 + 42 * (k % 3)
        projection, patch = left[y:y + 40, x:x + 40], right[y:y + 40, x:x + 40]
        blank = 12 if k == 0 else 0
        assert (projection[:blank] == plots.OUTSIDE).all()
        assert (patch[:blank] == plots.OUTSIDE).all()
        assert (patch[blank:] == (12, k, 0)).all()                    # strongest first, in reading order
        expected = np.full((40, 40, 3), 128)
        expected[16:20, 16:20, 0] = 255
        np.testing.assert_array_equal(projection[blank:], expected[blank:])
    assert (sheet[space:space + 16] == 255).all()
    assert (sheet[space:, :16] == 255).all()


def test_cells_in_rows_about_as_wide_as_asked():
    cell_width, cell_height = 2 * 128 + 4, 128 + 16
    for maps, columns, rows in [(1, 1, 1), (7, 7, 1), (8, 7, 2), (48, 7, 7)]:
        sheet = plots.strongest_sheet(strongest(range(maps)), "title", width=2000)
        assert sheet.shape == (rows * (cell_height + 16) + 16 + 36, columns * (cell_width + 16) + 16, 3)
    assert plots.strongest_sheet(strongest(range(4)), "title", width=10).shape[1] == cell_width + 32
    sheet = plots.strongest_sheet(strongest([30, 41]), "title")
    for place, m in enumerate([30, 41]):
        y, x = 36 + 16 + 16, 16 + place * (cell_width + 16)
        assert sheet[y + 20, x + 128 + 4 + 20].tolist() == [m, 0, 0]


def test_what_a_cell_is_called():
    """A map that never answers says so; the others tell their strongest value."""
    sheets = {m: plots.strongest_sheet(strongest([m]), "title")[36 + 16:36 + 32, 16:276] for m in (7, 8)}
    for m, note in [(7, "never fires"), (8, "up to 3")]:
        expected = plots.label(np.zeros((1, 260, 3), np.uint8), f"conv3 · map {m}", note)[:16]
        np.testing.assert_array_equal(sheets[m], expected)


def test_four_and_one_of_each_and_large_fields():
    assert plots.strongest_sheet(strongest([0], top=1), "t").shape[1] == 2 * 44 + 4 + 32
    assert plots.strongest_sheet(strongest([0], top=4), "t").shape[1] == 2 * 86 + 4 + 32
    assert plots.strongest_sheet(strongest([0], top=4, side=51), "t").shape[1] == 2 * (2 * 53 + 2) + 4 + 32   # as they are


def test_units_without_projections_are_refused():
    zeros = np.zeros((2, 9), int)
    with pytest.raises(ShapeError, match="project_strongest first"):
        plots.strongest_sheet(Strongest("conv3", zeros, zeros, zeros, zeros))


# ---- filters and projections ----------------------------------------------------------------------------------------

def test_filters_each_scaled_by_its_own_largest_weight():
    filters = np.zeros((16, 3, 7, 7), np.float32)
    filters[:, 2, 0, 0] = -0.1 * np.arange(1, 17)
    sheet = plots.filter_sheet(filters, "title")
    columns, size = 6, 49                                             # sqrt(1.6 × 16) and 7 × 7
    assert sheet.shape == (36 + 3 * (size + 3) + 3 + 14, columns * (size + 3) + 3 + 26, 3)
    for i in range(16):
        y, x = 36 + 3 + i // columns * (size + 3), 13 + 3 + i % columns * (size + 3)
        picture = sheet[y:y + size, x:x + size]
        assert (picture[:7, :7] == (128, 128, 0)).all()
        assert (picture[7:] == 128).all()
        assert (picture[:, 7:] == 128).all()
        assert (sheet[y - 3:y, x:x + size] == 255).all()
        assert (sheet[y:y + size, x - 3:x] == 255).all()


def test_a_row_of_projections_an_image():
    a, b = painted((250, 0, 0), (0, 250, 0), side=64)
    sheet = plots.projection_sheet([[("one", a), ("two", b), ("three", a)], [("four", b), ("five", a)]], "title")
    cell = 192 + 20
    assert sheet.shape == (36 + 2 * (cell + 24), 3 * (192 + 12) + 12, 3)
    for row, column, colour in [(0, 0, (250, 0, 0)), (0, 1, (0, 250, 0)), (0, 2, (250, 0, 0)), (1, 0, (0, 250, 0)),
                                (1, 1, (250, 0, 0))]:
        y, x = 36 + row * (cell + 24) + 12 + 20, 12 + column * 204
        assert (sheet[y:y + 192, x:x + 192] == colour).all()
        assert (sheet[y:y + 192, x - 12:x] == 255).all()
    assert (sheet[36 + cell + 24:, 2 * 204 + 12:] == 255).all()       # a shorter row is filled with paper


def test_a_picture_survives_its_file(tmp_path):
    picture = RNG.integers(0, 256, (21, 34, 3), dtype=np.uint8)
    plots.save_picture(tmp_path / "new" / "picture.png", picture)
    np.testing.assert_array_equal(opened(tmp_path / "new" / "picture.png"), picture)
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["picture.png"]


# ---- figures --------------------------------------------------------------------------------------------------------

def history(epochs, drop=3):
    return [{"epoch": i, "lr": 0.01 if i < drop else 0.001, "loss": 2 / i, "val_loss": 2.2 / i, "top1": 1 - 0.8 / i,
             "val_top1": 1 - 0.9 / i} for i in range(1, epochs + 1)]


@pytest.mark.parametrize("epochs", [1, 2, 12])
def test_curves(tmp_path, epochs):
    plots.save_curves(tmp_path / "curves.png", history(epochs))
    picture = opened(tmp_path / "curves.png")
    assert picture.shape == (440, 1100, 3)
    for colour in (plots.BLUE, plots.ORANGE):
        rgb = [int(colour[i:i + 2], 16) for i in (1, 3, 5)]
        for half in (picture[:, :550], picture[:, 550:]):
            assert (np.abs(half.astype(int) - rgb).max(axis=2) < 12).sum() > 5
    assert [path.name for path in tmp_path.iterdir()] == ["curves.png"]


def test_a_lowered_rate_is_marked(tmp_path):
    for name, drop in (("marked", 3), ("plain", 99)):
        plots.save_curves(tmp_path / f"{name}.png", history(6, drop))
    assert not np.array_equal(opened(tmp_path / "marked.png"), opened(tmp_path / "plain.png"))


@pytest.mark.parametrize("K", [2, 10, 21, 61])
def test_confusion(tmp_path, K):
    found = Evaluation([f"class {k}" for k in range(K)], np.diag(np.arange(K)) + 1, 1.0, 0.5)
    plots.save_confusion(tmp_path / "confusion.png", found)
    side = min(4 + 0.32 * K, 16)
    height, width, _ = opened(tmp_path / "confusion.png").shape
    assert (width, height) == (pytest.approx(110 * (side + 1), abs=1), pytest.approx(110 * side, abs=1))


@pytest.mark.parametrize("names", [["$x_{$", "a$b$"], ["猫", "ábč"], ["n" * 300, "b"], ["a_b^c", "100%"],
                                   ["caf\udce9", ""]], ids=ascii)
def test_any_class_name_can_be_drawn(tmp_path, names):
    """Dollars are no formulas, long names are cut, and letters that the font lacks warn nobody, nor bytes that are none."""
    plots.save_confusion(tmp_path / "confusion.png", Evaluation(names, np.array([[3, 1], [0, 2]]), 1.0, 0.5))
    assert opened(tmp_path / "confusion.png").shape == (510, 620, 3)


@pytest.mark.parametrize("name", ["two\nlines\r.png", "caf\udce9", "nul\0", "narrow\u202fspace"], ids=ascii)
def test_any_name_can_stand_over_a_picture(name):
    sheet = np.zeros((20, 300, 3), np.uint8)
    assert plots.label(sheet, name, name).shape == (36, 300, 3)
    assert plots.heading(sheet, name).shape == (56, 300, 3)


def test_a_class_without_images_is_no_division_by_zero(tmp_path):
    plots.save_confusion(tmp_path / "confusion.png", Evaluation(["a", "b"], np.array([[0, 0], [1, 2]]), 1.0, 0.5))


CODE = """
import sys
import numpy as np
import zfnumpy
from zfnumpy import plots
from zfnumpy.evaluate import Evaluation
from zfnumpy.plots.figures import letters
assert "matplotlib" not in sys.modules, "imported before a figure is drawn"
import matplotlib
before, backend = dict(matplotlib.rcParams), matplotlib.rcParams._get_backend_or_none()
line = {"epoch": 1, "lr": 1, "loss": 1, "val_loss": 1, "top1": 1, "val_top1": 1}
plots.save_curves(sys.argv[1] + "/curves.png", [line])
plots.save_confusion(sys.argv[1] + "/confusion.png", Evaluation(["a", "b"], np.eye(2, dtype=int), 1, 1))
pyplot = sys.modules.get("matplotlib.pyplot")            # newer versions import it themselves to save a figure
assert pyplot is None or pyplot.get_fignums() == []
assert dict(matplotlib.rcParams) == before
assert matplotlib.rcParams._get_backend_or_none() == backend
"""


def test_figures_leave_no_global_state(tmp_path):
    done = subprocess.run([sys.executable, "-c", CODE, str(tmp_path)], capture_output=True, text=True, timeout=60,
                          check=False)
    assert (done.returncode, done.stderr) == (0, "")

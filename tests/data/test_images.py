"""load_image shows a file as a viewer does, or says in one line why it cannot."""

import contextlib
import io
import struct
import threading
import warnings

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from zfnumpy.data import is_image_name, load_image
from zfnumpy.errors import DataError

RED, GREEN, BLUE, YELLOW = (250, 10, 10), (10, 200, 10), (20, 20, 240), (240, 230, 20)
INKS = np.array([[255, 0, 0, 0], [0, 255, 0, 0], [0, 0, 255, 0], [0, 0, 0, 255], [0, 0, 0, 0]], np.uint8)
SHOWN = [(0, 255, 255), (255, 0, 255), (255, 255, 0), (0, 0, 0), (255, 255, 255)]


def corners(height=32, width=48):
    """Four flat quarters of different colours, in blocks that JPEG keeps."""
    picture = np.zeros((height, width, 3), np.uint8)
    rows, cols = np.arange(height)[:, None] >= height // 2, np.arange(width) >= width // 2
    for colour, here in [(RED, ~rows & ~cols), (GREEN, ~rows & cols), (BLUE, rows & ~cols), (YELLOW, rows & cols)]:
        picture[here] = colour
    return picture


def blocks(colours):
    """Flat 16x16 blocks in a row, one for each colour."""
    return np.repeat(np.repeat(np.asarray(colours, np.uint8)[None], 16, axis=0), 16, axis=1)


def centres(picture):
    return picture[8, 8::16].astype(int)


def refusal(path):
    with pytest.raises(DataError) as caught:
        load_image(path)
    message = str(caught.value)
    assert str(path) in message
    assert "\n" not in message
    return message


# What EXIF says is done to the stored rows and columns, in NumPy's words rather than Pillow's.
TURNS = {
    1: lambda p: p,
    2: lambda p: p[:, ::-1],
    3: lambda p: p[::-1, ::-1],
    4: lambda p: p[::-1],
    5: lambda p: p.swapaxes(0, 1),
    6: lambda p: np.rot90(p, -1),
    7: lambda p: p[::-1, ::-1].swapaxes(0, 1),
    8: lambda p: np.rot90(p),
}


@pytest.mark.parametrize("suffix", ["jpg", "png", "webp", "tif"])
@pytest.mark.parametrize("orientation", TURNS)
def test_every_orientation_is_shown_upright(tmp_path, orientation, suffix):
    exif = Image.Exif()
    exif[274] = orientation
    stored, path = corners(), tmp_path / f"turned.{suffix}"
    lossless = {"quality": 100, "subsampling": 0} if suffix == "jpg" else {"lossless": True} if suffix == "webp" else {}
    Image.fromarray(stored).save(path, exif=exif, **lossless)
    shown = load_image(path)
    assert shown.shape == TURNS[orientation](stored).shape
    np.testing.assert_allclose(shown.astype(int), TURNS[orientation](stored), atol=4)


def test_result_is_a_writable_rgb_array(tmp_path):
    Image.fromarray(corners()).save(tmp_path / "a.bmp")
    shown = load_image(tmp_path / "a.bmp")
    assert shown.dtype == np.uint8
    assert shown.flags.writeable
    assert shown.flags.c_contiguous
    np.testing.assert_array_equal(shown, corners())
    np.testing.assert_array_equal(load_image(str(tmp_path / "a.bmp")), shown)


@pytest.mark.parametrize("suffix", ["png", "jpg", "tif", "pgm", "gif"])
def test_grey_fills_three_channels(tmp_path, suffix):
    grey = blocks(np.array([0, 90, 255])[:, None])[..., 0]
    Image.fromarray(grey).save(tmp_path / f"grey.{suffix}")
    assert centres(load_image(tmp_path / f"grey.{suffix}")).tolist() == [[0] * 3, [90] * 3, [255] * 3]


def test_one_bit(tmp_path):
    Image.fromarray(np.array([[True, False, True]])).save(tmp_path / "bits.png")
    assert load_image(tmp_path / "bits.png")[0, :, 0].tolist() == [255, 0, 255]


@pytest.mark.parametrize("suffix", ["png", "tif"])
def test_sixteen_bits_keep_their_full_range(tmp_path, suffix):
    deep = np.array([[0, 257 * 3, 257 * 128 + 100, 65535]], np.uint16)
    Image.fromarray(deep).save(tmp_path / f"deep.{suffix}")
    with Image.open(tmp_path / f"deep.{suffix}") as stored:
        assert stored.mode == "I;16"
    assert load_image(tmp_path / f"deep.{suffix}")[0].tolist() == [[0] * 3, [3] * 3, [128] * 3, [255] * 3]


def test_sixteen_bits_are_not_stretched(tmp_path):
    Image.fromarray(np.array([[100, 257 * 3, 257 * 128]], np.uint16)).save(tmp_path / "dim.png")
    assert load_image(tmp_path / "dim.png")[0, :, 0].tolist() == [0, 3, 128]
    (tmp_path / "dim.pgm").write_bytes(b"P5 2 1 65535\n" + struct.pack(">2H", 100, 200))
    assert load_image(tmp_path / "dim.pgm")[0, :, 0].tolist() == [0, 1]


def test_sixteen_bit_pgm_and_big_endian_tiff(tmp_path):
    (tmp_path / "deep.pgm").write_bytes(b"P5 3 1 65535\n" + struct.pack(">3H", 0, 200, 65535))
    assert load_image(tmp_path / "deep.pgm")[0, :, 0].tolist() == [0, 1, 255]
    Image.frombytes("I;16B", (3, 1), struct.pack(">3H", 0, 257 * 7, 65535)).save(tmp_path / "deep.tif")
    assert load_image(tmp_path / "deep.tif")[0, :, 0].tolist() == [0, 7, 255]


@pytest.mark.parametrize(
    ("values", "shown"),
    [
        (np.array([0, 0.5, 1], np.float32), [0, 128, 255]),
        (np.array([0, 100, 200], np.float32), [0, 100, 200]),
        (np.array([-1, np.nan, 1], np.float32), [0, 128, 255]),
        (np.array([0, 7, 255], np.int32), [0, 7, 255]),
        (np.array([0, 257, 65535], np.int32), [0, 1, 255]),
        (np.array([-1000, 0, 1000], np.int32), [0, 128, 255]),
    ],
)
def test_wide_values_are_scaled_to_the_smallest_usual_range(tmp_path, values, shown):
    Image.fromarray(values[None]).save(tmp_path / "wide.tif")
    assert load_image(tmp_path / "wide.tif")[0, :, 0].tolist() == shown


@pytest.mark.parametrize("suffix", ["png", "webp", "tif"])
def test_transparent_pixels_show_white(tmp_path, suffix):
    rgba = np.array([[[200, 0, 0, 255], [200, 0, 0, 0], [200, 0, 0, 128]]], np.uint8)
    Image.fromarray(rgba).save(tmp_path / f"a.{suffix}", lossless=True)
    assert load_image(tmp_path / f"a.{suffix}")[0].tolist() == [[200, 0, 0], [255] * 3, [227, 127, 127]]


def test_transparent_grey(tmp_path):
    Image.fromarray(np.array([[[80, 255], [80, 0]]], np.uint8)).save(tmp_path / "la.png")
    assert load_image(tmp_path / "la.png")[0].tolist() == [[80] * 3, [255] * 3]
    Image.fromarray(np.array([[80, 90]], np.uint8)).save(tmp_path / "key.png", transparency=90)
    assert load_image(tmp_path / "key.png")[0].tolist() == [[80] * 3, [255] * 3]


@pytest.mark.parametrize("transparency", [None, 1, bytes([255, 0, 128])])
@pytest.mark.parametrize("suffix", ["png", "gif"])
def test_palette(tmp_path, suffix, transparency):
    if suffix == "gif" and isinstance(transparency, bytes):
        transparency = 1  # a GIF has one transparent entry and no others
    picture = Image.fromarray(np.array([[0, 1, 2]], np.uint8), "L").convert("P")
    picture.putpalette([*RED, *GREEN, *BLUE])
    picture.save(tmp_path / f"p.{suffix}", **({} if transparency is None else {"transparency": transparency}))
    shown = load_image(tmp_path / f"p.{suffix}")[0].tolist()
    assert shown[0] == [*RED]
    assert shown[1] == ([*GREEN] if transparency is None else [255] * 3)
    assert shown[2] == ([137, 137, 247] if isinstance(transparency, bytes) else [*BLUE])


def test_cmyk_jpeg_with_adobe_s_inverted_inks(tmp_path):
    Image.fromarray(blocks(INKS), "CMYK").save(tmp_path / "inks.jpg", quality=100, subsampling=0)
    assert b"Adobe" in (tmp_path / "inks.jpg").read_bytes()
    np.testing.assert_allclose(centres(load_image(tmp_path / "inks.jpg")), SHOWN, atol=3)


def test_ycck_jpeg(tmp_path):
    # Adobe stores inks inverted, C' = 255 - C, and YCCK holds 255 - C' as red: the inks, seen as RGB, become Y, Cb, Cr.
    # The Adobe marker's last byte says so. Pillow inverts what it saves, so it is given the complement.
    seen = Image.fromarray(blocks(INKS)[..., :3]).convert("YCbCr")
    stored = np.dstack([255 - np.asarray(seen), blocks(INKS)[..., 3]])
    buffer = io.BytesIO()
    Image.fromarray(stored, "CMYK").save(buffer, "JPEG", quality=100, subsampling=0)
    data = bytearray(buffer.getvalue())
    transform = data.index(b"Adobe") + 11
    assert data[transform] == 0
    data[transform] = 2
    (tmp_path / "ycck.jpg").write_bytes(data)
    np.testing.assert_allclose(centres(load_image(tmp_path / "ycck.jpg")), SHOWN, atol=4)


@pytest.mark.parametrize("suffix", ["gif", "webp", "png", "tif"])
def test_of_several_frames_the_first(tmp_path, suffix):
    first, second = (Image.new("RGB", (16, 16), colour) for colour in [(255, 0, 0), (0, 0, 255)])
    first.save(tmp_path / f"film.{suffix}", save_all=True, append_images=[second])
    np.testing.assert_allclose(load_image(tmp_path / f"film.{suffix}")[8, 8], (255, 0, 0), atol=4)


def test_refusals_name_the_path_and_the_reason(tmp_path):
    whole, cut = tmp_path / "whole.jpg", tmp_path / "cut.jpg"
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    Image.fromarray(noise).save(whole)
    cut.write_bytes(whole.read_bytes()[: whole.stat().st_size // 2])
    assert "truncated" in refusal(cut)
    (tmp_path / "text.jpg").write_text("not a picture\nat all")
    assert "known format" in refusal(tmp_path / "text.jpg")
    (tmp_path / "empty.png").touch()
    assert "empty" in refusal(tmp_path / "empty.png")
    (tmp_path / "folder.png").mkdir()
    assert "folder" in refusal(tmp_path / "folder.png")
    assert "no such file" in refusal(tmp_path / "missing.png")


def test_postscript_is_not_run(tmp_path):
    (tmp_path / "program.jpg").write_text("%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\nshowpage\n")
    assert "known format" in refusal(tmp_path / "program.jpg")


@pytest.mark.parametrize("side", [11, 20], ids=["over the limit", "over twice the limit"])
def test_very_large_pictures_are_refused(tmp_path, monkeypatch, side):
    Image.new("RGB", (side, side)).save(tmp_path / "large.png")
    Image.new("RGB", (10, 10)).save(tmp_path / "fits.png")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
    assert "100 pixels" in refusal(tmp_path / "large.png")
    assert load_image(tmp_path / "fits.png").shape == (10, 10, 3)


@pytest.fixture
def broken_exif(tmp_path):
    """A good picture whose EXIF block promises more entries than it has."""
    exif = b"Exif\0\0MM\0*\0\0\0\x08\0\x05" + struct.pack(">HHIHH", 274, 3, 1, 6, 0) + b"\1\2"
    Image.fromarray(corners()).save(tmp_path / "exif.jpg", exif=exif, quality=100, subsampling=0)
    return tmp_path / "exif.jpg"


def test_broken_metadata_neither_warns_nor_refuses(broken_exif):
    with pytest.warns(UserWarning, match="EXIF"), Image.open(broken_exif) as picture:  # Pillow by itself does
        picture.getexif()
    shown = []
    thread = threading.Thread(target=lambda: shown.append(load_image(broken_exif)))
    thread.start()
    thread.join()
    shown.append(load_image(broken_exif))
    assert [picture.shape for picture in shown] == [(48, 32, 3)] * 2  # the entry that is there is still followed
    with pytest.raises(UserWarning, match="still an error"):  # nothing else is silenced
        warnings.warn("still an error here", stacklevel=1)


def test_filters_of_warnings_do_not_pile_up(broken_exif):
    load_image(broken_exif)
    before = len(warnings.filters)
    for _ in range(3):
        load_image(broken_exif)
        warnings.filterwarnings("error", message="a newer filter stands first")
        load_image(broken_exif)
    assert len(warnings.filters) == before + 1


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data(), file_format=st.sampled_from(["JPEG", "PNG", "GIF", "BMP", "TIFF", "WEBP", "PPM"]))
def test_damaged_files_load_or_raise_data_error(tmp_path, data, file_format):
    buffer = io.BytesIO()
    Image.fromarray(corners()).save(buffer, file_format)
    damaged = bytearray(buffer.getvalue())
    for _ in range(data.draw(st.integers(1, 4))):
        damaged[data.draw(st.integers(0, min(len(damaged), 400) - 1))] = data.draw(st.integers(0, 255))
    path = tmp_path / "damaged"
    path.write_bytes(damaged[: data.draw(st.integers(1, len(damaged)))])
    with contextlib.suppress(DataError):
        shown = load_image(path)
        assert shown.dtype == np.uint8
        assert shown.ndim == 3
        assert shown.shape[2] == 3


def test_names_of_pictures(tmp_path):
    assert all(is_image_name(name) for name in ["a.jpg", "b.JPEG", tmp_path / "c.Png", "d.e.webp", "f.PGM"])
    assert not any(is_image_name(name) for name in ["a.txt", "jpg", "b.jpg.part", ".png", "c"])

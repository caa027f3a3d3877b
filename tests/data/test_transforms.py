"""Preparing pictures, against Pillow called by hand and slow definitions."""

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from zfnumpy.data import Augment, ImageArray, Preprocessing, mean_colour, mean_image
from zfnumpy.errors import DataError, ShapeError

COLOUR = [120.5, 110.25, 90.0]


def noise(*shape, seed=0):
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


def mean_noise(resize, seed=1):
    return np.random.default_rng(seed).uniform(0, 255, (3, resize, resize)).astype(np.float32)


def channels_first(picture):
    return picture.astype(np.float32).transpose(2, 0, 1)


@pytest.mark.parametrize(("H", "W"), [(375, 500), (500, 375), (333, 499), (64, 64), (40, 90), (256, 300)])
@pytest.mark.parametrize("crop", [224, 227, 256])
def test_resize_and_crop_are_pillow_s(H, W, crop):
    picture = noise(H, W, 3)
    if H < W:
        size = (round(256 * W / H), 256)
    else:
        size = (256, round(256 * H / W))
    resized = np.asarray(Image.fromarray(picture).resize(size, Image.BILINEAR))
    left, top = ((side - crop) // 2 for side in size)
    expected = channels_first(resized[top : top + crop, left : left + crop]) - np.float32(COLOUR)[:, None, None]
    x = Preprocessing(256, crop, COLOUR)([picture])
    assert x.dtype == np.float32
    assert x.shape == (1, 3, crop, crop)
    np.testing.assert_array_equal(x[0], expected)


def test_pictures_of_many_sizes_and_arrays():
    pictures = [noise(20, 30, 3), noise(64, 64, 3), noise(16, 16, 3)]
    prepare = Preprocessing(16, 12, COLOUR)
    x = prepare(pictures)
    for i, picture in enumerate(pictures):
        np.testing.assert_array_equal(x[i], prepare([picture])[0])
    batch = noise(3, 16, 16, 3)
    np.testing.assert_array_equal(prepare(batch), prepare(list(batch)))
    assert prepare([]).shape == (0, 3, 12, 12)


def test_order_and_scale():
    picture = noise(8, 8, 3)
    x = Preprocessing(8, 8, [1, 2, 3], scale=1 / 128, order="BGR")([picture])
    expected = (channels_first(picture)[::-1] - np.float32([1, 2, 3])[:, None, None]) * np.float32(1 / 128)
    np.testing.assert_array_equal(x[0], expected)


@pytest.mark.parametrize("order", ["RGB", "BGR"])
def test_mean_image_s_own_window_is_subtracted(order):
    mean = mean_noise(12)
    x = Preprocessing(12, 8, mean, order=order)([np.zeros((12, 12, 3), np.uint8)])
    np.testing.assert_array_equal(x[0], -mean[:, 2:10, 2:10])


def test_input_and_mean_stay_apart():
    picture, mean = noise(8, 8, 3), np.array(COLOUR, np.float32)
    before = picture.copy()
    prepare = Preprocessing(8, 6, mean)
    x = prepare([picture])
    mean += 1
    np.testing.assert_array_equal(prepare([picture]), x)
    np.testing.assert_array_equal(picture, before)
    with pytest.raises(ValueError, match="read-only"):
        prepare.mean[0] = 0


@pytest.mark.parametrize("mean_of", [lambda size: COLOUR, mean_noise], ids=["colour", "image"])
def test_ten_crops_are_the_corners_the_centre_and_their_flips(mean_of):
    mean = mean_of(9)
    picture = noise(9, 13, 3)
    prepare = Preprocessing(9, 6, mean, scale=0.5)
    shift = np.float32(mean)[:, None, None] if np.ndim(mean) == 1 else mean
    # 3 // 2 = 1 is the inner corner; the whole picture's central crop starts at column 7 // 2 = 3.
    square = (channels_first(picture[:, 2:11]) - shift) * np.float32(0.5)
    crops = [square[:, r : r + 6, c : c + 6] for r, c in [(0, 0), (0, 3), (3, 0), (3, 3), (1, 1)]]
    expected = np.stack(crops + [crop[:, :, ::-1] for crop in crops])
    x = prepare.ten_crop([picture, picture])
    assert x.shape == (2, 10, 3, 6, 6)
    np.testing.assert_array_equal(x[1], expected)
    np.testing.assert_array_equal(x[:, 4], prepare([picture, picture]))


@settings(max_examples=100, deadline=None)
@given(H=st.integers(1, 40), W=st.integers(1, 40), resize=st.integers(1, 20), cut=st.integers(0, 19))
def test_square_is_whole_and_holds_the_centre(H, W, resize, cut):
    prepare = Preprocessing(resize, max(1, resize - cut), [0, 0, 0])
    picture = noise(H, W, 3)
    assert prepare.square(picture).shape == (resize, resize, 3)
    if min(H, W) == resize:
        top, left = ((side - prepare.crop) // 2 for side in (H, W))
        centre = picture[top : top + prepare.crop, left : left + prepare.crop]
        np.testing.assert_array_equal(prepare([picture])[0], channels_first(centre))


@pytest.mark.parametrize("order", ["RGB", "BGR"])
@pytest.mark.parametrize("mean_of", [lambda size: COLOUR, mean_noise], ids=["colour", "image"])
@pytest.mark.parametrize("scale", [1, 1 / 128, 1 / 255])
def test_pixels_are_the_way_back(order, mean_of, scale):
    pictures = noise(2, 11, 14, 3)
    prepare = Preprocessing(11, 8, mean_of(11), scale, order)
    shown = prepare.pixels(prepare(pictures))
    assert shown.dtype == np.uint8
    np.testing.assert_array_equal(shown, pictures[:, 1:9, 3:11])


def test_channels_come_back_as_rgb():
    r = np.arange(24).reshape(2, 3, 2, 2)
    assert (Preprocessing(8, 8, COLOUR, order="BGR").in_rgb(r) == r[:, [2, 1, 0]]).all()
    assert Preprocessing(8, 8, COLOUR).in_rgb(r) is r


def test_pixels_clip_and_refuse():
    prepare = Preprocessing(8, 6, mean_noise(8))
    assert prepare.pixels(np.full((1, 3, 6, 6), 1e9)).min() == 255
    assert prepare.pixels(np.full((1, 3, 6, 6), -1e9)).max() == 0
    assert Preprocessing(8, 6, COLOUR).pixels(np.zeros((1, 3, 9, 4))).shape == (1, 9, 4, 3)
    for shape in [(1, 3, 8, 8), (3, 6, 6), (1, 1, 6, 6)]:
        with pytest.raises(DataError, match=r"\(N, 3, 6, 6\), got"):
            prepare.pixels(np.zeros(shape))


def test_settings_travel_as_json():
    prepare = Preprocessing(np.int64(64), 56, np.float64(COLOUR) + 0.1, scale=1 / 128, order="BGR")
    back = Preprocessing.from_json(json.loads(json.dumps(prepare.to_json())))
    assert back == prepare
    assert back != Preprocessing(64, 56, COLOUR, scale=1 / 128, order="BGR")
    image = Preprocessing(12, 8, mean_noise(12))
    stored = json.loads(json.dumps(image.to_json()))
    assert Preprocessing.from_json(stored, image.mean) == image
    with pytest.raises(DataError, match="mean image"):
        Preprocessing.from_json(stored)
    with pytest.raises(DataError, match="lack 'crop'"):
        Preprocessing.from_json({"resize": 12})


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ((64, 65, COLOUR), "crop of 65 .* 64"),
        ((0, 0, COLOUR), "resize .* got 0"),
        ((64, 5.5, COLOUR), "crop .* got 5.5"),
        ((64, 64, [1, 2]), r"\(3, 64, 64\), got shape \(2,\)"),
        ((64, 64, np.zeros((3, 8, 8))), r"\(3, 8, 8\)"),
        ((64, 64, [1, 2, np.nan]), "finite"),
        ((64, 64, COLOUR, 0), "scale .* got 0"),
        ((64, 64, COLOUR, 1, "RGBA"), "RGBA"),
    ],
)
def test_settings_that_do_not_fit(arguments, expected):
    with pytest.raises(DataError, match=expected):
        Preprocessing(*arguments)


@pytest.mark.parametrize(
    ("pictures", "expected"),
    [
        ([noise(8, 8, 3), noise(8, 8, 3) / 255], r"picture 1 is \(8, 8, 3\) float64.*255"),
        ([noise(8, 8)], r"\(8, 8\) uint8.*repeat the grey"),
        ([noise(3, 8, 8)], r"\(3, 8, 8\) uint8.*transpose"),
        ([noise(8, 8, 4)], r"\(8, 8, 4\)"),
        ([noise(0, 8, 3)], r"\(0, 8, 3\)"),
        (noise(8, 8, 3), "put it in a list"),
        (["a.jpg"], "load_image"),
        ([noise(1, 9000, 3)], "too thin"),
    ],
)
def test_pictures_that_do_not_fit(pictures, expected):
    with pytest.raises(DataError, match=expected) as caught:
        Preprocessing(256, 224, COLOUR)(pictures)
    assert "\n" not in str(caught.value)


def slowly_augmented(picture, prepare, draw, flip, pad):
    """The definition: the whole square less its mean, zeros around it, a window, perhaps mirrored."""
    mean = prepare.mean[:, None, None] if prepare.mean.ndim == 1 else prepare.mean
    square = channels_first(prepare.square(picture))
    if prepare.order == "BGR":
        square = square[::-1]
    padded = np.pad((square - mean) * np.float32(prepare.scale), ((0, 0), (pad, pad), (pad, pad)))
    room = prepare.resize - prepare.crop + 2 * pad + 1
    top, left = int(draw[0] * room), int(draw[1] * room)
    window = padded[:, top : top + prepare.crop, left : left + prepare.crop]
    return window[:, :, ::-1] if flip and draw[2] < 0.5 else window


unit = st.floats(0, 1, exclude_max=True)


@settings(max_examples=200, deadline=None)
@given(
    draw=st.tuples(unit, unit, unit), crop=st.integers(5, 9), more=st.integers(0, 4), pad=st.integers(0, 4),
    flip=st.booleans(), order=st.sampled_from(["RGB", "BGR"]), image=st.booleans(), scale=st.sampled_from([1, 0.25]),
)  # fmt: skip
def test_augment_is_its_definition(draw, crop, more, pad, flip, order, image, scale):
    resize = crop + more
    prepare = Preprocessing(resize, crop, mean_noise(resize) if image else COLOUR, scale, order)
    picture = noise(resize, resize + 2, 3)
    before = picture.copy()
    expected = slowly_augmented(picture, prepare, draw, flip, pad)
    out = np.full((3, crop, crop), np.nan, np.float32)
    augment = Augment(flip, pad)
    assert augment(picture, prepare, draw, out=out) is out
    np.testing.assert_array_equal(out, expected)
    np.testing.assert_array_equal(augment(picture, prepare, draw), expected)
    np.testing.assert_array_equal(picture, before)


def test_augment_reaches_every_place_and_no_other():
    picture = np.arange(49, dtype=np.uint8).reshape(7, 7, 1).repeat(3, axis=2)
    prepare = Preprocessing(7, 5, [0, 0, 0])
    draws = np.random.default_rng(0).random((200, 3))
    seen = {(x[0, 0, 0], x[0, 0, -1]) for x in (Augment()(picture, prepare, draw) for draw in draws)}
    firsts = [7 * r + c for r in range(3) for c in range(3)]
    assert seen == {(a, a + 4) for a in firsts} | {(a + 4, a) for a in firsts}


def test_augment_that_does_not_fit():
    with pytest.raises(DataError, match="got -1"):
        Augment(pad=-1)
    with pytest.raises(ShapeError, match=r"8 pixels .* 8"):
        Augment(pad=8)(noise(8, 8, 3), Preprocessing(8, 8, COLOUR), (0, 0, 0))


def test_means_over_a_data_set():
    data = ImageArray(noise(7, 10, 12, 3), [0] * 7, ["a"])
    whole = data.images[:, :, 1:11].mean(axis=0).transpose(2, 0, 1)
    mean = mean_image(data, 10)
    assert mean.dtype == np.float32
    np.testing.assert_allclose(mean, whole, rtol=1e-6)
    np.testing.assert_allclose(mean_image(data, 10, order="BGR"), whole[::-1], rtol=1e-6)
    np.testing.assert_allclose(mean_colour(data, 10), whole.mean(axis=(1, 2)), rtol=1e-6)
    np.testing.assert_allclose(mean_colour(data, 10, "BGR"), whole.mean(axis=(1, 2))[::-1], rtol=1e-6)
    some = data.images[[0, 3, 6], :, 1:11].mean(axis=0).transpose(2, 0, 1)
    np.testing.assert_allclose(mean_image(data, 10, limit=3), some, rtol=1e-6)
    np.testing.assert_allclose(mean_image(data, 10, limit=70), whole, rtol=1e-6)


def test_means_leave_out_what_cannot_be_read():
    class Damaged(ImageArray):
        def image(self, i):
            if i in self.bad:
                raise DataError(f"cannot read the picture {i}: truncated")
            return super().image(i)

    data = Damaged(noise(4, 6, 6, 3), [0] * 4, ["a"])
    data.bad = {0, 2}
    np.testing.assert_allclose(mean_image(data, 6), data.images[[1, 3]].mean(axis=0).transpose(2, 0, 1), rtol=1e-6)
    data.bad = range(4)
    with pytest.raises(DataError, match=r"none of 4 pictures .* truncated"):
        mean_image(data, 6)


def test_prepared_training_pictures_average_to_zero():
    data = ImageArray(noise(5, 16, 20, 3), [0] * 5, ["a"])
    prepare = Preprocessing(12, 8, mean_image(data, 12))
    np.testing.assert_allclose(prepare(data.images).mean(axis=0), 0, atol=1e-4)


# ---- places -----------------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("size", [(64, 64), (96, 128), (128, 96), (200, 64), (40, 60), (33, 47)])
@pytest.mark.parametrize(("resize", "crop"), [(64, 64), (96, 64), (48, 41)])
def test_boxes_go_where_the_pixels_do(size, resize, crop):
    """A bright rectangle, drawn, prepared and looked for, is where its box has gone: within half a pixel of resizing."""
    H, W = size
    box = np.array([W // 2 - 9, H // 2 - 7, W // 2 + 8, H // 2 + 10])
    picture = np.zeros((H, W, 3), np.uint8)
    picture[box[1]:box[3], box[0]:box[2]] = 255
    prepare = Preprocessing(resize, crop, np.zeros(3), 1 / 255)
    seen = prepare([picture])[0, 0]
    expected = prepare.to_crop(box, size)
    # The area on each side of an edge tells where it is, to a fraction of a pixel: sums of one row and one column.
    row, column = seen[int(expected[[1, 3]].mean())], seen[:, int(expected[[0, 2]].mean())]
    assert row.sum() == pytest.approx(expected[2] - expected[0], abs=0.6)
    assert column.sum() == pytest.approx(expected[3] - expected[1], abs=0.6)
    middle = [(line * (np.arange(crop) + 0.5)).sum() / line.sum() for line in (row, column)]
    np.testing.assert_allclose(middle, [expected[[0, 2]].mean(), expected[[1, 3]].mean()], atol=0.3)


def test_places_by_hand():
    prepare = Preprocessing(256, 224, np.zeros(3))
    # 512 × 768 pixels become 256 × 384, of which the crop is rows 16 to 240 and columns 80 to 304.
    found = prepare.to_crop([[0, 0], [160, 32], [768, 512]], (512, 768))
    np.testing.assert_allclose(found, [[-80, -16], [0, 0], [304, 240]])
    np.testing.assert_allclose(prepare.to_crop([160, 32, 200, 40], (512, 768)), [0, 0, 20, 4])
    # 33 × 47 become 64 × 91, the longer side to the nearest pixel, of which columns 13 to 77 are the crop.
    np.testing.assert_allclose(Preprocessing(64, 64, np.zeros(3)).to_crop([47, 33], (33, 47)), [91 - 13, 64])
    assert prepare.to_crop(np.zeros((2, 5, 4)), (9, 9)).shape == (2, 5, 4)
    assert np.isnan(prepare.to_crop([np.nan] * 4, (300, 300))).all()
    same = Preprocessing(64, 64, np.zeros(3))
    places = np.array([[3, 4, 9, 12]], np.float32)
    np.testing.assert_array_equal(same.to_crop(places, (64, 64)), places)
    assert same.to_crop(places, (64, 64)).dtype == np.float64


@pytest.mark.parametrize(("places", "size"), [([1, 2, 3], (9, 9)), (5, (9, 9)), ([1, 2], (0, 9))])
def test_places_that_are_none(places, size):
    with pytest.raises(DataError, match=r"expected points \(\.\.\., 2\) or boxes \(\.\.\., 4\)"):
        Preprocessing(64, 64, np.zeros(3)).to_crop(places, size)

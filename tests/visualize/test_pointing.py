"""The pointing game on masks made by hand, and the truth of data sets as a network sees it."""

import numpy as np
import pytest

from zfnumpy.data import ImageArray, Preprocessing, TinyImageNet, sketches
from zfnumpy.errors import ShapeError
from zfnumpy.visualize import pointing_game
from zfnumpy.visualize.pointing import true_masks, true_parts

MASK = np.zeros((1, 4, 5), bool)
MASK[0, 1:3, 1:3] = True                 # 4 of 20 pixels
GREY = np.zeros(3, np.float32)


def pointed(row, col, value=1.0, rest=0.0):
    found = np.full((1, 4, 5), rest)
    found[0, row, col] = value
    return found


# ---- the game -------------------------------------------------------------------------------------------------------

@pytest.mark.parametrize(("at", "hit"), [((1, 1), 1), ((2, 2), 1), ((0, 1), 0), ((3, 4), 0), ((2, 3), 0)])
def test_the_strongest_pixel_hits_or_misses(at, hit):
    found = pointing_game(pointed(*at), MASK)
    assert (found.hits.tolist(), found.energy.tolist(), found.covered.tolist()) == ([hit], [hit], [0.2])


def test_energy_is_the_share_inside():
    assert pointing_game(pointed(1, 2, 5.0, rest=1.0), MASK).energy[0] == pytest.approx((5 + 3) / (5 + 19))


def test_several_strongest_pixels_hit_by_their_share():
    maps = pointed(1, 1)
    maps[0, 0, 0] = maps[0, 3, 3] = maps[0, 2, 1] = 1
    assert pointing_game(maps, MASK).hits.tolist() == [0.5]


def test_a_map_of_zeros_gets_what_chance_gets():
    found = pointing_game(np.zeros((1, 4, 5)), MASK)
    np.testing.assert_allclose([found.hits, found.energy, found.covered], [[0.2]] * 3)


@pytest.mark.parametrize(("tolerance", "hits"), [(0, 0), (1, 0), (2, 1), (9, 1)])
def test_near_misses(tolerance, hits):
    found = pointing_game(pointed(3, 4), MASK, tolerance)            # one row and two columns beside the mask
    assert found.hits.tolist() == [hits]
    assert (found.covered.tolist(), found.energy.tolist()) == ([0.2], [0])


def test_a_picture_without_a_mask_is_not_counted():
    found = pointing_game(np.concatenate([pointed(1, 1), pointed(1, 1)]), np.concatenate([MASK, np.zeros_like(MASK)]))
    assert found.hits[0] == found.energy[0] == 1
    assert np.isnan([found.hits[1], found.energy[1], found.covered[1]]).all()


def test_which_part_is_hit_by_class():
    maps = np.concatenate([pointed(1, 1), pointed(0, 4), pointed(1, 1)])
    parts = [{"eye": (1.5, 1.5, 1.0), "tail": (4.5, 0.5, 0.2)}] * 2 + [{"eye": (1.5, 1.5, 1.0)}]
    found = pointing_game(maps, np.repeat(MASK, 3, 0), parts=parts, names=["cat", "cat", "fish"])
    assert found.parts == {("cat", "eye"): (1, 2), ("cat", "tail"): (1, 2), ("fish", "eye"): (1, 1)}


def test_one_picture_of_one_pixel():
    assert pointing_game(np.ones((1, 1, 1)), np.ones((1, 1, 1), bool), 3).hits.tolist() == [1]


@pytest.mark.parametrize(("maps", "masks", "message"), [
    (np.zeros((1, 4, 5)), np.zeros((1, 5, 4), bool), r"got maps \(1, 4, 5\) and masks \(1, 5, 4\) of bool"),
    (np.zeros((1, 4, 5)), np.zeros((1, 4, 5)), "of float64"), (pointed(0, 0, -1.5), MASK, "0 or more, got -1.5"),
    (pointed(0, 0, np.nan), MASK, "0 or more, got nan")])
def test_maps_and_masks_that_do_not_fit(maps, masks, message):
    with pytest.raises(ShapeError, match=message):
        pointing_game(maps, masks)


def test_as_many_parts_and_names_as_maps():
    with pytest.raises(ShapeError, match="1 maps need 1 parts, got 2"):
        pointing_game(pointed(0, 0), MASK, parts=[{}, {}])
    with pytest.raises(ShapeError, match="1 maps need 1 names, got 0"):
        pointing_game(pointed(0, 0), MASK, names=[])


# ---- the truth as the network sees it -------------------------------------------------------------------------------

def test_masks_of_sketches_are_their_own_where_nothing_is_resized():
    drawn = sketches.load(12, seed=3, cache=False, processes=1)
    same = Preprocessing(64, 64, GREY)
    assert (true_masks(drawn, [3, 0, 11], same) == drawn.masks[[3, 0, 11]]).all()
    assert true_parts(drawn, [5], same) == [drawn.parts(5)]


def test_masks_and_parts_follow_the_resize_and_the_crop():
    drawn = sketches.load(2, seed=3, cache=False, processes=1)
    found = true_masks(drawn, [1], Preprocessing(128, 100, GREY))[0]
    twice = drawn.masks[1].repeat(2, 0).repeat(2, 1)[14:114, 14:114]
    assert found.shape == (100, 100)
    assert (found != twice).mean() < 0.05                            # along the outline, where the resize interpolates
    parts = true_parts(drawn, [1], Preprocessing(128, 100, GREY))[0]
    for name, (x, y, radius) in drawn.parts(1).items():
        assert parts[name] == pytest.approx((2 * x - 14, 2 * y - 14, 2 * radius))


def boxed(boxes, shape=(10, 20, 3)):
    found = ImageArray(np.zeros((len(boxes), *shape), np.uint8), [0] * len(boxes), ["a"])
    found.boxes = np.array(boxes, np.float32)
    return found


def test_boxes_become_masks():
    """A picture of 10 × 20 at its own size: the square begins in column 5."""
    found = true_masks(boxed([(6, 2, 9, 4), (0, 0, 20, 10), (np.nan,) * 4]), [0, 1, 2], Preprocessing(10, 10, GREY))
    assert np.argwhere(found[0]).tolist() == [[r, c] for r in (2, 3) for c in (1, 2, 3)]
    assert found[1].all()
    assert not found[2].any()


def test_boxes_beyond_the_picture_are_cut():
    found = true_masks(boxed([(-3, -2, 6.5, 1)]), [0], Preprocessing(10, 10, GREY))[0]
    assert np.argwhere(found).tolist() == [[0, 0], [0, 1]]


def test_boxes_of_tiny_imagenet(real_data):
    val = TinyImageNet(real_data / "tiny-imagenet-20", "val")
    found = true_masks(val, [0, 7], Preprocessing(64, 64, GREY))
    for mask, (x0, y0, x1, y1) in zip(found, val.boxes[[0, 7]]):
        assert mask.sum() == (x1 - x0) * (y1 - y0)
        assert mask[int(y0), int(x0)]


def test_a_data_set_without_truth():
    plain = ImageArray(np.zeros((1, 8, 8, 3), np.uint8), [0], ["a"])
    assert true_masks(plain, [0], Preprocessing(8, 8, GREY)) is None
    assert true_parts(plain, [0], Preprocessing(8, 8, GREY)) is None

"""Boxes around what a map marks: connected parts against a flood fill, overlaps against counted pixels."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from zfnumpy.errors import ShapeError
from zfnumpy.visualize import best_centred_box, components, iou, largest_box
from zfnumpy.visualize.boxes import box_around, largest_part

SIDES = st.integers(1, 9)
MASKS = hnp.arrays(bool, st.tuples(SIDES, SIDES))


def flood_fill(mask):
    """Number the 8-connected parts, pixel by pixel."""
    labels, count = np.zeros(mask.shape, int), 0
    for start in np.ndindex(mask.shape):
        if not mask[start] or labels[start]:
            continue
        count += 1
        labels[start], todo = count, [start]
        while todo:
            r, c = todo.pop()
            for i in range(max(r - 1, 0), min(r + 2, mask.shape[0])):
                for j in range(max(c - 1, 0), min(c + 2, mask.shape[1])):
                    if mask[i, j] and not labels[i, j]:
                        labels[i, j] = count
                        todo.append((i, j))
    return labels


@given(MASKS)
def test_components_are_those_of_a_flood_fill(mask):
    np.testing.assert_array_equal(components(mask), flood_fill(mask))


@pytest.mark.parametrize("share", [0.2, 0.4, 0.5, 0.6, 0.9])
def test_large_masks(share):
    mask = np.random.default_rng(0).random((60, 71)) < share
    np.testing.assert_array_equal(components(mask), flood_fill(mask))


def test_parts_that_meet_late_and_at_corners():
    spiral = np.array([[1, 1, 1, 1, 1], [1, 0, 0, 0, 1], [1, 0, 1, 0, 1], [1, 0, 1, 1, 1], [0, 0, 0, 0, 0], [1, 0, 1, 0, 1]])
    assert components(spiral).tolist()[-1] == [2, 0, 3, 0, 4]
    assert components(spiral)[:4].max() == 1
    assert components(np.eye(5)).max() == 1
    comb = np.zeros((4, 9))
    comb[:3, ::2], comb[3] = 1, 1
    assert components(comb).max() == 1
    assert components(np.zeros((3, 4))).tolist() == np.zeros((3, 4)).tolist()
    assert components(np.zeros((0, 4))).shape == (0, 4)


MAPS = hnp.arrays(float, st.tuples(SIDES, SIDES), elements=st.integers(-3, 9).map(float))


@given(MAPS, st.sampled_from((0, 0.2, 0.5, 0.9)))
def test_a_box_is_that_of_the_largest_part_above_the_threshold(map, threshold):
    box = largest_box(map, threshold)
    if map.max() <= 0:
        assert box.tolist() == [0, 0, 0, 0]
        return
    labels = flood_fill(map > threshold * map.max())
    sizes = [int((labels == k).sum()) for k in range(1, labels.max() + 1)]
    rows, columns = (labels == 1 + sizes.index(max(sizes))).nonzero()                 # the first of equally large ones
    assert box.tolist() == [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]


def test_ties_go_to_the_first():
    map = np.zeros((3, 7))
    map[0, 5], map[2, :1] = 1, 1
    assert largest_box(map).tolist() == [5, 0, 6, 1]
    map[2, 1] = 0.5
    assert largest_box(map).tolist() == [0, 2, 2, 3]
    assert largest_box(map, 0.5).tolist() == [5, 0, 6, 1]              # not above a half


@pytest.mark.parametrize("map", [np.zeros((3, 4)), -np.ones((3, 4)), np.full((3, 4), np.nan), np.zeros((1, 1))])
def test_a_map_with_nothing_above_zero_has_no_box(map):
    assert largest_box(map).tolist() == [0, 0, 0, 0]


def test_small_flat_and_extreme_maps():
    assert largest_box(np.ones((1, 1))).tolist() == [0, 0, 1, 1]
    assert largest_box(np.full((4, 6), 1e-3), 0.99).tolist() == [0, 0, 6, 4]
    assert largest_box(np.full((4, 6), 5e-324), 0.9).tolist() == [0, 0, 6, 4]
    assert largest_box(np.full((2, 2), 1.5), np.nextafter(1, 0)).tolist() == [0, 0, 2, 2]
    map = np.array([[0, 1e38], [2e38, 0]], np.float32)
    assert largest_box(map, 0.6).tolist() == [0, 1, 1, 2]
    assert map.dtype == np.float32


@pytest.mark.parametrize("threshold", [1, -0.1, 20, np.nan])
def test_thresholds_that_are_no_share(threshold):
    with pytest.raises(ShapeError, match="a share of the map's maximum, 0 or more and below 1, got"):
        largest_box(np.ones((2, 2)), threshold)


@pytest.mark.parametrize("shape", [(3,), (1, 3, 3), (0, 3)])
def test_maps_that_are_no_map(shape):
    with pytest.raises(ShapeError, match=r"one map \(H, W\), got shape"):
        largest_box(np.ones(shape))


SPANS = st.tuples(st.integers(0, 8), st.integers(0, 8)).map(sorted)
CORNERS = st.tuples(SPANS, SPANS).map(lambda xy: (xy[0][0], xy[1][0], xy[0][1], xy[1][1]))


@given(CORNERS, CORNERS)
def test_iou_counts_pixels(a, b):
    painted = np.zeros((2, 9, 9), bool)
    for paint, (x0, y0, x1, y1) in zip(painted, (a, b)):
        paint[y0:y1, x0:x1] = True
    union = (painted[0] | painted[1]).sum()
    expected = (painted[0] & painted[1]).sum() / union if union else 0
    assert iou(a, b) == pytest.approx(expected)
    assert iou(b, a) == iou(a, b)


def test_iou_of_many():
    a = np.array([[0, 0, 2, 2], [0, 0, 0, 0], [np.nan] * 4])
    found = iou(a[:, None], [[0, 0, 2, 2], [1, 0, 3, 2]])
    np.testing.assert_allclose(found, [[1, 1 / 3], [0, 0], [np.nan] * 2])


def test_the_best_centred_box_by_trying_all():
    rng = np.random.default_rng(0)
    corners = np.sort(rng.integers(0, 13, (40, 2, 2)), axis=1)
    boxes = np.concatenate([corners[:, 0] * (1, 0.8), (corners[:, 1] + 1) * (1, 0.8)], axis=1)
    size = (10, 14)
    tried = (np.array([14 - w, 10 - h, 14 + w, 10 + h]) / 2 for w in range(1, 15) for h in range(1, 11))
    best = max(tried, key=lambda box: ((iou(box, boxes) > 0.5).sum(), iou(box, boxes).mean()))
    np.testing.assert_allclose(best_centred_box(boxes, size), best)
    np.testing.assert_allclose(best_centred_box(np.vstack([boxes, [np.nan] * 4]), size), best)


def test_best_centred_boxes_that_are_plain():
    assert best_centred_box([[2, 3, 8, 7]], (10, 10)).tolist() == [2, 3, 8, 7]
    assert best_centred_box(np.tile([100, 50, 156, 174], (3, 1)), (224, 256)).shape == (4,)
    with pytest.raises(ShapeError, match="there is no box to find the best centred one for"):
        best_centred_box(np.full((2, 4), np.nan), (10, 10))


def test_the_largest_part_of_a_mask_and_the_box_around_it():
    mask = np.zeros((4, 6), bool)
    assert (box_around(mask).tolist(), largest_part(mask).any()) == ([0, 0, 0, 0], False)
    mask[0, 0] = mask[2, 3] = mask[3, 4] = True                       # the last two touch at a corner
    assert largest_part(mask).nonzero()[0].tolist() == [2, 3]
    assert box_around(mask).tolist() == [0, 0, 5, 4]
    assert box_around(largest_part(mask)).tolist() == [3, 2, 5, 4]

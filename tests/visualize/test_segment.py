"""Segmentation from saliency, on pictures whose truth is known."""

import json
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from zfnumpy.data import sketches
from zfnumpy.errors import BackendError, ShapeError
from zfnumpy.visualize import segment

cv2 = pytest.importorskip("cv2")
RNG = np.random.default_rng(0)


def disc(H=60, W=80, centre=(30, 50), radius=15):
    """An orange disc on a bluish ground, both speckled, its truth, and a relevance that is strong inside only."""
    rows, columns = np.mgrid[:H, :W]
    truth = (rows - centre[0]) ** 2 + (columns - centre[1]) ** 2 < radius ** 2
    picture = np.where(truth[..., None], (220, 120, 30), (40, 70, 150)) + RNG.integers(-15, 15, (H, W, 3))
    relevance = np.abs(RNG.standard_normal((H, W))) * np.where(truth, 5, 1)
    return picture.astype(np.uint8), truth, relevance


def iou(a, b):
    return (a & b).sum() / (a | b).sum()


def test_a_disc_is_cut_out():
    picture, truth, relevance = disc()
    found = segment(picture, relevance)
    assert iou(found.mask, truth) > 0.97
    assert found.mask.dtype == bool
    np.testing.assert_allclose(found.box, [36, 16, 65, 45], atol=1)
    assert found.seeds.dtype == np.int8
    assert set(np.unique(found.seeds)) == {-1, 0, 1}
    assert found.mask[found.seeds > 0].mean() > 0.95
    assert not found.mask[found.seeds < 0].any()                     # seeds keep what they are


def test_the_colours_are_learnt_from_the_seeds_alone():
    """The recipe: half of the ground is green, and no seed; were it learnt as ground with the rest, it would be cut off."""
    picture = np.full((40, 90, 3), (40, 70, 150), np.uint8)
    picture[:, 30:60], picture[:, 60:] = (215, 120, 30), (225, 115, 35)          # between the two: almost the object
    picture = np.clip(picture + RNG.integers(-6, 7, picture.shape), 0, 255).astype(np.uint8)
    relevance = np.zeros((40, 90))
    relevance[:, 30:60], relevance[:, 60:] = 1, 2
    found = segment(picture, relevance, 0.9, 0.3, smooth=0)
    assert (found.seeds == np.repeat([-1, 0, 1], 30)).all()
    assert found.mask[:, 30:].all()
    assert not found.mask[:, :30].any()


def test_quantiles_make_the_seeds():
    picture, relevance = disc(10, 10)[0], RNG.permutation(100).reshape(10, 10)
    seeds = segment(picture, relevance, 0.9, 0.25, smooth=0).seeds
    assert (seeds[relevance >= 90] == 1).all()
    assert (seeds[relevance <= 24] == -1).all()
    assert (seeds == 0).sum() == 65
    default = segment(picture, relevance, smooth=0).seeds
    assert ((default == 1).sum(), (default == -1).sum()) == (5, 30)


def test_ties_at_the_quantiles_count():
    """Most of a rectified map is exactly 0, and a mask has nothing but 0 and 1."""
    picture, truth, _ = disc()
    seeds = segment(picture, truth.astype(float), smooth=0).seeds
    np.testing.assert_array_equal(seeds, np.where(truth, 1, -1))
    few = np.zeros(truth.shape)
    few[30, 50] = 1
    seeds = segment(picture, few, smooth=0).seeds
    assert (seeds == 1).sum() == 1
    assert (seeds == -1).sum() == truth.size - 1


def test_only_the_largest_piece_is_kept():
    picture, truth, relevance = disc()
    picture[5:11, 5:11], relevance[5:11, 5:11] = (220, 120, 30), 6
    found = segment(picture, relevance)
    assert (found.seeds[5:11, 5:11] > 0).any()
    assert not found.mask[:14, :14].any()
    assert iou(found.mask, truth) > 0.9


def test_smoothing_fills_the_holes_of_a_flickering_map():
    picture, truth, relevance = disc()
    relevance[np.random.default_rng(1).random(relevance.shape) < 0.5] = 0
    assert iou(segment(picture, relevance, smooth=0).mask, truth) < 0.7
    assert iou(segment(picture, relevance, smooth=0.04).mask, truth) > 0.95


def test_chance_comes_from_the_seed_alone():
    """On noise, where it matters where the colours' clusters begin; whatever OpenCV has drawn before."""
    rng = np.random.default_rng(0)
    picture, relevance = rng.integers(0, 256, (60, 80, 3), dtype=np.uint8), rng.random((60, 80))
    masks = {}
    for seed in (*range(6), *range(6)):
        cv2.setRNGSeed(100 + len(masks))
        masks.setdefault(seed, set()).add(segment(picture, relevance, smooth=0.05, seed=seed).mask.tobytes())
    assert all(len(each) == 1 for each in masks.values())
    assert len(set.union(*masks.values())) > 1


def test_nothing_is_changed():
    picture, _, relevance = disc()
    before = picture.copy(), relevance.copy()
    first = segment(picture, relevance)
    np.testing.assert_array_equal(picture, before[0])
    np.testing.assert_array_equal(relevance, before[1])
    scaled = segment(picture, 2.0 ** -40 * relevance)                 # what is relevant does not depend on the unit
    np.testing.assert_array_equal(scaled.mask, first.mask)


@pytest.mark.parametrize("value", [0.0, 0.1, 3.0])
def test_a_relevance_that_says_nothing_gives_an_empty_mask(value):
    found = segment(disc()[0], np.full((60, 80), value))
    assert not found.mask.any()
    assert not found.seeds.any()
    assert found.box.tolist() == [0, 0, 0, 0]


@given(H=st.integers(1, 9), W=st.integers(1, 9), constant=st.booleans(), smooth=st.sampled_from([0.0, 0.02, 0.5, 2.0]),
       seed=st.integers(0, 9))
def test_tiny_and_constant_pictures(H, W, constant, smooth, seed):
    rng = np.random.default_rng(seed)
    picture = np.full((H, W, 3), 90, np.uint8) if constant else rng.integers(0, 256, (H, W, 3), dtype=np.uint8)
    found = segment(picture, rng.random((H, W)), smooth=smooth)
    assert found.mask.shape == (H, W)
    x0, y0, x1, y1 = found.box
    assert found.mask.any() == (H * W > 1)                            # of one pixel nothing stands out
    if found.mask.any():
        inside = np.zeros((H, W), bool)
        inside[y0:y1, x0:x1] = True
        assert not (found.mask & ~inside).any()
        assert found.mask[y0].any()
        assert found.mask[y1 - 1].any()
        assert found.mask[:, x0].any()
        assert found.mask[:, x1 - 1].any()


@pytest.mark.parametrize(("change", "message"), [
    ({"picture": np.zeros((4, 5, 3))}, r"a picture is \(H, W, 3\) uint8, got \(4, 5, 3\) float64"),
    ({"picture": np.zeros((4, 5), np.uint8)}, r"got \(4, 5\) uint8"),
    ({"picture": np.zeros((0, 5, 3), np.uint8), "relevance": np.zeros((0, 5))}, r"got \(0, 5, 3\)"),
    ({"relevance": np.zeros((5, 4))}, r"must be \(4, 5\) as the picture is, got \(5, 4\)"),
    ({"relevance": np.full((4, 5), np.nan)}, "not finite"),
    ({"foreground": 0.2}, "got 0.3 and 0.2"), ({"background": -1}, "quantiles must be"),
    ({"foreground": 1.1}, "got 0.3 and 1.1"),
    ({"smooth": -1}, "0 or more, got -1"), ({"smooth": np.nan}, "got nan")])
def test_what_segment_refuses(change, message):
    given_ = {"picture": np.zeros((4, 5, 3), np.uint8), "relevance": np.zeros((4, 5))} | change
    with pytest.raises(ShapeError, match=message):
        segment(**given_)


def test_without_opencv_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "cv2", None)
    with pytest.raises(BackendError, match=r"needs OpenCV: pip install 'zfnumpy\[segment\]'") as told:
        segment(np.zeros((4, 5, 3), np.uint8), np.zeros((4, 5)))
    assert "\n" not in str(told.value)


def test_what_is_saved(tmp_path):
    found = segment(*disc()[::2])
    found.save(tmp_path, picture="disc")
    with np.load(tmp_path / "segment.npz") as file:
        np.testing.assert_array_equal(file["mask"], found.mask)
        np.testing.assert_array_equal(file["seeds"], found.seeds)
    assert json.loads((tmp_path / "segment.json").read_text()) == {
        "box": found.box.tolist(), "share": found.mask.mean(), "picture": "disc"}


def test_sketches_against_their_true_masks():
    """A relevance that is right but coarse and noisy comes nearer to the truth by the picture; a box is far off."""
    scores, drawn = [], sketches.load(40, seed=3, cache=False, processes=1)
    for picture, truth in zip(drawn.images, drawn.masks):
        noise = np.random.default_rng(len(scores)).random(truth.shape)
        relevance = cv2.GaussianBlur(truth.astype(float), (0, 0), 8) + 0.4 * noise
        best = max(iou(relevance > level, truth) for level in np.quantile(relevance, [0.5, 0.6, 0.7, 0.8, 0.9]))
        box = np.zeros_like(truth)
        box[13:51, 13:51] = True                                       # the best square around the middle
        scores.append((iou(segment(picture, relevance).mask, truth), best, iou(box, truth)))
    segmented, thresholded, boxed = np.mean(scores, axis=0)
    assert segmented > thresholded + 0.06
    assert segmented > boxed + 0.25

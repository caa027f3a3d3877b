"""The drawn set: is its truth true, is it the same whoever draws it, and is it hard for the right reasons?"""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from zfnumpy.data import sketches
from zfnumpy.data.sketches import rendering
from zfnumpy.data.sketches.geometry import band, ellipse, grown
from zfnumpy.errors import DataError

EVERY_CLASS = pytest.mark.parametrize("name", sketches.CLASSES)


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    """Keep every test's drawings in a folder of its own."""
    folder = tmp_path / "cache"
    monkeypatch.setenv("ZFNUMPY_CACHE", str(folder))
    return folder


@pytest.fixture(scope="module")
def some():
    """Sixty images, drawn once."""
    return sketches.load(60, seed=3, cache=False, processes=1)


def cached_files(cache):
    return sorted((cache / "sketches").glob("*"))


def same(a, b):
    fields = ("images", "labels", "masks", "boxes", "poses", "places", "numbers")
    return all(np.array_equal(getattr(a, f), getattr(b, f), equal_nan=f == "places") for f in fields)


# What a set is


def test_ten_classes_each_with_parts():
    assert len(sketches.CLASSES) == len(set(sketches.CLASSES)) == 10
    assert tuple(sketches.PARTS) == sketches.CLASSES
    assert all(len(set(parts)) == len(parts) >= 4 for parts in sketches.PARTS.values())


def test_shapes_and_dtypes(some):
    assert len(some) == 60
    assert some.classes == list(sketches.CLASSES)
    assert (some.images.shape, some.images.dtype) == ((60, 64, 64, 3), np.uint8)
    assert (some.labels.shape, some.labels.dtype) == ((60,), np.int64)
    assert (some.masks.shape, some.masks.dtype) == ((60, 64, 64), np.bool_)
    assert (some.boxes.shape, some.boxes.dtype) == ((60, 4), np.float32)
    assert (some.poses.shape, some.poses.dtype) == ((60, 4), np.float32)
    assert np.shares_memory(some.image(7), some.images[7])
    assert some.name(17) == f"sketch 17 ({some.classes[some.labels[17]]})"
    assert "60 images" in repr(some)


def test_every_ten_in_a_row_hold_each_class_once_in_another_order(some):
    blocks = some.labels.reshape(6, 10)
    assert (np.sort(blocks, axis=1) == np.arange(10)).all()
    assert len({tuple(block) for block in blocks}) > 1


@pytest.mark.parametrize("indices", [[5, 2, 40], slice(10, 20), np.arange(60) % 7 == 0, []], ids=str)
def test_a_subset_keeps_numbers_and_truth(some, indices):
    part = some.subset(indices)
    numbers = np.arange(60)[indices] if len(np.arange(60)[indices]) else []
    assert len(part) == len(part.images) == len(numbers)
    for k, i in enumerate(numbers):
        assert part.name(k) == some.name(i)
        assert part.parts(k) == some.parts(i)
        assert np.array_equal(part.image(k), some.image(i))
        assert np.array_equal(part.redraw(k)[0], some.image(i))


def test_a_subset_beyond_the_set_is_refused(some):
    with pytest.raises(DataError, match="60"):
        some.subset([3, 60])


# Is the truth true?


def check_box(mask, box):
    x0, y0, x1, y1 = box.astype(int)
    assert mask[y0:y1, x0:x1].sum() == mask.sum() > 0
    assert mask[y0, :].any()
    assert mask[y1 - 1, :].any()
    assert mask[:, x0].any()
    assert mask[:, x1 - 1].any()


def test_boxes_are_tight_around_masks_and_random_poses_inside_the_image(some):
    for i in range(len(some)):
        check_box(some.masks[i], some.boxes[i])
    edges = np.concatenate([some.masks[:, 0], some.masks[:, -1], some.masks[:, :, 0], some.masks[:, :, -1]])
    assert not edges.any()


def test_parts_lie_on_the_object(some):
    for i in range(len(some)):
        parts = some.parts(i)
        assert tuple(parts) == sketches.PARTS[some.classes[some.labels[i]]]
        x0, y0, x1, y1 = some.boxes[i]
        for name, (x, y, radius) in parts.items():
            assert x0 < x < x1, (some.name(i), name)
            assert y0 < y < y1, (some.name(i), name)
            assert some.masks[i, int(y), int(x)], (some.name(i), name)
            assert 0.5 < radius < max(x1 - x0, y1 - y0), (some.name(i), name)


@EVERY_CLASS
@pytest.mark.parametrize("seed", [0, 1])
def test_a_part_left_out_changes_its_circle_and_nothing_else(name, seed):
    pose = {"size": 96, "seed": seed, "x": 0.48, "y": 0.53, "scale": 0.8, "angle": 15.0}
    whole, truth = sketches.draw(name, **pose)
    ys, xs = np.mgrid[:96, :96] + 0.5
    for part, (x, y, radius) in truth.parts.items():
        less, other = sketches.draw(name, **pose, without=part)
        changed = (whole != less).any(axis=-1)
        far = np.hypot(xs - x, ys - y)
        assert changed.any(), part
        # The circle is the tightest about its centre: a pixel may stand out by half its diagonal.
        assert far[changed].max() < radius + 1, part
        assert other.parts == truth.parts
        assert not (other.mask & ~truth.mask).any()


@EVERY_CLASS
def test_scale_and_place_are_the_boxes_own(name):
    for scale, x, y in ((0.5, 0.4, 0.6), (0.9, 0.5, 0.5)):
        _, truth = sketches.draw(name, size=100, seed=4, x=x, y=y, scale=scale)
        x0, y0, x1, y1 = truth.box
        assert max(x1 - x0, y1 - y0) == pytest.approx(100 * scale, abs=2)
        assert (x0 + x1) / 2 == pytest.approx(100 * x, abs=1)
        assert (y0 + y1) / 2 == pytest.approx(100 * y, abs=1)
        assert (truth.x, truth.y, truth.scale, truth.angle) == (100 * x, 100 * y, scale, 0)


@EVERY_CLASS
def test_turning_counter_clockwise_moves_parts_as_the_rotation_says(name):
    _, upright = sketches.draw(name, seed=2)
    _, turned = sketches.draw(name, seed=2, angle=90)
    for part, (x, y, radius) in upright.parts.items():
        # A quarter turn counter-clockwise takes right to up: (dx, dy) to (dy, -dx), y down.
        assert turned.parts[part] == pytest.approx((32 + (y - 32), 32 - (x - 32), radius))
    assert np.mean(turned.mask != np.rot90(upright.mask)) < 0.02
    # 0.5 is a pixel border: rot90 of numpy is counter-clockwise about it.


def test_moving_moves_pixels_and_parts_alike():
    a, left = sketches.draw("face", seed=5, x=0.45, scale=0.6, background=False)
    b, right = sketches.draw("face", seed=5, x=0.45 + 8 / 64, scale=0.6, background=False)
    assert np.array_equal(a[:, :-8], b[:, 8:])
    for part, (x, y, radius) in left.parts.items():
        assert right.parts[part] == pytest.approx((x + 8, y, radius))


@EVERY_CLASS
def test_pose_alone_leaves_the_background_as_it_is(name):
    a, one = sketches.draw(name, seed=6)
    b, other = sketches.draw(name, seed=6, x=0.3, y=0.6, scale=0.5, angle=40)
    outside = ~(one.mask | other.mask)
    assert outside.sum() > 200
    assert np.array_equal(a[outside], b[outside])
    assert (a != b).any()


def test_left_and_right_are_the_onlookers():
    for name in ("cat", "clock", "face", "flower", "house"):
        for seed in range(6):
            _, truth = sketches.draw(name, seed=seed)
            for part, (x, _, _) in truth.parts.items():
                if part.startswith("left_"):
                    assert x < truth.parts[part.replace("left_", "right_")][0]


def test_an_object_beyond_the_edge_has_an_empty_mask_and_box():
    image, truth = sketches.draw("car", seed=1, x=3.0)
    assert image.shape == (64, 64, 3)
    assert not truth.mask.any()
    assert (truth.box == 0).all()
    assert truth.parts["headlight"][0] > 64


def test_without_background_there_is_one_colour_around_the_object():
    image, truth = sketches.draw("fish", seed=8, background=False)
    assert len(np.unique(image[~truth.mask], axis=0)) == 1


# Is it the same, whoever draws it?


def test_redraw_is_the_image_and_draw_makes_it_too(some):
    for i in (0, 31):
        image, truth = some.redraw(i)
        assert np.array_equal(image, some.image(i))
        assert np.array_equal(truth.mask, some.masks[i])
        assert np.array_equal(truth.box, some.boxes[i])
        assert np.allclose((truth.x, truth.y, truth.scale, truth.angle), some.poses[i])
        again, _ = sketches.draw(some.classes[some.labels[i]], 64, (3, i), None, None, None, None)
        assert np.array_equal(again, image)


def test_redraw_changes_only_what_is_asked(some):
    _, truth = some.redraw(4, angle=50)
    x, y, scale, _ = some.poses[4]
    assert (truth.x, truth.y, truth.scale, truth.angle) == pytest.approx((x, y, scale, 50))
    assert truth.label == some.labels[4]


def test_helpers_draw_the_same_bits(some, monkeypatch):
    def refused(*_):
        raise AssertionError("drawn in this process, not by a helper")

    monkeypatch.setattr(rendering, "draw_record", refused)
    assert same(sketches.load(60, seed=3, cache=False, processes=3), some)


@pytest.mark.parametrize("executable", ["/nowhere/python", "false"])
def test_helpers_that_cannot_work_are_replaced(some, monkeypatch, executable):
    monkeypatch.setattr(rendering.sys, "executable", executable)
    assert same(sketches.load(60, seed=3, cache=False, processes=2), some)


def test_a_script_without_a_main_guard_may_load(tmp_path):
    root = Path(sketches.__file__).resolve().parents[3]
    code = f"import sys; sys.path.insert(0, {str(root)!r})\nfrom zfnumpy.data import sketches\n"
    script = tmp_path / "script.py"
    script.write_text(code + "print(len(sketches.load(20, size=16, processes=2)))\n")
    run = subprocess.run([sys.executable, script], capture_output=True, text=True, timeout=60, cwd=tmp_path)
    assert (run.returncode, run.stdout, run.stderr) == (0, "20\n", "")


def test_an_image_does_not_depend_on_the_count(some):
    assert same(sketches.load(12, seed=3, cache=False, processes=1), some.subset(slice(0, 12)))


def test_another_seed_is_another_set(some):
    other = sketches.load(10, seed=4, cache=False, processes=1)
    assert not (other.images == some.images[:10]).all(axis=(1, 2, 3)).any()


@EVERY_CLASS
def test_another_size_is_the_same_scene(name):
    small, a = sketches.draw(name, 48, 9, None, None, None, None)
    large, b = sketches.draw(name, 144, 9, None, None, None, None)
    assert np.allclose(3 * np.array(list(a.parts.values())), list(b.parts.values()))
    shrunk = large.reshape(48, 3, 48, 3, 3).mean(axis=(1, 3))
    assert np.abs(shrunk - small).mean() < 6


# The cache


def test_a_second_load_reads_what_the_first_drew(cache, monkeypatch):
    first = sketches.load(10, size=33, seed=1)
    assert len(cached_files(cache)) == 1
    monkeypatch.setattr(rendering, "draw_record", None)
    assert same(sketches.load(10, size=33, seed=1), first)


@pytest.mark.parametrize("damage", ["cut", "garbage", "empty", "flipped", "other"])
def test_a_damaged_cache_is_drawn_again(cache, damage):
    first = sketches.load(10, size=16)
    (path,) = cached_files(cache)
    good = path.read_bytes()
    if damage == "other":  # a sound file with other arrays
        np.savez(path, image=np.zeros(3))
    else:
        middle = len(good) // 2
        flipped = good[:middle] + bytes([good[middle] ^ 255]) + good[middle + 1 :]
        path.write_bytes({"cut": good[:middle], "garbage": b"no zip", "empty": b"", "flipped": flipped}[damage])
    assert same(sketches.load(10, size=16), first)
    assert cached_files(cache) == [path]
    with np.load(path) as file:
        assert np.array_equal(file["image"], first.images)


def test_a_cache_that_cannot_be_written_is_done_without(cache, tmp_path):
    cache.write_text("a file where the folder should be")
    assert len(sketches.load(10, size=16)) == 10
    assert cache.is_file()


def test_cache_false_leaves_no_file(cache):
    sketches.load(10, size=16, cache=False)
    assert not cache.exists()


def test_an_older_drawing_of_the_same_set_makes_room(cache):
    folder = cache / "sketches"
    folder.mkdir(parents=True)
    old, another = folder / "10-of-16px-seed0-0123456789ab.npz", folder / "10-of-16px-seed1-0123456789ab.npz"
    old.touch()
    another.touch()
    sketches.load(10, size=16)
    assert not old.exists()
    assert another.exists()
    assert len(cached_files(cache)) == 2


# What is refused


def test_an_unknown_class_names_the_ten():
    for unknown in ("dog", 10, -1):
        with pytest.raises(DataError) as refusal:
            sketches.draw(unknown)
        assert repr(unknown) in str(refusal.value)
        assert all(name in str(refusal.value) for name in sketches.CLASSES)


@pytest.mark.parametrize(
    ("arguments", "numbers"),
    [
        ({"size": 15}, ("16", "15")),
        ({"count": 0}, ("1", "0")),
        ({"processes": 0}, ("1", "0")),
        ({"seed": -2}, ("0", "-2")),
        ({"size": 64.0}, ("64.0",)),
        ({"seed": "a"}, ("'a'",)),
    ],
)
def test_bad_settings_are_refused_with_both_numbers(arguments, numbers):
    with pytest.raises(DataError) as refusal:
        sketches.load(**({"count": 10, "cache": False} | arguments))
    assert all(number in str(refusal.value) for number in numbers)


def test_bad_poses_and_parts_are_refused():
    with pytest.raises(DataError, match="scale above 0"):
        sketches.draw("car", scale=0)
    with pytest.raises(DataError, match="finite"):
        sketches.draw("car", x=float("nan"))
    with pytest.raises(DataError, match="front_wheel"):
        sketches.draw("car", without=("nose",))


# Does it look as it should?


def test_the_object_stands_out_from_its_surroundings(some):
    light = some.images.mean(axis=-1)
    for i in range(len(some)):
        inside, outside = light[i][some.masks[i]], light[i][~some.masks[i]]
        assert inside.std() > 12, some.name(i)
        assert np.abs(np.quantile(inside, [0.1, 0.9]) - np.median(outside)).max() > 25, some.name(i)


def test_mean_colours_tell_no_class_from_another():
    # The mean colour of 20 images of a class is as far from the others' as chance makes it.
    drawn = sketches.load(200, size=16, seed=5, cache=False, processes=1)
    means = drawn.images.mean(axis=(1, 2))
    by_class = np.stack([means[drawn.labels == c].mean(axis=0) for c in range(10)])
    by_chance = means.std(axis=0) / np.sqrt(20)
    assert (by_class.std(axis=0) < 2 * by_chance).all()


# Geometry


@given(st.floats(0.2, 3), st.floats(0.2, 3), st.floats(0.01, 0.1), st.booleans())
@settings(deadline=None, max_examples=30)
def test_grown_pushes_outwards_whichever_way_round(rx, ry, by, backwards):
    outline = ellipse(0.3, -0.2, rx, ry, n=80)
    wider = grown(outline[::-1] if backwards else outline, by)
    assert np.ptp(wider, axis=0) == pytest.approx((2 * (rx + by), 2 * (ry + by)), rel=0.02)


def test_a_band_is_as_wide_as_asked():
    outline = band([(0, 0), (1, 0), (1, 1)], 0.2)
    expected = [(0, -0.1), (1.1, -0.1), (1.1, 1), (0.9, 1), (0.9, 0.1), (0, 0.1)]
    assert {tuple(np.round(p, 9)) for p in outline} == set(expected)

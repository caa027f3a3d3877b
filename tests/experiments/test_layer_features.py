"""Features of a data set, worked out by hand, and what is kept of them on disk."""

import os

import numpy as np
import pytest
from PIL import Image

from zfnumpy import get_ops
from zfnumpy.data import ImageArray, ImageFolder, Preprocessing
from zfnumpy.errors import DataError, NodeError
from zfnumpy.experiments.features import averaged, layer_features, part_key, width
from zfnumpy.layers import Conv2d, GlobalAvgPool, Linear, ReLU
from zfnumpy.network import Network

NUMPY = get_ops("numpy")
SIDE = 5


@pytest.fixture
def kept(tmp_path, monkeypatch):
    """The folder in which features are kept, the test's own."""
    monkeypatch.setattr("zfnumpy.experiments.features.cache_folder", (tmp_path / "cache").joinpath)
    return tmp_path / "cache" / "features"


def network(weight=((1, 0, 0), (0, 1, -1)), mean=0.0):
    """Two maps of a picture's values: its red, and its green less its blue, rectified; then their averages and a score."""
    net = Network([("conv1", Conv2d(2, 1)), ("relu1", ReLU()), ("gap", GlobalAvgPool()), ("fc", Linear(2))],
                  (3, SIDE, SIDE), NUMPY, preprocessing=Preprocessing(SIDE, SIDE, np.full(3, mean)), classes=["a", "b"])
    net.params["conv1.weight"] = np.array(weight, np.float32)[:, :, None, None]
    return net


def pictures(count=3):
    """Pictures whose red at row r, column c of picture n is 50 n + 10 r + c, their green 7 and their blue 4."""
    r, c = np.indices((SIDE, SIDE))
    images = np.empty((count, SIDE, SIDE, 3), np.uint8)
    for n in range(count):
        images[n] = np.stack([50 * n + 10 * r + c, np.full_like(r, 7), np.full_like(r, 4)], axis=2)
    return ImageArray(images, [0] * count, ["a", "b"])


class Broken(ImageArray):
    """The same pictures as files on a disk, of which some cannot be read."""

    def __init__(self, count, unreadable):
        super().__init__(pictures(count).images, [0] * count, ["a", "b"])
        self.paths, self.unreadable = [f"nowhere/{i}" for i in range(count)], unreadable

    def image(self, i):
        if i in self.unreadable:
            raise DataError("damaged")
        return super().image(i)


def test_areas_by_hand():
    """Of 5 places 2 areas: 0 to 2 and 2 to 4 (2.5 is rounded outwards). Of 7 places 3: 0-2, 2-4, 4-6.

    So of 0, 1, 2, 3, 4 the means are 1 and 3, and of 10 r + c they are 11, 13, 31 and 33.
    """
    r, c = np.indices((5, 5))
    np.testing.assert_array_equal(averaged((10.0 * r + c)[None, None], 2), [[[[11, 13], [31, 33]]]])
    np.testing.assert_array_equal(averaged(np.arange(7.0).reshape(1, 1, 1, 7), 3), [[[[1, 3, 5]]]])
    # A side that is no longer than the grid stays as it is; the other is averaged all the same.
    two_by_four = np.array([[[[1.0, 3, 10, 20], [5, 7, 0, 2]]]])
    np.testing.assert_array_equal(averaged(two_by_four, 2), [[[[2, 15], [6, 1]]]])
    np.testing.assert_array_equal(averaged(two_by_four, 4), two_by_four)
    np.testing.assert_array_equal(averaged(two_by_four, 1), [[[[6]]]])


def test_features_by_hand(kept):
    """Averaged over 2 × 2 areas, picture 1's red is 50 more than 11, 13, 31, 33; green less blue is 3 everywhere."""
    net, part = network(), pictures()
    found = layer_features(net, part, ["relu1", "gap", "conv1"], grid=2, batch=2)
    assert list(found) == ["relu1", "gap", "conv1"]
    np.testing.assert_allclose(found["relu1"][1], [61, 63, 81, 83, 3, 3, 3, 3])
    np.testing.assert_allclose(found["gap"], [[22, 3], [72, 3], [122, 3]])
    whole = layer_features(net, part, ["relu1"], grid=None)["relu1"]
    assert whole.shape == (3, 50)
    np.testing.assert_allclose(whole[0, :25].reshape(5, 5), part.images[0, :, :, 0])
    assert [width(net, "relu1", grid) for grid in (2, 4, 9, None)] == [8, 32, 50, 50]
    assert width(net, "gap") == 2
    with pytest.raises(NodeError):
        layer_features(net, part, ["relu9"])


def test_kept_is_what_would_be_computed(kept):
    net, part = network(), pictures()
    fresh = layer_features(net, part, ["relu1", "gap"], cache=False)
    assert not kept.exists()
    for _ in range(2):
        for layer, values in layer_features(net, part, ["relu1", "gap"]).items():
            assert values.dtype == np.float32
            np.testing.assert_array_equal(values, fresh[layer])
    for batch in (1, 2):
        again = layer_features(net, part, ["relu1"], batch=batch, cache=False)
        np.testing.assert_array_equal(again["relu1"], fresh["relu1"])


def test_maps_cannot_be_written_to(kept):
    found = layer_features(network(), pictures(), ["gap"])["gap"]
    assert isinstance(found, np.memmap)
    with pytest.raises(ValueError, match="read-only"):
        found[0] = 0


def test_what_is_kept_is_not_computed_again(kept, monkeypatch):
    """Of two layers the one that is missing is computed, and then neither."""
    net, part, asked = network(), pictures(), []
    real = net.activations
    monkeypatch.setattr(net, "activations", lambda x, names: asked.append(names) or real(x, names))
    layer_features(net, part, ["relu1"])
    layer_features(net, part, ["relu1", "gap"])
    layer_features(net, part, ["gap", "relu1"])
    assert asked == [["relu1"], ["gap"]]


def test_what_differs_has_a_file_of_its_own(kept):
    """Other weights, pictures, preparation, grid or layer: none may be taken for another; and the same is found again."""
    def files(net, part, layer="relu1", **settings):
        layer_features(net, part, [layer], **settings)
        return len(list(kept.iterdir()))

    part = pictures()
    other = pictures()
    other.images[2, 4, 4, 2] += 1
    assert files(network(), part) == 1
    assert files(network(((1, 0, 0), (0, 1, -1.5))), part) == 2
    assert files(network(), other) == 3
    assert files(network(mean=1.0), part) == 4
    assert files(network(), part, grid=2) == 5
    assert files(network(), part, "conv1") == 6
    assert files(network(), part.subset([1, 0, 2])) == 7
    assert files(network(), pictures()) == 7
    # And what a file holds is its own: green less one and a half times blue is 7 - 6.
    np.testing.assert_allclose(layer_features(network(((1, 0, 0), (0, 1, -1.5))), part, ["gap"])["gap"][:, 1], 1)
    np.testing.assert_allclose(layer_features(network(), part, ["gap"])["gap"][:, 1], 3)


def test_files_that_change_are_other_pictures(tmp_path):
    """By their names, sizes and times, as they are not read for it; what is shown otherwise says so."""
    for name in "ab":
        (tmp_path / "set" / name).mkdir(parents=True)
        Image.new("RGB", (SIDE, SIDE), (9, 9, 9)).save(tmp_path / "set" / name / "0.png")
    part = ImageFolder(tmp_path / "set")
    keys = [part_key(part)]
    assert part_key(ImageFolder(tmp_path / "set")) == keys[0]
    os.utime(part.paths[0], ns=(1, 1))
    keys.append(part_key(part))
    keys.append(part_key(part.subset([0])))
    part.shown_as = "cut out"
    keys.append(part_key(part))
    os.remove(part.paths[1])
    keys.append(part_key(part))
    assert len(set(keys)) == 5


@pytest.mark.parametrize("cache", [True, False])
def test_pictures_that_cannot_be_read_are_rows_of_nan(kept, cache):
    found = layer_features(network(), Broken(4, unreadable=(0, 2)), ["relu1", "gap"], batch=2, cache=cache)
    for values in found.values():
        assert np.isnan(values).all(axis=1).tolist() == [True, False, True, False]
        assert np.isnan(values).any(axis=1).tolist() == [True, False, True, False]
    np.testing.assert_allclose(found["gap"][[1, 3]], [[72, 3], [172, 3]])


@pytest.mark.parametrize("cache", [True, False])
def test_where_nothing_can_be_read_nothing_is_kept(kept, cache):
    with pytest.raises(DataError, match="could be read"):
        layer_features(network(), Broken(2, unreadable=(0, 1)), ["gap"], cache=cache)
    assert not kept.exists() or not list(kept.iterdir())


def test_a_pass_that_is_cut_off_leaves_nothing(kept):
    def cut(batches):
        yield next(batches)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        layer_features(network(), pictures(), ["relu1"], batch=1, progress=cut)
    assert not list(kept.iterdir())

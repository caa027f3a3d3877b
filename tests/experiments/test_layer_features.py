"""Features of a data set at several layers: by hand, kept on disk, and computed anew for whatever is another."""

import numpy as np
import pytest
from tiny import colours, painted, pictures

from zfnumpy.data import ImageArray
from zfnumpy.errors import DataError
from zfnumpy.experiments import features
from zfnumpy.experiments.features import averaged, layer_features, part_key, width


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setattr(features, "cache_folder", (tmp_path / "cache").joinpath)
    return tmp_path / "cache" / "features"


def test_areas_by_hand():
    # Five to two: places 0 to 2 and 2 to 4, as PyTorch's adaptive pooling; the middle one counts for both.
    maps = np.array([1.0, 2, 3, 4, 5]).reshape(1, 1, 1, 5)
    assert averaged(maps, 2).ravel().tolist() == [2, 4]
    assert averaged(maps, 5) is maps
    square = np.arange(16.0).reshape(1, 1, 4, 4)
    assert averaged(square, 2).ravel().tolist() == [2.5, 4.5, 10.5, 12.5]


def test_features_by_hand_and_from_the_cache(cache):
    net = colours(4, [(1, 0, 0), (0, -1, 0)])
    data = pictures([(200, 7, 0), (10, 0, 0)], [0, 1])
    found = layer_features(net, data, ["conv1", "relu1", "gap"], grid=1)
    assert found["conv1"].tolist() == [[200, -7], [10, 0]]
    assert found["relu1"].tolist() == found["gap"].tolist() == [[200, 0], [10, 0]]
    assert width(net, "conv1", 2) == 8
    files = sorted(cache.iterdir())
    assert len(files) == 3
    net.activations = None                                       # what is in the cache is not computed again
    again = layer_features(net, data, ["relu1"], grid=1)["relu1"]
    assert isinstance(again, np.memmap)
    assert not again.flags.writeable
    assert again.tolist() == [[200, 0], [10, 0]]
    assert sorted(cache.iterdir()) == files


def test_what_is_another_is_computed_anew(cache):
    net, data = colours(4), pictures([(200, 7, 0), (10, 0, 0)], [0, 1])
    layer_features(net, data, ["relu1"])
    for change in (lambda: net.params["conv1.weight"].__imul__(2), lambda: data.images.__iadd__(1), lambda: None):
        change()
        before = len(list(cache.iterdir()))
        layer_features(net, data, ["relu1"], grid=2 if len(list(cache.iterdir())) == 3 else 4)
        assert len(list(cache.iterdir())) == before + 1


def test_without_the_cache_nothing_is_kept(cache):
    found = layer_features(colours(4), pictures([(200, 7, 0)], [0]), ["relu1"], grid=1, cache=False)
    assert found["relu1"].tolist() == [[200, 7]]
    assert not cache.exists()


def test_pictures_that_cannot_be_read_are_nan():
    class Broken(ImageArray):
        def image(self, i):
            if i != 1:
                raise DataError("damaged")
            return super().image(i)

    data = Broken(painted([(1, 2, 3)] * 3, 4), [0, 0, 1], ["a", "b"])
    found = layer_features(colours(4), data, ["gap"], cache=False)["gap"]
    assert np.isnan(found[[0, 2]]).all()
    assert found[1].tolist() == [1, 2]
    with pytest.raises(DataError):
        layer_features(colours(4), data.subset([0]), ["gap"], cache=False)


def test_the_way_pictures_are_shown_is_part_of_their_key():
    data = pictures([(1, 2, 3)], [0])
    plain = part_key(data)
    data.shown_as = "cut by half"
    assert part_key(data) != plain

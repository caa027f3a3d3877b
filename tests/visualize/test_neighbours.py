"""Features of a data set and nearest neighbours, against a loop over all pairs."""

import importlib
import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from zfnumpy import data, get_ops, models
from zfnumpy.data import ImageArray, Loader, Preprocessing
from zfnumpy.errors import DataError, NodeError, ShapeError
from zfnumpy.layers import Conv2d, Dropout, Flatten, GlobalAvgPool, Linear, MaxPool2d, ReLU
from zfnumpy.network import Network
from zfnumpy.visualize import features, gather, nearest, neighbours
from zfnumpy.visualize.ends import averaged_above, last_hidden, scores_node

NUMPY = get_ops("numpy")
module = importlib.import_module("zfnumpy.visualize.neighbours")        # the package hands on a function of that name


def small(ops=NUMPY, gap=False, size=12):
    """A network of 12 × 12 images in BGR, its scores by a linear layer, or by an average of a convolution's maps."""
    top = [("conv2", Conv2d(4, 1)), ("relu2", ReLU()), ("pool2", GlobalAvgPool())] if gap else \
        [("flatten", Flatten()), ("drop", Dropout(0.5)), ("fc", Linear(4))]
    use = Preprocessing(size + 2, size, np.array((90, 100, 110), np.float32), 1 / 64, "BGR")
    return Network([("conv1", Conv2d(5, 3)), ("relu1", ReLU()), ("pool1", MaxPool2d(2)), *top], (3, size, size), ops,
                   preprocessing=use)


def pictures(count=7, size=14, seed=0):
    images = np.random.default_rng(seed).integers(0, 256, (count, size, size, 3), dtype=np.uint8)
    return ImageArray(images, np.arange(count) % 4, "abcd")


def batches(net, dataset, size=3):
    loader = Loader(dataset, size, net.preprocessing)
    return ((x, indices) for x, _, indices in loader.batches())


def test_where_scores_are_made_and_the_last_hidden_layer():
    mini, vgg, squeeze = models.zfnet_mini(ops=NUMPY), models.tiny_vgg(ops=NUMPY), models.squeezenet1_1(ops=NUMPY)
    nets = mini, vgg, squeeze, small(), small(gap=True)
    assert [scores_node(net) for net in nets] == ["fc8", "fc", "conv10", "fc", "conv2"]
    assert [last_hidden(net) for net in nets] == ["relu7", "pool2", "fire9", "pool1", "pool1"]
    assert averaged_above(squeeze, "fire2")
    assert averaged_above(squeeze, "relu10")
    assert not averaged_above(squeeze, "pool10")
    assert not averaged_above(mini, "conv1")
    linear = Network([("flatten", Flatten()), ("fc", Linear(2))], (3, 4, 4), NUMPY)
    with pytest.raises(NodeError, match="network computes its scores from the pixels: it has no hidden layer"):
        last_hidden(linear)
    plain = Network([("relu", ReLU()), ("pool", GlobalAvgPool())], (3, 4, 4), NUMPY)
    with pytest.raises(NodeError, match="no hidden layer"):
        last_hidden(plain)


@pytest.mark.parametrize("gap", [False, True])
def test_features_are_the_layers_output_of_every_picture(gap):
    net, dataset = small(gap=gap), pictures()
    x = net.prepare([dataset.image(i) for i in range(7)])
    maps = net.activations(x, "pool1")["pool1"]
    expected = maps.mean(axis=(2, 3)) if gap else maps.reshape(7, -1)
    found = gather(net, batches(net, dataset), pictures=True)
    assert (found.layer, found.averaged, found.values.dtype) == ("pool1", gap, np.float32)
    np.testing.assert_allclose(found.values, expected, rtol=1e-5)
    assert found.indices.tolist() == list(range(7))
    assert (found.pictures == dataset.images[:, 1:13, 1:13]).all()
    assert (found.pixels() == dataset.images[:, 1:13, 1:13].reshape(7, -1)).all()
    np.testing.assert_allclose(features(net, batches(net, dataset), "pool1", average=not gap),
                               maps.reshape(7, -1) if gap else maps.mean(axis=(2, 3)), rtol=1e-5)
    assert features(net, batches(net, dataset), net.output).shape == (7, 4)


def test_features_of_nothing_or_of_other_sizes():
    net = small(gap=True)
    with pytest.raises(DataError, match="there is no picture to take features of"):
        features(net, [])
    with pytest.raises(NodeError, match="has no layer 'conv9'"):
        features(net, [], "conv9")
    sizes = [(np.zeros((1, 3, n, n), np.float32), [i]) for i, n in enumerate((12, 14))]
    assert features(net, sizes).shape == (2, 5)
    with pytest.raises(ShapeError, match="features of images of different sizes"):
        features(net, sizes, average=False)
    with pytest.raises(DataError, match="were not kept"):
        gather(net, sizes).pixels()


def test_features_on_a_device(device_ops):
    dataset = pictures()
    there, here = small(device_ops), small()
    found = gather(there, batches(there, dataset), pictures=True)
    assert type(found.values) is np.ndarray
    np.testing.assert_allclose(found.values, gather(here, batches(here, dataset)).values, rtol=1e-4, atol=1e-5)
    assert (found.pictures == dataset.images[:, 1:13, 1:13]).all()


def slowly(features, queries, k, metric):
    """Nearest neighbours by their definition, one pair at a time."""
    rows, far = [], []
    for q in queries:
        a, found = features[q].astype(np.float64), []
        for i, b in enumerate(features.astype(np.float64)):
            if i == q:
                continue
            if metric == "euclidean":
                d = np.sqrt(sum((u - v) ** 2 for u, v in zip(a, b)))
            elif not a.any() or not b.any():
                d = 1.0
            else:
                d = 1 - sum(a * b) / np.sqrt(sum(a * a) * sum(b * b))
            found.append((round(d, 10), i))
        found.sort()
        rows.append([i for _, i in found[:k]])
        far.append([d for d, _ in found[:k]])
    return np.array(rows, np.int64).reshape(len(queries), -1), np.array(far).reshape(len(queries), -1)


@given(st.integers(1, 12), st.integers(1, 5), st.integers(1, 14), st.integers(0, 10**6), st.sampled_from((3, 9, 1 << 20)))
def test_nearest_is_what_a_loop_over_all_pairs_finds(N, D, k, seed, block):
    """Small whole numbers, so that rows are equal and distances tie."""
    rng = np.random.default_rng(seed)
    table = rng.integers(-2, 3, (N, D))
    queries = rng.integers(0, N, 4)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "BLOCK", block)
        for values in (table.astype(np.float32), np.abs(table).astype(np.uint8)):
            rows, far = nearest(values, queries, k)
            slow_rows, slow_far = slowly(values, queries, k, "euclidean")
            assert rows.tolist() == slow_rows.tolist()
            np.testing.assert_allclose(far, slow_far, atol=1e-9)
            _, far = nearest(values, queries, k, "cosine")
            np.testing.assert_allclose(far, slowly(values, queries, k, "cosine")[1], atol=1e-9)


def test_equal_rows_are_at_equal_distances_and_the_first_comes_first():
    """Rows far from the origin, where products alone round their distances apart."""
    rng = np.random.default_rng(0)
    table = (1e4 + rng.standard_normal((40, 300))).astype(np.float32)
    table[[30, 3, 17]] = table[8]
    rows, far = nearest(table, [8, 30], 4)
    assert rows[:, :3].tolist() == [[3, 17, 30], [3, 8, 17]]
    assert (far[:, :3] == 0).all()
    table[[30, 3, 17]] = table[0] + 1
    rows, far = nearest(table, [0], 39)
    at = [rows[0].tolist().index(i) for i in (3, 17, 30)]
    assert np.diff(at).tolist() == [1, 1]
    assert len(set(far[0, at])) == 1
    rows, far = nearest(table, [3], 2, "cosine")
    assert rows.tolist() == [[17, 30]]
    assert (far == 0).all()


def test_a_row_of_zeros_has_no_direction():
    rows, far = nearest(np.array([[1.0, 0], [0, 0], [0, 2], [-1, 0]]), [0, 1], 3, "cosine")
    assert rows.tolist() == [[1, 2, 3], [0, 2, 3]]
    assert far.tolist() == [[1, 1, 2], [1, 1, 1]]


@pytest.mark.parametrize("metric", ["euclidean", "cosine"])
def test_what_products_would_round_away_is_measured_again(metric):
    """Points a ten-millionth of their distance from the origin apart: of |a|² - 2ab + |b|² nothing is left of them."""
    table = 1e7 + np.random.default_rng(0).standard_normal((30, 50))
    shown = table if metric == "euclidean" else table / np.sqrt((table * table).sum(axis=1, keepdims=True))
    distances = ((shown[:, None] - shown) ** 2).sum(axis=-1) + np.diag(np.full(30, np.inf))
    assert (nearest(table, range(30), 4, metric)[0] == distances.argsort(axis=1)[:, :4]).all()


def test_one_point_has_no_neighbours():
    rows, far = nearest(np.ones((1, 3)), [0, 0], 5)
    assert rows.shape == far.shape == (2, 0)
    assert nearest(np.ones((3, 2)), [2], 9)[0].tolist() == [[0, 1]]
    assert nearest(np.ones((3, 2)), [], 2)[0].shape == (0, 2)


@pytest.mark.parametrize(("arguments", "error", "message"), [
    ((np.full((3, 2), np.nan), [0], 1), DataError, "the features of row 0 are not finite: the network may have diverged"),
    ((np.ones(3), [0], 1), DataError, r"features are numbers \(N, D\), a row a picture, got float64 of shape \(3,\)"),
    ((np.ones((0, 3)), [0], 1), DataError, "features are numbers"),
    ((np.ones((3, 2)), [3], 1), NodeError, "there is no row 3: there are 3, 0 to 2"),
    ((np.ones((3, 2)), [-1], 1), NodeError, "there is no row -1"),
    ((np.ones((3, 2)), [0.5], 1), NodeError, "queries are row numbers"),
    ((np.ones((3, 2)), [0], 0), ShapeError, "k"),
    ((np.ones((3, 2)), [0], 1, "manhattan"), DataError, "there is no metric 'manhattan'; use one of euclidean, cosine")])
def test_what_nearest_refuses(arguments, error, message):
    with pytest.raises(error, match=message):
        nearest(*arguments)


def test_neighbours_count_who_is_of_the_class(tmp_path):
    """Four pictures of two classes: the features pair the classes, the pixels do not."""
    crops = np.zeros((4, 1, 1, 3), np.uint8)
    crops[:, 0, 0, 0] = 10, 100, 11, 101
    found = module.Features("fc6", np.array([[0], [1], [9], [11]], np.float32), np.array([5, 2, 8, 1]), pictures=crops)
    labels = np.array([0, 0, 1, 1])
    result = neighbours(found, labels, [1, 2], k=1)
    assert (result.queries.tolist(), result.found.tolist(), result.found_pixels.tolist()) == ([2, 8], [[5], [1]], [[1], [5]])
    assert [same.tolist() for same in result.same()] == [[[True], [True]], [[False], [False]]]
    assert (result.share, result.share_pixels, result.chance, result.counted) == (1, 0, 1 / 3, 4)
    assert neighbours(found, labels, [], k=3).share == neighbours(found, labels, [], k=3).chance
    assert neighbours(found, labels, [0], k=1, limit=2).counted == 2
    arrays, about = result.save(tmp_path)
    assert np.load(arrays)["found"].tolist() == result.found.tolist()
    assert json.loads(about.read_text())["queries"][0] == {"picture": 2, "same_class": 1, "same_class_pixels": 0}
    with pytest.raises(ShapeError, match=r"4 pictures have 4 labels, got shape \(3,\)"):
        neighbours(found, labels[:3], [0])


def test_a_trained_network_brings_classes_together(real_data):
    """More of the neighbours in its last hidden layer are of the class than of those in pixels."""
    net = models.tiny_vgg(ops=get_ops("numba"), weights=real_data / "weights" / "tiny_vgg_tinyimagenet10.npz")
    part = data.open_dataset(real_data / "tiny-imagenet-20")[1]
    known = [k for k, name in enumerate(part.classes) if name in net.classes]
    part = part.subset(np.flatnonzero(np.isin(part.labels, known))[:140])
    found = gather(net, batches(net, part, 35), net.output, pictures=True)
    result = neighbours(found, part.labels, [0], 5)
    assert result.share > 0.5
    assert result.share > result.share_pixels + 0.2

"""A layer's activations as they are."""

import json

import numpy as np
import pytest
from test_project import built, images, walk_up

from zfnumpy import get_ops, models
from zfnumpy.errors import NodeError
from zfnumpy.visualize import ActivationMaps, activation_maps


@pytest.mark.parametrize("layer", ["conv1", "relu1", "pool1", "norm2", "fc6", "fc7"])
def test_the_outputs_of_a_layer(host_ops, layer):
    net, x = built("chain", host_ops), images(2)
    found = activation_maps(net, x, layer)
    assert found.layer == layer
    np.testing.assert_allclose(found.maps, walk_up(net, x)[layer][1], rtol=1e-10, atol=1e-12)


def test_a_filter_s_output_is_not_rectified_and_what_follows_is():
    net, x = built("chain"), images(2)
    before, after = (activation_maps(net, x, layer).maps for layer in ("conv1", "relu1"))
    assert (before < 0).any()
    np.testing.assert_array_equal(after, np.maximum(before, 0))


def test_activity_counts_what_fired():
    maps = np.zeros((1, 4, 2, 2))
    maps[0, 0], maps[0, 1, 0, 0], maps[0, 2] = [[-9, 1], [1, 0]], 4, -1
    found = ActivationMaps("conv1", maps)
    assert found.activity().tolist() == [[0.5, 1, 0, 0]]
    assert found.most_active().tolist() == [1, 0, 2, 3]                # the silent ones in their order
    assert found.most_active(0, 2).tolist() == [1, 0]
    features = ActivationMaps("fc", np.array([[-1.0, 3, 0], [5, 0, 9]]))
    assert features.activity().tolist() == [[0, 3, 0], [5, 0, 9]]
    assert features.most_active(1).tolist() == [2, 0, 1]
    assert ActivationMaps("fc", np.array([[-3.0, -1, 2, -2]])).most_active().tolist() == [2, 1, 3, 0]      # by value


def test_what_is_saved(tmp_path):
    maps = np.zeros((2, 3, 2, 2), np.float32)
    maps[0, 1], maps[1] = 1, 2
    ActivationMaps("conv1", maps).save(tmp_path, pictures=["a", "b"])
    with np.load(tmp_path / "activations_conv1.npz") as file:
        np.testing.assert_array_equal(file["maps"], maps)
    assert json.loads((tmp_path / "activations_conv1.json").read_text()) == {
        "layer": "conv1", "shape": [2, 3, 2, 2], "silent": [2, 0], "pictures": ["a", "b"]}


def test_a_layer_that_is_not_there():
    with pytest.raises(NodeError, match="no layer 'conv9'; it has conv1, relu1"):
        activation_maps(built("chain"), images(), "conv9")


def test_on_the_device(device_ops):
    x = np.random.default_rng(1).random((2, 3, 64, 64), np.float32)
    found = activation_maps(models.tiny_vgg(4, device_ops, seed=2), device_ops.asarray(x), "conv1_2").maps
    assert isinstance(found, np.ndarray)
    expected = activation_maps(models.tiny_vgg(4, get_ops("numpy"), seed=2), x, "conv1_2").maps
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)

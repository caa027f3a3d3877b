"""Architecture selection: spectra, aliasing and dead maps worked out by hand."""

import numpy as np
import pytest
from tiny import NUMPY, colours, pictures

from zfnumpy.data import Preprocessing
from zfnumpy.experiments.architecture import ARMS, MEASURES, Architecture, aliasing, bands, measures, shifted
from zfnumpy.layers import Conv2d, ReLU
from zfnumpy.models import alexnet_mini, zfnet_mini
from zfnumpy.network import Network


def wave(period):
    """A filter of 64 × 64 with a cosine of so many pixels down its rows: one frequency exactly."""
    return np.broadcast_to(np.cos(2 * np.pi * np.arange(64) / period)[:, None], (64, 64))[None, None]


def test_bands_by_hand():
    constant = np.ones((1, 1, 64, 64))
    assert bands(constant) == pytest.approx({"low": 1, "middle": 0, "high": 0})
    assert bands(wave(8)) == pytest.approx({"low": 0, "middle": 1, "high": 0}, abs=1e-9)            # 1/8 cycle a pixel
    assert bands(wave(4)) == pytest.approx({"low": 0, "middle": 0, "high": 1}, abs=1e-9)            # 1/4
    both = np.concatenate([100 * constant, wave(4)])             # each filter counts alike, however long it is
    assert bands(both) == pytest.approx({"low": 0.5, "middle": 0, "high": 0.5}, abs=1e-9)
    assert bands(np.ones((1, 3, 1, 1)))["high"] > 0.7            # a single pixel has all frequencies alike


def test_aliasing_of_means_by_hand():
    # One map: 1 and 3, deviation 1 about 2; the other 2 and 2. (1 + 0) / (2 + 2).
    assert aliasing(np.array([[[1.0, 2]], [[3, 2]]])) == 0.25


def sampled(stride):
    """A network whose relu2 is the picture's red, sampled every `stride` pixels."""
    net = Network([("conv1", Conv2d(1, 1, stride=stride)), ("relu1", ReLU()), ("conv2", Conv2d(1, 1)), ("relu2", ReLU())],
                  (3, 64, 64), NUMPY, preprocessing=Preprocessing(64, 64, np.zeros(3)))
    net.params["conv1.weight"] = np.array([1, 0, 0], np.float32)[None, :, None, None]
    net.params["conv2.weight"] = np.ones((1, 1, 1, 1), np.float32)
    return net


def test_a_grating_aliases_at_its_own_stride():
    """Lines in every fourth row: sampled at every pixel their mean is 1/4 however they are shifted; sampled at every fourth
    row it is 1 at one of four shifts and 0 at the others: mean 1/4, deviation √3/4, so √3.
    """
    x = np.zeros((1, 3, 64, 64), np.float32)
    x[:, 0, ::4] = 1
    means, change = shifted(sampled(1), x)
    np.testing.assert_allclose(means, 0.25)
    assert aliasing(means) == pytest.approx(0, abs=1e-7)
    np.testing.assert_allclose(change, 2 ** 0.5)                 # a line out, a line in
    means, change = shifted(sampled(4), x)
    assert sorted(means[:, 0, 0].tolist()) == [0] * 12 + [1] * 4
    assert aliasing(means) == pytest.approx(3 ** 0.5)
    np.testing.assert_allclose(change, 1)


def test_dead_and_weak_by_hand():
    """Of four first maps one looks for what no picture has, so it is dead; one's filter is short, so it is weak."""
    net = colours(64, [(1, 0, 0), (0, 1, 0), (0, 0, -1), (0.01, 0, 0)], [(1, 0, 0, 0), (0, 0, 1, 0)])
    found = dict(zip(MEASURES, measures(net, pictures([(200, 0, 0), (0, 200, 9)], [0, 1], 64))))
    assert found["dead in layer 1"] == 0.25
    assert found["dead in layer 2"] == 0.5
    assert found["weak filters"] == 0.25
    assert found["held filters"] == 0.75
    assert found["aliasing"] == pytest.approx(0, abs=1e-6)


def test_claims_follow_the_numbers():
    values = np.zeros((4, 1, len(MEASURES)))
    at = {name: k for k, name in enumerate(MEASURES)}
    values[:2, 0, [at["middle"], at["aliasing"], at["error"], at["weak filters"]]] = 0.2, 0.5, 0.4, 0.1
    values[2:, 0, [at["middle"], at["aliasing"], at["error"], at["weak filters"]]] = 0.3, 0.1, 0.3, 0.0
    study = Architecture({}, list(ARMS), values, {}, (9, 9))
    assert [claim.agrees for claim in study.claims()] == [True, True, None, True, True], "no map is dead in either"
    swapped = Architecture({}, list(ARMS), values[[2, 3, 0, 1]], {}, (9, 9))
    assert [claim.agrees for claim in swapped.claims()] == [False, False, None, False, False]


def test_the_two_networks_differ_in_the_first_layer_alone():
    large, small = alexnet_mini(ops=NUMPY), zfnet_mini(ops=NUMPY)
    assert large.shapes["conv1"] == (64, 16, 16)
    assert small.shapes["conv1"] == (64, 32, 32)
    for name in list(small.nodes)[2:]:
        assert large.shapes[name] == small.shapes[name], name
    shapes = {name: w.shape for name, w in small.params.items()}
    assert {name: w.shape for name, w in large.params.items()} == shapes | {"conv1.weight": (64, 3, 11, 11)}

"""Ensembles: averages and errors worked out by hand on networks that answer the same to every picture."""

import numpy as np
import pytest
from tiny import colours, pictures

from zfnumpy.experiments.ensemble import MOST, ensemble, errors, probabilities, subsets


def answering(*p):
    """A network whose probabilities are p whatever it sees."""
    net = colours(4, classes=len(p))
    net.params["fc.weight"][...] = 0
    net.params["fc.bias"] = np.log(np.array(p, np.float32))
    return net


def test_three_networks_by_hand():
    """Two pictures of class 1 of two classes. A says 0.6 for class 0, B 0.7 for class 1, C 0.9 for class 0.

    Alone A and C are wrong and B right. A and B: 0.45, 0.55, right; A and C: wrong; B and C: 0.6, 0.4, wrong. All three:
    (0.6 + 0.3 + 0.9) / 3 = 0.6 for class 0, wrong. With a wide one that says 0.9 for class 1: (1.8 + 0.1) / 4 = 0.475,
    right.
    """
    data = pictures([(9, 9, 9), (8, 8, 8)], [1, 1])
    nets = [answering(0.6, 0.4), answering(0.3, 0.7), answering(0.9, 0.1)]
    found = ensemble(nets, data, wide=answering(0.1, 0.9))
    assert found.single[:, :, 0].tolist() == [[1, 0, 1], [1, 0, 1]]
    assert [sizes[:, 0].tolist() for sizes in found.sizes[1]] == [[1, 0, 1], [0, 1, 1], [1]]
    assert found.wide.tolist() == [[0, 0], [0, 0]]
    assert found.together[:, 0].tolist() == [0, 0]
    assert [claim.agrees for claim in found.claims()] == [False, False, True, True]
    assert found.claims()[0].found == "66.7 ± 57.7 % against 100.0%"


def test_probabilities_are_averaged_and_not_the_surest_taken():
    """Two say 0.6 for class 0 and one 0.65 for class 1: on average (0.6 + 0.6 + 0.35) / 3 = 0.517 for class 0."""
    data = pictures([(9, 9, 9)], [0])
    found = ensemble([answering(0.6, 0.4), answering(0.6, 0.4), answering(0.35, 0.65)], data)
    assert found.sizes[1][-1][0, 0] == 0


def test_top5_by_hand():
    p = np.array([[0.3, 0.2, 0.15, 0.13, 0.12, 0.1], [0.1, 0.12, 0.13, 0.15, 0.2, 0.3]])
    # The first picture's class is sixth, the second's is first.
    assert errors(p, np.array([5, 5])).tolist() == [0.5, 0.5]
    assert errors(p, np.array([4, 4])).tolist() == [1, 0]


def test_ten_crops_are_averaged():
    data = pictures([(200, 0, 0), (0, 200, 0)], [0, 1])
    net = colours(4)
    net.params["fc.weight"] = np.array([[0.01, 0], [0, 0.01]], np.float32)
    one, labels = probabilities(net, data)
    ten, same = probabilities(net, data, 10)
    np.testing.assert_allclose(one, ten, rtol=1e-6)              # of one colour, all crops are alike
    assert labels.tolist() == same.tolist() == [0, 1]
    assert one[0, 0] == pytest.approx(1 / (1 + np.exp(-2)), rel=1e-5)


def test_subsets():
    assert subsets(4, 2) == [(0, 1), (0, 2), (0, 3), (1, 2), (1, 3), (2, 3)]
    many = subsets(12, 6)
    assert len(set(many)) == len(many) == MOST

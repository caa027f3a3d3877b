"""Which class is asked about."""

import numpy as np
import pytest

from zfnumpy import get_ops, models
from zfnumpy.errors import NodeError
from zfnumpy.visualize.target import class_labels, magnitude

NET = models.tiny_vgg(ops=get_ops("numpy"))
SCORES = np.array([[0.0, 3, 1] + [0] * 7, [2.0, 1, 2] + [0] * 7], np.float32)


def test_a_class_is_the_strongest_or_the_one_that_is_named():
    assert class_labels(NET, SCORES).tolist() == [1, 0]
    assert class_labels(NET, SCORES, 7).tolist() == [7, 7]
    assert class_labels(NET, SCORES, [7, 0]).tolist() == [7, 0]
    assert class_labels(NET, SCORES, np.int32(9)).dtype == np.int64


@pytest.mark.parametrize(("label", "message"), [
    (10, "there is no class 10: tiny_vgg tells 10 apart, 0 to 9"), ([0, -1], "there is no class -1"),
    (0.5, "a class is an int, or 2 ints for 2 images, got float64"), ([1, 2, 3], r"of shape \(3,\)")])
def test_a_class_that_is_not_there(label, message):
    with pytest.raises(NodeError, match=message):
        class_labels(NET, SCORES, label)


def test_magnitude_is_the_largest_over_the_colours():
    r = np.zeros((1, 3, 2, 2))
    r[0, :, 0, 1] = 1, -4, 2
    assert magnitude(r).tolist() == [[[0, 4], [0, 0]]]

"""Feature evolution: correlations, ways and epochs worked out by hand, on two hand-made snapshots."""

import numpy as np
import pytest
from tiny import colours, pictures

from zfnumpy.errors import CheckpointError, DataError
from zfnumpy.experiments.evolution import Evolution, evolution, run_snapshots, shown_epochs, unlike


def test_unlike_by_hand():
    a = np.array([[1.0, 1, 3, 0], [2, 1, 2, 0], [3, 1, 1, 1]])
    b = np.array([[2.0, 1, 1, 5], [4, 2, 2, 5], [6, 3, 3, 5]])
    # In step: 0. A column that does not answer yet: 1. The other way round: 2. One that ends constant: unknown.
    np.testing.assert_allclose(unlike(a, b), [0, 1, 2, np.nan], atol=1e-12)


def two_snapshots():
    """Map 0 looks for red, then for green; map 1 for blue both times. Pictures: red, green, blue, red and green."""
    data = pictures([(200, 0, 0), (0, 200, 0), (0, 0, 200), (100, 100, 0)], [0, 1, 0, 1])
    before, after = colours(4, [(1, 0, 0), (0, 0, 1)]), colours(4, [(0, 1, 0), (0, 0, 3)])
    return {1: lambda: before, 3: lambda: after}, data


def test_two_snapshots_by_hand():
    """Red's responses are 200, 0, 0, 100 and green's 0, 200, 0, 100: about their mean 75 these are 125, -75, -75, 25 and
    -75, 125, -75, 25, so their correlation is (-9375 - 9375 + 5625 + 625) / 27500 = -5/11. conv1 moves by √(1 + 1 + 2²)
    and is then √(1 + 3²) long.
    """
    snapshots, data = two_snapshots()
    found = evolution(snapshots, data, maps=2)
    assert (found.layers, found.epochs.tolist()) == (["conv1"], [1, 3])
    np.testing.assert_allclose(found.to_last["conv1"], [[1 + 5 / 11, 0], [0, 0]], atol=1e-12)
    np.testing.assert_allclose(found.filters, [[0.6 ** 0.5]], rtol=1e-6)
    assert found.images["conv1"].tolist() == [[0, 1], [2, 2]]
    projected = found.projections["conv1"]                       # the unit's own value, in its own colour
    assert projected.shape == (2, 2, 3, 1, 1)
    np.testing.assert_allclose(projected[0, 0, :, 0, 0], [200, 0, 0])
    np.testing.assert_allclose(projected[0, 1, :, 0, 0], [0, 200, 0])


def test_the_way_that_is_left_by_hand():
    """Two layers of one map, at epochs 0, 1, 3 and 5: of the first's way 0.8 a quarter is left at 1, of the second's 0.4 all
    at 1 and half at 3. Areas over five epochs: (0.625·1 + 0.25·2 + 0.125·2) / 5 with the trapezoids' means.
    """
    to_last = {"a": np.array([[0.8], [0.2], [0.2], [0]]), "b": np.array([[0.4], [0.4], [0.2], [0]])}
    found = Evolution({}, ["a", "b"], np.array([0, 1, 3, 5]), to_last, np.zeros((2, 3)), np.full(4, np.nan), {}, {}, {}, 9)
    np.testing.assert_allclose(found.left(), [[1, 0.25, 0.25, 0], [1, 1, 0.5, 0]])
    assert found.settled().tolist() == [1, 3]
    np.testing.assert_allclose(np.concatenate(found.area()), [(0.625 + 0.5 + 0.25) / 5, (1 + 1.5 + 0.5) / 5])
    assert [claim.agrees for claim in found.claims()] == [True, True]
    other = Evolution({}, ["b", "a"], found.epochs, to_last, np.zeros((2, 3)), found.accuracy, {}, {}, {}, 9)
    assert [claim.agrees for claim in other.claims()] == [False, False]


def test_which_epochs():
    assert shown_epochs(64) == [1, 2, 3, 6, 11, 20, 35, 64]
    assert shown_epochs(3) == [1, 2, 3]


def test_refusals(tmp_path):
    snapshots, data = two_snapshots()
    with pytest.raises(DataError, match="two snapshots and three pictures or more, got 1 and 4"):
        evolution({1: snapshots[1]}, data)
    with pytest.raises(CheckpointError):
        run_snapshots(tmp_path)

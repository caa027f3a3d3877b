"""Linear classifiers: against rows that tell, in the span of the rows and out of it, and what is refused."""

import builtins

import numpy as np
import pytest

from zfnumpy.errors import BackendError, DataError
from zfnumpy.experiments.linear import DEFAULT, KINDS, fit

pytest.importorskip("sklearn", reason="no scikit-learn: pip install -e '.[analysis]'")


def rows(N, D, K, seed=0):
    """N rows of D features, of K classes about means that do not depend on N."""
    means = np.random.default_rng(99).normal(size=(K, D))
    labels = np.arange(N) % K
    return (means[labels] + np.random.default_rng(seed).normal(size=(N, D))).astype(np.float32), labels


@pytest.mark.parametrize("kind", KINDS)
def test_two_points_by_hand(kind):
    """Classes at -1 and 1 along one of two features: the border is where that feature is 0."""
    found = fit(np.array([[-1.0, 5], [1, 5]]), np.array([3, 7]), kind)
    assert found.predict(np.array([[-0.1, 9], [0.1, -9]])).tolist() == [3, 7]
    assert found.scores(np.array([[0.0, 5]]))[0].tolist() == pytest.approx([0, 0], abs=1e-9)
    assert found.cost == DEFAULT
    if kind == "svm":          # the least of w²/2 + 10·2·(1 - w)², the squared hinge of both points: w = 40/41
        assert found.scores(np.array([[1.0, 5]]))[0].tolist() == pytest.approx([-40 / 41, 40 / 41], abs=2e-3)


@pytest.mark.parametrize("kind", KINDS)
def test_fewer_rows_than_features_give_the_same_classifier(kind):
    """Features that are copies of one another change the span's basis and no score: 3 rows of 40 features, and of 2."""
    x, labels = rows(12, 2, 3)
    wide = np.concatenate([x] * 20, axis=1) / 20 ** 0.5          # as long as before, and now more features than rows
    few, many = fit(x, labels, kind, costs=(1.0,)), fit(wide, labels, kind, costs=(1.0,))
    new = rows(30, 2, 3, 5)[0]
    np.testing.assert_allclose(few.scores(new), many.scores(np.concatenate([new] * 20, axis=1) / 20 ** 0.5), atol=2e-2)


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_learned_holds_for_new_rows(kind):
    x, labels = rows(60, 30, 4)
    new, true = rows(200, 30, 4, 1)
    found = fit(x, labels, kind)
    assert (found.predict(new) == true).mean() > 0.95
    assert (fit(x, labels, kind).weight == found.weight).all()
    dealt = np.random.default_rng(0).permutation(labels)
    assert (fit(x, dealt, kind).predict(new) == true).mean() < 0.55


def test_constant_features_leave_a_choice():
    found = fit(np.ones((6, 3)), np.array([0, 1] * 3))
    assert set(found.predict(np.ones((4, 3))).tolist()) <= {0, 1}


def test_refusals(monkeypatch):
    x, labels = rows(6, 3, 2)
    with pytest.raises(DataError, match="no linear classifier 'forest'; use svm or softmax"):
        fit(x, labels, "forest")
    with pytest.raises(DataError, match="two classes or more, got one"):
        fit(x, np.zeros(6, int))
    with pytest.raises(DataError, match=r"got \(6, 3\) and \(5,\)"):
        fit(x, labels[:5])
    x[4, 1] = np.nan
    with pytest.raises(DataError, match="features of row 4 are not finite"):
        fit(x, labels)
    real = builtins.__import__

    def without(name, *rest):
        if name.startswith("sklearn"):
            raise ImportError(name)
        return real(name, *rest)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(BackendError, match=r"pip install 'zfnumpy\[analysis\]'"):
        fit(rows(6, 3, 2)[0], labels)

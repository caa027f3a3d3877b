"""Features on new classes: networks and pictures whose accuracies are known beforehand, and controls at chance."""

import numpy as np
import pytest
from tiny import colours, pictures

from zfnumpy.errors import DataError
from zfnumpy.experiments import analysis as analysis_of
from zfnumpy.experiments import features, transfer
from zfnumpy.experiments import generalization as generalization_of
from zfnumpy.experiments.analysis import analysis, main_layers
from zfnumpy.experiments.generalization import Generalization, from_scratch, generalization, split_rows
from zfnumpy.experiments.jobs import Source, of_classes
from zfnumpy.experiments.statistics import rank_correlation
from zfnumpy.models import squeezenet1_1, zfnet_mini

pytest.importorskip("sklearn", reason="no scikit-learn: pip install -e '.[analysis]'")


@pytest.fixture(autouse=True)
def elsewhere(tmp_path, monkeypatch):
    for place in ("experiments.features", "data.sketches.dataset"):
        monkeypatch.setattr(f"zfnumpy.{place}.cache_folder", (tmp_path / "cache").joinpath)
    assert features.cache_folder("x") == tmp_path / "cache" / "x"


def red_or_not(count, seed=0):
    """Pictures of two classes that red alone tells apart; green and blue are noise."""
    rng = np.random.default_rng(seed)
    labels = np.arange(count) % 2
    values = rng.integers(0, 200, (count, 3))
    values[:, 0] = np.where(labels == 1, 200, 20) + rng.integers(0, 20, count)
    return pictures(values, labels)


def test_a_layer_that_keeps_red_is_perfect_and_one_that_drops_it_is_at_chance():
    """conv1 keeps red, so both classifiers are right of every picture; conv2 makes zeros of it: all pictures are alike, so
    one class is answered throughout, and half of the 40 test pictures are of that class. The layers' order is falling.
    """
    net = colours(4, [(1, 0, 0)], [(0,)])
    found = analysis(net, red_or_not(40), red_or_not(40, 1), ["relu1", "relu2"], count=5, splits=3)
    svm, softmax, random, shuffled = found.accuracy
    assert svm[0].tolist() == softmax[0].tolist() == [1, 1, 1]
    assert svm[1].tolist() == softmax[1].tolist() == [0.5, 0.5, 0.5]
    assert shuffled[1].tolist() == [0.5] * 3
    assert shuffled[0].mean() < 1, "labels that are dealt out teach nothing, even where the features tell"
    assert random.shape == (2, 3)
    assert found.widths.tolist() == [16, 16]
    assert [claim.agrees for claim in found.claims()[:2]] == [False, True]
    assert found.tables()[0].rows[0][:3] == ["relu1", 16, "100.0 ± 0.0 %"]


def test_generalization_by_hand():
    """Features of red alone are perfect from one picture a class on; chance is a half, and shuffled labels stay about it."""
    found = generalization(colours(4, [(1, 0, 0)]), red_or_not(40), red_or_not(60, 1), "gap", (1, 4, 99), splits=4)
    assert found.counts.tolist() == [1, 4]                        # no class has 99
    assert found.of(generalization_of.FEATURES).tolist() == [[1] * 4] * 2
    assert np.isnan(found.of(generalization_of.SCRATCH)).all()
    assert (found.tested, found.chance) == (60, 0.5)
    shuffled = found.of(generalization_of.SHUFFLED)[0]            # of one picture a class: as dealt, or the other way round
    assert set(shuffled.tolist()) <= {0.0, 1.0}
    assert found.tables()[0].rows[-1] == ["chance", "50.0%", "50.0%"]


def test_claims_follow_the_numbers():
    accuracy = np.full((5, 3, 2), 0.2)
    accuracy[0] = [[0.6, 0.62], [0.7, 0.71], [0.8, 0.82]]
    accuracy[1] = [[np.nan, np.nan], [0.3, 0.32], [0.6, 0.59]]
    study = Generalization({}, "relu7", ["a"] * 5, np.array([5, 20, 50]), accuracy, 500, 0.2)
    assert [claim.agrees for claim in study.claims()] == [True, True, True, True, True]
    study.accuracy[1, 1:] = [[0.9, 0.9], [0.95, 0.95]]
    study.accuracy[2], study.accuracy[4] = 0.5, 0.4
    assert [claim.agrees for claim in study.claims()] == [False, None, False, False, False]


def test_random_weights_are_others_of_the_same_network():
    net = colours(4)
    before = {name: w.copy() for name, w in net.params.items()}
    other = transfer.with_random_weights(net, 1)
    assert list(other.nodes) == list(net.nodes)
    assert not (other.params["conv1.weight"] == before["conv1.weight"]).any()
    assert all((net.params[name] == w).all() for name, w in before.items())


def test_chance_by_hand():
    # Mean 0.22, deviation √0.0008 over √2, standard error 0.02; of 400 pictures 0.02 more: bound 2·√(0.02² + 0.02²) = 0.057.
    assert transfer.at_chance("x", [0.2, 0.24], 0.2, 400, "").agrees
    assert not transfer.at_chance("x", [0.26, 0.27], 0.2, 400, "").agrees


def test_splits_are_nested_and_balanced():
    labels = np.array([0, 0, 0, 1, 1, 1, 1])
    usable = np.array([1, 1, 0, 1, 1, 1, 1], bool)
    small, large = (split_rows(labels, usable, count, 0, 0) for count in (1, 2))
    assert labels[large].tolist() == [0, 0, 1, 1]
    assert set(small) <= set(large)
    assert 2 not in split_rows(labels, usable, 9, 1, 0)
    assert split_rows(labels, usable, 2, 3, 0).tolist() != split_rows(labels, usable, 2, 4, 0).tolist()
    with pytest.raises(DataError, match="the largest class has 4 training pictures; none of the counts"):
        transfer.checked_counts([9], labels)


def test_from_scratch_trains_on_the_pictures_of_the_split(tmp_path, monkeypatch):
    seen = []

    def trained(jobs, folder, ops, side_by_side, say):
        seen.extend(jobs)
        return [type("Trained", (), {"last": {"val_top1": 0.25 + k / 100}}) for k in range(len(jobs))]

    monkeypatch.setattr(generalization_of, "train_all", trained)
    source = Source("sketches:70", classes=(1, 3))
    train, test = source.open()
    study = Generalization({}, "relu7", train.classes, np.array([1, 2]), np.full((5, 2, 2), np.nan), len(test), 0.5)
    from_scratch(study, train, source, tmp_path, None, splits=2)
    assert study.of(generalization_of.SCRATCH).tolist() == [[0.25, 0.26], [0.27, 0.28]]
    for job, (count, split) in zip(seen, ((1, 0), (1, 1), (2, 0), (2, 1))):
        part, _ = job.source.open()
        rows = split_rows(train.labels, np.ones(len(train), bool), count, split, 0)
        unique = np.unique(np.stack([part.image(i).ravel() for i in range(len(part))]), axis=0)
        assert len(unique) == 2 * count
        expected = np.unique(np.stack([train.image(i).ravel() for i in rows]), axis=0)
        assert (unique == expected).all()
        assert part.classes == train.classes
    assert of_classes(train, (0,)).classes == [train.classes[0]]


def test_average_precision_takes_the_place_of_accuracy():
    """Two pictures show both classes: whatever comes first, everything that counts is present, so both precisions are 1."""
    x = np.array([[-1.0], [1], [-2], [2]])
    present = np.array([[1, 1], [1, 1]])
    assert transfer.accuracy(x, np.array([0, 1, 0, 1]), x[:2], None, present=present) == 1
    # Each shows one, and the scores have it first: 1 again; the other way round each is second: 1/2.
    assert transfer.accuracy(x, np.array([0, 1, 0, 1]), x[:2], None, present=np.array([[1, -1], [-1, 1]])) == 1
    assert transfer.accuracy(x, np.array([0, 1, 0, 1]), x[:2], None, present=np.array([[-1, 1], [1, -1]])) == 0.5


def test_layers_and_ranks():
    from tiny import NUMPY

    assert main_layers(zfnet_mini(10, NUMPY)) == ["pool1", "pool2", "relu3", "relu4", "pool5", "relu6", "relu7"]
    assert main_layers(squeezenet1_1(ops=NUMPY)) == ["relu1", *[f"fire{k}" for k in range(2, 10)]]
    assert rank_correlation([1, 2, 3]) == 1
    assert rank_correlation([3, 1, 2]) == -0.5                    # ranks 2, 0, 1 against 0, 1, 2: -1 of 2
    assert rank_correlation([5, 5]) == rank_correlation([5]) == 0
    assert analysis_of.LINES[:2] == ("svm", "softmax")

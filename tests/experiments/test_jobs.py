"""Many trainings: resumed, side by side, refused, and what they are trained on."""

import json

import numpy as np
import pytest

from zfnumpy import checkpoint, get_ops
from zfnumpy.data import sketches
from zfnumpy.errors import DataError, TrainingError, ZFNumpyError
from zfnumpy.experiments import jobs as module
from zfnumpy.experiments.jobs import Job, Recipe, Relabelled, Source, job_of, job_text, of_classes, small_recipe, train_all
from zfnumpy.train import Run, Settings

OPS = get_ops("numba", 1)
TINY = {"conv": [4, 4, 0, 0, 4], "fc": []}


@pytest.fixture(autouse=True)
def drawn_elsewhere(tmp_path_factory, monkeypatch):
    """Sketches are drawn into a folder of the tests, for the helper processes too; kernels stay where they are."""
    monkeypatch.setattr("zfnumpy.data.sketches.dataset.cache_folder", tmp_path_factory.getbasetemp().joinpath)


def job(name="one", seed=0, epochs=2, **source):
    return Job(name, small_recipe(epochs, seed, TINY), Source("sketches:28", **source))


def weights(trained):
    return {name: w.tobytes() for name, w in checkpoint.load(trained.path, OPS).params.items()}


def test_a_job_survives_as_text():
    asked = job(classes=(3, 1), rows=(0, 5), shuffled=4)
    assert job_text(job_of(job_text(asked))) == job_text(asked)
    assert job_of(job_text(asked)).source == asked.source


def test_an_interrupted_job_goes_on_to_the_same_bits(tmp_path, monkeypatch):
    whole = train_all([job()], tmp_path / "whole", OPS)[0]
    real, left = Run._end_epoch, [1]

    def interrupted(run, *rest):
        real(run, *rest)
        if left and left.pop():
            raise KeyboardInterrupt

    monkeypatch.setattr(Run, "_end_epoch", interrupted)
    with pytest.raises(KeyboardInterrupt):
        train_all([job()], tmp_path / "cut", OPS)
    assert not (tmp_path / "cut" / "one" / module.DONE).exists()
    lines = []
    again = train_all([job()], tmp_path / "cut", OPS, say=lines.append)[0]
    assert weights(again) == weights(whole)
    assert [line["loss"] for line in again.history] == [line["loss"] for line in whole.history]
    assert lines[0].startswith("  one: training ")
    monkeypatch.setattr(module, "train_job", None)               # nothing is trained twice
    assert train_all([job()], tmp_path / "cut", OPS, say=lines.append)[0].history == again.history
    assert lines[-1] == "1 of 1 trainings are done already"


def test_side_by_side_gives_the_same_bits(tmp_path):
    asked = [job("a", 1, 1), job("b", 2, 1)]
    one = train_all(asked, tmp_path / "one", OPS)
    two = train_all(asked, tmp_path / "two", get_ops("numba", 2), 2, say=lambda line: None)
    assert [trained.name for trained in two] == ["a", "b"]
    for a, b in zip(one, two):
        assert weights(a) == weights(b)


def test_a_failing_job_is_named(tmp_path):
    with pytest.raises(TrainingError, match="the training 'bad' failed: there is no class 99: the data has 10, 0 to 9"):
        train_all([job("bad", classes=(99, 1)), job("good", 1, 1)], tmp_path, get_ops("numba", 2), 2, say=lambda line: None)


def test_another_job_of_the_same_name_is_refused(tmp_path):
    train_all([job(epochs=1)], tmp_path, OPS, say=lambda line: None)
    before = (tmp_path / "one" / "last.safetensors").read_bytes()
    with pytest.raises(ZFNumpyError, match="holds a training with other settings or data; choose another --out"):
        train_all([job(epochs=1, seed=5)], tmp_path, OPS)
    assert (tmp_path / "one" / "last.safetensors").read_bytes() == before
    with pytest.raises(ZFNumpyError, match="two trainings are called 'one'"):
        train_all([job(), job()], tmp_path, OPS)


def test_what_a_source_opens():
    train, val = Source("sketches:28").open()
    some, val_some = Source("sketches:28", classes=(6, 2)).open()
    assert some.classes == [train.classes[6], train.classes[2]]
    rows = np.flatnonzero(np.isin(train.labels, (2, 6)))
    assert some.labels.tolist() == [(6, 2).index(k) for k in train.labels[rows]]
    assert (some.image(1) == train.image(rows[1])).all()
    assert some.parts(0) == train.parts(rows[0])                 # what else is known of the pictures stays
    assert len(val_some) == int(np.isin(val.labels, (2, 6)).sum())
    few, _ = Source("sketches:28", rows=(3, 3, 0)).open()
    assert few.labels.tolist() == train.labels[[3, 3, 0]].tolist()
    dealt, _ = Source("sketches:28", shuffled=1).open()
    assert sorted(dealt.labels) == sorted(train.labels)
    assert dealt.labels.tolist() != train.labels.tolist()
    with pytest.raises(DataError, match="there is no class 10"):
        of_classes(train, (0, 10))


def test_pictures_under_other_labels():
    data = sketches.load(10, seed=3, cache=False, processes=1)
    other = Relabelled(data, np.where(np.arange(10) < 4, np.arange(10) % 2, -1), ["even", "odd"])
    assert other.labels.tolist() == [0, 1, 0, 1]
    assert other.subset([2, 1]).labels.tolist() == [0, 1]
    assert (other.subset([3]).image(0) == data.image(3)).all()
    assert other.boxes.shape == (4, 4)
    with pytest.raises(AttributeError):
        _ = other.nothing


def test_a_recipe_makes_its_network():
    train = sketches.load(10, seed=3, cache=False, processes=1)
    recipe = Recipe("zfnet_mini", TINY, Settings(seed=4), 2.0, resize=72)
    net = recipe.network(train, OPS)
    assert (net.preprocessing.resize, net.preprocessing.crop) == (72, 64)
    assert net.preprocessing.scale == 2 / 128
    assert net.classes == train.classes
    assert json.loads(job_text(Job("x", recipe, Source("sketches"))))["recipe"]["resize"] == 72

"""`zfnumpy experiment all`, with two studies of nothing: what is run, what is passed over, what is left behind."""

import json
from dataclasses import dataclass, field
from types import SimpleNamespace

import numpy as np
import pytest

from zfnumpy.cli import main
from zfnumpy.cli.experiment import common
from zfnumpy.cli.experiment import main as experiments
from zfnumpy.errors import DataError
from zfnumpy.experiments.study import Claim, Study, Table


@dataclass
class Nothing(Study):
    settings: dict
    values: np.ndarray = field(default_factory=lambda: np.arange(3))
    name = "nothing"
    title = "A study of nothing"
    source = "no paper"

    def claims(self):
        return [Claim("Nothing comes of nothing.", "0", "0.0 ± 0.0", True)]

    def tables(self):
        return [Table("Nothing by layer", ["layer", "here"], [["conv1", 0.5], ["a long name", "1 ± 2"]])]


def study(name, ran, refuse=None):
    """Return a module of a study called `name` that notes its arguments in `ran`."""

    def add_command(what):
        sub = what(name, run, f"Study {name}.", f"zfnumpy experiment {name}")
        common.add_study(sub)
        sub.add_argument("--maps", type=int, default=7)
        return sub

    def run(args):
        ran.append((name, args.maps, args.data, args.seed, args.backend))
        if refuse:
            raise DataError(refuse)
        found = Nothing(common.settings_of(args, layers=["conv1"]))
        found.name = name
        common.finish(args, found, [])
        return 0

    return SimpleNamespace(NAME=name, add_command=add_command)


@pytest.fixture
def ran(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    ran = []
    monkeypatch.setattr(experiments, "STUDIES", (study("first", ran), study("second", ran, "no picture has parts")))
    return ran


def test_all_run_and_none_twice(ran, tmp_path, capsys):
    asked = ["experiment", "all", "--data", "sketches:14", "--seed", "3", "--backend", "numpy", "--out", "o"]
    assert main(asked) == 0
    out, err = capsys.readouterr()
    assert ran == [("first", 7, "sketches:14", 3, "numpy"), ("second", 7, "sketches:14", 3, "numpy")]
    assert "passed over: no picture has parts" in err
    assert out.splitlines()[-1] == "passed over second: no picture has parts"
    about = json.loads((tmp_path / "o" / "first" / "first.json").read_text())
    assert about["settings"] == {"data": "sketches:14", "seed": 3, "maps": 7, "layers": ["conv1"]}
    assert "Nothing comes of nothing." in (tmp_path / "o" / "index.html").read_text()
    assert main(asked) == 0
    assert "first: done already; --again runs it anew" in capsys.readouterr().out
    assert [name for name, *_ in ran] == ["first", "second", "second"]
    assert main([*asked, "--again"]) == 0
    assert [name for name, *_ in ran[3:]] == ["first", "second"]


def test_where_none_can_be_run_that_is_an_error(ran, monkeypatch, capsys):
    monkeypatch.setattr(experiments, "STUDIES", experiments.STUDIES[1:])
    assert main(["experiment", "all", "--out", "o"]) == 2
    assert "not one study could be run; second: no picture has parts" in capsys.readouterr().err


def test_what_a_study_tells(ran, capsys):
    assert main(["experiment", "first", "--out", "o"]) == 0
    assert capsys.readouterr().out == """
A study of nothing (no paper)

Nothing by layer
  layer         here
  conv1          0.5
  a long name  1 ± 2

Nothing comes of nothing.
  as in the paper
  paper: 0
  here:  0.0 ± 0.0

wrote o/first: first.json, first.npz; the page over all is o/index.html
"""


def test_data_that_no_embedded_network_knows_needs_a_network(tmp_path):
    args = SimpleNamespace(data=str(tmp_path), checkpoint=None)
    with pytest.raises(DataError, match=r"name a network with --checkpoint that was trained on .* makes one"):
        common.open_trained(args)


def test_sketches_are_looked_at_with_the_network_that_comes_with_the_package():
    args = SimpleNamespace(data="sketches:14", checkpoint=None, model=None, classes=None, val_fraction=None, seed=0,
                           backend="numpy", threads=None, gpu_memory=None, tf32=False)
    net, train, val = common.open_labelled(args)
    assert (net.name, len(train), len(val)) == ("zfnet_mini", 12, 2)
    assert (net.scores(net.prepare([val.image(0), val.image(1)])).argmax(axis=1) == val.labels).all()

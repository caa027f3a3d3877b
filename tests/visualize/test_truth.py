"""The table: every column is its test's, rows are methods, and files hold what the table says."""

import csv
import json

import numpy as np
import pytest

from zfnumpy import get_ops
from zfnumpy.errors import NodeError
from zfnumpy.layers import Conv2d, Flatten, Linear, ReLU
from zfnumpy.network import Network
from zfnumpy.visualize import deletion, insertion, pointing_game, randomization_test, truth_table
from zfnumpy.visualize.relevance import chosen, edges
from zfnumpy.visualize.saliency import saliency
from zfnumpy.visualize.truth import COLUMNS

NUMPY = get_ops("numpy")
NET = Network([("conv1", Conv2d(4, 3, pad=1)), ("relu1", ReLU()), ("flatten", Flatten()), ("fc2", Linear(3))], (3, 8, 7),
              NUMPY, seed=2, dtype="float64")
X = np.random.default_rng(1).standard_normal((4, 3, 8, 7))
MASKS = np.zeros((4, 8, 7), bool)
MASKS[:3, 2:6, 1:5] = True               # of the last picture nothing is known
METHODS = {"gradient": saliency, "edges": edges}


def never(net, x, label=None, tape=None):
    raise NodeError("not on this network")


@pytest.fixture(scope="module")
def table():
    return truth_table(NET, X, {**METHODS, "never": never}, [0, 1, 2, 0], MASKS, parts=[{"eye": (3, 3, 2)}] * 4,
                       names=["a", "b", "c", "a"], steps=8)


def test_columns_are_those_of_the_tests(table):
    labels = [0, 1, 2, 0]
    tested = randomization_test(NET, X, METHODS, labels)
    assert (table.methods, list(table.values)) == (["gradient", "edges"], list(COLUMNS))
    assert (table.values["similarity"] == tested.correlation[:, -1]).all()
    assert (table.values["ssim"] == tested.ssim[:, -1]).all()
    assert (table.values["others"] == tested.others).all()
    for m, method in enumerate(METHODS.values()):
        maps = method(NET, X, labels)
        assert (table.maps[m] == maps).all()
        np.testing.assert_allclose(table.values["deletion"][m], deletion(NET, X, maps, labels, steps=8).area())
        np.testing.assert_allclose(table.values["insertion"][m], insertion(NET, X, maps, labels, steps=8).area())
        points = pointing_game(maps, MASKS)
        np.testing.assert_allclose(table.values["pointing"][m], points.hits)
        np.testing.assert_allclose(table.values["energy"][m], points.energy)
    assert table.notes == {"never": "not on this network"}
    assert table.right == np.mean(NET.scores(X).argmax(axis=1) == labels)
    assert table.chance == {"pointing": 16 / 56, "energy": 16 / 56}


def test_means_leave_out_what_is_not_known(table):
    energy = table.values["energy"]
    assert np.isnan(energy[:, 3]).all()
    np.testing.assert_allclose(table.mean("energy"), energy[:, :3].mean(axis=1))
    np.testing.assert_allclose(table.deviation("energy"), energy[:, :3].std(axis=1))


def test_as_text(table):
    lines = str(table).splitlines()
    assert lines[0].split()[:3] == ["method", "randomized", "sanity"]
    assert {len(line) for line in lines[:2]} == {len(lines[0])}
    gradient_row, edges_row, chance, note = lines[2:]
    assert edges_row.split()[:5] == ["edges", "1.000", "±", "0.00", "fails"]
    assert gradient_row.split()[-1] == f"{table.mean('energy')[0]:.3f}"
    assert len({line.rindex(line.split()[-1]) + len(line.split()[-1]) for line in lines[:5] if "-" * 9 not in line}) == 1
    assert chance.split() == ["(chance)", *["–"] * 5, "0.286", "0.286"]
    assert note == "without never: not on this network"


def test_saved(table, tmp_path):
    table.save(tmp_path)
    about = json.loads((tmp_path / "truth.json").read_text())
    with open(tmp_path / "truth.csv", newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [row["method"] for row in rows] == ["gradient", "edges"]
    for row, line in zip(rows, about["rows"]):
        assert row["sanity"] == line["sanity"]
        for column in COLUMNS:
            assert float(row[column]) == line[column] == pytest.approx(table.mean(column)[rows.index(row)])
    with np.load(tmp_path / "truth.npz") as arrays:
        np.testing.assert_array_equal(arrays["energy"], table.values["energy"])
        assert arrays["deletion_curves"].shape == (2, 4, 9)
        assert (arrays["shares"] == table.curves["edges"][0].shares).all()
    eye = {(part["class"], part["part"]): part["pictures"] for part in about["parts"]["edges"]}
    assert eye == {("a", "eye"): 2, ("b", "eye"): 1, ("c", "eye"): 1}
    with open(tmp_path / "truth_parts.csv", newline="", encoding="utf-8") as file:
        first = next(csv.DictReader(file))
    assert (first["class"], first["part"], first["pictures"]) == ("a", "eye", "2")
    assert float(first["edges"]) == pytest.approx(table.pointings["edges"].parts["a", "eye"][0] / 2, abs=1e-4)
    assert about["left out"] == {"never": "not on this network"}
    assert (tmp_path / "randomization.json").exists()


def test_without_truth_and_of_one_blank_picture(tmp_path):
    table = truth_table(NET, np.zeros((1, 3, 8, 7)), chosen(["gradient", "edges", "noise"]), steps=4)
    assert table.right == 1
    assert np.isnan(table.mean("pointing")).all()
    assert np.isnan(table.mean("others")).all()
    assert np.isfinite(table.mean("deletion")).all()
    assert "nan" not in str(table)
    table.save(tmp_path)
    assert "NaN" not in (tmp_path / "truth.json").read_text() + (tmp_path / "randomization.json").read_text()


def test_of_single_layers_the_deciding_one_stands_in_the_table():
    table = truth_table(NET, X, METHODS, cascading=False, steps=4)
    tested = table.randomization
    step = tested.decisive("gradient")
    assert (table.values["similarity"][0] == tested.correlation[0, step]).all()
    assert (table.values["ssim"][0] == tested.ssim[0, step]).all()


def test_same_seed_same_table():
    one, two, other = (truth_table(NET, X, METHODS, steps=4, seed=seed) for seed in (3, 3, 4))
    for column in COLUMNS:
        np.testing.assert_array_equal(one.values[column], two.values[column])
    assert not np.array_equal(one.values["similarity"], other.values["similarity"])


def test_on_a_device(device_ops):
    nets = [Network([("conv1", Conv2d(4, 3, pad=1)), ("relu1", ReLU()), ("flatten", Flatten()), ("fc2", Linear(3))],
                    (3, 8, 7), ops, seed=2) for ops in (NUMPY, device_ops)]
    x = X.astype(np.float32)
    one, two = (truth_table(net, net.ops.asarray(x), METHODS, [0, 1, 2, 0], MASKS, steps=4) for net in nets)
    for column in COLUMNS:
        np.testing.assert_allclose(one.values[column], two.values[column], atol=2e-3, err_msg=column)

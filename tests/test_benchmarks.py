"""Every part of the benchmarks runs on a small network, with PyTorch and without it. No time is asserted."""

import json
import math
import sys

import numpy as np
import pytest

import benchmarks.__main__ as bench
import zfnumpy as zf
from benchmarks import checks, clock, peer, processes, report, steps

QUICK = ["--model", "zfnet_mini", "--batch", "2", "--rounds", "1", "--maps", "1", "--no-compiled"]
LAYOUTS = {"contiguous", "channels-last"}


def has_torch():
    try:
        import torch  # noqa: F401
    except ImportError:
        return False
    return True


torch_needed = pytest.mark.skipif(not has_torch(), reason="PyTorch is absent: pip install torch")
with_and_without = pytest.mark.parametrize("torch", [pytest.param(True, marks=torch_needed, id="torch"),
                                                     pytest.param(False, id="alone")])


@pytest.fixture(autouse=True)
def small_product(monkeypatch):
    monkeypatch.setattr(clock, "MATRIX", 200)


@pytest.fixture
def run(capsys, tmp_path, monkeypatch):
    """Run a command line: (the table it prints, the JSON it writes), with PyTorch hidden if it is not wanted."""
    def call(*arguments, torch=True):
        if not torch:
            monkeypatch.setitem(sys.modules, "torch", None)
        path = tmp_path / "found.json"
        assert bench.main([*QUICK, *arguments, "--json", str(path)]) == 0, capsys.readouterr().err
        return capsys.readouterr().out, json.loads(path.read_text())

    return call


def numbers(found):
    """Yield every number in nested plain data."""
    if isinstance(found, dict):
        found = list(found.values())
    if isinstance(found, list):
        for each in found:
            yield from numbers(each)
    elif isinstance(found, (int, float)) and not isinstance(found, bool):
        yield found


PART_ROWS = {"step": ["step"], "inference": ["inference"], "projection": ["projection"], "memory": ["memory"],
             "startup": ["startup", "startup start", "startup import", "startup network", "startup step"]}


def check(out, found, parts, torch):
    assert [each["part"] for each in found["results"]] == [row for part in parts for row in PART_ROWS[part]]
    assert all(math.isfinite(number) for number in numbers(found))
    assert found["machine"]["sgemm_flops"] > 0
    assert set(found["accuracy"]["zfnet_mini"]) == {"zfnumpy", *(f"PyTorch, {each}" for each in LAYOUTS if torch)}
    for each in found["results"]:
        assert each["zfnumpy"] > 0, each["part"]
        assert (set(each) & LAYOUTS == LAYOUTS and each["ratio"] > 0) if torch else not set(each) & {*LAYOUTS, "ratio"}
        assert each["what"] in out
    assert "is not installed" not in out if torch else "PyTorch is not installed: nothing to compare with" in out


@with_and_without
def test_parts_in_this_process(run, torch):
    parts = ["step", "inference", "projection"]
    out, found = run(*parts, "--layers", torch=torch)
    check(out, found, parts, torch)
    assert {each["part"]: each["batch"] for each in found["results"] if "batch" in each} == {"step": 2, "inference": 2}
    rows = {(each["layer"], each["direction"]) for each in found["layers"]}
    every = {"forward", "input gradient", "weight gradient"}
    assert {direction for layer, direction in rows if layer == "conv2"} == every
    assert {direction for layer, direction in rows if layer == "conv1"} == every - {"input gradient"}      # of the image
    assert {direction for layer, direction in rows if layer == "fc7"} == every
    assert {direction for layer, direction in rows if layer in ("pool1", "norm1")} == {"forward", "backward"}
    assert ("all", "update") in rows
    assert all(layer in out for layer, _ in rows)
    assert all(("ratio" in each) == torch for each in found["layers"])


@pytest.fixture(scope="module")
def told():
    """What a process of each kind told: each is started once."""
    return {}


@with_and_without
def test_parts_in_processes_of_their_own(run, torch, told, monkeypatch):
    child = processes.child

    def once(net, side, *args, **kwargs):
        kind = "zfnumpy" if side == "zfnumpy" else "PyTorch"
        if kind not in told:
            told[kind] = child(net, side, *args, **kwargs)
        return told[kind]

    monkeypatch.setattr(processes, "child", once)
    out, found = run("memory", "startup", torch=torch)
    check(out, found, ["memory", "startup"], torch)
    memory, whole, *parts = found["results"]
    assert told.keys() == {"zfnumpy", "PyTorch"} if torch else "zfnumpy" in told
    assert 50 * 2**20 < memory["zfnumpy"] < 2**31
    assert whole["zfnumpy"] >= max(part["zfnumpy"] for part in parts)


def test_compiling_is_the_first_step_less_one_that_finds_kernels(run, monkeypatch):
    seconds, folders = iter((9.0, 2.0)), []
    monkeypatch.setattr(processes, "child",
                        lambda net, side, batch, folder: folders.append(folder) or {"step": next(seconds)})
    out, found = run("--cold", torch=False)
    each, = found["results"]
    assert (each["part"], each["zfnumpy"], each["first_step"]) == ("compiling", 7, 9)
    assert "7.00 s" in out
    assert folders[0] == folders[1] is not None


@torch_needed
@pytest.mark.parametrize("has_compiler", [True, False])
def test_where_torch_compile_does_not_work_a_line_says_so(has_compiler, monkeypatch):
    import torch

    def fails(peer):
        raise RuntimeError("no inductor\nhere")

    monkeypatch.setattr(torch, "compile", fails)
    monkeypatch.setattr(steps.shutil, "which", lambda name: name if has_compiler else None)
    said, net = [], zf.models.zfnet_mini(10, zf.get_ops("numba"), dropout=0)
    found = steps.inference(torch, net, 1, 1, 1e11, say=said.append)
    assert "compiled" not in found
    assert set(found) > LAYOUTS
    assert said == ["torch.compile is left out: " + ("it failed with RuntimeError: no inductor" if has_compiler else
                                                     "there is no C++ compiler (g++ or clang++)")]


def test_a_process_that_fails_is_told():
    net = zf.models.zfnet_mini(10, zf.get_ops("numpy"), dropout=0)
    net.ops.threads, net.name = 1, "no_such_model"
    with pytest.raises(checks.Wrong, match="the process of zfnumpy, batch 2, ended with code 1: AttributeError: "):
        processes.child(net, "zfnumpy", 2)


def test_a_network_has_the_arithmetic_of_its_layers():
    """Counted by hand for the first layer and the last; a step has three products a layer, but two in the first."""
    net = zf.models.zfnet_mini(10, zf.get_ops("numpy"), dropout=0)
    assert clock.layer_arithmetic(net, "conv1") == 2 * (7 * 7 * 3 * 64) * 32 * 32
    assert clock.layer_arithmetic(net, "fc8") == 2 * 512 * 10
    assert clock.layer_arithmetic(net, "pool1") == 0
    assert clock.arithmetic(net) == 3 * clock.arithmetic(net, training=False) - clock.layer_arithmetic(net, "conv1")


def test_a_wrong_answer_is_not_timed(monkeypatch, capsys):
    """A backward pass that is off by a thousandth in one place."""
    right = checks.ours

    def off(net, x, labels):
        scores, grads = right(net, x, labels)
        grads["conv3.bias"][0] *= 1.01
        return scores, grads

    monkeypatch.setattr(checks, "ours", off)
    monkeypatch.setattr(peer, "find_torch", lambda threads: None)
    assert bench.main([*QUICK, "step"]) == 1
    err = capsys.readouterr().err
    assert err.startswith("benchmarks: zfnumpy: conv3.bias is ")
    assert "nothing is timed" in err


@torch_needed
def test_a_wrong_projection_is_not_timed(monkeypatch, capsys):
    call = peer.Deconvnet.__call__
    monkeypatch.setattr(peer.Deconvnet, "__call__", lambda self, *args: call(self, *args) * 1.01)
    assert bench.main([*QUICK, "projection"]) == 1
    assert "projections of PyTorch, contiguous, differ" in capsys.readouterr().err


@pytest.mark.parametrize(("arguments", "words"), [(["speed"], "there is no part 'speed'; choose from step, inference"),
                                                  (["--rounds", "0"], "--rounds, --threads, --maps and --batch take"),
                                                  (["--batch", "4", "0"], "--rounds, --threads, --maps and --batch take")])
def test_what_is_refused(arguments, words, capsys):
    with pytest.raises(SystemExit, match="2"):
        bench.main(arguments)
    assert words in capsys.readouterr().err


def test_the_ratio_is_the_median_of_the_rounds_and_the_better_layout_counts():
    found = report.result("step", "x", "ms", {"zfnumpy": [1.0, 2.0, 4.0], "contiguous": [9.0, 9.0, 9.0],
                                              "channels-last": [3.0, 2.0, 8.0]}, work=10, rate=20)
    assert (found["zfnumpy"], found["contiguous"], found["channels-last"]) == (2, 9, 3)
    assert (found["best"], found["ratio"]) == ("channels-last", 2)
    assert found["share"] == pytest.approx(0.25)
    assert found["best_share"] == pytest.approx(1 / 6)
    lines = report.table([found]).splitlines()
    assert len({line.index("ratio") for line in lines[:1]} | {lines[1].index("2.00") - 1}) == 1
    assert "3000.0 ms" in lines[1]


def test_what_is_no_number_is_not_written(tmp_path):
    with pytest.raises(ValueError, match="Out of range float"):
        report.save(tmp_path / "found.json", {"results": [np.nan]})

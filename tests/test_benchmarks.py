"""Every part of the benchmarks runs on a small network, with PyTorch and without it. No time is asserted."""

import json
import math
import os
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

import benchmarks.__main__ as bench
import zfnumpy as zf
from benchmarks import (
    checks,
    clock,
    devices,
    gpu,
    gpu_parts,
    gpu_report,
    peer,
    processes,
    report,
    steps,
)
from benchmarks.clock import device_turns
from zfnumpy import visualize
from zfnumpy.ops import _cuda
from zfnumpy.ops.cupy_ops import CupyOps

pytestmark = pytest.mark.usefixtures("quick_collections")
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


PART_ROWS = {"step": ["step"], "inference": ["inference"], "projection": ["projection"],
             "occlusion": ["occlusion"], "memory": ["memory"],
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
    parts = ["step", "inference", "projection", "occlusion"]
    out, found = run(*parts, "--layers", torch=torch)
    check(out, found, parts, torch)
    assert {each["part"]: each["batch"] for each in found["results"] if "batch" in each} == {"step": 2, "inference": 2}
    rows = {(each["layer"], each["direction"]) for each in found["layers"]}
    every = {"forward", "input gradient", "weight gradient"}
    assert {direction for layer, direction in rows if layer == "conv2"} == every
    assert {direction for layer, direction in rows if layer == "conv1"} == {          # none of the image
        "forward", "weight gradient", "weight gradient, pooled"}
    assert {direction for layer, direction in rows if layer == "fc7"} == every
    assert {direction for layer, direction in rows if layer in ("pool1", "norm1")} == {"forward", "backward"}
    assert ("all", "update") in rows
    assert all(layer in out for layer, _ in rows)
    assert all(("ratio" in each) == (torch and "pooled" not in each["direction"]) for each in found["layers"])
    assert [each["what"] for each in found["layers"] if not each["in_step"]] == ["conv1 weight gradient", "pool1 backward"]


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


# ---- the command for a GPU, on the stand-in for CuPy and with PyTorch on the processor --------------------------------

def small(name):
    """Return a function of ops that makes a network of zfnet's layers, small enough for kernels on the processor."""
    def make(ops):
        like = zf.models.zfnet_mini(7, zf.get_ops("numpy"), dropout=0, conv=(4, 6, 8, 8, 6), fc=(16,))
        nodes = [(node, type(layer)(*(getattr(layer, key) for key in layer.settings)), inputs)
                 for node, layer, inputs in like.nodes.values()]
        return zf.Network(nodes, (3, 32, 32), ops, name=name,
                          preprocessing=zf.data.Preprocessing(32, 32, (128, 128, 128), 1 / 128))

    return make


@pytest.fixture
def card(monkeypatch, fake_cupy):
    """A function that runs a plan of parts on the stand-in: what was found."""
    def run(torch=None, path=None, modes=("float32", "tf32"), parts=()):
        models = {name: small(name) for name in ("zfnet", "zfnet_mini")}
        plan = gpu.Plan(models, batch=2, mini=2, inference=(2, 1), maps=2, rounds=1, least=0, square=64, copied=2**16,
                        batches=2, parts=parts)
        return gpu.run(plan, lambda tf32: CupyOps(tf32=tf32), torch, "cpu", modes, path)

    monkeypatch.setattr(clock, "WARM", 0)
    monkeypatch.setattr(devices, "SQUARE", 16)
    monkeypatch.setattr(devices, "FILL", 1e-6)
    monkeypatch.setattr(_cuda, "FILES", ("conv",))
    monkeypatch.setattr(fake_cupy._Kernel, "num_regs", 40, raising=False)
    return run


@with_and_without
def test_everything_for_a_card_runs(card, torch, tmp_path, capsys):
    if torch:
        import torch
        threads = torch.get_num_threads()
        torch.set_num_threads(1)
    modes = ("float32", "tf32") if torch else ("float32",)
    found = card(torch or None, tmp_path / "found.json", modes)
    if torch:
        torch.set_num_threads(threads)
    out, err = capsys.readouterr()
    assert not found["failed"], err
    assert json.loads((tmp_path / "found.json").read_text()).keys() == found.keys()
    assert all(math.isfinite(number) for number in numbers(found))
    for mode in modes:
        results = [each for each in found["results"] if each["mode"] == mode]
        assert [f"{each['part']} {each['model']}" for each in results] == [
            "step zfnet", "inference zfnet", "inference zfnet", "step zfnet_mini", "projection zfnet"]
        assert all(("ratio" in each) == bool(torch) for each in results)
        assert {"contiguous", "channels-last, fused, tuned"} <= results[0].keys() or not torch
        told = found["accuracy"][mode]
        assert told["same_bits"]
        assert told["projections"] < 1e-5
        assert set(told["errors"]) == {"zfnumpy", *(f"PyTorch, {each}" for each in LAYOUTS if torch)}
        assert f"==== {mode} ====" in out
        rows = {(each["layer"], each["direction"]) for each in found["layers"] if each["mode"] == mode}
        assert rows > {("conv2", "input gradient"), ("conv1", "weight gradient, pooled"), ("relu3", "backward"),
                       ("norm1", "backward"), ("all", "update"), ("all", "loss")}
        assert found["memory"][mode]["zfnumpy"] > 100_000
        assert found["rates"][mode]["product"] > 0
        assert len([each for each in found["queue"] if each["mode"] == mode]) == 3
    assert {"no loading", "loading", "loading alone"} < found["data"][modes[-1]].keys()
    assert "Stand-in, compute 9.0" in out
    built = {(each["name"], each["dtype"]): each["registers"] for each in found["builds"]["kernels"]}
    assert set(built.values()) == {40}
    assert built.keys() > {("pack_full", "float32"), ("pack_full", "float64"), ("pack_tf32", "float32")}
    assert ("pack_tf32", "float64") not in built
    assert "70 epochs of 1.3 million images would take" in out
    assert "FAILED" not in out


def test_a_part_that_fails_is_told_and_the_others_go_on(card, monkeypatch, capsys):
    def fails(bench):
        raise MemoryError("no room")

    monkeypatch.setitem(gpu_parts.PARTS, "memory", fails)
    found = card(modes=("float32",), parts=("memory", "rates"))
    assert found["failed"] == [{"part": "float32: memory", "error": "MemoryError: no room"}]
    assert found["rates"]["float32"]
    assert "FAILED float32: memory: MemoryError: no room" in capsys.readouterr().out


def test_wrong_answers_on_a_card_are_told(card, monkeypatch, capsys):
    """A gradient that is off; a run that is not the same twice; a window that misses a pixel."""
    right, runs = checks.ours, iter(range(100))

    def off(net, x, labels):
        scores, grads = right(net, x, labels)
        grads["conv3.bias"][0] *= 1.5
        return scores, grads

    with monkeypatch.context() as patch:
        patch.setattr(checks, "ours", off)
        found = card(modes=("float32",), parts=("checks",))
        assert "conv3.bias is " in found["failed"][0]["error"]
        assert "WRONG: conv3.bias is " in capsys.readouterr().out
    with monkeypatch.context() as patch:
        patch.setattr(zf.optim.SGD, "step", lambda self, grads: self.net.params["fc7.bias"].fill(next(runs)))
        assert "different bits" in card(modes=("float32",), parts=("checks",))["failed"][0]["error"]
    project = visualize.project
    monkeypatch.setattr(visualize, "project", lambda *args, **kwargs: project(*args, **kwargs) * 1.01)
    assert "windowed projection" in card(modes=("float32",), parts=("checks",))["failed"][0]["error"]


def test_tf32_is_judged_beside_the_peer():
    errors = {"zfnumpy": {"scores": 0.02, "w": 0.2}, "PyTorch, contiguous": {"scores": 0.008, "w": 0.05}}
    assert gpu_parts.wrong_errors(errors, True) == ["w is 2.0e-01 off, more than 1.5e-01"]
    assert len(gpu_parts.wrong_errors(errors, False)) == 1
    assert gpu_parts.wrong_errors({"zfnumpy": {"scores": 2e-3}}, False)
    assert not gpu_parts.wrong_errors({"zfnumpy": {"scores": 2e-3}}, True)
    assert gpu_parts.wrong_errors({"zfnumpy": {"scores": math.nan}}, True)


def test_without_a_gpu_one_line_says_so(monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "cupy", None)
    assert bench.main(["gpu", "--no-torch"]) == 2
    err = capsys.readouterr().err
    assert err.startswith("benchmarks: there is nothing to time on: the cupy backend needs CuPy")
    assert err.count("\n") == 1


@pytest.mark.parametrize(("arguments", "words"), [(["gpu", "speed"], "there is no part 'speed'; choose from rates, checks"),
                                                  (["gpu", "--rounds", "0"], "--batch and --rounds take whole numbers")])
def test_what_the_command_for_a_gpu_refuses(arguments, words, capsys):
    with pytest.raises(SystemExit, match="2"):
        bench.main(arguments)
    assert words in capsys.readouterr().err


def test_a_row_of_layers_tells_its_share_of_what_the_card_could_do():
    rates = {"product": 4e12, "copy": 1e12}
    rows = [{"layer": "conv2", "direction": "forward", "zfnumpy": 0.001, "contiguous": 0.002, "best": "contiguous",
             "ratio": 2.0, "flops": 2e12, "bandwidth": 1e11, "in_step": True},
            {"layer": "pool1", "direction": "forward", "zfnumpy": 0.001, "bandwidth": 9e11, "in_step": False}]
    first, second = gpu_report.layer_table(rows, rates, 0.004).splitlines()[1:3]
    assert first.split() == ["conv2", "forward", "1.000", "2.000", "2.00", "2.0", "100", "50%", "0.500"]
    assert second.split() == ["pool1", "forward", "(in", "no", "step)", "1.000", "900", "90%"]


def test_times_and_memory_of_pytorch_on_a_card():
    """What is asked of torch.cuda, by an imitation of it: a product takes a second, an event tells milliseconds."""
    asked, now = [], [0.0]

    class Event:
        def __init__(self, enable_timing):
            assert enable_timing

        def record(self):
            self.time = now[0]

        def synchronize(self):
            asked.append("event")

        def elapsed_time(self, end):
            return 1000 * (end.time - self.time)

    class Square:
        def __matmul__(self, other):
            now[0] += 0.004

    cuda = SimpleNamespace(Event=Event, synchronize=lambda: asked.append("wait"), empty_cache=lambda: asked.append("empty"),
                           reset_peak_memory_stats=lambda: asked.append("reset"), max_memory_reserved=lambda: 77)
    device = devices.theirs(SimpleNamespace(cuda=cuda, ones=lambda shape, device: Square()), "cuda")
    assert device.peak(lambda: asked.append("work")) == 77
    assert asked == ["wait", "empty", "reset", "work", "wait"]
    device.fill()
    begin = now[0]
    device.fill()
    assert now[0] - begin == pytest.approx(0.012)                  # three products fill a hundredth of a second
    times = device_turns({"product": lambda: Square() @ 0}, 2, lambda name: device)
    assert times == {"product": [pytest.approx(0.004)] * 2}
    assert isinstance(devices.theirs(None, "cuda"), devices.Host)


@pytest.mark.parametrize("failed", [[], [{"part": "float32: step", "error": "no room"}]])
def test_the_command_for_a_gpu_hands_over_what_it_was_told(fake_cupy, monkeypatch, failed):
    asked = {}

    def run(plan, get_ops, torch, device, modes, path, cold):
        net = plan.models["zfnet_mini"](ops=zf.get_ops("numpy"))
        asked.update(plan=plan, torch=torch, device=device, modes=modes, path=path, cold=cold, name=net.name)
        return {"failed": failed}

    def imported(name, *args, **settings):
        folders.append(Path(os.environ["CUPY_CACHE_DIR"]))                   # CuPy looks when it is imported, not later
        assert folders[-1].is_dir()
        return get_ops(name, *args, **settings)

    folders, get_ops = [], zf.get_ops
    monkeypatch.setattr(gpu, "run", run)
    monkeypatch.setattr(zf, "get_ops", imported)
    monkeypatch.setenv("CUPY_CACHE_DIR", "before")
    arguments = ["gpu", "step", "layers", "--mode", "tf32", "--batch", "64", "--no-torch", "--cold", "--json", "x"]
    assert bench.main(arguments) == bool(failed)
    plan = asked.pop("plan")
    assert (plan.parts, plan.batch, plan.rounds) == (("step", "layers"), 64, 5)
    assert asked == {"torch": None, "device": "cuda", "modes": ["tf32"], "path": "x", "cold": True, "name": "zfnet_mini"}
    assert not folders[0].exists()
    assert os.environ["CUPY_CACHE_DIR"] == "before"

"""Everything above the operations on arrays of a device: the stand-in for CuPy lets nothing cross to the host in silence.

What comes out must be what the numpy backend makes of the same seeds, and of the same dropout masks: a device may draw its
own, so the other side is given those.
"""

import signal

import numpy as np
import pytest
from PIL import Image

import zfnumpy as zf
from zfnumpy import checkpoint
from zfnumpy.cli import main
from zfnumpy.data import ImageArray, Loader, Preprocessing, sketches
from zfnumpy.errors import NodeError, ShapeError, TrainingError
from zfnumpy.estimate import estimate
from zfnumpy.evaluate import evaluate, predict
from zfnumpy.gradcheck import relative_error
from zfnumpy.layers import (
    AvgPool2d,
    Concatenate,
    Conv2d,
    Dropout,
    Flatten,
    GlobalAvgPool,
    Linear,
    LocalResponseNorm,
    MaxPool2d,
    ReLU,
)
from zfnumpy.loss import softmax, softmax_cross_entropy
from zfnumpy.network import Network
from zfnumpy.ops.face import RULES
from zfnumpy.optim import SGD
from zfnumpy.train import Run, Settings, first_not_finite
from zfnumpy.visualize import (
    colour_filters,
    find_strongest,
    project,
    project_boxes,
    project_strongest,
    project_units,
    strongest_units,
)

NUMPY = zf.get_ops("numpy")
NOT_RESULTS = ("seconds", "images_per_second")
K = 10


def network(ops, dtype="float64", order="RGB"):
    """A network with every layer, branches, groups, and everything that a resume could forget."""
    net = Network([
        ("conv1", Conv2d(6, 3, pad=1)), ("relu1", ReLU()), ("pool1", MaxPool2d(3, 2, 1)), ("norm1", LocalResponseNorm()),
        ("conv2", Conv2d(8, 3, pad=1, groups=2)), ("relu2", ReLU()), ("pool2", MaxPool2d(3, 2, ceil_mode=True)),
        ("small", Conv2d(4, 1)), ("large", Conv2d(5, 3, pad=1), "pool2"), ("both", Concatenate(), ["small", "large"]),
        ("relu3", ReLU()), ("average", AvgPool2d(2)), ("flatten", Flatten()), ("fc4", Linear(12)), ("relu4", ReLU()),
        ("drop4", Dropout(0.4)), ("fc5", Linear(K)),
    ], (3, 16, 16), ops, seed=3, dtype=dtype, name="small",
        preprocessing=Preprocessing(18, 16, (110, 115, 120), 1 / 64, order))
    for i, name in enumerate(net.params):
        if name.endswith("bias"):                                    # so that a bias forgotten shows
            net.params[name] = 0.1 * np.random.default_rng(i).standard_normal(net.params[name].shape)
    return net


def images(N=3, dtype="float64", seed=0):
    return np.random.default_rng(seed).standard_normal((N, 3, 16, 16)).astype(dtype)


def host(ops, found):
    """Return what an operation gave as arrays of NumPy, after checking that it was on the device."""
    if isinstance(found, dict):
        return {key: host(ops, each) for key, each in found.items()}
    if isinstance(found, (tuple, list)):
        return [host(ops, each) for each in found]
    assert type(found) is ops.xp.ndarray, f"{type(found)} is not on the device"
    return ops.to_numpy(found)


def assert_same(found, expected, limit=1e-9):
    """Compare arrays, or containers of them; the limit is relative to the largest of each array."""
    if isinstance(expected, dict):
        assert list(found) == list(expected)
        found, expected = found.values(), expected.values()
    if isinstance(expected, np.ndarray):
        assert type(found) is np.ndarray
        assert found.dtype == expected.dtype
        if expected.dtype.kind == "f":
            assert relative_error(found, expected) <= limit
        else:
            np.testing.assert_array_equal(found, expected)
    else:
        for one, other in zip(found, expected, strict=True):
            assert_same(one, other, limit)


def drawing_alike(device_ops, name="numpy"):
    """Return a backend of the processor that takes its dropout masks from the device's."""
    ops = zf.get_ops(name)
    ops._dropout_mask = lambda *args: device_ops.to_numpy(device_ops._dropout_mask(*args))
    return ops


@pytest.fixture(scope="module")
def device_ops(any_device_ops):
    """Here a GPU takes its turn beside the stand-in, where there is one."""
    return any_device_ops


@pytest.fixture(scope="module")
def pair(device_ops):
    """The same network twice: (on the device, on NumPy arrays)."""
    return network(device_ops), network(NUMPY)


@pytest.fixture(scope="module")
def tapes(pair):
    """One pass of each of the pair: ((x, scores, tape), (x, scores, tape))."""
    inputs = [net.ops.asarray(images()) for net in pair]
    return [(x, *net.forward(x)) for net, x in zip(pair, inputs)]


# ---- forward, backward, training ------------------------------------------------------------------------------------

@pytest.mark.parametrize(("dtype", "limit"), [("float64", 1e-9), ("float32", 1e-5)])
@pytest.mark.parametrize("train", [False, True])
def test_forward_and_backward(device_ops, dtype, limit, train):
    results = []
    for ops in (device_ops, drawing_alike(device_ops)):
        net = network(ops, dtype)
        scores, tape = net.forward(ops.asarray(images(dtype=dtype)), train=train)
        loss, dscores = softmax_cross_entropy(scores, np.array([1, 0, 7]))
        assert type(loss) is float
        results.append([host(ops, each) for each in (scores, dscores, net.backward(dscores, tape))] + [np.array(loss)])
    assert_same(*results, limit)


def test_two_ways_down_add_up(device_ops):
    """Gradients that meet at a node, whole images, averages of whole maps, and frozen layers."""
    results = []
    for ops in (device_ops, NUMPY):
        net = Network([("conv1", Conv2d(4, 3)), ("left", Conv2d(3, 1), "conv1"), ("right", Conv2d(2, 3, pad=1), "conv1"),
                       ("both", Concatenate(), ["left", "right", "conv1"]), ("gap", GlobalAvgPool()), ("fc", Linear(4))],
                      (3, 16, 16), ops, dtype="float64")
        net.freeze("right")
        scores, tape = net.forward(ops.asarray(images()))
        down = [project(net, ops.asarray(images()), "both", (5,), rule, tape) for rule in RULES]
        results.append(host(ops, [scores, net.backward(scores, tape), down]))
    assert_same(*results)


def test_looking_at_a_pass(pair, tapes):
    results = []
    for net, (x, _, tape) in zip(pair, tapes):
        found = [net.activations(x, ["conv1", "relu1", "both", "fc4"]), net.probabilities(x), net.scores(x),
                 [net.value(name, tape) for name in net.nodes], net.tape_to("conv2", x).values["conv2"]]
        results.append(host(net.ops, found))
    assert_same(*results)


def test_the_loss_takes_labels_from_anywhere(device_ops):
    scores, labels = images(4)[:, 0, 0], [3, 0, 15, 2]
    expected, dscores = softmax_cross_entropy(scores, np.array(labels))
    there = device_ops.asarray(scores)
    for given in (labels, np.array(labels), device_ops.asarray(np.array(labels))):
        loss, found = softmax_cross_entropy(there, given)
        assert loss == pytest.approx(expected, rel=1e-12)
        assert_same(host(device_ops, found), dscores)
    assert_same(host(device_ops, softmax(there)), softmax(scores))


@pytest.mark.parametrize("init", ["he", "paper"])
def test_steps(device_ops, init):
    """Momentum, weight decay, dropout and the paper's renormalization of filters, three steps long."""
    results = []
    for ops in (device_ops, drawing_alike(device_ops)):
        net = network(ops)
        sgd = SGD(net, 0.05, 0.9, 5e-4, max_filter_rms=0.2 if init == "paper" else None)
        for step in range(3):
            scores, tape = net.forward(ops.asarray(images(4, seed=step)), train=True)
            sgd.step(net.backward(softmax_cross_entropy(scores, np.arange(4))[1], tape, keep_tape=False))
        results.append(host(ops, [net.params, sgd.velocity]))
    assert_same(*results)


def test_parameters_are_set_from_either_side(device_ops):
    net = network(device_ops, "float32")
    given = np.random.default_rng(0).standard_normal(net.params["conv2.weight"].shape)
    for value in (given, device_ops.asarray(given), device_ops.asarray(given, dtype="float32")):
        net.params["conv2.weight"][...] = 0
        net.params["conv2.weight"] = value
        assert_same(host(device_ops, net.nodes["conv2"].layer.params["weight"]), given.astype("float32"))
    for value in (given[:3], device_ops.asarray(given[:3])):
        with pytest.raises(ShapeError, match=r"conv2.weight has shape \(8, 3, 3, 3\), got \(3, 3, 3, 3\)"):
            net.params["conv2.weight"] = value


# ---- runs -----------------------------------------------------------------------------------------------------------

@pytest.fixture(scope="module")
def drawn():
    """(train, val): a few sketches."""
    return tuple(sketches.load(count, size=24, seed=seed, cache=False, processes=1) for seed, count in enumerate((20, 10)))


def start(ops, drawn, out, **settings):
    given = {"epochs": 1, "batch_size": 6, "lr": 0.02, "warmup": 2, "augment_pad": 2, "max_filter_rms": 0.3, "seed": 5}
    return Run(network(ops), *drawn, Settings(**(given | settings)), out)


def results_of(run):
    history = [[value for key, value in line.items() if key not in NOT_RESULTS] for line in run.progress.history]
    return [*host(run.net.ops, [run.net.params, run.optimizer.velocity]), np.array(history)]


@pytest.fixture(scope="module")
def runs(device_ops, drawn, tmp_path_factory):
    """A run of two epochs with numpy, and the folders of runs of one epoch on (the device, numpy)."""
    folders, alike = tmp_path_factory.mktemp("runs"), drawing_alike(device_ops)
    whole = start(alike, drawn, folders / "whole", epochs=2)
    whole.go()
    halves = [start(ops, drawn, folders / ops.name) for ops in (device_ops, alike)]
    for half in halves:
        half.go()
    assert_same(*map(results_of, halves), 1e-7)
    return whole, [half.out for half in halves]


@pytest.mark.parametrize(("before", "after"), [("cupy", "numpy"), ("numpy", "cupy"), ("cupy", "cupy"), ("cupy", "numba")])
def test_a_run_goes_on_wherever_it_began(device_ops, drawn, runs, tmp_path, before, after):
    whole, folders = runs
    folder = folders[0 if before == "cupy" else 1]
    ops = device_ops if after == "cupy" else drawing_alike(device_ops, after)
    run = Run.resume(folder, *drawn, ops=ops, out=tmp_path, epochs=2)
    run.go()
    assert type(run.net.params["conv1.weight"]) is ops.xp.ndarray
    assert_same(results_of(run), results_of(whole), 1e-7)


def test_an_interrupted_epoch_goes_on(device_ops, drawn, runs, tmp_path):
    run = start(device_ops, drawn, tmp_path, epochs=2)
    batches = run.train_loader.batches

    def watched(epoch=0, start=0):
        for batch in batches(epoch, start):
            if run.train_loader.place == 2:
                signal.raise_signal(signal.SIGINT)
            yield batch

    run.train_loader.batches = watched
    run.go()
    assert run.interrupted
    again = Run.resume(tmp_path, *drawn, ops=device_ops)
    again.go()
    assert_same(results_of(again), results_of(runs[0]), 1e-7)


def test_checkpoints_say_the_same(runs):
    ours, theirs = (checkpoint.read(folder / "last.safetensors") for folder in runs[1])
    assert ours.about == theirs.about
    assert_same(dict(sorted(ours.arrays.items())), dict(sorted(theirs.arrays.items())), 1e-7)


def test_weights_from_a_checkpoint(device_ops, runs):
    net = network(device_ops)
    assert checkpoint.init_from(net, runs[1][1] / "last.safetensors") == []
    assert_same(host(device_ops, dict(net.params)), dict(checkpoint.load(runs[1][1] / "last.safetensors", NUMPY).params))


def test_evaluation_and_prediction(pair, drawn):
    found = []
    for net in pair:
        whole = evaluate(net, Loader(drawn[1], 4, net.preprocessing, dtype="float64"))
        crops = evaluate(net, Loader(drawn[1], 40, net.preprocessing, dtype="float64"), ten_crop=True)
        x = net.prepare([drawn[1].image(i) for i in range(3)])
        many = net.preprocessing.ten_crop([drawn[1].image(0)])
        found.append([np.array([each.loss, each.top5, *each.confusion.flat]) for each in (whole, crops)])
        found[-1] += [predict(net, x), predict(net, many), host(net.ops, x)]
    assert_same(*found)


def test_what_is_not_finite_is_named(device_ops, drawn, tmp_path):
    net = network(device_ops)
    x = device_ops.asarray(images())
    assert first_not_finite(net, x) is None
    weight = net.params["conv2.weight"]
    weight[1, 0, 0, 0] = np.inf
    assert first_not_finite(net, x) == "conv2"
    assert first_not_finite(net, x * np.nan) == "input"
    with pytest.raises(TrainingError, match=r"conv2.weight is not finite any more"):
        Run(net, *drawn, Settings(epochs=1, batch_size=6), tmp_path).go()
    weight[1, 0, 0, 0] = 0
    with pytest.raises(TrainingError, match=r"the loss is (nan|inf) at step \d+ of epoch 1"):
        Run(net, *drawn, Settings(epochs=2, batch_size=6, lr=1e200), tmp_path).go()


def test_an_estimate_changes_nothing(device_ops):
    costs = []
    for ops in (device_ops, NUMPY):
        net = network(ops)
        before, state = host(ops, dict(net.params)), net.rng.bit_generator.state
        costs.append(estimate(net, 4, 2, 40, 10))
        assert net.rng.bit_generator.state == state
        assert_same(host(ops, dict(net.params)), before, 0)
    assert costs[0].step_seconds > 0
    assert costs[0].disk_bytes == costs[1].disk_bytes
    assert costs[0].memory_bytes > 0


def test_a_table_of_the_network(pair):
    assert str(pair[0]).splitlines()[1:] == str(pair[1]).splitlines()[1:]
    assert "on cupy" in str(pair[0])


# ---- projections ----------------------------------------------------------------------------------------------------

LAYERS = ["conv1", "pool1", "conv2", "relu2", "small", "both", "relu3", "fc4", "fc5"]


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("layer", LAYERS)
def test_projections(pair, tapes, layer, rule):
    results = []
    for net, (x, _, tape) in zip(pair, tapes):
        shape = net.shapes[layer]
        one = (1, shape[1] // 2, 0) if len(shape) == 3 else 1
        each = tuple(np.array([0, size - 1, size // 2]) for size in shape)
        moved = tuple(net.ops.asarray(part) for part in each)
        found = [project(net, x, layer, one, rule), project(net, x, layer, (2,), rule, tape),
                 project(net, x, layer, each, rule, tape), project(net, x, layer, moved, rule, tape),
                 project_units(net, tape, layer, [2, 0, 2], each, rule, batch=2),
                 project_units(net, tape, layer, np.array([1, 1]), (1,), rule)]
        found = host(net.ops, found)
        if len(shape) == 3:
            boxes, corners = project_boxes(net, tape, layer, [2, 0, 2], moved, rule)
            found += [host(net.ops, boxes), corners]
        results.append(found)
    assert_same(*results)


def test_images_of_units_may_be_on_the_device(pair, tapes):
    net, (_, _, tape) = pair[0], tapes[0]
    chosen = np.array([2, 0]), net.ops.asarray(np.array([2, 0]))
    assert_same(*(host(net.ops, project_units(net, tape, "conv2", images, ([1, 2], 0, 3))) for images in chosen))


def test_strongest_units_go_straight_back_into_a_projection(pair, tapes):
    results = []
    for net, (x, _, tape) in zip(pair, tapes):
        values, rows, cols = strongest_units(net.value("conv2", tape))
        results.append(host(net.ops, [values, rows, cols, project(net, x, "conv2", (3, rows[:, 3], cols[:, 3]))]))
    assert_same(*results)


def test_units_that_do_not_exist(pair, tapes):
    net, (x, _, tape) = pair[0], tapes[0]
    with pytest.raises(NodeError, match="conv2 has no channel 8"):
        project(net, x, "conv2", (net.ops.asarray(np.array([0, 8, 1])), 0, 0))
    with pytest.raises(ShapeError, match="other images than x"):
        project(net, x + 1, "conv2", (0, 0, 0), tape=tape)


def test_no_units_at_all(pair, tapes):
    net, (_, _, tape) = pair[0], tapes[0]
    assert project_units(net, tape, "conv2", np.zeros(0, int), (np.zeros(0, int),)).shape == (0, 3, 16, 16)


@pytest.mark.parametrize(("rule", "order"), [("deconvnet", "RGB"), ("guided", "BGR"), ("gradient", "RGB")])
def test_figure_2(device_ops, drawn, rule, order):
    results = []
    for ops in (device_ops, NUMPY):
        net = network(ops, order=order)
        loader = Loader(drawn[0], 7, net.preprocessing, dtype="float64")
        found = find_strongest(net, ((x, indices) for x, _, indices in loader.batches()), ["conv2", "relu3", "fc4"], top=3)
        shown = [project_strongest(net, one, drawn[0].image, maps=[0, 3, 2], rule=rule, batch=5) for one in found.values()]
        results.append([[value for value in vars(one).values() if isinstance(value, np.ndarray)] for one in shown])
        results[-1].append(colour_filters(net))
    assert_same(*results, 1e-6)


# ---- the command line -----------------------------------------------------------------------------------------------

def test_the_commands(fake_cupy, drawn, tmp_path, capsys, monkeypatch):
    """From images to figure 2, as a user gives it."""
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    for name in ("blue", "red"):
        (tmp_path / "photos" / name).mkdir(parents=True)
        for i in range(4):
            Image.fromarray(rng.integers(0, 255, (66, 70, 3), dtype=np.uint8)).save(tmp_path / "photos" / name / f"{i}.png")
    picture = "photos/red/1.png"
    for line in ("train photos --model tiny_vgg --batch-size 4 --epochs 1 --out run",
                 "evaluate run --data photos --out run/evaluation", f"predict run {picture} --ten-crop",
                 f"project run {picture} --layer conv1_2", "figure2 run --data photos --layers conv2_1 --maps 2 --top 2",
                 "info"):
        assert main([*line.split(), *(["--backend", "cupy"] if line != "info" else [])]) == 0, line
    assert "backend cupy: works" in capsys.readouterr().out


def test_pictures_in_memory(pair):
    """What prepare makes is on the device already."""
    rng = np.random.default_rng(0)
    album = ImageArray(rng.integers(0, 255, (2, 20, 22, 3), dtype=np.uint8), np.zeros(2, int), ["one"])
    x = [net.prepare([album.image(0), album.image(1)]) for net in pair]
    assert_same(host(pair[0].ops, x[0]), x[1])

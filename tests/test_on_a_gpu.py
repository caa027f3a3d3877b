"""The sizes of the paper, training to an accuracy, memory that ends: what is for a real GPU, `pytest -m gpu`.

One step at full size is taken on the stand-in too.
"""

from dataclasses import replace

import numpy as np
import pytest

import zfnumpy as zf
from zfnumpy.cli import main
from zfnumpy.data import sketches
from zfnumpy.estimate import largest_batch
from zfnumpy.train import Run, Settings
from zfnumpy.visualize import project, project_units

gpu = pytest.mark.gpu
MODES = pytest.mark.parametrize(("tf32", "limit"), [(False, 1e-4), (True, 2e-2)], ids=["float32", "tf32"])


def nearly(found, expected, limit):
    """Compare arrays by their largest difference beside the largest value."""
    assert np.abs(found - expected).max() <= limit * np.abs(expected).max()


@pytest.fixture(scope="module")
def inputs():
    return np.random.default_rng(0).standard_normal((4, 3, 224, 224)).astype("float32")


def compare_with_numba(ops, inputs, limit):
    """Compare ZFNet's scores and the gradients of all weights with the numba backend's; return both networks."""
    labels, nets, found = np.array([3, 1, 4, 1])[:len(inputs)], [], []
    for each in (ops, zf.get_ops("numba")):
        net = zf.models.zfnet(10, each, seed=1, dropout=0)
        scores, tape = net.forward(each.asarray(inputs), train=True)
        grads = net.backward(zf.loss.softmax_cross_entropy(scores, labels)[1], tape)
        found.append((each.to_numpy(scores), {name: each.to_numpy(grad) for name, grad in grads.items()}))
        nets.append(net)
    (scores, grads), (expected, expected_grads) = found
    nearly(scores, expected, limit)
    for name, grad in expected_grads.items():
        nearly(grads[name], grad, 10 * limit)             # rounding decides a pool's ties here and there
    return nets


def test_zfnet_at_full_size_on_the_stand_in(device_ops, inputs):
    compare_with_numba(device_ops, inputs[:1], 1e-5)


@gpu
@MODES
def test_zfnet_at_full_size(gpu_ops, inputs, tf32, limit):
    nets = compare_with_numba(gpu_ops(tf32=tf32), inputs, limit)
    picture, expected = (net.ops.to_numpy(project(net, net.ops.asarray(inputs), "conv2", (7, 13, 13), rule="gradient"))
                         for net in nets)
    assert np.mean(np.abs(picture - expected) > 10 * limit * np.abs(expected).max()) < 0.01


@gpu
def test_the_same_bits_in_every_run(gpu_ops, inputs):
    ends = []
    for _ in range(2):
        ops = gpu_ops()
        net = zf.models.zfnet(10, ops, seed=1)
        optimizer = zf.optim.SGD(net, 0.001, 0.9, 5e-4)
        for _ in range(3):
            scores, tape = net.forward(ops.asarray(inputs), train=True)
            optimizer.step(net.backward(zf.loss.softmax_cross_entropy(scores, np.arange(4))[1], tape))
        ends.append(b"".join(ops.to_numpy(w).tobytes() for w in net.params.values()))
    assert ends[0] == ends[1]


@gpu
def test_windows_show_what_whole_maps_show(gpu_ops, inputs):
    ops = gpu_ops()
    net, x = zf.models.zfnet(10, ops, seed=1), ops.asarray(inputs)
    tape = net.tape_to("relu5", x)
    images, maps = np.array([0, 1, 2, 3]), np.array([5, 0, 77, 255])
    whole = ops.to_numpy(project(net, x, "relu5", (maps,), tape=tape))
    nearly(ops.to_numpy(project_units(net, tape, "relu5", images, (maps,))), whole, 1e-5)


def accuracy(ops, folder):
    """Train the demo's network as the demo does and return its share of right answers on 1000 sketches."""
    train_set, val_set = sketches.load(6000, seed=0), sketches.load(1000, seed=1)
    net = zf.models.zfnet_mini(10, ops, seed=0, conv=(32, 64, 96, 96, 64), fc=(256, 256))
    net.preprocessing = replace(net.preprocessing, mean=zf.data.mean_colour(train_set, net.preprocessing.resize))
    zf.models.rescale_input(net, 4)
    settings = Settings(epochs=6, batch_size=32, lr=0.01, warmup=150, drop_at=(5,))
    return Run(net, train_set, val_set, settings, folder).go()[-1]["val_top1"]


@gpu
def test_training_reaches_numbas_accuracy(gpu_ops, tmp_path):
    expected = accuracy(zf.get_ops("numba"), tmp_path / "numba")
    assert expected > 0.9
    for tf32 in (False, True):
        assert accuracy(gpu_ops(tf32=tf32), tmp_path / f"tf32-{tf32}") > expected - 0.03


@gpu
def test_a_batch_beyond_the_memory_is_answered_with_one_that_fits(gpu_ops, capsys, tmp_path):
    line = ["train", "sketches:700", "--model", "zfnet_mini", "--backend", "cupy", "--epochs", "1", "--out", str(tmp_path)]
    pool = gpu_ops().xp.get_default_memory_pool()
    try:
        assert main([*line, "--batch-size", "600", "--gpu-memory", "300M"]) == 2
        fits = capsys.readouterr().err.split("--batch-size ")[-1].split(",")[0].split()[0]
        assert main([*line, "--batch-size", fits, "--gpu-memory", "300M", "--out", str(tmp_path / "again")]) == 0
    finally:
        pool.set_limit(size=0)


@gpu
def test_a_small_card_tells_the_batch_for_zfnet(gpu_ops):
    ops = gpu_ops(memory="6G")
    try:
        net = zf.models.zfnet(1000, ops)
        assert 8 < largest_batch(net, 4096) < 4096
    finally:
        ops.xp.get_default_memory_pool().set_limit(size=0)

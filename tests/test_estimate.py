"""What a run will cost: told without changing anything."""

import gc

import numpy as np
import pytest

from zfnumpy import models
from zfnumpy.estimate import PROGRAM, Estimate, estimate, forget_arrays, largest_batch, spoken_time
from zfnumpy.layers import Conv2d, Dropout, Flatten, Linear, MaxPool2d, ReLU
from zfnumpy.loss import softmax_cross_entropy
from zfnumpy.network import Network
from zfnumpy.optim import SGD

pytestmark = pytest.mark.usefixtures("quick_collections")


def network(ops, width=8, side=16):
    return Network([("conv1", Conv2d(width, 3, pad=1)), ("relu1", ReLU()), ("pool1", MaxPool2d(2)), ("flatten", Flatten()),
                    ("fc2", Linear(10)), ("relu2", ReLU()), ("drop2", Dropout(0.5)), ("fc3", Linear(3))],
                   (3, side, side), ops)


def test_it_changes_nothing(host_ops):
    net = network(host_ops)
    net.freeze(["conv1"])
    before = {name: w.tobytes() for name, w in net.params.items()}
    state = net.rng.bit_generator.state
    estimate(net, 4, 2, 100, 10)
    assert {name: w.tobytes() for name, w in net.params.items()} == before
    assert net.rng.bit_generator.state == state
    assert net.frozen == {"conv1"}


def test_memory_is_that_of_parameters_and_batch(host_ops):
    """All that grows with the batch grows in proportion, and holds at least what the tape must."""
    net = network(host_ops)
    weights = sum(w.nbytes for w in net.params.values())
    one, two, four = (estimate(net, batch, 1, 100, 10).memory_bytes for batch in (8, 16, 32))
    assert four - two == pytest.approx(2 * (two - one), rel=0.01)
    an_image = (two - one) / 8
    maps, image, pooled = 8 * 16 * 16 * 4, 3 * 16 * 16 * 4, 8 * 8 * 8 * 4
    least = 2 * maps + 4 * image + image + 2 * pooled                 # two gradients, the loader; x, pool1 and its switches
    assert least <= an_image < least + 4 * maps
    fixed = one - 8 * an_image
    assert fixed == pytest.approx(PROGRAM + 3 * weights, rel=1e-3)


def test_memory_of_the_paper_s_size_is_sane(host_ops):
    """Halved maps at batch 2: parameters thrice, and tens of megabytes."""
    net = models.zfnet_mini(10, host_ops)
    found = estimate(net, 2, 1, 10, 10)
    weights = sum(w.nbytes for w in net.params.values())
    assert PROGRAM + 3 * weights < found.memory_bytes < PROGRAM + 3 * weights + 64 * 2 ** 20


def test_time_and_disk_add_up(host_ops):
    net = network(host_ops)
    weights = sum(w.nbytes for w in net.params.values())
    found = estimate(net, 8, epochs=5, images=100, val_images=30)     # 13 steps an epoch
    assert found.step_seconds > 0
    assert found.run_seconds == pytest.approx(5 * (13 * found.step_seconds + 30 / 8 * found.step_seconds / 3))
    assert found.disk_bytes == 2 * weights * 3                        # last, best, and the one being written
    assert estimate(net, 8, 5, 100, 30, keep_all=True).disk_bytes == 2 * weights * 7


def test_it_reads_as_a_line():
    text = str(Estimate(0.51234, 7500, int(2.26 * 2 ** 30), 62 * 2 ** 20))
    assert text == "about 2.1 h (0.512 s a step), 2.3 GiB of memory, 62 MiB of disk"


@pytest.mark.parametrize(("seconds", "text"), [
    (0, "0 s"), (0.4, "0 s"), (12.6, "13 s"), (40, "40 s"), (89, "89 s"), (90, "2 min"), (100, "2 min"), (12 * 60, "12 min"),
    (80 * 60, "80 min"), (89 * 60, "89 min"), (90 * 60, "1.5 h"), (3.5 * 3600, "3.5 h"), (9.9 * 3600, "9.9 h"),
    (12 * 3600, "12 h"), (30 * 3600, "30 h"), (36 * 3600, "1.5 days"), (4.25 * 86400, "4.2 days"), (12 * 86400, "12 days"),
])
def test_spoken_time(seconds, text):
    assert spoken_time(seconds) == text


# ---- a device with a memory of its own ------------------------------------------------------------------------------

@pytest.fixture
def bounded(fake_cupy):
    """Bound the stand-in's memory at so many MiB above what a network takes, for the test."""
    pool = fake_cupy.get_default_memory_pool()

    def bound(net, mib):
        gc.collect()                                                  # what other tests left
        net.ops.release_memory()
        pool.set_limit(size=net.ops.device_memory()[0] + int(mib * 2**20))

    yield bound
    pool.set_limit(size=0)


def steps(net, optimizer, batch, count=3):
    """Take steps as a training does, the tape of the one before still there."""
    for _ in range(count):
        scores, tape = net.forward(net.ops.xp.zeros((batch, *net.input_shape), dtype="float32"), train=True)
        optimizer.step(net.backward(softmax_cross_entropy(scores, np.zeros(batch, int))[1], tape, keep_tape=False))


def has_room(net, optimizer, batch):
    net.ops.release_memory()
    try:
        steps(net, optimizer, batch)
    except MemoryError as error:
        forget_arrays(error)
        return False
    return True


@pytest.mark.parametrize(("mib", "too_large"), [(2, 128), (0.7, 33), (5, 500), (0.06, 4), (0.4, 1000)])
def test_the_largest_batch_has_room_and_a_larger_one_has_not(device_ops, bounded, mib, too_large):
    net = network(device_ops)
    optimizer = SGD(net, 0.01)                                        # its velocities are there before the first step
    bounded(net, mib)
    assert not has_room(net, optimizer, too_large)
    found = largest_batch(net, too_large)
    assert 0 < found < too_large
    assert has_room(net, optimizer, found)
    assert not has_room(net, optimizer, max(found + 1, found * 5 // 4))


def test_where_all_but_the_batch_given_has_room(device_ops, bounded):
    """Then it is near: what failed may have been a larger step, or another program's memory."""
    net = network(device_ops)
    bounded(net, 100)
    assert largest_batch(net, 48) in (45, 46, 47)
    assert largest_batch(net, 2) == 1
    assert largest_batch(net, 1) == 0


def test_where_not_one_image_has_room(device_ops, bounded):
    net = network(device_ops)
    bounded(net, 0.01)
    assert largest_batch(net, 64) == 0


def test_trials_change_nothing_and_leave_nothing(device_ops, bounded):
    net = network(device_ops)
    before = {name: device_ops.to_numpy(w).tobytes() for name, w in net.params.items()}
    bounded(net, 2)
    state, reserved = net.rng.bit_generator.state, device_ops.device_memory()[0]
    largest_batch(net, 128)
    try:                                                              # pytest.raises would hold the frames, and their arrays
        estimate(net, 128, 1, 100, 10)
    except MemoryError as error:
        forget_arrays(error)
        told = error.__notes__
    assert "in _two_steps" in told[0]                                 # where it was, in text
    assert net.rng.bit_generator.state == state
    assert {name: device_ops.to_numpy(w).tobytes() for name, w in net.params.items()} == before
    device_ops.release_memory()
    assert device_ops.device_memory()[0] <= reserved + 4096           # a table that convolutions keep


def test_memory_of_a_device_is_measured(device_ops, bounded):
    net = network(device_ops)
    bounded(net, 64)
    most = device_ops.device_memory()[1]
    found = estimate(net, 64, 1, 100, 10)
    assert found.on_device
    assert "GiB of device memory" in str(found)
    assert found.memory_bytes <= most
    bounded(net, 0)
    device_ops.xp.get_default_memory_pool().set_limit(size=found.memory_bytes)
    estimate(net, 64, 1, 100, 10)                                     # what it told is enough, and no more than enough
    device_ops.xp.get_default_memory_pool().set_limit(size=found.memory_bytes - 4096)
    with pytest.raises(MemoryError):
        estimate(net, 64, 1, 100, 10)


def test_the_processor_cannot_tell(host_ops):
    assert largest_batch(network(host_ops), 64) is None
    assert not estimate(network(host_ops), 4, 1, 100, 10).on_device

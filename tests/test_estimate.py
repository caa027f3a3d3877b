"""What a run will cost: told without changing anything."""

import pytest

from zfnumpy import models
from zfnumpy.estimate import PROGRAM, Estimate, estimate, spoken_time
from zfnumpy.layers import Conv2d, Dropout, Flatten, Linear, MaxPool2d, ReLU
from zfnumpy.network import Network


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

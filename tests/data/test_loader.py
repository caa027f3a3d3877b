"""The loader: the same bits always, few batches in memory, no threads left behind."""

import gc
import threading
import time
import weakref

import fake_cupy as stand_in
import numpy as np
import pytest
from PIL import Image

from zfnumpy.data import Augment, ImageArray, ImageFolder, Loader, Preprocessing, open_dataset
from zfnumpy.errors import DataError, DTypeError, ShapeError

PREPARE = Preprocessing(8, 6, [120, 110, 100])
IMAGES = np.random.default_rng(0).integers(0, 256, (23, 8, 9, 3), dtype=np.uint8)
LABELS = np.arange(23) % 4


class Watched(ImageArray):
    """Counts the pictures asked for, and can fail at some, or be slow."""

    def __init__(self, images=IMAGES, labels=LABELS, failing=(), error=DataError, pause=0):
        super().__init__(images, labels, "abcd")
        self.failing, self.error, self.pause, self.asked = set(failing), error, pause, 0
        self.lock = threading.Lock()

    def image(self, i):
        with self.lock:
            self.asked += 1
        time.sleep(self.pause)
        if i in self.failing:
            raise self.error(f"cannot read picture {i}")
        return super().image(i)


def interrupted(loader):
    for _ in loader.batches():
        raise KeyboardInterrupt


def loader_threads():
    return [thread for thread in threading.enumerate() if thread.name.startswith("zfnumpy-loader")]


@pytest.fixture(autouse=True)
def no_thread_is_left():
    yield
    assert loader_threads() == []


def assert_same_batches(one, other):
    one, other = list(one), list(other)
    assert len(one) == len(other)
    for a, b in zip(one, other):
        for part, expected in zip(a, b):
            np.testing.assert_array_equal(part, expected)


def test_in_order_without_shuffling():
    loader = Loader(Watched(), 5, PREPARE)
    batches = list(loader.batches())
    assert len(loader) == len(batches) == 5
    assert [len(x) for x, _, _ in batches] == [5, 5, 5, 5, 3]
    x, labels, indices = (np.concatenate(parts) for parts in zip(*batches))
    assert (x.dtype, labels.dtype, indices.dtype) == (np.float32, np.int64, np.int64)
    np.testing.assert_array_equal(indices, np.arange(23))
    np.testing.assert_array_equal(labels, LABELS)
    np.testing.assert_array_equal(x, PREPARE(IMAGES))


def test_shuffled_epochs():
    loader = Loader(Watched(), 4, PREPARE, shuffle=True, seed=3)
    epochs = []
    for epoch in range(3):
        x, labels, indices = (np.concatenate(parts) for parts in zip(*loader.batches(epoch)))
        assert sorted(indices) == list(range(23))
        np.testing.assert_array_equal(labels, LABELS[indices])
        np.testing.assert_array_equal(x, PREPARE(IMAGES[indices]))
        epochs.append(tuple(indices))
    assert len(set(epochs)) == 3
    assert tuple(np.concatenate([i for _, _, i in loader.batches(1)])) == epochs[1]
    other = Loader(Watched(), 4, PREPARE, shuffle=True, seed=4)
    assert tuple(np.concatenate([i for _, _, i in other.batches(0)])) not in epochs


@pytest.mark.parametrize(("threads", "prefetch"), [(1, 1), (2, 3), (5, 8)])
@pytest.mark.parametrize("start", [0, 2, 6])
def test_same_bits_whatever_the_threads_and_the_start(threads, prefetch, start):
    once = list(Loader(Watched(), 4, PREPARE, Augment(pad=2), shuffle=True, seed=1).batches(2))
    loader = Loader(
        Watched(failing=[], pause=0.0005), 4, PREPARE, Augment(pad=2), shuffle=True, seed=1,
        threads=threads, prefetch=prefetch,
    )  # fmt: skip
    assert_same_batches(loader.batches(2, start=start), once[start:])


def test_augmentation_depends_on_seed_epoch_and_index_alone():
    def by_index(shuffle, epoch, seed=0, batch_size=4, failing=()):
        loader = Loader(Watched(failing=failing), batch_size, PREPARE, Augment(), shuffle=shuffle, seed=seed)
        return {i: row for x, _, indices in loader.batches(epoch) for i, row in zip(indices, x)}

    first = by_index(shuffle=False, epoch=0)
    for same in (by_index(True, 0), by_index(True, 0, batch_size=7), by_index(False, 0, failing=[0, 5])):
        assert all((row == first[i]).all() for i, row in same.items())
    for other in (by_index(False, 1), by_index(False, 0, seed=1)):
        assert sum((row != first[i]).any() for i, row in other.items()) > 15


def test_leaving_the_loop_ends_the_threads():
    loader = Loader(Watched(pause=0.001), 4, PREPARE, threads=3)
    for _ in loader.batches():
        assert loader_threads()
        break
    assert loader_threads() == []
    with pytest.raises(KeyboardInterrupt):
        interrupted(loader)
    assert loader_threads() == []
    iterator = loader.batches()
    next(iterator)
    iterator.close()
    assert loader_threads() == []
    loader.batches()  # never begun: nothing to end
    assert loader_threads() == []


def test_leaving_does_not_wait_for_whole_batches():
    data = Watched(np.zeros((400, 8, 8, 3), np.uint8), np.zeros(400, int), failing=[5], error=RuntimeError, pause=0.02)
    began = time.perf_counter()
    with pytest.raises(RuntimeError, match="cannot read picture 5"):
        list(Loader(data, 200, PREPARE, threads=2).batches())
    assert time.perf_counter() - began < 2  # the other thread's batch takes 4 seconds
    assert loader_threads() == []


def wait_until_asked(data, count):
    """Wait until so many pictures were asked for: no fewer, no more."""
    deadline = time.perf_counter() + 5
    while data.asked < count and time.perf_counter() < deadline:
        time.sleep(0.0005)
    time.sleep(0.001)
    assert data.asked == count


def test_few_batches_are_prepared_ahead():
    data = Watched(np.zeros((200, 8, 8, 3), np.uint8), np.zeros(200, int))
    handed = 0
    for x, _, _ in Loader(data, 5, PREPARE, threads=4, prefetch=3).batches():
        handed += len(x)
        wait_until_asked(data, min(200, handed + 3 * 5))  # three batches beyond the one in use


def test_the_loader_holds_on_to_no_batch_it_has_handed_over():
    iterator = Loader(Watched(), 4, PREPARE).batches()
    held = [weakref.ref(next(iterator)[0].base) for _ in range(3)]
    gc.collect()
    assert [ref() is None for ref in held[:2]] == [True, True]
    iterator.close()


def test_unreadable_pictures_are_left_out_and_named_once():
    data = Watched(failing=[1, 8, 9, 10, 11, 22])
    loader = Loader(data, 4, PREPARE)
    for _ in range(2):
        batches = list(loader.batches())
        assert [len(x) for x, _, _ in batches] == [3, 4, 4, 4, 2]  # that of 8 to 11 is passed over
        indices = np.concatenate([i for _, _, i in batches])
        np.testing.assert_array_equal(indices, [i for i in range(23) if i not in data.failing])
        np.testing.assert_array_equal(np.concatenate([x for x, _, _ in batches]), PREPARE(IMAGES[indices]))
        np.testing.assert_array_equal(np.concatenate([y for _, y, _ in batches]), LABELS[indices])
        assert loader.skipped == [(f"picture {i}", f"cannot read picture {i}") for i in sorted(data.failing)]


def test_an_epoch_without_a_readable_picture_is_refused():
    loader = Loader(Watched(failing=range(23)), 4, PREPARE)
    with pytest.raises(DataError, match=r"none of 23 pictures .* cannot read picture 0"):
        list(loader.batches())
    assert len(loader.skipped) == 23
    last = Loader(Watched(failing=[20, 21, 22]), 5, PREPARE)
    assert list(last.batches(start=4)) == []


@pytest.mark.parametrize("error", [RuntimeError, MemoryError, KeyError])
def test_other_exceptions_reach_the_caller(error):
    loader = Loader(Watched(failing=[13], error=error), 4, PREPARE)
    iterator = loader.batches()
    for _ in range(3):
        next(iterator)
    with pytest.raises(error, match="cannot read picture 13"):
        next(iterator)
    assert loader_threads() == []


def test_settings_that_never_fit_are_told_at_once():
    with pytest.raises(ShapeError, match="padding by 9"):
        next(Loader(Watched(), 4, PREPARE, Augment(pad=9)).batches())


def test_drop_last_and_dtype():
    loader = Loader(Watched(), 5, PREPARE, drop_last=True, dtype="float64")
    batches = list(loader.batches())
    assert len(loader) == len(batches) == 4
    assert batches[0][0].dtype == np.float64
    np.testing.assert_array_equal(batches[0][0], PREPARE(IMAGES[:5]))
    assert len(Loader(Watched(), 23, PREPARE, drop_last=True)) == 1


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({"batch_size": 0}, "batch_size .* got 0"),
        ({"threads": 0}, "threads .* got 0"),
        ({"prefetch": 1.5}, "prefetch .* got 1.5"),
        ({"seed": -1}, "seed .* got -1"),
        ({"batch_size": 24, "drop_last": True}, "23 pictures .* 24"),
        ({"dtype": "float16"}, "float16"),
    ],
)
def test_settings_that_do_not_fit_the_loader(settings, expected):
    with pytest.raises((DataError, DTypeError), match=expected):
        Loader(Watched(), **{"batch_size": 4, "preprocessing": PREPARE, **settings})


def test_batches_that_do_not_exist():
    loader = Loader(Watched(), 4, PREPARE)
    assert list(loader.batches(start=6)) == []
    for arguments in [{"start": 7}, {"start": -1}, {"epoch": -1}, {"epoch": 0.5}]:
        with pytest.raises(DataError, match=str(*arguments.values())):
            loader.batches(**arguments)
    with pytest.raises(DataError, match="no pictures"):
        Loader(Watched().subset([]), 4, PREPARE)


def test_files_on_disk(tmp_path):
    for name in "ab":
        (tmp_path / name).mkdir()
        for i in range(3):
            Image.fromarray(IMAGES[i]).save(tmp_path / name / f"{i}.png")
    (tmp_path / "a" / "1.png").write_bytes((tmp_path / "a" / "0.png").read_bytes()[:80])
    (tmp_path / "b" / "2.png").write_text("no picture")
    loader = Loader(ImageFolder(tmp_path), 4, PREPARE)
    x, labels, indices = (np.concatenate(parts) for parts in zip(*loader.batches()))
    assert indices.tolist() == [0, 2, 3, 4]
    assert labels.tolist() == [0, 0, 1, 1]
    np.testing.assert_array_equal(x, PREPARE(IMAGES[[0, 2, 0, 1]]))
    assert [name for name, _ in loader.skipped] == [str(tmp_path / "a" / "1.png"), str(tmp_path / "b" / "2.png")]


# ---- with a feeder: pictures are prepared on the device -------------------------------------------------------------

MEAN_IMAGE = np.random.default_rng(1).uniform(0, 255, (3, 8, 8))
PREPARATIONS = {
    "colour": PREPARE,
    "mean image, BGR, scaled": Preprocessing(8, 6, MEAN_IMAGE, 0.017, "BGR"),
    "no room": Preprocessing(8, 8, MEAN_IMAGE),
    "an odd margin": Preprocessing(9, 4, [1, 2, 3], order="BGR"),
}


def on_host(ops, batches):
    for x, labels, indices in batches:
        assert type(x) is ops.xp.ndarray
        yield ops.to_numpy(x), labels, indices


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("augment", [None, Augment(), Augment(pad=3), Augment(flip=False, pad=1)])
@pytest.mark.parametrize("preprocessing", PREPARATIONS.values(), ids=PREPARATIONS)
def test_fed_batches_have_the_same_bits(device_ops, preprocessing, augment, dtype):
    settings = {"augment": augment, "shuffle": True, "seed": 2, "dtype": dtype}
    host = Loader(Watched(), 5, preprocessing, **settings)
    fed = Loader(Watched(pause=0.0002), 5, preprocessing, **settings, feeder=device_ops.feeder(), threads=3)
    for epoch, start in ((0, 0), (1, 0), (1, 3), (1, 5)):
        expected = list(host.batches(epoch, start))
        found = list(on_host(device_ops, fed.batches(epoch, start)))
        assert_same_batches(found, expected)
        assert [x.dtype for x, _, _ in found] == [dtype] * len(expected)
        assert fed.place == host.place == len(fed) == 5


@pytest.mark.parametrize("failing", [[1, 22], [0, 1, 2, 3], [8, 9, 10, 11], [20, 21, 22], [0, 1, 2, 3, *range(8, 23)]])
@pytest.mark.parametrize("prefetch", [1, 3])
def test_fed_batches_leave_out_the_same_pictures(device_ops, failing, prefetch):
    def seen(feeder, start):
        loader = Loader(Watched(failing=failing), 4, PREPARE, Augment(pad=2), prefetch=prefetch, feeder=feeder)
        steps = [(device_ops.to_numpy(x) if feeder else x, labels, indices, loader.place, tuple(loader.skipped))
                 for x, labels, indices in loader.batches(0, start)]
        return [*steps, (loader.place, loader.skipped)]

    for start in (0, 1, 3):
        *found, end = seen(device_ops.feeder(), start)
        *expected, expected_end = seen(None, start)
        assert end == expected_end
        assert [step[3:] for step in found] == [step[3:] for step in expected]
        assert_same_batches([step[:3] for step in found], [step[:3] for step in expected])


def test_a_fed_epoch_without_a_readable_picture_is_refused(device_ops):
    with pytest.raises(DataError, match=r"none of 23 pictures .* cannot read picture 0"):
        list(Loader(Watched(failing=range(23)), 4, PREPARE, feeder=device_ops.feeder()).batches())


@pytest.mark.parametrize("error", [RuntimeError, MemoryError])
def test_other_exceptions_reach_the_caller_of_a_fed_loader(device_ops, error):
    with pytest.raises(error, match="cannot read picture 13"):
        list(Loader(Watched(failing=[13], error=error), 4, PREPARE, feeder=device_ops.feeder()).batches())
    with pytest.raises(ShapeError, match="padding by 9"):
        next(Loader(Watched(), 4, PREPARE, Augment(pad=9), feeder=device_ops.feeder()).batches())


def test_the_next_batch_is_under_way_while_one_is_in_use(device_ops):
    feeder = device_ops.feeder()
    sent = [feeder.sent for _ in Loader(Watched(), 5, PREPARE, feeder=feeder).batches()]
    assert sent == [2, 3, 4, 5, 5]


def test_few_fed_batches_are_held(device_ops, monkeypatch):
    """In pinned memory those prepared ahead, the one on its way and the one in use; on the device two, and one x."""
    pinned, feeder, pool = [], device_ops.feeder(), stand_in.get_default_memory_pool()
    alloc = stand_in.cuda.alloc_pinned_memory

    def noted(size):
        memory = alloc(size)
        pinned.append(weakref.ref(memory))
        return memory

    monkeypatch.setattr(stand_in.cuda, "alloc_pinned_memory", noted)
    gc.collect()
    data, before = Watched(np.zeros((200, 8, 8, 3), np.uint8), np.zeros(200, int)), pool.used_bytes()
    handed, most = 0, 0
    for x, _, _ in Loader(data, 5, PREPARE, threads=4, prefetch=3, feeder=feeder).batches():
        handed += len(x)
        wait_until_asked(data, min(200, handed + 4 * 5))
        assert sum(memory() is not None for memory in pinned) <= 3 * (3 + 2)           # three arrays a batch
        most = max(most, pool.used_bytes() - before)
    assert len(pinned) == 3 * 40
    assert most <= 2 * (1024 + 512 + 512) + 2560 + 512 + 512                           # whole units of 512 bytes


def test_leaving_a_fed_loop_ends_the_threads_and_spoils_nothing(device_ops):
    loader = Loader(Watched(pause=0.001), 4, PREPARE, Augment(), threads=3, feeder=device_ops.feeder())
    expected = list(Loader(Watched(), 4, PREPARE, Augment()).batches())
    for steps in (1, 2, 3):
        iterator = loader.batches()
        for _ in range(steps):
            next(iterator)
        assert loader_threads()
        iterator.close()
        assert loader_threads() == []
        assert_same_batches(on_host(device_ops, loader.batches()), expected)
    with pytest.raises(KeyboardInterrupt):
        interrupted(loader)
    assert loader_threads() == []


def test_real_photographs_load(real_data):
    train, _ = open_dataset(real_data / "tiny-imagenet-20")
    loader = Loader(train, 128, Preprocessing(64, 64, [120, 110, 100]), Augment(pad=4), shuffle=True)
    x, labels, indices = next(loader.batches())
    assert x.shape == (128, 3, 64, 64)
    assert 30 < x.std() < 100
    np.testing.assert_array_equal(labels, train.labels[indices])
    assert loader.skipped == []

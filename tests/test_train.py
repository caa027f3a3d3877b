"""Training: it learns, stops and goes on to the same bits, keeps its files whole, and says what went wrong."""

import errno
import json
import signal
import threading
from pathlib import Path

import numpy as np
import pytest
from safetensors import SafetensorError

import zfnumpy as zf
from zfnumpy import checkpoint, train
from zfnumpy.data import ImageArray, Preprocessing
from zfnumpy.errors import CheckpointError, DataError, TrainingError, ZFNumpyError
from zfnumpy.evaluate import Evaluation, evaluate
from zfnumpy.layers import Conv2d, Dropout, Flatten, Linear, LocalResponseNorm, MaxPool2d, ReLU
from zfnumpy.loss import softmax_cross_entropy
from zfnumpy.network import Network
from zfnumpy.train import BEST, LAST, Progress, Run, Settings, first_not_finite

CLASSES = ["red", "green", "blue"]
TIMES = ("seconds", "images_per_second")


def pictures(count, side=18, seed=0):
    """Noise with more of the colour that a picture's class names: not linear by a pixel, easy by the whole."""
    rng = np.random.default_rng(seed)
    labels = np.arange(count) % len(CLASSES)
    images = rng.integers(0, 156, (count, side, side + 2, 3), dtype=np.uint8)
    images[np.arange(count), :, :, labels] += 100
    return ImageArray(images, labels, CLASSES)


TRAIN, VAL = pictures(36), pictures(12, seed=1)
STEPS = 5                                         # batches an epoch, of 8 pictures, the last of 4
QUICK = {"epochs": 3, "batch_size": 8, "lr": 0.02, "augment_pad": 2, "seed": 5}


class Broken(ImageArray):
    """Pictures of which some cannot be read."""

    def __init__(self, whole, failing):
        super().__init__(whole.images, whole.labels, whole.classes)
        self.failing = set(failing)

    def image(self, i):
        if i in self.failing:
            raise DataError(f"cannot read picture {i}")
        return super().image(i)


def network(ops, classes=3, init="he", seed=0):
    """A network with everything that a resume could forget: dropout, normalization, two pools, five layers that learn."""
    scale = 1.0 if init == "paper" else 1 / 64
    return Network([
        ("conv1", Conv2d(6, 3, pad=1)), ("relu1", ReLU()), ("pool1", MaxPool2d(2)), ("norm1", LocalResponseNorm()),
        ("conv2", Conv2d(7, 3, pad=1)), ("relu2", ReLU()), ("conv3", Conv2d(8, 3, pad=1)), ("relu3", ReLU()),
        ("pool3", MaxPool2d(3, 2)), ("flatten", Flatten()),
        ("fc4", Linear(12)), ("relu4", ReLU()), ("drop4", Dropout(0.4)), ("fc5", Linear(classes)),
    ], (3, 16, 16), ops, seed, init=init, name="small", preprocessing=Preprocessing(18, 16, (110, 115, 120), scale))


def start(ops, out, train_set=TRAIN, val_set=VAL, net=None, **settings):
    return Run(net or network(ops), train_set, val_set, Settings(**(QUICK | settings)), out)


def before_step(run, act):
    """Call act(epoch, place, x) before every training step, in the main thread, with the batches counted from 1."""
    loader, batches = run.train_loader, run.train_loader.batches

    def watched(epoch=0, start=0):
        for x, labels, indices in batches(epoch, start):
            act(epoch, loader.place, x)
            yield x, labels, indices

    loader.batches = watched
    return run


def test_what_a_step_tells_is_read_before_it_goes_back(tmp_path, monkeypatch):
    """A device is waited for at the loss; waited for after the update too, it would lie idle between the steps."""
    def noted(what, function):
        return lambda *args: done.append(what) or function(*args)

    ops, done = zf.get_ops("numpy"), []
    run = start(ops, tmp_path / "run", epochs=1)
    monkeypatch.setattr(ops, "to_numpy", noted("read", ops.to_numpy))
    monkeypatch.setattr(run.optimizer, "step", noted("updated", run.optimizer.step))
    with train._Interrupts() as interrupts:
        run._epoch(interrupts)
    assert done == ["read", "updated"] * STEPS


def stopped_at(run, epoch, place):
    """Have Ctrl-C come during one training step."""
    return before_step(run, lambda e, p, _: signal.raise_signal(signal.SIGINT) if (e, p) == (epoch, place) else None)


def trace(run):
    """All that must be the same at the end, however often a run was stopped."""
    progress = run.progress
    return {
        "params": {name: w.tobytes() for name, w in run.net.params.items()},
        "velocity": {name: v.tobytes() for name, v in run.optimizer.velocity.items()},
        "rng": run.net.rng.bit_generator.state, "frozen": run.net.frozen,
        "progress": (progress.epoch, progress.step, progress.lr, progress.best, progress.stalled),
        "history": timeless(progress.history),
    }


def timeless(history):
    return [{key: value for key, value in line.items() if key not in TIMES} for line in history]


def log_lines(folder):
    """Read log.jsonl as strict JSON."""
    def refuse(text):
        raise AssertionError(f"{text} is not JSON")

    return [json.loads(line, parse_constant=refuse) for line in Path(folder, "log.jsonl").read_text().splitlines()]


def contents(folder):
    return {path.name: path.read_bytes() for path in Path(folder).iterdir()}


@pytest.fixture(autouse=True)
def ctrl_c_is_as_before():
    before = signal.getsignal(signal.SIGINT)
    yield
    assert signal.getsignal(signal.SIGINT) is before


# ---- it learns ------------------------------------------------------------------------------------------------------

def test_training_lowers_the_loss(host_ops, tmp_path):
    data = pictures(40, side=64)
    net = zf.models.zfnet_mini(3, host_ops, seed=0, conv=(4, 6, 8, 8, 6), fc=(12,), dropout=0)
    run = Run(net, data, data, Settings(epochs=6, batch_size=8, lr=0.01), tmp_path)
    history = run.go()
    assert history[-1]["loss"] < 0.6 * history[0]["loss"]
    assert history[-1]["val_top1"] > 0.8
    assert not run.interrupted


def test_the_history_tells_what_happened(host_ops, tmp_path):
    seen = []
    run = start(host_ops, tmp_path)
    history = run.go(on_epoch=lambda lines: seen.append(len(lines)))
    assert seen == [1, 2, 3]
    assert [line["epoch"] for line in history] == [1, 2, 3]
    found = evaluate(run.net, run.val_loader)
    last = history[-1]
    assert (last["val_top1"], last["val_top5"], last["val_loss"]) == (found.top1, found.top5, found.loss)
    assert last["val_top5"] == 1.0                                    # of three classes
    assert {line["lr"] for line in history} == {0.02}
    assert all(0 < line["loss"] < 2 and 0 <= line["top1"] <= 1 and line["skipped"] == 0 for line in history)
    assert all(line["seconds"] >= 0 and line["images_per_second"] > 0 for line in history)


def test_the_training_loss_is_the_mean_over_pictures_not_batches(host_ops, tmp_path):
    """With a rate so low that nothing moves and without chance, it is the loss of the network as it was made."""
    net = Network([("flatten", Flatten()), ("fc", Linear(3))], (3, 16, 16), host_ops,
                  preprocessing=Preprocessing(16, 16, (110, 115, 120), 1 / 64))
    scores = net.scores(net.prepare(list(TRAIN.images)))
    losses = [softmax_cross_entropy(scores[i:i + 1], TRAIN.labels[i:i + 1])[0] for i in range(36)]
    line, = Run(net, TRAIN, VAL, Settings(epochs=1, batch_size=8, lr=1e-12, flip=False), tmp_path).go()
    assert line["loss"] == pytest.approx(np.mean(losses), rel=1e-6)
    assert line["top1"] == pytest.approx((scores.argmax(axis=1) == TRAIN.labels).mean())


# ---- stopped and resumed: the same bits -----------------------------------------------------------------------------

@pytest.fixture(scope="module")
def never_stopped(tmp_path_factory):
    """The trace of a run that was never stopped, by backend and settings."""
    found = {}

    def run(ops, freeze=(), train_set=TRAIN, **settings):
        key = (ops.name, freeze, id(train_set), tuple(sorted(settings.items())))
        if key not in found:
            net = network(ops)
            net.freeze(freeze)
            one = start(ops, tmp_path_factory.mktemp("run"), train_set, net=net, **settings)
            one.go()
            found[key] = trace(one)
        return found[key]

    return run


STOPS = {
    "the first step": [(0, 1)],
    "the middle of an epoch": [(1, 3)],
    "the last step of an epoch": [(0, STEPS)],
    "the first step of a later epoch": [(2, 1)],
    "the last step but one": [(1, STEPS - 1)],
    "twice in an epoch": [(1, 2), (1, 4)],
    "two steps in a row": [(0, 2), (0, 3)],
    "the last step and the next": [(0, STEPS), (1, 1)],
    "in every epoch": [(0, 4), (1, 1), (2, 5)],
}


@pytest.mark.parametrize("stops", STOPS.values(), ids=STOPS)
def test_resumed_to_the_same_bits(host_ops, tmp_path, never_stopped, stops):
    run = start(host_ops, tmp_path)
    for epoch, place in stops:
        stopped_at(run, epoch, place).go()
        finished = place == STEPS
        assert (run.progress.epoch, run.progress.step) == ((epoch + 1, 0) if finished else (epoch, place))
        assert run.interrupted == (run.progress.epoch < 3)
        run = Run.resume(tmp_path, TRAIN, VAL, host_ops)
    run.go()
    assert trace(run) == never_stopped(host_ops)
    assert timeless(log_lines(tmp_path)) == never_stopped(host_ops)["history"]


@pytest.mark.parametrize("settings", [
    {"freeze": ("conv1", "fc4")}, {"patience": 1, "lr": 1e-7}, {"drop_at": (1,)}, {"flip": False, "augment_pad": 0},
    {"max_filter_rms": 0.1}, {"keep_all": True}, {"warmup": 13}, {"momentum": 0.0, "weight_decay": 0.0}, {"batch_size": 64},
], ids=lambda settings: ", ".join(settings))
def test_resumed_to_the_same_bits_with(host_ops, tmp_path, never_stopped, settings):
    settings = dict(settings)
    expected = never_stopped(host_ops, **settings)
    net = network(host_ops)
    net.freeze(settings.pop("freeze", ()))
    run = start(host_ops, tmp_path, net=net, **settings)
    stopped_at(run, 1, 1 if settings.get("batch_size") == 64 else 2).go()
    if "patience" in settings or "drop_at" in settings:
        assert run.progress.epoch >= 1
    run = Run.resume(tmp_path, TRAIN, VAL, host_ops)
    stopped_at(run, 2, 3).go()
    run = Run.resume(tmp_path, TRAIN, VAL, host_ops)
    run.go()
    assert trace(run) == expected
    if "patience" in settings or "drop_at" in settings:
        assert expected["history"][-1]["lr"] < expected["history"][0]["lr"]      # or the case would show nothing


def test_fed_with_pictures_on_a_device(device_ops, tmp_path, monkeypatch):
    """The bits of batches that the host prepared, with padding and flips, validation and a stop in an epoch."""
    settings = {"augment_pad": 2, "epochs": 2}
    stopped_at(start(device_ops, tmp_path / "fed", **settings), 1, 2).go()
    run = Run.resume(tmp_path / "fed", TRAIN, VAL, device_ops)
    run.go()
    assert run.train_loader.feeder is run.val_loader.feeder is not None
    monkeypatch.setattr(device_ops, "feeder", lambda: None)
    expected = start(device_ops, tmp_path / "host", **settings)
    expected.go()
    assert trace(run) == trace(expected)


def test_resumed_after_the_plateau_lowered_the_rate(host_ops, tmp_path, never_stopped):
    settings = {"patience": 1, "lr": 1e-7, "epochs": 4}
    run = start(host_ops, tmp_path, **settings)
    stopped_at(run, 2, 2).go()
    assert run.progress.lr == pytest.approx(1e-8)
    run = Run.resume(tmp_path, TRAIN, VAL, host_ops)
    assert run.optimizer.lr == run.progress.lr == pytest.approx(1e-8)
    run.go()
    assert trace(run) == never_stopped(host_ops, **settings)


@pytest.mark.parametrize(("first", "then"), [(1, 5), (4, 1)])
def test_resumed_with_another_number_of_loader_threads(host_ops, tmp_path, never_stopped, first, then):
    stopped_at(start(host_ops, tmp_path, loader_threads=first), 1, 2).go()
    run = Run.resume(tmp_path, TRAIN, VAL, host_ops, loader_threads=then)
    run.go()
    assert run.train_loader.threads == then
    assert trace(run) == never_stopped(host_ops)


def test_resumed_with_more_epochs(host_ops, tmp_path, never_stopped):
    start(host_ops, tmp_path, epochs=1).go()
    run = Run.resume(tmp_path / LAST, TRAIN, VAL, host_ops, epochs=3)
    run.go()
    assert trace(run) == never_stopped(host_ops)


def test_resumed_into_another_folder(host_ops, tmp_path, never_stopped):
    stopped_at(start(host_ops, tmp_path / "one"), 1, 2).go()
    before = contents(tmp_path / "one")
    run = Run.resume(tmp_path / "one", TRAIN, VAL, host_ops, out=tmp_path / "two")
    run.go()
    assert trace(run) == never_stopped(host_ops)
    assert contents(tmp_path / "one") == before
    assert sorted(contents(tmp_path / "two")) == [BEST, LAST, "log.jsonl"]


def test_the_same_run_goes_on_when_told_to(host_ops, tmp_path, never_stopped):
    run = stopped_at(start(host_ops, tmp_path), 1, 3)
    run.go()
    assert run.interrupted
    run.train_loader.__dict__.pop("batches")
    run.go()
    assert not run.interrupted
    assert trace(run) == never_stopped(host_ops)


def test_ctrl_c_in_the_last_step_of_all_finds_the_run_complete(host_ops, tmp_path, never_stopped):
    run = stopped_at(start(host_ops, tmp_path), 2, STEPS)
    run.go()
    assert not run.interrupted
    assert trace(run) == never_stopped(host_ops)
    run = Run.resume(tmp_path, TRAIN, VAL, host_ops)
    assert len(run.go()) == 3                                         # nothing is left to do
    assert trace(run) == never_stopped(host_ops)


def test_a_finished_epoch_is_not_validated_twice(tmp_path, host_ops, monkeypatch):
    calls = []
    monkeypatch.setattr(train, "evaluate", lambda *a: calls.append(1) or evaluate(*a))
    stopped_at(start(host_ops, tmp_path), 0, STEPS).go()
    Run.resume(tmp_path, TRAIN, VAL, host_ops).go()
    assert len(calls) == 3


# ---- unreadable pictures --------------------------------------------------------------------------------------------

def order_of(ops, tmp_path, epoch):
    """The pictures of each batch of an epoch."""
    return [indices.tolist() for _, _, indices in start(ops, tmp_path / "order").train_loader.batches(epoch)]


def test_unreadable_pictures_are_counted_and_do_not_stop_a_run(host_ops, tmp_path):
    run = start(host_ops, tmp_path, Broken(TRAIN, [0, 7, 8, 30]), Broken(VAL, [2]))
    history = run.go()
    assert [line["skipped"] for line in history] == [5, 5, 5]
    assert sorted(name for name, _ in run.train_loader.skipped) == ["picture 0", "picture 30", "picture 7", "picture 8"]
    assert history[-1]["val_top1"] * 11 == pytest.approx(round(history[-1]["val_top1"] * 11))
    fine = start(host_ops, tmp_path / "fine", TRAIN.subset([i for i in range(36) if i not in (0, 7, 8, 30)]), epochs=1)
    assert fine.go()[0]["skipped"] == 0


@pytest.mark.parametrize(("places", "stop"), [
    (places, stop) for places in [(2,), (1,), (5,), (1, 2), (4, 5), (2, 4)] for stop in range(1, 6) if stop not in places])
def test_resumed_to_the_same_bits_when_whole_batches_are_unreadable(tmp_path, never_stopped, places, stop):
    """Of epoch 2 the batches at `places` have not one picture that can be read; Ctrl-C comes during the one at `stop`."""
    ops = zf.get_ops("numpy")
    order = order_of(ops, tmp_path, epoch=1)
    broken = Broken(TRAIN, [i for place in places for i in order[place - 1]] + [order[2][0]])
    run = stopped_at(start(ops, tmp_path, broken), 1, stop)
    run.go()
    assert run.interrupted
    assert run.progress.step == (0 if stop == STEPS else stop)
    run = Run.resume(tmp_path, broken, VAL, ops)
    run.go()
    whole = start(ops, tmp_path / "whole", broken)
    whole.go()
    assert trace(run) == trace(whole)
    assert {line["skipped"] for line in run.progress.history} == {len(broken.failing)}


def test_a_data_set_without_a_readable_picture_is_refused(host_ops, tmp_path):
    with pytest.raises(DataError, match="none of 36 pictures could be read"):
        start(host_ops, tmp_path, Broken(TRAIN, range(36))).go()


# ---- Ctrl-C ---------------------------------------------------------------------------------------------------------

def test_a_second_ctrl_c_ends_at_once(host_ops, tmp_path, never_stopped):
    steps = []

    def act(epoch, place, _):
        steps.append((epoch, place))
        if (epoch, place) == (1, 2):
            signal.raise_signal(signal.SIGINT)
            signal.raise_signal(signal.SIGINT)

    run = before_step(start(host_ops, tmp_path), act)
    with pytest.raises(KeyboardInterrupt):
        run.go()
    assert steps[-1] == (1, 2)
    assert sorted(contents(tmp_path)) == [BEST, LAST, "log.jsonl"]
    run = Run.resume(tmp_path, TRAIN, VAL, host_ops)
    assert (run.progress.epoch, run.progress.step) == (1, 0)          # what the epoch before had saved
    run.go()
    assert trace(run) == never_stopped(host_ops)


def test_ctrl_c_in_the_validation_ends_the_run_after_it(host_ops, tmp_path, never_stopped, monkeypatch):
    def interrupted(*args):
        signal.raise_signal(signal.SIGINT)
        return evaluate(*args)

    with monkeypatch.context() as patch:
        patch.setattr(train, "evaluate", interrupted)
        run = start(host_ops, tmp_path)
        run.go()
    assert run.interrupted
    assert (run.progress.epoch, len(log_lines(tmp_path))) == (1, 1)
    run = Run.resume(tmp_path, TRAIN, VAL, host_ops)
    run.go()
    assert trace(run) == never_stopped(host_ops)


def test_the_signal_s_handler_is_as_before_however_a_run_ends(tmp_path):
    ops = zf.get_ops("numpy")

    def mine(*_):
        raise AssertionError("not while a run goes")

    def fail(*_):
        raise RuntimeError("of the caller's own")

    before = signal.signal(signal.SIGINT, mine)
    try:
        start(ops, tmp_path, epochs=1).go()
        assert signal.getsignal(signal.SIGINT) is mine
        stopped_at(start(ops, tmp_path), 0, 2).go()
        assert signal.getsignal(signal.SIGINT) is mine
        with pytest.raises(RuntimeError, match="the caller's own"):
            before_step(start(ops, tmp_path), fail).go()
        assert signal.getsignal(signal.SIGINT) is mine
        with pytest.raises(RuntimeError, match="the caller's own"):
            start(ops, tmp_path).go(on_epoch=fail)
        assert signal.getsignal(signal.SIGINT) is mine
    finally:
        signal.signal(signal.SIGINT, before)


def test_a_run_in_another_thread_leaves_signals_alone(tmp_path, never_stopped):
    ops = zf.get_ops("numpy")
    run = start(ops, tmp_path)
    thread = threading.Thread(target=run.go)
    thread.start()
    thread.join(60)
    assert trace(run) == never_stopped(ops)


# ---- the rate -------------------------------------------------------------------------------------------------------

def scripted(monkeypatch, run, top1s):
    """Have validation find these shares in turn; return the list that the rates of each epoch's steps are put into."""
    rates, left = [], list(top1s)
    step = run.optimizer.step
    monkeypatch.setattr(run.optimizer, "step", lambda grads: rates.append(run.optimizer.lr) or step(grads))

    def found(*_):
        right = round(100 * left.pop(0))
        return Evaluation(CLASSES, np.array([[right, 100 - right, 0], [0, 0, 0], [0, 0, 0]]), 1.0, 0.5)

    monkeypatch.setattr(train, "evaluate", found)
    return rates


TOP1 = [0.50, 0.40, 0.50, 0.60, 0.60, 0.59, 0.60, 0.10]


@pytest.mark.parametrize(("settings", "expected", "after"), [
    # stalled after each epoch: 0 1 2→drop, 0 1 2→drop, 1 2→drop; equal to the best is no progress
    ({"patience": 2, "drop_factor": 0.1}, [1, 1, 1, 0.1, 0.1, 0.1, 0.01, 0.01], 0.001),
    ({"patience": 3, "drop_factor": 0.5}, [1, 1, 1, 1, 1, 1, 1, 0.5], 0.5),
    ({"patience": 1, "drop_factor": 0.5}, [1, 1, 0.5, 0.25, 0.25, 0.125, 1 / 16, 1 / 32], 1 / 64),
    ({"patience": 9}, [1] * 8, 1),
    ({"patience": 1, "drop_at": (3, 5), "drop_factor": 0.5}, [1, 1, 1, 0.5, 0.5, 0.25, 0.25, 0.25], 0.25),
    ({"patience": 1, "drop_at": (99,)}, [1] * 8, 1),
], ids=lambda value: str(value)[:40])
def test_schedules_worked_by_hand(tmp_path, monkeypatch, settings, expected, after):
    expected = [1e-3 * rate for rate in expected]
    run = start(zf.get_ops("numpy"), tmp_path, epochs=8, batch_size=36, lr=1e-3, **settings)
    rates = scripted(monkeypatch, run, TOP1)
    history = run.go()
    assert [line["lr"] for line in history] == pytest.approx(expected)
    assert rates == pytest.approx(expected)                           # what the steps took, one an epoch here
    assert run.progress.lr == pytest.approx(1e-3 * after)
    assert run.progress.best == 0.6


def test_a_warm_up_worked_by_hand(tmp_path, monkeypatch):
    """Four steps rise to the rate, whatever epoch they fall into; then the schedule has it alone."""
    run = start(zf.get_ops("numpy"), tmp_path, epochs=4, batch_size=18, lr=0.008, warmup=4, drop_at=(3,))
    rates = scripted(monkeypatch, run, [0.5] * 4)
    history = run.go()
    assert rates == pytest.approx([0.002, 0.004, 0.006, 0.008, 0.008, 0.008, 0.0008, 0.0008])
    assert [line["lr"] for line in history] == pytest.approx([0.008, 0.008, 0.008, 0.0008])


# ---- files ----------------------------------------------------------------------------------------------------------

def weights_of(path):
    return {name: a.tobytes() for name, a in checkpoint.read(path).arrays.items()}


def test_keep_all_keeps_every_epoch_and_best_is_the_best(tmp_path, monkeypatch):
    ops = zf.get_ops("numpy")
    run = start(ops, tmp_path, epochs=4, keep_all=True)
    scripted(monkeypatch, run, [0.2, 0.9, 0.9, 0.5])
    run.go()
    assert sorted(contents(tmp_path)) == [BEST, *(f"epoch_{i:03d}.safetensors" for i in (1, 2, 3, 4)), LAST, "log.jsonl"]
    each = [weights_of(tmp_path / f"epoch_{i:03d}.safetensors") for i in (1, 2, 3, 4)]
    assert len({str(sorted(w.items())) for w in each}) == 4
    assert weights_of(tmp_path / BEST) == each[1]                     # the first of two equals
    assert weights_of(tmp_path / LAST) == each[3]
    for i in (1, 2, 3, 4):
        assert len(checkpoint.read(tmp_path / f"epoch_{i:03d}.safetensors").extra["progress"]["history"]) == i


def test_without_it_only_the_last_and_the_best(host_ops, tmp_path):
    run = start(host_ops, tmp_path)
    history = run.go()
    assert sorted(contents(tmp_path)) == [BEST, LAST, "log.jsonl"]
    best = max(history, key=lambda line: line["val_top1"])
    found = evaluate(checkpoint.load(tmp_path / BEST, host_ops), run.val_loader)
    assert (found.top1, found.loss) == (best["val_top1"], best["val_loss"])
    found = evaluate(checkpoint.load(tmp_path / LAST, host_ops), run.val_loader)
    assert (found.top1, found.loss) == (history[-1]["val_top1"], history[-1]["val_loss"])


def test_a_checkpoint_is_there_from_the_first_step_on(tmp_path):
    ops, seen = zf.get_ops("numpy"), []
    run = before_step(start(ops, tmp_path, epochs=1), lambda *_: seen.append((tmp_path / LAST).exists()))
    first = network(ops)
    run.go()
    assert seen == [True] * STEPS
    assert run.net.params["fc5.weight"].tobytes() != first.params["fc5.weight"].tobytes()


def test_the_log_has_one_line_of_json_an_epoch(host_ops, tmp_path):
    run = stopped_at(start(host_ops, tmp_path), 1, 2)
    run.go()
    assert [line["epoch"] for line in log_lines(tmp_path)] == [1]
    run = Run.resume(tmp_path, TRAIN, VAL, host_ops)
    run.go()
    assert log_lines(tmp_path) == run.progress.history
    assert [line["epoch"] for line in log_lines(tmp_path)] == [1, 2, 3]


@pytest.mark.parametrize("cut", range(2, 8))
def test_a_run_cut_off_before_any_of_its_files_loses_nothing(tmp_path, monkeypatch, cut):
    """The last checkpoint is written last: were it first, the best one and the log could be lost with the cut."""
    ops, save, saves = zf.get_ops("numpy"), checkpoint.save, []
    run = start(ops, tmp_path)

    def cut_off(path, *args, **more):
        saves.append(Path(path).name)
        if len(saves) == cut:
            raise KeyboardInterrupt
        save(path, *args, **more)

    with monkeypatch.context() as patch:
        patch.setattr(train, "evaluate", improving())
        expected = start(ops, tmp_path / "whole")
        history = expected.go()
        patch.setattr(checkpoint, "save", cut_off)
        patch.setattr(train, "evaluate", improving())
        with pytest.raises(KeyboardInterrupt):
            run.go()
        patch.setattr(checkpoint, "save", save)
        run = Run.resume(tmp_path, TRAIN, VAL, ops)
        assert run.progress.epoch == (cut - 2) // 2                   # each epoch saves the best and the last
        patch.setattr(train, "evaluate", improving(run.progress.epoch))
        run.go()
    assert trace(run) == trace(expected)
    assert timeless(log_lines(tmp_path)) == timeless(history)
    for name in (BEST, LAST):
        assert weights_of(tmp_path / name) == weights_of(tmp_path / "whole" / name)


def improving(epochs=0):
    """A validation that finds more right after every epoch."""
    count = [epochs]

    def found(*_):
        count[0] += 1
        return Evaluation(CLASSES, np.diag([count[0], 0, 0]) + np.eye(3, k=1, dtype=int), 1.0, 0.5)

    return found


# ---- a disk that fills up -------------------------------------------------------------------------------------------

def full_disk(error):
    def save_file(arrays, path, metadata=None):
        Path(path).write_bytes(b"half of it")
        raise error

    return save_file


@pytest.mark.parametrize("error", [OSError(errno.ENOSPC, "No space left on device"),
                                   SafetensorError("Error while serializing: I/O error: No space left on device")])
@pytest.mark.parametrize("fails", ["an epoch's end", "Ctrl-C"])
def test_a_full_disk_leaves_the_old_files_whole(tmp_path, monkeypatch, never_stopped, error, fails):
    ops = zf.get_ops("numpy")
    start(ops, tmp_path, epochs=1).go()
    before = contents(tmp_path)
    run = Run.resume(tmp_path, TRAIN, VAL, ops, epochs=3)
    if fails == "Ctrl-C":
        stopped_at(run, 1, 2)
    with monkeypatch.context() as patch:
        patch.setattr(checkpoint, "save_file", full_disk(error))
        with pytest.raises(ZFNumpyError, match=r"cannot write .*\.safetensors: .*No space left on device") as caught:
            run.go()
    assert "\n" not in str(caught.value)
    after = contents(tmp_path)
    after.pop("log.jsonl")
    before.pop("log.jsonl")
    assert after == before
    run = Run.resume(tmp_path, TRAIN, VAL, ops, epochs=3)
    run.go()
    assert trace(run) == never_stopped(ops)
    assert [line["epoch"] for line in log_lines(tmp_path)] == [1, 2, 3]


def test_a_disk_without_room_is_told_before_writing(tmp_path, monkeypatch):
    ops = zf.get_ops("numpy")
    run = start(ops, tmp_path)
    run.go()
    before = contents(tmp_path)
    monkeypatch.setattr(train, "free_bytes", lambda path: 1000)
    run = Run.resume(tmp_path, TRAIN, VAL, ops, epochs=4)
    with pytest.raises(ZFNumpyError, match=r"needs 0 MiB and the disk of .* has 0 MiB left; free some and resume"):
        run.go()
    assert contents(tmp_path)[LAST] == before[LAST]
    assert sorted(contents(tmp_path)) == sorted(before)


# ---- numbers that are not finite ------------------------------------------------------------------------------------

def poison(run, name, value, epoch, place):
    def act(e, p, _):
        if (e, p) == (epoch, place):
            run.net.params[name].flat[0] = value

    return before_step(run, act)


@pytest.mark.parametrize("value", [np.inf, -np.inf, np.nan])
def test_a_loss_that_is_not_finite_names_step_and_layer(host_ops, tmp_path, never_stopped, value):
    start(host_ops, tmp_path, epochs=1).go()
    before = contents(tmp_path)
    run = poison(Run.resume(tmp_path, TRAIN, VAL, host_ops, epochs=3), "conv3.weight", value, 1, 2)
    with pytest.raises(TrainingError) as caught:
        run.go()
    message = str(caught.value)
    assert "\n" not in message
    assert "the loss is nan at step 2 of epoch 2" in message
    assert "conv3's" in message
    assert "0.02" in message
    assert str(tmp_path / LAST) in message
    assert contents(tmp_path) == before
    run = Run.resume(tmp_path, TRAIN, VAL, host_ops, epochs=3)
    run.go()
    assert trace(run) == never_stopped(host_ops)


def test_a_picture_that_is_not_finite_is_told_from_a_layer(host_ops, tmp_path):
    run = before_step(start(host_ops, tmp_path), lambda e, p, x: x.__setitem__((0, 0, 3, 3), np.nan) if p == 3 else None)
    with pytest.raises(TrainingError, match=r"step 3 of epoch 1; the first output that is not finite is input's"):
        run.go()


def test_the_first_layer_that_is_not_finite(host_ops):
    net = network(host_ops)
    x = net.prepare(list(TRAIN.images[:2]))
    assert first_not_finite(net, x) is None
    for name in ("fc5", "fc4", "conv3", "conv1"):                     # from the top down: each is now the first
        net.params[f"{name}.bias"][0] = np.nan
        assert first_not_finite(net, x) == name
    assert first_not_finite(net, np.full_like(x, np.inf)) == "input"


def test_weights_that_the_last_step_broke_are_not_saved(host_ops, tmp_path):
    """The loss of the step was finite; validation sees what it did."""
    run = start(host_ops, tmp_path)
    calls, batches = [], run.val_loader.batches

    def broken(*args):
        calls.append(1)
        if len(calls) == 2:
            run.net.params["conv3.weight"].flat[0] = np.inf
        return batches(*args)

    run.val_loader.batches = broken
    with pytest.raises(TrainingError, match=r"validation loss is nan after epoch 2; .* the last good checkpoint is"):
        run.go()
    assert checkpoint.read(tmp_path / LAST).extra["progress"]["epoch"] == 1
    assert len(log_lines(tmp_path)) == 1
    assert all(np.isfinite(a).all() for a in checkpoint.read(tmp_path / LAST).arrays.values())


def test_weights_that_no_output_shows_are_not_saved_either(host_ops, tmp_path):
    """A bias of minus infinity is nothing behind a ReLU."""
    run = start(host_ops, tmp_path, weight_decay=0.0)

    def act(epoch, place, _):
        if (epoch, place) == (0, 2):
            run.net.params["conv1.bias"][1] = -np.inf
            signal.raise_signal(signal.SIGINT)

    with pytest.raises(TrainingError, match=r"conv1.bias is not finite any more; .* the last good checkpoint is"):
        before_step(run, act).go()
    assert checkpoint.read(tmp_path / LAST).extra["progress"]["step"] == 0


# ---- fine-tuning ----------------------------------------------------------------------------------------------------

def test_fine_tuning_with_other_classes_and_frozen_layers(host_ops, tmp_path):
    start(host_ops, tmp_path / "first", epochs=1).go()
    taught = checkpoint.read(tmp_path / "first" / LAST).arrays
    five = ImageArray(TRAIN.images, np.arange(36) % 5, list("abcde"))
    net = network(host_ops, classes=5, seed=9)
    drawn = {name: w.copy() for name, w in net.params.items()}
    assert checkpoint.init_from(net, tmp_path / "first" / LAST) == ["fc5.weight", "fc5.bias"]
    for name, w in net.params.items():
        np.testing.assert_array_equal(w, drawn[name] if name.startswith("fc5") else taught[name])
    net.freeze(["conv1", "conv2"])
    run = start(host_ops, tmp_path / "second", five, five, net=net, epochs=2, max_filter_rms=1e-3)
    run.go()
    for name, w in net.params.items():
        if name.startswith(("conv1", "conv2")):
            assert w.tobytes() == taught[name].tobytes(), name
        else:
            assert w.tobytes() != (drawn if name.startswith("fc5") else taught)[name].tobytes(), name
    assert checkpoint.load(tmp_path / "second" / LAST, host_ops).frozen == {"conv1", "conv2"}


def test_filters_stay_within_the_paper_s_radius(host_ops, tmp_path):
    def largest(max_filter_rms, out):
        net = network(host_ops, init="paper")
        filters = [net.params[f"conv{i}.weight"] for i in (1, 2, 3)]
        for w in filters:
            w *= 12                                                   # to an RMS of 0.12, where steps could have led
        start(host_ops, tmp_path / out, net=net, epochs=1, lr=1e-4, max_filter_rms=max_filter_rms).go()
        return max(np.sqrt((w.astype(np.float64) ** 2).mean(axis=(1, 2, 3))).max() for w in filters)

    assert largest(None, "free") > 0.105                              # else the bound would not be felt
    assert 0.09 < largest(0.1, "bound") <= 0.1 * (1 + 1e-6)


# ---- what is refused ------------------------------------------------------------------------------------------------

@pytest.mark.parametrize(("name", "value"), [
    ("epochs", 0), ("batch_size", 0), ("patience", 0), ("loader_threads", 0), ("lr", 0), ("lr", -1.0), ("lr", float("nan")),
    ("lr", float("inf")), ("momentum", 1.0), ("momentum", -0.1), ("weight_decay", -1e-9), ("warmup", -1),
    ("drop_factor", 1.0), ("drop_factor", 0.0),
])
def test_settings_that_make_no_sense(name, value):
    with pytest.raises(ZFNumpyError, match=rf"{name} must be .*, got {value}"):
        Settings(**{name: value})


def test_data_and_network_must_tell_as_many_classes_apart(tmp_path):
    ops = zf.get_ops("numpy")
    with pytest.raises(DataError, match="tells 4 classes apart, the data set has 3"):
        start(ops, tmp_path / "run", net=network(ops, classes=4))
    bare = network(ops)
    bare.preprocessing = None
    with pytest.raises(DataError, match=r"no preprocessing: set net\.preprocessing"):
        start(ops, tmp_path / "run", net=bare)
    assert not (tmp_path / "run").exists()


def test_a_resume_that_could_not_be_to_the_same_bits_is_refused(tmp_path):
    ops = zf.get_ops("numpy")
    net = network(ops)
    net.classes = CLASSES
    stopped_at(start(ops, tmp_path, net=net), 1, 2).go()
    with pytest.raises(ZFNumpyError, match=r"batch_size cannot change .* batch 2 of epoch 2, begun with 8"):
        Run.resume(tmp_path, TRAIN, VAL, ops, batch_size=16)
    with pytest.raises(ZFNumpyError, match=r"seed cannot change .* batch 2 of epoch 2, begun with 5"):
        Run.resume(tmp_path, TRAIN, VAL, ops, seed=6)
    others = ImageArray(TRAIN.images, TRAIN.labels, ["cat", "dog", "owl"])
    with pytest.raises(DataError, match=r"trained on the classes red, green, blue; the data set has cat, dog, owl"):
        Run.resume(tmp_path, others, others, ops)
    with pytest.raises(TypeError, match="epoch"):
        Run.resume(tmp_path, TRAIN, VAL, ops, epoch=9)
    Run.resume(tmp_path, TRAIN, VAL, ops).go()
    assert Run.resume(tmp_path, TRAIN, VAL, ops, batch_size=16).settings.batch_size == 16     # between epochs it may


def test_a_new_rate_for_the_rest_of_a_run(tmp_path):
    ops = zf.get_ops("numpy")
    start(ops, tmp_path, epochs=1).go()
    run = Run.resume(tmp_path, TRAIN, VAL, ops, epochs=2, lr=0.005)
    assert [line["lr"] for line in run.go()] == [0.02, 0.005]
    assert run.optimizer.lr == 0.005


def test_there_is_nothing_to_resume_in_a_network_alone(tmp_path):
    ops = zf.get_ops("numpy")
    checkpoint.save(tmp_path / "net.safetensors", network(ops))
    with pytest.raises(CheckpointError, match=r"net\.safetensors holds a network but no training to resume; use it with"):
        Run.resume(tmp_path / "net.safetensors", TRAIN, VAL, ops)
    with pytest.raises(CheckpointError, match="there is no checkpoint"):
        Run.resume(tmp_path, TRAIN, VAL, ops)


def test_progress_survives_json():
    """Every number of a run in progress comes back from its checkpoint as it was, to the last bit."""
    rng = np.random.default_rng(0)
    progress = Progress(3, 7, float(rng.random()) / 3, 2 / 3, 1, float(rng.random()) * 1e5, 17, 99, [{"loss": 1 / 7}])
    assert Progress(**json.loads(json.dumps(vars(progress)))) == progress

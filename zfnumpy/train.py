"""The training loop: SGD with momentum over a data set, from the first step, or on from a checkpoint to the same bits."""

import json
import signal
import sys
import threading
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np
from tqdm import tqdm

from . import checkpoint
from .data import Augment, Loader
from .errors import CheckpointError, DataError, TrainingError, ZFNumpyError
from .evaluate import evaluate
from .loss import softmax_cross_entropy
from .optim import SGD
from .paths import free_bytes, writable_folder, written_whole

LAST, BEST = "last.safetensors", "best.safetensors"


@dataclass(frozen=True)
class Settings:
    """What a run does. `drop_at` lowers the rate after those epochs; without it the rate falls when validation stalls.

    The first `warmup` steps raise the rate in a straight line to `lr`, which keeps He's weights from being thrown about.
    A stall is `patience` epochs in which the validation error did not fall below its best. `augment_pad` pads small
    pictures before the random crop. `max_filter_rms` is the paper's filter renormalization, None for none.
    """

    epochs: int = 20
    batch_size: int = 128
    lr: float = 0.01
    warmup: int = 0
    momentum: float = 0.9
    weight_decay: float = 5e-4
    max_filter_rms: float | None = None
    drop_factor: float = 0.1
    drop_at: tuple = ()
    patience: int = 4
    seed: int = 0
    flip: bool = True
    augment_pad: int = 0
    keep_all: bool = False
    loader_threads: int = 2

    def __post_init__(self):
        for name in ("epochs", "batch_size", "patience", "loader_threads"):
            if getattr(self, name) < 1:
                raise ZFNumpyError(f"{name} must be at least 1, got {getattr(self, name)}")
        for name, fits, where in (("lr", 0 < self.lr < np.inf, "above 0"),
                                  ("momentum", 0 <= self.momentum < 1, "0 or more and below 1"),
                                  ("warmup", self.warmup >= 0, "0 or more"),
                                  ("weight_decay", 0 <= self.weight_decay < np.inf, "0 or more"),
                                  ("drop_factor", 0 < self.drop_factor < 1, "between 0 and 1")):
            if not fits:
                raise ZFNumpyError(f"{name} must be {where}, got {getattr(self, name)}")


@dataclass
class Progress:
    """Where a run stands; with the weights, velocities and the network's generator it is all that a resume needs.

    `step` is the place in the epoch begun, in batches of the data set, unreadable ones included; `loss`, `correct` and
    `seen` are sums over the images seen in it.
    """

    epoch: int = 0
    step: int = 0
    lr: float = 0.0
    best: float = -1.0
    stalled: int = 0
    loss: float = 0.0
    correct: int = 0
    seen: int = 0
    history: list = field(default_factory=list)


class Run:
    """One training run: `go` trains to the last epoch, or until it is interrupted.

    out is the folder of the run: last.safetensors after every epoch, best.safetensors, with settings.keep_all also
    epoch_NNN.safetensors, and log.jsonl with a line an epoch. `about` (anything JSON can hold) goes into checkpoints.
    """

    def __init__(self, net, train_set, val_set, settings, out, about=None, progress=None):
        self.net, self.settings, self.about = net, settings, about or {}
        if net.preprocessing is not None and settings.augment_pad >= net.preprocessing.crop:
            raise ZFNumpyError(f"augment_pad must be below the crop's {net.preprocessing.crop} pixels, "
                               f"got {settings.augment_pad}")
        augment = Augment(flip=settings.flip, pad=settings.augment_pad)
        common = {"batch_size": settings.batch_size, "preprocessing": net.preprocessing, "seed": settings.seed,
                  "threads": settings.loader_threads, "dtype": str(net.dtype), "feeder": net.ops.feeder()}
        self.train_loader = Loader(train_set, augment=augment, shuffle=True, **common)
        self.val_loader = Loader(val_set, **common)
        if len(train_set.classes) != net.shapes[net.output][0]:
            raise DataError(f"the network tells {net.shapes[net.output][0]} classes apart, "
                            f"the data set has {len(train_set.classes)}")
        if net.classes is None:
            net.classes = list(train_set.classes)
        if list(net.classes) != list(train_set.classes):
            raise DataError(f"{net.name} was trained on the classes {', '.join(net.classes)}; the data set has "
                            f"{', '.join(train_set.classes)}; set net.classes to train it on these")
        self.progress = progress or Progress(lr=settings.lr)
        self.optimizer = SGD(net, self.progress.lr, settings.momentum, settings.weight_decay, settings.max_filter_rms)
        self.interrupted = False
        self.out = writable_folder(out)

    @classmethod
    def resume(cls, path, train_set, val_set, ops=None, out=None, **changes):
        """Return the run of a checkpoint (a file, or a run's folder: its last one), to go on to the same bits.

        `changes` replaces settings: more epochs, say; `lr` is the rate from here on. `out` is the run's folder, by
        default the checkpoint's. An epoch that is begun keeps its batch size and its seed, and a run its classes.
        """
        found = read_run(path)
        path, extra = found.path, found.extra
        settings = Settings(**{**extra["settings"], "drop_at": tuple(extra["settings"]["drop_at"]), **changes})
        progress = Progress(**extra["progress"])
        kept = [key for key in ("batch_size", "seed") if getattr(settings, key) != extra["settings"][key]]
        if kept and progress.step:
            raise ZFNumpyError(f"{kept[0]} cannot change within an epoch: {path} stands at batch {progress.step} of epoch "
                               f"{progress.epoch + 1}, begun with {extra['settings'][kept[0]]}")
        progress.lr = changes.get("lr", progress.lr)
        net = checkpoint.rebuild(found, ops)
        run = cls(net, train_set, val_set, settings, out or path.parent, extra["about"], progress)
        run.optimizer.restore(found.velocity)
        return run

    # ---- the loop ---------------------------------------------------------------------------------------------------

    def go(self, on_epoch=None):
        """Train; returns the history, a dict an epoch. `on_epoch(history)` is called after each.

        Ctrl-C ends the run after the step it came in, with everything saved (`interrupted` is then True); a second one
        ends it at once. A loss that is not finite raises TrainingError; the last checkpoint stays as it was.
        """
        state, settings = self.progress, self.settings
        self.interrupted = False
        if not state.history and not state.step:
            self._save(LAST)                             # so that there is a good checkpoint from the first step on
        with _Interrupts() as interrupts, np.errstate(all="ignore"):       # what overflows is told by a TrainingError
            while state.epoch < settings.epochs and not self.interrupted:
                begin, before = time.perf_counter(), state.seen
                self.interrupted = self._epoch(interrupts)
                if self.interrupted:
                    self._save(LAST)
                    break
                seconds = time.perf_counter() - begin
                self._end_epoch(seconds, (state.seen - before) / seconds)
                if on_epoch:
                    on_epoch(state.history)
                self.interrupted = interrupts.seen and state.epoch < settings.epochs
        return state.history

    def _epoch(self, interrupts):
        """Train on the rest of the epoch begun; True if it was interrupted."""
        state, loader, net, ops = self.progress, self.train_loader, self.net, self.net.ops
        with tqdm(total=len(loader.dataset), initial=state.seen, unit="img", disable=None, leave=False,
                  desc=f"epoch {state.epoch + 1}/{self.settings.epochs}") as bar:
            for x, labels, _ in loader.batches(state.epoch, state.step):
                scores, tape = net.forward(ops.asarray(x), train=True)
                loss, dscores = softmax_cross_entropy(scores, labels)
                # Counted where a device has been waited for anyway: after the step it would be waited for once more.
                correct = int((ops.to_numpy(scores.argmax(axis=1)) == labels).sum())
                if not np.isfinite(loss):
                    raise self._diverged(f"the loss is {loss} at step {state.step + 1} of epoch {state.epoch + 1}; "
                                         + self._where(ops.asarray(x)))
                self.optimizer.lr = self._rate()
                self.optimizer.step(net.backward(dscores, tape, keep_tape=False))
                state.step = loader.place
                state.loss += loss * len(labels)
                state.correct += correct
                state.seen += len(labels)
                bar.update(len(labels))
                bar.set_postfix(loss=f"{state.loss / state.seen:.3f}", acc=f"{state.correct / state.seen:.1%}")
                if interrupts.seen and state.step < len(loader):
                    return True
        return False

    def _rate(self):
        """Return the rate of the next step: the schedule's, less in the warm-up."""
        state, warmup = self.progress, self.settings.warmup
        done = state.epoch * len(self.train_loader) + state.step
        return state.lr * min(1.0, (done + 1) / warmup) if warmup else state.lr

    def _end_epoch(self, seconds, rate):
        """Validate, lower the rate if it is time, log, and save."""
        state, settings = self.progress, self.settings
        found = evaluate(self.net, self.val_loader)
        if not np.isfinite(found.loss):
            raise self._diverged(f"the validation loss is {found.loss} after epoch {state.epoch + 1}")
        state.history.append({
            "epoch": state.epoch + 1, "lr": state.lr, "loss": state.loss / state.seen, "top1": state.correct / state.seen,
            "val_loss": found.loss, "val_top1": found.top1, "val_top5": found.top5, "seconds": round(seconds, 2),
            "images_per_second": round(rate, 1),
            "skipped": len(self.train_loader.dataset) - state.seen + len(self.val_loader.dataset) - found.count})
        state.epoch, state.step, state.loss, state.correct, state.seen = state.epoch + 1, 0, 0.0, 0, 0
        improved = found.top1 > state.best
        state.best, state.stalled = (found.top1, 0) if improved else (state.best, state.stalled + 1)
        stalls = not settings.drop_at and state.stalled >= settings.patience
        if stalls or state.epoch in settings.drop_at:
            state.lr, state.stalled = state.lr * settings.drop_factor, 0
        if improved:
            self._save(BEST)
        if settings.keep_all:
            self._save(f"epoch_{state.epoch:03d}.safetensors")
        with written_whole(self.out / "log.jsonl") as path:
            path.write_text("".join(json.dumps(line) + "\n" for line in state.history))
        self._save(LAST)                                 # at the end: what a resume reads stands for all of these

    def _save(self, name):
        for parameter, w in self.net.params.items():
            if not bool(self.net.ops.xp.isfinite(w).all()):
                raise self._diverged(f"{parameter} is not finite any more")
        needed = 2 * sum(w.nbytes for w in self.net.params.values())
        if free_bytes(self.out) < needed:
            raise ZFNumpyError(f"{name} needs {needed / 2**20:.0f} MiB and the disk of {self.out} has "
                               f"{free_bytes(self.out) / 2**20:.0f} MiB left; free some and resume")
        checkpoint.save(self.out / name, self.net, self.optimizer, settings=asdict(self.settings),
                        progress=asdict(self.progress), about=self.about)

    def _where(self, x):
        layer = first_not_finite(self.net, x)
        return f"the first output that is not finite is {layer}'s" if layer else "every layer's output is finite"

    def _diverged(self, what):
        return TrainingError(f"{what}; try a lower rate than {self.progress.lr:g}, or --init he; "
                             f"the last good checkpoint is {self.out / LAST}")


def read_run(path):
    """Return the Checkpoint of a run: a file, or a run's folder for its last one; refused where it holds no training."""
    path = Path(path)
    found = checkpoint.read(path / LAST if path.is_dir() else path)
    if not {"settings", "progress", "about"} <= set(found.extra):
        raise CheckpointError(f"{found.path} holds a network but no training to resume; use it with --init-from")
    return found


def first_not_finite(net, x):
    """Return the first node whose output for x is not finite everywhere ("input" for x itself), or None."""
    xp = net.ops.xp
    if not bool(xp.isfinite(x).all()):
        return "input"
    for name, y in net.steps(x, want=tuple(net.nodes)):
        if not bool(xp.isfinite(y).all()):
            return name
    return None


class _Interrupts:
    """Turns the first Ctrl-C into `seen`; the second raises KeyboardInterrupt as usual."""

    def __enter__(self):
        self.seen, self._before = False, None
        if threading.current_thread() is threading.main_thread():
            self._before = signal.signal(signal.SIGINT, self._note)
        return self

    def _note(self, *_):
        if self.seen:
            raise KeyboardInterrupt
        self.seen = True
        print("\nstopping after this step; Ctrl-C again stops at once", file=sys.stderr, flush=True)

    def __exit__(self, *_):
        if self._before is not None:
            signal.signal(signal.SIGINT, self._before)

"""The training loop: SGD with momentum over a data set, from the first step, or on from a checkpoint to the same bits."""

import json
import signal
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

    A stall is `patience` epochs in which the validation error did not fall below its best. `augment_pad` pads small
    pictures before the random crop. `max_filter_rms` is the paper's filter renormalization, None for none.
    """

    epochs: int = 20
    batch_size: int = 128
    lr: float = 0.01
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
        if not 0 < self.drop_factor < 1:
            raise ZFNumpyError(f"drop_factor must lie between 0 and 1, got {self.drop_factor}")


@dataclass
class Progress:
    """Where a run stands; with the weights, velocities and the network's generator it is all that a resume needs.

    `step` counts the batches of the epoch begun that are done, `loss`, `correct` and `seen` are their sums.
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
        self.net, self.settings, self.out, self.about = net, settings, writable_folder(out), about or {}
        augment = Augment(flip=settings.flip, pad=settings.augment_pad)
        common = {"batch_size": settings.batch_size, "preprocessing": net.preprocessing, "seed": settings.seed,
                  "threads": settings.loader_threads, "dtype": str(net.dtype)}
        self.train_loader = Loader(train_set, augment=augment, shuffle=True, **common)
        self.val_loader = Loader(val_set, **common)
        if len(train_set.classes) != net.shapes[net.output][0]:
            raise DataError(f"the network tells {net.shapes[net.output][0]} classes apart, "
                            f"the data set has {len(train_set.classes)}")
        self.progress = progress or Progress(lr=settings.lr)
        self.optimizer = SGD(net, self.progress.lr, settings.momentum, settings.weight_decay, settings.max_filter_rms)
        self.interrupted = False

    @classmethod
    def resume(cls, path, train_set, val_set, ops=None, out=None, **changes):
        """Return the run of a checkpoint (a file, or a run's folder: its last one), to go on to the same bits.

        `changes` replaces settings: more epochs, say. `out` is the run's folder, by default the checkpoint's.
        """
        path = Path(path)
        path = path / LAST if path.is_dir() else path
        found = checkpoint.read(path)
        try:
            extra = found.extra
            settings = Settings(**{**extra["settings"], "drop_at": tuple(extra["settings"]["drop_at"]), **changes})
            progress, about = Progress(**extra["progress"]), extra["about"]
        except (KeyError, TypeError):
            raise CheckpointError(f"{path} holds a network but no training to resume; use it with --init-from") from None
        net = checkpoint.rebuild(found, ops)
        run = cls(net, train_set, val_set, settings, out or path.parent, about, progress)
        run.optimizer.restore(found.velocity)
        return run

    # ---- the loop ---------------------------------------------------------------------------------------------------

    def go(self, on_epoch=None):
        """Train; returns the history, a dict an epoch. `on_epoch(history)` is called after each.

        Ctrl-C ends the run after the step it came in, with everything saved (`interrupted` is then True); a second one
        ends it at once. A loss that is not finite raises TrainingError; the last checkpoint stays as it was.
        """
        state, settings = self.progress, self.settings
        if not state.history and not state.step:
            self._save(LAST)                             # so that there is a good checkpoint from the first step on
        with _Interrupts() as interrupts:
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
                self.interrupted = interrupts.seen
        return state.history

    def _epoch(self, interrupts):
        """Train on the rest of the epoch begun; True if it was interrupted."""
        state, loader, net, ops = self.progress, self.train_loader, self.net, self.net.ops
        with tqdm(total=len(loader.dataset), initial=state.seen, unit="img", disable=None, leave=False,
                  desc=f"epoch {state.epoch + 1}/{self.settings.epochs}") as bar:
            for x, labels, _ in loader.batches(state.epoch, state.step):
                scores, tape = net.forward(ops.asarray(x), train=True)
                loss, dscores = softmax_cross_entropy(scores, labels)
                if not np.isfinite(loss):
                    raise TrainingError(self._not_finite(loss, ops.asarray(x)))
                self.optimizer.step(net.backward(dscores, tape))
                del tape                                 # before the next forward makes its own
                state.step += 1
                state.loss += loss * len(labels)
                state.correct += int((ops.to_numpy(scores.argmax(axis=1)) == labels).sum())
                state.seen += len(labels)
                bar.update(len(labels))
                bar.set_postfix(loss=f"{state.loss / state.seen:.3f}", acc=f"{state.correct / state.seen:.1%}")
                if interrupts.seen and state.step < len(loader):
                    return True
        return False

    def _end_epoch(self, seconds, rate):
        """Validate, lower the rate if it is time, log, and save."""
        state, settings = self.progress, self.settings
        found = evaluate(self.net, self.val_loader)
        state.history.append({
            "epoch": state.epoch + 1, "lr": state.lr, "loss": state.loss / state.seen, "top1": state.correct / state.seen,
            "val_loss": found.loss, "val_top1": found.top1, "val_top5": found.top5, "seconds": round(seconds, 2),
            "images_per_second": round(rate, 1),
            "skipped": len(self.train_loader.skipped) + len(self.val_loader.skipped)})
        state.epoch, state.step, state.loss, state.correct, state.seen = state.epoch + 1, 0, 0.0, 0, 0
        improved = found.top1 > state.best
        state.best, state.stalled = (found.top1, 0) if improved else (state.best, state.stalled + 1)
        stalls = not settings.drop_at and state.stalled >= settings.patience
        if stalls or state.epoch in settings.drop_at:
            state.lr, state.stalled = state.lr * settings.drop_factor, 0
            self.optimizer.lr = state.lr
        self._save(LAST)
        if improved:
            self._save(BEST)
        if settings.keep_all:
            self._save(f"epoch_{state.epoch:03d}.safetensors")
        with written_whole(self.out / "log.jsonl") as path:
            path.write_text("".join(json.dumps(line) + "\n" for line in state.history))

    def _save(self, name):
        needed = 2 * sum(w.nbytes for w in self.net.params.values())
        if free_bytes(self.out) < needed:
            raise ZFNumpyError(f"{name} needs {needed / 2**20:.0f} MiB and the disk of {self.out} has "
                               f"{free_bytes(self.out) / 2**20:.0f} MiB left; free some and resume")
        checkpoint.save(self.out / name, self.net, self.optimizer, settings=asdict(self.settings),
                        progress=asdict(self.progress), about=self.about)

    def _not_finite(self, loss, x):
        state = self.progress
        layer = first_not_finite(self.net, x)
        return (f"the loss is {loss} at step {state.step + 1} of epoch {state.epoch + 1}; "
                + (f"the first output that is not finite is {layer}'s" if layer else "every layer's output is finite")
                + f"; try a lower rate than {state.lr:g}, or --init he; the last good checkpoint is {self.out / LAST}")


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

    def __exit__(self, *_):
        if self._before is not None:
            signal.signal(signal.SIGINT, self._before)

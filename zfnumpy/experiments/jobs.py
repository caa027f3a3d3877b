"""Many trainings for one study: resumable, several side by side, the same bits however many.

Each job has a folder of its own, in which train.Run keeps a checkpoint an epoch. A job that has ended is not trained
again; one that was cut off goes on. Jobs side by side are processes with their share of the cores, since two trainings in
one would wait for each other's kernels.
"""

import contextlib
import json
import os
import signal
import subprocess
import sys
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

import numpy as np
from tqdm import tqdm

from .. import checkpoint, models
from ..data import mean_colour, open_named
from ..data.dataset import Relabelled
from ..errors import DataError, TrainingError, ZFNumpyError
from ..paths import python_path, writable_folder, written_whole
from ..train import LAST, Run, Settings

JOB, DONE = "job.json", "done.json"


@dataclass(frozen=True)
class Source:
    """What a job trains and validates on: a data set by name, as `data.open_named` opens it, or a part of one.

    classes: only these, numbered anew in this order (None: all). rows: which pictures of its training part, counted
    before classes are left out (None: all). seed splits a plain folder of classes. shuffled: a seed that deals the
    training labels out at random, for a control that can learn nothing.
    """

    name: str
    val_fraction: float = 0.1
    seed: int = 0
    classes: tuple | None = None
    rows: tuple | None = None
    shuffled: int | None = None

    def open(self):
        """Return (train, val), two data sets; DataError for a name, a class or a row that is not there."""
        train, val = open_named(self.name, self.val_fraction, self.seed)
        if self.rows is not None:
            train = train.subset(np.array(self.rows, np.int64))
        if self.shuffled is not None:
            labels = np.random.default_rng(self.shuffled).permutation(train.labels)
            train = Relabelled(train, labels, list(train.classes))
        return (train, val) if self.classes is None else (of_classes(train, self.classes), of_classes(val, self.classes))


def of_classes(dataset, classes):
    """Return the pictures of some classes, by number, labelled anew from 0 in this order; DataError for one not there."""
    for k in classes:
        if not 0 <= k < len(dataset.classes):
            raise DataError(f"there is no class {k}: the data has {len(dataset.classes)}, 0 to {len(dataset.classes) - 1}")
    places = np.full(len(dataset.classes), -1)
    places[list(classes)] = np.arange(len(classes))
    return Relabelled(dataset, places[dataset.labels], [dataset.classes[k] for k in classes])


@dataclass(frozen=True)
class Recipe:
    """How a network is made and trained: a function of `models` by name, its arguments, and the run's settings.

    input_scale: see models.rescale_input. resize: pixels of the shortest side, of which training crops at random (None: the
    model's own).
    """

    model: str = "zfnet_mini"
    arguments: dict = field(default_factory=dict)
    settings: Settings = field(default_factory=Settings)
    input_scale: float = 1.0
    resize: int | None = None

    def network(self, train_set, ops):
        """Return the untrained network for a data set: drawn from the settings' seed, with the set's mean colour."""
        net = getattr(models, self.model)(len(train_set.classes), ops, self.settings.seed, **self.arguments)
        net.classes = list(train_set.classes)
        resize = self.resize or net.preprocessing.resize
        net.preprocessing = replace(net.preprocessing, resize=resize, mean=mean_colour(train_set, resize))
        if self.input_scale != 1:
            models.rescale_input(net, self.input_scale)
        return net


# For few pictures: a rate that gets there in as many steps as a study has time for, and no dropout, which in so few would
# hold back all networks with hidden layers.
QUICK = {"lr": 0.015, "warmup": 100}
NO_DROPOUT = {"dropout": 0.0}
# A narrow ZFNet for pictures of 64 pixels that learns the sketches in two minutes on two cores: the studies' own.
SMALL = {"conv": (32, 64, 96, 96, 64), "fc": (256, 256)}


def small_recipe(epochs, seed=0, arguments=None, **settings):
    """Return the recipe of a study's own small network: SMALL, changed by `arguments`, over so many epochs."""
    usual = {"batch_size": 32, "lr": 0.01, "warmup": 150, "drop_at": (max(1, epochs - 1),) if epochs > 1 else ()}
    return Recipe("zfnet_mini", SMALL | (arguments or {}), Settings(epochs=epochs, seed=seed, **(usual | settings)), 4.0)


@dataclass(frozen=True)
class Job:
    """One training: what to call it (its folder too), how, and on what."""

    name: str
    recipe: Recipe
    source: Source


@dataclass(frozen=True)
class Trained:
    """A job that has ended: its folder, and a dict an epoch as train.Run.go gives them."""

    name: str
    folder: Path
    history: list

    @property
    def path(self):
        """The checkpoint after the last epoch: not the best one, which validation would have chosen."""
        return self.folder / LAST

    @property
    def last(self):
        """What the last epoch measured: loss, top1, val_loss, val_top1, val_top5, …"""
        return self.history[-1]

    def network(self, ops=None):
        """Return the trained network."""
        return checkpoint.load(self.path, ops)


def train_all(jobs, folder, ops, side_by_side=1, say=print):
    """Train every job below `folder` and return them as Trained, in their order.

    ops: whose backend trains. side_by_side: how many at once, each with its share of the cores; the results do not depend
    on it. say(text) is called with a line after every job. A job that ended is not trained again, as long as it is the
    same; one of the same name that is another is refused. KeyboardInterrupt leaves all that begun resumable.
    """
    folder, left = writable_folder(folder), []
    names = [job.name for job in jobs]
    if len(set(names)) < len(names):
        raise ZFNumpyError(f"two trainings are called {max(names, key=names.count)!r}")
    for job in jobs:
        if not _ended(folder / job.name, job):
            left.append(job)
    if len(left) < len(jobs):
        say(f"{len(jobs) - len(left)} of {len(jobs)} trainings are done already")
    if side_by_side <= 1 or len(left) <= 1 or ops.name != "numba":
        with _bar(left) as bar:
            for job in left:
                say(_line(train_job(job, folder, ops, lambda _: bar.update())))
    else:
        _train_side_by_side(left, folder, max(1, ops.threads // side_by_side), side_by_side, say)
    return [_ended(folder / job.name, job) for job in jobs]


def train_job(job, folder, ops, on_epoch=None):
    """Train one job in this process, from where it was cut off, and return it as Trained; on_epoch as in train.Run.go."""
    own = writable_folder(Path(folder, job.name))
    train_set, val_set = job.source.open()
    about = {"data": job.source.name, "job": job_text(job)}
    if (own / LAST).exists() and _same(own, job):
        run = Run.resume(own, train_set, val_set, ops)
    else:
        with written_whole(own / JOB) as beside:
            beside.write_text(job_text(job), encoding="utf-8")
        run = Run(job.recipe.network(train_set, ops), train_set, val_set, job.recipe.settings, own, about)
    history = run.go(on_epoch)
    if run.interrupted:
        raise KeyboardInterrupt
    with written_whole(own / DONE) as beside:
        beside.write_text(json.dumps(history), encoding="utf-8")
    return Trained(job.name, own, history)


def job_text(job):
    """Return a job as JSON text, the same for the same job: what a folder's contents are compared with."""
    return json.dumps(asdict(job), sort_keys=True, default=list)


def job_of(text):
    """Return the Job that `job_text` wrote."""
    found = json.loads(text)
    recipe, source = found["recipe"], found["source"]
    settings = Settings(**(recipe["settings"] | {"drop_at": tuple(recipe["settings"]["drop_at"])}))
    source |= {key: None if source[key] is None else tuple(source[key]) for key in ("classes", "rows")}
    return Job(found["name"], Recipe(**(recipe | {"settings": settings})), Source(**source))


def _same(own, job):
    """Tell whether a folder's training is this job; refused where it is another's, so that nothing is trained over."""
    path = own / JOB
    if not path.exists():
        return False
    if path.read_text(encoding="utf-8") != job_text(job):
        raise ZFNumpyError(f"{own} holds a training with other settings or data; choose another --out, or remove it")
    return True


def _ended(own, job):
    """Return the Trained of a job that has ended, or None."""
    if not _same(own, job) or not (own / DONE).exists():
        return None
    return Trained(job.name, own, json.loads((own / DONE).read_text(encoding="utf-8")))


def _line(trained):
    h = trained.last
    return (f"  {trained.name}: training {h['top1']:.1%}, validation {h['val_top1']:.1%} after {h['epoch']} epochs, "
            f"{sum(line['seconds'] for line in trained.history):.0f} s")


def _train_side_by_side(jobs, folder, threads, most, say):
    """Train jobs in processes, `most` at a time; the first that fails ends the others after their step."""
    waiting, running, failed = list(jobs), {}, None
    with _bar(jobs) as bar:
        try:
            while (waiting and failed is None) or running:
                while waiting and failed is None and len(running) < most:
                    job = waiting.pop(0)
                    running[job.name] = job, _start(job, folder, threads)
                name, code, told = _next_ended(running, lambda: _show(bar, jobs, folder))
                job, _ = running.pop(name)
                if code:
                    failed = failed or (name, code, told)
                    _interrupt(running)
                    continue
                say(_line(_ended(Path(folder, name), job)))
        except BaseException:
            _interrupt(running)
            for _, process in running.values():
                process.wait()
            raise
    if failed:
        raise TrainingError(f"the training {failed[0]!r} failed: {failed[2] or f'exit code {failed[1]}'}")


def _start(job, folder, threads):
    """Start a Python that trains one job; not multiprocessing, for the reasons given in data.sketches.rendering."""
    process = subprocess.Popen([sys.executable, "-P", "-m", f"{__package__}._worker", str(folder), str(threads)],
                               env=os.environ | {"PYTHONPATH": python_path()},
                               stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
                               start_new_session=True)           # the terminal's Ctrl-C reaches this process alone
    process.stdin.write(job_text(job))
    process.stdin.close()
    return process


def _next_ended(running, meanwhile):
    """Wait for the first of some processes to end: (its name, exit code, the last line that it complained with)."""
    while True:
        meanwhile()
        for name, (_, process) in running.items():
            with contextlib.suppress(subprocess.TimeoutExpired):
                code = process.wait(timeout=0.2)
                told = [line for line in process.stderr.read().splitlines() if line.strip()]
                process.stderr.close()
                return name, code, told[-1] if told else ""


def _bar(jobs):
    """Return a progress bar over the epochs of some jobs; silent where the output is not a terminal."""
    return tqdm(total=sum(job.recipe.settings.epochs for job in jobs), desc=f"training {len(jobs)} networks", unit="epoch",
                disable=None, leave=False)


def _show(bar, jobs, folder):
    """Bring the bar to the epochs that the jobs' logs tell of."""
    logs = [folder / job.name / "log.jsonl" for job in jobs]
    done = sum(path.read_text(encoding="utf-8").count("\n") for path in logs if path.exists())
    bar.update(max(0, done - bar.n))


def _interrupt(running):
    for _, process in running.values():
        with contextlib.suppress(ProcessLookupError):
            process.send_signal(signal.SIGINT)

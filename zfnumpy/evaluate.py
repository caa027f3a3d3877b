"""How good a network is on a data set: loss, top-1, top-5, the confusion matrix; one crop an image, or ten."""

import csv
import json
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from .data.dataset import Relabelled
from .errors import DataError
from .paths import csv_file, save_rows, writable_folder, written_whole


@dataclass
class Evaluation:
    """What a network got right. confusion (K, K) counts images by true class (row) and predicted class (column)."""

    classes: list
    confusion: np.ndarray
    top5: float
    loss: float
    skipped: list = field(default_factory=list)
    crops: int = 1

    @property
    def count(self):
        """How many images were evaluated."""
        return int(self.confusion.sum())

    @property
    def top1(self):
        """The share of images whose strongest class is the true one."""
        return float(np.trace(self.confusion) / self.count)

    def class_accuracy(self):
        """Return each class's share of right answers (K,); NaN for a class without images."""
        totals = self.confusion.sum(axis=1)
        return np.where(totals > 0, np.diag(self.confusion) / np.maximum(totals, 1), np.nan)

    def save(self, folder):
        """Write evaluation.json, confusion.csv and classes.csv (accuracy a class) into `folder`."""
        folder = writable_folder(folder)
        with written_whole(folder / "evaluation.json") as path:
            Path(path).write_text(json.dumps({"images": self.count, "top1": self.top1, "top5": self.top5,
                                              "loss": self.loss, "crops": self.crops, "skipped": self.skipped}, indent=1))
        with written_whole(folder / "confusion.csv") as path, csv_file(path) as file:
            writer = csv.writer(file)
            writer.writerow(["true \\ predicted", *self.classes])
            writer.writerows([name, *row] for name, row in zip(self.classes, self.confusion.tolist()))
        each = zip(self.classes, self.confusion.sum(axis=1), np.diag(self.confusion), self.class_accuracy())
        save_rows(folder / "classes.csv", [{"class": name, "images": images, "correct": right, "accuracy": f"{share:.4f}"}
                                           for name, images, right, share in each])


def evaluate(net, loader, ten_crop=False, progress=iter):
    """Evaluate a network on a data.Loader's images: an Evaluation. The loader's x may be on the network's device already.

    ten_crop averages the probabilities of the four corners, the centre and their flips (paper, sec. 3). `progress`
    wraps the iterable of batches. DataError where the classes do not fit the network's scores.
    """
    K = net.shapes[net.output][0]
    classes = list(loader.dataset.classes)
    if len(classes) != K:
        raise DataError(f"the network tells {K} classes apart, the data set has {len(classes)}")
    confusion, loss, in_top5 = np.zeros((K, K), np.int64), 0.0, 0
    for x, labels in progress(crops_of(loader, ten_crop)):
        p = log_probabilities(net, x)
        rows = np.arange(len(labels))
        confusion += np.bincount(labels * K + p.argmax(axis=1), minlength=K * K).reshape(K, K)
        in_top5 += int(np.sum(ranks(p, labels) < 5))
        loss -= float(p[rows, labels].sum())
    count = int(confusion.sum())
    if not count:
        raise DataError("none of the data set's pictures could be read")
    return Evaluation(classes, confusion, in_top5 / count, loss / count, list(loader.skipped), 10 if ten_crop else 1)


def matched(dataset, classes, named=True):
    """Return the images of a data set whose class is among the network's `classes`, labelled as in them.

    A class is found by its name; where a list of ImageNet's classes names two alike ("crane"), by its number too, if the
    data set has `class_numbers`. Without names of the network's own (`named` False) its number is all there is.
    """
    places = class_places(dataset, classes, named)
    labels = places[dataset.labels]
    if not (labels >= 0).any():
        raise DataError(f"none of the data's {len(dataset.classes)} classes ({dataset.classes[0]}, …) is among the "
                        f"network's {len(classes)} ({classes[0]}, …)")
    return Relabelled(dataset, labels, classes)


def class_places(dataset, classes, named=True):
    """Return where each class of a data set stands among a network's `classes`, -1 for one that does not; see `matched`."""
    numbers = getattr(dataset, "class_numbers", None)
    if not named:
        if numbers is not None and max(numbers) >= len(classes):
            raise DataError(f"the data numbers classes up to {max(numbers)}, the network tells {len(classes)} apart and "
                            "names none: give it their names, with --classes on the command line")
        return np.full(len(dataset.classes), -1) if numbers is None else numbers
    place = {name: k for k, name in reversed(list(enumerate(classes)))}
    found = [place.get(name, -1) for name in dataset.classes]
    for k, number in enumerate(() if numbers is None else numbers.tolist()):
        if number < len(classes) and classes[number] == dataset.classes[k]:
            found[k] = number
    return np.array(found, np.int64)


def predict(net, x):
    """Return class probabilities (N, K), NumPy, of prepared inputs (N, 3, H, W), or averaged over (N, crops, 3, H, W)."""
    return np.exp(log_probabilities(net, x))


def log_probabilities(net, x):
    """Return log class probabilities (N, K), NumPy float64: as logarithms, so that a hopeless class still has a loss."""
    crops = x.shape[1] if x.ndim == 5 else 1
    flat = x.reshape(x.shape[0] * crops, *x.shape[-3:])
    scores = net.ops.to_numpy(net.scores(net.ops.asarray(flat, dtype=net.dtype))).astype(np.float64)
    each = scores - np.logaddexp.reduce(scores, axis=1, keepdims=True)
    each = each.reshape(x.shape[0], crops, -1)
    return each[:, 0] if crops == 1 else np.logaddexp.reduce(each, axis=1) - np.log(crops)


def ranks(scores, labels):
    """Return how many classes score above the true one, (N,); of equal scores the lower class counts as above."""
    true = scores[np.arange(len(labels)), labels][:, None]
    before = np.arange(scores.shape[1]) < np.asarray(labels)[:, None]
    return (~(scores <= true) | ((scores == true) & before)).sum(axis=1)          # so that a NaN is never the best


def crops_of(loader, ten_crop=False):
    """Return an iterable of (x, labels), what `predict` takes: a loader's batches, or with ten crops a picture."""
    return _ten_crops(loader) if ten_crop else ((x, labels) for x, labels, _ in loader.batches())


def _ten_crops(loader):
    """Yield (x (n, 10, 3, crop, crop), labels) for every batch of a loader's data set, passing over unreadable images."""
    data, size = loader.dataset, max(1, loader.batch_size // 10)
    for start in range(0, len(data), size):
        crops, labels = [], []
        for i in range(start, min(start + size, len(data))):
            try:
                crops.append(loader.preprocessing.ten_crop([data.image(i)])[0])
            except DataError as error:
                loader.record([(i, str(error))])
            else:
                labels.append(data.labels[i])
        if crops:
            yield np.stack(crops), np.array(labels)

"""What several commands share: opening networks and data sets, and progress on the terminal."""

import argparse
import csv
from pathlib import Path
from typing import NamedTuple

import numpy as np
from tqdm import tqdm

from .. import checkpoint, data, graph, models
from ..data import open_named
from ..errors import CheckpointError, DataError, NodeError
from ..evaluate import class_places, matched
from ..graph import class_names
from ..ops import get_ops
from ..train import BEST, LAST

MODELS = ("zfnet_mini", "zfnet", "alexnet", "alexnet_mini", "tiny_vgg", "squeezenet1_1", "alexnet_gap", "googlenet_gap")


def whole(least):
    """Return an argument type: whole numbers from `least`."""

    def read(text):
        try:
            value = int(text)
        except ValueError:
            value = least - 1
        if value < least:
            raise argparse.ArgumentTypeError(f"must be a whole number from {least}, got {text!r}")
        return value

    return read


def wholes(least, what):
    """Return an argument type: whole numbers from `least` between commas; what: what to call them, with an example."""

    def read(text):
        try:
            return tuple(whole(least)(part) for part in text.split(","))
        except argparse.ArgumentTypeError as error:
            raise argparse.ArgumentTypeError(f"takes {what}: each {error}") from None

    return read


def ops_of(args):
    return get_ops(args.backend, args.threads, args.gpu_memory, args.tf32)


def add_network(sub):
    """Add the arguments that name a trained network."""
    sub.add_argument("checkpoint", help="a checkpoint, a run's folder (its best one), with --model a plain weight "
                     f"file, or a network that comes with the package: {' or '.join(models.EMBEDDED)}")
    sub.add_argument("--model", choices=MODELS, help="the architecture that a plain weight file belongs to")
    sub.add_argument("--classes", metavar="FILE", help="class names, one a line (the last column where there are tabs)")


def open_network(args):
    """Return the network that the arguments of `add_network` name."""
    path, ops = checkpoint_path(args.checkpoint), ops_of(args)
    if args.model:
        net = network_of(path, args.model, ops)
    else:
        found = checkpoint.read(path)
        net = checkpoint.rebuild(found, ops)
        _split_as_in_training(args, found.extra.get("about", {}))
    if net.preprocessing is None:
        raise CheckpointError(f"{path} does not say how images are prepared: set net.preprocessing and save it again")
    if args.classes:
        net.classes = read_classes(args.classes, net.shapes[net.output][0])
    return net


def checkpoint_path(name):
    """Return the file of a checkpoint: itself, a run's folder's best or last, or what the package carries by that name."""
    path = Path(name)
    if name in models.EMBEDDED and not path.exists():
        return models.embedded(name)
    if path.is_dir():                                        # a run that has not ended its first epoch has no best yet
        return path / (BEST if (path / BEST).exists() else LAST)
    return path


def network_of(path, model, ops):
    """Return the network of a checkpoint, or with `model` that of a plain weight file, with as many classes as it has."""
    path = checkpoint_path(path)
    if not model:
        return checkpoint.load(path, ops)
    if checkpoint.describes_itself(path):
        raise CheckpointError(f"{path} says itself what network it is; leave out --model")
    arrays = checkpoint.read_arrays(path)
    last = [a for name, a in arrays.items() if name.endswith(".weight")]
    if not last:
        raise CheckpointError(f"{path} holds no array named ….weight")
    scores = arrays.get("conv10.weight") if model == "squeezenet1_1" else last[-1]
    net = getattr(models, model)(num_classes=len(np.atleast_1d(last[-1] if scores is None else scores)), ops=ops)
    checkpoint.set_params(net, arrays, path)
    return net


def add_data(sub):
    """Add the arguments that name a data set and the part of it to use."""
    sub.add_argument("--data", required=True, help='a data set as for train, a folder with a labels.tsv, or "sketches"; its '
                                                   "validation part is used")
    sub.add_argument("--train-set", action="store_true", help="use the training part")
    sub.add_argument("--val-fraction", type=float, help="of a plain folder of classes (default: as in training)")
    sub.add_argument("--seed", type=whole(0), help="of that split (default: as in training)")


def open_part(args):
    """Return the part of a data set that the arguments of `add_data` name, once `open_network` has read the checkpoint."""
    _split_as_in_training(args, {})
    part = open_named(args.data, args.val_fraction, args.seed)[0 if args.train_set else 1]
    if not len(part):
        raise DataError(f"{args.data} has no training part: its labels.tsv lists pictures to validate on; "
                        "leave out --train-set")
    return part


def labelled_as(net, part):
    """Return a data set's pictures labelled as the network's classes: by name, where it has no names by number.

    As it is where its classes are the network's, or where neither names nor numbers tell: then by their order.
    """
    names, named = class_names(net), net.classes is not None
    if list(part.classes) == names or not (named or getattr(part, "class_numbers", None) is not None):
        return part
    return matched(part, names, named)


def _split_as_in_training(args, about):
    """Fill in how a plain folder is split, so that no image trained on counts as a new one."""
    for name, otherwise in (("val_fraction", 0.1), ("seed", 0)):
        if getattr(args, name, 0) is None:
            setattr(args, name, about.get(name, otherwise))


class Picture(NamedTuple):
    """A picture to look at: its name, pixels (H, W, 3) uint8, true class among the network's (None: unknown), and its
    place in the data set it is from (None: a file)."""

    name: str
    pixels: np.ndarray
    label: int | None = None
    index: int | None = None


def add_pictures(sub):
    """Add the arguments that name pictures: files, or some of a data set."""
    sub.add_argument("images", nargs="*", metavar="IMAGE", help="picture files")
    sub.add_argument("--data", help='or a data set as for train, or "sketches"; its validation part')
    sub.add_argument("--pick", metavar="I,J", help="which pictures of --data, counted from 0 (default: the first six)")
    sub.add_argument("--val-fraction", type=float, help="of a plain folder of classes (default: as in training)")
    sub.add_argument("--seed", type=whole(0), help="of that split (default: as in training)")


def open_pictures(args, net, count=None):
    """Return ([Picture], data set or None, skipped) of the arguments of `add_pictures`, once `open_network` gave `net`.

    count: so many of a data set, the same draw every time, where --pick does not choose (None: its first six).
    A data set's classes are those of the network, as far as they have the same names. DataError where no picture is
    named, or none can be read.
    """
    if bool(args.images) == bool(args.data):
        raise DataError("name picture files, or a data set with --data" + (", not both" if args.images else ""))
    if args.images:
        if args.pick:
            raise DataError("--pick chooses from --data; leave it out where picture files are named")
        found, skipped = pictures_of(args.images, bar(len(args.images), "reading", "img"))
        return [Picture(path, pixels) for path, pixels in found], None, skipped
    _split_as_in_training(args, {})
    part = open_named(args.data, args.val_fraction, args.seed)[1]
    places = class_places(part, class_names(net), net.classes is not None)
    picked = _some(len(part), count) if args.pick is None else picked_of(args, len(part))
    found, skipped = [], []
    for i in picked:
        try:
            label = int(places[part.labels[i]])
            found.append(Picture(part.name(i), part.image(i), label if label >= 0 else None, i))
        except DataError as error:
            skipped.append((part.name(i), str(error)))
    if not found:
        raise DataError(f"none of {len(skipped)} pictures could be read; the first: {skipped[0][1]}")
    return found, part, skipped


def picked_of(args, total):
    """Return the numbers that --pick names, of pictures of the data counted from 0, of which there are `total`."""
    try:
        picked = [int(i) for i in args.pick.split(",")]
    except ValueError:
        raise DataError(f"--pick takes whole numbers, as 0,5,9; got {args.pick!r}") from None
    for i in picked:
        if not 0 <= i < total:
            raise DataError(f"--pick {i}: the data has {total} pictures, 0 to {total - 1}")
    return picked


def _some(total, count):
    """Return which of `total` pictures to take: the first six, or `count` drawn without regard to their order."""
    if count is None or count >= total:
        return range(min(6, total) if count is None else total)
    return sorted(np.random.default_rng(0).permutation(total)[:count].tolist())


def class_of(net, text):
    """Return the class that a name or a number stands for, None for None; NodeError where the network has none such."""
    if text is None:
        return None
    names = class_names(net)
    if text in names:
        return names.index(text)
    if text.isdecimal() and int(text) < len(names):
        return int(text)
    some = ", ".join(names[:10]) + (" …" if len(names) > 10 else "")
    raise NodeError(f"{net.name} has no class {text!r}; it has {len(names)}, by name or as 0 to {len(names) - 1}: {some}")


def unit_of(text):
    """Return the unit that "17" or "17,3,4" stands for, as a tuple; None for None."""
    try:
        return None if text is None else tuple(int(part) for part in text.split(","))
    except ValueError:
        raise NodeError(f"--unit takes a map, or map,row,col, in whole numbers; got {text!r}") from None


def read_classes(path, count):
    """Return `count` class names from a text file: a line each, or a table's last column, perhaps below a header."""
    try:
        with open(path, newline="", encoding="utf-8") as file:
            rows = [row for row in csv.reader(file, delimiter="\t") if row]
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"cannot read the class names in {path}: {error}") from error
    rows = rows[1:] if len(rows) == count + 1 and len(rows[0]) > 1 else rows        # without the header
    names = [row[-1].split(",")[0].strip() for row in rows]
    if len(names) != count:
        raise DataError(f"{path} names {len(names)} classes, the network tells {count} apart")
    return names


def convolutions(net):
    """Return the names of the network's convolutions, from the image up; NodeError where it has none."""
    names = graph.convolutions(net)
    if not names:
        raise NodeError(f"{net.name} has no convolution: name another layer with --layer or --layers; "
                        f"it has {', '.join(net.nodes)}")
    return names


def say_skipped(skipped, limit=3):
    """Tell which files were passed over."""
    if skipped:
        shown = "; ".join(f"{path} ({reason})" for path, reason in skipped[:limit])
        print(f"passed over {len(skipped)} file{'s' * (len(skipped) > 1)} that could not be used: {shown}"
              + (" …" if len(skipped) > limit else ""))


def bar(total, text, unit="batch"):
    """Return a progress wrapper for an iterable of `total` steps; silent where the output is not a terminal."""
    return lambda steps: tqdm(steps, total=total, desc=text, unit=unit, disable=None, leave=False)


def pictures_of(paths, progress=iter):
    """Read image files: ([(path, picture)], skipped); DataError where none can be read."""
    found, skipped = [], []
    for path in progress(paths):
        try:
            found.append((path, data.load_image(path)))
        except DataError as error:
            skipped.append((path, str(error)))
    if not found:
        raise DataError(f"none of {len(paths)} pictures could be read; the first: {skipped[0][1]}")
    return found, skipped

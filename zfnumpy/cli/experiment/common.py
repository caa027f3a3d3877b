"""What the studies' commands share: their arguments, opening networks and data, and leaving a result behind."""

import argparse
import textwrap
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

from ...data import open_named
from ...errors import DataError
from ...experiments.jobs import Source
from ...experiments.study import Figure
from ...paths import writable_folder
from ...report.studies import write_studies
from ..common import MODELS, labelled_as, open_network, say_skipped, whole, wholes

EMBEDDED = "sketches_zfnet"
OUT = "experiments"
NUMBERS = wholes(1, "numbers, as 5,10,20")              # an argument type
FEW_SKETCHES = 2800          # of which a seventh validates: so few that no network is at its best


def add_study(sub, checkpoint=True):
    """Add the arguments that all studies have, and with `checkpoint` those that name a trained network."""
    sub.add_argument("--data", default="sketches", help='a data set as for train, or "sketches", "sketches:N" '
                     "(default: sketches)")
    if checkpoint:
        sub.add_argument("--checkpoint", help="a trained network: a checkpoint, a run's folder, or with --model a plain "
                         f"weight file (default on sketches: {EMBEDDED}, which comes with the package)")
        sub.add_argument("--model", choices=MODELS, help="the architecture that a plain weight file belongs to")
        sub.add_argument("--classes", metavar="FILE", help="class names, one a line (the last column where there are tabs)")
    sub.add_argument("--val-fraction", type=float, help="of a plain folder of classes (default: as in training)")
    sub.add_argument("--seed", type=whole(0), default=0, help="of everything that the study draws (default: 0)")
    sub.add_argument("--out", default=OUT, metavar="FOLDER", help="folder of the experiments, one folder a study inside and "
                     f"index.html over all of them (default: {OUT})")


def add_jobs(sub):
    """Add the argument that says how many networks train at a time."""
    sub.add_argument("--jobs", type=whole(1), default=2, metavar="N", help="networks that train side by side, each with its "
                     "share of the cores (default: 2)")


def add_training(sub):
    """Add the arguments of a study that trains networks of its own on few pictures; `source_of` reads --count."""
    sub.add_argument("--count", type=whole(1), help="training pictures, evenly drawn (default: of sketches "
                     f"{FEW_SKETCHES - FEW_SKETCHES // 7}, else all)")
    sub.add_argument("--epochs", type=whole(1), default=6, help="(default: 6)")
    add_jobs(sub)


def is_sketches(name):
    """Tell whether a data set's name stands for drawn sketches."""
    return str(name).partition(":")[0] == "sketches" and not Path("sketches").is_dir()


def source_of(args, sketches=FEW_SKETCHES):
    """Return the Source of a study that trains: of bare "sketches" only so many, of other data --count training pictures."""
    name = f"sketches:{sketches}" if args.data == "sketches" and is_sketches("sketches") else str(args.data)
    source = Source(name, 0.1 if args.val_fraction is None else args.val_fraction)
    if args.count is None:
        return source
    labels = open_named(name, source.val_fraction, source.seed)[0].labels
    rows = np.sort(np.random.default_rng(args.seed).permutation(len(labels))[:args.count])
    return Source(name, source.val_fraction, rows=tuple(rows.tolist()))


def open_trained(args, named=EMBEDDED):
    """Return (net, train, val) that a study's arguments name; the data split as in the network's training.

    named: the embedded network that sketches are looked at with where none is named. The parts carry the data's own
    labels: `labelled_as` gives them the network's.
    """
    if args.checkpoint is None and not is_sketches(args.data):
        raise DataError(f"name a network with --checkpoint that was trained on {args.data}; zfnumpy train {args.data} makes "
                        "one")
    asked = argparse.Namespace(**(vars(args) | {"checkpoint": args.checkpoint or named, "seed": None}))
    net = open_network(asked)
    train, val = open_parts(args, asked.val_fraction, asked.seed)
    return net, train, val


def open_labelled(args, named=EMBEDDED):
    """Return (net, train, val) as `open_trained`, both parts labelled as the network's classes."""
    net, train, val = open_trained(args, named)
    return net, labelled_as(net, train) if len(train) else train, labelled_as(net, val)


def open_parts(args, val_fraction=None, seed=None):
    """Return (train, val) of the data that a study's arguments name, telling which files were passed over."""
    fraction = args.val_fraction if args.val_fraction is not None else val_fraction
    train, val = open_named(args.data, 0.1 if fraction is None else fraction, seed or 0)
    say_skipped(getattr(train, "skipped", []))
    return train, val


def settings_of(args, **more):
    """Return a study's settings for its JSON: what it was asked for, paths as they were given, and `more`."""
    left_out = {"run", "command", "out", "debug", "backend", "threads", "gpu_memory", "tf32", "jobs", "again"}
    return {name: value for name, value in vars(args).items() if name not in left_out and value is not None} | more


def folder_of(args, name):
    """Return the folder that a study's results, and the networks it trains, go to."""
    return writable_folder(Path(args.out, name))


def finish(args, study, figures):
    """Leave a study's result behind, bring the page over all of them up to date, and tell what came out.

    figures: (file, caption) of those drawn into its folder, in order.
    """
    study.save(folder_of(args, study.name), [Figure(*figure) for figure in figures])
    told(study)
    print(f"\nwrote {Path(args.out, study.name)}: {study.name}.json, {study.name}.npz"
          + "".join(f", {file}" for file, _ in figures) + f"; the page over all is {write_studies(args.out)}")


def square(picture, side):
    """Return a picture uint8 (H, W, 3) as a square of `side` pixels: its middle, resampled."""
    return np.asarray(ImageOps.fit(Image.fromarray(picture), (side, side), Image.Resampling.BILINEAR))


def told(study):
    """Print a study's tables, and the paper's statements beside what was found."""
    print(f"\n{study.title} ({study.source})")
    for table in study.tables():
        print(f"\n{table.title}")
        cells = [[str(cell) for cell in row] for row in (table.columns, *table.rows)]
        widths = [max(map(len, column)) for column in zip(*cells)]
        for first, *rest in cells:
            print("  ".join(["", first.ljust(widths[0]), *(cell.rjust(w) for cell, w in zip(rest, widths[1:]))]))
    print()
    for claim in study.claims():
        verdict = {True: "as in the paper", False: "NOT as in the paper", None: "cannot be told"}[claim.agrees]
        print(f"{claim.says}\n  {verdict}")
        for who, text in (("paper", claim.paper), ("here", claim.found)):
            if text:
                print(textwrap.fill(text, 110, initial_indent=f"  {who + ':':7}", subsequent_indent=" " * 9))

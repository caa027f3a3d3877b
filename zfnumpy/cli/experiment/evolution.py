"""`zfnumpy experiment evolution`: figure 4 of the paper."""

import functools
from pathlib import Path

import numpy as np

from ... import checkpoint, plots
from ...data import open_named
from ...experiments.evolution import evolution, run_snapshots, shown_epochs
from ...experiments.jobs import Job, small_recipe, train_all
from ...train import read_run
from ..common import bar, ops_of, whole
from . import common

NAME = "evolution"


def add_command(what):
    sub = what(NAME, run, "Follow maps through a training: what they look for by and by, and which layers settle first.",
               "zfnumpy experiment evolution --epochs 12")
    common.add_study(sub, checkpoint=False)
    sub.add_argument("--run", dest="run_folder", metavar="FOLDER", help="a training that exists, of zfnumpy "
                     "train --keep-all on this data (default: trains a small network)")
    sub.add_argument("--epochs", type=whole(2), default=12, help="to train, at a constant rate (default: 12)")
    sub.add_argument("--shown", type=common.NUMBERS, metavar="E,E", help="epochs to look at (default: eight, spread as in "
                     "the paper)")
    sub.add_argument("--maps", type=whole(1), default=6, help="maps of each layer that are shown (default: 6)")
    sub.add_argument("--count", type=whole(3), help="training pictures (default: of sketches 3000, else all)")
    sub.add_argument("--searched", type=whole(3), default=1500, help="of them, searched for strong activations "
                     "(default: 1500)")
    return sub


def run(args):
    ops, folder = ops_of(args), common.folder_of(args, NAME)
    source = common.source_of(args, 3500)
    snapshots = {}
    if args.run_folder:
        run_folder = Path(args.run_folder)
        paths = run_snapshots(run_folder, args.shown)
    else:
        recipe = small_recipe(args.epochs, args.seed, drop_at=(), patience=args.epochs + 1, keep_all=True)
        run_folder = train_all([Job("network", recipe, source)], folder, ops)[0].folder
        paths = run_snapshots(run_folder, args.shown or shown_epochs(args.epochs))
        snapshots[0] = functools.partial(recipe.network, source.open()[0], ops)
    snapshots |= {epoch: functools.partial(checkpoint.load, path, ops) for epoch, path in paths.items()}
    history = read_run(run_folder).extra["progress"]["history"]
    train = open_named(source.name, source.val_fraction, source.seed)[0]
    rows = np.sort(np.random.default_rng(args.seed).permutation(len(train))[:args.searched])
    study = evolution(snapshots, train.subset(rows), maps=args.maps, seed=args.seed,
                      accuracy={line["epoch"]: line["val_top1"] for line in history},
                      settings=common.settings_of(args, searched=len(rows)),
                      progress=bar(len(snapshots), "looking", "epoch"))
    common.finish(args, study, plots.save_evolution(folder, study))
    return 0

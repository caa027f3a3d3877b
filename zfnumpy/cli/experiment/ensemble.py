"""`zfnumpy experiment ensemble`: table 2 of the paper."""

from dataclasses import replace

from ... import checkpoint, plots
from ...data import open_named
from ...experiments.ablation import widths
from ...experiments.ensemble import ensemble
from ...experiments.jobs import NO_DROPOUT, QUICK, Job, small_recipe, train_all
from ..common import bar, checkpoint_path, labelled_as, ops_of, whole
from . import common

NAME = "ensemble"
RESIZE = 72                  # pixels that pictures are resized to, of which the networks see 64: room for ten crops


def add_command(what):
    sub = what(NAME, run, "Average several networks, and ten crops of each picture: by how much does the error fall?",
               "zfnumpy experiment ensemble --networks 5")
    common.add_study(sub, checkpoint=False)
    sub.add_argument("--checkpoints", nargs="+", metavar="CHECKPOINT", help="average these networks, train none")
    sub.add_argument("--networks", type=whole(2), default=5, metavar="N", help="to train, beside a wider one (default: 5)")
    common.add_training(sub)
    return sub


def run(args):
    ops, folder, wide = ops_of(args), common.folder_of(args, NAME), None
    source = common.source_of(args)
    if args.checkpoints:
        networks = [checkpoint.load(checkpoint_path(name), ops) for name in args.checkpoints]
    else:
        recipes = {f"seed{seed}": small_recipe(args.epochs, seed, NO_DROPOUT, **QUICK)
                   for seed in range(args.seed, args.seed + args.networks)}
        recipes["wide"] = small_recipe(args.epochs, args.seed, widths("3, 4, 5 wider") | NO_DROPOUT, **QUICK)
        jobs = [Job(name, replace(recipe, resize=RESIZE), source) for name, recipe in recipes.items()]
        *networks, wide = [each.network(ops) for each in train_all(jobs, folder / "networks", ops, args.jobs)]
    part = open_named(source.name, source.val_fraction, source.seed)[1]
    study = ensemble(networks, labelled_as(networks[0], part), wide, seed=args.seed, settings=common.settings_of(args),
                     progress=bar(None, "evaluating", "net"))
    common.finish(args, study, plots.save_ensemble(folder, study))
    return 0

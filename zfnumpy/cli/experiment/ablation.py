"""`zfnumpy experiment ablation`: table 3 of the paper."""

import numpy as np

from ... import plots
from ...data import open_named
from ...errors import ZFNumpyError
from ...experiments.ablation import VARIANTS, ablation
from ...experiments.jobs import QUICK, Source
from ..common import ops_of, whole
from . import common

NAME = "ablation"
SKETCHES = 2800              # of which a seventh validates: so few that no network is at its best


def add_command(what):
    sub = what(NAME, run, "Remove layers, change widths: which of them matter? Trains every variant with the same seeds.",
               "zfnumpy experiment ablation --seeds 3 --jobs 2")
    common.add_study(sub, checkpoint=False)
    sub.add_argument("--variants", metavar="A;B", help=f"only these, beside the whole network: {'; '.join(VARIANTS)} "
                     "(default: all)")
    sub.add_argument("--count", type=whole(1), help=f"training pictures, evenly drawn (default: of sketches "
                     f"{SKETCHES - SKETCHES // 7}, else all)")
    sub.add_argument("--epochs", type=whole(1), default=6, help="(default: 6)")
    sub.add_argument("--dropout", type=float, default=0, help="between the hidden layers; in few epochs it holds back all "
                     "networks that have some (default: 0)")
    sub.add_argument("--seeds", type=whole(1), default=2, metavar="N", help="trainings a variant (default: 2)")
    common.add_jobs(sub)
    return sub


def run(args):
    variants = None if args.variants is None else [text.strip() for text in args.variants.split(";")]
    for name in variants or ():
        if name not in VARIANTS:
            raise ZFNumpyError(f"there is no variant {name!r}; there are {'; '.join(VARIANTS)}")
    source = source_of(args, SKETCHES)
    folder = common.folder_of(args, NAME)
    study = ablation(source, folder / "networks", ops_of(args), variants, args.seeds, args.epochs, args.seed, args.jobs,
                     args.dropout, common.settings_of(args), **QUICK)
    common.finish(args, study, plots.save_ablation(folder, study))
    return 0


def source_of(args, sketches):
    """Return the Source of a study that trains: of bare "sketches" only so many, of other data --count training pictures."""
    name = f"sketches:{sketches}" if args.data == "sketches" and common.is_sketches("sketches") else str(args.data)
    source = Source(name, 0.1 if args.val_fraction is None else args.val_fraction)
    if args.count is None:
        return source
    labels = open_named(name, source.val_fraction, source.seed)[0].labels
    rows = np.sort(np.random.default_rng(args.seed).permutation(len(labels))[:args.count])
    return Source(name, source.val_fraction, rows=tuple(rows.tolist()))

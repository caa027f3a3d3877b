"""`zfnumpy experiment ablation`: table 3 of the paper."""

from ... import plots
from ...errors import ZFNumpyError
from ...experiments.ablation import VARIANTS, ablation
from ...experiments.jobs import QUICK
from ..common import ops_of, whole
from . import common

NAME = "ablation"


def add_command(what):
    sub = what(NAME, run, "Remove layers, change widths: which of them matter? Trains every variant with the same seeds.",
               "zfnumpy experiment ablation --seeds 3 --jobs 2")
    common.add_study(sub, checkpoint=False)
    sub.add_argument("--variants", metavar="A;B", help=f"only these, beside the whole network: {'; '.join(VARIANTS)} "
                     "(default: all)")
    sub.add_argument("--dropout", type=float, default=0, help="between the hidden layers; in few epochs it holds back all "
                     "networks that have some (default: 0)")
    sub.add_argument("--seeds", type=whole(1), default=2, metavar="N", help="trainings a variant (default: 2)")
    common.add_training(sub)
    return sub


def run(args):
    variants = None if args.variants is None else [text.strip() for text in args.variants.split(";")]
    for name in variants or ():
        if name not in VARIANTS:
            raise ZFNumpyError(f"there is no variant {name!r}; there are {'; '.join(VARIANTS)}")
    source = common.source_of(args)
    folder = common.folder_of(args, NAME)
    study = ablation(source, folder / "networks", ops_of(args), variants, args.seeds, args.epochs, args.seed, args.jobs,
                     args.dropout, common.settings_of(args), **QUICK)
    common.finish(args, study, plots.save_ablation(folder, study))
    return 0

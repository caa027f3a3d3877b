"""`zfnumpy experiment generalization`: tables 4 to 6 of the paper, features on new classes."""

from ... import plots
from ...data import open_named
from ...errors import DataError
from ...experiments.generalization import COUNTS, LINES, from_scratch, generalization
from ...experiments.jobs import Source, of_classes
from ...experiments.transfer import half_trained
from ...visualize.ends import last_hidden
from ..common import bar, ops_of, whole
from . import common

NAME = "generalization"
SHARED = "half"              # the folder, beside the studies, of the network that both take features from on sketches


def add_command(what):
    sub = what(NAME, run, "Put a softmax on fixed features: how do they do on new classes, against training from scratch?",
               "zfnumpy experiment generalization --counts 5,20,50 --splits 3")
    add_target(sub)
    sub.add_argument("--layer", help="whose features (default: the last hidden one)")
    sub.add_argument("--counts", type=common.NUMBERS, default=COUNTS, metavar="N,N", help="training pictures a class "
                     f"(default: {','.join(map(str, COUNTS))})")
    sub.add_argument("--no-scratch", action="store_true", help="without networks trained from scratch, which take longest")
    common.add_jobs(sub)
    return sub


def add_target(sub):
    """Add the arguments that this study and `analysis` share."""
    common.add_study(sub)
    sub.add_argument("--splits", type=whole(2), default=5, help="draws of the training pictures (default: 5)")


def opened(args):
    """Return (network, train, test, Source of the new classes).

    On sketches without --checkpoint: a network trained on half of the classes, and the other half. Else the network named,
    and all classes of the data, which should be new to it.
    """
    if args.checkpoint is None and common.is_sketches(args.data):
        folder = common.folder_of(args, SHARED)
        net, _, new = half_trained(folder, args.data, ops_of(args), seed=args.seed)
        source = Source(str(args.data), classes=new)
        return (net, *(of_classes(part, new) for part in open_named(args.data)), source)
    net, train, test = common.open_trained(args)
    if not len(train):
        raise DataError(f"{args.data} has no training part, only pictures to validate on")
    return net, train, test, Source(str(args.data), 0.1 if args.val_fraction is None else args.val_fraction)


def run(args):
    net, train, test, source = opened(args)
    layer = net.node(args.layer).name if args.layer else last_hidden(net)
    study = generalization(net, train, test, layer, args.counts, args.splits, args.seed,
                           common.settings_of(args, network=net.name, layer=layer), bar(None, "fitting", "fit"))
    folder = common.folder_of(args, NAME)
    if not args.no_scratch and not hasattr(train, "present"):      # a net's own accuracy is of one label a picture
        from_scratch(study, train, source, folder / "networks", ops_of(args), seed=args.seed, side_by_side=args.jobs)
    common.finish(args, study, plots.save_generalization(folder, study, LINES))
    return 0

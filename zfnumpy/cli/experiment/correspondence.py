"""`zfnumpy experiment correspondence`: table 1 of the paper."""

import numpy as np

from ... import plots
from ...errors import DataError
from ...experiments.correspondence import correspondence, showing
from ..common import bar, whole
from . import common

NAME = "correspondence"
FACE, BIRD = "left_eye,right_eye,nose,mouth", "beak,crown,throat,nape,tail"


def add_command(what):
    sub = what(NAME, run, "Mask the same part in several pictures: do features change alike, more than for random parts?",
               "zfnumpy experiment correspondence --parts left_eye,nose")
    common.add_study(sub)
    sub.add_argument("--parts", metavar="A,B", help=f"which parts (default: on sketches {FACE}, else {BIRD})")
    sub.add_argument("--class", dest="of_class", metavar="NAME", help="only pictures of this class of the data (default: on "
                     "sketches face, else all)")
    sub.add_argument("--layers", metavar="A,B", help="two layers (default: the last convolution and the last hidden one)")
    sub.add_argument("--group", type=whole(2), default=5, help="pictures a group (default: 5, as in the paper)")
    sub.add_argument("--count", type=whole(2), default=200, help="pictures that are dealt out to groups (default: 200)")
    sub.add_argument("--no-controls", action="store_true", help="without random weights and dealt parts")
    return sub


def run(args):
    drawn = common.is_sketches(args.data)
    net, _, part = common.open_trained(args)
    parts = (args.parts or (FACE if drawn else BIRD)).split(",")
    of_class = args.of_class or ("face" if drawn else None)
    rows = np.random.default_rng(args.seed).permutation(len(part))
    if of_class is not None:
        if of_class not in part.classes:
            raise DataError(f"{args.data} has no class {of_class!r}; it has {', '.join(part.classes[:10])} …")
        rows = rows[part.labels[rows] == part.classes.index(of_class)]
    rows = showing(part, parts, rows)[:args.count]
    layers = args.layers.split(",") if args.layers else None
    study = correspondence(net, part, parts, rows, args.group, layers, args.seed, not args.no_controls,
                           settings=common.settings_of(args, network=net.name, pictures=len(rows)),
                           progress=bar(None, "masking", "part"))
    folder = common.folder_of(args, NAME)
    common.finish(args, study, plots.save_correspondence(folder, study))
    return 0

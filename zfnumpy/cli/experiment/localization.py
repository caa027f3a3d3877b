"""`zfnumpy experiment localization`: boxes from class activation maps, and what they are good for."""

from ... import plots
from ...errors import DataError
from ...experiments.localization import INPUTS, PAPER_ACCURACY, shown_inputs, study_localization
from ..common import bar, labelled_as, whole
from ..see.cams import save_examples
from . import common

NAME = "localization"
GAP = "sketches_gap"
SKETCHES = "relu2", 10       # features and pictures a class: those of the last layer tell nearly all sketches apart
PER_CLASS = 20


def add_command(what):
    sub = what(NAME, run, "Localize objects by class activation maps, and classify what their boxes cut out.",
               "zfnumpy experiment localization --data sketches --out experiments")
    common.add_study(sub)
    sub.add_argument("--layer", help="whose features are classified, averaged over the maps (default: the last hidden "
                     f"layer; on sketches {SKETCHES[0]} where there is one)")
    sub.add_argument("--per-class", type=whole(1), metavar="N", help="training pictures of each class "
                     f"(default: {PER_CLASS}, on sketches {SKETCHES[1]})")
    sub.add_argument("--draws", type=whole(1), default=5, metavar="N", help="times that these are drawn (default: 5)")
    return sub


def run(args):
    net, train, test = common.open_trained(args, GAP)
    drawn = common.is_sketches(args.data)
    layer = args.layer or (SKETCHES[0] if drawn and SKETCHES[0] in net.nodes else None)
    per_class = args.per_class or (SKETCHES[1] if drawn else PER_CLASS)
    try:
        labelled = labelled_as(net, test)
    except DataError as error:                               # no class of the data is the network's
        print(f"{error}: maps are of the network's first guess")
        labelled = None
    study = study_localization(net, train, test, labelled, layer, per_class, args.draws, seed=args.seed,
                               settings=common.settings_of(args, network=net.name), progress=lambda text: bar(None, text))
    folder = common.folder_of(args, NAME)
    figures = plots.save_localization_study(folder, study, INPUTS, PAPER_ACCURACY, shown_inputs(net, test, study))
    save_examples(net, test if labelled is None else labelled, study.found, folder / "examples.png")
    figures.append(("examples.png", "Maps and boxes (orange) with the true boxes (white, dashed): right ones first, then "
                                    "wrong ones; taken evenly from the data."))
    common.finish(args, study, figures)
    return 0

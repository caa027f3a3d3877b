"""`zfnumpy experiment architecture`: figure 6 of the paper."""

from ... import checkpoint, plots
from ...data import Loader
from ...experiments.architecture import ARMS, MEASURES, architecture
from ...experiments.jobs import QUICK
from ...visualize import find_strongest, project_strongest
from ..common import bar, ops_of, whole
from . import common

NAME = "architecture"
SHOWN = 12                   # maps of layer 2 in the picture


def add_command(what):
    sub = what(NAME, run, "Train networks with 11×11 filters at stride 4 and with 7×7 at stride 2: what does each lose?",
               "zfnumpy experiment architecture --seeds 3")
    common.add_study(sub, checkpoint=False)
    sub.add_argument("--seeds", type=whole(1), default=2, metavar="N", help="trainings of each (default: 2)")
    common.add_training(sub)
    return sub


def run(args):
    ops, folder, source = ops_of(args), common.folder_of(args, NAME), common.source_of(args)
    study, paths = architecture(source, folder / "networks", ops, None, args.seeds, args.epochs, args.seed, args.jobs,
                                settings=common.settings_of(args), **QUICK)
    val = source.open()[1]
    found = {}
    for arm in bar(len(ARMS), "projecting", "net")(ARMS):
        net = checkpoint.load(paths[arm], ops)
        batches = ((x, rows) for x, _, rows in Loader(val, 64, net.preprocessing, feeder=ops.feeder()).batches())
        strongest = find_strongest(net, batches, ["conv2"])["conv2"]
        maps = strongest.values[:, 0].argsort()[::-1][:SHOWN]
        found[arm] = project_strongest(net, strongest, val.image, maps)
    common.finish(args, study, plots.save_architecture(folder, study, list(MEASURES), found))
    return 0

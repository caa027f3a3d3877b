"""`zfnumpy experiment analysis`: table 7 of the paper."""

from ... import plots
from ...experiments.analysis import LINES, analysis
from ..common import bar, whole
from . import common
from .generalization import add_target, opened

NAME = "analysis"


def add_command(what):
    sub = what(NAME, run, "Put linear classifiers on every layer's features: which layers are worth most?",
               "zfnumpy experiment analysis --count 30")
    add_target(sub)
    sub.add_argument("--layers", metavar="A,B", help="(default: every convolution's and hidden layer's output)")
    sub.add_argument("--count", type=whole(1), default=30, help="training pictures a class (default: 30)")
    return sub


def run(args):
    net, train, test, _ = opened(args)
    layers = args.layers.split(",") if args.layers else None
    study = analysis(net, train, test, layers, args.count, args.splits, args.seed,
                     common.settings_of(args, network=net.name), bar(None, "fitting", "fit"))
    common.finish(args, study, plots.save_analysis(common.folder_of(args, NAME), study, LINES))
    return 0

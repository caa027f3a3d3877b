"""`zfnumpy experiment invariance`: figure 5 of the paper."""

import numpy as np

from ... import plots
from ...experiments.invariance import invariance, transformed
from ..common import bar, class_names, whole
from . import common

NAME = "invariance"
EXAMPLES, VERSIONS = 5, 3


def add_command(what):
    sub = what(NAME, run, "Move, scale and turn pictures: what changes in the first layer, in the last, and in the answer.",
               "zfnumpy experiment invariance --count 100")
    common.add_study(sub)
    sub.add_argument("--count", type=whole(1), default=100, metavar="N", help="pictures that the numbers are means of, "
                     "evenly drawn; the first five are drawn as lines (default: 100)")
    return sub


def run(args):
    net, _, part = common.open_labelled(args)
    rows = np.random.default_rng(args.seed).permutation(len(part))[:args.count]
    study = invariance(net, part, rows, settings=common.settings_of(args, network=net.name, classes=len(class_names(net))),
                       progress=bar(len(rows), "transforming", "img"))
    if study.skipped:
        print(f"passed over {study.skipped} pictures that cannot be read")
    examples = {way: {kind: _examples(part, study.indices[:EXAMPLES], kind, effect.steps, way)
                      for kind, effect in effects.items()} for way, effects in study.effects.items()}
    folder = common.folder_of(args, NAME)
    common.finish(args, study, plots.save_invariance(folder, study, examples))
    return 0


def _examples(part, rows, kind, steps, way, side=112):
    """Return versions of some pictures, from the first step to the last, as squares: (E, VERSIONS, side, side, 3) uint8."""
    shown = steps[np.linspace(0, len(steps) - 1, VERSIONS).round().astype(int)]
    return np.stack([[common.square(transformed(part, i, part.image(i), kind, step, way), side) for step in shown]
                     for i in rows])

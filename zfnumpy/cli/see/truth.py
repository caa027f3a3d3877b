"""`zfnumpy see truth`: is the picture true? Every method of showing what matters, put to three tests."""

import numpy as np

from ... import plots
from ...paths import writable_folder
from ...visualize import pointing, relevance, sanity
from ...visualize.deletion import FILLS, STEPS
from ...visualize.truth import truth_table
from ..common import add_network, add_pictures, bar, class_names, open_network, open_pictures, say_skipped, whole

MOST_LAYERS = 10                 # at which a deep network's maps are compared: what a figure has room for


def add_commands(what):
    sub = what("truth", see_truth, "Test whether maps of what matters are true: do they change when the network forgets, "
               "does the class fall when what is relevant is deleted, do they point at the object?",
               "zfnumpy see truth runs/demo --data sketches --count 50 --out truth/")
    add_network(sub)
    add_pictures(sub)
    sub.add_argument("--count", type=whole(1), default=50, help="how many pictures of --data, drawn at random (default: 50)")
    sub.add_argument("--methods", metavar="M,N", help=f"(default: all of {', '.join(relevance.METHODS)})")
    sub.add_argument("--layers", metavar="L,M", help="compare maps after these layers' weights are random (default: all, or "
                     f"{MOST_LAYERS} of them)")
    sub.add_argument("--independent", action="store_true", help="randomize each layer by itself, not from the scores down")
    sub.add_argument("--steps", type=whole(1), default=STEPS, help=f"of deletion and insertion (default: {STEPS})")
    sub.add_argument("--fill", choices=FILLS, default="mean", help="what a deleted pixel becomes (default: mean)")
    sub.add_argument("--draws", type=whole(1), default=sanity.DRAWS, help="random networks that the pictures are dealt out "
                     f"to (default: {sanity.DRAWS})")
    sub.add_argument("--draw-seed", type=whole(0), default=0, help="of the random weights and ties (default: 0)")
    sub.add_argument("--batch-size", type=whole(1), default=64, help="pictures passed forward at once (default: 64)")
    sub.add_argument("--out", default=".", help="folder for the table and its figures (default: here)")


def see_truth(args):
    net, out = open_network(args), writable_folder(args.out)
    methods = None if args.methods is None else relevance.chosen([name.strip() for name in args.methods.split(",")])
    found, dataset, skipped = open_pictures(args, net, args.count)
    x = net.prepare([picture.pixels for picture in found])
    answers = net.ops.to_numpy(net.scores(x).argmax(axis=1))
    labels = np.array([answer if picture.label is None else picture.label for picture, answer in zip(found, answers)])
    rows = [picture.index for picture in found]
    masks = parts = None
    if dataset is not None:
        masks, parts = (each(dataset, rows, net.preprocessing) for each in (pointing.true_masks, pointing.true_parts))
    layers = args.layers.split(",") if args.layers else sanity.weighted_layers(net, MOST_LAYERS)
    names = [class_names(net)[k] for k in labels]
    table = truth_table(net, x, methods, labels, masks, parts, names, layers, not args.independent, args.draw_seed,
                        args.draws, args.steps, args.fill, args.batch_size, progress=bar(None, "testing", "step"))
    table.save(out)
    plots.save_truth_table(out / "truth.png", table)
    plots.save_randomization(out / "randomization.png", table.randomization)
    plots.save_perturbation(out / "perturbation.png", table.curves)
    first = net.preprocessing.pixels(net.ops.to_numpy(x[:1]))[0]
    plots.save_picture(out / "randomized_maps.png", plots.randomization_sheet(table.randomization, first))
    known = [picture for picture in found if picture.label is not None]
    about = f"; the network is right about {table.right:.0%}" if len(known) == len(found) else ""
    print(f"{len(found)} pictures{about}")
    print(table)
    say_skipped(skipped)
    print(f"wrote truth.png, .csv, .json and .npz, {'' if parts is None else 'truth_parts.csv, '}randomization.png, "
          f"randomized_maps.png and perturbation.png in {out}")
    return 2 if skipped else 0

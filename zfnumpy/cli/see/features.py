"""`zfnumpy see neighbours`, `see embedding`: a data set as points in a layer's feature space."""

import argparse

import numpy as np

from ... import data, plots
from ...errors import DataError
from ...paths import writable_folder
from ...visualize import gather, nearest_cells, neighbours, pca, thumbnail_grid, tsne
from ..common import add_data, add_network, bar, open_network, open_part, picked_of, say_skipped, whole

QUERIES = 8


def add_commands(what):
    sub = what("neighbours", see_neighbours,
               "Show the nearest neighbours of pictures in a layer's feature space beside those in pixel space.",
               "zfnumpy see neighbours runs/photos --data photos/ --k 8")
    _add_features(sub)
    sub.add_argument("--pick", metavar="I,J", help=f"which pictures of --data, counted from 0 "
                     f"(default: {QUERIES} of different classes)")
    sub.add_argument("--k", type=whole(1), default=8, help="neighbours a picture (default: 8)")
    sub.add_argument("--metric", choices=("euclidean", "cosine"), default="euclidean",
                     help="of the features; pixels are compared by euclidean (default: euclidean)")
    sub.add_argument("--count", type=whole(2), help="look among so many pictures, evenly chosen (default: all)")
    sub.add_argument("--out", default=".", help="folder for neighbours_LAYER.png, .npz and .json (default: here)")

    sub = what("embedding", see_embedding,
               "Lay a data set out in the plane by a layer's features: as points, as pictures, and as a grid of pictures.",
               "zfnumpy see embedding runs/photos --data photos/ --method tsne")
    _add_features(sub)
    sub.add_argument("--method", choices=("pca", "tsne"), default="pca",
                     help="tsne needs scikit-learn (default: pca)")
    sub.add_argument("--count", type=whole(1), default=500, help="so many pictures, evenly chosen (default: 500)")
    sub.add_argument("--perplexity", type=float, default=30, help="about how many neighbours t-SNE looks at (default: 30)")
    sub.add_argument("--start", type=whole(0), default=0, help="the seed of t-SNE (default: 0)")
    sub.add_argument("--out", default=".", help="folder for scatter.png, thumbnails.png, grid.png, .npz and .json "
                     "(default: here)")


def _add_features(sub):
    add_network(sub)
    add_data(sub)
    sub.add_argument("--layer", help="(default: the last hidden one)")
    sub.add_argument("--average", action=argparse.BooleanOptionalAction, help="of a map only its average, or all its "
                     "positions (default: the average where the network itself averages its maps)")
    sub.add_argument("--batch-size", type=whole(1), default=32, help="images at once (default: 32)")


def see_neighbours(args):
    net = open_network(args)
    part, out = _open(args, net)
    found, labels = _gathered(net, part, args)
    rows = _of_all_classes(labels, QUERIES) if args.pick is None else _picked(args, found, part)
    result = neighbours(found, labels, rows, args.k, args.metric, progress=bar(None, "comparing", "part"))
    result.save(out)
    place = {int(i): row for row, i in enumerate(found.indices)}
    path = out / f"neighbours_{found.layer}.png"
    plots.save_picture(path, plots.neighbours_sheet(result, lambda i: found.pictures[place[int(i)]], part.classes))
    k = result.found.shape[1]
    most = np.minimum(np.bincount(labels)[labels] - 1, k).mean() / max(1, k)
    print(f"of a picture's {k} nearest neighbours, over {result.counted} pictures, are of its class:\n"
          f"  {result.share:6.1%} in {found.layer} ({found.values.shape[1]} features)\n"
          f"  {result.share_pixels:6.1%} in pixels\n  {result.chance:6.1%} by chance"
          + (f"\n  {most:6.1%} at most, where classes have so few pictures" if most < 1 else ""))
    print(f"wrote {path}")
    return 0


def see_embedding(args):
    net = open_network(args)
    part, out = _open(args, net)
    found, labels = _gathered(net, part, args)
    if args.method == "pca":
        result = pca(found.values)
    else:
        for _ in bar(1, "t-SNE", "run")(range(1)):
            result = tsne(found.values, args.start, args.perplexity)
    result.save(out)
    about = f"{len(labels)} pictures by {found.layer}: {result.describe()}"
    points = result.points * (1, -1)                          # a plot's y grows upwards, a sheet's rows downwards
    side = int(np.ceil(np.sqrt(3.2 * len(labels))))
    columns = int(np.ceil(np.sqrt(1.3 * len(labels))))
    plots.save_scatter(out / "scatter.png", result.points, labels, part.classes, about)
    plots.save_picture(out / "thumbnails.png", plots.thumbnails_sheet(
        found.pictures, nearest_cells(points, side, side), (side, side), labels, part.classes, about))
    plots.save_picture(out / "grid.png", plots.thumbnails_sheet(
        found.pictures, thumbnail_grid(points, columns), (-(-len(labels) // columns), columns), labels, part.classes,
        f"{about}, moved to a grid", 68))
    print(about)
    print("\n".join(f"wrote {out / name}.png" for name in ("scatter", "thumbnails", "grid")))
    return 0


def _open(args, net):
    """Return the part of the data set to look at and the folder to write to, once the layer is known to exist."""
    if args.layer:
        net.node(args.layer)
    part = open_part(args)
    return part, writable_folder(args.out)


def _gathered(net, part, args):
    """Return the features of the pictures that the arguments choose, with their crops, and their labels."""
    rows = np.arange(len(part))
    if args.count is not None and args.count < len(part):
        rows = np.linspace(0, len(part) - 1, args.count).round().astype(int)
        if getattr(args, "pick", None):
            rows = np.union1d(rows, picked_of(args, len(part)))
    loader = data.Loader(part.subset(rows), args.batch_size, net.preprocessing, feeder=net.ops.feeder())
    batches = ((x, rows[indices]) for x, _, indices in bar(len(loader), "looking")(loader.batches()))
    found = gather(net, batches, args.layer, args.average, pictures=True)
    say_skipped(loader.skipped)
    return found, np.asarray(part.labels)[found.indices]


def _of_all_classes(labels, count):
    """Return up to `count` rows, of different classes as far as there are."""
    order = np.argsort(labels, kind="stable")
    starts = np.flatnonzero(np.diff(labels[order], prepend=-1))
    within = np.arange(len(labels)) - np.repeat(starts, np.diff(np.append(starts, len(labels))))
    turns = order[np.argsort(within, kind="stable")]                     # the first of each class, then the second, …
    turns = turns[:max(count, len(starts))]
    return turns[np.unique(np.linspace(0, len(turns) - 1, min(count, len(turns))).round().astype(int))]


def _picked(args, found, part):
    """Return the rows of the features that --pick names."""
    place = {int(i): row for row, i in enumerate(found.indices)}
    numbers = picked_of(args, len(part))
    missing = [i for i in numbers if i not in place]
    if missing:
        raise DataError(f"--pick {missing[0]}: {part.name(missing[0])} could not be read")
    return [place[i] for i in numbers]

"""`zfnumpy report`: one HTML page that shows a network from all sides."""

import shlex
import time
from pathlib import Path

from .. import checkpoint
from ..errors import CheckpointError, DataError
from ..report.book import Book
from ..report.build import build
from ..report.settings import Settings
from ..report.studies import studies_part
from .common import (
    add_data,
    add_network,
    bar,
    checkpoint_path,
    convolutions,
    open_network,
    open_part,
    picked_of,
    say_skipped,
    whole,
)


def add_commands(command):
    sub = command("report", run_report, "Show a network from all sides in one HTML page that opens anywhere.",
                  "zfnumpy report runs/photos --data photos/ --out report")
    add_network(sub)
    add_data(sub)
    sub.add_argument("--out", default="report", help="folder of the report: index.html, manifest.json, results/ "
                     "(default: report)")
    sub.add_argument("--layers", help="layers with a page (default: every convolution)")
    sub.add_argument("--maps", type=whole(1), metavar="N", help="only the strongest so many maps of each layer "
                     "(default: as many as the page has room for)")
    sub.add_argument("--images", type=whole(1), default=6, metavar="N", help="pictures with a page of their own "
                     "(default: 6)")
    sub.add_argument("--pick", metavar="I,J", help="which pictures of the data, counted from 0")
    sub.add_argument("--count", type=whole(1), metavar="N", help="search so many pictures for strong activations "
                     "(default: all, of a huge set 5000)")
    sub.add_argument("--no-truth", action="store_true", help="leave the truth table out, which takes longest")
    sub.add_argument("--experiments", metavar="FOLDER", help="give the studies in this folder of zfnumpy experiment pages")
    sub.add_argument("--figures", action="store_true", help="also write every figure as PNG, into figures/")
    sub.add_argument("--batch-size", type=whole(1), default=32, help="images, and projections, at once (default: 32)")


def run_report(args):
    net = open_network(args)
    layers = args.layers.split(",") if args.layers else convolutions(net)
    for layer in layers:
        net.node(layer)
    studies = studies_part(args.experiments) if args.experiments else []
    if args.experiments and not studies:
        raise DataError(f"{args.experiments} holds no study; zfnumpy experiment all --out {args.experiments} makes them")
    book = Book(args.out, args.figures)
    part = open_part(args)
    picked = None if args.pick is None else tuple(picked_of(args, len(part)))
    say_skipped(getattr(part, "skipped", []))
    settings = Settings(tuple(dict.fromkeys(layers)), args.maps, args.images, picked, args.count, not args.no_truth,
                        batch=args.batch_size, command=tuple(_command(args)))
    began = time.perf_counter()
    path = build(net, part, book, settings, _about(args), bar, studies)
    say_skipped(book.skipped)
    print(f"wrote {path}, {path.stat().st_size / 1e6:.1f} MB, in {time.perf_counter() - began:.0f} s; open it in a browser")
    return 0


def _command(args):
    """Return the command line without --out, --layers and --maps, for the page to build others upon."""
    words = ["zfnumpy", "report", args.checkpoint, "--data", args.data]
    for name in ("model", "classes"):
        if getattr(args, name):
            words += [f"--{name}", getattr(args, name)]
    return [shlex.quote(word) for word in [*words, *["--train-set"] * args.train_set]]


def _about(args):
    """Return what the checkpoint tells of its training, as text for the first page."""
    facts = {"data": f"{Path(args.data).name or args.data}, {'training' if args.train_set else 'validation'} part"}
    try:
        progress = checkpoint.read(checkpoint_path(args.checkpoint)).extra.get("progress")
    except (CheckpointError, OSError):
        return facts
    if progress:
        facts["trained"] = f"{progress['epoch']} epochs; best validation top-1 in training {progress['best']:.1%}"
    return facts

"""The commands that look at networks and images: predict, project, figure2, info."""

import platform
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import numpy as np

from .. import __version__, checkpoint
from ..errors import BackendError
from ..evaluate import predict
from ..ops import BACKENDS, get_ops
from ..paths import writable_folder
from ..train import LAST
from .common import (
    add_data,
    add_network,
    bar,
    checkpoint_path,
    class_names,
    convolutions,
    open_network,
    open_part,
    ops_of,
    pictures_of,
    say_skipped,
    unit_of,
    whole,
)
from .pictures import RULES, draw_figure2, draw_projections


def add_commands(command):
    sub = command("predict", run_predict, "Name the five likeliest classes of images.",
                  "zfnumpy predict runs/photos holiday.jpg")
    add_network(sub)
    sub.add_argument("images", nargs="+", metavar="IMAGE")
    sub.add_argument("--top", type=whole(1), default=5, help="how many classes to name (default: 5)")
    sub.add_argument("--ten-crop", action="store_true", help="average over four corners, centre and their flips")

    sub = command("project", run_project, "Project what a unit sees down to the pixels, by three rules side by side.",
                  "zfnumpy project runs/photos holiday.jpg --layer conv5 --unit 17 --out holiday_conv5.png")
    add_network(sub)
    sub.add_argument("images", nargs="+", metavar="IMAGE")
    sub.add_argument("--layer", help="(default: the last convolution)")
    sub.add_argument("--unit", help="map, or map,row,col; or a feature (default: each image's strongest map)")
    sub.add_argument("--rule", choices=RULES, help="only this rule (default: all three)")
    sub.add_argument("--out", default="projections.png", help="PNG file (default: projections.png)")

    sub = command("figure2", run_figure2,
                  "For every map of a layer the nine strongest activations of a data set, projected, beside their patches.",
                  "zfnumpy figure2 runs/photos --data photos/ --layers conv3,conv4,conv5 --out runs/photos")
    add_network(sub)
    add_data(sub)
    sub.add_argument("--layers", help="(default: every convolution)")
    sub.add_argument("--maps", type=whole(1), help="only the strongest so many maps of each layer (default: all)")
    sub.add_argument("--top", type=whole(1), default=9, help="activations a map (default: 9)")
    sub.add_argument("--rule", default="deconvnet", choices=RULES, help="(default: deconvnet)")
    sub.add_argument("--batch-size", type=whole(1), default=32, help="images, and projections, at once (default: 32)")
    sub.add_argument("--out", default=".", help="folder for the sheets (default: here)")

    sub = command("info", info,
                  "Show a checkpoint: its network as a table and its training; without one, versions and backends.",
                  "zfnumpy info runs/photos/best.safetensors")
    sub.add_argument("checkpoint", nargs="?", help="a checkpoint or a run's folder (its last)")


def run_predict(args):
    net = open_network(args)
    found, skipped = pictures_of(args.images, bar(len(args.images), "reading", "img"))
    names = class_names(net)
    for path, picture in found:
        x = net.preprocessing.ten_crop([picture]) if args.ten_crop else net.preprocessing([picture])
        p = predict(net, x)[0]
        print(path)
        for k in np.argsort(-p, kind="stable")[:args.top]:
            print(f"  {p[k]:6.1%}  {names[k]}")
    say_skipped(skipped)
    return 2 if skipped else 0


def run_project(args):
    net = open_network(args)
    layer = args.layer or convolutions(net)[-1]
    net.node(layer)
    unit = unit_of(args.unit)
    found, skipped = pictures_of(args.images, bar(len(args.images), "reading", "img"))
    writable_folder(Path(args.out).parent)
    shown = draw_projections(net, found, layer, unit, Path(args.out), (args.rule,) if args.rule else RULES)
    print("\n".join(shown))
    say_skipped(skipped)
    print(f"wrote {args.out}")
    return 2 if skipped else 0


def run_figure2(args):
    net = open_network(args)
    layers = args.layers.split(",") if args.layers else convolutions(net)
    for layer in layers:
        net.node(layer)
    part = open_part(args)
    written = draw_figure2(net, part, layers, writable_folder(args.out), args.maps, args.top, args.rule,
                           args.batch_size)
    print("\n".join(f"wrote {path}" for path in written))
    return 0


def info(args):
    if not args.checkpoint:
        return _versions(args)
    path = Path(args.checkpoint)
    found = checkpoint.read(path / LAST if path.is_dir() else checkpoint_path(args.checkpoint))
    net = checkpoint.rebuild(found, get_ops("numpy"))
    print(net)
    p = net.preprocessing
    if p is not None:
        mean = "the mean image" if p.has_mean_image else f"mean {p.order} ({', '.join(f'{m:.1f}' for m in p.mean)})"
        print(f"\ninputs: shortest side to {p.resize}, crop {p.crop}, {p.order} minus {mean}, times {p.scale:.4g}")
    if net.classes is not None:
        print(f"classes: {', '.join(net.classes)}")
    progress = found.extra.get("progress")
    if progress:
        print(f"trained: {progress['epoch']} epochs and {progress['step']} batches, rate {progress['lr']:g}, "
              f"data {found.extra.get('about', {}).get('data', 'unknown')}")
        for line in progress["history"][-1:]:
            print(f"last epoch: training loss {line['loss']:.3f}, validation top-1 {line['val_top1']:.1%}, "
                  f"best {progress['best']:.1%}")
    return 0


def _versions(args):
    """Show versions, and of every backend, or of the one that the arguments choose, what it computes on or why it cannot."""
    print(f"zfnumpy {__version__}, Python {platform.python_version()}")
    for name in ("numpy", "numba", "pillow", "matplotlib", "safetensors"):
        try:
            print(f"  {name} {version(name)}")
        except PackageNotFoundError:
            print(f"  {name} is not installed")
    if args.backend != "auto" or args.gpu_memory or args.tf32:
        _show_backend(ops_of(args))
        return 0
    for name in BACKENDS:
        if name == "auto":
            continue
        try:
            _show_backend(get_ops(name, args.threads))
        except BackendError as error:
            print(f"backend {name}: does not work here\n    {error}")
    print(f"backend auto: takes {get_ops().name}")
    return 0


def _show_backend(ops):
    first, *others = ops.describe().splitlines()
    print("\n    ".join([f"backend {ops.name}: works, on {first}", *others]))

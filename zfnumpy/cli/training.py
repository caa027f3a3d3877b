"""The commands that train and measure: demo, train, evaluate."""

from dataclasses import fields, replace
from pathlib import Path

import numpy as np

from .. import checkpoint, data, models, plots
from ..errors import ZFNumpyError
from ..estimate import estimate
from ..evaluate import evaluate, matched
from ..paths import free_bytes, writable_folder
from ..train import LAST, Run, Settings
from .common import add_network, bar, class_names, open_data, open_network, ops_of, say_skipped
from .pictures import draw_figure2, draw_filters, draw_projections

TRAINABLE = ("zfnet_mini", "zfnet", "alexnet", "tiny_vgg")


def add_commands(command):
    sub = command("demo", demo, "Draw a data set, train a small ZFNet on it and look inside: a folder of pictures.",
                  "zfnumpy demo --out demo")
    sub.add_argument("--out", default="demo", help="folder for the run and its pictures (default: demo)")
    sub.add_argument("--count", type=int, default=7000, help="sketches to draw, a seventh for validation (default: 7000)")
    sub.add_argument("--epochs", type=int, default=6, help="(default: 6)")
    sub.add_argument("--seed", type=int, default=0)

    sub = command("train", train, "Train a network on a folder of images, one subfolder a class, or on drawn sketches.",
                  "zfnumpy train photos/ --model zfnet_mini --epochs 20 --lr 0.004 --out runs/photos")
    sub.add_argument("data", nargs="?", help='a folder of classes, or of train/ and val/; Tiny-ImageNet; or "sketches"')
    sub.add_argument("--out", help="folder of the run (default: runs/MODEL)")
    sub.add_argument("--model", default="zfnet_mini", choices=TRAINABLE, help="(default: zfnet_mini)")
    sub.add_argument("--init", default="he", choices=("he", "paper"),
                     help="he: inputs of about ±1; paper: weights of 1e-2, inputs of about ±128, filter renormalization")
    sub.add_argument("--mean", default="colour", choices=("colour", "image"), help="what is subtracted (default: colour)")
    sub.add_argument("--epochs", type=int, help="(default: 20)")
    sub.add_argument("--batch-size", type=int, help="(default: 128)")
    sub.add_argument("--lr", type=float, help="learning rate (default: 0.01)")
    sub.add_argument("--momentum", type=float, help="(default: 0.9)")
    sub.add_argument("--weight-decay", type=float, help="(default: 5e-4)")
    sub.add_argument("--dropout", type=float, default=0.5, help="in the fully connected layers (default: 0.5)")
    sub.add_argument("--drop-at", type=_epochs, metavar="E,E", help="lower the rate after these epochs, not by validation")
    sub.add_argument("--patience", type=int, help="stalled epochs that lower the rate (default: 4)")
    sub.add_argument("--augment-pad", type=int, metavar="N", help="pad images by N pixels before random crops (default: 0)")
    sub.add_argument("--no-flip", action="store_true", help="do not mirror images at random")
    sub.add_argument("--val-fraction", type=float, default=0.1, help="of a plain folder of classes (default: 0.1)")
    sub.add_argument("--seed", type=int, help="(default: 0)")
    sub.add_argument("--keep-all", action="store_true", help="keep the checkpoint of every epoch")
    sub.add_argument("--init-from", metavar="CHECKPOINT", help="start from these weights (fine-tuning)")
    sub.add_argument("--freeze", metavar="LAYERS", help="do not train these: conv1,conv2")
    sub.add_argument("--resume", metavar="RUN", help="go on with a run's folder or checkpoint, to the same bits")
    sub.add_argument("--no-estimate", action="store_true", help="start without timing two steps first")

    sub = command("evaluate", run_evaluate,
                  "Measure a network on a data set: top-1, top-5, confusion matrix, accuracy a class.",
                  "zfnumpy evaluate runs/photos --data photos/ --out runs/photos/evaluation")
    add_network(sub)
    sub.add_argument("--data", required=True, help='a data set as for train, or "sketches"; its validation part is used')
    sub.add_argument("--train-set", action="store_true", help="use the training part")
    sub.add_argument("--ten-crop", action="store_true", help="average over four corners, centre and their flips")
    sub.add_argument("--batch-size", type=int, default=64, help="(default: 64)")
    sub.add_argument("--val-fraction", type=float, default=0.1, help="as in training (default: 0.1)")
    sub.add_argument("--seed", type=int, default=0, help="as in training (default: 0)")
    sub.add_argument("--out", help="folder for evaluation.json, confusion.csv, confusion.png and classes.csv")


def _epochs(text):
    return tuple(int(part) for part in text.split(","))


def train(args):
    given = {f.name: getattr(args, f.name) for f in fields(Settings) if getattr(args, f.name, None) not in (None, False)}
    if args.no_flip:
        given["flip"] = False
    if args.resume:
        run = _resume(args, given)
    else:
        if not args.data:
            raise ZFNumpyError('name the data: a folder of classes, or "sketches"')
        run = _start(args, given)
    return _go(run, not args.no_estimate)


def _start(args, given):
    seed = args.seed or 0
    settings = Settings(**given, max_filter_rms=0.1 if args.init == "paper" else None)
    out = writable_folder(args.out or Path("runs", args.model))
    train_set, val_set = open_data(args.data, args.val_fraction, seed)
    say_skipped(getattr(train_set, "skipped", []))
    extra = {} if args.model == "tiny_vgg" else {"dropout": args.dropout}
    net = getattr(models, args.model)(len(train_set.classes), ops_of(args), seed, init=args.init, **extra)
    net.classes = list(train_set.classes)
    if args.init_from:
        fresh = checkpoint.init_from(net, args.init_from)
        print(f"weights from {args.init_from}" + (f", but for {', '.join(fresh)}" if fresh else ""))
    if args.freeze:
        net.freeze(args.freeze.split(","))
    print(f"{len(train_set):,} training and {len(val_set):,} validation images of {len(train_set.classes)} classes")
    if args.model != "tiny_vgg":                                  # which expects RGB over 255, with no mean taken off
        mean = (data.mean_image if args.mean == "image" else data.mean_colour)(train_set, net.preprocessing.resize)
        net.preprocessing = replace(net.preprocessing, mean=mean)
    about = {"data": str(args.data), "val_fraction": args.val_fraction, "seed": seed}
    return Run(net, train_set, val_set, settings, out, about)


def _resume(args, given):
    path = Path(args.resume)
    path = path / LAST if path.is_dir() else path
    about = checkpoint.read(path).extra.get("about", {})
    name = args.data or about.get("data")
    if not name:
        raise ZFNumpyError(f"{path} does not say what data it was trained on; name it before --resume")
    train_set, val_set = open_data(name, about.get("val_fraction", 0.1), about.get("seed", 0))
    run = Run.resume(path, train_set, val_set, ops_of(args), args.out, **given)
    print(f"going on at epoch {run.progress.epoch + 1} of {run.settings.epochs}, batch {run.progress.step + 1}")
    return run


def _go(run, with_estimate=True):
    """Run a training, telling what it will cost, how it goes and how it ended."""
    net, settings = run.net, run.settings
    if with_estimate:
        print("timing two steps (the first run ever also compiles the kernels, half a minute)", flush=True)
        cost = estimate(net, settings.batch_size, settings.epochs - run.progress.epoch, len(run.train_loader.dataset),
                        len(run.val_loader.dataset), settings.keep_all)
        print(f"{net.name}, {sum(w.size for w in net.params.values()):,} parameters, on {net.ops.name}: {cost}")
        if free_bytes(run.out) < cost.disk_bytes:
            raise ZFNumpyError(f"the run needs {cost.disk_bytes / 2**20:.0f} MiB of disk and {run.out} has "
                               f"{free_bytes(run.out) / 2**20:.0f} MiB left; choose another --out")

    def tell(history):
        h = history[-1]
        print(f"epoch {h['epoch']:3d}  loss {h['loss']:.3f}  top-1 {h['top1']:.1%}  validation {h['val_top1']:.1%} "
              f"(loss {h['val_loss']:.3f})  rate {h['lr']:g}  {h['images_per_second']:.0f} images/s", flush=True)
        plots.save_curves(run.out / "curves.png", history)

    history = run.go(tell)
    say_skipped(run.train_loader.skipped + run.val_loader.skipped)
    if run.interrupted:
        print(f"stopped; to go on: zfnumpy train --resume {run.out}")
        return 130
    best = max(history, key=lambda h: h["val_top1"])
    print(f"best validation top-1 {best['val_top1']:.1%} in epoch {best['epoch']}; checkpoints, log.jsonl and curves.png "
          f"are in {run.out}")
    return 0


def run_evaluate(args):
    net = open_network(args)
    part = open_data(args.data, args.val_fraction, args.seed)[0 if args.train_set else 1]
    names = class_names(net)
    if net.classes is not None and list(part.classes) != names:
        part = matched(part, names)
        shared = len(np.unique(part.labels))
        print(f"{shared} of the network's {len(names)} classes are in the data by name: {len(part)} images")
    loader = data.Loader(part, args.batch_size, net.preprocessing)
    found = evaluate(net, loader, args.ten_crop, bar(len(loader), "evaluating"))
    say_skipped(found.skipped)
    right = int(np.trace(found.confusion))
    print(f"top-1 {found.top1:.2%} ({right} of {found.count}), top-5 {found.top5:.2%}, loss {found.loss:.4f}"
          + (", ten crops" if args.ten_crop else ""))
    if args.out:
        found.save(args.out)
        plots.save_confusion(Path(args.out, "confusion.png"), found)
        print(f"evaluation.json, confusion.csv, confusion.png and classes.csv are in {args.out}")
    return 0


def demo(args):
    out = writable_folder(args.out)
    print(f"drawing {args.count:,} sketches of ten classes (kept for the next time)", flush=True)
    train_set, val_set = open_data(f"sketches:{args.count}")
    print("compiling the kernels, the first time only, and training", flush=True)
    net = models.zfnet_mini(10, ops_of(args), args.seed, conv=(32, 64, 96, 96, 64), fc=(256, 256))
    net.classes = train_set.classes
    net.preprocessing = replace(net.preprocessing, mean=data.mean_colour(train_set, net.preprocessing.resize))
    settings = Settings(epochs=args.epochs, batch_size=64, lr=0.01, drop_at=(args.epochs - 1,), seed=args.seed)
    run = Run(net, train_set, val_set, settings, out, {"data": f"sketches:{args.count}"})
    code = _go(run, with_estimate=False)
    if code:
        return code
    found = evaluate(net, run.val_loader)
    found.save(out)
    plots.save_confusion(out / "confusion.png", found)
    draw_filters(net, out)
    draw_figure2(net, val_set, [name for name in net.nodes if name.startswith("conv")], out)
    draw_projections(net, [(val_set.name(i), val_set.image(i)) for i in range(6)], "conv5", None, out / "projections.png")
    print(f"\nlook at {out}/: filters.png, strongest_conv1.png … strongest_conv5.png (figure 2), projections.png, "
          f"curves.png, confusion.png")
    return 0

"""The commands that train and measure: demo, train, evaluate."""

import hashlib
import os
import shlex
from dataclasses import fields, replace
from inspect import signature
from pathlib import Path

import numpy as np

from .. import checkpoint, data, graph, models, plots
from ..errors import DataError, OutOfMemory, ZFNumpyError
from ..estimate import estimate, forget_arrays, largest_batch
from ..evaluate import evaluate
from ..paths import free_bytes, writable_folder
from ..train import LAST, Run, Settings, read_run
from .common import (
    MODELS,
    add_data,
    add_network,
    bar,
    checkpoint_path,
    labelled_as,
    network_of,
    open_network,
    open_part,
    ops_of,
    say_skipped,
    whole,
    wholes,
)
from .pictures import draw_figure2, draw_filters, draw_projections

# What belongs to a new run, with the defaults: a resumed one has its own.
FRESH = {"model": "zfnet_mini", "conv": None, "init": "he", "mean": "colour", "input_scale": 1, "dropout": None,
         "val_fraction": 0.1, "init_from": None, "freeze": None, "gap_head": None, "gap_at": None, "freeze_trunk": False}
EPOCHS, WIDTHS = wholes(1, "epochs, as 13,17"), wholes(0, "widths, as 32,64,96,96,64")      # argument types
TRAINABLE = tuple(name for name in MODELS if name != "squeezenet1_1")


def add_commands(command):
    sub = command("demo", demo, "Draw a data set, train a small ZFNet on it and look inside: a folder of pictures.",
                  "zfnumpy demo --out demo")
    sub.add_argument("--out", default="demo", help="folder for the run and its pictures (default: demo)")
    sub.add_argument("--count", type=whole(2), default=7000, help="sketches to draw, a seventh of them for validation"
                     " (default: 7000)")
    sub.add_argument("--epochs", type=whole(1), default=6, help="(default: 6)")
    sub.add_argument("--seed", type=whole(0), default=0)

    sub = command("train", train, "Train a network on a folder of images, one subfolder a class, or on drawn sketches.",
                  "zfnumpy train photos/ --model zfnet_mini --epochs 20 --lr 0.004 --out runs/photos")
    sub.add_argument("data", nargs="?", help='a folder of classes, or of train/ and val/; Tiny-ImageNet; or "sketches"')
    sub.add_argument("--out", help="folder of the run (default: runs/MODEL)")
    sub.add_argument("--model", default="zfnet_mini", choices=TRAINABLE, help="(default: zfnet_mini)")
    sub.add_argument("--conv", type=WIDTHS, metavar="W,W,W,W,W", help="maps of conv1 to conv5, of the networks that have "
                     "these, 0 to leave one of the last three out (default: the model's)")
    sub.add_argument("--init", default="he", choices=("he", "paper"),
                     help="he: inputs of about ±1; paper: weights of 1e-2, inputs of about ±128, filter renormalization")
    sub.add_argument("--mean", default="colour", choices=("colour", "image"), help="what is subtracted (default: colour)")
    sub.add_argument("--input-scale", type=float, default=1, metavar="F", help="inputs F times as large, first filters as "
                     "much smaller: these learn faster, and come out smoother (default: 1)")
    sub.add_argument("--epochs", type=whole(1), help="(default: 20)")
    sub.add_argument("--batch-size", type=whole(1), help="(default: 128)")
    sub.add_argument("--lr", type=float, help="learning rate (default: 0.01)")
    sub.add_argument("--warmup", type=whole(0), metavar="STEPS", help="steps over which the rate rises to --lr (default: 0)")
    sub.add_argument("--momentum", type=float, help="(default: 0.9)")
    sub.add_argument("--weight-decay", type=float, help="(default: 5e-4)")
    sub.add_argument("--dropout", type=float, help="below the fully connected layers (default: the model's: 0.5, and 0 "
                     "below a GAP head)")
    sub.add_argument("--drop-at", type=EPOCHS, metavar="E,E", help="lower the rate after these epochs, not by validation")
    sub.add_argument("--patience", type=whole(1), help="stalled epochs that lower the rate (default: 4)")
    sub.add_argument("--augment-pad", type=whole(0), metavar="N",
                     help="pad images by N pixels before random crops (default: 0)")
    sub.add_argument("--no-flip", action="store_true", help="do not mirror images at random")
    sub.add_argument("--val-fraction", type=float, default=0.1, help="of a plain folder of classes (default: 0.1)")
    sub.add_argument("--seed", type=whole(0), help="(default: 0)")
    sub.add_argument("--keep-all", action="store_true", help="keep the checkpoint of every epoch")
    sub.add_argument("--init-from", metavar="CHECKPOINT", help="start from these weights (fine-tuning)")
    sub.add_argument("--freeze", metavar="LAYERS", help="do not train these: conv1,conv2")
    sub.add_argument("--gap-head", nargs="?", type=whole(1), const=0, metavar="MAPS",
                     help="replace what stands on the last maps by their average and one linear layer, which class "
                     "activation maps can be read off; MAPS: a 3×3 convolution with so many below. With --init-from the "
                     "network is the checkpoint's, else that of --model")
    sub.add_argument("--gap-at", metavar="LAYER", help="the node that the GAP head stands on (default: the last maps)")
    sub.add_argument("--freeze-trunk", action="store_true", help="train only the GAP head")
    sub.add_argument("--resume", metavar="RUN", help="go on with a run's folder or checkpoint, to the same bits")
    sub.add_argument("--no-estimate", action="store_true", help="start without timing two steps first")

    sub = command("evaluate", run_evaluate,
                  "Measure a network on a data set: top-1, top-5, confusion matrix, accuracy a class.",
                  "zfnumpy evaluate runs/photos --data photos/ --out runs/photos/evaluation")
    add_network(sub)
    add_data(sub)
    sub.add_argument("--ten-crop", action="store_true", help="average over four corners, centre and their flips")
    sub.add_argument("--batch-size", type=whole(1), default=64, help="(default: 64)")
    sub.add_argument("--out", help="folder for evaluation.json, confusion.csv, confusion.png and classes.csv")


def train(args):
    given = {f.name: getattr(args, f.name, None) for f in fields(Settings)}
    given = {name: value for name, value in given.items() if value is not None and value is not False}     # 0 is given
    if args.no_flip:
        given["flip"] = False
    if args.resume:
        run = _resume(args, given)
    else:
        if not args.data:
            raise ZFNumpyError('name the data: a folder of classes, or "sketches"')
        run = _start(args, given)
    return _go(run, args, not args.no_estimate)


def _start(args, given):
    seed = args.seed or 0
    settings = Settings(**given, max_filter_rms=0.1 if args.init == "paper" else None)
    train_set, val_set = data.open_named(args.data, args.val_fraction, seed)
    if not len(train_set):
        raise DataError(f"{args.data} has pictures to validate on (its labels.tsv lists them), and none to train on")
    say_skipped(getattr(train_set, "skipped", []))
    net, default = _network(args, len(train_set.classes), seed)
    net.classes = list(train_set.classes)
    if args.freeze:
        net.freeze([*net.frozen, *args.freeze.split(",")])
    out = writable_folder(args.out or Path("runs", args.model))           # before what takes long, after what may refuse
    if (out / LAST).exists():
        raise ZFNumpyError(f"{out} holds a run already; go on with it by --resume {out}, or choose another --out")
    print(f"{len(train_set):,} training and {len(val_set):,} validation images of {len(train_set.classes)} classes")
    own = default is not None and net.preprocessing is default
    if own and args.model != "tiny_vgg":                                 # whose inputs are RGB over 255, no mean taken off
        mean = (data.mean_image if args.mean == "image" else data.mean_colour)(train_set, net.preprocessing.resize)
        net.preprocessing = replace(net.preprocessing, mean=mean)
    where = str(Path(args.data).resolve()) if Path(args.data).is_dir() else args.data
    about = {"data": where, "val_fraction": args.val_fraction, "seed": seed, "images": _fingerprint(train_set, val_set)}
    return Run(net, train_set, val_set, settings, out, about)


def _network(args, num_classes, seed):
    """Return the network of a new run and the preprocessing that is its model's own, not a trained network's."""
    if args.gap_head is None and (args.gap_at or args.freeze_trunk):
        raise ZFNumpyError(f"{'--gap-at' if args.gap_at else '--freeze-trunk'} belongs to a --gap-head")
    if args.gap_head is not None and args.init_from:
        path = checkpoint_path(args.init_from)
        trunk = network_of(path, None if checkpoint.describes_itself(path) else args.model, ops_of(args))
        if trunk.preprocessing is None:
            raise ZFNumpyError(f"{path} does not say how images are prepared: set net.preprocessing and save it again")
        print(f"weights from {args.init_from}")
        return _with_gap_head(args, trunk, num_classes, seed), None
    extra = {name: getattr(args, name) for name in ("conv", "dropout") if getattr(args, name) is not None}
    unknown = [name for name in extra if name not in signature(getattr(models, args.model)).parameters]
    if unknown:
        raise ZFNumpyError(f"{args.model} takes no --{unknown[0]}")
    net = getattr(models, args.model)(num_classes, ops_of(args), seed, init=args.init, **extra)
    if args.gap_head is not None:
        net = _with_gap_head(args, net, num_classes, seed)
    if not args.init_from:
        models.rescale_input(net, args.input_scale)
    default = net.preprocessing
    if args.init_from:
        fresh = checkpoint.init_from(net, checkpoint_path(args.init_from))
        print(f"weights from {args.init_from}" + (f", but for {', '.join(fresh)}" if fresh else ""))
    return net, default


def _with_gap_head(args, trunk, num_classes, seed):
    net = models.gap_head(trunk, num_classes, args.gap_at, args.gap_head or None, args.dropout or 0, args.freeze_trunk, seed)
    places = "×".join(map(str, net.shapes[net.nodes["gap"].inputs[0]][1:]))
    print(f"a head over maps of {places} places on {args.gap_at or graph.last_maps(trunk)} of {trunk.name}")
    return net


def _fingerprint(train_set, val_set):
    """Return the numbers of images and a hash of which they are, so that a resume notices other data."""
    digest = hashlib.sha256()
    for part in (train_set, val_set):
        for i, label in enumerate(part.labels.tolist()):
            digest.update(os.fsencode(f"{os.path.basename(part.name(i))} {label}\n"))      # the folder itself may move
    return {"training": len(train_set), "validation": len(val_set), "digest": digest.hexdigest()[:16]}


def _resume(args, given):
    given_up = [f"--{name.replace('_', '-')}" for name, otherwise in FRESH.items() if getattr(args, name) != otherwise]
    if given_up:
        raise ZFNumpyError(f"--resume goes on with the run's own network and data; leave out {', '.join(given_up)}")
    about = read_run(args.resume).extra["about"]
    name = args.data or about.get("data")
    if not name:
        raise ZFNumpyError(f"{args.resume} does not say what data it was trained on; name it before --resume")
    train_set, val_set = data.open_named(name, about.get("val_fraction", 0.1), about.get("seed", 0))
    run = Run.resume(args.resume, train_set, val_set, ops_of(args), args.out, **given)
    now, then = _fingerprint(train_set, val_set), about.get("images", _fingerprint(train_set, val_set))
    if now != then:
        raise ZFNumpyError(f"the data has changed: the run had {then['training']} training and {then['validation']} "
                           f"validation images, {name} has {now['training']} and {now['validation']}, or not the same ones; "
                           "start anew from the run's weights with --init-from")
    done, epochs = run.progress.epoch, run.settings.epochs
    print(f"going on at epoch {done + 1} of {epochs}, batch {run.progress.step + 1}" if done < epochs else
          f"all {done} epochs are done; --epochs {done + 10} would go on")
    return run


def _go(run, args, with_estimate):
    """Run a training; where a step has no room in memory, tell how large a batch would have."""
    try:
        return _train(run, with_estimate)
    except MemoryError as error:
        forget_arrays(error)
        raise OutOfMemory(_no_room(run, args, error)) from error


def _no_room(run, args, error):
    """Return what to tell where memory ran out: the batch, the memory there is, and the batch that it has room for."""
    run.train_loader.feeder = run.val_loader.feeder = None        # and with them the batches they hold on the device
    net, batch, out = run.net, run.settings.batch_size, shlex.quote(str(run.out))
    largest, memory = largest_batch(net, batch), net.ops.device_memory()
    if memory is None:
        return f"a step with {batch} images has no room in memory; try a smaller --batch-size ({error})"
    text = (f"a step with {batch} images has no room in the {memory[1] / 2**20:,.0f} MiB of device memory that "
            + (f"--gpu-memory {args.gpu_memory} allows" if args.gpu_memory else "are free"))
    if not largest:
        return f"{text}, nor has a step with one image"
    return (f"{text}; the largest that has is --batch-size {largest}"
            + (f", to go on with --resume {out}" if (run.out / LAST).exists() else ""))


def _train(run, with_estimate):
    """Run a training, telling what it will cost, how it goes and how it ended."""
    net, settings = run.net, run.settings
    if with_estimate and run.progress.epoch < settings.epochs:
        print("timing two steps", flush=True)
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
        print(f"stopped; to go on: zfnumpy train --resume {shlex.quote(str(run.out))}")
        return 130
    best = max(history, key=lambda h: h["val_top1"])
    print(f"best validation top-1 {best['val_top1']:.1%} in epoch {best['epoch']}; checkpoints, log.jsonl and curves.png "
          f"are in {run.out}")
    return 0


def run_evaluate(args):
    net = open_network(args)
    part = open_part(args)
    say_skipped(getattr(part, "skipped", []))
    given, part = part, labelled_as(net, part)
    if part is not given:
        shared, how = len(np.unique(part.labels)), "name" if net.classes is not None else "number"
        print(f"{shared} of the network's {len(part.classes)} classes are in the data by {how}: {len(part)} images")
    if args.out:
        writable_folder(args.out)
    loader = data.Loader(part, args.batch_size, net.preprocessing, feeder=net.ops.feeder())
    found = evaluate(net, loader, args.ten_crop, bar(None if args.ten_crop else len(loader), "evaluating"))
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
    train_set, val_set = data.open_named(f"sketches:{args.count}")
    print("training", flush=True)
    net = models.zfnet_mini(10, ops_of(args), args.seed, conv=(32, 64, 96, 96, 64), fc=(256, 256))
    net.classes = train_set.classes
    net.preprocessing = replace(net.preprocessing, mean=data.mean_colour(train_set, net.preprocessing.resize))
    models.rescale_input(net, 4)
    settings = Settings(epochs=args.epochs, batch_size=32, lr=0.01, warmup=150, drop_at=(args.epochs - 1,), seed=args.seed)
    run = Run(net, train_set, val_set, settings, out, {"data": f"sketches:{args.count}"})
    code = _go(run, args, with_estimate=False)
    if code:
        return code
    found = evaluate(net, run.val_loader)
    found.save(out)
    plots.save_confusion(out / "confusion.png", found)
    draw_filters(net, out)
    draw_figure2(net, val_set, [name for name in net.nodes if name.startswith("conv")], out, per_sheet=96)
    first = [(val_set.name(i), val_set.image(i)) for i in range(min(6, len(val_set)))]
    draw_projections(net, first, "conv5", None, out / "projections.png")
    print(f"\nlook at {out}/: filters.png, strongest_conv1.png … strongest_conv5.png (figure 2), projections.png, "
          f"curves.png, confusion.png")
    return 0

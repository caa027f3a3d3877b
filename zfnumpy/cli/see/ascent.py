"""`zfnumpy see class-image`, `see fool`: pictures made by following a score's gradient."""

import re
from pathlib import Path

import numpy as np

from ... import data, plots
from ...errors import NodeError
from ...evaluate import predict
from ...paths import writable_folder
from ...visualize import class_image, fool, framed, unit_image
from ..common import add_network, add_pictures, bar, class_names, class_of, open_network, open_pictures, say_skipped, whole


def add_commands(what):
    sub = what("class-image", see_class_image,
               "Make images that a class, or a unit of a layer, answers to most, by gradient ascent from noise.",
               "zfnumpy see class-image runs/photos --class 'king penguin,pizza'")
    add_network(sub)
    sub.add_argument("--class", dest="label", metavar="NAME,NAME",
                     help="classes, by name or number (default: the first five)")
    sub.add_argument("--layer", help="a layer instead, with --unit")
    sub.add_argument("--unit", metavar="MAP,MAP", help="its maps or features, each averaged over all positions")
    sub.add_argument("--steps", type=whole(1), default=200, help="(default: 200)")
    sub.add_argument("--starts", type=whole(1), default=1, help="images of each, from different noise (default: 1)")
    for name, default, text in (("lr", 2.0, "the first step, root mean square in pixel units of 0 to 255"),
                                ("l2", 0.01, "share of its distance from grey that the image loses in the first step"),
                                ("blur", 0.0, "a Gaussian of so many pixels every four steps"),
                                ("zoom", 0.1, "resized by up to this share before each look"),
                                ("spread", 1.0, "how much coarse structures come before fine ones"),
                                ("muted", 0.25, "how much grey comes before colour")):
        sub.add_argument(f"--{name}", type=float, default=default, help=f"{text} (default: {default:g})")
    sub.add_argument("--jitter", type=whole(0), help="shifted by up to so many pixels before each look "
                     "(default: a sixteenth of the image)")
    sub.add_argument("--start", type=whole(0), default=0, help="the seed of the noise (default: 0)")
    sub.add_argument("--out", default=".", help="folder for class_images.png, .npz and .json (default: here)")

    sub = what("fool", see_fool,
               "Change pictures as little as can be found, so that the network takes them for another class.",
               "zfnumpy see fool runs/photos holiday.jpg --class teapot")
    add_network(sub)
    add_pictures(sub)
    sub.add_argument("--class", dest="label", metavar="NAME", help="wanted (default: each picture's second likeliest)")
    sub.add_argument("--steps", type=whole(1), default=40, help="(default: 40)")
    sub.add_argument("--confidence", type=float, help="the probability to reach (default: more than any other class)")
    sub.add_argument("--out", default=".", help="folder for fooled.png, the changed pictures, .npz and .json "
                     "(default: here)")


def see_class_image(args):
    net = open_network(args)
    settings = {name: getattr(args, name) for name in ("steps", "starts", "lr", "l2", "blur", "zoom", "spread", "muted",
                                                       "jitter")}
    settings |= {"seed": args.start, "progress": bar(args.steps, "ascending", "step")}
    out, names = writable_folder(args.out), class_names(net)
    if args.layer or args.unit:
        if not (args.layer and args.unit) or args.label:
            raise NodeError("--layer and --unit go together, in place of --class")
        try:
            units = [int(part) for part in args.unit.split(",")]
        except ValueError:
            raise NodeError(f"--unit takes whole numbers, as 3,17; got {args.unit!r}") from None
        found = unit_image(net, args.layer, (np.array(units),), **settings)
        kind = "map" if len(net.shapes[args.layer]) == 3 else "feature"
        texts, notes = [f"{args.layer} {kind} {k}" for k in found.units[:, 0]], [f"{v:.3g}" for v in found.values[-1]]
        title = None
    else:
        labels = range(min(5, len(names))) if args.label is None else [class_of(net, each.strip())
                                                                       for each in args.label.split(",")]
        found = class_image(net, list(labels), **settings)
        p = predict(net, found.images)
        texts = [names[k] for k in found.units[:, 0]]
        notes = [f"{v:.3g}, {row[k]:.0%}" for v, k, row in zip(found.values[-1], found.units[:, 0], p)]
        title = f"what {net.name}'s classes answer to most, score and probability: gradient ascent, {args.steps} steps"
    found.save(out, "class_images")
    plots.save_picture(out / "class_images.png", plots.ascent_sheet(found, texts, notes, title))
    print("\n".join(f"{text}: from {first:.3g} to {note}" for text, note, first in zip(texts, notes, found.values[0])))
    print(f"wrote {out / 'class_images.png'}")
    return 0


def see_fool(args):
    net = open_network(args)
    label = class_of(net, args.label)
    pictures, _, skipped = open_pictures(args, net)
    out, names = writable_folder(args.out), class_names(net)
    x = net.prepare([picture.pixels for picture in pictures])
    found = fool(net, x, label, args.steps, confidence=args.confidence, progress=bar(args.steps, "fooling", "step"))
    found.save(out)
    plots.save_picture(out / "fooled.png", plots.fooled_sheet(found, names))
    written = []
    for picture, changed, k in zip(pictures, found.pictures, found.labels):
        name = Path(picture.name).stem if picture.index is None else f"picture_{picture.index}"
        name = re.sub(r"[^\w.-]+", "_", f"{name}_as_{names[k]}")
        written.append(out / (f"{name}.png" if out / f"{name}.png" not in written else f"{name}_{len(written)}.png"))
        square = net.preprocessing.square(picture.pixels, picture.name)
        plots.save_picture(written[-1], framed(net.preprocessing, changed, square))
    again = predict(net, net.prepare([data.load_image(path) for path in written]))
    for i, (picture, path, p) in enumerate(zip(pictures, written, again)):
        first, wanted, now = found.first[i], found.labels[i], int(p.argmax())
        print(f"{picture.name}: {names[first]} {found.before[i, first]:.0%}; as read from {path}: {names[now]} {p[now]:.0%}"
              + ("" if now == wanted else f", not {names[wanted]}")
              + f"; changed by {found.rms[i]:.2g} of 255 a pixel, at most {found.largest[i]:.3g}")
    say_skipped(skipped)
    print(f"wrote {out / 'fooled.png'}")
    return 2 if skipped else 0

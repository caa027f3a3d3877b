"""`zfnumpy see cam` and `see localize`: class activation maps, and how good the boxes drawn by them are."""

from pathlib import Path

import numpy as np

from ... import data, plots
from ...errors import NodeError
from ...loss import softmax
from ...paths import save_result, writable_folder
from ...visualize import cam, class_maps, gradcam, has_cam, iou, largest_box, localization
from ...visualize.boxes import RIGHT
from ...visualize.localize import METHODS, true_box
from ..common import (
    add_data,
    add_network,
    add_pictures,
    bar,
    class_names,
    class_of,
    labelled_as,
    open_network,
    open_part,
    open_pictures,
    say_skipped,
    whole,
)

EXAMPLES = 5          # pictures with a right box, and as many with a wrong one


def add_commands(what):
    sub = what("cam", see_cam, "Show which places speak for a class, and the box around them.",
               "zfnumpy see cam sketches_gap --data sketches --out seen")
    add_network(sub)
    add_pictures(sub)
    sub.add_argument("--method", choices=("cam", "gradcam"),
                     help="(default: cam where the network's scores are averages of maps, else gradcam)")
    sub.add_argument("--layer", help="whose maps gradcam weighs (default: the last)")
    sub.add_argument("--class", dest="label", metavar="NAME", help="(default: each picture's likeliest)")
    sub.add_argument("--top", type=whole(1), metavar="K", help="show the K likeliest classes (default: 1)")
    sub.add_argument("--threshold", type=float, help="share of the map's maximum where the box is cut (default: "
                     f"cam {METHODS['cam']}, gradcam {METHODS['gradcam']})")
    sub.add_argument("--out", default=".", help="folder for <method>.png, .npz and .json (default: here)")

    sub = what("localize", see_localize, "Compare the boxes that maps draw with the true ones and the best centred box.",
               "zfnumpy see localize sketches_gap --data sketches --out seen")
    add_network(sub)
    add_data(sub)
    sub.add_argument("--methods", metavar="M,M", help=f"of {', '.join(METHODS)} (default: all that the network allows)")
    sub.add_argument("--tune", type=whole(1), metavar="N", help="cut each method's maps where that does best on N "
                     "pictures of the other part of the data, not where its paper does")
    sub.add_argument("--batch-size", type=whole(1), default=32, help="(default: 32)")
    sub.add_argument("--out", default=".", help="folder for localization.* and examples.png (default: here)")


def see_cam(args):
    net = open_network(args)
    label, method = class_of(net, args.label), args.method or ("gradcam" if args.layer or not has_cam(net) else "cam")
    if label is not None and args.top:
        raise NodeError("--class names one class and --top so many; leave one of them out")
    if method == "cam" and args.layer:
        raise NodeError("cam has a layer of its own; --layer goes with --method gradcam")
    pictures, part, skipped = open_pictures(args, net)
    out, names = writable_folder(args.out), class_names(net)
    threshold = METHODS[method] if args.threshold is None else args.threshold
    rows, maps, labels, about = [], [], [], []
    for picture in bar(len(pictures), method, "img")(pictures):
        x, tiles = net.prepare([picture.pixels]), []
        truth = true_box(part, picture.index, net.preprocessing, picture.pixels.shape[:2])
        scores, tape = net.forward(x)
        p = net.ops.to_numpy(softmax(scores))[0]
        for k in np.argsort(-p, kind="stable")[:args.top or 1].tolist() if label is None else [label]:
            found = cam(net, x, k, tape) if method == "cam" else gradcam(net, x, k, args.layer, tape)
            large = found.upsampled()[0]
            box = largest_box(large, threshold)
            overlap = None if truth is None else float(iou(box, truth))
            tiles.append((f"{names[k]} {p[k]:.0%}" + ("" if overlap is None else f" · IoU {overlap:.2f}"), large, box))
            maps.append(found.maps[0])
            labels.append(k)
            about.append({"picture": picture.name, "class": names[k], "probability": float(p[k]), "box": box,
                          "iou": overlap})
        rows.append((_title(picture, names), net.preprocessing.pixels(net.ops.to_numpy(x))[0], truth, tiles))
    for each in about:
        place = "box x {0}–{2}, y {1}–{3}".format(*each["box"]) if each["box"].any() else "no place speaks for it"
        print(f"{each['picture']}: {each['class']} {each['probability']:.1%}, {place}"
              + ("" if each["iou"] is None else f", IoU {each['iou']:.2f} with the true one"))
    true = ", white: the true one" if any(truth is not None for _, _, truth, _ in rows) else ""
    title = f"{method} at {found.layer} of {net.name}; orange: a box around all above {threshold:g} of the maximum{true}"
    plots.save_picture(out / f"{method}.png", plots.class_map_sheet(rows, title))
    save_result(out, method, {"maps": np.array(maps), "labels": labels, "boxes": [each["box"] for each in about]},
                {"method": method, "layer": found.layer, "threshold": threshold, "size": list(found.size), "maps": about})
    say_skipped(skipped)
    print(f"wrote {method}.png, .npz and .json to {out}")
    return 2 if skipped else 0


def _title(picture, names):
    """Return what stands above a picture: its file, and its class where that is known and not said."""
    name = Path(picture.name).name
    known = "" if picture.label is None else names[picture.label]
    return name if known in name else f"{name} ({known})"


def see_localize(args):
    net, part = open_network(args), open_part(args)

    def measure(part, thresholds, text):
        part = labelled_as(net, part)
        methods = args.methods.split(",") if args.methods else None
        return part, localization(net, part, methods, thresholds, args.batch_size, bar(None, text))

    out, thresholds = writable_folder(args.out), None
    if args.tune:
        other = data.open_named(args.data, args.val_fraction, args.seed)[1 if args.train_set else 0]
        tuned = measure(other.subset(_spaced(np.arange(len(other)), args.tune)), None, "tuning")[1]
        thresholds = tuned.best_thresholds()
        print(f"thresholds of {len(tuned.labels)} {'validation' if args.train_set else 'training'} pictures: "
              + ", ".join(f"{method} {value:g}" for method, value in thresholds.items()))
    part, found = measure(part, thresholds, "localizing")
    found.save(out)
    plots.save_localization(out / "localization.png", found)
    save_examples(net, part, found, out / "examples.png")
    say_skipped(found.skipped)
    print(f"{len(found.labels)} pictures with a true box, top-1 {(found.predicted == found.labels).mean():.1%}"
          + (f", {found.without_box} without" if found.without_box else ""))
    print(table(found))
    print(f"wrote localization.json, .csv, .npz, .png and examples.png to {out}")
    return 0


def table(found):
    """Return a Localization as lines of text."""
    lines = [f"{'':12}{'threshold':>10}{'class and box':>15}{'box, class given':>18}{'mean IoU':>10}{'best threshold':>24}"]
    for row in found.rows():
        own = "" if row["threshold"] is None else f"{row['threshold']:g}"
        best = "" if row["threshold"] is None else f"{row['best_known']:.1%} at {row['best_threshold']:g}"
        lines.append(f"{row['method']:12}{own:>10}{row['localized']:>15.1%}{row['known']:>18.1%}{row['mean_iou']:>10.3f}{best:>24}")
    return "\n".join(lines)


def save_examples(net, part, found, path):
    """Write a sheet of pictures whose box by the first method is right, and of others, evenly spaced in the data set."""
    names, overlaps, rows = class_names(net), [found.overlap(m) for m in found.methods], []
    right = overlaps[0] > RIGHT
    for which in (right, ~right):
        for n in _spaced(np.flatnonzero(which), EXAMPLES):
            i, label = int(found.indices[n]), int(found.labels[n])
            x = net.prepare([part.image(i)])
            maps = [(f"{method} · IoU {each[n]:.2f}", class_maps(net, x, label, method)[0], found.boxes[m, n])
                    for m, (method, each) in enumerate(zip(found.methods, overlaps))]
            taken = "" if found.predicted[n] == label else f", taken for {names[found.predicted[n]]}"
            rows.append((names[label] + taken, net.preprocessing.pixels(net.ops.to_numpy(x))[0], found.truth[n], maps))
    plots.save_picture(path, plots.class_map_sheet(
        rows, f"boxes of {net.name} by {', '.join(found.methods)} (orange) and true ones (white): "
              f"right by {found.methods[0]} in the first {min(EXAMPLES, int(right.sum()))} of {len(rows)}"))


def _spaced(rows, count):
    return rows[np.unique(np.linspace(0, len(rows) - 1, min(count, len(rows))).round().astype(int))] if len(rows) else rows

"""`zfnumpy see rules`, `saliency`, `activations` and `segment`: the plainest ways of seeing, of a few pictures."""

import numpy as np

from ... import plots
from ...errors import NodeError
from ...ops.face import RULES
from ...paths import save_result, writable_folder
from ...visualize import activation_maps, by_rules, saliency, segment
from ...visualize.rules import SIDE_BY_SIDE, chosen_unit
from ...visualize.target import class_labels, magnitude
from ..common import (
    add_network,
    add_pictures,
    bar,
    class_names,
    class_of,
    convolutions,
    open_network,
    open_pictures,
    say_skipped,
    unit_of,
    whole,
)
from ..pictures import predicted, projection_row, unit_text


def add_commands(what):
    sub = what("rules", see_rules, "Show what speaks for a class, or for a unit inside, by three rules side by side.",
               "zfnumpy see rules runs/photos cat.jpg dog.jpg --class dog --out seen")
    _add(sub, "rules")
    sub.add_argument("--class", dest="label", metavar="NAME", help="name or number (default: each picture's likeliest)")
    sub.add_argument("--layer", help="a unit of this layer, and not a class (with --unit alone: the last convolution)")
    sub.add_argument("--unit", help="map, or map,row,col; or a feature (default: each picture's strongest map)")

    sub = what("saliency", see_saliency, "Show which pixels a class score answers to.",
               "zfnumpy see saliency runs/photos cat.jpg --noise 0.15 --out seen")
    _add(sub, "saliency")
    sub.add_argument("--class", dest="label", metavar="NAME", help="name or number (default: each picture's likeliest)")
    _add_noise(sub)

    sub = what("activations", see_activations, "Show the maps of layers as grey pictures: where each filter fires.",
               "zfnumpy see activations runs/photos cat.jpg --layer conv2,conv5 --top 48 --out seen")
    _add(sub, "activations_LAYER")
    sub.add_argument("--layer", metavar="LAYER,LAYER", help="(default: the last convolution)")
    sub.add_argument("--top", type=whole(1), metavar="N", help="only the most active maps (default: all, by number)")
    sub.add_argument("--scale", choices=plots.SCALES, default="each",
                     help="up to whose maximum grey goes, each map's or the layer's (default: each)")

    sub = what("segment", see_segment, "Cut the object of a class out of its picture, by saliency and GrabCut.",
               "zfnumpy see segment runs/photos cat.jpg --out seen")
    _add(sub, "segment")
    sub.add_argument("--class", dest="label", metavar="NAME", help="name or number (default: each picture's likeliest)")
    _add_noise(sub)


def _add(sub, name):
    add_network(sub)
    add_pictures(sub)
    sub.add_argument("--out", default=".", help=f"folder for {name}.png, .npz and .json (default: here)")


def _add_noise(sub):
    sub.add_argument("--noise", type=float, default=0.0, metavar="F", help="average over copies with noise of F times the "
                     "image's range, as 0.15 (SmoothGrad; default: 0, none)")
    sub.add_argument("--samples", type=whole(1), default=16, metavar="N", help="how many copies (default: 16)")


def see_rules(args):
    net = open_network(args)
    label, unit = class_of(net, args.label), unit_of(args.unit)
    inside = args.layer is not None or unit is not None
    if inside and label is not None:
        raise NodeError("--class asks about a class, --layer and --unit about a unit inside: give one or the other")
    layer = net.node(args.layer or (convolutions(net)[-1] if inside else net.output)).name
    pictures, out, skipped = _opened(args, net)
    rows, kept, told = [], [], []
    for picture in bar(len(pictures), "projecting", "img")(pictures):
        x = net.prepare([picture.pixels])
        scores, tape = net.forward(x)
        chosen = chosen_unit(net, layer, tape, unit if inside else label)
        found = {rule: net.ops.to_numpy(r) for rule, r in by_rules(net, x, layer, chosen, SIDE_BY_SIDE, tape).items()}
        text = unit_text(net, layer, chosen) if inside else class_names(net)[int(np.ravel(chosen[0])[0])]
        row = projection_row(net, x, scores, text, found)
        if not inside:
            row.append((f"saliency · {text}", plots.faint(magnitude(found["gradient"]))[0]))
        rows.append(row)
        kept.append({rule: net.preprocessing.in_rgb(r)[0] for rule, r in found.items()})
        told.append({"picture": picture.name, "predicted": predicted(net, scores), "shown": text,
                     "unit": [int(np.ravel(part)[0]) for part in chosen]})
    title = f"what makes {layer} fire" if inside else "what speaks for the class"
    plots.save_picture(out / "rules.png", plots.projection_sheet(rows, f"{title}: {', '.join(SIDE_BY_SIDE)}"))
    save_result(out, "rules", {rule: np.stack([each[rule] for each in kept]) for rule in RULES},
                {"network": net.name, "layer": layer, "channels": "RGB", "pictures": told})
    print("\n".join(f"{each['picture']}: {each['predicted']}; shown: {each['shown']}" for each in told))
    return _done(out, ["rules"], skipped)


def see_saliency(args):
    net = open_network(args)
    label = class_of(net, args.label)
    pictures, out, skipped = _opened(args, net)
    rows, maps, told = [], [], []
    for shown, relevance, about in _saliencies(net, pictures, label, args):
        rows.append([(about["predicted"], shown), (f"saliency · {about['class']}", plots.faint(relevance)),
                     ("laid over", plots.overlay(shown, relevance, 0, plots.brightest(relevance)))])
        maps.append(relevance)
        told.append(about)
    plots.save_picture(out / "saliency.png", plots.projection_sheet(rows, "which pixels the class score answers to"))
    save_result(out, "saliency", {"maps": np.stack(maps)}, {"network": net.name, **_noise(args), "pictures": told})
    print("\n".join(f"{each['picture']}: {each['predicted']}; shown: {each['class']}" for each in told))
    return _done(out, ["saliency"], skipped)


def see_activations(args):
    net = open_network(args)
    layers = args.layer.split(",") if args.layer else convolutions(net)[-1:]
    for layer in layers:
        net.node(layer)
    pictures, out, skipped = _opened(args, net)
    x = net.prepare([picture.pixels for picture in pictures])
    shown, written = net.preprocessing.pixels(net.ops.to_numpy(x)), []
    for layer in dict.fromkeys(layers):
        found = activation_maps(net, x, layer)
        found.save(out, network=net.name, pictures=[picture.name for picture in pictures])
        features, names = found.maps.ndim == 2, class_names(net) if layer == net.output else None
        for i, picture in enumerate(shown):
            order = found.most_active(i, args.top or 10) if args.top or features else None
            name = f"activations_{layer}" + (f"_{i + 1}" if len(shown) > 1 else "")
            plots.save_picture(out / f"{name}.png",
                               plots.activation_sheet(found.maps[i], layer, order, picture, args.scale, names))
            written.append(name)
    return _done(out, written, skipped)


def see_segment(args):
    net = open_network(args)
    label = class_of(net, args.label)
    pictures, out, skipped = _opened(args, net)
    rows, found, told = [], [], []
    for shown, relevance, about in _saliencies(net, pictures, label, args):
        found.append(segment(shown, relevance))
        cut = found[-1]
        rows.append([(about["predicted"], shown), (f"saliency · {about['class']}", plots.faint(relevance)),
                     ("orange: surely; blue: surely not", plots.seeded(shown, cut.seeds)),
                     (f"cut out: {cut.mask.mean():.0%}", plots.cut_out(shown, cut.mask, cut.box))])
        told.append({**about, "box": cut.box, "share": cut.mask.mean()})
    plots.save_picture(out / "segment.png", plots.projection_sheet(rows, "the object of the class, cut out by its saliency"))
    arrays = {name: np.stack([getattr(each, name) for each in found]) for name in ("mask", "box", "seeds")}
    save_result(out, "segment", arrays, {"network": net.name, **_noise(args), "pictures": told})
    print("\n".join(f"{each['picture']}: {each['class']}, box {', '.join(map(str, each['box']))}, {each['share']:.0%} of it"
                    for each in told))
    return _done(out, ["segment"], skipped)


def _opened(args, net):
    """Return the pictures that the arguments name, the folder to write to and what could not be read."""
    pictures, _, skipped = open_pictures(args, net)
    return pictures, writable_folder(args.out), skipped


def _saliencies(net, pictures, label, args):
    """Yield (picture as the network sees it, its saliency (H, W), what to tell) of every picture."""
    for picture in bar(len(pictures), "saliency", "img")(pictures):
        x = net.prepare([picture.pixels])
        scores, tape = net.forward(x)
        asked = class_labels(net, scores, label)
        relevance = saliency(net, x, asked, tape, **_noise(args))[0]
        yield (net.preprocessing.pixels(net.ops.to_numpy(x))[0], relevance,
               {"picture": picture.name, "predicted": predicted(net, scores), "class": class_names(net)[int(asked[0])]})


def _noise(args):
    return {"noise": args.noise, "samples": args.samples, "seed": args.seed or 0}


def _done(out, names, skipped):
    say_skipped(skipped)
    print("\n".join(f"wrote {out / name}.png" for name in names))
    return 2 if skipped else 0

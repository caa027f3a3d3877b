"""`zfnumpy see occlusion`: figure 7 of pictures."""

from pathlib import Path

import numpy as np

from ... import data, plots
from ...graph import last_maps
from ...paths import writable_folder
from ...visualize import find_strongest, occlude
from ...visualize.occlusion import positions, strongest_map
from ..common import (
    add_network,
    add_pictures,
    bar,
    class_of,
    open_network,
    open_pictures,
    say_skipped,
    whole,
)

OTHERS = 3                # images whose projections stand beside this one's


def add_commands(what):
    sub = what("occlusion", see_occlusion, "Slide a grey square over pictures and see what becomes of the answer: figure 7.",
               "zfnumpy see occlusion runs/photos holiday.jpg --out holiday/")
    add_network(sub)
    add_pictures(sub)
    sub.add_argument("--size", type=whole(1), help="the square's side in pixels (default: a seventh of the picture's)")
    sub.add_argument("--stride", type=whole(1), help="pixels between its places (default: a quarter of its side)")
    sub.add_argument("--fill", default="mean", choices=("mean", "grey"),
                     help="mean: what the network takes for nothing; grey: 128, as in the paper (default: mean)")
    sub.add_argument("--class", dest="label", metavar="NAME", help="the class asked about, by name or number "
                     "(default: the true one where a data set tells, else the likeliest)")
    sub.add_argument("--layer", help="whose strongest map to follow (default: the last convolution's, rectified)")
    sub.add_argument("--others", metavar="DATA", help="a data set in whose validation part to look for the images that "
                     "excite the same map most (default: among the pictures named)")
    sub.add_argument("--batch-size", type=whole(1), default=64, help="places computed together (default: 64)")
    sub.add_argument("--out", default=".", help="folder for occlusion_<picture>.png, .npz and .json (default: here)")


def see_occlusion(args):
    net = open_network(args)
    label, layer = class_of(net, args.label), args.layer or last_maps(net)
    net.node(layer)
    pictures, _, skipped = open_pictures(args, net)
    out = writable_folder(args.out)
    others = _Others(net, layer, args.others, pictures)
    for name, picture in _named(pictures):
        x = net.prepare([picture.pixels])
        asked = picture.label if label is None else label
        places = positions(x.shape[2:], args.size, args.stride)
        total = -(-len(places[0]) * len(places[1]) // args.batch_size)
        found = occlude(net, x, args.size, args.stride, args.fill, asked, layer, args.batch_size,
                        bar(total, Path(picture.name).name), others.beside(picture.pixels, x))
        found.save(out, name)
        plots.save_occlusion(out / f"{name}.png", found, Path(picture.name).name)
        print(f"{picture.name}: {_summary(found)}")
    say_skipped(skipped)
    print(f"wrote {out / 'occlusion_*.png'}, .npz and .json, {len(pictures)} each")
    return 2 if skipped else 0


class _Others:
    """The images that excite a map of a layer most: of a data set's validation part, or of the pictures themselves."""

    def __init__(self, net, layer, dataset, pictures):
        self.net, self.layer, self.image = net, layer, lambda i: pictures[i].pixels
        batches = ((net.prepare([picture.pixels]), [i]) for i, picture in enumerate(pictures))
        if dataset:
            part = data.open_named(dataset)[1]
            loader = data.Loader(part, 32, net.preprocessing, feeder=net.ops.feeder())
            self.image = part.image
            batches = ((x, indices) for x, _, indices in bar(len(loader), "looking for others")(loader.batches()))
        self.found = find_strongest(net, batches, [layer], OTHERS + 1)[layer]

    def beside(self, pixels, x):
        """Return prepared inputs of the images, without the one of these pixels itself, for its own strongest map."""
        chosen = strongest_map(self.net.activations(x, self.layer)[self.layer])
        images = [self.image(i) for i, value in zip(self.found.images[chosen], self.found.values[chosen])
                  if i >= 0 and value > 0]
        images = [image for image in images if not np.array_equal(image, pixels)][:OTHERS]
        return self.net.prepare(images) if images else None


def _summary(found):
    row, column = found.worst()
    but = "" if found.label == found.label0 else f" (likeliest: {found.name_of(found.label0)})"
    return (f"{found.name_of(found.label)} {found.probability0:.2%}{but}; least, {found.probability.min():.2%}, with the "
            f"square around row {row:.0f}, column {column:.0f}")


def _named(pictures):
    """Yield (name of the files, picture) of each; pictures of one name are numbered."""
    stems = [Path(picture.name).stem if picture.index is None else str(picture.index) for picture in pictures]
    seen = {}
    for stem, picture in zip(stems, pictures):
        seen[stem] = seen.get(stem, 0) + 1
        yield f"occlusion_{stem}" + (f"_{seen[stem]}" if seen[stem] > 1 else ""), picture

"""Figure 7: what becomes of a network's answer as a square slides over the image, in five panels."""

import numpy as np

from .colour import MAP
from .figures import ORANGE, figure_of, save_figure, short
from .sheets import FRAME, signed, tile

# Told apart by every kind of colour vision (Okabe and Ito 2008), the class that is asked about first.
LABELS = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#F0E442", "#56B4E9", "#D55E00")
OTHER = "#BBBBBB"
OTHERS = 3                # images beside this one in panel (c)
SIDE, MARGIN, HEADER, BAR, LEGEND = 2.8, 0.12, 0.5, 0.7, 2.1        # inches: of panels, and beside them


def save_occlusion(path, found, name=None):
    """Draw a visualize.Occlusion as PNG, the panels in the paper's order: (a) the image, with the square where it does most
    harm; (b) activity of the strongest map, (c) its projection here, framed, and in other images; (d) probability of the
    class; (e) the likeliest class, the most frequent by name. A line in a colour bar tells the value without a square.
    """
    H, W = found.image
    width, height = SIDE * min(1, W / H), SIDE * min(1, H / W)
    beside = np.array((MARGIN, BAR, MARGIN, BAR, LEGEND))                # what is to the right of each panel
    lefts = MARGIN + np.arange(5) * width + np.concatenate([[0], np.cumsum(beside)[:-1]])
    size = np.array((lefts[-1] + width + LEGEND, MARGIN + height + HEADER))
    figure = figure_of(*size)
    figure.set_layout_engine("none")                                     # all lies where it is put
    panels = [figure.add_axes((left / size[0], MARGIN / size[1], width / size[0], height / size[1])) for left in lefts]
    for axes in panels:
        axes.set_axis_off()
    _picture(panels[0], found, name)
    kind = "map" if found.unit else "feature"
    _heat(figure, panels[1], found, found.activity, found.activity0, None)
    _title(panels[1], f"(b) {found.layer}, {kind} {found.map}", "total activity, by the square's place")
    panels[2].imshow(_projections(found))
    others = min(len(found.projections) - 1, OTHERS)
    _title(panels[2], f"(c) {kind} {found.map} projected",
           f"here (framed) and in {others} other image{'s' * (others > 1)}" if others else "from where it is strongest")
    _heat(figure, panels[3], found, found.probability, found.probability0, (0, 1))
    _title(panels[3], "(d) probability of", short(found.name_of(found.label)))
    _labels(panels[4], found)
    _title(panels[4], "(e) most probable class", "by the square's place")
    for axes in (panels[0], panels[1], panels[3], panels[4]):
        axes.set(xlim=(0, W), ylim=(H, 0))
    save_figure(figure, path)


def _title(axes, first, second):
    axes.set_title(f"{first}\n{second}", fontsize=9, loc="left", parse_math=False)


def _extent(found):
    """Return where the cells of the positions lie in the picture: left, right, bottom, top."""
    edges = []
    for first, size, stride in zip((found.lefts, found.tops), found.size[::-1], found.stride[::-1]):
        start = first[0] + size / 2 - stride / 2
        edges.append((start, start + len(first) * stride))
    return (*edges[0], *edges[1][::-1])


def _picture(axes, found, name):
    from matplotlib.patches import Rectangle  # as the figure's other parts, only when one is drawn

    H, W = found.image
    if found.pictures is not None:
        axes.imshow(found.pictures[0], extent=(0, W, H, 0))
    row, column = found.worst()
    (h, w), corner = found.size, (column - found.size[1] / 2, row - found.size[0] / 2)
    for colour, width in (("white", 3), ("black", 1.2)):                # seen on light and on dark
        axes.add_patch(Rectangle(corner, w, h, fill=False, edgecolor=colour, linewidth=width))
    _title(axes, f"(a) {short(name or 'the image')}", f"square {h} × {w}, where it does most harm")


def _heat(figure, axes, found, values, before, limits):
    low, high = limits or (min(values.min(), before), max(values.max(), before))
    shown = axes.imshow(values, cmap=MAP, vmin=low, vmax=high if high > low else low + 1, extent=_extent(found),
                        interpolation="nearest")
    left, bottom, width, height = axes.get_position().bounds
    inch = width / (SIDE * min(1, found.image[1] / found.image[0]))
    bar = figure.colorbar(shown, cax=figure.add_axes((left + width + 0.06 * inch, bottom, 0.12 * inch, height)))
    bar.ax.axhline(before, color=ORANGE, linewidth=2)
    bar.ax.tick_params(labelsize=8, length=2, pad=2)


def _labels(axes, found):
    """Draw the likeliest class by position: the one asked about and the most frequent others in colours of their own."""
    from matplotlib.colors import to_rgb
    from matplotlib.patches import Patch

    labels, counts = np.unique(found.labels, return_counts=True)
    frequent = [k for k in labels[np.argsort(-counts, kind="stable")] if k != found.label]
    named = [found.label, *frequent][:len(LABELS)]
    colours = np.full((*found.labels.shape, 3), to_rgb(OTHER))
    for label, colour in zip(named, LABELS):
        colours[found.labels == label] = to_rgb(colour)
    axes.imshow(colours, extent=_extent(found), interpolation="nearest")
    entries = [Patch(color=colour, label=short(found.name_of(label))) for label, colour in zip(named, LABELS)
               if label in labels]
    if len(frequent) >= len(LABELS):
        rest = len(frequent) - len(LABELS) + 1
        entries.append(Patch(color=OTHER, label=f"{rest} other{'s' * (rest > 1)}"))
    legend = axes.legend(handles=entries, loc="upper left", bbox_to_anchor=(1.02, 1), fontsize=8, frameon=False,
                         handlelength=1, borderaxespad=0)
    for text in legend.get_texts():
        text.set_parse_math(False)


def _projections(found):
    """Return the projections as one picture: alone, or two by two with up to three other images', this one's framed."""
    pictures = signed(found.projections[:1 + OTHERS])
    edge = max(1, min(found.image) // 60)
    pictures[0, :edge], pictures[0, -edge:], pictures[0, :, :edge], pictures[0, :, -edge:] = 0, 0, 0, 0
    if len(pictures) == 1:
        return pictures[0]
    return tile(pictures, 2, edge, FRAME) if len(pictures) % 2 == 0 else tile(
        np.concatenate([pictures, np.full_like(pictures[:1], 255)]), 2, edge, FRAME)

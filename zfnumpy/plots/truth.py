"""The table of tests, the curves behind it, and maps of a network that forgets layer by layer."""

import numpy as np
from PIL import Image

from ..visualize.sanity import FAILS_FROM, PASSES_BELOW
from ..visualize.truth import COLUMNS
from .colour import brightest, heat
from .figures import BLUE, ORANGE, figure_of, save_figure
from .sheets import PAPER, enlarge, heading, label, tile

COLOURS = (BLUE, ORANGE, "#2b2b2b", "#7a5aa8", "#8a8a8a")     # with the dashes and markers below: told apart in grey too
DASHES = ("-", (0, (5, 2)), (0, (1, 1.4)), (0, (6, 2, 1, 2)))
MARKERS = "osD^vPX*<>ph"
BARS = {"passes": ("#c3d9ec", None), "partly": ("#f6e3cf", None), "fails": ("#f1cbb0", "////")}


def save_truth_table(path, table):
    """Draw a visualize.TruthTable as PNG: a row a method, a bar behind every number, chance as a line.

    Columns of which nothing is known are left out.
    """
    columns, rows = [name for name, each in table.values.items() if np.isfinite(each).any()], len(table.methods)
    figure = figure_of(3.2 + 1.6 * len(columns), 1.25 + 0.36 * rows)
    grid = figure.subplots(1, len(columns), sharey=True)
    for axes, column in zip(grid, columns):
        mean, deviation, chance = table.mean(column), table.deviation(column), table.chance.get(column)
        for m, (value, spread) in enumerate(zip(mean, deviation)):
            if not np.isfinite(value):
                axes.text(0.5, m, "–", ha="center", va="center", color="0.5", fontsize=9)
                continue
            verdict = table.randomization.verdict(table.methods[m]) if column == "similarity" else "passes"
            colour, hatch = BARS[verdict]
            axes.barh(m, value, height=0.7, color=colour, hatch=hatch, edgecolor="white", linewidth=0)
            text = f"{round(value, 2) + 0.0:.2f} ± {spread:.2f}"                 # + 0.0: never -0.00
            axes.text(0.04, m, f"{text}  {verdict}" if column == "similarity" else text, va="center", fontsize=8.5)
        if chance is not None:
            axes.axvline(chance, color="0.55", linestyle=(0, (1, 1.5)), linewidth=1.2, zorder=0)
        axes.set_title(COLUMNS[column], fontsize=9.5)
        axes.set(xlim=(min(0, np.min(mean[np.isfinite(mean)], initial=0)), 1), ylim=(rows - 0.45, -0.55), xticks=[0, 0.5, 1])
        axes.tick_params(left=False, labelsize=8)
        axes.spines[["top", "right", "left"]].set_visible(False)
    grid[0].set_yticks(range(rows), table.methods, fontsize=9.5)
    figure.suptitle(f"{_pictures(len(table.labels))}: mean ± deviation. Once all weights are random, a map passes up to a "
                    f"rank correlation of {PASSES_BELOW:g} and fails from {FAILS_FROM:g}"
                    + (". Dotted: chance" if table.chance else ""), fontsize=9.5)
    save_figure(figure, path)


def save_randomization(path, found):
    """Draw how alike each method's maps stay, layer by layer: rank correlation and SSIM, a line a method, as PNG."""
    figure = figure_of(13, 5.2)
    left, right = figure.subplots(1, 2, sharey=True)
    ticks = ["trained", *found.layers] if found.cascading else found.layers
    steps, lowest = range(len(ticks)), 0.0
    for axes, values, name in ((left, found.correlation, "rank correlation"), (right, found.ssim, "structural similarity")):
        for m, method in enumerate(found.methods):
            mean, spread = values[m].mean(axis=-1), values[m].std(axis=-1)
            if found.cascading:
                mean, spread = np.r_[1, mean], np.r_[0, spread]
            lowest = min(lowest, float((mean - spread).min()))
            axes.fill_between(steps, mean - spread, mean + spread, color=style(m)["color"], alpha=0.07, linewidth=0)
            axes.plot(steps, mean, label=method, markevery=(m % 3, 3) if len(ticks) > 5 else 1, **style(m))
        axes.axhline(0, color="0.5", linewidth=0.8)
        axes.set_xticks(steps, ticks, rotation=45, ha="right", rotation_mode="anchor")
        axes.set_ylabel(f"{name} with the trained network's map")
        axes.set_xlabel(f"weights random {'from the scores down to' if found.cascading else 'in this layer alone'}")
        axes.grid(alpha=0.25)
        axes.spines[["top", "right"]].set_visible(False)
    left.set_ylim(min(-1.25 * PASSES_BELOW, lowest - 0.03), 1.05)
    left.axhspan(-PASSES_BELOW, PASSES_BELOW, color="0.93", zorder=0)
    left.axhline(FAILS_FROM, color="0.5", linewidth=0.8, linestyle=(0, (4, 3)))
    for height, text in ((-PASSES_BELOW, "passes where it ends in here"), (FAILS_FROM, "fails above")):
        left.text(0.02, height + 0.015, text, fontsize=8.5, color="0.35", transform=left.get_yaxis_transform())
    figure.legend(*left.get_legend_handles_labels(), loc="outside right center", frameon=False, handlelength=4)
    figure.suptitle(f"{_pictures(found.correlation.shape[-1])}: mean ± deviation", fontsize=10)
    save_figure(figure, path)


def save_perturbation(path, curves):
    """Draw deletion and insertion curves {method: (deletion, insertion)}, a line a method, as PNG."""
    figure = figure_of(13, 6.2)
    panels = figure.subplots(1, 2, sharey=True)
    texts = ("deleted, most relevant first: lower is better", "inserted, most relevant first: higher is better")
    for place, (axes, text) in enumerate(zip(panels, texts)):
        for m, (method, pair) in enumerate(curves.items()):
            shares, mean = 100 * pair[place].shares, pair[place].probabilities.mean(axis=0)
            every = max(1, len(shares) // 8)
            area = pair[place].area().mean()
            axes.plot(shares, mean, label=f"{method}  {area:.3f}", markevery=(m % every, every), **style(m))
        axes.set(xlabel=f"% of pixels {text}", ylim=(0, 1.02), xlim=(0, 100))
        axes.grid(alpha=0.25)
        axes.spines[["top", "right"]].set_visible(False)
        axes.legend(frameon=False, handlelength=4, fontsize=8.5, title="mean area under the curve", title_fontsize=8.5,
                    loc="upper center", bbox_to_anchor=(0.5, -0.13), ncols=3)
    panels[0].set_ylabel("probability of the class")
    pair = next(iter(curves.values()))
    figure.suptitle(f"{_pictures(len(pair[0].labels))}: mean. Deleted pixels take the {pair[0].fill}, inserted ones come "
                    f"onto the {pair[1].fill}", fontsize=10)
    save_figure(figure, path)


def randomization_sheet(found, picture, title=None, side=128):
    """Draw one picture's maps while the network forgets, uint8 (H, W, 3): a row a method, a column a step from the top down.

    picture (H, W, 3) uint8, which stands at the left. Each map is scaled by itself, from zero to its 99.5th percentile.
    """
    lines = []
    for m, method in enumerate(found.methods):
        maps = np.abs(found.maps[m])
        cells = [_sized(heat(each, 0, top), side) for each, top in zip(maps, brightest(maps))]
        notes = ["", *(f"{value:.2f}" for value in found.correlation[m, :, found.shown])]
        row = [label(_sized(picture, side), f"{method} {found.verdict(method)}", height=18, size=10),
               *(label(cell, note, height=18) for cell, note in zip(cells, notes))]
        if not m:
            row = [label(cell, name, height=18) for cell, name in zip(row, ["", "trained", *found.layers])]
        lines.append(tile(np.stack(row), len(row), 6, PAPER))
    where = "from the scores down to each layer" if found.cascading else "in each layer alone"
    return heading(np.concatenate(lines),
                   title or f"weights random {where}; above each map its rank correlation with the trained network's; "
                   "the verdict is on all pictures")


def style(index):
    """Return colour, dashes and marker of the line with this number: no two of the first sixty are alike, even in grey."""
    return {"color": COLOURS[index % len(COLOURS)], "linestyle": DASHES[index % len(DASHES)],
            "marker": MARKERS[index % len(MARKERS)], "markersize": 5, "linewidth": 1.6}


def _pictures(count):
    return f"{count} pictures" if count != 1 else "1 picture"


def _sized(picture, side):
    """Bring a picture (H, W, 3) to about `side` pixels: enlarged by a whole factor, or reduced by Pillow."""
    if min(picture.shape[:2]) <= side:
        return enlarge(picture, side)
    factor = side / min(picture.shape[:2])
    size = tuple(round(factor * n) for n in picture.shape[1::-1])
    return np.asarray(Image.fromarray(picture).resize(size, Image.Resampling.BILINEAR))

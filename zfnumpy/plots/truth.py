"""The table of tests, the curves behind it, and maps of a network that forgets layer by layer."""

import numpy as np

from ..visualize.sanity import PASSES_BELOW
from ..visualize.truth import COLUMNS
from .colour import heat
from .figures import BLUE, ORANGE, figure_of, save_figure
from .sheets import PAPER, enlarge, heading, label, tile

COLOURS = (BLUE, ORANGE, "#2b2b2b", "#7a5aa8", "#8a8a8a")     # with the dashes and markers below: told apart in grey too
DASHES = ("-", (0, (5, 2)), (0, (1, 1.4)), (0, (6, 2, 1, 2)))
MARKERS = "osD^vPX*<>ph"


def save_truth_table(path, table):
    """Draw a visualize.TruthTable as PNG: a row a method, a bar from 0 to 1 behind every number, chance as a line."""
    columns, rows = list(table.values), len(table.methods)
    figure = figure_of(3.2 + 1.55 * len(columns), 1.25 + 0.36 * rows)
    grid = figure.subplots(1, len(columns), sharey=True)
    for axes, column in zip(grid, columns):
        mean, deviation, chance = table.mean(column), table.deviation(column), table.chance.get(column)
        for m, (value, spread) in enumerate(zip(mean, deviation)):
            if not np.isfinite(value):
                axes.text(0.5, m, "–", ha="center", va="center", color="0.5", fontsize=9)
                continue
            failed = column == "similarity" and table.verdict(table.methods[m]) == "fails"
            axes.barh(m, value, height=0.7, color="#f1cbb0" if failed else "#c3d9ec",
                      hatch="////" if failed else None, edgecolor="white" if failed else "none", linewidth=0)
            text = f"{value:.2f} ± {spread:.2f}" if column != "similarity" else \
                f"{value:.2f} ± {spread:.2f}  {table.verdict(table.methods[m])}"
            axes.text(0.04 if value >= 0 else 0.1, m, text, ha="left", va="center", fontsize=8.5)
        if chance is not None:
            axes.axvline(chance, color="0.35", linestyle=(0, (4, 2)), linewidth=1)
        axes.set_title(COLUMNS[column], fontsize=9.5)
        axes.set(xlim=(min(0, np.nanmin(mean, initial=0)), 1), ylim=(rows - 0.45, -0.55), xticks=[0, 0.5, 1])
        axes.tick_params(left=False, labelsize=8)
        axes.spines[["top", "right", "left"]].set_visible(False)
    grid[0].set_yticks(range(rows), table.methods, fontsize=9.5)
    figure.suptitle(f"{len(table.labels)} pictures; mean ± deviation over them; passes: within {PASSES_BELOW} of zero once all "
                    "weights are random" + ("; dashed: chance" if table.chance else ""), fontsize=9.5)
    save_figure(figure, path)


def save_randomization(path, found):
    """Draw how alike each method's maps stay, layer by layer: rank correlation and SSIM, a line a method, as PNG."""
    figure = figure_of(13, 5.2)
    left, right = figure.subplots(1, 2, sharey=True)
    steps = np.arange(1 + len(found.layers)) if found.cascading else np.arange(len(found.layers))
    for axes, values, name in ((left, found.correlation, "rank correlation"), (right, found.ssim, "structural similarity")):
        for m, method in enumerate(found.methods):
            mean, spread = values[m].mean(axis=-1), values[m].std(axis=-1)
            if found.cascading:
                mean, spread = np.r_[1, mean], np.r_[0, spread]
            axes.fill_between(steps, mean - spread, mean + spread, color=style(m)["color"], alpha=0.07, linewidth=0)
            axes.plot(steps, mean, label=method, **style(m))
        axes.axhline(0, color="0.5", linewidth=0.8)
        ticks = ["trained", *found.layers] if found.cascading else found.layers
        axes.set_xticks(steps, ticks, rotation=45, ha="right", rotation_mode="anchor")
        axes.set(ylabel=f"{name} with the trained network's map", ylim=(-0.3, 1.05))
        axes.set_xlabel("weights random from the scores down to" if found.cascading else "the one layer whose weights are random")
        axes.grid(alpha=0.25)
        axes.spines[["top", "right"]].set_visible(False)
    left.axhspan(-PASSES_BELOW, PASSES_BELOW, color="0.92", zorder=0)
    left.text(0.02, -PASSES_BELOW + 0.015, "passes, if it ends in here", fontsize=8.5, color="0.35",
              transform=left.get_yaxis_transform())
    figure.legend(*left.get_legend_handles_labels(), loc="outside right center", frameon=False, handlelength=4)
    figure.suptitle(f"mean ± deviation over {found.correlation.shape[-1]} pictures", fontsize=10)
    save_figure(figure, path)


def save_perturbation(path, curves):
    """Draw deletion and insertion curves {method: (deletion, insertion)}, a line a method, as PNG."""
    figure = figure_of(13, 5.2)
    left, right = figure.subplots(1, 2, sharey=True)
    for place, (axes, text) in enumerate(((left, "deleted, most relevant first: lower is better"),
                                          (right, "inserted, most relevant first: higher is better"))):
        for m, (method, pair) in enumerate(curves.items()):
            shares, mean = 100 * pair[place].shares, pair[place].probabilities.mean(axis=0)
            axes.plot(shares, mean, label=method, markevery=(m, max(1, len(shares) // 8)), **style(m))
        axes.set(xlabel=f"% of pixels {text}", ylim=(0, 1.02), xlim=(0, 100))
        axes.grid(alpha=0.25)
        axes.spines[["top", "right"]].set_visible(False)
    left.set_ylabel("probability of the class")
    figure.legend(*left.get_legend_handles_labels(), loc="outside right center", frameon=False, handlelength=4)
    pictures = len(next(iter(curves.values()))[0].labels)
    figure.suptitle(f"mean over {pictures} pictures", fontsize=10)
    save_figure(figure, path)


def randomization_sheet(found, picture, title="", side=112):
    """Draw one picture's maps while the network forgets, uint8 (H, W, 3): a row a method, a column a step from the top down.

    picture (H, W, 3) uint8, which stands at the left. Each map is scaled by itself, from zero to its 99.5th percentile.
    """
    steps = ["trained", *found.layers]
    lines = []
    for m, method in enumerate(found.methods):
        maps = np.abs(found.maps[m])
        high = np.percentile(maps, 99.5, axis=(-2, -1))
        high = np.where(high > 0, high, maps.max(axis=(-2, -1)))
        cells = [heat(each, 0, top if top > 0 else 1) for each, top in zip(maps, high)]
        verdict = "passes" if found.passes(method) else "fails"
        row = [_sized(picture, side), *(_sized(cell, side) for cell in cells)]
        names = [method, *steps]
        alike = ["", *(f"{value:.2f}" for value in found.correlation[m, :, found.shown])]
        row = [label(row[0], names[0], verdict, 18)] + [label(cell, name, note, 18)
                                                        for cell, name, note in zip(row[1:], names[1:], alike)]
        lines.append(tile(np.stack(row), len(row), 6, PAPER))
    title = title or "weights random " + ("from the scores down to each layer" if found.cascading else "in one layer each") \
        + "; at the right of each: its rank correlation with the trained network's map"
    return heading(np.concatenate(lines), title)


def style(index):
    """Return the colour, dashes and marker of the line with this number: no two of the first sixty look alike in grey."""
    return {"color": COLOURS[index % len(COLOURS)], "linestyle": DASHES[index % len(DASHES)],
            "marker": MARKERS[index % len(MARKERS)], "markersize": 5, "linewidth": 1.6}


def _sized(picture, side):
    """Bring a picture (H, W, 3) to about `side` pixels: enlarged by whole factors, or reduced by Pillow."""
    from PIL import Image

    if min(picture.shape[:2]) <= side:
        return enlarge(picture, side)
    factor = side / min(picture.shape[:2])
    size = tuple(round(factor * n) for n in picture.shape[1::-1])
    return np.asarray(Image.fromarray(picture).resize(size, Image.Resampling.BILINEAR))

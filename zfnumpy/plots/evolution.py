"""Figure 4: maps through a training, and when layers settle."""

from pathlib import Path

import numpy as np
from PIL import Image

from .figures import figure_of, save_figure
from .sheets import FRAME, PAPER, heading, label, save_picture, signed, tile
from .truth import style

CELL = 68                    # pixels of a tile


def save_evolution(folder, study):
    """Draw an experiments.Evolution into `folder`: figure 4 and the curves behind it; return [(file, caption)]."""
    folder = Path(folder)
    blocks = []
    for layer in study.layers:
        rows = []
        for m, (each, images) in enumerate(zip(study.projections[layer], study.images[layer])):
            pictures = signed(each)
            cells = [_cell(picture, image >= 0 and bool(r.any())) for picture, image, r in zip(pictures, images, each)]
            if m == 0:
                cells = [label(cell, str(epoch), height=16, size=11) for cell, epoch in zip(cells, study.epochs)]
            rows.append(tile(np.stack(cells), len(cells), 2, FRAME if m else PAPER))
        blocks.append(label(np.concatenate(rows), layer, "columns: epochs", height=22, size=15))
    height = max(block.shape[0] for block in blocks)
    blocks = [np.pad(b, ((0, height - b.shape[0]), (0, 0), (0, 0)), constant_values=255) for b in blocks]
    columns = min(len(blocks), 3)
    title = "the strongest activation of some maps over the training pictures, projected, as training goes on"
    save_picture(folder / "evolution.png", heading(tile(np.stack(blocks), columns, 14, PAPER), title))

    figure = figure_of(12, 4.4)
    left, right = figure.subplots(1, 2)
    for k, layer in enumerate(study.layers):
        left.plot(study.epochs, 100 * study.left()[k], label=layer, **style(k))
        right.plot(study.epochs[1:], study.filters[k], label=layer, **style(k))
    left.set(xlabel="epoch", ylabel="way left, % (of 1 - correlation of the\nresponses with those at the last epoch)")
    right.set(xlabel="epoch", ylabel="movement of the filters since the\nsnapshot before, over their length")
    for axes in (left, right):
        axes.set_xscale("symlog", linthresh=1)
        axes.set_xticks(study.epochs, [str(e) for e in study.epochs])
        axes.minorticks_off()
        axes.set_ylim(bottom=0)
        axes.grid(alpha=0.25)
        axes.spines[["top", "right"]].set_visible(False)
    figure.legend(*left.get_legend_handles_labels(), loc="outside right center", frameon=False, handlelength=4)
    save_figure(figure, folder / "evolution_curves.png")
    searched = study.settings.get("searched", "the")
    return [("evolution.png", f"The strongest activation of a few maps of each convolution over {searched} "
             "training pictures, projected by the deconvnet, a row a map, a column an epoch (0: before training; grey: it "
             "does not fire)."),
            ("evolution_curves.png", "Left: how far the maps' responses still are from their last state, as a share of what "
             "it was at first. Right: how far each layer's filters moved from one snapshot to the next.")]


def _cell(picture, fires):
    if not fires:
        return np.full((CELL, CELL, 3), 128, np.uint8)
    way = Image.Resampling.NEAREST if max(picture.shape[:2]) < CELL else Image.Resampling.BILINEAR
    return np.asarray(Image.fromarray(picture).resize((CELL, CELL), way))

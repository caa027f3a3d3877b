"""Figure 6: two first layers side by side, what layer 2 looks for above each, and the measures."""

from pathlib import Path

import numpy as np

from .figures import BLUE, ORANGE, deviation, figure_of, save_figure
from .sheets import PAPER, filter_sheet, save_picture, strongest_sheet

PANELS = (("low", "middle", "high"), ("dead in layer 1", "dead in layer 2", "weak filters"), ("aliasing",),
          ("change by one pixel",), ("error",))


def save_architecture(folder, study, measures, found):
    """Draw an experiments.Architecture into `folder`; return [(file, caption)].

    measures: the names of study.values' last axis. found {arm: a projected visualize.Strongest of layer 2}.
    """
    folder = Path(folder)
    _stacked(folder / "architecture_filters.png",
             [filter_sheet(study.filters[arm], f"layer 1: {arm}") for arm in study.arms])
    _stacked(folder / "architecture_layer2.png", [strongest_sheet(each, f"layer 2 above {arm}", 1100)
                                                  for arm, each in found.items()])
    figure = figure_of(15, 4)
    for axes, names in zip(figure.subplots(1, len(PANELS), width_ratios=(1.6, 1.6, 1, 1, 1)), PANELS):
        scale = 1 if names[0] in ("aliasing", "change by one pixel") else 100
        for a, arm in enumerate(study.arms):
            each = scale * study.values[a][:, [measures.index(name) for name in names]]
            large, held = "11" in arm, "renorm" in arm
            axes.errorbar(np.arange(len(names)) + 0.17 * (a - (len(study.arms) - 1) / 2), each.mean(axis=0),
                          yerr=deviation(each), color=ORANGE if large else BLUE, marker="s" if large else "o", markersize=7,
                          linestyle="none", capsize=3, fillstyle="none" if held else "full", label=arm)
        axes.set_xticks(range(len(names)), [name.replace(" in ", "\nin ").replace(" by ", "\nby ") for name in names],
                        fontsize=9)
        axes.set_xlim(-0.6, len(names) - 0.4)
        axes.set_ylim(bottom=0)
        axes.set_ylabel("%" if scale == 100 else "")
        axes.grid(axis="y", alpha=0.25)
        axes.spines[["top", "right"]].set_visible(False)
    figure.legend(*axes.get_legend_handles_labels(), loc="outside lower center", ncols=4, frameon=False)
    save_figure(figure, folder / "architecture.png")
    return [("architecture_filters.png", "First-layer filters, each scaled by its own largest weight."),
            ("architecture_layer2.png", "What maps of the second convolution look for: their strongest activations over "
             "the validation pictures, projected, beside the patches they came from."),
            ("architecture.png", "The first layer's energy by frequency band (low below 0.1 cycles a pixel, high from "
             "0.25), dead maps and weak filters, how much layer 2's mean responses vary as the picture is shifted "
             "(aliasing), how far a shift by one pixel changes them, and the error: mean ± deviation over "
             f"{study.values.shape[1]} seeds.")]


def _stacked(path, sheets):
    """Write sheets two by two, one below the other, as a PNG."""
    rows = []
    for pair in (sheets[k:k + 2] for k in range(0, len(sheets), 2)):
        height = max(sheet.shape[0] for sheet in pair) + 12
        rows.append([_padded(sheet, height, max(sheet.shape[1] for sheet in sheets) + 12) for sheet in pair])
    width = max(sum(sheet.shape[1] for sheet in row) for row in rows)
    rows = [np.concatenate(row, axis=1) for row in rows]
    save_picture(path, np.concatenate([_padded(row, row.shape[0], width) for row in rows]))


def _padded(sheet, height, width):
    return np.pad(sheet, ((0, height - sheet.shape[0]), (0, width - sheet.shape[1]), (0, 0)), constant_values=PAPER[0])

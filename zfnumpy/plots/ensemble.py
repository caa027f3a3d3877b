"""Table 2 as a figure: error by the number of networks averaged, with one crop and with ten."""

from pathlib import Path

import numpy as np

from .figures import BLUE, ORANGE, deviation, figure_of, save_figure


def save_ensemble(folder, study):
    """Draw an experiments.Ensemble into `folder`; return [(file, caption)]."""
    figure = figure_of(10, 4.2)
    for top, axes in enumerate(figure.subplots(1, 2)):
        for place, (crops, colour, marker, text) in enumerate(((1, BLUE, "o", "one crop"), (10, ORANGE, "s", "ten crops"))):
            each = [100 * size[:, top] for size in study.sizes[crops]]
            at = np.arange(1, len(each) + 1)
            axes.errorbar(at, [e.mean() for e in each], yerr=[deviation(e) for e in each], color=colour, marker=marker,
                          capsize=3, label=text)
            if np.isfinite(study.wide).all():
                axes.plot(1, 100 * study.wide[place, top], marker="*", markersize=12, color=colour, fillstyle="none",
                          linestyle="none", label=f"one with wider 3, 4, 5, {text}")
                axes.plot(len(each) + 1, 100 * study.together[place, top], marker="P", markersize=9, color=colour,
                          linestyle="none", label=f"all {len(each) + 1}, {text}")
        axes.set(xlabel="networks averaged", ylabel=f"top-{(1, 5)[top]} error, %")
        axes.set_ylim(bottom=0)
        axes.xaxis.get_major_locator().set_params(integer=True)
        axes.grid(alpha=0.25)
        axes.spines[["top", "right"]].set_visible(False)
    figure.legend(*axes.get_legend_handles_labels(), loc="outside lower center", ncols=3, frameon=False)
    save_figure(figure, Path(folder, "ensemble.png"))
    return [("ensemble.png", "Error by the number of networks whose probabilities are averaged, with one crop and with ten: "
             f"mean ± deviation over the sets of networks, on {study.tested:,} pictures.")]

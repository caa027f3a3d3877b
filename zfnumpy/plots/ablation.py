"""Table 3 as a figure: errors of variants, training and validation."""

from pathlib import Path

import numpy as np

from .figures import BLUE, ORANGE, deviation, figure_of, save_figure


def save_ablation(folder, study):
    """Draw an experiments.Ablation into `folder`; return [(file, caption)]."""
    V = len(study.variants)
    figure = figure_of(9, 1.2 + 0.42 * V)
    axes = figure.subplots()
    for values, shift, colour, marker, text in ((study.training, -0.13, BLUE, "o", "training, without dropout"),
                                                (study.error, 0.13, ORANGE, "s", "validation")):
        each = 100 * values
        axes.errorbar(each.mean(axis=1), np.arange(V) + shift, xerr=deviation(each, 1), color=colour, fmt=marker,
                      markersize=6, capsize=3, label=text)
        axes.plot(each, np.repeat(np.arange(V)[:, None] + shift, each.shape[1], axis=1), ".", color=colour, alpha=0.5,
                  markersize=4)
    axes.axvline(100 * study.error[0].mean(), color="0.6", linestyle=":", linewidth=1.2)
    axes.set_yticks(range(V), study.variants)
    axes.set(ylim=(V - 0.5, -0.5), xlabel="top-1 error, % (small dots: each seed)")
    axes.set_xlim(left=0)
    axes.grid(axis="x", alpha=0.25)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False, loc="best")
    save_figure(figure, Path(folder, "ablation.png"))
    return [("ablation.png", f"Top-1 error of the network as it stands (dotted: its validation error) and of its variants, "
             f"trained on {study.images[0]:,} pictures with the same seeds and budget: mean ± deviation over "
             f"{study.error.shape[1]} seeds.")]

"""Localization error by threshold, and what cutting pictures to boxes does to recognition."""

from pathlib import Path

import numpy as np

from .boxes import STYLES
from .figures import BLUE, deviation, figure_of, save_figure
from .sheets import projection_sheet, save_picture

GREYS = ("#b9c4cf", "#8fa3b5", BLUE, "#15486f")               # the four inputs, the map's box in the studies' blue


def save_localization_study(folder, study, inputs, paper, examples=()):
    """Draw an experiments.CamStudy into `folder`: [(file, caption), …].

    inputs: the names of what the classifier saw; paper: {input: the paper's accuracy, %}. examples: rows of (text, picture)
    pairs, pictures as the network sees them.
    """
    folder, figures = Path(folder), []
    _errors(folder / "error_by_threshold.png", study)
    figures.append(("error_by_threshold.png", "Localization error by the threshold at which a map is cut, a line a method; "
                    "ringed: the method's own threshold; dotted: the best centred box."))
    if study.accuracy.size:
        _bars(folder / "crops.png", study, inputs, paper)
        figures.append(("crops.png", "Test pictures that a linear SVM classifies right, by what its features are of: mean "
                        "± deviation over draws of training pictures; diamonds: the paper's, of GoogLeNet-GAP on "
                        "CUB-200-2011."))
    if examples:
        save_picture(folder / "inputs.png", projection_sheet(examples, "what the classifier's features are of"))
        figures.append(("inputs.png", "Test pictures as the network sees them: whole, cut to a centred box, to the box of "
                        "the map of its first guess, and to the true box."))
    return figures


def _errors(path, study):
    found, tops = study.found, study.tops()
    figure = figure_of(2.6 + 4.8 * len(tops), 4.4)
    for axes, top in zip(np.ravel(figure.subplots(1, len(tops), sharey=True)), tops):
        errors = 100 * (1 - found.localized_by_threshold(top))
        for method, each, own, (colour, line, marker) in zip(found.methods, errors, found.chosen, STYLES):
            at = found.thresholds.tolist().index(own)
            axes.plot(found.thresholds, each, color=colour, linestyle=line, marker=marker, markersize=4, label=method)
            axes.plot(own, each[at], color=colour, marker="o", markersize=11, fillstyle="none")
        axes.axhline(study.error("centred box", top)[0], color="0.45", linestyle=":", linewidth=1.5,
                     label="best centred box")
        axes.set(xlabel="threshold, share of the map's maximum", xlim=(0, 0.85), ylim=(0, 102),
                 ylabel=f"top-{top} localization error, %" if not study.guess else "wrong boxes, %")
        axes.grid(alpha=0.25)
        axes.spines[["top", "right"]].set_visible(False)
    figure.legend(*axes.get_legend_handles_labels(), loc="outside right center", frameon=False, handlelength=3)
    figure.suptitle(f"{len(found.labels)} pictures; right above an IoU of 0.5"
                    + ("; maps of the network's first guess" if study.guess else ", and the class right"), fontsize=10)
    save_figure(figure, path)


def _bars(path, study, inputs, paper):
    figure = figure_of(6.4, 4.4)
    axes = figure.subplots()
    mean = 100 * study.accuracy.mean(axis=1)
    spread = 100 * deviation(study.accuracy, 1)
    axes.bar(range(len(inputs)), mean, 0.62, yerr=spread, color=GREYS, capsize=4, ecolor="0.25")
    for k, value in enumerate(mean):
        axes.text(k, 2, f"{value:.1f} ± {spread[k]:.1f}", ha="center", va="bottom", fontsize=9,
                  color="white" if k >= 2 else "black")
    known = [k for k, name in enumerate(inputs) if name in paper]
    axes.plot(known, [paper[inputs[k]] for k in known], color="0.35", linestyle="none", marker="D", markersize=7,
              markerfacecolor="white", label="the paper's, on CUB-200-2011")
    axes.set_xticks(range(len(inputs)), inputs)
    axes.set(ylabel="test pictures right, %", ylim=(0, 100))
    axes.grid(alpha=0.25, axis="y")
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False, loc="upper left", bbox_to_anchor=(0, -0.08))
    axes.set_title(f"linear SVM on {study.settings['features']}, {study.settings['per class']} training pictures a class",
                   fontsize=10)
    save_figure(figure, path)

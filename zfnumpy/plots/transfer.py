"""Features on new classes: accuracy by the number of training pictures, and by layer."""

from pathlib import Path

import numpy as np

from .figures import deviation, figure_of, save_figure
from .truth import style


def save_generalization(folder, study, lines):
    """Draw an experiments.Generalization into `folder`, a line for each of the names `lines`; return [(file, caption)]."""
    figure = figure_of(8, 5)
    axes = figure.subplots()
    for k, (name, values) in enumerate(zip(lines, study.accuracy)):
        known = np.isfinite(values).any(axis=1)
        if known.any():
            each = 100 * values[known]
            axes.errorbar(study.counts[known], np.nanmean(each, axis=1), yerr=deviation(each, 1), capsize=3,
                          label=name, **style(k))
    axes.set_xscale("log")
    axes.set_xticks(study.counts, [str(count) for count in study.counts])
    axes.minorticks_off()
    _finish(figure, axes, "training pictures a class (logarithmic)", study.measure, study.chance)
    save_figure(figure, Path(folder, "generalization.png"))
    return [("generalization.png", f"{study.measure.capitalize()} on {len(study.classes)} new classes by the number of "
             f"training pictures a class: a softmax on fixed features ({study.layer}), networks trained from scratch on the "
             "same pictures, and the controls. Mean ± deviation over splits.")]


def save_analysis(folder, study, lines):
    """Draw an experiments.Analysis into `folder`, a line for each of the names `lines`; return [(file, caption)]."""
    figure = figure_of(max(8, 2.5 + 0.8 * len(study.layers)), 5)
    axes = figure.subplots()
    at = np.arange(len(study.layers))
    for k, (name, values) in enumerate(zip(lines, 100 * study.accuracy)):
        axes.errorbar(at, values.mean(axis=1), yerr=deviation(values, 1), capsize=3, label=name, **style(k))
    axes.set_xticks(at, study.layers, rotation=30 if len(at) > 8 else 0)
    _finish(figure, axes, "layer, from the picture up", "right answers", 1 / len(study.classes))
    save_figure(figure, Path(folder, "analysis.png"))
    return [("analysis.png", f"Right answers of linear classifiers on each layer's features, {study.count} training "
             f"pictures for each of {len(study.classes)} new classes. Mean ± deviation over "
             f"{study.accuracy.shape[2]} splits.")]


def _finish(figure, axes, xlabel, ylabel, chance):
    axes.axhline(100 * chance, color="0.45", linestyle=":", linewidth=1.5, label="chance")
    axes.set(xlabel=xlabel, ylabel=f"{ylabel}, %")
    axes.set_ylim(bottom=0)
    axes.grid(alpha=0.25)
    axes.spines[["top", "right"]].set_visible(False)
    figure.legend(loc="outside right center", frameon=False, handlelength=4)

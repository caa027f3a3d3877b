"""Training curves and confusion matrices."""

from itertools import pairwise

import numpy as np

from .figures import BLUE, ORANGE, figure_of, save_figure, short


def save_curves(path, history):
    """Draw loss and error by epoch from a run's history (train.Run.go), training and validation, as PNG."""
    epochs = [line["epoch"] for line in history]
    figure = figure_of(10, 4)
    left, right = figure.subplots(1, 2)
    for axes, train, val, name in ((left, [h["loss"] for h in history], [h["val_loss"] for h in history], "loss"),
                                   (right, [100 * (1 - h["top1"]) for h in history],
                                    [100 * (1 - h["val_top1"]) for h in history], "top-1 error, %")):
        axes.plot(epochs, train, color=BLUE, marker="o", markersize=3, label="training (augmented, dropout on)")
        axes.plot(epochs, val, color=ORANGE, marker="s", markersize=3, label="validation")
        axes.set(xlabel="epoch", ylabel=name)
        axes.set_ylim(bottom=0)
        axes.xaxis.get_major_locator().set_params(integer=True)
        axes.grid(alpha=0.25)
        axes.spines[["top", "right"]].set_visible(False)
        for before, line in pairwise(history):
            if line["lr"] < before["lr"]:
                axes.axvline(line["epoch"] - 0.5, color="0.55", linestyle=":", linewidth=1)
    left.legend(frameon=False)
    best = max(history, key=lambda h: h["val_top1"])
    right.set_title(f"best validation top-1 {best['val_top1']:.1%}, epoch {best['epoch']}", fontsize=10)
    save_figure(figure, path)


def save_confusion(path, found):
    """Draw an Evaluation's confusion matrix, each row as shares of its class, as PNG."""
    K = len(found.classes)
    shares = found.confusion / np.maximum(found.confusion.sum(axis=1, keepdims=True), 1)
    side = min(4 + 0.32 * K, 16)
    figure = figure_of(side + 1, side)
    axes = figure.subplots()
    image = axes.imshow(shares, cmap="cividis", vmin=0, vmax=1)
    if K <= 60:
        names = [short(name, 30) for name in found.classes]
        axes.set_xticks(range(K), names, rotation=90, parse_math=False)          # a $ in a class name is a $
        axes.set_yticks(range(K), names, parse_math=False)
    if K <= 20:
        for i, j in np.ndindex(K, K):
            if found.confusion[i, j]:
                axes.text(j, i, found.confusion[i, j], ha="center", va="center", fontsize=8,
                          color="black" if shares[i, j] > 0.5 else "white")
    axes.set(xlabel="predicted", ylabel="true", title=f"top-1 {found.top1:.1%} of {found.count} images")
    figure.colorbar(image, ax=axes, label="share of the true class", shrink=0.8)
    save_figure(figure, path)

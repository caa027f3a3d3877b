"""Figure 5: what translation, scale and rotation do to two layers and to the answer."""

from pathlib import Path

from .figures import deviation, figure_of, save_figure, short
from .sheets import tile
from .truth import style

LINES = 5


def save_invariance(folder, study, examples):
    """Draw an experiments.Invariance into `folder`, a figure a way; return [(file, caption)].

    examples {way: {kind: (E, V, H, W, 3) uint8}}: V versions of E pictures, shown at the left.
    """
    return [_save(Path(folder), study, way, effects, examples[way]) for way, effects in study.effects.items()]


def _save(folder, study, way, effects, examples):
    figure = figure_of(15, 3.6 * len(effects))
    grid = figure.subplots(len(effects), 4, squeeze=False, width_ratios=(0.8, 1, 1, 1))
    for row, (kind, effect) in zip(grid, effects.items()):
        top = max(1.2, 1.05 * float(effect.relative[:, :LINES].max()),
                  float((effect.relative.mean(axis=1) + deviation(effect.relative, 1)).max()))
        for axes, letter, values, name in zip(
                row[1:], "234", (*effect.relative, effect.probability),
                (f"distance in {study.layers[0]}", f"distance in {study.layers[1]}", "probability of the true class")):
            mean, spread = values.mean(axis=0), deviation(values)
            axes.fill_between(effect.steps, mean - spread, mean + spread, color="0.9", linewidth=0)
            for i, line in enumerate(values[:LINES]):
                axes.plot(effect.steps, line, linewidth=1, label=short(study.classes[study.labels[i]]),
                          **{name: value for name, value in style(i).items() if name in ("color", "linestyle")})
            axes.plot(effect.steps, mean, color="black", linewidth=2.4, label=f"mean of {len(values)}")
            axes.set(xlabel=UNIT_TEXT[kind], ylabel=name, xlim=(effect.steps[0], effect.steps[-1]))
            axes.set_ylim(0, 1.02 if letter == "4" else top)
            if letter != "4":
                axes.axhline(1, color="0.5", linestyle=":", linewidth=1.2)
            axes.grid(alpha=0.25)
            axes.spines[["top", "right"]].set_visible(False)
        pictures = examples[kind]
        row[0].imshow(tile(pictures.reshape(-1, *pictures.shape[2:]), pictures.shape[1], max(1, pictures.shape[2] // 32)))
        row[0].set_axis_off()
        row[0].set_title(kind, fontsize=11)
    handles, labels = grid[0, 3].get_legend_handles_labels()
    legend = figure.legend(handles, labels, loc="outside lower center", ncols=len(labels), frameon=False)
    for text in legend.get_texts():
        text.set_parse_math(False)
    how = {"warped": "the picture is resampled, its edges continued", "drawn": "the object is drawn anew"}
    figure.suptitle(f"{how[way]}; distances in units of the mean distance between different pictures (dotted); "
                    "grey: mean ± deviation", fontsize=10)
    file = f"invariance_{way}.png"
    save_figure(figure, folder / file)
    return file, (f"Translation, scale and rotation ({how[way]}): examples, the distance of the features from those of the "
                  f"picture as it was in {study.layers[0]} and in {study.layers[1]}, and the probability of the true class. "
                  f"Lines: {min(LINES, len(study.indices))} pictures; black: the mean of {len(study.indices)}.")


UNIT_TEXT = {"translation": "vertical translation, % of the side", "scale": "scale, times", "rotation": "rotation, degrees"}

"""The results as an aligned table and as JSON."""

import json

import numpy as np

UNITS = {"s": (1, "{:.2f} s"), "ms": (1e3, "{:.1f} ms"), "GiB": (2**-30, "{:.2f} GiB")}       # from seconds, from bytes
COLUMNS = ("part", "what", "zfnumpy", "contiguous", "channels-last", "compiled", "ratio", "of sgemm")


def result(part, what, unit, samples, work=None, rate=None, **more):
    """Return one measurement as plain data, medians of the rounds.

    samples: {side: [number a round]}, seconds or bytes, of which "zfnumpy" is ours and the others are PyTorch's, in its
    layouts or compiled; None stands for a side that could not be timed. The ratio is the median of the rounds' ratios of
    PyTorch's best side to ours: above 1 zfnumpy needs less. `work` operations over the time and over `rate` (operations
    a second) give our share of the machine's matrix rate, and the best of PyTorch's.
    """
    medians = {side: float(np.median(each)) for side, each in samples.items() if each}
    found = {"part": part, "what": what, "unit": "bytes" if unit == "GiB" else "seconds", "shown": unit, **medians, **more}
    others = {side: value for side, value in medians.items() if side != "zfnumpy"}
    if others:
        found["best"] = min(others, key=others.get)
        found["ratio"] = float(np.median(np.divide(samples[found["best"]], samples["zfnumpy"])))
    if work and rate:
        found["share"] = work / medians["zfnumpy"] / rate
        if others:
            found["best_share"] = work / others[found["best"]] / rate
    return found


def aligned(rows):
    """Return rows of cells as lines, the columns of one width; the first two flush left."""
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    lines = ("  ".join(cell.ljust(w) if i < 2 else cell.rjust(w) for i, (cell, w) in enumerate(zip(row, widths)))
             for row in rows)
    return "\n".join(line.rstrip() for line in lines)


def header(machine):
    """Return the machine in two lines."""
    tile, vector = machine["tile"], machine["vector_bytes"]
    kernel = (f", vectors of {vector} bytes, register tile {tile[0]}×{tile[1]}" if tile else "")
    torch = f"PyTorch {machine['torch']}" if machine["torch"] else "PyTorch is not installed: nothing to compare with"
    return (f"{machine['threads']} of {machine['cores']} cores ({machine['architecture']}){kernel}; "
            f"sgemm {machine['sgemm_flops'] / 1e9:.0f} GFLOP/s\n"
            f"Python {machine['python']}, NumPy {machine['numpy']}, numba {machine['numba']}, {torch}; float32")


def accuracy(model, errors):
    """Return the errors of both sides in a line each: the scores' and the worst gradient's."""
    lines = [f"{model}: errors against float64, relative"]
    for side, each in errors.items():
        grads = {name: error for name, error in each.items() if name != "scores"}
        worst = max(grads, key=grads.get)
        lines.append(f"  {side}: scores {each['scores']:.1e}, gradients at most {grads[worst]:.1e} ({worst})")
    return "\n".join(lines)


def table(results):
    """Return the measurements as one aligned table; a column that nothing stands in is left out."""
    rows = [COLUMNS]
    for each in results:
        scale, form = UNITS[each["shown"]]
        cells = [form.format(each[side] * scale) if each.get(side) is not None else "" for side in COLUMNS[2:6]]
        ratio = f"{each['ratio']:.2f}" if "ratio" in each else ""
        share = f"{each['share']:.0%}" if "share" in each else ""
        share += f" ({each['best_share']:.0%})" if "best_share" in each else ""
        rows.append((each["part"], each["what"], *cells, ratio, share))
    used = [i for i in range(len(COLUMNS)) if i < 3 or any(row[i] for row in rows[1:])]
    note = ("ratio: PyTorch's best over zfnumpy's, above 1 zfnumpy needs less; of sgemm: the arithmetic of direct "
            "convolution over the time, as a share of sgemm (in brackets PyTorch's best)")
    return aligned([[row[i] for i in used] for row in rows]) + ("\n" + note if len(rows) > 1 else "")


def layer_table(rows):
    """Return the layers' times as an aligned table."""
    cells = [("layer", "direction", "zfnumpy ms", "PyTorch ms", "ratio", "GFLOP/s")]
    for each in rows:
        cells.append((each["layer"], each["direction"], f"{each['zfnumpy'] * 1e3:.2f}",
                      f"{each[each['best']] * 1e3:.2f}" if "best" in each else "",
                      f"{each['ratio']:.2f}" if "ratio" in each else "",
                      f"{each['flops'] / 1e9:.0f}" if each.get("flops") else ""))
    return aligned(cells)


def save(path, found):
    """Write the results as JSON; what is not a finite number is refused."""
    with open(path, "w", encoding="utf-8") as file:
        json.dump(found, file, indent=1, allow_nan=False)
        file.write("\n")

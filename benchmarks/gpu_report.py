"""What `python -m benchmarks gpu` found, as tables."""

from .report import UNITS, aligned


def builds(found):
    """Return the card in a line, and a line for each kernel: what it takes of the card."""
    machine, built = found["machine"], found["builds"]
    lines = [f"{machine.get('card', 'no card')}, compute {machine.get('compute')}, "
             f"{machine.get('multiprocessors')} multiprocessors, {machine.get('memory', 0) / 2**30:.0f} GiB; "
             f"CUDA {machine.get('cuda')}, driver {machine.get('driver')}",
             f"Python {machine.get('python')}, NumPy {machine.get('numpy')}, CuPy {machine.get('cupy')}, "
             + (f"PyTorch {machine['torch']} (cuDNN {machine['cudnn']})" if machine.get("torch") else
                "no PyTorch on the card: nothing to compare with")]
    if not built:
        return "\n".join(lines)
    rows = [("file", "kernel", "dtype", "registers", "local B", "shared B")]
    rows += [(each["file"], each["name"], each["dtype"],
              *("" if each[key] is None else str(each[key]) for key in ("registers", "local", "shared")))
             for each in built["kernels"]]
    slowest = max(built["seconds"], key=built["seconds"].get, default="no file")
    lines.append(f"{len(built['kernels'])} kernels built in {sum(built['seconds'].values()):.1f} s "
                 f"({'into an empty folder' if built['cold'] else 'or found in the cache'}); the slowest file: {slowest}, "
                 f"{built['seconds'].get(slowest, 0):.1f} s")
    return "\n".join(lines) + "\n" + aligned(rows)


def mode(found, name):
    """Return everything that was found in one precision."""
    texts = [_rates(found, name), _accuracy(found, name), _results(found, name), _queue(found, name),
             layer_table([row for row in found["layers"] if row["mode"] == name], found["rates"].get(name),
                         _step(found, name)), _memory(found, name), _data(found, name)]
    return "\n\n".join([f"\n==== {name} ====", *(text for text in texts if text)])


def end(found):
    """Return what failed, and where the time went."""
    failed = [f"FAILED {each['part']}: {each['error']}" for each in found["failed"]]
    spent = ", ".join(f"{part} {seconds:.0f} s" for part, seconds in found["seconds"].items() if seconds >= 1)
    return "\n".join([*failed, f"{sum(found['seconds'].values()):.0f} s in all: {spent}"])


def _rates(found, name):
    rates = found["rates"].get(name)
    if not rates:
        return ""
    products = ", ".join(f"{side} {rate / 1e12:.1f}" for side, rate in rates["product by side"].items())
    copies = ", ".join(f"{side} {rate / 1e9:.0f}" for side, rate in rates["copy by side"].items())
    return f"matrix product, TFLOP/s: {products}; copy on the card, read and written, GB/s: {copies}"


def _accuracy(found, name):
    told = found["accuracy"].get(name)
    if not told:
        return ""
    lines = ["largest error against float64, relative to the largest value"]
    for side, each in told["errors"].items():
        grads = {key: error for key, error in each.items() if key != "scores"}
        worst = max(grads, key=grads.get)
        lines.append(f"  {side}: scores {each['scores']:.1e}, gradients at most {grads[worst]:.1e} ({worst})")
    lines += [f"  WRONG: {text}" for text in told["wrong"]]
    if "same_bits" in told:
        lines.append(f"  two runs of three steps: {'the same bits' if told['same_bits'] else 'DIFFERENT BITS'}")
    if "projections" in told:
        lines.append(f"  projections in windows against whole maps: {told['projections']:.1e}")
    return "\n".join(lines)


def _results(found, name):
    rows = [("part", "what", "zfnumpy", "PyTorch", "ratio", "its best way", "images/s", "TFLOP/s", "of product",
             "PyTorch's")]
    notes = []
    for each in found["results"]:
        if each["mode"] != name:
            continue
        scale, form = UNITS[each["shown"]]
        best, rate = each.get("best"), found["rates"].get(name, {}).get("product", 0)
        ratio = f"{each['ratio']:.2f}{'' if each['ratio'] >= 1 else ' <'}" if best else ""
        speed = each.get("images_per_second") or each.get("projections_per_second")
        rows.append((each["part"], each["what"], form.format(each["zfnumpy"] * scale),
                     form.format(each[best] * scale) if best else "", ratio, best or "", f"{speed:.0f}",
                     f"{each['share'] * rate / 1e12:.1f}" if "share" in each else "",
                     f"{each['share']:.0%}" if "share" in each else "",
                     f"{each['best_share']:.0%}" if "best_share" in each else ""))
        if each.get("unequal"):
            notes.append(f"{each['what']}: {max(each['unequal'].values()):.1%} of the pictures differ from PyTorch's: where "
                         "rounding chose another of a pool's pixels")
        if "hours" in each and each["model"] == "zfnet":
            notes.append(f"{each['what']}: the paper's 70 epochs of 1.3 million images would take {each['hours']:.1f} hours "
                         "(in the paper 12 days on one GTX 580)")
    note = ("ratio: PyTorch's best over zfnumpy's, above 1 zfnumpy needs less time, below 1 marked with <; TFLOP/s: the "
            "arithmetic of direct convolution\nover the time, and its share of the card's matrix product")
    return "\n".join([aligned(rows), *notes, note]) if len(rows) > 1 else ""


def _queue(found, name):
    lines = [f"  {each['what']}: {each['queued'] * 1e3:.2f} ms of {each['whole'] * 1e3:.2f} ms "
             f"({each['queued'] / each['whole']:.0%})" for each in found["queue"] if each["mode"] == name]
    return "\n".join(["the host's time to queue the work, of the time until it is done (near 100%: the card waits for the "
                      "host, and a CUDA graph would pay)", *lines]) if lines else ""


def _step(found, name):
    return next((each["zfnumpy"] for each in found["results"]
                 if each["mode"] == name and each["part"] == "step" and each["model"] == "zfnet"), None)


def layer_table(rows, rates, step):
    """Return the layers' times as an aligned table, each with its share of what the card could do at best.

    The limit of a row is the larger of its arithmetic over the product's rate and its bytes over the copy's.
    """
    if not rows:
        return ""
    cells = [("layer", "direction", "zfnumpy ms", "PyTorch ms", "ratio", "TFLOP/s", "GB/s", "of limit", "lost ms")]
    for each in rows:
        flops, moved = each.get("flops", 0), each.get("bandwidth", 0)
        limit = max(flops / rates["product"], moved / rates["copy"]) if rates else 0
        lost = each["zfnumpy"] * (1 - limit) if each["in_step"] and limit else None
        cells.append((each["layer"], each["direction"] + ("" if each["in_step"] else " (in no step)"),
                      f"{each['zfnumpy'] * 1e3:.3f}", f"{each[each['best']] * 1e3:.3f}" if "best" in each else "",
                      f"{each['ratio']:.2f}" if "ratio" in each else "", f"{flops / 1e12:.1f}" if flops else "",
                      f"{moved / 1e9:.0f}" if moved else "", f"{limit:.0%}" if limit else "",
                      f"{lost * 1e3:.3f}" if lost is not None else ""))
    total = sum(each["zfnumpy"] for each in rows if each["in_step"])
    theirs = sum(each[each["best"]] for each in rows if each["in_step"] and "best" in each)
    text = (f"sum of what a step does: {total * 1e3:.2f} ms" + (f" of a step of {step * 1e3:.2f} ms" if step else "")
            + (f"; PyTorch's of the same rows, where it has them: {theirs * 1e3:.2f} ms" if theirs else "")
            + "\nof limit: the larger of the arithmetic over the product's rate and of the bytes, each read and written "
            "once, over the copy's;\nlost: what a step would gain if the row ran at its limit")
    return aligned(cells) + "\n" + text


def _memory(found, name):
    told = {side: size for side, size in found["memory"].get(name, {}).items() if side != "batch" and size is not None}
    if not told:
        return ""
    return (f"memory of a training step, batch {found['memory'][name]['batch']}, weights and momentum included: "
            + ", ".join(f"{side} {size / 2**30:.2f} GiB" for side, size in told.items()))


def _data(found, name):
    told = dict(found["data"].get(name, {}))
    if not told:
        return ""
    batch = told.pop("batch")
    lines = [f"  {way}: {seconds * 1e3:.1f} ms a step, {batch / seconds:.0f} images/s" for way, seconds in told.items()]
    return "\n".join([f"training with loading, batch {batch}", *lines])

"""The parts of `python -m benchmarks gpu`: each takes a Bench (benchmarks.gpu), measures, and writes into its `found`."""

import os
import platform
import time

import numpy as np

import zfnumpy as zf
from zfnumpy import visualize

from . import checks, clock, layers, projections, steps
from . import peer as torchs
from .report import result

DECAY = 5e-4                                       # weight decay of both sides' steps, the paper's
EPOCHS, IMAGES = 70, 1_300_000                     # the paper's training
# The largest error that passes without PyTorch beside; with it, what passes is LEAST, or WORSE times PyTorch's own error.
LIMITS = {False: 1e-3, True: 0.1}
LEAST, WORSE = {False: 1e-4, True: 5e-3}, 3
FLIPPED = 10                                       # times LEAST, for TF32's gradients: it decides pools' ties otherwise
PICTURES = 8                                       # projections compared, window against whole map


def machine(ops, torch):
    """Return what the numbers depend on: the card, its memory, versions."""
    cupy, about = ops.xp, {}
    if hasattr(cupy, "cuda"):
        runtime = cupy.cuda.runtime
        card = runtime.getDeviceProperties(runtime.getDevice())
        about = {"card": card["name"].decode(), "compute": f"{card['major']}.{card['minor']}",
                 "multiprocessors": card["multiProcessorCount"], "memory": card["totalGlobalMem"],
                 "cuda": runtime.runtimeGetVersion(), "driver": runtime.driverGetVersion(), "cupy": cupy.__version__}
    return {**about, "cores": os.cpu_count(), "python": platform.python_version(), "numpy": np.__version__,
            "torch": torch.__version__ if torch else None,
            "cudnn": torch.backends.cudnn.version() if torch and torch.cuda.is_available() else None}


def rates(bench):
    """Measure the card: a large matrix product by each side, in operations a second, and a copy, in bytes a second.

    What shares are told of is the better of both sides: {"product", "copy"} of found["rates"][mode].
    """
    ops, torch, xp, plan, told = bench.ops, bench.torch, bench.ops.xp, bench.plan, {}
    shape = plan.square, plan.square
    matrix, source, target = (xp.ones(shape, dtype="float32"), *(xp.zeros(plan.copied // 4, dtype="float32") for _ in "ab"))
    products = {"zfnumpy": lambda: ops.linear_input_grad(matrix, matrix)}
    copies = {"zfnumpy": lambda: xp.copyto(target, source)}
    if torch:
        square = torch.ones(shape, device=bench.device)
        there, here = (torch.zeros(plan.copied // 4, device=bench.device) for _ in "ab")
        products["PyTorch"], copies["PyTorch"] = lambda: square @ square, lambda: here.copy_(there)
    for name, sides, work in (("product", products, 2 * plan.square**3), ("copy", copies, 2 * plan.copied)):
        times = bench.device_turns(sides, plan.rounds)
        told[f"{name} by side"] = {side: work / min(taken) for side, taken in times.items()}
        told[name] = max(told[f"{name} by side"].values())
    bench.found["rates"][bench.mode] = told
    bench.free()


def _rate(bench):
    return bench.found["rates"].get(bench.mode, {}).get("product")


def check(bench):
    """Compare scores and gradients with float64, two runs with each other, and windowed projections with whole maps."""
    net, tf32 = bench.net("zfnet"), bench.tf32
    errors = checks.measure(bench.torch, net, bench.device, bench.plan.checked, LEAST[tf32], checks.of_largest,
                            1 if tf32 else checks.DRAWS)       # no draw of images spares TF32 its large errors
    told = bench.found["accuracy"][bench.mode] = {"errors": errors, "wrong": wrong_errors(errors, tf32)}
    told["same_bits"] = _same_bits(net, bench.plan.checked)
    told["projections"] = _windows_against_maps(net, bench.plan.checked)
    if told["wrong"]:
        raise checks.Wrong("; ".join(told["wrong"]))
    if not told["same_bits"]:
        raise checks.Wrong("two runs of the same training steps end with different bits")
    if not told["projections"] <= LIMITS[tf32] / 10:
        raise checks.Wrong(f"a windowed projection is {told['projections']:.1e} from the one through whole maps")


def wrong_errors(errors, tf32):
    """Return a text for each of our errors that is too large, alone or beside PyTorch's in the same precision."""
    peers = [each for side, each in errors.items() if side != "zfnumpy"]
    found = []
    for name, error in errors["zfnumpy"].items():
        least = LEAST[tf32] * (FLIPPED if tf32 and name != "scores" else 1)
        limit = max(least, WORSE * max(each[name] for each in peers)) if peers else LIMITS[tf32]
        if not error <= limit:
            found.append(f"{name} is {error:.1e} off, more than {limit:.1e}")
    return found


def _same_bits(net, batch):
    """Tell whether three training steps, made twice from the same weights, give the same scores and weights."""
    ends = []
    for _ in range(2):
        with steps.kept(net):
            step = steps.our_step(net, batch, DECAY)
            for _ in range(3):
                step()
            scores = net.scores(net.ops.asarray(checks.batch_of(net, batch)[0]))
            ends.append([net.ops.to_numpy(each) for each in (scores, *net.params.values())])
    return all(np.array_equal(a, b) for a, b in zip(*ends))


def _windows_against_maps(net, batch):
    """Return the largest error of projections in windows, relative to the largest value of those through whole maps."""
    x = net.ops.asarray(checks.batch_of(net, batch)[0])
    tape, layer = net.tape_to(projections.LAYER, x), projections.LAYER
    images, units = (each[:PICTURES] if isinstance(each, np.ndarray) else tuple(part[:PICTURES] for part in each)
                     for each in projections.units_of(net, tape, PICTURES))
    found = net.ops.to_numpy(visualize.project_units(net, tape, layer, images, units))
    whole = np.stack([net.ops.to_numpy(visualize.project(net, x, layer, unit, tape=tape)[image])
                      for image, unit in zip(images.tolist(), zip(*(part.tolist() for part in units)))])
    return checks.of_largest(found, whole)


def memory(bench):
    """Measure the most memory of a card that two training steps take, weights and momentum included: bytes a side."""
    plan, found, net = bench.plan, {}, bench.net("zfnet")

    def two_steps(step):
        for _ in range(2):
            step()
        bench.wait()

    found["zfnumpy"] = bench.own.peak(lambda: two_steps(steps.our_step(net, plan.batch, DECAY)))
    for way in torchs.PLAIN if bench.torch else ():
        found[str(way)] = bench.their.peak(
            lambda way=way: two_steps(steps.their_step(bench.torch, net, plan.batch, way, DECAY, bench.device)))
    bench.found["memory"][bench.mode] = {"batch": plan.batch, **found}


def step(bench):
    """Time zfnet's training step, and what the host needs to queue it."""
    _step(bench, "zfnet", bench.plan.batch)
    net = bench.net("zfnet")
    with steps.kept(net):
        bench.found["queue"].append({"mode": bench.mode, "what": f"{net.name}, training step, batch {bench.plan.batch}",
                                     **_queue_of_step(bench, net)})


def mini(bench):
    """Time zfnet_mini's training step."""
    _step(bench, "zfnet_mini", bench.plan.mini)


def _step(bench, model, batch):
    net = bench.net(model)
    with steps.kept(net):
        sides = steps.training_sides(bench.torch, net, batch, DECAY, torchs.STEPS, bench.device)
        times = clock.turns(sides, bench.plan.rounds, bench.wait, bench.plan.least)
    row = steps.timed("step", net, batch, times, clock.arithmetic(net) * batch, _rate(bench))
    row["hours"] = EPOCHS * IMAGES / row["images_per_second"] / 3600
    bench.found["results"].append({**row, "mode": bench.mode})


def _queue_of_step(bench, net):
    """Return the seconds in which the host queues a training step, and those until the device is done with it.

    The loss is read on the host, which waits for the forward pass: so that is queued and waited for by itself.
    """
    x, labels = checks.batch_of(net, bench.plan.batch)
    x, optimizer = bench.ops.asarray(x), zf.optim.SGD(net, 0.001, 0.9, DECAY)
    queued, whole = [], []
    for _ in range(bench.plan.rounds + 1):
        bench.wait()
        begin = time.perf_counter()
        scores, tape = net.forward(x, train=True)
        ahead = time.perf_counter()
        dscores = zf.loss.softmax_cross_entropy(scores, labels)[1]
        bench.wait()
        between = time.perf_counter()
        optimizer.step(net.backward(dscores, tape, keep_tape=False))
        back = time.perf_counter()
        bench.wait()
        queued.append(ahead - begin + back - between)
        whole.append(time.perf_counter() - begin)
    return {"queued": float(np.median(queued[1:])), "whole": float(np.median(whole[1:]))}


def inference(bench):
    """Time the scores of a large batch and of one image, and what the host needs to queue them."""
    for batch in bench.plan.inference:
        net = bench.net("zfnet")
        sides = steps.inference_sides(bench.torch, net, batch, torchs.PASSES, bench.device)
        one = batch == 1                                         # which is waited for, as somebody would who asked for it
        times = clock.turns(sides, bench.plan.rounds * (10 if one else 1), bench.wait, 0 if one else bench.plan.least)
        row = steps.timed("inference", net, batch, times, clock.arithmetic(net, training=False) * batch, _rate(bench))
        bench.found["results"].append({**row, "mode": bench.mode})
        queued, whole = [], []
        for _ in range(bench.plan.rounds):
            bench.wait()
            begin = time.perf_counter()
            sides["zfnumpy"]()
            queued.append(time.perf_counter() - begin)
            bench.wait()
            whole.append(time.perf_counter() - begin)
        bench.found["queue"].append({"mode": bench.mode, "what": f"{net.name}, inference, batch {batch}",
                                     "queued": float(np.median(queued)), "whole": float(np.median(whole))})


def project(bench):
    """Time figure 2's projections; how many pictures rounding made different from PyTorch's is told."""
    row = projections.projection(bench.torch, bench.net("zfnet"), bench.plan.rounds, bench.plan.maps, bench.device,
                                 bench.wait, refused=False)
    bench.found["results"].append({**row, "mode": bench.mode})


def data(bench):
    """Time an epoch of training steps on one batch that stays, and on batches that a loader brings, with its feeder and
    without: seconds a step, and those of loading alone."""
    net, plan, ops = bench.net("zfnet"), bench.plan, bench.ops
    rng, count, size = np.random.default_rng(0), plan.batch * plan.batches, net.preprocessing.resize
    pictures = rng.integers(0, 256, (count, size, size, 3), dtype=np.uint8)
    labels = rng.integers(0, net.shapes[net.output][0], count)
    pictures = zf.data.ImageArray(pictures, labels, [str(i) for i in range(net.shapes[net.output][0])])
    stays, take = steps.our_step(net, plan.batch, DECAY), steps.our_step(net, plan.batch, DECAY)

    def epoch(feeds, train=True):
        fed = {"feeder": ops.feeder()} if feeds else {}
        loader = zf.data.Loader(pictures, plan.batch, net.preprocessing, zf.data.Augment(), shuffle=True,
                                threads=max(1, os.cpu_count() - 1), prefetch=os.cpu_count() + 1, **fed)
        for x, which, _ in loader.batches():
            x = ops.asarray(x)
            if train:
                take(x, which)

    sides = {"no loading": lambda: [stays() for _ in range(plan.batches)], "loading": lambda: epoch(False),
             "loading alone": lambda: epoch(False, False), "with feeder": lambda: epoch(True),
             "feeder alone": lambda: epoch(True, False)}
    with steps.kept(net):
        times = clock.turns(sides, min(2, plan.rounds), bench.wait)
    bench.found["data"][bench.mode] = {"batch": plan.batch,
                                       **{name: float(np.median(taken)) / plan.batches for name, taken in times.items()}}


def by_layer(bench):
    """Time each layer and direction, and the loss, by the devices' own marks."""
    net, rounds = bench.net("zfnet"), min(3, bench.plan.rounds)
    x, labels = checks.batch_of(net, bench.plan.batch)
    with steps.kept(net):
        rows = layers.layers(bench.torch, net, bench.plan.batch, rounds, bench.device, bench.device_turns)
    scores = net.scores(bench.ops.asarray(x))
    loss = bench.device_turns({"zfnumpy": lambda: zf.loss.softmax_cross_entropy(scores, labels)}, rounds)
    rows.append(result("layer", "all loss", "ms", loss, layer="all", direction="loss", in_step=True))
    bench.found["layers"] += [{**row, "mode": bench.mode} for row in rows]


PARTS = {"rates": rates, "checks": check, "step": step, "inference": inference, "mini": mini, "projections": project,
         "layers": by_layer, "memory": memory, "data": data}

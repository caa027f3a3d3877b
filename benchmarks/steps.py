"""The training step and inference, turn by turn with PyTorch in both of its layouts."""

import os
import shutil
import warnings

import numpy as np

import zfnumpy as zf

from . import checks, clock
from . import peer as torchs
from .report import result


def training(torch, net, batch, rounds, rate):
    """Time forward, loss, backward and SGD with momentum on `batch` images of noise: one result."""
    x, labels = checks.batch_of(net, batch)
    optimizer = zf.optim.SGD(net, 0.001, 0.9)

    def ours():
        scores, tape = net.forward(x, train=True)
        optimizer.step(net.backward(zf.loss.softmax_cross_entropy(scores, labels)[1], tape, keep_tape=False))

    weights = {name: w.copy() for name, w in net.params.items()}
    sides = {"zfnumpy": ours}
    if torch:
        sides |= {layout: torchs.training_step(torch, torchs.in_torch(torch, net, layout), torchs.tensor(torch, x, layout),
                                               torch.from_numpy(labels)) for layout in torchs.LAYOUTS}
    times = clock.turns(sides, rounds)
    for name, w in weights.items():                     # the next part begins with the weights that were checked
        net.params[name] = w
    return _timed("step", net, batch, times, clock.arithmetic(net) * batch, rate)


def inference(torch, net, batch, rounds, rate, compiled=True, say=print):
    """Time the scores of `batch` images, against PyTorch as it is and from torch.compile: one result."""
    x, _ = checks.batch_of(net, batch)
    sides = {"zfnumpy": lambda: net.scores(x)}
    if torch:
        for layout in torchs.LAYOUTS:
            sides[layout] = _scores(torch, torchs.in_torch(torch, net, layout).eval(), torchs.tensor(torch, x, layout))
        if compiled:
            sides |= _compiled(torch, net, x, say)
    times = clock.turns(sides, rounds)
    return _timed("inference", net, batch, times, clock.arithmetic(net, training=False) * batch, rate)


def _timed(part, net, batch, times, work, rate):
    unit = "s" if np.median(times["zfnumpy"]) >= 1 else "ms"
    return result(part, f"{net.name}, batch {batch}", unit, times, work, rate, model=net.name, batch=batch,
                  rounds=len(times["zfnumpy"]), images_per_second=batch / float(np.median(times["zfnumpy"])))


def _scores(torch, peer, x):
    def scores():
        with torch.inference_mode():
            return peer(x)

    return scores


def _compiled(torch, net, x, say):
    """Return {"compiled": function} from torch.compile, or {} and a line that says why not."""
    if not any(shutil.which(name) for name in (os.environ.get("CXX") or "g++", "clang++")):
        say("torch.compile is left out: there is no C++ compiler (g++ or clang++)")
        return {}
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            scores = _scores(torch, torch.compile(torchs.in_torch(torch, net, "contiguous").eval()), torch.from_numpy(x))
            error = checks.relative(scores().numpy(), net.scores(x))
    except Exception as error:
        say(f"torch.compile is left out: it failed with {type(error).__name__}: {str(error).strip().splitlines()[0][:100]}")
        return {}
    checks.refuse({"PyTorch, compiled": {"scores": error}})
    return {"compiled": scores}

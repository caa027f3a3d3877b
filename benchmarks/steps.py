"""The training step and inference, turn by turn with PyTorch in both of its layouts."""

import os
import shutil
import warnings
from contextlib import contextmanager

import numpy as np

import zfnumpy as zf

from . import checks, clock
from . import peer as torchs
from .report import result


def training(torch, net, batch, rounds, rate):
    """Time forward, loss, backward and SGD with momentum on `batch` images of noise: one result."""
    with kept(net):
        times = clock.turns(training_sides(torch, net, batch), rounds)
    return timed("step", net, batch, times, clock.arithmetic(net) * batch, rate)


@contextmanager
def kept(net):
    """Give a network its weights back at the end: the next part begins with those that were checked."""
    before = {name: w.copy() for name, w in net.params.items()}
    yield
    for name, w in before.items():
        net.params[name][...] = w


def our_step(net, batch, decay=0.0):
    """Return a function that takes one training step of ours on `batch` images of noise."""
    x, labels = checks.batch_of(net, batch)
    x, optimizer = net.ops.asarray(x), zf.optim.SGD(net, 0.001, 0.9, decay)

    def step(x=x, labels=labels):
        scores, tape = net.forward(x, train=True)
        optimizer.step(net.backward(zf.loss.softmax_cross_entropy(scores, labels)[1], tape, keep_tape=False))

    return step


def their_step(torch, net, batch, way, decay=0.0, device="cpu"):
    """Return a function that takes one training step of PyTorch's, from the weights that the network now has."""
    x, labels = checks.batch_of(net, batch)
    peer, labels = torchs.in_torch(torch, net, way.layout, device), torch.from_numpy(labels).to(device)
    x = torchs.tensor(torch, x, way.layout, device)
    return torchs.tuned(torch, torchs.training_step(torch, peer, x, labels, decay, way.fused or None), way.tuned)


def training_sides(torch, net, batch, decay=0.0, ways=torchs.PLAIN, device="cpu"):
    """Return {side: function} of a training step each."""
    theirs = {str(way): their_step(torch, net, batch, way, decay, device) for way in (ways if torch else ())}
    return {"zfnumpy": our_step(net, batch, decay), **theirs}


def inference(torch, net, batch, rounds, rate, compiled=True, say=print):
    """Time the scores of `batch` images, against PyTorch as it is and from torch.compile: one result."""
    sides = inference_sides(torch, net, batch)
    if torch and compiled:
        sides |= _compiled(torch, net, checks.batch_of(net, batch)[0], say)
    times = clock.turns(sides, rounds)
    return timed("inference", net, batch, times, clock.arithmetic(net, training=False) * batch, rate)


def inference_sides(torch, net, batch, ways=torchs.PLAIN, device="cpu"):
    """Return {side: function} of the scores of `batch` images of noise."""
    x, _ = checks.batch_of(net, batch)
    own = net.ops.asarray(x)
    sides = {"zfnumpy": lambda: net.scores(own)}
    for way in ways if torch else ():
        peer = torchs.in_torch(torch, net, way.layout, device).eval()
        sides[str(way)] = torchs.tuned(torch, _scores(torch, peer, torchs.tensor(torch, x, way.layout, device)), way.tuned)
    return sides


def timed(part, net, batch, times, work, rate):
    """Return the times of something done with `batch` images as a result."""
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

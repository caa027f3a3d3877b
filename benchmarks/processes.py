"""What needs processes of their own: peak memory, the time from the start to the end of a first step, compiling."""

import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from . import peer as torchs
from .checks import Wrong
from .report import result

ROOT = Path(__file__).resolve().parents[1]
START_BATCH = 2        # images of the first step


def child(net, side, batch, steps=1, folder=None):
    """Train `steps` steps of a network like `net` in a fresh process: what benchmarks.child prints, and "start", seconds.

    folder: where kernels are cached, for a start without any; None for the usual place.
    """
    asked = {"side": side, "model": net.name, "described": torchs.describe(net), "input": net.input_shape,
             "classes": net.shapes[net.output][0], "batch": batch, "threads": net.ops.threads, "steps": steps}
    environment = {**torchs.ENVIRONMENT, "PYTHONPATH": str(ROOT), **({"NUMBA_CACHE_DIR": str(folder)} if folder else {})}
    begin = time.time()
    done = subprocess.run([sys.executable, "-m", "benchmarks.child"], input=json.dumps(asked), env=environment, check=False,
                          capture_output=True, text=True)
    if done.returncode:
        last = (done.stderr.strip().splitlines() or ["it said nothing"])[-1]
        raise Wrong(f"the process of {side}, batch {batch}, ended with code {done.returncode}: {last}")
    told = json.loads(done.stdout)
    return {**told, "start": told["began"] - begin, "total": told["ended"] - begin}


def sides_of(torch):
    return ("zfnumpy", *(torchs.LAYOUTS if torch else ()))


def memory(torch, net, batch):
    """Measure the peak memory of two training steps, each side in its own process: one result, in bytes."""
    peaks = {side: [child(net, side, batch, steps=2)["peak"]] for side in sides_of(torch)}
    return result("memory", f"{net.name}, training step, batch {batch}", "GiB", peaks, model=net.name, batch=batch)


def startup(torch, net, rounds):
    """Time from the start of a process to the end of its first training step: a result for the whole and for each part.

    A first round that is not counted compiles the kernels, and reads the files of both sides from the disk.
    """
    sides = sides_of(torch)
    for side in sides:
        child(net, side, START_BATCH)
    told = {side: [] for side in sides}
    for _ in range(rounds):
        for side in sides:
            told[side].append(child(net, side, START_BATCH))
    about = {"model": net.name, "batch": START_BATCH, "rounds": rounds}
    parts = {"total": f"{net.name}, to the end of the first step", "start": "  Python itself", "import": "  importing",
             "network": "  making the network", "step": "  first step"}
    return [result("startup" if name == "total" else f"startup {name}", text, "s",
                   {side: [each[name] for each in told[side]] for side in sides}, **about)
            for name, text in parts.items()]


def cold(net):
    """Time compiling: the first step of a process that finds no compiled kernels, less that of one that does. In seconds."""
    with tempfile.TemporaryDirectory(prefix="zfnumpy-cold-") as folder:
        empty = child(net, "zfnumpy", START_BATCH, folder=folder)["step"]
        filled = child(net, "zfnumpy", START_BATCH, folder=folder)["step"]
    return result("compiling", f"{net.name}, kernels of a first training step", "s", {"zfnumpy": [empty - filled]},
                  model=net.name, first_step=empty, first_step_again=float(np.median(filled)))

"""Build, check and time everything on a machine with an NVIDIA GPU, in float32 and in TF32: python -m benchmarks gpu.

The cupy backend against PyTorch with cuDNN in the best of its ways on this card (both memory layouts, cuDNN's algorithms
tried or not, the update fused or not). Kernels are compiled and their registers told; answers are compared with float64;
then come the card's own rates, training, inference, projections, memory, the data path, and a table by layer. What fails
is told and the rest goes on; the exit code is then 1, and 2 where there is no GPU.
"""

import argparse
import math
import sys
import time
import traceback
from dataclasses import dataclass, field
from functools import partial

MODES = {"float32": False, "tf32": True}


@dataclass
class Plan:
    """What is measured: models by name, batches, rounds. The defaults take a few minutes on a card of a data centre."""

    models: dict = field(default_factory=dict)      # {"zfnet": function of ops that makes it, "zfnet_mini": …}
    batch: int = 128                                # of zfnet's training step, of its memory and of its layers
    mini: int = 64                                  # of zfnet_mini's training step
    inference: tuple = (128, 1)
    checked: int = 2                                # images of the comparison with float64
    maps: int = 64
    rounds: int = 5
    least: float = 0.05                             # seconds that one turn fills with calls
    square: int = 8192                              # rows of the matrices whose product gives the card's rate
    copied: int = 2**30                             # bytes that are copied for its bandwidth
    batches: int = 12                               # of an epoch of the data path
    parts: tuple = ()                               # names in PARTS; () for all


class Bench:
    """One precision on one card: operations, both sides' devices, and the networks, each made when it is asked for."""

    def __init__(self, plan, ops, torch, device, mode, found):
        from . import devices

        self.plan, self.ops, self.torch, self.device, self.mode = plan, ops, torch, device, mode
        self.tf32, self.found, self.nets = MODES[mode], found, {}
        self.own, self.their = devices.ours(ops), devices.theirs(torch, device)
        devices.precision(torch, self.tf32)

    def net(self, model):
        """Return a network with the weights that it starts from, on a card that holds nothing else that is not used."""
        if model not in self.nets:
            self.nets = {model: self.plan.models[model](ops=self.ops)}
        self.free()
        return self.nets[model]

    def wait(self):
        """Wait for both sides' devices."""
        self.own.synchronize()
        self.their.synchronize()

    def free(self):
        """Give both sides' free memory back."""
        self.own.free()
        self.their.free()

    def device_of(self, side):
        return self.own if side == "zfnumpy" else self.their

    def device_turns(self, sides, rounds):
        """Return the times that the devices tell themselves (clock.device_turns)."""
        from . import clock

        return clock.device_turns(sides, rounds, self.device_of)


def parser():
    """Return the parser of the options."""
    top = argparse.ArgumentParser(prog="python -m benchmarks gpu", description=__doc__,
                                  formatter_class=argparse.RawDescriptionHelpFormatter)
    top.add_argument("parts", nargs="*", metavar="PART", help="rates, checks, memory, step, inference, mini, projections, "
                     "data, layers (default: all; kernels are always built)")
    top.add_argument("--mode", choices=tuple(MODES), help="only this precision (default: both)")
    top.add_argument("--batch", type=int, default=Plan.batch, metavar="N", help="images of a step (default: %(default)s)")
    top.add_argument("--rounds", type=int, default=Plan.rounds, metavar="R", help="turns a side (default: %(default)s)")
    top.add_argument("--no-torch", action="store_true", help="time zfnumpy alone")
    top.add_argument("--cold", action="store_true", help="compile the kernels into an empty folder, as on a new machine")
    top.add_argument("--json", metavar="FILE", help="write the numbers there too, after each part")
    return top


def main(argv=None):
    args = parser().parse_args(argv)
    from .gpu_parts import PARTS
    from .peer import find_torch

    wrong = [part for part in args.parts if part not in PARTS]
    if wrong or min(args.batch, args.rounds) < 1:
        parser().error(f"there is no part {wrong[0]!r}; choose from {', '.join(PARTS)}" if wrong else
                       "--batch and --rounds take whole numbers from 1")
    torch = None if args.no_torch else find_torch(None)
    from .kernels import empty_cache

    with empty_cache(args.cold):
        return measure(args, torch)


def measure(args, torch):
    """Run what the arguments ask for and return the exit code; CuPy is imported in here."""
    import zfnumpy as zf
    from zfnumpy.errors import BackendError

    try:
        zf.get_ops("cupy")
    except BackendError as error:
        print(f"benchmarks: there is nothing to time on: {error}", file=sys.stderr)
        return 2
    if torch and not torch.cuda.is_available():
        print(f"PyTorch {torch.__version__} finds no GPU: only zfnumpy is timed", file=sys.stderr)
        torch = None
    models = {name: partial(getattr(zf.models, name), dropout=0) for name in ("zfnet", "zfnet_mini")}
    plan = Plan(models, args.batch, rounds=args.rounds, parts=tuple(args.parts))
    modes = [args.mode] if args.mode else list(MODES)
    found = run(plan, lambda tf32: zf.get_ops("cupy", tf32=tf32), torch, "cuda", modes, args.json, args.cold)
    return 1 if found["failed"] else 0


def finite(found):
    """Return plain data with None where a number is none or infinite: what went wrong must not keep the rest unwritten."""
    if isinstance(found, dict):
        return {key: finite(value) for key, value in found.items()}
    if isinstance(found, list):
        return [finite(value) for value in found]
    return None if isinstance(found, float) and not math.isfinite(found) else found


def run(plan, get_ops, torch, device, modes=tuple(MODES), path=None, cold=False):
    """Run a plan and return what was found, plain data; prints the tables and writes them to the file `path`, if given.

    get_ops(tf32) gives the operations; `device` is what PyTorch calls its own.
    """
    from . import gpu_parts, gpu_report, kernels, report

    found = {"machine": {}, "builds": {}, "failed": [], "seconds": {}, "rates": {}, "accuracy": {}, "results": [],
             "layers": [], "memory": {}, "queue": [], "data": {}}

    def attempt(name, function, *args):
        """Do a part; what it raises is noted, and the other parts go on."""
        print(f"{name} …", file=sys.stderr, flush=True)
        begin = time.perf_counter()
        try:
            function(*args)
        except Exception as error:          # whatever it is, time on such a machine is short: the rest is still measured
            traceback.print_exc()
            found["failed"].append({"part": name, "error": f"{type(error).__name__}: {error}"})
        found["seconds"][name] = round(time.perf_counter() - begin, 2)
        if path:
            report.save(path, finite(found))

    ops = get_ops(False)
    attempt("machine", lambda: found["machine"].update(gpu_parts.machine(ops, torch)))
    attempt("builds", lambda: found["builds"].update(kernels.build(ops, cold)))
    print(gpu_report.builds(found), flush=True)
    for mode in modes:
        bench = Bench(plan, get_ops(MODES[mode]), torch, device, mode, found)
        for part, function in gpu_parts.PARTS.items():
            if part in (plan.parts or gpu_parts.PARTS) and (part != "data" or mode == modes[-1]):    # once, the fastest
                attempt(f"{mode}: {part}", function, bench)
        bench.nets = {}
        bench.free()
        print(gpu_report.mode(found, mode), flush=True)
    print(gpu_report.end(found), flush=True)
    return found

"""Time zfnumpy against PyTorch, turn by turn and on as many threads: training step, inference, projections, occlusion,
memory, start.

Every part by default, for ZFNet at 224×224 in float32 on all cores. Before anything is timed both sides' scores, gradients
and projections are compared; without PyTorch only zfnumpy is timed. `python -m benchmarks gpu` does the like on a GPU.
"""

import argparse
import os
import sys

PARTS = ("step", "inference", "projection", "occlusion", "memory", "startup")
STEP_BATCHES = {"zfnet": (128, 16), "alexnet": (128,), "zfnet_mini": (64,)}
OCCLUDED = ("zfnet_mini", "squeezenet1_1")      # networks whose occlusion is timed beside zfnet's
INFERENCE_BATCHES = (32, 1)
LAYER_BATCH = 32


def parser():
    """Return the parser of the options."""
    top = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__,
                                  formatter_class=argparse.RawDescriptionHelpFormatter)
    top.add_argument("parts", nargs="*", metavar="PART", help=f"{', '.join(PARTS)} (default: all)")
    top.add_argument("--model", choices=tuple(STEP_BATCHES), help="(default: zfnet, and zfnet_mini's training step)")
    top.add_argument("--batch", type=int, nargs="+", metavar="N", help="images of steps, inference, memory and layers "
                     "(default: steps of 128 and 16, zfnet_mini's of 64; inference of 32 and 1; memory 128; layers 32)")
    top.add_argument("--rounds", type=int, default=5, metavar="R", help="turns of each side; medians are told (default: 5)")
    top.add_argument("--threads", type=int, metavar="T", help="of both sides (default: all cores)")
    top.add_argument("--maps", type=int, default=64, metavar="M", help="maps to project in nine images each (default: 64)")
    top.add_argument("--layers", action="store_true", help="a table by layer and direction, beside the parts that are named")
    top.add_argument("--cold", action="store_true", help="the time to compile the kernels into an empty folder, beside the "
                     "parts that are named")
    top.add_argument("--no-compiled", action="store_true", help="leave torch.compile out, which takes its time to compile")
    top.add_argument("--json", metavar="FILE", help="write the numbers there too")
    return top


def read(argv):
    """Return the arguments, checked."""
    args = parser().parse_args(argv)
    wrong = [part for part in args.parts if part not in PARTS]
    if wrong:
        parser().error(f"there is no part {wrong[0]!r}; choose from {', '.join(PARTS)}")
    if min(args.rounds, args.threads or 1, args.maps, *(args.batch or [1])) < 1:
        parser().error("--rounds, --threads, --maps and --batch take whole numbers from 1")
    args.parts = args.parts or ([] if args.layers or args.cold else list(PARTS))
    return args


def main(argv=None):
    argv = sys.argv[1:] if argv is None else argv
    if argv[:1] == ["gpu"]:
        from . import gpu

        return gpu.main(argv[1:])
    args = read(argv)
    if args.threads:                                    # read when NumPy is imported, which is below
        for name in ("OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
            os.environ.setdefault(name, str(args.threads))
    from .peer import find_torch

    torch = find_torch(args.threads)
    from zfnumpy.errors import ZFNumpyError

    from .checks import Wrong

    try:
        run(args, torch)
    except (Wrong, ZFNumpyError) as error:
        print(f"benchmarks: {error}", file=sys.stderr)
        return 1
    return 0


def run(args, torch):
    """Run the parts asked for, print their table, and write the JSON if there is a file for it."""
    import zfnumpy as zf

    from . import checks, clock, layers, occlusion, processes, projections, report, steps

    ops = zf.get_ops("numba", args.threads)
    if torch:
        torch.set_num_threads(ops.threads)
    found = {"machine": clock.machine(ops, torch), "accuracy": {}, "results": [], "layers": []}
    rate = found["machine"]["sgemm_flops"]
    say(report.header(found["machine"]))

    def add(*results):
        found["results"].extend(results)

    for model in (args.model,) if args.model else ("zfnet", "zfnet_mini"):
        extra = args.model is None and model == "zfnet_mini"          # beside zfnet only the training step
        parts = [part for part in args.parts if part == "step" or not extra]
        if not parts and (extra or not (args.layers or args.cold)):
            continue
        net = getattr(zf.models, model)(ops=ops, dropout=0)
        found["accuracy"][model] = checks.compare(torch, net)
        say(report.accuracy(model, found["accuracy"][model]))
        batches = args.batch or STEP_BATCHES[model]
        for part in parts:
            say(f"{model}: {part} …", file=sys.stderr)
            if part == "step":
                add(*(steps.training(torch, net, batch, args.rounds, rate) for batch in batches))
            elif part == "inference":
                add(*(steps.inference(torch, net, batch, args.rounds, rate, not args.no_compiled, say)
                      for batch in args.batch or INFERENCE_BATCHES))
            elif part == "projection":
                add(projections.projection(torch, net, args.rounds, args.maps))
            elif part == "occlusion":
                others = OCCLUDED if args.model is None else ()
                add(*(occlusion.occlusion(torch, each, args.rounds)
                      for each in (net, *(getattr(zf.models, name)(ops=ops) for name in others))))
            elif part == "memory":
                add(processes.memory(torch, net, max(args.batch or (128,))))
            elif part == "startup":
                add(*processes.startup(torch, net, args.rounds))
        if args.cold and not extra:
            add(processes.cold(net))
        if args.layers and not extra:
            found["layers"] += layers.layers(torch, net, max(args.batch or (LAYER_BATCH,)), args.rounds)
    if found["results"]:
        say(f"\n{report.table(found['results'])}")
    if found["layers"]:
        say(f"\n{report.layer_table(found['layers'])}")
    if args.json:
        report.save(args.json, found)


def say(text, file=None):
    print(text, file=file, flush=True)


if __name__ == "__main__":
    sys.exit(main())

"""The command that prepares: compile."""

import time

from ..errors import BackendError
from ..ops import get_ops
from .common import bar


def add_commands(command):
    sub = command("compile", run_compile, "Compile every kernel now, not when it is first used.", "zfnumpy compile")
    sub.add_argument("--float64", action="store_true", help="also for float64, which gradient checks use: twice as long")


def run_compile(args):
    if args.backend not in ("auto", "numba"):
        raise BackendError(f"the {args.backend} backend has no kernels of ours to compile; leave out --backend")
    ops = get_ops("numba", args.threads)
    from ..ops.compiling import compile_kernels  # only now: it needs numba

    begin = time.perf_counter()
    dtypes = ("float32", "float64") if args.float64 else ("float32",)
    found = compile_kernels(ops, dtypes, lambda calls: bar(len(calls), "compiling", "call")(calls))
    seconds = time.perf_counter() - begin
    if not found.new:
        print(f"all {found.ready} kernels were there, in {found.folder}")
    else:
        of = "" if found.new == found.ready else f"of {found.ready} "
        print(f"compiled {found.new} {of}kernel{'s' * (found.ready > 1)} in {seconds:.0f} s, kept in {found.folder}")
    return 0

"""The command that prepares: compile."""

from .common import bar, ops_of


def add_commands(command):
    sub = command("compile", run_compile, "Compile every kernel now, not when it is first used.", "zfnumpy compile")
    sub.add_argument("--float64", action="store_true", help="also for float64, which gradient checks use: twice as long")


def run_compile(args):
    dtypes = ("float32", "float64") if args.float64 else ("float32",)
    print(ops_of(args).compile_kernels(dtypes, lambda calls: bar(len(calls), "compiling", "call")(calls)))
    return 0

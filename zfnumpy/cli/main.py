"""`zfnumpy COMMAND …`: reads the arguments, runs the command, and turns a user's mistake into one line.

Exit codes: 0 done, 2 a mistake (the message on stderr), 130 interrupted. `--debug` shows the traceback instead.
"""

import argparse
import os
import sys

from .. import __version__
from ..errors import ZFNumpyError
from . import experiment, kernels, lesson, looking, report, see, training
from .common import whole

DESCRIPTION = "Train a ZFNet and look inside it with the deconvnet, without any framework."


class _Parser(argparse.ArgumentParser):
    """argparse's, with its usage errors in one line like all others."""

    def parse_known_args(self, args=None, namespace=None):
        """As argparse's, but pictures may stand behind options too: it gives `images` up at the first option."""
        found, rest = super().parse_known_args(args, namespace)
        if rest and hasattr(found, "images") and not any(text.startswith("-") for text in rest):
            found.images, rest = [*found.images, *rest], []
        return found, rest

    def error(self, message):
        self.exit(2, f"{self.prog}: {message}; see {self.prog} --help\n")


def parser():
    """Return the parser of all commands."""
    top = _Parser(prog="zfnumpy", description=DESCRIPTION)
    top.add_argument("--version", action="version", version=f"zfnumpy {__version__}")
    commands = top.add_subparsers(metavar="COMMAND", required=True, parser_class=_Parser)
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument("--backend", default="auto", choices=("numpy", "numba", "cupy", "auto"),
                        help="where to compute; auto takes a GPU if CuPy finds one, else numba (default: auto)")
    common.add_argument("--threads", type=whole(1), metavar="N", help="cores that numba may use (default: all)")
    common.add_argument("--gpu-memory", metavar="SIZE", help="how much of a GPU's memory to take at most, as 8G or 512M "
                        "(default: all that is free)")
    common.add_argument("--tf32", action="store_true", help="let a GPU's matrix products round their inputs to TF32: "
                        "faster, and three digits instead of seven")
    common.add_argument("--debug", action="store_true", help="show a traceback instead of one line when something fails")

    def adding(to, before=""):
        """Return what adds a command to the group `to`: command(name, run, text, example) -> its parser."""

        def command(name, run, text, example):
            sub = to.add_parser(name, parents=[common], help=_summary(text), description=text,
                                epilog=f"example: {example}", formatter_class=argparse.RawDescriptionHelpFormatter)
            sub.set_defaults(run=run, command=before + name)
            return sub

        return command

    def group(name, text, word):
        """Add a command that is a group of commands, each named by a `word`, and return what adds these."""
        sub = commands.add_parser(name, help=_summary(text), description=text)
        return adding(sub.add_subparsers(metavar=word, required=True, parser_class=_Parser), f"{name} ")

    command = adding(commands)
    training.add_commands(command)
    looking.add_commands(command)
    see.add_commands(group)
    experiment.add_commands(group)
    report.add_commands(command)
    lesson.add_commands(group)
    kernels.add_commands(command)
    return top


def _summary(text):
    return text[0].lower() + text[1:].rstrip(".")


def main(argv=None):
    """Run a command line and return its exit code."""
    args = parser().parse_args(argv)
    if hasattr(sys.stdout, "reconfigure"):
        sys.stdout.reconfigure(errors="backslashreplace")   # the name of a file need not be text
    try:
        code = args.run(args) or 0
        sys.stdout.flush()                 # here, where a reader that has gone is no error
        return code
    except ZFNumpyError as error:
        if args.debug:
            raise
        print(f"zfnumpy {args.command}: {' '.join(str(error).split())}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        if args.debug:
            raise
        print(f"\nzfnumpy {args.command}: interrupted", file=sys.stderr)
        return 130
    except BrokenPipeError:                # whoever read our output has gone: `zfnumpy info … | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except (OSError, MemoryError) as error:
        if args.debug:
            raise
        what = _memory_line(args, error) if isinstance(error, MemoryError) else error
        print(f"zfnumpy {args.command}: {' '.join(str(what).split())}", file=sys.stderr)
        return 2


def _memory_line(args, error):
    """Return what to tell where memory ran out: the options of the command that take less of it, and what was said."""
    batch, bound = getattr(args, "batch_size", None), args.gpu_memory
    advice = [f"a smaller --batch-size than {batch}"] * bool(batch) + [f"a larger --gpu-memory than {bound}"] * bool(bound)
    return ("there is not enough memory" + (f"; try {' or '.join(advice)}" if advice else "")
            + (f" ({error})" if str(error) else ""))

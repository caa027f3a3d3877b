"""The command line: `zfnumpy COMMAND`, a module a group of commands."""

from .main import main

__all__ = ["main"]

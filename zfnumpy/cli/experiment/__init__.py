"""`zfnumpy experiment NAME`: the studies of the papers; main lists them, a module each."""

from .main import add_commands

__all__ = ["add_commands"]

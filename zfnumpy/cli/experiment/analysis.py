"""`zfnumpy experiment analysis`: table 7 of the paper."""

from .generalization import add_analysis as add_command

NAME = "analysis"
__all__ = ["NAME", "add_command"]

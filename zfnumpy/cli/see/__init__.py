"""`zfnumpy see WHAT …`: every way of seeing, a module a group of them."""

from .main import add_commands

__all__ = ["add_commands"]

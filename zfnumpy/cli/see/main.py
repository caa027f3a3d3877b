"""The command `see` and its kinds."""

from . import ascent, basics, cams, features, occlusion, rules, truth

KINDS = (basics, rules, occlusion, cams, features, ascent, truth)


def add_commands(group):
    """Add `see`; group(name, text, word) makes a command of commands and returns what adds each."""
    what = group("see", "Look into a network, in one of many ways.", "WHAT")
    for module in KINDS:
        module.add_commands(what)

"""`zfnumpy see filters`: the first layer's filters."""

from pathlib import Path

from ...paths import writable_folder
from ..common import add_network, open_network
from ..pictures import draw_filters


def add_commands(what):
    sub = what("filters", see_filters, "Show the first layer's filters as images.", "zfnumpy see filters runs/photos")
    add_network(sub)
    sub.add_argument("--out", default=".", help="folder for filters.png (default: here)")


def see_filters(args):
    net, out = open_network(args), writable_folder(args.out)
    draw_filters(net, out)
    print(f"wrote {Path(out, 'filters.png')}")
    return 0

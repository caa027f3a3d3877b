"""Trained networks that the package carries with it."""

from importlib import resources
from pathlib import Path

from ..checkpoint import load
from ..errors import CheckpointError

EMBEDDED = ("sketches_gap", "sketches_zfnet")


def embedded(name):
    """Return the path of a checkpoint that the package carries; CheckpointError for another name, or a lost file.

    A checkout's own data/ comes first, an installed package's zfnumpy.embedded after it.
    """
    if name not in EMBEDDED:
        raise CheckpointError(f"the package carries no network {name!r}; it carries {', '.join(EMBEDDED)}")
    file = f"{name}.safetensors"
    here = Path(__file__).parents[2] / "data" / file
    path = here if here.is_file() else Path(str(resources.files("zfnumpy.embedded"))) / file
    if not path.is_file():
        raise CheckpointError(f"{path} is missing, which the package carries; install it anew")
    return path


def sketches_gap(ops=None):
    """Return a small ZFNet with a GAP head, trained on data.sketches (data/README.md says how): for trying things at once.

    Inputs (N, 3, 64, 64); its maps have 8×8 places. Its classes are those of the sketches.
    """
    return load(embedded("sketches_gap"), ops)


def sketches_zfnet(ops=None):
    """Return a small ZFNet, conv1 to fc8, trained on data.sketches (data/README.md says how): the paper's layers, all named.

    Inputs (N, 3, 64, 64); relu7 is its last hidden layer. Its classes are those of the sketches.
    """
    return load(embedded("sketches_zfnet"), ops)

"""The papers' experiments as pages: what the papers say and what was found, from the files that the studies left."""

import io
import json
import time
from pathlib import Path

import numpy as np
from PIL import Image

from .. import __version__
from ..errors import DataError
from ..paths import written_whole
from .page import rendered
from .sprites import fit, photo, uri_of

EXACT = 400_000          # bytes of a figure's PNG up to which it stands in the page as it is
MOST = 1800              # pixels of a larger one's longer side
WRITTEN = "index.html"
# The order of the papers, in which pages stand; studies of other names follow.
ORDER = ("evolution", "invariance", "architecture", "correspondence", "ablation", "generalization", "analysis",
         "localization", "ensemble")
KEYS = {"study", "title", "source", "settings", "claims", "tables", "figures"}


def write_studies(folder):
    """Write FOLDER/index.html over all studies in FOLDER/<name>/<name>.json; return its path, None where there is none."""
    studies = studies_part(folder)
    if not studies:
        return None
    page = rendered({"studies": studies, "studies_route": "", "version": __version__, "made": time.strftime("%Y-%m-%d")},
                    "experiments.html")
    with written_whole(Path(folder, WRITTEN)) as beside:
        beside.write_text(page, encoding="utf-8", newline="\n")
    return Path(folder, WRITTEN)


def studies_part(folder):
    """Return the studies in a folder as the template wants them, in the papers' order; [] where there is none.

    DataError where a file is damaged, or a figure that it names is not there.
    """
    found = [path for path in sorted(Path(folder).glob("*/*.json")) if path.stem == path.parent.name]
    found.sort(key=lambda path: ORDER.index(path.stem) if path.stem in ORDER else len(ORDER))
    return [_study(path) for path in found]


def read_study(path):
    """Return what a study's JSON holds, a dict; DataError where the file is none."""
    try:
        found = json.loads(Path(path).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise DataError(f"cannot read the study {path}: {getattr(error, 'strerror', None) or error}") from error
    missing = KEYS - set(found) if isinstance(found, dict) else KEYS
    if missing:
        raise DataError(f"{path} is no study: it lacks {', '.join(sorted(missing))}")
    return found


def _study(path):
    about = read_study(path)
    settings = {name.replace("_", " "): _text(value) for name, value in about["settings"].items()}
    return {"name": about["study"], "title": about["title"], "source": about["source"], "claims": about["claims"],
            "tables": about["tables"], "data": settings.pop("data", "data of its own"), "settings": settings,
            "figures": [{"caption": figure["caption"], "picture": _figure(path.parent / figure["file"])}
                        for figure in about["figures"]]}


def _text(value):
    if isinstance(value, list):
        return ", ".join(map(_text, value))
    return ("no", "yes")[value] if isinstance(value, bool) else str(value)


def _figure(path):
    """Return a figure's file for a template's <img>: as it is, or a large one smaller and with a photograph's losses."""
    try:
        data = path.read_bytes()
        with Image.open(io.BytesIO(data)) as image:
            W, H = image.size
            if len(data) <= EXACT:
                return {"uri": uri_of(data, "png"), "width": W, "height": H, "pixelated": False}
            small = fit(np.asarray(image.convert("RGB")), MOST)
    except OSError as error:
        raise DataError(f"cannot read the figure {path}: {error.strerror or error}; run the study again") from error
    return {"uri": photo(small, 82), "width": small.shape[1], "height": small.shape[0], "pixelated": False}

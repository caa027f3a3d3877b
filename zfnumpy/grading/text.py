"""What a student hands in, as Python text: a script as it is, of a notebook its code cells."""

import json
import re
from pathlib import Path

from .tasks import GradingError

SUFFIXES = (".py", ".ipynb")
MOST_BYTES = 4 << 20
_MAGIC = re.compile(r"\s*(%%?[a-z]|!)")          # what a notebook understands and Python does not


def submission_text(path):
    """Return a submission as Python text: a script as it is, of a notebook its code cells."""
    path = Path(path)
    try:
        if path.stat().st_size > MOST_BYTES:
            raise GradingError(f"{path} has {path.stat().st_size >> 20} MiB; a submission has at most {MOST_BYTES >> 20}")
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise GradingError(f"cannot read {path}: {getattr(error, 'strerror', None) or error}") from error
    if path.suffix != ".ipynb":
        return text
    try:
        cells = ["".join(cell["source"]) for cell in json.loads(text)["cells"] if cell["cell_type"] == "code"]
    except (ValueError, KeyError, TypeError) as error:
        raise GradingError(f"{path} is not a notebook: {error}") from None
    lines = "\n\n".join(cells).splitlines()
    return "\n".join("" if _MAGIC.match(line) else line for line in lines) + "\n"

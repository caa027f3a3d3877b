"""What a student hands in, as Python text: a script as it is, of a notebook its code cells."""

import json
import os
import re
import stat
from pathlib import Path

from .tasks import GradingError

SUFFIXES = (".py", ".ipynb")
MOST_BYTES = 16 << 20        # of a file: pictures in a notebook take room, and so does JSON as Python's values
MOST_CODE = 256 << 10        # bytes of code, whose syntax tree takes a thousand times as many
_MAGIC = re.compile(r"\s*(%%?[a-z]|!)")          # what a notebook understands and Python does not


def submission_text(path):
    """Return a submission as Python text: a script as it is, of a notebook its code cells."""
    path = Path(path)
    try:
        text = _bytes_of(path).decode("utf-8-sig")
    except (OSError, ValueError) as error:
        raise GradingError(f"cannot read {path}: {getattr(error, 'strerror', None) or error}") from error
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    if path.suffix == ".ipynb":
        try:
            cells = ["".join(cell["source"]) for cell in json.loads(text)["cells"] if cell["cell_type"] == "code"]
        except (ValueError, KeyError, TypeError, RecursionError) as error:
            raise GradingError(f"{path} is not a notebook: {error}") from None
        lines = "\n\n".join(cells).splitlines()
        text = "\n".join("" if _MAGIC.match(line) else line for line in lines) + "\n"
    if len(text) > MOST_CODE:
        raise GradingError(f"{path} has {len(text) >> 10} KiB of code; a submission has at most {MOST_CODE >> 10}")
    return text


def _bytes_of(path):
    """Return a plain file's content. A link could lead to another's submission or a solution, and a pipe never ends."""
    if path.is_symlink():
        raise GradingError(f"{path} is a link; hand in the file itself")
    flags = [getattr(os, name, 0) for name in ("O_NOFOLLOW", "O_NONBLOCK", "O_BINARY")]
    with open(os.open(path, os.O_RDONLY | sum(flags)), "rb") as file:
        about = os.fstat(file.fileno())
        if not stat.S_ISREG(about.st_mode):
            raise GradingError(f"{path} is no plain file")
        content = file.read(MOST_BYTES + 1) if about.st_size <= MOST_BYTES else b""
        if about.st_size > MOST_BYTES or len(content) > MOST_BYTES:
            advice = "; clear its outputs and save it again" if path.suffix == ".ipynb" else ""
            raise GradingError(f"{path} has {about.st_size >> 20} MiB; a submission has at most {MOST_BYTES >> 20}{advice}")
        return content


def all_below(folder):
    """List what is named like a script or notebook in a folder, at any depth, by name; links lead nowhere.

    Links and pipes of such names are listed too: grading says why they get nothing.
    """
    found, folders = [], [Path(folder)]
    while folders:
        try:
            with os.scandir(folders.pop()) as entries:
                for entry in entries:
                    if entry.is_dir(follow_symlinks=False):
                        folders.append(Path(entry.path))
                    elif Path(entry.name).suffix in SUFFIXES:
                        found.append(Path(entry.path))
        except OSError:          # not ours to read, or deeper than a path may be
            continue
    return sorted(found)

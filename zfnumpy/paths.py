"""Where files go: the user's cache folder, and files that are either written whole or not at all."""

import contextlib
import csv
import json
import os
import shutil
import tempfile
from pathlib import Path

import numpy as np

from .errors import ZFNumpyError


def cache_folder(*parts):
    """Return the folder for things that can be made again (compiled kernels, drawn images).

    $ZFNUMPY_CACHE where it is set, else zfnumpy in $XDG_CACHE_HOME or ~/.cache. The folder need not exist yet.
    """
    root = os.environ.get("ZFNUMPY_CACHE")
    if not root:
        root = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "zfnumpy"
    return Path(root, *parts)


@contextlib.contextmanager
def written_whole(path):
    """Yield a path beside `path` to write to, and rename it to `path` when the block ends well.

    A failing block (a full disk, Ctrl-C) leaves the old file as it was and nothing half-written. The temporary keeps
    the suffix, since many writers choose their format by it. OSError becomes a ZFNumpyError that names the file.
    """
    path = Path(path)
    beside = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, beside = tempfile.mkstemp(dir=path.parent, prefix=f".{path.stem}-", suffix=path.suffix)
        os.close(handle)
        yield Path(beside)
        os.chmod(beside, 0o666 & ~_umask())              # now: a writer may have put a file of its own there
        with open(beside, "rb") as file:
            os.fsync(file.fileno())
        os.replace(beside, path)
    except OSError as error:
        raise ZFNumpyError(f"cannot write {path}: {error.strerror or error}") from error
    finally:
        if beside is not None:
            Path(beside).unlink(missing_ok=True)


def writable_folder(path):
    """Create the folder `path` if need be and return it; refuse in one line where nothing can be written there."""
    path = Path(path)
    try:
        path.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=path):
            pass
    except OSError as error:
        raise ZFNumpyError(f"cannot write to the folder {path}: {error.strerror or error}; choose another") from error
    return path


def csv_file(path):
    """Open a CSV file to write; class names may be those of folders, whose bytes need not be text."""
    return open(path, "w", newline="", encoding="utf-8", errors="surrogateescape")


def save_rows(path, rows):
    """Write dicts of the same keys as a CSV table, whole or not at all."""
    with written_whole(path) as beside, csv_file(beside) as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)


def save_result(folder, name, arrays, about):
    """Write a result into `folder`: its arrays as <name>.npz, all that JSON can hold of `about` as <name>.json.

    arrays: {name: array}, None left out. Returns the two paths.
    """
    folder = writable_folder(folder)
    with written_whole(folder / f"{name}.npz") as path:
        np.savez_compressed(path, **{key: value for key, value in arrays.items() if value is not None})
    with written_whole(folder / f"{name}.json") as path:
        text = json.dumps(about, indent=1, ensure_ascii=False, default=_plain)
        path.write_text(text, encoding="utf-8", errors="backslashreplace")       # a file's name need not be text: \udce9
    return folder / f"{name}.npz", folder / f"{name}.json"


def arrays_of(result):
    """Return the fields of a result, a dataclass, that are arrays: {name: array}, as save_result takes them."""
    return {name: value for name, value in vars(result).items() if isinstance(value, np.ndarray)}


def _plain(value):
    """Return NumPy's numbers and arrays as JSON knows them."""
    if isinstance(value, (np.generic, np.ndarray)):
        return value.tolist()
    raise TypeError(f"JSON holds no {type(value).__name__}")


def python_path():
    """Return $PYTHONPATH for a Python of our own: with the folder that this package is in before what it holds already."""
    return os.pathsep.join(filter(None, [str(Path(__file__).resolve().parents[1]), os.environ.get("PYTHONPATH")]))


def free_bytes(path):
    """Return the free bytes of the disk that holds `path`, or would hold it once it exists."""
    path = Path(path).absolute()
    while not path.exists():
        path = path.parent
    return shutil.disk_usage(path).free


def _umask():
    mask = os.umask(0)
    os.umask(mask)
    return mask

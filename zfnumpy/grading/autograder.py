"""A folder that Gradescope runs as an autograder: it grades with answers made here, and holds no solution."""

from pathlib import Path

from .. import __version__, errors
from ..paths import writable_folder, written_whole
from . import _lock, _runner, bundle, check, compare, sandbox, tasks, text
from .lessons import lesson

PACKAGE = "zfcheck"
SETUP = """#!/usr/bin/env bash
# Gradescope runs this once, when the image is built.
set -e
apt-get update && apt-get install -y python3 python3-numpy
"""
RUN = """#!/usr/bin/env bash
# Gradescope runs this for every submission, as root; a student's functions run as a user without rights.
cd /autograder/source
chmod -R go-rwx /autograder/source /autograder/submission /autograder/results
python3 -m {package}.grading.bundle /autograder/submission /autograder/results/results.json
"""
README = """# Autograder of {title}

Made by zfnumpy {version}: `zfnumpy lesson autograder {number}`. To use it, zip the files of this folder (not the folder
itself) and upload the zip as a Programming Assignment's autograder. Students hand in `{name}.py` or `{name}.ipynb`, made by
`zfnumpy lesson start {number}`.

{draws} draws of the cases with their right answers, and with those of known mistakes, lie in `{package}/grading/{cases}`;
each submission meets one of them. There is no solution here. Points: {points}.

A submission's functions run one task after another in a process of their own, as a user without rights, with bounds on
time and memory. They cannot read this folder, start processes or, where the kernel has Landlock and seccomp, open files and
network connections. A file that is a link, or more than 16 MiB, or has more than 256 KiB of code, gets no points.
"""


def write_bundle(number, out, draws=20, progress=iter):
    """Write the autograder of a lesson into the folder `out`: setup.sh, run_autograder and what they need.

    draws: how many times the cases are drawn. Returns the folder. GradingError where the lesson has no tasks.
    """
    of = lesson(number)
    if not of.tasks:
        raise tasks.GradingError(f"lesson {number} has no tasks to grade")
    out = writable_folder(out)
    made = [of.checks() for _ in progress(range(draws))]          # by no seed that a student could draw with too
    grading = writable_folder(out / PACKAGE / "grading")
    (out / PACKAGE / "__init__.py").touch()
    (grading / "__init__.py").touch()
    for module in (_lock, _runner, sandbox, compare, check, tasks, text, bundle):
        _write(grading / Path(module.__file__).name, Path(module.__file__).read_text(encoding="utf-8"))
    _write(out / PACKAGE / "errors.py", Path(errors.__file__).read_text(encoding="utf-8"))
    with written_whole(grading / bundle.CASES) as path:
        path.write_bytes(bundle.packed(of.name, of.tasks, made))
    _write(out / "setup.sh", SETUP, 0o755)
    _write(out / "run_autograder", RUN.format(package=PACKAGE), 0o755)
    _write(out / "README.md", README.format(title=of.title, version=__version__, number=number, name=of.name, draws=draws,
                                            package=PACKAGE, cases=bundle.CASES, points=sum(t.points for t in of.tasks)))
    return out


def _write(path, content, mode=0o644):
    with written_whole(path) as beside:
        beside.write_text(content, encoding="utf-8")
    path.chmod(mode)

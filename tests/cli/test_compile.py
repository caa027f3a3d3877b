"""Kernels compiled ahead of time, and the line that says when they are compiled otherwise: in caches of their own."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

import zfnumpy as zf
from zfnumpy.cli import main

SAYS = re.compile(r"compiling kernels for this processor, once \(up to a minute\) …\n")
RELU = "import numpy as np, zfnumpy; ops = zfnumpy.get_ops('numba'); ops.relu(np.ones(3)); ops.relu(np.ones(3, 'float32'))"
# The command as it is, but with one small kernel to compile.
COMPILE = """
import sys, numpy as np
from zfnumpy.cli import main
from zfnumpy.ops import compiling
compiling.calls = lambda ops, dtype: [lambda: ops.relu(np.ones(3, dtype))]
sys.exit(main(["compile", *sys.argv[1:]]))
"""


@pytest.fixture
def python(tmp_path):
    """Run code in a fresh process whose folder of compiled kernels begins empty: (exit code, output, errors)."""
    def call(code, *arguments, **more):
        environment = {**os.environ, "PYTHONPATH": str(Path(zf.__file__).parents[1]), "PYTHONIOENCODING": "utf-8",
                       "NUMBA_CACHE_DIR": str(tmp_path / "kernels"), **more}
        done = subprocess.run([sys.executable, "-W", "error", "-c", code, *arguments], capture_output=True, text=True,
                              timeout=120, check=False, env=environment, encoding="utf-8")
        return done.returncode, done.stdout, done.stderr

    return call


def test_compiling_is_said_once_and_loading_is_not(python):
    code, _, err = python(RELU)                          # two signatures are compiled
    assert code == 0
    assert SAYS.fullmatch(err)
    assert python(RELU) == (0, "", "")


def test_others_kernels_and_pure_python_are_not_spoken_of(python):
    foreign = "import numba, zfnumpy; zfnumpy.get_ops('numba'); numba.njit(lambda x: x + 1)(2)"
    assert python(foreign) == (0, "", "")
    assert python(RELU, NUMBA_DISABLE_JIT="1") == (0, "", "")


def test_who_logs_decides_where_the_line_goes(python):
    code, out, err = python("import logging; logging.getLogger('zfnumpy').setLevel('ERROR'); " + RELU)
    assert (code, out, err) == (0, "", "")


def test_compile_tells_how_many_and_where(python, tmp_path):
    code, out, err = python(COMPILE)
    assert (code, err) == (0, "")
    folder, = (tmp_path / "kernels").iterdir()
    assert re.fullmatch(rf"compiled 1 kernel in \d+ s, kept in {re.escape(str(folder))}\n", out)
    assert python(COMPILE) == (0, f"all 1 kernels were there, in {folder}\n", "")
    code, out, err = python(COMPILE, "--float64")
    assert (code, err) == (0, "")
    assert out.startswith("compiled 1 of 2 kernels in ")


def test_compile_where_nothing_can_be_kept(python, tmp_path):
    (tmp_path / "kernels").write_text("a file")
    code, out, err = python(COMPILE)
    assert (code, out) == (2, "")
    assert err == ("zfnumpy compile: compiled kernels cannot be kept: their folder cannot be written; set NUMBA_CACHE_DIR\n")
    code, _, err = python(RELU)
    assert code == 0
    assert "in this process only: the cache folder cannot be written, so they go to " in err


def test_other_backends_have_nothing_to_compile(capsys):
    assert main(["compile", "--backend", "numpy"]) == 2
    assert capsys.readouterr().err == ("zfnumpy compile: the numpy backend has no kernels of ours to compile; "
                                       "leave out --backend\n")

"""Every lesson runs from top to bottom, in its short form, and leaves its pictures."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import zfnumpy
from zfnumpy.grading.lessons import lesson_folder

LESSONS = sorted(lesson_folder().glob("[0-9]*.py"))


def test_there_are_lessons_and_each_is_listed():
    assert LESSONS
    listed = re.findall(r"\| `(\d\d_\w+\.py)` \|", (lesson_folder() / "README.md").read_text())
    assert listed == [path.name for path in LESSONS]


@pytest.mark.parametrize("lesson", LESSONS, ids=lambda path: path.stem)
def test_a_lesson_runs(lesson, tmp_path):
    root = str(Path(zfnumpy.__file__).parents[1])
    done = subprocess.run([sys.executable, "-W", "error", str(lesson)], cwd=tmp_path, capture_output=True, text=True,
                          timeout=300, check=False, env={**os.environ, "PYTHONPATH": root, "ZFNUMPY_FAST": "1"})
    errors = [line for line in done.stderr.splitlines() if not line.startswith("compiling kernels")]
    assert (done.returncode, errors) == (0, [])
    assert done.stdout.strip()
    promised = set(re.findall(r'"(\w+\.png)"', lesson.read_text()))
    assert promised
    assert {path.name for path in tmp_path.iterdir()} == promised
    for name in promised:
        with Image.open(tmp_path / name) as picture:
            assert np.asarray(picture).std() > 1, f"{name} is blank"
        assert f"wrote {name}" in done.stdout


def test_the_lesson_of_the_gpu_measures_where_a_device_answers(tmp_path):
    """On the stand-in: nothing crosses between host and device unasked, and both backends give the same scores."""
    if not (os.environ.get("CXX") or shutil.which("g++") or shutil.which("clang++")):
        pytest.skip("no C++ compiler to run the cupy backend's kernels on the host: it is not tested here")
    lesson, = (path for path in LESSONS if path.name.startswith("15_"))
    code = ("import sys, runpy; sys.path[:0] = sys.argv[2:]; import fake_cupy\n"
            "with fake_cupy.installed():\n    runpy.run_path(sys.argv[1])")
    roots = [str(Path(zfnumpy.__file__).parents[1]), str(Path(__file__).parent)]
    done = subprocess.run([sys.executable, "-W", "error", "-c", code, str(lesson), *roots], cwd=tmp_path, text=True,
                          capture_output=True, timeout=300, check=False, env={**os.environ, "ZFNUMPY_FAST": "1"})
    assert done.returncode == 0, done.stderr
    assert "a stand-in on the host" in done.stdout
    assert "images a step: processor" in done.stdout
    assert "skipped" not in done.stdout


@pytest.mark.parametrize("lesson", LESSONS, ids=lambda path: path.stem)
def test_a_lesson_is_cells_that_begin_with_a_title(lesson):
    text = lesson.read_text()
    assert re.match(r"# %% \[markdown\]\n# # \S", text)
    assert len(re.findall(r"^# %%$", text, re.MULTILINE)) >= 3

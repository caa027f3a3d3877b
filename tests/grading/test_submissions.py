"""Files and folders of submissions, grades as tables, and the bundle that an autograder runs."""

import csv
import json
import os
import subprocess
import sys

import pytest

from zfnumpy.cli import main
from zfnumpy.cli.lesson import notebook
from zfnumpy.grading import bundle, submissions
from zfnumpy.grading.autograder import write_bundle
from zfnumpy.grading.lessons import lesson, lesson_folder
from zfnumpy.grading.tasks import GradingError, blanked

OF = lesson(3)
NAME = f"{OF.name}.py"
MOST = sum(task.points for task in OF.tasks)


@pytest.fixture(scope="module")
def half(tmp_path_factory):
    """A submission with the last task left blank."""
    lines, blank = OF.text.splitlines(), blanked(OF.text).splitlines()
    last = OF.tasks[-1]
    text = "\n".join([*lines[:last.first - 1], *blank[-(len(lines) - last.last + 3):]]) + "\n"
    path = tmp_path_factory.mktemp("half") / NAME
    path.write_text(text, encoding="utf-8")
    return path


def test_a_lesson_is_started_filled_in_and_checked(tmp_path, capsys):
    assert main(["lesson", "start", "3", "--out", str(tmp_path)]) == 0
    path = tmp_path / NAME
    assert path.read_text(encoding="utf-8") == blanked(OF.text)
    assert main(["lesson", "check", str(path), "--hint"]) == 1
    said = capsys.readouterr().out
    assert f"0 of {MOST} points" in said
    assert said.count("not done yet") == len(OF.tasks)
    assert said.count("hint:") == len(OF.tasks)
    assert main(["lesson", "start", "3", "--out", str(tmp_path)]) == 2
    assert "is there already" in capsys.readouterr().err
    path.write_text(OF.text, encoding="utf-8")
    results = tmp_path / "results.json"
    assert main(["lesson", "check", str(path), "--json", str(results), "--seed", "5"]) == 0
    told = json.loads(results.read_text(encoding="utf-8"))
    assert [test["score"] for test in told["tests"]] == [task.points for task in OF.tasks]
    assert set(told["tests"][0]) == {"name", "score", "max_score", "output"}


def test_points_are_partial(half, capsys):
    assert main(["lesson", "check", str(half)]) == 1
    assert f"{MOST - OF.tasks[-1].points} of {MOST} points" in capsys.readouterr().out


def test_a_notebook_is_graded_as_its_script(tmp_path, capsys):
    assert main(["lesson", "start", "3", "--out", str(tmp_path), "--notebook", "--solved"]) == 0
    path = tmp_path / f"{OF.name}.ipynb"
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    assert cells[0]["cell_type"] == "markdown"
    assert "".join(cells[0]["source"]).startswith("# Backwards")
    cells.append({"cell_type": "code", "source": "%matplotlib inline\n!ls\nx = 1\n"})
    path.write_text(json.dumps({"cells": cells}), encoding="utf-8")
    assert submissions.grade(path, seed=1).points == MOST
    path.write_text("{}", encoding="utf-8")
    assert "is not a notebook" in submissions.grade(path).trouble
    assert json.loads(notebook("x = 1\n"))["nbformat"] == 4


@pytest.mark.parametrize(("name", "content", "message"), [
    ("notes.py", b"x = 1\n", "a submission is named as its lesson"), ("99_no.py", b"x = 1\n", "there is no lesson 99"),
    (NAME, b"\xff\xfe\0", "cannot read"), (NAME, b"def f(:\n", "this is not Python"), (NAME, b"", "has no function")])
def test_what_cannot_be_graded_says_why_and_gets_nothing(tmp_path, name, content, message):
    (tmp_path / name).write_bytes(content)
    grade = submissions.grade(tmp_path / name)
    assert grade.points == 0
    assert message in grade.trouble + " ".join(line for result in grade.results for line in result.lines)


def test_a_folder_of_submissions_is_graded_side_by_side(tmp_path, half, capsys):
    folder = tmp_path / "submissions"
    for student, text in [("anna", OF.text), ("bert", blanked(OF.text)), ("carl", half.read_text(encoding="utf-8")),
                          ("dora", "while True: pass\n"),
                          ("emil", OF.text.replace("import numpy as np", "import nump as np"))]:
        (folder / student).mkdir(parents=True)
        (folder / student / NAME).write_text(text, encoding="utf-8")
    (folder / "fritz").mkdir()
    (folder / "fritz" / "essay.py").write_text("x = 1\n", encoding="utf-8")
    table = tmp_path / "grades.csv"
    assert main(["lesson", "grade", str(folder), "--jobs", "2", "--csv", str(table)]) == 0
    with open(table, newline="", encoding="utf-8") as file:
        rows = {row["submission"].partition(os.sep)[0]: row for row in csv.DictReader(file)}
    points = {student: float(row["points"] or 0) for student, row in rows.items()}
    assert points == {"anna": MOST, "bert": 0, "carl": MOST - OF.tasks[-1].points, "dora": 0, "emil": 0, "fritz": 0}
    assert "named as its lesson" in rows["fritz"]["remark"]
    assert list(rows["anna"])[3:-1] == [task.number for task in OF.tasks]
    assert main(["lesson", "grade", str(tmp_path / "none")]) == 2


def test_a_bug_of_ours_costs_one_submission_its_grade(tmp_path, monkeypatch):
    def fails(path, *_):
        raise KeyError("oh")

    monkeypatch.setattr(submissions, "grade", fails)
    one, = submissions.grade_all([tmp_path / NAME])
    assert one.trouble == "could not be checked: KeyError: 'oh'"


@pytest.fixture(scope="module")
def autograder(tmp_path_factory):
    return write_bundle(3, tmp_path_factory.mktemp("bundle"), draws=2)


def run_bundle(autograder, tmp_path, text, name=NAME):
    (tmp_path / "submission").mkdir()
    (tmp_path / "submission" / name).write_text(text, encoding="utf-8")
    results = tmp_path / "results.json"
    subprocess.run([sys.executable, "-m", "zfcheck.grading.bundle", str(tmp_path / "submission"), str(results)],
                   cwd=autograder, check=True, timeout=300, env={"PATH": os.environ["PATH"]})
    return json.loads(results.read_text(encoding="utf-8"))


def test_a_folder_of_traps_does_not_stop_the_rest(tmp_path, capsys):
    folder = tmp_path / "handed in"
    (folder / "a").mkdir(parents=True)
    (folder / "a" / NAME).write_text(blanked(OF.text), encoding="utf-8")
    os.symlink(tmp_path, folder / "a" / "loop")
    os.symlink(lesson_folder() / NAME, folder / "03_link.py")
    os.symlink("/dev/zero", folder / "03_endless.py")
    os.mkfifo(folder / "03_pipe.py")
    (folder / "03_folder.py").mkdir()
    with open(folder / "03_large.ipynb", "wb") as file:
        file.truncate(3 << 30)
    (folder / "03_nested.ipynb").write_text("[" * 100_000)
    (folder / "03_long.py").write_text("x = 1\n" * 100_000)
    (folder / "03_new\nline.py").write_text("x = 1\n")
    (folder / "=1+1.py").write_text("x = 1\n")
    with open(os.fsencode(folder) + b"/03_\xff.py", "w") as file:
        file.write("x = 1\n")
    where = os.open(folder, os.O_RDONLY)
    for _ in range(1200):            # deeper than Python recurses
        os.mkdir("d", dir_fd=where)
        inner = os.open("d", os.O_RDONLY, dir_fd=where)
        os.close(where)
        where = inner
    os.close(where)
    table = tmp_path / "grades.csv"
    try:
        assert main(["lesson", "grade", str(folder), "--csv", str(table)]) == 0
        said = capsys.readouterr().out
        assert main(["lesson", "check", str(folder)]) == 1
    finally:
        subprocess.run(["rm", "-rf", str(folder / "d")], check=False)
    rows = {row["submission"]: row for row in csv.DictReader(table.read_text(encoding="utf-8").splitlines())}
    for name, message in (("03_link.py", "is a link"), ("03_endless.py", "is a link"), ("03_pipe.py", "no plain file"),
                          ("03_large.ipynb", "clear its outputs"), ("03_nested.ipynb", "not a notebook"),
                          ("03_long.py", "KiB of code"), ("03_new\\nline.py", ""), ("'=1+1.py", "named as its lesson"),
                          ("03_\\udcff.py", ""), (f"a/{NAME}", "")):
        assert float(rows[name]["points"] or 0) == 0
        assert message in rows[name]["remark"]
    assert len(rows) == 10
    assert "those of --seed" in said


def test_cases_are_new_each_time_unless_a_seed_is_told(monkeypatch, tmp_path):
    (tmp_path / NAME).write_text(blanked(OF.text), encoding="utf-8")
    seeds = []
    monkeypatch.setattr(submissions, "grade", lambda path, number, seed, name: seeds.append(seed) or submissions.Grade(name))
    for more in ([], [], ["--seed", "7"]):
        assert main(["lesson", "grade", str(tmp_path), *more]) == 0
    assert len(set(seeds)) == 3
    assert seeds[2] == 7


def test_the_autograder_grades_without_the_package(autograder, tmp_path):
    told = run_bundle(autograder, tmp_path, OF.text)
    assert [test["score"] for test in told["tests"]] == [task.points for task in OF.tasks]


def test_the_autograder_names_mistakes_and_what_is_missing(autograder, tmp_path):
    told = run_bundle(autograder, tmp_path, OF.text.replace("+= back", "= back"))
    assert "they must add" in told["tests"][1]["output"]
    assert told["tests"][1]["score"] < told["tests"][1]["max_score"]
    (tmp_path / "two").mkdir()
    told = run_bundle(autograder, tmp_path / "two", "x = 1\n", "notes.txt")
    assert "expected one file" in told["output"]
    assert [test["score"] for test in told["tests"]] == [0] * len(OF.tasks)


def test_the_autograder_holds_no_solution(autograder):
    solutions = [line.strip() for task in OF.tasks for line in OF.text.splitlines()[task.first:task.last - 1]
                 if len(line.strip()) > 25]
    assert solutions
    for path in autograder.rglob("*"):
        if path.is_file():
            content = path.read_bytes()
            assert not [line for line in solutions if line.encode() in content], path
            assert b"import zfnumpy" not in content
            assert "from ..ops" not in content.decode(errors="replace")
    assert {path.name for path in autograder.iterdir()} >= {"setup.sh", "run_autograder", "README.md"}
    assert os.access(autograder / "run_autograder", os.X_OK)
    name, tasks, draws = bundle.unpacked((autograder / "zfcheck" / "grading" / bundle.CASES).read_bytes())
    assert (name, tasks, len(draws)) == (OF.name, OF.tasks, 2)
    with pytest.raises(GradingError, match="lesson 0 has no tasks"):
        write_bundle(0, autograder)


def test_the_lessons_are_listed(capsys):
    assert main(["lesson", "list"]) == 0
    said = capsys.readouterr().out
    assert f"{OF.title}  ({MOST} points)" in said
    assert main(["lesson", "start", "77"]) == 2
    assert "there is no lesson 77; there are 0" in capsys.readouterr().err


def test_lessons_are_run_with_their_pictures_and_what_they_print(tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("ZFNUMPY_FAST", "1")
    assert main(["lesson", "run", "3", "--out", str(tmp_path)]) == 0
    assert "Backwards through a convolution" in capsys.readouterr().out
    assert {path.name for path in tmp_path.iterdir()} == {"which_step.png", f"{OF.name}.txt"}
    assert "wrote which_step.png" in (tmp_path / f"{OF.name}.txt").read_text(encoding="utf-8")
    broken = tmp_path / "lessons"
    broken.mkdir()
    (broken / NAME).write_text("# %% [markdown]\n# # Broken\n\n# %%\nraise ValueError('here')\n", encoding="utf-8")
    monkeypatch.setattr("zfnumpy.cli.lesson.lesson_folder", lambda: broken)
    assert main(["lesson", "run", "3", "--out", str(tmp_path)]) == 1
    assert "FAILED: ValueError: here" in capsys.readouterr().out

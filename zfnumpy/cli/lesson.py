"""`zfnumpy lesson …`: lessons to do, and what checks them."""

import json
import os
import secrets
import shutil
import subprocess
import sys
import textwrap
import time
from pathlib import Path

from ..errors import ZFNumpyError
from ..grading import _lock, autograder, submissions
from ..grading.lessons import all_lessons, lesson, lesson_folder
from ..grading.tasks import blanked
from ..grading.text import all_below
from ..paths import python_path, writable_folder, written_whole
from .common import bar, whole


def add_commands(group):
    what = group("lesson", "Do the lessons: list them, start one with blanks, check what was filled in.", "WHAT")
    what("list", run_list, "List the lessons and their tasks.", "zfnumpy lesson list")

    sub = what("start", run_start, "Write a lesson with its tasks left blank.", "zfnumpy lesson start 3 --out mine")
    sub.add_argument("number", type=whole(0), help="the lesson's number")
    sub.add_argument("--out", default=".", help="folder (default: here)")
    sub.add_argument("--notebook", action="store_true", help="as a Jupyter notebook, not a script")
    sub.add_argument("--solved", action="store_true", help="with the solutions, for who teaches")

    sub = what("run", run_lessons, "Run solved lessons from top to bottom: what they print and their pictures.",
               "zfnumpy lesson run 8 10 --out lessons_run")
    sub.add_argument("numbers", nargs="*", type=whole(0), metavar="NUMBER", help="lessons (default: all)")
    sub.add_argument("--out", default="lessons_run", help="folder for pictures and NN_lesson.txt (default: lessons_run)")

    sub = what("check", run_check, "Check the tasks of a lesson that was filled in.",
               "zfnumpy lesson check mine/03_backpropagation.py")
    sub.add_argument("submission", help="a script or notebook named as its lesson, or a folder of them")
    sub.add_argument("--hint", action="count", default=0,
                     help="say more where a task is wrong; given three times it says nearly the answer")
    sub.add_argument("--json", metavar="FILE", help="also write the results as Gradescope reads them")
    sub.add_argument("--seed", type=whole(0), help="of the cases, to meet the same again (default: new ones)")

    sub = what("grade", run_grade, "Grade a folder of submissions: a table, and a CSV file.",
               "zfnumpy lesson grade submissions --lesson 3 --jobs 2 --csv grades.csv")
    sub.add_argument("folder", help="scripts and notebooks, at any depth: one a student")
    sub.add_argument("--lesson", type=whole(0), help="the lesson's number (default: by each file's name)")
    sub.add_argument("--jobs", type=whole(1), default=1, help="how many to check side by side (default: 1)")
    sub.add_argument("--csv", metavar="FILE", help="write the grades there")
    sub.add_argument("--seed", type=whole(0), help="of the cases, the same for every submission (default: a new one, told)")

    sub = what("autograder", run_autograder, "Write a folder that Gradescope runs as the autograder of a lesson.",
               "zfnumpy lesson autograder 3 --out autograder_3")
    sub.add_argument("number", type=whole(0), help="the lesson's number")
    sub.add_argument("--out", help="folder (default: autograder_NN)")
    sub.add_argument("--draws", type=whole(1), default=20, help="how many draws of the cases it carries (default: 20)")


def run_list(args):
    for each in all_lessons():
        points = sum(task.points for task in each.tasks)
        print(f"{each.number:2d}  {each.title}" + (f"  ({points} points)" if points else ""))
        for task in each.tasks:
            print(f"      {task.number}  {task.function}()  {task.points} point{'s' * (task.points > 1)}: {task.text}")
    return 0


def run_start(args):
    of = lesson(args.number)
    text = of.text if args.solved else blanked(of.text, of.name)
    path = Path(writable_folder(args.out), f"{of.name}{'.ipynb' if args.notebook else '.py'}")
    if path.exists():
        raise ZFNumpyError(f"{path} is there already, perhaps with your work in it; choose another --out, or move it")
    if args.notebook:
        text = notebook(text)
    with written_whole(path) as beside:
        beside.write_text(text, encoding="utf-8")
    print(f"wrote {path}; to check it: zfnumpy lesson check {path}")
    return 0


def run_lessons(args):
    chosen, out = [lesson(number) for number in args.numbers] or all_lessons(), writable_folder(args.out)
    env, failed = os.environ | {"PYTHONPATH": python_path(), "MPLBACKEND": "Agg"}, 0
    for each in bar(len(chosen), "running", "lesson")(chosen):
        began = time.perf_counter()
        done = subprocess.run([sys.executable, str(lesson_folder() / f"{each.name}.py")], cwd=out, env=env, text=True,
                              stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False)
        with written_whole(out / f"{each.name}.txt") as beside:
            beside.write_text(done.stdout, encoding="utf-8")
        failed += done.returncode != 0
        ended = "" if done.returncode == 0 else f"  FAILED: {(done.stdout.strip().splitlines() or [''])[-1]}"
        print(f"{each.number:2d}  {time.perf_counter() - began:5.1f} s  {each.title}{ended}", flush=True)
    print(f"pictures and what was printed are in {out}")
    return 1 if failed else 0


def notebook(script):
    """Return a script of `# %%` cells as the text of a Jupyter notebook."""
    cells, kind, lines = [], None, []
    for line in [*script.splitlines(), "# %%"]:
        if not line.startswith("# %%"):
            lines.append(line)
            continue
        source = "\n".join(lines).strip("\n")
        if kind == "markdown":
            source = "\n".join(part.removeprefix("#").removeprefix(" ") for part in source.splitlines())
        if source:
            ran = {} if kind == "markdown" else {"execution_count": None, "outputs": []}
            cells.append({"cell_type": kind or "code", "id": f"cell-{len(cells)}", "metadata": {},
                          "source": source.splitlines(keepends=True), **ran})
        kind, lines = "markdown" if "[markdown]" in line else "code", []
    about = {"kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
             "language_info": {"name": "python"}}
    return json.dumps({"cells": cells, "metadata": about, "nbformat": 4, "nbformat_minor": 5}, indent=1, ensure_ascii=False)


def run_check(args):
    paths = submissions.submissions_in(args.submission)
    grades = submissions.grade_all(paths, seed=args.seed, progress=bar(len(paths), "checking", "lesson"))
    for each in grades:
        print(f"{each.name}: " + (f"{each.points:g} of {each.most} points" if each.most else "not checked"))
        if each.trouble:
            print(_wrapped(each.trouble, "  "))
        for result in each.results:
            mark = "not checked" if each.trouble else "right" if not result.lines else "WRONG"
            mark = "not done yet" if result.lines == ["not done yet"] else mark
            print(f"  {result.number}  {result.points:g}/{result.most}  {mark}  {result.title}")
            for line in result.lines if mark == "WRONG" else []:
                print(_wrapped(line, "       - "))
            if result.lines:
                for hint in result.hints[:args.hint]:
                    print(_wrapped(f"hint: {hint}", "       "))
    if args.json:
        submissions.save_json(args.json, grades)
        print(f"wrote {args.json}")
    return 0 if all(not each.trouble and each.points == each.most for each in grades) else 1


def run_grade(args):
    folder = Path(args.folder)
    if not folder.is_dir():
        raise ZFNumpyError(f"there is no folder {folder}")
    paths = all_below(folder)
    if not paths:
        raise ZFNumpyError(f"{folder} holds no script and no notebook")
    progress = bar(len(paths), "grading", "submission")
    seed = secrets.randbits(32) if args.seed is None else args.seed          # one that is known could be learnt by heart
    grades = submissions.grade_all(paths, args.lesson, args.jobs, seed, progress, folder)
    wide = max(len(each.name) for each in grades)
    for each in grades:
        tasks = "  ".join(f"{result.number} {result.points:g}/{result.most}" for result in each.results)
        print(f"{each.name:{wide}}  {each.points:6g} of {each.most}  {tasks}{'  ' + each.trouble if each.trouble else ''}")
    print(f"the cases were those of --seed {seed}")
    for weakness in _lock.weaknesses():
        print(_wrapped(f"note: {weakness}", ""))
    if args.csv:
        submissions.save_csv(args.csv, grades)
        print(f"wrote {args.csv}")
    return 0


def run_autograder(args):
    out = autograder.write_bundle(args.number, args.out or f"autograder_{args.number:02d}", args.draws,
                                  bar(args.draws, "drawing cases", "draw"))
    print(f"wrote {out}: zip its files and upload them; {out}/README.md says more")
    return 0


def _wrapped(text, indent):
    width = max(60, shutil.get_terminal_size().columns if sys.stdout.isatty() else 120)
    return textwrap.fill(text, width, initial_indent=indent, subsequent_indent=" " * len(indent), break_on_hyphens=False)

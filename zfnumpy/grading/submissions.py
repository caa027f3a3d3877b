"""Submissions: one file or a folder of many, checked side by side, and the grades as a table, CSV and Gradescope's JSON."""

import csv
import json
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from ..paths import written_whole
from . import sandbox
from .bundle import gradescope
from .check import Result
from .compare import tidy
from .lessons import lesson, lesson_of
from .tasks import GradingError, parsed
from .text import SUFFIXES, submission_text


@dataclass
class Grade:
    """What one submission got: its results a task; or why it could not be checked, and then nothing."""

    name: str
    results: list = field(default_factory=list)
    trouble: str = ""

    @property
    def points(self):
        """The sum of the points."""
        return round(sum(result.points for result in self.results), 2)

    @property
    def most(self):
        """The most points there were to get."""
        return sum(result.most for result in self.results)


def submissions_in(path):
    """List the submissions that a path names: itself, or a folder's scripts and notebooks of lessons, by name."""
    path = Path(path)
    if path.is_file():
        return [path]
    if not path.is_dir():
        raise GradingError(f"there is no submission {path}")
    found = sorted(each for suffix in SUFFIXES for each in path.glob(f"[0-9][0-9]_*{suffix}"))
    if not found:
        raise GradingError(f"{path} holds no submission: a script or notebook named as its lesson, such as 03_….py")
    return found


def grade(path, number=None, seed=None, name=None):
    """Grade one submission: a Grade. `number` is the lesson's, by default that of the file's name.

    What cannot be read or parsed gets no points and says why: nothing a submission holds raises.
    """
    name = name or Path(path).name
    try:
        of = lesson_of(path) if number is None else lesson(number)
    except GradingError as error:
        return Grade(name, trouble=str(error))
    try:
        text = submission_text(path)
        parsed(text, Path(path).name)
        return Grade(name, of.check(text, Path(path).name, seed))
    except GradingError as error:
        none = [Result(task.number, task.text, 0, task.points) for task in of.tasks]
        return Grade(name, none, str(error))


def grade_all(paths, number=None, jobs=1, seed=None, progress=iter, root=None):
    """Grade submissions, `jobs` side by side: a list of Grades in the order of `paths`; a bad one never stops the rest.

    `progress` wraps the iterable (tqdm, say). root: the folder that names are told from.
    """
    def one(path):
        name = tidy(Path(path).relative_to(root) if root else Path(path).name)
        try:
            graded = grade(path, number, seed, name)
        except Exception as error:          # a bug of ours must not cost a class its grades either
            graded = Grade(name, trouble=f"could not be checked: {type(error).__name__}: {error}")
        graded.trouble = tidy(graded.trouble)
        return graded

    sandbox.refuse_where_none_can_be()
    with ThreadPoolExecutor(max(1, jobs)) as pool:
        return list(progress(pool.map(one, paths)))


def save_json(path, grades):
    """Write Gradescope's results.json of one student's Grades."""
    told = gradescope([result for each in grades for result in each.results],
                      "\n".join(each.trouble for each in grades if each.trouble))
    with written_whole(path) as beside:
        Path(beside).write_text(json.dumps(told, indent=1, ensure_ascii=False), encoding="utf-8")


def save_csv(path, grades):
    """Write a table with a row a submission: its points in all, and in each task."""
    numbers = sorted({result.number for each in grades for result in each.results},
                     key=lambda number: tuple(map(int, number.split("."))))
    with written_whole(path) as beside, open(beside, "w", newline="", encoding="utf-8", errors="replace") as file:
        writer = csv.writer(file)
        writer.writerow(["submission", "points", "of", *numbers, "remark"])
        for each in grades:
            by_number = {result.number: result.points for result in each.results}
            points = [each.points, each.most] if each.most else ["", ""]
            writer.writerow([_cell(each.name), *points, *(by_number.get(n, "") for n in numbers),
                             _cell(each.trouble)])


def _cell(text):
    """Return text that no spreadsheet takes for a formula."""
    return f"'{text}" if text[:1] in "=+-@" and text else text

"""The lessons: where they lie, what tasks they have, and the checks of each."""

import functools
import importlib
import re
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

import numpy as np

from .check import check_text
from .tasks import GradingError, tasks_of


@dataclass(frozen=True)
class Lesson:
    """A solved lesson: its number, file name without suffix, title, and text."""

    number: int
    name: str
    title: str
    text: str

    @functools.cached_property
    def tasks(self):
        """The lesson's tasks, in order."""
        return tasks_of(self.text, f"{self.name}.py")

    def checks(self, seed=None):
        """Return {task number: TaskCheck} of fresh cases; the same seed, the same cases."""
        if not self.tasks:
            return {}
        module = importlib.import_module(f".lesson{self.number:02d}", __package__)
        return module.checks(np.random.default_rng(seed))

    def check(self, text, name, seed=None):
        """Check a submission's text: a Result a task."""
        return check_text(text, self.tasks, self.checks(seed), name)


def lesson_folder():
    """Return the lessons' folder: beside the package in a checkout, inside it where it is installed."""
    beside = Path(__file__).resolve().parents[2] / "lessons"
    return beside if beside.is_dir() else Path(str(files("zfnumpy.lessons")))


def all_lessons():
    """List the lessons in order."""
    return [_read(path) for path in sorted(lesson_folder().glob("[0-9][0-9]_*.py"))]


def lesson(number, among=None):
    """Return the lesson of a number, `among` those (default: all); GradingError lists those there are."""
    found = {each.number: each for each in among or all_lessons()}
    if number not in found:
        raise GradingError(f"there is no lesson {number}; there are {', '.join(map(str, found))}")
    return found[number]


def lesson_of(path):
    """Return the lesson that a submission's file name begins with, "03_…": GradingError where it begins with none."""
    lessons = all_lessons()
    named = [each for each in lessons if each.name in Path(path).name]                # however a course's site renames it
    number = re.match(r"(\d\d)_", Path(path).name)
    if not named and not number:
        raise GradingError(f"{path}: a submission is named as its lesson, such as 03_backpropagation.py; or tell --lesson")
    return named[0] if named else lesson(int(number[1]), lessons)


def _read(path):
    text = path.read_text(encoding="utf-8")
    title = re.search(r"^# # (.+)$", text, re.MULTILINE)
    return Lesson(int(path.name[:2]), path.stem, title[1] if title else path.stem, text)

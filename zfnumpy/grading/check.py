"""Checking a submission: each task's function on fresh cases against the reference, with points and what is wrong.

What a task's checks are stands with its lesson, in `lessonNN` beside this file: a function `checks(rng)` that gives
{task number: TaskCheck}. A check starts no compilation: references are plain NumPy.
"""

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from . import sandbox
from .compare import difference
from .tasks import GradingError, part_for, tasks_of


@dataclass
class Case:
    """One call of the student's function: what it is about ("stride 2"), its arguments, and what it should return.

    `also` judges what no single value can: also(value) -> a line that says what is wrong, or None; `expected` may then be
    left out (the default, an Ellipsis).
    """

    about: str
    args: tuple
    kwargs: dict = field(default_factory=dict)
    expected: object = ...
    also: Callable | None = None
    tolerance: float = 1e-6


@dataclass
class TaskCheck:
    """A task's cases, each worth the same share of its points.

    mistakes: [(line, wrong)] where wrong(*args, **kwargs) is what a function with a known mistake returns: where a
    student's result is that one, the line names the mistake. hints: from a nudge to nearly the answer.
    """

    cases: list
    mistakes: list = field(default_factory=list)
    hints: tuple = ()


@dataclass
class Result:
    """What one task got: `lines` say what is wrong, nothing where all is right."""

    number: str
    title: str
    points: float
    most: int
    lines: list = field(default_factory=list)
    hints: tuple = ()


def check_text(text, solved, checks, name="the submission", seed=None, limits=None):
    """Check a submission's text against a lesson's solved text and its `checks`: a Result for every task.

    seed: of the cases; None draws fresh ones. A task whose code fails, hangs or ends its process does not stop the others.
    """
    made = checks(np.random.default_rng(seed))
    return [_checked(text, task, made[task.number], name, limits) for task in tasks_of(solved)]


def _checked(text, task, check, name, limits):
    result = Result(task.number, task.text, 0, task.points, hints=check.hints)
    try:
        source, imports = part_for(text, task.function, name)
    except GradingError as error:
        result.lines.append(str(error))
        return result
    taken = sorted(set(imports) & set(sandbox.PACKAGES))
    if taken:
        result.lines.append(f"{task.function}() uses {', '.join(taken)}; this task is to be written with NumPy alone")
        return result
    calls = [(case.args, case.kwargs) for case in check.cases]
    outcome = sandbox.call(source, task.function, calls, name, limits=limits)
    right, lines = 0, []
    for number, case in enumerate(check.cases):
        if number >= len(outcome.answers):
            lines.append(f"{case.about}: {outcome.ended or 'the process ended before the function returned'}")
            break
        line = _judged(case, outcome.answers[number], check, task)
        right += line is None
        if line is None:
            continue
        if line.startswith("not done yet"):
            lines = [line]
            break
        lines.append(f"{case.about}: {line}")
    result.points = round(task.points * right / len(check.cases), 2)
    result.lines = lines
    if lines and outcome.printed.strip():
        result.lines.append(f"it printed: {outcome.printed.strip()[-300:]}")
    return result


def _judged(case, answer, check, task):
    """Return None where the answer to a case is right, else what is wrong with it."""
    if "failed" in answer:
        failed = answer["failed"]
        if failed["kind"] == "NotImplementedError" and failed["text"] == f"Task {task.number}":
            return "not done yet"
        where = f" in line {failed['line']}" if failed["line"] else ""
        return f"{failed['kind']}{where}: {failed['text']}"
    for before, after, what in [(case.args, answer["args"], "arguments"), (case.kwargs, answer["kwargs"], "arguments")]:
        if difference(after, before, 0, what):
            return f"it changes its input in place ({difference(after, before, 0, what)}); work on a copy"
    got = answer["value"]
    line = None if case.expected is ... else difference(got, case.expected, case.tolerance)
    if line is None and case.also is not None:
        return case.also(got)
    if line is None:
        return None
    for mistake, wrong in check.mistakes:
        try:
            made = wrong(*case.args, **case.kwargs)
        except Exception:          # a mistake that not every case allows
            continue
        if difference(made, case.expected, case.tolerance) and not difference(got, made, case.tolerance):
            return f"{line}. {mistake}"
    if "should be float64, got float32" in line or "should be float32, got float64" in line:
        return f"{line}. The dtype that comes in goes out: what makes it another?"
    return line

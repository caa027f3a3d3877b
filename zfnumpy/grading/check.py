"""Checking a submission: each task's function on fresh cases against the reference, with points and what is wrong.

What a task's cases are stands with its lesson, in `lessonNN` beside this file: `checks(rng)` gives {task number:
TaskCheck}, all plain data, so that an autograder can carry the answers of many draws and not one line of a solution. A
check starts no compilation: references are plain NumPy.
"""

import ast
import re
from collections import Counter
from dataclasses import dataclass, field

import numpy as np

from . import sandbox
from ._runner import KINDS, Code, own
from .compare import difference, tidy
from .tasks import GradingError, parsed, part_for

CHANGED = "it changes its input in place"


@dataclass
class Case:
    """One call of the student's function: what it is about ("stride 2"), its arguments, and what it should return.

    wrong: [(line, value)], what functions with a known mistake return here, and the line that names it.
    dot: (v, number, line): beside or instead of `expected`, Σ value·v must be that number: an adjoint or a gradient
    seen through a random projection; the line says so. tolerance: of the largest magnitude expected.
    """

    about: str
    args: tuple
    kwargs: dict = field(default_factory=dict)
    expected: object = ...
    wrong: list = field(default_factory=list)
    dot: tuple | None = None
    tolerance: float = 1e-6


@dataclass
class TaskCheck:
    """A task's cases, each worth the same share of its points, and hints from a nudge to nearly the answer."""

    cases: list
    hints: tuple = ()


def case(about, reference, *args, mistakes=(), dot=None, tolerance=1e-6, **kwargs):
    """Return the Case of reference(*args, **kwargs).

    mistakes: [(line, wrong)], wrong(*args, **kwargs) being what a student with that mistake returns; one that raises here,
    or gives the right answer in this case, is left out.
    """
    expected, wrong = reference(*own(args), **own(kwargs)), []
    for line, function in mistakes:
        try:
            with np.errstate(all="ignore"):
                value = function(*own(args), **own(kwargs))
        except Exception:
            continue
        if difference(value, expected, tolerance):
            wrong.append((line, value))
    return Case(about, args, kwargs, expected, wrong, dot, tolerance)


@dataclass
class Result:
    """What one task got; `lines` say what is wrong, and are empty where all is right."""

    number: str
    title: str
    points: float
    most: int
    lines: list = field(default_factory=list)
    hints: tuple = ()


def check_text(text, tasks, checks, name="the submission", limits=None):
    """Check a submission's text: a Result for each Task of `tasks`, by the TaskCheck of its number in `checks`.

    The text is never run here, only in processes of their own (see sandbox). A task whose code fails, hangs or ends its
    process does not stop the others.
    """
    results = [_checked(text, task, checks[task.number], name, limits) for task in tasks]
    weak = {task.function: task.number for task, result in zip(tasks, results) if result.points < result.most}
    for task, result in zip(tasks, results):
        if task.function in weak and result.lines != ["not done yet"]:
            numbers = [weak[function] for function in _functions_below(text, task.function, name) if function in weak]
            if numbers:
                result.lines.insert(0, f"it uses what task {' and '.join(numbers)} asks for, which is not right yet: "
                                    "mend that first")
        result.lines = [tidy(line) for line in result.lines]
    return results


def _functions_below(text, function, name):
    """Return the names of the other functions that a submission's function leads to."""
    try:
        tree = parsed(part_for(text, function, name)[0], name)
    except GradingError:
        return []
    return [node.name for node in tree.body if isinstance(node, ast.FunctionDef) and node.name != function]


def _checked(text, task, check, name, limits):
    result = Result(task.number, task.text, 0, task.points, hints=tuple(check.hints))
    try:
        source, imports = part_for(text, task.function, name)
    except GradingError as error:
        result.lines.append(str(error))
        return result
    taken = sorted(set(imports) & set(sandbox.PACKAGES))
    if taken:
        result.lines.append(f"{task.function}() uses {', '.join(taken)}; this task is to be written with NumPy alone")
        return result
    outcome = sandbox.call(source, task.function, [(each.args, each.kwargs) for each in check.cases], name, limits=limits)
    lines = _lines(check.cases, outcome, task)
    wrong = sum(line is not None for line in lines)
    result.points = round(task.points * (1 - wrong / len(lines)), 2)
    result.lines = _gathered([(each.about, line) for each, line in zip(check.cases, lines) if line])
    if all(line == "not done yet" for line in lines):
        result.lines = ["not done yet"]
    elif wrong and outcome.printed.strip():
        result.lines.append(f"it printed: {' '.join(outcome.printed.split())[-300:]}")
    return result


def _lines(cases, outcome, task):
    """Return for each case what is wrong with its answer, None for nothing."""
    lines = [_wrong_with(*pair, task) for pair in zip(cases, outcome.answers)]
    named = _likely(cases, outcome.answers, lines)
    lines = [f"{line}. {mistake}" if mistake else line for line, mistake in zip(lines, named)]
    if len(lines) == 1 and len(cases) > 1 and outcome.answers[0].get("failed", {}).get("before"):
        return lines * len(cases)                            # the file itself could not be run
    ended = outcome.ended or "the process ended before the function returned"
    return lines + [ended] * (len(cases) - len(lines))


def _likely(cases, answers, lines):
    """Return for each answer the known mistake that it looks like, None for none.

    A small case may look like several. What most cases look like is named; and a mistake that at least as many cases speak
    against as for is not, where there is one of which that is not so.
    """
    looks, hits, misses = [], Counter(), Counter()
    for each, answer, line in zip(cases, answers, lines):
        own_line = "value" in answer and (line is None or not line.startswith(CHANGED))
        same = [mistake for mistake, value in each.wrong
                if own_line and line and not difference(answer["value"], value, each.tolerance)]
        looks.append(same)
        hits.update(same)
        misses.update(mistake for mistake, _ in each.wrong if own_line and mistake not in same)
    good = {mistake for mistake in hits if hits[mistake] > misses[mistake]}
    named = [[mistake for mistake in same if mistake in good or not good] for same in looks]
    return [max(same, key=lambda mistake: (hits[mistake], -misses[mistake]), default=None) for same in named]


def _wrong_with(case, answer, task):
    if "failed" in answer:
        failed = answer["failed"]
        if failed["kind"] == "NotImplementedError" and failed["text"] == f"Task {task.number}":
            return "not done yet"
        where = f" in line {failed['line']}" if failed["line"] else ""
        return f"{failed['kind']}{where}: {failed['text']}"
    pairs = [*((f"argument {i}", *pair) for i, pair in enumerate(zip(case.args, answer["args"]), 1)),
             *((f"argument {key}", value, answer["kwargs"].get(key)) for key, value in case.kwargs.items())]
    for what, before, after in pairs:
        changed = None if isinstance(before, Code) else difference(after, before, 0, what)
        if changed:
            changed = changed.replace(" should be ", " was ").replace(", got ", ", is now ")
            return f"{CHANGED} ({changed}); work on a copy"
    got, line = answer["value"], None
    if case.expected is not ...:
        line = difference(got, case.expected, case.tolerance)
    if line is None and case.dot is not None:
        line = _projected(got, *case.dot, case.tolerance)
    if line is not None and ("should be float64, got float32" in line or "should be float32, got float64" in line):
        return f"{line}. The dtype that comes in goes out: which line makes it another?"
    return line


def _gathered(found):
    """Return lines of (case, what is wrong with it): the first of each kind in full, and which other cases are like it.

    Alike are cases with the same mistake, the same exception, or, where neither is known, only a number that is wrong.
    """
    kinds = {}
    for about, line in found:
        mistake = line.partition(". ")[2]
        kind = mistake or re.sub(r"[-\d.(),\[\]]+", "", line.partition(" should be ")[0])
        kinds.setdefault(kind, []).append((about, line))
    lines = []
    for alike in kinds.values():
        (about, line), *others = dict.fromkeys(alike)
        names = list(dict.fromkeys(name for name, _ in others if name != about))
        lines.append(f"{about}: {line}" + (f" (the same in: {'; '.join(names)})" if names else ""))
    return lines


def _projected(got, v, number, explanation, tolerance):
    if not isinstance(got, np.ndarray) or got.shape != v.shape:
        return difference(got, np.zeros_like(v), tolerance)
    if got.dtype.kind not in KINDS:
        return f"the result should hold numbers, got {got.dtype}"
    with np.errstate(all="ignore"):
        seen, size = float(np.sum(got * v).real), float(np.abs(got * v).sum())
    if not np.isfinite(size):
        return "the result holds inf or nan, or numbers near to it"
    # Rounding grows with what is summed; but values that are huge and cancel are not right for that.
    close = abs(seen - number) <= tolerance * min(max(abs(number), size), 1e4 * abs(number))
    return None if close else f"{explanation}: it should give {number:.6g}, yours gives {seen:.6g}"
